"""The entry of the command line: finds the command, runs it, and says in one line what went wrong."""

from __future__ import annotations

import argparse
import difflib
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from typing import Any, NoReturn

from metst_core.cli import (
    ablate,
    adapt,
    analyse,
    check,
    claims,
    compare,
    coverage,
    fetch,
    limits,
    name,
    plant,
    prepare,
    released,
    reproduce,
    score,
    seeds,
    synth,
    train,
)
from metst_core.cli.options import show_defaults
from metst_core.cli.terminal import complain, steady_streams
from metst_core.errors import LostOutput, MetstError
from metst_core.files import printable
from metst_core.version import __version__

COMMANDS = (
    check, fetch, synth, analyse, plant, limits, adapt, name, train, score, reproduce, compare, seeds, ablate, claims,
    coverage, prepare, released,
)  # fmt: skip
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
    """A parser that says which command or option somebody may have meant; arguments, which may hold anything, as text."""

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(printable(message), file)

    def error(self, message: str) -> NoReturn:
        found = re.match(r"argument COMMAND: invalid choice: '([^']*)'", message)
        if found:
            names = [module.__name__.rpartition(".")[2] for module in COMMANDS]
            hint = _meant(found[1], names)
            message = f"there is no command {found[1]!r}{hint}; the commands are {', '.join(names)}"
        elif message.startswith("unrecognized arguments: -"):
            wrong = message.partition(": ")[2].split()[0].partition("=")[0]
            message += _meant(wrong, _options_of(self))
        super().error(message)


def _meant(word: str, names: Sequence[str]) -> str:
    """`; did you mean ...?` where one of the names is close."""
    close = difflib.get_close_matches(word, names, 1, 0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _options_of(parser: argparse.ArgumentParser) -> list[str]:
    """All options of a parser and of its commands."""
    names: list[str] = []
    for action in parser._actions:
        names += action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            names += [name for each in action.choices.values() for name in _options_of(each)]
    return names


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="metst", description="Micro-expression analysis with ME-TST and ME-TST+.")
    parser.add_argument("--version", action="version", version=f"metst {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    for each in commands.choices.values():
        show_defaults(each)
    return parser
