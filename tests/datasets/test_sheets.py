"""Label sheets: what a row means, how a sheet is found, and that no row is lost in silence."""

import datetime
import math
import tracemalloc

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.sheets import (
    CASME3_HEADER,
    facs_row,
    long_row,
    row,
    sammlv_sheets,
    workbook,
)

from metst_core.datasets import (
    RULES,
    Report,
    Rules,
    as_frame,
    as_id,
    canonical_ids,
    choose_rules,
    interval_of,
    read_casme3_sheet,
    read_sammlv_sheets,
    workbooks,
)
from metst_core.errors import InputError, MetstError, MissingError

pytestmark = pytest.mark.quick


def casme3(root, rows, **options):
    """(intervals as tuples, report lines) of a CAS(ME)^3 sheet with these data rows."""
    workbook(root / "labels.xlsx", [CASME3_HEADER, *rows])
    return read(root, **options)


def read(root, rules=None, reader=read_casme3_sheet):
    report = Report()
    table = reader(root, rules or Rules(), report)
    columns = ["subject", "video", "onset", "apex", "offset", "emotion"]
    return [tuple(r) for r in table[columns].itertuples(index=False)], report.lines


def test_a_formula_without_a_stored_value_is_named_and_not_taken_for_a_missing_cell(tmp_path):
    kept, lines = casme3(tmp_path, [row(11, 14, "=C2+10"), row(31, "=C3+2", 38), row(51, 54, None)])
    assert kept == [("spNO.1", "a", 30, 33, 37, "positive"), ("spNO.1", "a", 50, 53, 53, "positive")]
    said = {line[1]: line[2:] for line in reversed(lines)}  # the first of each row
    assert (
        said[2][0].startswith("offset is the formula =C2+10 without a stored value")
        and said[2][1] == "left out"
    )
    assert said[3][0].startswith("apex is the formula =C3+2") and said[4] == (
        "offset is missing",
        "the apex is used",
    )


def test_a_plain_row_becomes_a_0_based_interval(tmp_path):
    assert casme3(tmp_path, [row(11, 14, 18)]) == ([("spNO.1", "a", 10, 13, 17, "positive")], [])


@pytest.mark.parametrize(
    ("cells", "interval"),
    [
        ((11, 14, 0), (10, 13, 13)),  # offset 0: the apex (published rule)
        ((11, 14, "/"), (10, 13, 13)),
        ((0, 14, 18), None),  # onset 0: dropped (published rule)
        (("/", 14, 18), None),
        ((11, "/", 18), (10, 13, 17)),  # no apex: the middle
        ((11, -1, 18), (10, 13, 17)),
        ((11, 99, 18), (10, 13, 17)),
        ((11, "/", 0), None),
        ((18, 14, 11), None),
        (("11 ", " 14", "18.0"), (10, 13, 17)),  # numbers as text
        ((11.0, 14.0, 18.0), (10, 13, 17)),
        ((11.5, 14, 18), None),
        ((datetime.datetime(2020, 1, 1), 14, 18), None),
        (("about 11", 14, 18), None),
        ((True, 14, 18), None),
        (("9" * 30, 14, 18), None),
        ((11, 11, 11), (10, 10, 10)),
    ],
)
def test_rules_of_a_row(tmp_path, cells, interval):
    intervals, lines = casme3(tmp_path, [row(*cells)])
    assert [i[2:5] for i in intervals] == ([interval] if interval else [])
    plain = cells in [("11 ", " 14", "18.0"), (11.0, 14.0, 18.0), (11, 11, 11)]
    assert bool(lines) != plain
    for file, number, problem, action in lines:
        assert (file, number) == ("labels.xlsx", 2)
        assert problem and action


@pytest.mark.parametrize(
    ("option", "cells", "interval"),
    [
        ({"onset_zero": "first"}, (0, 14, 18), (0, 13, 17)),
        ({"offset_zero": "drop"}, (11, 14, 0), None),
        ({"missing_apex": "onset"}, (11, "/", 18), (10, 10, 17)),
        ({"missing_apex": "drop"}, (11, "/", 18), None),
    ],
)
def test_every_deviation_is_an_option(option, cells, interval):
    rules = choose_rules("official", option)
    if interval:
        assert interval_of(*cells, rules)[0] == interval
    else:
        with pytest.raises(InputError):
            interval_of(*cells, rules)


def test_unknown_rules_are_refused_by_name():
    assert choose_rules("official", {}) == RULES["official"]
    with pytest.raises(InputError, match="lenient"):
        choose_rules("lenient", {})
    with pytest.raises(InputError, match=r"onset_zero.*keep"):
        Rules(onset_zero="keep")


@pytest.mark.parametrize(
    ("said", "emotion"),
    [
        ("happy", "positive"), ("Anger", "negative"), (" disgust ", "negative"), ("FEAR", "negative"),
        ("sad", "negative"), ("surprise", "surprise"), ("others", "others"), ("contempt", "negative"),
        ("sadness", "negative"), ("happiness", "positive"), ("Other", "others"), ("joyful", None),
        (None, None),
    ],
)  # fmt: skip
def test_emotions_are_grouped_as_published(tmp_path, said, emotion):
    intervals, lines = casme3(tmp_path, [row(11, 14, 18, said)])
    assert [i[5] for i in intervals] == ([emotion] if emotion else [])
    assert bool(lines) == (emotion is None)
    kept, _ = read(tmp_path, Rules(unknown_emotion="others"))
    assert [i[5] for i in kept] == [emotion or "others"]


@pytest.mark.parametrize("cell", [12, 12.0, "12", " 12 ", "+12", "12.", "12.00", "012"])
def test_a_frame_number_in_any_dress(cell):
    assert as_frame(cell) == 12


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.dates()))
def test_a_cell_is_a_frame_number_or_missing_or_refused(cell):
    try:
        value = as_frame(cell)
    except InputError:
        return
    assert value is None or (isinstance(value, int) and 0 <= value <= 10**9)
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        assert value == cell if value is not None else (math.isnan(cell) or cell == -1)


def test_ids_lose_white_space_but_not_zeros():
    assert [as_id(c) for c in (" spNO. 1\xa0", "006", 6, 6.0, None)] == ["spNO.1", "006", "6", "6", ""]


def test_ids_are_spelled_as_the_folders_are():
    known = ["spNO.1", "spNO.11", "006", "011", "1_11", "11_2"]
    said = {"SpNo.1": "spNO.1", "spno1": "spNO.1", "006": "006", "6": "006", "1_11": "1_11", "11_1": "11_1"}
    assert canonical_ids(list(said), known) == said
    assert canonical_ids(["1"], ["spNO.1", "spNO.2"]) == {"1": "spNO.1"}  # the only one with this number
    assert canonical_ids(["1"], ["a1", "b1"]) == {"1": "1"}
    assert canonical_ids(["spNO.1"], ["1", "2"]) == {"spNO.1": "1"}
    assert canonical_ids(["b1", "b_1"], ["a1", "a2"]) == {
        "b1": "b1",
        "b_1": "b1",
    }  # another name is another id
    assert canonical_ids(["sp 1", "SP1", "sp01"], []) == {"sp 1": "sp 1", "SP1": "sp 1", "sp01": "sp 1"}


# --- finding the sheet -------------------------------------------------------------------------------------
def test_titles_merged_headers_blank_rows_and_merged_ids(tmp_path):
    rows = [
        ["CAS(ME)3 part A", *[None] * 7],
        [None] * 8,
        [" SUBJECT ", "file name", "Frames", None, None, "AU", "Objective\nclass", "Emotion "],
        [None, None, "Onset ", "apex", "OFFSET", None, None, None],
        row(11, 14, 18),
        [None] * 8,
        row(21, 24, 28, "sad", subject=None, video=None),
        row(31, 34, 38, "fear", subject=None, video="b"),
    ]
    workbook(tmp_path / "x.xlsx", rows, ["A1:H1", "C3:E3", "A3:A4", "B3:B4", "A5:A8", "B5:B7"])
    intervals, lines = read(tmp_path)
    assert [(i[1], i[2]) for i in intervals] == [("a", 10), ("a", 20), ("b", 30)]
    assert {i[0] for i in intervals} == {"spNO.1"}
    assert [line[1] for line in lines] == [7, 8]


def test_a_file_name_does_not_go_on_under_another_subject(tmp_path):
    rows = [
        row(11, 14, 18, video="a"),
        [None, None, None, None, None, "a note", None, None],
        row(21, 24, 28, subject=None, video=None),
        row(31, 34, 38, subject="spNO.2", video=None),
        row(41, 44, 48, subject=None, video=None),
        row(51, 54, 58, subject=None, video="c"),
    ]
    intervals, lines = casme3(tmp_path, rows)
    assert [(i[0], i[1], i[2]) for i in intervals] == [
        ("spNO.1", "a", 10), ("spNO.1", "a", 20), ("spNO.2", "c", 50),
    ]  # fmt: skip
    assert [(line[1], line[3].split()[0]) for line in lines] == [
        (3, "left"), (4, "read"), (5, "left"), (6, "left"), (7, "read"),
    ]  # fmt: skip


def test_the_sheet_is_found_by_its_columns_in_any_workbook(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["read me"])
    sheet = book.create_sheet("labels")
    for cells in (CASME3_HEADER, row(11, 14, 18)):
        sheet.append(cells)
    (tmp_path / "annotation").mkdir()
    book.save(tmp_path / "annotation" / "Whatever V2.xlsx")
    workbook(tmp_path / "participants.xlsx", [["Subject", "Age"], ["spNO.1", 22]])
    (tmp_path / "~$Whatever V2.xlsx").write_bytes(b"lock file of an open workbook")
    assert len(read(tmp_path)[0]) == 1
    (tmp_path / "broken.xlsx").write_bytes(b"PK\x03\x04 half a workbook")
    intervals, lines = read(tmp_path)
    assert len(intervals) == 1
    assert [(line[0], line[1]) for line in lines] == [("broken.xlsx", 0)]


def test_a_missing_or_ambiguous_sheet_is_said_by_file(tmp_path):
    with pytest.raises(MissingError, match="Subject, Filename, Onset, Offset, Emotion"):
        read(tmp_path)
    for name in ("me.xlsx", "mae.xlsx"):
        workbook(tmp_path / name, [CASME3_HEADER, row(11, 14, 18)])
    with pytest.raises(InputError, match=r"mae\.xlsx, me\.xlsx.*labels"):
        read(tmp_path)
    assert len(read_casme3_sheet(tmp_path, Rules(), Report(), "me.xlsx")) == 1
    with pytest.raises(MissingError, match=r"none\.xlsx"):
        read_casme3_sheet(tmp_path, Rules(), Report(), "none.xlsx")


def test_csv_sheets_are_read_too(tmp_path):
    (tmp_path / "labels.csv").write_text(
        "\ufeff" + ",".join(CASME3_HEADER) + '\nspNO.1,a,11,14,18,"AU4,AU7",I,happy\n', encoding="utf-8"
    )
    assert read(tmp_path)[0] == [("spNO.1", "a", 10, 13, 17, "positive")]


@pytest.mark.parametrize("header", [True, False], ids=["header", "ten leading rows only"])
def test_sammlv_joins_the_long_release_and_the_facs_codes(tmp_path, header):
    sammlv_sheets(
        tmp_path,
        [
            long_row("006_1_2", 15, 22, 36),
            long_row("006_1_3", 100, 110, 200, "Macro"),
            long_row("007_2_1", 8, 15, 0),
            long_row("008_1_1", 8, 15, 22),
            long_row("009_1_1", 8, 15, 22, "unsure"),
        ],
        [
            facs_row("007_2_1", "Other"),
            facs_row("006_1_2", "Contempt"),
            facs_row("006_1_2", "Anger"),
            facs_row("020_1_1", "Fear"),
        ],
        header,
    )
    intervals, lines = read(tmp_path, reader=read_sammlv_sheets)
    assert intervals == [
        ("006", "006_1", 14, 21, 35, "negative"),
        ("007", "007_2", 7, 14, 14, "others"),
    ]
    assert {(line[0], line[1]) for line in lines} == {
        ("codes.xlsx", 6), ("codes.xlsx", 7),  # a second code for one sample, a code without a sample
        ("long.xlsx", 12), ("long.xlsx", 13), ("long.xlsx", 14), ("long.xlsx", 15),
    }  # fmt: skip


def test_bad_first_rows_of_a_sheet_without_header_are_not_taken_for_leading_rows(tmp_path):
    bad = long_row("006_1_1", 15, 22, 36)
    bad[1] = "006-one"
    rows = [bad, long_row("006_1_2", 15, 22, 36)]
    sammlv_sheets(tmp_path, rows, [facs_row("006_1_2", "Anger")], header=False)
    intervals, lines = read(tmp_path, reader=read_sammlv_sheets)
    assert len(intervals) == 1
    assert [(line[0], line[1], line[3]) for line in lines] == [("long.xlsx", 11, "left out")]


@pytest.mark.parametrize("shown", [6, "006", "6", 6.0, None, 7, "spNO.6"])
def test_the_subject_of_a_sample_is_in_its_name(tmp_path, shown):
    """A spreadsheet program shows 006 as 6; another number is told."""
    cells = long_row("6_1_2", 15, 22, 36)
    cells[0], cells[6] = shown, "0.105 s"
    sammlv_sheets(tmp_path, [cells], [facs_row("006_1_2", "Anger")])
    intervals, lines = read(tmp_path, reader=read_sammlv_sheets)
    assert intervals == [("006", "006_1", 14, 21, 35, "negative")]
    assert [line[3] for line in lines] == (["read as 006"] if shown in (7, "spNO.6") else [])


def test_sammlv_needs_both_sheets(tmp_path):
    sammlv_sheets(tmp_path, [long_row("006_1_2", 15, 22, 36)], [facs_row("006_1_2", "Anger")])
    (tmp_path / "codes.xlsx").unlink()
    with pytest.raises(MissingError, match="FACS"):
        read(tmp_path, reader=read_sammlv_sheets)


def test_the_codes_are_never_taken_for_the_long_release(tmp_path):
    """They have the same columns up to the type; without the long release's header both look like it."""
    codes = [facs_row("006_1_2", "Anger"), facs_row("006_1_3", "no idea")]
    sammlv_sheets(tmp_path, [["a title"]], codes, header=False)
    with pytest.raises(MissingError, match="SAMM Long Videos release"):
        read(tmp_path, reader=read_sammlv_sheets)


# --- fuzz: whatever is in the cells ------------------------------------------------------------------------
CELLS = st.one_of(
    st.none(),
    st.integers(-5, 400),
    st.floats(-5, 400),
    st.sampled_from([
        "/", "-1", " 12", "spNO.1", "SPNO.1 ", "a", "006_1_2", "6_1_2", "Micro - 1/2", "Macro", "happy",
        "Anger", "Subject", "onset", "emotion", "\xa0", "1e3", "nan", "١٢", "=1+1", "2020-01-01",
    ]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8),
    st.booleans(),
    st.datetimes(datetime.datetime(1950, 1, 1), datetime.datetime(2100, 1, 1)),
)  # fmt: skip


def sheet_rows(width):
    return st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=5)


def is_blank(cells):
    return all(c is None or not str(c).split() for c in cells)


FUZZ = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@FUZZ
@given(rows=sheet_rows(8))
def test_no_row_is_lost_without_a_line_in_the_report(tmp_path, rows):
    workbook(tmp_path / "labels.xlsx", [CASME3_HEADER, *rows])
    report = Report()
    table = read_casme3_sheet(tmp_path, Rules(), report)
    accounted = set(table["row"]) | {line[1] for line in report.lines}
    cells = openpyxl.load_workbook(tmp_path / "labels.xlsx", data_only=True).active.iter_rows(
        values_only=True
    )
    expected = {i for i, r in enumerate(cells, start=1) if i > 1 and not is_blank(r)}
    assert accounted == expected
    assert (table["onset"] <= table["apex"]).all() and (table["apex"] <= table["offset"]).all()
    assert (table["onset"] >= 0).all()


@settings(FUZZ, max_examples=25)
@given(long_rows=sheet_rows(10), facs_rows=sheet_rows(12))
def test_no_row_of_two_joined_sheets_is_lost(tmp_path, long_rows, facs_rows):
    plain = long_row("006_1_2", 15, 22, 36)
    sammlv_sheets(tmp_path, [plain, *long_rows], [facs_row("006_1_2", "Anger"), *facs_rows])
    report = Report()
    table = read_sammlv_sheets(tmp_path, Rules(), report)
    accounted = set(table["row"]) | {line[1] for line in report.lines if line[0] == "long.xlsx"}
    cells = openpyxl.load_workbook(tmp_path / "long.xlsx", data_only=True).active.iter_rows(values_only=True)
    assert accounted == {i for i, r in enumerate(cells, start=1) if i > 10 and not is_blank(r)}
    assert ("006", "006_1", 14) in set(zip(table["subject"], table["video"], table["onset"], strict=True))
    told = {line[1] for line in report.lines if line[0] == "codes.xlsx"}
    for number, cells in enumerate(facs_rows, start=5):  # a code without a line belongs to a sample
        if number not in told and not is_blank(cells):
            assert str(cells[1]).strip().lstrip("0") == "6_1_2"
    assert 4 not in told


@FUZZ
@given(rows=st.lists(st.lists(CELLS, max_size=9), max_size=6), data=st.binary(max_size=60))
def test_any_workbook_is_read_or_refused_as_a_metst_error(tmp_path, rows, data):
    workbook(tmp_path / "labels.xlsx", rows)
    (tmp_path / "other.xlsx").write_bytes(data)
    (tmp_path / "third.csv").write_bytes(data)
    with pytest.raises(MetstError):  # no header in it, so it can only be refused
        read_casme3_sheet(tmp_path, Rules(), Report())


# --- as spreadsheets really save them ----------------------------------------------------------------------
HEAD = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "Emotion"]
LINES = [["1", "a", 10 * i + 1, 10 * i + 5, 10 * i + 9, "4", "I", "disgust"] for i in range(1, 4)]


def text_table(separator=",", rows=LINES):
    return "\n".join(separator.join(map(str, row)) for row in (HEAD, *rows))


def read_text(tmp_path, data):
    (tmp_path / "l.csv").write_bytes(data)
    report = Report()
    return read_casme3_sheet(tmp_path, Rules(), report), report


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_table_may_have_any_separator_and_mark_of_encoding(tmp_path, separator, encoding):
    found, report = read_text(tmp_path, text_table(separator).encode(encoding))
    assert found[["onset", "apex", "offset"]].to_numpy().tolist() == [
        [10 * i, 10 * i + 4, 10 * i + 8] for i in range(1, 4)
    ]
    assert report.lines == []


def test_another_encoding_is_named_by_row_and_says_nothing_of_the_file(tmp_path):
    rows = [[*row[:6], "厌恶" * 50, row[7]] for row in LINES * 100]
    with pytest.raises(
        MissingError, match=r"l\.csv: row 2 holds bytes that are not UTF-8 .*save it as"
    ) as caught:
        read_text(tmp_path, text_table(rows=rows).encode("gbk"))
    assert len(str(caught.value)) < 700 and "\\x" not in str(caught.value)


def test_blank_lines_count_as_a_spreadsheet_counts_them(tmp_path):
    text = text_table().split("\n")
    data = "\n".join(
        [text[0], "", text[1], ",,,,,,,", " ", text[2].replace("disgust", "hunger"), text[3], "", ""]
    )
    found, report = read_text(tmp_path, data.encode())
    assert found["row"].tolist() == [3, 7]
    assert [(line[1], line[2]) for line in report.lines] == [(6, "unknown emotion 'hunger'")]


def test_the_sheet_may_lie_elsewhere(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "labels.csv").write_text(text_table())
    report = Report()
    for name in (str(tmp_path / "labels.csv"), "../labels.csv"):
        assert len(read_casme3_sheet(tmp_path / "set", Rules(), report, name)) == 3
    with pytest.raises(MissingError, match=r"none\.csv: no such file"):
        read_casme3_sheet(tmp_path / "set", Rules(), report, str(tmp_path / "none.csv"))


def test_a_formula_without_a_value_is_named(tmp_path):
    workbook(tmp_path / "l.xlsx", [HEAD, ["1", "a", 11, 15, "=C2+10", "4", "I", "disgust"], LINES[0]])
    report = Report()
    found = read_casme3_sheet(tmp_path, Rules(), report)
    assert found["row"].tolist() == [3]
    [(file, row, problem, _)] = report.lines
    assert (file, row) == ("l.xlsx", 2) and "offset is the formula =C2+10 without a stored value" in problem


def test_one_space_in_the_last_row_costs_nothing(tmp_path):
    book = openpyxl.Workbook()
    for line in (HEAD, *LINES):
        book.active.append(line)
    book.active.cell(1_048_576, 16_384, " ")
    book.active.cell(4, 16_384, "x")
    book.save(tmp_path / "l.xlsx")
    tracemalloc.start()
    found = read_casme3_sheet(tmp_path, Rules(), Report())
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()
    assert found["row"].tolist() == [2, 3, 4]


def test_a_workbook_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    workbook(tmp_path / "l.xlsx", [HEAD, *LINES])
    monkeypatch.setattr(workbooks, "MOST_SHEET_BYTES", 2000)
    with pytest.raises(MissingError, match=r"l\.xlsx: (would take|has more than)"):
        read_casme3_sheet(tmp_path, Rules(), Report())
