"""What is behind a person while the film runs: still, swaying (leaves, a curtain), or somebody passing."""

from __future__ import annotations

import cv2
import numpy as np

SWAY_PIXELS = 1.6
"""Root mean square of the swaying along each axis, frame pixels; assumed."""
_PASS_SECONDS = (2.0, 6.0)
_PAUSE_SECONDS = (0.5, 5.0)
"""Somebody takes so long from one edge to the other, and so long passes until the next; assumed."""


class Backdrop:
    """A background in motion: a pure function of the key, of time and of the still picture."""

    def __init__(self, kind: str, size: int, seconds: float, key: tuple[int, ...]) -> None:
        rng = np.random.default_rng(key)
        self._grid = np.dstack(np.meshgrid(np.arange(size), np.arange(size))).astype(np.float32)
        self._size = size
        self._waves: list[tuple[np.ndarray, float, float]] = []
        self._passers: list[tuple[float, float, float, np.ndarray, np.ndarray]] = []
        if kind == "still":
            return
        for _ in range(3):
            field = cv2.GaussianBlur(
                rng.standard_normal((size, size, 2)).astype(np.float32), (0, 0), size / 7
            )
            field *= SWAY_PIXELS / np.sqrt((field**2).mean())
            self._waves.append((field, float(rng.uniform(0.15, 0.9)), float(rng.uniform(0, 2 * np.pi))))
        time = float(rng.uniform(0, _PAUSE_SECONDS[1])) if kind == "people" else seconds
        while time < seconds:
            length = float(rng.uniform(*_PASS_SECONDS))
            shape = _silhouette(rng, size)
            colour = rng.uniform(20, 110, 3).astype(np.float32)
            self._passers.append((time, length, float(rng.choice([-1, 1])), shape, colour))
            time += length + float(rng.uniform(*_PAUSE_SECONDS))

    @property
    def moves(self) -> bool:
        return bool(self._waves)

    def at(self, second: float, still: np.ndarray) -> np.ndarray:
        """The picture `still (size, size, 3)` uint8 as it is at this time."""
        if not self._waves:
            return still
        place = self._grid.copy()
        for field, rate, phase in self._waves:
            place += field * np.float32(np.sin(2 * np.pi * rate * second + phase) * 0.8)
        moved = cv2.remap(still, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        for start, length, side, shape, colour in self._passers:
            share = (second - start) / length
            if 0 <= share <= 1:
                x = side * (share - 0.5) * 1.6 * self._size
                there = np.array([[1, 0, x], [0, 1, 2 * np.sin(9 * share * length)]], np.float32)
                alpha = cv2.warpAffine(shape, there, (self._size, self._size))
                person = np.broadcast_to(colour, moved.shape).astype(np.uint8)
                moved = cv2.blendLinear(person, moved, alpha, 1 - alpha)
        return moved


def _silhouette(rng: np.random.Generator, size: int) -> np.ndarray:
    """Somebody out of focus, standing in the middle: how much of them is at each pixel, 0..1."""
    shape = np.zeros((size, size), np.float32)
    top, half = rng.uniform(0.05, 0.3) * size, rng.uniform(0.07, 0.10) * size
    cv2.ellipse(
        shape, (size // 2, int(top + 1.3 * half)), (int(half), int(1.3 * half)), 0, 0, 360, (1.0,), -1
    )
    # from the neck over the shoulders down the arm, half widths from the middle; heights below the top of the head
    sides = [(0.55, 2.0), (0.65, 2.9), (1.9, 3.3), (2.4, 4.0), (2.6, 6.5), (2.7, 20.0)]
    right = [(size / 2 + x * half, top + y * half) for x, y in sides]
    left = [(size - x, y) for x, y in right[::-1]]
    cv2.fillPoly(shape, [np.array(right + left, np.int32)], (1.0,))
    return cv2.GaussianBlur(shape, (0, 0), size / 45) * np.float32(0.9)
