"""What a score is worth: from the smoothed score at an apex to a confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metst_core.errors import InputError


@dataclass(frozen=True)
class Calibration:
    """From the smoothed score at the apex to the probability of a true positive (Platt's method).

    Fitted on intervals of subjects that the network had not seen; `evidence` says on how many, and how well
    it held for subjects that the calibration itself had not seen.
    """

    slope: float
    intercept: float
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def persons(self) -> str:
        """On whom it holds, to stand behind a confidence: "synthetic persons", or nothing where that is not known."""
        return "synthetic persons" if self.evidence.get("persons") == "synthetic" else ""

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Confidence in 0..1 of smoothed apex scores (n,)."""
        return 1 / (1 + np.exp(-(self.slope * np.asarray(scores, float) + self.intercept)))

    def of_voices(self, scores: np.ndarray) -> np.ndarray:
        """Confidence in 0..1 `(n,)` where every voice (`phases`) has a score of its own, `(n, V)`: the mean of theirs.

        The more they differ, the nearer it is to a half: what hangs on where the windows begin is not known.
        """
        each = self(np.asarray(scores, float))
        mean: np.ndarray = each.mean(axis=1)
        return mean

    @classmethod
    def fit(
        cls, scores: np.ndarray, hits: np.ndarray, evidence: Mapping[str, Any] | None = None
    ) -> Calibration:
        """Fit to scores `(n,)` and whether each was a true positive `(n,)` bool, both kinds being present."""
        x, y = np.asarray(scores, float), np.asarray(hits, bool)
        if not 0 < y.sum() < len(y):
            raise InputError(
                f"calibration needs true and false positives; of {len(y)} intervals {y.sum()} are true"
            )
        # Platt's targets: never quite 0 or 1, so that separable scores do not give an infinite slope.
        target = np.where(y, (y.sum() + 1) / (y.sum() + 2), 1 / ((~y).sum() + 2))
        design = np.stack([x, np.ones_like(x)], axis=1)
        weights = np.zeros(2)
        for _ in range(100):
            p = 1 / (1 + np.exp(-design @ weights))
            gradient = design.T @ (p - target) + 1e-6 * weights
            curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
            step = np.linalg.solve(curvature, gradient)
            weights = weights - step * min(1.0, 5.0 / np.abs(step).max())
            if np.abs(step).max() < 1e-9:
                break
        return cls(float(weights[0]), float(weights[1]), dict(evidence or {}))
