"""The table of the papers' claims: computed cell by cell, stopped and gone on with, tested as a whole."""

import dataclasses
import json

import pandas as pd
import pytest
from support.made_up_motion import TINY, made_up_motion

from metst_core.errors import InputError
from metst_core.experiment import (
    CLAIMS,
    IDEAS,
    PAPERS,
    Cell,
    Claim,
    chosen_by_others,
    claims_named,
    idea_table,
    run_claims,
    window_claim,
)
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
    )),
)  # fmt: skip


@pytest.fixture(scope="module")
def motion():
    return made_up_motion(features="metst_plus", n_subjects=4, n_videos=1)


@pytest.fixture(scope="module")
def computed(motion, tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    return folder, run_claims({motion.window: motion}, BASE, folder, ASKED, intervals=FEW)


def test_every_cell_has_a_row_and_every_claim_an_answer(computed):
    folder, found = computed
    table = found.table.set_index(["claim", "level"])
    assert len(table) == 5 and found.cut == ()
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
    assert len(stored) == 5 and json.loads((folder / "record.json").read_text())["cut"] == []


def test_a_stopped_table_goes_on_and_trains_nothing_twice(motion, computed, monkeypatch):
    folder, found = computed
    trained = {p.name for p in folder.iterdir() if p.is_dir()}
    assert len(trained) == 4  # ME-TST+ with two seeds, patch, LSTM; the decoding cells train nothing
    monkeypatch.setattr("metst_core.training.loso._train_and_store", None)
    again = run_claims({motion.window: motion}, BASE, folder, ASKED, intervals=FEW)
    pd.testing.assert_frame_equal(again.table.drop(columns="seconds"), found.table.drop(columns="seconds"))


def test_what_time_does_not_allow_is_cut_and_named(motion, tmp_path):
    found = run_claims({motion.window: motion}, BASE, tmp_path, ASKED[1:], intervals=FEW, hours=0)
    assert found.cut == ("intervals: fixed", "intervals: extensible") and found.table.empty
    assert found.answers["answer"].tolist() == ["not computed"]
    lengths = run_claims(
        {motion.window: motion}, BASE, tmp_path, [window_claim([16, 30], 16, 2)], intervals=FEW, hours=0
    )
    assert set(lengths.cut) == {"window length: 16", "window length: 30"}


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


def test_every_cell_of_the_claims_is_a_configuration_and_every_claim_compares_two_of_its_own():
    base = TrainConfig(width=16, blocks_per_stage=1, depth=1, d_state=4)
    for claim in (*CLAIMS, *IDEAS):
        levels = [cell.level for cell in claim.cells]
        assert len(set(levels)) == len(levels) and {claim.first, claim.second} <= set(levels)
        for cell in claim.cells:
            changes = dict(cell.changes)
            config = dataclasses.replace(base.with_model(changes.pop("model", base.model)), **changes)
            assert all(getattr(config, name) == value for name, value in changes.items())
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
