"""Static figures: each function takes plain arrays and tables and returns a matplotlib `Figure`.

Colours are colour-blind safe (Okabe and Ito 2008) and fixed: one per emotion, one per ROI, everywhere.
The ground truth is always drawn beside the prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from metst_core.rois import select_rois
from metst_core.tables import CLASSES, EMOTIONS

EMOTION_COLOURS = {
    "negative": "#D55E00",
    "positive": "#009E73",
    "surprise": "#0072B2",
    "others": "#CC79A7",
    "neutral": "#999999",
}
TRUTH, PREDICTION = "#444444", "#E69F00"
_PARENT_COLOURS = {
    "left_brow": "#0072B2",
    "right_brow": "#56B4E9",
    "mouth": "#D55E00",
    "nose": "#009E73",
    "left_eyelid": "#CC79A7",
    "right_eyelid": "#E69F00",
    "nose_bridge": "#666666",
}


def _roi_colours() -> dict[str, tuple[float, float, float]]:
    """A hue per parent box; the parent's ROIs step towards white in channel order."""
    colours, seen = {}, dict.fromkeys(_PARENT_COLOURS, 0)
    for roi in select_rois("metst_plus_ref"):
        parent = roi.parent or roi.name
        base, step = np.array(to_rgb(_PARENT_COLOURS[parent])), seen[parent]
        seen[parent] += 1
        colours[roi.name] = tuple(float(c) for c in base + (1 - base) * 0.13 * step)
    return colours  # type: ignore[return-value]


ROI_COLOURS = _roi_colours()


def rois_on_face(crop: np.ndarray, boxes: Mapping[str, tuple[int, int, int, int]], title: str = "") -> Figure:
    """The ROI boxes on a face crop.

    `crop` is `(320, 320)` or `(320, 320, 3)` uint8; `boxes` maps a ROI's name to (top, bottom, left, right) in
    pixels of the crop, upper bounds excluded.  Names that are no ROI (the reference box) are drawn in white.
    """
    figure, (axes, names) = _figure(9, 6, 1, 2, width_ratios=[3, 1.3])
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
    motion: np.ndarray,
    names: Sequence[str],
    fps: float,
    truth: Mapping[str, np.ndarray] | None = None,
    annotations: pd.DataFrame | None = None,
    first_frame: int = 0,
    title: str = "",
) -> Figure:
    """ROI motion over time, vertical component, under the true action unit intensities.

    `motion` is `(2R, T)` (x then y per ROI, pixels of the 320 crop), `truth` maps an action unit to its intensity
    `(T,)` in inter-ocular distances; shaded spans are the annotated micro-expressions.
    """
    time = (first_frame + np.arange(motion.shape[1])) / fps
    rows = 2 if truth is None else 3
    figure, axes = _figure(10, 2.6 * rows, rows, 1, sharex=True)
    for ax, part, unit in zip(axes, (0, 1), ("x, + is right", "y, + is down"), strict=False):
        for r, name in enumerate(names):
            ax.plot(time, motion[2 * r + part], color=ROI_COLOURS[name], linewidth=1.2, label=name)
        ax.axhline(0, color="#cccccc", linewidth=0.8, zorder=0)
        ax.set_ylabel(f"motion (px)\n{unit}")
    axes[0].legend(
        ncols=min(6, len(names)), fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0)
    )
    if truth is not None:
        for style, (unit_name, intensity) in zip(_line_styles(), truth.items(), strict=False):
            axes[2].plot(time, 1000 * intensity, style, color=TRUTH, linewidth=1.2, label=unit_name)
        axes[2].set_ylabel("true AU intensity\n(1/1000 inter-ocular)")
        if truth:
            axes[2].legend(ncols=6, fontsize=7, frameon=False, loc="upper left")
    for ax in axes:
        _shade(ax, annotations, fps)
    axes[-1].set_xlabel("time (s)")
    figure.suptitle(title)
    return figure


def score_timeline(
    score: np.ndarray,
    fps: float,
    annotations: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    smoothed: np.ndarray | None = None,
    threshold: float | None = None,
    title: str = "",
) -> Figure:
    """The score of one video `(T,)` over time, with true intervals (band below) and predicted ones (band above)."""
    figure, (axes,) = _figure(10, 3.2, 1, 1)
    time = np.arange(len(score)) / fps
    axes.plot(time, score, color="#56B4E9", linewidth=1.0, label="score")
    if smoothed is not None:
        axes.plot(time, smoothed, color="#0072B2", linewidth=1.8, label="smoothed score")
    if threshold is not None:
        axes.axhline(threshold, color="#000000", linestyle="--", linewidth=1, label="threshold")
    _shade(axes, annotations, fps)
    top = max(1.0, float(np.max(score, initial=0)))
    _bands(axes, annotations, fps, -0.12 * top, 0.08 * top, "true")
    if predictions is not None:
        _bands(axes, predictions, fps, 1.05 * top, 0.08 * top, "predicted")
    axes.set(
        xlabel="time (s)",
        ylabel="score (0 to 1)",
        title=title,
        xlim=(0, len(score) / fps),
        ylim=(-0.16 * top, 1.18 * top),
    )
    axes.legend(
        handles=[*axes.get_legend_handles_labels()[0], *_emotion_handles()],
        ncols=8, fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2),
    )  # fmt: skip
    return figure


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
    figure, axes = _figure(10, 2.4 + 1.6 * rows, rows, 1, sharex=True, height_ratios=[1, 2, 1][:rows])
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

    `history` has the columns `subject` (held out), `epoch`, `loss`, `score_loss`, `class_loss`.
    """
    parts = ("loss", "score_loss", "class_loss")
    figure, axes = _figure(11, 3.4, 1, 3)
    for ax, part, colour in zip(axes, parts, ("#000000", "#0072B2", "#D55E00"), strict=True):
        for _, fold in history.groupby("subject"):
            ax.plot(fold["epoch"], fold[part], color=colour, alpha=0.25, linewidth=0.8)
        mean = history.groupby("epoch")[part].mean()
        ax.plot(mean.index, mean, color=colour, linewidth=2, label="mean over folds")
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
    figure, (axes,) = _figure(11, 1.4 + 0.32 * max(len(videos), 2), 1, 1)
    labels = []
    for row, video in enumerate(videos.itertuples()):
        labels.append(f"{video.subject} / {video.video}")
        axes.plot([0, video.n_frames / video.fps], [row, row], color="#dddddd", linewidth=1, zorder=0)
        for table, low in ((annotations, row), (predictions, row - 0.38)):
            mine = table[(table["subject"] == video.subject) & (table["video"] == video.video)]
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
        handles=_emotion_handles(),
        ncols=5,
        fontsize=8,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.55 / figure.get_figheight()),
    )
    return figure


def confusion(table: pd.DataFrame, title: str = "") -> Figure:
    """The confusion matrix of the true positives: rows the truth, columns the prediction, neutral last."""
    figure, (axes,) = _figure(5.4, 4.6, 1, 1)
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
    """The ablation table (`experiments.Ablation.table`): STRS of each cell, and its paired difference to the base.

    The base is drawn as a square; differences whose interval leaves out 0 are drawn filled.
    """
    figure, axes = _figure(11, 1.2 + 0.32 * len(table), 1, 2, sharey=True)
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

    Durations are offset - onset in seconds, at each video's frame rate.
    """
    figure, axes = _figure(12, 3.6, 1, 3)
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
    axes[0].legend(frameon=False, fontsize=8)
    seconds = (table["offset"] - table["onset"]) / table["fps"]
    axes[1].hist(
        [seconds[table["emotion"] == e] for e in EMOTIONS],
        15,
        stacked=True,
        color=[EMOTION_COLOURS[e] for e in EMOTIONS],
    )
    axes[1].set(xlabel="duration, onset to offset (s)", ylabel="micro-expressions")
    minutes = videos["n_frames"] / videos["fps"] / 60
    axes[2].hist(minutes, 15, color="#999999")
    axes[2].set(xlabel="length of a video (min)", ylabel="videos")
    return figure


def comparison(
    table: pd.DataFrame, metrics: Sequence[str] = ("spotting_f1", "strs"), title: str = ""
) -> Figure:
    """Methods side by side with their intervals; `table` has the columns `method, metric, value, low, high`."""
    figure, axes = _figure(
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


def metric_label(name: str) -> str:
    """A metric's name as it is written in text: "spotting F1", "STRS"."""
    words = {"f1": "F1", "strs": "STRS", "uf1": "UF1", "uar": "UAR"}
    return " ".join(words.get(word, word) for word in name.split("_"))


def method_label(name: str) -> str:
    """A method's name as it is written in text: "ME-TST+", "sliding window"."""
    return {"metst": "ME-TST", "metst_plus": "ME-TST+"}.get(name, name.replace("_", " "))


def _figure(width: float, height: float, rows: int, columns: int, **grid: Any) -> tuple[Figure, list]:
    """A figure outside pyplot's registry (nothing to close) and its axes as a flat list."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **grid)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, list(axes.flat)


def _shade(axes: Axes, annotations: pd.DataFrame | None, fps: float) -> None:
    if annotations is None:
        return
    for interval in annotations.itertuples():
        axes.axvspan(
            interval.onset / fps,
            (interval.offset + 1) / fps,
            color=EMOTION_COLOURS[interval.emotion],
            alpha=0.15,
            linewidth=0,
        )


def _bands(axes: Axes, table: pd.DataFrame, fps: float, low: float, height: float, label: str) -> None:
    for interval in table.itertuples():
        axes.add_patch(Rectangle((interval.onset / fps, low), (interval.offset + 1 - interval.onset) / fps, height,
                                 facecolor=EMOTION_COLOURS[interval.emotion], clip_on=False))  # fmt: skip
    axes.text(1.005, low, label, transform=axes.get_yaxis_transform(), fontsize=8, va="bottom")


def _emotion_handles(classes: Sequence[str] = EMOTIONS) -> list[Patch]:
    return [Patch(facecolor=EMOTION_COLOURS[name], label=name) for name in classes]


def _line_styles() -> list[str]:
    return [line + marker for marker in ("", ".", "x") for line in ("-", "--", ":", "-.")]


assert tuple(EMOTION_COLOURS) == CLASSES
