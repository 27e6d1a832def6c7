"""A motion set without videos: every micro-expression is a bump whose channels tell its emotion."""

import numpy as np
import pandas as pd

from metst_core.extraction import MotionSet
from metst_core.tables import ANNOTATION_COLUMNS, EMOTIONS, VIDEO_COLUMNS
from metst_core.training import TrainConfig
from metst_core.windows import unstitch

WINDOW = 16
TINY = TrainConfig(
    model="metst", width=8, depth=1, d_state=4, epochs=2, batch_size=16, learning_rate=1e-2, ratio=1, seed=3
)
"""A training of a second or less."""


def made_up_motion(n_subjects=3, n_videos=2, n_frames=60, n_empty=0, noise=0.05, seed=0, features="metst"):
    """`n_videos` per subject with one or two MEs each, and `n_empty` more without any."""
    rng = np.random.default_rng(seed)
    channels = {"metst": 10, "metst_plus": 36}[features]
    patterns = np.random.default_rng(7).choice([-1.0, 1.0], (len(EMOTIONS), channels))
    windows, rows, videos = {}, [], []
    for s in range(n_subjects):
        for v in range(n_videos + n_empty):
            key = (f"s{s}", f"v{v}")
            motion = noise * rng.standard_normal((n_frames + v, channels))
            for onset in (8, 36)[: 1 + (s + v) % 2] if v < n_videos else ():
                onset += int(rng.integers(-3, 4))
                emotion, length = int(rng.integers(len(EMOTIONS))), int(rng.integers(8, 13))
                motion[onset : onset + length + 1] += np.outer(np.hanning(length + 1), patterns[emotion])
                rows.append((*key, onset, onset + length // 2, onset + length, EMOTIONS[emotion]))
            cut = unstitch(motion, WINDOW)  # (n_windows, k, C)
            windows[key] = np.ascontiguousarray((cut - cut[:, :1]).transpose(0, 2, 1), dtype=np.float32)
            videos.append((*key, 30.0, n_frames + v, ""))
    return MotionSet(
        windows,
        pd.DataFrame(rows, columns=ANNOTATION_COLUMNS),
        pd.DataFrame(videos, columns=VIDEO_COLUMNS),
        features,
        WINDOW,
        30.0,
    )
