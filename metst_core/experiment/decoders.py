"""The decoder chosen without the persons it is tested on: nested folds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from metst_core.checks import one_of
from metst_core.decoding import STRATEGIES
from metst_core.errors import InputError
from metst_core.extraction import MotionSet
from metst_core.metrics import METRICS, Evaluation, evaluate
from metst_core.tables import empty_predictions
from metst_core.training import LosoResult, decode_traces, leave_one_subject_out

DECODERS: tuple[Mapping[str, Any], ...] = tuple(
    {"strategy": strategy, "smoothing": smoothing, "p": p}
    for strategy, smoothing, p in product(STRATEGIES, (0, 3, 7), (0.45, 0.55, 0.65))
)
"""What is tried: the selection of intervals, the width of the moving average in frames (0: 2 k_p), the threshold."""


@dataclass(frozen=True, eq=False)
class NestedResult:
    """A run decoded as each fold's own training persons chose; scored as a LOSO run is.

    choices: per outer fold `fold, strategy, smoothing, p` and the `inner` score that they were chosen by.
    """

    predictions: pd.DataFrame
    annotations: pd.DataFrame
    subjects: list[str]
    k_p: dict[str, int]
    evaluation: Evaluation
    choices: pd.DataFrame


def nested_decoder(
    motion: MotionSet,
    outer: LosoResult,
    out_dir: str | Path,
    decoders: Sequence[Mapping[str, Any]] = DECODERS,
    metric: str = "strs",
    n_jobs: int = 1,
) -> NestedResult:
    """Decode each fold of a finished run with the decoder that does best among its training persons.

    For every fold of `outer`, the persons that it trained on are parted into folds once more (as many groups as the
    outer run has besides the one held out; one person at a time where that holds out single persons), networks are
    trained in `out_dir/<fold>` and every one of `decoders` is scored by `metric`.  Neither the networks nor the labels
    that choose have met the persons held out.  Of equally good decoders the first is taken.  Resumable, as all folds.
    """
    one_of("metric", metric, METRICS)
    if not decoders:
        raise InputError("decoders is empty; give the decoders to choose among")
    done = outer.folds[outer.folds["status"] == "done"]
    rows, tables = [], []
    for fold, mine in done.groupby("fold", sort=False):
        held_out = set(mine["subject"])
        rest = motion.of_subjects(s for s in motion.subjects if s not in held_out)
        groups = max(2, outer.config.groups - 1) if outer.config.groups else 0
        config = dataclasses.replace(outer.config, groups=groups)
        inner = leave_one_subject_out(rest, config, Path(out_dir) / str(fold), n_jobs)
        scores = [getattr(inner.redecoded(**decoder).evaluation, metric) for decoder in decoders]
        best = max(range(len(decoders)), key=lambda i: (scores[i], -i))
        chosen = dataclasses.replace(outer.config, **decoders[best])
        traces = {key: trace for key, trace in outer.traces.items() if key[0] in held_out}
        tables.append(decode_traces(traces, outer.k_p, chosen))
        rows.append({"fold": fold, **decoders[best], "inner": scores[best]})
    found = [table for table in tables if len(table)]
    predictions = pd.concat(found, ignore_index=True) if found else empty_predictions()
    return NestedResult(
        predictions, outer.annotations, outer.subjects, outer.k_p, evaluate(predictions, outer.annotations),
        pd.DataFrame(rows),
    )  # fmt: skip
