"""Networks that readers will ask about, in the slot of ME-TST's Mamba blocks.

Last comes a spotter that is none: plain motion that comes and goes (`motion_contrast`), with nothing to train.

The networks are an LSTM, a TCN, a Transformer and a sliding-window classifier.  Stem, heads, loss and decoding are those of `metst_core.models`; only the pathway between them differs, so a
difference in score is a difference of the sequence model.  (The sliding window also counts motion from each of its
own windows, as the methods it stands for do.)  `of_like_size` picks the pathway's width such
that a network has as many parameters as the one that it is compared with.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from scipy.signal import find_peaks
from torch import Tensor, nn

from metst_core.errors import InputError
from metst_core.models import WIDTH, Network, checked_sizes
from metst_core.windows import stitch

N_HEADS = 4
PATCH = 16
"""Frames that the sliding-window classifier looks at: 0.5 s at 30 frames per second, the longest
micro-expression.
"""


class LSTMPathway(nn.Module):
    """A bidirectional LSTM: (B, T, W) -> (B, T, 2 hidden)."""

    def __init__(self, width: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.features = 2 * hidden
        self.lstm = nn.LSTM(width, hidden, depth, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0]


class TCNPathway(nn.Module):
    """Residual dilated convolutions, dilation 1, 2, 4, ...: (B, T, W) -> (B, T, hidden); not causal."""

    def __init__(self, width: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.features = hidden
        self.inlet = nn.Conv1d(width, hidden, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(hidden, hidden, 3, padding=2**i, dilation=2**i),
                nn.BatchNorm1d(hidden),
                nn.ReLU(),
                nn.Conv1d(hidden, hidden, 3, padding=2**i, dilation=2**i),
            )
            for i in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.inlet(x.transpose(1, 2))
        for block in self.blocks:
            x = x + block(x)
        return x.transpose(1, 2)


class TransformerPathway(nn.Module):
    """Self-attention over all frames with sine positions: (B, T, W) -> (B, T, hidden)."""

    def __init__(self, width: int, hidden: int, depth: int) -> None:
        super().__init__()
        if hidden % N_HEADS:
            raise InputError(
                f"hidden is {hidden}; a Transformer of {N_HEADS} heads needs a multiple of {N_HEADS}"
            )
        self.features = hidden
        self.inlet = nn.Linear(width, hidden)
        layer = nn.TransformerEncoderLayer(
            hidden, N_HEADS, 4 * hidden, 0.1, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.inlet(x) + _positions(x.shape[1], self.features, x))


class PatchPathway(nn.Module):
    """What one patch says: (B, T, PATCH W), all of its frames at once -> (B, T, hidden)."""

    def __init__(self, width: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.features = hidden
        sizes = [PATCH * width, *depth * [hidden]]
        layers = [
            nn.Sequential(nn.Linear(a, b), nn.LayerNorm(b), nn.ReLU()) for a, b in itertools.pairwise(sizes)
        ]
        self.classifier = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(x)


class _SequenceNetwork(Network):
    """Stem and heads of ME-TST around the pathway of the subclass; `hidden` is the pathway's width."""

    pathway: Any  # class of (width, hidden, depth)
    default_depth: int
    hidden_step = 1

    def __init__(
        self,
        n_classes: int = 5,
        in_channels: int = 36,
        width: int = WIDTH,
        hidden: int = WIDTH,
        depth: int | None = None,
        pathways: str = "separate",
    ) -> None:
        depth = self.default_depth if depth is None else depth
        sizes = {"n_classes": n_classes, "in_channels": in_channels, "width": width, "hidden": hidden}
        sizes |= {"depth": depth}
        sizes = checked_sizes(sizes, pathways)
        super().__init__(
            lambda: type(self).pathway(sizes["width"], sizes["hidden"], sizes["depth"]),
            **sizes,
            pathways=pathways,
        )


class LSTMNetwork(_SequenceNetwork):
    """Two bidirectional LSTM layers per pathway."""

    pathway, default_depth = LSTMPathway, 2


class TCNNetwork(_SequenceNetwork):
    """Six residual blocks per pathway: a frame sees 126 frames to either side, more than a window."""

    pathway, default_depth = TCNPathway, 6


class TransformerNetwork(_SequenceNetwork):
    """Six layers of four heads per pathway."""

    pathway, default_depth, hidden_step = TransformerPathway, 6, N_HEADS


class SlidingWindowNetwork(_SequenceNetwork):
    """Slides a patch of `PATCH` frames over the motion and classifies each patch alone, for its middle frame.

    This is what regression over the video replaces: nothing is carried from one patch to the next.  Motion is
    counted from the patch's own first frame, as sliding-window methods count it (and as this package counts
    it in its longer windows), so that slow drift before the patch is nothing that it must see through.  What
    lies beyond the ends repeats the first and last frame.  Stem, heads, loss and decoding are the common
    ones; two hidden layers stand between.
    """

    pathway, default_depth = PatchPathway, 2

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Motion x (B, C, T), T >= 2 -> score (B, T) in 0..1 and logits (B, T, n_classes)."""
        self._check(x)
        features = self.stem(patches(x).flatten(0, 1))  # (B T, W, PATCH)
        features = features.flatten(1).unflatten(0, (len(x), -1))  # (B, T, W PATCH)
        spotting = self.spotting(features)
        other = self.recognition_pathway
        return self.heads(spotting, spotting if other is self.spotting else other(features))


def patches(x: Tensor) -> Tensor:
    """The `PATCH` frames around each frame of x (B, C, T), counted from their first: (B, T, C, PATCH)."""
    frames = torch.arange(x.shape[2], device=x.device)[:, None]
    around = torch.arange(PATCH, device=x.device) - PATCH // 2
    cut = x[:, :, (frames + around).clamp(0, x.shape[2] - 1)]  # (B, C, T, PATCH)
    return (cut - cut[..., :1]).transpose(1, 2)


def count_parameters(model: nn.Module) -> int:
    """Number of trained numbers in a model."""
    return sum(p.numel() for p in model.parameters())


def of_like_size(
    network: type[_SequenceNetwork],
    n_parameters: int,
    in_channels: int,
    width: int,
    pathways: str = "separate",
) -> _SequenceNetwork:
    """The `network` whose parameter count comes closest to `n_parameters`, by the choice of `hidden`."""

    def build(step: int) -> _SequenceNetwork:
        return network(
            in_channels=in_channels, width=width, hidden=step * network.hidden_step, pathways=pathways
        )

    def size(step: int) -> int:
        with torch.device("meta"):
            return count_parameters(build(step))

    low, high = 1, 2
    while size(high) < n_parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < n_parameters else (low, middle)
    return build(min((low, high), key=lambda step: abs(size(step) - n_parameters)))


def _positions(n_frames: int, features: int, like: Tensor) -> Tensor:
    """Sine and cosine positions `(T, features)` of "Attention is all you need" (Vaswani et al. 2017)."""
    frames = torch.arange(n_frames, device=like.device, dtype=like.dtype)[:, None]
    rates = 10000 ** (-torch.arange(0, features, 2, device=like.device, dtype=like.dtype) / features)
    return torch.cat([torch.sin(frames * rates), torch.cos(frames * rates)], dim=1)[:, :features]


SEQUENCE_NETWORKS: dict[str, type[_SequenceNetwork]] = {
    "lstm": LSTMNetwork,
    "tcn": TCNNetwork,
    "transformer": TransformerNetwork,
    "sliding_window": SlidingWindowNetwork,
}


def motion_contrast(windows: np.ndarray, k_p: int, n_frames: int | None = None) -> np.ndarray:
    """Motion that comes and goes within `4 k_p` frames: `(T,)`, pixels of the 320 crop, 0 where there is none.

    `windows` is `(n_windows, 2R, k)`.  Moilanen's feature difference analysis (ICPR 2014) with the motion of
    ROIs in the place of the texture of blocks: a ROI's position at frame t is compared with the mean of its
    positions `2 k_p` frames before and after; the lengths of that difference are averaged over the third of
    the ROIs in which it is largest (a micro-expression moves few of them); and what the same is around, `2 k_p`
    frames before and after, is subtracted.  `2 k_p` is the mean length of a micro-expression: the interval of
    `4 k_p` is to hold the longest.  Slow drift of the head cancels.
    """
    path = motion_path(windows, n_frames)
    difference = path - _around(path, 2 * k_p)
    lengths = np.sort(np.hypot(difference[:, 0::2], difference[:, 1::2]), axis=1)
    largest = -(-lengths.shape[1] // 3)
    feature = lengths[:, -largest:].mean(axis=1)
    return np.maximum(0, feature - _around(feature, 2 * k_p))


def _around(values: np.ndarray, k: int) -> np.ndarray:
    """Mean of the values `k` frames before and after each frame; beyond the ends the first and last stand in."""
    frames = np.arange(len(values))
    return (values[np.maximum(frames - k, 0)] + values[np.minimum(frames + k, len(values) - 1)]) / 2


def motion_path(windows: np.ndarray, n_frames: int | None = None) -> np.ndarray:
    """Displacement `(T, 2R)` of every ROI since the video's first frame, in pixels of the 320 crop.

    Each window measures from its own first frame; the windows are chained at those frames.
    """
    windows = np.asarray(windows, dtype=float)
    if windows.ndim != 3 or len(windows) == 0 or windows.shape[2] % 2:
        raise InputError(f"windows has shape {windows.shape}; it must be (n_windows >= 1, 2R, even window)")
    half = windows.shape[2] // 2
    starts = np.concatenate([np.zeros((1, windows.shape[1])), np.cumsum(windows[:-1, :, half], axis=0)])
    return stitch((windows + starts[:, :, None]).transpose(0, 2, 1), n_frames)


def peak_intervals(score: np.ndarray, k_p: int, height: float) -> np.ndarray:
    """Intervals `(n, 3)` of onset, apex, offset around the peaks of a score that is not to be smoothed.

    Peaks of at least `height`, `k_p` frames apart or more; `k_p` frames to either side belong to the interval.
    """
    peaks, _ = find_peaks(score, height=height, distance=max(1, k_p))
    return np.stack([peaks - k_p, peaks, peaks + k_p], axis=1).astype(np.int64)
