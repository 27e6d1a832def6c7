"""A live picture: frames in as they come, scores out with a stated delay; and a camera for notebooks.

The browser takes the pictures and sends them to the kernel, which is this machine when Jupyter runs here.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from metst_core.errors import MetstError
from metst_core.files import ASSETS
from metst_core.inference import TrainedModel
from metst_core.landmarks import Landmarker, MediaPipeLandmarker
from metst_core.models import predict_video
from metst_core.motion import stream_motion
from metst_core.workers import one_thread

_WAITING = 90  # frames in the queue before new ones are dropped: 3 s at 30 per second
_CAMERA = ASSETS / "camera.js"


class LiveScore:
    """Scores frames that arrive one at a time, in a thread of its own.

    `push` takes a frame and its time and never waits: when the work falls behind by `_WAITING` frames, frames are
    dropped and counted in `dropped`.  A frame's score is known once its window is full, half a window (25 frames,
    0.8 s) later; the windows are those of `analyse`, and so are the scores.
    """

    def __init__(self, trained: TrainedModel, landmarker: Landmarker | None = None) -> None:
        self.trained = trained
        self.dropped = 0
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
        if self._started is None:
            self._started = self._next = seconds
        tick = 1 / self.trained.fps
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
            for part in stream_motion(
                self._incoming(), self._landmarker, self.trained.features, self.trained.window, n_threads=2
            ):
                with one_thread():
                    score, _ = predict_video(self.trained.network, part.motion[None])
                first = 0 if part.start == 0 else self.trained.window // 2
                known = np.where(part.has_face, score[: len(part.has_face)], 0.0)[first:]
                now = time.monotonic()
                arrived = self._pushed[part.start + first : part.start + first + len(known)]
                self._delays += [now - then for then in arrived]
                self._scores += known.tolist()
        except Exception as error:  # handed over: a thread has nobody to raise to
            self.error = error

    def _incoming(self) -> Iterator[np.ndarray]:
        while (frame := self._frames.get()) is not None:
            yield frame


def camera_widget(trained: TrainedModel, seconds: float = 10.0) -> Any:
    """A widget that shows the browser's camera and the score of its last `seconds`, drawn as it comes in.

    Without a camera the widget says so.  Raises a `MetstError` where anywidget is not installed.
    """
    try:
        import anywidget
    except ImportError as error:
        raise MetstError(
            "the camera widget needs the package anywidget; install it, or give a video file"
        ) from error
    from metst_core.decoding import smooth

    class Camera(anywidget.AnyWidget):
        _esm = _CAMERA

        def __init__(self) -> None:
            super().__init__()
            self.live: LiveScore | None = None
            self.on_msg(self._heard)

        def _heard(self, _widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
            if content["kind"] == "frame" and self.live is not None:
                picture = cv2.imdecode(np.frombuffer(buffers[0], np.uint8), cv2.IMREAD_COLOR)
                if picture is not None:
                    self.live.push(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), content["seconds"])
                self._tell(self.live)
            elif content["kind"] in ("start", "stop"):
                if self.live is not None:
                    self.live.stop()
                self.live = LiveScore(trained) if content["kind"] == "start" else None
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
