"""Is a data set all there?  What was found in it, and every file that is missing or cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from metst_core import tables
from metst_core.datasets.dataset import Dataset
from metst_core.datasets.found import said_of
from metst_core.datasets.licensed import LICENSED
from metst_core.datasets.load import load_dataset, load_labels
from metst_core.datasets.readers import ResampledReader
from metst_core.errors import InputError, MissingError
from metst_core.video import list_images, probe, read_image


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


def check_dataset(name: str, root: str | Path | None, videos: bool = True, **options: Any) -> CheckReport:
    """Load a set and look at every video: video files are decoded, of folders of images the ends are read.

    Options as `load_dataset`, which raises if the set cannot be loaded at all.  Files that are missing or
    cannot be read are listed in `missing`.  With `videos=False` the label sheets of a licensed set are looked at
    alone; where its sheets are there and no video is, so they are anyway, and the videos are listed as missing.
    """
    if not videos and name not in LICENSED:
        raise InputError(
            f"{name}: only {', '.join(LICENSED)} have label sheets to look at without the videos"
        )
    dataset, missing = _loaded(name, root, videos, options)
    listed = [row for row in dataset.videos.itertuples() if row.path]
    for row in tqdm(listed, desc="checking videos", leave=False, disable=len(listed) < 20):
        missing += [(str(row.path), problem) for problem in _problems(dataset, Path(row.path), row.n_frames)]
    left_out = dataset.report[(dataset.report["row"] == 0) & (dataset.report["action"] == "left out")]
    missing += list(zip(left_out["file"], left_out["problem"], strict=True))
    gone = dataset.report["problem"].str.startswith("no video ")
    missing += [(row.file, f"row {row.row}: {row.problem}") for row in dataset.report[gone].itertuples()]
    return CheckReport(
        dataset=dataset,
        summary=dataset.summary(),
        subjects=_per_subject(dataset),
        emotions=_per_emotion(dataset),
        missing=pd.DataFrame(missing, columns=["file", "problem"]),
    )


def _loaded(
    name: str, root: str | Path | None, videos: bool, options: dict[str, Any]
) -> tuple[Dataset, list[tuple[str, str]]]:
    """The set, or its labels alone, and what is missing then (`file, problem`)."""
    if not videos and root is not None:
        return load_labels(name, root, **options), []
    try:
        return load_dataset(name, root, **options), []
    except MissingError as error:
        if name not in LICENSED or root is None:
            raise
        try:
            return load_labels(name, root, **options), [
                (str(root), f"{error}; the labels alone were checked")
            ]
        except MissingError:  # no sheet either: what was missed first says more
            raise error from None


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
    except Exception as error:  # whatever a reader raises: one video never ends a set
        return [said_of(error)]


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
