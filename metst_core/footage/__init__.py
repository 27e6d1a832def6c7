"""Known movements planted into real films: what a recording can show, and a network taught by it."""

from metst_core.footage.films import Film, films_of
from metst_core.footage.plan import SHAM, STRENGTHS, Manner, plan_events, sort_out
from metst_core.footage.planting import plant
from metst_core.footage.track import REASONS, Track, track
from metst_core.footage.warp import warp

__all__ = [
    "REASONS",
    "SHAM",
    "STRENGTHS",
    "Film",
    "Manner",
    "Track",
    "films_of",
    "plan_events",
    "plant",
    "sort_out",
    "track",
    "warp",
]
