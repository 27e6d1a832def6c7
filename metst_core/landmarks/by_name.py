"""Landmarkers that are asked for by name."""

from __future__ import annotations

from collections.abc import Callable

from metst_core.checks import one_of
from metst_core.landmarks.dlib_predictor import DlibLandmarker
from metst_core.landmarks.landmarker import Landmarker
from metst_core.landmarks.mesh import MediaPipeLandmarker

LANDMARKERS: dict[str, Callable[[], Landmarker]] = {"mediapipe": MediaPipeLandmarker, "dlib": DlibLandmarker}
"""The landmarkers that can be asked for by name (`--option landmarker=dlib`)."""


def landmarker_named(name: str) -> Callable[[], Landmarker]:
    """What makes the landmarker of that name: one of `LANDMARKERS`, else an `InputError`."""
    return LANDMARKERS[one_of("landmarker", name, tuple(LANDMARKERS))]
