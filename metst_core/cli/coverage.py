"""The command `metst coverage`: how often the intervals cover, by simulation."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser(
        "coverage", help="simulate how often the intervals of scores cover, and how often marks mislead"
    )
    parser.add_argument(
        "--sets", type=int, default=2000, help="simulated sets of persons per population (2000)"
    )
    parser.add_argument(
        "--bootstraps",
        type=int,
        default=200,
        help="of them for the bootstraps and for tables of equal methods (200)",
    )
    parser.add_argument("--persons", type=int, nargs="+", help="numbers of persons (default: 4 to 100)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (0)")
    parser.add_argument("--out", metavar="FILE", help="also write the table, as CSV")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.metrics import PERSONS, simulate
    from metst_core.tables import write_table

    persons = options.persons or PERSONS
    table = simulate(persons, options.sets, options.bootstraps, seed=options.seed)
    shown = table[table["metric"].isin(["spotting_f1", "recognition_f1", "strs"])]
    print(
        shown.pivot_table(
            index=["what", "method", "seeds", "persons"], columns="metric", values="share", sort=False
        )
        .round(3)
        .to_string()
    )
    marks = shown[(shown["what"] == "marked tables") & (shown["method"] == "max-T")]
    for row in marks.itertuples():
        print(
            f"tables of equal methods with a mark, {row.persons} persons, {row.seeds} seed(s), {row.metric}: {row.share:.3f}; "
            f"so few simulations leave {row.share_low:.3f} to {row.share_high:.3f}"
        )
    if options.out:
        print(f"{write_table(table, options.out)}: the table, with the worst population beside the mean")
    return 0
