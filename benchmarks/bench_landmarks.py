"""Landmarkers side by side: jitter, time, and how far the ROI motion that rests on them differs.

    python benchmarks/bench_landmarks.py                      the default landmarker, and dlib's where it is installed
    python benchmarks/bench_landmarks.py --before FILE.json   also shows what this script wrote elsewhere, for example
                                                              with an older release (`--videos` of this run, `--out`)

Jitter: a portrait held still, 40 times with fresh noise (2 grey levels); the root mean square distance of the 68
points from their mean, in pixels of the 320 crop.  Time (of the processor, so that a busy machine does not
matter): a call on that crop, on a 1280 x 720 picture with the face
in it, on one with a face of 72 pixels, and on one without a face; and ROI motion per frame of a video.  Difference:
ROI motion of the same SynthME videos with one landmarker and with the other.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data

from metst_core import rois
from metst_core.files import run_record, write_json
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.motion import extract_motion
from metst_core.video import read_frames

RESULTS = Path(__file__).parent / "results"
N_NOISY, NOISE, REPEATS = 40, 2.0, 30


def portrait(side: int) -> np.ndarray:
    """The head of NASA's portrait of Eileen Collins, `side` pixels square."""
    return cv2.resize(skimage.data.astronaut()[:260, 90:350], (side, side), interpolation=cv2.INTER_AREA)


def picture(side: int) -> np.ndarray:
    """A grey 1280 x 720 picture with the head, `side` pixels square, off its middle; 0: without."""
    frame = np.full((720, 1280), 120, np.uint8)
    if side:
        frame[116 : 116 + side, 156 : 156 + side] = cv2.cvtColor(portrait(side), cv2.COLOR_RGB2GRAY)
    return frame


def jitter(landmarker: Callable[[np.ndarray], Any]) -> float:
    rng = np.random.default_rng(0)
    crop = cv2.cvtColor(portrait(320), cv2.COLOR_RGB2GRAY).astype(float)
    noisy = [np.clip(np.rint(crop + rng.normal(0, NOISE, crop.shape)), 0, 255) for _ in range(N_NOISY)]
    points = np.array([landmarker(frame.astype(np.uint8)) for frame in noisy])
    return float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=2).mean()))


def call_ms(landmarker: Callable[[np.ndarray], Any], image: np.ndarray) -> float:
    """Median processor time of a call, all threads together, milliseconds."""
    landmarker(image)
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        landmarker(image)
        times.append(time.process_time() - start)
    return 1e3 * float(np.median(times))


def measure(landmarker: Any, videos: list[Path]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The numbers of one landmarker, and the motion of the videos with it."""
    motion, start, n_frames = {}, time.process_time(), 0
    for path in videos:
        frames = list(read_frames(path))
        motion[path.stem] = extract_motion(frames, landmarker)
        n_frames += len(frames)
    per_frame = 1e3 * (time.process_time() - start) / n_frames
    crop = cv2.cvtColor(portrait(320), cv2.COLOR_RGB2GRAY)
    numbers = {
        "identity": landmarker.identity,
        "jitter_px": jitter(landmarker),
        "call_ms": {
            "crop 320": call_ms(landmarker, crop),
            "1280 x 720, face of 187": call_ms(landmarker, picture(520)),
            "1280 x 720, face of 72": call_ms(landmarker, picture(200)),
            "1280 x 720, no face": call_ms(landmarker, picture(0)),
        },
        "motion_ms_per_frame": per_frame,
    }
    return numbers, motion


def difference(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Per ROI: how far the motion of two landmarkers differs, root mean square over all frames and windows."""
    rows = []
    for index, name in enumerate(rois.roi_names()):
        one, other = (
            np.concatenate(
                [m[:, 2 * index : 2 * index + 2].transpose(0, 2, 1).reshape(-1, 2) for m in both.values()]
            )
            for both in (a, b)
        )
        rows.append({
            "roi": name,
            "motion_px": float(np.sqrt((one**2).sum(axis=1).mean())),
            "difference_px": float(np.sqrt(((one - other) ** 2).sum(axis=1).mean())),
            "correlation": float(np.corrcoef(one.ravel(), other.ravel())[0, 1]),
        })  # fmt: skip
    return rows


def table(found: dict[str, Any]) -> str:
    columns = found["landmarkers"]
    rows = [("jitter, px of the 320 crop", [f"{m['jitter_px']:.3f}" for m in columns.values()])]
    for name in next(iter(columns.values()))["call_ms"]:
        rows.append((f"call, ms: {name}", [f"{m['call_ms'][name]:.1f}" for m in columns.values()]))
    rows.append(("ROI motion, ms per frame", [f"{m['motion_ms_per_frame']:.1f}" for m in columns.values()]))
    lines = [
        "Written by `benchmarks/bench_landmarks.py`; times are processor time, all threads together.",
        "",
        "| | " + " | ".join(columns) + " |",
        "|---" * (1 + len(columns)) + "|",
        *(f"| {name} | " + " | ".join(values) + " |" for name, values in rows),
    ]
    if found["difference"]:
        lines += [
            "",
            f"ROI motion with dlib's points against the default's, {found['videos']} SynthME videos, root mean square "
            "over frames (pixels of the 320 crop):",
            "",
            "| ROI | motion | difference | correlation |",
            "|---|---|---|---|",
            *(
                f"| {row['roi']} | {row['motion_px']:.2f} | {row['difference_px']:.2f} | {row['correlation']:.3f} |"
                for row in found["difference"]
            ),
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--videos", type=Path, default=Path("runs/bench_landmarks"), help="folder with SynthME videos"
    )
    parser.add_argument("--before", type=Path, help="a JSON file of this script to set beside this run's")
    parser.add_argument("--out", type=Path, default=RESULTS / "landmarks.json")
    options = parser.parse_args()
    if not options.videos.is_dir():
        from metst_core.synthetic import generate

        generate(options.videos, 4, 1, 10.0, seed=100, version=1)
    videos = sorted(options.videos.glob("*/*.avi"))
    columns: dict[str, Any] = {}
    if options.before:
        old = json.loads(options.before.read_text(encoding="utf-8"))
        columns |= {f"{name}, before": m for name, m in old["landmarkers"].items()}
    columns["MediaPipe"], motion = measure(MediaPipeLandmarker(), videos)
    rows: list[dict[str, Any]] = []
    try:
        from metst_core.landmarks import DlibLandmarker

        columns["dlib"], other = measure(DlibLandmarker(), videos)
        rows = difference(motion, other)
    except Exception as error:  # an older release, or without the extra
        print(f"dlib is left out: {error}")
    found = {"record": run_record(), "videos": len(videos), "landmarkers": columns, "difference": rows}
    write_json(found, options.out)
    options.out.with_suffix(".md").write_text(table(found), encoding="utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
