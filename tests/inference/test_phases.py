"""Several window phases: the mean of what all windows say, whatever the order, and how far they differ."""

import numpy as np
import pytest
from support.own_videos import analysed, landmarker, mouth_model

from metst_core.errors import InputError
from metst_core.inference import Calibration, averaged, phases_of, spread_of
from metst_core.models import predict_windows
from metst_core.motion import stream_motion
from metst_core.video import read_frames


def test_phases_are_spread_over_half_a_window():
    assert phases_of(1, 50) == (0,)
    assert phases_of(3, 50) == (0, 8, 16)
    assert phases_of(99, 6) == (0, 1, 2)  # no more than there are frames


def test_every_window_that_sees_a_frame_speaks_for_it(clip):
    """Against the plain definition: all windows of three phases, each frame's mean over those that hold it."""
    result = analysed(clip, mouth_model(window=20, phases=3))
    windows = list(stream_motion(read_frames(clip), landmarker, "metst", 20, phases=(0, 3, 6)))
    scores, _ = predict_windows(mouth_model().network, np.stack([w.motion for w in windows]))
    said = [[] for _ in range(90)]
    for window, score in zip(windows, scores, strict=True):
        for n, value in enumerate(score[: len(window.has_face)]):
            said[window.start + n].append(value)
    assert np.allclose(result.score, [np.mean(values) for values in said], atol=1e-6)
    assert max(map(len, said)) == 6
    assert result.phases == 3 and np.isfinite(result.spread).all()


def test_one_phase_is_the_papers_way_and_has_no_spread(clip, result):
    one = analysed(clip, mouth_model(phases=3), phases=1)
    assert np.array_equal(one.score, result.score) and np.isnan(one.spread).all()
    assert one.table["spread"].isna().all()
    with pytest.raises(InputError, match="phases"):
        analysed(clip, phases=0)


def test_a_voice_that_does_not_speak_does_not_count():
    two = [(0, np.array([0.2, 0.4, 0.6]), np.zeros((3, 5))), (2, np.array([0.0]), np.ones((1, 5)))]
    mean = averaged(two, 3, 3)
    assert np.allclose(mean.score, [0.2, 0.4, 0.3])
    assert np.allclose(mean.probabilities[:, 0], [0, 0, 0.5])
    assert np.allclose(spread_of(mean.each, mean.score, 0)[:2], 0)
    assert spread_of(mean.each, mean.score, 0)[2] == pytest.approx(0.3)


def test_confidence_is_nearer_to_a_half_the_more_the_voices_differ():
    calibration = Calibration(8.0, -4.0)
    agree, differ = calibration.of_voices(np.array([[0.8, 0.8], [0.6, 1.0]]))
    assert agree == pytest.approx(calibration(np.array([0.8]))[0])
    assert 0.5 < differ < agree
