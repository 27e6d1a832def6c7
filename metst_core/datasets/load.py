"""Data sets by name: `load_dataset`, the folder layout of one's own and of synthetic videos, and back into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from metst_core import tables
from metst_core.checks import as_path, half_window, number_between, one_of
from metst_core.datasets.dataset import ANNOTATIONS_FILE, FRAME_COLUMNS, VIDEOS_FILE, Dataset, video_table
from metst_core.datasets.fit import fit_annotations, with_known_ids
from metst_core.datasets.found import in_words, look_for_videos, said_of
from metst_core.datasets.licensed import (
    LICENSED,
    RULE_NAMES,
    label_videos,
    licensed,
    load_licensed,
    read_labels,
)
from metst_core.datasets.readers import IMAGE_FPS, UNREADABLE, ResampledReader, VideoReader
from metst_core.datasets.rules import Report, Rules
from metst_core.errors import InputError, MissingError
from metst_core.files import check_id, one_line
from metst_core.video import (
    natural_key,
    probe,
    resample_map,
    resampled_numbers,
    write_images,
    write_video,
)

_WHERE_FROM = {
    "synthetic": "write the synthetic set with `metst synth FOLDER` and give that folder",
    "folder": "give the folder with your videos (root/<subject>/<video>.mp4, or folders of images)",
    **{name: known.where_from for name, known in LICENSED.items()},
}

_OPTIONS: dict[str, tuple[str, ...]] = {
    "synthetic": ("fps", "window"),
    **{
        name: (
            "rules",
            *known.workbooks,
            "window",
            *RULE_NAMES,
            *(("kinds",) if len(known.kinds) > 1 else ()),
        )
        for name, known in LICENSED.items()
    },
    "folder": ("fps", "image_fps", "window", "too_long", "longest"),
}
"""The sets' names, and the options that `load_dataset` takes for each."""

OPTION_NAMES = tuple(dict.fromkeys(option for options in _OPTIONS.values() for option in options))
"""The options of all sets."""

FILE_OPTIONS = tuple(dict.fromkeys(book for known in LICENSED.values() for book in known.workbooks))
"""Those that name a file."""


def load_dataset(name: str, root: str | Path | None = None, **options: Any) -> Dataset:
    """Load a data set by name from the folder `root`.

    `folder`: one's own videos; options `fps` (resample every video to this rate), `image_fps` (the rate of
    folders of images, 30), `window` (50), `too_long` and `longest` (of `Rules`).  `synthetic`: what `metst synth` wrote, the same layout.  `casme3`
    and `sammlv`: the sets as distributed; options `rules` (`official` or `complete`), `labels` (and for
    SAMM-LV `codes`: the workbook to use, where several fit), `window`, and every field of `sheets.Rules`.  `sammlv` also
    has `kinds`: with `("micro", "macro")` its macro-expressions are read too, into `Dataset.macro`.

    Raises `MissingError` naming the file that is not there, and `InputError` naming the row or option.

    A folder with one (black) video of Anna:

    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from metst_core.video import write_video
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     n = write_video(Path(folder, "anna", "smile.avi"), np.zeros((12, 48, 64, 3), np.uint8), fps=30)
    ...     load_dataset("folder", folder)
    Dataset 'folder': 1 video of 1 subject, 0 micro-expressions, 30 frames per second, windows of 50
    """
    folder = _root_of(name, root, options, _OPTIONS)
    if name in LICENSED:
        return load_licensed(name, folder, options)
    return _load_folder(name, folder, **options)


def load_labels(
    name: str, root: str | Path, videos: Sequence[tuple[str, str]] | None = None, **options: Any
) -> Dataset:
    """The labels of `casme3` or `sammlv` from the sheets alone, without any video; options as `load_dataset`.

    `Dataset.videos` lists (subject, video) as `videos` does; without it, those that have an interval, in
    natural order.  They have 0 frames and no path: enough to score predictions made from released feature
    caches (`metst_core.experiment.authors`).  Intervals are not compared with the videos' ends.
    """
    folder = _root_of(name, root, options, {known: _OPTIONS[known] for known in LICENSED})
    intervals, rules, report = read_labels(name, folder, options)
    intervals = with_known_ids(intervals, label_videos(name, videos or []), report)
    if videos is None:
        named = set(zip(intervals["subject"], intervals["video"], strict=True))
        videos = sorted(named, key=lambda key: (natural_key(key[0]), natural_key(key[1])))
    return licensed(name, intervals, label_videos(name, videos), rules, report, options)


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


def _load_folder(
    name: str,
    root: Path,
    fps: float | None = None,
    image_fps: float = IMAGE_FPS,
    window: int = 50,
    **rules: Any,
) -> Dataset:
    """The folder layout: `annotations.csv` and `videos.csv`, both optional (videos are looked for).

    The synthetic set has both.
    """
    for file in (VIDEOS_FILE, ANNOTATIONS_FILE):
        if name == "synthetic" and not (root / file).is_file():
            raise MissingError(f"{root / file}: no such file; {_WHERE_FROM[name]}")
    image_fps = _rate("image_fps", image_fps)
    report = Report()
    listed = (root / VIDEOS_FILE).is_file()
    videos = _listed_videos(root, report) if listed else find_videos(root, image_fps, report)
    annotations = _folder_annotations(root)
    reader = VideoReader()
    if fps is not None:
        reader = ResampledReader(_rate("fps", fps), image_fps)
        annotations, videos = _resampled(annotations, videos, reader, report)
    rates = sorted(videos["fps"].round(3).unique())
    if len(rates) > 1:
        said = ", ".join(f"{r:g}" for r in rates)
        report.add(VIDEOS_FILE, 0, f"several frame rates: {said}", "kept; option fps makes them one")
    return Dataset(
        name=name,
        annotations=fit_annotations(annotations, videos, Rules(**rules), report),
        videos=videos,
        fps=float(videos["fps"].median()),
        window=2 * half_window(window),
        report=report.table(),
        reader=reader,
    )


def find_videos(root: Path, image_fps: float, report: Report) -> pd.DataFrame:
    """Video table of `root/<subject>/<video>` (video files or folders of images), each one probed.

    Videos directly in `root` count as one subject each.  Everything else that lies there gets a line: a video that
    cannot be read or lies deeper, images beside videos, files of other kinds.
    """
    found: dict[tuple[str, str], Path] = {}
    for subject, path in look_for_videos(root, report):
        try:
            key = (check_id("the subject", subject), check_id("the video's name", _video_id(path)))
        except InputError as error:
            report.add(in_words(path, root), 0, str(error), "left out")
            continue
        if key in found:
            raise InputError(
                f"{one_line(path)}: same subject and video as {one_line(found[key])}; rename one of them"
            )
        found[key] = path
    rows, without_rate = [], 0
    for (subject, video), path in tqdm(found.items(), desc="probing", leave=False, disable=len(found) < 20):
        try:
            info = probe(path)
        except Exception as error:  # whatever a reader raises: one video never ends a set
            report.add(in_words(path, root), 0, said_of(error), "left out")
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
    return video_table(rows)


def _folder_annotations(root: Path) -> pd.DataFrame:
    path = root / ANNOTATIONS_FILE
    if not path.is_file():
        return tables.empty_annotations()
    raw = tables.read_csv(path)
    checked = tables.check_annotations(raw, str(path), tables.FIRST_ROW)
    return checked.assign(row=raw.index.to_numpy() + tables.FIRST_ROW)


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
    return videos.reset_index(drop=True)


def _resampled(
    annotations: pd.DataFrame, videos: pd.DataFrame, reader: ResampledReader, report: Report
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables in frames of the new rate; a video that cannot be read is left out and gets a line."""
    annotations, rows = annotations.copy(), []
    for row in videos.itertuples():
        try:
            seconds = reader.seconds(Path(row.path))
        except UNREADABLE as error:
            report.add(str(row.path), 0, str(error), "left out")
            continue
        n_frames = len(resample_map(seconds, reader.fps))
        rows.append((row.subject, row.video, reader.fps, n_frames, row.path))
        here = tables.of_video(annotations, row.subject, row.video).index
        for column in FRAME_COLUMNS:
            numbers = annotations.loc[here, column].to_numpy()
            annotations.loc[here, column] = resampled_numbers(seconds, reader.fps, numbers)
    if not rows:
        raise MissingError(
            f"none of the {len(videos)} videos can be read; first problem: {report.lines[0][2]}"
        )
    return annotations, video_table(rows)


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
    """Copy a set into the folder layout: `root/<subject>/<video><suffix>` and the two tables; return the copy.

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
    write_tables(root, dataset.annotations, video_table(rows))
    return load_dataset("folder", root, window=dataset.window)


def _video_id(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _rate(name: str, fps: Any) -> float:
    return number_between(name, fps, 0.001, 100_000)
