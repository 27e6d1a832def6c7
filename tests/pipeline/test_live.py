"""Frames that come one at a time: the scores of a file, early, and what is dropped is told."""

import threading
import time

import cv2
import numpy as np
import pytest
import torch
from support.own_videos import analysed, landmarker, mouth_at, picture

from metst_core.errors import InputError
from metst_core.inference import TrainedModel
from metst_core.models import METST, METSTPlus, predict_video
from metst_core.motion import extract_motion
from metst_core.pipeline import LiveScore, camera_widget
from metst_core.variants import variant_network
from metst_core.video import read_frames


def backwards_too(**sizes):
    return variant_network("metst_plus", "centred+local", {"in_channels": 36, **sizes})


@pytest.fixture(
    scope="module", params=[METST, METSTPlus, backwards_too], ids=lambda network: network.__name__
)
def model(request):
    """A small network of random weights, whose score reacts to motion; 90 frames end within its windows of 20."""
    torch.manual_seed(3)
    features, blocks = ("metst", "depth") if request.param is METST else ("metst_plus", "blocks_per_stage")
    network = request.param(width=8, d_state=4, **{blocks: 1})
    return TrainedModel(network, features, window=20, k_p=5, threshold=0.2, phases=1)


@pytest.fixture(scope="module")
def result(clip, model):
    return analysed(clip, model)


def test_frame_by_frame_gives_the_scores_of_a_file(clip, model, result):
    live = LiveScore(model, landmarker)
    for number, frame in enumerate(read_frames(clip)):
        live.push(frame, 7.0 + number / 30)
    live.finish()
    assert live.dropped == 0
    assert np.ptp(result.score) > 0.01  # the score says something
    assert np.allclose(live.score, result.score, atol=1e-6)
    assert live.delay > 0


def test_a_score_is_known_as_soon_as_the_network_has_looked_ahead(clip, model):
    """2 frames for ME-TST, 3 for ME-TST+, not half a window; without a face it is 0, and known as early.

    A network that reads backwards too waits for its window of 20: the first frame for 19, later ones for 9 at most."""
    ahead, later = {METST: (2, 2), METSTPlus: (3, 3)}.get(type(model.network), (19, 9))
    assert model.delay_seconds == pytest.approx((later + 5) / 30)  # k_p = 5, 30 frames per second
    live = LiveScore(model, lambda image: None)
    for number, frame in enumerate(read_frames(clip)):
        live.push(frame, number / 30)
        waiting = time.monotonic() + 30
        if number > 20:
            ahead = later
        while live.n_scores < number + 1 - ahead:
            assert time.monotonic() < waiting, f"no score for frame {number - ahead}"
            time.sleep(0.001)
        if number == 45:
            break
    live.stop()
    assert not live.score.any()


def test_a_slower_camera_is_brought_to_the_rate_of_the_model(clip, model):
    """15 frames per second: every frame but the first is there for two of the model's."""
    frames = list(read_frames(clip))[::2]
    live = LiveScore(model, landmarker)
    for number, frame in enumerate(frames):
        live.push(frame, number / 15)
    live.finish()
    repeated = [frames[0], *(frame for frame in frames[1:] for _ in range(2))]
    windows = extract_motion(repeated, landmarker, model.features, model.window)
    expected, _ = predict_video(model.network, windows, len(repeated))
    assert np.allclose(live.score, expected, atol=1e-6)


def test_the_camera_is_told_scores_that_stay(clip, model, result, monkeypatch):
    """What the widget sends to the browser: the smoothed score up to where later frames cannot change it."""
    widget, told = camera_widget(model, seconds=1.0, landmarker=lambda: landmarker), []
    monkeypatch.setattr(type(widget), "send", lambda self, content: told.append(content))
    widget._heard(widget, {"kind": "start"}, [])
    for number, frame in enumerate(read_frames(clip)):
        picture = cv2.imencode(".png", frame[..., ::-1])[1].tobytes()
        widget._heard(widget, {"kind": "frame", "seconds": number / 30}, [picture])
    widget.live.finish()
    widget._tell(widget.live)
    last = told[-1]
    assert last["score"] == pytest.approx(result.smoothed[90 - 5 - 30 : 90 - 5], abs=1e-3)  # k_p = 5
    assert last["delay"] >= model.k_p / model.fps
    assert (last["rate"], last["span"], last["threshold"]) == (30.0, 1.0, 0.2)
    widget._heard(widget, {"kind": "stop"}, [])
    assert widget.live is None


def small_model():
    """A network that can be run frame by frame, of random weights."""
    return TrainedModel(METST(width=4, d_state=2, depth=1), "metst", k_p=5, threshold=0.2, phases=1)


def test_frames_that_come_too_fast_are_dropped_and_counted():
    slow = threading.Event()

    def waiting(image):
        slow.wait(10)

    live = LiveScore(small_model(), waiting)
    for number in range(150):
        live.push(np.zeros((20, 20, 3), np.uint8), number / 30)
    slow.set()
    assert 150 - 90 - 2 <= live.dropped < 150
    live.finish()


def test_what_goes_wrong_in_the_thread_is_told():
    def broken(image):
        raise InputError("no such camera")

    live = LiveScore(small_model(), broken)
    live.push(np.zeros((20, 20, 3), np.uint8), 0.0)
    with pytest.raises(InputError, match="no such camera"):
        live.finish()


# --- clocks and pictures that are none ---------------------------------------------------------------------------
DAY = 86_400.0


@pytest.mark.parametrize("jump", [DAY, -DAY, 365 * DAY, 3.0, -3.0])
def test_a_clock_that_is_set_is_no_pause_to_fill(jump):
    """Filling a jump of days frame by frame would hang the notebook."""
    live = LiveScore(small_model(), landmarker)
    still = picture()
    for number in range(60):
        live.push(mouth_at(number / 30, (), still), number / 30 + (jump if number >= 30 else 0.0))
    live.finish()
    assert (live.n_scores, live.jumps, live.dropped) == (60, 1, 0)


def test_a_short_pause_is_filled_and_no_time_is_no_frame():
    live = LiveScore(small_model(), landmarker)
    frame = np.zeros((20, 20, 3), np.uint8)
    for seconds in (0.0, float("nan"), float("inf"), 1.0):
        live.push(frame, seconds)
    live.finish()
    assert (live.n_scores, live.jumps) == (31, 0)


@pytest.mark.parametrize("buffers", [[], [b""], [b"no picture"], [b"\xff\xd8\xff\xd9"]])
def test_an_empty_camera_picture_is_passed_over(buffers):
    widget = camera_widget(small_model(), landmarker=lambda: landmarker)
    widget._heard(widget, {"kind": "start"}, [])
    widget._heard(widget, {"kind": "frame", "seconds": 0.0}, buffers)
    good = cv2.imencode(".jpg", np.zeros((20, 20, 3), np.uint8))[1].tobytes()
    widget._heard(widget, {"kind": "frame", "seconds": "soon"}, [good])
    widget._heard(widget, {"kind": "frame"}, [good])
    widget._heard(widget, {"kind": "frame", "seconds": 0.0}, [good])
    live = widget.live
    widget._heard(widget, {"kind": "stop"}, [])
    assert live.error is None and len(live._pushed) == 1
