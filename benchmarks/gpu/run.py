"""Run the parts of the GPU measurements, each in a process of its own, and write what they say as one JSON.

`run.sh` sets the paths and starts this.  A part that fails, hangs or runs out of time is recorded with its error and
what it had found by then, and the next one begins; the file is written anew after every part.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import Line, parser, write

ROOT = Path(__file__).resolve().parents[2]
ERROR_LENGTH = 2000
LEAST_SECONDS = 5.0  # a part is not begun with less


@dataclass(frozen=True)
class Part:
    """A part by name, and the seconds it may take."""

    name: str
    seconds: float


PARTS = (
    Part("device", 60),
    Part("build", 240),
    Part("scan", 90),
    Part("tests", 90),
    Part("step_float32", 60),
    Part("step_bfloat16", 60),
    Part("fold", 60),
    Part("step_float32_compiled", 120),
    Part("step_bfloat16_compiled", 120),
)
"""In this order: what is most worth knowing first, what may take its time at the end."""


def run_part(part: Part, options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """`ok`, `error` (None or the end of what it said), `seconds` and `result` of a part."""
    out = options.work / f"{part.name}.json"
    command = [sys.executable, str(Path(__file__).with_name("parts.py")), part.name, "--out", str(out)]
    command += ["--device", options.device, "--rounds", str(options.rounds), "--work", str(options.work)]
    started = time.perf_counter()
    error = _run(command + ["--tiny"] * options.tiny, min(part.seconds, seconds), options.work / "log")
    took = time.perf_counter() - started
    result = json.loads(out.read_text(encoding="utf-8")) if out.exists() else None
    return {"ok": error is None, "error": error, "seconds": took, "result": result}


def _run(command: list[str], seconds: float, log: Path) -> str | None:
    """None where the command ends well in time, else what it said last; nothing it started outlives it."""
    with log.open("w+", encoding="utf-8", errors="replace") as stream:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        stream.seek(0)
        said = stream.read().strip()[-ERROR_LENGTH:]
    if code == 0:
        return None
    how = f"stopped after {seconds:.0f} s" if code is None else f"exit status {code}"
    return f"{how}: {said}"


def lines_of(parts: dict[str, Any]) -> list[Line]:
    """Triton against mamba_ssm, for every size that both have run."""
    sizes = (parts.get("scan", {}).get("result") or {}).get("sizes", {})
    return [
        Line(
            f"scan forward and backward, B, D, N, L = {size}", "ms", "mamba_ssm",
            found["triton"]["both_ms"], peer=found["mamba_ssm"]["both_ms"], goal=1.1,
        )
        for size, found in sizes.items()
        if {"triton", "mamba_ssm"} <= found.keys()
    ]  # fmt: skip


def main() -> None:
    made = parser(__doc__, "gpu", rounds=20)
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    made.add_argument("--tiny", action="store_true", help="sizes of a dry run: its times say nothing")
    made.add_argument("--parts", default=",".join(part.name for part in PARTS), help="only these, by comma")
    made.add_argument("--minutes", type=float, default=7.8, help="for all parts together")
    made.add_argument("--work", type=Path, required=True, help="a folder for what passes between the parts")
    options = made.parse_args()
    if options.json == made.get_default("json") and (options.device != "cuda" or options.tiny):
        made.error("a dry run is no result: say with --json where to write")
    wanted = options.parts.split(",")
    if unknown := set(wanted) - {part.name for part in PARTS}:
        made.error(f"no such part: {', '.join(sorted(unknown))}")
    end = time.perf_counter() + 60 * options.minutes
    done: dict[str, Any] = {}
    for part in PARTS:
        if part.name not in wanted:
            continue
        left = end - time.perf_counter()
        if left < LEAST_SECONDS:
            done[part.name] = {"ok": False, "error": "no time was left", "seconds": 0.0, "result": None}
        else:
            done[part.name] = run_part(part, options, left)
        print(
            part.name,
            f"{done[part.name]['seconds']:.1f} s",
            "ok" if done[part.name]["ok"] else done[part.name]["error"],
        )
        about = (done.get("device") or {}).get("result") or {}
        found = {"device": about.get("device"), "versions": about.get("versions"), "parts": done}
        with contextlib.redirect_stdout(None):
            write(options, lines_of(done), **found)
    write(options, lines_of(done), **found)


if __name__ == "__main__":
    main()
