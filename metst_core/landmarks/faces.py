"""Where the faces of an image are: in the whole of it, else in enlarged parts."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from metst_core.checks import as_path
from metst_core.landmarks.graphs import MIN_CONFIDENCE, Detection, detector_graph, without_startup_log
from metst_core.landmarks.landmarker import as_rgb
from metst_core.landmarks.model_file import find_model

PARTS = (2, 4)
"""Parts of the image that are searched where the whole shows no face: squares of its longer side over these."""

_AROUND_SMALL_FACE = 2.5
"""Side of the square that is cut out around a small face, in lengths of the detector's box."""

_DETECTOR_SIDE = 128  # pixels
_LARGEST_SCALE = 2.0  # enlarging more than this shows nothing that a landmarker could use


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
        image = as_rgb(image)
        if self._find is None:
            with without_startup_log():
                self._find, close = detector_graph(self.model_path, self.min_confidence)
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
    for share in PARTS:
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


def around(face: Detection, image: np.ndarray) -> tuple[np.ndarray, int, int]:
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
    part, left, top = around(face, image)
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
