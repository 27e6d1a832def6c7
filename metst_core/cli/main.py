"""The entry of the command line: finds the command, runs it, and says in one line what went wrong."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from typing import Any

from metst_core.cli import ablate, analyse, check, compare, fetch, released, reproduce, seeds, synth
from metst_core.cli.terminal import complain, steady_streams
from metst_core.errors import LostOutput, MetstError
from metst_core.files import printable
from metst_core.version import __version__

COMMANDS = (check, fetch, synth, analyse, reproduce, compare, seeds, ablate, released)
"""One module per command, in the order of `metst --help`; each has `add_parser` and `run`."""

_STOPPED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 1 a problem that the message explains, 2 a wrong call)."""
    with steady_streams() as out, warnings.catch_warnings():
        warnings.simplefilter("error", LostOutput)
        code = _run(_parser().parse_args(arguments))
        out.flush()
        if out.trouble is not None and not isinstance(out.trouble, BrokenPipeError):
            complain(
                f"what was printed could not all be written ({out.trouble.strerror}); make room, and run again"
            )
            return code or 1
        return code


def _run(options: argparse.Namespace) -> int:
    try:
        return options.command(options) or 0
    except MetstError as error:
        complain(error)
    except KeyboardInterrupt:
        complain("stopped; the same command continues where it stopped")
        return _STOPPED
    except MemoryError:
        complain(
            "there is not enough memory; use fewer --jobs or shorter videos, and run again (what is done is kept)"
        )
    except BrokenExecutor:
        complain(
            "a worker process was killed, mostly for lack of memory; use fewer --jobs (what is done is kept)"
        )
    except OSError as error:
        where = error.filename if isinstance(error.filename, str | bytes) else "the system"
        complain(
            f"{where!s}: {error.strerror or error}; make room, change the permissions or name another place, and run "
            "again (what is done is kept)"
        )
    return 1


class _Parser(argparse.ArgumentParser):
    """As Python's; its messages repeat arguments, which may hold anything."""

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(printable(message), file)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="metst", description="Micro-expression analysis with ME-TST and ME-TST+.")
    parser.add_argument("--version", action="version", version=f"metst {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser
