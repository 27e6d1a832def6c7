"""Known micro-expressions planted into real films: `plant`.

What `plant` writes, a data set in the folder layout (`data/folder.md`)::

    annotations.csv, videos.csv         what was planted, and the films (0-based frames, inclusive)
    <subject>/<video>.mp4               all frames through one coding, planted or not; the sound is copied
    truth/<subject>_<video>.npz         per frame: intensity of every action unit, head; see `synthetic.read_truth`
    truth/micro_expressions.csv         per micro-expression: strength, action units at the apex, inter-ocular distance
    truth/not_planted.csv               what was planned and could not be planted, and the films that could not be used
    planting.json                       how it was made

In `truth/*.npz` both intensities hold what was planted alone: what else the face does is not known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from metst_core.checks import as_path, number_between, one_of
from metst_core.datasets import Dataset, load_dataset
from metst_core.errors import InputError, MetstError
from metst_core.files import (
    UNREADABLE,
    check_seal,
    claim_folder,
    only_one,
    read_sealed,
    run_record,
    sealed_path,
    sweep,
    visible,
    write_sealed,
)
from metst_core.footage.films import Film, Videos, films_of
from metst_core.footage.plan import STRENGTHS, Manner, plan_events, sort_out
from metst_core.footage.track import LANDMARKS, Mesher, Track, say, track
from metst_core.footage.warp import warp
from metst_core.synthetic import EVENT_COLUMNS, HEAD_NAMES, UNIT_NAMES, Event, events_table, intensity_of
from metst_core.tables import VIDEO_COLUMNS, check_annotations, write_table
from metst_core.video import read_frames, write_video
from metst_core.workers import one_opencv_thread, prefetched

SUFFIXES = (".mp4", ".mkv")
"""Films are written as H.264, or lossless (FFV1), which takes some fifty times the room."""

MICRO_COLUMNS = (*(c for c in EVENT_COLUMNS if c != "kind"), "iod_pixels", "turn")
NOT_PLANTED_COLUMNS = (*(c for c in EVENT_COLUMNS if c != "kind"), "reason")

_NOTE = "planting.json"


@dataclass(frozen=True)
class _Options:
    """What a film is planted with besides the manner."""

    suffix: str
    image_fps: float
    mesher: Mesher | None
    progress: bool


def plant(
    videos: Videos,
    out_dir: str | Path,
    prior: str = "dense",
    strengths: tuple[float, float] = STRENGTHS,
    seed: int = 0,
    sham: bool = False,
    *,
    per_minute: float | None = None,
    suffix: str = ".mp4",
    image_fps: float = 30.0,
    mesher: Mesher | None = None,
    progress: bool = True,
) -> Dataset:
    """Plant micro-expressions of known size and time into films; return the data set (layout: see the module).

    videos: a film, several, a folder of persons' films, or a data set; the folder that a film lies in is its person.
    prior, strengths, per_minute, seed, sham: see `Manner`.  With `sham` the annotations say where nothing but a
        resampling was planted: who finds these finds the planting, not the movement.
    suffix: ".mp4", or ".mkv" without loss.  image_fps: the rate of folders of images.
    mesher: instead of MediaPipe's mesh (see `track.Mesher`).

    The originals are only read.  A film that cannot be used is named in `truth/not_planted.csv`, and the others go on;
    films that are there already, made in the same way, are kept.  In sizes that are odd the last row or column is
    doubled, as H.264 wants it.

    Raises an `InputError` where nothing can be planted in any film, for an argument that cannot be used, or if
    `out_dir` holds a set made in another way.

    Two seconds of a synthetic person:

    >>> import tempfile
    >>> from metst_core.synthetic import generate
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     person = generate(f"{folder}/still", 1, 1, 2, version=1, tier="easy", me_free=1, progress=False)
    ...     planted = plant(person, f"{folder}/planted", seed=1, progress=False)
    >>> planted.name, len(planted.videos), len(planted.annotations)
    ('folder', 1, 1)
    """
    out = as_path("out_dir", out_dir)
    manner = Manner(prior, strengths, per_minute, seed, sham)
    number_between("image_fps", image_fps, 1, 1000)
    options = _Options(one_of("suffix", suffix, SUFFIXES), image_fps, mesher, progress)
    films = films_of(videos)
    targets = [_target(out, film, suffix) for film in films]
    for film, target in zip(films, targets, strict=True):
        if target.exists() and target.samefile(film.path):
            raise InputError(
                f"{film.path}: the film itself lies where the planted one would be written; name another folder"
            )
    is_new = not out.exists()
    if not is_new and not out.is_dir():
        raise InputError(f"{out}: a file is in the way; name a folder to write")
    with only_one(out):
        claim_folder(
            out, {"manner": manner.note(), "suffix": suffix}, _NOTE, "a set made in another way", {"record": run_record()},
            occupied=lambda: bool(visible(out / "truth", "*.npz")),
        )  # fmt: skip
        sweep(out, deep=True)
        records = []
        for film in tqdm(films, desc="planting", unit="film", disable=not progress or len(films) == 1):
            records.append(_planted(film, out, manner, options))
        tables = _tables(records)
        if not tables["annotations.csv"].empty:
            for name, table in tables.items():
                write_table(table, out / name)
    if tables["annotations.csv"].empty:
        _forget(out, is_new)
        raise InputError(_nothing(records))
    return load_dataset("folder", out)


def _target(out: Path, film: Film, suffix: str) -> Path:
    return out / film.subject / f"{film.video}{suffix}"


def _planted(film: Film, out: Path, manner: Manner, options: _Options) -> dict[str, Any]:
    """Plant in one film; the record of it, which is also kept as a file, so that a run goes on where it stopped."""
    target = _target(out, film, options.suffix)
    truth = out / "truth" / f"{film.subject}_{film.video}.npz"
    kept = truth.with_suffix(".json")
    with contextlib.suppress(*UNREADABLE):  # what is damaged is planted anew
        if target.is_file():
            check_seal(truth)
            return read_sealed(kept, "plant it anew")
    try:
        face = track(film, options.image_fps, options.mesher, progress=options.progress)
        events = plan_events(film, manner, face.n_frames, face.fps)
        can, cannot = sort_out(events, face)
        if can:
            _write(film, face, can, target, options)
            _write_truth(truth, face, can)
    except MetstError as error:
        return {"film": str(film.path), "trouble": str(error), "video": None, "micro": [], "not_planted": []}
    record = {
        "film": str(film.path),
        "trouble": "",
        "video": [film.subject, film.video, face.fps, face.n_frames, f"{film.subject}/{target.name}"]
        if can
        else None,
        "micro": _rows(film, can, [(float(face.iod[e.apex]), float(face.turn[e.apex])) for e in can]),
        "not_planted": _rows(film, [event for event, _ in cannot], [(say(reason),) for _, reason in cannot]),
    }
    if can:
        write_sealed(record, kept)
    return record


def _rows(film: Film, events: list[Event], more: list[tuple[Any, ...]]) -> list[list[Any]]:
    table = events_table([(film.subject, film.video, e) for e in events]).drop(columns="kind")
    return [[*row, *extra] for row, extra in zip(table.to_numpy().tolist(), more, strict=True)]


def _write(film: Film, face: Track, events: list[Event], target: Path, options: _Options) -> None:
    intensity = intensity_of(events, face.n_frames)
    steps = np.diff(face.times)
    steady = film.path.is_dir() or bool((np.abs(steps * face.fps - 1) < 0.1).all())
    sound = None if film.path.is_dir() else film.path
    bar = tqdm(
        total=face.n_frames, desc=f"{film.video[:30]}: film", unit="frame", disable=not options.progress
    )
    with bar, one_opencv_thread(), prefetched(read_frames(film.path), 4) as frames:
        write_video(
            target, _warped(frames, face, intensity, bar), face.fps, None if steady else face.times, sound
        )


def _warped(
    frames: Iterator[np.ndarray], face: Track, intensity: np.ndarray, bar: tqdm
) -> Iterator[np.ndarray]:
    """The frames with what is planted, of even width and height."""
    for number, frame in enumerate(frames):
        odd = frame.shape[0] % 2, frame.shape[1] % 2
        moved = warp(frame, face, number, intensity[number])
        yield cv2.copyMakeBorder(moved, 0, odd[0], 0, odd[1], cv2.BORDER_REPLICATE) if any(odd) else moved
        bar.update()


def _write_truth(path: Path, face: Track, events: list[Event]) -> None:
    intensity = intensity_of(events, face.n_frames)
    with sealed_path(path) as temporary:
        np.savez_compressed(
            temporary,
            units=np.array(UNIT_NAMES), intensity=intensity, me_intensity=intensity,
            head_names=np.array(HEAD_NAMES), head=head_of(face), gain=np.ones(face.n_frames),
            shown=np.arange(face.n_frames), mesh=face.mesh, iod=np.array(np.nanmedian(face.iod)),
            iod_pixels=face.iod, fps=np.array(face.fps),
        )  # fmt: skip


def head_of(face: Track) -> np.ndarray:
    """Head motion `(T, 6)` as `synthetic.HEAD_NAMES`, relative to the median pose; NaN where there is no face."""
    eyes = face.points[:, [LANDMARKS.index(33), LANDMARKS.index(263)]].mean(axis=1)
    roll = np.degrees(np.arctan2(face.axes[:, 1, 0], face.axes[:, 0, 0]))
    iod = np.nanmedian(face.iod)
    moved = [(eyes - np.nanmedian(eyes, axis=0)) / iod, roll - np.nanmedian(roll), face.iod / iod]
    return np.column_stack([*moved, face.angles - np.nanmedian(face.angles, axis=0)])


def _tables(records: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """The tables of a set, by their path in it."""
    micro = pd.DataFrame([row for r in records for row in r["micro"]], columns=list(MICRO_COLUMNS))
    refused = [row for r in records for row in r["not_planted"]]
    films = [[""] * (len(NOT_PLANTED_COLUMNS) - 1) + [r["trouble"]] for r in records if r["trouble"]]
    videos = [r["video"] for r in records if r["video"]]
    return {
        "annotations.csv": check_annotations(micro),
        "videos.csv": pd.DataFrame(videos, columns=list(VIDEO_COLUMNS)),
        "truth/micro_expressions.csv": micro.round({"iod_pixels": 3, "turn": 2}),
        "truth/not_planted.csv": pd.DataFrame([*refused, *films], columns=list(NOT_PLANTED_COLUMNS)),
    }


def _nothing(records: list[dict[str, Any]]) -> str:
    """Why nothing was planted in any film."""
    if len(records) == 1:
        [record] = records
        if record["trouble"]:
            return str(record["trouble"])
        reasons = list(dict.fromkeys(row[-1] for row in record["not_planted"]))
        return f"{record['film']}: nothing could be planted ({'; '.join(reasons)}); give a film of one face from the front"
    said = [r["trouble"] or f"{r['film']}: {r['not_planted'][0][-1]}" for r in records]
    return f"nothing could be planted in any of {len(records)} films: {'; '.join(said[:5])}"


def _forget(out: Path, is_new: bool) -> None:
    """Take away what was written of a set that did not come about."""
    with contextlib.suppress(OSError):
        (out / _NOTE).unlink()
        if is_new:
            out.rmdir()
