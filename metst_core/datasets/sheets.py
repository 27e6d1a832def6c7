"""Label sheets as they are really found: workbooks with titles, merged headers, numbers as text, and gaps.

A sheet is recognised by its column names, not by its file name; what its rows mean is said in `labels`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from metst_core.datasets.rules import Report
from metst_core.datasets.workbooks import Formula, Row, sheets_of
from metst_core.errors import InputError, MissingError

_SHEET_SUFFIXES = (".xlsx", ".xlsm", ".xls", ".csv")

HEADER_DEPTH = 60  # rows of a sheet in which its header is looked for

_MISSING_TEXTS = ("", "/", "\\", "-", "--", "-1", "n/a", "na", "nan", "none", "null")

_LARGEST_FRAME = 10**9  # more than a year at 30 frames per second: not a frame number


@dataclass(frozen=True)
class SheetForm:
    """How a label sheet is recognised.

    `columns` are the names that its columns may have, `optional` those that may be absent.  For a sheet
    without header: the order of its columns, a test of a row, and how many rows lead up to the data at most.
    """

    title: str
    columns: dict[str, tuple[str, ...]]
    optional: tuple[str, ...] = ()
    positions: tuple[str, ...] = ()
    recognises: Callable[[dict[str, Any]], bool] | None = None
    leading: int = 0


class Sheet(NamedTuple):
    """A label sheet: its file, and its data rows as (row number, cells by column)."""

    file: str
    rows: list[tuple[int, dict[str, Any]]]


def find_sheet(
    root: Path, form: SheetForm, report: Report, file: str | None = None, other_than: str = ""
) -> Sheet:
    """The one sheet of this form in `root` or the folders directly in it, or in the named `file`.

    It is never the sheet `other_than`.  Raises `MissingError` if there is none and `InputError` if there are several.
    """
    files = [root / str(file)] if file else _sheet_files(root)
    books: dict[str, list[Row]] = {}
    unreadable: list[str] = []
    for path in files:
        if not path.is_file():
            raise MissingError(f"{path}: no such file; give the label sheet's path relative to {root}")
        try:
            books |= _cells(path, _name_in(root, path))
        except InputError as error:
            unreadable.append(str(error)[:400])
            line = (_name_in(root, path), 0, str(error), "left out")
            if line not in report.lines:  # SAMM-LV looks for two sheets
                report.add(*line)
    books.pop(other_than, None)
    found = _matching(books, form, _header_rows) or _matching(books, form, _bare_rows)
    if len(found) > 1:
        names = ", ".join(sheet.file for sheet in found)
        raise InputError(
            f"{root}: several sheets look like {form.title}: {names}; keep only the right one in this folder, "
            "or name it (option labels or codes)"
        )
    if not found:
        columns = ", ".join(names[0] for c, names in form.columns.items() if c not in form.optional)
        bad = f"; not readable: {'; '.join(unreadable[:3])}" if unreadable else ""
        raise MissingError(
            f"{root}: no label sheet ({form.title}) among {len(files)} workbook(s) here; put the .xlsx "
            f"file with the columns {columns} into this folder{bad}"
        )
    return found[0]


def _name_in(root: Path, path: Path) -> str:
    """A file's path from the root of the set, or as it is where the file lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def as_text(cell: Any) -> str:
    """A cell as text without stray spaces; whole floats lose their `.0`."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return " ".join(str(cell).split())


def as_id(cell: Any) -> str:
    """A cell as an id: text without any white space (an id never holds one)."""
    return "".join(as_text(cell).split())


def as_frame(cell: Any) -> int | None:
    """A cell as a frame value; None if it says there is none (`/`, `-1`, empty). `InputError`: no number."""
    if isinstance(cell, Formula):
        raise InputError(
            f"is the formula {as_text(cell)[:40]} without a stored value; open the workbook in a spreadsheet and save it "
            "again"
        )
    text = as_text(cell).casefold()
    if text in _MISSING_TEXTS:
        return None
    if isinstance(cell, bool) or re.fullmatch(r"\+?[0-9]+(\.0*)?", text) is None or len(text) > 20:
        raise InputError(f"{as_text(cell)[:40]!r} is not a frame number")
    value = int(text.partition(".")[0])
    if value > _LARGEST_FRAME:
        raise InputError(f"{value} is too large for a frame number")
    return value


def letters(cell: Any) -> str:
    """A cell reduced to its letters."""
    return re.sub(r"[^a-z]", "", as_text(cell).casefold())


def _sheet_files(root: Path) -> list[Path]:
    """Workbooks in `root` and in the folders directly in it (no deeper: there are the images)."""
    folders = [root, *sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] != ".")]
    return [
        file
        for folder in folders
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in _SHEET_SUFFIXES and not file.name.startswith((".", "~$")) and file.is_file()
    ]


def _matching(
    books: dict[str, list[Row]],
    form: SheetForm,
    find_rows: Callable[[list[Row], SheetForm], list[tuple[int, dict[str, Any]]] | None],
) -> list[Sheet]:
    """The sheets in which `find_rows` finds data rows of this form."""
    return [
        Sheet(name, rows) for name, cells in books.items() if (rows := find_rows(cells, form)) is not None
    ]


def _cells(path: Path, name: str) -> dict[str, list[Row]]:
    """The rows of a workbook's sheets, by `name` and sheet title."""
    sheets = sheets_of(path)
    return {name if len(sheets) == 1 else f"{name} [{title}]": rows for title, rows in sheets.items()}


def _header_rows(rows: list[Row], form: SheetForm) -> list[tuple[int, dict[str, Any]]] | None:
    """Data rows under a header of one row or of two (merged cells), or None if there is no such header."""
    for index, (number, cells) in enumerate(rows[:HEADER_DEPTH]):
        upper = [letters(c) for c in cells]
        below = rows[index + 1] if index + 1 < len(rows) else (0, ())
        lower = [letters(c) for c in below[1]] if below[0] == number + 1 else []
        upper += [""] * (len(lower) - len(upper))
        lower += [""] * (len(upper) - len(lower))
        for depth, names in (
            (1, [{u} for u in upper]),
            (2, [{u, v, u + v} for u, v in zip(upper, lower, strict=True)]),
        ):
            columns = _column_positions(names, form)
            if columns is not None:
                return _data_rows(rows[index + depth :], columns)
    return None


def _column_positions(names: list[set[str]], form: SheetForm) -> dict[str, int] | None:
    positions = {}
    for column, allowed in form.columns.items():
        found = [i for i, here in enumerate(names) if here & {letters(name) for name in allowed}]
        if found:
            positions[column] = found[0]
        elif column not in form.optional:
            return None
    return positions


def _bare_rows(rows: list[Row], form: SheetForm) -> list[tuple[int, dict[str, Any]]] | None:
    """Data rows of a sheet without header, or None if there is none that the form recognises.

    They begin with the first that it recognises, or earlier, after the leading rows.
    """
    if form.recognises is None:
        return None
    positions = form.positions
    for number, cells in rows[:HEADER_DEPTH]:
        padded = (*cells, *[None] * len(positions))
        if form.recognises(dict(zip(positions, padded, strict=False))):
            columns = {c: i for i, c in enumerate(positions) if c in form.columns}
            first = min(number, form.leading + 1)
            return _data_rows([row for row in rows if row[0] >= first], columns)
    return None


def _data_rows(rows: list[Row], columns: dict[str, int]) -> list[tuple[int, dict[str, Any]]]:
    """(spreadsheet row, cells by column) of all rows that are not blank in every column."""
    return [
        (number, {c: cells[i] if i < len(cells) else None for c, i in columns.items()})
        for number, cells in rows
        if any(as_text(c) for c in cells)
    ]
