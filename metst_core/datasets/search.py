"""Looking for videos: in folders at any depth, and by patterns where the shell knows none."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from metst_core.datasets.readers import visible
from metst_core.errors import InputError
from metst_core.video import VIDEO_SUFFIXES, list_images, natural_key


class FoundVideo(NamedTuple):
    """A video and the folder that it was looked for in (None for one that was named itself)."""

    path: Path
    root: Path | None


def is_video(path: Path) -> bool:
    """Whether a path looks like a video: a file with a video's suffix, or a folder with images in it."""
    return has_images(path) if path.is_dir() else path.suffix.lower() in VIDEO_SUFFIXES


def has_images(folder: Path) -> bool:
    """Whether a folder has images directly in it."""
    try:
        return bool(list_images(folder))
    except InputError:
        return False


def videos_under(folder: Path, leave_out: Iterable[Path] = ()) -> list[Path]:
    """Every video in a folder and below it, in natural order: video files, and folders of images without video files.

    Hidden files and folders, links that lead back up, and what is in `leave_out` (but for the folder itself) are passed
    over.
    """
    return _below(folder, {p.resolve() for p in leave_out}, frozenset())


def _below(folder: Path, leave_out: set[Path], above: frozenset[Path]) -> list[Path]:
    here = folder.resolve()
    if (here in leave_out and above) or here in above:
        return []
    try:
        entries = visible(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror}); change its permissions") from error
    files = [p for p in entries if not p.is_dir() and is_video(p) and p.resolve() not in leave_out]
    inside = [p for entry in entries if entry.is_dir() for p in _below(entry, leave_out, above | {here})]
    if not files and not inside and above and has_images(folder):
        return [folder]
    return sorted([*files, *inside], key=lambda p: entries.index(folder / p.relative_to(folder).parts[0]))


def named_videos(arguments: Sequence[str], leave_out: Iterable[Path] = ()) -> list[FoundVideo]:
    """The videos that a command line names, each once: files, folders of images, folders of videos, patterns.

    A pattern (`*.mp4`, `**/*.mp4`) that no file has as its name is expanded here, for shells that do not.  A name
    that leads to no video is kept: what is wrong with it is said where it is read.
    """
    leave_out = list(leave_out)
    found: dict[str, FoundVideo] = {}
    for argument in arguments:
        for video in _expanded(argument, leave_out):
            found.setdefault(str(video.path.absolute()), video)
    return list(found.values())


def _expanded(argument: str, leave_out: Sequence[Path]) -> list[FoundVideo]:
    path = Path(argument)
    if not _exists(path) and glob.has_magic(argument):
        names = sorted(glob.glob(argument, recursive=True), key=natural_key)  # noqa: PTH207  (it may be absolute)
        fits = [Path(name) for name in names]
        videos = [v for fit in fits if fit.is_dir() or is_video(fit) for v in _in(fit, leave_out)]
    else:
        videos = _in(path, leave_out) if is_folder(path) else []
    return videos or [FoundVideo(path, None)]


def _in(path: Path, leave_out: Sequence[Path]) -> list[FoundVideo]:
    """A video itself, or those of a folder; a folder of images that holds no video is one."""
    if not path.is_dir():
        return [FoundVideo(path, None)]
    inside = videos_under(path, leave_out)
    if not inside and has_images(path):
        return [FoundVideo(path, None)]
    return [FoundVideo(video, path) for video in inside]


def is_folder(path: Path) -> bool:
    """Whether a path leads to a folder; False for a name that no file can have."""
    return _exists(path) and path.is_dir()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False
