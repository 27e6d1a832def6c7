"""The decoder chosen without the persons it is tested on: nested folds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from metst_core.checks import one_of
from metst_core.decoding import STRATEGIES
from metst_core.errors import InputError
from metst_core.experiment.comparisons import Scored, compare
from metst_core.experiment.schema import HEADLINE
from metst_core.extraction import MotionSet
from metst_core.files import run_record, write_json
from metst_core.metrics import (
    INTERVALS,
    METRICS,
    Evaluation,
    Intervals,
    evaluate,
    recall_by_length,
    score_intervals,
)
from metst_core.tables import empty_predictions, write_table
from metst_core.training import LosoResult, decode_traces, leave_one_subject_out

DECODERS: tuple[Mapping[str, Any], ...] = tuple(
    {"strategy": strategy, "smoothing": smoothing, "p": p}
    for strategy, smoothing, p in product(STRATEGIES, (0, 3, 7), (0.45, 0.55, 0.65))
)
"""What is tried: the selection of intervals, the width of the moving average in frames (0: 2 k_p), the threshold."""


SUSPECTED: Mapping[str, Any] = {"strategy": "extensible", "smoothing": 3}
"""What gained STRS when it was looked for on the persons tested: named before it is asked again."""

NAMES = ("papers", "smoothing 3, extensible", "chosen in nested folds")


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


def run_decoders(
    motion: MotionSet,
    outer: Mapping[str, LosoResult],
    out_dir: str | Path,
    n_jobs: int = 1,
    intervals: Intervals = INTERVALS,
    decoders: Sequence[Mapping[str, Any]] = DECODERS,
) -> pd.DataFrame:
    """How each method of a finished run does with three decoders (`NAMES`): a row each, all tested as one table.

    The third is `nested_decoder`'s: what a fold's training persons chose.  The second is one fixed choice (`SUSPECTED`).
    Columns: `model, decoder, choices` (of the folds, in words), of each score of `HEADLINE` value, `_low`, `_high`, and
    against the papers' decoder `_difference`, its `_low`, `_high`, `_p_table`, `_could_see`; `verdict` on the STRS; recall
    by length.  `decoder.csv` and `decoder_record.json` are written into `out_dir`, the networks into its `decoder/`.
    """
    out = Path(out_dir)
    runs: dict[tuple[str, str], Scored] = {}
    choices: dict[str, str] = {}
    for model, result in outer.items():
        nested = nested_decoder(motion, result, out / "decoder" / model, decoders, n_jobs=n_jobs)
        decoded: tuple[Scored, ...] = (result, result.redecoded(**SUSPECTED), nested)
        runs |= {(model, name): run for name, run in zip(NAMES, decoded, strict=True)}
        choices[model] = "; ".join(
            f"{row.fold}: {row.strategy}, smoothing {row.smoothing or '2 k_p'}, p {row.p:g}"
            for row in nested.choices.itertuples()
        )
    keyed = {f"{model}: {name}": run for (model, name), run in runs.items()}
    pairs = [(f"{m}: {NAMES[0]}", f"{m}: {name}") for m in outer for name in NAMES[1:]]
    paired = compare(keyed, pairs, intervals)
    rows = []
    for (model, name), run in runs.items():
        row: dict[str, Any] = {
            "model": model, "decoder": name, "choices": choices[model] if name == NAMES[-1] else "",
        }  # fmt: skip
        own = score_intervals(run.predictions, run.annotations, run.subjects, intervals).set_index("metric")
        tested = paired[paired["b"] == f"{model}: {name}"].set_index("metric")
        for m in HEADLINE:
            row |= {m: own.loc[m, "value"], f"{m}_low": own.loc[m, "low"], f"{m}_high": own.loc[m, "high"]}
            if len(tested):
                row |= {f"{m}_difference": tested.loc[m, "difference"]}
                row |= {
                    f"{m}_difference_{c}": tested.loc[m, c] for c in ("low", "high", "p_table", "could_see")
                }
        row["verdict"] = tested.loc["strs", "verdict"] if len(tested) else ""
        for stratum in recall_by_length(run.predictions, run.annotations, intervals).to_dict("records"):
            row[f"recall, {stratum['stratum']} frames"] = stratum["recall"]
        rows.append(row)
    table = pd.DataFrame(rows)
    write_table(table, out / "decoder.csv")
    about = run_record(date=datetime.now(UTC).date().isoformat(), decoders=[dict(d) for d in decoders])
    write_json(about, out / "decoder_record.json")
    return table


def decoders_in_words(table: pd.DataFrame) -> list[str]:
    """What a table of `run_decoders` says, a sentence per method and decoder that is not the papers'."""
    said = []
    for row in table[table["decoder"] != NAMES[0]].to_dict("records"):
        gap = f"{row['strs_difference']:+.3f} [{row['strs_difference_low']:+.3f}, {row['strs_difference_high']:+.3f}]"
        said.append(
            f"{row['model']}, {row['decoder']}: {row['verdict']} against the papers' decoder, STRS {gap}."
        )
    return said
