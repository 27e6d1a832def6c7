"""Errors looked at: the face, what the network was given, and what it made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metst_core.plots.style import EMOTION_COLOURS, ROI_COLOURS, PlainFigure
from metst_core.rois import roi_names


@dataclass(frozen=True, eq=False)
class ErrorView:
    """What there is to see of one error.

    title: what is wrong.
    faces: frame number -> frame `(H, W, 3)` uint8, of the onset and the apex.
    apex: of the error, in frames.
    motion: of the window that holds the apex, `(2R, k)`, pixels of the 320 crop; `start` is its first frame.
    features: which ROIs these are ("metst", "metst_plus").
    score: of the whole video, `(T,)`.
    truth: the annotations of this video.
    """

    title: str
    faces: list[tuple[str, int, np.ndarray]]
    apex: int
    motion: np.ndarray
    start: int
    features: str
    score: np.ndarray
    truth: pd.DataFrame


def error_gallery(errors: Sequence[ErrorView], fps: float) -> Figure:
    """A row per error: the face at onset and apex, the ROIs' motion around it, and the score.

    True micro-expressions are shaded in the colour of their emotion, the apex is dashed.
    """
    rows = max(1, len(errors))
    figure = PlainFigure(figsize=(13, 0.6 + 2.9 * rows), layout="constrained")
    axes = figure.subplots(rows, 4, squeeze=False, width_ratios=[1, 1, 1.8, 2.2])
    for (onset, apex, motion, score), error in zip(axes, errors, strict=False):
        for ax, (label, number, frame) in zip((onset, apex), error.faces, strict=True):
            ax.imshow(frame)
            ax.set(title=f"{label}, frame {number}", xticks=[], yticks=[])
        _draw_motion(motion, error, fps)
        score.plot(np.arange(len(error.score)) / fps, error.score, color="#0072B2", linewidth=1)
        score.set(title=error.title, xlabel="time (s)", ylabel="score (0 to 1)", ylim=(0, 1))
        for ax in (motion, score):
            for t in error.truth.itertuples():
                colour = EMOTION_COLOURS[t.emotion]
                ax.axvspan(t.onset / fps, (t.offset + 1) / fps, color=colour, alpha=0.3)
            ax.axvline(error.apex / fps, color="#000000", linestyle="--", linewidth=1)
    return figure


def _draw_motion(ax: Axes, error: ErrorView, fps: float) -> None:
    """The length of every ROI's displacement over one window."""
    time = (error.start + np.arange(error.motion.shape[1])) / fps
    for r, roi in enumerate(roi_names(error.features)):
        length = np.hypot(*error.motion[2 * r : 2 * r + 2])
        ax.plot(time, length, color=ROI_COLOURS[roi], linewidth=0.8)
    ax.set(
        title="ROI motion in one window",
        xlabel="time (s)",
        ylabel="length (pixels)",
        xlim=(time[0], time[-1]),
    )
