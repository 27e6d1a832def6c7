"""How fast is the selective scan?  Forward and backward, side by side in one run, against what else there is.

    python benchmarks/bench_scan.py                   # a quarter of an hour
    python benchmarks/bench_scan.py --device cuda

Either writes benchmarks/results/scan_<device>.json and .md; the latter says which targets are met.  Every implementation is first compared with the reference (output and all gradients), then all take turns,
round after round, so that a busy machine slows them alike; times are medians over the rounds.  Peak memory
is measured in a process of its own.  `mambapy` and `transformers` are compared where they can be imported,
the C++ kernel where there is a compiler; neither is a dependency of the project.  The training step is timed
with the fast scans and the reference: the others would keep more than 30 GB for its backward.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from common import Line, parser, write
from torch import Tensor
from tqdm import tqdm

from metst_core.files import atomic_path, run_record
from metst_core.models import METSTPlus
from metst_core.ssm import scan as ssm
from metst_core.ssm import selective_scan

SIZES = ((32, 64, 16, 50), (32, 256, 64, 50), (8, 512, 64, 50), (1, 256, 16, 2000))  # B, D, N, L
MAIN = SIZES[1]
OURS = {"cpu": "numba", "cuda": "triton"}
FASTER_THAN = {"textbook loop": 150, "mambapy": 50, "reference": 8}  # targets at MAIN: at least so many times
SLOWER_THAN_CPP = 1.5  # at most
MEMORY_OF_REFERENCE = 0.1  # less than
Scan = Callable[..., Tensor]


# --- the competitors: u, dt (B, D, L); A (D, N); B, C (B, N, L); D (D) -> y (B, D, L) ---------------------
def backend(name: str) -> Scan:
    return lambda *core: selective_scan(*core, backend=name)


def textbook(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """As the paper's reference code and most tutorials write it: everything materialised, then indexed by
    frame."""
    decay = torch.exp(torch.einsum("bdl,dn->bdln", dt, A))
    fed = torch.einsum("bdl,bnl,bdl->bdln", dt, B, u)
    h, outputs = torch.zeros_like(decay[:, :, 0]), []
    for t in range(u.shape[2]):
        h = decay[:, :, t] * h + fed[:, :, t]
        outputs.append(torch.einsum("bdn,bn->bd", h, C[:, :, t]))
    return torch.stack(outputs, dim=2) + D[:, None] * u


def mambapy() -> Scan:
    pscan = importlib.import_module("mambapy.pscan").pscan

    def scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        x, delta, B, C = (t.transpose(1, 2) for t in (u, dt, B, C))
        h = pscan(torch.exp(delta[..., None] * A), delta[..., None] * B[:, :, None] * x[..., None])
        return ((h @ C[..., None]).squeeze(3) + D * x).transpose(1, 2)

    return scan


def transformers() -> Scan:
    scan = importlib.import_module("transformers.models.mamba.modeling_mamba").mamba_selective_scan
    return lambda u, dt, A, B, C, D: scan(u, dt, A, B, C, D)


def cpp() -> Scan:
    """Compiled by g++ for this very CPU, called through ctypes."""
    compiler = shutil.which("g++")
    if compiler is None:
        raise ImportError("no g++")
    library = Path(tempfile.mkdtemp()) / "scan_kernel.so"
    options = [
        "-O3",
        "-march=native",
        "-fopenmp",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-shared",
        "-fPIC",
    ]
    source = Path(__file__).with_name("scan_kernel.cpp")
    subprocess.run([compiler, *options, str(source), "-o", str(library)], check=True)
    functions = ctypes.CDLL(str(library))

    def call(name: str, tensors: tuple[Tensor, ...], *sizes: int) -> None:
        getattr(functions, name)(
            *(ctypes.c_void_p(t.data_ptr()) for t in tensors), *(ctypes.c_long(size) for size in sizes)
        )

    class Kernel(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *core: Tensor) -> Tensor:
            u, dt, A, B, C, D = (t.contiguous() for t in core)
            A2, y = A * math.log2(math.e), torch.empty_like(u)
            call("scan_forward", (u, dt, A2, B, C, D, y), *u.shape, A.shape[1])
            ctx.save_for_backward(u, dt, A, A2, B, C, D)
            return y

        @staticmethod
        def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
            u, dt, A, A2, B, C, D = ctx.saved_tensors
            (batch, channels, frames), N = u.shape, A.shape[1]
            tasks, dy = max(1, -(-16 // batch)), dy.contiguous()
            du, ddt, dA = torch.empty_like(u), torch.empty_like(u), u.new_empty(batch, channels, N)
            dB, dC = (u.new_zeros(batch, tasks, frames, N) for _ in range(2))
            tensors = (u, dt, A, A2, B, C, D, dy, du, ddt, dA, dB, dC)
            call("scan_backward", tensors, batch, channels, frames, N, tasks)
            return du, ddt, dA.sum(0), dB.sum(1), dC.sum(1), (dy * u).sum((0, 2))

    return lambda u, dt, A, B, C, D: Kernel.apply(u, dt, A, B.transpose(1, 2), C.transpose(1, 2), D)


def implementations(device: str) -> tuple[dict[str, Scan], dict[str, str]]:
    """What can run here, and why the rest cannot."""
    makers: dict[str, Callable[[], Scan]] = {"reference": lambda: backend("reference")}
    makers |= {"textbook loop": lambda: textbook, "mambapy": mambapy, "transformers": transformers}
    makers |= {"C++": cpp} if device == "cpu" else {"mamba_ssm": lambda: backend("mamba_ssm")}
    makers = {OURS[device]: lambda: backend(OURS[device])} | makers
    found, missing = {}, dict(ssm.unavailable_backends())
    for name, make in makers.items():
        if name in missing:
            continue
        try:
            found[name] = make()
        except (ImportError, subprocess.CalledProcessError) as problem:
            missing[name] = str(problem)
    return found, missing


# --- measuring --------------------------------------------------------------------------------------------
def problem(size: tuple[int, int, int, int], device: str) -> list[Tensor]:
    batch, channels, states, frames = size
    torch.manual_seed(0)
    core = [torch.randn(batch, channels, frames), torch.rand(batch, channels, frames) * 0.1]
    core += [-torch.arange(1.0, states + 1).repeat(channels, 1), torch.randn(batch, states, frames)]
    core += [torch.randn(batch, states, frames), torch.randn(channels)]
    return [t.to(device).requires_grad_() for t in core]


def forward_backward(scan: Scan, core: list[Tensor]) -> tuple[float, float, list[Tensor]]:
    """Seconds forward, seconds backward, output and gradients."""
    wait = torch.cuda.synchronize if core[0].is_cuda else lambda: None
    wait()
    start = time.perf_counter()
    y = scan(*core)
    wait()
    middle = time.perf_counter()
    gradients = torch.autograd.grad(y, core, torch.ones_like(y))
    wait()
    return middle - start, time.perf_counter() - middle, [y.detach(), *gradients]


def error(found: list[Tensor], true: list[Tensor]) -> float:
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, true, strict=True))


def time_scans(
    scans: dict[str, Scan], size: tuple, device: str, rounds: int, slow_rounds: int
) -> dict[str, Any]:
    core = problem(size, device)
    true = forward_backward(scans["reference"], core)[2]
    results: dict[str, Any] = {}
    for name, scan in scans.items():
        results[name] = {"error": error(forward_backward(scan, core)[2], true), "forward": [], "backward": []}
    for i in tqdm(range(rounds), desc=f"B D N L = {size}"):
        for name, scan in scans.items():
            if i < slow_rounds or statistics.median(results[name]["forward"]) < 0.3:
                forward, backward_, _ = forward_backward(scan, core)
                results[name]["forward"].append(forward)
                results[name]["backward"].append(backward_)
    return {name: _summary(result) for name, result in results.items()}


def _summary(result: dict[str, Any]) -> dict[str, float]:
    both = [f + b for f, b in zip(result["forward"], result["backward"], strict=True)]
    return {
        "forward_ms": 1e3 * statistics.median(result["forward"]),
        "backward_ms": 1e3 * statistics.median(result["backward"]),
        "both_ms": 1e3 * statistics.median(both),
        "fastest_ms": 1e3 * min(both),
        "rounds": len(both),
        "relative_error": result["error"],
    }


def peak_memory(name: str, size: tuple, device: str) -> int:
    """Extra bytes at the peak of one forward and backward, in this process."""
    scan = implementations(device)[0][name]
    forward_backward(scan, problem((1, 8, 8, 4), device))  # load code first
    core = problem(size, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        forward_backward(scan, core)
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
    before = _status("VmRSS")
    forward_backward(scan, core)
    return _status("VmHWM") - before


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key + ":"))


def measure_memory(names: list[str], size: tuple, device: str) -> dict[str, int]:
    if device == "cpu" and not Path("/proc/self/clear_refs").exists():
        return {}
    found = {}
    for name in tqdm(names, desc="memory"):
        command = [sys.executable, __file__, "--device", device, "--memory-of", name]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        found[name] = int(run.stdout.split()[-1])
    return found


def training_step(scans: dict[str, Scan], device: str, rounds: int) -> dict[str, Any]:
    """A full-width METSTPlus step (batch 32, T 50, Adam) with each of `scans`, the first being ours.

    Not with the reference: it keeps 0.7 GB for each of the 32 samples.
    """
    torch.manual_seed(0)
    model = METSTPlus().to(device)
    x = torch.randn(32, 36, 50, device=device)
    adam = torch.optim.Adam(model.parameters(), lr=3e-4)

    def step(name: str) -> float:
        start = time.perf_counter()
        with mock.patch.object(ssm, "choose_backend", return_value=scans[name]):  # in every Mamba block
            adam.zero_grad()
            score, logits = model(x)
            (score.square().mean() + logits.square().mean()).backward()
            adam.step()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    times: dict[str, list[float]] = {name: [] for name in scans}
    for i in tqdm(range(rounds + 1), desc="training step"):
        for name in scans:
            seconds = step(name)
            if i > 0:  # the first warms up
                times[name].append(seconds)
    ours = next(iter(scans))
    return {
        "ms": {name: 1e3 * statistics.median(values) for name, values in times.items()},
        "share_outside_scan": _share_outside_scan(lambda: step(ours)) if device == "cpu" else None,
    }


def _share_outside_scan(step: Callable[[], float]) -> float:
    """Of three profiled steps on the CPU, the median share of the time that is not in our scan."""
    shares = []
    for _ in range(3):
        with torch.profiler.profile() as profile:
            total = 1e6 * step()
        scans = [
            e for e in profile.key_averages() if e.key in ("SelectiveScanCPU", "SelectiveScanCPUBackward")
        ]
        shares.append(1 - sum(e.cpu_time_total for e in scans) / total)
    return statistics.median(shares)


def step_scans(device: str) -> dict[str, Scan]:
    """Ours first, then what else a whole training step is tried with."""
    found = implementations(device)[0]
    names = [name for name in (OURS[device], "mamba_ssm", "C++") if name in found]
    return {name: found[name] if name == "C++" else ssm.load_backend(name)[0] for name in names}


def measure_step(device: str, rounds: int) -> dict[str, Any]:
    """In a process of its own: what was timed before has left the allocator in pieces."""
    command = [sys.executable, __file__, "--device", device, "--step", str(rounds)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


# --- the record -------------------------------------------------------------------------------------------
def machine(device: str) -> dict[str, Any]:
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    packages = {}
    for package in ("mambapy", "transformers", "mamba-ssm", "triton"):
        try:
            packages[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            packages[package] = None
    busy = [round(load, 1) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None
    record = run_record(
        cpu=name, torch_threads=torch.get_num_threads(), load_average=busy, competitors=packages
    )
    return record | ({"gpu": torch.cuda.get_device_name()} if device == "cuda" else {})


def ratios(result: dict[str, Any], ours: str) -> dict[str, float]:
    return {name: result[name]["both_ms"] / result[ours]["both_ms"] for name in result if name != ours}


def verdicts(times: dict[str, float], memory: dict[str, int], ours: str) -> list[str]:
    """A line for each comparison at MAIN: what was measured, and whether it meets its target."""
    lines, met = [], []

    def judge(text: str, target: str, reached: bool) -> None:
        met.append(reached)
        lines.append(f"* {text}; target {target}: **{'met' if reached else 'missed'}**")

    for name, value in times.items():
        text = f"{name} takes {value:.3g} times as long as ours"
        if name in FASTER_THAN:
            judge(text, f"at least {FASTER_THAN[name]}", value >= FASTER_THAN[name])
        elif name == "C++":
            text = f"ours takes {1 / value:.2f} times as long as C++"
            judge(text, f"at most {SLOWER_THAN_CPP}", 1 / value <= SLOWER_THAN_CPP)
        else:
            lines.append(f"* {text}")
    if memory:
        share = memory[ours] / memory["reference"]
        text = f"ours takes {share:.3f} of the extra memory of the reference at the peak"
        judge(text, f"under {MEMORY_OF_REFERENCE}", share < MEMORY_OF_REFERENCE)
        shown = ", ".join(f"{name} {value / 1e6:.0f} MB" for name, value in memory.items())
        lines.append(f"* extra memory at the peak: {shown}")
    return [f"{sum(met)} of {len(met)} targets met.", "", *lines]


def markdown(record: dict[str, Any]) -> str:
    about, ours = record["machine"], record["ours"]
    versions = ", ".join(f"{k} {v}" for k, v in (about["versions"] | about["competitors"]).items() if v)
    lines = [
        f"# Selective scan on {about.get('gpu', about['cpu'])}",
        "",
        f"{about['platform']}, {about['cpus']} cores, {about['torch_threads']} threads, "
        f"Python {about['python']}; {versions}.",
        f"Other load when it began (1, 5, 15 minutes): {about['load_average']}.",
        "",
        "Forward + backward, float32, milliseconds, medians of alternating rounds; in brackets: times ours.",
        "",
        "| B, D, N, L | " + " | ".join(f"**{n}**" if n == ours else n for n in record["names"]) + " |",
        "|---|" + "---|" * len(record["names"]),
    ]
    for size, result in record["sizes"].items():
        times = ratios(result, ours)
        cells = [
            f"{result[n]['both_ms']:.4g}" + (f" ({times[n]:.3g})" if n != ours else "")
            if n in result
            else "-"
            for n in record["names"]
        ]
        lines.append(f"| {size} | " + " | ".join(cells) + " |")
    lines += ["", f"At {', '.join(map(str, MAIN))}:", ""]
    lines += verdicts(ratios(record["sizes"][", ".join(map(str, MAIN))], ours), record["memory_bytes"], ours)
    step = record["training_step"]
    times = step["ms"]
    lines += ["", "A full-width METSTPlus training step (batch 32, T 50, Adam):", ""]
    share = step["share_outside_scan"]
    outside = f", of which {100 * share:.0f} % are spent outside the scan" if share is not None else ""
    lines.append(f"* with our scan {times[ours]:.0f} ms{outside}")
    lines += [
        f"* with {name} {value:.0f} ms, {value / times[ours]:.2f} times as long"
        for name, value in times.items()
        if name != ours
    ]
    rounds = {n: min(r[n]["rounds"] for r in record["sizes"].values() if n in r) for n in record["names"]}
    lines += ["", "Timed rounds: " + ", ".join(f"{name} {count}" for name, count in rounds.items()) + "."]
    left_out = [key for size in SIZES if (key := ", ".join(map(str, size))) not in record["sizes"]]
    if left_out:
        lines += ["", "Sizes not measured in this run: " + "; ".join(left_out) + "."]
    if record["missing"]:
        lines += ["", "Not measured: " + "; ".join(f"{k} ({v})" for k, v in record["missing"].items()) + "."]
    return "\n".join(lines) + "\n"


def main() -> None:
    made = parser(__doc__, "scan_cpu", rounds=15)
    made.add_argument("--device", choices=list(OURS), default="cpu")
    made.add_argument("--slow-rounds", type=int, default=3, help="rounds of what takes over 0.3 s forward")
    made.add_argument("--memory-of", help=argparse.SUPPRESS)
    made.add_argument("--step", type=int, help=argparse.SUPPRESS)
    options = made.parse_args()
    options.json = options.json.with_name(options.json.name.replace("cpu", options.device))
    if options.memory_of:
        print(peak_memory(options.memory_of, MAIN, options.device))
        return
    if options.step:
        print(json.dumps(training_step(step_scans(options.device), options.device, options.step)))
        return
    about = machine(options.device)  # first: the load average is that of everything else
    scans, missing = implementations(options.device)
    ours = OURS[options.device]
    if ours not in scans:
        sys.exit(f"nothing to measure: {missing[ours]}")
    sizes = {
        ", ".join(map(str, size)): time_scans(
            scans, size, options.device, options.rounds, options.slow_rounds
        )
        for size in SIZES
    }
    record = {
        "machine": about,
        "ours": ours,
        "names": list(scans),
        "sizes": sizes,
        "memory_bytes": measure_memory(list(scans), MAIN, options.device),
        "training_step": measure_step(options.device, max(2, options.rounds // 3)),
        "missing": missing,
    }
    text = markdown(record)
    with atomic_path(options.json.with_suffix(".md")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)
    times = sizes[", ".join(map(str, MAIN))]
    lines = [
        Line("scan, forward and backward", "ms", name, times[ours]["both_ms"], peer=found["both_ms"])
        for name, found in times.items()
        if name != ours
    ]
    write(
        options,
        lines,
        **{("scan_machine" if name == "machine" else name): value for name, value in record.items()},
    )


if __name__ == "__main__":
    main()
