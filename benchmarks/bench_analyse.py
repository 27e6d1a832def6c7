"""Seconds of video per second of work of `analyse`, and where the time goes.

    python benchmarks/bench_analyse.py [--seconds 10] [--rounds 3] [--size 640] [--json FILE]
    python benchmarks/bench_analyse.py --aligned    the weights "aligned" alone, on one core

A synthetic person in a picture of `size` x `size` pixels at 30 frames per second, H.264-like compression (MPEG-4 part
2), is analysed with the bundled weights:

* on one core and on two: the analysis alone, with table, JSON and page, and with the annotated film too; split into
  decoding, looking for quality flags, landmarks, flow, model, and writing of the two kinds of outputs;
* two videos at once in two processes of one core each, over one video on one core; beside it what two processes that
  compute nothing but optical flow gain on this machine (`at_once.ceiling`).

Every analysis runs in a process of its own, pinned to its cores where the system allows it, and is timed after a
warm-up, so without start-up; two at once begin at the same moment, and the slower one counts.  Medians of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
from at_once import answer_when_told, at_once, ceiling, pin
from common import Line, parser, write

from metst_core.synthetic import generate
from metst_core.video import read_frames, write_video

PARTS = ("decoding", "quality", "landmarks", "flow", "model", "pages", "film")


def make_video(folder: Path, seconds: float, size: int) -> Path:
    """One synthetic video, enlarged to `size` x `size`."""
    dataset = generate(folder / "set", 1, 1, seconds, seed=3, tier="default", version=1, progress=False)
    source = Path(dataset.videos["path"].iloc[0])
    frames = (cv2.resize(frame, (size, size), interpolation=cv2.INTER_CUBIC) for frame in read_frames(source))
    write_video(folder / "clip.mp4", frames, 30.0)
    return folder / "clip.mp4"


def work(video: str, first: int, cores: int, out: str) -> None:
    """The child: a warm-up on the first seconds of `video`, then, when told, one timed analysis and its outputs."""
    pin(first, cores)
    from metst_core.inference import Analysis
    from metst_core.pipeline import analyse

    next(
        iter(Analysis(video, phases=1))
    )  # imports, compiled kernels, MediaPipe's graphs; the frames are counted

    def timed() -> dict[str, Any]:
        started = time.perf_counter()
        result = analyse(video, progress=False, phases=1)
        analysed = time.perf_counter()
        folder = Path(out)
        result.to_csv(folder / "table.csv")
        result.to_json(folder / "result.json")
        result.to_html(folder / "page.html")
        written = time.perf_counter()
        result.to_video(folder / "film.mp4")
        parts = {**result.seconds, "pages": written - analysed, "film": time.perf_counter() - written}
        return {
            "video": result.duration, "wall": analysed - started, "parts": parts, "intervals": len(result.table),
        }  # fmt: skip

    answer_when_told(timed)


def run(video: Path, cores: int, firsts: tuple[int, ...] = (0,)) -> list[dict[str, Any]]:
    """One analysis for each of `firsts`, all at once, on `cores` cores each from that one on."""
    with tempfile.TemporaryDirectory() as out:
        places = [Path(out, str(first)) for first in firsts]
        for place in places:
            place.mkdir()
        commands = [
            [__file__, "--work", str(video), str(first), str(cores), str(place)]
            for first, place in zip(firsts, places, strict=True)
        ]
        return at_once(commands, cores)


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over rounds: speeds, and milliseconds per frame of each part."""
    frames = 30.0 * runs[0]["video"]

    def speed(*outputs: str) -> float:
        return statistics.median(r["video"] / (r["wall"] + sum(r["parts"][o] for o in outputs)) for r in runs)

    return {
        "video_seconds_per_second": speed(),
        "with_table_json_and_page": speed("pages"),
        "with_the_film_too": speed("pages", "film"),
        "ms_per_frame": {
            p: 1000 * statistics.median(r["parts"].get(p, 0.0) for r in runs) / frames for p in PARTS
        },
        "intervals": runs[0]["intervals"],
    }


def aligned(options: argparse.Namespace, video: Path) -> None:
    """Seconds of film per second with the weights "aligned", and where the time goes; in this process, pinned to one core."""
    from metst_core.pipeline import analyse

    pin(0, 1)
    analyse(video, "aligned", progress=False)  # imports, kernels, graphs
    runs = []
    for _ in range(options.rounds):
        started = time.perf_counter()
        found = analyse(video, "aligned", progress=False)
        runs.append({"video": found.duration, "wall": time.perf_counter() - started, "parts": found.seconds})
    speed = statistics.median(run["video"] / run["wall"] for run in runs)
    parts = {
        name: 1000
        * statistics.median(run["parts"].get(name, 0.0) for run in runs)
        / (30.0 * runs[0]["video"])
        for name in PARTS[:5]
    }
    what = f'analyse, weights "aligned", {options.size} x {options.size}, one core'
    line = Line(what, "s a s of film", "the film's own length", 1 / speed, floor=1.0)
    write(options, [line], video_seconds_per_second=speed, ms_per_frame=parts)


def main() -> None:
    made = parser(__doc__, "analyse", rounds=3)
    made.add_argument("--seconds", type=float, default=10.0)
    made.add_argument("--size", type=int, default=640)
    made.add_argument("--aligned", action="store_true", help='the weights "aligned" alone')
    made.add_argument("--work", nargs=4, metavar=("VIDEO", "FIRST", "CORES", "OUT"), help=argparse.SUPPRESS)
    options = made.parse_args()
    if options.work:
        work(options.work[0], int(options.work[1]), int(options.work[2]), options.work[3])
        return
    if options.aligned:
        options.json = Path(options.json).with_name(
            "analyse_aligned.json"
        )  # beside the other's, not in its place
        with tempfile.TemporaryDirectory() as folder:
            aligned(options, make_video(Path(folder), options.seconds, options.size))
        return
    with tempfile.TemporaryDirectory() as folder:
        video = make_video(Path(folder), options.seconds, options.size)
        runs: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
        pairs = []
        for _ in range(options.rounds):  # the sides take turns, so that a busy machine slows them alike
            for cores, done in runs.items():
                done += run(video, cores)
            both = run(video, 1, (0, 1))
            pairs.append(2 * both[0]["video"] / max(each["wall"] for each in both))
    one, two = summary(runs[1]), summary(runs[2])
    found = {
        "one_core": one,
        "two_cores": two,
        "two_videos_in_two_processes": {
            "video_seconds_per_second": statistics.median(pairs),
            "over_one_core": statistics.median(pairs) / one["video_seconds_per_second"],
        },
        "ceiling_of_two_processes": ceiling(options.rounds),
    }
    size = f"{options.size} x {options.size}"
    gain, best = (
        found["two_videos_in_two_processes"]["over_one_core"],
        found["ceiling_of_two_processes"]["gain"],
    )
    lines = [
        Line(f"{what}, {size}, {name}", "s a s of film", "the film's own length", 1 / side[key], floor=1.0)
        for name, side in (("one core", one), ("two cores", two))
        for what, key in (
            ("analyse", "video_seconds_per_second"),
            ("analyse, table, JSON, page", "with_table_json_and_page"),
            ("analyse, all outputs", "with_the_film_too"),
        )
    ]
    lines.append(
        Line(
            "time of two films in two processes over one",
            "",
            "perfect scaling here",
            1 / gain,
            floor=1 / best,
        )
    )
    write(options, lines, **found)


if __name__ == "__main__":
    main()
