"""What several commands share: their options and how these are read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from metst_core.errors import InputError


class WithDefaults(argparse.HelpFormatter):
    """Help that says every default, where there is one and the text does not say it already."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text, said = action.help or "", default_text(action)
        if said is None or "default:" in text or f"({said})" in text:
            return text
        return f"{text} ({said.replace('%', '%%')})".strip()


def default_text(action: argparse.Action) -> str | None:
    """An option's default as help shows it; None where it has none to show."""
    default = action.default
    if default in (None, False, argparse.SUPPRESS) or default == []:
        return None
    parts = default if isinstance(default, list | tuple) else [default]
    return " ".join(f"{part:g}" if isinstance(part, float) else str(part) for part in parts)


def show_defaults(parser: argparse.ArgumentParser) -> None:
    """Let a command's help say every default, also of options without a text."""
    if parser.formatter_class is argparse.HelpFormatter:
        parser.formatter_class = WithDefaults
    elif parser.formatter_class is argparse.RawDescriptionHelpFormatter:
        parser.formatter_class = Defaults
    for action in parser._actions:
        if action.help is None and (said := default_text(action)) is not None:
            action.help = f"({said.replace('%', '%%')})"


class Defaults(WithDefaults, argparse.RawDescriptionHelpFormatter):
    """The same, with the description's lines as they are written."""


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


def add_film_options(parser: argparse.ArgumentParser) -> None:
    """The films of a call, and what goes with them."""
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help="a video file, a folder of images, or a folder of persons' films",
    )
    parser.add_argument(
        "--image-fps", type=float, default=30.0, help="frames per second of folders of images (30)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def add_planting_options(parser: argparse.ArgumentParser, density: bool = True) -> None:
    """How micro-expressions are planted; `density` adds how often."""
    parser.add_argument(
        "--prior",
        default="dense",
        help="how they are drawn: casme3, sammlv or dense, as for synthetic faces (dense)",
    )
    parser.add_argument(
        "--strengths", type=float, nargs=2, default=(0.004, 0.035), metavar=("LOW", "HIGH"),
        help="weakest and strongest apex, inter-ocular distances (0.004 0.035)",
    )  # fmt: skip
    if density:
        parser.add_argument(
            "--per-minute", type=float, metavar="N", help="how many a minute (as the prior says)"
        )
    parser.add_argument("--seed", type=int, default=0)
