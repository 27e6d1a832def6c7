"""Who moves first: a planted lead is found with its sign, and the past tells only where it should."""

import pytest
from support.made_up_traces import follow, noise_traces

from metst_core.errors import InputError
from metst_core.relations import foresight, lead, with_planted_lead

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("lag", [-3, 0, 2])
def test_lead_finds_the_planted_one_and_its_interval_holds_it(lag):
    traces = noise_traces(8, seed=6)
    traces = follow(traces, "a", "b", lag) if lag >= 0 else follow(traces, "b", "a", -lag)
    found = lead(traces.select(["a", "b"]), component="x", n_bootstrap=100)
    assert found["lag"] == lag
    assert found["low"] <= lag <= found["high"]
    assert found["n"] == len(traces.annotations)


def test_foresight_is_positive_where_the_past_tells_and_not_otherwise():
    traces = follow(noise_traces(6, smooth=1), "a", "b", 2)
    assert foresight(traces.select(["a", "b"]), condition="all") > 0.5
    assert foresight(traces.select(["b", "a"]), condition="all") < 0.02
    assert foresight(traces.select(["c", "b"]), condition="all") < 0.02


def test_the_control_plants_a_lead_in_traces_that_have_none():
    traces = noise_traces(6, seed=2)
    planted = with_planted_lead(traces, ["a", "b"], ["c", "d"], lag=3)
    groups = {"source": ["a", "b"], "target": ["c", "d"]}
    assert lead(planted.grouped(groups), n_bootstrap=0)["lag"] == 3
    for key, value in traces.values.items():
        assert (planted.values[key][:, :2] == value[:, :2]).all()


def test_a_lead_is_that_of_two_series():
    for question in (lead, foresight):
        with pytest.raises(InputError, match="pair holds 4 series"):
            question(noise_traces(2))
