"""Scores with their intervals over persons and over training seeds, and how often such intervals cover.

Persons are few and their scores are ratios of sums, so the percentiles of a bootstrap are too narrow: of 8 persons' scores
they miss the true one in 15 to 18% of cases, of 16 persons' in 10 to 12% (`COVERAGE_FILE`).  The default is a jackknife over persons with Student's
t, on the logit scale; `coverage` says how often it covered in a simulation with as many persons (`simulation`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from metst_core.checks import number_between, one_of, whole_number
from metst_core.errors import InputError
from metst_core.files import ASSETS
from metst_core.metrics.scores import METRICS, Evaluation, SubjectCounts, class_indices, scores_of_counts
from metst_core.tables import EMOTIONS

INTERVAL_METHODS = ("jackknife", "percentile", "bca", "studentised")
COVERAGE_FILE = ASSETS / "coverage.csv"
"""How often intervals covered in the simulation; `metst coverage` writes it."""

_STRS, _SPOTTING, _RECOGNITION = (METRICS.index(m) for m in ("strs", "spotting_f1", "recognition_f1"))


@dataclass(frozen=True)
class Intervals:
    """How intervals are made: `level` (0.95 = 95%), the `method`, and what is drawn for it.

    `n` is the number of bootstrap samples of the persons, and of exchanges of two methods in a permutation test;
    `seed` their random numbers.  The jackknife draws nothing.
    """

    n: int = 1000
    seed: int = 0
    level: float = 0.95
    method: str = "jackknife"

    def __post_init__(self) -> None:
        whole_number("n", self.n, 1)
        whole_number("seed", self.seed, 0)
        number_between("level", self.level, 0, 1)
        one_of("method", self.method, INTERVAL_METHODS)


INTERVALS = Intervals()
"""What holds where nobody says: jackknife, 95%, 1000 exchanges in a test."""


class Counts(NamedTuple):
    """Counts of one method: `spotting (K, ..., S, 3)` and `confusion (K, ..., S, 4, 5)` for K seeds and S persons."""

    spotting: np.ndarray
    confusion: np.ndarray

    @property
    def n_seeds(self) -> int:
        return len(self.spotting)

    @property
    def n_persons(self) -> int:
        return self.spotting.shape[-2]

    def of_persons(self, positions: Sequence[int] | np.ndarray) -> Counts:
        """The same of some persons."""
        return Counts(self.spotting[..., positions, :], self.confusion[..., positions, :, :])

    def weighted(self, weights: np.ndarray) -> Counts:
        """Pooled counts `(K, n, ...)` with person s counted `weights[:, s]` times; for counts `(K, S, ...)`."""
        return Counts(
            weights @ self.spotting, np.einsum("ns,ksij->knij", weights, self.confusion, optimize=True)
        )

    @classmethod
    def of(
        cls,
        predictions: pd.DataFrame | Sequence[pd.DataFrame],
        annotations: pd.DataFrame,
        subjects: Sequence[str],
    ) -> Counts:
        """Counts of one prediction table, or of one per training seed."""
        tables = [predictions] if isinstance(predictions, pd.DataFrame) else list(predictions)
        if not tables:
            raise InputError("predictions is empty; give one prediction table, or one per training seed")
        counts = [SubjectCounts.of(table, annotations, subjects) for table in tables]
        return cls(np.stack([c.spotting for c in counts]), np.stack([c.confusion for c in counts]))


def score_array(spotting: np.ndarray, confusion: np.ndarray, chosen: list[int]) -> np.ndarray:
    """All scores `(..., M)` in the order of `METRICS`, from pooled counts `(..., 3)` and `(..., 4, 5)`."""
    scores = scores_of_counts(spotting.reshape(-1, 3), confusion.reshape(-1, *confusion.shape[-2:]), chosen)
    return np.stack([scores[m] for m in METRICS], axis=-1).reshape(*spotting.shape[:-1], len(METRICS))


class Estimate(NamedTuple):
    """Scores `(..., M)` and where their error comes from.

    `persons` and `seeds` are the variances of the value over persons (jackknife) and over training seeds (0 where
    there is one), with their degrees of freedom; `trials` is how many intervals each score is a share of.
    """

    value: np.ndarray
    persons: np.ndarray
    seeds: np.ndarray
    df_persons: int
    df_seeds: int
    trials: np.ndarray

    @property
    def seed_share(self) -> np.ndarray:
        """The share of the whole variance that training seeds have, NaN where there is one seed."""
        total = self.persons + self.seeds
        known = np.where(total > 0, self.seeds / np.where(total > 0, total, 1), 0.0)
        return known if self.df_seeds else np.full_like(known, np.nan)


def estimate(counts: Counts, chosen: list[int]) -> Estimate:
    """Jackknife over persons of the mean score over seeds; the seeds' own variance beside it.

    Seeds differ also because each does better on other persons; that part is in the jackknife already, and is taken
    off the variance between seeds (what is left is never below 0).
    """
    values, left_out = seed_scores(counts, chosen)
    n_persons, n_seeds = counts.n_persons, counts.n_seeds
    seeds = np.zeros(values.shape[1:])
    if n_seeds > 1:
        among_persons = jackknife_variance(left_out - left_out.mean(axis=0)).sum(axis=0) / (n_seeds - 1)
        seeds = np.maximum(values.var(axis=0, ddof=1) - np.nan_to_num(among_persons), 0) / n_seeds
    return Estimate(
        values.mean(axis=0), jackknife_variance(left_out.mean(axis=0)), seeds, n_persons - 1, n_seeds - 1,
        _trials(counts, chosen).mean(axis=0),
    )  # fmt: skip


def jackknife_variance(left_out: np.ndarray) -> np.ndarray:
    """Variance `(..., M)` of scores from those without each person in turn, `(..., S, M)` (Efron and Tibshirani)."""
    n_persons = left_out.shape[-2]
    if n_persons < 2:
        return np.full((*left_out.shape[:-2], left_out.shape[-1]), np.nan)
    spread = left_out - left_out.mean(axis=-2, keepdims=True)
    return (spread**2).sum(axis=-2) * (n_persons - 1) / n_persons


def seed_scores(counts: Counts, chosen: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Scores by seed `(K, ..., M)`, and the same without each person in turn, `(K, ..., S, M)`."""
    spotting, confusion = counts.spotting.sum(axis=-2), counts.confusion.sum(axis=-3)
    without = score_array(
        spotting[..., None, :] - counts.spotting, confusion[..., None, :, :] - counts.confusion, chosen
    )
    return score_array(spotting, confusion, chosen), without


def _trials(counts: Counts, chosen: list[int]) -> np.ndarray:
    """How many intervals each score is a share of, `(K, ..., M)`."""
    spotting = counts.spotting.sum(axis=-2)
    tp, fp, fn = (spotting[..., i] for i in range(3))
    named = counts.confusion.sum(axis=-3)[..., chosen, :].sum(axis=(-1, -2))
    by_name = {"spotting_precision": tp + fp, "spotting_recall": tp + fn, "spotting_f1": tp + fp + fn}
    return np.stack([by_name.get(m, named) for m in METRICS], axis=-1).astype(float)


def logit_ends(estimated: Estimate, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends `(..., M)` of Student-t intervals of scores on the logit scale.

    The centre is drawn towards one half as if one interval more had been right and one wrong, and the variance is
    at least that of as many independent trials: without both a score of 0 or 1, or persons who happen to agree, would
    have no width.
    """
    n, value = estimated.trials, estimated.value
    centre = (value * n + 1) / (n + 2)
    least = centre * (1 - centre) / (n + 2)
    centre[..., _STRS] = centre[..., _SPOTTING] * centre[..., _RECOGNITION]
    least[..., _STRS] = (
        least[..., _SPOTTING] * centre[..., _RECOGNITION] ** 2
        + least[..., _RECOGNITION] * centre[..., _SPOTTING] ** 2
    )
    persons = np.maximum(estimated.persons, least)
    t = student(persons, estimated.seeds, estimated.df_persons, estimated.df_seeds, (1 + level) / 2)
    half = t * np.sqrt(persons + estimated.seeds) / (centre * (1 - centre))
    middle = np.log(centre / (1 - centre))
    low, high = (1 / (1 + np.exp(-(middle + sign * half))) for sign in (-1, 1))
    return np.minimum(low, value), np.maximum(high, value)


def student(
    persons: np.ndarray, seeds: np.ndarray, df_persons: int, df_seeds: int, quantile: float
) -> np.ndarray:
    """Student's t quantile for the sum of two variances (Satterthwaite's degrees of freedom)."""
    total = persons + seeds
    squares = persons**2 / max(df_persons, 1) + (seeds**2 / df_seeds if df_seeds else 0.0)
    df = np.where(squares > 0, total**2 / np.where(squares > 0, squares, 1), max(df_persons, 1))
    return t_quantile(df, quantile)


def t_quantile(df: float | np.ndarray, quantile: float) -> np.ndarray:
    """Student's t."""
    from scipy.special import stdtrit  # here: whoever only scores needs no SciPy

    found: np.ndarray = stdtrit(df, quantile)
    return found


def score_intervals(
    predictions: pd.DataFrame | Sequence[pd.DataFrame],
    annotations: pd.DataFrame,
    subjects: Sequence[str],
    intervals: Intervals = INTERVALS,
    classes: Sequence[str] = EMOTIONS,
) -> pd.DataFrame:
    """Scores with intervals over persons: a table `metric, value, low, high, coverage, seed_share`.

    `predictions` is a prediction table, or one per training seed: the value is then the mean over seeds, the interval
    holds for the mean of further seeds on further persons, and `seed_share` is the seeds' share of its variance (NaN
    with one seed: what training luck does is not in the interval).  `subjects` are all subjects that were evaluated,
    those without annotations or predictions included.  `coverage` is how often such intervals covered in simulation
    (`coverage`); one person has no interval.
    """
    counts, chosen = Counts.of(predictions, annotations, subjects), class_indices(classes)
    found = estimate(counts, chosen)
    if intervals.method == "jackknife":
        low, high = logit_ends(found, intervals.level)
    else:
        low, high = bootstrap_ends(counts, chosen, intervals)
    covered = [
        coverage(counts.n_persons, m, intervals.method, seeds=counts.n_seeds, level=intervals.level)
        for m in METRICS
    ]
    columns = {
        "value": found.value,
        "low": low,
        "high": high,
        "coverage": covered,
        "seed_share": found.seed_share,
    }
    return pd.DataFrame({"metric": METRICS, **columns})


def bootstrap(
    predictions: pd.DataFrame,
    annotations: pd.DataFrame,
    subjects: Sequence[str],
    intervals: Intervals = INTERVALS,
    classes: Sequence[str] = EMOTIONS,
) -> pd.DataFrame:
    """Percentile bootstrap intervals over subjects: a table `metric, value, low, high`.

    As `score_intervals`; `intervals.n` samples of as many subjects are drawn with replacement and the pooled scores
    recomputed.  With few persons these are too narrow: the table of `coverage` says by how much.
    """
    by_percentile = Intervals(intervals.n, intervals.seed, intervals.level, "percentile")
    return score_intervals(predictions, annotations, subjects, by_percentile, classes)[
        ["metric", "value", "low", "high"]
    ]


def bootstrap_ends(counts: Counts, chosen: list[int], intervals: Intervals) -> tuple[np.ndarray, np.ndarray]:
    """Ends `(M,)` of bootstrap intervals over persons: percentiles, BCa or studentised (Efron and Tibshirani)."""
    weights = resamples(counts.n_persons, intervals.n, intervals.seed)
    pooled = counts.weighted(weights)
    drawn = score_array(*pooled, chosen).mean(axis=0)
    tails = np.array([(1 - intervals.level) / 2, (1 + intervals.level) / 2])
    if intervals.method == "percentile":
        low, high = np.quantile(drawn, tails, axis=0)
        return low, high
    values, left_out = seed_scores(counts, chosen)
    ends = _bca if intervals.method == "bca" else _studentised(counts, pooled, weights, chosen)
    return ends(values.mean(axis=0), left_out.mean(axis=0), drawn, tails)


_Ends = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def _bca(
    value: np.ndarray, left_out: np.ndarray, drawn: np.ndarray, tails: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles moved for bias and for an error that changes with the score."""
    from scipy.special import ndtr, ndtri

    below = (drawn < value).mean(axis=0) + (drawn == value).mean(axis=0) / 2
    bias = ndtri(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn)))
    skew = left_out.mean(axis=0) - left_out
    size = np.maximum((skew**2).sum(axis=0), 1e-12) ** 1.5
    speed = (skew**3).sum(axis=0) / (6 * size)
    moved = [bias + (bias + z) / (1 - speed * (bias + z)) for z in ndtri(tails)]
    shares = ndtr(np.array(moved))
    ends = [[np.quantile(drawn[:, m], s) for m, s in enumerate(row)] for row in shares]
    return np.array(ends[0]), np.array(ends[1])


def _studentised(counts: Counts, pooled: Counts, weights: np.ndarray, chosen: list[int]) -> _Ends:
    """Quantiles of the distance in standard errors, each sample's own by a jackknife of the persons in it."""
    parts = []
    for first in range(0, len(weights), 200):  # some samples at a time: (K, n, S, 4, 5) is large
        rows = slice(first, first + 200)
        without = score_array(
            pooled.spotting[:, rows, None] - counts.spotting[:, None],
            pooled.confusion[:, rows, None] - counts.confusion[:, None],
            chosen,
        ).mean(axis=0)
        times = weights[rows, :, None]
        n_persons = counts.n_persons
        centre = (times * without).sum(axis=1, keepdims=True) / n_persons
        parts.append((times * (without - centre) ** 2).sum(axis=1) * (n_persons - 1) / n_persons)
    errors = np.sqrt(np.concatenate(parts))

    def ends(
        value: np.ndarray, left_out: np.ndarray, drawn: np.ndarray, tails: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        distance = (drawn - value) / np.where(errors > 1e-12, errors, np.inf)
        low, high = np.quantile(distance, tails, axis=0)
        error = np.sqrt(jackknife_variance(left_out))
        return value - high * error, value - low * error

    return ends


def coverage(
    n_persons: int,
    metric: str,
    method: str = "jackknife",
    what: str = "interval",
    seeds: int = 1,
    level: float = 0.95,
) -> float:
    """How often 95% intervals of so many persons covered in simulation, the lowest over the populations tried.

    Linear in the logarithm of the number of persons between the numbers that were simulated; NaN outside of them, and
    for another level.  `what` is "interval" (of a score) or "difference" (of two equal methods); with more than one
    seed the figure is that of three.
    """
    table = _coverage_table()
    mine = table[
        (table["what"] == what) & (table["method"] == method) & (table["metric"] == metric)
        & (table["seeds"] == (1 if seeds == 1 else 3))
    ]  # fmt: skip
    if level != 0.95 or mine.empty or not mine["persons"].min() <= n_persons <= mine["persons"].max():
        return float("nan")
    return float(np.interp(np.log(n_persons), np.log(mine["persons"]), mine["lowest"]))


@cache
def _coverage_table() -> pd.DataFrame:
    if not COVERAGE_FILE.is_file():
        return pd.DataFrame(columns=["what", "method", "persons", "seeds", "metric", "share", "lowest", "n"])
    return pd.read_csv(COVERAGE_FILE).sort_values("persons", kind="stable")


def interval_text(value: float, low: float, high: float, coverage: float | None = None) -> str:
    """A score with its interval, as tables show it: "0.648 [0.554, 0.740]"; "–" for what is undefined.

    Where its simulated `coverage` is known it follows: "0.648 [0.554, 0.740] 94%".
    """
    value_text, *ends = ("–" if x is None or x != x else f"{x:.3f}" for x in (value, low, high))
    covered = "" if coverage is None or coverage != coverage else f" {100 * coverage:.0f}%"
    return f"{value_text} [{', '.join(ends)}]{covered}"


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
