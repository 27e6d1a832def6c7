"""Quality flags: each on the frames that it concerns, and on no other."""

import numpy as np
import pytest
from support.own_videos import analysed, mouth_at, picture

from metst_core.inference import (
    FLAGS,
    LIMITS,
    LOOK_EVERY,
    Face,
    QualityLog,
    meaning,
    moves_much,
    quality_table,
    runs,
    timing_marks,
)
from metst_core.video import write_video

pytestmark = pytest.mark.quick


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
        def face(x=50.0, size=60.0, nose=0.0):
            eyes = ((x - size / 2, 40.0), (x + size / 2, 40.0))
            return Face((x - size, 10, x + size, 90), eyes, (x + nose * size, 60.0))

        seen = {
            0: [face()], 1: [], 2: [face(size=LIMITS["smallest"] - 1)], 3: [face(nose=0.4)],
            4: [face(), face(x=190)], 5: [face(x=190), face()], 6: [face(x=105)], 7: [face(x=105)],
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
        result = analysed(clip, landmarker=lambda image: None)
        assert not result.has_face
        assert result.table.empty
        assert (result.score == 0).all()
        [row] = result.quality[result.quality["flag"] == "face_lost"].itertuples()
        assert (row.first, row.last) == (0, 89)
        assert "no face" in result.summary()


def test_every_flag_of_a_result_is_a_known_one(result, clip):
    assert all(meaning(flag) and "{" not in meaning(flag) for flag in FLAGS)
    assert set(result.quality["flag"]) <= set(FLAGS)


def test_a_dark_video_is_flagged(tmp_path):
    still = (picture() * 0.1).astype(np.uint8)
    write_video(tmp_path / "dark.avi", (mouth_at(t / 30, (), still) for t in range(20)), 30)
    assert "too_dark" in set(analysed(tmp_path / "dark.avi").quality["flag"])
