"""A live picture: frames in as they come, scores out with a stated delay; and a camera for notebooks.

The browser takes the pictures and sends them to the kernel, which is this machine when Jupyter runs here.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import torch

from metst_core.decoding import smooth
from metst_core.errors import MetstError
from metst_core.files import ASSETS
from metst_core.inference import TrainedModel
from metst_core.landmarks import Landmarker, MediaPipeLandmarker
from metst_core.models import evaluating
from metst_core.motion import WindowTracker
from metst_core.streaming import Answer, window_stream
from metst_core.video import decoded
from metst_core.workers import one_thread

_WAITING = 90  # frames in the queue before new ones are dropped: 3 s at 30 per second
_LONGEST_PAUSE = 2.0  # seconds between two frames that are filled with the later one
_CAMERA = ASSETS / "camera.js"


class LiveScore:
    """Scores frames that arrive one at a time, in a thread of its own.

    `push` takes a frame and its time and never waits: when the work falls behind by `_WAITING` frames, frames are
    dropped and counted in `dropped`.  A pause of more than `_LONGEST_PAUSE` seconds, or a clock that is set back by
    more, is no part of the picture: the score goes on from the next frame, and `jumps` counts it.  The windows are those of `analyse` with one phase, and so are the scores, but the network
    runs frame by frame (`streaming.Stream`): a frame's score is known as soon as the 2 or 3 frames are in that the
    network looks ahead, not only when its window is full.  One that reads backwards too has to wait for the window.
    """

    def __init__(self, trained: TrainedModel, landmarker: Landmarker | None = None) -> None:
        self.trained = trained
        self.dropped = self.jumps = 0
        self.error: Exception | None = None
        self._landmarker: Landmarker = MediaPipeLandmarker() if landmarker is None else landmarker
        self._frames: queue.Queue[np.ndarray | None] = queue.Queue(_WAITING)
        self._next = 0.0
        self._started: float | None = None
        self._pushed: list[float] = []
        self._scores: list[float] = []
        self._delays: list[float] = []
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def push(self, frame: np.ndarray, seconds: float) -> None:
        """The next RGB frame (H, W, 3), shown at `seconds`; it is repeated or left out to keep the model's rate."""
        if not math.isfinite(seconds):
            return
        if self._started is None:
            self._started = self._next = seconds
        tick = 1 / self.trained.fps
        if (
            not -_LONGEST_PAUSE <= seconds - self._next <= _LONGEST_PAUSE
        ):  # a clock that was set: count on from here
            self.jumps += 1
            self._next = seconds
        while self._next <= seconds + tick / 2:
            self._next += tick
            try:
                self._frames.put_nowait(frame)
            except queue.Full:
                self.dropped += 1
            else:
                self._pushed.append(time.monotonic())

    def finish(self) -> None:
        """No frame comes any more: wait for the scores that are still due."""
        self._frames.put(None)
        self._thread.join()
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """Nobody waits for the scores that are still due: forget the frames and let the thread end."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._frames.get_nowait()
        self._frames.put(None)

    @property
    def n_scores(self) -> int:
        """How many frames have a score."""
        return len(self._scores)

    @property
    def score(self) -> np.ndarray:
        """The scores so far, (n,), at the model's rate from the first frame on."""
        return np.array(self._scores)

    @property
    def delay(self) -> float:
        """Seconds from a frame's arrival to its score, the longest of the latest window; NaN before the first."""
        return max(self._delays[-self.trained.window // 2 :], default=float("nan"))

    def _work(self) -> None:
        try:
            with evaluating(self.trained.network), one_thread():
                for score in _scores(self._incoming(), self.trained, self._landmarker):
                    self._delays.append(time.monotonic() - self._pushed[len(self._scores)])
                    self._scores.append(score)
        except Exception as error:  # handed over: a thread has nobody to raise to
            self.error = error

    def _incoming(self) -> Iterator[np.ndarray]:
        while (frame := self._frames.get()) is not None:
            yield frame


def _scores(frames: Iterator[np.ndarray], trained: TrainedModel, landmarker: Landmarker) -> Iterator[float]:
    """The score of every RGB frame in order, each as early as it is known."""
    half, n_frames = trained.window // 2, 0
    lock = threading.Lock()  # landmarkers are asked for one image at a time

    def find(image: np.ndarray) -> np.ndarray | None:
        with lock:
            return landmarker(image)

    windows: list[_LiveWindow] = []  # two at most: each frame lies in two windows
    with ThreadPoolExecutor(1) as helper:
        for frame in frames:
            if n_frames % half == 0:
                windows.append(_LiveWindow(trained, find, n_frames))
            grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            n_frames += 1
            later = [helper.submit(window.add, grey) for window in windows[1:]]
            yield from windows[0].add(grey)
            for answers in later:
                yield from answers.result()
            if windows[0].n_pushed == trained.window:
                yield from windows.pop(0).finish()
    # As in `stream_motion`: the last window is filled up with its last motion, if it is needed at all.
    for window in windows:
        if n_frames > 1 and (window.start == 0 or window.start + half < n_frames):
            yield from window.fill()


class _LiveWindow:
    """One window while it fills: its motion, measured frame by frame, goes on to the network at once.

    As in stitching, the first window of all answers for every frame of its, a later one for its second half.
    """

    def __init__(self, trained: TrainedModel, landmarker: Landmarker, start: int) -> None:
        self.start, self.n_pushed = start, 0
        self._length = trained.window
        self._first = 0 if start == 0 else trained.window // 2  # the first frame that it answers for
        self._tracker = WindowTracker(landmarker, trained.features)
        self._stream = window_stream(trained.network)
        self._has_face: list[bool] = []
        self._n_answers = 0
        self._like = trained.network.score_head.weight
        self._motion = np.zeros(0, np.float32)

    def add(self, grey: np.ndarray) -> list[float]:
        """Measure the next frame; the scores that are now known."""
        self._motion = self._tracker.step(grey).astype(np.float32)
        self._has_face.append(self._tracker.reference is not None)
        return self._push()

    def finish(self) -> list[float]:
        """The scores still due once the window is full."""
        return self._known(self._stream.finish())

    def fill(self) -> list[float]:
        """The scores still due where no frame comes any more."""
        filled = [score for _ in range(self._length - self.n_pushed) for score in self._push()]
        return filled + self.finish()

    def _push(self) -> list[float]:
        self.n_pushed += 1
        return self._known(self._stream.push(torch.from_numpy(self._motion[None]).to(self._like)))

    def _known(self, answers: list[Answer]) -> list[float]:
        """The scores of the window's own frames among the answers; 0 where there was no face."""
        numbers = range(self._n_answers, self._n_answers + len(answers))
        self._n_answers += len(answers)
        return [
            float(score) if self._has_face[number] else 0.0
            for number, (score, _) in zip(numbers, answers, strict=True)
            if self._first <= number < len(self._has_face)
        ]


def camera_widget(
    trained: TrainedModel, seconds: float = 10.0, landmarker: Callable[[], Landmarker] = MediaPipeLandmarker
) -> Any:
    """A widget that shows the browser's camera and the score of its last `seconds`, drawn as it comes in.

    landmarker: makes one for every start of the camera.

    Without a camera the widget says so.  Raises a `MetstError` where anywidget is not installed.
    """
    try:
        import anywidget
    except ImportError as error:
        raise MetstError(
            "the camera widget needs the package anywidget; install it, or give a video file"
        ) from error

    class Camera(anywidget.AnyWidget):
        _esm = _CAMERA

        def __init__(self) -> None:
            super().__init__()
            self.live: LiveScore | None = None
            self.on_msg(self._heard)

        def _heard(self, _widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
            if content["kind"] == "frame" and self.live is not None:
                with contextlib.suppress(
                    KeyError, TypeError, ValueError
                ):  # an empty or damaged picture: the next one comes soon
                    picture = decoded(bytes(buffers[0]) if buffers else b"", "camera")
                    if picture is not None:
                        self.live.push(picture, float(content["seconds"]))
                self._tell(self.live)
            elif content["kind"] in ("start", "stop"):
                if self.live is not None:
                    self.live.stop()
                self.live = LiveScore(trained, landmarker()) if content["kind"] == "start" else None
                self._shown = 0

        def _tell(self, live: LiveScore) -> None:
            """Send what is new: the smoothed score as far as later frames cannot change it."""
            if live.n_scores == self._shown and live.error is None:
                return
            self._shown = live.n_scores
            final = np.zeros(0)
            if self._shown:
                final = smooth(live.score, trained.k_p)[: max(0, self._shown - trained.k_p)]
            self.send({
                "kind": "score", "score": [round(float(v), 3) for v in final[-round(seconds * trained.fps) :]],
                "rate": trained.fps, "span": seconds, "threshold": trained.threshold,
                "delay": live.delay + trained.k_p / trained.fps if len(final) else 0.0,
                "dropped": live.dropped, "problem": str(live.error or ""),
            })  # fmt: skip

    return Camera()
