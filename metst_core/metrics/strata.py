"""Recall of micro-expressions by their length, strength or any other measure: what a mean over all of them hides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from metst_core.checks import number_array
from metst_core.errors import InputError
from metst_core.metrics.intervals import INTERVALS, Intervals, jackknife_variance, t_quantile
from metst_core.metrics.matching import match_tables
from metst_core.tables import check_annotations, check_predictions

LENGTHS = (5, 9, 15)
"""Longest lengths in frames of all strata but the last."""

RECALL_COLUMNS = ("by", "stratum", "n", "found", "recall", "low", "high")


def recall_by(
    predictions: pd.DataFrame,
    annotations: pd.DataFrame,
    values: Sequence[float] | np.ndarray,
    edges: Sequence[float] | np.ndarray,
    by: str = "value",
    intervals: Intervals = INTERVALS,
) -> pd.DataFrame:
    """Recall in strata of `values` `(n annotations,)`: a table `by, stratum, n, found, recall, low, high`.

    A stratum reaches from above one of `edges` up to the next, that included; the first and last are open.  The
    interval is over persons (as `score_intervals`): one with no micro-expression there says nothing of it.  A stratum
    without any has no row.
    """
    truth = check_annotations(annotations)
    values = number_array("values", values, "one number per annotation").astype(float)
    if values.shape != (len(truth),):
        raise InputError(
            f"values has shape {values.shape}; give one number for each of {len(truth)} annotations"
        )
    found = np.zeros(len(truth), bool)
    matched = match_tables(check_predictions(predictions), truth)
    found[matched[matched >= 0]] = True
    which = np.searchsorted(np.asarray(edges, float), values, side="left")
    rows = []
    for stratum in range(len(edges) + 1):
        mine = which == stratum
        if mine.any():
            counted = pd.DataFrame({"subject": truth["subject"][mine], "n": 1, "found": found[mine]})
            by_person = counted.groupby("subject").sum().to_numpy(dtype=float)
            low, high = share_ends(by_person[:, 1], by_person[:, 0], intervals.level)
            n, hits = int(mine.sum()), int(found[mine].sum())
            rows.append((by, _stratum(stratum, edges), n, hits, hits / n, low, high))
    return pd.DataFrame(rows, columns=list(RECALL_COLUMNS))


def recall_by_length(
    predictions: pd.DataFrame, annotations: pd.DataFrame, intervals: Intervals = INTERVALS
) -> pd.DataFrame:
    """`recall_by` of the length in frames, onset and offset included, with `LENGTHS` as edges."""
    frames = (annotations["offset"] - annotations["onset"] + 1).to_numpy()
    return recall_by(predictions, annotations, frames, LENGTHS, "frames", intervals)


def share_ends(hits: np.ndarray, trials: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Ends of the interval of a pooled share, from hits and trials `(S,)` of each person.

    As `score_intervals`: Student's t on the logit scale with a jackknife over persons, at least as wide as for
    independent trials.
    """
    n, value, persons = trials.sum(), hits.sum() / trials.sum(), len(trials)
    centre = (hits.sum() + 1) / (n + 2)
    variance = centre * (1 - centre) / (n + 2)
    if persons > 1:
        left = ((hits.sum() - hits) / (n - trials))[:, None]
        variance = max(variance, float(jackknife_variance(left)[0]))
    half = t_quantile(max(persons - 1, 1), (1 + level) / 2) * np.sqrt(variance) / (centre * (1 - centre))
    middle = np.log(centre / (1 - centre))
    low, high = (1 / (1 + np.exp(-(middle + sign * half))) for sign in (-1, 1))
    return float(min(low, value)), float(max(high, value))


def rate_ends(counts: np.ndarray, times: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Ends of the interval of a pooled rate, from counts and times `(S,)` of each person; the lower one is 0 or more.

    Student's t with a jackknife over persons, at least as wide as for counts that come by chance alone.
    """
    value, persons = counts.sum() / times.sum(), len(counts)
    variance = max(counts.sum(), 1.0) / times.sum() ** 2
    if persons > 1:
        left = ((counts.sum() - counts) / (times.sum() - times))[:, None]
        variance = max(variance, float(jackknife_variance(left)[0]))
    half = t_quantile(max(persons - 1, 1), (1 + level) / 2) * np.sqrt(variance)
    return float(max(0.0, value - half)), float(value + half)


def _stratum(index: int, edges: Sequence[float] | np.ndarray) -> str:
    if index == 0:
        return f"up to {edges[0]:g}"
    return f"over {edges[-1]:g}" if index == len(edges) else f"over {edges[index - 1]:g} to {edges[index]:g}"
