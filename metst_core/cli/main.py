"""The command line: `metst check | fetch | synth | analyse | reproduce | compare | seeds | ablate | released`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from metst_core import __version__
from metst_core.cli import analyse as analyse_cli
from metst_core.errors import InputError, MetstError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 1 a problem that the message explains, 2 a wrong call)."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except MetstError as error:
        print(f"metst: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("metst: stopped; the same command continues where it stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="metst", description="Micro-expression analysis with ME-TST and ME-TST+."
    )
    parser.add_argument("--version", action="version", version=f"metst {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="check this machine, or a data set before it is used")
    check.add_argument(
        "--dataset", help="synthetic, casme3, sammlv or folder; without it the machine is checked"
    )
    check.add_argument("--root", help="the folder that holds the data set")
    _add_options(check)
    check.add_argument("--picture", metavar="FILE", help="also draw what was found, as a PNG file")
    check.set_defaults(command=_check)

    fetch = commands.add_parser(
        "fetch",
        help="get MediaPipe's face model, once; everything else works offline",
        description="Get MediaPipe's face model (face_landmarker.task, 3.8 MB, Apache-2.0), once, and check it.  The "
        "environment variable METST_FACE_LANDMARKER may name a copy that was brought from elsewhere.",
    )
    fetch.set_defaults(command=_fetch)

    synth = commands.add_parser("synth", help="generate a set of synthetic videos with exact ground truth")
    synth.add_argument("out", help="folder to write")
    synth.add_argument("--subjects", type=int, default=8)
    synth.add_argument("--videos", type=int, default=3, help="videos per subject")
    synth.add_argument("--seconds", type=float, default=10.0, help="length of a video")
    synth.add_argument("--fps", type=float, default=30.0)
    synth.add_argument("--tier", default="default", help="difficulty: easy, default or hard")
    synth.add_argument("--seed", type=int, default=0)
    synth.set_defaults(command=_synth)

    analyse_cli.add_parser(commands).set_defaults(command=analyse_cli.run)

    reproduce = commands.add_parser("reproduce", help="run the notebooks in order and write a report")
    reproduce.add_argument("--profile", default="default", help="smoke, default or full")
    reproduce.add_argument("--dataset", default="synthetic", help="synthetic, casme3, sammlv or folder")
    reproduce.add_argument(
        "--data-root", help="the folder that holds the data set (not needed for synthetic)"
    )
    reproduce.add_argument("--seed", type=int, default=100)
    reproduce.add_argument(
        "--name",
        help="the run's name: results go to runs/NAME (default: the profile, after the data set unless synthetic)",
    )
    _add_options(reproduce)
    _add_jobs(reproduce)
    reproduce.add_argument("--notebooks", help="the folder of the notebooks (default: notebooks/)")
    reproduce.add_argument(
        "--weights", metavar="DIR", help="then also train the bundled weights anew, by their recipe, into DIR"
    )
    reproduce.set_defaults(command=_reproduce)

    compare = commands.add_parser("compare", help="show how the results of two runs differ")
    compare.add_argument("a", help="folder of a finished run")
    compare.add_argument("b", help="folder of another")
    compare.add_argument("--picture", metavar="FILE", help="also draw both, as a PNG file")
    compare.set_defaults(command=_compare)

    seeds = commands.add_parser(
        "seeds", help="train a finished run's networks with more seeds: how much is luck"
    )
    seeds.add_argument("--run", default="runs/default", help="folder of a finished run (runs/default)")
    seeds.add_argument("-n", type=int, default=5, help="how many seeds, the run's own included (5)")
    seeds.add_argument("--models", nargs="+", help="which networks (default: all that the run compared)")
    _add_jobs(seeds)
    seeds.set_defaults(command=_seeds)

    ablate = commands.add_parser("ablate", help="leave out or exchange one part of the method at a time")
    ablate.add_argument("--run", default="runs/default", help="folder of a finished run (runs/default)")
    ablate.add_argument("--data-root", help="the folder that holds the data set (not needed for synthetic)")
    ablate.add_argument(
        "--windows", type=int, nargs="*", default=[30, 80], metavar="FRAMES",
        help="window lengths to try, each with the videos' motion extracted anew (30 80); none: leave that out",
    )  # fmt: skip
    _add_jobs(ablate)
    ablate.set_defaults(command=_ablate)

    released = commands.add_parser(
        "released",
        help="score the authors' networks on their feature cache, with the label sheets and no video",
        description="Score the authors' checkpoints on their feature cache against the label sheets of CAS(ME)^3 "
        "or SAMM-LV, under both protocols.  No video is needed.  See data/casme3.md and data/sammlv.md.",
    )
    released.add_argument("--dataset", required=True, help="casme3 or sammlv")
    released.add_argument("--root", required=True, help="the folder with the label sheets")
    released.add_argument("--cache", required=True, metavar="FILE", help="the pickled motion of all videos")
    released.add_argument(
        "--weights",
        required=True,
        metavar="DIR",
        help="folder with one checkpoint per held-out subject, whose name ends with the subject's id",
    )
    released.add_argument(
        "--order",
        metavar="CSV",
        help="subject,video: which video each entry of the cache is, row by row (default: the videos with a "
        "micro-expression in natural order)",
    )
    released.add_argument("--synergy", type=int, default=2, help="0, 1 or 2 (the papers' choice)")
    _add_options(released)
    released.add_argument("--out", metavar="DIR", help="also write scores, predictions and labels as CSV")
    released.set_defaults(command=_released)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--option",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="an option of load_dataset, for example labels=sheet.xlsx, rules=complete or fps=30, and for reproduce "
        "landmarker=dlib; may be repeated",
    )


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="videos or folds worked on at once (default: as many as cores, up to 4); results do not depend on it",
    )


def _dataset_options(given: Sequence[str]) -> dict[str, Any]:
    """`NAME=VALUE` as arguments of `load_dataset`: numbers where they are numbers."""
    options: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--option {text}: expected NAME=VALUE, for example rules=complete")
        try:
            number = float(value)
            options[name] = int(number) if number.is_integer() else number
        except (ValueError, OverflowError):
            options[name] = value
    return options


def _check(options: argparse.Namespace) -> int:
    from metst_core.cli.machine import check_machine

    if options.dataset is None:
        if options.root or options.option or options.picture:
            raise InputError("--root, --option and --picture are about a data set; add --dataset NAME")
        table = check_machine()
        print(table.to_string(index=False))
        return 0 if table["ok"].all() else 1
    from metst_core.datasets import check_dataset

    report = check_dataset(options.dataset, options.root, **_dataset_options(options.option))
    print(report)
    if options.picture:
        from metst_core.files import atomic_path
        from metst_core.plots import dataset_overview

        with atomic_path(options.picture) as temporary:
            dataset_overview(report.dataset.annotations, report.dataset.videos).savefig(temporary)
        print(f"\n{options.picture}: a picture of the set")
    return 0 if report.ok else 1


def _fetch(options: argparse.Namespace) -> int:
    from metst_core.landmarks import fetch_model

    print(f"{fetch_model()}: MediaPipe's face model is there")
    return 0


def _released(options: argparse.Namespace) -> int:
    from metst_core.experiment import score_released

    result = score_released(
        options.dataset, options.root, options.cache, options.weights, options.order,
        synergy=options.synergy, **_dataset_options(options.option),
    )  # fmt: skip
    if len(result.dataset.report):
        print(f"{result.dataset.report_text()}\n")
    videos, labels = len(result.traces), len(result.dataset.annotations)
    print(f"{result.method}, {videos} videos, {labels} micro-expressions")
    print(result.scores.round(4).to_string(index=False))
    if options.out:
        print(f"{result.save(options.out)}: scores, predictions and labels as CSV")
    return 0


def _synth(options: argparse.Namespace) -> int:
    from metst_core.synthetic import generate

    dataset = generate(
        options.out, options.subjects, options.videos, options.seconds,
        fps=options.fps, seed=options.seed, tier=options.tier,
    )  # fmt: skip
    print(f"{len(dataset.videos)} videos, {len(dataset.annotations)} micro-expressions in {options.out}")
    return 0


def _reproduce(options: argparse.Namespace) -> int:
    from pathlib import Path

    from metst_core.experiment import reproduce

    out = reproduce(
        options.profile, options.dataset, options.data_root, options.seed,
        out_dir=Path("runs") / options.name if options.name else None, notebooks_dir=options.notebooks,
        data_options=_dataset_options(options.option), n_jobs=options.jobs,
    )  # fmt: skip
    print(f"{out / 'report.html'}: open it in a browser")
    if options.weights:
        from metst_core.experiment import recipe as bundled
        from metst_core.workers import cores

        jobs = str(options.jobs or cores())
        bundled.main(["--out", options.weights, "--work", str(out / "weights"), "--jobs", jobs])
    return 0


def _compare(options: argparse.Namespace) -> int:
    import pandas as pd

    from metst_core.experiment import HEADLINE, compare_runs
    from metst_core.files import atomic_path
    from metst_core.plots import comparison

    table = compare_runs(options.a, options.b)
    print(table.round(3).to_string(index=False))
    if options.picture:
        sides = [
            table.assign(method=table["method"] + f" ({side})").rename(
                columns={f"{name}_{side}": name for name in ("value", "low", "high")}
            )
            for side in "ab"
        ]
        drawn = pd.concat(sides).query("protocol == 'strict'").sort_values("method", kind="stable")
        with atomic_path(options.picture) as temporary:
            comparison(drawn, HEADLINE, f"a: {options.a}, b: {options.b}").savefig(temporary)
        print(f"{options.picture}: both runs, strict protocol")
    return 0


def _seeds(options: argparse.Namespace) -> int:
    import json

    from metst_core.experiment import Run, collect_results, refresh

    run = Run.reopened(options.run, n_jobs=options.jobs)
    known = json.loads(collect_results(run.out).read_text(encoding="utf-8"))["seeds"]
    spreads = {model: run.over_seeds(model, options.n) for model in options.models or run.profile.models}
    for model, table in spreads.items():
        print(f"\n{model}\n{table.round(3).to_string(index=False)}")
        known[model] = table.to_dict("records")
    run.record("seeds", seeds=known)
    print(f"\n{refresh(run.out)}: shows them too")
    return 0


def _ablate(options: argparse.Namespace) -> int:
    from metst_core.experiment import Run, collect_results, refresh
    from metst_core.plots import ablation
    from metst_core.tables import write_table

    run = Run.reopened(options.run, options.data_root, options.jobs)
    collect_results(run.out)  # what is missing is said now, not after the training
    result = run.ablate(options.windows)
    write_table(result.table, run.out / "ablation" / "ablation.csv")
    run.figure(
        ablation(result.table),
        "ablation",
        "Ablation: one part of ME-TST+ exchanged at a time (strict protocol).",
    )
    run.record("ablation", ablation=result.table.to_dict("records"))
    print(result.table.round(3).to_string(index=False))
    print("no difference in STRS on these data:", ", ".join(result.without_effect()) or "none")
    print(f"{refresh(run.out)}: shows it too")
    return 0
