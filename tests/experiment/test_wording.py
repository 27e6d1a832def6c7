"""A sentence says what the numbers allow: it turns with them."""

import pytest

from metst_core.experiment import ahead, comparison_in_words, over, told

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.3, "b is better than a"),
        (-0.3, -0.1, "b is worse than a"),
        (-0.1, 0.3, "b and a are not told apart"),
        (0.0, 0.3, "b and a are not told apart"),
    ],
)
def test_a_comparison_says_what_its_interval_allows(low, high, words):
    text = told("b", "a", "STRS", (low + high) / 2, low, high)
    assert text.startswith(words) and f"[{low:+.3f}, {high:+.3f}]" in text


def test_a_comparison_of_a_run_is_found_or_left_unsaid():
    row = {"protocol": "strict", "a": "metst", "b": "metst_plus", "metric": "strs", "p_value": 0.5}
    results = {"comparisons": [row | {"difference": 0.25, "low": 0.125, "high": 0.5}]}
    assert comparison_in_words(results, "metst", "metst_plus").startswith(
        "ME-TST+ is better than ME-TST (STRS"
    )
    assert comparison_in_words(results, "metst", "patch") == ""
    assert comparison_in_words(results, "metst", "metst_plus", protocol="official") == ""


def test_seeds_that_disagree_tell_nothing_apart():
    assert "in all 2 seeds" in ahead("x", "y", [0.5, 0.6], [0.1, 0.2])
    assert "x are behind y" in ahead("x", "y", [0.1, 0.2], [0.5, 0.6])
    assert "not told apart: ahead in 1 of 2" in ahead("x", "y", [0.1, 0.9], [0.5, 0.6])
    assert over([0.25]) == "0.25 (one of the seeds alone)"
