"""Faces of a frame, which of several is analysed, and where it is from one look to the next.

The landmarker sees one face in an image and cannot be told which.  So the faces that are not meant are painted over
before it looks (`Follower.hide_others`); the crop of the one that is meant lies beside them and keeps its pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metst_core.errors import InputError
from metst_core.landmarks import MIN_CONFIDENCE, FaceDetector, Landmarker
from metst_core.rois import round_points

_REACH = 2.0  # eye distances that a face may move from one look to the next
_REACH_MOST = 5.0  # the same, however long it was not seen
_SIZES = 2.0  # times as large, or as small, as it may become from one look to the next
_HIDDEN = 1.5  # times its bounds: what is painted over of a face that is not meant
_HIDDEN_GREY = 127
_OWN = (
    1.6,
    1.4,
    1.6,
    2.0,
)  # eye distances left, above, right, below the eyes: the crop, and some room to move in


class Face(NamedTuple):
    """A face in a frame, in pixels.

    Its bounds (left, top, right, bottom), both eyes and the tip of the nose (x, y).
    """

    bounds: tuple[float, float, float, float]
    eyes: tuple[tuple[float, float], tuple[float, float]]
    nose: tuple[float, float]

    @property
    def eye_distance(self) -> float:
        (x1, y1), (x2, y2) = self.eyes
        return float(np.hypot(x2 - x1, y2 - y1))

    @property
    def centre(self) -> np.ndarray:
        return np.mean(self.eyes, axis=0)

    @property
    def turn(self) -> float:
        """How far the nose is off the middle of the eyes, along the line of the eyes, in eye distances."""
        along = np.subtract(self.eyes[1], self.eyes[0])
        offset = np.subtract(self.nose, self.centre)
        return float(abs(offset @ along) / max(along @ along, 1e-9))


FaceFinder = Callable[[np.ndarray], list[Face]]
"""From an RGB frame (H, W, 3) to its faces, the largest first."""


class MediaPipeFaceFinder:
    """MediaPipe's face detector (`landmarks.FaceDetector`; 2 to 3 ms per frame)."""

    def __init__(self, min_confidence: float = MIN_CONFIDENCE) -> None:
        self._find = FaceDetector(min_confidence)

    def __call__(self, image: np.ndarray) -> list[Face]:
        faces = []
        for found in self._find(image):
            right_eye, left_eye, nose = (tuple(point) for point in found.points.tolist())
            faces.append(Face(found.bounds, (right_eye, left_eye), nose))
        return faces


class LandmarkFaceFinder:
    """The face that a landmarker finds; it never sees a second one."""

    def __init__(self, landmarker: Landmarker) -> None:
        self.landmarker = landmarker

    def __call__(self, image: np.ndarray) -> list[Face]:
        points = self.landmarker(image)
        if points is None:
            return []
        points = round_points(points)
        left, right = (tuple(points[span].mean(axis=0).tolist()) for span in (slice(36, 42), slice(42, 48)))
        bounds = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
        return [Face(bounds, (left, right), tuple(points[30].tolist()))]


@dataclass(frozen=True)
class FaceChoice:
    """Which face of several: the largest, one by its place from the left, or the one in a box.

    place: 1 is the leftmost, 2 the next, -1 the rightmost; 0 asks for the largest.  box: left, top, right, bottom in
    pixels of the film, asked for where it is given.  The choice is made at the first look that shows enough faces,
    and the face is followed from there on.
    """

    place: int = 0
    box: tuple[float, float, float, float] | None = None

    @classmethod
    def of(cls, text: str | int | FaceChoice) -> FaceChoice:
        """From `largest`, `left`, `right`, a number from the left (1 is the leftmost) or `left,top,width,height`.

        >>> FaceChoice.of("100,40,80,90").box
        (100.0, 40.0, 180.0, 130.0)
        """
        if isinstance(text, FaceChoice):
            return text
        word = str(text).strip().lower()
        if word in _NAMED:
            return cls(_NAMED[word])
        try:
            numbers = [float(part) for part in word.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) == 1 and numbers[0].is_integer() and numbers[0] >= 1:
            return cls(int(numbers[0]))
        if len(numbers) == 4 and all(map(math.isfinite, numbers)) and min(numbers[2:]) > 0:
            left, top, width, height = numbers
            return cls(0, (left, top, left + width, top + height))
        raise InputError(
            f"face {text!r} is no choice; use {', '.join(_NAMED)}, a number from the left (1 is the leftmost) or a box "
            "left,top,width,height in pixels"
        )

    def pick(self, faces: list[Face]) -> Face | None:
        """The chosen one of a look's faces, the largest first; None while it is not there."""
        if self.box is not None:
            left, top, right, bottom = self.box
            middle = np.array([(left + right) / 2, (top + bottom) / 2])
            inside = [f for f in faces if left <= f.centre[0] <= right and top <= f.centre[1] <= bottom]
            return min(inside, key=lambda f: float(np.hypot(*(f.centre - middle))), default=None)
        if len(faces) < abs(self.place) or not faces:
            return None
        if self.place == 0:
            return faces[0]
        in_order = sorted(faces, key=lambda face: float(face.centre[0]))
        return in_order[self.place - 1 if self.place > 0 else self.place]

    def __str__(self) -> str:
        if self.box is not None:
            left, top, right, bottom = self.box
            return f"the face in the box {left:g},{top:g},{right - left:g},{bottom - top:g}"
        names = {0: "the largest face", 1: "the leftmost face", -1: "the rightmost face"}
        return names.get(self.place, f"face {self.place} from the left")


_NAMED = {"largest": 0, "left": 1, "right": -1}


@dataclass(eq=False)
class _Track:
    """A face as it was last seen, how many looks ago, and at which look it was seen first."""

    face: Face
    born: int
    missed: int = 0

    def distance(self, face: Face) -> float:
        """How far a face is from here, in shares of what it may have moved; above 1 it is another."""
        ratio = face.eye_distance / max(self.face.eye_distance, 1e-9)
        if not 1 / _SIZES <= ratio <= _SIZES:
            return math.inf
        moved = float(np.hypot(*(face.centre - self.face.centre))) / max(self.face.eye_distance, 1e-9)
        return moved / min(_REACH_MOST, _REACH * (1 + self.missed))


class Follower:
    """Follows the chosen face through the looks at a film, and keeps the others apart.

    Where it is lost, by a cut or because the person left, a face that came since may take its place; one that was
    there beside it may not.
    """

    def __init__(self, choice: FaceChoice | None = None) -> None:
        self.choice = choice or FaceChoice()
        self.face: Face | None = None  # the followed one at the latest look
        self.others: list[Face] = []  # the others there
        self._tracks: list[_Track] = []
        self._mine: _Track | None = None
        self._n_looks = 0

    def see(self, faces: list[Face]) -> Face | None:
        """The followed face among those of the next look; None where it is not there (or not yet)."""
        self._n_looks += 1
        here = self._matched(faces)
        mine = self._mine
        if mine is None or mine not in here:
            last_seen = 0 if mine is None else self._n_looks - mine.missed
            new = [track.face for track in here if track.born > last_seen]
            picked = self.choice.pick(new)
            if picked is None and mine is not None and len(new) == 1:
                picked = new[0]
            mine = self._mine = next((track for track in here if track.face is picked), mine)
        self.face = mine.face if mine is not None and mine in here else None
        self.others = [face for face in faces if face is not self.face]
        return self.face

    def _matched(self, faces: list[Face]) -> list[_Track]:
        """The track of every face of a look: the nearest known one that it can be, each once, else a new one."""
        pairs = [
            (track.distance(face), t, f)
            for t, track in enumerate(self._tracks)
            for f, face in enumerate(faces)
        ]
        taken: dict[int, int] = {}  # face -> track
        for distance, t, f in sorted(pairs):
            if distance <= 1 and f not in taken and t not in taken.values():
                taken[f] = t
        for t, track in enumerate(self._tracks):
            track.missed = 0 if t in taken.values() else track.missed + 1
        here = []
        for f, face in enumerate(faces):
            if f in taken:
                track = self._tracks[taken[f]]
                track.face = face
            else:
                track = _Track(face, self._n_looks)
                self._tracks.append(track)
            here.append(track)
        return here

    def hide_others(self, grey: np.ndarray) -> np.ndarray:
        """A grey frame (H, W) with the faces painted over that are not meant; the same array where there is none."""
        if not self.others:
            return grey
        hidden = grey.copy()
        for face in self.others:
            left, top, right, bottom = face.bounds
            x, y = (_HIDDEN - 1) / 2 * (right - left), (_HIDDEN - 1) / 2 * (bottom - top)
            hidden[_within(grey, (left - x, top - y, right + x, bottom + y))] = _HIDDEN_GREY
        if self.face is not None:
            (x, y), unit = self.face.centre.tolist(), self.face.eye_distance
            left, top, right, bottom = (share * unit for share in _OWN)
            own = _within(grey, (x - left, y - top, x + right, y + bottom))
            hidden[own] = grey[own]
        return hidden


def alone(grey: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """A grey frame (H, W) of which only the surroundings of a face are left, for a landmarker that is to find that one.

    bounds: left, top, right, bottom of the face; where they are NaN the frame comes back as it is.
    """
    if not np.isfinite(bounds).all():
        return grey
    left, top, right, bottom = bounds.tolist()
    x, y = right - left, bottom - top
    part = _within(grey, (left - 0.6 * x, top - 0.8 * y, right + 0.6 * x, bottom + 0.8 * y))
    left_over = np.full_like(grey, _HIDDEN_GREY)
    left_over[part] = grey[part]
    return left_over


def faces_of(frames: Iterable[np.ndarray], finder: FaceFinder) -> list[FaceChoice]:
    """Who is in a film's first frames (RGB, looked at one by one): a choice per face, from left to right.

    Those of the first frame that shows the most; none where no frame shows a face.
    """
    most: list[Face] = []
    for frame in frames:
        found = finder(frame)
        most = found if len(found) > len(most) else most
    return [FaceChoice(0, face.bounds) for face in sorted(most, key=lambda face: float(face.centre[0]))]


def _within(image: np.ndarray, bounds: tuple[float, float, float, float]) -> tuple[slice, slice]:
    """Rows and columns of an image that lie in left, top, right, bottom."""
    left, top, right, bottom = (max(0, round(edge)) for edge in bounds)
    return slice(top, bottom), slice(left, right)
