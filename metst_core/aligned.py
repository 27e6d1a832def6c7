"""Motion of a face that is aligned frame by frame, over short steps: what the instrument for faces that talk reads.

    grey frames -> similarity from stable landmarks -> 192 x 192 crops, the outer eye corners 96 pixels apart
                -> Farnebäck flow from frame t - d to t, d = 1, 4, 8 -> what moves as a whole taken off -> cells

The papers' features (`motion`) measure every frame of a window against its first one.  A head that turns or a mouth that
speaks moves far in a window, and flow saturates.  Here the head's motion is taken out before flow is measured, and no
step is longer than a quarter of a second.

Landmarks are smoothed over five frames, so frames come out two frames late.  All lengths are pixels of the aligned crop.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from metst_core.flow import FlowFrom
from metst_core.landmarks import Landmarker
from metst_core.rois import CROP_SIZE, ROIS, rois_on_crop, round_points

SIDE, EYES = 192, 96.0
"""Side of the aligned crop, and the distance of the outer eye corners in it."""

LAGS = (1, 4, 8)
"""Frames from which to which flow is measured: 33, 133 and 267 ms at 30 frames per second."""

FPS = 30.0
"""The rate that `LAGS` are meant for."""

GRID, CELLS = 24, 12
"""Flow is averaged on a grid of 24 x 24; of what is left after the fit 2 x 2 are averaged again, for the network."""

SMALLEST = 24.0
"""Distance of the outer eye corners in the film, pixels, below which a face is too small to be aligned."""

_CENTRE = (96.0, 64.0)  # of the outer eye corners, in the crop

TEMPLATE = (
    (-76, -14.6), (-75.9, 17.5), (-74.5, 34.4), (-66.9, 71.4), (-60.1, 87.1), (-52.1, 98.4), (-33.2, 114.4), (-13.2, 122.6),
    (0, 123.7), (13.2, 122.6), (33.2, 114.4), (52.1, 98.4), (60.1, 87.1), (66.9, 71.4), (74.5, 34.4), (75.9, 17.5),
    (76, -14.6), (-63.6, -19.1), (-57.3, -25.9), (-47.3, -29.8), (-33.4, -29.4), (-16.9, -26.9), (16.9, -26.9), (33.4, -29.4),
    (47.3, -29.8), (57.3, -25.9), (63.6, -19.1), (0, -2.9), (0, 16.5), (0, 32), (0, 41.5), (-13.7, 50.9),
    (-8.6, 54.2), (0, 54.5), (8.6, 54.2), (13.7, 50.9), (-48, 0), (-41.5, -4.4), (-30.7, -4.6), (-19.3, 3.6),
    (-29.6, 5.7), (-40.3, 5.2), (19.3, 3.6), (30.7, -4.6), (41.5, -4.4), (48, 0), (40.3, 5.2), (29.6, 5.7),
    (-27.9, 77.9), (-16.4, 71.4), (-8.3, 69.2), (0, 71), (8.3, 69.2), (16.4, 71.4), (27.9, 77.9), (16.3, 88.8),
    (8.7, 91.9), (0, 92.8), (-8.7, 91.9), (-16.3, 88.8), (-25.3, 77.9), (-6.7, 77.8), (0, 78.1), (6.7, 77.8),
    (25.3, 77.9), (6.7, 78.8), (0, 79.2), (-6.7, 78.8),
)  # fmt: skip
"""The 68 iBUG landmarks of a middling face, from the middle of the outer eye corners: medians over 40 of the project's
synthetic persons, both sides averaged."""

STABLE = (0, 1, 15, 16, 27, 28, 29, 36, 39, 42, 45)
"""Those that hardly move with an expression: before the ears, bridge of the nose, corners of the eyes."""

PARTS = ("upper", "lower")
"""The parts of the face: brows and eyelids; mouth and nose."""

ROWS = {"upper": (1, 6), "lower": (6, 12)}
"""Rows of the 12 x 12 cells that belong to brows, lids and cheekbones, and to nose wings, mouth and chin."""

_UNREST_ROWS = {
    "upper": (1, 5),
    "lower": (6, 12),
}  # the cheekbone follows the mouth and tells nothing of the brows
_COLUMNS = (2, 10)
_POINTS = (
    (0, 0),
    (0, 14),
    (0, 28),
    (-60, -8),
    (60, -8),
    (-62, 16),
    (62, 16),
    (-36, 26),
    (36, 26),
    (-52, 34),
    (52, 34),
)
_REACH = 9.0  # pixels around these points: bridge of the nose, temples, cheekbones
_ROUNDS = 3  # of the robust fit
_LEAST = 0.25  # pixels: deviations from the fit below this count fully
_KERNEL = np.array([1.0, 2.0, 3.0, 2.0, 1.0])
_LATE = len(_KERNEL) // 2

N_CHANNELS = {
    part: 2 * len(LAGS) * (stop - start) * (_COLUMNS[1] - _COLUMNS[0]) for part, (start, stop) in ROWS.items()
}
"""How many channels the network reads of each part: lag, row, column, x and y, the last one running fastest."""


@dataclass(frozen=True, eq=False)
class AlignedFrame:
    """What is measured in one frame; 0 where there is no face, or none a step before.

    cells: `(3, 12, 12, 2)` float32, flow from `LAGS` frames before, what moves as a whole taken off.
    rois: `(3, 2R)` the same, averaged in the R = 18 ROIs of ME-TST+, x and y of each.
    whole: `(2,)`, what was taken off the last lag: the shift that alignment left.
    place: `(2, 3)`, the similarity from the film to the crop, NaN without a face.
    has_face, too_small: whether there is a face, and whether it is only too small.
    """

    cells: np.ndarray
    rois: np.ndarray
    whole: np.ndarray
    place: np.ndarray
    has_face: bool
    too_small: bool

    @property
    def channels(self) -> np.ndarray:
        """What the network reads: `(sum(N_CHANNELS),)` float32, upper then lower face."""
        return channels_of(self.cells)

    @property
    def unrest(self) -> np.ndarray:
        """Median length of the longest step's flow in the upper and the lower face, `(2,)`."""
        return unrest_of_cells(self.cells)


def channels_of(cells: np.ndarray) -> np.ndarray:
    """The cells `(..., 3, 12, 12, 2)` of both parts as channels `(..., C)`."""
    lead = cells.shape[:-4]
    return np.concatenate(
        [cells[..., a:b, _COLUMNS[0] : _COLUMNS[1], :].reshape(*lead, -1) for a, b in ROWS.values()], axis=-1
    )


def unrest_of_cells(cells: np.ndarray) -> np.ndarray:
    """Median length of the longest step's flow in the cells `(..., 3, 12, 12, 2)` of each part: `(..., 2)`."""
    lengths = np.hypot(cells[..., -1, :, :, 0], cells[..., -1, :, :, 1])
    parts = [lengths[..., a:b, _COLUMNS[0] : _COLUMNS[1]] for a, b in _UNREST_ROWS.values()]
    return np.stack([np.median(part, axis=(-2, -1)) for part in parts], axis=-1)


def similarity(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, scale and shift `(2, 3)` that brings `points (n, 2)` nearest to `target (n, 2)` (least squares)."""
    middle, goal = points.mean(axis=0), target.mean(axis=0)
    p, q = points - middle, target - goal
    size = (p * p).sum()
    c, s = (p * q).sum() / size, (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum() / size
    turn = np.array([[c, -s], [s, c]])
    return np.hstack([turn, (goal - turn @ middle)[:, None]])


def template() -> np.ndarray:
    """Where the 68 landmarks of a middling face lie in the crop, `(68, 2)`."""
    return np.array(TEMPLATE) + _CENTRE


def place_of(points: np.ndarray) -> np.ndarray:
    """The similarity `(2, 3)` from a picture to the crop, from its 68 landmarks `(68, 2)`."""
    return similarity(np.asarray(points, float)[list(STABLE)], template()[list(STABLE)])


def aligned_frames(frames: Iterable[np.ndarray], landmarker: Landmarker) -> Iterator[AlignedFrame]:
    """Every grey frame (H, W) of one shot as it is measured, in order, two frames late; memory does not grow."""
    waiting: deque[tuple[np.ndarray, np.ndarray | None]] = deque()
    around: deque[np.ndarray | None] = deque([None] * _LATE, maxlen=len(_KERNEL))
    steps = _Steps()
    for frame in frames:
        points = landmarker(frame)
        stable = None if points is None else np.asarray(points, float)[list(STABLE)]
        waiting.append((frame, stable))
        around.append(stable)
        if len(around) == len(_KERNEL):
            yield steps.next(*waiting.popleft(), around)
    for _ in range(min(_LATE, len(waiting))):
        around.append(None)
        while len(around) < len(_KERNEL):
            around.append(None)
        yield steps.next(*waiting.popleft(), around)


class _Steps:
    """Flow of each frame from those before."""

    def __init__(self) -> None:
        self._before: deque[FlowFrom | None] = deque(maxlen=max(LAGS))

    def next(
        self, frame: np.ndarray, points: np.ndarray | None, around: Iterable[np.ndarray | None]
    ) -> AlignedFrame:
        """The next frame, its stable points, and those of the frames around it (None where there is no face)."""
        flow = np.zeros((len(LAGS), GRID, GRID, 2), np.float32)
        whole = np.zeros((len(LAGS), 2))
        place = np.full((2, 3), np.nan)
        small = points is not None and _eye_distance(points) < SMALLEST
        now = None
        if points is not None and not small:
            place = similarity(_smoothed(around), template()[list(STABLE)])
            crop = aligned_crop(frame, place)
            for i, lag in enumerate(LAGS):
                before = self._before[-lag] if len(self._before) >= lag else None
                if before is not None:
                    coarse = cv2.resize(before.to(crop), (GRID, GRID), interpolation=cv2.INTER_AREA)
                    flow[i], whole[i] = without_whole(coarse)
            now = FlowFrom(crop)
        self._before.append(now)
        rois = np.einsum("rc,lcx->lrx", _roi_weights(), flow.reshape(len(LAGS), -1, 2))
        return AlignedFrame(
            coarser(flow), rois.reshape(len(LAGS), 2 * len(ROIS)), whole[-1], place, now is not None, small
        )


def aligned_crop(frame: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The grey frame (H, W) brought to the crop `(192, 192)` by a similarity `(2, 3)`; what it lacks repeats its edge."""
    scale = float(np.hypot(place[0, 0], place[1, 0]))
    if scale < 0.6:  # pixels would be skipped
        shrink = 1.5 * scale
        frame = cv2.resize(frame, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        # A pixel's middle lies at whole numbers: x' = shrink (x + 1/2) - 1/2.
        turn = place[:, :2] / shrink
        shift = place[:, 2] + turn @ np.array([0.5 - shrink / 2] * 2)
        place = np.hstack([turn, shift[:, None]])
    crop: np.ndarray = cv2.warpAffine(
        frame, place, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return crop


def coarser(flow: np.ndarray) -> np.ndarray:
    """Flow `(..., 24, 24, 2)` on the cells of the network `(..., 12, 12, 2)`."""
    n = GRID // CELLS
    lead = flow.shape[:-3]
    cells: np.ndarray = flow.reshape(*lead, CELLS, n, CELLS, n, 2).mean(axis=(-4, -2))
    return cells


def grid_middles() -> tuple[np.ndarray, np.ndarray]:
    """x and y of the middles of the 24 x 24 fields, `(24, 24)` float32 each."""
    middles = (np.arange(GRID, dtype=np.float32) + 0.5) * (SIDE / GRID) - 0.5
    x, y = np.meshgrid(middles, middles)
    return x, y


def without_whole(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flow `(24, 24, 2)` without the similarity that bridge of the nose, temples and cheekbones follow; and its shift.

    The fit is robust: cells that deviate weigh less (Cauchy's weights).  Landmarks are not exact to the pixel, and what
    their error moves, moves the whole crop.
    """
    everywhere, here, members = _design()
    target = flow.reshape(-1, 2)[members].astype(float).T.ravel()  # x of all, then y
    weight = np.ones(len(target))
    for _ in range(_ROUNDS):
        weighted = here * weight[:, None]
        fit = np.linalg.solve(weighted.T @ here + 1e-9 * np.eye(4), weighted.T @ target)
        away = np.hypot(*(target - here @ fit).reshape(2, -1))
        each = 1 / (1 + (away / max(_LEAST, 2 * float(np.median(away)))) ** 2)
        weight = np.concatenate([each, each])
    moved = (everywhere @ fit).reshape(2, GRID, GRID).transpose(1, 2, 0)
    return (flow - moved).astype(np.float32), fit[:2]


@functools.cache
def _design() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The similarity's equations for all fields and for the stable ones, and which these are `(n,)`."""
    x, y = (axis.ravel() - c for axis, c in zip(grid_middles(), _CENTRE, strict=True))
    one, none = np.ones_like(x), np.zeros_like(x)
    equations = np.vstack([np.column_stack([one, none, x, -y]), np.column_stack([none, one, y, x])]).astype(
        float
    )
    members = np.flatnonzero(np.min([np.hypot(x - a, y - b) for a, b in _POINTS], axis=0) <= _REACH)
    return equations, equations[np.concatenate([members, members + GRID * GRID])], members


@functools.cache
def _roi_weights() -> np.ndarray:
    """How much each of the 24 x 24 fields counts in each of the 18 ROIs: `(18, 576)`, rows that add up to 1."""
    points = round_points(template() * (CROP_SIZE / SIDE))
    edges = np.arange(GRID + 1) * (CROP_SIZE / GRID)
    rows = []
    for box in rois_on_crop(points, "metst_plus").values():
        down, right = (
            np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0, None)
            for start, stop in ((box.top, box.bottom), (box.left, box.right))
        )
        area = np.outer(down, right).ravel()
        rows.append(area / area.sum())
    return np.array(rows, np.float32)


def _eye_distance(stable: np.ndarray) -> float:
    return float(np.hypot(*(stable[STABLE.index(45)] - stable[STABLE.index(36)])))


def _smoothed(around: Iterable[np.ndarray | None]) -> np.ndarray:
    """The weighted mean of the points of five frames; those without a face do not count."""
    pairs = [(weight, points) for weight, points in zip(_KERNEL, around, strict=True) if points is not None]
    total = sum(weight for weight, _ in pairs)
    mean: np.ndarray = np.sum([weight * points for weight, points in pairs], axis=0) / total
    return mean
