"""The tables that travel through the package: annotations, predictions, videos (pandas, named columns).

Frame numbers are 0-based, intervals inclusive.  Ids are strings.  Each table has one CSV form, with the same
columns and the same convention; foreign files are converted where they are read (`metst_core.datasets`).
"""

from __future__ import annotations

import importlib.util
import io
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pandas as pd

from metst_core.checks import MOST_SHEET_BYTES, as_path, shown
from metst_core.errors import InputError, MissingError, reason
from metst_core.files import atomic_path, check_id

EMOTIONS = ("negative", "positive", "surprise", "others")
"""The four emotions, in the order of the networks' classes 0 to 3 (method: section 1)."""
NEUTRAL = "neutral"
CLASSES = (*EMOTIONS, NEUTRAL)
"""The networks' five classes, in order; class 4 is neutral (no micro-expression)."""

ANNOTATION_COLUMNS = ("subject", "video", "onset", "apex", "offset", "emotion")
PREDICTION_COLUMNS = (*ANNOTATION_COLUMNS, "score")
VIDEO_COLUMNS = ("subject", "video", "fps", "n_frames", "path")

MICRO, MACRO = KINDS = ("micro", "macro")
"""What an interval is: a micro- or a macro-expression (a table without the column `kind` holds micro ones)."""

FIRST_ROW = 2
"""The first row below the header of a CSV file, as a spreadsheet counts."""

PARQUET = ".parquet"

_KEY_COLUMNS = ("subject", "video")
_FRAME_COLUMNS = ("onset", "apex", "offset")
_LARGEST_FRAME = 10**9  # more than a year at 30 frames per second: not a frame number


def empty_annotations() -> pd.DataFrame:
    """An annotation table without rows, with the right dtypes."""
    return check_annotations(pd.DataFrame({c: [] for c in ANNOTATION_COLUMNS}))


def empty_predictions() -> pd.DataFrame:
    """A prediction table without rows, with the right dtypes."""
    return check_predictions(pd.DataFrame({c: [] for c in PREDICTION_COLUMNS}))


def check_annotations(
    table: pd.DataFrame, where: str = "annotation table", first_row: int = 0
) -> pd.DataFrame:
    """Return `table` with the columns and dtypes of an annotation table, or raise an `InputError` naming the row.

    Requires `onset <= apex <= offset`, `onset >= 0` and an emotion of `EMOTIONS`.  `first_row` is the number
    that the message gives the first row (`FIRST_ROW` for a CSV file).
    """
    checked = _check_intervals(table, ANNOTATION_COLUMNS, EMOTIONS, where, first_row, first_frame=0)
    return checked.reset_index(drop=True)


def check_predictions(
    table: pd.DataFrame, where: str = "prediction table", first_row: int = 0
) -> pd.DataFrame:
    """As `check_annotations`, for a prediction table: `neutral` is allowed, and intervals may leave the video."""
    checked = _check_intervals(table, PREDICTION_COLUMNS, CLASSES, where, first_row, first_frame=None)
    scores = checked["score"]

    def is_score(numbers: pd.Series) -> pd.Series:
        return numbers.notna() | scores.isna() | scores.isin(["", "nan"])

    score = _numbers(checked, "score", is_score, "a score", where, first_row)
    return checked.assign(score=score).reset_index(drop=True)


def read_annotations(path: str | Path) -> pd.DataFrame:
    """Read an annotation table from CSV (`subject,video,onset,apex,offset,emotion`; 0-based, inclusive)."""
    return check_annotations(read_csv(path), str(path), FIRST_ROW)


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Read a prediction table from CSV (an annotation table's columns and `score`)."""
    return check_predictions(read_csv(path), str(path), FIRST_ROW)


def read_keys(path: str | Path) -> pd.DataFrame:
    """Read the columns `subject, video` of a CSV table."""
    table = read_csv(path)
    _require_columns(table, _KEY_COLUMNS, str(path))
    return table[list(_KEY_COLUMNS)]


def read_videos(path: str | Path) -> pd.DataFrame:
    """Read a video table from CSV; a relative `path` is relative to the CSV's folder.

    `InputError` names the row whose `fps` or `n_frames` is no number above 0.
    """
    table = read_csv(path)
    _require_columns(table, VIDEO_COLUMNS, str(path))
    fps = _numbers(table, "fps", _is_positive, "a number above 0", str(path), FIRST_ROW)
    n_frames = _numbers(table, "n_frames", _is_count, "a whole number above 0", str(path), FIRST_ROW)
    for column in _KEY_COLUMNS:
        values = table[column]
        ids = [check_id(column, value, f"{path}: row {row + FIRST_ROW}") for row, value in values.items()]
        table = table.assign(**{column: ids})
    paths = [str(Path(path).parent / str(p)) for p in table["path"]]
    table = table.assign(fps=fps, n_frames=n_frames.astype("int64"), path=paths)
    return table[list(VIDEO_COLUMNS)]


def as_name(value: object) -> str:
    """An id as text; a whole float is written as the whole number it is (`1.0` from a table with gaps is "1")."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def ordered(table: pd.DataFrame) -> np.ndarray:
    """Positions of an interval table's rows by onset, offset, apex, then the order of `CLASSES`: `(n,)` int64.

    Rows that agree in all of these are the same interval, whatever their order.
    """
    named = table["emotion"].map({name: i for i, name in enumerate(CLASSES)})
    return np.lexsort((named, table["apex"], table["offset"], table["onset"]))


def of_video(table: pd.DataFrame, subject: str, video: str) -> pd.DataFrame:
    """The rows of one video, in their order and with their index, of any table with `subject` and `video`."""
    return table[(table["subject"] == subject) & (table["video"] == video)]


def inside(annotations: pd.DataFrame, n_frames: int) -> np.ndarray:
    """Which frames of one video lie inside an ME, onset and offset included: `(n_frames,)` bool.

    Parts of an interval that lie outside the video are cut.
    """
    mask = np.zeros(n_frames, bool)
    for onset, offset in zip(annotations["onset"], annotations["offset"], strict=True):
        mask[max(0, onset) : max(0, offset + 1)] = True
    return mask


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before every text that a spreadsheet would take for a formula.

    That is one that begins with `= + - @`, a tab or a carriage return: a file name may.  For tables that are
    opened in a spreadsheet; other programs read the apostrophe as part of the text.
    """
    return table.map(
        lambda cell: f"'{cell}" if isinstance(cell, str) and cell[:1] in _FORMULA_SIGNS else cell
    )


_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def write_table(table: pd.DataFrame, path: str | Path, formulas: bool = True) -> Path:
    """Write any of the tables as CSV, or as Parquet where the name ends in `.parquet`, atomically.

    With `formulas=False` no cell of a CSV file can be a formula (`without_formulas`).  Parquet needs pyarrow, which is not among the dependencies: a `MissingError` says how to get it.
    """
    path = as_path("path", path)
    if path.suffix.lower() == PARQUET:
        check_table_path(path)
    elif not formulas:
        table = without_formulas(table)
    with atomic_path(path) as temporary:
        if path.suffix.lower() == PARQUET:
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False, lineterminator="\n", errors="backslashreplace")
    return path


def check_table_path(path: str | Path) -> None:
    """Whether a table can be written in the form that the name asks for; asked before the work."""
    if Path(path).suffix.lower() == PARQUET and importlib.util.find_spec("pyarrow") is None:
        raise MissingError(
            f"{path}: Parquet needs the package pyarrow: pip install 'metst[parquet]', or end the name in .csv"
        )


def read_csv(path: str | Path) -> pd.DataFrame:
    """Any CSV table with a header row; ids are text, and an empty cell is an empty text.

    Commas, semicolons or tabs separate the cells.  Blank lines are left out, and the index keeps count of them:
    `index + FIRST_ROW` is the row in a spreadsheet.
    """
    path = as_path("path", path)
    if not path.is_file():
        raise MissingError(f"{path}: no such file; expected a CSV table with a header row")
    text = text_of(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # more cells in a row than in the header
            table = pd.read_csv(
                io.StringIO(text),
                sep=delimiter_of(text),
                dtype={"subject": str, "video": str},
                keep_default_na=False,
                skipinitialspace=True,
                skip_blank_lines=False,
                index_col=False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise InputError(
            f"{path}: not a readable CSV table ({reason(error)}); save it as comma-separated UTF-8"
        ) from error
    blank = table.map(lambda cell: cell is None or cell != cell or not str(cell).strip()).all(axis=1)
    return table[~blank].infer_objects() if blank.any() else table


def text_of(path: Path) -> str:
    """The text of a table's file, UTF-8 or (with its mark) UTF-16; `InputError` names the row that is neither."""
    if path.stat().st_size > MOST_SHEET_BYTES:
        raise InputError(f"{path}: has more than {MOST_SHEET_BYTES >> 20} MB; is this a table?")
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}: row {row} holds bytes that are not UTF-8 (a table saved as GBK or Latin-1?); save it as "
            "comma-separated UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(
            f"{path}: row {text[: text.index(chr(0))].count(chr(10)) + 1} holds a zero byte; it is no text"
        )
    return text


def delimiter_of(text: str) -> str:
    """What separates the cells of a table: of comma, semicolon, tab and bar the one that its first line has most."""
    lines = [line for line in text[:100_000].splitlines() if line.strip()][:20]
    for chosen in (lines[:1], lines):  # there may be a title above the header
        counts = {mark: sum(line.count(mark) for line in chosen) for mark in ",;\t|"}
        if any(counts.values()):
            break
    return max(counts, key=lambda mark: counts[mark])


def _require_columns(table: pd.DataFrame, columns: tuple[str, ...], where: str) -> None:
    if not isinstance(table, pd.DataFrame):
        raise InputError(
            f"{where}: a {type(table).__name__} is no table; give a pandas DataFrame with columns {', '.join(columns)}"
        )
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise InputError(
            f"{where}: column(s) {', '.join(missing)} missing; it has {', '.join(map(str, table.columns))[:200]}, "
            f"it needs {', '.join(columns)}"
        )


def _check_intervals(
    table: pd.DataFrame,
    columns: tuple[str, ...],
    classes: tuple[str, ...],
    where: str,
    first_row: int,
    first_frame: int | None,
) -> pd.DataFrame:
    _require_columns(table, columns, where)
    table = table[list(columns)]
    if not first_row:  # of a CSV file the index counts its rows, blank ones too
        table = table.reset_index(drop=True)
    for column in _FRAME_COLUMNS:
        numbers = _numbers(table, column, _is_frame, "a frame number", where, first_row)
        table = table.assign(**{column: numbers.astype("int64")})
    for column in _KEY_COLUMNS:
        if table[column].isna().any():
            raise InputError(f"{where}: row {table[column].isna().idxmax() + first_row}: {column} is missing")
    table = table.astype({"emotion": str}).assign(
        **{c: table[c].map(as_name).astype(str) for c in _KEY_COLUMNS}
    )
    for row in table.itertuples():
        here = f"{where}: row {row.Index + first_row}"
        if not row.onset <= row.apex <= row.offset:
            raise InputError(
                f"{here}: onset {row.onset}, apex {row.apex}, offset {row.offset} are not in order"
            )
        if first_frame is not None and row.onset < first_frame:
            raise InputError(f"{here}: onset {row.onset} lies before the first frame, 0")
        if row.emotion not in classes:
            raise InputError(f"{here}: emotion {row.emotion[:40]!r} is none of {', '.join(classes)}")
        for column in _KEY_COLUMNS if first_row else ():  # a table that comes from outside
            check_id(column, getattr(row, column), here)
    ids = {column: [normalize("NFC", value) for value in table[column]] for column in _KEY_COLUMNS}
    return table.assign(**ids).astype(dict.fromkeys(_KEY_COLUMNS, str))


def _numbers(
    table: pd.DataFrame,
    column: str,
    usable: Callable[[pd.Series], pd.Series],
    wanted: str,
    where: str,
    first_row: int,
) -> pd.Series:
    """A column as float64; `InputError` names the first row in which it is not what is wanted."""
    numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
    for index in table.index[~usable(numbers)][:1]:
        raise InputError(
            f"{where}: row {index + first_row}: {column} is {shown(table[column][index])[:80]}, not {wanted}"
        )
    return numbers


def _is_frame(numbers: pd.Series) -> pd.Series:
    return (numbers == numbers.round()) & (numbers.abs() <= _LARGEST_FRAME)


def _is_positive(numbers: pd.Series) -> pd.Series:
    return (numbers > 0) & (numbers < math.inf)


def _is_count(numbers: pd.Series) -> pd.Series:
    return _is_frame(numbers) & (numbers > 0)
