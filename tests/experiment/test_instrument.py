"""Threshold, ends and numbers of the instrument, on a film whose network says what the mouth does."""

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
    return instrument.Measured(windows, *answers, 90, truth, np.array([0.01, 0.02]))


@pytest.fixture(scope="module")
def chosen(film):
    return instrument.calibrated([film], mouth_model(window=20), (0, 4, 8))


def test_what_is_chosen_finds_what_there_is(film, chosen):
    assert chosen.strategy == MOTION and chosen.phases == 3
    told = instrument.report([film], chosen, (0, 4, 8))
    assert (told["n"], told["touched"], told["found"]) == (2, 2, 2)
    assert told["false_per_minute"] == pytest.approx(60 / 3)  # the third movement
    assert told["n_lengths"] == 2
    assert np.abs(told["onset_error"] + told["offset_error"]).max() <= 2
    assert [row["touched"] for row in told["by_strength"]] == [1, 0, 1]


def test_more_phases_hold_stiller(film, chosen):
    rows = instrument.steadiness([film], chosen)
    assert [row["phases"] for row in rows] == [1, 2, 3, 4]
    assert all(row["sd"] >= 0 and 0 <= row["stays"] <= 1 and row["n"] == 2 for row in rows)


def test_the_card_says_it(film, chosen):
    told = instrument.report([film], chosen, (0, 4, 8))
    rows = instrument.steadiness([film], chosen)
    card = {"chosen_on": 1, "phases": 3, "threshold": chosen.threshold, "steadiness": rows, "report": told}
    text = "\n".join(instrument.lines_of(card))
    assert "2 touched" in text and "20.0 false finds per minute" in text and "| 4 |" in text
