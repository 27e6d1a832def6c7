"""What was found of short and long, weak and strong micro-expressions, in every report."""

from __future__ import annotations

import numpy as np
import pandas as pd

from metst_core.experiment.comparisons import Scored
from metst_core.extraction import MotionSet
from metst_core.inference import motion_path
from metst_core.metrics import INTERVALS, Intervals, recall_by, recall_by_length
from metst_core.tables import of_video


def strengths(annotations: pd.DataFrame, motion: MotionSet) -> np.ndarray:
    """How far each micro-expression moves the ROI that it moves most, in pixels of the 320 crop: `(n,)`.

    The largest distance of any ROI from where it is at the onset, up to the offset; NaN where the video's motion is not
    there or ends before the onset.
    """
    paths = {key: motion_path(windows, motion.n_frames(*key)) for key, windows in motion.windows.items()}
    found = []
    for row in annotations.itertuples():
        path = paths.get((row.subject, row.video))
        if path is None or row.onset >= len(path):
            found.append(np.nan)
            continue
        moved = path[row.onset : row.offset + 1] - path[row.onset]
        found.append(float(np.hypot(moved[:, 0::2], moved[:, 1::2]).max()))
    return np.array(found)


def recall_tables(result: Scored, motion: MotionSet, intervals: Intervals = INTERVALS) -> pd.DataFrame:
    """Recall of a result by length in frames and by strength in thirds of its micro-expressions (`RECALL_COLUMNS`)."""
    truth = pd.concat([of_video(result.annotations, *key) for key in motion.windows], ignore_index=True)
    if truth.empty:
        return recall_by_length(result.predictions, result.annotations, intervals)
    strong = strengths(truth, motion)
    truth, strong = truth[np.isfinite(strong)].reset_index(drop=True), strong[np.isfinite(strong)]
    edges = np.unique(np.quantile(strong, [1 / 3, 2 / 3]).round(2))
    by_strength = recall_by(result.predictions, truth, strong, edges, "pixels", intervals)
    return pd.concat(
        [recall_by_length(result.predictions, result.annotations, intervals), by_strength], ignore_index=True
    )
