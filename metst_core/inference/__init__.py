"""A trained network with its constants, run over a film."""

from metst_core.inference.analysis import RESULT_COLUMNS, STOPPED, Analysis, Findings, decode_trace, names_of
from metst_core.inference.calibration import Calibration
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
from metst_core.inference.trained import BUNDLED, NOTICE, TrainedModel, load_model, save_model, weight_files
from metst_core.inference.tuning import fine_tune

__all__ = [
    "BUNDLED",
    "FLAGS",
    "LIMITS",
    "LOOK_EVERY",
    "NOTICE",
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
    "fine_tune",
    "load_model",
    "meaning",
    "moves_much",
    "names_of",
    "quality_table",
    "runs",
    "save_model",
    "timing_marks",
    "weight_files",
]
