"""How long ROI extraction takes: against the optical flow in it, on two processes, and written naively.

    python benchmarks/bench_extraction.py [--frames 150] [--repeats 5] [--out FILE.json]

Measured on a moving portrait (scikit-image's `astronaut`, 520 x 520, 30 fps) with one OpenCV thread:

* `over_flow`: time of `extract_motion` over the time of the Farnebäck calls inside it, frames in memory;
* `two_processes`: `extract_dataset` on one process over two, from image folders, each after a run that is not timed
  (start-up of the workers); `cores_of_one` says that "one" really keeps to one core, and `ceiling` what two processes
  that compute nothing but optical flow gain on this machine (`at_once.ceiling`);
* `naive`: the way it is often written, over ours, same frames: every overlapping window decodes the video
  anew and searches the face, computes the flow of a box for every ROI that reads it, and finds the
  main-direction mean in a Python loop over pixels.  Both give the same motion, which is checked.

Each figure is the median of the repeats; the two sides of a ratio alternate, so that a busy machine harms both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
from at_once import ceiling

from metst_core import motion, rois
from metst_core.datasets import load_dataset
from metst_core.extraction import extract_dataset
from metst_core.files import run_record, write_json
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.video import read_frames

WINDOW = 50


def portrait_video(n_frames: int, seed: int = 0) -> np.ndarray:
    """(n, 520, 520, 3) uint8 RGB: a portrait that sways by a few pixels under sensor noise."""
    head = cv2.resize(skimage.data.astronaut()[:260, 90:350], (520, 520), interpolation=cv2.INTER_CUBIC)
    rng = np.random.default_rng(seed)
    frames = []
    for t in range(n_frames):
        x, y = 3 * np.sin(t / 23 + seed), 2 * np.sin(t / 31)
        moved = cv2.warpAffine(
            head, np.array([[1, 0, x], [0, 1, y]]), (520, 520), borderMode=cv2.BORDER_REPLICATE
        )
        frames.append(np.clip(moved + rng.normal(0, 2, head.shape), 0, 255).astype(np.uint8))
    return np.stack(frames)


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Split:
    """Times the functions of `metst_core.motion` by name, by wrapping them while it is open."""

    def __init__(self, *names: str) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self.originals = {name: getattr(motion, name) for name in names}

    def __enter__(self) -> Split:
        for name, original in self.originals.items():
            setattr(motion, name, self.wrap(name, original))
        return self

    def __exit__(self, *_: object) -> None:
        for name, original in self.originals.items():
            setattr(motion, name, original)

    def wrap(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            start = time.perf_counter()
            result = original(*args)
            self.seconds[name] += time.perf_counter() - start
            self.calls[name] += 1
            return result

        return wrapped


def bench_over_flow(frames: np.ndarray, repeats: int) -> dict[str, Any]:
    """`extract_motion` against the flow inside it, and where the rest of the time goes."""
    landmarker = MediaPipeLandmarker()
    landmarker(frames[0])
    result: dict[str, Any] = {}
    for features in rois.FEATURES:
        extract = partial(motion.extract_motion, frames, landmarker, features, WINDOW)
        ratios, per_frame = [], []
        for _ in range(repeats):
            with Split("box_flow") as split:
                total = timed(extract)
            ratios.append(total / split.seconds["box_flow"])
            per_frame.append(1000 * total / len(frames))
        with Split("box_flow", "main_direction_mean", "find_reference", "cut_crop") as split:
            total = timed(extract)
        result[features] = {
            "over_flow": statistics.median(ratios),
            "over_flow_all": ratios,
            "ms_per_frame": statistics.median(per_frame),
            "flow_calls": split.calls["box_flow"],
            "share_of_time": {name: seconds / total for name, seconds in split.seconds.items()},
        }
    return result


def bench_processes(folder: Path, n_videos: int, n_frames: int, repeats: int) -> dict[str, Any]:
    """`extract_dataset` on one and on two processes, without a cache."""
    for i in range(n_videos):
        video = folder / str(i) / "video"
        video.mkdir(parents=True)
        for t, frame in enumerate(portrait_video(n_frames, seed=i)):
            cv2.imwrite(str(video / f"{t:04d}.png"), frame[..., ::-1])
    dataset = load_dataset("folder", folder, window=WINDOW)
    one, two, busy = [], [], []
    for n_jobs in (1, 2):
        extract_dataset(dataset, n_jobs=n_jobs)
    for _ in range(repeats):
        before = time.process_time()
        one.append(timed(lambda: extract_dataset(dataset, n_jobs=1)))
        busy.append((time.process_time() - before) / one[-1])
        two.append(timed(lambda: extract_dataset(dataset, n_jobs=2)))
    ratios = [a / b for a, b in zip(one, two, strict=True)]
    return {
        "two_processes": statistics.median(ratios), "all": ratios, "one_s": one, "two_s": two,
        "cores_of_one": statistics.median(busy), "ceiling": ceiling(repeats),
    }  # fmt: skip


def bench_naive(folder: Path, n_frames: int) -> dict[str, Any]:
    """The naive way over ours, from the same image folder."""
    folder.mkdir()
    for t, frame in enumerate(portrait_video(n_frames)):
        cv2.imwrite(str(folder / f"{t:04d}.png"), frame[..., ::-1])
    landmarker = MediaPipeLandmarker()
    landmarker(portrait_video(1)[0])
    results: dict[str, np.ndarray] = {}

    def ours() -> None:
        results["ours"] = motion.extract_motion(read_frames(folder), landmarker, window=WINDOW)

    def naive() -> None:
        half = WINDOW // 2
        starts = range(0, n_frames - WINDOW + 1, half)
        results["naive"] = np.stack([naive_window(folder, start, landmarker) for start in starts])

    first, naive_s, second = timed(ours), timed(naive), timed(ours)
    ours_s = (first + second) / 2
    np.testing.assert_allclose(results["ours"], results["naive"], atol=1e-4)
    return {"naive_over_ours": naive_s / ours_s, "ours_s": ours_s, "naive_s": naive_s, "frames": n_frames}


def naive_window(folder: Path, start: int, landmarker: MediaPipeLandmarker) -> np.ndarray:
    """One window (36, k) from a folder of images, written without a thought for time."""
    frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in read_frames(folder)][
        start : start + WINDOW
    ]
    reference = motion.find_reference(frames[0], landmarker)
    assert reference is not None
    top, bottom, left, right = reference.place
    columns = [np.zeros(2 * len(rois.ROIS))]
    for frame in frames[1:]:
        for shifts in range(motion.MAX_SHIFTS + 1):
            crop = cv2.resize(frame[top:bottom, left:right], (320, 320))
            head = naive_roi(reference, crop, rois.REFERENCE)
            if head[0] ** 2 + head[1] ** 2 <= motion.SHIFT_ABOVE or shifts == motion.MAX_SHIFTS:
                break
            dx, dy = round(head[0]), round(head[1])
            top, bottom, left, right = max(0, top + dy), bottom + dy, max(0, left + dx), right + dx
        pairs = [naive_roi(reference, crop, roi) for roi in rois.ROIS]
        columns.append(np.array([(x - head[0], y - head[1]) for x, y in pairs]).ravel())
    return np.stack(columns, axis=1)


def naive_roi(reference: motion.Reference, crop: np.ndarray, roi: rois.Roi) -> tuple[float, float]:
    box = rois.BOXES[roi.box].bounds(reference.points).slices
    flow = motion.box_flow(reference.crop[box], crop[box])[roi.region(reference.points).slices]
    vectors = []
    for row in range(flow.shape[0]):
        for column in range(flow.shape[1]):
            dx, dy = float(flow[row, column, 0]), float(flow[row, column, 1])
            vectors.append((dx * dx + dy * dy, dx, dy))
    vectors.sort()
    kept = vectors[int(len(vectors) * (1 - roi.q)) :]
    if not kept:
        return 0.0, 0.0
    return sum(v[1] for v in kept) / len(kept), sum(v[2] for v in kept) / len(kept)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time ROI extraction.")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "extraction.json")
    arguments = parser.parse_args()
    before = os.getloadavg()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = {
            "over_flow": bench_over_flow(portrait_video(arguments.frames), arguments.repeats),
            "naive": bench_naive(folder / "naive", 100),
            "processes": bench_processes(folder / "set", 4, arguments.frames, arguments.repeats),
        }
    record = run_record(
        **result,
        frames=arguments.frames,
        repeats=arguments.repeats,
        load_before=before,
        load_after=os.getloadavg(),
    )
    write_json(record, arguments.out)
    for features, figures in result["over_flow"].items():
        print(f"{features}: {figures['over_flow']:.2f} x flow, {figures['ms_per_frame']:.1f} ms per frame")
    print(f"naive over ours: {result['naive']['naive_over_ours']:.1f} x")
    processes = result["processes"]
    print(
        f"two processes over one: {processes['two_processes']:.2f} x "
        f"(pure flow on this machine: {processes['ceiling']['gain']:.2f} x)"
    )


if __name__ == "__main__":
    main()
