"""What makes a synthetic set hard: the knobs, with their units, and named tiers of them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from metst_core.checks import one_of
from metst_core.errors import InputError


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
