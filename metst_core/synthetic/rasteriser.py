"""A small z-buffer rasteriser: moved vertices -> what is seen where -> light.

Visibility is found at `SAMPLES` x `SAMPLES` places per pixel; a pixel is shaded once where all of them see one smooth
surface, and once per place at an outline, so that edges are soft and move by fractions of a pixel.  Axes are those of
the head: x to the right of the image, y up, z towards the camera; lengths in decimetres.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from metst_core.compiled import compiled

SAMPLES = 2
"""Places per pixel and direction at which visibility is looked up."""
SKIN, MOUTH, EYE, TEETH, TONGUE, LASH, HAIR, GLASSES = range(8)
"""Materials; the first six as `bake.MATERIALS`."""
_APART = np.float32(4e-4)  # difference of 1 / distance (1 / dm) from which two surfaces are not one

_SRGB = np.linspace(0, 1, 4097, dtype=np.float64)
_SRGB = np.where(_SRGB <= 0.0031308, 12.92 * _SRGB, 1.055 * _SRGB ** (1 / 2.4) - 0.055)
TO_SRGB = np.round(255 * _SRGB).astype(np.uint8)
"""Linear light 0..1 in 4096 steps -> 8-bit sRGB."""


class Surface(NamedTuple):
    """What a head is made of, apart from where it is: triangles with materials, places on the texture, colours.

    `triangles (T, 3)`, `material (T,)`, `corners (T, 3, 2)` places on the texture, pixels; `texture (R, C, 4)` float32
    linear red, green, blue and gloss; `colours (8, 3)` linear, by material; `occlusion (V,)` share of the sky that a
    vertex sees; `shadow (V,)` share of the key light; `eyes (2, 3)` centres of the eyeballs; `iris (3,)` linear.
    """

    triangles: np.ndarray
    material: np.ndarray
    corners: np.ndarray
    texture: np.ndarray
    colours: np.ndarray
    occlusion: np.ndarray
    shadow: np.ndarray
    eyes: np.ndarray
    iris: np.ndarray


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
    corners = np.arange(3 * n, dtype=np.int32).reshape(n, 3)
    _cover(flat, nearness.reshape(-1).astype(np.float32), corners, False, chosen, nearest)
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
    chosen: np.ndarray,
    nearest: np.ndarray,
) -> None:
    """Write the nearest triangle at every cell of `chosen`, and its nearness into `nearest`."""
    rows, columns = chosen.shape
    for t in range(len(triangles)):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, bx, by, cx, cy = at[i, 0], at[i, 1], at[j, 0], at[j, 1], at[k, 0], at[k, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0 or (front_only and area > 0):  # rows count downwards, so a front turns the other way
            continue
        left = max(0, math.ceil(min(ax, bx, cx)))
        right = min(columns - 1, math.floor(max(ax, bx, cx)))
        top = max(0, math.ceil(min(ay, by, cy)))
        bottom = min(rows - 1, math.floor(max(ay, by, cy)))
        if left > right or top > bottom:
            continue
        inverse = np.float32(1) / area
        # weights are linear: their value at (left, top), and their steps to the right and downwards
        b_x, b_y = (cy - ay) * inverse, -(cx - ax) * inverse
        c_x, c_y = -(by - ay) * inverse, (bx - ax) * inverse
        za, zb, zc = nearness[i], nearness[j] - nearness[i], nearness[k] - nearness[i]
        for row in range(top, bottom + 1):
            wb = (left - ax) * b_x + (row - ay) * b_y
            wc = (left - ax) * c_x + (row - ay) * c_y
            for column in range(left, right + 1):
                if wb >= 0 and wc >= 0 and wb + wc <= 1:
                    z = za + wb * zb + wc * zc
                    if z > nearest[row, column]:
                        nearest[row, column] = z
                        chosen[row, column] = t
                wb += b_x
                wc += c_x


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
        _cover(at, depth, triangles, False, chosen, nearest)
        for v in range(len(vertices)):
            cosine = normals[v, 0] * dx + normals[v, 1] * dy + normals[v, 2] * dz
            if cosine > 0.05:
                all_[v] += cosine
                row, column = int(round(at[v, 1])), int(round(at[v, 0]))
                inside = 0 <= row < cells and 0 <= column < cells
                if not inside or nearest[row, column] < depth[v] + offset:
                    seen[v] += cosine
    return seen / all_


@compiled()
def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = math.sqrt(x * x + y * y + z * z) + np.float32(1e-12)
    return x / length, y / length, z / length


@compiled()
def _step(low: float, high: float, x: float) -> float:
    """0 up to `low`, 1 from `high`, smooth between."""
    u = min(max((x - low) / (high - low), np.float32(0)), np.float32(1))
    return u * u * (np.float32(3) - np.float32(2) * u)


@compiled(fastmath=True)
def _shade(
    t: int,
    x: float,
    y: float,
    pixels: np.ndarray,
    local: np.ndarray,
    normals: np.ndarray,
    surface: Surface,
    turn: np.ndarray,
    gaze: np.ndarray,
    light: np.ndarray,
    opening: float,
) -> tuple[float, float, float]:
    """Linear light of triangle `t` at the place (x, y): red, green, blue."""
    one, zero = np.float32(1), np.float32(0)
    i, j, k = surface.triangles[t, 0], surface.triangles[t, 1], surface.triangles[t, 2]
    ax, ay = pixels[i, 0], pixels[i, 1]
    bx, by, cx, cy = pixels[j, 0] - ax, pixels[j, 1] - ay, pixels[k, 0] - ax, pixels[k, 1] - ay
    inverse = one / (bx * cy - by * cx)
    wb = ((x - ax) * cy - (y - ay) * cx) * inverse
    wc = (bx * (y - ay) - by * (x - ax)) * inverse
    wb, wc = min(max(wb, zero), one), min(max(wc, zero), one)
    wa = one - wb - wc
    nx, ny, nz = _unit(
        wa * normals[i, 0] + wb * normals[j, 0] + wc * normals[k, 0],
        wa * normals[i, 1] + wb * normals[j, 1] + wc * normals[k, 1],
        wa * normals[i, 2] + wb * normals[j, 2] + wc * normals[k, 2],
    )
    sky = wa * surface.occlusion[i] + wb * surface.occlusion[j] + wc * surface.occlusion[k]
    lit = wa * surface.shadow[i] + wb * surface.shadow[j] + wc * surface.shadow[k]
    lx, ly, lz, key, ambient, warm = light[0], light[1], light[2], light[3], light[4], light[5]
    kind = surface.material[t]
    gloss = zero
    wrap = np.float32(0.3)
    if kind == SKIN:
        u = wa * surface.corners[t, 0, 0] + wb * surface.corners[t, 1, 0] + wc * surface.corners[t, 2, 0]
        v = wa * surface.corners[t, 0, 1] + wb * surface.corners[t, 1, 1] + wc * surface.corners[t, 2, 1]
        rows, columns = surface.texture.shape[0], surface.texture.shape[1]
        left, top = int(math.floor(u)), int(math.floor(v))
        fu, fv = u - left, v - top
        top = min(max(top, 0), rows - 2)
        left, right = left % columns, (left + 1) % columns
        w00, w01, w10, w11 = (one - fu) * (one - fv), fu * (one - fv), (one - fu) * fv, fu * fv
        red = zero
        green = zero
        blue = zero
        texture = surface.texture
        red = w00 * texture[top, left, 0] + w01 * texture[top, right, 0]
        red += w10 * texture[top + 1, left, 0] + w11 * texture[top + 1, right, 0]
        green = w00 * texture[top, left, 1] + w01 * texture[top, right, 1]
        green += w10 * texture[top + 1, left, 1] + w11 * texture[top + 1, right, 1]
        blue = w00 * texture[top, left, 2] + w01 * texture[top, right, 2]
        blue += w10 * texture[top + 1, left, 2] + w11 * texture[top + 1, right, 2]
        gloss = w00 * texture[top, left, 3] + w01 * texture[top, right, 3]
        gloss += w10 * texture[top + 1, left, 3] + w11 * texture[top + 1, right, 3]
    else:
        red, green, blue = surface.colours[kind, 0], surface.colours[kind, 1], surface.colours[kind, 2]
        px = wa * local[i, 0] + wb * local[j, 0] + wc * local[k, 0]
        py = wa * local[i, 1] + wb * local[j, 1] + wc * local[k, 1]
        pz = wa * local[i, 2] + wb * local[j, 2] + wc * local[k, 2]
        if kind == EYE:
            side = 0 if px < 0 else 1
            ex, ey, ez = _unit(px - surface.eyes[side, 0], py - surface.eyes[side, 1], pz - surface.eyes[side, 2])
            # coordinates on the ball, turned with the gaze; sines of the angle from the pupil
            gx, gy = gaze[0], gaze[1]
            iu, iv = ex - gx, ey - gy
            radius = math.sqrt(iu * iu + iv * iv)
            if ez < 0:
                radius = np.float32(2)
            soft = np.float32(0.045)
            on_iris = one - _step(np.float32(0.45) - soft, np.float32(0.45) + soft, radius)
            pupil = one - _step(np.float32(0.17) - soft, np.float32(0.17) + soft, radius)
            streak = np.float32(0.82) + np.float32(0.18) * math.sin(np.float32(23) * math.atan2(iv, iu) + np.float32(9) * radius)
            ring = one - np.float32(0.6) * _step(np.float32(0.33), np.float32(0.47), radius)
            bright = streak * ring * (one - pupil)
            edge = _step(np.float32(0.45), np.float32(0.95), abs(ex))
            red = red * (one - np.float32(0.12) * edge)
            green = green * (one - np.float32(0.3) * edge)
            blue = blue * (one - np.float32(0.3) * edge)
            red += on_iris * (surface.iris[0] * bright - red)
            green += on_iris * (surface.iris[1] * bright - green)
            blue += on_iris * (surface.iris[2] * bright - blue)
            shade = one - np.float32(0.62) * _step(np.float32(0.0), np.float32(0.55), ey)  # the upper lid's
            shade *= one - np.float32(0.45) * edge
            red, green, blue = red * shade, green * shade, blue * shade
            nx = turn[0, 0] * ex + turn[0, 1] * ey + turn[0, 2] * ez
            ny = turn[1, 0] * ex + turn[1, 1] * ey + turn[1, 2] * ez
            nz = turn[2, 0] * ex + turn[2, 1] * ey + turn[2, 2] * ez
            sky, lit = np.float32(0.85), np.float32(0.9)
            gloss = zero
            # the cornea bulges, so that the light mirrors in it near the pupil
            hx, hy, hz = _unit(lx, ly, lz + one)
            mirror = (nx * hx + ny * hy + nz * hz)
            spark = _step(np.float32(0.972), np.float32(0.985), mirror) * np.float32(0.8)
            red, green, blue = red + spark, green + spark, blue + spark
        elif kind == MOUTH or kind == TEETH or kind == TONGUE:
            depth = surface.eyes[0, 2] + np.float32(0.12) - pz  # behind the lips
            dark = one - _step(np.float32(-0.05), np.float32(0.75), depth)
            dark *= np.float32(0.25) + np.float32(0.75) * _step(zero, np.float32(0.35), opening)
            if kind == TEETH:
                angle = math.atan2(px, pz - surface.eyes[0, 2] + np.float32(0.35))
                gap = math.cos(angle * np.float32(26))
                dark *= one - np.float32(0.3) * _step(np.float32(0.86), one, gap)
                gloss = np.float32(0.5) * dark
            else:
                dark *= np.float32(0.55)
            red, green, blue = red * dark, green * dark, blue * dark
            sky, lit = np.float32(0.6), np.float32(0.75)
        elif kind == HAIR:
            u = wa * surface.corners[t, 0, 0] + wb * surface.corners[t, 1, 0] + wc * surface.corners[t, 2, 0]
            v = wa * surface.corners[t, 0, 1] + wb * surface.corners[t, 1, 1] + wc * surface.corners[t, 2, 1]
            wave = math.sin(u * np.float32(0.9) + math.sin(v * np.float32(0.05)) * np.float32(2))
            wave += math.sin(u * np.float32(2.3) + np.float32(1.3)) + math.sin(u * np.float32(0.31) + v * np.float32(0.02))
            bright = one + np.float32(0.16) * wave
            red, green, blue = red * bright, green * bright, blue * bright
            gloss = np.float32(0.25)
        elif kind == GLASSES:
            gloss = np.float32(0.9)
    facing = nx * lx + ny * ly + nz * lz
    if kind == SKIN:
        red_wrap, green_wrap, blue_wrap = np.float32(0.42), np.float32(0.28), np.float32(0.22)
    else:
        red_wrap, green_wrap, blue_wrap = wrap, wrap, wrap
    top_light = np.float32(0.62) + np.float32(0.38) * ny
    fill = ambient * sky * top_light
    lit = key * lit
    r = red * (fill + lit * (one + warm) * max(zero, (facing + red_wrap) / (one + red_wrap)))
    g = green * (fill + lit * max(zero, (facing + green_wrap) / (one + green_wrap)))
    b = blue * (fill + lit * (one - warm) * max(zero, (facing + blue_wrap) / (one + blue_wrap)))
    if gloss > 0:
        hx, hy, hz = _unit(lx, ly, lz + one)
        half = max(zero, nx * hx + ny * hy + nz * hz)
        h2 = half * half
        h4 = h2 * h2
        h8 = h4 * h4
        h16 = h8 * h8
        shine = gloss * lit * (np.float32(0.10) * h16 * h8 + np.float32(0.05) * h4)
        r, g, b = r + shine, g + shine, b + shine
    return r, g, b


@compiled(fastmath=True)
def draw(
    pixels: np.ndarray,
    nearness: np.ndarray,
    local: np.ndarray,
    normals: np.ndarray,
    surface: Surface,
    turn: np.ndarray,
    gaze: np.ndarray,
    light: np.ndarray,
    opening: float,
    background: np.ndarray,
    to_srgb: np.ndarray,
    chosen: np.ndarray,
    nearest: np.ndarray,
    out: np.ndarray,
) -> None:
    """One frame into `out (H, W, 3)` uint8; `chosen`, `nearest` `(H * SAMPLES, W * SAMPLES)` are room to work in."""
    chosen[:] = -1
    nearest[:] = 0
    fine = pixels * np.float32(SAMPLES) + np.float32((SAMPLES - 1) / 2)
    _cover(fine, nearness, surface.triangles, True, chosen, nearest)
    rows, columns = out.shape[0], out.shape[1]
    n = SAMPLES * SAMPLES
    for row in range(rows):
        for column in range(columns):
            first = chosen[row * SAMPLES, column * SAMPLES]
            low = np.float32(1e9)
            high = np.float32(-1e9)
            alike = True
            for s in range(n):
                r_, c_ = row * SAMPLES + s // SAMPLES, column * SAMPLES + s % SAMPLES
                t = chosen[r_, c_]
                if t < 0 or first < 0:
                    alike = alike and t == first
                else:
                    alike = alike and surface.material[t] == surface.material[first]
                    low, high = min(low, nearest[r_, c_]), max(high, nearest[r_, c_])
            if alike and first < 0:
                out[row, column, 0] = background[row, column, 0]
                out[row, column, 1] = background[row, column, 1]
                out[row, column, 2] = background[row, column, 2]
                continue
            if alike and high - low < _APART:
                red, green, blue = _shade(
                    first, np.float32(column), np.float32(row), pixels, local, normals, surface, turn, gaze, light, opening
                )
                out[row, column, 0] = to_srgb[int(min(max(red, 0), 1) * 4096)]
                out[row, column, 1] = to_srgb[int(min(max(green, 0), 1) * 4096)]
                out[row, column, 2] = to_srgb[int(min(max(blue, 0), 1) * 4096)]
                continue
            red = np.float32(0)
            green = np.float32(0)
            blue = np.float32(0)
            for s in range(n):
                r_, c_ = row * SAMPLES + s // SAMPLES, column * SAMPLES + s % SAMPLES
                t = chosen[r_, c_]
                if t < 0:
                    red += background[row, column, 0]
                    green += background[row, column, 1]
                    blue += background[row, column, 2]
                    continue
                x = (np.float32(c_) - np.float32((SAMPLES - 1) / 2)) / np.float32(SAMPLES)
                y = (np.float32(r_) - np.float32((SAMPLES - 1) / 2)) / np.float32(SAMPLES)
                r, g, b = _shade(t, x, y, pixels, local, normals, surface, turn, gaze, light, opening)
                red += to_srgb[int(min(max(r, 0), 1) * 4096)]
                green += to_srgb[int(min(max(g, 0), 1) * 4096)]
                blue += to_srgb[int(min(max(b, 0), 1) * 4096)]
            out[row, column, 0] = int(red / n + np.float32(0.5))
            out[row, column, 1] = int(green / n + np.float32(0.5))
            out[row, column, 2] = int(blue / n + np.float32(0.5))
