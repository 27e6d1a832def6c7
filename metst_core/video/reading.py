"""A video file or a folder of images as RGB frames; how many there are, how large, and when."""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metst_core.checks import MOST_PIXELS
from metst_core.errors import InputError, MetstError
from metst_core.video.clock import select_frames
from metst_core.video.containers import REENCODE, opened, pyav
from metst_core.video.images import existing, list_images, read_image, read_images
from metst_core.video.pictures import Reading

if TYPE_CHECKING:
    import av

# Pixels less than this far from square are taken as square: resampling would cost more than it mends.
_SQUARE = 0.01
# Share of the steps between frames that must agree with the rate that a container declares.
_STEADY = 0.9
_ODDEST_PIXEL = 10  # times as wide as high, or the reverse: beyond that the file is not believed


class VideoInfo(NamedTuple):
    """Frames per second (NaN for a folder of images), frames that `read_frames` yields, and size."""

    fps: float
    n_frames: int
    size: tuple[int, int]
    """(width, height) in pixels, as a player shows them: turned, and with square pixels."""


def read_frames(path: str | Path, numbers: Sequence[int] | np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yield the frames of a video file or of a folder of images (natural order) as RGB `uint8 (H, W, 3)`.

    numbers: only the frames with these non-decreasing numbers (`select_frames`); the others are not converted.

    Rotation and mirroring are applied as the file says, and pixels that are not square are made so (the longer
    side grows); grey images get three equal channels, 16-bit images are reduced to 8 bits and an alpha channel
    is dropped.  Frames are decoded one at a time.

    Raises `MissingError` if there is no such file, and `InputError` (naming the file or image) if it cannot
    be decoded, is cut short, lost frames, or changes its size on the way.
    """
    path = existing(path)
    if path.is_dir():
        images = read_images(list_images(path))
        return images if numbers is None else select_frames(images, numbers)
    return _rgb_frames(path, numbers)


def probe(path: str | Path) -> VideoInfo:
    """Return `VideoInfo(fps, n_frames, (width, height))`; it unpacks as three values.

    `n_frames` is exactly how many frames `read_frames` yields.  The count in a container's header can be
    wrong (it is estimated in MKV and WebM, and trimming leaves the old one in MP4), so the video is decoded
    once, without converting colours, and counted; the answer is kept while the file does not change.  `fps`
    is the container's rate if nine in ten steps of the time stamps agree with it (the others are pauses or
    lost pictures), else (variable frame rate) the mean rate of the time stamps.
    """
    path = existing(path)
    if path.is_dir():
        images = list_images(path)
        height, width = read_image(images[0]).shape[:2]
        return VideoInfo(math.nan, len(images), (width, height))
    scan = _scan_file(path)
    return VideoInfo(scan.fps, len(scan.seconds), scan.size)


def announced_seconds(path: str | Path) -> float:
    """How long a video file says that it is, seconds, without decoding it: an estimate; 0 where it does not say.

    A folder of images tells nothing either.
    """
    try:
        path = existing(path)
        if path.is_dir():
            return 0.0
        with opened(path) as container:
            return max(0.0, float(container.duration or 0) / pyav().time_base)
    except (MetstError, OSError, ValueError):
        return 0.0


def timestamps(path: str | Path) -> np.ndarray:
    """Time of every frame of a video file in seconds, `(n_frames,)`, strictly increasing, on a player's clock.

    0 is where playing begins; the first frame comes later where the sound begins before the picture.
    """
    return _scan_file(existing(path)).seconds.copy()


def _rgb_frames(path: Path, numbers: Sequence[int] | np.ndarray | None) -> Iterator[np.ndarray]:
    reading = Reading(path)
    pictures = reading.pictures() if numbers is None else select_frames(reading.pictures(), numbers)
    reformatter = pyav().video.reformatter.VideoReformatter()
    matrix: Any = None
    last: av.VideoFrame | None = None
    image = np.empty((0, 0, 3), np.uint8)
    for frame in pictures:
        if frame is last:  # asked for once more
            yield image
            continue
        if matrix is None:
            matrix = _display_matrix(frame)
        width, height = _square_size(frame, reading.pixel)
        picture = reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation="BICUBIC", threads=1
        )
        plane = picture.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)
        image = _turned(rows[:, : width * 3].reshape(height, width, 3), matrix)
        # The decoder may still need a picture that it gave as RGB.
        image = image.copy() if picture is frame else np.ascontiguousarray(image)
        last = frame
        yield image


def _square_size(frame: av.VideoFrame, pixel: Fraction) -> tuple[int, int]:
    """Width and height of a frame with square pixels: the side that is too short grows, as in a browser."""
    ratio = float(pixel)
    if abs(ratio - 1) < _SQUARE or not 1 / _ODDEST_PIXEL <= ratio <= _ODDEST_PIXEL:
        return frame.width, frame.height
    if frame.width * frame.height * max(ratio, 1 / ratio) > MOST_PIXELS:  # square pixels would be too many
        return frame.width, frame.height
    return round(frame.width * max(1.0, ratio)), round(frame.height * max(1.0, 1 / ratio))


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """`a, b, c, d` of the matrix that leads from stored to shown: x' = a x + c y, y' = b x + d y (y downwards)."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None or len(bytes(data)) != 36:
        return 1, 0, 0, 1
    numbers = struct.unpack("=9i", bytes(data))
    return numbers[0], numbers[1], numbers[3], numbers[4]


def _turned(image: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """The image turned and mirrored by quarters, as the matrix is nearest to."""
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.swapaxes(0, 1), c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


class _Scan(NamedTuple):
    seconds: np.ndarray
    fps: float
    size: tuple[int, int]


def _scan_file(path: Path) -> _Scan:
    if path.is_dir():
        raise InputError(f"{path}: a folder of images has no time stamps; give its frame rate")
    stat = path.stat()
    return scanned(path.resolve(), stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=4096)
def scanned(path: Path, _modified: int, _bytes: int) -> _Scan:
    """Decode a file once, keeping no picture; the last two arguments tell a changed file from a known one."""
    reading = Reading(path)
    size = (0, 0)
    # What only smooths the picture is left out; what can fail is not.
    for frame in reading.pictures(skip_loop_filter="all"):
        if size == (0, 0):
            width, height = _square_size(frame, reading.pixel)
            height, width = _turned(np.empty((height, width)), _display_matrix(frame)).shape
            size = (width, height)
    seconds = np.array(reading.seconds)
    if abs(seconds[0]) < reading.tick:  # the container tells its start in microseconds
        seconds -= seconds[0]
    steps = np.diff(seconds)
    plausible = [rate for rate in reading.rates if math.isfinite(rate) and 0 < rate <= 10_000]
    if len(steps) and (steps > 0).all():
        for rate in plausible:
            agree = np.abs(steps - 1 / rate) <= max(0.01 / rate, 1.5 * reading.tick)
            if agree.mean() >= _STEADY:
                return _Scan(seconds, rate, size)
        return _Scan(seconds, float(len(steps) / (seconds[-1] - seconds[0])), size)
    if not plausible:
        raise InputError(f"{path}: the file tells no frame rate; " + REENCODE.format(name=path.name))
    first = seconds[0] if math.isfinite(seconds[0]) else 0.0
    return _Scan(first + np.arange(len(seconds)) / plausible[0], plausible[0], size)
