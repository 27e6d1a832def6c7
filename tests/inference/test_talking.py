"""The instrument for faces that talk: each part of the face with its own score and gate, and nothing that hangs on chunks."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from support.own_videos import landmarker, picture, write_clip

from metst_core.aligned import N_CHANNELS, AlignedFrame
from metst_core.errors import InputError, MissingError
from metst_core.footage import limits
from metst_core.inference import (
    AlignedShot,
    Analysis,
    TrainedModel,
    load_model,
    predict_parts,
    save_model,
    unrest_of,
)
from metst_core.inference import talking as room
from metst_core.pipeline import analyse, summary_table, summary_text
from metst_core.rivals import PartsNetwork
from metst_core.video import write_video

OPEN, SHUT = 1e3, 0.0


def network(hidden=4, depth=3, bias=0.0):
    torch.manual_seed(0)
    made = PartsNetwork(5, sum(N_CHANNELS.values()), N_CHANNELS["upper"], hidden, depth).eval()
    made.score_head.bias.data += bias
    return made


def model(upper=OPEN, lower=OPEN, bias=4.0, **changes):
    """Says yes everywhere with `bias` 4."""
    constants = {"threshold": 0.5, "phases": 1, "judged": {"upper": upper, "lower": lower}, "name": "made up"}
    return TrainedModel(network(bias=bias), **(constants | changes))


def found_in(clip, trained):
    return analyse(clip, trained, landmarker=landmarker, progress=False)


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """Two seconds in which the mouth moves."""
    return write_clip(tmp_path_factory.mktemp("moving") / "clip.avi", seconds=2.0)


def made_up_frames(n, seed=0):
    rng = np.random.default_rng(seed)
    return [
        AlignedFrame(
            rng.normal(0, 0.5, (3, 12, 12, 2)).astype(np.float32), rng.normal(size=(3, 36)).astype(np.float32),
            np.zeros(2), np.hstack([np.eye(2), [[0.0], [0.0]]]), True, False,
        )
        for _ in range(n)
    ]  # fmt: skip


@pytest.mark.parametrize("n", [1, 5, 30, 61, 64, 100])
def test_a_film_in_chunks_is_the_film_as_a_whole(n, monkeypatch):
    monkeypatch.setattr(room, "CHUNK", 20)
    net = network()
    frames = made_up_frames(n)
    shot = AlignedShot(3, net)
    for frame in frames:
        shot.add(frame)
        assert len(shot._channels) <= 20 + 2 * net.reach  # memory does not grow
    shot.n_frames = n
    assert shot.n_said(ended=False) == n
    scores, probabilities = predict_parts(net, np.array([frame.channels for frame in frames]))
    heard = shot.heard(n)
    assert np.allclose(heard.scores, scores, atol=1e-5)
    assert np.allclose(heard.probabilities, probabilities, atol=1e-5)
    assert shot.measured(n).start.tolist() == [3 + max(0, t - 8) for t in range(n)]


def test_nothing_is_said_ahead_of_what_it_hangs_on(monkeypatch):
    monkeypatch.setattr(room, "CHUNK", 20)
    net = network()
    shot = AlignedShot(0, net)
    for frame in made_up_frames(20 + net.reach - 1):
        shot.add(frame)
    assert shot.n_said(ended=False) == 0
    shot.add(made_up_frames(1)[0])
    assert shot.n_said(ended=False) == 20


def test_a_part_that_is_not_judged_says_nothing(moving):
    both, upper, none = (found_in(moving, model(u, w)) for u, w in ((OPEN, OPEN), (OPEN, SHUT), (SHUT, SHUT)))
    assert both.judged.to_numpy().all()
    assert upper.judged["upper"].all() and not upper.judged["lower"].any()
    assert (none.score == 0).all() and none.table.empty
    assert (upper.score <= both.score).all() and (upper.score < both.score).any()
    assert upper.table["judged_upper"].all() and not upper.table["judged_lower"].any()


def test_the_unrest_of_one_part_does_not_shut_the_other(tmp_path):
    """All below the nose moves from 1.6 s on, the brows never: a gate between the two shuts the lower face alone, and then."""
    x, y = np.meshgrid(np.arange(160, dtype=np.float32), np.arange(160, dtype=np.float32))
    below = np.clip((y - 94) / 10, 0, 1)
    way = [3 * np.sin(2 * np.pi * 2.5 * t / 30) if t >= 48 else 0.0 for t in range(90)]
    still, clip = picture(), tmp_path / "clip.avi"
    frames = [cv2.remap(still, (x + shift * below).astype(np.float32), y, cv2.INTER_CUBIC) for shift in way]
    write_video(clip, [np.repeat(frame[..., None], 3, axis=2) for frame in frames], 30)
    analysis = Analysis(clip, model(), landmarker=landmarker)
    for _ in analysis:
        pass
    each = [
        shot.heard(shot.n_frames).unrest for shot in analysis._shots
    ]  # where all is still, the first movement is a cut
    unrest = unrest_of(np.concatenate(each), 50)
    gate = (unrest[:, 1].min() + unrest[:, 1].max()) / 2
    assert unrest[:, 0].max() < gate
    gated = found_in(clip, model(gate, gate))
    assert gated.judged["upper"].all()
    assert gated.judged["lower"].tolist() == (unrest[:, 1] <= gate).tolist()
    assert 0 < gated.judged["lower"].mean() < 1


def test_every_output_says_which_part_was_judged(moving):
    found = found_in(moving, model(OPEN, SHUT))
    assert "the brows and lids 100% of the time, nose and mouth 0%" in summary_text(found)
    row = summary_table([found]).iloc[0]
    assert (row["judged_upper"], row["judged_lower"]) == (1.0, 0.0)
    assert (found.to_dict()["judged_upper"], found.to_dict()["judged_lower"]) == (1.0, 0.0)
    assert found.frames["judged_upper"].all() and not found.frames["judged_lower"].any()


def test_a_face_too_small_is_an_error_that_names_the_film(tmp_path):
    frames = [cv2.resize(picture(), (40, 40), interpolation=cv2.INTER_AREA) for _ in range(20)]
    path = tmp_path / "small.avi"
    write_video(path, [np.repeat(frame[..., None], 3, axis=2) for frame in frames], 30)
    with pytest.raises(InputError, match=r"small\.avi: the face is too small.*film closer"):
        found_in(path, model())


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(
        MissingError, match="no weights are called 'algined'; use bundled, bundled-1, aligned"
    ):
        load_model("algined")


def test_weights_are_saved_with_their_gates(tmp_path):
    made = model(0.4, 0.2, k_p=7)
    again = load_model(save_model(made, tmp_path / "made.safetensors"))
    assert (
        again.is_aligned and again.judged == {"upper": 0.4, "lower": 0.2} and again.identity == made.identity
    )
    assert dataclasses.replace(made, judged={"upper": 0.5, "lower": 0.2}).identity != made.identity


def test_the_score_hangs_on_no_phase(moving):
    found = analyse(moving, model(), landmarker=landmarker, progress=False, phases=3)
    assert found.phases == 1 and np.isnan(found.spread).all()


def test_limits_say_that_they_need_windows(moving):
    with pytest.raises(InputError, match="read aligned frames"):
        limits(
            moving,
            model(),
            n_events=1,
            progress=False,
            landmarker=landmarker,
            mesher=lambda image: np.ones((478, 3)),
        )
