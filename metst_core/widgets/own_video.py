"""The explorer of one's own video, as a page: what was found stands where a data set has its annotations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from metst_core.errors import InputError
from metst_core.extraction import MotionSet
from metst_core.inference import Findings, alone
from metst_core.motion import stream_motion
from metst_core.relations import Traces, me_windows
from metst_core.tables import EMOTIONS, PREDICTION_COLUMNS, VIDEO_COLUMNS
from metst_core.video import nearest_in_map, read_frames, resample_map
from metst_core.widgets.explorer import RoiExplorer, Seen, explore
from metst_core.widgets.film_strip import film
from metst_core.widgets.layers import motion_layers, network_layers
from metst_core.workers import one_opencv_thread

_PERMUTATIONS = 39  # the smallest number that tells a level of 5% with some certainty


def explorer_of(found: Findings) -> RoiExplorer:
    """The explorer of an analysed video: its motion, the network's score, and the intervals found.

    The film is read twice more.  Raises an `InputError` where no face was found, or too little was analysed.
    """
    if not found.has_face:
        raise InputError(f"{found.path}: no face was found, so there is nothing to explore")
    model = found.model
    if model.is_aligned:
        raise InputError(
            f"{found.path}: the explorer shows windows of ROI motion, and the weights {model.name!r} read aligned frames; "
            'explore it with the weights "bundled"'
        )
    frame_map = resample_map(found.times, model.fps)
    n_frames = int((nearest_in_map(frame_map, np.arange(found.n_frames)) + 1)[found.n_analysed - 1])
    with one_opencv_thread():
        parts = list(
            stream_motion(
                _frames(found, frame_map[:n_frames]), found.landmarker, model.features, model.window
            )
        )
        reel = film(_frames(found, frame_map[:n_frames]), found.landmarker, model.window, model.features)
    key = (found.subject, found.video)
    intervals = found.table[list(PREDICTION_COLUMNS)].copy()
    for name in ("onset", "apex", "offset"):
        intervals[name] = np.minimum(nearest_in_map(frame_map, intervals[name].to_numpy()), n_frames - 1)
    named = intervals[intervals["emotion"].isin(EMOTIONS)].drop(columns="score").reset_index(drop=True)
    video = pd.DataFrame([(*key, model.fps, n_frames, str(found.path))], columns=list(VIDEO_COLUMNS))
    motion = MotionSet(
        {key: np.stack([part.motion for part in parts])}, named, video.assign(without_motion=0.0),
        model.features, model.window, model.fps,
    )  # fmt: skip
    layers = motion_layers(Traces.of(motion), n_permutations=_PERMUTATIONS)
    if len(named):
        layers += network_layers(model.network, me_windows(motion), most=1)
    seen = Seen(np.nan_to_num(found.score[frame_map[:n_frames]]), intervals)
    best = intervals.loc[intervals["score"].idxmax(), "apex"] if len(intervals) else 0
    # What was found is a prediction, not the truth: the explorer shows it as such.
    shown = MotionSet(motion.windows, named.iloc[:0], motion.videos, model.features, model.window, model.fps)
    return explore(reel, layers, shown, key, seen, frame=int(best))


def explorer_page(found: Findings, path: str | Path) -> Path:
    """Write `explorer_of` as one page that needs nothing else."""
    return explorer_of(found).save_page(path)


def _frames(found: Findings, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """The film's frames at the model's rate; where there are several faces, only the followed one is on them."""
    for number, frame in zip(numbers.tolist(), read_frames(found.path, numbers), strict=True):
        several = found.measured.n_faces[number] > 1
        yield alone(frame, found.measured.bounds[number]) if several else frame
