"""What a network can learn from motion without labels, before it is trained: masked spans, and two views of one face.

masked: spans of frames are blanked and rebuilt from what is left (an idea of masked modelling, without its soft
contrast).  contrast: two views of a window, each without some ROIs, should resemble each other more than other windows
do (an idea of graph-aware contrasting, with ROIs as nodes that are dropped).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from metst_core.models import Network
from metst_core.training.augment import augmented

PRETRAINING = ("", "masked", "contrast", "teacher")
"""What half of the epochs may be spent on; "teacher" is no training before the training (`training.teacher`)."""
SPAN, BLANKED, TEMPERATURE = 6, 0.3, 0.2


def pretrain(
    model: Network, motion: np.ndarray, kind: str, epochs: int, rate: float, batch_size: int, seed: int
) -> list[float]:
    """Train stem and spotting pathway of `model` in place on windows `(n, C, k)` without labels; the losses by epoch."""
    rng = np.random.default_rng([seed, 2])
    x = torch.from_numpy(motion)
    reader = nn.Linear(model.spotting.features, x.shape[1] if kind == "masked" else 32).to(x)
    parameters = [*model.stem.parameters(), *model.spotting.parameters(), *reader.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=rate)
    scale = x.std().clamp_min(1e-6)
    losses = []
    model.train()
    for _ in range(epochs):
        total = 0.0
        for batch in torch.from_numpy(rng.permutation(len(x))).split(batch_size):
            if len(batch) < 2:
                continue
            loss = (_rebuild if kind == "masked" else _contrast)(model, reader, x[batch] / scale, rng)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += len(batch) * float(loss.detach())
        losses.append(total / len(x))
    return losses


def _features(model: Network, x: Tensor) -> Tensor:
    features: Tensor = model.spotting(model.stem(x).transpose(1, 2))
    return features


def _rebuild(model: Network, reader: nn.Module, x: Tensor, rng: np.random.Generator) -> Tensor:
    """Squared error of the blanked frames."""
    spans = rng.random((len(x), -(-x.shape[2] // SPAN))) < BLANKED
    blank = torch.from_numpy(np.repeat(spans, SPAN, axis=1)[:, : x.shape[2]])
    told = reader(_features(model, x * ~blank[:, None])).transpose(1, 2)
    missing = blank[:, None].expand_as(x)
    return functional.mse_loss(told[missing], x[missing]) if blank.any() else (told * 0).sum()


def _contrast(model: Network, reader: nn.Module, x: Tensor, rng: np.random.Generator) -> Tensor:
    """Cross-entropy of finding a window's other view among the batch, both ways."""
    nothing = torch.zeros(len(x), x.shape[2])
    views = [augmented(x, nothing, nothing, "masks", rng)[0] for _ in range(2)]
    a, b = (functional.normalize(reader(_features(model, view).mean(dim=1)), dim=1) for view in views)
    alike = a @ b.T / TEMPERATURE
    own = torch.arange(len(x))
    return (functional.cross_entropy(alike, own) + functional.cross_entropy(alike.T, own)) / 2
