"""Single images and folders of them, read and written by OpenCV."""

from __future__ import annotations

import contextlib
import functools
import importlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from metst_core.checks import MOST_PIXELS, as_path
from metst_core.errors import InputError, MissingError
from metst_core.files import atomic_folder
from metst_core.video.headers import image_header

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

# A damaged JPEG or PNG still decodes, to a picture that is grey from the damage on; so look for its end mark.
_END_MARKS = {b"\xff\xd8": (b"\xff\xda", b"\xff\xd9"), b"\x89P": (b"IDAT", b"IEND")}


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts `img2` before `img10`: runs of digits count as numbers."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(p), p) if p.isdigit() else (1, 0, p) for p in parts if p] + [(2, 0, name)]


def list_images(folder: str | Path) -> list[Path]:
    """The images of a folder in natural order; hidden files and other files are left out."""
    folder = existing(folder)
    images = [
        p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != "." and p.is_file()
    ]
    if not images:
        raise InputError(f"{folder}: no images in this folder (looked for {', '.join(IMAGE_SUFFIXES)})")
    return sorted(images, key=lambda p: natural_key(p.name))


def files_of(videos: Iterable[str | Path]) -> list[Path]:
    """The files that videos consist of: video files, and the images of folders; what is not there is left out."""
    files: list[Path] = []
    for video in map(Path, videos):
        with contextlib.suppress(InputError, OSError):  # what is wrong with a video is said when it is read
            files += list_images(video) if video.is_dir() else [video]
    return files


def read_image(path: str | Path) -> np.ndarray:
    """One image file as RGB `uint8 (H, W, 3)`, under the same rules as `read_frames`."""
    path = existing(path)
    data = path.read_bytes()  # not cv2.imread: it cannot open every file name on every system
    if not data:
        raise InputError(f"{path}: the image file is empty (0 bytes); copy it again from its source")
    image = decoded(data, str(path))
    body, end = _END_MARKS.get(data[:2], (b"", b""))
    if image is None or (end and data.rfind(end) < data.rfind(body)):
        raise InputError(f"{path}: the image is broken or cut short; copy it again from its source")
    return image


def decoded(data: bytes, where: str) -> np.ndarray | None:
    """The bytes of an image file as RGB `uint8 (H, W, 3)`; None for what OpenCV cannot decode.

    `InputError` for what is none of the known kinds, or larger than `MOST_PIXELS`.
    """
    header = image_header(data)
    if header is None:
        raise InputError(
            f"{where}: is no JPEG, PNG, BMP, TIFF or WebP image, or broken; save it as one of them"
        )
    if header.width * header.height > MOST_PIXELS:
        raise InputError(
            f"{where}: the image is {header.width} x {header.height}, more than the {MOST_PIXELS:,} pixels that are "
            "read; make it smaller"
        )
    cv2 = opencv()
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


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


def write_images(folder: str | Path, frames: Iterable[np.ndarray]) -> int:
    """Write frames as `000000.png`, `000001.png` ... into a new folder, or none at all; return how many."""
    cv2, folder = opencv(), Path(folder)
    count, size = 0, None
    with atomic_folder(folder) as temporary:
        for count, frame in enumerate(frames, start=1):
            check_frame(frame, count - 1, size)
            size = frame.shape[:2]
            code = cv2.COLOR_GRAY2BGR if frame.ndim == 2 else cv2.COLOR_RGB2BGR
            data = cv2.imencode(".png", cv2.cvtColor(frame, code))[1]
            (temporary / f"{count - 1:06d}.png").write_bytes(data.tobytes())
        if not count:
            raise InputError(f"{folder}: there are no frames to write")
    return count


def check_frame(frame: np.ndarray, number: int, size: tuple[int, ...] | None) -> None:
    """Raise `InputError` unless frame `number` is RGB or grey, uint8, and of this (height, width) where one is given."""
    if frame.dtype != np.uint8 or not (frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 3)):
        raise InputError(
            f"frame {number}: expected uint8 (H, W, 3) RGB or (H, W) grey, got {frame.dtype} {frame.shape}"
        )
    if size is not None and frame.shape[:2] != size:
        raise InputError(f"frame {number} is {frame.shape[:2]}, the first was {size}; a video has one size")


def existing(path: str | Path) -> Path:
    """The path of a file or folder that is there, else `MissingError`."""
    path = as_path("path", path)
    if not path.exists():
        raise MissingError(f"{path}: no such file or folder; check the path")
    return path


@functools.cache
def opencv() -> Any:
    """OpenCV, imported late so that `check_machine` can say why it cannot be imported."""
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise MissingError(f"OpenCV cannot be imported ({error}); run `metst check`") from error
