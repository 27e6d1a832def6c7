"""Our rows of the leaderboard: from held-out persons, or trained on a whole run and scored on other films."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from support.made_up_motion import made_up_motion

from metst_core.errors import InputError
from metst_core.experiment import PROFILES, Run, leaderboard, majority_emotion, motion_spotter
from metst_core.metrics import Intervals
from metst_core.training import LosoResult

MODELS = ("metst_plus", "sliding_window")


@pytest.fixture
def run(tmp_path, monkeypatch):
    small = {"width": 4, "d_state": 2, "blocks_per_stage": 1, "depth": 1, "epochs": 1, "batch_size": 64}
    profile = dataclasses.replace(
        PROFILES["smoke"], train=small, models=MODELS, seeded=("metst_plus",), n_seeds=2, bootstrap=30
    )
    monkeypatch.setitem(PROFILES, "smoke", profile)
    made_up_motion(features="metst_plus").save(tmp_path / "motion.npz")
    run = Run("smoke", "synthetic", None, 1, tmp_path, n_jobs=1)
    run.record("04_evaluation")
    return run


def test_held_out_rows_are_of_what_was_trained_and_best_comes_first(run, tmp_path):
    for model in MODELS:
        run.train(model)
    run.over_seeds("metst_plus")
    found = leaderboard.held_out(run)
    assert {name: len(runs) for name, runs in found.items()} == {
        "metst_plus": 2, "sliding_window": 1, "motion_threshold": 1,
    }  # fmt: skip
    table = leaderboard.board(found, run.motion(), Intervals(n=30))
    assert table["strs"].is_monotonic_decreasing and set(table["method"]) == set(found)
    by_name = table.set_index("method")
    assert by_name["seeds"].to_dict() == {"metst_plus": 2, "sliding_window": 1, "motion_threshold": 0}
    mean = np.mean([r.evaluation.strs for r in found["metst_plus"]])
    assert by_name.loc["metst_plus", "strs"] == pytest.approx(mean)
    assert pd.isna(by_name.loc["metst_plus", "p_table"]) and by_name.loc["sliding_window", "p_table"] <= 1
    assert any(c.startswith("frames ") for c in table) and any(c.startswith("pixels ") for c in table)
    page = tmp_path / "leaderboard.md"
    page.write_text(
        "# x\n<!-- our rows of default run -->\nof before\n<!-- end of our rows of default run -->\nend\n"
    )
    leaderboard.main(["--run", str(run.out), "--page", str(page)])
    text = page.read_text()
    assert "of before" not in text and text.endswith("-->\nend\n") and text.count("| internal |") == 3
    assert "not the secret test part" in text
    with pytest.raises(InputError, match="our rows of nothing"):
        leaderboard.write_board(page, "nothing", "")


def test_films_are_scored_by_networks_that_saw_none_of_their_labels(run, tmp_path):
    films = made_up_motion(features="metst_plus", n_subjects=2, seed=5)
    found = leaderboard.on_films(run, films, tmp_path / "work", n_seeds=1)
    wrong = films.annotations.assign(onset=0, apex=1, offset=2)
    blind = dataclasses.replace(films, annotations=wrong)
    again = leaderboard.on_films(run, blind, tmp_path / "other", n_seeds=1)
    for name, (result,) in found.items():
        pd.testing.assert_frame_equal(result.predictions, again[name][0].predictions)
        assert result.subjects == films.subjects and set(result.k_p) == set(films.subjects)
    read_back = leaderboard.on_films(run, films, tmp_path / "work", n_seeds=1)["metst_plus"][0]
    assert isinstance(read_back, LosoResult)
    pd.testing.assert_frame_equal(read_back.predictions, found["metst_plus"][0].predictions)
    names = run.motion().annotations
    assert set(motion_spotter(films, known=names).predictions["emotion"]) == {majority_emotion(names)}
    with pytest.raises(InputError, match="has window"):
        leaderboard.joined(run.motion(), dataclasses.replace(films, window=50))
