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
from metst_core.files import atomic_path, write_json

HEADLINE = ("spotting_f1", "recognition_f1", "strs")
"""The metrics shown in the report's tables, with their intervals."""

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
    """Join what each notebook recorded (`results/<notebook>.json`) into `results.json`, in the notebooks' order."""
    out = Path(out_dir)
    parts = sorted((out / "results").glob("*.json"))
    if not parts:
        raise MissingError(
            f"{out / 'results'}: no notebook has recorded a result; run `metst reproduce` first"
        )
    merged: dict[str, Any] = {}
    for part in parts:
        merged.update(json.loads(part.read_text(encoding="utf-8")))
    return write_json(merged, out / "results.json")


def write_report(out_dir: str | Path) -> Path:
    """Write `report.html`, one self-contained page: headline numbers, pictures, and how they came about."""
    out = Path(out_dir)
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    body = "\n".join([_headline(results), _figures(out), _provenance(results)])
    page = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>metst report</title>"
        f"<style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )
    with atomic_path(out / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out / "report.html"


def _headline(results: dict[str, Any]) -> str:
    data = results["data"]
    parts = [
        f"<h1>Micro-expression analysis, {html.escape(data['dataset'])}</h1>",
        f"<p>{data['subjects']} subjects, {data['videos']} videos, {data['micro_expressions']} micro-expressions, "
        f"{data['minutes']:.1f} minutes; leave one subject out; profile <b>{html.escape(results['profile'])}</b>, "
        f"seed {results['seed']}. Brackets: 95% bootstrap interval over subjects.</p>",
    ]
    if data["dataset"] == "synthetic":
        parts.append(
            "<p class='note'>These faces are synthetic: one public-domain portrait, warped and animated. "
            "The numbers say how the methods compare on this set; they are no claim about real micro-expressions.</p>"
        )
    for protocol, methods in results["evaluation"].items():
        rows = "".join(_row(method, metrics) for method, metrics in methods.items())
        heads = "".join(f"<th>{name}</th>" for name in ("spotting F1", "recognition F1", "STRS"))
        parts.append(
            f"<h2>Protocol: {html.escape(protocol)}</h2><table><tr><th>method</th>{heads}"
            f"<th>TP</th><th>FP</th><th>FN</th></tr>{rows}</table>"
        )
    return "\n".join(parts)


def _row(method: str, metrics: dict[str, Any]) -> str:
    cells = []
    for name in HEADLINE:
        entry = metrics[name]
        cells.append(
            f"<td class='number'>{_number(entry['value'])} [{_number(entry['low'])}, {_number(entry['high'])}]</td>"
        )
    counts = "".join(f"<td class='number'>{_count(metrics[name])}</td>" for name in ("tp", "fp", "fn"))
    return f"<tr><td>{html.escape(method)}</td>{''.join(cells)}{counts}</tr>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


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


def _provenance(results: dict[str, Any]) -> str:
    record = html.escape(json.dumps(results["record"], indent=2))
    links = "".join(
        f"<li><a href='notebooks/{name}.html'>{name}</a></li>"
        for name in results["record"].get("notebooks", [])
    )
    return f"<h2>How these numbers came about</h2><ul>{links}</ul><details><summary>record</summary><pre>{record}</pre></details>"
