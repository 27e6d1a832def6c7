"""Things to touch, in a notebook."""

from metst_core.widgets.explorer import Film, explore, film, motion_layers, network_layers, spread_over_video

__all__ = ["Film", "explore", "film", "motion_layers", "network_layers", "spread_over_video"]
