"""Training windows of the second edition: real motion, windows that begin anywhere, and movements planted into it.

A movement is planted in the motion itself.  The person's face is drawn at rest and at some shares of the movement's
apex, ROI motion is measured between these pictures, and what a share of the movement adds to every ROI is added to
the motion of a film of the same person (against the window's first frame, as all motion).  So the flow's own
saturation, the face and what is one-sided are in it; what the flow makes of two movements at once is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from metst_core.experiment.edition_films import FPS, SEED, WINDOW, FilmMotion
from metst_core.files import UNREADABLE, check_seal, sealed_path, value_hash
from metst_core.landmarks import Landmarker, MediaPipeLandmarker
from metst_core.motion import WindowTracker
from metst_core.rois import roi_names
from metst_core.synthetic import (
    CHANNELS,
    FILM_VERSION,
    PRIORS,
    UNIT_INDEX,
    Backdrop,
    Event,
    Face,
    Stream,
    draw_person,
    face_of,
    plan_micro,
)
from metst_core.training import TrainingWindows
from metst_core.windows import frame_targets
from metst_core.workers import one_opencv_thread

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of a movement's apex, at which its motion is measured; straight lines between."""

STRENGTHS = (0.007, 0.036)
"""Weakest and strongest planted movement, inter-ocular distances, in equal ratios between."""

GAP = 0.3
"""Seconds that a planted movement keeps from an ME of the film."""

_KEY = 0x454432  # "ED2"
_AT_REST = np.array([0, 0, 0, 1, 0, 0], float)  # the head, as `synthetic.HEAD_NAMES`


@dataclass(frozen=True)
class Planting:
    """How much is planted: each film `turns` times, with so many movements per minute."""

    turns: int = 2
    per_minute: float = 24.0


class Drawn:
    """A face that can be asked how its ROIs move; `rest` as `Person.rest`."""

    def __init__(self, face: Face, rest: dict[str, float], landmarker: Landmarker) -> None:
        self._face = face
        self._rest = np.zeros(len(CHANNELS), np.float32)
        for name, held in rest.items():
            self._rest[UNIT_INDEX[name]] = held
        self._landmarker = landmarker
        self._backdrop = Backdrop("still", 320, 1.0, (0,))

    def responses(self, movements: Sequence[dict[str, float]]) -> np.ndarray:
        """Motion `(n, len(SHARES), 2R)` float32, pixels of the 320 crop, of movements: unit -> its apex, IOD."""
        tracker = WindowTracker(self._landmarker)
        tracker.step(self._picture({}, 0.0))
        with one_opencv_thread():
            moved = [[tracker.step(self._picture(m, share)) for share in SHARES] for m in movements]
        return np.array(moved, np.float32).reshape(len(movements), len(SHARES), -1)

    def _picture(self, units: dict[str, float], share: float) -> np.ndarray:
        channels = self._rest.copy()
        for name, peak in units.items():
            channels[UNIT_INDEX[name]] += share * peak
        picture = self._face.frame(self._face.shown(channels), _AT_REST, self._backdrop, 0.0)
        return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def planned(film: FilmMotion, planting: Planting, turn: int) -> list[Event]:
    """What is planted into a film in one turn: apart from its own MEs, of the dense prior's kind or its own in turn."""
    person = draw_person(SEED, film.number)
    prior = PRIORS[film.prior if turn % 2 else "dense"]
    prior = replace(prior, me_per_minute=planting.per_minute, rate_spread=0.0)
    draw = Stream(SEED, _KEY, film.number, int(value_hash([film.tier, film.changed])[:6], 16), turn)
    own = film.truth[["onset", "offset"]].to_numpy()
    kept = []
    for event in plan_micro(draw, person, prior, film.n_frames, FPS):
        strength = STRENGTHS[0] * (STRENGTHS[1] / STRENGTHS[0]) ** draw.uniform()
        if ((event.offset + GAP * FPS < own[:, 0]) | (event.onset - GAP * FPS > own[:, 1])).all():
            units = {name: peak * strength / event.strength for name, peak in event.units.items()}
            kept.append(event._replace(strength=strength, units=units))
    return kept


def windows_at(film: FilmMotion, phase: int) -> Iterator[tuple[int, np.ndarray]]:
    """First frame and motion `(2R, k)` of a film's windows from `phase` on, by chaining those that begin at 0, k/2, ...

    For the phase 0 they are the measured ones; of another phase only those that two measured windows cover.
    """
    half = WINDOW // 2
    by_start = {w.start: w.motion for w in film.windows if w.start % half == 0}
    for start, motion in by_start.items():
        if not phase:
            yield start, motion
        elif start + half in by_start and start + phase + WINDOW <= film.n_frames:
            chained = [motion, by_start[start + half][:, half:] + motion[:, half, None]]
            moved = np.concatenate(chained, axis=1)[:, phase : phase + WINDOW]
            yield start + phase, moved - moved[:, :1]


def planted(motion: np.ndarray, start: int, events: Sequence[Event], responses: np.ndarray) -> np.ndarray:
    """The motion `(2R, k)` of the window that begins at `start` with movements planted, of which `responses` tell."""
    frames = np.arange(start, start + motion.shape[1], dtype=float)
    motion = motion.copy()
    known = np.array([0.0, *SHARES])
    for event, response in zip(events, responses, strict=True):
        share = event.at(frames, 0)
        if share.any():
            steps = np.vstack([np.zeros(response.shape[1]), response])
            place = np.clip(np.searchsorted(known, share, side="right") - 1, 0, len(SHARES) - 1)
            part = (share - known[place]) / (known[place + 1] - known[place])
            added = steps[place] * (1 - part[:, None]) + steps[place + 1] * part[:, None]
            motion += (added - added[0]).T.astype(np.float32)
    return motion


_LEFT_AND_RIGHT = {"left": "right", "right": "left"}


def mirrored(motion: np.ndarray, features: str = "metst_plus") -> np.ndarray:
    """The motion `(..., 2R, k)` of the face in a mirror: left ROIs are right ones, and x turns round."""
    names = roi_names(features)
    partner = ["_".join(_LEFT_AND_RIGHT.get(word, word) for word in name.split("_")) for name in names]
    channels = [2 * names.index(name) + axis for name in partner for axis in (0, 1)]
    signs = np.tile(np.array([-1, 1], motion.dtype), len(names))
    turned: np.ndarray = motion[..., channels, :] * signs[:, None]
    return turned


def targets_of(film: FilmMotion, events: Sequence[Event]) -> tuple[np.ndarray, np.ndarray]:
    """Score and class of every frame of a film with what is planted in it, as `windows.frame_targets`."""
    own = film.truth[["onset", "apex", "offset", "emotion"]]
    more = pd.DataFrame([(e.onset, e.apex, e.offset, e.emotion) for e in events], columns=list(own.columns))
    table = (own if more.empty else more if own.empty else pd.concat([own, more])).reset_index(drop=True)
    return frame_targets(table.assign(subject=film.subject, video=film.video), film.n_frames)


def training_windows(films: Sequence[FilmMotion], planting: Planting, work: Path) -> TrainingWindows:
    """Every film as it is and with `planting.turns` plantings, each time at phase 0 and at another; half of them mirrored."""
    rng = np.random.default_rng([SEED, _KEY])
    motions, scores, classes = [], [], []
    responses = Responses(work)
    for film in films:
        for turn in range(planting.turns + 1):
            events = planned(film, planting, turn) if turn else []
            known = responses(film.number, events)
            score, kinds = targets_of(film, events)
            for phase in (0, int(rng.integers(1, WINDOW // 2))):
                for start, motion in windows_at(film, phase):
                    seen = np.minimum(np.arange(start, start + WINDOW), film.n_frames - 1)
                    whole = planted(motion, start, events, known)
                    motions.append(mirrored(whole) if rng.random() < 0.5 else whole)
                    scores.append(score[seen])
                    classes.append(kinds[seen])
    pool = np.stack(motions).astype(np.float32)
    return TrainingWindows(pool, np.arange(len(pool)), np.stack(scores), np.stack(classes))


class Responses:
    """How the ROIs of persons move with planted movements; what was measured is kept in a work folder."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._drawn: tuple[int, Drawn] | None = None

    def __call__(self, number: int, events: Sequence[Event]) -> np.ndarray:
        """`(len(events), len(SHARES), 2R)` of the person of this number."""
        if not events:
            return np.zeros((0, len(SHARES), 2 * len(roi_names("metst_plus"))), np.float32)
        key = value_hash([FILM_VERSION, SHARES, number, [e.units for e in events]])[:24]
        place = self._work / "responses" / f"{key}.npz"
        try:
            check_seal(place)
            with np.load(place, allow_pickle=False) as stored:
                known: np.ndarray = stored["motion"]
                return known
        except UNREADABLE:
            measured = self._of(number).responses([e.units for e in events])
        with sealed_path(place) as temporary:
            np.savez(temporary, motion=measured)
        return measured

    def _of(self, number: int) -> Drawn:
        if self._drawn is None or self._drawn[0] != number:
            rest = draw_person(SEED, number).rest
            self._drawn = number, Drawn(face_of(SEED, number), rest, MediaPipeLandmarker())
        return self._drawn[1]
