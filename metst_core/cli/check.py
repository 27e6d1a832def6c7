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
    add_set_options(parser)
    parser.add_argument("--picture", metavar="FILE", help="also draw what was found, as a PNG file")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.cli.machine import check_machine

    if options.dataset is None:
        if options.root or options.option or options.picture:
            raise InputError("--root, --option and --picture are about a data set; add --dataset NAME")
        table = check_machine()
        print(table.to_string(index=False))
        return 0 if table["ok"].all() else 1
    from metst_core.datasets import check_dataset
    from metst_core.files import check_output
    from metst_core.plots import check_picture, dataset_overview, save_figure
    from metst_core.video import files_of

    if options.picture:
        check_output(check_picture(options.picture))
    report = check_dataset(options.dataset, options.root, **dataset_options(options.option))
    print(report)
    if options.picture:
        check_output(options.picture, files_of(report.dataset.videos["path"]))
        save_figure(dataset_overview(report.dataset.annotations, report.dataset.videos), options.picture)
        print(f"\n{options.picture}: a picture of the set")
    return 0 if report.ok else 1
