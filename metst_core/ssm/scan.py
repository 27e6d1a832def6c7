"""Selective state spaces: one definition of the scan, several ways to run it.

| here | Mamba paper (arXiv 2312.00752) | shape |
|---|---|---|
| `u`, `x` | x, the input of the SSM | (B, D, L) |
| `delta` | Delta, the step size (after softplus: > 0) | (B, D, L) |
| `A` | A, diagonal, negative: how fast each state forgets | (D, N) |
| `B`, `C` | B and C, input and output maps, chosen per frame | (B, N, L) |
| `h` | h, the hidden state | (B, D, N) per frame |
| `D`, `z` | skip connection, gate | (D), (B, D, L) |
"""

from __future__ import annotations

import functools
import importlib
import math
import warnings
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from metst_core.errors import InputError


def reference_scan(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, keep_states: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The definition, frame by frame (Mamba, equations 2a, 2b and 4, with the usual Euler step for B).

        h_t = exp(dt_t A) h_{t-1} + dt_t B_t u_t,      y_t = C_t h_t + D u_t

    Returns y (B, D, L) and, if they are to be kept, the states h_t (B, D, N), one per frame.
    """
    h = torch.zeros_like(dt[:, :, :1] * A)
    states, outputs = [], []
    # unbind: indexing [:, :, t] would allocate a gradient of full size for every frame
    for u_t, dt_t, B_t, C_t in zip(u.unbind(2), dt.unbind(2), B.unbind(2), C.unbind(2), strict=True):
        h = torch.exp(dt_t[:, :, None] * A) * h + (dt_t * u_t)[:, :, None] * B_t[:, None, :]
        outputs.append((h @ C_t[:, :, None]).squeeze(2))
        if keep_states:
            states.append(h)
    y = torch.stack(outputs, dim=2)
    return (y if D is None else y + D[:, None] * u), states


_NEEDED = ("u", "delta", "A", "B", "C")


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_states: bool = False,
    backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """The selective scan (Mamba, algorithm 2), with the arguments of `mamba_ssm`'s `selective_scan_fn`.

    u, delta, z: (B, D, L).  A: (D, N).  B, C: (B, N, L).  D, delta_bias: (D).  Returns y (B, D, L) in u's
    dtype:

        dt = softplus(delta + delta_bias)      h_t = exp(dt_t A) h_{t-1} + dt_t B_t u_t
        y_t = (C_t h_t + D u_t) * silu(z_t)

    `return_states` adds the hidden states (B, D, N, L), which only the reference keeps.

    backend: a name from `available_backends()`, or "auto": on a CPU the numba kernels, on CUDA `mamba_ssm`,
    else Triton, else the reference.  The fast ones work in float32; float64 input always takes the
    reference, half precision is computed in float32.  Only the reference can be differentiated twice.

    Raises InputError for shapes, dtypes or devices that do not fit, or a backend this machine or call cannot
    use.

    One channel with one state that keeps nearly all of what it holds, and takes in one impulse:

    >>> import torch
    >>> u = torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])
    >>> one, A = torch.ones(1, 1, 4), torch.tensor([[-0.1]])
    >>> selective_scan(u, one, A, B=one, C=one, backend="reference")
    tensor([[[1.0000, 0.9048, 0.8187, 0.7408]]])
    """
    given = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "z": z, "delta_bias": delta_bias}
    _check_arguments(given)
    types = (t.dtype for t in given.values() if t is not None)
    dtype = functools.reduce(torch.promote_types, types, torch.float32)
    run = choose_backend(backend, u, A.shape[1], dtype, return_states)

    with torch.autocast(u.device.type, enabled=False):  # half precision would spoil states over many frames
        dt = delta.to(dtype) if delta_bias is None else delta.to(dtype) + delta_bias.to(dtype)[:, None]
        if delta_softplus:
            dt = F.softplus(dt)
        core = (u.to(dtype), dt, A.to(dtype), B.to(dtype), C.to(dtype), None if D is None else D.to(dtype))
        if run is None:
            y, states = reference_scan(*core, keep_states=return_states)
        else:
            y, states = run(*core), []
    if z is not None:
        y = y * F.silu(z.to(dtype))
    y = y.to(u.dtype)
    return (y, torch.stack(states, dim=3)) if return_states else y


def _check_arguments(given: dict[str, Tensor | None]) -> None:
    """Types, shapes, dtypes and devices of the tensors of `selective_scan`, by name."""
    tensors = {name: value for name, value in given.items() if value is not None or name in _NEEDED}
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise InputError(
                f"{name} must be a tensor, not {type(value).__name__}: torch.as_tensor makes one"
            )
    u, A = cast(Tensor, given["u"]), cast(Tensor, given["A"])
    if u.dim() != 3 or 0 in u.shape[1:]:
        raise InputError(f"u must be (batch, channels, frames), at least one of each, not {tuple(u.shape)}")
    if A.dim() != 2 or A.shape[1] == 0:
        raise InputError(f"A must be (channels, states), not {tuple(A.shape)}")
    (batch, channels, length), states = u.shape, A.shape[1]
    expected = {
        **dict.fromkeys(("u", "delta", "z"), tuple(u.shape)),
        "A": (channels, states),
        **dict.fromkeys(("B", "C"), (batch, states, length)),
        **dict.fromkeys(("D", "delta_bias"), (channels,)),
    }
    for name, tensor in cast(dict[str, Tensor], tensors).items():
        shape = expected[name]
        if tensor.shape != shape:
            raise InputError(
                f"{name} must have shape {shape}, not {tuple(tensor.shape)} "
                f"(u is {tuple(u.shape)}: batch, channels, frames; A is {tuple(A.shape)}: channels, states)"
            )
        if not tensor.is_floating_point():
            raise InputError(f"{name} must be real floating point, not {tensor.dtype}")
        if tensor.device != u.device:
            raise InputError(f"{name} is on {tensor.device} but u on {u.device}: move them to one device")


# --- backends ---------------------------------------------------------------------------------------------
_Scan = Callable[..., Tensor]
_MAX_STATES = {"mamba_ssm": 256}  # a limit of its CUDA kernel


def choose_backend(
    backend: str, u: Tensor, states: int, dtype: torch.dtype, return_states: bool
) -> _Scan | None:
    """The function that runs the scan, None for the reference."""
    if return_states and backend not in ("auto", "reference"):
        raise InputError(f"backend {backend!r} does not keep the states: with return_states use 'reference'")
    if backend == "auto":
        if return_states or dtype == torch.float64 or u.numel() == 0:
            return None
        candidates = {"cpu": ("numba",), "cuda": ("mamba_ssm", "triton")}.get(u.device.type, ())
        fit = [name for name in candidates if states <= _MAX_STATES.get(name, states)]
        return next((run for name in fit if (run := load_backend(name)[0]) is not None), None)
    if backend not in _LOADERS:
        raise InputError(f"backend {backend!r} is unknown: use 'auto' or one of {', '.join(_LOADERS)}")
    run, note = load_backend(backend)
    if run is None:
        raise InputError(f"backend {backend!r} cannot be used here: {note}. Use 'auto' or 'reference'")
    if backend == "reference" or dtype == torch.float64 or u.numel() == 0:
        return None
    if u.device.type != ("cpu" if backend == "numba" else "cuda"):
        raise InputError(f"backend {backend!r} cannot work on {u.device}: use 'auto' or 'reference'")
    if states > _MAX_STATES.get(backend, states):
        raise InputError(
            f"backend {backend!r} takes at most {_MAX_STATES[backend]} states, A has {states}: use 'auto'"
        )
    return run


def available_backends() -> dict[str, str]:
    """The usable backends of `selective_scan` on this machine, each with a word on how it runs.

    The first call may compile the CPU kernels (seconds; they are kept on disk for later processes).
    """
    return {name: note for name in _LOADERS for run, note in [load_backend(name)] if run is not None}


def unavailable_backends() -> dict[str, str]:
    """The backends this machine lacks, each with the reason."""
    return {name: note for name in _LOADERS for run, note in [load_backend(name)] if run is None}


@functools.cache
def load_backend(name: str) -> tuple[_Scan | None, str]:
    """A backend's function and a note on how it runs, or None and the reason why it cannot."""
    return _LOADERS[name]()


def _load_reference() -> tuple[_Scan | None, str]:
    note = "the readable loop: any floating-point type, any device, hidden states"
    return (lambda *core: reference_scan(*core)[0]), note


def _load_numba() -> tuple[_Scan | None, str]:
    """Compile the CPU kernels, or read them back."""
    name = "metst_core.ssm.scan_cpu"
    run, reason = _trusted("the CPU kernels", "cpu", lambda: importlib.import_module(name).scan)
    if run is None:
        return None, reason
    return run, f"float32 on the CPU, threading layer {importlib.import_module(name).threading_layer()}"


def _load_mamba_ssm() -> tuple[_Scan | None, str]:
    if not torch.cuda.is_available():
        return None, "no CUDA device"
    try:
        module = importlib.import_module("mamba_ssm.ops.selective_scan_interface")
    except ImportError as problem:
        return None, f"mamba_ssm cannot be imported ({problem})"
    # its kernel for Mamba 1 is a build of its own, without which the package may still be imported
    run, reason = _trusted("the kernels of mamba_ssm", "cuda", lambda: module.selective_scan_fn)
    return run, reason or "float32 on CUDA, the kernel of mamba_ssm"


def _load_triton() -> tuple[_Scan | None, str]:
    if not torch.cuda.is_available():
        return None, "no CUDA device"
    try:
        module = importlib.import_module("metst_core.ssm.scan_triton")
    except ImportError as problem:
        return None, f"triton cannot be imported ({problem})"
    run, reason = _trusted("the Triton kernels", "cuda", lambda: module.scan)
    return run, reason or "float32 on CUDA, Triton kernels"


def _trusted(name: str, device: str, get: Callable[[], _Scan]) -> tuple[_Scan | None, str]:
    """The kernels, trusted only if they reproduce the reference on this machine; else None and the reason."""
    try:
        run = get()
        error = error_against_reference(run, device)
    except Exception as problem:  # whatever breaks a compiler on a machine we never saw: say so and go on
        return _give_up(f"{name} do not run here ({_brief(problem)})")
    if not error < 1e-4:
        return _give_up(f"{name} compute wrong numbers here (relative error {error:.1e})")
    return run, ""


def _brief(problem: Exception) -> str:
    """Compilers report by the page: the first line will do."""
    return f"{type(problem).__name__}: {next(iter(str(problem).splitlines()), '')}"


def _give_up(note: str) -> tuple[None, str]:
    warnings.warn(f"{note}; another backend takes over", RuntimeWarning, stacklevel=6)
    return None, note


@torch.inference_mode(False)
@torch.enable_grad()
def error_against_reference(scan: _Scan, device: str) -> float:
    """The relative errors of output and gradients on one small problem, added up (so that NaN counts).

    In float32 whatever the caller's autocast: the answer is kept for the whole process.
    """

    def wave(*shape: int) -> Tensor:
        return torch.sin(torch.arange(math.prod(shape), dtype=torch.float32, device=device)).view(shape)

    def outputs_and_gradients(run: _Scan) -> list[Tensor]:
        given = (
            wave(2, 3, 3),
            wave(2, 3, 3).abs(),
            -2 - wave(3, 9),
            wave(2, 9, 3),
            wave(2, 9, 3).cos(),
            wave(3),
        )
        core = [t.clone().requires_grad_() for t in given]
        y = run(*core)
        return [y.detach(), *torch.autograd.grad((y * wave(2, 3, 3)).sum(), core)]

    with torch.autocast(device, enabled=False):
        true = outputs_and_gradients(lambda *core: reference_scan(*core)[0])
        got = outputs_and_gradients(scan)
    return sum(float((a - b).abs().max() / b.abs().max()) for a, b in zip(got, true, strict=True))


_LOADERS: dict[str, Callable[[], tuple[_Scan | None, str]]] = {
    "reference": _load_reference,
    "numba": _load_numba,
    "mamba_ssm": _load_mamba_ssm,
    "triton": _load_triton,
}
