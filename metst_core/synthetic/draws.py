"""Random draws that are the same on every machine, and distributions given by their quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np


class Stream:
    """Random numbers that are the same on every machine: raw PCG64 bits and plain arithmetic only."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) * 2.0**-53)

    def integer(self, low: int, high: int) -> int:
        """From `low` to `high`, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def choice(self, items: Sequence[Any]) -> Any:
        return items[self.integer(0, len(items) - 1)]

    def weighted(self, items: Sequence[Any], weights: Sequence[float]) -> Any:
        """One of `items`, each as often as its weight (0 or more, not all 0) says."""
        mark = self.uniform() * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            mark -= weight
            if mark < 0:
                return item
        return next(item for item, weight in zip(items[::-1], weights[::-1], strict=True) if weight)

    def count(self, mean: float) -> int:
        """A whole number with this mean: half to one and a half times it, rounded up or down at random."""
        return int(self.uniform(0.5, 1.5) * mean + self.uniform())

    def happenings(self, mean: float) -> int:
        """How often something happens that comes `mean` times on average, each time on its own.

        Binomial in so many trials that it is Poisson for all purposes; `exp`, which a Poisson draw needs,
        may differ in its last bit between machines.
        """
        trials = 50 + math.ceil(20 * mean)
        return sum(self.uniform() * trials < mean for _ in range(trials))

    def near(self, centre: float, reach: float) -> float:
        """A rank (0..1) within `reach` of `centre`, thrown back at 0 and 1.

        Over persons whose centres are spread evenly, the ranks are spread evenly as well: a habit shifts
        a person within the population without changing it.
        """
        rank = abs(centre + self.uniform(-reach, reach))
        return 2 - rank if rank > 1 else rank


@dataclass(frozen=True)
class Quantiles:
    """A distribution by its quantiles: at `shares[i]` (from 0 up to 1) lies `values[i]`, straight between."""

    shares: tuple[float, ...]
    values: tuple[float, ...]

    def at(self, rank: float) -> float:
        """The value below which a share `rank` (0..1) of the distribution lies."""
        for (s0, s1), (v0, v1) in zip(pairwise(self.shares), pairwise(self.values), strict=True):
            if rank <= s1:
                return v0 + (v1 - v0) * ((rank - s0) / (s1 - s0))
        return self.values[-1]

    def share_below(self, value: float) -> float:
        """The share of the distribution that lies below `value`."""
        for (s0, s1), (v0, v1) in zip(pairwise(self.shares), pairwise(self.values), strict=True):
            if value < v1:
                return s0 + (s1 - s0) * (max(0.0, value - v0) / (v1 - v0))
        return 1.0

    @property
    def mean(self) -> float:
        steps = zip(pairwise(self.shares), pairwise(self.values), strict=True)
        return sum((s1 - s0) * (v0 + v1) / 2 for (s0, s1), (v0, v1) in steps)


def five_numbers(low: float, quantiles: tuple[float, float, float, float, float], high: float) -> Quantiles:
    """The distribution between `low` and `high` with these 5, 25, 50, 75 and 95% quantiles."""
    return Quantiles((0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0), (low, *quantiles, high))


def waves(
    draw: Stream, n_frames: int, fps: float, periods: tuple[float, float], count: int = 4
) -> np.ndarray:
    """A slow random motion with mean square 1: sines of random phase, the slower the larger, (n_frames,).

    The sine makes it equal between machines to rounding only: for frames, not for tables.
    """
    seconds = np.arange(n_frames) / fps
    total, power = np.zeros(n_frames), 0.0
    for _ in range(count):
        period = periods[0] * (periods[1] / periods[0]) ** draw.uniform()
        amplitude = math.sqrt(period) * draw.uniform(0.5, 1.0)
        total += amplitude * np.sin(2 * math.pi * (seconds / period + draw.uniform()))
        power += amplitude**2 / 2
    return total / math.sqrt(power)
