"""Tables: what is read is what was written; what is wrong is named by row."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metst_core import tables
from metst_core.errors import InputError, MetstError, MissingError
from metst_core.tables import (
    ANNOTATION_COLUMNS,
    EMOTIONS,
    PREDICTION_COLUMNS,
    VIDEO_COLUMNS,
    check_annotations,
    check_predictions,
    empty_annotations,
    empty_predictions,
    read_annotations,
    read_keys,
    read_predictions,
    read_videos,
    write_table,
)

pytestmark = pytest.mark.quick

ids = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=6)
rows = st.lists(
    st.tuples(ids, ids, st.lists(st.integers(0, 9999), min_size=3, max_size=3), st.sampled_from(EMOTIONS)),
    max_size=8,
)


@given(rows)
def test_annotations_survive_a_round_trip(tmp_path_factory, drawn):
    table = pd.DataFrame(
        [(s, v, *sorted(frames), e) for s, v, frames, e in drawn], columns=list(ANNOTATION_COLUMNS)
    )
    path = tmp_path_factory.mktemp("tables") / "annotations.csv"
    written = check_annotations(table)
    write_table(written, path)
    pd.testing.assert_frame_equal(read_annotations(path), written)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"onset": 9}, "row 1: onset 9"),
        ({"onset": -1}, "before the first frame"),
        ({"emotion": "anger"}, "'anger'"),
        ({"apex": "x"}, "apex is 'x'"),
        ({"apex": 4.5}, "apex is 4.5"),
        ({"apex": float("inf")}, "apex is inf"),
        ({"offset": 1e300}, "offset is 1e[+]300"),
        ({"offset": None}, "offset is (None|nan)"),
    ],
)
def test_a_bad_row_is_named(change, named):
    good = {"subject": "1", "video": "a", "onset": 3, "apex": 5, "offset": 8, "emotion": "positive"}
    with pytest.raises(InputError, match=named):
        check_annotations(pd.DataFrame([good, good | change]).astype(object))


def test_a_bad_row_of_a_file_is_named_as_a_spreadsheet_counts(tmp_path):
    path = tmp_path / "annotations.csv"
    path.write_text(",".join(ANNOTATION_COLUMNS) + "\n1,a,3,5,8,positive\n1,a,3,5,x,positive\n")
    with pytest.raises(InputError, match=r"annotations\.csv: row 3: offset is 'x'"):
        read_annotations(path)


def test_cells_beyond_the_header_do_not_shift_the_columns(tmp_path):
    """Spreadsheet programs leave empty ones at the ends of rows; full ones cannot be right."""
    path = tmp_path / "annotations.csv"
    path.write_text(",".join(ANNOTATION_COLUMNS) + "\n1,a,3,5,8,positive,\n")
    assert read_annotations(path).to_numpy().tolist() == [["1", "a", 3, 5, 8, "positive"]]
    path.write_text(",".join(ANNOTATION_COLUMNS) + "\n1,a,3,5,8,positive,7\n")
    with pytest.raises(InputError, match=r"annotations\.csv"):
        read_annotations(path)


def test_missing_column_and_missing_file_are_named(tmp_path):
    with pytest.raises(InputError, match="column.*apex"):
        check_annotations(empty_annotations().drop(columns="apex"))
    with pytest.raises(MissingError, match="none.csv"):
        read_annotations(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(MetstError, match="empty.csv"):
        read_annotations(tmp_path / "empty.csv")


CELLS = st.sampled_from(
    ["1", "a", "", "0", "-1", "7.0", "1e400", "inf", "nan", "x" * 300, "é", '"', "a\0b", "9" * 30, "true"]
)


@settings(max_examples=40)
@given(st.lists(st.lists(CELLS, max_size=7), max_size=4), st.binary(max_size=20))
def test_any_file_is_a_table_or_refused_as_a_metst_error(tmp_path_factory, cells, data):
    """Under the right header, behind it, and without one."""
    folder = tmp_path_factory.mktemp("tables")
    readers = {
        ANNOTATION_COLUMNS: read_annotations, PREDICTION_COLUMNS: read_predictions,
        VIDEO_COLUMNS: read_videos, ("subject", "video"): read_keys,
    }  # fmt: skip
    lines = "\n".join(",".join(row) for row in cells).encode()
    for columns, read in readers.items():
        header = ",".join(columns).encode() + b"\n"
        for content in (header + lines, header + data, data, lines):
            (folder / "table.csv").write_bytes(content)
            try:
                table = read(folder / "table.csv")
            except MetstError as error:
                assert "table.csv" in str(error)
            else:
                assert tuple(table.columns) == columns


def test_predictions_may_be_neutral_and_leave_the_video():
    row = {
        "subject": "1",
        "video": "a",
        "onset": -3,
        "apex": 2,
        "offset": 7,
        "emotion": "neutral",
        "score": 0.5,
    }
    assert len(check_predictions(pd.DataFrame([row]))) == 1
    assert empty_predictions()["score"].dtype == float


def test_ids_keep_leading_zeros_and_paths_are_relative_to_the_table(tmp_path):
    (tmp_path / "videos.csv").write_text("subject,video,fps,n_frames,path\n006,007,30,12,006/007.mkv\n")
    (row,) = read_videos(tmp_path / "videos.csv").itertuples()
    assert (row.subject, row.video) == ("006", "007")
    assert row.path == str(tmp_path / "006/007.mkv")


def test_a_table_for_a_spreadsheet_has_no_formulas(tmp_path):
    table = pd.DataFrame({"path": ["=1+1", "+a", "-b", "@c", "\tx", "a=b", ""], "score": [-1.0] * 7})
    harmless = tables.without_formulas(table)
    assert harmless["path"].tolist() == ["'=1+1", "'+a", "'-b", "'@c", "'\tx", "a=b", ""]
    assert (harmless["score"] == -1).all() and table["path"][0] == "=1+1"


def test_blank_lines_do_not_shift_the_rows_that_are_named(tmp_path):
    (tmp_path / "a.csv").write_text(
        "subject,video,onset,apex,offset,emotion\n\ns,v,1,2,3,others\n , ,,,,\n\ns,v,1,2,3,hunger\n"
    )
    with pytest.raises(InputError, match=r"a\.csv: row 6: emotion 'hunger'"):
        tables.read_annotations(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("subject;video;onset;apex;offset;emotion\n\ns;v;1;2;3;others\n\n\n")
    assert tables.read_annotations(tmp_path / "a.csv").to_numpy().tolist() == [["s", "v", 1, 2, 3, "others"]]


@pytest.mark.parametrize("data", [b"subject,video\n\xe9,1\n", b"subject,video\n\0,1\n"])
def test_what_is_no_utf8_is_named_by_row(tmp_path, data):
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.csv: row 2 holds"):
        tables.read_csv(tmp_path / "a.csv")


def test_ids_are_checked_where_tables_come_in(tmp_path):
    line = "s,v,1,1,2,others"
    for subject, said in (
        ("", "row 3: subject is empty"),
        ("a\x07", "row 3: subject is 'a.x07', with a control"),
    ):
        (tmp_path / "a.csv").write_text(
            f"{','.join(tables.ANNOTATION_COLUMNS)}\n{line}\n{subject}{line[1:]}\n"
        )
        with pytest.raises(InputError, match=said):
            tables.read_annotations(tmp_path / "a.csv")
    rows = {"onset": [1], "apex": [1], "offset": [2], "emotion": ["others"]}
    composed = tables.check_annotations(pd.DataFrame({"subject": ["e\u0301"], "video": ["v"], **rows}))
    assert composed["subject"].tolist() == ["\u00e9"]
