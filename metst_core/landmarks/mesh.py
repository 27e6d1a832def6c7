"""The default landmarker: 68 of the 478 points of MediaPipe's mesh."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from metst_core.checks import as_path
from metst_core.errors import MissingError
from metst_core.landmarks.faces import PARTS, around, search_parts
from metst_core.landmarks.graphs import (
    MIN_CONFIDENCE,
    Detection,
    detector_graph,
    landmarker_graph,
    mediapipe_version,
    without_startup_log,
)
from metst_core.landmarks.landmarker import as_rgb
from metst_core.landmarks.model_file import MODEL_NAME, find_model, sha256_of

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
        digest = sha256_of(self.model_path)
        return f"mediapipe-{mediapipe_version()}-task-{digest}-{MIN_CONFIDENCE}-parts{PARTS}"

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
        image = as_rgb(image)
        if self._started:
            return self._anywhere(image)
        with without_startup_log():
            points = self._anywhere(image)
        self._started = points is not None  # MediaPipe's last start-up message comes with the first face
        return points

    def _anywhere(self, image: np.ndarray) -> np.ndarray | None:
        """The mesh in the whole image, else in a part that a face found elsewhere fills."""
        if self._mesh is None:
            self._mesh, close = landmarker_graph(self.model_path)
            weakref.finalize(self, close)
        points = self._mesh(image)
        if points is not None:
            return points
        if self._search is None:
            with without_startup_log():
                self._search, close = detector_graph(self.model_path, MIN_CONFIDENCE)
            weakref.finalize(self, close)
        for found in search_parts(self._search, image):
            part, left, top = around(found, image)
            points = self._mesh(part)
            if points is not None:
                return points + np.array([left, top, 0.0])
        return None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mesh": None, "_search": None, "_started": False}
