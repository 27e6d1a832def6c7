"""Prediction and annotation tables with made-up rows."""

import numpy as np
import pandas as pd

from metst_core.tables import ANNOTATION_COLUMNS, CLASSES, EMOTIONS, PREDICTION_COLUMNS

SUBJECTS = [f"s{i}" for i in range(4)]


def table(rows, columns=ANNOTATION_COLUMNS):
    """Rows (subject, video, onset, offset, emotion) as an annotation or prediction table."""
    full = [(s, v, a, (a + b) // 2, b, e, 0.5)[: len(columns)] for s, v, a, b, e in rows]
    return pd.DataFrame(full, columns=columns)


def predicted(rows):
    return table(rows, PREDICTION_COLUMNS)


def random_tables(seed, n_subjects=4):
    """Truth, and predictions that hit some of it, miss some and invent some, over several subjects and
    videos.
    """
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for s in range(n_subjects):
        for v in range(3):
            for start in range(0, 200, 40):
                if rng.random() < 0.5:
                    truth.append(
                        (f"s{s}", f"v{v}", start, start + int(rng.integers(5, 20)), str(rng.choice(EMOTIONS)))
                    )
                if rng.random() < 0.6:
                    onset = start + int(rng.integers(-4, 5))
                    found.append(
                        (f"s{s}", f"v{v}", onset, onset + int(rng.integers(5, 20)), str(rng.choice(CLASSES)))
                    )
    return predicted(found), table(truth)
