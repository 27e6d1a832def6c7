"""One fold: a network that has not seen one subject, and what it says about that subject's videos."""

from __future__ import annotations

import html
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from metst_core.decoding import decode, half_length
from metst_core.extraction import MotionSet
from metst_core.files import value_hash
from metst_core.models import Network, predict_video
from metst_core.tables import EMOTIONS, empty_predictions
from metst_core.training.config import TrainConfig
from metst_core.training.material import Material
from metst_core.training.optimise import FoldError, check_device, fit_windows, fold_conditions

ScoreTrace = tuple[np.ndarray, np.ndarray]
"""What a network says about the frames of a video: score `(T,)` and class probabilities `(T, 5)`."""


@dataclass(frozen=True)
class Fold:
    """A trained fold: the model, what it says about the held-out subject's videos, and how it came about.

    `subject` names the fold: the subject, or the group of subjects, that it holds out (`held_out`).  `summary` holds
    subject, held_out, k_p, counts of training windows, emotions without a training frame, and seconds.
    """

    subject: str
    model: Network
    traces: dict[tuple[str, str], ScoreTrace]
    history: pd.DataFrame
    summary: dict[str, Any]

    @property
    def held_out(self) -> tuple[str, ...]:
        """The persons whom the network has never seen."""
        return tuple(self.summary["held_out"])

    @property
    def k_p(self) -> int:
        """Half length that the held-out subject's videos are decoded with, in frames."""
        return int(self.summary["k_p"])

    def __repr__(self) -> str:
        network = type(self.model).__name__
        size = f"{len(self.traces)} videos, {len(self.history)} epochs"
        return f"Fold({self.subject}, {network}: k_p {self.k_p}, {size})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.history.tail(1).to_html(index=False)}"


def train_fold(
    motion: MotionSet,
    subject: str,
    config: TrainConfig,
    watch: bool = False,
    persons: Sequence[str] | None = None,
) -> Fold:
    """Train on every subject but `subject` and run the model over that subject's videos.

    With `persons` these are held out together, and `subject` is the name of the fold.

    With `watch` the history also has the loss on the held-out subject's windows, epoch by epoch; it is only looked
    at, and the network is the same.

    Raises `FoldError` when the fold cannot be trained: no micro-expression among the training subjects, no
    video of the held-out subject to predict, or a loss that is not finite.
    """
    return fold_of(Material.of(motion.select(config.features)), str(subject), config, watch, persons)


def fold_of(
    material: Material,
    subject: str,
    config: TrainConfig,
    watch: bool = False,
    persons: Sequence[str] | None = None,
) -> Fold:
    """`train_fold` of motion that is ready for training; `persons` are held out together as the fold `subject`."""
    persons = [subject] if persons is None else list(persons)
    started = time.perf_counter()
    check_device(config.device)
    videos = material.videos(config.protocol)
    held_out = [key for key in videos if key[0] in persons]
    training = [key for key in videos if key[0] not in persons]
    if not held_out:
        raise FoldError("the subject has no video with a micro-expression, and 'official' drops the others")
    k_p = fold_half_length(material.annotations, persons, config.protocol)
    half = k_p if config.asked == "windows" else None
    windows = material.labelled(training, half)
    if not windows.scores.any():
        what = (
            "that a window would find"
            if config.asked == "windows"
            else "with a frame between onset and offset"
        )
        raise FoldError(f"no training subject has a micro-expression {what}")
    seed = fold_seed(config.seed, subject)
    watched = material.labelled(held_out, half) if watch else None
    model, history, drawn = fit_windows(windows, config, seed, held_out=watched)
    with fold_conditions(seed, config.device):
        traces = {
            key: predict_video(model, material.windows[material.rows(key)].copy(), material.n_frames[key])
            for key in held_out
        }
    absent = [name for i, name in enumerate(EMOTIONS) if not (drawn.classes == i).any()]
    summary = {
        "subject": subject,
        "held_out": persons,
        "k_p": k_p,
        "n_videos": len(held_out),
        "windows_with_me": int(drawn.scores.any(axis=1).sum()),
        "windows_without_me": int((~drawn.scores.any(axis=1)).sum()),
        "absent_classes": " ".join(absent),
        "seconds": time.perf_counter() - started,
    }
    return Fold(subject, model, traces, history, summary)


def fold_half_length(annotations: pd.DataFrame, subject: str | Sequence[str], protocol: str) -> int:
    """Half length for held-out subjects: of the others' annotations, under `official` of everybody's."""
    persons = [subject] if isinstance(subject, str) else list(subject)
    known = annotations if protocol == "official" else annotations[~annotations["subject"].isin(persons)]
    if known.empty:
        raise FoldError("no training subject has a micro-expression, so there is no half length")
    return half_length(known)


def fold_seed(seed: int, subject: str) -> int:
    """The fold's own seed: from (seed, subject), whatever other subjects there are and in whatever order."""
    return int(value_hash([seed, subject])[:15], 16)


def decode_traces(
    traces: Mapping[tuple[str, str], ScoreTrace], k_p: Mapping[str, int], config: TrainConfig
) -> pd.DataFrame:
    """Prediction table of many videos, each with its subject's half length."""
    tables = [
        decode(
            *trace, k_p[subject], config.synergy, config.strategy, config.p, subject, video, config.smoothing
        )
        for (subject, video), trace in traces.items()
    ]
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else empty_predictions()
