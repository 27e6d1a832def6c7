"""The command `metst analyse VIDEO...`: one's own videos, one after the other or several at once.

A video that cannot be analysed is reported, and the others go on.  The tables are written anew after every video, so
whatever ends the run, what was done is on disk (the table of all frames is written at the end).
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metst_core.cli.options import Defaults
from metst_core.cli.terminal import complain

if TYPE_CHECKING:
    from metst_core.cli.outputs import Outputs
    from metst_core.pipeline import Done, TrainedModel, Work

DONE, PROBLEM, STOPPED = 0, 1, 130
"""Exit codes: everything done; a video or an output had a problem (the others are done); stopped with Ctrl-C."""

_DESCRIPTION = """\
Find micro-expressions in video files, folders of videos (at any depth) or folders of images.

The bundled weights were trained on synthetic faces.  This does not detect lies, and it is not for decisions
about people.  Nothing leaves this machine."""

_EPILOG = """\
  metst analyse clip.mp4 --html clip.html               one video, one page
  metst analyse recordings/ --out results/              a folder: tables, pages, ELAN files and index.html
  metst analyse recordings/ --out results/ --resume     go on where it was left, or with new videos

With several videos, --csv, --json, --megc and --summary hold all of them, --frames too where the name ends in .csv or
.parquet; the others name folders.  The columns of every table: data/outputs.md.
Exit codes: 0 all done, 1 a problem that a message explains (the other videos are done), 2 a wrong call,
130 stopped with Ctrl-C (what was done is kept)."""


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "analyse",
        help="find micro-expressions in your own videos",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=Defaults,
    )
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help="a video file, a folder of videos, a folder of images, or a pattern",
    )
    _add_outputs(parser.add_argument_group("what is written"))
    what = parser.add_argument_group("what is analysed")
    what.add_argument("--weights", default="bundled", metavar="FILE",
                      help="the weights: bundled, aligned (a trial for faces that talk: upper and lower face are judged apart), a "
                      ".safetensors file (`metst train`), or the authors' checkpoint")  # fmt: skip
    what.add_argument("--face", default="largest", metavar="WHICH",
                      help="which of several faces is followed: largest, left, right, a number from the left, a box "
                      "LEFT,TOP,WIDTH,HEIGHT in pixels, or all (a result for each)")  # fmt: skip
    what.add_argument("--subject-from", default="auto", choices=("auto", "folder", "name", "none"),
                      help="who a video shows: the folder below the one that was named, or, for a loose file, the file "
                      "(auto); the folder that holds it; what its name begins with, up to the first _ or -; nobody")  # fmt: skip
    what.add_argument("--image-fps", type=float, default=30.0, help="frames per second of folders of images")
    how = parser.add_argument_group("how")
    how.add_argument("--jobs", type=int, default=1, metavar="N", help="videos worked on at once")
    how.add_argument("--phases", type=int, metavar="N",
                     help="window phases that the score is the mean of; 1 is fastest, and what it says hangs on where the "
                     "video begins (the weights' own number)")  # fmt: skip
    how.add_argument("--resume", action="store_true",
                     help="take what is done with these weights and options, and go on; what was written stays up to "
                     "date, what was changed since is not touched")  # fmt: skip
    how.add_argument("--overwrite", action="store_true", help="write over files that are there")
    how.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(command=run)


def _add_outputs(group: Any) -> None:
    for name, metavar, text in (
        ("out", "DIR", "everything that one needs, in one folder: intervals.csv, summary.csv, frames/, pages/, elan/, index.html"),
        ("csv", "FILE", "the intervals as a table"),
        ("summary", "FILE", "a table with a row per video: how much of it can be used, how much was found, why not more"),
        ("frames", "PATH", "a table with a row per frame (several videos: a .csv or .parquet of all, or a folder)"),
        ("json", "FILE", "intervals, quality flags, and times, scores and probabilities per frame"),
        ("html", "PATH", "a page that opens offline (several videos: a folder, with index.html)"),
        ("eaf", "PATH", "an ELAN file (several videos: a folder)"),
        ("textgrid", "PATH", "a TextGrid of Praat (several videos: a folder)"),
        ("vtt", "PATH", "a WebVTT track (several videos: a folder)"),
        ("megc", "FILE", "a submission: subject,video,onset,offset,emotion, frames from 1"),
        ("annotated-video", "PATH", "the video with its sound over its score; .mp4 plays in a browser (several videos: a folder)"),
        ("explore", "PATH", "the ROI explorer as a page (several videos: a folder)"),
    ):  # fmt: skip
        group.add_argument(f"--{name}", metavar=metavar, help=text)
    group.add_argument(
        "--safe-csv", action="store_true",
        help="for tables that are opened in a spreadsheet: an apostrophe before texts (names of files) that begin with = "
        "+ - or @, so that none is taken for a formula",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Analyse every video of the call; returns the exit code.  Wrong outputs or weights raise a `MetstError`."""
    from metst_core import pipeline
    from metst_core.checks import whole_number
    from metst_core.cli.outputs import WRITERS, Outputs, all_outputs
    from metst_core.datasets import named_videos
    from metst_core.workers import share_memory

    share_memory()
    n_jobs = whole_number("--jobs", options.jobs, 1)
    face = None if options.face == "all" else pipeline.FaceChoice.of(options.face)
    options = all_outputs(options)
    videos = named_videos(options.videos, [Path(p) for p in (options.out, options.annotated_video) if p])
    tasks = pipeline.tasks_for(videos, options.subject_from, face)
    if options.face == "all":
        tasks = pipeline.per_face(tasks)
    outputs = Outputs(options, tasks)  # an hour of work should not end at a folder that cannot be written
    model = pipeline.load_model(options.weights)
    if options.phases is not None:
        model = dataclasses.replace(model, phases=whole_number("--phases", options.phases, 1))
    print(f"{model.notice}\n", file=sys.stderr)
    work = pipeline.Work(pipeline.analyse, model, options.image_fps, WRITERS, outputs.kept_in, options.resume)
    every = _one_by_one if n_jobs == 1 or len(outputs.tasks) == 1 else _at_once
    return every(outputs, work, model, options)


def _one_by_one(outputs: Outputs, work: Work, model: TrainedModel, options: argparse.Namespace) -> int:
    from metst_core import pipeline

    every: list[Done] = []
    problems = 0
    left = list(outputs.tasks)
    try:
        with pipeline.WorkBar(outputs.tasks, work, options.quiet) as bar:
            while left:
                done = pipeline.found_in(left[0], work, bar.begin(left[0]))
                bar.finished(left[0])
                problems += _said(done)
                every.append(done)
                left = left[1:]
                problems += outputs.write_tables(every)
                every[-1] = done = pipeline.write_outputs(done, work)
                problems += outputs.note(done)
                if _was_stopped(done):
                    return _stopped(left, outputs, every, model)
    except KeyboardInterrupt:
        return _stopped(left, outputs, every, model)
    return _ended(outputs, every, model, problems)


def _at_once(outputs: Outputs, work: Work, model: TrainedModel, options: argparse.Namespace) -> int:
    from metst_core import pipeline

    every: list[Done] = []
    problems = 0
    try:
        for done in pipeline.in_parallel(outputs.tasks, work, options.jobs, options.quiet):
            problems += _said(done)
            every.append(done)
            problems += outputs.write_tables(every) + outputs.note(done)
    except KeyboardInterrupt:
        return _stopped(outputs.tasks[len(every) :], outputs, every, model)
    return _ended(outputs, every, model, problems)


def _said(done: Done) -> int:
    """Say what was found in a video; 1 if it had a problem."""
    from tqdm import tqdm

    from metst_core.files import printable
    from metst_core.pipeline import AnalysisResult, summary_text

    if not isinstance(done.found, AnalysisResult):
        tqdm.write(f"metst: {printable(done.found.trouble)}", file=sys.stderr)
        return 1
    kept = "  (kept from before)\n" if done.was_kept else ""
    tqdm.write(f"{summary_text(done.found)}\n{kept}", file=sys.stdout, end="")
    sys.stdout.flush()
    return int(not (done.found.has_face and done.found.complete))


def _was_stopped(done: Done) -> bool:
    from metst_core import pipeline

    return getattr(done.found, "trouble", "") == pipeline.STOPPED


def _ended(outputs: Outputs, every: list[Done], model: TrainedModel, problems: int) -> int:
    from metst_core.pipeline import AnalysisResult

    problems += outputs.write_last(every, model)
    results = [done.found for done in every if isinstance(done.found, AnalysisResult)]
    if len(every) > 1:
        found = sum(len(result.table) for result in results)
        print(f"{len(results)} of {len(every)} videos analysed, {found} intervals found")
    return PROBLEM if problems else DONE


def _stopped(left: list[Any], outputs: Outputs, every: list[Done], model: TrainedModel) -> int:
    outputs.write_last(every, model)
    text = f"; not begun or not kept: {', '.join(str(task.path) for task in left)}" if left else ""
    complain(f"stopped, what was done is kept{text}")
    return STOPPED
