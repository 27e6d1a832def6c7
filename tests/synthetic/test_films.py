"""Version 2's plans: what a film says happens in it is what its frames do, and it is drawn as the sheets say.

The statistics of the priors are those of the published coding sheets (quantiles of lengths and of the share
before the apex, numbers of AUs, one-sided labels, emotions), written down here once more on purpose.
"""

import dataclasses
import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metst_core.errors import InputError
from metst_core.synthetic import (
    CONDITIONS,
    PRIORS,
    UNIT_INDEX,
    UNIT_NAMES,
    UNITS,
    Renderer,
    conditions_of,
    draw_person,
    film_tables,
    identity,
    intensity_of,
    plan_film,
)
from metst_core.synthetic.camera import auto_exposure
from metst_core.synthetic.draws import Quantiles, Stream, five_numbers
from metst_core.synthetic.events import meet
from metst_core.synthetic.expressions import ME_GAP, plan_micro
from metst_core.synthetic.life import head_reach
from metst_core.synthetic.persons import persons_table
from metst_core.tables import EMOTIONS, check_annotations

ROOT = Path(__file__).parents[2]

rates = st.sampled_from([24, 25, 29.97, 30, 60, 100, 200])
priors = st.sampled_from(sorted(PRIORS))
tiers = st.sampled_from(sorted(CONDITIONS))
films = st.tuples(st.integers(0, 2**64), st.integers(0, 200), st.integers(0, 3), rates, priors, tiers)


def film(key, seconds=8.0, **knobs):
    seed, index, video, fps, prior, tier = key
    return plan_film(draw_person(seed, index), video, seconds, fps, seed, prior, tier, **knobs)


def crowded(name, per_minute=30.0):
    """The prior with so many MEs that short films have some."""
    return dataclasses.replace(PRIORS[name], me_per_minute=per_minute)


def aus(event):
    return frozenset(name.rstrip("LR") for name in event.units)


# Draws


@given(st.integers(0, 10**9), st.lists(st.floats(0.1, 10), min_size=6, max_size=6))
def test_a_rank_and_its_value_belong_together(seed, steps):
    low, *inner, high = np.cumsum([0.0, *steps]).tolist()
    spread = five_numbers(low, tuple(inner), high)
    rank = Stream(seed).uniform()
    assert spread.share_below(spread.at(rank)) == pytest.approx(rank, abs=1e-9)
    assert spread.at(0.5) == pytest.approx(inner[2]) and spread.at(0) == low and spread.at(1) == high


def test_a_distribution_with_a_flat_stretch_gives_it_its_share():
    spread = Quantiles((0, 0.05, 1), (0, 0, 1))  # a twentieth of the values is 0
    draw = Stream(1)
    values = np.array([spread.at(draw.uniform()) for _ in range(4000)])
    assert np.mean(values == 0) == pytest.approx(0.05, abs=0.015)
    assert spread.mean == pytest.approx(0.475) == pytest.approx(values.mean(), abs=0.02)


@pytest.mark.parametrize("reach", [0.1, 0.35, 1.0])
def test_habits_leave_the_population_as_it_is(reach):
    """Ranks near persons' own ranks are spread evenly over the population, and persons differ."""
    draw = Stream(2)
    ranks = np.array([[draw.near(centre, reach) for _ in range(20)] for centre in np.linspace(0, 1, 500)])
    assert ranks.min() >= 0 and ranks.max() <= 1
    assert np.quantile(ranks, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.02)
    if reach < 1:  # within all of the population, a person's own rank is forgotten
        assert (np.diff(ranks.mean(axis=1)[[50, 250, 450]]) > 0.05).all()


@pytest.mark.parametrize("mean", [0.0, 0.2, 3.0, 25.0])
def test_happenings_are_as_many_and_as_uneven_as_independent_ones(mean):
    """A Poisson count has its mean as its variance."""
    draw = Stream(3)
    counts = np.array([draw.happenings(mean) for _ in range(3000)])
    assert counts.mean() == pytest.approx(mean, abs=0.06 * mean + 1e-12)
    assert counts.var() == pytest.approx(mean, abs=0.12 * mean + 1e-12)


def test_weighted_choices_come_as_often_as_their_weights_say():
    draw = Stream(4)
    counts = Counter(draw.weighted("abc", [1, 0, 3]) for _ in range(4000))
    assert counts["b"] == 0 and counts["c"] / 4000 == pytest.approx(0.75, abs=0.03)


# Films


@settings(max_examples=60, deadline=None)
@given(films)
def test_every_event_lies_in_its_film_and_moves_as_it_says(key):
    seed, index, video, fps, prior, tier = key
    chosen = crowded(prior)
    plan = film((seed, index, video, fps, chosen, tier), dropped=0)
    n_frames, longest = round(8 * fps), PRIORS[prior].longest
    assert plan.n_frames == n_frames and plan.intensity.shape == (n_frames, len(UNIT_NAMES))
    for event in plan.events:
        assert 0 <= event.onset < event.apex <= event.apex + event.hold < event.offset < n_frames
        assert all(0 < lag < event.apex - event.onset for _, lag in event.lags)
        assert {name for name, _ in event.lags} <= set(event.units) <= set(UNIT_NAMES)
    inside = np.zeros(n_frames, bool)
    last = -np.inf
    for event in plan.micro_expressions:
        assert event.onset - last > ME_GAP * fps
        last = event.offset
        seconds = (event.offset - event.onset) / fps
        assert chosen.shortest - 1e-9 <= seconds <= longest + 1e-9
        assert 0.004 <= event.strength <= 0.035
        assert max(event.units.values()) == event.strength
        span = plan.me_intensity[event.onset : event.offset + 1]
        assert (span[[0, -1]] == 0).all() and (span[1:-1].max(axis=1) > 0).all()
        assert span.sum(axis=1).argmax() == event.apex - event.onset
        assert span.max() == pytest.approx(event.strength, rel=1e-5)
        for name, lag in event.lags:
            column = span[:, UNIT_INDEX[name]]
            assert (column[: lag + 1] == 0).all() and column[lag + 1] > 0
        inside[event.onset + 1 : event.offset] = True
    assert (plan.me_intensity[~inside] == 0).all()
    gaze = [UNIT_INDEX["gaze_x"], UNIT_INDEX["gaze_y"]]
    assert (np.delete(plan.intensity - plan.me_intensity, gaze, axis=1) > -1e-6).all()


@settings(max_examples=30, deadline=None)
@given(films)
def test_macro_expressions_that_coincide_go_no_further_than_the_strongest(key):
    plan = film((*key[:4], crowded(key[4]), key[5]), dropped=0)
    macro = [event for event in plan.events if event.kind == "macro"]
    others = [event for event in plan.events if event.kind != "macro"]
    beside = intensity_of(others, plan.n_frames)
    for name, held in plan.person.rest.items():
        beside[:, UNIT_INDEX[name]] += held
    for name, at in UNIT_INDEX.items():
        left = plan.intensity[:, at] - beside[:, at]
        each = [event.units[name] * event.curve(plan.n_frames, dict(event.lags).get(name, 0)) for event in macro if name in event.units]  # fmt: skip
        np.testing.assert_allclose(left, np.max(each, axis=0) if each else 0, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(films)
def test_two_macro_expressions_share_the_action_units_of_every_micro_expression(key):
    plan = film((*key[:4], crowded(key[4]), key[5]))
    micro = Counter(aus(e) for e in plan.micro_expressions)
    macro = Counter(aus(e) for e in plan.events if e.kind == "macro")
    assert all(macro[units] >= 2 * times for units, times in micro.items())


@settings(max_examples=40, deadline=None)
@given(films)
def test_macro_expressions_overlap_as_many_micro_expressions_as_asked(key):
    key = (*key[:4], crowded(key[4], 10), key[5])
    over = film(key, seconds=20.0, macro_overlap=1.0)
    apart = film(key, seconds=20.0, macro_overlap=0.0)

    def overlapped(plan):
        return [
            any(meet(e, m) and aus(e) == aus(m) for m in plan.events if m.kind == "macro")
            for e in plan.micro_expressions
        ]

    assert all(overlapped(over))
    assert sum(overlapped(apart)) <= sum(overlapped(over))


def test_without_overlap_and_with_room_no_macro_expression_meets_a_micro_expression():
    for index in range(15):
        plan = plan_film(draw_person(0, index), 0, 60.0, 30, 0, "sammlv", "hard", macro_overlap=0)
        for event in (e for e in plan.events if e.kind == "macro"):
            assert not any(meet(event, m) for m in plan.micro_expressions)


@settings(max_examples=40, deadline=None)
@given(films)
def test_a_micro_expression_cut_by_a_blink_falls_behind_closed_lids(key):
    key = (*key[:4], crowded(key[4]), key[5])
    plan, uncut = film(key, blink_cut=1.0), film(key, blink_cut=0.0)
    assert not any(e.hold for e in uncut.micro_expressions)
    times = [(e.onset, e.apex, e.offset) for e in plan.micro_expressions]
    assert times == [(e.onset, e.apex, e.offset) for e in uncut.micro_expressions]
    blinks = [e for e in plan.events if e.kind == "blink"]
    for event in plan.micro_expressions:
        starts = event.apex + event.hold
        covering = [b for b in blinks if b.onset == starts and b.offset >= event.offset]
        # the last of a film may lack the room for its blink
        assert covering or event.offset + plan.fps > plan.n_frames


def test_a_share_of_the_micro_expressions_is_cut_by_a_blink_and_the_table_says_which():
    table = film_tables(5, range(20), 1, 60, prior="dense", tier="hard")["truth/micro_expressions.csv"]
    assert table["cut_by_blink"].mean() == pytest.approx(conditions_of("hard").blink_cut, abs=0.06)
    assert table.loc[table["cut_by_blink"], "during"].str.contains("blink").all()
    assert table["during"].str.contains("speech").mean() > 0.4  # MEs ride on speech


@settings(max_examples=40, deadline=None)
@given(films)
def test_head_jaw_and_eyes_stay_within_the_conditions(key):
    plan = film(key)
    knobs = conditions_of(key[5])
    head = plan.head - np.array([0, 0, 0, 1, 0, 0])
    assert (np.abs(head) <= np.array(head_reach(knobs)) + 1e-9).all()
    assert np.abs(plan.head[:, 4]).max() <= knobs.head_degrees <= 20
    assert (np.hypot(*plan.gaze.T) <= knobs.gaze_degrees * (1 + 1e-5)).all()
    assert (plan.jaw >= 0).all() and (plan.gain > 0).all() and (plan.noise > 0).all()
    assert plan.gain == pytest.approx(plan.light * plan.exposure)
    spoken = np.zeros(plan.n_frames, bool)
    for bout in (e for e in plan.events if e.kind == "speech"):
        spoken[bout.onset : bout.offset + 1] = True
    assert (plan.jaw[~spoken[plan.shown]] == 0).all()
    swallows = [e for e in plan.events if e.kind == "swallow"]
    assert not any(meet(s, b) and b.kind == "speech" for s in swallows for b in plan.events if b is not s)
    assert 0 <= plan.camera.rolling_shutter <= 1 / plan.fps + 1e-12


def test_life_is_as_lively_as_its_knobs_say():
    """Rates and shares over many persons; 17 and 26 blinks a minute are those of Bentivoglio et al. (1997)."""
    for tier, blinks in (("calm", 17), ("interview", 26)):
        plans = [plan_film(draw_person(7, i), 0, 120.0, 30, 7, "casme3", tier) for i in range(60)]
        knobs = conditions_of(tier)
        kinds = Counter(e.kind for p in plans for e in p.events)
        assert kinds["blink"] / 120 == pytest.approx(blinks, rel=0.15)
        assert kinds["swallow"] / 120 == pytest.approx(0.98, rel=0.3)
        assert kinds["gaze"] / 120 == pytest.approx(knobs.gaze_per_minute, rel=0.15)
        share = np.mean(
            [sum(e.offset - e.onset for e in p.events if e.kind == "speech") / 3600 for p in plans]
        )
        assert share == pytest.approx(knobs.speech_share, abs=0.06)
    yaw = np.concatenate([p.head[:, 4] for p in plans])
    assert np.abs(yaw).max() > 0.8 * knobs.head_degrees
    jaw = np.concatenate([p.jaw[p.jaw > 0] for p in plans])  # IOD; an IOD is about 90 mm and 100 pixels
    middle, wide, widest = np.quantile(jaw, [0.5, 0.95, 0.999])
    assert 0.01 < middle < 0.05 < wide < 0.12 and widest < 0.2
    syllables = [
        sum(e.kind == "viseme" for e in p.events) / 2 / max(1, sum(e.offset - e.onset for e in p.events if e.kind == "speech") / 30)
        for p in plans
    ]  # fmt: skip
    assert 2 < np.median(syllables) < 7  # mouths open 2 to 7 times a second (Chandrasekaran et al., 2009)


@given(st.floats(0.1, 3.0), st.floats(0.5, 2.0))
def test_auto_exposure_makes_up_for_a_jump_of_the_light(seconds, jump):
    light = np.concatenate([np.ones(30), np.full(round(12 * seconds * 30), jump)])
    gain = light * auto_exposure(light, seconds, 30)
    assert (
        gain[:30] == pytest.approx(1)
        and gain[30] == pytest.approx(jump)
        and gain[-1] == pytest.approx(1, abs=1e-3)
    )
    assert (auto_exposure(light, 0, 30) == 1).all()


def test_turning_one_knob_leaves_the_rest_of_the_plan_as_it_was():
    base = plan_film(draw_person(3, 1), 0, 20.0, 30, 3, "dense", "interview")
    other = plan_film(
        draw_person(3, 1), 0, 20.0, 30, 3, "dense", "interview", noise=9, sway=0.02, gaze_per_minute=60
    )
    assert base.micro_expressions == other.micro_expressions
    for kind in ("macro", "blink", "viseme", "swallow"):
        assert [e for e in base.events if e.kind == kind] == [e for e in other.events if e.kind == kind]
    assert np.array_equal(base.light, other.light) and not np.array_equal(base.head, other.head)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tier": "easy"}, "'calm', 'interview', 'hard'"),
        ({"prior": "casme2"}, "'casme3', 'sammlv', 'dense'"),
        ({"loudness": 1}, "loudness.*speech_share"),
        ({"fps": 10}, "fps.*24 to 200"),
        ({"seconds": 0.5}, "seconds"),
        ({"codec": "gif"}, "codec"),
        ({"codec": "h264", "quality": 90}, "CRF"),
        ({"quality": 0}, "JPEG"),
        ({"gain": (3, 1)}, "gain.*rising"),
        ({"gain": 2}, "gain.*two numbers"),
        ({"blink_cut": 1.5}, "blink_cut"),
        ({"head_degrees": float("nan")}, "head_degrees"),
        ({"person": 3}, "draw_person"),
    ],
)
def test_what_cannot_be_planned_is_named(arguments, words):
    with pytest.raises(InputError, match=words):
        plan_film(**{"person": draw_person(0, 0), "video": 0, "seconds": 5.0, **arguments})


# Priors


N_PERSONS = 1500


@pytest.fixture(scope="module")
def many():
    """Prior -> the MEs of many persons, 3 per person in the mean, at 200 frames per second (little rounding)."""

    def draw(prior):
        frames = round(3 / prior.me_per_minute * 60 * 200)
        return [plan_micro(Stream(11, i), draw_person(11, i), prior, frames, 200) for i in range(N_PERSONS)]

    return {name: draw(prior) for name, prior in PRIORS.items()}


SHEETS = {
    # name: lengths (5, 25, 50, 75, 95%), share before the apex, AUs 1 / 2 / 3+, one-sided, emotions
    "casme3": (
        (0.27, 0.47, 0.70, 1.10, 2.33), (0.0, 0.18, 0.29, 0.42, 0.60), (0.78, 0.19, 0.03), 0.10,
        {"negative": 457, "surprise": 187, "others": 160, "positive": 55},
    ),
    "sammlv": (
        (0.21, 0.28, 0.38, 0.45, 0.49), (0.25, 0.36, 0.44, 0.56, 0.75), (0.68, 0.25, 0.07), 0.26,
        {"negative": 92, "positive": 26, "others": 26, "surprise": 15},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHEETS)
def test_micro_expressions_are_distributed_as_the_sheet_says(many, name):
    """Tolerances: lengths 10% (the longest quantile 15%), shares of the length .04, of the MEs .05."""
    lengths, before_apex, n_units, one_sided, emotions = SHEETS[name]
    events = [e for person in many[name] for e in person]
    assert len(events) / N_PERSONS == pytest.approx(3, rel=0.1)
    drawn = np.quantile([(e.offset - e.onset) / 200 for e in events], [0.05, 0.25, 0.5, 0.75, 0.95])
    assert drawn[:4] == pytest.approx(lengths[:4], rel=0.1) and drawn[4] == pytest.approx(
        lengths[4], rel=0.15
    )
    shares = [(e.apex - e.onset) / (e.offset - e.onset) for e in events]
    assert np.quantile(shares, [0.05, 0.25, 0.5, 0.75, 0.95]) == pytest.approx(before_apex, abs=0.04)
    counts = Counter(min(len(aus(e)), 3) for e in events)
    assert [counts[n] / len(events) for n in (1, 2, 3)] == pytest.approx(n_units, abs=0.05)
    sides = [{name[-1] for name in e.units} for e in events]
    assert np.mean([s in ({"L"}, {"R"}) for s in sides]) == pytest.approx(one_sided, abs=0.05)
    named = Counter(e.emotion for e in events)
    for emotion, count in emotions.items():
        assert named[emotion] / len(events) == pytest.approx(count / sum(emotions.values()), abs=0.05)


def test_the_dense_prior_draws_from_both_sheets_and_ends_at_a_second(many):
    events = [e for person in many["dense"] for e in person]
    assert len(events) / N_PERSONS == pytest.approx(3, rel=0.1)
    seconds = np.array([(e.offset - e.onset) / 200 for e in events])
    assert 0.13 <= seconds.min() < seconds.max() <= 1
    # half of SAMM-LV's (all within .2 to .5 s), and the CAS(ME)^3 ones up to 1 s: of these 40% are longer than .5 s
    assert np.mean(seconds > 0.5) == pytest.approx(0.3, abs=0.05)
    named = Counter(e.emotion for e in events)
    assert named["negative"] / len(events) == pytest.approx(0.4, abs=0.04)


def test_emotions_share_action_units():
    """AU4 stands for anger, disgust, fear, sadness, happiness, surprise and others in CAS(ME)^3's list."""
    shares = PRIORS["casme3"].label_shares()
    assert sum(sum(row.values()) for row in shares.values()) == pytest.approx(1)
    assert all(shares[(4,)][emotion] > 0 for emotion in EMOTIONS)
    assert 0.5 < PRIORS["casme3"].named_right_at_best() < 0.8
    assert 0.5 < PRIORS["dense"].named_right_at_best() < 0.9


# Persons


def test_a_person_is_the_same_in_all_films_and_unlike_the_others(many):
    assert draw_person(4, 2) == draw_person(4, 2) != draw_person(4, 3)
    persons = many["dense"]
    several = [p for p in persons if len(p) >= 6]
    strengths = [np.array([e.strength for e in p]) for p in several]
    between = np.var([s.mean() for s in strengths])
    within = np.mean([s.var(ddof=1) / len(s) for s in strengths])
    assert between > 3 * within  # if persons did not differ, the two would be equal
    one_sided = [[e for e in p if len({n[-1] for n in e.units} & {"L", "R"}) == 1] for p in persons]
    sides = [(e, draw_person(11, i).side) for i, p in enumerate(one_sided) for e in p if len(e.units) == 1 and next(iter(e.units))[-1] in "LR"]  # fmt: skip
    assert np.mean([next(iter(e.units))[-1] == side for e, side in sides]) == pytest.approx(0.75, abs=0.06)


def test_numbers_of_micro_expressions_differ_between_persons_as_in_the_sheets(many):
    """CAS(ME)^3: 1 to 57 per subject, mean 9.1."""
    persons = many["casme3"]
    counts = np.array([len(p) for p in persons])
    assert counts.max() > 4 * counts.mean() and np.quantile(counts, 0.25) < 0.5 * counts.mean()


# Tables


def text_of(tables):
    return "".join(
        f"{name}\n{table.to_csv(index=False, lineterminator=chr(10))}" for name, table in tables.items()
    )


def test_tables_have_the_bytes_that_other_machines_made():
    """The hash was written on the project's machine; if it changes, raise `FILM_VERSION` and write it anew."""
    text = "".join(
        text_of(film_tables(2026, range(2), 2, 10, fps, prior, tier))
        for fps, prior, tier in ((30, "dense", "calm"), (25, "casme3", "interview"), (200, "sammlv", "hard"))
    )
    assert (
        hashlib.sha256(text.encode()).hexdigest()
        == "337f6ae171bd2235143a617a36cad806829ad6e5884f0aac08e054da019d082a"
    )


def test_tables_do_not_depend_on_the_process():
    code = (
        "import sys; from metst_core.synthetic import film_tables;"
        "t = film_tables(9, range(2), 1, 10, prior='dense', tier='hard');"
        "sys.stdout.write(''.join(f'{n}\\n{x.to_csv(index=False, lineterminator=chr(10))}' for n, x in t.items()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert run.stdout == text_of(film_tables(9, range(2), 1, 10, prior="dense", tier="hard"))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**64), priors, tiers)
def test_tables_belong_together_even_without_a_micro_expression(seed, prior, tier):
    tables = film_tables(seed, range(1, 3), 2, 2, 30, prior, tier)
    micro = tables["truth/micro_expressions.csv"]
    for name in ("annotations.csv", "truth/annotator_1.csv", "truth/annotator_2.csv"):
        assert len(check_annotations(tables[name])) == len(micro)
        assert (tables[name]["offset"] < 60).all()
    assert tables["persons.csv"]["subject"].tolist() == ["s002", "s003"]
    assert tables["videos.csv"]["path"].str.endswith(".avi" if tier == "calm" else ".mp4").all()
    assert "viseme" not in set(tables["truth/distractors.csv"]["kind"])
    persons = tables["persons.csv"]
    habits = persons_table([draw_person(seed, 1)], ["s002"])
    assert habits.equals(persons.loc[:0, habits.columns]) and persons["look"].tolist() == ["head 1", "head 2"]


def test_version_1s_renderer_can_draw_a_film_plan():
    """Units, jaw and head of a plan are what the portraits' renderer takes: speech moves the mouth alone."""
    plan = plan_film(draw_person(5, 1), 0, 5.0, 30, 5, "dense", "interview")
    renderer = Renderer(identity(2025, 0))
    wide = int(plan.jaw.argmax())
    shut = plan.intensity[wide].copy()
    mouth = [i for i, unit in enumerate(UNITS) if unit.au is not None and unit.au >= 17 and unit.au != 45]
    shut[mouth] = 0
    moved = np.abs(
        renderer.frame(plan.intensity[wide], plan.head[wide]).astype(int)
        - renderer.frame(shut, plan.head[wide])
    ).sum(axis=2)
    lips, brows = (renderer.identity.mesh[i].round().astype(int) for i in (17, 105))
    assert moved[lips[1] - 8 : lips[1] + 8, lips[0] - 8 : lips[0] + 8].max() > 30
    assert moved[brows[1] - 8 : brows[1] + 8, brows[0] - 8 : brows[0] + 8].max() == 0
