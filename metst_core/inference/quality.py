"""What in a video speaks against trusting its result: each flag with the frames it concerns.

The face is looked at every `LOOK_EVERY` analysed frames (a third of a second at 30 per second) with a face
detector that also sees a second face, which the landmarker cannot; motion is judged in every frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from metst_core.inference.faces import Face, FaceChoice, FaceFinder, Follower

LOOK_EVERY = 10
"""Analysed frames from one look at the face to the next."""

FLAGS = {
    "face_lost": "no face is found",
    "face_too_small": "the face is small: under {smallest:g} pixels from eye to eye",
    "face_turned": "the face is turned away from the camera",
    "several_faces": "more than one face; one of them is followed and analysed, the others are not looked at",
    "too_dark": "the face is dark: mean grey level under {darkest:g} of 255",
    "too_much_motion": "the head or the face moves too much (head turns, speech, macro-expressions)",
    "low_frame_rate": "under {slowest:g} frames per second: short movements fall between the frames",
    "frames_missing": "frames are missing: a gap of more than {longest_gap:g} s",
    "cut": "the film is cut here; the windows start anew after it",
    "beside_gap": "within half a window of a lost face, a cut or missing frames: what is found here may be the gap itself",
    "not_judged": "hardly anything could be found: under 1 in 5 micro-expressions of .018 eye distances",
    "not_analysed": "not analysed",
}
"""Flag -> what it means; the limits in braces are those of `LIMITS`."""

LIMITS = {
    # Eye to eye, pixels.  Of 53 micro-expressions of ten synthetic persons 33 were touched at 69 pixels, 30 at 34, 23 at 24,
    # 11 at 17 (films scaled down; model card).  The face is some 2.3 times as wide, the crop 4.5 to 6 times and enlarged to 320.
    "smallest": 32.0,
    "turned": 0.18,  # nose tip off the middle of the eyes, in eye distances
    "darkest": 40.0,  # mean grey level of the face
    "fastest": 1.0,  # head speed, eye distances per second
    "largest": 4.0,  # motion of the median ROI, pixels of the 320 crop
    "slowest": 24.0,  # frames per second
    "longest_gap": 0.1,  # seconds between two frames
}
"""Where the flags begin."""

QUALITY_COLUMNS = ("flag", "first", "last", "first_seconds", "last_seconds", "share", "meaning")
"""A quality table: flag, first and last frame of the video that it concerns (inclusive) and their times, the
share of the video, and what it means."""


class _Look(NamedTuple):
    flags: frozenset[str]
    face: Face | None
    n_faces: int
    brightness: float = np.nan
    sharpness: float = np.nan


class Seen(NamedTuple):
    """Where the followed face is, per analysed frame, as it was at the nearest look.

    bounds (n, 4): left, top, right, bottom; eye_distance (n,); both in pixels, NaN where it was not seen.
    n_faces (n,): how many faces there were.
    turn, brightness, sharpness (n,): how far the nose is off the middle of the eyes (eye distances), mean grey level of the
    face, and how much of its contrast is fine (`sharpness_of`); NaN where it was not seen.
    """

    bounds: np.ndarray
    eye_distance: np.ndarray
    n_faces: np.ndarray
    turn: np.ndarray
    brightness: np.ndarray
    sharpness: np.ndarray


class QualityLog:
    """Collects, while a video streams by, what `table` then reports.

    `fps` is the rate of the analysed frames; `look` gets each of them in order.  Of several faces the one that
    `choice` says is followed and judged; `follower` knows the others.
    """

    def __init__(self, finder: FaceFinder, fps: float, choice: FaceChoice | None = None) -> None:
        self.follower = Follower(choice)
        self._finder = finder
        self._fps = fps
        self._looks: list[_Look] = []
        self._seen = 0

    def look(self, frame: np.ndarray) -> None:
        """Take note of the next analysed frame, RGB (H, W, 3)."""
        if self._seen % LOOK_EVERY == 0:
            self._looks.append(self._judge(frame))
        self._seen += 1

    @property
    def came_back(self) -> bool:
        """Whether a face that was lost at the look before is seen again at this one; asked after `look`."""
        if (self._seen - 1) % LOOK_EVERY or len(self._looks) < 2:
            return False
        before, now = self._looks[-2:]
        return before.face is None and now.face is not None

    def flagged(self, has_face: np.ndarray, is_busy: np.ndarray) -> dict[str, np.ndarray]:
        """Flag -> the analysed frames that it concerns, (n,) bool.

        `has_face (n,)`: whether the windows had a face to measure on; `is_busy (n,)`: see `moves_much`.
        """
        marks = {name: np.zeros(len(has_face), bool) for name in FLAGS}
        for number, seen in enumerate(self._looks):
            middle = number * LOOK_EVERY
            for name in seen.flags:
                last = number == len(self._looks) - 1  # nobody looks at the frames after it
                until = None if last else middle + (LOOK_EVERY + 1) // 2
                marks[name][max(0, middle - LOOK_EVERY // 2) : until] = True
        marks["face_lost"] |= ~has_face
        marks["too_much_motion"] |= is_busy
        for name in ("face_turned", "too_much_motion"):
            marks[name] &= ~marks["face_lost"]
        return marks

    def seen(self, n_frames: int) -> Seen:
        """Where the followed face was in the first `n_frames` analysed frames."""
        looks = self._looks or [_Look(frozenset(), None, 0)]
        nearest = np.minimum((np.arange(n_frames) + LOOK_EVERY // 2) // LOOK_EVERY, len(looks) - 1)
        nothing = (np.nan,) * 6
        known = np.array([
            nothing if look.face is None else (*look.face.bounds, look.face.eye_distance, look.face.turn)
            for look in looks
        ])[nearest]  # fmt: skip
        counts, bright, sharp = (
            np.array([getattr(look, name) for look in looks])[nearest]
            for name in ("n_faces", "brightness", "sharpness")
        )
        return Seen(known[:, :4], known[:, 4], counts, known[:, 5], bright, sharp)

    def _judge(self, frame: np.ndarray) -> _Look:
        faces = self._finder(frame)
        face = self.follower.see(faces)
        if face is None:
            flags = {"face_lost"} | ({"several_faces"} if len(faces) > 1 else set())
            if not faces and cv2.mean(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))[0] < LIMITS["darkest"]:
                flags.add("too_dark")
            return _Look(frozenset(flags), None, len(faces))
        part = _part(frame, face)
        brightness = float(cv2.mean(part)[0])
        tests = {
            "several_faces": sum(f.eye_distance > face.eye_distance / 3 for f in faces) > 1,
            "face_too_small": face.eye_distance < LIMITS["smallest"],
            "face_turned": face.turn > LIMITS["turned"],
            "too_dark": brightness < LIMITS["darkest"],
            "too_much_motion": self._speed(face) > LIMITS["fastest"],
        }
        flagged = frozenset(name for name, hit in tests.items() if hit)
        return _Look(flagged, face, len(faces), brightness, sharpness_of(part))

    def _speed(self, face: Face) -> float:
        """Speed of the head since the last look, in eye distances per second."""
        before = self._looks[-1].face if self._looks else None
        if before is None:
            return 0.0
        moved = float(np.hypot(*(face.centre - before.centre)))
        return moved / max(before.eye_distance, 1.0) * self._fps / LOOK_EVERY


def moves_much(motion: np.ndarray) -> np.ndarray:
    """Whether more than the face's expression moves, per frame (k,) bool, from ROI motion (2R, k)."""
    lengths = np.hypot(motion[0::2], motion[1::2])
    return np.median(lengths, axis=0) > LIMITS["largest"]


def _part(frame: np.ndarray, face: Face) -> np.ndarray:
    """What a face fills of a frame, grey; all of it where that is nothing."""
    height, width = frame.shape[:2]
    left, top, right, bottom = face.bounds
    part = frame[
        max(0, int(top)) : min(height, max(int(bottom), int(top) + 1)),
        max(0, int(left)) : min(width, max(int(right), int(left) + 1)),
    ]
    return cv2.cvtColor(part if part.size else frame, cv2.COLOR_RGB2GRAY)


_SHARP_AT = 160  # pixels to which a face is scaled before its sharpness is measured


def sharpness_of(face: np.ndarray) -> float:
    """How much of the contrast of a grey picture of a face is fine: the Laplacian's spread over the picture's."""
    scaled = cv2.resize(face, (_SHARP_AT, _SHARP_AT), interpolation=cv2.INTER_AREA).astype(np.float32)
    return float(cv2.Laplacian(scaled, cv2.CV_32F).std() / max(float(scaled.std()), 1.0))


def meaning(flag: str) -> str:
    """What a flag means, its limit included."""
    return FLAGS[flag].format(**LIMITS)


def quality_table(marks: dict[str, np.ndarray], seconds: np.ndarray) -> pd.DataFrame:
    """Runs of flagged frames as a quality table.

    `marks`: flag -> (n_frames,) bool in frames of the video; `seconds (n_frames,)`: their times.
    """
    rows = []
    for flag, mark in marks.items():
        for first, last in runs(mark):
            share = (last + 1 - first) / len(seconds)
            rows.append(
                (flag, first, last, float(seconds[first]), float(seconds[last]), share, meaning(flag))
            )
    return pd.DataFrame(rows, columns=list(QUALITY_COLUMNS)).astype({"first": "int64", "last": "int64"})


def timing_marks(seconds: np.ndarray, fps: float) -> dict[str, np.ndarray]:
    """The flags that the times of the frames alone decide, as `quality_table` takes them."""
    gaps = np.diff(seconds) > LIMITS["longest_gap"]
    return {
        "low_frame_rate": np.full(len(seconds), fps < LIMITS["slowest"] - 0.1),
        # In a slow video every pair of frames is a "gap"; that is the other flag's to say.
        "frames_missing": (np.append(gaps, False) | np.insert(gaps, 0, False))
        & (1 / fps < LIMITS["longest_gap"]),
    }


def beside(holes: np.ndarray, seconds: np.ndarray, reach: float) -> np.ndarray:
    """Which frames are no more than `reach` seconds from a frame of `holes (n,)` bool without being one, `(n,)` bool.

    `seconds (n,)`: the times of the frames, in order.
    """
    if not holes.any():
        return np.zeros(len(holes), bool)
    times = seconds[holes]
    after = np.searchsorted(times, seconds)
    nearest = np.minimum(
        np.abs(seconds - times[np.maximum(after - 1, 0)]),
        np.abs(seconds - times[np.minimum(after, len(times) - 1)]),
    )
    near: np.ndarray = (nearest <= reach + 1e-6) & ~holes
    return near


def runs(mark: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last frame of every run of True in `mark` (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(mark, np.int8), [0]])))
    for first, after in edges.reshape(-1, 2).tolist():
        yield first, after - 1
