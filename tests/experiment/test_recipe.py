"""The committed recipe of the bundled weights, on made-up numbers and in its smallest form."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.made_up_motion import made_up_motion
from support.own_videos import mouth_model

from metst_core import tables
from metst_core.errors import InputError
from metst_core.experiment import CARD_MARKS, HeldOut, Recipe, build_from, calibrate, write_card
from metst_core.training import TrainConfig


def test_the_threshold_and_confidence_come_from_held_out_traces():
    rng = np.random.default_rng(3)
    traces, rows = {}, []
    for group in range(4):
        for video in range(4):
            score = np.full(200, 0.02)
            for place in (40, 100, 160):
                height, true = (0.9, True) if rng.uniform() < 0.5 else (0.3, rng.uniform() < 0.2)
                score[place - 4 : place + 5] = height
                if true:
                    rows.append((f"g{group}", f"v{video}", place - 5, place, place + 5, "surprise"))
            traces[f"g{group}", f"v{video}"] = (score, np.full((200, 5), 0.2))
    annotations = pd.DataFrame(rows, columns=list(tables.ANNOTATION_COLUMNS))
    model = calibrate(mouth_model(threshold=None), HeldOut(traces, annotations))
    assert 0.3 < model.threshold < 0.9  # between false peaks and true ones
    low, high = model.calibration(np.array([0.27, 0.81]))  # 0.3 and 0.9, smoothed over 10 frames
    assert low < 0.4 < 0.8 < high
    assert model.calibration.evidence["n_true"] <= len(rows)
    assert model.calibration.evidence["expected_calibration_error"] < 0.15


def test_a_group_is_measured_without_its_own_half_length():
    rows = [("long", "v", 10, 20, 40, "surprise"), ("short", "v", 10, 13, 17, "others")]
    held_out = HeldOut({}, pd.DataFrame(rows, columns=list(tables.ANNOTATION_COLUMNS)))
    assert held_out.without(mouth_model(), "long").k_p == 4  # (17 - 10 + 1) / 2
    assert held_out.without(mouth_model(), "short").k_p == 15  # (40 - 10 + 1) / 2, down


@pytest.mark.slow
def test_it_runs_from_nothing_and_goes_on_where_it_was(tmp_path):
    """Generation and extraction are tested elsewhere; here they are made up."""
    motion = made_up_motion(n_subjects=4, n_videos=1, features="metst_plus")
    train = TrainConfig(width=4, d_state=2, blocks_per_stage=1, epochs=3, batch_size=8, learning_rate=1e-2)
    recipe = Recipe(n_subjects=4, n_videos=1, n_groups=2, train=train)
    first = build_from(motion, recipe, tmp_path)
    again = build_from(motion, recipe, tmp_path)  # the folds are read back
    assert first.threshold == again.threshold
    assert first.calibration == again.calibration
    for key, value in first.network.state_dict().items():
        assert (again.network.state_dict()[key] == value).all()
    assert first.card["subjects"] == 4
    assert (first.window, first.fps) == (16, 30.0)
    page = tmp_path / "card.md"
    page.write_text(f"before\n{CARD_MARKS[0]}\nold numbers\n{CARD_MARKS[1]}\nafter\n")
    for _ in range(2):  # writing again replaces, it does not add
        text = write_card(first.card, first.calibration.evidence, page).read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old numbers" not in text
    assert text.count("| own threshold") == 1
    page.write_text("no marks")
    with pytest.raises(InputError, match="card.md"):
        write_card(first.card, first.calibration.evidence, page)


def test_the_card_in_the_repository_can_be_brought_up_to_date():
    text = (Path(__file__).parents[2] / "data" / "model_card.md").read_text(encoding="utf-8")
    assert all(text.count(mark) == 1 for mark in CARD_MARKS)


def test_the_command_starts_without_a_warning():
    """`python -m` warns where the package has imported the module before."""
    call = [
        sys.executable,
        "-W",
        "error::RuntimeWarning:runpy",
        "-m",
        "metst_core.experiment.recipe",
        "--help",
    ]
    done = subprocess.run(call, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and "--card" in done.stdout
