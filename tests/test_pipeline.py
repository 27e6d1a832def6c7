"""One's own video, from file to intervals: the right second at any frame rate, honest about what is missing."""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from support.own_videos import landmarker, mouth_at, mouth_model, picture, write_clip

from metst_core import tables
from metst_core.cli import analyse as analyse_cli
from metst_core.errors import InputError, MissingError
from metst_core.inference import (
    Analysis,
    Calibration,
    QualityLog,
    TrainedModel,
    analyse,
    load_model,
    moves_much,
    quality_table,
    runs,
    save_model,
    timing_marks,
)
from metst_core.inference import analysis as pipeline
from metst_core.models import METSTPlus
from metst_core.motion import extract_motion, stream_motion
from metst_core.pipeline import LiveScore, clips_of
from metst_core.video import probe, read_frames, write_video

ROOT = Path(__file__).parent.parent


def analysed(path, model=None, **options):
    return analyse(path, model or mouth_model(), landmarker, progress=False, **options)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Three seconds at 30 frames per second; the mouth moves around 1.6 s."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.avi")


@pytest.fixture(scope="module")
def result(clip):
    return analysed(clip)


class TestResult:
    def test_the_movement_is_found_where_it_was_made(self, result):
        [row] = result.table.itertuples()
        assert row.apex == 48  # 1.6 s at 30 frames per second
        assert (row.onset, row.offset) == (48 - 5, 48 + 5)  # k_p = 5
        assert row.emotion == "surprise"
        assert row.apex_seconds == pytest.approx(1.6)

    def test_score_has_one_value_per_frame(self, result):
        assert result.score.shape == result.smoothed.shape == (90,)
        assert result.probabilities.shape == (90, 5)
        assert result.score[:40].max() < 0.1 < 0.9 < result.score[48]
        assert result.complete
        assert result.n_analysed == result.n_frames == 90

    def test_the_table_is_a_prediction_table(self, result):
        assert tuple(result.table.columns) == pipeline.RESULT_COLUMNS
        checked = tables.check_predictions(result.table)
        assert checked["video"].tolist() == ["clip"]

    def test_streaming_agrees_with_all_at_once(self, clip, result):
        """The stitched score is that of `predict_video` over `extract_motion`, the batch way."""
        windows = extract_motion(read_frames(clip), landmarker, "metst", 50)
        score, _ = pipeline.predict_video(mouth_model().network, windows, n_frames=90)
        assert np.allclose(result.score, score, atol=1e-6)

    def test_a_figure(self, result):
        truth = result.table[list(tables.ANNOTATION_COLUMNS)]
        assert isinstance(result.plot(), Figure)
        assert isinstance(result.plot(truth), Figure)


class TestFrameRates:
    @pytest.mark.parametrize("fps", [15.0, 25.0, 59.94])
    def test_the_same_second_at_any_rate(self, tmp_path, fps):
        """The model runs at 30 per second; frames go there and back."""
        path = write_clip(tmp_path / "clip.avi", seconds=2.2, fps=fps, apexes=(1.2,))
        result = analysed(path)
        [row] = result.table.itertuples()
        assert row.apex_seconds == pytest.approx(1.2, abs=1.5 / min(fps, 30))
        assert row.apex == pytest.approx(1.2 * fps, abs=1.5 * max(1, fps / 30))
        assert row.offset_seconds - row.onset_seconds == pytest.approx(10 / 30, abs=2 / min(fps, 30))
        assert result.score.shape == (probe(path).n_frames,)
        assert np.isfinite(result.score).all()
        assert ("low_frame_rate" in set(result.quality["flag"])) == (fps < 24)

    def test_a_folder_of_images_has_the_rate_that_one_says(self, tmp_path):
        for number in range(50):
            cv2.imwrite(str(tmp_path / f"{number}.png"), mouth_at(number / 25, (1.0,), picture())[..., ::-1])
        result = analysed(tmp_path, image_fps=25.0)
        assert result.table["apex_seconds"].tolist() == pytest.approx([1.0], abs=0.05)
        assert result.video == tmp_path.name


class TestEndings:
    def test_ctrl_c_keeps_what_is_done(self, clip, monkeypatch):
        """The first 25 frames of a window of 50 come with the first window; then someone presses Ctrl-C."""
        monkeypatch.setattr(pipeline, "_WINDOWS_AT_ONCE", 1)
        seen = []

        def impatient(image):
            seen.append(image)
            if len(seen) > 10:  # a look every 10 frames, two calls per window: frame 50 is reached
                raise KeyboardInterrupt
            return landmarker(image)

        result = analyse(clip, mouth_model(), impatient, progress=False)
        assert not result.complete
        assert result.trouble == pipeline.STOPPED
        assert 0 < result.n_analysed < 90
        assert np.isfinite(result.score[: result.n_analysed]).all()
        assert np.isnan(result.score[result.n_analysed :]).all()
        [row] = result.quality[result.quality["flag"] == "not_analysed"].itertuples()
        assert (row.first, row.last) == (result.n_analysed, 89)

    def test_ctrl_c_before_anything_is_done(self, clip):
        def at_once(image):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            analyse(clip, mouth_model(), at_once, progress=False)

    def test_a_video_that_breaks_on_the_way(self, clip, monkeypatch):
        monkeypatch.setattr(pipeline, "_WINDOWS_AT_ONCE", 1)

        def breaking(path):
            for number, frame in enumerate(read_frames(path)):
                if number == 80:
                    raise InputError(f"{path}: the frame size changes on the way")
                yield frame

        monkeypatch.setattr(pipeline, "read_frames", breaking)
        result = analysed(clip)
        assert not result.complete
        assert "frame size" in result.trouble
        assert result.table["apex"].tolist() == [48]

    def test_it_can_be_watched_growing(self, clip, monkeypatch):
        monkeypatch.setattr(pipeline, "_WINDOWS_AT_ONCE", 1)
        analysis = Analysis(clip, mouth_model(), landmarker)
        with pytest.raises(InputError, match="nothing is analysed"):
            analysis.result()
        done = [(n, analysis.result().n_analysed) for n in analysis]
        assert [a for a, _ in done] == [b for _, b in done] == sorted(a for a, _ in done)
        assert done[-1] == (90, 90)
        assert analysis.result().complete

    def test_memory_holds_few_frames_at_a_time(self, tmp_path, monkeypatch):
        """Frames that are alive while a video streams by: a handful, not the video."""
        import gc
        import weakref

        alive, most = weakref.WeakSet(), 0

        class Frame(np.ndarray):
            pass

        def counted(path):
            nonlocal most
            for frame in read_frames(path):
                frame = frame.view(Frame)
                alive.add(frame)
                most = max(most, len(alive))
                yield frame

        Frame.__hash__ = lambda self: id(self)
        Frame.__eq__ = lambda self, other: self is other
        monkeypatch.setattr(pipeline, "read_frames", counted)
        monkeypatch.setattr(pipeline, "_WINDOWS_AT_ONCE", 1)
        path = write_clip(tmp_path / "clip.avi", seconds=2.5)
        analyse(path, mouth_model(), lambda image: None, progress=False)
        gc.collect()
        assert 0 < most < 10


class TestModels:
    def test_save_and_load_keep_every_constant(self, tmp_path):
        network = METSTPlus(width=4, d_state=2, blocks_per_stage=1)
        model = TrainedModel(
            network, k_p=4, threshold=0.3, calibration=Calibration(5.0, -2.0, {"n": 3}), name="mine"
        )
        again = load_model(save_model(model, tmp_path / "mine.safetensors"))
        assert replace(again, network=network) == model
        for key, value in network.state_dict().items():
            assert (again.network.state_dict()[key] == value).all()

    def test_nothing_stored_is_a_pickle(self, tmp_path):
        path = save_model(
            TrainedModel(METSTPlus(width=4, d_state=2, blocks_per_stage=1)), tmp_path / "m.safetensors"
        )
        assert path.read_bytes()[8:9] == b"{"  # safetensors: a length and JSON
        json.loads(path.with_suffix(".json").read_text())

    def test_weights_without_constants_are_uncalibrated(self, tmp_path):
        network = METSTPlus(width=4, d_state=2, blocks_per_stage=1)
        path = save_model(TrainedModel(network), tmp_path / "m.safetensors")
        path.with_suffix(".json").unlink()
        model = load_model(path)
        assert (model.features, model.calibration, model.threshold) == ("metst_plus", None, None)

    @pytest.mark.parametrize("text", ["no json", "[1]", '{"fps": 30, "wrong": 1}', '{"features": "metst"}'])
    def test_constants_that_do_not_fit_are_refused_by_name(self, tmp_path, text):
        path = save_model(
            TrainedModel(METSTPlus(width=4, d_state=2, blocks_per_stage=1)), tmp_path / "m.safetensors"
        )
        path.with_suffix(".json").write_text(text)
        with pytest.raises(InputError, match=r"m\.json"):
            load_model(path)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(MissingError, match="gone"):
            load_model(tmp_path / "gone.safetensors")

    def test_the_bundled_weights_are_small_calibrated_and_described(self):
        model = load_model()
        assert pipeline.BUNDLED.stat().st_size < 5e6
        assert model.calibration.slope > 0
        assert model.features == "metst_plus"
        assert model.card["held_out"]
        page = (pipeline.BUNDLED.parents[2] / "data" / "model_card.md").read_text()
        for text in ("synthetic", "not for decisions about people", "does not detect lies"):
            assert text in page
        for name, measures in model.card["held_out"].items():
            assert f"{measures['spotting_f1']:.3f}" in page, f"the card does not give the number of: {name}"
            low, high = measures["intervals"]["strs"]
            assert low <= measures["strs"] <= high
            assert f"{measures['strs']:.3f} [{low:.3f}, {high:.3f}]" in page
        assert str(model.card["micro_expressions"]) in page

    def test_fine_tuning_changes_a_copy(self, clip):
        from metst_core.extraction import MotionSet

        base = TrainedModel(
            METSTPlus(width=4, d_state=2, blocks_per_stage=1), calibration=Calibration(1.0, 0.0)
        )
        before = {k: v.clone() for k, v in base.network.state_dict().items()}
        windows = extract_motion(read_frames(clip), landmarker, "metst_plus", 50)
        annotations = pd.DataFrame(
            [("a", "b", 42, 48, 54, "surprise")], columns=list(tables.ANNOTATION_COLUMNS)
        )
        videos = pd.DataFrame([("a", "b", 30.0, 90, "")], columns=list(tables.VIDEO_COLUMNS))
        motion = MotionSet({("a", "b"): windows}, annotations, videos, "metst_plus", 50, 30.0)
        tuned = pipeline.fine_tune(base, motion, epochs=25, learning_rate=2e-2)
        assert all((base.network.state_dict()[k] == v).all() for k, v in before.items())
        assert tuned.calibration is None
        score, _ = pipeline.predict_video(tuned.network, windows, n_frames=90)
        inside = np.r_[43:54]
        assert score[inside].mean() > np.delete(score, inside).mean() + 0.2
        first, second = (pipeline.fine_tune(base, motion, epochs=1).network.state_dict() for _ in range(2))
        assert all((first[k] == second[k]).all() for k in before)
        statistics = [k for k in before if "running" in k]
        assert statistics
        assert all((first[k] == before[k]).all() for k in statistics)  # those of a handful would be worse
        with pytest.raises(InputError, match="no annotation"):
            pipeline.fine_tune(base, replace(motion, annotations=annotations.iloc[:0]))


class TestCalibration:
    def test_recovers_the_curve_that_made_the_data(self):
        rng = np.random.default_rng(0)
        scores = rng.uniform(0, 1, 20000)
        truth = Calibration(8.0, -4.0)
        fitted = Calibration.fit(scores, rng.uniform(size=20000) < truth(scores))
        assert fitted.slope == pytest.approx(8, rel=0.05)
        assert fitted(np.array([0.5]))[0] == pytest.approx(0.5, abs=0.02)

    @given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000))
    @settings(max_examples=25, deadline=None)
    def test_stays_a_probability_even_if_scores_separate_perfectly(self, n_true, n_false, seed):
        rng = np.random.default_rng(seed)
        scores = np.concatenate([rng.uniform(0.6, 1, n_true), rng.uniform(0, 0.4, n_false)])
        fitted = Calibration.fit(scores, np.arange(len(scores)) < n_true)
        said = fitted(np.linspace(0, 1, 50))
        assert ((said > 0) & (said < 1)).all()
        assert (np.diff(said) >= 0).all()
        # Platt's targets keep the mean of what is said between those of the two kinds.
        expected = (n_true * (n_true + 1) / (n_true + 2) + n_false / (n_false + 2)) / (n_true + n_false)
        assert fitted(scores).mean() == pytest.approx(expected, abs=1e-3)

    def test_needs_both_kinds(self):
        with pytest.raises(InputError, match="true and false"):
            Calibration.fit(np.array([0.1, 0.2]), np.array([True, True]))


class TestDecoding:
    @given(st.floats(0.02, 0.98), st.integers(0, 10_000))
    @settings(max_examples=40, deadline=None)
    def test_the_own_threshold_is_absolute(self, threshold, seed):
        """Exactly the peaks at or above the threshold (and the mean) of the smoothed score are found."""
        from scipy.signal import find_peaks

        from metst_core.decoding import smooth

        rng = np.random.default_rng(seed)
        score = np.clip(np.convolve(rng.normal(0.3, 0.6, 200), np.ones(6) / 6, "same"), 0, 1)
        model = mouth_model(threshold=threshold)
        found = pipeline.decode_trace(model, score, np.full((200, 5), 0.2))
        smoothed = smooth(score, 5)
        peaks, _ = find_peaks(smoothed, height=max(threshold, smoothed.mean()), distance=5)
        assert found["apex"].tolist() == peaks.tolist()

    def test_a_flat_score_holds_nothing(self):
        assert pipeline.decode_trace(mouth_model(), np.zeros(80), np.full((80, 5), 0.2)).empty


class TestQuality:
    def test_runs_are_put_together_and_back(self):
        mark = np.array([1, 1, 0, 0, 1, 0, 1], bool)
        assert list(runs(mark)) == [(0, 1), (4, 4), (6, 6)]
        assert list(runs(~mark)) == [(2, 3), (5, 5)]
        table = quality_table({"too_dark": mark}, np.arange(7) / 10)
        assert table["share"].sum() == pytest.approx(4 / 7)
        assert table["last_seconds"].tolist() == pytest.approx([0.1, 0.4, 0.6])

    def test_gaps_and_slow_rates(self):
        seconds = np.delete(np.arange(60) / 30, np.arange(20, 30))
        marks = timing_marks(seconds, 30.0)
        assert np.flatnonzero(marks["frames_missing"]).tolist() == [19, 20]
        assert not marks["low_frame_rate"].any()
        slow = timing_marks(np.arange(20) / 10, 10.0)
        assert slow["low_frame_rate"].all()
        assert not slow["frames_missing"].any()

    def test_each_flag_has_its_frames(self):
        from metst_core.inference import LIMITS, LOOK_EVERY, Face

        def face(x=50.0, size=60.0, nose=0.0):
            eyes = ((x - size / 2, 40.0), (x + size / 2, 40.0))
            return Face((x - size, 10, x + size, 90), eyes, (x + nose * size, 60.0))

        seen = {
            0: [face()], 1: [], 2: [face(size=LIMITS["smallest"] - 1)], 3: [face(nose=0.4)],
            4: [face(), face(x=150)], 5: [face(x=150), face()], 6: [face(x=120)], 7: [face(x=120)],
        }  # fmt: skip
        looks = iter(seen.values())
        log = QualityLog(lambda image: next(looks), 30.0)
        n = len(seen) * LOOK_EVERY
        for number in range(n):
            dark = number // LOOK_EVERY == 7
            log.look(np.full((100, 200, 3), 10 if dark else 120, np.uint8))
        marks = log.flagged(np.ones(n, bool), np.zeros(n, bool))
        expected = {
            1: "face_lost",
            2: "face_too_small",
            3: "face_turned",
            4: "several_faces",
            6: "too_much_motion",
            7: "too_dark",
        }
        for look, flag in expected.items():
            middle = look * LOOK_EVERY
            assert marks[flag][middle], flag
            assert not marks[flag][: middle - LOOK_EVERY // 2].any(), flag
        assert not any(mark[:4].any() for mark in marks.values())

    def test_motion_of_everything_is_too_much(self):
        motion = np.zeros((10, 4))
        motion[:, 1] = 9.0  # every ROI
        motion[0, 2] = 9.0  # one ROI only: that may be an expression
        assert moves_much(motion).tolist() == [False, True, False, False]

    def test_frames_without_a_face_have_score_zero_and_a_flag(self, clip):
        result = analyse(clip, mouth_model(), lambda image: None, progress=False)
        assert not result.has_face
        assert result.table.empty
        assert (result.score == 0).all()
        [row] = result.quality[result.quality["flag"] == "face_lost"].itertuples()
        assert (row.first, row.last) == (0, 89)
        assert "no face" in result.summary()


@pytest.fixture(scope="module")
def page(result, tmp_path_factory):
    return result.to_html(tmp_path_factory.mktemp("page") / "page.html").read_text()


class TestPage:
    def test_it_asks_for_nothing_from_anywhere(self, page):
        assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?!data:|#)[^"'\s>]+""", page)
        assert not re.findall(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", page)
        outside = set(re.findall(r"https?://[^\"' )]+", page))
        assert outside <= {"http://www.w3.org/2000/svg"}  # a name, not an address

    def test_it_says_what_it_is_not(self, page):
        assert pipeline.NOTICE.replace("'", "&#x27;") in page

    def test_its_data_are_those_of_the_result(self, page, result):
        data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))
        assert data["score"] == np.round(result.score, 3).tolist()
        [clip] = data["clips"]
        assert clip["numbers"][clip["apex"]] == 48
        assert len(clip["frames"]) == len(clip["numbers"]) == 11 + 2 * 8
        assert set(clip["boxes"]) == {"left_brow", "right_brow", "mouth", "left_wing", "right_wing"}

    def test_no_place_is_left_unfilled(self, page):
        body = page.split("<script>")[0]
        assert not re.findall(
            r"\$(title|name|notice|facts|verdict|intervals|quality|cards|method|gain|data)\b", body
        )

    def test_names_cannot_become_markup(self, clip, tmp_path):
        path = tmp_path / "<script>alert(1)<∕script>&.avi"
        shutil.copy(clip, path)
        page = replace(analysed(path)).to_html(tmp_path / "page.html").read_text()
        assert "<script>alert" not in page

    def test_a_clip_is_measured_from_its_first_frame(self, result):
        [clip] = clips_of(result)
        down = clip.motion[2 * list(clip.boxes).index("mouth") + 1]
        assert down[0] == 0
        assert abs(int(down.argmax()) - clip.apex) <= 1
        assert clip.flow.shape[1] == 4


class TestOutputs:
    def test_json_csv_megc_and_film_agree(self, result, tmp_path):
        stored = json.loads(result.to_json(tmp_path / "r.json").read_text())
        assert stored["intervals"][0]["apex"] == 48
        assert stored["intervals"][0]["confidence"] is None
        assert len(stored["score"]) == 90
        assert pd.read_csv(result.to_csv(tmp_path / "r.csv"))["apex"].tolist() == [48]
        assert result.to_csv().splitlines()[0] == ",".join(pipeline.RESULT_COLUMNS)
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


def run_command(*arguments):
    parser = argparse.ArgumentParser()
    analyse_cli.add_parser(parser.add_subparsers(required=True))
    options = parser.parse_args(["analyse", *map(str, arguments), "--quiet"])
    return options.command(options)


class TestCommand:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        """The network and the landmarker of these tests in the place of the real ones."""
        monkeypatch.setattr(pipeline, "load_model", lambda model="bundled": mouth_model())
        monkeypatch.setattr(pipeline, "MediaPipeLandmarker", lambda: landmarker)
        monkeypatch.setattr(pipeline, "MediaPipeFaceFinder", lambda: pipeline.LandmarkFaceFinder(landmarker))

    def test_one_bad_video_does_not_stop_the_others(self, clip, tmp_path, capsys):
        empty = tmp_path / "empty.mp4"
        empty.touch()
        code = run_command(
            empty, clip, tmp_path / "gone.mp4", "--csv", tmp_path / "a.csv", "--json", tmp_path / "a.json",
            "--html", tmp_path / "pages", "--megc", tmp_path / "m.csv",
        )  # fmt: skip
        assert code == analyse_cli.PROBLEM
        out, err = capsys.readouterr()
        assert "empty.mp4" in err
        assert "gone.mp4" in err
        assert "1 of 3 videos analysed, 1 intervals found" in out
        assert pd.read_csv(tmp_path / "a.csv")["apex"].tolist() == [48]
        assert len(json.loads((tmp_path / "a.json").read_text())["videos"]) == 1
        assert (tmp_path / "pages" / "clip.html").is_file()
        assert pipeline.NOTICE in err

    def test_all_well_is_zero(self, clip, tmp_path, capsys):
        code = run_command(clip, "--annotated-video", tmp_path / "film.avi", "--html", tmp_path / "p.html")
        assert code == analyse_cli.DONE
        assert (tmp_path / "film.avi").is_file()
        assert "1.43 to    1.77 s" in capsys.readouterr().out

    def test_a_place_that_cannot_be_written_is_told_before_the_work(self, clip, tmp_path, monkeypatch):
        monkeypatch.setattr(pipeline, "analyse", lambda *a, **k: pytest.fail("worked before looking"))
        for target, text in (
            (tmp_path, "folder"),
            (clip / "x.csv", "cannot be written"),
            ("a" * 300, "cannot be written"),
        ):
            with pytest.raises(InputError, match=text):
                run_command(clip, "--csv", target)
        with pytest.raises(InputError, match="two outputs"):
            run_command(clip, "--csv", tmp_path / "x", "--json", tmp_path / "x")
        with pytest.raises(InputError, match="video to analyse"):
            run_command(clip, "--annotated-video", clip)
        with pytest.raises(InputError, match=r"film\.gif.*end it with one of \.mp4"):
            run_command(clip, "--annotated-video", tmp_path / "film.gif")
        assert probe(clip).n_frames == 90

    def test_a_full_disk_loses_nothing_else(self, clip, tmp_path, capsys, monkeypatch):
        """The system's answer is made up (ENOSPC while the table is written); the rest is real."""
        import errno

        def full(results, path):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(pipeline, "write_csv", full)
        code = run_command(clip, "--csv", tmp_path / "a.csv", "--json", tmp_path / "a.json")
        assert code == analyse_cli.PROBLEM
        out, err = capsys.readouterr()
        assert "No space left" in err
        assert "frames 43 to 53" in out
        assert (tmp_path / "a.json").is_file()
        assert not (tmp_path / "a.csv").exists()

    def test_ctrl_c_writes_what_is_done(self, clip, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(pipeline, "_WINDOWS_AT_ONCE", 1)
        calls = []

        def impatient(image):
            calls.append(image)
            if len(calls) > 4:  # two calls per window: frame 50 is reached
                raise KeyboardInterrupt
            return landmarker(image)

        monkeypatch.setattr(pipeline, "MediaPipeLandmarker", lambda: impatient)
        code = run_command(clip, clip, "--json", tmp_path / "a.json")
        assert code == analyse_cli.STOPPED
        [only] = json.loads((tmp_path / "a.json").read_text())["videos"]
        assert not only["complete"]
        assert only["score"][-1] is None
        assert "what was done is kept" in capsys.readouterr().err

    def test_ctrl_c_while_a_film_is_written_keeps_the_tables(self, clip, tmp_path, capsys, monkeypatch):
        def stopped(*arguments, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr(pipeline.AnalysisResult, "to_video", stopped)
        films = tmp_path / "films"
        code = run_command(clip, "gone.mp4", "--csv", tmp_path / "a.csv", "--annotated-video", films)
        assert code == analyse_cli.STOPPED
        assert pd.read_csv(tmp_path / "a.csv")["apex"].tolist() == [48]
        assert "what was done is kept; not begun or not kept: gone.mp4" in capsys.readouterr().err
        assert not list(films.glob("*"))

    def test_the_same_video_named_twice_is_analysed_once(self, clip, capsys):
        assert run_command(clip, clip) == analyse_cli.DONE
        assert capsys.readouterr().out.count("apex 48") == 1

    def test_help_says_what_it_is_not(self, capsys):
        with pytest.raises(SystemExit):
            run_command("--help")
        assert "does not detect lies" in capsys.readouterr().out


def test_a_real_ctrl_c_keeps_what_is_done(tmp_path):
    """The command as a process of its own, with its own weights and landmarks; SIGINT after the first progress."""
    portrait = cv2.resize(skimage.data.astronaut()[0:260, 100:360], (320, 320))
    write_video(tmp_path / "clip.mp4", [portrait] * 600, 30)
    # A shell that starts its jobs in the background hands down that SIGINT is ignored.
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from metst_core.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["analyse", "clip.mp4", "other.mp4", "--csv", "a.csv", "--json", "a.json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        said = b""
        while not re.search(rb"\b[1-9]\d*/600 ", said):
            chunk = os.read(process.stderr.fileno(), 4096)
            assert chunk, said.decode()
            said += chunk
        process.send_signal(signal.SIGINT)
        out, rest = (part.decode() for part in process.communicate())
    assert process.returncode == analyse_cli.STOPPED, rest
    assert "NOT COMPLETE" in out
    assert "not begun or not kept: other.mp4" in rest
    assert "Traceback" not in rest
    [only] = json.loads((tmp_path / "a.json").read_text())["videos"]
    assert 0 < only["n_analysed"] < 600
    assert [value is None for value in only["score"]] == [n >= only["n_analysed"] for n in range(600)]
    assert (tmp_path / "a.csv").is_file()


def test_two_threads_measure_the_same_windows(clip):
    """Bit for bit, and the landmarker is never asked for two images at the same time."""
    inside = threading.Lock()

    def alone(image):
        assert inside.acquire(blocking=False), "two images at the same time"
        try:
            time.sleep(0.001)
            return landmarker(image)
        finally:
            inside.release()

    one, two = (
        list(stream_motion(read_frames(clip), alone, "metst_plus", 20, n_threads=n_threads))
        for n_threads in (1, 2)
    )
    assert [part.start for part in one] == [part.start for part in two]
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.motion, b.motion)
        assert np.array_equal(a.has_face, b.has_face)
    with pytest.raises(InputError, match="n_threads"):
        stream_motion(read_frames(clip), alone, n_threads=3)


class TestRecipe:
    """The committed recipe of the bundled weights, on made-up numbers and in its smallest form."""

    def test_the_threshold_and_confidence_come_from_held_out_traces(self):
        from metst_core.experiment import recipe as bundled

        rng = np.random.default_rng(3)
        traces, rows = {}, []
        for group in range(4):
            for video in range(4):
                score = np.full(200, 0.02)
                for place in (40, 100, 160):
                    height, true = (0.9, True) if rng.uniform() < 0.5 else (0.3, rng.uniform() < 0.2)
                    score[place - 4 : place + 5] = height
                    if true:
                        rows.append((f"g{group}", f"v{video}", place - 5, place, place + 5, "surprise"))
                traces[f"g{group}", f"v{video}"] = (score, np.full((200, 5), 0.2))
        annotations = pd.DataFrame(rows, columns=list(tables.ANNOTATION_COLUMNS))
        model = bundled.calibrate(mouth_model(threshold=None), traces, annotations)
        assert 0.3 < model.threshold < 0.9  # between false peaks and true ones
        low, high = model.calibration(np.array([0.27, 0.81]))  # 0.3 and 0.9, smoothed over 10 frames
        assert low < 0.4 < 0.8 < high
        assert model.calibration.evidence["n_true"] <= len(rows)
        assert model.calibration.evidence["expected_calibration_error"] < 0.15

    def test_a_group_is_measured_without_its_own_half_length(self):
        from metst_core.experiment import recipe as bundled

        rows = [("long", "v", 10, 20, 40, "surprise"), ("short", "v", 10, 13, 17, "others")]
        annotations = pd.DataFrame(rows, columns=list(tables.ANNOTATION_COLUMNS))
        assert bundled._without(mouth_model(), annotations, "long").k_p == 4  # (17 - 10 + 1) / 2
        assert bundled._without(mouth_model(), annotations, "short").k_p == 15  # (40 - 10 + 1) / 2, down

    def test_it_runs_from_nothing_and_goes_on_where_it_was(self, tmp_path, monkeypatch):
        """Generation and extraction are tested elsewhere; here they are made up."""
        from support.made_up_motion import made_up_motion

        from metst_core.experiment import recipe as bundled
        from metst_core.training import TrainConfig

        motion = made_up_motion(n_subjects=4, n_videos=1, features="metst_plus")
        monkeypatch.setattr(bundled, "generate", lambda *a, **k: None)
        monkeypatch.setattr(bundled, "extract_dataset", lambda *a, **k: motion)
        train = TrainConfig(
            width=4, d_state=2, blocks_per_stage=1, epochs=3, batch_size=8, learning_rate=1e-2
        )
        recipe = bundled.Recipe(n_subjects=4, n_videos=1, n_groups=2, train=train)
        first = bundled.build(recipe, tmp_path)
        again = bundled.build(recipe, tmp_path)  # the folds are read back
        assert first.threshold == again.threshold
        assert first.calibration == again.calibration
        for key, value in first.network.state_dict().items():
            assert (again.network.state_dict()[key] == value).all()
        assert first.card["subjects"] == 4
        assert (first.window, first.fps) == (16, 30.0)
        page = tmp_path / "card.md"
        page.write_text(f"before\n{bundled._BEGIN}\nold numbers\n{bundled._END}\nafter\n")
        for _ in range(2):  # writing again replaces, it does not add
            text = bundled.write_card(first.card, first.calibration.evidence, page).read_text()
        assert text.startswith("before\n")
        assert text.endswith("\nafter\n")
        assert "old numbers" not in text
        assert text.count("| own threshold") == 1
        page.write_text("no marks")
        with pytest.raises(InputError, match="card.md"):
            bundled.write_card(first.card, first.calibration.evidence, page)


class TestLive:
    def test_frame_by_frame_gives_the_scores_of_a_file(self, clip, result):
        live = LiveScore(mouth_model(), landmarker)
        for number, frame in enumerate(read_frames(clip)):
            live.push(frame, 7.0 + number / 30)
        live.finish()
        assert live.dropped == 0
        assert np.allclose(live.score, result.score, atol=1e-6)
        assert live.delay > 0

    def test_a_slower_camera_is_brought_to_the_rate_of_the_model(self, clip, result):
        live = LiveScore(mouth_model(), landmarker)
        for number, frame in enumerate(read_frames(clip)):
            if number % 2 == 0:
                live.push(frame, number / 30)
        live.finish()
        assert abs(len(live.score) - 90) <= 2
        assert abs(int(live.score.argmax()) - int(result.score.argmax())) <= 2

    def test_the_camera_is_told_scores_that_stay(self, clip, result, monkeypatch):
        """What the widget sends to the browser: the smoothed score up to where later frames cannot change it."""
        from metst_core.pipeline import live

        monkeypatch.setattr(live, "MediaPipeLandmarker", lambda: landmarker)
        model = mouth_model()
        widget, told = live.camera_widget(model, seconds=1.0), []
        monkeypatch.setattr(type(widget), "send", lambda self, content: told.append(content))
        widget._heard(widget, {"kind": "start"}, [])
        for number, frame in enumerate(read_frames(clip)):
            picture = cv2.imencode(".png", frame[..., ::-1])[1].tobytes()
            widget._heard(widget, {"kind": "frame", "seconds": number / 30}, [picture])
        widget.live.finish()
        widget._tell(widget.live)
        last = told[-1]
        assert last["score"] == pytest.approx(result.smoothed[90 - 5 - 30 : 90 - 5], abs=1e-3)  # k_p = 5
        assert last["delay"] >= model.k_p / model.fps
        assert (last["rate"], last["span"], last["threshold"]) == (30.0, 1.0, 0.2)
        widget._heard(widget, {"kind": "stop"}, [])
        assert widget.live is None

    def test_frames_that_come_too_fast_are_dropped_and_counted(self):
        slow = threading.Event()

        def waiting(image):
            slow.wait(10)

        live = LiveScore(mouth_model(), waiting)
        for number in range(150):
            live.push(np.zeros((20, 20, 3), np.uint8), number / 30)
        slow.set()
        assert 150 - 90 - 2 <= live.dropped < 150
        live.finish()

    def test_what_goes_wrong_in_the_thread_is_told(self):
        def broken(image):
            raise InputError("no such camera")

        live = LiveScore(mouth_model(), broken)
        live.push(np.zeros((20, 20, 3), np.uint8), 0.0)
        with pytest.raises(InputError, match="no such camera"):
            live.finish()


def test_every_flag_of_a_result_is_a_known_one(result, clip):
    from metst_core.inference import FLAGS, meaning

    assert all(meaning(flag) and "{" not in meaning(flag) for flag in FLAGS)
    assert set(result.quality["flag"]) <= set(FLAGS)


def test_a_dark_video_is_flagged(tmp_path):
    still = (picture() * 0.1).astype(np.uint8)
    write_video(tmp_path / "dark.avi", (mouth_at(t / 30, (), still) for t in range(20)), 30)
    assert "too_dark" in set(analysed(tmp_path / "dark.avi").quality["flag"])
