"""A small z-buffer rasteriser: moved vertices -> what is seen where.

Visibility is found at two places per pixel, a quarter up and left and a quarter down and right of its middle: as many
levels at a level or an upright edge as four places in a square give.  A pixel is shaded once where both see one smooth
surface, and at each place at an outline, so that edges are soft and move by fractions of a pixel.  Axes are those of
the head: x to the right of the image, y up, z towards the camera; lengths in decimetres.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from metst_core.compiled import compiled

SKIN, MOUTH, EYE, TEETH, TONGUE, LASH, GLASSES, CLOTH = range(8)
"""Materials; the first six as `bake.MATERIALS`.  Skin is all that is painted: hair, caps and scarves too."""
_ZERO: Any = np.float32(0)
_ONE: Any = np.float32(1)
SEAM = 8
"""What is seen between shut lips; a colour, of no triangle."""
PER_ROOT = 180
"""Steps of a texture's integers per root of linear light; 255 of them are twice the whitest white."""


class Surface(NamedTuple):
    """What a head is made of, apart from where it is: triangles with materials, places on the texture, colours.

    `triangles (T, 3)`, `material (T,)`, `folds (T,)` bool where skin may lie close before other skin (lips), `corners (T, 3, 2)` places on the texture, pixels; `texture (R, C)` uint32,
    from the lowest byte red, green, blue and gloss, each the root of linear light (`PER_ROOT` is 1); `colours (9, 3)` linear, by material, and of the seam; `cloth (V,)` above 0 where clothes lie on it; `occlusion (V,)` share of the sky that a
    vertex sees; `shadow (V,)` share of the key light; `eyes (2, 3)` centres of the eyeballs; `iris (3,)` linear.
    """

    triangles: np.ndarray
    material: np.ndarray
    folds: np.ndarray
    corners: np.ndarray
    texture: np.ndarray
    colours: np.ndarray
    cloth: np.ndarray
    occlusion: np.ndarray
    shadow: np.ndarray
    eyes: np.ndarray
    iris: np.ndarray


class Room(NamedTuple):
    """Room to work in for pictures of one size, filled anew with every frame.

    `chosen`, `nearest (2 H, W)` the triangle seen at each place and 1 / its distance; `planes (T, 3, 8)` what `_lay` lays,
    `laid (T,)` where it has.
    """

    chosen: np.ndarray
    nearest: np.ndarray
    planes: np.ndarray
    laid: np.ndarray

    @classmethod
    def of(cls, size: int, triangles: int) -> Room:
        return cls(
            np.empty((2 * size, size), np.int32),
            np.empty((2 * size, size), np.float32),
            np.empty((triangles, 3, 8), np.float32),
            np.empty(triangles, np.bool_),
        )


def visible_triangles(
    pixels: np.ndarray, nearness: np.ndarray, rows: int, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which triangle is nearest at each pixel (-1: none; (rows, columns)), and its weights (rows, columns, 3).

    `pixels (T, 3, 2)` corners as column, row; `nearness (T, 3)` grows towards the viewer.  Both sides are seen.
    """
    n = len(pixels)
    chosen = np.full((rows, columns), -1, np.int32)
    nearest = np.full((rows, columns), -np.inf, np.float32)
    flat = np.ascontiguousarray(pixels.reshape(-1, 2), dtype=np.float32)
    corners = np.arange(3 * n, dtype=np.uint32).reshape(n, 3)
    _cover(flat, nearness.reshape(-1).astype(np.float32), corners, False, 0.0, chosen, nearest)
    weights = np.zeros((rows, columns, 3))
    row, column = np.nonzero(chosen >= 0)
    a, b, c = np.moveaxis(pixels[chosen[row, column]], 1, 0)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    second = ((column - a[:, 0]) * (c[:, 1] - a[:, 1]) - (row - a[:, 1]) * (c[:, 0] - a[:, 0])) / area
    third = ((b[:, 0] - a[:, 0]) * (row - a[:, 1]) - (b[:, 1] - a[:, 1]) * (column - a[:, 0])) / area
    weights[row, column] = np.stack([1 - second - third, second, third], axis=-1)
    return chosen, weights


@compiled()
def _cover(
    at: np.ndarray,
    nearness: np.ndarray,
    triangles: np.ndarray,
    front_only: bool,
    stagger: float,
    chosen: np.ndarray,
    nearest: np.ndarray,
) -> None:
    """Write the nearest triangle at every cell of `chosen`, and its nearness into `nearest`.

    A cell's place is its column and row; odd rows lie `stagger` columns further to the right.
    """
    rows, columns = chosen.shape
    low_edge, high_edge = np.empty((2, 2), np.float32), np.empty((2, 2), np.float32)
    far, last = np.float32(1e9), np.float32(columns - 1)
    for t in range(len(triangles)):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, bx, by, cx, cy = at[i, 0], at[i, 1], at[j, 0], at[j, 1], at[k, 0], at[k, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0 or (front_only and area > 0):  # rows count downwards, so a front turns the other way
            continue
        high_y = ay if ay > by else by
        high_y = high_y if high_y > cy else cy
        low_y = ay if ay < by else by
        low_y = low_y if low_y < cy else cy
        if high_y < 0 or low_y > rows - 1:
            continue
        top = 0 if low_y < 0 else int(low_y)
        bottom = rows - 1 if high_y > rows - 1 else int(high_y)
        if top < low_y:
            top += 1
        if top > bottom:
            continue
        # along a row the triangle reaches from the last of the edges at its left to the first of those at its right;
        # an edge is its column at row 0 and its step to the next row
        lows = highs = 0
        for n in range(3):
            px, py, qx, qy = (
                (ax, ay, bx, by) if n == 0 else ((bx, by, cx, cy) if n == 1 else (cx, cy, ax, ay))
            )
            if py == qy:
                continue
            slope = (qx - px) / (qy - py)
            start = px - py * slope
            if (qy > py) == (area > 0):
                high_edge[highs, 0], high_edge[highs, 1] = start, slope
                highs += 1
            else:
                low_edge[lows, 0], low_edge[lows, 1] = start, slope
                lows += 1
        if lows == 0 or highs == 0:
            continue
        if lows == 1:
            low_edge[1, 0], low_edge[1, 1] = -far, _ZERO
        if highs == 1:
            high_edge[1, 0], high_edge[1, 1] = far, _ZERO
        inverse = _ONE / area
        zb, zc = (nearness[j] - nearness[i]) * inverse, (nearness[k] - nearness[i]) * inverse
        z_x = zb * (cy - ay) - zc * (by - ay)
        z_y = zc * (bx - ax) - zb * (cx - ax)
        l0, l0y, l1, l1y = low_edge[0, 0], low_edge[0, 1], low_edge[1, 0], low_edge[1, 1]
        h0, h0y, h1, h1y = high_edge[0, 0], high_edge[0, 1], high_edge[1, 0], high_edge[1, 1]
        for row in range(top, bottom + 1):
            y = np.float32(row)
            aside = np.float32(stagger) if row & 1 else _ZERO
            low, other = l0 + y * l0y, l1 + y * l1y
            low = (other if other > low else low) - aside
            high, other = h0 + y * h0y, h1 + y * h1y
            high = (other if other < high else high) - aside
            if low < 0:
                low = _ZERO
            if high > last:
                high = last
            if low > high:
                continue
            start = np.int32(low)
            if start < low:
                start += 1
            z = nearness[i] + (y - ay) * z_y + (np.float32(start) + aside - ax) * z_x
            for column in range(start, np.int32(high) + 1):
                if z > nearest[row, column]:
                    nearest[row, column] = z
                    chosen[row, column] = t
                z += z_x


@compiled()
def find_visible(pixels: np.ndarray, nearness: np.ndarray, triangles: np.ndarray, room: Room) -> None:
    """The z-buffer at both places of every pixel: fills `room.chosen` and `room.nearest`."""
    room.chosen[:] = -1
    room.nearest[:] = 0
    staggered = np.empty(pixels.shape, np.float32)
    for n in range(
        len(pixels)
    ):  # the place of a cell: column - 1/4, row / 2 - 1/4; in odd rows half a column on
        staggered[n, 0] = pixels[n, 0] + np.float32(0.25)
        staggered[n, 1] = np.float32(2) * pixels[n, 1] + np.float32(0.5)
    _cover(staggered, nearness, triangles, True, 0.5, room.chosen, room.nearest)


@compiled()
def move(
    neutral: np.ndarray, starts: np.ndarray, moved: np.ndarray, steps: np.ndarray, amounts: np.ndarray
) -> np.ndarray:
    """Vertices (V, 3) moved by channels: channel c moves `moved[starts[c]:starts[c + 1]]` along `steps` there."""
    out = neutral.copy()
    for c in range(len(amounts)):
        amount = np.float32(amounts[c])
        if amount != 0:
            for s in range(starts[c], starts[c + 1]):
                v = moved[s]
                out[v, 0] += amount * steps[s, 0]
                out[v, 1] += amount * steps[s, 1]
                out[v, 2] += amount * steps[s, 2]
    return out


@compiled()
def keep_outside(vertices: np.ndarray, lids: np.ndarray, centre: np.ndarray, least: np.ndarray) -> None:
    """Push the lid's vertices out to their `least` distance from the eyeball's centre: a lid slides over the ball."""
    for n in range(len(lids)):
        v = lids[n]
        x, y, z = vertices[v, 0] - centre[0], vertices[v, 1] - centre[1], vertices[v, 2] - centre[2]
        distance = math.sqrt(x * x + y * y + z * z)
        if distance < least[n]:
            grow = np.float32(least[n] / distance)
            vertices[v, 0] = centre[0] + x * grow
            vertices[v, 1] = centre[1] + y * grow
            vertices[v, 2] = centre[2] + z * grow


@compiled()
def place(
    vertices: np.ndarray,
    follows: np.ndarray,
    turns: np.ndarray,
    pivot: np.ndarray,
    shift: np.ndarray,
    camera: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn, shift and project: positions (V, 3) before the camera, pixels (V, 2), and 1 / distance (V,).

    `follows (V,)` 0..1 picks one of the `turns (n, 3, 3)` for a vertex: the last is the head's, the first stillness,
    so that the neck twists.  `camera`: focal length (pixels), distance (dm), column and row of the eyes' middle.
    """
    n = len(vertices)
    positions = np.empty((n, 3), np.float32)
    pixels = np.empty((n, 2), np.float32)
    nearness = np.empty(n, np.float32)
    focal, distance, column, row = camera[0], camera[1], camera[2], camera[3]
    for v in range(n):
        turn = turns[round(follows[v] * (len(turns) - 1))]
        x, y, z = vertices[v, 0] - pivot[0], vertices[v, 1] - pivot[1], vertices[v, 2] - pivot[2]
        px = turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z + pivot[0] + shift[0]
        py = turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z + pivot[1] + shift[1]
        pz = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z + pivot[2]
        near = np.float32(1) / (distance - pz)
        positions[v, 0], positions[v, 1], positions[v, 2] = px, py, pz
        pixels[v, 0] = column + focal * px * near
        pixels[v, 1] = row - focal * py * near
        nearness[v] = near
    return positions, pixels, nearness


@compiled()
def smooth_normals(positions: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3): the sum of the triangles' around a vertex, weighted by area."""
    normals = np.zeros(positions.shape, np.float32)
    for t in range(len(triangles)):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = positions[i, 0], positions[i, 1], positions[i, 2]
        bx, by, bz = positions[j, 0] - ax, positions[j, 1] - ay, positions[j, 2] - az
        cx, cy, cz = positions[k, 0] - ax, positions[k, 1] - ay, positions[k, 2] - az
        x, y, z = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
        for n in range(3):
            v = triangles[t, n]
            normals[v, 0] += x
            normals[v, 1] += y
            normals[v, 2] += z
    for v in range(len(normals)):
        x, y, z = normals[v, 0], normals[v, 1], normals[v, 2]
        length = math.sqrt(x * x + y * y + z * z)
        if length > 0:
            grow = np.float32(1 / length)
            normals[v, 0] = x * grow
            normals[v, 1] = y * grow
            normals[v, 2] = z * grow
    return normals


@compiled()
def seen_from(
    vertices: np.ndarray,
    normals: np.ndarray,
    triangles: np.ndarray,
    directions: np.ndarray,
    cells: int,
    offset: float,
) -> np.ndarray:
    """Share of the `directions (n, 3)` above a vertex's own horizon from which it is seen, weighted by the cosine."""
    seen = np.zeros(len(vertices), np.float32)
    all_ = np.full(len(vertices), 1e-6, np.float32)
    at = np.empty((len(vertices), 2), np.float32)
    depth = np.empty(len(vertices), np.float32)
    chosen = np.empty((cells, cells), np.int32)
    nearest = np.empty((cells, cells), np.float32)
    for d in range(len(directions)):
        dx, dy, dz = directions[d, 0], directions[d, 1], directions[d, 2]
        ux, uy, uz = (0.0, dz, -dy) if abs(dx) < 0.7 else (-dz, 0.0, dx)
        length = math.sqrt(ux * ux + uy * uy + uz * uz)
        ux, uy, uz = ux / length, uy / length, uz / length
        wx, wy, wz = dy * uz - dz * uy, dz * ux - dx * uz, dx * uy - dy * ux
        for v in range(len(vertices)):
            x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
            at[v, 0] = (x * ux + y * uy + z * uz) * cells / 5.2 + cells / 2
            at[v, 1] = (x * wx + y * wy + z * wz) * cells / 5.2 + cells / 2
            depth[v] = x * dx + y * dy + z * dz
        chosen[:] = -1
        nearest[:] = -1e9
        _cover(at, depth, triangles, False, 0.0, chosen, nearest)
        for v in range(len(vertices)):
            cosine = normals[v, 0] * dx + normals[v, 1] * dy + normals[v, 2] * dz
            if cosine > 0.05:
                all_[v] += cosine
                row, column = round(at[v, 1]), round(at[v, 0])
                inside = 0 <= row < cells and 0 <= column < cells
                if not inside or nearest[row, column] < depth[v] + offset:
                    seen[v] += cosine
    return seen / all_
