"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const $$ = (tag, attributes, parent) => { const e = document.createElementNS("http://www.w3.org/2000/svg", tag); for (const k in attributes) e.setAttribute(k, attributes[k]); parent.append(e); return e; };
function fit(canvas) { const r = canvas.getBoundingClientRect(), s = window.devicePixelRatio || 1; canvas.width = r.width * s; canvas.height = r.height * s; const c = canvas.getContext("2d"); c.setTransform(s, 0, 0, s, 0, 0); c.clearRect(0, 0, r.width, r.height); c.font = "11px system-ui, sans-serif"; return [c, r.width, r.height]; }
function ticks(low, high, n) { const raw = (high - low) / n, p = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map(f => f * p).find(v => v >= raw); const out = []; for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + 1e-9; v += step) out.push(+v.toFixed(6)); return out; }
/* Colours of the canvases: those of the style, in light as in dark. */
const css = getComputedStyle(document.documentElement), tone = name => css.getPropertyValue("--" + name).trim();
const clock = s => s < 60 ? s.toFixed(3) + " s" : Math.floor(s / 60) + ":" + (s % 60).toFixed(3).padStart(6, "0");

/* ---- time line ---- */
const T = document.getElementById("timeline"), last = D.times[D.times.length - 1], all = [D.times[0], Math.max(last, D.times[0] + 0.1)];
let view = all.slice(), drag = null;
const lanes = [...new Set(D.quality.map(q => q.flag))];
const pad = { left: lanes.length ? 104 : 48, right: 12, top: 16 + 13 * lanes.length, bottom: 34 };
const toX = (t, w) => pad.left + (t - view[0]) / (view[1] - view[0]) * (w - pad.left - pad.right);
const toT = (x, w) => view[0] + (x - pad.left) / (w - pad.left - pad.right) * (view[1] - view[0]);
function at(t) { let low = 0, high = D.times.length - 1; while (low < high) { const mid = (low + high) >> 1; if (D.times[mid] < t) low = mid + 1; else high = mid; } return low > 0 && t - D.times[low - 1] < D.times[low] - t ? low - 1 : low; }
function timeline() {
  const [c, w, h] = fit(T), y = v => h - pad.bottom - v * (h - pad.top - pad.bottom);
  c.save(); c.beginPath(); c.rect(pad.left, 0, w - pad.left - pad.right, h - pad.bottom + 10); c.clip();
  for (const i of D.intervals) { c.fillStyle = i.colour; const a = toX(i.onset_seconds, w), b = Math.max(a + 2, toX(i.offset_seconds, w)); c.globalAlpha = .18; c.fillRect(a, pad.top, b - a, h - pad.top - pad.bottom); c.globalAlpha = 1; c.fillRect(a, h - pad.bottom + 2, b - a, 7); }
  lanes.forEach((flag, n) => { c.fillStyle = tone("flag"); for (const q of D.quality) if (q.flag === flag) { const a = toX(q.first_seconds, w); c.fillRect(a, 3 + 13 * n, Math.max(2, toX(q.last_seconds, w) - a), 9); } });
  const first = Math.max(0, at(view[0]) - 1), end = Math.min(D.times.length - 1, at(view[1]) + 1), stride = Math.max(1, Math.floor((end - first) / (4 * w)));
  for (const [values, colour, width] of [[D.score, tone("score"), 1], [D.smoothed, tone("smooth"), 2]]) {
    c.beginPath(); c.strokeStyle = colour; c.lineWidth = width; let up = false;
    for (let k = first; k <= end; k += stride) { let v = values[k]; for (let j = k + 1; j < Math.min(k + stride, end); j++) if (values[j] > v) v = values[j]; if (v === null) { up = false; continue; } const X = toX(D.times[k], w); up ? c.lineTo(X, y(v)) : c.moveTo(X, y(v)); up = true; }
    c.stroke();
  }
  for (const n of D.near) { c.beginPath(); c.strokeStyle = tone("ink"); c.lineWidth = 1.2; c.arc(toX(n.seconds, w), y(n.score), 4, 0, 7); c.stroke(); }
  c.setLineDash([5, 4]); c.strokeStyle = tone("ink"); c.lineWidth = 1; c.beginPath(); c.moveTo(pad.left, y(D.threshold)); c.lineTo(w, y(D.threshold)); c.stroke(); c.setLineDash([]);
  if (drag) { c.fillStyle = "rgba(128,128,128,.25)"; c.fillRect(Math.min(drag[0], drag[1]), pad.top, Math.abs(drag[1] - drag[0]), h); }
  c.restore();
  c.fillStyle = tone("soft"); c.textAlign = "right"; lanes.forEach((flag, n) => c.fillText(flag.replaceAll("_", " "), pad.left - 6, 11 + 13 * n));
  for (const v of [0, .5, 1]) c.fillText(v, pad.left - 6, y(v) + 4);
  c.textAlign = "center"; for (const t of ticks(view[0], view[1], Math.max(2, Math.round(w / 110)))) c.fillText(t, toX(t, w), h - 14); c.fillText("time (s)", (w + pad.left) / 2, h - 2);
  c.save(); c.translate(12, (h + pad.top - pad.bottom) / 2); c.rotate(-Math.PI / 2); c.fillText("score (0 to 1)", 0, 0); c.restore();
  c.strokeStyle = tone("edge"); c.strokeRect(pad.left, pad.top, w - pad.left - pad.right, h - pad.top - pad.bottom);
}
const place = e => { const r = T.getBoundingClientRect(); return [e.clientX - r.left, r.width]; };
T.addEventListener("pointerdown", e => { const [x] = place(e); drag = [x, x]; T.setPointerCapture(e.pointerId); });
T.addEventListener("pointermove", e => { const [x, w] = place(e), k = at(toT(x, w)); if (drag) { drag[1] = x; timeline(); } const s = D.smoothed[k]; document.getElementById("readout").textContent = clock(D.times[k]) + ", frame " + k + ": " + (s === null ? "not analysed" : "score " + D.score[k].toFixed(3) + ", smoothed " + s.toFixed(3) + " (threshold " + D.threshold.toFixed(3) + ")"); });
T.addEventListener("pointerup", e => { const [x, w] = place(e); if (drag && Math.abs(drag[1] - drag[0]) > 6) { const a = toT(Math.min(...drag), w), b = toT(Math.max(...drag), w); view = [Math.max(all[0], a), Math.min(all[1], Math.max(b, a + .2))]; } else { const t = toT(x, w), hit = D.intervals.find(i => t >= i.onset_seconds - .05 && t <= i.offset_seconds + .05), card = hit && document.getElementById("card" + hit.number); if (card) card.scrollIntoView({ behavior: "smooth" }); } drag = null; timeline(); });
T.addEventListener("dblclick", () => { view = all.slice(); timeline(); });

/* ---- cards ---- */
const redraw = [timeline];
for (const clip of D.clips) {
  const card = document.getElementById("card" + clip.number), img = card.querySelector("img"), svg = card.querySelector(".stage svg"), slider = card.querySelector("input[type=range]"), label = card.querySelector(".at");
  const show = { boxes: true, arrows: true }; let k = clip.apex, lit = null, timer = null;
  const names = Object.keys(clip.boxes);
  slider.max = clip.frames.length - 1; slider.value = k;
  function stage() {
    img.src = "data:image/jpeg;base64," + clip.frames[k]; svg.replaceChildren();
    label.textContent = "frame " + clip.numbers[k] + ", " + clock(clip.seconds[k]) + (k === clip.apex ? " (apex)" : k === clip.onset ? " (onset)" : k === clip.offset ? " (offset)" : "");
    if (show.arrows && k === clip.apex) for (const [x, y, dx, dy] of clip.flow) $$("line", { x1: x, y1: y, x2: x + dx * D.gain, y2: y + dy * D.gain, stroke: "#000", "stroke-width": .8, opacity: .6 }, svg);
    names.forEach((name, r) => { const [top, bottom, left, right] = clip.boxes[name], strong = lit === null || lit === r; if (right <= left) return;
      if (show.boxes) $$("rect", { x: left, y: top, width: right - left, height: bottom - top, fill: "none", stroke: D.colours[name], "stroke-width": strong ? 1.6 : .5, opacity: strong ? 1 : .5 }, svg);
      if (show.arrows && strong) { const x = (left + right) / 2, y = (top + bottom) / 2, dx = clip.motion[2 * r][k] * D.gain, dy = clip.motion[2 * r + 1][k] * D.gain; $$("line", { x1: x, y1: y, x2: x + dx, y2: y + dy, stroke: "#fff", "stroke-width": 4 }, svg); $$("line", { x1: x, y1: y, x2: x + dx, y2: y + dy, stroke: D.colours[name], "stroke-width": 2.4 }, svg); $$("circle", { cx: x, cy: y, r: 2.2, fill: D.colours[name], stroke: "#fff", "stroke-width": .7 }, svg); } });
  }
  function traces() {
    card.querySelectorAll("canvas").forEach((canvas, part) => {
      const [c, w, h] = fit(canvas), L = 44, B = 20, n = clip.seconds.length, most = Math.max(1, ...clip.motion.flat().map(Math.abs)) * 1.08;
      const X = t => L + (t - clip.seconds[0]) / Math.max(1e-6, clip.seconds[n - 1] - clip.seconds[0]) * (w - L - 8), Y = v => 6 + (h - B - 8) / 2 + (part ? 1 : -1) * v / most * (h - B - 8) / 2; // down is down, right is up
      c.fillStyle = clip.colour; c.globalAlpha = .15; c.fillRect(X(clip.seconds[clip.onset]), 4, X(clip.seconds[clip.offset]) - X(clip.seconds[clip.onset]), h - B - 4); c.globalAlpha = 1;
      c.strokeStyle = tone("line"); c.beginPath(); c.moveTo(L, Y(0)); c.lineTo(w - 8, Y(0)); c.stroke();
      names.forEach((name, r) => { c.globalAlpha = lit === null || lit === r ? 1 : .12; c.lineWidth = lit === r ? 2.4 : 1.1; c.strokeStyle = D.colours[name]; c.beginPath(); clip.motion[2 * r + part].forEach((v, j) => j ? c.lineTo(X(clip.seconds[j]), Y(v)) : c.moveTo(X(clip.seconds[j]), Y(v))); c.stroke(); });
      c.globalAlpha = 1; c.lineWidth = 1; c.strokeStyle = tone("ink"); c.setLineDash([3, 3]); c.beginPath(); c.moveTo(X(clip.seconds[k]), 4); c.lineTo(X(clip.seconds[k]), h - B); c.stroke(); c.setLineDash([]);
      c.fillStyle = tone("soft"); c.textAlign = "right"; for (const v of ticks(-most, most, 4)) c.fillText(v, L - 5, Y(v) + 4);
      c.textAlign = "center"; for (const t of ticks(clip.seconds[0], clip.seconds[n - 1], Math.max(2, Math.round(w / 110)))) c.fillText(t, X(t), h - 7);
      c.textAlign = "left"; c.fillText(part ? "motion down (px of the crop)" : "motion right (px of the crop)", L + 4, 14); if (part) { c.textAlign = "right"; c.fillText("time (s)", w - 8, h - 24); }
      canvas.onclick = e => { const r = canvas.getBoundingClientRect(), t = clip.seconds[0] + (e.clientX - r.left - L) / (w - L - 8) * (clip.seconds[n - 1] - clip.seconds[0]); go(clip.seconds.reduce((b, s, j) => Math.abs(s - t) < Math.abs(clip.seconds[b] - t) ? j : b, 0)); };
    });
  }
  function go(to) { k = Math.max(0, Math.min(clip.frames.length - 1, to)); slider.value = k; stage(); traces(); }
  slider.oninput = () => go(+slider.value);
  card.querySelectorAll("button[data-go]").forEach(b => b.onclick = () => go(clip[b.dataset.go]));
  card.querySelector(".play").onclick = e => { if (timer) { clearInterval(timer); timer = null; } else timer = setInterval(() => go((k + 1) % clip.frames.length), 120); e.target.textContent = timer ? "stop" : "play slowly"; };
  card.querySelectorAll("input[type=checkbox]").forEach(b => b.onchange = () => { show[b.dataset.show] = b.checked; stage(); });
  const legend = card.querySelector(".legend");
  names.forEach((name, r) => { const s = document.createElement("span"), dot = document.createElement("i"); dot.className = "dot"; dot.style.background = D.colours[name]; s.append(dot, name.replaceAll("_", " ")); s.onmouseenter = () => { lit = r; stage(); traces(); }; s.onmouseleave = () => { lit = null; stage(); traces(); }; legend.append(s); });
  card.querySelector(".player").hidden = false; stage(); redraw.push(traces);
}
redraw.forEach(f => f()); window.addEventListener("resize", () => redraw.forEach(f => f()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw.forEach(f => f()));
