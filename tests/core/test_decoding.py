"""Smoothing, threshold, peaks, interval selection, vote and synergy, against the rules of ME-TST+ and
BoostingVRME.
"""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import find_peaks

from metst_core.decoding import (
    _without_overlaps,
    decode,
    half_length,
    name_intervals,
    smooth,
    spaced_peaks,
    spot_intervals,
    spot_threshold,
)
from metst_core.errors import InputError
from metst_core.tables import CLASSES, EMOTIONS, PREDICTION_COLUMNS

# Many values, and few: with few, frames often equal the mean, apexes lie k_p apart and peaks are flat.
ANY, FEW = st.floats(0, 1, width=16), st.sampled_from([0.0, 0.5, 1.0])
SCORES = st.tuples(st.integers(1, 90), st.sampled_from([ANY, FEW])).flatmap(
    lambda drawn: arrays(float, drawn[0], elements=drawn[1], fill=st.nothing())
)
HALF_LENGTHS = st.integers(0, 12)


def spans(*pairs):
    return pd.DataFrame([{"onset": a, "apex": a, "offset": b} for a, b in pairs])


def bump(n_frames, *peaks, width=3.0):
    frames = np.arange(n_frames)
    return 0.05 + sum(0.9 * np.exp(-(((frames - peak) / width) ** 2)) for peak in peaks)


@pytest.mark.parametrize(
    ("pairs", "k_p"), [([(10, 20)], 5), ([(10, 21)], 6), ([(0, 10), (5, 16), (3, 3)], 4), ([(7, 7)], 0)]
)
def test_half_length_is_half_the_mean_length_cut_to_whole_frames(pairs, k_p):
    assert half_length(spans(*pairs)) == k_p  # int((mean(offset - onset) + 1) / 2)


def test_half_length_of_nothing_is_an_error():
    with pytest.raises(InputError, match="no micro-expression"):
        half_length(spans().reindex(columns=["onset", "apex", "offset"]))


@given(SCORES, HALF_LENGTHS)
def test_smoothing_is_numpys_same_convolution_and_keeps_the_length(score, k_p):
    smoothed = smooth(score, k_p)
    assert smoothed.shape == score.shape
    width = max(1, 2 * k_p)
    if len(score) >= width:
        assert np.array_equal(smoothed, np.convolve(score, np.ones(width) / width, mode="same"))
    padded = np.concatenate([np.zeros(width), score, np.zeros(width)])
    for t in range(len(score)):  # frames t - k_p .. t + k_p - 1, those outside the video counting 0
        first = width + t - width // 2
        assert smoothed[t] == pytest.approx(padded[first : first + width].mean(), abs=1e-12)


def test_threshold_lies_between_mean_and_maximum():
    assert spot_threshold(np.array([0.0, 0.0, 1.0, 1.0]), p=0.55) == pytest.approx(0.5 + 0.55 * 0.5)


def test_a_fixed_interval_is_k_p_frames_on_both_sides_and_leaves_the_video_where_it_must():
    score = np.zeros(60)
    score[[0, 6]] = 0.5, 1.0  # the moving average holds both on frames 2 to 5: the peak is its middle, 3
    score[40] = 1.2  # alone on frames 36 to 45
    assert spot_intervals(score, 5, p=0.4).tolist() == [[-2, 3, 8], [35, 40, 45]]


@given(SCORES, HALF_LENGTHS, st.floats(0, 1))
def test_fixed_peaks_reach_the_threshold_are_local_maxima_and_k_p_apart(score, k_p, p):
    smoothed = smooth(score, k_p)
    intervals = spot_intervals(score, k_p, p)
    peaks = intervals[:, 1]
    assert intervals.shape[1:] == (3,) and intervals.dtype == np.int64
    assert (smoothed[peaks] >= spot_threshold(smoothed, p)).all()
    assert (np.diff(peaks) >= max(1, k_p)).all()
    assert all(smoothed[i] >= max(smoothed[i - 1], smoothed[i + 1]) for i in peaks)


def test_peaks_exactly_k_p_apart_are_two():
    """Sums of four frames (t - 2 .. t + 1) around 0 1 0 1 1 0 1 0, from frame 7 on: 2 3 2 3 2 on 9 to 13."""
    score = np.zeros(20)
    score[[8, 10, 11, 13]] = 1.0
    assert spot_intervals(score, 2).tolist() == [[8, 10, 12], [10, 12, 14]]


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=40, max_size=120), st.integers(1, 9))
def test_of_equal_peaks_that_are_too_near_the_last_is_kept(values, distance):
    """Highest first and of equal ones the last, each taking what is nearer than `distance` with it."""
    score = np.array([0.0, *values, 0.0])
    candidates = find_peaks(score, height=0.4)[0].tolist()
    kept = []
    for i in sorted(candidates, key=lambda i: (-score[i], -i)):
        if all(abs(i - k) >= distance for k in kept):
            kept.append(i)
    assert spaced_peaks(score, 0.4, distance).tolist() == sorted(kept)


@pytest.mark.parametrize(("height", "n_found"), [(0.54, 1), (0.57, 2)])
def test_p_is_0_55_where_nothing_is_said(height, n_found):
    """Without smoothing (k_p = 0) the threshold is 0.55 + 0.45 (1 + height) / 100 = 0.557 for both heights."""
    score = np.zeros(100)
    score[[20, 60]] = 1.0, height
    assert len(spot_intervals(score, 0)) == n_found
    assert len(decode(score, np.ones((100, 5)), 0)) == n_found


def test_extensible_onset_is_before_the_first_frame_that_rises_not_one_that_stays():
    """Frames 0 and 1 are level; 2 rises: onset 1.  Nothing lies left of 0 to stop at.  On the right the search
    ends at 7, and the extension at 9, the first of two frames below the mean: offset 8."""
    score = np.zeros(40)
    score[:9] = 0.5, 0.5, 0.75, 0.75, 1, 0.75, 0.75, 0.5, 0.5
    assert spot_intervals(score, 4, strategy="extensible").tolist() == [[1, 4, 8]]


def test_extensible_interval_does_not_stop_at_the_mean_itself():
    """The mean is 10 / 40, exactly the score of frame 16, so the onset's stop is 15: onset 16."""
    score = np.zeros(40)
    score[16:24] = 0.25, 0.75, 0.75, 0.75, 1, 0.75, 0.75, 0.25
    score[30:] = [0.25] + [0.5] * 9
    assert score.mean() == 0.25
    assert spot_intervals(score, 3, strategy="extensible").tolist() == [[16, 20, 23]]


def test_extensible_interval_may_stop_as_far_as_five_half_lengths_away():
    """Frames 11 to 19 stay above the mean; 10 = 20 - 5 k_p is the last frame looked at, and stops: onset 11."""
    score = np.zeros(40)
    score[11:22] = [0.5] * 8 + [0.75, 1, 0.75]
    assert spot_intervals(score, 2, strategy="extensible").tolist() == [[11, 20, 22]]


def test_extensible_apexes_must_be_more_than_k_p_apart():
    """Two spikes k_p = 3 frames apart: each interval is its spike and its neighbours, they share no frame
    beside their ends, and only the apexes' distance decides."""
    intervals = [(9, 10, 11), (12, 13, 14)]
    assert _without_overlaps(intervals, 3).tolist() == [[9, 10, 11]]
    assert _without_overlaps(intervals, 2).tolist() == [[9, 10, 11], [12, 13, 14]]


def test_extensible_intervals_overlap_less_than_a_fifth():
    """Spans 0 .. 6 and 5 .. 10 share 1 of 10 (kept), 0 .. 6 and 4 .. 10 share 2 of 10 (exactly 0.2: not)."""
    assert len(_without_overlaps([(0, 1, 6), (5, 9, 10)], 2)) == 2
    assert len(_without_overlaps([(0, 1, 6), (4, 9, 10)], 2)) == 1


def extensible_as_told(score, k_p, p):
    """The extensible selection as one walks through its description, one sentence after another."""
    s, n = list(map(float, score)), len(score)
    m = float(np.mean(score))
    found = []
    for peak in spot_intervals(score, k_p, p)[:, 1].tolist():
        left, right = max(0, peak - k_p), min(n - 1, peak + k_p)
        rising = [i for i in range(left, peak) if i > left and s[i] > s[i - 1] and s[i] > m / 1.5]
        falling = [i for i in range(right - 1, peak, -1) if s[i] > s[i + 1] and s[i] > m / 1.5]
        onset = rising[0] - 1 if rising else left
        offset = falling[0] + 1 if falling else right
        lows = [
            i for i in range(onset - 1, max(0, peak - 5 * k_p) - 1, -1) if i > 0 and s[i] < m and s[i - 1] < m
        ]
        highs = [
            j
            for j in range(offset + 1, min(n - 1, peak + 5 * k_p) + 1)
            if j < n - 1 and s[j] < m and s[j + 1] < m
        ]
        onset, offset = lows[0] + 1 if lows else onset, highs[0] - 1 if highs else offset
        inside = s[onset : offset + 1]
        found.append((onset, onset + inside.index(max(inside)), offset))
    kept = []
    for e in sorted(found, key=lambda e: e[0]):
        clear = True
        for o in kept:
            overlap = max(0, min(e[2], o[2]) - max(e[0], o[0])) / max(1, max(e[2], o[2]) - min(e[0], o[0]))
            clear &= overlap < 0.2 and abs(e[1] - o[1]) > k_p
        kept += [e] if clear else []
    return kept


@given(SCORES, HALF_LENGTHS, st.sampled_from([0.1, 0.3, 0.55]))
def test_extensible_selection_is_its_description(score, k_p, p):
    intervals = spot_intervals(score, k_p, p, strategy="extensible")
    assert [tuple(row) for row in intervals.tolist()] == extensible_as_told(score, k_p, p)
    assert ((intervals >= 0) & (intervals < len(score))).all()


def test_an_extensible_interval_grows_to_a_long_bump_where_a_fixed_one_cannot():
    score = np.full(100, 0.02)
    score[30:60] = 0.5 + 0.4 * np.hanning(30)
    fixed, extensible = spot_intervals(score, 5)[0], spot_intervals(score, 5, strategy="extensible")
    assert len(extensible) == 1
    assert fixed[2] - fixed[0] == 10
    assert extensible[0, 0] == 29 + 1 and extensible[0, 2] == 60 - 1  # the last frames above the mean


def test_without_a_stop_the_ends_stay_where_the_search_put_them():
    score = bump(40, 20, width=2)
    score[:20] += 1e-9 * np.arange(20)
    long_reach = np.maximum(score, score.mean() * 1.01)  # nothing is below the mean: no stop on either side
    onset, _, offset = spot_intervals(long_reach, 4, strategy="extensible")[0]
    assert 20 - 4 <= onset <= 20 and 20 <= offset <= 20 + 4


@given(
    st.lists(st.tuples(st.integers(-6, 30), st.integers(0, 15)), max_size=6),
    arrays(np.int64, st.integers(1, 25), elements=st.integers(0, 4)),
)
def test_the_vote_is_counters_most_common_over_the_slice(spans, frame_classes):
    intervals = np.array([(a, a + n // 2, a + n) for a, n in spans]).reshape(-1, 3)
    expected = []
    for onset, _, offset in intervals.tolist():
        votes = frame_classes[max(0, onset + 1) : max(1, offset - 1)].tolist()
        expected.append(Counter(votes).most_common(1)[0][0] if votes else CLASSES.index("neutral"))
    assert name_intervals(intervals, frame_classes).tolist() == expected


def test_a_tie_goes_to_the_class_seen_first_and_the_last_two_frames_do_not_vote():
    assert name_intervals([(0, 3, 6)], np.array([0, 3, 1, 1, 3, 2, 2])).tolist() == [3]
    assert name_intervals([(0, 1, 2)], np.array([0, 0, 0])).tolist() == [4]


def probabilities_of(*rows):
    return np.array(rows, float)


def test_synergy_withdraws_or_renames_what_is_voted_neutral():
    score = bump(60, 15, 40)
    probabilities = np.tile([0.1, 0.15, 0.05, 0.1, 0.6], (60, 1))  # neutral first, positive second
    probabilities[30:] = [0.1, 0.1, 0.6, 0.1, 0.1]
    tables = {synergy: decode(score, probabilities, 5, synergy=synergy) for synergy in (0, 1, 2)}
    assert tables[0]["emotion"].tolist() == ["neutral", "surprise"]
    assert tables[1]["emotion"].tolist() == ["surprise"]
    assert tables[2]["emotion"].tolist() == ["positive", "surprise"]
    assert tables[1]["onset"].tolist() == tables[0]["onset"].tolist()[1:]


@given(
    SCORES,
    st.integers(2, 8),
    st.sampled_from([0, 1, 2]),
    st.sampled_from(["fixed", "extensible"]),
    st.integers(),
)
def test_a_decoded_table_holds_the_spotted_intervals(score, k_p, synergy, strategy, seed):
    probabilities = np.random.default_rng(abs(seed)).random((len(score), 5))
    table = decode(score, probabilities, k_p, synergy, strategy, subject="s1", video="v1")
    assert tuple(table.columns) == PREDICTION_COLUMNS
    spotted = spot_intervals(score, k_p, strategy=strategy)
    rows = [tuple(r) for r in table[["onset", "apex", "offset"]].to_numpy().tolist()]
    if synergy == 1:
        assert set(rows) <= {tuple(r) for r in spotted.tolist()} and "neutral" not in set(table["emotion"])
    else:
        assert rows == [tuple(r) for r in spotted.tolist()]
    if synergy == 2 and strategy == "fixed":
        assert set(table["emotion"]) <= set(EMOTIONS)
    assert np.array_equal(table["score"].to_numpy(), smooth(score, k_p)[table["apex"].to_numpy()])
    assert (table["subject"] == "s1").all() and (table["video"] == "v1").all()


def test_a_half_length_that_is_a_whole_float_is_that_number():
    """5.0 was refused by NumPy with a TypeError, deep inside."""
    score = bump(60, 15, 40)
    assert np.array_equal(spot_intervals(score, 5.0), spot_intervals(score, 5))


@pytest.mark.parametrize("n_frames", [1, 2, 3, 9])
@pytest.mark.parametrize("strategy", ["fixed", "extensible"])
def test_a_video_shorter_than_a_micro_expression_is_decoded(n_frames, strategy):
    score = np.linspace(0, 1, n_frames)
    table = decode(score, np.ones((n_frames, 5)), k_p=8, strategy=strategy)
    assert (table["apex"] < n_frames).all()


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: spot_intervals([0.1, np.nan], 2), "not finite at frame 1"),
        (lambda: spot_intervals([[0.1]], 2), "shape"),
        (lambda: spot_intervals([0.1], -1), "k_p is -1"),
        (lambda: spot_intervals([0.1], float("nan")), "k_p is nan"),
        (lambda: spot_intervals([0.1], "5"), "k_p is '5'"),
        (lambda: spot_intervals(["a"], 2), "score holds no numbers"),
        (lambda: spot_intervals(None, 2), "score holds no numbers"),
        (lambda: spot_threshold(np.zeros(0)), "smoothed has shape"),
        (lambda: half_length(None), "columns onset and offset"),
        (lambda: half_length(spans((9, 4))), "row 0"),
        (lambda: half_length(spans((4, 9), (4, np.nan))), "row 1"),
        (lambda: name_intervals([(0.5, 1.0, 2.0)], [0, 1]), "whole frames"),
        (lambda: name_intervals([(0, 1, 2)], [0, 7]), "class index"),
        (lambda: decode([0.1, 0.2], np.full((2, 5), np.nan), 1), "probabilities is not a number at frame 0"),
        (lambda: decode(None, np.ones((2, 5)), 1), "score holds no numbers"),
        (lambda: spot_intervals([0.1], 1, p=2), "p is 2"),
        (lambda: spot_intervals([0.1], 1, strategy="long"), "strategy is 'long'"),
        (lambda: decode([0.1], np.ones((1, 5)), 1, synergy=3), "synergy is 3"),
        (lambda: decode([0.1, 0.2], np.ones((2, 4)), 1), r"must be \(2, 5\)"),
    ],
)
def test_bad_input_is_named(call, named):
    with pytest.raises(InputError, match=named):
        call()
