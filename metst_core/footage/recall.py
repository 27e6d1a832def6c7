"""How the share of movements that are found grows with their strength: a fitted curve, and where it passes 50 and 80%.

The curve is a psychometric function: `ceiling / (1 + exp(-slope (ln strength - ln middle)))`.  The ceiling below 1 is for
what is missed at any strength (too long for the interval, covered by speech).  All curves of a grid are tried, so the
likeliest is found for every bootstrap sample of the movements at once.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metst_core.errors import InputError
from metst_core.metrics import INTERVALS, Intervals, percentiles

LEAST = 12
"""Of fewer movements no curve is fitted."""

_SLOPES = np.geomspace(1.0, 16.0, 7)
_CEILINGS = np.linspace(1.0, 0.1, 10)
_MIDDLES = 81  # per range of strengths that is four times as wide, both ways, as what was planted
_WIDER = 4.0
_NEVER = 1e-4  # nothing is impossible: a single find above a ceiling does not rule a curve out


class Point(NamedTuple):
    """A strength with its interval, inter-ocular distances; NaN where it is not measurable (outside what was planted)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Curve:
    """The fitted curve over `strengths (n,)`, which were found or not (`hits (n,)` bool), and those of bootstrap samples.

    parameters: `(1 + samples, 3)`, ln middle, slope and ceiling; the first row is the fit to all.
    """

    strengths: np.ndarray
    hits: np.ndarray
    parameters: np.ndarray
    level: float

    def __call__(self, strength: np.ndarray | float) -> np.ndarray:
        """The expected share of movements of this strength that are found; 0..1, shape of `strength`."""
        values: np.ndarray = _share(self.parameters[:1], np.log(np.atleast_1d(strength)))[0]
        return values.reshape(np.shape(strength))

    def band(self, strength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ends of the interval of the curve at `strength (m,)`, `(m,)` each."""
        shares = _share(self.parameters[1:], np.log(strength))
        low, high = np.quantile(shares, [(1 - self.level) / 2, (1 + self.level) / 2], axis=0)
        return low, high

    def strength_at(self, share: float) -> Point:
        """The strength of which this share is found, with its interval; NaN for what lies outside what was planted."""
        values = _strength(self.parameters, share)
        if len(values) == 1:
            return Point(self._within(values[0]), np.nan, np.nan)
        ends = percentiles(np.clip(values[1:], 1e-9, 1e9), self.level)
        return Point(*(self._within(value) for value in (values[0], *ends)))

    def _within(self, value: float) -> float:
        inside = self.strengths.min() <= value <= self.strengths.max()
        return float(value) if inside else np.nan


def fit_curve(strengths: np.ndarray, hits: np.ndarray, intervals: Intervals = INTERVALS) -> Curve | None:
    """The likeliest curve, and those of bootstrap samples of the movements; None for fewer than `LEAST` movements.

    strengths: `(n,)`, above 0.  hits: `(n,)` bool.
    """
    x, y = np.asarray(strengths, float), np.asarray(hits, bool)
    if x.shape != y.shape or x.ndim != 1 or not (x > 0).all():
        raise InputError("strengths and hits must be of one length, and the strengths above 0")
    if len(x) < LEAST:
        return None
    grid = _grid(float(np.log(x.min())), float(np.log(x.max())))
    share = np.clip(_share(grid, np.log(x)), _NEVER, 1 - _NEVER)
    found, missed = np.log(share).T, np.log1p(-share).T
    drawn = np.random.default_rng([intervals.seed, 5]).multinomial(
        len(x), np.full(len(x), 1 / len(x)), intervals.n
    )
    weights = np.vstack([np.ones(len(x)), drawn])
    likelihood = (weights * y) @ found + (weights * ~y) @ missed
    return Curve(x, y, grid[likelihood.argmax(axis=1)], intervals.level)


@functools.lru_cache(maxsize=8)
def _grid(low: float, high: float) -> np.ndarray:
    """All curves that are tried, `(n, 3)`; of equally likely ones the first counts, with the highest ceiling."""
    middles = np.linspace(low - np.log(_WIDER), high + np.log(_WIDER), _MIDDLES)
    ceilings, slopes, middles = np.meshgrid(_CEILINGS, _SLOPES, middles, indexing="ij")
    return np.column_stack([middles.ravel(), slopes.ravel(), ceilings.ravel()])


def _share(parameters: np.ndarray, log_strength: np.ndarray) -> np.ndarray:
    """Shares `(curves, strengths)`."""
    middle, slope, ceiling = (parameters[:, [i]] for i in range(3))
    share: np.ndarray = ceiling / (1 + np.exp(-slope * (log_strength[None] - middle)))
    return share


def _strength(parameters: np.ndarray, share: float) -> np.ndarray:
    """The strength at which each curve passes `share`, `(curves,)`; infinite where it stays below."""
    middle, slope, ceiling = parameters.T
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.exp(middle + np.log(share / (ceiling - share)) / slope)
    return np.where(ceiling > share, at, np.inf)
