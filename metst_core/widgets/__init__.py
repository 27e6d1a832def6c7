"""Things to touch, in a notebook."""

from metst_core.widgets.blind_test import BlindTest
from metst_core.widgets.explorer import RoiExplorer, Seen, explore
from metst_core.widgets.film_strip import Film, film
from metst_core.widgets.layers import Layer, motion_layers, network_layers
from metst_core.widgets.own_video import explorer_of, explorer_page

__all__ = [
    "BlindTest",
    "Film",
    "Layer",
    "RoiExplorer",
    "Seen",
    "explore",
    "explorer_of",
    "explorer_page",
    "film",
    "motion_layers",
    "network_layers",
]
