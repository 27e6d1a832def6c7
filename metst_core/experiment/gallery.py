"""The errors of a run by kind, and what there is to see of one."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from metst_core import tables
from metst_core.datasets import Dataset
from metst_core.extraction import MotionSet
from metst_core.metrics import match_tables
from metst_core.plots import ErrorView
from metst_core.training import LosoResult

_LEAD = 30  # frames before the apex in which the window shown may start: a second of most recordings


def errors_by_kind(predictions: pd.DataFrame, annotations: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of `predictions` and `annotations` that are wrong, by the kind of error.

    The kinds: "false positive", "miss" (annotations), "wrong emotion" (true positives of another emotion).
    """
    matched = match_tables(predictions, annotations)
    hit = matched >= 0
    found, true = predictions[hit], annotations["emotion"].to_numpy()[matched[hit]]
    return {
        "false positive": predictions[~hit],
        "miss": annotations.drop(index=annotations.index[matched[hit]]),
        "wrong emotion": found[found["emotion"].to_numpy() != true],
    }


def one_of_each(errors: dict[str, pd.DataFrame]) -> dict[str, pd.Series]:
    """One row of every kind of error that there is: the one with the highest score, of misses the first."""
    return {
        kind: rows.sort_values("score").iloc[-1] if "score" in rows else rows.iloc[0]
        for kind, rows in errors.items()
        if len(rows)
    }


def view_of(
    kind: str, error: pd.Series, dataset: Dataset, motion: MotionSet, result: LosoResult
) -> ErrorView:
    """What there is to see of an error, a row of `errors_by_kind`.

    Its frames are read, its motion and score looked up.
    """
    key = (error.subject, error.video)
    onset, apex = (int(np.clip(number, 0, motion.n_frames(*key) - 1)) for number in (error.onset, error.apex))
    read = itertools.islice(dataset.frames(*key), max(onset, apex) + 1)
    frames = {number: frame for number, frame in enumerate(read) if number in (onset, apex)}
    half = motion.window // 2
    number = min(max(0, apex - _LEAD) // half, len(motion.windows[key]) - 1)
    return ErrorView(
        title=f"{kind}: {'true' if kind == 'miss' else 'named'} {error.emotion}",
        faces=[("onset", onset, frames[onset]), ("apex", apex, frames[apex])],
        apex=error.apex,
        motion=motion.windows[key][number],
        start=number * half,
        features=motion.features,
        score=result.traces[key][0],
        truth=tables.of_video(result.annotations, *key),
    )
