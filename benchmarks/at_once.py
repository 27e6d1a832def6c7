"""For benchmarks: work in child processes that begin at the same moment, and what two of them can gain at all.

A child gets ready (imports, compiled kernels, warm-up), says so, waits for the word, works, and prints one line of
JSON.  Each is pinned to its own cores where the system allows it.

    python benchmarks/at_once.py          # the ceiling of this machine
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

FLOW_CALLS = 3000


def pin(first: int, cores: int) -> None:
    """Keep this process on `cores` cores, from the one numbered `first` on, and its libraries on as many threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[first : first + cores])
    cv2.setNumThreads(cores)


def answer_when_told(work: Callable[[], dict[str, Any]]) -> None:
    """The child's side: ready now; `work` as soon as the parent says so, and its answer."""
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(work()), flush=True)


def at_once(commands: Sequence[Sequence[str]], threads: int = 1) -> list[dict[str, Any]]:
    """The parent's side: the answers of `python COMMAND` for every command, all begun at the same moment."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TQDM_DISABLE": "1"}
    children = [
        subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=environment,
        )
        for command in commands
    ]  # fmt: skip
    for child in children:
        assert child.stdin is not None and child.stdout is not None
        if child.stdout.readline().strip() != "ready":
            raise SystemExit("a child process of the benchmark failed; run it alone to see why")
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    answers = []
    for child in children:
        out, _ = child.communicate()
        if child.returncode:
            raise SystemExit(f"a child process of the benchmark failed with exit code {child.returncode}")
        answers.append(json.loads(out.splitlines()[-1]))
    return answers


def ceiling(repeats: int = 3) -> dict[str, Any]:
    """How much two processes gain over one where nothing but optical flow is computed, in memory of their own.

    `gain` is 2 on a machine whose cores share nothing; shared caches, memory, clock speed or a busy neighbour
    make it less, for any program.
    """
    one, two = [], []
    for _ in range(repeats):
        one.append(at_once([[__file__, "--flow", "0"]])[0]["seconds"])
        both = at_once([[__file__, "--flow", str(core)] for core in (0, 1)])
        two.append(max(each["seconds"] for each in both))
    gains = [2 * a / b for a, b in zip(one, two, strict=True)]
    return {
        "gain": statistics.median(gains),
        "all": gains,
        "one_s": one,
        "two_s": two,
        "flow_calls": FLOW_CALLS,
    }


def _flow(core: int) -> None:
    """A loop of nothing but Farnebäck flow on a picture as large as the mouth's box."""
    from metst_core.motion import box_flow

    pin(core, 1)
    before = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (80, 160), dtype=np.uint8), (0, 0), 2)
    after = np.roll(before, 1, axis=1)
    box_flow(before, after)

    def work() -> dict[str, Any]:
        start = time.perf_counter()
        for _ in range(FLOW_CALLS):
            box_flow(before, after)
        return {"seconds": time.perf_counter() - start}

    answer_when_told(work)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--flow", type=int, metavar="CORE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flow is not None:
        _flow(options.flow)
    else:
        print(json.dumps(ceiling(), indent=1))
