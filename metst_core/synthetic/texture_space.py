"""The plane the skin is painted on: MakeHuman's head unrolled, a dome above a cylinder.

Every head has the same triangles and every vertex one place on this plane, so what is painted (brows, lips,
freckles) stays with the skin of whoever wears it, and moves with it.
"""

from __future__ import annotations

import numpy as np

TEXTURE_SIZE = (600, 1024)
"""Rows (from the crown down to the shoulders) and columns (once around; the face is in the middle)."""
_MIDDLE = np.array([0.0, -0.1, -0.75])  # of the head, decimetres from the middle between the eyes


def latitude_longitude(points: np.ndarray) -> np.ndarray:
    """Latitude and longitude (radians; 0, 0 is straight ahead, x to the right) of points (..., 3): (..., 2).

    Below the middle the latitude is the height in decimetres, as on a cylinder, so that the neck keeps its place.
    """
    x, y, z = np.moveaxis(points - _MIDDLE, -1, 0)
    latitude = np.where(y > 0, np.arctan2(y, np.hypot(x, z)), y)
    return np.stack([latitude, np.arctan2(x, z)], axis=-1)


def texture_corners(angles: np.ndarray) -> np.ndarray:
    """Column and row of the corners of triangles, (n, 3, 2) from (n, 3, 2) latitudes and longitudes.

    A triangle that lies across the back of the head goes on beyond the last column.
    """
    longitude = angles[..., 1]
    across = np.ptp(longitude, axis=1) > np.pi
    longitude = np.where(across[:, None] & (longitude < 0), longitude + 2 * np.pi, longitude)
    columns = TEXTURE_SIZE[1]
    column = (longitude / (2 * np.pi) + 0.5) * columns - 0.5
    row = (np.pi / 2 - angles[..., 0]) * columns / (2 * np.pi) - 0.5
    return np.stack([column, row], axis=-1)
