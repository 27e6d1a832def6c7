"""The command that trains the bundled weights anew; what it does is in `metst_core.experiment.weights`.

`python -m metst_core.experiment.recipe --out metst_core/assets --card data/model_card.md`
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from metst_core.experiment.weights import Recipe, write_weights


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the recipe and write `bundled.safetensors`, `bundled.json` into the folder `--out`."""
    parser = argparse.ArgumentParser(
        prog="python -m metst_core.experiment.recipe", description="Train the bundled weights anew."
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
    path, trained = write_weights(Recipe(train=train, **given), out, work, jobs, card)
    best = next(iter(trained.card["held_out"].values()))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; held-out spotting F1 {best['spotting_f1']:.3f}")


if __name__ == "__main__":
    main()
