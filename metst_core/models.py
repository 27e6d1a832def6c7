"""The networks of ME-TST (arXiv 2409.09707) and ME-TST+ (arXiv 2508.08082).

    motion (B, C, T) -> stem (B, W, T) -> pathway(s) (B, T, F) -> score (B, T) in 0..1, logits (B, T, 5)

The spotting pathway feeds the score, the recognition pathway the logits.  With `pathways="shared"` one
pathway feeds both (BoostingVRME, arXiv 2508.18834).  ME-TST's pathway is a stack of Mamba blocks, ME-TST+'s
a slow-fast pair.  `streaming.Stream` runs either frame by frame.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metst_core.checks import one_of, whole_number
from metst_core.errors import InputError
from metst_core.ssm import Mamba
from metst_core.windows import stitch

PATHWAYS = ("separate", "shared")
MAX_DROP_PATH = 0.2
WIDTH, DEPTH, BLOCKS_PER_STAGE, D_STATE = 128, 12, 4, 64
"""The published sizes: `DEPTH` blocks in ME-TST, `BLOCKS_PER_STAGE` in each stage of ME-TST+."""


class DropPath(nn.Module):
    """Stochastic depth: in training a sample loses the branch with probability `rate`, else it is scaled up."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = x.new_empty(x.shape[0], *[1] * (x.dim() - 1)).bernoulli_(1 - self.rate)
        return x * keep / (1 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate:.4f}"


class Block(nn.Module):
    """x + DropPath(LayerNorm(Mamba(LayerNorm(x)))), x (B, T, width)."""

    def __init__(self, width: int, d_state: int, drop_rate: float) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(width)
        self.mamba = Mamba(width, d_state)
        self.norm_out = nn.LayerNorm(width)
        self.drop_path = DropPath(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.norm_out(self.mamba(self.norm_in(x))))


def drop_rates(depth: int) -> list[float]:
    """0, then the first depth - 1 of `depth` evenly spaced rates in 0..0.2."""
    return [0.0, *torch.linspace(0, MAX_DROP_PATH, depth, device="cpu").tolist()[: depth - 1]]


def blocks(width: int, depth: int, d_state: int) -> nn.Sequential:
    """A stack of Mamba blocks whose drop rates rise with depth."""
    return nn.Sequential(*(Block(width, d_state, rate) for rate in drop_rates(depth)))


def conv_norm_relu(channels_in: int, channels_out: int, stride: int = 1) -> list[nn.Module]:
    """Convolution, norm and ReLU: an output frame sees one frame before and one after it.

    Stride 2 halves the frames (rounding up).
    """
    conv = nn.Conv1d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1)
    return [conv, nn.BatchNorm1d(channels_out), nn.ReLU()]


class PlainPathway(nn.Module):
    """ME-TST's pathway: (B, T, W) -> (B, T, W)."""

    def __init__(self, width: int, depth: int, d_state: int) -> None:
        super().__init__()
        self.features = width
        self.blocks = blocks(width, depth, d_state)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class SlowFastPathway(nn.Module):
    """ME-TST+'s slow-fast Mamba: (B, T, W) -> (B, T, 3 W).

    The slow path has twice the width at half the frames and is told by the fast one after stages 1 and 2.
    """

    STAGES = 3

    def __init__(self, width: int, blocks_per_stage: int, d_state: int) -> None:
        super().__init__()
        self.features = 3 * width
        self.slow_stem = nn.Sequential(*conv_norm_relu(width, 2 * width, stride=2))
        self.slow = nn.ModuleList(blocks(2 * width, blocks_per_stage, d_state) for _ in range(self.STAGES))
        self.fast = nn.ModuleList(blocks(width, blocks_per_stage, d_state) for _ in range(self.STAGES))
        self.lateral = nn.ModuleList(
            nn.Sequential(*conv_norm_relu(width, 2 * width, stride=2)) for _ in range(self.STAGES - 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        fast, slow = x, over_frames(self.slow_stem, x)
        for stage, (slow_blocks, fast_blocks) in enumerate(zip(self.slow, self.fast, strict=True)):
            slow, fast = slow_blocks(slow), fast_blocks(fast)
            if stage < len(self.lateral):
                slow = slow + over_frames(self.lateral[stage], fast)
        slow = slow.repeat_interleave(2, dim=1)[:, : x.shape[1]]  # an odd T has half a slow frame too many
        return torch.cat([slow, fast], dim=2)


def over_frames(conv: nn.Module, x: Tensor) -> Tensor:
    """Apply a convolution, which wants (B, W, T), to x (B, T, W)."""
    return conv(x.transpose(1, 2)).transpose(1, 2)


class Network(nn.Module):
    """What both networks share: stem, one or two pathways, heads.  `config` holds the arguments to rebuild one."""

    def __init__(self, pathway: Callable[[], PlainPathway | SlowFastPathway], **config: Any) -> None:
        super().__init__()
        self.config = config
        self.in_channels: int = config["in_channels"]
        width = config["width"]
        self.stem = nn.Sequential(*conv_norm_relu(self.in_channels, width), *conv_norm_relu(width, width))
        self.spotting = pathway()
        self.recognition = pathway() if config["pathways"] == "separate" else None
        self.score_head = nn.Linear(self.spotting.features, 1)
        self.class_head = nn.Linear(self.spotting.features, config["n_classes"])
        initialise(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Motion x (B, C, T), T >= 2 -> score (B, T) in 0..1 and logits (B, T, n_classes)."""
        self._check(x)
        x = self.stem(x).transpose(1, 2)
        spotting = self.spotting(x)
        other = self.recognition_pathway
        return self.heads(spotting, spotting if other is self.spotting else other(x))

    @property
    def recognition_pathway(self) -> PlainPathway | SlowFastPathway:
        """The pathway that the logits come from."""
        if self.recognition is None or self.config.get("both_heads_on_spotting"):
            return self.spotting
        return self.recognition

    def heads(self, spotting: Tensor, recognition: Tensor) -> tuple[Tensor, Tensor]:
        return torch.sigmoid(self.score_head(spotting)).squeeze(-1), self.class_head(recognition)

    def _check(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            raise InputError(
                f"the motion must be a tensor, not {type(x).__name__}: torch.from_numpy makes one"
            )
        if x.dim() != 3 or x.shape[1] != self.in_channels:
            raise InputError(
                f"the motion must be (batch, {self.in_channels} channels, frames), not {tuple(x.shape)}"
            )
        if x.shape[2] < 2:
            raise InputError(
                f"the motion must have at least 2 frames, not {x.shape[2]}: motion is measured between two"
            )
        weight = self.score_head.weight
        if x.dtype != weight.dtype or x.device != weight.device:
            raise InputError(
                f"the motion is {x.dtype} on {x.device} but the model {weight.dtype} on {weight.device}: "
                "bring the two together with .to(...)"
            )


class METST(Network):
    """ME-TST.  In: 10 channels (5 ROIs, x and y).  3.75 M parameters, as published.

    `both_heads_on_spotting`: the logits come from the spotting pathway and the recognition pathway lies
    idle.  This is what the code released with ME-TST does (`checkpoints.load_released` sets it); the papers
    describe the other.
    """

    def __init__(
        self,
        n_classes: int = 5,
        in_channels: int = 10,
        width: int = WIDTH,
        depth: int = DEPTH,
        d_state: int = D_STATE,
        pathways: str = "separate",
        both_heads_on_spotting: bool = False,
    ) -> None:
        config = {"n_classes": n_classes, "in_channels": in_channels, "width": width, "depth": depth}
        config |= {"d_state": d_state}
        config = checked_sizes(config, pathways)
        super().__init__(
            lambda: PlainPathway(config["width"], config["depth"], config["d_state"]),
            **config,
            pathways=pathways,
            both_heads_on_spotting=both_heads_on_spotting,
        )

    @property
    def both_heads_on_spotting(self) -> bool:
        return self.config["both_heads_on_spotting"]

    @both_heads_on_spotting.setter
    def both_heads_on_spotting(self, value: bool) -> None:
        self.config["both_heads_on_spotting"] = bool(value)


class METSTPlus(Network):
    """ME-TST+.  In: 36 channels (18 ROIs, x and y).  16.7 M parameters as published.

    >>> import torch
    >>> network = METSTPlus(width=8, blocks_per_stage=1, d_state=4)
    >>> score, logits = network(torch.zeros(2, 36, 50))
    >>> score.shape, logits.shape
    (torch.Size([2, 50]), torch.Size([2, 50, 5]))
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
        config |= {"blocks_per_stage": blocks_per_stage, "d_state": d_state}
        config = checked_sizes(config, pathways)
        super().__init__(
            lambda: SlowFastPathway(config["width"], config["blocks_per_stage"], config["d_state"]),
            **config,
            pathways=pathways,
        )


def checked_sizes(sizes: dict[str, int], pathways: str) -> dict[str, int]:
    """`sizes`, each a whole number above 0; `InputError` names the one that is not, or unknown `pathways`."""
    one_of("pathways", pathways, PATHWAYS)
    return {name: whole_number(name, value, 1) for name, value in sizes.items()}


@torch.no_grad()
def initialise(model: nn.Module) -> None:
    """Start a network's weights as released.

    Linear weights come from a normal of std 0.02 (truncated at +-2), biases are 0; Mamba's step sizes keep
    their own start.  Each Mamba output projection is drawn again, Kaiming-uniform (a = sqrt 5), and halved
    (sqrt 4).
    """
    step_sizes = {id(m.dt_proj.bias) for m in model.modules() if isinstance(m, Mamba)}
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None and id(module.bias) not in step_sizes:
                nn.init.zeros_(module.bias)
    for module in model.modules():
        if isinstance(module, Mamba):
            nn.init.kaiming_uniform_(module.out_proj.weight, a=5**0.5)
            module.out_proj.weight /= 2


# --- inference on a whole video ---------------------------------------------------------------------------
def predict_video(
    model: Network, motion_windows: np.ndarray, n_frames: int | None = None, batch_size: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Score (T,) in 0..1 and class probabilities (T, n_classes) of a video, from its windows (n_windows, C, k).

    T = (n_windows + 1) k / 2, or `n_frames` when the windows were padded to keep the tail (`windows.stitch`).
    The model answers in evaluation mode and is handed back in the mode it came in.
    """
    score, probabilities = predict_windows(model, motion_windows, batch_size)
    return stitch(score, n_frames=n_frames), stitch(probabilities, n_frames=n_frames)


def predict_windows(
    model: Network, motion_windows: np.ndarray, batch_size: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Score (n_windows, k) and class probabilities (n_windows, k, n_classes) of windows (n_windows, C, k), each by itself."""
    windows = _motion_tensor(model, motion_windows)
    with evaluating(model):
        answers = [model(batch) for batch in windows.split(whole_number("batch_size", batch_size, 1))]
    score, logits = (torch.cat(part).double().cpu() for part in zip(*answers, strict=True))
    return score.numpy(), logits.softmax(-1).numpy()


def _motion_tensor(model: Network, motion_windows: np.ndarray) -> Tensor:
    """Checked windows on the model's device and in its dtype."""
    array = np.asarray(motion_windows)
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(
            f"motion_windows must be (n_windows, channels, frames), at least one of each, not {array.shape}"
        )
    if not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
        raise InputError("motion_windows must hold finite numbers only: extract the motion again")
    weight = model.score_head.weight
    return torch.from_numpy(np.ascontiguousarray(array)).to(weight.device, weight.dtype)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients inside the block; afterwards every module is in its former mode."""
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
