"""The command `metst claims`: the rivals and the papers' claims, one by one, around a finished run."""

from __future__ import annotations

import argparse
from typing import Any

from metst_core.cli.options import add_jobs


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser(
        "claims",
        help="train rivals and exchanged parts until each claim of the papers is answered or time is up",
    )
    parser.add_argument("--run", default="runs/default", help="folder of a finished run (runs/default)")
    parser.add_argument("--data-root", help="the folder that holds the data set (not needed for synthetic)")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="CLAIM",
        help="these claims alone, or ideas of related papers (ideas: all of them); decoder: which decoder, chosen in nested folds",
    )
    parser.add_argument(
        "--hours",
        type=float,
        default=8.0,
        help="train nothing further after so long (8); what is trained is scored",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="at most so many training seeds a cell (as many as each asks for: 3 or 1)",
    )
    parser.add_argument(
        "--keep",
        metavar="DIR",
        help="then copy tables, record and figures to DIR (ideas: to its folder ideas); data/claims is what notebooks read",
    )
    parser.add_argument(
        "--rates", type=float, nargs="*", default=[], metavar="RATE",
        help="learning rates that each fold of the rivals (claim state) chooses from by the other folds' persons (none: "
        "the run's own)",
    )  # fmt: skip
    parser.add_argument(
        "--windows", type=int, nargs="*", default=[], metavar="FRAMES",
        help="window lengths to try as well, at equal steps, each with the motion extracted anew",
    )  # fmt: skip
    add_jobs(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pathlib import Path

    from metst_core.experiment import Budget, Run, decoders_in_words, keep
    from metst_core.files import atomic_path
    from metst_core.plots import claim

    budget = Budget(options.hours, options.seeds, tuple(options.rates))
    run = Run.reopened(options.run, options.data_root, options.jobs)
    if options.only == ["decoder"]:
        print("\n".join(decoders_in_words(run.decoders())))
        if options.keep:
            print(f"{keep(run.claims_folder(), options.keep)}: the table as it is kept")
        return 0
    found = run.claims(options.only, budget, options.windows)
    folder = run.claims_folder(options.only)
    for answer in found.answers.to_dict("records"):
        said = f"{answer['claim']}: {answer['sentence']} ({answer['source']}): {answer['answer']}"
        if answer["answer"] != "not computed":
            said += f", {answer['seeds_first']} against {answer['seeds_second']} seeds"
        print(said)
        cells = found.cells(answer["claim"])
        if len(cells):
            with atomic_path(folder / f"{answer['claim'].replace(' ', '_')}.png") as temporary:
                claim(cells, answer["sentence"]).savefig(temporary, dpi=110)
    if found.cut:
        print(f"not computed, for lack of time: {', '.join(found.cut)}")
    if len(found.table):
        each = found.table["seconds"] / found.table["seeds"] / 60
        print(
            f"training one network's folds took {each.median():.1f} minutes (median), {each.max():.1f} at most"
        )
        print(f"{folder / 'claims.csv'}: every cell; the same command goes on where it stopped")
        if options.keep:
            kept = Path(options.keep) / ("ideas" if options.only == ["ideas"] else "")
            print(f"{keep(folder, kept)}: the table as it is kept")
    return 0
