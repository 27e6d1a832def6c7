"""The second edition's films, windows, choice and card, at the smallest size."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support.own_videos import mouth_model

from metst_core.errors import InputError
from metst_core.experiment import edition, edition_card, edition_windows, instrument
from metst_core.experiment.edition_films import WINDOW, FilmMotion
from metst_core.experiment.perturbing import perturbations
from metst_core.footage import evidence
from metst_core.inference import Seen
from metst_core.motion import MotionWindow
from metst_core.rois import roi_names
from metst_core.synthetic import Event
from metst_core.video import read_frames, write_video

ROW = {"onset": 30, "apex": 36, "offset": 42, "emotion": "surprise", "strength": 0.02}


def made_up(n_frames=150, path=None):
    """A film whose ROIs go along `path (2R, n)`, measured without error."""
    path = np.cumsum(np.random.default_rng(1).normal(size=(36, n_frames)), axis=1) if path is None else path
    windows = []
    for start in range(0, n_frames - WINDOW // 2, WINDOW // 2):
        part = path[:, start : start + WINDOW]
        n = part.shape[1]
        part = np.pad(part, ((0, 0), (0, WINDOW - n)), mode="edge") - part[:, :1]
        windows.append(
            MotionWindow(
                start, part.astype(np.float32), np.ones(n, bool), np.zeros((2, WINDOW)), np.zeros((2, WINDOW))
            )
        )
    nothing = np.full(n_frames, np.nan)
    seen = Seen(np.full((n_frames, 4), np.nan), nothing, nothing, nothing, nothing, nothing)
    return FilmMotion("s003", "v000", "calm", "sammlv", windows, n_frames, pd.DataFrame([ROW]), seen), path


def test_nobody_is_in_two_parts():
    parts = edition.Edition()
    persons = [
        {s.first_subject + i for s in sets for i in range(s.n_subjects)}
        for sets in (parts.train, parts.choose, parts.report)
    ]
    assert not (persons[0] & persons[1] or persons[0] & persons[2] or persons[1] & persons[2])
    assert set(evidence.CAST) == persons[1]  # what is judged is measured on those who choose
    assert {s.prior for s in parts.train} == {"sammlv", "casme3", "dense"}
    assert {s.tier for s in parts.train} == {"calm", "interview"}


def test_a_candidate_differs_in_what_it_says_alone():
    plain = edition.config_of("plain").to_dict()
    for name, changes in edition.CANDIDATES.items():
        other = edition.config_of(name).to_dict()
        assert {key for key in plain if plain[key] != other[key]} == set(changes)


def worth(**better):
    rows = {name: {"calm touched": 0.1, "calm found": 0.1} for name in edition.CANDIDATES}
    rows[edition.FIRST] = {"calm touched": 1.0, "calm found": 1.0}
    return rows | {name: {"calm touched": 0.1, "calm found": found} for name, found in better.items()}


def test_the_best_candidate_touches_and_finds_most():
    assert (
        edition.best_of(worth(**{"two pathways": 0.2})) == "two pathways"
    )  # the first edition is no candidate
    assert edition.best_of(worth(LSTM=0.2, plain=0.15)) == "plain"  # nor are rivals


def test_what_is_better_is_tried_together():
    backwards, later, loss = (
        "half of the blocks read backwards", "five frames of look-ahead", "cross-entropy of the score"
    )  # fmt: skip
    name = edition.together(worth(**{backwards: 0.2, later: 0.3, loss: 0.4}))
    assert name == f"together: {loss} + {later} + {backwards}"
    config = edition.config_of(name)
    assert (config.score_loss, config.variant) == ("cross-entropy", "look5+centred")
    assert edition.best_of({**worth(**{loss: 0.4}), name: {"calm touched": 0.5, "calm found": 0.5}}) == name
    assert (
        edition.together(worth(**{"LSTM": 0.3, "twice as wide": 0.3, loss: 0.2})) == ""
    )  # a rival, a larger one, one alone
    assert edition.together(worth()) == ""


def test_windows_begin_anywhere():
    """Chained windows of a film without measuring error are those that would have been measured."""
    film, path = made_up()
    for phase in (0, 7, 24):
        found = dict(edition_windows.windows_at(film, phase))
        assert phase in found and phase + 50 in found
        for start, motion in found.items():
            wanted = path[:, start : start + WINDOW]
            wanted = np.pad(wanted, ((0, 0), (0, WINDOW - wanted.shape[1])), mode="edge") - wanted[:, :1]
            np.testing.assert_allclose(motion, wanted, atol=1e-4)


def test_a_movement_is_planted_against_the_first_frame():
    event = Event("micro", 10, 20, 30, 0, "surprise", "surprise", 0.02, {"AU1L": 0.02})
    response = np.linspace(0.25, 1, 4)[:, None] * np.ones(36)  # a pixel at the apex
    still = np.zeros((36, WINDOW), np.float32)
    before = edition_windows.planted(still, 0, [event], [response])
    assert before[0, 20] == pytest.approx(1) and before[0, [0, 10, 30, 49]] == pytest.approx(0)
    inside = edition_windows.planted(still, 20, [event], [response])  # begins at the apex
    assert inside[0, 0] == 0 and inside[0, 10:] == pytest.approx(-1)


def test_a_mirror_turns_sides_and_x():
    motion = np.zeros((36, WINDOW), np.float32)
    names = roi_names("metst_plus")
    motion[2 * names.index("left_brow_inner")] = 2.0  # to the right
    turned = edition_windows.mirrored(motion)
    assert (turned[2 * names.index("right_brow_inner")] == -2).all() and np.abs(turned).sum() == 2 * WINDOW
    assert (edition_windows.mirrored(turned) == motion).all()


def test_planted_movements_keep_off_those_of_the_film():
    film, _ = made_up(300)
    planting = edition_windows.Planting(turns=2, per_minute=60)
    events = [e for turn in (1, 2) for e in edition_windows.planned(film, planting, turn)]
    low, high = edition_windows.STRENGTHS
    assert events and all(low <= e.strength <= high for e in events)
    assert all(e.offset < ROW["onset"] or e.onset > ROW["offset"] for e in events)
    score, classes = edition_windows.targets_of(film, events[:1])
    inside = (np.arange(300) > ROW["onset"]) & (np.arange(300) < ROW["offset"])
    planted = (np.arange(300) > events[0].onset) & (np.arange(300) < events[0].offset)
    assert (score == (inside | planted)).all() and (classes[inside] == 2).all()


@pytest.mark.parametrize("name", perturbations("."))
def test_a_perturbed_film_shows_the_same(name, tmp_path):
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 255, (4, 4, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    path = tmp_path / "film.mkv"
    write_video(path, iter([picture] * 6), 30)
    frames = list(perturbations(tmp_path, 30.0)[name](read_frames(path)))
    assert len(frames) == 6 and abs(float(frames[3].mean()) - float(picture.mean())) < 3
    assert (frames[3].shape == picture.shape) != name.startswith("scale")


@pytest.fixture(scope="module")
def told():
    """Two persons, of whose MEs a network that says nothing touches none, and one that says all ..."""
    film, _ = made_up()
    score = np.zeros((len(film.windows), WINDOW))
    for i, window in enumerate(film.windows):
        frames = window.start + np.arange(WINDOW)
        score[i] = 0.9 * ((frames > 30) & (frames < 42)) + 0.6 * ((frames > 100) & (frames < 110))
    flat = np.full((len(film.windows), WINDOW, 5), 0.2)
    one = instrument.Measured(
        film.windows, score, flat, 150, np.array([[30, 36, 42]]), np.array([0.02]), "a", "calm sammlv"
    )
    films = [one, replace(one, person="b")]
    model = mouth_model(features="metst_plus", window=50, threshold=0.3, phases=1, k_p=4)
    model = instrument.calibrated(films, replace(model, strategy="score"))
    return edition.reported(films, model, 0.3)


def test_the_card_says_what_was_measured(told, tmp_path):
    steadiness = [{"phases": 1, "voices": 1, "sd": 0.09, "stays": 0.95, "n": 20}]
    goals = {
        name: (value, verdict)
        for name, _, value, verdict in edition_card.goals_of(told, {"steadiness": steadiness}, 1)
    }
    assert goals["calm, sammlv, .008 to .035 IOD: found"] == (1.0, "too few to say (2)")
    rate = "calm, sammlv: false finds per minute, at most"
    assert goals[rate] == (12.0, "not reached")  # one in the 5 s of each film
    assert goals["stays found with 1 phases"] == (0.95, "reached")
    compared = {"plain": {"calm touched": 0.5, "calm found": 0.4, "interview touched": 0.1}}
    recipe = {
        "phases": 1, "planting": {"turns": 4}, "passes": 1000, "trial_passes": 100,
        **{part: [{"first_subject": 1, "n_subjects": 2, "seconds": 5}] for part in ("choose", "report")},
    }  # fmt: skip
    card = {
        "recipe": recipe, "report": told, "compared": compared, "subjects": 3, "videos": 4, "minutes": 1.0, "micro_expressions": 9,
        "chosen": {"threshold": 0.3, "steadiness": steadiness, "network": "plain"},
    }  # fmt: skip
    told["calm"]["by_size"] = [
        {"eye_distance": 33.6, **{k: told["calm"][k] for k in ("n", "touched", "found")}}
    ]
    page = tmp_path / "card.md"
    begin, end = edition_card.EDITION_MARKS
    page.write_text(f"before\n{begin}\nold numbers\n{end}\nafter\n")
    for _ in range(2):
        text = edition_card.write_edition_card(card, page).read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old numbers" not in text
    assert "| 34 | 2 | 1.000" in text
    assert "Of 2 micro-expressions of calm films 0 are not touched: 0 of the 0 that are weaker" in text
    assert text.count("| calm sammlv | 2 | 1.000") == 1 and "| plain | 0.50 | 0.40 | 0.10 |" in text
    page.write_text("no marks")
    with pytest.raises(InputError, match="card.md"):
        edition_card.write_edition_card(card, page)
