"""The page of one video: one file without links to anywhere.

Its pictures, numbers and scripts are inside, and its security policy forbids the browser to fetch anything and to
run any other script.  The layout is in `assets/analysis.html`; here are the values that it shows.
"""

from __future__ import annotations

import base64
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metst_core.files import run_record, write_text
from metst_core.footage import limits_line
from metst_core.inference import MOTION, NEAR, SCORE, Findings, TrainedModel
from metst_core.pipeline.exports import confidence_text, headline, judged_line, quality_lines
from metst_core.pipeline.reel import Clip, Still, clips_of, still_of
from metst_core.pipeline.summary import verdict_of
from metst_core.rois import Bounds
from metst_core.templates import render
from metst_core.version import __version__

ARROW_GAIN = 6.0
"""How much motion arrows are enlarged."""

MOST_NEAR = 10
"""How many near misses, those with the highest scores, are listed."""


def write_page(result: Findings, path: str | Path, progress: bool = False) -> Path:
    """Write the self-contained page of one video."""
    page = page_html(result, clips_of(result, progress=progress), still_of(result))
    return write_text(page, path)


def page_html(result: Findings, clips: list[Clip], still: Still) -> str:
    """The page of one video, with its `clips` shown frame by frame, and a frame with what was looked at."""
    from metst_core.plots import EMOTION_COLOURS

    rows = _rows(result.table, result.model)
    near = _rows(result.near.nlargest(MOST_NEAR, "score").sort_index(), result.model)
    verdict, why = verdict_of(result)
    seen = {row["emotion"] for row in (*rows, *near)}
    return render(
        "analysis.html",
        result=result,
        notice=result.model.notice,
        verdict=verdict,
        why=why,
        rows=rows,
        near=near,
        n_near=len(result.near),
        near_share=NEAR,
        colours={name: colour for name, colour in EMOTION_COLOURS.items() if name in seen},
        flags=list(dict.fromkeys(result.quality["flag"])),
        still=_still(still),
        provenance=_provenance(result),
        shown={clip.number for clip in clips},
        n_confident=int((result.table["confidence"] >= 0.5).sum()),
        quality=quality_lines(result.quality),
        judged=judged_line(result),
        limits=limits_line(result.path, result.model),
        cards=[_card(rows[clip.number], clip) for clip in clips],
        method=_method(result),
        gain=f"{ARROW_GAIN:g}",
        data=_page_data(result, clips),
    )


def result_html(result: Findings) -> str:
    """A few lines of HTML for a notebook: what was found, and what speaks against trusting it."""
    return render(
        "result.html",
        result=result,
        headline=headline(result),
        rows=_rows(result.table, result.model),
        quality=quality_lines(result.quality),
        judged=judged_line(result),
    )


def _rows(table: pd.DataFrame, model: TrainedModel) -> list[dict[str, Any]]:
    """The intervals with what the templates say about them."""
    from metst_core.plots import EMOTION_COLOURS

    return [
        {
            **row,
            "number": number,
            "colour": EMOTION_COLOURS[row["emotion"]],
            "confidence": None if math.isnan(row["confidence"]) else row["confidence"],
            "confidence_text": confidence_text(row["confidence"], model),
            "flags": row["flags"].replace(" ", ", ").replace("_", " "),
        }
        for number, row in enumerate(table.to_dict("records"))
    ]


def _card(row: dict[str, Any], clip: Clip) -> dict[str, Any]:
    """One interval, its picture at the apex, and its ROI boxes and arrows there (scripts draw them anew)."""
    overlay = _overlay(clip.boxes, clip.motion[:, clip.apex])
    picture = base64.b64encode(clip.pictures[clip.apex]).decode()
    return {"row": row, "picture": picture, "overlay": overlay}


def _overlay(boxes: dict[str, Bounds], motion: np.ndarray | None = None) -> list[dict[str, Any]]:
    """The ROI boxes that hold anything, with their colours and, where motion `(2R,)` is given, their arrows."""
    colours = _roi_colours()
    overlay = []
    for r, (name, box) in enumerate(boxes.items()):
        if box.empty:
            continue
        dx, dy = (0.0, 0.0) if motion is None else (ARROW_GAIN * motion[2 * r + part] for part in (0, 1))
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        label, colour = name.replace("_", " "), colours[name]
        overlay.append({"name": label, "box": box, "x": x, "y": y, "dx": dx, "dy": dy, "colour": colour})
    return overlay


def _roi_colours() -> dict[str, str]:
    """ROI -> its colour in HTML."""
    from matplotlib.colors import to_hex

    from metst_core.plots import ROI_COLOURS

    return {name: to_hex(colour) for name, colour in ROI_COLOURS.items()}


def _still(still: Still) -> dict[str, Any]:
    """The still with its pictures as text."""
    return {
        "number": still.number,
        "seconds": still.seconds,
        "width": still.width,
        "height": still.height,
        "picture": base64.b64encode(still.picture).decode(),
        "face": still.face,
        "crop": still.crop,
        "crop_picture": None if still.crop_picture is None else base64.b64encode(still.crop_picture).decode(),
        "overlay": _overlay(still.boxes),
    }


def _provenance(result: Findings) -> list[tuple[str, str]]:
    """What made the page: program, weights, options, machine and time."""
    record, model = run_record(), result.model
    threshold = f"{model.threshold:.3f}" if model.threshold is not None else f"of each video, p = {model.p:g}"
    commit = f" ({record['commit']})" if record["commit"] else ""
    return [
        ("program", f"metst {__version__}{commit}, Python {record['python']}, {record['platform']}"),
        ("weights", f"{model.name}; hash {model.identity[:16]}"),
        ("constants", f"{model.features}, {model.fps:g} frames per second, windows of {model.window}, half length "
                      f"{model.k_p}, threshold {threshold}, synergy {model.synergy}, strategy {model.strategy}"),
        ("face", f"{result.face}" + (", followed" if (result.measured.n_faces > 1).any() else "")),
        ("video", f"{result.path.name}; subject {result.subject}, video {result.video}"),
        ("made on", datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")),
    ]  # fmt: skip


def _method(result: Findings) -> str:
    """How the result came about, in a paragraph."""
    model, calibration = result.model, result.model.calibration
    rule = (
        f"its own threshold, {model.threshold:.2f}, set on persons it had not seen"
        if model.threshold is not None
        else f"the papers' threshold, mean + {model.p:g} (max - mean) of this video, which finds something in every video"
    )
    trust = "The confidence is unknown: these weights come without a calibration."
    if calibration is not None:
        n = calibration.evidence.get("n_intervals")
        error = calibration.evidence.get("expected_calibration_error")
        persons = calibration.persons or "persons"
        trust = (
            f"The confidence was calibrated on {n} intervals of {persons} that the network had not seen (expected error "
            f"{error:.2f})." if n and error is not None else "The confidence is calibrated."
        )  # fmt: skip
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items())
    ends = (
        f"onset and offset measured in the {model.strategy} around them"
        if model.strategy in (MOTION, SCORE)
        else f"intervals of {2 * model.k_p + 1} frames around them"
    )
    if model.is_aligned:
        return (
            "Every frame is brought to the same place by landmarks that hardly move; optical flow over steps of 1, 4 and 8 frames "
            f"(at {model.fps:g} frames per second) is averaged in cells, and a convolutional network gives the upper and the lower "
            f"face a score each, which counts where that part is judged; peaks over {rule}, {ends}. {trust} The emotion is the vote "
            f"of the interval's frames. Time spent: {spent}."
        )
    return (
        f"ROI motion ({model.features}) at {model.fps:g} frames per second in windows of {model.window} frames, a "
        f"state-space network's score per frame, the mean over {result.phases} window phase(s), peaks over {rule}, {ends}. "
        f"{trust} The emotion is the vote of the interval's frames; no confidence goes with it. Time spent: {spent}."
    )


def _page_data(result: Findings, clips: list[Clip]) -> dict[str, Any]:
    from metst_core.plots import EMOTION_COLOURS

    intervals = [
        {
            "number": int(row.Index),
            "onset_seconds": float(row.onset_seconds),
            "offset_seconds": float(row.offset_seconds),
            "colour": EMOTION_COLOURS[row.emotion],
        }
        for row in result.table.itertuples()
    ]
    return {
        "times": _numbers(result.times),
        "score": _numbers(result.score),
        "smoothed": _numbers(result.smoothed),
        "threshold": float(result.threshold),
        "intervals": intervals,
        "near": [
            {"seconds": float(row.apex_seconds), "score": float(row.score)}
            for row in result.near.itertuples()
        ],
        "quality": result.quality[["flag", "first_seconds", "last_seconds"]].to_dict("records"),
        "gain": ARROW_GAIN,
        "colours": _roi_colours(),
        "clips": [_clip_data(result, clip) for clip in clips],
    }


def _clip_data(result: Findings, clip: Clip) -> dict[str, Any]:
    from metst_core.plots import EMOTION_COLOURS

    return {
        "number": int(clip.number),
        "onset": clip.onset,
        "apex": clip.apex,
        "offset": clip.offset,
        "colour": EMOTION_COLOURS[result.table.loc[clip.number, "emotion"]],
        "numbers": clip.numbers.tolist(),
        "seconds": _numbers(clip.seconds),
        "frames": [base64.b64encode(picture).decode() for picture in clip.pictures],
        "boxes": {name: list(box) for name, box in clip.boxes.items()},
        "motion": [_numbers(channel) for channel in clip.motion],
        "flow": [_numbers(arrow) for arrow in clip.flow],
    }


def _numbers(values: np.ndarray) -> list[float | None]:
    """Three decimals are enough to draw; NaN becomes null."""
    return [None if math.isnan(v) else round(v, 3) for v in np.asarray(values, float).tolist()]
