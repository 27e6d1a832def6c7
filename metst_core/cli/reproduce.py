"""The command `metst reproduce`: the notebooks in order, and a report."""

from __future__ import annotations

import argparse
from typing import Any

from metst_core.cli.options import add_jobs, add_set_options, dataset_options


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser("reproduce", help="run the notebooks in order and write a report")
    parser.add_argument("--profile", default="default", help="smoke, default or full")
    parser.add_argument("--dataset", default="synthetic", help="synthetic, casme3, sammlv or folder")
    parser.add_argument("--data-root", help="the folder that holds the data set (not needed for synthetic)")
    parser.add_argument(
        "--seed", type=int, default=100, help="of the synthetic set, of training and of every bootstrap"
    )
    parser.add_argument(
        "--name",
        help="the run's name: results go to runs/NAME (default: the profile, after the data set unless synthetic)",
    )
    add_set_options(parser)
    add_jobs(parser)
    parser.add_argument("--notebooks", help="the folder of the notebooks (default: notebooks/)")
    parser.add_argument(
        "--weights", metavar="DIR", help="then also train the bundled weights anew, by their recipe, into DIR"
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pathlib import Path

    from metst_core.experiment import Edition, Run, check_profile_here, reproduce, run_name, write_edition
    from metst_core.workers import cores

    check_profile_here(options.profile)
    run = Run(
        options.profile, options.dataset, options.data_root, options.seed,
        Path("runs") / (options.name or run_name(options.profile, options.dataset)),
        dataset_options(options.option), options.jobs,
    )  # fmt: skip
    out = reproduce(run, options.notebooks)
    print(f"{out / 'report.html'}: open it in a browser")
    if options.weights:
        path, _ = write_edition(Edition(), options.weights, out / "weights", options.jobs or cores())
        print(f"{path}: the bundled weights anew")
    return 0
