"""An hour of video through `metst analyse`: does it fit in bounded memory, and was the estimate right?

    python benchmarks/bench_hour.py [--minutes 60] [--size 320] [--outputs tables] [--json FILE]

A synthetic person of 20 seconds, played forward and backward until the time is full (320 x 320 pixels, 30 frames per
second), is analysed by the command itself in a child process, with one window phase, into CSV and JSON (`tables`) or
every output that it can write (`all`).  A minute of the same video goes first, for comparison.  Recorded for both: the
time, the peak memory (of the system's own count), and, at every tenth of the way, the memory and the end that the
progress bar foretold.

An hour takes about a quarter of the time that it lasts.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import Line, parser, write
from tqdm import tqdm

from metst_core.synthetic import generate
from metst_core.video import read_frames, write_video

FPS = 30
CLIP_SECONDS = 20.0
SHORT_MINUTES = 1.0
BAR = re.compile(r"(\d+)/(\d+) \[[\d:]+<([\d:]+),")
"""Frames done, frames in all, and the time left, in the command's progress bar."""


def there_and_back(folder: Path, minutes: float, size: int) -> Iterator[np.ndarray]:
    """`minutes` of frames (size, size, 3): a synthetic clip forward and backward, so that it never jumps."""
    dataset = generate(
        folder / "set", 1, 1, min(CLIP_SECONDS, 60 * minutes), seed=3, version=1, progress=False
    )
    clip = [
        cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
        for frame in read_frames(dataset.videos["path"].iloc[0])
    ]
    n_frames = round(60 * minutes * FPS)
    frames = itertools.islice(itertools.cycle([*clip, *clip[-2:0:-1]]), n_frames)
    yield from tqdm(frames, f"writing {minutes:g} minute(s)", n_frames, unit="frame")


def seconds_of(clock: str) -> int:
    """Seconds of the bar's `mm:ss` or `hh:mm:ss`."""
    return sum(int(part) * 60**power for power, part in enumerate(reversed(clock.split(":"))))


def memory_of(pid: int) -> float | None:
    """Resident memory of a process now, in MB; None where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


OUTPUTS = {"tables": {"--csv": "a.csv", "--json": "a.json"}}
OUTPUTS["all"] = {
    **OUTPUTS["tables"], "--megc": "m.csv", "--html": "a.html", "--annotated-video": "film.mp4",
}  # fmt: skip


def analyse(video: Path, out: Path, outputs: str) -> dict[str, Any]:
    """`metst analyse` on `video` with its outputs; its time, its peak memory, and what was seen on the way."""
    command = [sys.executable, "-m", "metst_core.cli", "analyse", str(video), "--phases", "1"]
    for option, file in OUTPUTS[outputs].items():
        command += [option, str(out / file)]
    started = time.perf_counter()
    with (out / "summary.txt").open("w") as summary:
        child = subprocess.Popen(command, stdout=summary, stderr=subprocess.PIPE)
    assert child.stderr is not None
    marks: list[dict[str, Any]] = []
    analysed, text = 0.0, ""
    while chunk := os.read(child.stderr.fileno(), 4096):
        text = (text + chunk.decode("utf-8", "replace"))[-400:]
        found = BAR.findall(text)
        if not found or analysed:
            continue  # the bars after the first one belong to the outputs
        done, total, left = int(found[-1][0]), int(found[-1][1]), seconds_of(found[-1][2])
        now = time.perf_counter() - started
        if done == total:
            analysed = now
        if done and done * 10 >= total * len(marks):
            marks.append({
                "share": done / total, "seconds": now, "memory_mb": memory_of(child.pid), "foretold_seconds": now + left,
            })  # fmt: skip
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"metst analyse ended with exit code {child.returncode}: {text}")
    return {
        "seconds": time.perf_counter() - started,
        "seconds_of_analysis": analysed,
        "peak_memory_mb": usage.ru_maxrss * (1024 if sys.platform == "linux" else 1) / 1e6,
        "intervals": len((out / "a.csv").read_text().splitlines()) - 1,
        "output_mb": {path.name: path.stat().st_size / 1e6 for path in sorted(out.iterdir())},
        "on_the_way": marks,
    }


def main() -> None:
    made = parser(__doc__, "hour", rounds=1)
    made.add_argument("--minutes", type=float, default=60.0)
    made.add_argument("--size", type=int, default=320)
    made.add_argument("--outputs", choices=list(OUTPUTS), default="tables")
    options = made.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for which, minutes in (("short", min(SHORT_MINUTES, options.minutes)), ("long", options.minutes)):
            folder = Path(name, which)
            (folder / "out").mkdir(parents=True)
            write_video(folder / "video.mp4", there_and_back(folder, minutes, options.size), FPS)
            results[which] = {
                "minutes": minutes,
                **analyse(folder / "video.mp4", folder / "out", options.outputs),
            }
    short, long = results["short"], results["long"]
    growth = long["peak_memory_mb"] - short["peak_memory_mb"]
    for which, found in results.items():
        print(
            f"{which}: {found['minutes']:g} min of video in {found['seconds'] / 60:.1f} min, peak memory "
            f"{found['peak_memory_mb']:.0f} MB, {found['intervals']} intervals"
        )
        for mark in found["on_the_way"]:
            print(
                f"  {mark['share']:4.0%} after {mark['seconds']:6.0f} s: memory {mark['memory_mb'] or 0:5.0f} MB, end of "
                f"the analysis foretold at {mark['foretold_seconds']:6.0f} s"
            )
        print(f"  the analysis ended at {found['seconds_of_analysis']:.0f} s")
    print(f"{growth:+.0f} MB for {long['minutes'] - short['minutes']:g} more minutes")
    line = Line(
        f"metst analyse, {long['minutes']:g} min of film, {options.outputs}", "min", "the film's own length",
        long["seconds"] / 60, floor=long["minutes"],
    )  # fmt: skip
    write(options, [line], **results, growth_mb=growth)


if __name__ == "__main__":
    main()
