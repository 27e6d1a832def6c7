"""Our own models: safetensors files that hold the class and its arguments.  Nothing in them is ever executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from metst_core.checks import MOST_BLOCKS, as_path, whole_number
from metst_core.errors import InputError, MissingError, reason
from metst_core.files import atomic_path
from metst_core.models import METST, METSTPlus, Network
from metst_core.rivals import SEQUENCE_NETWORKS, MovingReferenceNetwork, PartsNetwork, PatchNetwork
from metst_core.variants import VariantNetwork

_NETWORKS: dict[str, type[Network]] = {
    network.__name__: network
    for network in (
        METST,
        METSTPlus,
        MovingReferenceNetwork,
        PartsNetwork,
        VariantNetwork,
        *SEQUENCE_NETWORKS.values(),
    )
}
_NAMED_BEFORE: dict[str, type[Network]] = {"SlidingWindowNetwork": PatchNetwork}
_METADATA = "metst_model"
_MUCH_LARGER, _SMALL_NETWORK = 4, 100_000_000  # numbers that may be missing: they are then named one by one


def save(model: Network, path: str | Path) -> Path:
    """Write one of the package's networks to a safetensors file, whole or not at all."""
    name = type(model).__name__
    if _NETWORKS.get(name) is not type(model):
        raise InputError(f"only {', '.join(_NETWORKS)} can be saved, not {type(model).__qualname__}")
    path = as_path("path", path)
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata={_METADATA: json.dumps({"class": name, "config": model.config})})
    return path


def load(path: str | Path) -> Network:
    """The model that `save` wrote, on the CPU, in its dtype, in evaluation mode."""
    path = existing(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get(_METADATA)
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as problem:
        raise InputError(
            f"{path} is not a readable safetensors file ({reason(problem)}): save the model again"
        ) from problem
    if text is None:
        raise InputError(
            f"{path} was not written by metst_core.checkpoints.save; load_released reads the authors' files"
        )
    try:
        description = json.loads(text)
        model = build((_NETWORKS | _NAMED_BEFORE)[description["class"]], description["config"], state)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as problem:
        raise InputError(
            f"{path} describes a model this version cannot build ({text[:200]}): {reason(problem)}"
        ) from problem
    dtype = state.get("score_head.weight", torch.empty(0)).dtype
    if dtype.is_floating_point:
        model.to(dtype)
    return fill(model, state, {key: key for key in model.state_dict()}, str(path))


def existing(path: str | Path) -> Path:
    """`path`, where there is a file; `MissingError` else."""
    path = as_path("path", path)
    if not path.is_file():
        raise MissingError(f"no model at {path}: check the path")
    return path


def build(model: type[Network], config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Network:
    """A network of a class for the numbers of `state`, without touching the caller's random numbers.

    Its weights are overwritten anyway.  `InputError` for sizes that are none, and where the network would be
    much larger than what the file holds: a large one is first built without memory for its numbers.
    """
    for name, value in config.items():
        if isinstance(value, float | int) and not isinstance(value, bool):
            whole_number(name, value, 1)
        if name in ("depth", "blocks_per_stage") and not 0 < value <= MOST_BLOCKS:
            raise InputError(f"{name} is {value}; it must be a whole number, 1 to {MOST_BLOCKS}")
    with torch.random.fork_rng(devices=[]):
        if _at_most(config) > _SMALL_NETWORK:
            held = sum(value.numel() for value in state.values())
            with torch.device("meta"):
                wanted = sum(value.numel() for value in model(**config).state_dict().values())
            if wanted > _MUCH_LARGER * held + _SMALL_NETWORK:
                raise InputError(f"it would have {wanted:,} numbers, and the file holds {held:,}")
        return model(**config)


def _at_most(config: Mapping[str, Any]) -> int:
    """A bound of how many numbers a network has: of its blocks each has at most some 200 times its size squared."""
    sizes = {name: value for name, value in config.items() if isinstance(value, int)}
    n_blocks = max([1, *(sizes.pop(name, 1) for name in ("depth", "blocks_per_stage"))])
    return 250 * n_blocks * max([1, *sizes.values()]) ** 2


def fill(
    model: Network, state: Mapping[str, Tensor], names: Mapping[str, str], where: str, prefix: str = ""
) -> Network:
    """Copy `state` into the model, in evaluation mode; `names` maps the model's keys to the state's."""
    own = model.state_dict()
    problems = [f"missing {prefix}{theirs}" for ours, theirs in names.items() if theirs not in state]
    problems += [f"extra {prefix}{key}" for key in state.keys() - set(names.values())]
    problems += [
        f"{prefix}{theirs} has shape {tuple(state[theirs].shape)} instead of {tuple(own[ours].shape)}"
        for ours, theirs in names.items()
        if theirs in state and state[theirs].shape != own[ours].shape
    ]
    if problems:
        more = f" and {len(problems) - 20} more" if len(problems) > 20 else ""
        sizes = ", ".join(f"{key}={value}" for key, value in model.config.items())
        raise InputError(
            f"{where} does not fit {type(model).__name__}({sizes}): {'; '.join(sorted(problems)[:20])}{more}"
        )
    model.load_state_dict({ours: state[theirs] for ours, theirs in names.items()})
    return model.eval()
