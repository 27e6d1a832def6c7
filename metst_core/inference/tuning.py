"""One's own annotations: a copy of a model, trained further."""

from __future__ import annotations

import dataclasses

from torch import nn

from metst_core.errors import InputError
from metst_core.extraction import MotionSet
from metst_core.inference.trained import TrainedModel
from metst_core.models import Network
from metst_core.training import TrainConfig, fit_windows, windows_of


def fine_tune(
    trained: TrainedModel,
    motion: MotionSet,
    epochs: int = 10,
    learning_rate: float = 3e-4,
    seed: int = 100,
    ratio: float = 1.0,
) -> TrainedModel:
    """A copy of a model, trained further on the annotated videos of `motion`; the constants stay as they are.

    The windows with a micro-expression are used and `ratio` times as many without; with all of them the score would
    soon be zero everywhere.  The calibration is dropped: it belonged to the old weights.  A handful of annotations teaches
    the network this face and camera, nothing general.
    """
    if motion.features != trained.features or motion.window != trained.window:
        raise InputError(
            f"the motion is {motion.features!r} in windows of {motion.window}, the model reads "
            f"{trained.features!r} in windows of {trained.window}; extract it so"
        )
    if motion.annotations.empty:
        raise InputError(
            "the motion set holds no annotation to learn from; annotate at least one micro-expression"
        )
    pupil = _copy(trained.network)
    config = TrainConfig(epochs=epochs, learning_rate=learning_rate, batch_size=16, ratio=ratio, seed=seed)
    for module in pupil.modules():
        if isinstance(module, nn.BatchNorm1d):
            # A handful of windows cannot replace the statistics of the many: they stay as they are.
            module.train = lambda mode=True, kept=module: kept  # type: ignore[method-assign, misc]
    fit_windows(windows_of(motion), config, seed, pupil)
    name = f"{trained.name}, fine-tuned"
    return dataclasses.replace(trained, network=_copy(pupil), calibration=None, name=name)


def _copy(network: Network) -> Network:
    copy = type(network)(**network.config)
    copy.load_state_dict(network.state_dict())
    return copy.eval()
