"""Seconds of work per minute of film of `plant`, `limits` and `adapt`, beside one analysis of the same film.

    python benchmarks/bench_footage.py [--seconds 60] [--size 640] [--events 80] [--rounds 1] [--json FILE]

A synthetic person without micro-expressions in a picture of `size` x `size` pixels at 30 frames per second, H.264.  The
peer is `analyse`, which reads, measures and scores every frame once; the sides take turns.  What counts is processor
time of all threads, so a busy machine hardly matters; the time that passed stands beside it.  A warm-up on two seconds
comes first (imports, compiled kernels, MediaPipe's graphs).  `adapt` has 10 epochs and may refuse at the end: its work is
the same then.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
from common import Line, parser, write

from metst_core.errors import InputError
from metst_core.footage import adapt, limits, plant
from metst_core.pipeline import analyse
from metst_core.synthetic import generate
from metst_core.video import read_frames, write_video


def make_film(folder: Path, seconds: float, size: int) -> Path:
    """A film of a synthetic person who makes no micro-expression, enlarged to `size` x `size`."""
    made = generate(folder / f"set{seconds:g}", 1, 1, seconds, seed=3, me_per_minute=0, progress=False)
    frames = (
        cv2.resize(frame, (size, size), interpolation=cv2.INTER_CUBIC)
        for frame in read_frames(made.videos["path"].iloc[0])
    )
    path = folder / "person" / f"film{seconds:g}.mp4"
    write_video(path, frames, 30.0)
    return path


def main() -> None:
    made = parser(__doc__, "footage", rounds=1)
    made.add_argument("--seconds", type=float, default=60.0, help="length of the film (60)")
    made.add_argument("--size", type=int, default=640, help="its width and height, pixels (640)")
    made.add_argument("--events", type=int, default=80, help="movements that `limits` plants (80)")
    options = made.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = make_film(folder, options.seconds, options.size)
        out = folder / "out"

        def adapted(path: Path) -> None:
            with contextlib.suppress(InputError):
                adapt(path, out / "weights", progress=False)

        def sides(path: Path) -> dict[str, Callable[[], object]]:
            return {
                "analyse": lambda: analyse(path, progress=False),
                "plant": lambda: plant(path, out / "planted", per_minute=20, progress=False),
                "limits": lambda: limits(
                    path, n_events=options.events if path is film else 1, progress=False
                ),
                "adapt": lambda: adapted(path),
            }

        short = make_film(folder, 3.0, options.size)
        for work in sides(short).values():
            work()
        work_seconds: dict[str, list[float]] = {}
        passed: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            for side, call in sides(film).items():
                shutil.rmtree(out, ignore_errors=True)
                started, began = time.process_time(), time.perf_counter()
                call()
                work_seconds.setdefault(side, []).append(time.process_time() - started)
                passed.setdefault(side, []).append(time.perf_counter() - began)
    minutes = options.seconds / 60
    each = {side: statistics.median(values) / minutes for side, values in work_seconds.items()}
    lines = [
        Line(f"{side}, per minute of film of {options.size} pixels", "s of processor", "analyse", each[side], peer=each["analyse"])
        for side in ("plant", "limits", "adapt")
    ]  # fmt: skip
    lines.append(
        Line(
            f"limits of {options.seconds:g} s of film, all threads",
            "s of processor",
            "two minutes on two cores",
            statistics.median(work_seconds["limits"]),
            floor=240.0,
            goal=1.0,
        )
    )
    write(options, lines, processor_seconds=work_seconds, seconds_that_passed=passed)


if __name__ == "__main__":
    main()
