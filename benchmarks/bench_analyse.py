"""Seconds of video per second of work of `analyse`, and where the time goes.

    python benchmarks/bench_analyse.py [--seconds 10] [--repeats 3] [--size 640] [--out benchmarks/results/analyse.json]

A synthetic person in a picture of `size` x `size` pixels at 30 frames per second, H.264-like compression (MPEG-4 part
2), is analysed with the bundled weights:

* on one core and on two, split into decoding, looking for quality flags, landmarks, flow, model, and writing of all
  outputs (table, JSON, page, film);
* two videos at once in two processes against one after the other.

Every analysis runs in a process of its own, pinned to its cores where the system allows it; medians of the repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2

from metst_core.files import run_record, write_json
from metst_core.synthetic import generate
from metst_core.video import read_frames, write_video

PARTS = ("decoding", "quality", "landmarks", "flow", "model", "writing")


def make_video(folder: Path, seconds: float, size: int) -> Path:
    """One synthetic video, enlarged to `size` x `size`."""
    dataset = generate(folder / "set", 1, 1, seconds, seed=3, tier="default", progress=False)
    source = Path(dataset.videos["path"].iloc[0])
    frames = (cv2.resize(frame, (size, size), interpolation=cv2.INTER_CUBIC) for frame in read_frames(source))
    write_video(folder / "clip.mp4", frames, 30.0)
    return folder / "clip.mp4"


def work(video: str, first: int, cores: int, out: str) -> None:
    """What a process does on `cores` cores from the one numbered `first` on: one warm-up on the first second, then one timed analysis; prints its parts as JSON."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[first : first + cores])
    import torch

    from metst_core.pipeline import Analysis, analyse

    cv2.setNumThreads(cores)
    torch.set_num_threads(cores)
    next(iter(Analysis(video)))  # imports, compiled kernels, MediaPipe's graphs
    started = time.perf_counter()
    result = analyse(video, progress=False)
    analysed = time.perf_counter()
    folder = Path(out)
    result.to_csv(folder / "table.csv")
    result.to_json(folder / "result.json")
    result.to_html(folder / "page.html")
    result.to_video(folder / "film.mp4")
    written = time.perf_counter()
    parts = {**result.seconds, "writing": written - analysed}
    print(
        json.dumps(
            {
                "video": result.duration,
                "wall": analysed - started,
                "parts": parts,
                "intervals": len(result.table),
            }
        )
    )


def run(video: Path, cores: int, first: int = 0) -> subprocess.Popen[str]:
    folder = tempfile.mkdtemp(dir=video.parent)
    command = [sys.executable, __file__, "--work", str(video), str(first), str(cores), folder]
    environment = {**os.environ, "OMP_NUM_THREADS": str(cores), "TQDM_DISABLE": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(
            f"an analysis failed with exit code {process.returncode}; run `metst analyse` to see why"
        )
    return json.loads(out.splitlines()[-1])


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over repeats: speed, and milliseconds per frame of each part."""
    frames = 30.0 * runs[0]["video"]
    return {
        "video_seconds_per_second": statistics.median(r["video"] / r["wall"] for r in runs),
        "ms_per_frame": {
            p: 1000 * statistics.median(r["parts"].get(p, 0.0) for r in runs) / frames for p in PARTS
        },
        "intervals": runs[0]["intervals"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "analyse.json"))
    parser.add_argument("--work", nargs=4, metavar=("VIDEO", "FIRST", "CORES", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], int(options.work[1]), int(options.work[2]), options.work[3])
        return
    with tempfile.TemporaryDirectory() as folder:
        video = make_video(Path(folder), options.seconds, options.size)
        runs: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
        pairs = []
        for _ in range(options.repeats):  # the sides take turns, so that a busy machine slows them alike
            for cores, done in runs.items():
                done.append(answer(run(video, cores)))
            both = [answer(p) for p in [run(video, 1, first=0), run(video, 1, first=1)]]
            pairs.append(sum(r["video"] / r["wall"] for r in both))
    found = {
        "one_core": summary(runs[1]),
        "two_cores": summary(runs[2]),
        "two_videos_in_two_processes": {"video_seconds_per_second": statistics.median(pairs)},
        "load_at_the_end": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
    for name, values in found.items():
        print(name, json.dumps(values, indent=1) if isinstance(values, dict) else values)
    write_json({"options": vars(options), "record": run_record(), **found}, options.out)


if __name__ == "__main__":
    main()
