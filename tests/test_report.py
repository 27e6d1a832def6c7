"""The report says what `results.json` says, and stands alone."""

import dataclasses
import json

import pytest
from support.made_up_motion import made_up_motion

from metst_core.errors import InputError, MissingError
from metst_core.experiment import (
    PROFILES,
    PUBLISHED,
    Run,
    collect_results,
    compare_runs,
    refresh,
    write_report,
)
from metst_core.files import write_json
from metst_core.metrics import METRICS
from metst_core.plots import confusion
from metst_core.tables import CLASSES, EMOTIONS

METRIC = {"value": 0.5, "low": 0.25, "high": 0.75}


def _results(out, value=0.5, seeds=None):
    """A run's results as two notebooks leave them: one method and chance under one protocol."""
    metrics = {name: METRIC | {"value": value} for name in METRICS}
    evaluation = {"tp": 3, "fp": 1, "fn": 2, **dict.fromkeys(METRICS, value)}
    method = {"subjects": 2, "evaluation": evaluation, "intervals": metrics, "config": None, "folds": None}
    difference = {"difference": 0.125, "low": -0.0625, "high": 0.1875, "p_value": 0.375}
    comparisons = [
        {
            "protocol": "strict",
            "a": "chance",
            "b": "<b>",
            "metric": m,
            "value_a": 0,
            "value_b": value,
            **difference,
        }
        for m in METRICS
    ]
    data = {"dataset": "synthetic", "subjects": 2, "videos": 3, "micro_expressions": 4, "minutes": 1.5}
    about = {"record": {"seed": 1, "dataset": "synthetic"}, "profile": "smoke", "seed": 1}
    write_json({**about, "data": data}, out / "results" / "01_roi_extraction.json")
    results = {
        **about,
        "schema": 2,
        "methods": {"<b>": {"strict": method}},
        "comparisons": comparisons,
        "seeds": seeds or {},
        "ablation": [],
        "bootstrap": {"n": 10, "seed": 1, "level": 0.95},
        "chance": {"strict": metrics},
        "without_others": {},
    }
    write_json(results, out / "results" / "04_evaluation.json")


def test_report_shows_the_numbers_and_escapes_names(tmp_path):
    import pandas as pd

    _results(tmp_path)
    table = pd.DataFrame(0, index=list(EMOTIONS), columns=list(CLASSES))
    run = Run("smoke", "synthetic", None, 1, tmp_path)
    run.figure(confusion(table), "04b_confusion", "a caption & more")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_roi_extraction.html").write_text("executed")
    merged = json.loads(collect_results(tmp_path).read_text())
    assert merged["data"]["videos"] == 3
    page = write_report(tmp_path).read_text()
    assert "0.500 [0.250, 0.750]" in page
    assert "&lt;b&gt;" in page
    assert "a caption &amp; more" in page
    assert "data:image/png;base64," in page
    assert "href='notebooks/01_roi_extraction.html'" in page
    assert "src='http" not in page, "the page must open offline"
    assert "&lt;b&gt; − chance" in page and "0.125 [-0.062, 0.188], p 0.375" in page
    assert "One training seed" in page and "Ablation" not in page


def test_the_report_shows_seeds_and_ablation_once_they_are_there(tmp_path):
    row = {"n_seeds": 5, "mean": 0.5, "sd": 0.1, "min": 0.375, "median": 0.5, "max": 0.625}
    _results(tmp_path, seeds={"metst_plus": [{"metric": m, **row, "n_seeds": 2} for m in METRICS]})
    assert "0.375 / 0.500 / 0.625" in refresh(tmp_path).read_text()
    write_json(
        {"seeds": {"metst": [{"metric": m, **row} for m in METRICS]}}, tmp_path / "results" / "seeds.json"
    )
    scores = {f"{m}{part}": 0.25 for m in ("strs", "strs_difference") for part in ("", "_low", "_high")}
    cells = [
        {"factor": factor, "level": "x", "is_base": False, "parameters": 1234, **scores, "strs_p_value": 0.5}
        | {"makes_a_difference": factor == "ROIs"}
        for factor in ("ROIs", "synergy")
    ]
    write_json({"ablation": cells}, tmp_path / "results" / "ablation.json")
    page = refresh(tmp_path).read_text()
    assert (
        "<td>ME-TST</td><td class=number>5</td>" in page
    )  # what `metst seeds` found replaces the notebook's
    assert "ROIs: x" in page and "1,234" in page and "No difference on these data: <b>synergy</b>" in page


def test_results_that_lack_an_entry_are_named(tmp_path):
    _results(tmp_path)
    (tmp_path / "results" / "01_roi_extraction.json").unlink()
    with pytest.raises(InputError, match="data is missing"):
        collect_results(tmp_path)


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
    from metst_core.cli import main
    from metst_core.experiment import Cell
    from metst_core.experiment import run as runs

    small = {"width": 4, "d_state": 2, "blocks_per_stage": 1, "depth": 1, "epochs": 1, "batch_size": 64}
    profile = dataclasses.replace(PROFILES["smoke"], train=small, models=("metst",), bootstrap=20)
    monkeypatch.setitem(runs.PROFILES, "smoke", profile)
    monkeypatch.setattr(runs, "CELLS", (Cell("ROIs", "5", {"features": "metst"}), Cell("ROIs", "18")))
    _results(tmp_path)
    made_up_motion(features="metst_plus").save(tmp_path / "motion.npz")
    assert main(["seeds", "--run", str(tmp_path), "-n", "2"]) == 0
    assert sorted(p.name for p in (tmp_path / "loso" / "metst").iterdir()) == ["seed-2", "strict"]
    assert main(["ablate", "--run", str(tmp_path), "--windows"]) == 0
    assert "no difference in STRS on these data:" in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["level"] for row in results["ablation"]] == ["5", "18"]
    assert results["seeds"]["metst"][0]["n_seeds"] == 2
    page = (tmp_path / "report.html").read_text()
    assert "ROIs: 18 (base)" in page and "Ablation: one part of ME-TST+" in page


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(MissingError, match="metst reproduce"):
        collect_results(tmp_path)


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


def test_strs_of_the_published_rows_is_the_product():
    """STRS = spotting F1 x recognition F1: the published numbers agree to their printed digits."""
    for data in ("CAS(ME)^3", "SAMM-LV"):
        rows = PUBLISHED[data].dropna()
        product = rows["spotting F1"] * rows["recognition F1"]
        assert (abs(product - rows["STRS"]) < 2e-4).all()


def test_sammlv_is_also_scored_on_three_classes(tmp_path, monkeypatch):
    from metst_core.experiment import run as runs
    from metst_core.metrics import evaluate

    small = {"width": 4, "d_state": 2, "blocks_per_stage": 1, "epochs": 2, "batch_size": 64}
    monkeypatch.setitem(
        runs.PROFILES, "smoke", dataclasses.replace(PROFILES["smoke"], train=small, n_seeds=1, bootstrap=20)
    )
    made_up_motion(features="metst_plus").save(tmp_path / "motion.npz")
    for name, classes in (("casme3", None), ("sammlv", EMOTIONS[:3])):
        run = Run("smoke", name, tmp_path, 1, tmp_path)
        results = {"metst_plus": run.train("metst_plus")}
        found = run.compare(run.motion(), results)["without_others"]
        assert set(found) == ({"metst_plus", "motion_threshold"} if classes else set())
        for protocol, metrics in found.get("metst_plus", {}).items():
            scored = results["metst_plus"][protocol]
            expected = evaluate(scored.predictions, scored.annotations, classes)
            assert metrics["recognition_f1"]["value"] == expected.recognition_f1
            assert metrics["strs"]["value"] == expected.strs
    _results(tmp_path / "page")
    write_json({"without_others": found}, tmp_path / "page" / "results" / "05.json")
    assert "Three classes" in refresh(tmp_path / "page").read_text()


def test_two_runs_are_compared_by_method(tmp_path, capsys):
    from metst_core.cli import main

    for name, value in (("a", 0.5), ("b", 0.75)):
        _results(tmp_path / name, value)
        collect_results(tmp_path / name)
    table = compare_runs(tmp_path / "a", tmp_path / "b")
    assert set(table["method"]) == {"<b>", "chance"}
    assert (table["difference"] == 0.25).all()
    assert (
        main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--picture", str(tmp_path / "c.png")]) == 0
    )
    assert (tmp_path / "c.png").stat().st_size > 1000
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "none")]) == 1
    assert "none" in capsys.readouterr().err
