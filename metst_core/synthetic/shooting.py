"""From a plan to the frames of a film: the face moves, the camera records.

Each frame is the face at its instant; then come motion blur, the sensor's rows one after the other, light and
exposure, and noise.  A blurred or sheared picture is put where the person is: what is behind stays.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from metst_core.compiled import compiled
from metst_core.synthetic.backdrop import Backdrop
from metst_core.synthetic.faces import Face, channels_of
from metst_core.synthetic.films import FilmPlan
from metst_core.synthetic.heads import FRAME_SIZE
from metst_core.synthetic.persons import FILM_KEY
from metst_core.synthetic.render import smear

_NOISE, _BEHIND = range(900, 902)

_LEAST_SHEAR = 0.1
"""A rolling shutter that bends the face by less than this, pixels, is left out."""

_NOISE_STEP = 0.25
"""Noise is drawn once per step of this many grey levels, and reused at other places."""


def shoot(plan: FilmPlan, face: Face, seed: int) -> Iterator[np.ndarray]:
    """The frames of a plan before coding: RGB uint8 (320, 320, 3); `seed` fixes noise and background."""
    key = (seed, FILM_KEY, plan.subject, plan.video)
    seconds = plan.n_frames / plan.fps
    backdrop = Backdrop(plan.camera.background, FRAME_SIZE, seconds, (*key, _BEHIND))
    noise = _Noise((*key, _NOISE))
    channels = face.shown(channels_of(plan.intensity, plan.mouth))
    steps = np.gradient(face.ways(plan.head), axis=0)  # pixels per frame
    readout = plan.camera.rolling_shutter * plan.fps
    last = np.empty((0, 0, 3), np.uint8)
    for t in range(plan.n_frames):
        if t == 0 or plan.shown[t] != plan.shown[t - 1]:
            picture = face.frame(channels[t], plan.head[t], backdrop, plan.shown[t] / plan.fps)
            moved = smear(picture, steps[t] * plan.camera.shutter)
            moved = _row_by_row(moved, steps[t] * readout)
            if moved is not picture:
                picture = cv2.blendLinear(moved, picture, face.presence, 1 - face.presence)
            if plan.gain[t] != 1:
                picture = cv2.convertScaleAbs(picture, alpha=float(plan.gain[t]))
            last = noise.add(picture, float(plan.noise[t]))
        yield last


def _row_by_row(picture: np.ndarray, way: np.ndarray) -> np.ndarray:
    """The picture as a sensor reads it from top to bottom while it moves by `way (2,)` pixels in that time."""
    if np.abs(way).max() / 2 < _LEAST_SHEAR:
        return picture
    height, width = picture.shape[:2]
    x, y = (float(v) for v in way)
    back = np.array([[1, -x / height, x / 2], [0, 1 - y / height, y / 2]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


class _Noise:
    """Sensor noise of changing size: every frame takes another stretch of one long row of random numbers."""

    def __init__(self, key: tuple[int, ...]) -> None:
        self._length = FRAME_SIZE * FRAME_SIZE * 3
        self._rng = np.random.default_rng(key)
        self._draws = self._rng.standard_normal(2 * self._length, dtype=np.float32)
        self._rows: dict[int, np.ndarray] = {}

    def add(self, picture: np.ndarray, sigma: float) -> np.ndarray:
        step = round(sigma / _NOISE_STEP)
        start = self._rng.integers(0, self._length)
        if not step:
            return picture
        if step not in self._rows:
            self._rows[step] = np.round(step * _NOISE_STEP * self._draws).astype(np.int16)
        noisy = np.empty_like(picture)
        _add(picture.ravel(), self._rows[step][start : start + self._length], noisy.ravel())
        return noisy


@compiled()
def _add(picture: np.ndarray, noise: np.ndarray, noisy: np.ndarray) -> None:
    """`cv2.add` of uint8 and int16 in a fifth of the time: into `noisy`, all (n,)."""
    for n in range(len(picture)):
        noisy[n] = min(max(np.int16(picture[n]) + noise[n], np.int16(0)), np.int16(255))
