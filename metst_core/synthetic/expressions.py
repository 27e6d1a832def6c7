"""The expressions of a film: micro-expressions by a prior and a person's habits, and macro-expressions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from metst_core.synthetic.action_units import UNITS
from metst_core.synthetic.conditions import Conditions
from metst_core.synthetic.draws import Stream
from metst_core.synthetic.events import BLINK_UNITS, Event, place
from metst_core.synthetic.persons import Person
from metst_core.synthetic.priors import MACRO_SECONDS, Prior, Sheet, draw_label

LARGEST = {5: 0.035, 7: 0.05, 9: 0.07, 24: 0.07}
"""AU -> how far it can go, IOD, where that is less than a macro-expression's largest strength; by eye."""

ME_GAP = 0.4
"""Least time between two MEs, seconds; assumed."""

MACRO_GAP = 0.2
"""Least time between a macro-expression and an ME that it keeps off, seconds, while there is room; assumed."""

SAME_UNITS = 2
"""Macro-expressions per ME that use its AUs."""

_HABIT = 0.35
"""How far a draw lies from a person's own rank at most; assumed."""

_WEAKER_SIDE, _WEAKER_UNITS, _LATEST_START = 0.4, (0.4, 1.0), 0.5
"""Assumed: the weaker side moves by up to so much less, further AUs have such a share of the leading one's
strength, and set in after up to this share of the rise."""

BLINK_STRENGTH = (0.09, 0.105)
"""Way of the upper lid of a full blink, IOD."""


def _units(
    draw: Stream, person: Person, aus: tuple[int, ...], strength: float, one_sided: bool
) -> dict[str, float]:
    """Unit intensities at the apex; the strongest, `strength`, is the first AU's on the stronger side."""
    other = "R" if person.side == "L" else "L"
    strong = person.side if draw.uniform() < person.side_habit else other
    weaker = 0.0 if one_sided else 1 - draw.uniform(0, _WEAKER_SIDE)
    weights = {au: 1.0 if au == aus[0] else draw.uniform(*_WEAKER_UNITS) for au in aus}
    units = {
        unit.name: strength * weights[unit.au] * (1.0 if unit.side in ("", strong) else weaker)
        for unit in UNITS
        if unit.au in weights
    }
    return {name: intensity for name, intensity in units.items() if intensity}


def _lags(draw: Stream, units: dict[str, float], leading: int, rise: int) -> tuple[tuple[str, int], ...]:
    """Frames by which the AUs other than the `leading` one set in later, 0 to half of the rise."""
    lags: dict[int, int] = {}
    later = []
    for unit in UNITS:
        if unit.name in units and unit.au is not None and unit.au != leading:
            if unit.au not in lags:
                lags[unit.au] = draw.integer(0, int(_LATEST_START * rise))
            later.append((unit.name, lags[unit.au]))
    return tuple((name, lag) for name, lag in later if lag)


def _length(draw: Stream, person: Person, prior: Prior, sheet: Sheet, fps: float) -> int:
    """Frames from onset to offset: within the prior's bounds, at least 2."""
    seconds = prior.seconds(sheet, draw.near(person.tempo, _HABIT))
    shortest = max(2, math.ceil(sheet.seconds.values[0] * fps - 1e-9))
    return min(max(shortest, round(seconds * fps)), max(2, math.floor(prior.longest * fps + 1e-9)))


def plan_micro(draw: Stream, person: Person, prior: Prior, n_frames: int, fps: float) -> list[Event]:
    """The MEs of a film, in order of time; `label` is the cause, such as "disgust"."""
    times = 1 + prior.rate_spread * (person.me_rate - 1)
    events: list[Event] = []
    for _ in range(draw.happenings(prior.me_per_minute * times * n_frames / fps / 60)):
        sheet = draw.choice(prior.sheets)
        emotion = draw.weighted(tuple(sheet.causes), _in_order(prior, sheet))
        cause, aus, one_sided = draw_label(draw, sheet, emotion, person.liking)
        length = _length(draw, person, prior, sheet, fps)
        rise = min(max(1, round(length * sheet.before_apex.at(draw.uniform()))), length - 1)
        strength = prior.strength.at(draw.near(person.amplitude, _HABIT))
        units = _units(draw, person, aus, strength, one_sided)
        lags = _lags(draw, units, aus[0], rise)
        onset = place(draw, length, n_frames, events, ME_GAP * fps)
        if onset is not None:
            ends = (onset, onset + rise, onset + length)
            events.append(Event("micro", *ends, 0, emotion, cause, strength, units, lags))
    return sorted(events, key=lambda e: e.onset)


def _in_order(prior: Prior, sheet: Sheet) -> list[float]:
    weights = prior.emotions or sheet.emotions
    return [weights[emotion] for emotion in sheet.causes]


def cut_by_blinks(
    draw: Stream, person: Person, micro: Sequence[Event], share: float, n_frames: int, fps: float
) -> tuple[list[Event], list[Event]]:
    """The MEs, a share of them staying up until a blink hides their end; and those blinks.

    The annotated onset, apex and offset stay as drawn: the fall alone is put behind the closed lids.
    """
    shown: list[Event] = []
    blinks: list[Event] = []
    for event in micro:
        length = max(4, round(person.blink_seconds * fps))
        onset = max(event.apex, event.offset - length + 1)
        fits = onset < event.offset and onset + length < n_frames
        if draw.uniform() < share and fits:
            blinks.append(blink(draw, onset, length))
            event = event._replace(hold=onset - event.apex)
        shown.append(event)
    return shown, blinks


def blink(draw: Stream, onset: int, length: int) -> Event:
    """A full blink of `length` frames: down in a third of the time, assumed."""
    strength = draw.uniform(*BLINK_STRENGTH)
    rise = min(max(1, round(length * draw.uniform(0.25, 0.4))), length - 1)
    units = {name: weight * strength for name, weight in BLINK_UNITS.items()}
    return Event("blink", onset, onset + rise, onset + length, 0, "", "", strength, units)


def plan_macro(
    draw: Stream,
    person: Person,
    prior: Prior,
    conditions: Conditions,
    micro: Sequence[Event],
    n_frames: int,
    fps: float,
) -> list[Event]:
    """Two macro-expressions with the AUs of each ME, and some that have nothing to do with MEs.

    Of a share `macro_overlap` of the MEs the first one overlaps it in time; the others keep off the MEs as
    long as there is room.
    """
    events: list[Event] = []
    for event in micro:
        aus = _aus(event)
        for number in range(SAME_UNITS):
            length = _macro_length(draw, person, prior, n_frames, fps)
            over = number == 0 and draw.uniform() < conditions.macro_overlap
            onset = (
                _over(draw, event, length, n_frames)
                if over
                else _apart(draw, length, n_frames, fps, micro, events)
            )
            events.append(_macro(draw, person, prior, (event.emotion, event.label, aus), onset, length))
    extra = (prior.macro_per_me - SAME_UNITS) * prior.me_per_minute
    for _ in range(draw.happenings(extra * n_frames / fps / 60)):
        sheet = draw.choice(prior.sheets)
        emotion = draw.weighted(tuple(sheet.causes), _in_order(prior, sheet))
        cause, aus, _ = draw_label(draw, sheet, emotion, person.liking)
        length = _macro_length(draw, person, prior, n_frames, fps)
        onset = _apart(draw, length, n_frames, fps, micro, events)
        events.append(_macro(draw, person, prior, (emotion, cause, aus), onset, length))
    return events


def _aus(event: Event) -> tuple[int, ...]:
    """The AUs of an event, the strongest first."""
    strongest: dict[int, float] = {}
    for unit in UNITS:
        if unit.au is not None and unit.name in event.units:
            strongest[unit.au] = max(strongest.get(unit.au, 0.0), event.units[unit.name])
    return tuple(sorted(strongest, key=lambda au: -strongest[au]))


def _au(unit: str) -> int:
    """The AU of a unit such as "AU12L"."""
    return int(unit.removeprefix("AU").rstrip("LR"))


def _macro_length(draw: Stream, person: Person, prior: Prior, n_frames: int, fps: float) -> int:
    """Frames of a macro-expression; all of the film's if that is shorter."""
    rank = draw.near(person.tempo, _HABIT) * MACRO_SECONDS.share_below(prior.macro_longest)
    seconds = MACRO_SECONDS.at(rank)
    return max(4, min(round(seconds * fps), n_frames - 3))


def _over(draw: Stream, event: Event, length: int, n_frames: int) -> int:
    """An onset for `length` frames that meet frames in which the ME moves."""
    low, high = event.onset + 2 - length, event.offset - 2
    return min(max(1, draw.integer(low, max(low, high))), n_frames - 1 - length)


def _apart(
    draw: Stream, length: int, n_frames: int, fps: float, micro: Sequence[Event], macro: Sequence[Event]
) -> int:
    """An onset apart from MEs and other macro-expressions; where there is no room, from MEs; else anywhere."""
    for others, gap in (([*micro, *macro], MACRO_GAP * fps), (micro, MACRO_GAP * fps), (micro, 0)):
        free = place(draw, length, n_frames, others, gap)
        if free is not None:
            return free
    return draw.integer(0, n_frames - 1 - length)


def _macro(
    draw: Stream,
    person: Person,
    prior: Prior,
    what: tuple[str, str, tuple[int, ...]],
    onset: int,
    length: int,
) -> Event:
    """A macro-expression; `what` is its emotion, cause and AUs."""
    emotion, cause, aus = what
    rise = max(1, round(length * draw.uniform(0.15, 0.35)))
    hold = int(length * draw.uniform(0.1, 0.4))
    top = prior.macro_strength.values[-1]
    strength = min(prior.macro_strength.at(draw.near(person.amplitude, _HABIT)), LARGEST.get(aus[0], top))
    drawn = _units(draw, person, aus, strength, one_sided=False)
    units = {name: min(value, LARGEST.get(_au(name), top)) for name, value in drawn.items()}
    lags = _lags(draw, units, aus[0], rise)
    return Event("macro", onset, onset + rise, onset + length, hold, emotion, cause, strength, units, lags)
