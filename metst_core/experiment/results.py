"""What a run found, as tables and as `results.json`: made here, joined, read back, and set beside another's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metst_core.errors import InputError, MissingError
from metst_core.experiment.baselines import DRAWS, chance_scores, motion_spotter
from metst_core.experiment.comparisons import Scored, compare, predicted
from metst_core.experiment.schema import HEADLINE, LAYOUT, check_results
from metst_core.extraction import MotionSet
from metst_core.files import read_sealed, understood, visible, write_sealed
from metst_core.metrics import INTERVALS, Intervals, evaluate, interval_text, score_intervals
from metst_core.tables import EMOTIONS
from metst_core.training import PROTOCOLS, LosoResult

PUBLISHED_SCORES = pd.DataFrame(
    [
        ("MEAN", 0.0100, 0.0283, 0.3532, 0.0499, 0.0949, 0.5263),
        ("SFAMNet", 0.0331, 0.0716, 0.4619, np.nan, np.nan, np.nan),
        ("ME-TST", 0.0387, 0.0802, 0.4830, 0.1356, 0.2167, 0.6259),
        ("BoostingVRME", 0.0562, 0.0997, 0.5638, 0.2000, 0.2906, 0.6882),
    ],
    columns=pd.MultiIndex.from_tuples(
        [
            ("", "method"),
            *((d, m) for d in ("CAS(ME)^3", "SAMM-LV") for m in ("STRS", "spotting F1", "recognition F1")),
        ]
    ),
).set_index(("", "method"))
"""LOSO results as published (BoostingVRME, arXiv 2508.18834, table 3); none is reproduced here.

For ME-TST+ see the tables of its paper (arXiv 2508.08082).
"""


# --- made ---------------------------------------------------------------------------------------
def results_dict(
    methods: Mapping[str, Mapping[str, Scored]],
    pairs: Sequence[tuple[str, str]] = (),
    seeds: Mapping[str, pd.DataFrame] | None = None,
    intervals: Intervals = INTERVALS,
    classes: Sequence[str] = EMOTIONS,
    runs: Mapping[str, Mapping[str, Sequence[Scored]]] | None = None,
) -> dict[str, Any]:
    """Results as plain dicts and lists, as `SCHEMA` says: its entries from `schema` to `bootstrap`.

    `methods` is by name, then by protocol; `pairs` names the methods to compare within each protocol; `seeds`
    holds the spread over training seeds by method; `classes` restricts the recognition scores (SAMM-LV is also
    reported without "others").  `runs` are the methods' runs with several training seeds, by name and protocol: where
    there are such, scores are means over them and intervals hold for further seeds too.
    """
    runs = runs or {}
    protocols = dict.fromkeys(p for by_protocol in methods.values() for p in by_protocol)
    comparisons = []
    for protocol in protocols:
        there = {name: by[protocol] for name, by in methods.items() if protocol in by}
        known = [(a, b) for a, b in pairs if a in there and b in there]
        seeded = {name: by[protocol] for name, by in runs.items() if protocol in by}
        table = compare(there, known, intervals, classes, seeded)
        comparisons += [{"protocol": protocol, **row} for row in table.to_dict("records")]
    return {
        "schema": LAYOUT,
        "methods": {
            name: {
                protocol: _method(result, intervals, classes, runs.get(name, {}).get(protocol, ()))
                for protocol, result in by.items()
            }
            for name, by in methods.items()
        },
        "comparisons": comparisons,
        "seeds": {name: table.to_dict("records") for name, table in (seeds or {}).items()},
        "ablation": [],
        "recall": {},
        "bootstrap": dataclasses.asdict(intervals),
    }


def _method(
    result: Scored, intervals: Intervals, classes: Sequence[str], runs: Sequence[Scored]
) -> dict[str, Any]:
    run = result if isinstance(result, LosoResult) else None
    return {
        "subjects": len(result.subjects),
        "seeds": max(1, len(runs)) if run is not None else 0,
        "evaluation": evaluate(result.predictions, result.annotations, classes).to_dict(),
        "intervals": _intervals(result, intervals, classes, runs),
        "config": None if run is None else run.config.to_dict(),
        "folds": None if run is None else run.folds.to_dict("records"),
    }


def _intervals(
    result: Scored, intervals: Intervals, classes: Sequence[str], runs: Sequence[Scored] = ()
) -> dict[str, dict[str, float]]:
    """Metric -> value, low, high, coverage of a result, over its `runs` with several seeds where there are such."""
    found = predicted(runs or [result])
    inside = result.annotations[result.annotations["subject"].isin(found.subjects)]
    tables = [t[t["subject"].isin(found.subjects)] for t in found.tables]
    table = score_intervals(tables, inside, found.subjects, intervals, classes)
    return _by_metric(table.drop(columns="seed_share"))


def _by_metric(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    return {str(metric): row for metric, row in table.set_index("metric").to_dict("index").items()}


def with_baselines(
    motion: MotionSet, results: Mapping[str, Mapping[str, LosoResult]]
) -> dict[str, dict[str, Scored]]:
    """The trained methods and `motion_threshold`, by name, then by protocol; `results` must hold `metst_plus`."""
    methods: dict[str, dict[str, Scored]] = {name: dict(both) for name, both in results.items()}
    methods["motion_threshold"] = {
        protocol: motion_spotter(motion, protocol, results["metst_plus"][protocol].config.p)
        for protocol in PROTOCOLS
    }
    return methods


def chance_levels(motion: MotionSet, results: Mapping[str, LosoResult], seed: int = 0) -> dict[str, Any]:
    """By protocol, metric -> value, low, high of as many random intervals as each of `results` predicted."""
    levels = {}
    keys = list(zip(motion.videos["subject"], motion.videos["video"], strict=True))
    for protocol, result in results.items():
        videos = motion.videos[[key in result.traces for key in keys]]
        levels[protocol] = _by_metric(chance_scores(result, videos, dataclasses.replace(DRAWS, seed=seed)))
    return levels


def fewer_classes(
    methods: Mapping[str, Mapping[str, Scored]], intervals: Intervals, classes: Sequence[str]
) -> dict[str, Any]:
    """Method -> protocol -> metric -> value, low, high with recognition scored on `classes` alone."""
    return {
        name: {protocol: _intervals(result, intervals, classes) for protocol, result in by.items()}
        for name, by in methods.items()
    }


# --- joined and read back -------------------------------------------------------------------------
def collect_results(out_dir: str | Path) -> Path:
    """Join what notebooks and commands recorded into `results.json`, laid out as `SCHEMA` says.

    They are read from `results/*.json`, in the order of their names.
    """
    out = Path(out_dir)
    parts = visible(out / "results", "*.json")
    if not parts:
        raise MissingError(
            f"{out / 'results'}: no notebook has recorded a result; run `metst reproduce` first"
        )
    merged: dict[str, Any] = {}
    for part in parts:
        merged.update(read_sealed(part, made_anew_by(part)))
    check_results(merged)
    return write_sealed(merged, out / "results.json")


def made_anew_by(part: Path) -> str:
    """The remedy for a file of a run: which command writes it anew."""
    command = {"seeds": "`metst seeds`", "ablation": "`metst ablate`"}.get(part.stem, "`metst reproduce`")
    return f"delete it and run {command} again, which makes it anew (what else is finished is kept)"


def read_results(out_dir: str | Path) -> dict[str, Any]:
    """The `results.json` of a run, checked; an `InputError` says which command makes a damaged one anew."""
    file = Path(out_dir) / "results.json"
    if not file.is_file():
        raise MissingError(f"{file}: no such file; name the folder of a finished run, such as runs/default")
    results = read_sealed(file, made_anew_by(file))
    try:
        check_results(results)
    except InputError as error:
        raise InputError(f"{file}: {error}; {made_anew_by(file)}") from error
    return results


def comparison_table(results: Mapping[str, Any]) -> pd.DataFrame:
    """The methods of a `results.json` as `protocol, method, metric, value, low, high, coverage`, chance last."""
    methods = {
        name: {p: m["intervals"] for p, m in both.items()} for name, both in results["methods"].items()
    }
    rows = [
        {"protocol": protocol, "method": method, "metric": metric, **entry}
        for method, both in {**methods, "chance": results["chance"]}.items()
        for protocol, metrics in both.items()
        for metric, entry in metrics.items()
    ]
    columns = ["protocol", "method", "metric", "value", "low", "high", "coverage"]
    return pd.DataFrame(rows, columns=columns)


def headline_texts(table: pd.DataFrame) -> pd.DataFrame:
    """The scores of `HEADLINE` of a `comparison_table` as texts "0.648 [0.554, 0.740] 94%", a column each.

    There is a row per protocol and method, in the table's order.
    """
    shown = table[table["metric"].isin(HEADLINE)]
    columns = ["value", "low", "high", "coverage"]
    texts = [interval_text(*row) for row in shown.reindex(columns=columns).to_numpy()]
    rows = shown.assign(text=texts).groupby(["protocol", "method"], sort=False)
    table = pd.DataFrame({key: mine.set_index("metric")["text"] for key, mine in rows}).T
    return table[list(HEADLINE)].rename_axis(["protocol", "method"])


def beside_published(texts: pd.DataFrame, ours: str) -> pd.DataFrame:
    """The published STRS, and ours under strict (of `headline_texts`) in the column `ours`: a row per method."""
    strict = texts.loc["strict", "strs"].rename(_PUBLISHED_AS)
    columns = {
        f"published, {where}": PUBLISHED_SCORES[where, "STRS"].map("{:.4f}".format, na_action="ignore")
        for where in ("CAS(ME)^3", "SAMM-LV")
    }
    table = pd.concat({**columns, ours: strict}, axis=1).fillna("–")
    table.loc["ME-TST+", list(columns)] = "see its paper's tables"
    return table


_PUBLISHED_AS = {"metst": "ME-TST", "metst_plus": "ME-TST+", "boosting_vrme": "BoostingVRME"}


# --- beside another run's -------------------------------------------------------------------------
def compare_runs(a: str | Path, b: str | Path) -> pd.DataFrame:
    """The headline metrics of two runs side by side: `protocol, method, metric`, then value, low, high of each, and b - a.

    A method that only one of them has is left out.  The intervals are each run's own: whether a difference is
    more than chance is a question for paired data (`metrics.paired_difference`).
    """
    tables = []
    for folder in (a, b):
        with understood(file := Path(folder) / "results.json", made_anew_by(file)):
            table = comparison_table(read_results(folder))
        tables.append(table[table["metric"].isin(HEADLINE)])
    both = tables[0].merge(tables[1], on=["protocol", "method", "metric"], suffixes=("_a", "_b"))
    both["difference"] = both["value_b"] - both["value_a"]
    return both
