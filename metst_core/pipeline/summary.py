"""One row per video: how long it is, how much of it can be used and why not more, and how much was found.

Videos in which nothing was found and those that cannot be read have a row like the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metst_core.inference import FLAGS, Findings
from metst_core.tables import write_table

SUMMARY_COLUMNS = (
    "path", "subject", "video", "verdict", "why", "seconds", "n_frames", "fps", "width", "height", "analysed",
    "usable", "judged", "judged_upper", "judged_lower", "intervals", "per_minute", "per_judged_minute", "near_misses", "highest", "threshold", "face", "model",
    *(f"share_{flag}" for flag in FLAGS),
)  # fmt: skip
"""Columns of a summary; `data/outputs.md` says what they mean."""

USABLE, PARTLY, UNUSABLE = "usable", "partly", "unusable"
LEAST = {USABLE: 0.9, PARTLY: 0.5}
"""From which usable share on a video is called so."""

_HARMLESS = ("several_faces", "cut", "beside_gap")  # flags that take nothing away from a frame itself


@dataclass(frozen=True)
class Refused:
    """A video that could not be analysed at all, and why."""

    path: Path
    subject: str
    video: str
    trouble: str


def summary_table(results: Iterable[Findings | Refused]) -> pd.DataFrame:
    """One row per video, with the columns `SUMMARY_COLUMNS`."""
    rows = [_refused(r) if isinstance(r, Refused) else _row(r) for r in results]
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS)).astype(
        dict.fromkeys(("n_frames", "width", "height", "intervals", "near_misses"), "Int64")
    )


def write_summary(results: Iterable[Findings | Refused], path: str | Path, formulas: bool = True) -> Path:
    """Write `summary_table` as CSV (or Parquet, by its name); `formulas` as `tables.write_table`."""
    return write_table(summary_table(results), path, formulas)


def usable_frames(found: Findings) -> np.ndarray:
    """Which frames were analysed and carry no flag that speaks against them, (n_frames,) bool."""
    usable = ~np.isnan(found.score)
    for row in found.quality[~found.quality["flag"].isin(_HARMLESS)].itertuples():
        usable[int(row.first) : int(row.last) + 1] = False
    return usable


def verdict_of(found: Findings) -> tuple[str, str]:
    """Whether a video can be used, and what speaks against it, the largest share first."""
    usable = float(usable_frames(found).mean())
    verdict = next((name for name, least in LEAST.items() if usable >= least), UNUSABLE)
    shares = _shares(found)
    reasons = sorted((flag for flag in shares if shares[flag]), key=lambda flag: -shares[flag])
    said = [f"{flag.replace('_', ' ')} in {shares[flag]:.0%}" for flag in reasons if flag not in _HARMLESS]
    if not found.complete:
        said.append(found.trouble)
    return verdict, "; ".join(said)


def _shares(found: Findings) -> dict[str, float]:
    """Flag -> the share of the video that it concerns."""
    shares = found.quality.groupby("flag")["share"].sum()
    return {flag: float(shares.get(flag, 0.0)) for flag in FLAGS}


def _row(found: Findings) -> dict[str, Any]:
    verdict, why = verdict_of(found)
    analysed = ~np.isnan(found.score)
    usable = usable_frames(found)
    minutes = float(usable.mean()) * found.duration / 60
    return {
        "path": str(found.path),
        "subject": found.subject,
        "video": found.video,
        "verdict": verdict,
        "why": why,
        "seconds": round(found.duration, 3),
        "n_frames": found.n_frames,
        "fps": round(found.fps, 3),
        "width": found.size[0],
        "height": found.size[1],
        "analysed": round(float(analysed.mean()), 4),
        "usable": round(float(usable.mean()), 4),
        "judged": round(float(found.is_judged.mean()), 4),
        **{f"judged_{part}": round(float(found.judged[part].mean()), 4) for part in found.judged},
        "intervals": len(found.table),
        "per_minute": round(len(found.table) / minutes, 2) if minutes else np.nan,
        "per_judged_minute": round(found.claims_per_judged_minute, 2),
        "near_misses": len(found.near),
        "highest": round(float(np.nanmax(found.smoothed)), 4) if analysed.any() else np.nan,
        "threshold": round(found.threshold, 4),
        "face": str(found.face),
        "model": found.model.name,
        **{f"share_{flag}": round(share, 4) for flag, share in _shares(found).items()},
    }


def _refused(refused: Refused) -> dict[str, Any]:
    return {
        "path": str(refused.path),
        "subject": refused.subject,
        "video": refused.video,
        "verdict": UNUSABLE,
        "why": refused.trouble.split(f"{refused.path.name}: ", 1)[-1],
    }
