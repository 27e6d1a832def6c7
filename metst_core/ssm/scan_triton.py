"""The selective scan on CUDA without `mamba_ssm`: Triton kernels, which come with CUDA builds of
torch.  float32.

The arithmetic is that of `scan_cpu` (its `_backward_row` derives the gradients).  One program owns BLOCK_D
channels of one batch entry and keeps their state in registers.  The forward saves the state every CHUNK
frames; the backward goes through the chunks from the last to the first and finds the states inside a chunk
again.  Sums over channels are left as one part per program and added by torch, so that results do not depend
on the order of execution.

State of proof: equal to the reference in Triton's interpreter (`TRITON_INTERPRET=1`, on a CPU), and compiled
for compute capability 8.0 and 9.0; not yet run or timed on a device, block sizes are reasoned.  `ssm`
compares them with the reference on the device before it uses them.
"""

# mypy: allow-incomplete-defs
from __future__ import annotations

import torch
import triton
import triton.language as tl

CHUNK = 16
BLOCK_D = 4  # with one warp per program a step needs no synchronisation between warps
LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def _forward(
    u, dt, A, B, C, D, y, saved, channels, frames, N,
    chunks, CHUNK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    n = tl.arange(0, BLOCK_N)
    in_d, in_n = d < channels, n < N
    tile, in_tile = d[:, None] * N + n[None, :], in_d[:, None] & in_n[None, :]
    A2 = tl.load(A + tile, in_tile, 0.0) * LOG2_E
    skip = tl.load(D + d, in_d, 0.0)
    rows = (b * channels + d) * frames
    h = tl.zeros((BLOCK_D, BLOCK_N), tl.float32)
    for t in range(frames):
        if t % CHUNK == 0:
            tl.store(saved + (b * chunks + t // CHUNK) * channels * N + tile, h, in_tile)
        u_t = tl.load(u + rows + t, in_d, 0.0)
        dt_t = tl.load(dt + rows + t, in_d, 0.0)
        B_t = tl.load(B + (b * frames + t) * N + n, in_n, 0.0)
        C_t = tl.load(C + (b * frames + t) * N + n, in_n, 0.0)
        h = tl.exp2(dt_t[:, None] * A2) * h + (dt_t * u_t)[:, None] * B_t[None, :]
        tl.store(y + rows + t, tl.sum(h * C_t[None, :], 1) + skip * u_t, in_d)


@triton.jit
def _backward(
    u, dt, A, B, C, D, dy, saved, du, ddt, dA, dB, dC, states, channels, frames, N,
    chunks, CHUNK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    b, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    parts = tl.num_programs(1)
    d = part * BLOCK_D + tl.arange(0, BLOCK_D)
    n = tl.arange(0, BLOCK_N)
    in_d, in_n = d < channels, n < N
    tile, in_tile = d[:, None] * N + n[None, :], in_d[:, None] & in_n[None, :]
    A_tile = tl.load(A + tile, in_tile, 0.0)
    A2 = A_tile * LOG2_E
    skip = tl.load(D + d, in_d, 0.0)
    rows = (b * channels + d) * frames
    size = channels * N
    own = (
        states + b * (CHUNK + 1) * size + tile
    )  # slot 0: the state before the chunk; slot i + 1: after frame i
    g = tl.zeros((BLOCK_D, BLOCK_N), tl.float32)
    dA_tile = tl.zeros((BLOCK_D, BLOCK_N), tl.float32)
    for c in range(chunks):
        chunk = chunks - 1 - c
        start = chunk * CHUNK
        length = min(CHUNK, frames - start)
        h = tl.load(saved + (b * chunks + chunk) * size + tile, in_tile, 0.0)
        tl.store(own, h, in_tile)
        for i in range(length):
            t = start + i
            u_t = tl.load(u + rows + t, in_d, 0.0)
            dt_t = tl.load(dt + rows + t, in_d, 0.0)
            B_t = tl.load(B + (b * frames + t) * N + n, in_n, 0.0)
            h = tl.exp2(dt_t[:, None] * A2) * h + (dt_t * u_t)[:, None] * B_t[None, :]
            tl.store(own + (i + 1) * size, h, in_tile)
        tl.debug_barrier()  # another thread may read what this one wrote
        for j in range(length):
            i = length - 1 - j
            t = start + i
            u_t = tl.load(u + rows + t, in_d, 0.0)
            dt_t = tl.load(dt + rows + t, in_d, 0.0)
            dy_t = tl.load(dy + rows + t, in_d, 0.0)
            B_t = tl.load(B + (b * frames + t) * N + n, in_n, 0.0)
            C_t = tl.load(C + (b * frames + t) * N + n, in_n, 0.0)
            q = dy_t[:, None] * C_t[None, :] + g
            out = ((b * parts + part) * frames + t) * N + n
            tl.store(dC + out, tl.sum(dy_t[:, None] * tl.load(own + (i + 1) * size, in_tile, 0.0), 0), in_n)
            tl.store(dB + out, tl.sum((dt_t * u_t)[:, None] * q, 0), in_n)
            r = tl.sum(q * B_t[None, :], 1)
            g = q * tl.exp2(dt_t[:, None] * A2)
            p = g * tl.load(own + i * size, in_tile, 0.0)
            dA_tile += dt_t[:, None] * p
            tl.store(du + rows + t, r * dt_t + skip * dy_t, in_d)
            tl.store(ddt + rows + t, tl.sum(p * A_tile, 1) + r * u_t, in_d)
        tl.debug_barrier()  # the next chunk writes over these states
    tl.store(dA + b * size + tile, dA_tile, in_tile)


class SelectiveScanTriton(torch.autograd.Function):
    """y (B, D, L) of float32 u, dt (B, D, L); A (D, N); B, C (B, L, N); D (D)."""

    @staticmethod
    def forward(ctx, u, dt, A, B, C, D):
        u, dt, A, B, C, D = (t.contiguous() for t in (u, dt, A, B, C, D))
        y, chunks = torch.empty_like(u), triton.cdiv(u.shape[2], CHUNK)
        saved = u.new_empty(u.shape[0], chunks, *A.shape)
        _launch(_forward, (u, dt, A, B, C, D, y, saved), chunks)
        ctx.save_for_backward(u, dt, A, B, C, D, saved)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        u, dt, A, B, C, D, saved = ctx.saved_tensors
        (batch, channels, frames), N = u.shape, A.shape[1]
        dy = dy.contiguous()
        du, ddt, dA = torch.empty_like(u), torch.empty_like(u), u.new_empty(batch, channels, N)
        dB, dC = (u.new_empty(batch, triton.cdiv(channels, BLOCK_D), frames, N) for _ in range(2))
        states = u.new_empty(batch, CHUNK + 1, channels, N)
        tensors = (u, dt, A, B, C, D, dy, saved, du, ddt, dA, dB, dC, states)
        _launch(_backward, tensors, saved.shape[1])
        return du, ddt, dA.sum(0), dB.sum(1), dC.sum(1), torch.linalg.vecdot(dy, u).sum(0)


def _launch(kernel, tensors: tuple[torch.Tensor, ...], chunks: int) -> None:
    (batch, channels, frames), N = tensors[0].shape, tensors[2].shape[1]
    grid = (batch, triton.cdiv(channels, BLOCK_D))
    sizes = {"CHUNK": CHUNK, "BLOCK_D": BLOCK_D, "BLOCK_N": triton.next_power_of_2(N)}
    with torch.cuda.device_of(tensors[0]):
        kernel[grid](*tensors, channels, frames, N, chunks, **sizes, num_warps=1)


def scan(
    u: torch.Tensor,
    dt: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None,
) -> torch.Tensor:
    """The scan of `ssm.selective_scan` after softplus and before the gate: B, C (B, N, L)."""
    skip = u.new_zeros(A.shape[0]) if D is None else D
    return SelectiveScanTriton.apply(u, dt, A, B.transpose(1, 2), C.transpose(1, 2), skip)
