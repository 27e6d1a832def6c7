"""A bare head with hair, cap or scarf, clothes and glasses: everything of a person but how it moves."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from metst_core.synthetic import accessories, canvas, hair, rasteriser, skin
from metst_core.synthetic.head_asset import Baked
from metst_core.synthetic.rasteriser import (
    CLOTH,
    EYE,
    GLASSES,
    LASH,
    MOUTH,
    PER_ROOT,
    SEAM,
    SKIN,
    TEETH,
    TONGUE,
    Surface,
)
from metst_core.synthetic.texture_space import latitude_longitude, texture_corners

_COLOURS = {
    MOUTH: (150, 70, 66), EYE: (214, 206, 200), TEETH: (240, 222, 190), TONGUE: (196, 104, 100), LASH: (44, 32, 28),
    GLASSES: (34, 30, 30),
}  # fmt: skip
_HAIR_THICKNESS = {
    "short": 0.11, "crop": 0.03, "receding": 0.06, "curly": 0.26, "bald": 0.0, "long": 0.10, "bob": 0.12, "bun": 0.05,
    "beanie": 0.09, "scarf": 0.09,
}  # fmt: skip


class Body(NamedTuple):
    """A dressed head at rest.

    `neutral (V, 3)` the vertices, the first `n_baked` of them MakeHuman's; `follows (V,)` how far each turns with the head;
    `lids` and `lid_least`, for either eye, the vertices that slide over the eyeball and their least distance from its
    middle; `eye_radius` (all in decimetres); `lips` the vertices around where the lips meet.
    """

    neutral: np.ndarray
    n_baked: int
    surface: Surface
    follows: np.ndarray
    lids: list[np.ndarray]
    lid_least: list[np.ndarray]
    eye_radius: float
    lips: np.ndarray


def dress(shape: np.ndarray, source: Baked, card: dict[str, Any], rng: np.random.Generator) -> Body:
    """Hair, cap or scarf, clothes and glasses onto the bare head `shape (V, 3)` of the person on the card."""
    skin_triangles = source.triangles[source.material == SKIN]
    on_skin = np.unique(skin_triangles)
    angles = np.rad2deg(latitude_longitude(source.base))
    angles[:, 1] = np.abs(angles[:, 1])
    shape = _covered(shape, source, card, on_skin, angles)
    lash = np.unique(source.triangles[source.material == LASH])
    shape = _shorter_lashes(shape, lash, source, 0.75 if card["sex"] == "female" else 0.5)
    # lashes below the eye are finer than a pixel: as a band of the mesh they look like kohl
    below = (source.material == LASH) & (source.base[source.triangles, 1].mean(axis=1) < -0.01)
    drawn = source.triangles[~below]
    vertices, triangles = [shape], [drawn]
    material, places = [source.material[~below]], [texture_corners(latitude_longitude(source.base[drawn]))]
    base = [source.base]
    for mesh, kind in _worn(shape, source, card, rng):
        count = sum(len(v) for v in vertices)
        vertices.append(mesh[0].astype(np.float32))
        base.append(np.tile(np.array([[0, 0.5, 0]], np.float32), (len(mesh[0]), 1)))
        triangles.append((mesh[1] + count).astype(np.int32))
        material.append(np.full(len(mesh[1]), kind, np.int32))
        around = latitude_longitude(mesh[0][mesh[1]])
        around[..., 0] = np.deg2rad(np.interp(around[..., 0], (-2, 1.5), (35, 80)))  # where hair is painted
        places.append(texture_corners(around))
    neutral = np.ascontiguousarray(np.concatenate(vertices), dtype=np.float32)
    all_triangles = np.concatenate(triangles)
    texture = skin.paint(source.canvas, card)
    colours = np.zeros((9, 3), np.float32)
    colours[SEAM] = 0.45 * _unpacked(texture[source.canvas.lips > 0.8]).mean(axis=0)
    for kind, colour in _COLOURS.items():
        colours[kind] = canvas.linear(colour)
    colours[CLOTH] = canvas.linear(
        canvas.CLOTH_COLOURS[int(rng.integers(len(canvas.CLOTH_COLOURS)))]
    ) * rng.uniform(0.8, 1.2)
    if rng.uniform() < 0.4:
        colours[GLASSES] = canvas.linear([(96, 60, 34), (120, 116, 112), (70, 24, 30)][int(rng.integers(3))])
    all_triangles = np.ascontiguousarray(all_triangles, dtype=np.uint32)
    kinds = np.concatenate(material)
    at = np.concatenate(base)
    on_body = np.zeros(len(at), bool)
    on_body[on_skin] = True
    eye_vertices = np.unique(source.triangles[source.material == EYE])
    sides = [
        eye_vertices[source.base[eye_vertices, 0] < 0],
        eye_vertices[source.base[eye_vertices, 0] > 0],
    ]
    centres = np.stack([shape[s].mean(axis=0) for s in sides]).astype(np.float32)
    eye_radius = float(np.linalg.norm(shape[sides[0]] - centres[0], axis=1).mean())
    x, y, z = source.base[on_skin].T
    lips = on_skin[(np.abs(x) < 0.3) & (np.abs(y + 0.68) < 0.07) & (z > -0.1)]
    surface = Surface(
        all_triangles,
        kinds.astype(np.int32),
        np.asarray(np.isin(all_triangles, lips).all(axis=1)),
        np.concatenate(places).astype(np.float32),
        texture,
        colours,
        np.where(on_body, skin.neckline(at), -1).astype(np.float32),
        np.ones(len(neutral), np.float32),
        np.ones(len(neutral), np.float32),
        centres,
        canvas.linear(canvas.EYE_COLOURS[card["eyes"]]),
    )
    low, high = -2.0, -1.3
    jaw = np.where(at[:, 2] > -0.55, 0.12, 0.0)  # the chin hangs on the head, not on the neck
    t = np.clip((at[:, 1] + jaw - low) / (high - low), 0, 1)
    follows = (t * t * (3 - 2 * t)).astype(np.float32)
    lids, lid_least = [], []
    near_eye = np.concatenate([on_skin, lash])
    for side in (0, 1):
        distance = np.linalg.norm(neutral[near_eye] - centres[side], axis=1)
        chosen = (distance < 1.75 * eye_radius) & (neutral[near_eye, 2] > centres[side, 2])
        lids.append(near_eye[chosen].astype(np.int32))
        lid_least.append(np.minimum(distance[chosen], 1.06 * eye_radius).astype(np.float32))
    return Body(neutral, len(shape), surface, follows, lids, lid_least, eye_radius, lips)


def _unpacked(texture: np.ndarray) -> np.ndarray:
    """Linear red, green and blue (n, 3) of texels (n,)."""
    return ((texture[:, None] >> np.array([0, 8, 16], np.uint32) & 255) / PER_ROOT) ** 2


def _worn(
    shape: np.ndarray, source: Baked, card: dict[str, Any], rng: np.random.Generator
) -> list[tuple[accessories.Mesh, int]]:
    """Meshes beside the head, and what they are made of."""
    worn: list[tuple[accessories.Mesh, int]] = []
    style = card["hair"]
    base = source.base
    if style in ("long", "bob"):
        longitudes = np.linspace(np.deg2rad(64), np.deg2rad(296), 54)
        middle = np.array([0.0, -0.1, -0.75])
        at_height = np.abs(base[:, 1] - 0.1) < 0.5
        at_height &= np.linalg.norm(base - middle, axis=1) > 0.6
        angle = np.arctan2(base[at_height, 0], base[at_height, 2] - middle[2]) % (2 * np.pi)
        out = np.hypot(shape[at_height, 0], shape[at_height, 2] - middle[2])
        radius = np.array([
            out[np.abs((angle - a + np.pi) % (2 * np.pi) - np.pi) < 0.22].max(initial=0.7) for a in longitudes
        ])  # fmt: skip
        radius = np.convolve(np.pad(radius, 4, mode="edge"), np.ones(9) / 9, "valid") + 0.05
        length = -1.9 if style == "long" else rng.uniform(-1.15, -0.85)
        mesh = accessories.long_hair(radius, longitudes, middle, length, rng)
        back = (mesh[0], mesh[1][:, ::-1])
        worn += [(mesh, SKIN), (back, SKIN)]
    if style == "bun":
        top = shape[np.argmax(shape[:, 1])]
        worn.append((accessories.ball(np.array([0.0, top[1] + 0.12, top[2] - 0.25]), 0.3), SKIN))
    if card["glasses"] != "none":
        eye = np.unique(source.triangles[source.material == EYE])
        eyes = np.stack([shape[eye[base[eye, 0] * s > 0]].mean(axis=0) for s in (-1, 1)])
        brow = (np.abs(base[:, 1]) < 0.2) & (np.abs(base[:, 0]) > 0.1) & (np.abs(base[:, 0]) < 0.5)
        front = float(shape[brow, 2].max()) + 0.03
        ears = np.abs(base[:, 0])
        ear = [
            np.argmax(np.where((np.abs(base[:, 1] - 0.05) < 0.1) & (base[:, 0] * s > 0), ears, 0))
            for s in (-1, 1)
        ]
        ends = shape[ear] + np.array([[0.09, 0.04, 0.05], [-0.09, 0.04, 0.05]])
        worn.append((accessories.spectacles(card["glasses"], eyes, front, ends), GLASSES))
    return worn


def _covered(
    shape: np.ndarray, source: Baked, card: dict[str, Any], on_skin: np.ndarray, angles: np.ndarray
) -> np.ndarray:
    """The head with the thickness of hair, cap or scarf, and of clothes."""
    shape = shape.astype(np.float32).copy()
    middle = np.array([0.0, -0.1, -0.75], np.float32)
    away = shape - middle
    radius = np.linalg.norm(away, axis=1, keepdims=True)
    thick = _HAIR_THICKNESS[card["hair"]]
    cover = np.zeros(len(shape))
    if card["hair"] == "scarf":
        cover = np.clip((hair.scarf_outside(source.base)) / 0.06, 0, 1) * (source.base[:, 1] > -1.45)
    else:
        above = hair.hair_above(angles, card)
        cover = np.clip(above / (5 if card["hair"] == "beanie" else 14), 0, 1)
        cover = cover * cover * (3 - 2 * cover)
        beside = np.clip((angles[:, 1] - 55) / 20, 0, 1) * np.clip((115 - angles[:, 1]) / 20, 0, 1)
        cover *= 1 - 0.7 * beside * np.clip(
            (45 - angles[:, 0]) / 20, 0, 1
        )  # close to the head above the ears
    if card["hair"] == "curly":
        lumps = np.sin(9 * away[:, 0]) * np.sin(8 * away[:, 1] + 1) + np.sin(10 * away[:, 2])
        thick = thick * (1 + 0.12 * lumps)
    mask = np.zeros(len(shape))
    mask[on_skin] = 1
    grown = shape + away / radius * (thick * cover * mask)[:, None].astype(np.float32)
    if card["hair"] in ("scarf", "beanie"):  # the ears lie flat below it
        ears = np.clip(
            (np.abs(angles[:, 1] - 92) < 22) * cover * mask * (np.abs(source.base[:, 1]) < 0.6), 0, 1
        )
        limit = 0.80
        too_wide = np.clip(np.abs(grown[:, 0]) - limit, 0, None) * ears
        grown[:, 0] -= (np.sign(grown[:, 0]) * too_wide).astype(np.float32)
    cloth = np.clip(skin.neckline(source.base) / 0.05, 0, 1) * mask
    normals = rasteriser.smooth_normals(grown, source.triangles)
    return (grown + normals * (0.035 * cloth)[:, None]).astype(np.float32)


def _shorter_lashes(shape: np.ndarray, lash: np.ndarray, source: Baked, length: float) -> np.ndarray:
    """Lashes drawn back towards the lid by the nearest vertex of the skin."""
    on_skin = np.unique(source.triangles[source.material == SKIN])
    out = shape.copy()
    apart = np.linalg.norm(source.base[lash][:, None] - source.base[on_skin][None], axis=2)
    root = on_skin[apart.argmin(axis=1)]
    out[lash] = shape[root] + np.float32(length) * (shape[lash] - shape[root])
    return out
