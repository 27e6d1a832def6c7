"""Static figures of ROI relations and attribution; each returns a matplotlib `Figure`.

They are also the figures of the interactive explorer (`metst_core.widgets`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import ConnectionStyle, FancyArrowPatch, Rectangle

from metst_core.plots.style import (
    ROI_COLOURS,
    SIGNED,
    SMALL,
    STRENGTH,
    TRUTH,
    PlainFigure,
    blank,
    dark,
    emotion_handles,
    shade,
    words,
)
from metst_core.rois import CROP_SIZE, select_rois

ASIDE = {"left_brow": (0, -25), "right_brow": (0, -25), "mouth": (0, 44)}
"""Whole ROIs whose centre is a fine ROI's too are drawn this far beside it (pixels of the crop)."""

_GRANULARITY = {roi.name: roi.granularity for roi in select_rois("metst_plus_ref")}


@dataclass(frozen=True)
class Face:
    """A face crop and the ROIs on it.

    picture `(320, 320, 3)` uint8.  boxes: ROI -> (top, bottom, left, right) on it, in the order of the matrix
    that is drawn.
    """

    picture: np.ndarray
    boxes: Mapping[str, tuple[float, float, float, float]]

    @property
    def names(self) -> list[str]:
        return list(self.boxes)


@dataclass(frozen=True)
class Scale:
    """How relations become colours, and which of them edges.

    threshold: pairs with |value| from here on are edges.  top: the end of the colour scale.  signed: values
    below 0 occur and mean something.  label: what the number is called.
    """

    threshold: float
    top: float = 1.0
    signed: bool = True
    label: str = "correlation r"

    def colours(self) -> ScalarMappable:
        low = -self.top if self.signed else 0
        return ScalarMappable(Normalize(low, self.top), SIGNED if self.signed else STRENGTH)


def relation_page(
    face: Face, matrix: np.ndarray, scale: Scale, selected: Sequence[str] = (), title: str = ""
) -> Figure:
    """The relations `(R, R)` twice, in the same order and colours: as a graph on the face and as a matrix.

    Edges are thicker where stronger.  selected: one ROI or a pair to bring out.
    """
    figure = PlainFigure(figsize=(12.5, 6), dpi=110, layout="constrained")
    graph, table = figure.subplots(1, 2, width_ratios=[1, 1.12])
    relation_graph(graph, face, matrix, scale, selected)
    relation_matrix(table, face.names, matrix, scale, selected)
    label = f"{scale.label} (fainter: below {scale.threshold:.2f})"
    bar = figure.colorbar(scale.colours(), ax=table, fraction=0.04, pad=0.02, label=label)
    bar.ax.axhline(scale.threshold, color="black", linewidth=0.8)
    if scale.signed:
        bar.ax.axhline(-scale.threshold, color="black", linewidth=0.8)
    figure.suptitle(title)
    return figure


def relation_graph(
    axes: Axes, face: Face, matrix: np.ndarray, scale: Scale, selected: Sequence[str] = ()
) -> None:
    """The graph half of `relation_page`, on given axes."""
    axes.imshow(_pale(face.picture))
    names, colours = face.names, scale.colours()
    centres = {n: ((b[2] + b[3]) / 2, (b[0] + b[1]) / 2) for n, b in face.boxes.items()}
    places = {n: (x + ASIDE.get(n, (0, 0))[0], y + ASIDE.get(n, (0, 0))[1]) for n, (x, y) in centres.items()}
    end = float(scale.top or 1)
    for i, j, value in edges_of(matrix, scale.threshold):
        pair = (names[i], names[j])
        shown = not selected or (set(pair) == set(selected) if len(selected) == 2 else selected[0] in pair)
        arc = ConnectionStyle("Arc3", rad=-0.12)
        for width, colour, alpha in ((2.0, "white", 0.55), (0.0, colours.to_rgba(np.array(value)), 1.0)):
            axes.add_patch(FancyArrowPatch(
                places[pair[0]], places[pair[1]], connectionstyle=arc, arrowstyle="-", color=colour,
                alpha=alpha if shown else 0.1, linewidth=width + 0.8 + 4.2 * min(1, abs(value) / end),
            ))  # fmt: skip
    for name in names:
        (x, y), (px, py) = centres[name], places[name]
        axes.plot([x, px], [y, py], ":", color="white", linewidth=1)
        chosen = name in selected
        whole = _GRANULARITY[name] == "whole"
        axes.plot(px, py, "s" if whole else "o", color=ROI_COLOURS[name], markersize=9 if whole else 7.5, zorder=5,
                  markeredgecolor="black" if chosen else "white", markeredgewidth=1.8 if chosen else 1)  # fmt: skip
    axes.set(xlim=(0, CROP_SIZE), ylim=(CROP_SIZE, 0), xticks=[], yticks=[])
    axes.set_xlabel(
        "■ whole ROI (brows and mouth: beside their centre)   ● fine ROI   thicker edge: stronger",
        fontsize=SMALL,
    )


def relation_matrix(
    axes: Axes, names: Sequence[str], matrix: np.ndarray, scale: Scale, selected: Sequence[str] = ()
) -> None:
    """The matrix half of `relation_page`, on given axes: row leads column where a lag is not 0."""
    tint = scale.colours().to_rgba(matrix)
    faint = np.abs(matrix) < scale.threshold
    tint[faint] = 0.42 * tint[faint] + 0.58
    axes.imshow(tint, interpolation="nearest")
    labels = [words(n) for n in names]
    axes.set_xticks(
        range(len(names)), labels, fontsize=SMALL, rotation=60, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(names)), labels, fontsize=SMALL)
    for texts in (axes.get_xticklabels(), axes.get_yticklabels()):
        for name, text in zip(names, texts, strict=True):
            text.set_color(dark(name))
            text.set_fontweight("bold" if name in selected else "normal")
    places = [names.index(n) for n in selected]
    if len(places) == 2:
        for i, j in (places, places[::-1]):
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, linewidth=1.6))
    for i in places if len(places) == 1 else ():
        for corner, size in (((-0.5, i - 0.5), (len(names), 1)), ((i - 0.5, -0.5), (1, len(names)))):
            axes.add_patch(Rectangle(corner, *size, fill=False, linewidth=1.6))
    axes.spines[:].set_visible(False)


def edges_of(matrix: np.ndarray, threshold: float) -> list[tuple[int, int, float]]:
    """Pairs i < j whose stronger direction reaches the threshold, weakest first: (i, j, value)."""
    found = []
    for i, j in zip(*np.triu_indices(len(matrix), 1), strict=True):
        value = max(matrix[i, j], matrix[j, i], key=abs)
        if abs(value) >= threshold and value:
            found.append((int(i), int(j), float(value)))
    return sorted(found, key=lambda edge: abs(edge[2]))


def lag_curves(
    curves: Mapping[str, np.ndarray],
    lags: Sequence[int],
    fps: float,
    critical: float | None = None,
    title: str = "",
) -> Figure:
    """Relation over lag for several pairs: name -> values `(n_lags,)`; shaded: within the 5% level."""
    figure, (axes,) = blank(9, 3.2, 1, 1)
    milliseconds = 1000 * np.array(lags) / fps
    if critical is not None:
        axes.axhspan(-critical, critical, color="#e6e6e6", label="5% level, all pairs and lags")
    styles = ("-o", "--s", ":^", "-.D")
    for number, (name, values) in enumerate(curves.items()):
        colour = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")[number % 6]
        axes.plot(milliseconds, values, styles[number % 4], color=colour, markersize=4, label=name)
    axes.axvline(0, color="#999999", linewidth=0.8)
    axes.set(xlabel="lag (ms); right of 0: the first named moves first", ylabel="correlation r", title=title)
    axes.legend(frameon=False, fontsize=SMALL, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def attribution_map(
    maps: Mapping[str, np.ndarray],
    names: Sequence[str],
    fps: float,
    mask: np.ndarray | None = None,
    title: str = "",
) -> Figure:
    """Attribution of one window per output: name -> `(R, k)`, each on its own scale.

    mask `(k,)`: the frames of the ME, drawn between two lines.
    """
    figure = PlainFigure(figsize=(1.5 + 5 * len(maps), 4.6), dpi=110, layout="constrained")
    axes = figure.subplots(1, len(maps), sharey=True, squeeze=False)[0]
    for ax, (name, values) in zip(axes, maps.items(), strict=True):
        shown = _strip(ax, values, values.shape[1] / fps, max(float(np.abs(values).max()), 1e-12))
        if mask is not None and mask.any():
            for frame in (np.flatnonzero(mask)[0], np.flatnonzero(mask)[-1] + 1):
                ax.axvline(frame / fps, color=TRUTH, linestyle="--", linewidth=1)
        ax.set(xlabel="time in the window (s)", title=name)
        figure.colorbar(shown, ax=ax, fraction=0.05, pad=0.02, label="contribution per frame")
    _roi_ticks(axes[0], names)
    figure.suptitle(title)
    return figure


def roi_bars(table: pd.DataFrame, unit: str = "share of the attribution", title: str = "") -> Figure:
    """Several measures per ROI side by side: `table` has the ROIs as index and one column per measure."""
    figure, (axes,) = blank(10, 4.4, 1, 1)
    width = 0.8 / len(table.columns)
    colours, hatches = ("#0072B2", "#E69F00", "#999999", "#CC79A7"), ("", "//", "", "..")
    for number, column in enumerate(table.columns):
        at = np.arange(len(table)) + (number + 0.5) * width - 0.4
        style: dict[str, Any] = {
            "color": colours[number % 4],
            "hatch": hatches[number % 4],
            "edgecolor": "white",
        }
        axes.bar(at, table[column], width, label=column, **style)
    axes.set_xticks(
        range(len(table)), [words(n) for n in table.index], rotation=50, ha="right", fontsize=SMALL
    )
    axes.set(ylabel=unit, title=title)
    axes.legend(frameon=False)
    return figure


def focus_bars(table: pd.DataFrame, title: str = "") -> Figure:
    """How far maps look at the moving action units: `table` rows are maps, columns `share, by_chance`."""
    figure, (axes,) = blank(9, 1.2 + 0.5 * len(table), 1, 1)
    at = np.arange(len(table))
    axes.barh(
        at, table["share"], color="#0072B2", height=0.6, label="on the ROIs of the ME's own action units"
    )
    chance: dict[str, Any] = {"color": "black", "markersize": 18, "markeredgewidth": 2}
    axes.plot(table["by_chance"], at, "|", label="on those of another ME's", **chance)
    axes.set_yticks(at, list(table.index))
    axes.invert_yaxis()
    axes.set(xlabel="share of the map (0 to 1)", title=title, xlim=(0, 1))
    axes.legend(frameon=False, fontsize=SMALL, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@dataclass(frozen=True)
class Course:
    """What happens in one video over time.

    motion: `(R, T)` pixels of the 320 crop, of the ROIs `names`.  annotations: its MEs.  score `(T,)` and
    attribution `(R, T)` where a network has seen it.
    """

    motion: np.ndarray
    names: Sequence[str]
    fps: float
    annotations: pd.DataFrame
    score: np.ndarray | None = None
    attribution: np.ndarray | None = None

    @property
    def seconds(self) -> float:
        return self.motion.shape[1] / self.fps


def time_page(
    course: Course, selected: Sequence[str] = (), frame: int | None = None, title: str = ""
) -> Figure:
    """The time view: motion traces, score and attribution over the truth.

    `selected` ROIs are brought out; `frame` draws the explorer's cursor.
    """
    heights = {"motion": 2.0}
    heights |= {} if course.score is None else {"score": 1.0}
    heights |= {} if course.attribution is None else {"attribution": 1.8}
    figure = PlainFigure(figsize=(12.5, 1 + 1.3 * sum(heights.values())), dpi=110, layout="constrained")
    rows = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=list(heights.values()))
    axes: dict[str, Axes] = dict(zip(heights, rows[:, 0], strict=True))
    _motion_row(axes["motion"], course, selected)
    axes["motion"].set(ylabel="motion (px of the crop)", title=title)
    if course.score is not None:
        axes["score"].plot((np.arange(len(course.score)) + 0.5) / course.fps, course.score, color="#0072B2")
        axes["score"].set(ylabel="score (0 to 1)", ylim=(0, 1))
    if course.attribution is not None:
        end = max(float(np.quantile(np.abs(course.attribution), 0.995)), 1e-12)
        _strip(axes["attribution"], course.attribution, course.seconds, end)
        _roi_ticks(axes["attribution"], course.names)
        for me in course.annotations.itertuples():
            for edge in (me.onset, me.offset + 1):
                axes["attribution"].axvline(edge / course.fps, color=TRUTH, linestyle="--", linewidth=0.8)
    for name, ax in axes.items():
        if name != "attribution":
            shade(ax, course.annotations, course.fps, alpha=0.2)
        if frame is not None:
            ax.axvline((frame + 0.5) / course.fps, color="black", linewidth=1)
    rows[-1, 0].set(xlabel="time (s)", xlim=(0, course.seconds))
    lines = axes["motion"].get_legend_handles_labels()[0]
    shades = emotion_handles(dict.fromkeys(course.annotations["emotion"]), alpha=0.4)
    axes["motion"].legend(handles=[*lines, *shades], frameon=False, fontsize=SMALL, ncols=6)
    return figure


def _motion_row(axes: Axes, course: Course, selected: Sequence[str]) -> None:
    """The traces of all ROIs, the selected ones last, strong and named."""
    time = (np.arange(course.motion.shape[1]) + 0.5) / course.fps
    for name, values in sorted(
        zip(course.names, course.motion, strict=True), key=lambda row: row[0] in selected
    ):
        strong = name in selected
        axes.plot(
            time, values, color=ROI_COLOURS[name], label=words(name) if strong else None,
            linewidth=2.0 if strong else 0.8, alpha=1.0 if strong or not selected else 0.2,
        )  # fmt: skip


def _strip(axes: Axes, values: np.ndarray, seconds: float, end: float) -> AxesImage:
    """Values `(R, T)` as a strip over `seconds`, colours from -end to end."""
    extent = (0, seconds, len(values) - 0.5, -0.5)
    return axes.imshow(
        values, aspect="auto", cmap=SIGNED, vmin=-end, vmax=end, interpolation="nearest", extent=extent
    )


def _pale(picture: np.ndarray) -> np.ndarray:
    """The picture with little colour and some light, so that edges stand out on it."""
    grey = picture.mean(axis=-1, keepdims=True)
    return np.clip(0.85 * (0.25 * picture + 0.75 * grey) + 32, 0, 255).astype(np.uint8)


def _roi_ticks(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [words(n) for n in names], fontsize=SMALL - 1)
    for name, text in zip(names, axes.get_yticklabels(), strict=True):
        text.set_color(dark(name))
