"""Intervals over persons and seeds, tests of whole tables, power, coverage, and recall in strata."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support.made_up_tables import SUBJECTS, predicted, random_tables, table

from metst_core.errors import InputError
from metst_core.metrics import (
    INTERVAL_METHODS,
    METRICS,
    Intervals,
    Predicted,
    compare_methods,
    evaluate,
    exchanges,
    interval_text,
    judge,
    paired_difference,
    rate_ends,
    recall_by,
    recall_by_length,
    score_intervals,
    share_ends,
)

pytestmark = pytest.mark.quick
HEAD = ["spotting_f1", "recognition_f1", "strs"]


def without(tables, subject):
    return [t[t["subject"] != subject] for t in tables]


def test_the_default_interval_is_a_jackknife_over_persons_on_the_logit_scale():
    """By hand for the spotting F1: leave each person out, evaluate anew, Student's t with n - 1 degrees of freedom."""
    tables = random_tables(5, n_subjects=6)
    names = [f"s{i}" for i in range(6)]
    whole = evaluate(*tables)
    left = np.array([evaluate(*without(tables, s)).spotting_f1 for s in names])
    n = whole.tp + whole.fp + whole.fn
    centre = (whole.spotting_f1 * n + 1) / (n + 2)
    variance = max(5 / 6 * ((left - left.mean()) ** 2).sum(), centre * (1 - centre) / (n + 2))
    half = stats.t.ppf(0.975, 5) * np.sqrt(variance) / (centre * (1 - centre))
    expected = 1 / (1 + np.exp(-(np.log(centre / (1 - centre)) + np.array([-half, half]))))
    row = score_intervals(*tables, names).set_index("metric").loc["spotting_f1"]
    assert row["value"] == whole.spotting_f1
    assert row[["low", "high"]].to_numpy(float) == pytest.approx(expected)


@pytest.mark.parametrize("method", INTERVAL_METHODS)
def test_every_kind_of_interval_is_seeded_and_holds_its_value(method):
    tables = random_tables(5, n_subjects=9)
    names = [f"s{i}" for i in range(9)]
    once, again = (score_intervals(*tables, names, Intervals(n=150, seed=2, method=method)) for _ in range(2))
    assert once.equals(again) and (once["value"] == [getattr(evaluate(*tables), m) for m in METRICS]).all()
    assert ((once["low"] <= once["value"]) & (once["value"] <= once["high"])).all()


def test_a_perfect_score_still_has_a_width_and_one_person_no_end_of_certainty():
    _, truth = random_tables(3)
    perfect = score_intervals(truth.assign(score=1.0), truth, SUBJECTS).set_index("metric")
    assert (perfect["high"] == 1).all() and perfect.loc[HEAD, "low"].between(0.3, 0.98).all()
    alone = truth[truth["subject"] == "s0"]
    table = score_intervals(alone.assign(score=1.0), alone, ["s0"])
    assert not (table["high"] - table["low"] > 0.01).any() or table["low"].isna().all()


def test_training_seeds_have_their_own_share_of_the_interval():
    """Two seeds that differ alike on every person: more persons would not help, and the share says so."""
    _, truth = random_tables(4, n_subjects=8)
    names = [f"s{i}" for i in range(8)]
    good = truth.assign(score=1.0)
    bad = pd.concat(
        [good, good.assign(onset=good["onset"] + 500, apex=good["apex"] + 500, offset=good["offset"] + 500)]
    )
    alone = score_intervals(good, truth, names).set_index("metric")
    both = score_intervals([good, bad], truth, names).set_index("metric")
    values = [evaluate(t, truth).spotting_f1 for t in (good, bad)]
    assert both.loc["spotting_f1", "value"] == pytest.approx(np.mean(values))
    assert both.loc["spotting_f1", "seed_share"] > 0.8 and alone["seed_share"].isna().all()
    assert both.loc["recognition_f1", "seed_share"] == 0  # nothing differs there
    width = both["high"] - both["low"]
    assert width["spotting_f1"] > 2 * (alone["high"] - alone["low"])["spotting_f1"]


def test_few_persons_are_exchanged_in_every_way_and_many_by_chance():
    ways = exchanges(3, Intervals(n=50))
    assert ways[0].tolist() == [1, 1, 1] and len({tuple(w) for w in ways}) == len(ways) == 8
    assert len(exchanges(3, Intervals(n=50), exact=False)) == 56  # all ways, seven times
    drawn = exchanges(40, Intervals(n=50))
    assert drawn.shape == (51, 40) and drawn[0].all() and not drawn[1:].all(axis=1).any()


def test_the_p_value_of_few_persons_is_the_exact_share():
    """Perfect against nothing, 4 persons: all exchanged or none of 16 ways give a difference as large."""
    _, truth = random_tables(5)
    found = paired_difference(predicted([]), truth.assign(score=1.0), truth, SUBJECTS).set_index("metric")
    assert found.loc["strs", "p_value"] == 2 / 16


@pytest.fixture(scope="module")
def methods():
    """A base, a better method and six as good as the base, on 8 persons."""
    _, truth = random_tables(8, n_subjects=8)
    names = [f"s{i}" for i in range(8)]
    rng = np.random.default_rng(0)

    def hits(share):
        kept = truth[rng.random(len(truth)) < share].assign(score=1.0)
        return Predicted([kept], names)

    equal = {f"equal {i}": hits(0.4) for i in range(6)}
    return truth, {"base": hits(0.4), "better": hits(0.97), **equal}


def test_a_row_is_marked_by_the_test_of_the_whole_table(methods):
    truth, by_name = methods
    pairs = [("base", name) for name in by_name if name != "base"]
    whole = compare_methods(by_name, pairs, truth)
    alone = compare_methods(by_name, pairs[:1], truth)
    spotting = whole[whole["metric"] == "spotting_f1"].set_index("b")
    assert (whole["p_table"] >= whole["p_value"] - 1e-12).all()
    assert alone["p_table"].equals(alone["p_value"])
    told = [judge(*row) for row in spotting[["difference", "p_table"]].to_numpy()]
    assert told == ["better", *["not told apart"] * 6]
    assert (spotting["could_see"] > 0).all()
    few = {name: Predicted(m.tables, m.subjects[:5]) for name, m in by_name.items()}
    assert (
        compare_methods(few, pairs, truth)["could_see"].isna().all()
    )  # of 32 ways 2 are the largest: p is .06
    # a difference of the size that could be seen is one whose interval would leave out 0
    assert (spotting["could_see"] > (spotting["high"] - spotting["low"]) / 2).all()


def test_luck_of_training_measured_on_one_method_weighs_on_every_trained_one(methods):
    truth, by_name = methods
    lucky = [by_name["base"].tables[0], *(by_name[f"equal {i}"].tables[0] for i in (0, 1))]
    shifted = [
        t.assign(
            onset=t["onset"] + 900 * (i == 2),
            apex=t["apex"] + 900 * (i == 2),
            offset=t["offset"] + 900 * (i == 2),
        )
        for i, t in enumerate(lucky)
    ]
    names = by_name["base"].subjects
    seeded = {
        **by_name,
        "base": Predicted(shifted, names),
        "untrained": Predicted(by_name["better"].tables, names, trained=False),
    }
    pairs = [("base", "better"), ("base", "untrained")]
    table = compare_methods(seeded, pairs, truth).set_index(["b", "metric"])
    trained, untrained = table.loc[("better", "spotting_f1")], table.loc[("untrained", "spotting_f1")]
    assert (
        trained["difference"] == untrained["difference"]
        and trained["seed_share"] > untrained["seed_share"] > 0
    )
    assert (
        not trained["could_see"] <= untrained["could_see"]  # NaN: nothing could be seen
        and trained["high"] - trained["low"] > untrained["high"] - untrained["low"]
    )
    with pytest.raises(InputError, match="no person in common"):
        compare_methods(
            {"a": Predicted([predicted([])], ["x"]), "base": by_name["base"]}, [("a", "base")], truth
        )


def test_coverage_stands_beside_the_interval():
    assert interval_text(0.5, 0.25, 0.75, 0.943) == "0.500 [0.250, 0.750] 94%"
    assert interval_text(0.5, 0.25, 0.75, float("nan")) == "0.500 [0.250, 0.750]"


# --- recall in strata -------------------------------------------------------------------------------------


def test_recall_by_length_counts_every_micro_expression_once():
    truth = table(
        [
            ("a", "v", 0, 4, "others"),
            ("a", "v", 50, 59, "others"),
            ("b", "v", 0, 3, "others"),
            ("b", "v", 100, 130, "others"),
        ]
    )
    found = predicted([("a", "v", 50, 59, "others"), ("b", "v", 0, 3, "others")])
    rows = recall_by_length(found, truth).set_index("stratum")
    assert rows[["n", "found"]].to_dict("index") == {
        "up to 5": {"n": 2, "found": 1}, "over 9 to 15": {"n": 1, "found": 1}, "over 15": {"n": 1, "found": 0},
    }  # fmt: skip
    assert (rows["low"] <= rows["recall"]).all() and (rows["recall"] <= rows["high"]).all()
    strong = recall_by(found, truth, [1.0, 2.0, 3.0, 3.0], [2.0], "pixels")
    assert strong[["by", "stratum", "n"]].values.tolist() == [
        ["pixels", "up to 2", 2],
        ["pixels", "over 2", 2],
    ]
    with pytest.raises(InputError, match="one number for each of 4"):
        recall_by(found, truth, [1.0], [2.0])


def test_a_rate_over_persons_is_as_wide_as_they_differ_and_as_chance_alone():
    """Of 40 counts in 40 minutes chance alone has a standard error of sqrt(40) / 40; t with 3 degrees: 3.18 of them."""
    alike = rate_ends(np.array([10.0] * 4), np.array([10.0] * 4))
    assert alike == pytest.approx((1 - 3.1824 * 40**0.5 / 40, 1 + 3.1824 * 40**0.5 / 40), abs=1e-4)
    unlike = rate_ends(np.array([0.0, 0, 0, 40]), np.array([10.0] * 4))
    assert unlike[0] == 0 and unlike[1] > 2 * alike[1]


def test_a_share_over_persons_is_as_wide_as_the_persons_differ():
    alike = share_ends(np.array([5.0, 5, 5, 5]), np.array([10.0] * 4))
    unlike = share_ends(np.array([10.0, 0, 10, 0]), np.array([10.0] * 4))
    assert unlike[1] - unlike[0] > 1.5 * (alike[1] - alike[0]) and alike[0] < 0.5 < alike[1]
