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
# # 6 · "What about my own video?"
#
# One call does it all, from a file to named intervals:
#
# ```python
# from metst_core.pipeline import analyse
# result = analyse("clip.mp4")        # or on the command line: metst analyse clip.mp4 --html clip.html
# ```
#
# This notebook runs that call step by step on a file of yours, shows what can go wrong with clips that make it go wrong, and lets you
# teach the network a few of your own annotations.
#
# **Before you start.** This does *not* detect lies, intentions or illnesses. The weights that come with it were trained on *synthetic* faces:
# one public-domain portrait, warped and animated. On real faces nobody has measured how well they work. Use them to learn and to look
# closer, *not for decisions about people*, and analyse only people who know and agree. Nothing leaves your machine.

# %% tags=["parameters"]
profile = "smoke"
dataset = "synthetic"
data_root = None
seed = 100
out_dir = "../runs/smoke"
data_options = {}  # of load_dataset
n_jobs = None  # videos or folds at once; None: as many as cores, up to 4
video = None  # the path of a video file or folder of images; None: the first video of the data set

# %%
# %matplotlib inline
import dataclasses
import time
from functools import partial
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Video, display

from metst_core import pipeline, plots
from metst_core.experiment import Run
from metst_core.extraction import extract_dataset
from metst_core.inference import FLAGS, Analysis, decode_trace, fine_tune, load_model, meaning
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.metrics import interval_text
from metst_core.models import predict_video
from metst_core.pipeline import LiveScore, analyse, camera_widget
from metst_core.synthetic import generate
from metst_core.tables import of_video
from metst_core.video import read_frames, write_video

run = Run(profile, dataset, data_root, seed, out_dir, data_options, n_jobs)
own = run.out / "own_videos"
own.mkdir(exist_ok=True)
print(pipeline.NOTICE)

# %% [markdown]
# ## 6.1 Pick a file
#
# Set `video` in the parameters cell above, or drop a file on the button below and run the rest. Any common format will do (mp4, mov, avi, mkv, webm, a webcam
# recording, a folder of images). Good material: one person, frontal, well lit, at least 32 pixels from eye to eye, 25 frames per second or more, little talking.
#
# The button is for clips: Jupyter lets no more than about 10 MB through. A larger file, or a folder of images, goes by its path: `video = "/where/it/is/clip.mp4"`.

# %%
import ipywidgets as widgets

upload = widgets.FileUpload(accept="video/*", multiple=False, description="a video of mine")
display(upload)
print("(the button is there where a kernel runs)")

# %%
if upload.value:
    video = own / Path(upload.value[0]["name"]).name
    video.write_bytes(upload.value[0]["content"])
truth = None
if video is None:
    # A synthetic person who had no part in the bundled weights' training and choices: one of those who report.
    data = (
        generate(run.out / "new_person", 1, 2, run.profile.seconds, seed=seed + 1000, first_subject=40)
        if dataset == "synthetic"
        else run.dataset()
    )
    first = data.videos.iloc[0]
    video, truth = (
        data.path(first.subject, first.video),
        of_video(data.annotations, first.subject, first.video),
    )
print("analysing", Path(video).name)

# %% [markdown]
# ## 6.2 The weights
#
# The model knows more than its weights: at which rate it reads, how long its windows are, from which score on something counts, and what a score is worth.
# A window measures motion against its own first frame, so a score hangs on where the windows begin. Therefore they begin at several frames (**phases**), and
# every window speaks for all its frames: the score is the mean, and the column `spread` of the result says how far the windows differ.
# `analyse(..., phases=1)` is the papers' way, and the fastest.
#
# The **confidence** is the share of intervals with such a score that were real micro-expressions (IoU of 0.5 or more), measured on persons that the
# network had not seen: all of them synthetic. The second table gives what is touched (the apex of a find lies in it) and found (IoU of 0.5 or more) of their MEs, with 95% intervals over persons. How they were made, and the one command that makes them again, is in the model card, `data/model_card.md`.

# %%
model = load_model("bundled")
constants = {
    name: getattr(model, name)
    for name in ("features", "window", "phases", "fps", "k_p", "threshold", "synergy", "strategy")
}
display(pd.Series(constants, name=model.name).to_frame())
measured = {
    films: {
        "MEs": numbers["n"],
        "false finds per minute": f"{numbers['false_per_minute']['rate']:.1f}",
        **{
            name: interval_text(*(numbers[name][end] for end in ("share", "low", "high")))
            for name in ("touched", "found")
        },
    }
    for films, numbers in model.card["report"].items()
}
display(pd.DataFrame(measured).T)

# %%
bins = pd.DataFrame(model.calibration.evidence["bins"])
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
scores = np.linspace(0, 1, 100)
axes[0].plot(scores, model.calibration(scores), color="#0072B2")
axes[0].axvline(model.threshold, color="#000000", linestyle="--", linewidth=1, label="threshold")
axes[0].set(xlabel="smoothed score at the apex", ylabel="confidence", title="what a score is worth")
axes[0].legend(frameon=False)
axes[1].plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1)
axes[1].scatter(bins["said"], bins["seen"], s=10 + bins["n"], color="#0072B2", alpha=0.7)
axes[1].set(
    xlabel="confidence that was said",
    ylabel="share that was true",
    title="did it hold? (persons not seen; size: how many)",
)
run.figure(
    figure,
    "06a_confidence",
    "Left: from score to confidence. Right: how well the confidence held for synthetic persons that neither network nor calibration had seen.",
)

# %% [markdown]
# ## 6.3 Watch it grow
#
# The video is streamed: a window of frames comes in, its ROI motion is measured, the network scores it, the frames are forgotten. So the score grows from the left, and an hour
# of video takes no more memory than a minute. Stop it with the ■ button: what is done is kept, and the result says what is missing.

# %%
analysis = Analysis(video, model)
picture = None
try:
    for _ in analysis:
        page = pipeline.AnalysisResult.of(analysis).plot()
        picture = picture or display(page, display_id=True)
        picture.update(page)
except KeyboardInterrupt:
    analysis.stop()
result = pipeline.AnalysisResult.of(analysis)
assert result.complete or result.trouble
print(result.summary())

# %%
figure = result.plot(truth)
run.figure(
    figure,
    "06b_result",
    "One's own video: score, threshold, the intervals found (above, with their confidence) and, where known, the true ones (below).",
)

# %% [markdown]
# The same as a table, in frames and seconds of *your* file. If your camera does not make 30 frames per second, the frames were brought to the model's rate and the
# answers brought back.

# %%
display(result.table)
print("time spent:", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items()),
      f"for {result.duration:.1f} s of video")  # fmt: skip
for write, name in (
    (result.to_csv, "result.csv"),
    (result.to_frames, "frames.csv"),
    (partial(pipeline.write_eaf, result), "result.eaf"),
    (result.to_json, "result.json"),
    (result.to_html, "result.html"),
):
    print("wrote", write(own / name))

# %% [markdown]
# `frames.csv` has a row per frame of your file (time, face, head, score, probabilities, the motion of every ROI, flags) for your own statistics, `result.eaf` opens
# in ELAN, and `data/outputs.md` says what every column means. For many videos: `metst analyse recordings/ --out results/`.
#
# Open `result.html` in a browser: it holds the time line, and for each interval the face frame by frame with ROIs, arrows and traces. It is one file and asks
# nothing from the internet.
#
# ## 6.4 Play the result

# %%
film = result.to_video(own / "result.webm")  # a format that browsers play
display(Video(str(film), embed=True) if film.stat().st_size < 3e6 else f"{film}: open it in a player")

# %% [markdown]
# ## 6.5 What can go wrong
#
# Each clip below breaks one assumption. The analysis still gives an answer, and *flags* say why not to trust it. None of these flags is a proof of quality
# when absent. A few failures have no flag at all: that the person is not like those in training, that a smile was posed, that the "emotion" is a label for a muscle movement and not a
# feeling.

# %%
source = []
for number, frame in enumerate(read_frames(video)):
    if number >= 36:
        break
    source.append(frame)
small = (source[0].shape[1] // 3, source[0].shape[0] // 3)
wrong = {
    "as it is": source,
    "dark": [(0.12 * f).astype(np.uint8) for f in source],
    "far away": [cv2.resize(f, small, interpolation=cv2.INTER_AREA) for f in source],
    "two faces": [np.hstack([f, f[:, ::-1]]) for f in source],
    "a shaking head": [
        np.roll(f, round(0.06 * f.shape[1] * np.sin(i / 2)), axis=1) for i, f in enumerate(source)
    ],
    "the face leaves": [f if i < 18 else np.full_like(f, 128) for i, f in enumerate(source)],
    "10 frames per second": source[::3],
}
rates = {"10 frames per second": 10.0}
outcomes = {}
for name, frames in wrong.items():
    path = own / f"{name.replace(' ', '_')}.mkv"
    even = [f[: f.shape[0] // 2 * 2, : f.shape[1] // 2 * 2] for f in frames]  # what the file format wants
    write_video(path, even, rates.get(name, 30.0))
    outcomes[name] = analyse(path, model, progress=False)

# %%
figure, axes = plt.subplots(1, len(wrong), figsize=(14, 2.9), layout="constrained")
for ax, (name, frames) in zip(axes, wrong.items(), strict=True):
    flags = list(dict.fromkeys(outcomes[name].quality["flag"]))
    ax.imshow(frames[0])
    ax.set(xticks=[], yticks=[], title=name, xlabel="\n".join(flags) or "no flag")
run.figure(
    figure, "06c_what_can_go_wrong", "Clips that break one assumption each, and the quality flags they raise."
)
if truth is not None:  # a face for certain
    assert "too_dark" in set(outcomes["dark"].quality["flag"])
    assert "several_faces" in set(outcomes["two faces"].quality["flag"])
    assert "face_lost" in set(outcomes["the face leaves"].quality["flag"])

# %%
pd.Series({flag: meaning(flag) for flag in FLAGS}, name="meaning").to_frame()

# %% [markdown]
# **A rule that always finds something.** The papers' threshold is relative to each video: mean + 0.55 (maximum − mean). It cannot say "there is nothing here", because the maximum of
# the score is always above it. That does no harm on data sets where every video holds an ME. For your own video it does, so the bundled model has an absolute threshold, chosen on
# persons not seen in training. Here are both on a second of a still picture with a little noise:

# %%
rng = np.random.default_rng(seed)
still = (np.clip(source[0] + rng.normal(0, 2, source[0].shape), 0, 255).astype(np.uint8) for _ in range(36))
even = (f[: f.shape[0] // 2 * 2, : f.shape[1] // 2 * 2] for f in still)
write_video(own / "still.mkv", even, 30)
calm = analyse(own / "still.mkv", model, progress=False)
relative = decode_trace(dataclasses.replace(model, threshold=None), calm.score, calm.probabilities)
print(f"still picture: highest smoothed score {calm.smoothed.max():.3f}")
print(f"the papers' threshold finds {len(relative)} interval(s), the model's own {len(calm.table)}")
assert len(calm.table) <= len(relative)

# %% [markdown]
# ## 6.6 Teach it a handful of your own annotations
#
# Suppose you have annotated one video of a person, and want to analyse another one of the same person. The table is the usual one (`subject, video, onset, apex, offset, emotion`). `fine_tune` trains
# a copy of the network on it for a few epochs.
#
# Here a synthetic person stands in for that person. With yours, put both videos and one `annotations.csv` into a folder (`data/folder.md` shows the form) and begin with
# `mine = load_dataset("folder", "my_folder", fps=30)`; the rest is the same. To find the frames to annotate, step through a film of 6.4 or the page of 6.3.

# %%
if dataset == "synthetic" and data_root is None:
    data = generate(run.out / "new_person", 1, 2, run.profile.seconds, seed=seed + 1000, first_subject=40)
    counts = (
        data.annotations.groupby("subject")["video"].nunique().sort_values(ascending=False, kind="stable")
    )
    person = counts.index[0]
    mine = dataclasses.replace(
        data,
        videos=data.videos[data.videos["subject"] == person].head(2).reset_index(drop=True),
        annotations=data.annotations[data.annotations["subject"] == person].reset_index(drop=True),
    )
    motion = extract_dataset(mine, cache_dir=run.out.parent / "cache")
    annotated = {key: len(of_video(mine.annotations, *key)) for key in motion.windows}
    learn, check = sorted(annotated, key=lambda key: -annotated[key])
    print(f"learn from {learn}: {len(of_video(mine.annotations, *learn))} annotation(s); check on {check}")

# %%
if dataset == "synthetic" and data_root is None:
    known = dataclasses.replace(
        motion,
        windows={learn: motion.windows[learn]},
        annotations=of_video(motion.annotations, *learn).reset_index(drop=True),
        videos=of_video(motion.videos, *learn).reset_index(drop=True),
    )
    tuned = (
        fine_tune(model, known, epochs=15, learning_rate=5e-4, seed=seed) if len(known.annotations) else model
    )
    n_frames = motion.n_frames(*check)
    traces = {
        name: predict_video(each.network, motion.windows[check], n_frames)[0]
        for name, each in (("before", model), ("after", tuned))
    }
    here = of_video(mine.annotations, *check)
    inside = np.zeros(n_frames, bool)
    for me in here.itertuples():
        inside[me.onset : me.offset + 1] = True
    figure, axes = plt.subplots(2, 1, figsize=(10, 4), sharex=True, sharey=True, layout="constrained")
    for ax, (name, score) in zip(axes, traces.items(), strict=True):
        ax.plot(np.arange(n_frames) / data.frame_rate, score, color="#0072B2")
        for me in here.itertuples():
            ax.axvspan(
                me.onset / data.frame_rate,
                me.offset / data.frame_rate,
                color=plots.EMOTION_COLOURS[me.emotion],
                alpha=0.25,
                linewidth=0,
            )
        gap = score[inside].mean() - score[~inside].mean() if inside.any() else np.nan
        ax.set(
            ylabel="score (0 to 1)",
            title=f"{name} fine-tuning: mean score inside − outside the true intervals {gap:+.2f}",
        )
    axes[-1].set_xlabel("time (s); shaded: the true micro-expressions of a video that was not used")
    display(
        run.figure(
            figure,
            "06d_fine_tuning",
            "The score of another video of the same person before and after fine-tuning on the annotations of one video.",
        )
    )
    pipeline.save_model(tuned, own / "mine.safetensors")  # metst analyse --weights mine.safetensors

# %% [markdown]
# One video is an anecdote, not a measurement: with so few annotations the result may get better or worse. The network learns *this* face and camera. To know, annotate more videos, hold some
# out, and compare on them (notebook 04). The calibration is gone, too: it belonged to the old weights, so the confidence of a fine-tuned model is "unknown" rather than wrong.
#
# ## 6.7 Live
#
# The same windows can be filled by a camera, and a state-space model that reads forwards can follow while they fill: it carries its state from frame to frame (notebook 02) and
# looks only 3 frames ahead. So a frame's score would be known 3 frames (0.1 s) later, and the smoothed one after another $k_p$ frames. A network that reads backwards as well (half of
# the blocks of one that is `centred`, an LSTM in both directions, a Transformer) has to wait until its window is full, half a window at most. The delay printed below says which of the two these weights are.
#
# The pictures go from the browser to the Jupyter kernel. If that runs on your machine, they stay there. If it runs elsewhere, they travel: then do not use it.

# %%
from metst_core.errors import MetstError

try:
    display(camera_widget(model))
    print("(the camera is there where a kernel runs)")
except MetstError as error:
    print(error)

# %% [markdown]
# No camera? Here the file plays the camera's part, frame by frame:

# %%
live = LiveScore(model, MediaPipeLandmarker())
begun, counts = time.monotonic(), []
for number, frame in enumerate(source):
    live.push(frame, number / 30)
    time.sleep(max(0.0, begun + (number + 1) / 30 - time.monotonic()))  # the next frame comes when it is time
    counts.append((time.monotonic() - begun, number + 1, live.n_scores))
live.finish()
print(
    f"{len(live.score)} scores, at the latest {live.delay:.2f} s after their frame; on a machine that keeps up, the smoothed score "
    f"is known {model.delay_seconds:.2f} s late (what the network waits for, and the smoothing)"
)
if live.dropped:
    print(
        f"this machine fell behind: {live.dropped} frames were dropped, so these scores are not those of the film"
    )
elif truth is not None:
    of_one_phase = analyse(
        own / "as_it_is.mkv", model, progress=False, phases=1
    ).score  # the same windows, the same scores
    assert np.allclose(live.score, of_one_phase, atol=1e-5)

figure, ax = plt.subplots(figsize=(10, 2.4), layout="constrained")
seconds, shown, scored = np.transpose(counts)
ax.step(seconds, shown, where="post", color="#999999", label="frames shown")
ax.step(seconds, scored, where="post", color="#0072B2", label="frames with a score")
ax.set(xlabel="time (s)", ylabel="frames", title="live: how far the scores are behind the camera")
ax.legend(frameon=False)
run.figure(
    figure,
    "06e_live",
    "Live: the frames that the camera has shown and those that have a score; the gap is what the network waits for, and the work.",
)

# %% [markdown]
# **Takeaways.** An answer comes with its flags and its confidence, and both were measured on synthetic persons. A rule that always finds something is no rule for your video.
#
# ## Questions to think about
#
# **1.** Half of your intervals have a confidence of 30%. How many of 10 such intervals do you expect to be real, and on which faces does that number hold?

# %% tags=["solution"]
expected = 10 * 0.3
print(f"{expected:.0f} of 10, and only on faces like those it was calibrated on: synthetic ones")

# %% [markdown]
# **2.** Halve the frame rate of `source` by dropping every second frame. Is the apex of the highest peak still at the same second? Why must it be?

# %% tags=["solution"]
path = own / "half_rate.mkv"
write_video(path, [f[: f.shape[0] // 2 * 2, : f.shape[1] // 2 * 2] for f in source[::2]], 15.0)
half = analyse(path, model, progress=False)
full = outcomes["as it is"]
print(f"highest at {full.times[np.nanargmax(full.smoothed)]:.2f} s with all frames, "
      f"{half.times[np.nanargmax(half.smoothed)]:.2f} s with half of them")  # fmt: skip
assert len(half.score) == len(half.times) == len(source[::2])  # always one score per frame of the file

# %%
run.record("06_your_own_video", own_video={
    "file": Path(video).name, "seconds": result.duration, "intervals": len(result.table), "work_seconds": dict(result.seconds),
    "flags": {name: sorted(set(outcome.quality["flag"])) for name, outcome in outcomes.items()},
})  # fmt: skip
