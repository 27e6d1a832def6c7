"""Scores -> numbers with their intervals.

match_intervals, match_tables    predicted intervals and true ones, one to one
evaluate                         spotting, recognition, STRS; the variants that are in use
bootstrap, paired_difference     intervals over persons, two methods on the same persons
"""

from metst_core.metrics.matching import interval_iou, match_intervals, match_tables
from metst_core.metrics.persons import (
    INTERVALS,
    Intervals,
    bootstrap,
    interval_text,
    paired_difference,
    percentiles,
    resamples,
    seed_spread,
)
from metst_core.metrics.scores import (
    KINDS,
    METRICS,
    PRESETS,
    SCORING,
    Evaluation,
    Scoring,
    SubjectCounts,
    class_indices,
    evaluate,
    scores_line,
    scores_of_counts,
    scoring_variants,
)

__all__ = [
    "INTERVALS",
    "KINDS",
    "METRICS",
    "PRESETS",
    "SCORING",
    "Evaluation",
    "Intervals",
    "Scoring",
    "SubjectCounts",
    "bootstrap",
    "class_indices",
    "evaluate",
    "interval_iou",
    "interval_text",
    "match_intervals",
    "match_tables",
    "paired_difference",
    "percentiles",
    "resamples",
    "scores_line",
    "scores_of_counts",
    "scoring_variants",
    "seed_spread",
]
