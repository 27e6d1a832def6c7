"""The command `metst synth`: synthetic videos with exact truth."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser("synth", help="generate a set of synthetic videos with exact ground truth")
    parser.add_argument("out", help="folder to write")
    parser.add_argument("--subjects", type=int, default=8, help="persons")
    parser.add_argument("--videos", type=int, default=3, help="videos per subject")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a video")
    parser.add_argument("--fps", type=float, default=30.0, help="frames per second")
    parser.add_argument(
        "--version", type=int, default=2, choices=(1, 2), dest="set_version",
        help="2: many heads, MEs by the field's coding sheets; 1: one portrait, warped (2)",
    )  # fmt: skip
    parser.add_argument(
        "--tier", help="calm, interview or hard (calm); of version 1: easy, default or hard (default)"
    )
    parser.add_argument(
        "--prior", help="how MEs are distributed: dense, casme3 or sammlv (dense); version 2 only"
    )
    parser.add_argument(
        "--portrait", action="append", default=[], help="an image file for a person's face (again for more)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.synthetic import generate

    dataset = generate(
        options.out, options.subjects, options.videos, options.seconds,
        fps=options.fps, seed=options.seed, tier=options.tier, prior=options.prior,
        version=options.set_version, portraits=options.portrait, n_jobs=options.jobs,
    )  # fmt: skip
    print(f"{len(dataset.videos)} videos, {len(dataset.annotations)} micro-expressions in {options.out}")
    return 0
