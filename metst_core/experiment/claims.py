"""The papers' claims, each with the cells that could show it: one table, computed once, that can be stopped and go on."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from metst_core.checks import number_between, one_of, whole_number
from metst_core.experiment.ablation import Cell, Runner, training_key
from metst_core.experiment.comparisons import Scored, compare, predicted
from metst_core.experiment.schema import HEADLINE
from metst_core.files import run_record, value_hash, write_json
from metst_core.metrics import INTERVALS, Evaluation, Intervals, evaluate, recall_by_length, score_intervals
from metst_core.rivals import count_parameters
from metst_core.tables import empty_predictions, write_table
from metst_core.training import LosoResult, TrainConfig

METST, METST_PLUS, VRME = "ME-TST, 2409.09707", "ME-TST+, 2508.08082", "BoostingVRME, 2508.18834"


@dataclass(frozen=True)
class Claim:
    """One claim of a paper, in our words, and the cells that ask it; `first` beats `second` where it holds.

    Both are levels of `cells`, the most needed first: where time is short, cells are cut from the end.  rivals: the cells
    are networks of different kinds, each of which may need a learning rate of its own (`Budget.rates`).
    """

    name: str
    sentence: str
    source: str
    first: str
    second: str
    cells: tuple[Cell, ...]
    rivals: bool = False


def _cells(factor: str, *levels: tuple[str, Mapping[str, Any]], seeds: int = 1) -> tuple[Cell, ...]:
    return tuple(Cell(factor, level, changes, seeds=seeds) for level, changes in levels)


def _scaled(factor: str, *levels: tuple[str, Mapping[str, float]]) -> tuple[Cell, ...]:
    return tuple(Cell(factor, level, times=times) for level, times in levels)


def _both_ways(name: str, model: str, words: Sequence[str]) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    return tuple((f"{name}, {word}", {"model": model, "variant": word}) for word in words)


_PLUS = {"model": "metst_plus"}
_SEQUENCES = (("LSTM", "lstm"), ("TCN", "tcn"), ("Transformer", "transformer"))
CLAIMS = (
    Claim("frame of reference",
        "Reading forwards, motion counted from the window's first frame, is better than looking both ways from a near frame.",
        f"{METST}, state transition", "causal, window", "centred, local",
        _cells("frame of reference", ("causal, window", _PLUS), ("centred, local", {"variant": "centred+local"}),
            ("centred, window", {"variant": "centred"}), ("causal, local", {"variant": "local"}), seeds=3)),
    Claim("state", "A state carried over the video is better than judging windows one by one.", f"{METST}, abstract",
        "ME-TST+", "window classifier",
        (*_cells("state", ("ME-TST+", _PLUS), ("window classifier", {"model": "sliding_window"}),
            ("patch, centred+local", {"model": "patch"}), seeds=3),
         *_cells("state", ("ME-TST", {"model": "metst"}),
            *(cell for word in ("causal", "centred+local", "centred", "causal+local")
              for name, model in _SEQUENCES for cell in _both_ways(name, model, (word,))),
            *_both_ways("ME-TST+", "metst_plus", ("look5",)),
            *_both_ways("patch", "patch", ("causal+local", "centred+window", "causal+window")),
            *_both_ways("window classifier", "sliding_window", ("causal+local", "centred+window", "causal+window")))), rivals=True),
    Claim("ROIs", "Fine and whole ROIs together are better than five whole ones.", f"{METST_PLUS}, multi-granularity ROIs",
        "18, mixed", "5",
        _cells("ROIs", ("18, mixed", _PLUS), ("5", {"model": "metst_plus_5"}), ("whole alone", {"variant": "whole"}),
            ("fine alone", {"variant": "fine"}), ("18, ME-TST", {"model": "metst_18"}), ("5, ME-TST", {"model": "metst"}))),
    Claim("time scales", "A slow and a fast path together are better than either.", f"{METST_PLUS}, slow-fast Mamba",
        "slow and fast", "fast alone",
        _cells("time scales", ("slow and fast", _PLUS), ("fast alone", {"variant": "fast"}), ("slow alone", {"variant": "slow"}))),
    Claim("pathways", "Spotting and recognition through one pathway are better than through two.", f"{VRME}, shared parameters",
        "shared", "separate",
        (*_cells("pathways", ("separate", _PLUS), ("shared", {"pathways": "shared"})),
         Cell("pathways", "shared, twice the blocks", {"pathways": "shared"}, times={"blocks_per_stage": 2}))),
    Claim("synergy", "Naming every spotted interval is better than no synergy of results.", f"{METST}, result-level synergy",
        "2", "0", _cells("synergy", ("2", _PLUS), ("0", {"synergy": 0}), ("1", {"synergy": 1}))),
    Claim("ROI relations", "Seeing ROIs together from the first layer on is better than joining them late.",
        f"{METST_PLUS}, ROI relationship awareness", "mixed stem", "apart",
        _cells("ROI relations", ("mixed stem", _PLUS), ("apart", {"variant": "apart"}))),
    Claim("intervals", "Ends taken from the score are better than a fixed length.", f"{VRME}, interval selection",
        "extensible", "fixed",
        (*_cells("intervals", ("fixed", _PLUS), ("extensible", {"strategy": "extensible"}), ("smoothing 3", {"smoothing": 3}),
            ("smoothing 3, extensible", {"smoothing": 3, "strategy": "extensible"})),
         *_scaled("intervals", ("half length x .5", {"k_p": 0.5}), ("half length x 1.5", {"k_p": 1.5})),
         *_cells("intervals", ("p .45", {"p": 0.45}), ("p .65", {"p": 0.65})))),
    Claim("size", "A larger state is better than a smaller one.", "no claim of the papers: their sizes are given",
        "state doubled", "state halved",
        (*_cells("size", ("as the run", _PLUS)),
         *_scaled("size", ("state halved", {"d_state": 0.5}), ("state doubled", {"d_state": 2}),
            ("twice the blocks", {"blocks_per_stage": 2}), ("three times the blocks", {"blocks_per_stage": 3})))),
)  # fmt: skip
"""What is asked.  Cells are computed claim by claim and turn by turn, those that `first` and `second` name first; the
cells of decoding alone train nothing.  `frame of reference` is the 2 x 2 that asks whether it is the state."""


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

    table: a row per cell: `claim, level, model, variant, window, seeds, folds, half_length` (factor), `parameters,
        rates` (learning rates and in how many folds, of all seeds, each was taken), `seconds` (of training, all folds and
        seeds, whenever that was), `size` (parameters as a part of those of `second`), then for each score of `HEADLINE` value, `_low`, `_high`, `_coverage`, against the claim's `second` `_difference`, its `_low`, `_high`,
        `_p_table`, `_could_see`; `verdict` on the STRS; recall by length in frames.
    answers: a row per claim: `claim, sentence, source, answer` ("held", "not held", "could not be told", or "not
        computed"), with the difference in STRS of `first` - `second`, their seeds, and how large `first` is beside it.
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


@dataclass(frozen=True)
class Budget:
    """What a table may take.

    hours: after these no cell is begun that would train anything (None: all are).
    seeds: training seeds of a cell at most (None: as many as it asks for).
    rates: learning rates of which each fold of a claim's `rivals` takes the one that is best on the other folds'
        persons (none: the configuration's, as in all other claims).
    """

    hours: float | None = None
    seeds: int | None = None
    rates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.hours is not None:
            number_between("hours", self.hours, 0, 1e5)
        if self.seeds is not None:
            whole_number("seeds", self.seeds, 1)


UNLIMITED = Budget()
"""All cells, with the seeds that they ask for."""


def run_claims(
    runner: Runner,
    base: TrainConfig,
    out_dir: str | Path,
    claims: Sequence[Claim] = CLAIMS,
    budget: Budget = UNLIMITED,
    intervals: Intervals = INTERVALS,
) -> ClaimsTable:
    """Compute the cells of `claims` around a configuration, one after the other, and write what there is.

    Every trained network lies where `runner` says, so a stopped call goes on, and what several cells share is trained
    once.  Of each claim the cells that answer it come first, so that every claim has some.  Once `budget.hours` are over
    only cells whose networks are all there are computed; the others stand in `cut`.  `claims.csv`, `answers.csv` and
    `record.json` are written at the end, and on the way as often as costs a tenth of the time at most.
    """
    out, started = Path(out_dir), time.monotonic()
    order = _in_turn(claims)
    asked = {(claim.name, cell.level): _asked(claim, cell, base, runner, budget) for claim, cell in order}
    done: dict[tuple[str, str], _Done] = {}
    cut: list[str] = []
    trained = Pace()
    written = _Written(out, base, budget, started)
    found = ClaimsTable(pd.DataFrame(), pd.DataFrame(), ())
    bar = tqdm(order, desc="claims", unit="cell")
    for claim, cell in bar:
        mine = asked[claim.name, cell.level]
        late = budget.hours is not None and time.monotonic() - started > 3600 * budget.hours
        if mine is None or (late and not all(runner.is_trained(*one) for one in mine.trainings)):
            cut.append(f"{claim.name}: {cell.level}")
            continue
        done[claim.name, cell.level] = _computed(cell, mine, runner, trained)
        left = {
            training_key(*one)
            for a in asked.values()
            if a
            for one in a.trainings
            if not runner.is_trained(*one)
        }
        bar.set_postfix_str(trained.said(len(left)))
        if written.is_due():
            found = _table(claims, done, cut, intervals)
            written.write(found)
    if done:
        found = _table(claims, done, cut, intervals)
        written.write(found)
    elif cut:
        found = ClaimsTable(found.table, _table(claims, done, cut, intervals).answers, tuple(cut))
    return found


def _in_turn(claims: Sequence[Claim]) -> list[tuple[Claim, Cell]]:
    """The cells in the order in which they are computed: of each claim one, those that answer it first."""
    queues = [
        (claim, sorted(claim.cells, key=lambda cell, c=claim: cell.level not in (c.first, c.second)))  # type: ignore[misc]
        for claim in claims
    ]
    turns = range(max((len(queue) for _, queue in queues), default=0))
    return [(claim, cell) for turn in turns for claim, queue in queues for cell in queue[turn : turn + 1]]


@dataclass
class Pace:
    """How long a network's folds took to train so far."""

    seconds: float = 0.0
    n: int = 0

    def said(self, n_left: int) -> str:
        """For how long so many more will take; nothing before one has been trained."""
        if not self.n:
            return f"{n_left} networks to train"
        each = self.seconds / self.n / 60
        return f"{n_left} networks to train, {each:.1f} min each, {n_left * each:.0f} min"


class _Written:
    """The files of the table, written as often as a tenth of the time allows."""

    def __init__(self, out: Path, base: TrainConfig, budget: Budget, started: float) -> None:
        self.out, self.base, self.budget = out, base, budget
        self.last, self.cost = started, 0.0

    def is_due(self) -> bool:
        self.began = time.monotonic()
        return self.began - self.last > 10 * self.cost

    def write(self, found: ClaimsTable) -> None:
        _write(found, self.out, self.base, self.budget)
        self.last = time.monotonic()
        self.cost = self.last - self.began


@dataclass(frozen=True)
class _Asked:
    """A cell's configuration, and what has to be trained for it: configurations with their window length, seed by seed.

    rates: of each seed, to choose from.
    """

    config: TrainConfig
    window: int
    trainings: tuple[tuple[TrainConfig, int], ...]
    rates: tuple[float, ...]


@dataclass(frozen=True)
class _Done:
    cell: Cell
    config: TrainConfig
    window: int
    runs: list[Scored]
    rates: str
    seconds: float  # of training, whenever that was


def _asked(claim: Claim, cell: Cell, base: TrainConfig, runner: Runner, budget: Budget) -> _Asked | None:
    """What a cell asks for; None where its window length has no motion."""
    window = next(iter(runner.sets)) if cell.window is None else cell.window
    if window not in runner.sets:
        return None
    config = cell.config(base)
    seeds = [config.seed + i for i in range(min(cell.seeds, budget.seeds or cell.seeds))]
    rates = (budget.rates if claim.rivals else ()) or (config.learning_rate,)
    trainings = [(dataclasses.replace(config, seed=s, learning_rate=r), window) for s in seeds for r in rates]
    return _Asked(config, window, tuple(trainings), rates)


def _computed(cell: Cell, asked: _Asked, runner: Runner, pace: Pace) -> _Done:
    results: list[LosoResult] = []
    for config, window in asked.trainings:
        was_there, began = runner.is_trained(config, window), time.monotonic()
        results.append(runner.run(config, window, cell.times.get("k_p", 1)))
        if not was_there:
            pace.seconds, pace.n = pace.seconds + time.monotonic() - began, pace.n + 1
    n = len(asked.rates)
    runs: list[Scored] = list(results)
    taken = [asked.rates[0]] * sum(run.folds["fold"].nunique() for run in results)
    if n > 1:
        chosen = [
            chosen_by_others(dict(zip(asked.rates, results[i : i + n], strict=True)))
            for i in range(0, len(results), n)
        ]
        runs, taken = list(chosen), [rate for run in chosen for rate in run.choices.values()]
    rates = "; ".join(f"{rate:g} in {taken.count(rate)}" for rate in asked.rates if rate in taken)
    spent = sum(float(run.folds.drop_duplicates("fold")["seconds"].sum()) for run in results)
    return _Done(cell, asked.config, asked.window, runs, rates, spent)


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
    sizes = {(r["claim"], r["level"]): r["parameters"] for r in rows}
    for row in rows:
        row["size"] = row["parameters"] / sizes.get(second[row["claim"]], float("nan"))
    answers = [_answer(claim, {r["level"]: r for r in rows if r["claim"] == claim.name}) for claim in claims]
    return ClaimsTable(pd.DataFrame(rows), pd.DataFrame(answers), tuple(cut))


def _row(key: tuple[str, str], done: _Done, paired: pd.DataFrame, intervals: Intervals) -> dict[str, Any]:
    config = done.config
    row: dict[str, Any] = {
        "claim": key[0], "level": key[1], "model": config.model, "variant": config.variant,
        "window": done.window, "seeds": len(done.runs), "folds": config.folding,
        "half_length": done.cell.times.get("k_p", 1), "parameters": count_parameters(config.build()),
        "rates": done.rates, "seconds": round(done.seconds, 1),
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
        "seeds_first": row["seeds"],
        "seeds_second": rows[claim.second]["seeds"],
        "size": row["size"],
        **{k: row[f"strs_{k}"] for k in kept},
        "answer": answer,
    }


def _write(found: ClaimsTable, out: Path, base: TrainConfig, budget: Budget) -> None:
    write_table(found.table, out / "claims.csv")
    write_table(found.answers, out / "answers.csv")
    record = run_record(
        train=base.to_dict(), rates=list(budget.rates), seeds_at_most=budget.seeds, hours=budget.hours,
        date=datetime.now(UTC).date().isoformat(), identity=value_hash(base.to_dict()),
    )  # fmt: skip
    write_json({**record, "cut": list(found.cut)}, out / "record.json")


def claims_named(names: Sequence[str], claims: Sequence[Claim] = CLAIMS) -> list[Claim]:
    """Some of the claims, in their order; all where no name is given.  `InputError` for a name that is none."""
    known = [claim.name for claim in claims]
    for name in names:
        one_of("claim", name, known)
    return [claim for claim in claims if not names or claim.name in names]
