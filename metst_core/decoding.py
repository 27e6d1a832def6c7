"""From per-frame scores to named intervals: spotting, recognition and the result-level synergy.

Smoothing, threshold, peaks, the two interval selections and the vote follow ME-TST+ (arXiv 2508.08082) and,
for the extensible selection, BoostingVRME (arXiv 2508.18834).  Frames are 0-based, intervals inclusive.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from metst_core.checks import number_array, number_between, one_of, whole_number
from metst_core.errors import InputError
from metst_core.tables import CLASSES, NEUTRAL, PREDICTION_COLUMNS, check_predictions

STRATEGIES = ("fixed", "extensible")
SYNERGIES = (0, 1, 2)
"""Result-level synergy: 0 none, 1 recognition mainly, 2 spotting mainly."""

_NEUTRAL = CLASSES.index(NEUTRAL)
_LARGEST_IOU = 0.2  # extensible: two kept intervals overlap less than this
_REACH = 5  # extensible: an interval may grow to this many half lengths beside its peak


def half_length(annotations: pd.DataFrame) -> int:
    """Half length k_p of micro-expressions in frames: `int((mean(offset - onset) + 1) / 2)` over the table.

    Of the table only the columns `onset` and `offset` are read.  One without rows has no half length:
    `InputError`.

    >>> half_length(pd.DataFrame({"onset": [44, 20], "offset": [54, 32]}))  # 10 and 12: (11 + 1) / 2
    6
    """
    if not isinstance(annotations, pd.DataFrame) or not {"onset", "offset"} <= set(annotations.columns):
        raise InputError("annotations must be an annotation table, with columns onset and offset")
    if len(annotations) == 0:
        raise InputError("annotations hold no micro-expression, so there is no half length; add some")
    ends = annotations[["onset", "offset"]].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    lengths = ends[:, 1] - ends[:, 0]
    if not (lengths >= 0).all():
        row = annotations.index[int(np.argmin(lengths >= 0))]
        raise InputError(f"annotations: row {row}: onset and offset are not two frame numbers in order")
    return int((lengths.mean() + 1) / 2)


def smooth(score: np.ndarray, k_p: int, width: int = 0) -> np.ndarray:
    """Moving average of width `2 k_p` (or `width`) over a score `(T,)`, zero padded, of the same length `(T,)`.

    It is NumPy's "same" convolution, also for T < 2 k_p (where NumPy's own result would be longer than the
    video). With `k_p = 0` there is nothing to average and the score comes back unchanged.
    """
    score = _checked_score(score)
    width = whole_number("width", width, 0) or max(1, 2 * whole_number("k_p", k_p, 0))
    whole = np.convolve(score, np.ones(width) / width)
    first = (width - 1) // 2
    return whole[first : first + len(score)]


def spot_threshold(smoothed: np.ndarray, p: float = 0.55) -> float:
    """Moilanen's threshold of a smoothed score: `mean + p (max - mean)`, `p` in 0..1."""
    smoothed = _checked_score(smoothed, "smoothed")
    p = number_between("p", p, 0, 1)
    return float(smoothed.mean() + p * (smoothed.max() - smoothed.mean()))


def spot_intervals(
    score: np.ndarray, k_p: int, p: float = 0.55, strategy: str = "fixed", smoothing: int = 0
) -> np.ndarray:
    """Spotted intervals of one video, `(n, 3)` int64 rows of onset, apex, offset, in order of onset.

    `score` is the raw score `(T,)`; it is smoothed here.  Peaks of the smoothed score at or above the
    threshold and at least `k_p` frames apart are spotted.  `"fixed"` gives `[peak - k_p, peak + k_p]`, not
    clipped to the video, with the peak as apex; `"extensible"` (BoostingVRME) places and extends both ends
    on the raw score.  `smoothing` is the width of the moving average in frames, 0 for the papers' `2 k_p`.

    >>> score = np.zeros(60)
    >>> score[25:32] = 1
    >>> spot_intervals(score, k_p=5)
    array([[23, 28, 33]])
    """
    one_of("strategy", strategy, STRATEGIES)
    k_p = whole_number("k_p", k_p, 0)
    smoothed = smooth(score, k_p, smoothing)
    peaks = spaced_peaks(smoothed, spot_threshold(smoothed, p), max(1, k_p))
    if strategy == "extensible":
        return _without_overlaps([_extensible(np.asarray(score, float), int(i), k_p) for i in peaks], k_p)
    return np.stack([peaks - k_p, peaks, peaks + k_p], axis=1).astype(np.int64)


def spaced_peaks(score: np.ndarray, height: float, distance: int) -> np.ndarray:
    """Peaks of a score `(T,)` at or above `height`, at least `distance` frames apart, in time order: `(n,)` int.

    A peak is higher than what is beside it; of several equal frames in a row the middle one (the earlier of two).
    Where peaks are nearer, the highest is kept, and of equal ones the last.  `scipy.signal.find_peaks` does the
    same but leaves the order of equal peaks to an unstable sort, so that its answer depends on the CPU (and costs a
    second of start-up and 60 MB).

    >>> spaced_peaks(np.array([0, 1, 0, 1, 0, 0, 1, 0.0]), height=0.5, distance=3)
    array([3, 6])
    """
    score = np.asarray(score)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(score)) + 1])  # of runs of equal frames
    ends = np.concatenate([starts[1:], [len(score)]]) - 1
    rises = np.diff(score[starts]) > 0
    is_peak = np.concatenate([[False], rises[:-1] & ~rises[1:], [False]])[: len(starts)]
    peaks = ((starts + ends) // 2)[is_peak]
    peaks = peaks[score[peaks] >= height]
    keep = np.ones(len(peaks), bool)
    for i in np.argsort(score[peaks], kind="stable")[::-1]:
        if keep[i]:
            keep[np.abs(peaks - peaks[i]) < distance] = False
            keep[i] = True
    return peaks[keep]


def name_intervals(intervals: np.ndarray, frame_classes: np.ndarray) -> np.ndarray:
    """Class index of each interval, `(n,)` int64, by the vote of its frames.

    `intervals` is `(n, 3)` (or `(n, 2)`: onset, offset), `frame_classes` the per-frame class `(T,)`.  The
    frames `onset + 1 .. offset - 2` inside the video vote; of equally frequent classes the one seen first
    wins, and an interval without voting frames is neutral.
    """
    intervals = number_array("intervals", intervals, "(n, 3)")
    if intervals.size == 0:
        return np.zeros(0, np.int64)
    if intervals.ndim != 2 or intervals.shape[1] not in (2, 3) or intervals.dtype.kind not in "ui":
        raise InputError(
            f"intervals is an array of {intervals.dtype} of shape {intervals.shape}; its rows must be onset, "
            "apex, offset (or onset, offset), in whole frames"
        )
    frame_classes = number_array("frame_classes", frame_classes, "(T,)")
    if frame_classes.ndim != 1 or not np.isin(frame_classes, range(len(CLASSES))).all():
        raise InputError(
            f"frame_classes (shape {frame_classes.shape}) must be (T,), a class index from 0 to {_NEUTRAL} per frame"
        )
    names = np.full(len(intervals), _NEUTRAL, np.int64)
    for i, row in enumerate(intervals.tolist()):
        votes = frame_classes[max(0, row[0] + 1) : max(1, row[-1] - 1)]
        if len(votes):
            values, first, counts = np.unique(votes, return_index=True, return_counts=True)
            names[i] = values[np.lexsort((first, -counts))[0]]
    return names


def decode(
    score: np.ndarray,
    probabilities: np.ndarray,
    k_p: int,
    synergy: int = 2,
    strategy: str = "fixed",
    p: float = 0.55,
    subject: str = "",
    video: str = "",
    smoothing: int = 0,
) -> pd.DataFrame:
    """Prediction table of one video from its score `(T,)` and class probabilities (or logits) `(T, 5)`.

    `synergy` 0 votes over all five classes; 1 ("recognition mainly") also withdraws the intervals voted
    neutral; 2 ("spotting mainly", the papers' choice) leaves neutral out of the per-frame argmax, so that
    every interval with a frame to vote gets one of the four emotions.  `strategy`, `p` and `smoothing` as in
    `spot_intervals`.  The column `score` is the smoothed score at the apex.
    """
    one_of("synergy", synergy, SYNERGIES)
    score = _checked_score(score)
    probabilities = number_array("probabilities", probabilities, f"(T, {len(CLASSES)})")
    if probabilities.shape != (len(score), len(CLASSES)):
        raise InputError(
            f"probabilities has shape {probabilities.shape}; with {len(score)} frames of score it must be "
            f"({len(score)}, {len(CLASSES)})"
        )
    if np.isnan(probabilities).any():
        frame = int(np.isnan(probabilities).any(axis=1).argmax())
        raise InputError(f"probabilities is not a number at frame {frame}; check the network")
    intervals = spot_intervals(score, k_p, p, strategy, smoothing)
    voters = probabilities[:, :_NEUTRAL] if synergy == 2 else probabilities
    classes = name_intervals(intervals, voters.argmax(axis=1))
    if synergy == 1:
        intervals, classes = intervals[classes != _NEUTRAL], classes[classes != _NEUTRAL]
    table = pd.DataFrame(intervals, columns=["onset", "apex", "offset"])
    table["subject"], table["video"] = str(subject), str(video)
    table["emotion"] = [CLASSES[c] for c in classes]
    table["score"] = smooth(score, k_p, smoothing)[intervals[:, 1]]
    return check_predictions(table[list(PREDICTION_COLUMNS)], f"predictions of {subject}/{video}")


def _extensible(s: np.ndarray, peak: int, k_p: int) -> tuple[int, int, int]:
    """Onset, apex and offset around one peak on the raw score `s` (BoostingVRME, interval selection)."""
    last, mean = len(s) - 1, s.mean()
    onset = left = max(0, peak - k_p)
    for i in range(left + 1, peak):
        if s[i] > s[i - 1] and s[i] > mean / 1.5:
            onset = i - 1
            break
    offset = right = min(last, peak + k_p)
    for i in range(right - 1, peak, -1):
        if s[i] > s[i + 1] and s[i] > mean / 1.5:
            offset = i + 1
            break
    for i in range(onset - 1, max(0, peak - _REACH * k_p) - 1, -1):
        if i > 0 and s[i] < mean and s[i - 1] < mean:
            onset = i + 1
            break
    for j in range(offset + 1, min(last, peak + _REACH * k_p) + 1):
        if j < last and s[j] < mean and s[j + 1] < mean:
            offset = j - 1
            break
    return onset, onset + int(s[onset : offset + 1].argmax()), offset


def _without_overlaps(intervals: list[tuple[int, int, int]], k_p: int) -> np.ndarray:
    """Of the intervals in order of onset, those that neither overlap a kept one nor share its apex."""
    kept: list[tuple[int, int, int]] = []
    for interval in sorted(intervals, key=lambda row: row[0]):
        if all(
            _span_iou(interval, other) < _LARGEST_IOU and abs(interval[1] - other[1]) > k_p for other in kept
        ):
            kept.append(interval)
    return np.array(kept, np.int64).reshape(-1, 3)


def _span_iou(a: tuple[int, int, int], b: tuple[int, int, int]) -> float:
    """Overlap over span, ends not counted as frames (the extensible selection's own measure)."""
    span = max(a[2], b[2]) - min(a[0], b[0])
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) / span if span else 1.0


def _checked_score(score: np.ndarray, name: str = "score") -> np.ndarray:
    score = number_array(name, score, "(T,)").astype(float)
    if score.ndim != 1 or len(score) == 0:
        raise InputError(f"{name} has shape {score.shape}; it must be (T,) with at least one frame")
    if not np.isfinite(score).all():
        raise InputError(
            f"{name} is not finite at frame {int(np.argmin(np.isfinite(score)))}; check the network"
        )
    return score
