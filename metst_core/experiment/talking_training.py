"""The training of the weights "aligned": endless draws of micro-expressions, planted in feature space.

Every sample is a stretch of a film of an interview, as it is, mirrored, or run backwards, to whose features the flow of
drawn micro-expressions is added: each unit's field on that person's face times the difference of its intensity over each
step (`talking_films.planted_cells`), times a gain as it was measured against plantings in pixels.  Macro-expressions are
planted as well, and are nothing to be found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from metst_core.aligned import FPS, LAGS, N_CHANNELS, channels_of
from metst_core.experiment.talking_films import SEED, FilmFlow, planted_cells, strength_of_parts
from metst_core.rivals import PartsNetwork
from metst_core.synthetic import (
    Event,
    Stream,
    draw_person,
    intensity_of,
    plan_film,
    plan_micro,
    prior_named,
)
from metst_core.tables import CLASSES
from metst_core.workers import one_thread

NEUTRAL = len(CLASSES) - 1


@dataclass(frozen=True)
class Draws:
    """How samples are drawn.

    frames, events: of a stretch, and how many movements on average.  strengths: IOD, in between in equal ratios.
    macros, macro_strengths: the same of macro-expressions.
    gain: of what is planted, drawn evenly.  noise: standard deviation added to every cell and step, pixels.
    plain, none: movements of which a part (upper, lower face) moves by `plain` or more are to be found there; those below
        `none` are nothing; in between (IOD) neither counts.
    """

    frames: int = 180
    events: float = 1.3
    strengths: tuple[float, float] = (0.007, 0.035)
    macros: float = 0.7
    macro_strengths: tuple[float, float] = (0.03, 0.13)
    gain: tuple[float, float] = (0.55, 0.9)
    noise: float = 0.02
    plain: float = 0.005
    none: float = 0.0025


@dataclass(frozen=True)
class Fit:
    """How the network is trained."""

    hidden: int = 48
    depth: int = 5
    steps: int = 1000
    batch: int = 14
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = SEED


class Shape(NamedTuple):
    """A movement of strength 1: intensity per frame `(L, U)`, last frame of the interval, emotion (index of `CLASSES`)."""

    intensity: np.ndarray
    offset: int
    emotion: int


class Sample(NamedTuple):
    """Channels `(T, C)`, targets and weights of both parts `(T, 2)`, class `(T,)`."""

    channels: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    classes: np.ndarray


def movements(n_persons: int, first: int, seed: int = SEED) -> list[tuple[Shape, Event]]:
    """Micro-expressions as all three priors draw them, for `n_persons` persons from `first` on."""
    found = []
    for index in range(first, first + n_persons):
        person = draw_person(seed, index)
        for number, name in enumerate(_PRIORS):
            prior = dataclasses.replace(prior_named(name), me_per_minute=30.0, rate_spread=0.0)
            draw = Stream(seed, _KEY, index, number)
            found += [
                (shape_of(event), event) for event in plan_micro(draw, person, prior, round(30 * FPS), FPS)
            ]
    return found


def macro_movements(n_persons: int, first: int, seed: int = SEED) -> list[Shape]:
    """Macro-expressions as all three priors draw them, for `n_persons` persons from `first` on."""
    found = []
    for index in range(first, first + n_persons):
        for name in _PRIORS:
            prior = dataclasses.replace(prior_named(name), me_per_minute=10.0, rate_spread=0.0)
            plan = plan_film(draw_person(seed, index), 0, 30.0, FPS, seed, prior)
            found += [shape_of(event) for event in plan.events if event.kind == "macro"]
    return found


def shape_of(event: Event) -> Shape:
    """An event as a movement of strength 1 that begins at frame 0."""
    moved = event._replace(onset=0, apex=event.apex - event.onset, offset=event.offset - event.onset)
    intensity = intensity_of([moved], moved.offset + 1 + max(LAGS)) / event.strength
    return Shape(
        intensity, moved.offset, CLASSES.index(event.emotion) if event.emotion in CLASSES else NEUTRAL
    )


_PRIORS = ("casme3", "sammlv", "dense")
_KEY = 0x54414C4B  # "TALK": no other stream has it


class Background:
    """A film in one of its four ways: as it is, mirrored, backwards, or both."""

    def __init__(self, film: FilmFlow, mirrored: bool, backwards: bool, draws: Draws) -> None:
        self.cells, self.fields = film.cells, film.fields
        marks = marks_of(film, draws)
        if backwards:
            self.cells, marks = reversed_cells(self.cells), [each[::-1] for each in marks]
        if mirrored:
            self.cells, self.fields = mirrored_cells(self.cells), mirrored_cells(self.fields)
        self.target, self.weight, self.classes = (np.ascontiguousarray(each) for each in marks)

    def draw(
        self, shapes: Sequence[Shape], draws: Draws, rng: np.random.Generator, macros: Sequence[Shape] = ()
    ) -> Sample:
        """A stretch with movements planted, and of `macros`, which are not to be found."""
        n, total = draws.frames, len(self.cells)
        start = int(rng.integers(0, max(1, total - n + 1)))
        span = slice(start, start + n)
        cells = self.cells[span].astype(np.float32)
        target, weight, classes = (each[span].copy() for each in (self.target, self.weight, self.classes))
        for _ in range(rng.poisson(draws.events)):
            shape = shapes[int(rng.integers(len(shapes)))]
            strength = float(np.exp(rng.uniform(*np.log(draws.strengths))))
            onset = int(rng.integers(0, max(1, len(cells) - shape.offset)))
            if target[max(0, onset - 6) : onset + shape.offset + 7].any():
                continue
            add_movement(cells, (target, weight, classes), self.fields, shape, strength, onset,
                         float(rng.uniform(*draws.gain)), draws)  # fmt: skip
        for _ in range(rng.poisson(draws.macros) if macros else 0):
            shape = macros[int(rng.integers(len(macros)))]
            strength = float(np.exp(rng.uniform(*np.log(draws.macro_strengths))))
            onset = int(
                rng.integers(-shape.offset // 2, len(cells) - shape.offset // 2)
            )  # some are cut off by an end
            if target[max(0, onset - 6) : max(0, onset + shape.offset + 7)].any():
                continue
            intensity = strength * shape.intensity[max(0, -onset) :][: len(cells) - max(0, onset)]
            if len(intensity) > max(LAGS):
                first = max(0, onset)
                added = planted_cells(self.fields, intensity)
                cells[first : first + len(intensity)] += float(rng.uniform(*draws.gain)) * added
        cells += rng.normal(0, draws.noise, cells.shape).astype(np.float32)
        sample = Sample(channels_of(cells), target, weight, classes)
        return Sample(*(_padded(each, n) for each in sample))


def add_movement(
    cells: np.ndarray, marks: tuple[np.ndarray, np.ndarray, np.ndarray], fields: np.ndarray, shape: Shape,
    strength: float, onset: int, gain: float, draws: Draws,
) -> np.ndarray:  # fmt: skip
    """Add a movement to cells `(T, 3, 12, 12, 2)` and to its targets, weights and classes; how strong it is in each part `(2,)`."""
    length = min(len(shape.intensity), len(cells) - onset)
    intensity = strength * shape.intensity[:length]
    cells[onset : onset + length] += gain * planted_cells(fields, intensity)
    parts = strength_of_parts(fields, intensity.max(axis=0))
    mark(marks, parts, onset, onset + shape.offset, shape.emotion, draws)
    return parts


def mark(
    marks: tuple[np.ndarray, np.ndarray, np.ndarray], parts: np.ndarray, onset: int, offset: int, emotion: int, draws: Draws
) -> None:  # fmt: skip
    """Write a movement, `parts (2,)` strong in upper and lower face, into targets, weights and classes."""
    target, weight, classes = marks
    span = slice(max(0, onset), offset + 1)
    for i, strength in enumerate(parts.tolist()):
        if strength >= draws.plain:
            target[span, i] = 1.0
        elif strength >= draws.none:
            weight[span, i] = 0.0
    if (parts >= draws.plain).any():
        classes[span] = emotion


def marks_of(film: FilmFlow, draws: Draws) -> list[np.ndarray]:
    """Targets, weights `(T, 2)` and classes `(T,)` of the micro-expressions that a film holds; no weight without a face."""
    n = film.n_frames
    target, weight = np.zeros((n, 2), np.float32), np.ones((n, 2), np.float32)
    classes = np.full(n, NEUTRAL, np.int64)
    for row in film.truth.itertuples():
        units = film.intensity[row.onset : row.offset + 1].max(axis=0)
        mark((target, weight, classes), strength_of_parts(film.fields, units), row.onset, row.offset,
             CLASSES.index(row.emotion), draws)  # fmt: skip
    weight[~film.has_face] = 0.0
    return [target, weight, classes]


def mirrored_cells(cells: np.ndarray) -> np.ndarray:
    """Cells `(..., 12, 12, 2)` as a mirror shows them."""
    flipped = cells[..., ::-1, :].copy()
    flipped[..., 0] *= -1
    return flipped


def reversed_cells(cells: np.ndarray) -> np.ndarray:
    """Cells `(T, 3, ...)` of the film run backwards: the step from t to t - d is that from t - d to t, turned round."""
    backwards = np.zeros_like(cells)
    n = len(cells)
    for i, lag in enumerate(LAGS):
        if n > lag:
            backwards[lag:, i] = -cells[lag:, i][::-1]
    return backwards


def _padded(values: np.ndarray, n: int) -> np.ndarray:
    """Values of n frames; what lies beyond the film is 0, without weight."""
    if len(values) == n:
        return values
    return np.concatenate([values, np.zeros((n - len(values), *values.shape[1:]), values.dtype)])


def fit(
    films: Sequence[FilmFlow], how: Fit, draws: Draws, progress: bool = True
) -> tuple[PartsNetwork, list[float]]:
    """A network trained on these films, and its loss, the mean of every twentieth of the way."""
    shapes = [shape for shape, _ in movements(24, 1000, how.seed)]
    macros = macro_movements(12, 1000, how.seed)
    ways = [Background(film, m, b, draws) for film in films for m in (False, True) for b in (False, True)]
    rng = np.random.default_rng(how.seed)
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(how.seed)
        network = PartsNetwork(
            len(CLASSES), sum(N_CHANNELS.values()), N_CHANNELS["upper"], how.hidden, how.depth
        ).train()
        optimiser = torch.optim.AdamW(network.parameters(), how.learning_rate, weight_decay=how.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, how.learning_rate, total_steps=how.steps)
        losses = []
        for _ in tqdm(range(how.steps), desc="training", unit="step", disable=not progress):
            batch = [
                ways[int(rng.integers(len(ways)))].draw(shapes, draws, rng, macros) for _ in range(how.batch)
            ]
            optimiser.zero_grad()
            loss = loss_of(network, batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
    parts = np.array_split(np.array(losses), min(20, len(losses)))
    return network.eval(), [float(part.mean()) for part in parts]


def loss_of(network: PartsNetwork, batch: Sequence[Sample]) -> torch.Tensor:
    """Cross entropy of both scores, and a little of the classes (frames with a movement count ten times)."""
    channels, target, weight, classes = (
        torch.from_numpy(np.stack(each)) for each in zip(*batch, strict=True)
    )
    scores, logits = network.parts(channels.transpose(1, 2))
    each = F.binary_cross_entropy_with_logits(scores.transpose(1, 2), target, reduction="none")
    spotting = (each * weight).sum() / weight.sum().clamp(min=1)
    naming = F.cross_entropy(logits.flatten(0, 1), classes.flatten(), reduction="none")
    counts = torch.where(classes == NEUTRAL, 0.1, 1.0).flatten() * weight.amax(dim=2).flatten()
    return spotting + 0.1 * (naming * counts).sum() / counts.sum().clamp(min=1)
