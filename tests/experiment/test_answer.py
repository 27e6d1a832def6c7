"""The three sentences turn with the numbers, and land between their marks."""

import pytest
from support.recorded_run import METRIC, record_results

from metst_core.errors import InputError
from metst_core.experiment import answer, collect_results, write_answer
from metst_core.experiment.answer import MARKS

pytestmark = pytest.mark.quick


def results(low, high, dataset="synthetic"):
    row = {"protocol": "strict", "metric": "strs", "difference": (low + high) / 2, "low": low, "high": high}
    return {
        "data": {"dataset": dataset, "subjects": 8},
        "methods": {"metst_plus": {"strict": {"intervals": {"strs": METRIC}}}},
        "comparisons": [
            row | {"a": "sliding_window", "b": "metst_plus"},
            row | {"a": "patch", "b": "metst_plus"},
        ],
    }


def test_what_is_told_apart_was_seen_and_the_rest_could_not_be_told():
    better, worse, nothing = (answer(results(*ends)) for ends in ((0.1, 0.3), (-0.3, -0.1), (-0.1, 0.3)))
    assert (
        "ME-TST+ is better than the sliding window" in better.seen
        and "the sliding window" not in better.untold
    )
    assert "ME-TST+ is worse than the patch without a state" in worse.seen
    assert "better" not in nothing.seen and "worse" not in nothing.seen
    assert "Whether ME-TST+ and the sliding window differ" in nothing.untold
    assert better.claimed == worse.claimed == nothing.claimed
    assert "8 persons (synthetic faces)" in better.seen and "real faces" in better.untold
    assert "casme3" in answer(results(0.1, 0.3, "casme3")).seen
    assert "other recordings" in answer(results(0.1, 0.3, "casme3")).untold


def test_the_answer_lands_between_its_marks(tmp_path):
    record_results(tmp_path)
    collect_results(tmp_path)
    page = tmp_path / "README.md"
    page.write_text(f"before\n{MARKS[0]}\nstale\n{MARKS[1]}\nafter\n")
    write_answer(tmp_path, page)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "stale" not in text
    assert text.count("\n1. ") == text.count("\n3. ") == 1
    page.write_text("no marks")
    with pytest.raises(InputError, match="marks"):
        write_answer(tmp_path, page)
