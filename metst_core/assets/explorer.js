// The ROI explorer: one face, one matrix, one time line, kept in step.
//
// Everything is drawn here from arrays that Python computed once, so that no control waits for the kernel.
// `render({model, el})` is anywidget's interface; `model` needs get, set, save_changes, on, off and send.
//
// One object, `v`, holds what an explorer is: the data (`newView`), its elements (`v.face`, `v.matrix`, ...: what the
// `make...` functions return) and the little that changes besides the model. `draw...(v)` bring the elements up to date.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = ["svg", "g", "line", "circle", "rect", "path", "text", "title", "polygon", "polyline"];
const NEGATIVE = [0, 114, 178], POSITIVE = [213, 94, 0], STRENGTH = [94, 60, 153], NOTHING = [247, 247, 247];
const SIZE = 320; // the face picture, pixels of the crop
const CELL = 17, LEFT = 130, TOP = 112, BEYOND = 34, SHARP = 2; // matrix
const ARROW = 9; // flow arrows are enlarged this much
const ROWS = { gap: 12, left: 76, right: 14, top: 16 }; // time line
const SCORE = "#0072B2", INK = "#333";
const DECODED = { most: 90, near: 40, ahead: 8 }; // pictures
// Whole ROIs share their centre with a fine one: they are drawn beside it, on a leader.
const ASIDE = { left_brow: [0, -25], right_brow: [0, -25], mouth: [0, 44] };

// --- small things ----------------------------------------------------------------------------------
const words = (name) => name.replaceAll("_", " ");
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const small = (x) => (Math.abs(x) < 1e-9 ? 0 : x);
const percent = (part, of) => `${(100 * part) / of}%`;
const mix = (colour, share, opacity = 1) => { // from nothing to `colour`, seen through `opacity` on white
  const s = clamp(share, 0, 1);
  return `rgb(${NOTHING.map((c, i) => Math.round(255 + (c + (colour[i] - c) * s - 255) * opacity)).join(",")})`;
};

function node(tag, attributes = {}, ...children) {
  const made = SVG_TAGS.includes(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "style") made.style.cssText = value; // a page's security policy forbids the attribute
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function attribute(element, values) {
  for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
}

function floats(view) {
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

const press = (action) => (event) => {
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); action(event); }
};

// --- the data and the state ------------------------------------------------------------------------
let copies = 0;

function newView(model) {
  const scene = model.get("scene"), arrays = model.get("arrays");
  const { names, colours, fps, n_frames: T, layers, emotions } = scene;
  return {
    model, scene, arrays, names, colours, fps, T, layers, emotions,
    R: names.length,
    id: `explorer${++copies}`,
    values: layers.map((_, i) => floats(arrays[`layer_${i}`])),
    motion: floats(arrays.motion), // (2, R, T)
    score: arrays.score ? floats(arrays.score) : null, // (T,)
    boxes: floats(arrays.boxes), // (n_windows, R, 4): top, bottom, left, right
    maps: Object.fromEntries(scene.maps.map((name) => [name, floats(arrays[`map_${name}`])])), // (R, T)
    motionTop: Math.max(1, scene.motion_top),
    saving: null, // the timer that tells the kernel
    edges: [], // what findEdges found
    placed: -1, // the window whose boxes are drawn
    here: [0, 1], // the cell that the arrow keys stand on
    wide: 900, // the time line, pixels
    heatOf: null, // the map in its heat picture
    playing: null, // the animation frame that comes next
    files: new Array(T).fill(null), decoded: new Map(), // pictures: JPEG, and those that are near decoded
    asked: new Set(), // drawings that wait for the end of the event
  };
}

const get = (v, name) => v.model.get(name);

function set(v, name, value) {
  v.model.set(name, value);
  clearTimeout(v.saving); // the kernel hears of it when the hand rests; the picture does not wait
  v.saving = setTimeout(() => v.model.save_changes(), 120);
}

const layerNumber = (v) => v.layers.findIndex((l) => l.name === get(v, "layer"));
const layerOf = (v) => v.layers[layerNumber(v)];
const slot = (v, axis, value) => Math.max(0, layerOf(v)[axis].indexOf(value));

function begin(v, lag) { // where the matrix of this condition, component and lag (its place) begins
  const l = layerOf(v), c = slot(v, "conditions", get(v, "condition")), p = slot(v, "components", get(v, "component"));
  return ((c * l.components.length + p) * l.lags.length + lag) * v.R * v.R;
}

function matrix(v) {
  const at = begin(v, slot(v, "lags", get(v, "lag")));
  return v.values[layerNumber(v)].subarray(at, at + v.R * v.R);
}

function across(v, a, b) { // the pair's value at every lag
  const values = v.values[layerNumber(v)];
  return layerOf(v).lags.map((_, i) => values[begin(v, i) + a * v.R + b]);
}

function critical(v) {
  const l = layerOf(v);
  if (!l.critical.length) return null;
  return l.critical[slot(v, "conditions", get(v, "condition"))][slot(v, "components", get(v, "component"))];
}

function colour(v, x, opacity) {
  const { signed, top } = layerOf(v);
  return signed ? mix(x < 0 ? NEGATIVE : POSITIVE, Math.abs(x) / top, opacity) : mix(STRENGTH, x / top, opacity);
}

const thickness = (v, x) => 0.8 + 4.2 * clamp(Math.abs(x) / layerOf(v).top, 0, 1);
// A relation without components or lags leaves those two as they are: it shows what it has.
const part = (v) => (["x", "y"].includes(get(v, "component")) ? get(v, "component") : "magnitude");
const selected = (v) => get(v, "selected").map((name) => v.names.indexOf(name)).filter((i) => i >= 0);

function select(v, ...indices) {
  const chosen = indices.map((i) => v.names[i]);
  const same = JSON.stringify(chosen) === JSON.stringify(get(v, "selected"));
  set(v, "selected", same ? [] : chosen);
}

const pick = (v, r) => (event) => {
  const now = selected(v), more = event.shiftKey || event.ctrlKey || event.metaKey;
  if (more && now.length === 1 && now[0] !== r) select(v, now[0], r);
  else select(v, r);
};

function mapName(v) { // the attribution that goes with the layer
  const wanted = /recognition|emotion/.test(get(v, "layer")) ? "emotion" : "score";
  return v.scene.maps.includes(wanted) ? wanted : v.scene.maps[0];
}

// --- where the ROIs are ----------------------------------------------------------------------------
const windowOf = (v, t) => clamp(Math.floor(t / (v.scene.window / 2)), 0, v.boxes.length / (v.R * 4) - 1);

function box(v, r, t) { // top, bottom, left, right
  const at = (windowOf(v, t) * v.R + r) * 4;
  return v.boxes.subarray(at, at + 4);
}

function centre(v, r, t) {
  const [top, bottom, left, right] = box(v, r, t);
  return [(left + right) / 2, (top + bottom) / 2];
}

function place(v, r, t) { // of its node
  const [x, y] = centre(v, r, t), [dx, dy] = ASIDE[v.names[r]] ?? [0, 0];
  return [x + dx, y + dy];
}

function value(v, r, t, axis) { // motion, pixels of the crop
  const x = v.motion[r * v.T + t], y = v.motion[(v.R + r) * v.T + t];
  return axis === "x" ? x : axis === "y" ? y : Math.hypot(x, y);
}

// --- controls --------------------------------------------------------------------------------------
function choice(v, name, options, label) {
  const made = node("select", { id: `${v.id}-${name}`, onchange: () => set(v, name, made.value) });
  let filled = null;
  const fill = (list) => {
    if (list === filled) return;
    filled = list;
    made.replaceChildren(...list.map((o) => node("option", { value: o }, words(o))));
  };
  fill(options);
  return { box: node("label", { for: made.id }, node("span", {}, label), made), made, fill };
}

function slider(v, name, label, [low, high, step]) {
  const id = `${v.id}-${name}`, text = node("output", { for: id });
  const made = node("input", { type: "range", id, min: low, max: high, step });
  made.addEventListener("input", () => set(v, name, Number(made.value)));
  return { box: node("label", { for: id }, node("span", {}, label, " ", text), made), made, text };
}

function makeControls(v) {
  const layer = choice(v, "layer", v.layers.map((l) => l.name), "relation in …");
  const condition = choice(v, "condition", v.layers[0].conditions, "condition");
  const component = choice(v, "component", v.layers[0].components, "motion");
  const lag = slider(v, "lag", "lag", [-1, 1, 1]);
  const threshold = slider(v, "threshold", "edges from", [0, 1, 0.01]);
  layer.made.addEventListener("change", () => {
    const l = layerOf(v);
    set(v, "threshold", l.threshold);
    if (!l.conditions.includes(get(v, "condition"))) set(v, "condition", l.conditions[0]);
  });
  const significant = node("button", {
    type: "button", title: "Draw the edges that chance would exceed anywhere in 5 of 100 data sets",
    onclick: () => critical(v) !== null && set(v, "threshold", Math.ceil(critical(v) * 100) / 100),
  }, "5% level");
  const root = node("div", { class: "controls" },
    layer.box, condition.box, component.box, lag.box, threshold.box, significant);
  return { root, layer, condition, component, lag, threshold, significant, note: node("p", { class: "note" }) };
}

function drawControls(v) {
  const l = layerOf(v), edge = critical(v), { layer, condition, component, significant, note } = v.controls;
  layer.made.value = l.name;
  condition.fill(l.conditions);
  condition.made.value = get(v, "condition");
  component.fill(l.components);
  component.made.value = l.components.includes(get(v, "component")) ? get(v, "component") : l.components[0];
  component.made.disabled = l.components.length === 1;
  drawSliders(v);
  significant.disabled = edge === null;
  significant.textContent = edge === null ? "5% level" : `5% level: ${edge.toFixed(2)}`;
  note.textContent = l.note;
}

function drawSliders(v) {
  const l = layerOf(v), { lag, threshold } = v.controls, now = get(v, "lag");
  lag.made.min = l.lags[0];
  lag.made.max = l.lags[l.lags.length - 1];
  lag.made.disabled = l.lags.length === 1;
  lag.made.value = now;
  const ms = Math.round((1000 * now) / v.fps);
  lag.text.textContent = l.lags.length > 1 ? `${now > 0 ? "+" : ""}${now} frames (${ms} ms)` : "none";
  threshold.made.max = l.top;
  threshold.made.step = l.top / 100;
  threshold.made.value = get(v, "threshold");
  const symbol = l.signed ? `|${l.symbol}|` : l.symbol;
  threshold.text.textContent = `${symbol} ≥ ${get(v, "threshold").toFixed(2)}`;
}

// --- the face --------------------------------------------------------------------------------------
function makeFace(v) {
  const picture = node("canvas", { width: SIZE, height: SIZE, "aria-hidden": "true" });
  const context = picture.getContext("2d");
  context.fillStyle = "#ddd";
  context.fillRect(0, 0, SIZE, SIZE);
  const rectangles = v.names.map((_, r) => node("rect", { fill: "none", stroke: v.colours[r], "stroke-width": 1 }));
  const leaders = v.names.map((name) => (name in ASIDE ? node("line", { class: "leader" }) : null));
  const arrows = v.names.map((_, r) => node("path", { fill: "none", stroke: v.colours[r] }));
  const nodes = v.names.map((_, r) => makeNode(v, r));
  const edges = node("g", { class: "edges", onclick: (event) => {
    const pair = event.target.closest("[data-edge]");
    if (pair) select(v, ...pair.dataset.edge.split(",").map((name) => v.names.indexOf(name)));
  } });
  const svg = node("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "group", "aria-label": "graph of the ROIs on the face" },
    node("g", { class: "boxes" }, ...rectangles), node("g", {}, ...leaders.filter(Boolean)), edges,
    node("g", { class: "arrows" }, ...arrows), node("g", { class: "nodes" }, ...nodes));
  return { root: node("div", { class: "face" }, picture, svg), context, rectangles, leaders, arrows, nodes, edges };
}

function makeNode(v, r) {
  const name = v.names[r], granularity = v.scene.granularity[r];
  const shape = granularity === "whole"
    ? node("rect", { x: -6.5, y: -6.5, width: 13, height: 13, rx: 2.5, fill: v.colours[r] })
    : node("circle", { r: 5.5, fill: v.colours[r] });
  const tag = node("text", { y: name === "mouth" ? 19 : -10, "text-anchor": "middle" }, words(name));
  return node("g", {
    class: "node", tabindex: 0, role: "button", "data-roi": name, "aria-label": `${words(name)}, ${granularity} ROI`,
    onclick: pick(v, r), onkeydown: press(pick(v, r)),
  }, node("circle", { class: "halo", r: 11, opacity: 0 }), shape, tag);
}

function findEdges(v) { // the pairs from the threshold on, weakest first, in their stronger direction
  const m = matrix(v), found = [], from = get(v, "threshold"), { R } = v;
  for (let i = 0; i < R; i++) {
    for (let j = i + 1; j < R; j++) {
      const there = m[i * R + j], back = m[j * R + i];
      const x = Math.abs(there) >= Math.abs(back) ? there : back;
      if (Math.abs(x) >= from && Math.abs(x) > 0) found.push({ i, j, x, turned: x !== there });
    }
  }
  v.edges = found.sort((a, b) => Math.abs(a.x) - Math.abs(b.x));
}

function drawEdges(v) {
  // As text: with many edges three times as fast as node by node.
  v.face.edges.innerHTML = v.edges.map((edge) => edgeText(v, edge)).join("");
  v.root.dataset.edges = v.edges.length;
}

function edgeText(v, { i, j, x, turned }) {
  const t = get(v, "frame"), lag = get(v, "lag"), chosen = selected(v);
  const [x1, y1] = place(v, i, t), [x2, y2] = place(v, j, t);
  const touched = [i, j].filter((r) => chosen.includes(r)).length;
  const dim = touched < chosen.length;
  // A gentle arc keeps edges along one brow apart.
  const bend = 0.12, mx = (x1 + x2) / 2 - (y2 - y1) * bend, my = (y1 + y2) / 2 + (x2 - x1) * bend;
  const d = `M${x1},${y1}Q${mx},${my} ${x2},${y2}`, w = thickness(v, x);
  let head = "";
  if (lag !== 0 && layerOf(v).lags.length > 1) {
    const forth = (lag > 0) !== turned, px = (x1 + 2 * mx + x2) / 4, py = (y1 + 2 * my + y2) / 4;
    const angle = (Math.atan2(y2 - y1, x2 - x1) * 180) / Math.PI + (forth ? 0 : 180);
    head = `<polygon points="-4,-4 5,0 -4,4" transform="translate(${px},${py}) rotate(${angle})" class="head"/>`;
  }
  return `<g class="edge${dim ? " dim" : ""}" data-edge="${v.names[i]},${v.names[j]}">`
    + `<path d="${d}" class="under" stroke-width="${w + 2}"/><path d="${d}" stroke="${colour(v, x)}" stroke-width="${w}"/>`
    + `<path d="${d}" class="touch"/>${head}<title>${words(v.names[i])} – ${words(v.names[j])}: ${x.toFixed(2)}</title></g>`;
}

function drawPlaces(v) { // boxes, leaders and nodes: they move when a window begins
  const t = get(v, "frame"), { rectangles, leaders, nodes } = v.face;
  v.names.forEach((_, r) => {
    const [top, bottom, left, right] = box(v, r, t), [x, y] = centre(v, r, t), [px, py] = place(v, r, t);
    attribute(rectangles[r], { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) });
    if (leaders[r]) attribute(leaders[r], { x1: x, y1: y, x2: px, y2: py });
    nodes[r].setAttribute("transform", `translate(${px},${py})`);
  });
}

function drawArrow(v, r) { // the motion of a ROI in this frame
  const t = get(v, "frame"), [x, y] = centre(v, r, t), tip = 5;
  const dx = value(v, r, t, "x") * ARROW, dy = value(v, r, t, "y") * ARROW;
  if (Math.hypot(dx, dy) < 3) { v.face.arrows[r].setAttribute("d", ""); return; }
  const a = Math.atan2(dy, dx), ex = x + dx, ey = y + dy;
  const wing = (s) => `${ex - tip * Math.cos(a + s)},${ey - tip * Math.sin(a + s)}`;
  v.face.arrows[r].setAttribute("d", `M${x},${y}L${ex},${ey}M${wing(0.5)}L${ex},${ey}L${wing(-0.5)}`);
}

function drawHalos(v) { // what the network uses in this frame
  const name = mapName(v), map = name ? v.maps[name] : null;
  if (!map) return;
  const t = get(v, "frame"), top = v.scene.map_tops[name] || 1;
  v.face.nodes.forEach((n, r) => {
    n.firstChild.setAttribute("opacity", clamp(Math.abs(map[r * v.T + t]) / top, 0, 1).toFixed(2));
  });
}

function drawFrame(v) {
  const t = get(v, "frame"), w = windowOf(v, t);
  v.frameSlider.value = t;
  v.player.clock.textContent = `frame ${t} · ${(t / v.fps).toFixed(2)} s`;
  drawPicture(v);
  if (v.placed !== w) {
    v.placed = w;
    drawPlaces(v);
    drawEdges(v);
  }
  v.names.forEach((_, r) => drawArrow(v, r));
  drawHalos(v);
  v.line.cursor.style.transform = `translateX(${timeX(v, t + 0.5)}px)`;
  v.root.dataset.frame = t;
}

// --- the legend of colour and thickness ------------------------------------------------------------
function makeLegend(v) {
  const bar = node("canvas", { width: 160, height: 10, "aria-hidden": "true" }), low = node("span"), high = node("span");
  const shapes = `■ whole  ● fine${v.scene.maps.length ? "  ◎ used in this frame" : ""}`;
  return { root: node("div", { class: "legend" }, low, bar, high, node("span", {}, shapes)), bar, low, high };
}

function drawLegend(v) { // every value in the colour and the thickness of its edge
  const l = layerOf(v), c = v.legend.bar.getContext("2d"), end = l.top.toFixed(l.top < 0.2 ? 2 : 1);
  c.clearRect(0, 0, 160, 10);
  for (let x = 0; x < 160; x++) {
    const shown = l.signed ? l.top * (x / 79.5 - 1) : (l.top * x) / 159;
    const high = 1.5 * thickness(v, shown); // the face is drawn at about 1.5 pixels per unit
    c.fillStyle = colour(v, shown);
    c.fillRect(x, 5 - high / 2, 1, high);
  }
  v.legend.low.textContent = `${l.symbol} = ${l.signed ? `−${end}` : "0"}`;
  v.legend.high.textContent = l.signed ? `+${end}` : end;
}

// --- the matrix ------------------------------------------------------------------------------------
function makeMatrix(v) {
  const all = v.R * CELL, wide = LEFT + all + BEYOND, high = TOP + all + 4;
  // The cells are one picture: 324 elements of a page would cost more at every change than all else together.
  const cells = node("canvas", {
    width: all * SHARP, height: all * SHARP, "aria-hidden": "true",
    style: `left:${percent(LEFT, wide)};top:${percent(TOP, high)};width:${percent(all, wide)};height:${percent(all, high)}`,
  });
  const table = node("svg", {
    viewBox: `0 0 ${wide} ${high}`, role: "group",
    "aria-label": "matrix of relations; the arrow keys walk from cell to cell",
  });
  const label = (r, transform, anchor) => node("text", {
    transform, "text-anchor": anchor, class: "roi", "data-roi": v.names[r], onclick: pick(v, r),
  }, words(v.names[r]));
  const rows = v.names.map((_, r) => label(r, `translate(${LEFT - 16},${TOP + (r + 0.72) * CELL})`, "end"));
  const columns = v.names.map((_, r) => label(r, `translate(${LEFT + (r + 0.68) * CELL},${TOP - 16}) rotate(-60)`, "start"));
  const chips = v.names.flatMap((_, r) => [
    node("rect", { x: LEFT - 12, y: TOP + r * CELL + 3, width: 8, height: CELL - 6, fill: v.colours[r] }),
    node("rect", { x: LEFT + r * CELL + 3, y: TOP - 12, width: CELL - 6, height: 8, fill: v.colours[r] }),
  ]);
  const standing = node("rect", {
    width: CELL - 1, height: CELL - 1, class: "here", tabindex: 0, role: "button", "aria-roledescription": "cell",
    onkeydown: (event) => walk(v, event),
  });
  const frame = node("g", { class: "frame" });
  table.append(...rows, ...columns, ...chips, standing, frame);
  listenToCells(v, table, cells);
  return { root: node("div", { class: "matrix" }, cells, table), cells, rows, columns, standing, frame };
}

function listenToCells(v, table, cells) {
  const cellAt = (event) => { // [row, column], or null beside the cells
    const { left, top, width, height } = cells.getBoundingClientRect();
    const at = [Math.floor(((event.clientY - top) / height) * v.R), Math.floor(((event.clientX - left) / width) * v.R)];
    return at.every((k) => k >= 0 && k < v.R) ? at : null;
  };
  table.addEventListener("click", (event) => { const at = cellAt(event); if (at) pickCell(v, ...at); });
  table.addEventListener("mousemove", (event) => {
    const at = cellAt(event);
    table.style.cursor = at ? "pointer" : "";
    if (at) v.told.textContent = sentence(v, ...at); else say(v);
  });
  table.addEventListener("mouseleave", () => say(v));
}

function walk(v, event) { // the arrow keys, from cell to cell
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (!step) { press(() => pickCell(v, ...v.here))(event); return; }
  event.preventDefault();
  standOn(v, clamp(v.here[0] + step[0], 0, v.R - 1), clamp(v.here[1] + step[1], 0, v.R - 1));
  v.told.textContent = sentence(v, ...v.here);
}

function pickCell(v, i, j) {
  standOn(v, i, j);
  if (i === j) select(v, i); else select(v, i, j);
}

function standOn(v, i, j) {
  v.here = [i, j];
  attribute(v.matrix.standing, { x: LEFT + j * CELL, y: TOP + i * CELL });
  v.matrix.standing.dataset.cell = v.here;
  nameCell(v);
}

const nameCell = (v) => v.matrix.standing.setAttribute("aria-label", sentence(v, ...v.here));

function drawCells(v) {
  const m = matrix(v), c = v.matrix.cells.getContext("2d"), from = get(v, "threshold"), { R } = v;
  const side = CELL * SHARP, lagged = layerOf(v).lags.length > 1;
  c.clearRect(0, 0, R * side, R * side);
  for (let i = 0; i < R; i++) {
    for (let j = 0; j < R; j++) {
      const x = m[i * R + j];
      c.fillStyle = i === j && !lagged ? "#ddd" : colour(v, x, i !== j && Math.abs(x) < from ? 0.42 : 1);
      c.fillRect(j * side, i * side, side - SHARP, side - SHARP);
    }
  }
  nameCell(v);
}

function selectionFrames(v, chosen) { // around a ROI's row and column, or around a pair's two cells
  const all = v.R * CELL, around = (x, y, width, height) => node("rect", { x, y, width, height });
  const [a, b] = chosen.map((r) => r * CELL - 1);
  if (chosen.length === 1)
    return [around(LEFT - 1, TOP + a, all + 1, CELL + 1), around(LEFT + a, TOP - 1, CELL + 1, all + 1)];
  if (chosen.length === 2)
    return [[a, b], [b, a]].map(([y, x]) => around(LEFT + x, TOP + y, CELL + 1, CELL + 1));
  return [];
}

function drawSelection(v) {
  const chosen = selected(v);
  v.matrix.frame.replaceChildren(...selectionFrames(v, chosen));
  v.names.forEach((_, r) => {
    const on = chosen.includes(r);
    v.face.nodes[r].setAttribute("aria-pressed", on);
    for (const shown of [v.face.nodes, v.face.rectangles, v.matrix.rows, v.matrix.columns])
      shown[r].classList.toggle("selected", on);
  });
  v.root.dataset.selected = get(v, "selected").join(",");
}

// --- the lag curve ---------------------------------------------------------------------------------
const makeCurve = () => node("svg", { viewBox: "0 0 400 92", class: "curve", role: "img", "aria-label": "relation over lag" });

function drawCurve(v) {
  const chosen = selected(v), lagged = layerOf(v).lags.length > 1;
  if (chosen.length === 2 && lagged) { v.curve.replaceChildren(...curveParts(v, ...chosen)); return; }
  const why = lagged ? "select a pair: its relation at every lag is drawn here" : "this relation is measured at one frame, without lag";
  v.curve.replaceChildren(node("text", { x: 200, y: 46, "text-anchor": "middle", class: "faint" }, why));
}

function curveParts(v, a, b) {
  const { lags, top } = layerOf(v), values = across(v, a, b), n = lags.length, edge = critical(v), parts = [];
  const x = (i) => 46 + (i * 330) / (n - 1), y = (r) => 40 - (r / top) * 30;
  const text = (attributes, content) => parts.push(node("text", attributes, content));
  if (edge !== null) parts.push(node("rect", { x: 46, y: y(edge), width: 330, height: y(-edge) - y(edge), fill: "#eee" }));
  parts.push(node("line", { x1: 46, x2: 376, y1: y(0), y2: y(0), stroke: "#999" }));
  const points = values.map((r, i) => `${x(i)},${y(r)}`).join(" ");
  parts.push(node("polyline", { points, fill: "none", stroke: "#222", "stroke-width": 1.5 }));
  lags.forEach((lag, i) => {
    const now = lag === get(v, "lag");
    parts.push(node("circle", {
      cx: x(i), cy: y(values[i]), r: now ? 4.5 : 2.5, fill: now ? "#E69F00" : "#222", onclick: () => set(v, "lag", lag),
    }));
  });
  for (const lag of [lags[0], 0, lags[n - 1]])
    text({ x: x(lags.indexOf(lag)), y: 84, "text-anchor": "middle" }, `${lag > 0 ? "+" : ""}${lag}`);
  text({ x: 2, y: 14 }, `r = ${top.toFixed(1)}`);
  text({ x: 2, y: 74 }, `−${top.toFixed(1)}`);
  text({ x: 56, y: 84 }, `← ${words(v.names[b])} first`);
  text({ x: 364, y: 84, "text-anchor": "end" }, `${words(v.names[a])} first →`);
  return parts;
}

// --- the time line ---------------------------------------------------------------------------------
function makeLine(v) {
  // Two canvases, so that the motion can be drawn anew without the rest.
  const above = node("canvas"), below = node("canvas"), cursor = node("div", { class: "cursor" });
  const root = node("div", { class: "strips", role: "img", "aria-label": "motion, score and attribution over time" }, above, below, cursor);
  const heights = { motion: 110, score: v.score ? 84 : 34, map: v.scene.maps.length ? v.R * 6 : 0 };
  const tall = heights.motion + heights.score + heights.map + ROWS.gap * 3 + 22;
  root.style.height = `${tall}px`;
  const seek = (event) => {
    const x = event.clientX - root.getBoundingClientRect().left - ROWS.left;
    set(v, "frame", clamp(Math.floor((x / (v.wide - ROWS.left - ROWS.right)) * v.T), 0, v.T - 1));
  };
  root.addEventListener("pointerdown", (event) => {
    seek(event);
    root.setPointerCapture(event.pointerId);
    root.onpointermove = seek;
    root.onpointerup = () => { root.onpointermove = root.onpointerup = null; };
  });
  const divide = ROWS.top + heights.motion + ROWS.gap / 2; // the height at which the two canvases meet
  return { root, above, below, cursor, heights, tall, divide, heat: document.createElement("canvas") };
}

const timeX = (v, t) => ROWS.left + (t / v.T) * (v.wide - ROWS.left - ROWS.right);

function prepare(v, canvas, from, to) { // the part of the strips between two heights, with the true intervals behind it
  const ratio = window.devicePixelRatio || 1;
  canvas.width = v.wide * ratio;
  canvas.height = (to - from) * ratio;
  Object.assign(canvas.style, { top: `${from}px`, height: `${to - from}px` });
  const c = canvas.getContext("2d");
  c.scale(ratio, ratio);
  c.translate(0, -from);
  c.font = "11px system-ui, sans-serif";
  c.textBaseline = "middle";
  c.globalAlpha = 0.16;
  for (const me of v.scene.annotations) {
    c.fillStyle = v.emotions[me.emotion];
    c.fillRect(timeX(v, me.onset), ROWS.top, timeX(v, me.offset + 1) - timeX(v, me.onset), v.line.tall - 36);
  }
  c.globalAlpha = 1;
  return c;
}

function rule(v, c, y, tint) {
  c.strokeStyle = tint;
  c.beginPath(); c.moveTo(ROWS.left, y); c.lineTo(v.wide - ROWS.right, y); c.stroke();
}

function trace(v, c, height) { // a line through the height of every frame
  c.beginPath();
  for (let t = 0; t < v.T; t++) c.lineTo(timeX(v, t + 0.5), height(t));
  c.stroke();
}

function drawMotion(v) {
  const c = prepare(v, v.line.above, 0, v.line.divide), high = v.line.heights.motion, y = ROWS.top, axis = part(v);
  const signed = axis !== "magnitude", middle = signed ? y + high / 2 : y + high;
  const scale = (signed ? high / 2 : high) / v.motionTop, upward = axis === "y" ? -scale : scale; // y counts downwards
  rule(v, c, middle, "#bbb");
  c.save();
  c.beginPath(); c.rect(ROWS.left, y, v.wide - ROWS.right - ROWS.left, high); c.clip();
  drawTraces(v, c, (r) => (t) => middle - value(v, r, t, axis) * upward);
  c.restore();
  c.fillStyle = INK;
  c.textAlign = "right";
  c.fillText(`${v.motionTop.toFixed(0)} px`, ROWS.left - 4, y + 6);
  if (signed) { // what lies above the middle, and what below
    const [above, below] = axis === "y" ? ["up", "down"] : ["right", "left"];
    c.fillText(above, ROWS.left - 4, y + 20);
    c.fillText(below, ROWS.left - 4, y + high - 6);
  }
  c.fillText("motion", ROWS.left - 4, middle - (signed ? 0 : 8));
  c.textAlign = "center";
  for (const me of v.scene.annotations) c.fillText(me.emotion, timeX(v, (me.onset + me.offset + 1) / 2), 8);
}

function drawTraces(v, c, heightOf) { // the selected ROIs last and bold
  const chosen = selected(v);
  const order = [...Array(v.R).keys()].sort((a, b) => chosen.includes(a) - chosen.includes(b));
  for (const r of order) {
    const bold = chosen.includes(r);
    c.strokeStyle = v.colours[r];
    c.globalAlpha = chosen.length && !bold ? 0.18 : bold ? 1 : 0.75;
    c.lineWidth = bold ? 2.2 : 1;
    trace(v, c, heightOf(r));
  }
}

function drawRest(v) { // score, truth and prediction, attribution, seconds
  const c = prepare(v, v.line.below, v.line.divide, v.line.tall), { heights } = v.line;
  const y = ROWS.top + heights.motion + ROWS.gap;
  drawScore(v, c, y);
  if (mapName(v)) drawMap(v, c, y + heights.score + ROWS.gap);
  drawSeconds(v, c);
}

function drawScore(v, c, y) { // with the true intervals under it and the spotted ones above
  const { score: high } = v.line.heights, base = y + high - 12, { annotations, predictions } = v.scene;
  c.textAlign = "right";
  c.fillStyle = INK;
  if (v.score) {
    c.strokeStyle = SCORE;
    c.lineWidth = 1.6;
    trace(v, c, (t) => base - v.score[t] * (high - 34));
    c.fillText("0", ROWS.left - 4, base - 5);
    c.fillText("score", ROWS.left - 4, base - (high - 34) / 2);
    c.fillText("1", ROWS.left - 4, base - (high - 34));
    c.lineWidth = 1;
    rule(v, c, base, "#ddd");
  }
  drawIntervals(v, c, annotations, base + 2, 10);
  drawIntervals(v, c, predictions, y, 8);
  c.fillStyle = INK;
  c.fillText("truth", ROWS.left - 4, base + 7);
  if (predictions.length) c.fillText("spotted", ROWS.left - 4, y + 4);
}

function drawIntervals(v, c, rows, at, tall) {
  for (const me of rows) {
    c.fillStyle = v.emotions[me.emotion];
    const from = timeX(v, Math.max(0, me.onset)), to = timeX(v, Math.min(v.T, me.offset + 1)); // spotted ones may leave the video
    c.fillRect(from, at, Math.max(2, to - from), tall);
  }
}

function drawMap(v, c, y) { // the attribution, a row per ROI
  const name = mapName(v), wide = v.wide - ROWS.right - ROWS.left;
  paintHeat(v, name);
  c.imageSmoothingEnabled = false;
  c.drawImage(v.line.heat, ROWS.left, y, wide, v.line.heights.map);
  for (let r = 0; r < v.R; r++) {
    c.fillStyle = v.colours[r];
    c.fillRect(ROWS.left - 8, y + r * 6, 5, 5);
  }
  c.strokeStyle = "#000";
  c.lineWidth = 1.2;
  for (const r of selected(v)) c.strokeRect(ROWS.left, y + r * 6 - 0.5, wide, 7);
  c.fillStyle = INK;
  c.textAlign = "right";
  ["what the", name, "makes of", "each ROI:", "orange +", "blue −"].forEach((word, i) => c.fillText(word, ROWS.left - 13, y + 8 + 14 * i));
}

function paintHeat(v, name) { // a map as a picture of one pixel per frame and ROI
  if (v.heatOf === name) return;
  v.heatOf = name;
  const { R, T } = v, { heat } = v.line, map = v.maps[name], top = v.scene.map_tops[name] || 1;
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

function drawSeconds(v, c) {
  c.textAlign = "center";
  const seconds = v.T / v.fps, every = seconds > 30 ? 5 : 1;
  for (let s = 0; s <= seconds; s += every) {
    c.fillStyle = "#999";
    c.fillRect(timeX(v, s * v.fps), v.line.tall - 20, 1, 5);
    c.fillStyle = INK;
    c.fillText(`${s} s`, timeX(v, s * v.fps), v.line.tall - 8);
  }
}

// --- pictures, decoded when they are near ------------------------------------------------------------
async function decode(v, t) {
  if (!v.files[t] || v.decoded.has(t)) return;
  v.decoded.set(t, null);
  const bitmap = await createImageBitmap(new Blob([v.files[t]], { type: "image/jpeg" }));
  v.decoded.set(t, bitmap);
  for (const key of v.decoded.keys()) {
    if (v.decoded.size <= DECODED.most) break;
    if (Math.abs(key - get(v, "frame")) > DECODED.near) { v.decoded.get(key)?.close(); v.decoded.delete(key); }
  }
  if (t === get(v, "frame")) drawPicture(v);
}

function drawPicture(v) {
  const t = get(v, "frame"), bitmap = v.decoded.get(t);
  if (bitmap) {
    v.face.context.drawImage(bitmap, 0, 0, SIZE, SIZE);
    v.root.dataset.shown = t;
  } else decode(v, t);
  for (let d = 1; d <= DECODED.ahead; d++) if (t + d < v.T) decode(v, t + d);
}

function receive(v, message, buffers) {
  if (message.kind !== "pictures") return;
  buffers.forEach((b, i) => { v.files[message.first + i] = b; });
  v.root.dataset.pictures = v.files.filter(Boolean).length;
  if (get(v, "frame") >= message.first && get(v, "frame") < message.first + buffers.length) drawPicture(v);
}

function fetchPictures(v) { // from the page, where it holds them, else from the kernel; until then the cover
  const { arrays, scene } = v;
  if (arrays.pictures) {
    const ends = scene.picture_ends, all = arrays.pictures, begins = [0, ...ends];
    const cut = ends.map((end, i) => new DataView(all.buffer, all.byteOffset + begins[i], end - begins[i]));
    receive(v, { kind: "pictures", first: 0 }, cut);
    return;
  }
  if (arrays.cover) {
    createImageBitmap(new Blob([arrays.cover], { type: "image/jpeg" })).then((b) => {
      if (!("shown" in v.root.dataset)) v.face.context.drawImage(b, 0, 0, SIZE, SIZE);
    });
  }
  v.model.send({ kind: "pictures" });
}

// --- playing -----------------------------------------------------------------------------------------
function makeFrameSlider(v) {
  const made = node("input", { type: "range", min: 0, max: v.T - 1, step: 1, id: `${v.id}-frame`, "aria-label": "frame", class: "frame-slider" });
  made.addEventListener("input", () => set(v, "frame", Number(made.value)));
  return made;
}

function makePlayer(v) {
  const speeds = [["1", "full speed"], ["0.5", "half speed"], ["0.2", "slow, 1/5"]];
  const speed = node("select", { "aria-label": "speed" }, ...speeds.map(([x, text]) => node("option", { value: x }, text)));
  const button = node("button", { type: "button", class: "play", onclick: () => (v.playing ? stop(v) : play(v)) }, "▶ play");
  const clock = node("output", { class: "clock" });
  const toggles = Object.entries({ boxes: true, arrows: true, names: false, colour: false }).map(([name, on]) => makeToggle(v, name, on));
  const shades = Object.entries(v.emotions).filter(([name]) => name !== "neutral")
    .map(([name, tint]) => node("span", {}, node("i", { style: `background:${tint}` }), ` ${name}`));
  const root = node("div", { class: "player" },
    node("button", { type: "button", onclick: () => jump(v, -1) }, "◀ previous ME"), button,
    node("button", { type: "button", onclick: () => jump(v, 1) }, "next ME ▶"), speed, clock,
    ...toggles.map((t) => t.box), node("span", { class: "emotions" }, ...shades));
  return { root, button, speed, clock, toggles };
}

function makeToggle(v, name, on) {
  const made = node("input", { type: "checkbox", id: `${v.id}-${name}` });
  made.checked = on;
  const apply = () => v.root.classList.toggle(`with-${name}`, made.checked);
  made.addEventListener("change", apply);
  const label = name === "arrows" ? `arrows ×${ARROW}` : name;
  return { apply, box: node("label", { for: made.id, class: "check" }, made, ` ${label}`) };
}

function play(v) {
  let last = performance.now(), at = get(v, "frame") >= v.T - 1 ? 0 : get(v, "frame");
  v.player.button.textContent = "❚❚ pause";
  const tick = (now) => {
    at += ((now - last) / 1000) * v.fps * Number(v.player.speed.value);
    last = now;
    if (at >= v.T - 1) { set(v, "frame", v.T - 1); stop(v); return; }
    if (Math.floor(at) !== get(v, "frame")) set(v, "frame", Math.floor(at));
    v.playing = requestAnimationFrame(tick);
  };
  v.playing = requestAnimationFrame(tick);
}

function stop(v) {
  cancelAnimationFrame(v.playing);
  v.playing = null;
  v.player.button.textContent = "▶ play";
}

function jump(v, direction) { // to the next apex, or the one before
  const apexes = v.scene.annotations.map((me) => me.apex).sort((a, b) => a - b), t = get(v, "frame");
  const next = direction > 0 ? apexes.find((a) => a > t) : apexes.findLast((a) => a < t);
  if (next !== undefined) set(v, "frame", clamp(next, 0, v.T - 1));
}

// --- words -------------------------------------------------------------------------------------------
function sentence(v, i, j) { // a pair and its relation
  const l = layerOf(v), x = matrix(v)[i * v.R + j], lag = get(v, "lag"), edge = critical(v);
  const [a, b] = [words(v.names[i]), words(v.names[j])];
  if (i === j) return a;
  const frames = Math.abs(lag), ms = Math.round((1000 * frames) / v.fps), [first, second] = lag > 0 ? [a, b] : [b, a];
  const when = l.lags.length > 1 && lag !== 0 ? `, ${first} ${frames} frame(s) (${ms} ms) before ${second}` : "";
  let sure = "";
  if (edge !== null) sure = Math.abs(x) > edge ? `; beyond the 5% level of ${edge.toFixed(2)}` : `; within what chance does (5% level ${edge.toFixed(2)})`;
  return `${a} – ${b}: ${l.symbol} = ${small(x).toFixed(2)}${when}${sure}`;
}

function strongestWith(v, r) {
  const m = matrix(v), at = (j) => m[r * v.R + j];
  const best = v.names.map((_, j) => j).filter((j) => j !== r).sort((a, b) => Math.abs(at(b)) - Math.abs(at(a))).slice(0, 3);
  return `${words(v.names[r])}: strongest with ${best.map((j) => `${words(v.names[j])} (${at(j).toFixed(2)})`).join(", ")}`;
}

function say(v) {
  const chosen = selected(v);
  if (chosen.length === 2) v.told.textContent = sentence(v, ...chosen);
  else if (chosen.length === 1) v.told.textContent = strongestWith(v, ...chosen);
  else v.told.textContent = "Select a node or a cell; shift-click (or Shift+Enter on) a second node for a pair. Arrow keys walk the matrix, Escape clears.";
}

// --- the page ----------------------------------------------------------------------------------------
function makePage(v) {
  v.told = node("p", { class: "told", "aria-live": "polite" });
  v.controls = makeControls(v);
  v.face = makeFace(v);
  v.legend = makeLegend(v);
  v.matrix = makeMatrix(v);
  v.curve = makeCurve();
  v.line = makeLine(v);
  v.frameSlider = makeFrameSlider(v);
  v.player = makePlayer(v);
  const root = node("div", { class: "roi-explorer" },
    v.controls.root,
    v.controls.note,
    node("div", { class: "views" },
      node("div", { class: "left" }, v.face.root, v.legend.root),
      node("div", { class: "right" }, v.matrix.root, v.curve)),
    v.told,
    v.line.root,
    v.frameSlider,
    v.player.root);
  root.addEventListener("keydown", (event) => {
    // JupyterLab and Notebook listen for single keys: what is typed here stays here.
    event.stopPropagation();
    if (event.key === "Escape") set(v, "selected", []);
  });
  root.tabIndex = -1;
  root.dataset.lmSuppressShortcuts = "true";
  return root;
}

// Each change asks for the drawings that depend on it; what one event asks for twice is drawn once, in this order.
const DRAWINGS = [drawControls, drawLegend, findEdges, drawEdges, drawCells, drawSelection, drawCurve, say, drawMotion, drawRest, drawFrame];
const RELATIONS = [drawControls, findEdges, drawEdges, drawCells, drawCurve, say];
const DEPENDS = {
  frame: [drawFrame],
  selected: [drawEdges, drawSelection, drawCurve, say, drawMotion, drawRest],
  layer: [...RELATIONS, drawLegend, drawRest, drawFrame], // the map in the time line may be another
  condition: RELATIONS,
  component: [...RELATIONS, drawMotion],
  lag: RELATIONS,
  threshold: [drawControls, findEdges, drawEdges, drawCells],
};

function ask(v, wanted) {
  if (!v.asked.size) queueMicrotask(() => {
    const now = DRAWINGS.filter((drawing) => v.asked.has(drawing));
    v.asked.clear();
    now.forEach((drawing) => drawing(v));
  });
  wanted.forEach((drawing) => v.asked.add(drawing));
}

function follow(v) { // the model and the width of the page; returns how to stop
  const listeners = { "msg:custom": (message, buffers) => receive(v, message, buffers) };
  for (const [name, drawings] of Object.entries(DEPENDS)) listeners[`change:${name}`] = () => ask(v, drawings);
  for (const [name, listener] of Object.entries(listeners)) v.model.on(name, listener);
  const resize = new ResizeObserver(() => {
    const now = Math.max(320, v.line.root.clientWidth);
    if (now === v.wide) return;
    v.wide = now;
    ask(v, [drawMotion, drawRest, drawFrame]);
  });
  resize.observe(v.line.root);
  return () => {
    stop(v);
    resize.disconnect();
    for (const [name, listener] of Object.entries(listeners)) v.model.off(name, listener);
  };
}

function render({ model, el }) {
  const v = newView(model);
  v.root = makePage(v);
  v.player.toggles.forEach((t) => t.apply());
  el.replaceChildren(v.root);
  const leave = follow(v);
  v.wide = Math.max(320, v.line.root.clientWidth || 900);
  standOn(v, ...v.here);
  ask(v, DRAWINGS);
  fetchPictures(v);
  return leave;
}

export default { render };
