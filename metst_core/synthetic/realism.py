"""Is the synthetic set like the real ones?  Its statistics, and what can be seen of a movement of known size.

The published counts are those of SAMM-LV and CAS(ME)^3 (see `PUBLISHED`); a micro-expression lasts under
0.5 s by definition.  Amplitudes in real data are not known: only a synthetic face has a true displacement.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from metst_core.errors import InputError, MissingError
from metst_core.landmarks import Landmarker
from metst_core.motion import find_reference, landmark_jitter
from metst_core.rois import CROP_SIZE
from metst_core.synthetic.action_units import UNITS
from metst_core.synthetic.generation import (
    Difficulty,
    Event,
    Plan,
    Renderer,
    au_field,
    compose_plan,
    difficulty_of,
)
from metst_core.synthetic.portraits import Identity
from metst_core.tables import read_videos

PUBLISHED = pd.DataFrame(
    [("SAMM-LV", 29, 79, 159, 200.0), ("CAS(ME)^3", 94, 462, 858, 30.0)],
    columns=["data set", "subjects", "videos", "micro_expressions", "fps"],
)
"""Counts of the two licensed sets (videos without a micro-expression left out)."""

MEASURES = ("landmark", "landmark_corrected", "motion", "motion_corrected")
"""Ways to measure a movement, as in `metst_core.motion.landmark_jitter`."""


def set_statistics(root: str | Path) -> pd.DataFrame:
    """Statistics of a generated set: columns `quantity, unit, median, low, high` (5% and 95% quantiles)."""
    root = Path(root)
    path = root / "truth" / "micro_expressions.csv"
    if not path.is_file():
        raise MissingError(f"{path}: no such file; generate the set with `metst synth` (or `generate`)")
    ids = {"subject": str, "video": str}
    micro = pd.read_csv(path, dtype=ids)
    distractors = pd.read_csv(root / "truth" / "distractors.csv", dtype=ids)
    videos = read_videos(root / "videos.csv")
    fps = float(videos["fps"].iloc[0])
    counts = micro.groupby(["subject", "video"]).size()
    per_video = counts.reindex(
        pd.MultiIndex.from_frame(videos[["subject", "video"]]), fill_value=0
    ).to_numpy()
    minutes = (videos["n_frames"] / videos["fps"]).to_numpy() / 60
    length = micro["offset"] - micro["onset"]
    macro = distractors[distractors["kind"] == "macro"]
    rows = [
        ("micro-expressions per video", "1", per_video),
        ("micro-expressions per minute", "1/min", per_video / minutes),
        ("micro-expression duration", "s", length / fps),
        ("onset phase, share of the duration", "1", (micro["apex"] - micro["onset"]) / length),
        ("micro-expression strength", "IOD", micro["strength"]),
        ("macro-expression duration", "s", (macro["offset"] - macro["onset"]) / fps),
        ("macro-expression strength", "IOD", macro["strength"]),
    ]
    quantiles = [(name, unit, *_quantiles(values)) for name, unit, values in rows]
    return pd.DataFrame(quantiles, columns=["quantity", "unit", "median", "low", "high"])


def _quantiles(values: pd.Series | np.ndarray) -> np.ndarray:
    return np.quantile(values, [0.5, 0.05, 0.95]) if len(values) else np.full(3, np.nan)


SEEN_AT = {
    1: ("left_brow_inner", 66),
    2: ("left_brow_outer", 63),
    4: ("left_brow_inner", 66),
    10: ("upper_lip", 0),
    12: ("mouth_left_corner", 61),
    15: ("mouth_left_corner", 61),
    25: ("lower_lip", 17),
}
"""AU -> the fine ROI that should see it, and the mesh landmark that the ROI lies around."""

STUDY = difficulty_of("easy", noise=3.0, flicker=0.01, drift=0.004, rotation=0.1, me_asymmetry=0.0)
"""Head motion, light and noise of `movement_seen`: a subject who tries to sit still."""


def movement_clip(
    au: int, strength: float, n_frames: int = 60, difficulty: Difficulty = STUDY, seed: int = 0
) -> Plan:
    """A clip in which one AU moves once, for ten frames in the middle, up to `strength` (IOD)."""
    middle = n_frames // 2
    units = {unit.name: strength for unit in UNITS if unit.au == au}
    event = Event("micro", middle - 4, middle, middle + 6, 0, "others", f"AU{au}", strength, units)
    return compose_plan([event], n_frames, 30.0, difficulty, seed)


def movement_seen(
    person: Identity,
    landmarker: Landmarker,
    au: int = 12,
    strength: float = 0.01,
    difficulty: Difficulty = STUDY,
    seed: int = 0,
) -> pd.DataFrame:
    """How well four measures see a movement of known size: one row per measure of `MEASURES`.

    Columns, in pixels of the 320 crop along the true direction at the ROI's landmark: `still_rms` (root
    mean square where the face does not move), `at_apex` (measured), `true_at_apex`; and `ratio = at_apex /
    still_rms`.
    """
    roi, landmark = SEEN_AT[au]
    plan = movement_clip(au, strength, difficulty=difficulty, seed=seed)
    frames = [np.ascontiguousarray(f[..., ::-1]) for f in Renderer(person).frames(plan, difficulty, seed)]
    reference = find_reference(cv2.cvtColor(frames[0], cv2.COLOR_RGB2GRAY), landmarker)
    if reference is None:
        raise InputError(
            "no face was found on the first frame; the study needs a face that the landmarker finds"
        )
    scale = CROP_SIZE / (reference.place.right - reference.place.left)
    x, y = np.round(person.mesh[landmark]).astype(int)
    direction = au_field(person, au)[y, x].astype(float)
    true_at_apex = float(np.hypot(*direction)) * strength * person.iod * scale
    direction /= np.hypot(*direction)
    apex = plan.micro_expressions[0].apex
    still = np.flatnonzero(~plan.me_intensity.any(axis=1))
    seen = landmark_jitter(frames, landmarker).query("roi == @roi")
    rows = []
    for measure in MEASURES:
        trace = seen[seen["measure"] == measure].set_index("frame")[["dx", "dy"]] @ direction
        still_rms = float(np.sqrt((trace.reindex(still).dropna() ** 2).mean()))
        at_apex = float(trace.get(apex, np.nan))
        rows.append((measure, roi, still_rms, at_apex, true_at_apex, at_apex / still_rms))
    return pd.DataFrame(rows, columns=["measure", "roi", "still_rms", "at_apex", "true_at_apex", "ratio"])
