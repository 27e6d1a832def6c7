"""A run's folder: what a fold leaves there, and how it is read back."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from metst_core import checkpoints
from metst_core.errors import InputError, MissingError
from metst_core.extraction import MotionSet
from metst_core.files import (
    UNREADABLE,
    check_seal,
    claim_folder,
    read_sealed,
    run_record,
    safe_name,
    sealed_path,
    sha256_of,
    sweep,
    value_hash,
    visible,
    write_sealed,
)
from metst_core.models import Network
from metst_core.tables import CLASSES, write_table
from metst_core.training.config import TrainConfig
from metst_core.training.fold import Fold, ScoreTrace, decode_traces
from metst_core.training.material import Material

_REMEDY = "remove its folder"
# From pandas 3.1 on every number is read back as it was written, and the option is deprecated.
_EXACT: dict[str, Any] = (
    {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
)
_WITHOUT = "without_weights"
_COUNTS = ("k_p", "n_videos", "windows_with_me", "windows_without_me")
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
        sweep(path)
        sweep(path / "folds", deep=True)
        return cls(path, value_hash(identity))

    def is_done(self, subject: str) -> bool:
        """Whether the subject's fold is there, whole, undamaged, and of this run; else it is trained anew."""
        folder = fold_folder(self.path, subject)
        try:
            note = read_sealed(folder / "fold.json", _REMEDY)
            if note.get("run") != self.run or not all((folder / name).is_file() for name in _FOLD_FILES[1:]):
                return False
            if not _has_weights(folder) and not note.get(_WITHOUT):
                return False
            if "files" in note:
                return bool(note["files"] == _hashes(folder))
            self.read(subject)  # of before there were hashes
            return True
        except UNREADABLE:
            return False

    def clear(self, subject: str) -> None:
        """Remove what a killed run left of a fold."""
        shutil.rmtree(fold_folder(self.path, subject), ignore_errors=True)

    def write(self, fold: Fold, config: TrainConfig) -> None:
        """Store a fold, `fold.json` last."""
        self.put(StoredFold(fold.summary, fold.history, fold.traces), config, fold.model)

    def put(self, fold: StoredFold, config: TrainConfig, model: Network | None) -> None:
        """Store what is known of a fold, `fold.json` last; without its network it counts as done all the same."""
        subject, k_p = str(fold.summary["subject"]), int(fold.summary["k_p"])
        folder = fold_folder(self.path, subject)
        folder.mkdir(parents=True, exist_ok=True)
        if model is not None:
            checkpoints.save(model, folder / _FOLD_FILES[0])
        predictions = decode_traces(fold.traces, dict.fromkeys(fold.summary["held_out"], k_p), config)
        write_table(predictions, folder / "predictions.csv")
        write_table(fold.history, folder / "history.csv")
        write_traces(fold.traces, folder / "traces.npz")
        note = {"run": self.run, "summary": fold.summary, "files": _hashes(folder)}
        write_sealed(note | ({_WITHOUT: True} if model is None else {}), folder / "fold.json")

    def read(self, subject: str) -> StoredFold:
        """What a finished fold left."""
        folder = fold_folder(self.path, subject)
        history = pd.read_csv(folder / "history.csv", **_EXACT)
        summary = read_sealed(folder / "fold.json", _REMEDY)["summary"]
        return StoredFold(summary, history.assign(subject=subject), read_traces(folder / "traces.npz"))


def _hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of a fold's files, but of the note that holds them."""
    return {name: sha256_of(folder / name) for name in _FOLD_FILES[:-1] if (folder / name).is_file()}


class StoredFold(NamedTuple):
    """A fold as it is read back, without its network (`fold_model` loads that)."""

    summary: dict[str, Any]
    history: pd.DataFrame
    traces: dict[tuple[str, str], ScoreTrace]


def fold_folder(out_dir: Path, subject: str) -> Path:
    """Where a fold is stored; whatever the subject's name, it is one folder below `out_dir/folds`."""
    return out_dir / "folds" / safe_name(subject)


def fold_model(out_dir: str | Path, subject: str) -> Network:
    """The network of a stored fold, which has never seen `subject`; `MissingError` where it is not there."""
    folder = _fold_without(Path(out_dir), subject)
    if not _has_weights(folder) and (folder / "fold.json").is_file():
        raise MissingError(
            f"{folder}: this run was prepared without the network of subject {subject}; train it with `metst reproduce`"
        )
    return checkpoints.load(folder / _FOLD_FILES[0])


def _fold_without(out_dir: Path, subject: str) -> Path:
    """The folder of the fold that holds a subject out, alone or in a group; where it would be if there is none."""
    own = fold_folder(out_dir, subject)
    if own.is_dir():
        return own
    for file in visible(out_dir / "folds", "*/fold.json"):
        with contextlib.suppress(InputError):  # what is damaged is trained anew by the next run
            if subject in read_sealed(file, _REMEDY)["summary"].get("held_out", ()):
                return file.parent
    return own


def _has_weights(folder: Path) -> bool:
    return (folder / _FOLD_FILES[0]).is_file()


def restore_run(
    out_dir: str | Path,
    motion: MotionSet,
    config: TrainConfig,
    folds: pd.DataFrame,
    history: pd.DataFrame,
    traces: Mapping[tuple[str, str], ScoreTrace],
    networks: Mapping[str, Network],
) -> None:
    """Make the folder of a run from what is known of it, so that `leave_one_subject_out` reads it back.

    folds, history, traces: those of its `LosoResult`.  networks: by a subject that each has not seen, or none.
    """
    own = motion.select(config.features)
    folder = RunFolder.claim(Path(out_dir), config, own, Material.of(own))
    for name, rows in folds[folds["status"] == "done"].groupby("fold", sort=False):
        persons = rows["subject"].tolist()
        row = rows.iloc[0].drop(["status", "reason", "fold"]).to_dict()
        summary = row | {count: int(row[count]) for count in _COUNTS} | {"subject": name, "held_out": persons}
        mine = history[history["subject"] == name].drop(columns="subject")
        said = {key: trace for key, trace in traces.items() if key[0] in persons}
        network = next((networks[person] for person in persons if person in networks), None)
        folder.put(StoredFold(summary, mine, said), config, network)


def write_traces(traces: Mapping[tuple[str, str], ScoreTrace], path: Path) -> None:
    """Write score traces as one npz file, whole or not at all."""
    arrays: dict[str, Any] = {"keys": np.array([list(key) for key in traces], dtype=str)}
    for i, (score, probabilities) in enumerate(traces.values()):
        arrays |= {f"score_{i}": score, f"probabilities_{i}": probabilities}
    with sealed_path(path) as temporary:
        np.savez(temporary, **arrays)


def read_traces(path: str | Path) -> dict[tuple[str, str], ScoreTrace]:
    """The score traces of a stored fold, by (subject, video); `InputError` for a file that is damaged."""
    try:
        check_seal(path)
        with np.load(path, allow_pickle=False) as stored:
            traces = {
                (str(subject), str(video)): (stored[f"score_{i}"], stored[f"probabilities_{i}"])
                for i, (subject, video) in enumerate(stored["keys"])
            }
    except FileNotFoundError:
        raise MissingError(f"{path}: no such file; run the folds again") from None
    except UNREADABLE as error:
        raise InputError(
            f"{path}: no traces that can be read ({error}); {_REMEDY} and run the folds again"
        ) from error
    for key, (score, probabilities) in traces.items():
        if score.ndim != 1 or probabilities.shape != (len(score), len(CLASSES)):
            raise InputError(
                f"{path}: the traces of {' '.join(key)} have shapes {score.shape} and {probabilities.shape}; {_REMEDY} "
                "and run the folds again"
            )
    return traces


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
