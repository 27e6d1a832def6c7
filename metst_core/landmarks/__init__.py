"""Landmarkers: from an image to the 68 iBUG points, or None where there is no face.

A landmarker is any callable `image (H, W) or (H, W, 3) uint8 -> (68, 2) float pixel coordinates (x, y), or
None`. The default one runs MediaPipe's face landmarker (478 points) and keeps 68 of them; its model file,
`face_landmarker.task`, is fetched once (`fetch_model`, on the command line `metst fetch`) and read offline
from then on. The papers' own predictor is there as `DlibLandmarker` where the extra `dlib` is installed.
"""

from metst_core.landmarks.by_name import LANDMARKERS, landmarker_named
from metst_core.landmarks.dlib_predictor import DlibLandmarker
from metst_core.landmarks.faces import FaceDetector
from metst_core.landmarks.graphs import MIN_CONFIDENCE, Detection, without_startup_log
from metst_core.landmarks.landmarker import Landmarker, one_at_a_time
from metst_core.landmarks.mesh import IBUG_TO_MESH, MediaPipeLandmarker
from metst_core.landmarks.model_file import MODEL_NAME, MODEL_VARIABLE, fetch_model, find_model

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
