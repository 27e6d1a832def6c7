"""The command `metst ablate`: one part of the method exchanged at a time."""

from __future__ import annotations

import argparse
from typing import Any

from metst_core.cli.options import add_jobs


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser("ablate", help="leave out or exchange one part of the method at a time")
    parser.add_argument("--run", default="runs/default", help="folder of a finished run (runs/default)")
    parser.add_argument("--data-root", help="the folder that holds the data set (not needed for synthetic)")
    parser.add_argument(
        "--windows", type=int, nargs="*", default=[30, 80], metavar="FRAMES",
        help="window lengths to try, each with the videos' motion extracted anew (30 80); none: leave that out",
    )  # fmt: skip
    add_jobs(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.experiment import Run, collect_results, refresh, without_effect
    from metst_core.files import only_one
    from metst_core.plots import ablation
    from metst_core.tables import write_table

    run = Run.reopened(options.run, options.data_root, options.jobs)
    with only_one(run.out):
        collect_results(run.out)  # what is missing is said now, not after the training
        result = run.ablate(options.windows)
        write_table(result.table, run.out / "ablation" / "ablation.csv")
        run.figure(
            ablation(result.table),
            "ablation",
            "Ablation: one part of ME-TST+ exchanged at a time (strict protocol).",
        )
        run.record("ablation", ablation=result.table.to_dict("records"))
        print(result.table.round(3).to_string(index=False))
        print("no difference in STRS on these data:", ", ".join(without_effect(result.table)) or "none")
        print(f"{refresh(run.out)}: shows it too")
    return 0
