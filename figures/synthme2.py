"""Redraw the pictures of SynthME 2's heads in the data card: `python figures/synthme2.py`."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from metst_core.plots import save_figure
from metst_core.synthetic import FilmPlan, draw_person, face_of, plan_film, shoot
from metst_core.synthetic.action_units import ACTION_UNITS, UNIT_INDEX, UNITS
from metst_core.synthetic.events import Event
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


def speech() -> Figure:
    """A strip of a film: somebody talks, and a micro-expression rides on it."""
    plan, event = ridden()
    before = max(0, event.onset - 6)
    shown = range(before, min(plan.n_frames, event.offset + 7))
    chosen = np.linspace(shown[0], shown[-1], 10).round().astype(int)
    frames = list(islice(shoot(plan, face_of(0, plan.subject), seed=0), shown[-1] + 1))
    figure = Figure(figsize=(15, 4.6), dpi=80, layout="constrained")
    strip, curves = figure.subplots(2, 1, height_ratios=(1.5, 1.7))
    strip.imshow(np.hstack([frames[t][50:310, 50:270] for t in chosen]))
    strip.set_title(f"seconds {', '.join(f'{t / plan.fps:.2f}' for t in chosen)}", fontsize=9)
    strip.axis("off")
    seconds = np.array(shown) / plan.fps
    at = slice(shown[0], shown[-1] + 1)
    curves.plot(seconds, plan.jaw[at], color="0.6", label="jaw (speech)")
    for name in event.units:
        curves.plot(seconds, plan.me_intensity[at, UNIT_INDEX[name]], label=f"{name} (micro-expression)")
    for t in (event.onset, event.apex, event.offset):
        curves.axvline(t / plan.fps, color="k", lw=0.8, ls=":")
    curves.set(xlabel="time (s); dotted: onset, apex, offset", ylabel="strength (IOD)")
    curves.legend(frameon=False, fontsize=8)
    return figure


def ridden() -> tuple[FilmPlan, Event]:
    """The first micro-expression of .015 IOD or more that lies within speech, over persons of tier interview in order."""
    for index in range(number_of_heads()):
        plan = plan_film(draw_person(0, index), 0, seconds=8, seed=0, prior="dense", tier="interview")
        bouts = [e for e in plan.events if e.kind == "speech"]
        for event in plan.micro_expressions:
            inside = any(b.onset <= event.onset and event.offset <= b.offset for b in bouts)
            if inside and event.strength >= 0.015:
                return plan, event
    raise LookupError("no micro-expression rides on speech")


if __name__ == "__main__":
    drawn = (("synthme2_persons", persons), ("synthme2_units", action_units), ("synthme2_speech", speech))
    for name, draw in drawn:
        save_figure(draw(), FOLDER / f"{name}.png")
