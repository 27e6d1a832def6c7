"""One person of several: chosen once, followed, and nobody else is looked at."""

import cv2
import numpy as np
import pytest
import skimage.data
from support.own_videos import mouth_model

from metst_core.errors import InputError
from metst_core.inference import Face, FaceChoice, Follower, MediaPipeFaceFinder, alone
from metst_core.pipeline import analyse
from metst_core.video import write_video


def face(x, y=50.0, size=20.0):
    return Face(
        (x - size, y - size, x + size, y + size), ((x - size / 2, y), (x + size / 2, y)), (x, y + size / 2)
    )


class TestChoice:
    def test_it_is_read_from_words_numbers_and_boxes(self):
        assert FaceChoice.of("largest") == FaceChoice() == FaceChoice.of(FaceChoice())
        assert (FaceChoice.of("left").place, FaceChoice.of("right").place, FaceChoice.of(" 3 ").place) == (
            1,
            -1,
            3,
        )
        assert FaceChoice.of("10,20,30,40").box == (10, 20, 40, 60)
        for wrong in ("", "middle", "0", "-1", "1.5", "1,2,3", "1,2,0,4", "nan,1,2,3"):
            with pytest.raises(InputError, match="left,top,width,height"):
                FaceChoice.of(wrong)

    def test_it_picks(self):
        faces = [face(80, size=30), face(20), face(150)]
        picked = {
            w: FaceChoice.of(w).pick(faces)
            for w in ("largest", "left", "right", "2", "4", "140,40,20,20", "0,0,9,9")
        }
        assert [p and p.centre[0] for p in picked.values()] == [80, 20, 150, 80, None, 150, None]


class TestFollower:
    @pytest.mark.parametrize("seed", range(3))
    def test_it_follows_whoever_moves_in_whatever_order_the_faces_come(self, seed):
        rng = np.random.default_rng(seed)
        follower = Follower(FaceChoice(1))
        for step in range(20):
            mine, other = face(40 + 3 * step), face(200 - 3 * step, y=120)  # they pass each other
            faces = [mine, other] if rng.random() < 0.5 else [other, mine]
            assert follower.see(faces) is mine
            assert follower.others == [other]

    def test_another_person_does_not_take_the_place_of_one_who_left(self):
        follower = Follower(FaceChoice(1))
        left, right = face(40), face(150)
        assert follower.see([left, right]) is left
        assert [follower.see([right]) for _ in range(5)] == [None] * 5
        assert follower.others == [right]
        again = face(45)
        assert follower.see([right, again]) is again

    def test_after_a_cut_the_new_face_is_followed(self):
        follower = Follower()
        follower.see([face(40)])
        assert follower.see([face(300, size=60)]) is not None

    def test_it_waits_for_the_one_that_was_asked_for(self):
        follower = Follower(FaceChoice(2))
        assert follower.see([]) is None
        assert follower.see([face(20)]) is None
        assert len(follower.others) == 1
        second = face(90)
        assert follower.see([face(20), second]) is second

    def test_others_are_hidden_and_the_followed_one_keeps_every_pixel(self):
        grey = np.random.default_rng(0).integers(0, 100, (200, 300), dtype=np.uint8)
        follower = Follower(FaceChoice(1))
        follower.see([face(60, 80)])
        assert follower.hide_others(grey) is grey
        follower.see([face(60, 80), face(120, 80)])
        hidden = follower.hide_others(grey)
        assert (hidden[70:90, 125:140] == 127).all()
        assert np.array_equal(hidden[60:110, 30:90], grey[60:110, 30:90])
        assert hidden is not grey and (grey < 100).all()

    def test_alone_leaves_the_surroundings_of_a_face(self):
        grey = np.zeros((200, 300), np.uint8)
        left = alone(grey, np.array([40.0, 60, 80, 100]))
        assert (left[60:100, 40:80] == 0).all() and (left[:, 150:] == 127).all()
        assert alone(grey, np.full(4, np.nan)) is grey


@pytest.fixture(scope="module")
def two_people(tmp_path_factory):
    """A film of two faces side by side, the right one smaller; each moves up and down at its own times."""
    head = cv2.resize(skimage.data.astronaut()[0:260, 100:360], (200, 200))
    small = cv2.resize(head[:, ::-1], (160, 160))

    def frame(number):
        picture = np.full((220, 440, 3), 90, np.uint8)
        picture[10:210, 10:210] = head
        picture[40:200, 260:420] = small
        return picture

    path = tmp_path_factory.mktemp("two") / "two.mp4"
    write_video(path, (frame(i) for i in range(30)), 30.0)
    return path


@pytest.mark.parametrize(
    ("which", "columns"), [("largest", (10, 210)), ("right", (260, 420)), ("260,40,160,160", (260, 420))]
)
def test_the_face_that_is_asked_for_is_the_one_that_is_measured(two_people, which, columns):
    result = analyse(two_people, mouth_model(), face=which, progress=False)
    frames = result.frames
    assert frames["face_found"].all() and (frames["n_faces"] == 2).all()
    assert frames["face_left"].min() >= columns[0] and frames["face_right"].max() <= columns[1]
    assert "several_faces" in set(result.quality["flag"])
    assert str(result.face).startswith("the ")


def test_the_detector_sees_both(two_people):
    from metst_core.video import read_frames

    assert len(MediaPipeFaceFinder()(next(iter(read_frames(two_people))))) == 2
