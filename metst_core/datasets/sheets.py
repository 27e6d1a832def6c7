"""Label sheets as they are really found: workbooks with titles, merged headers, numbers as text, and gaps.

A sheet is recognised by its column names, not by its file name; what its rows mean is said in `labels`.
"""

from __future__ import annotations

import csv
import math
import re
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from metst_core.datasets.rules import Report
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


@dataclass(frozen=True)
class Formula:
    """A cell whose formula has no stored value: what it would show is not in the file."""

    text: str

    def __str__(self) -> str:
        return self.text


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
    books: dict[str, list[tuple[Any, ...]]] = {}
    unreadable: list[str] = []
    for path in files:
        if not path.is_file():
            raise MissingError(f"{path}: no such file; give the label sheet's path relative to {root}")
        try:
            books |= _cells(path, path.relative_to(root).as_posix())
        except InputError as error:
            unreadable.append(str(error))
            line = (path.relative_to(root).as_posix(), 0, str(error), "left out")
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
        bad = f"; not readable: {'; '.join(unreadable)}" if unreadable else ""
        raise MissingError(
            f"{root}: no label sheet ({form.title}) among {len(files)} workbook(s) here; put the .xlsx "
            f"file with the columns {columns} into this folder{bad}"
        )
    return found[0]


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
            f"is the formula {as_text(cell)[:40]} without a stored value; open the workbook in a spreadsheet and save it again"
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
    books: dict[str, list[tuple[Any, ...]]],
    form: SheetForm,
    find_rows: Callable[[list[tuple[Any, ...]], SheetForm], list[tuple[int, dict[str, Any]]] | None],
) -> list[Sheet]:
    """The sheets in which `find_rows` finds data rows of this form."""
    return [
        Sheet(name, rows) for name, cells in books.items() if (rows := find_rows(cells, form)) is not None
    ]


def _cells(path: Path, name: str) -> dict[str, list[tuple[Any, ...]]]:
    """All cells of a workbook's sheets, by `name` and sheet title; item `i` is spreadsheet row `i + 1`."""
    if path.suffix.lower() == ".xls":
        raise InputError(f"{path}: an old .xls workbook; save it as .xlsx")
    try:
        if path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as stream:
                return {name: [tuple(row) for row in csv.reader(stream)]}
        import openpyxl  # here, so that what reads no sheet, training say, need not have it

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl's, about styles that are of no use here
            book = openpyxl.load_workbook(path, data_only=True)
            formulas = openpyxl.load_workbook(path) if _has_formulas(path) else book
        one = len(book.worksheets) == 1
        return {
            name if one else f"{name} [{sheet.title}]": _rows(sheet, formulas[sheet.title])
            for sheet in book.worksheets
        }
    except Exception as error:  # a damaged workbook can raise nearly anything in its zip and XML readers
        raise InputError(
            f"{path}: not a readable workbook ({error!r}); open it and save it again as .xlsx"
        ) from error


def _has_formulas(path: Path) -> bool:
    """Whether any sheet of a workbook holds a formula."""
    with zipfile.ZipFile(path) as book:
        sheets = [n for n in book.namelist() if n.startswith("xl/worksheets/") and n.endswith(".xml")]
        return any(re.search(rb"<f[ />]", book.read(n)) for n in sheets)


def _rows(values: Any, formulas: Any) -> list[tuple[Any, ...]]:
    """The rows of a sheet of values; where it has none but `formulas`, the same sheet, has one, a `Formula`."""
    rows = list(values.iter_rows(values_only=True))
    if values is formulas:
        return rows
    said = formulas.iter_rows(values_only=True)
    return [
        tuple(
            Formula(text) if cell is None and isinstance(text, str) and text.startswith("=") else cell
            for cell, text in zip(row, texts, strict=True)
        )
        for row, texts in zip(rows, said, strict=True)
    ]


def _header_rows(cells: list[tuple[Any, ...]], form: SheetForm) -> list[tuple[int, dict[str, Any]]] | None:
    """Data rows under a header of one row or of two (merged cells), or None if there is no such header."""
    for index in range(min(len(cells), HEADER_DEPTH)):
        upper = [letters(c) for c in cells[index]]
        lower = [letters(c) for c in cells[index + 1]] if index + 1 < len(cells) else []
        lower += [""] * (len(upper) - len(lower))
        for depth, names in (
            (1, [{u} for u in upper]),
            (2, [{u, v, u + v} for u, v in zip(upper, lower, strict=False)]),
        ):
            columns = _column_positions(names, form)
            if columns is not None:
                return _data_rows(cells, index + depth, columns)
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


def _bare_rows(cells: list[tuple[Any, ...]], form: SheetForm) -> list[tuple[int, dict[str, Any]]] | None:
    """Data rows of a sheet without header, or None if there is none that the form recognises.

    They begin with the first that it recognises, or earlier, after the leading rows.
    """
    if form.recognises is None:
        return None
    positions = form.positions
    for start, row in enumerate(cells[:HEADER_DEPTH]):
        padded = (*row, *[None] * len(positions))
        if form.recognises(dict(zip(positions, padded, strict=False))):
            columns = {c: i for i, c in enumerate(positions) if c in form.columns}
            return _data_rows(cells, min(start, form.leading), columns)
    return None


def _data_rows(
    cells: list[tuple[Any, ...]], start: int, columns: dict[str, int]
) -> list[tuple[int, dict[str, Any]]]:
    """(spreadsheet row, cells by column) of all rows from `start` that are not blank."""
    rows = []
    for index, row in enumerate(cells[start:], start=start + 1):
        if any(as_text(c) for c in row):
            rows.append((index, {c: row[i] if i < len(row) else None for c, i in columns.items()}))
    return rows
