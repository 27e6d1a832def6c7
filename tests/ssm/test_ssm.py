"""The scan against its definition, and the Mamba block against the published one."""

import importlib
import importlib.util
import math
import multiprocessing
import os
import subprocess
import sys
import textwrap
import types
import warnings

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import Parallel, delayed
from torch.nn import functional as F

from metst_core.compiled import compiled
from metst_core.errors import InputError
from metst_core.ssm import (
    Mamba,
    available_backends,
    block,
    compile_around_scans,
    selective_scan,
    unavailable_backends,
)
from metst_core.ssm import scan as ssm

NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
OPTIONAL = ("D", "z", "delta_bias")
FAST = ("numba", *(pytest.param(name, marks=pytest.mark.cuda) for name in ("mamba_ssm", "triton")))
DEVICES = {"numba": "cpu", "mamba_ssm": "cuda", "triton": "cuda"}


def problem(batch, channels, states, length, seed=0, delta_scale=1.0, without=()):
    """float64 arguments of `selective_scan` by name."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    arguments = {
        "u": normal(batch, channels, length),
        "delta": normal(batch, channels, length) * delta_scale,
        "A": -torch.exp(normal(channels, states)),
        "B": normal(batch, states, length),
        "C": normal(batch, states, length),
        "D": normal(channels),
        "z": normal(batch, channels, length),
        "delta_bias": normal(channels),
    }
    return {name: value for name, value in arguments.items() if name not in without}


def output_and_gradients(arguments, backend, dtype, wanted=NAMES):
    """y and the gradients of a fixed random projection of y, on the CPU in float64."""
    device = DEVICES.get(backend, "cpu")
    leaves = {k: v.to(device, dtype).requires_grad_(k in wanted) for k, v in arguments.items()}
    y = selective_scan(**leaves, delta_softplus=True, backend=backend)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(device, dtype)
    wanted = [k for k in leaves if k in wanted]
    gradients = torch.autograd.grad((y * weights).sum(), [leaves[k] for k in wanted])
    return {"y": y.detach().cpu().double()} | {
        k: g.cpu().double() for k, g in zip(wanted, gradients, strict=True)
    }


def assert_equals_reference(arguments, backend, tolerance=2e-5, wanted=NAMES):
    """Errors count relative to the largest entry of each tensor: single entries may cancel."""
    single = {k: v.float().double() for k, v in arguments.items()}  # what the float32 backend really sees
    expected = output_and_gradients(single, "reference", torch.float64, wanted)
    found = output_and_gradients(single, backend, torch.float32, wanted)
    for name, value in expected.items():
        assert torch.isfinite(found[name]).all(), name
        error = (found[name] - value).abs().max().item()
        assert error <= tolerance * max(value.abs().max().item(), 1e-6), (name, error)


def need(backend):
    if backend not in available_backends():
        pytest.skip(f"{backend}: {unavailable_backends()[backend]}")


# --- the definition ---------------------------------------------------------------------------------------
def test_reference_with_constant_parameters_is_a_convolution():
    """Mamba, equation 3: with nothing selective the scan is a convolution with K_t = C exp(dt A)^t dt B."""
    rng = np.random.default_rng(0)
    u, dt, length = rng.normal(size=40), 0.3, 40
    A, B, C = -rng.uniform(0.1, 3, size=7), rng.normal(size=7), rng.normal(size=7)
    kernel = [(C * np.exp(dt * A) ** t * dt * B).sum() for t in range(length)]
    expected = np.convolve(u, kernel)[:length]
    row = torch.ones(1, 1, length, dtype=torch.float64)
    y = selective_scan(
        torch.tensor(u)[None, None],
        dt * row,
        torch.tensor(A)[None],
        torch.tensor(B)[None, :, None] * row,
        torch.tensor(C)[None, :, None] * row,
    )
    np.testing.assert_allclose(y[0, 0].numpy(), expected, rtol=1e-12, atol=1e-12)


def test_reference_gradients_agree_with_finite_differences():
    arguments = {k: v.requires_grad_() for k, v in problem(2, 2, 3, 4).items()}
    assert torch.autograd.gradcheck(
        lambda *a: selective_scan(*a, delta_softplus=True, backend="reference"), tuple(arguments.values())
    )


def test_states_explain_the_output():
    """y = (C h + D u) silu(z), and each state follows from the one before (Mamba, equation 2)."""
    a = problem(2, 3, 5, 6)
    y, h = selective_scan(**a, delta_softplus=True, return_states=True)
    assert h.shape == (2, 3, 5, 6)
    expected = (torch.einsum("bdnl,bnl->bdl", h, a["C"]) + a["D"][:, None] * a["u"]) * F.silu(a["z"])
    torch.testing.assert_close(y, expected)
    dt = F.softplus(a["delta"] + a["delta_bias"][:, None])
    before = torch.cat([torch.zeros_like(h[..., :1]), h[..., :-1]], dim=3)
    decay = torch.exp(dt[:, :, None] * a["A"][None, :, :, None])
    torch.testing.assert_close(h, decay * before + (dt * a["u"])[:, :, None] * a["B"][:, None])


def test_delta_is_used_as_given_without_softplus():
    a = problem(1, 2, 3, 4, without=("delta_bias",))
    a["delta"] = a["delta"].abs()
    softplus_inverse = {**a, "delta": torch.log(torch.expm1(a["delta"]))}
    torch.testing.assert_close(selective_scan(**a), selective_scan(**softplus_inverse, delta_softplus=True))


# --- every backend against the float64 reference ----------------------------------------------------------
@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 70), st.integers(1, 40)),
    without=st.sets(st.sampled_from(OPTIONAL)),
    seed=st.integers(0, 1000),
)
def test_backend_equals_reference(backend, shape, without, seed):
    need(backend)
    assert_equals_reference(problem(*shape, seed=seed, without=without), backend)


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=10, deadline=None)
@given(length=st.integers(1, 3000), states=st.integers(1, 20), seed=st.integers(0, 1000))
def test_backend_equals_reference_at_any_length(backend, length, states, seed):
    need(backend)
    assert_equals_reference(problem(1, 2, states, length, seed=seed), backend)


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=15, deadline=None)
@given(wanted=st.sets(st.sampled_from(NAMES), min_size=1))
def test_gradients_of_some_inputs_only(backend, wanted):
    """Whatever else needs no gradient, those that do get theirs (a frozen A, a probe of u alone, ...)."""
    need(backend)
    assert_equals_reference(problem(2, 3, 5, 7), backend, wanted=wanted)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 16, 3000), (2, 40, 64, 50), (17, 2, 8, 2)])
def test_backend_equals_reference_at_the_extremes_of_size(backend, shape):
    need(backend)
    assert_equals_reference(problem(*shape), backend)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("scale", [1e-6, 1e2, 1e4, 1e30])
def test_extreme_delta_neither_overflows_nor_turns_nan(backend, scale):
    """A huge step forgets everything (exp -> 0), a vanishing one changes nothing: both are finite."""
    need(backend)
    a = problem(2, 4, 9, 12, without=("delta_bias",))
    a["delta"] *= scale
    a["u"] /= max(1.0, scale)
    assert_equals_reference(a, backend)


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=20, deadline=None)
@given(exponents=st.lists(st.floats(-40, 6), min_size=12, max_size=12), seed=st.integers(0, 1000))
def test_steps_of_any_size_in_one_sequence(backend, exponents, seed):
    """From 1e-40 (below the smallest normal float32) to a million, side by side."""
    need(backend)
    a = problem(1, 2, 9, 12, seed=seed, without=("delta_bias",))
    a["delta"] = a["delta"].abs() * 10 ** torch.tensor(exponents, dtype=torch.float64)
    a["u"] /= a["delta"].clamp(min=1)  # keeps what enters the state near one
    a["delta"] = torch.where(a["delta"] > 20, a["delta"], torch.log(torch.expm1(a["delta"].clamp(max=20))))
    assert_equals_reference(a, backend)


def test_growing_states_overflow_as_the_definition_does():
    """A > 0 is not stable: where exp exceeds float32 the result is infinite, never some other number."""
    ones = torch.ones(1, 1, 4)
    for backend in {"reference", "numba"} & set(available_backends()):
        y = selective_scan(ones, ones, torch.tensor([[30.0]]), ones, ones, backend=backend)
        torch.testing.assert_close(y[0, 0, :2], torch.tensor([1.0, math.exp(30.0) + 1]), rtol=1e-5, atol=0)
        assert y[0, 0, 3] == math.inf


def test_nan_spreads_as_in_the_definition():
    """A NaN input reaches its own row from its own frame on, and nothing else."""
    a = {k: v.float() for k, v in problem(2, 3, 5, 8).items()}
    a["u"][1, 2, 4] = math.nan
    expected = torch.zeros(2, 3, 8, dtype=torch.bool)
    expected[1, 2, 4:] = True
    for backend in {"reference", "numba"} & set(available_backends()):
        assert torch.equal(selective_scan(**a, delta_softplus=True, backend=backend).isnan(), expected)


@pytest.mark.parametrize("backend", FAST)
def test_memory_layout_does_not_matter(backend):
    need(backend)
    a = {k: v.float().to(DEVICES[backend]) for k, v in problem(3, 4, 10, 6).items()}
    strided = {k: v.transpose(0, -1).contiguous().transpose(0, -1) for k, v in a.items()}
    assert not strided["u"].is_contiguous()
    y, expected = (selective_scan(**x, delta_softplus=True, backend=backend) for x in (strided, a))
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)  # torch's softplus differs by an ulp


# --- the CPU kernels beside other things ------------------------------------------------------------------
def test_result_does_not_depend_on_the_number_of_threads():
    need("numba")
    a, threads, before = problem(3, 7, 16, 30), torch.get_num_threads(), numba.get_num_threads()
    results = []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            results.append(output_and_gradients(a, "numba", torch.float32))
    finally:
        torch.set_num_threads(threads)
    assert numba.get_num_threads() == before
    for other in results[1:]:
        assert all(torch.equal(value, other[name]) for name, value in results[0].items())


def test_backward_keeps_no_state_of_every_frame():
    """What waits for the backward is of the size of the inputs, not (B, D, N, L)."""
    need("numba")
    a = {k: v.float().requires_grad_() for k, v in problem(4, 32, 64, 50).items()}
    kept = {}

    def keep(t):
        kept[t.data_ptr()] = t.numel()
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        selective_scan(**a, delta_softplus=True, backend="numba")
    assert sum(kept.values()) < 4 * 32 * 64 * 50 / 4


def _scan_sum(seed):
    a = {k: v.float() for k, v in problem(2, 3, 5, 6, seed=seed).items()}
    return selective_scan(**a, delta_softplus=True, backend="auto").sum().item()


def _scan_in_worker(seed):
    torch.set_num_threads(1)
    return _scan_sum(seed), torch.get_num_threads()


def test_works_in_spawned_workers_and_leaves_torch_its_number_of_threads():
    """numba's OpenMP layer sets the number for all of OpenMP when it starts; several workers with all cores
    each would then slow one another down many times."""
    expected = [(_scan_sum(seed), 1) for seed in range(3)]
    assert Parallel(n_jobs=2, backend="loky")(delayed(_scan_in_worker)(seed) for seed in range(3)) == expected


def test_torch_keeps_the_number_of_threads_of_its_environment():
    """Neither importing nor running the kernels may change what OMP_NUM_THREADS asked for."""
    need("numba")
    script = """
        import torch
        from metst_core.ssm import scan as ssm, scan_cpu
        assert torch.get_num_threads() == 1
        ssm.selective_scan(*[torch.ones(s) for s in ((1, 2, 3), (1, 2, 3), (2, 4), (1, 4, 3), (1, 4, 3))])
        assert torch.get_num_threads() == 1
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, env=environment, timeout=120)


def _forked(queue):
    torch.set_num_threads(1)
    queue.put(_scan_sum(0))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_works_in_a_process_forked_after_the_thread_pool_started():
    """Entering the parent's pool would kill or hang the child."""
    need("numba")
    here = _scan_sum(0)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tested
        child = context.Process(target=_forked, args=(queue,))
        child.start()
    assert queue.get(timeout=60) == here
    child.join(10)
    assert child.exitcode == 0


@pytest.fixture
def fresh_backends():
    ssm.load_backend.cache_clear()
    yield
    ssm.load_backend.cache_clear()


def test_autocast_reaches_neither_the_scan_nor_the_trial_of_its_kernels(fresh_backends):
    """bfloat16 would lose the states, and kernels tried in it would be turned down for the whole process."""
    a = {k: v.float() for k, v in problem(2, 3, 5, 40).items()}
    with torch.autocast("cpu", torch.bfloat16), warnings.catch_warnings():
        warnings.simplefilter("error")  # a backend that is given up warns
        found = {name: selective_scan(**a, backend=name) for name in ("auto", "reference")}
    for name, y in found.items():
        assert torch.equal(y, selective_scan(**a, backend=name))


@pytest.mark.slow
def test_a_network_compiled_around_its_scans_computes_what_it_computed():
    network = torch.nn.Sequential(Mamba(4, d_state=2), Mamba(4, d_state=2))
    x = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0))
    expected = network(x)
    (gradient,) = torch.autograd.grad(expected.sum(), [network[0].in_proj.weight])
    found = compile_around_scans(network, backend="eager")(x)  # traced, but built by no compiler
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), [network[0].in_proj.weight])[0], gradient)


def test_without_a_compiler_the_reference_takes_over_and_says_so(fresh_backends, monkeypatch):
    def refuse(name):
        raise RuntimeError(f"no {name} today")

    monkeypatch.setattr(ssm.importlib, "import_module", refuse)
    a = {k: v.float() for k, v in problem(1, 2, 3, 4).items()}
    with pytest.warns(
        RuntimeWarning, match="the CPU kernels do not run here.*no metst_core.ssm.scan_cpu today"
    ):
        y = selective_scan(**a)
    assert torch.equal(y, selective_scan(**a, backend="reference"))
    assert "numba" not in available_backends()
    assert "no metst_core.ssm.scan_cpu today" in unavailable_backends()["numba"]
    with pytest.raises(InputError, match="cannot be used here"):
        selective_scan(**a, backend="numba")


def pretend_cuda(monkeypatch, kernel):
    """A CUDA device and a `mamba_ssm` whose scan is `kernel`, checked on the CPU."""
    module = types.ModuleType("mamba_ssm.ops.selective_scan_interface")
    module.selective_scan_fn = kernel
    monkeypatch.setitem(sys.modules, "mamba_ssm", types.ModuleType("mamba_ssm"))
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops", types.ModuleType("mamba_ssm.ops"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    compare = ssm.error_against_reference
    monkeypatch.setattr(ssm, "error_against_reference", lambda scan, device: compare(scan, "cpu"))


def test_mamba_ssm_is_used_as_it_is_called(fresh_backends, monkeypatch):
    """Its `selective_scan_fn(u, delta, A, B, C, D, ...)` gets the step sizes ready-made, in float32."""

    def kernel(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
        assert {t.dtype for t in (u, delta, A, B, C, D)} == {torch.float32}
        assert (z, delta_bias, delta_softplus) == (None, None, False)
        return selective_scan(u, delta, A, B, C, D, backend="reference")

    pretend_cuda(monkeypatch, kernel)
    assert "mamba_ssm" in available_backends()


def test_mamba_ssm_without_its_kernel_is_not_used(fresh_backends, monkeypatch):
    """Where its extension was not built, the package imports all the same, and fails when called."""

    def kernel(*core):
        raise AttributeError("'NoneType' object has no attribute 'fwd'")

    pretend_cuda(monkeypatch, kernel)
    with pytest.warns(RuntimeWarning, match="kernels of mamba_ssm do not run here.*no attribute 'fwd'"):
        assert "mamba_ssm" not in available_backends()


def test_mamba_ssm_is_spared_what_its_kernel_refuses(monkeypatch):
    """It checks `dstate <= 256`; more states go to the next backend."""
    monkeypatch.setattr(ssm, "load_backend", lambda name: (name, ""))
    u = types.SimpleNamespace(device=torch.device("cuda"), numel=lambda: 1)
    assert ssm.choose_backend("auto", u, 256, torch.float32, False) == "mamba_ssm"
    assert ssm.choose_backend("auto", u, 257, torch.float32, False) == "triton"
    with pytest.raises(InputError, match="at most 256 states, A has 257"):
        ssm.choose_backend("mamba_ssm", u, 257, torch.float32, False)


@pytest.mark.parametrize("fault", [1.001, math.nan])
def test_kernels_that_compute_wrongly_are_not_used(fresh_backends, monkeypatch, fault):
    need("numba")
    scan_cpu = importlib.import_module("metst_core.ssm.scan_cpu")
    right = scan_cpu.scan
    ssm.load_backend.cache_clear()
    monkeypatch.setattr(scan_cpu, "scan", lambda *core: right(*core) * fault)
    with pytest.warns(RuntimeWarning, match="wrong numbers"):
        assert "numba" not in available_backends()


def test_kernels_compile_where_no_folder_can_be_written(monkeypatch):
    """numba refuses `cache=True` there; the function is then compiled for this process only."""
    compile_ = numba.njit

    def njit(*signature, **options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return compile_(*signature, **options)

    monkeypatch.setattr(numba, "njit", njit)
    assert compiled()(lambda x: x + 1)(2) == 3


def test_triton_kernels_in_the_interpreter():
    """Where no CUDA device is at hand Triton's own interpreter runs the kernels on the CPU."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed (it comes with CUDA builds of torch)")
    script = """
        from metst_core.ssm import scan as definition, scan_triton
        import torch
        wave = lambda *s: torch.sin(torch.arange(torch.tensor(s).prod(), dtype=torch.float32)).view(s)
        u, A, B, D = wave(1, 5, 19), -1 - wave(5, 3).abs(), wave(1, 3, 19), wave(5)
        core = u, u.abs(), A, B, B.cos(), D
        results = []
        for scan in (scan_triton.scan, lambda *core: definition.reference_scan(*core)[0]):
            leaves = [t.clone().requires_grad_() for t in core]
            y = scan(*leaves)
            results.append([y, *torch.autograd.grad((y * wave(1, 5, 19)).sum(), leaves)])
        for got, true in zip(*results, strict=True):
            torch.testing.assert_close(got, true, rtol=1e-4, atol=1e-5)
    """
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, env=environment, timeout=120)


# --- types and errors -------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_output_has_the_type_of_u(dtype):
    a = {k: v.to(dtype) for k, v in problem(1, 2, 3, 4).items()}
    y = selective_scan(**a, delta_softplus=True)
    assert y.dtype == dtype
    exact = selective_scan(**{k: v.double() for k, v in a.items()}, delta_softplus=True)
    torch.testing.assert_close(
        y.double(), exact, rtol=4 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_in_half_precision_are_those_of_the_rounded_inputs(dtype):
    """Computed in float32 and rounded once, so within a few units of the last place."""
    a = {k: v.to(dtype) for k, v in problem(2, 3, 9, 12).items()}
    found = output_and_gradients(a, "auto", dtype)
    exact = output_and_gradients(a, "reference", torch.float64)
    for name, value in exact.items():
        error = (found[name] - value).abs().max()
        assert error <= 4 * torch.finfo(dtype).eps * value.abs().max(), name


def test_mixed_types_are_computed_in_the_widest():
    """As mamba_ssm's callers do: half precision signals, float32 A, D and bias; gradients keep each type."""
    a = {k: v.float() for k, v in problem(2, 3, 9, 12).items()}
    half = {k: a[k].bfloat16() for k in ("u", "delta", "B", "C", "z")}
    leaves = {k: v.requires_grad_() for k, v in (a | half).items()}
    y = selective_scan(**leaves, delta_softplus=True)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert all(leaf.grad.dtype == leaf.dtype for leaf in leaves.values())


def test_float64_is_exact_whatever_the_backend():
    a = problem(1, 2, 3, 4)
    expected = selective_scan(**a, backend="reference")
    for backend in ("auto", *available_backends()):
        assert torch.equal(selective_scan(**a, backend=backend), expected)


def test_an_empty_batch_has_an_empty_answer():
    a = {k: v.float().requires_grad_() for k, v in problem(0, 2, 3, 4).items()}
    for backend in ("auto", *available_backends()):
        y = selective_scan(**a, backend=backend)
        assert y.shape == (0, 2, 4)
        gradients = torch.autograd.grad(y.sum(), list(a.values()), allow_unused=True)
        assert not gradients[2].any()  # A: nothing was learnt


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("u", torch.ones(2, 3), "u must be"),
        ("u", torch.ones(2, 3, 0), "u must be"),
        ("A", torch.ones(3), "A must be"),
        ("A", torch.ones(4, 5), "A must have shape"),
        ("delta", torch.ones(2, 3, 5), "delta must have shape"),
        ("B", torch.ones(2, 4, 5), "B must have shape"),
        ("C", torch.ones(2, 6, 5), "C must have shape"),
        ("D", torch.ones(1), "D must have shape"),
        ("z", torch.ones(2, 3, 5, 1), "z must have shape"),
        ("delta_bias", torch.ones(2), "delta_bias must have shape"),
        ("delta", torch.ones(2, 3, 6, dtype=torch.int64), "delta must be real floating point"),
        ("A", -torch.ones(3, 5, dtype=torch.complex64), "A must be real floating point"),
        ("D", torch.ones(3, device="meta"), "D is on meta"),
        ("backend", "warp", "'warp' is unknown"),
    ],
)
def test_arguments_that_do_not_fit_are_named(name, value, message):
    arguments = {k: v.float() for k, v in problem(2, 3, 5, 6).items()} | {name: value}
    with pytest.raises(InputError, match=message):
        selective_scan(**arguments)


def test_fast_backends_do_not_pretend_to_keep_states():
    with pytest.raises(InputError, match="does not keep the states"):
        selective_scan(**problem(1, 2, 3, 4), return_states=True, backend="numba")


# --- the Mamba block --------------------------------------------------------------------------------------
def test_parameters_are_those_of_mamba_ssm():
    """Names and shapes of `mamba_ssm.Mamba(d_model=24, d_state=6)`, whose dt_rank is ceil(24 / 16)."""
    shapes = {name: tuple(value.shape) for name, value in Mamba(24, d_state=6).state_dict().items()}
    assert shapes == {
        "A_log": (48, 6),
        "D": (48,),
        "in_proj.weight": (96, 24),
        "conv1d.weight": (48, 1, 4),
        "conv1d.bias": (48,),
        "x_proj.weight": (2 + 2 * 6, 48),
        "dt_proj.weight": (48, 2),
        "dt_proj.bias": (48,),
        "out_proj.weight": (24, 48),
    }


def test_initialisation_is_that_of_the_paper():
    """S4D-real A = -(n + 1), D = 1, steps log-uniform in 0.001..0.1 (Mamba, section 3.6)."""
    torch.manual_seed(0)
    mamba = Mamba(256, d_state=16)
    torch.testing.assert_close(torch.exp(mamba.A_log), torch.arange(1.0, 17).expand(512, 16))
    assert torch.equal(mamba.D, torch.ones(512))
    steps = F.softplus(mamba.dt_proj.bias).log10()
    assert steps.min() > -3.001
    assert steps.max() < -0.999
    assert abs(steps.mean() + 2) < 0.1
    bound = mamba.dt_rank**-0.5
    assert 0.95 * bound < mamba.dt_proj.weight.abs().max() <= bound


def textbook_mamba(p, x):
    """The block of figure 3 in NumPy, from a state dict, one frame and one formula at a time: x (L, d)."""
    p = {k: v.detach().numpy() for k, v in p.items()}
    x = x.numpy()
    inner, states = p["A_log"].shape
    rank = p["dt_proj.weight"].shape[1]

    def silu(v):
        return v / (1 + np.exp(-v))

    past, h, out = np.zeros((4, inner)), np.zeros((inner, states)), []
    for frame in x:
        xz = p["in_proj.weight"] @ frame
        past = np.vstack([past[1:], xz[:inner]])
        u = silu((past * p["conv1d.weight"][:, 0].T).sum(0) + p["conv1d.bias"])
        chosen = p["x_proj.weight"] @ u
        dt = np.log1p(np.exp(p["dt_proj.weight"] @ chosen[:rank] + p["dt_proj.bias"]))
        B, C = chosen[rank : rank + states], chosen[rank + states :]
        h = np.exp(dt[:, None] * -np.exp(p["A_log"])) * h + (dt * u)[:, None] * B
        out.append(p["out_proj.weight"] @ ((h @ C + p["D"] * u) * silu(xz[inner:])))
    return np.array(out)


@pytest.mark.parametrize("length", [1, 3, 20])
def test_block_equals_the_textbook(length):
    torch.manual_seed(length)
    mamba = Mamba(20, d_state=5).double()
    x = torch.randn(2, length, 20, dtype=torch.float64)
    expected = np.stack([textbook_mamba(mamba.state_dict(), sample) for sample in x])
    np.testing.assert_allclose(mamba(x).detach().numpy(), expected, rtol=1e-9, atol=1e-12)
    fast = mamba.float()(x.float()).detach().double().numpy()
    np.testing.assert_allclose(fast, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max() + 1e-7)


def test_step_by_step_equals_the_batch():
    torch.manual_seed(0)
    mamba = Mamba(12, d_state=7).double()
    x = torch.randn(3, 9, 12, dtype=torch.float64)
    states = mamba.allocate_inference_cache(3)
    outputs = []
    for t in range(9):
        y, *states = mamba.step(x[:, t : t + 1], *states)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs, dim=1), mamba(x), rtol=1e-12, atol=1e-14)


def test_block_never_looks_ahead():
    torch.manual_seed(0)
    mamba, x = Mamba(8, d_state=4), torch.randn(1, 10, 8)
    changed = x.clone()
    changed[:, 6:] += 1
    before, after = mamba(x), mamba(changed)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.equal(before[:, 6:], after[:, 6:])


@pytest.mark.parametrize("length", [1, 2, 3, 4, 11])
@pytest.mark.parametrize("taps", [1, 4])
def test_causal_convolution_is_that_of_pytorch(length, taps):
    """Output and gradients of `nn.Conv1d` with a group per channel, cut to the sequence, in float64."""
    torch.manual_seed(length)
    conv = torch.nn.Conv1d(6, 6, taps, groups=6, padding=taps - 1).double()
    u = torch.randn(2, length, 12, dtype=torch.float64, requires_grad=True)
    half = u[:, :, :6]  # as Mamba cuts it out of its input projection
    expected = conv(half.transpose(1, 2))[:, :, :length].transpose(1, 2)
    found = block.CausalConv.apply(half, conv.weight[:, 0], conv.bias)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    leaves, weights = (u, conv.weight, conv.bias), torch.randn(found.shape, dtype=torch.float64)
    for a, b in zip(
        *(torch.autograd.grad((y * weights).sum(), leaves) for y in (found, expected)), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_causal_convolution_can_be_differentiated_twice():
    u, weight, bias = (
        torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((1, 3, 2), (2, 4), (2,))
    )
    assert torch.autograd.gradgradcheck(block.CausalConv.apply, (u, weight, bias))


def test_sizes_must_be_whole_numbers():
    with pytest.raises(InputError, match="d_state is 0; it must be a whole number"):
        Mamba(8, d_state=0)


@pytest.mark.parametrize("argument", range(5))
def test_what_is_no_tensor_is_named(argument):
    core = [
        torch.ones(1, 2, 4),
        torch.ones(1, 2, 4),
        -torch.ones(2, 3),
        torch.ones(1, 3, 4),
        torch.ones(1, 3, 4),
    ]
    core[argument] = core[argument].numpy()
    with pytest.raises(InputError, match="must be a tensor, not ndarray"):
        selective_scan(*core)


def test_states_are_those_that_step_carries_from_frame_to_frame():
    torch.manual_seed(0)
    block, x = Mamba(d_model=6, d_state=3), torch.randn(2, 9, 6)
    states, delta = block.states(x)
    assert states.shape == (2, 12, 3, 9)
    assert delta.shape == (2, 12, 9)
    assert (delta > 0).all()
    conv_state, state = block.allocate_inference_cache(2)
    for t in range(9):
        _, conv_state, state = block.step(x[:, t : t + 1], conv_state, state)
        assert torch.allclose(states[..., t], state, atol=1e-6)
