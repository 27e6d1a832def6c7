"""The ROI explorer: relations between ROIs on a face, as a matrix and over time, to click through.

    explorer = explore(film, layers, motion, (subject, video))  # in a notebook: shows itself
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import traitlets
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from metst_core import plots
from metst_core.errors import InputError, MetstError
from metst_core.extraction import MotionSet
from metst_core.files import ASSETS, write_text
from metst_core.plots import EMOTION_COLOURS, ROI_COLOURS
from metst_core.relations import (
    roi_displacement,
)
from metst_core.rois import roi_names, select_rois
from metst_core.tables import of_video
from metst_core.templates import render
from metst_core.widgets.film_strip import Film
from metst_core.widgets.layers import Layer

try:
    import anywidget
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise MetstError("the widgets need the package anywidget: pip install 'metst[notebooks]'") from error

CHUNK = 30
"""Pictures per message."""
_STATE = ("frame", "layer", "condition", "component", "lag", "threshold", "selected")


@dataclass(frozen=True)
class Seen:
    """What a network made of one video.

    score `(T,)`; predictions: its prediction table; attribution: what the outputs "score" and "emotion" use,
    `(R, T)` each.
    """

    score: np.ndarray | None = None
    predictions: pd.DataFrame | None = None
    attribution: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """What the explorer shows of one video: motion `(2, R, T)`, x and y in pixels of the crop, and its tables."""

    names: list[str]
    motion: np.ndarray
    fps: float
    window: int
    annotations: pd.DataFrame
    predictions: pd.DataFrame | None
    score: np.ndarray | None
    maps: Mapping[str, np.ndarray]


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

    def __init__(self, film: Film, layers: Sequence[Layer], content: Content, **state: Any) -> None:
        self.film, self.layers, self._content = film, list(layers), content
        scene, arrays = _scene(self.layers, content)
        first = self.layers[0]
        super().__init__(
            scene=scene, arrays=arrays | {"boxes": film.boxes.tobytes(), "cover": film.pictures[0]},
            **{"layer": first.name, "condition": first.conditions[0], "component": first.components[-1],
               "threshold": round(first.threshold, 2), **state},
        )  # fmt: skip
        if unknown := [n for n in self.selected if n not in content.names]:
            raise InputError(f"selected: {unknown[0]!r} is none of {', '.join(content.names)}")
        self.on_msg(self._answer)

    def _answer(self, widget: Any, message: Mapping[str, Any], buffers: Any) -> None:
        """Send the pictures when a page asks: they are no part of the state, so saved notebooks stay small."""
        if message.get("kind") != "pictures":
            return
        for first in range(0, len(self.film.pictures), CHUNK):
            self.send({"kind": "pictures", "first": first}, self.film.pictures[first : first + CHUNK])

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
        face = plots.Face(self.film.picture(self.frame), self._boxes())
        scale = plots.Scale(self.threshold, layer.top, layer.signed, layer.symbol)
        title = f"{layer.name}, {self.condition}, {self.component}{lag}"
        return plots.relation_page(face, self.matrix(), scale, self.selected, title)

    def time_figure(self) -> Figure:
        """The time view as it is now, as a static figure."""
        c = self._content
        x, y = c.motion
        traces = {"x": x, "y": y}.get(self.component, np.hypot(x, y))
        wanted = "emotion" if any(word in self.layer for word in ("recognition", "emotion")) else "score"
        course = plots.Course(traces, c.names, c.fps, c.annotations, c.score, c.maps.get(wanted))
        return plots.time_page(course, self.selected, self.frame)

    def save_page(self, path: str | Path) -> Path:
        """Write the explorer as one self-contained HTML page (pictures included) that needs no kernel."""
        state = {name: getattr(self, name) for name in _STATE}
        pictures = self.film.pictures
        scene = {**self.scene, "picture_ends": np.cumsum([len(p) for p in pictures]).tolist()}
        arrays = {**self.arrays, "pictures": b"".join(pictures)}
        encoded = {name: base64.b64encode(value).decode() for name, value in arrays.items()}
        page = render("explorer.html", state={**state, "scene": scene}, arrays=encoded)
        return write_text(page, path)

    def _layer(self) -> Layer:
        by_name = {layer.name: layer for layer in self.layers}
        if self.layer not in by_name:
            raise InputError(f"layer {self.layer!r} is none of {', '.join(by_name)}")
        return by_name[self.layer]

    def _boxes(self) -> dict[str, tuple[float, float, float, float]]:
        boxes = self.film.boxes
        number = min(self.frame // (self._content.window // 2), len(boxes) - 1)
        return {
            name: tuple(box) for name, box in zip(self._content.names, boxes[number].tolist(), strict=True)
        }


def explore(
    film: Film,
    layers: Sequence[Layer],
    motion: MotionSet,
    key: tuple[str, str],
    seen: Seen | None = None,
    **state: Any,
) -> RoiExplorer:
    """The explorer of one video of a motion set.

    film: its pictures and ROI boxes.  layers: what can be related (`motion_layers`, `network_layers`).
    key: (subject, video).  seen: what a network made of the video.  state: first values of the traits, such
    as `frame` or `selected`.
    """
    subject, video = key
    seen = seen or Seen()
    n_frames = motion.n_frames(subject, video)
    names = roi_names(motion.features)
    shown = roi_displacement(motion.windows[subject, video], n_frames)
    for name, values, shape in (
        ("film", film.pictures, (n_frames,)),
        ("score", seen.score, (n_frames,)),
        *((f"attribution[{k!r}]", v, (len(names), n_frames)) for k, v in seen.attribution.items()),
    ):
        found = None if values is None else (len(values),) if isinstance(values, list) else np.shape(values)
        if found is not None and found != shape:
            raise InputError(f"{name} has shape {found}; this video needs {shape}")
    annotations = _of(motion.annotations, key)
    predictions = None if seen.predictions is None else _of(seen.predictions, key)
    xy = np.stack([shown[0::2], shown[1::2]])
    content = Content(
        names, xy, motion.fps, motion.window, annotations, predictions, seen.score, seen.attribution
    )
    return RoiExplorer(film, layers, content, **state)


def _of(table: pd.DataFrame, key: tuple[str, str]) -> pd.DataFrame:
    return of_video(table, *key).reset_index(drop=True)


def _scene(layers: Sequence[Layer], content: Content) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the browser draws from: a JSON-like description, and float32 arrays by name."""
    names = content.names
    maps = {name: np.asarray(values, np.float32) for name, values in content.maps.items()}
    granularity = {roi.name: roi.granularity for roi in select_rois("metst_plus_ref")}
    scene = {
        "names": names,
        "colours": [to_hex(ROI_COLOURS[name]) for name in names],
        "granularity": [granularity[name] for name in names],
        "emotions": EMOTION_COLOURS,
        "fps": float(content.fps),
        "window": int(content.window),
        "n_frames": int(content.motion.shape[-1]),
        "motion_top": float(np.quantile(np.hypot(*content.motion), 0.999)),
        "annotations": _intervals(content.annotations),
        "predictions": _intervals(content.predictions),
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
    arrays["motion"] = content.motion.astype(np.float32).tobytes()
    if content.score is not None:
        arrays["score"] = np.asarray(content.score, np.float32).tobytes()
    return scene, arrays


def _intervals(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    return [] if table is None else table[["onset", "apex", "offset", "emotion"]].to_dict("records")


def _slot(values: Sequence[Any], value: Any) -> int:
    """Where a state's value lies on an axis; a layer that does not know it shows its first."""
    return values.index(value) if value in values else 0
