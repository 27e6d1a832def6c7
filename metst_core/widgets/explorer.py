"""The ROI explorer: relations between ROIs on a face, as a matrix and over time, to click through.

    explorer = explore(film, layers, motion, subject, video)  # in a notebook: shows itself
    explorer.relation_figure(), explorer.time_figure()        # the static figures behind it, as it is now
    explorer.save_page("explorer.html")                       # the same for any browser, without a kernel

All numbers are computed beforehand and handed to the browser once; the views are drawn there
(`assets/explorer.js`), so that sliders do not wait for Python.  What is selected and shown are traits
(`frame`, `condition`, `component`, `lag`, `threshold`, `layer`, `selected`) that Python can read, set and
observe.  It is an `anywidget`, whose code travels with it and reaches for nothing else, so no extension is
built: it is tested in JupyterLab, Notebook 7 and Voila.  VS Code knows anywidget too (with a local kernel it
takes anywidget's own loader from the Python environment, else it asks for leave to fetch it); no test runs
there.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import traitlets
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from metst_core.errors import InputError, MetstError
from metst_core.extraction import MotionSet
from metst_core.files import ASSETS, atomic_path
from metst_core.landmarks import Landmarker
from metst_core.models import Network
from metst_core.motion import Reference, cut_crop, find_reference
from metst_core.plots import EMOTION_COLOURS, ROI_COLOURS
from metst_core.plots import relations as relation_plots
from metst_core.relations import (
    COMPONENTS,
    MeWindows,
    Traces,
    lagged_correlation,
    pair_interaction,
    partial_correlation,
    roi_displacement,
    stem_mixing,
)
from metst_core.rois import CROP_SIZE, Bounds, roi_names, rois_on_crop, select_rois
from metst_core.tables import CLASSES, EMOTIONS
from metst_core.windows import window_starts

try:
    import anywidget
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise MetstError("the widgets need the package anywidget: pip install 'metst[notebooks]'") from error

_CHUNK = 30  # pictures per message
_MOST_EDGES = 24  # what a default threshold lets through


# --- the face of a video ----------------------------------------------------------------------------
@dataclass(frozen=True)
class Film:
    """A video's face for the screen.

    pictures: one JPEG per frame, the face crop of the first frame with a face, 320 x 320.
    boxes: `(n_windows, R, 4)` top, bottom, left, right of every ROI on it, one set per window.
    """

    pictures: list[bytes]
    boxes: np.ndarray

    def picture(self, frame: int) -> np.ndarray:
        """One frame, (320, 320, 3) RGB uint8."""
        encoded = np.frombuffer(self.pictures[frame], np.uint8)
        picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        assert picture is not None  # `film` encoded it
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def film(
    frames: Iterable[np.ndarray],
    landmarker: Landmarker,
    window: int,
    features: str = "metst_plus",
    quality: int = 80,
) -> Film:
    """Cut the face out of a video's frames (RGB, uint8) and place the ROIs once per window of `window`
    frames.

    The crop stays where the first face was found, so that head motion can be seen; the ROIs follow it from
    window to window.  Raises `InputError` when no frame holds a face.
    """
    place: Bounds | None = None
    pictures: list[bytes] = []
    boxes: list[np.ndarray | None] = []
    for number, frame in enumerate(frames):
        if number % (window // 2) == 0:
            reference = find_reference(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), landmarker)
            place = place or (reference.place if reference else None)
            boxes.append(_boxes_in(reference, place, features) if reference and place else None)
        crop = cut_crop(frame, place) if place else None
        picture = np.full((CROP_SIZE, CROP_SIZE, 3), 200, np.uint8) if crop is None else crop
        encoded = cv2.imencode(
            ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        pictures.append(encoded[1].tobytes())
    known = [b for b in boxes if b is not None]
    if not known:
        raise InputError("no face was found in these frames; show a video with one")
    latest, filled = known[0], []
    for found in boxes:
        latest = latest if found is None else found
        filled.append(latest)
    return Film(pictures, np.stack(filled).astype(np.float32))


def _boxes_in(reference: Reference, place: Bounds, features: str) -> np.ndarray:
    """The ROIs of a reference frame on the crop at `place`: (R, 4)."""
    found = np.array([tuple(b) for b in rois_on_crop(reference.points, features).values()], float)
    own = reference.place
    rows = [(own.bottom - own.top) / CROP_SIZE, own.top, place.top, CROP_SIZE / (place.bottom - place.top)]
    columns = [
        (own.right - own.left) / CROP_SIZE,
        own.left,
        place.left,
        CROP_SIZE / (place.right - place.left),
    ]
    for part, (scale, start, origin, zoom) in ((slice(0, 2), rows), (slice(2, 4), columns)):
        found[:, part] = (found[:, part] * scale + start - origin) * zoom
    return found


# --- what can be related ----------------------------------------------------------------------------
@dataclass(frozen=True)
class Layer:
    """One kind of relation for the explorer: values `(n_conditions, n_components, n_lags, R, R)`.

    signed: values below 0 occur and mean something.  critical `(n_conditions, n_components)` or None: the 5%
    level of |value|.  symbol: what the number is called; note: one sentence that says what it is.
    """

    name: str
    symbol: str
    note: str
    conditions: tuple[str, ...]
    components: tuple[str, ...]
    lags: tuple[int, ...]
    values: np.ndarray
    signed: bool = True
    critical: np.ndarray | None = None

    @property
    def top(self) -> float:
        """The end of the colour scale: 1 for a correlation, else what 99% of the values stay below."""
        if self.critical is not None:
            return 1.0
        off = ~np.eye(self.values.shape[-1], dtype=bool)
        return max(float(np.quantile(np.abs(self.values[..., off]), 0.99)), 1e-6)

    @property
    def threshold(self) -> float:
        """Where edges start unless told otherwise: few enough to look at, and beyond chance where that is
        known."""
        upper = np.triu_indices(self.values.shape[-1], 1)
        first = np.abs(self.values[0, -1, len(self.lags) // 2][upper])
        level = 0.0 if self.critical is None else float(self.critical[0, -1])
        return min(max(level, float(np.sort(first)[-min(_MOST_EDGES, len(first))])), self.top)


def motion_layers(traces: Traces, max_lag: int = 6, n_permutations: int = 99, seed: int = 0) -> list[Layer]:
    """The relations in the motion: lagged correlation and partial correlation, for every condition and
    component."""
    conditions = tuple(sorted(traces.conditions(), key=lambda c: c != "inside"))
    notes = {
        "motion": "Correlation of the change of motion between two ROIs; with a lag, the row's ROI moves "
        "first.",
        "motion, others held fixed": "Partial correlation: what two ROIs share that none of the others "
        "explains.",
    }
    layers = []
    for name, note in notes.items():
        found = [
            [
                lagged_correlation(traces, condition, component, max_lag, n_permutations, seed)
                if name == "motion"
                else partial_correlation(traces, condition, component, n_permutations, seed)
                for component in COMPONENTS
            ]
            for condition in conditions
        ]
        values = np.array([[r.r for r in row] for row in found])
        levels = np.array([[r.critical() for r in row] for row in found]) if n_permutations else None
        layers.append(
            Layer(name, "r", note, conditions, COMPONENTS, found[0][0].lags, values, critical=levels)
        )
    return layers


def network_layers(model: Network, windows: MeWindows, most: int = 3) -> list[Layer]:
    """The relations in a network: the stem's mixing, and the pairwise interaction at every layer and output.

    Interaction is measured in up to `most` ME windows per emotion; `inside` is the mean over all of them.
    """
    mixing = stem_mixing(model)[None, None, None]
    stem = Layer(
        "stem weights", "cos", "How the first convolution's filters join ROIs: add them (above 0) or "
        "compare them (below 0).",
        ("inside",), ("both",), (0,), mixing,
    )  # fmt: skip
    rows = {e: np.flatnonzero(windows.classes == CLASSES.index(e))[:most] for e in EMOTIONS}
    rows = {emotion: picked for emotion, picked in rows.items() if len(picked)}
    found = {emotion: pair_interaction(model, windows.motion[picked]) for emotion, picked in rows.items()}
    weights = [len(picked) for picked in rows.values()]
    note = (
        "Interaction: what leaving out two ROIs together changes that leaving them out one by one does not."
    )
    layers = [stem]
    for name in next(iter(found.values())):
        each = [found[emotion][name] for emotion in rows]
        values = np.stack([np.average(each, axis=0, weights=weights), *each])[:, None, None]
        layers.append(
            Layer(f"network: {name}", "I", note, ("inside", *rows), ("both",), (0,), values, signed=False)
        )
    return layers


# --- the widget ---------------------------------------------------------------------------------------
class RoiExplorer(anywidget.AnyWidget):
    """The explorer of one video; make it with `explore`.

    Traits to read, set and observe: `frame`; `layer` (a name of `layers`), `condition`, `component`, `lag`,
    `threshold`; `selected`, a list of no, one or two ROI names.
    """

    _esm = ASSETS / "explorer.js"
    _css = ASSETS / "explorer.css"

    scene = traitlets.Dict().tag(sync=True)
    arrays = traitlets.Dict().tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)
    layer = traitlets.Unicode().tag(sync=True)
    condition = traitlets.Unicode("inside").tag(sync=True)
    component = traitlets.Unicode("magnitude").tag(sync=True)
    lag = traitlets.Int(0).tag(sync=True)
    threshold = traitlets.Float(0.5).tag(sync=True)
    selected = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, film: Film, layers: Sequence[Layer], content: Mapping[str, Any], **state: Any) -> None:
        self.film, self.layers = film, list(layers)
        self._content = dict(content)
        names = content["names"]
        scene, arrays = _scene(self.layers, content)
        first = self.layers[0]
        super().__init__(
            scene=scene, arrays=arrays | {"boxes": film.boxes.tobytes(), "cover": film.pictures[0]},
            **{"layer": first.name, "condition": first.conditions[0], "component": first.components[-1],
               "threshold": round(first.threshold, 2), **state},
        )  # fmt: skip
        if unknown := [n for n in self.selected if n not in names]:
            raise InputError(f"selected: {unknown[0]!r} is none of {', '.join(names)}")
        self.on_msg(self._answer)

    def _answer(self, widget: Any, message: Mapping[str, Any], buffers: Any) -> None:
        """Send the pictures when a page asks; they are no part of the state, so saved notebooks stay
        small."""
        if message.get("kind") != "pictures":
            return
        for first in range(0, len(self.film.pictures), _CHUNK):
            self.send({"kind": "pictures", "first": first}, self.film.pictures[first : first + _CHUNK])

    def matrix(self) -> np.ndarray:
        """The relations shown now, (R, R)."""
        layer = self._layer()
        return layer.values[
            _slot(layer.conditions, self.condition),
            _slot(layer.components, self.component),
            _slot(layer.lags, self.lag),
        ]

    def relation_figure(self) -> Figure:
        """The graph and the matrix as they are now, as a static figure."""
        layer = self._layer()
        lag = f", lag {self.lag} frames" if len(layer.lags) > 1 else ""
        return relation_plots.relation_page(
            self.film.picture(self.frame), self._boxes(), self.matrix(), self._content["names"], self.threshold, layer.top,
            layer.signed, self.selected, layer.symbol,
            f"{layer.name}, {self.condition}, {self.component}{lag}",
        )  # fmt: skip

    def time_figure(self) -> Figure:
        """The time view as it is now, as a static figure."""
        c = self._content
        x, y = c["motion"]
        traces = {"x": x, "y": y, "magnitude": np.hypot(x, y)}.get(self.component, np.hypot(x, y))
        wanted = "emotion" if any(word in self.layer for word in ("recognition", "emotion")) else "score"
        return relation_plots.time_page(
            traces, c["names"], c["fps"], c["annotations"], c["score"], c["maps"].get(wanted), self.selected,
            self.frame,
        )  # fmt: skip

    def save_page(self, path: str | Path) -> Path:
        """Write the explorer as one self-contained HTML page (pictures included) that needs no kernel."""
        state = {name: getattr(self, name) for name in _STATE}
        pictures = self.film.pictures
        scene = {**self.scene, "picture_ends": np.cumsum([len(p) for p in pictures]).tolist()}
        arrays = {**self.arrays, "pictures": b"".join(pictures)}
        encoded = {name: base64.b64encode(value).decode() for name, value in arrays.items()}
        page = _PAGE.format(
            css=(ASSETS / "explorer.css").read_text(encoding="utf-8"),
            code=(ASSETS / "explorer.js").read_text(encoding="utf-8").replace("export default { render };",
            ""), state=json.dumps({**state, "scene": scene}).replace("<", "\\u003c"),
            arrays=json.dumps(encoded),
        )  # fmt: skip
        with atomic_path(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
        return Path(path)

    def _layer(self) -> Layer:
        by_name = {layer.name: layer for layer in self.layers}
        if self.layer not in by_name:
            raise InputError(f"layer {self.layer!r} is none of {', '.join(by_name)}")
        return by_name[self.layer]

    def _boxes(self) -> dict[str, tuple[float, float, float, float]]:
        boxes = self.film.boxes
        number = min(self.frame // (self._content["window"] // 2), len(boxes) - 1)
        return {
            name: tuple(box) for name, box in zip(self._content["names"], boxes[number].tolist(), strict=True)
        }


_STATE = ("frame", "layer", "condition", "component", "lag", "threshold", "selected")


def explore(
    film: Film,
    layers: Sequence[Layer],
    motion: MotionSet,
    subject: str,
    video: str,
    score: np.ndarray | None = None,
    predictions: pd.DataFrame | None = None,
    attribution: Mapping[str, np.ndarray] | None = None,
    **state: Any,
) -> RoiExplorer:
    """The explorer of one video of a motion set.

    film: its pictures and ROI boxes.  layers: what can be related (`motion_layers`, `network_layers`).
    score: `(T,)`, and predictions: its prediction table, if a network has seen the video.  attribution: what the outputs "score"
    and "emotion" use, `(R, T)` each.  state: first values of the traits, such as `frame` or `selected`.
    """
    n_frames = motion.n_frames(subject, video)
    names = roi_names(motion.features)
    shown = roi_displacement(motion.windows[subject, video], n_frames)
    for name, values, shape in (
        ("film", film.pictures, (n_frames,)),
        ("score", score, (n_frames,)),
        *((f"attribution[{k!r}]", v, (len(names), n_frames)) for k, v in (attribution or {}).items()),
    ):
        found = None if values is None else (len(values),) if isinstance(values, list) else np.shape(values)
        if found is not None and found != shape:
            raise InputError(f"{name} has shape {found}; this video needs {shape}")
    content = {
        "names": names,
        "motion": np.stack([shown[0::2], shown[1::2]]),
        "score": score,
        "maps": dict(attribution or {}),
        "annotations": _of(motion.annotations, subject, video),
        "predictions": None if predictions is None else _of(predictions, subject, video),
        "fps": motion.fps,
        "window": motion.window,
    }
    return RoiExplorer(film, layers, content, **state)


def spread_over_video(parts: np.ndarray, n_frames: int) -> np.ndarray:
    """Per-window maps `(n_windows, R, k)` on the video's frames, `(R, n_frames)`: the mean of the windows
    that see one."""
    total, seen = np.zeros((parts.shape[1], n_frames)), np.zeros(n_frames)
    for start, part in zip(window_starts(n_frames, parts.shape[2]), parts, strict=False):
        stop = min(start + parts.shape[2], n_frames)
        total[:, start:stop] += part[:, : stop - start]
        seen[start:stop] += 1
    return total / np.maximum(seen, 1)


def _of(table: pd.DataFrame, subject: str, video: str) -> pd.DataFrame:
    return table[(table["subject"] == subject) & (table["video"] == video)].reset_index(drop=True)


def _scene(layers: Sequence[Layer], content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the browser draws from: a JSON-like description, and float32 arrays by name."""
    names = content["names"]
    maps = {name: np.asarray(values, np.float32) for name, values in content["maps"].items()}
    granularity = {roi.name: roi.granularity for roi in select_rois("metst_plus_ref")}
    scene = {
        "names": names,
        "colours": [to_hex(ROI_COLOURS[name]) for name in names],
        "granularity": [granularity[name] for name in names],
        "emotions": EMOTION_COLOURS,
        "fps": float(content["fps"]),
        "window": int(content["window"]),
        "n_frames": int(content["motion"].shape[-1]),
        "motion_top": float(np.quantile(np.hypot(*content["motion"]), 0.999)),
        "annotations": _intervals(content["annotations"]),
        "predictions": _intervals(content["predictions"]),
        "maps": list(maps),
        "map_tops": {name: float(np.quantile(np.abs(values), 0.995)) for name, values in maps.items()},
        "layers": [
            {
                "name": layer.name, "symbol": layer.symbol, "note": layer.note, "signed": layer.signed,
                "conditions": list(layer.conditions), "components": list(layer.components), "lags":
                list(layer.lags), "critical": [] if layer.critical is None else layer.critical.tolist(),
                "top": layer.top, "threshold": round(layer.threshold, 3),
            }
            for layer in layers
        ],
    }  # fmt: skip
    arrays = {f"layer_{i}": layer.values.astype(np.float32).tobytes() for i, layer in enumerate(layers)}
    arrays |= {f"map_{name}": values.tobytes() for name, values in maps.items()}
    arrays["motion"] = content["motion"].astype(np.float32).tobytes()
    if content["score"] is not None:
        arrays["score"] = np.asarray(content["score"], np.float32).tobytes()
    return scene, arrays


def _intervals(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    return [] if table is None else table[["onset", "apex", "offset", "emotion"]].to_dict("records")


def _slot(values: Sequence[Any], value: Any) -> int:
    """Where a state's value lies on an axis; a layer that does not know it shows its first."""
    return values.index(value) if value in values else 0


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>ROI explorer</title><style>
body {{ margin: 1rem; background: #f4f4f4; }}
{css}
</style></head><body><main id="explorer"></main>
<script type="module">
{code}
const state = {state};
const bytes = (text) => {{
  const binary = atob(text), found = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) found[i] = binary.charCodeAt(i);
  return new DataView(found.buffer);
}};
state.arrays = Object.fromEntries(Object.entries({arrays}).map(([name, text]) => [name, bytes(text)]));
const listeners = {{}};
const model = {{
  get: (name) => state[name],
  set: (name, value) => {{
    if (JSON.stringify(state[name]) === JSON.stringify(value)) return;
    state[name] = value;
    (listeners[`change:${{name}}`] ?? []).forEach((listener) => listener());
  }},
  on: (name, listener) => {{ (listeners[name] ??= []).push(listener); }},
  off: () => {{}}, save_changes: () => {{}}, send: () => {{}},
}};
render({{ model, el: document.getElementById("explorer") }});
</script></body></html>
"""
