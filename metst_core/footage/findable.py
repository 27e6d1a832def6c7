"""How small a micro-expression a recording can show: `limits`.

Movements of known size are planted into the film itself, and one sees which come back.  *Found* is one whose interval
has an intersection over union of 0.5 or more with the planted one; *touched* is one in whose interval the apex of a find
lies.  Beside the network stands a plain rival without training: motion that comes and goes (`rivals.motion_contrast`),
with the threshold at which it makes as many finds as the network in the film as it is.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from metst_core.checks import whole_number
from metst_core.errors import InputError
from metst_core.files import run_record, write_json
from metst_core.footage.films import Film, films_of
from metst_core.footage.measuring import FilmMotion, measure, measure_planted
from metst_core.footage.plan import STRENGTHS, Manner, plan_events, sort_out, with_strengths
from metst_core.footage.recall import Curve, Point, fit_curve
from metst_core.footage.saying import as_dict, curve_points, paragraph
from metst_core.footage.track import Mesher, Track, say, track
from metst_core.inference import (
    Analysis,
    FaceFinder,
    Seen,
    TrainedModel,
    bundled_judgement,
    load_model,
    motion_of_parts,
    peak_intervals,
    unrest_of,
)
from metst_core.landmarks import Landmarker, MediaPipeLandmarker
from metst_core.metrics import Intervals, match_intervals
from metst_core.models import Network
from metst_core.synthetic import ACTION_UNITS, UNIT_INDEX, UNITS, Event, Stream
from metst_core.tables import write_table
from metst_core.windows import stitch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EVENTS = 80
"""Movements that are planted where nobody says how many."""

DENSITY = 20.0
"""The most in a minute of one round of plantings; the film is gone through as often as it takes."""

EVENT_COLUMNS = (
    "round", "onset", "apex", "offset", "strength", "pixels", "duration", "motion", "unrest_upper", "unrest_lower", "part", "found", "touched",
    "rival_found", "rival_touched", "before",
)  # fmt: skip
"""Frames of the film; strength in inter-ocular distances and pixels of the film; seconds; unrest around it in the film as
it is (pixels of the 320 crop), the larger one, of the upper and of the lower face; upper or lower; the network and the rival; touched by a find without any planting."""

TABLE_COLUMNS = ("strength", "duration", "motion", "n", "found", "touched", "rival_found", "rival_touched")
"""Means of what was planted, and how many of the `n` came back."""

STRENGTH_EDGES = (0.008, 0.012, 0.018, 0.026)
DURATION_EDGES = (0.3, 0.6)
MOTION_EDGES = (1.0, 2.0)
"""Where the rows of a table part: inter-ocular distances, seconds, pixels of the 320 crop."""

UPPER_UNITS = (1, 2, 4, 5, 6, 7, 45)
"""Action units of the upper face."""

_ROUNDS = 400
_KEY = 0x4C494D49  # "LIMI"
_INTERVALS = Intervals(n=400)


@dataclass(frozen=True, eq=False, repr=False)
class Limits:
    """What could be found in one film, measured on movements planted into it.

    events: `EVENT_COLUMNS`, one row for each planted movement.
    unrest: `(n, 2)`, of the film as it is, upper and lower face, per frame of the model's rate; NaN without a face.
    seen: the looks at the face, of the same frames.
    finds, rival_finds: how many the film holds as it is: nobody knows whether these are real.
    minutes: of the film, with a face.  iod: median inter-ocular distance, pixels.
    """

    film: Film
    model: TrainedModel
    manner: Manner
    events: pd.DataFrame
    unrest: np.ndarray
    seen: Seen
    finds: int
    rival_finds: int
    minutes: float
    iod: float
    not_planted: dict[str, int]
    intervals: Intervals = _INTERVALS

    @property
    def counted(self) -> pd.DataFrame:
        """The movements that count: where the film as it is has a find anyway, nothing can be learned from one more."""
        return self.events[~self.events["before"].astype(bool)]

    @property
    def table(self) -> pd.DataFrame:
        """`TABLE_COLUMNS`: one row for each class of strength, duration and motion (the edges above) that was planted."""
        return self.grouped(("strength", "duration", "motion"))

    def grouped(self, by: Sequence[str]) -> pd.DataFrame:
        """`TABLE_COLUMNS` by classes of some of strength, duration and motion."""
        edges = {"strength": STRENGTH_EDGES, "duration": DURATION_EDGES, "motion": MOTION_EDGES}
        counted = self.counted
        classes = [np.digitize(counted[name], edges[name]) for name in by]
        parts = []
        for _, rows in counted.groupby(classes, sort=True):
            means = [float(rows[name].mean()) for name in ("strength", "duration", "motion")]
            counts = [int(rows[name].sum()) for name in TABLE_COLUMNS[4:]]
            parts.append((*means, len(rows), *counts))
        return pd.DataFrame(parts, columns=list(TABLE_COLUMNS))

    @cached_property
    def curves(self) -> dict[str, Curve | None]:
        """Recall against strength: `found`, `touched`, and the rival's; None with too few movements."""
        counted = self.counted
        strengths = counted["strength"].to_numpy()
        return {
            name: fit_curve(strengths, counted[name].to_numpy(bool), self.intervals)
            for name in ("found", "touched", "rival_found", "rival_touched")
        }

    @cached_property
    def still(self) -> Curve | None:
        """`touched` against strength where the face is still (unrest below the first edge)."""
        rows = self.still_events
        return fit_curve(rows["strength"].to_numpy(), rows["touched"].to_numpy(bool), self.intervals)

    def point(self, share: float, name: str = "found") -> Point:
        """The strength of which `share` comes back, with its interval (IOD); NaN: not measurable."""
        curve = self.curves[name]
        return Point(np.nan, np.nan, np.nan) if curve is None else curve.strength_at(share)

    @property
    def strength_50(self) -> Point:
        """The strength of which half is found (IOD): value, low, high; NaN where it is not measurable."""
        return self.point(0.5)

    @property
    def strength_80(self) -> Point:
        """The strength of which 80% is found (IOD): value, low, high; NaN where it is not measurable."""
        return self.point(0.8)

    @property
    def touched_50(self) -> Point:
        """The strength of which half is touched (IOD)."""
        return self.point(0.5, "touched")

    @property
    def touched_80(self) -> Point:
        """The strength of which 80% is touched (IOD)."""
        return self.point(0.8, "touched")

    @property
    def still_events(self) -> pd.DataFrame:
        """The movements that were planted where the face is still (unrest below the first edge)."""
        return self.counted[self.counted["motion"] < MOTION_EDGES[0]]

    @property
    def moving_events(self) -> pd.DataFrame:
        """The other movements."""
        return self.counted[self.counted["motion"] >= MOTION_EDGES[0]]

    @property
    def still_share(self) -> float:
        """Share of the time with a face in which it is still."""
        unrest = self.unrest.max(axis=1)
        return float((unrest[np.isfinite(unrest)] < MOTION_EDGES[0]).mean())

    @property
    def judged_share(self) -> float:
        """Share of the film in which anything could be found (see `inference.Judgement`)."""
        return float(bundled_judgement()(self.unrest, self.seen).any(axis=1).mean())

    @property
    def false_per_minute(self) -> float:
        """Finds per minute in the film as it is, real ones among them if there are any."""
        return self.finds / self.minutes

    @property
    def chance(self) -> float:
        """Share of the planted intervals that a find touches without any planting."""
        return float(self.events["before"].mean())

    def summary(self) -> str:
        """What could be found, in one paragraph."""
        return paragraph(self)

    def __repr__(self) -> str:
        return f"Limits({str(self.film.path)!r}: {self.summary()})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.summary())}</p>{self.grouped(['strength']).round(3).to_html(index=False, border=0)}"

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return as_dict(self)

    def to_json(self, path: str | Path) -> Path:
        """Write `to_dict` and how it came about as JSON."""
        return write_json({"record": run_record(), **self.to_dict()}, path)

    def to_csv(self, path: str | Path) -> Path:
        """Write `table` as CSV."""
        return write_table(self.table, path)

    def plot(self) -> Figure:
        """Recall against strength, duration and motion, the network's beside the plain rival's."""
        from metst_core.plots import RecallCurve, recall_page

        planted = self.events["strength"]
        strengths = np.geomspace(float(planted.min()), float(planted.max()), 60)
        shown = {
            name: RecallCurve(*points)
            for name, curve in self.curves.items()
            if (points := curve_points(curve, strengths)) is not None
        }
        groups = {by: self.grouped([by]) for by in ("strength", "duration", "motion")}
        return recall_page(
            strengths, shown, groups, f"{self.film.path.name}: what comes back of {len(self.counted)} planted"
        )


def limits(
    video: str | Path | Film,
    model: str | Path | Network | TrainedModel = "bundled",
    *,
    prior: str = "dense",
    strengths: tuple[float, float] = STRENGTHS,
    n_events: int = EVENTS,
    seed: int = 0,
    sham: bool = False,
    per_minute: float | None = None,
    image_fps: float = 30.0,
    landmarker: Landmarker | None = None,
    mesher: Mesher | None = None,
    face_finder: FaceFinder | None = None,
    progress: bool = True,
) -> Limits:
    """Measure how small a micro-expression could be found in a film: plant some of known size, and see which come back.

    video: a film file or a folder of images, of one person.  model: see `load_model`.
    prior, strengths, seed, sham, per_minute: see `Manner`; as many a minute as are needed, up to `DENSITY`, where nobody
        says.  n_events: how many are planted in all; few leave wide intervals.
    landmarker, mesher, face_finder: instead of MediaPipe (see `metst_core.landmarks`, `track.Mesher`, `inference`).

    Nothing is written, and the film is only read.  Work grows with the film's length and with `n_events`.

    Raises an `InputError` that names the film where nothing can be planted in it, and why.
    """
    [film] = [video] if isinstance(video, Film) else _single(video)
    Manner(prior, strengths, per_minute, seed, sham)  # a wrong argument is an error before the work
    n_events = whole_number("n_events", n_events, 1)
    trained = load_model(model)
    face = track(film, image_fps, mesher, face_finder, progress)
    manner = Manner(prior, strengths, per_minute or _density(face, n_events), seed, sham)
    rounds, refused = plan_rounds(film, face, manner, n_events)
    base = measure(film, trained, face, MediaPipeLandmarker() if landmarker is None else landmarker, progress)
    return limits_of(base, rounds, manner, refused, progress=progress)


def limits_of(
    base: FilmMotion,
    rounds: Sequence[Sequence[Event]],
    manner: Manner,
    refused: Mapping[str, int] | None = None,
    changed: Sequence[Mapping[int, np.ndarray]] | None = None,
    progress: bool = True,
) -> Limits:
    """The limits of a film that was measured as it is, from these rounds of plantings.

    changed: what `measure_planted` gave for the rounds, where that is known.
    """
    changed = measure_planted(base, rounds, progress) if changed is None else changed
    k_p = base.model.k_p
    before = base.finds(base.answers)
    contrast = base.contrast(base.motion)
    height = _height(contrast, k_p, len(before))
    parts = stitch(
        np.stack([motion_of_parts(window, base.model.features) for window in base.motion]), base.n_frames
    )
    unrest = unrest_of(parts, base.model.window)
    rows: list[tuple[Any, ...]] = []
    for number, (events, windows) in enumerate(zip(rounds, changed, strict=True)):
        motion, answers = base.with_windows(windows)
        truth = base.in_model_frames(events)
        seen = [
            hits(table, truth)
            for table in (
                base.finds(answers, motion)[["onset", "apex", "offset"]].to_numpy(),
                peak_intervals(base.contrast(motion), k_p, height),
                before[["onset", "apex", "offset"]].to_numpy(),
            )
        ]
        for i, event in enumerate(events):
            (found, touched), (rival_found, rival_touched), (_, by_chance) = (
                (bool(pair[0][i]), bool(pair[1][i])) for pair in seen
            )
            rows.append((
                number, event.onset, event.apex, event.offset, event.strength,
                event.strength * float(base.face.iod[event.apex]), (event.offset - event.onset) / base.face.fps,
                float(unrest[truth[i, 1]].max()), *unrest[truth[i, 1]].tolist(), part_of(event), found, touched, rival_found, rival_touched, by_chance,
            ))  # fmt: skip
    return Limits(
        base.film, base.model, manner, pd.DataFrame(rows, columns=list(EVENT_COLUMNS)),
        np.where(base.has_face[:, None], unrest, np.nan),
        Seen(*(part[base.numbers] for part in base.face.seen)), len(before), len(peak_intervals(contrast, k_p, height)),
        base.minutes, float(np.nanmedian(base.face.iod)), dict(refused or {}),
    )  # fmt: skip


def plan_rounds(
    film: Film, face: Track, manner: Manner, n_events: int
) -> tuple[list[list[Event]], dict[str, int]]:
    """Rounds of plantings, `n_events` in all, and how many more could not be planted, by reason.

    Raises an `InputError` that names the film where none can be planted.
    """
    rounds: list[list[Event]] = []
    refused: dict[str, int] = {}
    for turn in range(_ROUNDS):
        can, cannot = sort_out(plan_events(film, manner, face.n_frames, face.fps, turn), face)
        rounds += [can] if can else []
        for _, reason in cannot:
            refused[say(reason)] = refused.get(say(reason), 0) + 1
        if sum(map(len, rounds)) >= n_events:
            break
        if not rounds and sum(refused.values()) >= EVENTS:
            break
    if not rounds:
        raise InputError(
            f"{film.path}: nothing can be planted anywhere ({'; '.join(refused)}); give a film of one face from the front"
        )
    rounds[-1] = rounds[-1][: len(rounds[-1]) - max(0, sum(map(len, rounds)) - n_events)]
    flat = with_strengths([e for events in rounds for e in events], manner, Stream(manner.seed, _KEY))
    ends = np.cumsum([len(events) for events in rounds])[:-1]
    return _split(flat, ends.tolist()), refused


def _split(events: list[Event], ends: list[int]) -> list[list[Event]]:
    return [events[a:b] for a, b in zip([0, *ends], [*ends, len(events)], strict=True)]


def came_back(
    path: str | Path, annotations: pd.DataFrame, model: str | Path | Network | TrainedModel = "bundled"
) -> pd.DataFrame:
    """Which annotated intervals (frames of the film) come back where a film is analysed: `annotations`, `found`, `touched`."""
    analysis = Analysis(path, model)
    for _ in analysis:
        pass
    columns = ["onset", "apex", "offset"]
    finds = analysis.result().table[columns].to_numpy(int)
    found, touched = hits(finds, annotations[columns].to_numpy(int))
    return annotations.assign(found=found, touched=touched)


def hits(finds: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which true intervals `(n, 3)` are found, and which are touched, by finds `(m, 3)` of onset, apex, offset."""
    found, touched = np.zeros(len(truth), bool), np.zeros(len(truth), bool)
    if len(finds) and len(truth):
        matched = match_intervals(finds, truth)
        found[matched[matched >= 0]] = True
        inside = (finds[None, :, 1] >= truth[:, [0]]) & (finds[None, :, 1] <= truth[:, [2]])
        touched = np.any(inside, axis=1)
    return found, touched


def part_of(event: Event) -> str:
    """Upper or lower: the part of the face in which the event's strongest unit is."""
    return part_of_units(event.units)


def part_of_units(units: Mapping[str, float]) -> str:
    """The same of units and how far they move."""
    leading = UNITS[UNIT_INDEX[max(units, key=lambda name: units[name])]].au
    return "upper" if leading in UPPER_UNITS and leading in ACTION_UNITS else "lower"


def _height(contrast: np.ndarray, k_p: int, n: int) -> float:
    """The height from which on the rival finds `n` intervals; above the highest peak for none."""
    peaks = contrast[peak_intervals(contrast, k_p, 0.0)[:, 1]]
    ranked = np.sort(peaks)[::-1]
    if n >= len(ranked):
        return 0.0
    return float(np.nextafter(ranked[n], np.inf))


def _density(face: Track, n_events: int) -> float:
    return float(np.clip(n_events / (face.n_frames / face.fps / 60), 0.5, DENSITY))


def _single(video: str | Path) -> list[Film]:
    films = films_of(video)
    if len(films) != 1:
        raise InputError(f"{video}: holds {len(films)} films; limits are those of one, name it")
    return films
