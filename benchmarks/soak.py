"""An evening of damage: files flipped and cut for every loader, processes killed at random moments, mixed batches.

`make soak`, or with its own length and seed:

    python benchmarks/soak.py --minutes 6 --seed 1

The goal: no traceback, no wrong result, nothing left behind, and under 1 GB of memory for any small file.  What it
counted is written to `benchmarks/results/soak.json`, with the seed that draws the same damage again.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from support.fuzz import LOADERS, cases, damaged
from support.made_up_motion import TINY, made_up_motion
from support.own_videos import landmarker, write_clip

from metst_core.datasets import load_dataset
from metst_core.extraction import extract_dataset
from metst_core.files import run_record, sha256_of, write_json
from metst_core.synthetic import generate, read_truth
from metst_core.training import leave_one_subject_out

RESULT = Path(__file__).parent / "results" / "soak.json"
PARTS = {"fuzzing": 0.45, "kills": 0.35, "batches": 0.2}
"""Shares of the time."""

_FORK = multiprocessing.get_context("fork")  # a child has all libraries loaded


def in_child(work: Callable[[], Any]) -> dict[str, Any]:
    """What `work` returns in a process of its own, its greatest memory in MB, and its traceback if there is one."""
    receiver, sender = _FORK.Pipe(duplex=False)

    def run() -> None:
        found: dict[str, Any] = {}
        try:
            found["value"] = work()
        except BaseException:
            found["traceback"] = traceback.format_exc()
        found["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sender.send(found)

    child = _FORK.Process(target=run)
    child.start()
    sender.close()
    try:
        found: dict[str, Any] = receiver.recv()
    except EOFError:
        found = {"traceback": "the process ended without a word"}
    child.join()
    return found


# --- damaged files --------------------------------------------------------------------------------
def fuzzing(seconds: float, seed: int, folder: Path) -> dict[str, Any]:
    """Rounds of 100 damaged files for each loader in turn until the time is up: what became of them, by loader."""
    end, round_number = time.monotonic() + seconds, 0
    counts: dict[str, Counter[str]] = {name: Counter() for name in LOADERS}
    slowest, most = dict.fromkeys(LOADERS, 0.0), dict.fromkeys(LOADERS, 0.0)
    wrong: list[str] = []
    while time.monotonic() < end or round_number == 0:
        for number, (name, loader) in enumerate(LOADERS.items()):
            if round_number and time.monotonic() > end:
                break
            place = folder / "fuzz" / str(number)
            found = in_child(
                lambda loader=loader, place=place, n=round_number, number=number: [
                    (case.outcome, case.seconds) for case in cases(loader, place, 100, [seed, n, number])
                ]
            )
            most[name] = max(most[name], found.get("megabytes", 0.0))
            if "traceback" in found:
                wrong.append(f"{name}, round {round_number}: {found['traceback'][-300:]}")
                continue
            for outcome, took in found["value"]:
                fine = outcome in ("read", "refused")
                counts[name][outcome if fine else "traceback"] += 1
                slowest[name] = max(slowest[name], took)
                if not fine:
                    wrong.append(f"{name}, round {round_number}: {outcome[:300]}")
        round_number += 1
    return {
        "files": sum(sum(c.values()) for c in counts.values()),
        "tracebacks": len(wrong),
        "wrong": wrong[:20],
        "slowest_second": max(slowest.values()),
        "most_megabytes": max(most.values()),
        "loaders": {
            name: {**counts[name], "slowest_second": round(slowest[name], 3), "megabytes": round(most[name])}
            for name in LOADERS
        },
    }


# --- kills ------------------------------------------------------------------------------------------
def _folds(folder: Path) -> str:
    result = leave_one_subject_out(made_up_motion(), TINY, folder)
    values = [np.concatenate([score, p.ravel()]) for score, p in result.traces.values()]
    return hashlib.sha256(np.concatenate(values).tobytes()).hexdigest()


def _generated(folder: Path) -> str:
    data = generate(folder, 1, 2, 2.0, seed=3, tier="easy", version=1, progress=False)
    digests = [sha256_of(path) for path in data.videos["path"]]
    truths = [
        read_truth(folder, row.subject, row.video)["intensity"].tobytes() for row in data.videos.itertuples()
    ]
    return hashlib.sha256("".join(digests).encode() + b"".join(truths)).hexdigest()


def _extracted(folder: Path) -> str:
    root = folder / "set"
    if not root.is_dir():
        for name in "abc":
            write_clip(folder / "making" / name / "clip.avi", seconds=1.0)
        (folder / "making").rename(root)
    motion = extract_dataset(load_dataset("folder", root), "metst_plus", _landmarker, folder / "cache")
    return hashlib.sha256(b"".join(w.tobytes() for w in motion.windows.values())).hexdigest()


def _landmarker() -> Any:
    """The tests' landmarker, which needs no face."""
    return landmarker


WORKS = {"folds": _folds, "a synthetic set": _generated, "extraction": _extracted}


def kills(seconds: float, seed: int, folder: Path) -> dict[str, Any]:
    """Processes killed at random moments and begun again in the same folder: is the end as if nothing had been?"""
    rng = np.random.default_rng([seed, 1])
    end = time.monotonic() + seconds
    expected, lasts = {}, {}
    for name, work in WORKS.items():
        began = time.monotonic()
        expected[name] = in_child(lambda work=work, name=name: work(folder / "whole" / name))
        lasts[name] = time.monotonic() - began
    n_kills, wrong, leftovers, tracebacks, rounds = 0, [], [], [], 0
    while time.monotonic() < end or rounds == 0:
        for name, work in WORKS.items():
            place = folder / "killed" / f"{name}-{rounds}"
            for _ in range(int(rng.integers(1, 4))):
                child = _FORK.Process(target=_quietly, args=(work, place))
                child.start()
                child.join(float(rng.uniform(0, 1.1 * lasts[name])))
                if child.is_alive():
                    os.kill(child.pid or 0, signal.SIGKILL)
                    n_kills += 1
                child.join()
            found = in_child(lambda work=work, place=place: work(place))
            if "traceback" in found:
                tracebacks.append(f"{name}: {found['traceback'][-300:]}")
            elif found["value"] != expected[name].get("value"):
                wrong.append(name)
            leftovers += [str(p.relative_to(place)) for p in place.rglob(".*")]
            shutil.rmtree(place, ignore_errors=True)
        rounds += 1
    return {
        "kills": n_kills, "rounds": rounds, "tracebacks": len(tracebacks), "wrong_results": len(wrong),
        "leftovers": len(leftovers), "wrong": [*tracebacks, *wrong, *leftovers][:20],
        "most_megabytes": max(e.get("megabytes", 0.0) for e in expected.values()),
    }  # fmt: skip


def _quietly(work: Callable[[Path], str], place: Path) -> None:
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    work(place)


# --- batches ------------------------------------------------------------------------------------------
def batches(seconds: float, seed: int, folder: Path) -> dict[str, Any]:
    """Folders of good, damaged and foreign videos through the command line: the good ones come out, all else is told."""
    rng = np.random.default_rng([seed, 2])
    end, rounds = time.monotonic() + seconds, 0
    good = write_clip(folder / "good.avi", seconds=1.0).read_bytes()
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    while time.monotonic() < end or rounds == 0:
        place = folder / f"batch-{rounds}"
        names = list(_batch(place, good, rng))
        checked = _command(
            "check", "--dataset", "folder", "--root", str(place), "--picture", str(folder / "p.png")
        )
        kept = load_dataset("folder", place)
        used = (Path(path).relative_to(place).as_posix() for path in kept.videos["path"])
        told = {*kept.report["file"], *used}
        silent = [name for name in names if name not in told and Path(name).parent.as_posix() not in told]
        videos = [str(path) for path in sorted(place.rglob("*.avi"))]
        analysed = _command(
            "analyse", *videos, "--quiet", "--csv", str(place / "found.csv"), "--html", str(place / "pages")
        )
        for said in (checked, analysed):
            counts[f"exit code {said.returncode}"] += 1
            if "Traceback" in said.stderr or said.returncode not in (0, 1):
                wrong.append(said.stderr[-300:])
        n_good = sum(name.startswith("good") for name in names)
        if n_good and len(pd.read_csv(place / "found.csv").columns) < 3:
            wrong.append("no table of the good ones")
        wrong += [f"nothing was said of {name}" for name in silent]
        counts["videos"] += len(names)
        counts["leftovers"] += len(list(place.rglob(".metst-*")))
        shutil.rmtree(place)
        rounds += 1
    return {"rounds": rounds, **counts, "tracebacks_or_silence": len(wrong), "wrong": wrong[:20]}


def _batch(place: Path, good: bytes, rng: np.random.Generator) -> Iterator[str]:
    """Write a folder of one subject's videos; yields their paths in it."""
    for number in range(int(rng.integers(3, 8))):
        kind = "good" if number == 0 else ("good", "bad", "empty", "foreign", "deep")[int(rng.integers(5))]
        suffix = ".doc" if kind == "foreign" else ".avi"
        parts = ["s", "deeper"] if kind == "deep" else ["s"]
        path = place.joinpath(*parts, f"{kind}{number}{suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes({"bad": damaged(good, rng), "empty": b""}.get(kind, good))
        yield path.relative_to(place).as_posix()


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "metst_core.cli", *arguments], capture_output=True, text=True, errors="replace"
    )


def main() -> None:
    """Run the three parts, print and write what they counted."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--minutes", type=float, default=180.0, help="how long it takes in all (180)")
    options.add_argument("--seed", type=int, default=0, help="what draws the damage (0)")
    options.add_argument("--json", type=Path, default=RESULT, metavar="FILE", help="what to write")
    given = options.parse_args()
    found: dict[str, Any] = {"seed": given.seed, "minutes": given.minutes}
    with tempfile.TemporaryDirectory() as name:
        for part, work in (("fuzzing", fuzzing), ("kills", kills), ("batches", batches)):
            found[part] = work(60 * given.minutes * PARTS[part], given.seed, Path(name) / part)
            shown = {k: v for k, v in found[part].items() if not isinstance(v, dict)}
            print(f"{part}: {shown}", flush=True)
            shutil.rmtree(Path(name) / part, ignore_errors=True)
    print("written to", write_json({**found, "record": run_record()}, given.json))


if __name__ == "__main__":
    main()
