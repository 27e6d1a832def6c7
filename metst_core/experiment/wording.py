"""Sentences about results, made from the numbers: what an interval allows one to say, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metst_core.experiment.comparisons import verdict
from metst_core.plots import method_label, metric_label


def told(
    b: str, a: str, what: str, difference: float, low: float, high: float, said: str | None = None
) -> str:
    """One comparison b - a in words, with its interval; `said` is its verdict where a whole table was tested.

    >>> told("ME-TST+", "chance", "STRS", 0.25, 0.125, 0.375)
    'ME-TST+ is better than chance (STRS +0.250 [+0.125, +0.375])'
    >>> told("ME-TST+", "the patch", "STRS", 0.02, -0.1, 0.15)
    'ME-TST+ and the patch are not told apart (STRS +0.020 [-0.100, +0.150])'
    """
    numbers = f"({what} {difference:+.3f} [{low:+.3f}, {high:+.3f}])"
    said = said or verdict(low, high)
    if said == "not told apart":
        return f"{b} and {a} are {said} {numbers}"
    return f"{b} is {said} than {a} {numbers}"


def comparison_in_words(
    results: Mapping[str, Any], a: str, b: str, metric: str = "strs", protocol: str = "strict"
) -> str:
    """The paired comparison of two methods of a `results.json` in words; "" where it was not made."""
    for row in results["comparisons"]:
        if (row["protocol"], row["a"], row["b"], row["metric"]) == (protocol, a, b, metric):
            ends = (row["difference"], row["low"], row["high"])
            return told(method_label(b), method_label(a), metric_label(metric), *ends, row.get("verdict"))
    return ""


def over(values: Sequence[float], unit: str = "seeds") -> str:
    """A number that was measured several times: its mean, and the smallest and the largest seen.

    >>> over([0.5, 0.75, 1.0])
    '0.75 (0.50 to 1.00 over 3 seeds)'
    """
    seen = np.asarray(values, dtype=float)
    if len(seen) == 1:
        return f"{seen[0]:.2f} (one of the {unit} alone)"
    return f"{seen.mean():.2f} ({seen.min():.2f} to {seen.max():.2f} over {len(seen)} {unit})"


def ahead(b: str, a: str, values_b: Sequence[float], values_a: Sequence[float], unit: str = "seeds") -> str:
    """Which of two is larger, measured several times in pairs: said only where every pair says the same.

    >>> ahead("frames", "windows", [0.9, 0.8], [0.5, 0.6])
    'frames are ahead of windows in all 2 seeds (0.85 (0.80 to 0.90 over 2 seeds) against 0.55 (0.50 to 0.60 over 2 seeds))'
    """
    pairs = np.asarray(values_b, dtype=float) - np.asarray(values_a, dtype=float)
    numbers = f"({over(values_b, unit)} against {over(values_a, unit)})"
    if (pairs > 0).all():
        return f"{b} are ahead of {a} in all {len(pairs)} {unit} {numbers}"
    if (pairs < 0).all():
        return f"{b} are behind {a} in all {len(pairs)} {unit} {numbers}"
    return (
        f"{b} and {a} are not told apart: ahead in {int((pairs > 0).sum())} of {len(pairs)} {unit} {numbers}"
    )
