"""What the fine ROIs add to the whole ones, in subjects held out."""

import pytest
from support.made_up_traces import follow, noise_traces

from metst_core.relations import detection_gain, fine_unexplained

pytestmark = pytest.mark.quick


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
