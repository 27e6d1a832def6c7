"""A run: its folder, its profile, what it hands on and what it says is missing."""

import dataclasses
import functools
import json

import pytest
from support.made_up_motion import made_up_motion
from support.recorded_run import record_results

from metst_core.cli import main
from metst_core.errors import InputError, MissingError
from metst_core.experiment import PROFILES, Cell, Run
from metst_core.metrics import evaluate
from metst_core.tables import EMOTIONS


def test_a_finished_run_is_opened_as_what_it_was(tmp_path):
    with pytest.raises(MissingError, match="name the folder of a finished run"):
        Run.reopened(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    run = Run("smoke", "folder", None, 1, tmp_path, {"fps": 30})
    run.record("04_evaluation")
    again = Run.reopened(tmp_path, n_jobs=3)
    assert (again.profile_name, again.dataset_name, again.seed) == ("smoke", "folder", 1)
    assert (again.data_options, again.n_jobs) == ({"fps": 30}, 3)


def test_seeds_and_ablation_of_a_run_land_in_its_report(tmp_path, monkeypatch, capsys):
    small = {"width": 4, "d_state": 2, "blocks_per_stage": 1, "depth": 1, "epochs": 1, "batch_size": 64}
    profile = dataclasses.replace(PROFILES["smoke"], train=small, models=("metst",), bootstrap=20)
    monkeypatch.setitem(PROFILES, "smoke", profile)
    cells = (Cell("ROIs", "5", {"features": "metst"}), Cell("ROIs", "18"))
    monkeypatch.setattr(Run, "ablate", functools.partialmethod(Run.ablate, cells=cells))
    record_results(tmp_path)
    made_up_motion(features="metst_plus").save(tmp_path / "motion.npz")
    assert main(["seeds", "--run", str(tmp_path), "-n", "2", "--jobs", "1"]) == 0
    assert sorted(p.name for p in (tmp_path / "loso" / "metst").iterdir()) == ["seed-2", "strict"]
    assert main(["ablate", "--run", str(tmp_path), "--jobs", "1", "--windows"]) == 0
    assert "no difference in STRS on these data:" in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["level"] for row in results["ablation"]] == ["5", "18"]
    assert results["seeds"]["metst"][0]["n_seeds"] == 2
    assert main(["claims", "--run", str(tmp_path), "--jobs", "1", "--only", "pathways", "--hours", "0"]) == 0
    assert (
        "pathways: separate, pathways: shared, pathways: shared, twice the blocks" in capsys.readouterr().out
    )
    assert main(["claims", "--run", str(tmp_path), "--only", "magic"]) == 1
    assert "claim is 'magic'" in capsys.readouterr().err
    page = (tmp_path / "report.html").read_text()
    assert "ROIs: 18 (base)" in page and "Ablation: one part of ME-TST+" in page


def test_a_run_names_the_notebook_that_is_missing(tmp_path):
    run = Run("smoke", "synthetic", None, 1, tmp_path)
    with pytest.raises(MissingError, match="01_roi_extraction"):
        run.motion()
    with pytest.raises(MissingError, match="03_synergy_training"):
        run.trained("metst_plus")
    with pytest.raises(InputError, match="smoke, default, full"):
        Run("huge", "synthetic", None, 1, tmp_path)


def test_profiles_give_valid_configurations(tmp_path):
    for profile in PROFILES:
        run = Run(profile, "synthetic", None, 1, tmp_path)
        for model in run.profile.models:
            assert run.config(model).model == model


def test_sammlv_is_also_scored_on_three_classes(tmp_path, monkeypatch):
    small = {"width": 4, "d_state": 2, "blocks_per_stage": 1, "epochs": 2, "batch_size": 64}
    monkeypatch.setitem(
        PROFILES, "smoke", dataclasses.replace(PROFILES["smoke"], train=small, n_seeds=1, bootstrap=20)
    )
    made_up_motion(features="metst_plus").save(tmp_path / "motion.npz")
    for name, classes in (("casme3", None), ("sammlv", EMOTIONS[:3])):
        run = Run("smoke", name, tmp_path, 1, tmp_path, n_jobs=1)
        results = {"metst_plus": run.train("metst_plus")}
        found = run.compare(run.motion(), results)["without_others"]
        assert set(found) == ({"metst_plus", "motion_threshold"} if classes else set())
        for protocol, metrics in found.get("metst_plus", {}).items():
            scored = results["metst_plus"][protocol]
            expected = evaluate(scored.predictions, scored.annotations, classes)
            assert metrics["recognition_f1"]["value"] == expected.recognition_f1
            assert metrics["strs"]["value"] == expected.strs


def test_comparing_trains_nothing(tmp_path):
    made_up_motion(features="metst_plus").save(tmp_path / "motion.npz")
    run = Run("smoke", "synthetic", None, 1, tmp_path)
    with pytest.raises(MissingError, match=r"strict.*03_synergy_training"):
        run.trained_over_seeds("metst_plus")
    with pytest.raises(InputError, match="n_seeds is 0"):
        run.over_seeds("metst_plus", 0)


def test_a_run_hands_its_parameters_to_notebooks_with_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = Run("smoke", "folder", "mine", 1, "runs/x", {"fps": 25}, 3).parameters
    assert (given["data_root"], given["out_dir"]) == (str(tmp_path / "mine"), str(tmp_path / "runs" / "x"))
    again = Run(*given.values())
    assert again.parameters == given
