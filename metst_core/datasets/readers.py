"""How the frames of one video are read: all of them, at another rate, by number, or every n-th."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metst_core.checks import most_frames
from metst_core.errors import InputError, MetstError
from metst_core.video import (
    list_images,
    natural_key,
    read_frames,
    read_images,
    resample_map,
    select_frames,
    timestamps,
)

IMAGE_FPS = 30.0
"""Rate at which folders of images are taken to be recorded, unless one says otherwise."""

UNREADABLE = (MetstError, OSError)
"""What reading a video can raise that is the video's fault; OSError: no permission, a lost network drive."""


@dataclass(frozen=True)
class VideoReader:
    """Reads every frame of a video file or folder of images.  Readers are values: they compare and pickle."""

    def frames(self, path: Path) -> Iterator[np.ndarray]:
        """Yield RGB frames `uint8 (H, W, 3)`."""
        return read_frames(path)

    def source_numbers(self, path: Path, numbers: np.ndarray) -> np.ndarray:
        """0-based numbers in the recording of yielded frames (which may lie outside the video)."""
        return np.asarray(numbers, dtype=np.int64)


@dataclass(frozen=True)
class ResampledReader(VideoReader):
    """Reads a video at a constant rate: each frame is the recorded one nearest in time."""

    fps: float
    image_fps: float = IMAGE_FPS

    def seconds(self, path: Path) -> np.ndarray:
        """Time of every recorded frame."""
        return np.arange(len(list_images(path))) / self.image_fps if path.is_dir() else timestamps(path)

    def map(self, path: Path) -> np.ndarray:
        """Recorded frame number of every yielded frame."""
        return resample_map(self.seconds(path), self.fps)

    def frames(self, path: Path) -> Iterator[np.ndarray]:
        return select_frames(read_frames(path), self.map(path))

    def source_numbers(self, path: Path, numbers: np.ndarray) -> np.ndarray:
        frame_map = self.map(path)
        return frame_map[np.clip(numbers, 0, len(frame_map) - 1)]


@dataclass(frozen=True)
class NumberedImagesReader(VideoReader):
    """Reads images named by frame numbers from 0; a gap is filled by repeating the next image there is."""

    def files(self, path: Path) -> list[Path]:
        """One image file per frame number."""
        by_number: dict[int, Path] = {}
        for image in list_images(path):
            number = image_number(image)
            if number is not None:
                by_number.setdefault(number, image)
        if not by_number:
            raise InputError(f"{path}: no image here has a frame number as its name")
        last = max(by_number)
        if last + 1 > most_frames(len(by_number)):
            raise InputError(
                f"{path}: {len(by_number)} images, and one has the number {last}; is {by_number[last].name} one of them?"
            )
        files = [by_number[last]] * (last + 1)
        for number in reversed(range(len(files) - 1)):
            files[number] = by_number.get(number, files[number + 1])
        return files

    def frames(self, path: Path) -> Iterator[np.ndarray]:
        return read_images(self.files(path))


@dataclass(frozen=True)
class SteppedImagesReader(VideoReader):
    """Reads every `step`-th image of a folder, in natural order, the first one included."""

    step: int

    def files(self, path: Path) -> list[Path]:
        """One image file per yielded frame."""
        return list_images(path)[:: self.step]

    def frames(self, path: Path) -> Iterator[np.ndarray]:
        return read_images(self.files(path))

    def source_numbers(self, path: Path, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(numbers, dtype=np.int64) * self.step


def image_number(path: Path) -> int | None:
    """The last number in an image's name."""
    found = re.findall(r"[0-9]+", path.stem)
    return int(found[-1]) if found and len(found[-1]) < 8 else None


def visible(folder: Path) -> list[Path]:
    """What lies in a folder, in natural order, without hidden files."""
    return sorted((p for p in folder.iterdir() if p.name[0] != "."), key=lambda p: natural_key(p.name))
