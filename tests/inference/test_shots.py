"""Cuts, lost faces and gaps: windows start anew after them, and what is found beside them says so."""

import itertools

import cv2
import numpy as np
import pytest
from support.own_videos import SIZE, analysed, landmarker, mouth_at, mouth_model, picture

from metst_core.errors import InputError
from metst_core.inference import Face, Steps, beside, shots_of, with_cuts
from metst_core.motion import stream_motion
from metst_core.synthetic import draw_person, face_of, plan_film, shoot
from metst_core.video import write_video

FACE = Face((30.0, 40.0, 130.0, 130.0), ((54.0, 70.0), (104.0, 70.0)), (80.0, 91.0))


def cuts(frames):
    step = Steps()
    return [n for n, is_cut in with_cuts((n, step(frame)) for n, frame in enumerate(frames)) if is_cut]


class TestCuts:
    def test_another_picture_is_a_cut_and_light_or_noise_are_none(self):
        rng = np.random.default_rng(0)
        one, other = picture(0), picture(1)
        film = [one] * 20 + [other] * 20
        noisy = [np.clip(f + rng.normal(0, 3, f.shape), 0, 255).astype(np.uint8) for f in film]
        lit = [
            np.clip(f * (0.6 if 8 <= n < 14 else 1.0), 0, 255).astype(np.uint8) for n, f in enumerate(noisy)
        ]
        assert cuts(film) == cuts(noisy) == cuts(lit) == [20]

    def test_a_face_that_moves_is_none(self):
        still = picture()
        assert cuts([mouth_at(n / 30, (0.5,), still)[..., 0] for n in range(40)]) == []
        soft = cv2.GaussianBlur(still, (0, 0), 6)
        soft = cv2.normalize(soft, None, 0, 255, cv2.NORM_MINMAX)
        assert cuts([np.roll(soft, n // 2, axis=1) for n in range(40)]) == []

    def test_what_moves_fast_is_none_and_a_frame_between_is_two(self):
        """Of a movement the steps around are large too; of a cut, and of a single frame of another film, they are not."""
        assert self.at([0.001] * 20 + [0.02] + [0.001] * 9) == [20]
        assert self.at([0.001] * 20 + [0.2, 0.2] + [0.001] * 9) == [20, 21]
        assert self.at([0.001] * 20 + [0.006, 0.02, 0.008, 0.006] + [0.001] * 9) == []
        assert self.at([0.001] * 20 + [0.004, 0.02, 0.03, 0.02, 0.004] + [0.001] * 9) == []
        assert self.at([0.001] * 20 + [0.02]) == [20]  # nothing is known of what follows

    def at(self, steps):
        return [n for n, is_cut in with_cuts(enumerate(steps)) if is_cut]

    def test_an_interview_that_is_not_cut_has_no_cut(self):
        """The head turns by 20 degrees within half a second, and the eyes blink."""
        film = plan_film(draw_person(77, 9), 0, 15, 30, 77, "casme3", "interview")
        frames = itertools.islice(shoot(film, face_of(77, 9), 77), 160, 350)
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        assert np.abs(np.diff(film.head[160:350], axis=0)).max() > 0.4  # degrees a frame
        assert cuts(grey) == []
        assert cuts(grey[:60] + [np.rot90(frame) for frame in grey[60:]]) == [60]

    def test_frames_before_an_error_come_first(self):
        def broken():
            yield from ((n, 0.001) for n in range(3))
            raise InputError("the film is damaged")

        came = with_cuts(broken())
        assert [next(came) for _ in range(3)] == [(0, False), (1, False), (2, False)]
        with pytest.raises(InputError, match="damaged"):
            next(came)

    def test_black_frames_are_cut_off_once(self):
        still, black = picture(), np.zeros((SIZE, SIZE), np.uint8)
        assert cuts([still] * 10 + [black] * 10 + [still] * 10) == [10, 20]

    def test_shots_come_one_after_the_other(self):
        film = [(n, n in (3, 4)) for n in range(7)]
        assert [(first, list(shot)) for first, shot in shots_of(film)] == [
            (0, [0, 1, 2]),
            (3, [3]),
            (4, [4, 5, 6]),
        ]
        assert list(shots_of([])) == []


@pytest.fixture(scope="module")
def cut_film(tmp_path_factory):
    """70 frames, a cut, a frame of another film, a cut, 39 frames; the mouth moves at 0.9 and 3.2 s."""
    path = tmp_path_factory.mktemp("cut") / "cut.avi"
    shots = [picture(0)] * 70 + [picture(1)] + [picture(2)] * 39
    write_video(path, (mouth_at(n / 30, (0.9, 3.2), still) for n, still in enumerate(shots)), 30)
    return path


@pytest.fixture(scope="module")
def cut_result(cut_film):
    return analysed(cut_film, mouth_model(phases=3))


def test_windows_start_anew_after_a_cut(cut_result):
    """Each shot is measured as a film of its own, and a frame between two cuts not at all."""
    assert cut_result.complete and cut_result.n_analysed == 110
    references = set(cut_result.measured.reference.astype(int).tolist())
    assert references == {0, 25, 70, 71, 96} - {96} | {r for r in references if r > 90}
    assert (
        cut_result.score[[66, 67, 69, 71, 73, 75]].max() < 0.1
    )  # across the cut everything would seem to move
    still = [mouth_at(n / 30, (0.9, 3.2), picture(2)) for n in range(71, 110)]
    own = next(iter(stream_motion(still, landmarker, "metst")))
    assert np.abs(cut_result.measured.motion[71:96] - own.motion.T[:25]).max() < 0.7  # JPEG


def test_cuts_and_what_is_found_beside_them_are_flagged(cut_result):
    flags = cut_result.frames["flags"].str.split()
    assert [n for n, here in enumerate(flags) if "cut" in here] == [69, 70, 71]
    near = [n for n, here in enumerate(flags) if "beside_gap" in here]
    assert near == [*range(69 - 25, 69), *range(72, 72 + 25)]
    first, second = cut_result.table.itertuples()
    assert (first.apex, second.apex) == (27, 96)
    assert "beside_gap" not in first.flags and "beside_gap" in second.flags


def test_windows_start_anew_where_a_lost_face_comes_back(clip):
    looks = iter([[FACE]] * 2 + [[]] * 2 + [[FACE]] * 9)
    result = analysed(clip, face_finder=lambda image: next(looks))
    assert 40 in result.measured.reference
    flags = result.frames["flags"].str.split()
    assert all("beside_gap" in flags[n] for n in (5, 14, 35, 59))
    assert "beside_gap" in result.table["flags"].iloc[0]  # its apex is at frame 48


def test_beside_holds_on_both_sides_and_counts_in_seconds():
    holes = np.zeros(10, bool)
    assert not beside(holes, np.arange(10.0), 2.0).any()
    holes[[0, 5]] = True
    assert np.flatnonzero(beside(holes, np.arange(10) / 2, 1.0)).tolist() == [1, 2, 3, 4, 6, 7]
