"""A small z-buffer rasteriser: moved vertices -> what is seen where -> light.

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
from metst_core.synthetic.texture_space import TEXTURE_SIZE

SKIN, MOUTH, EYE, TEETH, TONGUE, LASH, GLASSES, CLOTH = range(8)
"""Materials; the first six as `bake.MATERIALS`.  Skin is all that is painted: hair, caps and scarves too."""
_ZERO: Any = np.float32(0)
_ONE: Any = np.float32(1)
_RED, _GREEN, _BLUE = np.float32(0.42), np.float32(0.28), np.float32(0.22)
PER_ROOT = 180
"""Steps of a texture's integers per root of linear light; 255 of them are twice the whitest white."""
_BYTE = np.uint32(8)
_TEXEL = np.float32(1 / PER_ROOT)
_FAR_COLUMNS = 4096  # added and taken away, so that cutting off the fraction rounds down
_FAR = np.float32(_FAR_COLUMNS)
_LAST_COLUMN = TEXTURE_SIZE[1] - 1  # of a width that is a power of two
_APART = np.float32(4e-4)  # difference of 1 / distance (1 / dm) from which two surfaces are not one

_SRGB = np.linspace(0, 1, 4097, dtype=np.float64)
_SRGB = np.where(_SRGB <= 0.0031308, 12.92 * _SRGB, 1.055 * _SRGB ** (1 / 2.4) - 0.055)
TO_SRGB = np.round(255 * _SRGB).astype(np.uint8)
"""Linear light 0..1 in 4096 steps -> 8-bit sRGB."""


class Surface(NamedTuple):
    """What a head is made of, apart from where it is: triangles with materials, places on the texture, colours.

    `triangles (T, 3)`, `material (T,)`, `corners (T, 3, 2)` places on the texture, pixels; `texture (R, C)` uint32,
    from the lowest byte red, green, blue and gloss, each the root of linear light (`PER_ROOT` is 1); `colours (8, 3)` linear, by material; `cloth (V,)` above 0 where clothes lie on it; `occlusion (V,)` share of the sky that a
    vertex sees; `shadow (V,)` share of the key light; `eyes (2, 3)` centres of the eyeballs; `iris (3,)` linear.
    """

    triangles: np.ndarray
    material: np.ndarray
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


@compiled()
def _unit(x: float, y: float, z: float) -> tuple[Any, Any, Any]:
    length = math.sqrt(x * x + y * y + z * z) + np.float32(1e-12)
    return x / length, y / length, z / length


@compiled()
def _step(low: float, high: float, x: float) -> float:
    """0 up to `low`, 1 from `high`, smooth between."""
    u = min(max((x - low) / (high - low), _ZERO), _ONE)
    return u * u * (np.float32(3) - np.float32(2) * u)


@compiled(fastmath=True)
def light_up(normals: np.ndarray, occlusion: np.ndarray, shadow: np.ndarray, light: np.ndarray) -> np.ndarray:
    """What falls on every vertex: (V, 4) red, green, blue of the diffuse light, and the mirrored light.

    Skin lets light through, red the farthest: the edge of the shadow is wrapped around, by colour.
    """
    lit = np.empty((len(normals), 4), np.float32)
    lx, ly, lz, key, ambient, warm = light[0], light[1], light[2], light[3], light[4], light[5]
    hx, hy, hz = _unit(lx, ly, lz + _ONE)
    for v in range(len(normals)):
        nx, ny, nz = normals[v, 0], normals[v, 1], normals[v, 2]
        facing = nx * lx + ny * ly + nz * lz
        fill = ambient * occlusion[v] * (np.float32(0.62) + np.float32(0.38) * ny)
        lamp = key * shadow[v]
        lit[v, 0] = fill + lamp * (_ONE + warm) * max(_ZERO, (facing + _RED) / (_ONE + _RED))
        lit[v, 1] = fill + lamp * max(_ZERO, (facing + _GREEN) / (_ONE + _GREEN))
        lit[v, 2] = fill + lamp * (_ONE - warm) * max(_ZERO, (facing + _BLUE) / (_ONE + _BLUE))
        half = max(_ZERO, nx * hx + ny * hy + nz * hz)
        h4 = half * half * half * half
        h24 = h4 * h4 * h4 * h4 * h4 * h4
        lit[v, 3] = lamp * (np.float32(0.10) * h24 + np.float32(0.05) * h4)
    return lit


@compiled(fastmath=True)
def _weights(x: float, y: float, pixels: np.ndarray, i: int, j: int, k: int) -> tuple[float, float, float]:
    """Weights of the three corners at the place (x, y); outside the triangle those of its border."""
    ax, ay = pixels[i, 0], pixels[i, 1]
    bx, by, cx, cy = pixels[j, 0] - ax, pixels[j, 1] - ay, pixels[k, 0] - ax, pixels[k, 1] - ay
    inverse = _ONE / (bx * cy - by * cx)
    wb = min(max(((x - ax) * cy - (y - ay) * cx) * inverse, _ZERO), _ONE)
    wc = min(max((bx * (y - ay) - by * (x - ax)) * inverse, _ZERO), _ONE)
    return _ONE - wb - wc, wb, wc


@compiled(fastmath=True)
def _lay(t: int, pixels: np.ndarray, lit: np.ndarray, surface: Surface, planes: np.ndarray) -> None:
    """What changes over a triangle of skin, each as value at pixel (0, 0) and steps to the right and downwards.

    Into `planes[t] (3, 8)`: column and row of the texture, red, green, blue, mirrored light, cloth.
    """
    i, j, k = surface.triangles[t, 0], surface.triangles[t, 1], surface.triangles[t, 2]
    ax, ay = pixels[i, 0], pixels[i, 1]
    bx, by, cx, cy = pixels[j, 0] - ax, pixels[j, 1] - ay, pixels[k, 0] - ax, pixels[k, 1] - ay
    inverse = _ONE / (bx * cy - by * cx)
    for n in range(7):
        if n < 2:
            a, b, c = surface.corners[t, 0, n], surface.corners[t, 1, n], surface.corners[t, 2, n]
        elif n < 6:
            a, b, c = lit[i, n - 2], lit[j, n - 2], lit[k, n - 2]
        else:
            a, b, c = surface.cloth[i], surface.cloth[j], surface.cloth[k]
        right = ((b - a) * cy - (c - a) * by) * inverse
        down = ((c - a) * bx - (b - a) * cx) * inverse
        planes[t, 0, n], planes[t, 1, n], planes[t, 2, n] = a - right * ax - down * ay, right, down


@compiled(fastmath=True, inline="always")
def _skin(
    t: int, x: float, y: float, planes: np.ndarray, texture: np.ndarray, colours: np.ndarray
) -> tuple[float, float, float]:
    """Linear light of a triangle of skin, hair on it, or cloth, at the place (x, y): red, green, blue."""
    u = planes[t, 0, 0] + x * planes[t, 1, 0] + y * planes[t, 2, 0]
    v = planes[t, 0, 1] + x * planes[t, 1, 1] + y * planes[t, 2, 1]
    v = min(max(v, _ZERO), np.float32(texture.shape[0] - 2))
    column, row = int(u + _FAR) - _FAR_COLUMNS, int(v)
    fu, fv = u - np.float32(column), v - np.float32(row)
    left, right = np.uint32(column & _LAST_COLUMN), np.uint32((column + 1) & _LAST_COLUMN)
    top, below = np.uint32(row), np.uint32(row + 1)
    fu, gu, gv = fu * _TEXEL, (_ONE - fu) * _TEXEL, _ONE - fv
    w00, w01, w10, w11 = gu * gv, fu * gv, gu * fv, fu * fv
    m = np.uint32(255)
    a, b, c, d = texture[top, left], texture[top, right], texture[below, left], texture[below, right]
    red = (
        w00 * np.float32(a & m) + w01 * np.float32(b & m) + w10 * np.float32(c & m) + w11 * np.float32(d & m)
    )
    a, b, c, d = a >> _BYTE, b >> _BYTE, c >> _BYTE, d >> _BYTE
    green = (
        w00 * np.float32(a & m) + w01 * np.float32(b & m) + w10 * np.float32(c & m) + w11 * np.float32(d & m)
    )
    a, b, c, d = a >> _BYTE, b >> _BYTE, c >> _BYTE, d >> _BYTE
    blue = (
        w00 * np.float32(a & m) + w01 * np.float32(b & m) + w10 * np.float32(c & m) + w11 * np.float32(d & m)
    )
    a, b, c, d = a >> _BYTE, b >> _BYTE, c >> _BYTE, d >> _BYTE
    gloss = w00 * np.float32(a) + w01 * np.float32(b) + w10 * np.float32(c) + w11 * np.float32(d)
    red, green, blue, gloss = red * red, green * green, blue * blue, gloss * gloss
    inside = planes[t, 0, 6] + x * planes[t, 1, 6] + y * planes[t, 2, 6]
    if inside > 0:
        worn = _step(_ZERO, np.float32(0.02), inside)
        seam = _step(np.float32(0.07), np.float32(0.085), inside) - _step(
            np.float32(0.085), np.float32(0.1), inside
        )
        seam = _ONE - np.float32(0.3) * seam
        red += worn * (colours[CLOTH, 0] * seam - red)
        green += worn * (colours[CLOTH, 1] * seam - green)
        blue += worn * (colours[CLOTH, 2] * seam - blue)
        gloss *= _ONE - worn
    shine = gloss * (planes[t, 0, 5] + x * planes[t, 1, 5] + y * planes[t, 2, 5])
    red = red * (planes[t, 0, 2] + x * planes[t, 1, 2] + y * planes[t, 2, 2]) + shine
    green = green * (planes[t, 0, 3] + x * planes[t, 1, 3] + y * planes[t, 2, 3]) + shine
    blue = blue * (planes[t, 0, 4] + x * planes[t, 1, 4] + y * planes[t, 2, 4]) + shine
    return red, green, blue


@compiled(fastmath=True)
def _other(
    t: int,
    x: float,
    y: float,
    pixels: np.ndarray,
    lit: np.ndarray,
    local: np.ndarray,
    surface: Surface,
    turn: np.ndarray,
    gaze: np.ndarray,
    light: np.ndarray,
    opening: float,
) -> tuple[float, float, float]:
    """As `_skin`, for everything else: eyes, mouth, lashes, glasses."""
    i, j, k = surface.triangles[t, 0], surface.triangles[t, 1], surface.triangles[t, 2]
    wa, wb, wc = _weights(x, y, pixels, i, j, k)
    kind = surface.material[t]
    red, green, blue = surface.colours[kind, 0], surface.colours[kind, 1], surface.colours[kind, 2]
    px = wa * local[i, 0] + wb * local[j, 0] + wc * local[k, 0]
    py = wa * local[i, 1] + wb * local[j, 1] + wc * local[k, 1]
    pz = wa * local[i, 2] + wb * local[j, 2] + wc * local[k, 2]
    if kind == EYE:
        return _eye(px, py, pz, surface, turn, gaze, light)
    gloss = _ZERO
    if kind in (MOUTH, TEETH, TONGUE):
        depth = surface.eyes[0, 2] + np.float32(0.12) - pz  # behind the lips
        dark = _ONE - _step(np.float32(-0.05), np.float32(0.75), depth)
        dark *= np.float32(0.25) + np.float32(0.75) * _step(_ZERO, np.float32(0.35), opening)
        if kind == TEETH:
            angle = math.atan2(px, pz - surface.eyes[0, 2] + np.float32(0.35))
            dark *= _ONE - np.float32(0.3) * _step(np.float32(0.86), _ONE, math.cos(angle * np.float32(26)))
            gloss = np.float32(0.5) * dark
        else:
            dark *= np.float32(0.55)
        bright = dark * (light[3] * np.float32(0.6) + light[4] * np.float32(0.5))
        return red * bright, green * bright, blue * bright
    if kind == GLASSES:
        gloss = np.float32(0.9)
    shine = gloss * (wa * lit[i, 3] + wb * lit[j, 3] + wc * lit[k, 3])
    red = red * (wa * lit[i, 0] + wb * lit[j, 0] + wc * lit[k, 0]) + shine
    green = green * (wa * lit[i, 1] + wb * lit[j, 1] + wc * lit[k, 1]) + shine
    blue = blue * (wa * lit[i, 2] + wb * lit[j, 2] + wc * lit[k, 2]) + shine
    return red, green, blue


@compiled(fastmath=True)
def _eye(
    px: float, py: float, pz: float, surface: Surface, turn: np.ndarray, gaze: np.ndarray, light: np.ndarray
) -> tuple[float, float, float]:
    """Linear light of the eyeball at a place on it: white, iris, pupil, the lid's shadow, a spark."""
    red, green, blue = surface.colours[EYE, 0], surface.colours[EYE, 1], surface.colours[EYE, 2]
    side = 0 if px < 0 else 1
    ex, ey, ez = _unit(px - surface.eyes[side, 0], py - surface.eyes[side, 1], pz - surface.eyes[side, 2])
    iu, iv = ex - gaze[0], ey - gaze[1]  # sines of the angles from the pupil
    radius = math.sqrt(iu * iu + iv * iv)
    soft = np.float32(0.045)
    on_iris = _ONE - _step(np.float32(0.45) - soft, np.float32(0.45) + soft, radius)
    pupil = _ONE - _step(np.float32(0.17) - soft, np.float32(0.17) + soft, radius)
    streak: Any = math.sin(np.float32(23) * math.atan2(iv, iu) + np.float32(9) * radius)
    streak = np.float32(0.82) + np.float32(0.18) * streak
    bright = (
        streak * (_ONE - np.float32(0.6) * _step(np.float32(0.33), np.float32(0.47), radius)) * (_ONE - pupil)
    )
    edge = _step(np.float32(0.45), np.float32(0.95), abs(ex))
    red *= _ONE - np.float32(0.12) * edge
    green *= _ONE - np.float32(0.3) * edge
    blue *= _ONE - np.float32(0.3) * edge
    red += on_iris * (surface.iris[0] * bright - red)
    green += on_iris * (surface.iris[1] * bright - green)
    blue += on_iris * (surface.iris[2] * bright - blue)
    shade = _ONE - np.float32(0.5) * _step(np.float32(0.05), np.float32(0.6), ey)  # the upper lid's
    shade *= _ONE - np.float32(0.45) * edge
    nx = turn[0, 0] * ex + turn[0, 1] * ey + turn[0, 2] * ez
    ny = turn[1, 0] * ex + turn[1, 1] * ey + turn[1, 2] * ez
    nz = turn[2, 0] * ex + turn[2, 1] * ey + turn[2, 2] * ez
    facing = max(_ZERO, nx * light[0] + ny * light[1] + nz * light[2] + np.float32(0.3)) / np.float32(1.3)
    shade *= np.float32(0.6) * light[4] + np.float32(0.9) * light[3] * facing
    hx, hy, hz = _unit(light[0], light[1], light[2] + _ONE)
    mirror = nx * hx + ny * hy + nz * hz
    spark = light[3] * np.float32(1.1) * (np.float32(0.3) + np.float32(0.7) * on_iris)
    spark *= _step(np.float32(0.983), np.float32(0.992), mirror)
    return red * shade + spark, green * shade + spark, blue * shade + spark


@compiled()
def _byte(value: float, to_srgb: np.ndarray) -> int:
    return to_srgb[int(min(max(value, _ZERO), _ONE) * np.float32(4096))]


@compiled(fastmath=True)
def draw(
    pixels: np.ndarray,
    nearness: np.ndarray,
    local: np.ndarray,
    lit: np.ndarray,
    surface: Surface,
    turn: np.ndarray,
    gaze: np.ndarray,
    light: np.ndarray,
    opening: float,
    background: np.ndarray,
    to_srgb: np.ndarray,
    room: Room,
    out: np.ndarray,
) -> None:
    """One frame into `out (H, W, 3)` uint8."""
    find_visible(pixels, nearness, surface.triangles, room)
    chosen, nearest, planes, laid = room.chosen, room.nearest, room.planes, room.laid
    laid[:] = False
    texture, material, colours = surface.texture, surface.material, surface.colours
    quarter, half = np.float32(0.25), np.float32(0.5)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            first, second = chosen[2 * row, column], chosen[2 * row + 1, column]
            whole = first == second
            if whole and first < 0:
                out[row, column, 0] = background[row, column, 0]
                out[row, column, 1] = background[row, column, 1]
                out[row, column, 2] = background[row, column, 2]
                continue
            if not whole and first >= 0 and second >= 0 and material[first] == material[second]:
                whole = abs(nearest[2 * row, column] - nearest[2 * row + 1, column]) < _APART
            places = 1 if whole else 2
            red, green, blue = 0, 0, 0
            for s in range(places):
                x, y = np.float32(column), np.float32(row)
                found = first if s == 0 else second
                if not whole:
                    x, y = x - quarter + half * np.float32(s), y - quarter + half * np.float32(s)
                if found < 0:
                    red += background[row, column, 0]
                    green += background[row, column, 1]
                    blue += background[row, column, 2]
                    continue
                t = np.uint32(found)
                if material[t] == SKIN:
                    if not laid[t]:
                        _lay(t, pixels, lit, surface, planes)
                        laid[t] = True
                    r, g, b = _skin(t, x, y, planes, texture, colours)
                else:
                    r, g, b = _other(t, x, y, pixels, lit, local, surface, turn, gaze, light, opening)
                red += _byte(r, to_srgb)
                green += _byte(g, to_srgb)
                blue += _byte(b, to_srgb)
            if whole:
                out[row, column, 0], out[row, column, 1], out[row, column, 2] = red, green, blue
            else:
                out[row, column, 0] = (red + 1) >> 1
                out[row, column, 1] = (green + 1) >> 1
                out[row, column, 2] = (blue + 1) >> 1
