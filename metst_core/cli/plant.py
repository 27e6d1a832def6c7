"""The command `metst plant VIDEO... --out DIR`: micro-expressions of known size and time in one's own films."""

from __future__ import annotations

import argparse
from typing import Any

from metst_core.cli.options import add_film_options, add_planting_options

_DESCRIPTION = """\
Plant micro-expressions of known size and time into your own films, as a data set with the exact truth.

The originals are only read.  A film's person is the folder that it lies in; a folder of films stands for all of them."""


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser(
        "plant", help="plant micro-expressions of known size into your own films",
        description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_film_options(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    add_planting_options(parser)
    parser.add_argument(
        "--sham", action="store_true", help="resample as a planting does, but move nothing that can be seen"
    )
    parser.add_argument("--lossless", action="store_true", help="films as .mkv without loss, which are large")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.footage import plant
    from metst_core.tables import read_csv

    dataset = plant(
        options.videos, options.out, options.prior, tuple(options.strengths), options.seed, options.sham,
        per_minute=options.per_minute, suffix=".mkv" if options.lossless else ".mp4",
        image_fps=options.image_fps, progress=not options.quiet,
    )  # fmt: skip
    what = "sham plantings" if options.sham else "micro-expressions"
    print(f"{options.out}: {len(dataset.annotations)} {what} in {len(dataset.videos)} films")
    left_out = read_csv(f"{options.out}/truth/not_planted.csv")
    for reason, rows in left_out.groupby("reason", sort=False):
        print(
            f"  not planted: {len(rows)} ({reason})"
            if rows["onset"].iloc[0] != ""
            else f"  not used: {reason}"
        )
    return 1 if (left_out["onset"].astype(str) == "").any() else 0
