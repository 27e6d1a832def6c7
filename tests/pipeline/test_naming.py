"""Intervals that a person gives get the emotion that the network sees in them."""

import numpy as np
import pytest

from metst_core import pipeline
from metst_core.cli import main
from metst_core.errors import InputError


def written(path, text):
    path.write_text(text)
    return path


FORMS = {
    "frames.csv": "onset,offset\n43,53\n10,20\n",
    "seconds.csv": "onset_seconds,offset_seconds,emotion\n1.434,1.766,smile\n0.333,0.667,\n",
    "videos.csv": "subject,video,onset,apex,offset,emotion\nx,other,1,2,3,a\nx,clip,43,48,53,b\nx,clip,10,15,20,c\n",
    "marks.vtt": "WEBVTT\n\n00:01.433 --> 00:01.800\nsomething\n\n00:00.333 --> 00:00.700\nelse\n",
    "tier.TextGrid": '"ooTextFile" "TextGrid" 0 3 <exists> 1 "IntervalTier" "x" 0 3 5 0 0.333 "" 0.333 0.7 "a" 0.7 1.433 "" '
    '1.433 1.8 "b" 1.8 3 ""',
}


@pytest.mark.parametrize("name", FORMS)
def test_intervals_are_read_from_any_form(name, result, tmp_path):
    given = pipeline.read_given(written(tmp_path / name, FORMS[name]), result)
    given = given[given["text"] != ""] if name.endswith("Grid") else given
    assert sorted(map(tuple, given[["onset", "offset"]].to_numpy().tolist())) == [(10, 20), (43, 53)]
    assert (given["apex"] >= given["onset"]).all() and (given["apex"] <= given["offset"]).all()


def test_they_are_named_and_how_sure_that_is_is_said(result, tmp_path):
    given = pipeline.read_given(written(tmp_path / "a.csv", FORMS["frames.csv"]), result)
    table = pipeline.name_given(result, given)
    assert table.columns.tolist() == list(pipeline.NAMED_COLUMNS)
    assert table["emotion"].tolist() == ["surprise", "surprise"]  # the made-up network says nothing else
    assert table["votes"].tolist() == [1, 1]
    assert table["highest"].iloc[0] > result.threshold > table["highest"].iloc[1]
    assert table["onset_seconds"].tolist() == pytest.approx([43 / 30, 10 / 30])


def test_frames_that_were_not_analysed_do_not_vote(result):
    from dataclasses import replace

    score = result.score.copy()
    score[40:] = np.nan
    part = replace(result, score=score)
    given = result.table.assign(text="").iloc[[0, 0]].assign(onset=[30, 50], apex=[35, 52], offset=[45, 55])
    table = pipeline.name_given(part, given)
    assert table["emotion"].tolist() == ["surprise", ""]
    assert np.isnan(table["votes"].iloc[1])


@pytest.mark.parametrize(
    ("text", "said"),
    [("onset,offset\n43,95\n", "row 2: frames 43 to 95"), ("onset,offset\n5,4\n", "row 2"), ("onset,end\n1,2\n", "column offset"),
     ("onset,offset\na,4\n", "row 2: onset is no frame number"), ("video,onset,offset\na,1,2\nb,1,2\n", "names several videos")],
)  # fmt: skip
def test_what_is_no_interval_is_said_by_row(text, said, result, tmp_path):
    with pytest.raises(InputError, match=said):
        pipeline.read_given(written(tmp_path / "odd.csv", text), result)


def test_the_command(clip, result, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pipeline, "analyse", lambda *arguments, **options: result)
    given = written(tmp_path / "a.csv", FORMS["frames.csv"])
    call = ["name", str(clip), "--intervals", str(given), "--csv", str(tmp_path / "named.csv"), "--quiet"]
    assert main(call) == 0
    assert "1 of 2 with a score below the threshold" in capsys.readouterr().out
    assert (tmp_path / "named.csv").is_file()
    assert main(call) == 1 and "--overwrite" in capsys.readouterr().err
    assert main(["name", str(clip), "--intervals", str(tmp_path / "gone.csv")]) == 1
    assert "gone.csv: no such file" in capsys.readouterr().err
