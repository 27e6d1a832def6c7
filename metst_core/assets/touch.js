"use strict";
// The same steps as metst_core.decoding and metst_core.metrics, in the browser.
const decode = {
  // Moving average of width 2 k, zero padded, as numpy's "same" convolution.
  smooth(score, k) {
    const width = Math.max(1, 2 * k), first = Math.floor((width - 1) / 2);
    return score.map((_, t) => {
      let sum = 0;
      for (let j = 0; j < width; j++) sum += score[t + first - j] || 0;
      return sum / width;
    });
  },
  threshold(smoothed, p) {
    const mean = smoothed.reduce((a, b) => a + b, 0) / smoothed.length;
    return mean + p * (Math.max(...smoothed) - mean);
  },
  // Peaks from a height on and at least `distance` frames apart, the higher first, as scipy's find_peaks.
  peaks(values, height, distance) {
    const found = [];
    for (let t = 1; t < values.length - 1; t++) {
      if (values[t - 1] >= values[t]) continue;
      let ahead = t + 1;
      while (ahead < values.length - 1 && values[ahead] === values[t]) ahead++;
      if (values[ahead] < values[t]) found.push(Math.floor((t + ahead - 1) / 2));
    }
    const high = found.filter((t) => values[t] >= height);
    const keep = new Set(high);
    const order = high.map((t, i) => [values[t], i]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((x) => x[1]);
    for (let i = order.length - 1; i >= 0; i--) {
      const t = high[order[i]];
      if (!keep.has(t)) continue;
      for (const other of high) if (other !== t && Math.abs(other - t) < distance) keep.delete(other);
    }
    return high.filter((t) => keep.has(t));
  },
  iou(a, b) {
    const shared = Math.max(0, Math.min(a[1], b[1]) - Math.max(a[0], b[0]) + 1);
    return shared / (a[1] - a[0] + b[1] - b[0] + 2 - shared);
  },
  // Predictions in order of onset; each true when its best interval has an IoU of 0.5 or more and is not taken.
  match(found, truth) {
    const taken = new Set();
    return found.map((f) => {
      let best = -1, most = 0;
      truth.forEach((t, i) => { const iou = decode.iou(f, t); if (iou > most) { most = iou; best = i; } });
      const hit = best >= 0 && most >= 0.5 && !taken.has(best);
      if (hit) taken.add(best);
      return hit;
    });
  },
  fixed(score, k, p) {
    const smoothed = decode.smooth(score, k), height = decode.threshold(smoothed, p);
    const found = decode.peaks(smoothed, height, Math.max(1, k)).map((t) => [t - k, t + k]);
    return { smoothed, height, found };
  },
};

const page = {
  data: JSON.parse(document.getElementById("data").textContent),
  canvas: document.getElementById("picture"),
  knobs: document.getElementById("knobs"),
  words: document.getElementById("words"),
  colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); },
  slider(label, value, low, high, step, change) {
    const box = document.createElement("label"), input = document.createElement("input"), shown = document.createElement("output");
    Object.assign(input, { type: "range", min: low, max: high, step, value });
    shown.textContent = input.value;
    input.addEventListener("input", () => { shown.textContent = input.value; change(Number(input.value)); });
    box.append(label, input, shown);
    page.knobs.append(box);
    return input;
  },
  // A drawing surface in units of (x 0..1, y 0..1 upwards).
  surface() {
    const ratio = window.devicePixelRatio || 1, box = page.canvas.getBoundingClientRect();
    page.canvas.width = box.width * ratio;
    page.canvas.height = box.height * ratio;
    const g = page.canvas.getContext("2d");
    g.scale(ratio, ratio);
    g.font = "12px system-ui, sans-serif";
    const x = (v) => 8 + v * (box.width - 16), y = (v) => box.height - 22 - v * (box.height - 34);
    return {
      line(values, colour, width = 1.5) {
        g.strokeStyle = colour; g.lineWidth = width; g.beginPath();
        values.forEach((v, i) => g[i ? "lineTo" : "moveTo"](x(i / (values.length - 1)), y(v)));
        g.stroke();
      },
      bar(a, b, n, height, colour) {
        g.strokeStyle = colour; g.lineWidth = 7; g.beginPath(); g.moveTo(x((a - 0.5) / (n - 1)), y(height)); g.lineTo(x((b + 0.5) / (n - 1)), y(height)); g.stroke();
      },
      level(height, colour) {
        g.strokeStyle = colour; g.lineWidth = 1; g.setLineDash([5, 4]); g.beginPath(); g.moveTo(x(0), y(height)); g.lineTo(x(1), y(height)); g.stroke(); g.setLineDash([]);
      },
      text(words, left, height, colour) { g.fillStyle = colour; g.fillText(words, x(left), y(height)); },
      box(left, right, low, high, colour) { g.fillStyle = colour; g.fillRect(x(left), y(high), x(right) - x(left), y(low) - y(high)); },
    };
  },
};

const TRUE = "#009E73", FALSE = "#D55E00", SCORE = "#0072B2";

function counted(hits, truth) {
  const tp = hits.filter(Boolean).length, fp = hits.length - tp, fn = truth.length - tp;
  return `${tp} found, ${fp} false, ${fn} missed; F1 ${((2 * tp) / Math.max(1, 2 * tp + fp + fn)).toFixed(2)}`;
}

const kinds = {
  knobs() {
    const { score, truth, fps, name } = page.data, now = { p: 0.55, k: page.data.k_p };
    const draw = () => {
      const s = page.surface(), n = score.length, out = decode.fixed(score, now.k, now.p), hits = decode.match(out.found, truth);
      const at = (v) => 0.12 + 0.74 * v;
      s.line(score.map(at), page.colour("--quiet"), 1);
      s.line(out.smoothed.map(at), SCORE, 2);
      s.level(at(out.height), page.colour("--ink"));
      truth.forEach((t) => s.bar(t[0], t[1], n, 0.05, page.colour("--quiet")));
      out.found.forEach((f, i) => s.bar(f[0], f[1], n, 0.94, hits[i] ? TRUE : FALSE));
      s.text("true", 0, 0.09, page.colour("--quiet"));
      s.text(`${(n / fps).toFixed(1)} s`, 0.94, -0.05, page.colour("--quiet"));
      page.words.textContent = `${name}: ${counted(hits, truth)}. Above: what is found, green where it is true, red where it is not. Below: the truth. Dashed: the threshold.`;
    };
    page.slider("threshold p", 0.55, 0.05, 0.95, 0.05, (v) => { now.p = v; draw(); });
    page.slider("half length k_p (frames)", now.k, 1, 15, 1, (v) => { now.k = v; draw(); });
    return draw;
  },
  leak() {
    let leaking = false;
    const button = document.createElement("button");
    const draw = () => {
      const s = page.surface();
      page.data.rows.forEach((row, i) => {
        const top = 0.98 - i * 0.33, value = leaking ? row.leak : row.honest;
        s.text(`${row.name}  ${value.toFixed(3)}`, 0, top - 0.06, page.colour("--ink"));
        s.box(0, Math.max(0.002, value), top - 0.24, top - 0.1, leaking ? FALSE : SCORE);
      });
      button.textContent = leaking ? "hold every person out" : "let the test persons into the training";
      button.setAttribute("aria-pressed", String(leaking));
      const strs = page.data.rows.find((row) => row.name === "STRS");
      page.words.textContent = (leaking ? "Every person is scored by a network that was trained on her." : "Every person is scored by a network that has never seen her.")
        + ` The leak changes the STRS by ${(strs.leak - strs.honest).toFixed(3)} (95% interval ${strs.low.toFixed(3)} to ${strs.high.toFixed(3)}).`;
    };
    button.addEventListener("click", () => { leaking = !leaking; draw(); });
    page.knobs.append(button);
    return draw;
  },
  bump() {
    const { noise, fps, sight, k_p: k, networks } = page.data, n = noise.length;
    const now = { on: 40, frames: 5, size: 1 };
    const run = (layers, x) => {
      layers.forEach(({ w, b }, i) => {
        x = w.map((row, r) => row.reduce((sum, v, c) => sum + v * x[c], b[r]));
        x = i < layers.length - 1 ? x.map((v) => Math.max(0, v)) : x.map((v) => 1 / (1 + Math.exp(-v)));
      });
      return x[0];
    };
    const answer = (layers, signal) => signal.map((_, t) => {
      const patch = [];
      for (let j = -Math.floor(sight / 2); j <= Math.floor(sight / 2); j++) patch.push(signal[Math.min(n - 1, Math.max(0, t + j))]);
      return run(layers, patch.map((v) => v - patch[0]));
    });
    const draw = () => {
      const signal = noise.map((v, t) => {
        const phase = (t - now.on) / now.frames;
        return v + (phase > 0 && phase < 1 ? now.size * Math.sin(Math.PI * phase) ** 2 : 0);
      });
      const s = page.surface(), truth = [[now.on, now.on + now.frames]], lines = [];
      const low = Math.min(...signal), span = Math.max(...signal) - low;
      s.line(signal.map((v) => 0.72 + (0.26 * (v - low)) / span), page.colour("--quiet"), 1.3);
      s.bar(truth[0][0], truth[0][1], n, 0.68, page.colour("--ink"));
      [["windows", 0.36, FALSE, "asked of windows"], ["frames", 0.02, SCORE, "asked of frames"]].forEach(([name, base, colour, title]) => {
        const given = answer(networks[name], signal), out = decode.fixed(given, k, 0.55), hits = decode.match(out.found, truth);
        s.line(given.map((v) => base + 0.22 * v), colour, 2);
        out.found.forEach((f, i) => s.bar(f[0], f[1], n, base + 0.26, hits[i] ? TRUE : FALSE));
        s.text(title, 0, base + 0.24, colour);
        const best = Math.max(0, ...out.found.map((f) => decode.iou(f, truth[0])));
        lines.push(`${title}: IoU ${best.toFixed(2)}, ${hits.some(Boolean) ? "found" : "missed"}`);
      });
      const frames = now.frames + 1, most = Math.min(2 * k + 1, frames) / Math.max(2 * k + 1, frames);
      page.words.textContent = `A bump of ${(now.frames / fps).toFixed(2)} s (${frames} frames), an interval of ${2 * k + 1}: at best an IoU of ${most.toFixed(2)}. ${lines.join("; ")}. Both are decoded with the fixed interval; two networks trained on one seed, so an example, not a measurement.`;
    };
    page.slider("length (frames from onset to offset)", now.frames, 3, 18, 1, (v) => { now.frames = v; draw(); });
    const place = page.slider("onset (frame)", now.on, 20, 70, 1, (v) => { now.on = v; draw(); });
    page.slider("size", 1, 0.2, 2, 0.1, (v) => { now.size = v; draw(); });
    const drag = (event) => {
      if (!event.buttons) return;
      const box = page.canvas.getBoundingClientRect();
      const frame = Math.round(((event.clientX - box.left) / box.width) * n - now.frames / 2);
      place.value = String(frame);
      place.dispatchEvent(new Event("input"));
    };
    page.canvas.addEventListener("pointerdown", drag);
    page.canvas.addEventListener("pointermove", drag);
    return draw;
  },
};

const redraw = kinds[document.body.dataset.kind]();
redraw();
window.addEventListener("resize", redraw);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
