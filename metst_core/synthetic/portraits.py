"""Many faces from few portraits: where the synthetic identities come from.

A portrait is brought to a standard pose (outer eye corners level, at a fixed place), then its shape, tone,
light and skin are varied.  Shape varies by the same means as the face moves: Gaussian bumps at mesh
landmarks, here with a wide reach and the same on both sides.

Two portraits come with packages that are needed anyway: `skimage.data.astronaut()` (Eileen Collins; NASA, public
domain) and matplotlib's `grace_hopper.jpg` (Grace Hopper; US Navy, public domain).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from metst_core.errors import InputError, MissingError
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.synthetic.action_units import (
    EYE_CORNERS,
    FACE_OVAL,
    IMAGE_LEFT_EYE,
    IMAGE_RIGHT_EYE,
    Bump,
    both_sides,
    grid_points,
    inter_ocular,
    sum_of_bumps,
)
from metst_core.video import read_image

FRAME_SIZE = 320
"""Width and height of a frame, pixels."""
OVERSAMPLING = 2
"""Canvas pixels per frame pixel; a linear look-up in the finer canvas keeps sub-pixel motion sharp."""
MARGIN = 32
"""How far the canvas reaches beyond the frame on every side, frame pixels."""
CANVAS_ORIGIN = (OVERSAMPLING - 1) / 2
"""Where frame position (-MARGIN, -MARGIN) lies on the canvas, canvas pixels (middles of pixels count)."""
BUNDLED_PORTRAIT = "astronaut"
BUNDLED_PORTRAITS = ("hopper", BUNDLED_PORTRAIT)

_COARSE_STEP = 2  # frame pixels per cell in which the shape field, which is smooth, is computed
_IOD_RANGE = (94.0, 104.0)  # frame pixels
_EYES_AT = (160.0, 153.0)  # midpoint of the outer eye corners, frame pixels

TRAITS: dict[str, tuple[tuple[Bump, ...], float]] = {
    "face width": ((Bump(234, 1.0, 0.0, 0.45), Bump(132, 0.6, 0.0, 0.35)), 0.060),
    "jaw width": ((Bump(172, 1.0, 0.0, 0.30), Bump(136, 0.8, 0.0, 0.30)), 0.045),
    "chin length": ((Bump(148, 0.0, 1.0, 0.30),), 0.050),
    "forehead height": ((Bump(67, 0.0, -1.0, 0.45),), 0.050),
    "nose width": ((Bump(129, 1.0, 0.0, 0.13),), 0.030),
    "nose length": ((Bump(98, 0.0, 1.0, 0.16),), 0.030),
    "mouth width": ((Bump(61, 1.0, 0.0, 0.17),), 0.040),
    "mouth height": ((Bump(37, 0.0, 1.0, 0.22), Bump(84, 0.0, 1.0, 0.22)), 0.020),
    "upper lip": ((Bump(37, 0.0, -1.0, 0.07),), 0.012),
    "lower lip": ((Bump(84, 0.0, 1.0, 0.08),), 0.015),
    "brow height": ((Bump(105, 0.0, -1.0, 0.16),), 0.025),
    "brow slant": ((Bump(70, 0.0, -1.0, 0.13),), 0.025),
    "eye size": ((Bump(159, 0.0, -1.0, 0.08), Bump(145, 0.0, 1.0, 0.08)), 0.012),
    "eye distance": ((Bump(159, 1.0, 0.0, 0.22),), 0.035),
    "eye slant": ((Bump(33, 0.0, -1.0, 0.13),), 0.025),
    "cheeks": ((Bump(205, 1.0, 0.0, 0.25),), 0.040),
}
"""Shape trait -> what it moves (both sides alike) and its largest amount either way (IOD)."""


@dataclass(frozen=True)
class Identity:
    """One synthetic person.

    `canvas` is the neutral picture, BGR uint8, `OVERSAMPLING` pixels per frame pixel and `MARGIN` frame
    pixels wider than the frame on every side.  `mesh (478, 2)` are the landmarks in frame pixels, `depth
    (478,)` their distance from the camera relative to the head's centre, in frame pixels.
    """

    seed: int
    index: int
    portrait: str
    canvas: np.ndarray
    mesh: np.ndarray
    depth: np.ndarray
    traits: dict[str, float]

    @property
    def iod(self) -> float:
        """Inter-ocular distance, frame pixels."""
        return inter_ocular(self.mesh)

    @property
    def image(self) -> np.ndarray:
        """The neutral face as a frame: RGB uint8 (FRAME_SIZE, FRAME_SIZE, 3)."""
        at = to_canvas(np.dstack(grid_points(FRAME_SIZE, FRAME_SIZE, 1)))
        return np.ascontiguousarray(look_up(self.canvas, at.astype(np.float32))[..., ::-1])


def look_up(canvas: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The canvas at the positions `at (..., 2)` (float32, canvas pixels): one `cv2.remap`.

    OpenCV rounds positions to 1/32 of a canvas pixel, that is 1/64 of a frame pixel.
    """
    # The second map is not needed when x and y come together; OpenCV 5 would read an empty array as one.
    return cv2.remap(canvas, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def to_canvas(points: np.ndarray) -> np.ndarray:
    """Frame positions (..., 2) as canvas positions."""
    return (points + MARGIN) * OVERSAMPLING + CANVAS_ORIGIN


def face_mesh(image: np.ndarray) -> np.ndarray | None:
    """MediaPipe's mesh of the face in an RGB image: (478, 3) x, y, z in pixels; None without a face."""
    return MediaPipeLandmarker().mesh(image)


def identity(seed: int, index: int, portraits: tuple[str, ...] = (), darkest: float = 1.0) -> Identity:
    """The person `index` of a set: depends on `seed`, `index` and the portraits alone.

    `portraits` are paths of portrait photographs, or names of `BUNDLED_PORTRAITS`, to use in turn (none: the
    `BUNDLED_PORTRAIT`); `darkest` is how far the skin's tone may be changed, 0..1.  Odd numbered
    persons are mirrored.  Raises an `InputError` naming the file if no face is found in it.
    """
    rng = np.random.default_rng([seed, index, 0x1D])
    source = portraits[index % len(portraits)] if portraits else BUNDLED_PORTRAIT
    photo, points = _portrait(source, mirrored=index % 2 == 1)
    iod = rng.uniform(*_IOD_RANGE)
    pose = _pose(points, iod)
    standard = cv2.transform(points[None, :, :2], pose)[0]
    traits = {name: float(rng.uniform(-1, 1) * most) for name, (_, most) in TRAITS.items()}

    x, y = _canvas_points()
    coarse = _canvas_points(_COARSE_STEP)
    shape = cv2.resize(_shape_field(traits, standard, iod, *coarse), x.shape)
    back = cv2.invertAffineTransform(pose)
    positions = cv2.transform(np.dstack([x, y]) - shape, back).astype(np.float32)
    canvas = cv2.remap(
        photo, positions[..., 0], positions[..., 1], cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE
    )

    mesh = _push(standard, traits, iod)
    canvas = _restyle(canvas, mesh, rng, darkest)
    scale = iod / inter_ocular(points)
    return Identity(seed, index, source, canvas, mesh, points[:, 2] * scale, traits)


def contact_sheet(
    seed: int, n_subjects: int, portraits: tuple[str, ...] = (), columns: int = 6, size: int = 160
) -> np.ndarray:
    """The neutral faces of persons 0 .. n-1 in rows of `columns`: RGB uint8, each `size` pixels square."""
    tiles = [
        cv2.resize(identity(seed, i, portraits).image, (size, size), interpolation=cv2.INTER_AREA)
        for i in range(n_subjects)
    ]
    blank = np.full((size, size, 3), 255, np.uint8)
    tiles += [blank] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def head_weight(x: np.ndarray, y: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """How far a place follows the head: 1 on it, falling off to 0 in the background, shape of `x`."""
    iod = inter_ocular(mesh)
    middle = mesh[list(FACE_OVAL), :2].mean(axis=0)
    radius = np.hypot((x - middle[0]) / (1.0 * iod), (y - middle[1] + 0.1 * iod) / (1.15 * iod))
    fall = np.clip((radius - 1) / 0.6, 0, 1)
    return (1 - fall * fall * (3 - 2 * fall)).astype(np.float32)


def depth_map(mesh: np.ndarray, depth: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The landmarks' depth spread over the points `x, y` by Gaussian-weighted means, unit of `depth`."""
    reach = 0.09 * inter_ocular(mesh)
    total, weights = np.zeros(x.shape), np.full(x.shape, 1e-9)
    for (px, py), z in zip(mesh[:468, :2], depth[:468], strict=True):
        weight = np.exp(((x - px) ** 2 + (y - py) ** 2) / (-2 * reach**2))
        total += weight * z
        weights += weight
    return (total / weights).astype(np.float32)


def _canvas_points(step: float = 1 / OVERSAMPLING) -> tuple[np.ndarray, np.ndarray]:
    """x and y (frame pixels) of cells of `step` frame pixels over the canvas; by default of its pixels."""
    side = FRAME_SIZE + 2 * MARGIN
    x, y = grid_points(side, side, step)
    return x - MARGIN, y - MARGIN


def _on_canvas(points: np.ndarray) -> np.ndarray:
    """Points (n, 2) in frame pixels as the nearest canvas pixels, int32."""
    return np.round(to_canvas(points)).astype(np.int32)


@functools.lru_cache(maxsize=8)
def _portrait(source: str, mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """A portrait (BGR uint8) at about twice the needed size or less, and its mesh (478, 3) in its pixels."""
    if source == BUNDLED_PORTRAIT:
        from skimage.data import astronaut

        photo = np.ascontiguousarray(astronaut()[:400, :, ::-1])
    elif source in BUNDLED_PORTRAITS:
        photo = _sample_of_matplotlib("grace_hopper.jpg")
    else:
        if not Path(source).is_file():
            raise MissingError(f"{source}: no such portrait; give the path of an image file")
        photo = cv2.cvtColor(read_image(source), cv2.COLOR_RGB2BGR)
    if mirrored:
        photo = np.ascontiguousarray(photo[:, ::-1])
    points = face_mesh(cv2.cvtColor(photo, cv2.COLOR_BGR2RGB))
    if points is None:
        raise InputError(
            f"{source}: no face found; use a portrait from the front that fills much of the image"
        )
    excess = inter_ocular(points) / (_IOD_RANGE[1] * OVERSAMPLING)
    if excess > 1:  # shrink first: a look-up alone would alias
        photo = cv2.resize(photo, None, fx=1 / excess, fy=1 / excess, interpolation=cv2.INTER_AREA)
        points = points / excess
    return photo, points


def _sample_of_matplotlib(name: str) -> np.ndarray:
    """A picture that comes with matplotlib: BGR uint8."""
    from matplotlib import get_data_path

    path = Path(get_data_path()) / "sample_data" / name
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photo is None:
        raise MissingError(f"{path}: this matplotlib comes without its sample data; install it with pip")
    return photo


def _pose(points: np.ndarray, iod: float) -> np.ndarray:
    """Similarity (2, 3) from portrait pixels to frame pixels that puts the eye corners level and in place."""
    left, right = points[EYE_CORNERS[0], :2], points[EYE_CORNERS[1], :2]
    along = (right - left) / np.hypot(*(right - left))
    scale = iod / np.hypot(*(right - left))
    turn = scale * np.array([[along[0], along[1]], [-along[1], along[0]]])
    return np.column_stack([turn, np.array(_EYES_AT) - turn @ ((left + right) / 2)])


def _shape_field(
    traits: dict[str, float], mesh: np.ndarray, iod: float, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Displacement by all traits at the points `x, y` (any shape S): (*S, 2), frame pixels."""
    field = np.zeros((*x.shape, 2), np.float32)
    for name, amount in traits.items():
        field += np.float32(amount * iod) * sum_of_bumps(both_sides(TRAITS[name][0]), mesh, iod, x, y)
    return field


def _push(mesh: np.ndarray, traits: dict[str, float], iod: float) -> np.ndarray:
    """Where the landmarks go: solves `new - shape(new) = old` by fixed-point iteration (it contracts)."""
    new = mesh.copy()
    for _ in range(8):
        new = mesh + _shape_field(traits, mesh, iod, new[:, 0], new[:, 1])
    return new


def _restyle(canvas: np.ndarray, mesh: np.ndarray, rng: np.random.Generator, darkest: float) -> np.ndarray:
    """Vary skin tone, light direction and skin texture of a canvas (BGR uint8)."""
    x, y = _canvas_points()
    iod = inter_ocular(mesh)
    skin = _skin_mask(canvas, mesh, x, y)[..., None]
    lab = cv2.cvtColor(canvas.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)

    darkness = darkest * rng.uniform(0, 1) ** 1.3
    tone = np.array([1 - 0.38 * darkness, 1 + 0.25 * darkness, 1 + 0.25 * darkness], np.float32)
    shift = rng.uniform(-1, 1, 2) * 2.5
    toned = lab * tone + np.array([0, *shift], np.float32)
    lab = lab + skin * (toned - lab)

    middle = mesh[list(FACE_OVAL), :2].mean(axis=0)
    u, v = (x - middle[0]) / iod, (y - middle[1]) / (1.2 * iod)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.22)
    facing = np.tanh(1.5 * (u * np.cos(angle) + v * np.sin(angle)))
    light = 1 + strength * facing * head_weight(x, y, mesh)
    lab[..., 0] *= light.astype(np.float32) * rng.uniform(0.92, 1.06)

    texture = np.zeros(x.shape, np.float32)
    for sigma, amount in ((0.7, 1.0), (1.6, 0.8), (5.0, 0.5)):  # pores, blotches; canvas pixels
        grain = cv2.GaussianBlur(rng.standard_normal(x.shape).astype(np.float32), (0, 0), sigma)
        texture += amount * grain / grain.std()
    lab[..., 0] += skin[..., 0] * texture * rng.uniform(0.5, 1.1)
    lab[..., 0] -= skin[..., 0] * _freckles(x, y, mesh, rng)
    bgr = cv2.cvtColor(np.clip(lab, (0, -127, -127), (100, 127, 127)).astype(np.float32), cv2.COLOR_LAB2BGR)
    return np.clip(np.round(bgr * 255), 0, 255).astype(np.uint8)


def _freckles(x: np.ndarray, y: np.ndarray, mesh: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some dark spots on the cheeks, nose and forehead: lightness to take away, shape of `x`."""
    dark = np.zeros(x.shape, np.float32)
    for _ in range(int(rng.integers(2, 16))):
        px, py = mesh[rng.integers(0, 468)] + rng.normal(0, 3, 2)
        size, depth = rng.uniform(0.5, 1.1), rng.uniform(4, 12)
        dark += np.float32(depth) * np.exp(((x - px) ** 2 + (y - py) ** 2) / (-2 * size**2))
    return dark


def _skin_mask(canvas: np.ndarray, mesh: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """0..1, soft: where the picture has the colour of the cheeks, in and around the face; never the eyes."""
    iod = inter_ocular(mesh)

    def polygon(points: np.ndarray, blur: float) -> np.ndarray:
        mask = np.zeros(x.shape, np.float32)
        cv2.fillPoly(mask, [_on_canvas(points)], (1.0,))
        return cv2.GaussianBlur(mask, (0, 0), blur * iod * OVERSAMPLING)

    lab = cv2.cvtColor(cv2.GaussianBlur(canvas, (0, 0), 3).astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    column, row = _on_canvas(mesh[[50, 280, 205, 425, 101, 330, 151]]).T
    cheeks = lab[row, column]
    difference = (lab - np.median(cheeks, axis=0)) / np.array([28, 9, 12])
    alike = np.exp(-(np.clip(np.linalg.norm(difference, axis=2) - 0.6, 0, None) ** 2))
    oval = polygon(mesh[list(FACE_OVAL), :2], 0.04)
    eyes = polygon(mesh[list(IMAGE_LEFT_EYE), :2], 0.01) + polygon(mesh[list(IMAGE_RIGHT_EYE), :2], 0.01)
    beside = np.clip((0.95 - np.abs(x - mesh[1, 0]) / iod) / 0.25, 0, 1)  # ears and neck, not the background
    below = np.clip((y - mesh[33, 1]) / (0.2 * iod), 0, 1)
    around = np.maximum(oval, beside * below)
    mask = cv2.GaussianBlur((alike * around).astype(np.float32), (0, 0), 2.0)
    return mask * (1 - np.clip(eyes, 0, 1))
