"""What the licensed sets would take: the arithmetic, and that the cards hold what it gives."""

import dataclasses
import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def estimate():
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module("estimate")
    sys.path.remove(str(FOLDER))


@pytest.fixture
def rates(estimate):
    """A second of one core per frame, and per step; two processes are twice as fast as one."""
    return estimate.Rates(1000.0, 2.0, 2.0, {"net": 1000.0}, "a machine")


def made_up(estimate, **changes):
    """Four subjects' ten videos of 360 frames, and so many micro-expressions that every window is drawn."""
    data = dataclasses.replace(
        estimate.SETS[0], videos=10, frames_per_video=360, subjects=4, expressions=10**6, window=20
    )
    return dataclasses.replace(data, **changes)


def test_extraction_is_frames_times_rate_over_cores(estimate, rates):
    data = made_up(estimate)
    assert [estimate.extraction_hours(data, rates, cores) for cores in (1, 2)] == [1.0, 0.5]
    lossy = dataclasses.replace(rates, extraction_gain=1.0)  # two processes no faster than one
    assert estimate.extraction_hours(data, lossy, 2) == 1.0


def test_a_fold_draws_the_windows_that_there_are(estimate):
    """360 frames hold 35 windows of 20 that overlap by half; three of four subjects train."""
    assert made_up(estimate).training_windows == 350 * 3 / 4


def test_a_fold_draws_what_touches_a_micro_expression_and_so_many_more(estimate):
    """An interval of 11 frames is touched by (11 + 20 - 1) / 10 = 3 windows on average."""
    data = made_up(estimate, expressions=4, me_frames=11, ratio=1.5)
    assert data.training_windows == pytest.approx(4 * 3 * 2.5 * 3 / 4)


def test_folds_fill_rounds_of_cores(estimate, rates):
    """Four folds of 262.5 windows of 20 frames, 1600 frames a second."""
    one = 10 * 262.5 * 20 / 1600 / 3600
    data = made_up(estimate)
    hours = [estimate.loso_hours(data, rates, "net", cores, epochs=10) for cores in (1, 2, 3, 4, 64)]
    assert hours == pytest.approx([4 * one, 2 * one, 2 * one, one, one])


def test_durations_have_two_figures(estimate):
    hours = (0.5 / 3600, 0.01, 1.0, 1.99, 3.21, 47.0, 49.0, 1000.0)
    assert [estimate.duration(value) for value in hours] == [
        "0.5 s", "36 s", "60 min", "119 min", "3.2 h", "47 h", "2.0 days", "42 days",
    ]  # fmt: skip


def test_a_section_is_replaced_and_nothing_else(estimate):
    card = f"before\n{estimate.BEGIN}\nold\n{estimate.END}\nafter\n"
    once = estimate.with_section(card, "new \\1")
    assert once == f"before\n{estimate.BEGIN}\nnew \\1\n{estimate.END}\nafter\n"
    assert estimate.with_section(once, "old") == card
    with pytest.raises(SystemExit, match="exactly one"):
        estimate.with_section("no marks", "new")


def test_the_cards_hold_what_the_measured_rates_give(estimate):
    rates = estimate.Rates.read()
    for data in estimate.SETS:
        assert estimate.text(data, rates) in (estimate.CARDS / data.card).read_text(encoding="utf-8")


def test_a_missing_rate_names_its_benchmark(estimate, tmp_path):
    with pytest.raises(SystemExit, match=r"bench_scan.py first"):
        estimate.Rates.read(tmp_path)
