"""One's own video: from a file to named intervals, for people."""

from metst_core.files import check_no_input, check_output
from metst_core.inference import (
    NOTICE,
    STOPPED,
    Analysis,
    Calibration,
    TrainedModel,
    decode_trace,
    fine_tune,
    load_model,
    save_model,
    weight_files,
)
from metst_core.pipeline.exports import (
    results_table,
    summary_text,
    write_csv,
    write_megc,
    write_results_json,
)
from metst_core.pipeline.live import LiveScore, camera_widget
from metst_core.pipeline.page import write_page
from metst_core.pipeline.reel import Clip, clips_of, face_jpeg, write_annotated_video
from metst_core.pipeline.result import AnalysisResult, analyse

__all__ = [
    "NOTICE",
    "STOPPED",
    "Analysis",
    "AnalysisResult",
    "Calibration",
    "Clip",
    "LiveScore",
    "TrainedModel",
    "analyse",
    "camera_widget",
    "check_no_input",
    "check_output",
    "clips_of",
    "decode_trace",
    "face_jpeg",
    "fine_tune",
    "load_model",
    "results_table",
    "save_model",
    "summary_text",
    "weight_files",
    "write_annotated_video",
    "write_csv",
    "write_megc",
    "write_page",
    "write_results_json",
]
