"""A page over the pages of many videos: what was found in each, what can be used, and why not more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from metst_core.files import write_text
from metst_core.inference import TrainedModel
from metst_core.pipeline.batch import Done
from metst_core.pipeline.summary import PARTLY, UNUSABLE, USABLE, summary_table
from metst_core.templates import render
from metst_core.version import __version__

_KINDS = {"html": "page", "eaf": "ELAN", "textgrid": "Praat", "vtt": "WebVTT", "frames": "frames",
          "annotated_video": "film", "explore": "explorer"}  # fmt: skip


def write_index(every: Sequence[Done], model: TrainedModel, path: str | Path, date: str) -> Path:
    """Write the page over the outputs of many videos; its links lead to files beside it or below."""
    path = Path(path)
    table = summary_table(done.found for done in every)
    rows = [_row(row, done, path) for row, done in zip(table.to_dict("records"), every, strict=True)]
    page = render(
        "index.html",
        rows=rows,
        counts={verdict: int((table["verdict"] == verdict).sum()) for verdict in (USABLE, PARTLY, UNUSABLE)},
        n_intervals=int(table["intervals"].sum()),
        minutes=float(table["seconds"].sum()) / 60,
        notice=model.notice,
        model=model.name,
        identity=model.identity[:12],
        version=__version__,
        date=date,
    )
    return write_text(page, path)


def _row(row: dict[str, Any], done: Done, index: Path) -> dict[str, Any]:
    known = {name: None if pd.isna(value) else value for name, value in row.items()}
    links = [
        (_KINDS.get(kind, kind), _way(file, index))
        for kind, file in done.task.outputs.items()
        if file in done.written
    ]
    return {**known, "links": links}


def _way(file: Path, index: Path) -> str:
    """The address of a file as seen from the page."""
    try:
        way = os.path.relpath(file.absolute(), index.absolute().parent)
    except ValueError:  # on another drive
        return file.absolute().as_uri()
    return "./" + quote(os.fsencode(way.replace(os.sep, "/")))
