"""What a network makes of a film, and what it makes of it once movements are planted: only what changes is measured anew.

The film is measured once as it is.  For every round of plantings the windows that hold a planted frame are measured again,
and of these only the frames that can differ: the planted ones, those after them while the crop lies elsewhere than
before, and all of a window whose reference frame is planted.  Put together with what is known of the rest, that is what an
analysis of the planted film would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from metst_core.errors import InputError
from metst_core.footage.films import Film
from metst_core.footage.track import Track
from metst_core.footage.warp import warp
from metst_core.inference import TrainedModel, intervals_of, motion_contrast, motion_path, naming
from metst_core.landmarks import Landmarker, one_at_a_time
from metst_core.models import predict_windows
from metst_core.motion import WindowTracker, stream_motion
from metst_core.rois import Bounds
from metst_core.synthetic import Event, intensity_of
from metst_core.video import read_frames, resample_map, resampled_numbers
from metst_core.windows import stitch
from metst_core.workers import one_opencv_thread, one_thread, prefetched

THREADS = 2
"""Windows that are measured at the same time; the numbers do not depend on it."""

_EDGE = (
    8  # pixels that a crop must stay off the picture's top and left for its place to follow from its shift
)
_AHEAD = 4  # frames read before they are wanted
_MOST_WAITING = 12  # windows handed to the threads and not yet done

Answers = tuple[np.ndarray, np.ndarray]
"""Score `(n_windows, k)` and class probabilities `(n_windows, k, 5)` of windows, each by itself."""


@dataclass(frozen=True, eq=False)
class FilmMotion:
    """A film as a network sees it, at the model's rate: n frames, in windows of k.

    numbers: `(n,)` the film's frame that each frame shows.  starts: `(n_windows,)`.  motion: `(n_windows, C, k)`.
    shift: `(n_windows, 2, k)`, how far the crop had followed the head.  has_face: `(n,)` bool.
    answers: of the windows, see `Answers`.
    """

    film: Film
    model: TrainedModel
    face: Track
    landmarker: Landmarker = field(repr=False)
    numbers: np.ndarray
    starts: np.ndarray
    motion: np.ndarray
    shift: np.ndarray
    has_face: np.ndarray
    answers: Answers

    @property
    def n_frames(self) -> int:
        return len(self.numbers)

    @property
    def minutes(self) -> float:
        """Minutes with a face."""
        return float(self.has_face.sum()) / self.model.fps / 60

    def of(self, model: TrainedModel) -> FilmMotion:
        """The same motion as another network sees it, which reads the same features in the same windows."""
        with one_thread():
            answers = predict_windows(model.network, self.motion)
        return replace(self, model=model, answers=answers)

    def within(self, frames: np.ndarray) -> FilmMotion:
        """The same film as if there were a face in some of its frames `(n,)` bool alone."""
        return replace(self, has_face=self.has_face & frames)

    def with_motion(self, changed: Mapping[int, np.ndarray]) -> np.ndarray:
        """Motion of all windows, with that of some exchanged (window -> `(C, k)`)."""
        motion = self.motion.copy()
        for row, values in changed.items():
            motion[row] = values
        return motion

    def with_windows(self, changed: Mapping[int, np.ndarray]) -> tuple[np.ndarray, Answers]:
        """Motion and answers of all windows, with the motion of some exchanged (window -> `(C, k)`)."""
        motion = self.with_motion(changed)
        if not changed:
            return motion, self.answers
        rows = list(changed)
        score, probabilities = self.answers[0].copy(), self.answers[1].copy()
        with one_thread():
            score[rows], probabilities[rows] = predict_windows(self.model.network, motion[rows])
        return motion, (score, probabilities)

    def finds(self, answers: Answers, motion: np.ndarray | None = None) -> pd.DataFrame:
        """The intervals that are found, a prediction table in frames of the model's rate.

        motion: that of all windows, where it is not that of the film as it is.  One window speaks for each frame, as in
        `analyse(..., phases=1)`.
        """
        score, probabilities = (stitch(part, self.n_frames) for part in answers)
        score = np.where(self.has_face, score, 0.0)
        path = motion_path(self.motion if motion is None else motion, self.n_frames)
        return intervals_of(self.model, score, probabilities, path, self.film.subject, self.film.video)

    def contrast(self, motion: np.ndarray) -> np.ndarray:
        """The plain rival's score `(n,)`: motion that comes and goes, 0 where there is no face."""
        contrast: np.ndarray = np.where(
            self.has_face, motion_contrast(motion, self.model.k_p, self.n_frames), 0.0
        )
        return contrast

    def in_model_frames(self, events: Sequence[Event]) -> np.ndarray:
        """Onset, apex and offset of events (frames of the film) in frames of the model's rate, `(n_events, 3)`."""
        rows = np.array([(e.onset, e.apex, e.offset) for e in events], np.int64).reshape(-1, 3)
        return resampled_numbers(self.face.times, self.model.fps, rows.ravel()).reshape(-1, 3)


def measure(
    film: Film, model: TrainedModel, face: Track, landmarker: Landmarker, progress: bool = True
) -> FilmMotion:
    """Motion and answers of a film as it is; `face` is its track."""
    if model.is_aligned:
        raise InputError(
            f'the weights {model.name!r} read aligned frames, and limits are measured in windows; use "bundled" or a network '
            "of your own (what these weights find is in data/model_card.md)"
        )
    numbers = resample_map(face.times, model.fps)
    find = one_at_a_time(landmarker)
    windows = []
    bar = tqdm(total=len(numbers), desc=f"{film.video[:30]}: motion", unit="frame", disable=not progress)
    with naming(film.path), bar, one_opencv_thread(), prefetched(_grey(film, numbers, bar), _AHEAD) as frames:
        for window in stream_motion(frames, find, model.features, model.window, n_threads=THREADS):
            windows.append(window)
    with one_thread():
        answers = predict_windows(model.network, np.stack([w.motion for w in windows]))
    has_face = np.zeros(len(numbers), bool)
    for window in windows:  # a later window speaks for its second half alone, and then for itself
        first = window.start if window.start == 0 else window.start + model.window // 2
        has_face[first : window.start + len(window.has_face)] = window.has_face[first - window.start :]
    return FilmMotion(
        film, model, face, find, numbers,
        starts=np.array([w.start for w in windows]),
        motion=np.stack([w.motion for w in windows]),
        shift=np.stack([w.shift for w in windows]),
        has_face=has_face & ~face.marks["face_lost"][numbers],
        answers=answers,
    )  # fmt: skip


def _grey(film: Film, numbers: np.ndarray, bar: tqdm) -> Iterator[np.ndarray]:
    for frame in read_frames(film.path, numbers):
        yield cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        bar.update()


def measure_planted(
    base: FilmMotion, rounds: Sequence[Sequence[Event]], progress: bool = True
) -> list[dict[int, np.ndarray]]:
    """For each round of events (frames of the film): the windows that they change, with their motion `(C, k)`."""
    plantings = [_Planting.of(base, events) for events in rounds]
    wanted = [
        [
            number
            for number, planting in enumerate(plantings)
            if planting.changed[s : s + base.model.window].any()
        ]
        for s in base.starts.tolist()
    ]
    found: list[dict[int, np.ndarray]] = [{} for _ in rounds]
    waiting: list[tuple[int, int, Future[np.ndarray]]] = []

    def collect(most: int) -> None:
        while len(waiting) > most:
            number, window, done = waiting.pop(0)
            found[number][window] = done.result()

    bar = tqdm(
        total=sum(map(len, wanted)),
        desc=f"{base.film.video[:30]}: planted",
        unit="window",
        disable=not progress,
    )
    with naming(base.film.path), bar, one_opencv_thread(), ThreadPoolExecutor(THREADS) as pool:
        for window, frames in _windows_of_frames(base, [bool(each) for each in wanted]):
            for number in wanted[window]:
                waiting.append(
                    (number, window, pool.submit(_remeasured, base, window, frames, plantings[number]))
                )
                bar.update()
            collect(_MOST_WAITING)
        collect(0)
    return found


@dataclass(frozen=True, eq=False)
class _Planting:
    """A round: `intensity (T, U)` in frames of the film; `changed (n,)`, which frames of the model's rate it changes.

    Its warped frames are kept by number: windows that overlap share them.
    """

    intensity: np.ndarray
    changed: np.ndarray
    warped: dict[int, np.ndarray]

    @classmethod
    def of(cls, base: FilmMotion, events: Sequence[Event]) -> _Planting:
        intensity = intensity_of(events, base.face.n_frames)
        moving: np.ndarray = np.any(intensity, axis=1)
        return cls(intensity, moving[base.numbers], {})

    def frame(self, base: FilmMotion, number: int, grey: np.ndarray) -> np.ndarray:
        """Frame `number` (of the model's rate) with what is planted."""
        if not self.changed[number]:
            return grey
        if number not in self.warped:
            source = int(base.numbers[number])
            self.warped[number] = warp(grey, base.face, source, self.intensity[source])
            for old in [n for n in list(self.warped) if n < number - 2 * base.model.window]:
                self.warped.pop(old, None)
        return self.warped[number]


def _windows_of_frames(base: FilmMotion, wanted: list[bool]) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Every wanted window with its grey frames, read once."""
    starts, k = base.starts.tolist(), base.model.window
    ahead = [w for w in range(len(starts)) if wanted[w]]
    kept: dict[int, np.ndarray] = {}
    reading = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in read_frames(base.film.path, base.numbers))
    with prefetched(reading, _AHEAD) as frames:
        for number, grey in enumerate(frames):
            if not ahead:
                return
            if number >= starts[ahead[0]]:
                kept[number] = grey
            while ahead and number == min(starts[ahead[0]] + k, base.n_frames) - 1:
                window = ahead.pop(0)
                yield window, [kept[i] for i in range(starts[window], number + 1)]
                until = starts[ahead[0]] if ahead else number + 1
                for old in [i for i in kept if i < until]:
                    del kept[old]


def _remeasured(base: FilmMotion, window: int, frames: list[np.ndarray], planting: _Planting) -> np.ndarray:
    """The motion of a window with what is planted, `(C, k)`; where nothing can differ it is what it was."""
    start = int(base.starts[window])
    changed = planting.changed[start : start + len(frames)]
    motion = base.motion[window].copy()
    tracker = WindowTracker(base.landmarker, base.model.features)
    tracker.step(planting.frame(base, start, frames[0]))
    place = None if changed[0] else _place_before(tracker, base.shift[window])
    in_step = place is not None
    for t in range(1, len(frames)):
        if in_step and not changed[t]:
            continue
        if in_step and place is not None:
            tracker.place = place(t - 1)
        motion[:, t] = tracker.step(planting.frame(base, start + t, frames[t]))
        in_step = place is not None and tracker.place == place(t)
    motion[:, len(frames) :] = motion[:, [len(frames) - 1]]
    return motion


def _place_before(tracker: WindowTracker, shift: np.ndarray) -> Callable[[int], Bounds] | None:
    """Where the crop of the unplanted window lay at each of its frames; None where that does not follow from the shift."""
    if tracker.reference is None:
        return None
    first = tracker.reference.place
    if first.top + shift[1].min() < _EDGE or first.left + shift[0].min() < _EDGE:
        return None

    def place(t: int) -> Bounds:
        x, y = shift[:, t].tolist()
        return Bounds(first.top + y, first.bottom + y, first.left + x, first.right + x)

    return place
