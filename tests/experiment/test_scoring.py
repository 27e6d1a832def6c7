"""Any two tables against each other: the same numbers whatever form they come in, and known average precisions."""

import numpy as np
import pandas as pd
import pytest

from metst_core import tables
from metst_core.cli import main
from metst_core.errors import InputError, MissingError
from metst_core.experiment import average_precision, score_files, score_tables
from metst_core.metrics import Intervals, evaluate, score_intervals

FEW = Intervals(n=100)


def table(rows, **columns):
    return pd.DataFrame(rows, columns=list(tables.ANNOTATION_COLUMNS)).assign(**columns)


@pytest.fixture
def truth():
    return table([
        ("anna", "a1", 10, 15, 20, "surprise"), ("anna", "a2", 50, 55, 60, "positive"), ("ben", "b1", 5, 9, 12, "negative"),
        ("cleo", "c1", 30, 33, 40, "others"),
    ])  # fmt: skip


@pytest.fixture
def found(truth):
    """Two right (one of them under another name), one beside, one missed."""
    rows = truth.iloc[:3].assign(score=[0.9, 0.8, 0.7])
    return rows.assign(
        onset=[10, 50, 70],
        apex=[15, 55, 75],
        offset=[22, 61, 80],
        emotion=["surprise", "negative", "negative"],
    )


class TestScores:
    def test_they_are_those_of_metrics(self, found, truth):
        scores = score_tables(found, truth, [0.5], FEW)
        assert (scores.evaluation.tp, scores.evaluation.fp, scores.evaluation.fn) == (2, 1, 2)
        assert scores.evaluation.to_dict() == evaluate(found, truth).to_dict()
        expected = score_intervals(found, truth, ["anna", "ben", "cleo"], FEW)
        pd.testing.assert_frame_equal(scores.table.iloc[:-1], expected)
        assert scores.table["value"].iloc[-1] == pytest.approx(
            0.5
        )  # both hits come first: 2 of 4 at precision 1

    def test_the_order_of_rows_does_not_matter(self, found, truth):
        a = score_tables(found, truth, intervals=FEW)
        b = score_tables(found.iloc[::-1], truth.iloc[::-1], intervals=FEW)
        assert a.evaluation.to_dict() == b.evaluation.to_dict()
        assert np.allclose(a.table["value"], b.table["value"])

    def test_a_higher_iou_is_harder(self, found, truth):
        values = [average_precision(found, truth, iou) for iou in (0.3, 0.5, 0.9, 1.0)]
        assert values == sorted(values, reverse=True) and values[0] > values[-1]

    def test_average_precision_agrees_with_scikit_learns_on_a_ranking(self):
        """One interval per video: a ranking of right and wrong ones, all true ones found."""
        from sklearn.metrics import average_precision_score

        rng = np.random.default_rng(4)
        hits, scores = rng.random(60) < 0.4, rng.random(60)
        order = np.argsort(-scores)
        precision = np.cumsum(hits[order]) / np.arange(1, 61)
        rows = [("s", f"v{i}", 10, 15, 20, "others") for i in range(60)]
        true = table([row for row, hit in zip(rows, hits, strict=True) if hit])
        found = table(rows).assign(score=scores)
        plain = average_precision_score(hits, scores)
        ours = average_precision(found, true)
        smoothed = np.maximum.accumulate(precision[::-1])[::-1][hits[order]].mean()
        assert ours == pytest.approx(smoothed) and ours >= plain - 1e-12

    def test_without_scores_there_is_no_ranking(self, truth):
        assert np.isnan(average_precision(truth.assign(score=np.nan), truth))
        assert np.isnan(average_precision(truth.iloc[:0].assign(score=[]), truth.iloc[:0]))


class TestFiles:
    def test_a_submission_a_table_and_elan_files_give_the_same(self, found, truth, tmp_path):
        tables.write_table(found, tmp_path / "found.csv")
        tables.write_table(truth, tmp_path / "truth.csv")
        mc = found.drop(columns=["apex", "score"]).assign(
            onset=found["onset"] + 1, offset=found["offset"] + 1
        )
        tables.write_table(mc, tmp_path / "mc.csv")
        (tmp_path / "elan").mkdir()
        for row in found.itertuples():
            span = f"00:00:{row.onset / 30:06.3f} --> 00:00:{(row.offset + 1) / 30:06.3f}"
            (tmp_path / "elan" / f"{row.video}.vtt").write_text(f"WEBVTT\n\n{span}\n{row.emotion}\n")
        expected = score_files(tmp_path / "found.csv", tmp_path / "truth.csv", intervals=FEW)
        for other in (tmp_path / "mc.csv", tmp_path / "elan"):
            scores = score_files(other, tmp_path / "truth.csv", 30.0, intervals=FEW)
            assert scores.evaluation.to_dict() == expected.evaluation.to_dict()
            assert scores.table["value"].iloc[-3:].isna().all()
        assert set(score_files(tmp_path / "elan", tmp_path / "elan", 30.0, intervals=FEW).subjects) == {"-"}

    def test_two_single_files_are_of_one_video(self, tmp_path):
        for name, emotion in (("mine", "negative"), ("yours", "positive")):
            (tmp_path / f"{name}.vtt").write_text(f"WEBVTT\n\n00:01.000 --> 00:01.500\n{emotion}\n")
        scores = score_files(tmp_path / "mine.vtt", tmp_path / "yours.vtt", 30.0, intervals=FEW)
        assert (scores.evaluation.tp, scores.evaluation.fp) == (1, 0)

    def test_what_cannot_be_scored_is_said(self, found, truth, tmp_path):
        tables.write_table(truth, tmp_path / "t.csv")
        (tmp_path / "x.vtt").write_text("WEBVTT\n")
        with pytest.raises(InputError, match=r"x\.vtt.*--fps"):
            score_files(tmp_path / "x.vtt", tmp_path / "t.csv")
        with pytest.raises(MissingError, match="nowhere"):
            score_files(tmp_path / "nowhere.csv", tmp_path / "t.csv")
        (tmp_path / "empty").mkdir()
        with pytest.raises(MissingError, match="no annotation file"):
            score_files(tmp_path / "empty", tmp_path / "t.csv", 30.0)
        for wrong in (0, 1.5):
            with pytest.raises(InputError, match="iou"):
                score_tables(found, truth, [wrong], FEW)
        with pytest.raises(InputError, match="both tables are empty"):
            score_tables(truth.iloc[:0].assign(score=[]), truth.iloc[:0])

    def test_the_command_prints_and_writes_it(self, found, truth, tmp_path, capsys):
        tables.write_table(found, tmp_path / "found.csv")
        tables.write_table(truth, tmp_path / "truth.csv")
        files = [str(tmp_path / name) for name in ("found.csv", "truth.csv")]
        assert (
            main(["score", *files, "--samples", "50", "--iou", "0.5", "--json", str(tmp_path / "s.json")])
            == 0
        )
        out = capsys.readouterr().out
        assert "2 true positives, 1 false positives, 2 missed" in out
        assert "average precision at IoU 0.5" in out and "too few to say much" in out
        assert (tmp_path / "s.json").is_file()
