"""Pictures that explain: the data line, the Mamba block, the slow-fast network, windows against frames.

Drawn by code in one style, for light and for dark pages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from metst_core.plots.style import SMALL


@dataclass(frozen=True)
class Ink:
    """The colours of a page: paper, letters and lines, quiet lines, and four fills (data, maps, state, answers)."""

    paper: str
    line: str
    quiet: str
    data: str
    step: str
    state: str
    answer: str


LIGHT = Ink("#ffffff", "#222222", "#6b6b6b", "#e8eef5", "#f2f2f2", "#fbe3d6", "#dff1e9")
DARK = Ink("#131416", "#e8e8e8", "#a8a8a8", "#23354a", "#2b2c2f", "#56331f", "#1d4536")


def _page(width: float, height: float, ink: Ink) -> tuple[Figure, Axes]:
    """An empty page whose units are tenths of an inch, y downwards."""
    figure = Figure(figsize=(width, height), dpi=110, facecolor=ink.paper)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 10 * width), ylim=(10 * height, 0))
    ax.axis("off")
    return figure, ax


def _box(
    ax: Axes, place: tuple[float, float, float, float], text: str, fill: str, ink: Ink
) -> tuple[float, float, float, float]:
    """A box at (x, y, width, height) with words in it; its place."""
    x, y, width, height = place
    ax.add_patch(
        FancyBboxPatch(
            (x, y), width, height, boxstyle="round,pad=0,rounding_size=1", facecolor=fill,
            edgecolor=ink.line, linewidth=1,
        )
    )  # fmt: skip
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=SMALL + 1, color=ink.line)
    return place


def _arrow(ax: Axes, a: tuple[float, float], b: tuple[float, float], ink: Ink, bend: float = 0.0) -> None:
    ax.add_patch(
        FancyArrowPatch(
            a, b, arrowstyle="-|>", mutation_scale=9, color=ink.line, linewidth=1,
            connectionstyle=f"arc3,rad={bend}", shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip


def _note(ax: Axes, x: float, y: float, text: str, ink: Ink, align: str = "center") -> None:
    ax.text(x, y, text, ha=align, va="center", fontsize=SMALL, color=ink.quiet)


def _right(place: tuple[float, float, float, float]) -> tuple[float, float]:
    return place[0] + place[2], place[1] + place[3] / 2


def _left(place: tuple[float, float, float, float]) -> tuple[float, float]:
    return place[0], place[1] + place[3] / 2


def data_line(ink: Ink = LIGHT) -> Figure:
    """From the video to the score of a method: what is done, and the shape of what comes out."""
    steps = (
        ("video", "frames", "data", "T pictures"),
        ("landmarks,\nROIs", "find the face", "step", "18 boxes"),
        ("optical flow,\nROI motion", "per window", "step", "(36, 50)"),
        ("network\nwith a state", "per frame", "state", "score (T)\nemotion (T, 5)"),
        ("smooth, peaks,\nintervals", "decoding", "step", "onset, apex,\noffset"),
        ("match with\nthe truth", "metrics", "answer", "F1, STRS"),
    )
    figure, ax = _page(11, 1.9, ink)
    width, gap = 14.2, 3.6
    before = None
    for i, (text, above, fill, below) in enumerate(steps):
        place = _box(ax, (1.6 + i * (width + gap), 6, width, 6.4), text, getattr(ink, fill), ink)
        _note(ax, place[0] + width / 2, 4, above, ink)
        _note(ax, place[0] + width / 2, 15.4, below, ink)
        if before:
            _arrow(ax, _right(before), _left(place), ink)
        before = place
    return figure


def mamba_block(ink: Ink = LIGHT) -> Figure:
    """The Mamba block: two maps of the input, a convolution, the selection, the scan, the gate."""
    figure, ax = _page(9, 3.4, ink)
    x = _box(ax, (2, 13, 9, 6), "x\n(L, W)", ink.data, ink)
    maps = _box(ax, (15, 13, 11, 6), "linear", ink.step, ink)
    conv = _box(ax, (31, 5, 15, 6), "causal conv,\nSiLU", ink.step, ink)
    scan = _box(ax, (56, 5, 14, 6), "selective\nscan", ink.state, ink)
    _box(ax, (41, 14, 18, 6), "Δ, B, C\nchosen per frame", ink.state, ink)
    gate = _box(ax, (31, 25, 15, 6), "SiLU", ink.step, ink)
    out = _box(ax, (79, 13, 9, 6), "linear\n→ y", ink.answer, ink)
    _arrow(ax, _right(x), _left(maps), ink)
    _arrow(ax, (26, 15), _left(conv), ink)
    _arrow(ax, (26, 17), _left(gate), ink)
    _arrow(ax, _right(conv), _left(scan), ink)
    _arrow(ax, (44, 11), (46, 14), ink)
    _arrow(ax, (56, 14), (60, 11), ink)
    ax.text(74, 16, "×", ha="center", va="center", fontsize=16, color=ink.line)
    _arrow(ax, _right(scan), (73.6, 14.4), ink)
    _arrow(ax, _right(gate), (73.4, 17.6), ink)
    _arrow(ax, (75.4, 16), _left(out), ink)
    _note(ax, 26.8, 10.4, "u", ink)
    _note(ax, 26.8, 22.4, "z", ink)
    _note(ax, 51, 6.6, "u", ink)
    _note(ax, 63, 3, "the state h lives here", ink)
    _note(ax, 60, 29.4, "the gate", ink)
    return figure


def slow_fast(ink: Ink = LIGHT) -> Figure:
    """ME-TST+: the stem, and per task a fast and a slow path with lateral links; two heads."""
    figure, ax = _page(10, 4.6, ink)
    motion = _box(ax, (1.5, 19, 12, 8), "motion\n18 ROIs\n(36, T)", ink.data, ink)
    stem = _box(ax, (18, 19, 11, 8), "stem\n2 convolutions\n(W, T)", ink.step, ink)
    _arrow(ax, _right(motion), _left(stem), ink)
    for top, task, head in ((3, "spotting", "score\n(T)"), (26, "recognition", "emotion\n(T, 5)")):
        _note(ax, 56, top - 0.6, f"{task} pathway", ink)
        fast_before, slow_before = (29.0, 23.0), (29.0, 23.0)
        for stage in range(3):
            x = 36 + 15 * stage
            fast = _box(ax, (x, top + 1.2, 10.5, 5.4), "fast\nW, T", ink.state, ink)
            slow = _box(ax, (x, top + 11, 10.5, 5.4), "slow\n2W, T/2", ink.state, ink)
            _arrow(ax, fast_before, _left(fast), ink)
            _arrow(ax, slow_before, _left(slow), ink)
            if stage < 2:
                _arrow(ax, (x + 5.2, top + 6.6), (x + 12.8, top + 13), ink, bend=-0.2)
            fast_before, slow_before = _right(fast), _right(slow)
        _box(ax, (86, top + 5.4, 11, 6.4), head, ink.answer, ink)
        _arrow(ax, fast_before, (86, top + 7.4), ink)
        _arrow(ax, slow_before, (86, top + 10), ink)
    _note(ax, 48.7, 12.2, "lateral", ink, "left")
    return figure


def two_questions(ink: Ink = LIGHT) -> Figure:
    """A window that slides over a video and is classified, against a score for every frame."""
    figure = Figure(figsize=(10, 3), dpi=110, facecolor=ink.paper, layout="constrained")
    axes = figure.subplots(1, 2, sharex=True)
    time = np.arange(100) / 30
    on, off = 1.3, 1.47
    motion = np.where((time > on) & (time < off), np.sin(np.pi * (time - on) / (off - on)) ** 2, 0)
    score = np.convolve(motion, np.ones(3) / 3, mode="same")
    for ax, title in zip(axes, ("is this window an ME?", "how much of an ME is this frame?"), strict=True):
        ax.set_facecolor(ink.paper)
        ax.plot(time, motion, color=ink.quiet, linewidth=1.5)
        ax.plot([on, off], [-0.15, -0.15], color="#D55E00", linewidth=5, solid_capstyle="butt")
        ax.set_title(title, color=ink.line, fontsize=SMALL + 2)
        ax.set_xlabel("time (s)", color=ink.line)
        ax.tick_params(colors=ink.line)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.spines["bottom"].set_color(ink.line)
        ax.set(yticks=[], xlim=(0.5, 2.4), ylim=(-0.6, 2))
    for begin, height in ((0.75, 1.75), (0.95, 1.6), (1.55, 1.6), (1.75, 1.75), (1.2, -0.35)):
        colour = ink.line if height < 0 else ink.quiet
        axes[0].plot([begin, begin + 0.37], [height, height], color=colour, linewidth=4)
    _note(axes[0], 0.75, 1.9, "windows of one length slide over the video", ink, "left")
    _note(axes[0], 1.62, -0.35, "what it reports: a window", ink, "left")
    axes[1].plot(time, 0.2 + score, color="#0072B2", linewidth=2)
    axes[1].plot([1.27, 1.5], [-0.35, -0.35], color=ink.line, linewidth=4)
    _note(axes[1], 1.55, 1.0, "a score per frame", ink, "left")
    _note(axes[1], 1.55, -0.35, "read off the score (extensible),\nor one length again (fixed)", ink, "left")
    _note(axes[1], 0.52, -0.15, "the true interval", ink, "left")
    return figure


DIAGRAMS = {
    "data_line": data_line,
    "mamba_block": mamba_block,
    "slow_fast": slow_fast,
    "two_questions": two_questions,
}
"""The pictures by name; each takes `LIGHT` or `DARK`."""
