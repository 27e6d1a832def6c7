"""Data sets: files of the field and back, as one `Dataset`."""

from metst_core.datasets.check import CheckReport, check_dataset
from metst_core.datasets.dataset import CLASS_SETS, Dataset
from metst_core.datasets.fit import fit_annotations
from metst_core.datasets.labels import (
    canonical_ids,
    id_parts,
    interval_of,
    read_casme3_sheet,
    read_sammlv_sheets,
)
from metst_core.datasets.load import (
    FILE_OPTIONS,
    OPTION_NAMES,
    load_dataset,
    load_labels,
    write_dataset,
    write_tables,
)
from metst_core.datasets.megc import SUBMISSION_COLUMNS, read_submission, write_submission
from metst_core.datasets.readers import NumberedImagesReader, VideoReader
from metst_core.datasets.rules import RULES, Report, Rules, choose_rules
from metst_core.datasets.search import FoundVideo, is_folder, named_videos, videos_under
from metst_core.datasets.sheets import as_frame, as_id
from metst_core.datasets.timelines import (
    APEX_TIER,
    ME_TIER,
    TIMELINE_READERS,
    Mark,
    read_eaf,
    read_spans,
    read_textgrid,
    read_vtt,
)

__all__ = [
    "APEX_TIER",
    "CLASS_SETS",
    "FILE_OPTIONS",
    "ME_TIER",
    "OPTION_NAMES",
    "RULES",
    "SUBMISSION_COLUMNS",
    "TIMELINE_READERS",
    "CheckReport",
    "Dataset",
    "FoundVideo",
    "Mark",
    "NumberedImagesReader",
    "Report",
    "Rules",
    "VideoReader",
    "as_frame",
    "as_id",
    "canonical_ids",
    "check_dataset",
    "choose_rules",
    "fit_annotations",
    "id_parts",
    "interval_of",
    "is_folder",
    "load_dataset",
    "load_labels",
    "named_videos",
    "read_casme3_sheet",
    "read_eaf",
    "read_sammlv_sheets",
    "read_spans",
    "read_submission",
    "read_textgrid",
    "read_vtt",
    "videos_under",
    "write_dataset",
    "write_submission",
    "write_tables",
]
