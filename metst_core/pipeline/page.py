"""The page of one video: one file without links to anywhere.

Its pictures, numbers and scripts are inside, and its security policy forbids the browser to fetch anything and to
run any other script.  The layout is in `assets/analysis.html`; here are the values that it shows.
"""

from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from metst_core.files import write_text
from metst_core.inference import NOTICE, Findings
from metst_core.pipeline.exports import confidence_text, headline, quality_lines
from metst_core.pipeline.reel import Clip, clips_of
from metst_core.plots import EMOTION_COLOURS, ROI_COLOURS
from metst_core.templates import render

ARROW_GAIN = 6.0
"""How much motion arrows are enlarged."""


def write_page(result: Findings, path: str | Path, progress: bool = False) -> Path:
    """Write the self-contained page of one video."""
    page = page_html(result, clips_of(result, progress=progress))
    return write_text(page, path)


def page_html(result: Findings, clips: list[Clip]) -> str:
    """The page of one video, with its `clips` shown frame by frame."""
    rows = _rows(result)
    return render(
        "analysis.html",
        result=result,
        notice=NOTICE,
        rows=rows,
        shown={clip.number for clip in clips},
        n_confident=int((result.table["confidence"] >= 0.5).sum()),
        quality=quality_lines(result.quality),
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
        rows=_rows(result),
        quality=quality_lines(result.quality),
    )


def _rows(result: Findings) -> list[dict[str, Any]]:
    """The intervals with what the templates say about them."""
    return [
        {
            **row,
            "number": number,
            "colour": EMOTION_COLOURS[row["emotion"]],
            "confidence": None if math.isnan(row["confidence"]) else row["confidence"],
            "confidence_text": confidence_text(row["confidence"]),
            "flags": row["flags"].replace(" ", ", ").replace("_", " "),
        }
        for number, row in enumerate(result.table.to_dict("records"))
    ]


def _card(row: dict[str, Any], clip: Clip) -> dict[str, Any]:
    """One interval, its picture at the apex, and its ROI boxes and arrows there (scripts draw them anew)."""
    overlay = []
    for r, (name, box) in enumerate(clip.boxes.items()):
        if box.empty:
            continue
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        dx, dy = (ARROW_GAIN * clip.motion[2 * r + part, clip.apex] for part in (0, 1))
        overlay.append({"box": box, "x": x, "y": y, "dx": dx, "dy": dy, "colour": to_hex(ROI_COLOURS[name])})
    picture = base64.b64encode(clip.pictures[clip.apex]).decode()
    return {"row": row, "picture": picture, "overlay": overlay}


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
        trust = (
            f"The confidence was calibrated on {n} intervals of persons that the network had not seen (expected error "
            f"{error:.2f})." if n and error is not None else "The confidence is calibrated."
        )  # fmt: skip
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items())
    return (
        f"ROI motion ({model.features}) at {model.fps:g} frames per second in windows of {model.window} frames, a "
        f"state-space network's score per frame, peaks over {rule}, intervals of {2 * model.k_p + 1} frames around "
        f"them. {trust} The emotion is the vote of the interval's frames. Time spent: {spent}."
    )


def _page_data(result: Findings, clips: list[Clip]) -> dict[str, Any]:
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
        "quality": result.quality[["flag", "first_seconds", "last_seconds"]].to_dict("records"),
        "gain": ARROW_GAIN,
        "colours": {name: to_hex(colour) for name, colour in ROI_COLOURS.items()},
        "clips": [_clip_data(result, clip) for clip in clips],
    }


def _clip_data(result: Findings, clip: Clip) -> dict[str, Any]:
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
