"""Where a film is cut: a window that looks across a cut measures the cut, so windows start anew after it.

Two frames are compared as small pictures of one mean and one contrast, so that neither light nor exposure counts.  A cut
is a step that is large, and many times as large as the steps just before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

LEAST_STEP = 0.006
"""1 minus the correlation of two frames, from which on there can be a cut.  In 9 uncut films of SynthME (calm, interview,
hard) no step is above .0045; of jumps within one interview two thirds are above .006, of those to another film all are."""

TIMES_USUAL = 8.0
"""A cut is so many times the usual step, the upper quartile of the `_BEFORE` steps before (half may be repeats: 0)."""

_SIZE = 32  # pixels of the small pictures
_BEFORE = 15  # frames: half a second at 30 per second
_FLOOR = 0.5e-3  # of the usual step: a film of repeated frames has none
_KNOWN = 5  # steps that it takes to know what is usual
_UNKNOWN = 0.01  # the usual step until then


class CutFinder:
    """Tells of each frame in turn whether the film was cut before it."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._steps: deque[float] = deque(maxlen=_BEFORE)

    def __call__(self, grey: np.ndarray) -> bool:
        """Whether there is a cut between the frame before and this one, grey (H, W)."""
        small = _normalised(grey)
        before, self._last = self._last, small
        if before is None:
            return False
        step = 1.0 - float((small * before).mean()) if small.any() or before.any() else 0.0
        known = len(self._steps) >= _KNOWN
        usual = max(_FLOOR, float(np.quantile(self._steps, 0.75))) if known else _UNKNOWN
        is_cut = step > LEAST_STEP and step > TIMES_USUAL * usual
        if not is_cut:
            self._steps.append(step)
        return is_cut


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
