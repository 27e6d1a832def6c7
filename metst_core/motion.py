"""From frames to ROI motion: the official features of ME-TST and ME-TST+ (arXiv 2409.09707, 2508.08082).

A window's first frame with a face is its *reference*.  Its landmarks place a face crop of 320 x 320 pixels
and, on it, one box per part of the face.  For every later frame the optical flow (Farnebäck, 2003) from the
reference to that frame is computed in every box, and each ROI's motion is the *main-direction mean* of its
pixels: the mean flow of the share q of them that moved most.  The motion of the nose bridge is head motion:
the crop follows it, and what remains of it is subtracted from every ROI.

All motion is in pixels of the 320 crop, x to the right, y down, summed in float64 and returned as float32.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from metst_core import rois
from metst_core.checks import half_window, number_array, number_between, one_of, whole_number
from metst_core.errors import InputError
from metst_core.flow import FARNEBACK as FARNEBACK
from metst_core.flow import FlowFrom, flow_kernels
from metst_core.flow import box_flow as box_flow
from metst_core.landmarks import Landmarker, one_at_a_time
from metst_core.rois import BOXES, CROP_SIZE, REFERENCE, Bounds, Roi
from metst_core.workers import and_trouble, lanes

if TYPE_CHECKING:
    import pandas as pd

MAX_SHIFTS = 3
"""How often the crop may follow the head within one frame."""
SHIFT_ABOVE = 1.0
"""The crop follows the head while its motion's squared length (pixels of the crop) exceeds this."""

_INNER_EYE_CORNERS = (39, 42)
_IN_FLIGHT = (
    12  # frames that threads may be behind the reading: about what landmarks take at a window's start
)


def window_motion(
    frames: np.ndarray | Iterable[np.ndarray], landmarker: Landmarker, features: str = "metst_plus"
) -> np.ndarray:
    """ROI motion of one window: `(2R, k)` float32, the first column zero.

    frames: the window's k frames, uint8, grey `(k, H, W)` or RGB `(k, H, W, 3)`, as an array or any iterable.
        RGB is turned grey first (`cv2.COLOR_RGB2GRAY`); the landmarker sees grey images only.
    landmarker: see `metst_core.landmarks`.  It is called on whole frames until it finds a face, and then once
        on the 320 x 320 crop.
    features: "metst" (R = 5), "metst_plus" (R = 18) or "metst_plus_ref" (R = 19); channels are x, y of each ROI
        in the order of `rois.ROIS`, and at the end of "metst_plus_ref" the head motion that was subtracted.

    Frames before the first one with a face have zero motion, as has that reference frame itself; without any
    face everything is zero.  A face whose crop would be empty (inner eye corners less than two pixels apart
    or out of order, or the face outside the frame) counts as none.  See `WindowTracker` for the details.

    Raises `InputError` for no frames, frames of another type or of unequal size, or a landmarker's bad
    answer.
    """
    tracker = WindowTracker(landmarker, features)
    columns = [tracker.step(frame) for frame in _grey_frames(frames)]
    if not columns:
        raise InputError("a window without frames has no motion; give at least one frame")
    return np.stack(columns, axis=1).astype(np.float32)


def extract_motion(
    frames: np.ndarray | Iterable[np.ndarray],
    landmarker: Landmarker,
    features: str = "metst_plus",
    window: int = 50,
    tail: str = "keep",
) -> np.ndarray:
    """ROI motion of a video in half-overlapping windows: `(n_windows, 2R, window)` float32.

    Each window is `window_motion` of its own frames.  The video is streamed: only the crops of the two
    windows in flight are held.  `window` is even.  The official windowing (`tail="drop"`) makes
    `T // (k/2) - 1` windows and loses the last `T mod (k/2)` frames; with `tail="keep"` no frame is lost: one
    more window is started where needed, and the columns past the video's end repeat the last real one.  When
    T is a multiple of k/2 and at least k the two agree.

    Raises `InputError` for fewer than 2 frames, or fewer than `window` with `tail="drop"`.
    """
    return np.stack([part.motion for part in stream_motion(frames, landmarker, features, window, tail)])


class MotionWindow(NamedTuple):
    """One window of a video: its first frame, its motion, and which of its frames could be measured.

    The motion is `(2R, k)` float32; `(n,)` bool says for which of the n real frames there was a reference to measure
    against; n < k in a window that the video's end cuts.

    `head (2, k)` float32 is the motion of the reference box, which was subtracted from every ROI's; `shift (2, k)`
    int32 how far (x, y) the crop had followed the head by then, in pixels of the frame.
    """

    start: int
    motion: np.ndarray
    has_face: np.ndarray
    head: np.ndarray
    shift: np.ndarray


def unmeasured(features: str = "metst_plus", window: int = 50) -> MotionWindow:
    """The window of a film of one frame: there is nothing to compare it with, so its motion is zero."""
    n = 2 * len(rois.select_rois(features))
    nothing = np.zeros((2, window), np.float32)
    return MotionWindow(
        0, np.zeros((n, window), np.float32), np.zeros(1, bool), nothing, nothing.astype(np.int32)
    )


def stream_motion(
    frames: np.ndarray | Iterable[np.ndarray],
    landmarker: Landmarker,
    features: str = "metst_plus",
    window: int = 50,
    tail: str = "keep",
    n_threads: int = 1,
    phases: Sequence[int] = (0,),
) -> Generator[MotionWindow, None, None]:
    """The windows of `extract_motion` one by one, each as soon as its last frame has been read.

    n_threads: so many of the windows that overlap on a frame (two per phase) are measured at the same time (the
        landmarker is still asked for one image at a time); the numbers are the same.  With two or more, frames are
        read some way ahead, so an iterable must not overwrite those that it has given.
    phases: the frames at which windowing begins, different ones from 0 to k/2 - 1.  The windows whose `start` is
        phase + i k/2 are those of a run on the frames from that phase on; the frames are read once for all.  A phase
        after which there are fewer than 2 frames has no window.
    """
    half = half_window(window)
    one_of("tail", tail, ("keep", "drop"))
    n_threads = whole_number("n_threads", n_threads, 1)
    phases = _checked_phases(phases, half)
    WindowTracker(landmarker, features)  # a wrong argument is an error here, not at the first frame
    tracker = partial(WindowTracker, one_at_a_time(landmarker), features)
    return _stream(_grey_frames(frames), tracker, half, tail, n_threads, phases)


def _checked_phases(phases: Sequence[int], half: int) -> tuple[int, ...]:
    try:
        numbers = tuple(whole_number("a phase", phase, 0) for phase in phases)
    except TypeError:  # not a sequence
        numbers = ()
    if not numbers or len(set(numbers)) < len(numbers) or max(numbers) >= half:
        raise InputError(
            f"phases is {phases!r}; give different first frames from 0 to {half - 1}, half a window less one"
        )
    return numbers


def _stream(
    frames: Iterator[np.ndarray],
    tracker: Callable[[], WindowTracker],
    half: int,
    tail: str,
    n_threads: int,
    phases: tuple[int, ...],
) -> Generator[MotionWindow, None, None]:
    window = 2 * half
    open_windows: list[_OpenWindow] = []
    in_flight: deque[_InFlight] = deque()
    n_frames = n_trackers = 0
    trouble: Exception | None = None
    with lanes(n_threads) as submit:
        for frame in and_trouble(frames):
            if isinstance(frame, Exception):
                trouble = frame
                break
            if n_frames % half in phases:
                # Windows that still wait for a face will all have the same reference, and so the same motion.
                if open_windows and not open_windows[-1].has_reference():
                    shared = open_windows[-1]
                    open_windows.append(_OpenWindow(n_frames, shared.tracker, shared.lane))
                else:  # windows that overlap lie in different lanes, as far as there are lanes
                    open_windows.append(_OpenWindow(n_frames, tracker(), n_trackers))
                    n_trackers += 1
            steps: dict[WindowTracker, Future[_Step]] = {}
            for each in open_windows:
                if each.tracker not in steps:
                    steps[each.tracker] = submit(each.lane, _step, each.tracker, frame)
                each.steps.append(steps[each.tracker])
            n_frames += 1
            is_full = bool(open_windows) and len(open_windows[0].steps) == window
            in_flight.append((list(steps.values()), open_windows.pop(0) if is_full else None))
            if n_threads == 1 or len(in_flight) > _IN_FLIGHT:
                yield from _arrived(in_flight, window)
        while in_flight:
            yield from _arrived(in_flight, window)
    if trouble is not None:
        raise trouble
    longest = n_frames - min(phases)
    if longest < 2:
        raise InputError(f"a video of {max(0, longest)} frame(s) holds no motion; give 2 frames or more")
    if tail == "drop":
        shortest = n_frames - max(phases)
        if shortest < window:
            raise InputError(
                f"a video of {shortest} frames is shorter than one window of {window}; "
                "use tail='keep' or a smaller window"
            )
        return
    # A phase's last window is needed only where its first half is not the second half of the one before.
    for each in open_windows:
        is_first = each.start in phases and len(each.steps) > 1
        if each.start + half < n_frames or is_first:
            yield each.close(window)


class _Step(NamedTuple):
    """What a tracker tells after a frame: the parts of a `MotionWindow` for it."""

    motion: np.ndarray
    has_face: bool
    head: np.ndarray
    shift: np.ndarray


def _step(tracker: WindowTracker, frame: np.ndarray) -> _Step:
    return _Step(tracker.step(frame), tracker.reference is not None, tracker.head, tracker.shift)


class _OpenWindow:
    """A window that is still waiting for frames; `lane` is where its tracker's steps are made, in their order."""

    def __init__(self, start: int, tracker: WindowTracker, lane: int) -> None:
        self.start = start
        self.tracker = tracker
        self.lane = lane
        self.steps: list[Future[_Step]] = []

    def has_reference(self) -> bool:
        """Whether a face was found so far; waits for the threads where that is still open."""
        return self.tracker.reference is not None or self.steps[-1].result().has_face

    def close(self, window: int) -> MotionWindow:
        steps = [step.result() for step in self.steps]
        filled = steps + [steps[-1]] * (window - len(steps))
        return MotionWindow(
            self.start,
            np.stack([step.motion for step in filled], axis=1).astype(np.float32),
            np.array([step.has_face for step in steps]),
            np.stack([step.head for step in filled], axis=1).astype(np.float32),
            np.stack([step.shift for step in filled], axis=1).astype(np.int32),
        )


_InFlight = tuple[list[Future[_Step]], _OpenWindow | None]
"""The steps that a frame has set going, and the window that it ends, if it ends one."""


def _arrived(in_flight: deque[_InFlight], window: int) -> Iterator[MotionWindow]:
    """Wait for the first frame in flight; yields the window that it ends."""
    steps, ended = in_flight.popleft()
    for step in steps:
        step.result()
    if ended is not None:
        yield ended.close(window)


@dataclass(frozen=True)
class Reference:
    """A window's reference frame: the face crop, where it was cut, and the points on it.

    The crop is (320, 320), the points are (68, 2) int.
    """

    crop: np.ndarray
    place: Bounds
    points: np.ndarray


def find_reference(frame: np.ndarray, landmarker: Landmarker) -> Reference | None:
    """The face crop of a grey frame (H, W) and its landmarks, in two passes; None without a (usable) face.

    The landmarker is called on the frame to place the crop, and on the crop to place the ROIs.  When it finds
    no face on the crop, the (rounded) points of the first pass are mapped there, scaled from the crop's
    corner.
    """
    found = landmarker(frame)
    if found is None:
        return None
    points = rois.round_points(found)
    place = crop_place(points)
    crop = cut_crop(frame, place)
    if crop is None:
        return None
    on_crop = landmarker(crop)
    if on_crop is None:
        height, width = frame[place.slices].shape
        on_crop = (points - (place.left, place.top)) * (CROP_SIZE / width, CROP_SIZE / height)
    return Reference(crop, place, rois.round_points(on_crop))


def crop_place(points: np.ndarray) -> Bounds:
    """Where the face crop lies in the frame, from the rounded points (68, 2) of the whole frame.

    The unit is half the distance g of the inner eye corners, the origin their midpoint: rows -3.5g .. 5.5g,
    columns -4.5g .. 4.5g.  Top and left are clipped at 0; bottom and right may lie past the frame's end.
    """
    (x1, y1), (x2, y2) = points[list(_INNER_EYE_CORNERS)].tolist()
    g = int((x2 - x1) / 2)
    cx, cy = int((x1 + x2) / 2), int((y1 + y2) / 2)
    return Bounds(max(0, cy - int(3.5 * g)), cy + int(5.5 * g), max(0, cx - int(4.5 * g)), cx + int(4.5 * g))


def cut_crop(frame: np.ndarray, place: Bounds) -> np.ndarray | None:
    """The part of a grey frame at `place`, resized (bilinear) to 320 x 320; None where it holds no pixel.

    A negative bottom or right (a crop moved out of the frame) holds none; it is not counted from the far end.
    """
    if place.bottom <= 0 or place.right <= 0:
        return None
    part = frame[place.slices]
    if not part.size:
        return None
    return cv2.resize(part, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_LINEAR)


class WindowTracker:
    """Measures motion frame by frame against the first frame with a face.

    Landmarks, crop and boxes come from that reference frame.  In every later frame the crop is cut at the
    same place, moved by the shifts made so far in the window.  While the head motion there is longer than 1
    pixel of the crop, at most 3 times per frame, all four bounds of the crop move by the rounded head motion
    (crop pixels, taken as frame pixels without scaling), with left and top held at 0, and head motion is
    measured again.  What is left of it is subtracted from every ROI, also from an empty one.

    A crop that has been moved out of the frame leaves every ROI empty: its motion is then 0.

    `reference` and `place` (the crop's present place in the frame) may be read, for plots, and after each step
    `head`, the motion (2,) of the reference box that was subtracted.  With the features "metst_plus_ref" it is
    also the last ROI's.
    """

    def __init__(self, landmarker: Landmarker, features: str = "metst_plus") -> None:
        self.landmarker = _checked_landmarker(landmarker)
        self.rois = tuple(roi for roi in rois.select_rois(features) if roi is not REFERENCE)
        self._shows_head = REFERENCE in rois.select_rois(features)
        self.head = np.zeros(2)
        self.reference: Reference | None = None
        self.place: Bounds | None = None
        self._head: _BoxFlow | None = None
        self._boxes: list[_BoxFlow] = []

    def step(self, frame: np.ndarray) -> np.ndarray:
        """Motion of the next grey frame (H, W): `(2R,)` float64, x and y of each ROI."""
        motion = np.zeros((len(self.rois), 2))
        if self.reference is None:
            self._start(frame)
        else:
            crop, self.head = self._follow_head(frame)
            if crop is not None:
                motion = _all_motion(self._boxes, crop, len(self.rois)) - self.head
        return np.vstack([motion, self.head]).ravel() if self._shows_head else motion.ravel()

    @property
    def shift(self) -> np.ndarray:
        """How far the crop has followed the head since the reference frame: (2,) x, y in whole frame pixels."""
        if self.reference is None or self.place is None:
            return np.zeros(2, int)
        before = self.reference.place  # bottom and right are never held at the frame's edge
        return np.array([self.place.right - before.right, self.place.bottom - before.bottom])

    def _start(self, frame: np.ndarray) -> None:
        self.reference = find_reference(frame, self.landmarker)
        if self.reference is None:
            return
        self.place = self.reference.place
        [self._head] = _box_flows(self.reference, [REFERENCE])
        self._boxes = _box_flows(self.reference, self.rois)

    def _follow_head(self, frame: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """The crop of `frame` after following the head, and the head motion (2,) that remains."""
        assert self._head is not None and self.place is not None
        crop, head = self._measure_head(frame)
        for _ in range(MAX_SHIFTS):
            if head @ head <= SHIFT_ABOVE:
                break
            dx, dy = np.rint(head).astype(int).tolist()
            top, bottom, left, right = self.place
            self.place = Bounds(max(0, top + dy), bottom + dy, max(0, left + dx), right + dx)
            crop, head = self._measure_head(frame)
        return crop, head

    def _measure_head(self, frame: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        assert self._head is not None and self.place is not None
        crop = cut_crop(frame, self.place)
        return crop, np.zeros(2) if crop is None else self._head.motion(crop)[0]


class _BoxFlow:
    """One box of the reference crop and the ROIs that read its flow; `indices` are their places in the result."""

    def __init__(self, reference: Reference, name: str, members: Sequence[tuple[int, Roi]]) -> None:
        self.slices = BOXES[name].bounds(reference.points).slices
        self.indices = [index for index, _ in members]
        before = reference.crop[self.slices]
        regions = [roi.region(reference.points) for _, roi in members]
        self.regions = np.array([_within(region, before.shape) for region in regions])
        self.shares = np.array([roi.q for _, roi in members])
        self.flow = None if all(region.empty for region in regions) else FlowFrom(before)

    def motion(self, crop: np.ndarray) -> np.ndarray:
        """Main-direction mean of every ROI of the box on another crop (320, 320): `(n, 2)` float64."""
        if self.flow is None:
            return np.zeros((len(self.regions), 2))
        means: np.ndarray = flow_kernels().main_direction_means(
            self.flow.to(crop[self.slices]), self.regions, self.shares
        )
        return means


def _within(region: Bounds, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what a region holds of an array of that shape."""
    (top, bottom, _), (left, right, _) = (s.indices(n) for s, n in zip(region.slices, shape, strict=True))
    return top, bottom, left, right


def _box_flows(reference: Reference, members: Sequence[Roi]) -> list[_BoxFlow]:
    """The ROIs' boxes, each once."""
    by_box: dict[str, list[tuple[int, Roi]]] = {}
    for index, roi in enumerate(members):
        by_box.setdefault(roi.box, []).append((index, roi))
    return [_BoxFlow(reference, name, inside) for name, inside in by_box.items()]


def _all_motion(boxes: Sequence[_BoxFlow], crop: np.ndarray, n: int) -> np.ndarray:
    """Motion of all `n` ROIs of the boxes on a crop, `(n, 2)` float64; head motion is still in it."""
    motion = np.zeros((n, 2))
    for box in boxes:
        motion[box.indices] = box.motion(crop)
    return motion


def main_direction_mean(flow: np.ndarray, q: float) -> np.ndarray:
    """Mean (2,) float64 of the share `q` of flow vectors (..., 2) that are longest; (0, 0) where there is none.

    Sorted by length, stable, the n vectors from index `int(n * (1 - q))` on are averaged (at least the last):
    of equally long ones at the cut, those that come later in the array.  Lengths are compared as float64
    squares.
    """
    q = number_between("q", q, 0, 1)
    flow = number_array("flow", flow, "vectors (dx, dy) as (..., 2)")
    if flow.ndim < 1 or flow.shape[-1] != 2:
        raise InputError(f"flow has shape {flow.shape}; it must be (..., 2), vectors (dx, dy)")
    vectors = np.ascontiguousarray(flow).reshape(1, -1, 2)
    everything = np.array([(0, 1, 0, vectors.shape[1])])
    means: np.ndarray = flow_kernels().main_direction_means(vectors, everything, np.array([q]))
    return means[0]


def landmark_jitter(frames: np.ndarray | Iterable[np.ndarray], landmarker: Landmarker) -> pd.DataFrame:
    """How still the features are where the face is still: landmarks against ROI motion, per frame and ROI.

    The crop stays where the first frame with a face put it.  Four measures of the displacement since that
    frame, in pixels of the 320 crop, one row per frame, measure and ROI (18), with columns `frame, measure,
    roi, dx, dy`:

    * `landmark`: of the mean of the ROI's landmarks, found anew on each frame's crop;
    * `landmark_corrected`: the same, minus that of the nose bridge's landmarks;
    * `motion`: the ROI's main-direction mean of the optical flow;
    * `motion_corrected`: the same, minus that of the nose bridge (what `window_motion` gives while the crop
      does not move).

    Frames before the first face are left out; a frame on whose crop no face is found has no `landmark` rows.
    Raises `InputError` when no frame holds a face.
    """
    import pandas as pd  # a third of a second, for this function alone

    _checked_landmarker(landmarker)
    members = (*rois.ROIS, REFERENCE)
    names = rois.roi_names()
    reference = None
    rows = []
    for number, frame in enumerate(_grey_frames(frames)):
        if reference is None:
            reference = find_reference(frame, landmarker)
            if reference is None:
                continue
            boxes = _box_flows(reference, members)
            found = landmarker(reference.crop)
            at_first = _roi_points(reference.points if found is None else found, members)
        crop = cut_crop(frame, reference.place)
        if crop is None:
            raise InputError(f"frame {number} does not reach the face crop")
        measures = {"motion": _all_motion(boxes, crop, len(members))}
        points = landmarker(crop)
        if points is not None:
            measures["landmark"] = _roi_points(points, members) - at_first
        for measure, moved in measures.items():
            for name, values in ((measure, moved[:-1]), (f"{measure}_corrected", moved[:-1] - moved[-1])):
                rows += [(number, name, roi, *pair) for roi, pair in zip(names, values.tolist(), strict=True)]
    if not rows:
        raise InputError("no face was found on any frame; give frames that show one")
    return pd.DataFrame(rows, columns=["frame", "measure", "roi", "dx", "dy"])


def _roi_points(points: np.ndarray, members: Sequence[Roi]) -> np.ndarray:
    """Where each ROI's landmarks are on average: `(n, 2)`."""
    spans = [
        (BOXES[r.box].first, BOXES[r.box].last) if r.landmark is None else (r.landmark, r.landmark + 1)
        for r in members
    ]
    return np.array([np.asarray(points[first:last], dtype=float).mean(axis=0) for first, last in spans])


def _checked_landmarker(landmarker: Landmarker) -> Landmarker:
    if not callable(landmarker):
        raise InputError(
            f"landmarker is {landmarker!r}; give a function from an image to its 68 points, for instance "
            "MediaPipeLandmarker()"
        )
    return landmarker


def _grey_frames(frames: np.ndarray | Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames as grey (H, W) uint8 images, checked one by one."""
    if isinstance(frames, str | bytes) or not isinstance(frames, Iterable):
        raise InputError(
            f"frames is {frames!r}; give an array or an iterable of images (metst_core.video.read_frames opens "
            "a file)"
        )
    return _checked_frames(frames)


def _checked_frames(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    shape = None
    for number, frame in enumerate(frames):
        frame = number_array(f"frame {number}", frame, "(H, W) grey or (H, W, 3) RGB in uint8")
        is_image = frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 3)
        if frame.dtype != np.uint8 or not is_image or not frame.size:
            raise InputError(
                f"frame {number} has shape {frame.shape} and type {frame.dtype}; "
                "frames are (H, W) grey or (H, W, 3) RGB in uint8"
            )
        if shape is not None and frame.shape != shape:
            raise InputError(
                f"frame {number} has shape {frame.shape}, the frames before it {shape}; resize them to one"
            )
        shape = frame.shape
        yield np.ascontiguousarray(frame) if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
