"""Limits: what is measured anew is what an analysis of the planted film gives, and the numbers say what was counted."""

import dataclasses
import json

import cv2
import numpy as np
import pandas as pd
import pytest

from metst_core import footage
from metst_core.cli import main
from metst_core.errors import InputError
from metst_core.footage import (
    Limits,
    Manner,
    films_of,
    fit_curve,
    hits,
    latest_limits,
    limits_line,
    limits_of,
    limits_text,
    measure,
    measure_planted,
    plan_rounds,
    remember,
    track,
    warp,
)
from metst_core.footage.findable import EVENT_COLUMNS
from metst_core.footage.store import UNKNOWN
from metst_core.inference import Seen, load_model
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.metrics import Intervals
from metst_core.motion import stream_motion
from metst_core.pipeline import analyse
from metst_core.synthetic import intensity_of
from metst_core.video import read_frames


@pytest.fixture(scope="module")
def face(still):
    return track(films_of(still)[0], progress=False)


@pytest.fixture(scope="module")
def base(still, face):
    return measure(films_of(still)[0], load_model(), face, MediaPipeLandmarker(), progress=False)


@pytest.fixture(scope="module")
def found(base, face):
    manner = Manner(per_minute=40)
    rounds, refused = plan_rounds(base.film, face, manner, 4)
    return limits_of(base, rounds, manner, refused, progress=False)


def made(n=60, moving=False, model=None, base=None):
    """Limits of a made-up film: everything from .012 IOD on comes back while the face is still, nothing else ever."""
    strengths = np.geomspace(0.004, 0.035, n)
    rows = pd.DataFrame({name: np.zeros(n) for name in EVENT_COLUMNS})
    is_moving = np.arange(n) % 3 == 0 if moving else np.zeros(n, bool)
    back = (strengths >= 0.012) & ~is_moving
    rows = rows.assign(
        strength=strengths, pixels=100 * strengths, duration=np.tile([0.2, 0.4], n // 2), part="upper",
        motion=np.where(is_moving, 3.0, 0.3), found=back, touched=back, rival_found=False, rival_touched=False,
        before=False,
    )  # fmt: skip
    unrest = np.full((300, 2), 0.3)
    unrest[: 100 if moving else 0] = 3.0
    seen = Seen(*(np.full(300, value) for value in (0.0, 100.0, 1.0, 0.0, 128.0, 1.0)))
    return Limits(base.film, base.model, Manner(), rows, unrest, seen, 2, 2, 0.5, 100.0, {}, Intervals(n=100))


def test_what_is_measured_anew_is_what_the_planted_film_gives(base, face):
    """Windows, and only those with a planted frame, are those of a measurement of all planted frames, to the bit."""
    rounds, _ = plan_rounds(base.film, face, Manner(per_minute=50, seed=4), 3)
    events = [event for events in rounds for event in events]
    starts = {t for e in events for t in range(e.onset + 1, e.offset)} & set(base.starts.tolist())
    assert starts, "no reference frame is planted: choose another seed"
    for number, changed in enumerate(measure_planted(base, rounds, progress=False)):
        intensity = intensity_of(rounds[number], face.n_frames)
        grey = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in read_frames(base.film.path))
        planted = [warp(frame, face, t, intensity[t]) for t, frame in enumerate(grey)]
        whole = [w.motion for w in stream_motion(planted, base.landmarker, base.model.features)]
        moved = [bool(intensity[s : s + 50].any()) for s in base.starts]
        assert sorted(changed) == np.flatnonzero(moved).tolist()
        assert np.array_equal(base.with_windows(changed)[0], np.stack(whole))


def test_the_unplanted_film_gives_what_analyse_gives(base):
    result = analyse(base.film.path, base.model, progress=False)
    finds = base.finds(base.answers)
    assert finds["apex"].tolist() == result.table["apex"].tolist()
    assert base.minutes == pytest.approx(3 / 60)


def test_limits_of_a_film(found):
    assert len(found.events) == 4
    assert not found.events["strength"].is_monotonic_increasing
    assert sorted(found.events["strength"]) == pytest.approx(np.geomspace(0.004, 0.035, 4))
    assert (found.events["pixels"] / found.events["strength"]).between(80, 130).all()
    assert list(found.table.columns)[:6] == ["strength", "duration", "motion", "n", "found", "touched"]
    assert found.table["n"].sum() == len(found.counted) == 4 - found.events["before"].sum()
    assert found.table["touched"].sum() == found.counted["touched"].sum()
    assert found.unrest.shape == (90, 2)
    assert np.isnan(found.strength_50.value)  # 4 are too few for a curve
    assert "too few" in found.summary()


def test_a_sham_is_never_found(base, face):
    manner = Manner(per_minute=40, sham=True)
    rounds, _ = plan_rounds(base.film, face, manner, 3)
    sham = limits_of(base, rounds, manner, progress=False)
    assert not sham.counted["touched"].any()


def test_a_curve_gives_back_what_the_shares_were_drawn_by():
    """Found with chance 1 / (1 + (.012 / s)^6), up to .9: half at .0125, by hand."""
    strengths = np.tile(np.geomspace(0.004, 0.035, 50), 8)
    chance = 0.9 / (1 + (0.012 / strengths) ** 6)
    curve = fit_curve(strengths, np.random.default_rng(0).random(len(strengths)) < chance, Intervals(n=50))
    half = curve.strength_at(0.5)
    assert half.value == pytest.approx(0.012 * (0.5 / 0.4) ** (1 / 6), rel=0.1)
    assert half.low < half.value < half.high
    assert (half.high - half.low) / half.value < 0.4
    assert np.isnan(curve.strength_at(0.95).value)  # above the ceiling
    assert curve(0.035) == pytest.approx(0.9, abs=0.12)  # ceilings are a tenth apart, and the sample has .85


def test_what_lies_outside_of_what_was_planted_is_not_measurable():
    strengths = np.geomspace(0.004, 0.035, 30)
    for hit in (True, False):
        point = fit_curve(strengths, np.full(30, hit)).strength_at(0.5)
        assert np.isnan(point.value)
    assert fit_curve(strengths[:5], np.ones(5, bool)) is None
    with pytest.raises(InputError, match="above 0"):
        fit_curve(np.zeros(3), np.ones(3, bool))


def test_found_and_touched_are_two_things():
    truth = np.array([(10, 15, 20), (40, 45, 80), (100, 105, 110)])
    finds = np.array([(11, 15, 19), (44, 48, 52), (108, 112, 116)])
    in_all, touched = hits(finds, truth)
    assert in_all.tolist() == [True, False, False]
    assert touched.tolist() == [True, True, False]
    assert not hits(np.zeros((0, 3)), truth)[0].any()


def test_words_say_what_was_counted(base):
    still = made(base=base)
    words = still.summary()
    assert "found 8 times out of 10 (the face is still all the time)" in words
    assert f"a movement of {100 * still.still.strength_at(0.8).value:.1f} px" in words
    assert "lasting 0.2 to 0.4 s" in words
    moving = made(moving=True, base=base).summary()
    assert "while the face is still (67% of the time)" in moving
    assert "it would be found never (0 of" in moving
    assert "4.0 a minute" in moving
    hopeless = made(base=base)
    hopeless.events["touched"] = False
    assert "no movement up to 3.5 px (.035 inter-ocular distances)" in hopeless.summary()
    assert "(not measurable)" in limits_text(hopeless)


def test_tables_json_and_figure_agree(base, tmp_path):
    found = made(base=base)
    stored = json.loads(found.to_json(tmp_path / "l.json").read_text())
    assert (
        stored["touched"] == found.events["touched"].sum() == sum(r["touched"] for r in stored["by_strength"])
    )
    assert stored["strength"]["found"]["50"]["value"] == pytest.approx(found.strength_50.value)
    assert stored["words"] == found.summary()
    assert stored["strength"]["rival_found"]["50"]["value"] is None
    table = pd.read_csv(found.to_csv(tmp_path / "l.csv"))
    assert table["n"].sum() == 60
    left = found.plot().axes[0]
    assert {line.get_label().split(",")[0] for line in left.get_lines()[:4]} == {"network", "plain motion"}


def test_analyse_shows_the_latest_limits_of_the_film_and_the_weights(base, monkeypatch, tmp_path):
    monkeypatch.setenv("METST_LIMITS", str(tmp_path))
    result = analyse(base.film.path, base.model, progress=False)
    assert UNKNOWN in result.summary()
    assert result.to_dict()["limits"] is None
    remember(made(base=base))
    assert "found 8 times out of 10" in result.summary()
    assert result.to_dict()["limits"]["n"] == 60
    other = dataclasses.replace(base.model, threshold=0.9)
    assert limits_line(base.film.path, other) == UNKNOWN
    next(tmp_path.glob("*.json")).write_text("no JSON")
    assert latest_limits(base.film.path, base.model) is None


def test_the_command(still, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("METST_LIMITS", str(tmp_path / "store"))
    film = str(films_of(still)[0].path)
    call = [
        "limits",
        film,
        str(tmp_path / "short.mkv"),
        "--events",
        "1",
        "--quiet",
        "--json",
        str(tmp_path / "out"),
    ]
    with pytest.raises(SystemExit):
        main(["limits"])
    (tmp_path / "short.mkv").write_bytes(b"")
    code = main(call)
    out, err = capsys.readouterr()
    assert code == 1  # the empty film; the other is done
    assert "too few to say" in out
    assert "short.mkv" in err
    assert len(list((tmp_path / "out").glob("*.json"))) == 1
    assert len(list((tmp_path / "store").glob("*.json"))) == 1


def test_a_film_in_which_nothing_can_be_planted_is_named(still, monkeypatch):
    film = films_of(still)[0]
    nowhere = dataclasses.replace(track(film, progress=False), marks={"turned": np.ones(90, bool)})
    with pytest.raises(
        InputError, match=r"v01\.avi: nothing can be planted anywhere \(the face is turned away"
    ):
        plan_rounds(film, nowhere, Manner(per_minute=30), 10)
    with pytest.raises(InputError, match="prior"):
        footage.limits(film, prior="calm")
