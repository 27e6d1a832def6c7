"""The command `metst train`: weights of one's own, for `metst analyse --weights`."""

from __future__ import annotations

import argparse
from typing import Any

from metst_core.cli.options import Defaults, add_jobs, add_set_options, dataset_options

_DESCRIPTION = """\
Train weights on an annotated set: a network, and its threshold, half length and calibration from persons that were
held out.  Written are NAME.safetensors, NAME.json (its constants) and NAME.md (its card: how good it is on persons it
has not seen).  A run that was stopped goes on where it was."""

_EPILOG = """\
  metst train --dataset folder --root mine/ --option fps=30 --out weights/
  metst analyse clip.mp4 --weights weights/folder.safetensors"""


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `metst`."""
    parser = commands.add_parser(
        "train", help="train weights of your own, with their threshold, calibration and card",
        description=_DESCRIPTION, epilog=_EPILOG, formatter_class=Defaults,
    )  # fmt: skip
    parser.add_argument("--dataset", required=True, help="synthetic, casme3, sammlv or folder")
    parser.add_argument("--root", help="the folder that holds the set (not needed for synthetic)")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for the weights and what lies between the steps"
    )
    parser.add_argument(
        "--profile",
        default="default",
        help="how large: smoke, default or full (the published size, for a GPU)",
    )
    parser.add_argument(
        "--model",
        default="metst_plus",
        help="the network: metst_plus, metst or another of the method's table",
    )
    parser.add_argument("--epochs", type=int, help="instead of the profile's")
    parser.add_argument(
        "--groups", type=int, default=4, metavar="N", help="groups of persons that are held out in turn"
    )
    parser.add_argument("--device", help="torch device: cpu or cuda (the profile's own)")
    parser.add_argument("--seed", type=int, default=100, help="of the training and of synthetic faces")
    add_set_options(parser)
    add_jobs(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pathlib import Path

    from metst_core.checks import one_of
    from metst_core.datasets import load_dataset
    from metst_core.experiment import PROFILES, check_profile_here, train_weights
    from metst_core.landmarks import landmarker_named
    from metst_core.synthetic import generate
    from metst_core.training import TrainConfig
    from metst_core.workers import cores

    profile = PROFILES[one_of("--profile", options.profile, PROFILES)]
    given = {"epochs": options.epochs, "device": options.device, "seed": options.seed}
    choices = {**profile.train, **{name: value for name, value in given.items() if value is not None}}
    config = TrainConfig(**choices).with_model(options.model)
    if options.device is None:
        check_profile_here(options.profile, "use --profile default, or --device cpu (slow)")
    set_options = dataset_options(options.option)
    landmarker = landmarker_named(str(set_options.pop("landmarker", "mediapipe")))
    n_jobs = options.jobs or cores()
    if options.dataset == "synthetic" and options.root is None:
        dataset = generate(
            Path(options.out) / "data", profile.n_subjects, profile.n_videos, profile.seconds,
            seed=options.seed, tier=profile.tier, n_jobs=n_jobs,
        )  # fmt: skip
    else:
        dataset = load_dataset(options.dataset, options.root, **set_options)
    if len(dataset.report):
        print(f"{dataset.report_text()}\n")
    print(repr(dataset))
    path, trained = train_weights(dataset, options.out, config, options.groups, n_jobs, landmarker)
    best = next(iter(trained.card["held_out"].values()))
    print(
        f"{path}: on persons not seen, spotting F1 {best['spotting_f1']:.3f}, STRS {best['strs']:.3f}; threshold "
        f"{trained.threshold:.2f}, half length {trained.k_p}; its card is {path.with_suffix('.md').name} beside it"
    )
    print(f"use it: metst analyse VIDEO --weights {path}")
    return 0
