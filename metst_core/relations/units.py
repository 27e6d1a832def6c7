"""Whether a map looks where the action unit is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from metst_core.errors import InputError
from metst_core.metrics import INTERVALS, Intervals, percentiles, resamples
from metst_core.relations.correlation import p_values
from metst_core.relations.traces import region_members

AU_REGIONS = {
    1: ("brows",), 2: ("brows",), 4: ("brows",), 5: ("eyelids",), 6: ("eyelids",), 7: ("eyelids",),
    9: ("nose", "brows"), 10: ("nose", "mouth"), 12: ("mouth",), 14: ("mouth",), 15: ("mouth",),
    17: ("mouth",), 20: ("mouth",), 23: ("mouth",), 24: ("mouth",), 25: ("mouth",), 26: ("mouth",),
    45: ("eyelids",),
}  # fmt: skip
"""FACS action unit -> the parts of the face it moves, of those that hold ROIs."""


def parse_action_units(text: str) -> set[int]:
    """FACS numbers out of a label such as "AU12L=0.012 AU12R=0.010" or "4+7" or "L14"."""
    numbers = set()
    for word in text.replace("+", " ").replace(",", " ").split():
        digits = "".join(c for c in word.split("=")[0] if c.isdigit())
        if digits:
            numbers.add(int(digits))
    return numbers


def action_unit_rois(units: Iterable[int], names: Sequence[str]) -> np.ndarray:
    """Which of the ROIs the given action units move (`AU_REGIONS`): `(R,)` bool."""
    members = region_members(names)
    moved = {name for unit in units for region in AU_REGIONS.get(unit, ()) for name in members[region]}
    return np.array([name in moved for name in names])


def unit_targets(mes: pd.DataFrame, truth: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Which ROIs the action units of every ME move: `(n, R)` bool, a row per row of `mes`.

    truth: `subject, video, onset, action_units` (the last as text, see `parse_action_units`), as a synthetic
    set keeps it in `truth/micro_expressions.csv`.  An ME that is not in it moves nothing.
    """
    keys = ["subject", "video", "onset"]
    units = mes[keys].merge(truth[[*keys, "action_units"]], on=keys, how="left")["action_units"].fillna("")
    return np.array([action_unit_rois(parse_action_units(str(text)), names) for text in units])


def focus(
    shares: np.ndarray, targets: np.ndarray, n_permutations: int = 999, seed: int = 0
) -> dict[str, float]:
    """Do maps look where they should?  `shares` `(n, R)` sum to 1 per row, `targets` `(n, R)` bool.

    `share`: mean share on the targets; `by_chance`: the same when targets are exchanged among the rows,
    which keeps what the map favours anyway; `lift` = share / by_chance; `p` one-sided.  Rows without a
    target, or with nothing but targets, are left out.
    """
    shares, targets, _ = _with_targets(shares, targets)
    observed = float((shares * targets).sum(axis=1).mean())
    rng = np.random.default_rng(seed)
    null = np.array([(shares * rng.permutation(targets)).sum(axis=1).mean() for _ in range(n_permutations)])
    return {
        "share": observed, "by_chance": float(null.mean()), "lift": observed / max(float(null.mean()), 1e-12),
        "p": float(p_values(np.array([observed]), null[:, None])[0]), "n": len(shares),
    }  # fmt: skip


def focus_table(maps: Mapping[str, np.ndarray], targets: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """`focus` of several maps of the same rows, one line each: `share, by_chance, lift, p, n`."""
    return pd.DataFrame({name: focus(shares, targets, seed=seed) for name, shares in maps.items()}).T


def lift_difference(
    a: np.ndarray,
    b: np.ndarray,
    targets: np.ndarray,
    subjects: Sequence[str],
    intervals: Intervals = INTERVALS,
) -> dict[str, float]:
    """Do maps `a` look where they should more than maps `b` of the same rows?  Shapes as in `focus`.

    `difference` of the lifts (a - b), `low` and `high` of its paired bootstrap interval over `subjects` `(n,)`.
    By chance is here the mean over all exchanges: mean shares times how often each ROI is a target.
    """
    owners = np.asarray(subjects, str)
    if np.shape(a) != np.shape(b) or len(owners) != len(a):
        raise InputError(
            f"a {np.shape(a)}, b {np.shape(b)} and {len(owners)} subjects must be of the same rows"
        )
    names = list(dict.fromkeys(owners))
    weights = np.vstack([np.ones(len(names)), resamples(len(names), intervals.n, intervals.seed)])
    lifts = []
    for maps in (a, b):
        shares, targeted, use = _with_targets(maps, targets)
        mine = np.stack([owners[use] == name for name in names]).astype(float)
        rows = weights @ mine  # how often each row counts, (1 + n, rows)
        rows = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-12)
        by_chance = ((rows @ shares) * (rows @ targeted)).sum(axis=1)
        lifts.append(rows @ (shares * targeted).sum(axis=1) / np.maximum(by_chance, 1e-12))
    difference = lifts[0] - lifts[1]
    low, high = percentiles(difference[1:], intervals.level)
    return {"difference": float(difference[0]), "low": low, "high": high}


def _with_targets(shares: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows in which there is something to hit and something to miss, and which they are."""
    shares, targets = np.asarray(shares, float), np.asarray(targets, bool)
    if shares.shape != targets.shape or shares.ndim != 2:
        raise InputError(f"shares {shares.shape} and targets {targets.shape} must both be (windows, ROIs)")
    use = np.asarray(targets.any(axis=1) & ~targets.all(axis=1))
    if not use.any():
        raise InputError("no row has both ROIs that are targets and ROIs that are not")
    return shares[use], targets[use], use
