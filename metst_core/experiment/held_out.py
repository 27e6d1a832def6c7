"""What networks said about persons they had not seen: the threshold, the calibration and the numbers that follow."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from metst_core import tables
from metst_core.decoding import half_length
from metst_core.inference import Calibration, TrainedModel, decode_trace
from metst_core.metrics import match_intervals
from metst_core.training import ScoreTrace

_LOWEST_CANDIDATE = 0.05  # peaks of the smoothed score below this are not even used for calibration
_THRESHOLDS = np.round(np.arange(0.10, 0.91, 0.02), 2)
_ENDS = ["onset", "offset"]
_BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What was said of groups of persons by networks that had not seen them, and the truth.

    traces: by (group, video), score and probabilities from the network that held the group out.
    annotations: the truth under the same names, the groups in the place of subjects.
    """

    traces: dict[tuple[str, str], ScoreTrace]
    annotations: pd.DataFrame

    @property
    def groups(self) -> list[str]:
        """The groups, in the order of the traces."""
        return list(dict.fromkeys(group for group, _ in self.traces))

    def truth(self, group: str, video: str) -> np.ndarray:
        """The true intervals of a video, (n, 2)."""
        return tables.of_video(self.annotations, group, video)[_ENDS].to_numpy()

    def without(self, model: TrainedModel, group: str) -> TrainedModel:
        """`model` as someone would have it who does not know how long the movements of a group are."""
        return replace(model, k_p=half_length(self.annotations[self.annotations["subject"] != group]))

    def decoded(self, model: TrainedModel, group: str) -> pd.DataFrame:
        """The prediction table of a group, with the model's constants."""
        mine = {key: trace for key, trace in self.traces.items() if key[0] == group}
        return joined(decode_trace(model, *trace, *key) for key, trace in mine.items())


def joined(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Prediction tables as one."""
    filled = [table for table in parts if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables.empty_predictions()


def calibrate(draft: TrainedModel, held_out: HeldOut) -> TrainedModel:
    """`draft` with a threshold and a calibration that follow from `held_out`.

    The threshold is the one with the best spotting F1 over all groups.  Candidates that are all true or all false
    tell nothing of the confidence: then there is no calibration, and a warning says so.
    """
    threshold = _best_threshold(_counts(draft, held_out).values())
    candidates = _candidates(draft, held_out)
    n_true = int(candidates["hit"].sum())
    if not 0 < n_true < len(candidates):
        warnings.warn(
            f"of {len(candidates)} intervals of persons not seen {n_true} are true: no calibration, the confidence will "
            "be unknown",
            stacklevel=2,
        )
        return replace(draft, threshold=threshold, calibration=None)
    evidence = _reliability(candidates, _said_unseen(draft, held_out))
    calibration = Calibration.fit(candidates["score"], candidates["hit"], evidence)
    return replace(draft, threshold=threshold, calibration=calibration)


def nested_predictions(model: TrainedModel, held_out: HeldOut) -> dict[str, pd.DataFrame]:
    """Predictions for all groups, by how the threshold is chosen.

    The constants for each group come from the other groups alone.
    """
    nested: list[pd.DataFrame] = []
    papers: list[pd.DataFrame] = []
    for group in held_out.groups:
        unknowing = held_out.without(model, group)
        counts = _counts(unknowing, held_out)
        threshold = _best_threshold(part for other, part in counts.items() if other != group)
        nested.append(held_out.decoded(replace(unknowing, threshold=threshold), group))
        papers.append(held_out.decoded(replace(unknowing, threshold=None), group))
    return {
        "own threshold, chosen on the other groups": joined(nested),
        "papers' threshold, p = 0.55": joined(papers),
    }


def _counts(model: TrainedModel, held_out: HeldOut) -> dict[str, np.ndarray]:
    """Group -> true positives, false positives, misses at every one of `_THRESHOLDS`, (n_thresholds, 3)."""
    lowest = replace(model, threshold=float(_THRESHOLDS[0]))
    counts = {group: np.zeros((len(_THRESHOLDS), 3), int) for group in held_out.groups}
    for (group, video), trace in held_out.traces.items():
        found = decode_trace(lowest, *trace, group, video)
        truth = held_out.truth(group, video)
        for number, threshold in enumerate(_THRESHOLDS):
            # A higher threshold only takes intervals away: a peak is never hidden by a lower one.
            kept = found.loc[found["score"] >= threshold, _ENDS].to_numpy()
            hits = int((match_intervals(kept, truth) >= 0).sum())
            counts[group][number] += (hits, len(kept) - hits, len(truth) - hits)
    return counts


def _best_threshold(counts: Iterable[np.ndarray]) -> float:
    """The threshold with the best spotting F1 over some groups' counts; of equally good ones the middle one."""
    hits, false, missed = np.sum(list(counts), axis=0).T
    f1 = 2 * hits / np.maximum(2 * hits + false + missed, 1)
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(_THRESHOLDS[best[len(best) // 2]])


def _candidates(model: TrainedModel, held_out: HeldOut) -> pd.DataFrame:
    """Every peak worth a look: group, smoothed score at the apex, whether it hits a true interval (IoU 0.5)."""
    parts = [pd.DataFrame({"group": [], "score": [], "hit": []})]
    for (group, video), trace in held_out.traces.items():
        found = decode_trace(replace(model, threshold=_LOWEST_CANDIDATE), *trace, group, video)
        hit = match_intervals(found[_ENDS].to_numpy(), held_out.truth(group, video)) >= 0
        parts.append(pd.DataFrame({"group": group, "score": found["score"], "hit": hit}))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def _said_unseen(draft: TrainedModel, held_out: HeldOut) -> pd.DataFrame:
    """The candidates of every group with the `confidence` that a calibration on the other groups gives.

    The half length is the other groups' too.  Groups whose others are all true or all false are left out.
    """
    parts = [pd.DataFrame({"hit": [], "confidence": []})]
    for group in held_out.groups:
        candidates = _candidates(held_out.without(draft, group), held_out)
        mine, others = (candidates[(candidates["group"] == group) == own] for own in (True, False))
        if len(mine) and 0 < others["hit"].sum() < len(others):
            calibration = Calibration.fit(others["score"], others["hit"])
            parts.append(mine.assign(confidence=calibration(mine["score"])))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _reliability(candidates: pd.DataFrame, known: pd.DataFrame) -> dict[str, Any]:
    """On how much the calibration rests, and how well confidence held where it was said of unseen groups."""
    bins, gaps = [], 0.0
    for low, high in itertools.pairwise(_BINS):
        rows = known[(known["confidence"] >= low) & ((known["confidence"] < high) | (high == 1))]
        if len(rows):
            said, seen = float(rows["confidence"].mean()), float(rows["hit"].mean())
            bins.append({"from": low, "to": high, "said": said, "seen": seen, "n": len(rows)})
            gaps += abs(said - seen) * len(rows)
    return {
        "n_intervals": len(candidates),
        "n_true": int(candidates["hit"].sum()),
        "n_groups": candidates["group"].nunique(),
        "bins": bins,
        "expected_calibration_error": gaps / max(len(known), 1),
        "brier": float(((known["confidence"] - known["hit"]) ** 2).mean()) if len(known) else None,
    }
