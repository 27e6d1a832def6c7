"""Label sheets as they are really found: workbooks with titles, merged headers, numbers as text, and gaps.

A sheet is recognised by its column names, not by its file name.  Every data row becomes an interval or a line
of the report, sometimes both; none is lost in silence.  Frame values in the sheets are 1-based, in recorded
frames.
"""

from __future__ import annotations

import csv
import dataclasses
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import openpyxl
import pandas as pd

from metst_core.errors import InputError, MissingError
from metst_core.tables import ANNOTATION_COLUMNS

REPORT_COLUMNS = ("file", "row", "problem", "action")
"""A report table: where something was wrong (row as a spreadsheet counts, 0: the file) and what was done."""

INTERVAL_COLUMNS = (*ANNOTATION_COLUMNS, "file", "row")

_SHEET_SUFFIXES = (".xlsx", ".xlsm", ".xls", ".csv")
_HEADER_DEPTH = 60  # rows of a sheet in which its header is looked for
_MISSING_TEXTS = ("", "/", "\\", "-", "--", "-1", "n/a", "na", "nan", "none", "null")
_LARGEST_FRAME = 10**9  # more than a year at 30 frames per second: not a frame number

EMOTION_GROUPS = {
    "happy": "positive", "happiness": "positive",
    "anger": "negative", "contempt": "negative", "disgust": "negative", "fear": "negative",
    "sad": "negative", "sadness": "negative",
    "surprise": "surprise",
    "other": "others", "others": "others",
}  # fmt: skip
"""The sets' emotions and the four emotions they are grouped into (ME-TST+ arXiv 2508.08082)."""


class Report:
    """Lines about files and rows that were repaired or left out."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int, str, str]] = []

    def add(self, file: str, row: int, problem: str, action: str) -> None:
        """Add a line; `row` as a spreadsheet counts it, 0 for the whole file."""
        self.lines.append((file, row, problem, action))

    def table(self) -> pd.DataFrame:
        """The lines as a DataFrame `file, row, problem, action`, in order of file and row."""
        lines = sorted(self.lines, key=lambda line: line[:2])
        return pd.DataFrame(lines, columns=list(REPORT_COLUMNS)).astype({"row": "int64"})


@dataclass(frozen=True)
class Rules:
    """What is done with rows that are not plain; the defaults are the published rules, where there is one.

    `onset_zero` (published: drop), `offset_zero` (published: the apex becomes the offset; a missing offset
    counts as 0), `missing_apex` (nothing published depends on it but the offset rule), `past_end` (an
    interval that ends after its video), `duplicates`, `unknown_emotion`.
    """

    onset_zero: str = "drop"
    offset_zero: str = "apex"
    missing_apex: str = "middle"
    past_end: str = "cut"
    duplicates: str = "drop"
    unknown_emotion: str = "drop"

    def __post_init__(self) -> None:
        for name, allowed in RULE_CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name}: {getattr(self, name)!r} is none of {', '.join(allowed)}")


RULE_CHOICES = {
    "onset_zero": ("drop", "first"),
    "offset_zero": ("apex", "drop"),
    "missing_apex": ("middle", "onset", "drop"),
    "past_end": ("cut", "keep", "drop"),
    "duplicates": ("drop", "keep"),
    "unknown_emotion": ("drop", "others"),
}
RULES = {
    "official": Rules(),
    "complete": Rules(offset_zero="drop", missing_apex="drop", past_end="drop"),
}
"""Named rules: `official` as published, `complete` uses only rows that need no repair."""


def choose_rules(rules: str, overrides: dict[str, str]) -> Rules:
    """The named rules with some of them changed by name."""
    if rules not in RULES:
        raise InputError(f"rules: {rules!r} is none of {', '.join(RULES)}")
    return dataclasses.replace(RULES[rules], **overrides)


@dataclass(frozen=True)
class Layout:
    """How a label sheet is recognised: names its columns may have; for sheets without header their order, a
    row test, and how many rows lead up to the data at most."""

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


CASME3_SHEET = Layout(
    "CAS(ME)^3 part A micro-expression labels",
    {
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("Onset", "Onset Frame"),
        "apex": ("Apex", "Apex Frame"),
        "offset": ("Offset", "Offset Frame"),
        "emotion": ("Emotion",),
    },
    optional=("apex",),
)
SAMMLV_SHEET = Layout(
    "SAMM Long Videos release (onset, apex, offset, type)",
    {
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("Onset", "Onset Frame"),
        "apex": ("Apex", "Apex Frame"),
        "offset": ("Offset", "Offset Frame"),
        "type": ("Type",),
    },
    optional=("subject", "apex"),
    positions=(
        "subject",
        "filename",
        "inducement",
        "onset",
        "apex",
        "offset",
        "duration",
        "type",
        "units",
        "notes",
    ),
    recognises=lambda cells: _sample(cells["filename"]) is not None and _kind(cells["type"]) != "",
    leading=10,
)
FACS_SHEET = Layout(
    "SAMM FACS codes (estimated emotion)",
    {"filename": ("Filename",), "type": ("Micro", "Type"), "emotion": ("Estimated Emotion",)},
    positions=(
        "subject", "filename", "inducement", "onset", "apex", "offset", "duration", "type", "units",
        "emotion", "classes", "notes",
    ),
    recognises=lambda cells: (
        _sample(cells["filename"]) is not None and _key(cells["emotion"]) in EMOTION_GROUPS
    ),
    leading=_HEADER_DEPTH,
)  # fmt: skip


def read_casme3_sheet(root: Path, rules: Rules, report: Report, labels: str | None = None) -> pd.DataFrame:
    """Intervals of the CAS(ME)^3 sheet: `INTERVAL_COLUMNS`, 0-based recorded frames, ids as in the sheet."""
    sheet = find_sheet(root, CASME3_SHEET, report, labels)
    return _intervals(_with_casme3_ids(sheet, report), sheet.file, rules, report)


def read_sammlv_sheets(
    root: Path, rules: Rules, report: Report, labels: str | None = None, codes: str | None = None
) -> pd.DataFrame:
    """As `read_casme3_sheet`, from the two SAMM-LV sheets joined on sample and type; without macro rows."""
    code_sheet = find_sheet(root, FACS_SHEET, report, codes)
    long_sheet = find_sheet(root, SAMMLV_SHEET, report, labels, other_than=code_sheet.file)
    emotions = _facs_emotions(code_sheet, report)
    rows = list(_with_sammlv_ids(long_sheet, emotions, report))
    used = {(cells["sample"], "micro") for _, cells in rows}
    for key, (_, row) in emotions.items():
        if key not in used and key[1] == "micro":
            report.add(code_sheet.file, row, f"no micro-expression {key[0]} in {long_sheet.file}", "left out")
    return _intervals(rows, long_sheet.file, rules, report)


def find_sheet(
    root: Path, layout: Layout, report: Report, file: str | None = None, other_than: str = ""
) -> Sheet:
    """The one sheet of this layout in `root` or the folders directly in it, or in the named `file`; never the
    sheet `other_than`.

    Raises `MissingError` if there is none and `InputError` if there are several.
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
    found = _matching(books, layout, _header_rows) or _matching(books, layout, _bare_rows)
    if len(found) > 1:
        names = ", ".join(sheet.file for sheet in found)
        raise InputError(
            f"{root}: several sheets look like {layout.title}: {names}; keep only the right one in this folder, "
            "or name it (option labels or codes)"
        )
    if not found:
        columns = ", ".join(names[0] for c, names in layout.columns.items() if c not in layout.optional)
        bad = f"; not readable: {'; '.join(unreadable)}" if unreadable else ""
        raise MissingError(
            f"{root}: no label sheet ({layout.title}) among {len(files)} workbook(s) here; put the .xlsx "
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
    text = as_text(cell).casefold()
    if text in _MISSING_TEXTS:
        return None
    if isinstance(cell, bool) or re.fullmatch(r"\+?[0-9]+(\.0*)?", text) is None or len(text) > 20:
        raise InputError(f"{as_text(cell)[:40]!r} is not a frame number")
    value = int(text.partition(".")[0])
    if value > _LARGEST_FRAME:
        raise InputError(f"{value} is too large for a frame number")
    return value


def interval_of(onset: Any, apex: Any, offset: Any, rules: Rules) -> tuple[tuple[int, int, int], list[str]]:
    """0-based (onset, apex, offset) of a row's cells, and its repairs; `InputError`: why it is left out."""
    repairs: list[str] = []
    values: dict[str, int | None] = {}
    for name, cell in (("onset", onset), ("apex", apex), ("offset", offset)):
        try:
            values[name] = as_frame(cell)
        except InputError as error:
            if name != "apex":
                raise InputError(f"{name} {error}") from error
            repairs.append(f"apex {error}")
            values[name] = None
    first, last = values["onset"], values["offset"]
    peak = values["apex"] or None  # 0 is no frame of a 1-based sheet
    if first is None:
        raise InputError("no onset")
    if first == 0:
        if rules.onset_zero == "drop":
            raise InputError("onset is 0")
        repairs.append("onset is 0: the first frame is used")
        first = 1
    if not last:
        said = "missing" if last is None else "0"
        if rules.offset_zero == "drop" or peak is None:
            raise InputError(f"offset is {said}" + ("" if peak else " and there is no apex"))
        repairs.append(f"offset is {said}: the apex is used")
        last = peak
    if last < first:
        raise InputError(f"offset {last} lies before onset {first}")
    if peak is None or not first <= peak <= last:
        said = "no apex" if peak is None else f"apex {peak} lies outside {first} to {last}"
        if rules.missing_apex == "drop":
            raise InputError(said)
        peak = first if rules.missing_apex == "onset" else (first + last) // 2
        repairs.append(f"{said}: the {rules.missing_apex} is used")
    return (first - 1, peak - 1, last - 1), repairs


def canonical_ids(ids: Sequence[str], known: Iterable[str]) -> dict[str, str]:
    """Spelling to use for each id.

    That of `known` which differs only in capitals, punctuation or padding zeros; else, where one of the two
    consists of numbers alone, the only known id with the same numbers (`1` for `spNO.1`; never `a1` for
    `b1`); else the first spelling met in `ids` itself.
    """
    known = list(known)
    by_parts, by_numbers = _groups(known, id_parts), _groups(known, _id_numbers)
    first: dict[tuple[str, ...], str] = {}
    result: dict[str, str] = {}
    for name in ids:
        parts, numbers = id_parts(name), _id_numbers(name)
        same_numbers = by_numbers.get(numbers, []) if numbers else []
        without_words = [k for k in same_numbers if numbers in (parts, id_parts(k))]
        only = [g[0] for g in (by_parts.get(parts, []), without_words) if len(g) == 1]
        if name in known:
            result[name] = name
        else:
            result[name] = only[0] if only else first.setdefault(parts, name)
    return result


def id_parts(text: str) -> tuple[str, ...]:
    """An id's words and numbers, without capitals, punctuation and padding zeros."""
    parts = re.findall(r"[^\W0-9_]+|[0-9]+", text.casefold())
    return tuple(p.lstrip("0") or "0" if p.isdecimal() else p for p in parts) or (text,)


def _intervals(
    rows: Iterable[tuple[int, dict[str, Any]]], file: str, rules: Rules, report: Report
) -> pd.DataFrame:
    kept = []
    for number, cells in rows:
        try:
            interval, repairs = interval_of(cells["onset"], cells.get("apex"), cells["offset"], rules)
            emotion = EMOTION_GROUPS.get(_key(cells["emotion"]))
            if emotion is None:
                said = f"unknown emotion {as_text(cells['emotion'])[:40]!r}"
                if rules.unknown_emotion == "drop":
                    raise InputError(said)
                emotion = rules.unknown_emotion
                repairs.append(f"{said}: others is used")
        except InputError as error:
            report.add(file, number, str(error), "left out")
            continue
        for repair in repairs:
            problem, _, action = repair.rpartition(": ")
            report.add(file, number, problem or action, action if problem else "apex treated as missing")
        kept.append((cells["subject"], cells["video"], *interval, emotion, file, number))
    return pd.DataFrame(kept, columns=list(INTERVAL_COLUMNS))


def _with_casme3_ids(sheet: Sheet, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with subject and video.  A blank id belongs to a merged cell and repeats the one above it, but a
    file name never goes on under another subject."""
    subject = video = ""
    for number, cells in sheet.rows:
        here = as_id(cells["subject"]), as_id(cells["filename"])
        is_note = not all(here) and not any(as_text(cells[c]) for c in ("onset", "offset"))
        if not is_note:
            video = here[1] or (video if here[0] in ("", subject) else "")
            subject = here[0] or subject
        if is_note or not subject or not video:
            report.add(sheet.file, number, "no subject or no file name", "left out")
            continue
        if not all(here):
            said = f"read as {subject} {video}, as above"
            report.add(sheet.file, number, "subject or file name is blank", said)
        yield number, {**cells, "subject": subject, "video": video}


def _with_sammlv_ids(
    sheet: Sheet, emotions: dict[tuple[str, str], tuple[Any, int]], report: Report
) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, cells in sheet.rows:
        sample = _sample(cells["filename"])
        kind = _kind(cells["type"])
        if sample is None:
            said = as_text(cells["filename"])[:40]
            report.add(sheet.file, number, f"{said!r} is not <subject>_<video>_<sample>", "left out")
        elif kind == "macro":
            report.add(sheet.file, number, "a macro-expression", "left out, as published")
        elif kind != "micro":
            report.add(sheet.file, number, f"unknown type {as_text(cells['type'])[:40]!r}", "left out")
        elif (sample, kind) not in emotions:
            report.add(sheet.file, number, f"no emotion for {sample} in the FACS codes", "left out")
        else:
            subject, video, _ = sample.split("_")
            said = as_id(cells.get("subject"))
            if said and id_parts(said) != id_parts(subject):
                report.add(sheet.file, number, f"subject {said[:40]} beside {sample}", f"read as {subject}")
            emotion = emotions[sample, kind][0]
            found = {"subject": subject, "video": f"{subject}_{video}", "sample": sample, "emotion": emotion}
            yield number, {**cells, **found}


def _facs_emotions(sheet: Sheet, report: Report) -> dict[tuple[str, str], tuple[Any, int]]:
    """Emotion cell and row number by (sample, type)."""
    emotions: dict[tuple[str, str], tuple[Any, int]] = {}
    for number, cells in sheet.rows:
        sample, kind = _sample(cells["filename"]), _kind(cells["type"])
        if sample is None:
            said = as_text(cells["filename"])[:40]
            report.add(sheet.file, number, f"{said!r} is not <subject>_<video>_<sample>", "left out")
        elif not kind:
            report.add(sheet.file, number, f"unknown type {as_text(cells['type'])[:40]!r}", "left out")
        elif (sample, kind) in emotions:
            report.add(
                sheet.file, number, f"{sample} again, as in row {emotions[sample, kind][1]}", "left out"
            )
        else:
            emotions[sample, kind] = (cells["emotion"], number)
            if kind == "macro":
                report.add(sheet.file, number, "a macro-expression", "left out, as published")
    return emotions


def _sample(cell: Any) -> str | None:
    """`<subject>_<video>_<sample>` with three-digit subject, or None."""
    match = re.fullmatch(r"([0-9]+)[_-]([0-9]+)[_-]([0-9]+)", as_id(cell))
    return f"{match[1].zfill(3)}_{match[2]}_{match[3]}" if match else None


def _kind(cell: Any) -> str:
    """`micro`, `macro` or nothing."""
    match = re.match(r"micro|macro", _key(cell))
    return match[0] if match else ""


def _key(cell: Any) -> str:
    """A cell reduced to its letters."""
    return re.sub(r"[^a-z]", "", as_text(cell).casefold())


def _id_numbers(text: str) -> tuple[str, ...]:
    return tuple(p for p in id_parts(text) if p.isdecimal())


def _groups(names: list[str], key: Callable[[str], tuple[str, ...]]) -> dict[tuple[str, ...], list[str]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return groups


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
    layout: Layout,
    find_rows: Callable[[list[tuple[Any, ...]], Layout], list[tuple[int, dict[str, Any]]] | None],
) -> list[Sheet]:
    """The sheets in which `find_rows` finds data rows of this layout."""
    return [
        Sheet(name, rows) for name, cells in books.items() if (rows := find_rows(cells, layout)) is not None
    ]


def _cells(path: Path, name: str) -> dict[str, list[tuple[Any, ...]]]:
    """All cells of a workbook's sheets, by `name` and sheet title; item `i` is spreadsheet row `i + 1`."""
    if path.suffix.lower() == ".xls":
        raise InputError(f"{path}: an old .xls workbook; save it as .xlsx")
    try:
        if path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as stream:
                return {name: [tuple(row) for row in csv.reader(stream)]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl's, about styles that are of no use here
            book = openpyxl.load_workbook(path, data_only=True)
        one = len(book.worksheets) == 1
        return {
            name if one else f"{name} [{sheet.title}]": list(sheet.iter_rows(values_only=True))
            for sheet in book.worksheets
        }
    except Exception as error:  # a damaged workbook can raise nearly anything in its zip and XML readers
        raise InputError(
            f"{path}: not a readable workbook ({error!r}); open it and save it again as .xlsx"
        ) from error


def _header_rows(cells: list[tuple[Any, ...]], layout: Layout) -> list[tuple[int, dict[str, Any]]] | None:
    """Data rows under a header of one row or of two (merged cells), or None if there is no such header."""
    for index in range(min(len(cells), _HEADER_DEPTH)):
        upper = [_key(c) for c in cells[index]]
        lower = [_key(c) for c in cells[index + 1]] if index + 1 < len(cells) else []
        lower += [""] * (len(upper) - len(lower))
        for depth, names in (
            (1, [{u} for u in upper]),
            (2, [{u, v, u + v} for u, v in zip(upper, lower, strict=False)]),
        ):
            columns = _column_positions(names, layout)
            if columns is not None:
                return _data_rows(cells, index + depth, columns)
    return None


def _column_positions(names: list[set[str]], layout: Layout) -> dict[str, int] | None:
    positions = {}
    for column, allowed in layout.columns.items():
        found = [i for i, here in enumerate(names) if here & {_key(name) for name in allowed}]
        if found:
            positions[column] = found[0]
        elif column not in layout.optional:
            return None
    return positions


def _bare_rows(cells: list[tuple[Any, ...]], layout: Layout) -> list[tuple[int, dict[str, Any]]] | None:
    """Data rows of a sheet without header: from the first that the layout recognises, or earlier, after the
    leading rows; None if there is none that it recognises."""
    if layout.recognises is None:
        return None
    positions = layout.positions
    for start, row in enumerate(cells[:_HEADER_DEPTH]):
        padded = (*row, *[None] * len(positions))
        if layout.recognises(dict(zip(positions, padded, strict=False))):
            columns = {c: i for i, c in enumerate(positions) if c in layout.columns}
            return _data_rows(cells, min(start, layout.leading), columns)
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
