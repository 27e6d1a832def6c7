"""Evaluation against hand-worked cases, a second implementation with sets and loops, and scikit-learn."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from support.made_up_tables import SUBJECTS, predicted, random_tables, table

from metst_core.errors import InputError
from metst_core.metrics import (
    METRICS,
    Evaluation,
    Intervals,
    bootstrap,
    evaluate,
    interval_iou,
    interval_text,
    match_intervals,
    paired_difference,
    scoring_variants,
    seed_spread,
)
from metst_core.tables import CLASSES, EMOTIONS

pytestmark = pytest.mark.quick

SPAN = st.tuples(st.integers(0, 40), st.integers(0, 20)).map(lambda s: (s[0], s[0] + s[1]))


@given(SPAN, SPAN)
def test_iou_is_that_of_the_sets_of_frames(a, b):
    frames_a, frames_b = set(range(a[0], a[1] + 1)), set(range(b[0], b[1] + 1))
    assert interval_iou(a, b) == len(frames_a & frames_b) / len(frames_a | frames_b)
    assert interval_iou((a[0], a[0], a[1]), b) == interval_iou(b, a)


@given(st.lists(SPAN, max_size=8), st.lists(SPAN, max_size=6))
def test_matching_is_one_to_one_and_first_come(pred, true):
    matched = match_intervals(pred, true)
    taken = []
    for i in sorted(range(len(pred)), key=lambda i: pred[i]):
        ious = [interval_iou(pred[i], t) for t in true]
        best = min(range(len(true)), key=lambda t: (-ious[t], true[t]), default=-1)
        expected = best if ious and ious[best] >= 0.5 and best not in taken else -1
        assert matched[i] == expected
        taken += [best] if expected >= 0 else []
    used = matched[matched >= 0]
    assert len(set(used)) == len(used)


def test_half_an_overlap_is_enough_and_a_second_prediction_of_the_same_truth_is_not():
    assert match_intervals([(0, 4)], [(0, 9)]).tolist() == [0]  # 5 of 10 frames: exactly 0.5
    assert match_intervals([(0, 3)], [(0, 9)]).tolist() == [-1]
    assert match_intervals([(1, 10), (0, 9)], [(0, 9)]).tolist() == [-1, 0]  # in time order, not in row order


def test_hand_worked_example():
    truth = table(
        [
            ("s1", "a", 10, 19, "negative"),
            ("s1", "a", 40, 49, "surprise"),
            ("s1", "b", 10, 19, "positive"),
            ("s2", "a", 10, 19, "negative"),
        ]
    )
    found = predicted(
        [
            ("s1", "a", 10, 19, "negative"),  # TP, right
            ("s1", "a", 12, 21, "negative"),  # its truth is taken: FP
            ("s1", "a", 41, 50, "neutral"),  # TP, a miss of surprise
            ("s1", "b", 30, 39, "positive"),  # FP
            ("s2", "a", 9, 18, "positive"),  # TP, negative taken for positive
            ("s2", "c", 1, 5, "others"),  # a video without annotations: FP
        ]
    )
    e = evaluate(found, truth)
    assert (e.tp, e.fp, e.fn) == (3, 3, 1)
    assert (
        e.spotting_precision == 3 / 6
        and e.spotting_recall == 3 / 4
        and e.spotting_f1 == pytest.approx(6 / 10)
    )
    # negative: P 1, R 1/2.  positive (predicted, never true): 0, 0.  surprise: 0, 0.  others: left out.
    macro_p, macro_r = 1 / 3, 0.5 / 3
    assert e.recognition_f1 == pytest.approx(2 * macro_p * macro_r / (macro_p + macro_r))
    assert e.uf1 == pytest.approx((2 / 3) / 3) and e.uar == pytest.approx(macro_r)
    assert e.strs == pytest.approx(e.spotting_f1 * e.recognition_f1)
    assert list(e.confusion.columns) == list(CLASSES) and list(e.confusion.index) == list(EMOTIONS)
    assert e.confusion.loc["surprise", "neutral"] == 1 and e.confusion.loc["negative", "positive"] == 1
    assert e.confusion.to_numpy().sum() == e.tp


def test_with_fewer_classes_left_out_truth_leaves_recognition_but_not_spotting():
    truth = table([("s", "a", 0, 9, "others"), ("s", "b", 0, 9, "negative"), ("s", "c", 0, 9, "positive")])
    found = predicted(
        [("s", "a", 0, 9, "negative"), ("s", "b", 0, 9, "others"), ("s", "c", 0, 9, "positive")]
    )
    four, three = evaluate(found, truth), evaluate(found, truth, classes=EMOTIONS[:3])
    assert (three.tp, three.fp, three.fn) == (four.tp, four.fp, four.fn) == (3, 0, 0)
    assert four.recognition_f1 == pytest.approx(1 / 3)
    assert three.recognition_f1 == pytest.approx(1 / 2)  # negative missed (as others), positive right
    assert three.confusion.to_numpy().sum() == 2 and list(three.confusion.index) == list(EMOTIONS[:3])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([EMOTIONS, EMOTIONS[:3], ("surprise",)]))
def test_recognition_agrees_with_scikit_learn_over_the_matched_pairs(seed, classes):
    found, truth = random_tables(seed)
    e = evaluate(found, truth, classes)
    true_names, named = [], []
    for (s, v), rows in found.groupby(["subject", "video"]):
        inside = truth[(truth["subject"] == s) & (truth["video"] == v)]
        matched = match_intervals(
            rows[["onset", "offset"]].to_numpy(), inside[["onset", "offset"]].to_numpy()
        )
        for i, j in enumerate(matched):
            if j >= 0:
                true_names.append(inside["emotion"].iloc[j])
                named.append(rows["emotion"].iloc[i])
    assert (e.tp, e.fp, e.fn) == (len(named), len(found) - len(named), len(truth) - len(named))
    kept = [(t, n) for t, n in zip(true_names, named, strict=True) if t in classes]
    if not kept:
        assert e.recognition_f1 == e.uf1 == e.uar == e.strs == 0
        return
    t, n = map(list, zip(*kept, strict=True))
    present = [c for c in classes if c in t or c in n]
    p, r, f, _ = precision_recall_fscore_support(t, n, labels=present, zero_division=0)
    assert e.uf1 == pytest.approx(f.mean()) and e.uar == pytest.approx(r.mean())
    denominator = p.mean() + r.mean()
    assert e.recognition_f1 == pytest.approx(2 * p.mean() * r.mean() / denominator if denominator else 0)
    labels = list(CLASSES)
    assert np.array_equal(
        e.confusion.to_numpy(), confusion_matrix(t, n, labels=labels)[[labels.index(c) for c in classes]]
    )


def test_perfect_predictions_score_one_and_nothing_scores_zero():
    _, truth = random_tables(3)
    perfect = evaluate(truth.assign(score=1.0), truth)
    assert all(getattr(perfect, m) == 1 for m in METRICS)
    nothing = evaluate(predicted([]), truth)
    assert all(getattr(nothing, m) == 0 for m in METRICS) and nothing.fn == len(truth)
    assert all(getattr(evaluate(predicted([]), table([])), m) == 0 for m in METRICS)


def test_row_order_and_the_score_column_do_not_matter():
    found, truth = random_tables(7)
    shuffled = evaluate(
        found.sample(frac=1, random_state=1).drop(columns="score"), truth.sample(frac=1, random_state=2)
    )
    assert shuffled.to_dict() == evaluate(found, truth).to_dict()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_the_order_of_rows_never_matters_where_spans_and_overlaps_are_equal(seed, shuffle):
    """Many rows on few frames: the same onset, the same span under two names, two equally good truths."""
    rng = np.random.default_rng(seed)

    def rows(n):
        ends = rng.integers(0, 4, n) * 5
        spans = [(int(a), int(a) + int(rng.choice([4, 9]))) for a in ends]
        return [("s", "v", a, b, str(rng.choice(EMOTIONS))) for a, b in spans]

    found, truth = rows(7), rows(5)
    expected = evaluate(predicted(found), table(truth)).to_dict()
    shuffle.shuffle(found)
    shuffle.shuffle(truth)
    assert evaluate(predicted(found), table(truth)).to_dict() == expected


def test_predictions_count_in_order_of_onset_and_offset_and_the_earlier_of_equally_good_truths_counts():
    truth = table([("1", "a", 10, 20, "positive"), ("1", "a", 40, 50, "negative")])
    found = predicted([("1", "a", 10, 24, "negative"), ("1", "a", 10, 20, "positive")])
    assert evaluate(found, truth).recognition_f1 == evaluate(found[::-1], truth).recognition_f1 == 1
    truth = table([("1", "a", 10, 14, "positive"), ("1", "a", 15, 19, "negative")])
    found = predicted([("1", "a", 10, 19, "positive")])
    assert evaluate(found, truth).recognition_f1 == evaluate(found, truth[::-1]).recognition_f1 == 1


def test_whole_floats_are_the_ids_that_they_stand_for_and_other_spellings_are_refused():
    truth = table([("1", "a", 10, 14, "positive"), ("2", "7", 10, 14, "positive")])
    floats = predicted([(1.0, "a", 10, 14, "positive"), (2.0, 7.0, 10, 14, "positive")])
    assert evaluate(floats, truth).tp == 2 and evaluate(truth.assign(score=1.0), floats).tp == 2
    assert bootstrap(floats, truth, [1.0, 2], Intervals(n=9))["value"].iloc[-1] == 1
    for subject, video, named in (
        ("01", "a", "subject '01' is '1'"),
        ("1.0", "a", "subject '1.0' is '1'"),
        ("2", " 7", "video ' 7' is '7'"),
    ):
        with pytest.raises(InputError, match=named):
            evaluate(predicted([(subject, video, 10, 14, "positive")]), truth)
    assert evaluate(predicted([("3", "a", 10, 14, "positive"), ("1", "07b", 1, 2, "others")]), truth).fp == 2


def test_an_evaluation_is_json():
    found, truth = random_tables(1)
    e = evaluate(found, truth)
    back = json.loads(json.dumps(e.to_dict()))
    assert back["strs"] == e.strs and back["confusion"]["counts"] == e.confusion.to_numpy().tolist()


def test_bootstrap_value_is_the_evaluation_and_samples_equal_evaluating_repeated_subjects():
    found, truth = random_tables(5)
    boot = bootstrap(found, truth, SUBJECTS, Intervals(n=200, seed=3)).set_index("metric")
    e = evaluate(found, truth)
    for m in METRICS:
        assert boot.loc[m, "value"] == pytest.approx(getattr(e, m))
        assert boot.loc[m, "low"] <= boot.loc[m, "high"]
    # One bootstrap sample by hand: draw subjects, give the copies new names, evaluate the repeated tables.
    drawn = np.random.default_rng([3, 0]).integers(0, 4, (1, 4))[0]
    copies = [
        [t[t["subject"] == SUBJECTS[s]].assign(subject=f"copy{i}") for i, s in enumerate(drawn)]
        for t in (found, truth)
    ]
    by_hand = evaluate(*(pd.concat(c, ignore_index=True) for c in copies))
    one = bootstrap(found, truth, SUBJECTS, Intervals(n=1, seed=3)).set_index("metric")
    for m in METRICS:
        assert one.loc[m, "low"] == one.loc[m, "high"] == pytest.approx(getattr(by_hand, m))


def test_bootstrap_is_seeded_and_without_spread_when_subjects_are_alike():
    found, truth = random_tables(5)
    once, again = (bootstrap(found, truth, SUBJECTS, Intervals(n=50, seed=1)) for _ in range(2))
    assert once.equals(again)
    alike = [[t[t["subject"] == "s0"].assign(subject=s) for s in SUBJECTS] for t in (found, truth)]
    boot = bootstrap(*(pd.concat(a, ignore_index=True) for a in alike), SUBJECTS, Intervals(n=50))
    assert np.allclose(boot["low"], boot["value"]) and np.allclose(boot["high"], boot["value"])


def test_paired_difference_of_a_method_and_itself_is_zero_and_of_perfect_and_nothing_is_one():
    found, truth = random_tables(5)
    same = paired_difference(found, found, truth, SUBJECTS, Intervals(n=50))
    assert (same[["difference", "low", "high"]] == 0).all(axis=None) and (same["p_value"] == 1).all()
    subjects = [f"s{i}" for i in range(12)]
    _, truth = random_tables(8, n_subjects=12)
    gain = paired_difference(
        predicted([]), truth.assign(score=1.0), truth, subjects, Intervals(n=400)
    ).set_index("metric")
    assert gain.loc["strs", "difference"] == 1 and gain.loc["strs", "low"] == 1
    assert gain.loc["strs", "p_value"] <= 3 / 401  # all twelve subjects exchanged or none: 2 in 4096


def test_seed_spread():
    evaluations = {s: evaluate(*random_tables(s)) for s in (1, 2, 3)}
    spread = seed_spread(evaluations).set_index("metric")
    values = [e.strs for e in evaluations.values()]
    assert spread.loc["strs", "mean"] == pytest.approx(np.mean(values))
    assert spread.loc["strs", "sd"] == pytest.approx(np.std(values, ddof=1))
    assert spread.loc["strs", ["min", "median", "max"]].tolist() == sorted(values)
    assert spread["n_seeds"].eq(3).all()


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda f, t: evaluate(f, t, classes=("neutral",)), "classes is"),
        (lambda f, t: evaluate(f, t, classes=()), "classes is"),
        (lambda f, t: evaluate(f.drop(columns="onset"), t), "onset missing"),
        (lambda f, t: bootstrap(f, t, ["s0"]), "subjects lacks"),
        (lambda f, t: bootstrap(f, t, []), "exactly once"),
        (lambda f, t: bootstrap(f, t, SUBJECTS, Intervals(level=95)), "level is 95"),
        (lambda f, t: bootstrap(f, t, SUBJECTS, Intervals(n=0)), "n is 0"),
        (lambda f, t: seed_spread({}), "empty"),
        (lambda f, t: match_intervals([1, 2], [(1, 2)]), "pred has shape"),
        (lambda f, t: match_intervals([(0, 4)], [(9, 5)]), "true holds a row"),
        (lambda f, t: match_intervals([(0, np.nan)], [(5, 9)]), "pred holds a row"),
        (lambda f, t: match_intervals([(0, 4)], [(5, 9)], threshold=0), "threshold is 0"),
        (lambda f, t: match_intervals([(0, 4)], [(5, 9)], threshold=50), "threshold is 50"),
        (lambda f, t: interval_iou((4, 0), (0, 4)), "a holds a row"),
        (lambda f, t: interval_iou((0, 4), ()), "b is empty"),
        (lambda f, t: evaluate(None, t), "prediction table: a NoneType"),
        (lambda f, t: evaluate(f, t.assign(subject=None)), "row 0: subject is missing"),
        (lambda f, t: evaluate(f, t, classes="negative"), "classes is 'negative'"),
        (lambda f, t: bootstrap(f, t, "s0"), "subjects is 's0'"),
        (lambda f, t: bootstrap(f, t, SUBJECTS, Intervals(seed=-1)), "seed is -1"),
    ],
)
def test_bad_input_is_named(call, named):
    with pytest.raises(InputError, match=named):
        call(*random_tables(5))


def test_absent_classes_and_videos_without_truth_are_counted_as_the_rule_says():
    """One class of four occurs and is right; a prediction in a video without truth."""
    truth = table([("s", "a", 0, 9, "negative"), ("s", "a", 20, 29, "negative")])
    found = predicted([("s", "a", 0, 9, "negative"), ("s", "b", 0, 9, "negative")])
    ours, zero, megc = (
        evaluate(found, truth, **rule) for rule in ({}, {"absent": "zero"}, {"preset": "megc"})
    )
    assert (ours.uf1, zero.uf1, megc.uf1) == (1, 1 / 4, 1 / 4)
    assert (ours.fp, zero.fp, megc.fp) == (1, 1, 0) and megc.spotting_f1 == pytest.approx(2 / 3)
    variants = scoring_variants(found, truth).set_index("rule")
    assert variants["fp"].tolist() == [1, 1, 0, 0] and variants.loc["ours", "strs"] == ours.strs
    named_wrongly = predicted([("s", "a", 0, 9, "negative"), ("s", "a", 20, 29, "positive")])
    last = scoring_variants(named_wrongly, truth).set_index("rule")["uar"]
    assert last["megc"] == 1 / 8 and last["megc, macro precision as UAR"] == 1 / 4  # recall 1/2; precision 1
    with pytest.raises(InputError, match="preset is 'casme'"):
        evaluate(found, truth, preset="casme")
    with pytest.raises(InputError, match="absent is 'skip'"):
        evaluate(found, truth, absent="skip")


def test_macro_expressions_are_matched_with_their_own_kind_and_not_named():
    truth = table([("s", "a", 0, 9, "negative"), ("s", "a", 0, 60, "others")]).assign(kind=["micro", "macro"])
    found = predicted([("s", "a", 0, 9, "negative"), ("s", "a", 0, 50, "negative")]).assign(
        kind=["macro", "macro"]
    )
    alone = evaluate(found, truth)
    assert (alone.tp, alone.fp, alone.fn) == (0, 0, 1)  # both predictions are macro ones
    both = evaluate(found, truth, kinds=("micro", "macro"))
    assert (both.tp, both.fp, both.fn) == (1, 1, 1) and both.confusion.to_numpy().sum() == 0
    assert evaluate(found.drop(columns="kind"), truth).tp == 1
    with pytest.raises(InputError, match="row 1: kind is 'mikro'"):
        evaluate(found.assign(kind=["micro", "mikro"]), truth)
    with pytest.raises(InputError, match="kinds is"):
        evaluate(found, truth, kinds=("all",))


def test_an_interval_is_written_with_what_is_undefined_left_open():
    assert interval_text(0.6483, 0.5542, 0.74) == "0.648 [0.554, 0.740]"
    assert interval_text(0.5, float("nan"), None) == "0.500 [–, –]"


# --- how a result shows itself --------------------------------------------------------------------


def test_an_evaluation_says_itself_in_one_line_and_as_a_table():
    found, truth = random_tables(3)
    result = evaluate(found, truth)
    line = repr(result)
    assert isinstance(result, Evaluation) and "\n" not in line
    assert f"{result.tp} TP, {result.fp} FP, {result.fn} FN" in line and f"STRS {result.strs:.3f}" in line
    page = result._repr_html_()
    assert line in page and page.count("<th>") >= len(result.confusion)
