"""A mean teacher (an idea of PMT): what a running mean of the networks says of windows without labels, the next is to say too."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metst_core.models import Network
from metst_core.training.augment import augmented

KEPT = 0.97
"""What is kept of the teacher after each step; the rest comes from the student."""


class MeanTeacher:
    """The running mean of a network in training, and the windows `motion (n, C, k)` it is asked about, without their labels."""

    def __init__(self, model: Network, motion: np.ndarray, seed: int) -> None:
        self.network = copy.deepcopy(model).eval()
        self._motion = torch.from_numpy(motion)
        self._rng = np.random.default_rng([seed, 4])

    def loss(self, model: Network, batch_size: int) -> Tensor:
        """Squared error between the student's scores of some windows with ROIs left out and the teacher's of the whole ones."""
        x = self._motion[torch.from_numpy(self._rng.integers(len(self._motion), size=batch_size))]
        with torch.no_grad():
            told, logits = self.network(x)
        said, _ = model(augmented(x, told, logits, "masks", self._rng)[0])
        return functional.mse_loss(said, told)

    @torch.no_grad()
    def follow(self, model: Network) -> None:
        """Come a little nearer to the student."""
        for mine, its in zip(self.network.parameters(), model.parameters(), strict=True):
            mine.lerp_(its, 1 - KEPT)
        for own, new in zip(self.network.buffers(), model.buffers(), strict=True):
            own.copy_(new)
