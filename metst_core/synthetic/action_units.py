"""Facial action units (AU) as data: what moves where, and the emotions as AU combinations.

An AU is a list of `Bump`s: a mesh landmark, a direction, and a reach.  The landmarks are those of
MediaPipe's face mesh (468 points and 10 iris points).  Directions are in face axes: `out` points away from
the midline of the face, `down` to the chin.  A bilateral AU is written once, for the side at the left of
the image; the other side is its mirror image.  All lengths are in inter-ocular distances (IOD): the
distance between the outer eye corners.

What an AU moves follows the FACS manual (Ekman, Friesen and Hager, *Facial Action Coding System*, 2002); the
numbers are this project's own drawing of it and were checked by eye, not measured on faces.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

IMAGE_LEFT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
IMAGE_RIGHT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
"""Outline of an eye in the mesh: outer corner, lower lid, inner corner (index 8), upper lid."""
EYE_CORNERS = (33, 263)
"""Outer eye corners; their distance is the inter-ocular distance."""
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip

MIRROR = {
    # brows and forehead
    70: 300, 63: 293, 105: 334, 66: 296, 107: 336, 46: 276, 53: 283, 52: 282, 65: 295, 55: 285,
    108: 337, 69: 299, 104: 333, 68: 298, 71: 301, 67: 297, 109: 338,
    # eyelids and what lies around the eye
    33: 263, 7: 249, 163: 390, 144: 373, 145: 374, 153: 380, 154: 381, 155: 382, 133: 362, 173: 398,
    157: 384, 158: 385, 159: 386, 160: 387, 161: 388, 246: 466,
    23: 253, 22: 252, 24: 254, 110: 339, 230: 450, 229: 449, 228: 448, 231: 451, 226: 446, 35: 265, 130: 359,
    # cheek
    117: 346, 118: 347, 119: 348, 50: 280, 101: 330, 205: 425, 36: 266, 187: 411, 207: 427, 123: 352,
    # nose
    48: 278, 49: 279, 98: 327, 64: 294, 129: 358, 198: 420, 217: 437, 196: 419, 131: 360,
    # mouth and the fold beside it
    61: 291, 185: 409, 40: 270, 39: 269, 37: 267, 146: 375, 91: 321, 181: 405, 84: 314,
    82: 312, 81: 311, 80: 310, 87: 317, 178: 402, 88: 318,
    57: 287, 43: 273, 92: 322, 165: 391, 216: 436, 212: 432, 202: 422,
    # chin and jaw
    83: 313, 182: 406, 201: 421, 32: 262, 148: 377, 176: 400, 149: 378, 150: 379, 136: 365, 172: 397,
    234: 454, 93: 323, 132: 361, 58: 288, 127: 356,
}  # fmt: skip
"""Landmark at the left of the image -> its partner at the right."""


class Bump(NamedTuple):
    """A bump of displacement: `(out, down)` at `landmark`, Gaussian with sigma `reach` (IOD)."""

    landmark: int
    out: float
    down: float
    reach: float


class ActionUnit(NamedTuple):
    """One AU: FACS number and name, bilateral or not, and its bumps (empty for AU45, see `blink_field`)."""

    number: int
    name: str
    bilateral: bool
    bumps: tuple[Bump, ...]


def _bumps(reach: float, *rows: tuple[int, float, float]) -> tuple[Bump, ...]:
    return tuple(Bump(landmark, out, down, reach) for landmark, out, down in rows)


ACTION_UNITS: dict[int, ActionUnit] = {
    unit.number: unit
    for unit in (
        ActionUnit(1, "inner brow raiser", True,
            _bumps(0.10, (107, 0.0, -1.0), (55, 0.0, -0.9), (66, 0.0, -0.6), (65, 0.0, -0.5))
            + _bumps(0.14, (108, 0.0, -0.4))),
        ActionUnit(2, "outer brow raiser", True,
            _bumps(0.10, (70, 0.05, -0.8), (63, 0.05, -1.0), (105, 0.0, -0.6),
                   (46, 0.05, -0.7), (53, 0.0, -0.9))
            + _bumps(0.14, (104, 0.0, -0.3))),
        ActionUnit(4, "brow lowerer", True,
            _bumps(0.10, (107, -0.6, 0.9), (55, -0.6, 1.0), (66, -0.4, 0.8), (65, -0.4, 0.8),
                   (105, -0.1, 0.4))),
        ActionUnit(5, "upper lid raiser", True,
            _bumps(0.05, (159, 0.0, -1.0), (158, 0.0, -0.9), (160, 0.0, -0.9), (157, 0.0, -0.5),
                   (161, 0.0, -0.5))),
        ActionUnit(6, "cheek raiser", True,
            _bumps(0.14, (117, -0.1, -0.7), (118, 0.0, -1.0), (119, 0.0, -0.7), (50, 0.0, -1.0),
                   (205, 0.0, -0.5))
            + _bumps(0.08, (226, -0.6, 0.1), (35, -0.6, -0.2))),
        ActionUnit(7, "lid tightener", True,
            _bumps(0.06, (145, 0.0, -1.0), (144, 0.0, -0.8), (153, -0.1, -0.9), (163, -0.1, -0.4),
                   (154, -0.1, -0.6), (23, 0.0, -0.5), (24, 0.0, -0.4))
            + _bumps(0.04, (159, 0.0, 0.3))),
        ActionUnit(9, "nose wrinkler", True,
            _bumps(0.09, (198, 0.0, -0.9), (129, 0.0, -1.0), (49, 0.0, -0.7), (217, 0.0, -0.7),
                   (196, 0.0, -0.3))
            + _bumps(0.08, (165, 0.0, -0.5), (37, 0.0, -0.4))
            + _bumps(0.09, (55, -0.3, 0.6))),
        ActionUnit(10, "upper lip raiser", True,
            _bumps(0.07, (37, 0.0, -1.0), (39, 0.0, -1.0), (40, 0.0, -0.6), (165, 0.1, -0.8), (92, 0.1, -0.6))
            + _bumps(0.10, (98, 0.0, -0.3), (36, 0.0, -0.4))),
        ActionUnit(12, "lip corner puller", True,
            _bumps(0.10, (61, 0.8, -0.7), (57, 0.7, -0.6), (185, 0.4, -0.4), (146, 0.5, -0.3))
            + _bumps(0.15, (205, 0.2, -0.4), (207, 0.3, -0.4))),
        ActionUnit(14, "dimpler", True,
            _bumps(0.07, (61, 0.7, 0.0), (185, 0.2, 0.4), (146, 0.2, -0.4))
            + _bumps(0.09, (216, -0.5, 0.2), (212, -0.5, -0.3))),
        ActionUnit(15, "lip corner depressor", True,
            _bumps(0.09, (61, 0.2, 1.0), (57, 0.2, 0.9), (146, 0.1, 0.7), (43, 0.1, 0.6))),
        ActionUnit(17, "chin raiser", False,
            _bumps(0.11, (199, 0.0, -1.0), (200, 0.0, -1.0), (175, 0.0, -0.6), (201, 0.0, -0.6),
                   (421, 0.0, -0.6), (18, 0.0, -0.8))
            + _bumps(0.08, (17, 0.0, -0.6), (84, 0.0, -0.5), (314, 0.0, -0.5))),
        ActionUnit(20, "lip stretcher", True,
            _bumps(0.10, (61, 1.0, 0.1), (57, 0.8, 0.1), (146, 0.6, 0.1), (185, 0.5, 0.1), (212, 0.5, 0.1))),
        ActionUnit(23, "lip tightener", False,
            _bumps(0.06, (0, 0.0, 0.4), (37, 0.0, 0.4), (267, 0.0, 0.4), (17, 0.0, -0.5), (84, 0.0, -0.5),
                   (314, 0.0, -0.5))
            + _bumps(0.08, (61, -0.8, 0.0), (291, -0.8, 0.0))),
        ActionUnit(24, "lip pressor", False,
            _bumps(0.07, (0, 0.0, 0.7), (39, 0.0, 0.7), (269, 0.0, 0.7), (17, 0.0, -0.9), (181, 0.0, -0.9),
                   (405, 0.0, -0.9))),
        ActionUnit(25, "lips part", False,
            _bumps(0.07, (17, 0.0, 1.0), (84, 0.0, 0.9), (314, 0.0, 0.9), (181, 0.0, 0.7), (405, 0.0, 0.7),
                   (14, 0.0, 0.7))
            + _bumps(0.06, (0, 0.0, -0.3))),
        ActionUnit(26, "jaw drop", False,
            _bumps(0.18, (152, 0.0, 1.0), (199, 0.0, 0.9), (149, 0.0, 0.6), (378, 0.0, 0.6))
            + _bumps(0.12, (17, 0.0, 0.6), (181, 0.0, 0.4), (405, 0.0, 0.4))),
        ActionUnit(45, "blink", True, ()),
    )
}  # fmt: skip
"""The action units, by FACS number."""


class Expression(NamedTuple):
    """A combination of AUs that signals an emotion: weights relative to the strongest, and its source."""

    label: str
    weights: dict[int, float]
    unilateral: bool
    source: str


EMFACS = "Friesen and Ekman, EMFACS-7 (1983)"
FACS_GUIDE = "Ekman, Friesen and Hager, FACS Investigator's Guide (2002), table 10-2"
CASME2 = "Yan et al., CASME II (PLoS ONE, 2014), labelling of 'others' and 'repression'"

EXPRESSIONS: dict[str, tuple[Expression, ...]] = {
    "negative": (
        Expression("anger", {4: 1.0, 7: 0.7}, False, EMFACS),
        Expression("anger", {4: 1.0, 5: 0.6, 7: 0.6, 23: 0.7}, False, EMFACS),
        Expression("disgust", {9: 1.0, 15: 0.6}, False, EMFACS),
        Expression("disgust", {9: 0.8, 10: 1.0, 17: 0.4}, False, FACS_GUIDE),
        Expression("sadness", {1: 1.0, 4: 0.8, 15: 0.6}, False, EMFACS),
        Expression("sadness", {1: 1.0, 15: 0.8}, False, FACS_GUIDE),
        Expression("fear", {1: 1.0, 2: 0.7, 4: 0.7, 5: 0.7, 20: 0.7}, False, EMFACS),
        Expression("contempt", {12: 0.4, 14: 1.0}, True, EMFACS),
    ),
    "positive": (
        Expression("happiness", {6: 0.7, 12: 1.0}, False, EMFACS),
        Expression("happiness", {12: 1.0}, False, FACS_GUIDE),
        Expression("happiness", {6: 0.5, 12: 1.0, 25: 0.6}, False, FACS_GUIDE),
    ),
    "surprise": (
        Expression("surprise", {1: 1.0, 2: 1.0, 5: 0.6}, False, EMFACS),
        Expression("surprise", {1: 0.9, 2: 1.0, 5: 0.5, 26: 0.8}, False, EMFACS),
        Expression("surprise", {1: 1.0, 2: 0.9, 25: 0.5}, False, FACS_GUIDE),
    ),
    "others": (
        Expression("repression", {17: 1.0}, False, CASME2),
        Expression("repression", {14: 1.0}, False, CASME2),
        Expression("repression", {14: 0.7, 17: 1.0}, False, CASME2),
        Expression("tense", {24: 1.0}, False, CASME2),
        Expression("tense", {17: 0.7, 24: 1.0}, False, CASME2),
    ),
}
"""Emotion class -> the AU combinations it is drawn from, each equally often."""


class Unit(NamedTuple):
    """One channel of movement: `AU12L` (image left), `AU12R`, `AU17`, or a helper such as `gaze_x`."""

    name: str
    au: int | None
    side: str


def _units() -> tuple[Unit, ...]:
    units: list[Unit] = []
    for au in ACTION_UNITS.values():
        sides = ("L", "R") if au.bilateral else ("",)
        units += [Unit(f"AU{au.number}{side}", au.number, side) for side in sides]
    return (*units, Unit("gaze_x", None, ""), Unit("gaze_y", None, ""))


UNITS: tuple[Unit, ...] = _units()
"""Every channel of movement; L and R are the left and right of the *image* (as in `metst_core.rois`)."""
UNIT_NAMES: tuple[str, ...] = tuple(unit.name for unit in UNITS)
UNIT_INDEX: dict[str, int] = {name: i for i, name in enumerate(UNIT_NAMES)}


def inter_ocular(mesh: np.ndarray) -> float:
    """Distance between the outer eye corners of `mesh (>= 468, 2)`, in its own unit (pixels)."""
    return float(np.hypot(*(mesh[EYE_CORNERS[1], :2] - mesh[EYE_CORNERS[0], :2])))


def grid_points(width: int, height: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y (pixels), each (rows, columns), of the middles of cells of `step` pixels (pixel 0 is at 0)."""
    columns, rows = round(width / step), round(height / step)
    x, y = (np.arange(n) * step + (step - 1) / 2 for n in (columns, rows))
    x, y = np.meshgrid(x, y)
    return x.astype(np.float32), y.astype(np.float32)


def both_sides(bumps: tuple[Bump, ...]) -> list[tuple[int, float, float, float]]:
    """`(landmark, dx, dy, reach)` of bumps written for the image left, and of their mirror images."""
    return [b for side in ("L", "R") for b in one_side(bumps, side)]


def one_side(bumps: tuple[Bump, ...], side: str) -> list[tuple[int, float, float, float]]:
    """`(landmark, dx, dy, reach)` of `bumps` in image axes (x right, y down), for side "L" or "R"."""
    if side == "L":
        return [(b.landmark, -b.out, b.down, b.reach) for b in bumps]
    return [(MIRROR[b.landmark], b.out, b.down, b.reach) for b in bumps]


def _midline(bumps: tuple[Bump, ...], mesh: np.ndarray) -> list[tuple[int, float, float, float]]:
    """As `one_side`, for an AU written for both sides: `out` follows the side the landmark lies on."""
    middle = mesh[list(EYE_CORNERS), 0].mean()
    return [
        (b.landmark, b.out * float(np.sign(mesh[b.landmark, 0] - middle)), b.down, b.reach) for b in bumps
    ]


def sum_of_bumps(
    bumps: list[tuple[int, float, float, float]], mesh: np.ndarray, iod: float, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Sum of Gaussian bumps at the points `x, y` (any shape S): displacement (*S, 2) in the bumps' unit."""
    field = np.zeros((*x.shape, 2), np.float32)
    for landmark, dx, dy, reach in bumps:
        px, py = mesh[landmark, :2]
        weight = np.exp(((x - px) ** 2 + (y - py) ** 2) / (-2 * (reach * iod) ** 2))
        field[..., 0] += np.float32(dx) * weight
        field[..., 1] += np.float32(dy) * weight
    return field


def blink_field(mesh: np.ndarray, iod: float, side: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """AU45 on the grid `x, y`: the upper lid comes down over the eye and stops at the lower lid, (*S, 2).

    Not a sum of Gaussians: the lid slides over the eyeball, so the field breaks off at the lower lid.
    """
    outline = mesh[list(IMAGE_LEFT_EYE if side == "L" else IMAGE_RIGHT_EYE), :2]
    lower, upper = outline[:9], np.vstack([outline[8:], outline[:1]])
    lower_y = _curve(lower, x)
    upper_y = _curve(upper, x)
    opening = np.clip(lower_y - upper_y, 0, None)
    # the skin between brow and lid that follows; steeper than this, the picture would fold over
    fold = 0.13 * iod
    ramp = np.clip((y - (upper_y - fold)) / fold, 0, 1)
    below = 1 / (1 + np.exp(np.clip((y - lower_y - 0.018 * iod) / (0.006 * iod), -30, 30)))
    field = np.zeros((*x.shape, 2), np.float32)
    field[..., 1] = opening * ramp * below
    return field


def _curve(points: np.ndarray, x: np.ndarray) -> np.ndarray:
    """y of the polyline through `points (n, 2)` at `x`; outside its span, the y of its nearer end."""
    order = np.argsort(points[:, 0])
    return np.interp(x, points[order, 0], points[order, 1])


def _gaze_field(mesh: np.ndarray, iod: float, axis: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The eyeballs turn: a shift of what lies inside the two eye outlines, with a soft edge."""
    step = float(x[0, 1] - x[0, 0])
    inside = np.zeros(x.shape, np.float32)
    for eye in (IMAGE_LEFT_EYE, IMAGE_RIGHT_EYE):
        corners = (mesh[list(eye), :2] - (x[0, 0], y[0, 0])) / step
        polygon = np.round(corners * 16).astype(np.int32)
        cv2.fillPoly(inside, [polygon], (1.0,), shift=4)
    field = np.zeros((*x.shape, 2), np.float32)
    field[..., axis] = cv2.GaussianBlur(inside, (0, 0), 0.02 * iod / step)
    return field


def landmarks_of(unit: Unit) -> tuple[int, ...]:
    """The landmarks that the field of a unit hangs on (none for the eyes' turning), besides the eye corners."""
    if unit.au is None:
        return ()
    if unit.au == 45:
        return IMAGE_LEFT_EYE if unit.side == "L" else IMAGE_RIGHT_EYE
    left = tuple(bump.landmark for bump in ACTION_UNITS[unit.au].bumps)
    return tuple(MIRROR[i] for i in left) if unit.side == "R" else left


def unit_field(unit: Unit, mesh: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Displacement of one unit on the grid `x, y`: (*S, 2) float32; its longest vector has length 1.

    Seen from the moved image: the content at a point has come along the vector there.  An intensity `a` (IOD)
    therefore moves the face by at most `a * inter_ocular(mesh)` pixels.
    """
    iod = inter_ocular(mesh)
    if unit.au is None:
        field = _gaze_field(mesh, iod, "xy".index(unit.name[-1]), x, y)
    elif unit.au == 45:
        field = blink_field(mesh, iod, unit.side, x, y)
    elif unit.side:
        field = sum_of_bumps(one_side(ACTION_UNITS[unit.au].bumps, unit.side), mesh, iod, x, y)
    else:
        field = sum_of_bumps(_midline(ACTION_UNITS[unit.au].bumps, mesh), mesh, iod, x, y)
    return field / np.hypot(field[..., 0], field[..., 1]).max()
