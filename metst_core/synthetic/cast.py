"""Who plays person number i of version 2: a three-dimensional head, a bundled portrait, or a portrait of the user's.

The cast does not depend on the seed: persons of different numbers are different faces, whatever they were drawn
with, so that parts of a set that share no number share no face.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from metst_core.files import content_hash
from metst_core.synthetic.head_asset import baked, number_of_heads
from metst_core.synthetic.portraits import BUNDLED_PORTRAITS

_PORTRAIT_EVERY = 21
"""After so many persons comes one of the bundled portraits, until each has been there once."""

LOOK_COLUMNS = (
    "look", "sex", "age_group", "ancestry", "glasses", "skin", "hair", "hair_colour", "beard", "eyes",
)  # fmt: skip
"""What `persons.csv` says of looks; of a portrait only the first."""


class Look(NamedTuple):
    """Whose face it is: number of a head, or (-1) a portrait: a name of `BUNDLED_PORTRAITS`, or a file."""

    head: int
    portrait: str = ""


def number_of_faces() -> int:
    """How many different faces the package brings: heads and portraits."""
    return number_of_heads() + len(BUNDLED_PORTRAITS)


def look_of(index: int, portraits: Sequence[str] = ()) -> Look:
    """The face of person `index`, from 0: the first ones are the user's `portraits`.

    Then follow the heads in their order, with a bundled portrait after every twenty.  Beyond
    `number_of_faces()` the faces come again, with other habits.
    """
    if index < len(portraits):
        return Look(-1, portraits[index])
    place = index % number_of_faces()
    before = min((place + 1) // _PORTRAIT_EVERY, len(BUNDLED_PORTRAITS))
    if (place + 1) % _PORTRAIT_EVERY == 0 and (place + 1) // _PORTRAIT_EVERY <= len(BUNDLED_PORTRAITS):
        return Look(-1, BUNDLED_PORTRAITS[before - 1])
    return Look(place - before)


def look_row(look: Look) -> tuple[str, ...]:
    """What `persons.csv` says of a face, `LOOK_COLUMNS`: a user's portrait by its bytes, wherever it lies."""
    if look.head >= 0:
        card = baked().cards[look.head]
        return (f"head {look.head}", *(str(card[name]) for name in LOOK_COLUMNS[1:]))
    known = look.portrait in BUNDLED_PORTRAITS
    name = look.portrait if known else content_hash(look.portrait)[:12]
    return (f"portrait {name}", *[""] * (len(LOOK_COLUMNS) - 1))
