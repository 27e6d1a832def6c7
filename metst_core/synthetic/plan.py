"""The plan of a video: what the face, the head, the light and the camera do, frame by frame.

A plan depends on the seed, the subject's and the video's number and the difficulty alone, and is the same on
every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from metst_core.checks import number_between, whole_number
from metst_core.errors import InputError
from metst_core.synthetic.action_units import EXPRESSIONS, UNIT_INDEX, UNIT_NAMES, UNITS, Expression
from metst_core.synthetic.difficulty import Difficulty
from metst_core.tables import EMOTIONS

VERSION = "1.2"
"""Version of plans and faces: the same version, seed and knobs give the same annotations."""

HEAD_NAMES = ("shift_x", "shift_y", "roll", "scale", "yaw", "pitch")
"""Head motion: shifts in inter-ocular distances (right, down), angles in degrees, scale relative to 1."""


class Event(NamedTuple):
    """Something the face does.

    The intensity is 0 up to and including `onset`, rises to 1 at `apex`, stays for `hold` frames, and is 0
    again from `offset` on; `units` are the units' intensities at the apex (IOD).
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

    def curve(self, n_frames: int) -> np.ndarray:
        """The relative intensity over the video: (n_frames,), 0..1."""
        t = np.arange(n_frames, dtype=float)
        rise = np.clip((t - self.onset) / (self.apex - self.onset), 0, 1)
        fall = np.clip((self.offset - t) / (self.offset - self.apex - self.hold), 0, 1)
        return np.minimum(_ease(rise), _ease(fall))


def _ease(x: np.ndarray) -> np.ndarray:
    return x * x * (3 - 2 * x)


@dataclass(frozen=True)
class Plan:
    """All that happens in one video, frame by frame.

    `intensity (T, U)` is the sum of all events per unit, `me_intensity (T, U)` that of the
    micro-expressions, in inter-ocular distances, columns as `UNIT_NAMES`; `head (T, 6)` as `HEAD_NAMES`;
    `gain (T,)` is the brightness. All four are *as shown*: `shown (T,)` is the instant each frame shows,
    `t` itself unless the frame was dropped.
    """

    subject: int
    video: int
    fps: float
    events: tuple[Event, ...]
    intensity: np.ndarray
    me_intensity: np.ndarray
    head: np.ndarray
    gain: np.ndarray
    shown: np.ndarray

    @property
    def n_frames(self) -> int:
        return len(self.shown)

    @property
    def micro_expressions(self) -> list[Event]:
        """In order of time."""
        return sorted((e for e in self.events if e.kind == "micro"), key=lambda e: e.onset)


class Stream:
    """Random numbers that are the same on every machine: raw PCG64 bits and plain arithmetic only."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) * 2.0**-53)

    def integer(self, low: int, high: int) -> int:
        """From `low` to `high`, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def choice(self, items: Sequence[Any]) -> Any:
        return items[self.integer(0, len(items) - 1)]

    def count(self, mean: float) -> int:
        """A whole number with this mean: half to one and a half times it, rounded up or down at random."""
        return int(self.uniform(0.5, 1.5) * mean + self.uniform())


# One stream per concern, so that turning one knob leaves the others' draws as they were.
_MICRO, _MACRO, _BLINK, _SPEECH, _GAZE, _HEAD, _LIGHT, _DROP, NOISE = range(9)

_EMOTION_DRAW = ("negative", "negative", "positive", "surprise", "others")

_MACRO_DRAW = tuple(EMOTIONS)

_BLINK_UNITS = {"AU45L": 1.0, "AU45R": 1.0, "AU4L": 0.05, "AU4R": 0.05, "AU6L": 0.05, "AU6R": 0.05}

_SYLLABLES = (
    {25: 1.0, 26: 0.8},
    {17: 0.6, 24: 1.0},
    {20: 0.6, 25: 1.0},
    {12: 0.5, 25: 1.0},
    {23: 0.8, 25: 0.5},
)


def plan_video(
    seed: int, subject: int, video: int, seconds: float, fps: float = 30, difficulty: Difficulty | None = None
) -> Plan:
    """Plan video number `video` of subject number `subject` (from 0); a pure function."""
    difficulty = Difficulty() if difficulty is None else difficulty
    if not isinstance(difficulty, Difficulty):
        raise InputError(f"difficulty is {difficulty!r}; give what difficulty_of(tier, **knobs) makes")
    seed, subject = whole_number("seed", seed, 0), whole_number("subject", subject, 0)
    video = whole_number("video", video, 0)
    n_frames = _checked_length(seconds, fps, difficulty)

    def stream(concern: int) -> Stream:
        return Stream(seed, subject, video, concern)

    micro = _plan_micro(stream(_MICRO), n_frames, fps, difficulty)
    events = [
        *micro,
        *_plan_macro(stream(_MACRO), n_frames, fps, difficulty, micro),
        *_plan_blinks(stream(_BLINK), n_frames, fps, difficulty, micro),
        *_plan_speech(stream(_SPEECH), n_frames, fps, difficulty, micro),
        *_plan_gaze(stream(_GAZE), n_frames, fps, difficulty, micro),
    ]
    return compose_plan(events, n_frames, fps, difficulty, seed, subject, video)


def compose_plan(
    events: Sequence[Event],
    n_frames: int,
    fps: float,
    difficulty: Difficulty,
    seed: int = 0,
    subject: int = 0,
    video: int = 0,
) -> Plan:
    """The plan in which exactly `events` happen; `difficulty` gives head motion, light and lost frames."""

    def stream(concern: int) -> Stream:
        return Stream(seed, subject, video, concern)

    micro = [e for e in events if e.kind == "micro"]
    shown = _plan_drops(stream(_DROP), n_frames, difficulty.dropped, micro)
    return Plan(
        subject, video, float(fps), tuple(events),
        intensity=_intensity(events, n_frames)[shown],
        me_intensity=_intensity(micro, n_frames)[shown],
        head=_plan_head(stream(_HEAD), n_frames, fps, difficulty)[shown],
        gain=_plan_light(stream(_LIGHT), n_frames, fps, difficulty.flicker)[shown],
        shown=shown,
    )  # fmt: skip


def _checked_length(seconds: float, fps: float, difficulty: Difficulty) -> int:
    """The number of frames of a video, or an `InputError` for what no video can be made with."""
    number_between("fps", fps, 0.1, 1000)
    n_frames = round(number_between("seconds", seconds, 0, 24 * 3600) * fps)
    if n_frames < 2:
        raise InputError(f"seconds: {seconds!r} at {fps} fps are {n_frames} frames; a video needs at least 2")
    if difficulty.me_seconds[1] * fps < 2:
        raise InputError(
            f"me_seconds: {difficulty.me_seconds} are below 2 frames at {fps} fps; raise fps or me_seconds"
        )
    return n_frames


def _intensity(events: Sequence[Event], n_frames: int) -> np.ndarray:
    total = np.zeros((n_frames, len(UNIT_NAMES)))
    for event in events:
        curve = event.curve(n_frames)
        for name, peak in event.units.items():
            total[:, UNIT_INDEX[name]] += peak * curve
    return total.astype(np.float32)


def _free(onset: int, offset: int, events: Sequence[Event], gap: float) -> bool:
    return all(offset + gap < e.onset or e.offset + gap < onset for e in events)


def _place(draw: Stream, length: int, n_frames: int, events: Sequence[Event], gap: float) -> int | None:
    """An onset for an event of `length` frames, `gap` frames off `events`; None if 40 tries find none."""
    latest = n_frames - 1 - length
    for _ in range(40):
        onset = draw.integer(1, max(latest, 1))
        if onset <= latest and _free(onset, onset + length, events, gap):
            return onset
    return None


def _frames(draw: Stream, seconds: tuple[float, float], fps: float) -> int:
    """A duration in whole frames within `seconds`, at least 2."""
    shortest = max(2, math.ceil(seconds[0] * fps - 1e-9))
    return draw.integer(shortest, max(shortest, math.floor(seconds[1] * fps + 1e-9)))


def _expression(draw: Stream, expression: Expression, strength: float, asymmetry: float) -> dict[str, float]:
    """Unit intensities at the apex: the expression's weights, varied by a fifth, the largest `strength`."""
    weights = {au: weight * draw.uniform(0.8, 1.0) for au, weight in expression.weights.items()}
    weaker = draw.choice("LR")
    factor = 0.0 if expression.unilateral else 1 - draw.uniform(0, asymmetry)
    top = max(weights.values())
    return {
        unit.name: strength * weights[unit.au] / top * (factor if unit.side == weaker else 1.0)
        for unit in UNITS
        if unit.au in weights and not (expression.unilateral and unit.side == weaker)
    }


def _plan_micro(draw: Stream, n_frames: int, fps: float, knobs: Difficulty) -> list[Event]:
    if draw.uniform() < knobs.me_free:
        return []
    count = max(1, draw.count(knobs.me_per_minute * n_frames / fps / 60)) if knobs.me_per_minute else 0
    events: list[Event] = []
    for _ in range(count):
        length = _frames(draw, knobs.me_seconds, fps)
        apex_after = min(max(1, round(length * draw.uniform(0.25, 0.55))), length - 1)
        emotion = draw.choice(_EMOTION_DRAW)
        expression = draw.choice(EXPRESSIONS[emotion])
        strength = draw.uniform(*knobs.me_strength)
        units = _expression(draw, expression, strength, knobs.me_asymmetry)
        onset = _place(draw, length, n_frames, events, 0.4 * fps)
        if onset is not None:
            apex, offset = onset + apex_after, onset + length
            events.append(Event("micro", onset, apex, offset, 0, emotion, expression.label, strength, units))
    return sorted(events, key=lambda e: e.onset)


def _avoid(draw: Stream, overlap: float, micro: Sequence[Event]) -> Sequence[Event]:
    return () if draw.uniform() < overlap else micro


def _plan_macro(
    draw: Stream, n_frames: int, fps: float, knobs: Difficulty, micro: Sequence[Event]
) -> list[Event]:
    events: list[Event] = []
    for _ in range(draw.count(knobs.macro_per_minute * n_frames / fps / 60)):
        length = max(4, _frames(draw, knobs.macro_seconds, fps))
        rise = max(1, round(length * draw.uniform(0.15, 0.35)))
        hold = round(length * draw.uniform(0.1, 0.4))
        emotion = draw.choice(_MACRO_DRAW)
        expression = draw.choice(EXPRESSIONS[emotion])
        strength = draw.uniform(*knobs.macro_strength)
        units = _expression(draw, expression, strength, 0.3)
        onset = _place(draw, length, n_frames, [*_avoid(draw, knobs.overlap, micro), *events], 0.1 * fps)
        if onset is not None:
            apex, offset = onset + rise, onset + length
            events.append(
                Event("macro", onset, apex, offset, hold, emotion, expression.label, strength, units)
            )
    return events


def _plan_blinks(
    draw: Stream, n_frames: int, fps: float, knobs: Difficulty, micro: Sequence[Event]
) -> list[Event]:
    events: list[Event] = []
    for _ in range(draw.count(knobs.blink_per_minute * n_frames / fps / 60)):
        length = _frames(draw, (0.15, 0.4), fps)
        rise = max(1, round(length * draw.uniform(0.25, 0.4)))
        strength = draw.uniform(0.09, 0.105)
        onset = _place(draw, length, n_frames, [*_avoid(draw, knobs.overlap, micro), *events], 2)
        if onset is not None:
            units = {name: weight * strength for name, weight in _BLINK_UNITS.items()}
            events.append(Event("blink", onset, onset + rise, onset + length, 0, "", "", strength, units))
    return events


def _plan_speech(
    draw: Stream, n_frames: int, fps: float, knobs: Difficulty, micro: Sequence[Event]
) -> list[Event]:
    """Bouts of one to three seconds; each a run of overlapping syllables."""
    bouts: list[Event] = []
    syllables: list[Event] = []
    for _ in range(draw.count(knobs.speech_share * n_frames / fps / 2)):
        length = _frames(draw, (1.0, 3.0), fps)
        onset = _place(draw, length, n_frames, [*_avoid(draw, knobs.overlap, micro), *bouts], 0.2 * fps)
        if onset is None:
            continue
        bouts.append(Event("speech", onset, onset + 1, onset + length, 0, "", "", 0.0, {}))
        start = onset
        while True:
            span = max(3, _frames(draw, (0.16, 0.36), fps))
            if start + span > onset + length:
                break
            strength = knobs.speech_strength * draw.uniform(0.4, 1.0)
            expression = Expression("syllable", draw.choice(_SYLLABLES), False, "")
            units = _expression(draw, expression, strength, 0.2)
            apex = start + max(1, round(span * draw.uniform(0.35, 0.6)))
            syllables.append(
                Event("speech", start, apex, start + span, 0, "", expression.label, strength, units)
            )
            start += max(2, round(span * draw.uniform(0.5, 0.9)))
    return syllables


def _plan_gaze(
    draw: Stream, n_frames: int, fps: float, knobs: Difficulty, micro: Sequence[Event]
) -> list[Event]:
    events: list[Event] = []
    for _ in range(draw.count(knobs.gaze_per_minute * n_frames / fps / 60)):
        length = max(4, _frames(draw, (0.4, 2.0), fps))
        jump = max(1, round(0.06 * fps))
        x, y = draw.uniform(-1, 1), draw.uniform(-0.5, 0.5)
        onset = _place(draw, length, n_frames, [*_avoid(draw, knobs.overlap, micro), *events], 1)
        if onset is not None:
            hold = max(0, length - 2 * jump)
            units = {"gaze_x": x * knobs.gaze_strength, "gaze_y": y * knobs.gaze_strength}
            strength = math.hypot(*units.values())
            events.append(Event("gaze", onset, onset + jump, onset + length, hold, "", "", strength, units))
    return events


def _plan_drops(draw: Stream, n_frames: int, share: float, micro: Sequence[Event]) -> np.ndarray:
    """The instant each frame shows.  Frames that fix an annotation (onset + 1, apex, offset) stay."""
    kept = {frame for e in micro for frame in (e.onset + 1, e.apex, e.offset)}
    shown = np.arange(n_frames)
    for t in range(1, n_frames):
        if draw.uniform() < share and t not in kept:
            shown[t] = shown[t - 1]
    return shown


def _waves(
    draw: Stream, n_frames: int, fps: float, periods: tuple[float, float], count: int = 4
) -> np.ndarray:
    """A slow random motion with mean square 1: sines of random phase, the slower the larger, (n_frames,)."""
    seconds = np.arange(n_frames) / fps
    total, power = np.zeros(n_frames), 0.0
    for _ in range(count):
        period = periods[0] * (periods[1] / periods[0]) ** draw.uniform()
        amplitude = math.sqrt(period) * draw.uniform(0.5, 1.0)
        total += amplitude * np.sin(2 * math.pi * (seconds / period + draw.uniform()))
        power += amplitude**2 / 2
    return total / math.sqrt(power)


def _plan_head(draw: Stream, n_frames: int, fps: float, knobs: Difficulty) -> np.ndarray:
    sizes = (knobs.drift, knobs.drift, knobs.rotation, knobs.zoom, knobs.turn, knobs.turn)
    head = np.column_stack([size * _waves(draw, n_frames, fps, knobs.drift_seconds) for size in sizes])
    head[:, HEAD_NAMES.index("scale")] += 1
    return head


def _plan_light(draw: Stream, n_frames: int, fps: float, flicker: float) -> np.ndarray:
    slow = _waves(draw, n_frames, fps, (2.0, 10.0))
    beat = _waves(draw, n_frames, fps, (0.1, 1.0))  # mains flicker against the frame rate
    return 1 + flicker * (0.8 * slow + 0.6 * beat)
