"""What is painted on a head: skin, lips, brows, hair, cap or scarf, clothes, as one texture.

Places are those of MakeHuman's neutral head, decimetres from the middle between the eyes (the eyes at x = +-.31, the
mouth at y = -.68, the chin at y = -1.15), so one drawing fits every head.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from metst_core.synthetic.canvas import HAIR_COLOURS, SKIN_TONES, Canvas, linear, noise, streaks, stroke
from metst_core.synthetic.hair import paint_beard, paint_brows, paint_hair
from metst_core.synthetic.rasteriser import PER_ROOT
from metst_core.synthetic.texture_space import TEXTURE_SIZE


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
        grain = noise(rng, sigma)
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
    creases = 1 + 0.06 * cv2.GaussianBlur(noise(rng, 0.8), (0, 0), sigmaX=0.01, sigmaY=2.0)
    colour += lips[..., None] * (np.clip(lip, 0.01, 1) * creases[..., None] - colour)
    gloss = np.full(x.shape, 0.55, np.float32) * (1 + 0.25 * noise(rng, 1.2))
    gloss *= np.clip(1 - 0.2 * noise(fine, 1.6) - 0.08 * relief, 0.1, 2)  # no light is mirrored out of a pore
    gloss += 0.35 * spot(0.0, -0.2, 0.12, 0.3) + 0.25 * spot(0, 0.5, 0.4, 0.2)
    gloss += 0.5 * canvas.lips

    hair_rgb = linear(HAIR_COLOURS[card["hair_colour"]])
    paint_beard(colour, canvas, rng, card, hair_rgb)
    paint_brows(colour, canvas, rng, card, hair_rgb, age)
    _lid_margin(colour, canvas, card)
    paint_hair(colour, gloss, canvas, rng, card, hair_rgb)
    linear_light = np.dstack([np.clip(colour, 0.002, 1), np.clip(gloss, 0, 2)])
    steps = np.round(np.sqrt(linear_light) * PER_ROOT).astype(np.uint32)
    return steps[..., 0] | steps[..., 1] << 8 | steps[..., 2] << 16 | steps[..., 3] << 24


def _relief(rng: np.random.Generator, canvas: Canvas, age: float) -> np.ndarray:
    """Depth of the skin's fine relief and colour, about standard deviation 1: mottles, pores, fine lines.

    A texel is about half a pixel of a 320 x 320 frame, so a millimetre of skin is two texels.
    """
    x, y, _ = np.moveaxis(canvas.at, -1, 0)
    ax = np.abs(x)
    even = 0.6 * noise(rng, 1.5) + 0.6 * noise(rng, 2.4) + 0.3 * noise(rng, 5.0)
    pores = np.clip(noise(rng, 1.1) - 1.2, 0, 2)
    oily = np.exp(-((ax / 0.25) ** 2) - ((y + 0.25) / 0.4) ** 2) + np.exp(
        -((ax / 0.5) ** 2) - ((y - 0.5) / 0.2) ** 2
    )
    along = streaks(rng, 7.0, 1.3)
    forehead = np.clip((y - 0.28) / 0.12, 0, 1)
    below_eyes = np.exp(-(((ax - 0.33) / 0.26) ** 2) - ((y + 0.16) / 0.13) ** 2)
    around_lips = np.exp(-((ax / 0.35) ** 2) - ((y + 0.7) / 0.22) ** 2)
    lines = along * (0.3 + 0.5 * age) * np.clip(forehead + 1.3 * below_eyes, 0, 1.3)
    lines += streaks(rng, 1.3, 5.0) * (0.25 + 0.4 * age) * around_lips
    relief = rng.uniform(0.8, 1.25) * even + (0.3 + oily) * pores + lines
    return np.clip(relief, -3, 3).astype(np.float32)


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


def _lines(colour: np.ndarray, canvas: Canvas, rng: np.random.Generator, age: float) -> None:
    """Lines of age: forehead, frown, crow's feet, from nose to mouth, under the eyes."""
    mask = np.zeros(TEXTURE_SIZE, np.float32)
    fold = np.zeros(TEXTURE_SIZE, np.float32)
    for side in (-1, 1):
        start = np.array([side * 0.20, -0.44])
        stroke(fold, canvas, start + np.array([[0, 0], [side * 0.09, -0.10], [side * 0.13, -0.22]]), 1)
        stroke(fold, canvas, [(side * 0.14, -0.10), (side * 0.28, -0.19), (side * 0.42, -0.12)], 1, 0.6)
        if age > 0.3:
            for k in (-1, 0, 1):
                tilt = 0.07 * k + rng.normal(0, 0.01)
                stroke(mask, canvas, [(side * 0.53, 0.02 * k), (side * 0.64, 0.02 * k + tilt)], 1, 0.7)
            stroke(mask, canvas, [(side * 0.05, 0.18), (side * (0.05 + rng.uniform(0, 0.02)), 0.32)], 1, 0.7)
            stroke(fold, canvas, [(side * 0.33, -0.72), (side * 0.36, -0.88)], 1, 0.6)
    if age > 0.3:
        for level in (0.42, 0.53, 0.64):
            level += rng.normal(0, 0.015)
            xs = np.linspace(-rng.uniform(0.28, 0.42), rng.uniform(0.28, 0.42), 7)
            stroke(
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
