"""Threshold, ends and numbers of the instrument, on a film whose network says what the mouth does."""

from dataclasses import replace

import numpy as np
import pytest
from support.own_videos import landmarker, mouth_model, write_clip

from metst_core.experiment import instrument
from metst_core.inference import MOTION
from metst_core.models import predict_windows
from metst_core.motion import stream_motion
from metst_core.video import read_frames


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Movements around frames 18, 42 and 66, of which the truth knows the first two."""
    path = write_clip(tmp_path_factory.mktemp("film") / "clip.avi", apexes=(0.6, 1.4, 2.2))
    windows = list(stream_motion(read_frames(path), landmarker, "metst", 20, phases=(0, 2, 4, 6, 8)))
    answers = predict_windows(mouth_model().network, np.stack([w.motion for w in windows]))
    truth = np.array([[12, 18, 24], [36, 42, 48]])
    return instrument.Measured(windows, *answers, 90, truth, np.array([0.01, 0.02]), "anna")


@pytest.fixture(scope="module")
def chosen(film):
    return instrument.calibrated([film], mouth_model(window=20, phases=3))


def test_what_is_chosen_finds_what_there_is(film, chosen):
    assert chosen.strategy == MOTION and chosen.phases == 3
    told = instrument.report([film], chosen)
    assert (told["n"], told["touched"]["hits"], told["found"]["hits"]) == (2, 2, 2)
    assert told["false_per_minute"]["rate"] == pytest.approx(60 / 3)  # the third movement
    assert told["n_lengths"] == 2
    assert np.abs(told["onset_error"] + told["offset_error"]).max() <= 2
    by_strength = [(row["above"], row["to"], row["touched"]["hits"]) for row in told["by_strength"]]
    assert by_strength == [
        (0.008, 0.012, 1),
        (0.018, 0.024, 1),
    ]  # .01 and .02; strata without an ME are left out


def test_only_what_is_judged_counts_where_that_is_asked_for(film, chosen):
    half = replace(film, judged=np.arange(90) < 30)  # the first movement alone
    told = instrument.report([half], chosen, judged=True)
    assert (told["n"], told["n_all"], told["found"]["hits"]) == (1, 2, 1)
    assert (told["judged"], told["false_per_minute"]["n"]) == (pytest.approx(1 / 3), 0)


def test_the_threshold_lets_so_many_false_finds_through(film, chosen):
    """The film lasts 3 s and has one false movement: 20 false finds a minute."""
    false = instrument.candidates(film, chosen, 3)
    [score] = false.score[false.false & (false.score > 0.2)]
    assert instrument.threshold_for([film], chosen, 19.0) > score
    assert instrument.threshold_for([film], chosen, 21.0) < score


def test_more_phases_hold_stiller(film, chosen):
    rows = instrument.steadiness([film], chosen)
    assert [row["phases"] for row in rows] == [1, 2, 3, 4]
    assert all(row["sd"] >= 0 and 0 <= row["stays"] <= 1 and row["n"] == 2 for row in rows)


def test_a_fall_of_recall_is_one_beyond_both_intervals():
    def stratum(share, low, high):
        return {"touched": {"share": share, "low": low, "high": high}}

    rows = [stratum(0.8, 0.7, 0.9), stratum(0.6, 0.4, 0.75), stratum(0.3, 0.1, 0.5)]
    assert instrument.falls(rows) == [rows[2]]  # .5 < .7; the second's interval meets the first's
