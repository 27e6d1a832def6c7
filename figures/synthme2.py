"""Redraw the pictures of SynthME 2's heads in the data card: `python figures/synthme2.py`."""

from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from metst_core.plots import save_figure
from metst_core.synthetic.action_units import ACTION_UNITS, UNITS
from metst_core.synthetic.head_asset import number_of_heads
from metst_core.synthetic.heads import Head, head

FOLDER = Path(__file__).parent
WEAK, STRONG = 0.02, 0.08  # inter-ocular distances
COLUMNS = 10


def persons() -> Figure:
    """Every head at rest."""
    tiles = [
        cv2.resize(Head(i).render(), (144, 144), interpolation=cv2.INTER_AREA)
        for i in range(number_of_heads())
    ]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % COLUMNS)
    sheet = np.vstack([np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)])
    figure = Figure(figsize=(10, 10 * sheet.shape[0] / sheet.shape[1]), dpi=144)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.imshow(sheet)
    ax.axis("off")
    return figure


def action_units() -> Figure:
    """Each action unit, both sides at once, at a strength of a large micro-expression and of a macro-expression."""
    columns = 6
    rows = -(-len(ACTION_UNITS) // columns)
    figure = Figure(figsize=(2.9 * columns, 1.65 * rows), dpi=80, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for ax, au in zip(axes, ACTION_UNITS, strict=False):
        person = head((7 * au + 5) % number_of_heads())
        faces = [
            person.render({unit.name: strength for unit in UNITS if unit.au == au})[60:300, 40:280]
            for strength in (WEAK, STRONG)
        ]
        ax.imshow(np.hstack(faces))
        ax.set_title(f"AU {au}, {ACTION_UNITS[au].name}: {WEAK:g} and {STRONG:g} IOD", fontsize=8)
    for ax in figure.axes:
        ax.axis("off")
    return figure


if __name__ == "__main__":
    for name, draw in (("synthme2_persons", persons), ("synthme2_units", action_units)):
        save_figure(draw(), FOLDER / f"{name}.png")
