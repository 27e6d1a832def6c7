// The blind test of notebook 07: a clip is played, somebody says whether the face moved (metst_core/widgets/blind_test.py).

const PAGE = `
  <div tabindex="0" class="blind" style="outline-offset: 4px; display: inline-block; font: 14px sans-serif">
    <canvas role="img" aria-label="a clip of a face"></canvas>
    <p class="told" role="status" style="margin: 0.4rem 0"></p>
    <button class="moved">it moved (J)</button>
    <button class="still">it did not (F)</button>
    <button class="again">once more (R)</button>
  </div>`;

function render({ model, el }) {
  el.innerHTML = PAGE;
  const root = el.querySelector(".blind"), canvas = el.querySelector("canvas"), told = el.querySelector(".told");
  const buttons = Object.fromEntries(["moved", "still", "again"].map((name) => [name, el.querySelector("." + name)]));
  let pictures = [], timer = null;

  const shown = () => model.get("answers").length;
  const over = () => shown() >= model.get("n_clips");

  function say(text) { told.textContent = text; }

  function ask() {
    clearInterval(timer);
    pictures = [];
    const done = over();
    for (const button of Object.values(buttons)) button.disabled = done;
    if (done) { say(`That was the last of ${model.get("n_clips")} clips: run the next cell.`); return; }
    say(`Clip ${shown() + 1} of ${model.get("n_clips")} comes.`);
    model.send({ kind: "clip", number: shown() });
  }

  function play() {
    clearInterval(timer);
    let at = 0;
    timer = setInterval(() => {
      const picture = pictures[at++];
      if (!picture) { clearInterval(timer); say(`Clip ${shown() + 1} of ${model.get("n_clips")}: did the face move?`); return; }
      if (canvas.width !== picture.width) [canvas.width, canvas.height] = [picture.width, picture.height];
      canvas.getContext("2d").drawImage(picture, 0, 0);
    }, 1000 / model.get("fps"));
  }

  function answer(moved) {
    if (over() || !pictures.length) return;
    model.set("answers", [...model.get("answers"), moved]);
    model.save_changes();
    ask();
  }

  async function heard(message, buffers) {
    if (message.kind !== "clip" || message.number !== shown()) return;
    pictures = await Promise.all(buffers.map((data) => createImageBitmap(new Blob([data], { type: "image/jpeg" }))));
    play();
  }

  function pressed(event) {
    const act = { j: () => answer(true), f: () => answer(false), r: play }[event.key.toLowerCase()];
    if (act && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); event.stopPropagation(); act(); }
  }

  buttons.moved.onclick = () => answer(true);
  buttons.still.onclick = () => answer(false);
  buttons.again.onclick = play;
  root.addEventListener("keydown", pressed);
  model.on("msg:custom", heard);
  ask();
  return () => { clearInterval(timer); model.off("msg:custom", heard); };
}

export default { render };
