"""Training and leave-one-subject-out (LOSO) runs that can be killed, resumed, spread and compared.

One model per held-out subject (ME-TST, arXiv 2409.09707; ME-TST+, arXiv 2508.08082, training).  A fold is a
function of motion, annotations, configuration and its subject's name alone: its random numbers come from
(seed, subject), and it computes on one thread, so neither the number of jobs nor the order or the engine of
the folds changes a number.

Two protocols.  `strict`: the half length k_p comes from the training subjects alone, and videos without a
micro-expression stay in training and evaluation.  `official`, as published: k_p comes from all subjects,
the held-out one included, and such videos are dropped before training and evaluation, which hides false
positives.  Both match one-to-one.  Where every video holds a micro-expression, the two differ by k_p alone
and share their networks.
"""

from __future__ import annotations

import dataclasses
import html
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from tqdm import tqdm

from metst_core.checks import number_between
from metst_core.datasets import Dataset
from metst_core.decoding import half_length
from metst_core.errors import InputError
from metst_core.extraction import MotionSet, extract_dataset
from metst_core.files import check_id, one_line, only_one
from metst_core.metrics import INTERVALS, Evaluation, Intervals, evaluate, score_intervals, scores_line
from metst_core.training.config import PROTOCOLS, TrainConfig
from metst_core.training.fold import ScoreTrace, decode_traces, fold_of
from metst_core.training.material import Material, scored_videos
from metst_core.training.optimise import FoldError, check_device
from metst_core.training.store import RunFolder, StoredFold
from metst_core.workers import naming_killed_workers, on_backend

_FOLD_COLUMNS = (
    "subject",
    "fold",
    "status",
    "reason",
    "k_p",
    "n_videos",
    "windows_with_me",
    "windows_without_me",
    "absent_classes",
    "seconds",
)
_HISTORY_COLUMNS = ("subject", "epoch", "loss", "score_loss", "class_loss", "learning_rate")


@dataclass(frozen=True, eq=False)
class LosoResult:
    """A finished LOSO run.

    config: what it was run with.
    annotations: the truth that it is scored against.
    predictions: the prediction table over all held-out subjects.
    traces: `(score (T,), probabilities (T, 5))` by (subject, video), each from the fold that held the
        subject out.
    folds: one row per subject: `subject, fold` (who holds her out: her own name, or her group's), `status, reason, k_p, n_videos, windows_with_me, windows_without_me,
        absent_classes, seconds`; status is done, failed or left out.
    history: `subject, epoch, loss, score_loss, class_loss, learning_rate`.
    evaluation: the scores.  A failed fold's micro-expressions count as missed.
    """

    config: TrainConfig
    annotations: pd.DataFrame
    predictions: pd.DataFrame
    traces: dict[tuple[str, str], ScoreTrace]
    folds: pd.DataFrame
    history: pd.DataFrame
    evaluation: Evaluation

    @property
    def subjects(self) -> list[str]:
        """The subjects that are scored: all but those left out."""
        return self.folds.loc[self.folds["status"] != "left out", "subject"].tolist()

    @property
    def k_p(self) -> dict[str, int]:
        """Half length per subject whose fold is done."""
        done = self.folds[self.folds["status"] == "done"]
        return {s: int(k) for s, k in zip(done["subject"], done["k_p"], strict=True)}

    def intervals(self, intervals: Intervals = INTERVALS) -> pd.DataFrame:
        """`metrics.score_intervals` over this run's subjects: `metric, value, low, high, coverage, seed_share`."""
        return score_intervals(self.predictions, self.annotations, self.subjects, intervals)

    def __repr__(self) -> str:
        status = self.folds["status"].value_counts().to_dict()
        folds = ", ".join(f"{count} {name}" for name, count in status.items())
        return (
            f"LosoResult({self.config.model}, {self.config.protocol}: folds {folds}; "
            f"{scores_line(self.evaluation)})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.folds.to_html(index=False)}"

    def redecoded(
        self,
        synergy: int | None = None,
        strategy: str | None = None,
        p: float | None = None,
        smoothing: int | None = None,
        k_p: float = 1,
    ) -> LosoResult:
        """The same networks decoded otherwise.  Synergy 0 is a matter of training: train for it.

        `k_p` is a factor on each fold's half length (rounded, at least 1 frame).
        """
        number_between("k_p", k_p, 0, 1e3)
        given: dict[str, Any] = {"synergy": synergy, "strategy": strategy, "p": p, "smoothing": smoothing}
        config = dataclasses.replace(self.config, **{k: v for k, v in given.items() if v is not None})
        if (config.synergy == 0) != (self.config.synergy == 0):
            raise InputError(
                "synergy 0 trains with other class weights than 1 and 2; run the folds again for it"
            )
        folds = (
            self.folds if k_p == 1 else self.folds.assign(k_p=(self.folds["k_p"] * k_p).round().clip(lower=1))
        )
        return self._rescored(config, self.traces, folds)

    def under(self, protocol: str) -> LosoResult:
        """The same networks decoded and scored under another protocol.

        Only where every video holds a micro-expression is this what a run under that protocol gives;
        elsewhere `official` would also have trained without the others (`run_protocols` does).  A run under
        `official` has no traces of the dropped videos and cannot be scored under `strict`.
        """
        config = dataclasses.replace(self.config, protocol=protocol)
        if protocol == self.config.protocol:
            return self
        if protocol == "strict":
            raise InputError("an official run knows nothing of the videos it dropped; train under 'strict'")
        kept = scored_videos(self.traces, self.annotations, protocol)
        traces = {key: self.traces[key] for key in kept}
        folds = self.folds.copy()
        done = folds["status"] == "done"
        folds.loc[done, "k_p"] = half_length(self.annotations)
        dropped = done & ~folds["subject"].isin({s for s, _ in traces})
        folds.loc[dropped, ["status", "reason"]] = ("left out", "no video with a micro-expression")
        return self._rescored(config, traces, folds)

    def _rescored(
        self, config: TrainConfig, traces: dict[tuple[str, str], ScoreTrace], folds: pd.DataFrame
    ) -> LosoResult:
        moved = dataclasses.replace(self, config=config, traces=traces, folds=folds)
        predictions = decode_traces(traces, moved.k_p, config)
        return dataclasses.replace(
            moved, predictions=predictions, evaluation=evaluate(predictions, self.annotations)
        )


def leave_one_subject_out(
    dataset_or_motion: Dataset | MotionSet,
    config: TrainConfig,
    out_dir: str | Path,
    n_jobs: int = 1,
    backend: str = "loky",
) -> LosoResult:
    """Train and test one fold per subject; finished folds in `out_dir` are read, the others trained.

    With `config.groups` the folds are so many groups of persons (`held_out_groups`), each held out together.

    Of a `Dataset` the motion is extracted first (cached in `out_dir/motion`).  `out_dir/run.json` records the
    configuration and the data; a folder of another run is refused with an `InputError` that names what
    differs.  `out_dir/folds/<subject>/` holds `weights.safetensors`, `predictions.csv`, `traces.npz`,
    `history.csv` and, written last, `fold.json` with their hashes: a fold that is damaged is trained anew.  The
    call may be killed at any moment and repeated; a second one that works in the folder is refused.

    `n_jobs` folds are worked on at once by joblib's `backend`: "loky" (processes on this machine), "dask" (an
    existing `distributed.Client`) or "ray" (where installed); the workers must see `out_dir`.  On a CPU the
    result is the same for any `n_jobs` and backend, bit for bit, also where a Dask cluster loses a worker on the
    way; CUDA kernels need not be.

    A fold that cannot be trained (`FoldError`) is reported in `.folds` with a warning, and tried again by
    the next call.  Under `official` a subject without a micro-expression is left out.

    Two persons whose motion is noise, and a network of a few hundred numbers:

    >>> import tempfile
    >>> import numpy as np
    >>> from metst_core.tables import ANNOTATION_COLUMNS, VIDEO_COLUMNS
    >>> keys = [("anna", "1"), ("ben", "1")]
    >>> noise = np.random.default_rng(0)
    >>> motion = MotionSet(
    ...     windows={key: noise.normal(size=(3, 10, 16)).astype("float32") for key in keys},
    ...     annotations=pd.DataFrame([(*k, 8, 12, 16, "surprise") for k in keys], columns=ANNOTATION_COLUMNS),
    ...     videos=pd.DataFrame([(*k, 30.0, 32, "") for k in keys], columns=VIDEO_COLUMNS),
    ...     features="metst", window=16, fps=30.0,
    ... )
    >>> config = TrainConfig(model="metst", width=4, depth=1, d_state=2, epochs=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = leave_one_subject_out(motion, config, folder)
    >>> result.folds[["subject", "status", "k_p"]]
      subject status  k_p
    0    anna   done    4
    1     ben   done    4
    """
    out_dir = Path(out_dir)
    if n_jobs == 0:
        raise InputError("n_jobs=0 cannot be used; give a number of folds at once, or -1 for all cores")
    check_device(config.device)
    if isinstance(dataset_or_motion, Dataset):
        motion = extract_dataset(
            dataset_or_motion, config.features, cache_dir=out_dir / "motion", n_jobs=n_jobs, backend=backend
        )
    else:
        motion = dataset_or_motion.select(config.features)
    if len(motion.subjects) < 2:
        raise InputError(f"the data hold {len(motion.subjects)} subject(s); leaving one out needs at least 2")
    for subject in motion.subjects:
        check_id("subject", subject, "motion set")
    material = Material.of(motion)
    with only_one(out_dir):
        folder = RunFolder.claim(out_dir, config, motion, material)
        taking_part = {subject for subject, _ in material.videos(config.protocol)}
        states = {s: _left_out(s) for s in motion.subjects if s not in taking_part}
        present = [s for s in motion.subjects if s in taking_part]
        groups = held_out_groups(present, motion.annotations, config.groups)
        pending = {name: persons for name, persons in groups.items() if not folder.is_done(name)}
        failures = _work(material, pending, config, folder, n_jobs, backend)
        for name, reason in failures.items():
            warnings.warn(
                f"fold {one_line(name)}: {reason}; its micro-expressions count as missed", stacklevel=2
            )
            states |= {
                s: {"subject": s, "fold": name, "status": "failed", "reason": reason} for s in groups[name]
            }
        return _assemble(folder, config, motion, states, groups)


def held_out_groups(
    subjects: Sequence[str], annotations: pd.DataFrame, n_groups: int
) -> dict[str, tuple[str, ...]]:
    """Who is held out together, by the fold's name: every subject alone (`n_groups` 0), or groups of persons.

    As scikit-learn's GroupKFold with persons as groups and micro-expressions as samples: from the person with the most
    to the one with the fewest (then in the order of `subjects`), each goes to the group that has the fewest so far;
    persons without any go where the fewest persons are.
    """
    if not n_groups:
        return {s: (s,) for s in subjects}
    if n_groups > len(subjects):
        raise InputError(
            f"groups is {n_groups}, but only {len(subjects)} subjects take part; use fewer groups"
        )
    counts = annotations["subject"].value_counts()
    members: list[list[str]] = [[] for _ in range(n_groups)]
    size = [0] * n_groups
    for subject in sorted(subjects, key=lambda s: -int(counts.get(s, 0))):
        mine = int(counts.get(subject, 0))
        lightest = min(range(n_groups), key=lambda g: (size[g] if mine else 0, len(members[g]), g))
        members[lightest].append(subject)
        size[lightest] += mine
    return {
        f"group {i}": tuple(sorted(group, key=list(subjects).index)) for i, group in enumerate(members, 1)
    }


def run_protocols(
    dataset_or_motion: Dataset | MotionSet,
    config: TrainConfig,
    out_dir: str | Path,
    n_jobs: int = 1,
    backend: str = "loky",
) -> dict[str, LosoResult]:
    """LOSO under both protocols, by name, in `out_dir/strict` and `out_dir/official`.

    Where every video holds a micro-expression both would train the same networks; then they are trained once.
    """
    results: dict[str, LosoResult] = {}
    for protocol in PROTOCOLS:
        one = dataclasses.replace(config, protocol=protocol)
        strict = results.get("strict")
        if strict is not None and _all_have_me(strict):
            results[protocol] = strict.under(protocol)
        else:
            folder = Path(out_dir) / protocol
            results[protocol] = leave_one_subject_out(dataset_or_motion, one, folder, n_jobs, backend)
    return results


def _all_have_me(result: LosoResult) -> bool:
    kept = scored_videos(result.traces, result.annotations, "official")
    return bool((result.folds["status"] == "done").all()) and len(kept) == len(result.traces)


def _work(
    material: Material,
    folds: Mapping[str, Sequence[str]],
    config: TrainConfig,
    folder: RunFolder,
    n_jobs: int,
    backend: str,
) -> dict[str, str]:
    """Train the folds, persons by name, and store them; the reasons of those that failed."""
    if not folds:
        return {}
    tasks = [
        joblib.delayed(_train_and_store)(material, name, persons, config, folder)
        for name, persons in folds.items()
    ]
    with tqdm(total=len(tasks), desc=f"{config.model} folds", unit="fold") as bar:
        with on_backend(backend, n_jobs, [material]):
            parallel = _ParallelWithBar(bar)
        with naming_killed_workers(n_jobs, "finished folds are kept"):
            reasons = parallel(tasks)
    return {s: reason for s, reason in zip(folds, reasons, strict=True) if reason}


def _train_and_store(
    material: Material, subject: str, persons: Sequence[str], config: TrainConfig, folder: RunFolder
) -> str:
    """Train one fold and store it; the reason where it cannot be trained, else nothing."""
    folder.clear(subject)
    try:
        folder.write(fold_of(material, subject, config, persons=persons), config)
    except FoldError as error:
        return str(error)
    return ""


class _ParallelWithBar(joblib.Parallel):
    """joblib's Parallel that moves a tqdm bar as folds finish, on every backend."""

    def __init__(self, bar: tqdm) -> None:
        super().__init__(pre_dispatch="all", batch_size=1)
        self._bar = bar

    def print_progress(self) -> None:
        self._bar.update(self.n_completed_tasks - self._bar.n)


def _assemble(
    folder: RunFolder,
    config: TrainConfig,
    motion: MotionSet,
    states: dict[str, dict[str, Any]],
    groups: Mapping[str, Sequence[str]],
) -> LosoResult:
    """The result, read back from the stored folds: the same whether they were trained now or before."""
    rows, histories = [], []
    traces: dict[tuple[str, str], ScoreTrace] = {}
    fold_of_subject = {s: name for name, persons in groups.items() for s in persons}
    stored: dict[str, StoredFold] = {}
    for subject in motion.subjects:
        if subject in states:
            rows.append({"fold": subject, **states[subject]})
            continue
        name = fold_of_subject[subject]
        if name not in stored:
            stored[name] = folder.read(name)
            histories.append(stored[name].history)
        rows.append(
            {"status": "done", "reason": "", **stored[name].summary, "subject": subject, "fold": name}
        )
        traces |= {key: trace for key, trace in stored[name].traces.items() if key[0] == subject}
    folds = pd.DataFrame(rows).reindex(columns=list(_FOLD_COLUMNS))
    history = pd.concat(histories, ignore_index=True) if histories else pd.DataFrame()
    k_p = {row["subject"]: int(row["k_p"]) for row in rows if row["status"] == "done"}
    predictions = decode_traces(traces, k_p, config)
    return LosoResult(
        config=config,
        annotations=motion.annotations,
        predictions=predictions,
        traces=traces,
        folds=folds,
        history=history.reindex(columns=list(_HISTORY_COLUMNS)),
        evaluation=evaluate(predictions, motion.annotations),
    )


def _left_out(subject: str) -> dict[str, Any]:
    reason = "no video with a micro-expression, and 'official' drops the others"
    return {"subject": subject, "status": "left out", "reason": reason}
