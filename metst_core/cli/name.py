"""The command `metst name VIDEO --intervals FILE`: the emotion of intervals that a person gives."""

from __future__ import annotations

import argparse
from typing import Any

from metst_core.cli.options import Defaults

_DESCRIPTION = """\
Name intervals that a person gives: the network says which of the four emotions each looks like.

The intervals come from ELAN (.eaf), Praat (.TextGrid), WebVTT (.vtt) or CSV with onset and offset (frames from 0) or
onset_seconds and offset_seconds.  The emotion is a label for a movement, not a feeling."""


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser(
        "name",
        help="name the emotion of intervals that you give",
        description=_DESCRIPTION,
        formatter_class=Defaults,
    )
    parser.add_argument("video", metavar="VIDEO", help="a video file or a folder of images")
    parser.add_argument("--intervals", metavar="FILE", required=True, help="the intervals to name")
    parser.add_argument("--csv", metavar="FILE", help="write the named intervals as a table")
    parser.add_argument(
        "--weights", default="bundled", metavar="FILE", help="the weights: bundled, or a file"
    )
    parser.add_argument(
        "--face", default="largest", metavar="WHICH", help="which of several faces, as in metst analyse"
    )
    parser.add_argument(
        "--image-fps", type=float, default=30.0, help="frames per second of a folder of images"
    )
    parser.add_argument("--overwrite", action="store_true", help="write over a file that is there")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    import sys
    from pathlib import Path

    from metst_core import pipeline
    from metst_core.errors import MissingError
    from metst_core.tables import write_table
    from metst_core.video import files_of

    if not Path(options.intervals).is_file():  # said before the work
        raise MissingError(
            f"{options.intervals}: no such file; --intervals names the file with the intervals"
        )
    if options.csv:
        inputs = [*files_of([options.video]), options.intervals, *pipeline.weight_files(options.weights)]
        pipeline.check_free([pipeline.check_output(options.csv, inputs)], None, False, options.overwrite)
    model = pipeline.load_model(options.weights)
    print(f"{model.notice}\n", file=sys.stderr)
    result = pipeline.analyse(
        options.video, model, image_fps=options.image_fps, progress=not options.quiet,
        face=pipeline.FaceChoice.of(options.face),
    )  # fmt: skip
    table = pipeline.name_given(result, pipeline.read_given(options.intervals, result))
    shown = table[
        ["onset_seconds", "apex_seconds", "offset_seconds", "given", "emotion", "votes", "highest", "flags"]
    ]
    print(shown.round(3).to_string(index=False, na_rep="–"))
    low = int((table["highest"] < result.threshold).sum())
    if low:
        print(
            f"{low} of {len(table)} with a score below the threshold ({result.threshold:.2f}): not found on its own"
        )
    if options.csv:
        print(f"  -> {write_table(table, options.csv)}")
    return 0 if result.has_face and result.complete else 1
