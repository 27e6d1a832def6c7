"""Landmarkers: from an image to the 68 iBUG points, or None where there is no face.

A landmarker is any callable `image (H, W) or (H, W, 3) uint8 -> (68, 2) float pixel coordinates (x, y), or
None`. The default one runs MediaPipe's face mesh (468 points) and keeps 68 of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from metst_core.checks import as_path
from metst_core.errors import InputError, MetstError, MissingError

Landmarker = Callable[[np.ndarray], np.ndarray | None]

# The 68 iBUG points as vertices of MediaPipe's 468-point mesh, in iBUG order.  A mapping in common use, not
# an official one: the jaw follows the mesh's outline, which lies a little inside iBUG's.
_JAW = (162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389)
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_NOSE = (168, 197, 5, 4, 75, 97, 2, 326, 305)
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_OUTER_LIPS = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181)
_INNER_LIPS = (78, 82, 13, 312, 308, 317, 14, 87)
IBUG_TO_MESH = (*_JAW, *_BROWS, *_NOSE, *_EYES, *_OUTER_LIPS, *_INNER_LIPS)
"""Mesh vertex of each of the 68 points."""

MIN_CONFIDENCE = 0.5
"""A face counts as found from this detector score on (MediaPipe's default)."""


class MediaPipeLandmarker:
    """MediaPipe's face mesh as a landmarker; every image is searched anew, so the result has no history.

    Without `model_path` it uses the models inside the `mediapipe` package (up to 0.10.21; works offline).
    With `model_path`, the file `face_landmarker.task` of MediaPipe's Tasks API (any release).  The graph is
    built at the first call and left behind when the object is pickled, so one can be sent to worker
    processes; a single one must not be called from two threads at once.

    Raises `MissingError` when `model_path` is not a file, `MetstError` when MediaPipe or its bundled models
    are missing.
    """

    def __init__(self, model_path: str | Path | None = None) -> None:
        self.model_path = None if model_path is None else as_path("model_path", model_path)
        self._find: Landmarker | None = None
        self._started = False
        if self.model_path is not None and not self.model_path.is_file():
            raise MissingError(
                f"{self.model_path}: no such file; model_path is MediaPipe's face_landmarker.task"
            )

    @property
    def identity(self) -> str:
        """What the points depend on besides the image: part of the key of everything cached from them."""
        if self.model_path is None:
            return f"mediapipe-{_mediapipe_version()}-face-mesh-full-range-{MIN_CONFIDENCE}"
        digest = hashlib.sha256(self.model_path.read_bytes()).hexdigest()
        return f"mediapipe-{_mediapipe_version()}-task-{digest}-{MIN_CONFIDENCE}"

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        """The 68 points (68, 2) in pixels (x, y) of a grey (H, W) or RGB (H, W, 3) uint8 image, or None.

        Points are continuous and may lie outside the image.
        """
        image = _as_rgb(image)
        if self._started and self._find is not None:
            return self._find(image)
        with without_startup_log():
            if self._find is None:
                self._open()
            assert self._find is not None
            points = self._find(image)
        self._started = points is not None  # MediaPipe's last start-up message comes with the first face
        return points

    def _open(self) -> None:
        """Build the graphs, and see that they end with this object: left alone, MediaPipe keeps their threads
        and some 30 MB for as long as the process lives."""
        self._find, close = _face_mesh() if self.model_path is None else _face_landmarker(self.model_path)
        weakref.finalize(self, close).atexit = False

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_find": None, "_started": False}


def _as_rgb(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if (
        image.dtype != np.uint8
        or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3))
        or not image.size
    ):
        raise InputError(
            f"an image of shape {image.shape} and type {image.dtype} cannot be searched for a face; "
            "give (H, W) grey or (H, W, 3) RGB in uint8"
        )
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    return np.ascontiguousarray(image)


def _mediapipe_version() -> str:
    try:
        return metadata.version("mediapipe")
    except metadata.PackageNotFoundError:
        return str(_import_mediapipe().__version__)


def _import_mediapipe() -> Any:
    try:
        import mediapipe
    except ImportError as error:
        raise MetstError(
            f"MediaPipe cannot be imported ({error}); install mediapipe 0.10.21 (where libGL is missing, the "
            "system package libgl1), or pass your own landmarker: any function from an image to the 68 points"
        ) from error
    return mediapipe


def _face_mesh() -> tuple[Landmarker, Callable[[], None]]:
    """The face mesh of the package's own models (`mediapipe.solutions`): how to find points, and how to end it."""
    mediapipe = _import_mediapipe()
    solutions = getattr(mediapipe, "solutions", None)
    if solutions is None:
        raise MetstError(
            f"mediapipe {mediapipe.__version__} carries no face models any more; install mediapipe 0.10.21, "
            "or download face_landmarker.task and give its path: MediaPipeLandmarker(model_path=...)"
        )
    mesh = solutions.face_mesh.FaceMesh(
        static_image_mode=True,
        max_num_faces=1,
        refine_landmarks=False,
        min_detection_confidence=MIN_CONFIDENCE,
    )
    detector = solutions.face_detection.FaceDetection(
        model_selection=1, min_detection_confidence=MIN_CONFIDENCE
    )
    detector.process(np.zeros((8, 8, 3), np.uint8))  # says now, where it is held back, what it has to say

    def find(image: np.ndarray) -> np.ndarray | None:
        faces = mesh.process(image).multi_face_landmarks
        return _vertices(faces[0].landmark, image) if faces else None

    def find_anywhere(image: np.ndarray) -> np.ndarray | None:
        points = find(image)
        if points is not None:
            return points
        # The mesh's own detector misses faces narrower than about an eighth of the image; the full-range one
        # sees them, and the mesh then finds (or refuses) them in a picture that they fill.
        detections = detector.process(image).detections
        if not detections:
            return None
        height, width = image.shape[:2]
        box = detections[0].location_data.relative_bounding_box
        half = 0.5 * _AROUND_SMALL_FACE * max(box.width * width, box.height * height)
        x, y = (box.xmin + box.width / 2) * width, (box.ymin + box.height / 2) * height
        left, top = max(0, int(x - half)), max(0, int(y - half))
        part = np.ascontiguousarray(image[top : max(0, int(y + half)), left : max(0, int(x + half))])
        points = find(part) if part.size else None
        return None if points is None else points + np.array([left, top])

    def close() -> None:
        mesh.close()
        detector.close()

    return find_anywhere, close


_AROUND_SMALL_FACE = 2.5
"""Side of the square that is cut out around a small face, in lengths of the detector's box."""


def _vertices(mesh: Any, image: np.ndarray) -> np.ndarray:
    """The 68 points (68, 2) in pixels, out of a mesh in shares of the image's size."""
    height, width = image.shape[:2]
    return np.array([(mesh[i].x * width, mesh[i].y * height) for i in IBUG_TO_MESH])


def _face_landmarker(model_path: Path) -> tuple[Landmarker, Callable[[], None]]:
    """The face mesh of a downloaded model (MediaPipe's Tasks API): how to find points, and how to end it."""
    mediapipe = _import_mediapipe()
    vision = mediapipe.tasks.vision
    options = vision.FaceLandmarkerOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(model_path)),
        running_mode=vision.RunningMode.IMAGE,
        num_faces=1,
        min_face_detection_confidence=MIN_CONFIDENCE,
    )
    try:
        task = vision.FaceLandmarker.create_from_options(options)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"{model_path}: not a face_landmarker.task that MediaPipe can load ({error})"
        ) from error

    def find(image: np.ndarray) -> np.ndarray | None:
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)
        try:
            faces = task.detect(picture).face_landmarks
        except RuntimeError as error:
            raise InputError(
                f"{model_path}: MediaPipe loads this model but cannot run it ({error})"
            ) from error
        return _vertices(faces[0], image) if faces else None

    return find, task.close


_STARTUP_LOG = re.compile(
    rb"Created TensorFlow Lite|before absl::InitializeLog|gl_context"
    rb"|inference_feedback_manager|landmark_projection_calculator"
)


@contextlib.contextmanager
def without_startup_log() -> Iterator[None]:
    """Hold back what is written to the process's stderr and let through what is not MediaPipe's known
    start-up noise.

    MediaPipe logs from C++ before any log level can be set, so the file descriptor itself has to be
    redirected.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
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
