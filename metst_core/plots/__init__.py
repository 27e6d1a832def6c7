"""Static figures: arrays in, matplotlib Figure out."""

from metst_core.plots.figures import (
    EMOTION_COLOURS,
    EMOTIONS,
    ROI_COLOURS,
    TRUTH,
    ablation,
    comparison,
    confusion,
    dataset_overview,
    interval_timeline,
    method_label,
    metric_label,
    motion_traces,
    rois_on_face,
    score_timeline,
    state_strip,
    training_curves,
)

__all__ = [
    "EMOTIONS",
    "EMOTION_COLOURS",
    "ROI_COLOURS",
    "TRUTH",
    "ablation",
    "comparison",
    "confusion",
    "dataset_overview",
    "interval_timeline",
    "method_label",
    "metric_label",
    "motion_traces",
    "rois_on_face",
    "score_timeline",
    "state_strip",
    "training_curves",
]
