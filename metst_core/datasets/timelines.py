"""Annotation files that count in seconds, read as annotation tables: ELAN (`.eaf`), Praat (`.TextGrid`), WebVTT (`.vtt`).

Each interval is named by its emotion (one of the four, or a word that belongs to one of them: `EMOTION_GROUPS`).  Its
apex is taken from a tier called `apex` where there is one (`apex 2` for `micro-expression 2`), else it is the middle.  What `pipeline.write_eaf` and its
like write comes back as it was.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from metst_core import tables
from metst_core.checks import as_path, number_between, one_of
from metst_core.datasets.labels import EMOTION_GROUPS
from metst_core.datasets.sheets import letters
from metst_core.errors import InputError, MissingError

ME_TIER = "micro-expression"
"""How the names of tiers begin that hold micro-expressions; overlapping ones need a second tier."""
APEX_TIER = "apex"

_WORDS = {**EMOTION_GROUPS, **{emotion: emotion for emotion in tables.EMOTIONS}}
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_TOKEN = re.compile(rf'"(?:[^"]|"")*"|<\w+>|(?<![\w\["]){_NUMBER}(?![\w\]])')
_STAMP = r"(?:(\d+):)?(\d\d):(\d\d\.\d{3})"
_CUE = re.compile(rf"\s*{_STAMP}\s+-->\s+{_STAMP}")
_MOST_BYTES = 100_000_000


class Mark(NamedTuple):
    """Something written on a time line: its tier, when it begins and ends (seconds; a point: twice the same), its text."""

    tier: str
    start: float
    end: float
    text: str


def read_eaf(
    path: str | Path,
    clock: float | Sequence[float] | np.ndarray,
    subject: str = "-",
    video: str | None = None,
    tiers: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The annotations of an ELAN file as an annotation table in frames.

    clock: the video's frames per second, or the time of each of its frames (T,) in seconds.  subject, video: the ids
    that the table gets (the file's name without its end where `video` is not given).  tiers: the tiers that hold
    micro-expressions; else those whose names begin with `micro-expression`, else those that hold nothing but emotions.

    Raises `MissingError` without the file, and an `InputError` that names it, and the tier and second where an
    interval has another name than an emotion.
    """
    return _table(path, _eaf_marks(path), clock, (subject, video), tiers)


def read_textgrid(
    path: str | Path,
    clock: float | Sequence[float] | np.ndarray,
    subject: str = "-",
    video: str | None = None,
    tiers: Sequence[str] | None = None,
) -> pd.DataFrame:
    """As `read_eaf`, from a TextGrid of Praat (long or short text form)."""
    return _table(path, _textgrid_marks(path), clock, (subject, video), tiers)


def read_vtt(
    path: str | Path,
    clock: float | Sequence[float] | np.ndarray,
    subject: str = "-",
    video: str | None = None,
) -> pd.DataFrame:
    """As `read_eaf`, from WebVTT: every cue whose text begins with an emotion; its title may end in `apex 0:01.600`."""
    marks = [mark for mark in _vtt_marks(path) if mark.tier.startswith(APEX_TIER) or _emotion(mark.text)]
    return _table(path, marks, clock, (subject, video), None)


TIMELINE_READERS = {".eaf": read_eaf, ".textgrid": read_textgrid, ".vtt": read_vtt}
"""The readers by the ends of files' names, in small letters."""


def read_spans(
    path: str | Path, clock: float | Sequence[float] | np.ndarray, tiers: Sequence[str] | None = None
) -> pd.DataFrame:
    """Intervals with whatever text, from any of the three forms: `onset, apex, offset, text` in frames.

    clock as in `read_eaf`.  tiers: those to read; else those whose names begin with `micro-expression`, else all but
    `apex`.  Of WebVTT all cues are read.
    """
    path = Path(path)
    marks = _MARKS[one_of("the end of the name", path.suffix.lower(), _MARKS)](path)
    names = list(dict.fromkeys(mark.tier for mark in marks if not mark.tier.casefold().startswith(APEX_TIER)))
    if tiers is not None:
        chosen = _chosen_tiers(path, marks, tiers)
    else:
        chosen = {name for name in names if name.casefold().startswith(ME_TIER)} or set(names)
    marks = _there(marks)
    frames = [(*_frames(mark, marks, clock), mark.text.strip()) for mark in marks if mark.tier in chosen]
    return pd.DataFrame(sorted(frames), columns=["onset", "apex", "offset", "text"])


def _table(
    path: str | Path,
    marks: list[Mark],
    clock: float | Sequence[float] | np.ndarray,
    ids: tuple[str, str | None],
    tiers: Sequence[str] | None,
) -> pd.DataFrame:
    path = Path(path)
    chosen = _chosen_tiers(path, marks, tiers)
    marks = _there(marks)
    rows = []
    for mark in sorted((m for m in marks if m.tier in chosen and m.text.strip()), key=lambda m: m.start):
        emotion = _emotion(mark.text)
        if emotion is None:
            raise InputError(
                f"{path}: {mark.text.strip()[:40]!r} in tier {mark.tier!r} at {mark.start:.3f} s is no emotion; use "
                f"{', '.join(tables.EMOTIONS)}, or name other tiers"
            )
        rows.append((ids[0], ids[1] or path.stem, *_frames(mark, marks, clock), emotion))
    return tables.check_annotations(pd.DataFrame(rows, columns=list(tables.ANNOTATION_COLUMNS)), str(path))


def _frames(
    mark: Mark, marks: list[Mark], clock: float | Sequence[float] | np.ndarray
) -> tuple[int, int, int]:
    """Onset, apex and offset of a mark: its apex is a mark inside it on the tier `apex` that goes with its own."""
    onset, end = _frame(mark.start, clock), _frame(mark.end, clock)
    offset = max(onset, end - 1)
    suffix = mark.tier[len(ME_TIER) :] if mark.tier.casefold().startswith(ME_TIER) else ""
    own = [m for m in marks if m.tier.casefold() == f"{APEX_TIER}{suffix}"]
    peaks = [(m.start + m.end) / 2 for m in own or marks if m.tier.casefold().startswith(APEX_TIER)]
    if not own and any(
        m.tier.casefold() != APEX_TIER for m in marks if m.tier.casefold().startswith(APEX_TIER)
    ):
        peaks = []  # the apexes there belong to other tiers
    inside = [peak for peak in peaks if mark.start - 1e-3 <= peak <= mark.end + 1e-3]
    if not inside:
        return onset, (onset + offset) // 2, offset
    middle = (mark.start + mark.end) / 2
    # An apex is written as the one frame that it is: its middle lies inside that frame.
    apex = _frame_at(min(inside, key=lambda peak: abs(peak - middle)), clock)
    return onset, min(max(apex, onset), offset), offset


def _empty(tier: str) -> Mark:
    """What stands for a tier in a list of marks, so that one without any is known."""
    return Mark(tier, -1.0, -1.0, "")


def _there(marks: list[Mark]) -> list[Mark]:
    """The marks that are on the time line."""
    return [mark for mark in marks if mark.start >= 0]


def _chosen_tiers(path: Path, marks: list[Mark], tiers: Sequence[str] | None) -> set[str]:
    names = list(dict.fromkeys(mark.tier for mark in marks))
    if tiers is not None:
        unknown = [tier for tier in tiers if tier not in names]
        if unknown and names:
            raise InputError(f"{path}: has no tier {unknown[0]!r}; it has {', '.join(names)}")
        return set(tiers)
    named = {name for name in names if name.casefold().startswith(ME_TIER)}
    if named:
        return named
    said = {name: [m.text for m in marks if m.tier == name and m.text.strip()] for name in names}
    plain = {name for name, texts in said.items() if texts and all(_emotion(text) for text in texts)}
    plain -= {name for name in plain if name.casefold().startswith((APEX_TIER, "near"))}
    if not plain and any(said.values()):
        raise InputError(
            f"{path}: none of its tiers ({', '.join(names)}) holds emotions alone; call the tier with the "
            f"micro-expressions {ME_TIER!r}, or name it"
        )
    return plain


def _emotion(text: str) -> str | None:
    """The emotion that a text begins with, or none."""
    words = text.split()
    return _WORDS.get(letters(words[0])) if words else None


def _frame(second: float, clock: float | Sequence[float] | np.ndarray) -> int:
    """The frame that begins nearest to a second; the end of the last frame is the frame after it."""
    if np.ndim(clock) == 0:
        return round(second * number_between("clock", clock, 0.001, 100_000))
    times = np.asarray(clock, float)
    if len(times) < 2:
        raise InputError("clock: give the frames per second, or the times of 2 frames or more")
    edges = np.append(times, 2 * times[-1] - times[-2])
    return int(np.abs(edges - second).argmin())


def _frame_at(second: float, clock: float | Sequence[float] | np.ndarray) -> int:
    """The frame that is shown at a second."""
    if np.ndim(clock) == 0:
        return int(second * float(clock) + 1e-6)  # type: ignore[arg-type]
    return max(0, int(np.searchsorted(np.asarray(clock, float), second + 1e-6, side="right")) - 1)


def _text(path: str | Path) -> str:
    path = as_path("path", path)
    if not path.is_file():
        raise MissingError(f"{path}: no such file; expected an annotation file")
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{path}: larger than {_MOST_BYTES // 1_000_000} MB; that is no annotation file")
    data = path.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 or UTF-16 text ({error}); save it so") from error


def _eaf_marks(path: str | Path) -> list[Mark]:
    text = _text(path)
    if re.search(r"<!(DOCTYPE|ENTITY)", text[:10_000]):
        raise InputError(f"{path}: holds a document type, which no ELAN file has; save it anew in ELAN")
    try:
        root = ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
    except ElementTree.ParseError as error:
        raise InputError(
            f"{path}: not an ELAN file that can be read ({error}); save it anew in ELAN"
        ) from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise InputError(f"{path}: not an ELAN file (its root is {root.tag[:40]!r}); give an .eaf file")
    header = root.find("HEADER")
    if header is not None and header.get("TIME_UNITS", "milliseconds") != "milliseconds":
        raise InputError(f"{path}: its times are no milliseconds; save it anew in ELAN")
    descriptor = root.find("HEADER/MEDIA_DESCRIPTOR")
    origin = float((descriptor.get("TIME_ORIGIN") if descriptor is not None else None) or 0)
    slots = {
        slot.get("TIME_SLOT_ID"): (float(slot.get("TIME_VALUE", "nan")) + origin) / 1000
        for slot in root.iter("TIME_SLOT")
    }
    spans: dict[str | None, tuple[float, float]] = {}
    marks, leaning = [], []
    for tier in root.iter("TIER"):
        name = tier.get("TIER_ID", "")
        marks.append(_empty(name))
        for one in tier.iter("ALIGNABLE_ANNOTATION"):
            span = tuple(slots.get(one.get(f"TIME_SLOT_REF{i}"), np.nan) for i in (1, 2))
            if np.isnan(span).any():
                raise InputError(
                    f"{path}: annotation {one.get('ANNOTATION_ID')} of tier {name!r} has no time; align it in ELAN"
                )
            spans[one.get("ANNOTATION_ID")] = (span[0], span[1])
            marks.append(Mark(name, span[0], span[1], one.findtext("ANNOTATION_VALUE") or ""))
        leaning += [(name, one) for one in tier.iter("REF_ANNOTATION")]
    for name, one in leaning:  # such a one has the time of the annotation that it belongs to
        if one.get("ANNOTATION_REF") in spans:
            spans[one.get("ANNOTATION_ID")] = start, end = spans[one.get("ANNOTATION_REF")]
            marks.append(Mark(name, start, end, one.findtext("ANNOTATION_VALUE") or ""))
    return marks


def _textgrid_marks(path: str | Path) -> list[Mark]:
    tokens = iter(_TOKEN.findall(_text(path)))

    def string() -> str:
        token = next(tokens)
        if not token.startswith('"'):
            raise ValueError(f"{token!r} where a text was expected")
        return token[1:-1].replace('""', '"')

    marks = []
    try:
        if (string(), string()) != ("ooTextFile", "TextGrid"):
            raise ValueError("it does not begin as one")
        _, _, there = float(next(tokens)), float(next(tokens)), next(tokens)
        for _ in range(int(next(tokens)) if there == "<exists>" else 0):
            kind, name = string(), string()
            marks.append(_empty(name))
            _, _, n_items = float(next(tokens)), float(next(tokens)), int(next(tokens))
            for _ in range(n_items):
                start = float(next(tokens))
                end = float(next(tokens)) if kind == "IntervalTier" else start
                marks.append(Mark(name, start, end, string()))
    except (ValueError, StopIteration) as error:
        said = str(error) or "it breaks off"
        raise InputError(
            f"{path}: not a TextGrid that can be read ({said}); save it anew in Praat"
        ) from error
    return marks


def _vtt_marks(path: str | Path) -> list[Mark]:
    text = _text(path).replace("\r\n", "\n").replace("\r", "\n")
    if not text.startswith("WEBVTT"):
        raise InputError(f"{path}: does not begin with WEBVTT; give a .vtt file")
    marks: list[Mark] = []
    for block in re.split(r"\n{2,}", text):
        lines = block.strip("\n").split("\n")
        at = next((i for i, line in enumerate(lines[:2]) if _CUE.match(line)), None)
        if at is None:
            continue
        found = _CUE.match(lines[at])
        assert found is not None
        start, end = _seconds(*found.groups()[:3]), _seconds(*found.groups()[3:])
        words = " ".join(lines[at + 1 :])
        number = f" {len(marks)}"  # a pair of tiers per cue: cues may overlap
        marks.append(Mark(ME_TIER + number, start, end, words))
        apex = re.search(rf"apex {_STAMP}", lines[0]) if at else None
        if apex is not None:
            second = _seconds(*apex.groups())
            marks.append(Mark(APEX_TIER + number, second, second, ""))
    return marks


def _seconds(hours: str | None, minutes: str, seconds: str) -> float:
    return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)


_MARKS = {".eaf": _eaf_marks, ".textgrid": _textgrid_marks, ".vtt": _vtt_marks}
