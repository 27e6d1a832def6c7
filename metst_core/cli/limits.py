"""The command `metst limits VIDEO`: how small a micro-expression could be found in a recording."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from metst_core.cli.options import add_film_options, add_planting_options

_DESCRIPTION = """\
Measure how small a micro-expression could be found in a recording: movements of known size are planted into it (in
memory; the film is only read), and one sees which come back.  `metst analyse` then shows the latest limits of a film
beside what it finds in it."""


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser(
        "limits", help="measure how small a micro-expression could be found in your own film",
        description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_film_options(parser)
    add_planting_options(parser)
    parser.add_argument(
        "--events", type=int, default=80, metavar="N", help="how many are planted in all (80)"
    )
    parser.add_argument(
        "--weights", default="bundled", metavar="FILE", help="other weights than the bundled ones"
    )
    parser.add_argument("--json", metavar="FILE", help="write everything (several films: a folder)")
    parser.add_argument("--csv", metavar="FILE", help="write the table (several films: a folder)")
    parser.add_argument(
        "--picture", metavar="FILE", help="draw recall as a PNG file (several films: a folder)"
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.errors import MetstError
    from metst_core.footage import films_of, limits, limits_text, remember
    from metst_core.inference import load_model

    films = films_of(options.videos)
    model = load_model(options.weights)
    outputs = _Outputs(options, len(films) > 1)
    print(f"{model.notice}\n", file=sys.stderr)
    problems = 0
    for film in films:
        try:
            found = limits(
                film, model, prior=options.prior, strengths=tuple(options.strengths), n_events=options.events,
                seed=options.seed, per_minute=options.per_minute, image_fps=options.image_fps,
                progress=not options.quiet,
            )  # fmt: skip
            print(f"{film.path}\n{limits_text(found)}\n", flush=True)
            outputs.write(found)
            remember(found)
        except (MetstError, OSError) as error:
            problems += 1
            print(f"metst: {error}", file=sys.stderr)
    return 1 if problems else 0


class _Outputs:
    """The files of a call, asked for before the work."""

    def __init__(self, options: argparse.Namespace, several: bool) -> None:
        self._wanted = {".json": options.json, ".csv": options.csv, ".png": options.picture}
        self._several = several

    def write(self, found: Any) -> None:
        from pathlib import Path

        from metst_core.files import atomic_path

        for suffix, target in self._wanted.items():
            if target is None:
                continue
            name = f"{found.film.subject}_{found.film.video}{suffix}"
            path = Path(target, name) if self._several else Path(target)
            if suffix == ".png":
                with atomic_path(path) as temporary:
                    found.plot().savefig(temporary)
            else:
                (found.to_json if suffix == ".json" else found.to_csv)(path)
            print(f"  -> {path}")
