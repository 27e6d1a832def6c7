"""Released feature caches: pickles of NumPy arrays, read without looking up a single name in them."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metst_core.checks import as_path
from metst_core.errors import InputError, MissingError


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
    """Knows no class or function of this process.

    The names that NumPy's pickles use stand for harmless classes, made anew for each file so that a hostile
    one cannot even change those for the next.
    """

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
