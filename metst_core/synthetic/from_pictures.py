"""What only pictures tell of a set: how much motion is left where a face is still, and what it is where it talks.

All lengths are pixels of the 320 crop.  What changes from one frame to the next is divided by the root of two, so
that it is the noise of one frame; slow movements of the head hardly count in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from metst_core.datasets import load_dataset
from metst_core.errors import MissingError
from metst_core.landmarks import Landmarker
from metst_core.motion import find_reference, window_motion
from metst_core.rois import CROP_SIZE
from metst_core.synthetic.manners import read_truth
from metst_core.video import read_frames

PICTURE_COLUMNS = ("subject", "video", "found", "still", "talking", "jitter")

_CLIPS = "measured on short public clips, not citable"
FROM_PICTURES = (
    ("still", "ROI motion left from frame to frame, face at rest", "px of the 320 crop", "0.07 to 0.13", _CLIPS),
    ("talking", "ROI motion against the window's first frame, while talking", "px of the 320 crop", "3.6", _CLIPS),
    ("jitter", "landmark jitter from frame to frame", "px of the 320 crop", "0.25 to 0.39", _CLIPS),
    ("found", "frames in which MediaPipe finds the face", "1", "", "the aim: 1 in calm, 0.98 in interview"),
)  # fmt: skip
"""Column, what it is, unit, real value, source."""

_WINDOW = 50
_STILL = 2e-3
"""A face whose channels are all nearer than this to those of its resting face (IOD) is at rest."""


def picture_measures(
    root: str | Path, landmarker: Landmarker, films: int | None = None, seconds: float | None = None
) -> pd.DataFrame:
    """Measure the films of a generated set: one row per film, columns `PICTURE_COLUMNS`.

    `found`: share of the frames with a face; `still`: RMS over ROIs and frames at rest of the ROI motion's change from
    the frame before, over the root of two; `jitter`: the same of the 68 landmarks; `talking`: RMS of the ROI motion
    against the first frame of a window of 50, in bouts of speech.  NaN where a film has no such frame.

    The first `films` films (None: all), the first `seconds` of each (None: whole).
    """
    dataset = load_dataset("synthetic", root)
    spoken = _speech(Path(root))
    rows = []
    for video in dataset.videos.head(films or len(dataset.videos)).itertuples():
        wanted = None if seconds is None else round(seconds * video.fps)
        grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in islice(read_frames(video.path), wanted)]
        bouts = spoken[(spoken["subject"] == video.subject) & (spoken["video"] == video.video)]
        talks = np.zeros(len(grey), bool)
        for bout in bouts.itertuples():
            talks[int(bout.onset) : int(bout.offset) + 1] = True
        rests = _at_rest(read_truth(root, video.subject, video.video))[: len(grey)]
        rows.append((video.subject, video.video, *_measured(grey, rests, talks, landmarker)))
    return pd.DataFrame(rows, columns=list(PICTURE_COLUMNS))


def _speech(root: Path) -> pd.DataFrame:
    path = root / "truth" / "distractors.csv"
    if not path.is_file():
        raise MissingError(f"{path}: no such file; generate the set with `metst synth` (or `generate`)")
    events = pd.read_csv(path, dtype={"subject": str, "video": str})
    return events[events["kind"] == "speech"]


def _at_rest(truth: Mapping[str, np.ndarray]) -> np.ndarray:
    """In which frames the face is at rest, was in the one before, and another one is shown: (T,) bool."""
    away = np.abs(truth["intensity"] - truth.get("rest", 0)).max(axis=1)
    if "mouth" in truth:
        away = np.maximum(away, np.abs(truth["mouth"]).max(axis=1, initial=0))
    rests = away < _STILL
    return np.concatenate([[False], rests[1:] & rests[:-1] & (np.diff(truth["shown"]) > 0)])


def _measured(
    grey: list[np.ndarray], rests: np.ndarray, talks: np.ndarray, landmarker: Landmarker
) -> tuple[float, float, float, float]:
    motion = np.concatenate(
        [window_motion(np.stack(grey[s : s + _WINDOW]), landmarker) for s in range(0, len(grey), _WINDOW)],
        axis=1,
    )
    # a window's first frame is its reference, whose motion is 0 by definition
    inside = np.arange(len(grey)) % _WINDOW > 1
    found = [landmarker(frame) for frame in grey]
    points = np.array([np.full((68, 2), np.nan) if p is None else p for p in found])
    reference = find_reference(grey[0], landmarker)
    zoom = np.nan if reference is None else CROP_SIZE / (reference.place.right - reference.place.left)
    changed = np.diff(motion, axis=1, prepend=0)[:, rests & inside] / np.sqrt(2)
    jumped = zoom * np.diff(points, axis=0, prepend=points[:1])[rests] / np.sqrt(2)
    share = float(np.mean([p is not None for p in found]))
    return share, _rms(changed), _rms(motion[:, talks & inside]), _rms(jumped)


def _rms(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.sqrt((values**2).mean())) if values.size else float("nan")


def picture_table(measures: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What is known of real films beside each set's `picture_measures`: median, and least to most, over films."""

    def told(values: pd.Series) -> str:
        values = values.dropna()
        if not len(values):
            return "–"
        return f"{values.median():.3g} ({values.min():.3g} to {values.max():.3g})"

    rows = [
        (quantity, unit, real or "–", source, *(told(table[column]) for table in measures.values()))
        for column, quantity, unit, real, source in FROM_PICTURES
    ]
    return pd.DataFrame(rows, columns=["quantity", "unit", "real", "source", *measures])
