"""What every landmarker is and takes, whoever makes the points."""

from __future__ import annotations

import threading
from collections.abc import Callable

import cv2
import numpy as np

from metst_core.errors import InputError

Landmarker = Callable[[np.ndarray], np.ndarray | None]


def one_at_a_time(landmarker: Landmarker) -> Landmarker:
    """The landmarker for several threads, which wait for each other."""
    lock = threading.Lock()

    def find(image: np.ndarray) -> np.ndarray | None:
        with lock:
            return landmarker(image)

    return find


def as_rgb(image: np.ndarray) -> np.ndarray:
    """The image as RGB (H, W, 3) uint8; `InputError` for what is neither grey (H, W) nor RGB in uint8."""
    image = np.asarray(image)
    if (
        image.dtype != np.uint8
        or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3))
        or not image.size
    ):
        raise InputError(
            f"an image of shape {image.shape} and type {image.dtype} cannot be searched for a face; "
            "give (H, W) grey or (H, W, 3) RGB in uint8"
        )
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)  # in a thirtieth of the time of `np.repeat`
    return np.ascontiguousarray(image)
