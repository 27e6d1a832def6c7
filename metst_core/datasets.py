"""Data sets: which videos there are, what is annotated in them, and their frames one at a time.

Frame numbers are 0-based, intervals inclusive, and everything counts in the frames that `Dataset.frames`
yields, that is after the frame step or the resampling.  Foreign conventions are converted here and in the
modules before (`sheets`), nowhere else.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import importlib
import inspect
import math
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from metst_core import tables
from metst_core.errors import InputError, MetstError, MissingError
from metst_core.files import value_hash
from metst_core.sheets import (
    Report,
    Rules,
    canonical_ids,
    choose_rules,
    read_casme3_sheet,
    read_sammlv_sheets,
)
from metst_core.video import (
    VIDEO_SUFFIXES,
    list_images,
    natural_key,
    probe,
    read_frames,
    read_image,
    read_images,
    resample_map,
    resampled_numbers,
    select_frames,
    timestamps,
    write_images,
    write_video,
)

ANNOTATIONS_FILE = "annotations.csv"
VIDEOS_FILE = "videos.csv"

_DEFAULT_IMAGE_FPS = 30.0
_FRAME_COLUMNS = ["onset", "apex", "offset"]


@dataclass(frozen=True)
class VideoReader:
    """Reads every frame of a video file or folder of images.  Readers are values: they compare and pickle."""

    def frames(self, path: Path) -> Iterator[np.ndarray]:
        """Yield RGB frames `uint8 (H, W, 3)`."""
        return read_frames(path)

    def source_numbers(self, path: Path, numbers: np.ndarray) -> np.ndarray:
        """0-based numbers in the recording of yielded frames (which may lie outside the video)."""
        return np.asarray(numbers, dtype=np.int64)


@dataclass(frozen=True)
class ResampledReader(VideoReader):
    """Reads a video at a constant rate: each frame is the recorded one nearest in time."""

    fps: float
    image_fps: float = _DEFAULT_IMAGE_FPS

    def seconds(self, path: Path) -> np.ndarray:
        """Time of every recorded frame."""
        return np.arange(len(list_images(path))) / self.image_fps if path.is_dir() else timestamps(path)

    def map(self, path: Path) -> np.ndarray:
        """Recorded frame number of every yielded frame."""
        return resample_map(self.seconds(path), self.fps)

    def frames(self, path: Path) -> Iterator[np.ndarray]:
        return select_frames(read_frames(path), self.map(path))

    def source_numbers(self, path: Path, numbers: np.ndarray) -> np.ndarray:
        frame_map = self.map(path)
        return frame_map[np.clip(numbers, 0, len(frame_map) - 1)]


@dataclass(frozen=True)
class NumberedImagesReader(VideoReader):
    """Reads images named by frame numbers from 0; a gap is filled by repeating the next image there is."""

    def files(self, path: Path) -> list[Path]:
        """One image file per frame number."""
        by_number: dict[int, Path] = {}
        for image in list_images(path):
            number = _image_number(image)
            if number is not None:
                by_number.setdefault(number, image)
        if not by_number:
            raise InputError(f"{path}: no image here has a frame number as its name")
        files = [by_number[max(by_number)]] * (max(by_number) + 1)
        for number in reversed(range(len(files) - 1)):
            files[number] = by_number.get(number, files[number + 1])
        return files

    def frames(self, path: Path) -> Iterator[np.ndarray]:
        return read_images(self.files(path))


@dataclass(frozen=True)
class SteppedImagesReader(VideoReader):
    """Reads every `step`-th image of a folder, in natural order, the first one included."""

    step: int

    def files(self, path: Path) -> list[Path]:
        """One image file per yielded frame."""
        return list_images(path)[:: self.step]

    def frames(self, path: Path) -> Iterator[np.ndarray]:
        return read_images(self.files(path))

    def source_numbers(self, path: Path, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(numbers, dtype=np.int64) * self.step


@dataclass(frozen=True, eq=False)
class Dataset:
    """A set of videos with its annotations.

    `annotations` is an annotation table (empty for an unlabelled set).  `videos` is a video table; its
    `n_frames` and `fps` are those of the frames that `frames` yields, and it keeps the videos without a
    micro-expression. `fps` is the rate of the recording and `frame_step` how many recorded frames one yielded
    frame stands for. `window` is the window length k that goes with the set.  `report` (`file, row, problem,
    action`) has a line for every row or file that was repaired or left out.
    """

    name: str
    annotations: pd.DataFrame
    videos: pd.DataFrame
    fps: float
    frame_step: int = 1
    window: int = 50
    report: pd.DataFrame = field(default_factory=lambda: Report().table())
    reader: VideoReader = field(default_factory=VideoReader)

    @property
    def frame_rate(self) -> float:
        """Yielded frames per second."""
        return self.fps / self.frame_step

    @property
    def subjects(self) -> list[str]:
        """Subject ids in natural order."""
        return sorted(self.videos["subject"].unique(), key=natural_key)

    def path(self, subject: str, video: str) -> Path:
        """Where a video's frames are."""
        rows = self.videos[(self.videos["subject"] == subject) & (self.videos["video"] == video)]
        if rows.empty:
            raise MissingError(f"{self.name}: no video {video!r} of subject {subject!r}; see Dataset.videos")
        if not rows["path"].iloc[0]:
            raise MissingError(
                f"{self.name}: only the labels were loaded; load_dataset also finds the videos"
            )
        return Path(rows["path"].iloc[0])

    def frames(self, subject: str, video: str) -> Iterator[np.ndarray]:
        """Yield one video's frames, RGB `uint8 (H, W, 3)`, after the frame step; lazily, decoding it once."""
        return self.reader.frames(self.path(subject, video))

    def source_numbers(self, subject: str, video: str, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """0-based numbers in the recording of yielded frames: undoes frame step and resampling."""
        return self.reader.source_numbers(self.path(subject, video), np.asarray(numbers))

    def reading_hash(self) -> str:
        """For caches: changes if the same files would yield other frames (step, resampling, gap rule)."""
        return value_hash(repr(self.reader))


def load_dataset(name: str, root: str | Path | None = None, **options: Any) -> Dataset:
    """Load a data set by name from the folder `root`.

    `folder`: one's own videos; options `fps` (resample every video to this rate), `image_fps` (the rate of
    folders of images, 30), `window` (50).  `synthetic`: what `metst synth` wrote, the same layout.  `casme3`
    and `sammlv`: the sets as distributed; options `rules` (`official` or `complete`), `labels` (and for
    SAMM-LV `codes`: the workbook to use, where several fit), `window`, and every field of `sheets.Rules`.

    Raises `MissingError` naming the file that is not there, and `InputError` naming the row or option.
    """
    return _call(_LOADERS, name, root, options)


def load_labels(name: str, root: str | Path, **options: Any) -> Dataset:
    """The labels of `casme3` or `sammlv` from the sheets alone, without any video; options as `load_dataset`.

    `videos` then lists the videos that have an interval, in natural order, with 0 frames and no path: enough
    to score predictions made from released feature caches.  Intervals are not compared with the videos' ends.
    """
    return _call(_LABEL_LOADERS, name, root, options)


def _call(
    loaders: dict[str, Callable[..., Dataset]], name: str, root: str | Path | None, options: dict
) -> Dataset:
    if name not in loaders:
        raise InputError(f"dataset: {name!r} is none of {', '.join(loaders)}")
    parameters = inspect.signature(loaders[name]).parameters
    known = [p for p in parameters if p not in ("root", "overrides")]
    known += [f.name for f in fields(Rules)] if "overrides" in parameters else []
    unknown = [o for o in options if o not in known]
    if unknown:
        raise InputError(f"{name}: unknown option(s) {', '.join(unknown)}; it has {', '.join(known)}")
    if root is None:
        raise MissingError(f"{name}: no root folder was given; {_WHERE_FROM[name]}")
    root = Path(root)
    if not root.is_dir():
        raise MissingError(f"{root}: no such folder; {_WHERE_FROM[name]}")
    return loaders[name](root, **options)


_WHERE_FROM = {
    "synthetic": "write the synthetic set with `metst synth FOLDER` and give that folder",
    "folder": "give the folder with your videos (root/<subject>/<video>.mp4, or folders of images)",
    "casme3": "give the folder that holds data/<subject>/<video>/color and the label sheet (data/casme3.md)",
    "sammlv": "give the folder that holds SAMM_longvideos and the two label workbooks (data/sammlv.md)",
}


def load_folder(
    root: Path, *, fps: float | None = None, image_fps: float = _DEFAULT_IMAGE_FPS, window: int = 50
) -> Dataset:
    """Load one's own set: `annotations.csv` and `videos.csv`, both optional (videos are looked for)."""
    return _load_folder("folder", root, fps, image_fps, window)


def load_synthetic(root: Path, *, fps: float | None = None, window: int = 50) -> Dataset:
    """Load what the synthetic generator wrote: the folder layout with both tables."""
    for file in (VIDEOS_FILE, ANNOTATIONS_FILE):
        if not (root / file).is_file():
            raise MissingError(f"{root / file}: no such file; {_WHERE_FROM['synthetic']}")
    return _load_folder("synthetic", root, fps, _DEFAULT_IMAGE_FPS, window)


def _load_folder(name: str, root: Path, fps: float | None, image_fps: float, window: int) -> Dataset:
    _check_rate("image_fps", image_fps)
    report = Report()
    listed = (root / VIDEOS_FILE).is_file()
    videos = _listed_videos(root, report) if listed else find_videos(root, image_fps, report)
    annotations = _folder_annotations(root)
    reader = VideoReader()
    if fps is not None:
        _check_rate("fps", fps)
        reader = ResampledReader(float(fps), image_fps)
        annotations, videos = _resampled(annotations, videos, reader, report)
    rates = sorted(videos["fps"].round(3).unique())
    if len(rates) > 1:
        said = ", ".join(f"{r:g}" for r in rates)
        report.add(VIDEOS_FILE, 0, f"several frame rates: {said}", "kept; option fps makes them one")
    return Dataset(
        name=name,
        annotations=fit_annotations(annotations, videos, Rules(), report),
        videos=videos,
        fps=float(videos["fps"].median()),
        window=_check_window(window),
        report=report.table(),
        reader=reader,
    )


def load_casme3(
    root: Path, *, rules: str = "official", labels: str | None = None, window: int = 50, **overrides: str
) -> Dataset:
    """CAS(ME)^3 part A: 30 frames per second, `data/<subject>/<video>/color/<n>.jpg`, one label sheet."""
    chosen, report, reader = choose_rules(rules, overrides), Report(), NumberedImagesReader()
    intervals = read_casme3_sheet(root, chosen, report, labels)
    base = _inner_folder(root, "data")
    rows = []
    for subject in _folders(base):
        for video in _folders(subject):
            images = _inner_folder(video, "color")
            if images == video:
                report.add(video.relative_to(root).as_posix(), 0, "no folder color in it", "left out")
                continue
            n_frames = _count(reader.files, images, root, report)
            if n_frames:
                rows.append((subject.name, video.name, 30.0, n_frames, str(images)))
                _report_numbering(images, root, "the next image is repeated", report)
    return _official_set("casme3", root, intervals, rows, chosen, reader, report, 30.0, 1, window)


def load_sammlv(
    root: Path,
    *,
    rules: str = "official",
    labels: str | None = None,
    codes: str | None = None,
    window: int = 30,
    **overrides: str,
) -> Dataset:
    """SAMM Long Videos: 200 frames per second, every 7th used, `SAMM_longvideos/<subject>_<n>/*.jpg`."""
    chosen, report = choose_rules(rules, overrides), Report()
    reader = SteppedImagesReader(SAMMLV_STEP)
    intervals = read_sammlv_sheets(root, chosen, report, labels, codes)
    rows = []
    for folder in _folders(_inner_folder(root, "SAMM_longvideos")):
        if re.fullmatch(r"[0-9]+_[0-9]+", folder.name) is None:
            report.add(folder.relative_to(root).as_posix(), 0, "not named <subject>_<n>", "left out")
            continue
        n_frames = _count(reader.files, folder, root, report)
        if n_frames:
            rows.append((folder.name.split("_")[0], folder.name, 200 / SAMMLV_STEP, n_frames, str(folder)))
            _report_numbering(folder, root, "images are counted as they come", report)
    return _official_set("sammlv", root, intervals, rows, chosen, reader, report, 200.0, SAMMLV_STEP, window)


SAMMLV_STEP = 7
"""SAMM-LV is used at every 7th of its 200 frames per second (ME-TST+ arXiv 2508.08082)."""


def _casme3_labels(
    root: Path, *, rules: str = "official", labels: str | None = None, window: int = 50, **overrides: str
) -> Dataset:
    chosen, report = choose_rules(rules, overrides), Report()
    intervals = read_casme3_sheet(root, chosen, report, labels)
    return _label_set("casme3", intervals, chosen, report, 30.0, 1, window)


def _sammlv_labels(
    root: Path,
    *,
    rules: str = "official",
    labels: str | None = None,
    codes: str | None = None,
    window: int = 30,
    **overrides: str,
) -> Dataset:
    chosen, report = choose_rules(rules, overrides), Report()
    intervals = read_sammlv_sheets(root, chosen, report, labels, codes)
    return _label_set("sammlv", intervals, chosen, report, 200.0, SAMMLV_STEP, window)


_LOADERS: dict[str, Callable[..., Dataset]] = {
    "synthetic": load_synthetic,
    "casme3": load_casme3,
    "sammlv": load_sammlv,
    "folder": load_folder,
}
_LABEL_LOADERS: dict[str, Callable[..., Dataset]] = {"casme3": _casme3_labels, "sammlv": _sammlv_labels}


def _official_set(
    name: str,
    root: Path,
    intervals: pd.DataFrame,
    rows: list[tuple[str, str, float, int, str]],
    rules: Rules,
    reader: VideoReader,
    report: Report,
    fps: float,
    step: int,
    window: int,
) -> Dataset:
    if not rows:
        said = f"; first problem: {report.lines[-1][0]}: {report.lines[-1][2]}" if report.lines else ""
        raise MissingError(f"{root}: no videos; {_WHERE_FROM[name]}{said}")
    videos = _video_table(rows)
    intervals = _with_known_ids(intervals, videos, report)
    intervals[_FRAME_COLUMNS] //= step
    annotations = fit_annotations(intervals, videos, rules, report)
    return Dataset(name, annotations, videos, fps, step, _check_window(window), report.table(), reader)


def _label_set(
    name: str, intervals: pd.DataFrame, rules: Rules, report: Report, fps: float, step: int, window: int
) -> Dataset:
    intervals = _with_known_ids(intervals, _video_table([]), report)
    intervals[_FRAME_COLUMNS] //= step
    keys = sorted(
        set(zip(intervals["subject"], intervals["video"], strict=True)),
        key=lambda key: (natural_key(key[0]), natural_key(key[1])),
    )
    videos = _video_table([(subject, video, fps / step, 0, "") for subject, video in keys])
    annotations = fit_annotations(intervals, videos, rules, report)
    return Dataset(name, annotations, videos, fps, step, _check_window(window), report.table())


def _with_known_ids(intervals: pd.DataFrame, videos: pd.DataFrame, report: Report) -> pd.DataFrame:
    """`intervals` with ids spelled as the folders are; every row that spells them otherwise gets a line."""
    intervals = intervals.astype(dict.fromkeys(_FRAME_COLUMNS, "int64"))
    subjects = canonical_ids(list(intervals["subject"]), videos["subject"].unique())
    spelled: dict[tuple[str, str], tuple[str, str]] = {}
    for said in dict.fromkeys(subjects):
        subject = subjects[said]
        ids = intervals.loc[intervals["subject"].map(subjects) == subject, "video"]
        names = canonical_ids(list(ids), videos.loc[videos["subject"] == subject, "video"])
        spelled |= {(said, video): (subject, name) for video, name in names.items()}
    for index, row in enumerate(intervals.itertuples()):
        found = spelled[row.subject, row.video]
        if found != (row.subject, row.video):
            report.add(row.file, row.row, f"ids {row.subject} {row.video}", f"read as {' '.join(found)}")
        intervals.loc[index, ["subject", "video"]] = found
    return intervals


def find_videos(root: Path, image_fps: float, report: Report) -> pd.DataFrame:
    """Video table of `root/<subject>/<video>` (video files or folders of images), each one probed.

    Videos directly in `root` count as one subject each.  A video that cannot be read is left out and gets a
    line.
    """
    found: dict[tuple[str, str], Path] = {}
    for entry in _visible(root):
        inner = [] if not entry.is_dir() or _has_images(entry) else _visible(entry)
        for path, subject in [(entry, _video_id(entry)), *((p, entry.name) for p in inner)]:
            if path.suffix.lower() not in VIDEO_SUFFIXES and not (path.is_dir() and _has_images(path)):
                continue
            key = (subject, _video_id(path))
            if key in found:
                raise InputError(f"{path}: same subject and video as {found[key]}; rename one of them")
            found[key] = path
    rows, without_rate = [], 0
    for (subject, video), path in tqdm(found.items(), desc="probing", leave=False, disable=len(found) < 20):
        try:
            info = probe(path)
        except MetstError as error:
            report.add(path.relative_to(root).as_posix(), 0, str(error), "left out")
            continue
        without_rate += math.isnan(info.fps)
        fps = image_fps if math.isnan(info.fps) else info.fps
        rows.append((subject, video, fps, info.n_frames, str(path)))
    if not rows:
        said = f" that can be read; first problem: {report.lines[0][2]}" if report.lines else ""
        raise MissingError(f"{root}: no videos{said}; {_WHERE_FROM['folder']}")
    if without_rate:
        said = f"{without_rate} folder(s) of images tell no frame rate"
        report.add(str(root), 0, said, f"{image_fps:g} per second assumed (option image_fps)")
    return _video_table(rows)


def fit_annotations(
    intervals: pd.DataFrame, videos: pd.DataFrame, rules: Rules, report: Report
) -> pd.DataFrame:
    """Fit intervals to their videos by the rules `past_end` and `duplicates`; every change gets a line.

    `intervals` is an annotation table, whose further columns `file` and `row` say where a row comes from.
    Rows without a video, and rows that begin after its end, are left out.  Videos of 0 frames have an unknown
    length.
    """
    lengths = {(v.subject, v.video): v.n_frames or math.inf for v in videos.itertuples()}
    kept: list[_Placed] = []
    seen: dict[tuple[str, str, int, int], int] = {}
    for row in intervals.itertuples():
        placed = _Placed(
            row.subject, row.video, row.onset, row.apex, row.offset, row.emotion,
            getattr(row, "file", ANNOTATIONS_FILE), int(getattr(row, "row", row.Index + 2)),
        )  # fmt: skip
        try:
            kept.append(_placed_in(placed, lengths, rules, seen, report))
        except InputError as error:
            report.add(placed.file, placed.row, str(error), "left out")
    _report_overlaps(kept, report)
    cells = [(k.subject, k.video, k.onset, k.apex, k.offset, k.emotion) for k in kept]
    return tables.check_annotations(pd.DataFrame(cells, columns=list(tables.ANNOTATION_COLUMNS)))


@dataclass(frozen=True)
class _Placed:
    """An interval and where it was read."""

    subject: str
    video: str
    onset: int
    apex: int
    offset: int
    emotion: str
    file: str
    row: int


def _placed_in(
    interval: _Placed,
    lengths: dict[tuple[str, str], float],
    rules: Rules,
    seen: dict[tuple[str, str, int, int], int],
    report: Report,
) -> _Placed:
    """The interval as it is kept; `InputError` says why it is not."""
    length = lengths.get((interval.subject, interval.video))
    if length is None:
        raise InputError(f"no video {interval.video!r} of subject {interval.subject!r}")
    if interval.onset >= length:
        raise InputError(f"onset {interval.onset} lies after the last frame, {length - 1}")
    key = (interval.subject, interval.video, interval.onset, interval.offset)
    if key in seen:
        if rules.duplicates == "drop":
            raise InputError(f"the same interval as row {seen[key]}")
        report.add(interval.file, interval.row, f"the same interval as row {seen[key]}", "kept")
    seen.setdefault(key, interval.row)
    if interval.offset < length:
        return interval
    problem = f"offset {interval.offset} lies after the last frame, {length - 1}"
    if rules.past_end == "drop":
        raise InputError(problem)
    report.add(interval.file, interval.row, problem, "kept" if rules.past_end == "keep" else "cut at the end")
    if rules.past_end == "keep":
        return interval
    last = int(length) - 1
    return _Placed(**{**vars(interval), "apex": min(interval.apex, last), "offset": last})


def _report_overlaps(kept: Iterable[_Placed], report: Report) -> None:
    """A line for every interval that begins before an earlier one of the same video has ended."""
    longest: dict[tuple[str, str], _Placed] = {}
    for interval in sorted(kept, key=lambda k: (k.subject, k.video, k.onset, k.offset)):
        key = (interval.subject, interval.video)
        before = longest.get(key)
        if before is not None and interval.onset <= before.offset:
            report.add(interval.file, interval.row, f"overlaps with the interval of row {before.row}", "kept")
        if before is None or interval.offset > before.offset:
            longest[key] = interval


def write_tables(root: str | Path, annotations: pd.DataFrame, videos: pd.DataFrame) -> None:
    """Write `annotations.csv` and `videos.csv` of a folder set; paths inside `root` become relative to it."""
    root = Path(root)
    videos = videos[list(tables.VIDEO_COLUMNS)].copy()
    resolved = root.resolve()
    paths = [Path(p).resolve() for p in videos["path"]]
    videos["path"] = [
        p.relative_to(resolved).as_posix() if p.is_relative_to(resolved) else str(p) for p in paths
    ]
    tables.write_table(tables.check_annotations(annotations), root / ANNOTATIONS_FILE)
    tables.write_table(videos, root / VIDEOS_FILE)


def write_dataset(dataset: Dataset, root: str | Path, suffix: str = ".mkv") -> Dataset:
    """Copy a set into the folder layout: `root/<subject>/<video><suffix>` and the two tables; return it
    loaded.

    `suffix` is that of a video file, or `.png` for folders of images; the default is lossless.  A video that
    is already there is not written again: a stopped copy goes on.
    """
    root = Path(root)
    rows = []
    for row in tqdm(list(dataset.videos.itertuples()), desc="writing videos", leave=False):
        for part in (row.subject, row.video):
            if not part or part[0] == "." or any(c in part for c in '/\\:*?"<>|'):
                raise InputError(f"{dataset.name}: the id {part!r} cannot be a file name; rename it")
        path = root / row.subject / (row.video if suffix == ".png" else f"{row.video}{suffix}")
        frames = dataset.frames(row.subject, row.video)
        if path.exists():
            n_frames = probe(path).n_frames
        elif suffix == ".png":
            n_frames = write_images(path, frames)
        else:
            n_frames = write_video(path, frames, dataset.frame_rate)
        rows.append((row.subject, row.video, dataset.frame_rate, n_frames, str(path)))
    write_tables(root, dataset.annotations, _video_table(rows))
    return load_folder(root, window=dataset.window)


@dataclass(frozen=True, eq=False)
class CheckReport:
    """What `check_dataset` found: the set, tables about it, and what is missing (`file, problem`)."""

    dataset: Dataset
    summary: pd.DataFrame
    subjects: pd.DataFrame
    emotions: pd.DataFrame
    missing: pd.DataFrame

    @property
    def ok(self) -> bool:
        """Whether every file is there and can be read (rows that were repaired or left out do not count)."""
        return self.missing.empty

    @property
    def rows(self) -> pd.DataFrame:
        """The rows of the labels, and files, that were repaired or left out."""
        return self.dataset.report

    def __str__(self) -> str:
        published = self.rows["action"] == "left out, as published"
        parts = [
            ("", self.summary), ("per subject", self.subjects), ("per emotion", self.emotions),
            ("missing or unreadable files", self.missing), ("rows and files repaired or left out", self.rows[~published]),
        ]  # fmt: skip
        texts = [
            f"{title}\n{table.to_string(index=False)}".strip("\n") for title, table in parts if len(table)
        ]
        if published.any():
            texts.append(f"and {published.sum()} rows left out as published (Dataset.report lists them)")
        return "\n\n".join([*texts, "everything is there" if self.ok else "not everything is there"])


def check_dataset(name: str, root: str | Path | None, **options: Any) -> CheckReport:
    """Load a set and look at every video: video files are decoded, of folders of images the ends are read.

    Options as `load_dataset`, which raises if the set cannot be loaded at all.  Files that are missing or
    cannot be read are listed in `missing`.
    """
    dataset = load_dataset(name, root, **options)
    missing = []
    videos = list(dataset.videos.itertuples())
    for row in tqdm(videos, desc="checking videos", leave=False, disable=len(videos) < 20):
        missing += [(str(row.path), problem) for problem in _problems(dataset, Path(row.path), row.n_frames)]
    left_out = dataset.report[(dataset.report["row"] == 0) & (dataset.report["action"] == "left out")]
    missing += list(zip(left_out["file"], left_out["problem"], strict=True))
    gone = dataset.report["problem"].str.startswith("no video ")
    missing += [(row.file, f"row {row.row}: {row.problem}") for row in dataset.report[gone].itertuples()]
    return CheckReport(
        dataset=dataset,
        summary=_summary(dataset),
        subjects=_per_subject(dataset),
        emotions=_per_emotion(dataset),
        missing=pd.DataFrame(missing, columns=["file", "problem"]),
    )


def _problems(dataset: Dataset, path: Path, n_frames: int) -> list[str]:
    try:
        if not path.is_dir():
            found = probe(path).n_frames
            if isinstance(dataset.reader, ResampledReader) or found == n_frames:
                return []
            return [f"{found} frames can be read, the video table says {n_frames}"]
        images = list_images(path)
        for image in (images[0], images[-1]):
            read_image(image)
        return [f"{image.name} is empty (0 bytes)" for image in images if image.stat().st_size == 0]
    except MetstError as error:
        return [str(error)]


def _summary(dataset: Dataset) -> pd.DataFrame:
    videos, found = dataset.videos, dataset.annotations
    lengths = found["offset"] - found["onset"] + 1
    with_me = found[["subject", "video"]].drop_duplicates()
    rows = [
        ("data set", dataset.name),
        ("subjects", str(videos["subject"].nunique())),
        ("videos", str(len(videos))),
        ("videos without a micro-expression", str(len(videos) - len(with_me))),
        ("micro-expressions", str(len(found))),
        ("minutes of video", f"{(videos['n_frames'] / videos['fps']).sum() / 60:.1f}"),
        ("frames per second", f"{dataset.fps:g}"),
        ("frame step", str(dataset.frame_step)),
        ("rows and files repaired or left out", str(len(dataset.report))),
    ]
    if len(found):
        said = f"{lengths.min()} to {lengths.max()}, mean {lengths.mean():.1f}"
        rows.insert(5, ("micro-expression length in frames", said))
    return pd.DataFrame(rows, columns=["what", "found"])


def _per_subject(dataset: Dataset) -> pd.DataFrame:
    seconds = (dataset.videos["n_frames"] / dataset.videos["fps"]).groupby(dataset.videos["subject"]).sum()
    table = pd.DataFrame({"subject": dataset.subjects})
    table["videos"] = table["subject"].map(dataset.videos["subject"].value_counts())
    table["micro_expressions"] = table["subject"].map(dataset.annotations["subject"].value_counts()).fillna(0)
    table["seconds"] = table["subject"].map(seconds).round(1)
    return table.astype({"micro_expressions": "int64"})


def _per_emotion(dataset: Dataset) -> pd.DataFrame:
    found = dataset.annotations
    milliseconds = (found["offset"] - found["onset"] + 1) / dataset.frame_rate * 1000
    rows = []
    for emotion in tables.EMOTIONS:
        here = milliseconds[found["emotion"] == emotion]
        rows.append((emotion, len(here), here.min(), here.median(), here.max()))
    columns = ["emotion", "micro_expressions", "shortest_ms", "median_ms", "longest_ms"]
    return pd.DataFrame(rows, columns=columns).round(0)


def check_machine() -> pd.DataFrame:
    """What this machine has: a table `item, found, ok, remedy`; rows that are not `ok` say what to do.

    Python, the packages and their versions, libGL (which OpenCV's wheel needs), MediaPipe's face models, the
    bundled network, CUDA, and the scan backends.  Nothing optional is ever not `ok`.
    """
    rows = [("Python", platform.python_version(), True, "")]
    rows += [_package_row(package) for package in _PACKAGES]
    rows += [_libgl_row(), _import_row("OpenCV", "cv2", "see the row libGL"), _face_models_row()]
    rows += [_bundled_row(), _cuda_row(), *_backend_rows()]
    return pd.DataFrame(rows, columns=["item", "found", "ok", "remedy"])


_PACKAGES = (
    "numpy", "scipy", "pandas", "torch", "numba", "mediapipe", "opencv-contrib-python", "scikit-image",
    "matplotlib", "joblib", "tqdm", "openpyxl", "safetensors",
)  # fmt: skip
_FAST_BACKENDS = {"CPU": ("numba",), "CUDA": ("mamba_ssm", "triton")}  # as `selective_scan` prefers them
_Row = tuple[str, str, bool, str]


def _package_row(package: str) -> _Row:
    try:
        return package, metadata.version(package), True, ""
    except metadata.PackageNotFoundError:
        return (
            package,
            "not installed",
            False,
            f"pip install {package}",
        )


def _libgl_row() -> _Row:
    if platform.system() != "Linux":
        return "libGL", "not needed here", True, ""
    library = ctypes.util.find_library("GL")
    if library or _import_row("OpenCV", "cv2", "")[2]:
        return "libGL", library or "not found, and not needed by this OpenCV", True, ""
    return "libGL", "not found", False, "apt-get install libgl1 (or your system's package with libGL.so.1)"


def _import_row(item: str, module: str, remedy: str) -> _Row:
    try:
        return item, str(importlib.import_module(module).__version__), True, ""
    except ImportError as error:
        return item, f"cannot be imported: {error}", False, remedy


def _face_models_row() -> _Row:
    with contextlib.suppress(metadata.PackageNotFoundError):
        models = [
            f
            for f in metadata.files("mediapipe") or []
            if "face_landmark" in str(f) and f.suffix == ".tflite"
        ]
        if models:
            return "MediaPipe face models", f"{len(models)} in the package", True, ""
    remedy = (
        "install mediapipe below 0.10.30, or give MediaPipeLandmarker(model_path=...) a face_landmarker.task"
    )
    return "MediaPipe face models", "not in the package", False, remedy


def _bundled_row() -> _Row:
    assets = Path(__file__).parent / "assets"
    networks = sorted(p.name for p in assets.glob("*.safetensors")) if assets.is_dir() else []
    remedy = "" if networks else "train one and give its path: analyse(video, model=...)"
    return "bundled network", ", ".join(networks) or "none", bool(networks), remedy


def _cuda_row() -> _Row:
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        return "CUDA", f"torch cannot be imported: {error}", False, "install torch again"
    if not torch.cuda.is_available():
        return "CUDA", "none (optional)", True, ""
    return "CUDA", f"{torch.version.cuda}, {torch.cuda.get_device_name(0)}", True, ""


def _backend_rows() -> list[_Row]:
    try:
        ssm = importlib.import_module("metst_core.ssm")
    except (ImportError, OSError) as error:
        return [("scan backends", f"cannot be imported: {error}", False, "see the rows torch and numba")]
    usable = ssm.available_backends()
    rows = [(f"scan backend {name}", str(said), True, "") for name, said in usable.items()]
    devices = ["CPU", *(["CUDA"] if importlib.import_module("torch").cuda.is_available() else [])]
    for device in devices:
        used = next((name for name in _FAST_BACKENDS[device] if name in usable), "reference")
        remedy = "" if used != "reference" else "slow but right; install numba (CPU) or metst[cuda] (CUDA)"
        rows.append((f"scan used on the {device}", used, used != "reference", remedy))
    return rows


def _folder_annotations(root: Path) -> pd.DataFrame:
    path = root / ANNOTATIONS_FILE
    return tables.read_annotations(path) if path.is_file() else tables.empty_annotations()


def _listed_videos(root: Path, report: Report) -> pd.DataFrame:
    file = root / VIDEOS_FILE
    try:
        videos = tables.read_videos(file)
    except ValueError as error:
        raise InputError(f"{file}: {error}; fps and n_frames must be numbers") from error
    for row in videos.itertuples():
        if not (math.isfinite(row.fps) and row.fps > 0 and row.n_frames > 0):
            raise InputError(f"{file}: row {row.Index + 2}: fps and n_frames must be numbers above 0")
    twice = videos.index[videos.duplicated(["subject", "video"])]
    if len(twice):
        raise InputError(f"{file}: row {twice[0] + 2}: this subject and video is listed twice; remove one")
    gone = [row for row in videos.itertuples() if not Path(row.path).exists()]
    if len(gone) == len(videos):
        first = (
            f"{gone[0].path}: no such file, nor any other that {file} lists" if gone else f"{file}: no rows"
        )
        raise MissingError(f"{first}; copy the videos, or correct or delete this table")
    for row in gone:
        report.add(VIDEOS_FILE, row.Index + 2, f"{row.path}: no such file", "kept; reading it fails")
    return videos


def _resampled(
    annotations: pd.DataFrame, videos: pd.DataFrame, reader: ResampledReader, report: Report
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables in frames of the new rate; a video that cannot be read is left out and gets a line."""
    annotations, rows = annotations.copy(), []
    for row in videos.itertuples():
        try:
            seconds = reader.seconds(Path(row.path))
        except MetstError as error:
            report.add(str(row.path), 0, str(error), "left out")
            continue
        n_frames = len(resample_map(seconds, reader.fps))
        rows.append((row.subject, row.video, reader.fps, n_frames, row.path))
        here = (annotations["subject"] == row.subject) & (annotations["video"] == row.video)
        for column in _FRAME_COLUMNS:
            numbers = annotations.loc[here, column].to_numpy()
            annotations.loc[here, column] = resampled_numbers(seconds, reader.fps, numbers)
    if not rows:
        raise MissingError(
            f"none of the {len(videos)} videos can be read; first problem: {report.lines[0][2]}"
        )
    return annotations, _video_table(rows)


def _count(files: Callable[[Path], list[Path]], folder: Path, root: Path, report: Report) -> int:
    """Frames of a folder of images; 0, and a line, if there are none."""
    try:
        return len(files(folder))
    except InputError as error:
        report.add(folder.relative_to(root).as_posix(), 0, str(error), "left out")
        return 0


def _report_numbering(folder: Path, root: Path, action: str, report: Report) -> None:
    """A line if the numbers in a folder's image names have gaps, and one if an image has no number."""
    images = list_images(folder)
    numbers = [_image_number(p) for p in images]
    where = folder.relative_to(root).as_posix()
    known = {n for n in numbers if n is not None}
    if None in numbers:
        report.add(
            where, 0, f"{images[numbers.index(None)].name}: no frame number in its name", "left as it is"
        )
    absent = max(known) - min(known) + 1 - len(known) if known else 0
    if absent:
        report.add(where, 0, f"{absent} image(s) missing in the numbering", action)


def _image_number(path: Path) -> int | None:
    """The last number in an image's name."""
    found = re.findall(r"[0-9]+", path.stem)
    return int(found[-1]) if found and len(found[-1]) < 8 else None


def _inner_folder(folder: Path, name: str) -> Path:
    """The folder called `name` in `folder`, whatever its capitals; `folder` itself if there is none."""
    return next((p for p in _folders(folder) if p.name.casefold() == name.casefold()), folder)


def _folders(folder: Path) -> list[Path]:
    return [p for p in _visible(folder) if p.is_dir()]


def _visible(folder: Path) -> list[Path]:
    return sorted((p for p in folder.iterdir() if p.name[0] != "."), key=lambda p: natural_key(p.name))


def _has_images(folder: Path) -> bool:
    try:
        return bool(list_images(folder))
    except InputError:
        return False


def _video_id(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _video_table(rows: list[tuple[str, str, float, int, str]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(tables.VIDEO_COLUMNS))
    return table.astype({"subject": str, "video": str, "fps": float, "n_frames": "int64", "path": str})


def _check_rate(name: str, fps: float) -> None:
    if not (isinstance(fps, int | float | np.number) and math.isfinite(fps) and fps > 0):
        raise InputError(f"{name}: expected a rate above 0 frames per second, got {fps!r}")


def _check_window(window: int) -> int:
    if not (isinstance(window, int | np.integer) and window >= 2 and window % 2 == 0):
        raise InputError(f"window: expected an even number of frames, at least 2, got {window!r}")
    return int(window)
