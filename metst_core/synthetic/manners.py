"""How the films of a set are made, version 1's way and version 2's: tables, the note of the set, each film, its truth."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np
import pandas as pd

from metst_core.checks import as_path
from metst_core.errors import InputError, MissingError
from metst_core.files import UNREADABLE, check_seal, content_hash, sealed_path
from metst_core.synthetic.action_units import UNIT_NAMES
from metst_core.synthetic.channels import MOUTH_UNITS
from metst_core.synthetic.conditions import Conditions
from metst_core.synthetic.difficulty import Difficulty
from metst_core.synthetic.faces import Face, channels_of, face_of, rest_of
from metst_core.synthetic.films import FILM_VERSION, FilmPlan, film_suffix, film_tables, plan_film
from metst_core.synthetic.mjpeg import write_mjpeg
from metst_core.synthetic.persons import draw_person
from metst_core.synthetic.plan import HEAD_NAMES, VERSION, Plan, plan_video
from metst_core.synthetic.portraits import FRAME_SIZE, Identity, identity
from metst_core.synthetic.priors import Prior
from metst_core.synthetic.render import Renderer
from metst_core.synthetic.set_tables import events_table, in_order, subject_id, video_id
from metst_core.synthetic.shooting import shoot
from metst_core.tables import VIDEO_COLUMNS, check_annotations
from metst_core.video import write_video


class Manner(Protocol):
    """How the films of a set are made; the same for all of them."""

    @property
    def suffix(self) -> str:
        """Of the films' files, without the dot."""

    def note(self) -> dict[str, Any]:
        """What `generation.json` keeps; portraits by their bytes, wherever they lie."""

    def tables(self, subjects: Sequence[int], n_videos: int) -> dict[str, pd.DataFrame]:
        """All tables of the set, from its plans alone."""

    def film(self, path: Path, truth: Path, subject: int, video: int) -> None:
        """Make one film and its truth."""


def plan_tables(
    seed: int, subjects: Sequence[int], n_videos: int, seconds: float, fps: float, difficulty: Difficulty
) -> dict[str, pd.DataFrame]:
    """All tables of a set of version 1, from its plans alone: path in the set -> table.  Nothing is rendered."""
    events, videos = [], []
    for s in subjects:
        for v in range(n_videos):
            plan = plan_video(seed, s, v, seconds, fps, difficulty)
            ids = (subject_id(s), video_id(v))
            videos.append((*ids, float(fps), plan.n_frames, f"{ids[0]}/{ids[1]}.avi"))
            events += [(*ids, e) for e in in_order(plan.events)]
    table = events_table(events)
    micro = table[table["kind"] == "micro"].drop(columns="kind").reset_index(drop=True)
    return {
        "annotations.csv": check_annotations(micro),
        "videos.csv": pd.DataFrame(videos, columns=list(VIDEO_COLUMNS)),
        "truth/micro_expressions.csv": micro,
        "truth/distractors.csv": table[table["kind"] != "micro"].reset_index(drop=True),
    }


@dataclass(frozen=True)
class Portraits:
    """Version 1: one portrait, bent and warped."""

    seed: int
    seconds: float
    fps: float
    difficulty: Difficulty
    portraits: tuple[str, ...]
    suffix: ClassVar[str] = "avi"

    def note(self) -> dict[str, Any]:
        """Version, seed and knobs."""
        return {
            "version": VERSION,
            **dataclasses.asdict(self),
            "portraits": [content_hash(p) for p in self.portraits],
        }

    def tables(self, subjects: Sequence[int], n_videos: int) -> dict[str, pd.DataFrame]:
        """As `plan_tables`."""
        return plan_tables(self.seed, subjects, n_videos, self.seconds, self.fps, self.difficulty)

    def film(self, path: Path, truth: Path, subject: int, video: int) -> None:
        """One film of version 1."""
        renderer = _renderer(self.seed, subject, self.portraits)
        plan = plan_video(self.seed, subject, video, self.seconds, self.fps, self.difficulty)
        _write_jpegs(
            path, renderer.frames(plan, self.difficulty, self.seed), self.difficulty.jpeg_quality, self.fps
        )
        person: Identity = renderer.identity
        _write_truth(truth, {**_truth_of(plan), "mesh": person.mesh, "iod": np.array(person.iod)})


@functools.lru_cache(maxsize=2)
def _renderer(seed: int, subject: int, portraits: tuple[str, ...]) -> Renderer:
    return Renderer(identity(seed, subject, portraits))


@dataclass(frozen=True)
class Films:
    """Version 2: many heads, and lives by the sheets."""

    seed: int
    seconds: float
    fps: float
    prior: Prior
    conditions: Conditions
    portraits: tuple[str, ...]

    @property
    def suffix(self) -> str:
        """By the codec."""
        return film_suffix(self.conditions)

    def note(self) -> dict[str, Any]:
        """Version, seed, prior and knobs."""
        prior = {
            name: value
            for name, value in dataclasses.asdict(self.prior).items()
            if name not in ("sheets", "source")
        }
        return {
            "version": FILM_VERSION,
            "seed": self.seed,
            "seconds": self.seconds,
            "fps": self.fps,
            "prior": {**prior, "sheets": [sheet.name for sheet in self.prior.sheets]},
            "conditions": dataclasses.asdict(self.conditions),
            "portraits": [content_hash(p) for p in self.portraits],
        }

    def tables(self, subjects: Sequence[int], n_videos: int) -> dict[str, pd.DataFrame]:
        """As `films.film_tables`."""
        size = n_videos, self.seconds, self.fps
        knobs = dataclasses.asdict(self.conditions)
        return film_tables(self.seed, subjects, *size, self.prior, portraits=self.portraits, **knobs)

    def film(self, path: Path, truth: Path, subject: int, video: int) -> None:
        """One film of version 2."""
        face = _face(self.seed, subject, self.portraits)
        plan = plan_film(
            draw_person(self.seed, subject), video, self.seconds, self.fps, self.seed, self.prior,
            **dataclasses.asdict(self.conditions),
        )  # fmt: skip
        frames = shoot(plan, face, self.seed)
        if plan.camera.codec == "jpeg":
            pictures = (cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in frames)
            _write_jpegs(path, pictures, plan.camera.quality, self.fps)
        else:
            write_video(path, frames, self.fps, crf=plan.camera.quality)
        _write_truth(truth, _film_truth(plan, face))


@functools.lru_cache(maxsize=2)
def _face(seed: int, subject: int, portraits: tuple[str, ...]) -> Face:
    return face_of(seed, subject, portraits)


def _write_jpegs(path: Path, frames: Iterable[np.ndarray], quality: int, fps: float) -> None:
    """BGR frames as motion JPEG."""
    how = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    images = (cv2.imencode(".jpg", frame, how)[1].tobytes() for frame in frames)
    write_mjpeg(path, images, fps, (FRAME_SIZE, FRAME_SIZE))


def _truth_of(plan: Plan) -> dict[str, np.ndarray]:
    return {
        "units": np.array(UNIT_NAMES), "intensity": plan.intensity, "me_intensity": plan.me_intensity,
        "head_names": np.array(HEAD_NAMES), "head": plan.head, "gain": plan.gain, "shown": plan.shown,
        "fps": np.array(plan.fps),
    }  # fmt: skip


def _film_truth(plan: FilmPlan, face: Face) -> dict[str, np.ndarray]:
    """The truth of a film of version 2: what this face showed of the plan."""
    shown = face.shown(channels_of(plan.intensity, plan.mouth))
    return {
        **_truth_of(plan),
        "intensity": shown[:, : len(UNIT_NAMES)],
        "mouth_names": np.array(list(MOUTH_UNITS)), "mouth": shown[:, len(UNIT_NAMES) :],
        "rest": face.shown(rest_of(plan))[: len(UNIT_NAMES)], "light": plan.light, "exposure": plan.exposure, "noise": plan.noise,
        "mesh": face.mesh, "iod": np.array(face.iod),
    }  # fmt: skip


def _write_truth(path: Path, truth: dict[str, np.ndarray]) -> None:
    with sealed_path(path) as temporary:
        np.savez_compressed(temporary, **truth)  # type: ignore[arg-type]


def read_truth(root: str | Path, subject: str, video: str) -> dict[str, np.ndarray]:
    """The truth of one video of a generated set, by name.

    `intensity` and `me_intensity (T, U)` (inter-ocular distances; columns `units`), `head (T, 6)` (columns
    `head_names`, see `HEAD_NAMES`), `gain (T,)`, `shown (T,)`, `mesh (478, 2)` and `iod` of the neutral
    face (frame pixels), `fps`.  Version 2 adds `mouth (T, M)` (columns `mouth_names`: speech beyond the action
    units, IOD), `light`, `exposure` and `noise (T,)`; its `intensity` holds the resting face, `rest (U,)`, and AU26 is
    the jaw.
    """
    path = as_path("root", root) / "truth" / f"{subject}_{video}.npz"
    if not path.is_file():
        raise MissingError(f"{path}: no such file; generate the set with `metst synth` (or `generate`)")
    try:
        check_seal(path)
        return truth_in(path)
    except UNREADABLE as error:
        raise InputError(
            f"{path}: the truth of a video is damaged ({error}); generate the set again into the same folder, which "
            "makes this video anew"
        ) from error


def truth_in(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of truth, by name."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
