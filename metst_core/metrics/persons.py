"""Scores with their intervals over persons, and two methods compared on the same persons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metst_core.checks import number_between, whole_number
from metst_core.errors import InputError
from metst_core.metrics.scores import METRICS, Evaluation, SubjectCounts, class_indices, scores_of_counts
from metst_core.tables import EMOTIONS


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
