"""The first edition of the bundled weights, and the recipe of weights from any motion set (`build_from`).

1. SynthME videos of many synthetic persons, and their ROI motion.
2. Groups of persons are held out in turn; what the networks say about persons they have not seen sets the
   threshold and the calibration of the confidence, and gives the numbers of the model card.
3. One network is trained on all persons; it is stored as safetensors with its constants as JSON beside it.

Every step is kept in the work folder, so a run that was stopped goes on where it was.  The result depends on
the recipe alone.  From a shell: `python -m metst_core.experiment.recipe`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metst_core.decoding import half_length
from metst_core.errors import InputError
from metst_core.experiment.card import measures, write_card
from metst_core.experiment.held_out import HeldOut, calibrate, nested_predictions
from metst_core.extraction import MotionSet, extract_dataset
from metst_core.files import run_record
from metst_core.inference import BUNDLED_NAME, TrainedModel, save_model
from metst_core.models import Network
from metst_core.synthetic import generate
from metst_core.training import TrainConfig, fit_windows, leave_one_subject_out, windows_of


@dataclass(frozen=True)
class Recipe:
    """What the bundled weights are made from.

    `n_subjects`, `n_videos` (per subject), `seconds`, `tier` and `seed` describe the synthetic set (version 1);
    `n_groups` of subjects are held out in turn; `train` is the configuration of every training.
    """

    n_subjects: int = 8
    n_videos: int = 4
    seconds: float = 15.0
    tier: str = "default"
    seed: int = 100
    n_groups: int = 4
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            model="metst_plus",
            width=32,
            d_state=16,
            blocks_per_stage=1,
            epochs=30,
            batch_size=32,
            learning_rate=2e-3,
        )
    )


def write_weights(
    recipe: Recipe,
    out_dir: str | Path,
    work_dir: str | Path,
    n_jobs: int = 1,
    card: str | Path | None = None,
    name: str = "bundled-1",
) -> tuple[Path, TrainedModel]:
    """Run the recipe and write `<name>.safetensors` and `<name>.json` into `out_dir`.

    Returns the first's path, and what is in it.  `card` is a model card whose numbers to bring up to date.
    """
    trained = build(recipe, work_dir, n_jobs)
    path = save_model(trained, Path(out_dir) / f"{name}.safetensors")
    if card is not None and trained.calibration is not None:
        write_card(trained.card, trained.calibration.evidence, card)
    return path, trained


def build(recipe: Recipe, work_dir: str | Path, n_jobs: int = 1) -> TrainedModel:
    """Run the recipe; everything between the steps is kept in `work_dir`."""
    work = Path(work_dir)
    dataset = generate(
        work / "data", recipe.n_subjects, recipe.n_videos, recipe.seconds,
        seed=recipe.seed, tier=recipe.tier, version=1, n_jobs=n_jobs,
    )  # fmt: skip
    motion = extract_dataset(dataset, recipe.train.features, cache_dir=work / "motion", n_jobs=n_jobs)
    return build_from(motion, recipe, work, n_jobs)


def build_from(motion: MotionSet, recipe: Recipe, work_dir: str | Path, n_jobs: int = 1) -> TrainedModel:
    """The recipe from its second step on, on any motion set; the trained folds are kept in `work_dir`."""
    work = Path(work_dir)
    groups = {subject: f"group{i % recipe.n_groups}" for i, subject in enumerate(motion.subjects)}
    held_out = leave_one_subject_out(_grouped(motion, groups), recipe.train, work / "held_out", n_jobs)
    draft = TrainedModel(
        network=recipe.train.build(),
        features=recipe.train.features,
        window=motion.window,
        fps=motion.fps,
        k_p=half_length(motion.annotations),
        p=recipe.train.p,
        synergy=recipe.train.synergy,
        strategy=recipe.train.strategy,
        name=BUNDLED_NAME,
    )
    said = HeldOut(held_out.traces, held_out.annotations)
    if not said.traces:
        raise InputError(
            "no group of persons could be held out, so nothing is known of the threshold; see the warnings"
        )
    calibrated = calibrate(draft, said)
    network = train_on_all(motion, recipe.train)
    return replace(calibrated, network=network, card=_card(recipe, motion, calibrated, said))


def train_on_all(motion: MotionSet, config: TrainConfig) -> Network:
    """One network, trained on every subject of a motion set."""
    return fit_windows(windows_of(motion), config, config.seed).model


def _grouped(motion: MotionSet, groups: dict[str, str]) -> MotionSet:
    """The same videos with groups of subjects in the place of subjects."""

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(
            video=table["subject"] + "_" + table["video"], subject=table["subject"].map(groups)
        )

    def by_group(parts: dict[tuple[str, str], np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
        return {(groups[subject], f"{subject}_{video}"): part for (subject, video), part in parts.items()}

    return replace(
        motion,
        windows=by_group(motion.windows),
        head=by_group(motion.head),
        shift=by_group(motion.shift),
        annotations=renamed(motion.annotations),
        videos=renamed(motion.videos),
    )


def _card(recipe: Recipe, motion: MotionSet, model: TrainedModel, held_out: HeldOut) -> dict[str, Any]:
    """The numbers of the model card."""
    predictions = nested_predictions(model, held_out)
    return {
        "recipe": dataclasses.asdict(recipe),
        "record": run_record(),
        "subjects": len(motion.subjects),
        "videos": len(motion.windows),
        "minutes": float(motion.videos["n_frames"].sum() / motion.fps / 60),
        "micro_expressions": len(motion.annotations),
        "held_out": {rule: measures(table, motion) for rule, table in predictions.items()},
    }
