"""Dense optical flow after Farnebäck (SCIA 2003), with the method's parameters: OpenCV's numbers, four times faster.

Around every pixel an image is approximated by a quadratic polynomial (weighted least squares; the weights are a
Gaussian, so the fit is a few separable convolutions).  If the second image is the first one moved by d, the two
polynomials' linear coefficients differ by 2 A d, with A the quadratic ones: two equations per pixel, averaged over
a window of 15 x 15.  The second image's coefficients are read (bilinear) where the flow so far points to, and this
is repeated, five times on each level of an image pyramid.

The bits of reference, those of published numbers and cached features, are those of
`cv2.calcOpticalFlowFarneback(before, after, None, **FARNEBACK)` in OpenCV 4.11 on x86-64 (with AVX2).  The kernels of
`flow_cpu` give them whatever OpenCV is installed.  OpenCV's own call does not: 5.1 resizes images for the pyramid with
other last bits than 4.11 (flow moves by some 1e-6 pixels), and a build for ARM rounds differently.  OpenCV's call is
used where the kernels cannot be compiled or are not within `TOLERANCE` of it on a small picture, which every process
tries out once (`has_kernels`), and for images that are too small or too wide for them.
"""

from __future__ import annotations

import functools
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from metst_core.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

FARNEBACK = {
    "pyr_scale": 0.5,
    "levels": 3,
    "winsize": 15,
    "iterations": 5,
    "poly_n": 7,
    "poly_sigma": 1.5,
    "flags": 0,
}
"""Parameters of `cv2.calcOpticalFlowFarneback`."""

MIN_LEVEL = 32
"""A level of the pyramid above the image itself is used if it is at least this wide and high."""
SHORTEST, WIDEST = 10, 320
"""Smaller and wider images are left to OpenCV, which weights the edges of small ones in a way of its own."""
TOLERANCE = 1e-4
"""Pixels by which two ways of rounding may differ on pictures with texture; fused multiply-add throughout, as in
builds for ARM, was measured to differ by 6e-5 at most.  Where there is none, at the edges of flat or striped pictures,
rounding decides whether a flow points out of the image, and they may differ by tenths of a pixel."""


def box_flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Dense optical flow from one grey image (h, w) to another: `(h, w, 2)` float32, pixels (dx, dy)."""
    return FlowFrom(before).to(after)


class FlowFrom:
    """Flow from one grey uint8 image (h, w) to any number of others; its own polynomials are fitted once.

    Threads may share it.
    """

    def __init__(self, before: np.ndarray) -> None:
        _check(before, before.shape)
        self.shape = before.shape
        self._before = before.copy()
        self._pyramid: list[tuple[_Level, np.ndarray]] = []
        if min(self.shape) >= SHORTEST and self.shape[1] <= WIDEST and has_kernels():
            self._pyramid = _expanded_levels(before)

    def to(self, after: np.ndarray) -> np.ndarray:
        """Flow to another grey uint8 image of the same shape: `(h, w, 2)` float32, pixels (dx, dy)."""
        _check(after, self.shape)
        return _kernel_flow(self._pyramid, after) if self._pyramid else opencv_flow(self._before, after)


def opencv_flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The same by OpenCV's own call: up to rounding, and to the last bit in OpenCV 4.11 on x86-64."""
    flow: np.ndarray = cv2.calcOpticalFlowFarneback(before, after, None, **FARNEBACK)  # type: ignore[call-overload]
    return flow


@functools.cache
def has_kernels() -> bool:
    """Whether the kernels can be compiled here and agree with the installed OpenCV; else OpenCV computes the flow."""
    before, after = _probe()
    try:
        apart = np.abs(_kernel_flow(_expanded_levels(before), after) - opencv_flow(before, after)).max()
        problem = "" if apart <= TOLERANCE else f"they are {apart:.1g} pixels from OpenCV's flow"
    except Exception as error:  # whatever keeps numba from compiling or running: there is another way
        problem = f"{type(error).__name__}: {error}"
    if problem:
        warnings.warn(
            f"the flow kernels cannot be used here ({problem}); OpenCV computes the flow, in four times the time",
            RuntimeWarning,
            stacklevel=2,
        )
    return not problem


def _probe() -> tuple[np.ndarray, np.ndarray]:
    """A grey picture with two levels in its pyramid, and the same warped by up to three pixels."""
    rows, columns = np.mgrid[:66, :75].astype(np.float32)

    def picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        waves = np.sin(x / 3.1 + y / 7.3) + np.sin(y / 2.7 - x / 9.1) + np.sin((x * y) / 211)
        return np.rint(127 + 42 * waves).astype(np.uint8)

    return picture(columns, rows), picture(columns + 3 * np.sin(rows / 11), rows + 2 * np.cos(columns / 13))


def _check(image: np.ndarray, shape: tuple[int, ...]) -> None:
    if image.ndim != 2 or image.shape != shape or image.dtype != np.uint8 or not image.size:
        raise InputError(
            f"an image has shape {image.shape} and type {image.dtype}; flow is measured between grey images (h, w) "
            "of one size in uint8"
        )


@dataclass(frozen=True)
class _Level:
    """A level of an image pyramid: its size, and the Gaussian that smooths the image itself for it."""

    height: int
    width: int
    kernel: int
    sigma: float


def _levels(height: int, width: int) -> list[_Level]:
    """From the full size up to `levels` times halved, as far as that is still MIN_LEVEL pixels wide and high."""
    levels = []
    for number in range(int(FARNEBACK["levels"]) + 1):
        scale = 2**number
        if number and min(height, width) / scale < MIN_LEVEL:
            break
        sigma = (scale - 1) / 2
        levels.append(
            _Level(round(height / scale), round(width / scale), max(round(sigma * 5) | 1, 3), sigma)
        )
    return levels


def _expanded_levels(image: np.ndarray) -> list[tuple[_Level, np.ndarray]]:
    """An image's levels, the smallest first, each with its polynomials."""
    kernels, work, grey = flow_kernels(), _workspace.of(image.shape[0]), image.astype(np.float32)
    pyramid = []
    for level in reversed(_levels(*image.shape)):
        polynomials = _plane(kernels.COEFFICIENTS * (level.height + 2 * kernels.ROWS))
        work.expand(grey, level, polynomials)
        pyramid.append((level, polynomials))
    return pyramid


def _kernel_flow(pyramid: list[tuple[_Level, np.ndarray]], after: np.ndarray) -> np.ndarray:
    """Flow from the image with this pyramid (`_expanded_levels`) to another."""
    kernels, work, grey = flow_kernels(), _workspace.of(after.shape[0]), after.astype(np.float32)
    first = pyramid[0][0]
    flow: np.ndarray = np.zeros((first.height, first.width, 2), np.float32)
    for level, polynomials in pyramid:
        if level is not first:
            flow = 2 * cv2.resize(flow, (level.width, level.height))
        work.expand(grey, level, work.polynomials)
        kernels.improve(
            flow, polynomials, work.polynomials, work.scratch, work.flow, work.equations, work.sums
        )
    return flow


class _Workspace(threading.local):
    """A thread's working memory, as high as its highest image so far."""

    height = 0

    def of(self, height: int) -> _Workspace:
        """This workspace, high enough for an image of that height."""
        if height > self.height:
            kernels = flow_kernels()
            self.image = _plane(height + 2 * kernels.POLY_N)
            self.polynomials = _plane(kernels.COEFFICIENTS * (height + 2 * kernels.ROWS))
            self.equations = _plane(kernels.COEFFICIENTS * height)
            self.flow = _plane(kernels.FLOW_ROWS * height)
            self.scratch = _plane(kernels.SCRATCH_ROWS)
            self.sums = _plane(kernels.SUM_ROWS, np.float64)
            self.height = height
        return self

    def expand(self, image: np.ndarray, level: _Level, out: np.ndarray) -> None:
        """Polynomials of one level of a float32 image; every level is made from the image itself."""
        kernels = flow_kernels()
        blurred = cv2.GaussianBlur(image, (level.kernel, level.kernel), level.sigma)
        if level.sigma:
            kernels.shrink(blurred, level.height, level.width, self.image)
        else:
            rows = self.image.reshape(-1, kernels.PITCH)[kernels.POLY_N : kernels.POLY_N + level.height]
            rows[:, kernels.PAD : kernels.PAD + level.width] = blurred
        kernels.expand(self.image, level.height, level.width, self.scratch, out)


_workspace = _Workspace()


def _plane(rows: int, kind: Any = np.float32) -> np.ndarray:
    """Zeros for so many rows of the kernels' layout, from a cache line on, so that no vector straddles two."""
    size = rows * flow_kernels().PITCH * np.dtype(kind).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(kind)


@functools.cache
def flow_kernels() -> ModuleType:
    """`flow_cpu`, imported when flow is first wanted: numba takes half a second to import."""
    from metst_core import flow_cpu

    return flow_cpu


def prepare() -> bool:
    """Compile all kernels, as at set-up, so that the first video does not wait for it; see `has_kernels`."""
    flow_kernels().main_direction_means(np.zeros((1, 1, 2), np.float32), np.zeros((1, 4), int), np.ones(1))
    return has_kernels()


if __name__ == "__main__":
    print("flow kernels:", "compiled" if prepare() else "not used here; OpenCV computes the flow")
