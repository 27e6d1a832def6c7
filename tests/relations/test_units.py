"""Action units by their spellings and their ROIs, and whether a map follows them."""

import numpy as np
import pandas as pd
import pytest

from metst_core.errors import InputError
from metst_core.relations import (
    action_unit_rois,
    focus,
    focus_table,
    lift_difference,
    moved_rois,
    parse_action_units,
    unit_motion,
    unit_targets,
)
from metst_core.relations.units import AU_ROIS, LEAST_MOVED, MOVED_FROM
from metst_core.rois import roi_names

pytestmark = pytest.mark.quick


def test_action_units_are_read_from_three_spellings():
    assert parse_action_units("AU12L=0.012000 AU12R=0.010 AU6L=0.1") == {12, 6}
    assert parse_action_units("4+7") == {4, 7}
    assert parse_action_units("L14, R12") == {14, 12}
    assert parse_action_units("") == set()


def test_surprise_moves_brows_and_the_smile_the_corners_of_the_mouth():
    names = roi_names()
    brows = action_unit_rois({1, 2}, names)
    assert {n for n, hit in zip(names, brows, strict=True) if hit} == {n for n in names if "brow" in n}
    assert {n for n, hit in zip(names, action_unit_rois({12}, names), strict=True) if hit} == {
        "mouth", "mouth_left_corner", "mouth_right_corner",
    }  # fmt: skip
    assert not action_unit_rois({5, 45}, names).any()  # the upper lid lies in no ROI


def test_what_a_unit_moves_is_computed_from_the_generators_fields():
    """Where a new person's field is far from the limits of `moved_rois`, the committed table says the same."""
    motion = unit_motion(1, seed=1)
    assert list(motion.index) == sorted(AU_ROIS) and list(motion.columns) == list(roi_names())
    for unit, row in motion.iterrows():
        limit = max(MOVED_FROM * row.max(), LEAST_MOVED)
        assert set(row.index[row > 2 * limit]) <= set(AU_ROIS[unit]) <= set(row.index[row > limit / 2])
    assert moved_rois(motion)[9]  # the nose wrinkler moves the wings, and the reference box with them
    assert (
        unit_motion(1, seed=1, less_head=True).loc[9, "left_brow_outer"]
        > LEAST_MOVED
        > motion.loc[9, "left_brow_outer"]
    )


def test_focus_tells_a_map_that_follows_from_one_that_always_stares():
    rng = np.random.default_rng(0)
    targets = np.zeros((30, 6), bool)
    targets[np.arange(30), rng.integers(0, 6, 30)] = True
    follows = np.where(targets, 0.5, 0.1)
    stares = np.tile([0.5, 0.1, 0.1, 0.1, 0.1, 0.1], (30, 1))
    good, bad = focus(follows, targets, 199), focus(stares, targets, 199)
    assert good["share"] == pytest.approx(0.5)
    assert good["p"] <= 0.01
    assert bad["lift"] == pytest.approx(1, abs=1e-9)
    assert bad["p"] == 1
    with pytest.raises(InputError, match="no row"):
        focus(follows, np.zeros_like(targets))


def test_lifts_are_compared_over_subjects():
    rng = np.random.default_rng(1)
    targets = rng.uniform(size=(40, 6)) < 0.3
    targets[0], targets[1] = True, False  # nothing to miss, nothing to hit: left out
    follows, blind = np.where(targets, 0.5, 0.1), rng.uniform(size=(40, 6))
    follows, blind = (maps / maps.sum(axis=1, keepdims=True) for maps in (follows, blind))
    people = np.repeat(list("abcdefgh"), 5)
    found = lift_difference(follows, blind, targets, people)
    by_permutation = focus(follows, targets, 4999)["lift"] - focus(blind, targets, 4999)["lift"]
    assert found["difference"] == pytest.approx(by_permutation, abs=0.01)
    assert 0 < found["low"] < found["difference"] < found["high"]
    same = lift_difference(blind, blind, targets, people)
    assert same == {"difference": 0, "low": 0, "high": 0}
    other = rng.uniform(size=(40, 6))  # two maps that know nothing: no difference to be sure of
    unsure = lift_difference(blind, other / other.sum(axis=1, keepdims=True), targets, people)
    assert unsure["low"] < 0 < unsure["high"]
    with pytest.raises(InputError, match="same rows"):
        lift_difference(follows, blind[1:], targets, people)


def test_targets_are_those_of_each_mes_own_units_and_none_where_no_units_are_known():
    names = roi_names()
    mes = pd.DataFrame({"subject": "s", "video": ["v", "v", "w"], "onset": [90, 30, 30]})
    truth = pd.DataFrame({
        "subject": "s", "video": ["v", "v"], "onset": [30, 90], "action_units": ["AU1L=0.01", "12"], "apex": 0,
    })  # fmt: skip
    found = unit_targets(mes, truth, names)
    assert np.array_equal(found[0], action_unit_rois({12}, names))
    assert np.array_equal(found[1], action_unit_rois({1}, names))
    assert not found[2].any()


def test_focus_table_is_focus_line_by_line():
    rng = np.random.default_rng(3)
    maps, targets = rng.dirichlet(np.ones(6), 20), rng.uniform(size=(20, 6)) < 0.3
    table = focus_table({"a": maps, "b": maps[::-1]}, targets, seed=2)
    assert list(table.index) == ["a", "b"]
    assert table.loc["b"].to_dict() == focus(maps[::-1], targets, seed=2)
