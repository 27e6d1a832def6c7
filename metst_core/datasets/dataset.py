"""Data sets: which videos there are, what is annotated in them, and their frames one at a time.

Frame numbers are 0-based, intervals inclusive, and everything counts in the frames that `Dataset.frames`
yields, that is after the frame step or the resampling.  Foreign conventions are converted here and in the
modules before (`sheets`), nowhere else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from metst_core import tables
from metst_core.checks import as_path, one_of
from metst_core.datasets.sheets import (
    Report,
    Rules,
    canonical_ids,
    choose_rules,
    read_casme3_sheet,
    read_sammlv_sheets,
)
from metst_core.errors import InputError, MetstError, MissingError
from metst_core.files import value_hash
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

CLASS_SETS = {"casme3": (tables.EMOTIONS,), "sammlv": (tables.EMOTIONS, tables.EMOTIONS[:3])}
"""The emotions that recognition is scored over: SAMM-LV is also reported without "others" (method: section
7)."""

_DEFAULT_IMAGE_FPS = 30.0
_FRAME_COLUMNS = ["onset", "apex", "offset"]
_UNREADABLE = (MetstError, OSError)  # OSError: no permission, a lost network drive


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

    def report_text(self) -> str:
        """`report` as text; the rows left out as published, which are many in some sets, only counted."""
        published = self.report["action"] == "left out, as published"
        lines = [self.report[~published].to_string(index=False)] if not published.all() else []
        if published.any():
            lines.append(f"and {published.sum()} rows left out as published (Dataset.report lists them)")
        return "\n\n".join(lines)

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
    folder = _root_of(name, root, options, _OPTIONS)
    if name in _LICENSED:
        return _load_licensed(name, folder, options)
    return _load_folder(name, folder, **options)


def load_labels(
    name: str, root: str | Path, videos: Sequence[tuple[str, str]] | None = None, **options: Any
) -> Dataset:
    """The labels of `casme3` or `sammlv` from the sheets alone, without any video; options as `load_dataset`.

    `Dataset.videos` lists (subject, video) as `videos` does; without it, those that have an interval, in
    natural order.  They have 0 frames and no path: enough to score predictions made from released feature
    caches (`metst_core.experiment.authors`).  Intervals are not compared with the videos' ends.
    """
    folder = _root_of(name, root, options, {known: _OPTIONS[known] for known in _LICENSED})
    intervals, rules, report = _read_labels(name, folder, options)
    intervals = _with_known_ids(intervals, _label_videos(name, videos or []), report)
    if videos is None:
        named = set(zip(intervals["subject"], intervals["video"], strict=True))
        videos = sorted(named, key=lambda key: (natural_key(key[0]), natural_key(key[1])))
    return _licensed(name, intervals, _label_videos(name, videos), rules, report, options)


def _root_of(name: str, root: str | Path | None, options: dict, known: dict[str, tuple[str, ...]]) -> Path:
    """The root as a folder that is there, if the set and its options are known."""
    one_of("dataset", name, known)
    unknown = [o for o in options if o not in known[name]]
    if unknown:
        raise InputError(f"{name}: unknown option(s) {', '.join(unknown)}; it has {', '.join(known[name])}")
    if root is None:
        raise MissingError(f"{name}: no root folder was given; {_WHERE_FROM[name]}")
    root = as_path("root", root)
    if not root.is_dir():
        raise MissingError(f"{root}: no such folder; {_WHERE_FROM[name]}")
    return root


_WHERE_FROM = {
    "synthetic": "write the synthetic set with `metst synth FOLDER` and give that folder",
    "folder": "give the folder with your videos (root/<subject>/<video>.mp4, or folders of images)",
    "casme3": "give the folder that holds data/<subject>/<video>/color and the label sheet (data/casme3.md)",
    "sammlv": "give the folder that holds SAMM_longvideos and the two label workbooks (data/sammlv.md)",
}


def _load_folder(
    name: str,
    root: Path,
    fps: float | None = None,
    image_fps: float = _DEFAULT_IMAGE_FPS,
    window: int = 50,
) -> Dataset:
    """The folder layout: `annotations.csv` and `videos.csv`, both optional (videos are looked for); the
    synthetic set has both."""
    for file in (VIDEOS_FILE, ANNOTATIONS_FILE):
        if name == "synthetic" and not (root / file).is_file():
            raise MissingError(f"{root / file}: no such file; {_WHERE_FROM[name]}")
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


_Images = tuple[str, str, Path]
"""Subject, video, and the folder of its images."""


def _casme3_images(root: Path, report: Report) -> Iterator[_Images]:
    for subject in _folders(_inner_folder(root, "data")):
        for video in _folders(subject):
            images = _inner_folder(video, "color")
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
class _LicensedSet:
    """What sets a licensed set apart (method: sections 2 and 9).

    `workbooks` are the options of its `read_sheets` that name one.  `first_image` is the number of the first
    image (None: any); `gaps` and `oddities` say what becomes of gaps in the numbering, and of images that have
    no number or one that another has.
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


SAMMLV_STEP = 7
"""SAMM-LV is used at every 7th of its 200 frames per second (ME-TST+ arXiv 2508.08082)."""

_LICENSED = {
    "casme3": _LicensedSet(
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
    ),
    "sammlv": _LicensedSet(
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
    ),
}
_RULE_NAMES = tuple(f.name for f in fields(Rules))
_OPTIONS: dict[str, tuple[str, ...]] = {
    "synthetic": ("fps", "window"),
    **{name: ("rules", *known.workbooks, "window", *_RULE_NAMES) for name, known in _LICENSED.items()},
    "folder": ("fps", "image_fps", "window"),
}
"""The sets' names, and the options that `load_dataset` takes for each."""


def _load_licensed(name: str, root: Path, options: dict[str, Any]) -> Dataset:
    known = _LICENSED[name]
    intervals, rules, report = _read_labels(name, root, options)
    rows = []
    for subject, video, folder in known.find_images(root, report):
        where = folder.relative_to(root).as_posix()
        try:
            n_frames = len(known.reader.files(folder))
        except InputError as error:
            report.add(where, 0, str(error), "left out")
            continue
        rows.append((subject, video, known.fps / known.frame_step, n_frames, str(folder)))
        _report_numbering(folder, where, known, report)
    if not rows:
        said = f"; first problem: {report.lines[-1][0]}: {report.lines[-1][2]}" if report.lines else ""
        raise MissingError(f"{root}: no videos; {_WHERE_FROM[name]}{said}")
    videos = _video_table(rows)
    return _licensed(name, _with_known_ids(intervals, videos, report), videos, rules, report, options)


def _read_labels(name: str, root: Path, options: dict[str, Any]) -> tuple[pd.DataFrame, Rules, Report]:
    """The intervals of the sheets in recorded frames, the rules they were read by, and the report so far."""
    known, report = _LICENSED[name], Report()
    overrides = {rule: options[rule] for rule in _RULE_NAMES if rule in options}
    rules = choose_rules(options.get("rules", "official"), overrides)
    books = {book: options[book] for book in known.workbooks if book in options}
    return known.read_sheets(root, rules, report, **books), rules, report


def _licensed(
    name: str,
    intervals: pd.DataFrame,
    videos: pd.DataFrame,
    rules: Rules,
    report: Report,
    options: dict[str, Any],
) -> Dataset:
    """The set of intervals (in recorded frames, ids as in `videos`) and videos."""
    known = _LICENSED[name]
    window = _check_window(options.get("window", known.window))
    intervals = intervals.copy()
    intervals[_FRAME_COLUMNS] //= known.frame_step
    annotations = fit_annotations(intervals, videos, rules, report)
    return Dataset(
        name, annotations, videos, known.fps, known.frame_step, window, report.table(), known.reader
    )


def _label_videos(name: str, keys: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """A video table of videos of which nothing but the name is known."""
    known = _LICENSED[name]
    return _video_table([(subject, video, known.fps / known.frame_step, 0, "") for subject, video in keys])


def _with_known_ids(intervals: pd.DataFrame, videos: pd.DataFrame, report: Report) -> pd.DataFrame:
    """`intervals` with ids spelled as in `videos`; every row that spells them otherwise gets a line."""
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
    line, as do images that lie beside videos.
    """
    found: dict[tuple[str, str], Path] = {}
    for entry in _visible(root):
        inner = [p for p in _visible(entry) if _is_video(p)] if entry.is_dir() else []
        if inner and _has_images(entry):
            report.add(entry.relative_to(root).as_posix(), 0, "images beside videos", "not used")
        for path in inner or [entry] * _is_video(entry):
            subject = entry.name if inner else _video_id(entry)
            key = (subject, _video_id(path))
            if key in found:
                raise InputError(f"{path}: same subject and video as {found[key]}; rename one of them")
            found[key] = path
    rows, without_rate = [], 0
    for (subject, video), path in tqdm(found.items(), desc="probing", leave=False, disable=len(found) < 20):
        try:
            info = probe(path)
        except _UNREADABLE as error:
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
    seen: dict[tuple[str, str, int, int], _Placed] = {}
    for row in intervals.itertuples():
        placed = _Placed(
            row.subject, row.video, row.onset, row.apex, row.offset, row.emotion,
            getattr(row, "file", ANNOTATIONS_FILE), int(getattr(row, "row", row.Index + tables.FIRST_ROW)),
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
    seen: dict[tuple[str, str, int, int], _Placed],
    report: Report,
) -> _Placed:
    """The interval as it is kept; `InputError` says why it is not."""
    length = lengths.get((interval.subject, interval.video))
    if length is None:
        raise InputError(f"no video {interval.video!r} of subject {interval.subject!r}")
    if interval.onset >= length:
        raise InputError(f"onset {interval.onset} lies after the last frame, {length - 1}")
    key = (interval.subject, interval.video, interval.onset, interval.offset)
    before = seen.setdefault(key, interval)
    if before is not interval:
        other = "" if before.emotion == interval.emotion else f", which is {before.emotion} there"
        problem = f"the same interval as row {before.row}{other}"
        if rules.duplicates == "drop":
            raise InputError(problem)
        report.add(interval.file, interval.row, problem, "kept")
    if interval.offset < length:
        return interval
    problem = f"offset {interval.offset} lies after the last frame, {length - 1}"
    if rules.past_end == "drop":
        raise InputError(problem)
    report.add(interval.file, interval.row, problem, "kept" if rules.past_end == "keep" else "cut at the end")
    if rules.past_end == "keep":
        return interval
    last = int(length) - 1
    return replace(interval, apex=min(interval.apex, last), offset=last)


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
            n_frames = write_video(path, frames, row.fps)
        rows.append((row.subject, row.video, row.fps, n_frames, str(path)))
    write_tables(root, dataset.annotations, _video_table(rows))
    return load_dataset("folder", root, window=dataset.window)


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
        parts = [
            ("", self.summary),
            ("per subject", self.subjects),
            ("per emotion", self.emotions),
            ("missing or unreadable files", self.missing),
        ]
        texts = [
            f"{title}\n{table.to_string(index=False, na_rep='-')}".strip("\n")
            for title, table in parts
            if len(table)
        ]
        if len(self.rows):
            texts.append(f"rows and files repaired or left out\n{self.dataset.report_text()}")
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
    except _UNREADABLE as error:
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


def _folder_annotations(root: Path) -> pd.DataFrame:
    path = root / ANNOTATIONS_FILE
    return tables.read_annotations(path) if path.is_file() else tables.empty_annotations()


def _listed_videos(root: Path, report: Report) -> pd.DataFrame:
    file = root / VIDEOS_FILE
    videos = tables.read_videos(file)
    twice = videos.index[videos.duplicated(["subject", "video"])]
    if len(twice):
        raise InputError(
            f"{file}: row {twice[0] + tables.FIRST_ROW}: this subject and video is listed twice; remove one"
        )
    gone = [row for row in videos.itertuples() if not Path(row.path).exists()]
    if len(gone) == len(videos):
        first = (
            f"{gone[0].path}: no such file, nor any other that {file} lists" if gone else f"{file}: no rows"
        )
        raise MissingError(f"{first}; copy the videos, or correct or delete this table")
    for row in gone:
        report.add(
            VIDEOS_FILE, row.Index + tables.FIRST_ROW, f"{row.path}: no such file", "kept; reading it fails"
        )
    return videos


def _resampled(
    annotations: pd.DataFrame, videos: pd.DataFrame, reader: ResampledReader, report: Report
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables in frames of the new rate; a video that cannot be read is left out and gets a line."""
    annotations, rows = annotations.copy(), []
    for row in videos.itertuples():
        try:
            seconds = reader.seconds(Path(row.path))
        except _UNREADABLE as error:
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


def _report_numbering(folder: Path, where: str, known: _LicensedSet, report: Report) -> None:
    """Lines about what is odd in the numbers of a folder's images: gaps, none at all, one twice."""
    images = {image.name: _image_number(image) for image in list_images(folder)}
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


def _is_video(path: Path) -> bool:
    return _has_images(path) if path.is_dir() else path.suffix.lower() in VIDEO_SUFFIXES


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
