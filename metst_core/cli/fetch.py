"""The command `metst fetch`: MediaPipe's face model, once."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser(
        "fetch",
        help="get MediaPipe's face model, once; everything else works offline",
        description="Get MediaPipe's face model (face_landmarker.task, 3.8 MB, Apache-2.0), once, and check it.  The "
        "environment variable METST_FACE_LANDMARKER may name a copy that was brought from elsewhere.",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.landmarks import fetch_model

    print(f"{fetch_model()}: MediaPipe's face model is there")
    return 0
