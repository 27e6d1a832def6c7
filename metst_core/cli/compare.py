"""The command `metst compare`: how the results of two runs differ."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser("compare", help="show how the results of two runs differ")
    parser.add_argument("a", help="folder of a finished run")
    parser.add_argument("b", help="folder of another")
    parser.add_argument("--picture", metavar="FILE", help="also draw both, as a PNG file")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    import pandas as pd

    from metst_core.experiment import HEADLINE, compare_runs
    from metst_core.files import check_output
    from metst_core.plots import check_picture, comparison, save_figure

    if options.picture:
        check_output(check_picture(options.picture))
    table = compare_runs(options.a, options.b)
    print(table.round(3).to_string(index=False))
    if options.picture:
        sides = [
            table.assign(method=table["method"] + f" ({side})").rename(
                columns={f"{name}_{side}": name for name in ("value", "low", "high")}
            )
            for side in "ab"
        ]
        drawn = pd.concat(sides).query("protocol == 'strict'").sort_values("method", kind="stable")
        save_figure(comparison(drawn, HEADLINE, f"a: {options.a}, b: {options.b}"), options.picture)
        print(f"{options.picture}: both runs, strict protocol")
    return 0
