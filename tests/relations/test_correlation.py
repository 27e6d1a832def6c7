"""Which ROIs move together: planted relations are found, absent ones are not."""

import numpy as np
import pandas as pd
import pytest
from support.made_up_traces import NAMES, follow, noise_traces

from metst_core.errors import InputError
from metst_core.relations import (
    Traces,
    across_boxes,
    between_regions,
    difference,
    lagged_correlation,
    partial_correlation,
    roi_change,
)
from metst_core.relations.correlation import partial_of
from metst_core.windows import unstitch

pytestmark = pytest.mark.quick


def test_correlation_is_numpys_and_turns_round_with_the_lag():
    traces = noise_traces(1)
    found = lagged_correlation(traces, "all", "x", max_lag=3, n_permutations=0)
    x = next(iter(traces.values.values()))[0]
    assert np.allclose(found.at(0), np.corrcoef(x), atol=1e-5)
    assert np.allclose(found.at(2)[0, 1], np.corrcoef(x[0, :-2], x[1, 2:])[0, 1], atol=1e-5)
    assert np.allclose(found.r, found.r[::-1].transpose(0, 2, 1), atol=1e-5)


@pytest.mark.parametrize("condition", ["all", "inside", "outside", "surprise"])
@pytest.mark.parametrize("component", ["x", "y", "magnitude"])
def test_correlation_over_videos_is_that_of_all_pairs_of_frames_that_count(condition, component):
    """Readable definition in float64: every pair (t, t + lag) of which either, or for `outside` neither, is in an ME."""
    traces = noise_traces(3)
    found = lagged_correlation(traces, condition, component, max_lag=4, n_permutations=0)
    for lag in (-4, 0, 3):
        first, second = [], []
        for key, value in traces.values.items():
            series = value[("x", "y", "magnitude").index(component)]
            series = (series - series.mean(axis=1, keepdims=True)) / series.std(axis=1, keepdims=True)
            inside = set()
            for me in traces.annotations.itertuples():
                if (me.subject, me.video) == key and condition in ("inside", "outside", me.emotion):
                    inside |= set(range(me.onset, me.offset + 1))
            for t in range(max(0, -lag), series.shape[1] - max(0, lag)):
                either = t in inside or t + lag in inside
                if condition == "all" or either == (condition != "outside"):
                    first.append(series[:, t])
                    second.append(series[:, t + lag])
        expected = np.corrcoef(np.transpose(first), np.transpose(second))[:4, 4:]
        assert np.allclose(found.at(lag), expected, atol=1e-5)


@pytest.mark.parametrize("condition", ["all", "inside", "surprise"])
@pytest.mark.parametrize("lag", [0, 3])
def test_a_planted_relation_is_found_at_its_lag_and_nothing_else(condition, lag):
    traces = follow(noise_traces(6, seed=2), "b", "d", lag)
    table = lagged_correlation(traces, condition, "x", max_lag=5, n_permutations=39).table()
    best = table.iloc[0]
    assert {best.roi_a, best.roi_b} == {"b", "d"}
    assert best.lag == lag
    assert best.r > 0.8
    if lag:
        assert best.roi_a == "b", "the leader comes first"
    assert best.p_max <= 0.05
    assert (table["p_max"][1:] > 0.05).all()


def test_what_is_absent_is_found_no_more_often_than_allowed():
    """Family-wise error at the 5% level over 40 data sets without any relation: 2 expected, above 6 in 1% of cases."""
    hits = 0
    for seed in range(40):
        traces = noise_traces(2, n_frames=100, seed=100 + seed)
        table = lagged_correlation(traces, "all", "x", max_lag=2, n_permutations=19, seed=seed).table()
        hits += bool((table["p_max"] <= 0.05).any())
    assert hits <= 6


def test_drifting_series_that_share_nothing_do_not_pass_for_related():
    """Random walks correlate strongly; their changes, which we measure, do not."""
    rng = np.random.default_rng(3)
    walks = rng.normal(size=(4, 400)).cumsum(axis=1)
    assert np.abs(np.corrcoef(walks)[np.triu_indices(4, 1)]).max() > 0.4
    cut = unstitch(walks.T, 50)
    change = roi_change((cut - cut[:, :1]).transpose(0, 2, 1), 400)
    assert np.abs(np.corrcoef(change)[np.triu_indices(4, 1)]).max() < 0.2


def test_partial_correlation_is_that_of_the_residuals_of_two_regressions():
    """The textbook definition, by least squares in float64; the shrinkage here moves it by less than 0.01."""
    traces = follow(follow(noise_traces(1, n_frames=600), "a", "b", 0, 1.0, 1), "b", "c", 0, 1.0, 2)
    x = next(iter(traces.values.values()))[0]
    x = x - x.mean(axis=1, keepdims=True)
    expected = np.eye(4)
    for i, j in zip(*np.triu_indices(4, 1), strict=True):
        rest = np.delete(x, [i, j], axis=0).T
        left = [x[k] - rest @ np.linalg.lstsq(rest, x[k], rcond=None)[0] for k in (i, j)]
        expected[i, j] = expected[j, i] = np.corrcoef(*left)[0, 1]
    assert np.allclose(partial_of(np.corrcoef(x), 0.0), expected, atol=1e-9)
    found = partial_correlation(traces, "all", "x", n_permutations=0).at(0)
    assert np.allclose(found, expected, atol=0.01)


def slow_remainders(seed):
    """Three ROIs that follow a fourth, quick one, each with a slow movement of its own: no direct tie between the three."""
    rng = np.random.default_rng(seed)
    values = {}
    for v in range(2):
        slow = np.zeros((2, 4, 300))
        for t in range(1, 300):
            slow[:, :, t] = 0.9 * slow[:, :, t - 1] + 0.4 * rng.normal(size=(2, 4))
        shared = 3 * rng.normal(size=(2, 1, 300))
        slow[:, :1] = 0
        x, y = shared + slow
        values[f"s{v}", "v"] = np.stack([x, y, np.hypot(x, y)])
    return Traces(values, noise_traces(1).annotations, NAMES, 30.0)


def test_partial_correlation_finds_no_tie_between_slow_remainders_more_often_than_allowed():
    """Family-wise error over 60 data sets at the 5% level: 3 expected, 9 or more in 0.3% of cases (binomial).

    Rotating the ROIs themselves would fail here: what is quick in them hides how slow the remainders are."""
    hits = 0
    for seed in range(60):
        table = partial_correlation(slow_remainders(seed), "all", "x", n_permutations=19, seed=seed).table()
        table = table[(table["roi_a"] != "a") & (table["roi_b"] != "a")]
        hits += bool((table["p_max"] <= 0.05).any())
    assert hits < 9


def test_partial_correlation_keeps_the_direct_tie_and_drops_the_mediated_one():
    """a -> b -> c: a and c correlate, but not with b held fixed."""
    traces = follow(follow(noise_traces(6), "a", "b", 0, 0.5, 1), "b", "c", 0, 0.5, 2)
    plain = lagged_correlation(traces, "all", "x", 0, n_permutations=0).at(0)
    partial = partial_correlation(traces, "all", "x", n_permutations=39)
    assert plain[0, 2] > 0.5
    assert abs(partial.at(0)[0, 2]) < partial.critical()
    assert partial.at(0)[0, 1] > 0.3
    assert partial.at(0)[1, 2] > 0.3


def test_a_relation_that_is_there_only_inside_is_told_from_one_that_always_is():
    base = noise_traces(6, seed=4)
    everywhere = follow(base, "a", "b", 0)
    only_inside = follow(everywhere, "c", "d", 0)
    values = {}
    for key, value in only_inside.values.items():
        mask = base.inside(key)
        values[key] = everywhere.values[key].copy()
        values[key][:, 3, mask] = value[:, 3, mask]
    traces = Traces(values, base.annotations, base.names, base.fps)
    table = difference(traces, "inside", "outside", "x", n_permutations=59)
    assert {table.roi_a[0], table.roi_b[0]} == {"c", "d"}
    assert table.p_max[0] <= 0.05
    assert (table["p_max"][1:] > 0.05).all()


def test_two_emotions_are_compared_by_exchanging_their_names():
    base = noise_traces(8, seed=5)
    tied = follow(base, "a", "b", 0)
    values = {k: v.copy() for k, v in base.values.items()}
    for key in values:
        mask = base.inside(key, "surprise")
        values[key][:, 1, mask] = tied.values[key][:, 1, mask]
    traces = Traces(values, base.annotations, base.names, base.fps)
    table = difference(traces, "surprise", "positive", "x", n_permutations=59)
    assert {table.roi_a[0], table.roi_b[0]} == {"a", "b"}
    assert table.p_max[0] <= 0.05


def test_conditions_without_frames_are_refused_by_name():
    traces = noise_traces()
    assert traces.conditions() == ["all", "inside", "outside", "positive", "surprise"]
    with pytest.raises(InputError, match="'negative' has 0 frames"):
        lagged_correlation(traces, "negative")
    for wrong in ({"condition": "happy"}, {"component": "z"}, {"max_lag": -1}):
        with pytest.raises(InputError, match=next(iter(wrong)).split("_")[0]):
            lagged_correlation(traces, **wrong)


def test_same_seed_same_table():
    traces = noise_traces(2)
    tables = [lagged_correlation(traces, "all", n_permutations=9, seed=3).table() for _ in range(2)]
    pd.testing.assert_frame_equal(*tables)


def test_pairs_of_one_box_are_left_out_of_a_table():
    names = ("left_brow", "left_brow_inner", "mouth")
    table = lagged_correlation(noise_traces(2, names=names), "all", max_lag=0, n_permutations=0).table()
    kept = across_boxes(table)
    assert {frozenset(pair) for pair in zip(kept["roi_a"], kept["roi_b"], strict=True)} == {
        frozenset(("left_brow", "mouth")),
        frozenset(("left_brow_inner", "mouth")),
    }


def test_between_regions_is_the_mean_over_pairs_of_their_rois():
    """By hand: brows hold ROIs 0 and 1, the mouth ROI 2, eyelids and nose none."""
    r = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.4], [0.2, 0.4, 1.0]])
    table = between_regions(r, ["left_brow", "right_brow", "mouth"])
    assert list(table) == ["brows", "mouth"]
    assert table.loc["brows", "brows"] == pytest.approx(0.5)
    assert table.loc["brows", "mouth"] == table.loc["mouth", "brows"] == pytest.approx(0.3)
