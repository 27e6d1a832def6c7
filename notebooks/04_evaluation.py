# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 · From scores to intervals to numbers
#
# Notebook 03 left, for every video, a score per frame from a network that has never seen that person. This notebook turns scores into intervals, intervals into
# counts, and counts into the numbers that papers print, first on one video by hand, then over the whole set, with baselines, intervals of confidence, and the traps on the way.

# %% tags=["parameters"]
profile = "smoke"
dataset = "synthetic"
data_root = None
seed = 100
out_dir = "../runs/smoke"

# %%
import itertools

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.signal import find_peaks

from metst_core import plots
from metst_core.decoding import decode, half_length, smooth, spot_intervals, spot_threshold
from metst_core.metrics import evaluate, interval_iou, match_intervals, match_tables
from metst_core.report import PUBLISHED, comparison_table
from metst_core.run import Run, describe, videos_of

run = Run(profile, dataset, data_root, seed, out_dir)
motion = run.motion()
results = {name: run.trained(name) for name in run.profile.models}
result = results["metst_plus"]["strict"]
annotations = result.annotations

# %% [markdown]
# ## 4.1 One video by hand
#
# We take the video with the most MEs.

# %%
subject, video = annotations.groupby(["subject", "video"]).size().idxmax()
truth = videos_of(annotations, subject, video)
score, probabilities = result.traces[subject, video]
k_p = result.k_p[subject]
print(
    f"subject {subject}, video {video}: {len(truth)} MEs, {len(score)} frames; half length k_p = {k_p}, from the other subjects"
)

# %% [markdown]
# **Smooth**: a moving average of width $2k_p$. **Threshold**: between the mean and the maximum of the smoothed score, at $p = 0.55$ (Moilanen's rule),
#
# $$ \tau = \bar s + p\,(\max s - \bar s). $$
#
# **Peaks** above it, at least $k_p$ apart. **Interval**: from $k_p$ before a peak to $k_p$ after it.

# %%
smoothed = np.convolve(score, np.ones(2 * k_p) / (2 * k_p), mode="same")
threshold = smoothed.mean() + 0.55 * (smoothed.max() - smoothed.mean())
peaks, _ = find_peaks(smoothed, height=threshold, distance=k_p)
by_hand = np.stack([peaks - k_p, peaks, peaks + k_p], axis=1)

assert np.allclose(smoothed, smooth(score, k_p))
assert np.isclose(threshold, spot_threshold(smoothed))
assert np.array_equal(by_hand, spot_intervals(score, k_p))
predictions = decode(score, probabilities, k_p, subject=subject, video=video)
predictions

# %%
figure = plots.score_timeline(
    score,
    motion.fps,
    truth,
    predictions,
    smoothed,
    threshold,
    f"subject {subject}, video {video}: a held-out video",
)
run.figure(
    figure,
    "04a_one_video",
    "One held-out video: score, smoothed score and threshold; predicted intervals above, true ones below, coloured by emotion.",
)

# %% [markdown]
# Note what the threshold implies: it depends on the *maximum* of this video's score, so **every video has at least one spotted interval**, also one without any ME. The `strict` protocol keeps such videos and counts these false positives; the `official` one drops them.
#
# ## 4.2 Interval overlap and matching
#
# Frames are inclusive, so an interval from 10 to 14 has 5 frames, and
#
# $$ \mathrm{IoU}(a, b) = \frac{|a \cap b|}{|a| + |b| - |a \cap b|}. $$
#
# Predictions are taken in order of time; each is a **true positive** (TP) when its best-overlapping ME has IoU ≥ 0.5 and is not yet taken, else a **false positive** (FP). MEs left over are **misses** (FN).

# %%
assert interval_iou((10, 14), (12, 16)) == 3 / (5 + 5 - 3)
assert interval_iou((0, 4), (5, 9)) == 0
iou = pd.DataFrame(
    [
        [interval_iou((p.onset, p.offset), (t.onset, t.offset)) for t in truth.itertuples()]
        for p in predictions.itertuples()
    ],
    index=[f"predicted {p.onset}–{p.offset}" for p in predictions.itertuples()],
    columns=[f"true {t.onset}–{t.offset}" for t in truth.itertuples()],
)
iou.round(2)

# %%
matched = match_intervals(predictions[["onset", "offset"]].to_numpy(), truth[["onset", "offset"]].to_numpy())
tp = (matched >= 0).sum()
fp, fn = len(predictions) - tp, len(truth) - tp
print(
    f"TP {tp}, FP {fp}, FN {fn}; precision {tp / max(tp + fp, 1):.2f}, recall {tp / max(tp + fn, 1):.2f}, F1 {2 * tp / max(2 * tp + fp + fn, 1):.2f}"
)
one = evaluate(predictions, truth)
assert (one.tp, one.fp, one.fn) == (tp, fp, fn)

# %% [markdown]
# ## 4.3 Recognition, and STRS
#
# Recognition is scored on the TPs only. Per emotion there is a precision and a recall; the papers' F1 is the harmonic mean of the *macro* precision and the *macro* recall (UF1, the mean of the classes' F1, and UAR, the mean recall, are given too). And
#
# $$ \mathrm{STRS} = F_1^{\text{spotting}} \times F_1^{\text{recognition}}. $$
#
# Over the whole set:

# %%
e = result.evaluation
print(
    f"TP {e.tp}, FP {e.fp}, FN {e.fn}: spotting F1 {e.spotting_f1:.3f}; recognition F1 {e.recognition_f1:.3f}, UF1 {e.uf1:.3f}, UAR {e.uar:.3f}; STRS {e.strs:.3f}"
)
assert np.isclose(e.strs, e.spotting_f1 * e.recognition_f1)
figure = plots.confusion(e.confusion, "true positives of ME-TST+")
run.figure(
    figure,
    "04b_confusion",
    "Confusion of the true positives of ME-TST+ (strict protocol): rows the true emotion, columns the predicted one.",
)

# %%
figure = plots.interval_timeline(result.predictions, annotations, motion.videos)
run.figure(
    figure,
    "04c_intervals",
    "Every held-out video: true intervals outlined below each line, predicted ones above it, coloured by emotion.",
)

# %% [markdown]
# ## 4.4 Compared with what?
#
# A number alone says nothing. Three baselines on the same videos:
#
# * **chance**: as many intervals as ME-TST+ predicted, of the same length, thrown at random, with random emotions; the mean of many throws;
# * **motion threshold**: the classical spotter, how far the ROIs leave where they are a moment before and after, under the same smoothing, threshold and peaks; emotion: the most frequent one of the training subjects;
# * **sliding window**: the same features, every frame classified from the half second around it, with nothing carried on.
#
# Brackets are 95% bootstrap intervals over *subjects*: people, not frames, are what we have few of.

# %%
pairs = [("sliding_window", "metst_plus"), ("metst", "metst_plus"), ("motion_threshold", "metst_plus")]
experiment = run.compare(motion, results, pairs)
table = comparison_table(experiment)
shown = table[table["metric"].isin(["spotting_f1", "recognition_f1", "strs"])].copy()
shown["text"] = [f"{v:.3f} [{lo:.3f}, {hi:.3f}]" for v, lo, hi in shown[["value", "low", "high"]].to_numpy()]
shown.pivot(index=["protocol", "method"], columns="metric", values="text")[
    ["spotting_f1", "recognition_f1", "strs"]
]

# %%
figure = plots.comparison(
    table[table["protocol"] == "strict"],
    ("spotting_f1", "recognition_f1", "strs"),
    "leave one subject out, strict protocol",
)
run.figure(
    figure,
    "04d_comparison",
    "Methods compared on held-out subjects (strict protocol), with 95% bootstrap intervals over subjects.",
)

# %% [markdown]
# Intervals of two methods may overlap and the methods still differ, since both are tested on the same people. The paired difference asks directly: drawing the same subjects for both, how often is one better?

# %%
paired = pd.DataFrame(experiment["comparisons"])
paired[(paired["protocol"] == "strict") & paired["metric"].isin(["spotting_f1", "strs"])].drop(
    columns="protocol"
).set_index(["a", "b", "metric"]).round(3)

# %% [markdown]
# ## 4.5 The knobs
#
# How do the threshold $p$ and the half length $k_p$ trade precision against recall? Each point is the whole set decoded anew. (These curves look at the test data; they are for understanding, never for choosing.)


# %%
def decoded(p, k):
    tables = [decode(*trace, k, p=p, subject=s, video=v) for (s, v), trace in result.traces.items()]
    return evaluate(pd.concat(tables, ignore_index=True), annotations)


def knob_figure(p=0.55, k=None):
    k = k or half_length(annotations)
    figure, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
    grid = np.linspace(0.1, 0.95, 12)
    curve = [decoded(q, k) for q in grid]
    now = decoded(p, k)
    for name, colour in (
        ("spotting_precision", "#D55E00"),
        ("spotting_recall", "#0072B2"),
        ("spotting_f1", "#000000"),
    ):
        axes[0].plot(
            grid, [getattr(c, name) for c in curve], color=colour, label=name.removeprefix("spotting_")
        )
        axes[0].plot(p, getattr(now, name), "o", color=colour)
    axes[0].set(xlabel="threshold parameter p", ylabel="value", ylim=(0, 1), title=f"k_p = {k} frames")
    axes[0].legend(frameon=False)
    lengths = np.arange(2, 13)
    axes[1].plot(lengths, [decoded(p, n).spotting_f1 for n in lengths], color="#000000")
    axes[1].plot(k, now.spotting_f1, "o", color="#000000")
    axes[1].set(xlabel="half length k_p (frames)", ylabel="spotting F1", ylim=(0, 1), title=f"p = {p:.2f}")
    return figure


run.figure(
    knob_figure(),
    "04e_knobs",
    "What the threshold and the half length do to precision, recall and F1 of ME-TST+ on the held-out videos.",
)

# %%
widgets.interact(
    lambda p, k: plt.show(knob_figure(p, k)),
    p=widgets.FloatSlider(
        value=0.55, min=0.1, max=0.95, step=0.05, description="threshold p", continuous_update=False
    ),
    k=widgets.IntSlider(
        value=half_length(annotations), min=2, max=12, description="k_p (frames)", continuous_update=False
    ),
)
# %% [markdown]
# ## 4.6 Errors, looked at
#
# One of each kind: a false positive, a miss, a wrong emotion. The frames are those of the onset and of the apex; what did the network see?

# %%
hit = match_tables(result.predictions, annotations)
missed = annotations.drop(index=annotations.index[hit[hit >= 0]])
named = annotations["emotion"].to_numpy()[hit]
errors = {
    "false positive": result.predictions[hit < 0],
    "miss": missed,
    "wrong emotion": result.predictions[(hit >= 0) & (result.predictions["emotion"].to_numpy() != named)],
}
data = run.dataset()
found = {
    name: rows.sort_values("score").iloc[-1] if "score" in rows and len(rows) else rows.iloc[0]
    for name, rows in errors.items()
    if len(rows)
}

figure, axes = plt.subplots(
    len(found), 3, figsize=(11, 3 * len(found)), layout="constrained", squeeze=False, width_ratios=[1, 1, 2.4]
)
for row, (name, error) in zip(axes, found.items(), strict=True):
    n = motion.n_frames(error.subject, error.video)
    first, last = int(np.clip(error.onset, 0, n - 1)), int(np.clip(error.apex, 0, n - 1))
    frames = list(itertools.islice(data.frames(error.subject, error.video), last + 1))
    for ax, number, label in zip(row, (first, last), ("onset", "apex"), strict=False):
        ax.imshow(frames[number])
        ax.set(title=f"{label}, frame {number}", xticks=[], yticks=[])
    trace = result.traces[error.subject, error.video][0]
    time = np.arange(len(trace)) / motion.fps
    row[2].plot(time, trace, color="#0072B2", linewidth=1)
    for t in videos_of(annotations, error.subject, error.video).itertuples():
        row[2].axvspan(
            t.onset / motion.fps, t.offset / motion.fps, color=plots.EMOTION_COLOURS[t.emotion], alpha=0.3
        )
    row[2].axvline(last / motion.fps, color="#D55E00", linestyle="--")
    row[2].set(
        title=f"{name} ({error.emotion}), dashed; truth shaded",
        xlabel="time (s)",
        ylabel="score (0 to 1)",
        ylim=(0, 1),
    )
run.figure(
    figure,
    "04f_errors",
    "One error of each kind: the face at onset and apex, and the score with the truth shaded.",
)

# %% [markdown]
# For synthetic data we can ask more: what did the face really do in the false positives? Below, the strongest true action unit in each of them.

# %%
if dataset == "synthetic":
    causes = []
    for error in errors["false positive"].itertuples():
        units = run.truth(error.subject, error.video).iloc[max(0, error.onset) : error.offset + 1]
        moved = units.max() - units.min()
        causes.append(moved.idxmax() if moved.max() > 0.002 else "nothing moved")
    display(
        pd.Series(causes, name="strongest movement in a false positive").value_counts().head(8).to_frame()
    )

# %% [markdown]
# ## 4.7 Published numbers, and ours
#
# The first table is what the papers report on licensed data. **None of it is reproduced here**, and the second table is on other data, so the two must not be compared.

# %%
PUBLISHED

# %%
shown[shown["metric"] == "strs"].pivot(index="method", columns="protocol", values="text")

# %% [markdown]
# ## 4.8 Traps
#
# Small experiments on things that make published numbers hard to compare.

# %%
# Trap: dropping ME-free videos hides false positives.
with_me = set(zip(annotations["subject"], annotations["video"], strict=True))
in_free = sum(
    (s, v) not in with_me
    for s, v in zip(result.predictions["subject"], result.predictions["video"], strict=True)
)
free = len(result.traces) - len(with_me)
print(
    f"{free} of {len(result.traces)} videos hold no ME; they carry {in_free} of {e.fp} false positives of the strict protocol"
)

# Trap: k_p over all subjects knows the held-out one.
print(
    "k_p over all subjects:",
    half_length(annotations),
    "| per fold, without the held-out subject:",
    sorted(set(result.k_p.values())),
)

# %%
# Trap: a matcher that lets one ME be matched twice counts two predictions of the same ME as two successes.
twice = np.array([[10, 20], [12, 22]])
one_to_one = (match_intervals(twice, [[11, 21]]) >= 0).sum()
greedy = sum(interval_iou(p, (11, 21)) >= 0.5 for p in twice)
assert (one_to_one, greedy) == (1, 2)

# Trap: recognition is scored on TPs only. A spotter that finds one easy ME is "perfect" at recognition.
easy = annotations.iloc[:1].assign(score=1.0)
lazy = evaluate(easy, annotations)
print(
    f"a system that finds one ME of {len(annotations)}: recognition F1 {lazy.recognition_f1:.2f}, spotting F1 {lazy.spotting_f1:.2f}, STRS {lazy.strs:.2f}"
)
assert lazy.recognition_f1 == 1.0

# Trap: a dummy interval [0, 0] for a video without peaks (first release of ME-TST) is a false positive.
dummy = pd.DataFrame(
    [
        {
            "subject": subject,
            "video": video,
            "onset": 0,
            "apex": 0,
            "offset": 0,
            "emotion": "others",
            "score": 0.0,
        }
    ]
)
assert evaluate(pd.concat([predictions, dummy]), truth).fp == one.fp + 1

# %% [markdown]
# Two more, which need no experiment: the released ME-TST sends both heads through the spotting pathway and never runs its recognition blocks (`checkpoints.load_released` reproduces that); and a score per video normalised by its own maximum always finds something (4.1).
#
# ## Exercises
#
# **1.** A system predicts intervals of 11 frames for MEs that last 5 frames, perfectly centred. What is its spotting F1 at the IoU threshold of 0.5? Why does that matter for the fixed interval?

# %% tags=["solution"]
assert interval_iou((0, 10), (3, 7)) == 5 / 11  # below 0.5: every one is a false positive and a miss, F1 = 0

# %% [markdown]
# **2.** Two predictions overlap the same ME with IoU 0.6 and 0.8, the weaker one comes first. How many TPs, FPs and FNs? Would taking them in order of score change the counts?

# %% tags=["solution"]
pair = match_intervals([[0, 9], [3, 12]], [[2, 11]])
assert interval_iou((0, 9), (2, 11)) < interval_iou((3, 12), (2, 11))
assert list(pair) == [0, -1]  # one TP, one FP, no FN; by score the other would be the TP, and the counts stay

# %%
run.record(
    "04_evaluation",
    data=describe(data),
    **experiment,
    protocol_note="strict: nothing of the held-out subject in k_p or thresholds, ME-free videos kept; official: as published",
)
