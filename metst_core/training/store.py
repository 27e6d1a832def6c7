"""A run's folder: what a fold leaves there, and how it is read back."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pandas as pd

from metst_core import checkpoints
from metst_core.extraction import MotionSet
from metst_core.files import atomic_path, claim_folder, read_json, run_record, value_hash, write_json
from metst_core.models import Network
from metst_core.tables import write_table
from metst_core.training.config import TrainConfig
from metst_core.training.fold import Fold, ScoreTrace, decode_traces
from metst_core.training.material import Material

_REMEDY = "remove its folder"
_FOLD_FILES = ("weights.safetensors", "predictions.csv", "history.csv", "traces.npz", "fold.json")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: `run.json` says which, `folds/<subject>/` holds what each fold left.

    `run` is the hash of the run's configuration and data; a fold that bears another one is not this run's.
    """

    path: Path
    run: str

    @classmethod
    def claim(cls, path: Path, config: TrainConfig, motion: MotionSet, material: Material) -> RunFolder:
        """Take a folder for this configuration and data, or refuse it with what differs (`InputError`)."""
        identity = {"config": config.to_dict(), "data": _describe(motion, material)}
        claim_folder(path, identity, extra={"record": run_record()})
        return cls(path, value_hash(identity))

    def is_done(self, subject: str) -> bool:
        """Whether the subject's fold is there, whole, and of this run."""
        folder = fold_folder(self.path, subject)
        whole = all((folder / name).is_file() for name in _FOLD_FILES)
        return whole and read_json(folder / "fold.json", _REMEDY).get("run") == self.run

    def clear(self, subject: str) -> None:
        """Remove what a killed run left of a fold."""
        shutil.rmtree(fold_folder(self.path, subject), ignore_errors=True)

    def write(self, fold: Fold, config: TrainConfig) -> None:
        """Store a fold, `fold.json` last."""
        folder = fold_folder(self.path, fold.subject)
        folder.mkdir(parents=True, exist_ok=True)
        checkpoints.save(fold.model, folder / "weights.safetensors")
        predictions = decode_traces(fold.traces, dict.fromkeys(fold.held_out, fold.k_p), config)
        write_table(predictions, folder / "predictions.csv")
        write_table(fold.history, folder / "history.csv")
        write_traces(fold.traces, folder / "traces.npz")
        write_json({"run": self.run, "summary": fold.summary}, folder / "fold.json")

    def read(self, subject: str) -> StoredFold:
        """What a finished fold left."""
        folder = fold_folder(self.path, subject)
        history = pd.read_csv(folder / "history.csv", float_precision="round_trip")
        summary = read_json(folder / "fold.json", _REMEDY)["summary"]
        return StoredFold(summary, history.assign(subject=subject), read_traces(folder / "traces.npz"))


class StoredFold(NamedTuple):
    """A fold as it is read back, without its network (`fold_model` loads that)."""

    summary: dict[str, Any]
    history: pd.DataFrame
    traces: dict[tuple[str, str], ScoreTrace]


def fold_folder(out_dir: Path, subject: str) -> Path:
    """Where a fold is stored; whatever the subject's name, it is one folder below `out_dir/folds`."""
    return out_dir / "folds" / quote(subject, safe=" ").replace(".", "%2E")


def fold_model(out_dir: str | Path, subject: str) -> Network:
    """The network of a stored fold, which has never seen `subject`; `MissingError` where it is not there."""
    return checkpoints.load(_fold_without(Path(out_dir), subject) / _FOLD_FILES[0])


def _fold_without(out_dir: Path, subject: str) -> Path:
    """The folder of the fold that holds a subject out, alone or in a group; where it would be if there is none."""
    own = fold_folder(out_dir, subject)
    if own.is_dir():
        return own
    for file in sorted((out_dir / "folds").glob("*/fold.json")):
        if subject in read_json(file, _REMEDY)["summary"].get("held_out", ()):
            return file.parent
    return own


def write_traces(traces: Mapping[tuple[str, str], ScoreTrace], path: Path) -> None:
    """Write score traces as one npz file, whole or not at all."""
    arrays: dict[str, Any] = {"keys": np.array([list(key) for key in traces], dtype=str)}
    for i, (score, probabilities) in enumerate(traces.values()):
        arrays |= {f"score_{i}": score, f"probabilities_{i}": probabilities}
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def read_traces(path: str | Path) -> dict[tuple[str, str], ScoreTrace]:
    """The score traces of a stored fold, by (subject, video)."""
    with np.load(path, allow_pickle=False) as stored:
        return {
            (str(subject), str(video)): (stored[f"score_{i}"], stored[f"probabilities_{i}"])
            for i, (subject, video) in enumerate(stored["keys"])
        }


def _describe(motion: MotionSet, material: Material) -> dict[str, Any]:
    """What `run.json` says about the data."""
    places = [[*key, material.count[key], material.n_frames[key]] for key in material.first]
    motion_hash = hashlib.sha256(value_hash(places).encode() + material.windows.tobytes()).hexdigest()
    return {
        "window": motion.window,
        "subjects": len(motion.subjects),
        "videos": len(motion.windows),
        "micro_expressions": len(motion.annotations),
        "annotations_hash": value_hash(motion.annotations.astype(str).to_numpy().tolist()),
        "motion_hash": motion_hash,
    }
