"""The rows of `data/leaderboard.md` that are our own: a finished run's methods, held out or on films of a test part.

    python -m metst_core.experiment.leaderboard --run runs/default
    python -m metst_core.experiment.leaderboard --run runs/default --films FOLDER/test --release SynthME2-default

The second trains every method and seed on all persons of the run and scores it on the films of FOLDER, which
`synthetic.secret_split films` makes for those who hold the secret; what is trained is kept in the run.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from metst_core.datasets import load_dataset
from metst_core.errors import InputError
from metst_core.experiment.baselines import motion_spotter
from metst_core.experiment.comparisons import Scored, compare, predicted
from metst_core.experiment.run import Run
from metst_core.experiment.schema import HEADLINE
from metst_core.experiment.strata import recall_tables
from metst_core.extraction import MotionSet, extract_dataset
from metst_core.files import run_record, write_between, write_text
from metst_core.metrics import INTERVALS, Intervals, evaluate, interval_text, score_intervals
from metst_core.plots import method_label
from metst_core.training import LosoResult, TrainConfig, decode_traces, read_traces, train_fold, write_traces

TEST = "test-"
"""What test persons' names begin with while they lie beside those trained on."""

OWN = "default run"
"""The section of a run's own persons, held out."""


def held_out(run: Run, n_seeds: int = 3) -> dict[str, list[Scored]]:
    """Every method of a finished run on its own persons, held out, and the motion threshold, which is not trained.

    A result per training seed, of those that the run or its claims have trained already.
    """
    runner = run.runner()
    (window, motion), *_ = runner.sets.items()
    found: dict[str, list[Scored]] = {}
    for model in run.profile.models:
        asked = [run.config(model, seed=run.seed + i) for i in range(n_seeds)]
        found[model] = [runner.run(c, window) for c in asked if runner.is_trained(c, window)]
    found = {model: runs for model, runs in found.items() if runs}
    return found | {"motion_threshold": [motion_spotter(motion)]}


def on_films(run: Run, films: MotionSet, work_dir: str | Path, n_seeds: int = 3) -> dict[str, list[Scored]]:
    """Every method of a run, trained on all of its persons, on other films: a result per training seed.

    Labels of the films are looked at for scoring alone.  Traces of what was trained are kept in `work_dir`.
    """
    both, persons = joined(run.motion(), films)
    found: dict[str, list[Scored]] = {}
    jobs = [(m, s) for m in run.profile.models for s in range(run.seed, run.seed + n_seeds)]
    for model, seed in tqdm(jobs, desc="leaderboard", unit="network"):
        config = run.config(model, seed=seed, groups=0)
        result = _trained_on_all(both, persons, config, films, Path(work_dir) / f"{model}-{seed}.npz")
        found.setdefault(model, []).append(result)
    found["motion_threshold"] = [motion_spotter(films, known=run.motion().annotations)]
    return found


def joined(known: MotionSet, films: MotionSet) -> tuple[MotionSet, list[str]]:
    """Both motion sets in one, the persons of `films` under names that begin with `TEST`; and these names."""
    for what in ("features", "window", "fps"):
        here, there = getattr(known, what), getattr(films, what)
        if here != there:
            raise InputError(
                f"the run's motion has {what} {here}, that of the films {there}; extract both alike"
            )

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(subject=TEST + table["subject"].astype(str))

    def moved(parts: Mapping[tuple[str, str], np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
        return {(TEST + subject, video): part for (subject, video), part in parts.items()}

    both = dataclasses.replace(
        known,
        windows=known.windows | moved(films.windows),
        head=known.head | moved(films.head),
        shift=known.shift | moved(films.shift),
        annotations=pd.concat([known.annotations, renamed(films.annotations)], ignore_index=True),
        videos=pd.concat([known.videos, renamed(films.videos)], ignore_index=True),
    )
    return both, [TEST + subject for subject in films.subjects]


def _trained_on_all(
    both: MotionSet, persons: Sequence[str], config: TrainConfig, films: MotionSet, file: Path
) -> LosoResult:
    """A method trained on all but `persons`, and what it says of these, decoded and scored under their own names."""
    half_length_file = file.with_suffix(".csv")
    if not half_length_file.is_file():
        fold = train_fold(both, "test part", config, persons=persons)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_traces(fold.traces, file)
        write_text(f"k_p\n{fold.summary['k_p']}\n", half_length_file)
    k_p = int(pd.read_csv(half_length_file)["k_p"].iloc[0])
    traces = {(subject.removeprefix(TEST), video): t for (subject, video), t in read_traces(file).items()}
    predictions = decode_traces(traces, dict.fromkeys(films.subjects, k_p), config)
    folds = pd.DataFrame({"subject": films.subjects, "fold": "test part", "status": "done", "k_p": k_p})
    evaluation = evaluate(predictions, films.annotations)
    return LosoResult(config, films.annotations, predictions, traces, folds, pd.DataFrame(), evaluation)


def board(
    results: Mapping[str, Sequence[Scored]], motion: MotionSet, intervals: Intervals = INTERVALS
) -> pd.DataFrame:
    """A row per method, best STRS first: seeds, scores with intervals, the test of the whole table, recall by stratum.

    Columns: `method, seeds`, of each score of `HEADLINE` its value, `_low`, `_high`, `_coverage`; `p_table`, `verdict`,
    `could_see` of the STRS against ME-TST+ (empty for itself); recall by length and by strength, the mean over seeds.
    """
    base = "metst_plus"
    pairs = [(base, name) for name in results if name != base and base in results]
    one = {name: runs[0] for name, runs in results.items()}
    tested = compare(one, pairs, intervals, seeds=results)
    tested = tested[tested["metric"] == "strs"].set_index("b")
    rows = []
    for name, runs in results.items():
        found = predicted(runs)
        own = score_intervals(found.tables, runs[0].annotations, found.subjects, intervals).set_index(
            "metric"
        )
        row: dict[str, Any] = {"method": name, "seeds": len(runs) if isinstance(runs[0], LosoResult) else 0}
        for m in HEADLINE:
            row |= {
                m: own.loc[m, "value"],
                **{f"{m}_{c}": own.loc[m, c] for c in ("low", "high", "coverage")},
            }
        for column in ("p_table", "verdict", "could_see"):
            row[column] = tested.loc[name, column] if name in tested.index else np.nan
        strata = pd.concat([recall_tables(run, motion, intervals) for run in runs])
        for (by, stratum), part in strata.groupby(["by", "stratum"], sort=False):
            row[f"{by} {stratum}"] = part["recall"].mean()
        rows.append(row)
    return pd.DataFrame(rows).sort_values("strs", ascending=False, kind="stable", ignore_index=True)


def board_text(table: pd.DataFrame, about: str) -> str:
    """The rows as Markdown, below a sentence that says what they are."""
    strata = [c for c in table.columns if c.startswith(("frames ", "pixels "))]
    head = ["method", "seeds", "spotting F1", "recognition F1", "STRS", "against ME-TST+ (p of the table)"]
    head += [f"recall, {c.split(' ', 1)[1]} {c.split(' ', 1)[0]}" for c in strata]
    lines = [f"| {' | '.join([*head, 'status'])} |", "|" + "---|" * (len(head) + 1)]
    for row in table.to_dict("records"):
        scores = [
            interval_text(row[m], *(row[f"{m}_{c}"] for c in ("low", "high", "coverage"))) for m in HEADLINE
        ]
        against = "" if row["verdict"] != row["verdict"] else f"{row['verdict']} ({row['p_table']:.3f})"
        recalls = [f"{row[c]:.2f}" if row[c] == row[c] else "–" for c in strata]
        cells = [
            method_label(row["method"]),
            str(row["seeds"] or "–"),
            *scores,
            against,
            *recalls,
            "internal",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    unseen = table["could_see"].dropna()
    seen = f" Differences in STRS below {unseen.max():.2f} may have gone unseen." if len(unseen) else ""
    return "\n".join([*lines, "", f"{about}{seen}"])


def write_board(page: str | Path, section: str, text: str) -> Path:
    """Put rows between a section's marks of the leaderboard's page; its path."""
    marks = (f"<!-- our rows of {section} -->", f"<!-- end of our rows of {section} -->")
    return write_between(marks, text, page, "put them where the rows go")


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill our rows of the leaderboard from a finished run."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--run", default="runs/default", help="folder of a finished run (runs/default)")
    parser.add_argument("--films", help="a test part with its truth: train on the whole run, score there")
    parser.add_argument("--release", help="whose section the films' rows go to, such as SynthME2-default")
    parser.add_argument("--seeds", type=int, default=3, help="training seeds at most (3)")
    parser.add_argument("--page", default="data/leaderboard.md", help="the page (data/leaderboard.md)")
    parser.add_argument("--jobs", type=int, default=1, help="videos extracted at once (1)")
    given = parser.parse_args(arguments)
    if bool(given.films) != bool(given.release):
        parser.error("give --films and --release together, or neither")
    run = Run.reopened(given.run, n_jobs=given.jobs)
    if given.films:
        dataset = load_dataset("synthetic", given.films)
        motion = extract_dataset(
            dataset, features="metst_plus", cache_dir=run.out.parent / "cache", n_jobs=given.jobs
        )
        results = on_films(run, motion, run.out / "leaderboard" / given.release, given.seeds)
        how = (
            f"trained on all {len(run.motion().subjects)} persons of the default run, scored on the test part"
        )
    else:
        motion = run.motion()
        results = held_out(run, given.seeds)
        how = f"the persons of the run itself ({run.config('metst_plus').folding}), not the secret test part"
    record = run_record()
    commit = str(record["commit"] or "unknown").removesuffix("-dirty")[:10]
    about = (
        f"Internal rows, made by this command: {how}; tier {run.profile.tier}, prior {run.profile.prior} in training; "
        f"{len(motion.subjects)} persons, {len(motion.annotations)} micro-expressions; commit {commit}, "
        f"{datetime.now(UTC).date().isoformat()}. Recall is the mean over seeds; strengths are thirds of these micro-expressions, "
        "in pixels of the 320 crop."
    )  # fmt: skip
    table = board(results, motion, run.intervals)
    print(
        f"{write_board(given.page, given.release or OWN, board_text(table, about))}: {given.release or OWN}"
    )


if __name__ == "__main__":
    main()
