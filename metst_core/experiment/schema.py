"""What `results.json` holds, and the scores that tables show first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metst_core.errors import InputError
from metst_core.metrics import METRICS

HEADLINE = ("spotting_f1", "recognition_f1", "strs")
"""The scores that every table of a run shows, with their intervals."""

SCHEMA = {
    "schema": "version of this layout, an integer",
    "methods": "by name, then by protocol: what a method scored",
    "methods.*.*.subjects": "number of scored subjects",
    "methods.*.*.seeds": "number of training seeds, 0 for a method without training",
    "methods.*.*.evaluation": "tp, fp, fn, scores of metrics.METRICS, confusion (truth, prediction, counts)",
    "methods.*.*.intervals": "metric -> value, low, high, coverage: over subjects, and over seeds where there are several",
    "methods.*.*.config": "every TrainConfig field, or null for a method without training",
    "methods.*.*.folds": "list of rows of LosoResult.folds, or null",
    "comparisons": "rows of experiment.compare, with their protocol",
    "seeds": "by method: rows of metrics.seed_spread, strict protocol; empty where one seed was trained",
    "ablation": "rows of Ablation.table; empty before `metst ablate`",
    "bootstrap": "n, seed, level and method of every interval (metrics.Intervals)",
    "chance": "by protocol: metric -> value, low, high of as many random intervals as ME-TST+ predicted",
    "without_others": "method -> protocol -> metric -> value, low, high on three classes; empty where not so reported",
    "recall": "method -> protocol -> rows of experiment.recall_tables: recall by length and by strength",
    "data": "dataset, subjects, videos, micro_expressions, per_emotion, minutes, fps",
    "profile": "name of PROFILES",
    "seed": "of the synthetic data, of training and of every test",
    "record": "versions, platform, git commit, profile, data set, seed, training configuration",
}
"""What `results.json` holds, by path (`*` stands for a name); notebooks add what else they found, under names of
their own.
"""


LAYOUT = 3
"""The version of this layout."""
SINCE = {"recall": 3, "methods.*.*.seeds": 3}
"""The entries that runs of an earlier layout do not have."""


def check_results(results: Mapping[str, Any]) -> None:
    """Raise an `InputError` that names the first entry in which `results` departs from `SCHEMA`."""
    said = results.get("schema") if isinstance(results, Mapping) else None
    layout = said if isinstance(said, int) else LAYOUT
    for path, meaning in SCHEMA.items():
        if layout < SINCE.get(path, 0):
            continue
        for place, value in _at(results, path.split(".")):
            if value is _ABSENT:
                raise InputError(f"results: {place} is missing ({meaning}); write them anew")
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
