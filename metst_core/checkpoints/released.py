"""State dicts that the authors of ME-TST, ME-TST+ and BoostingVRME released.  Nothing in them is executed."""

from __future__ import annotations

import re
import statistics
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metst_core.checkpoints.own import build, existing, fill
from metst_core.errors import InputError, reason
from metst_core.models import METST, METSTPlus, Network

_INFLATION, _SMALL_FILE = 4, 1 << 26  # memory that a file may take: its size so many times, and these bytes


class KeyLayout(NamedTuple):
    """How a release names its tensors; `inside` translates the start of our names in a pathway into theirs."""

    release: str
    sign: str  # a key that starts so gives the layout away
    pathways: tuple[str, ...]  # what stands for our `spotting.` and, where there are two, `recognition.`
    inside: dict[str, str]
    block_number: str
    model: type[Network]
    depth: str  # the argument of `model` that counts blocks
    options: dict[str, Any]


_SLOW_FAST = {
    "slow_stem.": "Stem_slow.",
    **{f"slow.{i}.": f"block{i + 1}." for i in range(3)},
    **{f"fast.{i}.": f"block{i + 1}_fast." for i in range(3)},
    **{f"lateral.{i}.": f"fuse_{i + 1}.conv." for i in range(2)},
}
_TWO = ("spot_pathway.", "recog_pathway.")
_IN_STAGE = r"block[123](?:_fast)?\.(\d+)\."
_ONE_PASS = {"pathways": "separate", "both_heads_on_spotting": True}  # as the released ME-TST computes
KEY_LAYOUTS = (
    KeyLayout(
        release="ME-TST, first release",
        sign=r"blocks_(spot|recog)\.",
        pathways=("blocks_spot.", "blocks_recog."),
        inside={"blocks.": ""},
        block_number=r"^blocks_(?:spot|recog)\.(\d+)\.",
        model=METST,
        depth="depth",
        options=_ONE_PASS,
    ),
    KeyLayout(
        release="ME-TST",
        sign=r"(spot|recog)_pathway\.block\.",
        pathways=_TWO,
        inside={"blocks.": "block."},
        block_number=r"_pathway\.block\.(\d+)\.",
        model=METST,
        depth="depth",
        options=_ONE_PASS,
    ),
    KeyLayout(
        release="ME-TST+",
        sign=r"(spot|recog)_pathway\.(Stem_slow|block[123])",
        pathways=_TWO,
        inside=_SLOW_FAST,
        block_number=_IN_STAGE,
        model=METSTPlus,
        depth="blocks_per_stage",
        options={"pathways": "separate"},
    ),
    KeyLayout(
        release="BoostingVRME",
        sign=r"Stem_slow|block[123]",
        pathways=("",),
        inside=_SLOW_FAST,
        block_number=_IN_STAGE,
        model=METSTPlus,
        depth="blocks_per_stage",
        options={"pathways": "shared"},
    ),
)
_IN_BLOCK = {".mamba.": ".attn.mamba.", ".norm_in.": ".attn.norm.", ".norm_out.": ".norm1."}
_UNUSED = re.compile(r"(.*\d\.)norm2\.(weight|bias)")  # present in the released blocks, never used there
_COUNTER = "num_batches_tracked"  # computes nothing here: a state dict may come without, as PyTorch allows


def load_released(source: str | Path | Mapping[str, Tensor]) -> Network:
    """A model from a released state dict, or file of one: ME-TST (both releases), ME-TST+, BoostingVRME.

    The variant comes from the key names (with or without `module.`), every size from the shapes.  A dict that
    holds the state dict under `state_dict` is unwrapped.  The model is on the CPU, float32 (half and double
    precision are converted), in evaluation mode.  For ME-TST `both_heads_on_spotting` is set: the released
    forward pass sends both heads through the spotting pathway; the unused recognition weights are kept, set
    it to False to use them.

    Raises MissingError without the file, InputError that names every missing, extra or misshapen key.
    """
    if not isinstance(source, str | Path | Mapping):
        raise InputError(f"source must be a path or a state dict, not a {type(source).__name__}")
    where = "the state dict" if isinstance(source, Mapping) else str(source)
    released = source if isinstance(source, Mapping) else _read_state_dict(Path(source))
    wrapped = released.get("state_dict")
    released = wrapped if isinstance(wrapped, Mapping) else released
    for key, value in released.items():
        if not _is_entry(key, value):
            raise InputError(
                f"{where}: entry {key!r} is not a named tensor of real numbers; pass the state dict itself"
            )
    prefix = "module." if released and all(key.startswith("module.") for key in released) else ""
    state = {key.removeprefix(prefix): value for key, value in released.items()}
    layout = next(
        (layout for layout in KEY_LAYOUTS if any(re.match(layout.sign, key) for key in state)), None
    )
    if layout is None:
        shown = ", ".join(list(released)[:3]) or "none"
        raise InputError(
            f"{where} has no pathway of ME-TST, ME-TST+ or BoostingVRME; its first keys are {shown}"
        )
    inner = "0." if any(re.match(r"fc_(spot|recog)\.0\.", key) for key in state) else ""
    try:
        model = build(layout.model, _released_config(state, layout, inner, where, prefix), state)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    names = {key: _released_name(key, layout, inner) for key in model.state_dict()}
    state = {key: value for key, value in state.items() if not _is_unused(key, state)}
    for ours, theirs in names.items():
        if ours.endswith(_COUNTER):
            state.setdefault(theirs, torch.tensor(0))
    return fill(model, state, names, where, prefix)


def _is_entry(key: Any, value: Any) -> bool:
    """Whether it is a named tensor of real numbers, or one of BatchNorm's counters."""
    return (
        isinstance(key, str)
        and isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type != "meta"
        and (value.dtype.is_floating_point or key.endswith(_COUNTER))
    )


def _read_state_dict(path: Path) -> Mapping[str, Tensor]:
    size = existing(path).stat().st_size
    try:
        _check_archive(path, size)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as problem:  # torch raises many kinds; all mean that the file is not plain tensors
        asked = re.search(r"GLOBAL (\S+)", str(problem))
        said = f"it asks for {asked[1][:80]}" if asked else reason(problem)
        raise InputError(
            f"{path} is not a PyTorch state dict of plain tensors ({said}); it is not loaded, since such a file may run "
            "code: get a file of plain tensors"
        ) from problem
    if not isinstance(state, Mapping):
        raise InputError(f"{path} holds a {type(state).__name__}, not a state dict")
    inner = state.get("state_dict")
    _check_memory(path, size, inner if isinstance(inner, Mapping) else state)
    return state


def _check_archive(path: Path, size: int) -> None:
    """`InputError` for a zip archive that would fill the memory."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        inflated = sum(member.file_size for member in archive.infolist())
    if inflated > _INFLATION * size + _SMALL_FILE:
        raise InputError(
            f"{path}: would take {inflated / 1e6:.0f} MB of memory, the file has {size / 1e6:.1f}"
        )


def _check_memory(path: Path, size: int, state: Mapping[str, Any]) -> None:
    """`InputError` for tensors that say more than the file holds: the same bytes over and over (strides of 0)."""
    total = 0
    for key, value in state.items():
        if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type == "meta":
            continue
        total += value.numel() * value.element_size()
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise InputError(
                f"{path}: {str(key)[:80]} has shape {tuple(value.shape)}, more numbers than are stored"
            )
    if total > _INFLATION * size + _SMALL_FILE:
        raise InputError(f"{path}: its tensors have {total / 1e6:.0f} MB, the file {size / 1e6:.1f}")


def _released_name(key: str, layout: KeyLayout, inner: str) -> str:
    """The released name of our parameter `key`."""
    for ours, theirs in {
        "stem.": "Stem.",
        "score_head.": f"fc_spot.{inner}",
        "class_head.": f"fc_recog.{inner}",
    }.items():
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    pathway, rest = key.split(".", 1)
    start = next(start for start in layout.inside if rest.startswith(start))
    rest = layout.inside[start] + rest.removeprefix(start)
    for ours, theirs in _IN_BLOCK.items():
        rest = rest.replace(ours, theirs)
    return layout.pathways[("spotting", "recognition").index(pathway)] + rest


def _is_unused(key: str, state: Mapping[str, Tensor]) -> bool:
    found = _UNUSED.fullmatch(key)
    twin = state.get(f"{found[1]}norm1.{found[2]}") if found else None
    return twin is not None and twin.shape == state[key].shape


def _released_config(
    state: Mapping[str, Tensor], layout: KeyLayout, inner: str, where: str, prefix: str
) -> dict[str, Any]:
    """The model's sizes.

    Where several tensors tell the same size the majority counts, so that `fill` can name the odd one out.
    """

    def size(axis: int, *patterns: str) -> int:
        found = [
            value.shape[axis]
            for key, value in state.items()
            if value.dim() > axis and any(re.fullmatch(pattern, key) for pattern in patterns)
        ]
        if not found:
            names = " or ".join(prefix + pattern.replace("\\", "").replace(".*", "*") for pattern in patterns)
            raise InputError(f"{where}: {names} is missing or misshapen")
        return statistics.mode(found)

    numbers = {match[1] for key in state if (match := re.search(layout.block_number, key))}
    return {
        "n_classes": size(0, rf"fc_recog\.{inner}weight", rf"fc_recog\.{inner}bias"),
        "in_channels": size(1, r"Stem\.0\.weight"),
        "width": size(0, r"Stem\.[0134]\.weight", r"Stem\.[0134]\.bias", r"Stem\.[14]\.running_(?:mean|var)"),
        "d_state": size(1, r".*\.A_log"),
        layout.depth: max(1, len(numbers)),
        **layout.options,
    }
