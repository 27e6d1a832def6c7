"""Redraw the two pictures of the SynthME data card: `python figures/synthme.py`."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from metst_core.plots import save_figure
from metst_core.synthetic import RELEASES, UNITS, au_field, contact_sheet, identity

FOLDER = Path(__file__).parent
STEP = 12  # pixels between arrows


def action_units() -> Figure:
    """Every action unit as an arrow field on the face (both sides at once), as far as 0.1 IOD moves it."""
    person = identity(RELEASES["SynthME-default"].seed, 0)
    numbers = sorted({unit.au for unit in UNITS if unit.au})
    columns = 6
    rows = -(-len(numbers) // columns)
    figure = Figure(figsize=(2.2 * columns, 2.3 * rows), dpi=90, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    y, x = np.mgrid[STEP // 2 : person.image.shape[0] : STEP, STEP // 2 : person.image.shape[1] : STEP]
    for ax, au in zip(axes, numbers, strict=False):
        field = au_field(person, au) * person.iod * 0.1
        moved = np.hypot(*field[y, x].T).T > 0.3
        ax.imshow(person.image, alpha=0.7)
        ax.quiver(
            x[moved],
            y[moved],
            *field[y[moved], x[moved]].T,
            color="#D55E00",
            angles="xy",
            scale_units="xy",
            scale=0.5,
        )
        ax.set_title(f"AU {au}", fontsize=9)
    for ax in figure.axes:
        ax.axis("off")
    return figure


def identities() -> Figure:
    """The identities of SynthME-default, training and test."""
    release = RELEASES["SynthME-default"]
    sheet = contact_sheet(release.seed, release.n_train + release.n_test)
    figure = Figure(figsize=(10, 10 * sheet.shape[0] / sheet.shape[1]), dpi=90)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.imshow(sheet)
    ax.axis("off")
    return figure


if __name__ == "__main__":
    for name, draw in (("synthme_identities", identities), ("synthme_action_units", action_units)):
        save_figure(draw(), FOLDER / f"{name}.png")
