"""Moving pictures without a face, and a landmarker that knows where the face would be."""

import cv2
import numpy as np


class Fake:
    """Knows where the face is; sees none on a black picture.  `calls` counts over all instances."""

    calls = 0

    def __init__(self, identity="fake"):
        self.identity = identity

    def __call__(self, image):
        Fake.calls += 1
        if not image.any():
            return None
        x, y = np.meshgrid(np.linspace(0.4, 0.6, 17), np.linspace(0.4, 0.6, 4))
        points = np.stack([x.ravel(), y.ravel()], axis=1)
        points[39], points[42] = (0.43, 0.45), (0.57, 0.45)
        return points * image.shape[::-1]


def write_frames(folder, n, seed, blank=()):
    """A folder of `n` images of a pattern that drifts by a pixel every two frames; black at `blank`."""
    rng = np.random.default_rng(seed)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (70, 80)).astype(np.uint8), (0, 0), 2)
    folder.mkdir(parents=True)
    for t in range(n):
        frame = np.roll(picture, t // 2, axis=1) if t not in blank else np.zeros_like(picture)
        cv2.imwrite(str(folder / f"{t:03d}.png"), frame)
