"""The instrument that comes with the package, measured on films whose truth is known: what it finds, and how well it knows.

The functions work on films that are `Measured`: the network's answers for windows of several phases, and the truth.  A film
of persons that *choose* gives the threshold (`threshold_for`), the calibration (`calibrated`) and how steady the score is
(`steadiness`); one of persons that *report* decides nothing (`report`).  `metst_core.experiment.edition` runs it all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from metst_core.decoding import smooth
from metst_core.inference import (
    MOTION,
    SCORE,
    Calibration,
    Shot,
    TrainedModel,
    averaged,
    intervals_of,
    path_of,
    phases_of,
    smoothed_voices,
)
from metst_core.metrics import match_intervals, rate_ends, share_ends
from metst_core.motion import MotionWindow

MOST_PHASES = 5
PERCENTILES = (5, 25, 50, 75, 95)

STRENGTHS = (0.008, 0.012, 0.018, 0.024, 0.035)
"""Edges between strata of strength, inter-ocular distances."""
LENGTHS = (9, 15, 30)
"""Longest lengths of strata, frames at 30 per second."""
UNREST = (0.5, 1.0, 1.5, 2.0, 3.0)
"""Edges between strata of the ROIs' median motion around an ME, pixels of the 320 crop."""

_LOWEST = 0.05  # peaks of the smoothed score below this are not even used for calibration
_BINS = np.linspace(0, 1, 6)


@dataclass(frozen=True, eq=False)
class Measured:
    """A film in windows of some phases, with what the network says of each, and the truth `(n, 3)` with its strengths `(n,)`.

    person, kind: whose film it is and of what set.  judged, unrest: per frame, whether it is judged and how restless the face
    is (`inference.Judgement`); None where nobody looked, and all is judged.
    """

    windows: list[MotionWindow]
    score: np.ndarray
    probabilities: np.ndarray
    n_frames: int
    truth: np.ndarray
    strengths: np.ndarray
    person: str = ""
    kind: str = ""
    judged: np.ndarray | None = None
    unrest: np.ndarray | None = None

    def phases(self, n: int, window: int) -> tuple[int, ...]:
        """Of the phases that the film was measured in `n`, spread out."""
        known = sorted({each.start % (window // 2) for each in self.windows})
        return tuple(known[i * len(known) // n] for i in range(n))

    def shot(self, phases: Sequence[int], window: int) -> Shot:
        """The film as one shot, from the windows of these phases alone."""
        shot = Shot(0, tuple(phases), window)
        for i, each in enumerate(self.windows):
            if each.start % (window // 2) in phases:
                shot.add(each, self.score[i], self.probabilities[i])
        return shot

    @property
    def is_judged(self) -> np.ndarray:
        """Per frame, bool."""
        return np.ones(self.n_frames, bool) if self.judged is None else self.judged


@dataclass(frozen=True, eq=False)
class Candidates:
    """Every peak worth a look in a film: its table, the smoothed score of every voice at the apex, and hits.

    found `(n,)`: IoU .5 with an ME, one to one.  inside `(n, MEs)`: the apex lies in it.  judged `(n,)`: the apex is.
    """

    table: pd.DataFrame
    voices: np.ndarray
    found: np.ndarray
    matched: np.ndarray
    inside: np.ndarray
    judged: np.ndarray

    @property
    def score(self) -> np.ndarray:
        """Smoothed, at the apex: `(n,)`."""
        return self.table["score"].to_numpy()

    @property
    def false(self) -> np.ndarray:
        """Neither touches an ME nor finds one: `(n,)` bool."""
        is_false: np.ndarray = ~self.inside.any(axis=1) & ~self.found
        return is_false


def candidates(film: Measured, model: TrainedModel, phases: int | Sequence[int]) -> Candidates:
    """The candidates of a film with so many phases, or with these; motion that of the first."""
    if isinstance(phases, int):
        phases = film.phases(phases, model.window)
    shot = film.shot(phases, model.window)
    said, seen = shot.averaged(film.n_frames), shot.measured(film.n_frames)
    low = replace(model, threshold=_LOWEST)
    table = intervals_of(low, said.score, said.probabilities, path_of(seen.motion, seen.start))
    apexes = table["apex"].to_numpy(int)
    voices = smoothed_voices(said.each, said.score, model.k_p)[apexes]
    matched = match_intervals(table[["onset", "offset"]].to_numpy(), film.truth[:, [0, 2]])
    inside = (apexes[:, None] >= film.truth[None, :, 0]) & (apexes[:, None] <= film.truth[None, :, 2])
    return Candidates(table, voices, matched >= 0, matched, inside, film.is_judged[apexes])


def minutes_of(films: Iterable[Measured], fps: float, judged: bool = False) -> float:
    """Length of films, or of what is judged in them."""
    return sum(int(film.is_judged.sum()) if judged else film.n_frames for film in films) / fps / 60


def threshold_for(
    films: Sequence[Measured], model: TrainedModel, per_minute: float, judged: bool = False
) -> float:
    """The lowest threshold with at most so many false finds per minute of the films (of what is judged in them)."""
    every = [candidates(film, model, model.phases) for film in films]
    allowed = int(per_minute * minutes_of(films, model.fps, judged) + 1e-9)
    return threshold_of_false(every, allowed, judged)


def threshold_of_false(every: Sequence[Candidates], allowed: int, judged: bool = False) -> float:
    """The lowest threshold that lets at most so many false candidates through, between the two that it parts."""
    false = np.concatenate([each.score[each.false & (each.judged | (not judged))] for each in every])
    if len(false) <= allowed:
        return _LOWEST
    ranked = np.concatenate([[1.0], np.sort(false)[::-1]])
    return float(np.round((ranked[allowed] + ranked[allowed + 1]) / 2 + 5e-4, 3))


def steadiness(films: Sequence[Measured], model: TrainedModel) -> list[dict[str, float]]:
    """For 1 to 4 of `MOST_PHASES` phases: how far the score of an ME differs with the frame that windows begin at.

    Of the films that were measured in all of these phases.
    sd: standard deviation over the starts of the highest smoothed score in an ME, the mean over MEs that any finds;
    stays: share of the starts that touch such an ME.
    """
    steps = phases_of(MOST_PHASES, model.window)
    films = [film for film in films if film.phases(MOST_PHASES, model.window) == steps]
    rows = []
    for n in range(1, MOST_PHASES):
        peaks, touched = [], []
        for turn in range(MOST_PHASES):
            chosen = sorted({steps[(turn + i * MOST_PHASES // n) % MOST_PHASES] for i in range(n)})
            for_turn: list[float] = []
            hit: list[bool] = []
            for film in films:
                smoothed = smooth(_score(film, chosen, model.window), model.k_p)
                for onset, _, offset in film.truth:
                    for_turn.append(float(smoothed[onset : offset + 1].max()))
                    hit.append(for_turn[-1] >= (model.threshold or 0.0))
            peaks.append(for_turn)
            touched.append(hit)
        any_ = np.any(touched, axis=0)
        rows.append({
            "phases": n, "voices": 2 * n if n > 1 else 1,
            "sd": float(np.std(peaks, axis=0)[any_].mean()), "stays": float(np.mean(touched, axis=0)[any_].mean()),
            "n": int(any_.sum()),
        })  # fmt: skip
    return rows


def _score(film: Measured, phases: Sequence[int], window: int) -> np.ndarray:
    """The mean over the voices of these phases; the first phase of all speaks for the frames before them."""
    voices = film.shot(phases, window).voices()
    begin = min(voice[0] for voice in voices)
    if begin:
        first = film.shot([0], window).averaged(film.n_frames)
        voices.append((0, first.score[:begin], first.probabilities[:begin]))
    return averaged(voices, film.n_frames, len(voices)).score


def calibrated(films: Sequence[Measured], model: TrainedModel) -> TrainedModel:
    """`model` with a calibration fitted on what is judged in these films.

    Its ends are measured in the motion where the model has none of its own that are.
    """
    strategy = model.strategy if model.strategy in (MOTION, SCORE) else MOTION
    model = replace(model, strategy=strategy)
    every = [candidates(film, model, model.phases) for film in films]
    judged = np.concatenate([each.judged for each in every])
    scores = np.concatenate([each.score for each in every])[judged]
    found = np.concatenate([each.found for each in every])[judged]
    evidence = {"n_intervals": len(found), "n_true": int(found.sum()), "persons": "synthetic"}
    return replace(model, calibration=Calibration.fit(scores, found, evidence))


def report(films: Sequence[Measured], model: TrainedModel, judged: bool = False) -> dict[str, Any]:
    """What the instrument does on films that decided nothing: all of them, or what is `judged` in them.

    Of every share and rate the 95% interval over persons (`metrics.share_ends`, `rate_ends`).  An ME counts as judged where
    its apex is.
    """
    every = [candidates(film, model, model.phases) for film in films]
    finds = [each.score >= (model.threshold or 0.0) for each in every]
    rows, errors, false = [], [], []
    for film, each, mine in zip(films, every, finds, strict=True):
        keep = mine & (each.judged | (not judged))
        hit = set(each.matched[mine & each.found].tolist())
        for number, (onset, apex, offset) in enumerate(film.truth.tolist()):
            unrest = np.nan if film.unrest is None else film.unrest[apex]
            rows.append((
                film.person, film.kind, film.strengths[number], offset - onset + 1, unrest, bool(film.is_judged[apex]),
                bool(each.inside[mine, number].any()), number in hit,
            ))  # fmt: skip
        for i in np.flatnonzero(mine & each.inside.any(axis=1)):
            truth = film.truth[each.inside[i].argmax()][[0, 2]]
            errors.append(each.table[["onset", "offset"]].to_numpy()[i] - truth)
        false.append((film.person, int((keep & each.false).sum()), minutes_of([film], model.fps, judged)))
    mes = pd.DataFrame(rows, columns=list(_ME_COLUMNS))
    counted = mes[mes["judged"]] if judged else mes
    ends = np.array(errors).reshape(-1, 2)
    assert model.calibration is not None
    seen = np.concatenate([each.judged for each in every])
    said = np.concatenate([model.calibration.of_voices(each.voices) for each in every])[seen]
    hits = np.concatenate([each.found for each in every])[seen]
    return {
        "persons": mes["person"].nunique() if len(mes) else len(films), "minutes": minutes_of(films, model.fps),
        "judged": minutes_of(films, model.fps, True) / minutes_of(films, model.fps), "threshold": model.threshold,
        "n": len(counted), "n_all": len(mes),
        **{name: _share(counted, name) for name in ("touched", "found")},
        "false_per_minute": _rate(pd.DataFrame(false, columns=["person", "false", "minutes"])),
        "by_strength": _strata(counted, "strength", STRENGTHS), "by_length": _strata(counted, "frames", LENGTHS),
        "by_unrest": _strata(counted.dropna(), "unrest", UNREST),
        **{
            f"{name}_error": [float(v) for v in np.percentile(ends[:, i], PERCENTILES)] if len(ends) else []
            for i, name in enumerate(("onset", "offset"))
        },
        "n_lengths": len(ends),
        "bins": bins_of(said, hits), "expected_calibration_error": _gap(said, hits),
        "brier": float(((said - hits) ** 2).mean()) if len(said) else None,
    }  # fmt: skip


_ME_COLUMNS = ("person", "kind", "strength", "frames", "unrest", "judged", "touched", "found")


def _share(mes: pd.DataFrame, measure: str) -> dict[str, float]:
    """Number, share and the ends of its interval over persons."""
    by_person = mes.groupby("person")[measure].agg(["sum", "size"]).to_numpy(float)
    n, hits = len(mes), int(mes[measure].sum())
    if not n:
        return {"hits": 0, "share": float("nan"), "low": 0.0, "high": 1.0}
    low, high = share_ends(by_person[:, 0], by_person[:, 1])
    return {"hits": hits, "share": hits / n, "low": low, "high": high}


def _rate(false: pd.DataFrame) -> dict[str, float]:
    """False finds per minute with the ends of the interval over persons."""
    by_person = false.groupby("person")[["false", "minutes"]].sum().to_numpy(float)
    by_person = by_person[by_person[:, 1] > 0]
    if not len(by_person):
        return {"n": 0, "rate": float("nan"), "low": 0.0, "high": float("nan")}
    low, high = rate_ends(by_person[:, 0], by_person[:, 1])
    count = by_person[:, 0].sum()
    return {"n": int(count), "rate": float(count / by_person[:, 1].sum()), "low": low, "high": high}


def _strata(mes: pd.DataFrame, column: str, edges: Sequence[float]) -> list[dict[str, Any]]:
    """Touched and found in strata of a column: above one edge up to the next, that included; those without an ME left out.

    The last has no end (None).
    """
    which = np.searchsorted(edges, mes[column].to_numpy(float), side="left")
    bounds = [0.0, *edges, None]
    return [
        {
            "above": bounds[i], "to": bounds[i + 1], "n": int((which == i).sum()),
            **{name: _share(mes[which == i], name) for name in ("touched", "found")},
        }
        for i in range(len(edges) + 1)
        if (which == i).any()
    ]  # fmt: skip


def bins_of(said: np.ndarray, hits: np.ndarray) -> list[dict[str, float]]:
    """By bins of confidence: what was said on average, the share of hits, and how many there are."""
    bins = np.clip(np.digitize(said, _BINS) - 1, 0, len(_BINS) - 2)
    return [
        {
            "from": float(_BINS[b]),
            "to": float(_BINS[b + 1]),
            "said": float(said[bins == b].mean()),
            "seen": float(hits[bins == b].mean()),
            "n": int((bins == b).sum()),
        }
        for b in np.unique(bins).tolist()
    ]


def _gap(said: np.ndarray, hits: np.ndarray) -> float:
    """Mean distance of confidence and share of hits over bins of confidence, weighted by how many are in each."""
    return sum(abs(row["said"] - row["seen"]) * row["n"] for row in bins_of(said, hits)) / max(len(said), 1)


def falls(strata: Sequence[Mapping[str, Any]], measure: str = "touched") -> list[Mapping[str, Any]]:
    """The strata whose share lies below the whole interval of a weaker one: where recall falls with strength."""
    return [
        later
        for earlier, later in itertools.combinations(strata, 2)
        if later[measure]["high"] < earlier[measure]["low"]
    ]
