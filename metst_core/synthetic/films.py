"""Version 2's plans: what happens in a film of a person, frame by frame, and the tables of a set of films.

A plan depends on the seed, the person's and the film's number, the prior and the conditions alone.  Its tables
have the same bytes on every machine; what the frames follow (head, light) agrees to rounding.  Nothing here
draws a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from metst_core.checks import number_between, whole_number
from metst_core.errors import InputError
from metst_core.synthetic.action_units import UNIT_INDEX
from metst_core.synthetic.annotators import N_ANNOTATORS, annotate
from metst_core.synthetic.camera import FPS, Camera, auto_exposure, plan_camera, plan_light
from metst_core.synthetic.cast import LOOK_COLUMNS, look_of, look_row
from metst_core.synthetic.conditions import Conditions, conditions_of
from metst_core.synthetic.draws import Stream
from metst_core.synthetic.events import Event, intensity_of, largest_of, meet
from metst_core.synthetic.expressions import cut_by_blinks, plan_macro, plan_micro
from metst_core.synthetic.life import GAZE_IOD_PER_DEGREE, plan_blinks, plan_head, plan_looks, plan_swallows
from metst_core.synthetic.persons import Person, draw_person, persons_table, stream_of
from metst_core.synthetic.plan import Plan, plan_drops
from metst_core.synthetic.priors import Prior, prior_named
from metst_core.synthetic.set_tables import events_table, in_order, subject_id, video_id
from metst_core.synthetic.speech import mouth_of, plan_beats, plan_bouts, plan_syllables
from metst_core.tables import ANNOTATION_COLUMNS, VIDEO_COLUMNS, check_annotations

FILM_VERSION = "2.0"
"""Version of these plans: the same version, seed, prior and conditions give the same tables."""

# One stream per concern, so that turning one knob leaves the others' draws as they were.
_MICRO, _MACRO, _CUT, _BLINK, _SPEECH, _VISEME, _BEAT, _GAZE, _SWALLOW, _HEAD, _LIGHT, _DROP = range(12)
_CAMERA, _ANNOTATOR = 12, 13  # annotators have the numbers from 13 on


@dataclass(frozen=True)
class FilmPlan(Plan):
    """A `Plan` (its `subject` is the person's number), and what version 2 adds.

    `intensity` holds the resting face as well, and of macro-expressions that coincide the larger.  Its column AU26 is the opening of the `jaw`, and the columns
    `gaze_x`, `gaze_y` are where the eyes look (`gaze`): a head with a jaw and eyeballs of its own takes these
    two and leaves the columns out.  `mouth (T, M)` is what speech does beside the action units, as
    `channels.MOUTH_UNITS` (portraits leave it out).  `light (T,)` is what falls on the face and `exposure (T,)` what the camera
    does about it, both relative; `gain` is their product.  All are as shown.
    """

    person: Person
    prior: str
    conditions: Conditions
    camera: Camera
    light: np.ndarray
    exposure: np.ndarray
    mouth: np.ndarray

    @property
    def jaw(self) -> np.ndarray:
        """Opening of the jaw at the chin, inter-ocular distances: (T,)."""
        return self.intensity[:, UNIT_INDEX["AU26"]]

    @property
    def gaze(self) -> np.ndarray:
        """Where the eyes look, relative to the head, degrees right and down in the image: (T, 2)."""
        return self.intensity[:, [UNIT_INDEX["gaze_x"], UNIT_INDEX["gaze_y"]]] / GAZE_IOD_PER_DEGREE

    @property
    def noise(self) -> np.ndarray:
        """Standard deviation of the sensor noise, grey levels: (T,); it grows with the exposure."""
        return self.camera.noise * self.exposure


@dataclass(frozen=True)
class _Film:
    """What a film is planned from, checked."""

    person: Person
    video: int
    n_frames: int
    fps: float
    seed: int
    prior: Prior
    conditions: Conditions

    @property
    def size(self) -> tuple[int, float]:
        return self.n_frames, self.fps

    @property
    def ids(self) -> tuple[str, str]:
        return subject_id(self.person.index), video_id(self.video)

    def stream(self, concern: int) -> Stream:
        return stream_of(self.seed, self.person.index, self.video, concern)

    def camera(self) -> Camera:
        return plan_camera(self.stream(_CAMERA), self.conditions, self.fps)

    def events(self) -> list[Event]:
        """All that the face does but for the visemes, kind by kind."""
        person, conditions = self.person, self.conditions
        drawn = plan_micro(self.stream(_MICRO), person, self.prior, *self.size)
        micro, cutting = cut_by_blinks(self.stream(_CUT), person, drawn, conditions.blink_cut, *self.size)
        bouts = plan_bouts(self.stream(_SPEECH), person, conditions, *self.size)
        return [
            *micro,
            *plan_macro(self.stream(_MACRO), person, self.prior, conditions, micro, *self.size),
            *cutting,
            *plan_blinks(self.stream(_BLINK), person, conditions, cutting, *self.size),
            *bouts,
            *plan_beats(self.stream(_BEAT), person, conditions, bouts, self.fps),
            *plan_looks(self.stream(_GAZE), person, conditions, *self.size),
            *plan_swallows(self.stream(_SWALLOW), conditions, bouts, *self.size),
        ]

    def visemes(self, events: Sequence[Event]) -> list[Event]:
        """The movements of the mouth in the bouts of speech among `events`."""
        bouts = [e for e in events if e.kind == "speech"]
        return plan_syllables(self.stream(_VISEME), self.person, self.conditions, bouts, self.fps)

    def labelled_by(self, annotator: int, micro: Sequence[Event]) -> list[tuple[Any, ...]]:
        """Rows of an annotation table as simulated annotator number `annotator` (from 0) writes them."""
        rows = annotate(self.stream(_ANNOTATOR + annotator), micro, self.prior, *self.size)
        return [(*self.ids, *row) for row in rows]


def _film(
    person: Person,
    video: int,
    seconds: float,
    fps: float,
    seed: int,
    prior: str | Prior,
    tier: str,
    knobs: dict[str, Any],
) -> _Film:
    if not isinstance(person, Person):
        raise InputError(f"person is {person!r}; give what draw_person(seed, index) makes")
    number_between("fps", fps, *FPS)
    n_frames = round(number_between("seconds", seconds, 1, 24 * 3600) * fps)
    return _Film(
        person,
        whole_number("video", video, 0),
        n_frames,
        float(fps),
        whole_number("seed", seed, 0),
        prior if isinstance(prior, Prior) else prior_named(prior),
        conditions_of(tier, **knobs),
    )


def plan_film(
    person: Person,
    video: int,
    seconds: float,
    fps: float = 30,
    seed: int = 0,
    prior: str | Prior = "dense",
    tier: str = "calm",
    **knobs: Any,
) -> FilmPlan:
    """Plan film number `video` (from 0) of a person; a pure function.

    `prior` is a name of `PRIORS` or a `Prior` of your own, `tier` one of `CONDITIONS`, `knobs` any of
    `Conditions` by name; `fps` from 24 to 200.  Raises an `InputError` that names what cannot be.

    >>> plan = plan_film(draw_person(seed=0, index=0), video=0, seconds=10, tier="interview")
    >>> plan.n_frames, plan.head.shape, plan.jaw.shape, plan.gaze.shape
    (300, (300, 6), (300,), (300, 2))
    """
    film = _film(person, video, seconds, fps, seed, prior, tier, knobs)
    events = film.events()
    events += film.visemes(events)
    micro = [e for e in events if e.kind == "micro"]
    macro = [e for e in events if e.kind == "macro"]
    others = [e for e in events if e.kind != "macro"]
    intensity = intensity_of(others, film.n_frames) + largest_of(macro, film.n_frames)
    for name, held in person.rest.items():
        intensity[:, UNIT_INDEX[name]] += np.float32(held)
    beats, bouts = ([e for e in events if e.kind == kind] for kind in ("beat", "speech"))
    head = plan_head(film.stream(_HEAD), person, film.conditions, beats, bouts, *film.size)
    light = plan_light(film.stream(_LIGHT), film.conditions, *film.size)
    exposure = auto_exposure(light, film.conditions.auto_exposure, film.fps)
    shown = plan_drops(film.stream(_DROP), film.n_frames, film.conditions.dropped, micro)
    return FilmPlan(
        person.index, film.video, film.fps, tuple(events),
        intensity=intensity[shown],
        me_intensity=intensity_of(micro, film.n_frames)[shown],
        head=head[shown],
        gain=(light * exposure)[shown],
        shown=shown,
        person=person, prior=film.prior.name, conditions=film.conditions, camera=film.camera(),
        light=light[shown], exposure=exposure[shown], mouth=mouth_of(events, film.n_frames)[shown],
    )  # fmt: skip


def film_suffix(conditions: Conditions) -> str:
    """Of the files of films shot under these conditions, without the dot."""
    return "avi" if conditions.codec == "jpeg" else "mp4"


def film_tables(
    seed: int,
    persons: Sequence[int],
    n_videos: int,
    seconds: float,
    fps: float = 30,
    prior: str | Prior = "dense",
    tier: str = "calm",
    portraits: Sequence[str] = (),
    **knobs: Any,
) -> dict[str, pd.DataFrame]:
    """All tables of a set, from its plans alone: path in the set -> table.  Nothing is rendered.

    Beside those of version 1: `persons.csv` (habits and looks; `portraits` as `cast.look_of` takes them), `truth/annotator_1.csv` and `_2.csv` (how two
    simulated annotators label the set), and in `truth/micro_expressions.csv` the columns `later` (units that
    set in late, with the frames), `cut_by_blink` and `during` (what overlaps the ME in time).
    """
    people = [draw_person(seed, index) for index in persons]
    videos: list[tuple[Any, ...]] = []
    micro: list[tuple[str, str, Event]] = []
    others: list[tuple[str, str, Event]] = []
    circumstances: list[tuple[str, bool, str]] = []
    labelled: list[list[tuple[Any, ...]]] = [[] for _ in range(N_ANNOTATORS)]
    for person in people:
        for v in range(n_videos):
            film = _film(person, v, seconds, fps, seed, prior, tier, knobs)
            events = in_order(film.events())
            expressed = [e for e in events if e.kind == "micro"]
            rest = [e for e in events if e.kind != "micro"]
            suffix = film_suffix(film.conditions)
            videos.append((*film.ids, film.fps, film.n_frames, f"{'/'.join(film.ids)}.{suffix}"))
            micro += [(*film.ids, e) for e in expressed]
            others += [(*film.ids, e) for e in rest]
            circumstances += [_circumstances(e, rest) for e in expressed]
            for number, rows in enumerate(labelled):
                rows += film.labelled_by(number, expressed)
    more = pd.DataFrame(circumstances, columns=["later", "cut_by_blink", "during"])
    table = pd.concat([events_table(micro).drop(columns="kind"), more], axis=1)
    return {
        "annotations.csv": check_annotations(table),
        "videos.csv": pd.DataFrame(videos, columns=list(VIDEO_COLUMNS)),
        "persons.csv": _persons(people, portraits),
        "truth/micro_expressions.csv": table,
        "truth/distractors.csv": events_table(others),
        **{
            f"truth/annotator_{number}.csv": check_annotations(
                pd.DataFrame(rows, columns=list(ANNOTATION_COLUMNS))
            )
            for number, rows in enumerate(labelled, start=1)
        },
    }


def _persons(people: Sequence[Person], portraits: Sequence[str]) -> pd.DataFrame:
    """Looks, then habits."""
    habits = persons_table(people, [subject_id(p.index) for p in people])
    looks = [look_row(look_of(p.index, portraits)) for p in people]
    columns = pd.DataFrame(looks, columns=list(LOOK_COLUMNS))
    return pd.concat([habits[["subject"]], columns, habits.drop(columns="subject")], axis=1)


def _circumstances(event: Event, others: Sequence[Event]) -> tuple[str, bool, str]:
    """Which units set in late, whether a blink hides the whole fall, and what overlaps the ME in time."""
    later = " ".join(f"{name}={frames}" for name, frames in event.lags)
    fall = event.apex + event.hold
    cut = any(e.kind == "blink" and e.onset == fall and e.offset >= event.offset for e in others)
    during = sorted({e.kind for e in others if meet(event, e)})
    return later, cut, " ".join(during)
