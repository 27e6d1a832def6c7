"""The film again: the face of every interval frame by frame, and the whole film with its score."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from metst_core import rois
from metst_core.inference import Findings, alone
from metst_core.motion import BOXES, WindowTracker, box_flow, cut_crop, find_reference
from metst_core.pipeline.exports import confidence_text
from metst_core.video import nearest_in_map, read_frames, resample_map, write_video
from metst_core.workers import one_opencv_thread, prefetched

MOST_CLIPS = 12
"""How many intervals, those with the highest scores, are shown frame by frame."""

_STILL_SIDE = 640  # pixels of the longer side of a whole frame on the page
_FOLLOWED = (240, 228, 66)  # the followed face, where there are several: yellow
_CONTEXT = 8  # frames shown before the onset and after the offset
_FRAMES_AHEAD = 4  # read by a thread while others are drawn on
_FLOW_STEP = 10  # pixels of the crop between two flow arrows


# --- the face of an interval ----------------------------------------------------------------------
@dataclass(frozen=True)
class Clip:
    """One interval frame by frame, at the model's rate.

    number: the interval's row.  onset, apex, offset: places in the clip.  numbers, seconds: source frame and time of
    every frame.  pictures: JPEG bytes of the face crop.  boxes: ROI -> bounds on the 320 crop.  motion `(2R, n)`:
    ROI motion against the clip's first frame with a face.  flow `(m, 4)`: x, y, dx, dy at the apex, head motion
    subtracted; pixels of the crop.
    """

    number: int
    onset: int
    apex: int
    offset: int
    numbers: np.ndarray
    seconds: np.ndarray
    pictures: list[bytes]
    boxes: dict[str, rois.Bounds]
    motion: np.ndarray
    flow: np.ndarray


def clips_of(result: Findings, most: int = MOST_CLIPS, progress: bool = False) -> list[Clip]:
    """The `most` intervals with the highest scores, in order of time, in one pass over the video."""
    frame_map = resample_map(result.times, result.model.fps)
    last = int(nearest_in_map(frame_map, [max(0, result.n_analysed - 1)])[0])
    chosen = result.table.nlargest(most, "score").sort_index()
    waiting = [_Recorder(result, frame_map, last, row) for row in chosen.itertuples()]
    if not waiting:
        return []
    wanted = np.unique(np.concatenate([np.arange(each.start, each.stop + 1) for each in waiting]))
    with (
        one_opencv_thread(),
        prefetched(read_frames(result.path, frame_map[wanted]), _FRAMES_AHEAD) as frames,
    ):
        passing = _bar(frames, "pictures for the page", len(wanted), progress)
        for number, frame in zip(wanted.tolist(), passing, strict=False):
            for recorder in waiting:
                if recorder.start <= number <= recorder.stop:
                    recorder.add(frame)
    return [clip for clip in (recorder.clip() for recorder in waiting) if clip is not None]


def _bar(frames: Iterator[np.ndarray], what: str, total: int, progress: bool) -> Iterator[np.ndarray]:
    return iter(tqdm(frames, what, total, leave=False, unit="frame", disable=not progress))


@dataclass(frozen=True)
class Still:
    """One frame of a film, and what the method saw on it: for every film, also where nothing is found.

    number, seconds: the frame and its time.  picture: JPEG of the whole frame, `width` x `height` pixels on the page.
    face, crop: left, top, right, bottom of the followed face and of the crop in these pixels, None without a face.
    crop_picture: JPEG of the crop; boxes: ROI -> bounds on it.
    """

    number: int
    seconds: float
    picture: bytes
    width: int
    height: int
    face: tuple[float, float, float, float] | None = None
    crop: tuple[float, float, float, float] | None = None
    crop_picture: bytes | None = None
    boxes: dict[str, rois.Bounds] = field(default_factory=dict)


def still_of(result: Findings) -> Still:
    """The frame with the highest score where the face was seen, else the one in the middle of what was analysed."""
    measured = result.measured
    score = np.where(np.isfinite(measured.bounds).all(axis=1), result.smoothed, np.nan)
    number = int(np.nanargmax(score)) if np.isfinite(score).any() else max(0, result.n_analysed - 1) // 2
    with one_opencv_thread():
        frame = next(iter(read_frames(result.path, [number])))
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        several = measured.n_faces[number] > 1
        reference = find_reference(
            alone(grey, measured.bounds[number]) if several else grey, result.landmarker
        )
        height, width = frame.shape[:2]
        scale = min(1.0, _STILL_SIDE / max(height, width))
        size = max(1, round(scale * width)), max(1, round(scale * height))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame
        still = Still(number, float(result.times[number]), _jpeg(small), *size)
        bounds = measured.bounds[number]
        if np.isfinite(bounds).all():
            left, top, right, bottom = (scale * bounds).tolist()
            still = replace(still, face=(left, top, right, bottom))
        if reference is None:
            return still
        place = reference.place
        crop = cut_crop(frame, place)
        edges = (place.left, place.top, min(place.right, width), min(place.bottom, height))
        left, top, right, bottom = (scale * edge for edge in edges)
        return replace(
            still, crop=(left, top, right, bottom), crop_picture=None if crop is None else face_jpeg(crop),
            boxes=rois.rois_on_crop(reference.points, result.model.features),
        )  # fmt: skip


class _Recorder:
    """Collects one clip while the video passes by."""

    def __init__(self, result: Findings, frame_map: np.ndarray, last: int, row: Any) -> None:
        ends = nearest_in_map(frame_map, [row.onset, row.apex, row.offset]).tolist()
        self.start, self.stop = max(0, ends[0] - _CONTEXT), min(last, ends[2] + _CONTEXT)
        self._row, self._places = row.Index, [end - self.start for end in ends]
        self._numbers = frame_map[self.start : self.stop + 1]
        self._seconds = result.times[self._numbers]
        self._features = result.model.features
        self._tracker = WindowTracker(result.landmarker, self._features)
        self._pictures: list[bytes] = []
        self._motion: list[np.ndarray] = []
        self._flow = np.zeros((0, 4))
        self._measured = result.measured

    def add(self, frame: np.ndarray) -> None:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        number = self._numbers[len(self._motion)]
        if self._tracker.reference is None and self._measured.n_faces[number] > 1:
            grey = alone(grey, self._measured.bounds[number])
        self._motion.append(self._tracker.step(grey))
        reference, place = self._tracker.reference, self._tracker.place
        crop = frame if place is None else cut_crop(frame, place)
        self._pictures.append(face_jpeg(frame if crop is None else crop))
        if len(self._motion) - 1 == self._places[1] and reference is not None and place is not None:
            now = cut_crop(grey, place)
            if now is not None:
                self._flow = _dense_flow(reference.crop, now, reference.points, self._features)

    def clip(self) -> Clip | None:
        """What was collected; None if no face was found in it."""
        if self._tracker.reference is None:
            return None
        n = len(self._pictures)
        onset, apex, offset = (min(place, n - 1) for place in self._places)
        boxes = rois.rois_on_crop(self._tracker.reference.points, self._features)
        return Clip(
            self._row, onset, apex, offset, self._numbers[:n], self._seconds[:n], self._pictures, boxes,
            np.stack(self._motion, axis=1), self._flow,
        )  # fmt: skip


def _dense_flow(before: np.ndarray, now: np.ndarray, points: np.ndarray, features: str) -> np.ndarray:
    """Arrows (m, 4) of the flow inside the boxes, without the motion of the nose bridge."""
    arrows, seen = [], np.zeros(before.shape, bool)
    head = box_flow(
        before[BOXES["nose_bridge"].bounds(points).slices], now[BOXES["nose_bridge"].bounds(points).slices]
    )
    for bounds in rois.boxes_on_crop(points, features).values():
        if bounds.bottom - bounds.top < 8 or bounds.right - bounds.left < 8:
            continue
        flow = box_flow(before[bounds.slices], now[bounds.slices]) - np.median(head, axis=(0, 1))
        for y in range(bounds.top + 5, bounds.bottom, _FLOW_STEP):
            for x in range(bounds.left + 5, bounds.right, _FLOW_STEP):
                if not seen[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5].any():
                    seen[y, x] = True
                    arrows.append((x, y, *flow[y - bounds.top, x - bounds.left].tolist()))
    return np.array(arrows).reshape(-1, 4)


def face_jpeg(picture: np.ndarray) -> bytes:
    """A face crop, RGB uint8, as the screen shows it: JPEG, 320 x 320 pixels."""
    return _jpeg(cv2.resize(picture, (rois.CROP_SIZE, rois.CROP_SIZE), interpolation=cv2.INTER_AREA))


def _jpeg(picture: np.ndarray) -> bytes:
    good, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80]
    )
    assert good
    return data.tobytes()


# --- the film with its score ----------------------------------------------------------------------
def write_annotated_video(result: Findings, path: str | Path, progress: bool = False) -> Path:
    """Write the video, with its sound, over a strip that shows the score so far and names the intervals.

    It has all frames that were analysed, when a player shows them in the original (in AVI, which has no time
    stamps: at their mean rate), and an even size; MP4 and WebM play in a browser.
    """
    path = Path(path)
    seconds = None if path.suffix.lower() == ".avi" else result.times[: result.n_analysed]
    with one_opencv_thread(), prefetched(read_frames(result.path), _FRAMES_AHEAD) as source:
        frames = _bar(_annotated(result, source), "annotated video", result.n_analysed, progress)
        write_video(path, frames, result.fps, seconds, sound=result.path if result.path.is_file() else None)
    return path


def _annotated(result: Findings, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The film's frames with the strip below them; each is overwritten by the next."""
    width = max(320, result.size[0] + result.size[0] % 2)
    height = result.size[1] + result.size[1] % 2
    strip = _strip(result, width)
    naming = {
        number: row
        for row in result.table.itertuples()
        for number in range(int(row.onset), int(row.offset) + 1)
    }
    picture = np.zeros((height + strip.shape[0], width, 3), np.uint8)
    for number, frame in zip(range(result.n_analysed), frames, strict=False):
        picture[:height] = 0
        left = (width - frame.shape[1]) // 2
        picture[: frame.shape[0], left : left + frame.shape[1]] = frame
        picture[height:] = strip
        if result.measured.n_faces[number] > 1 and np.isfinite(result.measured.bounds[number]).all():
            x1, y1, x2, y2 = (round(edge) for edge in result.measured.bounds[number].tolist())
            cv2.rectangle(picture, (left + x1, y1), (left + x2, min(y2, height - 1)), _FOLLOWED, 2)
        x = int(number / max(1, result.n_frames - 1) * (width - 1))
        cv2.line(picture, (x, height), (x, height + strip.shape[0]), (0, 0, 0), 1)
        if number in naming:
            _name(picture, naming[number], height, result)
        yield picture


def _strip(result: Findings, width: int) -> np.ndarray:
    """The whole video's smoothed score, (64, width, 3): intervals coloured, threshold dashed."""
    strip = np.full((64, width, 3), 255, np.uint8)
    x = np.linspace(0, width - 1, result.n_frames).astype(int)
    for row in result.table.itertuples():
        tint = [int(255 - 0.45 * (255 - c)) for c in _rgb(row.emotion)]
        strip[:, x[row.onset] : max(x[row.offset], x[row.onset] + 1) + 1] = tint
    level = int(60 - 56 * min(1.0, result.threshold))
    strip[level, ::6] = strip[level, 1::6] = 0
    known = ~np.isnan(result.smoothed)
    points = np.stack([x[known], 60 - 56 * result.smoothed[known]], axis=1).round().astype(np.int32)
    cv2.polylines(strip, [points], False, (0, 114, 178), 1, cv2.LINE_AA)
    return strip


def _name(picture: np.ndarray, row: Any, height: int, result: Findings) -> None:
    """A frame in the emotion's colour and its name on the picture; below it the interval's confidence, which is not the name's."""
    colour = _rgb(row.emotion)
    cv2.rectangle(picture, (1, 1), (picture.shape[1] - 2, height - 2), colour, 3)
    said = [(row.emotion, 22, 0.6)]
    if not math.isnan(row.confidence):
        said.append((confidence_text(row.confidence, result.model), 40, 0.42))
    for text, y, size in said:
        for shade, thickness in (((0, 0, 0), 4), (colour, 1)):
            cv2.putText(picture, text, (8, y), cv2.FONT_HERSHEY_SIMPLEX, size, shade, thickness, cv2.LINE_AA)


def _rgb(emotion: str) -> tuple[int, int, int]:
    from matplotlib.colors import to_rgb  # here: tables alone need no Matplotlib, which takes 30 MB

    from metst_core.plots import EMOTION_COLOURS

    r, g, b = (round(255 * c) for c in to_rgb(EMOTION_COLOURS[emotion]))
    return r, g, b
