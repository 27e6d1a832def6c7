"""What goes on beside expressions and speech: blinks, looks, swallowing, and the motion of the head."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from metst_core.synthetic.conditions import Conditions
from metst_core.synthetic.draws import Quantiles, Stream, waves
from metst_core.synthetic.events import Event, ease, place
from metst_core.synthetic.expressions import blink
from metst_core.synthetic.persons import Person
from metst_core.synthetic.plan import HEAD_NAMES

GAZE_IOD_PER_DEGREE = 12 / 90 * math.pi / 180
"""How far a pupil moves in the picture per degree: the eyeball's radius of 12 mm over an IOD of 90 mm."""

SWALLOW_UNITS = {"AU17": 0.7, "AU24": 1.0, "AU14L": 0.3, "AU14R": 0.3}
"""What a swallow shows in the face; assumed.  Its larger part, the throat, is below the chin."""

_LOOK_SECONDS = Quantiles((0, 0.5, 1), (0.2, 0.6, 2.5))
_SWAY_DEGREES = 25
"""Degrees of small rotation per IOD of small shift, so that calm faces are as still as real ones (`likeness`)."""

_MOVE_SECONDS = (0.4, 1.5)
_NOD_DEGREES = (1.0, 4.0)
"""Assumed."""

_SPOKEN_SECONDS = (0.4, 2.0)
_SPOKEN_SHARES = {"pitch": 1.0, "yaw": 0.8, "roll": 0.5}
"""Periods of the head's motion while speaking, about those of syllables and phrases, and its axes; assumed."""


def plan_blinks(
    draw: Stream,
    person: Person,
    conditions: Conditions,
    others: Sequence[Event],
    n_frames: int,
    fps: float,
) -> list[Event]:
    """Blinks apart from each other and from `others` (those that hide the end of an ME)."""
    events: list[Event] = []
    for _ in range(draw.happenings(conditions.blink_per_minute * person.blink_rate * n_frames / fps / 60)):
        length = max(4, round(person.blink_seconds * draw.uniform(0.7, 1.4) * fps))
        onset = place(draw, length, n_frames, [*events, *others], 1)
        if onset is not None:
            events.append(blink(draw, onset, length))
    return events


def plan_looks(
    draw: Stream, person: Person, conditions: Conditions, n_frames: int, fps: float
) -> list[Event]:
    """Looks away and back.  A saccade of d degrees takes 21 + 2.2 d ms (Carpenter, Movements of the Eyes, 1988)."""
    events: list[Event] = []
    for _ in range(draw.happenings(conditions.gaze_per_minute * person.gaze_rate * n_frames / fps / 60)):
        x, y = draw.uniform(-1, 1), draw.uniform(-0.6, 0.6)
        degrees = conditions.gaze_degrees * math.sqrt(x * x + y * y) / math.sqrt(1.36)
        jump = max(1, round((0.021 + 0.0022 * degrees) * fps))
        hold = round(_LOOK_SECONDS.at(draw.uniform()) * fps)
        onset = place(draw, 2 * jump + hold, n_frames, events, 1)
        if onset is not None:
            scale = conditions.gaze_degrees / math.sqrt(1.36) * GAZE_IOD_PER_DEGREE
            units = {"gaze_x": x * scale, "gaze_y": y * scale}
            strength = degrees * GAZE_IOD_PER_DEGREE
            ends = (onset, onset + jump, onset + 2 * jump + hold)
            events.append(Event("gaze", *ends, hold, "", "", strength, units))
    return events


def plan_swallows(
    draw: Stream, conditions: Conditions, bouts: Sequence[Event], n_frames: int, fps: float
) -> list[Event]:
    """Swallows, never while speaking."""
    events: list[Event] = []
    for _ in range(draw.happenings(conditions.swallow_per_minute * n_frames / fps / 60)):
        length = max(4, round(draw.uniform(0.6, 1.2) * fps))
        strength = draw.uniform(0.01, 0.03)
        onset = place(draw, length, n_frames, [*events, *bouts], 0)
        if onset is not None:
            units = {name: weight * strength for name, weight in SWALLOW_UNITS.items()}
            rise = max(1, round(length * 0.4))
            events.append(Event("swallow", onset, onset + rise, onset + length, 0, "", "", strength, units))
    return events


def plan_head(
    draw: Stream,
    person: Person,
    conditions: Conditions,
    beats: Sequence[Event],
    bouts: Sequence[Event],
    n_frames: int,
    fps: float,
) -> np.ndarray:
    """The head's pose: (n_frames, 6) as `HEAD_NAMES`; angles never leave what `head_degrees` allows.

    It goes from posture to posture, nods with the `beats`, moves with the speech of the `bouts`, and sways a
    little all the time.
    """
    reach = np.array(head_reach(conditions)) * person.head_range
    head = _postures(draw, reach, conditions.posture_per_minute * person.head_pace, n_frames, fps)
    for beat in beats:
        head[:, HEAD_NAMES.index("pitch")] += draw.uniform(*_NOD_DEGREES) * beat.curve(n_frames)
    for axis, name in enumerate(HEAD_NAMES):
        size = conditions.sway * {"shift_x": 1, "shift_y": 1, "scale": 0.3}.get(name, _SWAY_DEGREES)
        head[:, axis] += size * waves(draw, n_frames, fps, (1.5, 12.0))
    if bouts and conditions.speech_head:
        size = conditions.speech_head * _speaking(bouts, n_frames, fps)
        for name, share in _SPOKEN_SHARES.items():
            moved = waves(draw, n_frames, fps, _SPOKEN_SECONDS)
            head[:, HEAD_NAMES.index(name)] += share * size * moved
    most = np.array(head_reach(conditions))
    head = np.clip(head, -most, most)
    head[:, HEAD_NAMES.index("scale")] += 1
    return head


def _speaking(bouts: Sequence[Event], n_frames: int, fps: float) -> np.ndarray:
    """Whether somebody speaks: (n_frames,) 0 to 1, rising and falling within a third of a second."""
    t, soft = np.arange(n_frames, dtype=float), fps / 3
    parts = [ease(np.clip(np.minimum(t - b.onset, b.offset - t) / soft, 0, 1)) for b in bouts]
    return np.max(parts, axis=0)


def head_reach(conditions: Conditions) -> tuple[float, ...]:
    """The largest value of each of `HEAD_NAMES` (of scale: of its difference from 1), IOD and degrees."""
    most = {
        "shift_x": conditions.head_shift, "shift_y": conditions.head_shift * 0.6,
        "roll": conditions.head_degrees * 0.5, "scale": conditions.head_zoom,
        "yaw": conditions.head_degrees, "pitch": conditions.head_degrees * 0.7,
    }  # fmt: skip
    return tuple(most[name] for name in HEAD_NAMES)


def _postures(draw: Stream, reach: np.ndarray, per_minute: float, n_frames: int, fps: float) -> np.ndarray:
    """Positions held and changed, (n_frames, 6); the first, the resting one, is near 0."""

    def position(share: float) -> np.ndarray:
        return np.array([draw.uniform(-share, share) for _ in HEAD_NAMES]) * reach

    t = np.arange(n_frames, dtype=float)
    now = position(0.3)
    head = np.tile(now, (n_frames, 1))
    count = draw.happenings(per_minute * n_frames / fps / 60)
    for start in sorted(draw.uniform(0, n_frames) for _ in range(count)):
        target = position(1.0)
        moved = ease(np.clip((t - start) / (draw.uniform(*_MOVE_SECONDS) * fps), 0, 1))
        head += moved[:, None] * (target - now)
        now = target
    return head
