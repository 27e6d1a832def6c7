"""Scores of spotting, recognition and analysis (STRS), with intervals over subjects and paired comparisons.

Definitions follow the MEGC rules and ME-TST+ (arXiv 2508.08082, evaluation).  Intervals are inclusive frames.
Matching is one-to-one and per (subject, video); counts are pooled over all videos.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from metst_core.checks import number_array, number_between, whole_number
from metst_core.errors import InputError
from metst_core.tables import CLASSES, EMOTIONS, check_annotations, check_predictions

METRICS = (
    "spotting_precision",
    "spotting_recall",
    "spotting_f1",
    "recognition_f1",
    "uf1",
    "uar",
    "strs",
)
"""The scores of an `Evaluation`, in the order in which tables show them."""


@dataclass(frozen=True)
class Intervals:
    """How bootstrap intervals are drawn: `n` samples of the subjects, `seed`, `level` (0.95 = 95%)."""

    n: int = 1000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        whole_number("n", self.n, 1)
        whole_number("seed", self.seed, 0)
        number_between("level", self.level, 0, 1)


INTERVALS = Intervals()
"""What is drawn where nobody says: 1000 samples, 95%."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of a prediction table against an annotation table.

    `tp`, `fp`, `fn` count intervals over everything.  Recognition is scored on the true positives alone
    whose true emotion is among `classes`: `recognition_f1` is the harmonic mean of macro precision and
    macro recall, `uf1` the mean F1 and `uar` the mean recall over the classes that occur in truth or
    prediction; `strs` is `spotting_f1 * recognition_f1`.  `confusion` counts those true positives: rows
    truth (`classes`), columns prediction (the four emotions, then neutral).
    """

    tp: int
    fp: int
    fn: int
    spotting_precision: float
    spotting_recall: float
    spotting_f1: float
    recognition_f1: float
    uf1: float
    uar: float
    strs: float
    confusion: pd.DataFrame

    def __repr__(self) -> str:
        return f"Evaluation({self.tp} TP, {self.fp} FP, {self.fn} FN; {scores_line(self)})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.confusion.to_html()}"

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain numbers, strings, lists and dicts (for `results.json`)."""
        counts = {name: int(getattr(self, name)) for name in ("tp", "fp", "fn")}
        scores = {name: float(getattr(self, name)) for name in METRICS}
        confusion = {
            "truth": [str(c) for c in self.confusion.index],
            "prediction": [str(c) for c in self.confusion.columns],
            "counts": self.confusion.to_numpy().tolist(),
        }
        return {**counts, **scores, "confusion": confusion}


def scores_line(evaluation: Evaluation) -> str:
    """The three scores that a method is known by, in one line."""
    return (
        f"spotting F1 {evaluation.spotting_f1:.3f}, recognition F1 {evaluation.recognition_f1:.3f}, "
        f"STRS {evaluation.strs:.3f}"
    )


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

    Taken in order of onset, a prediction is matched when the true interval that it overlaps best reaches
    `threshold` and no earlier prediction has it (one-to-one; there is no second choice).  Of equally good
    true intervals the first counts.  Rows are `(onset, offset)` or `(onset, apex, offset)`.
    """
    pred_rows, true_rows = _interval_rows(pred, "pred"), _interval_rows(true, "true")
    if number_between("threshold", threshold, 0, 1) == 0:
        raise InputError("threshold is 0, and intervals that do not meet would match; use 0.5, for instance")
    matched = np.full(len(pred_rows), -1, np.int64)
    taken: set[int] = set()
    for i in sorted(range(len(pred_rows)), key=lambda i: pred_rows[i][0]):
        start, *_, end = pred_rows[i]
        ious = [_iou(start, end, row[0], row[-1]) for row in true_rows]
        best = int(np.argmax(ious)) if ious else -1
        if best >= 0 and ious[best] >= threshold and best not in taken:
            matched[i] = best
            taken.add(best)
    return matched


def evaluate(
    predictions: pd.DataFrame, annotations: pd.DataFrame, classes: Sequence[str] = EMOTIONS
) -> Evaluation:
    """Score a prediction table against an annotation table (its `score` column is not needed).

    `classes` restricts the recognition scores: true positives whose true emotion is left out leave them,
    while one named as a left-out emotion stays as a miss of its true class.  Spotting is always over
    everything.  Predictions in a video without annotations are false positives.  A ratio with nothing below
    it counts 0, and a class that is in neither truth nor prediction is left out of the means.

    >>> truth = pd.DataFrame(
    ...     [("s1", "v1", 10, 15, 20, "surprise"), ("s1", "v1", 50, 55, 60, "positive")],
    ...     columns=["subject", "video", "onset", "apex", "offset", "emotion"],
    ... )
    >>> found = truth.iloc[:1].assign(offset=22)
    >>> evaluate(found, truth)
    Evaluation(1 TP, 0 FP, 1 FN; spotting F1 0.667, recognition F1 1.000, STRS 0.667)
    """
    counts = SubjectCounts.of(predictions, annotations, subjects=None)
    chosen = class_indices(classes)
    row = counts.spotting.sum(axis=0)
    confusion = counts.confusion.sum(axis=0)
    scores = scores_of_counts(row[None], confusion[None], chosen)
    table = pd.DataFrame(confusion[chosen], index=[EMOTIONS[i] for i in chosen], columns=list(CLASSES))
    table.index.name, table.columns.name = "truth", "prediction"
    tp, fp, fn = (int(v) for v in row)
    return Evaluation(tp, fp, fn, **{name: float(scores[name][0]) for name in METRICS}, confusion=table)


def match_tables(predictions: pd.DataFrame, annotations: pd.DataFrame, threshold: float = 0.5) -> np.ndarray:
    """Position of the matched annotation row, or -1, per row of a prediction table (video by video)."""
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


def bootstrap(
    predictions: pd.DataFrame,
    annotations: pd.DataFrame,
    subjects: Sequence[str],
    intervals: Intervals = INTERVALS,
    classes: Sequence[str] = EMOTIONS,
) -> pd.DataFrame:
    """Percentile bootstrap intervals over subjects: a table `metric, value, low, high`.

    `subjects` are all subjects that were evaluated, those without annotations or predictions included;
    `intervals.n` samples of as many subjects are drawn with replacement and the pooled scores recomputed.
    """
    counts = SubjectCounts.of(predictions, annotations, subjects)
    chosen = class_indices(classes)
    value = counts.scores(np.ones((1, counts.n_subjects)), chosen)
    drawn = counts.scores(resamples(counts.n_subjects, intervals.n, intervals.seed), chosen)
    rows = [(m, value[m][0], *percentiles(drawn[m], intervals.level)) for m in METRICS]
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high"])


def paired_difference(
    predictions_a: pd.DataFrame,
    predictions_b: pd.DataFrame,
    annotations: pd.DataFrame,
    subjects: Sequence[str],
    intervals: Intervals = INTERVALS,
    classes: Sequence[str] = EMOTIONS,
) -> pd.DataFrame:
    """Method b minus method a on the same subjects: a table `metric, a, b, difference, low, high, p_value`.

    `low, high` is the paired bootstrap interval (the same subjects drawn for both).  `p_value` is
    two-sided, from `intervals.n` random exchanges of the two methods within subjects (a permutation test; the
    observed labelling counts too).
    """
    counts_a = SubjectCounts.of(predictions_a, annotations, subjects)
    counts_b = SubjectCounts.of(predictions_b, annotations, subjects)
    chosen = class_indices(classes)
    n_subjects = counts_a.n_subjects
    ones = np.ones((1, n_subjects))
    a, b = counts_a.scores(ones, chosen), counts_b.scores(ones, chosen)
    weights = resamples(n_subjects, intervals.n, intervals.seed)
    drawn_a, drawn_b = counts_a.scores(weights, chosen), counts_b.scores(weights, chosen)
    exchanges = np.random.default_rng([intervals.seed, 1])
    keep = exchanges.integers(0, 2, (intervals.n, n_subjects)).astype(float)
    swapped_a = _mixed_scores(counts_a, counts_b, keep, chosen)
    swapped_b = _mixed_scores(counts_b, counts_a, keep, chosen)
    rows = []
    for m in METRICS:
        difference = b[m][0] - a[m][0]
        as_large = np.abs(swapped_b[m] - swapped_a[m]) >= abs(difference) - 1e-12
        p_value = (1 + as_large.sum()) / (1 + intervals.n)
        ends = percentiles(drawn_b[m] - drawn_a[m], intervals.level)
        rows.append((m, a[m][0], b[m][0], difference, *ends, p_value))
    return pd.DataFrame(rows, columns=["metric", "a", "b", "difference", "low", "high", "p_value"])


def interval_text(value: float, low: float, high: float) -> str:
    """A score with its interval, as tables show it: "0.648 [0.554, 0.740]"; "–" for what is undefined."""
    value_text, *ends = ("–" if x is None or x != x else f"{x:.3f}" for x in (value, low, high))
    return f"{value_text} [{', '.join(ends)}]"


def seed_spread(evaluations: Mapping[int, Evaluation]) -> pd.DataFrame:
    """Spread of every score over training seeds: `metric, n_seeds, mean, sd, min, median, max` (sd with n - 1).

    The seeds are few: minimum and maximum are those of the runs made, not the ends of an interval.
    """
    if not isinstance(evaluations, Mapping) or not evaluations:
        raise InputError(
            "evaluations is empty or no mapping; give one Evaluation per seed: {seed: evaluation}"
        )
    rows = []
    for m in METRICS:
        values = np.array([getattr(e, m) for e in evaluations.values()])
        sd = values.std(ddof=1) if len(values) > 1 else float("nan")
        rows.append((m, len(values), values.mean(), sd, values.min(), np.median(values), values.max()))
    return pd.DataFrame(rows, columns=["metric", "n_seeds", "mean", "sd", "min", "median", "max"])


@dataclass(frozen=True)
class SubjectCounts:
    """Per subject: `spotting (S, 3)` of tp, fp, fn and `confusion (S, 4, 5)` of the true positives.

    Everything that is scored follows from these counts, so resampling subjects needs no second matching.
    """

    spotting: np.ndarray
    confusion: np.ndarray

    @property
    def n_subjects(self) -> int:
        return len(self.spotting)

    def scores(self, weights: np.ndarray, chosen: list[int]) -> dict[str, np.ndarray]:
        """Pooled scores `(n,)` with subject s counted `weights[:, s]` times; `weights` is `(n, S)`."""
        return scores_of_counts(
            weights @ self.spotting, np.tensordot(weights, self.confusion, axes=1), chosen
        )

    @classmethod
    def of(
        cls, predictions: pd.DataFrame, annotations: pd.DataFrame, subjects: Sequence[str] | None
    ) -> SubjectCounts:
        """Counts of two tables, subjects in the given order (None: as they are met, annotations first)."""
        if isinstance(predictions, pd.DataFrame) and "score" not in predictions.columns:
            predictions = predictions.assign(score=np.nan)
        predictions, annotations = check_predictions(predictions), check_annotations(annotations)
        if isinstance(subjects, str) or not isinstance(subjects, Iterable | None):
            raise InputError(f"subjects is {subjects!r}; give a list of subjects' names")
        subjects = None if subjects is None else list(subjects)
        seen = dict.fromkeys([*annotations["subject"], *predictions["subject"]])
        index = {s: i for i, s in enumerate(seen if subjects is None else map(str, subjects))}
        if subjects is not None and (len(subjects) == 0 or len(index) != len(subjects)):
            raise InputError("subjects must name every evaluated subject exactly once")
        unknown = [s for s in seen if s not in index]
        if unknown:
            raise InputError(
                f"subjects lacks {unknown[0]!r}, which has predictions or annotations; name all of them"
            )
        return cls(*_count(predictions, annotations, index))


def _count(
    predictions: pd.DataFrame, annotations: pd.DataFrame, index: dict[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    matched = match_tables(predictions, annotations)
    hit = matched >= 0
    of_prediction = np.array([index[s] for s in predictions["subject"]], dtype=np.int64)
    of_annotation = np.array([index[s] for s in annotations["subject"]], dtype=np.int64)
    missed = np.ones(len(annotations), bool)
    missed[matched[hit]] = False
    columns = (of_prediction[hit], of_prediction[~hit], of_annotation[missed])
    spotting = np.stack([np.bincount(column, minlength=len(index)) for column in columns], axis=1)
    confusion = np.zeros((len(index), len(EMOTIONS), len(CLASSES)), np.int64)
    named = np.array([CLASSES.index(e) for e in predictions["emotion"]], dtype=np.int64)
    truth = np.array([CLASSES.index(e) for e in annotations["emotion"]], dtype=np.int64)
    np.add.at(confusion, (of_prediction[hit], truth[matched[hit]], named[hit]), 1)
    return spotting, confusion


def scores_of_counts(spotting: np.ndarray, confusion: np.ndarray, chosen: list[int]) -> dict[str, np.ndarray]:
    """All metrics `(n,)` from counts: `spotting (n, 3)`, `confusion (n, 4, 5)`, truth classes `chosen`."""
    tp, fp, fn = spotting[:, 0], spotting[:, 1], spotting[:, 2]
    kept = confusion[:, chosen]
    right = kept[:, range(len(chosen)), chosen]
    truth, named = kept.sum(axis=2), kept[:, :, chosen].sum(axis=1)
    precision, recall = _ratio(right, named), _ratio(right, truth)
    occurs = truth + named > 0
    spotting_f1 = _ratio(2 * tp, 2 * tp + fp + fn)
    recognition_f1 = _harmonic(_mean_over(occurs, precision), _mean_over(occurs, recall))
    return {
        "spotting_precision": _ratio(tp, tp + fp),
        "spotting_recall": _ratio(tp, tp + fn),
        "spotting_f1": spotting_f1,
        "recognition_f1": recognition_f1,
        "uf1": _mean_over(occurs, _ratio(2 * right, truth + named)),
        "uar": _mean_over(occurs, recall),
        "strs": spotting_f1 * recognition_f1,
    }


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """`above / below`, 0 where `below` is 0."""
    return np.divide(above, below, out=np.zeros(np.shape(below)), where=np.asarray(below) > 0)


def _mean_over(occurs: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean over the classes `(n, classes)` that occur, 0 where none does."""
    return _ratio((values * occurs).sum(axis=1), occurs.sum(axis=1))


def _harmonic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _ratio(2 * a * b, a + b)


def _mixed_scores(
    a: SubjectCounts, b: SubjectCounts, keep: np.ndarray, chosen: list[int]
) -> dict[str, np.ndarray]:
    """Pooled scores of a with the subjects where `keep` is 0 taken from b."""
    spotting = keep @ a.spotting + (1 - keep) @ b.spotting
    confusion = np.tensordot(keep, a.confusion, axes=1) + np.tensordot(1 - keep, b.confusion, axes=1)
    return scores_of_counts(spotting, confusion, chosen)


def resamples(n_subjects: int, n: int, seed: int) -> np.ndarray:
    """How often each subject is drawn in each of `n` bootstrap samples, `(n, S)`."""
    n, seed = whole_number("n", n, 1), whole_number("seed", seed, 0)
    if n_subjects == 0:
        raise InputError("subjects is empty, and so are the tables; there is nobody to draw")
    drawn = np.random.default_rng([seed, 0]).integers(0, n_subjects, (n, n_subjects))
    return np.stack([np.bincount(row, minlength=n_subjects) for row in drawn]).astype(float)


def percentiles(values: np.ndarray, level: float) -> tuple[float, float]:
    """The ends of the central interval that holds `level` of the values."""
    level = number_between("level", level, 0, 1)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def class_indices(classes: Sequence[str]) -> list[int]:
    """Positions of emotions in `EMOTIONS`; `InputError` for a name that is none, or comes twice."""
    names = list(classes) if isinstance(classes, Iterable) and not isinstance(classes, str) else []
    if not names or any(not isinstance(c, str) or names.count(c) > 1 or c not in EMOTIONS for c in names):
        raise InputError(f"classes is {classes!r}; use a list of distinct names of {', '.join(EMOTIONS)}")
    return [EMOTIONS.index(c) for c in names]


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
    """Row positions of each (subject, video)."""
    rows: dict[tuple[str, str], list[int]] = {}
    for i, key in enumerate(zip(table["subject"], table["video"], strict=True)):
        rows.setdefault(key, []).append(i)
    return {key: np.array(positions, np.int64) for key, positions in rows.items()}
