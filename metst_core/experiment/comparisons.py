"""Comparisons, seed spreads and ablations over LOSO runs, and the tables that go into `results.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from tqdm import tqdm

from metst_core.errors import InputError
from metst_core.extraction import MotionSet
from metst_core.files import value_hash
from metst_core.metrics import METRICS, Evaluation, bootstrap, evaluate, paired_difference, seed_spread
from metst_core.rivals import count_parameters
from metst_core.tables import EMOTIONS
from metst_core.training import LosoResult, TrainConfig, leave_one_subject_out

HEADLINES = ("strs", "spotting_f1", "recognition_f1")
"""The scores that an ablation table shows."""

SCHEMA = {
    "schema": "version of this layout, an integer",
    "methods": "by name, then by protocol: what a method scored",
    "methods.*.*.subjects": "number of scored subjects",
    "methods.*.*.evaluation": "tp, fp, fn, scores of metrics.METRICS, confusion (truth, prediction, counts)",
    "methods.*.*.intervals": "metric -> value, low, high: bootstrap over subjects",
    "methods.*.*.config": "every TrainConfig field, or null for a method without training",
    "methods.*.*.folds": "list of rows of LosoResult.folds, or null",
    "comparisons": "rows protocol, a, b, metric, value_a, value_b, difference (b - a), low, high, p_value",
    "seeds": "by method: rows of metrics.seed_spread, strict protocol; empty where one seed was trained",
    "ablation": "rows of Ablation.table; empty before `metst ablate`",
    "bootstrap": "n, seed and level of every interval",
}
"""What `results_dict` returns, by path; `*` stands for a name."""


class Scored(Protocol):
    """What a method leaves: a `LosoResult` or a `BaselineResult`."""

    @property
    def predictions(self) -> pd.DataFrame: ...
    @property
    def annotations(self) -> pd.DataFrame: ...
    @property
    def subjects(self) -> list[str]: ...
    @property
    def evaluation(self) -> Evaluation: ...


@dataclass(frozen=True)
class Intervals:
    """How bootstrap intervals are drawn: `n` samples of the subjects, `seed`, `level`."""

    n: int = 1000
    seed: int = 0
    level: float = 0.95


# --- comparisons ----------------------------------------------------------------------------------
def compare(
    results: Mapping[str, Scored],
    pairs: Sequence[tuple[str, str]],
    intervals: Intervals = Intervals(),
    classes: Sequence[str] = EMOTIONS,
) -> pd.DataFrame:
    """Paired differences b - a of methods scored on the same truth: `a, b, metric, value_a, value_b,
    difference, low, high, p_value` (`metrics.paired_difference`).  Only the subjects that both methods
    scored count."""
    rows = []
    for a, b in pairs:
        table = _difference(results[a], results[b], intervals, classes)
        table = table.rename(columns={"a": "value_a", "b": "value_b"})
        rows.append(table.assign(a=a, b=b))
    columns = ["a", "b", "metric", "value_a", "value_b", "difference", "low", "high", "p_value"]
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)


def _difference(a: Scored, b: Scored, intervals: Intervals, classes: Sequence[str]) -> pd.DataFrame:
    subjects = [s for s in a.subjects if s in set(b.subjects)]
    found_a, found_b, truth = (
        t[t["subject"].isin(subjects)] for t in (a.predictions, b.predictions, a.annotations)
    )
    return paired_difference(
        found_a, found_b, truth, subjects, intervals.n, intervals.seed, intervals.level, classes
    )


def over_seeds(
    motion: MotionSet,
    config: TrainConfig,
    folders: Mapping[int, str | Path],
    n_jobs: int = 1,
    backend: str = "loky",
) -> tuple[dict[int, LosoResult], pd.DataFrame]:
    """The same run with several training seeds, each in its folder, and the spread of its scores
    (`metrics.seed_spread`).

    The data stay the same: only the first weights, the drawn windows and their order differ.
    """
    results = {
        seed: leave_one_subject_out(motion, dataclasses.replace(config, seed=seed), folder, n_jobs, backend)
        for seed, folder in folders.items()
    }
    return results, seed_spread({seed: result.evaluation for seed, result in results.items()})


# --- ablation -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Cell:
    """One level of one factor: the `TrainConfig` fields that it changes, and the window length if it has
    its own.
    """

    factor: str
    level: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    window: int | None = None


CELLS = (
    Cell("ROIs", "5", {"features": "metst"}),
    Cell("ROIs", "18", {"features": "metst_plus"}),
    Cell("time scales", "single", {"model": "metst"}),
    Cell("time scales", "slow-fast", {"model": "metst_plus"}),
    Cell("sequence model", "Mamba", {"model": "metst_plus"}),
    Cell("sequence model", "LSTM", {"model": "lstm"}),
    Cell("sequence model", "TCN", {"model": "tcn"}),
    Cell("sequence model", "Transformer", {"model": "transformer"}),
    Cell("pathways", "separate", {"pathways": "separate"}),
    Cell("pathways", "shared", {"pathways": "shared"}),
    Cell("pathways", "shared, extensible", {"pathways": "shared", "strategy": "extensible"}),
    Cell("synergy", "0", {"synergy": 0}),
    Cell("synergy", "1", {"synergy": 1}),
    Cell("synergy", "2", {"synergy": 2}),
    Cell("intervals", "fixed", {"strategy": "fixed"}),
    Cell("intervals", "extensible", {"strategy": "extensible"}),
    Cell("score loss weight", "0.5", {"score_weight": 0.5, "class_weight": 0.5}),
    Cell("score loss weight", "0.7", {"score_weight": 0.7, "class_weight": 0.3}),
    Cell("score loss weight", "0.9", {"score_weight": 0.9, "class_weight": 0.1}),
    Cell("score loss weight", "1.0", {"score_weight": 1.0, "class_weight": 0.0}),
)
"""The ablation grid; `window_cells` adds window lengths, which need motion extracted for them.

"single" is ME-TST's plain pathway on the base's ROIs, with `depth` blocks (the slow-fast one has 3
`blocks_per_stage` per path): `parameters` in the table says how large each network is.  "shared, extensible" is the
prior-guided variant (BoostingVRME).  LSTM, TCN and Transformer are as large as ME-TST+.
"""


def window_cells(windows: Sequence[int]) -> tuple[Cell, ...]:
    """Cells of the factor window length.

    Motion counts from the first frame of its window, so each length is another extraction, not another cut.  A batch
    is so many windows and the schedule so many epochs, whatever the length: longer windows are fewer, and take
    fewer steps of training.
    """
    return tuple(Cell("window length", str(window), window=window) for window in windows)


@dataclass(frozen=True, eq=False)
class Ablation:
    """`table`: one row per cell, `factor, level, is_base, parameters` (trained numbers), then for each of
    `HEADLINES` its value, `_low`, `_high`, and against the base `_difference`, `_difference_low`,
    `_difference_high`, `_p_value`; `makes_a_difference` says whether the paired interval of the STRS leaves
    out 0.  Nothing is corrected for the number of cells: of twenty without an effect one is expected to show
    one.  `results`: the run of each cell."""

    table: pd.DataFrame
    results: dict[tuple[str, str], LosoResult]

    def without_effect(self) -> list[str]:
        """The factors none of whose levels makes a difference to the STRS on these data."""
        effects = self.table.groupby("factor", sort=False)["makes_a_difference"].any()
        return [str(factor) for factor, any_effect in effects.items() if not any_effect]


def run_ablation(
    motion: Mapping[int, MotionSet] | MotionSet,
    base: TrainConfig,
    out_dir: str | Path,
    cells: Sequence[Cell] = CELLS,
    n_jobs: int = 1,
    backend: str = "loky",
    intervals: Intervals = Intervals(),
    base_dir: str | Path | None = None,
) -> Ablation:
    """Change one factor of `base` at a time and score each cell against it.

    `motion` is a motion set, or one per window length with the base's first.  Networks that only decoding
    tells apart are trained once; every trained configuration has its own resumable folder in `out_dir`, but
    for the base where `base_dir` names the folder of its finished run.  Differences are paired over subjects.
    """
    sets = {motion.window: motion} if isinstance(motion, MotionSet) else dict(motion)
    missing = [cell.window for cell in cells if cell.window is not None and cell.window not in sets]
    if missing:
        raise InputError(
            f"motion lacks window length {missing[0]}; extract the videos with it and pass it too"
        )
    base_window = next(iter(sets))
    known = {} if base_dir is None else {_training_key(base, base_window): Path(base_dir)}
    runner = _Runner(sets, Path(out_dir), n_jobs, backend, known)
    reference = runner.run(base, base_window)
    rows, results = [], {}
    for cell in tqdm(cells, desc="ablation", unit="cell"):
        config = dataclasses.replace(base, **cell.changes)
        window = base_window if cell.window is None else cell.window
        result = runner.run(config, window)
        results[cell.factor, cell.level] = result
        is_base = config == base and window == base_window
        parameters = count_parameters(config.build())
        rows.append(
            {"factor": cell.factor, "level": cell.level, "is_base": is_base, "parameters": parameters}
        )
        rows[-1] |= _cell_row(reference, result, intervals)
    return Ablation(pd.DataFrame(rows), results)


@dataclass(frozen=True)
class _Runner:
    sets: dict[int, MotionSet]
    out_dir: Path
    n_jobs: int
    backend: str
    known: Mapping[str, Path]

    def run(self, config: TrainConfig, window: int) -> LosoResult:
        """A cell's run: trained under the decoding all share, then decoded as the cell wants."""
        key = _training_key(config, window)
        folder = self.known.get(key, self.out_dir / key)
        shared = _shared_decoding(config)
        trained = leave_one_subject_out(self.sets[window], shared, folder, self.n_jobs, self.backend)
        return trained.redecoded(config.synergy, config.strategy, config.p)


def _shared_decoding(config: TrainConfig) -> TrainConfig:
    """What a configuration trains: the same for all that only decoding tells apart."""
    return dataclasses.replace(
        config, strategy="fixed", p=TrainConfig.p, synergy=0 if config.synergy == 0 else 2
    )


def _training_key(config: TrainConfig, window: int) -> str:
    return value_hash([_shared_decoding(config).to_dict(), window])[:12]


def _cell_row(reference: LosoResult, result: LosoResult, intervals: Intervals) -> dict[str, Any]:
    own = result.bootstrap(intervals.n, intervals.seed, intervals.level).set_index("metric")
    paired = _difference(reference, result, intervals, EMOTIONS).set_index("metric")
    row: dict[str, Any] = {}
    for m in HEADLINES:
        row |= {m: own.loc[m, "value"], f"{m}_low": own.loc[m, "low"], f"{m}_high": own.loc[m, "high"]}
        for column, name in (("difference", ""), ("low", "_low"), ("high", "_high")):
            row[f"{m}_difference{name}"] = paired.loc[m, column]
        row[f"{m}_p_value"] = paired.loc[m, "p_value"]
    row["makes_a_difference"] = row["strs_difference_low"] > 0 or row["strs_difference_high"] < 0
    return row


# --- results.json ---------------------------------------------------------------------------------
def results_dict(
    methods: Mapping[str, Mapping[str, Scored]],
    pairs: Sequence[tuple[str, str]] = (),
    seeds: Mapping[str, pd.DataFrame] | None = None,
    ablation: Ablation | None = None,
    intervals: Intervals = Intervals(),
    classes: Sequence[str] = EMOTIONS,
) -> dict[str, Any]:
    """Results as plain dicts and lists, laid out as `SCHEMA` says.

    `methods` is by name, then by protocol; `pairs` names the methods to compare within each protocol;
    `classes` restricts the recognition scores (SAMM-LV is also reported without "others").
    """
    protocols = dict.fromkeys(p for by_protocol in methods.values() for p in by_protocol)
    comparisons = []
    for protocol in protocols:
        there = {name: by[protocol] for name, by in methods.items() if protocol in by}
        known = [(a, b) for a, b in pairs if a in there and b in there]
        table = compare(there, known, intervals, classes)
        comparisons += [{"protocol": protocol, **row} for row in table.to_dict("records")]
    return {
        "schema": 2,
        "methods": {
            name: {protocol: _method(result, intervals, classes) for protocol, result in by.items()}
            for name, by in methods.items()
        },
        "comparisons": comparisons,
        "seeds": {name: table.to_dict("records") for name, table in (seeds or {}).items()},
        "ablation": [] if ablation is None else ablation.table.to_dict("records"),
        "bootstrap": dataclasses.asdict(intervals),
    }


def _method(result: Scored, intervals: Intervals, classes: Sequence[str]) -> dict[str, Any]:
    table = bootstrap(
        result.predictions,
        result.annotations,
        result.subjects,
        intervals.n,
        intervals.seed,
        intervals.level,
        classes,
    )
    run = result if isinstance(result, LosoResult) else None
    return {
        "subjects": len(result.subjects),
        "evaluation": evaluate(result.predictions, result.annotations, classes).to_dict(),
        "intervals": {row["metric"]: _without(row, "metric") for row in table.to_dict("records")},
        "config": None if run is None else run.config.to_dict(),
        "folds": None if run is None else run.folds.to_dict("records"),
    }


def _without(row: dict[Any, Any], name: str) -> dict[str, Any]:
    return {str(key): value for key, value in row.items() if key != name}


def check_results(results: Mapping[str, Any], schema: Mapping[str, str] = SCHEMA) -> None:
    """Raise an `InputError` that names the first entry in which `results` departs from `schema`."""
    for path in schema:
        for place, value in _at(results, path.split(".")):
            if value is _ABSENT:
                raise InputError(f"results: {place} is missing ({schema[path]}); write them anew")
    for name, by_protocol in results["methods"].items():
        for protocol, method in by_protocol.items():
            lacking = [m for m in METRICS if m not in method["evaluation"] or m not in method["intervals"]]
            if lacking:
                raise InputError(f"results: methods.{name}.{protocol} lacks {lacking[0]}; write it anew")


_ABSENT = object()


def _at(value: Any, path: list[str], place: str = "") -> list[tuple[str, Any]]:
    """Every (place, value) that a path with `*` leads to; `_ABSENT` where it leads nowhere."""
    if not path:
        return [(place, value)]
    names = list(value) if path[0] == "*" and isinstance(value, Mapping) else [path[0]]
    found = []
    for name in names:
        here = f"{place}.{name}".lstrip(".")
        if not isinstance(value, Mapping) or name not in value:
            found.append((here, _ABSENT))
        else:
            found += _at(value[name], path[1:], here)
    return found
