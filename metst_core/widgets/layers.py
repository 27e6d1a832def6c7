"""What the explorer can relate: the ROIs' motion, and what a network makes of pairs of them, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metst_core.models import Network
from metst_core.relations import (
    COMPONENTS,
    MeWindows,
    Traces,
    lagged_correlation,
    pair_interaction,
    partial_correlation,
    stem_mixing,
)
from metst_core.tables import CLASSES, EMOTIONS

_MOST_EDGES = 24  # what a default threshold lets through


@dataclass(frozen=True)
class Layer:
    """One kind of relation for the explorer: values `(n_conditions, n_components, n_lags, R, R)`.

    signed: values below 0 occur and mean something.  critical `(n_conditions, n_components)` or None: the 5%
    level of |value|.  symbol: what the number is called; note: one sentence that says what it is.
    """

    name: str
    symbol: str
    note: str
    conditions: tuple[str, ...]
    components: tuple[str, ...]
    lags: tuple[int, ...]
    values: np.ndarray
    signed: bool = True
    critical: np.ndarray | None = None

    @property
    def top(self) -> float:
        """The end of the colour scale: 1 for a correlation, else what 99% of the values stay below."""
        if self.critical is not None:
            return 1.0
        off = ~np.eye(self.values.shape[-1], dtype=bool)
        return max(float(np.quantile(np.abs(self.values[..., off]), 0.99)), 1e-6)

    @property
    def threshold(self) -> float:
        """Where edges start unless told otherwise: few to look at, and beyond chance where that is known."""
        upper = np.triu_indices(self.values.shape[-1], 1)
        first = np.abs(self.values[0, -1, len(self.lags) // 2][upper])
        level = 0.0 if self.critical is None else float(self.critical[0, -1])
        return min(max(level, float(np.sort(first)[-min(_MOST_EDGES, len(first))])), self.top)


def motion_layers(traces: Traces, max_lag: int = 6, n_permutations: int = 99, seed: int = 0) -> list[Layer]:
    """The relations in the motion: lagged and partial correlation, for every condition and component."""
    conditions = tuple(sorted(traces.conditions(), key=lambda c: c != "inside"))
    notes = {
        "motion": "Correlation of the change of motion between two ROIs; with a lag, the row's ROI moves "
        "first.",
        "motion, others held fixed": "Partial correlation: what two ROIs share that none of the others "
        "explains.",
    }
    layers = []
    for name, note in notes.items():
        found = [
            [
                lagged_correlation(traces, condition, component, max_lag, n_permutations, seed)
                if name == "motion"
                else partial_correlation(traces, condition, component, n_permutations, seed)
                for component in COMPONENTS
            ]
            for condition in conditions
        ]
        values = np.array([[r.r for r in row] for row in found])
        levels = np.array([[r.critical() for r in row] for row in found]) if n_permutations else None
        layers.append(
            Layer(name, "r", note, conditions, COMPONENTS, found[0][0].lags, values, critical=levels)
        )
    return layers


def network_layers(model: Network, windows: MeWindows, most: int = 3) -> list[Layer]:
    """The relations in a network: the stem's mixing, and the pairwise interaction at every layer and output.

    Interaction is measured in up to `most` ME windows per emotion; `inside` is the mean over all of them.
    """
    mixing = stem_mixing(model)[None, None, None]
    stem = Layer(
        "stem weights", "cos", "How the first convolution's filters join ROIs: add them (above 0) or "
        "compare them (below 0).",
        ("inside",), ("both",), (0,), mixing,
    )  # fmt: skip
    rows = {e: np.flatnonzero(windows.classes == CLASSES.index(e))[:most] for e in EMOTIONS}
    rows = {emotion: picked for emotion, picked in rows.items() if len(picked)}
    found = {emotion: pair_interaction(model, windows.motion[picked]) for emotion, picked in rows.items()}
    weights = [len(picked) for picked in rows.values()]
    note = (
        "Interaction: what leaving out two ROIs together changes that leaving them out one by one does not."
    )
    layers = [stem]
    for name in next(iter(found.values())):
        each = [found[emotion][name] for emotion in rows]
        values = np.stack([np.average(each, axis=0, weights=weights), *each])[:, None, None]
        layers.append(
            Layer(f"network: {name}", "I", note, ("inside", *rows), ("both",), (0,), values, signed=False)
        )
    return layers
