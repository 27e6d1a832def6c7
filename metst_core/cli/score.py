"""The command `metst score PREDICTIONS TRUTH`: how well two tables agree."""

from __future__ import annotations

import argparse
from typing import Any

from metst_core.cli.options import Defaults

_DESCRIPTION = """\
Score predictions against the truth: spotting, recognition, STRS, and average precision at several IoUs, with 95%
intervals over subjects.

Each of the two is a CSV table (subject,video,onset,apex,offset,emotion and, for predictions, score; 0-based frames, as
`metst analyse --csv` writes it), a submission of the grand challenges (no apex, frames from 1), an ELAN, Praat or
WebVTT file, or a folder of these, one per video.  Files that name no subject take the other side's, by the
videos' names."""


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser(
        "score",
        help="score predictions against the truth, any two tables",
        description=_DESCRIPTION,
        formatter_class=Defaults,
    )
    parser.add_argument("predictions", help="what was predicted")
    parser.add_argument("truth", help="what is true")
    parser.add_argument("--fps", type=float, help="frames per second, for files that count in seconds")
    parser.add_argument(
        "--iou",
        type=float,
        nargs="+",
        default=[0.3, 0.5, 0.7],
        metavar="IOU",
        help="where average precision is measured",
    )
    parser.add_argument("--samples", type=int, default=1000, help="bootstrap samples of the subjects")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--json", metavar="FILE", help="also write everything as JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.experiment import score_files
    from metst_core.files import check_output, write_json
    from metst_core.metrics import Intervals

    if options.json:
        check_output(options.json, [options.predictions, options.truth])
    scores = score_files(
        options.predictions, options.truth, options.fps, options.iou, Intervals(options.samples, options.seed)
    )
    found = scores.evaluation
    print(
        f"{len(scores.subjects)} subject(s), {scores.videos} video(s) with an interval: {found.tp} true positives, "
        f"{found.fp} false positives, {found.fn} missed (IoU 0.5)"
    )
    print(scores.table.round(3).to_string(index=False, na_rep="–"))
    if len(scores.subjects) < 5:
        print(f"\nThe intervals are over {len(scores.subjects)} subject(s): too few to say much.")
    print(f"\n{found.confusion}")
    if options.json:
        print(f"{write_json(scores.to_dict(), options.json)}: everything")
    return 0
