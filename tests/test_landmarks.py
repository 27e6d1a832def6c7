"""The default landmarker on a real face, and what it says when it cannot work."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import cv2
import joblib
import numpy as np
import pytest
import skimage.data

from metst_core import landmarks
from metst_core.errors import InputError, MetstError, MissingError
from metst_core.inference import MediaPipeFaceFinder
from metst_core.landmarks import IBUG_TO_MESH, MediaPipeLandmarker


@pytest.fixture(scope="module")
def portrait():
    """The head of NASA's portrait of Eileen Collins (public domain), enlarged to 520 x 520, RGB."""
    return cv2.resize(skimage.data.astronaut()[:260, 90:350], (520, 520), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def landmarker():
    return MediaPipeLandmarker()


def test_the_68_points_lie_where_ibug_puts_them(portrait, landmarker):
    """Positions read off the portrait by eye; 12 of its 520 pixels are a tenth of the eyes' distance."""
    points = landmarker(portrait)
    assert points.shape == (68, 2)
    seen = {8: (263, 353), 30: (267, 255), 33: (267, 269), 36: (208, 203), 39: (248, 208), 42: (294, 210),
            45: (335, 209), 48: (223, 279), 54: (313, 284), 57: (265, 312), 17: (194, 183), 21: (250, 178),
            22: (293, 179), 26: (351, 190)}  # fmt: skip
    for index, position in seen.items():
        assert np.hypot(*(points[index] - position)) < 12, index


def test_the_mapping_has_ibug_s_order(portrait, landmarker):
    """68 different vertices; every part runs from the picture's left to its right, or around, as in iBUG."""
    assert len(set(IBUG_TO_MESH)) == 68
    x, y = landmarker(portrait).T
    for part in (slice(4, 13), slice(17, 22), slice(22, 27), slice(31, 36), slice(48, 55)):
        assert (np.diff(x[part]) > 0).all(), part
    assert (np.diff(y[27:31]) > 0).all()
    for eye in (36, 42):
        assert x[eye] == x[eye : eye + 6].min() and x[eye + 3] == x[eye : eye + 6].max()
        assert y[eye + 1 : eye + 3].max() < y[eye + 4 : eye + 6].min()
    assert y[[50, 51, 52]].max() < y[[61, 62, 63]].max() < y[[65, 66, 67]].min() < y[[56, 57, 58]].max()


def test_points_follow_the_picture(portrait, landmarker):
    """Pixel coordinates: a shifted face gives shifted points, whatever the shape of the picture."""
    wide = np.full((600, 1000, 3), 120, np.uint8)
    wide[50:570, 300:820] = portrait
    assert np.abs(landmarker(wide) - (300, 50) - landmarker(portrait)).max() < 5


def test_grey_is_enough(portrait, landmarker):
    grey = cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY)
    assert np.abs(landmarker(grey) - landmarker(portrait)).max() < 5


def test_a_small_face_is_found(portrait, landmarker):
    """A face of 72 of 1280 pixels, which the mesh's own detector misses."""
    frame = np.full((720, 1280, 3), 120, np.uint8)
    frame[116:316, 156:356] = cv2.resize(portrait, (200, 200), interpolation=cv2.INTER_AREA)
    expected = landmarker(portrait) * 200 / 520 + (156, 116)
    assert np.abs(landmarker(frame) - expected).max() < 4


@pytest.mark.parametrize("picture", ["black", "noise", "cat", "1 x 1", "wide"])
def test_no_face_is_none(picture, landmarker):
    pictures = {
        "black": np.zeros((200, 300), np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8),
        "cat": skimage.data.chelsea(),
        "1 x 1": np.zeros((1, 1), np.uint8),
        "wide": np.zeros((10, 4000), np.uint8),
    }
    assert landmarker(pictures[picture]) is None


def test_has_no_history(portrait, landmarker):
    """The same points whatever was seen before, in a copy, and in another process."""
    points = landmarker(portrait)
    landmarker(portrait[::-1])
    landmarker(portrait[:, 100:])
    assert np.array_equal(landmarker(portrait), points)
    assert np.array_equal(pickle.loads(pickle.dumps(landmarker))(portrait), points)
    [elsewhere] = joblib.Parallel(n_jobs=2)([joblib.delayed(landmarker)(portrait)])
    assert np.array_equal(elsewhere, points)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted through /proc (Linux)")
@pytest.mark.parametrize("make", [MediaPipeLandmarker, MediaPipeFaceFinder])
def test_nothing_is_left_of_one_that_is_gone(make, portrait):
    """MediaPipe's graphs have threads and memory of their own; one is made for every video of a set."""
    picture = np.ascontiguousarray(portrait)
    make()(picture)
    before = len(list(Path("/proc/self/task").iterdir()))
    for _ in range(3):
        make()(picture)
    assert len(list(Path("/proc/self/task").iterdir())) == before


def test_stderr_stays_clean():
    code = (
        "import cv2, skimage.data, sys\n"
        "from metst_core.landmarks import MediaPipeLandmarker\n"
        "head = cv2.resize(skimage.data.astronaut()[:260, 90:350], (520, 520))\n"
        "assert MediaPipeLandmarker()(head) is not None\n"
        "print('still here', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split("\n") == ["still here", ""]


def test_other_messages_get_through(capfd):
    with landmarks.without_startup_log():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nsomething else\n")
    assert capfd.readouterr().err == "something else\n"


@pytest.mark.parametrize(
    "image",
    [np.zeros((20, 20)), np.zeros((20, 20, 4), np.uint8), np.zeros((0, 5), np.uint8), np.zeros(9, np.uint8)],
)
def test_not_an_image(image, landmarker):
    with pytest.raises(InputError, match="uint8"):
        landmarker(image)


class TestModelPath:
    def test_missing(self, tmp_path):
        with pytest.raises(MissingError, match=r"nowhere\.task"):
            MediaPipeLandmarker(tmp_path / "nowhere.task")

    def test_not_a_model(self, tmp_path, portrait):
        path = tmp_path / "broken.task"
        path.write_bytes(b"no model")
        with pytest.raises(InputError, match=r"broken\.task"):
            MediaPipeLandmarker(path)(portrait)

    def test_runs_the_tasks_api(self, tmp_path, portrait):
        """A task file put together from the package's own models.  Its mesh model is of an older layout than
        the Tasks API's, so where the points lie means nothing here: only that both answers come out."""
        import mediapipe

        models = Path(mediapipe.__file__).parent / "modules"
        path = tmp_path / "face_landmarker.task"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            archive.write(models / "face_detection/face_detection_short_range.tflite", "face_detector.tflite")
            archive.write(models / "face_landmark/face_landmark.tflite", "face_landmarks_detector.tflite")
        landmarker = MediaPipeLandmarker(path)
        assert landmarker(portrait).shape == (68, 2)
        assert landmarker(np.zeros_like(portrait)) is None
        assert landmarker.identity != MediaPipeLandmarker().identity

    def test_takes_the_68_points_of_a_tasks_mesh(self, tmp_path, monkeypatch):
        """A mesh of 478 points whose coordinates tell their index, in shares of a 100 x 200 image."""
        import mediapipe

        mesh = [types.SimpleNamespace(x=i / 1000, y=i / 2000) for i in range(478)]
        task = types.SimpleNamespace(
            detect=lambda image: types.SimpleNamespace(face_landmarks=[mesh]), close=lambda: None
        )
        kind = mediapipe.tasks.vision.FaceLandmarker
        monkeypatch.setattr(kind, "create_from_options", lambda options: task)
        path = tmp_path / "any.task"
        path.write_bytes(b"")
        points = MediaPipeLandmarker(path)(np.zeros((200, 100), np.uint8))
        np.testing.assert_allclose(points, np.array(IBUG_TO_MESH)[:, None] / (10, 10))


def test_a_mediapipe_without_models_says_what_to_do(monkeypatch, portrait):
    """From 0.10.30 on `mediapipe.solutions` is gone."""
    monkeypatch.setitem(sys.modules, "mediapipe", types.SimpleNamespace(__version__="0.10.31"))
    with pytest.raises(MetstError, match=r"0\.10\.31.*face_landmarker\.task"):
        MediaPipeLandmarker()(portrait)


def test_no_mediapipe_at_all(monkeypatch, portrait):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(MetstError, match="install mediapipe"):
        MediaPipeLandmarker()(portrait)
