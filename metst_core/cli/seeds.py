"""The command `metst seeds`: how much of a number is luck."""

from __future__ import annotations

import argparse
from typing import Any

from metst_core.cli.options import add_jobs


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser(
        "seeds", help="train a finished run's networks with more seeds: how much is luck"
    )
    parser.add_argument("--run", default="runs/default", help="folder of a finished run (runs/default)")
    parser.add_argument("-n", type=int, default=5, help="how many seeds, the run's own included (5)")
    parser.add_argument("--models", nargs="+", help="which networks (default: all that the run compared)")
    add_jobs(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.experiment import Run, collect_results, read_results, refresh
    from metst_core.files import only_one

    run = Run.reopened(options.run, n_jobs=options.jobs)
    with only_one(run.out):
        collect_results(run.out)
        known = read_results(run.out)["seeds"]
        spreads = {model: run.over_seeds(model, options.n) for model in options.models or run.profile.models}
        for model, table in spreads.items():
            print(f"\n{model}\n{table.round(3).to_string(index=False)}")
            known[model] = table.to_dict("records")
        run.record("seeds", seeds=known)
        print(f"\n{refresh(run.out)}: shows them too")
    return 0
