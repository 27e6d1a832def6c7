"""Networks and features from files and back."""

from metst_core.checkpoints.own import load, load_released, load_released_cache, save

__all__ = ["load", "load_released", "load_released_cache", "save"]
