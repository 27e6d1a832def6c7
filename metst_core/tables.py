"""The tables that travel through the package: annotations, predictions, videos (pandas, named columns).

Frame numbers are 0-based, intervals inclusive.  Ids are strings.  Each table has one CSV form, with the same
columns and the same convention; foreign files are converted where they are read (`metst_core.datasets`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from metst_core.checks import as_path
from metst_core.errors import InputError, MissingError
from metst_core.files import atomic_path

EMOTIONS = ("negative", "positive", "surprise", "others")
"""The four emotions, in the order of the networks' classes 0 to 3 (method: section 1)."""
NEUTRAL = "neutral"
CLASSES = (*EMOTIONS, NEUTRAL)
"""The networks' five classes, in order; class 4 is neutral (no micro-expression)."""

ANNOTATION_COLUMNS = ("subject", "video", "onset", "apex", "offset", "emotion")
PREDICTION_COLUMNS = (*ANNOTATION_COLUMNS, "score")
VIDEO_COLUMNS = ("subject", "video", "fps", "n_frames", "path")

_FRAME_COLUMNS = ("onset", "apex", "offset")


def empty_annotations() -> pd.DataFrame:
    """An annotation table without rows, with the right dtypes."""
    return check_annotations(pd.DataFrame({c: [] for c in ANNOTATION_COLUMNS}))


def empty_predictions() -> pd.DataFrame:
    """A prediction table without rows, with the right dtypes."""
    return check_predictions(pd.DataFrame({c: [] for c in PREDICTION_COLUMNS}))


def check_annotations(table: pd.DataFrame, where: str = "annotation table") -> pd.DataFrame:
    """Return `table` with the columns and dtypes of an annotation table, or raise an `InputError` naming the row.

    Requires `onset <= apex <= offset`, `onset >= 0` and an emotion of `EMOTIONS`.
    """
    return _check_intervals(table, ANNOTATION_COLUMNS, EMOTIONS, where, first_frame=0)


def check_predictions(table: pd.DataFrame, where: str = "prediction table") -> pd.DataFrame:
    """As `check_annotations`, for a prediction table: `neutral` is allowed, and intervals may leave the video."""
    checked = _check_intervals(table, PREDICTION_COLUMNS, CLASSES, where, first_frame=None)
    return checked.astype({"score": float})


def read_annotations(path: str | Path) -> pd.DataFrame:
    """Read an annotation table from CSV (`subject,video,onset,apex,offset,emotion`; 0-based, inclusive)."""
    return check_annotations(_read_csv(path), str(path))


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Read a prediction table from CSV (an annotation table's columns and `score`)."""
    return check_predictions(_read_csv(path), str(path))


def read_videos(path: str | Path) -> pd.DataFrame:
    """Read a video table from CSV; a relative `path` is relative to the CSV's folder."""
    table = _read_csv(path)
    _require_columns(table, VIDEO_COLUMNS, str(path))
    folder = Path(path).parent
    table = table.astype({"fps": float, "n_frames": int})
    table["path"] = [str(folder / p) for p in table["path"]]
    return table[list(VIDEO_COLUMNS)]


def write_table(table: pd.DataFrame, path: str | Path) -> Path:
    """Write any of the tables as CSV, atomically."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    return Path(path)


def _read_csv(path: str | Path) -> pd.DataFrame:
    path = as_path("path", path)
    if not path.is_file():
        raise MissingError(f"{path}: no such file; expected a CSV table with a header row")
    try:
        return pd.read_csv(
            path, dtype={"subject": str, "video": str}, keep_default_na=False, skipinitialspace=True
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: not a readable CSV table ({error}); save it as comma-separated UTF-8"
        ) from error


def _require_columns(table: pd.DataFrame, columns: tuple[str, ...], where: str) -> None:
    if not isinstance(table, pd.DataFrame):
        raise InputError(
            f"{where}: a {type(table).__name__} is no table; give a pandas DataFrame with columns {', '.join(columns)}"
        )
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise InputError(
            f"{where}: column(s) {', '.join(missing)} missing; it has {', '.join(map(str, table.columns))}, "
            f"it needs {', '.join(columns)}"
        )


def _check_intervals(
    table: pd.DataFrame,
    columns: tuple[str, ...],
    classes: tuple[str, ...],
    where: str,
    first_frame: int | None,
) -> pd.DataFrame:
    _require_columns(table, columns, where)
    table = table[list(columns)].reset_index(drop=True)
    for column in _FRAME_COLUMNS:
        numbers = pd.to_numeric(table[column], errors="coerce")
        bad = table.index[~np.isfinite(numbers.astype(float)) | (numbers != numbers.round())]
        if len(bad):
            raise InputError(
                f"{where}: row {bad[0]}: {column} is {table[column][bad[0]]!r}, not a frame number"
            )
        table[column] = numbers.astype("int64")
    for column in ("subject", "video"):
        if table[column].isna().any():
            raise InputError(f"{where}: row {table[column].isna().argmax()}: {column} is missing")
    table = table.astype({"subject": str, "video": str, "emotion": str})
    for row in table.itertuples():
        if not row.onset <= row.apex <= row.offset:
            raise InputError(
                f"{where}: row {row.Index}: onset {row.onset}, apex {row.apex}, offset {row.offset} are not in order"
            )
        if first_frame is not None and row.onset < first_frame:
            raise InputError(f"{where}: row {row.Index}: onset {row.onset} lies before the first frame, 0")
        if row.emotion not in classes:
            raise InputError(
                f"{where}: row {row.Index}: emotion {row.emotion!r} is none of {', '.join(classes)}"
            )
    return table
