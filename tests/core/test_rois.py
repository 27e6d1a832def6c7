"""The ROI tables and where the ROIs lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from metst_core import rois
from metst_core.errors import InputError
from metst_core.rois import BOXES, ROIS, Bounds, boxes_on_crop, channel_names, roi_names, rois_on_crop


def face():
    """68 points at round numbers: each box's points span a known rectangle."""
    points = np.full((68, 2), 160)
    for first, last, (x0, y0), (x1, y1) in (
        (17, 22, (50, 70), (130, 90)),
        (22, 27, (190, 72), (270, 92)),
        (29, 31, (158, 150), (160, 180)),
        (31, 36, (125, 200), (190, 212)),
        (36, 42, (65, 100), (125, 124)),
        (42, 48, (195, 101), (255, 125)),
        (48, 67, (90, 230), (220, 280)),
    ):
        points[first:last] = (x0, y0)
        points[last - 1] = (x1, y1)
    points[30] = (160, 180)
    return points


def test_the_36_channels_come_in_the_published_order():
    """ME-TST+: left brow and its 3, right brow and its 3, mouth and its 5, wings, eyelids; x before y."""
    assert [roi.granularity for roi in ROIS] == (
        ["whole", *["fine"] * 3] * 2 + ["whole", *["fine"] * 5] + ["fine"] * 2 + ["whole"] * 2
    )
    assert [roi.landmark for roi in ROIS if roi.granularity == "fine"] == [
        20, 19, 18, 23, 24, 25, 48, 54, 51, 57, 62, 31, 35
    ]  # fmt: skip
    parents = ["left_brow"] * 3 + ["right_brow"] * 3 + ["mouth"] * 5 + ["nose"] * 2
    assert [roi.parent for roi in ROIS if roi.granularity == "fine"] == parents
    assert all(roi.parent is None for roi in ROIS if roi.granularity == "whole")
    assert len(set(roi_names())) == len(ROIS) == 18
    assert channel_names()[:3] == ["left_brow_x", "left_brow_y", "left_brow_inner_x"]


def test_the_five_rois_of_me_tst():
    assert roi_names("metst") == ["left_brow", "right_brow", "mouth", "left_wing", "right_wing"]
    assert [channel_names()[i] for i in rois.channel_indices("metst")] == channel_names("metst")
    assert channel_names("metst_plus_ref") == [*channel_names(), "nose_bridge_x", "nose_bridge_y"]
    with pytest.raises(InputError, match="metst_plus"):
        roi_names("metst2")


def test_boxes_where_they_were_published():
    """Top, bottom, left, right worked out by hand from the table of boxes."""
    assert boxes_on_crop(face()) == {
        "nose_bridge": Bounds(150 - 13, 180 + 13, 158 - 13, 160 + 13),
        "left_brow": Bounds(70 - 15, 90 + 5, 50 - 5, 130),
        "right_brow": Bounds(72 - 15, 92 + 5, 190, 270),
        "mouth": Bounds(230 - 15, 280 + 10, 90 - 20, 220 + 20),
        "nose": Bounds(180 - 20, 212 + 5, 125 - 30, 190 + 30),
        "left_eyelid": Bounds(112 + 15, 112 + 45, 65, 125),
        "right_eyelid": Bounds(113 + 15, 113 + 45, 195, 255),
    }
    assert "left_eyelid" not in boxes_on_crop(face(), "metst")


def test_rois_where_they_were_published():
    placed = rois_on_crop(face())
    assert placed["left_brow"] == Bounds(55 + 10, 95 - 10, 45 + 10, 130 - 10)
    assert placed["mouth_left_corner"] == Bounds(220, 240, 80, 110)
    assert placed["right_wing"] == Bounds(212 - 20, 212 + 5, 190 - 10, 190 + 20)
    assert placed["right_eyelid"] == Bounds(128 + 5, 158 - 5, 195 + 5, 255 - 5)
    assert placed["left_brow_outer"] == rois.EMPTY  # 18 lies less than 5 pixels from the box's left edge


@pytest.mark.parametrize(
    ("ymin", "ymax", "expected"),
    [
        (40, 60, (35, 55)),  # inside: margins 10 and 10 of the box 25 .. 65
        (9, 30, (4, 25)),  # 6 rows cut off: top margin 4
        (3, 8, (0, 3)),  # 12 cut off: top margin 0; the box 0 .. 13 is not shorter than 13: bottom margin 10
        (3, 7, (0, 8)),  # the box 0 .. 12 is: bottom margin 4
    ],
)
def test_left_brow_margins(ymin, ymax, expected):
    points = face()
    points[17:22, 1] = [ymin, ymax, ymin, ymin, ymin]
    bounds = rois_on_crop(points)["left_brow"]
    assert (bounds.top, bounds.bottom) == expected


@settings(max_examples=200, deadline=None, derandomize=True)
@given(points=hnp.arrays(float, (68, 2), elements=st.floats(-400, 700)))
def test_every_roi_lies_in_its_box_and_in_the_crop(points):
    boxes, placed = boxes_on_crop(points), rois_on_crop(points)
    for roi in ROIS:
        box, bounds = boxes[roi.box], placed[roi.name]
        assert 0 <= box.top <= box.bottom <= 320 and 0 <= box.left <= box.right <= 320
        if not bounds.empty:
            assert box.top <= bounds.top and bounds.bottom <= box.bottom
            assert box.left <= bounds.left and bounds.right <= box.right


@pytest.mark.parametrize("name", sorted(BOXES))
def test_a_box_outside_the_crop_is_empty(name):
    for to in ((0, -500), (0, 500), (-500, 0), (500, 0)):
        assert BOXES[name].bounds(face() + to).empty
