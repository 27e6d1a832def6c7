"""How LOSO scales over processes, what a training step costs, and bootstrap intervals against the naive way.

    python benchmarks/bench_training.py [--repeats 3] [--epochs 4] [--out benchmarks/results/training.json]

* `loso_scaling`: a LOSO run with `n_jobs=1` over one with `n_jobs=2`, worker processes started beforehand; both
  compute on one thread per fold (an even number of equal folds) and must give the same traces, which is checked;
* `ceiling`: what this machine allows. The same task done twice in one process, over done in two processes at once:
  `arithmetic`, a loop over small integers that touches no memory (2 on two cores of their own; less where two
  processors share a core, a clock or a quota), and `training`, one fit of the very network. `loso_scaling` over
  `training` is what LOSO itself loses, by fold order, messages and files;
* `step_ms`: one training step of ME-TST and of ME-TST+ (forward, backward, Adam) on one thread;
* `bootstrap`: evaluating tables of resampled subjects anew, over `metrics.bootstrap`, per sample.  Both give
  the same scores for the same subjects, which is checked.

Motion is random noise: speed does not depend on what it shows.  Figures are medians; the two sides of a ratio
alternate.  A machine busy with other work makes scaling meaningless: `load` records how busy it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from metst_core.extraction import MotionSet
from metst_core.files import run_record, write_json
from metst_core.metrics import METRICS, Intervals, bootstrap, evaluate, resamples
from metst_core.rois import roi_names
from metst_core.tables import ANNOTATION_COLUMNS, EMOTIONS, VIDEO_COLUMNS
from metst_core.training import LosoResult, TrainConfig, TrainingWindows, fit, leave_one_subject_out
from metst_core.workers import end_with_parent, one_thread

WINDOW = 50
N_SUBJECTS = 4
N_FRAMES = 600


def noise_motion(n_videos: int = 4, seed: int = 0) -> MotionSet:
    """Random motion of 18 ROIs, with three annotated intervals per video."""
    rng = np.random.default_rng(seed)
    windows, rows, videos = {}, [], []
    for s in range(N_SUBJECTS):
        for v in range(n_videos):
            key = (f"s{s}", f"v{v}")
            windows[key] = rng.standard_normal((2 * N_FRAMES // WINDOW - 1, 36, WINDOW), dtype=np.float32)
            for onset in (80, 280, 480):
                rows.append((*key, onset, onset + 6, onset + 12, str(rng.choice(EMOTIONS))))
            videos.append((*key, 30.0, N_FRAMES, ""))
    annotations = pd.DataFrame(rows, columns=list(ANNOTATION_COLUMNS))
    table = pd.DataFrame(videos, columns=list(VIDEO_COLUMNS))
    return MotionSet(windows, annotations, table, "metst_plus", WINDOW, 30.0)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def loso_scaling(config: TrainConfig, repeats: int, folder: Path) -> dict[str, float]:
    motion = noise_motion()
    brief = dataclasses.replace(config, epochs=1)
    for i, n_jobs in enumerate(
        (1, 2, 2)
    ):  # workers import and compile, both of them, and stay for the timed runs
        leave_one_subject_out(noise_motion(n_videos=1), brief, folder / f"warm-{i}", n_jobs)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    results: dict[int, LosoResult] = {}
    for repeat in range(repeats):
        for n_jobs in (1, 2):
            out = folder / f"{repeat}-{n_jobs}"
            took, results[n_jobs] = timed(
                lambda out=out, n_jobs=n_jobs: leave_one_subject_out(motion, config, out, n_jobs)
            )
            seconds[n_jobs].append(took)
    for key, (score, _) in results[1].traces.items():
        assert np.array_equal(score, results[2].traces[key][0]), f"{key}: n_jobs changed the score"
    one, two = (statistics.median(seconds[n]) for n in (1, 2))
    return {"seconds_1": one, "seconds_2": two, "speedup": one / two}


def count(n: int) -> int:
    """Arithmetic on small integers alone, on one thread."""
    total = 0
    for i in range(n):
        total = (total + i * i) % 1_000_003
    return total


def noise_fit(config: TrainConfig, steps: int) -> None:
    """`steps` training steps on one thread, an epoch of one batch each."""
    rng = np.random.default_rng(0)
    shape = (config.batch_size, 2 * len(roi_names(config.features)), WINDOW)
    windows = rng.standard_normal(shape, dtype=np.float32)
    scores = (rng.random((shape[0], WINDOW)) < 0.1).astype(np.float32)
    classes = np.where(scores > 0, rng.integers(0, 4, scores.shape), 4)
    with one_thread():
        labelled = TrainingWindows(windows, np.arange(len(windows)), scores, classes)
        fit(config.build(), labelled, dataclasses.replace(config, epochs=steps), 0)


def ceiling(config: TrainConfig, repeats: int) -> dict[str, float]:
    tasks = {"arithmetic": (count, 20_000_000), "training": (noise_fit, config, 12)}
    speedups = {}
    with joblib.parallel_config(backend="loky", n_jobs=2, initializer=end_with_parent):
        for name, (work, *arguments) in tasks.items():
            both = [joblib.delayed(work)(*arguments)] * 2
            joblib.Parallel()(both)
            work(*arguments)
            ratios = []
            for _ in range(repeats):
                in_turn = timed(lambda work=work, arguments=arguments: [work(*arguments) for _ in range(2)])[
                    0
                ]
                ratios.append(in_turn / timed(lambda both=both: joblib.Parallel()(both))[0])
            speedups[name] = statistics.median(ratios)
    return speedups


def step_ms(config: TrainConfig, repeats: int) -> float:
    """Milliseconds of one training step, from the difference between runs of few and of many."""
    few, many = 2, 10
    noise_fit(config, few)
    return 1000 * statistics.median(
        (timed(lambda: noise_fit(config, many))[0] - timed(lambda: noise_fit(config, few))[0]) / (many - few)
        for _ in range(repeats)
    )


def bootstrap_speed(repeats: int, n_subjects: int = 30, n_naive: int = 20) -> dict[str, float]:
    rng = np.random.default_rng(0)
    rows = [
        (f"s{s}", f"v{v}", onset, onset + 6, onset + 12, str(rng.choice(EMOTIONS)))
        for s in range(n_subjects)
        for v in range(3)
        for onset in range(0, 600, 100)
    ]
    truth = pd.DataFrame(rows, columns=list(ANNOTATION_COLUMNS))
    moved = truth[["onset", "apex", "offset"]].add(rng.integers(-6, 7, len(truth)), axis=0).clip(lower=0)
    found = truth.assign(**moved, emotion=rng.choice(EMOTIONS, len(truth)), score=1.0)
    subjects = [f"s{s}" for s in range(n_subjects)]
    weights = resamples(n_subjects, n_naive, seed=0)

    def naive() -> list[list[float]]:
        scores = []
        for weight in weights:
            drawn = np.repeat(np.arange(n_subjects), weight.astype(int))
            copies = [
                pd.concat(
                    [t[t["subject"] == subjects[s]].assign(subject=f"{i}") for i, s in enumerate(drawn)]
                )
                for t in (found, truth)
            ]
            e = evaluate(*copies)
            scores.append([getattr(e, m) for m in METRICS])
        return scores

    ours_s, naive_s = [], []
    for _ in range(repeats):
        ours_s.append(timed(lambda: bootstrap(found, truth, subjects))[0] / 1000)
        took, scores = timed(naive)
        naive_s.append(took / n_naive)
    same = bootstrap(found, truth, subjects, Intervals(n=n_naive))
    spread = np.quantile(np.array(scores), [0.025, 0.975], axis=0)
    assert np.allclose(same[["low", "high"]].to_numpy().T, spread), "the two ways differ"
    ours, slow = statistics.median(ours_s), statistics.median(naive_s)
    return {"ours_ms_per_sample": 1000 * ours, "naive_ms_per_sample": 1000 * slow, "ratio": slow / ours}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3, help="how often each figure is measured (3)")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of each LOSO run (4)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "training.json")
    arguments = parser.parse_args()
    config = TrainConfig(
        model="metst_plus", width=32, d_state=16, epochs=arguments.epochs, batch_size=32, learning_rate=2e-3
    )
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        scaling = loso_scaling(config, arguments.repeats, Path(folder))
    limits = ceiling(config, arguments.repeats)
    figures = {
        "load": {"before": load, "after": os.getloadavg()[0]},
        "loso_scaling": scaling,
        "ceiling": limits | {"loso_over_training": scaling["speedup"] / limits["training"]},
        "step_ms": {m: step_ms(config.with_model(m), arguments.repeats) for m in ("metst", "metst_plus")},
        "bootstrap": bootstrap_speed(arguments.repeats),
    }
    for name, values in figures.items():
        print(name, {key: round(value, 3) for key, value in values.items()})
    print("written to", write_json({**figures, "record": run_record(config=config.to_dict())}, arguments.out))


if __name__ == "__main__":
    main()
