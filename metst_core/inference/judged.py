"""Could anything have been found here?  Which frames are judged, for the upper and the lower face.

Unrest is how far the parts of the face move on the whole, which is what hides a micro-expression: the median length of
the ROIs' motion, averaged over a window around each frame.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from metst_core.aligned import PARTS
from metst_core.errors import MissingError
from metst_core.files import ASSETS, read_json
from metst_core.inference.quality import Seen
from metst_core.rois import REFERENCE, select_rois

_UPPER = ("left_brow", "right_brow", "left_eyelid", "right_eyelid")


def is_upper_roi(features: str) -> np.ndarray:
    """Which ROIs of a feature set belong to the upper face: `(R,)` bool."""
    return np.array([(roi.parent or roi.name) in _UPPER for roi in select_rois(features)])


_PIECE = 8192  # frames


def motion_of_parts(motion: np.ndarray, features: str) -> np.ndarray:
    """Median length of the ROIs' motion (2R, k) in the upper and the lower face, per frame: `(k, 2)`, pixels of the crop."""
    members = select_rois(features)
    is_upper = is_upper_roi(features)
    counts = np.array([roi is not REFERENCE for roi in members])
    parts = np.empty((motion.shape[1], 2), motion.dtype)
    for first in range(0, motion.shape[1], _PIECE):  # an hour at once would be 15 MB
        here = slice(first, first + _PIECE)
        lengths = np.hypot(motion[0::2, here], motion[1::2, here])
        for number, part in enumerate((is_upper, ~is_upper)):
            parts[here, number] = np.median(lengths[counts & part], axis=0)
    return parts


def unrest_of(parts: np.ndarray, window: int) -> np.ndarray:
    """The means over `window` frames around each, `(n, 2)`, of what `motion_of_parts` says of a film's frames `(n, 2)`."""
    half = window // 2
    padded = np.pad(parts, ((half, window - half), (0, 0)), mode="edge")
    sums = np.cumsum(padded, axis=0)
    means: np.ndarray = (sums[window:] - sums[:-window]) / window
    return means


JUDGED_STRENGTH, JUDGED_LEAST = 0.018, 0.2
"""A frame is judged where of micro-expressions of this strength (inter-ocular distances) at least this share would be found."""

JUDGED_ASSET = ASSETS / "judged.json"
"""The measurement that comes with the package; `python -m metst_core.footage.evidence` makes it anew."""

OF_THE_FACE = {"turn": "most", "brightness": "least", "sharpness": "least", "eye_distance": "least"}
"""What else decides (see `quality.Seen`), and which side of its limit is judged."""


@dataclass(frozen=True)
class Judgement:
    """Where a frame stops to be judged, measured on movements planted into films.

    unrest: part -> the unrest (pixels of the 320 crop; the larger one of both parts) above which it is not judged.
    face: limits of what is `OF_THE_FACE`, as far as they were measured.  evidence: what was counted, as stored.
    apart: each part is judged by its own unrest, whatever the other does.
    """

    unrest: Mapping[str, float]
    face: Mapping[str, float]
    evidence: Mapping[str, Any] = field(default_factory=dict, repr=False)
    apart: bool = False

    def __call__(self, unrest: np.ndarray, seen: Seen) -> pd.DataFrame:
        """Which frames are judged: a bool column for each of `PARTS`.

        unrest: `(n, 2)`, see `unrest_of`; NaN where nothing was analysed.  seen: of the same n frames.
        """
        with np.errstate(invalid="ignore"):
            visible = np.isfinite(seen.eye_distance)
            for name, side in OF_THE_FACE.items():
                if name in self.face:
                    values, limit = getattr(seen, name), self.face[name]
                    visible &= values <= limit if side == "most" else values >= limit
            calm = unrest if self.apart else np.max(unrest, axis=1, keepdims=True).repeat(len(PARTS), axis=1)
            return pd.DataFrame(
                {part: visible & (calm[:, i] <= self.unrest[part]) for i, part in enumerate(PARTS)}
            )


@functools.cache
def bundled_judgement() -> Judgement:
    """The limits that were measured with the bundled weights."""
    if not JUDGED_ASSET.is_file():
        raise MissingError(
            f"{JUDGED_ASSET}: the measurement is missing; make it with `python -m metst_core.footage.evidence`"
        )
    stored = read_json(JUDGED_ASSET)
    return Judgement(stored["unrest"], stored["face"], stored)
