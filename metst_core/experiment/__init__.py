"""A whole run and its page; the recipe of the bundled weights."""

from metst_core.experiment.authors import checkpoint_files, read_order, score_released
from metst_core.experiment.baselines import (
    chance_predictions,
    chance_scores,
    majority_emotion,
    motion_contrast,
    motion_path,
    motion_spotter,
)
from metst_core.experiment.comparisons import (
    CELLS,
    Cell,
    Intervals,
    check_results,
    compare,
    over_seeds,
    results_dict,
    run_ablation,
    window_cells,
)
from metst_core.experiment.notebooks import reproduce
from metst_core.experiment.page import (
    HEADLINE,
    PUBLISHED,
    collect_results,
    compare_runs,
    comparison_table,
    refresh,
    write_report,
)
from metst_core.experiment.run import MAIN_JOB, PROFILES, Run, describe, videos_of

__all__ = [
    "CELLS",
    "HEADLINE",
    "MAIN_JOB",
    "PROFILES",
    "PUBLISHED",
    "Cell",
    "Intervals",
    "Run",
    "chance_predictions",
    "chance_scores",
    "check_results",
    "checkpoint_files",
    "collect_results",
    "compare",
    "compare_runs",
    "comparison_table",
    "describe",
    "majority_emotion",
    "motion_contrast",
    "motion_path",
    "motion_spotter",
    "over_seeds",
    "read_order",
    "refresh",
    "reproduce",
    "results_dict",
    "run_ablation",
    "score_released",
    "videos_of",
    "window_cells",
    "write_report",
]
