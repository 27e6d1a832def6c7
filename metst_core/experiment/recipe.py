"""The recipe of the bundled weights: `python -m metst_core.experiment.recipe --out metst_core/assets --card data/model_card.md`.

1. SynthME videos of many synthetic persons, and their ROI motion.
2. Groups of persons are held out in turn; what the networks say about persons they have not seen sets the
threshold
   and the calibration of the confidence, and gives the numbers of the model card.
3. One network is trained on all persons; it is stored as safetensors with its constants as JSON beside it.

Every step is kept in the work folder, so a run that was stopped goes on where it was.  The result depends on
the recipe alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metst_core.decoding import half_length
from metst_core.errors import InputError
from metst_core.extraction import MotionSet, extract_dataset
from metst_core.files import atomic_path, run_record
from metst_core.inference import Calibration, TrainedModel, decode_trace, save_model, training_windows
from metst_core.metrics import bootstrap, evaluate, interval_text, match_intervals
from metst_core.models import Network
from metst_core.synthetic import generate
from metst_core.tables import empty_predictions
from metst_core.training import Trace, TrainConfig, draw_windows, fit, fold_conditions, leave_one_subject_out

_LOWEST_CANDIDATE = 0.05  # peaks of the smoothed score below this are not even used for calibration
_THRESHOLDS = np.round(np.arange(0.10, 0.91, 0.02), 2)
_ENDS = ["onset", "offset"]
_SCORES = (
    "spotting_f1",
    "spotting_precision",
    "spotting_recall",
    "recognition_f1",
    "strs",
)  # the card's columns
_BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Recipe:
    """What the bundled weights are made from.

    `n_subjects`, `n_videos` (per subject), `seconds`, `tier` and `seed` describe the synthetic set;
    `n_groups` of subjects are held out in turn; `train` is the configuration of every training.
    """

    n_subjects: int = 8
    n_videos: int = 4
    seconds: float = 15.0
    tier: str = "default"
    seed: int = 100
    n_groups: int = 4
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            model="metst_plus",
            width=32,
            d_state=16,
            blocks_per_stage=1,
            epochs=30,
            batch_size=32,
            learning_rate=2e-3,
        )
    )


def build(recipe: Recipe, work_dir: str | Path, n_jobs: int = 1) -> TrainedModel:
    """Run the recipe; everything between the steps is kept in `work_dir`."""
    work = Path(work_dir)
    dataset = generate(
        work / "data", recipe.n_subjects, recipe.n_videos, recipe.seconds,
        seed=recipe.seed, tier=recipe.tier, n_jobs=n_jobs,
    )  # fmt: skip
    motion = extract_dataset(dataset, recipe.train.features, cache_dir=work / "motion", n_jobs=n_jobs)
    return build_from(motion, recipe, work, n_jobs)


def build_from(motion: MotionSet, recipe: Recipe, work_dir: str | Path, n_jobs: int = 1) -> TrainedModel:
    """The recipe from its second step on, on any motion set; the trained folds are kept in `work_dir`."""
    work = Path(work_dir)
    groups = {subject: f"group{i % recipe.n_groups}" for i, subject in enumerate(motion.subjects)}
    held_out = leave_one_subject_out(_grouped(motion, groups), recipe.train, work / "held_out", n_jobs)
    draft = TrainedModel(
        network=recipe.train.build(),
        features=recipe.train.features,
        window=motion.window,
        fps=motion.fps,
        k_p=half_length(motion.annotations),
        p=recipe.train.p,
        synergy=recipe.train.synergy,
        strategy=recipe.train.strategy,
        name="bundled (synthetic faces)",
    )
    calibrated = calibrate(draft, held_out.traces, held_out.annotations)
    network = train_on_all(motion, recipe.train)
    return replace(
        calibrated,
        network=network,
        card=_card(recipe, motion, calibrated, held_out.traces, held_out.annotations),
    )


def train_on_all(motion: MotionSet, config: TrainConfig) -> Network:
    """One network, trained on every subject of a motion set."""
    windows, scores, classes = training_windows(motion)
    drawn = draw_windows(scores, config.ratio, np.random.default_rng([config.seed, 0]))
    with fold_conditions(config.seed, config.device):
        network = config.build().to(config.device)
        fit(network, windows[drawn], scores[drawn], classes[drawn], config, config.seed)
    return network


def calibrate(
    draft: TrainedModel, traces: dict[tuple[str, str], Trace], annotations: pd.DataFrame
) -> TrainedModel:
    """`draft` with a threshold and a calibration from what networks said about subjects that they had not
    seen.

    `traces`: by (group, video), score and probabilities from the network that held the group out;
    `annotations`: the truth under the same names.  The threshold is the one with the best spotting F1 over
    all groups.
    """
    threshold = _best_threshold(_counts(draft, traces, annotations).values())
    candidates = _candidates(draft, traces, annotations)
    evidence = _reliability(candidates, _said_unseen(draft, traces, annotations))
    calibration = Calibration.fit(candidates["score"], candidates["hit"], evidence)
    return replace(draft, threshold=threshold, calibration=calibration)


def _without(model: TrainedModel, annotations: pd.DataFrame, group: str) -> TrainedModel:
    """`model` as someone would have it who does not know how long the movements of a group are."""
    return replace(model, k_p=half_length(annotations[annotations["subject"] != group]))


def _grouped(motion: MotionSet, groups: dict[str, str]) -> MotionSet:
    """The same videos with groups of subjects in the place of subjects."""

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(
            video=table["subject"] + "_" + table["video"], subject=table["subject"].map(groups)
        )

    def by_group(parts: dict[tuple[str, str], np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
        return {(groups[subject], f"{subject}_{video}"): part for (subject, video), part in parts.items()}

    return replace(
        motion,
        windows=by_group(motion.windows),
        head=by_group(motion.head),
        shift=by_group(motion.shift),
        annotations=renamed(motion.annotations),
        videos=renamed(motion.videos),
    )


def _decoded(model: TrainedModel, traces: dict[tuple[str, str], Trace]) -> pd.DataFrame:
    return _joined([decode_trace(model, *trace, *key) for key, trace in traces.items()])


def _joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else empty_predictions()


def _counts(
    model: TrainedModel, traces: dict[tuple[str, str], Trace], annotations: pd.DataFrame
) -> dict[str, np.ndarray]:
    """Group -> true positives, false positives, misses at every one of `_THRESHOLDS`, (n_thresholds, 3)."""
    lowest = replace(model, threshold=float(_THRESHOLDS[0]))
    counts = {group: np.zeros((len(_THRESHOLDS), 3), int) for group, _ in traces}
    for (group, video), trace in traces.items():
        found = decode_trace(lowest, *trace, group, video)
        truth = _intervals(annotations, group, video)
        for number, threshold in enumerate(_THRESHOLDS):
            # A higher threshold only takes intervals away: a peak is never hidden by a lower one.
            kept = found.loc[found["score"] >= threshold, _ENDS].to_numpy()
            hits = int((match_intervals(kept, truth) >= 0).sum())
            counts[group][number] += (hits, len(kept) - hits, len(truth) - hits)
    return counts


def _best_threshold(counts: Iterable[np.ndarray]) -> float:
    """The threshold with the best spotting F1 over some groups' counts; of equally good ones the middle one."""
    hits, false, missed = np.sum(list(counts), axis=0).T
    f1 = 2 * hits / np.maximum(2 * hits + false + missed, 1)
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(_THRESHOLDS[best[len(best) // 2]])


def _candidates(
    model: TrainedModel, traces: dict[tuple[str, str], Trace], annotations: pd.DataFrame
) -> pd.DataFrame:
    """Every peak worth a look: group, smoothed score at the apex, whether it hits a true interval (IoU 0.5)."""
    parts = [pd.DataFrame({"group": [], "score": [], "hit": []})]
    for (group, video), trace in traces.items():
        found = decode_trace(replace(model, threshold=_LOWEST_CANDIDATE), *trace, group, video)
        hit = match_intervals(found[_ENDS].to_numpy(), _intervals(annotations, group, video)) >= 0
        parts.append(pd.DataFrame({"group": group, "score": found["score"], "hit": hit}))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def _intervals(annotations: pd.DataFrame, group: str, video: str) -> np.ndarray:
    mine = (annotations["subject"] == group) & (annotations["video"] == video)
    return annotations.loc[mine, _ENDS].to_numpy()


def _said_unseen(
    draft: TrainedModel, traces: dict[tuple[str, str], Trace], annotations: pd.DataFrame
) -> pd.DataFrame:
    """The candidates of every group with the `confidence` of a calibration (and half length) that the other
    groups gave; without the groups whose others are all true or all false."""
    parts = [pd.DataFrame({"hit": [], "confidence": []})]
    for group in dict.fromkeys(group for group, _ in traces):
        candidates = _candidates(_without(draft, annotations, group), traces, annotations)
        mine, others = (candidates[(candidates["group"] == group) == own] for own in (True, False))
        if len(mine) and 0 < others["hit"].sum() < len(others):
            calibration = Calibration.fit(others["score"], others["hit"])
            parts.append(mine.assign(confidence=calibration(mine["score"])))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _reliability(candidates: pd.DataFrame, known: pd.DataFrame) -> dict[str, Any]:
    """On how much the calibration rests, and how well confidence held where it was said of unseen groups."""
    bins, gaps = [], 0.0
    for low, high in itertools.pairwise(_BINS):
        rows = known[(known["confidence"] >= low) & ((known["confidence"] < high) | (high == 1))]
        if len(rows):
            said, seen = float(rows["confidence"].mean()), float(rows["hit"].mean())
            bins.append({"from": low, "to": high, "said": said, "seen": seen, "n": len(rows)})
            gaps += abs(said - seen) * len(rows)
    return {
        "n_intervals": len(candidates),
        "n_true": int(candidates["hit"].sum()),
        "n_groups": candidates["group"].nunique(),
        "bins": bins,
        "expected_calibration_error": gaps / max(len(known), 1),
        "brier": float(((known["confidence"] - known["hit"]) ** 2).mean()) if len(known) else None,
    }


def _card(
    recipe: Recipe,
    motion: MotionSet,
    model: TrainedModel,
    traces: dict[tuple[str, str], Trace],
    annotations: pd.DataFrame,
) -> dict[str, Any]:
    """The numbers of the model card."""
    nested: list[pd.DataFrame] = []
    papers: list[pd.DataFrame] = []
    for group in dict.fromkeys(group for group, _ in traces):
        unknowing = _without(model, annotations, group)
        counts = _counts(unknowing, traces, annotations)
        threshold = _best_threshold(part for other, part in counts.items() if other != group)
        mine = {key: trace for key, trace in traces.items() if key[0] == group}
        nested.append(_decoded(replace(unknowing, threshold=threshold), mine))
        papers.append(_decoded(replace(unknowing, threshold=None), mine))
    rules = {"own threshold, chosen on the other groups": nested, "papers' threshold, p = 0.55": papers}
    return {
        "recipe": dataclasses.asdict(recipe),
        "record": run_record(),
        "subjects": len(motion.subjects),
        "videos": len(motion.windows),
        "minutes": float(motion.videos["n_frames"].sum() / motion.fps / 60),
        "micro_expressions": len(motion.annotations),
        "held_out": {name: _measures(_joined(tables), motion) for name, tables in rules.items()},
    }


def _measures(predictions: pd.DataFrame, motion: MotionSet) -> dict[str, Any]:
    """Scores, and under `intervals` their 95% bootstrap intervals over persons; `predictions` go by groups."""
    persons = {f"{subject}_{video}": subject for subject, video in motion.windows}
    annotations = motion.annotations.assign(
        video=motion.annotations["subject"] + "_" + motion.annotations["video"]
    )
    predictions = predictions.assign(subject=predictions["video"].map(persons))
    result = evaluate(predictions, annotations)
    spread = bootstrap(predictions, annotations, motion.subjects).set_index("metric")
    intervals = {name: [float(spread.at[name, "low"]), float(spread.at[name, "high"])] for name in _SCORES}
    counted = {name: getattr(result, name) for name in (*_SCORES, "tp", "fp", "fn")}
    return {**counted, "intervals": intervals}


_BEGIN, _END = "<!-- numbers: written by metst_core.experiment.recipe -->", "<!-- end of numbers -->"


def write_card(card: Mapping[str, Any], evidence: Mapping[str, Any], path: str | Path) -> Path:
    """Put the numbers of freshly trained weights between the two marks of the model card, a Markdown file."""
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    if _BEGIN not in text or _END not in text:
        raise InputError(f"{path}: the marks {_BEGIN!r} and {_END!r} are missing; restore the card")
    rows = [
        " | ".join(
            [
                f"| {rule}",
                *(interval_text(m[s], *m["intervals"][s]) for s in _SCORES),
                f"{m['tp']} / {m['fp']} / {m['fn']} |",
            ]
        )
        for rule, m in card["held_out"].items()
    ]
    recipe = card["recipe"]
    lines = [
        f"Trained on {card['subjects']} synthetic persons, {card['videos']} videos, {card['minutes']:.1f} minutes, "
        f"{card['micro_expressions']} micro-expressions (tier {recipe['tier']}, seed {recipe['seed']}). Measured in "
        f"{recipe['n_groups']} groups of persons: for each, a network trained in the same way, the threshold and the half "
        "length come from the other groups (the stored network is one more, trained on all of them). In brackets: 95% "
        "bootstrap intervals over persons.",
        "",
        "| rule | spotting F1 | precision | recall | recognition F1 | STRS | TP / FP / FN |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"Confidence: fitted on {evidence['n_intervals']} candidate intervals, {evidence['n_true']} of them true; expected "
        f"calibration error for groups that the fit had not seen {evidence['expected_calibration_error']:.3f}, Brier "
        f"score {evidence['brier']:.3f}.",
    ]
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([f"{before}{_BEGIN}", *lines, f"{_END}{after}"]), encoding="utf-8")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the recipe and write `bundled.safetensors`, `bundled.json` into the folder `--out`."""
    parser = argparse.ArgumentParser(
        prog="python -m metst_core.experiment.recipe", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--out", required=True, help="folder to write (metst_core/assets in a clone)")
    parser.add_argument("--work", default="runs/bundled", help="folder for what lies between the steps")
    parser.add_argument(
        "--card", help="model card whose numbers to bring up to date (data/model_card.md in a clone)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="videos and folds worked on at once")
    parser.add_argument("--device", default="cpu", help="torch device to train on: cpu or cuda")
    for name in ("n_subjects", "n_videos", "n_groups", "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Recipe, name))
    parser.add_argument("--seconds", type=float, default=Recipe.seconds)
    parser.add_argument("--epochs", type=int, default=Recipe().train.epochs)
    given = vars(parser.parse_args(arguments))
    train = replace(Recipe().train, epochs=given.pop("epochs"), device=given.pop("device"))
    out, work, jobs, card = (given.pop(name) for name in ("out", "work", "jobs", "card"))
    trained = build(Recipe(train=train, **given), work, jobs)
    path = save_model(trained, Path(out) / "bundled.safetensors")
    if card is not None and trained.calibration is not None:
        write_card(trained.card, trained.calibration.evidence, card)
    best = next(iter(trained.card["held_out"].values()))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; held-out spotting F1 {best['spotting_f1']:.3f}")


if __name__ == "__main__":
    main()
