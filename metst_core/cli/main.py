"""The entry of the command line: finds the command, runs it, and says in one line what went wrong."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from metst_core.cli import (
    ablate,
    analyse,
    check,
    claims,
    compare,
    coverage,
    fetch,
    released,
    reproduce,
    seeds,
    synth,
)
from metst_core.errors import MetstError
from metst_core.version import __version__

COMMANDS = (check, fetch, synth, analyse, reproduce, compare, seeds, ablate, claims, coverage, released)
"""One module per command, in the order of `metst --help`; each has `add_parser` and `run`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 1 a problem that the message explains, 2 a wrong call)."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except MetstError as error:
        print(f"metst: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("metst: stopped; the same command continues where it stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="metst", description="Micro-expression analysis with ME-TST and ME-TST+."
    )
    parser.add_argument("--version", action="version", version=f"metst {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser
