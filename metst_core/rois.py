"""The 18 regions of interest (ROIs) of the face, as tables, and where they lie on the 320 x 320 face crop.

Coordinates are pixels of the crop, x to the right, y down; ranges are half-open, as Python slices.  "Left"
and "right" are those of the picture (the left brow is the person's right one).  Landmarks are the 68 iBUG
points, counted from 0.  Source: the official features of ME-TST (arXiv 2409.09707) and ME-TST+ (arXiv
2508.08082, multi-granularity ROI motion).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metst_core.checks import number_array, one_of
from metst_core.errors import InputError

CROP_SIZE = 320
"""Width and height of the face crop, in pixels."""

FEATURES = ("metst", "metst_plus", "metst_plus_ref")
"""The feature sets: 5 ROIs (ME-TST), 18 ROIs (ME-TST+), and those 18 with the reference box after them."""


class Bounds(NamedTuple):
    """A half-open rectangle, rows `top .. bottom`, columns `left .. right`."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def empty(self) -> bool:
        return self.top >= self.bottom or self.left >= self.right

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


EMPTY = Bounds(0, 0, 0, 0)


@dataclass(frozen=True)
class Box:
    """A rectangle around the landmarks `first .. last` (`last` excluded), in which optical flow is computed.

    It reaches `above` and `below`, `left` and `right` beyond the landmarks' extremes (pixels of the crop).
    An edge named in `clipped` that would lie outside the crop is moved to 0; any other such edge leaves the
    box empty.
    """

    name: str
    first: int
    last: int
    above: int = 0
    below: int = 0
    left: int = 0
    right: int = 0
    clipped: tuple[str, ...] = ()

    def unclipped(self, points: np.ndarray) -> Bounds:
        """The box before any clipping, from the points (68, 2); its corner is the origin of the fine ROIs."""
        xmin, ymin, xmax, ymax = self._extremes(points)
        return Bounds(ymin - self.above, ymax + self.below, xmin - self.left, xmax + self.right)

    def bounds(self, points: np.ndarray) -> Bounds:
        """The box inside the crop, from the 68 points (68, 2)."""
        top, bottom, left, right = self.unclipped(points)
        top = max(top, 0) if "top" in self.clipped else top
        left = max(left, 0) if "left" in self.clipped else left
        return _cut(Bounds(top, bottom, left, right), CROP_SIZE, CROP_SIZE)

    def _extremes(self, points: np.ndarray) -> tuple[int, int, int, int]:
        chosen = points[self.first : self.last]
        (xmin, ymin), (xmax, ymax) = chosen.min(axis=0).tolist(), chosen.max(axis=0).tolist()
        return xmin, ymin, xmax, ymax


@dataclass(frozen=True)
class EyelidBox(Box):
    """The strip under an eye: as wide as the eye, half as high.

    It starts a quarter of the eye's width below its middle.
    """

    def unclipped(self, points: np.ndarray) -> Bounds:
        xmin, ymin, xmax, ymax = self._extremes(points)
        height = (xmax - xmin) / 2
        middle = (ymin + ymax) / 2
        return Bounds(int(middle + height / 2), int(middle + 3 * height / 2), xmin, xmax)


BOXES = {
    box.name: box
    for box in (
        Box("left_brow", 17, 22, above=15, below=5, left=5, clipped=("top", "left")),
        Box("right_brow", 22, 27, above=15, below=5, clipped=("top",)),
        Box("mouth", 48, 67, above=15, below=10, left=20, right=20, clipped=("left",)),
        Box("nose", 30, 36, above=20, below=5, left=30, right=30, clipped=("left",)),
        EyelidBox("left_eyelid", 36, 42, clipped=("left",)),
        EyelidBox("right_eyelid", 42, 48, clipped=("left",)),
        Box("nose_bridge", 29, 31, above=13, below=13, left=13, right=13),
    )
}
"""Where optical flow is computed, by name.  `nose_bridge` is the reference box: its motion is head motion."""


@dataclass(frozen=True)
class Roi:
    """One region of interest: a part of a box's flow, whose main-direction mean is two channels (x, y).

    `granularity` is "whole" (a box without its margins) or "fine" (a window around the landmark `landmark`);
    `parent` is the box that a fine ROI is cut from, None for a whole one; `box` is that box for both.
    `rows` and `columns` are a fine ROI's range around its landmark, or a whole ROI's margins as a slice would
    count them ((10, -10) leaves ten pixels off each end).  `q` is the share of pixels, those with the largest
    flow, that the mean runs over.  `short_margin` replaces the bottom margin where the box is too short for
    it.
    """

    name: str
    box: str
    granularity: str
    q: float
    rows: tuple[int, int]
    columns: tuple[int, int]
    landmark: int | None = None
    short_margin: int | None = None
    in_metst: bool = False

    @property
    def parent(self) -> str | None:
        return self.box if self.granularity == "fine" else None

    def region(self, points: np.ndarray) -> Bounds:
        """The ROI inside its box, from the 68 points (68, 2): rows and columns of the box's flow array."""
        corner = BOXES[self.box].unclipped(points)
        box = BOXES[self.box].bounds(points)
        height, width = box.bottom - box.top, box.right - box.left
        if self.landmark is not None:
            x, y = points[self.landmark].tolist()
            return _cut(_around(x - corner.left, y - corner.top, self.rows, self.columns), height, width)
        # A box cut at the crop's top has already lost part of its top margin, so less is left off.
        top = max(0, self.rows[0] + min(0, corner.top))
        bottom = -self.rows[1]
        if self.short_margin is not None and height < 10 + top + 3:
            bottom = self.short_margin
        return _cut(Bounds(top, height - bottom, self.columns[0], width + self.columns[1]), height, width)


def _whole(
    name: str,
    q: float,
    margin: tuple[int, int] = (10, 10),
    bottom: int | None = None,
    short_margin: int | None = None,
    in_metst: bool = False,
) -> Roi:
    rows = (margin[0], -(margin[0] if bottom is None else bottom))
    return Roi(name, name, "whole", q, rows, (margin[1], -margin[1]), None, short_margin, in_metst)


def _fine(
    name: str,
    box: str,
    landmark: int,
    q: float,
    rows: tuple[int, int] = (-10, 10),
    columns: tuple[int, int] = (-10, 10),
    in_metst: bool = False,
) -> Roi:
    return Roi(name, box, "fine", q, rows, columns, landmark, in_metst=in_metst)


ROIS = (
    _whole("left_brow", 0.3, short_margin=4, in_metst=True),
    _fine("left_brow_inner", "left_brow", 20, 0.2),
    _fine("left_brow_middle", "left_brow", 19, 0.2),
    _fine("left_brow_outer", "left_brow", 18, 0.2),
    _whole("right_brow", 0.3, in_metst=True),
    _fine("right_brow_inner", "right_brow", 23, 0.3),
    _fine("right_brow_middle", "right_brow", 24, 0.3),
    _fine("right_brow_outer", "right_brow", 25, 0.3),
    _whole("mouth", 0.3, in_metst=True),
    _fine("mouth_left_corner", "mouth", 48, 0.2, columns=(-10, 20)),
    _fine("mouth_right_corner", "mouth", 54, 0.2, columns=(-20, 10)),
    _fine("upper_lip", "mouth", 51, 0.2),
    _fine("lower_lip", "mouth", 57, 0.2),
    _fine("mouth_centre", "mouth", 62, 0.2),
    _fine("left_wing", "nose", 31, 0.2, rows=(-20, 5), columns=(-20, 10), in_metst=True),
    _fine("right_wing", "nose", 35, 0.2, rows=(-20, 5), columns=(-10, 20), in_metst=True),
    _whole("left_eyelid", 0.3, margin=(5, 5)),
    _whole("right_eyelid", 0.3, margin=(5, 5)),
)
"""The 18 ROIs of ME-TST+ in channel order (x then y each); the 5 of ME-TST are those with `in_metst`."""

REFERENCE = _whole("nose_bridge", 0.7, margin=(15, 5), bottom=10)
"""The part of the reference box whose motion is taken as head motion and subtracted from every ROI's.

As the last of "metst_plus_ref" it stands for what was subtracted."""


def select_rois(features: str = "metst_plus") -> tuple[Roi, ...]:
    """The ROIs of a feature set, in channel order; an `InputError` for another name.

    5 for "metst", 18 for "metst_plus", 19 for "metst_plus_ref" (`REFERENCE` last).
    """
    one_of("features", features, FEATURES)
    if features == "metst":
        return tuple(roi for roi in ROIS if roi.in_metst)
    return ROIS if features == "metst_plus" else (*ROIS, REFERENCE)


def roi_names(features: str = "metst_plus") -> list[str]:
    """The names of a feature set's ROIs, in channel order."""
    return [roi.name for roi in select_rois(features)]


def channel_names(features: str = "metst_plus") -> list[str]:
    """The names of a feature set's 2R channels: `<roi>_x`, `<roi>_y` for each ROI."""
    return [f"{name}_{axis}" for name in roi_names(features) for axis in "xy"]


def channel_indices(features: str = "metst") -> list[int]:
    """Which of the 38 channels of "metst_plus_ref" make up `features`, in the order of `features`.

    The first 36 of the 38 are those of "metst_plus".
    """
    everything = channel_names("metst_plus_ref")
    return [everything.index(name) for name in channel_names(features)]


def boxes_on_crop(points: np.ndarray, features: str = "metst_plus") -> dict[str, Bounds]:
    """Where flow is computed: the boxes a feature set needs and the reference box, on the crop, by box name.

    `points`: the 68 landmarks (68, 2) in crop pixels (x, y); they are rounded to integers.
    """
    points = round_points(points)
    names = dict.fromkeys([REFERENCE.box, *(roi.box for roi in select_rois(features))])
    return {name: BOXES[name].bounds(points) for name in names}


def rois_on_crop(points: np.ndarray, features: str = "metst_plus") -> dict[str, Bounds]:
    """Which pixels each ROI averages over, on the crop, by ROI name; an empty ROI gives an empty rectangle.

    `points`: the 68 landmarks (68, 2) in crop pixels (x, y); they are rounded to integers.
    """
    points = round_points(points)
    placed = {}
    for roi in select_rois(features):
        box, region = BOXES[roi.box].bounds(points), roi.region(points)
        moved = Bounds(
            box.top + region.top, box.top + region.bottom, box.left + region.left, box.left + region.right
        )
        placed[roi.name] = EMPTY if region.empty else moved
    return placed


def round_points(points: np.ndarray) -> np.ndarray:
    """Landmarks as integers (68, 2), rounded half to even.

    An `InputError` for any other shape or a non-number.
    """
    points = number_array("landmarks", points, "the 68 iBUG points as (68, 2)").astype(float)
    if points.shape != (68, 2) or not (np.abs(points) < 2**31).all():
        raise InputError(
            f"landmarks of shape {points.shape} cannot be used; a landmarker returns the 68 iBUG points as a "
            "finite (68, 2) array of pixel coordinates (x, y), or None if there is no face"
        )
    return np.rint(points).astype(np.int64)


def _around(x: int, y: int, rows: tuple[int, int], columns: tuple[int, int]) -> Bounds:
    return Bounds(y + rows[0], y + rows[1], x + columns[0], x + columns[1])


def _cut(bounds: Bounds, height: int, width: int) -> Bounds:
    """`bounds` cut at the lower and right end of an array; empty if it starts or ends above or left of it.

    A Python slice would count a negative bound from the array's far end.  For a negative start that is empty
    too on an array longer than the slice; for a negative end (a box wholly above or left of the crop) it is
    not, and would take nearly the whole crop for that part of the face.
    """
    if bounds.top < 0 or bounds.left < 0:
        return EMPTY
    cut = Bounds(bounds.top, min(bounds.bottom, height), bounds.left, min(bounds.right, width))
    return EMPTY if cut.empty else cut
