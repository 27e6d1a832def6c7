"""Training: configuration, drawn windows, optimisation, folds, leave one subject out.

TrainConfig                      every choice of a run
windows_of, fit_windows          targets, draw, seed and fit: the same for folds, bundled weights, fine-tuning
train_fold                       one network that has not seen one subject
leave_one_subject_out            all of them, resumable in a folder
"""

from metst_core.training.config import METHODS, PROTOCOLS, TrainConfig
from metst_core.training.fold import (
    Fold,
    ScoreTrace,
    decode_traces,
    fold_half_length,
    fold_seed,
    train_fold,
)
from metst_core.training.loso import LosoResult, held_out_groups, leave_one_subject_out, run_protocols
from metst_core.training.material import TrainingWindows, draw_windows, scored_videos, windows_of
from metst_core.training.optimise import (
    Fitted,
    FoldError,
    check_device,
    class_weights,
    fit,
    fit_windows,
    fold_conditions,
    joint_loss,
    scale_factors,
)
from metst_core.training.store import fold_folder, fold_model, read_traces, restore_run, write_traces

__all__ = [
    "METHODS",
    "PROTOCOLS",
    "Fitted",
    "Fold",
    "FoldError",
    "LosoResult",
    "ScoreTrace",
    "TrainConfig",
    "TrainingWindows",
    "check_device",
    "class_weights",
    "decode_traces",
    "draw_windows",
    "fit",
    "fit_windows",
    "fold_conditions",
    "fold_folder",
    "fold_half_length",
    "fold_model",
    "fold_seed",
    "held_out_groups",
    "joint_loss",
    "leave_one_subject_out",
    "read_traces",
    "restore_run",
    "run_protocols",
    "scale_factors",
    "scored_videos",
    "train_fold",
    "windows_of",
    "write_traces",
]
