"""The plane that skin, hair and clothes are painted on: where its texels lie on the head, colours, brushes."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from metst_core.synthetic.rasteriser import visible_triangles
from metst_core.synthetic.texture_space import TEXTURE_SIZE, latitude_longitude, texture_corners

SKIN_TONES = {
    "fair": (226, 186, 168), "rosy": (219, 172, 154), "light": (214, 172, 148), "beige": (206, 166, 136),
    "tan": (190, 144, 112), "honey": (178, 132, 98), "olive": (160, 120, 90), "brown": (138, 96, 72),
    "umber": (116, 80, 60), "deep": (96, 65, 50), "dark": (76, 52, 42),
}  # fmt: skip
"""Name -> sRGB."""
HAIR_COLOURS = {
    "black": (24, 20, 20), "dark brown": (46, 32, 25), "brown": (78, 54, 38), "blond": (158, 124, 78),
    "red": (118, 58, 30), "grey": (150, 147, 142),
}  # fmt: skip
EYE_COLOURS = {"brown": (74, 46, 28), "hazel": (104, 78, 42), "blue": (92, 124, 150), "green": (92, 112, 80)}
CLOTH_COLOURS = (
    (52, 64, 92), (120, 44, 50), (44, 84, 72), (70, 70, 74), (166, 160, 148), (150, 110, 60), (30, 32, 38), (110, 84, 128),
)  # fmt: skip


@dataclass
class Canvas:
    """Where each texel lies: `at (R, C, 3)` on the neutral head, `angles (R, C, 2)` latitude, |longitude| in degrees."""

    at: np.ndarray
    angles: np.ndarray
    lips: np.ndarray

    @classmethod
    def of(cls, base: np.ndarray, triangles: np.ndarray, lips: np.ndarray) -> Canvas:
        """From the neutral head's vertices (V, 3) and its triangles of skin (T, 3)."""
        corners = base[triangles]
        pixels = texture_corners(latitude_longitude(corners))
        radius = np.linalg.norm(corners, axis=2)
        chosen, weights = visible_triangles(pixels, radius, *TEXTURE_SIZE)
        at = np.einsum("hwk,hwkc->hwc", weights, corners[chosen])
        holes = (chosen < 0).astype(np.uint8)
        row, column = np.mgrid[: TEXTURE_SIZE[0], : TEXTURE_SIZE[1]]
        if holes.any():  # the eyes, the mouth, the back's seam: as their neighbours
            filled = _tree(np.argwhere(holes == 0)).query(np.argwhere(holes == 1))[1]
            at[holes == 1] = at[holes == 0][filled]
        latitude = 90 - (row + 0.5) * 360 / TEXTURE_SIZE[1]
        longitude = np.abs((column + 0.5) * 360 / TEXTURE_SIZE[1] - 180)
        angles = np.stack([latitude, longitude], axis=-1)
        return cls(at.astype(np.float32), angles.astype(np.float32), lips.astype(np.float32) / 255)

    def texel(self, points: np.ndarray) -> np.ndarray:
        """Column and row (n, 2) of the front's place nearest to points (n, 2) of x, y."""
        front, tree = self._front
        return front[tree.query(points)[1]][:, ::-1].astype(float)

    @functools.cached_property
    def _front(self) -> tuple[np.ndarray, Any]:
        front = np.argwhere((self.angles[..., 1] < 75) & (self.angles[..., 0] > -75))
        return front, _tree(self.at[front[:, 0], front[:, 1], :2])


def _tree(points: np.ndarray) -> Any:
    """`scipy.spatial.cKDTree` of points (n, d)."""
    from scipy.spatial import cKDTree  # here: whoever paints nobody does without its 20 MB

    return cKDTree(points)


def linear(colour: Any) -> np.ndarray:
    """sRGB 0..255 as linear light 0..1, float32."""
    value = np.asarray(colour, np.float32) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def noise(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Smooth noise of standard deviation 1 on the texture, the same on either side of its seam."""
    grain = rng.standard_normal(TEXTURE_SIZE).astype(np.float32)
    margin = int(4 * sigma) + 1
    wide = cv2.GaussianBlur(np.hstack([grain[:, -margin:], grain, grain[:, :margin]]), (0, 0), sigma)
    wide = wide[:, margin:-margin]
    return wide / wide.std()


def streaks(rng: np.random.Generator, wide: float, high: float) -> np.ndarray:
    """As `_noise`, smoothed more one way than the other (texels)."""
    grain = cv2.GaussianBlur(
        rng.standard_normal(TEXTURE_SIZE).astype(np.float32), (0, 0), sigmaX=wide, sigmaY=high
    )
    return grain / grain.std()


def stroke(mask: np.ndarray, canvas: Canvas, points: Any, width: int, value: float = 1.0) -> None:
    """Draw a smooth line through points (n, 2) of x, y."""
    points = np.asarray(points, float)
    t = np.linspace(0, 1, len(points))
    fine = np.linspace(0, 1, 6 * len(points))
    curve = np.column_stack([np.interp(fine, t, points[:, 0]), np.interp(fine, t, points[:, 1])])
    texels = np.round(canvas.texel(curve) * 16).astype(np.int32)
    cv2.polylines(mask, [texels], False, float(value), width, cv2.LINE_AA, 4)
