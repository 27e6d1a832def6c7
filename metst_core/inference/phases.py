"""One score out of several window phases.

A window measures motion against its own first frame, so what a frame's score is depends on where the windows begin.
With several phases every frame is seen by several windows with different first frames: the score is the mean over
the phases, and the spread over them says how much of it hangs on that accident.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from metst_core.decoding import smooth
from metst_core.inference.quality import moves_much
from metst_core.models import Network, predict_windows
from metst_core.motion import MotionWindow
from metst_core.windows import new_frames
from metst_core.workers import one_thread

PHASES = 2
"""Window phases that are averaged where nobody says how many; `benchmarks/results/stability.json` says what each pays."""


def phases_of(n: int, window: int) -> tuple[int, ...]:
    """The first frames of `n` phases of windows, spread evenly over half a window; at most one a frame."""
    half = window // 2
    n = min(n, half)
    return tuple(i * half // n for i in range(n))


def spoken_for(start: int, window: int, n_frames: int) -> slice:
    """Which frames of a window of any phase speak for the film: all of a phase's first, the second half of a later one.

    `n_frames` is how many real ones the window has; what pads it does not speak.
    """
    half = window // 2
    new = new_frames(start - start % half, window)
    return slice(new.start, min(new.stop, n_frames))


def answers_of(network: Network, windows: Sequence[MotionWindow]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Score `(n,)` and probabilities `(n, 5)` of the frames for which each window speaks."""
    with one_thread():
        score, probabilities = predict_windows(network, np.stack([window.motion for window in windows]))
    parts = [spoken_for(window.start, window.motion.shape[1], len(window.has_face)) for window in windows]
    return [(score[i, part], probabilities[i, part]) for i, part in enumerate(parts)]


class Averaged(NamedTuple):
    """A score from all phases, per frame: mean `(n,)`, probabilities `(n, 5)`, and each phase's own `(n, P)`.

    A phase that has not spoken for a frame is NaN there, and does not count.
    """

    score: np.ndarray
    probabilities: np.ndarray
    each: np.ndarray


def averaged(phases: Sequence[tuple[int, np.ndarray, np.ndarray]], n_frames: int, n_phases: int) -> Averaged:
    """The mean over phases: of each the frame that it begins at, score `(m,)` and probabilities `(m, 5)` from there on.

    At least one phase must have spoken for every frame; a phase beyond those given has spoken for none.
    """
    each = np.full((n_frames, n_phases), np.nan)
    total = np.zeros((n_frames, phases[0][2].shape[1]))
    for number, (first, score, probabilities) in enumerate(phases):
        here = slice(first, min(n_frames, first + len(score)))
        each[here, number] = score[: n_frames - first]
        total[here] += probabilities[: max(0, n_frames - first)]
    voices = np.isfinite(each).sum(axis=1)
    return Averaged(np.nansum(each, axis=1) / voices, total / voices[:, None], each)


def spread_of(each: np.ndarray, score: np.ndarray, k_p: int) -> np.ndarray:
    """Standard deviation over phases of their smoothed scores `(n,)`, from `Averaged.each`; NaN with a single phase."""
    if each.shape[1] < 2:
        return np.full(len(each), np.nan)
    smoothed = smoothed_phases(each, score, k_p)
    spread: np.ndarray = smoothed.std(axis=1, ddof=1)
    return spread


def smoothed_phases(each: np.ndarray, score: np.ndarray, k_p: int) -> np.ndarray:
    """The smoothed score of each phase, `(n, P)`; where one has not spoken the mean `score (n,)` of the others stands in."""
    filled = np.where(np.isfinite(each), each, score[:, None])
    return np.stack([smooth(column, k_p) for column in filled.T], axis=1)


class Said(NamedTuple):
    """What a phase says of a stretch of frames at the model's rate: score `(n,)`, probabilities `(n, 5)`."""

    score: np.ndarray
    probabilities: np.ndarray


class Stretch(NamedTuple):
    """What the first phase measured in a stretch of frames: two flags `(n,)` bool.

    Then motion `(n, 2R)`, head and shift `(n, 2)` as in `motion.MotionWindow`, and the first frame of the window that
    each was measured in.
    """

    has_face: np.ndarray
    is_busy: np.ndarray
    motion: np.ndarray
    head: np.ndarray
    shift: np.ndarray
    start: np.ndarray

    @classmethod
    def of(cls, window: MotionWindow, first: int) -> Self:
        """What a window of the first phase speaks for; the film's frame `first` is the window's frame 0 of its shot."""
        part = spoken_for(window.start, window.motion.shape[1], len(window.has_face))
        start = np.full(part.stop - part.start, first + window.start)
        busy = moves_much(window.motion)[part]
        motion, head, shift = (values[:, part].T for values in (window.motion, window.head, window.shift))
        return cls(window.has_face[part], busy, motion, head, shift, start)


class Shot:
    """What is known of the frames between two cuts: what every phase says, and what the first has measured.

    first: the shot's first frame; n_frames: how many it has, None while it is still read.
    """

    def __init__(self, first: int, phases: tuple[int, ...]) -> None:
        self.first = first
        self.n_frames: int | None = None
        self._said: dict[int, list[Said]] = {phase: [] for phase in phases}
        self._seen: list[Stretch] = []

    def add(self, window: MotionWindow, said: Said) -> None:
        """Take in a window and what was said of its frames."""
        phase = window.start % (window.motion.shape[1] // 2)
        if phase == 0:
            self._seen.append(Stretch.of(window, self.first))
        self._said[phase].append(said)

    def n_said(self, ended: bool) -> int:
        """Of how many frames all has been said; `ended`: nothing more will be."""
        until = [first + sum(len(part.score) for part in parts) for first, parts in self._said.items()]
        return until[0] if ended or self.n_frames == until[0] else min(until)

    def averaged(self, n_frames: int) -> Averaged:
        """The mean over the phases for the first `n_frames` frames."""
        phases = [
            (
                first,
                np.concatenate([p.score for p in parts]),
                np.concatenate([p.probabilities for p in parts]),
            )
            for first, parts in self._said.items()
            if parts
        ]
        return averaged(phases, n_frames, len(self._said))

    def seen(self, n_frames: int) -> Stretch:
        """What was measured in the first `n_frames` frames."""
        return Stretch(*(np.concatenate(values)[:n_frames] for values in zip(*self._seen, strict=True)))
