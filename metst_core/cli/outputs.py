"""The files that `metst analyse` writes: where each goes, whether it may, and the tables over all videos."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metst_core.cli.terminal import complain
from metst_core.datasets import is_folder
from metst_core.errors import InputError

if TYPE_CHECKING:
    from metst_core.pipeline import AnalysisResult, Done, Task, TrainedModel

KEPT = ".metst"
"""The folder beside the outputs in which results are kept for `--resume`."""

TOGETHER = ("csv", "summary", "json", "megc")
EACH = {"html": ".html", "eaf": ".eaf", "textgrid": ".TextGrid", "vtt": ".vtt", "annotated_video": ".mp4",
        "explore": ".html", "frames": ".csv"}  # fmt: skip
"""Outputs of each video by their option, and how their names end in a folder."""

_TABLE_ENDS = (".csv", ".parquet")
_OUT = {"csv": "intervals.csv", "summary": "summary.csv", "frames": "frames", "html": "pages", "eaf": "elan"}


def _film(result: AnalysisResult, path: Path) -> Path | None:
    return result.to_video(path) if result.n_analysed else None


def _explorer(result: AnalysisResult, path: Path) -> Path | None:
    from metst_core.widgets import explorer_page

    return explorer_page(result, path) if result.has_face else None


def _writer(name: str, result: AnalysisResult, path: Path) -> Path:
    from metst_core import pipeline

    write: Callable[[AnalysisResult, Path], Path] = getattr(pipeline, name)
    return write(result, path)


WRITERS: dict[str, Callable[[AnalysisResult, Path], Any]] = {
    "html": lambda result, path: result.to_html(path),
    "frames": lambda result, path: result.to_frames(path),
    "annotated_video": _film,
    "explore": _explorer,
    "eaf": partial(_writer, "write_eaf"),
    "textgrid": partial(_writer, "write_textgrid"),
    "vtt": partial(_writer, "write_vtt"),
}


def all_outputs(options: argparse.Namespace) -> argparse.Namespace:
    """The options with the places in `--out` for what is not placed elsewhere."""
    if options.out is None:
        return options
    if Path(options.out).is_file():
        raise InputError(f"{options.out}: is a file; --out names a folder")
    places = {name: str(Path(options.out) / place) for name, place in _OUT.items()}
    given = {name: getattr(options, name) or place for name, place in places.items()}
    return argparse.Namespace(**{**vars(options), **given})


class Outputs:
    """The files of a call, checked before the work and written after every video."""

    def __init__(self, options: argparse.Namespace, tasks: Sequence[Task]) -> None:
        from metst_core import pipeline

        self._single = len(tasks) == 1 and options.out is None and not is_folder(Path(options.videos[0]))
        self._formulas = not getattr(options, "safe_csv", False)
        self._together = {name: Path(p) for name in TOGETHER if (p := getattr(options, name))}
        self._all_frames: Path | None = None
        places: list[dict[str, Path]] = [{} for _ in tasks]
        for name, suffix in EACH.items():
            target = getattr(options, name)
            if target is None:
                continue
            if name == "frames" and Path(target).suffix.lower() in _TABLE_ENDS:
                self._all_frames = Path(target)
                continue
            for place, path in zip(places, self._places(target, tasks, suffix), strict=True):
                place[name] = path
        self.tasks = [replace(task, outputs=place) for task, place in zip(tasks, places, strict=True)]
        self._index = self._index_place(options)
        every = [path for task in self.tasks for path in task.outputs.values()]
        every += [*self._together.values(), *filter(None, (self._all_frames, self._index))]
        self._check(every, options)
        self.kept_in = self._kept_place(options, every)
        self._kept = None if self.kept_in is None else pipeline.Kept(self.kept_in)
        pipeline.check_free(every, self._kept, options.resume, options.overwrite)

    def _places(self, target: str, tasks: Sequence[Task], suffix: str) -> list[Path]:
        """The file to write for each video; several videos give a folder of files with their names."""
        from metst_core.pipeline import file_names

        if self._single and not Path(target).is_dir():
            return [Path(target)]
        return [Path(target) / f"{name}{suffix}" for name in file_names(tasks)]

    def _index_place(self, options: argparse.Namespace) -> Path | None:
        if options.html is None or (self._single and not Path(options.html).is_dir()):
            return None
        return Path(options.out or options.html) / "index.html"

    def _check(self, every: list[Path], options: argparse.Namespace) -> None:
        from metst_core.pipeline import check_no_input, check_output, weight_files
        from metst_core.video import WRITABLE_SUFFIXES, files_of

        inputs = [*files_of(task.path for task in self.tasks), *weight_files(options.weights)]
        tried: set[Path] = set()
        for path in every:
            if path.parent in tried and not path.exists() and path.suffix.lower() != ".parquet":
                continue  # its folder was looked at
            check_output(path, inputs)
            tried.add(path.parent)
        seen: set[str] = set()
        for path in every:
            if path.exists() and not path.is_file():  # a device or a pipe takes several
                continue
            check_no_input(path, inputs)
            place = os.path.realpath(path)
            if place in seen:
                raise InputError(f"{path}: two outputs would be written there; name two places")
            seen.add(place)
        films = [task.outputs["annotated_video"] for task in self.tasks if "annotated_video" in task.outputs]
        for path in films:
            if path.suffix.lower() not in WRITABLE_SUFFIXES:
                raise InputError(
                    f"{path}: no video file can be written under this name; end it with one of "
                    f"{', '.join(WRITABLE_SUFFIXES)}"
                )

    def _kept_place(self, options: argparse.Namespace, every: list[Path]) -> Path | None:
        if options.out is not None:
            return Path(options.out) / KEPT
        if not options.resume:
            return None
        if not every:
            raise InputError("--resume keeps results beside the outputs, and there are none; add --out DIR")
        return (
            every[-1].parent / KEPT
            if self._together == {}
            else next(iter(self._together.values())).parent / KEPT
        )

    def write_tables(self, every: Sequence[Done]) -> int:
        """Write the tables over all videos so far; the number of those that failed."""
        from metst_core import pipeline

        results = [done.found for done in every if isinstance(done.found, pipeline.AnalysisResult)]
        jobs: dict[str, Callable[[Path], Path]] = {
            "csv": lambda path: pipeline.write_csv(results, path, self._formulas),
            "summary": lambda path: pipeline.write_summary(
                [done.found for done in every], path, self._formulas
            ),
            "json": lambda path: pipeline.write_results_json(results, path),
            "megc": lambda path: pipeline.write_megc(results, path),
        }
        return sum(
            self._written(path, jobs[name])
            for name, path in self._together.items()
            if results or name == "summary"
        )

    def write_last(self, every: Sequence[Done], model: TrainedModel) -> int:
        """Write what is written once: the table of all frames and the page over the pages."""
        from metst_core import pipeline

        results = [done.found for done in every if isinstance(done.found, pipeline.AnalysisResult)]
        problems = 0
        if self._all_frames is not None and results:
            problems += self._written(
                self._all_frames, lambda path: pipeline.write_frames(results, path, self._formulas)
            )
        if self._index is not None and every:
            now = datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")
            problems += self._written(self._index, lambda path: pipeline.write_index(every, model, path, now))
        if every:
            for path in (*self._together.values(), self._all_frames, self._index):
                if path is not None and path.is_file():
                    print(f"  -> {path}")
        return problems

    def note(self, done: Done) -> int:
        """Say which outputs of a video were written, and take note of them; the number of those that failed."""
        for path in done.written:
            if self._kept is not None:
                self._kept.note(path, done.shown)
            if len(self.tasks) == 1:
                print(f"  -> {path}")
        for problem in done.problems:
            complain(problem)
        return len(done.problems)

    def _written(self, path: Path, job: Callable[[Path], Path]) -> int:
        from metst_core.pipeline import trouble_with

        problem = trouble_with(path, job)
        if problem:
            complain(problem)
        elif self._kept is not None:
            self._kept.note(path)
        return int(bool(problem))
