"""The motion of ROIs over whole videos: changes, displacement, and which frames belong to which condition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.made_up_motion import made_up_motion
from support.made_up_traces import noise_traces

from metst_core.errors import InputError
from metst_core.relations import Traces, roi_change, roi_displacement, spread_over_video
from metst_core.rois import roi_names
from metst_core.windows import unstitch

pytestmark = pytest.mark.quick


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


def test_window_maps_are_averaged_where_windows_overlap():
    parts = np.stack([np.full((2, 20), 1.0), np.full((2, 20), 3.0)])
    whole = spread_over_video(parts, 30)
    assert whole.shape == (2, 30)
    assert np.allclose(whole[:, :10], 1)
    assert np.allclose(whole[:, 10:20], 2)
    assert np.allclose(whole[:, 20:], 3)
    with pytest.raises(InputError, match="parts hold 2 windows; a video of 20 frames has 1"):
        spread_over_video(parts, 20)


def test_inside_and_outside_part_all_pairs_of_frames():
    traces = noise_traces()
    for lag in (0, 4):
        masks = [traces.pairs(("s0", "v0"), c, lag) for c in ("inside", "outside")]
        assert (masks[0] ^ masks[1]).all()
