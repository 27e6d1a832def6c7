"""A trained network with its constants, run over a film."""

from metst_core.inference.analysis import (
    NEAR,
    RESULT_COLUMNS,
    STOPPED,
    Analysis,
    Findings,
    decode_trace,
    near_misses,
)
from metst_core.inference.calibration import Calibration
from metst_core.inference.faces import (
    Face,
    FaceChoice,
    FaceFinder,
    Follower,
    LandmarkFaceFinder,
    MediaPipeFaceFinder,
    alone,
    faces_of,
)
from metst_core.inference.per_frame import Measured
from metst_core.inference.quality import (
    FLAGS,
    LIMITS,
    LOOK_EVERY,
    QUALITY_COLUMNS,
    QualityLog,
    meaning,
    moves_much,
    quality_table,
    runs,
    timing_marks,
)
from metst_core.inference.trained import BUNDLED, BUNDLED_NAME, NOTICE, TrainedModel, load_model, save_model
from metst_core.inference.tuning import fine_tune

__all__ = [
    "BUNDLED",
    "BUNDLED_NAME",
    "FLAGS",
    "LIMITS",
    "LOOK_EVERY",
    "NEAR",
    "NOTICE",
    "QUALITY_COLUMNS",
    "RESULT_COLUMNS",
    "STOPPED",
    "Analysis",
    "Calibration",
    "Face",
    "FaceChoice",
    "FaceFinder",
    "Findings",
    "Follower",
    "LandmarkFaceFinder",
    "Measured",
    "MediaPipeFaceFinder",
    "QualityLog",
    "TrainedModel",
    "alone",
    "decode_trace",
    "faces_of",
    "fine_tune",
    "load_model",
    "meaning",
    "moves_much",
    "near_misses",
    "quality_table",
    "runs",
    "save_model",
    "timing_marks",
]
