"""How long ROI extraction takes: against OpenCV's flow alone, for several window phases, on two processes, and naively.

    python benchmarks/bench_extraction.py [--frames 150] [--rounds 5] [--json FILE]

Measured on a moving portrait (scikit-image's `astronaut`, 520 x 520, 30 fps) with one OpenCV thread:

* `opencv`: all of `extract_motion` (landmarks and all, frames in memory) over nothing but OpenCV's
  `calcOpticalFlowFarneback` on the same pairs of boxes, seven or more a frame and window; CPU time of the thread;
* `phases`: `stream_motion` from a film for 2 and 4 window phases over one phase; CPU time of the process;
* `two_processes`: `extract_dataset` on one process over two, from image folders, each after a run that is not timed
  (start-up of the workers); `cores_of_one` says that "one" really keeps to one core, and `ceiling` what two processes
  that compute nothing but optical flow gain on this machine (`at_once.ceiling`);
* `naive`: the way it is often written, over ours, same frames: every overlapping window decodes the video
  anew and searches the face, computes the flow of a box (by OpenCV) for every ROI that reads it, and finds the
  main-direction mean in a Python loop over pixels.  Both give the same motion, which is checked.

Each figure is the median of the rounds; the two sides of a ratio alternate, so that a busy machine harms both.
"""

from __future__ import annotations

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
from common import Line, in_turn, parser, ratio, write

from metst_core import flow, motion, rois
from metst_core.datasets import load_dataset
from metst_core.extraction import extract_dataset
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.video import read_frames, write_video

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
    """Times functions, given as (module or class, name), by wrapping them while it is open."""

    def __init__(self, *functions: tuple[Any, str]) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self.originals = [(owner, name, getattr(owner, name)) for owner, name in functions]

    def __enter__(self) -> Split:
        for owner, name, original in self.originals:
            setattr(owner, name, self.wrap(name, original))
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, original in self.originals:
            setattr(owner, name, original)

    def wrap(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            start = time.perf_counter()
            result = original(*args)
            self.seconds[name] += time.perf_counter() - start
            self.calls[name] += 1
            return result

        return wrapped


def flow_pairs(extract: Callable[[], Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pairs of boxes between which `extract` measures flow."""
    pairs = []

    class Recorder(flow.FlowFrom):
        def __init__(self, before: np.ndarray) -> None:
            super().__init__(before)
            self.before = before.copy()

        def to(self, after: np.ndarray) -> np.ndarray:
            pairs.append((self.before, after))
            return super().to(after)

    original, motion.FlowFrom = motion.FlowFrom, Recorder
    try:
        extract()
    finally:
        motion.FlowFrom = original
    return pairs


def bench_opencv(frames: np.ndarray, rounds: int) -> dict[str, Any]:
    """`extract_motion` over OpenCV's flow calls alone, and where its time goes."""
    landmarker = MediaPipeLandmarker()
    result: dict[str, Any] = {}
    for features in rois.FEATURES:
        extract = partial(motion.extract_motion, frames, landmarker, features, WINDOW)
        pairs = flow_pairs(extract)

        def calls(pairs: list[tuple[np.ndarray, np.ndarray]] = pairs) -> None:
            for before, after in pairs:
                flow.opencv_flow(before, after)

        seconds = in_turn({"ours": extract, "opencv": calls}, rounds, time.thread_time)
        parts = (
            (flow.FlowFrom, "__init__"), (flow.FlowFrom, "to"), (motion, "find_reference"), (motion, "cut_crop"),
            (flow.flow_kernels(), "main_direction_means"),
        )  # fmt: skip
        with Split(*parts) as split:
            total = in_turn({"all": extract}, 1)["all"][0]
        result[features] = {
            "ratio": ratio(seconds["ours"], seconds["opencv"]),
            "ratios": [a / b for a, b in zip(seconds["ours"], seconds["opencv"], strict=True)],
            "ms_per_frame": {
                side: 1000 * statistics.median(each) / len(frames) for side, each in seconds.items()
            },
            "calls_per_frame": len(pairs) / len(frames),
            "share_of_time": {name: each / total for name, each in split.seconds.items()},
        }
    return result


def bench_phases(path: Path, frames: np.ndarray, rounds: int) -> dict[str, Any]:
    """`stream_motion` from a film with 1, 2 and 4 window phases: over one, and milliseconds of CPU time a frame."""
    write_video(path, frames, 30.0)
    landmarker, half = MediaPipeLandmarker(), WINDOW // 2
    landmarker(frames[0])  # starts MediaPipe

    def run(n: int) -> None:
        starts = [half * i // n for i in range(n)]
        for _ in motion.stream_motion(read_frames(path), landmarker, window=WINDOW, phases=starts):
            pass

    seconds = in_turn({str(n): partial(run, n) for n in (1, 2, 4)}, rounds, time.process_time)
    return {
        n: {
            "over_one": ratio(each, seconds["1"]),
            "ms_per_frame": 1000 * statistics.median(each) / len(frames),
        }
        for n, each in seconds.items()
    }


def bench_processes(folder: Path, n_videos: int, n_frames: int, rounds: int) -> dict[str, Any]:
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
    for _ in range(rounds):
        before = time.process_time()
        one.append(timed(lambda: extract_dataset(dataset, n_jobs=1)))
        busy.append((time.process_time() - before) / one[-1])
        two.append(timed(lambda: extract_dataset(dataset, n_jobs=2)))
    ratios = [a / b for a, b in zip(one, two, strict=True)]
    return {
        "two_processes": statistics.median(ratios), "all": ratios, "one_s": one, "two_s": two,
        "cores_of_one": statistics.median(busy), "ceiling": ceiling(rounds),
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
    field = flow.opencv_flow(reference.crop[box], crop[box])[roi.region(reference.points).slices]
    vectors = []
    for row in range(field.shape[0]):
        for column in range(field.shape[1]):
            dx, dy = float(field[row, column, 0]), float(field[row, column, 1])
            vectors.append((dx * dx + dy * dy, dx, dy))
    vectors.sort()
    kept = vectors[int(len(vectors) * (1 - roi.q)) :]
    if not kept:
        return 0.0, 0.0
    return sum(v[1] for v in kept) / len(kept), sum(v[2] for v in kept) / len(kept)


def main() -> None:
    made = parser(__doc__, "extraction", rounds=5)
    made.add_argument("--frames", type=int, default=150)
    options = made.parse_args()
    cv2.setNumThreads(1)
    frames = portrait_video(options.frames)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        opencv = bench_opencv(frames, options.rounds)
        phases = bench_phases(folder / "film.mp4", frames, options.rounds)
        naive = bench_naive(folder / "naive", 100)
        processes = bench_processes(folder / "set", 4, options.frames, options.rounds)
    lines = [
        Line(
            f"extract_motion, {features}", "ms a frame", "OpenCV's Farnebäck calls alone",
            found["ms_per_frame"]["ours"], peer=found["ms_per_frame"]["opencv"], ratio=found["ratio"], goal=0.4,
        )
        for features, found in opencv.items()
    ]  # fmt: skip
    lines += [
        Line(
            f"{n} window phases", "ms a frame", "one phase",
            phases[n]["ms_per_frame"], peer=phases["1"]["ms_per_frame"], ratio=phases[n]["over_one"], goal=float(n),
        )
        for n in ("2", "4")
    ]  # fmt: skip
    lines += [
        Line("extraction of 100 frames", "s", "written naively", naive["ours_s"], peer=naive["naive_s"]),
        Line(
            "time of two processes over one", "", "perfect scaling on this machine",
            1 / processes["two_processes"], floor=1 / processes["ceiling"]["gain"],
        ),
    ]  # fmt: skip
    write(options, lines, opencv=opencv, phases=phases, naive=naive, processes=processes)


if __name__ == "__main__":
    main()
