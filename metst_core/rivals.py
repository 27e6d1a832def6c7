"""Networks that readers will ask about, in the slot of ME-TST's Mamba blocks.

They are an LSTM, a TCN, a Transformer and a network of patches.  Stem, heads, loss and decoding are those of
`metst_core.models`; only the pathway between them differs, so a difference in score is a difference of the sequence
model.  (The patch also counts motion from its own first frame; `MovingReferenceNetwork` gives ME-TST+ the same
reference and keeps its state, so that the two can be told apart.)  `of_like_size` picks the pathway's width such that
a network has as many parameters as the one that it is compared with.

Two methods are made of the network of patches, and they are not the same.  The method `patch` asks for the score of
every frame, as ME-TST does.  The method `sliding_window` asks of every window whether it is a micro-expression, which
is what ME-TST replaces (`TrainConfig.asked`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from metst_core.errors import InputError
from metst_core.models import (
    BLOCKS_PER_STAGE,
    D_STATE,
    WIDTH,
    Network,
    SlowFastPathway,
    checked_sizes,
)

_Module = TypeVar("_Module", bound=nn.Module)
N_HEADS = 4
PATCH = 16
"""Frames that the network of patches looks at: 0.5 s at 30 frames per second, the longest
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
        return self.layers(self.placed(x))

    def placed(self, x: Tensor) -> Tensor:
        """Frames (B, T, W) at the width of the layers, with their positions: (B, T, hidden)."""
        placed: Tensor = self.inlet(x) + _positions(x.shape[1], self.features, x)
        return placed


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


class PatchNetwork(_SequenceNetwork):
    """Slides a patch of `PATCH` frames over the motion and judges each patch alone, for its middle frame.

    Nothing is carried from one patch to the next: there is no state.  Motion is counted from the patch's own first
    frame, as sliding-window methods count it (and as this package counts it in its longer windows), so that slow
    drift before the patch is nothing that it must see through.  What lies beyond the ends repeats the first and last
    frame.  Stem, heads, loss and decoding are the common ones; two hidden layers stand between.
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


def patches(x: Tensor, first: int = -(PATCH // 2), own_reference: bool = True) -> Tensor:
    """The `PATCH` frames around each frame of x (B, C, T), counted from their first: (B, T, C, PATCH).

    `first` is where a patch begins, in frames from its own; without `own_reference` motion stays as it is.
    """
    frames = torch.arange(x.shape[2], device=x.device)[:, None]
    around = torch.arange(PATCH, device=x.device) + first
    cut = x[:, :, (frames + around).clamp(0, x.shape[2] - 1)]  # (B, C, T, PATCH)
    return (cut - cut[..., :1] if own_reference else cut).transpose(1, 2)


class MovingReferenceNetwork(Network):
    """ME-TST+ whose motion counts from where a patch around the frame would begin, `PATCH // 2` frames ago.

    Everything else is ME-TST+, its state included.  What it gains over ME-TST+ is due to the frame of reference, what
    it gains over the `patch` to the state.
    """

    def __init__(
        self,
        n_classes: int = 5,
        in_channels: int = 36,
        width: int = WIDTH,
        blocks_per_stage: int = BLOCKS_PER_STAGE,
        d_state: int = D_STATE,
        pathways: str = "separate",
    ) -> None:
        config = {"n_classes": n_classes, "in_channels": in_channels, "width": width}
        config = checked_sizes(config | {"blocks_per_stage": blocks_per_stage, "d_state": d_state}, pathways)
        super().__init__(
            lambda: SlowFastPathway(config["width"], config["blocks_per_stage"], config["d_state"]),
            **config,
            pathways=pathways,
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Motion x (B, C, T), T >= 2 -> score (B, T) in 0..1 and logits (B, T, n_classes)."""
        self._check(x)
        return super().forward(since_patch_start(x))


def since_patch_start(x: Tensor) -> Tensor:
    """Motion x (B, C, T) counted from `PATCH // 2` frames before each frame (from the first where there is none)."""
    frames = torch.arange(x.shape[2], device=x.device)
    return x - x[:, :, (frames - PATCH // 2).clamp(min=0)]


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

    return closest_in_size(build, n_parameters)


def closest_in_size(build: Callable[[int], _Module], n_parameters: int) -> _Module:
    """Of `build(1), build(2), ...`, which must grow, the module whose parameter count comes closest."""

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


class PartsNetwork(Network):
    """Two TCNs beside each other, one for the upper and one for the lower face, on motion that is aligned frame by frame.

    It reads the channels of `metst_core.aligned`, raw; each goes through `asinh(x / knee)`, so that speech, which moves many
    times as far, does not drown a small movement.  Not causal.  The score of each part comes from that part's channels
    alone, the class from both.
    """

    KNEE = 0.25
    """Pixels of the aligned crop up to which a step counts in full."""

    def __init__(
        self, n_classes: int = 5, in_channels: int = 528, upper: int = 240, hidden: int = 48, depth: int = 5
    ) -> None:
        nn.Module.__init__(self)
        sizes = {
            "n_classes": n_classes,
            "in_channels": in_channels,
            "upper": upper,
            "hidden": hidden,
            "depth": depth,
        }
        self.config = checked_sizes(sizes, "shared")
        if upper >= in_channels:
            raise InputError(f"upper is {upper}; it must be below in_channels, {in_channels}")
        self.in_channels = in_channels
        self.upper = TCNPathway(upper, hidden, depth)
        self.lower = TCNPathway(in_channels - upper, hidden, depth)
        self.score_head = nn.Conv1d(2 * hidden, 2, 1, groups=2)  # type: ignore[assignment]
        self.class_head = nn.Linear(2 * hidden, n_classes)

    @property
    def reach(self) -> int:
        """How many frames to either side an answer hangs on: two convolutions per block."""
        return int(2 * (2 ** self.config["depth"] - 1))

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Channels x (B, C, T), T >= 2 -> logits of the scores of upper and lower face (B, 2, T), of the classes (B, T, n)."""
        self._check(x)
        x = torch.asinh(x / self.KNEE).transpose(1, 2)
        n = self.config["upper"]
        both = torch.cat([self.upper(x[..., :n]), self.lower(x[..., n:])], dim=-1)
        return self.score_head(both.transpose(1, 2)), self.class_head(both)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Channels x (B, C, T), T >= 2 -> the higher score of both parts (B, T) in 0..1 and logits (B, T, n_classes)."""
        scores, logits = self.parts(x)
        return torch.sigmoid(scores).amax(dim=1), logits


SEQUENCE_NETWORKS: dict[str, type[_SequenceNetwork]] = {
    "lstm": LSTMNetwork,
    "tcn": TCNNetwork,
    "transformer": TransformerNetwork,
    "patch": PatchNetwork,
}
"""The networks with a pathway of their own, by name; `of_like_size` sizes them."""
