"""SynthME: portraits that make micro-expressions (ME), with the exact truth of every frame.

A video is first *planned*: its events (micro- and macro-expressions, blinks, speech, gaze), each an
intensity curve over action units, its head motion and its light.  Then it is *rendered*: each frame is one
look-up in the neutral picture, along the weighted sum of the action units' displacement fields and the head
motion, followed by light, blur, sensor noise and JPEG coding.  A plan depends on the seed, the subject's
and the video's number alone.

Layout written by `generate`::

    annotations.csv, videos.csv       as every data set (0-based frames, inclusive) <subject>/<video>.avi
    motion JPEG truth/<subject>_<video>.npz       per frame: intensity of every action unit, head motion,
    light (see `read_truth`) truth/micro_expressions.csv       per micro-expression: strength, FACS label,
    action units at the apex truth/distractors.csv             the same for everything that is not to be
    spotted generation.json                   how it was made
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from metst_core.checks import as_path, number_between, one_of, whole_number
from metst_core.datasets import Dataset, load_dataset
from metst_core.errors import InputError, MissingError
from metst_core.files import atomic_path, content_hash, write_json
from metst_core.synthetic.action_units import (
    RECIPES,
    UNIT_INDEX,
    UNIT_NAMES,
    UNITS,
    Recipe,
    grid_points,
    unit_field,
)
from metst_core.synthetic.mjpeg import write_mjpeg
from metst_core.synthetic.portraits import (
    FRAME_SIZE,
    OVERSAMPLING,
    Identity,
    contact_sheet,
    depth_map,
    head_weight,
    identity,
    look_up,
    to_canvas,
)
from metst_core.tables import ANNOTATION_COLUMNS, EMOTIONS, VIDEO_COLUMNS, check_annotations, write_table

__all__ = [
    "HEAD_NAMES", "TIERS", "VERSION", "Difficulty", "Event", "Plan", "Renderer", "au_field", "compose_plan",
    "contact_sheet", "difficulty_of", "generate", "identity", "plan_tables", "plan_video", "read_truth",
]  # fmt: skip

VERSION = "1.2"
"""Version of plans and faces: the same version, seed and knobs give the same annotations."""

HEAD_NAMES = ("shift_x", "shift_y", "roll", "scale", "yaw", "pitch")
"""Head motion: shifts in inter-ocular distances (right, down), angles in degrees, scale relative to 1."""

_FIELD_STEP = 2  # frame pixels per cell of a displacement field
_CELL_0 = (_FIELD_STEP - 1) / 2  # middle of cell 0, frame pixels


@dataclass(frozen=True)
class Difficulty:
    """What makes a set hard.  IOD = inter-ocular distance (outer eye corners; about 100 pixels of the frame).

    Micro-expressions

    * `me_per_minute`: mean number per minute in the videos that have any
    * `me_free`: share of videos without a micro-expression, 0..1
    * `me_seconds`: shortest and longest duration, onset to offset, seconds
    * `me_strength`: weakest and strongest apex, IOD
    * `me_asymmetry`: largest share by which one side of the face moves less than the other, 0..1

    Distractors, not to be spotted

    * `macro_per_minute`, `macro_seconds`, `macro_strength` (IOD): macro-expressions
    * `blink_per_minute`: blinks (with a little of the brow and the cheek)
    * `speech_share` (share of the time, 0..1), `speech_strength` (IOD): speech-like movement of the mouth
    * `gaze_per_minute`, `gaze_strength` (IOD): looks to the side, up or down
    * `overlap`: share of the distractors placed without regard to micro-expressions, 0..1

    Head and camera

    * `drift`: root mean square shift of the head along each axis, IOD
    * `rotation`: root mean square roll in the image plane, degrees
    * `turn`: root mean square yaw and pitch, degrees (near parts of the face move more than far ones)
    * `zoom`: root mean square change of scale, relative
    * `drift_seconds`: period of the fastest and the slowest head motion, seconds
    * `flicker`: root mean square change of brightness, relative
    * `noise`: standard deviation of the sensor noise, grey levels
    * `motion_blur`: exposure time as a share of the frame interval, 0..1
    * `jpeg_quality`: quality of the JPEG frames, 1..100
    * `dropped`: share of frames lost and shown as a repeat of the one before, 0..1
    """

    me_per_minute: float = 14.0
    me_free: float = 0.1
    me_seconds: tuple[float, float] = (0.1, 0.5)
    me_strength: tuple[float, float] = (0.008, 0.018)
    me_asymmetry: float = 0.3
    macro_per_minute: float = 3.0
    macro_seconds: tuple[float, float] = (0.7, 3.0)
    macro_strength: tuple[float, float] = (0.015, 0.05)
    blink_per_minute: float = 10.0
    speech_share: float = 0.06
    speech_strength: float = 0.015
    gaze_per_minute: float = 6.0
    gaze_strength: float = 0.03
    overlap: float = 0.15
    drift: float = 0.012
    rotation: float = 0.3
    turn: float = 0.2
    zoom: float = 0.002
    drift_seconds: tuple[float, float] = (4.0, 12.0)
    flicker: float = 0.006
    noise: float = 2.0
    motion_blur: float = 0.3
    jpeg_quality: int = 90
    dropped: float = 0.002


TIERS: dict[str, dict[str, Any]] = {
    "easy": {
        "me_free": 0.0, "me_strength": (0.010, 0.020), "me_asymmetry": 0.2,
        "macro_per_minute": 1.0, "blink_per_minute": 6.0, "speech_share": 0.0,
        "gaze_per_minute": 3.0, "overlap": 0.0,
        "drift": 0.01, "rotation": 0.2, "turn": 0.0, "zoom": 0.0, "drift_seconds": (4.0, 12.0),
        "flicker": 0.003, "noise": 1.5, "motion_blur": 0.0, "jpeg_quality": 95, "dropped": 0.0,
    },
    "default": {},
    "hard": {
        "me_per_minute": 6.0, "me_free": 0.25, "me_strength": (0.004, 0.012), "me_asymmetry": 0.7,
        "macro_per_minute": 8.0, "blink_per_minute": 18.0, "speech_share": 0.25, "speech_strength": 0.02,
        "gaze_per_minute": 14.0, "overlap": 0.5,
        "drift": 0.025, "rotation": 0.8, "turn": 1.0, "zoom": 0.005, "drift_seconds": (1.5, 12.0),
        "flicker": 0.02, "noise": 5.0, "motion_blur": 0.7, "jpeg_quality": 65, "dropped": 0.01,
    },
}  # fmt: skip
"""Tier -> the knobs in which it differs from `Difficulty()`."""

_SHARES = ("me_free", "me_asymmetry", "speech_share", "overlap", "motion_blur", "dropped")
_MOST = {"me_strength": 0.1, "macro_strength": 0.15, "speech_strength": 0.1, "gaze_strength": 0.08,
         "drift": 0.15, "rotation": 5.0, "turn": 6.0, "zoom": 0.1, "flicker": 0.3, "noise": 40.0,
         "jpeg_quality": 100}  # fmt: skip


def difficulty_of(tier: str = "default", **knobs: Any) -> Difficulty:
    """The `Difficulty` of a tier with some knobs changed; an `InputError` that lists what there is, else."""
    one_of("tier", tier, TIERS)
    names = [f.name for f in dataclasses.fields(Difficulty)]
    unknown = [name for name in knobs if name not in names]
    if unknown:
        raise InputError(f"unknown difficulty {', '.join(unknown)}; the knobs are tier, {', '.join(names)}")
    values = {**TIERS[tier], **knobs}
    return Difficulty(**{name: _checked_knob(name, value) for name, value in values.items()})


def _checked_knob(name: str, value: Any) -> Any:
    is_range = isinstance(getattr(Difficulty, name), tuple)
    parts = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(parts) != (2 if is_range else 1) or not all(isinstance(v, (int, float)) for v in parts):
        kind = "two numbers (lowest, highest)" if is_range else "one number"
        raise InputError(f"{name}: expected {kind}, got {value!r}")
    lowest = 1 if name == "jpeg_quality" else 0
    most = 1.0 if name in _SHARES else _MOST.get(name, math.inf)
    if not all(math.isfinite(v) and lowest <= v <= most for v in parts) or list(parts) != sorted(parts):
        raise InputError(f"{name}: {value!r} is not between {lowest} and {most}, in rising order")
    if name.endswith("_seconds") and parts[0] <= 0:
        raise InputError(f"{name}: {value!r}: a duration must be above 0 seconds")
    if name == "jpeg_quality":
        return int(value)
    return tuple(float(v) for v in parts) if is_range else float(value)


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


class _Stream:
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
_MICRO, _MACRO, _BLINK, _SPEECH, _GAZE, _HEAD, _LIGHT, _DROP, _NOISE = range(9)

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

    def stream(concern: int) -> _Stream:
        return _Stream(seed, subject, video, concern)

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

    def stream(concern: int) -> _Stream:
        return _Stream(seed, subject, video, concern)

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


def _place(draw: _Stream, length: int, n_frames: int, events: Sequence[Event], gap: float) -> int | None:
    """An onset for an event of `length` frames, `gap` frames off `events`; None if 40 tries find none."""
    latest = n_frames - 1 - length
    for _ in range(40):
        onset = draw.integer(1, max(latest, 1))
        if onset <= latest and _free(onset, onset + length, events, gap):
            return onset
    return None


def _frames(draw: _Stream, seconds: tuple[float, float], fps: float) -> int:
    """A duration in whole frames within `seconds`, at least 2."""
    shortest = max(2, math.ceil(seconds[0] * fps - 1e-9))
    return draw.integer(shortest, max(shortest, math.floor(seconds[1] * fps + 1e-9)))


def _expression(draw: _Stream, recipe: Recipe, strength: float, asymmetry: float) -> dict[str, float]:
    """Unit intensities at the apex: the recipe's weights, varied by a fifth, the largest `strength`."""
    weights = {au: weight * draw.uniform(0.8, 1.0) for au, weight in recipe.weights.items()}
    weaker = draw.choice("LR")
    factor = 0.0 if recipe.unilateral else 1 - draw.uniform(0, asymmetry)
    top = max(weights.values())
    return {
        unit.name: strength * weights[unit.au] / top * (factor if unit.side == weaker else 1.0)
        for unit in UNITS
        if unit.au in weights and not (recipe.unilateral and unit.side == weaker)
    }


def _plan_micro(draw: _Stream, n_frames: int, fps: float, knobs: Difficulty) -> list[Event]:
    if draw.uniform() < knobs.me_free:
        return []
    count = max(1, draw.count(knobs.me_per_minute * n_frames / fps / 60)) if knobs.me_per_minute else 0
    events: list[Event] = []
    for _ in range(count):
        length = _frames(draw, knobs.me_seconds, fps)
        apex_after = min(max(1, round(length * draw.uniform(0.25, 0.55))), length - 1)
        emotion = draw.choice(_EMOTION_DRAW)
        recipe = draw.choice(RECIPES[emotion])
        strength = draw.uniform(*knobs.me_strength)
        units = _expression(draw, recipe, strength, knobs.me_asymmetry)
        onset = _place(draw, length, n_frames, events, 0.4 * fps)
        if onset is not None:
            events.append(
                Event(
                    "micro",
                    onset,
                    onset + apex_after,
                    onset + length,
                    0,
                    emotion,
                    recipe.label,
                    strength,
                    units,
                )
            )
    return sorted(events, key=lambda e: e.onset)


def _avoid(draw: _Stream, overlap: float, micro: Sequence[Event]) -> Sequence[Event]:
    return () if draw.uniform() < overlap else micro


def _plan_macro(
    draw: _Stream, n_frames: int, fps: float, knobs: Difficulty, micro: Sequence[Event]
) -> list[Event]:
    events: list[Event] = []
    for _ in range(draw.count(knobs.macro_per_minute * n_frames / fps / 60)):
        length = max(4, _frames(draw, knobs.macro_seconds, fps))
        rise = max(1, round(length * draw.uniform(0.15, 0.35)))
        hold = round(length * draw.uniform(0.1, 0.4))
        emotion = draw.choice(_MACRO_DRAW)
        recipe = draw.choice(RECIPES[emotion])
        strength = draw.uniform(*knobs.macro_strength)
        units = _expression(draw, recipe, strength, 0.3)
        onset = _place(draw, length, n_frames, [*_avoid(draw, knobs.overlap, micro), *events], 0.1 * fps)
        if onset is not None:
            events.append(
                Event(
                    "macro", onset, onset + rise, onset + length, hold, emotion, recipe.label, strength, units
                )
            )
    return events


def _plan_blinks(
    draw: _Stream, n_frames: int, fps: float, knobs: Difficulty, micro: Sequence[Event]
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
    draw: _Stream, n_frames: int, fps: float, knobs: Difficulty, micro: Sequence[Event]
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
            recipe = Recipe("syllable", draw.choice(_SYLLABLES), False, "")
            units = _expression(draw, recipe, strength, 0.2)
            apex = start + max(1, round(span * draw.uniform(0.35, 0.6)))
            syllables.append(Event("speech", start, apex, start + span, 0, "", recipe.label, strength, units))
            start += max(2, round(span * draw.uniform(0.5, 0.9)))
    return syllables


def _plan_gaze(
    draw: _Stream, n_frames: int, fps: float, knobs: Difficulty, micro: Sequence[Event]
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


def _plan_drops(draw: _Stream, n_frames: int, share: float, micro: Sequence[Event]) -> np.ndarray:
    """The instant each frame shows.  Frames that fix an annotation (onset + 1, apex, offset) stay."""
    kept = {frame for e in micro for frame in (e.onset + 1, e.apex, e.offset)}
    shown = np.arange(n_frames)
    for t in range(1, n_frames):
        if draw.uniform() < share and t not in kept:
            shown[t] = shown[t - 1]
    return shown


def _waves(
    draw: _Stream, n_frames: int, fps: float, periods: tuple[float, float], count: int = 4
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


def _plan_head(draw: _Stream, n_frames: int, fps: float, knobs: Difficulty) -> np.ndarray:
    sizes = (knobs.drift, knobs.drift, knobs.rotation, knobs.zoom, knobs.turn, knobs.turn)
    head = np.column_stack([size * _waves(draw, n_frames, fps, knobs.drift_seconds) for size in sizes])
    head[:, HEAD_NAMES.index("scale")] += 1
    return head


def _plan_light(draw: _Stream, n_frames: int, fps: float, flicker: float) -> np.ndarray:
    slow = _waves(draw, n_frames, fps, (2.0, 10.0))
    beat = _waves(draw, n_frames, fps, (0.1, 1.0))  # mains flicker against the frame rate
    return 1 + flicker * (0.8 * slow + 0.6 * beat)


class Renderer:
    """Frames of one identity.  Building it takes about a second, a frame a few milliseconds."""

    def __init__(self, person: Identity) -> None:
        self.identity = person
        x, y = grid_points(FRAME_SIZE, FRAME_SIZE, _FIELD_STEP)
        weight = head_weight(x, y, person.mesh)
        near = depth_map(person.mesh, person.depth, x, y) * weight / person.iod
        turn = np.zeros((2, *x.shape, 2), np.float32)
        turn[0, ..., 0] = turn[1, ..., 1] = -np.deg2rad(1) * near  # per degree of yaw and pitch
        fields = [unit_field(unit, person.mesh, x, y) for unit in UNITS]
        self._fields = np.stack([*fields, *turn]).reshape(len(UNITS) + 2, -1)
        self._shape = (*x.shape, 2)
        self._moving = np.dstack([weight * x, weight * y, weight]).reshape(-1, 3) * OVERSAMPLING
        self._still = to_canvas(np.dstack(grid_points(FRAME_SIZE, FRAME_SIZE, 1)))
        self._centre = person.mesh[[33, 263, 152], :2].mean(axis=0)

    def positions(self, intensity: np.ndarray, head: np.ndarray) -> np.ndarray:
        """Where on the canvas each pixel of the frame comes from: (FRAME_SIZE, FRAME_SIZE, 2) float32.

        Composed on the coarse grid of the fields; all of it is smooth there, so enlarging it costs no
        accuracy.
        """
        back = cv2.invertAffineTransform(self._head_transform(head))
        weights = np.concatenate([intensity, head[4:6]]).astype(np.float32)
        active = np.flatnonzero(weights)
        iod = self.identity.iod * OVERSAMPLING
        field = ((iod * weights[active]) @ self._fields[active]).reshape(self._shape)
        to_field = back.copy()  # from frame pixels to the fields' cells
        to_field[:, 2] = (back @ (_CELL_0, _CELL_0, 1) - _CELL_0) / _FIELD_STEP
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(field, to_field, self._shape[1::-1], flags=flags)
        rigid = self._moving @ (back - np.eye(2, 3)).T.astype(np.float32)
        offset = cv2.resize(rigid.reshape(self._shape) - moved, (FRAME_SIZE, FRAME_SIZE))
        return cv2.add(self._still, offset)

    def frame(self, intensity: np.ndarray, head: np.ndarray) -> np.ndarray:
        """A frame without light, blur, noise or compression: BGR uint8 (FRAME_SIZE, FRAME_SIZE, 3).

        `intensity (U,)` as `UNIT_NAMES`, in inter-ocular distances; `head (6,)` as `HEAD_NAMES`.
        """
        at = self.positions(np.asarray(intensity), np.asarray(head))
        return look_up(self.identity.canvas, at)

    def frames(self, plan: Plan, difficulty: Difficulty, seed: int = 0) -> Iterator[np.ndarray]:
        """The frames of a plan before compression: BGR uint8; `seed` fixes the noise."""
        noise = _Noise(difficulty.noise, (seed, plan.subject, plan.video, _NOISE))
        last = np.empty((0, 0, 3), np.uint8)
        shift = plan.head[:, :2] * self.identity.iod
        for t in range(plan.n_frames):
            if t == 0 or plan.shown[t] != plan.shown[t - 1]:
                picture = self.frame(plan.intensity[t], plan.head[t])
                if t and difficulty.motion_blur:
                    picture = _smear(picture, (shift[t] - shift[t - 1]) * difficulty.motion_blur)
                if plan.gain[t] != 1:
                    picture = cv2.convertScaleAbs(picture, alpha=float(plan.gain[t]))
                last = noise.add(picture)
            yield last

    def _head_transform(self, head: np.ndarray) -> np.ndarray:
        shift_x, shift_y, roll, scale = (float(v) for v in head[:4])
        transform = cv2.getRotationMatrix2D([float(c) for c in self._centre], -roll, scale)
        shift = np.array([shift_x, shift_y]) * self.identity.iod
        return transform + np.column_stack([np.zeros((2, 2)), shift])


class _Noise:
    """Sensor noise: every frame takes another stretch of one long row of random numbers."""

    def __init__(self, sigma: float, key: tuple[int, ...]) -> None:
        self._length = FRAME_SIZE * FRAME_SIZE * 3
        self._rng = np.random.default_rng(key)
        self._row: np.ndarray | None = None
        if sigma:
            draws = self._rng.standard_normal(3 * self._length, dtype=np.float32)
            self._row = np.round(sigma * draws).astype(np.int16)

    def add(self, picture: np.ndarray) -> np.ndarray:
        if self._row is None:
            return picture
        start = self._rng.integers(0, 2 * self._length)
        stretch = self._row[start : start + self._length].reshape(picture.shape)
        return cv2.add(picture, stretch, dtype=cv2.CV_8U)


def _smear(picture: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Motion blur: the mean of the picture along a straight `path (2,)` (pixels); under 0.1 unchanged."""
    length = float(np.hypot(*path))
    if length < 0.1:
        return picture
    reach = math.ceil(max(abs(path)) / 2)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for along in np.linspace(-0.5, 0.5, 2 * math.ceil(2 * length) + 1):
        x, y = along * path + reach
        left, top = min(int(x), 2 * reach - 1), min(int(y), 2 * reach - 1)
        share = np.outer((top + 1 - y, y - top), (left + 1 - x, x - left)).astype(np.float32)
        kernel[top : top + 2, left : left + 2] += share
    return cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def au_field(person: Identity, au: str | int) -> np.ndarray:
    """Displacement of one unit (`"AU12L"`, `"gaze_x"`) or of a whole AU (12: both sides) on the neutral face.

    Returns (FRAME_SIZE, FRAME_SIZE, 2) float32, x right and y down, longest vector of each unit 1: times the
    intensity (inter-ocular distances) and `person.iod`, it is in pixels.
    """
    chosen = [unit for unit in UNITS if unit.name == au or (unit.au is not None and unit.au == au)]
    if not chosen:
        raise InputError(
            f"action unit {au!r} is not known; use a FACS number or one of {', '.join(UNIT_NAMES)}"
        )
    x, y = grid_points(FRAME_SIZE, FRAME_SIZE, 1)
    return np.sum([unit_field(unit, person.mesh, x, y) for unit in chosen], axis=0)


def subject_id(index: int) -> str:
    return f"s{index + 1:03d}"


def video_id(index: int) -> str:
    return f"v{index + 1:02d}"


def plan_tables(
    seed: int, subjects: Sequence[int], n_videos: int, seconds: float, fps: float, difficulty: Difficulty
) -> dict[str, pd.DataFrame]:
    """All tables of a set, from its plans alone: path in the set -> table.  Nothing is rendered."""
    events, videos = [], []
    for s in subjects:
        for v in range(n_videos):
            plan = plan_video(seed, s, v, seconds, fps, difficulty)
            ids = (subject_id(s), video_id(v))
            videos.append((*ids, float(fps), plan.n_frames, f"{ids[0]}/{ids[1]}.avi"))
            events += [(*ids, e) for e in sorted(plan.events, key=lambda e: (e.onset, e.offset, e.kind))]
    columns = [*ANNOTATION_COLUMNS, "kind", "label", "strength", "action_units"]
    rows = [
        (
            s,
            v,
            e.onset,
            e.apex,
            e.offset,
            e.emotion,
            e.kind,
            e.label,
            f"{e.strength:.6f}",
            _units_text(e.units),
        )
        for s, v, e in events
    ]
    table = pd.DataFrame(rows, columns=columns)
    micro = table[table["kind"] == "micro"].drop(columns="kind").reset_index(drop=True)
    return {
        "annotations.csv": check_annotations(micro),
        "videos.csv": pd.DataFrame(videos, columns=list(VIDEO_COLUMNS)),
        "truth/micro_expressions.csv": micro,
        "truth/distractors.csv": table[table["kind"] != "micro"].reset_index(drop=True),
    }


def _units_text(units: dict[str, float]) -> str:
    return " ".join(f"{name}={value:.6f}" for name, value in units.items())


def generate(
    out_dir: str | Path,
    n_subjects: int,
    n_videos: int,
    seconds: float,
    fps: float = 30,
    seed: int = 0,
    *,
    tier: str = "default",
    portraits: Sequence[str | Path] = (),
    first_subject: int = 0,
    n_jobs: int = 1,
    progress: bool = True,
    **difficulty: Any,
) -> Dataset:
    """Write a set of synthetic videos with their truth (layout: see the module) and return it loaded.

    `n_subjects` persons with `n_videos` videos of `seconds` each; `tier` in easy, default, hard, and any
    knob of `Difficulty` by name.  `portraits` replaces the bundled portrait.  Subjects count from
    `first_subject`, so that two sets can have different persons.  A generation that was stopped goes on
    where it was: finished videos are kept, and a set can be made larger the same way.  The result does not
    depend on `n_jobs` (processes).

    Raises an `InputError` for an unknown or unusable knob, and if `out_dir` holds a set made in another way.
    """
    out_dir = as_path("out_dir", out_dir)
    if out_dir.exists() and not out_dir.is_dir():
        raise InputError(f"{out_dir}: a file is in the way; give a folder to write")
    knobs = difficulty_of(tier, **difficulty)
    n_subjects, n_videos = whole_number("n_subjects", n_subjects, 1), whole_number("n_videos", n_videos, 1)
    first_subject, seed = whole_number("first_subject", first_subject, 0), whole_number("seed", seed, 0)
    if whole_number("n_jobs", n_jobs, -1000) == 0:
        raise InputError("n_jobs is 0; give a number of processes, or -1 for one per core")
    if isinstance(portraits, str | Path) or not isinstance(portraits, Sequence):
        raise InputError(f"portraits is {portraits!r}; give a list of image files")
    paths = tuple(str(p) for p in portraits)
    subjects = range(first_subject, first_subject + n_subjects)
    tables = plan_tables(seed, subjects, n_videos, seconds, fps, knobs)
    _claim(out_dir, _settings(seed, seconds, fps, knobs, paths))
    todo = [(s, v) for s in subjects for v in range(n_videos) if not _is_finished(out_dir, s, v)]
    tasks = (delayed(_make_video)(out_dir, s, v, seed, seconds, fps, knobs, paths) for s, v in todo)
    done = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks)
    for _ in tqdm(
        done, total=len(todo), desc="generating videos", unit="video", disable=not progress or not todo
    ):
        pass
    for name, table in tables.items():
        write_table(table, out_dir / name)
    return load_dataset("synthetic", out_dir)


def _settings(
    seed: int, seconds: float, fps: float, knobs: Difficulty, portraits: tuple[str, ...]
) -> dict[str, Any]:
    missing = [p for p in portraits if not Path(p).is_file()]
    if missing:
        raise MissingError(f"{missing[0]}: no such portrait; give the path of an image file")
    return {
        "version": VERSION,
        "seed": seed,
        "seconds": float(seconds),
        "fps": float(fps),
        "difficulty": {
            k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(knobs).items()
        },
        "portraits": [content_hash(p) for p in portraits],
    }


def _claim(out_dir: Path, settings: dict[str, Any]) -> None:
    """Note how the set is made; refuse a folder whose videos were made in another way."""
    note = out_dir / "generation.json"
    if note.is_file():
        try:
            found = json.loads(note.read_text(encoding="utf-8"))
            different = [k for k in settings if found.get(k) != settings[k]]
        except (ValueError, AttributeError) as error:
            raise InputError(
                f"{note}: cannot be read ({error}); delete the set or use another folder"
            ) from error
        if not different:
            return
        if any((out_dir / "truth").glob("*.npz")):
            raise InputError(
                f"{out_dir}: holds a set made with another {', '.join(different)}; "
                "delete it or use another folder"
            )
    write_json(settings, note)


def _video_paths(out_dir: Path, subject: int, video: int) -> tuple[Path, Path]:
    s, v = subject_id(subject), video_id(video)
    return out_dir / s / f"{v}.avi", out_dir / "truth" / f"{s}_{v}.npz"


def _is_finished(out_dir: Path, subject: int, video: int) -> bool:
    return all(path.is_file() for path in _video_paths(out_dir, subject, video))


def _make_video(
    out_dir: Path, subject: int, video: int, seed: int, seconds: float, fps: float, knobs: Difficulty,
    portraits: tuple[str, ...],
) -> None:  # fmt: skip
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # one core per process; also keeps the pixels the same for any number of processes
    try:
        renderer = _renderer(seed, subject, portraits)
        plan = plan_video(seed, subject, video, seconds, fps, knobs)
        picture_path, truth_path = _video_paths(out_dir, subject, video)
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(knobs.jpeg_quality)]
        images = (cv2.imencode(".jpg", f, quality)[1].tobytes() for f in renderer.frames(plan, knobs, seed))
        write_mjpeg(picture_path, images, fps, (FRAME_SIZE, FRAME_SIZE))
        _write_truth(truth_path, plan, renderer.identity)
    finally:
        cv2.setNumThreads(threads)


@functools.lru_cache(maxsize=2)
def _renderer(seed: int, subject: int, portraits: tuple[str, ...]) -> Renderer:
    return Renderer(identity(seed, subject, portraits))


def _write_truth(path: Path, plan: Plan, person: Identity) -> None:
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary,
            units=np.array(UNIT_NAMES), intensity=plan.intensity, me_intensity=plan.me_intensity,
            head_names=np.array(HEAD_NAMES), head=plan.head, gain=plan.gain, shown=plan.shown,
            mesh=person.mesh, iod=np.array(person.iod), fps=np.array(plan.fps),
        )  # fmt: skip


def read_truth(root: str | Path, subject: str, video: str) -> dict[str, np.ndarray]:
    """The truth of one video of a generated set, by name.

    `intensity` and `me_intensity (T, U)` (inter-ocular distances; columns `units`), `head (T, 6)` (columns
    `head_names`, see `HEAD_NAMES`), `gain (T,)`, `shown (T,)`, `mesh (478, 2)` and `iod` of the neutral
    face (frame pixels), `fps`.
    """
    path = as_path("root", root) / "truth" / f"{subject}_{video}.npz"
    if not path.is_file():
        raise MissingError(f"{path}: no such file; generate the set with `metst synth` (or `generate`)")
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
