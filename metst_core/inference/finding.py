"""From a score to intervals: what counts as a find, where it begins and ends, and that one movement is one find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from metst_core.decoding import decode, smooth, spot_threshold
from metst_core.inference.contrast import Displacement
from metst_core.inference.trained import MOTION, SCORE, TrainedModel
from metst_core.rois import REFERENCE, select_rois

NEAR = 0.6
"""From this share of the threshold on a peak is a near miss."""

REACH = 2.5
"""How far from the apex onset and offset are looked for, in half lengths."""

AT_REST = 0.2
"""Share of its largest motion at which a movement begins and ends."""

_STRONGEST = 4  # ROIs whose motion is the movement


def intervals_of(
    trained: TrainedModel,
    score: np.ndarray,
    probabilities: np.ndarray,
    path: np.ndarray | Displacement,
    subject: str = "",
    video: str = "",
) -> pd.DataFrame:
    """`decode_trace` with ends of the model's own strategy (`MOTION`, `SCORE`), and one find per movement.

    path: displacement of every ROI `(T, 2R)`, pixels of the 320 crop (`motion_path`).
    """
    found = decode_trace(trained, score, probabilities, subject, video)
    if trained.strategy == MOTION:
        found[["onset", "offset"]] = measured_ends(
            path, found["apex"].to_numpy(np.int64), trained.k_p, trained.features
        )
    if trained.strategy == SCORE:
        found[["onset", "offset"]] = scored_ends(score, found["apex"].to_numpy(np.int64), trained.k_p)
    return without_rivals(found)


def decode_trace(
    trained: TrainedModel, score: np.ndarray, probabilities: np.ndarray, subject: str = "", video: str = ""
) -> pd.DataFrame:
    """Prediction table of one video at the model's rate, from score `(T,)` and probabilities `(T, 5)`.

    Where the model measures ends (`intervals_of`) they are `k_p` frames from the apex here.  With the
    model's own `threshold`, a peak of the smoothed score counts from there on (and from the mean of the video on);
    without one, the papers' rule holds.
    """
    smoothed = smooth(score, trained.k_p)
    p, spread = trained.p, float(smoothed.max() - smoothed.mean())
    if trained.threshold is not None and spread > 0:  # the p whose mean + p (max - mean) is the threshold
        p = min(1.0, max(0.0, (trained.threshold - float(smoothed.mean())) / spread))
    strategy = "fixed" if trained.strategy in (MOTION, SCORE) else trained.strategy
    found = decode(score, probabilities, trained.k_p, trained.synergy, strategy, p, subject, video)
    return found[found["score"] >= (trained.threshold or 0.0)].reset_index(drop=True)


def near_misses(
    trained: TrainedModel,
    score: np.ndarray,
    probabilities: np.ndarray,
    path: np.ndarray | Displacement,
    subject: str = "",
    video: str = "",
) -> pd.DataFrame:
    """What `intervals_of` would find from `NEAR` of the threshold on and does not find now, beside what it finds."""
    threshold = threshold_of(smooth(score, trained.k_p), trained)
    lower = replace(trained, threshold=NEAR * threshold)
    near = intervals_of(lower, score, probabilities, path, subject, video)
    return near[near["score"] < threshold].reset_index(drop=True)


def threshold_of(smoothed: np.ndarray, trained: TrainedModel) -> float:
    """From which smoothed score on a peak counts: the model's own, or the papers' of this video."""
    return spot_threshold(smoothed, trained.p) if trained.threshold is None else trained.threshold


def measured_ends(
    path: np.ndarray | Displacement, apexes: np.ndarray, k_p: int, features: str = "metst_plus"
) -> np.ndarray:
    """Onset and offset `(n, 2)` of the movements around `apexes (n,)`, from the displacement `path (T, 2R)` itself.

    A movement is the mean length of the displacement of the ROIs that move most near the apex, against a straight line
    between the positions `REACH k_p` frames before and after it (slow drift cancels).  It is largest within `k_p` frames
    of the apex; onset and offset are the first frames to either side with less than `AT_REST` of that.
    """
    counts = np.array([roi is not REFERENCE for roi in select_rois(features)])
    used, last = np.flatnonzero(np.repeat(counts, 2)), len(path) - 1
    reach, k_p = max(1, round(REACH * k_p)), max(1, k_p)
    ends = np.zeros((len(apexes), 2), np.int64)
    for row, apex in enumerate(apexes.tolist()):
        first, end = max(0, apex - reach), min(last, apex + reach)
        way = np.linspace(0, 1, end - first + 1)[:, None]
        here = np.asarray(path[first : end + 1], float)[:, used]
        moved = here - (1 - way) * here[0] - way * here[-1]
        lengths = np.hypot(moved[:, 0::2], moved[:, 1::2])
        near = slice(max(0, apex - first - k_p), apex - first + k_p + 1)
        strongest = np.argsort(lengths[near].max(axis=0), kind="stable")[-_STRONGEST:]
        movement = lengths[:, strongest].mean(axis=1)
        top = near.start + int(movement[near].argmax())
        resting = np.flatnonzero(movement <= AT_REST * movement[top])
        before, after = resting[resting < top], resting[resting > top]
        onset = first + int(before[-1]) if len(before) else first
        offset = first + int(after[0]) if len(after) else end
        ends[row] = min(onset, apex), max(offset, apex)
    return ends


def scored_ends(score: np.ndarray, apexes: np.ndarray, k_p: int) -> np.ndarray:
    """Onset and offset `(n, 2)` of the movements around `apexes (n,)`, from what the score `(T,)` says of each frame.

    A network is taught to say 1 between onset and offset and 0 elsewhere.  The score is largest within `k_p` frames of the
    apex; onset and offset are the first frames to either side with at most half of that.
    """
    score, last = np.asarray(score, float), len(score) - 1
    ends = np.zeros((len(apexes), 2), np.int64)
    for row, apex in enumerate(apexes.tolist()):
        first = max(0, apex - k_p)
        top = first + int(score[first : apex + k_p + 1].argmax())
        low = np.flatnonzero(score <= score[top] / 2)
        before, after = low[low < top], low[low > top]
        onset, offset = (before[-1] if len(before) else 0), (after[0] if len(after) else last)
        ends[row] = min(int(onset), apex), max(int(offset), apex)
    return ends


def without_rivals(found: pd.DataFrame) -> pd.DataFrame:
    """Of finds that share a frame the one with the highest score: one movement is one find; in order of onset."""
    kept: list[int] = []
    ends = found[["onset", "offset"]].to_numpy()
    for row in np.argsort(-found["score"].to_numpy(), kind="stable").tolist():
        if all(ends[row, 0] > ends[other, 1] or ends[row, 1] < ends[other, 0] for other in kept):
            kept.append(row)
    return found.iloc[sorted(kept)].reset_index(drop=True)
