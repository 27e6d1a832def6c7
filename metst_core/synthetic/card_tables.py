"""The tables of the data card, from plans and films: `python -m metst_core.synthetic.card_tables data/synthme.md`.

A table stands between `<!-- table: NAME -->` and `<!-- end of NAME -->`.  `knobs`, `likeness` and `releases` come from plans
alone, in seconds; `pictures` needs films, which `--films FOLDER` makes there (a few minutes) or takes from there.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from metst_core.errors import InputError
from metst_core.files import write_text
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.synthetic.conditions import CONDITIONS, Conditions, conditions_of
from metst_core.synthetic.difficulty import difficulty_of
from metst_core.synthetic.films import film_tables
from metst_core.synthetic.from_pictures import picture_measures, picture_table
from metst_core.synthetic.generation import generate
from metst_core.synthetic.likeness import likeness
from metst_core.synthetic.manners import plan_tables
from metst_core.synthetic.priors import PRIORS
from metst_core.synthetic.secret_split import SPLIT_RELEASES, split_tables

PLANNED = (("dense", "calm", 60), ("sammlv", "interview", 60), ("casme3", "interview", 300))
"""Prior, tier and seconds of a film of the sets of version 2 in the table: 60 persons, two films each, seed 1."""
FILMED = {
    "version 1, default": {"version": 1, "tier": "default"},
    "calm, dense": {"tier": "calm", "prior": "dense"},
    "interview, casme3": {"tier": "interview", "prior": "casme3"},
}
"""The sets whose films are measured: 4 persons, a film of 3 s each, seed 11."""


def likeness_tables() -> dict[str, pd.DataFrame]:
    """Column of the card -> `likeness` of a set: version 1's default tier, then `PLANNED`."""
    old = plan_tables(1, range(60), 2, 60, 30, difficulty_of("default"))
    tables = {"version 1": likeness(old, PRIORS["dense"])}
    for prior, tier, seconds in PLANNED:
        tables[prior] = likeness(film_tables(1, range(60), 2, seconds, 30, prior, tier), PRIORS[prior])
    return tables


def likeness_lines(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Markdown of `likeness_tables`; the real values are those of the last set but one with both sheets, `dense`."""
    real = tables["dense"]
    rows = [
        [f"{row.quantity} ({row.unit})", row.real or "–", row.source]
        + [_told(table.iloc[number]) for table in tables.values()]
        for number, row in enumerate(real.itertuples())
    ]
    return _markdown(["quantity", "real", "source", *tables], rows)


def _told(row: pd.Series) -> str:
    if pd.isna(row["median"]):
        return "–"
    ends = "" if pd.isna(row["low"]) else f" ({row['low']:.3g} to {row['high']:.3g})"
    return f"{row['median']:.3g}{ends}"


def picture_lines(folder: Path) -> list[str]:
    """Markdown of `picture_table` of the sets `FILMED`, made in `folder`."""
    landmarker = MediaPipeLandmarker()
    measures = {}
    for name, how in FILMED.items():
        root = folder / name.replace(", ", "_").replace(" ", "_")
        generate(root, n_subjects=4, n_videos=1, seconds=3, seed=11, **how)  # type: ignore[arg-type]
        measures[name] = picture_measures(root, landmarker)
    table = picture_table(measures)
    rows = [
        [f"{row['quantity']} ({row['unit']})", row["real"], row["source"], *(row[name] for name in FILMED)]
        for _, row in table.iterrows()
    ]
    return _markdown(["quantity", "real", "source", *FILMED], rows)


def knob_lines() -> list[str]:
    """Markdown of the knobs in which the tiers differ."""
    tiers = [conditions_of(tier) for tier in CONDITIONS]
    rows = []
    for field in dataclasses.fields(Conditions):
        values = [_shown(getattr(tier, field.name)) for tier in tiers]
        if len(set(values)) > 1:
            rows.append([f"`{field.name}`", *values])
    return _markdown(["knob", *CONDITIONS], rows)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " to ".join(f"{v:g}" for v in value)
    return value if isinstance(value, str) else f"{value:g}"


def release_lines() -> list[str]:
    """Markdown of the releases of version 2; of the test part the persons alone."""
    rows = []
    for name, release in SPLIT_RELEASES.items():
        parts, tables = release.parts(), split_tables(name)
        videos = sum(len(persons) for persons in parts.values()) * release.n_videos
        counts = [str(len(tables[part]["annotations.csv"])) for part in ("train", "validation")]
        persons = " / ".join(str(len(persons)) for persons in parts.values())
        rows.append(
            [
                name,
                release.tier,
                release.prior,
                persons,
                str(videos),
                f"{release.seconds:g}",
                " / ".join(counts),
            ]
        )
    return _markdown(
        ["name", "tier", "prior", "persons (train / validation / test)", "films", "seconds",
         "micro-expressions (train / validation)"], rows,
    )  # fmt: skip


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def put(text: str, name: str, lines: Sequence[str]) -> str:
    """The card's text with the table `name` replaced; an `InputError` where its marks are missing."""
    start, end = f"<!-- table: {name} -->", f"<!-- end of {name} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        raise InputError(f"the card has no one place between {start} and {end}")
    before, rest = text.split(start)
    return f"{before}{start}\n" + "\n".join(lines) + f"\n{end}{rest.split(end)[1]}"


def main() -> None:
    """Write the tables of the data card anew."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("card", type=Path)
    parser.add_argument("--films", type=Path, help="also measure films, made in this folder")
    given = parser.parse_args()
    text = given.card.read_text(encoding="utf-8")
    text = put(text, "knobs", knob_lines())
    text = put(text, "likeness", likeness_lines(likeness_tables()))
    text = put(text, "releases", release_lines())
    if given.films is not None:
        text = put(text, "pictures", picture_lines(given.films))
    write_text(text, given.card)


if __name__ == "__main__":
    main()
