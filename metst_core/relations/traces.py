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
from dataclasses import dataclass, field, replace

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
    reference: by (subject, video), `(2, T)` px/frame: the change of the reference box's motion, which was subtracted
        from every ROI's; empty where the motion set does not hold it.
    """

    values: Mapping[tuple[str, str], np.ndarray]
    annotations: pd.DataFrame
    names: tuple[str, ...]
    fps: float
    reference: Mapping[tuple[str, str], np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, motion: MotionSet) -> Traces:
        """The traces of a motion set."""
        values, reference = {}, {}
        for (subject, video), windows in motion.windows.items():
            change = roi_change(windows, motion.n_frames(subject, video))
            values[subject, video] = _with_magnitude(change[0::2], change[1::2])
            if (subject, video) in motion.head:
                head = motion.head[subject, video]
                reference[subject, video] = roi_change(head, motion.n_frames(subject, video))
        return cls(values, motion.annotations, tuple(roi_names(motion.features)), motion.fps, reference)

    def without_reference(self) -> Traces:
        """What the reference box's motion does not tell of each ROI's: the rest of a linear fit, video by video.

        The reference's motion, its error included, was subtracted from every ROI's, so that on a still face all of
        them share that error and correlate.  `InputError` where the reference is not known (feature sets of before,
        `metst`).  On a head that moves, the error is a small part of the reference's motion and only partly taken
        away (as it is where noise alone makes the crop follow): there compare inside with outside (`difference`).
        """
        if set(self.reference) != set(self.values):
            raise InputError(
                "the reference box's motion is not in this motion set; extract the features 'metst_plus' anew"
            )
        values = {}
        for key, value in self.values.items():
            known = np.vstack([self.reference[key], np.ones(value.shape[-1])])
            rest = []
            for part in value[:2]:
                weights = np.linalg.lstsq(known.T, part.T, rcond=None)[0]
                rest.append(part - weights.T @ known)
            values[key] = _with_magnitude(*rest)
        return replace(self, values=values)

    def select(self, names: Sequence[str]) -> Traces:
        """The same videos with some of the ROIs, in the given order."""
        rows = [self._index(name) for name in names]
        chosen = {key: value[:, rows] for key, value in self.values.items()}
        return replace(self, values=chosen, names=tuple(names))

    def grouped(self, groups: Mapping[str, Sequence[str]]) -> Traces:
        """Means over groups of ROIs (name -> its members), each one a series of its own."""
        rows = [[self._index(name) for name in members] for members in groups.values()]
        means = {k: np.stack([v[:, r].mean(axis=1) for r in rows], axis=1) for k, v in self.values.items()}
        return replace(self, values=means, names=tuple(groups))

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


def _with_magnitude(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([x, y, np.hypot(x, y)])


def region_members(names: Iterable[str]) -> dict[str, list[str]]:
    """Part of the face (`REGIONS`) -> those of the given ROIs that lie in it."""
    boxes = {roi.name: roi.box for roi in ROIS}
    names = list(names)
    return {region: [n for n in names if boxes.get(n) in parts] for region, parts in REGIONS.items()}


def standardised(series: np.ndarray) -> np.ndarray:
    """Every row of `(R, T)` with mean 0 and standard deviation 1 (0 where it does not vary)."""
    centred = series - series.mean(axis=1, keepdims=True)
    return centred / (centred.std(axis=1, keepdims=True) + 1e-12)
