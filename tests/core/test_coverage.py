"""The committed table of how often intervals cover: its goals, and that the simulation still gives it."""

import numpy as np
import pandas as pd
import pytest

from metst_core.cli import main
from metst_core.metrics import (
    COVERAGE_COLUMNS,
    COVERAGE_FILE,
    INTERVAL_METHODS,
    METRICS,
    coverage,
    simulate,
    simulation,
)

pytestmark = pytest.mark.quick
HEAD = ["spotting_f1", "recognition_f1", "strs"]


def test_the_committed_coverage_meets_its_goals_and_is_read_between_the_numbers_simulated():
    """At least .93 at 16 persons for all three scores; at most .06 of tables of equal methods marked, one seed."""
    stored = pd.read_csv(COVERAGE_FILE)
    assert list(stored.columns) == list(COVERAGE_COLUMNS)
    default = stored[
        (stored["what"] == "interval") & (stored["method"] == "jackknife") & stored["metric"].isin(HEAD)
    ]
    assert (default.loc[default["persons"] == 16, "lowest"] >= 0.93).all()
    tables = stored[
        (stored["what"] == "marked tables") & (stored["method"] == "max-T") & (stored["seeds"] == 1)
    ]
    assert tables.loc[tables["metric"] == "strs", "share"].max() <= 0.06
    for metric in METRICS:
        at = {n: coverage(n, metric) for n in (8, 10, 12)}
        assert min(at[8], at[12]) <= at[10] <= max(at[8], at[12])
    assert (
        np.isnan(coverage(3, "strs"))
        and np.isnan(coverage(1000, "strs"))
        and np.isnan(coverage(16, "strs", level=0.9))
    )


def test_a_small_simulation_is_seeded_and_no_worse_than_the_committed_table(tmp_path, capsys, monkeypatch):
    """One population of the five, 300 sets: an error of .013 on a share of .95; `lowest` is that of the worst."""
    monkeypatch.setattr(simulation, "POPULATIONS", simulation.POPULATIONS[:1])
    out = tmp_path / "coverage.csv"
    options = {"n": 300, "n_bootstrap": 2, "bootstrap_persons": ()}
    found, again = (simulate((16,), **options) for _ in range(2))
    assert list(found.columns) == list(COVERAGE_COLUMNS) and found.equals(again)
    both = pd.read_csv(COVERAGE_FILE).merge(found, on=["what", "method", "persons", "seeds", "metric"])
    assert len(both) == len(found) and (both["share_y"] > both["lowest_x"] - 4 * 0.013).all()
    assert main(["coverage", "--sets", "20", "--bootstraps", "2", "--persons", "8", "--out", str(out)]) == 0
    assert "marked tables" in capsys.readouterr().out and set(pd.read_csv(out)["method"]) >= set(
        INTERVAL_METHODS
    )
