"""How the ROIs of a face relate: in their motion, and in what a network makes of it.

**In the data** relations are measured between *changes* of motion, not between positions.  Motion is
counted from each window's first frame, so its level jumps from window to window and drifts with the head,
and two drifting series correlate whether or not they have to do with each other.  `roi_change` therefore
takes central differences inside the windows (pixels of the 320 crop per frame) and averages the two windows
that see a frame.

Conditions: `all` frames; `inside` a micro-expression (ME), onset to offset; `outside` of every ME; one per
emotion.  At a lag a pair of frames counts as inside when either of the two is, so that `inside` and `outside`
part all pairs between them and r(a, b, lag) = r(b, a, -lag).  A positive lag means that the first ROI leads.

Significance is by permutation: every ROI's series is rotated within each video by its own random amount,
which keeps each series as it is, memory included, and breaks what they have to do with each other.  Where
ROIs move more inside MEs than outside, the rotated frames are a mixture of both, and the test inside MEs is
stricter than its level says.  Many pairs are tested, so
tables carry `p_max` (largest statistic over all pairs and lags: family-wise error) and `q` (Benjamini and
Hochberg).

**In the model** attribution asks how much of an output each ROI accounts for, frame by frame, against the
baseline of a face that does not move (integrated gradients, Sundararajan et al. 2017; ablation), and
`pair_interaction` how much two ROIs do together that they do not do one by one (joint occlusion).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import median_filter
from scipy.stats import false_discovery_control, rankdata, spearmanr
from torch import Tensor, nn

from metst_core.errors import InputError
from metst_core.extraction import MotionSet
from metst_core.metrics import percentiles, resamples
from metst_core.models import Network, evaluating
from metst_core.rois import ROIS, roi_names
from metst_core.tables import CLASSES, EMOTIONS
from metst_core.windows import frame_targets, window_starts

CONDITIONS = ("all", "inside", "outside", *EMOTIONS)
COMPONENTS = ("x", "y", "magnitude")
REGIONS = {
    "brows": ("left_brow", "right_brow"),
    "eyelids": ("left_eyelid", "right_eyelid"),
    "nose": ("nose",),
    "mouth": ("mouth",),
}
"""Parts of the face and the boxes that make them up."""

AU_REGIONS = {
    1: ("brows",), 2: ("brows",), 4: ("brows",), 5: ("eyelids",), 6: ("eyelids",), 7: ("eyelids",),
    9: ("nose", "brows"), 10: ("nose", "mouth"), 12: ("mouth",), 14: ("mouth",), 15: ("mouth",),
    17: ("mouth",), 20: ("mouth",), 23: ("mouth",), 24: ("mouth",), 25: ("mouth",), 26: ("mouth",),
    45: ("eyelids",),
}  # fmt: skip
"""FACS action unit -> the parts of the face it moves, of those that hold ROIs."""

_FEWEST_FRAMES = 8


# --- motion over a whole video --------------------------------------------------------------------
def roi_change(windows: np.ndarray, n_frames: int) -> np.ndarray:
    """Change of motion per frame over a whole video: windows `(n_windows, 2R, k)` -> `(2R, n_frames)`
    px/frame.

    Central differences within each window (one-sided at its ends), averaged over the windows that see a
    frame.
    """
    windows = np.asarray(windows, dtype=float)
    if windows.ndim != 3:
        raise InputError(f"windows has shape {windows.shape}; it must be (n_windows, channels, window)")
    starts = window_starts(n_frames, windows.shape[2])[: len(windows)]
    total, seen = np.zeros((windows.shape[1], n_frames)), np.zeros(n_frames)
    for start, window in zip(starts, windows, strict=True):
        part = slice(start, min(start + windows.shape[2], n_frames))
        real = window[:, : part.stop - start]
        if real.shape[1] > 1:
            total[:, part] += np.gradient(real, axis=1)
            seen[part] += 1
    return total / np.maximum(seen, 1)


def roi_displacement(windows: np.ndarray, n_frames: int, drift: int | None = None) -> np.ndarray:
    """Motion over a whole video, for the eye: `(2R, n_frames)` pixels of the 320 crop.

    The running sum of `roi_change`, minus its running median over `drift` frames (default: one window), which
    takes slow drift away and leaves movements shorter than half of that.
    """
    change = roi_change(windows, n_frames)
    whole = np.cumsum(change, axis=1)
    width = windows.shape[2] if drift is None else drift
    return whole - median_filter(whole, size=(1, 2 * (width // 2) + 1), mode="nearest")


@dataclass(frozen=True)
class Traces:
    """Change of every ROI's motion in every video.

    values: by (subject, video), `(3, R, T)` in px/frame: x (to the right), y (down), magnitude.
    annotations: the annotation table.  names: the R ROIs.  fps: frames per second.
    """

    values: Mapping[tuple[str, str], np.ndarray]
    annotations: pd.DataFrame
    names: tuple[str, ...]
    fps: float

    @classmethod
    def of(cls, motion: MotionSet) -> Traces:
        """The traces of a motion set."""
        values = {}
        for (subject, video), windows in motion.windows.items():
            change = roi_change(windows, motion.n_frames(subject, video))
            x, y = change[0::2], change[1::2]
            values[subject, video] = np.stack([x, y, np.hypot(x, y)])
        return cls(values, motion.annotations, tuple(roi_names(motion.features)), motion.fps)

    def select(self, names: Sequence[str]) -> Traces:
        """The same videos with some of the ROIs, in the given order."""
        rows = [self._index(name) for name in names]
        chosen = {key: value[:, rows] for key, value in self.values.items()}
        return Traces(chosen, self.annotations, tuple(names), self.fps)

    def grouped(self, groups: Mapping[str, Sequence[str]]) -> Traces:
        """Means over groups of ROIs (name -> its members), each one a series of its own."""
        rows = [[self._index(name) for name in members] for members in groups.values()]
        means = {k: np.stack([v[:, r].mean(axis=1) for r in rows], axis=1) for k, v in self.values.items()}
        return Traces(means, self.annotations, tuple(groups), self.fps)

    def inside(self, key: tuple[str, str], condition: str = "inside") -> np.ndarray:
        """Which frames of a video lie in an ME (of that emotion), onset to offset included: `(T,)` bool."""
        mine = self.annotations[
            (self.annotations["subject"] == key[0]) & (self.annotations["video"] == key[1])
        ]
        if condition in EMOTIONS:
            mine = mine[mine["emotion"] == condition]
        mask = np.zeros(self.values[key].shape[-1], bool)
        for row in mine.itertuples():
            mask[max(0, row.onset) : max(0, row.offset + 1)] = True
        return mask

    def conditions(self) -> list[str]:
        """The conditions of `CONDITIONS` that have enough frames here to measure a relation."""
        counts = {c: sum(int(_pair_mask(self, k, c, 0).sum()) for k in self.values) for c in CONDITIONS}
        return [c for c, n in counts.items() if n >= _FEWEST_FRAMES]

    def _index(self, name: str) -> int:
        if name not in self.names:
            raise InputError(f"ROI {name!r} is none of {', '.join(self.names)}")
        return self.names.index(name)


def region_members(names: Iterable[str]) -> dict[str, list[str]]:
    """Part of the face (`REGIONS`) -> those of the given ROIs that lie in it."""
    boxes = {roi.name: roi.box for roi in ROIS}
    names = list(names)
    return {region: [n for n in names if boxes.get(n) in parts] for region, parts in REGIONS.items()}


# --- correlations between ROIs --------------------------------------------------------------------
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
            table["p"] = _p_values(size, self.null)
            table["q"] = false_discovery_control(table["p"])
            table["p_max"] = _p_values(size, self.null.max(axis=1, keepdims=True))
        return table.sort_values("r", key=np.abs, ascending=False, kind="stable").reset_index(drop=True)


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
    return _tested("correlation", stack, stack.lagged, traces, condition, component, n_permutations, seed)


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
        return _partial(stack.lagged(samples)[0], shrinkage)[None]

    remainder = replace(stack, series=(_precision(correlation, shrinkage) @ stack.series).astype(np.float32))
    return _tested(
        "partial correlation", stack, statistic, traces, condition, component, n_permutations, seed, remainder
    )


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
        """Correlations under both conditions `(2, n_pairs)`; None where a condition is left without
        frames."""
        masks = [labelled.mask(condition) for condition in (first, second)]
        if min(mask.sum() for mask in masks) < _FEWEST_FRAMES:
            return None
        return np.stack([_pearson(whole[:, mask], whole[:, mask])[upper] for mask in masks])

    rng = np.random.default_rng(seed)
    r = measure(spans)
    if r is None:
        raise InputError(
            f"{first!r} or {second!r} has fewer than {_FEWEST_FRAMES} frames here; take another condition"
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
        table["p"] = _p_values(np.abs(contrast), null)
        table["q"] = false_discovery_control(table["p"])
        table["p_max"] = _p_values(np.abs(contrast), null.max(axis=1, keepdims=True))
    return table.sort_values("difference", key=np.abs, ascending=False, kind="stable").reset_index(drop=True)


@dataclass(frozen=True)
class _Stack:
    """All videos end to end, and which pairs of frames count at each lag.

    series `(R, N)` standardised per video; begin, length: where each video starts and how long it is.
    frames `(n,)`: the frames that any pair needs, with all frames between the two; video `(n,)`: theirs.
    pairs[l] `(n - l,)`: 1 where frames[p] counts together with frames[p + l], which is l frames later.
    """

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
        series = np.concatenate([_standardised(value[part]) for value in traces.values.values()], axis=1)
        length = np.array([value.shape[-1] for value in traces.values.values()])
        begin = np.cumsum(length) - length
        counts, needed = np.zeros((max_lag + 1, series.shape[1]), bool), np.zeros(series.shape[1], bool)
        for start, key in zip(begin, traces.values, strict=True):
            for lag in range(max_lag + 1):
                first = start + np.flatnonzero(_pair_mask(traces, key, condition, lag))
                counts[lag, first] = True
                for between in range(lag + 1):
                    needed[first + between] = True
        if counts[0].sum() < _FEWEST_FRAMES:
            raise InputError(
                f"condition {condition!r} has {counts[0].sum()} frames in these videos; {_FEWEST_FRAMES} are "
                f"needed to measure a relation (Traces.conditions() lists what can be had)"
            )
        frames = np.flatnonzero(needed)
        pairs = [row[frames][: len(frames) - lag].astype(np.float32) for lag, row in enumerate(counts)]
        video = np.searchsorted(begin, frames, side="right") - 1
        return cls(series.astype(np.float32), begin, length, frames, video, pairs)

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
    kind: str, stack: _Stack, statistic: Callable[[np.ndarray], np.ndarray], traces: Traces,
    condition: str, component: str, n_permutations: int, seed: int, rotated: _Stack | None = None,
) -> Relations:  # fmt: skip
    """`statistic` of the series of `stack`, and of those of `rotated` (default: the same) once rotated."""
    source = stack if rotated is None else rotated
    rng = np.random.default_rng(seed)
    r = statistic(stack.observed())
    upper = np.triu_indices(len(traces.names), 1)
    drawn = [np.abs(statistic(source.rotated(rng))[:, *upper]).max(axis=0) for _ in range(n_permutations)]
    null = np.array(drawn).reshape(n_permutations, len(upper[0]))
    reach = len(r) // 2
    lags = tuple(range(-reach, reach + 1))
    return Relations(kind, condition, component, traces.names, lags, r, null, traces.fps, stack.n_frames)


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InputError(f"{name} {value!r} is none of {', '.join(choices)}")


def _pair_mask(traces: Traces, key: tuple[str, str], condition: str, lag: int) -> np.ndarray:
    """Which frames t count together with frame t + lag: `(T - lag,)` bool."""
    length = traces.values[key].shape[-1]
    if condition == "all":
        return np.ones(max(0, length - lag), bool)
    inside = traces.inside(key, condition)
    either = inside[: length - lag] | inside[lag:] if lag < length else np.zeros(0, bool)
    return ~either if condition == "outside" else either


def _standardised(series: np.ndarray) -> np.ndarray:
    centred = series - series.mean(axis=1, keepdims=True)
    return centred / (centred.std(axis=1, keepdims=True) + 1e-12)


def _pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of every row of a (R, n) with every row of b (R, n): (R, R); 0 for a row without
    variance.
    """
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    scale = np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    return np.divide(a @ b.T, scale, out=np.zeros_like(scale), where=scale > 1e-9)


def _shrinkage(correlation: np.ndarray, n: int) -> float:
    """How far to shrink a correlation matrix from n samples towards the identity: the share of least expected
    squared error, the sum of its entries' variances over that of their squares."""
    off = correlation[~np.eye(len(correlation), dtype=bool)].astype(float)
    return float(np.clip(((1 - off**2) ** 2).sum() / n / max((off**2).sum(), 1e-12), 1e-3, 1))


def _partial(correlation: np.ndarray, shrinkage: float) -> np.ndarray:
    """Partial correlations (R, R) from a correlation matrix, shrunk by the given share."""
    precision = _precision(correlation, shrinkage)
    scale = np.sqrt(np.diag(precision))
    return np.where(np.eye(len(precision)) > 0, 1.0, -precision / np.outer(scale, scale))


def _precision(correlation: np.ndarray, shrinkage: float) -> np.ndarray:
    """Inverse of the shrunk correlation matrix; times the series, row i is what all others leave of ROI i."""
    return np.linalg.inv((1 - shrinkage) * correlation.astype(float) + shrinkage * np.eye(len(correlation)))


def _p_values(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Share of the null (n, P or 1) that reaches the observed (P,), the observed itself counted once."""
    return (1 + (null >= observed - 1e-9).sum(axis=0)) / (1 + len(null))


def _fisher(r: np.ndarray) -> np.ndarray:
    return np.arctanh(np.clip(r, -0.9999, 0.9999))


@dataclass(frozen=True)
class _MeSpans:
    """Where the MEs lie in all videos end to end: `start`, `stop` (excluded) and `emotion` of each, the video
    it is in (`video`), and where that begins and how long it is (`begin`, `length`, per video)."""

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
        series = [_standardised(value[part]) for value in traces.values.values()]
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
        """All MEs of a video moved on by one random amount; one that would be cut at its end starts at frame
        0."""
        begin, length, span = self.begin[self.video], self.length[self.video], self.stop - self.start
        place = (self.start - begin + rng.integers(0, self.length)[self.video]) % length
        start = begin + np.where(place + span <= length, place, 0)
        return replace(self, start=start, stop=start + span)


# --- who moves first ------------------------------------------------------------------------------
def lead(
    traces: Traces,
    first: Sequence[str],
    second: Sequence[str],
    condition: str = "inside",
    component: str = "magnitude",
    max_lag: int = 6,
    n_bootstrap: int = 500,
    seed: int = 0,
) -> dict[str, float]:
    """By how many frames one group of ROIs moves ahead of another inside MEs.

    Of the groups' means the lag with the largest |r|: `lag` (frames, positive: the first group leads),
    `low` and `high` (95% interval from resampling the MEs), `r` there and `r_now` at lag 0, and `n` MEs.
    """
    pair = traces.grouped({"first": first, "second": second})
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


def _sums_per_me(traces: Traces, condition: str, component: str, max_lag: int) -> list[np.ndarray]:
    """Per ME and lag: n and the sums of a, b, ab, aa, bb over its pairs of frames, `(2 max_lag + 1, 6)`
    each.
    """
    part = COMPONENTS.index(component)
    found = []
    for row in traces.annotations.itertuples():
        key = (row.subject, row.video)
        if key not in traces.values or condition not in ("inside", row.emotion):
            continue
        a, b = _standardised(traces.values[key][part])
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


def foresight(
    traces: Traces, source: Sequence[str], target: Sequence[str], order: int = 3, condition: str = "inside"
) -> float:
    """What the past of one group tells about the present of another, beyond that one's own past.

    Held-out R² of predicting the target group's mean change (x and y) from `order` past frames of itself
    and the source, minus that from itself alone, leaving one subject out: above 0, the source foretells the
    target.
    """
    pair = traces.grouped({"source": source, "target": target})
    own, both, outcome, subjects = [], [], [], []
    for key, value in pair.values.items():
        series = np.concatenate([_standardised(value[0]), _standardised(value[1])])  # x and y of both
        past = [series[:, order - d - 1 : -d - 1] for d in range(order)]
        use = _condition_mask(pair, key, condition)[order:]
        own.append(np.concatenate([p[1::2] for p in past])[:, use].T)
        both.append(np.concatenate(past)[:, use].T)
        outcome.append(series[1::2, order:][:, use].T)
        subjects += [key[0]] * int(use.sum())
    outcome_all, groups = np.concatenate(outcome), np.array(subjects)
    scores = [_held_out_r2(np.concatenate(x), outcome_all, groups).mean() for x in (own, both)]
    return float(scores[1] - scores[0])


def _condition_mask(traces: Traces, key: tuple[str, str], condition: str) -> np.ndarray:
    return _pair_mask(traces, key, condition, 0)


# --- what the fine ROIs add -----------------------------------------------------------------------
def fine_unexplained(traces: Traces, condition: str = "all") -> pd.DataFrame:
    """How much of each fine ROI's motion the whole ROIs do not tell: `roi, parent, r2, unexplained`.

    `r2` is that of predicting its change (x and y, at the same frame) linearly from all whole ROIs in
    subjects held out of the fit; `unexplained` is 1 - r2.
    """
    whole = [r.name for r in ROIS if r.granularity == "whole" and r.name in traces.names]
    fine = [r for r in ROIS if r.granularity == "fine" and r.name in traces.names]
    if not whole or not fine:
        raise InputError("both whole and fine ROIs are needed; extract the features 'metst_plus'")
    inputs, groups = _frame_table(traces.select(whole), condition)
    outputs, _ = _frame_table(traces.select([r.name for r in fine]), condition)
    r2 = _held_out_r2(inputs, outputs, groups).reshape(2, len(fine)).mean(axis=0)
    return pd.DataFrame({
        "roi": [r.name for r in fine], "parent": [r.parent for r in fine], "r2": r2, "unexplained": 1 - r2,
    })  # fmt: skip


def detection_gain(traces: Traces, reach: int = 3) -> pd.DataFrame:
    """What fine ROIs add for telling frames inside MEs from others: `subject, auc_whole, auc_both, gain`.

    A linear classifier (ridge regression on the label) reads the change x, y and magnitude of the ROIs over
    `reach` frames to each side; it is fitted without the subject.  AUC: the chance that a frame inside gets a
    larger value than one outside.  Subjects without an ME are left out.
    """
    whole = [r.name for r in ROIS if r.granularity == "whole" and r.name in traces.names]
    label = np.concatenate([traces.inside(key) for key in traces.values]).astype(float)
    found = {}
    for name, part in (("auc_whole", traces.select(whole)), ("auc_both", traces)):
        inputs, groups = _frame_table(part, "all", reach, parts=3)
        found[name] = {s: _held_out_auc(inputs, label, groups, s) for s in np.unique(groups)}
    table = pd.DataFrame(found).rename_axis("subject").reset_index().dropna().reset_index(drop=True)
    return table.assign(gain=table["auc_both"] - table["auc_whole"])


def _frame_table(
    traces: Traces, condition: str, reach: int = 0, parts: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Frames as rows: `(n, parts R (2 reach + 1))` standardised per video, and each row's subject `(n,)`."""
    rows, subjects = [], []
    for key, value in traces.values.items():
        series = np.concatenate([_standardised(part) for part in value[:parts]])
        padded = np.pad(series, ((0, 0), (reach, reach)), mode="edge")
        length = series.shape[1]
        shifted = np.concatenate([padded[:, d : d + length] for d in range(2 * reach + 1)])
        use = _condition_mask(traces, key, condition)
        rows.append(shifted[:, use].T)
        subjects += [key[0]] * int(use.sum())
    return np.concatenate(rows), np.array(subjects)


def _ridge(x: np.ndarray, y: np.ndarray, penalty: float = 1e-2) -> Callable[[np.ndarray], np.ndarray]:
    """Least squares with a penalty relative to the inputs' own variance; the fitted function."""
    centre_x, centre_y = x.mean(axis=0), y.mean(axis=0)
    x = x - centre_x
    gram = x.T @ x
    gram[np.diag_indices_from(gram)] += penalty * np.trace(gram) / len(gram) + 1e-12
    weights = np.linalg.solve(gram, x.T @ (y - centre_y))
    return lambda new: (new - centre_x) @ weights + centre_y


def _held_out_r2(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """R² per output (n_out,) over all groups, each predicted by a fit on the others."""
    if len(np.unique(groups)) < 2:
        raise InputError("one subject only: at least two are needed to hold one out")
    predicted = np.empty_like(y)
    for group in np.unique(groups):
        mine = groups == group
        predicted[mine] = _ridge(x[~mine], y[~mine])(x[mine])
    return 1 - ((y - predicted) ** 2).sum(axis=0) / np.maximum(((y - y.mean(axis=0)) ** 2).sum(axis=0), 1e-12)


def _held_out_auc(x: np.ndarray, label: np.ndarray, groups: np.ndarray, subject: str) -> float:
    mine = groups == subject
    truth = label[mine] > 0
    if truth.all() or not truth.any() or not (label[~mine] > 0).any():
        return float("nan")
    ranks = rankdata(_ridge(x[~mine], label[~mine])(x[mine]))
    n_in, n_out = truth.sum(), (~truth).sum()
    return float((ranks[truth].sum() - n_in * (n_in + 1) / 2) / (n_in * n_out))


# --- what the network uses ------------------------------------------------------------------------
@dataclass(frozen=True)
class MeWindows:
    """Windows of motion that each show one ME whole or in part.

    motion `(n, 2R, k)`; mask `(n, k)` bool, the frames after onset and before offset; classes `(n,)` int, the
    emotion; table: the annotation of each, with `window` (its number in the video).
    """

    motion: np.ndarray
    mask: np.ndarray
    classes: np.ndarray
    table: pd.DataFrame

    def take(self, rows: Sequence[int] | np.ndarray) -> MeWindows:
        """Some of the windows."""
        rows = np.asarray(rows)
        return MeWindows(
            self.motion[rows],
            self.mask[rows],
            self.classes[rows],
            self.table.iloc[rows].reset_index(drop=True),
        )


def me_windows(motion: MotionSet, subject: str | None = None) -> MeWindows:
    """For every ME (of one subject) the window that holds its apex closest to the middle."""
    picked, masks, rows = [], [], []
    for me in motion.annotations.to_dict("records"):
        key = (me["subject"], me["video"])
        if key not in motion.windows or subject not in (None, me["subject"]):
            continue
        n_frames = motion.n_frames(*key)
        starts = window_starts(n_frames, motion.window)[: len(motion.windows[key])]
        number = int(np.abs(starts + motion.window / 2 - me["apex"]).argmin())
        alone = pd.DataFrame([me])
        mask = np.zeros(starts[number] + motion.window, bool)
        mask[:n_frames] = frame_targets(alone, n_frames)[0][: len(mask)] > 0
        mask = mask[starts[number] :]
        if mask.any():
            picked.append(motion.windows[key][number])
            masks.append(mask)
            rows.append({**me, "window": number})
    if not rows:
        who = "these videos" if subject is None else f"the videos of subject {subject!r}"
        raise InputError(f"no micro-expression with a frame between onset and offset in {who}")
    table = pd.DataFrame(rows)
    classes = np.array([CLASSES.index(e) for e in table["emotion"]])
    return MeWindows(np.stack(picked).astype(np.float32), np.stack(masks), classes, table)


OUTPUTS = ("score", "emotion")


def roi_attribution(
    model: Network,
    motion: np.ndarray,
    mask: np.ndarray | None = None,
    output: str = "score",
    classes: np.ndarray | None = None,
    method: str = "integrated gradients",
    n_steps: int = 24,
    bin_frames: int = 5,
) -> np.ndarray:
    """What each ROI at each frame contributes to an output: motion `(n, 2R, k)` -> `(n, R, k)`, signed.

    The output is the sum over the frames of `mask` `(n, k)` (default: all) of the score (`output="score"`,
    spotting) or of the logit of class `classes` `(n,)` (`"emotion"`, recognition).  The baseline is a face
    that does not move (motion 0).  `"integrated gradients"`: `n_steps` steps on the line from the baseline;
    the contributions of a window add up to output(motion) - output(baseline).  `"ablation"`: the change
    when the motion of one ROI in one bin of `bin_frames` frames is set to 0, spread evenly over the bin.  x
    and y are added.
    """
    x = _as_tensor(model, motion)
    forward = _output_function(model, x, mask, output, classes)
    if method == "integrated gradients":
        values = _integrated_gradients(model, forward, x, n_steps)
    elif method == "ablation":
        values = _ablation(model, forward, x, bin_frames)
    else:
        raise InputError(f"method {method!r} is unknown; use 'integrated gradients' or 'ablation'")
    return values.reshape(len(x), -1, 2, x.shape[2]).sum(axis=2)


def _as_tensor(model: Network, motion: np.ndarray) -> Tensor:
    motion = np.asarray(motion)
    if motion.ndim != 3 or motion.shape[1] != model.in_channels:
        raise InputError(
            f"motion has shape {motion.shape}; this model reads (n, {model.in_channels}, frames)"
        )
    weight = model.score_head.weight
    return torch.as_tensor(motion, dtype=weight.dtype, device=weight.device)


def _output_function(
    model: Network, x: Tensor, mask: np.ndarray | None, output: str, classes: np.ndarray | None
) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """A function of (motion, weights, ...) that gives one number per window, and its other arguments."""
    shape = (x.shape[0], x.shape[2])
    weights = torch.as_tensor(np.ones(shape) if mask is None else np.asarray(mask)).to(x)
    if tuple(weights.shape) != shape:
        raise InputError(f"mask has shape {tuple(weights.shape)}; with this motion it must be {shape}")
    if output == "score":
        return lambda m, w: (model(m)[0] * w).sum(dim=1), (weights,)
    if output != "emotion":
        raise InputError(f"output {output!r} is none of {', '.join(OUTPUTS)}")
    if classes is None or np.shape(classes) != (len(x),):
        raise InputError(f"output 'emotion' needs classes of shape ({len(x)},), one class index per window")
    chosen = torch.as_tensor(np.asarray(classes)).to(x.device)

    def logit(m: Tensor, w: Tensor, c: Tensor) -> Tensor:
        picked = model(m)[1].gather(2, c[:, None, None].expand(-1, m.shape[2], 1)).squeeze(2)
        return (picked * w).sum(dim=1)

    return logit, (weights, chosen)


def _integrated_gradients(
    model: Network, forward: tuple[Callable[..., Tensor], tuple[Tensor, ...]], x: Tensor, n_steps: int
) -> np.ndarray:
    from captum.attr import IntegratedGradients

    function, others = forward
    with evaluating(model), torch.enable_grad():
        values = IntegratedGradients(function).attribute(
            x, baselines=torch.zeros_like(x), additional_forward_args=others, n_steps=n_steps,
            internal_batch_size=max(64, len(x)),
        )  # fmt: skip
    return values.detach().cpu().numpy()


def _ablation(
    model: Network, forward: tuple[Callable[..., Tensor], tuple[Tensor, ...]], x: Tensor, bin_frames: int
) -> np.ndarray:
    from captum.attr import FeatureAblation

    function, others = forward
    n_rois, n_frames = x.shape[1] // 2, x.shape[2]
    bins = torch.arange(n_frames) // bin_frames
    regions = torch.arange(n_rois).repeat_interleave(2)
    groups = regions[:, None] * (int(bins.max()) + 1) + bins
    sizes = torch.bincount(bins)[bins] * 2  # x and y share what their bin of frames changed
    with evaluating(model):
        values = FeatureAblation(function).attribute(
            x, baselines=0, additional_forward_args=others, feature_mask=groups[None].to(x.device),
            perturbations_per_eval=max(1, 128 // len(x)),
        )  # fmt: skip
    return (values.detach().cpu() / sizes).numpy()


def roi_shares(attribution: np.ndarray) -> np.ndarray:
    """Share of each ROI in the absolute attribution of a window: `(n, R, k)` -> `(n, R)`, rows sum to 1."""
    size = np.abs(attribution).sum(axis=2)
    return size / np.maximum(size.sum(axis=1, keepdims=True), 1e-30)


def layers(model: Network) -> dict[str, nn.Module]:
    """Where `pair_interaction` looks inside a network: the stem, and the stages of both pathways, by name."""
    found: dict[str, nn.Module] = {"stem": model.stem}
    for name in ("spotting", "recognition"):
        pathway = getattr(model, name)
        stages = getattr(pathway, "fast", None) or _thirds(getattr(pathway, "blocks", None))
        found |= {f"{name} stage {i + 1}": stage for i, stage in enumerate(stages)}
    return found


def _thirds(blocks: Any) -> list[nn.Module]:
    """The last blocks of each third of a stack."""
    if not blocks:
        return []
    return [blocks[i] for i in sorted({max(0, round(len(blocks) * part / 3) - 1) for part in (1, 2, 3)})]


def pair_interaction(model: Network, motion: np.ndarray) -> dict[str, np.ndarray]:
    """What every two ROIs do together that they do not do one by one, at every layer: name -> `(R, R)`, 0..

    For activations f and motion x without the ROIs in brackets,

        I(i, j) = | f(x) - f(x \\ i) - f(x \\ j) + f(x \\ ij) | / | f(x) - f(0) |,

    with Euclidean norms over units and frames, averaged over the windows of `motion` `(n, 2R, k)`.  A
    linear layer has none.  Besides `layers(model)` the outputs `score` and `emotion` (logits) are measured.
    """
    x = _as_tensor(model, motion)
    n_rois = x.shape[1] // 2
    pairs = list(combinations(range(n_rois), 2))
    keep = torch.ones(2 + n_rois + len(pairs), n_rois, dtype=x.dtype, device=x.device)
    keep[1] = 0
    for i in range(n_rois):
        keep[2 + i, i] = 0
    for row, pair in enumerate(pairs):
        keep[2 + n_rois + row, list(pair)] = 0
    keep = keep.repeat_interleave(2, dim=1)[:, :, None]
    first, second = np.array(pairs).T
    total: dict[str, np.ndarray] = {}
    for window in x:
        for name, values in _activations(model, window * keep).items():
            whole, nothing, single, joint = values[0], values[1], values[2 : 2 + n_rois], values[2 + n_rois :]
            size = (whole - single[first] - single[second] + joint).norm(dim=1) / (
                whole - nothing
            ).norm().clamp_min(1e-12)
            total[name] = total.get(name, 0) + size.double().cpu().numpy() / len(x)
    return {name: _symmetric(values, pairs, n_rois) for name, values in total.items()}


def _activations(model: Network, batch: Tensor) -> dict[str, Tensor]:
    """Flattened activations (batch, units x frames) at every layer and output."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            found[name] = output.flatten(1)

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in layers(model).items()]
    try:
        with evaluating(model):
            score, logits = model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return {**found, "score": score, "emotion": logits.flatten(1)}


def _symmetric(values: np.ndarray, pairs: Sequence[tuple[int, int]], n: int) -> np.ndarray:
    matrix = np.zeros((n, n))
    for value, (i, j) in zip(values, pairs, strict=True):
        matrix[i, j] = matrix[j, i] = value
    return matrix


def stem_mixing(model: Network) -> np.ndarray:
    """How the stem's first convolution joins ROIs: `(R, R)` in -1..1, before anything non-linear.

    Cosine between the weights that two ROIs' channels have over all filters and taps, mean of x and y.
    Above 0 the filters add the two ROIs' motion, below 0 they compare it; fresh weights give about 0.
    """
    weight = next(model.stem.parameters()).detach().double().cpu().numpy()  # (filters, 2R, taps)
    per_channel = weight.transpose(1, 0, 2).reshape(weight.shape[1], -1)
    unit = per_channel / np.maximum(np.linalg.norm(per_channel, axis=1, keepdims=True), 1e-12)
    return (unit[0::2] @ unit[0::2].T + unit[1::2] @ unit[1::2].T) / 2


def randomised(model: Network, seed: int = 0) -> Network:
    """A copy of the network with fresh weights: what its maps would show had it learned nothing."""
    weight = model.score_head.weight
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(model)(**model.config)
    return fresh.to(weight.device, weight.dtype).eval()


def map_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two maps, all windows, ROIs and frames together, signs included.

    Signs matter: where there is no motion no method finds anything, so two maps' *sizes* agree whatever the
    weights.
    """
    return float(spearmanr(np.ravel(first), np.ravel(second)).statistic)


# --- does it look where the action unit is? -------------------------------------------------------
def parse_action_units(text: str) -> set[int]:
    """FACS numbers out of a label such as "AU12L=0.012 AU12R=0.010" or "4+7" or "L14"."""
    numbers = set()
    for word in text.replace("+", " ").replace(",", " ").split():
        digits = "".join(c for c in word.split("=")[0] if c.isdigit())
        if digits:
            numbers.add(int(digits))
    return numbers


def action_unit_rois(units: Iterable[int], names: Sequence[str]) -> np.ndarray:
    """Which of the ROIs the given action units move (`AU_REGIONS`): `(R,)` bool."""
    members = region_members(names)
    moved = {name for unit in units for region in AU_REGIONS.get(unit, ()) for name in members[region]}
    return np.array([name in moved for name in names])


def focus(
    shares: np.ndarray, targets: np.ndarray, n_permutations: int = 999, seed: int = 0
) -> dict[str, float]:
    """Do maps look where they should?  `shares` `(n, R)` sum to 1 per row, `targets` `(n, R)` bool.

    `share`: mean share on the targets; `by_chance`: the same when targets are exchanged among the rows,
    which keeps what the map favours anyway; `lift` = share / by_chance; `p` one-sided.  Rows without a
    target, or with nothing but targets, are left out.
    """
    shares, targets, _ = _with_targets(shares, targets)
    observed = float((shares * targets).sum(axis=1).mean())
    rng = np.random.default_rng(seed)
    null = np.array([(shares * rng.permutation(targets)).sum(axis=1).mean() for _ in range(n_permutations)])
    return {
        "share": observed, "by_chance": float(null.mean()), "lift": observed / max(float(null.mean()), 1e-12),
        "p": float(_p_values(np.array([observed]), null[:, None])[0]), "n": len(shares),
    }  # fmt: skip


def lift_difference(
    a: np.ndarray,
    b: np.ndarray,
    targets: np.ndarray,
    subjects: Sequence[str],
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, float]:
    """Do maps `a` look where they should more than maps `b` of the same rows?  Shapes as in `focus`.

    `difference` of the lifts (a - b), `low` and `high` of its paired bootstrap interval over `subjects` `(n,)`.
    By chance is here the mean over all exchanges: mean shares times how often each ROI is a target.
    """
    owners = np.asarray(subjects, str)
    if np.shape(a) != np.shape(b) or len(owners) != len(a):
        raise InputError(
            f"a {np.shape(a)}, b {np.shape(b)} and {len(owners)} subjects must be of the same rows"
        )
    names = list(dict.fromkeys(owners))
    weights = np.vstack([np.ones(len(names)), resamples(len(names), n, seed)])
    lifts = []
    for maps in (a, b):
        shares, targeted, use = _with_targets(maps, targets)
        mine = np.stack([owners[use] == name for name in names]).astype(float)
        rows = weights @ mine  # how often each row counts, (1 + n, rows)
        rows = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-12)
        by_chance = ((rows @ shares) * (rows @ targeted)).sum(axis=1)
        lifts.append(rows @ (shares * targeted).sum(axis=1) / np.maximum(by_chance, 1e-12))
    difference = lifts[0] - lifts[1]
    low, high = percentiles(difference[1:], level)
    return {"difference": float(difference[0]), "low": low, "high": high}


def _with_targets(shares: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows in which there is something to hit and something to miss, and which they are."""
    shares, targets = np.asarray(shares, float), np.asarray(targets, bool)
    if shares.shape != targets.shape or shares.ndim != 2:
        raise InputError(f"shares {shares.shape} and targets {targets.shape} must both be (windows, ROIs)")
    use = np.asarray(targets.any(axis=1) & ~targets.all(axis=1))
    if not use.any():
        raise InputError("no row has both ROIs that are targets and ROIs that are not")
    return shares[use], targets[use], use
