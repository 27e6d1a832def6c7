"""Data sets in their real layouts, as tiny stand-ins: what is read, what is counted, and what is reported."""

import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.films import VARIABLE_MS
from support.sheets import CASME3_HEADER, facs_row, long_row, row, sammlv_sheets, workbook

from metst_core.cli import main
from metst_core.datasets import (
    Dataset,
    Report,
    Rules,
    check_dataset,
    fit_annotations,
    load_dataset,
    load_labels,
    read_submission,
    write_dataset,
    write_submission,
    write_tables,
)
from metst_core.errors import InputError, MetstError, MissingError
from metst_core.metrics import evaluate
from metst_core.tables import ANNOTATION_COLUMNS, EMOTIONS, PREDICTION_COLUMNS, check_annotations
from metst_core.video import write_video


def shade(number):
    """An image that tells its number: all grey levels are twice it."""
    return np.full((16, 24, 3), 2 * number, np.uint8)


def number_of(frame):
    return round(float(frame[..., 0].mean()) / 2)


def images(folder, names_and_numbers):
    folder.mkdir(parents=True, exist_ok=True)
    for name, number in names_and_numbers:
        quality = [cv2.IMWRITE_JPEG_QUALITY, 100]
        (folder / name).write_bytes(cv2.imencode(".jpg", shade(number)[..., ::-1], quality)[1].tobytes())


def annotations(*rows):
    return pd.DataFrame(rows, columns=list(ANNOTATION_COLUMNS))


def rows_of(table):
    return [tuple(r) for r in table.itertuples(index=False)]


def report_of(dataset):
    return {(r.row, r.action) for r in dataset.report.itertuples()}


# --- CAS(ME)^3 ---------------------------------------------------------------------------------------------
@pytest.fixture
def casme3(tmp_path):
    """Two subjects, three videos: one with gaps in the numbering, one without any micro-expression."""
    base = tmp_path / "data"
    images(base / "spNO.2" / "a" / "color", [(f"{n}.jpg", n) for n in (0, 1, 2, 5, 6, 9, 10, 11)])
    images(base / "spNO.10" / "a" / "color", [(f"{n}.jpg", n) for n in range(12)])
    images(base / "spNO.10" / "b" / "color", [(f"{n}.jpg", n) for n in range(4)])
    rows = [
        CASME3_HEADER,
        row(2, 4, 6, "happy", "spNO.2", "a"),
        row(3, 5, 0, "Sad ", "spno.10", "a"),
        row(0, 5, 7, "fear", "spNO.10", "a"),
        row(2, 4, 6, "happy", "spNO.2", "a"),
        row(5, 6, 90, "surprise", "spNO.2", "a"),
        row(40, 44, 48, "others", "spNO.2", "a"),
        row(1, 2, 3, "others", "spNO.3", "a"),
    ]
    workbook(tmp_path / "cas(me)3 labels.xlsx", rows)
    return tmp_path


def test_casme3_follows_the_published_rules(casme3):
    dataset = load_dataset("casme3", casme3)
    assert rows_of(dataset.annotations) == [
        ("spNO.2", "a", 1, 3, 5, "positive"),
        ("spNO.10", "a", 2, 4, 4, "negative"),  # offset 0: the apex
        ("spNO.2", "a", 4, 5, 11, "surprise"),  # cut at the end
    ]
    assert (dataset.fps, dataset.frame_step, dataset.window) == (30, 1, 50)
    assert list(dataset.videos["video"]) == ["a", "a", "b"]
    assert dataset.subjects == ["spNO.2", "spNO.10"]
    assert list(dataset.videos["n_frames"]) == [12, 12, 4]
    where = {(r.row, r.problem.split()[0]) for r in dataset.report.itertuples()}
    assert where == {
        (0, "4"), (3, "offset"), (3, "ids"), (4, "onset"), (5, "the"), (6, "offset"), (6, "overlaps"),
        (7, "onset"), (8, "no"),
    }  # fmt: skip


def test_casme3_gaps_are_filled_with_the_next_image_there_is(casme3):
    dataset = load_dataset("casme3", casme3)
    seen = [number_of(f) for f in dataset.frames("spNO.2", "a")]
    assert seen == [0, 1, 2, 5, 5, 5, 6, 9, 9, 9, 10, 11]
    assert [number_of(f) for f in dataset.frames("spNO.10", "a")] == list(range(12))


def test_casme3_numbering_may_start_late_and_every_oddity_is_reported(tmp_path):
    folder = tmp_path / "data" / "spNO.1" / "a" / "color"
    images(folder, [("3.jpg", 3), ("4.jpg", 4), ("04.jpg", 40), ("6.jpg", 6), ("thumb.jpg", 9)])
    workbook(tmp_path / "labels.xlsx", [CASME3_HEADER, row(1, 2, 3), row(5, 6, 7), row(6, 7, 8)])
    dataset = load_dataset("casme3", tmp_path)
    assert [number_of(f) for f in dataset.frames("spNO.1", "a")] == [3, 3, 3, 3, 40, 6, 6]
    assert [r[2:5] for r in rows_of(dataset.annotations)] == [(0, 1, 2), (4, 5, 6), (5, 6, 6)]
    told = [(r.row, r.problem, r.action) for r in dataset.report.itertuples()]
    assert told[:3] == [
        (0, "4 image(s) missing in the numbering", "the next image is repeated"),  # 0, 1, 2 and 5
        (0, "1 image(s) without a frame number in the name, first thumb.jpg", "not used"),
        (0, "1 image(s) with the number of another, first 4.jpg", "not used"),
    ]
    assert told[3][:2] == (4, "offset 7 lies after the last frame, 6")


def test_one_stray_number_is_no_gap_of_millions(tmp_path):
    images(tmp_path / "data" / "spNO.1" / "a" / "color", [("0.jpg", 0), ("1.jpg", 1), ("9999999.jpg", 2)])
    images(tmp_path / "data" / "spNO.1" / "b" / "color", [("0.jpg", 0), ("1.jpg", 1)])
    workbook(tmp_path / "labels.xlsx", [CASME3_HEADER, row(1, 2, 2, "happy", "spNO.1", "b")])
    dataset = load_dataset("casme3", tmp_path)
    assert dataset.videos["video"].tolist() == ["b"]
    assert "is 9999999.jpg one of them?" in dataset.report["problem"].str.cat()


def test_the_same_interval_with_another_emotion_says_so(casme3):
    rows = [CASME3_HEADER, row(2, 4, 6, "happy", "spNO.2", "a"), row(2, 5, 6, "fear", "spNO.2", "a")]
    workbook(casme3 / "cas(me)3 labels.xlsx", rows)
    dataset = load_dataset("casme3", casme3)
    assert rows_of(dataset.annotations) == [("spNO.2", "a", 1, 3, 5, "positive")]
    (line,) = (r for r in dataset.report.itertuples() if r.row == 3)
    assert line.problem == "the same interval as row 2, which is positive there"


def test_a_sheet_without_a_usable_row_is_an_unlabelled_set(casme3):
    workbook(casme3 / "cas(me)3 labels.xlsx", [CASME3_HEADER, row("?", 4, 6)])
    dataset = load_dataset("casme3", casme3)
    assert dataset.annotations.empty
    assert len(dataset.videos) == 3
    assert 2 in set(dataset.report["row"])
    assert "not everything" not in str(check_dataset("casme3", casme3))


def test_casme3_deviations_have_names(casme3):
    complete = load_dataset("casme3", casme3, rules="complete")
    assert rows_of(complete.annotations) == [("spNO.2", "a", 1, 3, 5, "positive")]
    first = load_dataset("casme3", casme3, onset_zero="first", past_end="keep", duplicates="keep")
    assert list(zip(first.annotations["onset"], first.annotations["offset"], strict=True)) == [
        (1, 5), (2, 4), (0, 6), (1, 5), (4, 89),
    ]  # fmt: skip
    with pytest.raises(InputError, match="past_end"):
        load_dataset("casme3", casme3, past_end="wrap")
    with pytest.raises(InputError, match="onset_zeros"):
        load_dataset("casme3", casme3, onset_zeros="drop")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.sets(st.integers(0, 60), min_size=1, max_size=25))
def test_any_numbering_yields_one_frame_per_number(tmp_path, numbers):
    from metst_core.datasets import NumberedImagesReader

    folder = tmp_path / "_".join(map(str, sorted(numbers)))[:80]
    folder.mkdir(exist_ok=True)
    for number in numbers:
        (folder / f"{number}.jpg").touch()
    shown = [int(p.stem) for p in NumberedImagesReader().files(folder)]
    kept = {int(p.stem) for p in folder.iterdir()}
    assert shown == [min(k for k in kept if k >= n) for n in range(max(kept) + 1)]


# --- SAMM-LV -----------------------------------------------------------------------------------------------
@pytest.fixture
def sammlv(tmp_path):
    base = tmp_path / "SAMM_longvideos"
    images(base / "006_1", [(f"006_1_{n}.jpg", n) for n in range(1, 102)])
    images(base / "007_2", [(f"007_2_{n:05d}.jpg", n) for n in range(1, 16)])
    sammlv_sheets(
        tmp_path,
        [
            long_row("006_1_1", 1, 7, 8),
            long_row("006_1_2", 50, 57, 99),
            long_row("006_1_3", 10, 20, 90, "Macro"),
            long_row("006_1_4", 71, 72, 73),
        ],
        [facs_row("006_1_1", "Contempt"), facs_row("006_1_2", "Other"), facs_row("006_1_4", "Surprise")],
    )
    return tmp_path


def test_sammlv_counts_in_every_seventh_frame(sammlv):
    dataset = load_dataset("sammlv", sammlv)
    assert (dataset.fps, dataset.frame_step, dataset.window) == (200, 7, 30)
    assert dataset.frame_rate == pytest.approx(200 / 7)
    assert rows_of(dataset.annotations) == [
        ("006", "006_1", 0, 0, 1, "negative"),
        ("006", "006_1", 7, 8, 14, "others"),
        ("006", "006_1", 10, 10, 10, "surprise"),  # overlaps with the one before
    ]
    assert rows_of(dataset.videos)[1][:4] == ("007", "007_2", 200 / 7, 3)
    frames = [number_of(f) for f in dataset.frames("006", "006_1")]
    assert frames == list(range(1, 102, 7))  # natural order, image 1 first
    assert len(frames) == dataset.videos["n_frames"][0]
    assert report_of(dataset) == {(13, "left out, as published"), (14, "kept")}


def test_sammlv_holds_macro_expressions_where_they_are_asked_for(sammlv):
    """Frames by hand: (value - 1) // 7; sample 5 is a macro-expression of 6.3 s without FACS codes in the second video."""
    sammlv_sheets(
        sammlv,
        [
            long_row("006_1_1", 1, 7, 8),
            long_row("006_1_3", 10, 20, 90, "Macro"),
            long_row("007_2_5", 1, 8, 1260, "Macro"),
            long_row("007_2_6", 1, 8, 9, "Meso"),
        ],
        [
            facs_row("006_1_1", "Contempt"),
            facs_row("006_1_3", "Happiness", "Macro"),
            facs_row("006_1_9", "Anger", "Macro"),
        ],
    )
    alone, both = load_dataset("sammlv", sammlv), load_dataset("sammlv", sammlv, kinds=("micro", "macro"))
    assert rows_of(alone.annotations) == rows_of(both.annotations) == [("006", "006_1", 0, 0, 1, "negative")]
    assert alone.macro.empty and set(alone.expressions["kind"]) == {"micro"}
    assert rows_of(both.macro) == [
        ("006", "006_1", 1, 2, 12, "positive"),
        ("007", "007_2", 0, 1, 2, "others"),  # cut at the end of 15 images
    ]
    assert both.expressions["kind"].tolist() == ["micro", "macro", "macro"]
    said = set(both.report["problem"])
    assert "unknown type 'Meso'" in said and "no emotion for the macro-expression 007_2_5" in said
    assert any(s.startswith("no macro-expression 006_1_9 in") for s in said)
    assert not (both.report["action"] == "left out, as published").any()
    assert (alone.report["action"] == "left out, as published").sum() == 4  # two rows in each sheet
    found = both.expressions.assign(score=1.0)
    assert evaluate(found, both.expressions, kinds=("micro", "macro")).tp == 3
    mixed = evaluate(found.assign(kind="macro"), both.expressions, kinds=("micro", "macro"))
    assert (mixed.tp, mixed.fp, mixed.fn) == (2, 1, 1)  # a micro-expression called a macro one
    labels = load_labels("sammlv", sammlv, kinds="micro,macro")
    assert labels.macro["offset"].tolist() == [12, 179]  # without videos there is no end to cut at
    assert len(load_labels("sammlv", sammlv, kinds=("macro",)).annotations) == 0
    with pytest.raises(InputError, match="kinds is 'meso'"):
        load_dataset("sammlv", sammlv, kinds="meso")
    with pytest.raises(InputError, match=r"casme3: unknown option\(s\) kinds"):
        load_dataset("casme3", sammlv, kinds=("macro",))


@given(st.lists(st.integers(1, 10**6), min_size=3, max_size=3).map(sorted), st.integers(1, 12))
def test_the_integer_division_keeps_the_order_and_holds_the_frame(values, step):
    onset, apex, offset = ((v - 1) // step for v in values)
    assert 0 <= onset <= apex <= offset
    for value, frame in zip(values, (onset, apex, offset), strict=True):
        assert frame * step + 1 <= value <= frame * step + step


FRAME_CELLS = st.one_of(
    st.integers(-1, 130),
    st.integers(-1, 130).map(lambda n: f" {n}"),
    st.sampled_from(["/", None, "?", 12.0, 3.5]),
)
MESSY_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["spNO.1", "SPNO. 1", "1", "spNO.2", "spNO.9", None]),
        st.sampled_from(["a", " A", "b", "z", None]),
        FRAME_CELLS, FRAME_CELLS, FRAME_CELLS,
        st.sampled_from(["happy", "Anger ", "OTHERS", "joy", None]),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=MESSY_ROWS)
def test_no_row_of_a_messy_sheet_is_lost_on_the_way_to_the_annotations(tmp_path, rows):
    """Each row is left out with a line, or kept; and one that has no line is kept exactly as it says."""
    for subject in ("spNO.1", "spNO.2"):
        for video in ("a", "b"):
            folder = tmp_path / "data" / subject / video / "color"
            folder.mkdir(parents=True, exist_ok=True)
            for number in (0, 99):
                (folder / f"{number}.jpg").touch()
    sheet = [[s, v, onset, apex, offset, "AU4", "I", emotion] for s, v, onset, apex, offset, emotion in rows]
    workbook(tmp_path / "labels.xlsx", [CASME3_HEADER, *sheet])
    dataset = load_dataset("casme3", tmp_path)
    of_rows = dataset.report[dataset.report["file"] == "labels.xlsx"]
    left_out = set(of_rows.loc[of_rows["action"].str.startswith("left out"), "row"])
    empty = {n for n, r in enumerate(sheet, start=2) if all(c is None for c in r[:5] + r[7:]) and not r[5]}
    assert len(dataset.annotations) + len(left_out) == len(rows) - len(empty)
    groups = {"happy": "positive", "Anger ": "negative", "OTHERS": "others"}
    for number, (subject, video, *frames, emotion) in enumerate(rows, start=2):
        if number not in set(of_rows["row"]):
            plain = tuple(int(float(f)) - 1 for f in frames)
            assert (subject, video, *plain, groups[emotion]) in rows_of(dataset.annotations)


# --- labels alone ------------------------------------------------------------------------------------------
def test_labels_need_no_video(casme3):
    full, alone = load_dataset("casme3", casme3), load_labels("casme3", casme3)
    for folder in sorted((casme3 / "data").rglob("*"), reverse=True):
        folder.rmdir() if folder.is_dir() else folder.unlink()
    assert rows_of(load_labels("casme3", casme3).annotations) == rows_of(alone.annotations)
    assert ("spNO.2", "a", 1, 3, 5, "positive") in rows_of(alone.annotations)
    assert ("spno.10", "a", 2, 4, 4, "negative") in rows_of(alone.annotations)  # no folder to correct the id
    assert len(alone.annotations) == len(full.annotations) + 2  # lengths and folders are unknown here
    assert list(alone.videos["subject"]) == ["spNO.2", "spNO.3", "spno.10"]
    assert (alone.fps, alone.window) == (full.fps, full.window)
    with pytest.raises(MissingError, match="only the labels"):
        alone.frames("spNO.2", "a")
    with pytest.raises(MissingError, match="no videos"):
        load_dataset("casme3", casme3)
    with pytest.raises(InputError, match="synthetic"):
        load_labels("synthetic", casme3)


def test_labels_of_the_videos_one_names(casme3):
    """As where a feature cache comes with a list of its videos: their order and spelling count."""
    keys = [("SPNO.10", "a"), ("SPNO.10", "b"), ("spNO.2", "a")]
    alone = load_labels("casme3", casme3, videos=keys)
    assert list(zip(alone.videos["subject"], alone.videos["video"], strict=True)) == keys
    assert ("SPNO.10", "a", 2, 4, 4, "negative") in rows_of(alone.annotations)
    assert (8, "left out") in report_of(alone)  # subject spNO.3 is not among them


def test_sammlv_labels_alone(sammlv):
    alone = load_labels("sammlv", sammlv)
    assert rows_of(alone.annotations) == rows_of(load_dataset("sammlv", sammlv).annotations)
    assert (alone.frame_step, alone.window, list(alone.videos["video"])) == (7, 30, ["006_1"])


# --- one's own videos --------------------------------------------------------------------------------------
@pytest.fixture
def own(tmp_path):
    """A subject with a video file, one with a folder of images, and a video of its own in the root."""
    root = tmp_path / "own"
    video = np.stack([np.kron(shade(n)[:2, :3], np.ones((8, 8, 1), np.uint8)) for n in range(20)])
    write_video(root / "007" / "smile.mkv", video, 25)
    images(root / "Zoë" / "talk", [(f"frame{n}.jpg", n) for n in range(1, 11)])
    write_video(root / "alone.avi", video[:6], 25)
    (root / "notes.txt").write_text("not a video")
    return root


def test_unlabelled_videos_are_a_dataset(own):
    dataset = load_dataset("folder", own)
    assert rows_of(dataset.videos)[0][:4] == ("007", "smile", 25, 20)
    assert {(r.subject, r.video, r.n_frames) for r in dataset.videos.itertuples()} == {
        ("007", "smile", 20), ("Zoë", "talk", 10), ("alone", "alone", 6),
    }  # fmt: skip
    assert dataset.annotations.empty
    assert [number_of(f) for f in dataset.frames("Zoë", "talk")] == list(range(1, 11))
    with pytest.raises(MissingError, match="grin"):
        dataset.frames("007", "grin")
    assert "30 per second assumed" in dataset.report["action"].str.cat()


def test_folder_annotations_are_fitted_to_the_videos_and_reported(own):
    table = annotations(
        ("007", "smile", 3, 5, 9, "positive"),
        ("007", "smile", 8, 9, 30, "surprise"),
        ("007", "gone", 3, 5, 9, "positive"),
        ("Zoë", "talk", 10, 11, 12, "others"),
    )
    table.to_csv(own / "annotations.csv", index=False)
    dataset = load_dataset("folder", own)
    assert rows_of(dataset.annotations) == [
        ("007", "smile", 3, 5, 9, "positive"),
        ("007", "smile", 8, 9, 19, "surprise"),
    ]
    told = {(r.row, r.action) for r in dataset.report.itertuples() if r.file == "annotations.csv"}
    assert told == {(3, "cut at the end"), (3, "kept"), (4, "left out"), (5, "left out")}


def test_a_bad_annotation_file_is_named_by_row(own):
    annotations(("007", "smile", 9, 5, 3, "positive")).to_csv(own / "annotations.csv", index=False)
    with pytest.raises(InputError, match=r"annotations\.csv.*row 2"):
        load_dataset("folder", own)


def test_a_broken_video_is_listed_and_the_others_go_on(own):
    (own / "007" / "half.mp4").write_bytes(b"\0\0\0\x18ftypmp42 and no more")
    dataset = load_dataset("folder", own)
    assert len(dataset.videos) == 3
    assert ("007/half.mp4", "left out") in set(
        zip(dataset.report["file"], dataset.report["action"], strict=True)
    )
    report = check_dataset("folder", own)
    assert not report.ok
    assert "half.mp4" in str(report)


def test_a_picture_beside_a_subjects_videos_does_not_hide_them(own):
    images(own / "007", [("portrait.jpg", 1)])
    dataset = load_dataset("folder", own)
    assert ("007", "smile") in set(zip(dataset.videos["subject"], dataset.videos["video"], strict=True))
    assert ("007", "images beside videos", "not used") in [r[0:1] + r[2:] for r in rows_of(dataset.report)]


def test_a_video_that_may_not_be_read_is_listed(own, monkeypatch):
    """Root may read everything, so the system's answer is made up."""
    real = Path.open

    def refuse(self, *arguments, **options):
        if self.name == "smile.mkv":
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    dataset = load_dataset("folder", own)
    assert "smile" not in set(dataset.videos["video"])
    assert "may not be read" in dataset.report["problem"].str.cat()


def test_two_files_of_one_video_are_refused(own):
    write_video(own / "007" / "smile.avi", [shade(1)], 25)
    with pytest.raises(InputError, match=r"smile\.avi|smile\.mkv"):
        load_dataset("folder", own)


def test_resampling_maps_annotations_and_numbers(own):
    annotations(("007", "smile", 4, 8, 16, "positive")).to_csv(own / "annotations.csv", index=False)
    half = load_dataset("folder", own, fps=12.5, image_fps=25)
    assert rows_of(half.annotations) == [("007", "smile", 2, 4, 8, "positive")]
    assert [number_of(f) for f in half.frames("007", "smile")] == list(range(0, 20, 2))
    assert half.source_numbers("007", "smile", [0, 4, 8]).tolist() == [0, 8, 16]
    assert set(half.videos["fps"]) == {12.5}
    assert dict(zip(half.videos["video"], half.videos["n_frames"], strict=True)) == {
        "smile": 10, "talk": 5, "alone": 3,
    }  # fmt: skip
    assert half.reading_hash() != load_dataset("folder", own).reading_hash()


def test_variable_frame_rate_becomes_constant_with_the_numbers_mapped_back(tmp_path):
    video = np.stack([np.kron(shade(n)[:2, :3], np.ones((8, 8, 1), np.uint8)) for n in range(12)])
    write_video(tmp_path / "set" / "1" / "v.mkv", video, 25, seconds=np.array(VARIABLE_MS) / 1000)
    annotations(("1", "v", 2, 3, 7, "others")).to_csv(tmp_path / "set" / "annotations.csv", index=False)
    dataset = load_dataset("folder", tmp_path / "set", fps=50)
    shown = [number_of(f) for f in dataset.frames("1", "v")]
    assert shown == dataset.source_numbers("1", "v", range(len(shown))).tolist()
    ((_, _, onset, apex, offset, _),) = rows_of(dataset.annotations)
    assert [shown[onset], shown[apex], shown[offset]] == [2, 3, 7]  # 80, 240 and 460 ms
    assert (onset, apex, offset) == (4, 12, 23)  # at 50 frames per second


@pytest.mark.parametrize("suffix", [".mkv", ".png"])
def test_every_set_can_be_written_in_the_folder_layout(sammlv, tmp_path, suffix):
    source = load_dataset("sammlv", sammlv)
    copy = write_dataset(source, tmp_path / "copy", suffix)
    assert rows_of(copy.annotations) == rows_of(source.annotations)
    assert copy.fps == pytest.approx(source.frame_rate)
    assert copy.window == source.window
    for video in source.videos.itertuples():
        pair = zip(
            source.frames(video.subject, video.video), copy.frames(video.subject, video.video), strict=True
        )
        assert all((a == b).all() for a, b in pair)
    moved = (tmp_path / "copy").rename(tmp_path / "moved")  # paths in it are relative
    assert next(load_dataset("folder", moved).frames("006", "006_1")).shape == (16, 24, 3)
    assert load_dataset("synthetic", moved).name == "synthetic"


def test_each_copied_video_keeps_its_own_rate(tmp_path):
    for name, fps in (("slow", 10), ("fast", 50)):
        write_video(tmp_path / "set" / "1" / f"{name}.mkv", [shade(n) for n in range(12)], fps)
    copy = write_dataset(load_dataset("folder", tmp_path / "set"), tmp_path / "copy")
    assert dict(zip(copy.videos["video"], copy.videos["fps"], strict=True)) == {"slow": 10, "fast": 50}
    (tmp_path / "copy" / "videos.csv").unlink()  # and so say the files themselves
    found = load_dataset("folder", tmp_path / "copy").videos
    assert dict(zip(found["video"], found["fps"], strict=True)) == {"slow": 10, "fast": 50}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_set_that_is_written_reads_back_as_it_was(tmp_path_factory, data):
    """Any ids that can be file names, any intervals in the videos, at any rate."""
    root = tmp_path_factory.mktemp("set")
    ids = st.text(st.characters(codec="utf-8", categories=["Ll", "Lo", "N"]), min_size=1, max_size=5)
    keys = data.draw(st.lists(st.tuples(ids, ids), min_size=1, max_size=3, unique=True))
    videos, found = [], []
    for number, (subject, video) in enumerate(keys):
        n_frames = data.draw(st.integers(1, 4))
        images(root / "source" / str(number), [(f"{n}.jpg", 10 * number + n) for n in range(n_frames)])
        fps = data.draw(st.sampled_from([10.0, 200 / 7, 29.97]))
        videos.append((subject, video, fps, n_frames, str(root / "source" / str(number))))
        interval = sorted(data.draw(st.lists(st.integers(0, n_frames - 1), min_size=3, max_size=3)))
        found.append((subject, video, *interval, data.draw(st.sampled_from(EMOTIONS))))
    table = pd.DataFrame(videos, columns=["subject", "video", "fps", "n_frames", "path"])
    source = Dataset("mine", annotations(*found), table, fps=25.0)
    copy = write_dataset(source, root / "copy", ".png")
    assert rows_of(copy.annotations) == found
    assert copy.report["action"].str.startswith("kept").all()  # several rates, at most
    for (subject, video), row_ in zip(keys, copy.videos.itertuples(), strict=True):
        assert (row_.subject, row_.video) == (subject, video)
        pair = zip(source.frames(subject, video), copy.frames(subject, video), strict=True)
        assert all((a == b).all() for a, b in pair)
    assert copy.videos["fps"].tolist() == pytest.approx([v[2] for v in videos])


def test_a_stopped_copy_goes_on(own, tmp_path):
    """The copy lost one video; what is there is not written again."""
    videos = write_dataset(load_dataset("folder", own), tmp_path / "copy").videos["path"]
    Path(videos[0]).unlink()
    before = [Path(path).stat().st_mtime_ns for path in videos[1:]]
    again = write_dataset(load_dataset("folder", own), tmp_path / "copy")
    assert list(again.videos["path"]) == list(videos)
    assert [Path(path).stat().st_mtime_ns for path in videos[1:]] == before
    assert Path(videos[0]).is_file()


def test_a_dataset_says_in_a_line_what_it_holds(sammlv, own):
    said = repr(load_dataset("sammlv", sammlv))
    assert "\n" not in said
    assert said.startswith("Dataset 'sammlv': ") and "200 frames per second (frame step 7)" in said
    assert "Dataset 'folder'" in repr(load_dataset("folder", own))


def test_a_notebook_shows_the_summary_and_runs_nothing_that_a_name_says(own):
    dataset = replace(load_dataset("folder", own), name="<script>alert(1)</script>")
    shown = dataset._repr_html_()
    assert "<script>" not in shown
    for text in dataset.summary()["found"][1:]:
        assert f"<td>{text}</td>" in shown


def test_a_listed_video_that_is_gone_is_reported(own):
    videos = load_dataset("folder", own).videos
    write_tables(own, annotations(("007", "smile", 3, 5, 9, "positive")), videos)
    (own / "alone.avi").unlink()
    report = check_dataset("folder", own)
    assert not report.ok
    assert "alone.avi" in str(report.missing["file"].str.cat())
    for path in videos["path"]:
        if Path(path).is_file():
            Path(path).unlink()
    videos = videos[videos["subject"] == "007"]
    write_tables(own, annotations(), videos)
    with pytest.raises(MissingError, match=r"smile\.mkv"):
        load_dataset("folder", own)


@pytest.mark.parametrize(
    ("column", "value"), [("fps", "fast"), ("fps", "0"), ("n_frames", "-1"), ("fps", "inf"), ("path", None)]
)
def test_a_bad_video_table_is_named(own, column, value):
    videos = load_dataset("folder", own).videos.astype(str)
    videos = videos.drop(columns=column) if value is None else videos.assign(**{column: value})
    videos.to_csv(own / "videos.csv", index=False)
    with pytest.raises(MetstError, match=r"videos\.csv"):
        load_dataset("folder", own)


def test_a_dataset_pickles_for_worker_processes(own):
    dataset = pickle.loads(pickle.dumps(load_dataset("folder", own, fps=12.5, image_fps=25)))
    assert sum(1 for _ in dataset.frames("007", "smile")) == 10


# --- what is asked for and not there -----------------------------------------------------------------------
@pytest.mark.parametrize("name", ["synthetic", "casme3", "sammlv", "folder"])
def test_a_missing_root_is_said_with_what_to_do(name, tmp_path):
    for load in (load_dataset, check_dataset):
        with pytest.raises(MissingError, match="metst synth" if name == "synthetic" else "give the folder"):
            load(name, None)
        with pytest.raises(MissingError, match="gone"):
            load(name, tmp_path / "gone")
        with pytest.raises(MissingError, match=tmp_path.name):
            load(name, tmp_path)


def test_unknown_names_and_options_are_refused(tmp_path):
    with pytest.raises(InputError, match="casme3"):
        load_dataset("casme2", tmp_path)
    with pytest.raises(InputError, match=r"frame_rate.*fps"):
        load_dataset("folder", tmp_path, frame_rate=30)
    for window in (0, 49, "50"):
        with pytest.raises(MetstError):
            load_dataset("folder", tmp_path, window=window)


# --- intervals and videos ----------------------------------------------------------------------------------
INTERVALS = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(st.integers(0, 60), min_size=3, max_size=3).map(sorted)),
    max_size=8,
)


@settings(max_examples=50, deadline=None)
@given(INTERVALS, st.sampled_from(["cut", "keep", "drop"]), st.sampled_from(["drop", "keep"]))
def test_every_interval_is_kept_or_reported_and_fits(intervals, past_end, duplicates):
    videos = pd.DataFrame(
        [("a", "v", 30.0, 40, "x")], columns=["subject", "video", "fps", "n_frames", "path"]
    )
    table = check_annotations(annotations(*((s, "v", *i, "others") for s, i in intervals)))
    report = Report()
    fitted = fit_annotations(table, videos, Rules(past_end=past_end, duplicates=duplicates), report)
    left_out = {line[1] for line in report.lines if line[3] == "left out"}
    assert len(fitted) + len(left_out) == len(table)
    if past_end != "keep":
        assert (fitted["offset"] < 40).all()
    if duplicates == "drop":
        assert len({tuple(i) for s, i in intervals if s == "a" and i[0] < 40}) >= len(fitted)
    touched = {line[1] for line in report.lines}
    for number, (subject, interval) in enumerate(intervals, start=2):
        if number not in touched:
            assert (subject, "v", *interval, "others") in rows_of(fitted)


def test_what_no_micro_expression_can_be_is_named_by_row_and_dropped_where_asked(tmp_path):
    """30 frames per second: 151 frames are over 5 s, 150 are not."""
    rows = [row(11, 14, 11 + 149), row(211, 214, 211 + 150), row(511, 514, 520)]
    workbook(tmp_path / "labels.xlsx", [CASME3_HEADER, *rows])
    kept = load_labels("casme3", tmp_path)
    assert len(kept.annotations) == 3
    assert kept.report[["row", "action"]].values.tolist() == [[3, "kept"]]
    assert (
        kept.report["problem"]
        .iloc[0]
        .startswith("lasts 5.0 s, which no micro-expression does (longest: 5 s)")
    )
    for options in ({"too_long": "drop"}, {"rules": "complete"}):
        assert load_labels("casme3", tmp_path, **options).annotations["onset"].tolist() == [10, 510]
    assert len(load_labels("casme3", tmp_path, too_long="drop", longest=1).annotations) == 1
    with pytest.raises(InputError, match="longest is 'much'"):
        load_labels("casme3", tmp_path, longest="much")


# --- checks ------------------------------------------------------------------------------------------------
def test_check_counts_what_was_found(casme3):
    report = check_dataset("casme3", casme3)
    found = dict(zip(report.summary["what"], report.summary["found"], strict=True))
    assert (found["subjects"], found["videos"], found["micro-expressions"]) == ("2", "3", "3")
    assert found["videos without a micro-expression"] == "1"
    assert found["micro-expression length in frames"] == "3 to 8, mean 5.3"
    per_emotion = report.emotions.set_index("emotion")["micro_expressions"]
    assert per_emotion.to_dict() == {"negative": 1, "positive": 1, "surprise": 1, "others": 0}
    assert report.emotions["longest_ms"].max() == round(8 / 30 * 1000)
    assert list(report.subjects["subject"]) == ["spNO.2", "spNO.10"]
    assert not report.ok  # the sheet names a subject that has no folder
    assert "spNO.3" in report.missing["problem"].str.cat()
    assert "overlaps" in str(report)


def test_check_looks_at_label_sheets_without_any_video(tmp_path, capsys):
    workbook(tmp_path / "labels.xlsx", [CASME3_HEADER, row(11, 14, 18), row(211, 214, 400)])
    alone = check_dataset("casme3", tmp_path, videos=False)
    assert alone.ok and len(alone.dataset.annotations) == 2 and "lasts 6.3 s" in str(alone)
    fallen_back = check_dataset("casme3", tmp_path)
    assert not fallen_back.ok and "the labels alone were checked" in str(fallen_back)
    assert len(fallen_back.rows) == 1
    command = ["check", "--dataset", "casme3", "--root", str(tmp_path)]
    assert (main(command), main([*command, "--labels-only"])) == (1, 0)
    assert "everything is there" in capsys.readouterr().out
    with pytest.raises(InputError, match="folder: only casme3, sammlv have label sheets"):
        check_dataset("folder", tmp_path, videos=False)
    (tmp_path / "labels.xlsx").unlink()
    with pytest.raises(MissingError, match="no label sheet"):
        check_dataset("casme3", tmp_path)


def test_check_finds_empty_and_broken_images(sammlv):
    assert check_dataset("sammlv", sammlv).ok
    assert "and 1 rows left out as published" in str(check_dataset("sammlv", sammlv))
    folder = sammlv / "SAMM_longvideos" / "006_1"
    (folder / "006_1_50.jpg").write_bytes(b"")
    last = folder / "006_1_101.jpg"
    last.write_bytes(last.read_bytes()[:100])
    (sammlv / "SAMM_longvideos" / "007_2" / "007_2_00003.jpg").unlink()
    report = check_dataset("sammlv", sammlv)
    assert not report.ok
    assert "006_1_101.jpg" in str(report)
    last.unlink()
    assert "006_1_50.jpg is empty" in str(check_dataset("sammlv", sammlv))
    assert "1 image(s) missing in the numbering" in report.rows["problem"].tolist()


# --- MEGC --------------------------------------------------------------------------------------------------
def predictions(*rows):
    return pd.DataFrame(rows, columns=list(PREDICTION_COLUMNS))


def test_a_submission_is_in_original_frame_numbers(sammlv, tmp_path):
    dataset = load_dataset("sammlv", sammlv)
    table = predictions(
        ("006", "006_1", 2, 4, 6, "negative", 0.9), ("006", "006_1", -3, 1, 99, "positive", 0.8)
    )
    written = write_submission(table, dataset, tmp_path / "pred.csv")
    assert (tmp_path / "pred.csv").read_text() == (
        "subject,video,onset,offset,emotion\n006,006_1,15,43,negative\n006,006_1,1,99,positive\n"
    )
    assert rows_of(written)[0] == ("006", "006_1", 15, 43, "negative")  # frame 2 is image 7 * 2 + 1
    back = read_submission(tmp_path / "pred.csv", dataset)
    assert [tuple(r)[2:6] for r in rows_of(back)] == [(2, 4, 6, "negative"), (0, 7, 14, "positive")]
    assert back["score"].isna().all()


def test_an_unlabelled_test_set_goes_from_videos_to_a_submission(own, tmp_path):
    dataset = load_dataset("folder", own, fps=12.5, image_fps=25)
    table = predictions(("007", "smile", 2, 3, 5, "surprise", 0.7))
    write_submission(table, dataset, tmp_path / "s.csv", first_frame=0)
    assert (tmp_path / "s.csv").read_text().splitlines()[1] == "007,smile,4,10,surprise"
    back = read_submission(tmp_path / "s.csv", dataset, first_frame=0)
    assert rows_of(back)[0][2:5] == (2, 3, 5)


def test_a_submission_that_cannot_be_is_named(own, tmp_path):
    dataset = load_dataset("folder", own)
    with pytest.raises(InputError, match="row 0 is neutral"):
        write_submission(predictions(("007", "smile", 2, 3, 5, "neutral", 0.7)), dataset, tmp_path / "s.csv")
    with pytest.raises(MissingError, match="grin"):
        write_submission(predictions(("007", "grin", 2, 3, 5, "others", 0.7)), dataset, tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()
    with pytest.raises(MissingError, match=r"s\.csv"):
        read_submission(tmp_path / "s.csv", dataset)
    (tmp_path / "s.csv").write_bytes(b"")
    with pytest.raises(InputError, match=r"s\.csv"):
        read_submission(tmp_path / "s.csv", dataset)
    (tmp_path / "s.csv").write_text("subject,video,onset,emotion\n")
    with pytest.raises(InputError, match="offset"):
        read_submission(tmp_path / "s.csv", dataset)
    (tmp_path / "s.csv").write_text("subject,video,onset,offset,emotion\n007,smile,0,5,others\n")
    with pytest.raises(InputError, match="before the first frame"):
        read_submission(tmp_path / "s.csv", dataset)


def test_a_dataset_made_by_hand_reads_its_videos(own):
    videos = load_dataset("folder", own).videos
    dataset = Dataset(name="mine", annotations=annotations(), videos=videos, fps=25.0)
    assert sum(1 for _ in dataset.frames("alone", "alone")) == 6
