"""SynthME: the truth it states is what it renders, and the same definition gives the same set everywhere.

Directions of the action units are those of the FACS manual (Ekman, Friesen and Hager, 2002).
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metst_core import workers
from metst_core.errors import InputError, MetstError, MissingError
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.synthetic import (
    ACTION_UNITS,
    EXPRESSIONS,
    MEASURES,
    MIRROR,
    RELEASES,
    TIERS,
    UNIT_INDEX,
    UNIT_NAMES,
    UNITS,
    Difficulty,
    Renderer,
    action_units,
    au_field,
    check_release,
    compose_plan,
    contact_sheet,
    difficulty_of,
    face_mesh,
    generate,
    generate_release,
    generation,
    identity,
    movement_seen,
    plan_tables,
    plan_video,
    read_truth,
    release_manifest,
    set_statistics,
    write_mjpeg,
)
from metst_core.synthetic.render import smear
from metst_core.tables import EMOTIONS, write_table
from metst_core.video import probe, read_frames

ROOT = Path(__file__).parents[2]
STILL = np.array([0, 0, 0, 1, 0, 0], float)
NO_UNIT = np.zeros(len(UNITS))
NOTHING = {
    "me_free": 1.0, "macro_per_minute": 0, "blink_per_minute": 0, "speech_share": 0, "gaze_per_minute": 0,
    "drift": 0, "rotation": 0, "turn": 0, "zoom": 0, "flicker": 0, "noise": 0, "motion_blur": 0, "dropped": 0,
}  # fmt: skip
"""Knobs of a set in which nothing happens."""


@pytest.fixture(scope="module")
def person():
    return identity(0, 0)


@pytest.fixture(scope="module")
def renderer(person):
    return Renderer(person)


def grey(frame):
    return cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)


def intensity_of(**units):
    values = NO_UNIT.copy()
    for name, value in units.items():
        values[UNIT_INDEX[name]] = value
    return values


# Action units

ALL_AUS = {1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26, 45}

# AU -> landmark at the left of the image, sign of its movement away from the midline, and down (None: FACS
# does not say). 61 lip corner, 107/63 inner/outer brow, 159/145 upper/lower lid, 0/17 outer lips.
FACS_DIRECTIONS = [
    (1, 107, None, -1), (2, 63, None, -1), (4, 107, -1, 1), (5, 159, None, -1), (6, 50, None, -1),
    (7, 145, None, -1), (9, 129, None, -1), (10, 39, None, -1), (12, 61, 1, -1), (14, 185, None, 1),
    (14, 146, None, -1), (15, 61, None, 1), (17, 199, None, -1), (20, 61, 1, None), (23, 61, -1, None),
    (24, 0, None, 1), (24, 17, None, -1), (25, 17, None, 1), (26, 152, None, 1), (45, 159, None, 1),
]  # fmt: skip


def at_landmark(field, person, landmark):
    x, y = np.round(person.mesh[landmark]).astype(int)
    return field[y, x]


def test_the_table_has_the_action_units_and_every_recipe_uses_only_these():
    assert set(ACTION_UNITS) == ALL_AUS
    assert set(EXPRESSIONS) == set(EMOTIONS)
    for recipe in (r for recipes in EXPRESSIONS.values() for r in recipes):
        assert set(recipe.weights) <= ALL_AUS and recipe.source and max(recipe.weights.values()) == 1.0


@pytest.mark.parametrize(("au", "landmark", "out", "down"), FACS_DIRECTIONS)
def test_every_action_unit_moves_its_landmark_the_way_facs_says(person, au, landmark, out, down):
    field = au_field(person, au)
    for point, away in ((landmark, -1), (MIRROR.get(landmark, landmark), 1)):
        dx, dy = at_landmark(field, person, point)
        assert np.hypot(dx, dy) > 0.25, "the landmark hardly moves"
        if out is not None:
            assert dx * away * out > 0.1
        if down is not None:
            assert dy * down > 0.1


def test_a_field_is_one_at_its_peak_and_its_sides_are_each_others_mirror_image(person):
    middle = person.mesh[[33, 263], 0].mean()
    for unit in UNITS:
        field = au_field(person, unit.name)
        assert np.hypot(field[..., 0], field[..., 1]).max() == pytest.approx(1, abs=1e-5)
        if unit.side:
            columns = np.abs(field).sum(axis=(0, 2))
            centre = (columns * np.arange(len(columns))).sum() / columns.sum()
            assert (centre < middle) == (unit.side == "L")
    assert set(action_units.MIRROR).isdisjoint(action_units.MIRROR.values())


def test_an_unknown_action_unit_is_refused_by_name(person):
    with pytest.raises(InputError, match="AU12L"):
        au_field(person, "AU99")


@pytest.mark.parametrize("unit", [u.name for u in UNITS])
def test_the_flow_of_a_noise_free_frame_is_the_field(person, renderer, unit):
    """Flow (Farnebäck) from the moved frame back to the neutral one, where the field is over half its peak.

    It averages over 15 pixels, so it is too short for narrow fields; direction and order of size are tested.
    """
    strength = 0.012
    neutral = grey(renderer.frame(NO_UNIT, STILL))
    moved = grey(renderer.frame(intensity_of(**{unit: strength}), STILL))
    flow = -cv2.calcOpticalFlowFarneback(moved, neutral, None, 0.5, 3, 15, 5, 7, 1.5, 0)
    truth = au_field(person, unit) * strength * person.iod
    size = np.hypot(truth[..., 0], truth[..., 1])
    seen, true = flow[size > size.max() / 2], truth[size > size.max() / 2]
    assert (seen * true).sum() / np.sqrt((seen**2).sum() * (true**2).sum()) > 0.85
    assert 0.5 < (seen * true).sum() / (true**2).sum() < 1.25
    assert np.abs(flow[size < 0.005]).mean() < 0.05


def test_head_motion_moves_the_head_and_not_the_background(person, renderer):
    neutral = renderer.frame(NO_UNIT, STILL).astype(int)
    pixels = 10
    moved = renderer.frame(NO_UNIT, np.array([pixels / person.iod, 0, 0, 1, 0, 0])).astype(int)
    face = np.s_[120:220, 120:200]
    shifted = np.s_[120:220, 120 + pixels : 200 + pixels]
    assert np.abs(moved[shifted] - neutral[face]).max() <= 2  # rounding
    assert np.abs(moved[:40, :40] - neutral[:40, :40]).max() <= 2


def test_an_action_unit_goes_with_the_head(person, renderer):
    """Head motion and movement are composed, not added: the smile stays at the mouth of the moved head."""
    head = np.array([0.1, -0.08, 0, 1, 0, 0])
    smile = intensity_of(AU12L=0.05, AU12R=0.05)
    x, y = np.round(person.mesh[61] + head[:2] * person.iod).astype(int)
    change = renderer.positions(smile, head) - renderer.positions(NO_UNIT, head)
    here = change[y, x] / 2  # canvas pixels -> frame pixels
    expected = -0.05 * person.iod * at_landmark(au_field(person, 12), person, 61)
    assert here == pytest.approx(expected, abs=0.1)


# Plans

tiers = st.sampled_from(sorted(TIERS))
rates = st.sampled_from([25.0, 30.0, 100.0, 200.0])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    subject=st.integers(0, 50),
    fps=rates,
    tier=tiers,
)
def test_a_plan_is_consistent_to_the_frame(seed, subject, fps, tier):
    knobs = difficulty_of(tier, me_per_minute=20)
    plan = plan_video(seed, subject, 0, 6.0, fps, knobs)
    assert plan.n_frames == round(6 * fps)
    inside = np.zeros(plan.n_frames, bool)
    last = -1
    for event in plan.micro_expressions:
        assert last < event.onset < event.apex < event.offset < plan.n_frames
        last = event.offset
        assert knobs.me_seconds[0] - 1e-9 <= (event.offset - event.onset) / fps <= knobs.me_seconds[1] + 1e-9
        assert knobs.me_strength[0] <= event.strength <= knobs.me_strength[1]
        span = plan.me_intensity[event.onset : event.offset + 1]
        assert (span[[0, -1]] == 0).all() and (span[1:-1].max(axis=1) > 0).all()
        assert span.sum(axis=1).argmax() == event.apex - event.onset
        assert span.max() == pytest.approx(event.strength, rel=1e-5)
        inside[event.onset + 1 : event.offset] = True
    assert (plan.me_intensity[~inside] == 0).all()
    assert (plan.intensity >= plan.me_intensity - 1e-6)[:, : UNIT_INDEX["gaze_x"]].all()
    assert (plan.shown <= np.arange(plan.n_frames)).all() and (np.diff(plan.shown) >= 0).all()


def test_turning_one_knob_leaves_the_rest_of_the_plan_as_it_was():
    base = plan_video(3, 1, 0, 20.0, 30, Difficulty())
    changed = plan_video(3, 1, 0, 20.0, 30, difficulty_of(noise=9, speech_share=0.5, drift=0.1))
    assert base.micro_expressions == changed.micro_expressions
    assert [e for e in base.events if e.kind == "blink"] == [e for e in changed.events if e.kind == "blink"]
    assert np.array_equal(base.gain, changed.gain) and not np.array_equal(base.head, changed.head)


def test_knobs_do_what_their_docstring_says():
    plans = [plan_video(0, s, 0, 60.0, 30, difficulty_of("hard")) for s in range(30)]
    knobs = difficulty_of("hard")
    with_any = [len(p.micro_expressions) for p in plans if p.micro_expressions]
    assert np.mean(with_any) == pytest.approx(knobs.me_per_minute, rel=0.25)
    assert 1 - len(with_any) / 30 == pytest.approx(knobs.me_free, abs=0.2)
    head = np.concatenate([p.head for p in plans])
    assert head[:, :2].std() == pytest.approx(knobs.drift, rel=0.25)
    assert head[:, 2].std() == pytest.approx(knobs.rotation, rel=0.25)
    assert head[:, 3].mean() == pytest.approx(1, abs=0.01)
    assert np.concatenate([p.gain for p in plans]).std() == pytest.approx(knobs.flicker, rel=0.25)
    lost = np.mean([(p.shown != np.arange(p.n_frames)).mean() for p in plans])
    assert lost == pytest.approx(knobs.dropped, rel=0.3)
    kinds = pd.Series([e.kind for p in plans for e in p.events]).value_counts() / 30
    assert kinds["macro"] > 0.6 * knobs.macro_per_minute and kinds["blink"] > 0.6 * knobs.blink_per_minute


def test_without_overlap_no_distractor_meets_a_micro_expression():
    for subject in range(10):
        plan = plan_video(1, subject, 0, 20.0, 30, difficulty_of("hard", overlap=0))
        micro = plan.micro_expressions
        for event in (e for e in plan.events if e.kind != "micro"):
            assert all(event.offset < m.onset or m.offset < event.onset for m in micro)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"strenght": 1}, "strenght.*me_per_minute.*jpeg_quality"),
        ({"tier": "insane"}, "'easy', 'default', 'hard'"),
        ({"noise": -1}, "noise"),
        ({"me_strength": (0.02, 0.01)}, "me_strength.*rising"),
        ({"me_strength": 0.01}, "me_strength.*two numbers"),
        ({"overlap": 1.5}, "overlap.*1"),
        ({"jpeg_quality": 0}, "jpeg_quality"),
        ({"drift": float("nan")}, "drift"),
    ],
)
def test_an_unusable_knob_is_named(tmp_path, knobs, words):
    with pytest.raises(InputError, match=words):
        generate(tmp_path, 1, 1, 2, version=1, **knobs)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "sizes", [{"n_subjects": 0}, {"n_videos": 0}, {"seconds": 0.01}, {"seed": -1}, {"fps": 0}, {"fps": 3}]
)
def test_an_unusable_size_is_named(tmp_path, sizes):
    with pytest.raises(InputError, match=next(iter(sizes))):
        generate(tmp_path, **{"n_subjects": 1, "n_videos": 1, "seconds": 2, "version": 1, **sizes})


def test_a_call_that_could_not_be_made_does_not_claim_the_folder(tmp_path):
    """A wrong call left generation.json behind, after which the right one was refused."""
    for wrong in ({"seconds": 0.01}, {"seconds": float("nan")}, {"seconds": "2"}, {"n_jobs": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            generate(tmp_path, **{"n_subjects": 1, "n_videos": 1, "seconds": 2, "version": 1, **wrong})
        assert not any(tmp_path.iterdir())


def test_a_folder_without_a_finished_video_may_be_claimed_anew(tmp_path):
    """A portrait without a face is only noticed when the first video is made."""
    wall, out_dir = tmp_path / "wall.png", tmp_path / "set"
    cv2.imwrite(str(wall), np.full((64, 64, 3), 128, np.uint8))

    def make(seed):
        generate(out_dir, 1, 1, 1.0, seed=seed, portraits=[wall], version=1, progress=False)

    for seed in (1, 2):
        with pytest.raises(InputError, match="no face found"):
            make(seed)
    (out_dir / "truth").mkdir(exist_ok=True)
    (out_dir / "truth" / "s001_v01.npz").touch()
    with pytest.raises(InputError, match="seed is 2 there, 3 here"):
        make(3)
    (out_dir / "generation.json").write_text("half a fi")
    with pytest.raises(InputError, match=r"generation\.json"):
        make(2)


# Rendering


def test_a_noise_free_clip_differs_from_the_neutral_frame_exactly_between_onset_and_offset(renderer):
    planned = plan_video(
        0, 0, 0, 4.0, 30, difficulty_of(me_per_minute=30, me_free=0, me_strength=(0.015, 0.02))
    )
    assert len(planned.micro_expressions) >= 1
    knobs = difficulty_of(**NOTHING)
    plan = compose_plan(planned.micro_expressions, planned.n_frames, 30, knobs)
    neutral = renderer.frame(NO_UNIT, STILL).astype(int)
    change = np.array([np.abs(f - neutral).sum() for f in renderer.frames(plan, knobs)])
    moving = np.zeros(plan.n_frames, bool)
    for event in plan.micro_expressions:
        moving[event.onset + 1 : event.offset] = True
        span = change[event.onset : event.offset + 1]
        assert span.argmax() == event.apex - event.onset
    assert np.array_equal(change > 0, moving)


def test_noise_light_and_lost_frames_are_as_strong_as_asked(renderer):
    quiet = {**NOTHING, "noise": 5.0}
    plan = compose_plan([], 12, 30, difficulty_of(**quiet))
    frames = np.array(list(renderer.frames(plan, difficulty_of(**quiet)))).astype(float)
    middling = (frames.mean(axis=0) > 30) & (frames.mean(axis=0) < 225)  # where 0 and 255 cut nothing off
    assert frames.std(axis=0, ddof=1)[middling].mean() == pytest.approx(5, rel=0.05)

    knobs = difficulty_of(**{**NOTHING, "flicker": 0.05})
    plan = compose_plan([], 40, 30, knobs, seed=4)
    neutral = renderer.frame(NO_UNIT, STILL)
    skin = np.s_[180:200, 150:170]
    bright = [f[skin].mean() / neutral[skin].mean() for f in renderer.frames(plan, knobs)]
    assert np.array(bright) == pytest.approx(plan.gain, abs=0.01)

    knobs = difficulty_of(**{**NOTHING, "dropped": 0.3, "noise": 3})
    plan = compose_plan([], 40, 30, knobs)
    frames = list(renderer.frames(plan, knobs))
    repeated = np.array([np.array_equal(a, b) for a, b in pairwise(frames)])
    assert np.array_equal(repeated, np.diff(plan.shown) == 0) and repeated.any()


@settings(max_examples=30, deadline=None)
@given(dx=st.floats(-6, 6), dy=st.floats(-6, 6))
def test_motion_blur_spreads_a_point_along_its_path_and_keeps_its_light(dx, dy):
    picture = np.zeros((41, 41, 3), np.uint8)
    picture[20, 20] = 255
    blurred = smear(picture, np.array([dx, dy]))[..., 0].astype(float)
    y, x = np.mgrid[:41, :41] - 20
    assert blurred.sum() == pytest.approx(255, abs=20)  # rounding of up to 40 pixels
    assert [(blurred * v).sum() / blurred.sum() for v in (x, y)] == pytest.approx([0, 0], abs=0.35)
    length = np.hypot(dx, dy)
    assert blurred[np.hypot(x, y) > length / 2 + 2].sum() == 0


def test_a_landmarker_finds_every_face_and_the_mesh_is_where_it_says():
    for index in (1, 4):
        person = identity(7, index)
        knobs = difficulty_of("hard")
        plan = plan_video(7, index, 0, 1.0, 30, knobs)
        frames = list(Renderer(person).frames(plan, knobs))
        assert face_mesh(np.ascontiguousarray(frames[0][..., ::-1])) is not None
        found = face_mesh(person.image)
        assert found is not None
        error = np.hypot(*(found[:468, :2] - person.mesh[:468]).T)
        assert np.median(error) < 0.04 * person.iod
        assert 85 < person.iod < 115


def test_identities_differ_and_are_reproducible(person):
    again, other = identity(0, 0), identity(0, 2)
    assert np.array_equal(person.canvas, again.canvas) and np.array_equal(person.mesh, again.mesh)
    assert np.abs(person.image.astype(int) - other.image).mean() > 5
    sheet = contact_sheet(0, 1, columns=2, size=64)
    assert sheet.shape == (64, 128, 3) and sheet.dtype == np.uint8
    assert (sheet[:, 64:] == 255).all() and (sheet[:, :64] < 255).any()


def test_own_portraits_join_by_path(tmp_path, person):
    from skimage.data import astronaut

    mine = tmp_path / "me.png"
    cv2.imwrite(str(mine), cv2.resize(astronaut()[:300, 80:380], None, fx=3, fy=3)[..., ::-1])
    own = identity(0, 0, (str(mine),))
    assert own.portrait == str(mine)
    assert np.abs(own.mesh - person.mesh).mean() < 3, "the same face, whatever the size of the photograph"
    blank = tmp_path / "wall.png"
    cv2.imwrite(str(blank), np.full((200, 200, 3), 127, np.uint8))
    with pytest.raises(InputError, match=r"wall\.png: no face"):
        identity(0, 0, (str(blank),))
    with pytest.raises(MissingError, match=r"nobody\.png"):
        generate(tmp_path / "set", 1, 1, 2, portraits=[tmp_path / "nobody.png"])


# Files


def bytes_of(root):
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.suffix != ".npz"  # a zip file carries the time of day
    }


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    root = tmp_path_factory.mktemp("a set with spaces")
    return root, generate(root, 2, 1, 2.0, seed=5, tier="easy", version=1, me_per_minute=60, progress=False)


def test_a_set_has_the_layout_and_the_truth_of_its_plan(small_set):
    root, dataset = small_set
    assert dataset.name == "synthetic" and dataset.fps == 30 and len(dataset.videos) == 2
    assert len(dataset.annotations) >= 2
    for index, row in enumerate(dataset.videos.itertuples()):
        plan = plan_video(5, index, 0, 2.0, 30, difficulty_of("easy", me_per_minute=60))
        truth = read_truth(root, row.subject, row.video)
        assert truth["units"].tolist() == list(UNIT_NAMES)
        for name in ("intensity", "me_intensity", "head", "gain", "shown"):
            assert np.array_equal(truth[name], getattr(plan, name))
        mine = dataset.annotations[dataset.annotations["subject"] == row.subject]
        assert mine[["onset", "apex", "offset"]].to_numpy().tolist() == [
            [e.onset, e.apex, e.offset] for e in plan.micro_expressions
        ]
        assert sum(1 for _ in dataset.frames(row.subject, row.video)) == plan.n_frames == row.n_frames
        assert probe(row.path) == (30.0, 60, (320, 320))
    micro = pd.read_csv(root / "truth" / "micro_expressions.csv")
    assert len(micro) == len(dataset.annotations) and (micro["strength"] >= 0.01).all()
    assert set_statistics(root).set_index("quantity").loc["micro-expression duration", "high"] <= 0.5


def test_a_stopped_generation_goes_on_and_keeps_what_is_finished(small_set):
    root, _ = small_set
    before = bytes_of(root)
    kept, lost = root / "s001" / "v01.avi", root / "s002" / "v01.avi"
    when = kept.stat().st_mtime_ns
    lost.unlink()
    (root / "annotations.csv").unlink()
    generate(root, 2, 1, 2.0, seed=5, tier="easy", version=1, me_per_minute=60, progress=False)
    assert bytes_of(root) == before
    assert kept.stat().st_mtime_ns == when
    with pytest.raises(
        InputError, match=r"seed is 5 there, 6 here; difficulty\.me_per_minute is 60\.0 there, 6\.0 here"
    ):
        generate(root, 2, 1, 2.0, seed=6, tier="hard", version=1, progress=False)
    assert bytes_of(root) == before


def test_a_damaged_truth_is_named_and_its_video_made_anew(small_set):
    root, _ = small_set
    truth = root / "truth" / "s002_v01.npz"
    whole, before = truth.read_bytes(), bytes_of(root)
    for damaged in (whole[:-500], whole[:300] + bytes([whole[300] ^ 1]) + whole[301:], b"", b"PK"):
        truth.write_bytes(damaged)
        with pytest.raises(
            InputError, match=r"s002_v01\.npz: the truth of a video is damaged .*generate the set again"
        ):
            read_truth(root, "s002", "v01")
    generate(root, 2, 1, 2.0, seed=5, tier="easy", version=1, me_per_minute=60, progress=False)
    assert read_truth(root, "s002", "v01")["iod"] > 0 and bytes_of(root) == before
    assert not list(root.rglob(".*"))


def test_the_workers_of_a_generation_end_with_it_and_their_death_is_a_sentence(tmp_path, monkeypatch):
    """They are those of `workers.on_backend`, whose end with the parent is tested there; here, one is killed."""
    monkeypatch.setattr(generation, "_make_videos", _die)
    with pytest.raises(MetstError, match=r"worker process was killed.*n_jobs=2 \(finished videos are kept\)"):
        generate(tmp_path, 2, 1, 1.0, version=1, progress=False, n_jobs=2)
    asked = []
    monkeypatch.setattr(
        generation, "on_backend", lambda *given: asked.append(given) or workers.on_backend("loky", 1)
    )
    monkeypatch.setattr(generation, "_make_videos", lambda *given: 0)
    with pytest.raises(MetstError):  # no video was made
        generate(tmp_path, 1, 1, 1.0, version=1, progress=False, n_jobs=2)
    assert asked == [("loky", 2)]


def _die(*given):
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_result_does_not_depend_on_the_number_of_processes(small_set, tmp_path):
    root, _ = small_set
    generate(tmp_path, 2, 1, 2.0, seed=5, tier="easy", version=1, me_per_minute=60, progress=False, n_jobs=2)
    assert bytes_of(tmp_path) == bytes_of(root)


def test_plans_do_not_depend_on_the_process(tmp_path):
    """The hash of a set's annotations in a fresh interpreter with another hash seed is the same as here."""
    code = (
        "from metst_core.synthetic import plan_tables, Difficulty;"
        "t = plan_tables(9, range(3), 2, 10.0, 30.0, Difficulty());"
        "print(t['truth/distractors.csv'].to_csv(), t['annotations.csv'].to_csv())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONHASHSEED": "7"},
    )
    tables = plan_tables(9, range(3), 2, 10.0, 30.0, Difficulty())
    here = f"{tables['truth/distractors.csv'].to_csv()} {tables['annotations.csv'].to_csv()}\n"
    assert run.stdout == here


@pytest.mark.parametrize("name", RELEASES)
def test_releases_have_the_annotations_of_their_manifests(name):
    stored = json.loads((ROOT / "data" / "manifests" / f"{name}.json").read_text())
    assert json.loads(json.dumps(release_manifest(name))) == stored, (
        "a release changed: raise VERSION, write manifests"
    )
    parts = RELEASES[name].parts
    assert set(parts["train"]).isdisjoint(parts["test"])
    train, test = stored["counts"]["train"], stored["counts"]["test"]
    cells = [name, RELEASES[name].tier]
    cells += [f"{train['subjects']} / {test['subjects']}", train["videos"] + test["videos"]]
    cells += [train["frames"] + test["frames"], f"{train['micro_expressions']} / {test['micro_expressions']}"]
    row = "| " + " | ".join(map(str, cells)) + " |"
    assert row in (ROOT / "data" / "synthme.md").read_text(), f"the data card should say {row}"


def test_the_command_writes_the_stored_manifests_and_warns_of_nothing(tmp_path):
    """`python -m` on a module that its package has already imported gets a RuntimeWarning of runpy."""
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "metst_core.synthetic.fixed_sets"]
    subprocess.run([*command, str(tmp_path)], check=True, cwd=ROOT, capture_output=True)
    for name in RELEASES:
        stored = ROOT / "data" / "manifests" / f"{name}.json"
        assert (tmp_path / f"{name}.json").read_bytes() == stored.read_bytes()


def test_a_release_that_is_not_there_is_reported_by_file(tmp_path):
    problems = check_release("SynthME-mini", tmp_path)
    assert any(p.startswith("test/annotations.csv: missing") for p in problems)
    assert sum(".avi" in p for p in problems) == 8
    with pytest.raises(InputError, match="SynthME-mini"):
        generate_release("SynthME-giant", tmp_path)


def test_a_release_is_checked_by_the_bytes_of_its_tables(tmp_path):
    release = RELEASES["SynthME-mini"]
    for part, subjects in release.parts.items():
        knobs = difficulty_of(release.tier)
        tables = plan_tables(release.seed, subjects, release.n_videos, release.seconds, release.fps, knobs)
        for name, table in tables.items():
            write_table(table, tmp_path / part / name)
        for row in tables["videos.csv"].itertuples():
            for path in (
                tmp_path / part / row.path,
                tmp_path / part / "truth" / f"{row.subject}_{row.video}.npz",
            ):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    assert check_release(release.name, tmp_path) == []
    annotations = tmp_path / "train" / "annotations.csv"
    annotations.write_text(annotations.read_text().replace("negative", "positive"))
    assert [p.split(":")[0] for p in check_release(release.name, tmp_path)] == ["train/annotations.csv"]


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    fps=st.sampled_from([25.0, 29.97, 30.0, 200.0]),
)
def test_a_written_video_gives_back_the_jpeg_frames(tmp_path_factory, sizes, fps):
    path = tmp_path_factory.mktemp("mjpeg") / "clip.avi"
    pictures = [np.full((32, 48, 3), 4 * n, np.uint8) for n in sizes]
    coded = [cv2.imencode(".jpg", p)[1].tobytes() for p in pictures]
    assert write_mjpeg(path, iter(coded), fps, (48, 32)) == len(sizes)
    frames = list(read_frames(path))
    assert len(frames) == len(sizes)
    assert all(np.abs(f.astype(int) - p).max() <= 2 for f, p in zip(frames, pictures, strict=True))
    assert path.stat().st_size == 8 + int.from_bytes(path.read_bytes()[4:8], "little")
    if len(sizes) > 1:
        assert probe(path).fps == pytest.approx(fps, rel=1e-3)


def test_no_frames_leave_no_file(tmp_path):
    with pytest.raises(MetstError, match="no frames"):
        write_mjpeg(tmp_path / "none.avi", [], 30, (32, 32))
    assert not any(tmp_path.iterdir())


def test_a_still_face_is_stiller_in_the_flow_than_in_the_landmarks(person):
    """What ROI motion is for: landmarks jitter by about the size of a micro-expression, flow does not."""
    seen = movement_seen(person, MediaPipeLandmarker(), au=12, strength=0.01).set_index("measure")
    assert list(seen.index) == list(MEASURES)
    assert seen.loc["motion_corrected", "still_rms"] < 0.5 * seen.loc["landmark", "still_rms"]
    assert seen.loc["motion_corrected", "at_apex"] == pytest.approx(seen["true_at_apex"].iloc[0], rel=0.5)
