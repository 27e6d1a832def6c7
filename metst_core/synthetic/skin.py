"""What is painted on a head: skin, lips, brows, hair, cap or scarf, clothes, as one texture.

Places are those of MakeHuman's neutral head, decimetres from the middle between the eyes (the eyes at x = +-.31, the
mouth at y = -.68, the chin at y = -1.15), so one drawing fits every head.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.spatial import cKDTree

from metst_core.synthetic.rasteriser import PER_ROOT, visible_triangles
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
_HAIRLINE = {
    "longitude": (0, 15, 30, 42, 52, 62, 70, 76, 82, 88, 100, 110, 120, 140, 180),
    "latitude": (40, 40, 38, 34, 27, 20, 10, -2, 2, 17, 17, 6, -14, -26, -30),
}
"""Where the hair begins, degrees on the plane of the texture, either side."""


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
            filled = cKDTree(np.argwhere(holes == 0)).query(np.argwhere(holes == 1))[1]
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
    def _front(self) -> tuple[np.ndarray, cKDTree]:
        front = np.argwhere((self.angles[..., 1] < 75) & (self.angles[..., 0] > -75))
        return front, cKDTree(self.at[front[:, 0], front[:, 1], :2])


def linear(colour: Any) -> np.ndarray:
    """sRGB 0..255 as linear light 0..1, float32."""
    value = np.asarray(colour, np.float32) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def hair_above(angles: np.ndarray, card: dict[str, Any]) -> np.ndarray:
    """How far above the hairline a place lies, degrees; `angles (..., 2)` latitude and |longitude| in degrees."""
    line = np.interp(angles[..., 1], _HAIRLINE["longitude"], _HAIRLINE["latitude"])
    line = line + (card["index"] * 7 % 11 - 4) * np.clip(
        1 - angles[..., 1] / 60, 0, 1
    )  # the forehead's height
    if card["hair"] in ("long", "bob") and card["index"] % 3:  # parted, not a fringe
        line = np.interp(angles[..., 1], (0, 12, 30, 50, 66, 78), (49, 45, 36, 22, 8, -4))
    if card["hair"] == "beanie":
        line = np.interp(angles[..., 1], (0, 60, 90, 180), (33, 24, 14, -8))
    elif card["hair"] == "receding":
        line = line + 14 * np.exp(-(((angles[..., 1] - 30) / 16) ** 2)) + 4 * (angles[..., 1] < 60)
    elif card["hair"] == "bald":
        line = np.where(angles[..., 1] < 95, 95, np.maximum(line, -30))
        line = np.where(angles[..., 1] > 60, np.interp(angles[..., 1], (60, 95, 180), (95, 60, 20)), line)
    return angles[..., 0] - line


def scarf_outside(at: np.ndarray) -> np.ndarray:
    """How far outside the face a place lies that a headscarf leaves open; 0 is its edge."""
    x, y, z = np.moveaxis(at, -1, 0)
    oval = np.hypot(x / 0.66, (y + 0.32) / 0.89) - 1
    return np.where(z > -0.9, oval, np.maximum(oval, 0.2))


def neckline(at: np.ndarray) -> np.ndarray:
    """Above 0 where clothes are, decimetres."""
    x, y, z = np.moveaxis(at, -1, 0)
    return -1.72 - 0.18 * np.clip(z + 0.9, -0.4, 0.6) + 0.28 * np.clip(np.abs(x) - 0.35, 0, 0.6) - y


def paint(canvas: Canvas, card: dict[str, Any]) -> np.ndarray:
    """The texture of the person on the card: (R, C) uint32, as `Surface` has it."""
    rng = np.random.default_rng([card["index"], 0x5C])
    x, y, z = np.moveaxis(canvas.at, -1, 0)
    ax = np.abs(x)
    age = {"child": 0.0, "young": 0.12, "middle": 0.5, "old": 1.0}[card["age_group"]]
    tone = linear(SKIN_TONES[card["skin"]]) * rng.uniform(0.93, 1.07)
    pale = float(np.clip(tone.mean() / 0.4, 0.15, 1))
    colour = np.tile(tone, (*x.shape, 1))

    def tint(amount: np.ndarray, factor: tuple[float, float, float]) -> None:
        """Multiply by `factor` where `amount` is 1."""
        nonlocal colour
        colour *= 1 + amount[..., None] * (np.array(factor, np.float32) - 1)

    def spot(cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
        front = np.clip((z + 1.0) / 0.3, 0, 1)
        return np.exp(-(((ax - cx) / sx) ** 2) - ((y - cy) / sy) ** 2) * front

    blush = rng.uniform(0.3, 1.0)
    tint(blush * spot(0.40, -0.38, 0.22, 0.18), (1.03, 0.84, 0.84))
    tint(blush * spot(0.0, -0.38, 0.13, 0.13), (1.02, 0.86, 0.86))
    tint(spot(0.74, -0.25, 0.10, 0.4), (1.02, 0.86, 0.84))
    tint(spot(0.0, -1.02, 0.2, 0.12), (1.0, 0.93, 0.92))
    tint((0.5 + 0.6 * age) * spot(0.27, -0.16, 0.17, 0.05), (0.88, 0.80, 0.82))
    tint(0.7 * spot(0.30, 0.06, 0.2, 0.07), (0.93, 0.84, 0.82))
    tint(spot(0.0, 0.65, 0.5, 0.22), (1.02, 1.01, 0.98))

    for sigma, amount in ((0.8, 0.034), (1.8, 0.024), (6.0, 0.016), (20.0, 0.02)):
        grain = _noise(rng, sigma)
        tint(amount * (1 + 0.5 * age) * grain, (2, 2.15, 2.1))
    fine = np.random.default_rng(
        [card["index"], 0x5D]
    )  # of its own, so that whoever wears the skin stays the same
    relief = _relief(fine, canvas, age)
    tint(-(0.052 + 0.012 * (1 - pale)) * relief, (1.9, 2.15, 2.1))
    _spots(colour, canvas, rng, card, age, pale)
    _lines(colour, canvas, rng, age)

    redder = 0.55 if card["sex"] == "female" and card["age_group"] != "child" else 0.25
    strength = rng.uniform(0.6, 1.0)
    lip = tone * np.array([0.86, 0.56, 0.58]) + redder * pale * np.array([0.05, -0.03, -0.01])
    lips = np.clip(canvas.lips * 1.1, 0, 1) * strength
    creases = 1 + 0.06 * cv2.GaussianBlur(_noise(rng, 0.8), (0, 0), sigmaX=0.01, sigmaY=2.0)
    colour += lips[..., None] * (np.clip(lip, 0.01, 1) * creases[..., None] - colour)
    gloss = np.full(x.shape, 0.55, np.float32) * (1 + 0.25 * _noise(rng, 1.2))
    gloss *= np.clip(
        1 - 0.2 * _noise(fine, 1.6) - 0.08 * relief, 0.1, 2
    )  # no light is mirrored out of a pore
    gloss += 0.35 * spot(0.0, -0.2, 0.12, 0.3) + 0.25 * spot(0, 0.5, 0.4, 0.2)
    gloss += 0.5 * canvas.lips

    hair_rgb = linear(HAIR_COLOURS[card["hair_colour"]])
    _beard(colour, canvas, rng, card, hair_rgb)
    _brows(colour, canvas, rng, card, hair_rgb, age)
    _lid_margin(colour, canvas, card)
    _hair(colour, gloss, canvas, rng, card, hair_rgb)
    linear_light = np.dstack([np.clip(colour, 0.002, 1), np.clip(gloss, 0, 2)])
    steps = np.round(np.sqrt(linear_light) * PER_ROOT).astype(np.uint32)
    return steps[..., 0] | steps[..., 1] << 8 | steps[..., 2] << 16 | steps[..., 3] << 24


def _noise(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Smooth noise of standard deviation 1 on the texture, the same on either side of its seam."""
    grain = rng.standard_normal(TEXTURE_SIZE).astype(np.float32)
    margin = int(4 * sigma) + 1
    wide = cv2.GaussianBlur(np.hstack([grain[:, -margin:], grain, grain[:, :margin]]), (0, 0), sigma)
    wide = wide[:, margin:-margin]
    return wide / wide.std()


def _relief(rng: np.random.Generator, canvas: Canvas, age: float) -> np.ndarray:
    """Depth of the skin's fine relief and colour, about standard deviation 1: mottles, pores, fine lines.

    A texel is about half a pixel of a 320 x 320 frame, so a millimetre of skin is two texels.
    """
    x, y, _ = np.moveaxis(canvas.at, -1, 0)
    ax = np.abs(x)
    even = 0.6 * _noise(rng, 1.5) + 0.6 * _noise(rng, 2.4) + 0.3 * _noise(rng, 5.0)
    pores = np.clip(_noise(rng, 1.1) - 1.2, 0, 2)
    oily = np.exp(-((ax / 0.25) ** 2) - ((y + 0.25) / 0.4) ** 2) + np.exp(
        -((ax / 0.5) ** 2) - ((y - 0.5) / 0.2) ** 2
    )
    along = _streaks(rng, 7.0, 1.3)
    forehead = np.clip((y - 0.28) / 0.12, 0, 1)
    below_eyes = np.exp(-(((ax - 0.33) / 0.26) ** 2) - ((y + 0.16) / 0.13) ** 2)
    around_lips = np.exp(-((ax / 0.35) ** 2) - ((y + 0.7) / 0.22) ** 2)
    lines = along * (0.3 + 0.5 * age) * np.clip(forehead + 1.3 * below_eyes, 0, 1.3)
    lines += _streaks(rng, 1.3, 5.0) * (0.25 + 0.4 * age) * around_lips
    relief = rng.uniform(0.8, 1.25) * even + (0.3 + oily) * pores + lines
    return np.clip(relief, -3, 3).astype(np.float32)


def _streaks(rng: np.random.Generator, wide: float, high: float) -> np.ndarray:
    """As `_noise`, smoothed more one way than the other (texels)."""
    grain = cv2.GaussianBlur(
        rng.standard_normal(TEXTURE_SIZE).astype(np.float32), (0, 0), sigmaX=wide, sigmaY=high
    )
    return grain / grain.std()


def _spots(
    colour: np.ndarray,
    canvas: Canvas,
    rng: np.random.Generator,
    card: dict[str, Any],
    age: float,
    pale: float,
) -> None:
    """Freckles (more on pale skin), moles, spots of age."""
    freckled = rng.uniform() < 0.22 * pale
    groups = (
        (int(rng.integers(60, 160)) if freckled else int(rng.integers(0, 14)), 0.9, 0.78, (-0.55, -0.05)),
        (int(rng.integers(0, 4)), 1.5, 0.45, (-1.0, 0.6)),
        (int(14 * age * rng.uniform(0.3, 1)), 2.6, 0.86, (-0.6, 0.8)),
    )
    dark = np.ones(TEXTURE_SIZE, np.float32)
    for n, size, deep, (low, high) in groups:
        at = np.column_stack([rng.uniform(-0.62, 0.62, n), rng.uniform(low, high, n)])
        for column, row in canvas.texel(at) if n else ():
            r = size * rng.uniform(0.6, 1.3)
            reach = int(3 * r) + 1
            c0, r0 = int(column), int(row)
            window = dark[r0 - reach : r0 + reach + 1, c0 - reach : c0 + reach + 1]
            v, u = np.mgrid[: window.shape[0], : window.shape[1]] - reach
            window *= 1 - (1 - deep) * rng.uniform(0.5, 1) * np.exp(-(u**2 + v**2) / (2 * r * r))
    colour *= np.dstack([dark**0.8, dark, dark**1.1])


def _stroke(mask: np.ndarray, canvas: Canvas, points: Any, width: int, value: float = 1.0) -> None:
    """Draw a smooth line through points (n, 2) of x, y."""
    points = np.asarray(points, float)
    t = np.linspace(0, 1, len(points))
    fine = np.linspace(0, 1, 6 * len(points))
    curve = np.column_stack([np.interp(fine, t, points[:, 0]), np.interp(fine, t, points[:, 1])])
    texels = np.round(canvas.texel(curve) * 16).astype(np.int32)
    cv2.polylines(mask, [texels], False, float(value), width, cv2.LINE_AA, 4)


def _lines(colour: np.ndarray, canvas: Canvas, rng: np.random.Generator, age: float) -> None:
    """Lines of age: forehead, frown, crow's feet, from nose to mouth, under the eyes."""
    mask = np.zeros(TEXTURE_SIZE, np.float32)
    fold = np.zeros(TEXTURE_SIZE, np.float32)
    for side in (-1, 1):
        start = np.array([side * 0.20, -0.44])
        _stroke(fold, canvas, start + np.array([[0, 0], [side * 0.09, -0.10], [side * 0.13, -0.22]]), 1)
        _stroke(fold, canvas, [(side * 0.14, -0.10), (side * 0.28, -0.19), (side * 0.42, -0.12)], 1, 0.6)
        if age > 0.3:
            for k in (-1, 0, 1):
                tilt = 0.07 * k + rng.normal(0, 0.01)
                _stroke(mask, canvas, [(side * 0.53, 0.02 * k), (side * 0.64, 0.02 * k + tilt)], 1, 0.7)
            _stroke(mask, canvas, [(side * 0.05, 0.18), (side * (0.05 + rng.uniform(0, 0.02)), 0.32)], 1, 0.7)
            _stroke(fold, canvas, [(side * 0.33, -0.72), (side * 0.36, -0.88)], 1, 0.6)
    if age > 0.3:
        for level in (0.42, 0.53, 0.64):
            level += rng.normal(0, 0.015)
            xs = np.linspace(-rng.uniform(0.28, 0.42), rng.uniform(0.28, 0.42), 7)
            _stroke(
                mask,
                canvas,
                np.column_stack([xs, level + 0.03 * np.abs(xs) + rng.normal(0, 0.008, 7)]),
                1,
                0.8,
            )
    soft = 0.40 * age * cv2.GaussianBlur(mask, (0, 0), 1.0)
    soft += (0.25 + 0.9 * age) * cv2.GaussianBlur(fold, (0, 0), 2.6)
    light = (0.3 + age) * 0.25 * cv2.GaussianBlur(fold, (0, 0), 5)
    dark = np.clip(1 - soft, 0.4, 1) * (1 - 0.5 * light)
    colour *= np.dstack([dark**0.85, dark, dark])


def _strands(
    mask: np.ndarray,
    canvas: Canvas,
    rng: np.random.Generator,
    roots: np.ndarray,
    along: np.ndarray,
    length: float,
) -> None:
    """Short hairs (n) from `roots (n, 2)` (x, y) along `along (n, 2)`, `length` decimetres."""
    tips = roots + along * (length * rng.uniform(0.6, 1.3, (len(roots), 1)))
    a, b = canvas.texel(roots), canvas.texel(tips)
    for p, q in zip(a, b, strict=True):
        ends = np.round(np.array([p, q]) * 16).astype(np.int32)
        cv2.polylines(mask, [ends], False, float(rng.uniform(0.5, 1)), 1, cv2.LINE_AA, 4)


def _brows(
    colour: np.ndarray,
    canvas: Canvas,
    rng: np.random.Generator,
    card: dict[str, Any],
    hair: np.ndarray,
    age: float,
) -> None:
    thick = rng.uniform(0.032, 0.048) * (1.25 if card["sex"] == "male" else 0.9)
    arch, lift = rng.uniform(0.02, 0.06), rng.uniform(-0.01, 0.02)
    mask = np.zeros(TEXTURE_SIZE, np.float32)
    soft = np.zeros(TEXTURE_SIZE, np.float32)
    for side in (-1, 1):
        n = 260
        t = rng.uniform(0, 1, n) ** 0.9
        cx = 0.11 + 0.42 * t
        cy = (
            0.185
            + lift
            + arch * np.sin(np.pi * np.clip(t * 0.95, 0, 1))
            + 0.01 * t
            - 0.075 * np.clip(t - 0.62, 0, 1)
        )
        spread = thick * (1 - 0.72 * np.clip((t - 0.45) / 0.55, 0, 1)) * np.clip(0.55 + t * 5, 0, 1)
        roots = np.column_stack([side * cx, cy + rng.uniform(-1, 1, n) * spread])
        angle = np.deg2rad(70 - 95 * t)  # upright at the nose, along the arch outside
        along = np.column_stack([side * np.cos(angle), np.sin(angle)])
        _strands(mask, canvas, rng, roots, along, 0.045)
        ts = np.linspace(0.03, 0.97, 16)
        ys = 0.185 + lift + arch * np.sin(np.pi * ts * 0.95) + 0.01 * ts - 0.075 * np.clip(ts - 0.62, 0, 1)
        _stroke(soft, canvas, np.column_stack([side * (0.11 + 0.42 * ts), ys]), 3)
    cover = np.clip(0.75 * mask + 0.55 * cv2.GaussianBlur(soft, (0, 0), 2.0), 0, 0.92)
    if card["hair_colour"] in ("blond", "red", "grey"):
        cover *= 0.75
    brow = hair * (0.75 if card["hair_colour"] != "grey" else 0.25)
    colour += cover[..., None] * (brow - colour)


def _beard(
    colour: np.ndarray, canvas: Canvas, rng: np.random.Generator, card: dict[str, Any], hair: np.ndarray
) -> None:
    shaven = card["beard"] == "none"
    if shaven and (card["sex"] == "female" or card["age_group"] == "child"):
        return
    x, y, z = np.moveaxis(canvas.at, -1, 0)
    ax = np.abs(x)
    jaw = np.clip((-0.62 + 0.85 * np.clip(ax - 0.30, 0, 1) - y) / 0.10, 0, 1) * np.clip(
        (y + 1.24) / 0.12, 0, 1
    )
    jaw *= np.clip((z + 0.95) / 0.15, 0, 1)
    lip = np.exp(-(((y + 0.565) / 0.055) ** 2)) * np.clip((0.30 - ax) / 0.06, 0, 1)
    area = lip if card["beard"] == "moustache" else np.maximum(jaw, lip)
    area = (
        area
        * (1 - np.clip(canvas.lips * 1.5, 0, 1))
        * (1 - 0.6 * np.exp(-(((y + 0.79) / 0.03) ** 2) - (ax / 0.2) ** 2))
    )
    grain = cv2.GaussianBlur(_noise(rng, 0.7), (0, 0), sigmaX=0.01, sigmaY=1.2)
    cover = (
        {"none": 0.1, "stubble": 0.33, "beard": 0.86, "moustache": 0.85}[card["beard"]]
        * area
        * np.clip(1 + 0.22 * grain, 0, 1.2)
    )
    colour += np.clip(cover, 0, 0.95)[..., None] * (hair * 1.1 - colour)


def _lid_margin(colour: np.ndarray, canvas: Canvas, card: dict[str, Any]) -> None:
    """The line of the lashes' roots: the skin nearest to the eyeball."""
    eye = np.array([0.31, 0.0, -0.02])
    at = canvas.at * np.array([1, 1, 1], np.float32)
    at = np.dstack([np.abs(at[..., 0]), at[..., 1], at[..., 2]])
    distance = np.linalg.norm(at - eye, axis=-1)
    dark = np.clip((0.185 - distance) / 0.03, 0, 1) * (at[..., 1] > -0.01)
    low = np.clip((0.175 - distance) / 0.03, 0, 1) * (at[..., 1] <= -0.01)
    made_up = 0.6 if card["sex"] == "female" and card["age_group"] != "child" else 0.28
    cover = cv2.GaussianBlur((made_up * dark + 0.08 * low).astype(np.float32), (0, 0), 0.6)
    colour += np.clip(cover, 0, 1)[..., None] * (np.array([0.02, 0.014, 0.012], np.float32) - colour)


def _hair(
    colour: np.ndarray,
    gloss: np.ndarray,
    canvas: Canvas,
    rng: np.random.Generator,
    card: dict[str, Any],
    hair: np.ndarray,
) -> None:
    if card["hair"] == "scarf":
        cloth = linear(CLOTH_COLOURS[int(rng.integers(8))])
        edge = scarf_outside(canvas.at)
        cover = np.clip(edge / 0.03, 0, 1)
        folds = 1 + 0.10 * np.sin(30 * edge + 1.5 * _noise(rng, 12)) * np.clip(edge * 4, 0, 1)
        colour += cover[..., None] * (cloth * folds[..., None] - colour)
        gloss *= 1 - cover
        return
    above = hair_above(canvas.angles, card)
    if card["hair"] == "beanie":
        cloth = linear(CLOTH_COLOURS[int(rng.integers(8))])
        cover = np.clip(above / 1.0, 0, 1)
        columns = np.arange(TEXTURE_SIZE[1])[None]
        knit = 1 + 0.16 * np.sin(columns * 2 * np.pi / 8) * (above > 0)
        band = 1 - 0.35 * np.exp(-(((above - 11) / 0.8) ** 2))
        colour += cover[..., None] * (cloth * (knit * band)[..., None] - colour)
        gloss *= 1 - cover
        return
    fringe = cv2.GaussianBlur(
        rng.standard_normal(TEXTURE_SIZE).astype(np.float32), (0, 0), sigmaX=0.9, sigmaY=5
    )
    fringe = fringe / fringe.std()
    soft = {"crop": 7.0, "bald": 14.0, "receding": 10.0}.get(card["hair"], 8.0)
    ragged = 1.1 if card["hair"] in ("long", "bob") else 0.6
    cover = np.clip((above + ragged * fringe) / soft, 0, 1)
    if card["hair"] in ("bald", "crop"):
        cover = cover * (0.62 if card["hair"] == "bald" else 0.86)
    if card["hair"] == "curly":
        strands = _noise(rng, 2.2)
    else:
        turned = cv2.GaussianBlur(
            rng.standard_normal(TEXTURE_SIZE).astype(np.float32), (0, 0), sigmaX=1.0, sigmaY=14
        )
        strands = turned / turned.std()
    bright = np.clip(1 + 0.2 * strands + 0.12 * _noise(rng, 9), 0.3, 2)
    bright *= 0.72 + 0.28 * np.clip(above / 22, 0, 1)  # darker at the roots
    colour += cover[..., None] * (hair * bright[..., None] - colour)
    gloss += cover * (0.35 * np.clip(bright, 0.4, 1.6) - gloss)
