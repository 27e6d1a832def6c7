"""The GPU measurements where there is no GPU: the form of what they write, and that one failure is one failure."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def run():
    """The module `benchmarks/gpu/run.py`."""
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("gpu_run", FOLDER / "gpu" / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_run"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(FOLDER))
    del sys.modules["gpu_run"]


@pytest.mark.slow
def test_a_dry_run_writes_one_json_and_goes_on_after_a_part_that_fails(tmp_path):
    """Without a source package the build fails; the fold after it is run all the same."""
    out = tmp_path / "gpu.json"
    environment = {**os.environ, "PYTHON": sys.executable, "WHEELS": str(tmp_path)}
    options = ["--device", "cpu", "--tiny", "--rounds", "1", "--parts", "build,fold", "--json", str(out)]
    subprocess.run([FOLDER / "gpu" / "run.sh", *options], env=environment, check=True, capture_output=True)
    written = json.loads(out.read_text())
    assert next(iter(written)) == "lines" and {"machine", "options", "record", "device", "versions"} <= set(
        written
    )
    assert list(written["parts"]) == ["build", "fold"]
    build, fold = written["parts"].values()
    assert not build["ok"] and "mamba_ssm-*.tar.gz" in build["error"]
    assert fold["ok"] and fold["error"] is None and fold["seconds"] >= fold["result"]["seconds"] > 0


def test_a_part_that_hangs_is_ended_with_all_that_it_started(run, tmp_path):
    """Its grandchild holds the log open, and would keep a mere `kill` waiting."""
    script = "import subprocess, sys; print('begun', flush=True); subprocess.run(['sleep', '60'])"
    error = run._run([sys.executable, "-c", script], 1.0, tmp_path / "log")
    assert error == "stopped after 1 s: begun"


def test_what_a_part_says_last_is_its_error(run, tmp_path):
    assert run._run([sys.executable, "-c", "pass"], 20, tmp_path / "log") is None
    error = run._run([sys.executable, "-c", "raise SystemExit('no memory')"], 20, tmp_path / "log")
    assert error == "exit status 1: no memory"


def test_triton_is_set_against_mamba_ssm_where_both_have_run(run):
    both, alone = (
        {name: {"both_ms": ms} for name, ms in found}
        for found in ((("triton", 3.0), ("mamba_ssm", 2.0)), (("triton", 3.0),))
    )
    parts = {"scan": {"result": {"sizes": {"8, 4, 2, 50": both, "8, 4, 2, 100": alone}}}}
    (line,) = run.lines_of(parts)
    assert (line.filled()["ratio"], line.goal) == (1.5, 1.1)
    assert run.lines_of({"scan": {"result": None}}) == run.lines_of({}) == []


def test_nvcc_for_one_architecture_drops_the_others(tmp_path):
    """The stand-in for the compiler says what it was called with."""
    compiler = tmp_path / "nvcc"
    compiler.write_text('#!/bin/sh\necho "$@"\n')
    compiler.chmod(0o755)
    asked = ["-O3", "-gencode", "arch=compute_80,code=sm_80", "-gencode=arch=compute_90,code=sm_90", "a b.cu"]
    run = subprocess.run(
        [FOLDER / "gpu" / "nvcc_for_one.sh", *asked], check=True, capture_output=True, text=True,
        env={**os.environ, "REAL_NVCC": str(compiler), "ONE_ARCHITECTURE": "90"},
    )  # fmt: skip
    assert run.stdout.strip() == "-O3 a b.cu -gencode arch=compute_90,code=sm_90"
