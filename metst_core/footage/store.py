"""The latest limits of each film, kept on this machine for whoever analyses it afterwards.

One small JSON file per film and network in the user's own share folder (`METST_LIMITS` names another one), found again by
the bytes of the film, so also after it was moved.  It holds numbers and the film's name, no picture.
"""

from __future__ import annotations

import functools
import os
import site
from pathlib import Path
from typing import Any

from metst_core.errors import InputError
from metst_core.files import content_hash, read_json, run_record, value_hash, write_json
from metst_core.footage.findable import Limits
from metst_core.inference import TrainedModel

FOLDER_VARIABLE = "METST_LIMITS"
"""Environment variable that may name the folder."""

UNKNOWN = "how small a movement can be found in this recording is unknown; `metst limits` measures it by planting some"
"""What is said of a film without limits."""


def remember(limits: Limits) -> Path:
    """Keep the limits of a film as its latest; returns the file."""
    return write_json({"record": run_record(), **limits.to_dict()}, _place(limits.film.path, limits.model))


def latest_limits(path: str | Path, model: TrainedModel) -> dict[str, Any] | None:
    """What `remember` kept of this film with this network (`Limits.to_dict`), or None.

    A file that cannot be read counts as none: limits can be measured again.
    """
    try:
        place = _place(Path(path), model)
        return read_json(place) if place.is_file() else None
    except (InputError, OSError):
        return None


def limits_line(path: str | Path, model: TrainedModel) -> str:
    """What is known of how small a movement can be found in a film, in words."""
    known = latest_limits(path, model)
    return UNKNOWN if known is None else str(known.get("words", UNKNOWN))


def _place(path: Path, model: TrainedModel) -> Path:
    named = os.environ.get(FOLDER_VARIABLE)
    folder = Path(named) if named else Path(site.getuserbase()) / "share" / "metst" / "limits"
    key = value_hash([_film_hash(path), model.identity])
    return folder / f"{key[:40]}.json"


def _film_hash(path: Path) -> str:
    """The hash of a film's bytes, read again only when the file has changed."""
    if path.is_dir():
        return content_hash(path)
    state = path.stat()
    return _hash_in_state(path.resolve(), state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=64)
def _hash_in_state(path: Path, _modified: int, _bytes: int) -> str:
    return content_hash(path)
