"""What can be told in subjects that the telling was not fitted on: what the fine ROIs add to the whole ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from metst_core.errors import InputError
from metst_core.relations.traces import Traces, standardised
from metst_core.rois import ROIS


def fine_unexplained(traces: Traces, condition: str = "all") -> pd.DataFrame:
    """How much of each fine ROI's motion the whole ROIs do not tell: `roi, parent, r2, unexplained`.

    `r2` is that of predicting its change (x and y, at the same frame) linearly from all whole ROIs in
    subjects held out of the fit; `unexplained` is 1 - r2.
    """
    whole = [r.name for r in ROIS if r.granularity == "whole" and r.name in traces.names]
    fine = [r for r in ROIS if r.granularity == "fine" and r.name in traces.names]
    if not whole or not fine:
        raise InputError("both whole and fine ROIs are needed; extract the features 'metst_plus'")
    inputs, groups = _frame_table(traces.select(whole), condition)
    outputs, _ = _frame_table(traces.select([r.name for r in fine]), condition)
    r2 = held_out_r2(inputs, outputs, groups).reshape(2, len(fine)).mean(axis=0)
    return pd.DataFrame({
        "roi": [r.name for r in fine], "parent": [r.parent for r in fine], "r2": r2, "unexplained": 1 - r2,
    })  # fmt: skip


def detection_gain(traces: Traces, reach: int = 3) -> pd.DataFrame:
    """What fine ROIs add for telling frames inside MEs from others: `subject, auc_whole, auc_both, gain`.

    A linear classifier (ridge regression on the label) reads the change x, y and magnitude of the ROIs over
    `reach` frames to each side; it is fitted without the subject.  AUC: the chance that a frame inside gets a
    larger value than one outside.  Subjects without an ME are left out.
    """
    whole = [r.name for r in ROIS if r.granularity == "whole" and r.name in traces.names]
    label = np.concatenate([traces.inside(key) for key in traces.values]).astype(float)
    found = {}
    for name, part in (("auc_whole", traces.select(whole)), ("auc_both", traces)):
        inputs, groups = _frame_table(part, "all", reach, parts=3)
        found[name] = {s: _held_out_auc(inputs, label, groups, s) for s in np.unique(groups)}
    table = pd.DataFrame(found).rename_axis("subject").reset_index().dropna().reset_index(drop=True)
    return table.assign(gain=table["auc_both"] - table["auc_whole"])


def _frame_table(
    traces: Traces, condition: str, reach: int = 0, parts: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Frames as rows: `(n, parts R (2 reach + 1))` standardised per video, and each row's subject `(n,)`."""
    rows, subjects = [], []
    for key, value in traces.values.items():
        series = np.concatenate([standardised(part) for part in value[:parts]])
        padded = np.pad(series, ((0, 0), (reach, reach)), mode="edge")
        length = series.shape[1]
        shifted = np.concatenate([padded[:, d : d + length] for d in range(2 * reach + 1)])
        use = traces.pairs(key, condition)
        rows.append(shifted[:, use].T)
        subjects += [key[0]] * int(use.sum())
    return np.concatenate(rows), np.array(subjects)


def _ridge(x: np.ndarray, y: np.ndarray, penalty: float = 1e-2) -> Callable[[np.ndarray], np.ndarray]:
    """Least squares with a penalty relative to the inputs' own variance; the fitted function."""
    centre_x, centre_y = x.mean(axis=0), y.mean(axis=0)
    x = x - centre_x
    gram = x.T @ x
    gram[np.diag_indices_from(gram)] += penalty * np.trace(gram) / len(gram) + 1e-12
    weights = np.linalg.solve(gram, x.T @ (y - centre_y))
    return lambda new: (new - centre_x) @ weights + centre_y


def held_out_r2(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """R² per output (n_out,) over all groups, each predicted by a fit on the others."""
    return _r2(y, _held_out(x, y, groups))


def held_out_r2_by_group(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean R² over the outputs within each group `(n_groups,)`, in the order of `np.unique`."""
    predicted = _held_out(x, y, groups)
    return np.array([_r2(y[groups == g], predicted[groups == g]).mean() for g in np.unique(groups)])


def _r2(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return 1 - ((y - predicted) ** 2).sum(axis=0) / np.maximum(((y - y.mean(axis=0)) ** 2).sum(axis=0), 1e-12)


def _held_out(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """What a fit on the others predicts for each group, like `y`."""
    if len(np.unique(groups)) < 2:
        raise InputError("one subject only: at least two are needed to hold one out")
    predicted = np.empty_like(y)
    for group in np.unique(groups):
        mine = groups == group
        predicted[mine] = _ridge(x[~mine], y[~mine])(x[mine])
    return predicted


def _held_out_auc(x: np.ndarray, label: np.ndarray, groups: np.ndarray, subject: str) -> float:
    mine = groups == subject
    truth = label[mine] > 0
    if truth.all() or not truth.any() or not (label[~mine] > 0).any():
        return float("nan")
    ranks = rankdata(_ridge(x[~mine], label[~mine])(x[mine]))
    n_in, n_out = truth.sum(), (~truth).sum()
    return float((ranks[truth].sum() - n_in * (n_in + 1) / 2) / (n_in * n_out))
