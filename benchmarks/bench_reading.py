"""Peak memory of reading a long video: it must not grow with the length of the video.

    python benchmarks/bench_reading.py [--minutes 10] [--json FILE]

A portrait (scikit-image's `astronaut`) sways in a picture of 1920 x 1080 at 30 frames per second, H.264.
Two videos are written, a short one (2 seconds) and one of `--minutes`.  Then, each in a process of its own:

* `read_frames`: every frame is decoded and dropped;
* `extract_motion`: frames stream through the ROI motion of all windows (MediaPipe finds the face);
* `extract_dataset`: the same from a folder, which also counts the frames beforehand and caches the motion.

Reported per task and video: frames, seconds, and the peak of the resident memory of the whole process (Python,
OpenCV and MediaPipe included), in MB of 10^6 bytes.  The goal is less than 500 MB for 10 minutes.  Needs Linux: the
peak is read from /proc/self/status, because `getrusage` also counts what the parent held when it started the process.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
from common import Line, parser, write

from metst_core.video import write_video

FPS, WIDTH, HEIGHT, WINDOW = 30, 1920, 1080, 50
GOAL_MB = 500
SHORT_SECONDS = 2


def swaying_portrait(n_frames: int) -> Iterator[np.ndarray]:
    """RGB frames (1080, 1920, 3) of a portrait on grey that sways by a few pixels, once in two seconds."""
    head = cv2.resize(skimage.data.astronaut()[:260, 90:350], (900, 900), interpolation=cv2.INTER_CUBIC)
    cycle = []
    for t in range(2 * FPS):
        frame = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
        x = 510 + round(4 * np.sin(2 * np.pi * t / (2 * FPS)))
        frame[90:990, x : x + 900] = head
        cycle.append(frame)
    for number in range(n_frames):
        yield cycle[number % len(cycle)]


def read_all(video: Path) -> int:
    from metst_core.video import read_frames

    return sum(1 for _ in read_frames(video))


def extract_one(video: Path) -> int:
    from metst_core.landmarks import MediaPipeLandmarker
    from metst_core.motion import extract_motion
    from metst_core.video import read_frames

    windows = extract_motion(read_frames(video), MediaPipeLandmarker(), window=WINDOW)
    if not windows.any():
        raise SystemExit("no motion was found; is the face found?")
    return len(windows)


def extract_folder(video: Path) -> int:
    from metst_core.datasets import load_dataset
    from metst_core.extraction import extract_dataset

    with tempfile.TemporaryDirectory() as cache:
        motion = extract_dataset(load_dataset("folder", video.parent, window=WINDOW), cache_dir=cache)
    if motion.videos["without_motion"].any():
        raise SystemExit("the face was not found in every frame")
    return sum(len(windows) for windows in motion.windows.values())


TASKS: dict[str, Callable[[Path], int]] = {
    "read_frames": read_all,
    "extract_motion": extract_one,
    "extract_dataset": extract_folder,
}


def work(task: str, video: str) -> None:
    """What a measured process does; prints its figures as JSON."""
    started = time.perf_counter()
    count = TASKS[task](Path(video))
    seconds = time.perf_counter() - started
    print(json.dumps({"count": count, "seconds": seconds, "peak_mb": peak_mb()}))


def peak_mb() -> float:
    """Largest resident memory of this process since it began."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024 / 1e6  # type: ignore[index]


def measured(task: str, video: Path) -> dict[str, Any]:
    """One task in a fresh process on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    run = subprocess.run(
        [sys.executable, __file__, "--work", task, str(video)],
        env=environment,
        text=True,
        capture_output=True,
    )
    if run.returncode:
        raise SystemExit(f"{task} failed: {run.stderr.strip().splitlines()[-1:]}")
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    made = parser(__doc__, "reading", rounds=1)
    made.add_argument("--minutes", type=float, default=10.0)
    made.add_argument("--work", nargs=2, metavar=("TASK", "VIDEO"), help=argparse.SUPPRESS)
    options = made.parse_args()
    if options.work:
        work(*options.work)
        return
    figures: dict[str, dict[str, Any]] = {task: {} for task in TASKS}
    with tempfile.TemporaryDirectory() as folder:
        for length, seconds in (("short", SHORT_SECONDS), ("long", 60 * options.minutes)):
            video = Path(folder) / length / "video.mp4"
            n_frames = round(seconds * FPS)
            print(f"{length}: writing {n_frames} frames of {WIDTH} x {HEIGHT} ...", flush=True)
            write_video(video, swaying_portrait(n_frames), FPS)
            as_array = n_frames * WIDTH * HEIGHT * 3 / 1e6
            print(f"{length}: {video.stat().st_size / 1e6:.0f} MB as a file, {as_array:.0f} MB as an array")
            for task in TASKS:
                found = {"frames": n_frames, "as_array_mb": as_array, **measured(task, video)}
                figures[task][length] = found
                said = f"{found['peak_mb']:.0f} MB at most, {found['seconds']:.1f} s"
                print(f"{length}: {task}: {said}", flush=True)
    for task, found in figures.items():
        grown = found["long"]["peak_mb"] - found["short"]["peak_mb"]
        verdict = "under" if found["long"]["peak_mb"] < GOAL_MB else "NOT under"
        print(f"{task}: {verdict} {GOAL_MB} MB; {grown:+.0f} MB from the short video to the long one")
    lines = [
        Line(
            f"peak memory: {task}",
            "MB",
            f"the goal of {GOAL_MB} MB",
            found["long"]["peak_mb"],
            floor=GOAL_MB,
            goal=1.0,
        )
        for task, found in figures.items()
    ]
    write(options, lines, tasks=figures)


if __name__ == "__main__":
    main()
