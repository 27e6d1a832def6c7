# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# *In a fresh hosted kernel, where nothing of this is installed, run these two lines in a cell of their own first (what is
# there stays; use the address you got this notebook from, or the path of a wheel). On your own machine: `make` did it.*
#
# ```
# %pip install "metst[hosted] @ git+https://ADDRESS-OF-THIS-REPOSITORY"
# !metst fetch
# ```

# %% [markdown]
# # 4 · From scores to intervals to numbers
#
# Notebook 03 left, for every video, a score per frame from a network that has never seen that person. This notebook turns scores into intervals, intervals into
# counts, and counts into the numbers that papers print, first on one video by hand, then over the whole set, with baselines, intervals of confidence, and the traps on the way. It takes about 50 minutes to read; afterwards you can
# compute STRS alone, say which differences a run can tell, and name six ways in which a number like that can fool you.

# %% tags=["parameters"]
# "by hand": start from the prepared run that came with the notebooks, or, without one, from a small run of this machine.
profile = "by hand"
dataset = "synthetic"
data_root = None
seed = 100
out_dir = "../runs/by_hand"
data_options = {}  # of load_dataset
n_jobs = None  # videos or folds at once; None: as many as cores, up to 4

# %%
# %matplotlib inline
import dataclasses
import json

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from matplotlib.figure import Figure
from scipy.signal import find_peaks

from metst_core import plots
from metst_core.decoding import decode, half_length, smooth, spot_intervals, spot_threshold
from metst_core.experiment import (
    HEADLINE,
    PUBLISHED_SCORES,
    Run,
    beside_published,
    by_hand,
    check,
    claims_page,
    comparison_in_words,
    comparison_table,
    describe,
    errors_by_kind,
    headline_texts,
    one_of_each,
    read_claims,
    view_of,
)
from metst_core.experiment.exercises import a_run_to_break, counts_per_person, pooled_f1
from metst_core.metrics import (
    evaluate,
    interval_iou,
    interval_text,
    match_intervals,
    match_tables,
    scoring_variants,
)
from metst_core.models import METST
from metst_core.tables import EMOTIONS, PREDICTION_COLUMNS, inside, of_video
from metst_core.training import decode_traces

if profile == "by hand":
    run = by_hand(out_dir, n_jobs)
    profile, seed = run.profile_name, run.seed
else:
    run = Run(profile, dataset, data_root, seed, out_dir, data_options, n_jobs)
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
truth = of_video(annotations, subject, video)
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
line = plots.ScoreLine(score, motion.fps, smoothed, threshold)
figure = plots.score_timeline(
    line, truth, predictions, title=f"subject {subject}, video {video}: a held-out video"
)
run.figure(
    figure,
    "04a_one_video",
    "One held-out video: score, smoothed score and threshold; predicted intervals above, true ones below, coloured by emotion.",
)

# %% [markdown]
# Note what the threshold implies: it depends on the *maximum* of this video's score, so **the highest peak of a video is always spotted**, also in a video without any ME. The `strict` protocol keeps such videos and counts these false positives; the `official` one drops them.
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
# By hand, on the video above:

# %%
names = pd.DataFrame(
    {
        "true": truth["emotion"].to_numpy()[matched[matched >= 0]],
        "predicted": predictions["emotion"].to_numpy()[matched >= 0],
    }
)
per_class = pd.DataFrame(
    {
        emotion: {
            "right": ((names["true"] == emotion) & (names["predicted"] == emotion)).sum(),
            "predicted": (names["predicted"] == emotion).sum(),
            "true": (names["true"] == emotion).sum(),
        }
        for emotion in EMOTIONS
    }
).T
per_class = per_class[
    per_class["predicted"] + per_class["true"] > 0
]  # a class that does not occur is left out
per_class["precision"] = (per_class["right"] / per_class["predicted"]).fillna(
    0.0
)  # never predicted: counts 0
per_class["recall"] = (per_class["right"] / per_class["true"]).fillna(0.0)
per_class["F1"] = 2 * per_class["right"] / (per_class["predicted"] + per_class["true"])
precision, recall, uf1 = per_class[["precision", "recall", "F1"]].mean().fillna(0.0)
recognition_f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
print(
    f"macro precision {precision:.2f}, macro recall (UAR) {recall:.2f}, F1 {recognition_f1:.2f}; UF1 {uf1:.2f}; "
    f"STRS {one.spotting_f1:.2f} × {recognition_f1:.2f} = {one.spotting_f1 * recognition_f1:.2f}"
)
assert np.allclose(
    [recognition_f1, uf1, recall, one.spotting_f1 * recognition_f1],
    [one.recognition_f1, one.uf1, one.uar, one.strs],
)
per_class.round(2)

# %% [markdown]
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
# A number alone says nothing. Two baselines that learn nothing, on the same videos:
#
# * **chance**: as many intervals as ME-TST+ predicted, of the same length, thrown at random, with random emotions; the mean of many throws;
# * **motion threshold**: the classical spotter (Moilanen's feature difference, on ROI motion): how far the third of the ROIs that moves most is from where it is a moment before and after, less the same around it; the same threshold. It cannot tell emotions and names every interval as the most frequent one of the training subjects: compare its spotting F1, not its STRS.
#
# And networks of the size of ME-TST+, with its loss and its decoding, that differ from it in one thing each:
#
# | method | it asks | it sees | motion counts from | ROIs |
# |---|---|---|---|---|
# | **sliding window** | of each *window*: is it an ME? | a patch of 16 frames | the patch's first frame | 18 |
# | **patch, no state** | of each *frame*: is it inside an ME? | a patch of 16 frames | the patch's first frame | 18 |
# | **ME-TST+, moving reference** | of each frame | all frames before (its state) | 8 frames ago, where the patch would begin | 18 |
# | **ME-TST+** | of each frame | all frames before (its state) | the first frame of a window of 50 | 18 |
# | ME-TST+, 5 ROIs | of each frame | all frames before | the first frame of a window of 50 | 5 |
# | ME-TST; ME-TST, 18 ROIs | of each frame | all frames before, one time scale | the first frame of a window of 50 | 5; 18 |
#
# "Sliding window" is a word for two things, and here they have two names. What ME-TST replaces is a **classifier of windows**: it asks of a window of $2k_p+1$ frames whether it *is* an ME (their IoU is at least 0.5), and reports that window. The **patch** is the same network asked another question, the score of the middle frame. From row to row of the table one thing changes, so that one can see *which* matters: the question, the state, or the frame of reference. (A small run, `smoke`, leaves the last rows out.)
#
# Brackets are 95% intervals over *subjects* (people, not frames, are what we have few of) and, where a method has several training seeds, over seeds; behind them, how often such intervals covered in a simulation with as many people.

# %%
steps = [
    ("sliding_window", "patch", "What is asked: windows, then frames"),
    ("patch", "metst_plus_moving", "A state, with the patch's frame of reference"),
    ("metst_plus_moving", "metst_plus", "The frame of reference: the patch's, then the window's"),
    ("metst_plus_5", "metst_plus", "ROIs: 5, then 18, in ME-TST+"),
    ("metst", "metst_18", "ROIs: 5, then 18, in ME-TST"),
    ("metst_18", "metst_plus", "Time scales at 18 ROIs: one, then two"),
    ("metst", "metst_plus_5", "Time scales at 5 ROIs: one, then two"),
]
order = [
    ("sliding_window", "metst"),
    ("metst", "metst_plus"),
    ("sliding_window", "metst_plus"),
    ("patch", "metst_plus"),
]
untrained = [("motion_threshold", name) for name in results]
seeds = run.trained_over_seeds()  # notebook 03 left them
compared = run.compare(motion, results, [*order, *[(a, b) for a, b, _ in steps], *untrained], seeds)
table = comparison_table(compared)
texts = headline_texts(table)
texts.sort_index()

# %%
for name, by_protocol in compared["without_others"].items():  # SAMM-LV is also reported on three classes
    without = {protocol: interval_text(**m["strs"]) for protocol, m in by_protocol.items()}
    print(f"STRS without 'others', {name}: {without}")

# %%
figure = plots.comparison(
    table[table["protocol"] == "strict"],
    HEADLINE,
    f"{result.config.folding}, strict protocol",
)
run.figure(
    figure,
    "04d_comparison",
    "Methods compared on held-out subjects (strict protocol), with 95% intervals over subjects.",
)

# %% [markdown]
# Intervals of two methods may overlap and the methods still differ, since both are tested on the same people. The paired difference asks directly, on the same people. (`p_value`: of all ways to exchange the two methods within people, how many give a difference as large. With $n$ people there are $2^n$ ways, so it cannot fall below $2 / 2^n$: three people can never be convincing.)

# %%
paired = pd.DataFrame(compared["comparisons"])
paired[(paired["protocol"] == "strict") & paired["metric"].isin(["spotting_f1", "strs"])].drop(
    columns="protocol"
).set_index(["a", "b", "metric"]).round(3)

# %% [markdown]
# The papers claim, on real data, that regression with a state beats the sliding window and that ME-TST+ beats ME-TST. Does it hold *here*? And which of question, state, frame of reference, ROIs and time scales makes the difference?
# The sentences below are made from the table: *better* and *worse* are said only where the test of the whole table (`p_table`) marks a row: of twenty tables of equal methods, one is expected to have a mark. `could_see` is the true difference that this run would mark in 8 of 10 cases; what is not marked is not shown to be equal.

# %%
said = {"**The papers' order, on the STRS**": [comparison_in_words(compared, a, b) for a, b in order]}
said["**One thing at a time, on the STRS**"] = [
    f"{what}: {text}" for a, b, what in steps if (text := comparison_in_words(compared, a, b))
]
said["**Against what was never trained, on the spotting F1**"] = [
    comparison_in_words(compared, a, b, "spotting_f1") for a, b in untrained
]
Markdown("\n\n".join(f"{head}\n" + "\n".join(f"* {line}" for line in lines) for head, lines in said.items()))

# %% [markdown]
# Read this before you believe any ranking, ours included.
#
# * **How a baseline is fed can decide a comparison.** A first version of the patch counted motion as ME-TST+ does, from the start of a long window, and lost by far; counted from its own start, drift of the head from before the patch is gone. That is why the moving reference is a row of its own.
# * Most of our synthetic MEs are bumps that fit into a patch; few ask for a longer memory. On such data a good patch can be enough, and the case for the state has to be made on real faces.
# * All of them decode with the `fixed` interval, so all share its ceiling (notebook 02): an ME shorter than half of it, or longer than twice it, cannot be found, whatever the network says.
#
# The same people are not the only luck: another training seed gives another network. Over the seeds that were trained (ME-TST+, strict):

# %%
for name, spread in seeds.items():
    display(spread.set_index("metric").loc[list(HEADLINE)].round(3).rename_axis(name))

# %% [markdown]
# ### The papers' claims, one by one
#
# Each claim has cells of its own: the same network with one thing exchanged, as large as the original where that can be (`size`), and the rivals. That takes hours, so it is computed once, by `metst claims --run runs/default`, and kept in `data/claims`; a run's own table is shown where there is one.

# %%
claims = read_claims(run.out)
display(Markdown(claims.origin))
if len(claims.answers):
    display(Markdown(claims_page(claims)))

# %% [markdown]
# The grey band is what the table could not have seen: a dot inside it is no proof of equality. Filled dots are told apart in the test of the whole table. What does each figure say about *its* claim, and what would you still have to exclude?

# %%
for answer in claims.answers.to_dict("records"):
    mine = claims.cells(answer["claim"])
    if len(mine) > 1:
        display(plots.claim(mine, f"{answer['sentence']} ({answer['answer']})"))

# %% [markdown]
# And by length: a state could help most with those that a window cuts.

# %%
if len(claims.table):
    by_length = [c for c in claims.table.columns if c.startswith("recall, ")]
    display(claims.table.set_index(["claim", "level"])[["size", "seeds", *by_length]].round(2))

# %% [markdown]
# ## 4.5 The knobs
#
# How do the threshold $p$ and the half length $k_p$ trade precision against recall? Each point is the whole set decoded anew; the dot is the papers' setting. (These curves look at the test data; they are for understanding, never for choosing.)


# %%
def decoded(p, k):
    moved = decode_traces(
        result.traces, dict.fromkeys(result.k_p, k), dataclasses.replace(result.config, p=p)
    )
    return evaluate(moved, annotations)


def knob_figure(p=0.55, k=None):
    k = k or half_length(annotations)
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    by_p, by_k, trade = figure.subplots(1, 3)
    grid, lengths = np.linspace(0.05, 0.95, 13), np.arange(2, 13)
    over_p, over_k, now = [decoded(q, k) for q in grid], [decoded(p, n) for n in lengths], decoded(p, k)
    for name, colour in (
        ("spotting_precision", "#D55E00"),
        ("spotting_recall", "#0072B2"),
        ("spotting_f1", "#000000"),
    ):
        label = name.removeprefix("spotting_").replace("f1", "F1")
        for ax, knob, curve, here in ((by_p, grid, over_p, p), (by_k, lengths, over_k, k)):
            ax.plot(knob, [getattr(point, name) for point in curve], color=colour, label=label)
            ax.plot(here, getattr(now, name), "o", color=colour)
    by_p.set(xlabel="threshold parameter p", ylabel="spotting", ylim=(0, 1.02), title=f"k_p = {k} frames")
    by_k.set(xlabel="half length k_p (frames)", ylabel="spotting", ylim=(0, 1.02), title=f"p = {p:.2f}")
    by_p.legend(frameon=False, fontsize=8)
    trade.plot(
        [c.spotting_recall for c in over_p], [c.spotting_precision for c in over_p], ".-", color="#999999"
    )
    trade.plot(now.spotting_recall, now.spotting_precision, "o", color="#000000")
    trade.set(
        xlabel="spotting recall", ylabel="spotting precision", xlim=(0, 1.02), ylim=(0, 1.02),
        title=f"all p; TP {now.tp}, FP {now.fp}, FN {now.fn}",
    )  # fmt: skip
    return figure


run.figure(
    knob_figure(),
    "04e_knobs",
    "What the threshold and the half length do to precision, recall and F1 of ME-TST+ on the held-out videos.",
)

# %% [markdown]
# And on *one* video, that of 4.1: turn $p$ and $k_p$ and watch its intervals turn from true (green) to false (red). The grey ones below are the truth.


# %%
def one_video_figure(p=0.55, k=k_p):
    """The score of one video, its threshold, and its intervals: green where they match an ME, else red."""
    moved = decode(score, probabilities, k, p=p, subject=subject, video=video)
    hits = match_intervals(moved[["onset", "offset"]].to_numpy(), truth[["onset", "offset"]].to_numpy()) >= 0
    smoothed = smooth(score, k)
    figure, ax = plt.subplots(figsize=(11, 2.8), layout="constrained")
    seconds = np.arange(len(score)) / motion.fps
    ax.plot(seconds, score, color="#cccccc", linewidth=1, label="score")
    ax.plot(seconds, smoothed, color="#0072B2", label="smoothed")
    ax.axhline(spot_threshold(smoothed, p), color="#000000", linestyle="--", linewidth=1, label="threshold")
    for table, height, colours in (
        (truth, -0.1, ["#777777"] * len(truth)),
        (moved, 1.08, np.where(hits, "#009E73", "#D55E00")),
    ):
        for row, colour in zip(table.itertuples(), colours, strict=True):
            ax.plot(
                [row.onset / motion.fps, row.offset / motion.fps],
                [height, height],
                color=colour,
                linewidth=6,
                solid_capstyle="butt",
            )
    tp, fp, fn = hits.sum(), (~hits).sum(), len(truth) - hits.sum()
    ax.set(
        xlabel="time (s)",
        ylabel="score",
        ylim=(-0.2, 1.2),
        title=f"p = {p:.2f}, k_p = {k}: TP {tp}, FP {fp}, FN {fn}, F1 {2 * tp / max(2 * tp + fp + fn, 1):.2f}",
    )
    ax.legend(frameon=False, fontsize=8, ncols=3, loc="center left", bbox_to_anchor=(0, 0.88))
    return figure


widgets.interact(
    lambda p, k: plt.show(one_video_figure(p, k)),
    p=widgets.FloatSlider(
        value=0.55, min=0.05, max=0.95, step=0.05, description="threshold p", continuous_update=False
    ),
    k=widgets.IntSlider(value=k_p, min=2, max=12, description="k_p (frames)", continuous_update=False),
)

# %% [markdown]
# ## 4.6 Errors, looked at
#
# One of each kind: the false positive with the highest score, the first miss, the wrong emotion with the highest score. Left: the face at onset and apex (of the miss: the annotated ones). Middle: what the network
# was given, the motion of the 18 ROIs around that moment (colours as in notebook 01). Right: what it made of it. True MEs are shaded in the colour of their emotion; the dashed line is the apex shown.

# %%
errors = errors_by_kind(result.predictions, annotations)
print({kind: len(rows) for kind, rows in errors.items()})
if run.has_faces:
    data = run.dataset()
    views = [view_of(kind, error, data, motion, result) for kind, error in one_of_each(errors).items()]
    figure = plots.error_gallery(views, motion.fps)
    display(
        run.figure(
            figure,
            "04f_errors",
            "One error of each kind: the face at onset and apex, the ROI motion, and the score with the truth shaded.",
        )
    )
else:
    print(
        "A prepared run holds no faces. Run `run.dataset()` in a cell of its own (it takes minutes), then this one again."
    )

# %% [markdown]
# For synthetic data we can ask more: what did the face really do in the false positives? Below, the strongest true action unit in each of them.

# %%
if dataset == "synthetic" and run.has_faces:
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
# What the papers report on licensed data (none of it is reproduced here), and what this run found.
#
# **Different data: do not compare across the bar.** Left are real micro-expressions of people in a laboratory; right, with the synthetic set, drawn heads, a set made so that methods can be told apart. Within a column the numbers can be compared, across columns they mean nothing.

# %%
PUBLISHED_SCORES.rename_axis("method")

# %%
side_by_side = beside_published(
    texts, f"| ours on {'SynthME' if dataset == 'synthetic' else dataset}, strict"
)
side_by_side.rename_axis(f"STRS; published: leave one subject out, ours: {result.config.folding}")

# %% [markdown]
# ## 4.8 Seven traps
#
# Things that make published numbers hard to compare, each with a small experiment.
#
# **Trap 1: code that does not do what the paper says.** The released ME-TST sends both heads through the spotting pathway; its recognition blocks never run. `checkpoints.load_released` keeps to that (and lets you switch it off). Wipe those blocks out, and see who notices:

# %%
torch.manual_seed(seed)
x = torch.randn(1, 10, 50)
for as_released in (True, False):
    network = METST(width=16, depth=2, d_state=8, both_heads_on_spotting=as_released).eval()
    idle = sum(value.numel() for value in network.recognition.parameters())
    with torch.no_grad():
        before = network(x)[1]
        for value in network.recognition.parameters():
            value.zero_()
        change = (network(x)[1] - before).abs().max().item()
    print(
        f"{'as released  ' if as_released else 'as in the paper'}: recognition blocks ({idle / sum(v.numel() for v in network.parameters()):.0%} "
        f"of all weights) set to 0; the emotions' logits change by {change:.3f}"
    )
    assert (change == 0) == as_released

# %% [markdown]
# **Trap 2: $k_p$ over all subjects** knows how long the held-out person's MEs last. First on this set, the same networks decoded with either; then where it matters, one person with short MEs and one with long ones, both found *perfectly* (every apex hit).

# %%
leaked = decode_traces(result.traces, dict.fromkeys(result.k_p, half_length(annotations)), result.config)
print(
    f"here: k_p per fold {sorted(set(result.k_p.values()))}, over all {half_length(annotations)}; "
    f"spotting F1 {e.spotting_f1:.3f} and {evaluate(leaked, annotations).spotting_f1:.3f}"
)
short, long = (pd.DataFrame({"onset": [30 - h], "offset": [30 + h]}) for h in (2, 7))
for name, k in (
    ("from the other", {"short": half_length(long), "long": half_length(short)}),
    ("over both", dict.fromkeys(("short", "long"), half_length(pd.concat([short, long])))),
):
    ious = {
        who: interval_iou((30 - k[who], 30 + k[who]), (t.onset[0], t.offset[0]))
        for who, t in (("short", short), ("long", long))
    }
    print(
        f"k_p {name}: {k}; IoU {', '.join(f'{v:.2f}' for v in ious.values())}; found {sum(v >= 0.5 for v in ious.values())} of 2"
    )

# %% [markdown]
# **Trap 3: videos without an ME dropped.** Most of an ordinary video is free of MEs, and a threshold relative to the video's own maximum finds something in it all the same. Let us cut the longest ME-free stretch out of each video and evaluate it as a video of its own: nothing new can be found there.

# %%
stretches = {}
for (s, v), (trace, classes) in result.traces.items():
    in_me = inside(of_video(annotations, s, v), len(trace))
    edges = np.flatnonzero(np.diff(np.concatenate([[True], in_me, [True]])))
    start, stop = max(
        zip(edges[::2], edges[1::2], strict=True), key=lambda part: part[1] - part[0], default=(0, 0)
    )
    if stop - start >= 4 * result.k_p[s]:
        stretches[s, f"{v}, ME-free part"] = trace[start:stop], classes[start:stop]
in_stretches = decode_traces(stretches, result.k_p, result.config)
with_stretches = evaluate(pd.concat([result.predictions, in_stretches], ignore_index=True), annotations)
free = len(result.traces) - len(set(zip(annotations["subject"], annotations["video"], strict=True)))
print(
    f"{free} of the {len(result.traces)} videos here hold no ME; {len(stretches)} ME-free stretches give {len(in_stretches)} intervals, "
    f"all false: spotting F1 falls from {e.spotting_f1:.3f} to {with_stretches.spotting_f1:.3f}. Dropping such videos hides that."
)
assert with_stretches.tp == e.tp

# %% [markdown]
# **Trap 4: an ME matched twice.** A matcher that forgets which MEs are taken counts two predictions of one ME as two successes. A cheap way to profit: predict everything twice.


# %%
def twice_matched(found):
    """TP, FP, FN when every prediction may have the ME that it overlaps best, taken or not."""
    tp = sum(
        max((interval_iou((p.onset, p.offset), (t.onset, t.offset)) for t in of_video(annotations, p.subject, p.video).itertuples()), default=0) >= 0.5
        for p in found.itertuples()
    )  # fmt: skip
    return tp, len(found) - tp, max(0, len(annotations) - tp)


doubled = pd.concat(
    [result.predictions, result.predictions.assign(offset=result.predictions["offset"] + 1)],
    ignore_index=True,
)
for name, found_twice in (("as predicted", result.predictions), ("everything twice", doubled)):
    strictly, loosely = evaluate(found_twice, annotations), twice_matched(found_twice)
    f1_loose = 2 * loosely[0] / max(2 * loosely[0] + loosely[1] + loosely[2], 1)
    print(
        f"{name:16s}: one-to-one TP {strictly.tp}, F1 {strictly.spotting_f1:.3f}; matched twice TP {loosely[0]}, F1 {f1_loose:.3f}"
    )
    assert loosely[0] >= strictly.tp

# %% [markdown]
# **Trap 5: a dummy for the empty video.** The first release of ME-TST predicts `[0, 0]` where it found nothing: a false positive that the method never made. With synergy 1 intervals are withdrawn, and some videos may end up empty:

# %%
withdrawn = result.redecoded(synergy=1).predictions
empty = [key for key in result.traces if of_video(withdrawn, *key).empty]
dummies = [
    pd.DataFrame([(*key, 0, 0, 0, "others", 0.0)], columns=list(PREDICTION_COLUMNS))
    for key in [*empty, (subject, video)]
]
honest, with_dummies = (
    evaluate(withdrawn, annotations),
    evaluate(pd.concat([withdrawn, *dummies[:-1]]), annotations),
)
print(
    f"synergy 1 leaves {len(empty)} of {len(result.traces)} videos empty: FP {honest.fp} becomes {with_dummies.fp}, "
    f"spotting F1 {honest.spotting_f1:.3f} becomes {with_dummies.spotting_f1:.3f}"
)
assert evaluate(pd.concat([predictions, dummies[-1]]), truth).fp == one.fp + 1  # on the video of 4.1

# %% [markdown]
# **Trap 6: recognition is scored on the TPs only**, so two systems are scored on different samples. A system that finds a single easy ME can have a perfect recognition F1. And between two real ones: compare them on the MEs that both found.

# %%
lazy = evaluate(annotations.iloc[:1].assign(score=1.0), annotations)
assert lazy.recognition_f1 == 1.0
print(
    f"finds one ME of {len(annotations)}: recognition F1 {lazy.recognition_f1:.2f}, spotting F1 {lazy.spotting_f1:.2f}, STRS {lazy.strs:.2f}"
)
found_by = {
    name: match_tables(results[name]["strict"].predictions, annotations) for name in ("metst", "metst_plus")
}
common = set.intersection(*(set(m[m >= 0]) for m in found_by.values()))
rows = []
for name, m in found_by.items():
    own = results[name]["strict"]
    shared = own.predictions[np.isin(m, list(common))]
    on_common = evaluate(shared, annotations.iloc[sorted(common)]).recognition_f1 if common else np.nan
    rows.append((name, (m >= 0).sum(), own.evaluation.recognition_f1, len(common), on_common))
pd.DataFrame(
    rows,
    columns=["method", "own TPs", "recognition F1 on them", "MEs that both found", "recognition F1 on those"],
).set_index("method").round(3)

# %% [markdown]
# **Trap 7: the same predictions under other rules.** Public scorers keep a class of the task that never occurs in the means, as a 0; do not look at false positives in videos without an ME; and one of them calls the mean of *precisions* UAR. Nothing is predicted anew here (`data/megc.md` says how to choose a rule):

# %%
scoring_variants(result.predictions, annotations).set_index("rule").round(3)

# %% [markdown]
# ## 4.9 What of the short and the weak ones?
#
# One recall over all MEs hides whom it misses. By length in frames, and by strength: how far the ROI that moves most gets from where it was at the onset (pixels of the 320 crop, in thirds).

# %%
strata = pd.DataFrame(compared["recall"]["metst_plus"]["strict"])
strata[["by", "stratum", "n", "found", "recall", "low", "high"]].round(2)

# %% [markdown]
# **Takeaways.** A threshold relative to a video always finds something. Recognition is scored on what was found, so STRS can rise by finding less. A ranking is worth what its interval says, and how a baseline is fed can decide it.
#
# ## Exercises
#
# (`make exercises` builds the notebook with stubs; `check` judges your answer.)
#
# **1. Break STRS.** Below, a made-up run: ten MEs, eight found, three of them given the wrong emotion, three false alarms. Make its STRS *rise* by leaving out predictions, without leaving out a single false alarm. Why is that possible, and what does it say of the measure?

# %%
predictions_made_up, truth_made_up = a_run_to_break()
before = evaluate(predictions_made_up, truth_made_up)
print(before)
predictions_made_up.assign(truth=[*truth_made_up["emotion"][:8], "–", "–", "–"])

# %% tags=["exercise", "hide-input"]
# stub:
# keep = ...  # one True or False per prediction
true_emotion = [*truth_made_up["emotion"][:8], None, None, None]
keep = np.array(
    [e is None or e == named for e, named in zip(true_emotion, predictions_made_up["emotion"], strict=True)]
)
assert check("break STRS", keep)

# %% [markdown]
# Recognition is scored on the true positives only (trap 6). Who does not find what he cannot name loses a little spotting and gains a lot of recognition, and the product rises.
#
# **2. Choose p honestly.** Six persons, five thresholds, and the counts that each threshold gives on each person. Write the choice of $p$ for *one* person that a fair test allows.

# %%
counts_per_person().unstack("p")["tp"]


# %% tags=["exercise", "hide-input"]
# stub:
# def choose(counts, person):
#     """The threshold for this person; pooled_f1(counts) gives the F1 of every threshold."""
#     return ...
def choose(counts, person):
    """The threshold for this person; pooled_f1(counts) gives the F1 of every threshold."""
    others = counts.drop(index=person, level="person")
    return pooled_f1(others).idxmax()


assert check("honest p", choose)

# %% [markdown]
# **3. To think about.** Two predictions overlap the same ME with IoU 0.6 and 0.8, the weaker one comes first. How many TPs, FPs and FNs? Would taking them in order of score change the counts?

# %%
pair = match_intervals([[0, 9], [3, 12]], [[2, 11]])
assert interval_iou((0, 9), (2, 11)) < interval_iou((3, 12), (2, 11))
assert list(pair) == [0, -1]  # one TP, one FP, no FN; by score the other would be the TP, and the counts stay

# %%
run.record(
    "04_evaluation",
    data=describe(run.dataset())
    if run.has_faces
    else json.loads((run.out / "results.json").read_text(encoding="utf-8"))["data"],
    **compared,
    protocol_note="strict: nothing of the held-out subject in k_p or thresholds, ME-free videos kept; official: as published",
)
