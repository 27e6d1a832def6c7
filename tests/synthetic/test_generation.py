"""Films of version 2: the pictures are what the plans say, and a set is the same however it was made."""

import dataclasses
import hashlib
import os

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data

from metst_core.errors import InputError
from metst_core.files import content_hash
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.synthetic import (
    CONDITIONS,
    PRIORS,
    UNIT_INDEX,
    UNIT_NAMES,
    Conditions,
    draw_person,
    face_of,
    film_tables,
    generate,
    head,
    identity,
    number_of_heads,
    plan_film,
    read_truth,
    shoot,
)
from metst_core.synthetic.backdrop import Backdrop
from metst_core.synthetic.cast import look_of, number_of_faces
from metst_core.synthetic.faces import channels_of, rest_of
from metst_core.synthetic.shooting import _add, _Noise, _row_by_row
from metst_core.video import probe, read_frames

KNOBS = {"seed": 5, "me_per_minute": 60, "progress": False}
QUIET = {
    "blink_per_minute": 0, "gaze_per_minute": 0, "swallow_per_minute": 0, "head_degrees": 0, "head_shift": 0,
    "head_zoom": 0, "light_change": 0, "noise": 0, "dropped": 0, "macro_overlap": 0, "blink_cut": 0, "shutter": 0,
}  # fmt: skip
"""Knobs of a film in which nothing but expressions happens."""
STILL = Backdrop("still", 320, 1.0, (0,))
EVERY_HEAD = bool(os.environ.get("METST_EVERY_HEAD"))


@pytest.fixture(scope="module")
def face():
    return face_of(0, 6)


def grey(frame):
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def film(tier="calm", seconds=3.0, fps=30, person=6, per_minute=40.0, **knobs):
    prior = dataclasses.replace(PRIORS["dense"], me_per_minute=per_minute)
    return plan_film(draw_person(0, person), 0, seconds, fps, 0, prior, tier, **knobs)


def at_rest(face, plan):
    return face.shown(rest_of(plan))


def bytes_of(root):
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.suffix != ".npz"  # a zip file carries the time of day
    }


# Who plays


@pytest.mark.quick
def test_persons_of_different_numbers_have_different_faces_and_the_first_sixteen_are_heads():
    looks = [look_of(i) for i in range(number_of_faces())]
    assert len(set(looks)) == len(looks) == number_of_heads() + 2
    assert len({look.head for look in looks[:16]} - {-1}) == 16
    assert len({look.head for look in looks[:60]} - {-1}) >= 50
    assert {look.portrait for look in looks[:60]} == {"", "astronaut", "hopper"}
    assert look_of(number_of_faces()) == looks[0]


@pytest.mark.quick
def test_the_persons_table_says_how_everybody_looks(tmp_path):
    file = tmp_path / "me.png"
    file.write_bytes(b"a portrait")
    table = film_tables(1, [0, 1, 20], 1, 2, portraits=[str(file)])["persons.csv"]
    assert table["look"].tolist() == [f"portrait {content_hash(file)[:12]}", "head 1", "portrait hopper"]
    assert table["sex"].tolist() == ["", head(1).card["sex"], ""]


def test_a_users_portrait_is_the_first_person(tmp_path):
    file = tmp_path / "me.png"
    cv2.imwrite(str(file), skimage.data.astronaut()[..., ::-1])
    made = generate(tmp_path / "set", 1, 1, 1.0, portraits=[file], progress=False)
    truth = read_truth(tmp_path / "set", "s001", "v01")
    frame = next(iter(read_frames(made.videos["path"][0])))
    assert 90 < truth["iod"] < 110
    assert np.corrcoef(frame.ravel(), identity(0, 0).image.ravel())[0, 1] > 0.9
    again = generate(tmp_path / "set", 2, 1, 1.0, portraits=[file], progress=False)
    assert len(again.videos) == 2


# What the camera sees


def test_a_film_differs_from_the_face_at_rest_where_and_when_its_truth_says_so(face):
    plan = film(per_minute=20, seconds=4.0, **QUIET)
    still = dataclasses.replace(plan, head=np.tile([0.0, 0, 0, 1, 0, 0], (plan.n_frames, 1)))
    frames = np.stack(list(shoot(still, face, 0))).astype(int)
    neutral = face.frame(at_rest(face, plan), still.head[0], STILL, 0).astype(int)
    away = np.abs(face.shown(channels_of(plan.intensity, plan.mouth)) - at_rest(face, plan)).max(axis=1)
    changed = np.abs(frames - neutral).max(axis=(1, 2, 3)) > 0
    assert (away > 0.002).any() and (away < 1e-6).any()
    assert not changed[away < 1e-6].any() and changed[away > 0.002].all()
    assert not np.abs(frames - neutral)[:, :, :30].any()  # the wall


def test_the_flow_of_a_film_is_the_sum_of_the_fields_of_its_truth(face):
    plan = film(**QUIET)
    strongest = int(plan.me_intensity.max(axis=1).argmax())
    channels = face.shown(channels_of(plan.intensity, plan.mouth))
    one = head(look_of(6).head)
    rest = at_rest(face, plan)
    field = sum(
        (channels[strongest, UNIT_INDEX[name]] - rest[UNIT_INDEX[name]]) * one.field(name)
        for name in UNIT_NAMES
        if channels[strongest, UNIT_INDEX[name]] != rest[UNIT_INDEX[name]]
    )
    pose = np.array([0, 0, 0, 1, 0, 0], float)
    pictures = [grey(face.frame(c, pose, STILL, 0)) for c in (rest, channels[strongest])]
    seen = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    seen.setFinestScale(0)
    flow = seen.calc(*pictures, None)
    length = np.hypot(*np.moveaxis(field, -1, 0))
    moved = length > 0.5 * length.max()
    cosine = (flow[moved] * field[moved]).sum() / np.linalg.norm(flow[moved]) / np.linalg.norm(field[moved])
    assert cosine > 0.85


def test_a_full_blink_shuts_every_head_whatever_its_lids_need():
    one = face_of(0, 0)
    plan = film(person=0, blink_per_minute=60, per_minute=0)
    blinks = [e for e in plan.events if e.kind == "blink"]
    shown = one.shown(channels_of(plan.intensity, plan.mouth))
    assert blinks and shown[blinks[0].apex, UNIT_INDEX["AU45L"]] == pytest.approx(head(0).closure)
    assert shown[:, UNIT_INDEX["AU45L"]].max() <= head(0).closure


def test_noise_grows_with_the_gain_and_light_changes_what_is_seen(face):
    """Measured on the wall: mean grey level as `gain`, standard deviation between frames as `noise`."""
    wall = np.s_[:, 20:120, 5:45]
    quiet = {**QUIET, "background": "still"}
    base = np.stack(list(shoot(film(seconds=1.0, **quiet), face, 0))).astype(float)[wall]
    for low in (1.0, 3.0):
        plan = film(seconds=1.0, **{**quiet, "noise": 2.0, "gain": (low, low)})
        frames = np.stack(list(shoot(plan, face, 0))).astype(float)[wall]
        assert frames.std(axis=0).mean() == pytest.approx(plan.noise[0], rel=0.1)
        assert plan.noise[0] == pytest.approx(2 * low)
    plan = film(seconds=2.0, **{**quiet, "light_change": 0.1})
    frames = np.stack(list(shoot(plan, face, 0))).astype(float)[wall]
    expected = plan.gain * base[0].mean()
    assert frames.mean(axis=(1, 2, 3)) == pytest.approx(expected, rel=0.02)


def test_noise_is_added_as_integers_that_stop_at_black_and_white():
    rng = np.random.default_rng(2)
    picture, noise = rng.integers(0, 256, 5000, dtype=np.uint8), rng.integers(-300, 300, 5000, dtype=np.int16)
    noisy = np.empty_like(picture)
    _add(picture, noise, noisy)
    assert (noisy == np.clip(picture.astype(int) + noise, 0, 255)).all()


def test_noise_is_white_and_new_in_every_frame():
    """Correlations of 307 200 independent numbers have a standard deviation of .0018."""
    grey_card = np.full((320, 320, 3), 128, np.uint8)
    noise = _Noise((3,))
    fields = [noise.add(grey_card, 3.0).astype(float) - 128 for _ in range(4)]
    flat = np.stack([f.ravel() for f in fields])
    assert np.abs(np.corrcoef(flat) - np.eye(4)).max() < 0.01
    for field in fields:
        assert field.std() == pytest.approx(3.0, rel=0.02) and abs(field.mean()) < 0.03
        for axis in range(3):
            near, far = np.moveaxis(field, axis, 0)[:-1], np.moveaxis(field, axis, 0)[1:]
            assert abs(np.corrcoef(near.ravel(), far.ravel())[0, 1]) < 0.01
    again = _Noise((3,))
    assert (again.add(grey_card, 3.0) == (fields[0] + 128)).all()


@pytest.mark.quick
def test_a_rolling_shutter_reads_the_top_before_the_bottom():
    picture = np.zeros((320, 320, 3), np.uint8)
    picture[:, 150:170] = 255
    rows = _row_by_row(picture, np.array([8.0, 0.0])).astype(float)[..., 0]
    middle = (rows * np.arange(320)).sum(axis=1) / rows.sum(axis=1)
    assert middle[[0, 160, 319]] - 159.5 == pytest.approx([-4, 0, 4], abs=0.2)
    assert _row_by_row(picture, np.array([0.05, 0.0])) is picture


def test_backgrounds_move_behind_the_face_and_not_in_it(face):
    away, inside = np.s_[:100, :40], np.s_[150:200, 140:180]
    for kind, moves in (("still", False), ("swaying", True), ("people", True)):
        plan = film(seconds=2.0, per_minute=0, **{**QUIET, "background": kind})
        still = dataclasses.replace(plan, head=plan.head * 0 + [0, 0, 0, 1, 0, 0])
        still = dataclasses.replace(still, intensity=np.tile(plan.intensity[:1], (plan.n_frames, 1)))
        frames = np.stack(list(shoot(still, face, 0))[::15]).astype(int)
        change = np.abs(frames - frames[0]).max(axis=(0, 3))
        assert (change[away].max() > 2) == moves
        assert change[inside].max() == 0


def test_a_passer_crosses_and_is_gone():
    kinds = Backdrop("people", 64, 60.0, (1, 2))
    wall = np.full((64, 64, 3), 200, np.uint8)
    darkest = np.array([kinds.at(t, wall).min() for t in np.arange(0, 60, 0.5)])
    assert (darkest < 150).any() and (darkest == 200).any()
    assert np.array_equal(kinds.at(3.3, wall), Backdrop("people", 64, 60.0, (1, 2)).at(3.3, wall))


# Sets


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    root = tmp_path_factory.mktemp("a set with spaces")
    return root, generate(root, 2, 1, 2.0, first_subject=5, **KNOBS)


def test_a_set_has_the_layout_and_the_truth_of_its_plan(small_set):
    root, dataset = small_set
    assert dataset.name == "synthetic" and dataset.videos["subject"].tolist() == ["s006", "s007"]
    tables = film_tables(5, [5, 6], 1, 2.0, 30, dataclasses.replace(PRIORS["dense"], me_per_minute=60.0))
    for name, table in tables.items():
        stored = (root / name).read_text()
        assert stored == table.to_csv(index=False, lineterminator="\n"), name
    assert len(dataset.annotations) == len(tables["annotations.csv"]) >= 1
    for index, row in zip((5, 6), dataset.videos.itertuples(), strict=True):
        prior = dataclasses.replace(PRIORS["dense"], me_per_minute=60.0)
        plan = plan_film(draw_person(5, index), 0, 2.0, 30, 5, prior)
        truth = read_truth(root, row.subject, row.video)
        assert truth["units"].tolist() == list(UNIT_NAMES)
        for name in ("me_intensity", "head", "gain", "shown", "light", "exposure", "noise", "mouth"):
            assert np.array_equal(truth[name], getattr(plan, name)), name
        beside = [i for i, name in enumerate(UNIT_NAMES) if not name.startswith("AU45")]
        assert np.array_equal(truth["intensity"][:, beside], plan.intensity[:, beside])
        assert (truth["intensity"] >= truth["rest"] - 1e-6)[:, :-2].all() and truth["rest"].any()
        assert truth["mesh"].shape == (478, 2)
        assert np.hypot(*(truth["mesh"][263] - truth["mesh"][33])) == pytest.approx(truth["iod"], rel=0.06)
        assert sum(1 for _ in dataset.frames(row.subject, row.video)) == plan.n_frames == row.n_frames == 60


def test_a_stopped_generation_goes_on_and_another_is_refused(small_set):
    root, _ = small_set
    before = bytes_of(root)
    kept, lost = root / "s006" / "v01.avi", root / "s007" / "v01.avi"
    when = kept.stat().st_mtime_ns
    lost.unlink()
    (root / "annotations.csv").unlink()
    generate(root, 2, 1, 2.0, first_subject=5, **KNOBS)
    assert bytes_of(root) == before
    assert kept.stat().st_mtime_ns == when
    with pytest.raises(InputError, match=r"prior\.me_per_minute is 60\.0 there, 12\.0 here"):
        generate(root, 2, 1, 2.0, first_subject=5, seed=5, progress=False)
    with pytest.raises(InputError, match="version is '2"):
        generate(root, 2, 1, 2.0, version=1, progress=False)
    assert bytes_of(root) == before


def test_the_result_does_not_depend_on_the_number_of_processes(small_set, tmp_path):
    root, _ = small_set
    generate(tmp_path, 2, 1, 2.0, first_subject=5, **KNOBS, n_jobs=2)
    assert bytes_of(tmp_path) == bytes_of(root)


def test_an_interview_is_filmed_in_h264_at_any_rate(tmp_path, face):
    dataset = generate(tmp_path, 1, 1, 1.0, 60, tier="interview", first_subject=6, progress=False)
    path = dataset.videos["path"][0]
    assert path.endswith("v01.mp4") and probe(path) == (60.0, 60, (320, 320))
    plan = plan_film(draw_person(0, 6), 0, 1.0, 60, 0, "dense", "interview")
    coded, made = list(read_frames(path)), list(shoot(plan, face, 0))
    error = np.mean([(a.astype(float) - b) ** 2 for a, b in zip(coded[::10], made[::10], strict=True)])
    assert 10 * np.log10(255**2 / error) > 30


@pytest.mark.quick
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"tier": "easy"}, "version=1"),
        ({"tier": "impossible"}, "calm"),
        ({"prior": "impossible"}, "casme3"),
        ({"fps": 10}, "24"),
        ({"seconds": 0.2}, "seconds"),
        ({"me_free": 0.5}, "me_free"),
        ({"me_per_minute": -1}, "me_per_minute"),
        ({"version": 3}, "version"),
        ({"version": 1, "prior": "dense"}, "prior"),
    ],
)
def test_what_cannot_be_made_is_named_and_claims_no_folder(tmp_path, wrong, said):
    with pytest.raises(InputError, match=said):
        generate(tmp_path / "set", **{"n_subjects": 1, "n_videos": 1, "seconds": 2, **wrong})
    assert not (tmp_path / "set").exists()


# Faces that are found


@pytest.mark.slow
@pytest.mark.parametrize(("tier", "least"), [("calm", 1.0), ("interview", 0.98)])
def test_the_landmarker_finds_the_faces_of_films(tier, least):
    """A few frames of a few persons; every frame of two seconds of all, where METST_EVERY_HEAD is set."""
    landmarker = MediaPipeLandmarker()
    persons, seconds, step = (range(number_of_faces()), 2.0, 1) if EVERY_HEAD else ((6, 20), 1.0, 10)
    missed = []
    total = 0
    for index in persons:
        one = face_of(2, index)
        plan = plan_film(draw_person(2, index), 0, seconds, 30, 2, "dense", tier)
        for t, frame in enumerate(shoot(plan, one, 2)):
            if t % step == 0:
                total += 1
                missed += [(index, t)] if landmarker(frame) is None else []
    assert len(missed) <= (1 - least) * total, missed


@pytest.mark.quick
def test_the_tiers_are_rows_of_knobs_of_rising_difficulty():
    rows = [Conditions(**CONDITIONS[tier]) for tier in ("calm", "interview", "hard")]
    for name in ("macro_overlap", "blink_cut", "speech_share", "head_degrees", "noise", "dropped", "sway"):
        values = [getattr(row, name) for row in rows]
        assert values == sorted(values), name
    assert pd.Series([row.background for row in rows]).tolist() == ["still", "swaying", "people"]
