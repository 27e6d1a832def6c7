"""Scores of the authors' networks on the authors' features: no video is needed, only the label sheets.

feature cache + one checkpoint per held-out subject + label sheets -> scores per frame -> intervals -> STRS

The cache is a pickled list over videos and does not name them.  Their order is that of the label sheets,
natural by subject and video, over the videos that have a micro-expression; where the cache was made in
another order, or holds other videos, an `order` table names them (`subject,video`, one row per entry).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from metst_core import tables
from metst_core.checkpoints import load_released, load_released_cache
from metst_core.datasets import CLASS_SETS, Dataset, id_parts, load_labels
from metst_core.decoding import SYNERGIES
from metst_core.errors import InputError, MissingError
from metst_core.metrics import METRICS, evaluate
from metst_core.models import METST, Network, predict_video
from metst_core.training import (
    PROTOCOLS,
    ScoreTrace,
    TrainConfig,
    decode_traces,
    fold_half_length,
    scored_videos,
)

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".pkl", ".ckpt", ".tar", ".bin")


@dataclass(frozen=True, eq=False)
class ReleasedScore:
    """What the authors' networks reach on the authors' features.

    dataset: the labels; `videos` in the order of the cache, with the number of frames it holds of each.
    method: a name of `training.METHODS`, read from the checkpoints.
    traces: `(score (T,), probabilities (T, 5))` by (subject, video), each from its subject's checkpoint.
    predictions: a prediction table by protocol.
    scores: one row per protocol and set of emotions: `protocol, emotions, tp, fp, fn` and `metrics.METRICS`.
    """

    dataset: Dataset
    method: str
    traces: dict[tuple[str, str], ScoreTrace]
    predictions: dict[str, pd.DataFrame]
    scores: pd.DataFrame

    def save(self, folder: str | Path) -> Path:
        """Write `scores.csv`, `annotations.csv`, `report.csv` and `predictions_<protocol>.csv`."""
        folder = Path(folder)
        written = {f"predictions_{protocol}": table for protocol, table in self.predictions.items()}
        written |= {"annotations": self.dataset.annotations, "report": self.dataset.report}
        for name, table in {**written, "scores": self.scores}.items():
            tables.write_table(table, folder / f"{name}.csv")
        return folder


def score_released(
    name: str,
    root: str | Path,
    cache: str | Path,
    weights: str | Path,
    order: str | Path | None = None,
    synergy: int = 2,
    **options: Any,
) -> ReleasedScore:
    """Score the authors' checkpoints on their feature cache under both protocols.

    name, root, options: as `load_dataset` ("casme3" or "sammlv"); only the label sheets are read.
    cache: the pickle with the motion of every video (`checkpoints.load_released_cache`).
    weights: a folder with one state dict per subject that the cache holds, in a file whose name ends with the
        subject's id (`spNO.1.pth`, `model_006.pkl`).
    order: a CSV file `subject,video` that names the cache's entries; without it, see above.
    synergy: of decoding (`decoding.decode`); the strategy is the method's own.

    `official` computes the half length from all annotations and drops videos without a micro-expression,
    `strict` from the other subjects' annotations, and keeps every video of the cache.

    Raises `InputError` when cache, checkpoints and labels do not fit together, and `MissingError` for a file
    that is not there.
    """
    if synergy not in SYNERGIES:
        raise InputError(f"synergy is {synergy!r}; use one of {', '.join(map(str, SYNERGIES))}")
    dataset = load_labels(name, root, None if order is None else read_order(order), **options)
    features = load_released_cache(cache)
    dataset = _with_lengths(dataset, features, str(cache), order)
    keys = list(zip(dataset.videos["subject"], dataset.videos["video"], strict=True))
    motion = dict(zip(keys, features, strict=True))
    files = checkpoint_files(weights, dataset.subjects)
    traces: dict[tuple[str, str], ScoreTrace] = {}
    methods: dict[str, str] = {}
    for subject, file in tqdm(files.items(), desc="released checkpoints", unit="subject"):
        network = load_released(file)
        methods[_method_of(network)] = file.name
        for key in keys:
            if key[0] == subject:
                _check_channels(network, motion[key], file, str(cache))
                traces[key] = predict_video(network, motion[key])
    if len(methods) > 1:
        raise InputError(f"{weights}: checkpoints of several methods: {methods}; keep those of one")
    config = TrainConfig(model=next(iter(methods)), synergy=synergy)
    ordered = {key: traces[key] for key in keys}
    predictions = {protocol: _decoded(ordered, dataset, config, protocol) for protocol in PROTOCOLS}
    rows = [
        _score_row(table, dataset.annotations, protocol, emotions)
        for protocol, table in predictions.items()
        for emotions in CLASS_SETS[name]
    ]
    return ReleasedScore(dataset, config.model, ordered, predictions, pd.DataFrame(rows))


def read_order(path: str | Path) -> list[tuple[str, str]]:
    """The (subject, video) of a CSV file with these columns, row by row; `InputError` if one comes twice."""
    table = tables.read_keys(path)
    keys = list(zip(table["subject"], table["video"], strict=True))
    seen = set()
    for index, key in zip(table.index, keys, strict=True):
        if key in seen:
            raise InputError(f"{path}: row {index + tables.FIRST_ROW}: {' '.join(key)} again; remove one")
        seen.add(key)
    return keys


def checkpoint_files(folder: str | Path, subjects: Sequence[str]) -> dict[str, Path]:
    """The file of each subject: the one whose name, without its suffix, ends with the subject's id.

    Capitals, punctuation and padding zeros do not matter.  `MissingError` names the subjects without a file,
    `InputError` two files of one subject.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingError(f"{folder}: no such folder; give the folder with one checkpoint per subject")
    names = {
        file: id_parts(_without_suffixes(file.name)) for file in sorted(folder.iterdir()) if _is_one(file)
    }
    found: dict[str, Path] = {}
    for subject in subjects:
        parts = id_parts(subject)
        exact = [file for file, name in names.items() if name == parts]
        files = exact or [file for file, name in names.items() if name[-len(parts) :] == parts]
        if len(files) > 1:
            said = ", ".join(file.name for file in files)
            raise InputError(f"{folder}: several checkpoints of subject {subject}: {said}; keep one")
        if files:
            found[subject] = files[0]
    missing = [subject for subject in subjects if subject not in found]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise MissingError(
            f"{folder}: no checkpoint of subject {', '.join(missing[:5])}{more} among {len(names)} files; name "
            f"each after the subject that its training left out, for example {missing[0]}.pth"
        )
    return found


def _is_one(file: Path) -> bool:
    return file.is_file() and file.name[0] != "." and file.suffix.lower() in CHECKPOINT_SUFFIXES


def _without_suffixes(name: str) -> str:
    return re.sub(rf"({'|'.join(map(re.escape, CHECKPOINT_SUFFIXES))})+$", "", name, flags=re.IGNORECASE)


def _with_lengths(
    dataset: Dataset, features: Sequence[np.ndarray], cache: str, order: str | Path | None
) -> Dataset:
    """The labels with the videos' lengths in the cache, which must fit them."""
    n_videos = len(dataset.videos)
    if len(features) != n_videos:
        said = f"{order} lists {n_videos}" if order else f"the label sheets name {n_videos} with an interval"
        raise InputError(
            f"{cache} holds {len(features)} videos, but {said}; name the cache's videos in a CSV file "
            "subject,video, one row per entry and in its order (option order)"
        )
    half = dataset.window // 2
    lines = []
    n_frames = []
    for number, (row, windows) in enumerate(zip(dataset.videos.itertuples(), features, strict=True), start=1):
        if windows.shape[2] != dataset.window:
            raise InputError(
                f"{cache}: entry {number}, {row.subject} {row.video}, has windows of {windows.shape[2]} frames, "
                f"{dataset.name} has {dataset.window}; is it the cache of another set? (option window)"
            )
        n_frames.append((len(windows) + 1) * half)
        # The official windowing drops less than half a window at the end of a video.
        latest = tables.of_video(dataset.annotations, row.subject, row.video)["onset"].max()
        if latest >= n_frames[-1] + half:
            said = f"{row.subject} {row.video} has {n_frames[-1]} frames, and a label from frame {latest} on"
            lines.append((f"{cache}, entry {number}", 0, said, "kept; is the order of the videos right?"))
    report = pd.concat([dataset.report, pd.DataFrame(lines, columns=dataset.report.columns)])
    return Dataset(**{**vars(dataset), "videos": dataset.videos.assign(n_frames=n_frames), "report": report})


def _method_of(network: Network) -> str:
    if isinstance(network, METST):
        return "metst"
    return "boosting_vrme" if network.config["pathways"] == "shared" else "metst_plus"


def _check_channels(network: Network, windows: np.ndarray, file: Path, cache: str) -> None:
    expected, found = network.config["in_channels"], windows.shape[1]
    if expected != found:
        raise InputError(
            f"{file} takes motion of {expected} channels, {cache} holds {found}; ME-TST's features have 10, "
            "ME-TST+'s 36: use a cache and weights of one method"
        )
    if network.config["n_classes"] != len(tables.CLASSES):
        raise InputError(
            f"{file} tells {network.config['n_classes']} classes apart, not the {len(tables.CLASSES)} of the "
            "papers; it cannot be scored here"
        )


def _decoded(
    traces: dict[tuple[str, str], ScoreTrace], dataset: Dataset, config: TrainConfig, protocol: str
) -> pd.DataFrame:
    scored = scored_videos(traces, dataset.annotations, protocol)
    k_p = {s: fold_half_length(dataset.annotations, s, protocol) for s in dict(scored)}
    return decode_traces({key: traces[key] for key in scored}, k_p, config)


def _score_row(
    predictions: pd.DataFrame, annotations: pd.DataFrame, protocol: str, emotions: Sequence[str]
) -> dict[str, Any]:
    found = evaluate(predictions, annotations, emotions)
    names = ("tp", "fp", "fn", *METRICS)
    return {"protocol": protocol, "emotions": len(emotions), **{n: getattr(found, n) for n in names}}
