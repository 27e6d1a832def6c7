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
# # 1 · From a face to ROI motion
#
# A micro-expression is a small movement of a small part of the face for a fraction of a second. Before any network sees it, the video
# becomes a handful of numbers per frame: the **motion of regions of interest (ROIs)**, here the brows, the mouth, the wings of the nose and the lower eyelids.
#
# This notebook goes from pixels to those numbers, step by step:
#
# 1. see one: a micro-expression, magnified;
# 2. a data set: faces that move, and the truth about how they move;
# 3. landmarks, face crop, ROI boxes;
# 4. optical flow and its *main-direction mean*;
# 5. head motion, and how to take it away;
# 6. windows, and the whole data set.
#
# It takes about 40 minutes to read. Afterwards you can say what the network sees of a face, in pixels, and what it does not.
#
# It leaves `motion.npz` in the run's folder, which the next notebooks read.
#
# **About the faces.** No micro-expression data set may be used without a signed licence. The default here is *synthetic*: three-dimensional heads,
# each of another person, that move by facial action units (AUs) before a camera with noise. We know the
# truth for every frame, which no real set offers. It is not a substitute for real faces. With a licence for CAS(ME)³ or SAMM-LV, set
# `dataset` and `data_root` and run the same notebook.

# %% tags=["parameters"]
profile = "smoke"
dataset = "synthetic"
data_root = None
seed = 100
out_dir = "../runs/smoke"
data_options = {}  # of load_dataset
n_jobs = None  # videos or folds at once; None: as many as cores, up to 4

# %%
# %matplotlib inline
import itertools

import cv2
import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML
from scipy.stats import mannwhitneyu

from metst_core import plots, tables
from metst_core.experiment import Run, check, describe
from metst_core.motion import (
    FARNEBACK,
    box_flow,
    cut_crop,
    extract_motion,
    find_reference,
    main_direction_mean,
    window_motion,
)
from metst_core.rois import ROIS, boxes_on_crop, channel_indices, roi_names, rois_on_crop
from metst_core.windows import unstitch, window_starts

run = Run(profile, dataset, data_root, seed, out_dir, data_options, n_jobs)
data = run.dataset()
pd.Series(describe(data), name="data set").to_frame()

# %%
plots.data_line()

# %% [markdown]
# ## 1.0 See one first
#
# We follow one ME through this notebook: the longest of the first subject that has one and fits into a window. Below, its **onset** and its **apex** take turns, four times a second. Can you see it? What most people see first is not
# the face but the head, which never holds still. So the second picture is magnified (every pixel moved eight times as far), and in the third the motion of the head is taken out before that.

# %%
half = data.window // 2
window_of, since = np.divmod(data.annotations["onset"], half)
begins = (window_of - (since < 8)).clip(lower=0) * half  # of the window with some frames before the onset
duration = (data.annotations["offset"] - data.annotations["onset"]) / data.frame_rate
table = data.annotations.assign(start=begins, d=duration)
fitting = table[table["offset"] < table["start"] + data.window]
example = fitting[fitting["subject"] == fitting["subject"].iloc[0]].sort_values("d").iloc[-1]
start = int(example.start)
clip = np.stack(
    list(itertools.islice(data.frames(example.subject, example.video), start, start + data.window))
)
onset, apex, offset = (int(example[name]) - start for name in ("onset", "apex", "offset"))
landmarker = run.landmarker()
grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip])
at_onset = find_reference(grey[onset], landmarker)


def magnified(frame, times=8, head=True):
    """The face at the onset, every pixel moved `times` as far as it had moved by `frame`; `head`: as the head moves too."""
    flow = box_flow(at_onset.crop, cut_crop(grey[frame], at_onset.place))
    if not head:
        nose = boxes_on_crop(at_onset.points)["nose_bridge"]
        flow = flow - main_direction_mean(flow[nose.slices], 0.7)
    flow = cv2.GaussianBlur(np.float32(flow), (0, 0), 4)
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    return cv2.remap(
        at_onset.crop,
        x - times * flow[..., 0],
        y - times * flow[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def three(frame):
    """As it is, magnified, and magnified without the head: side by side."""
    as_it_is = cut_crop(grey[frame], at_onset.place)
    return np.hstack([as_it_is, magnified(frame), magnified(frame, head=False)])


HTML(
    plots.flicker(
        [three(onset), three(apex)],
        0.25,
        "onset and apex taking turns: as it is; magnified; magnified, head motion taken out",
    )
)

# %% [markdown]
# Frame by frame, from before the onset to after the offset:

# %%
HTML(
    plots.flicker(
        [three(t) for t in range(max(0, onset - 3), min(len(clip), offset + 4))],
        0.15,
        "the same three pictures, frame by frame through the micro-expression",
    )
)

# %% [markdown]
# And on paper:

# %%
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
for ax, name, frame in zip(
    axes, ("onset", "apex", "offset"), (onset, apex, min(offset, len(clip) - 1)), strict=False
):
    ax.imshow(clip[frame])
    ax.set(title=f"{name}, {(start + frame) / data.frame_rate:.2f} s", xticks=[], yticks=[])
axes[3].imshow(magnified(apex, head=False), cmap="gray")
axes[3].set(title="apex, × 8, without the head", xticks=[], yticks=[])
figure.suptitle(f"{example.emotion}, subject {example.subject}, video {example.video}")
run.figure(
    figure,
    "01a_frames",
    "One micro-expression: three frames, and the apex with its movement eight times as large, the head's motion taken out.",
)

# %% [markdown]
# ## 1.1 The data: intervals in long videos
#
# Each row of the annotation table is one ME: frame numbers (counted from 0) of its onset, apex and offset, and its emotion. The emotions are
# grouped as in the papers: *negative, positive, surprise, others*.

# %%
data.annotations.head(8)

# %% [markdown]
# The **length** of an ME is here, and in all notebooks, the time from its onset to its offset, (offset − onset) / frame rate. Its interval holds one frame more, since both ends belong to it.

# %%
if dataset == "synthetic":
    assert duration.max() <= 2.5, "longer than the longest micro-expressions of the coding sheets"
print(
    f"{(duration > 0.5).mean():.0%} last longer than half a second, by which many define an ME; annotators do not keep to it"
)

figure, ax = plt.subplots(figsize=(8, 2.6), layout="constrained")
bins = np.linspace(0, max(0.6, duration.max()), 13)
emotions = [duration[data.annotations["emotion"] == e] for e in plots.EMOTIONS]
ax.hist(
    emotions,
    bins,
    stacked=True,
    color=[plots.EMOTION_COLOURS[e] for e in plots.EMOTIONS],
    label=list(plots.EMOTIONS),
)
ax.set(xlabel="duration, onset to offset (s)", ylabel="micro-expressions")
ax.legend(frameon=False)
plt.show(figure)

# %% [markdown]
# ## 1.2 Landmarks, crop, boxes
#
# A *landmarker* returns 68 points on the face (the iBUG scheme). Ours asks MediaPipe's face mesh, which runs offline. It is called twice:
# on the whole frame, to place a square **crop** around the face, then on the crop (320 × 320 pixels), to place the **ROIs**. If $g$ is half the
# distance of the inner eye corners, the crop reaches from $3.5g$ above them to $5.5g$ below, and $4.5g$ to each side.
#
# All of this happens once per window, on its first frame. Finding landmarks in every frame would add their jitter to a motion of about one
# pixel, as section 1.5 shows.

# %%
reference = find_reference(grey[0], landmarker)
assert reference.crop.shape == (320, 320)

figure, ax = plt.subplots(figsize=(5.5, 5.5), layout="constrained")
ax.imshow(reference.crop, cmap="gray")
ax.plot(*reference.points.T, ".", color="#E69F00", markersize=5)
for number in (18, 19, 20, 23, 24, 25, 31, 35, 39, 42, 48, 51, 54, 57, 62):
    ax.annotate(str(number), reference.points[number], color="white", fontsize=7)
ax.set(
    xlabel="column (pixel)",
    ylabel="row (pixel)",
    title="68 landmarks; the ones that ROIs hang on are numbered",
)
plt.show(figure)

# %% [markdown]
# ME-TST uses 5 ROIs, ME-TST+ uses 18 at two granularities: *whole* regions and *fine* windows around single landmarks. They are a table:

# %%
pd.DataFrame([(r.name, r.granularity, r.parent or "", r.landmark, r.q, r.in_metst) for r in ROIS],
             columns=["ROI", "granularity", "parent", "landmark", "share q", "in ME-TST"])  # fmt: skip

# %%
figure = plots.rois_on_face(reference.crop, rois_on_crop(reference.points), "the 18 ROIs of ME-TST+")
run.figure(
    figure,
    "01b_rois",
    "The 18 regions of interest of ME-TST+ on the face crop; each is averaged over its most moving pixels.",
)

# %% [markdown]
# ## 1.3 Optical flow, and the mean of what moves most
#
# Between the window's first frame and frame $t$, Farnebäck's method estimates a displacement $(d_x, d_y)$ for every pixel of a box. Skin without
# texture hardly "moves" for it. So a plain mean is diluted; the papers take the **main-direction mean** instead, the average over the share $q$ of
# pixels that moved most:
#
# $$ m = \frac{1}{|P|}\sum_{p \in P} \big(d_x(p), d_y(p)\big), \qquad P = \text{the pixels ranked } \lfloor n(1-q) \rfloor \ldots n \text{ by } \lVert d \rVert. $$


# %%
def main_direction(flow, q):
    """The definition in three lines."""
    vectors = flow.reshape(-1, 2).astype(float)
    order = np.argsort((vectors**2).sum(axis=1), kind="stable")
    return vectors[order[int(len(vectors) * (1 - q)) :]].mean(axis=0)


brow = boxes_on_crop(reference.points)["left_brow"].slices
crop_now = cv2.resize(grey[apex][reference.place.slices], (320, 320))
flow = box_flow(reference.crop[brow], crop_now[brow])
assert np.allclose(main_direction(flow, 0.3), main_direction_mean(flow, 0.3), atol=1e-5)
print("Farnebäck:", FARNEBACK)
print("plain mean          ", flow.reshape(-1, 2).mean(axis=0).round(3), "px")
print("main-direction mean ", main_direction(flow, 0.3).round(3), "px")

# %% [markdown]
# Turn $q$: which pixels take part, and what the mean says. Near 0 a few pixels decide (noise among them), at 1 the skin that does not move waters it down.


# %%
def shares_figure(q=0.3):
    """The box at the apex: the pixels that take part, and the mean over q."""
    figure, (picture, curve) = plt.subplots(1, 2, figsize=(10, 2.6), layout="constrained")
    size = np.hypot(*flow.reshape(-1, 2).T)
    part = np.zeros(len(size), bool)
    part[np.argsort(size, kind="stable")[int(len(size) * (1 - q)) :]] = True
    picture.imshow(reference.crop[brow], cmap="gray")
    picture.imshow(np.ma.masked_equal(part.reshape(flow.shape[:2]), False), cmap="autumn", alpha=0.55)
    picture.set(title=f"left brow, q = {q:.2f}: {part.sum()} of {part.size} pixels", xticks=[], yticks=[])
    grid = np.linspace(0.02, 1, 50)
    means = np.array([main_direction(flow, value) for value in grid])
    for i, (name, colour) in enumerate((("x", "#0072B2"), ("y", "#D55E00"))):
        curve.plot(grid, means[:, i], color=colour, label=f"mean {name}")
        curve.plot(q, main_direction(flow, q)[i], "o", color=colour)
    curve.set(xlabel="share q", ylabel="motion (px of the 320 crop)")
    curve.legend(frameon=False)
    return figure


widgets.interact(
    lambda q: plt.show(shares_figure(q)),
    q=widgets.FloatSlider(value=0.3, min=0.02, max=1, step=0.02, continuous_update=False),
)

# %%
figure, ax = plt.subplots(figsize=(6, 6), layout="constrained")
ax.imshow(reference.crop, cmap="gray", alpha=0.6)
for name, box in boxes_on_crop(reference.points).items():
    r, c = box.slices
    field = box_flow(reference.crop[r, c], crop_now[r, c])[3::6, 3::6]
    y, x = np.mgrid[box.top + 3 : box.bottom : 6, box.left + 3 : box.right : 6]
    colour = plots.ROI_COLOURS.get(name, plots.ROI_COLOURS["left_wing"] if name == "nose" else (0, 0, 0))
    ax.quiver(
        x,
        y,
        field[..., 0],
        field[..., 1],
        color=colour,
        angles="xy",
        scale_units="xy",
        scale=0.15,
        width=0.003,
    )
ax.set(
    xlabel="column (pixel)",
    ylabel="row (pixel)",
    title="flow from the window's first frame to the apex, arrows × 6.7",
)
run.figure(
    figure,
    "01c_flow",
    "Optical flow inside the boxes at the apex, arrows enlarged; black: the nose bridge, whose motion is head motion.",
)

# %% [markdown]
# ## 1.4 Head motion
#
# The whole head moves too, often more than the brow. The bridge of the nose has no muscle to speak of, so its motion is head motion. The papers
#
# * shift the crop by the (rounded) nose-bridge motion while it is longer than a pixel, at most three times per frame,
# * subtract what remains from every ROI.
#
# `window_motion` does all of it, for the 36 channels (x then y for each of 18 ROIs). Its first column is zero: the first frame has not moved against itself.

# %%
motion = window_motion(clip, landmarker)
assert motion.shape == (36, len(clip))
assert not motion[:, 0].any()
# The five ROIs of ME-TST are a subset of the eighteen, to the bit.
assert np.array_equal(window_motion(clip, landmarker, features="metst"), motion[channel_indices("metst")])

# %% [markdown]
# Beside the motion we can draw something that exists for no real data set: the true intensity of each action unit, in inter-ocular distances.

# %%
truth, intensity = None, run.truth(example.subject, example.video)
if intensity is not None:
    window_truth = intensity.iloc[start : start + len(clip)]
    truth = {name: window_truth[name].to_numpy() for name in window_truth if window_truth[name].max() > 0}

here = tables.of_video(data.annotations, example.subject, example.video)
here = here[(here["offset"] >= start) & (here["onset"] < start + len(clip))]
five = dict(zip(roi_names("metst"), motion[channel_indices("metst")].reshape(5, 2, -1), strict=True))
figure = plots.motion_traces(five, data.frame_rate, truth, here, start, f"{example.emotion}: ROI motion and the truth")  # fmt: skip
run.figure(
    figure,
    "01d_traces",
    "ROI motion (five ROIs) over one window, above the true action unit intensities; shaded: the annotated micro-expression.",
)

# %% [markdown]
# ## 1.5 Why not simply track the landmarks?
#
# Because a landmarker jitters. A synthetic face lets us measure it exactly: one action unit moves once by a known 0.01 inter-ocular distances, on a head that tries to sit still, and we ask how far a landmark, or a ROI's motion,
# seems to move when the face does *not* (its noise), and how far at the apex, along the direction that is true: a dot left of 0 has the wrong sign. What counts is the ratio.

# %%
from metst_core.synthetic import identity, movement_seen

person = identity(seed, 0)
study = pd.concat([movement_seen(person, landmarker, au, 0.01, seed=seed).assign(AU=au) for au in (1, 12)])
largest = np.hypot(*motion.reshape(18, 2, -1).transpose(1, 0, 2))[:, onset : offset + 1].max()

figure, axes = plt.subplots(1, 2, figsize=(10, 2.8), sharey=True, layout="constrained")
colours = ["#999999", "#CC79A7", "#56B4E9", "#0072B2"]
for ax, (au, rows) in zip(axes, study.groupby("AU"), strict=True):
    ax.barh(rows["measure"], rows["still_rms"], color=colours)
    ax.plot(rows["at_apex"], rows["measure"], "o", color="#000000", label="measured at the apex")
    ax.axvline(0, color="#cccccc", linewidth=1)
    ax.axvline(rows["true_at_apex"].iloc[0], color=plots.TRUTH, linestyle="--", label="true movement")
    ax.set(title=f"AU {au}", xlabel="px of the 320 crop (bars: noise, root mean square)")
axes[0].invert_yaxis()
axes[1].legend(frameon=False, fontsize=8)
run.figure(
    figure,
    "01e_jitter",
    "A movement of 0.01 inter-ocular distances: noise (bars) and what is measured at the apex along the true direction (dots; below 0: the wrong way), for landmarks and ROI motion, with and without the nose-bridge correction.",
)

# %%
study.pivot(index="measure", columns="AU", values="ratio").round(1)

# %% [markdown]
# ## 1.6 Windows
#
# Flow is measured against the first frame of a **window** of $k$ frames. Windows start every $k/2$ frames, so each frame is seen by two of them. The official windowing
# makes $\lfloor T / (k/2) \rfloor - 1$ windows and silently drops the last $T \bmod k/2$ frames of a video. Ours starts one more window where needed, so that no
# frame is lost; where $T$ is a multiple of $k/2$ both agree.

# %%
k = data.window
for n in (4 * k, 4 * k + 7):
    official, ours = window_starts(n, k, tail="drop"), window_starts(n, k)
    lost = n - (official[-1] + k)
    print(
        f"T = {n}: official {len(official)} windows, {lost} frames lost; ours {len(ours)} windows, none lost"
    )
    assert ours[-1] + k >= n
assert extract_motion(clip, landmarker, window=len(clip)).shape == (1, 36, len(clip))

# %% [markdown]
# ## 1.7 The whole data set
#
# Videos are read as a stream, two at a time on two cores, and each result is kept on disk under the content of its video. A second run reads it back. A video that cannot be
# used is listed with its reason, and the others go on.

# %%
everything = run.extract(data)
if len(everything.skipped):
    display(everything.skipped)
print(
    f"{len(everything.windows)} videos, {sum(len(w) for w in everything.windows.values())} windows of {everything.window} frames, 36 channels"
)

# %%
inside, outside = [], []
for (subject, video), windows in everything.windows.items():
    size = np.hypot(windows[:, 0::2], windows[:, 1::2]).max(axis=1)  # (n_windows, k): the ROI that moves most
    size = size[:, 1:]  # a window's first frame is 0 by definition and says nothing
    mine = tables.of_video(everything.annotations, subject, video)
    hit = unstitch(tables.inside(mine, (len(windows) + 1) * k // 2), k)[:, 1:]  # (n_windows, k - 1)
    inside.append(size[hit])
    outside.append(size[~hit])
inside, outside = np.concatenate(inside), np.concatenate(outside)
# The chance that a frame inside an ME moves more than one outside: the area under the curve, 0.5 is guessing.
auc = float(mannwhitneyu(inside, outside).statistic / (len(inside) * len(outside)))
print(f"a frame inside an ME moves more than one outside in {auc:.0%} of all pairs (guessing: 50%)")

figure, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
bins = np.linspace(0, np.quantile(outside, 0.995), 60)
ax.hist(outside, bins, density=True, color="#999999", alpha=0.7, label="outside any micro-expression")
ax.hist(
    inside,
    bins,
    density=True,
    histtype="step",
    color="#D55E00",
    linewidth=2,
    label="inside a micro-expression",
)
ax.set(xlabel="largest ROI motion in the frame (px of the 320 crop)", ylabel="density (1/px)")
ax.legend(frameon=False)
run.figure(
    figure,
    "01f_separation",
    f"Largest ROI motion per frame inside and outside micro-expressions: one inside is larger than one outside in {auc:.0%} of all pairs.",
)

# %% [markdown]
# As far as the two overlap, a threshold on motion cannot tell them apart: blinks, speech and head turns move the face as much as an ME does. What is left is *how the motion unfolds in
# time*. That is what the next notebook is about.
#
# ## 1.8 Does it behave like micro-expression data?
#
# Its plans, beside what is known of real sets and where that comes from (median, and 5 to 95%). What is *unlike* real data: the heads are coarse, wrinkles do not come and go, hair does not move, MEs are far more frequent per minute (long videos with almost
# nothing in them would teach little and take long), and real labels are uncertain by some frames, while these are exact. How far two simulated annotators agree is the ceiling of what can be asked of a method.

# %%
if dataset == "synthetic":
    from metst_core.synthetic import (
        PRIORS,
        PUBLISHED_COUNTS,
        likeness,
        picture_measures,
        picture_table,
        read_tables,
    )

    made = data_root or run.out / "data"
    alike = likeness(read_tables(made), PRIORS["dense"])
    display(alike.round(3))
    display(PUBLISHED_COUNTS)

# %% [markdown]
# And what only the pictures tell: how much motion is left on a face that is at rest, and how far landmarks jump, in two of its films.

# %%
if dataset == "synthetic":
    display(picture_table({"this set": picture_measures(made, landmarker, films=2, seconds=2)}))

# %% [markdown]
# ## Exercises
#
# `make exercises` builds these notebooks with a stub in the place of each solution, and the solutions in a file of their own. `check` judges *your* answer and says what is wrong with it.
#
# **1. The mean of what moves most.** Write the main-direction mean of a flow field `(height, width, 2)` for a share `q`, without looking at 1.3. What happens to it as $q$ goes to 1?


# %% tags=["exercise", "hide-input"]
# stub:
# def share_mean(flow, q):
#     """The mean (x, y) of the share q of pixels that moved most."""
#     return ...
def share_mean(flow, q):
    """The mean (x, y) of the share q of pixels that moved most."""
    vectors = flow.reshape(-1, 2).astype(float)
    order = np.argsort((vectors**2).sum(axis=1), kind="stable")
    return vectors[order[int(len(vectors) * (1 - q)) :]].mean(axis=0)


assert check("share mean", share_mean)

# %% [markdown]
# **2. What nobody looks at.** How many frames at the end of a video does the official windowing lose?


# %% tags=["exercise", "hide-input"]
# stub:
# def lost_frames(n_frames, window):
#     """Frames at the end that are in no window of the official windowing."""
#     return ...
def lost_frames(n_frames, window):
    """Frames at the end that are in no window of the official windowing."""
    return n_frames % (window // 2)


assert check("lost frames", lost_frames)

# %% [markdown]
# **3. To think about.** Shift a frame by two pixels to the right as a whole, and measure the motion of all ROIs against the unshifted one. What do you expect, and why? The next cell does it.

# %%
shifted = np.stack([grey[0], np.roll(grey[0], 2, axis=1)])
residual = np.abs(window_motion(shifted, landmarker)[:, 1])
print(f"largest remaining motion {residual.max():.2f} px: a motion of the whole head is taken away")
assert residual.max() < 1

# %%
run.record("01_roi_extraction", data=describe(data), skipped=everything.skipped.to_dict("records"),
           jitter=study.to_dict("records"), motion_auc=auc, largest_motion_px=float(largest))  # fmt: skip
