"""The pictures of a plan: one look-up in the neutral face per frame, then light, blur and sensor noise."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np

from metst_core.errors import InputError
from metst_core.synthetic.action_units import UNIT_NAMES, UNITS, grid_points, unit_field
from metst_core.synthetic.difficulty import Difficulty
from metst_core.synthetic.plan import NOISE, Plan
from metst_core.synthetic.portraits import (
    FRAME_SIZE,
    OVERSAMPLING,
    Identity,
    depth_map,
    head_weight,
    look_up,
    to_canvas,
)

_FIELD_STEP = 2  # frame pixels per cell of a displacement field

_CELL_0 = (_FIELD_STEP - 1) / 2  # middle of cell 0, frame pixels


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
        noise = _Noise(difficulty.noise, (seed, plan.subject, plan.video, NOISE))
        last = np.empty((0, 0, 3), np.uint8)
        shift = plan.head[:, :2] * self.identity.iod
        for t in range(plan.n_frames):
            if t == 0 or plan.shown[t] != plan.shown[t - 1]:
                picture = self.frame(plan.intensity[t], plan.head[t])
                if t and difficulty.motion_blur:
                    picture = smear(picture, (shift[t] - shift[t - 1]) * difficulty.motion_blur)
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


def smear(picture: np.ndarray, path: np.ndarray) -> np.ndarray:
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
