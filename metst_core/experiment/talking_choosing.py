"""What the persons who choose decide for the weights "aligned": thresholds, gates and the confidence.

Movements are planted into the features of their interviews; false finds are counted there and in calm films full of
macro-expressions.  For each part of the face and each gate (a limit of its unrest) the
score is moved until so few false finds are left in the judged minutes that one more would still be allowed (few minutes are a
small sample, and the lowest count of many gates a lucky one); the gate is the widest with which half of the plain movements
there are touched.  Nothing of this is decided by the persons who report.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metst_core.aligned import FPS, PARTS, channels_of, unrest_of_cells
from metst_core.decoding import smooth, spaced_peaks
from metst_core.experiment.talking_card import PLAIN
from metst_core.experiment.talking_films import SEED, FilmFlow
from metst_core.experiment.talking_training import (
    Background,
    Draws,
    Shape,
    add_movement,
    mirrored_cells,
    movements,
)
from metst_core.footage import hits
from metst_core.inference import (
    Calibration,
    TrainedModel,
    bundled_judgement,
    decode_trace,
    predict_parts,
    unrest_of,
)
from metst_core.rivals import PartsNetwork

ALLOWED = {"upper": 0.7, "lower": 0.3}
"""False finds per judged minute that each part may add."""

HALF, LEAST = 0.5, 0.2
"""The share of them that a gate is to leave touched, and the share below which a part is not judged at all."""

FEW = 20
"""Movements below which no gate is chosen by them."""

THRESHOLD = 0.5
"""Of the smoothed score: the network's scores are moved until it is right for both parts."""

WINDOW = 50  # frames over which unrest is averaged, as with the other weights
_COPIES = 6  # plantings of each film
_PER_MINUTE = 20.0
_BIASES = np.round(np.arange(-5.0, 3.01, 0.25), 2)
_GATES = np.round(np.geomspace(0.1, 4.0, 16), 3)
_LOWEST = 0.1  # peaks of the smoothed score that the confidence is fitted on
_NEVER = 0.0


@dataclass(frozen=True, eq=False)
class Heard:
    """A film of n frames, with movements planted or not, as the network hears it.

    logits `(n, 2)`, probabilities `(n, 5)`, unrest `(n, 2)` averaged, visible `(n,)` bool (a face that can be judged).
    rendered: intervals `(m, 2)` of what the film itself holds.  planted `(k, 3)`: onset, apex, offset; part `(k,)`: 0 or 1, the
    one that moves more; strength `(k,)`, IOD.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    unrest: np.ndarray
    visible: np.ndarray
    rendered: np.ndarray
    planted: np.ndarray
    part: np.ndarray
    strength: np.ndarray

    def judged(self, part: int, gate: float) -> np.ndarray:
        """Where a part is judged with this gate, `(n,)` bool."""
        return self.visible & (self.unrest[:, part] <= gate)

    def peaks(self, part: int, gate: float, bias: float, k_p: int) -> np.ndarray:
        """Apexes of the finds of one part."""
        score = np.where(self.judged(part, gate), 1 / (1 + np.exp(-(self.logits[:, part] + bias))), 0.0)
        return spaced_peaks(smooth(score, k_p), THRESHOLD, max(1, k_p))


def heard_films(
    network: PartsNetwork, films: Sequence[FilmFlow], gain: float, seed: int = SEED
) -> tuple[list[Heard], list[Heard]]:
    """The films as they are and mirrored, and `_COPIES` of each with movements planted."""
    shapes = [shape for shape, _ in movements(12, 2000, seed)]
    rng = np.random.default_rng([seed, 1])
    flat, planted = [], []
    for film in films:
        for cells in (film.cells, mirrored_cells(film.cells)):
            flat.append(_heard(network, film, cells.astype(np.float32)))
        planted += [_planted(network, film, shapes, gain, rng) for _ in range(_COPIES)]
    return flat, planted


def _planted(
    network: PartsNetwork, film: FilmFlow, shapes: Sequence[Shape], gain: float, rng: np.random.Generator
) -> Heard:
    draws = Draws()
    way = Background(film, False, False, draws)
    cells = film.cells.astype(np.float32)
    marks = way.target.copy(), way.weight.copy(), way.classes.copy()
    taken = [(row.onset, row.offset) for row in film.truth.itertuples()]
    rows, parts, strengths = [], [], []
    for _ in range(max(1, round(_PER_MINUTE * film.n_frames / FPS / 60))):
        shape = shapes[int(rng.integers(len(shapes)))]
        strength = float(np.exp(rng.uniform(*np.log(draws.strengths))))
        onset = int(rng.integers(0, max(1, film.n_frames - shape.offset - 1)))
        end = onset + shape.offset
        if any(onset - 10 <= b and end + 10 >= a for a, b in taken) or end >= film.n_frames:
            continue
        moved = add_movement(cells, marks, film.fields, shape, strength, onset, gain, draws)
        taken.append((onset, end))
        rows.append((onset, onset + int(shape.intensity.sum(axis=1).argmax()), end))
        parts.append(int(moved.argmax()))
        strengths.append(strength)
    return _heard(
        network, film, cells, np.array(rows, int).reshape(-1, 3), np.array(parts, int), np.array(strengths)
    )


def _heard(
    network: PartsNetwork, film: FilmFlow, cells: np.ndarray, planted: np.ndarray | None = None,
    part: np.ndarray | None = None, strength: np.ndarray | None = None,
) -> Heard:  # fmt: skip
    scores, probabilities = predict_parts(network, channels_of(cells))
    scores = np.clip(scores, 1e-9, 1 - 1e-9)
    unrest = unrest_of(unrest_of_cells(cells), WINDOW)
    everywhere = replace(bundled_judgement(), unrest=dict.fromkeys(PARTS, np.inf))
    visible = film.has_face & everywhere(np.zeros((film.n_frames, 2)), film.seen)["upper"].to_numpy()
    rendered = film.truth[["onset", "offset"]].to_numpy(int).reshape(-1, 2)
    none = np.zeros(0)
    return Heard(
        np.log(scores / (1 - scores)), probabilities, unrest, visible, rendered,
        np.zeros((0, 3), int) if planted is None else planted,
        none.astype(int) if part is None else part, none if strength is None else strength,
    )  # fmt: skip


def gate_of(flat: Sequence[Heard], planted: Sequence[Heard], part: int, k_p: int) -> dict[str, Any]:
    """Gate and bias of a part, and what they were chosen by: a row for every gate."""
    rows = []
    for gate in _GATES.tolist():
        judged = sum(int(film.judged(part, gate).sum()) for film in flat)
        minutes = judged / FPS / 60
        false = [(bias, _false_finds(flat, part, gate, bias, k_p)) for bias in _BIASES.tolist()]
        few = [bias for bias, n in false if n + 1 <= ALLOWED[PARTS[part]] * minutes]
        if not few:
            continue
        bias = max(few)
        touched, n = _touched(planted, part, gate, bias, k_p)
        rows.append({
            "gate": gate, "bias": bias, "judged": judged / sum(len(f.visible) for f in flat), "minutes": minutes,
            "false": dict(false)[bias], "n": n, "touched": touched,
        })  # fmt: skip
    known = [row for row in rows if row["n"] >= FEW]
    if not known:
        return {"gate": _NEVER, "bias": float(_BIASES[0]), "rows": rows}
    wide = [row for row in known if row["touched"] >= HALF * row["n"]]
    best = wide[-1] if wide else max(known, key=lambda row: row["touched"] / row["n"])
    gate = best["gate"] if best["touched"] >= LEAST * best["n"] else _NEVER
    return {"gate": gate, "bias": best["bias"], "rows": rows}


def _false_finds(films: Sequence[Heard], part: int, gate: float, bias: float, k_p: int) -> int:
    """Finds in films as they are that lie in no micro-expression."""
    return sum(
        int((~_inside(film.peaks(part, gate, bias, k_p), film.rendered).any(axis=1)).sum()) for film in films
    )


def _touched(films: Sequence[Heard], part: int, gate: float, bias: float, k_p: int) -> tuple[int, int]:
    """How many of the plain movements of a part, with their apex judged, are touched; and how many there are."""
    touched = n = 0
    for film in films:
        mine = (film.part == part) & (film.strength >= PLAIN)
        mine &= film.judged(part, gate)[film.planted[:, 1]] if len(film.planted) else mine
        inside = _inside(film.peaks(part, gate, bias, k_p), film.planted[mine][:, [0, 2]])
        touched += int(inside.any(axis=0).sum())
        n += int(mine.sum())
    return touched, n


def _inside(apexes: np.ndarray, intervals: np.ndarray) -> np.ndarray:
    """Which apexes `(a,)` lie in which intervals `(m, 2)`: `(a, m)` bool."""
    inside: np.ndarray = (apexes[:, None] >= intervals[None, :, 0]) & (
        apexes[:, None] <= intervals[None, :, 1]
    )
    return inside


def chosen(
    network: PartsNetwork, flat: Sequence[Heard], planted: Sequence[Heard], name: str
) -> tuple[TrainedModel, dict[str, Any]]:
    """The model with threshold, gates and confidence, and what they were chosen by.

    The biases are moved inside `network`, so that one threshold is right for both parts.
    """
    lengths = np.concatenate([film.planted[:, 2] - film.planted[:, 0] for film in planted])
    k_p = int((np.median(lengths) + 1) / 2)
    gates = {part: gate_of(flat, planted, i, k_p) for i, part in enumerate(PARTS)}
    for i, part in enumerate(PARTS):
        assert network.score_head.bias is not None
        network.score_head.bias.data[i] += gates[part]["bias"]
    model = TrainedModel(
        network, k_p=k_p, threshold=THRESHOLD, window=WINDOW, phases=1, name=name,
        judged={part: float(gates[part]["gate"]) for part in PARTS},
    )  # fmt: skip
    low = replace(model, threshold=_LOWEST)
    scores, found = [], []
    for film in itertools.chain(planted):
        moved = 1 / (1 + np.exp(-(film.logits + [gates[part]["bias"] for part in PARTS])))
        judged = np.column_stack([film.judged(i, gates[part]["gate"]) for i, part in enumerate(PARTS)])
        table = decode_trace(low, np.where(judged, moved, 0).max(axis=1), film.probabilities)
        ends = table[["onset", "apex", "offset"]].to_numpy(int)
        truth = np.concatenate([film.planted, film.rendered[:, [0, 0, 1]]])
        matched = [bool(hits(ends[[i]], truth)[0].any()) for i in range(len(ends))]
        scores += table["score"].tolist()
        found += matched
    hit = np.array(found, bool)
    if 0 < hit.sum() < len(hit):
        evidence = {
            "n_intervals": len(hit),
            "n_true": int(hit.sum()),
            "persons": "synthetic",
            "of": "planted features",
        }
        model = replace(model, calibration=Calibration.fit(np.array(scores), hit, evidence))
    return model, gates
