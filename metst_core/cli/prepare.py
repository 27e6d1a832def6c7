"""The command `metst prepare`: a finished run, small enough to travel with the notebooks."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser(
        "prepare", help="make a finished run small enough for notebooks that are opened by hand"
    )
    parser.add_argument("run_dir", metavar="RUN", help="folder of a finished run, such as runs/default")
    parser.add_argument(
        "--out", default="data/prepared", help="where it goes (data/prepared); what is there is replaced"
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.experiment import prepare
    from metst_core.files import read_json

    out = prepare(options.run_dir, options.out)
    size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    without = read_json(out / "manifest.json")["without_network"]
    print(
        f"{out}: {size / 1e6:.1f} MB"
        + (f"; no room for the networks of {', '.join(without)}" if without else "")
    )
    return 0
