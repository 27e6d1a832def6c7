"""Many videos: under which names, where their outputs go, and the work, one after the other or several at once."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import joblib
from tqdm import tqdm

from metst_core.checks import one_of
from metst_core.datasets import FoundVideo, is_folder
from metst_core.errors import MetstError, reason
from metst_core.files import plain_name
from metst_core.inference import (
    LOOK_EVERY,
    FaceChoice,
    FaceFinder,
    MediaPipeFaceFinder,
    TrainedModel,
    faces_of,
)
from metst_core.landmarks import Landmarker, MediaPipeLandmarker, without_startup_log
from metst_core.pipeline.keeping import Kept, identity_of, result_key
from metst_core.pipeline.result import AnalysisResult
from metst_core.pipeline.summary import Refused
from metst_core.video import announced_seconds, read_frames, select_frames
from metst_core.workers import naming_killed_workers, on_backend

SUBJECT_RULES = ("auto", "folder", "name", "none")
"""Where the subject's name comes from.

auto: as for a data set (`data/folder.md`), the first folder below the one that was named; a video directly in it, and
one that was named itself, is its own subject.  folder: the folder that holds the video.  name: what the file's name
begins with, up to the first `_`, `-` or space.  none: `-` for all.
"""

_FIRST_LOOKS = 10.0  # seconds of a film in which its faces are counted
_LONG = 60.0  # seconds of work from which on an estimate is said


@dataclass(frozen=True)
class Task:
    """One face of one video: what it is called and where its own outputs go (by kind)."""

    path: Path
    subject: str
    video: str
    face: FaceChoice = field(default_factory=FaceChoice)
    outputs: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """What is done with every task.

    analyse: `pipeline.analyse` or the like.  writers: output kind -> function of result and path.  kept: the folder
    of results, None keeps none; with `resume` what is there is not done again.
    """

    analyse: Callable[..., AnalysisResult]
    model: TrainedModel
    image_fps: float = 30.0
    writers: Mapping[str, Callable[[AnalysisResult, Path], Any]] = field(default_factory=dict)
    kept: Path | None = None
    resume: bool = False


@dataclass(frozen=True)
class Done:
    """What came of a task: a result or the reason for having none, whether it was kept from before, and its key."""

    task: Task
    found: AnalysisResult | Refused
    was_kept: bool = False
    key: str = ""
    written: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """What an output of this task shows: the result, under these names."""
        return f"{self.key} {self.task.subject} {self.task.video}" if self.key else ""


# --- names ------------------------------------------------------------------------------------------------------
def tasks_for(videos: Sequence[FoundVideo], rule: str = "auto", face: FaceChoice | None = None) -> list[Task]:
    """A task per video; no two have the same subject and video."""
    one_of("subject-from", rule, SUBJECT_RULES)
    loose = [str(_folder_of(video.path)) for video in videos if video.root is None]
    with contextlib.suppress(ValueError):  # on different drives
        loose = [os.path.commonpath(loose)] if loose else []
    tasks = []
    for video in videos:
        root = video.root.resolve() if video.root else Path(loose[0])
        name = plain_name(video.path.resolve().name if is_folder(video.path) else video.path.stem)
        subject = plain_name(_subject(video.path, name, root, rule))
        tasks.append(Task(video.path, subject, name, face or FaceChoice()))
    return _told_apart(tasks)


def per_face(tasks: Sequence[Task], finder: FaceFinder | None = None, image_fps: float = 30.0) -> list[Task]:
    """A task for every face that the first seconds of each video show, from left to right."""
    finder = finder or MediaPipeFaceFinder()
    several: list[Task] = []
    for task in tasks:
        try:
            looks = range(0, int(_FIRST_LOOKS * image_fps), LOOK_EVERY)
            with without_startup_log():
                faces = faces_of(_until_the_end(read_frames(task.path), looks), finder)
        except Exception:
            faces = []  # what is wrong is said where it is analysed
        if len(faces) < 2:
            several.append(task)
            continue
        for number, face in enumerate(faces, start=1):
            subject = task.subject if task.subject == "-" else f"{task.subject}_face{number}"
            several.append(replace(task, subject=subject, video=f"{task.video}_face{number}", face=face))
    return several


def _until_the_end(frames: Iterator[Any], numbers: Sequence[int]) -> Iterator[Any]:
    """`select_frames` that ends with the film."""
    with contextlib.suppress(MetstError):
        yield from select_frames(frames, numbers)


def _folder_of(path: Path) -> Path:
    return path.absolute().parent


def _subject(path: Path, name: str, root: Path, rule: str) -> str:
    if rule == "none":
        return "-"
    if rule == "name":
        return re.split(r"[_\-\s]", name, maxsplit=1)[0] or name
    if rule == "folder":
        return _folder_of(path).name or "-"
    try:
        inside = _folder_of(path).relative_to(root).parts
    except ValueError:
        inside = ()
    return inside[0] if inside else name


def _told_apart(tasks: list[Task]) -> list[Task]:
    """The same tasks; of those with the same subject and video, each gets its folder before its name, or a number."""
    for attempt in range(2):
        count = Counter((task.subject, task.video) for task in tasks)
        seen: Counter[tuple[str, str]] = Counter()
        for i, task in enumerate(tasks):
            key = (task.subject, task.video)
            seen[key] += 1
            if count[key] > 1 and attempt == 0:
                tasks[i] = replace(task, video=f"{plain_name(_folder_of(task.path).name)}_{task.video}")
            elif seen[key] > 1:
                tasks[i] = replace(task, video=f"{task.video}_{seen[key]}")
    return tasks


def file_names(tasks: Sequence[Task], taken: Sequence[str] = ("index",)) -> list[str]:
    """A file name (without its end) for every task: the video's, with the subject before it where two are alike.

    Compared without capitals, which some systems do not tell apart.
    """
    alike = Counter(task.video.casefold() for task in tasks)
    names: list[str] = []
    used = {name.casefold() for name in taken}
    for task in tasks:
        wanted = task.video if alike[task.video.casefold()] == 1 else f"{task.subject}_{task.video}"
        name, number = wanted, 1
        while name.casefold() in used:
            number += 1
            name = f"{wanted}_{number}"
        used.add(name.casefold())
        names.append(name)
    return names


# --- work -------------------------------------------------------------------------------------------------------
def found_in(task: Task, work: Work, progress: Callable[[int, int], None] | bool = False) -> Done:
    """Analyse one video, or take its kept result; a video that cannot be analysed is `Refused`."""
    landmarker: Landmarker | None = None
    key = ""
    try:
        if work.kept is not None:
            landmarker = MediaPipeLandmarker()
            key = result_key(task.path, work.model, work.image_fps, task.face, identity_of(landmarker))
            if work.resume:
                kept = Kept(work.kept).load(task.path, key, work.model, landmarker, task.face)
                if kept is not None:
                    return Done(task, kept.named(task.subject, task.video), True, key)
        choice = {} if task.face == FaceChoice() else {"face": task.face}
        result = work.analyse(
            task.path, work.model, image_fps=work.image_fps, progress=progress, **choice
        ).named(task.subject, task.video)
        if work.kept is not None:
            Kept(work.kept).save(result, key)
    except MetstError as error:
        return Done(task, Refused(task.path, task.subject, task.video, str(error)))
    except Exception as error:  # of FFmpeg, OpenCV, MediaPipe, the system: one video never ends a batch
        said = f"{task.path}: {type(error).__name__}: {reason(error)}"
        return Done(task, Refused(task.path, task.subject, task.video, said))
    return Done(task, result, False, key)


def write_outputs(done: Done, work: Work) -> Done:
    """Write the outputs of one video; those that show this very result already are left as they are."""
    result = done.found
    if isinstance(result, Refused):
        return done
    kept = Kept(work.kept) if work.kept is not None and work.resume and done.was_kept else None
    written: list[Path] = []
    problems: list[str] = []
    for kind, path in done.task.outputs.items():
        if kept is None or not kept.shows(path, done.shown):
            problem = trouble_with(path, partial(work.writers[kind], result))
            if problem:
                problems.append(problem)
                continue
        if path.is_file():
            written.append(path)
    return replace(done, written=tuple(written), problems=tuple(problems))


def trouble_with(path: Path, job: Callable[[Path], Any]) -> str:
    """Run a job that writes a file; what went wrong, in a sentence, or nothing."""
    try:
        job(path)
    except OSError as error:
        if isinstance(error, MetstError):
            return str(error)
        return (
            f"{path}: could not be written ({error.strerror or error}); the result is printed above, "
            "make room or name another place, and run again"
        )
    except MetstError as error:
        return str(error) if str(path) in str(error) else f"{path}: {error}"
    except Exception as error:  # of the writers: the other outputs are written
        return f"{path}: could not be written ({type(error).__name__}: {reason(error)})"
    return ""


def in_parallel(tasks: Sequence[Task], work: Work, n_jobs: int, quiet: bool = False) -> Iterator[Done]:
    """Every task analysed and its outputs written, by `n_jobs` processes at once, in the order of the tasks."""
    with on_backend("loky", n_jobs):
        parallel = joblib.Parallel(return_as="generator", pre_dispatch="2*n_jobs", batch_size=1)
    bar = WorkBar(tasks, work, quiet)
    with naming_killed_workers(n_jobs, "what is done is kept"), bar:
        for done in parallel(joblib.delayed(_all_of)(task, work) for task in tasks):
            bar.finished(done.task)
            yield done


def _all_of(task: Task, work: Work) -> Done:
    return write_outputs(found_in(task, work), work)


class WorkBar:
    """One bar over all videos, in frames at the model's rate, with the time that is left; long work is announced.

    How long the videos are is taken from what their files say until they are read.
    """

    def __init__(self, tasks: Sequence[Task], work: Work, quiet: bool = False) -> None:
        self._fps = work.model.fps
        self._frames = [round(announced_seconds(task.path) * self._fps) for task in tasks]
        self._place = {(task.subject, task.video): i for i, task in enumerate(tasks)}
        self._before = 0
        self._started = time.monotonic()
        self._said = quiet
        self._n = len(tasks)
        self._bar = tqdm(total=sum(self._frames), unit="frame", disable=quiet, desc=f"{self._n} videos"[:30])

    def __enter__(self) -> WorkBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def begin(self, task: Task) -> Callable[[int, int], None]:
        """A video is begun; what is called with its frames that are done and its frames in all."""
        self._bar.set_description(task.video[:30], refresh=False)
        place = self._place[task.subject, task.video]

        def move(n_done: int, n_all: int) -> None:
            self._bar.total += n_all - self._frames[place]
            self._frames[place] = n_all
            self._bar.update(self._before + n_done - self._bar.n)
            self._estimate()

        return move

    def finished(self, task: Task) -> None:
        """A video is done, or will not be."""
        self._before += self._frames[self._place[task.subject, task.video]]
        self._bar.update(self._before - self._bar.n)
        self._estimate()

    def _estimate(self) -> None:
        """Say once how long it will take, where it is long."""
        if self._said or not self._bar.n:
            return
        self._said = True
        left = (time.monotonic() - self._started) / self._bar.n * (self._bar.total - self._bar.n)
        if left > _LONG:
            text = (
                f"{self._n} video{'s' * (self._n != 1)}, {self._bar.total / self._fps / 60:.1f} minutes: about "
                f"{left / 60:.0f} more minutes of work, judged by the first {self._bar.n / self._fps:.0f} seconds"
            )
            self._bar.write(text, file=sys.stderr)
