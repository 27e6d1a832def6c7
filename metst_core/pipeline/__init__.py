"""One's own video: from a file to named intervals, for people."""

from metst_core.datasets import read_eaf, read_textgrid, read_vtt
from metst_core.files import check_no_input
from metst_core.inference import (
    NOTICE,
    STOPPED,
    Analysis,
    Calibration,
    FaceChoice,
    TrainedModel,
    decode_trace,
    fine_tune,
    load_model,
    save_model,
    weight_files,
)
from metst_core.pipeline.batch import (
    SUBJECT_RULES,
    Done,
    Task,
    Work,
    WorkBar,
    file_names,
    found_in,
    in_parallel,
    per_face,
    tasks_for,
    trouble_with,
    write_outputs,
)
from metst_core.pipeline.exports import (
    check_output,
    results_table,
    summary_text,
    write_csv,
    write_frames,
    write_megc,
    write_results_json,
)
from metst_core.pipeline.index import write_index
from metst_core.pipeline.keeping import Kept, check_free
from metst_core.pipeline.live import LiveScore, camera_widget
from metst_core.pipeline.naming import NAMED_COLUMNS, name_given, read_given
from metst_core.pipeline.page import write_page
from metst_core.pipeline.reel import Clip, clips_of, face_jpeg, write_annotated_video
from metst_core.pipeline.result import AnalysisResult, analyse
from metst_core.pipeline.summary import (
    SUMMARY_COLUMNS,
    Refused,
    summary_table,
    usable_frames,
    verdict_of,
    write_summary,
)
from metst_core.pipeline.timelines import write_eaf, write_textgrid, write_vtt

__all__ = [
    "NAMED_COLUMNS",
    "NOTICE",
    "STOPPED",
    "SUBJECT_RULES",
    "SUMMARY_COLUMNS",
    "Analysis",
    "AnalysisResult",
    "Calibration",
    "Clip",
    "Done",
    "FaceChoice",
    "Kept",
    "LiveScore",
    "Refused",
    "Task",
    "TrainedModel",
    "Work",
    "WorkBar",
    "analyse",
    "camera_widget",
    "check_free",
    "check_no_input",
    "check_output",
    "clips_of",
    "decode_trace",
    "face_jpeg",
    "file_names",
    "fine_tune",
    "found_in",
    "in_parallel",
    "load_model",
    "name_given",
    "per_face",
    "read_eaf",
    "read_given",
    "read_textgrid",
    "read_vtt",
    "results_table",
    "save_model",
    "summary_table",
    "summary_text",
    "tasks_for",
    "trouble_with",
    "usable_frames",
    "verdict_of",
    "weight_files",
    "write_annotated_video",
    "write_csv",
    "write_eaf",
    "write_frames",
    "write_index",
    "write_megc",
    "write_outputs",
    "write_page",
    "write_results_json",
    "write_summary",
    "write_textgrid",
    "write_vtt",
]
