"""Released feature caches: pickles of NumPy arrays, read without looking up a single name in them."""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from metst_core.checks import as_path
from metst_core.errors import InputError, MissingError, reason

_MOST_DIMENSIONS, _MOST_DEPTH = 8, 20
_INFLATION, _SMALL_FILE = (
    4,
    1 << 20,
)  # bytes of arrays that a file may give: its size so many times, and these


def load_released_cache(path: str | Path) -> list[np.ndarray]:
    """The motion in a released feature cache: per video an array (n_windows, C, k), in the file's dtype.

    The file is a pickle (a list over videos of a list over windows of (C, k) arrays).  Only lists, tuples,
    numbers and NumPy arrays are understood, and the arrays are put together here from their bytes: no name in
    the file is ever looked up.  Anything else is an InputError.
    """
    path = as_path("path", path)
    if not path.is_file():
        raise MissingError(f"no feature cache at {path}: check the path")
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            videos = _Resolver(size).resolve(_CacheUnpickler(_Bounded(file, size), encoding="latin1").load())
    except Exception as problem:  # a damaged pickle can raise nearly anything
        raise InputError(
            f"{path} is not a feature cache of plain NumPy arrays: {reason(problem)}"
        ) from problem
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


class _Bounded:
    """A file whose every read must lie within it: a pickle says how long its parts are, and memory is taken first."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.readline = file.readline

    def read(self, n: int) -> bytes:
        if n > self._size - self._file.tell():
            raise pickle.UnpicklingError("it is cut short, or damaged")
        return self._file.read(n)


class _CacheUnpickler(pickle._Unpickler):
    """Knows no class or function of this process.

    This is Python's own unpickler, whose notes are a dict: the one in C makes a table as long as the largest
    number in the file.  The names that NumPy's pickles use stand for harmless classes, made anew for each file so that a hostile
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


def _load_bytearray(unpickler: Any) -> None:
    """As Python's, which takes the memory before it looks whether so many bytes are there."""
    (length,) = struct.unpack("<Q", unpickler.read(8))
    unpickler.append(bytearray(unpickler.read(length)))


_CacheUnpickler.dispatch = {**pickle._Unpickler.dispatch, pickle.BYTEARRAY8[0]: _load_bytearray}


def _stand_ins() -> dict[tuple[str, str], Callable]:
    class DType:
        def __init__(self, code: str, align: Any = False, copy: Any = False) -> None:
            self.code, self.order = code, "="

        def __setstate__(self, state: tuple) -> None:
            self.order = state[1]

    def array(dtype: DType, data: Any, shape: tuple, order: str) -> _Array:
        if len(shape) > _MOST_DIMENSIONS:
            raise pickle.UnpicklingError(f"it holds an array of {len(shape)} dimensions")
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


class _Resolver:
    """Lists for lists and tuples, arrays for arrays, numbers for numbers; an error for anything else.

    A pickle may name the same part many times, and parts of parts: what comes out may not be much larger than the
    file of `size` bytes.
    """

    def __init__(self, size: int) -> None:
        self._items = size
        self._bytes = _INFLATION * size + _SMALL_FILE

    def resolve(self, value: Any, depth: int = 0) -> Any:
        self._items -= 1
        if self._items < 0 or depth > _MOST_DEPTH:
            raise pickle.UnpicklingError("it says the same over and over")
        value = getattr(value, "array", value)
        if isinstance(value, _Array):
            if isinstance(value.value, np.ndarray):
                self._bytes -= value.value.nbytes
                if self._bytes < 0:
                    raise pickle.UnpicklingError("it names the same arrays over and over")
                return value.value
            flat = [self.resolve(item, depth + 1) for item in value.value]
            for length in reversed(value.shape[1:]):
                flat = [flat[i : i + length] for i in range(0, len(flat), length)]
            return flat
        if isinstance(value, list | tuple):
            return [self.resolve(item, depth + 1) for item in value]
        if isinstance(value, int | float):
            return value
        raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")
