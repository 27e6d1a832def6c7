"""What an analysis looks like: a figure, a page, an annotated video, a few lines of text.

The page is one file without links to anywhere: its pictures, numbers and scripts are inside, and its security
policy forbids the browser to fetch anything.
"""

from __future__ import annotations

import base64
import html
import json
import math
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from tqdm import tqdm

from metst_core import rois
from metst_core.errors import InputError
from metst_core.files import ASSETS, atomic_path
from metst_core.inference import meaning
from metst_core.motion import BOXES, WindowTracker, box_flow, cut_crop
from metst_core.plots import EMOTION_COLOURS, ROI_COLOURS
from metst_core.video import nearest_in_map, probe, read_frames, resample_map, select_frames, write_video

if TYPE_CHECKING:
    from metst_core.inference import AnalysisResult

MOST_LINES = 25
"""How many intervals, those with the highest scores, a summary lists."""
MOST_CLIPS = 12
"""How many intervals, those with the highest scores, a page shows frame by frame."""
ARROW_GAIN = 6.0
"""How much motion arrows are enlarged."""

_CONTEXT = 8  # frames shown before the onset and after the offset
_PICTURE = 320  # pixels of a picture on the page
_FLOW_STEP = 10  # pixels of the crop between two flow arrows
_TEMPLATE = ASSETS / "analysis.html"


# --- text -----------------------------------------------------------------------------------------
def summary_text(result: AnalysisResult) -> str:
    """What was found, in a few lines."""
    lines = [
        f"{result.path}: {result.duration:.1f} s, {result.n_frames} frames at {result.fps:.4g} per second"
    ]
    if not result.complete:
        lines.append(
            f"  NOT COMPLETE: {result.n_analysed} of {result.n_frames} frames analysed ({result.trouble})"
        )
    if not result.has_face:
        lines.append("  no face was found in any frame, so there is nothing to say about it")
    elif result.table.empty:
        lines.append("  no micro-expression found")
    shown = result.table.nlargest(MOST_LINES, "score").sort_index()
    for row in shown.itertuples():
        lines.append(
            f"  {row.onset_seconds:8.2f} to {row.offset_seconds:7.2f} s  (frames {row.onset} to {row.offset}, apex "
            f"{row.apex})  {row.emotion:<9} score {row.score:.2f}, {_confidence(row.confidence)}"
            + (f"  [{row.flags.replace(' ', ', ')}]" if row.flags else "")
        )
    if len(shown) < len(result.table):
        lines.append(
            f"  and {len(result.table) - len(shown)} more with lower scores; the table (--csv) holds them all"
        )
    lines += [f"  ! {text}" for text in quality_lines(result.quality)]
    return "\n".join(lines)


def quality_lines(quality: pd.DataFrame) -> list[str]:
    """One line per quality flag: how much of the video it concerns, where it starts, what it means."""
    lines = []
    for flag, rows in quality.groupby("flag", sort=False):
        share = rows["share"].sum()
        where = (
            "all of it"
            if share > 0.999
            else f"{share:.0%} of it, first at {rows['first_seconds'].iloc[0]:.1f} s"
        )
        lines.append(f"{flag} ({where}): {meaning(str(flag))}")
    return lines


def _confidence(value: float) -> str:
    return "confidence unknown" if math.isnan(value) else f"confidence {value:.0%}"


# --- figure ---------------------------------------------------------------------------------------
def timeline_figure(result: AnalysisResult, annotations: pd.DataFrame | None = None) -> Figure:
    """Score over time with the intervals found (above), the true ones if given (below), and quality flags (top)."""
    flags = list(dict.fromkeys(result.quality["flag"]))
    figure = Figure(figsize=(10, 3.2 + 0.16 * len(flags)), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.plot(result.times, result.score, color="#56B4E9", linewidth=1, label="score")
    axes.plot(result.times, result.smoothed, color="#0072B2", linewidth=1.8, label="smoothed score")
    axes.axhline(result.threshold, color="#000000", linestyle="--", linewidth=1, label="threshold")
    frame = 1 / result.fps
    for row in result.table.itertuples():
        colour = EMOTION_COLOURS[row.emotion]
        width = row.offset_seconds - row.onset_seconds + frame
        axes.axvspan(row.onset_seconds, row.onset_seconds + width, color=colour, alpha=0.15, linewidth=0)
        axes.add_patch(Rectangle((row.onset_seconds, 1.04), width, 0.06, facecolor=colour))
        if not math.isnan(row.confidence):
            axes.text(row.onset_seconds + width / 2, 1.11, f"{row.confidence:.0%}", ha="center", fontsize=7)
    axes.text(1.005, 1.04, "found", transform=axes.get_yaxis_transform(), fontsize=8)
    if annotations is not None:
        for row in annotations.itertuples():
            first, last = result.times[[row.onset, min(row.offset, result.n_frames - 1)]]
            axes.add_patch(
                Rectangle((first, -0.12), last - first + frame, 0.06, facecolor=EMOTION_COLOURS[row.emotion])
            )
        axes.text(1.005, -0.12, "true", transform=axes.get_yaxis_transform(), fontsize=8)
    for lane, flag in enumerate(flags):
        height = 1.24 + 0.09 * lane
        for row in result.quality[result.quality["flag"] == flag].itertuples():
            width = max(row.last_seconds - row.first_seconds + frame, 0.002 * result.duration)
            axes.add_patch(Rectangle((row.first_seconds, height), width, 0.05, facecolor="#999999"))
        axes.text(1.005, height, flag.replace("_", " "), transform=axes.get_yaxis_transform(), fontsize=7)
    axes.set(
        xlabel="time (s)", ylabel="score (0 to 1)", title=result.path.name, xlim=(0, result.duration),
        ylim=(-0.16, 1.2 + 0.09 * len(flags)), yticks=[0, 0.25, 0.5, 0.75, 1],
    )  # fmt: skip
    emotions = [Patch(facecolor=EMOTION_COLOURS[e], label=e) for e in dict.fromkeys(result.table["emotion"])]
    axes.legend(
        handles=[*axes.get_legend_handles_labels()[0], *emotions], ncols=7, fontsize=8, frameon=False,
        loc="upper center", bbox_to_anchor=(0.5, -0.2),
    )  # fmt: skip
    return figure


# --- a closer look --------------------------------------------------------------------------------
@dataclass(frozen=True)
class Clip:
    """One interval frame by frame, at the model's rate.

    number: the interval's row.  onset, apex, offset: places in the clip.  numbers, seconds: source frame and time of
    every frame.  pictures: JPEG bytes of the face crop.  boxes: ROI -> bounds on the 320 crop.  motion `(2R, n)`:
    ROI motion against the clip's first frame with a face.  flow `(m, 4)`: x, y, dx, dy at the apex, head motion
    subtracted; pixels of the crop.
    """

    number: int
    onset: int
    apex: int
    offset: int
    numbers: np.ndarray
    seconds: np.ndarray
    pictures: list[bytes]
    boxes: dict[str, rois.Bounds]
    motion: np.ndarray
    flow: np.ndarray


def clips_of(result: AnalysisResult, most: int = MOST_CLIPS, progress: bool = False) -> list[Clip]:
    """The `most` intervals with the highest scores, in order of time, in one pass over the video."""
    frame_map = resample_map(result.times, result.model.fps)
    last = int(nearest_in_map(frame_map, [max(0, result.n_analysed - 1)])[0])
    chosen = result.table.nlargest(most, "score").sort_index()
    waiting = [_Recorder(result, frame_map, last, row) for row in chosen.itertuples()]
    if not waiting:
        return []
    end = max(recorder.stop for recorder in waiting)
    frames = select_frames(read_frames(result.path), frame_map[: end + 1])
    for number, frame in enumerate(_bar(frames, "pictures for the page", end + 1, progress)):
        for recorder in waiting:
            if recorder.start <= number <= recorder.stop:
                recorder.add(frame)
    return [clip for clip in (recorder.clip() for recorder in waiting) if clip is not None]


def _bar(frames: Iterator[np.ndarray], what: str, total: int, progress: bool) -> Iterator[np.ndarray]:
    return iter(tqdm(frames, what, total, leave=False, unit="frame", disable=not progress))


class _Recorder:
    """Collects one clip while the video passes by."""

    def __init__(self, result: AnalysisResult, frame_map: np.ndarray, last: int, row: Any) -> None:
        ends = nearest_in_map(frame_map, [row.onset, row.apex, row.offset]).tolist()
        self.start, self.stop = max(0, ends[0] - _CONTEXT), min(last, ends[2] + _CONTEXT)
        self._row, self._places = row.Index, [end - self.start for end in ends]
        self._numbers = frame_map[self.start : self.stop + 1]
        self._seconds = result.times[self._numbers]
        self._features = result.model.features
        self._tracker = WindowTracker(result.landmarker, self._features)
        self._pictures: list[bytes] = []
        self._motion: list[np.ndarray] = []
        self._flow = np.zeros((0, 4))

    def add(self, frame: np.ndarray) -> None:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        self._motion.append(self._tracker.step(grey))
        reference, place = self._tracker.reference, self._tracker.place
        crop = frame if place is None else cut_crop(frame, place)
        self._pictures.append(_jpeg(frame if crop is None else crop, _PICTURE))
        if len(self._motion) - 1 == self._places[1] and reference is not None and place is not None:
            now = cut_crop(grey, place)
            if now is not None:
                self._flow = _dense_flow(reference.crop, now, reference.points, self._features)

    def clip(self) -> Clip | None:
        """What was collected; None if no face was found in it."""
        if self._tracker.reference is None:
            return None
        n = len(self._pictures)
        onset, apex, offset = (min(place, n - 1) for place in self._places)
        boxes = rois.rois_on_crop(self._tracker.reference.points, self._features)
        return Clip(
            self._row, onset, apex, offset, self._numbers[:n], self._seconds[:n], self._pictures, boxes,
            np.stack(self._motion, axis=1), self._flow,
        )  # fmt: skip


def _dense_flow(before: np.ndarray, now: np.ndarray, points: np.ndarray, features: str) -> np.ndarray:
    """Arrows (m, 4) of the flow inside the boxes, without the motion of the nose bridge."""
    arrows, seen = [], np.zeros(before.shape, bool)
    head = box_flow(
        before[BOXES["nose_bridge"].bounds(points).slices], now[BOXES["nose_bridge"].bounds(points).slices]
    )
    for bounds in rois.boxes_on_crop(points, features).values():
        if bounds.bottom - bounds.top < 8 or bounds.right - bounds.left < 8:
            continue
        flow = box_flow(before[bounds.slices], now[bounds.slices]) - np.median(head, axis=(0, 1))
        for y in range(bounds.top + 5, bounds.bottom, _FLOW_STEP):
            for x in range(bounds.left + 5, bounds.right, _FLOW_STEP):
                if not seen[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5].any():
                    seen[y, x] = True
                    arrows.append((x, y, *flow[y - bounds.top, x - bounds.left].tolist()))
    return np.array(arrows).reshape(-1, 4)


def _jpeg(frame: np.ndarray, size: int) -> bytes:
    picture = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
    good, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80]
    )
    assert good
    return data.tobytes()


# --- page -----------------------------------------------------------------------------------------
def write_page(result: AnalysisResult, path: str | Path, progress: bool = False) -> Path:
    """Write the self-contained page of one video."""
    clips = clips_of(result, progress=progress)
    parts = {
        "title": html.escape(f"{result.path.name}: micro-expressions"),
        "name": html.escape(result.path.name),
        "notice": _notice(),
        "facts": html.escape(
            f"{result.duration:.1f} s, {result.n_frames} frames at {result.fps:.4g} per second, "
            f"{result.size[0]} x {result.size[1]} pixels; model: {result.model.name}"
        ),
        "verdict": _verdict(result),
        "intervals": _interval_table(result, {clip.number for clip in clips}),
        "quality": _quality_table(result.quality),
        "cards": "\n".join(_card(result, clip) for clip in clips) or "<p>Nothing to show.</p>",
        "method": _method(result),
        "gain": f"{ARROW_GAIN:g}",
        # No "</script>" may come out of a name, whatever it is.
        "data": json.dumps(_page_data(result, clips), allow_nan=False).replace("<", "\\u003c"),
    }
    page = _Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(parts)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


class _Template(string.Template):
    """`$name` is a place to fill only where the name is one of the page's; scripts may use `$$(`."""

    pattern = r"""
        \$(?:(?P<escaped>(?!))|(?P<named>(?:title|name|notice|facts|verdict|intervals|quality|cards|method|gain|data)\b)
        |(?P<braced>(?!))|(?P<invalid>(?!)))
    """  # type: ignore[assignment]


def _notice() -> str:
    from metst_core.inference import NOTICE

    return html.escape(NOTICE)


def _verdict(result: AnalysisResult) -> str:
    lines = []
    if not result.complete:
        lines.append(
            f"<b>Not complete</b>: {result.n_analysed} of {result.n_frames} frames are analysed ({result.trouble})."
        )
    if not result.has_face:
        lines.append("No face was found in any frame.")
    else:
        confident = int((result.table["confidence"] >= 0.5).sum())
        lines.append(
            f"<b>{len(result.table)}</b> interval(s) found, {confident} with a confidence of 50% or more."
        )
    return f"<p>{' '.join(lines)}</p>"


def _interval_table(result: AnalysisResult, shown: set[int]) -> str:
    if result.table.empty:
        return "<p>None.</p>"
    numeric = ("onset", "apex", "offset", "frames", "score")
    heads = ("", "onset", "apex", "offset", "frames", "emotion", "score", "confidence", "flags")
    rows = []
    for row in result.table.itertuples():
        number = (
            f"<a href='#card{row.Index}'>{row.Index + 1}</a>" if row.Index in shown else f"{row.Index + 1}"
        )
        known = not math.isnan(row.confidence)
        bar = f"<span class='bar'><i style='width:{100 * row.confidence:.0f}%'></i></span>" if known else ""
        rows.append(
            f"<tr><td>{number}</td><td class='n'>{row.onset_seconds:.2f} s</td><td class='n'>{row.apex_seconds:.2f} s</td>"
            f"<td class='n'>{row.offset_seconds:.2f} s</td><td class='n'>{row.onset} to {row.offset}</td>"
            f"<td><i class='dot' style='background:{EMOTION_COLOURS[row.emotion]}'></i>{row.emotion}</td>"
            f"<td class='n'>{row.score:.2f}</td><td>{bar}{f'{row.confidence:.0%}' if known else 'unknown'}</td>"
            f"<td>{html.escape(row.flags.replace(' ', ', ').replace('_', ' ') if row.flags else '')}</td></tr>"
        )
    head = "".join(f"<th{' class=n' * (name in numeric)}>{name}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _quality_table(quality: pd.DataFrame) -> str:
    if quality.empty:
        return "<p>No quality flag was raised. That does not make the result right.</p>"
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in quality_lines(quality)) + "</ul>"


def _card(result: AnalysisResult, clip: Clip) -> str:
    row = result.table.loc[clip.number]
    apex = base64.b64encode(clip.pictures[clip.apex]).decode()
    return (
        f"<section class='card' id='card{clip.number}'><h3><i class='dot' style='background:"
        f"{EMOTION_COLOURS[row['emotion']]}'></i>{clip.number + 1}: {row['emotion']}, {row['onset_seconds']:.2f} to "
        f"{row['offset_seconds']:.2f} s, score {row['score']:.2f}, {_confidence(row['confidence'])}</h3>"
        "<div class='cols'><div><div class='stage'>"
        f"<img alt='face crop at the apex, frame {row['apex']}' src='data:image/jpeg;base64,{apex}'>"
        f"{_overlay(clip)}</div>"
        "<div class='controls player' hidden><input type='range' min='0' aria-label='frame of the clip'>"
        "<span class='at' style='flex:1 1 100%'></span><button class='play'>play slowly</button>"
        "<button data-go='onset'>onset</button><button data-go='apex'>apex</button>"
        "<button data-go='offset'>offset</button><label><input type='checkbox' data-show='boxes' checked> boxes</label>"
        "<label><input type='checkbox' data-show='arrows' checked> arrows</label></div></div>"
        "<div class='traces'><canvas></canvas><canvas></canvas><div class='legend'></div></div></div></section>"
    )


def _overlay(clip: Clip) -> str:
    """ROI boxes and arrows at the apex as SVG, for readers without scripts; scripts draw it anew."""
    parts = []
    for r, (name, box) in enumerate(clip.boxes.items()):
        if box.empty:
            continue
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        dx, dy = (ARROW_GAIN * clip.motion[2 * r + part, clip.apex] for part in (0, 1))
        colour = to_hex(ROI_COLOURS[name])
        parts.append(
            f"<rect x='{box.left}' y='{box.top}' width='{box.right - box.left}' height='{box.bottom - box.top}' "
            f"fill='none' stroke='{colour}' stroke-width='1.6'/><line x1='{x:.1f}' y1='{y:.1f}' x2='{x + dx:.1f}' "
            f"y2='{y + dy:.1f}' stroke='{colour}' stroke-width='2.4'/>"
        )
    return f"<svg viewBox='0 0 320 320'>{''.join(parts)}</svg>"


def _method(result: AnalysisResult) -> str:
    model, calibration = result.model, result.model.calibration
    rule = (
        f"its own threshold, {model.threshold:.2f}, set on persons it had not seen"
        if model.threshold is not None
        else f"the papers' threshold, mean + {model.p:g} (max - mean) of this video, which finds something in every video"
    )
    trust = "The confidence is unknown: these weights come without a calibration."
    if calibration is not None:
        n, error = (
            calibration.evidence.get("n_intervals"),
            calibration.evidence.get("expected_calibration_error"),
        )
        trust = (
            f"The confidence was calibrated on {n} intervals of persons that the network had not seen (expected error "
            f"{error:.2f})." if n and error is not None else "The confidence is calibrated."
        )  # fmt: skip
    return (
        f"<p class='soft'>ROI motion ({html.escape(model.features)}) at {model.fps:g} frames per second in windows of "
        f"{model.window} frames, a state-space network's score per frame, peaks over {rule}, intervals of "
        f"{2 * model.k_p + 1} frames around them. {trust} The emotion is the vote of the interval's frames. Time spent: "
        + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items())
        + ".</p>"
    )


def _page_data(result: AnalysisResult, clips: list[Clip]) -> dict[str, Any]:
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


def _clip_data(result: AnalysisResult, clip: Clip) -> dict[str, Any]:
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


# --- annotated video ------------------------------------------------------------------------------
def write_annotated_video(result: AnalysisResult, path: str | Path, progress: bool = False) -> Path:
    """Write the video, without sound, over a strip that shows the score so far and names the intervals.

    It has the mean frame rate of the original, all its frames that were analysed, and an even size.
    """
    frames = _bar(_annotated(result), "annotated video", result.n_analysed, progress)
    with atomic_path(path) as temporary:
        n_frames = write_video(temporary, frames, result.fps)
        if _frames_in(temporary) < n_frames:  # OpenCV does not tell when writing fails
            raise InputError(f"{path}: the video did not get into the file whole; is the disk full?")
    return Path(path)


def _frames_in(path: Path) -> int:
    try:
        return probe(path).n_frames
    except InputError:
        return 0


def _annotated(result: AnalysisResult) -> Iterator[np.ndarray]:
    width = max(320, result.size[0] + result.size[0] % 2)
    height = result.size[1] + result.size[1] % 2
    strip = _strip(result, width)
    naming = {
        number: row
        for row in result.table.itertuples()
        for number in range(int(row.onset), int(row.offset) + 1)
    }
    for number, frame in zip(range(result.n_analysed), read_frames(result.path), strict=False):
        picture = np.zeros((height + strip.shape[0], width, 3), np.uint8)
        left = (width - frame.shape[1]) // 2
        picture[: frame.shape[0], left : left + frame.shape[1]] = frame
        picture[height:] = strip
        x = int(number / max(1, result.n_frames - 1) * (width - 1))
        cv2.line(picture, (x, height), (x, height + strip.shape[0]), (0, 0, 0), 1)
        if number in naming:
            _name(picture, naming[number], height)
        yield picture


def _strip(result: AnalysisResult, width: int) -> np.ndarray:
    """The whole video's smoothed score, (64, width, 3): intervals coloured, threshold dashed."""
    strip = np.full((64, width, 3), 255, np.uint8)
    x = np.linspace(0, width - 1, result.n_frames).astype(int)
    for row in result.table.itertuples():
        tint = [int(255 - 0.45 * (255 - c)) for c in _rgb(row.emotion)]
        strip[:, x[row.onset] : max(x[row.offset], x[row.onset] + 1) + 1] = tint
    level = int(60 - 56 * min(1.0, result.threshold))
    strip[level, ::6] = strip[level, 1::6] = 0
    known = ~np.isnan(result.smoothed)
    points = np.stack([x[known], 60 - 56 * result.smoothed[known]], axis=1).round().astype(np.int32)
    cv2.polylines(strip, [points], False, (0, 114, 178), 1, cv2.LINE_AA)
    return strip


def _name(picture: np.ndarray, row: Any, height: int) -> None:
    """A frame in the emotion's colour and its name on the picture."""
    colour = _rgb(row.emotion)
    cv2.rectangle(picture, (1, 1), (picture.shape[1] - 2, height - 2), colour, 3)
    known = "" if math.isnan(row.confidence) else f" {row.confidence:.0%}"
    cv2.putText(
        picture, row.emotion + known, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 4, cv2.LINE_AA
    )
    cv2.putText(picture, row.emotion + known, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 1, cv2.LINE_AA)


def _rgb(emotion: str) -> tuple[int, int, int]:
    r, g, b = (round(255 * c) for c in to_rgb(EMOTION_COLOURS[emotion]))
    return r, g, b
