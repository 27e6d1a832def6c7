"""What all figures share: colours, labels, empty axes and the marks of micro-expressions.

Colours are colour-blind safe (Okabe and Ito 2008) and fixed: one per emotion, one per ROI, everywhere.  Blue is
a negative relation, orange a positive one, purple a strength without sign, also in the interactive explorer.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.text import Text

from metst_core.errors import InputError
from metst_core.files import atomic_path, printable
from metst_core.rois import select_rois
from metst_core.tables import EMOTIONS

EMOTION_COLOURS = {
    "negative": "#D55E00",
    "positive": "#009E73",
    "surprise": "#0072B2",
    "others": "#CC79A7",
    "neutral": "#999999",
}
TRUTH = "#444444"
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
SIGNED = LinearSegmentedColormap.from_list("signed", ["#0072B2", "#f7f7f7", "#D55E00"])
STRENGTH = LinearSegmentedColormap.from_list("strength", ["#f7f7f7", "#5e3c99"])
SMALL = 8
"""Size of the letters of a legend and of marks, points."""


_METHOD_LABELS = {
    "metst": "ME-TST",
    "metst_plus": "ME-TST+",
    "metst_18": "ME-TST, 18 ROIs",
    "metst_plus_5": "ME-TST+, 5 ROIs",
    "metst_plus_moving": "ME-TST+, moving reference",
    "boosting_vrme": "BoostingVRME",
    "patch": "patch, no state",
    "lstm": "LSTM",
    "tcn": "TCN",
    "transformer": "Transformer",
}


def metric_label(name: str) -> str:
    """A metric's name as it is written in text: "spotting F1", "STRS"."""
    words = {"f1": "F1", "strs": "STRS", "uf1": "UF1", "uar": "UAR"}
    return " ".join(words.get(word, word) for word in name.split("_"))


def method_label(name: str) -> str:
    """A method's name as it is written in text: "ME-TST+", "sliding window"."""
    return _METHOD_LABELS.get(name, printable(name).replace("_", " "))


def words(name: str) -> str:
    """A name of the code as text: `left_brow` is "left brow"."""
    return name.replace("_", " ")


def dark(roi: str) -> tuple[float, float, float]:
    """A ROI's colour, dark enough for letters."""
    red, green, blue = ROI_COLOURS[roi]
    return 0.75 * red, 0.75 * green, 0.75 * blue


class PlainFigure(Figure):
    """A figure whose every text is shown as it is: a name may hold a `$`, a control character or odd bytes."""

    def draw(self, renderer: Any) -> None:
        with rc_context({"text.parse_math": False}):  # of texts that are made on the way
            for text in self.findobj(Text):
                text.set_parse_math(False)
                shown = printable(text.get_text())
                if shown != text.get_text():
                    text.set_text(shown)
            super().draw(renderer)


def save_figure(figure: Figure, path: str | Path, **options: Any) -> Path:
    """Write a figure as a picture, atomically; options as those of `Figure.savefig`."""
    path = check_picture(path)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), **options)
    return path


def check_picture(path: str | Path) -> Path:
    """`path`, if its suffix names a format in which pictures can be written; `InputError` with the formats else."""
    path = Path(path)
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix[1:].lower() not in known:
        raise InputError(
            f"{path}: no picture can be written under this name; end it with one of {', '.join(f'.{k}' for k in known)}"
        )
    return path


def blank(width: float, height: float, rows: int, columns: int, **grid: Any) -> tuple[Figure, list]:
    """A figure outside pyplot's registry (nothing to close) and its axes as a flat list."""
    figure = PlainFigure(figsize=(width, height), dpi=110, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **grid)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, list(axes.flat)


def shade(axes: Axes, mes: pd.DataFrame | None, fps: float, alpha: float = 0.15) -> None:
    """Shade the intervals of a table, in their emotions' colours, over axes of seconds."""
    for me in () if mes is None else mes.itertuples():
        span = (me.onset / fps, (me.offset + 1) / fps)
        axes.axvspan(*span, color=EMOTION_COLOURS[me.emotion], alpha=alpha, linewidth=0)


def emotion_handles(emotions: Iterable[str] = EMOTIONS, alpha: float = 1.0) -> list[Patch]:
    """What a legend shows for emotions."""
    return [Patch(facecolor=EMOTION_COLOURS[name], alpha=alpha, label=name) for name in emotions]
