"""A trained network with its constants, run over a film."""

from metst_core.inference.analysis import (
    NEAR,
    RESULT_COLUMNS,
    STOPPED,
    Analysis,
    Findings,
    decode_trace,
    film_clock,
    naming,
    near_misses,
)
from metst_core.inference.calibration import Calibration
from metst_core.inference.contrast import motion_contrast, motion_path, peak_intervals
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
from metst_core.inference.judged import PARTS, motion_of_parts, unrest_of
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
    "PARTS",
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
    "film_clock",
    "fine_tune",
    "load_model",
    "meaning",
    "motion_contrast",
    "motion_of_parts",
    "motion_path",
    "moves_much",
    "naming",
    "near_misses",
    "peak_intervals",
    "quality_table",
    "runs",
    "save_model",
    "timing_marks",
    "unrest_of",
]
