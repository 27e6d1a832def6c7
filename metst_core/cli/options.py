"""What several commands share: their options and how these are read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from metst_core.errors import InputError


class Defaults(argparse.RawDescriptionHelpFormatter):
    """Help that says every default, where there is one and the text does not say it already."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        silent = action.default in (None, False, argparse.SUPPRESS) or action.default == []
        if text is None or silent or "%(default)" in text or "default" in text:
            return text
        default = (
            " ".join(map(str, action.default)) if isinstance(action.default, list | tuple) else action.default
        )
        return f"{text} ({str(default).replace('%', '%%')})"


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
    """`NAME=VALUE` as arguments of `load_dataset`: numbers where they are numbers."""
    options: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--option {text}: expected NAME=VALUE, for example rules=complete")
        try:
            number = float(value)
            options[name] = int(number) if number.is_integer() else number
        except (ValueError, OverflowError):
            options[name] = value
    return options
