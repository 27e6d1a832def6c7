"""Predicted intervals matched to true ones, one to one and in time order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from metst_core.checks import number_array, number_between
from metst_core.errors import InputError
from metst_core.tables import ordered


def interval_iou(a: Sequence[int] | np.ndarray, b: Sequence[int] | np.ndarray) -> float:
    """Intersection over union of two inclusive intervals `(onset, ..., offset)`, in 0..1.

    An interval from onset to offset holds `offset - onset + 1` frames; disjoint intervals give 0.

    >>> interval_iou((10, 19), (15, 24))  # 5 frames in common, 15 in all
    0.3333333333333333
    """
    return _iou(*_ends(a, "a"), *_ends(b, "b"))


def _iou(s1: int, e1: int, s2: int, e2: int) -> float:
    overlap = max(0, min(e1, e2) - max(s1, s2) + 1)
    return overlap / ((e1 - s1 + 1) + (e2 - s2 + 1) - overlap)


def match_intervals(
    pred: Sequence[Sequence[int]] | np.ndarray,
    true: Sequence[Sequence[int]] | np.ndarray,
    threshold: float = 0.5,
) -> np.ndarray:
    """Index of the matched true interval, or -1, per predicted interval of one video: `(n_pred,)` int64.

    Taken in order of onset, then offset, a prediction is matched when the true interval that it overlaps best
    reaches `threshold` and no earlier prediction has it (one-to-one; there is no second choice).  Of equally
    good true intervals the one with the earliest onset counts, then offset.  Among rows that are equal in both
    the first counts.  Rows are `(onset, offset)` or `(onset, apex, offset)`.
    """
    pred_rows, true_rows = _interval_rows(pred, "pred"), _interval_rows(true, "true")
    if number_between("threshold", threshold, 0, 1) == 0:
        raise InputError("threshold is 0, and intervals that do not meet would match; use 0.5, for instance")
    matched = np.full(len(pred_rows), -1, np.int64)
    taken: set[int] = set()
    in_time = _in_time(true_rows)
    for i in _in_time(pred_rows):
        start, *_, end = pred_rows[i]
        ious = [_iou(start, end, true_rows[t][0], true_rows[t][-1]) for t in in_time]
        first = int(np.argmax(ious)) if ious else -1
        best = in_time[first] if ious else -1
        if best >= 0 and ious[first] >= threshold and best not in taken:
            matched[i] = best
            taken.add(best)
    return matched


def match_tables(predictions: pd.DataFrame, annotations: pd.DataFrame, threshold: float = 0.5) -> np.ndarray:
    """Position of the matched annotation row, or -1, per row of a prediction table (video by video).

    The order of rows does not matter: where onset and offset are equal, apex and then emotion decide
    (`tables.ordered`).
    """
    matched = np.full(len(predictions), -1, np.int64)
    truth = _rows_by_video(annotations)
    onsets, offsets = annotations["onset"].to_numpy(), annotations["offset"].to_numpy()
    starts, ends = predictions["onset"].to_numpy(), predictions["offset"].to_numpy()
    for key, rows in _rows_by_video(predictions).items():
        true = truth.get(key, np.zeros(0, np.int64))
        local = match_intervals(
            np.stack([starts[rows], ends[rows]], axis=1),
            np.stack([onsets[true], offsets[true]], axis=1),
            threshold,
        )
        matched[rows[local >= 0]] = true[local[local >= 0]]
    return matched


def _in_time(rows: list[list[int]]) -> list[int]:
    """Positions of rows by onset, then offset; equal ones stay in their order."""
    return sorted(range(len(rows)), key=lambda i: (rows[i][0], rows[i][-1]))


def _ends(interval: Sequence[int] | np.ndarray, name: str) -> tuple[int, int]:
    rows = _interval_rows([interval], name)
    if len(rows) != 1:
        raise InputError(f"{name} is empty; an interval is (onset, offset) or (onset, apex, offset)")
    return rows[0][0], rows[0][-1]


def _interval_rows(
    intervals: Sequence[Sequence[int] | np.ndarray] | np.ndarray, name: str
) -> list[list[int]]:
    rows = number_array(name, intervals, "rows (onset, offset)")
    if rows.size == 0:
        return []
    if rows.ndim != 2 or rows.shape[1] not in (2, 3):
        raise InputError(f"{name} has shape {rows.shape}; rows are (onset, offset) or (onset, apex, offset)")
    if not np.isfinite(rows).all() or (rows[:, 0] > rows[:, -1]).any():
        raise InputError(f"{name} holds a row whose onset and offset are not two frame numbers in order")
    return rows.tolist()


def _rows_by_video(table: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """Row positions of each (subject, video), in the order of `tables.ordered`."""
    rows: dict[tuple[str, str], list[int]] = {}
    keys = list(zip(table["subject"], table["video"], strict=True))
    for i in ordered(table).tolist():
        rows.setdefault(keys[i], []).append(i)
    return {key: np.array(positions, np.int64) for key, positions in rows.items()}
