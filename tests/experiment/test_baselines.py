"""What a score is compared with: chance, and the motion spotter."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made_up_motion import WINDOW, made_up_motion

from metst_core.decoding import half_length
from metst_core.errors import InputError
from metst_core.experiment import (
    chance_predictions,
    chance_scores,
    majority_emotion,
    motion_contrast,
    motion_path,
    motion_spotter,
)
from metst_core.metrics import Intervals, interval_iou
from metst_core.tables import ANNOTATION_COLUMNS, PREDICTION_COLUMNS
from metst_core.windows import unstitch

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def motion():
    return made_up_motion()


# --- the motion spotter ---------------------------------------------------------------------------


@given(st.integers(2, 80), st.integers(1, 9), st.integers(0, 99))
def test_chaining_the_windows_gives_the_path_back(n_frames, half, seed):
    path = np.random.default_rng(seed).standard_normal((n_frames, 4))
    cut = unstitch(path, 2 * half)
    windows = (cut - cut[:, :1]).transpose(0, 2, 1)
    assert np.allclose(motion_path(windows, n_frames), path - path[0])


def test_contrast_cancels_a_steady_drift_and_answers_to_a_bump():
    frames = np.arange(128.0)
    drift = np.stack([0.3 * frames, -0.1 * frames], axis=1)
    bump = drift + np.outer(np.exp(-(((frames - 60) / 3) ** 2)), [0.6, 0.8])  # a shift by 1 pixel at frame 60
    # by hand: the difference is 1 at frame 60 and 1/2 ten frames to either side, where the bump is a neighbour
    for path, expected in ((drift, 0.0), (bump, 1 - (1 / 2 + 1 / 2) / 2)):
        cut = unstitch(path, WINDOW)
        contrast = motion_contrast((cut - cut[:, :1]).transpose(0, 2, 1), k_p=5, n_frames=128)
        assert contrast[60] == pytest.approx(expected, abs=1e-3)
        assert np.allclose(contrast[25:35], 0, atol=1e-3) and contrast.shape == (128,)


def test_contrast_is_that_of_the_third_of_the_rois_that_moves_most():
    frames = np.arange(96.0)
    bump = np.exp(-(((frames - 48) / 2) ** 2))
    path = np.outer(
        bump, [1.0, 0, 3.0, 0, 0, 0, 0, 0, 0, 0, 2.0, 0]
    )  # six ROIs, of which the 2nd and 6th count
    cut = unstitch(path, WINDOW)
    contrast = motion_contrast((cut - cut[:, :1]).transpose(0, 2, 1), k_p=4, n_frames=96)
    assert contrast.argmax() == 48 and contrast[48] == pytest.approx(2.5 / 2, abs=1e-3)


def test_the_motion_spotter_finds_bumps_and_knows_only_the_majority(motion):
    result = motion_spotter(motion)
    assert result.evaluation.spotting_recall > 0.8 and result.evaluation.spotting_f1 > 0.6
    for subject in motion.subjects:
        others = motion.annotations[motion.annotations["subject"] != subject]
        own = result.predictions[result.predictions["subject"] == subject]
        assert set(own["emotion"]) == {majority_emotion(others)}
        assert result.k_p[subject] == half_length(others)
    assert motion_spotter(motion, "official").k_p == dict.fromkeys(
        motion.subjects, half_length(motion.annotations)
    )


def test_the_motion_spotter_under_strict_does_not_see_the_labels_of_the_subject(motion):
    false = motion.annotations.copy()
    here = false["subject"] == "s1"
    false.loc[here, ["onset", "apex", "offset"]] = (0, 25, 55)
    false.loc[here, "emotion"] = "others"
    tables = [
        r.predictions[r.predictions["subject"] == "s1"].reset_index(drop=True)
        for r in (motion_spotter(motion), motion_spotter(dataclasses.replace(motion, annotations=false)))
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_official_drops_videos_without_an_me_from_the_spotter_too():
    motion = made_up_motion(3, 1, n_empty=1)
    assert {v for _, v in motion_spotter(motion, "official").traces} == {"v0"}
    assert {v for _, v in motion_spotter(motion, "strict").traces} == {"v0", "v1"}


def test_majority_is_the_most_frequent_emotion_and_the_first_of_a_tie():
    assert majority_emotion(pd.DataFrame({"emotion": ["others", "surprise", "surprise"]})) == "surprise"
    assert majority_emotion(pd.DataFrame({"emotion": ["others", "positive"]})) == "positive"


# --- chance ---------------------------------------------------------------------------------------


def test_chance_keeps_the_count_and_the_length_per_subject(motion):
    result = motion_spotter(motion)
    drawn = chance_predictions(result, motion.videos, seed=1)
    assert drawn["subject"].value_counts().to_dict() == result.predictions["subject"].value_counts().to_dict()
    for row in drawn.itertuples():
        assert row.offset - row.onset == 2 * result.k_p[row.subject]
        assert 0 <= row.apex < motion.n_frames(row.subject, row.video)
    assert drawn.equals(chance_predictions(result, motion.videos, seed=1))
    assert not drawn.equals(chance_predictions(result, motion.videos, seed=2))


def test_chance_scores_have_the_probability_of_a_hit():
    truth = pd.DataFrame([("s", "v", 40, 45, 50, "positive")], columns=ANNOTATION_COLUMNS)
    found = pd.DataFrame([("s", "v", 0, 5, 10, "others", 0.0)], columns=PREDICTION_COLUMNS)
    videos = pd.DataFrame(
        [("s", "v", 30.0, 100, "")], columns=["subject", "video", "fps", "n_frames", "path"]
    )
    hits = sum(interval_iou((apex - 5, apex + 5), (40, 50)) >= 0.5 for apex in range(100)) / 100
    result = SimpleNamespace(predictions=found, annotations=truth, subjects=["s"], k_p={"s": 5})
    scores = chance_scores(result, videos, Intervals(n=2000)).set_index("metric")
    assert hits == 0.07
    assert scores.loc["spotting_f1", "value"] == pytest.approx(hits, abs=4 * np.sqrt(hits / 2000))
    assert scores.loc["strs", "value"] == pytest.approx(hits / 4, abs=4 * np.sqrt(hits / 4 / 2000))
    assert scores.loc["spotting_f1", "low"] == 0 and scores.loc["spotting_f1", "high"] == 1


def test_chance_lies_below_the_spotter(motion):
    result = motion_spotter(motion)
    chance = chance_scores(result, motion.videos, Intervals(n=40)).set_index("metric")
    assert chance.loc["spotting_f1", "high"] < result.evaluation.spotting_f1


# --- what cannot be done --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda m: motion_spotter(m, "lenient"), "protocol is 'lenient'"),
        (lambda m: motion_path(np.zeros((2, 4, 5))), "even window"),
        (lambda m: majority_emotion(m.annotations.iloc[:0]), "no micro-expression"),
        (lambda m: chance_predictions(motion_spotter(m), m.videos[:0]), "lack subject 's0'"),
    ],
)
def test_bad_input_is_named(motion, call, named):
    with pytest.raises(InputError, match=named):
        call(motion)
