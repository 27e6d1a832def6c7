"""Hair, cap or scarf, brows and beard, painted on the skin."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from metst_core.synthetic.canvas import CLOTH_COLOURS, Canvas, linear, noise, stroke
from metst_core.synthetic.texture_space import TEXTURE_SIZE

_HAIRLINE = {
    "longitude": (0, 15, 30, 42, 52, 62, 70, 76, 82, 88, 100, 110, 120, 140, 180),
    "latitude": (40, 40, 38, 34, 27, 20, 10, -2, 2, 17, 17, 6, -14, -26, -30),
}
"""Where the hair begins, degrees on the plane of the texture, either side."""


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


def paint_brows(
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
        stroke(soft, canvas, np.column_stack([side * (0.11 + 0.42 * ts), ys]), 3)
    cover = np.clip(0.75 * mask + 0.55 * cv2.GaussianBlur(soft, (0, 0), 2.0), 0, 0.92)
    if card["hair_colour"] in ("blond", "red", "grey"):
        cover *= 0.75
    brow = hair * (0.75 if card["hair_colour"] != "grey" else 0.25)
    colour += cover[..., None] * (brow - colour)


def paint_beard(
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
    grain = cv2.GaussianBlur(noise(rng, 0.7), (0, 0), sigmaX=0.01, sigmaY=1.2)
    cover = (
        {"none": 0.1, "stubble": 0.33, "beard": 0.86, "moustache": 0.85}[card["beard"]]
        * area
        * np.clip(1 + 0.22 * grain, 0, 1.2)
    )
    colour += np.clip(cover, 0, 0.95)[..., None] * (hair * 1.1 - colour)


def paint_hair(
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
        folds = 1 + 0.10 * np.sin(30 * edge + 1.5 * noise(rng, 12)) * np.clip(edge * 4, 0, 1)
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
        strands = noise(rng, 2.2)
    else:
        turned = cv2.GaussianBlur(
            rng.standard_normal(TEXTURE_SIZE).astype(np.float32), (0, 0), sigmaX=1.0, sigmaY=14
        )
        strands = turned / turned.std()
    bright = np.clip(1 + 0.2 * strands + 0.12 * noise(rng, 9), 0.3, 2)
    bright *= 0.72 + 0.28 * np.clip(above / 22, 0, 1)  # darker at the roots
    colour += cover[..., None] * (hair * bright[..., None] - colour)
    gloss += cover * (0.35 * np.clip(bright, 0.4, 1.6) - gloss)
