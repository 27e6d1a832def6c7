"""Results and outputs that are kept: what is done with the same weights and options need not be done again.

A folder holds a file per result, named by a hash of all that decides it (the video's bytes, the weights, the options,
the versions), and a list of the outputs that were written with the hash of each, so that none is written over that
somebody has changed since.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from metst_core.errors import InputError, MetstError
from metst_core.extraction import MOTION_VERSION
from metst_core.files import (
    UNREADABLE,
    check_seal,
    content_hash,
    plain,
    read_sealed,
    sealed_path,
    value_hash,
    write_sealed,
)
from metst_core.inference import (
    PARTS,
    QUALITY_COLUMNS,
    RESULT_COLUMNS,
    STOPPED,
    FaceChoice,
    Measured,
    TrainedModel,
    bundled_judgement,
)
from metst_core.landmarks import Landmarker
from metst_core.pipeline.result import AnalysisResult
from metst_core.version import __version__

_FORMAT = 4
_TABLES = {"table": RESULT_COLUMNS, "near": RESULT_COLUMNS, "quality": QUALITY_COLUMNS}
_ARRAYS = ("score", "smoothed", "spread", "probabilities", "times")
_MEASURED = tuple(field.name for field in fields(Measured))
_PLAIN = (
    "subject", "video", "fps", "n_frames", "size", "threshold", "phases", "n_analysed", "complete", "trouble", "seconds",
)  # fmt: skip
_WHOLE = ("onset", "apex", "offset", "first", "last")
_TEXT = ("subject", "video", "emotion", "flags", "flag", "meaning")
_YES = tuple(f"judged_{part}" for part in PARTS)
_OUTPUTS = "outputs.json"


def result_key(
    path: Path, model: TrainedModel, image_fps: float, face: FaceChoice, landmarker: str = ""
) -> str:
    """A hash of all that decides a video's result; `landmarker` is its `identity`."""
    return value_hash({
        "format": _FORMAT,
        "version": __version__,
        "motion": MOTION_VERSION,
        "judged": [dict(bundled_judgement().unrest), dict(bundled_judgement().face)],
        "opencv": cv2.__version__,
        "video": content_hash(path),
        "model": model.identity,
        "image_fps": image_fps if path.is_dir() else None,
        "face": [face.place, face.box],
        "landmarker": landmarker,
    })  # fmt: skip


class Kept:
    """The folder of kept results and the list of written outputs."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._list = self.folder / _OUTPUTS
        self._written: dict[str, list[str]] = {}
        if self._list.is_file():
            self._written = read_sealed(self._list, "remove it; the outputs are then taken for foreign ones")

    def save(self, result: AnalysisResult, key: str) -> None:
        """Keep a result, unless it was stopped on the way."""
        if result.trouble == STOPPED:
            return
        record: dict[str, Any] = {name: getattr(result, name) for name in _PLAIN}
        record |= {name: getattr(result, name).to_dict("records") for name in _TABLES}
        arrays = {name: getattr(result, name) for name in _ARRAYS}
        arrays["judged"] = result.judged.to_numpy(bool)
        arrays |= {f"measured_{name}": getattr(result.measured, name) for name in _MEASURED}
        with sealed_path(self.folder / f"{key}.npz") as temporary:
            np.savez_compressed(temporary, record=np.array(json.dumps(plain(record))), **arrays)

    def load(
        self, path: Path, key: str, model: TrainedModel, landmarker: Landmarker, face: FaceChoice
    ) -> AnalysisResult | None:
        """The kept result of the video at `path`; None if there is none that can be read whole."""
        try:
            check_seal(self.folder / f"{key}.npz")
            with np.load(self.folder / f"{key}.npz", allow_pickle=False) as stored:
                record = json.loads(str(stored["record"]))
                arrays = {name: stored[name] for name in _ARRAYS}
                judged = pd.DataFrame(stored["judged"], columns=list(PARTS))
                measured = Measured(**{name: stored[f"measured_{name}"] for name in _MEASURED})
            tables = {name: _table(record[name], columns) for name, columns in _TABLES.items()}
            known = {name: record[name] for name in _PLAIN}
        except UNREADABLE:
            return None
        known["size"] = tuple(known["size"])
        return AnalysisResult(
            path=path,
            model=model,
            landmarker=landmarker,
            face=face,
            measured=measured,
            judged=judged,
            **arrays,
            **tables,
            **known,
        )

    def note(self, path: Path, shown: str = "") -> None:
        """Take note of an output that was written, and of what it shows (`Done.shown`)."""
        if path.is_file():
            self._written[str(path.resolve())] = [shown, content_hash(path)]
            write_sealed(self._written, self._list)

    def is_ours(self, path: Path) -> bool:
        """Whether an output is as it was written here."""
        known = self._written.get(str(path.resolve()))
        return known is not None and path.is_file() and content_hash(path) == known[1]

    def shows(self, path: Path, shown: str) -> bool:
        """Whether an output is as it was written here, and shows this."""
        return bool(shown) and self.is_ours(path) and self._written[str(path.resolve())][0] == shown


def check_free(paths: Iterable[Path], kept: Kept | None, resume: bool, overwrite: bool) -> None:
    """`InputError` if an output would write over an older file that it may not write over.

    With `overwrite` it may; with `resume` over what was written here and is unchanged since.
    """
    if overwrite:
        return
    there = [path for path in paths if path.is_file()]
    taken = [path for path in there if not (resume and kept is not None and kept.is_ours(path))]
    if taken:
        more = f" (and {len(taken) - 1} more)" if len(taken) > 1 else ""
        way = (
            "it was not written by this command or changed since; move it away, or add --overwrite"
            if resume
            else "name another place, or add --overwrite to write over it, --resume to go on where it was left"
        )
        raise InputError(f"{taken[0]}{more}: is already there; {way}")


def _table(records: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    table = pd.DataFrame(records, columns=list(columns))
    known = dict.fromkeys(_WHOLE, "int64") | dict.fromkeys(_TEXT, str) | dict.fromkeys(_YES, bool)
    kinds = {column: known.get(column, float) for column in columns}
    return table.astype(kinds)


def identity_of(landmarker: Landmarker) -> str:
    """What a landmarker's points depend on; `MetstError` for one that does not tell."""
    identity = getattr(landmarker, "identity", None)
    if not isinstance(identity, str):
        raise MetstError("results can only be kept with a landmarker that has an `identity`")
    return identity
