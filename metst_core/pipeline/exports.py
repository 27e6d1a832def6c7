"""What was found, for other programs and in words: tables, JSON, a submission, a few lines of text."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metst_core import files
from metst_core.datasets import SUBMISSION_COLUMNS
from metst_core.files import one_line, run_record, write_json
from metst_core.footage import latest_limits, limits_line
from metst_core.inference import RESULT_COLUMNS, Findings, TrainedModel, meaning
from metst_core.tables import CLASSES, check_table_path, write_table

MOST_LINES = 25
"""How many intervals, those with the highest scores, a summary lists."""


def as_dict(result: Findings) -> dict[str, Any]:
    """Everything but the ROI motion, as plain values (NaN becomes null when written as JSON)."""
    return {
        "video": str(result.path),
        "notice": result.model.notice,
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
        "phases": result.phases,
        "confidence_holds_on": result.model.confidence_holds_on,
        "face": str(result.face),
        "judged": float(result.is_judged.mean()),
        **{f"judged_{part}": float(result.judged[part].mean()) for part in result.judged},
        "claims_per_judged_minute": result.claims_per_judged_minute,
        "intervals": printed(result.table).to_dict("records"),
        "near_misses": printed(result.near).to_dict("records"),
        "quality": result.quality.to_dict("records"),
        "limits": latest_limits(result.path, result.model),
        "times": np.round(result.times, 6),
        "score": np.round(result.score, 5),
        "smoothed": np.round(result.smoothed, 5),
        "spread": np.round(result.spread, 5),
        "classes": list(CLASSES),
        "probabilities": np.round(result.probabilities, 5),
        "work_seconds": dict(result.seconds),
    }


def results_table(results: Iterable[Findings]) -> pd.DataFrame:
    """The tables of several videos under each other, with the column `path` in front."""
    parts = [printed(result.table).assign(path=str(result.path)) for result in results if len(result.table)]
    columns = ["path", *RESULT_COLUMNS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def printed(table: pd.DataFrame) -> pd.DataFrame:
    """A table of intervals as it is written: times to the millisecond, score and confidence to 5 digits."""
    digits = {"onset_seconds": 3, "apex_seconds": 3, "offset_seconds": 3, "score": 5, "confidence": 5}
    return table.round(digits)


def write_csv(results: Iterable[Findings], path: str | Path, formulas: bool = True) -> Path:
    """Write `results_table` as CSV (or Parquet, by its name); `formulas` as `tables.write_table`."""
    return write_table(results_table(results), path, formulas)


def write_results_json(results: Iterable[Findings], path: str | Path) -> Path:
    """Write the results of several videos as one JSON file: `{"record", "videos": [...]}`."""
    return write_json({"record": run_record(), "videos": [as_dict(r) for r in results]}, path)


def write_frames(results: Iterable[Findings], path: str | Path, formulas: bool = True) -> Path:
    """Write the frames of one or several videos as one table, CSV or Parquet by the name's end.

    Numbers are rounded to 5 digits behind the point.  Videos may have been analysed with different models: a column that
    one of them lacks is empty there.
    """
    parts = [result.frames for result in results]
    table = (
        pd.concat(parts, ignore_index=True)
        if parts
        else pd.DataFrame({"subject": [], "video": [], "frame": []})
    )
    floats = table.select_dtypes("floating").columns
    return write_table(table.assign(**table[floats].astype(float).round(5)), path, formulas)


def write_megc(results: Iterable[Findings], path: str | Path) -> Path:
    """Write the intervals of several videos as one submission: original frame numbers, the first frame being 1."""
    table = pd.concat([r.table for r in results], ignore_index=True).astype(
        {"onset": "int64", "offset": "int64"}
    )
    table[["onset", "offset"]] += 1
    return write_table(table[list(SUBMISSION_COLUMNS)], path)


def check_output(path: str | Path, inputs: Iterable[str | Path] = ()) -> Path:
    """`path`, if a file can be written there (`files.check_output`); asked before an hour of work rather than after."""
    check_table_path(path)
    return files.check_output(path, inputs)


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
    in_judged = result.judged_finds
    lines += _find_lines(result.table[in_judged], result.model)
    if not in_judged.all():
        lines.append("  where hardly anything can be found (not judged):")
        lines += _find_lines(result.table[~in_judged], result.model)
    if result.has_face:
        lines.append(f"  {judged_line(result)}")
    if (result.measured.n_faces > 1).any():
        lines.append(f"  followed: {result.face}")
    lines += [f"  ! {text}" for text in quality_lines(result.quality)]
    if result.has_face:
        lines.append(f"  limits: {limits_line(result.path, result.model)}")
    return "\n".join(lines)


def _find_lines(table: pd.DataFrame, model: TrainedModel) -> list[str]:
    """A line per interval; of many those with the highest scores."""
    shown = table.nlargest(MOST_LINES, "score").sort_index()
    lines = [
        f"  {row.onset_seconds:9.3f} to {row.offset_seconds:8.3f} s  (frames {row.onset} to {row.offset}, apex "
        f"{row.apex})  {row.emotion:<9} score {row.score:.2f}, {confidence_text(row.confidence, model)}"
        + (f"  [{row.flags.replace(' ', ', ')}]" if row.flags else "")
        for row in shown.itertuples()
    ]
    if len(shown) < len(table):
        lines.append(
            f"  and {len(table) - len(shown)} more with lower scores; the table (--csv) holds them all"
        )
    return lines


def judged_line(result: Findings) -> str:
    """How much of the time each part of the face is judged, and the claims per judged minute."""
    judged = result.is_judged
    if not judged.any():
        return "judged 0% of the time: that nothing is found here says nothing"
    finds = f"{result.claims_per_judged_minute:.1f} finds per judged minute"
    upper, lower = (float(result.judged[part].mean()) for part in ("upper", "lower"))
    if abs(upper - lower) < 0.005:
        return f"judged {judged.mean():.0%} of the time: {finds}"
    where = f"judged: the brows and lids {upper:.0%} of the time, nose and mouth {lower:.0%}"
    for name, share in (("brows and lids", upper), ("nose and mouth", lower)):
        if share == 0:
            where += f" (what the {name} do is not looked for here)"
    return f"{where}: {finds}"


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


def confidence_text(value: float, model: TrainedModel) -> str:
    """A confidence in words, and on whom it holds; NaN is one that nobody knows."""
    if math.isnan(value):
        return "confidence unknown"
    persons = model.confidence_holds_on
    return f"confidence {value:.0%}" + (f" on {persons}" if persons else "")
