"""Motion aligned to the face: what moves as a whole falls away, what moves in the face stays."""

import cv2
import numpy as np
import pytest

from metst_core.aligned import (
    LAGS,
    N_CHANNELS,
    SIDE,
    SMALLEST,
    STABLE,
    TEMPLATE,
    aligned_crop,
    aligned_frames,
    channels_of,
    place_of,
    similarity,
    template,
)
from metst_core.landmarks import IBUG_TO_MESH

BIG = 480


def texture(seed=0):
    """A grey picture (480, 480) with detail of several sizes."""
    rng = np.random.default_rng(seed)
    parts = [
        cv2.GaussianBlur(rng.normal(size=(BIG, BIG)).astype(np.float32), (0, 0), s) * s for s in (2, 4, 9)
    ]
    mixed = sum(parts)
    return np.clip(127 + 45 * mixed / mixed.std(), 0, 255).astype(np.uint8)


def pose(degrees=0.0, scale=1.0, shift=(0.0, 0.0)):
    """A similarity that turns, enlarges and moves a picture about its middle."""
    matrix = cv2.getRotationMatrix2D((BIG / 2, BIG / 2), degrees, scale)
    matrix[:, 2] += shift
    return matrix


def at(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


FACE = np.array(TEMPLATE) * 1.5 + (BIG / 2, BIG / 2 - 40)  # in the still picture, 144 pixels from eye to eye


class Landmarks:
    """Knows where the face is in every frame, up to `jitter` pixels; sees none where `lost`."""

    def __init__(self, matrices, jitter=0.0, lost=()):
        self.calls, self.matrices, self.lost = 0, matrices, lost
        self.rng, self.jitter = np.random.default_rng(1), jitter

    def __call__(self, image):
        number, self.calls = self.calls, self.calls + 1
        if number in self.lost:
            return None
        return at(self.matrices[number], FACE) + self.rng.normal(0, self.jitter, FACE.shape)


def film(matrices, picture=None):
    still = texture() if picture is None else picture
    return [
        cv2.warpAffine(still, m, (BIG, BIG), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        for m in matrices
    ]


TURNING = [
    pose(8 * np.sin(t / 7), 1 + 0.1 * np.sin(t / 9), (20 * np.sin(t / 5), 10 * np.cos(t / 6)))
    for t in range(30)
]


def test_a_still_face_that_moves_as_a_whole_gives_next_to_nothing():
    """The head moves by up to 20 pixels, 8 degrees and a tenth of its size, and landmarks err by half a pixel; what is left
    is below what an ME of .012 IOD is (1.2 pixels of the crop)."""
    frames = list(aligned_frames(film(TURNING), Landmarks(TURNING, jitter=0.5)))
    channels = np.array([frame.channels for frame in frames])
    assert np.sqrt((channels**2).mean()) < 0.06
    assert np.abs(channels).max() < 0.4
    assert max(frame.unrest.max() for frame in frames) < 0.15


def test_a_movement_in_the_face_stays_while_the_head_moves():
    """A brow that rises by 3 pixels of the crop in 8 frames: cells there move up, others do not."""
    x, y = np.meshgrid(np.arange(BIG, dtype=np.float32), np.arange(BIG, dtype=np.float32))
    brow = FACE[19]
    bump = np.exp(-((x - brow[0]) ** 2 + (y - brow[1]) ** 2) / (2 * 30**2)).astype(np.float32)
    still = texture()
    frames = []
    for t, matrix in enumerate(TURNING):
        raised = 4.5 * np.clip((t - 8) / 8, 0, 1)  # 1.5 pixels of the picture are one of the crop
        moved = cv2.remap(
            still, x, (y + raised * bump).astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        frames += film([matrix], moved)
    cells = list(aligned_frames(frames, Landmarks(TURNING)))[16].cells
    place = (template()[19] / (SIDE / 12)).astype(int)
    assert cells[-1, place[1], place[0], 1] == pytest.approx(-3, abs=1)
    assert np.abs(cells[-1, 6:, 2:10]).max() < 0.4  # the lower face


def test_frames_come_in_order_two_late_and_do_not_hang_on_what_follows():
    frames = film(TURNING[:14])
    whole = list(aligned_frames(frames, Landmarks(TURNING)))
    assert len(whole) == 14
    shorter = list(aligned_frames(frames[:12], Landmarks(TURNING)))
    for a, b in zip(whole[:10], shorter[:10], strict=True):
        assert (a.channels == b.channels).all()

    taken = 0

    def counting():
        nonlocal taken
        for frame in frames:
            taken += 1
            yield frame

    next(aligned_frames(counting(), Landmarks(TURNING)))
    assert taken == 3


def test_the_first_steps_and_a_lost_face_are_nothing():
    lost = (12,)
    frames = list(aligned_frames(film(TURNING[:24]), Landmarks(TURNING, lost=lost)))
    assert not frames[0].channels.any()
    assert [frame.has_face for frame in frames] == [n not in lost for n in range(24)]
    for number, frame in enumerate(frames):
        for i, lag in enumerate(LAGS):
            known = number >= lag and number not in lost and number - lag not in lost
            assert frame.cells[i].any() == known


def test_films_shorter_than_the_smoothing():
    for n in (1, 2, 3):
        assert len(list(aligned_frames(film(TURNING[:n]), Landmarks(TURNING)))) == n
    assert list(aligned_frames([], Landmarks(TURNING))) == []


def test_a_face_that_is_too_small_is_none_and_says_so():
    small = 0.9 * SMALLEST / 144
    matrices = [pose(scale=small)] * 6
    frames = list(aligned_frames(film(matrices), Landmarks(matrices)))
    assert all(frame.too_small and not frame.has_face and not frame.channels.any() for frame in frames)


def test_a_similarity_is_found_again():
    made = np.hstack([1.3 * np.array([[0.8, -0.6], [0.6, 0.8]]), [[5.0], [-7.0]]])
    points = np.random.default_rng(0).normal(0, 30, (9, 2))
    assert np.allclose(similarity(points, at(made, points)), made)


@pytest.mark.parametrize("scale", [0.3, 0.8, 2.0])
def test_a_crop_lies_where_the_similarity_says(scale):
    """Shrunk before (area) or not, the middle of the crop is the same place of the film."""
    still = np.zeros((BIG, BIG), np.uint8)
    cv2.circle(still, (200, 260), 14, 255, -1)
    place = np.array([[scale, 0, SIDE / 2 - scale * 200], [0, scale, SIDE / 2 - scale * 260]])
    crop = aligned_crop(still, place).astype(float)
    y, x = np.mgrid[:SIDE, :SIDE]
    assert (crop * x).sum() / crop.sum() == pytest.approx(SIDE / 2, abs=0.3)
    assert (crop * y).sum() / crop.sum() == pytest.approx(SIDE / 2, abs=0.3)


def test_the_template_is_that_of_the_projects_persons():
    """Landmarks of synthetic persons that did not make it lie within a few pixels of it, a tenth of the eyes' distance."""
    from metst_core.synthetic import face_of

    for index in (50, 55):
        points = face_of(0, index).mesh[list(IBUG_TO_MESH)]
        apart = np.hypot(*(at(place_of(points), points) - template()).T)
        assert apart[list(STABLE)].max() < 10 and np.median(apart) < 6


def test_channels_are_the_cells_of_both_parts():
    cells = np.random.default_rng(0).normal(size=(5, 3, 12, 12, 2)).astype(np.float32)
    channels = channels_of(cells)
    assert channels.shape == (5, sum(N_CHANNELS.values()))
    assert (channels[:, 0] == cells[:, 0, 1, 2, 0]).all()
    assert (channels[:, -1] == cells[:, -1, 11, 9, 1]).all()
