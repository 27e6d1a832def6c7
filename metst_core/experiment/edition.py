"""The recipe of the bundled weights' second edition; `python -m metst_core.experiment.recipe` runs it.

1. Films of SynthME 2 of three parts of persons, and their ROI motion (`edition_films`).
2. Training windows of the first part: as measured, beginning anywhere, and with movements planted (`edition_windows`).
3. `CANDIDATES`, each different from the plain recipe in one thing, trained alike and compared on the second part; and
   all that were better, together.
4. The best of them, trained for longer: the network of the edition.  Half length, ends, threshold and calibration by the second part.
5. Numbers of the third part, which decides nothing (`instrument.report`).

Every step is kept in the work folder, so a run that was stopped goes on where it was.  The result depends on the recipe
and the generator alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from metst_core import checkpoints
from metst_core.errors import InputError
from metst_core.experiment import instrument
from metst_core.experiment.edition_card import write_edition_card
from metst_core.experiment.edition_films import FEATURES, FPS, WINDOW, FilmMotion, FilmSet, measured
from metst_core.experiment.edition_windows import Planting, training_windows
from metst_core.experiment.instrument import MOST_PHASES, Measured
from metst_core.files import read_json, run_record, value_hash, write_json
from metst_core.inference import (
    BUNDLED_NAME,
    MOTION,
    SCORE,
    Shot,
    TrainedModel,
    bundled_judgement,
    load_model,
    motion_of_parts,
    save_model,
    unrest_of,
)
from metst_core.models import Network, predict_windows
from metst_core.rivals import count_parameters
from metst_core.training import TrainConfig, TrainingWindows, fit_windows

FALSE_PER_MINUTE = 1.0
"""False finds per minute of the calm films that the threshold is chosen for."""
RESTLESS = 2.0
"""The same per judged minute of interview films, as they are reported besides."""

PLAIN = TrainConfig(
    model="metst_plus", pathways="shared", width=32, d_state=8, blocks_per_stage=1, epochs=1, batch_size=64,
    learning_rate=2e-3, ratio=1.0, scale_low=0.85, scale_high=1.15,
)  # fmt: skip

CANDIDATES: dict[str, dict[str, Any]] = {
    "plain": {},
    "half of the blocks read backwards": {"variant": "centred"},
    "motion from 8 frames before": {"variant": "local"},
    "five frames of look-ahead": {"variant": "look5"},
    "two pathways": {"pathways": "separate"},
    "twice as wide": {"width": 64},
    "cross-entropy of the score": {"score_loss": "cross-entropy"},
    "LSTM": {"model": "lstm"},
    "TCN": {"model": "tcn"},
}
"""Name -> what differs from `PLAIN`."""

RIVALS = ("LSTM", "TCN")
"""Candidates for comparison: the weights that come with this package are to show a network with a state."""

TOGETHER, AND = "together: ", " + "
"""How the name of the last candidate is made from the names of those in it."""

FIRST = "network of the first edition"
UNPLANTED = "plain, nothing planted"
"""The candidate that learns from the films as they are alone."""


@dataclass(frozen=True)
class Edition:
    """What the second edition is made from.

    train, choose, report: the films; no person is in two of them.  planting: see `edition_windows`.
    device: torch's, for the network of the edition; candidates are trained on the CPU.
    sizes: factors that films of those who report are scaled down by, to see how small a face may be.
    passes: how many windows the network sees, each time it sees one counted; trial_passes: the same of a candidate.
    """

    train: tuple[FilmSet, ...] = (
        FilmSet("calm", "sammlv", 0, 40, 30, 10.0, True),
        FilmSet("calm", "casme3", 0, 40, 15, 12.0, True),
        FilmSet("calm", "dense", 0, 40, 10, 12.0, True),
        FilmSet("interview", "sammlv", 0, 40, 20, 8.0, True),
    )
    choose: tuple[FilmSet, ...] = (
        FilmSet("calm", "sammlv", 50, 12, 20, 12.0, phases=MOST_PHASES),
        FilmSet("calm", "casme3", 50, 12, 15, 12.0, phases=3),
        FilmSet("interview", "sammlv", 50, 12, 20, 8.0, phases=3),
    )
    report: tuple[FilmSet, ...] = (
        FilmSet("calm", "sammlv", 40, 10, 30, 10.0, phases=3),
        FilmSet("calm", "casme3", 40, 10, 20, 12.0, phases=3),
        FilmSet("interview", "sammlv", 40, 10, 30, 8.0, phases=3),
    )
    planting: Planting = field(default_factory=Planting)
    device: str = "cpu"
    passes: int = 300_000
    trial_passes: int = 60_000
    phases: int = 3
    sizes: tuple[float, ...] = (0.5, 0.35, 0.25)

    def films(self, part: str, work: Path, n_jobs: int = 1) -> list[FilmMotion]:
        """The measured films of a part: train, choose or report."""
        return measured(getattr(self, part), work, n_jobs)


def trained(windows: TrainingWindows, config: TrainConfig, passes: int, place: Path, key: Any) -> Network:
    """A network that saw `passes` windows, or the one that was kept at `place` under the same key."""
    note = value_hash([config.to_dict(), passes, len(windows), key])
    path = place.with_name(f"{place.name}_{note[:12]}.safetensors")
    if path.is_file():
        return checkpoints.load(path)
    n_drawn = len(windows.draw(config.ratio, np.random.default_rng([config.seed, 0])))
    config = replace(config, epochs=max(1, round(passes / n_drawn)))
    network = fit_windows(windows, config, config.seed).model.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoints.save(network, path)
    return network


def said(films: Sequence[FilmMotion], network: Network) -> list[Measured]:
    """What a network says of every film, with what is judged in it."""
    return [_said(film, network) for film in films]


def _said(film: FilmMotion, network: Network) -> Measured:
    answers = predict_windows(network, np.stack([w.motion for w in film.windows]))
    phase = Shot(0, (0,), WINDOW)
    for window, score, probabilities in zip(film.windows, *answers, strict=True):
        if window.start % (WINDOW // 2) == 0:
            phase.add(window, score, probabilities)
    motion = phase.measured(film.n_frames).motion
    unrest = unrest_of(motion_of_parts(motion.T, FEATURES), WINDOW)
    judged = bundled_judgement()(unrest, film.seen).to_numpy(bool).any(axis=1)
    return Measured(
        film.windows, *answers, film.n_frames, film.truth[["onset", "apex", "offset"]].to_numpy(),
        film.truth["strength"].to_numpy(float), film.subject, f"{film.tier} {film.prior}", judged,
        unrest.max(axis=1),
    )  # fmt: skip


def of_kind(films: Sequence[Measured], kind: str) -> list[Measured]:
    """The films of a tier, or of a tier and a prior."""
    return [film for film in films if film.kind.startswith(kind)]


def draft(network: Network, k_p: int, strategy: str, phases: int) -> TrainedModel:
    """The model before anything is chosen for it."""
    return TrainedModel(
        network, FEATURES, WINDOW, FPS, k_p, strategy=strategy, phases=phases, name=BUNDLED_NAME
    )


def worth(films: Sequence[Measured], model: TrainedModel) -> dict[str, float]:
    """What is touched and found of calm films, the mean over .5, 1 and 2 false finds a minute; and of interviews at `RESTLESS`."""
    calm, told = of_kind(films, "calm"), {}
    every = {id(film): instrument.candidates(film, model, model.phases) for film in films}
    for name, rates, part, judged in (
        ("calm", (0.5, 1.0, 2.0), calm, False),
        ("interview", (RESTLESS,), of_kind(films, "interview"), True),
    ):
        if not part:
            continue
        shares = []
        for rate in rates:
            allowed = int(rate * instrument.minutes_of(part, model.fps, judged) + 1e-9)
            threshold = instrument.threshold_of_false([every[id(film)] for film in part], allowed, judged)
            hits = np.zeros(3)
            for film in part:
                each = every[id(film)]
                mine = each.score >= threshold
                counts = film.is_judged[film.truth[:, 1]] if judged else np.ones(len(film.truth), bool)
                touched = each.inside[mine].any(axis=0) & counts
                found = np.zeros(len(film.truth), bool)
                found[each.matched[mine & each.found]] = True
                hits += touched.sum(), (found & counts).sum(), counts.sum()
            shares.append(hits[:2] / max(hits[2], 1))
        told[f"{name} touched"], told[f"{name} found"] = (float(v) for v in np.mean(shares, axis=0))
    return told


HALF_LENGTHS = (3, 4, 5, 6, 8)


def decoded_best(
    films: Sequence[Measured], network: Network, n_phases: int
) -> tuple[TrainedModel, list[dict[str, Any]]]:
    """The half length and the way of measuring ends with the most touched and found in calm films, and the table of them all."""
    table: list[dict[str, Any]] = []
    for strategy in (SCORE, MOTION):
        for k_p in HALF_LENGTHS:
            model = draft(network, k_p, strategy, n_phases)
            told = worth(of_kind(films, "calm"), model)
            table.append(
                {"ends": strategy, "k_p": k_p, **{k: v for k, v in told.items() if k.startswith("calm")}}
            )
    best = max(table, key=lambda row: row["calm touched"] + row["calm found"])
    return draft(network, best["k_p"], best["ends"], n_phases), table


def config_of(name: str) -> TrainConfig:
    """`PLAIN` with what a candidate changes (of those that are `TOGETHER`: each of them)."""
    changes: dict[str, Any] = {}
    for part in name.removeprefix(TOGETHER).split(AND):
        for key, value in CANDIDATES.get(part, {}).items():
            joint = key == "variant" and key in changes
            if key in changes and not joint:
                raise InputError(f"{name}: two that exclude each other")
            changes[key] = f"{changes[key]}+{value}" if joint else value
    if "model" in changes:
        return PLAIN.with_model(
            changes.pop("model"), pathways=changes.pop("pathways", PLAIN.pathways), **changes
        )
    return replace(PLAIN, **changes)


def together(compared: Mapping[str, Mapping[str, float]]) -> str:
    """The name of all candidates that are better than the plain recipe, the best first; without those that exclude a better one.

    Nor those that are larger: what they cost is time, wherever the weights are used.
    """
    size = count_parameters(config_of("plain").build())
    better = [
        name
        for name in CANDIDATES
        if name not in RIVALS
        and _sum_of(compared[name]) > _sum_of(compared["plain"])
        and count_parameters(config_of(name).build()) < 1.1 * size
    ]
    taken: list[str] = []
    for name in sorted(better, key=lambda name: -_sum_of(compared[name])):
        try:
            config_of(AND.join([*taken, name]))
        except InputError:
            continue
        taken.append(name)
    return TOGETHER + AND.join(taken) if len(taken) > 1 else ""


def _sum_of(row: Mapping[str, float]) -> float:
    return row["calm touched"] + row["calm found"]


def best_of(compared: Mapping[str, Mapping[str, float]]) -> str:
    """The candidate with the most touched and found in calm films, `RIVALS` left out."""
    names = [
        name for name in compared if name.startswith(TOGETHER) or (name in CANDIDATES and name not in RIVALS)
    ]
    return max(names, key=lambda name: _sum_of(compared[name]))


def candidates(
    edition: Edition,
    films: Sequence[FilmMotion],
    windows: TrainingWindows,
    choosing: Sequence[FilmMotion],
    work: Path,
    n_jobs: int = 1,
) -> dict[str, dict[str, float]]:
    """What each candidate is worth on the persons that choose, and at last what was better together; in `work/candidates.json`.

    films, windows: of those who train, and the windows cut from them; choosing: the films of those who choose.
    """
    place = work / "candidates.json"
    known: dict[str, dict[str, float]] = read_json(place) if place.is_file() else {}
    names = [FIRST, UNPLANTED, *CANDIDATES]
    todo = [name for name in names if name not in known]
    if todo:
        bare = training_windows(films, Planting(turns=0), work) if UNPLANTED in todo else windows
        tried = Parallel(n_jobs, return_as="generator")(
            delayed(_tried)(name, bare if name == UNPLANTED else windows, choosing, edition, work)
            for name in todo
        )
        for name, row in zip(todo, tqdm(tried, total=len(todo), desc="candidates"), strict=True):
            known[name] = row
            write_json(known, place)
    last = together(known)
    if last and last not in known:
        known[last] = _tried(last, windows, choosing, edition, work)
        write_json(known, place)
    return {name: known[name] for name in [*names, *([last] if last else [])]}


def _tried(
    name: str, windows: TrainingWindows, choosing: Sequence[FilmMotion], edition: Edition, work: Path
) -> dict[str, float]:
    """What a candidate is worth."""
    if name == FIRST:
        network = load_model("bundled-1").network
    else:
        place = work / "candidates" / value_hash(name)[:8]
        network = trained(windows, config_of(name), edition.trial_passes, place, name == UNPLANTED)
    heard = said(choosing, network)
    model, _ = decoded_best(heard, network, edition.phases)
    return {**worth(heard, model), "k_p": model.k_p}


def chosen(films: Sequence[Measured], network: Network, n_phases: int) -> tuple[TrainedModel, dict[str, Any]]:
    """The network with half length, ends, threshold and calibration by the films of those who choose; and what was seen."""
    model, decoders = decoded_best(films, network, n_phases)
    threshold = instrument.threshold_for(of_kind(films, "calm"), model, FALSE_PER_MINUTE)
    interviews = of_kind(films, "interview")
    restless = instrument.threshold_for(interviews, model, RESTLESS, judged=True) if interviews else threshold
    model = instrument.calibrated(films, replace(model, threshold=threshold))
    seen = {
        "decoders": decoders, "threshold": threshold, "restless_threshold": restless,
        "steadiness": instrument.steadiness(films, model),
    }  # fmt: skip
    return model, seen


def reported(films: Sequence[Measured], model: TrainedModel, restless: float) -> dict[str, Any]:
    """The numbers of those who report: by set, all calm films, and the interviews at the two thresholds."""
    kinds = list(dict.fromkeys(film.kind for film in films))
    told = {
        kind: instrument.report(of_kind(films, kind), model)
        for kind in [*kinds, "calm"]
        if of_kind(films, kind)
    }
    interviews = of_kind(films, "interview")
    if interviews:
        at = replace(model, threshold=restless)
        told["interview, judged"] = instrument.report(interviews, model, judged=True)
        told["interview, judged, at the rate"] = instrument.report(interviews, at, judged=True)
    return told


def build(edition: Edition, work: str | Path, n_jobs: int = 1) -> TrainedModel:
    """Run the recipe; everything between the steps is kept in `work`."""
    work = Path(work)
    films, choosing = edition.films("train", work, n_jobs), edition.films("choose", work, n_jobs)
    windows = training_windows(films, edition.planting, work)
    compared = candidates(edition, films, windows, choosing, work, n_jobs)
    best = best_of(compared)
    config = replace(config_of(best), device=edition.device)
    network = trained(windows, config, edition.passes, work / "network", asdict(edition.planting))
    heard = said(choosing, network)
    model, seen = chosen(heard, network, edition.phases)
    compared[f"{best}, {edition.passes:,} windows seen (the edition)"] = worth(heard, model)
    reporting = edition.films("report", work, n_jobs)
    told = reported(said(reporting, network), model, seen["restless_threshold"])
    told["calm"]["by_size"] = by_size(reporting, model, edition, work, n_jobs)
    return with_card(model, edition, compared, films, {**seen, "network": best}, told)


def by_size(
    films: Sequence[FilmMotion], model: TrainedModel, edition: Edition, work: Path, n_jobs: int = 1
) -> list[dict[str, Any]]:
    """What is touched and found of the first set that reports, as it is and scaled down, with the eyes' median distance in pixels."""
    first = edition.report[0]
    rows = []
    for factor in (1.0, *edition.sizes):
        if factor == 1:
            part = [film for film in films if (film.tier, film.prior) == (first.tier, first.prior)]
        else:
            part = measured([first], work, n_jobs, [f"scale {factor:g}"])
        numbers = instrument.report(said(part, model.network), model)
        distance = float(np.nanmedian(np.concatenate([film.seen.eye_distance for film in part])))
        rows.append({"eye_distance": distance, **{name: numbers[name] for name in ("n", "touched", "found")}})
    return rows


def write_edition(
    edition: Edition, out_dir: str | Path, work: str | Path, n_jobs: int = 1, card: str | Path | None = None
) -> tuple[Path, TrainedModel]:
    """Run the recipe and write `bundled.safetensors` and `bundled.json` into `out_dir`; its numbers into a model card, if given.

    Returns the first's path, and what is in it.
    """
    model = build(edition, work, n_jobs)
    path = save_model(model, Path(out_dir) / "bundled.safetensors")
    if card is not None:
        write_edition_card(model.card, card)
    return path, model


def with_card(
    model: TrainedModel,
    edition: Edition,
    compared: Mapping[str, Any],
    films: Sequence[FilmMotion],
    seen: Mapping[str, Any],
    told: Mapping[str, Any],
) -> TrainedModel:
    """The model with everything that is known of it."""
    assert model.calibration is not None
    held = ("bins", "expected_calibration_error", "brier")
    evidence = {**model.calibration.evidence, "n_groups": 1, **{name: told["calm"][name] for name in held}}
    card = {
        "edition": 2, "recipe": asdict(edition), "record": run_record(), "compared": dict(compared),
        "subjects": len({film.number for film in films}), "videos": len(films),
        "minutes": sum(film.n_frames for film in films) / FPS / 60,
        "micro_expressions": sum(len(film.truth) for film in films if not film.changed),
        "chosen": dict(seen), "report": dict(told),
    }  # fmt: skip
    return replace(model, card=card, calibration=replace(model.calibration, evidence=evidence))
