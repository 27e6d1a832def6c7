"""One network trained: loss, schedule and seed.  Folds, bundled weights and fine-tuning all come through here."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from metst_core.errors import InputError, MetstError
from metst_core.models import Network, evaluating
from metst_core.ssm import compile_around_scans
from metst_core.tables import CLASSES, NEUTRAL
from metst_core.training.augment import augmented
from metst_core.training.config import TrainConfig
from metst_core.training.material import TrainingWindows
from metst_core.training.pretrain import pretrain
from metst_core.training.teacher import MeanTeacher
from metst_core.workers import one_thread

_NEUTRAL = CLASSES.index(NEUTRAL)
_ONE_FOLD_AT_A_TIME = (
    threading.Lock()
)  # torch's random numbers are per process: threads of one must take turns


class FoldError(MetstError):
    """A fold that cannot be trained; the run goes on and reports it."""


class Fitted(NamedTuple):
    """What `fit_windows` leaves: the trained network, its history (`fit`), and the windows that were drawn."""

    model: Network
    history: pd.DataFrame
    drawn: TrainingWindows


def fit_windows(
    windows: TrainingWindows,
    config: TrainConfig,
    seed: int,
    model: Network | None = None,
    held_out: TrainingWindows | None = None,
) -> Fitted:
    """Draw from `windows` by `config.ratio`, seed, and train a fresh network of `config` (or `model`, in place).

    With `held_out` the history also has the loss on those windows (`fit`); the network is the same to the bit.

    All that is random follows from `seed`: the drawn windows, the first weights, order and scale.  One thread,
    and alone in this process, so the result is the same everywhere.
    """
    drawn = windows.draw(config.ratio, np.random.default_rng([seed, 0]))
    with fold_conditions(seed, config.device):
        network = (config.build() if model is None else model).to(config.device)
        teacher = None
        if config.pretrain:  # half of the epochs go to it: the budget stays the same
            half = config.epochs // 2
            if config.pretrain == "teacher":
                teacher = MeanTeacher(network, windows.motion, seed)
            else:
                pretrain(
                    network,
                    drawn.motion,
                    config.pretrain,
                    half,
                    config.learning_rate,
                    config.batch_size,
                    seed,
                )
            config = dataclasses.replace(config, epochs=max(1, config.epochs - half))
        return Fitted(network, fit(network, drawn, config, seed, held_out, teacher), drawn)


def class_weights(classes: np.ndarray, neutral_weight: float = 6.0, synergy: int = 2) -> np.ndarray:
    """Weights `(5,)` of the cross-entropy from the training frames' classes (any shape).

    "Balanced": `n_frames / (n_present_classes * frames of the class)`, neutral times `neutral_weight`, or
    times 0 with `synergy=0`.  A class without a training frame weighs 0.
    """
    counts = np.bincount(np.asarray(classes).ravel(), minlength=len(CLASSES))
    weights = np.zeros(len(CLASSES))
    present = counts > 0
    weights[present] = counts.sum() / (present.sum() * counts[present])
    weights[_NEUTRAL] *= 0.0 if synergy == 0 else neutral_weight
    return weights


def scale_factors(config: TrainConfig) -> np.ndarray:
    """The factors a window may be multiplied with, `scale_low .. scale_high` in steps, both ends included."""
    n_steps = round((config.scale_high - config.scale_low) / config.scale_step)
    return config.scale_low + config.scale_step * np.arange(n_steps + 1)


def joint_loss(
    score: Tensor, logits: Tensor, target: Tensor, classes: Tensor, weights: Tensor, config: TrainConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss of a batch and its two parts: `score_weight * MSE + class_weight * weighted cross-entropy`.

    (Of the score the cross-entropy too, with `config.score_loss="cross-entropy"`.)
    score, target `(B, T)`; logits `(B, T, 5)`; classes `(B, T)` int64; weights `(5,)`.  The cross-entropy
    is the weighted mean over frames; a batch whose frames all weigh nothing has cross-entropy 0.
    """
    of_score = (
        functional.mse_loss if config.score_loss == "squared error" else functional.binary_cross_entropy
    )
    score_loss = of_score(score, target)
    total = functional.cross_entropy(logits.flatten(0, 1), classes.flatten(), weights, reduction="sum")
    class_loss = total / weights[classes].sum().clamp_min(torch.finfo(weights.dtype).tiny)
    return config.score_weight * score_loss + config.class_weight * class_loss, score_loss, class_loss


def fit(
    model: Network,
    windows: TrainingWindows,
    config: TrainConfig,
    seed: int,
    held_out: TrainingWindows | None = None,
    teacher: MeanTeacher | None = None,
) -> pd.DataFrame:
    """Train `model` in place on all of `windows`; return its history by epoch.

    The history has `epoch, loss, score_loss, class_loss, learning_rate` (means over the epoch's windows;
    the rate after its last step), and with `held_out` the three losses after each epoch on windows that are only
    looked at, as `held_out_loss, held_out_score_loss, held_out_class_loss`.  Each time a window is seen it is scaled by a factor drawn anew.
    What a `teacher` says counts the more the more epochs are over, and is in none of these losses.  Raises `FoldError` with the epoch in which the loss stops being finite.
    """
    device = torch.device(config.device)
    rng, changes = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 3])
    x, target, truth = (
        torch.from_numpy(part).to(device) for part in (windows.motion, windows.scores, windows.classes)
    )
    balance = class_weights(windows.classes, config.neutral_weight, config.synergy)
    weights = torch.from_numpy(balance).float().to(device)
    factors = scale_factors(config).astype(np.float32)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    n_batches = -(-len(x) // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.epochs * n_batches
    )
    forward = compile_around_scans(model) if config.compile else model
    model.train()
    history = []
    for epoch in range(1, config.epochs + 1):
        order = torch.from_numpy(rng.permutation(len(x))).to(device)
        factor = torch.from_numpy(rng.choice(factors, len(x))).to(device)
        sums = torch.zeros(3, dtype=torch.float64, device=device)
        for batch in order.split(config.batch_size):
            seen_now = x[batch] * factor[batch, None, None], target[batch], truth[batch]
            if config.augment:
                seen_now = augmented(*seen_now, config.augment, changes)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.amp):
                score, logits = forward(seen_now[0])
            losses = joint_loss(score.float(), logits.float(), *seen_now[1:], weights, config)
            optimiser.zero_grad()
            total = losses[0]
            if teacher is not None:
                total = total + (epoch - 1) / config.epochs * teacher.loss(model, len(batch))
            total.backward()
            optimiser.step()
            if teacher is not None:
                teacher.follow(model)
            rate = schedule.get_last_lr()[0]
            schedule.step()
            sums += len(batch) * torch.stack([loss.detach().double() for loss in losses])
        means = (sums / len(x)).tolist()
        if not np.isfinite(means).all():
            raise FoldError(
                f"the loss is not finite in epoch {epoch}; lower learning_rate or check the motion"
            )
        seen = () if held_out is None else losses_on(model, held_out, config, weights)
        history.append((epoch, *means, rate, *seen))
    model.eval()
    columns = ["epoch", "loss", "score_loss", "class_loss", "learning_rate"]
    columns += [] if held_out is None else [f"held_out_{name}" for name in columns[1:4]]
    return pd.DataFrame(history, columns=columns)


def losses_on(
    model: Network, windows: TrainingWindows, config: TrainConfig, weights: Tensor
) -> tuple[float, float, float]:
    """The mean joint loss, score loss and class loss over windows, in evaluation mode; nothing is changed."""
    device, sums = weights.device, torch.zeros(3, dtype=torch.float64)
    with evaluating(model):
        for rows in np.array_split(np.arange(len(windows)), -(-len(windows) // 256)):
            part = (windows.pool[windows.rows[rows]], windows.scores[rows], windows.classes[rows])
            x, target, truth = (torch.from_numpy(values).to(device) for values in part)
            score, logits = model(x)
            losses = joint_loss(score, logits, target, truth, weights, config)
            sums += len(rows) * torch.stack([loss.double().cpu() for loss in losses])
    loss, score_loss, class_loss = (sums / len(windows)).tolist()
    return loss, score_loss, class_loss


@contextlib.contextmanager
def fold_conditions(seed: int, device: str) -> Iterator[None]:
    """Seeded random numbers and a single thread, alone in this process; what was before is restored."""
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with _ONE_FOLD_AT_A_TIME, torch.random.fork_rng(devices), one_thread():
        torch.manual_seed(seed)
        yield


def check_device(device: str) -> None:
    """Raise an `InputError` when `device` is a CUDA device and torch sees none."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device is {device!r}, but torch sees no CUDA device; use device='cpu'")
