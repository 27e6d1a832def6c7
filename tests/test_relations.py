"""Relations between ROIs: planted ones are found, absent ones are not; maps of handmade networks show how these are made."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.made_up_motion import made_up_motion

from metst_core.errors import InputError
from metst_core.models import METST, METSTPlus
from metst_core.relations import (
    Traces,
    detection_gain,
    difference,
    fine_unexplained,
    focus,
    foresight,
    lagged_correlation,
    lead,
    lift_difference,
    me_windows,
    pair_interaction,
    parse_action_units,
    partial_correlation,
    randomised,
    roi_attribution,
    roi_change,
    roi_displacement,
    roi_shares,
    stem_mixing,
)
from metst_core.relations import attribution as relations
from metst_core.rois import roi_names
from metst_core.tables import ANNOTATION_COLUMNS
from metst_core.windows import unstitch

NAMES = ("a", "b", "c", "d")


def noise_traces(n_videos=4, n_frames=200, seed=0, names=NAMES, smooth=3):
    """Independent series with some memory, and two MEs per video; two subjects."""
    rng = np.random.default_rng(seed)
    kernel = np.ones(smooth) / smooth
    values, rows = {}, []
    for v in range(n_videos):
        key = (f"s{v % 2}", f"v{v}")
        raw = rng.normal(size=(2, len(names), n_frames + smooth - 1))
        x, y = np.apply_along_axis(np.convolve, 2, raw, kernel, "valid")
        values[key] = np.stack([x, y, np.hypot(x, y)])
        for onset, emotion in ((30, "surprise"), (120, "positive")):
            rows.append((*key, onset, onset + 8, onset + 16, emotion))
    return Traces(values, pd.DataFrame(rows, columns=ANNOTATION_COLUMNS), tuple(names), 30.0)


def follow(traces, leader, follower, lag, noise=0.3, seed=1):
    """The same traces with `follower` doing what `leader` did `lag` frames ago, plus noise."""
    rng = np.random.default_rng(seed)
    a, b = traces.names.index(leader), traces.names.index(follower)
    values = {}
    for key, value in traces.values.items():
        moved = value.copy()
        for part in range(2):
            moved[part, b] = np.roll(value[part, a], lag) + noise * rng.normal(size=value.shape[2])
        moved[2, b] = np.hypot(moved[0, b], moved[1, b])
        values[key] = moved
    return Traces(values, traces.annotations, traces.names, traces.fps)


# --- motion over a video --------------------------------------------------------------------------
@settings(max_examples=20, deadline=None)
@given(n_frames=st.integers(4, 60), half=st.integers(2, 8), seed=st.integers(0, 99))
def test_change_of_a_steady_motion_is_its_speed_whatever_the_windows(n_frames, half, seed):
    """Motion that grows by `speed` per frame, counted anew from each window's first frame, changes by `speed`."""
    speed = np.random.default_rng(seed).normal(size=(6, 1))
    position = speed * np.arange(n_frames)
    cut = unstitch(position.T, 2 * half)
    windows = (cut - cut[:, :1]).transpose(0, 2, 1)
    assert np.allclose(roi_change(windows, n_frames), speed, atol=1e-9)


def test_displacement_keeps_a_short_bump_and_loses_drift():
    n, k = 300, 50
    bump = np.zeros(n)
    bump[150:161] = np.hanning(11)
    position = np.stack([bump + 0.02 * np.arange(n)])
    cut = unstitch(position.T, k)
    shown = roi_displacement((cut - cut[:, :1]).transpose(0, 2, 1), n)
    assert abs(shown[0, 155] - 1) < 0.25
    assert np.abs(np.delete(shown[0], range(148, 163))).max() < 0.15


def test_traces_of_a_motion_set_and_what_they_refuse():
    motion = made_up_motion(features="metst")
    traces = Traces.of(motion)
    assert traces.names == tuple(roi_names("metst"))
    for key, value in traces.values.items():
        assert value.shape == (3, 5, motion.n_frames(*key))
        assert np.allclose(value[2], np.hypot(value[0], value[1]))
    assert traces.select(["mouth"]).values[key].shape[1] == 1
    with pytest.raises(InputError, match="'nostril' is none of"):
        traces.select(["nostril"])


# --- correlation ----------------------------------------------------------------------------------
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
    assert np.allclose(relations._partial(np.corrcoef(x), 0.0), expected, atol=1e-9)
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


def test_inside_and_outside_part_all_pairs_of_frames():
    traces = noise_traces()
    for lag in (0, 4):
        masks = [relations._pair_mask(traces, ("s0", "v0"), c, lag) for c in ("inside", "outside")]
        assert (masks[0] ^ masks[1]).all()


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


# --- who leads, what the fine ROIs add ------------------------------------------------------------
@pytest.mark.parametrize("lag", [-3, 0, 2])
def test_lead_finds_the_planted_one_and_its_interval_holds_it(lag):
    traces = noise_traces(8, seed=6)
    traces = follow(traces, "a", "b", lag) if lag >= 0 else follow(traces, "b", "a", -lag)
    found = lead(traces, ["a"], ["b"], component="x", n_bootstrap=100)
    assert found["lag"] == lag
    assert found["low"] <= lag <= found["high"]
    assert found["n"] == len(traces.annotations)


def test_foresight_is_positive_where_the_past_tells_and_not_otherwise():
    traces = follow(noise_traces(6, smooth=1), "a", "b", 2)
    assert foresight(traces, ["a"], ["b"], condition="all") > 0.5
    assert foresight(traces, ["b"], ["a"], condition="all") < 0.02
    assert foresight(traces, ["c"], ["b"], condition="all") < 0.02


def test_fine_rois_that_repeat_the_whole_ones_add_nothing():
    names = ("left_brow", "mouth", "left_brow_inner", "upper_lip")
    traces = follow(noise_traces(4, names=names), "left_brow", "left_brow_inner", 0, noise=0.0)
    table = fine_unexplained(traces).set_index("roi")
    assert table.loc["left_brow_inner", "unexplained"] < 0.01
    assert table.loc["upper_lip", "unexplained"] > 0.9


def test_detection_gains_from_a_fine_roi_that_moves_in_mes():
    names = ("left_brow", "mouth", "left_brow_inner")
    traces = noise_traces(8, names=names)
    for key, value in traces.values.items():
        value[0, 2] += 2.0 * traces.inside(key)
    table = detection_gain(traces, reach=1)
    assert set(table["subject"]) == {"s0", "s1"}
    assert (table["auc_both"] > 0.9).all()
    assert (table["gain"] > 0.2).all()


# --- networks -------------------------------------------------------------------------------------
class Handmade(METST):
    """A network whose outputs are known functions of two ROIs: score = m3 * m1 + m0 (no other ROI)."""

    def forward(self, x):
        m = x[:, 1::2]
        score = m[:, 3] * m[:, 1] + m[:, 0]
        return score, torch.stack([m[:, 4] * (c + 1) for c in range(5)], dim=2)


def handmade():
    return Handmade(in_channels=10, width=4, depth=3, d_state=2).eval()


def test_attribution_lies_on_the_rois_that_the_output_is_made_of():
    motion = np.random.default_rng(0).normal(size=(3, 10, 12)).astype(np.float32)
    mask = np.zeros((3, 12), bool)
    mask[:, 4:8] = True
    for method in ("integrated gradients", "ablation"):
        values = roi_attribution(handmade(), motion, mask, method=method, bin_frames=1)
        assert values.shape == (3, 5, 12)
        assert np.abs(values[:, [2, 4]]).max() < 1e-6
        assert np.abs(values[:, :, ~mask[0]]).max() < 1e-6
        assert np.allclose(values[:, 0], motion[:, 1] * mask, atol=1e-5)
        emotion = roi_attribution(
            handmade(), motion, mask, "emotion", np.array([0, 1, 2]), method, bin_frames=1
        )
        assert np.abs(emotion[:, :4]).max() < 1e-6
        assert np.allclose(emotion[:, 4], np.array([1, 2, 3])[:, None] * motion[:, 9] * mask, atol=1e-5)


def test_ablation_spreads_a_bin_and_integrated_gradients_add_up():
    motion = np.random.default_rng(1).normal(size=(2, 36, 20)).astype(np.float32)
    torch.manual_seed(0)
    model = METSTPlus(width=4, d_state=2, blocks_per_stage=1).eval()
    model.score_head.weight.data *= 20  # fresh heads hardly answer
    values = roi_attribution(model, motion, n_steps=200)  # ReLUs are corners on the way
    with torch.no_grad():
        ends = [model(torch.from_numpy(m))[0].sum(1).numpy() for m in (motion, 0 * motion)]
    assert np.allclose(
        values.sum(axis=(1, 2)), ends[0] - ends[1], atol=0.03 * np.abs(ends[0] - ends[1]).max()
    )
    blunt = roi_attribution(model, motion, method="ablation", bin_frames=5)
    assert np.allclose(blunt.reshape(2, 18, 4, 5), blunt.reshape(2, 18, 4, 5)[..., :1])
    silenced = motion.copy()
    silenced[:, 4:6, 5:10] = 0
    with torch.no_grad():
        drop = ends[0] - model(torch.from_numpy(silenced))[0].sum(1).numpy()
    assert np.allclose(blunt[:, 2, 5:10].sum(axis=1), drop, atol=1e-5)


def test_interaction_is_where_the_output_multiplies_and_nowhere_else():
    motion = np.random.default_rng(2).normal(size=(2, 10, 12)).astype(np.float32)
    found = pair_interaction(handmade(), motion)
    assert found["score"][1, 3] > 0.2
    alone = found["score"].copy()
    alone[[1, 3], [3, 1]] = 0
    assert alone.max() < 1e-5
    assert found["emotion"].max() < 1e-5


def test_interaction_is_reported_at_every_layer_of_both_networks():
    motion = np.random.default_rng(2).normal(size=(1, 36, 10)).astype(np.float32)
    for model, channels in (
        (METSTPlus(width=4, d_state=2, blocks_per_stage=1), 36),
        (METST(width=4, d_state=2, depth=3), 10),
    ):
        found = pair_interaction(model, motion[:, :channels])
        stages = [f"{p} stage {i}" for p in ("spotting", "recognition") for i in (1, 2, 3)]
        assert list(found) == ["stem", *stages, "score", "emotion"]
        for matrix in found.values():
            assert np.allclose(matrix, matrix.T)
            assert np.isfinite(matrix).all()
    shared = pair_interaction(METST(width=4, d_state=2, depth=3, pathways="shared"), motion[:, :10])
    assert "recognition stage 1" not in shared


def test_stem_mixing_is_the_cosine_of_the_weights():
    model = METST(width=8, d_state=2, depth=1)
    with torch.no_grad():
        weight = model.stem[0].weight
        weight[:, 2:4] = weight[:, 0:2]
        weight[:, 4:6] = -weight[:, 0:2]
    mixing = stem_mixing(model)
    assert np.allclose(np.diag(mixing), 1)
    assert mixing[0, 1] == pytest.approx(1)
    assert mixing[0, 2] == pytest.approx(-1)
    assert np.abs(stem_mixing(METST(width=128, d_state=2, depth=1))[np.triu_indices(5, 1)]).max() < 0.25


def test_randomised_forgets_the_weights_and_leaves_the_original_alone():
    torch.manual_seed(1)
    model = METST(width=8, d_state=2, depth=1)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    fresh = randomised(model, 3)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert not torch.allclose(fresh.stem[0].weight, model.stem[0].weight)
    assert torch.equal(fresh.stem[0].weight, randomised(model, 3).stem[0].weight)


def test_a_trained_network_looks_at_the_only_roi_that_tells_and_random_weights_do_not():
    """Planted: every ROI moves alike, but only the mouth (ROI 2) moves when the score is 1."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    motion = 0.6 * rng.normal(size=(48, 10, 20)).astype(np.float32)
    mask = np.zeros((48, 20), bool)
    for row, start in enumerate(rng.integers(2, 12, 48)):
        mask[row, start : start + 6] = True
    motion[:, 4:6] += 1.5 * mask[:, None]
    model = METST(width=8, d_state=4, depth=2)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    x, y = torch.from_numpy(motion), torch.from_numpy(mask.astype(np.float32))
    for _ in range(60):
        loss = ((model(x)[0] - y) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    trained = roi_shares(roi_attribution(model, motion[:8], mask[:8])).mean(axis=0)
    assert trained.argmax() == 2
    assert trained[2] > 0.5
    signed = roi_attribution(model, motion[:8], mask[:8])
    untrained = roi_attribution(randomised(model, 0), motion[:8], mask[:8])
    assert abs(relations.map_similarity(signed, untrained)) < 0.5
    assert relations.map_similarity(signed, signed) == pytest.approx(1)


def test_windows_of_mes_hold_their_apex_and_mask_their_inside():
    motion = made_up_motion(features="metst", n_frames=60)
    found = me_windows(motion, "s1")
    assert set(found.table["subject"]) == {"s1"}
    for row, mask, window in zip(found.table.itertuples(), found.mask, found.motion, strict=True):
        first = row.window * motion.window // 2
        frames = first + np.flatnonzero(mask)
        assert first <= row.apex < first + motion.window
        assert frames[0] > row.onset or first > row.onset
        assert frames[-1] < row.offset
        assert np.array_equal(window, motion.windows[row.subject, row.video][row.window])
    with pytest.raises(InputError, match="'nobody'"):
        me_windows(motion, "nobody")


def test_arguments_that_cannot_be_used_are_named():
    motion = np.zeros((2, 10, 12), np.float32)
    for change, match in (
        ({"motion": np.zeros((2, 8, 12))}, "reads"),
        ({"mask": np.ones((2, 5))}, "mask"),
        ({"output": "happiness"}, "output"),
        ({"output": "emotion"}, "classes"),
        ({"method": "guess"}, "method"),
    ):
        with pytest.raises(InputError, match=match):
            roi_attribution(handmade(), **{"motion": motion, **change})


# --- the action unit ------------------------------------------------------------------------------
def test_action_units_are_read_from_three_spellings():
    assert parse_action_units("AU12L=0.012000 AU12R=0.010 AU6L=0.1") == {12, 6}
    assert parse_action_units("4+7") == {4, 7}
    assert parse_action_units("L14, R12") == {14, 12}
    assert parse_action_units("") == set()


def test_surprise_moves_brows_and_the_smile_the_mouth():
    names = roi_names()
    brows = relations.action_unit_rois({1, 2}, names)
    assert {n for n, hit in zip(names, brows, strict=True) if hit} == {n for n in names if "brow" in n}
    assert {n for n, hit in zip(names, relations.action_unit_rois({12}, names), strict=True) if hit} == {
        "mouth", "mouth_left_corner", "mouth_right_corner", "upper_lip", "lower_lip", "mouth_centre",
    }  # fmt: skip


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
