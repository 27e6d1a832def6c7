"""Who moves first: a planted lead is found with its sign, and the past tells only where it should."""

import dataclasses

import numpy as np
import pytest
from support.made_up_traces import follow, noise_traces

from metst_core.errors import InputError
from metst_core.relations import CANNOT_TELL, foresight, foresight_test, lead, with_planted_lead

pytestmark = pytest.mark.quick


def of_persons(traces, n):
    """The same videos, dealt out to `n` persons."""
    name = {key: (f"p{i % n}", key[1]) for i, key in enumerate(traces.values)}
    table = traces.annotations.copy()
    table["subject"] = [name[key][0] for key in zip(table["subject"], table["video"], strict=True)]
    return dataclasses.replace(
        traces, values={name[key]: value for key, value in traces.values.items()}, annotations=table
    )


@pytest.mark.parametrize("lag", [-3, 0, 2])
def test_lead_finds_the_planted_one_and_its_interval_holds_it(lag):
    traces = of_persons(noise_traces(8, seed=6), 4)
    traces = follow(traces, "a", "b", lag) if lag >= 0 else follow(traces, "b", "a", -lag)
    found = lead(traces.select(["a", "b"]), component="x", n_bootstrap=100)
    assert found["lag"] == lag
    assert found["low"] <= lag <= found["high"]
    assert found["n"] == len(traces.annotations) and found["persons"] == 4


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


def test_who_leads_is_told_where_a_lead_was_planted_and_cannot_be_told_where_none_was():
    nothing = of_persons(noise_traces(8, seed=6), 4)
    planted = follow(nothing, "a", "b", 3)
    told = [
        lead(t.select(["a", "b"]), component="x", n_bootstrap=100, n_permutations=39)["told"]
        for t in (planted, nothing)
    ]
    assert told == ["first leads", CANNOT_TELL]
    turned = lead(planted.select(["b", "a"]), component="x", n_bootstrap=100, n_permutations=39)
    assert turned["told"] == "second leads" and turned["p"] == 1 / 40


def test_two_persons_are_too_few_to_tell_anything():
    planted = follow(noise_traces(8, seed=6), "a", "b", 3).select(
        ["a", "b"]
    )  # four videos each of two persons
    found = lead(planted, component="x", n_permutations=19)
    assert found["told"] == CANNOT_TELL and np.isnan(found["low"]) and found["p"] <= 0.05
    assert foresight_test(planted, condition="all", n_permutations=19)["told"] == CANNOT_TELL


def test_foresight_is_tested_over_persons_against_rotated_series():
    traces = of_persons(follow(noise_traces(8, smooth=1), "a", "b", 2), 4)
    told = foresight_test(traces.select(["a", "b"]), condition="all", n_permutations=39)
    assert told["told"] == "first foretells second" and told["p"] == 1 / 40 and told["persons"] == 4
    assert told["gain"] == foresight(traces.select(["a", "b"]), condition="all")
    assert told["low"] <= told["gain"] <= told["high"]
    backwards = foresight_test(traces.select(["b", "a"]), condition="all", n_permutations=39)
    assert backwards["told"] == CANNOT_TELL


def test_false_leads_are_as_rare_as_the_level_says():
    """Twenty pairs with nothing between them: about one in twenty has a p of .05 or less, and an interval on one side too."""
    told = [
        lead(of_persons(noise_traces(6, seed=s), 3).select(["a", "b"]), "inside", "x", 4, 60, s, 19)["told"]
        for s in range(20)
    ]
    assert sum(t != CANNOT_TELL for t in told) <= 2
