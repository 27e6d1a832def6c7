"""The page of a run, `report.html`: what `results.json` says, in tables, with the pictures."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pandas as pd

from metst_core.experiment.ablation import without_effect
from metst_core.experiment.answer import answer
from metst_core.experiment.results import (
    PUBLISHED_SCORES,
    beside_published,
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
from metst_core.training import TrainConfig


def refresh(out_dir: str | Path) -> Path:
    """`results.json` and `report.html` anew from what is recorded; the page."""
    sweep(out_dir, deep=True)
    collect_results(out_dir)
    return write_page(out_dir)


def write_page(out_dir: str | Path) -> Path:
    """Write `report.html`, one self-contained page about a run; its path.

    It opens with the answer: what was run on what, three sentences made from the numbers, and the figure that shows
    it; then come tables, the pictures by notebook, and how the numbers came about.
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
        answer=answer(results),
        methods=[method_label(name) for name in results["methods"]],
        first=_pictures(out / "figures", _FIRST),
        published=_published(results),
        headline=[metric_label(name) for name in HEADLINE],
        folding=_folding(results),
        protocols=_headline(results),
        three_classes=_three_classes(results),
        paired=_paired(results),
        seeds=_seeds(results),
        recall=_recall(results),
        **_ablation(results),
        chapters=_chapters(out / "figures"),
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


def _folding(results: dict[str, Any]) -> str:
    """How persons were held out, in words."""
    configs = [m["config"] for by in results["methods"].values() for m in by.values() if m["config"]]
    return (
        ", ".join(dict.fromkeys(TrainConfig(groups=c.get("groups", 0)).folding for c in configs))
        or "no training"
    )


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
        cells = [_difference(by_metric.loc[m].to_dict()) for m in HEADLINE]
        rows.append([str(protocol), f"{method_label(b)} − {method_label(a)}", *cells])
    return rows


def _difference(row: dict[str, Any]) -> str:
    """A difference with its interval, its place in the test of the table, and what the run could have seen."""
    told = interval_text(row["difference"], row["low"], row["high"], row.get("coverage"))
    told += f", p {_number(row.get('p_table', row['p_value']))}"
    return told + (f", could see {_number(row['could_see'])}" if "could_see" in row else "")


def _recall(results: dict[str, Any]) -> list[list[str]]:
    """Rows of recall by length and strength, strict protocol."""
    return [
        [
            method_label(method),
            row["by"],
            row["stratum"],
            str(row["n"]),
            interval_text(row["recall"], row["low"], row["high"]),
        ]
        for method, by_protocol in results.get("recall", {}).items()
        for row in by_protocol.get("strict", ())
    ]


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
            _number(row.get("strs_p_table", row["strs_p_value"])),
            _number(row.get("strs_could_see")),
        ]
        for row in table.to_dict("records")
    ]
    return {"ablation": rows, "no_effect": ", ".join(without_effect(table)) if rows else ""}


_FIRST = "04d_comparison"
"""The figure that shows the answer."""

HEADINGS = {
    "01": "From a face to ROI motion",
    "02": "The state and its score",
    "03": "Training two tasks together",
    "04": "From scores to intervals to numbers",
    "05": "How the regions of a face relate",
    "06": "Your own video",
    "07": "How small a micro-expression can a recording show",
    "08": "Ideas beside and beyond",
}
"""Notebook -> the heading of its pictures; those of anything else stand under "More"."""


def _published(results: dict[str, Any]) -> list[list[str]]:
    """Rows of published STRS beside this run's, for a set whose scores were published."""
    where = {"casme3": "CAS(ME)^3", "sammlv": "SAMM-LV"}.get(results["data"]["dataset"])
    texts = headline_texts(comparison_table(results))
    if (
        where is None
        or where not in PUBLISHED_SCORES.columns.get_level_values(0)
        or "strict" not in texts.index
    ):
        return []
    table = beside_published(texts, "this run, strict")[[f"published, {where}", "this run, strict"]]
    return [
        [method_label(str(name)), *row]
        for name, row in zip(table.index, table.to_numpy().tolist(), strict=True)
    ]


def _chapters(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Heading -> caption and base64 of its pictures, in the notebooks' order."""
    chapters: dict[str, list[tuple[str, str]]] = {}
    for picture in visible(folder, "*.png"):
        if picture.stem == _FIRST:
            continue  # it stands at the top
        heading = HEADINGS.get(picture.stem[:2], "More")
        chapters.setdefault(heading, []).extend(_pictures(folder, picture.stem))
    return chapters


def _pictures(folder: Path, name: str) -> list[tuple[str, str]]:
    """Caption and base64 of a picture; none where it is not there."""
    file, picture = folder / "captions.json", folder / f"{name}.png"
    if not picture.is_file():
        return []
    captions = read_sealed(file, made_anew_by(file)) if file.is_file() else {}
    return [(captions.get(name, name), base64.b64encode(picture.read_bytes()).decode())]


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"
