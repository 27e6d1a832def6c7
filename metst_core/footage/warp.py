"""A frame with a movement of known size added: the action units' fields, laid on the face as it is turned.

The fields are those of the synthetic faces.  They are drawn in the face's own axes (level eyes, seen from the front, unit
one inter-ocular distance) and brought into the picture by the axes of the track, so they roll with the head and shorten
where the face is turned away.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

from metst_core.footage.track import Track
from metst_core.synthetic import UNITS, landmarks_of, unit_field

STEP = 0.03
"""Distance of the points at which fields are computed, inter-ocular distances; in between they are interpolated."""

_REACH = 0.45  # how far from its landmarks a unit may move the skin, inter-ocular distances: three of its widest reaches


def warp(frame: np.ndarray, track: Track, number: int, intensity: np.ndarray) -> np.ndarray:
    """Frame `number` of the film, uint8 `(H, W, 3)` or `(H, W)`, with `intensity (U,)` (IOD, as `UNIT_NAMES`) of movement.

    Where nothing moves the frame itself is given back, and outside the face its pixels are untouched.
    """
    active = tuple(np.flatnonzero(intensity).tolist())
    if not active:
        return frame
    axes, iod = track.axes[number].astype(float), float(track.iod[number])
    mesh = track.full_mesh(number)
    centre = (mesh[33] + mesh[263]) / 2
    to_face = np.linalg.inv(axes)
    face_mesh = (mesh - centre) @ to_face.T
    box = _box(mesh, active, iod, frame.shape)
    if box is None:
        return frame
    x0, y0, x1, y1 = box
    step = max(1.0, STEP * iod)
    n_x, n_y = (max(2, int(np.ceil(side / step)) + 1) for side in (x1 - x0, y1 - y0))
    grid = np.stack(np.meshgrid(np.linspace(x0, x1 - 1, n_x), np.linspace(y0, y1 - 1, n_y)), axis=-1)
    points = ((grid - centre) @ to_face.T).astype(np.float32)
    field = np.zeros((n_y, n_x, 2), np.float32)
    for u in active:
        field += np.float32(intensity[u]) * unit_field(UNITS[u], face_mesh, points[..., 0], points[..., 1])
    moved = _enlarged((field @ axes.T.astype(np.float32)) * np.float32(iod), x1 - x0, y1 - y0)
    x, y = np.meshgrid(np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32))
    part = cv2.remap(
        frame, x - moved[..., 0], y - moved[..., 1], cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE
    )
    out = frame.copy()
    out[y0:y1, x0:x1] = part
    return out


def _box(
    mesh: np.ndarray, active: tuple[int, ...], iod: float, shape: tuple[int, ...]
) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom (exclusive) of what the units can move of a picture; None where that is nothing."""
    points = mesh[list(_landmarks(active))]
    x0, y0 = np.floor(points.min(axis=0) - _REACH * iod).astype(int).tolist()
    x1, y1 = np.ceil(points.max(axis=0) + _REACH * iod).astype(int).tolist()
    x0, y0, x1, y1 = max(0, x0), max(0, y0), min(shape[1], x1), min(shape[0], y1)
    return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else None


@functools.lru_cache(maxsize=256)
def _landmarks(active: tuple[int, ...]) -> tuple[int, ...]:
    return tuple({i for u in active for i in landmarks_of(UNITS[u])})


def _enlarged(field: np.ndarray, width: int, height: int) -> np.ndarray:
    """A field whose first and last points lie on the first and last pixels, at every pixel `(height, width, 2)`."""
    n_y, n_x = field.shape[:2]
    scale_x, scale_y = (n_x - 1) / max(1, width - 1), (n_y - 1) / max(1, height - 1)
    back = np.array([[scale_x, 0, 0], [0, scale_y, 0]])
    large: np.ndarray = cv2.warpAffine(
        field,
        back,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return large
