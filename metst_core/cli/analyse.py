"""The command `metst analyse VIDEO...`: one's own videos, one after the other.

A video that cannot be analysed is reported, and the others go on.  The tables are written anew after every video, so
whatever ends the run, what was done is on disk.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metst_core.cli.terminal import complain

if TYPE_CHECKING:
    from metst_core.pipeline import AnalysisResult, TrainedModel

DONE, PROBLEM, STOPPED = 0, 1, 130
"""Exit codes: everything done; a video or an output had a problem (the others are done); stopped with Ctrl-C."""

_DESCRIPTION = """\
Find micro-expressions in video files or folders of images.

The bundled weights were trained on synthetic faces.  This does not detect lies, and it is not for decisions
about people.  Nothing leaves this machine."""

_EPILOG = """\
With several videos, --csv, --json and --megc hold all of them, and --html and --annotated-video name folders.
Exit codes: 0 all done, 1 a problem that a message explains (the other videos are done), 2 a wrong call,
130 stopped with Ctrl-C (what was done is kept)."""


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "analyse",
        help="find micro-expressions in your own videos",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="a video file or a folder of images")
    parser.add_argument("--csv", metavar="FILE", help="write the intervals as a table")
    parser.add_argument(
        "--safe-csv", action="store_true",
        help="for a table that is opened in a spreadsheet: an apostrophe before texts (names of files) that begin with "
        "= + - or @, so that none is taken for a formula",
    )  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write intervals, quality flags and per-frame scores")
    parser.add_argument(
        "--html", metavar="PATH", help="write a page that opens offline (several videos: a folder)"
    )
    parser.add_argument(
        "--megc", metavar="FILE", help="write a submission: subject,video,onset,offset,emotion, from 1"
    )
    parser.add_argument(
        "--annotated-video", metavar="PATH", help="write the video with its score (several videos: a folder)"
    )
    parser.add_argument(
        "--weights",
        default="bundled",
        metavar="FILE",
        help="other weights: .safetensors, or the authors' checkpoint",
    )
    parser.add_argument(
        "--image-fps", type=float, default=30.0, help="frames per second of folders of images (30)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Analyse every video of the call; returns the exit code.  Wrong outputs or weights raise a `MetstError`."""
    from metst_core.pipeline import NOTICE, load_model
    from metst_core.pipeline import STOPPED as STOPPED_HERE

    videos = left = list(dict.fromkeys(options.videos))
    outputs = _Outputs(options, videos)  # an hour of work should not end at a folder that cannot be written
    results: list[AnalysisResult] = []
    problems = 0
    try:
        model = load_model(options.weights)
        print(f"{NOTICE}\n", file=sys.stderr)
        for n_done, video in enumerate(videos, start=1):
            result = _analysed(video, model, options)
            left = videos[n_done:]
            if result is None:
                problems += 1
                continue
            results.append(result)
            print(result.summary(), flush=True)
            problems += not (result.has_face and result.complete)
            problems += outputs.write(results)
            if result.trouble == STOPPED_HERE:
                return _stopped(left)
    except KeyboardInterrupt:
        return _stopped(left)
    if len(videos) > 1:
        found = sum(len(result.table) for result in results)
        print(f"{len(results)} of {len(videos)} videos analysed, {found} intervals found")
    return PROBLEM if problems else DONE


def _analysed(video: str, model: TrainedModel, options: argparse.Namespace) -> AnalysisResult | None:
    from metst_core.errors import MetstError, reason
    from metst_core.pipeline import analyse

    try:
        return analyse(video, model, image_fps=options.image_fps, progress=not options.quiet)
    except MetstError as error:
        complain(error)
    except Exception as error:  # of FFmpeg, OpenCV, MediaPipe, the system: one video never ends a batch
        complain(f"{video}: {type(error).__name__}: {reason(error)}")
    return None


def _stopped(left: list[str]) -> int:
    text = f"; not begun or not kept: {', '.join(left)}" if left else ""
    complain(f"stopped, what was done is kept{text}")
    return STOPPED


class _Outputs:
    """The files of a call, checked before the work and written after every video."""

    def __init__(self, options: argparse.Namespace, videos: list[str]) -> None:
        from metst_core import pipeline
        from metst_core.errors import InputError
        from metst_core.video import WRITABLE_SUFFIXES, files_of

        inputs = [*files_of(videos), *pipeline.weight_files(options.weights)]
        together: dict[str, Callable[..., Path]] = {
            "csv": partial(pipeline.write_csv, formulas=False) if options.safe_csv else pipeline.write_csv,
            "json": pipeline.write_results_json,
            "megc": pipeline.write_megc,
        }
        self._together = [(Path(p), f) for n, f in together.items() if (p := getattr(options, n))]
        self._progress = not options.quiet
        self._pages = self._places(options.html, videos, ".html")
        self._films = self._places(options.annotated_video, videos, ".mp4")
        every = [*(path for path, _ in self._together), *self._pages.values(), *self._films.values()]
        for path in every:
            pipeline.check_output(path, inputs)
        places = [os.path.realpath(path) for path in every if path.is_file() or not path.exists()]
        twice = {path for path in places if places.count(path) > 1}
        other = [p for p in self._films.values() if p.suffix.lower() not in WRITABLE_SUFFIXES]
        if twice:
            raise InputError(f"{min(twice)}: two outputs would be written there; name two places")
        if other:
            raise InputError(
                f"{other[0]}: no video file can be written under this name; end it with one of "
                f"{', '.join(WRITABLE_SUFFIXES)}"
            )

    @staticmethod
    def _places(target: str | None, videos: list[str], suffix: str) -> dict[Path, Path]:
        """Video -> the file to write for it; several videos give a folder of files with their names."""
        if target is None:
            return {}
        if len(videos) == 1 and not Path(target).is_dir():
            return {Path(videos[0]): Path(target)}
        places: dict[Path, Path] = {}
        for video in map(Path, videos):
            name = stem = video.stem or video.resolve().name
            number = 1
            while (Path(target) / f"{name}{suffix}") in places.values():
                number += 1
                name = f"{stem}_{number}"
            places[video] = Path(target) / f"{name}{suffix}"
        return places

    def write(self, results: list[AnalysisResult]) -> int:
        """Write what concerns the latest result, and all tables; the number of outputs that failed."""
        last = results[-1]
        jobs: list[tuple[Path, Callable[[Path], Path]]] = [
            (path, partial(function, results)) for path, function in self._together
        ]
        if last.path in self._pages:
            jobs.append((self._pages[last.path], partial(last.to_html, progress=self._progress)))
        if last.path in self._films and last.n_analysed:
            jobs.append((self._films[last.path], partial(last.to_video, progress=self._progress)))
        return sum(not _written(path, job) for path, job in jobs)


def _written(path: Path, job: Callable[[Path], Path]) -> bool:
    from metst_core.errors import MetstError, reason

    try:
        job(path)
    except MetstError as error:
        complain(error if str(path) in str(error) else f"{path}: {error}")
    except OSError as error:
        complain(
            f"{path}: could not be written ({error.strerror or error}); the result is printed above, make room or name "
            "another place, and run again"
        )
    except Exception as error:  # of the writers: the other outputs are written
        complain(f"{path}: could not be written ({type(error).__name__}: {reason(error)})")
    else:
        print(f"  -> {path}")
        return True
    return False
