"""The report says what `results.json` says, and stands alone."""

import json

import pytest

from metst_core.errors import InputError, MissingError
from metst_core.files import write_json
from metst_core.plots import confusion
from metst_core.report import HEADLINE, PUBLISHED, collect_results, compare_runs, write_report
from metst_core.run import PROFILES, Run
from metst_core.tables import CLASSES, EMOTIONS

METRIC = {"value": 0.5, "low": 0.25, "high": 0.75}


def _results(out, value=0.5):
    """A run's results as two notebooks leave them: one method and chance under one protocol."""
    metrics = {name: METRIC | {"value": value} for name in HEADLINE}
    method = {"strict": {"intervals": metrics, "evaluation": {"tp": 3, "fp": 1, "fn": 2}}}
    data = {"dataset": "synthetic", "subjects": 2, "videos": 3, "micro_expressions": 4, "minutes": 1.5}
    write_json(
        {"record": {"seed": 1}, "profile": "smoke", "seed": 1, "data": data}, out / "results" / "01.json"
    )
    write_json({"methods": {"<b>": method}, "chance": {"strict": metrics}}, out / "results" / "04.json")


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
