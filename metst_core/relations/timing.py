"""Who moves first: the lead of one group of ROIs over another inside micro-expressions, and foresight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from metst_core.errors import InputError
from metst_core.relations.correlation import p_values
from metst_core.relations.prediction import held_out_r2, held_out_r2_by_group
from metst_core.relations.traces import COMPONENTS, Traces, standardised

CANNOT_TELL = "cannot tell"
FEWEST_PERSONS = 3
"""Of how many persons an interval over persons is made at least."""


def lead(
    pair: Traces,
    condition: str = "inside",
    component: str = "magnitude",
    max_lag: int = 6,
    n_bootstrap: int = 500,
    seed: int = 0,
    n_permutations: int = 0,
) -> dict[str, Any]:
    """By how many frames the first of two series moves ahead of the second inside MEs.

    pair: traces of two series, such as `traces.grouped({"mouth": [...], "brows": [...]})`.
    Result: the lag with the largest |r|, `lag` (frames, positive: the first leads), `low` and `high` (95%
    interval from resampling persons, who differ more than the MEs of one; NaN with fewer than `FEWEST_PERSONS`), `r`
    there and `r_now` at lag 0, `n` MEs and `persons`.  With permutations also `p`, the share of rotations of the second
    series within its videos that relate as strongly at any lag, and `told`: "first leads", "second leads" or
    "together" where p is at most .05 and the interval is on one side of 0 or nothing but 0, else "cannot tell".
    """
    per_me, owners = _sums_per_me(pair, condition, component, max_lag)
    names = list(dict.fromkeys(owners))
    sums = np.stack([sum(s for s, o in zip(per_me, owners, strict=True) if o == name) for name in names])
    lags = np.arange(-max_lag, max_lag + 1)
    rng = np.random.default_rng(seed)
    r = _correlation_of_sums(sums.sum(axis=0))
    drawn = rng.integers(0, len(sums), (n_bootstrap, len(sums)))
    peaks = [lags[np.abs(_correlation_of_sums(sums[d].sum(axis=0))).argmax()] for d in drawn]
    best = int(np.abs(r).argmax())
    enough = n_bootstrap and len(names) >= FEWEST_PERSONS
    low, high = np.quantile(peaks, [0.025, 0.975]) if enough else (np.nan, np.nan)
    found: dict[str, Any] = {
        "lag": float(lags[best]), "low": float(low), "high": float(high), "r": float(r[best]),
        "r_now": float(r[max_lag]), "n": len(per_me), "persons": len(names),
    }  # fmt: skip
    if n_permutations:
        strongest = [
            np.abs(
                _correlation_of_sums(
                    np.sum(_sums_per_me(_rotated(pair, 1, rng), condition, component, max_lag)[0], axis=0)
                )
            ).max()
            for _ in range(n_permutations)
        ]
        found["p"] = float(p_values(np.abs(r).max(keepdims=True), np.array(strongest)[:, None])[0])
        found["told"] = _told(found)
    return found


def _told(found: Mapping[str, Any]) -> str:
    if not found["p"] <= 0.05:
        return CANNOT_TELL
    if found["low"] > 0:
        return "first leads"
    if found["high"] < 0:
        return "second leads"
    return "together" if found["low"] == found["high"] == 0 else CANNOT_TELL


def _rotated(pair: Traces, which: int, rng: np.random.Generator) -> Traces:
    """The same with one of the two series rotated within each video by a random amount."""
    values = {}
    for key, value in pair.values.items():
        moved = value.copy()
        moved[:, which] = np.roll(value[:, which], int(rng.integers(1, value.shape[-1])), axis=-1)
        values[key] = moved
    return replace(pair, values=values)


def _sums_per_me(
    pair: Traces, condition: str, component: str, max_lag: int
) -> tuple[list[np.ndarray], list[str]]:
    """Per ME and lag: n and the sums of a, b, ab, aa, bb over its pairs of frames; and whose it is.

    Each `(2 max_lag + 1, 6)`.
    """
    _check_pair(pair)
    part = COMPONENTS.index(component)
    found, owners = [], []
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
        owners.append(row.subject)
    if not found:
        raise InputError(
            f"no micro-expression for condition {condition!r}; use 'inside' or an emotion that occurs"
        )
    return found, owners


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
    `foresight_test` says how sure that is.
    """
    own, both, outcome, groups = _past_and_next(pair, order, condition)
    scores = [held_out_r2(x, outcome, groups).mean() for x in (own, both)]
    return float(scores[1] - scores[0])


def foresight_test(
    pair: Traces, order: int = 3, condition: str = "inside", n_permutations: int = 99, seed: int = 0
) -> dict[str, Any]:
    """`foresight` with a null and persons as units: `gain, low, high, p, persons, told`.

    `low, high`: 95% interval (Student's t) of the mean gain of a person, each predicted by a fit on the others; NaN
    with fewer than `FEWEST_PERSONS`.  `p`: the share of rotations of the first series within its videos that tell as
    much (one-sided).  `told`: "first foretells second" where p is at most .05 and the interval is above 0, else
    "cannot tell".
    """
    own, both, outcome, groups = _past_and_next(pair, order, condition)
    alone = held_out_r2(own, outcome, groups).mean()
    observed = float(held_out_r2(both, outcome, groups).mean() - alone)
    rng = np.random.default_rng(seed)
    null = [foresight(_rotated(pair, 0, rng), order, condition) for _ in range(n_permutations)]
    p = float(p_values(np.array([observed]), np.array(null).reshape(-1, 1))[0])
    gains = held_out_r2_by_group(both, outcome, groups) - held_out_r2_by_group(own, outcome, groups)
    low = high = float("nan")
    if len(gains) >= FEWEST_PERSONS:
        half = stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
        low, high = float(gains.mean() - half), float(gains.mean() + half)
    told = "first foretells second" if p <= 0.05 and low > 0 else CANNOT_TELL
    return {"gain": observed, "low": low, "high": high, "p": p, "persons": len(gains), "told": told}


def _past_and_next(
    pair: Traces, order: int, condition: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The second's own past and that of both `(n, ...)`, its next change `(n, 2)`, and whose frames they are `(n,)`."""
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
    return np.concatenate(own), np.concatenate(both), np.concatenate(outcome), np.array(subjects)


def _check_pair(pair: Traces) -> None:
    if len(pair.names) != 2:
        raise InputError(
            f"pair holds {len(pair.names)} series; two are compared: traces.grouped({{name: its ROIs, ...}})"
        )
