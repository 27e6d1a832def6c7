"""Windows changed each time they are seen: other speeds, other phases, ROIs left out.  Seeded, and off unless asked for.

warp: time runs faster or slower around a random frame.  phases: before and after the middle of a micro-expression time
runs at two speeds of their own (an idea of phase-aware augmentation).  masks: some ROIs are not seen (an idea of GaitASMS).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

AUGMENTATIONS = ("", "warp", "phases", "masks")
SLOWEST, FASTEST = 0.7, 1.4
"""Speeds are drawn between these, evenly on a logarithmic scale."""
MASKED = 0.15
"""How often a ROI is left out."""


def augmented(
    x: Tensor, target: Tensor, classes: Tensor, kind: str, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A changed batch: motion x (B, C, T), target (B, T) and classes (B, T), of the same shapes.

    Motion stays counted from the window's first frame: its first column is subtracted again.  Targets move with it.
    """
    if kind == "masks":
        seen = torch.from_numpy(rng.random((len(x), x.shape[1] // 2)) >= MASKED).to(x)
        return x * seen.repeat_interleave(2, dim=1)[:, :, None], target, classes
    n_frames = x.shape[2]
    centre = torch.from_numpy(rng.uniform(0, n_frames - 1, len(x))).to(x)
    speeds = torch.from_numpy(np.exp(rng.uniform(np.log(SLOWEST), np.log(FASTEST), (len(x), 2)))).to(x)
    if kind == "phases":
        inside = (target > 0).to(x)
        middle = (inside * torch.arange(n_frames, device=x.device)).sum(dim=1) / inside.sum(dim=1).clamp_min(
            1
        )
        centre = torch.where(inside.any(dim=1), middle, centre)
    else:
        speeds = speeds[:, :1].expand(-1, 2)
    away = torch.arange(n_frames, device=x.device) - centre[:, None]
    place = centre[:, None] + away * torch.where(away < 0, speeds[:, :1], speeds[:, 1:])
    place = place.clamp(0, n_frames - 1)
    first = place.floor().long().clamp(max=n_frames - 2)
    share = (place - first)[:, None]
    index = first[:, None].expand(-1, x.shape[1], -1)
    moved = x.gather(2, index) * (1 - share) + x.gather(2, index + 1) * share
    nearest = place.round().long()
    return moved - moved[:, :, :1], target.gather(1, nearest), classes.gather(1, nearest)
