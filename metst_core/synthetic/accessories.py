"""What a head wears, as small meshes: spectacle frames, long hair, a bun.  Decimetres from the eyes' middle."""

from __future__ import annotations

import numpy as np

Mesh = tuple[np.ndarray, np.ndarray]
"""Vertices (n, 3) and triangles (m, 3)."""


def grid(points: np.ndarray, closed: bool = False) -> Mesh:
    """A sheet of points (rows, columns, 3), rows downwards and columns to the right as seen from outside."""
    rows, columns = points.shape[:2]
    number = np.arange(rows * columns).reshape(rows, columns)
    if closed:
        number = np.hstack([number, number[:, :1]])
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
    triangles = np.concatenate([np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    return points.reshape(-1, 3), triangles


def tube(path: np.ndarray, radius: float, closed: bool, sides: int = 6) -> Mesh:
    """A tube around a path (n, 3)."""
    ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0) if closed else np.gradient(path, axis=0)
    ahead = ahead / np.linalg.norm(ahead, axis=1, keepdims=True)
    up = np.where(np.abs(ahead[:, 2:]) > 0.7, [[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]])
    across = np.cross(up, ahead)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    other = np.cross(ahead, across)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.cos(angle)[:, None, None] * across + np.sin(angle)[:, None, None] * other
    points = (path + radius * ring).transpose(1, 0, 2)  # (n, sides, 3)
    if closed:
        points = np.concatenate([points, points[:1]])
    vertices, triangles = grid(points, closed=True)
    return vertices, triangles[:, ::-1]


def join(*meshes: Mesh) -> Mesh:
    """Several meshes as one."""
    starts = np.cumsum([0, *[len(m[0]) for m in meshes]])
    return np.concatenate([m[0] for m in meshes]), np.concatenate(
        [m[1] + start for m, start in zip(meshes, starts, strict=False)]
    )


def spectacles(style: str, eyes: np.ndarray, front: float, temples: np.ndarray) -> Mesh:
    """Frames before the eyes `(2, 3)`: `front` is where their plane lies (z), `temples (2, 3)` where they end."""
    across = eyes[1, 0] - eyes[0, 0]
    power, wide, high, thick = {
        "round": (2.2, 0.36, 0.325, 0.012),
        "square": (4.0, 0.40, 0.285, 0.018),
    }[style]
    wide, high = wide * across, high * across
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    parts: list[Mesh] = []
    for side, eye in zip((-1, 1), eyes, strict=True):
        x = eye[0] + side * 0.03 + wide * np.sign(c) * np.abs(c) ** (2 / power)
        y = eye[1] - 0.05 + high * np.sign(s) * np.abs(s) ** (2 / power)
        z = front - 0.25 * np.clip(np.abs(x) - 0.3, 0, None) ** 2 / 0.3
        parts.append(tube(np.column_stack([x, y, z]), thick, closed=True))
        end = temples[0 if side < 0 else 1]
        hinge = np.array([eye[0] + side * (0.03 + wide), eye[1] + 0.06, z[np.argmax(side * x)]])
        bend = np.array([0.5 * (hinge[0] + end[0]) + side * 0.05, hinge[1], hinge[2] - 0.25])
        t = np.linspace(0, 1, 8)[:, None]
        path = (1 - t) ** 2 * hinge + 2 * t * (1 - t) * bend + t**2 * end
        parts.append(tube(path, 0.8 * thick, closed=False))
    inner = eyes[:, 0] + np.array([1, -1]) * (wide - 0.03)
    t = np.linspace(0, 1, 8)
    x = inner[0] + t * (inner[1] - inner[0])
    bridge = np.column_stack(
        [x, eyes[:, 1].mean() + 0.03 + 0.05 * np.sin(np.pi * t), np.full(8, front + 0.01)]
    )
    parts.append(tube(bridge, 0.9 * thick, closed=False))
    return join(*parts)


def long_hair(
    radius: np.ndarray, longitudes: np.ndarray, middle: np.ndarray, length: float, rng: np.random.Generator
) -> Mesh:
    """Hair that falls from the side and the back of the head to `length` (y): `radius (n,)` of the hair at eye height.

    `longitudes (n,)` run from the left of the image around the back to the right, radians.
    """
    top = 0.62
    heights = np.concatenate([np.linspace(top, -0.3, 8), np.linspace(-0.5, length, 8)])
    waves = rng.uniform(0.015, 0.03) * np.sin(longitudes[None] * 9 + heights[:, None] * 5 + rng.uniform(0, 6))
    dome = np.sqrt(np.clip(1 - (np.clip(heights - 0.05, 0, None) / 0.98) ** 2, 0, 1))
    flare = 1 + 0.05 * np.clip(-heights, 0, None) - 0.10 * np.clip(-heights - 0.9, 0, None)
    r = radius[None] * dome[:, None] * flare[:, None] + waves
    x = r * np.sin(longitudes)[None]
    z = middle[2] + r * np.cos(longitudes)[None]
    y = np.broadcast_to(
        heights[:, None] + 0.03 * rng.standard_normal(len(longitudes))[None] * (heights < -1)[:, None],
        x.shape,
    )
    return grid(np.stack([x, y, z], axis=-1)[:, ::-1])


def ball(centre: np.ndarray, radius: float) -> Mesh:
    """A ball of hair."""
    polar, around = np.linspace(0.05, np.pi - 0.05, 9), np.linspace(-np.pi, np.pi, 20, endpoint=False)
    x = np.sin(polar)[:, None] * np.sin(around)[None]
    z = np.sin(polar)[:, None] * np.cos(around)[None]
    y = np.broadcast_to(np.cos(polar)[:, None], x.shape)
    return grid(centre + radius * np.stack([x, y, z], axis=-1), closed=True)
