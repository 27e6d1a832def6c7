"""MediaPipe's graphs: the face landmarker and the face detector of one model file, made, run and ended."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import io
import os
import re
import struct
import sys
import tempfile
import threading
import types
import zipfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metst_core.errors import InputError, MetstError
from metst_core.landmarks.model_file import MODEL_NAME

MIN_CONFIDENCE = 0.5
"""A face counts as found from this detector score on (MediaPipe's default)."""


class Detection(NamedTuple):
    """A face in an image, in pixels.

    Its score, its bounds (left, top, right, bottom), and of its six points (x, y) both eyes and the tip of the nose,
    `(3, 2)`.
    """

    score: float
    bounds: tuple[float, float, float, float]
    points: np.ndarray


def landmarker_graph(
    model_path: Path,
) -> tuple[Callable[[np.ndarray], np.ndarray | None], Callable[[], None]]:
    """MediaPipe's face landmarker: how to find the mesh (478, 3) in pixels, and how to end it."""
    mediapipe = _import_mediapipe()
    vision = mediapipe.tasks.vision
    task = _create(
        model_path,
        vision.FaceLandmarker,
        vision.FaceLandmarkerOptions(
            base_options=mediapipe.tasks.BaseOptions(model_asset_buffer=_lean_bundle(model_path)),
            running_mode=vision.RunningMode.IMAGE,
            num_faces=1,
            min_face_detection_confidence=MIN_CONFIDENCE,
        ),
    )

    def find(image: np.ndarray) -> np.ndarray | None:
        faces = _run(model_path, task, mediapipe, image).face_landmarks
        if not faces:
            return None
        height, width = image.shape[:2]
        return np.array([(p.x, p.y, p.z) for p in faces[0]]) * (width, height, width)

    return find, functools.partial(_close, task)


def detector_graph(
    model_path: Path, min_confidence: float
) -> tuple[Callable[[np.ndarray], list[Detection]], Callable[[], None]]:
    """MediaPipe's face detector out of the landmarker's model file: how to find faces, and how to end it."""
    mediapipe = _import_mediapipe()
    vision = mediapipe.tasks.vision
    task = _create(
        model_path,
        vision.FaceDetector,
        vision.FaceDetectorOptions(
            base_options=mediapipe.tasks.BaseOptions(
                model_asset_buffer=_bundle_parts(model_path)["face_detector.tflite"]
            ),
            running_mode=vision.RunningMode.IMAGE,
            min_detection_confidence=min_confidence,
        ),
    )

    def find(image: np.ndarray) -> list[Detection]:
        height, width = image.shape[:2]
        faces = []
        for found in _run(model_path, task, mediapipe, image).detections:
            box = found.bounding_box
            bounds = (box.origin_x, box.origin_y, box.origin_x + box.width, box.origin_y + box.height)
            points = np.array([(p.x * width, p.y * height) for p in found.keypoints[:3]])
            faces.append(Detection(float(found.categories[0].score), bounds, points))
        return faces

    find(np.zeros((8, 8, 3), np.uint8))  # says now, where it is held back, what it has to say
    return find, functools.partial(_close, task)


def mediapipe_version() -> str:
    """Version of the MediaPipe that is installed, asked for without importing it where possible."""
    try:
        return metadata.version("mediapipe")
    except metadata.PackageNotFoundError:
        return str(_import_mediapipe().__version__)


class _Later(types.ModuleType):
    """Stands in for a module and imports it when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:  # while MediaPipe itself is imported
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def _drawing_later() -> Iterator[None]:
    """What is imported in here gets Matplotlib only once it draws: for MediaPipe that is .7 s, and we never draw."""
    names = () if "matplotlib" in sys.modules else ("matplotlib", "matplotlib.pyplot")
    sys.modules.update({name: _Later(name) for name in names})
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def _import_mediapipe() -> Any:
    if sys.modules.get("mediapipe") is not None:
        return sys.modules["mediapipe"]
    try:
        with _drawing_later():
            import mediapipe
    except ImportError as error:
        raise MetstError(
            f"MediaPipe cannot be imported ({error}); install mediapipe (where libGL is missing, the system "
            "package libgl1), or pass your own landmarker: any function from an image to the 68 points"
        ) from error
    return mediapipe


_ALIGNMENT = 64  # bytes
_NEEDED_PARTS = ("face_detector.tflite", "face_landmarks_detector.tflite")


def _bundle_parts(model_path: Path) -> dict[str, bytes]:
    """The two models that are needed out of a `.task` file, which is a zip archive."""
    try:
        with zipfile.ZipFile(model_path) as archive:
            return {name: archive.read(name) for name in _NEEDED_PARTS}
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise InputError(
            f"{model_path}: not MediaPipe's {MODEL_NAME} ({error}); get it with `metst fetch`"
        ) from error


def _lean_bundle(model_path: Path) -> bytes:
    """The model file without its blendshapes and geometry.

    The points are the same, and nothing is computed that nobody asks for (a tenth to a fifth of the time).
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in _bundle_parts(model_path).items():
            entry = zipfile.ZipInfo(name)
            # MediaPipe reads the models in place and wants them aligned: an extra field of zeros moves them.
            gap = -(buffer.tell() + 30 + len(name) + 4) % _ALIGNMENT
            entry.extra = struct.pack("<HH", 0xFFFF, gap) + bytes(gap)
            archive.writestr(entry, content)
    return buffer.getvalue()


def _create(model_path: Path, kind: Any, options: Any) -> Any:
    try:
        return kind.create_from_options(options)
    except OSError as error:
        raise MetstError(
            f"MediaPipe's library cannot be loaded ({error}); on Linux it needs the system packages libegl1 and libgles2"
        ) from error
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{model_path}: not a {MODEL_NAME} that MediaPipe can load ({error})") from error


def _close(task: Any) -> None:
    """End a graph: left alone, its threads and memory stay for as long as the process lives."""
    with without_startup_log():
        try:
            task.close()
        except RuntimeError:  # the process ends, and MediaPipe's own thread, which closes it, has gone before
            ctypes.pythonapi.Py_IncRef(
                ctypes.py_object(task)
            )  # or `task.__del__` tries the same, and complains


def _run(model_path: Path, task: Any, mediapipe: Any, image: np.ndarray) -> Any:
    try:
        return task.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image))
    except RuntimeError as error:
        raise InputError(f"{model_path}: MediaPipe loads this model but cannot run it ({error})") from error


_STARTUP_LOG = re.compile(
    rb"Created TensorFlow Lite|before absl::InitializeLog|before InitGoogle|gl_context"
    rb"|inference_feedback_manager|landmark_projection_calculator|face_landmarker_graph"
    rb"|inference_runner_litert|INFO: \[(environment|accelerator_registry|cpu_registry|compiled_model)\.cc"
)

_STDERR = threading.RLock()  # two threads that redirect it in turn would lose it


@contextlib.contextmanager
def without_startup_log() -> Iterator[None]:
    """Hold back MediaPipe's known start-up noise on the process's stderr, one thread at a time; the rest goes through.

    MediaPipe logs from C++ before any log level can be set, so the file descriptor itself has to be
    redirected.
    """
    sys.stderr.flush()
    with _STDERR, tempfile.TemporaryFile() as held:
        try:
            stderr = os.dup(2)
        except OSError:  # no stderr at all (a windowed program): nothing to hold back
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not _STARTUP_LOG.search(line):
                    os.write(2, line)
