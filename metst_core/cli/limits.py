"""The command `metst limits VIDEO`: how small a micro-expression could be found in a recording."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metst_core.cli.options import add_film_options, add_planting_options
from metst_core.cli.terminal import complain
from metst_core.files import safe_name

if TYPE_CHECKING:
    from metst_core.footage import Film

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
    parser.add_argument("--weights", default="bundled", metavar="FILE", help="the weights (bundled)")
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
    outputs.check(films)
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
            complain(error)
    return 1 if problems else 0


class _Outputs:
    """The files of a call, asked for before the work."""

    def __init__(self, options: argparse.Namespace, several: bool) -> None:
        self._wanted = {".json": options.json, ".csv": options.csv, ".png": options.picture}
        self._several, self._weights = several, options.weights

    def check(self, films: Sequence[Film]) -> None:
        """Raise a `MetstError` for what cannot be written, or would be written over a film or the weights."""
        from metst_core.files import check_output
        from metst_core.inference import weight_files
        from metst_core.plots import check_picture
        from metst_core.video import files_of

        inputs = [*files_of(film.path for film in films), *weight_files(self._weights)]
        for suffix in self._wanted:
            for film in films:
                path = self._place(film, suffix)
                if path is not None:
                    check_output(check_picture(path) if suffix == ".png" else path, inputs)

    def _place(self, film: Film, suffix: str) -> Path | None:
        target = self._wanted[suffix]
        if target is None:
            return None
        name = f"{safe_name(film.subject)}_{safe_name(film.video)}{suffix}"
        return Path(target, name) if self._several else Path(target)

    def write(self, found: Any) -> None:
        """Write what was asked for."""
        from metst_core.plots import save_figure

        for suffix in self._wanted:
            path = self._place(found.film, suffix)
            if path is None:
                continue
            if suffix == ".png":
                save_figure(found.plot(), path)
            else:
                (found.to_json if suffix == ".json" else found.to_csv)(path)
            print(f"  -> {path}")
