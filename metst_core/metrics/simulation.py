"""How often the intervals cover and the marks mislead: drawn persons, scored as real ones are.

A person has some micro-expressions of four emotions, an ability with which a method finds hers, false alarms, and a
skill with which it names what it found; methods and training seeds deviate from it.  Five populations span what data
sets look like.  The truth is the score of so many persons that it no longer moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
import pandas as pd
from tqdm import tqdm

from metst_core.metrics.comparisons import (
    difference_ends,
    difference_variance,
    exchanged_differences,
    exchanges,
    max_t,
)
from metst_core.metrics.intervals import (
    INTERVAL_METHODS,
    Counts,
    Estimate,
    Intervals,
    bootstrap_ends,
    estimate,
    logit_ends,
    resamples,
    score_array,
)
from metst_core.metrics.scores import METRICS
from metst_core.tables import CLASSES, EMOTIONS

COVERAGE_COLUMNS = (
    "what", "method", "persons", "seeds", "metric", "share", "share_low", "share_high", "lowest", "n",
)  # fmt: skip
"""`share` is the mean over populations of how often an interval covered (or a table had a mark), `share_low` to
`share_high` the 95% interval that so many simulations leave for it (Wilson's), `lowest` the worst
population's (of tables: the highest), `n` the simulations of each population."""

PERSONS = (4, 6, 8, 12, 16, 24, 30, 50, 100)
_ALL = list(range(len(EMOTIONS)))


@dataclass(frozen=True)
class Population:
    """Who is drawn.

    mes: mean number of micro-expressions of a person beyond one; even: shape of its negative binomial (large: all
    alike).  hits, skill: beta distributions over persons of finding one, and of naming it.  false_alarms: their mean
    per person (a gamma-Poisson of shape 1.5).  emotions: Dirichlet weights of negative, positive, surprise, others.
    """

    name: str
    mes: float
    even: float
    hits: tuple[float, float]
    false_alarms: float
    skill: tuple[float, float]
    emotions: tuple[float, float, float, float]


POPULATIONS = (
    Population("many and uneven", 8, 1.5, (4, 2), 3, (4, 3), (4.5, 0.7, 1.9, 1.6)),
    Population("five each, even", 4.5, 6, (6, 4), 2.5, (6, 3), (2, 2, 2, 2)),
    Population("two each", 1.2, 3, (3, 3), 1.5, (3, 3), (2.3, 0.8, 1, 0.9)),
    Population("hard", 4, 2, (2, 5), 5, (3, 4), (4.5, 0.7, 1.9, 1.6)),
    Population("easy", 5, 3, (9, 1), 0.5, (9, 1), (2, 2, 2, 2)),
)


@dataclass(frozen=True)
class Luck:
    """Standard deviations, on the logit scale, of what deviates from a person's own ability and skill.

    method: of a method with a person; seed: of a training seed with everybody; seed_person: of a seed with a person.
    """

    method: float = 0.5
    seed: float = 0.0
    seed_person: float = 0.0


ONE_SEED, SEVERAL_SEEDS = Luck(), Luck(0.5, 0.15, 0.3)


def drawn_counts(
    rng: np.random.Generator,
    population: Population,
    n_sets: int,
    n_persons: int,
    seeds: Sequence[int] = (1,),
    luck: Luck = ONE_SEED,
) -> list[Counts]:
    """Counts of equally good methods on the same persons: one `Counts` `(K, n_sets, S, ...)` per entry K of `seeds`."""
    shape = (n_sets, n_persons)
    n_me = 1 + rng.negative_binomial(
        population.even, population.even / (population.even + population.mes), shape
    )
    emotions = _multinomial(rng, n_me, rng.dirichlet(population.emotions, shape))
    hits, skill = (_logit(rng.beta(*ab, shape)) for ab in (population.hits, population.skill))
    alarms = rng.gamma(1.5, population.false_alarms / 1.5, shape)
    methods = []
    for n_seeds in seeds:
        ability, named = (
            _share(
                base
                + rng.normal(0, luck.method, shape)
                + rng.normal(0, luck.seed, (n_seeds, n_sets, 1))
                + rng.normal(0, luck.seed_person, (n_seeds, *shape))
            )[..., None]
            for base in (hits, skill)
        )
        found = rng.binomial(emotions, ability)
        right = rng.binomial(found, named)
        confusion = np.zeros((n_seeds, *shape, len(EMOTIONS), len(CLASSES)))
        confusion[..., _ALL, _ALL] = right
        for c in _ALL:
            others = [d for d in _ALL if d != c]
            wrong = (found - right)[..., c]
            confusion[..., c, others] = _multinomial(rng, wrong, np.full((*wrong.shape, 3), 1 / 3))
        tp = found.sum(axis=-1)
        fp = rng.poisson(alarms, (n_seeds, *shape))
        methods.append(Counts(np.stack([tp, fp, n_me - tp], axis=-1).astype(float), confusion))
    return methods


@cache
def true_scores(population: Population, luck: Luck, seed: int = 0) -> np.ndarray:
    """What further seeds on further persons score, `(M,)`: the mean over 150 seeds, each on 2000 persons."""
    counts = drawn_counts(np.random.default_rng([seed, 1]), population, 150, 2000, luck=luck)[0]
    return seed_scores_alone(counts).mean(axis=0)


def seed_scores_alone(counts: Counts) -> np.ndarray:
    """Pooled scores `(..., M)`, the mean over seeds."""
    return score_array(counts.spotting.sum(axis=-2), counts.confusion.sum(axis=-3), _ALL).mean(axis=0)


def simulate(
    persons: Iterable[int] = PERSONS,
    n: int = 2000,
    n_bootstrap: int = 300,
    bootstrap_persons: Sequence[int] = (8, 16, 30),
    seed: int = 0,
) -> pd.DataFrame:
    """Everything that `COVERAGE_FILE` holds: a table with `COVERAGE_COLUMNS`.

    `n` sets of persons per population and number of persons for the jackknife and for the differences; `n_bootstrap`
    for the bootstraps (300 samples each) and for tables of 13 equal methods beside a base, at `bootstrap_persons` alone.
    """
    rows: list[dict[str, object]] = []
    jobs = [(count, population) for count in persons for population in POPULATIONS]
    truths = {
        (p.name, luck): true_scores(p, luck, seed) for p in POPULATIONS for luck in (ONE_SEED, SEVERAL_SEEDS)
    }
    for count, population in tqdm(jobs, desc="simulated persons", leave=False, disable=len(jobs) < 10):
        rng = np.random.default_rng([seed, count, POPULATIONS.index(population)])
        for n_seeds, luck in ((1, ONE_SEED), (3, SEVERAL_SEEDS)):
            truth = truths[population.name, luck]
            covered = interval_coverage(drawn_counts(rng, population, n, count, (n_seeds,), luck)[0], truth)
            rows += _rows("interval", "jackknife", count, n_seeds, covered, n)
            covered = difference_coverage(drawn_counts(rng, population, n, count, (n_seeds,) * 2, luck))
            rows += _rows("difference", "jackknife", count, n_seeds, covered, n)
        if count in bootstrap_persons:
            truth = truths[population.name, ONE_SEED]
            counts = drawn_counts(rng, population, n_bootstrap, count)[0]
            for method in INTERVAL_METHODS[1:]:
                covered = bootstrap_coverage(counts, truth, Intervals(300, seed, method=method))
                rows += _rows("interval", method, count, 1, covered, n_bootstrap)
            for n_seeds, luck in ((1, ONE_SEED), (3, SEVERAL_SEEDS)):
                methods = drawn_counts(rng, population, n_bootstrap, count, (n_seeds, *[1] * 13), luck)
                for name, marked in false_marks(methods, seed).items():
                    rows += _rows("marked tables", name, count, n_seeds, marked, n_bootstrap)
    return _over_populations(pd.DataFrame(rows))


def interval_coverage(counts: Counts, truth: np.ndarray, level: float = 0.95) -> np.ndarray:
    """How often the default intervals of many sets hold the true scores, `(M,)`."""
    low, high = logit_ends(estimate(counts, _ALL), level)
    return _covers(low, high, truth)


def difference_coverage(methods: Sequence[Counts], level: float = 0.95) -> np.ndarray:
    """How often the paired intervals of two equally good methods hold 0, `(M,)`."""
    a, b = methods
    one, other = estimate(a, _ALL), estimate(b, _ALL)
    seeds = one.seeds + other.seeds
    found = Estimate(
        other.value - one.value,
        difference_variance(a, b, _ALL),
        seeds,
        one.df_persons,
        2 * one.df_seeds,
        one.trials,
    )
    return _covers(*difference_ends(found, level), np.zeros(len(METRICS)))


def bootstrap_coverage(counts: Counts, truth: np.ndarray, intervals: Intervals) -> np.ndarray:
    """As `interval_coverage`, for a bootstrap: `(M,)`."""
    sets = [Counts(*(part[:, i] for part in counts)) for i in range(counts.spotting.shape[1])]
    ends = np.array([bootstrap_ends(one, _ALL, intervals) for one in sets])
    return _covers(ends[:, 0], ends[:, 1], truth)


def false_marks(methods: Sequence[Counts], seed: int = 0, level: float = 0.95) -> dict[str, np.ndarray]:
    """The share of tables of equal methods (the first is the base) that have a mark, `(M,)` by how marks are given.

    "max-T": as `compare_methods` does; "each row": the rows' own permutation tests; "percentile": a bootstrap
    interval of the difference that leaves out 0.
    """
    base, n_persons = methods[0], methods[0].n_persons
    intervals = Intervals(500, seed, level)
    several = base.n_seeds > 1
    keep = exchanges(n_persons, intervals, exact=not several)
    rng = np.random.default_rng([seed, 4])
    n_sets = base.spotting.shape[1]

    def noise(counts: Counts) -> np.ndarray:
        size = (len(keep), n_sets, len(METRICS))
        drawn = (
            rng.standard_t(base.n_seeds - 1, size) * np.sqrt(luck / counts.n_seeds)
            if several
            else np.zeros(size)
        )
        drawn[0] = 0
        return drawn

    luck = estimate(base, _ALL).seeds * base.n_seeds
    of_base, by_percentile = noise(base), []
    weights = resamples(n_persons, intervals.n, seed)
    drawn_base = _resampled(base, weights)
    null, observed = [], []
    for other in methods[1:]:
        null.append(exchanged_differences(base, other, keep, _ALL) + noise(other) - of_base)
        observed.append(seed_scores_alone(other) - seed_scores_alone(base))
        low, high = np.quantile(
            _resampled(other, weights) - drawn_base, [(1 - level) / 2, (1 + level) / 2], axis=0
        )
        by_percentile.append((low > 0) | (high < 0))
    flat = [np.stack(part, axis=axis) for part, axis in ((observed, 0), (null, 1))]
    shape = flat[0].shape
    p_value, p_table, _ = max_t(
        flat[0].reshape(shape[0], -1), flat[1].reshape(len(keep), shape[0], -1), level
    )
    marked = {"max-T": p_table, "each row": p_value}
    marks = {name: (p <= 1 - level + 1e-9).reshape(shape) for name, p in marked.items()}
    marks["percentile"] = np.stack(by_percentile)
    return {name: rows.any(axis=0).mean(axis=0) for name, rows in marks.items()}


def _resampled(counts: Counts, weights: np.ndarray) -> np.ndarray:
    """Mean scores over seeds `(n, n_sets, M)` of bootstrap samples."""
    spotting, confusion = [
        np.moveaxis(np.tensordot(weights, part, axes=(1, part.ndim - depth)), 1, 0)
        for part, depth in zip(counts, (2, 3), strict=True)
    ]
    return score_array(spotting, confusion, _ALL).mean(axis=0)


def _covers(low: np.ndarray, high: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return ((low <= truth + 1e-12) & (truth - 1e-12 <= high)).mean(axis=0)


def _rows(
    what: str, method: str, persons: int, seeds: int, shares: np.ndarray, n: int
) -> list[dict[str, object]]:
    about = {"what": what, "method": method, "persons": persons, "seeds": seeds, "n": n}
    return [{**about, "metric": m, "share": share} for m, share in zip(METRICS, shares, strict=True)]


def _over_populations(rows: pd.DataFrame) -> pd.DataFrame:
    keys = ["what", "method", "persons", "seeds", "metric"]
    found = rows.groupby(keys, sort=False)
    table = found["share"].agg(["mean", "min", "max"]).assign(n=found["n"].first()).reset_index()
    worst = np.where(table["what"] == "marked tables", table["max"], table["min"])
    low, high = simulated_ends(table["mean"].to_numpy(), table["n"].to_numpy() * found.size().to_numpy())
    table = table.rename(columns={"mean": "share"}).assign(lowest=worst, share_low=low, share_high=high)
    return table[list(COVERAGE_COLUMNS)].round(4)


def simulated_ends(share: np.ndarray, n: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of shares of `n` simulations each: what their number leaves open.

    >>> [float(end.round(3)) for end in simulated_ends(np.array(0.066), np.array(1000))]
    [0.052, 0.083]
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def _multinomial(rng: np.random.Generator, n: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Counts `(..., C)` that sum to `n` `(...)`, drawn with `shares` `(..., C)`."""
    left, rest, counts = n.copy(), np.ones(n.shape), []
    for c in range(shares.shape[-1] - 1):
        counts.append(rng.binomial(left, np.clip(shares[..., c] / np.maximum(rest, 1e-12), 0, 1)))
        left, rest = left - counts[-1], rest - shares[..., c]
    return np.stack([*counts, left], axis=-1)


def _logit(share: np.ndarray) -> np.ndarray:
    kept = np.clip(share, 1e-6, 1 - 1e-6)
    return np.log(kept / (1 - kept))


def _share(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))
