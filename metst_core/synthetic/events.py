"""What a face does: an event, its curve over time, and where in a video it finds room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metst_core.synthetic.action_units import UNIT_INDEX, UNIT_NAMES
from metst_core.synthetic.draws import Stream

BLINK_UNITS = {"AU45L": 1.0, "AU45R": 1.0, "AU4L": 0.05, "AU4R": 0.05, "AU6L": 0.05, "AU6R": 0.05}
"""What a blink moves: the lids, and a little of the brow and the cheek."""


class Event(NamedTuple):
    """Something the face does.

    The intensity is 0 up to and including `onset`, rises to 1 at `apex`, stays for `hold` frames, and is 0
    again from `offset` on; `units` are the units' intensities at the apex (IOD).  `lags` names the units that
    set in later, and by how many frames (fewer than from onset to apex); all units peak together.
    """

    kind: str
    onset: int
    apex: int
    offset: int
    hold: int
    emotion: str
    label: str
    strength: float
    units: dict[str, float]
    lags: tuple[tuple[str, int], ...] = ()

    def curve(self, n_frames: int, lag: int = 0) -> np.ndarray:
        """The relative intensity over the video of a unit that sets in `lag` frames late: (n_frames,), 0..1."""
        return self.at(np.arange(n_frames, dtype=float), lag)

    def at(self, t: np.ndarray, lag: int = 0) -> np.ndarray:
        """As `curve`, at the frames `t` (any shape)."""
        onset = self.onset + lag
        rise = np.clip((t - onset) / (self.apex - onset), 0, 1)
        fall = np.clip((self.offset - t) / (self.offset - self.apex - self.hold), 0, 1)
        return np.minimum(ease(rise), ease(fall))


def ease(x: np.ndarray) -> np.ndarray:
    """From 0 to 1 with a soft start and a soft end."""
    return x * x * (3 - 2 * x)


def intensity_of(events: Sequence[Event], n_frames: int) -> np.ndarray:
    """Sum of all events per unit: (n_frames, U) float32, inter-ocular distances, columns as `UNIT_NAMES`."""
    return _together(events, n_frames, np.add)


def largest_of(events: Sequence[Event], n_frames: int) -> np.ndarray:
    """As `intensity_of`, of each unit the largest of all events: a muscle that has contracted does not do so again."""
    return _together(events, n_frames, np.maximum)


def _together(events: Sequence[Event], n_frames: int, join: np.ufunc) -> np.ndarray:
    total = np.zeros((n_frames, len(UNIT_NAMES)))
    for event in events:
        lags = dict(event.lags)
        span = slice(max(0, event.onset), min(n_frames, event.offset + 1))  # 0 outside
        t = np.arange(span.start, span.stop, dtype=float)
        for name, peak in event.units.items():
            column = total[span, UNIT_INDEX[name]]
            join(column, peak * event.at(t, lags.get(name, 0)), out=column)
    return total.astype(np.float32)


def meet(a: Event, b: Event) -> bool:
    """Whether two events share a frame (the ends count)."""
    return a.onset <= b.offset and b.onset <= a.offset


def _free(onset: int, offset: int, events: Sequence[Event], gap: float) -> bool:
    return all(offset + gap < e.onset or e.offset + gap < onset for e in events)


def place(draw: Stream, length: int, n_frames: int, events: Sequence[Event], gap: float) -> int | None:
    """An onset for an event of `length` frames, `gap` frames off `events`; None if 40 tries find none."""
    latest = n_frames - 1 - length
    for _ in range(40):
        onset = draw.integer(1, max(latest, 1))
        if onset <= latest and _free(onset, onset + length, events, gap):
            return onset
    return None


def frames_between(draw: Stream, seconds: tuple[float, float], fps: float) -> int:
    """A duration in whole frames within `seconds`, at least 2."""
    shortest = max(2, math.ceil(seconds[0] * fps - 1e-9))
    return draw.integer(shortest, max(shortest, math.floor(seconds[1] * fps + 1e-9)))
