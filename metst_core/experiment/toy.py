"""A toy world of one channel, in which it can be seen what decides: what a network is asked, or how it is decoded.

A micro-expression is a bump of 0.1 to 0.5 s in noise and slow drift.  Nothing else differs between the learners: the
same sequences, the same steps, the same loss.  Notebook 02 tells the story.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from metst_core.decoding import half_length, smooth, spaced_peaks, spot_intervals, spot_threshold
from metst_core.metrics import interval_iou
from metst_core.models import METST

FPS, LENGTH = 30, 100
SIGHT = 17
"""Frames that a learner without a state sees: a little more than the longest bump."""

LENGTHS = (0.1, 0.15, 0.2, 0.3, 0.5)
"""Seconds from onset to offset at which the learners are asked."""

HALVES = (2, 5, 8)
"""The half lengths of the windows of several lengths."""

SHORTEST = 3
_ME_SECONDS = (0.1, 0.5)


@dataclass(frozen=True)
class Bumps:
    """Sequences with one bump each: `signal (n, 1, T)`, `target (n, T)` 0 or 1, `spans (n, 2)` onset and offset."""

    signal: np.ndarray
    target: np.ndarray
    spans: np.ndarray


def draw_bumps(n: int, seconds: tuple[float, float], rng: np.random.Generator) -> Bumps:
    """`n` sequences whose bump lasts between the two `seconds`, from onset to offset; at least `SHORTEST` frames."""
    onset = rng.integers(25, 60, n)
    duration = np.maximum(SHORTEST, np.rint(FPS * rng.uniform(*seconds, n)).astype(int))
    phase = (np.arange(LENGTH) - onset[:, None]) / duration[:, None]
    inside = (phase > 0) & (phase < 1)
    bump = np.where(inside, np.sin(np.pi * phase) ** 2, 0)
    drift = np.cumsum(rng.normal(0, 0.05, (n, LENGTH)), axis=1)
    signal = bump + drift + rng.normal(0, 0.1, (n, LENGTH))
    spans = np.stack([onset, onset + duration], axis=1)
    return Bumps(signal[:, None].astype(np.float32), inside.astype(np.float32), spans)


def patches(signal: np.ndarray) -> np.ndarray:
    """`(n, 1, T)` -> `(n, T, SIGHT)`: the frames around each frame, counted from the first of them."""
    half = SIGHT // 2
    around = np.pad(signal[:, 0], ((0, 0), (half, half)), mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(around, SIGHT, axis=1)
    return views - views[..., :1]


def covered(spans: np.ndarray, half: int) -> np.ndarray:
    """`(n, T)`: 1 where the window of `2 half + 1` frames around the frame and the bump have an IoU of 0.5 or more."""
    middle, (onset, offset) = np.arange(LENGTH), spans.T[:, :, None]
    shared = (np.minimum(middle + half, offset) - np.maximum(middle - half, onset) + 1).clip(0)
    return (shared / (2 * half + 1 + offset - onset + 1 - shared) >= 0.5).astype(np.float32)


def train(model: nn.Module, inputs: np.ndarray, target: np.ndarray, seed: int, steps: int) -> nn.Module:
    """The same schedule for every learner: squared error, `steps` batches of 32 sequences."""
    x, y = torch.from_numpy(np.ascontiguousarray(inputs)), torch.from_numpy(target)
    optimiser, order = torch.optim.Adam(model.parameters(), 3e-3), torch.Generator().manual_seed(seed)
    for _ in range(steps):
        batch = torch.randint(len(x), (32,), generator=order)
        loss = nn.functional.mse_loss(_answer(model, x[batch]), y[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def _answer(model: nn.Module, x: Tensor) -> Tensor:
    given = model(x)
    return given[0] if isinstance(given, tuple) else given.squeeze(-1)


def patch_network() -> nn.Sequential:
    """What answers from `SIGHT` frames alone: two hidden layers of 64."""
    return nn.Sequential(
        nn.Linear(SIGHT, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.Sigmoid()
    )


@dataclass(frozen=True)
class Learner:
    """One way to ask and its ways to decode: `answer` gives `(n, T)` (or one such per window length)."""

    asked: str
    answer: Callable[[np.ndarray], np.ndarray]
    decodings: dict[str, Callable[[np.ndarray], np.ndarray]]


def learners(seed: int, steps: int = 400, n: int = 400) -> tuple[dict[str, Learner], int]:
    """The learners, trained on `n` sequences drawn from `seed`, by what they are asked; and the half length k_p.

    "windows": is the window of the mean length around this frame a bump?  "windows of three lengths": the same of
    three windows, and the length that answers most is reported.  "frames, no state" and "frames, with a state": is
    this frame inside a bump?
    """
    rng = np.random.default_rng(seed)
    seen = draw_bumps(n, _ME_SECONDS, rng)
    k_p = half_length(pd.DataFrame(seen.spans, columns=["onset", "offset"]))
    around = patches(seen.signal)
    two = {how: _decoding(k_p, how) for how in ("fixed", "extensible")}

    def of_patches(target: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        model = train(patch_network(), around, target, seed, steps)
        return lambda signal: _run(model, patches(signal))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        windows = of_patches(covered(seen.spans, k_p))
        several = [of_patches(covered(seen.spans, half)) for half in HALVES]
        frames = of_patches(seen.target)
        network = METST(in_channels=1, width=12, depth=1, d_state=4)
        state = train(network, seen.signal, seen.target, seed, steps)
    several_lengths = {"its window": lambda answers: _longest_answer(answers, k_p)}
    known = (
        Learner("windows", windows, two),
        Learner(
            "windows of three lengths",
            lambda signal: np.stack([of(signal) for of in several], axis=1),
            several_lengths,
        ),
        Learner("frames, no state", frames, two),
        Learner("frames, with a state", lambda signal: _run(state, signal), two),
    )
    return {learner.asked: learner for learner in known}, k_p


def _run(model: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return _answer(model, torch.from_numpy(np.ascontiguousarray(x))).numpy()


def _decoding(k_p: int, how: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda answer: spot_intervals(answer, k_p, strategy=how)


def _longest_answer(answers: np.ndarray, k_p: int) -> np.ndarray:
    """Intervals `(n, 3)` of windows of several lengths (their answers `(lengths, T)`): the peak, with the window that won."""
    smoothed = np.stack([smooth(answer, half) for answer, half in zip(answers, HALVES, strict=True)])
    best = smoothed.max(axis=0)
    peaks = spaced_peaks(best, spot_threshold(best), max(1, k_p))
    halves = np.array(HALVES)[smoothed[:, peaks].argmax(axis=0)]
    return np.stack([peaks - halves, peaks, peaks + halves], axis=1)


def best_overlap(intervals: np.ndarray, span: Sequence[int]) -> float:
    """IoU of the best of the intervals with the true one; 0 if there is none."""
    return max((interval_iou((first, last), tuple(span)) for first, _, last in intervals), default=0.0)


def what_decides(
    seeds: Iterable[int], steps: int = 400, lengths: Sequence[float] = LENGTHS, n: int = 200
) -> pd.DataFrame:
    """Every learner, decoded every way, on `n` bumps of each length that it has not seen, for every seed.

    A seed draws the sequences, the first weights and their order.  A row per seed, question, decoding and length:
    `seed, k_p, asked, decoded, seconds, mean_iou, found` (the share with an IoU of at least 0.5) and `false_alarms` per
    sequence.
    """
    rows = []
    for seed in seeds:
        rng = np.random.default_rng([seed, 1])
        known, k_p = learners(seed, steps)
        for seconds in lengths:
            new = draw_bumps(n, (seconds, seconds), rng)
            for learner in known.values():
                answers = learner.answer(new.signal)
                for how, decode in learner.decodings.items():
                    spotted = [decode(answer) for answer in answers]
                    iou = np.array(
                        [best_overlap(s, span) for s, span in zip(spotted, new.spans, strict=True)]
                    )
                    found = float((iou >= 0.5).mean())
                    alarms = float(np.mean([len(s) for s in spotted])) - found
                    rows.append((seed, k_p, learner.asked, how, seconds, float(iou.mean()), found, alarms))
    columns = ["seed", "k_p", "asked", "decoded", "seconds", "mean_iou", "found", "false_alarms"]
    return pd.DataFrame(rows, columns=columns)


def n_frames_of(seconds: float) -> int:
    """Frames of a bump from onset to offset, both included."""
    return max(SHORTEST, round(FPS * seconds)) + 1


def ceiling(n_window: int, n_me: int) -> float:
    """The IoU of an interval of `n_window` frames with one of `n_me`, placed as well as can be."""
    return min(n_window, n_me) / max(n_window, n_me)
