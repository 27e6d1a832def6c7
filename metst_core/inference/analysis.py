"""One's own video: from a file to named intervals with a confidence, and what speaks against them.

    result = analyse("clip.mp4")
    result.table, result.score, result.quality, result.plot(), result.to_csv("clip.csv")

The video is streamed: frames are brought to the rate that the model was trained at, ROI motion is measured
window by window, each batch of windows goes through the network, and only a few numbers per frame are
kept.  Everything that comes out counts in frames of the original video (0-based, intervals inclusive).

What this is not: it does not detect lies, intentions or illnesses.  The bundled weights were trained on
synthetic faces.  Use it to learn and to look closer, never for decisions about people.  Nothing leaves the
machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from torch import nn
from tqdm import tqdm

from metst_core import checkpoints
from metst_core.datasets import SUBMISSION_COLUMNS
from metst_core.decoding import decode, smooth, spot_threshold
from metst_core.errors import InputError, MetstError, MissingError
from metst_core.extraction import MotionSet
from metst_core.files import ASSETS, run_record, write_json
from metst_core.inference.quality import (
    FaceFinder,
    LandmarkFaceFinder,
    MediaPipeFaceFinder,
    QualityLog,
    moves_much,
    quality_table,
    timing_marks,
)
from metst_core.landmarks import Landmarker, MediaPipeLandmarker
from metst_core.models import Network, predict_video
from metst_core.motion import MotionWindow, stream_motion
from metst_core.rois import FEATURES, roi_names
from metst_core.tables import PREDICTION_COLUMNS, write_table
from metst_core.training import TrainConfig, fit_windows, windows_of
from metst_core.video import (
    list_images,
    nearest_in_map,
    probe,
    read_frames,
    resample_map,
    select_frames,
    timestamps,
)
from metst_core.windows import new_frames
from metst_core.workers import one_thread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTICE = (
    "This tool does not detect lies, intentions or illnesses. Its bundled weights were trained on synthetic "
    "faces. "
    "It is for learning and for looking closer, not for decisions about people. Nothing leaves this machine."
)
"""What every output says."""

BUNDLED = ASSETS / "bundled.safetensors"
"""The weights that come with the package; `metst_core.experiment.recipe` trains them."""

RESULT_COLUMNS = (
    *PREDICTION_COLUMNS, "confidence", "onset_seconds", "apex_seconds", "offset_seconds", "flags",
)  # fmt: skip
"""Columns of `AnalysisResult.table`."""

_SLOWEST = 3.0  # frames per second; below, resampling would be nothing but repeated frames
_WINDOWS_AT_ONCE = 4  # windows per call of the network: about 2 seconds of video
_DEFAULT_HALF_LENGTH = 6  # frames: 0.4 s at 30 frames per second, for weights that come without their own
STOPPED = "stopped"
"""`AnalysisResult.trouble` of an analysis that the user stopped."""


@dataclass(frozen=True)
class Calibration:
    """From the smoothed score at the apex to the probability that the interval is a true positive (Platt's
    method).

    Fitted on intervals of subjects that the network had not seen; `evidence` says on how many, and how well
    it held for subjects that the calibration itself had not seen.
    """

    slope: float
    intercept: float
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Confidence in 0..1 of smoothed apex scores (n,)."""
        return 1 / (1 + np.exp(-(self.slope * np.asarray(scores, float) + self.intercept)))

    @classmethod
    def fit(
        cls, scores: np.ndarray, hits: np.ndarray, evidence: Mapping[str, Any] | None = None
    ) -> Calibration:
        """Fit to scores `(n,)` and whether each was a true positive `(n,)` bool, both kinds being present."""
        x, y = np.asarray(scores, float), np.asarray(hits, bool)
        if not 0 < y.sum() < len(y):
            raise InputError(
                f"calibration needs true and false positives; of {len(y)} intervals {y.sum()} are true"
            )
        # Platt's targets: never quite 0 or 1, so that separable scores do not give an infinite slope.
        target = np.where(y, (y.sum() + 1) / (y.sum() + 2), 1 / ((~y).sum() + 2))
        design = np.stack([x, np.ones_like(x)], axis=1)
        weights = np.zeros(2)
        for _ in range(100):
            p = 1 / (1 + np.exp(-design @ weights))
            gradient = design.T @ (p - target) + 1e-6 * weights
            curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
            step = np.linalg.solve(curvature, gradient)
            weights = weights - step * min(1.0, 5.0 / np.abs(step).max())
            if np.abs(step).max() < 1e-9:
                break
        return cls(float(weights[0]), float(weights[1]), dict(evidence or {}))


@dataclass(frozen=True)
class TrainedModel:
    """A network and what belongs to its numbers: which motion it reads, at which rate, and how to decode it.

    threshold: of the smoothed score; None takes the papers' `mean + p (max - mean)` of each video, which
        finds something in every video.
    calibration: None where there is none; the confidence is then NaN.
    """

    network: Network
    features: str = "metst_plus"
    window: int = 50
    fps: float = 30.0
    k_p: int = _DEFAULT_HALF_LENGTH
    p: float = 0.55
    threshold: float | None = None
    synergy: int = 2
    strategy: str = "fixed"
    calibration: Calibration | None = None
    name: str = "a network"
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def delay_seconds(self) -> float:
        """How far the decoded score lags behind a live video at most: half a window, and the smoothing."""
        return (self.window // 2 + self.k_p) / self.fps


_CONSTANTS = ("features", "window", "fps", "k_p", "p", "threshold", "synergy", "strategy", "name", "card")


def save_model(trained: TrainedModel, path: str | Path) -> Path:
    """Write `<path>.safetensors` and, beside it, a `.json` file with the constants that belong to it."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: a model is saved as .safetensors; end the name so")
    constants: dict[str, Any] = {name: getattr(trained, name) for name in _CONSTANTS}
    if trained.calibration is not None:
        constants["calibration"] = dataclasses.asdict(trained.calibration)
    checkpoints.save(trained.network, path)
    write_json(constants, path.with_suffix(".json"))
    return path


def load_model(model: str | Path | Network | TrainedModel = "bundled") -> TrainedModel:
    """The model to analyse with: "bundled", a path, a network, or one that is loaded already.

    A path ends in `.safetensors` (what `save_model` or `checkpoints.save` wrote) or is one of the authors'
    checkpoints.  The constants come from the `.json` file beside it; without one, those of CAS(ME)^3 hold (30
    frames per second, windows of 50, the papers' threshold) and there is no calibrated confidence.

    Raises a `MissingError` or `InputError` that names the file.
    """
    if isinstance(model, TrainedModel):
        return model
    if isinstance(model, Network):
        return TrainedModel(model, features=_features_of(model))
    path = BUNDLED if model == "bundled" else Path(model)
    if model == "bundled" and not path.is_file():
        raise MissingError(
            f"{path}: the bundled weights are missing; train them with `python -m metst_core.experiment.recipe`"
        )
    network = (checkpoints.load if path.suffix == ".safetensors" else checkpoints.load_released)(path)
    constants = path.with_suffix(".json")
    if not constants.is_file():
        return TrainedModel(network, features=_features_of(network), name=path.name)
    return _with_constants(network, constants)


def _with_constants(network: Network, path: Path) -> TrainedModel:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        calibration = stored.pop("calibration", None)
        trained = TrainedModel(
            network, calibration=None if calibration is None else Calibration(**calibration), **stored
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: not the constants of a model ({error}); write it with save_model"
        ) from error
    if trained.features != _features_of(network):
        raise InputError(
            f"{path}: features is {trained.features!r}, but the network reads {network.in_channels} channels"
        )
    return trained


def _features_of(network: Network) -> str:
    for features in FEATURES:
        if network.in_channels == 2 * len(roi_names(features)):
            return features
    raise InputError(
        f"the network reads {network.in_channels} channels; ROI motion has 10 (metst) or 36 (metst_plus)"
    )


@dataclass(frozen=True)
class AnalysisResult:
    """What was found in one video.  Frames are those of the original video, 0-based, intervals inclusive.

    table: `RESULT_COLUMNS`; `score` is the smoothed score at the apex, `confidence` the calibrated
        probability that the interval is a micro-expression (at IoU 0.5), `flags` the quality flags that
        touch it.
    score, smoothed: per frame `(n_frames,)`, 0..1; NaN where nothing was analysed, 0 where there was no face.
    probabilities: `(n_frames, 5)`, the classes of `tables.CLASSES`.
    times: seconds of every frame `(n_frames,)`.
    quality: `quality.QUALITY_COLUMNS`, one row per run of flagged frames.
    complete: False if the analysis ended early; `trouble` says why, and `n_analysed` frames are done.
    seconds: where the time went: decoding, quality, landmarks, flow, model.
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

    @property
    def duration(self) -> float:
        """Seconds of video."""
        return float(self.times[-1] - self.times[0]) + 1 / self.fps

    @property
    def has_face(self) -> bool:
        """Whether a face was found in any frame."""
        lost = self.quality[self.quality["flag"] == "face_lost"]
        return int((lost["last"] + 1 - lost["first"]).sum()) < self.n_analysed

    def plot(self, annotations: pd.DataFrame | None = None) -> Figure:
        """Score, intervals and quality over time; with `annotations` (this video's), the truth beside
        them."""
        from metst_core.pipeline import timeline_figure

        return timeline_figure(self, annotations)

    def to_csv(self, path: str | Path | None = None) -> str | Path:
        """Write the table as CSV, or return it as text without a path."""
        return _csv(self.table, path)

    def to_megc(self, path: str | Path) -> Path:
        """Write the intervals as the grand challenges want them: `subject,video,onset,offset,emotion`, first
        frame 1."""
        return write_megc([self], path)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the probabilities, as plain values (NaN becomes null when written as JSON)."""
        return {
            "video": str(self.path),
            "notice": NOTICE,
            "fps": self.fps,
            "n_frames": self.n_frames,
            "size": self.size,
            "seconds": self.duration,
            "complete": self.complete,
            "n_analysed": self.n_analysed,
            "trouble": self.trouble,
            "model": {
                "name": self.model.name,
                "k_p": self.model.k_p,
                "fps": self.model.fps,
                "window": self.model.window,
            },
            "threshold": self.threshold,
            "intervals": self.table.to_dict("records"),
            "quality": self.quality.to_dict("records"),
            "score": np.round(self.score, 5),
            "smoothed": np.round(self.smoothed, 5),
            "work_seconds": dict(self.seconds),
        }

    def to_json(self, path: str | Path) -> Path:
        """Write `to_dict` and how it came about as JSON."""
        return write_json({"record": run_record(), **self.to_dict()}, path)

    def to_html(self, path: str | Path, progress: bool = False) -> Path:
        """Write one self-contained page that opens offline: time line, apex frames with ROIs and flow,
        traces."""
        from metst_core.pipeline import write_page

        return write_page(self, path, progress)

    def to_video(self, path: str | Path, progress: bool = False) -> Path:
        """Write the video (without sound) with its score underneath and its intervals named."""
        from metst_core.pipeline import write_annotated_video

        return write_annotated_video(self, path, progress)

    def summary(self) -> str:
        """What was found, in a few lines of text."""
        from metst_core.pipeline import summary_text

        return summary_text(self)


def analyse(
    video_path: str | Path,
    model: str | Path | Network | TrainedModel = "bundled",
    landmarker: Landmarker | None = None,
    image_fps: float = 30.0,
    progress: bool = True,
) -> AnalysisResult:
    """Find the micro-expressions in a video file or a folder of images.

    model: see `load_model`.  landmarker: instead of MediaPipe (see `metst_core.landmarks`); with one's own, a
    second face in the picture goes unnoticed.  image_fps: frames per second of a folder of images.

    Memory does not grow with the length of the video but for a few numbers per frame.  Ctrl-C, and a video
    that breaks on the way, give the result so far (`complete` is False, `trouble` says why); if nothing is
    done yet, they raise.  Raises a `MetstError` that names the file.
    """
    counting = (
        f"{Path(video_path).name[:30]}: counting its frames"  # a long video takes minutes (`video.probe`)
    )
    with tqdm(desc=counting, bar_format="{desc}", unit="frame", leave=False, disable=not progress) as bar:
        analysis = Analysis(video_path, model, landmarker, image_fps)
        bar.bar_format, bar.leave = None, True
        bar.set_description(analysis.video[:30], refresh=False)
        bar.reset(total=analysis.n_model_frames)
        try:
            for done in analysis:
                bar.update(done - bar.n)
        except KeyboardInterrupt:
            if not analysis.stop():
                raise
    return analysis.result()


class _Part(NamedTuple):
    """A stretch of analysed frames, at the model's rate: score (n,), probabilities (n, 5), two flags (n,)
    bool."""

    score: np.ndarray
    probabilities: np.ndarray
    has_face: np.ndarray
    is_busy: np.ndarray


class Analysis:
    """An analysis that grows: iterate to work (each step tells the analysed frames so far), ask for
    `result()`."""

    def __init__(
        self,
        video_path: str | Path,
        model: str | Path | Network | TrainedModel = "bundled",
        landmarker: Landmarker | None = None,
        image_fps: float = 30.0,
    ) -> None:
        self.path = Path(video_path)
        self.trained = load_model(model)
        self.trouble = ""
        with _naming(self.path):
            self.fps, self.times, self.size = _clock(self.path, image_fps)
        if len(self.times) < 2:
            raise InputError(
                f"{self.path}: a single frame holds no movement; give a video of 2 frames or more"
            )
        if self.fps < _SLOWEST:
            raise InputError(
                f"{self.path}: {self.fps:.2g} frames per second; a micro-expression lasts under half a "
                "second, so "
                "record at 25 frames per second or more"
            )
        self._map = resample_map(self.times, self.trained.fps)
        own = landmarker is not None
        self._landmarker: Landmarker = landmarker if landmarker is not None else MediaPipeLandmarker()
        finder: FaceFinder = LandmarkFaceFinder(self._landmarker) if own else MediaPipeFaceFinder()
        self._log = QualityLog(finder, self.trained.fps)
        self._work: defaultdict[str, float] = defaultdict(float)
        self._pending: list[MotionWindow] = []
        self._parts: list[_Part] = []

    @property
    def subject(self) -> str:
        return self.path.resolve().parent.name or "-"

    @property
    def video(self) -> str:
        return self.path.resolve().name if self.path.is_dir() else self.path.stem

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
        windows = stream_motion(
            self._frames(), self._timed_landmarker, self.trained.features, self.trained.window, n_threads=2
        )
        try:
            with _naming(self.path):
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
            self._work["flow"] = spent - sum(v for k, v in self._work.items() if k != "flow")
        yield self.n_done

    def stop(self, reason: str = STOPPED) -> bool:
        """End here and keep what is done; False if that is nothing."""
        self._score_pending()
        self.trouble = reason
        return self.n_done > 0

    def result(self) -> AnalysisResult:
        """What is known so far."""
        if not self.n_done:
            raise InputError(f"{self.path}: nothing is analysed yet; iterate over the analysis first")
        trained, n_done = self.trained, self.n_done
        score, probabilities, has_face, is_busy = (
            np.concatenate(part) for part in zip(*self._parts, strict=True)
        )
        flagged = self._log.flagged(has_face, is_busy)
        score = np.where(flagged["face_lost"], 0.0, score)
        smoothed = smooth(score, trained.k_p)
        to_model = nearest_in_map(self._map, np.arange(len(self.times)))
        done = to_model < n_done

        def original(values: np.ndarray) -> np.ndarray:
            out = np.full((len(self.times), *values.shape[1:]), np.nan)
            out[done] = values[to_model[done]]
            return out

        marks = {flag: original(mark) == 1 for flag, mark in flagged.items()}
        marks |= timing_marks(self.times, self.fps)
        marks["not_analysed"] = ~done
        return AnalysisResult(
            path=self.path,
            subject=self.subject,
            video=self.video,
            fps=self.fps,
            n_frames=len(self.times),
            size=self.size,
            table=self._table(score, probabilities, marks),
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
        )

    def _table(
        self,
        score: np.ndarray,
        probabilities: np.ndarray,
        marks: Mapping[str, np.ndarray],
    ) -> pd.DataFrame:
        """The intervals, decoded at the model's rate and brought back to the frames of the video."""
        trained = self.trained
        found = decode_trace(trained, score, probabilities, self.subject, self.video)
        for name in ("onset", "apex", "offset"):
            found[name] = self._map[np.clip(found[name], 0, len(score) - 1)]
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
        frames = select_frames(read_frames(self.path), self._map)
        while True:
            with self._timing("decoding"):
                frame = next(frames, None)
            if frame is None:
                return
            with self._timing("quality"):
                self._log.look(frame)
            yield frame

    def _timed_landmarker(self, image: np.ndarray) -> np.ndarray | None:
        with self._timing("landmarks"):
            return self._landmarker(image)

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
        has_face = [window.has_face[part] for window, part in zip(pending, news, strict=True)]
        is_busy = [moves_much(window.motion)[part] for window, part in zip(pending, news, strict=True)]
        n_new = new.stop - new.start
        # One step, so that Ctrl-C cannot come between the parts.
        self._parts.append(
            _Part(score[new], probabilities[new], np.concatenate(has_face), np.concatenate(is_busy)[:n_new])
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


def _threshold(smoothed: np.ndarray, trained: TrainedModel) -> float:
    return spot_threshold(smoothed, trained.p) if trained.threshold is None else trained.threshold


def _clock(path: Path, image_fps: float) -> tuple[float, np.ndarray, tuple[int, int]]:
    """Frame rate, time of every frame (n_frames,) in seconds, and size of a video or folder of images."""
    if path.is_dir():
        if not (math.isfinite(image_fps) and image_fps > 0):
            raise InputError(f"image_fps: expected a rate above 0 frames per second, got {image_fps}")
        return image_fps, np.arange(len(list_images(path))) / image_fps, probe(path).size
    info = probe(path)
    return info.fps, timestamps(path), info.size


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
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


# --- several videos at once -----------------------------------------------------------------------
def results_table(results: Iterable[AnalysisResult]) -> pd.DataFrame:
    """The tables of several videos under each other, with the column `path` in front."""
    parts = [result.table.assign(path=str(result.path)) for result in results if len(result.table)]
    columns = ["path", *RESULT_COLUMNS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def write_csv(results: Iterable[AnalysisResult], path: str | Path) -> Path:
    """Write `results_table` as CSV."""
    return write_table(results_table(results), path)


def write_results_json(results: Iterable[AnalysisResult], path: str | Path) -> Path:
    """Write the results of several videos as one JSON file: `{"record", "videos": [...]}`."""
    return write_json({"record": run_record(), "videos": [r.to_dict() for r in results]}, path)


def write_megc(results: Iterable[AnalysisResult], path: str | Path) -> Path:
    """Write the intervals of several videos as one submission: original frame numbers, the first frame being
    1."""
    table = pd.concat([r.table for r in results], ignore_index=True).astype(
        {"onset": "int64", "offset": "int64"}
    )
    table[["onset", "offset"]] += 1
    return write_table(table[list(SUBMISSION_COLUMNS)], path)


def _csv(table: pd.DataFrame, path: str | Path | None) -> str | Path:
    if path is None:
        return table.to_csv(index=False, lineterminator="\n")
    return write_table(table, path)


def check_output(path: str | Path) -> Path:
    """`path`, if a file can be written there; asked before an hour of work rather than after."""
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path}: this is a folder; name a file to write")
        path.exists()  # raises for a name that is too long
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); name another place") from error
    return path


# --- one's own annotations ------------------------------------------------------------------------
def fine_tune(
    trained: TrainedModel, motion: MotionSet, epochs: int = 10, learning_rate: float = 3e-4, seed: int = 100
) -> TrainedModel:
    """A copy of a model, trained further on the annotated videos of `motion`; the constants stay as they are.

    The windows with a micro-expression are used and as many without; with all of them the score would soon be
    zero everywhere.  The calibration is dropped: it belonged to the old weights.  A handful of annotations teaches the network this face and camera, nothing general.
    """
    if motion.features != trained.features or motion.window != trained.window:
        raise InputError(
            f"the motion is {motion.features!r} in windows of {motion.window}, the model reads "
            f"{trained.features!r} in windows of {trained.window}; extract it so"
        )
    if motion.annotations.empty:
        raise InputError(
            "the motion set holds no annotation to learn from; annotate at least one micro-expression"
        )
    pupil = _copy(trained.network)
    config = TrainConfig(epochs=epochs, learning_rate=learning_rate, batch_size=16, ratio=1.0, seed=seed)
    for module in pupil.modules():
        if isinstance(module, nn.BatchNorm1d):
            # A handful of windows cannot replace the statistics of the many: they stay as they are.
            module.train = lambda mode=True, kept=module: kept  # type: ignore[method-assign, misc]
    fit_windows(windows_of(motion), config, seed, pupil)
    name = f"{trained.name}, fine-tuned"
    return dataclasses.replace(trained, network=_copy(pupil), calibration=None, name=name)


def _copy(network: Network) -> Network:
    copy = type(network)(**network.config)
    copy.load_state_dict(network.state_dict())
    return copy.eval()
