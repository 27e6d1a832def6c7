"""The camera and the light of a film: what is recorded besides the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metst_core.synthetic.conditions import Conditions
from metst_core.synthetic.draws import Stream, waves

FPS = (24.0, 200.0)
"""Slowest and fastest camera of version 2, frames per second (SAMM's and CASME II's film at 200)."""


@dataclass(frozen=True)
class Camera:
    """How a film is shot.

    `gain` (1 = none) multiplies light and noise; `noise` is its standard deviation at this gain, grey levels;
    `shutter` the exposure as a share of the frame interval; `rolling_shutter` the read-out from top to bottom,
    seconds; `codec` "jpeg" or "h264" and its `quality`; `background` "still", "swaying" or "people".
    """

    fps: float
    gain: float
    noise: float
    shutter: float
    rolling_shutter: float
    auto_exposure: float
    codec: str
    quality: int
    background: str


def plan_camera(draw: Stream, conditions: Conditions, fps: float) -> Camera:
    """The camera of one film."""
    gain = draw.uniform(*conditions.gain)
    return Camera(
        float(fps), gain, conditions.noise * gain, conditions.shutter,
        min(conditions.rolling_shutter, 1 / fps), conditions.auto_exposure, conditions.codec,
        conditions.quality, conditions.background,
    )  # fmt: skip


def plan_light(draw: Stream, conditions: Conditions, n_frames: int, fps: float) -> np.ndarray:
    """The light on the face, relative to its usual: (n_frames,), above 0; it drifts, flickers and jumps."""
    slow = waves(draw, n_frames, fps, (2.0, 10.0))
    beat = waves(draw, n_frames, fps, (0.1, 1.0))  # mains flicker against the frame rate
    light = 1 + conditions.light_change * (0.8 * slow + 0.6 * beat)
    for _ in range(draw.happenings(conditions.light_steps_per_minute * n_frames / fps / 60)):
        light[draw.integer(0, n_frames - 1) :] *= draw.uniform(0.75, 1.3)
    return np.clip(light, 0.2, 3.0)


def auto_exposure(light: np.ndarray, seconds: float, fps: float) -> np.ndarray:
    """What the camera does about the light: relative exposure (n_frames,), 1 throughout if `seconds` is 0.

    It comes nearer to `1 / light` with this time constant, a frame late, as a camera that measures what it
    has just recorded.
    """
    exposure = np.ones(len(light))
    if not seconds:
        return exposure
    step = min(1.0, 1 / (seconds * fps))
    exposure[0] = 1 / light[0]
    for t in range(1, len(light)):
        exposure[t] = exposure[t - 1] + step * (1 / light[t - 1] - exposure[t - 1])
    return exposure
