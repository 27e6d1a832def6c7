"""Models and feature caches on disk.  Nothing that a file carries is ever executed.

Own models are safetensors files that hold the class and its arguments.  `load_released` reads the state
dicts that the authors of ME-TST, ME-TST+ and BoostingVRME released, `load_released_cache` their pickled
motion.
"""

from __future__ import annotations

import json
import pickle
import re
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from metst_core.checks import as_path
from metst_core.errors import InputError, MissingError
from metst_core.files import atomic_path
from metst_core.models import METST, METSTPlus, Network
from metst_core.rivals import SEQUENCE_NETWORKS

CLASSES: dict[str, type[Network]] = {
    network.__name__: network for network in (METST, METSTPlus, *SEQUENCE_NETWORKS.values())
}
_METADATA = "metst_model"


def save(model: Network, path: str | Path) -> Path:
    """Write one of the package's networks to a safetensors file, whole or not at all."""
    name = type(model).__name__
    if CLASSES.get(name) is not type(model):
        raise InputError(f"only {', '.join(CLASSES)} can be saved, not {type(model).__qualname__}")
    path = as_path("path", path)
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata={_METADATA: json.dumps({"class": name, "config": model.config})})
    return path


def load(path: str | Path) -> Network:
    """The model that `save` wrote, on the CPU, in its dtype, in evaluation mode."""
    path = _existing(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get(_METADATA)
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as problem:
        raise InputError(
            f"{path} is not a readable safetensors file ({problem}): save the model again"
        ) from problem
    if text is None:
        raise InputError(
            f"{path} was not written by metst_core.checkpoints.save; load_released reads the authors' files"
        )
    try:
        description = json.loads(text)
        model = _build(CLASSES[description["class"]], description["config"])
    except (KeyError, TypeError, ValueError) as problem:
        raise InputError(
            f"{path} describes a model this version cannot build ({text}): {problem}"
        ) from problem
    dtype = state.get("score_head.weight", torch.empty(0)).dtype
    if dtype.is_floating_point:
        model.to(dtype)
    return _fill(model, state, {key: key for key in model.state_dict()}, str(path))


# --- the authors' checkpoints -----------------------------------------------------------------------------
class Layout(NamedTuple):
    """How a release names its tensors.  The pairs translate the start of our names inside a pathway into
    theirs."""

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
LAYOUTS = (
    Layout(
        release="ME-TST, first release",
        sign=r"blocks_(spot|recog)\.",
        pathways=("blocks_spot.", "blocks_recog."),
        inside={"blocks.": ""},
        block_number=r"^blocks_(?:spot|recog)\.(\d+)\.",
        model=METST,
        depth="depth",
        options=_ONE_PASS,
    ),
    Layout(
        release="ME-TST",
        sign=r"(spot|recog)_pathway\.block\.",
        pathways=_TWO,
        inside={"blocks.": "block."},
        block_number=r"_pathway\.block\.(\d+)\.",
        model=METST,
        depth="depth",
        options=_ONE_PASS,
    ),
    Layout(
        release="ME-TST+",
        sign=r"(spot|recog)_pathway\.(Stem_slow|block[123])",
        pathways=_TWO,
        inside=_SLOW_FAST,
        block_number=_IN_STAGE,
        model=METSTPlus,
        depth="blocks_per_stage",
        options={"pathways": "separate"},
    ),
    Layout(
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
    layout = next((layout for layout in LAYOUTS if any(re.match(layout.sign, key) for key in state)), None)
    if layout is None:
        shown = ", ".join(list(released)[:3]) or "none"
        raise InputError(
            f"{where} has no pathway of ME-TST, ME-TST+ or BoostingVRME; its first keys are {shown}"
        )
    inner = "0." if any(re.match(r"fc_(spot|recog)\.0\.", key) for key in state) else ""
    model = _build(layout.model, _released_config(state, layout, inner, where, prefix))
    names = {key: _released_name(key, layout, inner) for key in model.state_dict()}
    state = {key: value for key, value in state.items() if not _is_unused(key, state)}
    for ours, theirs in names.items():
        if ours.endswith(_COUNTER):
            state.setdefault(theirs, torch.tensor(0))
    return _fill(model, state, names, where, prefix)


def _is_entry(key: Any, value: Any) -> bool:
    """Whether it is a named tensor of real numbers, or one of BatchNorm's counters."""
    return (
        isinstance(key, str)
        and isinstance(value, Tensor)
        and (value.dtype.is_floating_point or key.endswith(_COUNTER))
    )


def _read_state_dict(path: Path) -> Mapping[str, Tensor]:
    try:
        state = torch.load(_existing(path), map_location="cpu", weights_only=True)
    except MissingError:
        raise
    except Exception as problem:  # torch raises many kinds; all mean that the file is not plain tensors
        raise InputError(f"{path} is not a PyTorch state dict of plain tensors ({problem})") from problem
    if not isinstance(state, Mapping):
        raise InputError(f"{path} holds a {type(state).__name__}, not a state dict")
    return state


def _released_name(key: str, layout: Layout, inner: str) -> str:
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
    state: Mapping[str, Tensor], layout: Layout, inner: str, where: str, prefix: str
) -> dict[str, Any]:
    """The model's sizes.  Where several tensors tell the same size the majority counts, so that `_fill` can
    name the odd one out."""

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


# --- shared -----------------------------------------------------------------------------------------------
def _existing(path: str | Path) -> Path:
    path = as_path("path", path)
    if not path.is_file():
        raise MissingError(f"no model at {path}: check the path")
    return path


def _build(model: type[Network], config: Mapping[str, Any]) -> Network:
    """Without touching the caller's random numbers: the weights are overwritten anyway."""
    with torch.random.fork_rng(devices=[]):
        return model(**config)


def _fill(
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


# --- the authors' feature caches --------------------------------------------------------------------------
def load_released_cache(path: str | Path) -> list[np.ndarray]:
    """The motion in a released feature cache: per video an array (n_windows, C, k), in the file's dtype.

    The file is a pickle (a list over videos of a list over windows of (C, k) arrays).  Only lists, tuples,
    numbers and NumPy arrays are understood, and the arrays are put together here from their bytes: no name in
    the file is ever looked up.  Anything else is an InputError.
    """
    path = as_path("path", path)
    if not path.is_file():
        raise MissingError(f"no feature cache at {path}: check the path")
    try:
        with path.open("rb") as file:
            videos = _resolve(_CacheUnpickler(file, encoding="latin1").load())
    except Exception as problem:  # a damaged pickle can raise nearly anything
        raise InputError(f"{path} is not a feature cache of plain NumPy arrays: {problem}") from problem
    if not isinstance(videos, list | np.ndarray) or len(videos) == 0:
        raise InputError(f"{path} must hold a list over videos, and at least one")
    return [_stack(windows, f"{path}, video {i}") for i, windows in enumerate(videos)]


def _stack(windows: Any, where: str) -> np.ndarray:
    try:
        stacked = np.asarray(windows)
    except ValueError as problem:
        raise InputError(f"{where}: its windows differ in shape") from problem
    if stacked.ndim != 3 or stacked.dtype.kind not in "fiub":
        raise InputError(
            f"{where}: expected a list of (channels, frames) arrays, found shape {stacked.shape}"
        )
    return stacked


class _CacheUnpickler(pickle.Unpickler):
    """Knows no class or function of this process: the names NumPy's pickles use stand for harmless classes,
    made anew for each file so that a hostile one cannot even change those for the next."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known = _stand_ins()

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._known[module.replace("numpy._core.", "numpy.core."), name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed") from None


def _stand_ins() -> dict[tuple[str, str], Callable]:
    class DType:
        def __init__(self, code: str, align: Any = False, copy: Any = False) -> None:
            self.code, self.order = code, "="

        def __setstate__(self, state: tuple) -> None:
            self.order = state[1]

    def array(dtype: DType, data: Any, shape: tuple, order: str) -> _Array:
        if dtype.code in ("O", "O8"):
            return _Array(list(data), shape)
        if not re.fullmatch("[fiu][1248]|b1", dtype.code):
            raise pickle.UnpicklingError(f"it holds an array of type {dtype.code!r}")
        raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
        if dtype.order not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError(f"it holds an array of byte order {dtype.order!r}")
        flat = np.frombuffer(raw, np.dtype(dtype.order + dtype.code)).astype(dtype.code)
        return _Array(flat.reshape(shape, order="F" if order == "F" else "C"), shape)

    class NDArray:
        def __init__(self, *ignored: Any) -> None:
            pass

        def __setstate__(self, state: tuple) -> None:
            _, shape, dtype, fortran, data = state
            self.array = array(dtype, data, shape, "F" if fortran else "C")

    def reconstruct(*ignored: Any) -> NDArray:
        return NDArray()

    def from_buffer(data: Any, dtype: DType, shape: tuple, order: str) -> _Array:
        return array(dtype, data, shape, order)

    def scalar(dtype: DType, data: Any) -> _Array:
        return array(dtype, data, (), "C")

    def encode(text: str, encoding: str) -> bytes:  # how protocols 0 to 2 write bytes
        return text.encode("latin1")

    return {
        ("numpy", "ndarray"): NDArray,
        ("numpy", "dtype"): DType,
        ("numpy.core.multiarray", "_reconstruct"): reconstruct,
        ("numpy.core.multiarray", "scalar"): scalar,
        ("numpy.core.numeric", "_frombuffer"): from_buffer,
        ("_codecs", "encode"): encode,
    }


class _Array(NamedTuple):
    """What a pickled array turned out to hold: numbers in an ndarray, or objects in a flat list."""

    value: Any
    shape: tuple[int, ...]


def _resolve(value: Any) -> Any:
    """Lists for lists and tuples, arrays for arrays, numbers for numbers; an error for anything else."""
    value = getattr(value, "array", value)
    if isinstance(value, _Array):
        if isinstance(value.value, np.ndarray):
            return value.value
        flat = [_resolve(item) for item in value.value]
        for length in reversed(value.shape[1:]):
            flat = [flat[i : i + length] for i in range(0, len(flat), length)]
        return flat
    if isinstance(value, list | tuple):
        return [_resolve(item) for item in value]
    if isinstance(value, int | float):
        return value
    raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")
