"""The table of the papers' claims: computed cell by cell, stopped and gone on with, tested as a whole."""

import dataclasses
import json

import pandas as pd
import pytest
from support.made_up_motion import TINY, made_up_motion

from metst_core.errors import InputError, MissingError
from metst_core.experiment import (
    CLAIMS,
    IDEAS,
    PAPERS,
    Budget,
    Cell,
    Claim,
    Runner,
    chosen_by_others,
    claims_named,
    claims_page,
    idea_table,
    keep,
    read_claims,
    run_claims,
    window_claim,
)
from metst_core.experiment import claims as claims_module
from metst_core.metrics import Intervals
from metst_core.plots import claim as claim_figure
from metst_core.training import TrainConfig, leave_one_subject_out

FEW = Intervals(n=30)
BASE = dataclasses.replace(
    TINY.with_model("metst_plus"),
    epochs=1,
    width=8,
    blocks_per_stage=1,
    d_state=2,
    groups=2,
    learning_rate=3e-3,
)
ASKED = (
    Claim("state", "A state is better.", "a paper", "ME-TST+", "patch", (
        Cell("state", "ME-TST+", {"model": "metst_plus"}, seeds=2),
        Cell("state", "patch", {"model": "patch"}),
        Cell("state", "LSTM, causal", {"model": "lstm", "variant": "causal"}),
    )),
    Claim("intervals", "Extensible ends are better.", "another", "extensible", "fixed", (
        Cell("intervals", "fixed", {}), Cell("intervals", "extensible", {"strategy": "extensible"}),
        Cell("intervals", "half length x 1.5", times={"k_p": 1.5}),
    )),
)  # fmt: skip


@pytest.fixture(scope="module")
def motion():
    return made_up_motion(features="metst_plus", n_subjects=4, n_videos=1)


def runner(motion, folder, **more):
    return Runner({motion.window: motion}, folder / "networks", **more)


@pytest.fixture(scope="module")
def computed(motion, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "claims"
    return folder, run_claims(runner(motion, folder), BASE, folder, ASKED, intervals=FEW)


def test_every_cell_has_a_row_and_every_claim_an_answer(computed):
    folder, found = computed
    table = found.table.set_index(["claim", "level"])
    assert len(table) == 6 and found.cut == ()
    assert (
        table["seeds"].to_dict()[("state", "ME-TST+")] == 2
        and table.loc[("state", "LSTM, causal"), "variant"] == "causal"
    )
    assert (table["folds"] == "2 groups of persons").all()
    second = table["strs_difference"].isna()
    assert second[second].index.tolist() == [("state", "patch"), ("intervals", "fixed")]
    assert (table.loc[~second, "verdict"].isin(["better", "worse", "not told apart"])).all()
    assert table["strs"].sub(table.loc[("state", "patch"), "strs"]).loc[
        ("state", "ME-TST+")
    ] == pytest.approx(table.loc[("state", "ME-TST+"), "strs_difference"])
    assert any(c.startswith("recall, ") for c in table.columns)
    assert found.answers["answer"].isin(["held", "not held", "could not be told"]).all()
    stored = pd.read_csv(folder / "claims.csv")
    assert len(stored) == 6 and json.loads((folder / "record.json").read_text())["cut"] == []


def test_a_stopped_table_goes_on_and_trains_nothing_twice(motion, computed, monkeypatch):
    folder, found = computed
    trained = {p.name for p in (folder / "networks").iterdir() if p.is_dir()}
    assert len(trained) == 4  # ME-TST+ with two seeds, patch, LSTM; the decoding cells train nothing
    monkeypatch.setattr("metst_core.training.loso._train_and_store", None)
    again = run_claims(
        runner(motion, folder), BASE, folder, ASKED, Budget(hours=0), FEW
    )  # no time, all there
    pd.testing.assert_frame_equal(again.table, found.table)
    one = run_claims(runner(motion, folder), BASE, folder / "one", ASKED, Budget(seeds=1), FEW)
    assert set(one.table["seeds"]) == {1} and set(one.answers["seeds_first"]) == {1}
    assert json.loads((folder / "one" / "record.json").read_text())["seeds_at_most"] == 1


def test_what_the_run_has_trained_already_is_read_where_it_lies(motion, computed, tmp_path, monkeypatch):
    folder, _ = computed
    there = {p.name: p for p in (folder / "networks").iterdir() if p.is_dir()}
    monkeypatch.setattr("metst_core.training.loso._train_and_store", None)
    found = run_claims(runner(motion, tmp_path, folders=there), BASE, tmp_path, ASKED, intervals=FEW)
    assert found.cut == () and not (tmp_path / "networks").exists()


def test_the_half_length_is_a_matter_of_decoding(motion, computed):
    folder, found = computed
    lengths = found.cells("intervals").set_index("level")["half_length"]
    assert lengths.to_dict() == {"fixed": 1, "extensible": 1, "half length x 1.5": 1.5}
    fixed = runner(motion, folder).run(BASE, motion.window)
    longer = fixed.redecoded(k_p=1.5)
    assert {s: round(1.5 * k) for s, k in fixed.k_p.items()} == longer.k_p
    spans = (longer.predictions["offset"] - longer.predictions["onset"]).max()
    assert spans == 2 * max(longer.k_p.values())  # as far from the apex as a half length, on both sides
    assert set(fixed.redecoded(k_p=0.01).k_p.values()) == {1}


def test_what_time_does_not_allow_is_cut_and_named(motion, tmp_path):
    none = Budget(hours=0)
    found = run_claims(runner(motion, tmp_path), BASE, tmp_path, ASKED[1:], none, FEW)
    assert found.cut[:2] == ("intervals: fixed", "intervals: extensible") and found.table.empty
    assert found.answers["answer"].tolist() == ["not computed"]
    lengths = run_claims(runner(motion, tmp_path), BASE, tmp_path, [window_claim([16, 30], 16, 2)], none, FEW)
    assert set(lengths.cut) == {"window length: 16", "window length: 30"}
    with pytest.raises(InputError, match="seeds is 0"):
        Budget(seeds=0)


def test_cells_that_answer_a_claim_come_before_all_others():
    order = claims_module._in_turn(CLAIMS)
    answering = [claim.name for claim, cell in order if cell.level in (claim.first, claim.second)]
    assert [claim.name for claim, _ in order[: len(answering)]] == answering == 2 * [c.name for c in CLAIMS]
    four = [i for i, (claim, _) in enumerate(order) if claim.name == "frame of reference"]
    assert len(order) == sum(len(c.cells) for c in CLAIMS) and max(four) < 4 * len(CLAIMS)
    assert {cell.seeds for cell in CLAIMS[0].cells} == {3}  # the 2 x 2


def test_a_kept_table_says_where_it_came_from_and_a_run_of_its_own_comes_first(
    computed, tmp_path, monkeypatch
):
    folder, found = computed
    monkeypatch.setattr("metst_core.experiment.kept_claims.kept_folder", lambda: None)
    nothing = read_claims(tmp_path)
    assert nothing.answers.empty and nothing.cells("state").empty and "Nothing" in nothing.origin
    assert "No table of the claims" in claims_page(nothing)
    with pytest.raises(MissingError, match="no table to keep"):
        keep(tmp_path, tmp_path / "kept")
    kept = keep(folder, tmp_path / "kept")
    assert {p.name for p in kept.iterdir()} == {"claims.csv", "answers.csv", "record.json"}
    monkeypatch.setattr("metst_core.experiment.kept_claims.kept_folder", lambda: kept)
    own, other = read_claims(folder.parent), read_claims(tmp_path)
    assert own.own and not other.own and len(other.table) == len(found.table)
    assert (
        other.origin.startswith("The table that came with")
        and "6 cells with 1 to 2 training seeds" in other.origin
    )
    assert own.origin.startswith("This run's own") and own.record["date"] in own.origin
    chosen = dataclasses.replace(own, record={**own.record, "rates": [0.0005, 0.002]})
    assert "0.0005 or 0.002" in chosen.origin and "learning rates" not in own.origin
    assert len(own.cells("state")) == 3 and read_claims(tmp_path, ideas=True).table.empty
    page = claims_page(own)
    assert page.count("\n| ") == len(found.answers) and all(a in page for a in found.answers["answer"])


def test_each_fold_takes_the_rate_that_is_best_on_the_other_folds(motion, tmp_path):
    runs = {
        rate: leave_one_subject_out(
            motion, dataclasses.replace(BASE, learning_rate=rate), tmp_path / str(rate)
        )
        for rate in (3e-3, 3e-2)
    }
    chosen = chosen_by_others(runs)
    assert set(chosen.choices) == {"group 1", "group 2"} and chosen.subjects == motion.subjects
    for fold, rate in chosen.choices.items():
        mine = set(runs[rate].folds.loc[runs[rate].folds["fold"] == fold, "subject"])
        kept, expected = (
            t[t["subject"].isin(mine)].reset_index(drop=True)
            for t in (chosen.predictions, runs[rate].predictions)
        )
        pd.testing.assert_frame_equal(kept, expected)
    # The labels of the persons tested have no part in the choice: with others, the choice for their fold is the same.
    mine = set(runs[3e-3].folds.loc[runs[3e-3].folds["fold"] == "group 1", "subject"])
    wrong = motion.annotations.copy()
    wrong.loc[wrong["subject"].isin(mine), "emotion"] = "others"
    blind = chosen_by_others(
        {rate: dataclasses.replace(run, annotations=wrong) for rate, run in runs.items()}
    )
    assert blind.choices["group 1"] == chosen.choices["group 1"]


def test_rivals_alone_choose_learning_rates_and_the_table_says_which(motion, tmp_path):
    one = [dataclasses.replace(ASKED[0], cells=ASKED[0].cells[1:2], second="patch", first="patch")]
    either = [dataclasses.replace(one[0], rivals=rivals, name=str(rivals)) for rivals in (True, False)]
    budget = Budget(rates=(3e-3, 3e-2))
    found = run_claims(runner(motion, tmp_path), BASE, tmp_path, either, budget, FEW).table.set_index("claim")
    assert found.loc["False", "rates"] == "0.003 in 2"  # the configuration's, in both folds
    taken = [part.split(" in ") for part in found.loc["True", "rates"].split("; ")]
    assert {float(rate) for rate, _ in taken} <= {3e-3, 3e-2} and sum(int(n) for _, n in taken) == 2
    assert len([p for p in (tmp_path / "networks").iterdir() if p.is_dir()]) == 2
    assert [claim.name for claim in CLAIMS if claim.rivals] == ["state"]


def test_every_cell_of_the_claims_is_a_configuration_and_every_claim_compares_two_of_its_own():
    base = TrainConfig(width=16, blocks_per_stage=1, depth=1, d_state=4)
    for claim in (*CLAIMS, *IDEAS):
        levels = [cell.level for cell in claim.cells]
        assert len(set(levels)) == len(levels) and {claim.first, claim.second} <= set(levels)
        for cell in claim.cells:
            config = cell.config(base)
            assert all(getattr(config, name) == value for name, value in cell.changes.items())
            assert all(
                getattr(config, n) == max(1, round(getattr(base, n) * by))
                for n, by in cell.times.items()
                if n != "k_p"
            )
    assert [c.name for c in claims_named(["synergy"])] == ["synergy"] and len(claims_named([])) == len(CLAIMS)
    with pytest.raises(InputError, match="claim is 'magic'"):
        claims_named(["magic"])


def test_a_claim_is_drawn_with_what_could_not_be_seen(computed):
    _, found = computed
    mine = found.table[found.table["claim"] == "state"]
    figure = claim_figure(mine, "A state is better.")
    (axes,) = figure.axes
    assert axes.get_title() == "A state is better." and "95% interval" in axes.get_xlabel()
    assert [t.get_text() for t in axes.get_yticklabels()] == ["ME-TST+ (2)", "patch (1)", "LSTM, causal (1)"]
    with pytest.raises(InputError, match="no cell of this claim"):
        claim_figure(mine.iloc[:0], "none")


def test_every_related_paper_has_a_row_and_an_experiment_or_a_reason_why_none():
    table = idea_table()
    assert len(table) == len(PAPERS) and table["idea"].str.len().min() > 10
    assert all((paper.changes is None) == bool(paper.why_not) for paper in PAPERS)
    assert [claim.name for claim in IDEAS] == [paper.name for paper in PAPERS if paper.changes is not None]
    assert {cell.seeds for claim in IDEAS for cell in claim.cells} == {3}
