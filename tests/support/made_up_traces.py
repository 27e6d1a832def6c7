"""Traces of ROIs that share nothing, and of one that follows another."""

import numpy as np
import pandas as pd

from metst_core.relations import Traces
from metst_core.tables import ANNOTATION_COLUMNS

NAMES = ("a", "b", "c", "d")


def noise_traces(n_videos=4, n_frames=200, seed=0, names=NAMES, smooth=3):
    """Independent series with some memory, and two MEs per video; two subjects."""
    rng = np.random.default_rng(seed)
    kernel = np.ones(smooth) / smooth
    values, rows = {}, []
    for v in range(n_videos):
        key = (f"s{v % 2}", f"v{v}")
        raw = rng.normal(size=(2, len(names), n_frames + smooth - 1))
        x, y = np.apply_along_axis(np.convolve, 2, raw, kernel, "valid")
        values[key] = np.stack([x, y, np.hypot(x, y)])
        for onset, emotion in ((30, "surprise"), (120, "positive")):
            rows.append((*key, onset, onset + 8, onset + 16, emotion))
    return Traces(values, pd.DataFrame(rows, columns=ANNOTATION_COLUMNS), tuple(names), 30.0)


def follow(traces, leader, follower, lag, noise=0.3, seed=1):
    """The same traces with `follower` doing what `leader` did `lag` frames ago, plus noise."""
    rng = np.random.default_rng(seed)
    a, b = traces.names.index(leader), traces.names.index(follower)
    values = {}
    for key, value in traces.values.items():
        moved = value.copy()
        for part in range(2):
            moved[part, b] = np.roll(value[part, a], lag) + noise * rng.normal(size=value.shape[2])
        moved[2, b] = np.hypot(moved[0, b], moved[1, b])
        values[key] = moved
    return Traces(values, traces.annotations, traces.names, traces.fps)
