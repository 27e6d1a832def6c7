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

import contextlib
import dataclasses
import hashlib
import json
import shutil
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import joblib
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from metst_core.checkpoints import own as checkpoints
from metst_core.datasets import Dataset
from metst_core.decoding import STRATEGIES, SYNERGIES, decode, half_length
from metst_core.errors import InputError, MetstError
from metst_core.extraction import MotionSet, extract_dataset
from metst_core.files import atomic_path, run_record, value_hash, write_json
from metst_core.metrics import Evaluation, bootstrap, evaluate
from metst_core.models import METST, PATHWAYS, METSTPlus, Network, predict_video
from metst_core.rivals import SEQUENCE_NETWORKS, count_parameters, of_like_size
from metst_core.rois import roi_names
from metst_core.tables import CLASSES, EMOTIONS, NEUTRAL, empty_predictions, write_table
from metst_core.windows import frame_targets, unstitch
from metst_core.workers import end_with_parent, one_thread

PROTOCOLS = ("strict", "official")
Trace = tuple[np.ndarray, np.ndarray]
"""What a network says about a video: score `(T,)` and class probabilities `(T, 5)`."""

_NEUTRAL = CLASSES.index(NEUTRAL)
_ONE_FOLD_AT_A_TIME = (
    threading.Lock()
)  # torch's random numbers are per process: threads of one must take turns


class FoldError(MetstError):
    """A fold that cannot be trained; the run goes on and reports it."""


class Method(NamedTuple):
    """What comes with a model's name unless the configuration says otherwise."""

    network: str
    features: str
    pathways: str
    strategy: str


METHODS = {
    "metst": Method("metst", "metst", "separate", "fixed"),
    "metst_plus": Method("metst_plus", "metst_plus", "separate", "fixed"),
    "boosting_vrme": Method("metst_plus", "metst_plus", "shared", "extensible"),
    **{name: Method(name, "metst_plus", "separate", "fixed") for name in SEQUENCE_NETWORKS},
}
"""The models by name.  The last four are the rivals of `sequence_models`, as large as ME-TST+ of the same
config.
"""


@dataclass(frozen=True)
class TrainConfig:
    """Every choice of a training run; the defaults are those published for ME-TST+ on CAS(ME)^3.

    model: a name of `METHODS`; `features`, `pathways` and `strategy` left empty take that method's own.
    width, depth, blocks_per_stage, d_state: sizes of the network (`depth` for ME-TST, `blocks_per_stage`
        for ME-TST+).
    epochs, learning_rate, batch_size: Adam under a OneCycle schedule over all steps with that peak; the last
        epoch is used, there is no model selection.
    ratio: windows without a micro-expression drawn per window with one.
    scale_low, scale_high, scale_step: the random factors that a window is multiplied with.
    score_weight, class_weight: weights of mean squared error (score) and cross-entropy (classes) in the loss.
    neutral_weight: factor on the neutral class's balanced weight (with `synergy=0` neutral weighs nothing).
    seed: of the weights, the drawn windows, their order and scale; each fold's own numbers follow from it and
        the subject's name.
    synergy, strategy, p: decoding (`metst_core.decoding`).
    protocol: "strict" or "official".
    device, amp, compile: torch device; bfloat16 autocast and `torch.compile`, on CUDA only.

    What the papers leave open is settled so: windows without a micro-expression are drawn once per fold, not
    per epoch; the class weights count the frames of the drawn windows (a frame in two windows counts twice);
    one scale factor holds for all frames and ROIs of a window and is drawn each time the window is seen; a last
    batch that is not full is used; the rest of Adam and OneCycle (30% of the steps up, start at a 25th of the
    peak, Adam's first beta moving between 0.95 and 0.85) is torch's default.
    """

    model: str = "metst_plus"
    features: str = ""
    pathways: str = ""
    width: int = 128
    depth: int = 12
    blocks_per_stage: int = 4
    d_state: int = 64
    epochs: int = 50
    learning_rate: float = 3e-4
    batch_size: int = 256
    ratio: float = 4.0
    scale_low: float = 0.90
    scale_high: float = 1.10
    scale_step: float = 0.01
    score_weight: float = 0.9
    class_weight: float = 0.1
    neutral_weight: float = 6.0
    seed: int = 100
    synergy: int = 2
    strategy: str = ""
    p: float = 0.55
    protocol: str = "strict"
    device: str = "cpu"
    amp: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        if self.model not in METHODS:
            raise InputError(f"model is {self.model!r}; use one of {', '.join(METHODS)}")
        method = METHODS[self.model]
        for name in ("features", "pathways", "strategy"):
            object.__setattr__(self, name, getattr(self, name) or getattr(method, name))
        roi_names(self.features)
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}; use one of {', '.join(map(str, allowed))}"
                )
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise InputError(f"{name} is {value!r}; use a number from {low:g} to {high:g}")
            whole = _FIELD_TYPES[name] == "int"
            if whole and value != int(value):
                raise InputError(f"{name} is {value!r}; use a whole number")
            object.__setattr__(self, name, int(value) if whole else float(value))
        if self.scale_low > self.scale_high:
            raise InputError(
                f"scale_low {self.scale_low} is above scale_high {self.scale_high}; exchange them"
            )
        if (self.amp or self.compile) and not self.device.startswith("cuda"):
            raise InputError(
                f"amp and compile are for CUDA devices, device is {self.device!r}; leave them off"
            )

    def with_model(self, model: str, **changes: Any) -> TrainConfig:
        """The same choices for another model, with that method's own features, pathways and strategy."""
        own = {"features": "", "pathways": "", "strategy": ""}
        return dataclasses.replace(self, **{"model": model, **own, **changes})

    def to_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return dataclasses.asdict(self)

    def build(self) -> Network:
        """A fresh network of this configuration (its weights from torch's global random numbers)."""
        channels = 2 * len(roi_names(self.features))
        common: dict[str, Any] = {"in_channels": channels, "width": self.width, "pathways": self.pathways}
        network = METHODS[self.model].network
        if network == "metst":
            return METST(depth=self.depth, d_state=self.d_state, **common)
        plus = METSTPlus(blocks_per_stage=self.blocks_per_stage, d_state=self.d_state, **common)
        if network == "metst_plus":
            return plus
        return of_like_size(
            SEQUENCE_NETWORKS[network], count_parameters(plus), channels, self.width, self.pathways
        )


_FIELD_TYPES = {f.name: str(f.type) for f in dataclasses.fields(TrainConfig)}
_CHOICES: dict[str, Sequence[Any]] = {
    "pathways": PATHWAYS,
    "strategy": STRATEGIES,
    "synergy": SYNERGIES,
    "protocol": PROTOCOLS,
}
_RANGES = {
    "width": (1, 4096),
    "depth": (1, 1000),
    "blocks_per_stage": (1, 1000),
    "d_state": (1, 4096),
    "epochs": (1, 1e6),
    "learning_rate": (1e-12, 1e6),
    "batch_size": (1, 1e9),
    "ratio": (0, 1e9),
    "scale_low": (0, 1e3),
    "scale_high": (0, 1e3),
    "scale_step": (1e-6, 1e3),
    "score_weight": (0, 1e9),
    "class_weight": (0, 1e9),
    "neutral_weight": (0, 1e9),
    "seed": (0, 2**63),
    "p": (0, 1),
}

PRESETS: dict[str, dict[str, Any]] = {
    "casme3": {"batch_size": 256, "ratio": 4.0},
    "sammlv": {"batch_size": 32, "ratio": 0.5},
    "casme3_first_release": {
        "batch_size": 256,
        "ratio": 4.0,
        "epochs": 30,
        "learning_rate": 1e-4,
        "width": 64,
    },
    "sammlv_first_release": {
        "batch_size": 32,
        "ratio": 0.5,
        "epochs": 30,
        "learning_rate": 1e-4,
        "width": 64,
    },
}
"""What was published per data set, where it differs from the defaults; the first release is ME-TST's."""


def preset(name: str, **changes: Any) -> TrainConfig:
    """The published configuration for a data set (a name of `PRESETS`), with `changes` on top."""
    if name not in PRESETS:
        raise InputError(f"preset is {name!r}; use one of {', '.join(PRESETS)}")
    return TrainConfig(**{**PRESETS[name], **changes})


# --- one fold -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Fold:
    """A trained fold: the model, what it says about the held-out subject's videos, and how it came about.

    `summary` holds subject, k_p, counts of training windows, emotions without a training frame, and seconds.
    """

    subject: str
    model: Network
    traces: dict[tuple[str, str], Trace]
    history: pd.DataFrame
    summary: dict[str, Any]

    @property
    def k_p(self) -> int:
        return int(self.summary["k_p"])


def train_fold(motion: MotionSet, subject: str, config: TrainConfig) -> Fold:
    """Train on every subject but `subject` and run the model over that subject's videos.

    Raises `FoldError` when the fold cannot be trained: no micro-expression among the training subjects, no
    video of the held-out subject to predict, or a loss that is not finite.
    """
    return _train_fold(_Material.of(motion.select(config.features)), str(subject), config)


def class_weights(classes: np.ndarray, neutral_weight: float = 6.0, synergy: int = 2) -> np.ndarray:
    """Weights `(5,)` of the cross-entropy from the training frames' classes (any shape).

    "Balanced": `n_frames / (n_present_classes * frames of the class)`, neutral times `neutral_weight`, or
    times 0 with `synergy=0`.  A class without a training frame weighs 0.
    """
    counts = np.bincount(np.asarray(classes).ravel(), minlength=len(CLASSES))
    weights = np.zeros(len(CLASSES))
    present = counts > 0
    weights[present] = counts.sum() / (present.sum() * counts[present])
    weights[_NEUTRAL] *= 0.0 if synergy == 0 else neutral_weight
    return weights


def draw_windows(scores: np.ndarray, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Indices, in order, of the training windows: all that hold an ME frame, and `ratio` times as many
    without.

    `scores` is `(n_windows, k)`, the target score.  The draw is without replacement and made once per fold;
    where fewer windows without a micro-expression exist, all of them are taken.
    """
    with_me = np.flatnonzero(scores.any(axis=1))
    without = np.flatnonzero(~scores.any(axis=1))
    n_drawn = min(len(without), round(ratio * len(with_me)))
    return np.sort(np.concatenate([with_me, rng.choice(without, n_drawn, replace=False)]))


def scale_factors(config: TrainConfig) -> np.ndarray:
    """The factors a window may be multiplied with, `scale_low .. scale_high` in steps, both ends included."""
    n_steps = round((config.scale_high - config.scale_low) / config.scale_step)
    return config.scale_low + config.scale_step * np.arange(n_steps + 1)


def joint_loss(
    score: Tensor, logits: Tensor, target: Tensor, classes: Tensor, weights: Tensor, config: TrainConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss of a batch and its two parts: `score_weight * MSE + class_weight * weighted cross-entropy`.

    score, target `(B, T)`; logits `(B, T, 5)`; classes `(B, T)` int64; weights `(5,)`.  The cross-entropy
    is the weighted mean over frames; a batch whose frames all weigh nothing has cross-entropy 0.
    """
    score_loss = functional.mse_loss(score, target)
    total = functional.cross_entropy(logits.flatten(0, 1), classes.flatten(), weights, reduction="sum")
    class_loss = total / weights[classes].sum().clamp_min(torch.finfo(weights.dtype).tiny)
    return config.score_weight * score_loss + config.class_weight * class_loss, score_loss, class_loss


def fit(
    model: Network,
    windows: np.ndarray,
    scores: np.ndarray,
    classes: np.ndarray,
    config: TrainConfig,
    seed: int,
) -> pd.DataFrame:
    """Train `model` in place on windows `(N, C, k)` with targets `(N, k)`; return its history by epoch.

    The history has `epoch, loss, score_loss, class_loss, learning_rate` (means over the epoch's windows;
    the rate after its last step).  Each time a window is seen it is scaled by a factor drawn anew.  Raises
    `FoldError` with the epoch in which the loss stops being finite.
    """
    device = torch.device(config.device)
    rng = np.random.default_rng([seed, 1])
    x, target = torch.from_numpy(windows).to(device), torch.from_numpy(scores).to(device)
    truth = torch.from_numpy(classes).to(device)
    weights = (
        torch.from_numpy(class_weights(classes, config.neutral_weight, config.synergy)).float().to(device)
    )
    factors = scale_factors(config).astype(np.float32)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    n_batches = -(-len(x) // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.epochs * n_batches
    )
    forward = torch.compile(model) if config.compile else model
    model.train()
    history = []
    for epoch in range(1, config.epochs + 1):
        order = torch.from_numpy(rng.permutation(len(x))).to(device)
        factor = torch.from_numpy(rng.choice(factors, len(x))).to(device)
        sums = torch.zeros(3, dtype=torch.float64, device=device)
        for batch in order.split(config.batch_size):
            with torch.autocast(device.type, torch.bfloat16, enabled=config.amp):
                score, logits = forward(x[batch] * factor[batch, None, None])
            losses = joint_loss(score.float(), logits.float(), target[batch], truth[batch], weights, config)
            optimiser.zero_grad()
            losses[0].backward()
            optimiser.step()
            rate = schedule.get_last_lr()[0]
            schedule.step()
            sums += len(batch) * torch.stack([loss.detach().double() for loss in losses])
        means = (sums / len(x)).tolist()
        if not np.isfinite(means).all():
            raise FoldError(
                f"the loss is not finite in epoch {epoch}; lower learning_rate or check the motion"
            )
        history.append((epoch, *means, rate))
    model.eval()
    return pd.DataFrame(history, columns=["epoch", "loss", "score_loss", "class_loss", "learning_rate"])


@dataclass(frozen=True)
class _Material:
    """A motion set as workers receive it: one array of all windows, and where each video's lie."""

    windows: np.ndarray
    first: dict[tuple[str, str], int]
    count: dict[tuple[str, str], int]
    n_frames: dict[tuple[str, str], int]
    annotations: pd.DataFrame

    @classmethod
    def of(cls, motion: MotionSet) -> _Material:
        for (subject, video), value in motion.windows.items():
            if not np.isfinite(value).all():
                raise InputError(
                    f"the motion of {subject}/{video} is not finite; extract it again or drop it"
                )
        windows = np.ascontiguousarray(np.concatenate(list(motion.windows.values())), dtype=np.float32)
        count = {key: len(value) for key, value in motion.windows.items()}
        first = dict(zip(count, np.cumsum([0, *count.values()]).tolist()[:-1], strict=True))
        return cls(windows, first, count, {key: motion.n_frames(*key) for key in count}, motion.annotations)

    def rows(self, key: tuple[str, str]) -> slice:
        return slice(self.first[key], self.first[key] + self.count[key])

    def videos(self, protocol: str) -> list[tuple[str, str]]:
        return scored_videos(self.first, self.annotations, protocol)

    def targets(self, key: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
        """Target score and classes of one video's windows, `(n_windows, k)` each."""
        here = (self.annotations["subject"] == key[0]) & (self.annotations["video"] == key[1])
        window = self.windows.shape[2]
        per_frame = frame_targets(self.annotations[here], self.n_frames[key])
        score, classes = (unstitch(values, window)[: self.count[key]] for values in per_frame)
        return score, classes


def scored_videos(
    videos: Iterable[tuple[str, str]], annotations: pd.DataFrame, protocol: str
) -> list[tuple[str, str]]:
    """The videos that take part: all, or under `official` those with a micro-expression."""
    with_me = set(zip(annotations["subject"], annotations["video"], strict=True))
    return [key for key in videos if protocol == "strict" or key in with_me]


def _train_fold(material: _Material, subject: str, config: TrainConfig) -> Fold:
    started = time.perf_counter()
    check_device(config.device)
    videos = material.videos(config.protocol)
    held_out = [key for key in videos if key[0] == subject]
    training = [key for key in videos if key[0] != subject]
    if not held_out:
        raise FoldError("the subject has no video with a micro-expression, and 'official' drops the others")
    k_p = fold_half_length(material.annotations, subject, config.protocol)
    targets = [material.targets(key) for key in training]
    if not any(score.any() for score, _ in targets):
        raise FoldError("no training subject has a micro-expression with a frame between onset and offset")
    seed = fold_seed(config.seed, subject)
    scores, classes = (np.concatenate(part) for part in zip(*targets, strict=True))
    rows = np.concatenate([np.r_[material.rows(key)] for key in training])
    drawn = draw_windows(scores, config.ratio, np.random.default_rng([seed, 0]))
    scores, classes = scores[drawn], classes[drawn]
    with fold_conditions(seed, config.device):
        model = config.build().to(config.device)
        history = fit(model, material.windows[rows[drawn]], scores, classes, config, seed)
        traces = {
            key: predict_video(model, material.windows[material.rows(key)].copy(), material.n_frames[key])
            for key in held_out
        }
    absent = [name for i, name in enumerate(EMOTIONS) if not (classes == i).any()]
    summary = {
        "subject": subject,
        "k_p": k_p,
        "n_videos": len(held_out),
        "windows_with_me": int(scores.any(axis=1).sum()),
        "windows_without_me": int((~scores.any(axis=1)).sum()),
        "absent_classes": " ".join(absent),
        "seconds": time.perf_counter() - started,
    }
    return Fold(subject, model, traces, history, summary)


def fold_half_length(annotations: pd.DataFrame, subject: str, protocol: str) -> int:
    """Half length for a held-out subject: of the others' annotations, under `official` of everybody's."""
    known = annotations if protocol == "official" else annotations[annotations["subject"] != subject]
    if known.empty:
        raise FoldError("no training subject has a micro-expression, so there is no half length")
    return half_length(known)


def fold_seed(seed: int, subject: str) -> int:
    """The fold's own seed: from (seed, subject), whatever other subjects there are and in whatever order."""
    return int(value_hash([seed, subject])[:15], 16)


@contextlib.contextmanager
def fold_conditions(seed: int, device: str) -> Iterator[None]:
    """Seeded random numbers and a single thread, alone in this process; what was before is restored."""
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with _ONE_FOLD_AT_A_TIME, torch.random.fork_rng(devices), one_thread():
        torch.manual_seed(seed)
        yield


def check_device(device: str) -> None:
    """Raise an `InputError` when `device` is a CUDA device and torch sees none."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device is {device!r}, but torch sees no CUDA device; use device='cpu'")


# --- leave one subject out ------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class LosoResult:
    """A finished LOSO run.

    config: what it was run with.
    annotations: the truth that it is scored against.
    predictions: the prediction table over all held-out subjects.
    traces: `(score (T,), probabilities (T, 5))` by (subject, video), each from the fold that held the
        subject out.
    folds: one row per subject: `subject, status, reason, k_p, n_videos, windows_with_me, windows_without_me,
        absent_classes, seconds`; status is done, failed or left out.
    history: `subject, epoch, loss, score_loss, class_loss, learning_rate`.
    evaluation: the scores.  A failed fold's micro-expressions count as missed.
    """

    config: TrainConfig
    annotations: pd.DataFrame
    predictions: pd.DataFrame
    traces: dict[tuple[str, str], Trace]
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

    def bootstrap(self, n: int = 1000, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
        """`metrics.bootstrap` over this run's subjects: `metric, value, low, high`."""
        return bootstrap(self.predictions, self.annotations, self.subjects, n, seed, level)

    def redecoded(
        self, synergy: int | None = None, strategy: str | None = None, p: float | None = None
    ) -> LosoResult:
        """The same networks decoded otherwise.  Synergy 0 is a matter of training: train for it."""
        given: dict[str, Any] = {"synergy": synergy, "strategy": strategy, "p": p}
        config = dataclasses.replace(self.config, **{k: v for k, v in given.items() if v is not None})
        if (config.synergy == 0) != (self.config.synergy == 0):
            raise InputError(
                "synergy 0 trains with other class weights than 1 and 2; run the folds again for it"
            )
        return self._rescored(config, self.traces, self.folds)

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
        self, config: TrainConfig, traces: dict[tuple[str, str], Trace], folds: pd.DataFrame
    ) -> LosoResult:
        moved = dataclasses.replace(self, config=config, traces=traces, folds=folds)
        predictions = decode_traces(traces, moved.k_p, config)
        return dataclasses.replace(
            moved, predictions=predictions, evaluation=evaluate(predictions, self.annotations)
        )


def decode_traces(
    traces: Mapping[tuple[str, str], Trace], k_p: Mapping[str, int], config: TrainConfig
) -> pd.DataFrame:
    """Prediction table of many videos, each with its subject's half length."""
    tables = [
        decode(*trace, k_p[subject], config.synergy, config.strategy, config.p, subject, video)
        for (subject, video), trace in traces.items()
    ]
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else empty_predictions()


def leave_one_subject_out(
    dataset_or_motion: Dataset | MotionSet,
    config: TrainConfig,
    out_dir: str | Path,
    n_jobs: int = 1,
    backend: str = "loky",
) -> LosoResult:
    """Train and test one fold per subject; finished folds in `out_dir` are read, the others trained.

    Of a `Dataset` the motion is extracted first (cached in `out_dir/motion`).  `out_dir/run.json` records the
    configuration and the data; a folder of another run is refused with an `InputError` that names what
    differs.  `out_dir/folds/<subject>/` holds `weights.safetensors`, `predictions.csv`, `traces.npz`,
    `history.csv` and, written last, `fold.json`.  The call may be killed at any moment and repeated.

    `n_jobs` folds are worked on at once by joblib's `backend`: "loky" (processes on this machine), "dask" (an
    existing `distributed.Client`) or "ray" (where installed); the workers must see `out_dir`.  On a CPU the
    result is the same for any `n_jobs` and backend, bit for bit; CUDA kernels need not be.

    A fold that cannot be trained (`FoldError`) is reported in `.folds` with a warning, and tried again by
    the next call.  Under `official` a subject without a micro-expression is left out.
    """
    out_dir = Path(out_dir)
    if n_jobs == 0:
        raise InputError("n_jobs=0 cannot be used; give a number of folds at once, or -1 for all cores")
    check_device(config.device)
    if isinstance(dataset_or_motion, Dataset):
        motion = extract_dataset(
            dataset_or_motion, config.features, cache_dir=out_dir / "motion", n_jobs=n_jobs
        )
    else:
        motion = dataset_or_motion.select(config.features)
    if len(motion.subjects) < 2:
        raise InputError(f"the data hold {len(motion.subjects)} subject(s); leaving one out needs at least 2")
    material = _Material.of(motion)
    run_hash = _open_run(out_dir, config, motion, material)
    taking_part = {subject for subject, _ in material.videos(config.protocol)}
    states = {s: _left_out(s) for s in motion.subjects if s not in taking_part}
    pending = [s for s in motion.subjects if s in taking_part and not _is_done(out_dir, s, run_hash)]
    failures = _work(material, pending, config, out_dir, run_hash, n_jobs, backend)
    for subject, reason in failures.items():
        warnings.warn(f"fold {subject}: {reason}; its micro-expressions count as missed", stacklevel=2)
        states[subject] = {"subject": subject, "status": "failed", "reason": reason}
    return _assemble(out_dir, config, motion, states)


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
    material: _Material,
    subjects: list[str],
    config: TrainConfig,
    out_dir: Path,
    run_hash: str,
    n_jobs: int,
    backend: str,
) -> dict[str, str]:
    """Train the folds of `subjects` and store them; the reasons of those that failed."""
    if not subjects:
        return {}
    if backend == "ray":
        _register_ray()
    tasks = [joblib.delayed(_store_fold)(material, s, config, out_dir, run_hash) for s in subjects]
    # loky: workers that end with this process; dask: the motion travels to every worker once, not with every fold.
    options: dict[str, Any] = {"loky": {"initializer": end_with_parent}, "dask": {"scatter": [material]}}
    with tqdm(total=len(tasks), desc=f"{config.model} folds", unit="fold") as bar:
        try:
            with joblib.parallel_config(backend=backend, n_jobs=n_jobs, **options.get(backend, {})):
                parallel = _ParallelWithBar(bar)
        except (ValueError, KeyError) as error:
            raise InputError(f"backend {backend!r} cannot be used ({error})") from error
        reasons = parallel(tasks)
    return {s: reason for s, reason in zip(subjects, reasons, strict=True) if reason}


class _ParallelWithBar(joblib.Parallel):
    """joblib's Parallel that moves a tqdm bar as folds finish, on every backend."""

    def __init__(self, bar: tqdm) -> None:
        super().__init__(pre_dispatch="all", batch_size=1)
        self._bar = bar

    def print_progress(self) -> None:
        self._bar.update(self.n_completed_tasks - self._bar.n)


def _register_ray() -> None:
    try:
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise InputError("backend 'ray' needs the package ray; install it, or use 'loky'") from error
    register_ray()


# --- the run's folder -----------------------------------------------------------------------------
def _open_run(out_dir: Path, config: TrainConfig, motion: MotionSet, material: _Material) -> str:
    """Claim `out_dir` for this configuration and data, or refuse it; the run's hash."""
    identity = {"config": config.to_dict(), "data": _describe(motion, material)}
    path = out_dir / "run.json"
    if path.is_file():
        known = _read_json(path)
        differences = [
            f"{name} is {known.get(part, {}).get(name)!r} there, {value!r} here"
            for part, values in identity.items()
            for name, value in values.items()
            if known.get(part, {}).get(name) != value
        ]
        if differences:
            raise InputError(f"{out_dir} holds another run: {'; '.join(differences)}; use another out_dir")
    else:
        write_json({**identity, "record": run_record()}, path)
    return value_hash(identity)


def _describe(motion: MotionSet, material: _Material) -> dict[str, Any]:
    return {
        "window": motion.window,
        "subjects": len(motion.subjects),
        "videos": len(motion.windows),
        "micro_expressions": len(motion.annotations),
        "annotations_hash": value_hash(motion.annotations.astype(str).to_numpy().tolist()),
        "motion_hash": _motion_hash(material),
    }


def _motion_hash(material: _Material) -> str:
    places = [[*key, material.count[key], material.n_frames[key]] for key in material.first]
    return hashlib.sha256(value_hash(places).encode() + material.windows.tobytes()).hexdigest()


def _fold_folder(out_dir: Path, subject: str) -> Path:
    return out_dir / "folds" / quote(subject, safe=" ").replace(".", "%2E")


def _is_done(out_dir: Path, subject: str, run_hash: str) -> bool:
    folder = _fold_folder(out_dir, subject)
    if not all((folder / name).is_file() for name in _FOLD_FILES):
        return False
    return _read_json(folder / "fold.json").get("run") == run_hash


def _store_fold(material: _Material, subject: str, config: TrainConfig, out_dir: Path, run_hash: str) -> str:
    """Train one fold and store it, `fold.json` last; the reason where it cannot be trained, else nothing."""
    folder = _fold_folder(out_dir, subject)
    shutil.rmtree(folder, ignore_errors=True)  # what a killed run left unfinished
    try:
        fold = _train_fold(material, subject, config)
    except FoldError as error:
        return str(error)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints.save(fold.model, folder / "weights.safetensors")
    k_p = {subject: fold.k_p}
    write_table(decode_traces(fold.traces, k_p, config), folder / "predictions.csv")
    write_table(fold.history, folder / "history.csv")
    _write_traces(fold.traces, folder / "traces.npz")
    write_json({"run": run_hash, "summary": fold.summary}, folder / "fold.json")
    return ""


def _write_traces(traces: Mapping[tuple[str, str], Trace], path: Path) -> None:
    arrays: dict[str, Any] = {"keys": np.array([list(key) for key in traces], dtype=str)}
    for i, (score, probabilities) in enumerate(traces.values()):
        arrays |= {f"score_{i}": score, f"probabilities_{i}": probabilities}
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def read_traces(path: str | Path) -> dict[tuple[str, str], Trace]:
    """The traces of a stored fold, by (subject, video)."""
    with np.load(path, allow_pickle=False) as stored:
        return {
            (str(subject), str(video)): (stored[f"score_{i}"], stored[f"probabilities_{i}"])
            for i, (subject, video) in enumerate(stored["keys"])
        }


def fold_model(out_dir: str | Path, subject: str) -> Network:
    """The network of a stored fold, the one that has never seen `subject`; `MissingError` where it is not there."""
    return checkpoints.load(_fold_folder(Path(out_dir), subject) / _FOLD_FILES[0])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not the JSON that a run writes ({error}); remove its folder") from error
    return value if isinstance(value, dict) else {}


def _left_out(subject: str) -> dict[str, Any]:
    reason = "no video with a micro-expression, and 'official' drops the others"
    return {"subject": subject, "status": "left out", "reason": reason}


_FOLD_FILES = ("weights.safetensors", "predictions.csv", "history.csv", "traces.npz", "fold.json")
_FOLD_COLUMNS = (
    "subject",
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


def _assemble(
    out_dir: Path, config: TrainConfig, motion: MotionSet, states: dict[str, dict[str, Any]]
) -> LosoResult:
    """The result, read back from the stored folds: the same whether they were trained now or before."""
    rows, histories = [], []
    traces: dict[tuple[str, str], Trace] = {}
    for subject in motion.subjects:
        if subject in states:
            rows.append(states[subject])
            continue
        folder = _fold_folder(out_dir, subject)
        rows.append({"status": "done", "reason": "", **_read_json(folder / "fold.json")["summary"]})
        history = pd.read_csv(folder / "history.csv", float_precision="round_trip")
        histories.append(history.assign(subject=subject))
        traces |= read_traces(folder / "traces.npz")
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
