"""Speed of the three-dimensional heads: milliseconds per 320 x 320 frame on one core, and against the floor.

The floor is what no renderer of this kind can do without: finding what is seen (the z-buffer alone), one `cv2.remap` of
the frame, which fetches as many colours as the shading does, and one JPEG coding.  The parts are timed in turn, round
after round, in processor time, and the medians compared.

    python benchmarks/bench_heads.py [--rounds 20] [--heads 4] [--json FILE]
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
from common import Line, parser, seconds_per_call, write

from metst_core.synthetic import look_up
from metst_core.synthetic.head_asset import number_of_heads
from metst_core.synthetic.heads import FRAME_SIZE, Head

FRAMES_PER_ROUND = 10


def main() -> None:
    made = parser(__doc__, "heads", rounds=20)
    made.add_argument("--heads", type=int, default=4, help="over how many heads the rounds go (4)")
    options = made.parse_args()

    cv2.setNumThreads(1)
    indices = np.linspace(0, number_of_heads() - 1, options.heads).astype(int).tolist()
    Head(indices[0]).render()  # compiles
    started = time.perf_counter()
    persons = [Head(index) for index in indices]
    build = (time.perf_counter() - started) / len(persons)

    y, x = np.mgrid[:FRAME_SIZE, :FRAME_SIZE]
    at = np.dstack([x + 0.3, y + 0.4]).astype(np.float32)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
    parts = ("z-buffer", "remap", "jpeg", "frame", "frame and jpeg")
    times: dict[str, list[float]] = {name: [] for name in parts}
    for number in range(options.rounds):
        person = persons[number % len(persons)]
        wave = 0.02 * (1 + np.sin(number))
        units = {"AU12L": wave, "AU12R": wave, "AU4L": wave, "AU25": wave}
        pose = np.array([0.02, 0.01, 2, 1, 8 * np.sin(number), 3])
        shown = person.render(units, jaw=wave, pose=pose)

        def frame(person=person, units=units, wave=wave, pose=pose) -> np.ndarray:
            return person.render(units, jaw=wave, pose=pose)

        calls: dict[str, Callable[[], object]] = {
            "z-buffer": person.find_visible,
            "remap": lambda shown=shown: look_up(shown, at),  # type: ignore[misc]
            "jpeg": lambda shown=shown: cv2.imencode(".jpg", shown, quality),  # type: ignore[misc]
            "frame": frame,
            "frame and jpeg": lambda frame=frame: cv2.imencode(".jpg", frame(), quality),  # type: ignore[misc]
        }
        for name in parts:
            times[name].append(seconds_per_call(calls[name], FRAMES_PER_ROUND))
    medians = {name: 1e3 * float(np.median(values)) for name, values in times.items()}
    best = {name: 1e3 * min(values) for name, values in times.items()}
    print(f"{'part':16s} {'median':>8s} {'best':>8s}  ms per frame")
    for name in parts:
        print(f"{name:16s} {medians[name]:8.2f} {best[name]:8.2f}")
    print(f"one head: {build:.2f} s")
    floor = medians["z-buffer"] + medians["remap"] + medians["jpeg"]
    line = Line(
        "a rendered 320 x 320 frame of a head",
        "ms",
        "one z-buffer, one remap and one JPEG",
        medians["frame and jpeg"],
        floor=floor,
    )
    write(options, [line], milliseconds=medians, milliseconds_best=best, seconds_per_head=build)


if __name__ == "__main__":
    main()
