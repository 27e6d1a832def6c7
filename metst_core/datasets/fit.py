"""Intervals fitted to the videos they belong to; every change and every row left out gets a line."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pandas as pd

from metst_core import tables
from metst_core.datasets.dataset import ANNOTATIONS_FILE, FRAME_COLUMNS
from metst_core.datasets.labels import canonical_ids
from metst_core.datasets.rules import Report, Rules
from metst_core.errors import InputError


def fit_annotations(
    intervals: pd.DataFrame, videos: pd.DataFrame, rules: Rules, report: Report
) -> pd.DataFrame:
    """Fit intervals to their videos by the rules `past_end`, `duplicates`, `too_long`; every change gets a line.

    `intervals` is an annotation table, whose further columns `file` and `row` say where a row comes from.
    Rows without a video, and rows that begin after its end, are left out.  Videos of 0 frames have an unknown
    length.
    """
    lengths = {(v.subject, v.video): v.n_frames or math.inf for v in videos.itertuples()}
    rates = {(v.subject, v.video): v.fps for v in videos.itertuples()}
    kept: list[_Placed] = []
    seen: dict[tuple[str, str, int, int], _Placed] = {}
    for row in intervals.itertuples():
        placed = _Placed(
            row.subject, row.video, row.onset, row.apex, row.offset, row.emotion,
            getattr(row, "file", ANNOTATIONS_FILE), int(getattr(row, "row", row.Index + tables.FIRST_ROW)),
        )  # fmt: skip
        try:
            fitted = _placed_in(placed, lengths, rules, seen, report)
            _check_length(fitted, rates[fitted.subject, fitted.video], rules, report)
            kept.append(fitted)
        except InputError as error:
            report.add(placed.file, placed.row, str(error), "left out")
    _report_overlaps(kept, report)
    cells = [(k.subject, k.video, k.onset, k.apex, k.offset, k.emotion) for k in kept]
    return tables.check_annotations(pd.DataFrame(cells, columns=list(tables.ANNOTATION_COLUMNS)))


@dataclass(frozen=True)
class _Placed:
    """An interval and where it was read."""

    subject: str
    video: str
    onset: int
    apex: int
    offset: int
    emotion: str
    file: str
    row: int


def _placed_in(
    interval: _Placed,
    lengths: dict[tuple[str, str], float],
    rules: Rules,
    seen: dict[tuple[str, str, int, int], _Placed],
    report: Report,
) -> _Placed:
    """The interval as it is kept; `InputError` says why it is not."""
    length = lengths.get((interval.subject, interval.video))
    if length is None:
        raise InputError(f"no video {interval.video!r} of subject {interval.subject!r}")
    if interval.onset >= length:
        raise InputError(f"onset {interval.onset} lies after the last frame, {length - 1}")
    key = (interval.subject, interval.video, interval.onset, interval.offset)
    before = seen.setdefault(key, interval)
    if before is not interval:
        other = "" if before.emotion == interval.emotion else f", which is {before.emotion} there"
        problem = f"the same interval as row {before.row}{other}"
        if rules.duplicates == "drop":
            raise InputError(problem)
        report.add(interval.file, interval.row, problem, "kept")
    if interval.offset < length:
        return interval
    problem = f"offset {interval.offset} lies after the last frame, {length - 1}"
    if rules.past_end == "drop":
        raise InputError(problem)
    report.add(interval.file, interval.row, problem, "kept" if rules.past_end == "keep" else "cut at the end")
    if rules.past_end == "keep":
        return interval
    last = int(length) - 1
    return replace(interval, apex=min(interval.apex, last), offset=last)


def _check_length(interval: _Placed, fps: float, rules: Rules, report: Report) -> None:
    """A line for an interval of more than `rules.longest` seconds; `InputError` where it is to be left out."""
    seconds = (interval.offset - interval.onset + 1) / fps
    if seconds > rules.longest:
        problem = f"lasts {seconds:.1f} s, which no micro-expression does (longest: {rules.longest:g} s)"
        if rules.too_long == "drop":
            raise InputError(problem)
        report.add(interval.file, interval.row, problem, "kept")


def _report_overlaps(kept: Iterable[_Placed], report: Report) -> None:
    """A line for every interval that begins before an earlier one of the same video has ended."""
    longest: dict[tuple[str, str], _Placed] = {}
    for interval in sorted(kept, key=lambda k: (k.subject, k.video, k.onset, k.offset)):
        key = (interval.subject, interval.video)
        before = longest.get(key)
        if before is not None and interval.onset <= before.offset:
            report.add(interval.file, interval.row, f"overlaps with the interval of row {before.row}", "kept")
        if before is None or interval.offset > before.offset:
            longest[key] = interval


def with_known_ids(intervals: pd.DataFrame, videos: pd.DataFrame, report: Report) -> pd.DataFrame:
    """`intervals` with ids spelled as in `videos`; every row that spells them otherwise gets a line."""
    intervals = intervals.astype(dict.fromkeys(FRAME_COLUMNS, "int64"))
    subjects = canonical_ids(list(intervals["subject"]), videos["subject"].unique())
    spelled: dict[tuple[str, str], tuple[str, str]] = {}
    for said in dict.fromkeys(subjects):
        subject = subjects[said]
        ids = intervals.loc[intervals["subject"].map(subjects) == subject, "video"]
        names = canonical_ids(list(ids), videos.loc[videos["subject"] == subject, "video"])
        spelled |= {(said, video): (subject, name) for video, name in names.items()}
    for index, row in enumerate(intervals.itertuples()):
        found = spelled[row.subject, row.video]
        if found != (row.subject, row.video):
            report.add(row.file, row.row, f"ids {row.subject} {row.video}", f"read as {' '.join(found)}")
        intervals.loc[index, ["subject", "video"]] = found
    return intervals
