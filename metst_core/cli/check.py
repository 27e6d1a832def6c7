"""The command `metst check`: this machine, or a data set before it is used."""

from __future__ import annotations

import argparse
from typing import Any

from metst_core.cli.options import add_set_options, dataset_options
from metst_core.errors import InputError


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser("check", help="check this machine, or a data set before it is used")
    parser.add_argument(
        "--dataset", help="synthetic, casme3, sammlv or folder; without it the machine is checked"
    )
    parser.add_argument("--root", help="the folder that holds the data set")
    parser.add_argument(
        "--labels-only",
        action="store_true",
        help="look at the label sheets alone (casme3, sammlv); no video is needed",
    )
    add_set_options(parser)
    parser.add_argument("--picture", metavar="FILE", help="also draw what was found, as a PNG file")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.cli.machine import check_machine

    if options.dataset is None:
        if options.root or options.option or options.picture or options.labels_only:
            raise InputError(
                "--root, --labels-only, --option and --picture are about a data set; add --dataset NAME"
            )
        table = check_machine()
        print(table.to_string(index=False))
        return 0 if table["ok"].all() else 1
    from metst_core.datasets import check_dataset

    report = check_dataset(
        options.dataset, options.root, not options.labels_only, **dataset_options(options.option)
    )
    print(report)
    if options.picture:
        from metst_core.files import atomic_path
        from metst_core.plots import dataset_overview

        with atomic_path(options.picture) as temporary:
            dataset_overview(report.dataset.annotations, report.dataset.videos).savefig(temporary)
        print(f"\n{options.picture}: a picture of the set")
    return 0 if report.ok else 1
