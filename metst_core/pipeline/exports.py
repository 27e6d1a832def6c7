"""What was found, for other programs and in words: tables, JSON, a submission, a few lines of text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metst_core.datasets import SUBMISSION_COLUMNS
from metst_core.files import one_line, run_record, write_json
from metst_core.inference import NOTICE, RESULT_COLUMNS, Findings, meaning, names_of
from metst_core.tables import without_formulas, write_table

MOST_LINES = 25
"""How many intervals, those with the highest scores, a summary lists."""


def as_dict(result: Findings) -> dict[str, Any]:
    """Everything but the probabilities, as plain values (NaN becomes null when written as JSON)."""
    return {
        "video": str(result.path),
        "notice": NOTICE,
        "fps": result.fps,
        "n_frames": result.n_frames,
        "size": result.size,
        "seconds": result.duration,
        "complete": result.complete,
        "n_analysed": result.n_analysed,
        "trouble": result.trouble,
        "model": {
            "name": result.model.name,
            "k_p": result.model.k_p,
            "fps": result.model.fps,
            "window": result.model.window,
        },
        "threshold": result.threshold,
        "intervals": result.table.to_dict("records"),
        "quality": result.quality.to_dict("records"),
        "score": np.round(result.score, 5),
        "smoothed": np.round(result.smoothed, 5),
        "work_seconds": dict(result.seconds),
    }


def results_table(results: Iterable[Findings]) -> pd.DataFrame:
    """The tables of several videos under each other, with the column `path` in front."""
    parts = [result.table.assign(path=str(result.path)) for result in results if len(result.table)]
    columns = ["path", *RESULT_COLUMNS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def write_csv(results: Iterable[Findings], path: str | Path, formulas: bool = True) -> Path:
    """Write `results_table` as CSV; with `formulas=False` no cell can be a formula (`tables.without_formulas`)."""
    table = results_table(results)
    return write_table(table if formulas else without_formulas(table), path)


def write_results_json(results: Iterable[Findings], path: str | Path) -> Path:
    """Write the results of several videos as one JSON file: `{"record", "videos": [...]}`."""
    return write_json({"record": run_record(), "videos": [as_dict(r) for r in results]}, path)


def write_megc(results: Iterable[Findings], path: str | Path) -> Path:
    """Write the intervals of several videos as one submission: original frame numbers, the first frame being 1.

    Subject and video are the names of the folder and the file; where two videos have both in common, the folders
    above are part of the subject (`A/s1`, `B/s1`).
    """
    results = list(results)
    subjects = subjects_apart([result.path for result in results])
    table = pd.concat(
        [r.table.assign(subject=s) for r, s in zip(results, subjects, strict=True)], ignore_index=True
    ).astype({"onset": "int64", "offset": "int64"})
    table[["onset", "offset"]] += 1
    return write_table(table[list(SUBMISSION_COLUMNS)], path)


def subjects_apart(videos: Sequence[Path]) -> list[str]:
    """The subject of every video, with as many folders as it takes that no two videos have subject and name in common."""
    folders = [tuple(map(one_line, video.resolve().parent.parts[1:])) for video in videos]
    names = [names_of(video)[1] for video in videos]
    deepest = max(map(len, folders), default=1)
    depths = [1] * len(videos)
    for _ in range(deepest):
        keys = [(f[-d:], name) for f, d, name in zip(folders, depths, names, strict=True)]
        owners: dict[object, set[tuple[str, ...]]] = {}
        for key, folder in zip(keys, folders, strict=True):
            owners.setdefault(key, set()).add(folder)
        depths = [depth + (len(owners[key]) > 1) for depth, key in zip(depths, keys, strict=True)]
    return ["/".join(f[-d:]) or "-" for f, d in zip(folders, depths, strict=True)]


def headline(result: Findings) -> str:
    """What was found, in one line."""
    n = len(result.table)
    parts = [f"{result.duration:.1f} s", f"{n} interval{'s' * (n != 1)}"]
    if not result.complete:
        parts.insert(1, f"{result.n_analysed} of {result.n_frames} frames analysed ({result.trouble})")
    if not result.has_face:
        parts.append("no face was found")
    flags = list(dict.fromkeys(result.quality["flag"]))
    return ", ".join(parts) + (f"; flags: {', '.join(flags)}" if flags else "")


def summary_text(result: Findings) -> str:
    """What was found, in a few lines."""
    lines = [
        f"{one_line(result.path)}: {result.duration:.1f} s, {result.n_frames} frames at {result.fps:.4g} per second"
    ]
    if not result.complete:
        lines.append(
            f"  NOT COMPLETE: {result.n_analysed} of {result.n_frames} frames analysed ({result.trouble})"
        )
    if not result.has_face:
        lines.append("  no face was found in any frame, so there is nothing to say about it")
    elif result.table.empty:
        lines.append("  no micro-expression found")
    shown = result.table.nlargest(MOST_LINES, "score").sort_index()
    for row in shown.itertuples():
        lines.append(
            f"  {row.onset_seconds:8.2f} to {row.offset_seconds:7.2f} s  (frames {row.onset} to {row.offset}, apex "
            f"{row.apex})  {row.emotion:<9} score {row.score:.2f}, {confidence_text(row.confidence)}"
            + (f"  [{row.flags.replace(' ', ', ')}]" if row.flags else "")
        )
    if len(shown) < len(result.table):
        lines.append(
            f"  and {len(result.table) - len(shown)} more with lower scores; the table (--csv) holds them all"
        )
    lines += [f"  ! {text}" for text in quality_lines(result.quality)]
    return "\n".join(lines)


def quality_lines(quality: pd.DataFrame) -> list[str]:
    """One line per quality flag: how much of the video it concerns, where it starts, what it means."""
    lines = []
    for flag, rows in quality.groupby("flag", sort=False):
        share = rows["share"].sum()
        where = (
            "all of it"
            if share > 0.999
            else f"{share:.0%} of it, first at {rows['first_seconds'].iloc[0]:.1f} s"
        )
        lines.append(f"{flag} ({where}): {meaning(str(flag))}")
    return lines


def confidence_text(value: float) -> str:
    """A confidence in words; NaN is one that nobody knows."""
    return "confidence unknown" if math.isnan(value) else f"confidence {value:.0%}"
