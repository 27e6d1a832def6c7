"""Labelled faces of a data set: the frames before, at and after what the labels say, for the eye of whoever loads it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from metst_core.datasets import Dataset
from metst_core.errors import InputError, MetstError
from metst_core.landmarks import Landmarker
from metst_core.motion import cut_crop, find_reference
from metst_core.plots import SetSample
from metst_core.rois import Bounds
from metst_core.tables import EMOTIONS
from metst_core.video import list_images

MOST_SAMPLES = 5
"""How many micro-expressions are shown unless more are asked for."""

_AROUND = 8  # frames before the onset and after the offset


def set_samples(
    dataset: Dataset, landmarker: Landmarker | None = None, most: int = MOST_SAMPLES
) -> tuple[list[SetSample], list[str]]:
    """Up to `most` labelled micro-expressions with their faces, of all emotions and many subjects; and what went wrong.

    With a landmarker the face is cut out, at the same place in all frames of one.  Each frame is labelled with its
    number in the set, and with its number in the recording (from 1, as label files count) or the image's name.
    """
    samples, problems = [], []
    for row in _chosen(dataset.annotations, most).to_dict("records"):
        try:
            samples.append(_sample(dataset, row, landmarker))
        except (MetstError, OSError) as error:
            problems.append(f"{row['subject']}, {row['video']}: {error}")
    return samples, problems


def _chosen(annotations: pd.DataFrame, most: int) -> pd.DataFrame:
    """Rows taken from the emotions in turn, of each the subjects in turn."""
    order = annotations.assign(turn=annotations.groupby(["emotion", "subject"]).cumcount())
    order = order.assign(kind=[EMOTIONS.index(emotion) for emotion in order["emotion"]])
    order = order.sort_values(["kind", "turn"], kind="stable")
    order = order.assign(place=order.groupby("kind").cumcount())
    return order.sort_values(["place", "kind"], kind="stable").head(most)


def _sample(dataset: Dataset, row: dict[str, object], landmarker: Landmarker | None) -> SetSample:
    key = (str(row["subject"]), str(row["video"]))
    onset, apex, offset = (int(str(row[name])) for name in ("onset", "apex", "offset"))
    wanted = {"2 before the onset": max(0, onset - 2), "onset": onset, "apex": apex, "offset": offset}
    first, last = max(0, onset - _AROUND), offset + _AROUND
    read = itertools.islice(dataset.frames(*key), first, last + 1)
    frames = dict(enumerate(read, start=first))
    there = {name: number for name, number in wanted.items() if number in frames}
    if not {"onset", "apex"} <= set(there):
        raise InputError(f"the labels lie after the last frame that can be read, {max(frames, default=-1)}")
    place = None
    if landmarker is not None:
        reference = find_reference(cv2.cvtColor(frames[onset], cv2.COLOR_RGB2GRAY), landmarker)
        place = None if reference is None else reference.place
    cut = {number: _cut(frame, place) for number, frame in frames.items()}
    grey = {
        number: cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(float) for number, picture in cut.items()
    }
    names = _names_of(dataset, key, list(there.values()))
    pictures = [
        (f"{what}: frame {number}\n{name}", cut[number])
        for (what, number), name in zip(there.items(), names, strict=True)
    ]
    return SetSample(
        title=f"{key[0]}, {key[1]}: {row['emotion']}",
        frames=pictures,
        before=list(there).index("onset"),
        after=list(there).index("apex"),
        course=np.array([np.abs(picture - grey[onset]).mean() for picture in grey.values()]),
        first=first,
        marks=(onset, apex, offset),
    )


def _cut(frame: np.ndarray, place: Bounds | None) -> np.ndarray:
    """The face of a frame, or all of it."""
    crop = None if place is None else cut_crop(frame, place)
    return frame if crop is None else crop


def _names_of(dataset: Dataset, key: tuple[str, str], numbers: Sequence[int]) -> list[str]:
    """Per yielded frame, the name of its image, or its number in the recording, the first being 1."""
    path = dataset.path(*key)
    if path.is_dir():
        files: list[Path] = (
            dataset.reader.files(path) if hasattr(dataset.reader, "files") else list_images(path)
        )
        return [f"image {files[number].name}" if number < len(files) else "" for number in numbers]
    return [
        f"{number + 1} of the recording, from 1" for number in dataset.source_numbers(*key, numbers).tolist()
    ]
