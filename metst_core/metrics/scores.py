"""Scores of spotting, recognition and analysis (STRS), from counts per person.

Definitions follow the MEGC rules and ME-TST+ (arXiv 2508.08082, evaluation).  Intervals are inclusive frames.
Matching is one-to-one and per (subject, video); counts are pooled over all videos.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from metst_core.checks import one_of
from metst_core.errors import InputError
from metst_core.metrics.matching import match_tables
from metst_core.tables import CLASSES, EMOTIONS, KINDS, as_name, check_annotations, check_predictions

METRICS = (
    "spotting_precision",
    "spotting_recall",
    "spotting_f1",
    "recognition_f1",
    "uf1",
    "uar",
    "strs",
)
"""The scores of an `Evaluation`, in the order in which tables show them."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of a prediction table against an annotation table.

    `tp`, `fp`, `fn` count intervals over everything.  Recognition is scored on the true positives alone
    whose true emotion is among `classes`: `recognition_f1` is the harmonic mean of macro precision and
    macro recall, `uf1` the mean F1 and `uar` the mean recall over the classes that occur in truth or
    prediction; `strs` is `spotting_f1 * recognition_f1`.  `confusion` counts those true positives: rows
    truth (`classes`), columns prediction (the four emotions, then neutral).
    """

    tp: int
    fp: int
    fn: int
    spotting_precision: float
    spotting_recall: float
    spotting_f1: float
    recognition_f1: float
    uf1: float
    uar: float
    strs: float
    confusion: pd.DataFrame

    def __repr__(self) -> str:
        return f"Evaluation({self.tp} TP, {self.fp} FP, {self.fn} FN; {scores_line(self)})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.confusion.to_html()}"

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain numbers, strings, lists and dicts (for `results.json`)."""
        counts = {name: int(getattr(self, name)) for name in ("tp", "fp", "fn")}
        scores = {name: float(getattr(self, name)) for name in METRICS}
        confusion = {
            "truth": [str(c) for c in self.confusion.index],
            "prediction": [str(c) for c in self.confusion.columns],
            "counts": self.confusion.to_numpy().tolist(),
        }
        return {**counts, **scores, "confusion": confusion}


def scores_line(evaluation: Evaluation) -> str:
    """The three scores that a method is known by, in one line."""
    return (
        f"spotting F1 {evaluation.spotting_f1:.3f}, recognition F1 {evaluation.recognition_f1:.3f}, "
        f"STRS {evaluation.strs:.3f}"
    )


def class_indices(classes: Sequence[str]) -> list[int]:
    """Positions of emotions in `EMOTIONS`; `InputError` for a name that is none, or comes twice."""
    names = list(classes) if isinstance(classes, Iterable) and not isinstance(classes, str) else []
    if not names or any(not isinstance(c, str) or names.count(c) > 1 or c not in EMOTIONS for c in names):
        raise InputError(f"classes is {classes!r}; use a list of distinct names of {', '.join(EMOTIONS)}")
    return [EMOTIONS.index(c) for c in names]


@dataclass(frozen=True)
class Scoring:
    """Which variant of the measures: what `evaluate` documents, in one object.

    classes: the true emotions that recognition is scored over.
    absent: a class in neither truth nor prediction is left out of the means ("leave_out") or counts as 0 ("zero").
    empty_videos: predictions in videos without truth are false positives ("count") or not looked at ("ignore").
    kinds: the kinds of expression that are spotted.
    """

    classes: tuple[str, ...] = EMOTIONS
    absent: str = "leave_out"
    empty_videos: str = "count"
    kinds: tuple[str, ...] = ("micro",)

    def __post_init__(self) -> None:
        class_indices(self.classes)
        one_of("absent", self.absent, ("leave_out", "zero"))
        one_of("empty_videos", self.empty_videos, ("count", "ignore"))
        if isinstance(self.kinds, str) or not self.kinds or not set(self.kinds) <= set(KINDS):
            raise InputError(f"kinds is {self.kinds!r}; use a tuple of {', '.join(map(repr, KINDS))}")


SCORING = Scoring()
PRESETS = {"megc": Scoring(absent="zero", empty_videos="ignore")}
"""Variants by name: `megc` keeps every class of the task in the means and does not look at videos without truth."""


def evaluate(
    predictions: pd.DataFrame,
    annotations: pd.DataFrame,
    classes: Sequence[str] = EMOTIONS,
    absent: str = "leave_out",
    preset: str | None = None,
    kinds: Sequence[str] = ("micro",),
) -> Evaluation:
    """Score a prediction table against an annotation table (its `score` column is not needed).

    `classes` restricts the recognition scores: true positives whose true emotion is left out leave them,
    while one named as a left-out emotion stays as a miss of its true class.  Spotting is always over
    everything.  Predictions in a video without annotations are false positives.  A ratio with nothing below
    it counts 0, and a class that is in neither truth nor prediction is left out of the means (`absent="zero"`
    keeps it there as 0).  `preset="megc"` scores as the public scorers of the challenge do: absent classes are 0,
    and predictions in videos without truth are not looked at.

    Tables may have a column `kind` (`micro`, `macro`); without it all rows are micro-expressions.  Only the
    `kinds` named are scored, each matched with its own; emotions are scored for micro-expressions alone.

    The order of rows does not matter (`match_intervals`).  Ids are compared as text, a whole float as the whole
    number it is; an id of the predictions that the truth spells otherwise (`01`, `1.0`, "1 " beside "1") is refused.

    >>> truth = pd.DataFrame(
    ...     [("s1", "v1", 10, 15, 20, "surprise"), ("s1", "v1", 50, 55, 60, "positive")],
    ...     columns=["subject", "video", "onset", "apex", "offset", "emotion"],
    ... )
    >>> found = truth.iloc[:1].assign(offset=22)
    >>> evaluate(found, truth)
    Evaluation(1 TP, 0 FP, 1 FN; spotting F1 0.667, recognition F1 1.000, STRS 0.667)
    """
    class_indices(classes)
    scoring = Scoring(tuple(classes), absent, kinds=tuple([kinds] if isinstance(kinds, str) else kinds))
    if preset is not None:
        known = PRESETS[one_of("preset", preset, PRESETS)]
        scoring = replace(known, classes=scoring.classes, kinds=scoring.kinds)
    counts = SubjectCounts.of(predictions, annotations, None, scoring)
    chosen = class_indices(classes)
    row = counts.spotting.sum(axis=0)
    confusion = counts.confusion.sum(axis=0)
    scores = scores_of_counts(row[None], confusion[None], chosen, scoring.absent)
    table = pd.DataFrame(confusion[chosen], index=[EMOTIONS[i] for i in chosen], columns=list(CLASSES))
    table.index.name, table.columns.name = "truth", "prediction"
    tp, fp, fn = (int(v) for v in row)
    return Evaluation(tp, fp, fn, **{name: float(scores[name][0]) for name in METRICS}, confusion=table)


def scoring_variants(
    predictions: pd.DataFrame, annotations: pd.DataFrame, classes: Sequence[str] = EMOTIONS
) -> pd.DataFrame:
    """The same predictions under the rules that are in use: `rule, fp, spotting_f1, recognition_f1, uf1, uar, strs`.

    The last row calls macro precision "UAR", as one public scorer does; the other scores are those of `megc`.
    """
    rules = {
        "ours": {},
        "absent classes count 0": {"absent": "zero"},
        "megc": {"preset": "megc"},
    }
    found = {name: evaluate(predictions, annotations, classes, **options) for name, options in rules.items()}
    columns = ("fp", "spotting_f1", "recognition_f1", "uf1", "uar", "strs")
    rows = [{"rule": name, **{c: getattr(e, c) for c in columns}} for name, e in found.items()]
    confusion = found["megc"].confusion
    right = np.array([confusion.loc[c, c] for c in classes])
    precision = _ratio(right, confusion[list(classes)].to_numpy().sum(axis=0)).mean()
    rows.append({**rows[-1], "rule": "megc, macro precision as UAR", "uar": float(precision)})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class SubjectCounts:
    """Per subject: `spotting (S, 3)` of tp, fp, fn and `confusion (S, 4, 5)` of the true positives.

    Everything that is scored follows from these counts, so resampling subjects needs no second matching.
    """

    spotting: np.ndarray
    confusion: np.ndarray

    @property
    def n_subjects(self) -> int:
        return len(self.spotting)

    def scores(
        self, weights: np.ndarray, chosen: list[int], absent: str = "leave_out"
    ) -> dict[str, np.ndarray]:
        """Pooled scores `(n,)` with subject s counted `weights[:, s]` times; `weights` is `(n, S)`."""
        return scores_of_counts(
            weights @ self.spotting, np.tensordot(weights, self.confusion, axes=1), chosen, absent
        )

    @classmethod
    def of(
        cls,
        predictions: pd.DataFrame,
        annotations: pd.DataFrame,
        subjects: Sequence[str] | None,
        scoring: Scoring = SCORING,
    ) -> SubjectCounts:
        """Counts of two tables, subjects in the given order (None: as they are met, annotations first)."""
        if isinstance(predictions, pd.DataFrame) and "score" not in predictions.columns:
            predictions = predictions.assign(score=np.nan)
        found = _with_kind(check_predictions(predictions), predictions, "prediction table")
        truth = _with_kind(check_annotations(annotations), annotations, "annotation table")
        found, truth = (t[t["kind"].isin(scoring.kinds)].reset_index(drop=True) for t in (found, truth))
        if isinstance(subjects, str) or not isinstance(subjects, Iterable | None):
            raise InputError(f"subjects is {subjects!r}; give a list of subjects' names")
        subjects = None if subjects is None else [as_name(s) for s in subjects]
        _refuse_other_spellings(found, truth, subjects or [])
        if scoring.empty_videos == "ignore":
            with_truth = set(zip(truth["subject"], truth["video"], strict=True))
            keys = zip(found["subject"], found["video"], strict=True)
            found = found[[key in with_truth for key in keys]].reset_index(drop=True)
        seen = dict.fromkeys([*truth["subject"], *found["subject"]])
        index = {s: i for i, s in enumerate(seen if subjects is None else subjects)}
        if subjects is not None and (len(subjects) == 0 or len(index) != len(subjects)):
            raise InputError("subjects must name every evaluated subject exactly once")
        unknown = [s for s in seen if s not in index]
        if unknown:
            raise InputError(
                f"subjects lacks {unknown[0]!r}, which has predictions or annotations; name all of them"
            )
        return cls(*_count(found, truth, index))


def _with_kind(checked: pd.DataFrame, given: pd.DataFrame, where: str) -> pd.DataFrame:
    """A checked table with the column `kind` of what was given, `micro` where that has none."""
    if "kind" not in given.columns:
        return checked.assign(kind=KINDS[0])
    kinds = given["kind"].reset_index(drop=True)
    wrong = kinds.index[~kinds.isin(KINDS)]
    if len(wrong):
        raise InputError(f"{where}: row {wrong[0]}: kind is {kinds[wrong[0]]!r}; use {' or '.join(KINDS)}")
    return checked.assign(kind=kinds)


def _refuse_other_spellings(found: pd.DataFrame, truth: pd.DataFrame, subjects: Sequence[str]) -> None:
    """Raise an `InputError` for an id of the predictions that the truth has in another spelling only."""
    known = {"subject": {*truth["subject"], *subjects}}
    by_subject = truth.groupby("subject")["video"]
    videos = {subject: set(mine) for subject, mine in by_subject}
    for subject, video in dict.fromkeys(zip(found["subject"], found["video"], strict=True)):
        for column, name, others in (
            ("subject", subject, known["subject"]), ("video", video, videos.get(subject, set())),
        ):  # fmt: skip
            alike = [] if name in others else sorted(o for o in others if _spelling(o) == _spelling(name))
            if alike:
                raise InputError(
                    f"prediction table: {column} {name!r} is {alike[0]!r} in the annotations; spell ids alike"
                )


def _spelling(name: str) -> str:
    """An id without stray spaces, padding zeros and the decimal point of a whole number."""
    text = name.strip()
    return re.sub(r"^0+(?=[0-9])", "", re.sub(r"^([0-9]+)\.0*$", r"\1", text))


def _count(
    predictions: pd.DataFrame, annotations: pd.DataFrame, index: dict[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """`spotting (S, 3)` and `confusion (S, 4, 5)`; each kind is matched with its own, and micro ones are named."""
    apart = [t.assign(video=t["kind"] + "/" + t["video"]) for t in (predictions, annotations)]
    matched = match_tables(*apart)
    hit = matched >= 0
    of_prediction = np.array([index[s] for s in predictions["subject"]], dtype=np.int64)
    of_annotation = np.array([index[s] for s in annotations["subject"]], dtype=np.int64)
    missed = np.ones(len(annotations), bool)
    missed[matched[hit]] = False
    columns = (of_prediction[hit], of_prediction[~hit], of_annotation[missed])
    spotting = np.stack([np.bincount(column, minlength=len(index)) for column in columns], axis=1)
    confusion = np.zeros((len(index), len(EMOTIONS), len(CLASSES)), np.int64)
    named = np.array([CLASSES.index(e) for e in predictions["emotion"]], dtype=np.int64)
    truth = np.array([CLASSES.index(e) for e in annotations["emotion"]], dtype=np.int64)
    micro = hit & (predictions["kind"] == KINDS[0]).to_numpy(dtype=bool)
    np.add.at(confusion, (of_prediction[micro], truth[matched[micro]], named[micro]), 1)
    return spotting, confusion


def scores_of_counts(
    spotting: np.ndarray, confusion: np.ndarray, chosen: list[int], absent: str = "leave_out"
) -> dict[str, np.ndarray]:
    """All metrics `(n,)` from counts: `spotting (n, 3)`, `confusion (n, 4, 5)`, truth classes `chosen`.

    `absent` as in `Scoring`.
    """
    tp, fp, fn = spotting[:, 0], spotting[:, 1], spotting[:, 2]
    kept = confusion[:, chosen]
    right = kept[:, range(len(chosen)), chosen]
    truth, named = kept.sum(axis=2), kept[:, :, chosen].sum(axis=1)
    precision, recall = _ratio(right, named), _ratio(right, truth)
    occurs = (truth + named > 0) | (absent == "zero")
    spotting_f1 = _ratio(2 * tp, 2 * tp + fp + fn)
    recognition_f1 = _harmonic(_mean_over(occurs, precision), _mean_over(occurs, recall))
    return {
        "spotting_precision": _ratio(tp, tp + fp),
        "spotting_recall": _ratio(tp, tp + fn),
        "spotting_f1": spotting_f1,
        "recognition_f1": recognition_f1,
        "uf1": _mean_over(occurs, _ratio(2 * right, truth + named)),
        "uar": _mean_over(occurs, recall),
        "strs": spotting_f1 * recognition_f1,
    }


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """`above / below`, 0 where `below` is 0."""
    return np.divide(above, below, out=np.zeros(np.shape(below)), where=np.asarray(below) > 0)


def _mean_over(occurs: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean over the classes `(n, classes)` that occur, 0 where none does."""
    return _ratio((values * occurs).sum(axis=1), occurs.sum(axis=1))


def _harmonic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _ratio(2 * a * b, a + b)
