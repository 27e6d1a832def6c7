"""The plan of a video: what the face, the head, the light and the camera do, frame by frame.

A plan depends on the seed, the subject's and the video's number and the difficulty alone, and is the same on
every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metst_core.checks import number_between, whole_number
from metst_core.errors import InputError
from metst_core.synthetic.action_units import EXPRESSIONS, UNITS, Expression
from metst_core.synthetic.difficulty import Difficulty
from metst_core.synthetic.draws import Stream, waves
from metst_core.synthetic.events import BLINK_UNITS, Event, frames_between, intensity_of, place
from metst_core.tables import EMOTIONS

VERSION = "1.2"
"""Version of plans and faces: the same version, seed and knobs give the same annotations."""

HEAD_NAMES = ("shift_x", "shift_y", "roll", "scale", "yaw", "pitch")
"""Head motion: shifts in inter-ocular distances (right, down), angles in degrees, scale relative to 1."""


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


# One stream per concern, so that turning one knob leaves the others' draws as they were.
_MICRO, _MACRO, _BLINK, _SPEECH, _GAZE, _HEAD, _LIGHT, _DROP, NOISE = range(9)

_EMOTION_DRAW = ("negative", "negative", "positive", "surprise", "others")

_MACRO_DRAW = tuple(EMOTIONS)

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
    shown = plan_drops(stream(_DROP), n_frames, difficulty.dropped, micro)
    return Plan(
        subject, video, float(fps), tuple(events),
        intensity=intensity_of(events, n_frames)[shown],
        me_intensity=intensity_of(micro, n_frames)[shown],
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
        length = frames_between(draw, knobs.me_seconds, fps)
        apex_after = min(max(1, round(length * draw.uniform(0.25, 0.55))), length - 1)
        emotion = draw.choice(_EMOTION_DRAW)
        expression = draw.choice(EXPRESSIONS[emotion])
        strength = draw.uniform(*knobs.me_strength)
        units = _expression(draw, expression, strength, knobs.me_asymmetry)
        onset = place(draw, length, n_frames, events, 0.4 * fps)
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
        length = max(4, frames_between(draw, knobs.macro_seconds, fps))
        rise = max(1, round(length * draw.uniform(0.15, 0.35)))
        hold = round(length * draw.uniform(0.1, 0.4))
        emotion = draw.choice(_MACRO_DRAW)
        expression = draw.choice(EXPRESSIONS[emotion])
        strength = draw.uniform(*knobs.macro_strength)
        units = _expression(draw, expression, strength, 0.3)
        onset = place(draw, length, n_frames, [*_avoid(draw, knobs.overlap, micro), *events], 0.1 * fps)
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
        length = frames_between(draw, (0.15, 0.4), fps)
        rise = max(1, round(length * draw.uniform(0.25, 0.4)))
        strength = draw.uniform(0.09, 0.105)
        onset = place(draw, length, n_frames, [*_avoid(draw, knobs.overlap, micro), *events], 2)
        if onset is not None:
            units = {name: weight * strength for name, weight in BLINK_UNITS.items()}
            events.append(Event("blink", onset, onset + rise, onset + length, 0, "", "", strength, units))
    return events


def _plan_speech(
    draw: Stream, n_frames: int, fps: float, knobs: Difficulty, micro: Sequence[Event]
) -> list[Event]:
    """Bouts of one to three seconds; each a run of overlapping syllables."""
    bouts: list[Event] = []
    syllables: list[Event] = []
    for _ in range(draw.count(knobs.speech_share * n_frames / fps / 2)):
        length = frames_between(draw, (1.0, 3.0), fps)
        onset = place(draw, length, n_frames, [*_avoid(draw, knobs.overlap, micro), *bouts], 0.2 * fps)
        if onset is None:
            continue
        bouts.append(Event("speech", onset, onset + 1, onset + length, 0, "", "", 0.0, {}))
        start = onset
        while True:
            span = max(3, frames_between(draw, (0.16, 0.36), fps))
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
        length = max(4, frames_between(draw, (0.4, 2.0), fps))
        jump = max(1, round(0.06 * fps))
        x, y = draw.uniform(-1, 1), draw.uniform(-0.5, 0.5)
        onset = place(draw, length, n_frames, [*_avoid(draw, knobs.overlap, micro), *events], 1)
        if onset is not None:
            hold = max(0, length - 2 * jump)
            units = {"gaze_x": x * knobs.gaze_strength, "gaze_y": y * knobs.gaze_strength}
            strength = math.hypot(*units.values())
            events.append(Event("gaze", onset, onset + jump, onset + length, hold, "", "", strength, units))
    return events


def plan_drops(draw: Stream, n_frames: int, share: float, micro: Sequence[Event]) -> np.ndarray:
    """The instant each frame shows.  Frames that fix an annotation (onset + 1, apex, offset) stay."""
    kept = {frame for e in micro for frame in (e.onset + 1, e.apex, e.offset)}
    shown = np.arange(n_frames)
    for t in range(1, n_frames):
        if draw.uniform() < share and t not in kept:
            shown[t] = shown[t - 1]
    return shown


def _plan_head(draw: Stream, n_frames: int, fps: float, knobs: Difficulty) -> np.ndarray:
    sizes = (knobs.drift, knobs.drift, knobs.rotation, knobs.zoom, knobs.turn, knobs.turn)
    head = np.column_stack([size * waves(draw, n_frames, fps, knobs.drift_seconds) for size in sizes])
    head[:, HEAD_NAMES.index("scale")] += 1
    return head


def _plan_light(draw: Stream, n_frames: int, fps: float, flicker: float) -> np.ndarray:
    slow = waves(draw, n_frames, fps, (2.0, 10.0))
    beat = waves(draw, n_frames, fps, (0.1, 1.0))  # mains flicker against the frame rate
    return 1 + flicker * (0.8 * slow + 0.6 * beat)
