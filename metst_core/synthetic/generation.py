"""SynthME: portraits that make micro-expressions (ME), with the exact truth of every frame.

A video is first *planned* (`plan`): its events (micro- and macro-expressions, blinks, speech, gaze), each an
intensity curve over action units, its head motion and its light.  Then it is *rendered* (`render`): each
frame is one look-up in the neutral picture, along the weighted sum of the action units' displacement fields
and the head motion, followed by light, blur and sensor noise; JPEG coding comes last.

What `generate` writes::

    annotations.csv, videos.csv         as every data set (0-based frames, inclusive)
    <subject>/<video>.avi               motion JPEG
    truth/<subject>_<video>.npz         per frame: intensity of every action unit, head motion, light
                                        (see `read_truth`)
    truth/micro_expressions.csv         per micro-expression: strength, FACS label, action units at the apex
    truth/distractors.csv               the same for everything that is not to be spotted
    generation.json                     how it was made
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from metst_core.checks import as_path, whole_number
from metst_core.datasets import Dataset, load_dataset
from metst_core.errors import InputError, MissingError
from metst_core.files import (
    UNREADABLE,
    check_seal,
    claim_folder,
    content_hash,
    only_one,
    sealed_path,
    sweep,
    visible,
)
from metst_core.synthetic.action_units import UNIT_NAMES
from metst_core.synthetic.difficulty import Difficulty, difficulty_of
from metst_core.synthetic.mjpeg import write_mjpeg
from metst_core.synthetic.plan import HEAD_NAMES, VERSION, Plan, plan_video
from metst_core.synthetic.portraits import FRAME_SIZE, Identity, identity
from metst_core.synthetic.render import Renderer
from metst_core.synthetic.set_tables import events_table, in_order, subject_id, video_id
from metst_core.tables import VIDEO_COLUMNS, check_annotations, write_table
from metst_core.workers import naming_killed_workers, on_backend


def plan_tables(
    seed: int, subjects: Sequence[int], n_videos: int, seconds: float, fps: float, difficulty: Difficulty
) -> dict[str, pd.DataFrame]:
    """All tables of a set, from its plans alone: path in the set -> table.  Nothing is rendered."""
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
class _Manner:
    """How the videos of a set are made; the same for all of them."""

    seed: int
    seconds: float
    fps: float
    difficulty: Difficulty
    portraits: tuple[str, ...]

    def note(self) -> dict[str, Any]:
        """What `generation.json` keeps; portraits by their bytes, wherever they lie."""
        return {
            "version": VERSION,
            **dataclasses.asdict(self),
            "portraits": [content_hash(p) for p in self.portraits],
        }


def generate(
    out_dir: str | Path,
    n_subjects: int,
    n_videos: int,
    seconds: float,
    fps: float = 30,
    seed: int = 0,
    *,
    tier: str = "default",
    portraits: Sequence[str | Path] = (),
    first_subject: int = 0,
    n_jobs: int = 1,
    progress: bool = True,
    **difficulty: Any,
) -> Dataset:
    """Write a set of synthetic videos with their truth (layout: see the module) and return it loaded.

    `n_subjects` persons with `n_videos` videos of `seconds` each; `tier` in easy, default, hard, and any
    knob of `Difficulty` by name.  `portraits` replaces the bundled portrait.  Subjects count from
    `first_subject`, so that two sets can have different persons.  A generation that was stopped goes on
    where it was: finished videos are kept, and a set can be made larger the same way.  The result does not
    depend on `n_jobs` (processes).

    Raises an `InputError` for an unknown or unusable knob, and if `out_dir` holds a set made in another way.

    One person for a second:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     generate(folder, n_subjects=1, n_videos=1, seconds=1, fps=10, me_free=1, progress=False)
    Dataset 'synthetic': 1 video of 1 subject, 0 micro-expressions, 10 frames per second, windows of 50
    """
    out_dir = as_path("out_dir", out_dir)
    if out_dir.exists() and not out_dir.is_dir():
        raise InputError(f"{out_dir}: a file is in the way; give a folder to write")
    knobs = difficulty_of(tier, **difficulty)
    n_subjects, n_videos = whole_number("n_subjects", n_subjects, 1), whole_number("n_videos", n_videos, 1)
    first_subject, seed = whole_number("first_subject", first_subject, 0), whole_number("seed", seed, 0)
    if whole_number("n_jobs", n_jobs, -1000) == 0:
        raise InputError("n_jobs is 0; give a number of processes, or -1 for one per core")
    if isinstance(portraits, str | Path) or not isinstance(portraits, Sequence):
        raise InputError(f"portraits is {portraits!r}; give a list of image files")
    missing = [p for p in portraits if not Path(p).is_file()]
    if missing:
        raise MissingError(f"{missing[0]}: no such portrait; give the path of an image file")
    subjects = range(first_subject, first_subject + n_subjects)
    tables = plan_tables(seed, subjects, n_videos, seconds, fps, knobs)
    manner = _Manner(seed, float(seconds), float(fps), knobs, tuple(str(p) for p in portraits))
    with only_one(out_dir):
        claim_folder(
            out_dir, manner.note(), "generation.json", "a set made in another way",
            occupied=lambda: bool(visible(out_dir / "truth", "*.npz")),
        )  # fmt: skip
        sweep(out_dir, deep=True)
        todo = [(s, v) for s in subjects for v in range(n_videos) if not _is_finished(out_dir, s, v)]
        _make_videos(out_dir, todo, manner, n_jobs, progress)
        for name, table in tables.items():
            write_table(table, out_dir / name)
    return load_dataset("synthetic", out_dir)


def _make_videos(
    out_dir: Path, todo: Sequence[tuple[int, int]], manner: _Manner, n_jobs: int, progress: bool
) -> None:
    with on_backend("loky", n_jobs):
        parallel = Parallel(return_as="generator_unordered")
    done = parallel(delayed(_make_video)(out_dir, s, v, manner) for s, v in todo)
    silent = not progress or not todo
    with naming_killed_workers(n_jobs, "finished videos are kept"):
        for _ in tqdm(done, total=len(todo), desc="generating videos", unit="video", disable=silent):
            pass


def _video_paths(out_dir: Path, subject: int, video: int) -> tuple[Path, Path]:
    s, v = subject_id(subject), video_id(video)
    return out_dir / s / f"{v}.avi", out_dir / "truth" / f"{s}_{v}.npz"


def _is_finished(out_dir: Path, subject: int, video: int) -> bool:
    """Whether a video and its truth are there, and the truth is not damaged."""
    film, truth = _video_paths(out_dir, subject, video)
    try:
        return film.is_file() and truth.is_file() and (check_seal(truth) or bool(_truth_in(truth)))
    except UNREADABLE:
        return False


def _make_video(out_dir: Path, subject: int, video: int, manner: _Manner) -> None:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # one core per process; also keeps the pixels the same for any number of processes
    try:
        renderer = _renderer(manner.seed, subject, manner.portraits)
        knobs = manner.difficulty
        plan = plan_video(manner.seed, subject, video, manner.seconds, manner.fps, knobs)
        picture_path, truth_path = _video_paths(out_dir, subject, video)
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(knobs.jpeg_quality)]
        frames = renderer.frames(plan, knobs, manner.seed)
        images = (cv2.imencode(".jpg", frame, quality)[1].tobytes() for frame in frames)
        write_mjpeg(picture_path, images, manner.fps, (FRAME_SIZE, FRAME_SIZE))
        _write_truth(truth_path, plan, renderer.identity)
    finally:
        cv2.setNumThreads(threads)


@functools.lru_cache(maxsize=2)
def _renderer(seed: int, subject: int, portraits: tuple[str, ...]) -> Renderer:
    return Renderer(identity(seed, subject, portraits))


def _write_truth(path: Path, plan: Plan, person: Identity) -> None:
    with sealed_path(path) as temporary:
        np.savez_compressed(
            temporary,
            units=np.array(UNIT_NAMES), intensity=plan.intensity, me_intensity=plan.me_intensity,
            head_names=np.array(HEAD_NAMES), head=plan.head, gain=plan.gain, shown=plan.shown,
            mesh=person.mesh, iod=np.array(person.iod), fps=np.array(plan.fps),
        )  # fmt: skip


def read_truth(root: str | Path, subject: str, video: str) -> dict[str, np.ndarray]:
    """The truth of one video of a generated set, by name.

    `intensity` and `me_intensity (T, U)` (inter-ocular distances; columns `units`), `head (T, 6)` (columns
    `head_names`, see `HEAD_NAMES`), `gain (T,)`, `shown (T,)`, `mesh (478, 2)` and `iod` of the neutral
    face (frame pixels), `fps`.
    """
    path = as_path("root", root) / "truth" / f"{subject}_{video}.npz"
    if not path.is_file():
        raise MissingError(f"{path}: no such file; generate the set with `metst synth` (or `generate`)")
    try:
        check_seal(path)
        return _truth_in(path)
    except UNREADABLE as error:
        raise InputError(
            f"{path}: the truth of a video is damaged ({error}); generate the set again into the same folder, which "
            "makes this video anew"
        ) from error


def _truth_in(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
