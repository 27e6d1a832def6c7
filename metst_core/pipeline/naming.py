"""The emotion of intervals that a person gives: the network names them, whether or not it would have found them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from metst_core import tables
from metst_core.datasets import TIMELINE_READERS, read_spans
from metst_core.decoding import name_intervals
from metst_core.errors import InputError
from metst_core.inference import Findings

NAMED_COLUMNS = (
    "path", "subject", "video", "onset", "apex", "offset", "emotion", "votes", "highest", "given", "onset_seconds",
    "apex_seconds", "offset_seconds", "flags", *(f"p_{name}" for name in tables.EMOTIONS),
)  # fmt: skip
"""Columns of named intervals; `data/outputs.md` says what they mean."""

_NEUTRAL = tables.CLASSES.index(tables.NEUTRAL)


def read_given(path: str | Path, found: Findings) -> pd.DataFrame:
    """The intervals of a file, in frames of an analysed video: `onset, apex, offset, text`.

    From ELAN, Praat or WebVTT, or from CSV with the columns `onset, offset` (0-based frames) or `onset_seconds,
    offset_seconds`; `apex` and `emotion` where they are there.  Of a CSV that names videos, this one's rows.

    Raises an `InputError` that names the file and the row of an interval outside the video.
    """
    path = Path(path)
    if path.suffix.lower() in TIMELINE_READERS:
        table = read_spans(path, found.times)
    else:
        table = _from_csv(path, found)
    for row in table.itertuples():
        if not 0 <= row.onset <= row.offset < found.n_frames:
            raise InputError(
                f"{path}: row {row.Index + tables.FIRST_ROW}: frames {row.onset} to {row.offset} are no interval of "
                f"{found.path.name}, which has the frames 0 to {found.n_frames - 1}"
            )
    return table


def name_given(found: Findings, given: pd.DataFrame) -> pd.DataFrame:
    """Name intervals of an analysed video: a table `NAMED_COLUMNS`, a row per interval.

    The emotion is the vote of the interval's frames among the four (synergy 2), `votes` its share of them, `p_...` the
    four probabilities' means, `highest` the highest smoothed score in it: a low one says that the network would not have found
    it.  Frames that were not analysed do not vote; without any the emotion is empty.
    """
    known = ~np.isnan(found.score)
    four = np.where(known[:, None], found.probabilities[:, :_NEUTRAL], 0.0)
    classes = four.argmax(axis=1)
    rows = []
    for row in given.itertuples():
        onset, offset = int(row.onset), int(row.offset)
        inside = slice(onset, offset + 1)
        voting = np.arange(onset, offset + 1)
        voting = voting[1:-2] if len(voting) > 3 else voting
        voting = voting[known[voting]]
        emotion, votes = "", np.nan
        if len(voting):
            # The papers' rule for the frames that vote, on those that were analysed.
            [index] = name_intervals(np.array([[-1, len(voting) + 1]]), classes[voting])
            emotion, votes = tables.CLASSES[index], float((classes[voting] == index).mean())
        means = four[inside][known[inside]].mean(axis=0) if known[inside].any() else np.full(_NEUTRAL, np.nan)
        flags = dict.fromkeys(
            q.flag for q in found.quality.itertuples() if q.first <= offset and q.last >= onset
        )
        rows.append((
            str(found.path), found.subject, found.video, onset, int(row.apex), offset, emotion, votes,
            float(np.nanmax(found.smoothed[inside])) if known[inside].any() else np.nan, str(row.text),
            *(float(found.times[frame]) for frame in (onset, int(row.apex), offset)), " ".join(flags), *means.tolist(),
        ))  # fmt: skip
    return pd.DataFrame(rows, columns=list(NAMED_COLUMNS))


def _from_csv(path: Path, found: Findings) -> pd.DataFrame:
    table = tables.read_csv(path)
    if "video" in table.columns and (table["video"] == found.video).any():
        table = table[table["video"] == found.video]
    elif "video" in table.columns and table["video"].nunique() > 1:
        raise InputError(f"{path}: names several videos, but not {found.video!r}; rename one of them")
    table = table.reset_index(drop=True)
    for name in ("onset", "offset", "apex"):
        seconds = f"{name}_seconds"
        if name in table.columns or seconds not in table.columns:
            continue
        times = pd.to_numeric(table[seconds], errors="coerce")
        if times.isna().any():
            raise InputError(
                f"{path}: row {int(times.isna().argmax()) + tables.FIRST_ROW}: {seconds} is no number"
            )
        table[name] = [int(np.abs(found.times - second).argmin()) for second in times]
    missing = [name for name in ("onset", "offset") if name not in table.columns]
    if missing:
        raise InputError(
            f"{path}: column {missing[0]} missing; intervals need onset and offset (frames, from 0), or onset_seconds and "
            "offset_seconds"
        )
    if "apex" not in table.columns:
        table["apex"] = ((_whole(table, "onset", path) + _whole(table, "offset", path)) // 2).astype(int)
    frames = {name: _whole(table, name, path) for name in ("onset", "apex", "offset")}
    text = table["emotion"].astype(str) if "emotion" in table.columns else ""
    return pd.DataFrame({**frames, "text": text})


def _whole(table: pd.DataFrame, name: str, path: Path) -> pd.Series:
    numbers = pd.to_numeric(table[name], errors="coerce")
    wrong = numbers.isna() | (numbers != numbers.round()) | (numbers.abs() > 1e9)
    if wrong.any():
        raise InputError(f"{path}: row {int(wrong.argmax()) + tables.FIRST_ROW}: {name} is no frame number")
    return numbers.astype("int64")
