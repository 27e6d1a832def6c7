"""Does the same micro-expression stay found when nothing that matters changes?

    python benchmarks/bench_stability.py [--rounds 1] [--persons 6] [--seconds 6] [--phases 1 3] [--jobs 2]

Films of synthetic persons that the network has not seen (SynthME 2, calm) are analysed as they are and perturbed: some
frames cut off the front, sensor noise, another size, other codecs, other frame rates (the film is rendered anew).  For
every micro-expression that is found in the film as it is (its apex touched), and every kind of perturbation:

* sd: the standard deviation of the highest smoothed score in it, over the perturbations of that kind;
* stays: the share of the perturbations in which it is found.

The goals: found in at least 9 of 10, and a standard deviation under .08.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common
import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from metst_core.experiment.perturbing import CODECS, encoded, perturbations
from metst_core.inference import Analysis, Findings, load_model
from metst_core.synthetic import generate
from metst_core.video import read_frames, write_video
from metst_core.workers import one_opencv_thread

TRIMS = (2, 5, 9, 12, 16, 21)
RATES = (24.0, 25.0, 29.97, 50.0, 60.0, 120.0)
FIRST_PERSON = 40
"""Of those who report (`metst_core.experiment.edition`): they neither trained nor chose."""


def perturbed(path: Path, fps: float, folder: Path) -> Iterator[tuple[str, Path, int]]:
    """Kind, film, and how many frames were cut off its front."""
    place = folder / "perturbed.mkv"
    for n in TRIMS:
        write_video(place, (f for i, f in enumerate(read_frames(path)) if i >= n), fps)
        yield "trim", place, n
    for name, change in perturbations(folder, fps).items():
        kind = name.split()[0]
        if name in CODECS:
            yield "codec", encoded(place, read_frames(path), name, fps), 0
        else:
            write_video(place, change(read_frames(path)), fps)
            yield kind, place, 0


def analysed(path: Path, phases: int) -> Findings:
    analysis = Analysis(path, phases=phases)
    for _ in analysis:
        pass
    return analysis.result()


def seen(found: Findings, onset: float, offset: float) -> tuple[float, bool]:
    """The highest smoothed score between two times, and whether a find has its apex there."""
    inside = (found.times >= onset - 1e-6) & (found.times <= offset + 1e-6)
    apex = found.table["apex_seconds"]
    return float(np.nanmax(found.smoothed[inside])), bool(((apex >= onset) & (apex <= offset)).any())


def measure(options: argparse.Namespace, phases: int, person: int, folder: Path) -> pd.DataFrame:
    """A row for every micro-expression of a person and perturbation: film, number, kind, score, whether it was found, and so before."""

    def rendered(fps: float) -> Any:
        return generate(
            folder / f"set_{fps}_{person}", 1, 1, options.seconds, fps, seed=19, prior="sammlv",
            me_per_minute=30, rate_spread=0.3, first_subject=FIRST_PERSON + person, progress=False,
        )  # fmt: skip

    base = rendered(30.0)
    [subject], [video] = base.videos["subject"], base.videos["video"]
    truth = base.annotations[["onset", "offset"]].to_numpy() / 30.0
    path = Path(base.path(subject, video))
    before = analysed(path, phases)
    rows: list[tuple[Any, ...]] = []
    with tempfile.TemporaryDirectory() as own, one_opencv_thread():
        for kind, film, cut in perturbed(path, 30.0, Path(own)):
            found = analysed(film, phases)
            rows += _rows(subject, kind, before, truth, found, truth - cut / 30.0)
        for fps in options.rates:
            other = rendered(fps)
            there = other.annotations[["onset", "offset"]].to_numpy() / fps
            if len(there) == len(truth):
                found = analysed(Path(other.path(subject, video)), phases)
                rows += _rows(subject, "rate", before, truth, found, there)
    return pd.DataFrame(rows, columns=["film", "me", "kind", "score", "found", "before"])


def _rows(
    film: str, kind: str, before: Findings, truth: np.ndarray, after: Findings, there: np.ndarray
) -> Iterator[tuple[Any, ...]]:
    for number, ((onset, offset), (first, last)) in enumerate(zip(truth, there, strict=True)):
        if first >= 0:  # not cut off
            yield film, number, kind, *seen(after, first, last), seen(before, onset, offset)[1]


def main() -> None:
    parser = common.parser(__doc__, "stability", rounds=1)
    parser.add_argument("--persons", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--phases", type=int, nargs="+", default=[1, load_model().phases])
    parser.add_argument("--rates", type=float, nargs="*", default=list(RATES))
    options = parser.parse_args()
    lines, details = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for phases in options.phases:
            jobs = (
                delayed(measure)(options, phases, person, Path(folder)) for person in range(options.persons)
            )
            table = pd.concat(Parallel(options.jobs)(jobs), ignore_index=True)
            known = table[table["before"]]
            for kind, rows in known.groupby("kind"):
                sd = float(rows.groupby(["film", "me"])["score"].std(ddof=0).mean())
                name = f"{kind}, {phases} phase(s)"
                lines.append(
                    common.Line(f"{name}: sd of the score", "", "the goal", sd, floor=0.08, goal=1.0)
                )
                stays = float(rows["found"].mean())
                lines.append(
                    common.Line(f"{name}: not found any more", "", "the goal", 1 - stays, floor=0.1, goal=1.0)
                )
            details[f"{phases} phases"] = {
                "micro_expressions": int(table.groupby(["film", "me"]).ngroups),
                "found_before": int(known.groupby(["film", "me"]).ngroups),
            }
    common.write(options, lines, counts=details)


if __name__ == "__main__":
    main()
