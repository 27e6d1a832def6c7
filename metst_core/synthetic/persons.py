"""Who somebody is: the habits of a person, drawn once and kept in all of that person's films.

Habits that shape micro-expressions are *ranks* (0..1) in the population: a person's draws scatter around the
person's own rank, and over many persons the population is exactly that of the prior (`Stream.near`).  The
habits are independent of a person's looks.  Spread between persons is in no coding sheet but for the number of
micro-expressions; where no source stands beside a number, it is assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from metst_core.checks import whole_number
from metst_core.synthetic.action_units import ACTION_UNITS
from metst_core.synthetic.draws import Quantiles, Stream
from metst_core.synthetic.priors import LABEL_UNITS
from metst_core.synthetic.set_tables import numbers_text

FILM_KEY = 0x53594E32  # "SYN2": no stream of version 1 has it

_HABITS, _FILM = range(2)


@dataclass(frozen=True)
class Person:
    """The habits of a person.

    * `amplitude`, `tempo`: rank of the strength and of the slowness of this person's expressions, 0..1
    * `me_rate`, `blink_rate`, `gaze_rate`, `speaking`, `head_range`, `head_pace`, `beats`: how many times as
      much as the average person this one shows micro-expressions, blinks, looks to the side, speaks, turns
      the head (how far, how often), and underlines words with head and brows
    * `side`, `side_habit`: the side of the face ("L" or "R" of the image) that one-sided expressions are
      mostly on, and the share that is; it is also the stronger side of two-sided ones
    * `liking`: AU -> how many times as often as others this person uses it
    * `articulation`, `syllables_per_second`: how far the mouth moves in speech (1 = average), and how fast
    * `blink_seconds`: mean length of a blink
    * `rest`: unit -> intensity of the face at rest (IOD)
    """

    index: int
    amplitude: float
    tempo: float
    me_rate: float
    blink_rate: float
    gaze_rate: float
    speaking: float
    head_range: float
    head_pace: float
    beats: float
    side: str
    side_habit: float
    liking: dict[int, float]
    articulation: float
    syllables_per_second: float
    blink_seconds: float
    rest: dict[str, float]


_ME_RATE = Quantiles((0, 0.25, 0.5, 0.75, 0.95, 1), (0.11, 0.35, 0.65, 1.2, 3.0, 6.3))
"""MEs of a subject over the mean: ends as in CAS(ME)^3 (1 and 57, mean 9.1); the shape between is assumed."""

_BLINK_RATE = Quantiles((0, 0.05, 0.25, 0.5, 0.75, 0.95, 1), (0.15, 0.3, 0.55, 0.85, 1.25, 2.2, 3.2))
"""Skewed as the log-normal of Bentivoglio et al. (Movement Disorders, 1997); the quantiles are assumed."""

_ABOUT_ONE = Quantiles((0, 0.25, 0.5, 0.75, 1), (0.4, 0.75, 0.95, 1.2, 1.9))
"""Assumed."""

_LIKING = Quantiles((0, 0.25, 0.5, 0.75, 0.95, 1), (0.03, 0.2, 0.6, 1.5, 4.0, 8.0))
"""Assumed: a favourite AU comes many times as often as one that is not in the repertoire."""

_SYLLABLES = Quantiles((0, 0.5, 1), (3.5, 4.5, 6.0))
"""Per second of speech: mouths open and close 2 to 7 times (Chandrasekaran et al., PLoS Comput Biol, 2009)."""

_REST_UNITS = (4, 7, 12, 14, 15, 17, 24)
"""AUs that a face at rest may hold a little; assumed."""


def stream_of(seed: int, *key: int) -> Stream:
    """The stream of a film's concern: keys of one seed never meet those of version 1."""
    return Stream(seed, FILM_KEY, _FILM, *key)


def draw_person(seed: int, index: int) -> Person:
    """Person number `index` (from 0) of the set with this seed; a pure function."""
    seed, index = whole_number("seed", seed, 0), whole_number("index", index, 0)
    draw = Stream(seed, FILM_KEY, _HABITS, index)

    def times(spread: Quantiles) -> float:
        return spread.at(draw.uniform()) / spread.mean

    return Person(
        index,
        amplitude=draw.uniform(),
        tempo=draw.uniform(),
        me_rate=times(_ME_RATE),
        blink_rate=times(_BLINK_RATE),
        gaze_rate=times(_ABOUT_ONE),
        speaking=times(_ABOUT_ONE),
        head_range=min(1.0, draw.uniform(0.3, 1.1)),
        head_pace=times(_ABOUT_ONE),
        beats=times(_ABOUT_ONE),
        side=draw.choice("LR"),
        side_habit=draw.uniform(0.55, 0.95),
        liking={au: _LIKING.at(draw.uniform()) for au in LABEL_UNITS},
        articulation=draw.uniform(0.6, 1.4),
        syllables_per_second=_SYLLABLES.at(draw.uniform()),
        blink_seconds=draw.uniform(0.18, 0.32),
        rest=_draw_rest(draw),
    )


def _draw_rest(draw: Stream) -> dict[str, float]:
    """One or two AUs held at up to .02 IOD, a little unlike on the two sides; assumed."""
    rest: dict[str, float] = {}
    for _ in range(draw.integer(1, 2)):
        au = draw.choice(_REST_UNITS)
        strength = draw.uniform(0.002, 0.02)
        for side in ("L", "R") if ACTION_UNITS[au].bilateral else ("",):
            rest[f"AU{au}{side}"] = strength * draw.uniform(0.7, 1.0)
    return rest


def persons_table(persons: Sequence[Person], ids: Sequence[str]) -> pd.DataFrame:
    """One row per person: `subject` and every habit, numbers as text with six digits (same bytes everywhere)."""

    def text(value: object) -> str:
        if isinstance(value, dict):
            return numbers_text(value)
        return f"{value:.6f}" if isinstance(value, float) else str(value)

    names = [name for name in Person.__dataclass_fields__ if name != "index"]
    rows = [
        (subject, *(text(getattr(person, name)) for name in names))
        for subject, person in zip(ids, persons, strict=True)
    ]
    return pd.DataFrame(rows, columns=["subject", *names])
