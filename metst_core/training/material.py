"""What networks are trained on: windows with their targets, and which of them are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metst_core.errors import InputError
from metst_core.extraction import MotionSet
from metst_core.tables import of_video
from metst_core.windows import cover_targets, unstitch, window_targets


@dataclass(frozen=True)
class TrainingWindows:
    """Windows and their targets.

    pool: motion `(M, C, k)` that the windows lie in, not copied.
    rows: which of the pool's windows these are, `(N,)`.
    scores, classes: target score (float32, 0 or 1) and class (int64) of every frame, `(N, k)` each.
    """

    pool: np.ndarray
    rows: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def motion(self) -> np.ndarray:
        """The motion of the windows, `(N, C, k)`, a copy."""
        return self.pool[self.rows]

    def draw(self, ratio: float, rng: np.random.Generator) -> TrainingWindows:
        """Those that a training uses (`draw_windows`)."""
        drawn = draw_windows(self.scores, ratio, rng)
        return TrainingWindows(self.pool, self.rows[drawn], self.scores[drawn], self.classes[drawn])


def draw_windows(scores: np.ndarray, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Indices, in order, of the windows to train on: all with an ME frame, and `ratio` times as many without.

    `scores` is `(n_windows, k)`, the target score.  The draw is without replacement and made once per fold;
    where fewer windows without a micro-expression exist, all of them are taken.
    """
    with_me = np.flatnonzero(scores.any(axis=1))
    without = np.flatnonzero(~scores.any(axis=1))
    n_drawn = min(len(without), round(ratio * len(with_me)))
    return np.sort(np.concatenate([with_me, rng.choice(without, n_drawn, replace=False)]))


def windows_of(motion: MotionSet) -> TrainingWindows:
    """All windows of a motion set with their targets, video by video."""
    material = Material.of(motion)
    return material.labelled(list(material.first))


@dataclass(frozen=True)
class Material:
    """A motion set as workers receive it: one array of all windows, and where each video's lie."""

    windows: np.ndarray
    first: dict[tuple[str, str], int]
    count: dict[tuple[str, str], int]
    n_frames: dict[tuple[str, str], int]
    annotations: pd.DataFrame

    @classmethod
    def of(cls, motion: MotionSet) -> Material:
        for (subject, video), value in motion.windows.items():
            if not np.isfinite(value).all():
                raise InputError(
                    f"the motion of {subject}/{video} is not finite; extract it again or drop it"
                )
        windows = np.ascontiguousarray(np.concatenate(list(motion.windows.values())), dtype=np.float32)
        count = {key: len(value) for key, value in motion.windows.items()}
        first = dict(zip(count, np.cumsum([0, *count.values()]).tolist()[:-1], strict=True))
        return cls(windows, first, count, {key: motion.n_frames(*key) for key in count}, motion.annotations)

    def rows(self, key: tuple[str, str]) -> slice:
        return slice(self.first[key], self.first[key] + self.count[key])

    def videos(self, protocol: str) -> list[tuple[str, str]]:
        return scored_videos(self.first, self.annotations, protocol)

    def labelled(self, keys: Sequence[tuple[str, str]], half: int | None = None) -> TrainingWindows:
        """The windows of some videos, in this order, with their targets.

        They are asked of every frame, or, with a half length, of the window of `2 half + 1` frames around it.
        """
        if not keys:
            none = np.zeros((0, self.windows.shape[2]))
            return TrainingWindows(
                self.windows, np.zeros(0, np.int64), none.astype(np.float32), none.astype(np.int64)
            )
        targets = [self._targets(key, half) for key in keys]
        scores, classes = (np.concatenate(part) for part in zip(*targets, strict=True))
        rows = np.concatenate([np.r_[self.rows(key)] for key in keys])
        return TrainingWindows(self.windows, rows, scores, classes)

    def _targets(self, key: tuple[str, str], half: int | None) -> tuple[np.ndarray, np.ndarray]:
        mine, n_frames = of_video(self.annotations, *key), self.n_frames[key]
        window = self.windows.shape[2]
        if half is None:
            score, classes = window_targets(mine, n_frames, window)
        else:
            score, classes = (unstitch(values, window) for values in cover_targets(mine, n_frames, half))
        return score[: self.count[key]], classes[: self.count[key]]


def scored_videos(
    videos: Iterable[tuple[str, str]], annotations: pd.DataFrame, protocol: str
) -> list[tuple[str, str]]:
    """The videos that take part: all, or under `official` those with a micro-expression."""
    with_me = set(zip(annotations["subject"], annotations["video"], strict=True))
    return [key for key in videos if protocol == "strict" or key in with_me]
