"""The sizes of a run, and the notebooks that make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metst_core.training import TrainConfig

MAIN_JOB = ("01_roi_extraction", "02_state_transition_regression", "03_synergy_training", "04_evaluation")
BEYOND = ("05_roi_relationships", "06_your_own_video", "07_how_small", "08_further_ideas")

ORDER = ("metst_plus", "metst", "sliding_window", "patch")
"""The methods whose order the papers claim, and the patch, which has neither state nor windows."""


@dataclass(frozen=True)
class Profile:
    """The size of a run.

    n_subjects, n_videos (per subject), seconds, tier, prior: of the synthetic set (version 2).
    train: the `TrainConfig` fields that differ from the published ones.
    models: the networks to compare; the first four are what the papers' order is asked of, the others exchange one
        thing at a time.
    n_seeds: how many training seeds of the models that `seeded` names: ME-TST+ and its closest rival.
    train_official: train the networks anew for the official protocol.
    bootstrap: the resamples of an interval.
    notebooks: executed in this order; a cell that says nothing for `cell_timeout` seconds is given up (a lost
        kernel must not wait for ever).
    """

    n_subjects: int
    n_videos: int
    seconds: float
    tier: str = "calm"
    prior: str = "dense"
    train: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = (*ORDER, "metst_plus_moving", "metst_plus_5", "metst_18")
    n_seeds: int = 3
    seeded: tuple[str, ...] = ("metst_plus", "patch")
    train_official: bool = False
    bootstrap: int = 1000
    notebooks: tuple[str, ...] = MAIN_JOB + BEYOND
    cell_timeout: int = 6 * 3600

    @property
    def device(self) -> str:
        """Where its networks train: the `TrainConfig` default unless `train` names another."""
        return self.train.get("device", TrainConfig.device)


_SMALL = {"batch_size": 32, "ratio": 1.5, "d_state": 16}
PROFILES = {
    "smoke": Profile(
        3, 2, 8.0, n_seeds=2, seeded=("metst_plus",), bootstrap=200, notebooks=MAIN_JOB, cell_timeout=900, models=ORDER,
        train={**_SMALL, "epochs": 4, "width": 16, "d_state": 8, "blocks_per_stage": 1, "depth": 2, "learning_rate": 3e-3},
    ),
    "default": Profile(
        16, 2, 15.0, n_seeds=2,
        train={**_SMALL, "groups": 4, "epochs": 20, "width": 32, "blocks_per_stage": 1, "depth": 4, "learning_rate": 2e-3},
    ),
    "full": Profile(60, 4, 60.0, tier="interview", prior="casme3", train={"device": "cuda"}, train_official=True),
}  # fmt: skip
"""The sizes of a run: `smoke` shows that everything works, `default` learns something on a laptop, `full` is the published
network and schedule and wants a GPU.  `default` holds persons out in four groups, the others one person at a time."""


def run_name(profile: str, dataset: str) -> str:
    """What a run is called unless it is given a name: its profile, with the data set before it unless synthetic."""
    return profile if dataset == "synthetic" else f"{dataset}-{profile}"
