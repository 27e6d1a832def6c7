"""Paired comparisons of methods."""

import dataclasses

import pytest
from support.made_up_motion import made_up_motion

from metst_core.experiment import compare, motion_spotter, verdict
from metst_core.metrics import METRICS, Intervals

pytestmark = pytest.mark.quick

FEW = Intervals(n=30)


@pytest.fixture(scope="module")
def motion():
    return made_up_motion()


def test_comparing_needs_no_common_order_of_subjects(motion):
    spotter = motion_spotter(motion)
    turned = dataclasses.replace(spotter, subjects=spotter.subjects[::-1])
    table = compare({"a": spotter, "b": turned}, [("a", "b")], FEW)
    assert (table["difference"] == 0).all() and len(table) == len(METRICS)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.01, 0.3, "better"),
        (-0.3, -0.01, "worse"),
        (-0.1, 0.1, "not told apart"),
        (0.0, 0.2, "not told apart"),
    ],
)
def test_an_interval_that_leaves_out_0_tells_two_methods_apart(low, high, said):
    assert verdict(low, high) == said
