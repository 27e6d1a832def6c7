"""The recipe of the weights "aligned": what is planted in features is what pixels would show, and choices come from counts."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from metst_core.aligned import LAGS, aligned_frames
from metst_core.experiment import talking, talking_card, talking_choosing, talking_films, talking_training
from metst_core.experiment.talking_choosing import Heard, gate_of
from metst_core.experiment.talking_films import FilmFlow, fields_of, planted_cells, strength_of_parts
from metst_core.experiment.talking_training import (
    NEUTRAL,
    Background,
    Draws,
    Shape,
    mirrored_cells,
    movements,
    reversed_cells,
)
from metst_core.inference import Seen
from metst_core.landmarks import IBUG_TO_MESH
from metst_core.synthetic import CHANNELS, UNIT_INDEX, UNITS, face_of
from metst_core.tables import CLASSES


@pytest.fixture(scope="module")
def face():
    return face_of(0, 52)


def test_a_rendered_action_unit_gives_its_field_times_the_difference_of_its_intensity(face):
    """AU 4 of .02 IOD (2 pixels of the crop) on a resting head, landmarks known: each step shows field times difference.

    Not to the last tenth: flow is smooth, and the head's own movement is a little other than its drawing on the mesh."""
    import cv2

    n = 20
    intensity = np.zeros((n, len(UNITS)), np.float32)
    for side in "LR":
        intensity[:, UNIT_INDEX[f"AU4{side}"]] = 0.02 * np.clip((np.arange(n) - 6) / 8, 0, 1)
    channels = np.zeros((n, len(CHANNELS)), np.float32)
    channels[:, : len(UNITS)] = intensity
    frames = [cv2.cvtColor(face._head.render(row), cv2.COLOR_RGB2GRAY) for row in channels]
    points = face.mesh[list(IBUG_TO_MESH)]
    cells = np.array([frame.cells for frame in aligned_frames(frames, lambda image: points)])
    made = planted_cells(fields_of(face.mesh), intensity)
    for number, lag in enumerate(LAGS):
        x, y = made[lag:, number], cells[lag:, number]
        moving = np.abs(x) > 0.3 * np.abs(x).max()
        gain = float((x[moving] * y[moving]).sum() / (x[moving] ** 2).sum())
        assert 0.5 < gain < 1.3
        assert np.corrcoef(x[moving], y[moving])[0, 1] > 0.7


def test_a_step_is_the_difference_of_the_intensity_over_it():
    fields = np.zeros((len(UNITS), 12, 12, 2), np.float32)
    fields[3, 2, 4] = (1.0, -2.0)
    intensity = np.zeros((20, len(UNITS)), np.float32)
    intensity[:, 3] = np.arange(20) ** 2
    made = planted_cells(fields, intensity)
    t = 15
    for number, lag in enumerate(LAGS):
        assert made[t, number, 2, 4].tolist() == [t**2 - (t - lag) ** 2, -2 * (t**2 - (t - lag) ** 2)]
    assert not np.delete(made.reshape(20, 3, -1, 2), 2 * 12 + 4, axis=2).any()


def test_brows_belong_to_the_upper_face_and_the_mouth_to_the_lower(face):
    fields = fields_of(face.mesh)
    for unit, part in (("AU1L", 0), ("AU4R", 0), ("AU12L", 1), ("AU17", 1), ("AU15R", 1)):
        units = np.zeros(len(UNITS))
        units[UNIT_INDEX[unit]] = 0.02
        strength = strength_of_parts(fields, units)
        assert strength[part] > 3 * strength[1 - part]
        assert 0.008 < strength[part] <= 0.02


def test_a_film_run_backwards_turns_its_steps_round():
    """A point at x(t) gives steps x(t) - x(t - d); of the film run backwards they are those of x(n - 1 - t)."""
    x = np.random.default_rng(0).normal(size=30).cumsum()

    def steps(x):
        cells = np.zeros((len(x), 3, 12, 12, 2))
        for i, lag in enumerate(LAGS):
            cells[lag:, i, 5, 5, 0] = x[lag:] - x[:-lag]
        return cells

    assert np.allclose(reversed_cells(steps(x)), steps(x[::-1]))


def test_a_mirror_exchanges_sides_and_the_sign_of_x():
    cells = np.random.default_rng(0).normal(size=(2, 3, 12, 12, 2))
    mirrored = mirrored_cells(cells)
    assert (mirrored[..., 0, 0] == -cells[..., 11, 0]).all() and (
        mirrored[..., 0, 1] == cells[..., 11, 1]
    ).all()
    assert (mirrored_cells(mirrored) == cells).all()


def made_up_film(n=200, truth=()):
    table = pd.DataFrame(list(truth), columns=["onset", "apex", "offset", "emotion"])
    fields = np.zeros((len(UNITS), 12, 12, 2), np.float32)
    fields[0, 2, 4, 1], fields[1, 9, 6, 1] = (
        -96.0,
        96.0,
    )  # the first unit is of the brows, the second of the mouth
    seen = Seen(
        np.zeros((n, 4)), np.full(n, 90.0), np.ones(n), np.zeros(n), np.full(n, 128.0), np.full(n, 1.0)
    )
    intensity = np.zeros((n, len(UNITS)), np.float32)
    for onset, _, offset, _ in truth:
        intensity[onset : offset + 1, 0] = 0.02
    cells = np.random.default_rng(0).normal(0, 0.05, (n, 3, 12, 12, 2)).astype(np.float16)
    return FilmFlow("p", cells, np.ones(n, bool), seen, fields, table, intensity)


def shape(unit, strength=1.0, length=12):
    intensity = np.zeros((length + 1 + max(LAGS), len(UNITS)), np.float32)
    intensity[: length + 1, unit] = strength * np.sin(np.linspace(0, np.pi, length + 1))
    return Shape(intensity, length, 1)


@pytest.mark.parametrize(("unit", "part"), [(0, 0), (1, 1)])
def test_a_planted_movement_is_a_target_of_its_own_part(unit, part):
    draws = Draws(frames=100, events=3.0, strengths=(0.02, 0.02), noise=0.0)
    way = Background(made_up_film(), False, False, draws)
    rng = np.random.default_rng(3)
    sample = way.draw([shape(unit)], draws, rng)
    assert sample.target[:, part].any() and not sample.target[:, 1 - part].any()
    assert sample.weight.all()
    assert ((sample.classes == 1) == (sample.target[:, part] == 1)).all()
    weak = way.draw([shape(unit)], dataclasses.replace(draws, strengths=(0.004, 0.004)), rng)
    assert not weak.target.any() and not weak.weight[:, part].all()  # neither counts
    assert (weak.classes == NEUTRAL).all()


def test_what_a_film_holds_itself_is_a_target_in_every_way():
    draws = Draws(frames=200, events=0.0, noise=0.0)
    film = made_up_film(truth=[(40, 45, 52, CLASSES[0])])
    for mirrored in (False, True):
        forwards, backwards = (Background(film, mirrored, way, draws) for way in (False, True))
        assert np.flatnonzero(forwards.target[:, 0]).tolist() == list(range(40, 53))
        assert np.flatnonzero(backwards.target[:, 0]).tolist() == list(range(199 - 52, 199 - 39))


def test_movements_come_from_all_priors_and_do_not_hang_on_each_other():
    some, more = movements(2, 30), movements(3, 30)
    assert [event for _, event in more[: len(some)]] == [event for _, event in some]
    assert {each.emotion for each, _ in more} == {0, 1, 2, 3}
    for each, _ in more[:20]:
        assert each.intensity.max() <= 1 + 1e-6 and not each.intensity[each.offset :].any()


def test_a_planted_macro_expression_is_nothing_to_be_found():
    draws = Draws(frames=150, events=0.0, macros=3.0, macro_strengths=(0.1, 0.1), noise=0.0)
    way, rng = Background(made_up_film(), False, False, draws), np.random.default_rng(5)
    without = way.draw([shape(0)], draws, np.random.default_rng(5))
    with_them = way.draw([shape(0)], draws, rng, [shape(0, length=60)])
    assert not with_them.target.any() and (with_them.classes == NEUTRAL).all() and with_them.weight.all()
    assert np.abs(with_them.channels).max() > 3 * np.abs(without.channels).max()


def test_macro_expressions_are_larger_or_longer_than_micro_expressions():
    macros = talking_training.macro_movements(2, 30)
    micro = [each.offset for each, _ in movements(2, 30)]
    assert len(macros) > 10 and np.median([each.offset for each in macros]) > np.median(micro)
    assert all(
        each.intensity.max() <= 1 + 1e-6 and not each.intensity[each.offset :].any() for each in macros
    )


def heard(score, unrest, planted=(), strength=0.02, part=0):
    """A film whose upper face has this logit and unrest."""
    n = len(score)
    rows = np.array(planted, int).reshape(-1, 3)
    return Heard(
        np.stack([score, np.full(n, -9.0)], axis=1), np.full((n, 5), 0.2), np.stack([unrest, unrest], axis=1),
        np.ones(n, bool), np.zeros((0, 2), int), rows, np.full(len(rows), part), np.full(len(rows), strength),
    )  # fmt: skip


def test_the_gate_is_the_widest_that_leaves_half_to_be_found():
    """Where the face moves (the second half) the network is at a loss: a gate above 1 loses, one below keeps all."""
    n, k_p = 7200, 6
    rng = np.random.default_rng(0)
    unrest = np.where(np.arange(n) < n // 2, 0.3, 2.0)
    score = np.full(n, -6.0)
    noisy = score.copy()
    for t in range(n // 2 + 30, n - 30, 60):
        noisy[t - 6 : t + 7] = 3.0  # false finds by the dozen where the face moves
    rows = [(t, t + 6, t + 12) for t in range(60, n - 60, 120)]
    planted = noisy.copy()
    for onset, _, offset in rows:
        planted[onset : offset + 1] = np.maximum(planted[onset : offset + 1], rng.uniform(1.5, 2.5))
    chosen = gate_of([heard(noisy, unrest)], [heard(planted, unrest, rows)], 0, k_p)
    assert 0.3 < chosen["gate"] < 2.0
    row = next(row for row in chosen["rows"] if row["gate"] == chosen["gate"])
    assert (
        row["false"] + 1 <= talking_choosing.ALLOWED["upper"] * row["minutes"] and row["touched"] == row["n"]
    )


def test_a_part_in_which_nothing_can_be_found_is_never_judged():
    n = 3600
    rows = [(t, t + 6, t + 12) for t in range(60, n - 60, 120)]
    score = np.full(n, -8.0)
    chosen = gate_of([heard(score, np.full(n, 0.2))], [heard(score, np.full(n, 0.2), rows)], 0, 6)
    assert chosen["gate"] == 0.0


def of_person(person, touched, judged=True, false=1):
    events = pd.DataFrame({
        "person": person, "part": "upper", "strength": [0.02] * len(touched), "seconds": 0.4, "judged": judged,
        "touched": touched, "shifted": False,
    })  # fmt: skip
    return talking.Tested(person, events, false, false, {"any": 0.5, "upper": 0.5, "lower": 0.1}, 1.0)


def test_numbers_are_sums_over_persons():
    numbers = talking.numbers_of([of_person("a", [True, True, False]), of_person("b", [False], judged=False)])
    assert (numbers["judged_upper"]["value"], numbers["judged_lower"]["value"]) == (0.5, pytest.approx(0.1))
    assert numbers["false_per_judged_minute"]["value"] == 2.0
    plain = talking_card._plain(numbers, "upper")
    assert (plain["all"]["count"], plain["all"]["of"]) == (2, 4)
    assert (plain["judged"]["count"], plain["judged"]["of"]) == (2, 3)
    assert plain["all"]["low"] <= plain["all"]["value"] <= plain["all"]["high"]


def test_a_find_touches_the_movement_that_holds_its_apex():
    finds, truth = np.array([[0, 5, 10], [40, 50, 60]]), np.array([[5, 6, 7], [51, 55, 60], [20, 25, 30]])
    assert talking.touched_by(finds, truth).tolist() == [True, False, False]


def test_the_same_film_is_rendered_for_nobody_twice():
    """Persons are parted: no film set shares one with another part."""
    recipe = talking.Recipe()
    parts = {
        "train": recipe.train,
        "choose": (recipe.choose, recipe.choose_calm),
        "report": (recipe.report, recipe.calm),
    }
    persons = {
        name: {i for each in sets for i in range(each.first_subject, each.first_subject + each.n_subjects)}
        for name, sets in parts.items()
    }
    assert not persons["train"] & persons["choose"]
    assert not persons["train"] & persons["report"]
    assert not persons["choose"] & persons["report"]
    assert (
        isinstance(talking_films.FEATURES_VERSION, int) and talking_training.Fit().seed == talking_films.SEED
    )
