"""Where a film is cut: a window that looks across a cut measures the cut, so windows start anew after it.

Two frames are compared as small pictures of one mean and one contrast, so that neither light nor exposure counts, part by
part, so that a blink does not.  A cut is a step that is large, and many times as large as those before and after: of a
movement, however fast, the steps around are large as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

import cv2
import numpy as np

from metst_core.workers import and_trouble

_Frame = TypeVar("_Frame")

LEAST_STEP = 0.006
"""Half the mean squared difference of two frames, from which on there can be a cut."""

TIMES_USUAL = 8.0
"""A cut is so many times the usual step, the upper quartile of the `_BEFORE` steps before (half may be repeats: 0), so many
times the two steps just before, and the smaller of the two just after (a frame of another film between has a large one)."""

_SIZE = 32  # pixels of the small pictures
_PARTS = 4  # to either side of a small picture
_CHANGED = 6  # parts of the sixteen that a cut changes; a blink, or somebody behind, changes fewer
_BEFORE = 15  # frames: half a second at 30 per second
_AFTER = 2  # frames
_FLOOR = 0.5e-3  # of the usual step: a film of repeated frames has none
_KNOWN = 5  # steps that it takes to know what is usual
_UNKNOWN = 0.01  # the usual step until then


class Steps:
    """How much each frame in turn differs from the one before: the change of the part that changes sixth most."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def __call__(self, grey: np.ndarray) -> float:
        """The step from the frame before to this one, grey (H, W); 0 for the first."""
        small = _normalised(grey)
        before, self._last = self._last, small
        if before is None:
            return 0.0
        squared = (small - before) ** 2 / 2
        side = _SIZE // _PARTS
        parts = squared.reshape(_PARTS, side, _PARTS, side).mean(axis=(1, 3))
        return float(np.sort(parts, axis=None)[-_CHANGED])


def with_cuts(frames: Iterable[tuple[_Frame, float]]) -> Iterator[tuple[_Frame, bool]]:
    """Each frame and whether the film is cut before it, from frames with their `Steps`.

    Two frames are read ahead.  What comes before an error in reading still counts.
    """
    ahead: deque[tuple[_Frame, float]] = deque()
    before: deque[float] = deque(maxlen=_BEFORE)

    def first() -> tuple[_Frame, bool]:
        frame, step = ahead.popleft()
        is_cut = _is_cut(step, before, [later for _, later in ahead])
        if not is_cut:
            before.append(step)
        return frame, is_cut

    trouble: Exception | None = None
    for item in and_trouble(frames):
        if isinstance(item, Exception):
            trouble = item
            break
        ahead.append(item)
        if len(ahead) > _AFTER:
            yield first()
    while ahead:
        yield first()
    if trouble is not None:
        raise trouble


def _is_cut(step: float, before: deque[float], after: list[float]) -> bool:
    """Whether the film is cut at a step, from the usual ones before it, the last of them last, and the one or two after it."""
    usual = max(_FLOOR, float(np.quantile(before, 0.75))) if len(before) >= _KNOWN else _UNKNOWN
    around = max([usual, *list(before)[-2:], min(after, default=0.0)])
    return step > LEAST_STEP and step > TIMES_USUAL * around


def _normalised(grey: np.ndarray) -> np.ndarray:
    """A frame as `(_SIZE, _SIZE)` float32 of mean 0 and deviation 1; a flat one is 0."""
    small = cv2.resize(grey, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean()
    deviation = float(small.std())
    normalised: np.ndarray = small / deviation if deviation > 1.0 else np.zeros_like(small)
    return normalised


def shots_of(frames: Iterable[tuple[np.ndarray, bool]]) -> Iterator[tuple[int, Iterator[np.ndarray]]]:
    """The first frame's number and the frames of every shot, from frames that say whether a shot begins with them.

    A shot is to be read to its end before the next is asked for.
    """
    source = iter(frames)
    ahead = next(source, None)
    number = 0

    def shot() -> Iterator[np.ndarray]:
        nonlocal ahead, number
        is_first = True
        while ahead is not None and (is_first or not ahead[1]):
            is_first = False
            yield ahead[0]
            ahead = None  # what comes before an error in reading still counts, and is not held
            number += 1
            ahead = next(source, None)

    while ahead is not None:
        yield number, shot()
