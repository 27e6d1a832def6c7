"""Light on what the rasteriser found: skin, eyes, mouth, lashes and glasses, as colours of pixels.

A pixel is shaded once where both of its places see one smooth surface, and at each place at an outline, so that edges
are soft and move by fractions of a pixel.

Nothing here is compiled with fast mathematics: each compilation may take sums in an order of its own, and two
processes that compiled for themselves may then not paint the same bytes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metst_core.compiled import compiled
from metst_core.synthetic.rasteriser import (
    CLOTH,
    EYE,
    GLASSES,
    MOUTH,
    PER_ROOT,
    SEAM,
    SKIN,
    TEETH,
    TONGUE,
    Room,
    Surface,
)
from metst_core.synthetic.texture_space import TEXTURE_SIZE

_ZERO: Any = np.float32(0)
_ONE: Any = np.float32(1)
_RED, _GREEN, _BLUE = np.float32(0.42), np.float32(0.28), np.float32(0.22)
_BYTE = np.uint32(8)
_TEXEL = np.float32(1 / PER_ROOT)
_FAR_COLUMNS = 4096  # added and taken away, so that cutting off the fraction rounds down
_FAR = np.float32(_FAR_COLUMNS)
_LAST_COLUMN = TEXTURE_SIZE[1] - 1  # of a width that is a power of two
_APART = np.float32(4e-4)  # difference of 1 / distance (1 / dm) from which two surfaces are not one
_SRGB = np.linspace(0, 1, 4097, dtype=np.float64)
_SRGB = np.where(_SRGB <= 0.0031308, 12.92 * _SRGB, 1.055 * _SRGB ** (1 / 2.4) - 0.055)
_TO_SRGB = np.round(255 * _SRGB).astype(np.uint8)
"""Linear light 0..1 in 4096 steps -> 8-bit sRGB."""


@compiled()
def _unit(x: float, y: float, z: float) -> tuple[Any, Any, Any]:
    length = math.sqrt(x * x + y * y + z * z) + np.float32(1e-12)
    return x / length, y / length, z / length


@compiled()
def _step(low: float, high: float, x: float) -> float:
    """0 up to `low`, 1 from `high`, smooth between."""
    u = min(max((x - low) / (high - low), _ZERO), _ONE)
    return u * u * (np.float32(3) - np.float32(2) * u)


@compiled()
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


@compiled()
def _weights(x: float, y: float, pixels: np.ndarray, i: int, j: int, k: int) -> tuple[float, float, float]:
    """Weights of the three corners at the place (x, y); outside the triangle those of its border."""
    ax, ay = pixels[i, 0], pixels[i, 1]
    bx, by, cx, cy = pixels[j, 0] - ax, pixels[j, 1] - ay, pixels[k, 0] - ax, pixels[k, 1] - ay
    inverse = _ONE / (bx * cy - by * cx)
    wb = min(max(((x - ax) * cy - (y - ay) * cx) * inverse, _ZERO), _ONE)
    wc = min(max((bx * (y - ay) - by * (x - ax)) * inverse, _ZERO), _ONE)
    return _ONE - wb - wc, wb, wc


@compiled()
def _lay(t: int, pixels: np.ndarray, lit: np.ndarray, surface: Surface, planes: np.ndarray) -> None:
    """What changes over a triangle of skin, each as value at pixel (0, 0) and steps to the right and downwards.

    Into `planes[t] (3, 8)`: column and row of the texture, red, green, blue, mirrored light, cloth.  A pixel's middle can
    lie a third of a pixel outside the triangle: where the triangle is lower than a pixel its steps are lessened, or what
    they lead to would be blacker than black.
    """
    i, j, k = surface.triangles[t, 0], surface.triangles[t, 1], surface.triangles[t, 2]
    ax, ay = pixels[i, 0], pixels[i, 1]
    bx, by, cx, cy = pixels[j, 0] - ax, pixels[j, 1] - ay, pixels[k, 0] - ax, pixels[k, 1] - ay
    area = bx * cy - by * cx
    longest = max(bx * bx + by * by, cx * cx + cy * cy, (bx - cx) * (bx - cx) + (by - cy) * (by - cy))
    height = abs(area) / math.sqrt(longest)
    inverse = min(_ONE, height) / area
    third = np.float32(1 / 3)
    middle_x, middle_y = ax + third * (bx + cx), ay + third * (by + cy)
    for n in range(7):
        if n < 2:
            a, b, c = surface.corners[t, 0, n], surface.corners[t, 1, n], surface.corners[t, 2, n]
        elif n < 6:
            a, b, c = lit[i, n - 2], lit[j, n - 2], lit[k, n - 2]
        else:
            a, b, c = surface.cloth[i], surface.cloth[j], surface.cloth[k]
        right = ((b - a) * cy - (c - a) * by) * inverse
        down = ((c - a) * bx - (b - a) * cx) * inverse
        planes[t, 0, n] = third * (a + b + c) - right * middle_x - down * middle_y
        planes[t, 1, n], planes[t, 2, n] = right, down


@compiled()
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


@compiled()
def _note(
    n: int,
    t: int,
    x: float,
    y: float,
    planes: np.ndarray,
    texture: np.ndarray,
    values: np.ndarray,
    texels: np.ndarray,
) -> None:
    """Fetch what `_blend` needs for the skin of triangle `t` at the place (x, y), as number `n` of a row."""
    for c in range(2, 7):
        values[c, n] = planes[t, 0, c] + x * planes[t, 1, c] + y * planes[t, 2, c]
    u = planes[t, 0, 0] + x * planes[t, 1, 0] + y * planes[t, 2, 0]
    v = planes[t, 0, 1] + x * planes[t, 1, 1] + y * planes[t, 2, 1]
    v = min(max(v, _ZERO), np.float32(texture.shape[0] - 2))
    column, row = int(u + _FAR) - _FAR_COLUMNS, int(v)
    values[0, n], values[1, n] = u - np.float32(column), v - np.float32(row)
    left, right = np.uint32(column & _LAST_COLUMN), np.uint32((column + 1) & _LAST_COLUMN)
    top, below = np.uint32(row), np.uint32(row + 1)
    texels[0, n], texels[1, n] = texture[top, left], texture[top, right]
    texels[2, n], texels[3, n] = texture[below, left], texture[below, right]


@compiled()
def _blend(n: int, values: np.ndarray, texels: np.ndarray, cloth: np.ndarray, steps: np.ndarray) -> None:
    """As `_skin`, for the first `n` places that `_note` noted, many at once: into `steps (3, W)` of the table of sRGB."""
    upper, left, right, below = texels[0], texels[1], texels[2], texels[3]
    us, vs, reds, greens, blues, shines, insides = (
        values[0],
        values[1],
        values[2],
        values[3],
        values[4],
        values[5],
        values[6],
    )
    to_red, to_green, to_blue = steps[0], steps[1], steps[2]
    cloth_red, cloth_green, cloth_blue = cloth[0], cloth[1], cloth[2]
    top = np.float32(4096)
    for p in range(n):
        fu, fv = us[p], vs[p]
        fu, gu, gv = fu * _TEXEL, (_ONE - fu) * _TEXEL, _ONE - fv
        w00, w01, w10, w11 = gu * gv, fu * gv, gu * fv, fu * fv
        a, b, c, d = upper[p], left[p], right[p], below[p]
        red = w00 * _part(a, 0) + w01 * _part(b, 0) + w10 * _part(c, 0) + w11 * _part(d, 0)
        green = w00 * _part(a, 8) + w01 * _part(b, 8) + w10 * _part(c, 8) + w11 * _part(d, 8)
        blue = w00 * _part(a, 16) + w01 * _part(b, 16) + w10 * _part(c, 16) + w11 * _part(d, 16)
        gloss = w00 * _part(a, 24) + w01 * _part(b, 24) + w10 * _part(c, 24) + w11 * _part(d, 24)
        red, green, blue, gloss = red * red, green * green, blue * blue, gloss * gloss
        inside = insides[p]
        worn = _step(_ZERO, np.float32(0.02), inside)
        seam = _step(np.float32(0.07), np.float32(0.085), inside) - _step(
            np.float32(0.085), np.float32(0.1), inside
        )
        seam = _ONE - np.float32(0.3) * seam
        red += worn * (cloth_red * seam - red)
        green += worn * (cloth_green * seam - green)
        blue += worn * (cloth_blue * seam - blue)
        shine = gloss * (_ONE - worn) * shines[p]
        to_red[p] = np.int32(min(max(red * reds[p] + shine, _ZERO), _ONE) * top)
        to_green[p] = np.int32(min(max(green * greens[p] + shine, _ZERO), _ONE) * top)
        to_blue[p] = np.int32(min(max(blue * blues[p] + shine, _ZERO), _ONE) * top)


@compiled()
def _part(texel: int, shift: int) -> Any:
    return np.float32(np.int32((np.uint32(texel) >> np.uint32(shift)) & np.uint32(255)))


@compiled()
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
        dark *= np.float32(0.36) + np.float32(0.64) * _step(_ZERO, np.float32(0.3), opening)
        if kind == TEETH:
            angle = math.atan2(px, pz - surface.eyes[0, 2] + np.float32(0.35))
            dark *= _ONE - np.float32(0.3) * _step(np.float32(0.86), _ONE, math.cos(angle * np.float32(26)))
            green *= (
                np.float32(0.78) + np.float32(0.22) * dark
            )  # light that reaches the teeth has been on the lips
            blue *= np.float32(0.66) + np.float32(0.34) * dark
        else:
            dark *= np.float32(0.4 if kind == TONGUE else 0.3)
        # between shut lips a part of a pixel is seen, here and there: like lips in the shadow, or it would flicker
        parted = _step(_ZERO, np.float32(0.05), opening)
        seam = surface.colours[SEAM]
        red = seam[0] + parted * (dark * red - seam[0])
        green = seam[1] + parted * (dark * green - seam[1])
        blue = seam[2] + parted * (dark * blue - seam[2])
        bright = light[3] * np.float32(0.6) + light[4] * np.float32(0.5)
        return red * bright, green * bright, blue * bright
    if kind == GLASSES:
        gloss = np.float32(0.9)
    shine = gloss * (wa * lit[i, 3] + wb * lit[j, 3] + wc * lit[k, 3])
    red = red * (wa * lit[i, 0] + wb * lit[j, 0] + wc * lit[k, 0]) + shine
    green = green * (wa * lit[i, 1] + wb * lit[j, 1] + wc * lit[k, 1]) + shine
    blue = blue * (wa * lit[i, 2] + wb * lit[j, 2] + wc * lit[k, 2]) + shine
    return red, green, blue


@compiled()
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
def _byte(value: float) -> int:
    return _TO_SRGB[int(min(max(value, _ZERO), _ONE) * np.float32(4096))]


@compiled()
def draw(
    pixels: np.ndarray,
    local: np.ndarray,
    lit: np.ndarray,
    surface: Surface,
    turn: np.ndarray,
    gaze: np.ndarray,
    light: np.ndarray,
    opening: float,
    background: np.ndarray,
    room: Room,
    out: np.ndarray,
) -> None:
    """One frame into `out (H, W, 3)` uint8; `room` is as `rasteriser.find_visible` filled it."""
    chosen, nearest, planes, laid = room.chosen, room.nearest, room.planes, room.laid
    laid[:] = False
    texture, material, colours = surface.texture, surface.material, surface.colours
    folds = surface.folds
    quarter, half = np.float32(0.25), np.float32(0.5)
    width = out.shape[1]
    values, texels = np.empty((7, width), np.float32), np.empty((4, width), np.uint32)
    steps, columns = np.empty((3, width), np.int32), np.empty(width, np.uint32)
    for row in range(out.shape[0]):
        noted = 0
        for column in range(width):
            first, second = chosen[2 * row, column], chosen[2 * row + 1, column]
            whole = first == second
            if whole and first < 0:
                out[row, column, 0] = background[row, column, 0]
                out[row, column, 1] = background[row, column, 1]
                out[row, column, 2] = background[row, column, 2]
                continue
            if not whole and first >= 0 and second >= 0 and material[first] == material[second]:
                whole = abs(nearest[2 * row, column] - nearest[2 * row + 1, column]) < _APART
                whole = whole and not (folds[first] or folds[second])
            if whole and material[np.uint32(first)] == SKIN:
                t = np.uint32(first)
                if not laid[t]:
                    _lay(t, pixels, lit, surface, planes)
                    laid[t] = True
                _note(noted, t, np.float32(column), np.float32(row), planes, texture, values, texels)
                columns[noted] = column
                noted += 1
                continue
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
                red += _byte(r)
                green += _byte(g)
                blue += _byte(b)
            if whole:
                out[row, column, 0], out[row, column, 1], out[row, column, 2] = red, green, blue
            else:
                out[row, column, 0] = (red + 1) >> 1
                out[row, column, 1] = (green + 1) >> 1
                out[row, column, 2] = (blue + 1) >> 1
        _blend(noted, values, texels, colours[CLOTH], steps)
        for n in range(noted):
            column = columns[n]
            for c in range(3):
                out[row, column, c] = _TO_SRGB[steps[c, n]]
