"""What the explorer shows, made up in a second: a portrait whose mouth does what the brow did two frames ago."""

import cv2
import numpy as np
import pandas as pd
from skimage.data import astronaut

from metst_core.datasets import load_dataset, write_tables
from metst_core.extraction import MotionSet
from metst_core.relations import Traces, me_windows, roi_attribution
from metst_core.rois import roi_names
from metst_core.tables import ANNOTATION_COLUMNS, VIDEO_COLUMNS
from metst_core.video import write_video
from metst_core.widgets import Film, explore, motion_layers, network_layers, spread_over_video
from metst_core.windows import unstitch

WINDOW, FPS = 20, 30.0
LEADER, FOLLOWER, LAG = "left_brow", "mouth_left_corner", 2
EMOTIONS = ("surprise", "positive", "negative")


def annotations_of(keys, n_frames):
    """Three MEs per video, one of each emotion."""
    rows = [
        (*key, onset, onset + 5, onset + 10, emotion)
        for key in keys
        for onset, emotion in zip(
            np.linspace(10, n_frames - 25, 3).astype(int).tolist(), EMOTIONS, strict=True
        )
    ]
    return pd.DataFrame(rows, columns=ANNOTATION_COLUMNS)


def planted_motion(keys, n_frames, seed=0):
    """Motion of 18 ROIs: noise with memory, a bump in every ME, and FOLLOWER repeating LEADER after LAG frames."""
    rng = np.random.default_rng(seed)
    annotations = annotations_of(keys, n_frames)
    names, windows = roi_names(), {}
    for key in keys:
        noise = rng.normal(size=(n_frames + 2, 36))
        position = 0.3 * (noise[:-2] + noise[1:-1] + noise[2:])
        for me in annotations[
            (annotations["subject"] == key[0]) & (annotations["video"] == key[1])
        ].itertuples():
            position[me.onset : me.offset + 1, ::2] += np.outer(
                np.hanning(me.offset - me.onset + 1), np.linspace(1.5, 2.5, 18)
            )
        lead, late = (2 * names.index(name) for name in (LEADER, FOLLOWER))
        position[:, late : late + 2] = np.roll(position[:, lead : lead + 2], LAG, axis=0)
        cut = unstitch(position, WINDOW)
        windows[key] = np.ascontiguousarray((cut - cut[:, :1]).transpose(0, 2, 1), dtype=np.float32)
    videos = pd.DataFrame([(*key, FPS, n_frames, "") for key in keys], columns=VIDEO_COLUMNS)
    return MotionSet(windows, annotations, videos, "metst_plus", WINDOW, FPS)


def portrait_frames(n_frames):
    """RGB frames (256, 256): the astronaut's head, a little brighter with time, a white corner whose shade counts the frames."""
    head = cv2.resize(astronaut()[0:220, 110:330], (256, 256))
    for t in range(n_frames):
        frame = np.clip(head.astype(int) + t % 8, 0, 255).astype(np.uint8)
        frame[:20, :20] = 255 * t // n_frames
        yield frame


def still_film(n_frames):
    """A film without a landmarker: the boxes stand in a row, the pictures differ from frame to frame."""
    pictures = []
    for frame in portrait_frames(n_frames):
        picture = cv2.cvtColor(cv2.resize(frame, (320, 320)), cv2.COLOR_RGB2BGR)
        pictures.append(cv2.imencode(".jpg", picture)[1].tobytes())
    tops = np.repeat([90, 110, 200], 6)[:, None]
    lefts = np.tile(np.arange(40, 280, 40), 3)[:, None]
    boxes = np.hstack([tops, tops + 20, lefts, lefts + 24]).astype(np.float32)
    return Film(pictures, np.repeat(boxes[None], len(pictures) // (WINDOW // 2), axis=0))


def made_up_explorer(n_frames=300, n_permutations=19, model=None, **state):
    """An explorer of a video of `n_frames` frames, 10 seconds by default."""
    keys = [("s0", "v0"), ("s1", "v0")]
    motion = planted_motion(keys, n_frames)
    layers = motion_layers(Traces.of(motion), max_lag=4, n_permutations=n_permutations)
    score = np.clip(np.random.default_rng(0).normal(0.3, 0.1, n_frames), 0, 1)
    attribution = {}
    if model is not None:
        layers += network_layers(model, me_windows(motion, "s0"), most=1)
        parts = roi_attribution(model, motion.windows[keys[0]], n_steps=2)
        attribution = {"score": spread_over_video(parts, n_frames)}
    return explore(still_film(n_frames), layers, motion, *keys[0], score, attribution=attribution, **state)


def write_run(root, run_dir, n_frames=120):
    """A data set of a portrait's videos in `root` and a run folder with planted motion: all that notebook 05 reads."""
    keys = [(s, "v0") for s in ("s0", "s1", "s2")]
    rows = []
    for subject, video in keys:
        path = root / subject / f"{video}.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, portrait_frames(n_frames), FPS)
        rows.append((subject, video, FPS, n_frames, str(path)))
    write_tables(root, annotations_of(keys, n_frames), pd.DataFrame(rows, columns=VIDEO_COLUMNS))
    run_dir.mkdir(parents=True, exist_ok=True)
    planted_motion(keys, n_frames).save(run_dir / "motion.npz")
    return load_dataset("folder", root)
