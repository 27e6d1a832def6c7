"""A finished run, made small enough to travel with the notebooks, and unpacked again.

    prepare("runs/default", "data/prepared")      # results, motion, what the networks said, one network per method
    unpack("data/prepared", "runs/by_hand")       # a run's folder as `metst reproduce` leaves it, less the other networks

Tables are CSV and JSON, numbers safetensors of half precision; nothing in them is ever executed.  `manifest.json` has
the SHA-256 of every file; a file that differs is refused.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from metst_core import checkpoints
from metst_core.errors import InputError, MissingError
from metst_core.experiment.run import Run
from metst_core.extraction import MotionSet
from metst_core.files import atomic_path, content_hash, read_json, run_record, write_json
from metst_core.tables import check_annotations, write_table
from metst_core.training import LosoResult, TrainConfig, fold_model, restore_run

LIMIT = 5_000_000
"""Bytes of a prepared run; networks are left out, the last methods first, where it would be larger."""

MANIFEST = "manifest.json"
_REMEDY = "make it anew with `metst prepare`, or delete it"


def prepare(run_dir: str | Path, out_dir: str | Path) -> Path:
    """Write the prepared form of a finished run (strict protocol) into `out_dir`, which is replaced; its path.

    Kept: `results.json`, the motion and the traces in half precision, folds and histories, and of every method the
    network of the first subject with a micro-expression, as far as `LIMIT` allows.
    """
    run, out = Run.reopened(run_dir), Path(out_dir)
    motion = run.motion()
    results = {name: run.trained(name)["strict"] for name in run.profile.models}
    if out.exists():
        if not (out / MANIFEST).is_file():
            raise InputError(f"{out}: is there and no prepared run; name another folder")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    shutil.copy(run.out / "results.json", out / "results.json")
    _write_motion(motion, out)
    for name, result in results.items():
        _write_result(result, out / name)
    subject = str(motion.annotations["subject"].iloc[0])
    left_out = _write_networks(run, list(results), subject, out)
    write_json(
        {
            "profile": run.profile_name,
            "dataset": run.dataset_name,
            "seed": run.seed,
            "data_options": dict(run.data_options),
            "methods": list(results),
            "network_of": subject,
            "without_network": left_out,
            "record": run_record(),
            "files": {str(p.relative_to(out)): content_hash(p) for p in _files(out)},
        },
        out / MANIFEST,
    )
    return out


def unpack(prepared: str | Path, out_dir: str | Path) -> dict[str, Any]:
    """Make a run's folder of a prepared run, checked file by file; its manifest.  Done before, nothing is done.

    A fold has its network only where the prepared run has it; `fold_model` says so of the others.
    """
    prepared, out = Path(prepared), Path(out_dir)
    manifest = checked(prepared)
    note = out / "prepared.json"
    if note.is_file():
        known = read_json(note)
        if known["files"] != manifest["files"]:
            raise InputError(
                f"{out} was unpacked from another prepared run than {prepared}; delete the folder"
            )
        return manifest
    motion = _read_motion(prepared)
    motion.save(out / "motion.npz")
    for name in manifest["methods"]:
        config = TrainConfig(**read_json(prepared / name / "config.json", _REMEDY))
        stored = prepared / name / "network.safetensors"
        networks = {manifest["network_of"]: checkpoints.load(stored).float()} if stored.is_file() else {}
        folds = pd.read_csv(prepared / name / "folds.csv", dtype={"subject": str}, keep_default_na=False)
        history = pd.read_csv(prepared / name / "history.csv", dtype={"subject": str})
        traces = _read_traces(prepared / name / "traces.safetensors")
        restore_run(out / "loso" / name / "strict", motion, config, folds, history, traces, networks)
    shutil.copy(prepared / "results.json", out / "results.json")
    write_json(manifest, note)
    return manifest


def checked(prepared: str | Path) -> dict[str, Any]:
    """The manifest of a prepared run whose files are all there and as they were written."""
    prepared = Path(prepared)
    if not (prepared / MANIFEST).is_file():
        raise MissingError(f"{prepared}: no prepared run here; make one with `metst prepare runs/default`")
    manifest = read_json(prepared / MANIFEST, _REMEDY)
    for name, known in manifest["files"].items():
        file = prepared / name
        if not file.is_file() or content_hash(file) != known:
            raise InputError(f"{file}: is not as it was prepared; {_REMEDY}")
    return manifest


def find_prepared() -> Path | None:
    """The prepared run that came with the notebooks: `data/prepared` of the repository; None where there is none."""
    for folder in (
        Path("../data/prepared"),
        Path("data/prepared"),
        Path(__file__).parents[2] / "data" / "prepared",
    ):
        if (folder / MANIFEST).is_file():
            return folder
    return None


def by_hand(out_dir: str | Path, n_jobs: int | None = None) -> Run:
    """The run of a notebook opened by hand: the prepared one where it is there, else the small one of notebook 01.

    That one lies beside `out_dir`, under the name `smoke`.
    """
    prepared = find_prepared()
    if prepared is None:
        return Run("smoke", "synthetic", None, 100, Path(out_dir).parent / "smoke", {}, n_jobs)
    manifest = unpack(prepared, out_dir)
    return Run(
        manifest["profile"],
        manifest["dataset"],
        None,
        manifest["seed"],
        Path(out_dir),
        manifest["data_options"],
        n_jobs,
    )


# --- the parts ------------------------------------------------------------------------------------
def _files(folder: Path) -> Iterable[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _write_motion(motion: MotionSet, out: Path) -> None:
    arrays = {f"windows/{i}": _half(value) for i, value in enumerate(motion.windows.values())}
    arrays |= {
        f"head/{i}": _half(motion.head[key]) for i, key in enumerate(motion.windows) if key in motion.head
    }
    _save(arrays, out / "motion.safetensors")
    write_table(motion.annotations, out / "annotations.csv")
    write_table(motion.videos.assign(path=""), out / "videos.csv")
    keys = [list(key) for key in motion.windows]
    about = {"keys": keys, "features": motion.features, "window": motion.window, "fps": motion.fps}
    write_json(about, out / "motion.json")


def _read_motion(prepared: Path) -> MotionSet:
    about, arrays = read_json(prepared / "motion.json", _REMEDY), load_file(prepared / "motion.safetensors")
    keys = [(str(subject), str(video)) for subject, video in about["keys"]]
    text = {"subject": str, "video": str, "path": str}
    annotations = pd.read_csv(prepared / "annotations.csv", dtype=text)
    videos = pd.read_csv(prepared / "videos.csv", dtype=text, keep_default_na=False)
    return MotionSet(
        windows={key: arrays[f"windows/{i}"].astype(np.float32) for i, key in enumerate(keys)},
        annotations=check_annotations(annotations, str(prepared / "annotations.csv")),
        videos=videos,
        features=about["features"],
        window=about["window"],
        fps=about["fps"],
        head={
            key: arrays[f"head/{i}"].astype(np.float32) for i, key in enumerate(keys) if f"head/{i}" in arrays
        },
    )


def _write_result(result: LosoResult, folder: Path) -> None:
    write_json(result.config.to_dict(), folder / "config.json")
    write_table(result.folds, folder / "folds.csv")
    write_table(result.history, folder / "history.csv")
    arrays = {}
    for (subject, video), (score, probabilities) in result.traces.items():
        arrays[json.dumps([subject, video])] = _half(np.column_stack([score, probabilities]))
    _save(arrays, folder / "traces.safetensors")


def _read_traces(path: Path) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    traces = {}
    for name, values in load_file(path).items():
        subject, video = json.loads(name)
        both = values.astype(float)
        traces[subject, video] = (both[:, 0], both[:, 1:])
    return traces


def _write_networks(run: Run, methods: Iterable[str], subject: str, out: Path) -> list[str]:
    """One network per method, in order, while there is room; the methods that go without."""
    left_out = []
    for name in methods:
        file = checkpoints.save(
            fold_model(run.out / "loso" / name / "strict", subject).half(), out / name / "network.safetensors"
        )
        if sum(p.stat().st_size for p in _files(out)) > LIMIT - 20_000:  # room for the manifest
            file.unlink()
            left_out.append(name)
    return left_out


def _half(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float16)


def _save(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    with atomic_path(path) as temporary:
        save_file(dict(arrays), temporary)
