"""The form that all benchmarks share: their options, what is written beside the figures, and one page of them all.

Every benchmark takes `--rounds` and `--json FILE`, measures the sides of a ratio in turn, round by round, so that a
busy machine slows them alike, and writes its ratios first, then machine, versions and details.

    python benchmarks/common.py          # the page: what the files in benchmarks/results say
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metst_core.files import run_record, write_json

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Line:
    """One comparison: what we take for a piece of work, against a peer's way of doing it or the least it can take.

    ratio: ours over the peer's (or the floor, without a peer), the median over rounds where rounds are compared.
    goal: what the ratio should be at most.
    """

    work: str
    unit: str
    against: str
    ours: float
    peer: float | None = None
    floor: float | None = None
    ratio: float | None = None
    goal: float | None = None

    def filled(self) -> dict[str, Any]:
        """The line as a dictionary, ratio first."""
        beside = self.floor if self.peer is None else self.peer
        ratio = self.ours / beside if self.ratio is None and beside else self.ratio
        return {"work": self.work, "ratio": ratio, **{k: v for k, v in asdict(self).items() if k != "ratio"}}


def parser(doc: str | None, name: str, rounds: int) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have; `name` is that of the file of results."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--rounds", type=int, default=rounds, help=f"how often each side is measured ({rounds})"
    )
    made.add_argument(
        "--json", type=Path, default=RESULTS / f"{name}.json", metavar="FILE", help="what to write"
    )
    made.set_defaults(load_before=_load())
    return made


def write(
    options: argparse.Namespace, lines: Sequence[Line], record: Mapping[str, Any] = {}, **details: Any
) -> None:
    """Print the lines, and write them with the machine, the versions, the options and `details`."""
    filled = [line.filled() for line in lines]
    print(table(filled))
    machine = {"cpu": _cpu(), "load_before": options.load_before, "load_after": _load()}
    hidden = ("json", "load_before", "work")
    given = {name: value for name, value in vars(options).items() if name not in hidden}
    about = {"machine": machine, "options": given, "record": run_record(**record)}
    print("written to", write_json({"lines": filled, **about, **details}, options.json))


def in_turn(
    sides: Mapping[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of every side in every round, the sides one after the other within a round."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            start = clock()
            work()
            seconds[name].append(clock() - start)
    return seconds


def seconds_per_call(call: Callable[[], object], calls: int) -> float:
    """Processor time of one call, the mean over `calls` of them."""
    started = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - started) / calls


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over rounds of ours over theirs."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """The lines as text: work, peer, floor, ours, ratio, and the goal where there is one."""
    rows = [("work", "peer", "floor", "ours", "unit", "ratio", "against")]
    for line in lines:
        goal = "" if line["goal"] is None else f" (goal {line['goal']:g})"
        numbers = [_short(line[name]) for name in ("peer", "floor", "ours")]
        rows.append((line["work"], *numbers, line["unit"], _short(line["ratio"]) + goal, line["against"]))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    texts = [
        "  ".join(
            cell.rjust(w) if 0 < i < 4 else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(text.rstrip() for text in texts)


def page(folder: Path = RESULTS) -> str:
    """The lines of all files of results."""
    lines: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.json")):
        lines += json.loads(path.read_text(encoding="utf-8")).get("lines", [])
    return table(lines)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [row for row in info.read_text().splitlines() if row.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0].split(":")[1].strip() if names else platform.processor()


if __name__ == "__main__":
    print(page())
