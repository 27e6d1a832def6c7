"""ROI motion of a whole data set: cached per video, resumable, in parallel over videos."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from metst_core import rois
from metst_core.checks import half_window, number_between
from metst_core.datasets import Dataset
from metst_core.errors import InputError, MetstError, MissingError
from metst_core.files import UNREADABLE, check_seal, content_hash, one_line, sealed_path, sweep, value_hash
from metst_core.landmarks import Landmarker, MediaPipeLandmarker
from metst_core.motion import MotionWindow, stream_motion
from metst_core.tables import check_annotations
from metst_core.windows import new_frames, window_starts
from metst_core.workers import naming_killed_workers, on_backend, one_opencv_thread

MOTION_VERSION = 2
"""Part of every cache key; raise it whenever the same frames would give other motion."""

CACHED_FEATURES = "metst_plus"
"""What is computed and cached; the channels of "metst" are among its."""

SKIPPED_COLUMNS = ("subject", "video", "reason")


@dataclass
class MotionSet:
    """The ROI motion of a data set's videos.

    windows: by (subject, video), `(n_windows, C, window)` float32, half-overlapping; the video's last frames
        are kept (`extract_motion(..., tail="keep")`), so `n_frames` in `videos` is needed to stitch.
    head, shift: by (subject, video), `(n_windows, 2, window)`: the reference box's motion (float32, pixels of the
        crop) and how far the crop had followed the head (int32, pixels of the frame), x and y; see
        `motion.MotionWindow`.  Empty in a set that was made without them.
    annotations: the annotation table of those videos.
    videos: their video table, `fps` and `n_frames` those of the frames that were read, and `without_motion`,
        the share of frames whose motion is zero because the window had shown no face yet.
    features: "metst" (C = 10), "metst_plus" (C = 36) or "metst_plus_ref" (C = 38).
    fps: frames per second, after the frame step.
    skipped: `subject, video, reason` of the videos that could not be used; no other table has them.
    """

    windows: dict[tuple[str, str], np.ndarray]
    annotations: pd.DataFrame
    videos: pd.DataFrame
    features: str
    window: int
    fps: float
    skipped: pd.DataFrame = field(default_factory=lambda: _skipped_table([]))
    head: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    shift: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    @property
    def subjects(self) -> list[str]:
        """Subjects with at least one video, in the order of the video table."""
        return list(dict.fromkeys(subject for subject, _ in self.windows))

    def n_frames(self, subject: str, video: str) -> int:
        """How many frames a video has (its last window may hold padding)."""
        row = (self.videos["subject"] == subject) & (self.videos["video"] == video)
        if not row.any():
            raise InputError(f"no video {video!r} of subject {subject!r} in this motion set")
        return int(self.videos.loc[row, "n_frames"].iloc[0])

    def select(self, features: str) -> MotionSet:
        """The same videos with another feature set's channels.

        A smaller set out of a larger one, or "metst_plus_ref" where "metst_plus" comes with `head`.
        """
        rois.select_rois(features)
        if features == self.features:
            return self
        whole = self.windows
        if self.features == "metst_plus" and self.head:
            whole = {key: np.concatenate([value, self.head[key]], axis=1) for key, value in whole.items()}
        channels = rois.channel_indices(features)
        if self.features == "metst" or any(max(channels) >= value.shape[1] for value in whole.values()):
            raise InputError(
                f"{features!r} cannot be selected from {self.features!r}; extract it from the videos"
            )
        windows = {key: np.ascontiguousarray(value[:, channels]) for key, value in whole.items()}
        return replace(self, windows=windows, features=features)

    def of_subjects(self, subjects: Iterable[str]) -> MotionSet:
        """The videos of some subjects alone."""
        mine = set(subjects)

        def kept(by_key: dict[tuple[str, str], np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
            return {key: value for key, value in by_key.items() if key[0] in mine}

        annotations, videos = (
            t[t["subject"].isin(mine)].reset_index(drop=True) for t in (self.annotations, self.videos)
        )
        return replace(
            self, windows=kept(self.windows), annotations=annotations, videos=videos,
            head=kept(self.head), shift=kept(self.shift),
        )  # fmt: skip

    def save(self, path: str | Path) -> Path:
        """Write everything to one `.npz` file, atomically and without pickle."""
        path = Path(path)
        if path.suffix != ".npz":
            raise InputError(f"{path}: a motion set is saved as .npz; end the name so")
        record = {
            "keys": [list(key) for key in self.windows],
            "annotations": _table_to_json(self.annotations),
            "videos": _table_to_json(self.videos),
            "skipped": _table_to_json(self.skipped),
            "features": self.features,
            "window": self.window,
            "fps": self.fps,
        }
        arrays: dict[str, Any] = {f"windows_{i}": value for i, value in enumerate(self.windows.values())}
        for name in _BESIDE:
            kept = getattr(self, name)
            arrays |= {f"{name}_{i}": kept[key] for i, key in enumerate(self.windows) if key in kept}
        with sealed_path(path) as temporary:
            np.savez(temporary, record=np.array(json.dumps(record)), **arrays)
        return path

    @classmethod
    def load(cls, path: str | Path) -> MotionSet:
        """Read what `save` wrote; `MissingError` without the file, `InputError` when it is something else."""
        path = Path(path)
        if not path.is_file():
            raise MissingError(
                f"{path}: no such file; extract the motion first (extract_dataset(...).save(path))"
            )
        try:
            check_seal(path)
            with np.load(path, allow_pickle=False) as stored:
                record = json.loads(str(stored["record"]))
                keys = [(subject, video) for subject, video in record["keys"]]
                windows = {key: stored[f"windows_{i}"] for i, key in enumerate(keys)}
                beside = {
                    name: {
                        key: stored[f"{name}_{i}"] for i, key in enumerate(keys) if f"{name}_{i}" in stored
                    }
                    for name in _BESIDE
                }
            motion = cls(
                windows,
                check_annotations(_table_from_json(record["annotations"]), str(path)),
                _table_from_json(record["videos"]),
                record["features"],
                2 * half_window(record["window"]),
                number_between("fps", record["fps"], 0.001, 100_000),
                _table_from_json(record["skipped"]),
                **beside,
            )
            _check_whole(motion)
            return motion
        except UNREADABLE as error:
            raise InputError(f"{path}: not a motion set ({error}); extract the motion again") from error


_BESIDE = ("head", "shift")  # what is kept beside the windows


def _check_whole(motion: MotionSet) -> None:
    """Raise an `InputError` unless the parts of a motion set fit together."""
    channels = len(rois.channel_indices(motion.features))
    for key, windows in motion.windows.items():
        n_windows = len(window_starts(motion.n_frames(*key), motion.window))
        _check_shape("windows", key, windows, (n_windows, channels, motion.window))
        for name in _BESIDE:
            if key in getattr(motion, name):
                _check_shape(name, key, getattr(motion, name)[key], (n_windows, 2, motion.window))


def _check_shape(name: str, key: tuple[str, str], value: np.ndarray, shape: tuple[int, ...]) -> None:
    if value.shape != shape or value.dtype.kind not in "fi":
        raise InputError(f"{name} of {' '.join(key)}: {value.dtype} {value.shape}, expected numbers {shape}")


def extract_dataset(
    dataset: Dataset,
    features: str = "metst_plus",
    landmarker_factory: Callable[[], Landmarker] = MediaPipeLandmarker,
    cache_dir: str | Path | None = None,
    n_jobs: int = 1,
    backend: str = "loky",
) -> MotionSet:
    """ROI motion of every video of a data set, with `dataset.window` frames per window.

    landmarker_factory: called once per video, in the process that works on it, so that no video depends on
        another.
    cache_dir: keeps one file per video, named by a hash of all that its motion depends on: the video's bytes,
        how it is read, the window, the landmarker's `identity` (a string attribute, required here) and the
        versions of this code and OpenCV.  An interrupted run goes on where it stopped; an unreadable file is
        computed anew.
    n_jobs: processes, joblib's counting (-1: all cores); each runs OpenCV on one thread.  The result is the
        same for every number.
    backend: joblib's, "loky", "dask" or "ray" (`workers.on_backend`); the workers must see the videos and
        `cache_dir`.  The result is the same for each, also where a Dask cluster loses a worker on the way.

    A video that cannot be read, has fewer than two frames or shows no face at all goes to `.skipped` with the
    reason, and the rest goes on.  In a video whose face comes late, motion is zero until then (within each
    window); `videos["without_motion"]` says for how much of it.  A face that is lost after a window's first
    one is not noticed: flow is measured on what is there.

    Raises `InputError` when no video is left, or for an argument that cannot be used.
    """
    rois.select_rois(features)
    if n_jobs == 0:
        raise InputError("n_jobs=0 cannot be used; give a number of processes, or -1 for all cores")
    if dataset.videos.empty:
        raise InputError(f"{dataset.name}: the data set has no videos")
    cache = None if cache_dir is None else _prepare_cache(Path(cache_dir), landmarker_factory)
    keys = list(zip(dataset.videos["subject"], dataset.videos["video"], strict=True))
    with on_backend(backend, n_jobs, [dataset]):
        parallel = joblib.Parallel(return_as="generator")
    results = parallel(joblib.delayed(_video_result)(dataset, key, landmarker_factory, cache) for key in keys)
    kept = "what is cached is kept" if cache else "give a cache_dir, so that what is done is kept"
    with naming_killed_workers(n_jobs, kept):
        results = list(tqdm(results, total=len(keys), desc="ROI motion", unit="video"))
    return _assemble(dataset, dict(zip(keys, results, strict=True))).select(features)


@dataclass(frozen=True)
class _VideoMotion:
    """What is cached of a video.

    `windows` (n_windows, 36, k) float32, `has_face` (n_frames,) bool, and beside the windows `head` (float32) and
    `shift` (int32), (n_windows, 2, k).
    """

    windows: np.ndarray
    has_face: np.ndarray
    head: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True)
class _Result:
    """A video's motion or the reason for having none, and a warning."""

    motion: _VideoMotion | None
    reason: str = ""
    warning: str = ""


@dataclass(frozen=True)
class _Cache:
    folder: Path
    landmarker: str

    def path(self, dataset: Dataset, key: tuple[str, str]) -> Path:
        name = value_hash({
            "version": MOTION_VERSION,
            "opencv": cv2.__version__,
            "features": CACHED_FEATURES,
            "window": dataset.window,
            "landmarker": self.landmarker,
            "reading": dataset.reading_hash(),
            "content": content_hash(dataset.path(*key)),
        })  # fmt: skip
        return self.folder / f"{name}.npz"


def _prepare_cache(folder: Path, landmarker_factory: Callable[[], Landmarker]) -> _Cache:
    identity = getattr(landmarker_factory(), "identity", None)
    if not isinstance(identity, str):
        raise InputError(
            "cache_dir needs a landmarker with an `identity` (a string that changes when its points would); "
            "add that attribute, or use cache_dir=None"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
    except OSError as error:
        raise InputError(
            f"cache_dir {folder} cannot be made ({error.strerror}); name a folder to write to"
        ) from error
    return _Cache(folder, identity)


def _video_result(
    dataset: Dataset, key: tuple[str, str], landmarker_factory: Callable[[], Landmarker], cache: _Cache | None
) -> _Result:
    """One video's motion, from the cache where it is there; never raises for what is wrong with the video."""
    try:
        path = None if cache is None else cache.path(dataset, key)
        motion = None if path is None else _read_cached(path, dataset.window)
        if motion is not None:
            return _Result(motion)
        with one_opencv_thread():
            motion = _compute(dataset, key, landmarker_factory())
    except MetstError as error:
        return _Result(None, str(error))
    except Exception as error:  # of FFmpeg, OpenCV, MediaPipe, the system: one video never ends a set
        return _Result(None, f"{type(error).__name__}: {error}")
    return _Result(motion, warning="" if path is None else _write_cached(path, motion))


def _compute(dataset: Dataset, key: tuple[str, str], landmarker: Landmarker) -> _VideoMotion:
    parts = list(stream_motion(dataset.frames(*key), landmarker, CACHED_FEATURES, dataset.window))
    return _VideoMotion(
        np.stack([part.motion for part in parts]),
        _frames_with_face(parts, dataset.window),
        np.stack([part.head for part in parts]),
        np.stack([part.shift for part in parts]),
    )


def _frames_with_face(parts: list[MotionWindow], window: int) -> np.ndarray:
    """Per frame, whether the window that speaks for it had a face."""
    return np.concatenate([part.has_face[new_frames(part.start, window)] for part in parts])


_CACHED = tuple(f.name for f in dataclasses.fields(_VideoMotion))


def _read_cached(path: Path, window: int) -> _VideoMotion | None:
    """A cached video, or None if there is none that can be read whole; that video is then computed anew."""
    try:
        check_seal(path)
        with np.load(path, allow_pickle=False) as stored:
            motion = _VideoMotion(*(stored[name] for name in _CACHED))
        n_windows = len(window_starts(len(motion.has_face), window))
    except UNREADABLE:
        return None
    wanted = {
        "windows": ((n_windows, 2 * len(rois.ROIS), window), "f"),
        "has_face": (motion.has_face.shape[:1], "b"),
        "head": ((n_windows, 2, window), "f"),
        "shift": ((n_windows, 2, window), "i"),
    }
    parts = {name: getattr(motion, name) for name in _CACHED}
    whole = all((part.shape, part.dtype.kind) == wanted[name] for name, part in parts.items())
    return motion if whole and np.isfinite(motion.windows).all() else None


def _write_cached(path: Path, motion: _VideoMotion) -> str:
    """Cache a video; what went wrong, if anything, in words: the motion itself is not lost for that."""
    try:
        with sealed_path(path) as temporary:
            np.savez(temporary, **{name: getattr(motion, name) for name in _CACHED})
    except OSError as error:
        return f"cache_dir {one_line(path.parent)} cannot be written ({error.strerror}); going on without"
    return ""


def _assemble(dataset: Dataset, results: dict[tuple[str, str], _Result]) -> MotionSet:
    for warning in dict.fromkeys(result.warning for result in results.values() if result.warning):
        warnings.warn(warning, stacklevel=3)
    used, skipped, n_frames, without = {}, [], [], []
    for key, result in results.items():
        if result.motion is None or not result.motion.has_face.any():
            skipped.append((*key, result.reason or "no face was found in any frame"))
            continue
        used[key] = result.motion
        n_frames.append(len(result.motion.has_face))
        without.append(float(1 - result.motion.has_face.mean()))
    if not used:
        raise InputError(
            f"{dataset.name}: none of the {len(results)} videos could be used; "
            f"the first, {skipped[0][1]!r} of subject {skipped[0][0]!r}: {skipped[0][2]}"
        )
    videos = dataset.videos[_rows_of(dataset.videos, used)].reset_index(drop=True)
    videos = videos.assign(n_frames=n_frames, without_motion=without)
    annotations = dataset.annotations[_rows_of(dataset.annotations, used)].reset_index(drop=True)
    return MotionSet(
        windows={key: motion.windows for key, motion in used.items()},
        annotations=annotations,
        videos=videos,
        features=CACHED_FEATURES,
        window=dataset.window,
        fps=dataset.frame_rate,
        skipped=_skipped_table(skipped),
        head={key: motion.head for key, motion in used.items()},
        shift={key: motion.shift for key, motion in used.items()},
    )


def _rows_of(table: pd.DataFrame, keys: Container[tuple[str, str]]) -> np.ndarray:
    """Which rows of a table belong to one of the videos, (n,) bool."""
    return np.array([key in keys for key in zip(table["subject"], table["video"], strict=True)], dtype=bool)


def _skipped_table(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(SKIPPED_COLUMNS)).astype(str)


def _table_to_json(table: pd.DataFrame) -> dict[str, Any]:
    return {
        "columns": list(table.columns),
        "rows": json.loads(table.to_json(orient="values", double_precision=15)),
    }


def _table_from_json(stored: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(stored["rows"], columns=stored["columns"])
