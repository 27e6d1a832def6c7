"""Checks of arguments that several modules share.  Each raises an `InputError` that names the argument."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from metst_core.errors import InputError

# --- Limits: the most that is taken from a file, whatever it says of itself --------------------------
MOST_PIXELS = 1 << 26
"""Of a picture, or of one frame of a film: 8192 x 8192."""
MOST_FRAMES = 10_000_000
"""Of a video, also once it is brought to another rate: four days at 30 per second."""
MOST_REPEATED, FREELY_REPEATED = 100, 100_000
"""Frames of a video that may stand for gaps: so many times those that there are, and so many in any case."""
MOST_BLOCKS = 1000
"""Of a network, one after the other."""
MOST_ROWS, MOST_COLUMNS = 200_000, 512
"""Of a sheet, blank rows left out."""
MOST_SHEET_BYTES = 64 << 20
"""Of a workbook or text table, unpacked."""


def most_frames(n_there: int) -> int:
    """How many frames a video of `n_there` frames may have once its gaps are filled."""
    return min(MOST_FRAMES, MOST_REPEATED * n_there + FREELY_REPEATED)


def shown(value: Any) -> str:
    """`value` as a message shows it: NumPy's numbers as the plain numbers they are."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def whole_number(name: str, value: Any, lowest: int) -> int:
    """`value` as an int of at least `lowest`; 5.0 and NumPy's integers count as whole numbers."""
    number = _real(value)
    if not number.is_integer() or number < lowest:
        raise InputError(f"{name} is {shown(value)}; it must be a whole number, {lowest} or more")
    return int(value)


def number_between(name: str, value: Any, low: float, high: float) -> float:
    """`value` as a float in `low .. high`, both included."""
    number = _real(value)
    if not low <= number <= high:
        raise InputError(f"{name} is {shown(value)}; it must be a number from {low:g} to {high:g}")
    return number


def half_window(window: Any) -> int:
    """Half of a window length k, which is the stride of the windows."""
    number = _real(window)
    if not number.is_integer() or number < 2 or number % 2:
        raise InputError(f"window is {shown(window)}; it must be an even number of frames, at least 2")
    return int(number) // 2


def one_of(name: str, value: Any, choices: Iterable[Any]) -> Any:
    """`value`, which must be one of `choices` (strings or numbers)."""
    choices = tuple(choices)
    if isinstance(value, np.ndarray) or value not in choices:
        raise InputError(f"{name} is {shown(value)}; use one of {', '.join(map(repr, choices))}")
    return value


def as_path(name: str, value: Any) -> Path:
    """`value` as a `Path`."""
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{name} is {shown(value)}; give the path of a file or folder")
    return Path(value)


def number_array(name: str, value: Any, shape: str) -> np.ndarray:
    """`value` as an array of numbers of its own kind; `shape` says in the message what it should be."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of unequal length
        raise InputError(f"{name} is no array ({error}); give {shape}") from error
    if array.size and array.dtype.kind not in "buif":
        raise InputError(f"{name} holds no numbers (type {array.dtype}); give {shape}")
    return array


def _real(value: Any) -> float:
    """`value` as a float, NaN where it is no number."""
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
