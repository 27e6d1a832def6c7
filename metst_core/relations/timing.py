"""Who moves first: the lead of one group of ROIs over another inside micro-expressions, and foresight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metst_core.errors import InputError
from metst_core.relations.prediction import held_out_r2
from metst_core.relations.traces import COMPONENTS, Traces, standardised


def lead(
    pair: Traces,
    condition: str = "inside",
    component: str = "magnitude",
    max_lag: int = 6,
    n_bootstrap: int = 500,
    seed: int = 0,
) -> dict[str, float]:
    """By how many frames the first of two series moves ahead of the second inside MEs.

    pair: traces of two series, such as `traces.grouped({"mouth": [...], "brows": [...]})`.
    Result: the lag with the largest |r|, `lag` (frames, positive: the first leads), `low` and `high` (95%
    interval from resampling the MEs), `r` there and `r_now` at lag 0, and `n` MEs.
    """
    sums = np.stack(_sums_per_me(pair, condition, component, max_lag))  # (n MEs, lags, 6)
    lags = np.arange(-max_lag, max_lag + 1)
    rng = np.random.default_rng(seed)
    r = _correlation_of_sums(sums.sum(axis=0))
    drawn = rng.integers(0, len(sums), (n_bootstrap, len(sums)))
    peaks = [lags[np.abs(_correlation_of_sums(sums[d].sum(axis=0))).argmax()] for d in drawn]
    best = int(np.abs(r).argmax())
    low, high = np.quantile(peaks, [0.025, 0.975]) if n_bootstrap else (np.nan, np.nan)
    return {
        "lag": float(lags[best]), "low": float(low), "high": float(high), "r": float(r[best]),
        "r_now": float(r[max_lag]), "n": len(sums),
    }  # fmt: skip


def _sums_per_me(pair: Traces, condition: str, component: str, max_lag: int) -> list[np.ndarray]:
    """Per ME and lag: n and the sums of a, b, ab, aa, bb over its pairs of frames.

    Each `(2 max_lag + 1, 6)`.
    """
    _check_pair(pair)
    part = COMPONENTS.index(component)
    found = []
    for row in pair.annotations.itertuples():
        key = (row.subject, row.video)
        if key not in pair.values or condition not in ("inside", row.emotion):
            continue
        a, b = standardised(pair.values[key][part])
        frames = np.arange(max(0, row.onset), min(row.offset + 1, len(a)))
        sums = []
        for lag in range(-max_lag, max_lag + 1):
            # Either frame of a pair lies in the ME: those that start in it, and those that end in it.
            t = np.union1d(frames, frames - lag)
            t = t[(t >= 0) & (t < len(a)) & (t + lag >= 0) & (t + lag < len(a))]
            u, v = a[t], b[t + lag]
            sums.append([len(t), u.sum(), v.sum(), u @ v, u @ u, v @ v])
        found.append(np.array(sums))
    if not found:
        raise InputError(
            f"no micro-expression for condition {condition!r}; use 'inside' or an emotion that occurs"
        )
    return found


def _correlation_of_sums(sums: np.ndarray) -> np.ndarray:
    n, a, b, ab, aa, bb = np.maximum(sums[:, 0], 1), *sums[:, 1:].T
    scale = np.sqrt(np.maximum(aa / n - (a / n) ** 2, 0) * np.maximum(bb / n - (b / n) ** 2, 0))
    return np.divide(ab / n - a * b / n**2, scale, out=np.zeros_like(scale), where=scale > 1e-12)


def with_planted_lead(traces: Traces, source: Sequence[str], target: Sequence[str], lag: int = 4) -> Traces:
    """The traces with a group of ROIs that repeats what another did `lag` frames before: a control for `lead`.

    The target ROIs keep three tenths of their own motion and add the mean of the source's.
    """
    rows = [[traces.names.index(name) for name in group] for group in (source, target)]
    values = {}
    for key, value in traces.values.items():
        moved = value.copy()
        moved[:, rows[1]] *= 0.3
        moved[:, rows[1]] += np.roll(value[:, rows[0]].mean(axis=1, keepdims=True), lag, axis=2)
        values[key] = moved
    return replace(traces, values=values)


def foresight(pair: Traces, order: int = 3, condition: str = "inside") -> float:
    """What the past of the first of two series tells about the second, beyond the second's own past.

    pair: as for `lead`.  Held-out R² of predicting the second's change (x and y) from `order` past frames of
    both, minus that from its own alone, leaving one subject out: above 0, the first foretells the second.
    """
    _check_pair(pair)
    own, both, outcome, subjects = [], [], [], []
    for key, value in pair.values.items():
        series = np.concatenate([standardised(value[0]), standardised(value[1])])  # x and y of both
        past = [series[:, order - d - 1 : -d - 1] for d in range(order)]
        use = pair.pairs(key, condition)[order:]
        own.append(np.concatenate([p[1::2] for p in past])[:, use].T)
        both.append(np.concatenate(past)[:, use].T)
        outcome.append(series[1::2, order:][:, use].T)
        subjects += [key[0]] * int(use.sum())
    outcome_all, groups = np.concatenate(outcome), np.array(subjects)
    scores = [held_out_r2(np.concatenate(x), outcome_all, groups).mean() for x in (own, both)]
    return float(scores[1] - scores[0])


def _check_pair(pair: Traces) -> None:
    if len(pair.names) != 2:
        raise InputError(
            f"pair holds {len(pair.names)} series; two are compared: traces.grouped({{name: its ROIs, ...}})"
        )
