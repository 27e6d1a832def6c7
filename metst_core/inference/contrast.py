"""The plain rival of every network: motion that comes and goes, with nothing to train."""

from __future__ import annotations

import numpy as np

from metst_core.decoding import spaced_peaks
from metst_core.errors import InputError
from metst_core.windows import stitch


def motion_contrast(windows: np.ndarray, k_p: int, n_frames: int | None = None) -> np.ndarray:
    """Motion that comes and goes within `4 k_p` frames: `(T,)`, pixels of the 320 crop, 0 where there is none.

    `windows` is `(n_windows, 2R, k)`.  Moilanen's feature difference analysis (ICPR 2014) with the motion of
    ROIs in the place of the texture of blocks: a ROI's position at frame t is compared with the mean of its
    positions `2 k_p` frames before and after; the lengths of that difference are averaged over the third of
    the ROIs in which it is largest (a micro-expression moves few of them); and what the same is around, `2 k_p`
    frames before and after, is subtracted.  `2 k_p` is the mean length of a micro-expression: the interval of
    `4 k_p` is to hold the longest.  Slow drift of the head cancels.
    """
    path = motion_path(windows, n_frames)
    difference = path - _around(path, 2 * k_p)
    lengths = np.sort(np.hypot(difference[:, 0::2], difference[:, 1::2]), axis=1)
    largest = -(-lengths.shape[1] // 3)
    feature = lengths[:, -largest:].mean(axis=1)
    return np.maximum(0, feature - _around(feature, 2 * k_p))


def _around(values: np.ndarray, k: int) -> np.ndarray:
    """Mean of the values `k` frames before and after each frame; beyond the ends the first and last stand in."""
    frames = np.arange(len(values))
    return (values[np.maximum(frames - k, 0)] + values[np.minimum(frames + k, len(values) - 1)]) / 2


def motion_path(windows: np.ndarray, n_frames: int | None = None) -> np.ndarray:
    """Displacement `(T, 2R)` of every ROI since the video's first frame, in pixels of the 320 crop.

    Each window measures from its own first frame; the windows are chained at those frames.
    """
    windows = np.asarray(windows, dtype=float)
    if windows.ndim != 3 or len(windows) == 0 or windows.shape[2] % 2:
        raise InputError(f"windows has shape {windows.shape}; it must be (n_windows >= 1, 2R, even window)")
    half = windows.shape[2] // 2
    starts = np.concatenate([np.zeros((1, windows.shape[1])), np.cumsum(windows[:-1, :, half], axis=0)])
    return stitch((windows + starts[:, :, None]).transpose(0, 2, 1), n_frames)


class Displacement:
    """`motion_path` from motion per frame `(T, 2R)` and the frame `(T,)` that each is measured against.

    Computed slice by slice where it is asked for: of an hour as a whole it would be 30 MB.
    Where a shot begins the path goes on from where it was: nobody knows how far the picture was moved.
    """

    def __init__(self, motion: np.ndarray, references: np.ndarray) -> None:
        starts, self._of = np.unique(references, return_inverse=True)
        self._motion = np.asarray(motion)
        self._from = np.zeros((len(starts), self._motion.shape[1]))
        for number, start in enumerate(starts.tolist()):
            known = start if self._of[start] != number else max(0, start - 1)
            if start:
                self._from[number] = self[known : known + 1][0]

    def __len__(self) -> int:
        return len(self._motion)

    def __getitem__(self, frames: slice) -> np.ndarray:
        """Displacement `(n, 2R)` of a slice of frames."""
        return np.asarray(self._motion[frames], float) + self._from[self._of[frames]]


def path_of(motion: np.ndarray, references: np.ndarray) -> np.ndarray:
    """`Displacement` of all frames, `(T, 2R)`."""
    return Displacement(motion, references)[:]


def peak_intervals(score: np.ndarray, k_p: int, height: float) -> np.ndarray:
    """Intervals `(n, 3)` of onset, apex, offset around the peaks of a score that is not to be smoothed.

    Peaks of at least `height`, `k_p` frames apart or more; `k_p` frames to either side belong to the interval.
    """
    peaks = spaced_peaks(score, height, max(1, k_p))
    return np.stack([peaks - k_p, peaks, peaks + k_p], axis=1).astype(np.int64)
