// The browser's camera: pictures go to the kernel, scores come back and are drawn (metst_core/live.py).

const EVERY_MS = 33; // a picture per frame at 30 frames per second
const WHY = {
  NotFoundError: "none was found",
  NotAllowedError: "the browser may not use it",
  NotReadableError: "another program uses it",
};
const PAGE = `
  <div style="display: flex; gap: 1rem; align-items: flex-start; flex-wrap: wrap">
    <div>
      <video width="320" height="240" muted playsinline style="background: #222"></video><br>
      <button>start the camera</button> <span class="status" role="status"></span>
    </div>
    <figure style="margin: 0">
      <canvas width="520" height="240" role="img" aria-label="the smoothed score over the last seconds"></canvas>
      <figcaption class="told" style="font: 13px sans-serif"></figcaption>
    </figure>
  </div>`;

function render({ model, el }) {
  el.innerHTML = PAGE;
  const [video, button, canvas] = ["video", "button", "canvas"].map((tag) => el.querySelector(tag));
  const status = el.querySelector(".status"), told = el.querySelector(".told");
  const grab = document.createElement("canvas");
  let stream = null, timer = null, busy = false;

  function stop() {
    clearInterval(timer);
    stream?.getTracks().forEach((track) => track.stop());
    stream = timer = video.srcObject = null;
    button.textContent = "start the camera";
    model.send({ kind: "stop" });
  }

  async function start() {
    if (!navigator.mediaDevices)
      return "No camera: browsers allow one only on https or localhost. Give a file instead.";
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, frameRate: 30 } });
    } catch (error) {
      return `No camera: ${WHY[error.name] ?? error.name}. Give a file instead.`;
    }
    stream.getVideoTracks()[0].onended = () => { stop(); status.textContent = "the camera is gone"; };
    video.srcObject = stream;
    await video.play();
    [grab.width, grab.height] = [video.videoWidth, video.videoHeight];
    model.send({ kind: "start" });
    timer = setInterval(send, EVERY_MS);
    button.textContent = "stop";
    return "the first score comes after a window of frames";
  }

  function send() {
    if (busy) return;
    busy = true;
    const seconds = performance.now() / 1000;
    grab.getContext("2d").drawImage(video, 0, 0);
    grab.toBlob(async (picture) => {
      busy = false;
      if (stream && picture) model.send({ kind: "frame", seconds }, undefined, [await picture.arrayBuffer()]);
    }, "image/jpeg", 0.9);
  }

  button.onclick = async () => {
    if (stream) { stop(); status.textContent = ""; return; }
    button.disabled = true;
    status.textContent = await start();
    button.disabled = false;
  };
  model.on("msg:custom", (message) => {
    if (message.kind !== "score" || !stream) return;
    draw(canvas, message);
    if (message.score.length) told.textContent = `Smoothed score; dashed: the threshold. A frame's score comes ${message.delay.toFixed(1)} s after the frame.`;
    status.textContent = message.problem || (message.dropped ? `${message.dropped} frames dropped: this machine is too slow` : "");
  });
  return () => { if (stream) stop(); };
}

// The score of the last `span` seconds; the newest at the right, `delay` seconds before now.
function draw(canvas, { score, rate, span, delay, threshold }) {
  const c = canvas.getContext("2d"), left = 42, top = 8;
  const w = canvas.width - left - 10, h = canvas.height - top - 36;
  const x = (ago) => left + w - ((ago - delay) / span) * w, y = (value) => top + h - value * h;
  c.clearRect(0, 0, canvas.width, canvas.height);
  c.font = "12px sans-serif";
  c.fillStyle = "#555";
  c.textAlign = "right";
  for (const value of [0, 0.5, 1]) c.fillText(value, left - 5, y(value) + 4);
  c.textAlign = "center";
  for (let ago = Math.ceil(delay); ago <= span + delay; ago += 2) c.fillText(-ago, x(ago), top + h + 15);
  c.fillText("time (s), now being 0", left + w / 2, top + h + 31);
  c.save();
  c.translate(11, top + h / 2);
  c.rotate(-Math.PI / 2);
  c.fillText("score (0 to 1)", 0, 0);
  c.restore();
  c.strokeStyle = "#bbb";
  c.strokeRect(left, top, w, h);
  c.strokeStyle = "#0072B2";
  c.lineWidth = 2;
  c.beginPath();
  score.forEach((value, i) => c.lineTo(x(delay + (score.length - 1 - i) / rate), y(value)));
  c.stroke();
  c.lineWidth = 1;
  if (threshold === null) return;
  c.strokeStyle = "#000";
  c.setLineDash([5, 4]);
  c.beginPath();
  c.moveTo(left, y(threshold));
  c.lineTo(left + w, y(threshold));
  c.stroke();
  c.setLineDash([]);
}

export default { render };
