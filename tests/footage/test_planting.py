"""Planted films: the movement is where and as large as it was planted, and everything else is as it was."""

import dataclasses
import json

import cv2
import numpy as np
import pandas as pd
import pytest

from metst_core.cli import main
from metst_core.datasets import check_dataset, load_dataset
from metst_core.errors import InputError, MissingError
from metst_core.footage import SHAM, Film, Manner, films_of, plan_events, plant, sort_out, track, warp
from metst_core.footage.track import LANDMARKS, LIMITS
from metst_core.inference import Face
from metst_core.synthetic import UNIT_INDEX, UNIT_NAMES, intensity_of, read_truth
from metst_core.video import probe, read_frames, timestamps, write_images, write_video


@pytest.fixture(scope="module")
def film(still):
    return films_of(still)[0]


@pytest.fixture(scope="module")
def frames(film):
    return list(read_frames(film.path))


@pytest.fixture(scope="module")
def face(film):
    return track(film, progress=False)


@pytest.fixture(scope="module")
def planted(still, tmp_path_factory):
    out = tmp_path_factory.mktemp("planted") / "set"
    return out, plant(still, out, seed=3, per_minute=60, suffix=".mkv", progress=False)


def fake(image):
    """A mesh that hangs in the middle of every picture that is not black."""
    if not image.any():
        return None
    height, width = image.shape[:2]
    rng = np.random.default_rng(0)
    points = np.column_stack([*(rng.uniform(-0.15, 0.15, (2, 478))), np.zeros(478)]) * width
    points[[33, 263, 10, 152]] = (
        np.array([(-0.1, -0.05, 0), (0.1, -0.05, 0), (0, -0.2, 0), (0, 0.2, 0)]) * width
    )
    return points + np.array([width / 2, height / 2, 0])


def one_face(image):
    return [Face((0, 0, 100, 100), ((20, 50), (80, 50)), (50, 70))]


def tracked(frames, tmp_path, mesher=fake, finder=one_face):
    path = tmp_path / "anna" / "film.mkv"
    write_video(path, frames, 30)
    return track(Film(path, "anna", "film"), mesher=mesher, finder=finder, progress=False)


def noise(n, size=(96, 96)):
    picture = np.random.default_rng(1).integers(60, 200, (*size, 3)).astype(np.uint8)
    return [picture] * n


def test_a_still_face_is_followed_and_usable(face):
    assert face.usable.all()
    assert face.points.shape == (90, len(LANDMARKS), 2)
    assert np.abs(np.diff(face.iod)).max() < 0.5
    assert face.reason(0, 89) == ""


def test_the_warp_moves_by_what_was_asked_for(face, frames):
    """Flow from the frame to the warped one, at the brow: .03 IOD upwards, within a fifth (Farnebäck smooths)."""
    intensity = np.zeros(len(UNIT_NAMES))
    intensity[[UNIT_INDEX["AU1L"], UNIT_INDEX["AU2L"]]] = 0.03
    moved = warp(frames[0], face, 0, intensity)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (frames[0], moved)]
    flow = cv2.calcOpticalFlowFarneback(*grey, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    x, y = np.round(face.full_mesh(0)[66]).astype(int)
    assert flow[y, x, 1] == pytest.approx(-0.03 * face.iod[0], rel=0.35)
    other_x, other_y = np.round(face.full_mesh(0)[296]).astype(int)
    assert np.hypot(*flow[other_y, other_x]) < 0.3


def test_the_movement_rolls_with_the_head_and_shortens_with_its_turn(face):
    """The same picture rolled by 90 degrees gives the rolled warp; a turned face moves less to the side."""
    texture = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(320, 320)).astype(np.float32), (0, 0), 2)
    texture = np.clip(128 + 300 * texture, 0, 255).astype(np.uint8)
    intensity = np.zeros(len(UNIT_NAMES))
    intensity[UNIT_INDEX["AU12L"]] = 0.03
    upright = warp(texture, face, 0, intensity)
    quarter = np.array([[0, -1], [1, 0]], np.float32)  # x, y -> 319 - y, x: clockwise
    rolled = dataclasses.replace(
        face, points=(face.points[:1] @ quarter.T + (319, 0)).astype(np.float32), axes=quarter @ face.axes[:1]
    )
    again = np.rot90(warp(np.ascontiguousarray(np.rot90(texture, -1)), rolled, 0, intensity))
    assert np.abs(again.astype(int) - upright).max() <= 3
    assert np.abs(again.astype(int) - texture).max() > 20

    def sideways(axes):
        turned = dataclasses.replace(face, axes=axes[None].astype(np.float32))
        flow = cv2.calcOpticalFlowFarneback(
            texture, warp(texture, turned, 0, intensity), None, 0.5, 3, 15, 3, 5, 1.2, 0
        )
        x, y = np.round(face.full_mesh(0)[61]).astype(int)
        return flow[y, x, 0]

    frontal = np.eye(2)
    assert abs(sideways(frontal * (0.7, 1))) < 0.85 * abs(sideways(frontal))


def test_what_does_not_move_is_untouched(face, frames):
    assert warp(frames[0], face, 0, np.zeros(len(UNIT_NAMES))) is frames[0]
    intensity = np.zeros(len(UNIT_NAMES))
    intensity[UNIT_INDEX["AU4L"]] = 0.03
    changed = np.any(warp(frames[0], face, 0, intensity) != frames[0], axis=2)
    assert changed.any()
    assert not changed[: int(face.full_mesh(0)[66, 1] - 0.6 * face.iod[0])].any()
    assert not changed[int(face.full_mesh(0)[61, 1]) :].any()  # nothing below the mouth's corner


def test_a_planted_set_is_a_folder_data_set_with_exact_truth(still, planted, film, frames):
    out, dataset = planted
    assert check_dataset("folder", out).ok
    [video] = dataset.videos.itertuples()
    assert (video.subject, video.n_frames, video.fps) == (film.subject, 90, 30)
    truth = read_truth(out, video.subject, video.video)
    moving = truth["me_intensity"].any(axis=1)
    for row in dataset.annotations.itertuples():
        assert not moving[row.onset] and not moving[row.offset]
        assert moving[row.onset + 1 : row.offset].all()
    after = np.stack(list(read_frames(video.path)))
    changed = (after != np.stack(frames)).any(axis=(1, 2, 3))
    assert (changed <= moving).all()  # FFV1 is lossless: frames outside events are the same to the bit
    assert changed.sum() > 0.8 * moving.sum()
    micro = pd.read_csv(out / "truth" / "micro_expressions.csv")
    peak = truth["me_intensity"].max(axis=1)
    for row in micro.itertuples():
        assert peak[row.apex] == pytest.approx(row.strength, abs=1e-5)
    assert micro["strength"].between(0.004, 0.035).all()


def test_strengths_stand_in_equal_ratios(film):
    events = plan_events(film, Manner(per_minute=30, strengths=(0.005, 0.02)), 3600, 30.0)
    strengths = np.sort([e.strength for e in events])
    assert strengths[[0, -1]] == pytest.approx([0.005, 0.02])
    assert np.diff(np.log(strengths)) == pytest.approx(np.log(4) / (len(events) - 1))
    assert (np.diff([e.strength for e in events]) < 0).any()  # in random order


@pytest.mark.parametrize(("prior", "longest"), [("casme3", 2.4), ("sammlv", 0.5), ("dense", 1.0)])
def test_lengths_follow_the_prior(film, prior, longest):
    events = plan_events(film, Manner(prior, per_minute=40), 9000, 30.0)
    lengths = [(e.offset - e.onset) / 30 for e in events]
    assert max(lengths) <= longest + 1e-9
    assert max(lengths) > 0.8 * longest


def test_a_sham_has_the_plan_of_the_real_one(still, planted, tmp_path):
    sham = plant(still, tmp_path / "sham", seed=3, per_minute=60, suffix=".mkv", sham=True, progress=False)
    pd.testing.assert_frame_equal(sham.annotations, planted[1].annotations)
    micro = pd.read_csv(tmp_path / "sham" / "truth" / "micro_expressions.csv")
    assert micro["strength"].eq(SHAM).all()


def test_a_run_goes_on_where_it_stopped_and_refuses_another_manner(still, planted):
    out, dataset = planted
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.mkv")}
    again = plant(still, out, seed=3, per_minute=60, suffix=".mkv", progress=False)
    pd.testing.assert_frame_equal(again.annotations, dataset.annotations)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.mkv")} == before
    with pytest.raises(InputError, match="made in another way"):
        plant(still, out, seed=4, per_minute=60, suffix=".mkv", progress=False)


def test_cuts_gaps_turns_and_second_faces_are_left_alone(tmp_path):
    frames = noise(150)
    dark = [np.zeros_like(frames[0])] * 10
    face = tracked([*frames[:60], *dark, *frames[:60], *(f // 3 for f in frames[:20])], tmp_path)
    assert face.marks["face_lost"][60:70].all()
    assert not face.marks["face_lost"][:58].any()
    assert face.marks["cut"][130]
    assert not face.marks["cut"][5:58].any()
    events = plan_events(Film(tmp_path, "a", "b"), Manner(per_minute=60), 150, 30.0)
    can, cannot = sort_out(events, face)
    assert {reason for _, reason in cannot} <= {"face_lost", "cut"}
    assert not any(e.onset <= 69 and e.offset >= 60 for e in can)

    def turned(image):
        mesh = fake(image)
        angle = np.radians(LIMITS["turned"] + 5)
        mesh[:, 2] = (mesh[:, 0] - 48) * np.tan(angle)
        return mesh

    assert tracked(frames[:70], tmp_path, mesher=turned).marks["turned"].all()
    two = tracked(frames[:70], tmp_path, finder=lambda image: one_face(image) * 2)
    assert two.marks["several_faces"].all()


def test_nothing_is_smoothed_across_a_jump_to_another_face(tmp_path):
    count = iter(range(1000))
    face = tracked(
        noise(90), tmp_path, mesher=lambda image: fake(image) + 30 * np.array([next(count) >= 40, 0, 0])
    )
    assert face.marks["cut"][40]
    middle = face.points.mean(axis=1)[:, 0]
    assert np.ptp(middle[:40]) < 1e-3
    assert np.ptp(middle[40:]) < 1e-3


def test_what_cannot_be_used_is_said_and_nothing_is_left(tmp_path, still):
    short = tmp_path / "anna" / "short.mp4"
    write_video(short, noise(20), 30)
    blank = tmp_path / "anna" / "blank.mp4"
    write_video(blank, [np.zeros((96, 96, 3), np.uint8)] * 90, 30)
    out = tmp_path / "out"
    for path, error, said in (
        (short, InputError, r"short\.mp4.*0\.7 s long.*2 s or more"),
        (blank, InputError, r"blank\.mp4: no face.*from the front"),
        (tmp_path / "gone.mp4", MissingError, r"gone\.mp4: no such file"),
    ):
        with pytest.raises(error, match=said):
            plant(path, out, progress=False)
        assert not out.exists()
    with pytest.raises(InputError, match="strengths.*rising order"):
        plant(still, out, strengths=(0.03, 0.01))
    with pytest.raises(InputError, match="prior.*dense"):
        plant(still, out, prior="calm")
    mixed = plant([blank, films_of(still)[0].path], out, per_minute=60, progress=False)
    assert len(mixed.videos) == 1
    assert "blank.mp4: no face" in pd.read_csv(out / "truth" / "not_planted.csv")["reason"].iloc[-1]


def test_the_original_is_never_written(still):
    film = films_of(still)[0]
    before = film.path.read_bytes()
    root = film.path.parent.parent
    copy = root / film.subject / f"{film.video}.mkv"
    copy.write_bytes(before)
    try:
        with pytest.raises(InputError, match="the film itself lies where"):
            plant(copy, root, suffix=".mkv", progress=False)
    finally:
        copy.unlink()
    assert film.path.read_bytes() == before


def test_odd_sizes_uneven_clocks_and_folders_of_images(tmp_path):
    times = np.cumsum(np.where(np.arange(90) % 3, 0.03, 0.05))
    path = tmp_path / "anna" / "film.mp4"
    write_video(path, noise(90), 30, seconds=times)
    options = {"mesher": fake, "per_minute": 60, "progress": False}
    out = plant(path, tmp_path / "uneven", **options)
    assert timestamps(out.path("anna", "film")) == pytest.approx(timestamps(path), abs=1e-3)
    write_images(tmp_path / "bob" / "images", noise(80, (95, 97)))
    odd = plant(tmp_path / "bob" / "images", tmp_path / "odd", image_fps=25, **options)
    assert probe(odd.path("bob", "images"))[1:] == (80, (98, 96))
    assert odd.fps == 25


def test_names_of_films_are_told_apart(tmp_path):
    for path in ("x/anna/1.mp4", "y/anna/1.mp4", "y/bob/1.mp4"):
        write_video(tmp_path / path, noise(4), 30)
    films = films_of([tmp_path / "x" / "anna" / "1.mp4", tmp_path / "y", tmp_path / "y" / "bob" / "1.mp4"])
    assert [(f.subject, f.video) for f in films] == [("anna", "1"), ("anna", "1_2"), ("bob", "1")]
    with pytest.raises(InputError, match="no film was given"):
        films_of([])


def test_the_command(still, tmp_path, capsys):
    film = films_of(still)[0].path
    call = [
        "plant",
        str(film),
        "--out",
        str(tmp_path / "set"),
        "--per-minute",
        "60",
        "--seed",
        "3",
        "--quiet",
    ]
    assert main(call) == 0
    assert "micro-expressions in 1 films" in capsys.readouterr().out
    assert load_dataset("folder", tmp_path / "set").annotations["onset"].gt(0).all()
    assert json.loads((tmp_path / "set" / "planting.json").read_text())["manner"]["per_minute"] == 60
    assert main(["plant", str(tmp_path / "gone.mp4"), "--out", str(tmp_path / "no")]) == 1
    assert "gone.mp4" in capsys.readouterr().err


def test_the_plan_is_that_of_the_intensity(film):
    events = plan_events(film, Manner(per_minute=30), 900, 30.0)
    assert intensity_of(events, 900).max() == pytest.approx(max(e.strength for e in events), rel=1e-3)
    assert events == plan_events(film, Manner(per_minute=30), 900, 30.0)
    assert events != plan_events(film, Manner(per_minute=30), 900, 30.0, turn=1)
