"""One page and one JSON file that say what a run found: `results.json` and `report.html`."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metst_core.errors import MissingError
from metst_core.experiment.comparisons import SCHEMA as EXPERIMENT_SCHEMA
from metst_core.experiment.comparisons import Ablation, check_results
from metst_core.files import atomic_path, write_json
from metst_core.metrics import interval_text
from metst_core.plots import method_label, metric_label

HEADLINE = ("spotting_f1", "recognition_f1", "strs")
"""The metrics shown in the report's tables, with their intervals."""

SCHEMA = {
    **EXPERIMENT_SCHEMA,
    "chance": "by protocol: metric -> value, low, high of as many random intervals as ME-TST+ predicted",
    "without_others": "method -> protocol -> metric -> value, low, high on three classes; empty where not so reported",
    "data": "dataset, subjects, videos, micro_expressions, per_emotion, minutes, fps",
    "profile": "name of run.PROFILES",
    "seed": "of the synthetic data, of training and of every bootstrap",
    "record": "versions, platform, git commit, profile, data set, seed, training configuration",
}
"""What `results.json` holds, by path (`*` stands for a name); notebooks add what else they found, under names of
their own.
"""

PUBLISHED = pd.DataFrame(
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

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: .25rem .8rem; border-bottom: 1px solid #ddd; }
th { text-align: left; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0; } img { max-width: 100%; } figcaption, .note { color: #555; font-size: .9rem; }
"""


def collect_results(out_dir: str | Path) -> Path:
    """Join what notebooks and commands recorded (`results/*.json`, in the order of their names) into
    `results.json`, laid out as `SCHEMA` says.
    """
    out = Path(out_dir)
    parts = sorted((out / "results").glob("*.json"))
    if not parts:
        raise MissingError(
            f"{out / 'results'}: no notebook has recorded a result; run `metst reproduce` first"
        )
    merged: dict[str, Any] = {}
    for part in parts:
        merged.update(json.loads(part.read_text(encoding="utf-8")))
    check_results(merged, SCHEMA)
    return write_json(merged, out / "results.json")


def write_report(out_dir: str | Path) -> Path:
    """Write `report.html`, one self-contained page: headline numbers, how sure they are, pictures, and how they
    came about.
    """
    out = Path(out_dir)
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    parts = [_headline(results), _paired(results), _seeds(results), _ablation(results)]
    body = "\n".join([*parts, _figures(out), _provenance(out, results)])
    page = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>metst report</title>"
        f"<style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )
    with atomic_path(out / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out / "report.html"


def refresh(out_dir: str | Path) -> Path:
    """`results.json` and `report.html` anew from what is recorded; the page."""
    collect_results(out_dir)
    return write_report(out_dir)


def _headline(results: dict[str, Any]) -> str:
    data = results["data"]
    parts = [
        f"<h1>Micro-expression analysis, {html.escape(data['dataset'])}</h1>",
        f"<p>{data['subjects']} subjects, {data['videos']} videos, {data['micro_expressions']} micro-expressions, "
        f"{data['minutes']:.1f} minutes; leave one subject out; profile <b>{html.escape(results['profile'])}</b>, "
        f"seed {results['seed']}. Brackets: 95% bootstrap interval over subjects.</p>",
    ]
    parts.append(
        "<p class='note'>strict: half length from the training subjects alone, every video counts. official: as published, half "
        "length over all subjects, videos without a micro-expression left out of the scores; outside the profile 'full' the "
        "networks are those of the strict run.</p>"
    )
    if data["dataset"] == "synthetic":
        parts.append(
            "<p class='note'>These faces are synthetic: one public-domain portrait, warped and animated. "
            "The numbers say how the methods compare on this set; they are no claim about real micro-expressions.</p>"
        )
    table = comparison_table(results)
    for protocol, rows in table[table["metric"].isin(HEADLINE)].groupby("protocol", sort=False):
        body = [_row(results, str(protocol), str(m), mine) for m, mine in rows.groupby("method", sort=False)]
        heads = ["method", *HEADLINE, "tp", "fp", "fn"]
        parts.append(f"<h2>Protocol: {html.escape(str(protocol))}</h2>{_table(heads, body)}")
    if results["without_others"]:
        parts.append(_without_others(results["without_others"]))
    return "\n".join(parts)


def _without_others(found: dict[str, Any]) -> str:
    """Recognition on three classes, which leaves the spotting as it is."""
    names = HEADLINE[1:]
    rows = [
        [
            protocol,
            method_label(method),
            *(interval_text(**metrics[m]) for m in names),
        ]
        for method, by_protocol in found.items()
        for protocol, metrics in by_protocol.items()
    ]
    rows.sort(key=lambda row: row[0], reverse=True)  # strict first, as above
    note = "Recognition without the emotion “others”, as SAMM-LV is also reported; spotting stays as it is."
    return f"<h2>Three classes</h2><p class='note'>{note}</p>{_table(['protocol', 'method', *names], rows)}"


def _paired(results: dict[str, Any]) -> str:
    """Differences between methods on the same subjects."""
    table = pd.DataFrame(results["comparisons"])
    if table.empty:
        return ""
    rows = []
    for (protocol, a, b), mine in table.groupby(["protocol", "a", "b"], sort=False):
        by_metric = mine.set_index("metric")
        cells = [
            f"{interval_text(*by_metric.loc[m, ['difference', 'low', 'high']])}, p {_number(by_metric.loc[m, 'p_value'])}"
            for m in HEADLINE
        ]
        rows.append([str(protocol), f"{method_label(b)} − {method_label(a)}", *cells])
    note = (
        "The same subjects drawn for both methods: difference, its 95% bootstrap interval, and p of a permutation test "
        "that exchanges the two within subjects."
    )
    heads = ["protocol", "difference", *HEADLINE]
    return f"<h2>Paired differences</h2><p class='note'>{note}</p>{_table(heads, rows)}"


def _seeds(results: dict[str, Any]) -> str:
    """Spread over training seeds."""
    rows = []
    for method, metrics in results["seeds"].items():
        by_metric = {row["metric"]: row for row in metrics}
        cells = [
            " / ".join(_number(by_metric[m][name]) for name in ("min", "median", "max")) for m in HEADLINE
        ]
        rows.append([method_label(method), str(by_metric[HEADLINE[0]]["n_seeds"]), *cells])
    if not rows:
        return (
            "<h2>Seed spread</h2><p class='note'>One training seed: how much of the numbers is luck is not "
            "known. <code>metst seeds</code> trains more.</p>"
        )
    note = (
        "Minimum / median / maximum over training seeds, strict protocol, same data and folds. The brackets above hold "
        "for one trained network per fold and say nothing of this; <code>metst seeds</code> trains more."
    )
    heads = ["method", "seeds", *HEADLINE]
    return f"<h2>Seed spread</h2><p class='note'>{note}</p>{_table(heads, rows)}"


def _ablation(results: dict[str, Any]) -> str:
    """One part exchanged at a time, and what makes no difference."""
    table = pd.DataFrame(results["ablation"])
    if table.empty:
        return ""
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
    no_effect = Ablation(table, {}).without_effect()
    note = (
        f"STRS, strict protocol; differences to the base are paired over subjects. No difference on these data: "
        f"<b>{html.escape(', '.join(no_effect)) or 'none'}</b> (too few subjects to tell is one reason for that). "
        "Nothing is corrected for the number of cells: of twenty without an effect, one is expected to show one."
    )
    heads = ["cell", "parameters", "strs", "difference", "p"]
    return f"<h2>Ablation</h2><p class='note'>{note}</p>{_table(heads, rows)}"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(metric_label(name))}</th>" for name in heads)
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=number' if i else ''}>{html.escape(cell)}</td>" for i, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def comparison_table(results: dict[str, Any]) -> pd.DataFrame:
    """The methods of a `results.json` as `protocol, method, metric, value, low, high`, chance last."""
    methods = {
        name: {p: m["intervals"] for p, m in both.items()} for name, both in results["methods"].items()
    }
    rows = [
        {"protocol": protocol, "method": method, "metric": metric, **entry}
        for method, both in {**methods, "chance": results["chance"]}.items()
        for protocol, metrics in both.items()
        for metric, entry in metrics.items()
    ]
    return pd.DataFrame(rows, columns=["protocol", "method", "metric", "value", "low", "high"])


def compare_runs(a: str | Path, b: str | Path) -> pd.DataFrame:
    """The headline metrics of two runs side by side: `protocol, method, metric`, then value, low, high of each, and b - a.

    A method that only one of them has is left out.  The intervals are each run's own: whether a difference is
    more than chance is a question for paired data (`metrics.paired_difference`).
    """
    tables = []
    for folder in (a, b):
        file = Path(folder) / "results.json"
        if not file.is_file():
            raise MissingError(
                f"{file}: no such file; name the folder of a finished run, such as runs/default"
            )
        table = comparison_table(json.loads(file.read_text(encoding="utf-8")))
        tables.append(table[table["metric"].isin(HEADLINE)])
    both = tables[0].merge(tables[1], on=["protocol", "method", "metric"], suffixes=("_a", "_b"))
    both["difference"] = both["value_b"] - both["value_a"]
    return both


def _row(results: dict[str, Any], protocol: str, method: str, rows: pd.DataFrame) -> list[str]:
    entries = rows.set_index("metric").loc[list(HEADLINE), ["value", "low", "high"]].to_numpy(float)
    counts = results["methods"].get(method, {}).get(protocol, {}).get("evaluation", {})
    found = [str(counts.get(name, "–")) for name in ("tp", "fp", "fn")]
    return [method_label(method), *(interval_text(*entry) for entry in entries), *found]


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"


def _figures(out: Path) -> str:
    captions = {}
    file = out / "figures" / "captions.json"
    if file.is_file():
        captions = json.loads(file.read_text(encoding="utf-8"))
    blocks = []
    for picture in sorted((out / "figures").glob("*.png")):
        data = base64.b64encode(picture.read_bytes()).decode()
        caption = html.escape(captions.get(picture.stem, picture.stem))
        blocks.append(
            f"<figure><img alt='{caption}' src='data:image/png;base64,{data}'><figcaption>{caption}</figcaption></figure>"
        )
    return "<h2>Pictures</h2>" + "\n".join(blocks)


def _provenance(out: Path, results: dict[str, Any]) -> str:
    record = html.escape(json.dumps(results["record"], indent=2))
    pages = sorted((out / "notebooks").glob("*.html"))
    links = "".join(f"<li><a href='notebooks/{page.name}'>{page.stem}</a></li>" for page in pages)
    return (
        f"<h2>How these numbers came about</h2><ul>{links}</ul>"
        f"<details><summary>record</summary><pre>{record}</pre></details>"
    )
