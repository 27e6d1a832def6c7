"""Two tables against each other, whoever made them: what was predicted and what is true.

Each is one of: a prediction or annotation table (CSV, 0-based frames; `metst analyse --csv` writes one), a submission of
the grand challenges (CSV without an apex, frames from 1), an annotation file that counts in seconds (ELAN, Praat, WebVTT), or a
folder of such files, one per video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metst_core import tables
from metst_core.checks import as_path, number_between
from metst_core.datasets import SUBMISSION_COLUMNS, TIMELINE_READERS
from metst_core.errors import InputError, MissingError
from metst_core.metrics import (
    INTERVALS,
    Evaluation,
    Intervals,
    evaluate,
    interval_iou,
    percentiles,
    resamples,
    score_intervals,
)

IOUS = (0.3, 0.5, 0.7)
"""At which IoUs the average precision is given unless others are asked for."""

_NOBODY = ""  # the subject of a file that names none


@dataclass(frozen=True, eq=False)
class Scores:
    """How well predictions fit the truth.

    evaluation: counts, scores (IoU 0.5) and the confusion.  table: `metric, value, low, high`, the scores and the
    average precision at every IoU with 95% intervals over subjects; NaN where something is not known.
    """

    evaluation: Evaluation
    table: pd.DataFrame
    subjects: list[str]
    videos: int

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "subjects": self.subjects,
            "videos": self.videos,
            "evaluation": self.evaluation.to_dict(),
            "table": self.table.to_dict("records"),
        }


def score_files(
    predictions: str | Path,
    truth: str | Path,
    fps: float | None = None,
    ious: Sequence[float] = IOUS,
    intervals: Intervals = INTERVALS,
) -> Scores:
    """Score one file against another (see the module for their forms).

    fps: frames per second, for files that count in seconds.  Files that name no subject (those, and folders of them)
    take the other side's subjects by the videos' names; two single ones are of the same video.
    """
    found, true = read_intervals(predictions, fps), read_intervals(truth, fps)
    if _is_one_timeline(predictions) and _is_one_timeline(truth):
        found, true = found.assign(video="video"), true.assign(video="video")
    return score_tables(_with_subjects(found, true), _with_subjects(true, found), ious, intervals)


def score_tables(
    predictions: pd.DataFrame,
    annotations: pd.DataFrame,
    ious: Sequence[float] = IOUS,
    intervals: Intervals = INTERVALS,
) -> Scores:
    """Score a prediction table against an annotation table; subjects are those that either of them names."""
    annotations = tables.check_annotations(annotations, "truth")
    predictions = tables.check_predictions(predictions, "predictions")
    subjects = list(dict.fromkeys([*annotations["subject"], *predictions["subject"]]))
    if not subjects:
        raise InputError("both tables are empty, so there is nothing to score")
    table = score_intervals(predictions, annotations, subjects, intervals)
    rows = [
        {
            "metric": f"average precision at IoU {iou:g}",
            **_average_precision(predictions, annotations, subjects, iou, intervals),
        }
        for iou in ious
    ]
    both = pd.concat([annotations, predictions])[["subject", "video"]].drop_duplicates()
    return Scores(
        evaluate(predictions, annotations),
        pd.concat([table, pd.DataFrame(rows)], ignore_index=True),
        subjects,
        len(both),
    )


def average_precision(predictions: pd.DataFrame, annotations: pd.DataFrame, iou: float = 0.5) -> float:
    """Area under precision over recall, the predictions taken from the highest score down; NaN without scores or truth.

    A prediction is true where the annotation of its video that it overlaps best, among those that no prediction with
    a higher score has taken, reaches `iou`.  Precision is made non-increasing first (as in PASCAL VOC since 2010).

    >>> columns = ["subject", "video", "onset", "apex", "offset", "emotion"]
    >>> truth = pd.DataFrame([("a", "1", 10, 15, 20, "others"), ("a", "1", 50, 55, 60, "others")], columns=columns)
    >>> average_precision(truth.assign(score=[0.9, 0.2]), truth)
    1.0
    >>> wrong = truth.assign(onset=[80, 50], apex=[85, 55], offset=[90, 60], score=[0.9, 0.2])
    >>> average_precision(wrong, truth)  # the second is right: precision 1/2 up to recall 1/2
    0.25
    """
    subjects = list(dict.fromkeys([*annotations["subject"], *predictions["subject"]]))
    weights = np.ones((1, len(subjects)))
    return float(_areas(*_hits(predictions, annotations, iou), annotations, subjects, weights)[0])


def _average_precision(
    predictions: pd.DataFrame,
    annotations: pd.DataFrame,
    subjects: list[str],
    iou: float,
    intervals: Intervals,
) -> dict[str, float]:
    rows = _hits(predictions, annotations, iou)
    value = _areas(*rows, annotations, subjects, np.ones((1, len(subjects))))[0]
    drawn = _areas(*rows, annotations, subjects, resamples(len(subjects), intervals.n, intervals.seed))
    known = drawn[np.isfinite(drawn)]
    low, high = percentiles(known, intervals.level) if len(known) else (np.nan, np.nan)
    return {"value": float(value), "low": low, "high": high}


def _hits(
    predictions: pd.DataFrame, annotations: pd.DataFrame, iou: float
) -> tuple[pd.DataFrame, np.ndarray]:
    """The predictions from the highest score down, and whether each is true, (n,) bool."""
    if number_between("iou", iou, 0, 1) == 0:
        raise InputError("iou is 0, and intervals that do not meet would match; use 0.5, for instance")
    # Of equal scores the order is that of time, whatever the order of the rows.
    keys = ["score", "subject", "video", "onset", "offset"]
    rows = predictions.sort_values(keys, ascending=[False, True, True, True, True], kind="stable")
    free = {
        key: [(r.onset, r.offset) for r in group.itertuples()]
        for key, group in annotations.groupby(["subject", "video"])
    }
    hits = []
    for row in rows.itertuples():
        there = free.get((row.subject, row.video), [])
        overlaps = [interval_iou((row.onset, row.offset), span) for span in there]
        best = int(np.argmax(overlaps)) if overlaps else -1
        hits.append(best >= 0 and overlaps[best] >= iou)
        if hits[-1]:
            there.pop(best)
    return rows, np.array(hits, bool)


def _areas(
    rows: pd.DataFrame, hits: np.ndarray, annotations: pd.DataFrame, subjects: list[str], weights: np.ndarray
) -> np.ndarray:
    """Average precision `(n,)` with each subject counted `weights (n, S)` times."""
    place = {subject: i for i, subject in enumerate(subjects)}
    per_true = weights @ np.bincount([place[s] for s in annotations["subject"]], minlength=len(subjects))
    if len(rows) and rows["score"].isna().any():
        return np.full(len(weights), np.nan)
    counted = weights[:, [place[s] for s in rows["subject"]]]
    true = np.cumsum(counted * hits, axis=1)
    all_ = np.cumsum(counted, axis=1)
    precision = np.divide(true, all_, out=np.zeros_like(true), where=all_ > 0)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    steps = np.diff(true, axis=1, prepend=0)
    area = (steps * precision).sum(axis=1)
    return np.divide(area, per_true, out=np.full(len(weights), np.nan), where=per_true > 0)


# --- reading ----------------------------------------------------------------------------------------------------
def read_intervals(path: str | Path, fps: float | None = None) -> pd.DataFrame:
    """A prediction table from any of the forms; the score is NaN where the file has none, the subject may be empty."""
    path = as_path("path", path)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in TIMELINE_READERS and p.name[0] != ".")
        if not files:
            raise MissingError(
                f"{path}: no annotation file in this folder (looked for {', '.join(TIMELINE_READERS)})"
            )
        parts = [part for part in (_timeline(file, fps) for file in files) if len(part)]
        return pd.concat(parts, ignore_index=True) if parts else tables.empty_predictions()
    return _timeline(path, fps) if path.suffix.lower() in TIMELINE_READERS else _sheet(path)


def _timeline(path: Path, fps: float | None) -> pd.DataFrame:
    if fps is None:
        raise InputError(f"{path}: it counts in seconds; give the frames per second of the video (--fps)")
    table = TIMELINE_READERS[path.suffix.lower()](path, fps, _NOBODY)
    return tables.check_predictions(table.assign(score=np.nan), str(path))


def _sheet(path: Path) -> pd.DataFrame:
    table = tables.read_csv(path)
    if "apex" not in table.columns and set(SUBMISSION_COLUMNS) <= set(table.columns):
        ends = (
            table[["onset", "offset"]].apply(pd.to_numeric, errors="coerce") - 1
        )  # a submission counts from 1
        table = table.assign(**ends, apex=ends.mean(axis=1).round())
    if "score" not in table.columns:
        table = table.assign(score=np.nan)
    return tables.check_predictions(table, str(path), tables.FIRST_ROW)


def _is_one_timeline(path: str | Path) -> bool:
    return Path(path).suffix.lower() in TIMELINE_READERS and Path(path).is_file()


def _with_subjects(table: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """A table whose nameless subjects are those that the other one gives to videos of the same name."""
    nameless = table["subject"] == _NOBODY
    if not nameless.any():
        return table
    known: dict[str, str] = {}
    for row in other[other["subject"] != _NOBODY].itertuples():
        if known.setdefault(row.video, row.subject) != row.subject:
            raise InputError(
                f"video {row.video!r} belongs to {known[row.video]!r} and to {row.subject!r} in one table, and the other "
                "names no subjects; give one with subjects"
            )
    names = [known.get(video, "-") for video in table["video"]]
    return table.assign(subject=table["subject"].where(~nameless, names))
