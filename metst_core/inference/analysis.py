"""A trained network run over a film: streamed, and in numbers per frame of the film.

    analysis = Analysis("clip.mp4")
    for n_done in analysis:  # works while it is iterated over
        ...
    found = analysis.result()
    found.table, found.score, found.quality

Frames are brought to the rate that the model was trained at, ROI motion is measured window by window, each batch
of windows goes through the network, and only a few numbers per frame are kept.  Everything that comes out counts
in frames of the original video (0-based, intervals inclusive).

One thread reads frames and looks at their quality, two measure motion (`stream_motion`), and the caller's runs the
network; the result does not depend on who is faster.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Self

import cv2
import numpy as np
import pandas as pd

from metst_core.decoding import decode, smooth, spot_threshold
from metst_core.errors import InputError, MetstError
from metst_core.files import plain_name
from metst_core.inference.faces import FaceChoice, FaceFinder, LandmarkFaceFinder, MediaPipeFaceFinder
from metst_core.inference.judged import bundled_judgement, motion_of_parts, unrest_of
from metst_core.inference.per_frame import Measured, frames_table
from metst_core.inference.quality import (
    QualityLog,
    Seen,
    moves_much,
    quality_table,
    timing_marks,
)
from metst_core.inference.trained import TrainedModel, load_model
from metst_core.landmarks import Landmarker, MediaPipeLandmarker, one_at_a_time
from metst_core.models import Network, predict_video
from metst_core.motion import MotionWindow, stream_motion
from metst_core.tables import PREDICTION_COLUMNS
from metst_core.video import (
    list_images,
    nearest_in_map,
    probe,
    read_frames,
    resample_map,
    timestamps,
)
from metst_core.windows import new_frames
from metst_core.workers import one_opencv_thread, one_thread, prefetched

RESULT_COLUMNS = (
    *PREDICTION_COLUMNS, "confidence", "onset_seconds", "apex_seconds", "offset_seconds", "flags",
)  # fmt: skip
"""Columns of `Findings.table`."""

NEAR = 0.6
"""From this share of the threshold on a peak is a near miss."""

STOPPED = "stopped"
"""`Findings.trouble` of an analysis that the user stopped."""

_SLOWEST = 3.0  # frames per second; below, resampling would be nothing but repeated frames
_WINDOWS_AT_ONCE = 4  # windows per call of the network: about 2 seconds of video
_FRAMES_AHEAD = 4  # read and turned grey before they are measured


@dataclass(frozen=True)
class Findings:
    """What was found in one video.  Frames are those of the original video, 0-based, intervals inclusive.

    table: `RESULT_COLUMNS`; `score` is the smoothed score at the apex, `confidence` the calibrated
        probability that the interval is a micro-expression (at IoU 0.5), `flags` the quality flags that
        touch it.
    score, smoothed: per frame `(n_frames,)`, 0..1; NaN where nothing was analysed, 0 where there was no face.
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


class _Part(NamedTuple):
    """A stretch of analysed frames at the model's rate: score `(n,)`, probabilities `(n, 5)`, two flags `(n,)` bool.

    Then motion `(n, 2R)`, head and shift `(n, 2)` as in `motion.MotionWindow`, and the first frame of the window that
    each was measured in.
    """

    score: np.ndarray
    probabilities: np.ndarray
    has_face: np.ndarray
    is_busy: np.ndarray
    motion: np.ndarray
    head: np.ndarray
    shift: np.ndarray
    start: np.ndarray


class Analysis:
    """An analysis that grows: iterate to work (each step tells the analysed frames so far), ask for `result()`.

    model: see `load_model`.  landmarker: instead of MediaPipe (see `metst_core.landmarks`).  face_finder: what
    looks for faces to judge their quality, at the same time as the landmarker works on other frames; where it is not
    given, MediaPipe's with MediaPipe's landmarker, else the landmarker itself (never asked by two threads at once),
    which never sees a second face.  image_fps: frames per second of a folder of images.  face: which of several
    faces (see `FaceChoice`).

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
    ) -> None:
        self.path = Path(video_path)
        self.face = FaceChoice.of(face)
        self.trained = load_model(model)
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
        self._pending: list[MotionWindow] = []
        self._parts: list[_Part] = []

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
        return sum(len(part.score) for part in self._parts)

    def __iter__(self) -> Iterator[int]:
        started = time.perf_counter()
        outside = 0.0  # time that the caller spent between two steps
        try:
            with (
                naming(self.path),
                one_opencv_thread(),
                prefetched(self._frames(), _FRAMES_AHEAD) as frames,
                self._windows(frames) as windows,
            ):
                for window in windows:
                    self._pending.append(window)
                    if len(self._pending) == _WINDOWS_AT_ONCE:
                        self._score_pending()
                        left = time.perf_counter()
                        yield self.n_done
                        outside += time.perf_counter() - left
                self._score_pending()
        except MetstError as error:
            if not self.stop(str(error)):
                raise
        else:
            if self.n_done < self.n_model_frames:
                self.trouble = f"the video ended after {self.n_done / self.trained.fps:.1f} s"
        finally:
            spent = time.perf_counter() - started - outside
            self._work["flow"] = spent - self._work["model"]
        yield self.n_done

    def stop(self, reason: str = STOPPED) -> bool:
        """End here and keep what is done; False if that is nothing."""
        self._score_pending()
        self.trouble = reason
        return self.n_done > 0

    def result(self) -> Findings:
        """What is known so far."""
        if not self.n_done:
            raise InputError(f"{self.path}: nothing is analysed yet; iterate over the analysis first")
        trained, n_done = self.trained, self.n_done
        every = _Part(*(np.concatenate(part) for part in zip(*self._parts, strict=True)))
        score, probabilities, has_face, is_busy = every[:4]
        seen = self._log.seen(n_done)
        flagged = self._log.flagged(has_face, is_busy)
        score = np.where(flagged["face_lost"], 0.0, score)
        smoothed = smooth(score, trained.k_p)
        to_model = nearest_in_map(self._map, np.arange(len(self.times)))
        done = to_model < n_done

        def original(values: np.ndarray) -> np.ndarray:
            kind = np.float32 if values.dtype == np.float32 else float
            out = np.full((len(self.times), *values.shape[1:]), np.nan, kind)
            out[done] = values[to_model[done]]
            return out

        marks = {flag: original(mark) == 1 for flag, mark in flagged.items()}
        marks |= timing_marks(self.times, self.fps)
        judged = self._judged(every.motion, seen)
        judged = judged.apply(lambda column: original(column.to_numpy(float)) == 1, result_type="expand")
        marks["not_judged"] = done & ~judged.any(axis=1).to_numpy() & ~marks["face_lost"]
        marks["not_analysed"] = ~done
        traces = (score, probabilities, self.subject, self.video)
        measured = Measured(
            motion=original(every.motion.astype(np.float32)),
            head=original(every.head.astype(np.float32)),
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
            table=self._table(decode_trace(trained, *traces), len(score), marks),
            near=self._table(near_misses(trained, *traces), len(score), marks),
            score=original(score),
            smoothed=original(smoothed),
            probabilities=original(probabilities),
            times=self.times,
            threshold=_threshold(smoothed, trained),
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

    def _judged(self, motion: np.ndarray, seen: Seen) -> pd.DataFrame:
        """Which of the analysed frames are judged, from their motion (n, 2R) and the looks at the face."""
        unrest = unrest_of(motion_of_parts(motion.T, self.trained.features), self.trained.window)
        return bundled_judgement()(unrest, seen)

    def _table(self, found: pd.DataFrame, n_done: int, marks: Mapping[str, np.ndarray]) -> pd.DataFrame:
        """Intervals at the model's rate as intervals in the frames of the video, with all that is said of them."""
        trained = self.trained
        for name in ("onset", "apex", "offset"):
            found[name] = self._map[np.clip(found[name], 0, n_done - 1)]
            found[f"{name}_seconds"] = self.times[found[name]]
        unknown = np.full(len(found), np.nan)
        found["confidence"] = (
            unknown if trained.calibration is None else trained.calibration(found["score"].to_numpy())
        )
        found["flags"] = [
            " ".join(flag for flag, mark in marks.items() if mark[row.onset : row.offset + 1].any())
            for row in found.itertuples()
        ]
        return found[list(RESULT_COLUMNS)].astype({"flags": str, "confidence": float})

    def _frames(self) -> Iterator[np.ndarray]:
        """The frames at the model's rate, in grey; their quality is looked at in passing."""
        frames = read_frames(self.path, self._map)
        while True:
            with self._timing("decoding"):
                frame = next(frames, None)
            if frame is None:
                return
            with self._timing("quality"):
                self._log.look(frame)
            yield self._log.follower.hide_others(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))

    def _windows(
        self, frames: Iterator[np.ndarray]
    ) -> contextlib.closing[Generator[MotionWindow, None, None]]:
        """The windows' motion, measured by two threads, which end with the block."""
        features, window = self.trained.features, self.trained.window
        return contextlib.closing(
            stream_motion(frames, self._timed_landmarker, features, window, n_threads=2)
        )

    def _timed_landmarker(self, image: np.ndarray) -> np.ndarray | None:
        with self._timing("landmarks"):
            return self._find(image)

    def _score_pending(self) -> None:
        """Run the network over the windows in hand and stitch the result to what there is."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        with self._timing("model"), one_thread():
            score, probabilities = predict_video(
                self.trained.network, np.stack([window.motion for window in pending])
            )
        # As in stitching: only the first window of all gives its first half, and padding is cut.
        news = [new_frames(window.start, self.trained.window) for window in pending]
        last = pending[-1]
        new = slice(news[0].start, last.start + len(last.has_face) - pending[0].start)
        n_new = new.stop - new.start

        def joined(of_window: Callable[[MotionWindow], np.ndarray]) -> np.ndarray:
            parts = [of_window(window)[part] for window, part in zip(pending, news, strict=True)]
            return np.concatenate(parts)[:n_new]

        # One step, so that Ctrl-C cannot come between the parts.
        self._parts.append(
            _Part(
                score[new],
                probabilities[new],
                has_face=joined(lambda window: window.has_face),
                is_busy=joined(lambda window: moves_much(window.motion)),
                motion=joined(lambda window: window.motion.T),
                head=joined(lambda window: window.head.T),
                shift=joined(lambda window: window.shift.T),
                start=joined(lambda window: np.full(self.trained.window, window.start)),
            )
        )

    @contextlib.contextmanager
    def _timing(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._work[what] += time.perf_counter() - start


def decode_trace(
    trained: TrainedModel, score: np.ndarray, probabilities: np.ndarray, subject: str = "", video: str = ""
) -> pd.DataFrame:
    """Prediction table of one video at the model's rate, from score `(T,)` and probabilities `(T, 5)`.

    With the model's own `threshold`, a peak of the smoothed score counts from there on (and from the mean of
    the video on); without one, the papers' rule holds.
    """
    smoothed = smooth(score, trained.k_p)
    p, spread = trained.p, float(smoothed.max() - smoothed.mean())
    if trained.threshold is not None and spread > 0:  # the p whose mean + p (max - mean) is the threshold
        p = min(1.0, max(0.0, (trained.threshold - float(smoothed.mean())) / spread))
    found = decode(score, probabilities, trained.k_p, trained.synergy, trained.strategy, p, subject, video)
    return found[found["score"] >= (trained.threshold or 0.0)].reset_index(drop=True)


def near_misses(
    trained: TrainedModel, score: np.ndarray, probabilities: np.ndarray, subject: str = "", video: str = ""
) -> pd.DataFrame:
    """What `decode_trace` would find from `NEAR` of the threshold on and does not find now."""
    threshold = _threshold(smooth(score, trained.k_p), trained)
    lower = decode_trace(replace(trained, threshold=NEAR * threshold), score, probabilities, subject, video)
    return lower[lower["score"] < threshold].reset_index(drop=True)


def _threshold(smoothed: np.ndarray, trained: TrainedModel) -> float:
    return spot_threshold(smoothed, trained.p) if trained.threshold is None else trained.threshold


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
