"""What several commands share: their options and how these are read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from metst_core.errors import InputError


def add_set_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--option",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="an option of load_dataset, for example labels=sheet.xlsx, rules=complete or fps=30, and for reproduce "
        "landmarker=dlib; may be repeated",
    )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="videos or folds worked on at once (default: as many as cores, up to 4); results do not depend on it",
    )


def dataset_options(given: Sequence[str]) -> dict[str, Any]:
    """`NAME=VALUE` as arguments of `load_dataset`: numbers where they are numbers, but for names of files."""
    from metst_core.datasets import FILE_OPTIONS, OPTION_NAMES

    known = (*OPTION_NAMES, _LANDMARKER)
    options: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--option {text}: expected NAME=VALUE, for example rules=complete")
        if name not in known:
            raise InputError(f"--option {text}: no option is called {name!r}; use one of {', '.join(known)}")
        if name in options:
            raise InputError(f"--option {text}: {name} is given twice; leave one out")
        options[name] = value if name in FILE_OPTIONS else _number_or_text(value)
    return options


_LANDMARKER = "landmarker"  # of a run, not of `load_dataset`


def _number_or_text(value: str) -> Any:
    try:
        number = float(value)
        return int(number) if number.is_integer() else number
    except (ValueError, OverflowError):
        return value
