"""SynthME: faces that make micro-expressions (ME), with the exact truth of every frame.

A film is first *planned*: its events (micro- and macro-expressions, blinks, speech, gaze), each an intensity
curve over action units, its head motion and its light.  Then it is *rendered*.  Version 2 films sixty
three-dimensional heads and two portraits (`faces`) by plans that follow the field's coding sheets (`films`);
version 1 warps one portrait by plans of its own (`plan`, `render`).

What `generate` writes::

    annotations.csv, videos.csv         as every data set (0-based frames, inclusive)
    persons.csv                         looks and habits of each person (version 2)
    <subject>/<video>.avi, .mp4         motion JPEG, or H.264 where the conditions say so
    truth/<subject>_<video>.npz         per frame: intensity of every action unit, head motion, light
                                        (see `read_truth`)
    truth/micro_expressions.csv         per micro-expression: strength, label, action units at the apex
    truth/distractors.csv               the same for everything that is not to be spotted
    truth/annotator_1.csv, _2.csv       how two simulated annotators label it (version 2)
    generation.json                     how it was made
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, effective_n_jobs
from tqdm import tqdm

from metst_core.checks import as_path, number_between, one_of, whole_number
from metst_core.datasets import Dataset, load_dataset
from metst_core.errors import InputError, MissingError
from metst_core.files import UNREADABLE, check_seal, claim_folder, only_one, sweep, visible
from metst_core.synthetic.camera import FPS
from metst_core.synthetic.conditions import CONDITIONS, conditions_of
from metst_core.synthetic.difficulty import TIERS, difficulty_of
from metst_core.synthetic.manners import Films, Manner, Portraits, truth_in
from metst_core.synthetic.priors import Prior, prior_of
from metst_core.synthetic.set_tables import subject_id, video_id
from metst_core.tables import write_table
from metst_core.workers import naming_killed_workers, on_backend, one_opencv_thread

VERSIONS = (1, 2)


def generate(
    out_dir: str | Path,
    n_subjects: int,
    n_videos: int,
    seconds: float,
    fps: float = 30,
    seed: int = 0,
    *,
    tier: str | None = None,
    prior: str | Prior | None = None,
    version: int = 2,
    portraits: Sequence[str | Path] = (),
    first_subject: int = 0,
    n_jobs: int = 1,
    progress: bool = True,
    **difficulty: Any,
) -> Dataset:
    """Write a set of synthetic videos with their truth (layout: see the module) and return it loaded.

    `n_subjects` persons with `n_videos` videos of `seconds` each.  Of `version` 2: `tier` in calm (the default),
    interview, hard; `prior` in dense (the default), casme3, sammlv, or a `Prior`; any knob of `Conditions` and
    any number of the prior by name (`me_per_minute=20`); from 24 to 200 frames per second; the first persons
    have the faces in the image files `portraits`, if any.  Of version 1: `tier` in easy, default, hard, any
    knob of `Difficulty`; `portraits` replaces the bundled one.

    Subjects count from `first_subject`, so that two sets can have different persons.  A generation that was
    stopped goes on where it was: finished videos are kept, and a set can be made larger the same way.  The
    result does not depend on `n_jobs` (processes).

    Raises an `InputError` for an unknown or unusable knob, and if `out_dir` holds a set made in another way.

    One person for a second:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     generate(folder, n_subjects=1, n_videos=1, seconds=1, me_per_minute=0, progress=False)
    Dataset 'synthetic': 1 video of 1 subject, 0 micro-expressions, 30 frames per second, windows of 50
    """
    out_dir = as_path("out_dir", out_dir)
    if out_dir.exists() and not out_dir.is_dir():
        raise InputError(f"{out_dir}: a file is in the way; give a folder to write")
    n_subjects, n_videos = whole_number("n_subjects", n_subjects, 1), whole_number("n_videos", n_videos, 1)
    seconds, fps = number_between("seconds", seconds, 0, 24 * 3600), number_between("fps", fps, 0.1, 1000)
    first_subject, seed = whole_number("first_subject", first_subject, 0), whole_number("seed", seed, 0)
    if whole_number("n_jobs", n_jobs, -1000) == 0:
        raise InputError("n_jobs is 0; give a number of processes, or -1 for one per core")
    make = _version_1 if one_of("version", version, VERSIONS) == 1 else _version_2
    manner = make(seed, seconds, fps, _files(portraits), tier, prior, difficulty)
    return make_set(
        out_dir, manner, range(first_subject, first_subject + n_subjects), n_videos, n_jobs, progress
    )


def make_set(
    out_dir: Path,
    manner: Manner,
    subjects: Sequence[int],
    n_videos: int,
    n_jobs: int = 1,
    progress: bool = True,
) -> Dataset:
    """Write, or go on writing, the films of these persons and their truth; return the set loaded."""
    tables = manner.tables(subjects, n_videos)
    with only_one(out_dir):
        claim_folder(
            out_dir, manner.note(), "generation.json", "a set made in another way",
            occupied=lambda: bool(visible(out_dir / "truth", "*.npz")),
        )  # fmt: skip
        sweep(out_dir, deep=True)
        todo = [
            [(s, v) for v in range(n_videos) if not _is_finished(out_dir, manner, s, v)] for s in subjects
        ]  # film by film of a person, whose face is then built once
        if len(todo) < effective_n_jobs(n_jobs):
            todo = [[film] for films in todo for film in films]
        _make_all(out_dir, manner, [films for films in todo if films], n_jobs, progress)
        for name, table in tables.items():
            write_table(table, out_dir / name)
    return load_dataset("synthetic", out_dir)


def _files(portraits: Sequence[str | Path]) -> tuple[str, ...]:
    if isinstance(portraits, str | Path) or not isinstance(portraits, Sequence):
        raise InputError(f"portraits is {portraits!r}; give a list of image files")
    missing = [p for p in portraits if not Path(p).is_file()]
    if missing:
        raise MissingError(f"{missing[0]}: no such portrait; give the path of an image file")
    return tuple(str(p) for p in portraits)


def _version_1(
    seed: int, seconds: float, fps: float, portraits: tuple[str, ...], tier: str | None, prior: object,
    knobs: dict[str, Any],
) -> Manner:  # fmt: skip
    if prior is not None:
        raise InputError("prior: version 1 has none; leave it out, or make version 2")
    return Portraits(seed, seconds, fps, difficulty_of(tier or "default", **knobs), portraits)


def _version_2(
    seed: int, seconds: float, fps: float, portraits: tuple[str, ...], tier: str | None,
    prior: str | Prior | None, knobs: dict[str, Any],
) -> Manner:  # fmt: skip
    if tier in TIERS and tier not in CONDITIONS:
        raise InputError(
            f"tier: {tier!r} is one of version 1; give version=1, or one of {', '.join(CONDITIONS)}"
        )
    drawn, rest = prior_of("dense" if prior is None else prior, knobs)
    conditions = conditions_of(tier or "calm", **rest)
    number_between("fps", fps, *FPS)
    return Films(seed, seconds, fps, drawn, conditions, portraits)


def _make_all(
    out_dir: Path, manner: Manner, todo: Sequence[Sequence[tuple[int, int]]], n_jobs: int, progress: bool
) -> None:
    tasks = (delayed(_make_videos)(out_dir, films, manner) for films in todo)
    with on_backend("loky", n_jobs):
        done = Parallel(return_as="generator_unordered")(tasks)
    total = sum(len(films) for films in todo)
    bar = tqdm(total=total, desc="generating videos", unit="video", disable=not progress or not todo)
    with bar, naming_killed_workers(n_jobs, "finished videos are kept"):
        for made in done:
            bar.update(made)


def _video_paths(out_dir: Path, manner: Manner, subject: int, video: int) -> tuple[Path, Path]:
    s, v = subject_id(subject), video_id(video)
    return out_dir / s / f"{v}.{manner.suffix}", out_dir / "truth" / f"{s}_{v}.npz"


def _is_finished(out_dir: Path, manner: Manner, subject: int, video: int) -> bool:
    """Whether a film and its truth are there, and the truth is not damaged."""
    film, truth = _video_paths(out_dir, manner, subject, video)
    try:
        return film.is_file() and truth.is_file() and (check_seal(truth) or bool(truth_in(truth)))
    except UNREADABLE:
        return False


def _make_videos(out_dir: Path, films: Sequence[tuple[int, int]], manner: Manner) -> int:
    """Make some films; returns how many."""
    with one_opencv_thread():
        for subject, video in films:
            manner.film(*_video_paths(out_dir, manner, subject, video), subject, video)
    return len(films)
