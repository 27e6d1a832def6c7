"""Films in which nothing changes that matters: sensor noise, another size, another coding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from metst_core.video import read_frames

Frames = Iterable[np.ndarray]

NOISE = (0.5, 1.0, 2.0)
"""Standard deviations, grey levels."""
SCALES = (1.5, 0.75, 0.6)
CODECS = {"libx264": {"crf": "23"}, "libx265": {"crf": "28"}, "libvpx-vp9": {"crf": "33", "b": "0"}}
"""FFmpeg's encoders with their options."""


def noisy(frames: Frames, deviation: float) -> Iterator[np.ndarray]:
    """The frames with Gaussian noise, the same for the same deviation."""
    rng = np.random.default_rng(round(10 * deviation))
    for frame in frames:
        yield np.clip(np.rint(frame + rng.normal(0, deviation, frame.shape)), 0, 255).astype(np.uint8)


def scaled(frames: Frames, factor: float) -> Iterator[np.ndarray]:
    """The frames at another size, even in width and height."""
    for frame in frames:
        size = (2 * round(frame.shape[1] * factor / 2), 2 * round(frame.shape[0] * factor / 2))
        yield cv2.resize(frame, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def encoded(path: Path, frames: Frames, codec: str, fps: float) -> Path:
    """Write RGB frames with an encoder of `CODECS`."""
    with av.open(path, "w") as container:
        stream: Any = container.add_stream(
            codec, rate=Fraction(fps).limit_denominator(1001), options=CODECS[codec]
        )
        for number, frame in enumerate(frames):
            if number == 0:
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.thread_count = 1
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    return path


def recoded(frames: Frames, codec: str, folder: Path, fps: float) -> Iterator[np.ndarray]:
    """The frames as they come back from a coding; the file in `folder` is taken away."""
    path = encoded(folder / f"{codec}.mkv", frames, codec, fps)
    yield from read_frames(path)
    path.unlink()


def change_of(name: str, folder: Path, fps: float = 30.0) -> Callable[[Frames], Iterator[np.ndarray]]:
    """What a name of `perturbations` stands for; of "scale" with any factor."""
    kind, _, amount = name.partition(" ")
    return partial(scaled, factor=float(amount)) if kind == "scale" else perturbations(folder, fps)[name]


def perturbations(folder: Path, fps: float = 30.0) -> dict[str, Callable[[Frames], Iterator[np.ndarray]]]:
    """By name, what can be done to the frames of a film; codings pass through a file in `folder`."""
    return {
        **{f"noise {deviation:g}": partial(noisy, deviation=deviation) for deviation in NOISE},
        **{f"scale {factor:g}": partial(scaled, factor=factor) for factor in SCALES},
        **{codec: partial(recoded, codec=codec, folder=folder, fps=fps) for codec in CODECS},
    }
