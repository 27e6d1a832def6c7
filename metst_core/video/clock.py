"""Which frame is shown when: another rate, and numbers from one rate to the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from metst_core.checks import most_frames
from metst_core.errors import InputError

_Frame = TypeVar("_Frame")


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
    if n_out > most_frames(len(times)):
        raise InputError(
            f"seconds: {len(times):,} frames from {times[0]:g} to {times[-1]:g} would become {n_out:,} at {fps:g} per second, "
            f"more than {most_frames(len(times)):,}; does the clock of the film jump? Re-encode it, or cut it into parts"
        )
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


def select_frames(frames: Iterable[_Frame], numbers: Sequence[int] | np.ndarray) -> Iterator[_Frame]:
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
