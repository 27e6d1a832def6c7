"""Where the seconds of a run went: rendering, extraction, training by method and seed, and the notebooks' rest.

    python benchmarks/run_times.py runs/default [--markdown FILE]

Read from what every run leaves: the times that papermill keeps for every cell, and the seconds in every fold's
`fold.json`.  Rendering and extraction are the cells that ask for the data set (imports included) and for its motion;
they are short where an earlier run left both.  A fold's seconds are its own: with two folds at once, a method's wall time
is about half of their sum.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

PARTS = {"run.dataset()": "rendering (or reading) the set", "run.extract(": "extraction of the motion"}
"""What a cell of notebook 01 calls -> the part that it is."""
TRAINING = ("run.train(", "run.over_seeds(")
"""What a cell of notebook 03 calls where it trains."""


def cells(notebook: Path) -> list[tuple[str, float]]:
    """Source and seconds of every code cell that was executed."""
    stored: dict[str, Any] = json.loads(notebook.read_text(encoding="utf-8"))
    found = []
    for cell in stored["cells"]:
        seconds = cell["metadata"].get("papermill", {}).get("duration")
        if cell["cell_type"] == "code" and seconds is not None:
            found.append(("".join(cell["source"]), float(seconds)))
    return found


def rows(run: Path) -> list[tuple[str, float, str]]:
    """Part, seconds, and what they are."""
    found: list[tuple[str, float, str]] = []
    for notebook in sorted((run / "notebooks").glob("*.ipynb")):
        rest = 0.0
        for source, seconds in cells(notebook):
            part = next((part for call, part in PARTS.items() if call in source), None)
            if notebook.stem.startswith("01") and part is not None:
                found.append((part, seconds, "wall"))
            elif notebook.stem.startswith("03") and any(call in source for call in TRAINING):
                found.append((f"training cell: {source.splitlines()[0][:50]}", seconds, "wall"))
            else:
                rest += seconds
        found.append((f"notebook {notebook.stem}, the rest", rest, "wall"))
    for folder in sorted({path.parents[2] for path in (run / "loso").rglob("fold.json")}):
        folds = [
            json.loads(path.read_text(encoding="utf-8"))["summary"]
            for path in sorted(folder.glob("folds/*/fold.json"))
        ]
        name = folder.relative_to(run / "loso").as_posix()
        found.append(
            (f"{name}, {len(folds)} folds", sum(fold["seconds"] for fold in folds), "sum over folds")
        )
    return found


def table(found: list[tuple[str, float, str]]) -> str:
    """The rows in Markdown, with each part's share of the wall time of all notebooks."""
    total = sum(seconds for _, seconds, kind in found if kind == "wall")
    lines = ["| part | seconds | share of the run | what is counted |", "|---|---|---|---|"]
    for part, seconds, kind in found:
        share = f"{seconds / total:.1%}" if kind == "wall" and total else ""
        lines.append(f"| {part.replace('|', ' ')} | {seconds:.1f} | {share} | {kind} |")
    return "\n".join([*lines, f"| all notebooks | {total:.1f} | | wall |"])


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("run", type=Path, help="the folder of a finished run, such as runs/default")
    made.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table there")
    options = made.parse_args()
    if not list((options.run / "notebooks").glob("*.ipynb")):
        made.error(
            f"{options.run}: no executed notebooks here; name the folder of a run that `metst reproduce` made"
        )
    text = table(rows(options.run))
    print(text)
    if options.markdown:
        options.markdown.write_text(
            f"# Where the seconds of {options.run.name} went\n\n{text}\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
