"""Weights of one's own: a network, its threshold, half length and calibration, from any annotated set.

The recipe is that of the bundled weights (`weights`): groups of persons are held out in turn, what networks say about
persons they have not seen sets the threshold and the calibration and gives the card's numbers, and one more network
learns from all.  Motion and folds are kept beside the weights, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from metst_core.checks import whole_number
from metst_core.datasets import Dataset
from metst_core.errors import InputError
from metst_core.experiment.card import write_own_card
from metst_core.experiment.profiles import PROFILES
from metst_core.experiment.weights import Recipe, build_from
from metst_core.extraction import extract_dataset
from metst_core.files import claim_folder
from metst_core.inference import TrainedModel, save_model
from metst_core.landmarks import Landmarker, MediaPipeLandmarker
from metst_core.training import TrainConfig, check_device

WORK = "work"
"""The folder beside the weights that holds motion and folds; it may be deleted once the weights are there."""


def train_weights(
    dataset: Dataset,
    out_dir: str | Path,
    config: TrainConfig,
    n_groups: int = 4,
    n_jobs: int = 1,
    landmarker_factory: Callable[[], Landmarker] = MediaPipeLandmarker,
) -> tuple[Path, TrainedModel]:
    """Train weights on an annotated set and write `<set>.safetensors`, its constants (`.json`) and its card (`.md`).

    n_groups: groups of persons that are held out in turn (at most one per person).  Returns the weights' path and what is
    in it.  Resumable: a repeated call with the same set and configuration goes on; a folder of another is refused.

    Raises an `InputError` for a set of fewer than 2 persons or without annotations, and for videos of several rates.
    """
    out = Path(out_dir)
    whole_number("n_groups", n_groups, 2)
    check_device(config.device)
    if dataset.annotations.empty:
        raise InputError(
            f"{dataset.name}: no micro-expression is annotated, so there is nothing to learn from"
        )
    persons = len(dataset.subjects)
    if persons < 2:
        raise InputError(
            f"{dataset.name}: {persons} person; the threshold is set on persons not seen, so 2 are needed, and more are better"
        )
    rates = sorted(dataset.videos["fps"].round(3).unique())
    if len(rates) > 1:
        said = ", ".join(f"{rate:g}" for rate in rates)
        raise InputError(
            f"{dataset.name}: videos of several frame rates ({said}); make them one: --option fps=30"
        )
    n_groups = min(n_groups, persons)
    claim_folder(
        out / WORK,
        {
            "set": dataset.name,
            "frames": dataset.reading_hash(),
            "n_groups": n_groups,
            "config": config.to_dict(),
        },
        what="the work on other weights",
    )
    motion = extract_dataset(dataset, config.features, landmarker_factory, out / WORK / "motion", n_jobs)
    recipe = replace(Recipe(), n_groups=n_groups, train=config)
    trained = build_from(motion, recipe, out / WORK, n_jobs)
    card = {
        **trained.card,
        "recipe": {"n_groups": n_groups, "train": asdict(config)},
        "trained_on": _described(dataset),
    }
    trained = replace(trained, name=f"own weights ({dataset.name})", card=card)
    path = save_model(trained, out / f"{dataset.name}.safetensors")
    write_own_card(trained, path.with_suffix(".md"))
    return path, trained


def _described(dataset: Dataset) -> str:
    """What a set is called in a sentence."""
    return {
        "synthetic": "synthetic faces",
        "casme3": "CAS(ME)^3",
        "sammlv": "SAMM-LV",
        "folder": "videos of one's own",
    }.get(dataset.name, dataset.name)


def check_profile_here(
    name: str, remedy: str = "use --profile default (a laptop) or --profile smoke"
) -> None:
    """`InputError` with what to do instead if a profile wants a GPU and torch sees none; nothing for an unknown name."""
    if name not in PROFILES:
        return
    try:
        check_device(PROFILES[name].device)
    except InputError as error:
        raise InputError(
            f"--profile {name} trains on a GPU, and torch sees no CUDA device here; {remedy}"
        ) from error
