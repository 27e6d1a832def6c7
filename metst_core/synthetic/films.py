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
from metst_core.synthetic.camera import Camera, auto_exposure, plan_camera, plan_light
from metst_core.synthetic.conditions import Conditions, conditions_of
from metst_core.synthetic.draws import Stream
from metst_core.synthetic.events import Event, intensity_of, meet
from metst_core.synthetic.expressions import cut_by_blinks, plan_macro, plan_micro
from metst_core.synthetic.life import GAZE_IOD_PER_DEGREE, plan_blinks, plan_head, plan_looks, plan_swallows
from metst_core.synthetic.persons import Person, draw_person, persons_table, stream_of
from metst_core.synthetic.plan import Plan, plan_drops
from metst_core.synthetic.priors import Prior, prior_named
from metst_core.synthetic.set_tables import events_table, in_order, subject_id, video_id
from metst_core.synthetic.speech import plan_beats, plan_bouts, plan_syllables
from metst_core.tables import ANNOTATION_COLUMNS, VIDEO_COLUMNS, check_annotations

FILM_VERSION = "2.0.dev1"
"""Version of these plans: the same version, seed, prior and conditions give the same tables."""

# One stream per concern, so that turning one knob leaves the others' draws as they were.
_MICRO, _MACRO, _CUT, _BLINK, _SPEECH, _BEAT, _GAZE, _SWALLOW, _HEAD, _LIGHT, _CAMERA, _DROP, _ANNOTATOR = (
    range(13)
)


@dataclass(frozen=True)
class FilmPlan(Plan):
    """A `Plan` (its `subject` is the person's number), and what version 2 adds.

    `intensity` holds the resting face as well.  Its column AU26 is the opening of the `jaw`, and the columns
    `gaze_x`, `gaze_y` are where the eyes look (`gaze`): a head with a jaw and eyeballs of its own takes these
    two and leaves the columns out.  `light (T,)` is what falls on the face and `exposure (T,)` what the camera
    does about it, both relative; `gain` is their product.  All are as shown.
    """

    person: Person
    prior: str
    conditions: Conditions
    camera: Camera
    light: np.ndarray
    exposure: np.ndarray

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
    """
    if not isinstance(person, Person):
        raise InputError(f"person is {person!r}; give what draw_person(seed, index) makes")
    conditions = conditions_of(tier, **knobs)
    chosen = prior if isinstance(prior, Prior) else prior_named(prior)
    seed, video = whole_number("seed", seed, 0), whole_number("video", video, 0)

    def stream(concern: int) -> Stream:
        return stream_of(seed, person.index, video, concern)

    camera = plan_camera(stream(_CAMERA), conditions, fps)
    n_frames = round(number_between("seconds", seconds, 1, 24 * 3600) * fps)
    size = (n_frames, float(fps))

    micro, cutting = cut_by_blinks(
        stream(_CUT), person, plan_micro(stream(_MICRO), person, chosen, *size), conditions.blink_cut, *size
    )
    speech = stream(_SPEECH)
    bouts = plan_bouts(speech, person, conditions, *size)
    beats = plan_beats(stream(_BEAT), person, conditions, bouts, fps)
    events = [
        *micro,
        *plan_macro(stream(_MACRO), person, chosen, conditions, micro, *size),
        *cutting,
        *plan_blinks(stream(_BLINK), person, conditions, cutting, *size),
        *bouts,
        *plan_syllables(speech, person, conditions, bouts, fps),
        *beats,
        *plan_looks(stream(_GAZE), person, conditions, *size),
        *plan_swallows(stream(_SWALLOW), conditions, bouts, *size),
    ]
    intensity = intensity_of(events, n_frames)
    for name, held in person.rest.items():
        intensity[:, UNIT_INDEX[name]] += np.float32(held)
    shown = plan_drops(stream(_DROP), n_frames, conditions.dropped, micro)
    light = plan_light(stream(_LIGHT), conditions, *size)
    exposure = auto_exposure(light, conditions.auto_exposure, fps)
    return FilmPlan(
        person.index, video, float(fps), tuple(events),
        intensity=intensity[shown],
        me_intensity=intensity_of(micro, n_frames)[shown],
        head=plan_head(stream(_HEAD), person, conditions, beats, *size)[shown],
        gain=(light * exposure)[shown],
        shown=shown,
        person=person, prior=chosen.name, conditions=conditions, camera=camera,
        light=light[shown], exposure=exposure[shown],
    )  # fmt: skip


def annotations_of(plan: FilmPlan, prior: Prior, seed: int, annotator: int) -> pd.DataFrame:
    """The annotation table of a film as simulated annotator number `annotator` (from 0) writes it."""
    draw = stream_of(seed, plan.subject, plan.video, _ANNOTATOR + annotator)
    ids = (subject_id(plan.subject), video_id(plan.video))
    rows = annotate(draw, plan.micro_expressions, prior, plan.n_frames, plan.fps)
    return pd.DataFrame([(*ids, *row) for row in rows], columns=list(ANNOTATION_COLUMNS))


def film_tables(
    seed: int,
    persons: Sequence[int],
    n_videos: int,
    seconds: float,
    fps: float = 30,
    prior: str | Prior = "dense",
    tier: str = "calm",
    **knobs: Any,
) -> dict[str, pd.DataFrame]:
    """All tables of a set, from its plans alone: path in the set -> table.  Nothing is rendered.

    Beside those of version 1: `persons.csv` (the habits), `truth/annotator_1.csv` and `_2.csv` (how two
    simulated annotators label the set), and in `truth/micro_expressions.csv` the columns `later` (units that
    set in late, with the frames), `cut_by_blink` and `during` (what overlaps the ME in time).
    """
    chosen = prior if isinstance(prior, Prior) else prior_named(prior)
    people = [draw_person(seed, index) for index in persons]
    micro: list[tuple[str, str, Event]] = []
    others: list[tuple[str, str, Event]] = []
    extra, videos = [], []
    labelled: list[list[pd.DataFrame]] = [[] for _ in range(N_ANNOTATORS)]
    for person in people:
        for v in range(n_videos):
            plan = plan_film(person, v, seconds, fps, seed, chosen, tier, **knobs)
            ids = (subject_id(person.index), video_id(v))
            suffix = "avi" if plan.camera.codec == "jpeg" else "mp4"
            videos.append((*ids, plan.fps, plan.n_frames, f"{ids[0]}/{ids[1]}.{suffix}"))
            # the visemes of a bout of speech are its inside
            rest = in_order([e for e in plan.events if e.kind not in ("micro", "viseme")])
            micro += [(*ids, e) for e in plan.micro_expressions]
            others += [(*ids, e) for e in rest]
            extra += [_circumstances(e, rest) for e in plan.micro_expressions]
            for number, tables in enumerate(labelled):
                tables.append(annotations_of(plan, chosen, seed, number))
    circumstances = pd.DataFrame(extra, columns=["later", "cut_by_blink", "during"])
    table = pd.concat([events_table(micro).drop(columns="kind"), circumstances], axis=1)
    return {
        "annotations.csv": check_annotations(table),
        "videos.csv": pd.DataFrame(videos, columns=list(VIDEO_COLUMNS)),
        "persons.csv": persons_table(people, [subject_id(p.index) for p in people]),
        "truth/micro_expressions.csv": table,
        "truth/distractors.csv": events_table(others),
        **{
            f"truth/annotator_{number + 1}.csv": check_annotations(pd.concat(tables, ignore_index=True))
            for number, tables in enumerate(labelled)
        },
    }


def _circumstances(event: Event, others: Sequence[Event]) -> tuple[str, bool, str]:
    """Which units set in late, whether a blink hides the whole fall, and what overlaps the ME in time."""
    later = " ".join(f"{name}={frames}" for name, frames in event.lags)
    fall = event.apex + event.hold
    cut = any(e.kind == "blink" and e.onset == fall and e.offset >= event.offset for e in others)
    during = sorted({e.kind for e in others if meet(event, e)})
    return later, cut, " ".join(during)
