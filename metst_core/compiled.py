"""One way to compile with numba, for all modules that do: at the first call, and kept for later processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(*signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function with `numba.njit(*signature, **options)` under NumPy's rules for division by zero.

    What is compiled is stored beside the module (`__pycache__`) or, where an installation cannot be written to, in
    the user's cache (`NUMBA_CACHE_DIR` names another folder), so that later processes only load it.  Where neither
    can be written to, every process compiles for itself.
    """
    compile_: Any = numba.njit  # its type hints know no signature
    options = {"error_model": "numpy", **options}

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return compile_(*signature, cache=True, **options)(function)
        except RuntimeError:  # numba found no folder for its cache
            return compile_(*signature, **options)(function)

    return decorate
