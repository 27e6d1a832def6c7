"""The selective scan on a CPU: numba kernels with explicit 8-lane SIMD and a hand-derived backward, float32.

`ssm.selective_scan` is the way in; `ssm._reference_scan` is the definition these kernels are proven against.

Why explicit SIMD: left alone, LLVM keeps the backward scalar (about four times slower).  Why recompute: the
backward saves only the inputs and finds the states again, one (batch, channel) row at a time, so that nothing
of size (B, D, N, L) ever exists.  Why a fixed number of tasks: partial sums are then added in the same order
whatever the number of threads, and results do not depend on it.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import register_model

LANES = 8
MIN_TASKS = 16  # at least so many units of work, whatever the number of threads
_FREE_THREADED_LAYERS = ("omp", "tbb")  # the others abort when two Python threads enter at once
_LAUNCH = threading.Lock()

# --- a float32 x 8 type and the operations the kernels need -----------------------------------------------
_VF = ir.VectorType(ir.FloatType(), LANES)
_VI = ir.VectorType(ir.IntType(32), LANES)


intrinsic: Any = numba.extending.intrinsic  # its type hints do not know what it returns


class F32x8(types.Type):
    """Eight float32 in one register (LLVM splits it where the machine has narrower ones)."""

    def __init__(self) -> None:
        super().__init__(name="f32x8")


v8 = F32x8()


@register_model(F32x8)
class _F32x8Model(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _VF)


def _const(x: float) -> ir.Constant:
    return ir.Constant(_VF, [float(np.float32(x))] * LANES)


def _ints(values: Any) -> ir.Constant:
    return ir.Constant(_VI, list(values))


def _fma(builder: Any, *args: Any) -> Any:
    kind = ir.FunctionType(_VF, [_VF] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32"), args)


def _address(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), _VF.as_pointer())


@intrinsic
def load(typing, array, i):
    """Elements i .. i+7 of a contiguous 1-D array."""
    return v8(array, types.intp), lambda ctx, b, sig, a: b.load(_address(ctx, b, sig, a), align=4)


@intrinsic
def store(typing, array, i, x):
    def generate(ctx, b, sig, a):
        b.store(a[2], _address(ctx, b, sig, a), align=4)
        return ctx.get_dummy_value()

    return types.void(array, types.intp, v8), generate


@intrinsic
def splat(typing, x):
    """The scalar x in every lane."""

    def generate(ctx, b, sig, a):
        undefined = ir.Constant(_VF, ir.Undefined)
        first = b.insert_element(undefined, a[0], ir.IntType(32)(0))
        return b.shuffle_vector(first, undefined, _ints([0] * LANES))

    return v8(types.float32), generate


@intrinsic
def mul(typing, x, y):
    return v8(v8, v8), lambda ctx, b, sig, a: b.fmul(*a)


@intrinsic
def fma(typing, x, y, z):
    """x * y + z"""
    return v8(v8, v8, v8), lambda ctx, b, sig, a: _fma(b, *a)


@intrinsic
def hsum(typing, x):
    """The sum of the lanes, always in the same order."""

    def generate(ctx, b, sig, a):
        v = a[0]
        for step in (4, 2, 1):
            turned = b.shuffle_vector(
                v, ir.Constant(_VF, ir.Undefined), _ints((j + step) % LANES for j in range(LANES))
            )
            v = b.fadd(v, turned)
        return b.extract_element(v, ir.IntType(32)(0))

    return types.float32(v8), generate


# 2**f on [-0.5, 0.5], degree 6, highest power first; the last is exactly 1 so that 2**0 is exactly 1.
_EXP2 = (
    1.535336200e-04,
    1.339887445e-03,
    9.618437358e-03,
    5.550332471e-02,
    2.402264791e-01,
    6.931472029e-01,
    1.0,
)
_ROUND = 1.5 * 2**23  # adding it rounds a float32 to an integer and leaves that integer in the lowest bits


@intrinsic
def exp2(typing, x):
    """2**x within 2 ulp: the nearest integer k goes to the exponent bits, a polynomial does the rest.

    0 from -127 down, infinity from 128 up; NaN stays NaN (it passes both clamps, and the polynomial carries
    it).
    """

    def generate(ctx, b, sig, a):
        t = b.select(b.fcmp_ordered("<", a[0], _const(-127)), _const(-127), a[0])
        t = b.select(b.fcmp_ordered(">", t, _const(128)), _const(128), t)
        rounded = b.fadd(t, _const(_ROUND))
        f = b.fsub(t, b.fsub(rounded, _const(_ROUND)))
        p = _const(_EXP2[0])
        for c in _EXP2[1:]:
            p = _fma(b, p, f, _const(c))
        k = b.shl(b.bitcast(rounded, _VI), _ints([23] * LANES))
        return b.bitcast(b.add(b.bitcast(p, _VI), k), _VF)

    return v8(v8), generate


# --- kernels ----------------------------------------------------------------------------------------------
def _jit(*signature: Any, **options: Any) -> Callable[[Callable], Callable]:
    compile_: Any = numba.njit  # its type hints know no signature

    def decorate(function: Callable) -> Callable:
        try:
            return compile_(*signature, error_model="numpy", cache=True, **options)(function)
        except RuntimeError:  # no folder is writable: neither beside this file nor in the user's cache
            return compile_(*signature, error_model="numpy", **options)(function)

    return decorate


_ZERO = np.float32(0)


@_jit()
def _forward_row(u, dt, A2, B, C, D, y, h):
    """One (batch, channel) row: u, dt, y (L); A2 (N), times log2(e); B, C (L * N); the state h (N) stays in
    cache."""
    N = A2.size
    for n in range(0, N, LANES):
        store(h, n, splat(_ZERO))
    for t in range(u.size):
        d, x, s, o = splat(dt[t]), splat(dt[t] * u[t]), splat(_ZERO), t * N
        for n in range(0, N, LANES):
            q = fma(exp2(mul(d, load(A2, n))), load(h, n), mul(x, load(B, o + n)))
            store(h, n, q)
            s = fma(q, load(C, o + n), s)
        y[t] = hsum(s) + D * u[t]


@_jit()
def _backward_row(u, dt, A, A2, B, C, D, dy, du, ddt, dA, dB, dC, a, h, g):
    """The gradients of one row.  With a_t = exp(dt_t A) and h_t = a_t h_{t-1} + dt_t u_t B_t,

        q_t = dL/dh_t = dy_t C_t + a_{t+1} q_{t+1}          dC_t += dy_t h_t        dB_t += dt_t u_t q_t
        p_t = dL/d(dt_t A) = q_t a_t h_{t-1}                dA   += dt_t p_t
        du_t = dt_t <q_t, B_t> + D dy_t                     ddt_t = <p_t, A> + u_t <q_t, B_t>

    a (L * N) and h ((L + 1) * N) hold the row's states again, g (N) holds a_{t+1} q_{t+1}.
    """
    N = A2.size
    for n in range(0, N, LANES):
        store(h, n, splat(_ZERO))
        store(g, n, splat(_ZERO))
        store(dA, n, splat(_ZERO))
    for t in range(u.size):
        d, x, o = splat(dt[t]), splat(dt[t] * u[t]), t * N
        for n in range(0, N, LANES):
            e = exp2(mul(d, load(A2, n)))
            store(a, o + n, e)
            store(h, o + N + n, fma(e, load(h, o + n), mul(x, load(B, o + n))))
    for t in range(u.size - 1, -1, -1):
        d, x, v, o = splat(dt[t]), splat(dt[t] * u[t]), splat(dy[t]), t * N
        qB, pA = splat(_ZERO), splat(_ZERO)
        for n in range(0, N, LANES):
            q = fma(v, load(C, o + n), load(g, n))
            store(dC, o + n, fma(v, load(h, o + N + n), load(dC, o + n)))
            store(dB, o + n, fma(x, q, load(dB, o + n)))
            qB = fma(q, load(B, o + n), qB)
            q = mul(q, load(a, o + n))
            store(g, n, q)
            p = mul(q, load(h, o + n))
            store(dA, n, fma(d, p, load(dA, n)))
            pA = fma(p, load(A, n), pA)
        r = hsum(qB)
        du[t] = r * dt[t] + D * dy[t]
        ddt[t] = hsum(pA) + r * u[t]


def _forward(u, dt, A2, B, C, D, y, tasks):
    """u, dt, y (B, D, L), in any layout; A2 (D, N); B, C (B, L * N); D (D).  `tasks` per batch entry share its channels."""
    channels, N = u.shape[1], A2.shape[1]
    for k in prange(u.shape[0] * tasks):
        b, j = k // tasks, k % tasks
        h = np.empty(N, np.float32)
        for c in range(channels * j // tasks, channels * (j + 1) // tasks):
            _forward_row(u[b, c], dt[b, c], A2[c], B[b], C[b], D[c], y[b, c], h)


def _backward(u, dt, A, A2, B, C, D, dy, du, ddt, dA, dB, dC, tasks):
    """Fills du, ddt (B, D, L), dA (B, D, N) and adds to dB, dC (B * tasks, L * N), private to each task."""
    channels, L, N = u.shape[1], u.shape[2], A.shape[1]
    for k in prange(u.shape[0] * tasks):
        b, j = k // tasks, k % tasks
        a = np.empty(L * N, np.float32)
        h = np.empty(L * N + N, np.float32)
        g = np.empty(N, np.float32)
        for c in range(channels * j // tasks, channels * (j + 1) // tasks):
            _backward_row(
                u[b, c], dt[b, c], A[c], A2[c], B[b], C[b], D[c], dy[b, c],
                du[b, c], ddt[b, c], dA[b, c], dB[k], dC[k], a, h, g,
            )  # fmt: skip


# Rows are read and written number by number, so they may lie in any layout (Mamba's are (B, L, D) in memory);
# one signature for all layouts, or each combination of them would be compiled on its own.
_ROWS = types.Array(types.float32, 3, "A")
_1D, _2D, _3D = (types.Array(types.float32, n, "C") for n in (1, 2, 3))
_SIGNATURES: dict[Callable, Any] = {
    _forward: types.void(_ROWS, _ROWS, _2D, _2D, _2D, _1D, _ROWS, types.intp),
    _backward: types.void(
        *(_ROWS, _ROWS, _2D, _2D, _2D, _2D, _1D, _ROWS, _ROWS, _ROWS, _3D, _2D, _2D, types.intp)
    ),
}


@functools.cache
def _parallel(kernel: Callable) -> Callable:
    """Compiled when first launched, not at import: it starts the pool, and that changes OpenMP's settings."""
    return _jit(_SIGNATURES[kernel], parallel=True, nogil=True)(kernel)


# Not cached: numba's cache would take the parallel version for this one.
_SERIAL = {f: numba.njit(error_model="numpy", nogil=True)(f) for f in (_forward, _backward)}
_owner: int | None = None  # the process that started the thread pool


def _launch(kernel: Callable, tensors: tuple[torch.Tensor, ...], tasks: int) -> None:
    """Run a kernel with torch's number of threads, and leave torch's and numba's own settings as they were.

    A process forked from one that runs a pool would die on entering it: it takes the serial kernel.
    """
    global _owner
    arrays = [t.detach().numpy() for t in tensors]
    _owner = _owner or os.getpid()
    if os.getpid() != _owner:
        _SERIAL[kernel](*arrays, tasks)
        return
    threads = torch.get_num_threads()
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    try:
        with _turn():
            _parallel(kernel)(*arrays, tasks)
    finally:
        numba.set_num_threads(before)
        if (
            torch.get_num_threads() != threads
        ):  # numba's omp layer, as it starts, sets the number for all of OpenMP
            torch.set_num_threads(threads)


def _turn() -> contextlib.AbstractContextManager:
    """One Python thread at a time, except on the layers that are safe with several."""
    return contextlib.nullcontext() if _layer in _FREE_THREADED_LAYERS else _LAUNCH


_layer = "not started"


def threading_layer() -> str:
    """numba's threading layer in use (`omp` is the fast one beside torch), once a kernel has run."""
    global _layer
    _layer = numba.threading_layer()
    return _layer


class SelectiveScanCPU(torch.autograd.Function):
    """y (B, D, L) of float32 u, dt (B, D, L); A (D, N); B, C (B, L, N); D (D).  N is a multiple of 8."""

    @staticmethod
    def forward(ctx, u, dt, A, B, C, D):
        A, B, C, D = (t.contiguous() for t in (A, B, C, D))
        A2, y = A * math.log2(math.e), torch.empty_like(u)
        ctx.tasks = min(u.shape[1], -(-MIN_TASKS // u.shape[0]))
        _launch(_forward, (u, dt, A2, B.flatten(1), C.flatten(1), D, y), ctx.tasks)
        ctx.save_for_backward(u, dt, A, A2, B, C, D)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        u, dt, A, A2, B, C, D = ctx.saved_tensors
        (batch, channels, L), N, tasks = u.shape, A.shape[1], ctx.tasks
        du, ddt, dA = torch.empty_like(u), torch.empty_like(u), u.new_empty(batch, channels, N)
        dB, dC = u.new_zeros(batch * tasks, L * N), u.new_zeros(batch * tasks, L * N)
        flat = (u, dt, A, A2, B.flatten(1), C.flatten(1), D, dy)
        _launch(_backward, (*flat, du, ddt, dA, dB, dC), tasks)
        dB, dC = (t.view(batch, tasks, L, N).sum(1) for t in (dB, dC))
        return du, ddt, dA.sum(0), dB, dC, torch.linalg.vecdot(dy, u).sum(0)


def scan(
    u: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None,
) -> torch.Tensor:
    """The scan of `ssm.selective_scan` after softplus and before the gate: B, C (B, N, L), any N."""
    pad = -A.shape[1] % LANES  # extra states start at 0, are fed 0 and read with 0
    B, C = B.transpose(1, 2), C.transpose(1, 2)
    if pad:
        A, B, C = (torch.nn.functional.pad(t, (0, pad)) for t in (A, B, C))
    return SelectiveScanCPU.apply(u, dt, A, B, C, u.new_zeros(A.shape[0]) if D is None else D)
