"""What lies in a folder of one's own videos: which are used, and a line of the report for everything else."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from metst_core.datasets.dataset import ANNOTATIONS_FILE, VIDEOS_FILE
from metst_core.datasets.readers import visible
from metst_core.datasets.rules import Report
from metst_core.errors import InputError, MetstError
from metst_core.files import one_line
from metst_core.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES, list_images

_OURS = (ANNOTATIONS_FILE, VIDEOS_FILE, "generation.json", "release.json", "persons.csv", "truth")
"""What lies in a set beside its videos, and is read by others or by nobody."""

_MOST_LOOKED_AT = 100_000
"""Files and folders below a subject that are looked at for videos that lie too deep."""


def look_for_videos(root: Path, report: Report) -> Iterator[tuple[str, Path]]:
    """Subject and path of every video of `root/<subject>/<video>`, or `root/<video>`, a subject of its own."""
    others: list[Path] = []
    for entry in _visible(root, root, report):
        if entry.name in _OURS:
            continue
        if not entry.is_dir():
            if _is_film(entry):
                yield entry.stem, entry
            else:
                others.append(entry)
            continue
        inside = _visible(entry, root, report)
        inner = [path for path in inside if _is_video(path)]
        if not inner and _has_images(entry):
            yield entry.name, entry
            _report_others(root, [path for path in inside if not _is_image(path)], report)
            continue
        if inner and _has_images(entry):
            report.add(in_words(entry, root), 0, "images beside videos", "not used")
        yield from ((entry.name, path) for path in inner)
        _report_others(root, [p for p in inside if p not in inner and not _is_image(p)], report)
    _report_others(root, others, report)


def in_words(path: Path, root: Path) -> str:
    """A path from the root, as a report and a terminal may show it."""
    return one_line(path.relative_to(root).as_posix())


def said_of(error: Exception) -> str:
    """What an error says, for a line of the report."""
    return str(error) if isinstance(error, MetstError) else f"{type(error).__name__}: {error}"


def _visible(folder: Path, root: Path, report: Report) -> list[Path]:
    try:
        return visible(folder)
    except OSError as error:
        if folder == root:
            raise InputError(
                f"{folder}: the folder cannot be read ({error.strerror}); change its permissions"
            ) from error
        report.add(in_words(folder, root), 0, f"the folder cannot be read ({error.strerror})", "left out")
        return []


def _report_others(root: Path, paths: list[Path], report: Report) -> None:
    """A line for each kind of file beside the videos of a folder, and for each folder that holds videos too deep."""
    kinds: Counter[tuple[Path, str]] = Counter()
    for path in paths:
        if not path.is_dir():
            kinds[path.parent, path.suffix.lower()] += 1
            continue
        n_videos, first, refused = _deeper(path)
        if refused:
            report.add(in_words(path, root), 0, f"the folder cannot be read ({refused})", "left out")
        elif n_videos:
            said = f"{n_videos} video(s) deeper than <subject>/<video>, first {in_words(Path(first), root)}"
            report.add(in_words(path, root), 0, f"{said}; move them up", "left out")
        else:
            report.add(in_words(path, root), 0, "a folder without a video", "not used")
    for (folder, suffix), n in kinds.items():
        said = f"{n} file(s) {one_line(suffix) or 'without a suffix'}, no video or image by that name"
        report.add(in_words(folder, root) if folder != root else ".", 0, said, "not used")


def _deeper(folder: Path) -> tuple[int, str, str]:
    """How many videos (films, folders of images) lie anywhere in a folder, the path of the first, and what is refused."""
    n_videos, first, looked_at = 0, "", 0
    refused: list[str] = []
    for place, folders, files in os.walk(folder, onerror=lambda error: refused.append(str(error.strerror))):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        looked_at += len(folders) + len(files)
        films = sorted(name for name in files if name[0] != "." and _is_film_name(name))
        images = any(name[0] != "." and Path(name).suffix.lower() in IMAGE_SUFFIXES for name in files)
        n_videos += len(films) + images
        if (films or images) and not first:
            first = os.path.join(place, films[0]) if films else place  # noqa: PTH118
        if looked_at > _MOST_LOOKED_AT:
            break
    return n_videos, first, "; ".join(refused[:1])


def _is_video(path: Path) -> bool:
    return _has_images(path) if path.is_dir() else _is_film(path)


def _is_film(path: Path) -> bool:
    return _is_film_name(path.name)


def _is_film_name(name: str) -> bool:
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()


def _has_images(folder: Path) -> bool:
    try:
        return bool(list_images(folder))
    except (InputError, OSError):
        return False
