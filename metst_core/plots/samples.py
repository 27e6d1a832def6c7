"""A data set looked at: its counts, and faces at the labelled frames, so that an off-by-one shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metst_core.plots.figures import draw_overview

_ENLARGED = 4
"""How many times a difference of grey levels is enlarged."""


@dataclass(frozen=True, eq=False)
class SetSample:
    """One labelled micro-expression.

    title: who, which video, which emotion.  frames: label -> picture `(H, W, 3)` uint8, in order.  before, after: the
    places in `frames` of the two whose difference is drawn.  course `(n,)`: how far the picture of each frame from `first`
    on is from that of the onset, mean grey levels; marks: onset, apex, offset.
    """

    title: str
    frames: list[tuple[str, np.ndarray]]
    before: int
    after: int
    course: np.ndarray
    first: int
    marks: tuple[int, int, int]


def set_page(
    annotations: pd.DataFrame, videos: pd.DataFrame, samples: Sequence[SetSample] = (), title: str = ""
) -> Figure:
    """The overview of a set over a row of faces per sample; the last columns are what changed, and when."""
    rows = len(samples)
    figure = Figure(figsize=(15, 3.9 + 2.75 * rows), dpi=110, layout="constrained")
    if not rows:
        draw_overview(figure.subplots(1, 3), annotations, videos, title)
        return figure
    parts: Any = figure.subfigures(2, 1, height_ratios=[3.9, 2.75 * rows])
    above, below = parts
    draw_overview(above.subplots(1, 3), annotations, videos, title)
    columns = max(len(sample.frames) for sample in samples) + 2
    axes = below.subplots(rows, columns, squeeze=False, width_ratios=[1.0] * (columns - 1) + [1.6])
    for line, sample in zip(axes, samples, strict=True):
        for ax in line[:-1]:
            ax.set_axis_off()
        for ax, (label, picture) in zip(line, sample.frames, strict=False):
            ax.imshow(picture)
            ax.set_title(label, fontsize=9, parse_math=False)
        before, after = (
            sample.frames[i][1].astype(float).mean(axis=2) for i in (sample.before, sample.after)
        )
        line[-2].imshow(_ENLARGED * np.abs(after - before), cmap="magma", vmin=0, vmax=255)
        line[-2].set_title(f"apex less onset,\nenlarged {_ENLARGED} times", fontsize=9)
        _draw_course(line[-1], sample)
        line[0].text(
            0,
            -0.04,
            sample.title,
            transform=line[0].transAxes,
            va="top",
            fontsize=10,
            fontweight="bold",
            parse_math=False,
        )
    below.suptitle("Do the labels fit? The face should begin to move at the onset, not before.", fontsize=11)
    return figure


def _draw_course(ax: Axes, sample: SetSample) -> None:
    """How far every frame is from the onset's, with the labels as lines: it should rise from the onset on."""
    ax.plot(
        sample.first + np.arange(len(sample.course)),
        sample.course,
        ".-",
        color="#0072B2",
        markersize=4,
        linewidth=1,
    )
    for number, style in zip(sample.marks, ("-", "--", ":"), strict=True):
        ax.axvline(number, color="#000000", linestyle=style, linewidth=1)
    ax.set_title("distance from the onset's picture", fontsize=9)
    ax.set_xlabel("frame (solid: onset, dashed: apex, dotted: offset)", fontsize=8)
    ax.set_ylabel("grey levels", fontsize=8)
    ax.tick_params(labelsize=8)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.spines[["top", "right"]].set_visible(False)
