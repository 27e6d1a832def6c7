"""The weights "aligned", for faces that talk: films, training, choice, and a test on persons who decided nothing.

    python -m metst_core.experiment.talking [--work DIR] [--out DIR] [--card FILE] [--jobs N]

Everything that takes long is kept in `--work` (films, features, the trained network, results), so a run that was stopped goes
on; the training itself, some minutes, begins anew.  What is done with the persons who report: micro-expressions planted into
the pixels of their interviews (`footage.plant`) and rendered ones, found by `analyse` with fixed thresholds; the same truth
half a film later as a control; and calm films, beside the weights "bundled".
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from metst_core import checkpoints
from metst_core.aligned import FPS, PARTS
from metst_core.checks import as_path, whole_number
from metst_core.datasets import Dataset
from metst_core.experiment.talking_card import PLAIN, section, write_card
from metst_core.experiment.talking_choosing import chosen, heard_films
from metst_core.experiment.talking_films import (
    FEATURES_VERSION,
    FilmFlow,
    FilmSet,
    flows_of,
    keys_of,
    measured_gain,
)
from metst_core.experiment.talking_training import Draws, Fit, fit
from metst_core.files import content_hash, read_json, run_record, value_hash, write_json
from metst_core.footage import part_of_units
from metst_core.inference import EDITIONS, Analysis, TrainedModel, load_model, save_model
from metst_core.metrics import percentiles
from metst_core.rivals import PartsNetwork
from metst_core.tables import of_video

NAME = "aligned (synthetic faces)"

STRENGTHS = (0.0, 0.012, 0.018, 1.0)
"""Edges of the classes of strength, inter-ocular distances."""

_ENDS = ["onset", "apex", "offset"]
_SAMPLES = 1000


@dataclass(frozen=True)
class Recipe:
    """The persons of every part, how many of the choosing ones are planted in pixels for the gain, and the training.

    turns: how often each film of those who report is planted in pixels, each time with other movements.
    """

    train: tuple[FilmSet, ...] = (
        FilmSet("train", "interview", 0, 24, 15.0),
        FilmSet("train_macros", "calm", 50, 12, 10.0, 20.0),
    )
    choose: FilmSet = field(default_factory=lambda: FilmSet("choose", "interview", 42, 8, 15.0))
    choose_calm: FilmSet = field(default_factory=lambda: FilmSet("choose_calm", "calm", 42, 8, 10.0, 20.0))
    report: FilmSet = field(default_factory=lambda: FilmSet("report", "interview", 24, 12, 12.5))
    calm: FilmSet = field(default_factory=lambda: FilmSet("calm", "calm", 36, 6, 12.0, 20.0))
    n_gain: int = 2
    per_minute: float = 20.0
    turns: int = 3
    fit: Fit = field(default_factory=Fit)
    draws: Draws = field(default_factory=Draws)


def make(recipe: Recipe, work: Path, jobs: int = 1, progress: bool = True) -> TrainedModel:
    """The model, trained and chosen, with its card so far; films are made by `jobs` processes."""
    films = [
        flow
        for each in recipe.train
        for flow in flows_of(each.generate(work, jobs), work, desc=each.name, jobs=jobs)
    ]
    network, losses = _trained(recipe, films, work, progress)
    rendered = recipe.choose.generate(work, jobs)
    flows = flows_of(rendered, work, desc="choose", jobs=jobs)
    calm = flows_of(recipe.choose_calm.generate(work, jobs), work, desc="choose, calm", jobs=jobs)
    gain = _gain(recipe, flows, rendered, work)
    strength = float(np.mean([row["gain"] for row in gain]))
    flat, planted = heard_films(network, flows, strength)
    flat += heard_films(network, calm, strength)[0]
    model, gates = chosen(network, flat, planted, NAME)
    card = {
        "trained_on": "synthetic faces",
        "recipe": {name: dataclasses.asdict(getattr(recipe, name)) for name in ("choose", "choose_calm", "report", "calm", "fit", "draws")}
        | {"train": [dataclasses.asdict(each) for each in recipe.train], "turns": recipe.turns},
        "minutes": sum(film.n_frames for film in films) / FPS / 60,
        "loss": losses, "gain": gain, "gates": gates, "record": run_record(),
    }  # fmt: skip
    return dataclasses.replace(model, card=card)


def _trained(
    recipe: Recipe, films: Sequence[FilmFlow], work: Path, progress: bool
) -> tuple[PartsNetwork, list[float]]:
    """The network, trained or as it lies in `work`."""
    how = [dataclasses.asdict(each) for each in recipe.train]
    how += [dataclasses.asdict(recipe.fit), dataclasses.asdict(recipe.draws)]
    seen = [hashlib.sha256(film.cells.tobytes()).hexdigest() for film in films]
    key = value_hash([how, seen, FEATURES_VERSION])
    place = work / "networks" / f"{key[:24]}.safetensors"
    note = place.with_suffix(".json")
    if not (place.is_file() and note.is_file()):
        place.parent.mkdir(parents=True, exist_ok=True)
        network, losses = fit(films, recipe.fit, recipe.draws, progress)
        checkpoints.save(network, place)
        write_json({"loss": losses}, note)
    stored = checkpoints.load(place)
    assert isinstance(stored, PartsNetwork)
    return stored, read_json(note)["loss"]


def _gain(recipe: Recipe, flows: Sequence[FilmFlow], rendered: Dataset, work: Path) -> list[dict[str, float]]:
    """The gain, measured on the first films of the persons who choose."""
    planted = recipe.choose.planted(work, recipe.per_minute, recipe.n_gain)
    after = flows_of(planted, work, rendered, "gain")
    by_person = {flow.subject: flow for flow in flows}
    return measured_gain([by_person[flow.subject] for flow in after], after)


# --- the test -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Tested:
    """What a model finds in one film, in numbers that can be added up.

    events: a row for each micro-expression: part, strength, judged (its part, at its apex), touched, shifted (touched if it
    were half a film later).  false: finds that lie in none.  judged: minutes in which any part, the upper, the lower is judged.
    """

    person: str
    events: pd.DataFrame
    false: int
    finds: int
    judged: dict[str, float]
    minutes: float


def tested(
    films: Dataset, model: TrainedModel, work: Path, rendered: Dataset | None = None, desc: str = "test", jobs: int = 1
) -> list[Tested]:  # fmt: skip
    """What the model finds in the films of a set, by `jobs` processes; kept in `work`.

    rendered: the set that a planted one was made from: what is rendered there is no false find, and is not counted again.
    """
    paths = [Path(films.path(*key)) for key in keys_of(films)]
    found = Parallel(jobs)(delayed(_found)(path, model, work) for path in tqdm(paths, desc=desc, unit="film"))
    every = []
    for key, path, stored in zip(keys_of(films), paths, found, strict=True):
        truth = _truth(path, key)
        others = (
            [] if rendered is None else _truth(Path(rendered.path(*key)), key)[_ENDS].to_numpy(int).tolist()
        )
        every.append(_tested(key[0], stored, truth, others))
    return every


def _found(path: Path, model: TrainedModel, work: Path) -> dict[str, Any]:
    """What the model finds in a film, and the frames in which each part is judged."""
    place = work / "results" / f"{value_hash([content_hash(path), model.identity])[:24]}.json"
    if not place.is_file():
        analysis = Analysis(path, model)
        for _ in analysis:
            pass
        found = analysis.result()
        write_json(
            {
                "finds": found.table[_ENDS].to_numpy(int).tolist(),
                "finds_judged": found.judged_finds.tolist(),
                "judged": {part: found.judged[part].astype(int).tolist() for part in PARTS},
            },
            place,
        )
    stored: dict[str, Any] = read_json(place)
    return stored


def _truth(path: Path, key: tuple[str, str]) -> pd.DataFrame:
    """The micro-expressions of a film, with the part of the face that leads."""
    table = pd.read_csv(
        path.parents[1] / "truth" / "micro_expressions.csv", dtype={"subject": str, "video": str}
    )
    mine = of_video(table, *key).reset_index(drop=True)
    units = [dict(pair.split("=") for pair in text.split()) for text in mine["action_units"]]
    return mine.assign(
        part=[part_of_units({name: float(value) for name, value in row.items()}) for row in units]
    )


def _tested(
    person: str, stored: Mapping[str, Any], truth: pd.DataFrame, others: Sequence[Sequence[int]]
) -> Tested:
    judged = np.array([stored["judged"][part] for part in PARTS], bool).T
    n = len(judged)
    finds = np.array(stored["finds"], int).reshape(-1, 3)[np.array(stored["finds_judged"], bool)]
    rows = truth[_ENDS].to_numpy(int)
    known = np.concatenate([rows, np.array(others, int).reshape(-1, 3)])
    part = np.array([PARTS.index(name) for name in truth["part"]], int)
    later = (rows + n // 2) % n
    events = pd.DataFrame({
        "person": person, "part": truth["part"], "strength": truth["strength"],
        "seconds": (rows[:, 2] - rows[:, 0]) / FPS,
        "judged": judged[np.minimum(rows[:, 1], n - 1), part],
        "touched": touched_by(finds, rows), "shifted": touched_by(finds, later[later[:, 0] <= later[:, 2]], len(rows)),
    })  # fmt: skip
    false = int((~_in_any(finds, known)).sum())
    minutes = {"any": float(judged.any(axis=1).sum()) / FPS / 60} | {
        name: float(judged[:, i].sum()) / FPS / 60 for i, name in enumerate(PARTS)
    }
    return Tested(person, events, false, len(finds), minutes, n / FPS / 60)


def touched_by(finds: np.ndarray, truth: np.ndarray, n: int | None = None) -> np.ndarray:
    """Which true intervals `(m, 3)` hold the apex of a find `(k, 3)`, `(m,)` bool; filled up with no to `n`."""
    apex = finds[:, 1][None]
    within: np.ndarray = (apex >= truth[:, [0]]) & (apex <= truth[:, [2]])
    touched = np.asarray(within.any(axis=1))
    return touched if n is None else np.concatenate([touched, np.zeros(n - len(touched), bool)])


def _in_any(finds: np.ndarray, truth: np.ndarray) -> np.ndarray:
    inside: np.ndarray = (finds[:, [1]] >= truth[None, :, 0]) & (finds[:, [1]] <= truth[None, :, 2])
    return np.asarray(inside.any(axis=1))


def numbers_of(films: Sequence[Tested]) -> dict[str, Any]:
    """Judged shares, false finds per judged minute, and what is touched by part and strength; intervals over persons."""
    every: dict[str, Any] = {
        "persons": len({film.person for film in films}),
        "minutes": sum(f.minutes for f in films),
    }
    for name in ("any", *PARTS):
        every[f"judged_{name}"] = _ratio([(f.judged[name], f.minutes) for f in films])
    every["false_per_judged_minute"] = _ratio([(f.false, f.judged["any"]) for f in films])
    every["shifted"] = _share(films, "shifted")
    every["rows"] = [
        {
            "part": part, "from": low, "to": high,
            "all": _share(films, "touched", part, low, high),
            "judged": _share(films, "touched", part, low, high, True),
        }
        for part in PARTS
        for low, high in (*itertools.pairwise(STRENGTHS), (PLAIN, 1.0))
    ]  # fmt: skip
    return every


def _share(
    films: Sequence[Tested], what: str, part: str | None = None, low: float = 0.0, high: float = 1.0, judged: bool = False
) -> dict[str, float]:  # fmt: skip
    pairs = []
    for film in films:
        rows = film.events
        mine = (rows["strength"] >= low) & (rows["strength"] < high)
        mine &= (rows["part"] == part) if part else True
        mine &= rows["judged"] if judged else True
        pairs.append((float(rows.loc[mine, what].sum()), float(mine.sum())))
    return _ratio(pairs)


def _ratio(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """The ratio of two sums over persons, with its 95% bootstrap interval."""
    values = np.array(pairs, float)
    top, bottom = values.sum(axis=0).tolist()
    rng = np.random.default_rng(7)
    drawn = values[rng.integers(0, len(values), (_SAMPLES, len(values)))].sum(axis=1)
    known = drawn[drawn[:, 1] > 0]
    ends = percentiles(known[:, 0] / known[:, 1], 0.95) if len(known) else (np.nan, np.nan)
    return {
        "value": top / bottom if bottom else np.nan, "low": float(ends[0]), "high": float(ends[1]), "count": top, "of": bottom
    }  # fmt: skip


def report(
    recipe: Recipe, model: TrainedModel, work: Path, rival: bool = True, jobs: int = 1
) -> dict[str, Any]:
    """The numbers of the persons who decided nothing; with `rival` those of the weights "bundled" on the calm films."""
    films = recipe.report.generate(work, jobs)
    calm = recipe.calm.generate(work, jobs)
    in_pixels = [
        film
        for turn in range(recipe.turns)
        for film in tested(
            recipe.report.planted(work, recipe.per_minute, turn=turn),
            model,
            work,
            films,
            "interview, planted",
            jobs,
        )
    ]
    as_they_are = tested(films, model, work, desc="interview", jobs=jobs)
    told = {
        "planted": numbers_of(in_pixels),
        "rendered": numbers_of(as_they_are),
        "interview": numbers_of([*in_pixels, *as_they_are]),
        "calm": numbers_of(tested(calm, model, work, desc="calm", jobs=jobs)),
    }
    if rival:
        told["calm_bundled"] = numbers_of(tested(calm, load_model(), work, desc="calm, bundled", jobs=jobs))
    return told


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, choose, test, and write the weights and the numbers of the card."""
    parser = argparse.ArgumentParser(
        prog="python -m metst_core.experiment.talking", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    parser.add_argument(
        "--out", default=str(EDITIONS["aligned"].parent), help="folder to write (the package's own)"
    )
    parser.add_argument("--work", default="runs/talking", help="folder for what lies between the steps")
    parser.add_argument("--card", help="model card whose section to bring up to date")
    parser.add_argument(
        "--films-only", action="store_true", help="render and measure the films, nothing else"
    )
    parser.add_argument(
        "--no-rival", action="store_true", help='leave out the weights "bundled" on the calm films'
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes that make and measure films")
    given = parser.parse_args(arguments)
    work, recipe, jobs = as_path("--work", given.work), Recipe(), whole_number("--jobs", given.jobs, 1)
    if given.films_only:
        for each in (*recipe.train, recipe.choose, recipe.choose_calm):
            flows_of(each.generate(work, jobs), work, desc=each.name, jobs=jobs)
        recipe.choose.planted(work, recipe.per_minute, recipe.n_gain)
        for each in (recipe.report, recipe.calm):
            each.generate(work, jobs)
        for turn in range(recipe.turns):
            recipe.report.planted(work, recipe.per_minute, turn=turn)
        return
    model = make(recipe, work, jobs)
    model = dataclasses.replace(
        model, card={**model.card, "report": report(recipe, model, work, not given.no_rival, jobs)}
    )
    place = save_model(model, Path(given.out) / EDITIONS["aligned"].name)
    print("\n".join(section(load_model(place))))
    if given.card:
        write_card(load_model(place), Path(given.card))


if __name__ == "__main__":
    main()
