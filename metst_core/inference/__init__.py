"""A trained network with its constants, run over a film."""

from metst_core.inference.analysis import (
    RESULT_COLUMNS,
    STOPPED,
    Analysis,
    Findings,
    decode_trace,
    film_clock,
    naming,
)
from metst_core.inference.calibration import Calibration
from metst_core.inference.judged import PARTS, motion_of_parts, unrest_of
from metst_core.inference.quality import (
    FLAGS,
    LIMITS,
    LOOK_EVERY,
    Face,
    FaceFinder,
    LandmarkFaceFinder,
    MediaPipeFaceFinder,
    QualityLog,
    meaning,
    moves_much,
    quality_table,
    runs,
    timing_marks,
)
from metst_core.inference.trained import BUNDLED, NOTICE, TrainedModel, load_model, save_model
from metst_core.inference.tuning import fine_tune

__all__ = [
    "BUNDLED",
    "FLAGS",
    "LIMITS",
    "LOOK_EVERY",
    "NOTICE",
    "PARTS",
    "RESULT_COLUMNS",
    "STOPPED",
    "Analysis",
    "Calibration",
    "Face",
    "FaceFinder",
    "Findings",
    "LandmarkFaceFinder",
    "MediaPipeFaceFinder",
    "QualityLog",
    "TrainedModel",
    "decode_trace",
    "film_clock",
    "fine_tune",
    "load_model",
    "meaning",
    "motion_of_parts",
    "moves_much",
    "naming",
    "quality_table",
    "runs",
    "save_model",
    "timing_marks",
    "unrest_of",
]
