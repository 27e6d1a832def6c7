"""A film's file, opened by PyAV: what may be opened, whether it is whole, where playing begins."""

from __future__ import annotations

import contextlib
import functools
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from metst_core.errors import InputError, MissingError

if TYPE_CHECKING:
    import av

VIDEO_SUFFIXES = (
    ".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".mts", ".m2ts", ".wmv", ".asf", ".3gp", ".3g2",
    ".flv", ".ogv", ".mxf", ".dv", ".vob",
)  # fmt: skip
"""The names of films, by which they are found in a folder; a film that is named one by one may have any name."""

# FFmpeg's names of the formats that are opened: films, and nothing that leads on to other files or addresses.
_FORMATS = "mov,avi,matroska,mpegts,mpeg,asf,flv,ogg,gif,mxf,nut,ivf,dv"

REENCODE = "re-encode it, for example: ffmpeg -i {name} -an -c:v libx264 -crf 12 fixed.mp4"


@functools.cache
def pyav() -> Any:
    """PyAV, imported when a film is read or written and not before."""
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise MissingError(f"PyAV cannot be imported ({error}); install it: pip install av") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[av.container.InputContainer]:
    """A film's container; it and its file are closed in the end."""
    try:
        stream = path.open("rb")
    except PermissionError as error:
        raise InputError(f"{path}: the file may not be read; change its permissions") from error
    except OSError as error:
        raise InputError(f"{path}: the file cannot be opened ({error.strerror}); check the path") from error
    with stream:
        stream.seek(0, 2)
        if stream.tell() == 0:
            raise InputError(f"{path}: the file is empty (0 bytes); copy it again from its source")
        missing = _missing_bytes(stream)
        if missing:
            raise InputError(
                f"{path}: the file is cut short, {missing} bytes are missing; copy it again from its source"
            )
        stream.seek(0)
        try:
            container = pyav().open(
                stream, buffer_size=1 << 18, container_options={"format_whitelist": _FORMATS}
            )
        except (pyav().FFmpegError, UnicodeError) as error:
            raise InputError(_unreadable(path)) from error
        with container:
            yield container


def _unreadable(path: Path) -> str:
    return (
        f"{path}: no video stream can be opened (broken or cut short, audio only, or not a video); play it, or "
        f"{REENCODE.format(name=path.name)}"
    )


def picture_stream(path: Path, container: av.container.InputContainer) -> Any:
    """The stream that a player shows: no cover picture."""
    cover = pyav().stream.Disposition.attached_pic
    best = container.streams.best("video")
    for stream in ([best] if best else []) + list(container.streams.video):
        if not stream.disposition & cover:
            if stream.codec_context is None:
                raise InputError(_no_decoder(path, stream))
            return stream
    raise InputError(_unreadable(path))


def _no_decoder(path: Path, stream: Any) -> str:
    tag = re.sub(r"[^ -~]", "?", str(getattr(stream, "codec_tag", "") or "")).strip("?\0 ")
    coded = f"coded as {tag[:20]!r}" if tag else "in a coding of no known name"
    return (
        f"{path}: its pictures are {coded}, for which this FFmpeg has no decoder; re-encode it with a program that plays "
        f"it, as H.264: ffmpeg -i {path.name} -an -c:v libx264 -crf 12 fixed.mp4"
    )


def start_of(container: av.container.InputContainer) -> float:
    """The second of the file's own time stamps at which a player begins."""
    start = (container.start_time or 0) / pyav().time_base
    return max(0.0, start)  # sound may begin before 0, with what only fills the decoder


def _missing_bytes(stream: BinaryIO) -> int:
    """How many bytes an AVI or Matroska announces beyond the end of its file (0: whole, or it does not tell).

    FFmpeg reads these two up to where they are cut and says nothing; it notices the same in other containers.
    """
    total = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(8)
    end = 0
    if head[:4] == b"RIFF":
        end = 8 + int.from_bytes(head[4:8], "little")
    elif head[:4] == b"\x1aE\xdf\xa3":
        end = _matroska_end(stream)
    return max(0, end - total)


def _matroska_end(stream: BinaryIO) -> int:
    def number(keep_marker: bool) -> tuple[int, int]:
        first = stream.read(1)
        if not first or first == b"\0":
            return 0, 0
        length = 9 - first[0].bit_length()
        raw = first + stream.read(length - 1)
        value = int.from_bytes(raw, "big")
        return (value if keep_marker else value & ((1 << 7 * length) - 1)), length

    stream.seek(4)
    header, _ = number(False)
    if header > 4096:  # it has some 40 bytes
        return 0
    stream.seek(header, 1)
    element, _ = number(True)
    size, length = number(False)
    unknown = size == (1 << 7 * length) - 1
    return 0 if element != 0x18538067 or unknown or not length else stream.tell() + size
