"""What is written for ELAN, Praat and players comes back as the annotations that it was; what is none is refused."""

from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from metst_core import pipeline
from metst_core.errors import InputError, MissingError
from metst_core.inference import quality_table
from metst_core.tables import ANNOTATION_COLUMNS

DARK = quality_table({"too_dark": np.arange(90) < 45}, np.arange(90) / 30)
FORMS = {
    ".eaf": (pipeline.write_eaf, pipeline.read_eaf),
    ".TextGrid": (pipeline.write_textgrid, pipeline.read_textgrid),
    ".vtt": (pipeline.write_vtt, pipeline.read_vtt),
}


def with_intervals(result, rows, fps=30.0, n_frames=90, gaps=()):
    """`result` as if these (onset, apex, offset, emotion) had been found in a film of this rate, without some frames."""
    times = np.delete(np.arange(n_frames + len(gaps)) / fps, list(gaps))
    table = result.table.iloc[[0] * len(rows)].reset_index(drop=True)
    for i, name in enumerate(("onset", "apex", "offset", "emotion")):
        table[name] = [row[i] for row in rows]
    table["video"] = "clip"
    nothing = result.quality.iloc[:0]
    return replace(
        result, table=table, quality=nothing, near=table.iloc[:0], times=times, fps=fps, n_frames=n_frames
    )


def rows_of(table):
    return [tuple(row) for row in table[["onset", "apex", "offset", "emotion"]].to_numpy().tolist()]


@pytest.mark.parametrize("form", FORMS)
class TestRoundTrip:
    @pytest.mark.parametrize("fps", [23.976, 30.0, 60.0, 200.0])
    def test_frames_come_back_at_any_rate(self, form, fps, result, tmp_path):
        rng = np.random.default_rng(7)
        ends = np.sort(rng.choice(np.arange(1, 2000), (40, 3), replace=False), axis=1)
        rows = [(int(a), int(b), int(c), "surprise") for a, b, c in sorted(ends.tolist())[::6]]
        found = with_intervals(result, rows, fps, 2000)
        write, read = FORMS[form]
        path = write(found, tmp_path / f"clip{form}")
        for clock in (fps, found.times):
            back = read(path, clock, "anna")
            assert back.columns.tolist() == list(ANNOTATION_COLUMNS)
            assert rows_of(back) == rows
            assert set(back["subject"]) == {"anna"} and set(back["video"]) == {"clip"}

    def test_overlaps_edges_and_missing_frames(self, form, result, tmp_path):
        rows = [
            (0, 0, 12, "negative"),
            (5, 8, 30, "positive"),
            (31, 40, 41, "others"),
            (80, 85, 89, "surprise"),
        ]
        found = with_intervals(result, rows, gaps=(33, 34, 35, 70))
        write, read = FORMS[form]
        back = read(write(found, tmp_path / f"clip{form}"), found.times)
        assert rows_of(back) == rows

    def test_what_was_really_found_with_its_flags_and_near_misses(self, form, result, tmp_path):
        write, read = FORMS[form]
        back = read(write(result, tmp_path / f"clip{form}"), result.times)
        assert rows_of(back) == rows_of(result.table)
        nothing = replace(with_intervals(result, []), near=result.table, quality=DARK)
        assert rows_of(read(write(nothing, tmp_path / f"none{form}"), 30.0)) == []

    def test_what_is_something_else_is_refused_by_name(self, form, tmp_path):
        _, read = FORMS[form]
        path = tmp_path / f"odd{form}"
        with pytest.raises(MissingError, match="odd"):
            read(path, 30.0)
        for data in (
            b"",
            b"hello",
            b"\xff\xfe\x00",
            b"<a></b>",
            b'"ooTextFile" "TextGrid" 0 1 <exists> 3',
            bytes(50),
        ):
            path.write_bytes(data)
            with pytest.raises(InputError, match="odd"):
                read(path, 30.0)


class TestElan:
    def test_tiers_hold_no_overlaps_and_the_film_is_named(self, result, tmp_path):
        rows = [(0, 5, 12, "negative"), (5, 8, 30, "positive")]
        path = pipeline.write_eaf(with_intervals(result, rows), tmp_path / "a b" / "c.eaf")
        root = ElementTree.parse(path).getroot()
        slots = {s.get("TIME_SLOT_ID"): int(s.get("TIME_VALUE")) for s in root.iter("TIME_SLOT")}
        assert list(slots.values()) == sorted(slots.values())
        tiers = {}
        for tier in root.iter("TIER"):
            spans = [
                (slots[a.get("TIME_SLOT_REF1")], slots[a.get("TIME_SLOT_REF2")])
                for a in tier.iter("ALIGNABLE_ANNOTATION")
            ]
            tiers[tier.get("TIER_ID")] = spans
            assert all(a < b for a, b in spans)
            assert all(first[1] <= second[0] for first, second in pairwise(spans))
        assert tiers["micro-expression"] == [(0, 433)] and tiers["micro-expression 2"] == [(167, 1033)]
        film = root.find("HEADER/MEDIA_DESCRIPTOR")
        assert film.get("MEDIA_URL").endswith("clip.avi")

    def test_an_annotators_own_file(self, tmp_path):
        """Other tiers and words than ours, a later start of the film, a tier that leans on another."""
        path = tmp_path / "coder.eaf"
        path.write_text("""<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"><MEDIA_DESCRIPTOR MEDIA_URL="x" TIME_ORIGIN="1000"/></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="t2" TIME_VALUE="1400"/></TIME_ORDER>
<TIER TIER_ID="units"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2">
<ANNOTATION_VALUE>AU 4</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="emotion" PARENT_REF="units"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a2" ANNOTATION_REF="a1">
<ANNOTATION_VALUE>Disgust</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>""")
        assert rows_of(pipeline.read_eaf(path, 30.0)) == [(60, 65, 71, "negative")]
        with pytest.raises(InputError, match=r"'AU 4' in tier 'units' at 2\.000 s is no emotion"):
            pipeline.read_eaf(path, 30.0, tiers=["units"])
        with pytest.raises(InputError, match="no tier 'ME'; it has units, emotion"):
            pipeline.read_eaf(path, 30.0, tiers=["ME"])

    def test_no_entity_is_expanded(self, tmp_path):
        path = tmp_path / "bomb.eaf"
        path.write_text('<!DOCTYPE x [<!ENTITY a "aaaa">]><ANNOTATION_DOCUMENT>&a;</ANNOTATION_DOCUMENT>')
        with pytest.raises(InputError, match="document type"):
            pipeline.read_eaf(path, 30.0)


def test_praat_reads_the_short_form_and_utf16_too(tmp_path):
    text = '"ooTextFile"\n"TextGrid"\n0\n2\n<exists>\n1\n"IntervalTier"\n"Mimik ""x"""\n0\n2\n3\n0\n1\n""\n1\n1.4\n"happy"\n1.4\n2\n""\n'
    path = tmp_path / "short.TextGrid"
    path.write_bytes(b"\xff\xfe" + text.encode("utf-16-le"))
    assert rows_of(pipeline.read_textgrid(path, 30.0)) == [(30, 35, 41, "positive")]


def test_intervals_of_a_textgrid_leave_no_gap(result, tmp_path):
    path = pipeline.write_textgrid(result, tmp_path / "a.TextGrid")
    lines = path.read_text().splitlines()
    assert lines[:2] == ['File type = "ooTextFile"', 'Object class = "TextGrid"']
    spans = [float(line.split("=")[1]) for line in lines if line.startswith("            xm")]
    assert spans[0] == 0 and spans[1::2][:2] == spans[2::2][:2]
