"""Networks and features from files and back.  Nothing that a file carries is ever executed."""

from metst_core.checkpoints.cache import load_released_cache
from metst_core.checkpoints.own import load, save
from metst_core.checkpoints.released import load_released

__all__ = ["load", "load_released", "load_released_cache", "save"]
