// Runs the explorer in a page of its own: its state and arrays stand in the page, no kernel is asked.
const state = JSON.parse(document.getElementById("state").textContent);
const arrays = JSON.parse(document.getElementById("arrays").textContent);
const bytes = (text) => {
  const binary = atob(text), found = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) found[i] = binary.charCodeAt(i);
  return new DataView(found.buffer);
};
state.arrays = Object.fromEntries(Object.entries(arrays).map(([name, text]) => [name, bytes(text)]));
const listeners = {};
const model = {
  get: (name) => state[name],
  set: (name, value) => {
    if (JSON.stringify(state[name]) === JSON.stringify(value)) return;
    state[name] = value;
    (listeners[`change:${name}`] ?? []).forEach((listener) => listener());
  },
  on: (name, listener) => { (listeners[name] ??= []).push(listener); },
  off: () => {}, save_changes: () => {}, send: () => {},
};
render({ model, el: document.getElementById("explorer") });
