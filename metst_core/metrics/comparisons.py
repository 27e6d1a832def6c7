"""Methods compared on the same persons: differences with their intervals, a test over a whole table, and its power."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from metst_core.errors import InputError
from metst_core.metrics.intervals import (
    INTERVALS,
    Counts,
    Estimate,
    Intervals,
    coverage,
    estimate,
    jackknife_variance,
    score_array,
    seed_scores,
    student,
)
from metst_core.metrics.scores import METRICS, class_indices
from metst_core.tables import EMOTIONS

ENUMERATED = 4096
"""Up to so many ways to exchange two methods within persons (12 persons) all are looked at, not some drawn."""

POWER = 0.8
"""`could_see` is the true difference that a run like this marks so often."""
POWER_AT = NormalDist().inv_cdf(POWER)

COMPARED = ("a", "b", "metric", "value_a", "value_b", "difference", "low", "high", "coverage", "seed_share")
TESTED = (*COMPARED, "p_value", "p_table", "could_see")
"""The columns of `compare_methods`."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a method predicted: a table per training seed, and the persons that it was scored on.

    A method without training (`trained=False`) has no luck of training.
    """

    tables: Sequence[pd.DataFrame]
    subjects: Sequence[str]
    trained: bool = True


def paired_difference(
    predictions_a: pd.DataFrame,
    predictions_b: pd.DataFrame,
    annotations: pd.DataFrame,
    subjects: Sequence[str],
    intervals: Intervals = INTERVALS,
    classes: Sequence[str] = EMOTIONS,
) -> pd.DataFrame:
    """Method b minus method a on the same subjects: a table `metric, a, b, difference, low, high, p_value`.

    `low, high` is the paired interval over persons (jackknife, Student's t).  `p_value` is two-sided, from exchanges
    of the two methods within subjects (a permutation test; the observed labelling counts too): from all of them where
    there are at most `ENUMERATED`, else from `intervals.n` drawn ones.
    """
    methods = {"a": Predicted([predictions_a], subjects), "b": Predicted([predictions_b], subjects)}
    table = compare_methods(methods, [("a", "b")], annotations, intervals, classes)
    renamed = table.drop(columns=["a", "b"]).rename(columns={"value_a": "a", "value_b": "b"})
    return renamed[["metric", "a", "b", "difference", "low", "high", "p_value"]]


def compare_methods(
    methods: Mapping[str, Predicted],
    pairs: Sequence[tuple[str, str]],
    annotations: pd.DataFrame,
    intervals: Intervals = INTERVALS,
    classes: Sequence[str] = EMOTIONS,
) -> pd.DataFrame:
    """A table of paired differences b - a, a row per pair and score, with the columns `TESTED`.

    Only the persons that both of a pair scored count.  `low, high`: the interval of the difference over persons and,
    where a method has several seeds, over training seeds (`seed_share` is their part of its variance).  `coverage`:
    how often such an interval covered in simulation.

    `p_value`: the share of exchanges of the two within persons that give a difference as large.  `p_table`: the share
    in which *any* row of the table does (max-T: each row in units of its own spread), so that at a limit of .05 one
    table in twenty of equal methods has a mark, however many rows it has.  `could_see`: the true difference that this
    run would mark in 8 of 10 cases; a row without a mark says no more than that the difference is hardly larger.  It is
    NaN where nothing could be seen: fewer than 6 persons (at 95%), no difference that is large enough, or predictions
    that are alike.

    The luck of training is measured where a method has several seeds, pooled over methods, and is then part of the
    intervals and of the test for every trained method, also for those with one seed (assumed to be as lucky).  Where
    none has several, no number says anything of it.
    """
    chosen = class_indices(classes)
    everybody = list(dict.fromkeys(str(s) for m in methods.values() for s in m.subjects))
    if not pairs:
        return pd.DataFrame(columns=list(TESTED))
    counts = {
        name: _counts(methods[name], annotations) for name in dict.fromkeys(n for p in pairs for n in p)
    }
    luck, df_luck = _luck(counts, chosen)
    keep = exchanges(len(everybody), intervals, exact=not df_luck)
    noise = _noise(counts, methods, luck, df_luck, len(keep), intervals)
    tables, nulls = [], []
    for a, b in pairs:
        both = [s for s in everybody if s in set(methods[a].subjects) & set(methods[b].subjects)]
        if not both:
            raise InputError(f"{a} and {b} were scored on no person in common; compare others")
        of_a, of_b = (
            counts[n].of_persons([list(methods[n].subjects).index(s) for s in both]) for n in (a, b)
        )
        seeds = sum(luck / counts[n].n_seeds for n in (a, b) if methods[n].trained)
        table, persons = _difference(of_a, of_b, seeds, df_luck, intervals, chosen)
        tables.append(table.assign(a=a, b=b, persons=len(both), variance=persons))
        rows = keep[:, [everybody.index(s) for s in both]]
        nulls.append(exchanged_differences(of_a, of_b, rows, chosen) + noise[b] - noise[a])
    observed = np.stack([t["difference"].to_numpy() for t in tables])
    p_value, p_table, critical = max_t(observed, np.stack(nulls, axis=1), intervals.level)
    for i, table in enumerate(tables):
        seen = critical[i] + POWER_AT * np.sqrt(table["variance"].to_numpy())
        attainable = (seen > 0) & (seen < 1) & (2 / 2 ** table["persons"] <= 1 - intervals.level + 1e-9)
        tables[i] = table.assign(
            p_value=p_value[i], p_table=p_table[i], could_see=np.where(attainable, seen, np.nan)
        )
    return pd.concat(tables, ignore_index=True)[list(TESTED)]


def judge(difference: float, p_table: float, level: float = 0.95) -> str:
    """What a row of `compare_methods` says of b: "better", "worse" or "not told apart" (which is not "equal")."""
    if not p_table <= 1 - level + 1e-9 or difference == 0:
        return "not told apart"
    return "better" if difference > 0 else "worse"


def exchanges(n_persons: int, intervals: Intervals, exact: bool = True) -> np.ndarray:
    """Which persons keep their methods, `(n, S)` of 0 and 1; the first row is the observed labelling.

    All ways where there are at most `ENUMERATED`; with `exact=False` as often over as makes `intervals.n` of them.
    """
    n_ways = 2**n_persons if n_persons < 40 else math.inf
    if n_ways <= ENUMERATED:
        ways = 1 - ((np.arange(n_ways)[:, None] >> np.arange(n_persons)) & 1)
        return np.tile(ways, (1 if exact else -(-intervals.n // int(n_ways)), 1)).astype(float)
    drawn = np.random.default_rng([intervals.seed, 1]).integers(0, 2, (intervals.n, n_persons))
    return np.vstack([np.ones(n_persons), drawn]).astype(float)


def exchanged_differences(a: Counts, b: Counts, keep: np.ndarray, chosen: list[int]) -> np.ndarray:
    """Differences b - a `(n, ..., M)` with the two exchanged where `keep` `(n, S)` is 0; the mean over seeds.

    Seeds are exchanged in pairs, the fewer ones as often as it takes.  Counts may hold many tables: `(K, ..., S, 3)`.
    """
    n_seeds = math.lcm(a.n_seeds, b.n_seeds)
    total: np.ndarray | float = 0.0
    for k in range(n_seeds):
        one, other = (Counts(c.spotting[k % c.n_seeds], c.confusion[k % c.n_seeds]) for c in (a, b))
        sides = []
        for mine, theirs in ((one, other), (other, one)):
            spotting, confusion = [
                np.tensordot(keep, x, axes=(1, x.ndim - depth))
                + np.tensordot(1 - keep, y, axes=(1, y.ndim - depth))
                for x, y, depth in zip(mine, theirs, (2, 3), strict=True)
            ]
            sides.append(score_array(spotting, confusion, chosen))
        total = total + sides[1] - sides[0]
    return np.asarray(total) / n_seeds


def max_t(
    observed: np.ndarray, null: np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`p_value`, `p_table` and the critical difference, each `(rows, M)`, of observed differences `(rows, M)`.

    `null` is `(n, rows, M)`, the observed labelling among it.  A row's unit is the spread of its own null.
    """
    unit = np.sqrt((null**2).mean(axis=0))
    size = np.abs(null) / np.where(unit > 0, unit, np.inf)
    seen = np.abs(observed) / np.where(unit > 0, unit, np.inf) - 1e-9
    largest = size.max(axis=1)
    p_value = (size >= seen).mean(axis=0)
    p_table = (largest[:, None] >= seen).mean(axis=0)
    return p_value, p_table, unit * np.quantile(largest, level, axis=0)


def _counts(method: Predicted, annotations: pd.DataFrame) -> Counts:
    subjects = [str(s) for s in method.subjects]
    truth = annotations[annotations["subject"].astype(str).isin(subjects)]
    found = [t[t["subject"].astype(str).isin(subjects)] for t in method.tables]
    return Counts.of(found, truth, subjects)


def _luck(counts: Mapping[str, Counts], chosen: list[int]) -> tuple[np.ndarray, int]:
    """Variance `(M,)` of a score between training seeds, pooled over methods, and its degrees of freedom."""
    found = [(estimate(c, chosen).seeds * c.n_seeds, c.n_seeds - 1) for c in counts.values() if c.n_seeds > 1]
    df = sum(weight for _, weight in found)
    if not df:
        return np.zeros(len(METRICS)), 0
    return np.sum([variance * weight for variance, weight in found], axis=0) / df, df


def _noise(
    counts: Mapping[str, Counts],
    methods: Mapping[str, Predicted],
    luck: np.ndarray,
    df: int,
    n: int,
    intervals: Intervals,
) -> dict[str, np.ndarray]:
    """What the luck of training adds to each method under the null, `(n, M)`: none for the observed labelling."""
    noise = {}
    for i, (name, mine) in enumerate(counts.items()):
        drawn = np.zeros((n, len(METRICS)))
        if df and methods[name].trained:
            rng = np.random.default_rng([intervals.seed, 3, i])
            drawn[1:] = rng.standard_t(df, (n - 1, len(METRICS))) * np.sqrt(luck / mine.n_seeds)
        noise[name] = drawn
    return noise


def _difference(
    a: Counts, b: Counts, seeds: np.ndarray | float, df_seeds: int, intervals: Intervals, chosen: list[int]
) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows of one pair without its test, and the variance of its difference."""
    one, other = estimate(a, chosen), estimate(b, chosen)
    persons = difference_variance(a, b, chosen)
    spread = np.broadcast_to(np.asarray(seeds, float), persons.shape)
    found = Estimate(other.value - one.value, persons, spread, a.n_persons - 1, df_seeds, one.trials)
    low, high = difference_ends(found, intervals.level)
    covered = [
        coverage(a.n_persons, m, what="difference", seeds=1 + bool(df_seeds), level=intervals.level)
        for m in METRICS
    ]
    columns = {
        "metric": METRICS, "value_a": one.value, "value_b": other.value, "difference": found.value,
        "low": low, "high": high, "coverage": covered, "seed_share": found.seed_share,
    }  # fmt: skip
    return pd.DataFrame(columns), persons + spread


def difference_variance(a: Counts, b: Counts, chosen: list[int]) -> np.ndarray:
    """Jackknife variance `(..., M)` over persons of the paired difference of two methods."""
    return jackknife_variance(seed_scores(b, chosen)[1].mean(axis=0) - seed_scores(a, chosen)[1].mean(axis=0))


def difference_ends(found: Estimate, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends `(..., M)` of Student-t intervals of differences, within -1 .. 1."""
    t = student(found.persons, found.seeds, found.df_persons, found.df_seeds, (1 + level) / 2)
    half = t * np.sqrt(found.persons + found.seeds)
    return np.maximum(found.value - half, -1), np.minimum(found.value + half, 1)
