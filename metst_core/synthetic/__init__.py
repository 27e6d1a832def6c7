"""SynthME: faces with known truth."""

from typing import TYPE_CHECKING, Any

from metst_core.synthetic.action_units import (
    ACTION_UNITS,
    EXPRESSIONS,
    MIRROR,
    UNIT_INDEX,
    UNIT_NAMES,
    UNITS,
    inter_ocular,
    landmarks_of,
    unit_field,
)
from metst_core.synthetic.annotators import agreement
from metst_core.synthetic.backdrop import Backdrop
from metst_core.synthetic.channels import CHANNELS, VISEMES
from metst_core.synthetic.conditions import CONDITIONS, Conditions, conditions_of
from metst_core.synthetic.difficulty import TIERS, Difficulty, difficulty_of
from metst_core.synthetic.draws import Stream
from metst_core.synthetic.events import Event, intensity_of
from metst_core.synthetic.expressions import plan_micro
from metst_core.synthetic.faces import Face, face_of
from metst_core.synthetic.films import FILM_VERSION, FilmPlan, film_tables, plan_film
from metst_core.synthetic.from_pictures import picture_measures, picture_table
from metst_core.synthetic.generation import VERSIONS, generate
from metst_core.synthetic.head_asset import number_of_heads
from metst_core.synthetic.heads import Head, Light, head
from metst_core.synthetic.likeness import likeness, read_tables
from metst_core.synthetic.manners import plan_tables, read_truth
from metst_core.synthetic.mjpeg import write_mjpeg
from metst_core.synthetic.persons import Person, draw_person
from metst_core.synthetic.plan import HEAD_NAMES, VERSION, compose_plan, plan_video
from metst_core.synthetic.portraits import contact_sheet, face_mesh, identity, look_up
from metst_core.synthetic.priors import PRIORS, Prior, prior_named
from metst_core.synthetic.realism import MEASURES, PUBLISHED_COUNTS, movement_seen, set_statistics
from metst_core.synthetic.render import Renderer, au_field
from metst_core.synthetic.set_tables import EVENT_COLUMNS, events_table
from metst_core.synthetic.shooting import shoot

if TYPE_CHECKING:
    from metst_core.synthetic.fixed_sets import RELEASES, check_release, generate_release, release_manifest

__all__ = [
    "ACTION_UNITS",
    "CHANNELS",
    "CONDITIONS",
    "EVENT_COLUMNS",
    "EXPRESSIONS",
    "FILM_VERSION",
    "HEAD_NAMES",
    "MEASURES",
    "MIRROR",
    "PRIORS",
    "PUBLISHED_COUNTS",
    "RELEASES",
    "TIERS",
    "UNITS",
    "UNIT_INDEX",
    "UNIT_NAMES",
    "VERSION",
    "VERSIONS",
    "VISEMES",
    "Backdrop",
    "Conditions",
    "Difficulty",
    "Event",
    "Face",
    "FilmPlan",
    "Head",
    "Light",
    "Person",
    "Prior",
    "Renderer",
    "Stream",
    "agreement",
    "au_field",
    "check_release",
    "compose_plan",
    "conditions_of",
    "contact_sheet",
    "difficulty_of",
    "draw_person",
    "events_table",
    "face_mesh",
    "face_of",
    "film_tables",
    "generate",
    "generate_release",
    "head",
    "identity",
    "intensity_of",
    "inter_ocular",
    "landmarks_of",
    "likeness",
    "look_up",
    "movement_seen",
    "number_of_heads",
    "picture_measures",
    "picture_table",
    "plan_film",
    "plan_micro",
    "plan_tables",
    "plan_video",
    "prior_named",
    "read_tables",
    "read_truth",
    "release_manifest",
    "set_statistics",
    "shoot",
    "unit_field",
    "write_mjpeg",
]


def __getattr__(name: str) -> Any:
    """The names of `fixed_sets` when asked for: `python -m` runs that module, so the door must not import it."""
    if name in ("RELEASES", "check_release", "generate_release", "release_manifest"):
        from metst_core.synthetic import fixed_sets

        return getattr(fixed_sets, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
