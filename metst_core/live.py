"""A live picture: frames in as they come, scores out with a stated delay; and a camera for notebooks.

The browser takes the pictures and sends them to the kernel, which is this machine when Jupyter runs here.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from metst_core.errors import MetstError
from metst_core.landmarks import Landmarker, MediaPipeLandmarker
from metst_core.models import predict_video
from metst_core.motion import stream_motion
from metst_core.pipeline import TrainedModel

_WAITING = 90  # frames in the queue before new ones are dropped: 3 s at 30 per second


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
                self._incoming(), self._landmarker, self.trained.features, self.trained.window
            ):
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


_CAMERA = """
export default { render({ model, el }) {
  el.innerHTML = `<div style="display:flex;gap:1rem;align-items:flex-start;flex-wrap:wrap"><div><video width="320" height="240" muted playsinline
    style="background:#222"></video><br><button>start the camera</button> <span></span></div><canvas width="520" height="240"></canvas></div>`;
  const video = el.querySelector("video"), button = el.querySelector("button"), say = el.querySelector("span");
  const plot = el.querySelector("canvas").getContext("2d"), grab = document.createElement("canvas");
  let stream = null, timer = null, busy = false;
  function stop() { clearInterval(timer); stream?.getTracks().forEach(t => t.stop()); stream = timer = null; button.textContent = "start the camera"; model.send({ kind: "stop" }); }
  button.onclick = async () => {
    if (stream) return stop();
    if (!navigator.mediaDevices) { say.textContent = "No camera here: browsers allow one only on https or localhost. Upload a file instead."; return; }
    try { stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, frameRate: 30 } }); }
    catch (e) { say.textContent = "No camera (" + e.name + "). Upload a file instead."; return; }
    video.srcObject = stream; await video.play(); button.textContent = "stop"; say.textContent = "the first score comes after a window of frames";
    grab.width = video.videoWidth; grab.height = video.videoHeight; model.send({ kind: "start" });
    timer = setInterval(() => { if (busy) return; busy = true; const seconds = performance.now() / 1000;
      grab.getContext("2d").drawImage(video, 0, 0);
      grab.toBlob(async b => { busy = false; if (stream && b) model.send({ kind: "frame", seconds }, undefined, [await b.arrayBuffer()]); }, "image/jpeg", 0.9); }, 33);
  };
  model.on("msg:custom", m => {
    if (m.kind !== "score") return;
    const w = 520, h = 240, n = m.score.length; plot.clearRect(0, 0, w, h); plot.strokeStyle = "#bbb"; plot.strokeRect(.5, 10.5, w - 1, h - 31);
    plot.beginPath(); plot.strokeStyle = "#0072B2"; plot.lineWidth = 2; m.score.forEach((s, i) => plot.lineTo(i / Math.max(1, n - 1) * w, h - 22 - s * (h - 34))); plot.stroke();
    const y = h - 22 - m.threshold * (h - 34); plot.setLineDash([5, 4]); plot.strokeStyle = "#000"; plot.lineWidth = 1; plot.beginPath(); plot.moveTo(0, y); plot.lineTo(w, y); plot.stroke(); plot.setLineDash([]);
    plot.fillStyle = "#333"; plot.font = "12px sans-serif"; plot.fillText("smoothed score (0 to 1) of the last " + m.seconds.toFixed(0) + " s; it comes " + m.delay.toFixed(1) + " s late", 4, h - 5);
    say.textContent = m.problem || (m.dropped ? m.dropped + " frames dropped: this machine is too slow" : "");
  });
  return () => { if (stream) stop(); };
} };
"""


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
            if content["kind"] == "start":
                self.live, self._shown = LiveScore(trained), 0
            elif content["kind"] == "frame" and self.live is not None:
                picture = cv2.imdecode(np.frombuffer(buffers[0], np.uint8), cv2.IMREAD_COLOR)
                if picture is not None:
                    self.live.push(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), content["seconds"])
                self._tell(self.live)
            elif content["kind"] == "stop" and self.live is not None:
                live, self.live = self.live, None
                threading.Thread(target=live.finish, daemon=True).start()

        def _tell(self, live: LiveScore) -> None:
            score = live.score
            if len(score) == self._shown and live.error is None:
                return
            self._shown = len(score)
            last = smooth(score, trained.k_p)[-round(seconds * trained.fps) :] if len(score) else score
            self.send({
                "kind": "score", "score": [round(v, 3) for v in last.tolist()], "seconds": len(last) / trained.fps,
                "threshold": trained.threshold or 0.0, "delay": live.delay if len(score) else 0.0,
                "dropped": live.dropped, "problem": str(live.error or ""),
            })  # fmt: skip

    return Camera()
