"""Speech as the face shows it: bouts of syllables, each a consonant that closes and a vowel that opens.

Visemes follow the classes of Fisher (J Speech Hear Res, 1968) for consonants and jaw height and lip shape for
vowels; their weights are this project's own drawing.  No action unit here puckers or funnels the lips (AU18,
AU22): round vowels draw them together with AU23, and heads, which can, pucker and funnel them as well
(`mouth_of`).  AU26 is the opening of the jaw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from metst_core.synthetic.action_units import UNITS
from metst_core.synthetic.channels import MOUTH_UNITS
from metst_core.synthetic.conditions import Conditions
from metst_core.synthetic.draws import Quantiles, Stream
from metst_core.synthetic.events import Event
from metst_core.synthetic.persons import Person


class Viseme(NamedTuple):
    """What a sound looks like: AU -> intensity relative to the jaw of a wide vowel (AU26 = 1).

    `mouth` is the same for the channels of `channels.MOUTH_UNITS`.
    """

    sounds: str
    weights: dict[int, float]
    mouth: Mapping[str, float] = MappingProxyType({})


CONSONANTS = (
    Viseme("p b m", {24: 0.45}),
    Viseme("f v", {17: 0.25, 10: 0.2, 25: 0.15}),
    Viseme("th t d n l", {25: 0.3, 26: 0.2}),
    Viseme("s z", {20: 0.2, 25: 0.3, 26: 0.1}),
    Viseme("sh ch j r", {23: 0.2, 25: 0.4, 26: 0.15}, {"funnel": 0.3}),
    Viseme("k g h", {25: 0.3, 26: 0.3}),
    Viseme("w", {23: 0.25, 26: 0.15}, {"pucker": 0.35}),
)
VOWELS = (
    Viseme("a", {25: 0.7, 26: 1.0}),
    Viseme("e", {20: 0.3, 25: 0.6, 26: 0.6}),
    Viseme("i", {12: 0.2, 20: 0.4, 25: 0.4, 26: 0.3}),
    Viseme("o", {23: 0.2, 25: 0.5, 26: 0.7}, {"funnel": 0.3, "pucker": 0.15}),
    Viseme("u", {23: 0.25, 25: 0.25, 26: 0.3}, {"pucker": 0.35, "funnel": 0.2}),
    Viseme("schwa", {25: 0.35, 26: 0.4}),
)

BOUT_SECONDS = Quantiles((0, 0.5, 1), (0.8, 2.5, 7.0))
"""Length of speech between two pauses; assumed."""

_CONSONANT_SHARE = (0.3, 0.5)
_OVERLAP = 0.35
"""Assumed: the consonant's share of a syllable, and how far neighbours run into each other (coarticulation)."""


def plan_bouts(
    draw: Stream, person: Person, conditions: Conditions, n_frames: int, fps: float
) -> list[Event]:
    """When this person speaks: events without movement of their own, apart from each other."""
    share = min(0.9, conditions.speech_share * person.speaking)
    if not share:
        return []
    mean = BOUT_SECONDS.mean
    pause = mean * (1 - share) / share
    bouts: list[Event] = []
    # the film is a cut from a longer talk: it may begin in the middle of a bout
    time = draw.uniform(-mean, pause)
    while time < n_frames / fps:
        length = BOUT_SECONDS.at(draw.uniform())
        onset, offset = max(0, round(time * fps)), min(n_frames - 1, round((time + length) * fps))
        if offset - onset >= 4:
            bouts.append(Event("speech", onset, onset + 1, offset, 0, "", "", 0.0, {}))
        time += length + pause * draw.uniform(0.4, 1.6)
    return bouts


def plan_syllables(
    draw: Stream, person: Person, conditions: Conditions, bouts: Sequence[Event], fps: float
) -> list[Event]:
    """The movements of the mouth in the bouts: events of kind "viseme", named after their sounds."""
    events: list[Event] = []
    size = conditions.speech_jaw * person.articulation
    for bout in bouts:
        start = float(bout.onset)
        while True:
            span = fps / person.syllables_per_second * draw.uniform(0.7, 1.3)
            middle = start + span * draw.uniform(*_CONSONANT_SHARE)
            end = start + span
            if end > bout.offset:
                break
            loud = draw.uniform(0.5, 1.0)
            reach = _OVERLAP * span
            events += [
                _viseme(draw.choice(CONSONANTS), start - reach / 2, middle + reach / 2, size * loud, bout),
                _viseme(draw.choice(VOWELS), middle - reach / 2, end + reach / 2, size * loud, bout),
            ]
            start = end
    return events


def _viseme(viseme: Viseme, start: float, end: float, size: float, bout: Event) -> Event:
    """A viseme between two instants (frames), within its bout and at least two frames long."""
    onset = min(max(bout.onset, round(start)), bout.offset - 2)
    offset = min(max(onset + 2, round(end)), bout.offset)
    apex = min(max(onset + 1, round((onset + offset) / 2)), offset - 1)
    units = {unit.name: size * viseme.weights[unit.au] for unit in UNITS if unit.au in viseme.weights}
    return Event("viseme", onset, apex, offset, 0, "", viseme.sounds, size, units)


_MOUTH = {viseme.sounds: viseme.mouth for viseme in (*CONSONANTS, *VOWELS)}


def mouth_of(events: Sequence[Event], n_frames: int) -> np.ndarray:
    """What the visemes among `events` do beside action units: (n_frames, M) float32, as `channels.MOUTH_UNITS`."""
    names = list(MOUTH_UNITS)
    total = np.zeros((n_frames, len(names)), np.float32)
    for event in events:
        if event.kind == "viseme":
            span = slice(event.onset, min(n_frames, event.offset + 1))
            curve = event.at(np.arange(span.start, span.stop, dtype=float))
            for name, weight in _MOUTH[event.label].items():
                total[span, names.index(name)] += np.float32(weight * event.strength) * curve.astype(
                    np.float32
                )
    return total


def plan_beats(
    draw: Stream, person: Person, conditions: Conditions, bouts: Sequence[Event], fps: float
) -> list[Event]:
    """Words that are underlined: the brows go up (AU 1+2) for a moment; the head nods with them (`life`).

    Brow raisers are the commonest conversational signal (Ekman, About brows, 1979); rate and size are assumed.
    """
    events: list[Event] = []
    for bout in bouts:
        mean = conditions.beats_per_minute * person.beats * (bout.offset - bout.onset) / fps / 60
        for _ in range(draw.happenings(mean)):
            length = min(max(4, round(draw.uniform(0.3, 0.8) * fps)), bout.offset - bout.onset)
            onset = draw.integer(bout.onset, bout.offset - length)
            strength = draw.uniform(0.015, 0.05)
            units = {f"AU{au}{side}": strength * draw.uniform(0.7, 1.0) for au in (1, 2) for side in "LR"}
            rise = max(1, round(length * 0.4))
            events.append(Event("beat", onset, onset + rise, onset + length, 0, "", "", strength, units))
    return events
