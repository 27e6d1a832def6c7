"""Sixty three-dimensional heads that move by action units: the persons of SynthME 2.

    head = head(0)
    head.card                                    # {"sex": "female", "age_group": "young", "glasses": "none", ...}
    head.render({"AU12L": 0.02}, jaw=0.1)        # (320, 320, 3) uint8, RGB

The shapes and face units are MakeHuman's, baked into `assets/heads.npz` (`metst_core.synthetic.bake`); skin, hair,
light and camera are drawn here.  Strengths are in inter-ocular distances (IOD), as in `action_units`: an action unit of
strength `a` moves the most moved point of the face, seen from the front, by `a * head.iod` pixels.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np

from metst_core.checks import whole_number
from metst_core.errors import InputError, MissingError
from metst_core.files import ASSETS
from metst_core.synthetic import accessories, rasteriser, skin
from metst_core.synthetic.action_units import UNIT_INDEX, UNIT_NAMES
from metst_core.synthetic.rasteriser import (
    CLOTH,
    EYE,
    GLASSES,
    LASH,
    MOUTH,
    SKIN,
    TEETH,
    TONGUE,
    Room,
    Surface,
)
from metst_core.synthetic.texture_space import latitude_longitude, texture_corners

ASSET = ASSETS / "heads.npz"
ASSET_SHA256 = "cb5e2f398b2b0955950980286b5afbb355a51cf724c60d42b9a5a37199b95cd3"
"""Of the file that comes with the package."""
HEAD_QUANTUM, UNIT_QUANTUM = 1 / 8192, 1 / 65536
"""Steps of the asset's integers, decimetres (as `bake` wrote them)."""
FRAME_SIZE = 320

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

_COLOURS = {
    MOUTH: (150, 70, 66), EYE: (214, 206, 200), TEETH: (240, 222, 190), TONGUE: (196, 104, 100), LASH: (44, 32, 28),
    GLASSES: (34, 30, 30),
}  # fmt: skip
_PIVOT = np.array([0.0, -1.25, -0.95], np.float32)  # top of the neck, decimetres
_DISTANCE = 9.0  # of the camera, decimetres
_CORNERS_AT = ((-0.452, 0.008, 0.075), (0.452, 0.008, 0.075))  # outer corners of the eyes on the neutral head
_TURNS = 33
_HAIR_THICKNESS = {
    "short": 0.11, "crop": 0.03, "receding": 0.06, "curly": 0.26, "bald": 0.0, "long": 0.10, "bob": 0.12, "bun": 0.05,
    "beanie": 0.09, "scarf": 0.09,
}  # fmt: skip


_EXTREMES: tuple[tuple[float, dict[str, float]], ...] = (
    (0.0, {}),
    (
        0.3,
        {
            "AU25": 0.06,
            "AU10L": 0.05,
            "AU10R": 0.05,
            "AU20L": 0.06,
            "AU20R": 0.06,
            "AU5L": 0.05,
            "AU5R": 0.05,
        },
    ),
    (0.1, {"funnel": 0.1, "pucker": 0.06, "AU45L": 1.0, "AU45R": 1.0}),
    (0.0, {"AU12L": 0.1, "AU12R": 0.1, "AU25": 0.08, "AU7L": 0.05, "AU7R": 0.05}),
)
"""Jaw and channels of faces that show, together, all that a face can show."""


class Light(NamedTuple):
    """Where the light comes from and how much of it: a key light and the light of the room.

    `x`, `y`, `z` point to the key light (right, up, towards the camera); `key` and `ambient` are how bright, `warmth` is
    above 0 for a redder key light (-.2 to .2).
    """

    x: float = -0.45
    y: float = 0.55
    z: float = 0.8
    key: float = 0.72
    ambient: float = 0.52
    warmth: float = 0.03


class Baked(NamedTuple):
    """The asset's arrays as floats: `base (V, 3)`, `heads (N, V, 3)` offsets, `units` by MakeHuman's names, cards."""

    triangles: np.ndarray
    material: np.ndarray
    base: np.ndarray
    heads: np.ndarray
    units: dict[str, np.ndarray]
    canvas: skin.Canvas
    cards: tuple[dict[str, Any], ...]


@functools.lru_cache(maxsize=1)
def baked() -> Baked:
    """The asset, read once; `MissingError` where it is not there."""
    if not ASSET.is_file():
        raise MissingError(
            f"{ASSET}: no such file; install metst anew, or bake it (metst_core.synthetic.bake)"
        )
    with np.load(ASSET, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    base = arrays["base"].astype(np.float32) * np.float32(HEAD_QUANTUM)
    triangles, material = arrays["triangles"].astype(np.int32), arrays["material"].astype(np.int32)
    units = dict(zip(arrays["unit_names"].tolist(), arrays["units"] * np.float32(UNIT_QUANTUM), strict=True))
    canvas = skin.Canvas.of(base, triangles[material == SKIN], arrays["lips"])
    return Baked(
        triangles, material, base, arrays["heads"], units, canvas, tuple(json.loads(str(arrays["cards"])))
    )


def asset_digest() -> str:
    """SHA-256 of the asset's file."""
    return hashlib.sha256(ASSET.read_bytes()).hexdigest()


def number_of_heads() -> int:
    return len(baked().cards)


@functools.lru_cache(maxsize=4)
def head(index: int) -> Head:
    """Head number `index`, from 0; the same one every time.  Built in about a second, then kept for a while."""
    return Head(index)


class Head:
    """One person: a shape, a skin, hair, perhaps glasses, before a wall.

    `card` says who it is; `iod` is the distance between the outer corners of the eyes, pixels; `closure` is the strength
    of AU45 at which the eye is shut (IOD).
    """

    def __init__(self, index: int) -> None:
        source = baked()
        index = whole_number("index", index, 0)
        if index >= len(source.cards):
            raise InputError(f"index is {index}; there are heads 0 to {len(source.cards) - 1}")
        self.index = index
        self.card: dict[str, Any] = dict(source.cards[index])
        rng = np.random.default_rng([index, 0x4EAD])
        shape = source.base + source.heads[index] * np.float32(HEAD_QUANTUM)
        open_eyes = np.float32(rng.uniform(0.1, 0.35))
        for side in BOTH:
            shape += open_eyes * source.units[f"eyeWide{side}"]
            # at rest the corners of the mouth are not down
            shape += np.float32(rng.uniform(0.06, 0.2)) * source.units[f"mouthSmile{side}"]
        corner = [np.linalg.norm(source.base - at, axis=1).argmin() for at in _CORNERS_AT]
        self._corners = np.array(corner)
        self._iod = float(np.linalg.norm(shape[corner[1]] - shape[corner[0]]))
        self.iod = float(rng.uniform(92, 102))
        self._distance = _DISTANCE
        depth = self._distance - float(shape[corner, 2].mean())
        self._focal = self.iod / self._iod * depth
        self._eyes_at = (FRAME_SIZE / 2 + rng.uniform(-4, 4), 150 + rng.uniform(-4, 4))
        self.light = Light(
            x=float(rng.choice([-1, 1]) * rng.uniform(0.15, 0.7)),
            y=float(rng.uniform(0.35, 0.75)),
            key=float(rng.uniform(0.6, 0.8)),
            ambient=float(rng.uniform(0.45, 0.6)),
            warmth=float(rng.uniform(-0.04, 0.06)),
        )
        self._dress(shape, source, rng)
        self._rooms: dict[int, Room] = {}
        self._channels(source)
        self._light_up()
        self._drop_hidden()
        self.background = _wall(rng, FRAME_SIZE)

    def render(
        self,
        units: Mapping[str, float] | np.ndarray | None = None,
        jaw: float = 0.0,
        gaze: tuple[float, float] | np.ndarray = (0.0, 0.0),
        pose: np.ndarray | None = None,
        light: Light | None = None,
        size: int = FRAME_SIZE,
    ) -> np.ndarray:
        """A frame without noise, blur or compression: RGB uint8 (size, size, 3).

        `units`: strengths (IOD) by name of `CHANNELS`, or an array in the order of `UNIT_NAMES` or `CHANNELS`; `jaw`:
        drop of the chin (IOD), beside AU26; `gaze`: shift of the pupils to the right and downwards (IOD), beside the
        channels `gaze_x`, `gaze_y`; `pose (6,)`: as `plan.HEAD_NAMES` (None: at rest); `light`: None for `self.light`.
        """
        amounts = self._amounts(units, jaw)
        local, look, opening = self._shape_of(amounts, np.asarray(gaze, float))
        pixels, nearness, normals, turn = self._placed(local, pose, size)
        given = self.light if light is None else light
        direction = np.array(given[:3]) / np.linalg.norm(given[:3])
        lamp = np.array([*direction, given.key, given.ambient, given.warmth], np.float32)
        lit = rasteriser.light_up(normals, self._surface.occlusion, self._surface.shadow, lamp)
        background = self.background if size == FRAME_SIZE else cv2.resize(self.background, (size, size))
        out = np.empty((size, size, 3), np.uint8)
        rasteriser.draw(
            pixels, nearness, local, lit, self._surface, turn, look, lamp, np.float32(opening), background,
            rasteriser.TO_SRGB, self._room(size), out,
        )  # fmt: skip
        return out

    def find_visible(self) -> np.ndarray:
        """The triangle seen at each of the two places of every pixel of the neutral face (640, 320), -1 for none.

        A part of what `render` does: its floor.
        """
        pixels, nearness = self._at_rest
        room = self._room(FRAME_SIZE)
        rasteriser.find_visible(pixels, nearness, self._surface.triangles, room)
        return room.chosen

    def _room(self, size: int) -> Room:
        if size not in self._rooms:
            self._rooms[size] = Room.of(size, len(self._surface.triangles))
        return self._rooms[size]

    def field(self, unit: str) -> np.ndarray:
        """Where a channel moves the neutral face to: (320, 320, 2) pixels per IOD of strength, x right and y down.

        What is seen at a place of the neutral frame lies, at the small strength a, `a * field` further; 0 off the head.
        """
        if unit not in CHANNELS or unit.startswith("gaze"):
            raise InputError(
                f"{unit!r} moves no vertex; use one of {', '.join(n for n in CHANNELS if n[:4] != 'gaze')}"
            )
        amounts = np.zeros(len(CHANNELS), np.float32)
        still, _, _ = self._shape_of(amounts, np.zeros(2))
        pixels, nearness, _, _ = self._placed(still, None, FRAME_SIZE)
        step = 0.01
        amounts[CHANNELS.index(unit)] = step
        moved, _, _ = self._placed(self._shape_of(amounts, np.zeros(2))[0], None, FRAME_SIZE)[:3]
        flow = (moved - pixels) / step
        triangles = self._surface.triangles
        chosen, weights = rasteriser.visible_triangles(
            pixels[triangles], nearness[triangles], FRAME_SIZE, FRAME_SIZE
        )
        field = np.einsum("hwk,hwkc->hwc", weights, flow[triangles[chosen]])
        return np.where(chosen[..., None] >= 0, field, 0).astype(np.float32)

    def _amounts(self, units: Mapping[str, float] | np.ndarray | None, jaw: float) -> np.ndarray:
        """Strengths of all channels (IOD), float32; the lids stop where they meet."""
        amounts = np.zeros(len(CHANNELS), np.float32)
        if isinstance(units, Mapping):
            for name, value in units.items():
                if name not in CHANNELS:
                    raise InputError(f"units: {name!r} is not known; use names of heads.CHANNELS")
                amounts[CHANNELS.index(name)] = value
        elif units is not None:
            given = np.asarray(units, np.float32)
            if given.shape not in ((len(UNIT_NAMES),), (len(CHANNELS),)):
                raise InputError(
                    f"units has shape {given.shape}; give ({len(UNIT_NAMES)},) or ({len(CHANNELS)},)"
                )
            amounts[: len(given)] = given
        amounts[UNIT_INDEX["AU26"]] += jaw
        for side in "LR":
            blink = UNIT_INDEX[f"AU45{side}"]
            amounts[blink] = min(amounts[blink], self.closure)
        return amounts

    def _shape_of(self, amounts: np.ndarray, gaze: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Vertices before turning, the gaze's sines, and how far the mouth is open (IOD)."""
        amounts = amounts.copy()
        shift = gaze + np.array([amounts[UNIT_INDEX["gaze_x"]], amounts[UNIT_INDEX["gaze_y"]]])
        sines = np.clip(shift * self._iod / self._eye_radius, -0.6, 0.6)
        lids = CHANNELS.index("lids_down" if sines[1] > 0 else "lids_up")
        amounts[lids] += abs(sines[1]) * self._lid_follows[lids]
        local = rasteriser.move(self._neutral, self._starts, self._moved, self._steps, amounts)
        self._slide_lids(local)
        opening = float(amounts[UNIT_INDEX["AU26"]] + 0.5 * amounts[UNIT_INDEX["AU25"]])
        look = np.array([sines[0], -sines[1]], np.float32)
        return local, look, opening

    def _slide_lids(self, shape: np.ndarray) -> None:
        """Keep the lids of `shape (V, 3)` outside the eyeballs, in place."""
        for side in (0, 1):
            rasteriser.keep_outside(shape, self._lids[side], self._surface.eyes[side], self._lid_least[side])

    def _placed(
        self, local: np.ndarray, pose: np.ndarray | None, size: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Pixels (V, 2), nearness (V,), normals (V, 3), and the head's turn (3, 3)."""
        shift_x, shift_y, roll, scale, yaw, pitch = (0, 0, 0, 1, 0, 0) if pose is None else map(float, pose)
        turns = _rotations(yaw, pitch, roll)
        zoom = size / FRAME_SIZE
        camera = np.array(
            [
                self._focal * zoom,
                self._distance / scale,
                (self._eyes_at[0] + 0.5) * zoom - 0.5,
                (self._eyes_at[1] + 0.5) * zoom - 0.5,
            ],
            np.float32,
        )
        shift = np.array([shift_x, -shift_y], np.float32) * np.float32(self._iod)
        positions, pixels, nearness = rasteriser.place(local, self._follows, turns, _PIVOT, shift, camera)
        return pixels, nearness, rasteriser.smooth_normals(positions, self._triangles), turns[-1]

    def _dress(self, shape: np.ndarray, source: Baked, rng: np.random.Generator) -> None:
        """Hair, cap or scarf, clothes and glasses onto the bare head; sets vertices, triangles, texture, colours."""
        card = self.card
        skin_triangles = source.triangles[source.material == SKIN]
        on_skin = np.unique(skin_triangles)
        angles = np.rad2deg(latitude_longitude(source.base))
        angles[:, 1] = np.abs(angles[:, 1])
        shape = _covered(shape, source, card, on_skin, angles)
        lash = np.unique(source.triangles[source.material == LASH])
        shape = _shorter_lashes(shape, lash, source, 0.75 if card["sex"] == "female" else 0.5)
        corners = texture_corners(latitude_longitude(source.base[source.triangles]))
        vertices, triangles = [shape], [source.triangles]
        material, places = [source.material], [corners]
        base = [source.base]
        for mesh, kind in self._worn(shape, source, rng):
            count = sum(len(v) for v in vertices)
            vertices.append(mesh[0].astype(np.float32))
            base.append(np.tile(np.array([[0, 0.5, 0]], np.float32), (len(mesh[0]), 1)))
            triangles.append((mesh[1] + count).astype(np.int32))
            material.append(np.full(len(mesh[1]), kind, np.int32))
            around = latitude_longitude(mesh[0][mesh[1]])
            around[..., 0] = np.deg2rad(
                np.interp(around[..., 0], (-2, 1.5), (35, 80))
            )  # where hair is painted
            places.append(texture_corners(around))
        self._neutral = np.ascontiguousarray(np.concatenate(vertices), dtype=np.float32)
        self._n_baked = len(shape)
        all_triangles = np.concatenate(triangles)
        colours = np.zeros((8, 3), np.float32)
        for kind, colour in _COLOURS.items():
            colours[kind] = skin.linear(colour)
        colours[CLOTH] = skin.linear(
            skin.CLOTH_COLOURS[int(rng.integers(len(skin.CLOTH_COLOURS)))]
        ) * rng.uniform(0.8, 1.2)
        if rng.uniform() < 0.4:
            colours[GLASSES] = skin.linear(
                [(96, 60, 34), (120, 116, 112), (70, 24, 30)][int(rng.integers(3))]
            )
        self._triangles = np.ascontiguousarray(all_triangles, dtype=np.uint32)
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
        self._eye_radius = float(np.linalg.norm(shape[sides[0]] - centres[0], axis=1).mean())
        self._surface = Surface(
            self._triangles,
            kinds.astype(np.int32),
            np.concatenate(places).astype(np.float32),
            skin.paint(source.canvas, card),
            colours,
            np.where(on_body, skin.neckline(at), -1).astype(np.float32),
            np.ones(len(self._neutral), np.float32),
            np.ones(len(self._neutral), np.float32),
            centres,
            skin.linear(skin.EYE_COLOURS[card["eyes"]]),
        )
        low, high = -2.0, -1.3
        jaw = np.where(at[:, 2] > -0.55, 0.12, 0.0)  # the chin hangs on the head, not on the neck
        t = np.clip((at[:, 1] + jaw - low) / (high - low), 0, 1)
        self._follows = (t * t * (3 - 2 * t)).astype(np.float32)
        self._lids, self._lid_least = [], []
        near_eye = np.concatenate([on_skin, lash])
        for side in (0, 1):
            distance = np.linalg.norm(self._neutral[near_eye] - centres[side], axis=1)
            chosen = (distance < 1.75 * self._eye_radius) & (self._neutral[near_eye, 2] > centres[side, 2])
            self._lids.append(near_eye[chosen].astype(np.int32))
            self._lid_least.append(np.minimum(distance[chosen], 1.06 * self._eye_radius).astype(np.float32))

    def _worn(
        self, shape: np.ndarray, source: Baked, rng: np.random.Generator
    ) -> list[tuple[accessories.Mesh, int]]:
        """Meshes beside the head, and what they are made of."""
        worn: list[tuple[accessories.Mesh, int]] = []
        hair = self.card["hair"]
        base = source.base
        if hair in ("long", "bob"):
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
            length = -1.9 if hair == "long" else rng.uniform(-1.15, -0.85)
            mesh = accessories.long_hair(radius, longitudes, middle, length, rng)
            back = (mesh[0], mesh[1][:, ::-1])
            worn += [(mesh, SKIN), (back, SKIN)]
        if hair == "bun":
            top = shape[np.argmax(shape[:, 1])]
            worn.append((accessories.ball(np.array([0.0, top[1] + 0.12, top[2] - 0.25]), 0.3), SKIN))
        if self.card["glasses"] != "none":
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
            worn.append((accessories.spectacles(self.card["glasses"], eyes, front, ends), GLASSES))
        return worn

    def _channels(self, source: Baked) -> None:
        """How far every channel moves every vertex (decimetres per IOD of strength), sparse."""
        still, nearness, _, _ = self._placed(self._neutral, None, FRAME_SIZE)
        self._at_rest = still, nearness
        triangles = self._surface.triangles
        chosen, _ = rasteriser.visible_triangles(
            still[triangles], nearness[triangles], FRAME_SIZE, FRAME_SIZE
        )
        seen_triangles = np.unique(chosen[chosen >= 0])
        on_skin = self._surface.material[seen_triangles] == SKIN
        visible = np.unique(triangles[seen_triangles[on_skin]])
        starts, moved, steps = [0], [], []
        self._lid_follows = np.zeros(len(CHANNELS))
        for channel in CHANNELS:
            delta = np.zeros_like(self._neutral)
            delta[: self._n_baked] = _displacement(channel, source)
            scale = 0.0
            if delta.any():
                if channel in MOUTH_UNITS:
                    longest = float(np.linalg.norm(delta, axis=1).max())
                    scale = self._iod / longest
                    self._lid_follows[CHANNELS.index(channel)] = longest / self._iod
                else:
                    step = 0.1
                    shape = self._neutral + np.float32(step) * delta
                    self._slide_lids(shape)
                    seen = self._placed(shape, None, FRAME_SIZE)[0] - still
                    longest = float(np.linalg.norm(seen[visible], axis=1).max()) / step
                    scale = self.iod / longest
                    if channel == "AU45L":
                        self.closure = 1.02 / scale
            vertices = np.flatnonzero(np.abs(delta).max(axis=1) > 0)
            moved.append(vertices.astype(np.int32))
            steps.append((delta[vertices] * scale).astype(np.float32))
            starts.append(starts[-1] + len(vertices))
        self._starts = np.array(starts, np.int32)
        self._moved, self._steps = np.concatenate(moved), np.concatenate(steps)

    def _light_up(self) -> None:
        """How much sky and how much key light every vertex of the neutral head sees."""
        triangles = self._surface.triangles
        normals = rasteriser.smooth_normals(self._neutral, triangles)
        around = _sphere(72).astype(np.float32)
        sky = rasteriser.seen_from(self._neutral, normals, triangles, around, 192, 0.06)
        towards = np.array(self.light[:3]) / np.linalg.norm(self.light[:3])
        near = towards + 0.28 * _sphere(24)
        near = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
        key = rasteriser.seen_from(self._neutral, normals, triangles, near, 256, 0.05)
        sky, key = 0.12 + 0.88 * np.clip(sky, 0, 1), 0.25 + 0.75 * np.clip(key, 0, 1)
        lids = np.concatenate(self._lids)  # what is folded in when the eye is open comes to light in a blink
        sky[lids], key[lids] = np.maximum(sky[lids], 0.5), np.maximum(key[lids], 0.6)
        self._surface = self._surface._replace(
            occlusion=sky.astype(np.float32), shadow=key.astype(np.float32)
        )

    def _drop_hidden(self) -> None:
        """Leave out the triangles that no turn and no face shows, nor their neighbours: a third of the work."""
        seen = np.zeros(len(self._triangles), bool)
        room = Room.of(FRAME_SIZE, len(self._triangles))
        for jaw, units in _EXTREMES:
            shape, _, _ = self._shape_of(self._amounts(units, jaw), np.zeros(2))
            for yaw in (-35, 0, 35):
                for pitch in (-28, 0, 28):
                    pixels, nearness, _, _ = self._placed(
                        shape, np.array([0, 0, 0, 1, yaw, pitch]), FRAME_SIZE
                    )
                    rasteriser.find_visible(pixels, nearness, self._triangles, room)
                    seen[room.chosen[room.chosen >= 0]] = True
        touched = np.zeros(len(self._neutral), bool)
        touched[self._triangles[seen]] = True
        kept = touched[self._triangles].any(axis=1)
        self._surface = self._surface._replace(
            triangles=np.ascontiguousarray(self._triangles[kept]),
            material=self._surface.material[kept],
            corners=np.ascontiguousarray(self._surface.corners[kept]),
        )
        self._rooms.clear()


def _displacement(channel: str, source: Baked) -> np.ndarray:
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
        cover = np.clip((skin.scarf_outside(source.base)) / 0.06, 0, 1) * (source.base[:, 1] > -1.45)
    else:
        above = skin.hair_above(angles, card)
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
    lower = source.base[lash, 1:2] < 0.0
    share = np.where(lower, 0.3 * length, length).astype(np.float32)
    out[lash] = shape[root] + share * (shape[lash] - shape[root])
    return out


def _rotations(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """From no turn to all of it: (_TURNS, 3, 3) float32.

    Degrees: yaw to the right of the image, then pitch downwards, then roll clockwise.
    """
    share = np.linspace(0, 1, _TURNS)
    (cy, sy), (cp, sp), (cr, sr) = (
        (np.cos(a), np.sin(a)) for a in np.deg2rad([[yaw], [pitch], [-roll]]) * share
    )
    rows = (
        (cr * cy - sr * sp * sy, -sr * cp, cr * sy + sr * sp * cy),
        (sr * cy + cr * sp * sy, cr * cp, sr * sy - cr * sp * cy),
        (-cp * sy, sp, cp * cy),
    )
    return np.array(rows, np.float32).transpose(2, 0, 1).copy()


def _sphere(n: int) -> np.ndarray:
    """Directions (n, 3), even over the sphere."""
    k = np.arange(n) + 0.5
    polar, around = np.arccos(1 - 2 * k / n), np.pi * (1 + 5**0.5) * k
    return np.column_stack([np.cos(around) * np.sin(polar), np.cos(polar), np.sin(around) * np.sin(polar)])


def _wall(rng: np.random.Generator, size: int) -> np.ndarray:
    """What is behind a person, out of focus: a wall with some light on it and some things: RGB uint8."""
    y, x = np.mgrid[:size, :size] / size
    tone = rng.uniform(0.25, 0.8) + rng.uniform(-0.06, 0.06, 3)
    wall = np.ones((size, size, 3)) * tone
    angle = rng.uniform(0, 2 * np.pi)
    wall *= (1 + rng.uniform(0.1, 0.35) * ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)))[..., None]
    for _ in range(int(rng.integers(0, 5))):
        left, top = rng.uniform(-0.2, 1, 2)
        wide, high = rng.uniform(0.1, 0.5, 2)
        inside = (x > left) & (x < left + wide) & (y > top) & (y < top + high)
        wall[inside] = wall[inside] * 0.4 + 0.6 * np.clip(
            tone + rng.uniform(-0.25, 0.25) + rng.uniform(-0.08, 0.08, 3), 0, 1
        )
    soft = cv2.GaussianBlur(wall.astype(np.float32), (0, 0), size / 45)
    return np.clip(np.round(soft * 255), 0, 255).astype(np.uint8)
