"""Scores -> numbers with their intervals.

match_intervals, match_tables    predicted intervals and true ones, one to one
evaluate                         spotting, recognition, STRS; the variants that are in use
score_intervals, coverage        intervals over persons and seeds, and how often such ones cover
compare_methods                  methods on the same persons: differences, one test for a whole table, its power
recall_by                        by length, by strength
simulate                         the persons from whom the coverage is known
"""

from metst_core.metrics.comparisons import (
    ENUMERATED,
    TESTED,
    Predicted,
    compare_methods,
    exchanges,
    judge,
    paired_difference,
)
from metst_core.metrics.intervals import (
    COVERAGE_FILE,
    INTERVAL_METHODS,
    INTERVALS,
    Counts,
    Intervals,
    bootstrap,
    coverage,
    interval_text,
    percentiles,
    resamples,
    score_intervals,
    seed_spread,
)
from metst_core.metrics.matching import interval_iou, match_intervals, match_tables
from metst_core.metrics.scores import (
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
from metst_core.metrics.simulation import COVERAGE_COLUMNS, PERSONS, simulate
from metst_core.metrics.strata import (
    LENGTHS,
    RECALL_COLUMNS,
    rate_ends,
    recall_by,
    recall_by_length,
    share_ends,
)
from metst_core.tables import KINDS

__all__ = [
    "COVERAGE_COLUMNS",
    "COVERAGE_FILE",
    "ENUMERATED",
    "INTERVALS",
    "INTERVAL_METHODS",
    "KINDS",
    "LENGTHS",
    "METRICS",
    "PERSONS",
    "PRESETS",
    "RECALL_COLUMNS",
    "SCORING",
    "TESTED",
    "Counts",
    "Evaluation",
    "Intervals",
    "Predicted",
    "Scoring",
    "SubjectCounts",
    "bootstrap",
    "class_indices",
    "compare_methods",
    "coverage",
    "evaluate",
    "exchanges",
    "interval_iou",
    "interval_text",
    "judge",
    "match_intervals",
    "match_tables",
    "paired_difference",
    "percentiles",
    "rate_ends",
    "recall_by",
    "recall_by_length",
    "resamples",
    "score_intervals",
    "scores_line",
    "scores_of_counts",
    "scoring_variants",
    "seed_spread",
    "share_ends",
    "simulate",
]
