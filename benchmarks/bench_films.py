"""Reading and writing films: the project's reader and writer (PyAV) beside OpenCV's, per frame.

    python benchmarks/bench_films.py [--rounds 5] [--frames 90] [--json benchmarks/results/films.json]

A portrait (scikit-image's `astronaut`) sways under sensor noise at 640 x 640 and at 1920 x 1080.

* Reading: `read_frames` and OpenCV's capture give RGB frames of the same films; `probe` is the counting pass alone.
  `same_pixels` says whether both give the same bits.
* Writing: `write_video` per container, and OpenCV's writer with the codec that it has for it (no H.264 there).

Given are milliseconds of processor time a frame, all threads together, and of the clock, each the median of the
rounds; the two sides of a ratio alternate, so that a busy machine harms both.  Ratios are ours over OpenCV's: below 1
is faster.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import skimage.data

from metst_core import video
from metst_core.files import run_record, write_json
from metst_core.video import reading

SIZES = {"640": (640, 640), "1080": (1920, 1080)}
CODINGS = {
    "h264.mp4": ("libx264", "yuv420p", {"crf": "18"}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {"qmax": "3"}),
}
WRITERS = {".mp4": "mp4v", ".webm": "VP80", ".mkv": "FFV1", ".mov": "png "}  # and what OpenCV can write there
FPS = 30


def portrait(n_frames: int, width: int, height: int) -> list[np.ndarray]:
    head = cv2.resize(skimage.data.astronaut()[:260, 90:350], (height, height), interpolation=cv2.INTER_CUBIC)
    rng = np.random.default_rng(0)
    noise = [rng.normal(0, 2, (height, width, 3)).astype(np.float32) for _ in range(5)]
    frames = []
    for t in range(n_frames):
        moved = np.float32([[1, 0, (width - height) / 2 + 3 * np.sin(t / 23)], [0, 1, 2 * np.sin(t / 31)]])
        still = cv2.warpAffine(head, moved, (width, height), borderMode=cv2.BORDER_REPLICATE)
        frames.append(np.clip(still + noise[t % 5], 0, 255).astype(np.uint8))
    return frames


def write_coded(path: Path, frames: list[np.ndarray], coding: tuple[str, str, dict[str, str]]) -> None:
    name, pixels, options = coding
    with av.open(path, "w") as container:
        stream: Any = container.add_stream(name, rate=Fraction(FPS), options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))


def read_with_opencv(path: Path) -> list[np.ndarray] | None:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    while True:
        good, image = capture.read()
        if not good:
            return None
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def write_with_opencv(path: Path, frames: list[np.ndarray], codec: str) -> None:
    size = frames[0].shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), FPS, size)
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def count(path: Path) -> None:
    reading.scanned.cache_clear()
    video.probe(path)


def in_turns(works: dict[str, Callable[[], Any]], rounds: int, n_frames: int) -> dict[str, dict[str, float]]:
    """Milliseconds a frame of each work, by processor and by clock, medians over the rounds."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            cpu, clock = time.process_time(), time.perf_counter()
            work()
            spent[name].append((time.process_time() - cpu, time.perf_counter() - clock))
    return {
        name: {
            kind: 1000 / n_frames * statistics.median(pair[i] for pair in pairs)
            for i, kind in enumerate(("cpu_ms", "clock_ms"))
        }
        for name, pairs in spent.items()
    }


def same_pixels(path: Path) -> bool:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    return all(np.array_equal(frame, capture.read()[1][..., ::-1]) for frame in video.read_frames(path))


def bench(folder: Path, n_frames: int, rounds: int) -> list[dict[str, Any]]:
    rows = []
    for size, (width, height) in SIZES.items():
        frames = portrait(n_frames, width, height)
        for name, coding in CODINGS.items():
            path = folder / f"{size}.{name}"
            write_coded(path, frames, coding)
            works = {
                "ours": lambda path=path: [None for _ in video.read_frames(path)],
                "opencv": lambda path=path: read_with_opencv(path),
                "probe": lambda path=path: count(path),
            }
            found = in_turns(works, rounds, n_frames)
            rows.append({"work": f"read {name}", "size": size, "same_pixels": same_pixels(path), **found})
        for suffix, codec in WRITERS.items():
            if size != "640" and suffix != ".mp4":
                continue
            ours, theirs = folder / f"ours{suffix}", folder / f"theirs{suffix}"
            works = {
                "ours": lambda ours=ours, frames=frames: video.write_video(ours, frames, FPS),
                "opencv": lambda theirs=theirs, frames=frames, codec=codec: write_with_opencv(
                    theirs, frames, codec
                ),
            }
            found = in_turns(works, rounds, n_frames)
            kb = {
                f"{n}_kb_a_frame": p.stat().st_size / 1e3 / n_frames
                for n, p in (("ours", ours), ("opencv", theirs))
            }
            rows.append({"work": f"write {suffix} (OpenCV: {codec.strip()})", "size": size, **found, **kb})
    for row in rows:
        row["ratio"] = row["ours"]["cpu_ms"] / row["opencv"]["cpu_ms"]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "films.json")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    before = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        rows = bench(Path(folder), options.frames, options.rounds)
    print(
        f"{'work':30} {'size':>5} {'ratio':>6} {'ours':>7} {'OpenCV':>7} {'probe':>6}  ms of processor a frame"
    )
    for row in rows:
        probe = f"{row['probe']['cpu_ms']:6.2f}" if "probe" in row else ""
        pixels = {True: "same pixels", False: "OTHER PIXELS"}.get(row.get("same_pixels"), "")
        ours, theirs = row["ours"]["cpu_ms"], row["opencv"]["cpu_ms"]
        print(
            f"{row['work']:30} {row['size']:>5} {row['ratio']:6.2f} {ours:7.2f} {theirs:7.2f} {probe:>6}  {pixels}"
        )
    libraries = {"av": metadata.version("av"), "ffmpeg": av.ffmpeg_version_info}
    load = {"load_before": before, "load_after": os.getloadavg()}
    write_json(
        run_record(rounds=options.rounds, frames=options.frames, libraries=libraries, rows=rows, **load),
        options.json,
    )


if __name__ == "__main__":
    main()
