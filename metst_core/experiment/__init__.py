"""A whole run and its page; the authors' networks; the recipe of the bundled weights."""

from metst_core.experiment.ablation import (
    CELLS,
    Ablation,
    Cell,
    Runner,
    run_ablation,
    window_cells,
    without_effect,
)
from metst_core.experiment.answer import Answer, answer, write_answer
from metst_core.experiment.authors import ReleasedScore, checkpoint_files, read_order, score_released
from metst_core.experiment.baselines import (
    BaselineResult,
    chance_predictions,
    chance_scores,
    majority_emotion,
    motion_spotter,
)
from metst_core.experiment.card import CARD_MARKS, write_card
from metst_core.experiment.claims import (
    CLAIMS,
    Budget,
    Claim,
    ClaimsTable,
    chosen_by_others,
    claims_named,
    run_claims,
    window_claim,
)
from metst_core.experiment.comparisons import Scored, compare, over_seeds, verdict
from metst_core.experiment.decoders import (
    DECODERS,
    NestedResult,
    decoders_in_words,
    nested_decoder,
    run_decoders,
)
from metst_core.experiment.edition import Edition, write_edition
from metst_core.experiment.exercises import check, write_student
from metst_core.experiment.gallery import errors_by_kind, one_of_each, view_of
from metst_core.experiment.held_out import HeldOut, calibrate
from metst_core.experiment.ideas import IDEAS, PAPERS, Paper, idea_table
from metst_core.experiment.kept_claims import (
    StoredClaims,
    claims_page,
    keep,
    read_claims,
    read_decoders,
    write_claims,
)
from metst_core.experiment.notebooks import execute, reproduce
from metst_core.experiment.own_weights import check_profile_here, train_weights
from metst_core.experiment.page import refresh, write_page
from metst_core.experiment.prepared import by_hand, find_prepared, prepare, unpack
from metst_core.experiment.profiles import BEYOND, MAIN_JOB, PROFILES, Profile, run_name
from metst_core.experiment.results import (
    PUBLISHED_SCORES,
    beside_published,
    collect_results,
    compare_runs,
    comparison_table,
    headline_texts,
    read_results,
    results_dict,
)
from metst_core.experiment.run import Run, describe
from metst_core.experiment.samples import set_samples
from metst_core.experiment.schema import HEADLINE, SCHEMA, check_results
from metst_core.experiment.scoring import Scores, average_precision, score_files, score_tables
from metst_core.experiment.seen_unseen import Familiarity, familiarity
from metst_core.experiment.strata import recall_tables, strengths
from metst_core.experiment.touch import write_touch_pages
from metst_core.experiment.weights import Recipe, build, build_from, train_on_all, write_weights
from metst_core.experiment.wording import ahead, comparison_in_words, over, told
from metst_core.inference import motion_contrast, motion_path

__all__ = [
    "BEYOND",
    "CARD_MARKS",
    "CELLS",
    "CLAIMS",
    "DECODERS",
    "HEADLINE",
    "IDEAS",
    "MAIN_JOB",
    "PAPERS",
    "PROFILES",
    "PUBLISHED_SCORES",
    "SCHEMA",
    "Ablation",
    "Answer",
    "BaselineResult",
    "Budget",
    "Cell",
    "Claim",
    "ClaimsTable",
    "Edition",
    "Familiarity",
    "HeldOut",
    "NestedResult",
    "Paper",
    "Profile",
    "Recipe",
    "ReleasedScore",
    "Run",
    "Runner",
    "Scored",
    "Scores",
    "StoredClaims",
    "ahead",
    "answer",
    "average_precision",
    "beside_published",
    "build",
    "build_from",
    "by_hand",
    "calibrate",
    "chance_predictions",
    "chance_scores",
    "check",
    "check_profile_here",
    "check_results",
    "checkpoint_files",
    "chosen_by_others",
    "claims_named",
    "claims_page",
    "collect_results",
    "compare",
    "compare_runs",
    "comparison_in_words",
    "comparison_table",
    "decoders_in_words",
    "describe",
    "errors_by_kind",
    "execute",
    "familiarity",
    "find_prepared",
    "headline_texts",
    "idea_table",
    "keep",
    "majority_emotion",
    "motion_contrast",
    "motion_path",
    "motion_spotter",
    "nested_decoder",
    "one_of_each",
    "over",
    "over_seeds",
    "prepare",
    "read_claims",
    "read_decoders",
    "read_order",
    "read_results",
    "recall_tables",
    "refresh",
    "reproduce",
    "results_dict",
    "run_ablation",
    "run_claims",
    "run_decoders",
    "run_name",
    "score_files",
    "score_released",
    "score_tables",
    "set_samples",
    "strengths",
    "told",
    "train_on_all",
    "train_weights",
    "unpack",
    "verdict",
    "view_of",
    "window_cells",
    "window_claim",
    "without_effect",
    "write_answer",
    "write_card",
    "write_claims",
    "write_edition",
    "write_page",
    "write_student",
    "write_touch_pages",
    "write_weights",
]
