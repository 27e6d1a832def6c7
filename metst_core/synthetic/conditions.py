"""What goes on while somebody is filmed: the knobs of life and camera, and the tiers as rows of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from metst_core.checks import number_between, one_of
from metst_core.errors import InputError

CODECS = ("jpeg", "h264")
BACKGROUNDS = ("still", "swaying", "people")


@dataclass(frozen=True)
class Conditions:
    """Knobs of version 2's films; IOD = distance of the outer eye corners (about 90 mm; 100 pixels of a frame).

    Rates are those of the average person; each person multiplies them by habit (`persons.Person`).

    Life

    * `macro_overlap`: share of MEs that a macro-expression with the same AUs overlaps in time
    * `blink_cut`: share of MEs that end behind a blink's closed lids
    * `blink_per_minute`, `gaze_per_minute`, `swallow_per_minute`
    * `gaze_degrees`: largest look to the side
    * `speech_share`: share of the time, 0..1; `speech_jaw`: opening of the jaw in a wide vowel, IOD
    * `speech_head`: root mean square of the head's nodding while speaking, degrees
    * `beats_per_minute`: words underlined by brows and head, per minute of speech
    * `head_degrees`: largest yaw; pitch stays within .7 of it and roll within .5
    * `head_shift`: largest shift of the head along each axis, IOD; `head_zoom`: largest relative change of size
    * `posture_per_minute`: how often the head takes another position
    * `sway`: root mean square of the small motion that never stops, IOD (and, in degrees, 25 times that)

    Camera

    * `light_change`, `light_steps_per_minute`: slow change of the light (relative, root mean square), and jumps
    * `auto_exposure`: seconds in which the camera follows the light; 0 = fixed
    * `noise`: standard deviation of the sensor noise at gain 1, grey levels; it grows with the gain
    * `gain`: lowest and highest gain the films are shot at
    * `shutter`: exposure time as a share of the frame interval, 0..1
    * `rolling_shutter`: read-out of the sensor from top to bottom, seconds (at most the frame interval)
    * `codec`: "jpeg" (every frame by itself) or "h264"; `quality`: JPEG quality 1..100, or H.264's CRF 0..51
    * `dropped`: share of frames lost and shown as a repeat of the one before
    * `background`: "still", "swaying" or "people" (somebody passes)
    """

    macro_overlap: float = 0.05
    blink_cut: float = 0.08
    blink_per_minute: float = 17.0
    gaze_per_minute: float = 8.0
    swallow_per_minute: float = 0.98
    gaze_degrees: float = 8.0
    speech_share: float = 0.0
    speech_jaw: float = 0.12
    speech_head: float = 0.0
    beats_per_minute: float = 0.0
    head_degrees: float = 3.0
    head_shift: float = 0.04
    head_zoom: float = 0.015
    posture_per_minute: float = 2.0
    sway: float = 0.001
    light_change: float = 0.006
    light_steps_per_minute: float = 0.0
    auto_exposure: float = 0.0
    noise: float = 1.0
    gain: tuple[float, float] = (1.0, 1.0)
    shutter: float = 0.3
    rolling_shutter: float = 0.0
    codec: str = "jpeg"
    quality: int = 95
    dropped: float = 0.002
    background: str = "still"


CONDITIONS: dict[str, dict[str, Any]] = {
    "calm": {},
    "interview": {
        "macro_overlap": 0.4, "blink_cut": 0.12, "blink_per_minute": 26.0, "gaze_per_minute": 18.0,
        "gaze_degrees": 14.0, "speech_share": 0.45, "speech_jaw": 0.16, "speech_head": 1.5, "beats_per_minute": 12.0,
        "head_degrees": 12.0, "head_shift": 0.15, "head_zoom": 0.05, "posture_per_minute": 8.0, "sway": 0.005,
        "light_change": 0.01, "light_steps_per_minute": 0.5, "auto_exposure": 0.5, "noise": 2.0,
        "gain": (1.0, 2.0), "shutter": 0.5, "rolling_shutter": 0.010, "codec": "h264", "quality": 20,
        "dropped": 0.004, "background": "swaying",
    },
    "hard": {
        "macro_overlap": 0.6, "blink_cut": 0.2, "blink_per_minute": 26.0, "gaze_per_minute": 30.0,
        "gaze_degrees": 20.0, "speech_share": 0.65, "speech_jaw": 0.17, "speech_head": 2.0, "beats_per_minute": 24.0,
        "head_degrees": 20.0, "head_shift": 0.3, "head_zoom": 0.1, "posture_per_minute": 16.0, "sway": 0.01,
        "light_change": 0.03, "light_steps_per_minute": 2.0, "auto_exposure": 0.3, "noise": 3.0,
        "gain": (1.5, 4.0), "shutter": 0.8, "rolling_shutter": 0.020, "codec": "h264", "quality": 30,
        "dropped": 0.01, "background": "people",
    },
}  # fmt: skip
"""Tier -> the knobs in which it differs from `Conditions()`.

Blinks: 17 a minute at rest, 26 in conversation (Bentivoglio et al., Movement Disorders, 1997).  Swallowing:
.98 a minute in the healthy young (Bulmer et al., Gerontology & Geriatric Medicine, 2021).  The rest is assumed.
"""

_MOST: dict[str, float] = {
    "blink_per_minute": 60, "gaze_per_minute": 120, "swallow_per_minute": 10, "gaze_degrees": 30,
    "speech_share": 0.9, "speech_jaw": 0.2, "speech_head": 10, "beats_per_minute": 60, "head_degrees": 30, "head_shift": 0.5,
    "head_zoom": 0.3, "posture_per_minute": 60, "sway": 0.05, "light_change": 0.2,
    "light_steps_per_minute": 30, "auto_exposure": 10, "noise": 40, "gain": 16, "rolling_shutter": 0.04,
    "quality": 100,
}  # fmt: skip
"""Knob -> its largest value; 1 for the others, which are shares."""


def conditions_of(tier: str = "calm", **knobs: Any) -> Conditions:
    """The conditions of a tier with some knobs changed; an `InputError` that lists what there is, else."""
    one_of("tier", tier, CONDITIONS)
    names = [f.name for f in dataclasses.fields(Conditions)]
    unknown = [name for name in knobs if name not in names]
    if unknown:
        raise InputError(f"unknown condition {', '.join(unknown)}; the knobs are tier, {', '.join(names)}")
    values = {**CONDITIONS[tier], **knobs}
    made = Conditions(**{name: _checked(name, value) for name, value in values.items()})
    if made.codec == "h264" and made.quality > 51:
        raise InputError(f"quality: {made.quality} is no CRF of H.264; give 0 (best) to 51")
    if made.codec == "jpeg" and made.quality < 1:
        raise InputError(f"quality: {made.quality} is no JPEG quality; give 1 to 100 (best)")
    return made


def _checked(name: str, value: Any) -> Any:
    if name == "codec":
        return one_of(name, value, CODECS)
    if name == "background":
        return one_of(name, value, BACKGROUNDS)
    most = _MOST.get(name, 1.0)
    if name == "gain":
        pair = tuple(value) if isinstance(value, tuple | list) else ()
        if len(pair) != 2:
            raise InputError(f"gain: expected two numbers (lowest, highest), got {value!r}")
        low, high = (number_between(name, part, 1, most) for part in pair)
        if low > high:
            raise InputError(f"gain: {value!r} is not in rising order")
        return low, high
    number = number_between(name, value, 0, most)
    return int(number) if name == "quality" else number
