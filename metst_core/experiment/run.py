"""A run: its profile, its folder, and what one notebook leaves there for the next.

runs/<name>/data/               the synthetic set (unless a data set is named)
runs/<name>/motion.npz          ROI motion of every video          written by notebook 01
runs/<name>/loso/<model>/       a folder per protocol or seed      written by notebook 03, `metst seeds`
runs/<name>/ablation/           a folder per trained cell          written by `metst ablate`
runs/<name>/figures/*.png       the pictures, with captions.json
runs/<name>/results/*.json      what each notebook and command found; joined into results.json
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from metst_core.datasets import CLASS_SETS, Dataset, load_dataset
from metst_core.errors import InputError, MissingError
from metst_core.experiment.baselines import chance_scores, motion_spotter
from metst_core.experiment.comparisons import (
    CELLS,
    Ablation,
    Intervals,
    Scored,
    over_seeds,
    results_dict,
    run_ablation,
    window_cells,
)
from metst_core.extraction import MotionSet, extract_dataset
from metst_core.files import atomic_path, run_record, write_json
from metst_core.landmarks import landmarker_named
from metst_core.models import Network
from metst_core.synthetic import generate, read_truth
from metst_core.training import (
    PROTOCOLS,
    LosoResult,
    TrainConfig,
    fold_model,
    leave_one_subject_out,
    run_protocols,
)
from metst_core.workers import cores

MAIN_JOB = ("01_roi_extraction", "02_state_transition_regression", "03_synergy_training", "04_evaluation")
BEYOND = ("05_roi_relationships", "06_your_own_video")


@dataclass(frozen=True)
class Profile:
    """The size of a run.

    `n_subjects`, `n_videos` (per subject), `seconds` and `tier` describe the synthetic set; `train` holds the
    `TrainConfig` fields that differ from the published ones, `models` the networks to compare; `n_seeds` counts the
    training seeds of ME-TST+; `train_official` trains the networks anew for the official protocol; `bootstrap` counts the resamples of an interval;
    `notebooks` are executed in this order,
    and a cell that says nothing for `cell_timeout` seconds is given up (a lost kernel must not wait for ever).
    """

    n_subjects: int
    n_videos: int
    seconds: float
    tier: str = "default"
    train: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ("metst_plus", "metst", "sliding_window")
    n_seeds: int = 3
    train_official: bool = False
    bootstrap: int = 1000
    notebooks: tuple[str, ...] = MAIN_JOB + BEYOND
    cell_timeout: int = 6 * 3600

    @property
    def device(self) -> str:
        """Where its networks train: the `TrainConfig` default unless `train` names another."""
        return self.train.get("device", TrainConfig.device)


_SMALL = {"batch_size": 32, "ratio": 1.5, "d_state": 16}
PROFILES = {
    "smoke": Profile(
        3, 2, 8.0, n_seeds=2, bootstrap=200, notebooks=MAIN_JOB, cell_timeout=900,
        train={**_SMALL, "epochs": 4, "width": 16, "d_state": 8, "blocks_per_stage": 1, "depth": 2, "learning_rate": 3e-3},
    ),
    "default": Profile(
        8, 4, 15.0,
        train={**_SMALL, "epochs": 20, "width": 32, "blocks_per_stage": 1, "depth": 4, "learning_rate": 2e-3},
    ),
    "full": Profile(24, 6, 40.0, train={"device": "cuda"}, train_official=True),
}  # fmt: skip
"""The sizes of a run: `smoke` shows that everything works, `default` learns something on a laptop, `full` is the published
network and schedule and wants a GPU."""


class Run:
    """One run's folder, as a notebook sees it.  The arguments are the notebook's parameters.

    `data_options` go to `load_dataset`, but for `landmarker`, which names what finds the faces (`mediapipe`, the
    default, or `dlib`).  `n_jobs` videos, and folds where they train on the CPU, are worked on at
    once (None: as many as this machine has cores, up to four); the results do not depend on it.
    """

    def __init__(
        self,
        profile: str,
        dataset: str,
        data_root: str | Path | None,
        seed: int,
        out_dir: str | Path,
        data_options: Mapping[str, Any] | None = None,
        n_jobs: int | None = None,
    ):
        if profile not in PROFILES:
            raise InputError(f"profile {profile!r} is none of {', '.join(PROFILES)}")
        self.profile_name, self.profile, self.dataset_name = profile, PROFILES[profile], dataset
        self.seed, self.out = seed, Path(out_dir)
        self.data_root = Path(data_root) if data_root is not None else None
        self.data_options = dict(data_options or {})
        self.landmarker = landmarker_named(self.data_options.get("landmarker", "mediapipe"))
        self.n_jobs = cores() if n_jobs is None else n_jobs
        self.out.mkdir(parents=True, exist_ok=True)

    @classmethod
    def reopened(
        cls, out_dir: str | Path, data_root: str | Path | None = None, n_jobs: int | None = None
    ) -> Run:
        """The finished run in a folder, with the profile, data set, its options and seed that its notebook 04
        recorded."""
        last = Path(out_dir) / "results" / f"{MAIN_JOB[-1]}.json"
        if not last.is_file():
            raise MissingError(
                f"{last}: not there; name the folder of a finished run, such as runs/default (`metst reproduce` makes it)"
            )
        recorded = json.loads(last.read_text(encoding="utf-8"))
        record = recorded["record"]
        return cls(
            recorded["profile"],
            record["dataset"],
            data_root,
            recorded["seed"],
            out_dir,
            record.get("data_options"),
            n_jobs,
        )

    def dataset(self) -> Dataset:
        """The run's data set; the synthetic one is generated on first use (and finished, if that was interrupted)."""
        if self.dataset_name == "synthetic" and self.data_root is None:
            p = self.profile
            return generate(
                self.out / "data",
                p.n_subjects,
                p.n_videos,
                p.seconds,
                seed=self.seed,
                tier=p.tier,
                n_jobs=self.n_jobs,
            )
        options = {name: value for name, value in self.data_options.items() if name != "landmarker"}
        return load_dataset(self.dataset_name, self.data_root, **options)

    def truth(self, subject: str, video: str) -> pd.DataFrame | None:
        """True intensity of every action unit per frame (inter-ocular distances); None for data that has no truth."""
        if self.dataset_name != "synthetic":
            return None
        stored = read_truth(self.data_root or self.out / "data", subject, video)
        return pd.DataFrame(stored["intensity"], columns=[str(u) for u in stored["units"]])

    def extract(self, dataset: Dataset) -> MotionSet:
        """The ROI motion (18 ROIs) of every video, cached under `runs/cache`; kept as `motion.npz` for later notebooks."""
        motion = self._extract(dataset)
        motion.save(self.out / "motion.npz")
        return motion

    def _extract(self, dataset: Dataset) -> MotionSet:
        return extract_dataset(
            dataset,
            features="metst_plus",
            landmarker_factory=self.landmarker,
            cache_dir=self.out.parent / "cache",
            n_jobs=self.n_jobs,
        )

    @property
    def _fold_jobs(self) -> int:
        """Folds trained at once: one on a GPU, which they would only share."""
        return self.n_jobs if self.profile.device == "cpu" else 1

    def motion(self) -> MotionSet:
        """What `extract` left; a `MissingError` that says which notebook to run when it is not there."""
        return MotionSet.load(self.need("motion.npz", "01_roi_extraction"))

    def need(self, name: str, notebook: str) -> Path:
        """The path of something an earlier notebook wrote into this run, or a `MissingError` that names the notebook."""
        path = self.out / name
        if not path.exists():
            raise MissingError(
                f"{path}: not there yet; run notebook {notebook} with out_dir={str(self.out)!r} first"
            )
        return path

    def config(self, model: str, **changes: Any) -> TrainConfig:
        """The training configuration of this profile for `model`."""
        return TrainConfig(model=model, seed=self.seed, **{**self.profile.train, **changes})

    def train(self, model: str) -> dict[str, LosoResult]:
        """Every fold of `model`, scored under both protocols; folds that are finished are read back.

        Unless the profile says `train_official`, the official protocol is applied to the networks of the strict one:
        half length over all subjects, videos without a micro-expression left out of the evaluation.
        """
        folder, n_jobs = self.out / "loso" / model, self._fold_jobs
        if self.profile.train_official:
            return run_protocols(self.motion(), self.config(model), folder, n_jobs)
        strict = leave_one_subject_out(self.motion(), self.config(model), folder / "strict", n_jobs)
        return {protocol: strict.under(protocol) for protocol in PROTOCOLS}

    def trained(self, model: str) -> dict[str, LosoResult]:
        """What `train` left; a `MissingError` that says which notebook to run when it is not there."""
        self.need(f"loso/{model}", "03_synergy_training")
        return self.train(model)

    def fold_model(self, model: str, subject: str) -> Network:
        """The trained network that has never seen `subject` (strict protocol)."""
        folder = self.need(f"loso/{model}/strict", "03_synergy_training")
        return fold_model(folder, subject)

    def over_seeds(self, model: str, n_seeds: int | None = None) -> pd.DataFrame:
        """Spread of `model`'s strict scores over training seeds (`metrics.seed_spread`): the run's own and those
        that follow it, as many as the profile says; folds that are finished are read back.
        """
        n = self.profile.n_seeds if n_seeds is None else n_seeds
        if n < 1:
            raise InputError(f"n_seeds is {n}; give 1 or more")
        folder = self.out / "loso" / model
        folders = {self.seed + i: folder / (f"seed-{self.seed + i}" if i else "strict") for i in range(n)}
        return over_seeds(self.motion(), self.config(model), folders, self._fold_jobs)[1]

    def ablate(self, windows: Sequence[int] = ()) -> Ablation:
        """The ablation grid around this run's ME-TST+, strict protocol; `windows` are further window lengths, for
        which the motion is extracted anew (it counts from each window's first frame).
        """
        motion = self.motion()
        sets = {motion.window: motion}
        for window in windows:
            if window not in sets:
                sets[window] = self._extract(dataclasses.replace(self.dataset(), window=window))
        return run_ablation(
            sets,
            self.config("metst_plus"),
            self.out / "ablation",
            (*CELLS, *(window_cells(sorted(sets)) if len(sets) > 1 else ())),
            self._fold_jobs,
            intervals=Intervals(self.profile.bootstrap, self.seed),
            base_dir=self.out / "loso" / "metst_plus" / "strict",
        )

    def compare(
        self,
        motion: MotionSet,
        results: Mapping[str, Mapping[str, LosoResult]],
        pairs: Sequence[tuple[str, str]] = (),
    ) -> dict[str, Any]:
        """Every method and baseline under both protocols, as `experiments.SCHEMA` says, `chance` by protocol, and
        `without_others`: the intervals again on three classes, where the set is also reported so (SAMM-LV).

        Intervals are 95% bootstrap intervals over subjects (for chance, over subjects and draws).  The seeds are
        those of ME-TST+, trained here where they are not yet.
        """
        methods: dict[str, dict[str, Scored]] = {name: dict(both) for name, both in results.items()}
        methods["motion_threshold"], chance = {}, {}
        for protocol in PROTOCOLS:
            main = results["metst_plus"][protocol]
            methods["motion_threshold"][protocol] = motion_spotter(motion, protocol, main.config.p)
            keys = zip(motion.videos["subject"], motion.videos["video"], strict=True)
            videos = motion.videos[[key in main.traces for key in keys]]
            scores = chance_scores(
                main.predictions, main.annotations, videos, main.k_p, main.subjects, seed=self.seed
            )
            chance[protocol] = scores.set_index("metric").to_dict("index")
        intervals = Intervals(self.profile.bootstrap, self.seed)
        seeds = {"metst_plus": self.over_seeds("metst_plus")} if self.profile.n_seeds > 1 else {}
        without_others: dict[str, Any] = {}
        for classes in CLASS_SETS.get(self.dataset_name, ())[1:]:
            scored = results_dict(methods, intervals=intervals, classes=classes)["methods"]
            without_others = {
                name: {protocol: method["intervals"] for protocol, method in by.items()}
                for name, by in scored.items()
            }
        found = results_dict(methods, pairs, seeds, intervals=intervals)
        return {**found, "chance": chance, "without_others": without_others}

    def figure(self, figure: Figure, name: str, caption: str) -> Figure:
        """Keep `figure` as `figures/<name>.png` with its caption; returns it, so that the notebook shows it."""
        with atomic_path(self.out / "figures" / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=110)
        captions = self.out / "figures" / "captions.json"
        known = json.loads(captions.read_text(encoding="utf-8")) if captions.is_file() else {}
        write_json({**known, name: caption}, captions)
        return figure

    def record(self, notebook: str, **found: Any) -> None:
        """Keep what `notebook` found; the report joins the parts in the notebooks' order."""
        record = run_record(
            profile=self.profile_name,
            dataset=self.dataset_name,
            data_options=self.data_options,
            seed=self.seed,
            train=dict(self.profile.train),
        )
        write_json(
            {"profile": self.profile_name, "seed": self.seed, "record": record, **found},
            self.out / "results" / f"{notebook}.json",
        )


def describe(dataset: Dataset) -> dict[str, Any]:
    """Counts of a data set: subjects, videos, micro-expressions (all and per emotion), minutes."""
    seconds = dataset.videos["n_frames"] / dataset.videos["fps"]
    return {
        "dataset": dataset.name,
        "subjects": int(dataset.videos["subject"].nunique()),
        "videos": len(dataset.videos),
        "micro_expressions": len(dataset.annotations),
        "per_emotion": dataset.annotations["emotion"].value_counts().to_dict(),
        "minutes": float(seconds.sum() / 60),
        "fps": dataset.frame_rate,
    }


def videos_of(table: pd.DataFrame, subject: str, video: str) -> pd.DataFrame:
    """The rows of one video."""
    return table[(table["subject"] == subject) & (table["video"] == video)]
