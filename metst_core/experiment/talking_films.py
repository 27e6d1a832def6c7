"""The films that the weights "aligned" are made from and tested on, and what is measured in them.

The persons of SynthME 2 are parted into three: those who *train*, those who *choose* (threshold, gates, calibration) and
those who *report*.  No person is in two parts.  Films, plantings and features are kept in a work folder, so that a run
which was stopped goes on where it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from metst_core.aligned import (
    EYES,
    FPS,
    GRID,
    LAGS,
    PARTS,
    ROWS,
    SIDE,
    aligned_frames,
    coarser,
    place_of,
    without_whole,
)
from metst_core.datasets import Dataset, load_dataset
from metst_core.files import content_hash, is_whole, sealed_path, value_hash
from metst_core.footage import plant
from metst_core.inference import MediaPipeFaceFinder, QualityLog, Seen, Steps, shots_of, with_cuts
from metst_core.landmarks import IBUG_TO_MESH, MediaPipeLandmarker
from metst_core.synthetic import UNITS, generate, inter_ocular, read_truth, unit_field
from metst_core.tables import of_video
from metst_core.video import read_frames
from metst_core.workers import one_opencv_thread

SEED = 61

FEATURES_VERSION = 2
"""Of what is kept: another number where the same film gives other features."""

_FINER = 4  # points to a side of a field of the grid, at which an action unit's field is computed


@dataclass(frozen=True)
class FilmSet:
    """Films of some persons, one of `seconds` for each, by a tier of SynthME 2 and the prior `dense`.

    `me_per_minute` is kept low: with micro-expressions come macro-expressions, two of each.
    """

    name: str
    tier: str
    first_subject: int
    n_subjects: int
    seconds: float
    me_per_minute: float = 4.0

    def generate(self, work: Path, jobs: int = 1) -> Dataset:
        """The films, rendered by `jobs` processes or as they lie in `work`."""
        return generate(
            work / "films" / self.name, self.n_subjects, 1, self.seconds, FPS, SEED, tier=self.tier, prior="dense",
            first_subject=self.first_subject, n_jobs=jobs, progress=False, me_per_minute=self.me_per_minute, rate_spread=0.0,
        )  # fmt: skip

    def planted(self, work: Path, per_minute: float, n_films: int | None = None, turn: int = 0) -> Dataset:
        """The same films with micro-expressions planted into their pixels (`footage.plant`); the first `n_films` alone.

        turn: others in every turn.
        """
        films = self.generate(work)
        paths = [films.path(s, v) for s, v in keys_of(films)][:n_films]
        place = work / "planted" / (f"{self.name}_{turn}" if turn else self.name)
        plant(
            paths,
            place,
            prior="dense",
            strengths=(0.008, 0.035),
            seed=SEED + turn,
            per_minute=per_minute,
            progress=False,
        )
        return load_dataset("folder", place)


def keys_of(films: Dataset) -> list[tuple[str, str]]:
    """Subject and video of every film of a set."""
    return list(zip(films.videos["subject"], films.videos["video"], strict=True))


@dataclass(frozen=True, eq=False)
class FilmFlow:
    """A film of T frames as the instrument measures it.

    cells: `(T, 3, 12, 12, 2)` float16, see `aligned.AlignedFrame`.  has_face: `(T,)`.  seen: the looks at the face.
    fields: `(U, 12, 12, 2)`, the flow in the crop that a movement of one inter-ocular distance of each unit is, on this
        person's resting face.
    truth: rendered micro-expressions, rows of `truth/micro_expressions.csv`; intensity `(T, U)`, of them alone.
    """

    subject: str
    cells: np.ndarray
    has_face: np.ndarray
    seen: Seen
    fields: np.ndarray
    truth: pd.DataFrame
    intensity: np.ndarray

    @property
    def n_frames(self) -> int:
        return len(self.cells)


def flows_of(
    films: Dataset, work: Path, rendered: Dataset | None = None, desc: str = "features", jobs: int = 1
) -> list[FilmFlow]:
    """Every film of a set as it is measured (by `jobs` processes), kept in `work`.

    rendered: the set that a planted one was made from, whose truth knows the resting faces.
    """
    flows = []
    paths = [Path(films.path(*key)) for key in keys_of(films)]
    places = Parallel(jobs)(delayed(_kept)(path, work) for path in tqdm(paths, desc=desc, unit="film"))
    for key, path, place in zip(keys_of(films), paths, places, strict=True):
        root = path.parents[1]
        made = read_truth(root, *key)
        rest = made if rendered is None else read_truth(Path(rendered.path(*key)).parents[1], *key)
        table = pd.read_csv(root / "truth" / "micro_expressions.csv", dtype={"subject": str, "video": str})
        with np.load(place, allow_pickle=False) as kept:
            seen = Seen(*(kept[f"seen_{name}"] for name in Seen._fields))
            flows.append(FilmFlow(
                key[0], kept["cells"], kept["has_face"], seen, fields_of(rest["mesh"]),
                of_video(table, *key).reset_index(drop=True), made["me_intensity"],
            ))  # fmt: skip
    return flows


def _kept(path: Path, work: Path) -> Path:
    """The file with the features of a film, made if it is not there."""
    place = work / "features" / f"{value_hash([content_hash(path), FEATURES_VERSION])[:24]}.npz"
    if is_whole(place):
        return place
    log, step = QualityLog(MediaPipeFaceFinder(), FPS), Steps()

    def looked_at() -> Iterator[tuple[tuple[np.ndarray, bool], float]]:
        for frame in read_frames(path):
            log.look(frame)
            picture = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            yield (picture, log.came_back), step(picture)

    def grey() -> Iterator[tuple[np.ndarray, bool]]:
        for (picture, came_back), is_cut in with_cuts(looked_at()):
            yield picture, is_cut or came_back

    find = MediaPipeLandmarker()
    with one_opencv_thread():
        shots = (aligned_frames(pictures, find) for _, pictures in shots_of(grey()))
        frames = [(f.cells.astype(np.float16), f.has_face) for f in itertools.chain.from_iterable(shots)]
    cells, has_face = (np.array(part) for part in zip(*frames, strict=True))
    seen = log.seen(len(cells))
    with sealed_path(place) as temporary:
        np.savez(
            temporary, cells=cells, has_face=has_face, **{f"seen_{n}": v for n, v in seen._asdict().items()}
        )
    return place


def fields_of(mesh: np.ndarray) -> np.ndarray:
    """What a movement of one inter-ocular distance of every unit is in the crop, `(U, 12, 12, 2)`: pixels.

    mesh: `(478, 2)` of the resting face, pixels of any picture.  What moves as a whole is taken off, as of any flow.
    """
    place = place_of(mesh[list(IBUG_TO_MESH)])
    in_crop = mesh @ place[:, :2].T + place[:, 2]
    step = SIDE / GRID / _FINER
    axis = ((np.arange(GRID * _FINER) + 0.5) * step - 0.5).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    fields = np.zeros((len(UNITS), *coarser(np.zeros((GRID, GRID, 2))).shape), np.float32)
    for number, unit in enumerate(UNITS):
        if unit.au in (None, 45):  # neither gaze nor blinks are planted
            continue
        fine = unit_field(unit, in_crop, x, y) * np.float32(inter_ocular(in_crop))
        coarse = fine.reshape(GRID, _FINER, GRID, _FINER, 2).mean(axis=(1, 3))
        fields[number] = coarser(without_whole(coarse)[0])
    return fields


def planted_cells(fields: np.ndarray, intensity: np.ndarray) -> np.ndarray:
    """What movements of `intensity (T, U)` add to the cells of their film, gain 1: `(T, 3, 12, 12, 2)`.

    Each step's flow is the unit's field times the difference of its intensity over that step.
    """
    steps = []
    for lag in LAGS:
        before = np.concatenate([np.repeat(intensity[:1], lag, axis=0), intensity])[: len(intensity)]
        steps.append(intensity - before)
    return np.einsum("ltu,uyxc->tlyxc", np.array(steps, np.float32), fields, optimize=True)


def strength_of_parts(fields: np.ndarray, units: np.ndarray) -> np.ndarray:
    """How far units at `units (U,)` inter-ocular distances move the upper and the lower face at most: `(2,)`, IOD."""
    moved = np.einsum("u,uyxc->yxc", units, fields)
    lengths = np.hypot(moved[..., 0], moved[..., 1]) / EYES
    return np.array([lengths[slice(*ROWS[part])].max() for part in PARTS])


def measured_gain(flat: Sequence[FilmFlow], planted: Sequence[FilmFlow]) -> list[dict[str, float]]:
    """How planted pixels compare with planted features, by lag: slope and correlation over all cells that are to move.

    flat: the films as they are; planted: the same with movements in their pixels.
    """
    rows = []
    for number, lag in enumerate(LAGS):
        wanted, seen = [], []
        for before, after in zip(flat, planted, strict=True):
            n = min(before.n_frames, after.n_frames)
            extra = (after.cells[:n, number].astype(float) - before.cells[:n, number]).reshape(n, -1)
            made = planted_cells(before.fields, after.intensity[:n])[:, number].reshape(n, -1)
            moving = np.abs(made) > 0.2 * np.abs(made).max()
            wanted.append(made[moving])
            seen.append(extra[moving])
        x, y = np.concatenate(wanted), np.concatenate(seen)
        rows.append({
            "lag": lag, "gain": float((x * y).sum() / (x * x).sum()), "correlation": float(np.corrcoef(x, y)[0, 1]),
            "n": len(x),
        })  # fmt: skip
    return rows
