"""The command `metst released`: the authors' networks on the authors' feature cache."""

from __future__ import annotations

import argparse
from typing import Any

from metst_core.cli.options import add_set_options, dataset_options


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser(
        "released",
        help="score the authors' networks on their feature cache, with the label sheets and no video",
        description="Score the authors' checkpoints on their feature cache against the label sheets of CAS(ME)^3 "
        "or SAMM-LV, under both protocols.  No video is needed.  See data/casme3.md and data/sammlv.md.",
    )
    parser.add_argument("--dataset", required=True, help="casme3 or sammlv")
    parser.add_argument("--root", required=True, help="the folder with the label sheets")
    parser.add_argument("--cache", required=True, metavar="FILE", help="the pickled motion of all videos")
    parser.add_argument(
        "--weights",
        required=True,
        metavar="DIR",
        help="folder with one checkpoint per held-out subject, whose name ends with the subject's id",
    )
    parser.add_argument(
        "--order",
        metavar="CSV",
        help="subject,video: which video each entry of the cache is, row by row (default: the videos with a "
        "micro-expression in natural order)",
    )
    parser.add_argument("--synergy", type=int, default=2, help="0, 1 or 2 (the papers' choice)")
    add_set_options(parser)
    parser.add_argument("--out", metavar="DIR", help="also write scores, predictions and labels as CSV")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.experiment import score_released

    result = score_released(
        options.dataset, options.root, options.cache, options.weights, options.order,
        synergy=options.synergy, **dataset_options(options.option),
    )  # fmt: skip
    if len(result.dataset.report):
        print(f"{result.dataset.report_text()}\n")
    videos, labels = len(result.traces), len(result.dataset.annotations)
    print(f"{result.method}, {videos} videos, {labels} micro-expressions")
    print(result.scores.round(4).to_string(index=False))
    if options.out:
        print(f"{result.save(options.out)}: scores, predictions and labels as CSV")
    return 0
