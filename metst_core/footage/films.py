"""Which films: paths, folders of them and data sets as one list, each film with the names of its person and its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from metst_core.checks import as_path
from metst_core.datasets import Dataset, load_dataset
from metst_core.errors import InputError, MissingError
from metst_core.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES

Videos = str | Path | Dataset | Iterable[str | Path]
"""One film, several, a folder of persons' films (`data/folder.md`), or a data set."""


@dataclass(frozen=True)
class Film:
    """A film file or a folder of images: where it lies, whose it is, and what it is called."""

    path: Path
    subject: str
    video: str


def films_of(videos: Videos) -> list[Film]:
    """The films, each once, with names that differ.

    The person of a film is the folder that it lies in, as in the folder layout of a data set: films of one person
    lie in one folder.  A folder that holds films, or folders of them, stands for all of them.

    Raises an `InputError` where there is no film, and a `MissingError` that names what is not there.
    """
    found: dict[Path, Film] = {}
    if isinstance(videos, Dataset):
        parts = _of_dataset(videos)
    else:
        given = [videos] if isinstance(videos, str | Path) else list(videos)
        parts = [film for each in given for film in _of_path(as_path("a video", each))]
    taken: set[tuple[str, str]] = set()
    for film in parts:
        if film.path.resolve() in found:
            continue
        name, number = film.video, 1
        while (film.subject, name) in taken:
            number += 1
            name = f"{film.video}_{number}"
        taken.add((film.subject, name))
        found[film.path.resolve()] = Film(film.path, film.subject, name)
    if not found:
        raise InputError(
            "no film was given; name a film file, a folder of images, or a folder of persons' films"
        )
    return list(found.values())


def _of_dataset(dataset: Dataset) -> list[Film]:
    rows = zip(dataset.videos["subject"], dataset.videos["video"], strict=True)
    return [Film(dataset.path(subject, video), subject, video) for subject, video in rows]


def _of_path(path: Path) -> list[Film]:
    if not path.exists():
        raise MissingError(f"{path}: no such file or folder; name a film to work on")
    if path.is_dir() and not _holds_images(path):
        return _of_dataset(load_dataset("folder", path))
    name = path.resolve().name if path.is_dir() else path.stem
    return [Film(path, path.resolve().parent.name or "-", name)]


def _holds_images(folder: Path) -> bool:
    """Whether a folder is a film of images, rather than a folder of films."""
    suffixes = {p.suffix.lower() for p in folder.iterdir() if p.is_file() and p.name[0] != "."}
    return bool(suffixes & set(IMAGE_SUFFIXES)) and not suffixes & set(VIDEO_SUFFIXES)
