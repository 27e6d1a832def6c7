"""Methods compared on the same people: paired differences, and the spread over training seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pandas as pd

from metst_core.extraction import MotionSet
from metst_core.metrics import (
    INTERVALS,
    TESTED,
    Evaluation,
    Intervals,
    Predicted,
    compare_methods,
    judge,
    seed_spread,
)
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
    seeds: Mapping[str, Sequence[Scored]] | None = None,
) -> pd.DataFrame:
    """Paired differences b - a of methods scored on the same truth: one table, tested as a whole.

    The columns are those of `metrics.compare_methods` and `verdict`, "better", "worse" or "not told apart" by its
    `p_table`.  Only the persons that both methods of a pair scored count.  `seeds` holds a method's runs with several
    training seeds, the one in `results` among them, where there are such.
    """
    used = dict.fromkeys(name for pair in pairs for name in pair)
    methods = {name: predicted((seeds or {}).get(name) or [results[name]]) for name in used}
    truth = max((results[name].annotations for name in used), key=len, default=None)
    if truth is None:
        return pd.DataFrame(columns=[*TESTED, "verdict"])
    table = compare_methods(methods, pairs, truth, intervals, classes)
    told = [
        judge(difference, p, intervals.level)
        for difference, p in zip(table["difference"], table["p_table"], strict=True)
    ]
    return table.assign(verdict=told)


def predicted(runs: Sequence[Scored]) -> Predicted:
    """One method's runs, one per training seed, as `metrics.compare_methods` takes them.

    Only the persons that all of them scored count.
    """
    subjects = [s for s in runs[0].subjects if all(s in run.subjects for run in runs)]
    return Predicted([run.predictions for run in runs], subjects, isinstance(runs[0], LosoResult))


def verdict(low: float, high: float) -> str:
    """What the interval of one paired difference b - a says of b: "better", "worse" or "not told apart".

    For a table of many, see its column `verdict` (`compare`): of twenty such intervals one misleads.
    """
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
