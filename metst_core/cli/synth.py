"""The command `metst synth`: synthetic videos with exact truth."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser("synth", help="generate a set of synthetic videos with exact ground truth")
    parser.add_argument("out", help="folder to write")
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--videos", type=int, default=3, help="videos per subject")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a video")
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--tier", default="default", help="difficulty: easy, default or hard")
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.synthetic import generate

    dataset = generate(
        options.out, options.subjects, options.videos, options.seconds,
        fps=options.fps, seed=options.seed, tier=options.tier,
    )  # fmt: skip
    print(f"{len(dataset.videos)} videos, {len(dataset.annotations)} micro-expressions in {options.out}")
    return 0
