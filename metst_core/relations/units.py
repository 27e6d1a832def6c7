"""Whether a map looks where the action unit is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from metst_core.errors import InputError
from metst_core.landmarks import IBUG_TO_MESH
from metst_core.metrics import INTERVALS, Intervals, percentiles, resamples
from metst_core.motion import CROP_SIZE, crop_place, main_direction_mean
from metst_core.relations.correlation import p_values
from metst_core.rois import BOXES, REFERENCE, ROIS, Roi, round_points
from metst_core.synthetic import ACTION_UNITS, UNITS, identity, unit_field

MOVED_FROM = 0.2
"""A ROI counts as moved by an action unit when it moves at least this share of what the unit moves most."""
LEAST_MOVED = 0.25
"""... and at least so many pixels of the 320 crop at an intensity of 0.01 inter-ocular distances."""

AU_ROIS: dict[int, tuple[str, ...]] = {
    1: (
        "left_brow",
        "left_brow_inner",
        "left_brow_middle",
        "right_brow",
        "right_brow_inner",
        "right_brow_middle",
    ),
    2: (
        "left_brow",
        "left_brow_inner",
        "left_brow_middle",
        "left_brow_outer",
        "right_brow",
        "right_brow_middle",
        "right_brow_outer",
    ),
    4: (
        "left_brow",
        "left_brow_inner",
        "left_brow_middle",
        "right_brow",
        "right_brow_inner",
        "right_brow_middle",
        "right_brow_outer",
    ),
    5: (),
    6: ("left_eyelid", "right_eyelid"),
    7: ("left_eyelid", "right_eyelid"),
    9: ("mouth_left_corner", "mouth_right_corner", "left_wing", "right_wing", "right_eyelid"),
    10: (
        "mouth",
        "mouth_left_corner",
        "mouth_right_corner",
        "upper_lip",
        "mouth_centre",
        "left_wing",
        "right_wing",
    ),
    12: ("mouth", "mouth_left_corner", "mouth_right_corner"),
    14: ("mouth_left_corner", "mouth_right_corner"),
    15: ("mouth", "mouth_left_corner", "mouth_right_corner"),
    17: ("mouth", "lower_lip"),
    20: ("mouth_left_corner", "mouth_right_corner"),
    23: ("mouth_left_corner", "mouth_right_corner", "upper_lip", "lower_lip", "mouth_centre"),
    24: ("mouth_left_corner", "mouth_right_corner", "upper_lip", "lower_lip", "mouth_centre"),
    25: ("mouth", "lower_lip"),
    26: ("mouth", "upper_lip", "lower_lip", "mouth_centre"),
    45: (),
}
"""FACS action unit -> the ROIs it moves, computed from the generator's fields (`moved_rois`)."""


def parse_action_units(text: str) -> set[int]:
    """FACS numbers out of a label such as "AU12L=0.012 AU12R=0.010" or "4+7" or "L14"."""
    numbers = set()
    for word in text.replace("+", " ").replace(",", " ").split():
        digits = "".join(c for c in word.split("=")[0] if c.isdigit())
        if digits:
            numbers.add(int(digits))
    return numbers


def action_unit_rois(units: Iterable[int], names: Sequence[str]) -> np.ndarray:
    """Which of the ROIs the given action units move (`AU_ROIS`): `(R,)` bool."""
    moved = {name for unit in units for name in AU_ROIS.get(unit, ())}
    return np.array([name in moved for name in names])


def unit_motion(n_persons: int = 4, seed: int = 0, less_head: bool = False) -> pd.DataFrame:
    """How far each action unit moves each ROI, from the generator's fields: a table units x ROIs.

    At an intensity of 0.01 inter-ocular distances, in pixels of the 320 crop: the main-direction mean of the field in
    the ROI; the mean over `n_persons` generated persons, of both sides together.  `less_head` takes off that in the
    reference box, as motion is measured: a unit that wrinkles the nose (AU9) then seems to move every ROI.
    """
    x, y = np.meshgrid(np.arange(CROP_SIZE), np.arange(CROP_SIZE))
    sums = pd.DataFrame(0.0, index=sorted(ACTION_UNITS), columns=[roi.name for roi in ROIS])
    for index in range(n_persons):
        person = identity(seed, index)
        points = person.mesh[list(IBUG_TO_MESH), :2]
        place = crop_place(round_points(points))
        scale = CROP_SIZE / (place.right - place.left)
        on_crop = round_points((points - (place.left, place.top)) * scale)
        at = [(grid + 0.5) / scale - 0.5 + corner for grid, corner in ((x, place.left), (y, place.top))]
        for unit in ACTION_UNITS:
            fields = [unit_field(u, person.mesh, *at) for u in UNITS if u.au == unit]
            field = np.sum(fields, axis=0) * np.float32(0.01 * person.iod * scale)
            head = _mean_in(REFERENCE, field, on_crop) if less_head else np.zeros(2)
            for roi in ROIS:
                sums.loc[unit, roi.name] += np.hypot(*(_mean_in(roi, field, on_crop) - head)) / n_persons
    return sums


def moved_rois(motion: pd.DataFrame, share: float = MOVED_FROM) -> dict[int, tuple[str, ...]]:
    """The ROIs that each action unit moves, of `unit_motion`: at least `LEAST_MOVED` pixels, and `share` of the most."""
    return {
        int(unit): tuple(row.index[row >= max(share * row.max(), LEAST_MOVED)])
        for unit, row in motion.iterrows()
    }


def _mean_in(roi: Roi, field: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Main-direction mean (2,) of a field (320, 320, 2) in a ROI of a face with these points (68, 2)."""
    inside = field[BOXES[roi.box].bounds(points).slices][roi.region(points).slices]
    return main_direction_mean(inside, roi.q) if inside.size else np.zeros(2)


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
