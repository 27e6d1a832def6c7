"""SynthME: faces with known truth."""

from metst_core.synthetic.action_units import ACTION_UNITS, MIRROR, RECIPES, UNIT_INDEX, UNIT_NAMES, UNITS
from metst_core.synthetic.fixed_sets import RELEASES, check_release, generate_release, release_manifest
from metst_core.synthetic.generation import (
    TIERS,
    VERSION,
    Difficulty,
    Renderer,
    au_field,
    compose_plan,
    difficulty_of,
    generate,
    plan_tables,
    plan_video,
    read_truth,
)
from metst_core.synthetic.mjpeg import write_mjpeg
from metst_core.synthetic.portraits import contact_sheet, face_mesh, identity, look_up
from metst_core.synthetic.realism import MEASURES, PUBLISHED, movement_seen, set_statistics

__all__ = [
    "ACTION_UNITS",
    "MEASURES",
    "MIRROR",
    "PUBLISHED",
    "RECIPES",
    "RELEASES",
    "TIERS",
    "UNITS",
    "UNIT_INDEX",
    "UNIT_NAMES",
    "VERSION",
    "Difficulty",
    "Renderer",
    "au_field",
    "check_release",
    "compose_plan",
    "contact_sheet",
    "difficulty_of",
    "face_mesh",
    "generate",
    "generate_release",
    "identity",
    "look_up",
    "movement_seen",
    "plan_tables",
    "plan_video",
    "read_truth",
    "release_manifest",
    "set_statistics",
    "write_mjpeg",
]
