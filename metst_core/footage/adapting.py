"""A network taught by one's own recordings, in which there is nothing to find: `adapt`.

Movements are planted into the recordings.  On a first part the network is trained further, on a middle part threshold and
calibration are chosen, on a last part the limits before and after are compared, with the same plantings for both.  With
three persons or more the parts are persons; with fewer they follow each other in every film.

The recordings count as free of micro-expressions: what is in them all the same is taught as nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from metst_core.checks import as_path, whole_number
from metst_core.errors import InputError, MetstError
from metst_core.extraction import MotionSet
from metst_core.files import run_record
from metst_core.footage.films import Film, Videos, films_of
from metst_core.footage.findable import DENSITY, Limits, limits_of, plan_rounds
from metst_core.footage.measuring import FilmMotion, measure, measure_planted
from metst_core.footage.plan import STRENGTHS, Manner
from metst_core.footage.saying import as_dict
from metst_core.footage.track import Mesher, track
from metst_core.inference import (
    Calibration,
    FaceFinder,
    Seen,
    TrainedModel,
    fine_tune,
    load_model,
    save_model,
)
from metst_core.landmarks import Landmarker, MediaPipeLandmarker
from metst_core.metrics import INTERVALS, Intervals, match_intervals, percentiles
from metst_core.models import Network
from metst_core.synthetic import Event
from metst_core.tables import check_annotations
from metst_core.video import probe

PARTS = ("learn", "choose", "check")
SHARES = (0.5, 0.25, 0.25)
"""How the recordings are divided: in time, or over persons."""

ENOUGH = 5.0
"""Minutes of recordings that are asked for; with less, what can be said of false finds is said beside the result."""

LEAST = 0.5
"""Minutes below which nothing can be learned."""

FILE = "adapted.safetensors"

_SEVERAL = 3  # persons from which on the parts are persons
_THRESHOLDS = np.round(np.arange(0.10, 0.91, 0.02), 2)
_LOWEST_CANDIDATE = 0.05  # peaks of the smoothed score that the calibration is fitted on
_MOST = {"learn": 200, "choose": 80, "check": 80}  # movements planted per part
_LEAST = 16
_PASSES = {
    "learn": 3,
    "choose": 4,
    "check": 4,
}  # how often a part is gone through, with `DENSITY` movements a minute
_ENDS = ["onset", "apex", "offset"]
_RATIO = 3.0  # windows without a planted movement per window with one


@dataclass(frozen=True)
class Adaptation:
    """How a network is taught: `fine_tune`'s `epochs` and `learning_rate`, and the manner of planting."""

    epochs: int = 10
    learning_rate: float = 3e-4
    prior: str = "dense"
    strengths: tuple[float, float] = STRENGTHS
    seed: int = 0

    def manner(self, per_minute: float = DENSITY) -> Manner:
        """The manner of planting."""
        return Manner(self.prior, self.strengths, per_minute, self.seed)


@dataclass(frozen=True, eq=False)
class _Piece:
    """A part of a film: its motion, and rounds of plantings with the windows that they change."""

    base: FilmMotion
    rounds: list[list[Event]]
    changed: list[dict[int, np.ndarray]]


def adapt(
    videos: Videos,
    out_dir: str | Path,
    model: str | Path | Network | TrainedModel = "bundled",
    *,
    how: Adaptation | None = None,
    image_fps: float = 30.0,
    landmarker: Landmarker | None = None,
    mesher: Mesher | None = None,
    face_finder: FaceFinder | None = None,
    progress: bool = True,
) -> TrainedModel:
    """Teach a network by recordings without micro-expressions; return it, and write it to `out_dir/adapted.safetensors`.

    videos: see `films_of`: the films of one person, or of many before one camera; some `ENOUGH` minutes in all.
    model: what to begin with, see `load_model`.  how: see `Adaptation`.  landmarker, mesher, face_finder: as for `limits`.

    The card of the network (in the `.json` beside the weights) holds the limits before and after, measured on the last
    part, and what the length of that part allows to say of false finds.  A film that cannot be used is left out, and
    the card names it.

    Raises an `InputError`, and writes nothing, where the recordings are too short, where nothing can be planted, or where
    the network is not better afterwards; the message says by how much.
    """
    out, how = as_path("out_dir", out_dir), how or Adaptation()
    whole_number("epochs", how.epochs, 1)
    how.manner()
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: a file is in the way; name a folder to write")
    before = load_model(model)
    films = films_of(videos)
    _check_length(films, image_fps)
    find = MediaPipeLandmarker() if landmarker is None else landmarker
    bases, trouble = [], {}
    for film in tqdm(films, desc="recordings", unit="film", disable=not progress or len(films) == 1):
        try:
            face = track(film, image_fps, mesher, face_finder, progress)
            bases.append(measure(film, before, face, find, progress))
        except MetstError as error:
            trouble[str(film.path)] = str(error)
    if not bases:
        raise InputError("; ".join(trouble.values()))
    pieces = _pieces(bases, how, progress)
    tuned = fine_tune(
        before, _motion_set(pieces["learn"], before), how.epochs, how.learning_rate, how.seed, _RATIO
    )
    after = _chosen(before, tuned, pieces["choose"])
    sides = {
        name: _limits(pieces["check"], side, how.manner())
        for name, side in (("before", before), ("after", after))
    }
    card = _card(how, bases, pieces, sides, trouble)
    if reason := _no_help(sides):
        raise InputError(f"adapting to these recordings does not help, and nothing is written: {reason}")
    adapted = dataclasses.replace(
        after, name=f"{before.name}, adapted", card={**before.card, "adapted": card}
    )
    save_model(adapted, out / FILE)
    return adapted


def _check_length(films: Sequence[Film], image_fps: float) -> None:
    minutes = 0.0
    for film in films:
        try:
            fps, n_frames, _ = probe(film.path)
        except MetstError:  # named where it is read
            continue
        minutes += n_frames / (image_fps if math.isnan(fps) else fps) / 60
    if minutes < LEAST:
        raise InputError(
            f"{films[0].path}{' and others' if len(films) > 1 else ''}: {60 * minutes:.0f} s of recordings, too little to learn "
            f"from; give {ENOUGH:g} minutes or more ({60 * LEAST:g} s at the least)"
        )


def _pieces(bases: Sequence[FilmMotion], how: Adaptation, progress: bool) -> dict[str, list[_Piece]]:
    """The parts, planted."""
    persons = list(dict.fromkeys(base.film.subject for base in bases))
    by_person = len(persons) >= _SEVERAL
    roles = _roles(persons, how.seed) if by_person else {}
    jobs: list[tuple[FilmMotion, str, np.ndarray]] = []
    for base in bases:
        for part in PARTS if not by_person else [roles[base.film.subject]]:
            jobs.append((base, part, np.ones(base.n_frames, bool) if by_person else _stretch(base, part)))
    minutes = dict.fromkeys(PARTS, 0.0)
    for base, part, mine in jobs:
        minutes[part] += base.within(mine).minutes
    pieces: dict[str, list[_Piece]] = {part: [] for part in PARTS}
    refused: list[str] = []
    for base, part, mine in jobs:
        wanted = min(_MOST[part], max(_LEAST, DENSITY * minutes[part] * _PASSES[part]))
        n_events = max(1, round(wanted * base.within(mine).minutes / max(minutes[part], 1e-9)))
        try:
            pieces[part].append(_planted(base, mine, how, n_events, progress))
        except InputError as error:
            refused.append(str(error))
    for part, found in pieces.items():
        if not found:
            raise InputError(f"the part to {part} holds nothing to plant in: {'; '.join(refused)}")
    return pieces


def _roles(persons: Sequence[str], seed: int) -> dict[str, str]:
    """Which part each person belongs to: at least one in each."""
    order = np.random.default_rng([seed, 7]).permutation(len(persons))
    n_learn = max(1, min(len(persons) - 2, round(SHARES[0] * len(persons))))
    n_choose = (len(persons) - n_learn) // 2
    ends = {"learn": n_learn, "choose": n_learn + n_choose, "check": len(persons)}
    return {persons[who]: next(part for part, end in ends.items() if i < end) for i, who in enumerate(order)}


def _stretch(base: FilmMotion, part: str) -> np.ndarray:
    """The frames of the model's rate that belong to a part: the parts follow each other, a window apart; `(n,)` bool."""
    edges = np.round(np.cumsum([0, *SHARES]) * base.n_frames).astype(int)
    first, last = edges[PARTS.index(part)], edges[PARTS.index(part) + 1]
    mine = np.zeros(base.n_frames, bool)
    mine[first if first == 0 else first + base.model.window : last] = True
    return mine


def _planted(base: FilmMotion, mine: np.ndarray, how: Adaptation, n_events: int, progress: bool) -> _Piece:
    in_film = np.zeros(base.face.n_frames, bool)
    in_film[base.numbers[mine]] = True
    steps = max(
        1, math.ceil(base.face.fps / base.model.fps)
    )  # frames of the film between two of the model's rate
    in_film = np.convolve(in_film, np.ones(2 * steps - 1), "same") > 0
    rounds, _ = plan_rounds(base.film, base.face.within(in_film), how.manner(), n_events)
    part = base.within(mine)
    return _Piece(part, rounds, measure_planted(part, rounds, progress))


def _motion_set(pieces: Sequence[_Piece], model: TrainedModel) -> MotionSet:
    """The windows of the pieces, each round a video of its own, with what was planted as annotations."""
    windows: dict[tuple[str, str], np.ndarray] = {}
    annotations, videos = [], []
    half = model.window // 2
    for piece in pieces:
        base = piece.base
        inside = [bool(base.has_face[s : s + model.window].all()) for s in base.starts.tolist()]
        rows = np.flatnonzero(inside)
        if not len(rows):
            continue
        first = int(rows[0])  # one run of windows: where the face is lost in between nothing is planted
        chosen = slice(first, int(rows[-1]) + 1)
        n_frames = (chosen.stop - chosen.start + 1) * half
        for number, (events, changed) in enumerate(zip(piece.rounds, piece.changed, strict=True)):
            key = (base.film.subject, f"{base.film.video}_{number}")
            windows[key] = base.with_motion(changed)[chosen]
            videos.append((*key, model.fps, n_frames, str(base.film.path)))
            for row, event in zip(base.in_model_frames(events) - first * half, events, strict=True):
                if row[0] >= 0 and row[2] < n_frames:
                    annotations.append((*key, *row.tolist(), event.emotion))
    return MotionSet(
        windows,
        check_annotations(
            pd.DataFrame(annotations, columns=["subject", "video", "onset", "apex", "offset", "emotion"])
        ),
        pd.DataFrame(videos, columns=["subject", "video", "fps", "n_frames", "path"]),
        model.features,
        model.window,
        model.fps,
    )


def _chosen(before: TrainedModel, tuned: TrainedModel, pieces: Sequence[_Piece]) -> TrainedModel:
    """The tuned network with a threshold and a calibration from the middle part.

    The threshold has the best spotting F1 (IoU 0.5, or the apex inside) on what was planted, of those that give no more
    finds on the part as it is than the network of before gives there.
    """
    budget = sum(len(piece.base.finds(piece.base.answers)) for piece in pieces)
    low = dataclasses.replace(tuned, threshold=_LOWEST_CANDIDATE)
    # Of peaks that are near, the higher is kept: those above a threshold are the same whichever lower ones there are.
    candidates = [_candidates(piece, low) for piece in pieces]
    as_it_is = np.concatenate([scores for scores, _ in candidates])
    planted = [pair for _, pairs in candidates for pair in pairs]
    allowed = [t for t in _THRESHOLDS.tolist() if (as_it_is >= t).sum() <= budget] or [float(_THRESHOLDS[-1])]
    f1 = [_f1([(finds[finds["score"] >= t], truth) for finds, truth in planted]) for t in allowed]
    chosen = dataclasses.replace(tuned, threshold=allowed[int(np.argmax(f1))])
    scores = np.concatenate([finds["score"].to_numpy() for finds, _ in planted])
    hit = np.concatenate([match_intervals(finds[_ENDS].to_numpy(), truth) >= 0 for finds, truth in planted])
    if not 0 < hit.sum() < len(hit):
        return chosen
    evidence = {
        "n_intervals": len(hit), "n_true": int(hit.sum()), "of": f"planted movements, {DENSITY:g} a minute"
    }  # fmt: skip
    return dataclasses.replace(chosen, calibration=Calibration.fit(scores, hit, evidence))


def _candidates(
    piece: _Piece, model: TrainedModel
) -> tuple[np.ndarray, list[tuple[pd.DataFrame, np.ndarray]]]:
    """Scores of the finds in a piece as it is, and for every round the finds and the planted intervals."""
    base = piece.base.of(model)
    planted = [
        (base.finds(*reversed(base.with_windows(changed))), base.in_model_frames(events))
        for events, changed in zip(piece.rounds, piece.changed, strict=True)
    ]
    return base.finds(base.answers)["score"].to_numpy(), planted


def _f1(pairs: Sequence[tuple[pd.DataFrame, np.ndarray]]) -> float:
    """Spotting F1 where a find counts once its interval overlaps a true one by half, or its apex lies in it."""
    hits = total = 0
    for finds, truth in pairs:
        apex = finds["apex"].to_numpy()[:, None]
        inside = (apex >= truth[None, :, 0]) & (apex <= truth[None, :, 2])
        matched = match_intervals(finds[_ENDS].to_numpy(), truth)
        touched = set(np.flatnonzero(inside.any(axis=0)).tolist()) | set(matched[matched >= 0].tolist())
        hits += len(touched)
        total += len(finds) + len(truth)
    return 2 * hits / total if total else 0.0


def _limits(pieces: Sequence[_Piece], model: TrainedModel, manner: Manner) -> Limits:
    """The limits of all pieces of a part together."""
    parts = [
        limits_of(piece.base.of(model), piece.rounds, manner, changed=piece.changed, progress=False)
        for piece in pieces
    ]
    first = parts[0]
    return dataclasses.replace(
        first,
        events=pd.concat([part.events for part in parts], ignore_index=True),
        unrest=np.concatenate([part.unrest for part in parts]),
        seen=Seen(*(np.concatenate(of_all) for of_all in zip(*(part.seen for part in parts), strict=True))),
        finds=sum(part.finds for part in parts),
        rival_finds=sum(part.rival_finds for part in parts),
        minutes=sum(part.minutes for part in parts),
        iod=float(np.mean([part.iod for part in parts])),
    )


def gain(sides: dict[str, Limits], intervals: Intervals = INTERVALS) -> tuple[float, float, float]:
    """By how much the share of touched movements grows: value, low, high (paired, over movements)."""
    difference = sides["after"].events["touched"].to_numpy(float) - sides["before"].events[
        "touched"
    ].to_numpy(float)
    drawn = np.random.default_rng([intervals.seed, 8]).integers(
        0, len(difference), (intervals.n, len(difference))
    )
    return float(difference.mean()), *percentiles(difference[drawn].mean(axis=1), intervals.level)


def most_false(finds: int, minutes: float, level: float = 0.95) -> float:
    """The rate of false finds a minute that so few finds in so many minutes do not rule out (Poisson, one-sided)."""
    from scipy.stats import chi2  # half a second, for this function alone

    return float(chi2.ppf(level, 2 * (finds + 1)) / 2 / minutes)


def _no_help(sides: dict[str, Limits]) -> str:
    """Why the network of before is to be kept; an empty text where the new one is better."""
    before, after = sides["before"], sides["after"]
    value, low, high = gain(sides)
    counted = (
        f"of the movements planted in the last part {int(before.counted['touched'].sum())} of {len(before.counted)} were found "
        f"before and {int(after.counted['touched'].sum())} of {len(after.counted)} after (a gain of {value:+.0%}, 95% interval {low:+.0%} to {high:+.0%})"
    )
    if low <= 0:
        return f"{counted}, which chance could do; give more recordings, or calmer ones"
    if after.finds > before.finds:
        return f"{counted}, but finds in the film as it is grow from {before.finds} to {after.finds}; give more recordings"
    return ""


def _card(
    how: Adaptation,
    bases: Sequence[FilmMotion],
    pieces: dict[str, list[_Piece]],
    sides: dict[str, Limits],
    trouble: dict[str, str],
) -> dict[str, Any]:
    value, low, high = gain(sides)
    total = sum(base.minutes for base in bases)
    after = sides["after"]
    bound = most_false(after.finds, after.minutes)
    persons = {part: sorted({p.base.film.subject for p in found}) for part, found in pieces.items()}
    return {
        "how": dataclasses.asdict(how),
        "record": run_record(),
        "films": [str(base.film.path) for base in bases],
        "left_out": trouble,
        "minutes": total,
        "persons": persons,
        "persons_held_out": not set(persons["learn"]) & set(persons["check"]),
        "gain": {"value": value, "low": low, "high": high},
        "most_false_per_minute": bound,
        "words": (
            f"Taught on {total:.1f} minutes"
            + (f", less than the {ENOUGH:g} that are asked for" if total < ENOUGH else "")
            + f". On the last part ({after.minutes:.1f} minutes) the share of planted movements that are found (the apex of a find "
            f"lies in them) changed by "
            f"{value:+.0%} (95% interval {low:+.0%} to {high:+.0%}). Finds in it as it is: {sides['before'].finds} before, "
            f"{after.finds} after; from so short a part up to {bound:.1f} false finds a minute cannot be ruled out (95%)."
        ),
        **{name: {k: v for k, v in as_dict(side).items() if k != "events"} for name, side in sides.items()},
    }
