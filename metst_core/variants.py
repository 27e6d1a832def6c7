"""Networks that differ from a method in named things: what they look at, in which direction, at what rate.

A variant is written as words joined by "+", such as "causal+local": each exchanges one part of the network and nothing
else, so that a difference in score is due to it.  Where a part takes parameters away, the rest is made larger, such
that the whole is as large as ME-TST+ of the same configuration (`of_like_size`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from metst_core.checks import one_of
from metst_core.errors import InputError
from metst_core.models import (
    BLOCKS_PER_STAGE,
    D_STATE,
    DEPTH,
    WIDTH,
    METSTPlus,
    Network,
    PlainPathway,
    SlowFastPathway,
    blocks,
    checked_sizes,
    conv_norm_relu,
    over_frames,
)
from metst_core.rivals import (
    PATCH,
    LSTMPathway,
    PatchPathway,
    TCNPathway,
    TransformerPathway,
    closest_in_size,
    count_parameters,
    patches,
    since_patch_start,
)
from metst_core.rois import ROIS

VARIANTS = {
    "causal": "a frame's answer depends on no later frame but those that the stem sees",
    "centred": "a frame's answer depends on frames before and after it alike",
    "local": "motion counts from 8 frames before each frame (a patch: from its own first frame)",
    "window": "motion counts from the window's first frame",
    "look5": "the answer for a frame is given 5 frames later",
    "whole": "the fine ROIs are not seen",
    "fine": "the whole ROIs are not seen",
    "slow": "the slow path alone",
    "fast": "the fast path alone",
    "apart": "the stem filters every ROI by itself; they are joined only after it, linearly",
    "spectral": "beside the stem, a filter over the window's frequencies with learned gains (an idea of FAIM)",
    "shift": "after the stem, an eighth of the channels comes a frame early and an eighth a frame late",
    "tempo": "after the stem, channels are weighed by how they resemble themselves 1, 4 and 8 frames ago (TCM)",
    "scales": "after the stem, means over 3, 9 and 27 frames are added (an idea of GaitASMS)",
    "memory": "after the stem, attention to 16 learned slots is added (an idea of MEMTS)",
    "attend": "after the stem, attention to the nearest frames and to all (short and long range)",
}
"""What each word of a variant means."""

BASES = ("metst", "metst_plus", "lstm", "tcn", "transformer", "patch")
_CENTRED = ("lstm", "tcn", "transformer", "patch")  # as they are; ME-TST and ME-TST+ are causal
_EXCLUDE = (("causal", "centred"), ("local", "window"), ("whole", "fine"), ("slow", "fast"))
_LOOK_AHEAD = 5


def words_of(variant: str) -> tuple[str, ...]:
    """The words of a variant; `InputError` for one that is unknown, comes twice or contradicts another."""
    words = tuple(variant.split("+")) if variant else ()
    for word in words:
        one_of("variant", word, VARIANTS)
    if len(set(words)) < len(words) or any(set(pair) <= set(words) for pair in _EXCLUDE):
        raise InputError(f"variant {variant!r} says a thing twice or two that exclude each other")
    return words


class VariantNetwork(Network):
    """A network of `base` with the parts exchanged that `variant` names.

    hidden: width of a rival's pathway.  depth: blocks of ME-TST, and of the slow or fast path alone.
    """

    def __init__(
        self,
        base: str,
        variant: str,
        n_classes: int = 5,
        in_channels: int = 36,
        width: int = WIDTH,
        hidden: int = WIDTH,
        depth: int = DEPTH,
        blocks_per_stage: int = BLOCKS_PER_STAGE,
        d_state: int = D_STATE,
        pathways: str = "separate",
    ) -> None:
        one_of("base", base, BASES)
        words = words_of(variant)
        if {"slow", "fast"} & set(words) and base != "metst_plus":
            raise InputError(
                f"variant {variant!r} is about the slow and the fast path; base must be metst_plus"
            )
        sizes = {"n_classes": n_classes, "in_channels": in_channels, "width": width, "hidden": hidden}
        sizes |= {"depth": depth, "blocks_per_stage": blocks_per_stage, "d_state": d_state}
        sizes = checked_sizes(sizes, pathways)
        super().__init__(
            lambda: _pathway(base, words, sizes), base=base, variant=variant, **sizes, pathways=pathways
        )
        self.words = words
        self.is_patch = base == "patch"
        if "apart" in words:
            self.stem = apart_stem(in_channels, width)
        extras = [EXTRAS[word](width) for word in words if word in EXTRAS]
        if extras:
            self.stem = nn.Sequential(self.stem, *extras)
        if {"whole", "fine"} & set(words):
            self.register_buffer("seen", seen_channels(in_channels, words), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Motion x (B, C, T), T >= 2 -> score (B, T) in 0..1 and logits (B, T, n_classes)."""
        self._check(x)
        n_frames = x.shape[2]
        if hasattr(self, "seen"):
            x = x * self.get_buffer("seen")[:, None]
        if "look5" in self.words:
            x = functional.pad(x, (0, _LOOK_AHEAD), mode="replicate")
        if self.is_patch:
            score, logits = self._of_patches(x)
        else:
            score, logits = super().forward(since_patch_start(x) if "local" in self.words else x)
        return score[:, -n_frames:], logits[:, -n_frames:]

    def _of_patches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = -PATCH + 1 if "causal" in self.words else -(PATCH // 2)
        cut = patches(x, first, own_reference="window" not in self.words)
        features = self.stem(cut.flatten(0, 1)).flatten(1).unflatten(0, (len(x), -1))
        spotting = self.spotting(features)
        other = self.recognition_pathway
        return self.heads(spotting, spotting if other is self.spotting else other(features))


def variant_network(base: str, variant: str, sizes: dict[str, Any]) -> VariantNetwork:
    """A variant as large as ME-TST+ of the same `sizes` (`in_channels, width, depth, blocks_per_stage, ...`).

    ME-TST keeps its own size, as do ME-TST+'s variants that take no parameters away.
    """
    words = words_of(variant)
    goal = count_parameters(METSTPlus(**{k: v for k, v in sizes.items() if k not in ("depth", "hidden")}))
    free = "hidden" if base in _CENTRED else "depth" if {"slow", "fast"} & set(words) else ""
    if not free:
        return VariantNetwork(base, variant, **sizes)
    step = 4 if base == "transformer" else 1  # of so many heads
    found = closest_in_size(lambda n: VariantNetwork(base, variant, **{**sizes, free: step * n}), goal)
    assert isinstance(found, VariantNetwork)
    return found


def seen_channels(in_channels: int, words: tuple[str, ...]) -> Tensor:
    """1 for the channels of the ROIs that are seen, 0 for the others: `(C,)`; for the 36 channels of ME-TST+."""
    if in_channels != 2 * len(ROIS):
        raise InputError(f"whole and fine ROIs are those of {2 * len(ROIS)} channels, not {in_channels}")
    kept = "whole" if "whole" in words else "fine"
    return torch.tensor([float(roi.granularity == kept) for roi in ROIS]).repeat_interleave(2)


def apart_stem(in_channels: int, width: int) -> nn.Sequential:
    """A stem in which no ROI meets another: grouped convolutions, then one linear map to `width`."""
    n_rois = in_channels // 2
    each = -(-width // n_rois) * n_rois
    layers: list[nn.Module] = []
    for channels in (in_channels, each):
        conv = nn.Conv1d(channels, each, kernel_size=3, padding=1, groups=n_rois)
        layers += [conv, nn.BatchNorm1d(each), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv1d(each, width, kernel_size=1))


class HalfRatePathway(nn.Module):
    """The slow path alone: (B, T, W) -> (B, T, 2 W), computed at half the frames."""

    def __init__(self, width: int, depth: int, d_state: int) -> None:
        super().__init__()
        self.features = 2 * width
        self.stem = nn.Sequential(*conv_norm_relu(width, 2 * width, stride=2))
        self.blocks = blocks(2 * width, depth, d_state)

    def forward(self, x: Tensor) -> Tensor:
        slow = self.blocks(over_frames(self.stem, x))
        return slow.repeat_interleave(2, dim=1)[:, : x.shape[1]]


class SpectralFilter(nn.Module):
    """x + a copy of it with every frequency times a learned gain: (B, W, T) -> (B, W, T); gains begin at 0."""

    POINTS = 9

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gains = nn.Parameter(torch.zeros(1, width, self.POINTS))

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(x, dim=2)
        gains = functional.interpolate(self.gains, spectrum.shape[2], mode="linear", align_corners=True)
        return x + torch.fft.irfft(spectrum * gains, n=x.shape[2], dim=2)


class TemporalShift(nn.Module):
    """An eighth of the channels comes a frame early and an eighth a frame late: (B, W, T) -> (B, W, T)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.part = max(1, width // 8)

    def forward(self, x: Tensor) -> Tensor:
        early, late, rest = x.split([self.part, self.part, x.shape[1] - 2 * self.part], dim=1)
        return torch.cat(
            [functional.pad(early[..., 1:], (0, 1)), functional.pad(late[..., :-1], (1, 0)), rest], dim=1
        )


class TempoGate(nn.Module):
    """Channels weighed by how they resemble themselves some frames ago: (B, W, T) -> (B, W, T); begins as x."""

    DISTANCES = (1, 4, 8)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = _starting_at_nothing(nn.Conv1d(len(self.DISTANCES) * width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        alike = [x * functional.pad(x, (d, 0))[..., : x.shape[2]] for d in self.DISTANCES]
        return x * 2 * torch.sigmoid(self.gate(torch.cat(alike, dim=1)))


class TimeScales(nn.Module):
    """x + maps of its means over 3, 9 and 27 frames: (B, W, T) -> (B, W, T); begins as x."""

    LENGTHS = (3, 9, 27)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(_starting_at_nothing(nn.Conv1d(width, width, 1)) for _ in self.LENGTHS)

    def forward(self, x: Tensor) -> Tensor:
        for length, added in zip(self.LENGTHS, self.maps, strict=True):
            x = x + added(functional.avg_pool1d(x, length, 1, length // 2, count_include_pad=False))
        return x


class NearAndFar(nn.Module):
    """x + attention to the frames at most `REACH` away + attention to all: (B, W, T) -> (B, W, T); begins as x."""

    REACH = 4

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.near, self.far = (nn.MultiheadAttention(width, 1, batch_first=True) for _ in range(2))
        self.out = nn.ModuleList(_starting_at_nothing(nn.Conv1d(width, width, 1)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        frames = torch.arange(x.shape[2], device=x.device)
        too_far = (frames[:, None] - frames).abs() > self.REACH
        inside = self.norm(x.transpose(1, 2))
        for attention, out, mask in zip((self.near, self.far), self.out, (too_far, None), strict=True):
            told = attention(inside, inside, inside, attn_mask=mask, need_weights=False)[0]
            x = x + out(told.transpose(1, 2))
        return x


class Memory(nn.Module):
    """x + attention of every frame to learned slots: (B, W, T) -> (B, W, T); begins as x."""

    SLOTS = 16

    def __init__(self, width: int) -> None:
        super().__init__()
        self.keys = nn.Parameter(torch.randn(self.SLOTS, width) / width**0.5)
        self.values = nn.Parameter(torch.zeros(self.SLOTS, width))

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.einsum("bwt,sw->bst", x, self.keys).softmax(dim=1)
        return x + torch.einsum("bst,sw->bwt", weights, self.values)


def _starting_at_nothing(conv: nn.Conv1d) -> nn.Conv1d:
    """A convolution that says 0 until it is trained, so that what it is added to begins as it was."""
    nn.init.zeros_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


EXTRAS: dict[str, Callable[[int], nn.Module]] = {
    "spectral": SpectralFilter,
    "shift": TemporalShift,
    "tempo": TempoGate,
    "scales": TimeScales,
    "attend": NearAndFar,
    "memory": Memory,
}
"""What a word adds after the stem."""


class Backwards(nn.Module):
    """A block that reads the frames from the last to the first."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x.flip(1)).flip(1)


class CausalLSTM(nn.Module):
    """An LSTM that reads forwards only: (B, T, W) -> (B, T, hidden)."""

    def __init__(self, width: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.features = hidden
        self.lstm = nn.LSTM(width, hidden, depth, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0]


class CausalTCN(TCNPathway):
    """Residual dilated convolutions that see no later frame: (B, T, W) -> (B, T, hidden)."""

    def __init__(self, width: int, hidden: int, depth: int) -> None:
        super().__init__(width, hidden, depth)
        for module in self.modules():
            if isinstance(module, nn.Conv1d) and module.kernel_size == (3,):
                module.padding = (0,)
                module.register_forward_pre_hook(_pad_before)


def _pad_before(conv: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
    assert isinstance(conv, nn.Conv1d)
    return (functional.pad(inputs[0], (2 * conv.dilation[0], 0)),)


class CausalTransformer(TransformerPathway):
    """Self-attention over the frames so far: (B, T, W) -> (B, T, hidden)."""

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device, dtype=x.dtype)
        return self.layers(self.placed(x), mask=mask, is_causal=True)


_RIVALS: dict[str, tuple[Any, Any, int]] = {
    "lstm": (LSTMPathway, CausalLSTM, 2),
    "tcn": (TCNPathway, CausalTCN, 6),
    "transformer": (TransformerPathway, CausalTransformer, 6),
    "patch": (PatchPathway, PatchPathway, 2),
}
"""A rival's pathway as it is (centred), the causal one, and its depth."""


def _pathway(base: str, words: tuple[str, ...], sizes: dict[str, int]) -> Any:
    width, d_state = sizes["width"], sizes["d_state"]
    if base in _RIVALS:
        centred, causal, depth = _RIVALS[base]
        return (causal if "causal" in words else centred)(width, sizes["hidden"], depth)
    make: dict[str, Callable[[], Any]] = {
        "slow": lambda: HalfRatePathway(width, sizes["depth"], d_state),
        "fast": lambda: PlainPathway(width, sizes["depth"], d_state),
        "metst": lambda: PlainPathway(width, sizes["depth"], d_state),
        "metst_plus": lambda: SlowFastPathway(width, sizes["blocks_per_stage"], d_state),
    }
    pathway = make[next((w for w in words if w in ("slow", "fast")), base)]()
    if "centred" in words:
        _turn_every_second(pathway)
    return pathway


def _turn_every_second(pathway: Any) -> None:
    """Let every second block of each path read backwards: both directions, and not a parameter more."""
    plain = hasattr(pathway, "blocks")
    for path in [[pathway.blocks]] if plain else [pathway.slow, pathway.fast]:
        places = [(stage, i) for stage in path for i in range(len(stage))]
        for stage, i in places[1::2]:
            stage[i] = Backwards(stage[i])
