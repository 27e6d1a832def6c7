"""Speed of the synthetic set's renderer: milliseconds per 320 x 320 frame on one core, and against the floor.

The floor is what no renderer of this kind can do without: one `cv2.remap` of the frame and one JPEG coding.
The parts are timed in turn, round after round, in processor time, and the medians compared, so that other
work on the machine falls on all of them alike.

    python benchmarks/bench_synthetic.py [--rounds 15] [--tier default] [--json FILE]
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import cv2
import numpy as np
from common import Line, parser, seconds_per_call, write

from metst_core.synthetic import TIERS, Renderer, difficulty_of, identity, look_up, plan_video

FRAMES_PER_ROUND = 20


def main() -> None:
    made = parser(__doc__, "synthetic", rounds=60)
    made.add_argument("--tier", choices=TIERS, default="default")
    options = made.parse_args()

    cv2.setNumThreads(1)
    knobs = difficulty_of(options.tier)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(knobs.jpeg_quality)]
    identity(0, 0)  # starts MediaPipe
    started = time.perf_counter()
    person = identity(0, 2)
    renderer = Renderer(person)
    build = time.perf_counter() - started

    plan = plan_video(0, 0, 0, 60.0, 30.0, knobs)
    frames = renderer.frames(plan, knobs)
    instants = itertools.cycle(range(plan.n_frames))
    at = renderer.positions(plan.intensity[0], plan.head[0])
    shown = next(frames)

    def bare() -> None:
        t = next(instants)
        renderer.frame(plan.intensity[t], plan.head[t])

    parts: dict[str, Callable[[], object]] = {
        "remap": lambda: look_up(person.canvas, at),
        "jpeg": lambda: cv2.imencode(".jpg", shown, quality),
        "warped frame": bare,
        "finished frame": lambda: cv2.imencode(".jpg", next(frames), quality),
    }
    rounds = min(options.rounds, plan.n_frames // FRAMES_PER_ROUND - 1)
    times: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, call in parts.items():
            times[name].append(seconds_per_call(call, FRAMES_PER_ROUND))
    medians = {name: 1e3 * float(np.median(values)) for name, values in times.items()}
    best = {name: 1e3 * min(values) for name, values in times.items()}
    floor = medians["remap"] + medians["jpeg"]
    print(f"{'part':16s} {'median':>8s} {'best':>8s}  ms per frame")
    for name in parts:
        print(f"{name:16s} {medians[name]:8.2f} {best[name]:8.2f}")
    print(f"one identity and its fields: {build:.2f} s")
    line = Line(
        "a rendered 320 x 320 frame", "ms", "one remap and one JPEG", medians["finished frame"], floor=floor
    )
    write(options, [line], milliseconds=medians, milliseconds_best=best, seconds_per_identity=build)


if __name__ == "__main__":
    main()
