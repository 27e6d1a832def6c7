"""A run: its folder, and what one notebook leaves there for the next.

runs/<name>/data/               the synthetic set (unless a data set is named)
runs/<name>/motion.npz          ROI motion of every video          written by notebook 01
runs/<name>/loso/<model>/       a folder per protocol or seed      written by notebook 03, `metst seeds`
runs/<name>/ablation/           a folder per trained cell          written by `metst ablate`
runs/<name>/figures/*.png       the pictures, with captions.json
runs/<name>/results/*.json      what each notebook and command found; joined into results.json
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from metst_core.checks import whole_number
from metst_core.datasets import CLASS_SETS, Dataset, load_dataset
from metst_core.errors import InputError, MissingError
from metst_core.experiment.ablation import (
    CELLS,
    Ablation,
    Cell,
    Runner,
    run_ablation,
    shared_decoding,
    training_key,
    window_cells,
)
from metst_core.experiment.claims import (
    CLAIMS,
    UNLIMITED,
    Budget,
    ClaimsTable,
    claims_named,
    run_claims,
    window_claim,
)
from metst_core.experiment.comparisons import over_seeds
from metst_core.experiment.ideas import IDEAS
from metst_core.experiment.profiles import MAIN_JOB, PROFILES, Profile
from metst_core.experiment.results import (
    chance_levels,
    fewer_classes,
    made_anew_by,
    read_results,
    results_dict,
    with_baselines,
)
from metst_core.experiment.strata import recall_tables
from metst_core.extraction import MotionSet, extract_dataset
from metst_core.files import read_sealed, run_record, understood, write_sealed
from metst_core.landmarks import Landmarker, landmarker_named
from metst_core.metrics import Intervals
from metst_core.models import Network
from metst_core.plots import save_figure
from metst_core.synthetic import generate, read_truth
from metst_core.training import (
    PROTOCOLS,
    Fold,
    LosoResult,
    TrainConfig,
    fold_model,
    leave_one_subject_out,
    run_protocols,
    train_fold,
)
from metst_core.workers import cores


@dataclass(eq=False)
class Run:
    """One run's folder, as a notebook sees it.  The arguments are the notebook's parameters, in their order.

    profile_name: a name of `PROFILES`.
    dataset_name, data_root, data_options: the data set, as `load_dataset` takes it; "synthetic" without a root
        is generated into the run.  The option `landmarker` is the run's own: what finds the faces (`mediapipe`,
        the default, or `dlib`).
    seed: of the synthetic data, of training and of every test.
    out: the folder, made when something is written.
    n_jobs: videos, and folds where they train on the CPU, worked on at once (None: as many as this machine has
        cores, up to four); the results do not depend on it.
    """

    profile_name: str
    dataset_name: str
    data_root: Path | None
    seed: int
    out: Path
    data_options: Mapping[str, Any] = field(default_factory=dict)
    n_jobs: int | None = None

    def __post_init__(self) -> None:
        if self.profile_name not in PROFILES:
            raise InputError(f"profile {self.profile_name!r} is none of {', '.join(PROFILES)}")
        self.out = Path(self.out)
        self.data_root = None if self.data_root is None else Path(self.data_root)

    @property
    def profile(self) -> Profile:
        """The size of this run."""
        return PROFILES[self.profile_name]

    @property
    def set_options(self) -> dict[str, Any]:
        """The options of `load_dataset` alone."""
        return {name: value for name, value in self.data_options.items() if name != "landmarker"}

    @property
    def landmarker(self) -> Callable[[], Landmarker]:
        """What makes the landmarker of this run; `InputError` for a name that is none."""
        return landmarker_named(self.data_options.get("landmarker", "mediapipe"))

    @property
    def parameters(self) -> dict[str, Any]:
        """What a notebook is given to work on this run, with absolute paths, whatever its own folder is."""
        return {
            "profile": self.profile_name,
            "dataset": self.dataset_name,
            "data_root": None if self.data_root is None else str(self.data_root.absolute()),
            "seed": self.seed,
            "out_dir": str(self.out.absolute()),
            "data_options": dict(self.data_options),
            "n_jobs": self.n_jobs,
        }

    @classmethod
    def reopened(
        cls, out_dir: str | Path, data_root: str | Path | None = None, n_jobs: int | None = None
    ) -> Run:
        """The finished run in a folder, as its notebook 04 recorded it.

        The record gives the profile, the data set, its options and the seed.
        """
        last = Path(out_dir) / "results" / f"{MAIN_JOB[-1]}.json"
        if not last.is_file():
            raise MissingError(
                f"{last}: not there; name the folder of a finished run, such as runs/default (`metst reproduce` makes it)"
            )
        recorded = read_sealed(last, made_anew_by(last))
        with understood(last, made_anew_by(last)):
            record = recorded["record"]
            return cls(
                recorded["profile"],
                record["dataset"],
                None if data_root is None else Path(data_root),
                whole_number("seed", recorded["seed"], 0),
                Path(out_dir),
                dict(record.get("data_options") or {}),
                n_jobs,
            )

    @property
    def prepared(self) -> bool:
        """Whether this run was unpacked from a prepared one: numbers and one network per method, no faces."""
        return (self.out / "prepared.json").is_file()

    @property
    def has_faces(self) -> bool:
        """Whether the videos are there; a prepared run has none until `dataset` makes them."""
        return not self.prepared or (self.out / "data" / "annotations.csv").is_file()

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
                prior=p.prior,
                n_jobs=self._jobs,
            )
        return load_dataset(self.dataset_name, self.data_root, **self.set_options)

    def truth(self, subject: str, video: str) -> pd.DataFrame | None:
        """True movement of every action unit per frame, from the face at rest; None for data that has no truth.

        In inter-ocular distances.
        """
        if self.dataset_name != "synthetic" or not self.has_faces:
            return None
        stored = read_truth(self.data_root or self.out / "data", subject, video)
        moved = stored["intensity"] - stored.get("rest", 0)
        return pd.DataFrame(moved, columns=[str(u) for u in stored["units"]])

    def extract(self, dataset: Dataset) -> MotionSet:
        """The ROI motion (18 ROIs) of every video, cached under `runs/cache`; kept as `motion.npz` for later notebooks."""
        motion = self._extract(dataset)
        if not self.prepared:  # its networks belong to the motion that came with it
            motion.save(self.out / "motion.npz")
        return motion

    def _extract(self, dataset: Dataset) -> MotionSet:
        return extract_dataset(
            dataset,
            features="metst_plus",
            landmarker_factory=self.landmarker,
            cache_dir=self.out.parent / "cache",
            n_jobs=self._jobs,
        )

    @property
    def _jobs(self) -> int:
        return cores() if self.n_jobs is None else self.n_jobs

    @property
    def _fold_jobs(self) -> int:
        """Folds trained at once: one on a GPU, which they would only share."""
        return self._jobs if self.profile.device == "cpu" else 1

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
        return TrainConfig(model=model, **{"seed": self.seed, **self.profile.train, **changes})

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

    def one_fold(self, model: str, subject: str) -> Fold:
        """The fold that holds `subject` out: the prepared run's where it has its network, else trained now.

        Trained now, its history also has the held-out loss (`train_fold`).
        """
        if self.prepared:
            result = self.train(model)["strict"]
            with contextlib.suppress(MissingError):
                network = fold_model(self.out / "loso" / model / "strict", subject)
                row = result.folds.set_index("subject", drop=False).loc[subject]
                persons = result.folds.loc[result.folds["fold"] == row["fold"], "subject"].tolist()
                traces = {key: trace for key, trace in result.traces.items() if key[0] in persons}
                history = result.history[result.history["subject"] == row["fold"]].drop(columns="subject")
                return Fold(row["fold"], network, traces, history, {**row, "held_out": persons})
        return train_fold(self.motion(), subject, self.config(model), watch=True)

    def _results(self) -> dict[str, Any]:
        return read_results(self.out)

    def over_seeds(self, model: str, n_seeds: int | None = None) -> pd.DataFrame:
        """Spread of `model`'s strict scores over training seeds (`metrics.seed_spread`).

        The seeds are the run's own and those that follow it, as many as the profile says (or `n_seeds`).  Folds that
        are finished are read back.
        """
        if self.prepared:
            return pd.DataFrame(self._results()["seeds"].get(model, []))
        folders = self._seed_folders(model, self.profile.n_seeds if n_seeds is None else n_seeds)
        return over_seeds(self.motion(), self.config(model), folders, self._fold_jobs)[1]

    def trained_over_seeds(self, *models: str) -> dict[str, pd.DataFrame]:
        """What `over_seeds` left of the profile's seeds, by the model's name; of the profile's `seeded` models.

        Nothing where the profile has one seed.  A `MissingError` says which notebook to run when it is not there.
        """
        if self.prepared:
            asked, known = models or self.profile.seeded, self._results()["seeds"]
            return {name: pd.DataFrame(known[name]) for name in asked if name in known}
        found = {}
        for model in models or self.profile.seeded:
            folders = self._seed_folders(model, self.profile.n_seeds)
            if len(folders) == 1:
                return {}
            for folder in folders.values():
                self.need(str(folder.relative_to(self.out)), "03_synergy_training")
            found[model] = self.over_seeds(model)
        return found

    def _seeded(self, model: str, protocols: Sequence[str]) -> dict[str, list[LosoResult]]:
        """The runs of `trained_over_seeds` by protocol; of networks trained under `official` there is one seed."""
        folders = self._seed_folders(model, self.profile.n_seeds)
        strict = list(over_seeds(self.motion(), self.config(model), folders, self._fold_jobs)[0].values())
        named = ("strict",) if self.profile.train_official else protocols
        return {protocol: [run.under(protocol) for run in strict] for protocol in named if len(strict) > 1}

    def _seed_folders(self, model: str, n_seeds: int) -> dict[int, Path]:
        if n_seeds < 1:
            raise InputError(f"n_seeds is {n_seeds}; give 1 or more")
        names = ["strict", *(f"seed-{self.seed + i}" for i in range(1, n_seeds))]
        return {self.seed + i: self.out / "loso" / model / name for i, name in enumerate(names)}

    def ablate(self, windows: Sequence[int] = (), cells: Sequence[Cell] = CELLS) -> Ablation:
        """The ablation grid around this run's ME-TST+, strict protocol.

        `windows` are further window lengths, for which the motion is extracted anew (it counts from each window's
        first frame).
        """
        sets = self._sets(windows)
        motion = next(iter(sets.values()))
        folder = self.out / "loso" / "metst_plus" / "strict"
        base = leave_one_subject_out(motion, self.config("metst_plus"), folder, self._fold_jobs)
        cells = (*cells, *(window_cells(sorted(sets)) if len(sets) > 1 else ()))
        return run_ablation(sets, base, self.out / "ablation", cells, self._fold_jobs, self.intervals)

    def claims(
        self, only: Sequence[str] = (), budget: Budget = UNLIMITED, windows: Sequence[int] = ()
    ) -> ClaimsTable:
        """The papers' claims around this run's configuration (`run_claims`), in `claims_folder`.

        `only`: their names, or those of `IDEAS`; "ideas" stands for all of these.  Networks that this run has trained
        already are not trained again.
        """
        if list(only) == ["ideas"]:
            chosen = list(IDEAS)
        else:
            chosen = claims_named(only, (*CLAIMS, *IDEAS) if only else CLAIMS)
        sets = self._sets(windows)
        base = self.config("metst_plus")
        if windows:
            chosen.append(window_claim(list(sets), next(iter(sets)), base.epochs))
        runner = Runner(
            sets,
            self.out / "claims" / "networks",
            self._fold_jobs,
            folders=self._trained_folders(next(iter(sets))),
        )
        return run_claims(runner, base, self.claims_folder(only), chosen, budget, self.intervals)

    def _trained_folders(self, window: int) -> dict[str, Path]:
        """Where this run's own networks lie, by `training_key`; without those that are decoded in their own way."""
        found = {}
        for model in self.profile.models:
            for seed, folder in self._seed_folders(model, self.profile.n_seeds).items():
                config = self.config(model, seed=seed)
                if (folder / "run.json").is_file() and config == shared_decoding(config):
                    found[training_key(config, window)] = folder
        return found

    def claims_folder(self, only: Sequence[str] = ()) -> Path:
        """Where `claims` keeps its tables: all claims, all ideas of related papers, or those that were named."""
        if list(only) == ["ideas"]:
            return self.out / "claims" / "ideas"
        return self.out / "claims" / ("named" if only else "")

    def _sets(self, windows: Sequence[int]) -> dict[int, MotionSet]:
        """The run's motion by window length, its own first, that of `windows` extracted anew where it is not there."""
        motion = self.motion()
        sets = {motion.window: motion}
        for window in windows:
            if window not in sets:
                sets[window] = self._extract(dataclasses.replace(self.dataset(), window=window))
        return sets

    @property
    def intervals(self) -> Intervals:
        """How this run draws the intervals of its scores."""
        return Intervals(self.profile.bootstrap, self.seed)

    def compare(
        self,
        motion: MotionSet,
        results: Mapping[str, Mapping[str, LosoResult]],
        pairs: Sequence[tuple[str, str]] = (),
        seeds: Mapping[str, pd.DataFrame] | None = None,
    ) -> dict[str, Any]:
        """Every method and baseline under both protocols, as `SCHEMA` says; nothing is trained.

        `results` are trained methods by name, then by protocol (`trained`), `metst_plus` among them; `pairs` names
        the methods to compare and `seeds` holds spreads by method (`trained_over_seeds`).  `chance` goes by
        protocol; `without_others` has the intervals again on three classes, where the set is also reported so
        (SAMM-LV).  Intervals are 95% intervals over subjects, and over training seeds for the methods of `seeds` (for
        chance, over subjects and draws).
        """
        if self.prepared:  # its seeds' networks stayed behind, what they found did not
            known = self._results()
            return {name: known[name] for name in _COMPARED}
        methods = with_baselines(motion, results)
        runs = {model: self._seeded(model, list(results[model])) for model in seeds or {} if model in results}
        fewer: dict[str, Any] = {}
        for classes in CLASS_SETS.get(self.dataset_name, ())[1:]:
            fewer = fewer_classes(methods, self.intervals, classes)
        found = results_dict(methods, pairs, seeds, self.intervals, runs=runs)
        recall = {
            name: {
                protocol: recall_tables(result, motion, self.intervals).to_dict("records")
                for protocol, result in by.items()
            }
            for name, by in methods.items()
        }
        chance = chance_levels(motion, results["metst_plus"], self.seed)
        return {**found, "recall": recall, "chance": chance, "without_others": fewer}

    def figure(self, figure: Figure, name: str, caption: str) -> Figure:
        """Keep `figure` as `figures/<name>.png` with its caption; returns it, so that the notebook shows it.

        A figure of pyplot's is taken from it, else the notebook would show it once more by itself.
        """
        save_figure(figure, self.out / "figures" / f"{name}.png", dpi=110)
        captions = self.out / "figures" / "captions.json"
        try:
            known = read_sealed(captions, "") if captions.is_file() else {}
        except InputError as error:  # every notebook that is run again writes its own anew
            warnings.warn(
                f"{error}pictures of other notebooks are shown without their captions", stacklevel=2
            )
            known = {}
        write_sealed({**known, name: caption}, captions)
        from matplotlib import pyplot

        pyplot.close(figure)
        return figure

    def record(self, notebook: str, **found: Any) -> None:
        """Keep what `notebook` found; the report joins the parts in the notebooks' order."""
        record = run_record(
            profile=self.profile_name,
            dataset=self.dataset_name,
            data_options=dict(self.data_options),
            seed=self.seed,
            train=dict(self.profile.train),
        )
        write_sealed(
            {"profile": self.profile_name, "seed": self.seed, "record": record, **found},
            self.out / "results" / f"{notebook}.json",
        )


_COMPARED = (
    "schema", "methods", "comparisons", "seeds", "ablation", "bootstrap", "recall", "chance", "without_others",
)  # fmt: skip
"""What `Run.compare` finds, of the entries of `SCHEMA`."""


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
