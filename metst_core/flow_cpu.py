"""The kernels behind `metst_core.flow`, compiled with numba.

Farnebäck's flow with the method's parameters, and the main-direction mean of its vectors.  This module is imported
when flow is first wanted, not before.

They give the bits of OpenCV 4.11 on x86-64.  The last bit matters: whether a flow of +0 or -1e-9 at the left or
upper edge points into the image or out of it changes the flow around by some hundredths of a pixel.  So sums are
added in OpenCV's order and precision, products are fused with sums only where it does so (`_fused`), and nothing may
be compiled with "fast" arithmetic.

How memory is laid out.  A plane is a flat array of rows that are `PITCH` values apart; where a pixel has several
channels, a row's channels lie one after another.  So all operands of an inner loop lie at constant distances, which
the compiler must know to turn it into vector instructions.  Loops run over whole vectors (`LANES`): what they
compute to the right of an image is finite and counts nothing.

How the second image is read between its pixels.  A gather of single values would cost more than the arithmetic.  But
the integer parts of a row's flow mostly are all the same, or take two neighbouring values, so that the 2 x 2 or
3 x 3 pixels at the same offsets serve every pixel of the row, some with weight 0.  A row that is more mixed is
halved.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from metst_core.compiled import compiled

WINDOW, ITERATIONS, POLY_N, POLY_SIGMA = 15, 5, 7, 1.5
"""`winsize`, `iterations`, `poly_n` and `poly_sigma` of `cv2.calcOpticalFlowFarneback`."""
HALF, MEAN, RIDGE = WINDOW // 2, 1 / WINDOW**2, 1e-3
"""A window's reach; from its sum to its mean; what is added to the determinant of the equations."""
EDGE = np.array([0.14, 0.14, 0.4472, 0.4472, 0.4472], np.float32)
"""How much the outermost five pixels count."""

WIDEST = 320
"""The widest image that fits a row."""
LANES, PAD = 8, 16
"""Columns of a vector (of AVX2; with 16, narrow boxes lose more than wider vectors would gain); columns left of an
image, and right of its last whole vector."""
PITCH = PAD + WIDEST + PAD
ROWS = 2
"""Rows above and below the coefficients that may be read (and then count nothing)."""
COEFFICIENTS = 5
"""Channels of a polynomial, in this order: y, x, yy, xx, xy; and of the equations: yy, xy, xx, then y, x."""
_C = COEFFICIENTS * PITCH
"""From one row of coefficients or equations to the next."""
_COLUMN, _WEIGHT, _MOMENTS = PAD, PAD + PITCH, PAD + 2 * PITCH
"""Where the rows of the scratch plane begin: column numbers, edge weights, and an image row's three moments."""
SCRATCH_ROWS, SUM_ROWS, FLOW_ROWS = 5, 10, 2

_ZERO, _ONE, _MOST = np.float32(0), np.float32(1), np.int32(2**20)

_x = np.arange(POLY_N + 1, dtype=np.float32)
_g = np.exp(-(_x.astype(float) ** 2) / (2 * POLY_SIGMA**2)).astype(np.float32).astype(float)
_g = (_g * (1 / (2 * _g.sum() - _g[0]))).astype(np.float32)
G, XG, XXG = _g, _x * _g, _x * _x * _g
"""The Gaussian weight and its products with x and x squared, from the middle to the right; XG is odd."""
LINEAR, OFFSET, SQUARE, MIXED = (
    0.4444489030038794,
    -0.22225069416710513,
    0.09877907432995035,
    0.19753482438832726,
)
"""Entries (x, x), (1, xx), (xx, xx) and (xy, xy) of the inverse of the moments' Gram matrix (by Cholesky)."""


# --- access without the check for negative indices, which would keep loops from being vectorised -------------------
intrinsic: Any = numba.extending.intrinsic  # its type hints do not know what it returns


def _address(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.gep(array.data, [args[1]], inbounds=True)


@intrinsic
def get(typing, array, index):
    """array[index], 0 <= index."""
    return array.dtype(array, types.intp), lambda ctx, b, sig, a: b.load(_address(ctx, b, sig, a))


@intrinsic
def put(typing, array, index, value):
    """array[index] = value, 0 <= index."""

    def generate(ctx, b, sig, a):
        b.store(a[2], _address(ctx, b, sig, a))
        return ctx.get_dummy_value()

    return types.void(array, types.intp, array.dtype), generate


@intrinsic
def _fused(typing, a, b, c):
    """a * b + c of float32, rounded once."""

    def generate(ctx, b, sig, args):
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * 3)
        return b.call(cgutils.get_or_insert_function(b.module, kind, "llvm.fma.f32"), args)

    return types.float32(types.float32, types.float32, types.float32), generate


_inlined: Any = compiled(nogil=True, forceinline=True)
"""For what is called per row or pixel: a call that passes arrays takes as long as a dozen pixels."""


@compiled(nogil=True, forceinline=True, fastmath={"contract"})
def _plus_exact(total, a, b):
    """total + a * b for a and b that were float32, so that their product is exact and fusing changes nothing."""
    return total + a * b


@_inlined
def _whole_vectors(width):
    return (width + LANES - 1) // LANES * LANES


@_inlined
def _repeat_edges(rows, at, channels, w):
    """The first and last pixel of a row, eight times (a window reaches seven pixels, or eight to the left)."""
    for c in range(channels):
        o = at + c * PITCH
        first, last = get(rows, o), get(rows, o + w - 1)
        for k in range(8):
            put(rows, o - 8 + k, first)
        for k in range(8):
            put(rows, o + w + k, last)


# --- a smaller picture --------------------------------------------------------------------------------------------
@compiled(nogil=True)
def shrink(picture, h, w, image):
    """Resize a float32 picture, bilinearly, to (h, w) pixels of the plane `image`, which has POLY_N rows above them.

    As OpenCV 4.11 does it (by Intel's IPP, for AVX2): whole groups of four columns with fused multiply-add, those
    left over without.  OpenCV 5.1 has other last bits here.
    """
    rows, columns = picture.shape
    left, right, share = np.empty(w, np.intp), np.empty(w, np.intp), np.empty(w, np.float32)
    for x in range(w):
        left[x], right[x], share[x] = _between(x, w, columns)
    for y in range(h):
        upper, lower, down = _between(y, h, rows)
        o = (POLY_N + y) * PITCH + PAD
        for x in range(w // 4 * 4):
            a, b = picture[upper, left[x]], picture[lower, left[x]]
            a = _fused(picture[upper, right[x]] - a, share[x], a)
            b = _fused(picture[lower, right[x]] - b, share[x], b)
            put(image, o + x, _fused(b - a, down, a))
        for x in range(w // 4 * 4, w):
            a, b = picture[upper, left[x]], picture[lower, left[x]]
            a += (picture[upper, right[x]] - a) * share[x]
            b += (picture[lower, right[x]] - b) * share[x]
            put(image, o + x, a + (b - a) * down)


@_inlined
def _between(i, n, source):
    """Between which two of `source` pixels the i-th of n lies, and how far towards the second."""
    place = (i + 0.5) * (source / n) - 0.5
    first = int(np.floor(place))
    return max(first, 0), min(first + 1, source - 1), np.float32(place - first)


# --- the polynomials -----------------------------------------------------------------------------------------------
@compiled(nogil=True)
def expand(image, h, w, scratch, out):
    """Fit a polynomial around every pixel of `image` (h, w); it has POLY_N free rows above and below.

    The first four coefficients come halved and the last quartered, as the normal equations use them.
    """
    half, quarter = np.float32(0.5), np.float32(0.25)
    wide = _whole_vectors(w)
    first, last = POLY_N * PITCH + PAD, (POLY_N + h - 1) * PITCH + PAD
    for k in range(1, POLY_N + 1):
        for x in range(wide):
            put(image, first - k * PITCH + x, get(image, first + x))
            put(image, last + k * PITCH + x, get(image, last + x))
    for y in range(h):
        _column_moments(image, first + y * PITCH, wide, scratch)
        _repeat_edges(scratch, _MOMENTS, 3, w)
        o = (y + ROWS) * _C + PAD
        for x in range(wide):
            e0, e1, e2 = _MOMENTS + x, _MOMENTS + PITCH + x, _MOMENTS + 2 * PITCH + x
            m, my = np.float64(G[0] * get(scratch, e0)), np.float64(G[0] * get(scratch, e1))
            myy = np.float64(G[0] * get(scratch, e2))
            mx = mxx = mxy = np.float64(0)
            for k in range(1, POLY_N + 1):
                low, high = get(scratch, e0 - k), get(scratch, e0 + k)
                both = np.float64(high + low)
                m = _plus_exact(m, both, np.float64(G[k]))
                mxx = _plus_exact(mxx, both, np.float64(XXG[k]))
                mx += np.float64(XG[k] * (high - low))
                low, high = get(scratch, e1 - k), get(scratch, e1 + k)
                my += np.float64(G[k] * (high + low))
                mxy += np.float64(XG[k] * (high - low))
                myy += np.float64(G[k] * (get(scratch, e2 + k) + get(scratch, e2 - k)))
            put(out, o + x, half * np.float32(my * LINEAR))
            put(out, o + PITCH + x, half * np.float32(mx * LINEAR))
            put(out, o + 2 * PITCH + x, half * np.float32(m * OFFSET + myy * SQUARE))
            put(out, o + 3 * PITCH + x, half * np.float32(m * OFFSET + mxx * SQUARE))
            put(out, o + 4 * PITCH + x, quarter * np.float32(mxy * MIXED))


@_inlined
def _column_moments(image, a, wide, scratch):
    """Moments of order 0, 1 and 2 along y around every pixel of the image row that begins at `a`."""
    for x in range(wide):
        m0, m1, m2 = G[0] * get(image, a + x), _ZERO, _ZERO
        for k in range(1, POLY_N + 1):
            low, high = get(image, a + x - k * PITCH), get(image, a + x + k * PITCH)
            both = low + high
            m0 += G[k] * both
            m1 += XG[k] * (high - low)
            m2 += XXG[k] * both
        put(scratch, _MOMENTS + x, m0)
        put(scratch, _MOMENTS + PITCH + x, m1)
        put(scratch, _MOMENTS + 2 * PITCH + x, m2)


# --- the flow on one level -----------------------------------------------------------------------------------------
@compiled(nogil=True)
def improve(result, r0, r1, scratch, flow, matrix, sums):
    """All iterations on one level: better the flow in `result` (h, w, 2).

    The flow leads from the image with the coefficients r0 to that with r1.  `flow`, `matrix` (the equations) and
    `sums` are working memory.
    """
    h, w = result.shape[:2]
    wide, pairs = _whole_vectors(w), result.reshape(h * w * 2)
    for x in range(wide):
        put(scratch, _COLUMN + x, np.float32(x))
        put(scratch, _WEIGHT + x, _edge_weight(x, w))
    for y in range(h):
        dx, dy = y * FLOW_ROWS * PITCH + PAD, (y * FLOW_ROWS + 1) * PITCH + PAD
        for x in range(wide):
            put(flow, dx + x, get(pairs, 2 * (y * w + x)) if x < w else _ZERO)
            put(flow, dy + x, get(pairs, 2 * (y * w + x) + 1) if x < w else _ZERO)
    for _ in range(ITERATIONS):
        for y in range(h):
            _row_equations(r0, r1, flow, y, h, w, scratch, matrix)
        for y in range(h):
            _solve_row(matrix, sums, flow, y, h, w, scratch)
    for y in range(h):
        dx, dy = y * FLOW_ROWS * PITCH + PAD, (y * FLOW_ROWS + 1) * PITCH + PAD
        for x in range(w):
            put(pairs, 2 * (y * w + x), get(flow, dx + x))
            put(pairs, 2 * (y * w + x) + 1, get(flow, dy + x))


@_inlined
def _edge_weight(i, n):
    return EDGE[i] if i < len(EDGE) else EDGE[max(n - 1 - i, 0)] if n - 1 - i < len(EDGE) else _ONE


@_inlined
def _is_inside(px, py, right, bottom):
    return (px >= _ZERO) & (px < right) & (py >= _ZERO) & (py < bottom)


@_inlined
def _row_equations(r0, r1, flow, y, h, w, scratch, matrix):
    """Normal equations of row y, part by part, so that a part's flow has at most two integer parts in x and in y."""
    f, fy, right, bottom = y * FLOW_ROWS * PITCH + PAD, np.float32(y), np.float32(w - 1), np.float32(h - 1)
    start, end, wide = np.intp(0), _whole_vectors(w), _whole_vectors(w)
    while start < wide:
        i0, i1, j0, j1 = _MOST, -_MOST, _MOST, -_MOST
        for x in range(start, end):
            fx = get(scratch, _COLUMN + x)
            px, py = fx + get(flow, f + x), fy + get(flow, f + PITCH + x)
            i, j = np.int32(np.floor(px) - fx), np.int32(np.floor(py) - fy)
            inside = _is_inside(px, py, right, bottom)
            i0, i1 = min(i0, i if inside else _MOST), max(i1, i if inside else -_MOST)
            j0, j1 = min(j0, j if inside else _MOST), max(j1, j if inside else -_MOST)
        if i0 > i1:  # none is inside
            i0 = i1 = j0 = j1 = np.int32(0)
        if i1 > i0 + 1 or j1 > j0 + 1:
            end = (start + end) // 2
            continue
        if i0 == i1 and j0 == j1:
            _equations(False, r0, r1, flow, start, end, i0, j0, y, h, w, scratch, matrix)
        else:
            _equations(True, r0, r1, flow, start, end, i0, j0, y, h, w, scratch, matrix)
        start, end = end, wide


@_inlined
def _equations(many, r0, r1, flow, x0, x1, i, j, y, h, w, scratch, matrix):
    """Normal equations of row y, pixels x0 .. x1, whose flow has the integer parts i and j.

    If they are `many`, the parts are i or i + 1 and j or j + 1.

    If the second image is the first one moved by d, the linear coefficients differ by 2 A d, with A the quadratic
    ones.  Where the flow points out of the second image, its polynomial is taken to be the first one's, without the
    linear part.
    """
    f, a, b = y * FLOW_ROWS * PITCH + PAD, (y + ROWS) * _C + PAD, (y + j + ROWS) * _C + PAD + i
    o, fi, fj, fy = y * _C + PAD, np.float32(i), np.float32(y + j), np.float32(y)
    right, bottom, scale = np.float32(w - 1), np.float32(h - 1), _edge_weight(y, h)
    for x in range(x0, x1):
        fx, dx, dy = get(scratch, _COLUMN + x), get(flow, f + x), get(flow, f + PITCH + x)
        px, py = fx + dx, fy + dy
        inside = _is_inside(px, py, right, bottom)
        u, v = px - np.floor(px), py - np.floor(py)
        p0, p1, p2, q0, q1, q2 = _ONE - u, u, _ZERO, _ONE - v, v, _ZERO
        if many:
            left, upper = np.floor(px) == fx + fi, np.floor(py) == fj
            p0, p1, p2 = (p0 if left else _ZERO), (u if left else _ONE - u), (_ZERO if left else u)
            q0, q1, q2 = (q0 if upper else _ZERO), (v if upper else _ONE - v), (_ZERO if upper else v)
        weights = p0 * q0, p1 * q0, p2 * q0, p0 * q1, p1 * q1, p2 * q1, p0 * q2, p1 * q2, p2 * q2
        ry = _weighted(many, r1, b + x, weights)
        rx = _weighted(many, r1, b + x + PITCH, weights)
        ryy = _weighted(many, r1, b + x + 2 * PITCH, weights)
        rxx = _weighted(many, r1, b + x + 3 * PITCH, weights)
        rxy = _weighted(many, r1, b + x + 4 * PITCH, weights)
        byy, bxx, bxy = get(r0, a + 2 * PITCH + x), get(r0, a + 3 * PITCH + x), get(r0, a + 4 * PITCH + x)
        cyy, cxx = byy + (ryy if inside else byy), bxx + (rxx if inside else bxx)
        cxy = bxy + (rxy if inside else bxy)
        s = get(scratch, _WEIGHT + x) * scale
        cy = ((get(r0, a + x) - (ry if inside else _ZERO)) + (cyy * dy + cxy * dx)) * s
        cx = ((get(r0, a + PITCH + x) - (rx if inside else _ZERO)) + (cxy * dy + cxx * dx)) * s
        cyy, cxx, cxy = cyy * s, cxx * s, cxy * s
        put(matrix, o + x, cyy * cyy + cxy * cxy)
        put(matrix, o + PITCH + x, (cyy + cxx) * cxy)
        put(matrix, o + 2 * PITCH + x, cxx * cxx + cxy * cxy)
        put(matrix, o + 3 * PITCH + x, cyy * cy + cxy * cx)
        put(matrix, o + 4 * PITCH + x, cxy * cy + cxx * cx)


@_inlined
def _weighted(many, r, e, weights):
    """Sum of the 2 x 2 or 3 x 3 values from e on, times their weights, in reading order."""
    d, g = e + _C, e + 2 * _C
    w00, w01, w02, w10, w11, w12, w20, w21, w22 = weights
    if not many:
        return get(r, e) * w00 + get(r, e + 1) * w01 + get(r, d) * w10 + get(r, d + 1) * w11
    total = get(r, e) * w00 + get(r, e + 1) * w01 + get(r, e + 2) * w02
    total = total + get(r, d) * w10 + get(r, d + 1) * w11 + get(r, d + 2) * w12
    return total + get(r, g) * w20 + get(r, g + 1) * w21 + get(r, g + 2) * w22


@_inlined
def _solve_row(matrix, sums, flow, y, h, w, scratch):
    """Flow of row y.

    `sums` are five rows of sums over the window's rows, carried from row to row, and five over the whole window,
    carried from pixel to pixel.
    """
    wide, across = _whole_vectors(w), PAD + _C
    new, old = min(y + HALF, h - 1) * _C + PAD, max(y - HALF - 1, 0) * _C + PAD
    for c in range(COEFFICIENTS):
        o = c * PITCH + PAD
        if y == 0:  # the sum for the row above the first one
            for x in range(wide):
                total = np.float64(np.float32(HALF + 2) * get(matrix, o + x))
                for k in range(1, HALF):
                    total += np.float64(get(matrix, min(k, h - 1) * _C + o + x))
                put(sums, o + x, total)
        for x in range(wide):
            e = c * PITCH + x
            put(sums, o + x, get(sums, o + x) + np.float64(get(matrix, new + e) - get(matrix, old + e)))
    _repeat_edges(sums, PAD, COEFFICIENTS, w)
    s0, s1, s2 = _first_sum(sums, PAD), _first_sum(sums, PAD + PITCH), _first_sum(sums, PAD + 2 * PITCH)
    s3, s4 = _first_sum(sums, PAD + 3 * PITCH), _first_sum(sums, PAD + 4 * PITCH)
    for x in range(PAD, PAD + w):
        s0, s1, s2 = s0 + _change(sums, x), s1 + _change(sums, x + PITCH), s2 + _change(sums, x + 2 * PITCH)
        s3, s4 = s3 + _change(sums, x + 3 * PITCH), s4 + _change(sums, x + 4 * PITCH)
        put(sums, _C + x, s0)
        put(sums, _C + PITCH + x, s1)
        put(sums, _C + 2 * PITCH + x, s2)
        put(sums, _C + 3 * PITCH + x, s3)
        put(sums, _C + 4 * PITCH + x, s4)
    f, width = y * FLOW_ROWS * PITCH + PAD, np.float32(w)
    for x in range(wide):
        e, within = across + x, get(scratch, _COLUMN + x) < width
        yy, xy, xx = get(sums, e) * MEAN, get(sums, e + PITCH) * MEAN, get(sums, e + 2 * PITCH) * MEAN
        hy, hx = get(sums, e + 3 * PITCH) * MEAN, get(sums, e + 4 * PITCH) * MEAN
        size = 1 / (yy * xx - xy * xy + RIDGE)
        # Right of the image the flow is 0, which points nowhere inside.
        put(flow, f + x, np.float32((yy * hx - xy * hy) * size) if within else _ZERO)
        put(flow, f + PITCH + x, np.float32((xx * hy - xy * hx) * size) if within else _ZERO)


@_inlined
def _first_sum(sums, o):
    """The window's sum for the pixel before the first one of a row."""
    total = get(sums, o) * (HALF + 2)
    for k in range(1, HALF):
        total += get(sums, o + k)
    return total


@_inlined
def _change(sums, x):
    return get(sums, x + HALF) - get(sums, x - HALF - 1)


# --- the main-direction mean ---------------------------------------------------------------------------------------
@compiled(nogil=True)
def main_direction_means(flow, regions, shares):
    """Of each region of a flow field, the mean of that share of its vectors that is longest.

    The field is (h, w, 2), a region (top, bottom, left, right), the means `(n, 2)` float64, 0 for an empty region.
    Of m vectors, sorted by length and stable, those from index `int(m * (1 - share))` on count, at least the last.
    They are selected, not sorted, and summed from the last to the first in the field's order.
    """
    means = np.zeros((len(regions), 2))
    size = flow.shape[0] * flow.shape[1]
    squares, low, high = np.empty(size), np.empty(size), np.empty(size)
    for r in range(len(regions)):
        top, bottom, left, right = regions[r]
        m = max(bottom - top, 0) * max(right - left, 0)
        if m == 0:
            continue
        k = 0
        for i in range(top, bottom):
            for j in range(left, right):
                dx, dy = np.float64(flow[i, j, 0]), np.float64(flow[i, j, 1])
                squares[k] = dx * dx + dy * dy
                k += 1
        first = min(int(m * (1 - shares[r])), m - 1)
        cut = _of_rank(squares, m, first, low, high)
        ties = m - first  # how many vectors exactly as long as the one at the cut are still wanted
        for k in range(m):
            ties -= squares[k] > cut
        x = y = np.float64(0)
        k = m
        for i in range(bottom - 1, top - 1, -1):
            for j in range(right - 1, left - 1, -1):
                k -= 1
                kept = squares[k] > cut
                if squares[k] == cut:
                    kept = ties > 0
                    ties -= 1
                x += np.float64(flow[i, j, 0]) if kept else 0.0
                y += np.float64(flow[i, j, 1]) if kept else 0.0
        means[r] = x / (m - first), y / (m - first)
    return means


@_inlined
def _of_rank(values, n, rank, low, high):
    """What sorting would put at index `rank` of the first n values; `low` and `high` are working memory.

    Quickselect, but every value is written to both sides and one side's end moves on: a wrong guess of the processor
    at a branch would take longer.
    """
    pivot = values[n // 2]
    below, above = _split(values, n, pivot, low, high)
    while rank < below or rank >= n - above:
        if rank < below:
            n = below
            pivot = low[n // 2]
            below, above = _split(low, n, pivot, low, high)
        else:
            rank -= n - above
            n = above
            pivot = high[n // 2]
            below, above = _split(high, n, pivot, low, high)
    return pivot


@_inlined
def _split(values, n, pivot, low, high):
    """Copy the values under the pivot to `low` and those over it to `high`, one of which may be `values`."""
    below = above = np.intp(0)
    for i in range(n):
        value = get(values, i)
        put(low, below, value)
        put(high, above, value)
        below += value < pivot
        above += value > pivot
    return below, above
