"""Speed of films of version 2: milliseconds per 320 x 320 frame on one core, shot and coded, and against the floor.

The floor is what no renderer of this kind can do without: finding what is seen (the z-buffer alone), one `cv2.remap` of
the frame, and coding it (JPEG; H.264 where the tier says so).  The parts are timed in turn, person after person, in
processor time, and the means compared.

    python benchmarks/bench_shooting.py [--rounds 3] [--persons 8] [--tier calm] [--json FILE]
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from common import Line, parser, seconds_per_call, write

from metst_core.synthetic import CONDITIONS, draw_person, face_of, head, look_up, plan_film, shoot
from metst_core.synthetic.cast import look_of
from metst_core.video import write_video

FRAMES_PER_ROUND = 30


def main() -> None:
    made = parser(__doc__, "shooting", rounds=3)
    made.add_argument("--tier", choices=CONDITIONS, default="calm")
    made.add_argument("--persons", type=int, default=8, help="the first so many persons with a head (8)")
    options = made.parse_args()
    cv2.setNumThreads(1)
    persons = [n for n in range(2 * options.persons) if look_of(n).head >= 0][: options.persons]
    times: dict[str, list[float]] = {}
    for person in persons:
        for name, seconds in timed(person, options.tier, options.rounds).items():
            times.setdefault(name, []).extend(seconds)
    of_person = np.array(times["shot and coded"]).reshape(len(persons), -1)
    each = {str(n): round(1e3 * float(np.median(t)), 3) for n, t in zip(persons, of_person, strict=True)}
    print("a frame of each person, ms:", "  ".join(f"{n}: {t:.2f}" for n, t in each.items()))
    means = {name: 1e3 * float(np.mean(values)) for name, values in times.items()}
    for name, value in means.items():
        print(f"{name:16s} {value:8.2f} ms per frame")
    floor = means["z-buffer"] + means["remap"] + means["coding"]
    line = Line(
        f"a frame of a film, tier {options.tier}",
        "ms",
        "one z-buffer, one remap and the coding",
        means["shot and coded"],
        floor=floor,
    )
    write(options, [line], milliseconds=means, milliseconds_of_person=each)


def timed(person: int, tier: str, rounds: int) -> dict[str, list[float]]:
    """Part of the work -> its seconds per frame, a value per round, for one person."""
    face, model = face_of(0, person), head(look_of(person).head)
    plan = plan_film(draw_person(0, person), 0, 60.0, 30.0, 0, "dense", tier)
    frames = itertools.cycle(list(itertools.islice(shoot(plan, face, 0), FRAMES_PER_ROUND)))
    running = itertools.chain.from_iterable(shoot(plan, face, 0) for _ in itertools.count())
    y, x = np.mgrid[:320, :320]
    at = np.dstack([x + 0.3, y + 0.4]).astype(np.float32)
    quality = [cv2.IMWRITE_JPEG_QUALITY, plan.camera.quality]
    with tempfile.TemporaryDirectory() as folder:

        def coded(source: Iterator[np.ndarray]) -> Callable[[], object]:
            """Codes as many frames as a round has, as the tier does."""

            def code() -> None:
                some = itertools.islice(source, FRAMES_PER_ROUND)
                if plan.camera.codec == "h264":
                    write_video(Path(folder) / "film.mp4", some, 30, crf=plan.camera.quality)
                    return
                for frame in some:
                    cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), quality)

            return code

        parts: dict[str, tuple[Callable[[], object], int]] = {
            "z-buffer": (model.find_visible, FRAMES_PER_ROUND),
            "remap": (lambda: look_up(next(frames), at), FRAMES_PER_ROUND),
            "coding": (coded(frames), 1),
            "shot and coded": (coded(running), 1),
        }
        times: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(rounds):
            for name, (call, repeats) in parts.items():
                times[name].append(seconds_per_call(call, repeats) * repeats / FRAMES_PER_ROUND)
    return times


if __name__ == "__main__":
    main()
