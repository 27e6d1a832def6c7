"""Which ROIs move together: correlation over lags, partial correlation, and how conditions differ.

Significance is by permutation: every ROI's series is rotated within each video by its own random amount,
which keeps each series as it is, memory included, and breaks what they have to do with each other.  Where
ROIs move more inside MEs than outside, the rotated frames are a mixture of both, and the test inside MEs is
stricter than its level says.  Many pairs are tested, so tables carry `p_max` (largest statistic over all
pairs and lags: family-wise error) and `q` (Benjamini and Hochberg).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from metst_core.errors import InputError
from metst_core.relations.traces import (
    COMPONENTS,
    CONDITIONS,
    FEWEST_FRAMES,
    Traces,
    region_members,
    standardised,
)
from metst_core.rois import ROIS
from metst_core.tables import EMOTIONS


@dataclass(frozen=True)
class Relations:
    """Relations between R ROIs under one condition, and what they are when nothing is related.

    r: `(n_lags, R, R)`, r[l, i, j] relates ROI i at frame t with ROI j at frame t + lags[l].
    null: `(n_permutations, n_pairs)`, per permutation and pair (i < j) the largest |r| over the lags.
    """

    kind: str
    condition: str
    component: str
    names: tuple[str, ...]
    lags: tuple[int, ...]
    r: np.ndarray
    null: np.ndarray
    fps: float
    n_frames: int

    def at(self, lag: int = 0) -> np.ndarray:
        """The matrix `(R, R)` at one lag (frames)."""
        if lag not in self.lags:
            raise InputError(f"lag {lag} is none of {self.lags[0]}..{self.lags[-1]}")
        return self.r[self.lags.index(lag)]

    def critical(self, level: float = 0.05) -> float:
        """The |r| that the largest of all pairs and lags exceeds by chance with probability `level`."""
        if not len(self.null):
            raise InputError("no permutations were made; set n_permutations to 19 or more")
        return float(np.quantile(self.null.max(axis=1), 1 - level))

    def table(self) -> pd.DataFrame:
        """One row per pair, strongest first.

        `roi_a` leads by `lag` frames (`lag_seconds`) where the relation is strongest, `r` there, `r_now` at
        lag 0; with permutations: `p` of the pair alone, `q` (false discovery rate over the pairs) and
        `p_max` (family-wise).  A pair is turned round so that its lag is not negative.
        """
        first, second = np.triu_indices(len(self.names), 1)
        across = self.r[:, first, second]
        best = np.abs(across).argmax(axis=0)
        lag, r = np.array(self.lags)[best], across[best, np.arange(len(first))]
        turned = lag < 0
        names = np.array(self.names)
        table = pd.DataFrame({
            "kind": self.kind, "condition": self.condition, "component": self.component,
            "roi_a": np.where(turned, names[second], names[first]),
            "roi_b": np.where(turned, names[first], names[second]),
            "lag": np.abs(lag), "lag_seconds": np.abs(lag) / self.fps,
            "r": r, "r_now": self.at(0)[first, second],
        })  # fmt: skip
        if len(self.null):
            size = np.abs(r)
            table["p"] = p_values(size, self.null)
            table["q"] = false_discovery_control(table["p"])
            table["p_max"] = p_values(size, self.null.max(axis=1, keepdims=True))
        return table.sort_values("r", key=np.abs, ascending=False, kind="stable").reset_index(drop=True)


def across_boxes(table: pd.DataFrame) -> pd.DataFrame:
    """The pairs (`roi_a`, `roi_b`) of a table whose ROIs lie in different boxes.

    That a whole brow moves with its own parts is no news.
    """
    box = {roi.name: roi.box for roi in ROIS}
    return table[table["roi_a"].map(box) != table["roi_b"].map(box)].reset_index(drop=True)


def between_regions(r: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """Mean of a matrix `(R, R)` between the ROIs of every two parts of the face (`REGIONS`), as a table.

    Within a part the mean is over its pairs of different ROIs.  A part without ROIs is left out.
    """
    at = {name: i for i, name in enumerate(names)}
    index = {region: [at[n] for n in members] for region, members in region_members(names).items() if members}

    def mean(first: list[int], second: list[int]) -> float:
        values = [r[i, j] for i in first for j in second if i != j]
        return float(np.mean(values)) if values else float("nan")

    values = [[mean(a, b) for b in index.values()] for a in index.values()]
    return pd.DataFrame(values, list(index), list(index))


def lagged_correlation(
    traces: Traces,
    condition: str = "inside",
    component: str = "magnitude",
    max_lag: int = 6,
    n_permutations: int = 199,
    seed: int = 0,
) -> Relations:
    """Pearson correlation of every two ROIs at lags -max_lag..max_lag frames, pooled over videos.

    Each series is first standardised within its video, so that no video outweighs the others.
    Raises `InputError` when the condition has too few frames.
    """
    stack = _Stack.of(traces, condition, component, max_lag)
    return _tested("correlation", stack, stack.lagged, n_permutations, seed)


def partial_correlation(
    traces: Traces,
    condition: str = "inside",
    component: str = "magnitude",
    n_permutations: int = 199,
    seed: int = 0,
) -> Relations:
    """Correlation of every two ROIs at the same frame with all other ROIs held fixed (lag 0 only).

    From the inverse of the correlation matrix, shrunk towards the identity (Schäfer and Strimmer 2005)
    because a whole ROI and its fine ones are nearly collinear.  Select whole or fine ROIs (`Traces.select`)
    to keep a region from being explained away by its own parts.  What is rotated for the null is what the
    others leave of each series, since that, not the series, is what two ROIs may share here.
    """
    stack = _Stack.of(traces, condition, component, 0)
    correlation = stack.lagged(stack.observed())[0]
    # One shrinkage for the data and all permutations: chosen anew, it would all but remove what chance makes.
    shrinkage = _shrinkage(correlation, stack.n_frames)

    def statistic(samples: np.ndarray) -> np.ndarray:
        return partial_of(stack.lagged(samples)[0], shrinkage)[None]

    remainder = replace(stack, series=(_precision(correlation, shrinkage) @ stack.series).astype(np.float32))
    return _tested("partial correlation", stack, statistic, n_permutations, seed, remainder)


def difference(
    traces: Traces,
    first: str,
    second: str,
    component: str = "magnitude",
    n_permutations: int = 199,
    seed: int = 0,
) -> pd.DataFrame:
    """Which pairs relate otherwise under one condition than under another (lag 0), strongest first.

    Columns `roi_a, roi_b, r_first, r_second, difference` (of Fisher's z), `p, q, p_max`.  Between two
    emotions, or one and all MEs, the null exchanges the emotions of the MEs; otherwise it rotates the MEs
    within their videos.
    """
    _check_choice("condition", first, CONDITIONS)
    _check_choice("condition", second, CONDITIONS)
    _check_choice("component", component, COMPONENTS)
    whole, spans = _MeSpans.of(traces, component)
    relabel = spans.with_exchanged_emotions if {first, second} <= {"inside", *EMOTIONS} else spans.rotated
    upper = np.triu_indices(len(traces.names), 1)

    def measure(labelled: _MeSpans) -> np.ndarray | None:
        """Correlations under both conditions `(2, n_pairs)`; None where one is left without frames."""
        masks = [labelled.mask(condition) for condition in (first, second)]
        if min(mask.sum() for mask in masks) < FEWEST_FRAMES:
            return None
        return np.stack([_pearson(whole[:, mask], whole[:, mask])[upper] for mask in masks])

    rng = np.random.default_rng(seed)
    r = measure(spans)
    if r is None:
        raise InputError(
            f"{first!r} or {second!r} has fewer than {FEWEST_FRAMES} frames here; take another condition"
        )
    contrast = _fisher(r[0]) - _fisher(r[1])
    drawn = [measure(relabel(rng)) for _ in range(n_permutations)]
    null = np.array([np.abs(_fisher(d[0]) - _fisher(d[1])) for d in drawn if d is not None])
    names = np.array(traces.names)
    table = pd.DataFrame({
        "roi_a": names[upper[0]], "roi_b": names[upper[1]], "r_first": r[0], "r_second": r[1],
        "difference": contrast,
    })  # fmt: skip
    if len(null):
        table["p"] = p_values(np.abs(contrast), null)
        table["q"] = false_discovery_control(table["p"])
        table["p_max"] = p_values(np.abs(contrast), null.max(axis=1, keepdims=True))
    return table.sort_values("difference", key=np.abs, ascending=False, kind="stable").reset_index(drop=True)


@dataclass(frozen=True)
class _Stack:
    """All videos end to end, and which pairs of frames count at each lag.

    traces, condition, component: what it was made of.
    series `(R, N)` standardised per video; begin, length: where each video starts and how long it is.
    frames `(n,)`: the frames that any pair needs, with all frames between the two; video `(n,)`: theirs.
    pairs[l] `(n - l,)`: 1 where frames[p] counts together with frames[p + l], which is l frames later.
    """

    traces: Traces
    condition: str
    component: str
    series: np.ndarray
    begin: np.ndarray
    length: np.ndarray
    frames: np.ndarray
    video: np.ndarray
    pairs: list[np.ndarray]

    @property
    def n_frames(self) -> int:
        return int(self.pairs[0].sum())

    @classmethod
    def of(cls, traces: Traces, condition: str, component: str, max_lag: int) -> _Stack:
        _check_choice("component", component, COMPONENTS)
        _check_choice("condition", condition, CONDITIONS)
        if max_lag < 0:
            raise InputError(f"max_lag is {max_lag}; give a number of frames, 0 or more")
        part = COMPONENTS.index(component)
        series = np.concatenate([standardised(value[part]) for value in traces.values.values()], axis=1)
        length = np.array([value.shape[-1] for value in traces.values.values()])
        begin = np.cumsum(length) - length
        counts, needed = np.zeros((max_lag + 1, series.shape[1]), bool), np.zeros(series.shape[1], bool)
        for start, key in zip(begin, traces.values, strict=True):
            for lag in range(max_lag + 1):
                first = start + np.flatnonzero(traces.pairs(key, condition, lag))
                counts[lag, first] = True
                for between in range(lag + 1):
                    needed[first + between] = True
        if counts[0].sum() < FEWEST_FRAMES:
            raise InputError(
                f"condition {condition!r} has {counts[0].sum()} frames in these videos; {FEWEST_FRAMES} are "
                f"needed to measure a relation (Traces.conditions() lists what can be had)"
            )
        frames = np.flatnonzero(needed)
        pairs = [row[frames][: len(frames) - lag].astype(np.float32) for lag, row in enumerate(counts)]
        video = np.searchsorted(begin, frames, side="right") - 1
        series = series.astype(np.float32)
        return cls(traces, condition, component, series, begin, length, frames, video, pairs)

    def observed(self) -> np.ndarray:
        """The series as they are, `(R, n)`."""
        return self.series[:, self.frames]

    def rotated(self, rng: np.random.Generator) -> np.ndarray:
        """The series `(R, n)` with every ROI's rotated within each video by its own random amount."""
        shifts = rng.integers(0, self.length, (len(self.series), len(self.length)))
        begin, length = self.begin[self.video], self.length[self.video]
        source = begin + (self.frames - begin - shifts[:, self.video]) % length
        return np.take_along_axis(self.series, source, axis=1)

    def lagged(self, samples: np.ndarray) -> np.ndarray:
        """Correlations `(2 max_lag + 1, R, R)` of samples `(R, n)` at lags -max_lag..max_lag."""
        squares, n = samples**2, samples.shape[1]
        forward = []
        for lag, weights in enumerate(self.pairs):
            count = max(float(weights.sum()), 1.0)
            a, b = samples[:, : n - lag], samples[:, lag:]
            mean_a, mean_b = a @ weights / count, b @ weights / count
            spread_a = squares[:, : n - lag] @ weights / count - mean_a**2
            spread_b = squares[:, lag:] @ weights / count - mean_b**2
            scale = np.sqrt(np.outer(np.maximum(spread_a, 0), np.maximum(spread_b, 0)))
            shared = (a * weights) @ b.T / count - np.outer(mean_a, mean_b)
            forward.append(np.divide(shared, scale, out=np.zeros_like(scale), where=scale > 1e-6))
        return np.stack([m.T for m in forward[:0:-1]] + forward)


def _tested(
    kind: str,
    stack: _Stack,
    statistic: Callable[[np.ndarray], np.ndarray],
    n_permutations: int,
    seed: int,
    rotated: _Stack | None = None,
) -> Relations:
    """`statistic` of the series of `stack`, and of those of `rotated` (default: the same) once rotated."""
    source = stack if rotated is None else rotated
    rng = np.random.default_rng(seed)
    r = statistic(stack.observed())
    traces = stack.traces
    upper = np.triu_indices(len(traces.names), 1)
    drawn = [np.abs(statistic(source.rotated(rng))[:, *upper]).max(axis=0) for _ in range(n_permutations)]
    null = np.array(drawn).reshape(n_permutations, len(upper[0]))
    reach = len(r) // 2
    lags = tuple(range(-reach, reach + 1))
    return Relations(
        kind, stack.condition, stack.component, traces.names, lags, r, null, traces.fps, stack.n_frames
    )


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InputError(f"{name} {value!r} is none of {', '.join(choices)}")


def _pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of every row of a (R, n) with every row of b (R, n): (R, R); 0 where one does not vary."""
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    scale = np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    return np.divide(a @ b.T, scale, out=np.zeros_like(scale), where=scale > 1e-9)


def _shrinkage(correlation: np.ndarray, n: int) -> float:
    """How far to shrink a correlation matrix from n samples towards the identity.

    The share of least expected squared error: the sum of its entries' variances over that of their squares.
    """
    off = correlation[~np.eye(len(correlation), dtype=bool)].astype(float)
    return float(np.clip(((1 - off**2) ** 2).sum() / n / max((off**2).sum(), 1e-12), 1e-3, 1))


def partial_of(correlation: np.ndarray, shrinkage: float) -> np.ndarray:
    """Partial correlations (R, R) from a correlation matrix, shrunk by the given share."""
    precision = _precision(correlation, shrinkage)
    scale = np.sqrt(np.diag(precision))
    return np.where(np.eye(len(precision)) > 0, 1.0, -precision / np.outer(scale, scale))


def _precision(correlation: np.ndarray, shrinkage: float) -> np.ndarray:
    """Inverse of the shrunk correlation matrix; times the series, row i is what all others leave of ROI i."""
    return np.linalg.inv((1 - shrinkage) * correlation.astype(float) + shrinkage * np.eye(len(correlation)))


def p_values(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Share of the null (n, P or 1) that reaches the observed (P,), the observed itself counted once."""
    return (1 + (null >= observed - 1e-9).sum(axis=0)) / (1 + len(null))


def _fisher(r: np.ndarray) -> np.ndarray:
    return np.arctanh(np.clip(r, -0.9999, 0.9999))


@dataclass(frozen=True)
class _MeSpans:
    """Where the MEs lie in all videos end to end.

    start, stop (excluded), emotion, video `(n,)`: of each ME.  begin, length: of each video.
    """

    start: np.ndarray
    stop: np.ndarray
    emotion: np.ndarray
    video: np.ndarray
    begin: np.ndarray
    length: np.ndarray

    @classmethod
    def of(cls, traces: Traces, component: str) -> tuple[np.ndarray, _MeSpans]:
        """The standardised series of all videos end to end `(R, N)`, and the MEs in them."""
        part = COMPONENTS.index(component)
        series = [standardised(value[part]) for value in traces.values.values()]
        length = np.array([s.shape[1] for s in series])
        begin = np.cumsum(length) - length
        numbers = {key: i for i, key in enumerate(traces.values)}
        mes = traces.annotations
        mes = mes[[key in numbers for key in zip(mes["subject"], mes["video"], strict=True)]]
        video = np.array([numbers[key] for key in zip(mes["subject"], mes["video"], strict=True)], int)
        start = begin[video] + np.clip(mes["onset"].to_numpy(int), 0, length[video])
        stop = begin[video] + np.clip(mes["offset"].to_numpy(int) + 1, 0, length[video])
        spans = cls(start, stop, mes["emotion"].to_numpy(str), video, begin, length)
        return np.concatenate(series, axis=1), spans

    def mask(self, condition: str) -> np.ndarray:
        """Which frames belong to a condition: `(N,)` bool."""
        inside = np.zeros(int(self.length.sum()), bool)
        if condition == "all":
            return ~inside
        for start, stop, emotion in zip(self.start, self.stop, self.emotion, strict=True):
            if condition in ("inside", "outside", emotion):
                inside[start:stop] = True
        return ~inside if condition == "outside" else inside

    def with_exchanged_emotions(self, rng: np.random.Generator) -> _MeSpans:
        return replace(self, emotion=rng.permutation(self.emotion))

    def rotated(self, rng: np.random.Generator) -> _MeSpans:
        """All MEs of a video moved on by one random amount; one that its end would cut starts at frame 0."""
        begin, length, span = self.begin[self.video], self.length[self.video], self.stop - self.start
        place = (self.start - begin + rng.integers(0, self.length)[self.video]) % length
        start = begin + np.where(place + span <= length, place, 0)
        return replace(self, start=start, stop=start + span)
