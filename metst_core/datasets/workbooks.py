"""The cells of workbooks and text tables: whatever a file says of its size, time and memory are bounded.

A row is its number as a spreadsheet counts and its cells; blank rows are left out.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metst_core.checks import MOST_COLUMNS, MOST_ROWS, MOST_SHEET_BYTES
from metst_core.errors import InputError, reason
from metst_core.tables import delimiter_of, text_of

Row = tuple[int, tuple[Any, ...]]


@dataclass(frozen=True)
class Formula:
    """A cell whose formula has no stored value: what it would show is not in the file."""

    text: str

    def __str__(self) -> str:
        return self.text


def sheets_of(path: Path) -> dict[str, list[Row]]:
    """The rows of every sheet of a workbook, by its title; a text table is one sheet without title.

    `InputError` names the file and the remedy.
    """
    suffix = path.suffix.lower()
    if suffix == ".xls":
        raise InputError(f"{path}: an old .xls workbook; save it as .xlsx")
    try:
        if path.stat().st_size > MOST_SHEET_BYTES:
            raise InputError(f"{path}: has more than {MOST_SHEET_BYTES >> 20} MB; keep the label sheet alone")
        return {"": _text_rows(path)} if suffix == ".csv" else _workbook_rows(path)
    except InputError:
        raise
    except Exception as error:  # a damaged workbook can raise nearly anything in its zip and XML readers
        raise InputError(
            f"{path}: not a readable workbook ({type(error).__name__}: {reason(error)}); open it and save it again as "
            ".xlsx"
        ) from error


# --- text ---------------------------------------------------------------------------------------
def _text_rows(path: Path) -> list[Row]:
    text = text_of(path)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text))
    return list(_kept(enumerate(map(tuple, rows), start=1), path))


# --- workbooks ----------------------------------------------------------------------------------
def _workbook_rows(path: Path) -> dict[str, list[Row]]:
    import openpyxl  # here, so that what reads no sheet, training say, need not have it

    has_formulas = _checked_archive(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl's, about styles that are of no use here
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        said = openpyxl.load_workbook(path, read_only=True) if has_formulas else None
        try:
            sheets = {}
            for sheet in book.worksheets:
                rows = _sheet_rows(sheet)
                if said is not None:
                    rows = _with_formulas(rows, _sheet_rows(said[sheet.title]))
                sheets[sheet.title] = list(_kept(rows, path))
            return sheets
        finally:
            book.close()
            if said is not None:
                said.close()


def _checked_archive(path: Path) -> bool:
    """Whether a workbook holds a formula; `InputError` if it would fill the memory."""
    with zipfile.ZipFile(path) as archive:
        inflated = sum(member.file_size for member in archive.infolist())
        if inflated > MOST_SHEET_BYTES:
            raise InputError(
                f"{path}: would take {inflated / 1e6:.0f} MB of memory; keep the label sheet alone, without pictures"
            )
        sheets = [n for n in archive.namelist() if re.fullmatch(r"xl/worksheets/[^/]+\.xml", n)]
        return any(re.search(rb"<f[ />]", archive.read(name)) for name in sheets)


def _sheet_rows(sheet: Any) -> Iterator[Row]:
    """The rows that the file holds; the range that it declares is not believed."""
    sheet.reset_dimensions()
    yield from enumerate(sheet.iter_rows(values_only=True), start=1)


def _with_formulas(values: Iterable[Row], texts: Iterable[Row]) -> Iterator[Row]:
    """`values`, and a `Formula` where there is none but the same sheet without values has a formula."""
    for (number, row), (_, said) in zip(values, texts, strict=True):
        yield (
            number,
            tuple(
                Formula(text) if cell is None and isinstance(text, str) and text.startswith("=") else cell
                for cell, text in zip(row, said, strict=True)
            ),
        )


def _kept(rows: Iterable[Row], path: Path) -> Iterator[Row]:
    """Those that are not blank, without the blank cells at their ends; at most `MOST_COLUMNS` cells of each."""
    n_kept = 0
    for number, row in rows:
        width = min(len(row), MOST_COLUMNS)
        while width and (row[width - 1] is None or not str(row[width - 1]).strip()):
            width -= 1
        if not width:
            continue
        n_kept += 1
        if n_kept > MOST_ROWS:
            raise InputError(f"{path}: has more than {MOST_ROWS:,} rows; keep the label sheet alone")
        yield number, row[:width]
