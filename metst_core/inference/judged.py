"""Could anything have been found here?  Which frames are judged, for the upper and the lower face.

Unrest is how far the parts of the face move on the whole, which is what hides a micro-expression: the median length of
the ROIs' motion, averaged over a window around each frame.
"""

from __future__ import annotations

import numpy as np

from metst_core.rois import REFERENCE, select_rois

PARTS = ("upper", "lower")
"""Brows and eyelids; mouth and nose."""

_UPPER = ("left_brow", "right_brow", "left_eyelid", "right_eyelid")


def motion_of_parts(motion: np.ndarray, features: str) -> np.ndarray:
    """Median length of the ROIs' motion (2R, k) in the upper and the lower face, per frame: `(k, 2)`, pixels of the crop."""
    members = select_rois(features)
    is_upper = np.array([(roi.parent or roi.name) in _UPPER for roi in members])
    counts = np.array([roi is not REFERENCE for roi in members])
    lengths = np.hypot(motion[0::2], motion[1::2])
    parts = [np.median(lengths[counts & part], axis=0) for part in (is_upper, ~is_upper)]
    return np.stack(parts, axis=-1)


def unrest_of(parts: np.ndarray, window: int) -> np.ndarray:
    """The means over `window` frames around each, `(n, 2)`, of what `motion_of_parts` says of a film's frames `(n, 2)`."""
    half = window // 2
    padded = np.pad(parts, ((half, window - half), (0, 0)), mode="edge")
    sums = np.cumsum(padded, axis=0)
    means: np.ndarray = (sums[window:] - sums[:-window]) / window
    return means
