"""Simulated annotators err as much as they say, and their agreement is what the package's own scores give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metst_core.synthetic import PRIORS, agreement, film_tables
from metst_core.synthetic.annotators import CONFUSION, annotate, confusable
from metst_core.synthetic.draws import Stream
from metst_core.synthetic.events import Event
from metst_core.tables import EMOTIONS

FRAMES = ["onset", "apex", "offset"]


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    onset=st.integers(0, 300),
    rise=st.integers(1, 60),
    fall=st.integers(1, 60),
    fps=st.sampled_from([24, 30, 100, 200]),
    emotion=st.sampled_from(EMOTIONS),
)
def test_an_annotator_is_at_most_three_frames_off_and_keeps_the_order(seed, onset, rise, fall, fps, emotion):
    event = Event("micro", onset, onset + rise, onset + rise + fall, 0, emotion, "", 0.01, {"AU4L": 0.01})
    n_frames = event.offset + 1
    ((start, peak, end, named),) = annotate(Stream(seed), [event], PRIORS["casme3"], n_frames, fps)
    assert 0 <= start <= peak <= end < n_frames
    most = max(1, round(3 * fps / 30))
    assert max(abs(start - event.onset), abs(peak - event.apex), abs(end - event.offset)) <= most
    assert named in EMOTIONS


@pytest.fixture(scope="module")
def tables():
    return film_tables(8, range(60), 1, 60, 30, "dense")


def test_annotators_confuse_at_the_stated_rate_and_move_every_bound(tables):
    truth = tables["annotations.csv"]
    for number in (1, 2):
        seen = tables[f"truth/annotator_{number}.csv"]
        assert np.mean(seen["emotion"] != truth["emotion"]) == pytest.approx(CONFUSION, abs=0.03)
        shift = (seen[FRAMES] - truth[FRAMES]).abs()
        assert (shift <= 3).all(axis=None)
        # short MEs and the ends of a film leave less room than the jitter asks for
        assert (shift[["onset", "offset"]] >= 1).mean(axis=None) > 0.95


def test_a_movement_is_taken_for_what_its_action_unit_stands_for_elsewhere():
    """In CAS(ME)^3's list AU12 is positive alone, AU5 surprise alone; AU9 negative alone."""
    prior = PRIORS["casme3"]
    brow = Event("micro", 0, 5, 9, 0, "negative", "anger", 0.01, {"AU4L": 0.01, "AU4R": 0.01})
    weights = dict(zip(EMOTIONS, confusable(brow, prior), strict=True))
    assert weights["negative"] == 0 and weights["surprise"] > weights["others"] > weights["positive"] > 0
    nose = brow._replace(units={"AU9L": 0.01}, emotion="surprise")
    assert np.flatnonzero(confusable(nose, prior)).tolist() == [EMOTIONS.index("negative")]
    smile = brow._replace(units={"AU12L": 0.01}, emotion="positive")  # shared with nobody: by frequency
    weights = dict(zip(EMOTIONS, confusable(smile, prior), strict=True))
    assert weights["negative"] > weights["surprise"] > weights["others"] > 0 == weights["positive"]


def test_agreement_is_the_ceiling_of_the_set(tables):
    first, second = tables["truth/annotator_1.csv"], tables["truth/annotator_2.csv"]
    assert agreement(first, first).strs == 1
    between = agreement(first, second)
    assert between.tp + between.fp == len(second) and between.tp + between.fn == len(first)
    to_truth = agreement(tables["annotations.csv"], first)
    assert 0.7 < between.spotting_f1 < to_truth.spotting_f1 < 1
    # both right, or both wrong in the same way: at least .85 squared, at most .85
    assert 0.65 < between.recognition_f1 < to_truth.recognition_f1 < 0.9
