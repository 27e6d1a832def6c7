"""What a head can do: its channels (action units, mouth shapes, gaze) as sums of MakeHuman's face units.

Strengths are in inter-ocular distances (IOD), as in `action_units`.
"""

from __future__ import annotations

import numpy as np

from metst_core.synthetic.action_units import UNIT_NAMES
from metst_core.synthetic.head_asset import Baked

BOTH = ("Left", "Right")
MADE_OF: dict[int, dict[str, float]] = {
    1: {"browInnerUp": 1.0},
    2: {"browOuterUp{side}": 1.0},
    4: {"browDown{side}": 1.0},
    5: {"eyeWide{side}": 1.0},
    6: {"cheekSquint{side}": 1.0, "eyeSquint{side}": 0.5},
    7: {"eyeSquint{side}": 1.0},
    9: {"noseSneer{side}": 1.0},
    10: {"mouthUpperUp{side}": 1.0},
    12: {"mouthSmile{side}": 1.0},
    14: {"mouthDimple{side}": 1.0},
    15: {"mouthFrown{side}": 1.0},
    17: {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.25},
    20: {"mouthStretch{side}": 1.0},
    23: {"mouthPucker": 0.5, "mouthRollUpper": 0.3, "mouthRollLower": 0.3},
    24: {"mouthRollUpper": 0.6, "mouthRollLower": 0.7, "mouthPressLeft": 0.3, "mouthPressRight": 0.3},
    25: {"mouthLowerDownLeft": 1.0, "mouthLowerDownRight": 1.0, "mouthUpperUpLeft": 0.25, "mouthUpperUpRight": 0.25},
    26: {"jawOpen": 1.0},
    45: {"eyeBlink{side}": 1.0},
}  # fmt: skip
"""Action unit -> MakeHuman's face units.  MakeHuman's left is the person's: the image's right."""
MOUTH_UNITS: dict[str, dict[str, float]] = {
    "pucker": {"mouthPucker": 1.0},
    "funnel": {"mouthFunnel": 1.0},
    "puff": {"cheekPuff": 1.0},
    "tongue": {"tongueOut": 1.0},
    "jaw_side": {"jawLeft": 1.0},
    "lids_down": {"eyeLookDownLeft": 1.0, "eyeLookDownRight": 1.0},
    "lids_up": {"eyeLookUpLeft": 1.0, "eyeLookUpRight": 1.0},
}
"""What speech needs beyond the action units; strengths in IOD along the longest way in space (much of it forwards)."""
CHANNELS: tuple[str, ...] = (*UNIT_NAMES, *MOUTH_UNITS)
"""Every channel that `Head.render` takes, `action_units.UNIT_NAMES` first."""

VISEMES: dict[str, tuple[float, dict[str, float]]] = {
    "rest": (0.0, {}),
    "aa": (0.20, {"AU25": 0.03}),
    "eh": (0.12, {"AU25": 0.03, "AU20L": 0.02, "AU20R": 0.02}),
    "ee": (0.06, {"AU25": 0.03, "AU20L": 0.04, "AU20R": 0.04, "AU12L": 0.02, "AU12R": 0.02}),
    "oh": (0.14, {"funnel": 0.06, "pucker": 0.03}),
    "oo": (0.06, {"pucker": 0.07, "funnel": 0.03}),
    "mbp": (0.0, {"AU24": 0.04}),
    "fv": (0.02, {"AU10L": 0.015, "AU10R": 0.015, "AU17": 0.02}),
    "td": (0.05, {"AU25": 0.02}),
    "sz": (0.03, {"AU25": 0.03, "AU20L": 0.015, "AU20R": 0.015}),
    "sh": (0.05, {"funnel": 0.05, "AU25": 0.02}),
    "r": (0.06, {"pucker": 0.03, "funnel": 0.03}),
}
"""Mouth shape of speech -> the jaw's drop (IOD) and the channels' strengths, at full size."""


def displacement(channel: str, source: Baked) -> np.ndarray:
    """A channel's movement on MakeHuman's head at full strength: (V, 3), decimetres."""
    out = np.zeros_like(source.base)
    if channel in MOUTH_UNITS:
        for name, weight in MOUTH_UNITS[channel].items():
            out += np.float32(weight) * source.units[name]
        return out
    if not channel.startswith("AU"):
        return out
    side = channel[-1] if channel[-1] in "LR" else ""
    person_side = {"L": "Right", "R": "Left"}.get(side, "")
    number = int(channel[2:].rstrip("LR"))
    for name, weight in MADE_OF[number].items():
        delta = source.units[name.format(side=person_side)]
        if number == 1:  # MakeHuman's moves both brows
            x = source.base[:, 0] * (-1 if side == "L" else 1)
            delta = delta * np.clip(x / 0.12 + 0.5, 0, 1)[:, None]
        out += np.float32(weight) * delta
    return out
