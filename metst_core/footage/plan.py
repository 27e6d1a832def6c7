"""What is planted in a film, where and how strong; and what cannot be planted, and why."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metst_core.checks import number_between, whole_number
from metst_core.errors import InputError
from metst_core.footage.films import Film
from metst_core.footage.track import Track
from metst_core.synthetic import Event, Prior, Stream, draw_person, plan_micro, prior_named

SHAM = 0.0004
"""Strength of a sham planting, inter-ocular distances: frames are resampled as in any other, and nothing can be seen."""

STRENGTHS = (0.004, 0.035)
"""Weakest and strongest apex where nobody says, inter-ocular distances: the range of the synthetic faces' MEs."""

_KEY = 0x504C414E  # no stream of the synthetic faces has it
_TRIES = 50  # plans without any ME before one gives up
_SLOWEST = 10.0  # frames per second; below, a short ME is a single frame


@dataclass(frozen=True)
class Manner:
    """How micro-expressions are planted: the same for all films of a set.

    prior: a name of `synthetic.PRIORS`; lengths, action units and sides are drawn by it, and how often, unless
        `per_minute` says.
    strengths: weakest and strongest apex, inter-ocular distances; in between in equal ratios, in random order.
    sham: everything as ever, but each of the strength `SHAM`.
    """

    prior: str = "dense"
    strengths: tuple[float, float] = STRENGTHS
    per_minute: float | None = None
    seed: int = 0
    sham: bool = False

    def __post_init__(self) -> None:
        prior_named(self.prior)
        try:
            low, high = (number_between("strengths", each, 1e-5, 0.1) for each in self.strengths)
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"strengths is {self.strengths!r}; give the weakest and the strongest, such as {STRENGTHS}"
            ) from error
        if low > high:
            raise InputError(f"strengths: {low:g} to {high:g} is not in rising order; exchange them")
        object.__setattr__(self, "strengths", (low, high))
        object.__setattr__(self, "seed", whole_number("seed", self.seed, 0))
        if self.per_minute is not None:
            number_between("per_minute", self.per_minute, 0.1, 60)

    def note(self) -> dict[str, Any]:
        """All of it as plain values."""
        return dataclasses.asdict(self) | {"strengths": list(self.strengths)}

    @property
    def spread(self) -> Prior:
        """The prior with the density that was asked for."""
        prior = prior_named(self.prior)
        if self.per_minute is None:
            return prior
        return dataclasses.replace(prior, me_per_minute=self.per_minute, rate_spread=0.0)


def plan_events(film: Film, manner: Manner, n_frames: int, fps: float, turn: int = 0) -> list[Event]:
    """The MEs for a film of this length, in order of time: at least one.

    They depend on the seed, the names of the film and `turn` alone, not on what the film shows or on other films.
    """
    if fps < _SLOWEST:
        raise InputError(
            f"{film.path}: {fps:.3g} frames per second, too few to plant anything that lasts half a second; record at "
            "25 or more"
        )
    person = draw_person(manner.seed, _number(film.subject))
    for attempt in range(_TRIES):
        draw = Stream(manner.seed, _KEY, _number(film.subject), _number(film.video), turn, attempt)
        drawn = plan_micro(draw, person, manner.spread, n_frames, fps)
        if drawn:
            return with_strengths(drawn, manner, draw)
    raise InputError(
        f"{film.path}: the film is too short for the prior {manner.prior!r}, which plants "
        f"{manner.spread.me_per_minute:g} a minute; give a longer film, or per_minute"
    )


def with_strengths(events: Sequence[Event], manner: Manner, draw: Stream) -> list[Event]:
    """The events with strengths in equal ratios from the weakest to the strongest, in random order."""
    low, high = (SHAM, SHAM) if manner.sham else manner.strengths
    n = len(events)
    ladder = np.geomspace(low, high, n).tolist() if n > 1 else [float(np.sqrt(low * high))]
    scaled = []
    for event in events:
        strength = ladder.pop(draw.integer(0, len(ladder) - 1))
        units = {name: peak * strength / event.strength for name, peak in event.units.items()}
        scaled.append(event._replace(strength=strength, units=units))
    return scaled


def sort_out(events: Sequence[Event], track: Track) -> tuple[list[Event], list[tuple[Event, str]]]:
    """The events that can be planted, and the others with the reason (a name of `track.REASONS`)."""
    can, cannot = [], []
    for event in events:
        reason = track.reason(event.onset, event.offset)
        if reason:
            cannot.append((event, reason))
        else:
            can.append(event)
    return can, cannot


def _number(name: str) -> int:
    """A name as a number, the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
