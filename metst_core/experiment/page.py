"""The page of a run, `report.html`: what `results.json` says, in tables, with the pictures."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pandas as pd

from metst_core.experiment.ablation import without_effect
from metst_core.experiment.results import (
    collect_results,
    comparison_table,
    headline_texts,
    made_anew_by,
    read_results,
)
from metst_core.experiment.schema import HEADLINE
from metst_core.files import read_sealed, sweep, understood, visible, write_text
from metst_core.metrics import interval_text
from metst_core.plots import method_label, metric_label
from metst_core.templates import render


def refresh(out_dir: str | Path) -> Path:
    """`results.json` and `report.html` anew from what is recorded; the page."""
    sweep(out_dir, deep=True)
    collect_results(out_dir)
    return write_page(out_dir)


def write_page(out_dir: str | Path) -> Path:
    """Write `report.html`, one self-contained page about a run; its path.

    It shows the headline numbers, how sure they are, the pictures, and how they came about.
    """
    out = Path(out_dir)
    file = out / "results.json"
    results = read_results(out)
    with understood(file, made_anew_by(file)):
        return write_text(_page(results, out), out / "report.html")


def _page(results: dict[str, Any], out: Path) -> str:
    return render(
        "run_page.html",
        data=results["data"],
        profile=results["profile"],
        seed=results["seed"],
        headline=[metric_label(name) for name in HEADLINE],
        protocols=_headline(results),
        three_classes=_three_classes(results),
        paired=_paired(results),
        seeds=_seeds(results),
        **_ablation(results),
        pictures=_pictures(out / "figures"),
        notebooks=[page.stem for page in visible(out / "notebooks", "*.html")],
        record=json.dumps(results["record"], indent=2),
    )


def _headline(results: dict[str, Any]) -> dict[str, list[list[str]]]:
    """Protocol -> rows of method, scores and counts."""
    protocols: dict[str, list[list[str]]] = {}
    for (protocol, method), texts in headline_texts(comparison_table(results)).iterrows():
        counts = results["methods"].get(method, {}).get(protocol, {}).get("evaluation", {})
        found = [str(counts.get(name, "–")) for name in ("tp", "fp", "fn")]
        protocols.setdefault(protocol, []).append([method_label(method), *texts, *found])
    return protocols


def _three_classes(results: dict[str, Any]) -> list[list[str]]:
    """Rows of recognition on three classes, which leaves the spotting as it is; strict first, as above."""
    rows = [
        [protocol, method_label(method), *(interval_text(**metrics[m]) for m in HEADLINE[1:])]
        for method, by_protocol in results["without_others"].items()
        for protocol, metrics in by_protocol.items()
    ]
    return sorted(rows, key=lambda row: row[0], reverse=True)


def _paired(results: dict[str, Any]) -> list[list[str]]:
    """Rows of differences between methods on the same subjects."""
    table = pd.DataFrame(results["comparisons"])
    rows = []
    for (protocol, a, b), mine in table.groupby(["protocol", "a", "b"], sort=False) if len(table) else ():
        by_metric = mine.set_index("metric")
        cells = [
            f"{interval_text(*by_metric.loc[m, ['difference', 'low', 'high']])}, p {_number(by_metric.loc[m, 'p_value'])}"
            for m in HEADLINE
        ]
        rows.append([str(protocol), f"{method_label(b)} − {method_label(a)}", *cells])
    return rows


def _seeds(results: dict[str, Any]) -> list[list[str]]:
    """Rows of the spread over training seeds."""
    rows = []
    for method, metrics in results["seeds"].items():
        by_metric = {row["metric"]: row for row in metrics}
        cells = [
            " / ".join(_number(by_metric[m][name]) for name in ("min", "median", "max")) for m in HEADLINE
        ]
        rows.append([method_label(method), str(by_metric[HEADLINE[0]]["n_seeds"]), *cells])
    return rows


def _ablation(results: dict[str, Any]) -> dict[str, Any]:
    """Rows of one part exchanged at a time, and what makes no difference."""
    table = pd.DataFrame(results["ablation"])
    rows = [
        [
            f"{row['factor']}: {row['level']}{' (base)' if row['is_base'] else ''}",
            f"{row['parameters']:,}",
            interval_text(row["strs"], row["strs_low"], row["strs_high"]),
            interval_text(row["strs_difference"], row["strs_difference_low"], row["strs_difference_high"]),
            _number(row["strs_p_value"]),
        ]
        for row in table.to_dict("records")
    ]
    return {"ablation": rows, "no_effect": ", ".join(without_effect(table)) if rows else ""}


def _pictures(folder: Path) -> list[tuple[str, str]]:
    """Caption and base64 of every picture."""
    file = folder / "captions.json"
    captions = read_sealed(file, made_anew_by(file)) if file.is_file() else {}
    return [
        (captions.get(picture.stem, picture.stem), base64.b64encode(picture.read_bytes()).decode())
        for picture in visible(folder, "*.png")
    ]


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"
