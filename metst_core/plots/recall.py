"""What comes back of movements of known size: recall against strength, duration and motion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metst_core.plots.style import SMALL, blank

NETWORK, RIVAL, PERSON = "#0072B2", "#E69F00", "#009E73"
"""Colours of a network, of plain motion, and of somebody who looked."""

_LABELS = {
    "found": "network, found (IoU ≥ 0.5)",
    "touched": "network, touched (apex inside)",
    "rival_found": "plain motion, found",
    "rival_touched": "plain motion, touched",
    "seen": "by eye",
}
_LOOKS: dict[str, dict[str, Any]] = {
    "found": {"color": NETWORK, "linestyle": "--"},
    "touched": {"color": NETWORK},
    "rival_found": {"color": RIVAL, "linestyle": "--"},
    "rival_touched": {"color": RIVAL},
    "seen": {"color": PERSON},
}
_AXES = {
    "strength": "strength at the apex (inter-ocular distances)",
    "duration": "duration (s)",
    "motion": "motion around it (px of the crop)",
}


class RecallCurve(NamedTuple):
    """A fitted curve and the ends of its interval, `(n,)` each."""

    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


def recall_curves(
    ax: Axes, strengths: np.ndarray, curves: Mapping[str, RecallCurve], points: pd.DataFrame | None = None
) -> None:
    """Draw curves by name (found, touched, rival_found, rival_touched, seen) over strengths `(n,)`, and what was counted.

    points: columns `strength, n` and the names' counts.
    """
    for name, curve in curves.items():
        ax.plot(strengths, curve.share, label=_LABELS[name], linewidth=1.6, **_LOOKS[name])
        if name in ("touched", "seen"):
            ax.fill_between(
                strengths, curve.low, curve.high, color=_LOOKS[name]["color"], alpha=0.15, linewidth=0
            )
    if points is not None:
        for name in (n for n in ("touched", "rival_touched", "seen") if n in points):
            ax.scatter(
                points["strength"], points[name] / points["n"], s=6 + 3 * points["n"], color=_LOOKS[name]["color"],
                alpha=0.6, linewidth=0,
            )  # fmt: skip
    for share in (0.5, 0.8):
        ax.axhline(share, color="#bbbbbb", linewidth=0.8, zorder=0)
    ax.set_xscale("log")
    ticks = [
        t for t in (0.004, 0.006, 0.009, 0.012, 0.018, 0.026, 0.035) if strengths[0] <= t <= strengths[-1]
    ]
    ax.set_xticks(ticks, [f"{t:.3f}".lstrip("0") for t in ticks])
    ax.minorticks_off()
    ax.set(xlabel=_AXES["strength"], ylabel="share that came back", ylim=(-0.03, 1.03))
    ax.legend(frameon=False, fontsize=SMALL)


def recall_page(
    strengths: np.ndarray, curves: Mapping[str, RecallCurve], groups: Mapping[str, pd.DataFrame], title: str
) -> Figure:
    """Recall against strength with its curves, and against duration and motion as bars; dots are sized by their number.

    groups: under strength, duration and motion a table with that column, `n`, `touched` and `rival_touched`.
    """
    figure, (left, middle, right) = blank(13, 3.8, 1, 3, width_ratios=[1.7, 1, 1])
    recall_curves(left, strengths, curves, groups["strength"])
    for ax, by in ((middle, "duration"), (right, "motion")):
        _bars(ax, groups[by], by)
    figure.suptitle(title, fontsize=11)
    return figure


def _bars(ax: Axes, table: pd.DataFrame, by: str) -> None:
    at = np.arange(len(table))
    for offset, name in ((-0.2, "touched"), (0.2, "rival_touched")):
        ax.bar(at + offset, table[name] / table["n"], 0.38, color=_LOOKS[name]["color"], label=_LABELS[name])
    labels = [f"{value:.2g}\n(n = {n})" for value, n in zip(table[by], table["n"], strict=True)]
    ax.set_xticks(at, labels)
    ax.set(xlabel=f"{_AXES[by]}, mean", ylabel="share that came back", ylim=(0, 1.03))
