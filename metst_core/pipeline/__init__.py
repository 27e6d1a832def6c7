"""One's own video: from a file to named intervals, for people."""

from metst_core.inference import (
    NOTICE,
    STOPPED,
    Analysis,
    AnalysisResult,
    Calibration,
    TrainedModel,
    analyse,
    check_output,
    decode_trace,
    fine_tune,
    load_model,
    save_model,
)
from metst_core.pipeline.live import LiveScore, camera_widget
from metst_core.pipeline.page import (
    clips_of,
    summary_text,
    timeline_figure,
    write_annotated_video,
    write_page,
)

__all__ = [
    "NOTICE",
    "STOPPED",
    "Analysis",
    "AnalysisResult",
    "Calibration",
    "LiveScore",
    "TrainedModel",
    "analyse",
    "camera_widget",
    "check_output",
    "clips_of",
    "decode_trace",
    "fine_tune",
    "load_model",
    "save_model",
    "summary_text",
    "timeline_figure",
    "write_annotated_video",
    "write_page",
]
