"""The papers' claims, each with the cells that could show it: one table, computed once, that can be stopped and go on."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from metst_core.checks import one_of
from metst_core.experiment.ablation import Cell, Runner
from metst_core.experiment.comparisons import Scored, compare, predicted
from metst_core.experiment.schema import HEADLINE
from metst_core.extraction import MotionSet
from metst_core.files import run_record, value_hash, write_json
from metst_core.metrics import INTERVALS, Evaluation, Intervals, evaluate, recall_by_length, score_intervals
from metst_core.rivals import count_parameters
from metst_core.tables import empty_predictions, write_table
from metst_core.training import LosoResult, TrainConfig

METST, METST_PLUS, VRME = "ME-TST, 2409.09707", "ME-TST+, 2508.08082", "BoostingVRME, 2508.18834"


@dataclass(frozen=True)
class Claim:
    """One claim of a paper, in our words, and the cells that ask it; `first` beats `second` where it holds.

    Both are levels of `cells`, the most needed first: where time is short, cells are cut from the end.
    """

    name: str
    sentence: str
    source: str
    first: str
    second: str
    cells: tuple[Cell, ...]


def _cells(factor: str, *levels: tuple[str, Mapping[str, Any]], seeds: int = 1) -> tuple[Cell, ...]:
    return tuple(Cell(factor, level, changes, seeds=seeds) for level, changes in levels)


def _both_ways(name: str, model: str, words: Sequence[str]) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    return tuple((f"{name}, {word}", {"model": model, "variant": word}) for word in words)


_PLUS = {"model": "metst_plus"}
_WAYS = ("centred", "causal", "centred+local", "causal+local")
CLAIMS = (
    Claim("state", "A state carried over the video is better than judging windows one by one.", f"{METST}, abstract",
        "ME-TST+", "window classifier",
        (*_cells("state", ("ME-TST+", _PLUS), *_both_ways("ME-TST+", "metst_plus", ("centred", "local", "centred+local")), seeds=3),
         *_cells("state", ("patch, centred+local", {"model": "patch"}), seeds=3),
         *_cells("state", ("window classifier", {"model": "sliding_window"}), ("ME-TST", {"model": "metst"}),
            *_both_ways("ME-TST+", "metst_plus", ("look5",)),
            *_both_ways("patch", "patch", ("causal", "window", "causal+window")),
            *_both_ways("TCN", "tcn", _WAYS), *_both_ways("LSTM", "lstm", _WAYS),
            *_both_ways("Transformer", "transformer", _WAYS)))),
    Claim("ROIs", "Fine and whole ROIs together are better than five whole ones.", f"{METST_PLUS}, multi-granularity ROIs",
        "18, mixed", "5",
        _cells("ROIs", ("18, mixed", _PLUS), ("5", {"model": "metst_plus_5"}), ("whole alone", {"variant": "whole"}),
            ("fine alone", {"variant": "fine"}), ("18, ME-TST", {"model": "metst_18"}))),
    Claim("time scales", "A slow and a fast path together are better than either.", f"{METST_PLUS}, slow-fast Mamba",
        "slow and fast", "fast alone",
        _cells("time scales", ("slow and fast", _PLUS), ("fast alone", {"variant": "fast"}), ("slow alone", {"variant": "slow"}))),
    Claim("pathways", "Spotting and recognition through one pathway are better than through two.", f"{VRME}, shared parameters",
        "shared", "separate", _cells("pathways", ("separate", _PLUS), ("shared", {"pathways": "shared"}))),
    Claim("synergy", "Naming every spotted interval is better than no synergy of results.", f"{METST}, result-level synergy",
        "2", "0", _cells("synergy", ("2", _PLUS), ("0", {"synergy": 0}), ("1", {"synergy": 1}))),
    Claim("ROI relations", "Seeing ROIs together from the first layer on is better than joining them late.",
        f"{METST_PLUS}, ROI relationship awareness", "mixed stem", "apart",
        _cells("ROI relations", ("mixed stem", _PLUS), ("apart", {"variant": "apart"}))),
    Claim("intervals", "Ends taken from the score are better than a fixed length.", f"{VRME}, interval selection",
        "extensible", "fixed",
        _cells("intervals", ("fixed", _PLUS), ("extensible", {"strategy": "extensible"}), ("smoothing 3", {"smoothing": 3}),
            ("smoothing 3, extensible", {"smoothing": 3, "strategy": "extensible"}), ("p .45", {"p": 0.45}), ("p .65", {"p": 0.65}))),
    Claim("size", "A deeper network with a larger state is better.", "no claim of the papers: their sizes are given",
        "state 32", "state 8",
        _cells("size", ("state 8", {"d_state": 8}), ("state 32", {"d_state": 32}), ("2 blocks a stage", {"blocks_per_stage": 2}))),
)  # fmt: skip
"""What is asked, in the order in which it is computed; the cells of decoding alone train nothing."""


def window_claim(windows: Sequence[int], base: int, epochs: int) -> Claim:
    """Window lengths at equal steps of training: longer windows are fewer, so they are seen in more epochs."""
    cells = tuple(
        Cell("window length", str(w), {"epochs": max(1, round(epochs * w / base))}, window=w) for w in windows
    )
    return Claim(
        "window length", "Longer windows are better.", "no claim of the papers: 50 (30 for SAMM-LV) is given",
        str(max(windows)), str(min(windows)), cells,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class ClaimsTable:
    """What was computed, and what time did not allow.

    table: a row per cell: `claim, level, model, variant, window, seeds, rates, parameters`, then for each score of
        `HEADLINE` value, `_low`, `_high`, `_coverage`, against the claim's `second` `_difference`, its `_low`, `_high`,
        `_p_table`, `_could_see`; `verdict` on the STRS; recall by length in frames.
    answers: a row per claim: `claim, sentence, source, answer` ("held", "not held", "could not be told", or "not
        computed"), with the difference in STRS of `first` - `second`.
    cut: the cells that were not computed.
    """

    table: pd.DataFrame
    answers: pd.DataFrame
    cut: tuple[str, ...]

    def cells(self, claim: str) -> pd.DataFrame:
        """The rows of one claim that were computed."""
        return self.table[self.table["claim"] == claim] if len(self.table) else self.table


@dataclass(frozen=True, eq=False)
class ChosenByOthers:
    """One method whose learning rate each fold took from how the other folds' persons were scored."""

    predictions: pd.DataFrame
    annotations: pd.DataFrame
    subjects: list[str]
    k_p: dict[str, int]
    evaluation: Evaluation
    choices: dict[str, Any] = field(default_factory=dict)


def chosen_by_others(results: Mapping[Any, LosoResult], metric: str = "strs") -> ChosenByOthers:
    """Per fold, the run among `results` (by what tells them apart) that does best on the persons of the other folds.

    The persons tested have no part in the score that chooses.  (The networks that were scored have been trained on them;
    what is chosen is one number.)  Of equally good ones the first is taken.
    """
    first = next(iter(results.values()))
    tables, choices = [], {}
    folds = first.folds[first.folds["status"] != "left out"]
    for fold, mine in folds.groupby("fold", sort=False):
        held_out = set(mine["subject"])

        def others(run: LosoResult, held_out: set[str] = held_out) -> float:
            rest = [t[~t["subject"].isin(held_out)] for t in (run.predictions, run.annotations)]
            return float(getattr(evaluate(*rest), metric))

        best = max(results, key=lambda name: others(results[name]))
        choices[str(fold)] = best
        table = results[best].predictions
        tables.append(table[table["subject"].isin(held_out)])
    filled = [t for t in tables if len(t)]
    found = pd.concat(filled, ignore_index=True) if filled else empty_predictions()
    k_p = {
        s: results[choices[str(f)]].k_p.get(s, 0)
        for f, s in zip(folds["fold"], folds["subject"], strict=True)
    }
    return ChosenByOthers(
        found, first.annotations, first.subjects, k_p, evaluate(found, first.annotations), choices
    )


def run_claims(
    motion: Mapping[int, MotionSet],
    base: TrainConfig,
    out_dir: str | Path,
    claims: Sequence[Claim] = CLAIMS,
    n_jobs: int = 1,
    intervals: Intervals = INTERVALS,
    rates: Sequence[float] = (),
    hours: float | None = None,
) -> ClaimsTable:
    """Compute the cells of `claims` around a configuration, one after the other, and write what there is.

    `motion` by window length, the base's first.  Every trained network lies in a folder of `out_dir` named after what it
    is, so a stopped call goes on, and cells that only decoding tells apart are trained once.  `rates`: learning rates of
    which each fold takes the one that is best on the other folds' persons (none: the configuration's).  After `hours` no
    further cell is begun; what is left out stands in `cut`.  Of each claim the first cells come first, so that every
    claim has some.  `claims.csv`, `answers.csv` and `record.json` are written anew after each cell.
    """
    out = Path(out_dir)
    end = None if hours is None else time.monotonic() + 3600 * hours
    runner = Runner(dict(motion), out, n_jobs, {})
    order = [
        (claim, cell)
        for turn in range(max(len(c.cells) for c in claims))
        for claim in claims
        for cell in claim.cells[turn : turn + 1]
    ]
    done: dict[tuple[str, str], _Done] = {}
    cut: list[str] = []
    found = ClaimsTable(pd.DataFrame(), pd.DataFrame(), ())
    for claim, cell in tqdm(order, desc="claims", unit="cell"):
        late = end is not None and time.monotonic() > end
        if late or (cell.window is not None and cell.window not in motion):
            cut.append(f"{claim.name}: {cell.level}")
            continue
        done[claim.name, cell.level] = _computed(cell, base, runner, rates)
        found = _table(claims, done, cut, intervals)
        _write(found, out, base, rates)
    if cut:
        found = _table(claims, done, cut, intervals)
        if done:
            _write(found, out, base, rates)
    return found


@dataclass(frozen=True)
class _Done:
    cell: Cell
    config: TrainConfig
    window: int
    runs: list[Scored]
    seconds: float


def _computed(cell: Cell, base: TrainConfig, runner: Runner, rates: Sequence[float]) -> _Done:
    started = time.monotonic()
    changes = dict(cell.changes)
    config = dataclasses.replace(base.with_model(changes.pop("model", base.model)), **changes)
    window = next(iter(runner.sets)) if cell.window is None else cell.window
    runs: list[Scored] = []
    for seed in range(config.seed, config.seed + cell.seeds):
        mine = dataclasses.replace(config, seed=seed)
        by_rate = {r: runner.run(dataclasses.replace(mine, learning_rate=r), window) for r in rates}
        runs.append(chosen_by_others(by_rate) if by_rate else runner.run(mine, window))
    return _Done(cell, config, window, runs, time.monotonic() - started)


def _table(
    claims: Sequence[Claim], done: Mapping[tuple[str, str], _Done], cut: Sequence[str], intervals: Intervals
) -> ClaimsTable:
    """All cells so far in one table, tested together: each against the `second` of its claim."""
    order = [(claim.name, cell.level) for claim in claims for cell in claim.cells]
    done = {key: done[key] for key in order if key in done}
    names = {key: f"{key[0]}: {key[1]}" for key in done}
    second = {claim.name: (claim.name, claim.second) for claim in claims}
    pairs = [
        (names[second[key[0]]], names[key])
        for key in done
        if second[key[0]] in done and key != second[key[0]]
    ]
    compared = compare(
        {names[key]: d.runs[0] for key, d in done.items()}, pairs, intervals,
        seeds={names[key]: d.runs for key, d in done.items()},
    )  # fmt: skip
    rows = [_row(key, d, compared[compared["b"] == names[key]], intervals) for key, d in done.items()]
    answers = [_answer(claim, {r["level"]: r for r in rows if r["claim"] == claim.name}) for claim in claims]
    return ClaimsTable(pd.DataFrame(rows), pd.DataFrame(answers), tuple(cut))


def _row(key: tuple[str, str], done: _Done, paired: pd.DataFrame, intervals: Intervals) -> dict[str, Any]:
    config = done.config
    row: dict[str, Any] = {
        "claim": key[0], "level": key[1], "model": config.model, "variant": config.variant,
        "window": done.window, "seeds": len(done.runs), "folds": config.folding,
        "parameters": count_parameters(config.build()), "seconds": round(done.seconds, 1),
    }  # fmt: skip
    found = predicted(done.runs)
    truth = done.runs[0].annotations
    own = score_intervals(found.tables, truth, found.subjects, intervals).set_index("metric")
    by_metric = paired.set_index("metric")
    for m in HEADLINE:
        row |= {m: own.loc[m, "value"], **{f"{m}_{c}": own.loc[m, c] for c in ("low", "high", "coverage")}}
        for column in ("difference", "low", "high", "p_table", "could_see"):
            name = f"{m}_difference" + ("" if column == "difference" else f"_{column}")
            row[name] = by_metric.loc[m, column] if len(by_metric) else float("nan")
    row["verdict"] = by_metric.loc["strs", "verdict"] if len(by_metric) else ""
    for stratum in recall_by_length(done.runs[0].predictions, truth, intervals).to_dict("records"):
        row[f"recall, {stratum['stratum']} frames"] = stratum["recall"]
    return row


def _answer(claim: Claim, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    about = {"claim": claim.name, "sentence": claim.sentence, "source": claim.source}
    if claim.first not in rows or claim.second not in rows:
        return {**about, "answer": "not computed"}
    row = rows[claim.first]
    answer = {"better": "held", "worse": "not held"}.get(row["verdict"], "could not be told")
    kept = ("difference", "difference_low", "difference_high", "difference_p_table", "difference_could_see")
    return {
        **about,
        "first": claim.first,
        "second": claim.second,
        **{k: row[f"strs_{k}"] for k in kept},
        "answer": answer,
    }


def _write(found: ClaimsTable, out: Path, base: TrainConfig, rates: Sequence[float]) -> None:
    write_table(found.table, out / "claims.csv")
    write_table(found.answers, out / "answers.csv")
    record = run_record(train=base.to_dict(), rates=list(rates), identity=value_hash(base.to_dict()))
    write_json({**record, "cut": list(found.cut)}, out / "record.json")


def claims_named(names: Sequence[str], claims: Sequence[Claim] = CLAIMS) -> list[Claim]:
    """Some of the claims, in their order; all where no name is given.  `InputError` for a name that is none."""
    known = [claim.name for claim in claims]
    for name in names:
        one_of("claim", name, known)
    return [claim for claim in claims if not names or claim.name in names]
