"""One row per frame of a film: everything that was measured in it and said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from metst_core.rois import roi_names
from metst_core.tables import CLASSES

if TYPE_CHECKING:
    from metst_core.inference.analysis import Findings


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured per frame of a film; NaN where nothing was analysed.

    motion: `(n_frames, 2R)` float32, x and y of every ROI in pixels of the 320 crop, against the reference frame of
        the window that speaks for the frame.
    head: `(n_frames, 2)`, the motion of the reference box that was subtracted from them.
    shift: `(n_frames, 2)`, how far the crop had followed the head by then, in pixels of the film.
    reference: `(n_frames,)`, the first frame of that window.
    bounds: `(n_frames, 4)`, the followed face's left, top, right, bottom in pixels of the film, at the nearest look.
    eye_distance, n_faces: `(n_frames,)`, its distance of the eyes in pixels of the film, and how many faces there were.
    """

    motion: np.ndarray
    head: np.ndarray
    shift: np.ndarray
    reference: np.ndarray
    bounds: np.ndarray
    eye_distance: np.ndarray
    n_faces: np.ndarray


def frames_table(found: Findings) -> pd.DataFrame:
    """One row per frame; the columns are those of `data/outputs.md`."""
    measured, analysed = found.measured, ~np.isnan(found.score)
    flags = frame_flags(found)
    lost = np.array(["face_lost" in here.split() for here in flags])
    known = np.isfinite(measured.eye_distance)
    usual = float(np.median(measured.eye_distance[known])) if known.any() else np.nan
    columns: dict[str, object] = {
        "subject": found.subject,
        "video": found.video,
        "frame": np.arange(found.n_frames),
        "seconds": found.times,
        "face_found": analysed & ~lost,
        "n_faces": _whole(measured.n_faces),
    }
    for i, side in enumerate(("left", "top", "right", "bottom")):
        columns[f"face_{side}"] = measured.bounds[:, i]
    columns["eye_distance"] = measured.eye_distance
    columns["head_scale"] = measured.eye_distance / usual
    for i, axis in enumerate("xy"):
        columns[f"head_shift_{axis}"] = measured.shift[:, i]
    for i, axis in enumerate("xy"):
        columns[f"head_rest_{axis}"] = measured.head[:, i]
    columns |= {"score": found.score, "smoothed": found.smoothed}
    columns |= {f"p_{name}": found.probabilities[:, i] for i, name in enumerate(CLASSES)}
    columns["reference"] = _whole(measured.reference)
    for r, name in enumerate(roi_names(found.model.features)):
        for part, axis in enumerate("xy"):
            columns[f"{name}_{axis}"] = measured.motion[:, 2 * r + part]
    judged = {f"judged_{part}": found.judged[part] for part in found.judged}
    return pd.DataFrame({**columns, **judged, "flags": flags})


def frame_flags(found: Findings) -> list[str]:
    """Per frame, the quality flags that concern it, with spaces between them."""
    said: list[list[str]] = [[] for _ in range(found.n_frames)]
    for row in found.quality.itertuples():
        for number in range(int(row.first), int(row.last) + 1):
            said[number].append(str(row.flag))
    return [" ".join(here) for here in said]


def _whole(values: np.ndarray) -> pd.Series:
    """Whole numbers, or none where there is NaN."""
    return pd.Series(values).astype("Int64")
