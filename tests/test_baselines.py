"""Chance, the motion spotter, and the comparisons and ablations built on them."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.made_up_motion import WINDOW, made_up_motion

from metst_core.checkpoints import own as checkpoints
from metst_core.decoding import half_length
from metst_core.errors import InputError
from metst_core.experiment import (
    CELLS,
    Cell,
    Intervals,
    chance_predictions,
    chance_scores,
    check_results,
    compare,
    majority_emotion,
    motion_contrast,
    motion_path,
    motion_spotter,
    over_seeds,
    results_dict,
    run_ablation,
    window_cells,
)
from metst_core.files import write_json
from metst_core.metrics import METRICS, interval_iou
from metst_core.rivals import PATCH, SEQUENCE_NETWORKS, SlidingWindowNetwork, count_parameters
from metst_core.tables import ANNOTATION_COLUMNS, EMOTIONS, PREDICTION_COLUMNS
from metst_core.training import TrainConfig, leave_one_subject_out
from metst_core.windows import unstitch

TINY = TrainConfig(
    model="metst", width=8, depth=1, d_state=4, epochs=1, batch_size=32, learning_rate=1e-2, ratio=1, seed=3
)
FEW = Intervals(n=30)


@pytest.fixture(scope="module")
def motion():
    return made_up_motion()


# --- the motion spotter ---------------------------------------------------------------------------


@given(st.integers(2, 80), st.integers(1, 9), st.integers(0, 99))
def test_chaining_the_windows_gives_the_path_back(n_frames, half, seed):
    path = np.random.default_rng(seed).standard_normal((n_frames, 4))
    cut = unstitch(path, 2 * half)
    windows = (cut - cut[:, :1]).transpose(0, 2, 1)
    assert np.allclose(motion_path(windows, n_frames), path - path[0])


def test_contrast_cancels_a_steady_drift_and_answers_to_a_bump():
    frames = np.arange(128.0)
    drift = np.stack([0.3 * frames, -0.1 * frames], axis=1)
    bump = drift + np.outer(np.exp(-(((frames - 60) / 3) ** 2)), [0.6, 0.8])  # a shift by 1 pixel at frame 60
    # by hand: the difference is 1 at frame 60 and 1/2 ten frames to either side, where the bump is a neighbour
    for path, expected in ((drift, 0.0), (bump, 1 - (1 / 2 + 1 / 2) / 2)):
        cut = unstitch(path, WINDOW)
        contrast = motion_contrast((cut - cut[:, :1]).transpose(0, 2, 1), k_p=5, n_frames=128)
        assert contrast[60] == pytest.approx(expected, abs=1e-3)
        assert np.allclose(contrast[25:35], 0, atol=1e-3) and contrast.shape == (128,)


def test_contrast_is_that_of_the_third_of_the_rois_that_moves_most():
    frames = np.arange(96.0)
    bump = np.exp(-(((frames - 48) / 2) ** 2))
    path = np.outer(
        bump, [1.0, 0, 3.0, 0, 0, 0, 0, 0, 0, 0, 2.0, 0]
    )  # six ROIs, of which the 2nd and 6th count
    cut = unstitch(path, WINDOW)
    contrast = motion_contrast((cut - cut[:, :1]).transpose(0, 2, 1), k_p=4, n_frames=96)
    assert contrast.argmax() == 48 and contrast[48] == pytest.approx(2.5 / 2, abs=1e-3)


def test_the_motion_spotter_finds_bumps_and_knows_only_the_majority(motion):
    result = motion_spotter(motion)
    assert result.evaluation.spotting_recall > 0.8 and result.evaluation.spotting_f1 > 0.6
    for subject in motion.subjects:
        others = motion.annotations[motion.annotations["subject"] != subject]
        own = result.predictions[result.predictions["subject"] == subject]
        assert set(own["emotion"]) == {majority_emotion(others)}
        assert result.k_p[subject] == half_length(others)
    assert motion_spotter(motion, "official").k_p == dict.fromkeys(
        motion.subjects, half_length(motion.annotations)
    )


def test_the_motion_spotter_under_strict_does_not_see_the_labels_of_the_subject(motion):
    false = motion.annotations.copy()
    here = false["subject"] == "s1"
    false.loc[here, ["onset", "apex", "offset"]] = (0, 25, 55)
    false.loc[here, "emotion"] = "others"
    tables = [
        r.predictions[r.predictions["subject"] == "s1"].reset_index(drop=True)
        for r in (motion_spotter(motion), motion_spotter(dataclasses.replace(motion, annotations=false)))
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_official_drops_videos_without_an_me_from_the_spotter_too():
    motion = made_up_motion(3, 1, n_empty=1)
    assert {v for _, v in motion_spotter(motion, "official").traces} == {"v0"}
    assert {v for _, v in motion_spotter(motion, "strict").traces} == {"v0", "v1"}


def test_majority_is_the_most_frequent_emotion_and_the_first_of_a_tie():
    assert majority_emotion(pd.DataFrame({"emotion": ["others", "surprise", "surprise"]})) == "surprise"
    assert majority_emotion(pd.DataFrame({"emotion": ["others", "positive"]})) == "positive"


# --- chance ---------------------------------------------------------------------------------------


def test_chance_keeps_the_count_and_the_length_per_subject(motion):
    result = motion_spotter(motion)
    drawn = chance_predictions(result.predictions, motion.videos, result.k_p, seed=1)
    assert drawn["subject"].value_counts().to_dict() == result.predictions["subject"].value_counts().to_dict()
    for row in drawn.itertuples():
        assert row.offset - row.onset == 2 * result.k_p[row.subject]
        assert 0 <= row.apex < motion.n_frames(row.subject, row.video)
    assert drawn.equals(chance_predictions(result.predictions, motion.videos, result.k_p, seed=1))
    assert not drawn.equals(chance_predictions(result.predictions, motion.videos, result.k_p, seed=2))


def test_chance_scores_have_the_probability_of_a_hit():
    truth = pd.DataFrame([("s", "v", 40, 45, 50, "positive")], columns=ANNOTATION_COLUMNS)
    found = pd.DataFrame([("s", "v", 0, 5, 10, "others", 0.0)], columns=PREDICTION_COLUMNS)
    videos = pd.DataFrame(
        [("s", "v", 30.0, 100, "")], columns=["subject", "video", "fps", "n_frames", "path"]
    )
    hits = sum(interval_iou((apex - 5, apex + 5), (40, 50)) >= 0.5 for apex in range(100)) / 100
    scores = chance_scores(found, truth, videos, {"s": 5}, ["s"], repeats=2000).set_index("metric")
    assert hits == 0.07
    assert scores.loc["spotting_f1", "value"] == pytest.approx(hits, abs=4 * np.sqrt(hits / 2000))
    assert scores.loc["strs", "value"] == pytest.approx(hits / 4, abs=4 * np.sqrt(hits / 4 / 2000))
    assert scores.loc["spotting_f1", "low"] == 0 and scores.loc["spotting_f1", "high"] == 1


def test_chance_lies_below_the_spotter(motion):
    result = motion_spotter(motion)
    chance = chance_scores(
        result.predictions, motion.annotations, motion.videos, result.k_p, result.subjects, repeats=40
    ).set_index("metric")
    assert chance.loc["spotting_f1", "high"] < result.evaluation.spotting_f1


# --- networks in the slot -------------------------------------------------------------------------


def test_the_sliding_window_sees_its_patch_and_nothing_else():
    torch.manual_seed(0)
    network = SlidingWindowNetwork(in_channels=4, width=4, hidden=8).eval()
    x = torch.randn(1, 4, 60)
    changed = x.clone()
    changed[0, :, 30] += 1
    with torch.no_grad():
        (score, logits), (score_changed, logits_changed) = network(x), network(changed)
    for a, b in ((score[..., None], score_changed[..., None]), (logits, logits_changed)):
        moved = (a != b).any(dim=2)[0].nonzero().ravel().tolist()
        assert moved[0] >= 30 - PATCH // 2 + 1 and moved[-1] <= 30 + PATCH // 2


def test_the_sliding_window_counts_motion_from_its_patch():
    torch.manual_seed(0)
    network = SlidingWindowNetwork(in_channels=4, width=4, hidden=8).eval()
    x = torch.randn(1, 4, 60)
    with torch.no_grad():
        assert torch.allclose(network(x)[0], network(x + 5.0)[0], atol=1e-5)


@pytest.mark.parametrize("name", SEQUENCE_NETWORKS)
def test_a_rival_trains_is_stored_and_comes_back(name, motion, tmp_path):
    few = {key: windows for key, windows in motion.windows.items() if key in (("s0", "v0"), ("s1", "v0"))}
    truth = motion.annotations.query("video == 'v0' and subject != 's2'")
    small = dataclasses.replace(motion, windows=few, annotations=truth)
    config = TINY.with_model(name, features="metst", width=4, blocks_per_stage=1)
    result = leave_one_subject_out(small, config, tmp_path)
    assert (result.folds["status"] == "done").all()
    model = checkpoints.load(tmp_path / "folds" / "s0" / "weights.safetensors")
    assert type(model) is SEQUENCE_NETWORKS[name]


# --- comparisons, seeds, ablations, results -------------------------------------------------------


def test_ablation_trains_what_training_tells_apart_and_pairs_every_cell_with_the_base(motion, tmp_path):
    cells = [c for c in CELLS if c.factor in ("synergy", "intervals")] + list(window_cells([WINDOW]))
    ablation = run_ablation(motion, TINY, tmp_path, cells, intervals=FEW)
    assert len(list(tmp_path.iterdir())) == 2  # synergy 0, and all the rest
    assert (ablation.table["parameters"] == count_parameters(TINY.build())).all()
    table = ablation.table.set_index(["factor", "level"])
    assert table["is_base"].to_dict() == {
        ("synergy", "0"): False,
        ("synergy", "1"): False,
        ("synergy", "2"): True,
        ("intervals", "fixed"): True,
        ("intervals", "extensible"): False,
        ("window length", str(WINDOW)): True,
    }
    for key, row in table.iterrows():
        result = ablation.results[key]
        assert row["strs"] == pytest.approx(result.evaluation.strs)
        assert row["strs_difference"] == pytest.approx(row["strs"] - table.loc[("synergy", "2"), "strs"])
        assert not (row["is_base"] and row["makes_a_difference"])
    assert "window length" in ablation.without_effect()
    with pytest.raises(InputError, match="lacks window length 30"):
        run_ablation(motion, TINY, tmp_path, window_cells([30]))


def test_ablation_reads_the_base_from_its_finished_run(motion, tmp_path):
    leave_one_subject_out(motion, TINY, tmp_path / "base")
    cells = [Cell("synergy", level, {"synergy": int(level)}) for level in "12"]
    run_ablation(motion, TINY, tmp_path / "grid", cells, intervals=FEW, base_dir=tmp_path / "base")
    assert not (tmp_path / "grid").exists()  # nothing was left to train


def test_every_cell_of_the_grid_is_a_configuration():
    base = TrainConfig()
    for cell in CELLS:
        config = dataclasses.replace(base, **cell.changes)
        assert all(getattr(config, name) == value for name, value in cell.changes.items())
    assert {c.factor for c in CELLS if dataclasses.replace(base, **c.changes) == base} == {
        c.factor for c in CELLS
    }


def test_results_have_their_schema_and_survive_json(motion, tmp_path):
    seeds, spread = over_seeds(motion, TINY, {seed: tmp_path / f"seed-{seed}" for seed in (3, 4)})
    assert list(seeds) == [3, 4] and spread["n_seeds"].eq(2).all()
    assert seeds[3].config == TINY and seeds[4].config.seed == 4
    assert seeds[3].traces["s0", "v0"][0].tolist() != seeds[4].traces["s0", "v0"][0].tolist()
    spotter = motion_spotter(motion)
    ablation = run_ablation(
        motion, TINY, tmp_path / "grid", [Cell("synergy", "1", {"synergy": 1})], intervals=FEW
    )
    methods = {"motion spotter": {"strict": spotter}, "ME-TST": {"strict": seeds[3]}}
    results = results_dict(methods, [("motion spotter", "ME-TST")], {"ME-TST": spread}, ablation, FEW)
    back = json.loads(write_json(results, tmp_path / "results.json").read_text())
    check_results(back)
    assert back["methods"]["ME-TST"]["strict"]["config"] == TINY.to_dict()
    assert back["methods"]["motion spotter"]["strict"]["evaluation"]["tp"] == spotter.evaluation.tp
    assert [row["metric"] for row in back["comparisons"]] == list(METRICS)
    row = back["comparisons"][-1]
    assert row["difference"] == pytest.approx(seeds[3].evaluation.strs - spotter.evaluation.strs)
    del back["methods"]["ME-TST"]["strict"]["intervals"]
    with pytest.raises(InputError, match=r"methods\.ME-TST\.strict\.intervals is missing"):
        check_results(back)


def test_three_classes_change_recognition_alone(motion):
    spotter = {"motion spotter": {"strict": motion_spotter(motion)}}
    four, three = (
        results_dict(spotter, intervals=FEW, classes=classes)["methods"]["motion spotter"]["strict"][
            "evaluation"
        ]
        for classes in (EMOTIONS, EMOTIONS[:3])
    )
    assert four["spotting_f1"] == three["spotting_f1"] and four["confusion"] != three["confusion"]


def test_comparing_needs_no_common_order_of_subjects(motion):
    spotter = motion_spotter(motion)
    turned = dataclasses.replace(spotter, subjects=spotter.subjects[::-1])
    table = compare({"a": spotter, "b": turned}, [("a", "b")], FEW)
    assert (table["difference"] == 0).all() and len(table) == len(METRICS)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda m: motion_spotter(m, "lenient"), "protocol is 'lenient'"),
        (lambda m: motion_path(np.zeros((2, 4, 5))), "even window"),
        (lambda m: majority_emotion(m.annotations.iloc[:0]), "no micro-expression"),
        (lambda m: chance_predictions(motion_spotter(m).predictions, m.videos, {}), "lack subject 's0'"),
    ],
)
def test_bad_input_is_named(motion, call, named):
    with pytest.raises(InputError, match=named):
        call(motion)
