"""The table of likeness: a source for every real value, and the data card says what the plans give."""

from pathlib import Path

import pytest

from metst_core.errors import InputError
from metst_core.synthetic.card_tables import knob_lines, likeness_lines, likeness_tables, put, release_lines

CARD = Path(__file__).parents[2] / "data" / "synthme.md"


@pytest.fixture(scope="module")
def tables():
    """Column of the card -> the table of 60 persons with two films each."""
    return likeness_tables()


def test_every_real_value_has_a_source_and_the_set_agrees_where_it_should(tables):
    table = tables["dense"].set_index("quantity")
    assert (table.loc[table["real"] != "", "source"] != "").all()
    assert (table.loc[table["real"] == "", "source"] == "no source known; assumed").all()
    assert table.loc["MEs per minute", "median"] == pytest.approx(12, rel=0.2)
    assert table.loc["macro-expressions per ME", "median"] >= 2
    assert table.loc["ME length", "real"] == "CAS(ME)^3: 0.70 (0.27 to 2.33); SAMM-LV: 0.38 (0.21 to 0.49)"
    assert table["median"].notna().all()


def test_version_1_stands_beside_without_what_it_has_not(tables):
    old, new = (tables[name].set_index("quantity") for name in ("version 1", "dense"))
    assert old.index.tolist() == new.index.tolist()
    missing = old.index[old["median"].isna()]
    assert all("annotator" in name or "named right" in name for name in missing) and len(missing) == 3
    assert old.loc["one-sided MEs", "median"] < new.loc["one-sided MEs", "median"]


def test_the_data_card_has_the_tables(tables):
    text = CARD.read_text()
    for name, lines in (
        ("knobs", knob_lines()),
        ("likeness", likeness_lines(tables)),
        ("releases", release_lines()),
    ):
        assert put(text, name, lines) == text, f"python -m metst_core.synthetic.card_tables {CARD}"


def test_a_table_goes_between_its_marks_alone():
    card = "a\n<!-- table: x -->\nold\n<!-- end of x -->\nb\n"
    assert put(card, "x", ["new", "rows"]) == "a\n<!-- table: x -->\nnew\nrows\n<!-- end of x -->\nb\n"
    with pytest.raises(InputError, match="table: y"):
        put(card, "y", [])
