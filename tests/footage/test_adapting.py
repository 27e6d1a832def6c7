"""Adapting: the parts do not meet, constants come from the middle one, and what does not help is refused with numbers."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from support.own_videos import POINTS, landmarker, mouth_model, picture

from metst_core.checkpoints import own
from metst_core.cli import main
from metst_core.errors import InputError
from metst_core.footage import adapt, adapting
from metst_core.inference import Face
from metst_core.landmarks import IBUG_TO_MESH
from metst_core.models import METST
from metst_core.tables import inside
from metst_core.video import write_video
from metst_core.windows import window_starts

SECONDS = 4


class Blind(METST):
    """Finds nothing."""

    def forward(self, x):
        score, logits = super().forward(x)
        return torch.zeros_like(score), logits


def mesher(image):
    mesh = np.zeros((478, 3))
    mesh[:, :2] = POINTS.mean(axis=0)
    mesh[list(IBUG_TO_MESH), :2] = POINTS
    mesh[[10, 152], :2] = (80, 30), (80, 130)
    return mesh


def finder(image):
    return [Face((35, 30, 125, 130), ((56, 70), (104, 70)), (80, 91))]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Three persons who sit still, for four seconds each, with a little noise."""
    root = tmp_path_factory.mktemp("lab")
    rng = np.random.default_rng(0)
    for number, person in enumerate(("anna", "bob", "carl")):
        still = np.repeat(picture(number)[:, :, None], 3, axis=2).astype(float)
        frames = [
            np.clip(still + rng.normal(0, 1, still.shape), 0, 255).astype(np.uint8)
            for _ in range(30 * SECONDS)
        ]
        write_video(root / person / "1.mkv", frames, 30)
    return root


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(adapting, "LEAST", 0.05)
    monkeypatch.setattr(adapting, "_MOST", {"learn": 3, "choose": 5, "check": 9})


HOW = adapting.Adaptation(epochs=1, prior="sammlv", strengths=(0.06, 0.1), seed=2)
OPTIONS = {"how": HOW, "landmarker": landmarker, "mesher": mesher, "face_finder": finder, "progress": False}


def blind():
    network = Blind(width=2, depth=1, d_state=2, in_channels=10)
    return dataclasses.replace(mouth_model(), network=network, name="blind")


@pytest.fixture
def taught(monkeypatch):
    """Fine-tuning that turns the blind network into one that sees the mouth; what it was given is kept."""
    given = []

    def teach(trained, motion, *arguments):
        given.append(motion)
        return dataclasses.replace(trained, network=mouth_model().network)

    monkeypatch.setattr(adapting, "fine_tune", teach)
    monkeypatch.setitem(own._NETWORKS, "MouthNetwork", type(mouth_model().network))  # so that it can be saved
    return given


def test_a_network_that_gets_better_is_written_with_its_limits(films, taught, tmp_path):
    adapted = adapt(films, tmp_path / "w", blind(), **OPTIONS)
    card = json.loads((tmp_path / "w" / "adapted.json").read_text())["card"]["adapted"]
    assert card["before"]["touched"] == 0 < card["after"]["touched"]
    assert card["gain"]["low"] > 0
    assert card["persons_held_out"]
    assert sorted(p for persons in card["persons"].values() for p in persons) == ["anna", "bob", "carl"]
    assert "less than the 5 that are asked for" in card["words"]
    assert card["most_false_per_minute"] == pytest.approx(-np.log(0.05) / card["after"]["minutes"], rel=1e-6)
    assert adapted.name == "blind, adapted"
    assert adapted.threshold in adapting._THRESHOLDS
    [motion] = taught
    assert motion.subjects == card["persons"]["learn"]
    assert len(motion.annotations)
    moved = np.concatenate([np.abs(w).max(axis=1)[:, 10:40].ravel() for w in motion.windows.values()])
    is_inside = np.concatenate([inside_of(motion, key) for key in motion.windows])
    assert moved[is_inside].mean() > 3 * moved[~is_inside].mean()  # targets and motion agree


def inside_of(motion, key):
    rows = motion.annotations[
        (motion.annotations["subject"] == key[0]) & (motion.annotations["video"] == key[1])
    ]
    mask = inside(rows, motion.n_frames(*key))
    starts = window_starts(motion.n_frames(*key), 50)
    return np.stack([mask[s : s + 50] for s in starts])[:, 10:40].ravel()


def test_what_does_not_help_is_refused_and_nothing_is_written(films, monkeypatch, tmp_path):
    monkeypatch.setattr(adapting, "fine_tune", lambda trained, *arguments: trained)
    with pytest.raises(InputError, match=r"does not help.*0 of 9 were found before and 0 of 9 after"):
        adapt(films, tmp_path / "w", blind(), **OPTIONS)
    assert not (tmp_path / "w").exists()


def test_the_parts_of_one_film_are_a_window_apart():
    class Base:
        n_frames = 1000
        model = mouth_model()

    parts = [adapting._stretch(Base, part) for part in adapting.PARTS]
    assert [int(p.sum()) for p in parts] == [500, 200, 200]
    assert not (parts[0] & parts[1]).any() and not (parts[1] & parts[2]).any()
    assert np.flatnonzero(parts[1])[0] - np.flatnonzero(parts[0])[-1] > Base.model.window


@pytest.mark.parametrize("n", [3, 4, 7, 20])
def test_every_part_has_persons_and_no_person_two_parts(n):
    roles = adapting._roles([str(i) for i in range(n)], seed=1)
    assert len(roles) == n
    assert set(roles.values()) == set(adapting.PARTS)
    assert adapting._roles([str(i) for i in range(n)], seed=1) == roles


def test_too_little_is_refused_before_the_work(films, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(adapting, "LEAST", 0.5)
    monkeypatch.setattr(adapting, "track", lambda *a: pytest.fail("worked before looking"))
    film = str(films / "anna" / "1.mkv")
    assert main(["adapt", film, "--out", str(tmp_path / "w"), "--quiet"]) == 1
    assert "4 s of recordings, too little to learn from; give 5 minutes or more" in capsys.readouterr().err
    with pytest.raises(InputError, match="epochs"):
        adapt(film, tmp_path / "w", how=adapting.Adaptation(epochs=0))
