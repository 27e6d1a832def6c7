"""Frames from video files and image folders: RGB, one at a time, in order.

A frame is `uint8 (H, W, 3)`, RGB.  Nothing here holds more than a few frames, whatever the length of the
video.
"""

from __future__ import annotations

import functools
import importlib
import math
import re
import struct
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from metst_core.checks import as_path
from metst_core.errors import InputError, MissingError
from metst_core.files import atomic_path

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

# Codec that `write_video` uses per container; FFV1 and PNG give every pixel back unchanged.
_CODECS = {".avi": "FFV1", ".mkv": "FFV1", ".mov": "png ", ".mp4": "mp4v", ".webm": "VP80"}
LOSSLESS_SUFFIXES = (".avi", ".mkv", ".mov")

# A damaged JPEG or PNG still decodes, to a picture that is grey from the damage on; so look for its end mark.
_END_MARKS = {b"\xff\xd8": (b"\xff\xda", b"\xff\xd9"), b"\x89P": (b"IDAT", b"IEND")}

_REENCODE = "re-encode it, for example: ffmpeg -i {name} -an -c:v libx264 -crf 12 fixed.mp4"


class VideoInfo(NamedTuple):
    """Frames per second (NaN for a folder of images), frames that `read_frames` yields, and size."""

    fps: float
    n_frames: int
    size: tuple[int, int]
    """(width, height) in pixels, after rotation."""


def read_frames(path: str | Path) -> Iterator[np.ndarray]:
    """Yield the frames of a video file or of a folder of images (natural order) as RGB `uint8 (H, W, 3)`.

    Rotation metadata is applied; grey images get three equal channels, 16-bit images are reduced to 8 bits
    and an alpha channel is dropped.  Frames are decoded one at a time.

    Raises `MissingError` if there is no such file, and `InputError` (naming the file or image) if it cannot
    be decoded, is cut short, or changes its size on the way.
    """
    path = _existing(path)
    if path.is_dir():
        return read_images(list_images(path))
    return _decode(path, _open(path))


def probe(path: str | Path) -> VideoInfo:
    """Return `VideoInfo(fps, n_frames, (width, height))`; it unpacks as three values.

    `n_frames` is exactly how many frames `read_frames` yields.  The count in a container's header can be
    wrong (it is estimated in MKV and WebM, and trimming leaves the old one in MP4), so the video is decoded
    once, without converting colours, and counted; the answer is kept while the file does not change.  `fps`
    is the container's rate if the time stamps agree with it, else (variable frame rate) the mean rate of the
    time stamps.
    """
    path = _existing(path)
    if path.is_dir():
        images = list_images(path)
        height, width = read_image(images[0]).shape[:2]
        return VideoInfo(math.nan, len(images), (width, height))
    scan = _scan_file(path)
    return VideoInfo(scan.fps, len(scan.seconds), scan.size)


def timestamps(path: str | Path) -> np.ndarray:
    """Time of every frame of a video file in seconds, `(n_frames,)`, strictly increasing, from 0."""
    return _scan_file(_existing(path)).seconds.copy()


def resample_map(seconds: Sequence[float] | np.ndarray, fps: float) -> np.ndarray:
    """Frame numbers that turn frames at times `seconds` `(T,)` into a constant rate of `fps`.

    Output frame `i` stands for the time `seconds[0] + i / fps` and shows the source frame nearest to it (the
    earlier one of two equally near): `map[i]` is that frame's number, so `map` also leads numbers back to the
    source.  The last one is not later than the last source frame.  It is non-decreasing; frames are repeated
    where the source is slower and left out where it is faster.
    """
    times = np.asarray(seconds, dtype=float)
    if times.ndim != 1 or len(times) == 0:
        raise InputError(f"seconds: expected a 1-D array with at least one time, got shape {times.shape}")
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise InputError("seconds: the times must be finite and strictly increasing")
    if not (math.isfinite(fps) and fps > 0):
        raise InputError(f"fps: expected a rate above 0 frames per second, got {fps}")
    rounding = 1e-6 / fps
    n_out = math.floor((times[-1] - times[0] + rounding) * fps) + 1
    wanted = times[0] + np.arange(n_out) / fps
    middles = (times[1:] + times[:-1]) / 2
    return np.searchsorted(middles, wanted - rounding, side="left").astype(np.int64)


def resampled_numbers(
    seconds: Sequence[float] | np.ndarray, fps: float, frames: Sequence[int] | np.ndarray
) -> np.ndarray:
    """The frames of `resample_map(seconds, fps)` nearest in time to the source frames with these numbers.

    Keeps their order.  A number beyond the last source frame stays as far beyond the last resampled frame.
    """
    times, numbers = np.asarray(seconds, dtype=float), np.asarray(frames, dtype=np.int64)
    last, n_out = len(times) - 1, len(resample_map(times, fps))
    nearest = np.rint((times[np.clip(numbers, 0, last)] - times[0]) * fps).astype(np.int64)
    return np.minimum(nearest, n_out - 1) + np.maximum(numbers - last, 0)


def nearest_in_map(frame_map: Sequence[int] | np.ndarray, frames: Sequence[int] | np.ndarray) -> np.ndarray:
    """For each source frame number, the first output frame of a `resample_map` that shows it or one near it.

    `resampled_numbers` goes by time instead: for marks on the time line it is the better one.
    """
    shown, numbers = np.asarray(frame_map), np.asarray(frames)
    right = np.clip(np.searchsorted(shown, numbers), 0, len(shown) - 1)
    left = np.searchsorted(shown, shown[np.maximum(right - 1, 0)])
    return np.where(np.abs(shown[left] - numbers) <= np.abs(shown[right] - numbers), left, right)


def select_frames(frames: Iterable[np.ndarray], numbers: Sequence[int] | np.ndarray) -> Iterator[np.ndarray]:
    """Yield the frames with these non-decreasing `numbers`, holding one at a time (numbers may repeat)."""
    source = enumerate(frames)
    position, frame = -1, None
    for number in numbers:
        while position < number:
            try:
                position, frame = next(source)
            except StopIteration:
                raise InputError(
                    f"frame {number} was asked for, but the video has only {position + 1} frames"
                ) from None
        if position != number or frame is None:
            raise InputError(f"frame numbers must not decrease: {number} was asked for after {position}")
        yield frame


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts `img2` before `img10`: runs of digits count as numbers."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(p), p) if p.isdigit() else (1, 0, p) for p in parts if p] + [(2, 0, name)]


def list_images(folder: str | Path) -> list[Path]:
    """The images of a folder in natural order; hidden files and other files are left out."""
    folder = _existing(folder)
    images = [
        p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != "." and p.is_file()
    ]
    if not images:
        raise InputError(f"{folder}: no images in this folder (looked for {', '.join(IMAGE_SUFFIXES)})")
    return sorted(images, key=lambda p: natural_key(p.name))


def read_image(path: str | Path) -> np.ndarray:
    """One image file as RGB `uint8 (H, W, 3)`, under the same rules as `read_frames`."""
    path = _existing(path)
    data = path.read_bytes()  # not cv2.imread: it cannot open every file name on every system
    if not data:
        raise InputError(f"{path}: the image file is empty (0 bytes); copy it again from its source")
    cv2 = _opencv()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    body, end = _END_MARKS.get(data[:2], (b"", b""))
    if image is None or (end and data.rfind(end) < data.rfind(body)):
        raise InputError(f"{path}: the image is broken or cut short; copy it again from its source")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_images(paths: Iterable[Path]) -> Iterator[np.ndarray]:
    """Yield image files as frames, all of the first one's size; a path repeated in a row is read once."""
    last: Path | None = None
    frame = np.empty((0, 0, 3), np.uint8)
    for path in paths:
        if path != last:
            size = frame.shape
            frame = read_image(path)
            if last is not None and frame.shape != size:
                raise InputError(
                    f"{path}: the image is {frame.shape[1]} x {frame.shape[0]}, those before it are "
                    f"{size[1]} x {size[0]}; a video has one size, so remove or resize it"
                )
            last = path
        yield frame


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float) -> int:
    """Write RGB `uint8 (H, W, 3)` frames (or grey `(H, W)`) as a video file, atomically; return how many.

    `.avi`, `.mkv` and `.mov` are lossless; `.mp4` and `.webm` are not.  Frames are taken one at a time.
    Width and height must be even (the codecs would cut an odd one): `write_images` takes any size.
    """
    path = Path(path)
    codec = _CODECS.get(path.suffix.lower())
    if codec is None:
        raise InputError(f"{path}: cannot write {path.suffix!r}; use one of {', '.join(_CODECS)}")
    if not (math.isfinite(fps) and fps > 0):
        raise InputError(f"fps: expected a rate above 0 frames per second, got {fps}")
    cv2 = _opencv()
    with atomic_path(path) as temporary:
        writer, size, count = cv2.VideoWriter(), None, 0
        try:
            for count, frame in enumerate(frames, start=1):
                _check_frame(frame, count - 1, size)
                if size is None:
                    size = frame.shape[:2]
                    if size[0] % 2 or size[1] % 2:
                        raise InputError(
                            f"{path}: {size[1]} x {size[0]} frames: a video file needs even sizes"
                        )
                    fourcc = cv2.VideoWriter.fourcc(*codec)
                    if not writer.open(str(temporary), cv2.CAP_FFMPEG, fourcc, float(fps), size[::-1]):
                        raise InputError(f"{path}: OpenCV cannot write {codec} here; try another suffix")
                code = cv2.COLOR_GRAY2BGR if frame.ndim == 2 else cv2.COLOR_RGB2BGR
                writer.write(cv2.cvtColor(frame, code))
        finally:
            writer.release()
        if not count:
            raise InputError(f"{path}: there are no frames to write")
    return count


def write_images(folder: str | Path, frames: Iterable[np.ndarray]) -> int:
    """Write frames as `000000.png`, `000001.png` ... into a new folder, or none at all; return how many."""
    cv2, folder = _opencv(), Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    count, size = 0, None
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as name:
        temporary = Path(name) / "images"
        temporary.mkdir()
        for count, frame in enumerate(frames, start=1):
            _check_frame(frame, count - 1, size)
            size = frame.shape[:2]
            code = cv2.COLOR_GRAY2BGR if frame.ndim == 2 else cv2.COLOR_RGB2BGR
            data = cv2.imencode(".png", cv2.cvtColor(frame, code))[1]
            (temporary / f"{count - 1:06d}.png").write_bytes(data.tobytes())
        if not count:
            raise InputError(f"{folder}: there are no frames to write")
        try:
            temporary.rename(folder)
        except OSError as error:
            raise InputError(f"{folder}: is already there; remove it or choose another name") from error
    return count


def _check_frame(frame: np.ndarray, number: int, size: tuple[int, ...] | None) -> None:
    if frame.dtype != np.uint8 or not (frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 3)):
        raise InputError(
            f"frame {number}: expected uint8 (H, W, 3) RGB or (H, W) grey, got {frame.dtype} {frame.shape}"
        )
    if size is not None and frame.shape[:2] != size:
        raise InputError(f"frame {number} is {frame.shape[:2]}, the first was {size}; a video has one size")


def _existing(path: str | Path) -> Path:
    path = as_path("path", path)
    if not path.exists():
        raise MissingError(f"{path}: no such file or folder; check the path")
    return path


@functools.cache
def _opencv() -> Any:
    """OpenCV, imported late so that `check_machine` can say why it cannot be imported."""
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise MissingError(f"OpenCV cannot be imported ({error}); run `metst check`") from error


def _open(path: Path) -> Any:
    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); copy it again from its source")
    missing = _missing_bytes(path)
    if missing:
        raise InputError(
            f"{path}: the file is cut short, {missing} bytes are missing; copy it again from its source"
        )
    cv2 = _opencv()
    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    if not capture.isOpened():
        raise InputError(
            f"{path}: no video stream can be opened (broken file, audio only, or not a video); play it, or "
            f"{_REENCODE.format(name=path.name)}"
        )
    return capture


def _decode(path: Path, capture: Any) -> Iterator[np.ndarray]:
    cv2 = _opencv()
    try:
        frame: np.ndarray | None = None
        seconds = 0.0
        while True:
            good, image = capture.read()
            if not good:
                break
            if frame is not None and image.shape != frame.shape:
                raise InputError(
                    f"{path}: the frame size changes on the way; " + _REENCODE.format(name=path.name)
                )
            frame = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            yield frame
        _check_end(path, capture, frame is not None, seconds)
    finally:
        capture.release()


class _Scan(NamedTuple):
    seconds: np.ndarray
    fps: float
    size: tuple[int, int]


def _scan_file(path: Path) -> _Scan:
    if path.is_dir():
        raise InputError(f"{path}: a folder of images has no time stamps; give its frame rate")
    stat = path.stat()
    return _scan(path.resolve(), stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=4096)
def _scan(path: Path, _modified: int, _bytes: int) -> _Scan:
    """Decode a file once, keeping no picture; the last two arguments tell a changed file from a known one."""
    capture, cv2 = _open(path), _opencv()
    try:
        stamps: list[float] = []
        size = (0, 0)
        while capture.grab():
            if not stamps:
                good, image = capture.retrieve()
                if not good:
                    break
                size = (image.shape[1], image.shape[0])
            stamps.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        _check_end(path, capture, bool(stamps), stamps[-1] if stamps else 0.0)
        declared = capture.get(cv2.CAP_PROP_FPS)
    finally:
        capture.release()
    seconds = np.array(stamps) - stamps[0]
    span = seconds[-1]
    usable = len(seconds) > 1 and bool((np.diff(seconds) > 0).all())
    plausible = math.isfinite(declared) and 0 < declared <= 10_000
    if not (usable or plausible):
        raise InputError(f"{path}: the file tells no frame rate; " + _REENCODE.format(name=path.name))
    # Time stamps are rounded to milliseconds in some containers.
    if plausible and (not usable or abs((len(seconds) - 1) / declared - span) <= max(0.01 * span, 0.002)):
        if not usable:
            seconds = np.arange(len(seconds)) / declared
        return _Scan(seconds, float(declared), size)
    return _Scan(seconds, float((len(seconds) - 1) / span), size)


def _check_end(path: Path, capture: Any, any_frame: bool, seconds: float) -> None:
    """Raise if the decoder gave up clearly before the end (a longer sound track may add a tenth and 1 s)."""
    if not any_frame:
        raise InputError(f"{path}: no frame can be decoded; " + _REENCODE.format(name=path.name))
    cv2 = _opencv()
    count, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    length = min(count / fps if fps > 0 and count > 0 else 0.0, _edited_seconds(path))
    if 0 < seconds < 0.9 * length - 1:
        raise InputError(
            f"{path}: decoding stops after {seconds:.1f} of {length:.1f} seconds; "
            + _REENCODE.format(name=path.name)
        )


def _missing_bytes(path: Path) -> int:
    """How many bytes a container announces beyond the end of its file (0: whole, or it does not tell)."""
    total = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(12)
        if head[:4] == b"RIFF":
            end = 8 + int.from_bytes(head[4:8], "little")
        elif head[:4] == b"\x1aE\xdf\xa3":
            end = _matroska_end(stream)
        elif head[4:8] in _MP4_BOXES:
            end = _mp4_end(stream, total)
        else:
            end = 0
    return max(0, end - total)


_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide")


def _mp4_boxes(stream: BinaryIO, total: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of a file's outermost boxes (ISO 14496-12), as they are announced."""
    position = 0
    while position < total:
        stream.seek(position)
        head = stream.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if head[4:8] not in _MP4_BOXES or size < 8:
            return
        yield head[4:8], position, position + size
        position += size


def _mp4_end(stream: BinaryIO, total: int) -> int:
    return max((end for _, _, end in _mp4_boxes(stream, total)), default=0)


def _edited_seconds(path: Path) -> float:
    """How long a trimmed MP4 or MOV plays by its edit lists; infinite for any other file."""
    total = path.stat().st_size
    with path.open("rb") as stream:
        for name, start, end in _mp4_boxes(stream, total):
            if name == b"moov":
                stream.seek(start)
                return _edits(stream.read(end - start))
    return math.inf


def _edits(moov: bytes) -> float:
    """Longest sum of the segments in an edit list, in seconds (32-bit boxes: 64-bit ones are not for clips)."""
    header = moov.find(b"mvhd")
    if header < 0 or len(moov) < header + 20 or moov[header + 4] != 0:
        return math.inf
    (scale,) = struct.unpack_from(">I", moov, header + 16)
    lengths = []
    for found in re.finditer(b"elst\\0", moov):
        (count,) = struct.unpack_from(">I", moov, found.start() + 8)
        starts = range(found.start() + 12, min(found.start() + 12 + 12 * count, len(moov) - 11), 12)
        lengths.append(sum(struct.unpack_from(">I", moov, s)[0] for s in starts))
    return max(lengths) / scale if lengths and scale else math.inf


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
