"""In which frames anything can be found: recall of the bundled weights on movements planted into films of many kinds.

    python -m metst_core.footage.evidence [--work DIR] [--out FILE] [--jobs N]

Synthetic persons (heads of version 2, and the photographed portrait of version 1; without micro-expressions of their own)
are filmed calm, swaying, talking, in interviews; calm films are also darkened, blurred, made small, or filmed from the side.  Movements of about .018 inter-ocular
distances are planted into each, and whether they are touched is related to the unrest of the face around them, and to
its turn, brightness, sharpness and size.  The limits are where the expected share falls under 0.2; beyond what was measured
nothing counts as judged.  `--work` keeps the counts of every film, so that a run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from metst_core.files import run_record, write_json
from metst_core.footage.films import Film
from metst_core.footage.findable import limits_of, plan_rounds
from metst_core.footage.measuring import measure
from metst_core.footage.plan import Manner
from metst_core.footage.recall import fit_curve
from metst_core.footage.track import track
from metst_core.inference import JUDGED_ASSET, JUDGED_LEAST, JUDGED_STRENGTH, OF_THE_FACE, PARTS, load_model
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.metrics import Intervals
from metst_core.synthetic import HEAD_NAMES, PRIORS, draw_person, face_of, generate, plan_film, shoot
from metst_core.tables import write_table
from metst_core.video import write_video
from metst_core.workers import one_opencv_thread

SEED = 2718
WIDTH = 1.25
"""Strengths go from `JUDGED_STRENGTH` divided by this to as many times it."""


@dataclass(frozen=True)
class Case:
    """A kind of film: tier and knobs of `synthetic.conditions_of`, the head's yaw in degrees, and what is done to the frames.

    version: 2, or 1 for the portrait (`synthetic.difficulty_of`).
    dim: factor on the grey levels.  blur: standard deviation, pixels of the 320 x 320 frame.  small: factor on the size.
    of: which limit it is measured for.
    """

    name: str
    of: str
    tier: str = "calm"
    knobs: dict[str, Any] = field(default_factory=dict)
    yaw: float = 0.0
    dim: float = 1.0
    blur: float = 0.0
    small: float = 1.0
    version: int = 2


CASES = (
    Case("calm", "unrest"),
    Case("swaying", "unrest", knobs={"sway": 0.006, "head_shift": 0.08}),
    Case("restless", "unrest", knobs={"sway": 0.012, "head_degrees": 6.0, "posture_per_minute": 8.0}),
    Case("murmuring", "unrest", knobs={"speech_share": 0.45, "speech_jaw": 0.05}),
    Case("listening", "unrest", "interview", {"speech_share": 0.0, "beats_per_minute": 0.0}),
    Case("interview", "unrest", "interview"),
    Case("portrait calm", "unrest", "default", version=1),
    Case("portrait swaying", "unrest", "default", {"drift": 0.025, "turn": 1.0, "rotation": 0.6}, version=1),
    Case("portrait talking", "unrest", "default", {"speech_share": 0.6, "speech_strength": 0.02}, version=1),
    Case("dim", "brightness", dim=0.35),
    Case("dark", "brightness", dim=0.12),
    Case("darker", "brightness", dim=0.05),
    Case("soft", "sharpness", blur=2.0),
    Case("blurred", "sharpness", blur=5.0),
    Case("half", "eye_distance", small=0.5),
    Case("quarter", "eye_distance", small=0.25),
    Case("turned", "turn", yaw=12.0),
    Case("turned further", "turn", yaw=25.0),
)

SECONDS = 10.0
PERSONS = 2
CAST = range(50, 62)
"""Persons who are filmed: those who choose in the recipe of the bundled weights, so that neither who trained nor who reports is asked."""
EVENTS = 14


def film_of(case: Case, person: int, folder: Path, seconds: float = SECONDS) -> Film:
    """Film a person of this kind, without micro-expressions, into `folder`."""
    if case.version == 1:
        made = generate(
            folder / "portrait", 1, 1, seconds, seed=SEED, tier=case.tier, version=1, first_subject=person, me_free=1,
            progress=False, **case.knobs,
        )  # fmt: skip
        return Film(Path(made.videos["path"].iloc[0]), f"person{person}", case.name)
    prior = dataclasses.replace(PRIORS["dense"], me_per_minute=0.0)
    plan = plan_film(
        draw_person(SEED, person), 0, seconds, seed=SEED, prior=prior, tier=case.tier, **case.knobs
    )
    head = plan.head.copy()
    head[:, HEAD_NAMES.index("yaw")] += case.yaw
    frames = shoot(dataclasses.replace(plan, head=head), face_of(SEED, person), SEED)
    path = folder / f"person{person}" / f"{case.name}.mp4"
    write_video(path, (_altered(frame, case) for frame in frames), plan.fps)
    return Film(path, f"person{person}", case.name)


def _altered(frame: np.ndarray, case: Case) -> np.ndarray:
    if case.dim != 1:
        frame = cv2.convertScaleAbs(frame, alpha=case.dim)
    if case.blur:
        frame = cv2.GaussianBlur(frame, (0, 0), case.blur)
    if case.small != 1:
        side = 2 * round(case.small * frame.shape[0] / 2)
        frame = cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA)
    return frame


def counts_of(film: Film, n_events: int = EVENTS, progress: bool = False) -> pd.DataFrame:
    """What was planted into a film, with the state of the face at the apex; columns of `Limits.events` and `OF_THE_FACE`."""
    manner = Manner("dense", (JUDGED_STRENGTH / WIDTH, JUDGED_STRENGTH * WIDTH), 24.0, SEED)
    face = track(film, progress=progress)
    if not face.usable.mean() > 0.3:
        # what is too small or turned to be planted in as a rule is planted in here, to see whether it is found
        face = dataclasses.replace(
            face, marks={n: m for n, m in face.marks.items() if n in ("face_lost", "cut")}
        )
    rounds, _ = plan_rounds(film, face, manner, n_events)
    base = measure(film, load_model(), face, MediaPipeLandmarker(), progress)
    events = limits_of(base, rounds, manner, progress=progress).events
    for name in OF_THE_FACE:
        events[name] = getattr(face.seen, name)[events["apex"]]
    return events.assign(case=film.video, subject=film.subject)


def limits_from(counts: pd.DataFrame) -> dict[str, Any]:
    """The limits of a `Judgement`, and what they rest on, from counts of all cases."""
    fresh = counts[~counts["before"].astype(bool)]  # the others are found anyway, which says nothing
    rows = fresh.merge(pd.DataFrame([(c.name, c.of) for c in CASES], columns=["case", "of"]), on="case")
    unrest, bins = {}, {}
    for part in PARTS:
        of_part = rows[(rows["of"] == "unrest") & (rows["part"] == part)]
        unrest[part] = unrest_limit(of_part["motion"].to_numpy(), of_part["touched"].to_numpy(bool))
        groups = of_part.groupby(pd.cut(of_part["motion"], [0, 0.5, 1, 1.5, 2, 3, 4, 1e9]), observed=True)
        bins[part] = [
            {"to": float(span.right), "n": len(group), "touched": int(group["touched"].sum())}
            for span, group in groups
        ]
    face, levels = {}, {}
    calm = rows[rows["case"] == "calm"]
    for name, side in OF_THE_FACE.items():
        cases = [calm, *(group for _, group in rows[rows["of"] == name].groupby("case"))]
        if len(cases) == 1:
            continue
        levels[name] = [
            {
                "level": float(group[name].median()), "n": len(group),
                "touched": int(group["touched"].sum()), "case": str(group["case"].iloc[0]),
            }
            for group in cases
        ]  # fmt: skip
        face[name] = face_limit(levels[name], side)
    n_unrest = sum(row["n"] for rows_of_part in bins.values() for row in rows_of_part)
    return {
        "unrest": unrest, "face": face, "by_unrest": bins, "by_level": levels, "left_out": len(counts) - n_unrest
    }  # fmt: skip


def unrest_limit(unrest: np.ndarray, touched: np.ndarray) -> float:
    """The unrest at which the expected share falls to `JUDGED_LEAST`: the fitted curve over 1 / unrest.

    Where the curve stays above it, the most unrest that was measured; where it never reaches it, 0.
    """
    curve = fit_curve(1 / unrest, touched, Intervals(n=1))
    if curve is None:
        return 0.0
    grid = np.geomspace(unrest.min(), unrest.max(), 400)
    above = grid[curve(1 / grid) >= JUDGED_LEAST]
    return float(above.max()) if len(above) else 0.0


def face_limit(levels: Sequence[dict[str, Any]], side: str) -> float:
    """Where judging ends along levels: between the last with the least share and the next one (in ratio); else at the last."""
    ordered = sorted(levels, key=lambda row: row["level"], reverse=side == "least")
    good: float | None = None
    for row in ordered:
        if row["touched"] < JUDGED_LEAST * row["n"]:
            return row["level"] if good is None else float(np.sqrt(max(good, 1e-6) * max(row["level"], 1e-6)))
        good = row["level"]
    return float(ordered[-1]["level"])


def all_counts(
    work: Path, cases: Sequence[Case] = CASES, persons: int = PERSONS, n_jobs: int = 1
) -> pd.DataFrame:
    """The counts of all cases; those that lie in `work`, of the same weights, are kept."""
    jobs = list(_jobs(cases, persons))
    place = work / load_model().identity[:12]
    kept = Parallel(n_jobs, return_as="generator")(delayed(_counted)(place, *job) for job in jobs)
    parts = [pd.read_csv(path) for path in tqdm(kept, total=len(jobs), desc="evidence", unit="film")]
    return pd.concat(parts, ignore_index=True)


def _counted(work: Path, number: int, case: Case, person: int) -> Path:
    """The file with the counts of one film, made if it is not there."""
    kept = work / f"{case.name.replace(' ', '_')}_{number}.csv"
    if not kept.is_file():
        with tempfile.TemporaryDirectory() as folder, one_opencv_thread():
            write_table(counts_of(film_of(case, person, Path(folder))), kept)
    return kept


def _jobs(cases: Sequence[Case], persons: int) -> Iterator[tuple[int, Case, int]]:
    """Every film with its person: for the unrest others in every case, for the face those of the calm films in turn."""
    of_unrest = [case for case in cases if case.of == "unrest"]
    for i, case in enumerate(of_unrest):
        yield from ((number, case, CAST[(i * persons + number) % len(CAST)]) for number in range(persons))
    for i, case in enumerate(case for case in cases if case.of != "unrest"):
        yield 0, case, CAST[i % persons]


def main() -> None:
    """Measure, and write the asset."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=Path("runs/evidence"), help="where counts are kept (runs/evidence)"
    )
    parser.add_argument(
        "--out", type=Path, default=JUDGED_ASSET, help="the file to write (the package's own)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="films worked on at once (1)")
    options = parser.parse_args()
    counts = all_counts(options.work, n_jobs=options.jobs)
    found = limits_from(counts)
    about = {
        "strength": JUDGED_STRENGTH, "least": JUDGED_LEAST, "model": load_model().name, "n": len(counts),
        "films": len(counts[["case", "subject"]].drop_duplicates()), "seconds": SECONDS, "seed": SEED,
        "record": run_record(),
    }  # fmt: skip
    print(write_json({**found, **about}, options.out))


if __name__ == "__main__":
    main()
