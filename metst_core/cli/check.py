"""The command `metst check`: this machine, or a data set before it is used."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metst_core.cli.options import add_set_options, dataset_options
from metst_core.errors import InputError

if TYPE_CHECKING:
    from metst_core.datasets import Dataset


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser("check", help="check this machine, or a data set before it is used")
    parser.add_argument(
        "--dataset", help="synthetic, casme3, sammlv or folder; without it the machine is checked"
    )
    parser.add_argument("--root", help="the folder that holds the data set")
    parser.add_argument(
        "--labels-only",
        action="store_true",
        help="look at the label sheets alone (casme3, sammlv); no video is needed",
    )
    add_set_options(parser)
    parser.add_argument(
        "--picture",
        metavar="FILE",
        help="also draw what was found, with faces at onset and apex, as a PNG file",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from metst_core.cli.machine import check_machine

    if options.dataset is None:
        if options.root or options.option or options.picture or options.labels_only:
            raise InputError(
                "--root, --labels-only, --option and --picture are about a data set; add --dataset NAME"
            )
        table = check_machine()
        print(table.to_string(index=False))
        return 0 if table["ok"].all() else 1
    from metst_core.datasets import check_dataset
    from metst_core.files import check_output
    from metst_core.plots import check_picture
    from metst_core.video import files_of

    if options.picture:
        check_output(check_picture(options.picture))
    report = check_dataset(
        options.dataset, options.root, not options.labels_only, **dataset_options(options.option)
    )
    print(report)
    if options.picture:
        check_output(options.picture, files_of(path for path in report.dataset.videos["path"] if path))
        _draw(report.dataset, Path(options.picture), not getattr(options, "labels_only", False))
    return 0 if report.ok else 1


def _draw(dataset: Dataset, path: Path, has_videos: bool) -> None:
    """The picture of a set: counts, and faces at the labelled frames where there are videos."""
    from metst_core.errors import MetstError
    from metst_core.experiment import set_samples
    from metst_core.landmarks import Landmarker, MediaPipeLandmarker
    from metst_core.plots import save_figure, set_page

    landmarker: Landmarker | None = None
    with contextlib.suppress(MetstError):  # without a face model whole frames are shown
        landmarker = MediaPipeLandmarker()
    samples, problems = set_samples(dataset, landmarker) if has_videos else ([], [])
    figure = set_page(dataset.annotations, dataset.videos, samples, dataset.name)
    save_figure(figure, path)
    for problem in problems:
        print(f"not drawn: {problem}")
    print(f"\n{path}: a picture of the set, with faces at {len(samples)} labelled micro-expressions")
