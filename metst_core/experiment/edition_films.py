"""The films that the second edition of the bundled weights is made from, and what is measured in them.

The persons of SynthME 2 are parted into three: those who *train*, those who *choose* (candidates, threshold, half
length, calibration) and those who *report*.  No person is in two parts.  Films and their motion are kept in a work
folder, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from metst_core.datasets import Dataset
from metst_core.experiment.perturbing import change_of, perturbations
from metst_core.files import content_hash, is_whole, sealed_path, value_hash
from metst_core.inference import MediaPipeFaceFinder, QualityLog, Seen, phases_of
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.motion import MotionWindow, stream_motion
from metst_core.synthetic import generate
from metst_core.tables import of_video
from metst_core.video import read_frames
from metst_core.workers import one_opencv_thread

FPS = 30.0
WINDOW = 50
SEED = 2026
FEATURES = "metst_plus"


@dataclass(frozen=True)
class FilmSet:
    """Films of some persons: a film of `seconds` for each, by a tier and a prior of SynthME 2.

    `me_per_minute` is raised above what the sheets say, so that there are MEs enough; persons differ less in it than in
    the sheets (`rate_spread` .3).  Measured in windows of so many `phases`.  knobs: of the conditions, where they are not
    the tier's.  A third of the films is also taken in perturbed (`perturbing`) where `perturbed` says so.
    """

    tier: str
    prior: str
    first_subject: int
    n_subjects: int
    seconds: float
    me_per_minute: float
    perturbed: bool = False
    phases: int = 1
    knobs: tuple[tuple[str, float], ...] = ()

    @property
    def name(self) -> str:
        """Of its folder; another for every other set."""
        made = [self.n_subjects, self.seconds, self.me_per_minute, self.knobs]
        return f"{self.tier}_{self.prior}_{self.first_subject}_{value_hash(made)[:6]}"

    def generate(self, work: Path, n_jobs: int = 1) -> Dataset:
        """The films, rendered or as they lie in `work`."""
        knobs: dict[str, Any] = dict(self.knobs)
        return generate(
            work / "films" / self.name, self.n_subjects, 1, self.seconds, FPS, SEED, tier=self.tier,
            prior=self.prior, first_subject=self.first_subject, n_jobs=n_jobs, progress=False,
            me_per_minute=self.me_per_minute, rate_spread=0.3,
            **knobs,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class FilmMotion:
    """A film as it was measured.

    windows: of several phases.  n_frames; truth: the rows of `truth/micro_expressions.csv` of this film.
    seen: the looks at the face, per frame, where there are several phases.  changed: the perturbation, "" for none.
    """

    subject: str
    video: str
    tier: str
    prior: str
    windows: list[MotionWindow]
    n_frames: int
    truth: pd.DataFrame
    seen: Seen
    changed: str = ""

    @property
    def number(self) -> int:
        """Of the person."""
        return int("".join(c for c in self.subject if c.isdigit()))


def measured(
    sets: Sequence[FilmSet], work: Path, n_jobs: int = 1, changes: Sequence[str] = ()
) -> list[FilmMotion]:
    """Every film of the sets, rendered and measured, or as it is kept in `work`.

    changes: names of `perturbing.change_of`; then every film is measured in each of these, and not as it is.
    """
    jobs = []
    for each in sets:
        dataset = each.generate(work, n_jobs)
        made = pd.read_csv(work / "films" / each.name / "truth" / "micro_expressions.csv")
        for number, (subject, video) in enumerate(
            zip(dataset.videos["subject"], dataset.videos["video"], strict=True)
        ):
            truth = of_video(made, subject, video)
            path = Path(dataset.path(subject, video))
            for changed in changes or _changes(each, number):
                jobs.append((each, subject, video, path, truth, changed))
    kept = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_kept)(path, work, phases_of(each.phases, WINDOW), changed)
        for each, _, _, path, _, changed in jobs
    )
    films = []
    for (each, subject, video, _, truth, changed), place in zip(
        jobs, tqdm(kept, total=len(jobs), desc="motion"), strict=True
    ):
        films.append(_read(place, subject, video, each, truth, changed))
    return films


def _changes(each: FilmSet, number: int) -> list[str]:
    """A film as it is, and for every third one of the perturbations in turn."""
    kinds = list(perturbations(Path()))
    place = (each.first_subject + number) // 3
    return ["", kinds[place % len(kinds)]] if each.perturbed and number % 3 == 0 else [""]


def _kept(path: Path, work: Path, phases: tuple[int, ...], changed: str) -> Path:
    """The file with the motion of a film, made if it is not there; with several phases also the looks at the face."""
    name = value_hash([content_hash(path), list(phases), changed, WINDOW])[:24]
    place = work / "motion" / f"{name}.npz"
    if is_whole(place):
        return place
    log = QualityLog(MediaPipeFaceFinder(), FPS)

    def grey(folder: str) -> Iterator[np.ndarray]:
        frames = read_frames(path)
        for frame in change_of(changed, Path(folder), FPS)(frames) if changed else frames:
            if len(phases) > 1:
                log.look(frame)
            yield cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)

    with one_opencv_thread(), tempfile.TemporaryDirectory() as folder:
        windows = list(stream_motion(grey(folder), MediaPipeLandmarker(), FEATURES, WINDOW, phases=phases))
    n_frames = max(w.start + len(w.has_face) for w in windows)
    with sealed_path(place) as temporary:
        np.savez(
            temporary, start=[w.start for w in windows], motion=np.stack([w.motion for w in windows]),
            head=np.stack([w.head for w in windows]), n=n_frames, **log.seen(n_frames)._asdict(),
        )  # fmt: skip
    return place


def _read(
    place: Path, subject: str, video: str, each: FilmSet, truth: pd.DataFrame, changed: str
) -> FilmMotion:
    with np.load(place, allow_pickle=False) as stored:
        n_frames = int(stored["n"])
        windows = [
            MotionWindow(
                int(s), m, np.ones(min(WINDOW, n_frames - int(s)), bool), h, np.zeros((2, WINDOW), np.int32)
            )
            for s, m, h in zip(stored["start"], stored["motion"], stored["head"], strict=True)
        ]
        seen = Seen(*(stored[name] for name in Seen._fields))
    return FilmMotion(subject, video, each.tier, each.prior, windows, n_frames, truth, seen, changed)
