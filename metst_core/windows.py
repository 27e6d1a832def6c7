"""Cutting a video into half-overlapping windows, putting windows back together, and per-frame targets.

With window length k (even) and stride k/2, the official windowing cuts `T // (k/2) - 1` windows out of T
frames. It silently drops the last `T mod (k/2)` frames, and every frame of a video with T < k.  Here no
frame is lost: with `tail="keep"` one more window is started where needed, its missing columns repeat the
last real column, and `stitch(..., n_frames=T)` cuts the result back to T.  When T is a multiple of k/2 and
T >= k the two agree.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from metst_core.checks import half_window, number_array, one_of, whole_number
from metst_core.errors import InputError
from metst_core.tables import CLASSES, NEUTRAL, check_annotations

TAILS = ("keep", "drop")


def window_starts(n_frames: int, window: int, tail: str = "keep") -> np.ndarray:
    """First frame of every window of a video, `(n_windows,)` int64: 0, k/2, k, ...

    `tail="drop"` is the official windowing, `T // (k/2) - 1` windows: the last `T mod (k/2)` frames are in
    none of them, and a video of T < k frames is an `InputError`.  `tail="keep"` covers every frame: the
    last window may reach past the end of the video.  A video of fewer than 2 frames has no motion:
    `InputError`.
    """
    half = half_window(window)
    one_of("tail", tail, TAILS)
    if whole_number("n_frames", n_frames, 0) < 2:
        raise InputError(
            f"n_frames is {n_frames}: a video of fewer than 2 frames holds no motion; leave it out"
        )
    if tail == "drop" and n_frames < window:
        raise InputError(f"n_frames is {n_frames}, shorter than one window of {window}: use tail='keep'")
    n_halves = int(n_frames) // half if tail == "drop" else max(2, -(-int(n_frames) // half))
    return half * np.arange(n_halves - 1, dtype=np.int64)


def new_frames(start: int, window: int) -> slice:
    """Which of a window's frames speak for the video: all of the first, the second half of a later one.

    `start` is the window's first frame in the video (0, k/2, k, ...).
    """
    return slice(half_window(window) if start > 0 else 0, int(window))


def stitch(parts: np.ndarray, n_frames: int | None = None) -> np.ndarray:
    """Put per-window values back on the video's frames (ME-TST+, inference).

    `parts` is `(n_windows, k)` or `(n_windows, k, ...)`, window by window at stride k/2.  The first window
    gives both its halves, each later window its second half: the result is `(T,)` or `(T, ...)` with `T =
    (n_windows + 1) k/2`, cut to `n_frames` where that is given (frames that only pad the last window).
    """
    parts = number_array("parts", parts, "(n_windows, window, ...)")
    if parts.ndim < 2 or parts.shape[0] < 1:
        raise InputError(f"parts has shape {parts.shape}; it must be (n_windows >= 1, window, ...)")
    window, half = parts.shape[1], half_window(parts.shape[1])
    whole = np.concatenate([part[new_frames(i * half, window)] for i, part in enumerate(parts)])
    if n_frames is None:
        return whole
    n_frames = whole_number("n_frames", n_frames, 1)
    if n_frames > len(whole):
        raise InputError(
            f"n_frames is {n_frames}, but {len(parts)} window(s) of {parts.shape[1]} hold {len(whole)} frames"
        )
    return whole[:n_frames]


def unstitch(values: np.ndarray, window: int) -> np.ndarray:
    """Cut per-frame values `(T, ...)` into windows `(n_windows, k, ...)` that keep the tail.

    What lies past the end of the video repeats the last frame's value; `stitch(unstitch(v, k), len(v))` is
    `v`.
    """
    values = number_array("values", values, "(T, ...)")
    if values.ndim < 1:
        raise InputError(f"values is {values!r}; it must be (T, ...), one value or row per frame")
    starts = window_starts(len(values), window)
    frames = np.minimum(starts[:, None] + np.arange(int(window)), len(values) - 1)
    return values[frames]


def window_targets(annotations: pd.DataFrame, n_frames: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """`frame_targets` of one video cut into its windows: score and classes, `(n_windows, k)` each."""
    score, classes = frame_targets(annotations, n_frames)
    return unstitch(score, window), unstitch(classes, window)


def frame_targets(annotations: pd.DataFrame, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Per-frame targets of one video: `(score (T,) float32 in {0, 1}, classes (T,) int64)`.

    The score is 1 on the frames `onset + 1 .. offset - 1` of a micro-expression and 0 elsewhere; the class
    is that emotion's index in `CLASSES` there and neutral elsewhere (ME-TST, labels).  Annotations must be
    of one video; parts that reach past the last frame are cut, and where two overlap the later onset wins.
    """
    annotations = check_annotations(annotations, "annotations")
    n_frames = whole_number("n_frames", n_frames, 1)
    videos = annotations[["subject", "video"]].drop_duplicates()
    if len(videos) > 1:
        raise InputError(f"annotations hold {len(videos)} videos; select the rows of one (subject, video)")
    score = np.zeros(n_frames, np.float32)
    classes = np.full(n_frames, CLASSES.index(NEUTRAL), np.int64)
    for row in annotations.sort_values("onset", kind="stable").itertuples():
        inside = slice(row.onset + 1, row.offset)
        score[inside] = 1.0
        classes[inside] = CLASSES.index(row.emotion)
    return score, classes


def cover_targets(annotations: pd.DataFrame, n_frames: int, half: int) -> tuple[np.ndarray, np.ndarray]:
    """What a classifier of windows is asked, per frame of one video: `(score (T,) float32, classes (T,) int64)`.

    The score is 1 where the window of `2 half + 1` frames around the frame overlaps a micro-expression with an IoU of
    at least 0.5, else 0; the class is that emotion's index in `CLASSES` there and neutral elsewhere.  A
    micro-expression shorter than half a window, or longer than two, has no such frame.  Where two overlap the later
    onset wins.
    """
    annotations = check_annotations(annotations, "annotations")
    n_frames, half = whole_number("n_frames", n_frames, 1), whole_number("half", half, 0)
    score = np.zeros(n_frames, np.float32)
    classes = np.full(n_frames, CLASSES.index(NEUTRAL), np.int64)
    middle = np.arange(n_frames)
    for row in annotations.sort_values("onset", kind="stable").itertuples():
        first, last = np.maximum(middle - half, row.onset), np.minimum(middle + half, row.offset)
        shared = np.maximum(0, last - first + 1)
        union = 2 * half + 1 + row.offset - row.onset + 1 - shared
        covered = 2 * shared >= union
        score[covered] = 1.0
        classes[covered] = CLASSES.index(row.emotion)
    return score, classes
