"""The label sheets of CAS(ME)^3 and SAMM-LV as intervals: what a row means, and how its ids are spelled.

Every data row becomes an interval or a line of the report, sometimes both; none is lost in silence.  Frame
values in the sheets are 1-based, in recorded frames.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from metst_core.datasets.rules import Report, Rules
from metst_core.datasets.sheets import (
    HEADER_DEPTH,
    Sheet,
    SheetForm,
    as_frame,
    as_id,
    as_text,
    find_sheet,
    letters,
)
from metst_core.errors import InputError
from metst_core.tables import ANNOTATION_COLUMNS, KINDS, MACRO, MICRO

INTERVAL_COLUMNS = (*ANNOTATION_COLUMNS, "kind", "file", "row")

EMOTION_GROUPS = {
    "happy": "positive", "happiness": "positive",
    "anger": "negative", "contempt": "negative", "disgust": "negative", "fear": "negative",
    "sad": "negative", "sadness": "negative",
    "surprise": "surprise",
    "other": "others", "others": "others",
}  # fmt: skip
"""The sets' emotions and the four emotions they are grouped into (ME-TST+ arXiv 2508.08082)."""

CASME3_SHEET = SheetForm(
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

SAMMLV_SHEET = SheetForm(
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
        "subject", "filename", "inducement", "onset", "apex", "offset", "duration", "type", "units", "notes",
    ),
    recognises=lambda cells: _sample(cells["filename"]) is not None and _kind(cells["type"]) != "",
    leading=10,
)  # fmt: skip

FACS_SHEET = SheetForm(
    "SAMM FACS codes (estimated emotion)",
    {"filename": ("Filename",), "type": ("Micro", "Type"), "emotion": ("Estimated Emotion",)},
    positions=(
        "subject", "filename", "inducement", "onset", "apex", "offset", "duration", "type", "units",
        "emotion", "classes", "notes",
    ),
    recognises=lambda cells: (
        _sample(cells["filename"]) is not None and letters(cells["emotion"]) in EMOTION_GROUPS
    ),
    leading=HEADER_DEPTH,
)  # fmt: skip


def read_casme3_sheet(root: Path, rules: Rules, report: Report, labels: str | None = None) -> pd.DataFrame:
    """Intervals of the CAS(ME)^3 sheet: `INTERVAL_COLUMNS`, 0-based recorded frames, ids as in the sheet."""
    sheet = find_sheet(root, CASME3_SHEET, report, labels)
    return _intervals(_with_casme3_ids(sheet, report), sheet.file, rules, report)


def read_sammlv_sheets(
    root: Path,
    rules: Rules,
    report: Report,
    labels: str | None = None,
    codes: str | None = None,
    kinds: Sequence[str] = (MICRO,),
) -> pd.DataFrame:
    """As `read_casme3_sheet`, from the two SAMM-LV sheets joined on sample and type; rows of `kinds` alone.

    A macro-expression that the FACS codes give no emotion, or an unknown one, is one of the others: nothing scores it.
    """
    code_sheet = find_sheet(root, FACS_SHEET, report, codes)
    long_sheet = find_sheet(root, SAMMLV_SHEET, report, labels, other_than=code_sheet.file)
    emotions = _facs_emotions(code_sheet, kinds, report)
    rows = list(_with_sammlv_ids(long_sheet, emotions, kinds, report))
    used = {(cells["sample"], cells["kind"]) for _, cells in rows}
    for key, (_, row) in emotions.items():
        if key not in used and key[1] in kinds:
            said = f"no {key[1]}-expression {key[0]} in {long_sheet.file}"
            report.add(code_sheet.file, row, said, "left out")
    return _intervals(rows, long_sheet.file, rules, report)


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
            emotion = EMOTION_GROUPS.get(letters(cells["emotion"]))
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
        kind = cells.get("kind", MICRO)
        kept.append((cells["subject"], cells["video"], *interval, emotion, kind, file, number))
    return pd.DataFrame(kept, columns=list(INTERVAL_COLUMNS))


def _with_casme3_ids(sheet: Sheet, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with subject and video.

    A blank id belongs to a merged cell and repeats the one above it, but a file name never goes on under
    another subject.
    """
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
    sheet: Sheet, emotions: dict[tuple[str, str], tuple[Any, int]], kinds: Sequence[str], report: Report
) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, cells in sheet.rows:
        sample = _sample(cells["filename"])
        kind = _kind(cells["type"])
        if sample is None:
            said = as_text(cells["filename"])[:40]
            report.add(sheet.file, number, f"{said!r} is not <subject>_<video>_<sample>", "left out")
        elif kind in KINDS and kind not in kinds:
            report.add(sheet.file, number, f"a {kind}-expression", _NOT_ASKED[kind])
        elif kind not in KINDS:
            report.add(sheet.file, number, f"unknown type {as_text(cells['type'])[:40]!r}", "left out")
        elif (sample, kind) not in emotions and kind == MICRO:
            report.add(sheet.file, number, f"no emotion for {sample} in the FACS codes", "left out")
        else:
            subject, video, _ = sample.split("_")
            said = as_id(cells.get("subject"))
            if said and id_parts(said) != id_parts(subject):
                report.add(sheet.file, number, f"subject {said[:40]} beside {sample}", f"read as {subject}")
            emotion = emotions.get((sample, kind), ("", 0))[0]
            if kind == MACRO and letters(emotion) not in EMOTION_GROUPS:
                report.add(
                    sheet.file, number, f"no emotion for the macro-expression {sample}", "others is used"
                )
                emotion = "others"
            found = {"subject": subject, "video": f"{subject}_{video}", "sample": sample, "emotion": emotion}
            yield number, {**cells, **found, "kind": kind}


_NOT_ASKED = {MICRO: "left out, as asked", MACRO: "left out, as published"}


def _facs_emotions(
    sheet: Sheet, kinds: Sequence[str], report: Report
) -> dict[tuple[str, str], tuple[Any, int]]:
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
            if kind not in kinds:
                report.add(sheet.file, number, f"a {kind}-expression", _NOT_ASKED[kind])
    return emotions


def _sample(cell: Any) -> str | None:
    """`<subject>_<video>_<sample>` with three-digit subject, or None."""
    match = re.fullmatch(r"([0-9]+)[_-]([0-9]+)[_-]([0-9]+)", as_id(cell))
    return f"{match[1].zfill(3)}_{match[2]}_{match[3]}" if match else None


def _kind(cell: Any) -> str:
    """`micro`, `macro` or nothing."""
    match = re.match(r"micro|macro", letters(cell))
    return match[0] if match else ""


def _id_numbers(text: str) -> tuple[str, ...]:
    return tuple(p for p in id_parts(text) if p.isdecimal())


def _groups(names: list[str], key: Callable[[str], tuple[str, ...]]) -> dict[tuple[str, ...], list[str]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return groups
