"""The face of a video for the screen: one small picture per frame, and where the ROIs are on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from metst_core.errors import InputError
from metst_core.landmarks import Landmarker
from metst_core.motion import Reference, cut_crop, find_reference
from metst_core.pipeline import face_jpeg
from metst_core.rois import CROP_SIZE, Bounds, rois_on_crop


@dataclass(frozen=True)
class Film:
    """A video's face for the screen.

    pictures: one JPEG per frame, the face crop of the first frame with a face, 320 x 320.
    boxes: `(n_windows, R, 4)` top, bottom, left, right of every ROI on it, one set per window.
    """

    pictures: list[bytes]
    boxes: np.ndarray

    def picture(self, frame: int) -> np.ndarray:
        """One frame, (320, 320, 3) RGB uint8."""
        encoded = np.frombuffer(self.pictures[frame], np.uint8)
        picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        assert picture is not None  # `film` encoded it
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def film(
    frames: Iterable[np.ndarray],
    landmarker: Landmarker,
    window: int,
    features: str = "metst_plus",
) -> Film:
    """Cut the face out of a video's frames (RGB, uint8) and place the ROIs once per window of `window` frames.

    The crop stays where the first face was found, so that head motion can be seen; the ROIs follow it from
    window to window.  Raises `InputError` when no frame holds a face.
    """
    place: Bounds | None = None
    pictures: list[bytes] = []
    boxes: list[np.ndarray | None] = []
    for number, frame in enumerate(frames):
        if number % (window // 2) == 0:
            reference = find_reference(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), landmarker)
            place = place or (reference.place if reference else None)
            boxes.append(_boxes_in(reference, place, features) if reference and place else None)
        crop = cut_crop(frame, place) if place else None
        picture = np.full((CROP_SIZE, CROP_SIZE, 3), 200, np.uint8) if crop is None else crop
        pictures.append(face_jpeg(picture))
    known = [b for b in boxes if b is not None]
    if not known:
        raise InputError("no face was found in these frames; show a video with one")
    latest, filled = known[0], []
    for found in boxes:
        latest = latest if found is None else found
        filled.append(latest)
    return Film(pictures, np.stack(filled).astype(np.float32))


def _boxes_in(reference: Reference, place: Bounds, features: str) -> np.ndarray:
    """The ROIs of a reference frame on the crop at `place`: (R, 4)."""
    found = np.array([tuple(b) for b in rois_on_crop(reference.points, features).values()], float)
    own = reference.place
    rows = [(own.bottom - own.top) / CROP_SIZE, own.top, place.top, CROP_SIZE / (place.bottom - place.top)]
    columns = [
        (own.right - own.left) / CROP_SIZE,
        own.left,
        place.left,
        CROP_SIZE / (place.right - place.left),
    ]
    for part, (scale, start, origin, zoom) in ((slice(0, 2), rows), (slice(2, 4), columns)):
        found[:, part] = (found[:, part] * scale + start - origin) * zoom
    return found
