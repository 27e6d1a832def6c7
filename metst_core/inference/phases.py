"""One score out of several windows.

A window measures motion against its own first frame, so what a frame's score is depends on where the windows begin.
The papers let one window speak for each frame.  With several *phases* windows begin at more frames, every window speaks
for all its frames, and the score is the mean over these *voices*, two for each phase: of the second halves of its
windows and of the first halves.  The spread over the voices says how much of a score hangs on that accident.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np

from metst_core.decoding import smooth
from metst_core.inference.quality import moves_much
from metst_core.motion import MotionWindow
from metst_core.windows import new_frames

PHASES = 3
"""Window phases where nobody says how many; `data/model_card.md` says what each pays."""


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


class Averaged(NamedTuple):
    """A score from all voices, per frame: mean `(n,)`, probabilities `(n, 5)`, and each voice's own score `(n, V)`.

    A voice that does not speak for a frame is NaN there, and does not count.
    """

    score: np.ndarray
    probabilities: np.ndarray
    each: np.ndarray


def averaged(voices: Sequence[tuple[int, np.ndarray, np.ndarray]], n_frames: int, n_voices: int) -> Averaged:
    """The mean over voices: of each the frame that it begins at, score `(m,)` and probabilities `(m, 5)` from there on.

    At least one must speak for every frame; a voice beyond those given speaks for none.
    """
    each = np.full((n_frames, n_voices), np.nan)
    total = np.zeros((n_frames, voices[0][2].shape[1]))
    for number, (first, score, probabilities) in enumerate(voices):
        here = slice(first, min(n_frames, first + len(score)))
        each[here, number] = score[: max(0, n_frames - first)]
        total[here] += probabilities[: max(0, n_frames - first)]
    speaking = np.isfinite(each).sum(axis=1)
    total /= speaking[:, None]
    return Averaged(np.nansum(each, axis=1) / speaking, total, each)


def spread_of(each: np.ndarray, score: np.ndarray, k_p: int) -> np.ndarray:
    """Standard deviation over the voices of their smoothed scores `(n,)`, from `Averaged.each`; NaN with one voice."""
    if each.shape[1] < 2:
        return np.full(len(each), np.nan)
    smoothed = smoothed_voices(each, score, k_p)
    spread: np.ndarray = smoothed.std(axis=1, ddof=1)
    return spread


def smoothed_voices(each: np.ndarray, score: np.ndarray, k_p: int) -> np.ndarray:
    """The smoothed score of each voice, `(n, V)`; where one does not speak the mean `score (n,)` of the others stands in."""
    filled = np.where(np.isfinite(each), each, score[:, None])
    return np.stack([smooth(column, k_p) for column in filled.T], axis=1)


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
        """What a window of the first phase speaks for; the film's frame `first` is the window's frame 0 of its shot.

        A copy: the other half of the window is not held in memory with it.
        """
        part = spoken_for(window.start, window.motion.shape[1], len(window.has_face))
        start = np.full(part.stop - part.start, first + window.start)
        busy = moves_much(window.motion)[part]
        motion, head, shift = (
            values[:, part].T.copy() for values in (window.motion, window.head, window.shift)
        )
        return cls(window.has_face[part].copy(), busy, motion, head, shift, start)


class Growing:
    """Arrays `(n, ...)`, several of the same `n`, that grow at their ends.

    Small parts are joined before there are many: an hour of film has some ten thousand, and between the remains of so many
    small arrays the memory of those that are gone cannot be given back.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._n_small = 0
        self.n = 0

    def add(self, part: tuple[np.ndarray, ...]) -> None:
        """Put copies of arrays at the ends."""
        self._parts.append(part)
        self.n += len(part[0])
        self._n_small += 1
        if self._n_small == _SMALL_ONES:
            self._parts[-_SMALL_ONES:] = [tuple(joined(self._parts[-_SMALL_ONES:]))]
            self._n_small = 0

    def arrays(self) -> tuple[np.ndarray, ...]:
        """All of it, in one array each; nothing where nothing was added."""
        if len(self._parts) > 1:
            self._parts, self._n_small = [tuple(joined(self._parts))], 0
        return self._parts[0] if self._parts else ()


_SMALL_ONES = 256


class Shot:
    """What is known of the frames between two cuts: what every voice says, and what the first phase has measured.

    first: the shot's first frame; n_frames: how many it has, None while it is still read.
    """

    def __init__(self, first: int, phases: tuple[int, ...], window: int) -> None:
        self.first = first
        self.n_frames: int | None = None
        self._half = window // 2
        # By the frame that a voice begins at: that of a phase's second halves (and its first window), then the other.
        begins = [*phases, *(phase + self._half for phase in phases)] if len(phases) > 1 else phases
        self._said: dict[int, Growing] = {begin: Growing() for begin in begins}
        self._measured = Growing()

    def add(self, window: MotionWindow, score: np.ndarray, probabilities: np.ndarray) -> None:
        """Take in a copy of a window and of what was said of its frames, `(k,)` and `(k, 5)`, as far as it speaks."""
        half, n_real = self._half, len(window.has_face)
        phase = window.start % half
        part = spoken_for(window.start, 2 * half, n_real)
        if phase == 0:
            self._measured.add(Stretch.of(window, self.first))
        if part.start and phase + half in self._said:
            first = slice(0, min(half, n_real))
            self._said[phase + half].add((score[first].copy(), probabilities[first].copy()))
        self._said[phase].add((score[part].copy(), probabilities[part].copy()))

    def n_said(self, ended: bool) -> int:
        """Of how many frames all has been said; `ended`: nothing more will be."""
        until = [begin + said.n for begin, said in self._said.items()]
        return until[0] if ended or self.n_frames == until[0] else min(until)

    def averaged(self, n_frames: int) -> Averaged:
        """The mean over the voices for the first `n_frames` frames."""
        return averaged(self.voices(), n_frames, len(self._said))

    def voices(self) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """What each voice has said, as `averaged` takes it."""
        spoken = ((begin, said.arrays()) for begin, said in self._said.items() if said.n)
        return [(begin, score, probabilities) for begin, (score, probabilities) in spoken]

    def measured(self, n_frames: int) -> Stretch:
        """What was measured in the first `n_frames` frames."""
        return Stretch(*(values[:n_frames] for values in self._measured.arrays()))


def joined(parts: Iterable[tuple[np.ndarray, ...]]) -> list[np.ndarray]:
    """Stretches of frames one after the other, array by array; of a single one its own arrays."""
    return [np.concatenate(each) if len(each) > 1 else each[0] for each in zip(*parts, strict=True)]
