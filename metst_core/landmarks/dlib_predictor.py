"""The papers' own landmarker: dlib's detector and its predictor of the 68 points."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from metst_core.errors import MetstError
from metst_core.landmarks.landmarker import as_rgb
from metst_core.landmarks.model_file import sha256_of

_REMEDY = (
    "install the extra: pip install 'metst[dlib]' (in a clone: pip install -c constraints.txt -e '.[dlib]')"
)


class DlibLandmarker:
    """dlib's frontal face detector and 68-point predictor, which the papers' features were made with.

    An option behind the extra `dlib` (`pip install "metst[dlib]"`): the predictor was trained on iBUG 300-W,
    whose images are not for commercial use.  Of several faces it takes the largest.  Like the default
    landmarker it has no history, and leaves what it has loaded behind when it is pickled.

    Raises `MetstError` when the extra is not installed.
    """

    def __init__(self) -> None:
        self.model_path = _predictor_file()
        self._dlib: Any = None

    @property
    def identity(self) -> str:
        """What the points depend on besides the image."""
        return f"dlib-{self._loaded()[0]}-{sha256_of(self.model_path)}"

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        """The 68 points (68, 2) in whole pixels (x, y) of a grey (H, W) or RGB (H, W, 3) uint8 image, or None."""
        image = as_rgb(image)
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
                raise MetstError(f"dlib cannot be imported ({error}); {_REMEDY}") from error
            try:
                predictor = dlib.shape_predictor(str(self.model_path))
            except UnicodeEncodeError as error:
                raise MetstError(
                    f"{self.model_path}: dlib opens no file whose name is not UTF-8; rename it"
                ) from error
            self._dlib = (dlib.__version__, dlib.get_frontal_face_detector(), predictor)
        return self._dlib

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_dlib": None}


def _predictor_file() -> Path:
    """The predictor's file inside `face-recognition-models`, without importing that package.

    The package needs `pkg_resources`, which setuptools has dropped.
    """
    found = importlib.util.find_spec("face_recognition_models")
    if found is None or found.origin is None:
        raise MetstError(f"the package face-recognition-models is not installed; {_REMEDY}")
    return Path(found.origin).parent / "models" / "shape_predictor_68_face_landmarks.dat"
