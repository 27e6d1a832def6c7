"""A folder of one's own videos: everything that lies there is used or has a line, and one bad item never ends it."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from metst_core.datasets import check_dataset, load_dataset
from metst_core.datasets.found import look_for_videos
from metst_core.datasets.rules import Report
from metst_core.video import VIDEO_SUFFIXES, write_images, write_video

FRAMES = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), dtype=np.uint8)


def film(path, suffix=".mkv"):
    """A film of four frames under any name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path.with_suffix(suffix), FRAMES, 25)
    return path.with_suffix(suffix).rename(path)


def enormous(path, side=65_500):
    """A PNG file of a few bytes that says it is 65,500 x 65,500."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = b""
    for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


@pytest.fixture
def messy(tmp_path):
    """Two good videos, and beside them what one finds in folders of people."""
    film(tmp_path / "s1" / "a.mp4", ".mp4")
    film(tmp_path / "s2" / "b.m4v", ".mp4")
    film(tmp_path / "s3" / "day1" / "c.mp4", ".mp4")
    write_images(tmp_path / "s3" / "day2" / "morning" / "faces", FRAMES)
    enormous(tmp_path / "s4" / "huge" / "0.png")
    (tmp_path / "s4" / "film.mp4").write_bytes(b"")
    (tmp_path / "s4" / "notes.txt").write_text("notes")
    (tmp_path / "s4" / "empty").mkdir()
    (tmp_path / "readme").write_text("hello")
    (tmp_path / "s4" / ".hidden.mp4").write_bytes(b"")
    return tmp_path


def test_everything_found_is_used_or_has_a_line(messy):
    dataset = load_dataset("folder", messy)
    assert list(zip(dataset.videos["subject"], dataset.videos["video"], strict=True)) == [
        ("s1", "a"),
        ("s2", "b"),
    ]
    lines = {row.file: (row.problem, row.action) for row in dataset.report.itertuples()}
    assert lines["s3/day1"] == (
        "1 video(s) deeper than <subject>/<video>, first s3/day1/c.mp4; move them up", "left out"
    )  # fmt: skip
    assert "first s3/day2/morning/faces" in lines["s3/day2"][0]
    assert "65500 x 65500, more than the 67,108,864 pixels" in lines["s4/huge"][0]
    assert "empty (0 bytes)" in lines["s4/film.mp4"][0]
    assert lines["s4"] == ("1 file(s) .txt, no video or image by that name", "not used")
    assert lines["s4/empty"] == ("a folder without a video", "not used")
    assert lines["."] == ("1 file(s) without a suffix, no video or image by that name", "not used")
    report = check_dataset("folder", messy)
    assert not report.ok and {"s3/day1", "s3/day2", "s4/huge", "s4/film.mp4"} == set(report.missing["file"])


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_a_name_that_is_not_utf8_is_reported_and_the_others_go_on(messy):
    odd = Path(os.fsdecode(os.fsencode(messy) + b"/s1/\xff\xfe.mp4"))
    odd.write_bytes((messy / "s1" / "a.mp4").read_bytes())
    dataset = load_dataset("folder", messy)
    assert list(dataset.videos["video"]) == ["a", "b"]
    [line] = [row for row in dataset.report.itertuples() if "xff" in row.file]
    assert line.file == "s1/\\xff\\xfe.mp4" and "rename it" in line.problem
    assert str(check_dataset("folder", messy)).encode("utf-8")


def test_a_folder_that_cannot_be_read_is_reported(messy, monkeypatch):
    real = Path.iterdir

    def refuse(self):
        if self.name == "s1":
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "iterdir", refuse)
    report = Report()
    assert {path.name for _, path in look_for_videos(messy, report)} == {"b.m4v", "huge", "film.mp4"}
    assert ("s1", 0, "the folder cannot be read (Permission denied)", "left out") in report.lines


def test_names_of_films_are_found_whatever_their_capitals(tmp_path):
    for suffix in VIDEO_SUFFIXES:
        (tmp_path / "s" / f"v{suffix[1:]}{suffix.upper()}").parent.mkdir(exist_ok=True)
        (tmp_path / "s" / f"v{suffix[1:]}{suffix.upper()}").touch()
    report = Report()
    assert len(list(look_for_videos(tmp_path, report))) == len(VIDEO_SUFFIXES) and report.lines == []
