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
# # 7 · How small a movement can you see?
#
# "Nothing found" means nothing while nobody knows what *could* have been found. Here you plant micro-expressions of known size into a recording
# of a still face, try to see them yourself, and let two spotters try: the network, and plain motion that comes and goes. Then you learn what light,
# distance, frame rate and compression cost.
#
# * **Aims:** read a recall curve; say for a recording how small a movement can be found in it; know what to do before the next recording.
# * **You need:** notebook 01 (ROI motion) and 06 (analysing a video). 15 minutes, five of them for the blind test.
#
# Sizes are in *inter-ocular distances* (IOD, from one outer eye corner to the other), so that they do not depend on how near the camera was. *Found* means, as
# in notebook 04, that a find overlaps the planted interval with an IoU of 0.5 or more. *Touched* is softer: the apex of a find lies in the interval.

# %% tags=["parameters"]
profile = "smoke"
dataset = "synthetic"
data_root = None
seed = 100
out_dir = "../runs/smoke"
data_options = {}  # of load_dataset
n_jobs = None  # videos or folds at once; None: as many as cores, up to 4
video = None  # the path of your recording of a still face; None: a synthetic person
answers = None  # of the blind test, a list of True and False; None: by mouse or keyboard

# %%
# %matplotlib inline
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display

from metst_core.experiment import Run
from metst_core.footage import blind_clips, came_back, films_of, limits, plant, track, warp
from metst_core.inference import load_model
from metst_core.plots import RecallCurve, recall_curves
from metst_core.synthetic import UNIT_INDEX, generate
from metst_core.video import read_frames, write_video
from metst_core.widgets import BlindTest

run = Run(profile, dataset, data_root, seed, out_dir, data_options, n_jobs)
own = run.out / "how_small"
own.mkdir(parents=True, exist_ok=True)
small = profile == "smoke"  # a short recording, and few movements

# %% [markdown]
# ## 7.1 The recording
#
# Ten seconds of a still face, from the front, in good light: record yours with a phone or webcam and set `video` above. Keep your head still, do not talk, blink when
# you must. Without one, a synthetic person is recorded, who blinks and sways as people do and makes no micro-expression.

# %%
if video is None:
    person = generate(
        own / "person",
        1,
        1,
        6 if small else 10,
        seed=seed + 7,
        first_subject=3,
        me_per_minute=0,
        progress=False,
    )
    video = person.videos["path"].iloc[0]
[recording] = films_of(video)
face = track(recording, progress=False)
frames = list(read_frames(recording.path))
print(f"{recording.path.name}: {face.n_frames} frames, {np.nanmedian(face.iod):.0f} pixels from eye corner to eye corner; "
      f"in {face.usable.mean():.0%} of the frames something can be planted")  # fmt: skip

# %% [markdown]
# ## 7.2 What .02 is
#
# Before you test your eye, look once at what you will be looking for. A dense mesh is laid on the face in every frame, and the frame is warped along the field of an action
# unit: here the left brow (of the picture) rises. The rightmost picture shows the difference, ten times as strong. How many pixels is the movement?

# %%
middle = int(np.flatnonzero(face.usable)[face.usable.sum() // 2])
strengths = (0.005, 0.02, 0.06)
figure, axes = plt.subplots(1, 1 + len(strengths), figsize=(13, 3.8), layout="constrained")
axes[0].imshow(frames[middle])
points = face.points[middle]
axes[0].scatter(*points.T, s=1, color="#56B4E9")
axes[0].set(title="the recording and what is followed", xticks=[], yticks=[])
for ax, strength in zip(axes[1:], strengths, strict=True):
    intensity = np.zeros(len(UNIT_INDEX))
    intensity[[UNIT_INDEX["AU1L"], UNIT_INDEX["AU2L"]]] = strength
    moved = warp(frames[middle], face, middle, intensity)
    difference = 10 * (moved.astype(float) - frames[middle]).mean(axis=2)
    ax.imshow(difference, cmap="gray", vmin=-255, vmax=255)
    ax.set(
        title=f"{strength:g} IOD = {strength * face.iod[middle]:.1f} px\n(difference, ten times)",
        xticks=[],
        yticks=[],
    )
run.figure(
    figure,
    "07a_planted_movement",
    "A planted movement of the left brow at three sizes: what changes in the picture, ten times as strong.",
)

# %% [markdown]
# ## 7.3 Ten clips, by eye
#
# In most of the clips a movement is planted, in three nothing. Click the first picture, then answer with the keyboard: **J** it moved, **F** it did not, **R** once more. Nothing tells
# you on the way whether you were right. A blink is no planted movement.

# %%
clips = blind_clips(recording, face, 10, seed=seed)
test = BlindTest(clips)
if answers is not None:
    test.answers = list(answers)
display(test)

# %%
print(test.summary())
seen = test.results()
by_eye = seen[seen["strength"] > 0].sort_values("strength").reset_index(drop=True)
display(by_eye)

# %% [markdown]
# ## 7.4 The eye, plain motion and the network on one curve
#
# `limits` plants many movements into the same recording, one after the other, and looks which come back. The dots are counts, the lines are fitted curves. Where the
# solid lines pass 0.5, half of the movements of that size are touched. Plain motion is the spotter without training of notebook 04, with the threshold
# at which it makes as many finds as the network in the recording as it is: so neither gets its recall by crying wolf. Movements that
# happen to be planted where the recording has a find anyway are left out.

# %%
model = load_model("bundled")
measured = limits(recording, model, n_events=24 if small else 80, seed=seed, progress=False)
print(measured.summary())

# %%
sizes = np.geomspace(0.004, 0.035, 60)
curves = {
    name: RecallCurve(curve(sizes), *curve.band(sizes))
    for name in ("found", "touched", "rival_touched")
    if (curve := measured.curves[name]) is not None
}
figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
recall_curves(ax, sizes, curves, measured.grouped(["strength"]))
if len(by_eye):
    ax.scatter(
        by_eye["strength"], by_eye["seen"], marker="x", color="#009E73", label="you: seen or not", zorder=5
    )
    ax.legend(frameon=False, fontsize=8)
ax.set(title=f"what comes back of {len(measured.counted)} planted movements")
run.figure(
    figure,
    "07b_eye_motion_network",
    "Recall against strength in one recording: the network (found and touched), plain motion, and the eye where somebody took the test.",
)

# %% [markdown]
# Is it the movement that is found, or the resampling of the picture? A *sham* planting resamples the same frames and moves nothing that can be seen (.0004 IOD).

# %%
sham = limits(recording, model, n_events=12, seed=seed, sham=True, progress=False)
print(
    f"of {len(sham.counted)} sham plantings away from the recording's own finds {int(sham.counted['touched'].sum())} were touched"
)

# %% [markdown]
# ## 7.5 What a recording costs
#
# Movements are planted into the recording, without loss. Then the camera gets worse, one thing at a time: a dim room (fewer grey levels, and the noise stays), a face three times as far away,
# half the frame rate, strong compression. Each time the same movements are looked for.

# %%
rng = np.random.default_rng(seed)


def dim(frame):
    return np.clip(0.12 * frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8)


def far(frame):
    height, width = (2 * (side // 6) for side in frame.shape[:2])
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def compressed(frame):
    return cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 10])[1], cv2.IMREAD_COLOR)


worse = {
    "as it is": None,
    "dim": dim,
    "three times as far": far,
    "half the frame rate": None,
    "compressed": compressed,
}
counts = []
for turn in range(1 if small else 4):
    planted = plant(
        recording.path, own / f"planted_{turn}", seed=seed + turn, strengths=(0.012, 0.03), per_minute=60, suffix=".mkv",
        progress=False,
    )  # fmt: skip
    [row] = planted.videos.itertuples()
    source = list(read_frames(row.path))
    for name, alter in worse.items():
        step = 2 if name == "half the frame rate" else 1
        path = own / f"{name.replace(' ', '_')}_{turn}.mkv"
        write_video(
            path, (frame if alter is None else alter(frame) for frame in source[::step]), row.fps / step
        )
        truth = planted.annotations.assign(
            **{c: planted.annotations[c] // step for c in ("onset", "apex", "offset")}
        )
        back = came_back(path, truth, model)
        counts.append((name, turn, len(back), int(back["found"].sum()), int(back["touched"].sum())))
costs = pd.DataFrame(counts, columns=["recording", "turn", "n", "found", "touched"]).groupby("recording", sort=False)[
    ["n", "found", "touched"]
].sum()  # fmt: skip
display(costs)

# %%
figure, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
at = np.arange(len(costs))
ax.barh(at + 0.2, costs["touched"] / costs["n"], 0.38, color="#0072B2", label="touched")
ax.barh(at - 0.2, costs["found"] / costs["n"], 0.38, color="#56B4E9", label="found (IoU ≥ 0.5)")
ax.set_yticks(at, costs.index)
ax.invert_yaxis()
ax.set(xlabel=f"share of {int(costs['n'].iloc[0])} planted movements that come back", xlim=(0, 1))
ax.legend(frameon=False, fontsize=8)
run.figure(
    figure,
    "07c_what_a_recording_costs",
    "The same planted movements in the recording and in worse ones: what light, distance, frame rate and compression cost.",
)

# %% [markdown]
# With few movements a bar moves by a lot for each of them: count before you conclude. Then change one number (the factor of `dim`, the quality of `compressed`) and run the cells again.
#
# **For your own recordings:** `metst limits clip.mp4` measures this for a film of yours, `metst plant` writes films with known movements, and `metst adapt` teaches the network with
# such films, where it helps.
#
# ## Exercises
#
# **1.** A recording shows no find, and its limits say that of movements of .012 IOD two in ten would be touched. A colleague writes "the person made no micro-expression". What can be said?

# %% tags=["solution"]
missed = (1 - 0.2) ** 3
print(
    f"had there been three of that size, all three would have been missed with a chance of {missed:.0%}: nothing follows"
)

# %% [markdown]
# **2.** Why is the threshold of plain motion chosen in the recording *without* plantings?

# %% tags=["solution"]
lower = measured.rival_finds, measured.finds
print(
    f"a lower threshold touches more, real or not; at {lower[0]} and {lower[1]} finds in the recording as it is the two can be compared"
)

# %%
run.record("07_how_small", how_small={
    "file": Path(recording.path).name, "n": len(measured.counted), "touched": int(measured.counted["touched"].sum()),
    "found": int(measured.counted["found"].sum()), "rival_touched": int(measured.counted["rival_touched"].sum()),
    "touched_50": measured.touched_50.value, "sham_touched": int(sham.counted["touched"].sum()), "sham": len(sham.counted),
    "costs": costs.reset_index().to_dict("records"), "by_eye": seen.to_dict("records"),
})  # fmt: skip
