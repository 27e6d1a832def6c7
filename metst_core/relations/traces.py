"""The motion of every ROI over whole videos, and which frames belong to which condition.

Relations are measured between *changes* of motion, not between positions.  Motion is counted from each
window's first frame, so its level jumps from window to window and drifts with the head, and two drifting
series correlate whether or not they have to do with each other.  `roi_change` therefore takes central
differences inside the windows (pixels of the 320 crop per frame) and averages the windows that see a frame.

Conditions: `all` frames; `inside` a micro-expression (ME), onset to offset; `outside` of every ME; one per
emotion.  At a lag a pair of frames counts as inside when either of the two is, so that `inside` and `outside`
part all pairs between them and r(a, b, lag) = r(b, a, -lag).  A positive lag means that the first ROI leads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import median_filter

from metst_core import tables
from metst_core.errors import InputError
from metst_core.extraction import MotionSet
from metst_core.rois import ROIS, roi_names
from metst_core.tables import EMOTIONS
from metst_core.windows import window_starts

CONDITIONS = ("all", "inside", "outside", *EMOTIONS)
COMPONENTS = ("x", "y", "magnitude")
REGIONS = {
    "brows": ("left_brow", "right_brow"),
    "eyelids": ("left_eyelid", "right_eyelid"),
    "nose": ("nose",),
    "mouth": ("mouth",),
}
"""Parts of the face and the boxes that make them up."""

FEWEST_FRAMES = 8
"""Of how many frames a relation is measured at least."""


# --- motion over a whole video --------------------------------------------------------------------
def roi_change(windows: np.ndarray, n_frames: int) -> np.ndarray:
    """Change of motion per frame over a whole video: `(2R, n_frames)`, px/frame, from `(n_windows, 2R, k)`.

    Central differences within each window (one-sided at its ends), averaged over the windows that see a
    frame.
    """
    windows = np.asarray(windows, dtype=float)
    if windows.ndim != 3:
        raise InputError(f"windows has shape {windows.shape}; it must be (n_windows, channels, window)")
    starts = window_starts(n_frames, windows.shape[2])[: len(windows)]
    changes = []
    for start, window in zip(starts, windows, strict=True):
        real = window[:, : n_frames - start]
        changes.append(np.gradient(real, axis=1) if real.shape[1] > 1 else real[:, :0])
    return _mean_of_windows(starts, changes, n_frames)


def roi_displacement(windows: np.ndarray, n_frames: int, drift: int | None = None) -> np.ndarray:
    """Motion over a whole video, for the eye: `(2R, n_frames)` pixels of the 320 crop.

    The running sum of `roi_change`, minus its running median over `drift` frames (default: one window), which
    takes slow drift away and leaves movements shorter than half of that.
    """
    change = roi_change(windows, n_frames)
    whole = np.cumsum(change, axis=1)
    width = windows.shape[2] if drift is None else drift
    return whole - median_filter(whole, size=(1, 2 * (width // 2) + 1), mode="nearest")


def spread_over_video(parts: np.ndarray, n_frames: int) -> np.ndarray:
    """Per-window maps `(n_windows, R, k)` on the video's frames, `(R, n_frames)`.

    A frame gets the mean of the windows that see it.
    """
    starts = window_starts(n_frames, parts.shape[2])[: len(parts)]
    if len(starts) < len(parts):
        raise InputError(f"parts hold {len(parts)} windows; a video of {n_frames} frames has {len(starts)}")
    return _mean_of_windows(
        starts, [p[:, : n_frames - s] for s, p in zip(starts, parts, strict=True)], n_frames
    )


def _mean_of_windows(starts: np.ndarray, parts: Sequence[np.ndarray], n_frames: int) -> np.ndarray:
    """Parts (C, up to k), each from its start on, as one series (C, n_frames): the mean where several lie."""
    total, seen = np.zeros((parts[0].shape[0], n_frames)), np.zeros(n_frames)
    for start, part in zip(starts, parts, strict=True):
        frames = slice(start, start + part.shape[1])
        total[:, frames] += part
        seen[frames] += 1
    return total / np.maximum(seen, 1)


@dataclass(frozen=True)
class Traces:
    """Change of every ROI's motion in every video.

    values: by (subject, video), `(3, R, T)` in px/frame: x (to the right), y (down), magnitude.
    annotations: the annotation table.  names: the R ROIs.  fps: frames per second.
    """

    values: Mapping[tuple[str, str], np.ndarray]
    annotations: pd.DataFrame
    names: tuple[str, ...]
    fps: float

    @classmethod
    def of(cls, motion: MotionSet) -> Traces:
        """The traces of a motion set."""
        values = {}
        for (subject, video), windows in motion.windows.items():
            change = roi_change(windows, motion.n_frames(subject, video))
            x, y = change[0::2], change[1::2]
            values[subject, video] = np.stack([x, y, np.hypot(x, y)])
        return cls(values, motion.annotations, tuple(roi_names(motion.features)), motion.fps)

    def select(self, names: Sequence[str]) -> Traces:
        """The same videos with some of the ROIs, in the given order."""
        rows = [self._index(name) for name in names]
        chosen = {key: value[:, rows] for key, value in self.values.items()}
        return Traces(chosen, self.annotations, tuple(names), self.fps)

    def grouped(self, groups: Mapping[str, Sequence[str]]) -> Traces:
        """Means over groups of ROIs (name -> its members), each one a series of its own."""
        rows = [[self._index(name) for name in members] for members in groups.values()]
        means = {k: np.stack([v[:, r].mean(axis=1) for r in rows], axis=1) for k, v in self.values.items()}
        return Traces(means, self.annotations, tuple(groups), self.fps)

    def inside(self, key: tuple[str, str], condition: str = "inside") -> np.ndarray:
        """Which frames of a video lie in an ME (of that emotion), onset to offset included: `(T,)` bool."""
        mine = tables.of_video(self.annotations, *key)
        if condition in EMOTIONS:
            mine = mine[mine["emotion"] == condition]
        return tables.inside(mine, self.values[key].shape[-1])

    def pairs(self, key: tuple[str, str], condition: str, lag: int = 0) -> np.ndarray:
        """Which frames t of a video count together with frame t + lag: `(T - lag,)` bool."""
        length = self.values[key].shape[-1]
        if condition == "all":
            return np.ones(max(0, length - lag), bool)
        inside = self.inside(key, condition)
        either = inside[: length - lag] | inside[lag:] if lag < length else np.zeros(0, bool)
        return ~either if condition == "outside" else either

    def conditions(self) -> list[str]:
        """The conditions of `CONDITIONS` that have enough frames here to measure a relation."""
        counts = {c: sum(int(self.pairs(k, c).sum()) for k in self.values) for c in CONDITIONS}
        return [c for c, n in counts.items() if n >= FEWEST_FRAMES]

    def _index(self, name: str) -> int:
        if name not in self.names:
            raise InputError(f"ROI {name!r} is none of {', '.join(self.names)}")
        return self.names.index(name)


def region_members(names: Iterable[str]) -> dict[str, list[str]]:
    """Part of the face (`REGIONS`) -> those of the given ROIs that lie in it."""
    boxes = {roi.name: roi.box for roi in ROIS}
    names = list(names)
    return {region: [n for n in names if boxes.get(n) in parts] for region, parts in REGIONS.items()}


def standardised(series: np.ndarray) -> np.ndarray:
    """Every row of `(R, T)` with mean 0 and standard deviation 1 (0 where it does not vary)."""
    centred = series - series.mean(axis=1, keepdims=True)
    return centred / (centred.std(axis=1, keepdims=True) + 1e-12)
