"""Weights of one's own: trained on any set, with constants from persons not seen and a card, and used by `metst analyse`."""

import numpy as np
import pandas as pd
import pytest
from support.made_up_motion import WINDOW, made_up_motion

from metst_core.cli import main
from metst_core.datasets import Dataset
from metst_core.errors import InputError
from metst_core.experiment import check_profile_here, own_weights, train_weights
from metst_core.experiment.held_out import HeldOut, calibrate
from metst_core.pipeline import load_model
from metst_core.training import TrainConfig

TINY = TrainConfig(model="metst", width=4, depth=1, d_state=2, epochs=2, batch_size=8, learning_rate=1e-2)


@pytest.fixture(scope="module")
def motion():
    return made_up_motion(n_subjects=3, n_videos=1)


@pytest.fixture
def dataset(motion, monkeypatch):
    """A set whose motion is made up: reading and extracting are tested elsewhere."""
    monkeypatch.setattr(own_weights, "extract_dataset", lambda *arguments: motion)
    return Dataset("folder", motion.annotations, motion.videos, fps=30.0, window=WINDOW)


def test_they_come_with_constants_and_a_card_and_load_again(dataset, tmp_path):
    path, trained = train_weights(dataset, tmp_path, TINY, n_groups=9)
    assert path == tmp_path / "folder.safetensors"
    loaded = load_model(path)
    assert (loaded.features, loaded.window, loaded.fps) == ("metst", WINDOW, 30.0)
    assert loaded.threshold == trained.threshold and loaded.k_p == trained.k_p
    assert loaded.identity == trained.identity
    card = path.with_suffix(".md").read_text()
    assert "videos of one's own: 3 persons, 3 videos" in card and "Measured in 3 groups" in card
    assert f"Hash of the weights and constants: {trained.identity}" in card
    assert "were trained on videos of one's own" in loaded.notice and "bundled" not in loaded.notice

    again, same = train_weights(dataset, tmp_path, TINY, n_groups=9)
    assert same.identity == trained.identity and again == path
    with pytest.raises(InputError, match="other weights"):
        train_weights(dataset, tmp_path, TrainConfig(**{**TINY.to_dict(), "epochs": 3}), n_groups=9)


def test_what_cannot_be_trained_on_is_said_before_the_work(dataset, tmp_path):
    from dataclasses import replace

    empty = replace(dataset, annotations=dataset.annotations.iloc[:0])
    alone = replace(dataset, videos=dataset.videos.iloc[:1], annotations=dataset.annotations.iloc[:1])
    rates = replace(dataset, videos=dataset.videos.assign(fps=[25.0, 30.0, 30.0]))
    for odd, said in ((empty, "no micro-expression"), (alone, "2 are needed"), (rates, "--option fps=30")):
        with pytest.raises(InputError, match=said):
            train_weights(odd, tmp_path, TINY)
    assert not list(tmp_path.iterdir())


def test_candidates_that_are_all_false_give_a_threshold_and_no_confidence(motion):
    score = np.full(60, 0.02)
    score[20:31] = 0.9
    traces = {("g0", "v"): (score, np.full((60, 5), 0.2))}
    truth = pd.DataFrame([("g0", "v", 45, 48, 50, "others")], columns=list(motion.annotations.columns))
    from support.own_videos import mouth_model

    with pytest.warns(UserWarning, match="no calibration"):
        model = calibrate(mouth_model(threshold=None), HeldOut(traces, truth))
    assert model.calibration is None and model.threshold is not None


def test_a_profile_for_a_gpu_is_refused_with_an_option_that_exists(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    check_profile_here("default")
    assert main(["reproduce", "--profile", "full"]) == 1
    assert main(["train", "--dataset", "synthetic", "--out", str(tmp_path), "--profile", "full"]) == 1
    first, second = capsys.readouterr().err.strip().splitlines()
    assert "use --profile default (a laptop)" in first
    assert "--device cpu" in second
    assert not list(tmp_path.iterdir())
