"""Clips for somebody who tries to see planted movements by eye: some hold one, some hold none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metst_core.checks import whole_number
from metst_core.errors import InputError
from metst_core.footage.films import Film
from metst_core.footage.findable import plan_rounds
from metst_core.footage.plan import STRENGTHS, Manner
from metst_core.footage.track import Track
from metst_core.footage.warp import warp
from metst_core.synthetic import intensity_of
from metst_core.video import read_frames

SECONDS = 2.0
"""Length of a clip."""

EMPTY = 0.3
"""Share of the clips without a movement: who always says yes is found out."""

_MARGIN = 0.8  # of the inter-ocular distance around the face's landmarks


@dataclass(frozen=True, eq=False)
class BlindClip:
    """A clip: frames `(T, H, W, 3)` uint8 of the face; `strength` (IOD) of what is planted, 0 for nothing; `fps`."""

    frames: np.ndarray
    strength: float
    fps: float


def blind_clips(
    film: Film, face: Track, n: int = 10, strengths: tuple[float, float] = STRENGTHS, seed: int = 0
) -> list[BlindClip]:
    """`n` clips of a film in random order: in most a movement is planted, in `EMPTY` of them nothing.

    face: the film's track.  Raises an `InputError` where the film is too short or nothing can be planted.
    """
    n, length = whole_number("n", n, 2), round(SECONDS * face.fps)
    if face.n_frames < length:
        raise InputError(f"{film.path}: shorter than a clip of {SECONDS:g} s; give a longer film")
    n_moving = n - max(1, round(EMPTY * n))
    manner = Manner("sammlv", strengths, 20.0, seed)
    rounds, _ = plan_rounds(film, face, manner, n_moving)
    events = [event for events in rounds for event in events]
    rng = np.random.default_rng([seed, 9])
    middles = [(e.onset + e.offset) // 2 for e in events]
    middles += rng.integers(length // 2, face.n_frames - length // 2 + 1, n - len(events)).tolist()
    starts = [min(max(0, middle - length // 2), face.n_frames - length) for middle in middles]
    box = _face_box(face)
    clips: list[list[np.ndarray]] = [[] for _ in starts]
    planted = [intensity_of([event], face.n_frames) for event in events]
    for number, frame in enumerate(read_frames(film.path)):
        for i, start in enumerate(starts):
            if start <= number < start + length:
                moved = warp(frame, face, number, planted[i][number]) if i < len(events) else frame
                clips[i].append(moved[box].copy())
    made = [
        BlindClip(np.stack(frames), events[i].strength if i < len(events) else 0.0, face.fps)
        for i, frames in enumerate(clips)
    ]
    return [made[i] for i in rng.permutation(len(made))]


def _face_box(face: Track) -> tuple[slice, slice]:
    """Rows and columns around the face over the whole film."""
    points = face.points[face.usable].reshape(-1, 2)
    low = np.maximum(0, np.quantile(points, 0.01, axis=0) - _MARGIN * np.nanmedian(face.iod)).astype(int)
    high = np.minimum(face.size, np.quantile(points, 0.99, axis=0) + _MARGIN * np.nanmedian(face.iod)).astype(
        int
    )
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
