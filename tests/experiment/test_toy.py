"""The toy world: what is asked and how it is decoded are told apart, and its targets are what they say."""

import numpy as np
import pytest

from metst_core.experiment import toy
from metst_core.metrics import interval_iou


def test_a_bump_has_its_length_and_its_target_lies_inside():
    drawn = toy.draw_bumps(40, (0.1, 0.5), np.random.default_rng(0))
    assert drawn.signal.shape == (40, 1, toy.LENGTH) and drawn.target.shape == (40, toy.LENGTH)
    for target, (onset, offset) in zip(drawn.target, drawn.spans, strict=True):
        assert toy.SHORTEST <= offset - onset <= 15
        assert np.flatnonzero(target).tolist() == list(range(onset + 1, offset))


@pytest.mark.parametrize("half", [2, 5])
def test_a_window_is_covered_where_its_overlap_says_so(half):
    spans = np.array([[30, 36], [50, 65]])
    for covered, span in zip(toy.covered(spans, half), spans, strict=True):
        assert covered.tolist() == [
            interval_iou((t - half, t + half), tuple(span)) >= 0.5 for t in range(toy.LENGTH)
        ]


def test_the_table_has_every_question_decoding_and_length_and_keeps_the_ceiling():
    table = toy.what_decides([3], steps=2, lengths=(0.1, 0.5), n=5)
    cells = set(zip(table["asked"], table["decoded"], strict=True))
    two = {"windows", "frames, no state", "frames, with a state"}
    assert cells == {(a, d) for a in two for d in ("fixed", "extensible")} | {
        ("windows of three lengths", "its window")
    }
    assert len(table) == len(cells) * 2
    for row in table[table["decoded"] == "fixed"].itertuples():
        assert row.mean_iou <= toy.ceiling(2 * row.k_p + 1, toy.n_frames_of(row.seconds)) + 1e-9
    again = toy.what_decides([3], steps=2, lengths=(0.1, 0.5), n=5)
    assert table.equals(again)


def test_the_longest_answer_reports_its_own_window():
    answers = np.zeros((len(toy.HALVES), toy.LENGTH))
    answers[2, 40:57] = 1
    ((onset, apex, offset),) = toy._longest_answer(answers, 5)
    assert (apex - onset, offset - apex) == (toy.HALVES[2], toy.HALVES[2])
