"""From a file to intervals: the right second at any frame rate, and honest about what is missing."""

import gc
import itertools
import threading
import time
import weakref

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks
from support.own_videos import analysed, landmarker, mouth_at, mouth_model, picture, write_clip

from metst_core import flow, tables
from metst_core.decoding import smooth
from metst_core.errors import InputError
from metst_core.inference import RESULT_COLUMNS, STOPPED, Analysis, Calibration, analysis, decode_trace
from metst_core.models import predict_video
from metst_core.motion import extract_motion, stream_motion
from metst_core.video import probe, read_frames


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
        assert tuple(result.table.columns) == RESULT_COLUMNS
        checked = tables.check_predictions(result.table)
        assert checked["video"].tolist() == ["clip"]

    def test_streaming_agrees_with_all_at_once(self, clip, result):
        """The stitched score is that of `predict_video` over `extract_motion`, the batch way."""
        windows = extract_motion(read_frames(clip), landmarker, "metst", 50)
        score, _ = predict_video(mouth_model().network, windows, n_frames=90)
        assert np.allclose(result.score, score, atol=1e-6)

    def test_the_confidence_is_that_of_the_calibration(self, clip, result):
        calibration = Calibration(4.0, -2.0)
        found = analysed(clip, mouth_model(calibration=calibration)).table
        assert found["confidence"].tolist() == calibration(result.table["score"].to_numpy()).tolist()
        assert result.table["confidence"].isna().all()


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
    def test_ctrl_c_keeps_what_is_done(self, clip):
        """All 50 frames of the first window come with it; then someone presses Ctrl-C."""
        seen = []

        def impatient(image):
            seen.append(image)
            if len(seen) > 4:  # two calls per window, which start every 25 frames: frame 50 is reached
                raise KeyboardInterrupt
            return landmarker(image)

        result = analysed(clip, landmarker=impatient, face_finder=lambda image: [])
        assert not result.complete
        assert result.trouble == STOPPED
        assert result.n_analysed == 50
        assert np.isfinite(result.score[: result.n_analysed]).all()
        assert np.isnan(result.score[result.n_analysed :]).all()
        [row] = result.quality[result.quality["flag"] == "not_analysed"].itertuples()
        assert (row.first, row.last) == (result.n_analysed, 89)

    def test_ctrl_c_before_anything_is_done(self, clip):
        def at_once(image):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            analysed(clip, landmarker=at_once)

    def test_a_video_that_breaks_on_the_way(self, clip, tmp_path):
        for number, frame in enumerate(read_frames(clip)):
            whole = frame if number != 80 else frame[:100]
            cv2.imwrite(str(tmp_path / f"{number:03d}.png"), whole[..., ::-1])
        result = analysed(tmp_path)
        assert not result.complete
        assert "080.png" in result.trouble
        assert result.n_analysed == 75  # windows start every 25 frames
        assert result.table["apex"].tolist() == [48]

    def test_it_can_be_watched_growing(self, clip):
        growing = Analysis(clip, mouth_model(window=20), landmarker)
        with pytest.raises(InputError, match="nothing is analysed"):
            growing.result()
        done = [(n, growing.result().n_analysed) for n in growing]
        assert len(done) > 1
        assert [a for a, _ in done] == [b for _, b in done] == sorted(a for a, _ in done)
        assert done[-1] == (90, 90)
        assert growing.result().complete

    def test_memory_holds_few_frames_at_a_time(self, tmp_path, monkeypatch):
        """Frames that are alive while a video streams by: a handful, not the video."""
        alive, most = weakref.WeakSet(), 0

        class Frame(np.ndarray):
            pass

        def counted(path, numbers):
            nonlocal most
            for frame in read_frames(path, numbers):
                frame = frame.view(Frame)
                alive.add(frame)
                most = max(most, len(alive))
                yield frame

        Frame.__hash__ = lambda self: id(self)
        Frame.__eq__ = lambda self, other: self is other
        monkeypatch.setattr(analysis, "read_frames", counted)
        path = write_clip(tmp_path / "clip.avi", seconds=2.5)
        analysed(path, landmarker=lambda image: None)
        gc.collect()
        assert 0 < most < 10


class Broken(RuntimeError):
    pass


def breaking(function, after):
    """`function`, which breaks when it is called more than `after` times."""
    calls = itertools.count(1)

    def called(*arguments):
        if next(calls) > after:
            raise Broken("this stage broke")
        return function(*arguments)

    return called


class TestEveryStage:
    """Reading, quality, landmarks, flow and network work in threads: none may hang or go on when one breaks."""

    @pytest.fixture(autouse=True)
    def threads_end(self):
        before = set(threading.enumerate())
        yield
        assert set(threading.enumerate()) <= before

    @pytest.fixture
    def break_in(self, monkeypatch):
        """Breaks a stage after so many calls of it; returns the arguments for `analysed`."""

        def prepare(stage, after):
            if stage == "reading":
                frame = breaking(lambda frame: frame, after)
                monkeypatch.setattr(analysis, "read_frames", lambda *where: map(frame, read_frames(*where)))
            elif stage == "quality":
                return {"face_finder": breaking(lambda image: [], after)}
            elif stage == "landmarks":
                return {"landmarker": breaking(landmarker, after), "face_finder": lambda image: []}
            elif stage == "flow":
                monkeypatch.setattr(flow.FlowFrom, "to", breaking(flow.FlowFrom.to, after))
            else:
                monkeypatch.setattr(analysis, "predict_windows", breaking(analysis.predict_windows, after))
            return {}

        return prepare

    @pytest.mark.parametrize("stage", ["reading", "quality", "landmarks", "flow", "network"])
    def test_an_error_at_once_reaches_the_caller_and_names_the_film(self, clip, stage, break_in):
        with pytest.raises(InputError, match="this stage broke") as caught:
            analysed(clip, **break_in(stage, 0))
        assert str(clip) in str(caught.value)
        assert isinstance(caught.value.__cause__, Broken)

    @pytest.mark.parametrize(
        ("stage", "after", "n_done"),
        # 90 frames, windows start every 25; a look every 10 frames; two calls for the landmarks of a window
        [("reading", 80, 75), ("quality", 6, 50), ("landmarks", 4, 50)],
    )
    def test_an_error_on_the_way_keeps_what_came_before(self, clip, stage, after, n_done, break_in):
        result = analysed(clip, **break_in(stage, after))
        assert result.n_analysed == n_done
        assert "this stage broke" in result.trouble

    def test_an_analysis_that_is_given_up_leaves_no_thread(self, clip):
        growing = iter(Analysis(clip, mouth_model(window=4), landmarker))
        next(growing)
        growing.close()


class TestDecoding:
    @given(st.floats(0.02, 0.98), st.integers(0, 10_000))
    @settings(max_examples=40, deadline=None)
    def test_the_own_threshold_is_absolute(self, threshold, seed):
        """Exactly the peaks at or above the threshold (and the mean) of the smoothed score are found."""
        rng = np.random.default_rng(seed)
        score = np.clip(np.convolve(rng.normal(0.3, 0.6, 200), np.ones(6) / 6, "same"), 0, 1)
        model = mouth_model(threshold=threshold)
        found = decode_trace(model, score, np.full((200, 5), 0.2))
        smoothed = smooth(score, 5)
        peaks, _ = find_peaks(smoothed, height=max(threshold, smoothed.mean()), distance=5)
        assert found["apex"].tolist() == peaks.tolist()

    def test_a_flat_score_holds_nothing(self):
        assert decode_trace(mouth_model(), np.zeros(80), np.full((80, 5), 0.2)).empty


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
        stream_motion(read_frames(clip), alone, n_threads=0)
