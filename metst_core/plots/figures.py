"""Static figures: each function takes plain arrays and tables and returns a matplotlib `Figure`.

The ground truth is always drawn beside the prediction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from metst_core.plots.style import (
    EMOTION_COLOURS,
    ROI_COLOURS,
    SMALL,
    TRUTH,
    blank,
    emotion_handles,
    method_label,
    metric_label,
    shade,
    words,
)
from metst_core.tables import CLASSES, EMOTIONS, of_video

_NAMED_SUBJECTS = 24  # as many have room for their names under an axis
_LINES = [line + marker for marker in ("", ".", "x") for line in ("-", "--", ":", "-.")]
"""Line styles that are told apart without colour."""


def rois_on_face(crop: np.ndarray, boxes: Mapping[str, tuple[int, int, int, int]], title: str = "") -> Figure:
    """The ROI boxes on a face crop.

    `crop` is `(320, 320)` or `(320, 320, 3)` uint8; `boxes` maps a ROI's name to (top, bottom, left, right) in
    pixels of the crop, upper bounds excluded.  Names that are no ROI (the reference box) are drawn in white.
    """
    figure, (axes, names) = blank(9, 6, 1, 2, width_ratios=[3, 1.3])
    axes.imshow(crop, cmap="gray", vmin=0, vmax=255)
    handles = []
    for name, (top, bottom, left, right) in boxes.items():
        colour = ROI_COLOURS.get(name, (1.0, 1.0, 1.0))
        box = Rectangle(
            (left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.8
        )
        axes.add_patch(box)
        handles.append(
            Patch(facecolor="none", edgecolor=colour if name in ROI_COLOURS else "#bbbbbb", label=name)
        )
    axes.set(title=title, xlabel="column (pixel of the 320 crop)", ylabel="row (pixel of the 320 crop)")
    names.axis("off")
    names.legend(handles=handles, loc="center left", frameon=False, fontsize=9)
    return figure


def motion_traces(
    motion: Mapping[str, np.ndarray],
    fps: float,
    truth: Mapping[str, np.ndarray] | None = None,
    annotations: pd.DataFrame | None = None,
    first_frame: int = 0,
    title: str = "",
) -> Figure:
    """ROI motion over time, both components, above the true action unit intensities.

    motion: ROI -> `(2, T)`, x and y in pixels of the 320 crop.  truth: action unit -> its intensity `(T,)` in
    inter-ocular distances.  Shaded spans are the annotated micro-expressions.
    """
    length = next(iter(motion.values())).shape[1]
    time = (first_frame + np.arange(length)) / fps
    rows = 2 if truth is None else 3
    figure, axes = blank(10, 2.6 * rows, rows, 1, sharex=True)
    for ax, part, unit in zip(axes, (0, 1), ("x, + is right", "y, + is down"), strict=False):
        for name, values in motion.items():
            ax.plot(time, values[part], color=ROI_COLOURS[name], linewidth=1.2, label=name)
        ax.axhline(0, color="#cccccc", linewidth=0.8, zorder=0)
        ax.set_ylabel(f"motion (px)\n{unit}")
    axes[0].legend(
        ncols=min(6, len(motion)), fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0)
    )
    if truth is not None:
        for style, (unit_name, intensity) in zip(_LINES, truth.items(), strict=False):
            axes[2].plot(time, 1000 * intensity, style, color=TRUTH, linewidth=1.2, label=unit_name)
        axes[2].set_ylabel("true AU intensity\n(1/1000 inter-ocular)")
        if truth:
            axes[2].legend(ncols=6, fontsize=7, frameon=False, loc="upper left")
    for ax in axes:
        shade(ax, annotations, fps)
    axes[-1].set_xlabel("time (s)")
    figure.suptitle(title)
    return figure


@dataclass(frozen=True)
class ScoreLine:
    """The score of one video over time.

    score, smoothed: `(T,)` in 0..1, NaN where there is none.  fps: frames per second.  times: seconds of every
    frame `(T,)`, for a video whose frames do not come evenly.
    """

    score: np.ndarray
    fps: float
    smoothed: np.ndarray | None = None
    threshold: float | None = None
    times: np.ndarray | None = None

    @property
    def seconds(self) -> np.ndarray:
        """The time of every frame, `(T,)`."""
        return np.arange(len(self.score)) / self.fps if self.times is None else self.times

    @property
    def duration(self) -> float:
        """How long the video lasts, seconds."""
        return float(self.seconds[-1]) + 1 / self.fps

    def span(self, first: int, last: int) -> tuple[float, float]:
        """When the frames `first` to `last` begin and how long they last; what is outside the video is cut."""
        start, end = self.seconds[np.clip([first, last], 0, len(self.score) - 1)].tolist()
        return start, end - start + 1 / self.fps


def score_timeline(
    line: ScoreLine,
    annotations: pd.DataFrame | None = None,
    predictions: pd.DataFrame | None = None,
    quality: pd.DataFrame | None = None,
    title: str = "",
    persons: str = "",
) -> Figure:
    """The score over time, the true intervals (band below) and those found (band above), where they are given.

    Shaded are the true intervals, or those found where nobody knows the truth.  A column `confidence` of
    `predictions` is written above them; `persons` says on whom it holds.  quality: flags in lanes on top (`flag, first, last` in frames).
    """
    lanes = [] if quality is None else [rows for _, rows in quality.groupby("flag", sort=False)]
    figure, (axes,) = blank(10, 3.2 + 0.16 * len(lanes), 1, 1)
    axes.plot(line.seconds, line.score, color="#56B4E9", linewidth=1, label="score")
    if line.smoothed is not None:
        axes.plot(line.seconds, line.smoothed, color="#0072B2", linewidth=1.8, label="smoothed score")
    if line.threshold is not None:
        axes.axhline(line.threshold, color="#000000", linestyle="--", linewidth=1, label="threshold")
    for table, low, label in ((annotations, -0.12, "true"), (predictions, 1.05, "found")):
        if table is not None:
            _band(axes, line, table, low, label)
    shown = annotations if annotations is not None else predictions
    for me in () if shown is None else shown.itertuples():
        start, width = line.span(me.onset, me.offset)
        axes.axvspan(
            start, start + width, color=EMOTION_COLOURS[me.emotion], alpha=0.15, linewidth=0, zorder=0
        )
    for lane, rows in enumerate(lanes):
        _flag_lane(axes, line, rows, 1.24 + 0.09 * lane)
    per_cent = f"; per cent: confidence of the interval, on {persons}" if persons else ""
    axes.set(
        xlabel=f"time (s){per_cent}", ylabel="score (0 to 1)", xlim=(0, line.duration), yticks=[0, 0.25, 0.5, 0.75, 1],
        ylim=(-0.16, 1.2 + 0.09 * len(lanes)),
    )  # fmt: skip
    axes.set_title(title, parse_math=False)  # a file name may hold a $
    seen = {e for table in (annotations, predictions) if table is not None for e in table["emotion"]}
    axes.legend(
        handles=[*axes.get_legend_handles_labels()[0], *emotion_handles([e for e in CLASSES if e in seen])],
        ncols=8, fontsize=SMALL, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2),
    )  # fmt: skip
    return figure


def _band(axes: Axes, line: ScoreLine, table: pd.DataFrame, low: float, label: str) -> None:
    """The intervals of a table as a band from `low` on, with their confidence above it where they have one."""
    for me in table.to_dict("records"):
        start, width = line.span(me["onset"], me["offset"])
        face = EMOTION_COLOURS[me["emotion"]]
        axes.add_patch(Rectangle((start, low), width, 0.06, facecolor=face, clip_on=False))
        confidence = me.get("confidence", math.nan)
        if not math.isnan(confidence):
            axes.text(start + width / 2, low + 0.07, f"{confidence:.0%}", ha="center", fontsize=SMALL - 1)
    axes.text(1.005, low, label, transform=axes.get_yaxis_transform(), fontsize=SMALL)


def _flag_lane(axes: Axes, line: ScoreLine, flags: pd.DataFrame, height: float) -> None:
    """The frames in which one quality flag was raised, as marks in a lane of their own."""
    for run in flags.itertuples():
        start, width = line.span(run.first, run.last)
        least = 0.002 * line.duration  # a single frame of an hour is to be seen, too
        axes.add_patch(Rectangle((start, height), max(width, least), 0.05, facecolor="#999999"))
    name = words(str(flags["flag"].iloc[0]))
    axes.text(1.005, height, name, transform=axes.get_yaxis_transform(), fontsize=SMALL - 1)


def state_strip(
    states: np.ndarray,
    fps: float,
    truth: np.ndarray,
    score: np.ndarray,
    delta: np.ndarray | None = None,
    title: str = "",
) -> Figure:
    """The hidden state as a strip over time, under the truth and the score.

    `states` is `(S, T)`, one row per component of the state (drawn relative to its own spread); `truth` and
    `score` are `(T,)`; `delta` `(T,)`, when given, is the mean step size the network chose.
    """
    rows = 2 if delta is None else 3
    figure, axes = blank(10, 2.4 + 1.6 * rows, rows, 1, sharex=True, height_ratios=[1, 2, 1][:rows])
    time = np.arange(states.shape[1]) / fps
    axes[0].fill_between(
        time,
        truth / max(float(np.max(truth)), 1e-12),
        color="#cccccc",
        label="true intensity (its maximum = 1)",
    )
    axes[0].plot(time, score, color="#0072B2", label="score")
    axes[0].set_ylabel("score (0 to 1)")
    axes[0].legend(fontsize=8, frameon=False)
    centred = states - np.median(states, axis=1, keepdims=True)
    scaled = centred / (np.abs(centred).max(axis=1, keepdims=True) + 1e-12)
    extent = (0, states.shape[1] / fps, states.shape[0], 0)
    picture = axes[1].imshow(
        scaled, aspect="auto", cmap="PuOr", vmin=-1, vmax=1, extent=extent, interpolation="nearest"
    )
    axes[1].set_ylabel("state component")
    figure.colorbar(
        picture, ax=axes, label="state, distance from its median\n(its maximum = 1)", fraction=0.03, pad=0.01
    )
    if delta is not None:
        axes[2].plot(time, delta, color="#D55E00")
        axes[2].set_ylabel("step size Δ")
    axes[-1].set_xlabel("time (s)")
    axes[0].set_title(title)
    return figure


def training_curves(history: pd.DataFrame, title: str = "") -> Figure:
    """Loss and its two parts per epoch: a thin line per fold, a thick one for the mean over folds.

    `history` has the columns `subject` (held out), `epoch`, `loss`, `score_loss`, `class_loss`; where it has
    `held_out_loss` and so on too, these are drawn dashed.
    """
    parts = ("loss", "score_loss", "class_loss")
    figure, axes = blank(11, 3.4, 1, 3)
    for ax, part, colour in zip(axes, parts, ("#000000", "#0072B2", "#D55E00"), strict=True):
        for _, fold in history.groupby("subject"):
            ax.plot(fold["epoch"], fold[part], color=colour, alpha=0.25, linewidth=0.8)
        mean = history.groupby("epoch")[part].mean()
        watched = f"held_out_{part}" in history
        label = "training" if watched else "mean over folds"
        ax.plot(mean.index, mean, color=colour, linewidth=2, label=label)
        if watched:
            unseen = history.groupby("epoch")[f"held_out_{part}"].mean()
            ax.plot(unseen.index, unseen, color=colour, linewidth=2, linestyle="--", label="held out")
        ax.set(
            xlabel="epoch",
            ylabel={"loss": "loss", "score_loss": "mean squared error", "class_loss": "cross-entropy"}[part],
            yscale="log",
        )
        ax.legend(fontsize=8, frameon=False)
    figure.suptitle(title)
    return figure


def interval_timeline(
    predictions: pd.DataFrame, annotations: pd.DataFrame, videos: pd.DataFrame, title: str = ""
) -> Figure:
    """Every video a row: the true intervals below its line, the predicted ones above, coloured by emotion."""
    figure, (axes,) = blank(11, 1.4 + 0.32 * max(len(videos), 2), 1, 1)
    labels = []
    for row, video in enumerate(videos.itertuples()):
        labels.append(f"{video.subject} / {video.video}")
        axes.plot([0, video.n_frames / video.fps], [row, row], color="#dddddd", linewidth=1, zorder=0)
        for table, low in ((annotations, row), (predictions, row - 0.38)):
            mine = of_video(table, video.subject, video.video)
            for interval in mine.itertuples():
                start, end = interval.onset / video.fps, (interval.offset + 1) / video.fps
                face = EMOTION_COLOURS[interval.emotion]
                axes.add_patch(Rectangle((start, low), end - start, 0.36, facecolor=face, alpha=1 if low == row else 0.65,
                                         edgecolor=TRUTH if low == row else "none"))  # fmt: skip
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    axes.set(
        xlabel="time (s)",
        title=title or "outlined, below each line: true; above: predicted",
        ylim=(len(labels) - 0.3, -0.7),
    )
    axes.legend(
        handles=emotion_handles(),
        ncols=5,
        fontsize=8,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.55 / figure.get_figheight()),
    )
    return figure


def confusion(table: pd.DataFrame, title: str = "") -> Figure:
    """The confusion matrix of the true positives: rows the truth, columns the prediction, neutral last."""
    figure, (axes,) = blank(5.4, 4.6, 1, 1)
    values = table.to_numpy()
    axes.imshow(values, cmap="Blues", vmin=0, vmax=max(1, values.max(initial=0)))
    for i, j in np.ndindex(*values.shape):
        dark = values[i, j] > 0.6 * values.max(initial=0)
        axes.text(j, i, f"{values[i, j]:g}", ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks(range(values.shape[1]), table.columns, rotation=30, ha="right")
    axes.set_yticks(range(values.shape[0]), table.index)
    axes.set(xlabel="predicted emotion", ylabel="true emotion", title=title)
    return figure


def ablation(table: pd.DataFrame, title: str = "") -> Figure:
    """The ablation table (`experiment.Ablation.table`): STRS of each cell, and its paired difference to the base.

    The base is drawn as a square; differences whose interval leaves out 0 are drawn filled.
    """
    figure, axes = blank(11, 1.2 + 0.32 * len(table), 1, 2, sharey=True)
    for y, row in enumerate(table.to_dict("records")):
        for ax, name in ((axes[0], "strs"), (axes[1], "strs_difference")):
            errors = [[row[name] - row[f"{name}_low"]], [row[f"{name}_high"] - row[name]]]
            face = "#0072B2" if ax is axes[0] or row["makes_a_difference"] else "white"
            ax.errorbar(
                row[name],
                y,
                xerr=np.abs(errors),
                fmt="s" if row["is_base"] else "o",
                color="#0072B2",
                markerfacecolor=face,
                capsize=3,
            )
    axes[1].axvline(0, color="#cccccc", zorder=0)
    axes[0].set(xlabel="STRS, 95% interval over subjects", title=title)
    axes[1].set(xlabel="STRS minus the base's, paired 95% interval")
    axes[0].set_yticks(range(len(table)), [f"{r.factor}: {r.level}" for r in table.itertuples()])
    axes[0].invert_yaxis()
    return figure


def dataset_overview(annotations: pd.DataFrame, videos: pd.DataFrame, title: str = "") -> Figure:
    """A data set at a glance: micro-expressions per subject and emotion, their durations, videos per subject.

    Durations are in seconds, at each video's frame rate, onset and offset included.
    """
    figure, axes = blank(12, 3.6, 1, 3)
    draw_overview(axes, annotations, videos, title)
    return figure


def draw_overview(
    axes: Sequence[Axes], annotations: pd.DataFrame, videos: pd.DataFrame, title: str = ""
) -> None:
    """What `dataset_overview` shows, on three axes."""
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    table = annotations.merge(videos[["subject", "video", "fps"]], on=["subject", "video"], how="left")
    counts = annotations.groupby(["subject", "emotion"]).size().unstack(fill_value=0)
    subjects = list(dict.fromkeys(videos["subject"]))
    counts = counts.reindex(index=subjects, columns=list(EMOTIONS), fill_value=0)
    below = np.zeros(len(subjects))
    for emotion in EMOTIONS:
        axes[0].bar(
            range(len(subjects)), counts[emotion], bottom=below, color=EMOTION_COLOURS[emotion], label=emotion
        )
        below += counts[emotion].to_numpy()
    axes[0].set(xlabel=f"subject (1 to {len(subjects)}, in order)", ylabel="micro-expressions", title=title)
    axes[0].yaxis.set_major_locator(MaxNLocator(integer=True))
    if len(subjects) <= _NAMED_SUBJECTS:
        axes[0].set_xticks(range(len(subjects)), [name[:12] for name in subjects], rotation=45, ha="right")
        axes[0].set_xlabel("subject")
    else:
        axes[0].set_xticks([])
    seconds = (table["offset"] - table["onset"] + 1) / table["fps"]
    axes[1].hist(
        [seconds[table["emotion"] == e] for e in EMOTIONS],
        15,
        stacked=True,
        color=[EMOTION_COLOURS[e] for e in EMOTIONS],
    )
    axes[1].set(xlabel="duration, onset to offset, both included (s)", ylabel="micro-expressions")
    axes[1].yaxis.set_major_locator(MaxNLocator(integer=True))
    axes[1].legend(handles=emotion_handles(), frameon=False, fontsize=SMALL)
    minutes = videos["n_frames"] / videos["fps"] / 60
    axes[2].hist(60 * minutes if minutes.max() < 2 else minutes, 15, color="#999999")
    axes[2].set(xlabel=f"length of a video ({'s' if minutes.max() < 2 else 'min'})", ylabel="videos")
    axes[2].yaxis.set_major_locator(MaxNLocator(integer=True))


def comparison(
    table: pd.DataFrame, metrics: Sequence[str] = ("spotting_f1", "strs"), title: str = ""
) -> Figure:
    """Methods side by side with their intervals; `table` has the columns `method, metric, value, low, high`."""
    figure, axes = blank(
        5 * len(metrics), 1.2 + 0.45 * table["method"].nunique(), 1, len(metrics), sharey=True
    )
    methods = list(dict.fromkeys(table["method"]))
    for ax, metric in zip(axes, metrics, strict=True):
        mine = table[table["metric"] == metric].set_index("method").loc[methods]
        errors = np.abs(mine[["low", "high"]].to_numpy(float).T - mine["value"].to_numpy(float))
        ax.errorbar(mine["value"], range(len(methods)), xerr=errors, fmt="o", color="#0072B2", capsize=3)
        ax.set(xlabel=f"{metric_label(metric)}, 95% interval over subjects", xlim=(-0.02, 1.02))
        ax.grid(axis="x", color="#eeeeee")
    axes[0].set_yticks(range(len(methods)), [method_label(name) for name in methods])
    axes[0].invert_yaxis()
    figure.suptitle(title)
    return figure
