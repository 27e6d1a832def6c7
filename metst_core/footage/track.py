"""Where the face is in every frame of a film: a dense mesh, smoothed over time without lag, and which way it looks.

One pass over the film.  The landmarks that action units hang on are kept, some 150 of the 478 (a kilobyte per frame);
of the depth only which way the face is turned.  A cut, a jump to another face or a longer gap ends a stretch, and
nothing is smoothed or joined across it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from tqdm import tqdm

from metst_core.errors import InputError
from metst_core.footage.films import Film
from metst_core.inference import FaceFinder, MediaPipeFaceFinder, QualityLog, Seen, film_clock, naming
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.synthetic import UNITS, landmarks_of
from metst_core.video import read_frames
from metst_core.workers import one_opencv_thread, prefetched

Mesher = Callable[[np.ndarray], np.ndarray | None]
"""From an RGB image to the 478 points of the face (x, y, z in pixels), or None: `MediaPipeLandmarker().mesh`."""

TRACKED_PER_SECOND = 30.0
"""Faces are looked for about so often; between two looks the mesh is interpolated."""

_LEFT, _RIGHT, _TOP, _CHIN = 33, 263, 10, 152  # outer eye corners, top of the forehead, chin
LANDMARKS = tuple(sorted({_LEFT, _RIGHT, _TOP, _CHIN, *(i for unit in UNITS for i in landmarks_of(unit))}))
"""The landmarks that are kept: those that action units hang on, and four that tell which way the face looks."""

REASONS = {
    "face_lost": "no face is found",
    "cut": "the picture jumps: a cut, or another face",
    "turned": "the face is turned away by more than {turned:g} degrees",
    "several_faces": "more than one face: crop the film to one person",
    "face_too_small": "the face is too small: film closer, or at more pixels",
    "elsewhere": "the place belongs to another part of the film",
}
"""Why nothing can be planted in a frame."""

LIMITS = {"turned": 30.0, "jump": 0.5, "growth": 1.25, "thumbnail": 25.0, "gap": 0.1, "shortest": 2.0}
"""Degrees that a face may be turned; eye distances, and times its size, that a face can move from look to look; grey levels
that a thumbnail changes by at a cut; seconds without a face that are filled in; seconds of the shortest film."""

_KERNEL = np.array([1.0, 2.0, 3.0, 2.0, 1.0])
_THUMBNAIL = (32, 24)
_NOTHING = np.full((len(LANDMARKS), 3), np.nan, np.float32)


@dataclass(frozen=True, eq=False)
class Track:
    """The face in every frame of a film of T frames.

    points: `(T, len(LANDMARKS), 2)` float32, x and y in pixels; NaN where there is no face.
    axes: `(T, 2, 2)` float32, where the face's own directions point in the picture: column 0 to the right of the
        picture along the eyes, column 1 down to the chin; shorter than 1 where the face is turned away from the camera.
    iod: `(T,)` inter-ocular distance as if seen from the front, pixels.
    angles: `(T, 2)` float32, degrees by which the face is turned: to the side (the eye at the right of the picture is the
        farther one), and up and down (the chin is).
    marks: why nothing can be planted -> `(T,)` bool, names as `REASONS`.
    times: `(T,)` seconds.  mesh: `(478, 2)` the mean mesh, pixels.  seen: the detector's looks, each `(T, ...)`.
    """

    fps: float
    size: tuple[int, int]
    times: np.ndarray
    points: np.ndarray
    axes: np.ndarray
    iod: np.ndarray
    angles: np.ndarray
    marks: dict[str, np.ndarray]
    mesh: np.ndarray
    seen: Seen

    @property
    def n_frames(self) -> int:
        return len(self.times)

    @property
    def turn(self) -> np.ndarray:
        """Degrees by which the face is turned away from the camera, whichever way: `(T,)`."""
        turn: np.ndarray = np.abs(self.angles).max(axis=1)
        return turn

    @property
    def usable(self) -> np.ndarray:
        """The frames in which something can be planted: `(T,)` bool."""
        usable: np.ndarray = ~np.any(list(self.marks.values()), axis=0)
        return usable

    def within(self, frames: np.ndarray) -> Track:
        """The same film, in which some of its frames `(T,)` bool alone can be used."""
        return replace(self, marks={**self.marks, "elsewhere": ~frames})

    def reason(self, first: int, last: int) -> str:
        """Why nothing can be planted from frame `first` to `last`; an empty text where it can."""
        span = slice(max(0, first), last + 1)
        return next((name for name, mark in self.marks.items() if mark[span].any()), "")

    def full_mesh(self, frame: int) -> np.ndarray:
        """The points of a frame at their numbers: `(468, 2)`, NaN for those that are not kept."""
        mesh = np.full((468, 2), np.nan)
        mesh[list(LANDMARKS)] = self.points[frame]
        return mesh


def say(reason: str) -> str:
    """A reason in words."""
    return REASONS[reason].format(**LIMITS)


def track(
    film: Film,
    image_fps: float = 30.0,
    mesher: Mesher | None = None,
    finder: FaceFinder | None = None,
    progress: bool = True,
) -> Track:
    """Follow the face through a film; `image_fps` is the rate of a folder of images.

    mesher, finder: instead of MediaPipe's mesh and face detector.

    Raises an `InputError` that names the film where it is too short or shows no face.
    """
    mesher = MediaPipeLandmarker().mesh if mesher is None else mesher
    finder = MediaPipeFaceFinder() if finder is None else finder
    with naming(film.path):
        fps, times, size = film_clock(film.path, image_fps)
        if len(times) < 2 or times[-1] - times[0] + 1 / fps < LIMITS["shortest"]:
            raise InputError(
                f"{film.path}: the film is {len(times) / fps:.1f} s long, in which nothing can be planted; give one of "
                f"{LIMITS['shortest']:g} s or more"
            )
        step = max(1, round(fps / TRACKED_PER_SECOND))
        log = QualityLog(finder, fps / step)
        looks: list[np.ndarray] = []
        total = np.zeros((478, 2))
        jumps = np.zeros(len(times), bool)
        before: np.ndarray | None = None
        bar = tqdm(total=len(times), desc=f"{film.video[:30]}: face", unit="frame", disable=not progress)
        with bar, one_opencv_thread(), prefetched(read_frames(film.path), 4) as frames:
            for number, frame in enumerate(frames):
                thumbnail = cv2.resize(frame, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
                if before is not None:
                    jumps[number] = np.abs(thumbnail - before).mean() > LIMITS["thumbnail"]
                before = thumbnail
                if number % step == 0:
                    mesh = mesher(frame)
                    looks.append(_NOTHING if mesh is None else mesh[list(LANDMARKS)].astype(np.float32))
                    total += 0 if mesh is None else mesh[:, :2]
                    log.look(frame)
                bar.update()
    whole = np.stack(looks)
    n_found = int(np.isfinite(whole[:, 0, 0]).sum())
    if not n_found:
        raise InputError(
            f"{film.path}: no face is found in any frame; film a face from the front, in good light"
        )
    return _assembled((fps, size, times), step, whole, jumps, log, total / n_found)


def _assembled(
    clock: tuple[float, tuple[int, int], np.ndarray],
    step: int,
    looks: np.ndarray,
    jumps: np.ndarray,
    log: QualityLog,
    mesh: np.ndarray,
) -> Track:
    """The track of a film from its looks, one every `step` frames."""
    fps, size, times = clock
    n, at = len(times), np.arange(len(looks)) * step
    has_face = np.isfinite(looks[:, 0, 0])
    breaks = _breaks(looks, jumps, at)
    most = max(1, round(LIMITS["gap"] * fps / step))
    looks, kept = _joined(looks, has_face, breaks, most)
    flags = log.flagged(has_face, np.zeros(len(looks), bool))
    nearest = np.minimum(np.round(np.arange(n) / step).astype(int), len(looks) - 1)
    axes, iod, angles = _pose(looks)
    cut = jumps.copy()
    for i in np.flatnonzero(breaks):
        cut[at[i - 1] + 1 : at[i] + 1] = True
    marks = {
        "face_lost": ~kept[nearest],
        "cut": cut,
        "turned": np.nan_to_num(np.abs(angles).max(axis=1))[nearest] > LIMITS["turned"],
        "several_faces": flags["several_faces"][nearest],
        "face_too_small": flags["face_too_small"][nearest],
    }

    def every(values: np.ndarray) -> np.ndarray:
        return _between(values, np.arange(n) / step)

    return Track(
        fps, size, times, every(looks[..., :2]), every(axes), every(iod), every(angles), marks, mesh,
        Seen(*(part[nearest] for part in log.seen(len(looks)))),
    )  # fmt: skip


def _at(looks: np.ndarray, landmark: int) -> np.ndarray:
    """One landmark of every look, `(n, 3)`."""
    point: np.ndarray = looks[:, LANDMARKS.index(landmark)]
    return point


def _breaks(looks: np.ndarray, jumps: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Where a look has nothing to do with the one before it: a cut between them, or a face elsewhere: `(n,)` bool."""
    breaks = np.zeros(len(looks), bool)
    left, right = _at(looks, _LEFT), _at(looks, _RIGHT)
    middle, width = (left + right)[:, :2] / 2, np.hypot(*(right - left)[:, :2].T)
    with np.errstate(invalid="ignore"):
        moved = np.hypot(*np.diff(middle, axis=0).T) > LIMITS["jump"] * width[:-1]
        ratio = width[1:] / width[:-1]
        grown = np.maximum(ratio, 1 / ratio) > LIMITS["growth"]
    breaks[1:] = moved | grown
    for i in range(1, len(looks)):
        breaks[i] |= jumps[at[i - 1] + 1 : at[i] + 1].any()
    return breaks


def _joined(
    looks: np.ndarray, has_face: np.ndarray, breaks: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """The looks smoothed stretch by stretch, gaps of up to `most` filled; and which then have a face."""
    smoothed = np.full_like(looks, np.nan)
    seen = np.flatnonzero(has_face)
    ends = [i for i, (a, b) in enumerate(itertools.pairwise(seen), start=1)
            if b - a > most + 1 or breaks[a + 1 : b + 1].any()]  # fmt: skip
    for stretch in np.split(seen, ends):
        first, last = stretch[0], stretch[-1]
        flat = looks[stretch].reshape(len(stretch), -1)
        filled = _between(flat, np.interp(np.arange(first, last + 1), stretch, np.arange(len(stretch))))
        smoothed[first : last + 1] = _smooth(filled).reshape(-1, *looks.shape[1:])
    return smoothed, np.isfinite(smoothed[:, 0, 0])


def _smooth(values: np.ndarray) -> np.ndarray:
    """Weighted means of five looks, the same number before and after: no lag."""
    half = len(_KERNEL) // 2
    padded = np.pad(values, ((half, half), (0, 0)), mode="edge")
    parts = [weight * padded[i : i + len(values)] for i, weight in enumerate(_KERNEL / _KERNEL.sum())]
    return np.sum(parts, axis=0)


def _pose(looks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axes of the face in the picture `(n, 2, 2)`, inter-ocular distance from the front `(n,)`, angles `(n, 2)`."""
    right = _at(looks, _RIGHT) - _at(looks, _LEFT)
    down = _at(looks, _CHIN) - _at(looks, _TOP)
    iod = np.linalg.norm(right, axis=1)
    unit = [vector / np.linalg.norm(vector, axis=1, keepdims=True) for vector in (right, down)]
    angles = np.degrees(np.arcsin(np.clip(np.column_stack([vector[:, 2] for vector in unit]), -1, 1)))
    axes = np.stack([vector[:, :2] for vector in unit], axis=2)
    return axes.astype(np.float32), iod.astype(np.float32), angles.astype(np.float32)


def _between(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Rows of `values` at the places `at` (fractions are interpolated, NaN only where both neighbours are)."""
    low = np.clip(np.floor(at).astype(int), 0, len(values) - 1)
    high = np.minimum(low + 1, len(values) - 1)
    share = (np.clip(at, 0, len(values) - 1) - low).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    a, b = values[low], values[high]
    a, b = np.where(np.isfinite(a), a, b), np.where(np.isfinite(b), b, a)
    mixed: np.ndarray = (1 - share) * a + share * b
    return mixed
