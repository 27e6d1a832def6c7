"""The table of likeness: a source for every real value, and the data card says what the plans give."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from metst_core.synthetic import CONDITIONS, PRIORS, Conditions, conditions_of, film_tables, likeness

CARD = Path(__file__).parents[2] / "data" / "synthme.md"
SETS = (("dense", "calm", 60), ("sammlv", "interview", 60), ("casme3", "interview", 300))
"""Prior, tier, seconds of a film."""


@pytest.fixture(scope="module")
def tables():
    """Prior -> the table of 60 persons with two films each."""
    return {
        prior: likeness(film_tables(1, range(60), 2, seconds, 30, prior, tier), PRIORS[prior])
        for prior, tier, seconds in SETS
    }


def test_every_real_value_has_a_source_and_the_set_agrees_where_it_should(tables):
    table = tables["dense"].set_index("quantity")
    assert (table.loc[table["real"] != "", "source"] != "").all()
    assert (table.loc[table["real"] == "", "source"] == "no source known; assumed").all()
    assert table.loc["MEs per minute", "median"] == pytest.approx(12, rel=0.2)
    assert table.loc["macro-expressions per ME", "median"] >= 2
    assert table.loc["ME length", "real"] == "CAS(ME)^3: 0.70 (0.27 to 2.33); SAMM-LV: 0.38 (0.21 to 0.49)"
    pictures = table.index.str.contains("ROI motion|jitter")
    assert table.loc[pictures, "median"].isna().all() and table.loc[~pictures, "median"].notna().all()


def cell(row):
    if pd.isna(row.median_):
        return "needs films"
    ends = "" if pd.isna(row.low) else f" ({row.low:.3g} to {row.high:.3g})"
    return f"{row.median_:.3g}{ends}"


def test_the_data_card_has_the_table(tables):
    columns = [t.rename(columns={"median": "median_"}).itertuples() for t in tables.values()]
    expected = [
        f"| {row[0].quantity} ({row[0].unit}) | {row[0].real or '–'} | {row[0].source} | "
        + " | ".join(cell(r) for r in row)
        + " |"
        for row in (list(rows) for rows in zip(*columns, strict=True))
    ]
    text = CARD.read_text()
    missing = [row for row in expected if row not in text]
    assert not missing, "the data card should say\n" + "\n".join(expected)


def test_the_data_card_has_the_knobs_of_every_tier():
    tiers = [conditions_of(tier) for tier in CONDITIONS]

    def shown(value):
        if isinstance(value, tuple):
            return " to ".join(f"{v:g}" for v in value)
        return value if isinstance(value, str) else f"{value:g}"

    text = CARD.read_text()
    for field in dataclasses.fields(Conditions):
        values = [shown(getattr(c, field.name)) for c in tiers]
        row = f"| `{field.name}` | {' | '.join(values)} |"
        assert row in text or len(set(values)) == 1, f"the data card should say {row}"
