"""Landmarkers: from an image to the 68 iBUG points, or None where there is no face."""

from metst_core.landmarks.graphs import (
    IBUG_TO_MESH,
    LANDMARKERS,
    MIN_CONFIDENCE,
    MODEL_NAME,
    MODEL_VARIABLE,
    Detection,
    DlibLandmarker,
    FaceDetector,
    Landmarker,
    MediaPipeLandmarker,
    fetch_model,
    find_model,
    landmarker_named,
    one_at_a_time,
    without_startup_log,
)

__all__ = [
    "IBUG_TO_MESH",
    "LANDMARKERS",
    "MIN_CONFIDENCE",
    "MODEL_NAME",
    "MODEL_VARIABLE",
    "Detection",
    "DlibLandmarker",
    "FaceDetector",
    "Landmarker",
    "MediaPipeLandmarker",
    "fetch_model",
    "find_model",
    "landmarker_named",
    "one_at_a_time",
    "without_startup_log",
]
