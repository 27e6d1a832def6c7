"""A face that does not move: a planted absence, in which no relation must be found."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from metst_core.errors import InputError
from metst_core.extraction import MotionSet
from metst_core.landmarks import Landmarker
from metst_core.motion import stream_motion
from metst_core.tables import VIDEO_COLUMNS, empty_annotations


def still_film(picture: np.ndarray, n_frames: int, noise: float = 2.0, seed: int = 0) -> Iterator[np.ndarray]:
    """Frames `(H, W)` of one grey picture that stands still, each with sensor noise of its own (grey levels)."""
    picture = np.asarray(picture)
    if picture.ndim != 2:
        raise InputError(f"picture has shape {picture.shape}; give one grey picture (H, W)")
    rng = np.random.default_rng(seed)
    for _ in range(n_frames):
        yield np.clip(np.rint(picture + rng.normal(0, noise, picture.shape)), 0, 255).astype(np.uint8)


def still_motion(
    picture: np.ndarray,
    landmarker: Landmarker,
    n_frames: int = 120,
    n_films: int = 3,
    window: int = 50,
    noise: float = 2.0,
    seed: int = 0,
) -> MotionSet:
    """The ROI motion of still films of one face, the reference's beside it; every film counts as a person."""
    windows: dict[tuple[str, str], np.ndarray] = {}
    head: dict[tuple[str, str], np.ndarray] = {}
    shift: dict[tuple[str, str], np.ndarray] = {}
    rows = []
    for i in range(n_films):
        key = (f"still {i + 1}", "film")
        parts = list(
            stream_motion(
                still_film(picture, n_frames, noise, seed + i), landmarker, window=window, tail="keep"
            )
        )
        for store, name in ((windows, "motion"), (head, "head"), (shift, "shift")):
            store[key] = np.stack([getattr(part, name) for part in parts])
        rows.append((*key, 30.0, n_frames, ""))
    videos = pd.DataFrame(rows, columns=list(VIDEO_COLUMNS))
    return MotionSet(windows, empty_annotations(), videos, "metst_plus", window, 30.0, head=head, shift=shift)
