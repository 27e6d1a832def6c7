"""The parts of the GPU measurements; `run.py` runs each in a process of its own.

    python benchmarks/gpu/parts.py PART --device cuda --out FILE --work FOLDER [--rounds 20] [--tiny]

A part writes its findings as JSON to FILE, anew after every step, so that what is there counts when it is stopped.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import bench_scan
import numpy as np
import torch
from bench_training import noise_motion

from metst_core.extraction import MotionSet
from metst_core.files import write_json
from metst_core.models import Network
from metst_core.ssm import Mamba, compile_around_scans
from metst_core.training import TrainConfig, joint_loss, train_fold

ROOT = Path(__file__).resolve().parents[2]
WHEELS = Path(os.environ.get("WHEELS", "."))
PACKAGES = ("torch", "triton", "numpy", "numba", "pandas", "mamba-ssm", "einops", "opencv-python-headless")
FRAMES = (50, 100, 200, 500, 1000, 2000, 3000)
SIZES = ((256, 512, 64, 50), (32, 256, 64, 50), *((8, 256, 64, frames) for frames in FRAMES))
TINY_SIZES = ((1, 3, 2, 5), (2, 5, 3, 19))
"""B, D, N, L: the slow path in a published batch, `bench_scan`'s main size, and longer and longer sequences."""

FAST = {"cuda": ("triton", "mamba_ssm"), "cpu": ("numba",)}

Options = argparse.Namespace
Keep = Callable[[dict[str, Any]], None]


def device(options: Options, keep: Keep) -> None:
    """What this machine is."""
    facts: dict[str, Any] = {"name": "cpu", "threads": torch.get_num_threads()}
    if options.device == "cuda":
        about = torch.cuda.get_device_properties(0)
        facts = {
            "name": about.name, "capability": f"{about.major}.{about.minor}",
            "memory_gib": about.total_memory / 2**30, "multiprocessors": about.multi_processor_count,
        }  # fmt: skip
    versions = {
        "python": sys.version.split()[0],
        "cuda": torch.version.cuda,
        "nvcc": _last_line("nvcc", "--version"),
    }
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    driver = _last_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    keep({"device": facts, "versions": versions | {"driver": driver}})


def _last_line(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    run = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return (run.stdout.strip().splitlines() or [None])[-1]


def build(options: Options, keep: Keep) -> None:
    """`mamba_ssm` from its source package, for the one architecture that is here, into the folder of this run.

    The package's own door is left empty: it opens language models that need libraries nobody wants here, where only
    `mamba_ssm.ops` is used.
    """
    sources = sorted(WHEELS.glob("mamba_ssm-*.tar.gz"))
    if len(sources) != 1:
        sys.exit(f"{WHEELS}: {len(sources)} files mamba_ssm-*.tar.gz; set WHEELS to a folder with one")
    if options.device != "cuda":
        sys.exit(f"{sources[0].name} is built where a CUDA device is")
    from torch.utils.cpp_extension import CUDA_HOME

    if CUDA_HOME is None:
        sys.exit("PyTorch finds no nvcc: put it on the PATH or set CUDA_HOME")
    major, minor = torch.cuda.get_device_capability()
    environment = os.environ | {
        "MAMBA_FORCE_BUILD": "TRUE",  # else it asks the network for a ready-made one
        "MAX_JOBS": str(os.cpu_count()),
        "CUDA_HOME": CUDA_HOME,
        "REAL_NVCC": str(Path(CUDA_HOME) / "bin" / "nvcc"),
        "PYTORCH_NVCC": str(Path(__file__).with_name("nvcc_for_one.sh")),
        "ONE_ARCHITECTURE": f"{major}{minor}",
    }
    site = options.work / "site"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-v",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
    ]
    command += ["--no-compile", "--target", str(site), str(sources[0])]
    subprocess.run(command, env=environment, check=True)
    (site / "mamba_ssm" / "__init__.py").write_text("")
    keep(
        {
            "source": sources[0].name,
            "architecture": environment["ONE_ARCHITECTURE"],
            "jobs": environment["MAX_JOBS"],
        }
    )


def tests(options: Options, keep: Keep) -> None:
    """`pytest -m cuda` in the test folders that need neither films nor a face finder."""
    report = options.work / "tests.xml"
    folders = ["tests/ssm", "tests/training"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "cuda",
        f"--junitxml={report}",
        "-p",
        "no:cacheprovider",
        *folders,
    ]
    if options.tiny:
        command += ["-k", "memory_layout"]
    run = subprocess.run(command, cwd=ROOT)
    if report.exists():
        from xml.etree import ElementTree

        counts = next(ElementTree.parse(report).iter("testsuite")).attrib
        keep({name: int(counts[name]) for name in ("tests", "failures", "errors", "skipped")})
    sys.exit(run.returncode)


def missing_scans(options: Options) -> dict[str, str]:
    """Why the fast scans of this device that cannot run cannot; those of other devices are not even compiled."""
    loaded = {name: bench_scan.ssm.load_backend(name) for name in FAST[options.device]}
    return {name: note for name, (run, note) in loaded.items() if run is None}


def scan_backends(options: Options) -> dict[str, bench_scan.Scan]:
    """The reference and all fast scans that run here; on a CPU Triton's too, in its interpreter."""
    missing = missing_scans(options)
    names = [name for name in ("reference", *FAST[options.device]) if name not in missing]
    scans = {name: bench_scan.backend(name) for name in names}
    if options.device == "cpu" and os.environ.get("TRITON_INTERPRET") == "1":
        from metst_core.ssm import scan_triton

        scans["triton"] = scan_triton.scan
    return scans


def scan(options: Options, keep: Keep) -> None:
    """Forward and backward of every scan in turn; an error, of memory say, costs its own size only."""
    scans = scan_backends(options)
    found: dict[str, Any] = {"sizes": {}, "missing": missing_scans(options), "failed": {}}
    for size in TINY_SIZES if options.tiny else SIZES:
        name = ", ".join(map(str, size))
        try:
            found["sizes"][name] = bench_scan.time_scans(scans, size, options.device, options.rounds, 2)
        except RuntimeError as error:
            found["failed"][name] = str(error)[:300]
            torch.cuda.empty_cache()
        keep(found)
    if found["failed"]:
        sys.exit(f"failed: {found['failed']}")


def config_of(options: Options, **changes: Any) -> TrainConfig:
    """ME-TST+ in full width, or nearly nothing for a dry run."""
    sizes = {"width": 4, "blocks_per_stage": 1, "d_state": 2} if options.tiny else {}
    return TrainConfig(
        **{"model": "metst_plus", "batch_size": 8 if options.tiny else 256, **sizes, **changes}
    )


def step(options: Options, keep: Keep, dtype: torch.dtype, compiled: bool) -> None:
    """Training steps (forward, loss, backward, Adam) with each fast scan, a fresh network each, the same batch."""
    config = config_of(options)
    found: dict[str, Any] = {"batch": config.batch_size, "width": config.width, "by_scan": {}, "failed": {}}
    for name in FAST[options.device]:
        torch.manual_seed(0)
        model = config.build().to(options.device)
        for block in model.modules():
            if isinstance(block, Mamba):
                block.scan_backend = name
        try:
            found["by_scan"][name] = time_steps(model, config, options, dtype, compiled)
        except (
            Exception
        ) as error:  # of a compiler or a kernel, on a machine we never saw: the next scan may do
            found["failed"][name] = f"{type(error).__name__}: {error}"[:600]
        keep(found)
    if not found["by_scan"]:
        sys.exit(f"failed: {found['failed']}")


def time_steps(
    model: Network, config: TrainConfig, options: Options, dtype: torch.dtype, compiled: bool
) -> dict[str, Any]:
    """Milliseconds of a step (median), seconds of the first (which compiles), losses, and the peak of memory."""
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(config.batch_size, 36, 50, generator=draw).to(options.device)
    target = (torch.rand(config.batch_size, 50, generator=draw) < 0.2).float().to(options.device)
    classes = torch.randint(5, (config.batch_size, 50), generator=draw).to(options.device)
    weights = torch.ones(5, device=options.device)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    forward = compile_around_scans(model) if compiled else model
    cuda = options.device == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    seconds, losses = [], []
    for _ in range(options.rounds + 3):
        started = time.perf_counter()
        with torch.autocast(options.device, dtype, enabled=dtype != torch.float32):
            score, logits = forward(x)
        loss = joint_loss(score.float(), logits.float(), target, classes, weights, config)[0]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))  # waits for the device
        seconds.append(time.perf_counter() - started)
    if not np.isfinite(losses).all():
        raise FloatingPointError(f"losses {losses}")
    return {
        "ms": 1e3 * statistics.median(seconds[3:]),
        "fastest_ms": 1e3 * min(seconds[3:]),
        "first_s": seconds[0],
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "peak_memory_mib": torch.cuda.max_memory_allocated() / 2**20 if cuda else None,
    }


def fold(options: Options, keep: Keep) -> None:
    """One fold of leave one subject out, from a file of made-up motion to the traces of the subject left out."""
    path = noise_motion(n_videos=1 if options.tiny else 4).save(options.work / "motion.npz")
    config = config_of(options, device=options.device, epochs=1 if options.tiny else 3, batch_size=32)
    started = time.perf_counter()
    motion = MotionSet.load(path)
    made = train_fold(motion, motion.subjects[0], config)
    took = time.perf_counter() - started
    for score, probabilities in made.traces.values():
        if not (np.isfinite(score).all() and np.isfinite(probabilities).all()):
            raise FloatingPointError("a trace is not finite")
    keep(
        {
            "seconds": took,
            "summary": made.summary,
            "losses": made.history["loss"].tolist(),
            "videos": len(made.traces),
        }
    )


PARTS: dict[str, Callable[[Options, Keep], None]] = {
    "device": device,
    "build": build,
    "tests": tests,
    "scan": scan,
    "fold": fold,
    "step_float32": lambda *given: step(*given, torch.float32, False),
    "step_bfloat16": lambda *given: step(*given, torch.bfloat16, False),
    "step_float32_compiled": lambda *given: step(*given, torch.float32, True),
    "step_bfloat16_compiled": lambda *given: step(*given, torch.bfloat16, True),
}


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("part", choices=PARTS)
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    made.add_argument("--rounds", type=int, default=20)
    made.add_argument("--out", type=Path, required=True)
    made.add_argument("--work", type=Path, required=True)
    made.add_argument("--tiny", action="store_true")
    options = made.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch finds no CUDA device here")
    PARTS[options.part](options, lambda found: write_json(found, options.out))


if __name__ == "__main__":
    main()
