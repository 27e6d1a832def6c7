"""Results: laid out as the schema says, joined from what was recorded, set beside another run."""

import json

import pandas as pd
import pytest
from support.made_up_motion import made_up_motion
from support.recorded_run import METRIC, record_results

from metst_core.cli import main
from metst_core.errors import InputError, MissingError
from metst_core.experiment import (
    HEADLINE,
    PUBLISHED_SCORES,
    beside_published,
    check_results,
    collect_results,
    compare_runs,
    comparison_table,
    headline_texts,
    motion_spotter,
    over_seeds,
    refresh,
    results_dict,
)
from metst_core.files import write_json
from metst_core.metrics import METRICS, Intervals
from metst_core.tables import EMOTIONS
from metst_core.training import TrainConfig

pytestmark = pytest.mark.quick

TINY = TrainConfig(
    model="metst", width=8, depth=1, d_state=4, epochs=1, batch_size=32, learning_rate=1e-2, ratio=1, seed=3
)
FEW = Intervals(n=30)


@pytest.fixture(scope="module")
def motion():
    return made_up_motion()


def test_results_have_their_schema_and_survive_json(motion, tmp_path):
    seeds, spread = over_seeds(motion, TINY, {seed: tmp_path / f"seed-{seed}" for seed in (3, 4)})
    assert list(seeds) == [3, 4] and spread["n_seeds"].eq(2).all()
    assert seeds[3].config == TINY and seeds[4].config.seed == 4
    assert seeds[3].traces["s0", "v0"][0].tolist() != seeds[4].traces["s0", "v0"][0].tolist()
    spotter = motion_spotter(motion)
    methods = {"motion spotter": {"strict": spotter}, "ME-TST": {"strict": seeds[3]}}
    results = results_dict(methods, [("motion spotter", "ME-TST")], {"ME-TST": spread}, FEW)
    back = json.loads(write_json(results, tmp_path / "results.json").read_text())
    others = ("chance", "without_others", "data", "profile", "seed", "record")  # which `Run` adds
    back |= {name: {} for name in others}
    check_results(back)
    assert back["methods"]["ME-TST"]["strict"]["config"] == TINY.to_dict()
    assert back["methods"]["motion spotter"]["strict"]["evaluation"]["tp"] == spotter.evaluation.tp
    assert [row["metric"] for row in back["comparisons"]] == list(METRICS)
    row = back["comparisons"][-1]
    assert row["difference"] == pytest.approx(seeds[3].evaluation.strs - spotter.evaluation.strs)
    before = {name: value for name, value in back.items() if name != "recall"} | {"schema": 2}
    check_results(before)  # runs of an earlier layout have no recall by length
    del back["methods"]["ME-TST"]["strict"]["intervals"]
    with pytest.raises(InputError, match=r"methods\.ME-TST\.strict\.intervals is missing"):
        check_results(back)


def test_three_classes_change_recognition_alone(motion):
    spotter = {"motion spotter": {"strict": motion_spotter(motion)}}
    four, three = (
        results_dict(spotter, intervals=FEW, classes=classes)["methods"]["motion spotter"]["strict"][
            "evaluation"
        ]
        for classes in (EMOTIONS, EMOTIONS[:3])
    )
    assert four["spotting_f1"] == three["spotting_f1"] and four["confusion"] != three["confusion"]


def test_results_that_lack_an_entry_are_named(tmp_path):
    record_results(tmp_path)
    (tmp_path / "results" / "01_roi_extraction.json").unlink()
    with pytest.raises(InputError, match="data is missing"):
        collect_results(tmp_path)


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(MissingError, match="metst reproduce"):
        collect_results(tmp_path)


def test_strs_of_the_published_rows_is_the_product():
    """STRS = spotting F1 x recognition F1: the published numbers agree to their printed digits."""
    for data in ("CAS(ME)^3", "SAMM-LV"):
        rows = PUBLISHED_SCORES[data].dropna()
        product = rows["spotting F1"] * rows["recognition F1"]
        assert (abs(product - rows["STRS"]) < 2e-4).all()


def test_two_runs_are_compared_by_method(tmp_path, capsys):
    for name, value in (("a", 0.5), ("b", 0.75)):
        record_results(tmp_path / name, value)
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


def test_tables_show_a_score_with_its_interval_in_the_order_of_the_results(tmp_path):
    record_results(tmp_path)
    texts = headline_texts(comparison_table(json.loads(collect_results(tmp_path).read_text())))
    assert list(texts.index) == [("strict", "<b>"), ("strict", "chance")]
    assert list(texts.columns) == list(HEADLINE)
    assert METRIC == {"value": 0.5, "low": 0.25, "high": 0.75}
    assert (texts == "0.500 [0.250, 0.750]").all(axis=None)


def test_ours_stand_beside_the_published_under_one_name():
    index = pd.MultiIndex.from_tuples([("strict", "metst"), ("official", "metst"), ("strict", "metst_plus")])
    texts = pd.DataFrame({m: ["0.1", "0.2", "0.3"] for m in HEADLINE}, index=index)
    table = beside_published(texts, "ours")
    assert table.loc["ME-TST"].tolist() == ["0.0387", "0.1356", "0.1"]  # BoostingVRME's table 3, then strict
    assert table.loc["ME-TST+"].tolist() == ["see its paper's tables", "see its paper's tables", "0.3"]
    assert table.loc["MEAN", "ours"] == "–" == table.loc["SFAMNet", "published, SAMM-LV"]


# --- what a killed call or a damaged disk leaves -------------------------------------------------------------------
def test_half_files_of_a_killed_call_are_no_results_and_no_pictures(tmp_path):
    record_results(tmp_path)
    (tmp_path / "figures").mkdir()
    for name in (
        "results/.seeds-k3j2.json",
        "results/.metst-seeds-0a.json",
        "figures/.metst-x-0a.png",
        "figures/.x.png",
    ):
        (tmp_path / name).write_text("{half")
    page = refresh(tmp_path).read_text()
    assert "<figure>" not in page
    assert not list(tmp_path.rglob(".metst-*"))  # ours are swept, others' are left alone
    assert (tmp_path / "results" / ".seeds-k3j2.json").is_file()


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("results/04_evaluation.json", "`metst reproduce`"),
        ("results/seeds.json", "`metst seeds`"),
        ("results/ablation.json", "`metst ablate`"),
        ("figures/captions.json", "`metst reproduce`"),
    ],
)
@pytest.mark.parametrize("damage", [b"", b"{half", b"[]", b'{"seeds": 3, "checksum": "0"}', b"\xff\xfe"])
def test_a_damaged_file_of_a_run_names_the_command_that_makes_it_anew(tmp_path, file, command, damage):
    record_results(tmp_path)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "01a_picture.png").write_bytes(b"a picture")
    path = tmp_path / file
    path.write_bytes(damage)
    with pytest.raises(InputError) as caught:
        refresh(tmp_path)
    assert path.name in str(caught.value) and f"delete it and run {command} again" in str(caught.value)


def test_results_that_were_changed_or_are_of_another_version_are_named(tmp_path, capsys):
    record_results(tmp_path)
    file = collect_results(tmp_path)
    whole = file.read_text()
    file.write_text(whole.replace("0.25", "0.26", 1))
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 1
    assert "checksum differs" in capsys.readouterr().err
    results = json.loads(whole)
    del results["checksum"]
    for place, value in (("methods", []), ("chance", {"strict": 3}), ("methods", {"a": {"strict": {}}})):
        file.write_text(json.dumps({**results, place: value}))
        assert main(["compare", str(tmp_path), str(tmp_path)]) == 1
        assert "results.json: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "damage", ["", "[1]", '{"record": 3}', '{"profile": "smoke", "record": {}, "seed": "x"}']
)
def test_a_run_whose_record_is_damaged_is_not_reopened(tmp_path, damage, capsys):
    record_results(tmp_path)
    (tmp_path / "results" / "04_evaluation.json").write_text(damage)
    for command in ("seeds", "ablate"):
        assert main([command, "--run", str(tmp_path)]) == 1
        err = capsys.readouterr().err
        assert "04_evaluation.json" in err and "`metst reproduce`" in err
