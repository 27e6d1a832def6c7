"""The columns of every table are documented once, in `data/outputs.md`: here that page is compared with the files."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.own_videos import analysed, landmarker, mouth_model

from metst_core import pipeline
from metst_core.errors import MissingError
from metst_core.inference import FLAGS, Analysis, decode_trace, near_misses, quality_table
from metst_core.pipeline import AnalysisResult, Refused
from metst_core.rois import roi_names
from metst_core.tables import CLASSES, EMOTIONS, write_table

PAGE = (Path(__file__).parents[2] / "data" / "outputs.md").read_text(encoding="utf-8")


def documented(table, features):
    """The columns that the page lists for a table, in its order, those in braces written out."""
    names = re.findall(rf"^\| {table} \| (\S+) \|", PAGE, re.M)
    several = {"{class}": CLASSES, "{emotion}": EMOTIONS, "{flag}": FLAGS}
    columns = []
    for name in names:
        brace = next((b for b in several if b in name), None)
        columns += [name] if brace is None else [name.replace(brace, value) for value in several[brace]]
    at = [i for i, name in enumerate(columns) if "{roi}" in name]
    if at:
        rois = [
            name.replace("{roi}", roi) for roi in roi_names(features) for name in (columns[i] for i in at)
        ]
        columns[at[0] : at[-1] + 1] = rois
    return columns


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    return Refused(Path("gone.mp4"), "gone", "gone", "gone.mp4: no such file")


class TestColumns:
    def test_the_files_have_the_columns_that_the_page_lists(self, result, refused, tmp_path):
        files = {
            "intervals": pipeline.write_csv([result], tmp_path / "intervals.csv"),
            "frames": pipeline.write_frames([result], tmp_path / "frames.csv"),
            "summary": pipeline.write_summary([result, refused], tmp_path / "summary.csv"),
            "named": write_table(
                pipeline.name_given(result, result.table.assign(text="")), tmp_path / "named.csv"
            ),
        }
        for table, path in files.items():
            assert pd.read_csv(path).columns.tolist() == documented(table, "metst"), table

    def test_every_flag_is_explained(self):
        assert re.findall(r"^\| (\w+) \| [^|]+ \|$", PAGE, re.M)[1:] == list(FLAGS)


class TestFrames:
    def test_one_row_per_frame_that_says_what_the_result_says(self, result):
        frames = result.frames
        assert frames["frame"].tolist() == list(range(90))
        assert np.array_equal(frames["score"], result.score)
        assert np.allclose(frames[[f"p_{name}" for name in CLASSES]].sum(axis=1), 1)
        assert frames["face_found"].all() and (frames["flags"] == "").all()
        # The points of the made-up landmarker: the bounds of all 68, and the middles of the eyes.
        assert frames[["face_left", "face_right"]].drop_duplicates().to_numpy().tolist() == [[35, 125]]
        assert frames["eye_distance"].iloc[0] == pytest.approx(43, abs=1)
        assert (frames["head_scale"] == 1).all()

    def test_motion_is_that_of_the_mouth_and_begins_anew_with_its_window(self, result):
        frames = result.frames
        assert frames["reference"].drop_duplicates().tolist() == [0, 25, 50]
        assert abs(int(frames["mouth_y"].idxmax()) - 48) <= 2
        assert frames["mouth_y"].iloc[0] == 0
        still = frames[(frames["seconds"] - 1.6).abs() > 0.4]
        assert still["left_brow_y"].abs().max() < 0.2 * frames["mouth_y"].max()

    def test_what_was_not_analysed_is_empty(self, clip):
        growing = Analysis(clip, mouth_model(window=20), landmarker)
        next(iter(growing))
        part = AnalysisResult.of(growing)
        frames = part.frames
        assert part.n_analysed < 90
        late = frames.iloc[part.n_analysed :]
        assert late["score"].isna().all() and late["mouth_y"].isna().all() and late["reference"].isna().all()
        assert (late["flags"].str.contains("not_analysed")).all() and not late["face_found"].any()

    def test_parquet_needs_its_package_and_says_so(self, result, tmp_path, monkeypatch):
        target = tmp_path / "frames.parquet"
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(MissingError, match=r"pip install 'metst\[parquet\]'"):
            pipeline.check_output(target)
        with pytest.raises(MissingError, match="pyarrow"):
            result.to_frames(target)
        assert not target.exists()

    def test_parquet_holds_the_same(self, result, tmp_path):
        pytest.importorskip("pyarrow")
        written = pd.read_parquet(result.to_frames(tmp_path / "f.parquet"))
        plain = pd.read_csv(result.to_frames(tmp_path / "f.csv"))
        pd.testing.assert_frame_equal(written, plain.fillna({"flags": ""}), check_dtype=False)


class TestSummary:
    def test_every_video_has_a_row_also_those_that_are_no_use(self, result, clip, refused):
        lost = analysed(clip, landmarker=lambda image: None)
        table = pipeline.summary_table([result, lost, refused]).set_index("path")
        assert table["verdict"].tolist() == ["usable", "unusable", "unusable"]
        assert table["why"].tolist()[0] == ""
        assert table["why"].tolist()[1].startswith("face lost in 100%")
        assert table.loc["gone.mp4", "why"] == "no such file"
        assert table["intervals"].fillna(-1).tolist() == [1, 0, -1]
        assert table["seconds"].round(2).tolist()[:2] == [3.0, 3.0]

    def test_the_rate_is_per_usable_minute(self, result):
        dark = quality_table({"too_dark": np.arange(90) < 45}, result.times)
        whole, half = (pipeline.summary_table([r]).iloc[0] for r in (result, replace(result, quality=dark)))
        assert (whole["verdict"], whole["usable"], whole["per_minute"]) == ("usable", 1, pytest.approx(20))
        assert (half["verdict"], half["usable"], half["per_minute"]) == ("partly", 0.5, pytest.approx(40))
        assert half["why"] == "too dark in 50%" and half["share_too_dark"] == 0.5


def test_near_misses_are_below_the_threshold_and_no_intervals():
    from support.own_videos import mouth_model

    score = np.zeros(200)
    score[50:61], score[120:131], score[170:181] = 0.5, 0.19, 0.05
    model = mouth_model(threshold=0.25)
    trace = (score, np.full((200, 5), 0.2))
    assert decode_trace(model, *trace)["apex"].tolist() == [55]
    near = near_misses(model, *trace)
    assert near["apex"].tolist() == [125]
    assert (near["score"] < 0.25).all() and (near["score"] >= 0.6 * 0.25).all()
