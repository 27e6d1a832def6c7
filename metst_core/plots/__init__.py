"""Static figures: arrays in, matplotlib Figure out."""

from metst_core.plots.claims import claim
from metst_core.plots.diagrams import DARK, DIAGRAMS, LIGHT, data_line, mamba_block, slow_fast, two_questions
from metst_core.plots.errors import ErrorView, error_gallery
from metst_core.plots.figures import (
    ScoreLine,
    ablation,
    comparison,
    confusion,
    dataset_overview,
    interval_timeline,
    motion_traces,
    rois_on_face,
    score_timeline,
    state_strip,
    training_curves,
)
from metst_core.plots.moving import flicker
from metst_core.plots.recall import RecallCurve, recall_curves, recall_page
from metst_core.plots.relations import (
    Course,
    Face,
    Scale,
    attribution_map,
    edges_of,
    focus_bars,
    lag_curves,
    relation_graph,
    relation_matrix,
    relation_page,
    roi_bars,
    time_page,
)
from metst_core.plots.samples import SetSample, set_page
from metst_core.plots.style import (
    EMOTION_COLOURS,
    ROI_COLOURS,
    TRUTH,
    emotion_handles,
    method_label,
    metric_label,
)
from metst_core.tables import EMOTIONS

__all__ = [
    "DARK",
    "DIAGRAMS",
    "EMOTIONS",
    "EMOTION_COLOURS",
    "LIGHT",
    "ROI_COLOURS",
    "TRUTH",
    "Course",
    "ErrorView",
    "Face",
    "RecallCurve",
    "Scale",
    "ScoreLine",
    "SetSample",
    "ablation",
    "attribution_map",
    "claim",
    "comparison",
    "confusion",
    "data_line",
    "dataset_overview",
    "edges_of",
    "emotion_handles",
    "error_gallery",
    "flicker",
    "focus_bars",
    "interval_timeline",
    "lag_curves",
    "mamba_block",
    "method_label",
    "metric_label",
    "motion_traces",
    "recall_curves",
    "recall_page",
    "relation_graph",
    "relation_matrix",
    "relation_page",
    "roi_bars",
    "rois_on_face",
    "score_timeline",
    "set_page",
    "slow_fast",
    "state_strip",
    "time_page",
    "training_curves",
    "two_questions",
]
