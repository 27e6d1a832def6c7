// The ROI explorer: one face, one matrix, one time line, kept in step.
//
// Everything is drawn here from arrays that Python computed once, so that no control waits for the kernel.
// `render({model, el})` is anywidget's interface; `model` needs get, set, save_changes, on, off and send.

const SVG = "http://www.w3.org/2000/svg";
const NEGATIVE = [0, 114, 178], POSITIVE = [213, 94, 0], STRENGTH = [94, 60, 153], NOTHING = [247, 247, 247];
const SIZE = 320; // the face picture, pixels of the crop
const CELL = 17, LEFT = 130, TOP = 112, BEYOND = 34; // matrix
const ARROW = 9; // flow arrows are enlarged this much
const ROWS = { gap: 12, left: 76, right: 14 };
// Whole ROIs share their centre with a fine one: they are drawn beside it, on a leader.
const ASIDE = { left_brow: [0, -25], right_brow: [0, -25], mouth: [0, 44] };

const words = (name) => name.replaceAll("_", " ");
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const mix = (colour, share, opacity = 1) => { // from nothing to `colour`, seen through `opacity` on white
  const s = clamp(share, 0, 1);
  return `rgb(${NOTHING.map((c, i) => Math.round(255 + (c + (colour[i] - c) * s - 255) * opacity)).join(",")})`;
};

function node(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "line", "circle", "rect", "path", "text", "title", "polygon", "polyline"].includes(tag);
  const made = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function floats(view) {
  const bytes = view.byteLength;
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + bytes));
}

let copies = 0;

function render({ model, el }) {
  const scene = model.get("scene"), arrays = model.get("arrays");
  const { names, colours, fps, n_frames: T, window: width, layers, emotions } = scene;
  const R = names.length, id = `explorer${++copies}`;
  const values = layers.map((_, i) => floats(arrays[`layer_${i}`]));
  const motion = floats(arrays.motion); // (2, R, T)
  const score = arrays.score ? floats(arrays.score) : null; // (T,)
  const boxes = floats(arrays.boxes); // (n_windows, R, 4): top, bottom, left, right
  const nWindows = boxes.length / (R * 4);
  const maps = Object.fromEntries(scene.maps.map((name) => [name, floats(arrays[`map_${name}`])])); // (R, T)
  const motionTop = Math.max(1, scene.motion_top);
  const small = (n) => (Math.abs(n) < 1e-9 ? 0 : n);

  // --- state ---------------------------------------------------------------------------------------
  let saving = null;
  const get = (name) => model.get(name);
  const set = (name, value) => {
    model.set(name, value);
    clearTimeout(saving); // the kernel hears of it when the hand rests; the picture does not wait
    saving = setTimeout(() => model.save_changes(), 120);
  };
  const layer = () => layers.findIndex((l) => l.name === get("layer"));
  const slot = (axis, value) => Math.max(0, layers[layer()][axis].indexOf(value));

  function matrix() {
    const l = layers[layer()];
    const c = slot("conditions", get("condition")), p = slot("components", get("component"));
    const lag = slot("lags", get("lag"));
    const begin = ((c * l.components.length + p) * l.lags.length + lag) * R * R;
    return values[layer()].subarray(begin, begin + R * R);
  }
  function across(a, b) { // the pair's value at every lag
    const l = layers[layer()];
    const c = slot("conditions", get("condition")), p = slot("components", get("component"));
    return l.lags.map((_, i) => values[layer()][(((c * l.components.length + p) * l.lags.length + i) * R + a) * R + b]);
  }
  const critical = () => {
    const l = layers[layer()];
    return l.critical.length ? l.critical[slot("conditions", get("condition"))][slot("components", get("component"))] : null;
  };
  const colour = (v, opacity) => {
    const l = layers[layer()];
    return l.signed ? mix(v < 0 ? NEGATIVE : POSITIVE, Math.abs(v) / l.top, opacity) : mix(STRENGTH, v / l.top, opacity);
  };
  const thickness = (v) => 0.8 + 4.2 * clamp(Math.abs(v) / layers[layer()].top, 0, 1);
  const windowOf = (t) => clamp(Math.floor(t / (width / 2)), 0, nWindows - 1);
  function box(r, t) {
    const at = (windowOf(t) * R + r) * 4;
    return [boxes[at], boxes[at + 1], boxes[at + 2], boxes[at + 3]];
  }
  function centre(r, t) {
    const [top, bottom, left, right] = box(r, t);
    return [(left + right) / 2, (top + bottom) / 2];
  }
  function place(r, t) {
    const [x, y] = centre(r, t), [dx, dy] = ASIDE[names[r]] ?? [0, 0];
    return [x + dx, y + dy];
  }
  // A relation without components or lags leaves those two as they are: it shows what it has.
  const part = () => (["x", "y"].includes(get("component")) ? get("component") : "magnitude");
  const selected = () => get("selected").map((name) => names.indexOf(name)).filter((i) => i >= 0);
  function select(...indices) {
    const chosen = indices.map((i) => names[i]);
    const same = JSON.stringify(chosen) === JSON.stringify(get("selected"));
    set("selected", same ? [] : chosen);
  }

  // --- controls ------------------------------------------------------------------------------------
  const choice = (name, options, label) => {
    const made = node("select", { id: `${id}-${name}`, onchange: () => set(name, made.value) });
    let filled = null;
    const fill = (list) => {
      if (list === filled) return;
      filled = list;
      made.replaceChildren(...list.map((o) => node("option", { value: o }, words(o))));
    };
    fill(options);
    return { box: node("label", { for: `${id}-${name}` }, node("span", {}, label), made), made, fill };
  };
  const slider = (name, label, low, high, step) => {
    const text = node("output", { for: `${id}-${name}` });
    const made = node("input", { type: "range", id: `${id}-${name}`, min: low, max: high, step });
    made.addEventListener("input", () => set(name, Number(made.value)));
    return { box: node("label", { for: `${id}-${name}` }, node("span", {}, label, " ", text), made), made, text };
  };
  const layerChoice = choice("layer", layers.map((l) => l.name), "relation in …");
  const conditionChoice = choice("condition", layers[0].conditions, "condition");
  const componentChoice = choice("component", layers[0].components, "motion");
  const lagSlider = slider("lag", "lag", -1, 1, 1);
  const thresholdSlider = slider("threshold", "edges from", 0, 1, 0.01);
  layerChoice.made.addEventListener("change", () => {
    const l = layers[layer()];
    set("threshold", l.threshold);
    if (!l.conditions.includes(get("condition"))) set("condition", l.conditions[0]);
  });
  const significant = node("button", {
    type: "button", title: "Draw the edges that chance would exceed anywhere in 5 of 100 data sets",
    onclick: () => critical() !== null && set("threshold", Math.ceil(critical() * 100) / 100),
  }, "5% level");
  const note = node("p", { class: "note" });

  // --- the face ------------------------------------------------------------------------------------
  const picture = node("canvas", { width: SIZE, height: SIZE, "aria-hidden": "true" });
  const context = picture.getContext("2d");
  const boxLayer = node("g", { class: "boxes" }), leaderLayer = node("g"), edgeLayer = node("g", { class: "edges" });
  const arrowLayer = node("g", { class: "arrows" }), nodeLayer = node("g", { class: "nodes" });
  const face = node("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "group", "aria-label": "graph of the ROIs on the face" },
    boxLayer, leaderLayer, edgeLayer, arrowLayer, nodeLayer);
  const rectangles = names.map((_, r) => node("rect", { fill: "none", stroke: colours[r], "stroke-width": 1 }));
  boxLayer.append(...rectangles);
  const leaders = names.map((name) => (name in ASIDE ? node("line", { class: "leader" }) : null));
  leaderLayer.append(...leaders.filter(Boolean));
  edgeLayer.addEventListener("click", (event) => {
    const pair = event.target.closest("[data-edge]");
    if (pair) select(...pair.dataset.edge.split(",").map((name) => names.indexOf(name)));
  });
  const arrows = names.map((_, r) => node("path", { fill: "none", stroke: colours[r] }));
  arrowLayer.append(...arrows);
  const press = (action) => (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); action(event); }
  };
  const pick = (r) => (event) => {
    const now = selected();
    if ((event.shiftKey || event.ctrlKey || event.metaKey) && now.length === 1 && now[0] !== r) select(now[0], r);
    else select(r);
  };
  const nodes = names.map((name, r) => {
    const whole = scene.granularity[r] === "whole";
    const shape = whole ? node("rect", { x: -6.5, y: -6.5, width: 13, height: 13, rx: 2.5 }) : node("circle", { r: 5.5 });
    shape.setAttribute("fill", colours[r]);
    const tag = node("text", { y: name === "mouth" ? 19 : -10, "text-anchor": "middle" }, words(name));
    const made = node("g", {
      class: "node", tabindex: 0, role: "button", "data-roi": name, "aria-label": `${words(name)}, ${scene.granularity[r]} ROI`,
      onclick: pick(r), onkeydown: press(pick(r)),
    }, node("circle", { class: "halo", r: 11, opacity: 0 }), shape, tag);
    return made;
  });
  nodeLayer.append(...nodes);

  // --- the matrix ----------------------------------------------------------------------------------
  const extent = [LEFT + R * CELL + BEYOND, TOP + R * CELL + 4], SHARP = 2;
  const percent = (part, of) => `${(100 * part) / of}%`;
  // The cells are one picture: 324 elements of a page would cost more at every change than all else together.
  const cells = node("canvas", {
    width: R * CELL * SHARP, height: R * CELL * SHARP, "aria-hidden": "true",
    style: `left:${percent(LEFT, extent[0])};top:${percent(TOP, extent[1])};width:${percent(R * CELL, extent[0])};height:${percent(R * CELL, extent[1])}`,
  });
  const table = node("svg", { viewBox: `0 0 ${extent.join(" ")}`, role: "group", "aria-label": "matrix of relations; the arrow keys walk from cell to cell" });
  const label = (r, transform, anchor) => node("text", {
    transform, "text-anchor": anchor, class: "roi", "data-roi": names[r], onclick: pick(r),
  }, words(names[r]));
  const rowLabels = names.map((_, r) => label(r, `translate(${LEFT - 16},${TOP + (r + 0.72) * CELL})`, "end"));
  const columnLabels = names.map((_, r) => label(r, `translate(${LEFT + (r + 0.68) * CELL},${TOP - 16}) rotate(-60)`, "start"));
  const chips = names.flatMap((_, r) => [
    node("rect", { x: LEFT - 12, y: TOP + r * CELL + 3, width: 8, height: CELL - 6, fill: colours[r] }),
    node("rect", { x: LEFT + r * CELL + 3, y: TOP - 12, width: CELL - 6, height: 8, fill: colours[r] }),
  ]);
  let here = [0, 1]; // the cell that the arrow keys stand on
  const standing = node("rect", {
    width: CELL - 1, height: CELL - 1, class: "here", tabindex: 0, role: "button", "aria-roledescription": "cell",
    onkeydown: (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step) { press(() => pickCell(...here))(event); return; }
      event.preventDefault();
      standOn(clamp(here[0] + step[0], 0, R - 1), clamp(here[1] + step[1], 0, R - 1));
      told.textContent = sentence(...here);
    },
  });
  const frame = node("g", { class: "frame" });
  table.append(...rowLabels, ...columnLabels, ...chips, standing, frame);
  function pickCell(i, j) {
    standOn(i, j);
    if (i === j) select(i); else select(i, j);
  }
  function standOn(i, j) {
    here = [i, j];
    standing.setAttribute("x", LEFT + j * CELL);
    standing.setAttribute("y", TOP + i * CELL);
    standing.dataset.cell = here;
    nameCell();
  }
  const nameCell = () => standing.setAttribute("aria-label", sentence(...here));
  function cellAt(event) { // [row, column], or null beside the cells
    const { left, top, width: across, height } = cells.getBoundingClientRect();
    const at = [Math.floor(((event.clientY - top) / height) * R), Math.floor(((event.clientX - left) / across) * R)];
    return at.every((k) => k >= 0 && k < R) ? at : null;
  }
  table.addEventListener("click", (event) => { const at = cellAt(event); if (at) pickCell(...at); });
  table.addEventListener("mousemove", (event) => {
    const at = cellAt(event);
    table.style.cursor = at ? "pointer" : "";
    if (at) told.textContent = sentence(...at); else say();
  });
  table.addEventListener("mouseleave", () => say());

  // --- the lag curve -------------------------------------------------------------------------------
  const curve = node("svg", { viewBox: "0 0 400 92", class: "curve", role: "img", "aria-label": "relation over lag" });
  function drawCurve() {
    const l = layers[layer()], chosen = selected();
    const parts = [];
    if (chosen.length === 2 && l.lags.length > 1) {
      const [a, b] = chosen, v = across(a, b), n = l.lags.length;
      const x = (i) => 46 + (i * 330) / (n - 1), y = (r) => 40 - (r / l.top) * 30;
      const edge = critical();
      if (edge !== null) parts.push(node("rect", { x: 46, y: y(edge), width: 330, height: y(-edge) - y(edge), fill: "#eee" }));
      parts.push(node("line", { x1: 46, x2: 376, y1: y(0), y2: y(0), stroke: "#999" }));
      parts.push(node("polyline", { points: v.map((r, i) => `${x(i)},${y(r)}`).join(" "), fill: "none", stroke: "#222", "stroke-width": 1.5 }));
      l.lags.forEach((lag, i) => parts.push(node("circle", {
        cx: x(i), cy: y(v[i]), r: lag === get("lag") ? 4.5 : 2.5, fill: lag === get("lag") ? "#E69F00" : "#222", onclick: () => set("lag", lag),
      })));
      for (const lag of [l.lags[0], 0, l.lags[n - 1]])
        parts.push(node("text", { x: x(l.lags.indexOf(lag)), y: 84, "text-anchor": "middle" }, `${lag > 0 ? "+" : ""}${lag}`));
      parts.push(node("text", { x: 2, y: 14 }, `r = ${l.top.toFixed(1)}`), node("text", { x: 2, y: 74 }, `−${l.top.toFixed(1)}`));
      parts.push(node("text", { x: 56, y: 84 }, `← ${words(names[b])} first`), node("text", { x: 364, y: 84, "text-anchor": "end" }, `${words(names[a])} first →`));
    } else {
      const why = l.lags.length > 1 ? "select a pair: its relation at every lag is drawn here" : "this relation is measured at one frame, without lag";
      parts.push(node("text", { x: 200, y: 46, "text-anchor": "middle", class: "faint" }, why));
    }
    curve.replaceChildren(...parts);
  }

  // --- the time line -------------------------------------------------------------------------------
  // Two canvases, so that the motion can be drawn anew without the rest.
  const above = node("canvas"), below = node("canvas"), cursor = node("div", { class: "cursor" });
  const strips = node("div", { class: "strips", role: "img", "aria-label": "motion, score and attribution over time" }, above, below, cursor);
  const heights = { motion: 110, score: score ? 84 : 34, map: scene.maps.length ? R * 6 : 0 };
  const tall = heights.motion + heights.score + heights.map + ROWS.gap * 3 + 22;
  const divide = 16 + heights.motion + ROWS.gap / 2;
  strips.style.height = `${tall}px`;
  let wide = 900;
  const timeX = (t) => ROWS.left + (t / T) * (wide - ROWS.left - ROWS.right);
  const frameSlider = node("input", { type: "range", min: 0, max: T - 1, step: 1, id: `${id}-frame`, "aria-label": "frame", class: "frame-slider" });
  frameSlider.addEventListener("input", () => set("frame", Number(frameSlider.value)));
  strips.addEventListener("pointerdown", (event) => {
    const seek = (e) => set("frame", clamp(Math.floor(((e.clientX - strips.getBoundingClientRect().left - ROWS.left) / (wide - ROWS.left - ROWS.right)) * T), 0, T - 1));
    seek(event);
    strips.setPointerCapture(event.pointerId);
    strips.onpointermove = seek;
    strips.onpointerup = () => { strips.onpointermove = strips.onpointerup = null; };
  });
  const mapName = () => {
    const wanted = /recognition|emotion/.test(get("layer")) ? "emotion" : "score";
    return scene.maps.includes(wanted) ? wanted : scene.maps[0];
  };

  function prepare(canvas, from, to) { // the part of the strips between two heights, with the true intervals behind it
    const ratio = window.devicePixelRatio || 1;
    canvas.width = wide * ratio;
    canvas.height = (to - from) * ratio;
    Object.assign(canvas.style, { top: `${from}px`, height: `${to - from}px` });
    const c = canvas.getContext("2d");
    c.scale(ratio, ratio);
    c.translate(0, -from);
    c.font = "11px system-ui, sans-serif";
    c.textBaseline = "middle";
    c.globalAlpha = 0.16;
    for (const me of scene.annotations) {
      c.fillStyle = emotions[me.emotion];
      c.fillRect(timeX(me.onset), 16, timeX(me.offset + 1) - timeX(me.onset), tall - 36);
    }
    c.globalAlpha = 1;
    return c;
  }
  function value(r, t, axis) {
    const x = motion[r * T + t], y = motion[(R + r) * T + t];
    return axis === "x" ? x : axis === "y" ? y : Math.hypot(x, y);
  }
  const heat = document.createElement("canvas");
  let heatOf = null;
  function drawHeat(name) {
    if (heatOf === name) return;
    heatOf = name;
    const map = maps[name];
    const top = scene.map_tops[name] || 1;
    heat.width = T;
    heat.height = R;
    const c = heat.getContext("2d"), image = c.createImageData(T, R);
    for (let i = 0; i < R * T; i++) {
      const s = clamp(Math.abs(map[i]) / top, 0, 1), tint = map[i] < 0 ? NEGATIVE : POSITIVE;
      for (let k = 0; k < 3; k++) image.data[i * 4 + k] = NOTHING[k] + (tint[k] - NOTHING[k]) * s;
      image.data[i * 4 + 3] = 255;
    }
    c.putImageData(image, 0, 0);
  }
  function drawMotion() {
    const c = prepare(above, 0, divide), chosen = selected(), right = wide - ROWS.right, y = 16;
    const signed = part() !== "magnitude", middle = signed ? y + heights.motion / 2 : y + heights.motion;
    const scale = (signed ? heights.motion / 2 : heights.motion) / motionTop;
    const axis = part(), upward = axis === "y" ? -scale : scale; // y counts downwards
    c.strokeStyle = "#bbb";
    c.beginPath(); c.moveTo(ROWS.left, middle); c.lineTo(right, middle); c.stroke();
    c.save();
    c.beginPath(); c.rect(ROWS.left, y, right - ROWS.left, heights.motion); c.clip();
    const order = [...Array(R).keys()].sort((a, b) => chosen.includes(a) - chosen.includes(b));
    for (const r of order) {
      const bold = chosen.includes(r);
      c.strokeStyle = colours[r];
      c.globalAlpha = chosen.length && !bold ? 0.18 : bold ? 1 : 0.75;
      c.lineWidth = bold ? 2.2 : 1;
      c.beginPath();
      for (let t = 0; t < T; t++) c.lineTo(timeX(t + 0.5), middle - value(r, t, axis) * upward);
      c.stroke();
    }
    c.restore();
    c.fillStyle = "#333";
    c.textAlign = "right";
    const sign = { x: ["right", "left"], y: ["down", "up"], magnitude: ["", ""] }[part()];
    const ends = part() === "y" ? [sign[1], sign[0]] : sign;
    c.fillText(`${motionTop.toFixed(0)} px`, ROWS.left - 4, y + 6);
    if (signed) { c.fillText(ends[0], ROWS.left - 4, y + 20); c.fillText(ends[1], ROWS.left - 4, y + heights.motion - 6); }
    c.fillText("motion", ROWS.left - 4, middle - (signed ? 0 : 8));
    c.textAlign = "center";
    for (const me of scene.annotations) c.fillText(me.emotion, timeX((me.onset + me.offset + 1) / 2), 8);
  }
  function drawRest() { // score, truth and prediction, attribution, seconds
    const c = prepare(below, divide, tall), chosen = selected(), right = wide - ROWS.right;
    let y = 16 + heights.motion + ROWS.gap;
    c.textAlign = "right";
    c.fillStyle = "#333";
    const base = y + heights.score - 12;
    if (score) {
      c.strokeStyle = "#0072B2";
      c.lineWidth = 1.6;
      c.beginPath();
      for (let t = 0; t < T; t++) c.lineTo(timeX(t + 0.5), base - score[t] * (heights.score - 34));
      c.stroke();
      c.fillText("0", ROWS.left - 4, base - 5);
      c.fillText("score", ROWS.left - 4, base - (heights.score - 34) / 2);
      c.fillText("1", ROWS.left - 4, base - (heights.score - 34));
      c.strokeStyle = "#ddd";
      c.lineWidth = 1;
      c.beginPath(); c.moveTo(ROWS.left, base); c.lineTo(right, base); c.stroke();
    }
    c.textAlign = "left";
    for (const [rows, at, tallness] of [[scene.annotations, base + 2, 10], [scene.predictions, y, 8]]) {
      for (const me of rows) {
        c.fillStyle = emotions[me.emotion];
        const from = timeX(Math.max(0, me.onset)), to = timeX(Math.min(T, me.offset + 1)); // spotted ones may leave the video
        c.fillRect(from, at, Math.max(2, to - from), tallness);
      }
    }
    c.fillStyle = "#333";
    c.textAlign = "right";
    c.fillText("truth", ROWS.left - 4, base + 7);
    if (scene.predictions.length) c.fillText("spotted", ROWS.left - 4, y + 4);
    y += heights.score + ROWS.gap;
    // attribution
    const name = mapName();
    if (name) {
      drawHeat(name);
      c.imageSmoothingEnabled = false;
      c.drawImage(heat, ROWS.left, y, right - ROWS.left, heights.map);
      for (let r = 0; r < R; r++) {
        c.fillStyle = colours[r];
        c.fillRect(ROWS.left - 8, y + r * 6, 5, 5);
      }
      c.strokeStyle = "#000";
      c.lineWidth = 1.2;
      for (const r of chosen) c.strokeRect(ROWS.left, y + r * 6 - 0.5, right - ROWS.left, 7);
      c.fillStyle = "#333";
      ["what the", name, "makes of", "each ROI:", "orange +", "blue −"].forEach((word, i) => c.fillText(word, ROWS.left - 13, y + 8 + 14 * i));
      y += heights.map + ROWS.gap;
    }
    // seconds
    c.textAlign = "center";
    const every = T / fps > 30 ? 5 : 1;
    for (let s = 0; s <= T / fps; s += every) {
      c.fillStyle = "#999";
      c.fillRect(timeX(s * fps), tall - 20, 1, 5);
      c.fillStyle = "#333";
      c.fillText(`${s} s`, timeX(s * fps), tall - 8);
    }
  }
  const drawCursor = () => { cursor.style.transform = `translateX(${timeX(get("frame") + 0.5)}px)`; };

  // --- pictures, decoded when they are near ----------------------------------------------------------
  const files = new Array(T).fill(null), decoded = new Map();
  const ready = (t) => decoded.get(t);
  async function decode(t) {
    if (!files[t] || decoded.has(t)) return;
    decoded.set(t, null);
    const bitmap = await createImageBitmap(new Blob([files[t]], { type: "image/jpeg" }));
    decoded.set(t, bitmap);
    for (const key of decoded.keys()) {
      if (decoded.size <= 90) break;
      if (Math.abs(key - get("frame")) > 40) { decoded.get(key)?.close(); decoded.delete(key); }
    }
    if (t === get("frame")) drawPicture();
  }
  function drawPicture() {
    const t = get("frame"), bitmap = ready(t);
    if (bitmap) {
      context.drawImage(bitmap, 0, 0, SIZE, SIZE);
      root.dataset.shown = t;
    } else decode(t);
    for (let d = 1; d <= 8; d++) if (t + d < T) decode(t + d);
  }
  function receive(message, buffers) {
    if (message.kind !== "pictures") return;
    buffers.forEach((b, i) => { files[message.first + i] = b; });
    root.dataset.pictures = files.filter(Boolean).length;
    if (get("frame") >= message.first && get("frame") < message.first + buffers.length) drawPicture();
  }
  context.fillStyle = "#ddd";
  context.fillRect(0, 0, SIZE, SIZE);

  // --- playing -------------------------------------------------------------------------------------
  let playing = null;
  const speed = node("select", { "aria-label": "speed" },
    ...[["1", "full speed"], ["0.5", "half speed"], ["0.2", "slow, 1/5"]].map(([v, text]) => node("option", { value: v }, text)));
  const playButton = node("button", { type: "button", class: "play", onclick: () => (playing ? stop() : play()) }, "▶ play");
  function play() {
    let last = performance.now(), at = get("frame") >= T - 1 ? 0 : get("frame");
    playButton.textContent = "❚❚ pause";
    const tick = (now) => {
      at += ((now - last) / 1000) * fps * Number(speed.value);
      last = now;
      if (at >= T - 1) { set("frame", T - 1); stop(); return; }
      if (Math.floor(at) !== get("frame")) set("frame", Math.floor(at));
      playing = requestAnimationFrame(tick);
    };
    playing = requestAnimationFrame(tick);
  }
  function stop() {
    cancelAnimationFrame(playing);
    playing = null;
    playButton.textContent = "▶ play";
  }
  const jump = (direction) => {
    const apexes = scene.annotations.map((me) => me.apex).sort((a, b) => a - b), t = get("frame");
    const next = direction > 0 ? apexes.find((a) => a > t) : apexes.findLast((a) => a < t);
    if (next !== undefined) set("frame", clamp(next, 0, T - 1));
  };
  const toggles = Object.entries({ boxes: true, arrows: true, names: false, colour: false }).map(([name, on]) => {
    const made = node("input", { type: "checkbox", id: `${id}-${name}` });
    made.checked = on;
    const apply = () => root.classList.toggle(`with-${name}`, made.checked);
    made.addEventListener("change", apply);
    return { apply, box: node("label", { for: `${id}-${name}`, class: "check" }, made, ` ${name === "arrows" ? `arrows ×${ARROW}` : name}`) };
  });
  const clock = node("output", { class: "clock" });

  // --- words ---------------------------------------------------------------------------------------
  const told = node("p", { class: "told", "aria-live": "polite" });
  function sentence(i, j) {
    const l = layers[layer()], v = matrix()[i * R + j], lag = get("lag"), edge = critical();
    if (i === j) return `${words(names[i])}`;
    const when = l.lags.length > 1 && lag !== 0 ? `, ${words(names[lag > 0 ? i : j])} ${Math.abs(lag)} frame(s) (${Math.round((1000 * Math.abs(lag)) / fps)} ms) before ${words(names[lag > 0 ? j : i])}` : "";
    const sure = edge === null ? "" : Math.abs(v) > edge ? `; beyond the 5% level of ${edge.toFixed(2)}` : `; within what chance does (5% level ${edge.toFixed(2)})`;
    return `${words(names[i])} – ${words(names[j])}: ${l.symbol} = ${small(v).toFixed(2)}${when}${sure}`;
  }
  function say() {
    const chosen = selected();
    if (chosen.length === 2) { told.textContent = sentence(...chosen); return; }
    if (chosen.length === 1) {
      const m = matrix(), r = chosen[0];
      const best = names.map((_, j) => j).filter((j) => j !== r).sort((a, b) => Math.abs(m[r * R + b]) - Math.abs(m[r * R + a])).slice(0, 3);
      told.textContent = `${words(names[r])}: strongest with ${best.map((j) => `${words(names[j])} (${m[r * R + j].toFixed(2)})`).join(", ")}`;
      return;
    }
    told.textContent = "Select a node or a cell; shift-click (or Shift+Enter on) a second node for a pair. Arrow keys walk the matrix, Escape clears.";
  }

  // --- drawing -------------------------------------------------------------------------------------
  const legendBar = node("canvas", { width: 160, height: 10, "aria-hidden": "true" });
  const legendLow = node("span"), legendHigh = node("span");
  function drawLegend() { // every value in the colour and the thickness of its edge
    const l = layers[layer()], c = legendBar.getContext("2d"), end = l.top.toFixed(l.top < 0.2 ? 2 : 1);
    c.clearRect(0, 0, 160, 10);
    for (let x = 0; x < 160; x++) {
      const v = l.signed ? l.top * (x / 79.5 - 1) : (l.top * x) / 159;
      const high = 1.5 * thickness(v); // the face is drawn at about 1.5 pixels per unit
      c.fillStyle = colour(v);
      c.fillRect(x, 5 - high / 2, 1, high);
    }
    legendLow.textContent = `${l.symbol} = ${l.signed ? `−${end}` : "0"}`;
    legendHigh.textContent = l.signed ? `+${end}` : end;
  }
  let edges = [];
  function findEdges() {
    const m = matrix(), found = [], from = get("threshold");
    for (let i = 0; i < R; i++) {
      for (let j = i + 1; j < R; j++) {
        const there = m[i * R + j], back = m[j * R + i];
        const v = Math.abs(there) >= Math.abs(back) ? there : back;
        if (Math.abs(v) >= from && Math.abs(v) > 0) found.push({ i, j, v, turned: v !== there });
      }
    }
    edges = found.sort((a, b) => Math.abs(a.v) - Math.abs(b.v));
  }
  function drawEdges() {
    const t = get("frame"), l = layers[layer()], chosen = selected(), lag = get("lag"), parts = [];
    for (const { i, j, v, turned } of edges) {
      const [x1, y1] = place(i, t), [x2, y2] = place(j, t);
      const hit = chosen.length === 2 ? chosen.includes(i) && chosen.includes(j) : chosen.length === 1 ? chosen.includes(i) || chosen.includes(j) : true;
      // A gentle arc keeps edges along one brow apart.
      const bend = 0.12, mx = (x1 + x2) / 2 - (y2 - y1) * bend, my = (y1 + y2) / 2 + (x2 - x1) * bend;
      const d = `M${x1},${y1}Q${mx},${my} ${x2},${y2}`, w = thickness(v);
      let head = "";
      if (lag !== 0 && l.lags.length > 1) {
        const forth = (lag > 0) !== turned, px = (x1 + 2 * mx + x2) / 4, py = (y1 + 2 * my + y2) / 4;
        const angle = (Math.atan2(y2 - y1, x2 - x1) * 180) / Math.PI + (forth ? 0 : 180);
        head = `<polygon points="-4,-4 5,0 -4,4" transform="translate(${px},${py}) rotate(${angle})" class="head"/>`;
      }
      parts.push(`<g class="edge${hit ? "" : " dim"}" data-edge="${names[i]},${names[j]}">`
        + `<path d="${d}" class="under" stroke-width="${w + 2}"/><path d="${d}" stroke="${colour(v)}" stroke-width="${w}"/>`
        + `<path d="${d}" class="touch"/>${head}<title>${words(names[i])} – ${words(names[j])}: ${v.toFixed(2)}</title></g>`);
    }
    edgeLayer.innerHTML = parts.join(""); // as text: with many edges three times as fast as node by node
    root.dataset.edges = edges.length;
  }
  function drawCells() {
    const m = matrix(), c = cells.getContext("2d"), from = get("threshold"), side = CELL * SHARP, lagged = layers[layer()].lags.length > 1;
    c.clearRect(0, 0, R * side, R * side);
    for (let i = 0; i < R; i++) {
      for (let j = 0; j < R; j++) {
        const v = m[i * R + j];
        c.fillStyle = i === j && !lagged ? "#ddd" : colour(v, i !== j && Math.abs(v) < from ? 0.42 : 1);
        c.fillRect(j * side, i * side, side - SHARP, side - SHARP);
      }
    }
    nameCell();
  }
  function drawSelection() {
    const chosen = selected(), all = R * CELL;
    const parts = chosen.length === 1
      ? [node("rect", { x: LEFT - 1, y: TOP + chosen[0] * CELL - 1, width: all + 1, height: CELL + 1 }),
         node("rect", { x: LEFT + chosen[0] * CELL - 1, y: TOP - 1, width: CELL + 1, height: all + 1 })]
      : chosen.length === 2
        ? [[chosen[0], chosen[1]], [chosen[1], chosen[0]]].map(([i, j]) => node("rect", { x: LEFT + j * CELL - 1, y: TOP + i * CELL - 1, width: CELL + 1, height: CELL + 1 }))
        : [];
    frame.replaceChildren(...parts);
    names.forEach((_, r) => {
      const on = chosen.includes(r);
      nodes[r].classList.toggle("selected", on);
      nodes[r].setAttribute("aria-pressed", on);
      rowLabels[r].classList.toggle("selected", on);
      columnLabels[r].classList.toggle("selected", on);
      rectangles[r].classList.toggle("selected", on);
    });
    root.dataset.selected = get("selected").join(",");
  }
  let placed = -1;
  function drawFrame() {
    const t = get("frame"), w = windowOf(t);
    frameSlider.value = t;
    clock.textContent = `frame ${t} · ${(t / fps).toFixed(2)} s`;
    drawPicture();
    if (placed !== w) { // boxes move when a window begins
      placed = w;
      names.forEach((_, r) => {
        const [top, bottom, left, right] = box(r, t), [x, y] = centre(r, t), [px, py] = place(r, t);
        for (const [k, v] of Object.entries({ x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) })) rectangles[r].setAttribute(k, v);
        if (leaders[r]) for (const [k, v] of Object.entries({ x1: x, y1: y, x2: px, y2: py })) leaders[r].setAttribute(k, v);
        nodes[r].setAttribute("transform", `translate(${px},${py})`);
      });
      drawEdges();
    }
    names.forEach((_, r) => {
      const [x, y] = centre(r, t), dx = motion[r * T + t] * ARROW, dy = motion[(R + r) * T + t] * ARROW, size = Math.hypot(dx, dy);
      if (size < 3) { arrows[r].setAttribute("d", ""); return; }
      const a = Math.atan2(dy, dx), tip = 5, ex = x + dx, ey = y + dy;
      const wing = (s) => `${ex - tip * Math.cos(a + s)},${ey - tip * Math.sin(a + s)}`;
      arrows[r].setAttribute("d", `M${x},${y}L${ex},${ey}M${wing(0.5)}L${ex},${ey}L${wing(-0.5)}`);
    });
    const map = mapName() ? maps[mapName()] : null;
    if (map) {
      const top = scene.map_tops[mapName()] || 1;
      nodes.forEach((n, r) => n.firstChild.setAttribute("opacity", clamp(Math.abs(map[r * T + t]) / top, 0, 1).toFixed(2)));
    }
    drawCursor();
    root.dataset.frame = t;
  }
  function drawControls() {
    const l = layers[layer()], edge = critical();
    layerChoice.made.value = l.name;
    conditionChoice.fill(l.conditions);
    conditionChoice.made.value = get("condition");
    componentChoice.fill(l.components);
    componentChoice.made.value = l.components.includes(get("component")) ? get("component") : l.components[0];
    componentChoice.made.disabled = l.components.length === 1;
    lagSlider.made.min = l.lags[0];
    lagSlider.made.max = l.lags[l.lags.length - 1];
    lagSlider.made.disabled = l.lags.length === 1;
    lagSlider.made.value = get("lag");
    const ms = Math.round((1000 * get("lag")) / fps);
    lagSlider.text.textContent = l.lags.length > 1 ? `${get("lag") > 0 ? "+" : ""}${get("lag")} frames (${ms} ms)` : "none";
    thresholdSlider.made.max = l.top;
    thresholdSlider.made.step = l.top / 100;
    thresholdSlider.made.value = get("threshold");
    thresholdSlider.text.textContent = `${l.signed ? "|" : ""}${l.symbol}${l.signed ? "|" : ""} ≥ ${get("threshold").toFixed(2)}`;
    significant.disabled = edge === null;
    significant.textContent = edge === null ? "5% level" : `5% level: ${edge.toFixed(2)}`;
    note.textContent = l.note;
  }
  // --- the page ------------------------------------------------------------------------------------
  const emotionLegend = node("span", { class: "emotions" }, ...Object.entries(emotions).filter(([name]) => name !== "neutral")
    .map(([name, tint]) => node("span", {}, node("i", { style: `background:${tint}` }), ` ${name}`)));
  const root = node("div", { class: "roi-explorer" },
    node("div", { class: "controls" }, layerChoice.box, conditionChoice.box, componentChoice.box, lagSlider.box, thresholdSlider.box, significant),
    note,
    node("div", { class: "views" },
      node("div", { class: "left" },
        node("div", { class: "face" }, picture, face),
        node("div", { class: "legend" }, legendLow, legendBar, legendHigh, node("span", {}, `■ whole  ● fine${scene.maps.length ? "  ◎ used in this frame" : ""}`))),
      node("div", { class: "right" }, node("div", { class: "matrix" }, cells, table), curve)),
    told,
    strips,
    frameSlider,
    node("div", { class: "player" },
      node("button", { type: "button", onclick: () => jump(-1) }, "◀ previous ME"), playButton,
      node("button", { type: "button", onclick: () => jump(1) }, "next ME ▶"), speed, clock,
      ...toggles.map((t) => t.box), emotionLegend));
  root.addEventListener("keydown", (event) => {
    // JupyterLab and Notebook listen for single keys: what is typed here stays here.
    event.stopPropagation();
    if (event.key === "Escape") set("selected", []);
  });
  root.tabIndex = -1;
  root.dataset.lmSuppressShortcuts = "true";
  toggles.forEach((t) => t.apply());
  el.replaceChildren(root);

  // Each change asks for the drawings that depend on it; what one event asks for twice is drawn once, in this order.
  const drawings = [drawControls, drawLegend, findEdges, drawEdges, drawCells, drawSelection, drawCurve, say, drawMotion, drawRest, drawFrame];
  const asked = new Set();
  function ask(...wanted) {
    if (!asked.size) queueMicrotask(() => {
      const now = drawings.filter((drawing) => asked.has(drawing));
      asked.clear();
      now.forEach((drawing) => drawing());
    });
    wanted.forEach((drawing) => asked.add(drawing));
  }
  const relations = [drawControls, findEdges, drawEdges, drawCells, drawCurve, say];
  const listeners = {
    "change:frame": () => ask(drawFrame),
    "change:selected": () => ask(drawEdges, drawSelection, drawCurve, say, drawMotion, drawRest),
    "change:layer": () => ask(...relations, drawLegend, drawRest, drawFrame), // the map in the time line may be another
    "change:condition": () => ask(...relations),
    "change:component": () => ask(...relations, drawMotion),
    "change:lag": () => ask(...relations),
    "change:threshold": () => ask(drawControls, findEdges, drawEdges, drawCells),
    "msg:custom": receive,
  };
  for (const [name, listener] of Object.entries(listeners)) model.on(name, listener);
  const resize = new ResizeObserver(() => {
    const now = Math.max(320, strips.clientWidth);
    if (now === wide) return;
    wide = now;
    ask(drawMotion, drawRest, drawFrame);
  });
  resize.observe(strips);
  wide = Math.max(320, strips.clientWidth || 900);
  standOn(...here);
  ask(...drawings);
  if (arrays.pictures) {
    const ends = scene.picture_ends, all = arrays.pictures;
    const cut = ends.map((end, i) => new DataView(all.buffer, all.byteOffset + (i ? ends[i - 1] : 0), end - (i ? ends[i - 1] : 0)));
    receive({ kind: "pictures", first: 0 }, cut);
  } else {
    if (arrays.cover) createImageBitmap(new Blob([arrays.cover], { type: "image/jpeg" })).then((b) => { if (!("shown" in root.dataset)) context.drawImage(b, 0, 0, SIZE, SIZE); });
    model.send({ kind: "pictures" });
  }
  return () => {
    stop();
    resize.disconnect();
    for (const [name, listener] of Object.entries(listeners)) model.off(name, listener);
  };
}

export default { render };
