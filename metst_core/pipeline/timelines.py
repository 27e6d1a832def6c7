"""What was found, for the tools in which people annotate and watch: ELAN, Praat, and players that show WebVTT.

An interval lasts from the time of its first frame to the end of its last one.  Intervals that overlap are laid on
several tiers, since neither ELAN nor Praat has room for two on one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from metst_core.datasets import APEX_TIER, ME_TIER, Mark
from metst_core.files import write_text
from metst_core.inference import Findings
from metst_core.pipeline.exports import confidence_text
from metst_core.version import __version__

_MIME = {".mp4": "video/mp4", ".mov": "video/quicktime", ".avi": "video/x-msvideo", ".webm": "video/webm"}
_LEAST = 0.001  # seconds; what is shorter has no length in ELAN


@dataclass(frozen=True)
class Tier:
    """Marks that do not overlap, in order of time."""

    name: str
    marks: list[Mark]


def tiers_of(found: Findings) -> list[Tier]:
    """What was found as tiers.

    `micro-expression` with the emotions, `apex`, `score` with score and confidence, `near miss`, and one per flag;
    what overlaps lies on `micro-expression 2`, `apex 2`, `score 2` and so on.
    """
    tiers = []
    spans = [_span(found, row.onset, row.offset) for row in found.table.itertuples()]
    for number, lane in enumerate(_lanes(spans) or [[]], start=1):
        rows = [(found.table.iloc[i], spans[i]) for i in lane]
        said = {
            ME_TIER: [(span, row["emotion"]) for row, span in rows],
            APEX_TIER: [(_span(found, row["apex"], row["apex"]), row["emotion"]) for row, _ in rows],
            "score": [(span, _score_text(row)) for row, span in rows],
        }
        tiers += [_tier(name, number, marks) for name, marks in said.items()]
    near = [(_span(found, r.onset, r.offset), f"{r.emotion} {r.score:.3f}") for r in found.near.itertuples()]
    for number, lane in enumerate(_lanes([span for span, _ in near]), start=1):
        tiers.append(_tier("near miss", number, [near[i] for i in lane]))
    for flag, runs in found.quality.groupby("flag", sort=False):
        marks = [(_span(found, run.first, run.last), str(flag)) for run in runs.itertuples()]
        tiers.append(_tier(f"flag {flag}", 1, marks))
    return tiers


def _tier(name: str, number: int, marks: list[tuple[tuple[float, float], str]]) -> Tier:
    name = name if number == 1 else f"{name} {number}"
    return Tier(name, [Mark(name, *span, text) for span, text in marks])


def _score_text(row: pd.Series) -> str:
    words = f"{row['score']:.3f}, {confidence_text(row['confidence'])}"
    return f"{words}, {row['flags']}" if row["flags"] else words


def write_eaf(found: Findings, path: str | Path) -> Path:
    """Write the tiers as an ELAN file (EAF 3.0) beside whose video ELAN opens; `datasets.read_eaf` reads it back."""
    path = Path(path)
    root = ElementTree.Element("ANNOTATION_DOCUMENT", {
        "AUTHOR": f"metst {__version__}",
        "DATE": datetime.now().astimezone().isoformat(timespec="seconds"),
        "FORMAT": "3.0",
        "VERSION": "3.0",
        "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
        "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
    })  # fmt: skip
    header = ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    video = found.path.resolve()
    if video.is_file():
        ElementTree.SubElement(
            header, "MEDIA_DESCRIPTOR", MEDIA_URL=video.as_uri(), RELATIVE_MEDIA_URL=_relative(video, path),
            MIME_TYPE=_MIME.get(video.suffix.lower(), "video/*"),
        )  # fmt: skip
    slots = ElementTree.SubElement(root, "TIME_ORDER")
    number = 0
    instants: list[tuple[int, str]] = []
    for tier in tiers_of(found):
        element = ElementTree.SubElement(
            root,
            "TIER",
            LINGUISTIC_TYPE_REF="default-lt",
            TIER_ID=tier.name,
            PARTICIPANT=_clean(found.subject),
        )
        for mark in tier.marks:
            number += 1
            ends = [f"ts{2 * number - 1}", f"ts{2 * number}"]
            for name, second in zip(ends, (mark.start, mark.end), strict=True):
                instants.append((round(1000 * second), name))
            one = ElementTree.SubElement(
                ElementTree.SubElement(element, "ANNOTATION"), "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=f"a{number}", TIME_SLOT_REF1=ends[0], TIME_SLOT_REF2=ends[1],
            )  # fmt: skip
            ElementTree.SubElement(one, "ANNOTATION_VALUE").text = _clean(mark.text)
    for milliseconds, name in sorted(
        instants, key=lambda instant: instant[0]
    ):  # ELAN wants them in order of time
        ElementTree.SubElement(slots, "TIME_SLOT", TIME_SLOT_ID=name, TIME_VALUE=str(milliseconds))
    last = ElementTree.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId")
    last.text = str(number)
    ElementTree.SubElement(
        root,
        "LINGUISTIC_TYPE",
        GRAPHIC_REFERENCES="false",
        LINGUISTIC_TYPE_ID="default-lt",
        TIME_ALIGNABLE="true",
    )
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return _written(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')


def write_textgrid(found: Findings, path: str | Path) -> Path:
    """Write the tiers as a TextGrid of Praat (long text form; the apexes as points)."""
    end = _span(found, 0, found.n_frames - 1)[1]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.6f}"]
    tiers = tiers_of(found)
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, tier in enumerate(tiers, start=1):
        points = tier.name.startswith(APEX_TIER)
        items = _points(tier.marks) if points else _filled(tier.marks, end)
        lines += [
            f"    item [{number}]:",
            f'        class = "{"TextTier" if points else "IntervalTier"}"',
            f"        name = {_quoted(tier.name)}",
            "        xmin = 0",
            f"        xmax = {end:.6f}",
            f"        {'points' if points else 'intervals'}: size = {len(items)}",
        ]
        for place, mark in enumerate(items, start=1):
            lines.append(f"        {'points' if points else 'intervals'} [{place}]:")
            if points:
                lines += [
                    f"            number = {mark.start:.6f}",
                    f"            mark = {_quoted(mark.text)}",
                ]
            else:
                lines += [f"            xmin = {mark.start:.6f}", f"            xmax = {mark.end:.6f}"]
                lines.append(f"            text = {_quoted(mark.text)}")
    return _written(path, "\n".join(lines) + "\n")


def write_vtt(found: Findings, path: str | Path) -> Path:
    """Write the intervals as WebVTT, a track that players show under the film."""
    blocks = ["WEBVTT", f"NOTE metst {__version__}: {found.model.notice}".replace("-->", "->")]
    for number, row in enumerate(found.table.sort_values("onset").itertuples(), start=1):
        start, end = _span(found, row.onset, row.offset)
        apex = _stamp(sum(_span(found, row.apex, row.apex)) / 2)
        words = f"{row.emotion}, score {row.score:.2f}, {confidence_text(row.confidence)}"
        blocks.append(f"{number} apex {apex}\n{_stamp(start)} --> {_stamp(end)}\n{words}")
    return _written(path, "\n\n".join(blocks) + "\n")


def _span(found: Findings, first: int, last: int) -> tuple[float, float]:
    """When a run of frames begins and ends, in seconds."""
    edges = np.append(found.times, found.times[-1] + 1 / found.fps)
    return float(edges[first]), max(float(edges[last + 1]), float(edges[first]) + _LEAST)


def _lanes(spans: list[tuple[float, float]]) -> list[list[int]]:
    """The numbers of the spans, in as many lanes as it takes that none overlap."""
    lanes: list[list[int]] = []
    for i in sorted(range(len(spans)), key=lambda i: spans[i]):
        free = next((lane for lane in lanes if round(spans[lane[-1]][1], 3) <= round(spans[i][0], 3)), None)
        if free is None:
            lanes.append([i])
        else:
            free.append(i)
    return lanes


def _filled(marks: list[Mark], end: float) -> list[Mark]:
    """The marks with empty ones between them, from 0 to the end without a gap, as Praat wants them."""
    filled, now = [], 0.0
    for mark in marks:
        if mark.start - now > _LEAST / 2:
            filled.append(Mark("", now, mark.start, ""))
            now = mark.start
        filled.append(mark._replace(start=now))
        now = mark.end
    return filled if end - now <= _LEAST / 2 and filled else [*filled, Mark("", now, end, "")]


def _points(marks: list[Mark]) -> list[Mark]:
    """Each mark as the middle of its frame."""
    return [
        mark._replace(start=(mark.start + mark.end) / 2, end=(mark.start + mark.end) / 2) for mark in marks
    ]


def _relative(video: Path, target: Path) -> str:
    try:
        way = os.path.relpath(video, target.resolve().parent)
    except ValueError:  # on another drive
        return ""
    address = quote(os.fsencode(way.replace(os.sep, "/")))
    return address if way.startswith("..") else f"./{address}"


def _clean(text: str) -> str:
    """A text without the characters that XML cannot hold."""
    return "".join(
        c if c in "\t\n\r" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" or c > "\uffff" else "?"
        for c in text
    )


def _quoted(text: str) -> str:
    return '"' + _clean(text).replace('"', '""').replace("\n", " ") + '"'


def _stamp(seconds: float) -> str:
    milliseconds = round(1000 * seconds)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds / 1000:06.3f}"


def _written(path: str | Path, text: str) -> Path:
    return write_text(text, path)
