"""What a score must be compared with: chance at an equal number of intervals, and a classical motion spotter.

The rivals that are networks (LSTM, TCN, Transformer, sliding-window classifier) train like ME-TST: they are
names of `TrainConfig.model`, in `metst_core.rivals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metst_core.decoding import half_length, spot_threshold
from metst_core.errors import InputError
from metst_core.experiment.comparisons import Scored
from metst_core.extraction import MotionSet
from metst_core.inference import motion_contrast, peak_intervals
from metst_core.metrics import (
    METRICS,
    Evaluation,
    Intervals,
    SubjectCounts,
    class_indices,
    evaluate,
    percentiles,
    resamples,
    scores_of_counts,
)
from metst_core.tables import EMOTIONS, PREDICTION_COLUMNS, check_predictions, empty_predictions
from metst_core.training import PROTOCOLS, fold_half_length, scored_videos


@dataclass(frozen=True, eq=False)
class BaselineResult:
    """Predictions of a method without training, scored as a LOSO run is.

    `k_p` is the half length per subject, `traces` the per-frame score `(T,)` by (subject, video).
    """

    predictions: pd.DataFrame
    annotations: pd.DataFrame
    subjects: list[str]
    k_p: dict[str, int]
    traces: dict[tuple[str, str], np.ndarray]
    evaluation: Evaluation


def motion_spotter(
    motion: MotionSet, protocol: str = "strict", p: float = 0.55, known: pd.DataFrame | None = None
) -> BaselineResult:
    """Spot by the main-direction motion of the ROIs and Moilanen's threshold; nothing is trained.

    The per-frame score is `motion_contrast`, not smoothed further.  Peaks above `mean + p (max - mean)` and at
    least `k_p` apart are spotted, as intervals of `k_p` frames to either side.  The half length comes from the
    annotations the protocol allows, and every interval is named as the most frequent emotion of the other
    subjects (the first in class order on a tie): this spotter knows no emotions, so that its recognition and
    STRS are those of always saying the same.  Subjects that the protocol leaves without a video, or without
    another annotated subject, are left out.  With `known`, annotations of other persons, half length and emotion come
    from these alone.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol is {protocol!r}; use one of {', '.join(PROTOCOLS)}")
    videos = scored_videos(motion.windows, motion.annotations, protocol)
    annotated = motion.annotations["subject"]
    everybody = dict.fromkeys(s for s, _ in videos)
    if known is None:
        subjects = [s for s in everybody if (annotated != s).any()]
        k_p = {s: fold_half_length(motion.annotations, s, protocol) for s in subjects}
        names = {s: majority_emotion(motion.annotations[annotated != s]) for s in subjects}
    else:
        subjects = list(everybody)
        k_p = dict.fromkeys(subjects, half_length(known))
        names = dict.fromkeys(subjects, majority_emotion(known))
    traces = {
        key: motion_contrast(motion.windows[key], k_p[key[0]], motion.n_frames(*key))
        for key in videos
        if key[0] in k_p
    }
    tables = [
        _table(
            peak_intervals(score, k_p[subject], spot_threshold(score, p)),
            subject,
            video,
            names[subject],
            score,
        )
        for (subject, video), score in traces.items()
    ]
    predictions = pd.concat(tables, ignore_index=True) if tables else empty_predictions()
    truth = motion.annotations[annotated.isin(subjects)].reset_index(drop=True)
    return BaselineResult(predictions, truth, subjects, k_p, traces, evaluate(predictions, truth))


def majority_emotion(annotations: pd.DataFrame) -> str:
    """The most frequent emotion of an annotation table; of equally frequent ones the first in class order."""
    if annotations.empty:
        raise InputError("annotations hold no micro-expression, so there is no most frequent emotion")
    return max(EMOTIONS, key=lambda emotion: int((annotations["emotion"] == emotion).sum()))


DRAWS = Intervals(n=200)
"""How often chance is drawn, and how its intervals are."""


def chance_predictions(
    result: Scored, videos: pd.DataFrame, repeats: int = 1, seed: int | Sequence[int] = 0
) -> pd.DataFrame:
    """Random intervals in the place of a method's: per subject as many, each `2 k_p + 1` frames long.

    The apex falls on any frame of the subject's `videos` (a video table: `subject, video, n_frames`) with
    equal chance, and the emotion on any of the four.  All of it `repeats` times over: a prediction table with
    one more column, `draw`.
    """
    rng = np.random.default_rng(seed)
    tables = []
    for subject, count in result.predictions["subject"].value_counts(sort=False).items():
        own = videos[videos["subject"] == subject]
        if own.empty or subject not in result.k_p:
            raise InputError(f"videos or k_p lack subject {subject!r}, which has predictions; give them all")
        ends = np.cumsum(own["n_frames"].to_numpy())
        place = rng.integers(0, ends[-1], repeats * int(count))
        which = np.searchsorted(ends, place, side="right")
        apex = place - np.concatenate([[0], ends[:-1]])[which]
        half = result.k_p[str(subject)]
        table = pd.DataFrame({"onset": apex - half, "apex": apex, "offset": apex + half})
        table["subject"], table["video"] = str(subject), own["video"].to_numpy()[which]
        tables.append(table.assign(draw=np.repeat(np.arange(repeats), int(count))))
    if not tables:
        return empty_predictions().assign(draw=0)
    drawn = pd.concat(tables, ignore_index=True)
    drawn = drawn.assign(emotion=rng.choice(EMOTIONS, len(drawn)), score=0.0)
    return drawn[[*PREDICTION_COLUMNS, "draw"]]


def chance_scores(result: Scored, videos: pd.DataFrame, intervals: Intervals = DRAWS) -> pd.DataFrame:
    """Scores of `chance_predictions` over `intervals.n` draws: a table `metric, value, low, high`.

    `value` is the mean over the draws; the interval is over draws and subjects, each draw being scored on
    its own bootstrap sample of the result's subjects.
    """
    names, repeats = [str(s) for s in result.subjects], intervals.n
    drawn = chance_predictions(result, videos, repeats, [intervals.seed, 2])
    truth = result.annotations.iloc[np.tile(np.arange(len(result.annotations)), repeats)]
    truth = truth.assign(draw=np.repeat(np.arange(repeats), len(result.annotations)))
    # One evaluation for all draws: the subjects of each draw are subjects of their own.
    everybody = [_of_draw(i, name) for i in range(repeats) for name in names]
    counts = SubjectCounts.of(_renamed(drawn), _renamed(truth), everybody)
    chosen = class_indices(EMOTIONS)
    ones = np.ones((repeats, len(names)))
    values, spread = (
        scores_of_counts(
            np.einsum("rs,rsc->rc", weights, counts.spotting.reshape(repeats, len(names), -1)),
            np.einsum("rs,rsij->rij", weights, counts.confusion.reshape(repeats, len(names), 4, 5)),
            chosen,
        )
        for weights in (ones, resamples(len(names), repeats, intervals.seed))
    )
    rows = [(m, values[m].mean(), *percentiles(spread[m], intervals.level)) for m in METRICS]
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high"])


def _renamed(table: pd.DataFrame) -> pd.DataFrame:
    pairs = zip(table["draw"], table["subject"], strict=True)
    return table.assign(subject=[_of_draw(draw, subject) for draw, subject in pairs])


def _of_draw(draw: int, subject: str) -> str:
    return f"{draw}#{subject}"


def _table(intervals: np.ndarray, subject: str, video: str, emotion: str, score: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(intervals, columns=["onset", "apex", "offset"])
    table = table.assign(subject=subject, video=video, emotion=emotion, score=score[intervals[:, 1]])
    return check_predictions(table[list(PREDICTION_COLUMNS)])
