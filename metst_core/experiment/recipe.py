"""The command that makes the bundled weights anew.

`python -m metst_core.experiment.recipe --out metst_core/assets --card data/model_card.md`

What it does is in `metst_core.experiment.edition`; with `--edition 1`, in `metst_core.experiment.weights`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from metst_core.experiment.edition import Edition, write_edition
from metst_core.experiment.edition_card import lines_of
from metst_core.experiment.weights import Recipe, write_weights


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the recipe; write `bundled.safetensors` and `bundled.json` (of edition 1 `bundled-1`) into the folder `--out`."""
    parser = argparse.ArgumentParser(
        prog="python -m metst_core.experiment.recipe", description="Train the bundled weights anew."
    )
    parser.add_argument("--out", required=True, help="folder to write (metst_core/assets in a clone)")
    parser.add_argument("--work", default="runs/bundled", help="folder for what lies between the steps")
    parser.add_argument(
        "--card", help="model card whose numbers to bring up to date (data/model_card.md in a clone)"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, help="videos (of edition 1 also folds) worked on at once"
    )
    parser.add_argument("--edition", type=int, choices=(1, 2), default=2, help="which weights to make (2)")
    parser.add_argument("--device", default="cpu", help="torch device to train on: cpu or cuda")
    given = parser.parse_args(arguments)
    if given.edition == 1:
        recipe = Recipe(train=replace(Recipe().train, device=given.device))
        path, trained = write_weights(recipe, given.out, given.work, given.jobs, given.card, "bundled-1")
        best = next(iter(trained.card["held_out"].values()))
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; held-out spotting F1 {best['spotting_f1']:.3f}")
        return
    edition = Edition(device=given.device)
    path, model = write_edition(edition, given.out, given.work, given.jobs, given.card)
    print("\n".join([f"{path}: {path.stat().st_size / 1e6:.1f} MB", "", *lines_of(model.card)]))


if __name__ == "__main__":
    main()
