"""The command `metst adapt VIDEO... --out DIR`: a network taught by one's own recordings."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from metst_core.cli.options import add_film_options, add_planting_options

_DESCRIPTION = """\
Teach the network by your own recordings, in which there is nothing to find: movements are planted into them (in memory;
the films are only read).  The first part is learned from, the middle sets threshold and calibration, on the last part the
limits before and after are compared.  With films of three persons or more (one folder each) whole persons are held out.
Nothing is written where it does not help."""


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser(
        "adapt", help="teach the network by your own recordings without micro-expressions",
        description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_film_options(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder for the weights")
    add_planting_options(parser, density=False)
    parser.add_argument(
        "--weights", default="bundled", metavar="FILE", help="what to begin with (the bundled ones)"
    )
    parser.add_argument("--epochs", type=int, default=10, help="how long to train (10)")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.footage import Adaptation, adapt
    from metst_core.inference import load_model

    print(f"{load_model(options.weights).notice}\n", file=sys.stderr)
    how = Adaptation(
        options.epochs, prior=options.prior, strengths=tuple(options.strengths), seed=options.seed
    )
    adapted = adapt(
        options.videos, options.out, options.weights, how=how,
        image_fps=options.image_fps, progress=not options.quiet,
    )  # fmt: skip
    card = adapted.card["adapted"]
    print(card["words"])
    for name in ("before", "after"):
        print(f"\n{name}: {card[name]['words']}")
    for film, reason in card["left_out"].items():
        print(f"\nnot used: {film} ({reason})")
    print(f"\n{options.out}/adapted.safetensors: use it with --weights")
    return 1 if card["left_out"] else 0
