"""ROI motion against a readable definition of it, against known motion, and on what users bring along.

`window_motion_by_definition` below follows the description of the official features sentence by sentence, in
float64, with a full sort and nothing shared with the package but cv2; the package must agree with it.
"""

from __future__ import annotations

import weakref

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from metst_core import motion, rois
from metst_core.errors import InputError, MetstError
from metst_core.motion import (
    extract_motion,
    landmark_jitter,
    main_direction_mean,
    stream_motion,
    window_motion,
)

# The 68 points of a frontal face on its 320 crop (MediaPipe on a portrait).
# fmt: off
FACE = np.array([
    (29, 89), (25, 141), (25, 167), (33, 227), (43, 253), (56, 272), (88, 304), (123, 326), (148, 330),
    (174, 329), (212, 311), (250, 283), (266, 266), (280, 241), (296, 183), (299, 157), (299, 105),
    (47, 83), (58, 73), (76, 69), (101, 72), (130, 78), (193, 81), (223, 79), (248, 79), (266, 85),
    (277, 97), (160, 114), (158, 146), (156, 175), (154, 192), (125, 201), (137, 210), (154, 213),
    (172, 212), (185, 205), (67, 112), (80, 104), (103, 104), (125, 122), (106, 124), (85, 122), (196, 126),
    (220, 111), (242, 113), (255, 123), (236, 130), (214, 130), (87, 230), (114, 228), (134, 229),
    (154, 233), (174, 232), (195, 232), (224, 237), (190, 270), (172, 276), (152, 277), (132, 273),
    (116, 266), (95, 233), (137, 238), (154, 240), (171, 240), (215, 239), (170, 261), (153, 261),
    (136, 259),
], dtype=float)
# fmt: on


class Fake:
    """A landmarker that knows: no face on a black frame, `on_crop` on the crop, else `on_frame`."""

    identity = "fake"

    def __init__(self, on_frame, on_crop):
        self.on_frame, self.on_crop, self.seen = on_frame, on_crop, []

    def __call__(self, image):
        self.seen.append(image)
        if image.shape == (320, 320):
            return self.on_crop
        return self.on_frame if image.any() else None


def texture(seed, height=300, width=340, grain=3.0):
    """A random grey picture whose details are about `grain` pixels large."""
    rng = np.random.default_rng(seed)
    picture = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), grain)
    return np.clip(128 + 40 * picture / picture.std(), 1, 255).astype(np.uint8)


def moved(picture, dx, dy):
    return cv2.warpAffine(
        picture, np.float64([[1, 0, dx], [0, 1, dy]]), picture.shape[::-1], borderMode=cv2.BORDER_REFLECT
    )


def scene(seed, n=4, drift=(0.0, 0.0), strength=1.0, **size):
    """Frames of a picture that drifts and moves smoothly and differently everywhere."""
    picture = texture(seed, **size)
    height, width = picture.shape
    rng = np.random.default_rng(seed + 1)
    fields = [cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 25) for _ in range(2)]
    fields = [strength * field / np.abs(field).max() for field in fields]
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    frames = []
    for t in range(n):
        maps = [columns - t * (drift[0] + fields[0]), rows - t * (drift[1] + fields[1])]
        maps = [each.astype(np.float32) for each in maps]
        frames.append(cv2.remap(picture, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
    return np.stack(frames)


# --- the definition ----------------------------------------------------------------------------------------


def mean_by_definition(flow, q):
    vectors = [(float(dx), float(dy)) for dx, dy in np.reshape(flow, (-1, 2))]
    ordered = sorted(vectors, key=lambda v: v[0] * v[0] + v[1] * v[1])
    kept = ordered[int(len(ordered) * (1 - q)) :]
    if not kept:
        return np.zeros(2)
    return np.array([sum(v[0] for v in kept) / len(kept), sum(v[1] for v in kept) / len(kept)])


def flow_by_definition(a, b, box):
    """Flow of a box (y0, y1, x0, x1) of two crops; Python slices, except that no negative bound wraps."""
    y0, y1, x0, x1 = box
    if min(box) < 0 or not a[y0:y1, x0:x1].size:
        return np.zeros((0, 0, 2))
    return cv2.calcOpticalFlowFarneback(a[y0:y1, x0:x1], b[y0:y1, x0:x1], None, 0.5, 3, 15, 5, 7, 1.5, 0)


def rois_by_definition(a, b, p):
    """The 18 ROIs' motion between two crops with head motion still in it, from the points p (68, 2) int."""

    def extremes(first, last):
        x, y = p[first:last, 0], p[first:last, 1]
        return int(x.min()), int(x.max()), int(y.min()), int(y.max())

    def around(flow, x, y, rows, columns, q):
        if y + rows[0] < 0 or x + columns[0] < 0:
            return np.zeros(2)
        return mean_by_definition(flow[y + rows[0] : y + rows[1], x + columns[0] : x + columns[1]], q)

    result = []

    x0, x1, y0, y1 = extremes(17, 22)
    flow = flow_by_definition(a, b, (max(0, y0 - 15), y1 + 5, max(0, x0 - 5), x1))
    top = max(0, 10 + min(0, y0 - 15))
    bottom = 4 if flow.shape[0] < 10 + top + 3 else 10
    result.append(mean_by_definition(flow[top:-bottom, 10:-10], 0.3))
    for i in (20, 19, 18):
        x, y = p[i] - (x0 - 5, y0 - 15)
        result.append(around(flow, x, y, (-10, 10), (-10, 10), 0.2))

    x0, x1, y0, y1 = extremes(22, 27)
    flow = flow_by_definition(a, b, (max(0, y0 - 15), y1 + 5, x0, x1))
    top = max(0, 10 + min(0, y0 - 15))
    result.append(mean_by_definition(flow[top:-10, 10:-10], 0.3))
    for i in (23, 24, 25):
        x, y = p[i] - (x0, y0 - 15)
        result.append(around(flow, x, y, (-10, 10), (-10, 10), 0.3))

    x0, x1, y0, y1 = extremes(48, 67)
    flow = flow_by_definition(a, b, (y0 - 15, y1 + 10, max(0, x0 - 20), x1 + 20))
    result.append(mean_by_definition(flow[10:-10, 10:-10], 0.3))
    for i, columns in ((48, (-10, 20)), (54, (-20, 10)), (51, (-10, 10)), (57, (-10, 10)), (62, (-10, 10))):
        x, y = p[i] - (x0 - 20, y0 - 15)
        result.append(around(flow, x, y, (-10, 10), columns, 0.2))

    x0, x1, y0, y1 = extremes(30, 36)
    flow = flow_by_definition(a, b, (y0 - 20, y1 + 5, max(0, x0 - 30), x1 + 30))
    for i, columns in ((31, (-20, 10)), (35, (-10, 20))):
        x, y = p[i] - (x0 - 30, y0 - 20)
        result.append(around(flow, x, y, (-20, 5), columns, 0.2))

    for first, last in ((36, 42), (42, 48)):
        x0, x1, y0, y1 = extremes(first, last)
        h, yc = (x1 - x0) / 2, (y0 + y1) / 2
        flow = flow_by_definition(a, b, (int(yc + h / 2), int(yc + 3 * h / 2), max(0, x0), x1))
        result.append(mean_by_definition(flow[5:-5, 5:-5], 0.3))
    return np.array(result)


def head_by_definition(a, b, p):
    x0, x1 = int(p[29:31, 0].min()), int(p[29:31, 0].max())
    y0, y1 = int(p[29:31, 1].min()), int(p[29:31, 1].max())
    flow = flow_by_definition(a, b, (y0 - 13, y1 + 13, x0 - 13, x1 + 13))
    return mean_by_definition(flow[15:-10, 5:-5], 0.7)


def window_motion_by_definition(frames, landmarker):
    """(36, k) float64 from grey frames."""

    def cut(frame):
        y0, y1, x0, x1 = bounds
        return cv2.resize(frame[y0:y1, x0:x1], (320, 320), interpolation=cv2.INTER_LINEAR)

    columns = []
    reference = None
    for frame in frames:
        if reference is None:
            columns.append(np.zeros(38))
            points = landmarker(frame)
            if points is None:
                continue
            points = np.round(points).astype(int)
            g = int((points[42, 0] - points[39, 0]) / 2)
            cx = int((points[39, 0] + points[42, 0]) / 2)
            cy = int((points[39, 1] + points[42, 1]) / 2)
            bounds = [
                max(0, cy - int(3.5 * g)), cy + int(5.5 * g), max(0, cx - int(4.5 * g)), cx + int(4.5 * g)
            ]  # fmt: skip
            reference = cut(frame)
            on_crop = landmarker(reference)
            if on_crop is None:
                height, width = frame[bounds[0] : bounds[1], bounds[2] : bounds[3]].shape
                on_crop = np.empty((68, 2))
                on_crop[:, 0] = (points[:, 0] - bounds[2]) * 320 / width
                on_crop[:, 1] = (points[:, 1] - bounds[0]) * 320 / height
            on_crop = np.round(on_crop).astype(int)
            continue
        crop = cut(frame)
        head = head_by_definition(reference, crop, on_crop)
        shifts = 0
        while head[0] ** 2 + head[1] ** 2 > 1 and shifts < 3:
            dx, dy = round(float(head[0])), round(float(head[1]))
            bounds = [max(0, bounds[0] + dy), bounds[1] + dy, max(0, bounds[2] + dx), bounds[3] + dx]
            crop = cut(frame)
            head = head_by_definition(reference, crop, on_crop)
            shifts += 1
        columns.append(np.append((rois_by_definition(reference, crop, on_crop) - head).ravel(), head))
    return np.array(columns).T


def compare(frames, fake):
    """The feature sets against the definition; returns the definition's 36 channels."""
    expected = window_motion_by_definition(frames, fake)
    largest = window_motion(frames, fake, "metst_plus_ref")
    np.testing.assert_allclose(largest, expected, rtol=1e-6, atol=1e-6)
    for features in ("metst", "metst_plus"):
        smaller = window_motion(frames, fake, features)
        assert np.array_equal(smaller, largest[rois.channel_indices(features)])
    return expected[:36]


# A face 27 pixels wide between the eyes: its crop is 117 wide and starts at (112, 78) of the 300 x 340 frame.
ON_FRAME = FACE * (117 / 320) + (112, 78)


class TestAgainstTheDefinition:
    @settings(max_examples=8, deadline=None, derandomize=True)
    @given(
        seed=st.integers(0, 10_000),
        x=st.integers(60, 240),
        y=st.integers(20, 220),
        size=st.floats(0.15, 0.6),
        drift=st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5)),
        jitter=st.integers(0, 12),
    )
    def test_any_face_anywhere(self, seed, x, y, size, drift, jitter):
        """Faces of any size, cut by any side of the frame, drifting fast enough for the crop to follow."""
        rng = np.random.default_rng(seed)
        frames = scene(seed, drift=drift, height=256, width=288)
        on_frame = (FACE - FACE[[39, 42]].mean(axis=0)) * size + (x, y)
        on_crop = FACE + rng.uniform(-jitter, jitter, FACE.shape)
        compare(frames, Fake(on_frame, on_crop))

    @pytest.mark.parametrize("highest", [-3, 0, 1, 4, 6, 9, 14, 15, 16])
    def test_brows_at_the_top_of_the_crop(self, highest):
        """The margins that depend on how much of a brow box was cut off, the short left brow included."""
        on_crop = FACE.copy()
        on_crop[17:27, 1] = highest + np.array([5, 3, 0, 2, 4, 4, 2, 0, 3, 5]) // (1 + (highest < 6))
        compare(scene(1, n=3), Fake(ON_FRAME, on_crop))

    @pytest.mark.parametrize(
        "to", [(-110, 0), (-60, 0), (60, 0), (0, -60), (0, 60), (-250, 0), (250, 0), (0, 250)]
    )
    def test_boxes_cut_by_the_crop(self, to):
        compare(scene(2, n=3), Fake(ON_FRAME, FACE + to))

    @pytest.mark.parametrize("to", [(0, -120), (-320, 0), (-200, -200)])
    def test_a_part_of_the_face_wholly_outside_the_crop_has_no_motion_of_its_own(self, to):
        """The brow boxes' ends lie above (or left of) the crop: they are empty, not all but the crop's last
        rows, as a slice with a negative end would be.  What is left is minus the head's motion, here 0 too
        where the nose bridge has left the crop."""
        frames, fake = scene(2, n=3), Fake(ON_FRAME, FACE + to)
        compare(frames, fake)
        head = head_by_definition(*window_crops(frames), np.round(FACE + to).astype(int))
        np.testing.assert_allclose(window_motion(frames, fake)[:8, 1], np.tile(-head, 4), atol=1e-6)

    @pytest.mark.parametrize("scale", [0.0, 0.02, 0.1, 0.25, 0.5])
    def test_small_boxes(self, scale):
        centre = np.array([160.0, 160.0])
        compare(scene(3, n=3), Fake(ON_FRAME, (FACE - centre) * scale + centre))

    @pytest.mark.parametrize("drift", [(1.1, 0.0), (-0.8, 0.6), (0.0, 2.5), (-2.0, -2.0)])
    def test_the_crop_follows_the_head(self, drift):
        frames, fake = scene(4, n=6, drift=drift, strength=0.2), Fake(ON_FRAME, FACE)
        compare(frames, fake)
        tracker = motion.WindowTracker(fake)
        for frame in frames:
            tracker.step(frame)
        followed = np.subtract(tracker.place, tracker.reference.place)[[2, 0]]
        assert np.sign(followed).tolist() == np.sign(drift).tolist()
        assert tracker.shift.tolist() == followed.tolist()

    @pytest.mark.parametrize("corner", [(30, 20), (40, 150), (160, 25), (300, 270)])
    def test_following_stops_at_the_frame_s_top_left(self, corner):
        """A drift towards the edge and back: left and top are held at 0, right and bottom are not."""
        frames = np.concatenate([scene(5, n=4, drift=(-2, -2)), scene(5, n=4, drift=(2, 2))])
        compare(frames, Fake(ON_FRAME - ON_FRAME[[39, 42]].mean(axis=0) + corner, FACE))

    def test_points_between_pixels_are_rounded_half_to_even(self):
        compare(scene(6, n=3), Fake(np.round(ON_FRAME) + 0.5, np.round(FACE) - 0.5))

    def test_no_face_on_the_crop(self):
        compare(scene(7), Fake(ON_FRAME, None))

    @pytest.mark.parametrize("corner", [(-18, 78), (112, -18), (240, 78)])
    def test_no_face_on_a_crop_that_the_frame_cuts(self, corner):
        """The crop is not square before it is resized; an odd distance (27) of the eye corners is halved down."""
        compare(scene(7, n=3), Fake(FACE * (122 / 320) + corner, None))

    def test_no_face_at_first(self):
        frames = scene(8, n=5)
        frames[:2] = 0
        expected = compare(frames, Fake(ON_FRAME, FACE))
        assert not expected[:, :3].any() and expected[:, 3:].any(axis=0).all()

    def test_empty_rois_still_lose_head_motion(self):
        """With brow points in one place the left brow's whole ROI is empty: minus the head is left."""
        on_crop = FACE.copy()
        on_crop[17:22] = FACE[19]
        frames = scene(9, n=2, drift=(0.15, 0.1), strength=0.1)
        expected = compare(frames, Fake(ON_FRAME, on_crop))
        head = head_by_definition(*(window_crops(frames)), np.round(on_crop).astype(int))
        np.testing.assert_allclose(expected[:2, 1], -head)


def window_crops(frames):
    reference = motion.find_reference(frames[0], Fake(ON_FRAME, FACE))
    return reference.crop, motion.cut_crop(frames[1], reference.place)


class TestMainDirectionMean:
    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        flow=hnp.arrays(
            np.float32,
            st.tuples(st.integers(0, 8), st.integers(0, 8), st.just(2)),
            elements=st.one_of(st.sampled_from([-1.0, 0.0, 1.0]), st.floats(-9, 9, width=32)),
        ),
        q=st.sampled_from([0.2, 0.3, 0.7]),
    )
    def test_is_the_sorted_mean(self, flow, q):
        """Equal to sorting everything, also where vectors are equally long (sampled from few values)."""
        np.testing.assert_allclose(main_direction_mean(flow, q), mean_by_definition(flow, q), atol=1e-12)

    def test_a_share_too_small_for_one_vector_is_the_longest_alone(self):
        """int(n * (1 - 0)) = n would leave nothing to average (it was a division by zero)."""
        assert main_direction_mean(np.array([(1, 0), (0, 3), (2, 0)]), 0).tolist() == [0, 3]

    def test_known_value(self):
        """Of ten vectors the three longest count at q = 0.3: (8 + 9 + 10) / 3."""
        flow = np.zeros((10, 2), np.float32)
        flow[:, 0] = [3, 1, 10, 2, 9, 4, 8, 5, 7, 6]
        assert main_direction_mean(flow, 0.3).tolist() == [9.0, 0.0]


class TestKnownMotion:
    def test_a_still_face_does_not_move(self):
        """Farnebäck's border handling leaves a few thousandths of a pixel."""
        frames = np.repeat(texture(0, grain=1.2)[None], 4, axis=0)
        assert np.abs(window_motion(frames, Fake(ON_FRAME, FACE))).max() < 0.02

    def test_a_rigid_shift_is_head_motion(self):
        """A shift of the whole picture by 1/4 pixel (0.68 px on the crop) is not facial motion."""
        picture = texture(0, grain=1.2)
        frames = np.stack([picture, moved(picture, 0.25, 0)])
        fake = Fake(ON_FRAME, FACE)
        head = head_by_definition(*window_crops(frames), np.round(FACE).astype(int))
        assert head[0] == pytest.approx(0.25 * 320 / 117, rel=0.15)
        assert np.abs(window_motion(frames, fake)).max() < 0.3 * head[0]

    def test_a_moving_mouth_is_seen_where_it_moves(self):
        """Mouth shifted right by 0.3 px (0.8 px on the crop): the mouth's ROIs see it, the brows do not."""
        picture = texture(0, grain=1.2)
        rows = np.mgrid[: picture.shape[0], : picture.shape[1]][0]
        weight = np.clip((rows - ON_FRAME[33, 1] - 3) / 8, 0, 1)
        frames = np.stack(
            [picture, (picture * (1 - weight) + moved(picture, 0.3, 0) * weight).astype(np.uint8)]
        )
        moves = dict(
            zip(rois.channel_names(), window_motion(frames, Fake(ON_FRAME, FACE))[:, 1], strict=True)
        )
        assert moves["mouth_x"] == pytest.approx(0.3 * 320 / 117, rel=0.25)
        assert abs(moves["mouth_y"]) < 0.2
        assert max(abs(moves[name]) for name in moves if "brow" in name) < 0.05


class TestLandmarkerContract:
    @pytest.mark.parametrize("colour", [False, True])
    def test_sees_the_frame_and_the_crop_in_grey(self, colour):
        frames = scene(0, n=3)
        if colour:
            frames = np.stack([frames, frames[:, ::-1], frames], axis=-1)
        fake = Fake(ON_FRAME, FACE)
        window_motion(frames, fake)
        assert [image.shape for image in fake.seen] == [(300, 340), (320, 320)]
        grey = cv2.cvtColor(frames[0], cv2.COLOR_RGB2GRAY) if colour else frames[0]
        assert np.array_equal(fake.seen[0], grey)

    @pytest.mark.parametrize(
        "answer", [np.zeros((5, 2)), np.full((68, 2), np.nan), np.zeros((68, 3)), np.full((68, 2), np.inf)]
    )
    def test_a_bad_answer_is_an_error(self, answer):
        with pytest.raises(InputError, match="68"):
            window_motion(scene(0, n=2), lambda image: answer)

    @pytest.mark.parametrize(
        "on_frame", [ON_FRAME[:, ::-1], ON_FRAME - 10_000, ON_FRAME + 10_000, ON_FRAME * 0]
    )
    def test_a_face_without_a_crop_is_no_face(self, on_frame):
        assert not window_motion(scene(0, n=3), Fake(on_frame, FACE)).any()

    @pytest.mark.parametrize("place", [(400, 500, 0, 100), (0, -5, 0, 100), (0, 100, 0, -62), (0, 0, 0, 9)])
    def test_a_crop_that_leaves_the_frame_gives_zeros(self, place):
        """By any side; a negative end does not count from the frame's far end, as it would in a slice."""
        tracker = motion.WindowTracker(Fake(ON_FRAME, FACE))
        frames = scene(0, n=2)
        tracker.step(frames[0])
        tracker.place = rois.Bounds(*place)
        assert not tracker.step(frames[1]).any()


class TestWindows:
    @pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 8, 9, 12, 13])
    def test_windows_are_cut_and_padded_as_documented(self, n):
        """Every window is `window_motion` of its frames; the tail repeats the last column."""
        frames, fake, k = scene(n, n=n), Fake(ON_FRAME, FACE), 6
        found = extract_motion(frames, fake, "metst", window=k)
        assert len(found) == max(1, -(-n // 3) - 1)
        for i, part in enumerate(found):
            own = window_motion(frames[3 * i : 3 * i + k], fake, "metst")
            assert np.array_equal(part, np.pad(own, ((0, 0), (0, k - own.shape[1])), mode="edge"))
        if n >= k:
            official = extract_motion(frames, fake, "metst", window=k, tail="drop")
            assert len(official) == n // 3 - 1
            assert np.array_equal(official, found[: len(official)])
            assert n % 3 or len(official) == len(found)

    def test_any_iterable_gives_the_same(self):
        frames, fake = scene(0, n=9), Fake(ON_FRAME, FACE)
        whole = extract_motion(frames, fake, "metst", window=4)
        buffer = np.empty_like(frames[0])

        def reused():
            for frame in frames:
                buffer[:] = frame
                yield buffer

        assert np.array_equal(extract_motion(reused(), fake, "metst", window=4), whole)
        assert np.array_equal(extract_motion(iter(list(frames)), fake, "metst", window=4), whole)

    def test_says_which_frames_had_a_reference(self):
        frames = scene(0, n=8)
        frames[:3] = 0
        parts = list(stream_motion(frames, Fake(ON_FRAME, FACE), "metst", window=4))
        assert [part.start for part in parts] == [0, 2, 4]
        assert [part.has_face.tolist() for part in parts] == [
            [False] * 3 + [True],
            [False] + [True] * 3,
            [True] * 4,
        ]

    @settings(max_examples=12)
    @given(
        n=st.integers(4, 20),
        dark=st.integers(0, 9),
        phases=st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),
        n_threads=st.integers(1, 3),
    )
    def test_a_phase_is_a_run_on_the_frames_from_it_on(self, n, dark, phases, n_threads):
        """Whatever the order of the phases, and with a face that comes late."""
        frames, fake, k = scene(n, n=n), Fake(ON_FRAME, FACE), 6
        frames[:dark] = 0
        parts = list(stream_motion(frames, fake, "metst", k, n_threads=n_threads, phases=phases))
        for phase in phases:
            own = list(stream_motion(frames[phase:], fake, "metst", k))
            found = [part for part in parts if part.start % 3 == phase]
            assert [part.start for part in found] == [part.start + phase for part in own]
            for a, b in zip(found, own, strict=True):
                assert np.array_equal(a.motion, b.motion) and np.array_equal(a.has_face, b.has_face)

    def test_windows_share_what_they_have_in_common(self):
        """While several wait for a face, each frame is searched once; a window has one reference of its own."""
        frames = scene(3, n=12)
        frames[:4] = 0
        fake = Fake(ON_FRAME, FACE)
        list(stream_motion(frames, fake, "metst", 6, phases=(0, 1, 2)))
        # Frames 0 .. 3 are searched, 4 is the reference of the windows from 0 to 4, then each frame of its own.
        assert sum(image.shape != (320, 320) for image in fake.seen) == 4 + 8
        assert sum(image.shape == (320, 320) for image in fake.seen) == 8

    @pytest.mark.parametrize("phases", [(), (3,), (-1,), (0, 0), (0.5,), 1, "0"])
    def test_phases_that_cannot_be_used(self, phases):
        with pytest.raises(InputError, match="phase"):
            stream_motion(scene(0, n=9), Fake(ON_FRAME, FACE), "metst", 6, phases=phases)

    def test_a_video_too_short_for_a_phase_has_no_window_of_it(self):
        short = list(stream_motion(scene(0, n=3), Fake(ON_FRAME, FACE), "metst", 6, phases=(0, 2)))
        assert [part.start for part in short] == [0]
        with pytest.raises(InputError, match="1 frame"):
            list(stream_motion(scene(0, n=2), Fake(ON_FRAME, FACE), "metst", 6, phases=(1,)))

    def test_memory_does_not_grow_with_the_video(self):
        """At no time do more than two frames of a stream live (the present one and its grey form)."""
        alive, most = weakref.WeakSet(), 0

        class Frame(np.ndarray):
            __hash__ = object.__hash__

        def stream(n):
            nonlocal most
            picture = texture(0)
            for _ in range(n):
                frame = picture.copy().view(Frame)
                alive.add(frame)
                most = max(most, len(alive))
                yield frame
                del frame

        fake = Fake(ON_FRAME, FACE)
        fake.seen = type("Nothing", (), {"append": lambda self, image: None})()
        assert len(extract_motion(stream(40), fake, "metst", window=4)) == 19
        assert most <= 2


class TestBadInput:
    @pytest.mark.parametrize(
        "frames",
        [
            np.zeros((0, 300, 340), np.uint8),
            np.zeros((3, 300, 340)),
            np.zeros((3, 300, 340, 4), np.uint8),
            np.zeros((3, 0, 340), np.uint8),
            [np.zeros((300, 340), np.uint8), np.zeros((301, 340), np.uint8)],
        ],
    )
    def test_frames(self, frames):
        with pytest.raises(InputError, match="frame"):
            window_motion(frames, Fake(ON_FRAME, FACE))
        with pytest.raises(InputError, match="frame"):
            extract_motion(frames, Fake(ON_FRAME, FACE))

    @pytest.mark.parametrize(
        "arguments", [{"window": 5}, {"window": 0}, {"tail": "cut"}, {"features": "all"}]
    )
    def test_arguments(self, arguments):
        with pytest.raises(InputError, match=next(iter(arguments))):
            extract_motion(scene(0, n=4), Fake(ON_FRAME, FACE), **arguments)

    @pytest.mark.parametrize("call", [window_motion, extract_motion, landmark_jitter])
    @pytest.mark.parametrize(
        ("frames", "landmarker", "named"),
        [
            ("face.avi", lambda image: None, "frames is 'face.avi'"),
            (None, lambda image: None, "frames is None"),
            ([None, None], lambda image: None, "frame 0"),
            (np.ones((3, 9, 9), np.uint8), None, "landmarker is None"),
            (np.ones((3, 9, 9), np.uint8), lambda image: ["no", "points"], "landmarks"),
            (np.ones((3, 9, 9), np.uint8), lambda image: np.full((68, 2), 1e30), "landmarks"),
        ],
    )
    def test_what_is_no_frame_or_no_landmarker(self, call, frames, landmarker, named):
        with pytest.raises(InputError, match=named):
            call(frames, landmarker)

    @pytest.mark.parametrize(
        ("flow", "q", "named"),
        [
            (np.zeros((4, 3)), 0.3, "flow has shape"),
            (np.zeros((4, 2)), -0.1, "q is"),
            ("x", 0.3, "flow holds"),
        ],
    )
    def test_main_direction_mean(self, flow, q, named):
        with pytest.raises(InputError, match=named):
            main_direction_mean(flow, q)

    def test_too_short(self):
        with pytest.raises(InputError, match="2 frames"):
            extract_motion(scene(0, n=1), Fake(ON_FRAME, FACE))
        with pytest.raises(InputError, match="tail='keep'"):
            extract_motion(scene(0, n=5), Fake(ON_FRAME, FACE), window=6, tail="drop")


class TestLandmarkJitter:
    def test_separates_jitter_from_motion(self):
        """Points that all jitter together by up to 2 px on a frozen picture: the landmarks move, the bridge
        takes it all away again, and the flow does not see it."""
        rng = np.random.default_rng(0)
        frames = np.repeat(texture(0)[None], 6, axis=0)

        def jittery(image):
            return FACE + rng.uniform(-2, 2, 2) if image.shape == (320, 320) else ON_FRAME

        table = landmark_jitter(frames, jittery)
        assert set(table["measure"]) == {"landmark", "landmark_corrected", "motion", "motion_corrected"}
        assert len(table) == 6 * 4 * 18
        longest = table.assign(length=np.hypot(table["dx"], table["dy"])).groupby("measure")["length"].max()
        assert longest["landmark"] > 1
        assert longest["landmark_corrected"] < 1e-9
        assert max(longest["motion"], longest["motion_corrected"]) < 0.02

    def test_motion_is_that_of_window_motion_while_the_crop_stays(self):
        frames, fake = scene(0, n=4, strength=0.2), Fake(ON_FRAME, FACE)
        table = landmark_jitter(frames, fake)
        last = table[(table["frame"] == 3) & (table["measure"] == "motion_corrected")]
        np.testing.assert_allclose(
            last[["dx", "dy"]].to_numpy().ravel(), window_motion(frames, fake)[:, 3], atol=1e-6
        )

    def test_no_face(self):
        with pytest.raises(MetstError, match="no face"):
            landmark_jitter(np.zeros((3, 50, 60), np.uint8), lambda image: None)
