"""Windows and per-frame targets: no frame is lost; ME-TST labels (score 1 on onset+1 .. offset-1)."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metst_core.errors import InputError
from metst_core.metrics import interval_iou
from metst_core.tables import ANNOTATION_COLUMNS, CLASSES
from metst_core.windows import (
    cover_targets,
    frame_targets,
    new_frames,
    stitch,
    unstitch,
    window_starts,
    window_targets,
)

pytestmark = pytest.mark.quick

LENGTHS = st.integers(2, 400)
WINDOWS = st.integers(1, 40).map(lambda half: 2 * half)


def annotations(*rows):
    return pd.DataFrame([("s1", "v1", *row) for row in rows], columns=ANNOTATION_COLUMNS)


@given(LENGTHS, WINDOWS)
def test_keeping_the_tail_covers_every_frame_exactly_once_after_stitching(n_frames, window):
    frames = np.arange(n_frames)
    assert np.array_equal(stitch(unstitch(frames, window), n_frames), frames)


@given(LENGTHS, WINDOWS)
def test_keep_starts_no_window_that_holds_no_new_frame(n_frames, window):
    starts = window_starts(n_frames, window)
    assert np.array_equal(starts, window // 2 * np.arange(len(starts)))
    assert starts[-1] + window >= n_frames
    assert len(starts) == 1 or starts[-1] + window // 2 < n_frames


@given(LENGTHS, WINDOWS)
def test_dropping_the_tail_is_the_official_count(n_frames, window):
    if n_frames < window:
        with pytest.raises(InputError, match="shorter than one window"):
            window_starts(n_frames, window, tail="drop")
        return
    dropped = window_starts(n_frames, window, tail="drop")
    assert len(dropped) == n_frames // (window // 2) - 1
    assert dropped[-1] + window == n_frames - n_frames % (window // 2)
    if n_frames % (window // 2) == 0:
        assert np.array_equal(dropped, window_starts(n_frames, window))


def test_stitch_takes_both_halves_of_the_first_window_and_the_second_half_of_the_others():
    parts = np.array([[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]])
    assert stitch(parts).tolist() == [0, 1, 2, 3, 12, 13, 22, 23]
    assert stitch(parts, n_frames=7).tolist() == [0, 1, 2, 3, 12, 13, 22]


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 5))
def test_stitch_carries_class_columns_along(n_windows, half, n_classes):
    parts = np.random.default_rng(0).random((n_windows, 2 * half, n_classes))
    stitched = stitch(parts)
    assert stitched.shape == ((n_windows + 1) * half, n_classes)
    for column in range(n_classes):
        assert np.array_equal(stitched[:, column], stitch(parts[:, :, column]))


def test_targets_leave_out_onset_and_offset():
    score, classes = frame_targets(annotations((2, 4, 6, "surprise"), (8, 8, 9, "positive")), 10)
    assert score.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0]  # a two-frame ME has no frame between its ends
    assert classes.tolist() == [4, 4, 4, 2, 2, 2, 4, 4, 4, 4]
    assert score.dtype == np.float32 and classes.dtype == np.int64


def test_targets_of_a_video_without_me_are_neutral_and_those_past_the_end_are_cut():
    score, classes = frame_targets(annotations(), 5)
    assert not score.any() and (classes == 4).all()
    score, _ = frame_targets(annotations((2, 4, 60, "others")), 5)
    assert score.tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: window_starts(1, 10), "n_frames is 1"),
        (lambda: window_starts(20, 7), "window is 7"),
        (lambda: window_starts(20, "10"), "window is '10'"),
        (lambda: window_starts(float("nan"), 10), "n_frames is nan"),
        (lambda: stitch([[1, 2], [3]]), "parts is no array"),
        (lambda: unstitch(5, 4), "values is"),
        (lambda: frame_targets(None, 5), "annotations: a NoneType"),
        (lambda: frame_targets(annotations((0, 1, np.nan, "others")), 5), "row 0: offset is nan"),
        (lambda: window_starts(20, 10, tail="half"), "tail is 'half'"),
        (lambda: stitch(np.zeros((2, 4)), n_frames=7), "n_frames is 7"),
        (lambda: stitch(np.zeros(4)), "shape"),
        (lambda: frame_targets(annotations((0, 1, 2, "neutral")), 5), "emotion 'neutral'"),
        (
            lambda: frame_targets(
                pd.DataFrame(
                    [("a", "v", 1, 2, 3, "others"), ("b", "v", 1, 2, 3, "others")], columns=ANNOTATION_COLUMNS
                ),
                5,
            ),
            "2 videos",
        ),
    ],
)
def test_bad_input_is_named(call, named):
    with pytest.raises(InputError, match=named):
        call()


@given(st.integers(2, 80), st.integers(1, 12).map(lambda half: 2 * half))
def test_the_new_frames_of_the_windows_are_every_frame_once_in_order(n_frames, window):
    starts = window_starts(n_frames, window)
    frames = [f for start in starts for f in (start + np.arange(window))[new_frames(start, window)]]
    assert frames[:n_frames] == list(range(n_frames))


@given(st.integers(2, 80), st.integers(1, 12).map(lambda half: 2 * half))
def test_the_targets_of_windows_stitched_are_those_of_the_frames(n_frames, window):
    table = annotations((1, 3, 30, "surprise"))
    per_window, per_frame = window_targets(table, n_frames, window), frame_targets(table, n_frames)
    for cut, whole in zip(per_window, per_frame, strict=True):
        assert np.array_equal(stitch(cut, n_frames), whole)


@given(st.integers(0, 40), st.integers(0, 14), st.integers(0, 9))
def test_a_window_is_one_where_its_overlap_says_so(onset, length, half):
    """By the definition of the overlap in `metrics`, frame by frame."""
    table = annotations((onset, onset, onset + length, "surprise"))
    score, classes = cover_targets(table, 60, half)
    by_definition = [interval_iou((t - half, t + half), (onset, onset + length)) >= 0.5 for t in range(60)]
    assert score.tolist() == by_definition
    assert (classes[score == 1] == CLASSES.index(table["emotion"][0])).all()
    assert (classes[score == 0] == CLASSES.index("neutral")).all()
