"""A trained network run over a film: streamed, and in numbers per frame of the film.

    analysis = Analysis("clip.mp4")
    for n_done in analysis:  # works while it is iterated over
        ...
    found = analysis.result()
    found.table, found.score, found.quality

Frames are brought to the rate that the model was trained at, ROI motion is measured window by window, each batch
of windows goes through the network, and only a few numbers per frame are kept.  Everything that comes out counts
in frames of the original video (0-based, intervals inclusive).

Windows begin anew after a cut and where a lost face comes back (`shots`), and the score is the mean over several
window phases (`phases`).  Weights of the other instrument (`talking`) read motion aligned frame by frame, without windows.

One thread reads frames and looks at their quality, two measure motion (`stream_motion`), and the caller's runs the
network; the result does not depend on who is faster.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import pandas as pd

from metst_core.aligned import SMALLEST, AlignedFrame, aligned_frames
from metst_core.checks import whole_number
from metst_core.decoding import smooth
from metst_core.errors import InputError, MetstError
from metst_core.files import plain_name
from metst_core.inference.contrast import Displacement
from metst_core.inference.faces import FaceChoice, FaceFinder, LandmarkFaceFinder, MediaPipeFaceFinder
from metst_core.inference.finding import intervals_of, near_misses, threshold_of
from metst_core.inference.judged import bundled_judgement, is_upper_roi, motion_of_parts, unrest_of
from metst_core.inference.per_frame import Measured, frames_table
from metst_core.inference.phases import (
    Averaged,
    Shot,
    Stretch,
    joined,
    phases_of,
    smoothed_voices,
    spread_of,
)
from metst_core.inference.quality import (
    QualityLog,
    Seen,
    beside,
    quality_table,
    timing_marks,
)
from metst_core.inference.shots import Steps, shots_of, with_cuts
from metst_core.inference.talking import AlignedShot, Heard, judged_parts, judged_path, said_where_judged
from metst_core.inference.trained import TrainedModel, load_model
from metst_core.landmarks import Landmarker, MediaPipeLandmarker, one_at_a_time
from metst_core.models import Network, predict_windows
from metst_core.motion import MotionWindow, stream_motion, unmeasured
from metst_core.rivals import PartsNetwork
from metst_core.tables import PREDICTION_COLUMNS
from metst_core.video import (
    list_images,
    nearest_in_map,
    probe,
    read_frames,
    resample_map,
    timestamps,
)
from metst_core.workers import give_back_memory, one_opencv_thread, one_thread, prefetched

RESULT_COLUMNS = (
    *PREDICTION_COLUMNS, "confidence", "spread", "onset_seconds", "apex_seconds", "offset_seconds", "flags",
    "judged_upper", "judged_lower",
)  # fmt: skip
"""Columns of `Findings.table`."""

STOPPED = "stopped"
"""`Findings.trouble` of an analysis that the user stopped."""

_SLOWEST = 3.0  # frames per second; below, resampling would be nothing but repeated frames
_ALIGNED_AT_ONCE = 32  # aligned frames from one step to the next
_WINDOWS_AT_ONCE = 4  # windows of each phase per call of the network: about 2 seconds of video
_FRAMES_AHEAD = 4  # read and turned grey before they are measured


@dataclass(frozen=True)
class Findings:
    """What was found in one video.  Frames are those of the original video, 0-based, intervals inclusive.

    table: `RESULT_COLUMNS`; `score` is the smoothed score at the apex, `confidence` the calibrated
        probability that the interval is a micro-expression (at IoU 0.5), `spread` the standard deviation of that
        score over the voices (`phases`; NaN with one), `flags` the quality flags that touch it, `judged_upper` and
        `judged_lower` whether these parts of the face were judged at the apex.
    score, smoothed: per frame `(n_frames,)`, 0..1, the mean over the window phases; NaN where nothing was analysed, 0
        where there was no face.  phases: how many there are.
    spread: standard deviation of the smoothed score over the voices, `(n_frames,)`; NaN with one.
    probabilities: `(n_frames, 5)`, the classes of `tables.CLASSES`.
    times: seconds of every frame `(n_frames,)`.
    quality: `quality.QUALITY_COLUMNS`, one row per run of flagged frames.
    measured: what was measured per frame; `frames` is the table of it all.
    face: which face was followed where there are several.
    judged: a bool column for the upper and one for the lower face, per frame: whether anything could be found there (see
        `judged.Judgement`).
    near: the near misses, as `table`: peaks that reach `NEAR` of the threshold and not the whole of it.
    complete: False if the analysis ended early; `trouble` says why, and `n_analysed` frames are done.
    seconds: where the time went: decoding, quality, landmarks and model as long as each was at work, flow the time
        that passed beside the model's; decoding, quality and landmarks run meanwhile.
    """

    path: Path
    subject: str
    video: str
    fps: float
    n_frames: int
    size: tuple[int, int]
    table: pd.DataFrame
    score: np.ndarray
    smoothed: np.ndarray
    spread: np.ndarray
    phases: int
    probabilities: np.ndarray
    times: np.ndarray
    threshold: float
    quality: pd.DataFrame
    model: TrainedModel
    n_analysed: int
    complete: bool
    trouble: str
    seconds: Mapping[str, float]
    landmarker: Landmarker = field(repr=False)
    measured: Measured = field(repr=False)
    face: FaceChoice
    near: pd.DataFrame
    judged: pd.DataFrame = field(repr=False)

    @property
    def duration(self) -> float:
        """Seconds of video."""
        return float(self.times[-1] - self.times[0]) + 1 / self.fps

    @property
    def has_face(self) -> bool:
        """Whether a face was found in any frame."""
        lost = self.quality[self.quality["flag"] == "face_lost"]
        return int((lost["last"] + 1 - lost["first"]).sum()) < self.n_analysed

    @property
    def is_judged(self) -> np.ndarray:
        """Which frames are judged, in the upper or the lower face: `(n_frames,)` bool."""
        judged: np.ndarray = self.judged.to_numpy(bool).any(axis=1)
        return judged

    @property
    def judged_finds(self) -> np.ndarray:
        """Which rows of `table` have their apex in a judged frame: `(n,)` bool."""
        return self.is_judged[self.table["apex"].to_numpy(int)]

    @property
    def claims_per_judged_minute(self) -> float:
        """Finds in judged frames per minute of these; NaN where nothing is judged."""
        minutes = float(self.is_judged.mean()) * self.duration / 60
        return float(self.judged_finds.sum()) / minutes if minutes else math.nan

    @property
    def frames(self) -> pd.DataFrame:
        """One row per frame of the video: time, face, head, score, probabilities, ROI motion and flags.

        Its columns are those of `data/outputs.md`.
        """
        return frames_table(self)

    def named(self, subject: str | None = None, video: str | None = None) -> Self:
        """The same under other ids."""
        subject, video = subject or self.subject, video or self.video
        tables = {n: getattr(self, n).assign(subject=subject, video=video) for n in ("table", "near")}
        return replace(self, subject=subject, video=video, **tables)


class Analysis:
    """An analysis that grows: iterate to work (each step tells the analysed frames so far), ask for `result()`.

    model: see `load_model`.  landmarker: instead of MediaPipe (see `metst_core.landmarks`).  face_finder: what
    looks for faces to judge their quality, at the same time as the landmarker works on other frames; where it is not
    given, MediaPipe's with MediaPipe's landmarker, else the landmarker itself (never asked by two threads at once),
    which never sees a second face.  image_fps: frames per second of a folder of images.  face: which of several
    faces (see `FaceChoice`).  phases: how many window phases the score is the mean of; None takes the model's own number
    (`TrainedModel.phases`), for which its threshold and confidence hold.  Work grows with it.

    Raises a `MetstError` that names the file.
    """

    def __init__(
        self,
        video_path: str | Path,
        model: str | Path | Network | TrainedModel = "bundled",
        landmarker: Landmarker | None = None,
        image_fps: float = 30.0,
        face_finder: FaceFinder | None = None,
        face: str | int | FaceChoice = "largest",
        phases: int | None = None,
    ) -> None:
        self.path = Path(video_path)
        self.face = FaceChoice.of(face)
        self.trained = load_model(model)
        n_phases = self.trained.phases if phases is None else whole_number("phases", phases, 1)
        n_phases = 1 if self.trained.is_aligned else n_phases
        self.phases = phases_of(n_phases, self.trained.window)
        self.trouble = ""
        with naming(self.path):
            self.fps, self.times, self.size = film_clock(self.path, image_fps)
        if len(self.times) < 2:
            raise InputError(
                f"{self.path}: a single frame holds no movement; give a video of 2 frames or more"
            )
        if self.fps < _SLOWEST:
            raise InputError(
                f"{self.path}: {self.fps:.2g} frames per second; a micro-expression lasts under half a "
                "second, so record at 25 frames per second or more"
            )
        self._map = resample_map(self.times, self.trained.fps)
        self._landmarker: Landmarker = MediaPipeLandmarker() if landmarker is None else landmarker
        self._find = one_at_a_time(self._landmarker)
        if face_finder is None:
            face_finder = MediaPipeFaceFinder() if landmarker is None else LandmarkFaceFinder(self._find)
        self._log = QualityLog(face_finder, self.trained.fps, self.face)
        self._work: defaultdict[str, float] = defaultdict(float)
        self._cuts: list[int] = []  # the first frames after a cut
        self._pending: list[
            tuple[Any, Any]
        ] = []  # a shot and what belongs to it: a window, or an aligned frame
        self._shots: list[Shot | AlignedShot] = []
        self._has_ended = False

    @property
    def subject(self) -> str:
        """The video's own name: a loose file is its own subject (`Findings.named` gives another)."""
        return self.video

    @property
    def video(self) -> str:
        """The name of the video without its suffix, or of the folder of images."""
        return plain_name(self.path.resolve().name if self.path.is_dir() else self.path.stem)

    @property
    def n_model_frames(self) -> int:
        """Frames at the model's rate, of the whole video."""
        return len(self._map)

    @property
    def n_done(self) -> int:
        """Frames at the model's rate that have a score."""
        return sum(n for _, n in self._done())

    def _done(self) -> list[tuple[Any, int]]:
        """The shots of which anything is known, and of how many of their frames: one run from the first frame on."""
        done: list[tuple[Any, int]] = []
        for shot in self._shots:
            n = shot.n_said(self._has_ended)
            if n:
                done.append((shot, n))
            if n != shot.n_frames:
                break
        return done

    def __iter__(self) -> Iterator[int]:
        started = time.perf_counter()
        outside = 0.0  # time that the caller spent between two steps
        at_once = _ALIGNED_AT_ONCE if self.trained.is_aligned else _WINDOWS_AT_ONCE * len(self.phases)
        try:
            with (
                naming(self.path),
                one_opencv_thread(),
                prefetched(self._frames(), _FRAMES_AHEAD) as frames,
                self._windows(frames) as windows,
            ):
                for shot, window in windows:
                    self._pending.append((shot, window))
                    if len(self._pending) == at_once:
                        self._score_pending()
                        left = time.perf_counter()
                        yield self.n_done
                        outside += time.perf_counter() - left
                self._score_pending()
        except MetstError as error:
            if not self.stop(str(error)):
                raise
        else:
            self._has_ended = True
            if self.n_done < self.n_model_frames:
                self.trouble = f"the video ended after {self.n_done / self.trained.fps:.1f} s"
        finally:
            spent = time.perf_counter() - started - outside
            self._work["flow"] = spent - self._work["model"]
            if self.trained.is_aligned:  # landmarks are found in the same thread
                self._work["flow"] -= self._work["landmarks"]
        give_back_memory()  # the result takes some
        yield self.n_done

    def stop(self, reason: str = STOPPED) -> bool:
        """End here and keep what is done; False if that is nothing."""
        self._score_pending()
        self._has_ended = True
        self.trouble = reason
        return self.n_done > 0

    def result(self) -> Findings:
        """What is known so far."""
        if not self.n_done:
            raise InputError(f"{self.path}: nothing is analysed yet; iterate over the analysis first")
        trained, done_shots = self.trained, self._done()
        n_done = sum(n for _, n in done_shots)
        every = Stretch(*joined(shot.measured(n) for shot, n in done_shots))
        seen = self._log.seen(n_done)
        said, judged, path = self._said(done_shots, every, seen)
        flagged = self._log.flagged(every.has_face, every.is_busy)
        flagged["cut"][[n for cut in self._cuts for n in (cut - 1, cut) if n < n_done]] = True
        lost = flagged["face_lost"]
        score, each = np.where(lost, 0.0, said.score), np.where(lost[:, None], 0.0, said.each)
        smoothed, spread = smooth(score, trained.k_p), spread_of(each, score, trained.k_p)
        to_model = nearest_in_map(self._map, np.arange(len(self.times)))
        done = to_model < n_done

        as_filmed = np.array_equal(to_model, np.arange(n_done))

        def original(values: np.ndarray) -> np.ndarray:
            kind = np.float32 if values.dtype == np.float32 else float
            if as_filmed:
                return values.astype(kind, copy=False)
            out = np.full((len(self.times), *values.shape[1:]), np.nan, kind)
            out[done] = values[to_model[done]]
            return out

        marks = {flag: original(mark) == 1 for flag, mark in flagged.items()}
        marks |= timing_marks(self.times, self.fps)
        holes = marks["face_lost"] | marks["cut"] | marks["frames_missing"]
        marks["beside_gap"] = beside(holes, self.times, trained.window / 2 / trained.fps)
        judged = judged.apply(lambda column: original(column.to_numpy(float)) == 1, result_type="expand")
        marks["not_judged"] = done & ~judged.any(axis=1).to_numpy() & ~marks["face_lost"]
        marks["not_analysed"] = ~done
        traces = (score, said.probabilities, path, self.subject, self.video)
        each = smoothed_voices(each, score, trained.k_p)
        measured = Measured(
            motion=original(every.motion),
            head=original(every.head),
            shift=original(every.shift.astype(np.float32)),
            reference=original(self._map[every.start]),
            bounds=original(seen.bounds),
            eye_distance=original(seen.eye_distance),
            n_faces=original(seen.n_faces),
        )
        return Findings(
            path=self.path,
            subject=self.subject,
            video=self.video,
            fps=self.fps,
            n_frames=len(self.times),
            size=self.size,
            table=self._table(intervals_of(trained, *traces), each, marks, judged),
            near=self._table(near_misses(trained, *traces), each, marks, judged),
            score=original(score),
            smoothed=original(smoothed),
            spread=original(spread),
            phases=len(self.phases),
            probabilities=original(said.probabilities),
            times=self.times,
            threshold=threshold_of(smoothed, trained),
            quality=quality_table(marks, self.times),
            model=trained,
            n_analysed=int(done.sum()),
            complete=bool(done.all()),
            trouble=self.trouble,
            seconds=dict(self._work),
            landmarker=self._landmarker,
            measured=measured,
            face=self.face,
            judged=judged,
        )

    def _said(
        self, done_shots: list[tuple[Any, int]], every: Stretch, seen: Seen
    ) -> tuple[Averaged, pd.DataFrame, np.ndarray | Displacement]:
        """The score of the analysed frames, which of them are judged in which part, and the path of every ROI (n, 2R)."""
        trained = self.trained
        if not trained.is_aligned:
            said = Averaged(*joined(shot.averaged(n) for shot, n in done_shots))
            unrest = unrest_of(motion_of_parts(every.motion.T, trained.features), trained.window)
            return said, bundled_judgement()(unrest, seen), Displacement(every.motion, every.start)
        if all(shot.too_small for shot, _ in done_shots):
            raise InputError(
                f"{self.path}: the face is too small to be aligned, under {SMALLEST:g} pixels between the outer corners of "
                "the eyes; film closer, or at more pixels"
            )
        heard = Heard(*joined(shot.heard(n) for shot, n in done_shots))
        judged = judged_parts(heard.unrest, trained, seen)
        is_judged = judged.to_numpy(bool) & every.has_face[:, None]
        path = judged_path(heard.steps, is_judged, is_upper_roi(trained.features))
        return said_where_judged(heard, is_judged), judged, path

    def _table(
        self, found: pd.DataFrame, each: np.ndarray, marks: Mapping[str, np.ndarray], judged: pd.DataFrame
    ) -> pd.DataFrame:
        """Intervals at the model's rate as intervals in the frames of the video, with all that is said of them.

        each: the smoothed score of every voice, `(n, V)`.  judged: of the frames of the video.
        """
        trained = self.trained
        at_apex = each[found["apex"].to_numpy(np.int64)]
        found["confidence"] = (
            np.nan if trained.calibration is None else trained.calibration.of_voices(at_apex)
        )
        found["spread"] = at_apex.std(axis=1, ddof=1) if each.shape[1] > 1 else np.nan
        for name in ("onset", "apex", "offset"):
            found[name] = self._map[np.clip(found[name], 0, len(each) - 1)]
            found[f"{name}_seconds"] = self.times[found[name]]
        found["flags"] = [
            " ".join(flag for flag, mark in marks.items() if mark[row.onset : row.offset + 1].any())
            for row in found.itertuples()
        ]
        for part in judged:
            found[f"judged_{part}"] = judged[part].to_numpy(bool)[found["apex"].to_numpy(np.int64)]
        return found[list(RESULT_COLUMNS)].astype({"flags": str, "confidence": float, "spread": float})

    def _frames(self) -> Iterator[tuple[np.ndarray, bool]]:
        """The frames at the model's rate, in grey, and whether windows start anew with them."""
        for number, ((grey, came_back), is_cut) in enumerate(with_cuts(self._looked_at())):
            if is_cut:
                self._cuts.append(number)
            yield grey, is_cut or came_back

    def _looked_at(self) -> Iterator[tuple[tuple[np.ndarray, bool], float]]:
        """The frames in grey, whether a lost face is back in them, and how much they differ from those before.

        Their quality is looked at in passing.
        """
        frames = read_frames(self.path, self._map)
        step = Steps()
        while True:
            with self._timing("decoding"):
                frame = next(frames, None)
            if frame is None:
                return
            with self._timing("quality"):
                self._log.look(frame)
                grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
                change = step(grey)
                shown = self._log.follower.hide_others(grey)
            yield (shown, self._log.came_back), change

    def _windows(
        self, frames: Iterator[tuple[np.ndarray, bool]]
    ) -> contextlib.closing[Generator[tuple[Any, Any], None, None]]:
        """The windows' motion, shot by shot, measured by two threads, which end with the block; or the aligned frames."""
        each = self._aligned_shots if self.trained.is_aligned else self._shot_by_shot
        return contextlib.closing(each(frames))

    def _aligned_shots(
        self, frames: Iterator[tuple[np.ndarray, bool]]
    ) -> Generator[tuple[AlignedShot, AlignedFrame], None, None]:
        network = self.trained.network
        assert isinstance(network, PartsNetwork)
        for first, pictures in shots_of(frames):
            shot = AlignedShot(first, network)
            self._shots.append(shot)
            counted = 0
            for frame in aligned_frames(pictures, self._timed_landmarker):
                yield shot, frame
                counted += 1
            shot.n_frames = counted

    def _shot_by_shot(
        self, frames: Iterator[tuple[np.ndarray, bool]]
    ) -> Generator[tuple[Shot, MotionWindow], None, None]:
        features, window = self.trained.features, self.trained.window
        for first, pictures in shots_of(frames):
            shot = Shot(first, self.phases, self.trained.window)
            self._shots.append(shot)
            begin = list(itertools.islice(pictures, 2))
            if len(begin) < 2:  # between two cuts, or a cut and the end: there is nothing to compare it with
                yield shot, unmeasured(features, window)
                shot.n_frames = 1
                continue
            counted = 0

            def counting(pictures: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
                nonlocal counted
                for picture in pictures:
                    yield picture
                    counted += 1

            whole = counting(itertools.chain(begin, pictures))
            del begin
            with contextlib.closing(
                stream_motion(
                    whole, self._timed_landmarker, features, window, n_threads=2, phases=self.phases
                )
            ) as windows:
                for each in windows:
                    yield shot, each
            shot.n_frames = counted

    def _timed_landmarker(self, image: np.ndarray) -> np.ndarray | None:
        with self._timing("landmarks"):
            return self._find(image)

    def _score_pending(self) -> None:
        """Run the network over the windows in hand and add what it says to what there is."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        if self.trained.is_aligned:
            with self._timing("model"), one_thread():
                for shot, frame in pending:
                    shot.add(frame)
            return
        with self._timing("model"), one_thread():
            motion = np.stack([window.motion for _, window in pending])
            answers = predict_windows(self.trained.network, motion)
        for (shot, window), score, probabilities in zip(pending, *answers, strict=True):
            shot.add(window, score, probabilities)

    @contextlib.contextmanager
    def _timing(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._work[what] += time.perf_counter() - start


def film_clock(path: Path, image_fps: float) -> tuple[float, np.ndarray, tuple[int, int]]:
    """Frame rate, time of every frame (n_frames,) in seconds, and size of a video or folder of images."""
    if path.is_dir():
        if not (math.isfinite(image_fps) and image_fps > 0):
            raise InputError(f"image_fps: expected a rate above 0 frames per second, got {image_fps}")
        return image_fps, np.arange(len(list_images(path))) / image_fps, probe(path).size
    info = probe(path)
    return info.fps, timestamps(path), info.size


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn what OpenCV, MediaPipe or the system have to say about a video into an error that names it."""
    try:
        yield
    except MetstError as error:
        if str(path) in str(error) or path.name in str(error):
            raise
        raise InputError(f"{path}: {error}") from error
    except PermissionError as error:
        raise InputError(
            f"{error.filename or path}: may not be read ({error.strerror}); change its permissions or copy it"
        ) from error
    except (cv2.error, OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be analysed ({error}); re-encode it or give another file"
        ) from error
