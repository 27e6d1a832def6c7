"""One part of a method left out or exchanged at a time, each cell scored against the base."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from metst_core.errors import InputError
from metst_core.experiment.comparisons import compare
from metst_core.experiment.schema import HEADLINE
from metst_core.extraction import MotionSet
from metst_core.files import value_hash, visible
from metst_core.metrics import INTERVALS, Intervals
from metst_core.rivals import count_parameters
from metst_core.training import LosoResult, TrainConfig, leave_one_subject_out


@dataclass(frozen=True)
class Cell:
    """One level of one factor: the `TrainConfig` fields that it changes, and its window length.

    `window` is None where the level has no length of its own; `seeds` is with how many training seeds it is asked
    (`run_claims`; an ablation takes the run's own).  `times` are factors on whole numbers of the base's configuration,
    such as `{"d_state": 2}`, rounded, at least 1; `k_p` is one on the estimated half length, a matter of decoding.
    """

    factor: str
    level: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    window: int | None = None
    seeds: int = 1
    times: Mapping[str, float] = field(default_factory=dict)

    def config(self, base: TrainConfig) -> TrainConfig:
        """The configuration of this cell around `base`; another model comes with its own choices."""
        changes = dict(self.changes)
        config = base.with_model(changes.pop("model")) if "model" in changes else base
        scaled = {
            name: max(1, round(getattr(base, name) * factor))
            for name, factor in self.times.items()
            if name != "k_p"
        }
        return dataclasses.replace(config, **changes, **scaled)


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
    """The scores of every cell against the base.

    table: one row per cell, `factor, level, is_base, parameters` (trained numbers), then for each score of
        `HEADLINE` its value, `_low`, `_high`, and against the base `_difference`, `_difference_low`,
        `_difference_high`, `_p_value`, `_p_table` and `_could_see` (`metrics.compare_methods`);
        `makes_a_difference` says whether the STRS differs in the test of the whole table (its `p_table`): of
        twenty tables without any effect one is expected to show one.  Where it does not, the difference is hardly
        larger than `strs_could_see`.
    results: the run of each cell, by (factor, level).
    """

    table: pd.DataFrame
    results: dict[tuple[str, str], LosoResult]


def without_effect(table: pd.DataFrame) -> list[str]:
    """The factors of an ablation table none of whose levels makes a difference to the STRS on these data."""
    effects = table.groupby("factor", sort=False)["makes_a_difference"].any()
    return [str(factor) for factor, any_effect in effects.items() if not any_effect]


def run_ablation(
    motion: Mapping[int, MotionSet] | MotionSet,
    base: LosoResult,
    out_dir: str | Path,
    cells: Sequence[Cell] = CELLS,
    n_jobs: int = 1,
    intervals: Intervals = INTERVALS,
) -> Ablation:
    """Change one factor of a finished run at a time and score each cell against it.

    `motion` is a motion set, or one per window length with the base's first.  `base` is the run on it.
    Networks that only decoding tells apart are trained once, the base's not again; every other trained
    configuration has its own resumable folder in `out_dir`.  Differences are paired over subjects.
    """
    sets = {motion.window: motion} if isinstance(motion, MotionSet) else dict(motion)
    missing = [cell.window for cell in cells if cell.window is not None and cell.window not in sets]
    if missing:
        raise InputError(
            f"motion lacks window length {missing[0]}; extract the videos with it and pass it too"
        )
    base_window = next(iter(sets))
    runner = Runner(sets, Path(out_dir), n_jobs, {training_key(base.config, base_window): base})
    rows, results = [], {}
    for cell in tqdm(cells, desc="ablation", unit="cell"):
        config = dataclasses.replace(base.config, **cell.changes)
        window = base_window if cell.window is None else cell.window
        result = runner.run(config, window)
        results[cell.factor, cell.level] = result
        about = {
            "factor": cell.factor,
            "level": cell.level,
            "is_base": config == base.config and window == base_window,
            "parameters": count_parameters(config.build()),
        }
        rows.append(about)
    scored = _scores(base, results, intervals)
    return Ablation(pd.DataFrame([about | more for about, more in zip(rows, scored, strict=True)]), results)


@dataclass(frozen=True)
class Runner:
    """Trains a configuration once, however many cells decode it, and finds again what was trained before.

    sets: motion by window length, the base's first.  out_dir: a folder per trained configuration, named by
    `training_key`.  known: results at hand, folders: those of other runs with the same decoding, both by that key.
    """

    sets: dict[int, MotionSet]
    out_dir: Path
    n_jobs: int = 1
    known: dict[str, LosoResult] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)

    def run(self, config: TrainConfig, window: int, k_p: float = 1) -> LosoResult:
        """A cell's run: trained under the decoding all share, then decoded as the cell wants."""
        key = training_key(config, window)
        if key not in self.known:
            self.known[key] = leave_one_subject_out(
                self.sets[window], shared_decoding(config), self._folder(key), self.n_jobs
            )
        return self.known[key].redecoded(config.synergy, config.strategy, config.p, config.smoothing, k_p)

    def is_trained(self, config: TrainConfig, window: int) -> bool:
        """Whether nothing is left to train: the folds are all at hand or in their folder."""
        key = training_key(config, window)
        n_folds = config.groups or len(self.sets[window].subjects)
        return key in self.known or len(visible(self._folder(key) / "folds", "*/fold.json")) >= n_folds

    def _folder(self, key: str) -> Path:
        return self.folders.get(key, self.out_dir / key)


def shared_decoding(config: TrainConfig) -> TrainConfig:
    """What a configuration trains: the same for all that only decoding tells apart."""
    return dataclasses.replace(
        config, strategy="fixed", p=TrainConfig.p, smoothing=0, synergy=0 if config.synergy == 0 else 2
    )


def training_key(config: TrainConfig, window: int) -> str:
    """The name of what a configuration trains on windows of that many frames."""
    return value_hash([shared_decoding(config).to_dict(), window])[:12]


def _scores(
    base: LosoResult, results: Mapping[tuple[str, str], LosoResult], intervals: Intervals
) -> list[dict[str, Any]]:
    """The columns of the cells' rows that are scores, tested against the base as one table."""
    names = {": ".join(key): result for key, result in results.items()}
    table = compare({"": base, **names}, [("", name) for name in names], intervals)
    rows = []
    for name, result in names.items():
        own = result.intervals(intervals).set_index("metric")
        paired = table[table["b"] == name].set_index("metric")
        row: dict[str, Any] = {}
        for m in HEADLINE:
            row |= {m: own.loc[m, "value"], f"{m}_low": own.loc[m, "low"], f"{m}_high": own.loc[m, "high"]}
            for column, suffix in (("difference", ""), ("low", "_low"), ("high", "_high")):
                row[f"{m}_difference{suffix}"] = paired.loc[m, column]
            row |= {f"{m}_{column}": paired.loc[m, column] for column in ("p_value", "p_table", "could_see")}
        row["makes_a_difference"] = paired.loc["strs", "verdict"] != "not told apart"
        rows.append(row)
    return rows
