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
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np

from metst_core.checks import whole_number
from metst_core.compiled import compiled
from metst_core.errors import InputError
from metst_core.synthetic import rasteriser, shading
from metst_core.synthetic.action_units import UNIT_INDEX, UNIT_NAMES
from metst_core.synthetic.channels import BOTH, CHANNELS, MOUTH_UNITS, displacement
from metst_core.synthetic.head_asset import HEAD_QUANTUM, Baked, baked
from metst_core.synthetic.outfit import dress
from metst_core.synthetic.rasteriser import SKIN, Room

FRAME_SIZE = 320

_PIVOT = np.array([0.0, -1.25, -0.95], np.float32)  # top of the neck, decimetres
_DISTANCE = 9.0  # of the camera, decimetres
_CORNERS_AT = ((-0.452, 0.008, 0.075), (0.452, 0.008, 0.075))  # outer corners of the eyes on the neutral head
_TURNS = 33
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
        body = dress(shape, source, self.card, rng)
        self._neutral, self._surface, self._follows = body.neutral, body.surface, body.follows
        self._triangles = body.surface.triangles
        self._lids, self._lid_least, self._eye_radius = body.lids, body.lid_least, body.eye_radius
        self._rooms: dict[int, Room] = {}
        self._channels(source, body.n_baked)
        self._light_up(body.lips)
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
        lit = shading.light_up(normals, self._surface.occlusion, self._surface.shadow, lamp)
        background = self.background if size == FRAME_SIZE else cv2.resize(self.background, (size, size))
        out = np.empty((size, size, 3), np.uint8)
        room = self._room(size)
        rasteriser.find_visible(pixels, nearness, self._surface.triangles, room)
        shading.draw(
            pixels, local, lit, self._surface, turn, look, lamp, np.float32(opening), background, room, out,
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
                    raise InputError(f"units: {name!r} is not known; use names of channels.CHANNELS")
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

    def _channels(self, source: Baked, n_baked: int) -> None:
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
            delta[:n_baked] = displacement(channel, source)
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

    def _light_up(self, lips: np.ndarray) -> None:
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
        sky[lips] = np.maximum(sky[lips], 0.4)  # a black seam thinner than a pixel would flicker
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
            folds=self._surface.folds[kept],
            corners=np.ascontiguousarray(self._surface.corners[kept]),
        )
        self._rooms.clear()


@compiled()
def _rotations(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """From no turn to all of it: (_TURNS, 3, 3) float32.

    Degrees: yaw to the right of the image, then pitch downwards, then roll clockwise.
    """
    turns = np.empty((_TURNS, 3, 3), np.float32)
    for n in range(_TURNS):
        part = n / (_TURNS - 1) * math.pi / 180
        cy, sy = math.cos(yaw * part), math.sin(yaw * part)
        cp, sp = math.cos(pitch * part), math.sin(pitch * part)
        cr, sr = math.cos(roll * part), -math.sin(roll * part)
        turn = turns[n]
        turn[0, 0], turn[0, 1], turn[0, 2] = cr * cy - sr * sp * sy, -sr * cp, cr * sy + sr * sp * cy
        turn[1, 0], turn[1, 1], turn[1, 2] = sr * cy + cr * sp * sy, cr * cp, sr * sy - cr * sp * cy
        turn[2, 0], turn[2, 1], turn[2, 2] = -cp * sy, sp, cp * cy
    return turns


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
