"""Methods compared on the same people: paired differences, and the spread over training seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pandas as pd

from metst_core.extraction import MotionSet
from metst_core.metrics import INTERVALS, Evaluation, Intervals, paired_difference, seed_spread
from metst_core.tables import EMOTIONS
from metst_core.training import LosoResult, TrainConfig, leave_one_subject_out


class Scored(Protocol):
    """What a method leaves: a `LosoResult` or a `BaselineResult`."""

    @property
    def predictions(self) -> pd.DataFrame: ...
    @property
    def annotations(self) -> pd.DataFrame: ...
    @property
    def subjects(self) -> list[str]: ...
    @property
    def k_p(self) -> dict[str, int]: ...
    @property
    def evaluation(self) -> Evaluation: ...


def compare(
    results: Mapping[str, Scored],
    pairs: Sequence[tuple[str, str]],
    intervals: Intervals = INTERVALS,
    classes: Sequence[str] = EMOTIONS,
) -> pd.DataFrame:
    """Paired differences b - a of methods scored on the same truth.

    The columns are `a, b, metric, value_a, value_b, difference, low, high, p_value` (`metrics.paired_difference`).
    Only the subjects that both methods scored count.
    """
    rows = []
    for a, b in pairs:
        table = difference(results[a], results[b], intervals, classes)
        table = table.rename(columns={"a": "value_a", "b": "value_b"})
        rows.append(table.assign(a=a, b=b))
    columns = ["a", "b", "metric", "value_a", "value_b", "difference", "low", "high", "p_value"]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def difference(
    a: Scored, b: Scored, intervals: Intervals = INTERVALS, classes: Sequence[str] = EMOTIONS
) -> pd.DataFrame:
    """`metrics.paired_difference` of two results, over the subjects that both scored."""
    subjects = [s for s in a.subjects if s in set(b.subjects)]
    found_a, found_b, truth = (
        t[t["subject"].isin(subjects)] for t in (a.predictions, b.predictions, a.annotations)
    )
    return paired_difference(found_a, found_b, truth, subjects, intervals, classes)


def verdict(low: float, high: float) -> str:
    """What the interval of a paired difference b - a says of b: "better", "worse" or "not told apart"."""
    return "better" if low > 0 else "worse" if high < 0 else "not told apart"


def over_seeds(
    motion: MotionSet, config: TrainConfig, folders: Mapping[int, str | Path], n_jobs: int = 1
) -> tuple[dict[int, LosoResult], pd.DataFrame]:
    """The same run with several training seeds, each in its folder, and the spread of its scores.

    The spread is that of `metrics.seed_spread`.  The data stay the same: only the first weights, the drawn windows
    and their order differ.
    """
    results = {
        seed: leave_one_subject_out(motion, dataclasses.replace(config, seed=seed), folder, n_jobs)
        for seed, folder in folders.items()
    }
    return results, seed_spread({seed: result.evaluation for seed, result in results.items()})
