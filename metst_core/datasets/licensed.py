"""CAS(ME)^3 and SAMM-LV as they are distributed: where their images lie, and what sets them apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from metst_core.checks import half_window
from metst_core.datasets.dataset import FRAME_COLUMNS, Dataset, video_table
from metst_core.datasets.fit import fit_annotations, with_known_ids
from metst_core.datasets.labels import read_casme3_sheet, read_sammlv_sheets
from metst_core.datasets.readers import NumberedImagesReader, SteppedImagesReader, image_number, visible
from metst_core.datasets.rules import Report, Rules, choose_rules
from metst_core.errors import InputError, MissingError
from metst_core.tables import KINDS, MACRO, MICRO
from metst_core.video import list_images

_Images = tuple[str, str, Path]
"""Subject, video, and the folder of its images."""


def _casme3_images(root: Path, report: Report) -> Iterator[_Images]:
    for subject in _folders(_inner_folder(root, "data")):
        for video in _readable_folders(subject, root, report):
            images = next(
                (p for p in _readable_folders(video, root, report) if p.name.casefold() == "color"), video
            )
            if images == video:
                report.add(video.relative_to(root).as_posix(), 0, "no folder color in it", "left out")
            else:
                yield subject.name, video.name, images


def _sammlv_images(root: Path, report: Report) -> Iterator[_Images]:
    for folder in _folders(_inner_folder(root, "SAMM_longvideos")):
        if re.fullmatch(r"[0-9]+_[0-9]+", folder.name) is None:
            report.add(folder.relative_to(root).as_posix(), 0, "not named <subject>_<n>", "left out")
        else:
            yield folder.name.split("_")[0], folder.name, folder


@dataclass(frozen=True)
class LicensedSet:
    """What sets a licensed set apart (method: sections 2 and 9).

    `workbooks` are the options of its `read_sheets` that name one.  `first_image` is the number of the first
    image (None: any); `gaps` and `oddities` say what becomes of gaps in the numbering, and of images that have
    no number or one that another has.  `where_from` says what to do if the set is not found.  `kinds` are the kinds
    of expression that its sheets hold.
    """

    fps: float
    frame_step: int
    window: int
    reader: NumberedImagesReader | SteppedImagesReader
    workbooks: tuple[str, ...]
    read_sheets: Callable[..., pd.DataFrame]
    find_images: Callable[[Path, Report], Iterator[_Images]]
    first_image: int | None
    gaps: str
    oddities: str
    where_from: str
    kinds: tuple[str, ...] = (MICRO,)


SAMMLV_STEP = 7
"""SAMM-LV is used at every 7th of its 200 frames per second (ME-TST+ arXiv 2508.08082)."""

LICENSED = {
    "casme3": LicensedSet(
        fps=30.0,
        frame_step=1,
        window=50,
        reader=NumberedImagesReader(),
        workbooks=("labels",),
        read_sheets=read_casme3_sheet,
        find_images=_casme3_images,
        first_image=0,
        gaps="the next image is repeated",
        oddities="not used",
        where_from="give the folder that holds data/<subject>/<video>/color and the label sheet (data/casme3.md)",
    ),
    "sammlv": LicensedSet(
        fps=200.0,
        frame_step=SAMMLV_STEP,
        window=30,
        reader=SteppedImagesReader(SAMMLV_STEP),
        workbooks=("labels", "codes"),
        read_sheets=read_sammlv_sheets,
        find_images=_sammlv_images,
        first_image=None,
        gaps="images are counted as they come",
        oddities="images are counted as they come",
        where_from="give the folder that holds SAMM_longvideos and the two label workbooks (data/sammlv.md)",
        kinds=KINDS,
    ),
}

RULE_NAMES = tuple(f.name for f in fields(Rules))


def load_licensed(name: str, root: Path, options: dict[str, Any]) -> Dataset:
    """The set as it is found in `root`: labels from its sheets, videos from its folders of images."""
    known = LICENSED[name]
    intervals, rules, report = read_labels(name, root, options)
    rows = []
    for subject, video, folder in known.find_images(root, report):
        where = folder.relative_to(root).as_posix()
        try:
            n_frames = len(known.reader.files(folder))
        except (InputError, OSError) as error:
            report.add(where, 0, str(error), "left out")
            continue
        rows.append((subject, video, known.fps / known.frame_step, n_frames, str(folder)))
        _report_numbering(folder, where, known, report)
    if not rows:
        said = f"; first problem: {report.lines[-1][0]}: {report.lines[-1][2]}" if report.lines else ""
        raise MissingError(f"{root}: no videos; {known.where_from}{said}")
    videos = video_table(rows)
    return licensed(name, with_known_ids(intervals, videos, report), videos, rules, report, options)


def read_labels(name: str, root: Path, options: dict[str, Any]) -> tuple[pd.DataFrame, Rules, Report]:
    """The intervals of the sheets in recorded frames, the rules they were read by, and the report so far."""
    known, report = LICENSED[name], Report()
    overrides = {rule: options[rule] for rule in RULE_NAMES if rule in options}
    rules = choose_rules(options.get("rules", "official"), overrides)
    books = {book: options[book] for book in known.workbooks if book in options}
    kinds = {"kinds": kinds_of(options["kinds"])} if "kinds" in options else {}
    return known.read_sheets(root, rules, report, **books, **kinds), rules, report


def kinds_of(asked: str | Sequence[str]) -> tuple[str, ...]:
    """The kinds of expression that the option `kinds` names: a sequence, or a text with commas."""
    kinds = tuple(k.strip() for k in asked.split(",")) if isinstance(asked, str) else tuple(asked)
    if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(KINDS):
        raise InputError(f"kinds is {asked!r}; give {' or '.join(KINDS)}, or both")
    return kinds


def licensed(
    name: str,
    intervals: pd.DataFrame,
    videos: pd.DataFrame,
    rules: Rules,
    report: Report,
    options: dict[str, Any],
) -> Dataset:
    """The set of intervals (in recorded frames, ids as in `videos`) and videos."""
    known = LICENSED[name]
    window = 2 * half_window(options.get("window", known.window))
    intervals = intervals.copy()
    intervals[FRAME_COLUMNS] //= known.frame_step
    of_kind = {kind: intervals[intervals["kind"] == kind] for kind in KINDS}
    annotations = fit_annotations(of_kind[MICRO], videos, rules, report)
    any_length = replace(rules, longest=1e6)
    macro = fit_annotations(of_kind[MACRO], videos, any_length, report)
    return Dataset(
        name, annotations, videos, known.fps, known.frame_step, window, report.table(), known.reader, macro
    )


def label_videos(name: str, keys: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """A video table of videos of which nothing but the name is known."""
    known = LICENSED[name]
    return video_table([(subject, video, known.fps / known.frame_step, 0, "") for subject, video in keys])


def _report_numbering(folder: Path, where: str, known: LicensedSet, report: Report) -> None:
    """Lines about what is odd in the numbers of a folder's images: gaps, none at all, one twice."""
    images = {image.name: image_number(image) for image in list_images(folder)}
    numbers = {number for number in images.values() if number is not None}
    first = known.first_image if known.first_image is not None else min(numbers, default=0)
    absent = max(numbers, default=first - 1) - first + 1 - len(numbers)
    if absent:
        report.add(where, 0, f"{absent} image(s) missing in the numbering", known.gaps)
    nameless = [name for name, number in images.items() if number is None]
    if nameless:
        said = f"{len(nameless)} image(s) without a frame number in the name, first {nameless[0]}"
        report.add(where, 0, said, known.oddities)
    owner = {number: name for name, number in reversed(images.items())}
    again = [name for name, number in images.items() if number is not None and owner[number] != name]
    if again:
        said = f"{len(again)} image(s) with the number of another, first {again[0]}"
        report.add(where, 0, said, known.oddities)


def _inner_folder(folder: Path, name: str) -> Path:
    """The folder called `name` in `folder`, whatever its capitals; `folder` itself if there is none."""
    return next((p for p in _folders(folder) if p.name.casefold() == name.casefold()), folder)


def _readable_folders(folder: Path, root: Path, report: Report) -> list[Path]:
    """The folders in a folder; one that may not be read gets a line, and the set goes on."""
    try:
        return _folders(folder)
    except OSError as error:
        said = f"the folder cannot be read ({error.strerror})"
        report.add(folder.relative_to(root).as_posix(), 0, said, "left out")
        return []


def _folders(folder: Path) -> list[Path]:
    return [p for p in visible(folder) if p.is_dir()]
