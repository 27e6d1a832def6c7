"""A result and everything that it can be written as."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from support.own_videos import analysed, landmarker, mouth_model

from metst_core import tables
from metst_core.inference import RESULT_COLUMNS, Analysis
from metst_core.pipeline import AnalysisResult
from metst_core.video import probe, read_frames, write_video


class TestOutputs:
    def test_json_csv_megc_and_film_agree(self, result, tmp_path):
        stored = json.loads(result.to_json(tmp_path / "r.json").read_text())
        assert stored["intervals"][0]["apex"] == 48
        assert stored["intervals"][0]["confidence"] is None
        assert len(stored["score"]) == 90
        assert pd.read_csv(result.to_csv(tmp_path / "r.csv"))["apex"].tolist() == [48]
        assert result.to_csv().splitlines()[0] == ",".join(RESULT_COLUMNS)
        lines = result.to_megc(tmp_path / "m.csv").read_text().splitlines()
        assert lines == ["subject,video,onset,offset,emotion", f"{result.subject},clip,44,54,surprise"]
        film = result.to_video(tmp_path / "film.avi")
        assert probe(film).n_frames == 90
        assert probe(film).fps == pytest.approx(30)
        frames = list(read_frames(film))
        # The frame of the interval carries a border in the emotion's colour, others do not.
        assert not np.array_equal(frames[48][1, 100], frames[10][1, 100])
        assert np.array_equal(
            frames[10][:160, 80:240][40:], next(iter([list(read_frames(result.path))[10][40:]]))
        )


def test_the_annotated_film_keeps_its_sound_and_frames_the_followed_face(tmp_path, result):
    """A film with a tone, in which a second face is said to be: H.264 and AAC, which browsers play."""
    import av

    film = tmp_path / "film.mp4"
    with av.open(str(tmp_path / "tone.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        for block in range(140):
            wave = np.sin(np.arange(1024) / 20)[None].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, block * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    write_video(film, (f[:160, :160] for f in read_frames(result.path)), 30, sound=tmp_path / "tone.mp4")
    several = replace(result.measured, n_faces=np.full(90, 2.0))
    written = replace(result, path=film, measured=several).to_video(tmp_path / "annotated.mp4")
    with av.open(str(written)) as container:
        assert [s.codec_context.name for s in container.streams] == ["h264", "aac"]
        assert float(container.streams.audio[0].duration * container.streams.audio[0].time_base) > 2.5
    picture = next(iter(read_frames(written)))[100, 80 + 34 : 80 + 38].astype(
        int
    )  # the left edge of the face, x = 35
    assert (picture[:, 0] - picture[:, 2] > 60).any()  # yellow


class TestWords:
    def test_one_line_says_what_it_is(self, clip, result):
        assert repr(result) == f"AnalysisResult({str(clip)!r}: 3.0 s, 1 interval)"
        lost = analysed(clip, landmarker=lambda image: None)
        assert "0 intervals, no face was found; flags: face_lost" in repr(lost)
        assert "\n" not in repr(lost)
        short = replace(result, complete=False, trouble="stopped", n_analysed=50)
        assert "50 of 90 frames analysed (stopped)" in repr(short)

    def test_a_notebook_shows_the_intervals(self, result):
        shown = result._repr_html_()
        assert re.findall(r"<td>(\d+ to \d+)</td>", shown) == ["43 to 53"]
        assert "<td>confidence unknown</td>" in shown

    def test_it_can_be_asked_for_while_the_analysis_runs(self, clip, result):
        growing = Analysis(clip, mouth_model(window=20), landmarker)
        counts = [AnalysisResult.of(growing).n_analysed for _ in growing]
        assert counts[0] < counts[-1] == 90


class TestFigure:
    def test_it_shows_score_intervals_and_truth(self, result):
        truth = result.table[list(tables.ANNOTATION_COLUMNS)]
        [axes] = result.plot(truth).axes
        lines = {line.get_label(): line.get_ydata() for line in axes.lines}
        assert np.array_equal(lines["score"], result.score)
        assert np.array_equal(lines["smoothed score"], result.smoothed)
        bands = sorted(
            (p.get_y() > 1, p.get_x(), p.get_width()) for p in axes.patches if p.get_height() == 0.06
        )
        # frames 43 to 53 at 30 per second, the last one included: the truth below, the same above
        assert np.allclose(bands, [(below, 43 / 30, 11 / 30) for below in (False, True)])

    def test_flags_have_lanes_and_a_name_may_hold_a_dollar(self, clip):
        lost = analysed(clip, landmarker=lambda image: None)
        figure = replace(lost, path=lost.path.with_name("a $x^ $ b.avi")).plot()
        assert isinstance(figure, Figure)
        figure.canvas.draw()
        assert "face lost" in [text.get_text() for text in figure.axes[0].texts]
