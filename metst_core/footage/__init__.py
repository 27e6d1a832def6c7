"""Known movements planted into real films: what a recording can show, and a network taught by it."""

from metst_core.footage.adapting import Adaptation, adapt
from metst_core.footage.blind import BlindClip, blind_clips
from metst_core.footage.films import Film, films_of
from metst_core.footage.findable import Limits, came_back, hits, limits, limits_of, part_of_units, plan_rounds
from metst_core.footage.measuring import FilmMotion, measure, measure_planted
from metst_core.footage.plan import SHAM, STRENGTHS, Manner, plan_events, sort_out
from metst_core.footage.planting import plant
from metst_core.footage.recall import Curve, Point, fit_curve
from metst_core.footage.saying import limits_text
from metst_core.footage.store import latest_limits, limits_line, remember
from metst_core.footage.track import REASONS, Track, track
from metst_core.footage.warp import warp

__all__ = [
    "REASONS",
    "SHAM",
    "STRENGTHS",
    "Adaptation",
    "BlindClip",
    "Curve",
    "Film",
    "FilmMotion",
    "Limits",
    "Manner",
    "Point",
    "Track",
    "adapt",
    "blind_clips",
    "came_back",
    "films_of",
    "fit_curve",
    "hits",
    "latest_limits",
    "limits",
    "limits_line",
    "limits_of",
    "limits_text",
    "measure",
    "measure_planted",
    "part_of_units",
    "plan_events",
    "plan_rounds",
    "plant",
    "remember",
    "sort_out",
    "track",
    "warp",
]
