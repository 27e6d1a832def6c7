"""Training by the published numbers, and LOSO runs: resumable, the same for any number of jobs, without
leakage.
"""

import dataclasses
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from support.made_up_motion import TINY, made_up_motion

from metst_core import checkpoints
from metst_core.decoding import half_length
from metst_core.errors import InputError
from metst_core.files import only_one
from metst_core.metrics import Intervals, evaluate
from metst_core.models import METST, METSTPlus, predict_video
from metst_core.tables import of_video
from metst_core.training import (
    METHODS,
    FoldError,
    TrainConfig,
    TrainingWindows,
    class_weights,
    draw_windows,
    fit,
    fit_windows,
    fold_seed,
    joint_loss,
    leave_one_subject_out,
    loso,
    optimise,
    run_protocols,
    scale_factors,
    train_fold,
    windows_of,
)
from metst_core.training.material import Material
from metst_core.training.store import RunFolder, read_traces
from metst_core.windows import window_targets


def same(a, b):
    """Two LOSO results hold the same numbers, bit for bit (seconds apart)."""
    assert a.traces.keys() == b.traces.keys()
    for key in a.traces:
        for one, other in zip(a.traces[key], b.traces[key], strict=True):
            assert np.array_equal(one, other)
    pd.testing.assert_frame_equal(a.predictions, b.predictions, check_exact=True)
    pd.testing.assert_frame_equal(a.history, b.history, check_exact=True)
    pd.testing.assert_frame_equal(a.folds.drop(columns="seconds"), b.folds.drop(columns="seconds"))
    assert a.evaluation.to_dict() == b.evaluation.to_dict()
    return True


@pytest.fixture(scope="module")
def motion():
    return made_up_motion()


@pytest.fixture(scope="module")
def tiny_run(motion, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return leave_one_subject_out(motion, TINY, folder), folder


# --- configuration --------------------------------------------------------------------------------


def test_the_defaults_are_the_published_numbers():
    published = {
        "epochs": 50, "learning_rate": 3e-4, "batch_size": 256, "ratio": 4, "seed": 100, "scale_low": 0.9,
        "scale_high": 1.1, "scale_step": 0.01, "score_weight": 0.9, "class_weight": 0.1, "neutral_weight": 6,
        "width": 128, "depth": 12, "blocks_per_stage": 4, "d_state": 64, "synergy": 2, "p": 0.55,
    }  # fmt: skip
    assert published.items() <= TrainConfig().to_dict().items()
    assert np.allclose(scale_factors(TrainConfig()), np.arange(90, 111) / 100, atol=1e-12)


def test_a_model_brings_its_own_features_pathways_and_strategy():
    assert (TrainConfig(model="metst").features, TrainConfig().features) == ("metst", "metst_plus")
    prior_guided = TrainConfig(model="boosting_vrme")
    assert (prior_guided.pathways, prior_guided.strategy) == ("shared", "extensible")
    assert TrainConfig(model="boosting_vrme", strategy="fixed").strategy == "fixed"
    assert prior_guided.with_model("metst", epochs=3) == TrainConfig(model="metst", epochs=3)


@pytest.mark.parametrize("model", METHODS)
def test_every_model_is_built_answers_per_frame_and_the_rivals_are_as_large_as_me_tst_plus(model):
    config = TrainConfig(model=model, width=16, depth=1, blocks_per_stage=1, d_state=4)
    network = config.build()
    assert isinstance(
        network, {"metst": METST, "metst_plus": METSTPlus}.get(METHODS[model].network, torch.nn.Module)
    )
    channels = {"metst": 10, "metst_plus": 36}[config.features]
    score, logits = network(torch.zeros(2, channels, 7))
    assert score.shape == (2, 7) and logits.shape == (2, 7, 5)
    if METHODS[model].network not in ("metst", "metst_plus"):
        size = sum(p.numel() for p in network.parameters())
        plus = sum(p.numel() for p in config.with_model("metst_plus").build().parameters())
        # a Transformer grows by one feature per head at a time, which is coarse when it is this small
        assert size == pytest.approx(plus, rel=0.15 if model == "transformer" else 0.05)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "mean"}, "model is 'mean'"),
        ({"features": "all"}, "all"),
        ({"pathways": "both"}, "pathways is 'both'"),
        ({"synergy": 3}, "synergy is 3"),
        ({"protocol": "lenient"}, "protocol is 'lenient'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"epochs": 1.5}, "epochs is 1.5"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'"),
        ({"ratio": float("nan")}, "ratio is nan"),
        ({"scale_low": 2, "scale_high": 1}, "scale_low"),
        ({"amp": True}, "amp and compile are for CUDA"),
    ],
)
def test_a_bad_choice_is_named(changes, named):
    with pytest.raises(InputError, match=named):
        TrainConfig(**changes)


# --- the parts of training ------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_class_weights_are_scikit_learns_balanced_ones_with_neutral_times_six(classes):
    present = np.unique(classes)
    expected = np.zeros(5)
    expected[present] = compute_class_weight("balanced", classes=present, y=classes)
    expected[4] *= 6
    assert np.allclose(class_weights(np.array(classes)), expected)
    assert class_weights(np.array(classes), synergy=0)[4] == 0


@given(st.integers(0, 20), st.integers(0, 60), st.floats(0, 5), st.integers(0, 99))
def test_all_windows_with_an_me_and_ratio_times_as_many_without_are_drawn(n_with, n_without, ratio, seed):
    scores = np.zeros((n_with + n_without, 4), np.float32)
    order = np.random.default_rng(seed).permutation(len(scores))
    scores[order[:n_with], seed % 4] = 1
    drawn = draw_windows(scores, ratio, np.random.default_rng(seed))
    assert set(order[:n_with]) <= set(drawn) and len(set(drawn)) == len(drawn)
    assert len(drawn) == n_with + min(n_without, round(ratio * n_with))


def test_the_loss_is_nine_tenths_mse_and_one_tenth_weighted_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    score, target = torch.rand(3, 7, generator=generator), torch.rand(3, 7, generator=generator).round()
    logits = torch.randn(3, 7, 5, generator=generator, requires_grad=True)
    classes = torch.randint(0, 5, (3, 7), generator=generator)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 0.5])
    loss, score_loss, class_loss = joint_loss(score, logits, target, classes, weights, TrainConfig())
    expected = torch.nn.CrossEntropyLoss(weight=weights)(logits.permute(0, 2, 1), classes)
    assert torch.allclose(class_loss, expected)
    assert torch.allclose(score_loss, ((score - target) ** 2).mean())
    assert torch.allclose(loss, 0.9 * score_loss + 0.1 * class_loss)


def test_a_batch_whose_frames_all_weigh_nothing_has_a_loss_and_a_gradient():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    neutral = torch.full((2, 3), 4)
    weights = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])  # synergy 0
    loss, _, class_loss = joint_loss(
        torch.rand(2, 3), logits, torch.zeros(2, 3), neutral, weights, TrainConfig()
    )
    loss.backward()
    assert class_loss == 0 and torch.isfinite(logits.grad).all() and torch.isfinite(loss)


class FrameByFrame(torch.nn.Module):
    """The least that can be trained: every frame by itself."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(10, 6)

    def forward(self, x):
        out = self.linear(x.transpose(1, 2))
        return torch.sigmoid(out[..., 0]), out[..., 1:]


def test_the_schedule_is_one_cycle_over_all_steps():
    config = dataclasses.replace(TINY, epochs=10, batch_size=2)
    windows = np.random.default_rng(0).random((8, 10, 6), dtype=np.float32)
    scores, classes = np.zeros((8, 6), np.float32), np.full((8, 6), 4)
    labelled = TrainingWindows(windows, np.arange(8), scores, classes)
    rates = fit(FrameByFrame(), labelled, config, seed=0)["learning_rate"].to_numpy()
    assert rates[-1] == pytest.approx(config.learning_rate / 25 / 1e4)  # torch's default end of the cycle
    assert rates[2] == pytest.approx(config.learning_rate)  # the peak, after 0.3 * 40 steps: the 12th


def test_fit_learns_a_score_and_a_class():
    motion = made_up_motion(4)
    config = dataclasses.replace(TINY, epochs=25, batch_size=8)
    fold = train_fold(motion, "s0", config)
    assert fold.history["score_loss"].iloc[-1] < 0.4 * fold.history["score_loss"].iloc[0]
    assert fold.history["class_loss"].iloc[-1] < 0.7 * fold.history["class_loss"].iloc[0]
    for (subject, video), (score, probabilities) in fold.traces.items():
        assert subject == "s0" and len(score) == motion.n_frames(subject, video) == len(probabilities)
    rows = motion.annotations[motion.annotations["subject"] == "s0"]
    apex = [fold.traces[("s0", row.video)][0][row.apex] for row in rows.itertuples()]
    everywhere = np.concatenate([score for score, _ in fold.traces.values()])
    assert min(apex) > 2 * everywhere.mean()


def test_the_scores_loss_can_be_the_cross_entropy():
    score, target = torch.tensor([[0.2, 0.9]]), torch.tensor([[0.0, 1.0]])
    logits, classes = torch.zeros(1, 2, 5), torch.zeros(1, 2, dtype=torch.int64)
    config = dataclasses.replace(TINY, score_loss="cross-entropy")
    _, found, _ = joint_loss(score, logits, target, classes, torch.ones(5), config)
    assert found.item() == pytest.approx(-(np.log(0.8) + np.log(0.9)) / 2, rel=1e-5)


def test_looking_at_the_held_out_loss_changes_nothing(motion):
    plain, watched = (train_fold(motion, "s0", TINY, watch=watch) for watch in (False, True))
    own = list(plain.history)
    assert watched.history[own].equals(plain.history)
    for key, (score, probabilities) in plain.traces.items():
        assert np.array_equal(score, watched.traces[key][0])
        assert np.array_equal(probabilities, watched.traces[key][1])
    # The last epoch's losses are those of the finished network, by the definition.
    seen = windows_of(
        dataclasses.replace(
            motion,
            windows={k: v for k, v in motion.windows.items() if k[0] == "s0"},
            annotations=motion.annotations[motion.annotations["subject"] == "s0"],
            videos=motion.videos[motion.videos["subject"] == "s0"],
        )
    )
    with torch.no_grad():
        score, _ = watched.model(torch.from_numpy(seen.motion))
    by_hand = ((score.numpy() - seen.scores) ** 2).mean()
    assert watched.history["held_out_score_loss"].iloc[-1] == pytest.approx(by_hand, rel=1e-4)


# --- leave one subject out ------------------------------------------------------------------------


def test_each_subject_is_held_out_once_and_scored(motion, tiny_run):
    result, _ = tiny_run
    assert result.folds["subject"].tolist() == result.subjects == motion.subjects
    assert (result.folds["status"] == "done").all()
    assert result.traces.keys() == motion.windows.keys()
    assert result.history.groupby("subject").size().tolist() == [2, 2, 2]
    assert result.evaluation.to_dict() == evaluate(result.predictions, motion.annotations).to_dict()
    for subject, k_p in result.k_p.items():
        others = motion.annotations[motion.annotations["subject"] != subject]
        assert k_p == half_length(others)
        lengths = result.predictions.loc[result.predictions["subject"] == subject, ["onset", "offset"]]
        assert (lengths["offset"] - lengths["onset"] == 2 * k_p).all()
    assert result.intervals(Intervals(n=50))["metric"].iloc[-1] == "strs"


def test_a_stored_fold_holds_the_weights_that_gave_its_traces(motion, tiny_run):
    result, folder = tiny_run
    model = checkpoints.load(folder / "folds" / "s1" / "weights.safetensors")
    score, probabilities = predict_video(model, motion.windows[("s1", "v1")], motion.n_frames("s1", "v1"))
    torch.set_num_threads(1)
    assert np.allclose(score, result.traces[("s1", "v1")][0], atol=1e-6)
    assert np.allclose(probabilities, result.traces[("s1", "v1")][1], atol=1e-6)


def test_one_fold_alone_is_the_fold_of_the_run(motion, tiny_run):
    fold = train_fold(motion, "s2", TINY)
    for key, (score, _) in fold.traces.items():
        assert np.array_equal(score, tiny_run[0].traces[key][0])


@pytest.mark.slow
def test_two_jobs_give_the_numbers_of_one_bit_for_bit(motion, tiny_run, tmp_path):
    assert same(leave_one_subject_out(motion, TINY, tmp_path, n_jobs=2), tiny_run[0])


def test_backends_that_are_not_there_are_named(motion, tmp_path):
    with pytest.raises(InputError, match="backend 'dask' cannot be used"):
        leave_one_subject_out(motion, TINY, tmp_path, backend="dask")
    with pytest.raises(InputError, match="'slurm'"):
        leave_one_subject_out(motion, TINY, tmp_path, backend="slurm")


def test_ray_where_it_is_not_installed_is_named(motion, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # the import fails, whatever is installed
    with pytest.raises(InputError, match="needs the package ray; install it, or use 'loky'"):
        leave_one_subject_out(motion, TINY, tmp_path, backend="ray")


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from support.made_up_motion import TINY, made_up_motion
from metst_core.training import leave_one_subject_out
leave_one_subject_out(made_up_motion(), TINY, {folder!r})
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system knows no SIGKILL")
def test_a_run_killed_after_its_first_fold_goes_on_and_ends_with_the_same_numbers(motion, tiny_run, tmp_path):
    code = KILLED.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path))
    victim = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    first = tmp_path / "folds" / "s0" / "fold.json"
    for _ in range(60_000):  # five minutes at most, on a busy machine
        if first.exists() or victim.poll() is not None:
            break
        time.sleep(0.005)
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert first.exists() and not (tmp_path / "folds" / "s2" / "fold.json").exists()
    written = first.stat().st_mtime_ns
    assert same(leave_one_subject_out(motion, TINY, tmp_path), tiny_run[0])
    assert first.stat().st_mtime_ns == written  # read, not trained again


class Death(BaseException):
    """Ends a run on the spot, as SIGKILL does: nothing of the run catches it."""


@pytest.mark.parametrize("files", range(6))
def test_a_run_that_dies_between_any_two_files_goes_on_with_the_same_numbers(
    motion, tiny_run, tmp_path, monkeypatch, files
):
    written = itertools.count()
    really = Path.replace

    def mortal(self, target):  # how every file of a run gets its name, whole
        if next(written) == files:  # run.json, then weights, predictions, history, traces, fold.json
            raise Death
        return really(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", mortal)
        with pytest.raises(Death):
            leave_one_subject_out(motion, TINY, tmp_path)
    assert sum(file.is_file() for file in tmp_path.rglob("*")) == files
    assert same(leave_one_subject_out(motion, TINY, tmp_path), tiny_run[0])


@pytest.mark.parametrize("left", ["weights.safetensors", "traces.npz", "history.csv"])
def test_a_fold_without_its_last_file_is_trained_again(motion, tiny_run, tmp_path, left):
    folder = tmp_path / "folds" / "s1"
    folder.mkdir(parents=True)
    (folder / left).write_bytes(b"half of it")
    (folder / ".traces-abc.npz").write_bytes(b"half")
    assert same(leave_one_subject_out(motion, TINY, tmp_path), tiny_run[0])
    assert not (folder / ".traces-abc.npz").exists()


FOLD_FILES = ("weights.safetensors", "predictions.csv", "history.csv", "traces.npz", "fold.json")


def damages(whole, rng):
    """A file's bytes with one bit flipped (three times), cut, empty, and another file's."""
    for place in rng.integers(0, len(whole), 3).tolist():
        yield whole[:place] + bytes([whole[place] ^ (1 << int(rng.integers(8)))]) + whole[place + 1 :]
    yield from (whole[: len(whole) // 2], b"", b'{"run": 3}', b"[]")


def test_every_damage_to_a_fold_is_seen_and_the_fold_trained_again(motion, tiny_run, tmp_path):
    shutil.copytree(tiny_run[1], tmp_path / "run")
    claimed = RunFolder.claim(tmp_path / "run", TINY, motion, Material.of(motion))
    rng = np.random.default_rng(0)
    for name in FOLD_FILES:
        file = tmp_path / "run" / "folds" / "s1" / name
        whole = file.read_bytes()
        for damaged in damages(whole, rng):
            file.write_bytes(damaged)
            assert not claimed.is_done("s1"), name
        file.write_bytes(whole)
        assert claimed.is_done("s1")
    (tmp_path / "run" / "folds" / "s1" / "traces.npz").write_bytes(b"half")
    kept = tmp_path / "run" / "folds" / "s0" / "fold.json"
    when = kept.stat().st_mtime_ns
    assert same(leave_one_subject_out(motion, TINY, tmp_path / "run"), tiny_run[0])
    assert kept.stat().st_mtime_ns == when and claimed.is_done("s1")


def test_a_fold_of_before_there_were_checksums_is_read_if_it_can_be(motion, tiny_run, tmp_path):
    shutil.copytree(tiny_run[1], tmp_path / "run")
    claimed = RunFolder.claim(tmp_path / "run", TINY, motion, Material.of(motion))
    folder = tmp_path / "run" / "folds" / "s1"
    note = json.loads((folder / "fold.json").read_text())
    del note["files"], note["checksum"]
    (folder / "fold.json").write_text(json.dumps(note))
    with np.load(folder / "traces.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(folder / "traces.npz", **arrays)
    assert claimed.is_done("s1")
    np.savez(folder / "traces.npz", **{**arrays, "score_0": arrays["score_0"][:-1]})
    assert not claimed.is_done("s1")
    with pytest.raises(InputError, match=r"traces\.npz: the traces of s1 .* have shapes"):
        read_traces(folder / "traces.npz")


def test_two_calls_in_one_folder_do_not_delete_each_others_folds(motion, tiny_run):
    with only_one(tiny_run[1]), pytest.raises(InputError, match="another call works in this folder"):
        leave_one_subject_out(motion, TINY, tiny_run[1])


@pytest.mark.parametrize(("name", "said"), [("", "subject is empty"), ("a\nb", "control character")])
def test_a_subject_without_a_name_costs_no_folds(motion, tiny_run, tmp_path, name, said):
    renamed = made_up_motion()
    for table in (renamed.annotations, renamed.videos):
        table["subject"] = table["subject"].replace("s0", name)
    renamed.windows = {(name if s == "s0" else s, v): w for (s, v), w in renamed.windows.items()}
    before = sorted(tiny_run[1].rglob("*"))
    with pytest.raises(InputError, match=said):
        leave_one_subject_out(renamed, TINY, tiny_run[1])
    assert sorted(tiny_run[1].rglob("*")) == before


def test_a_finished_run_is_read_not_trained(motion, tiny_run, monkeypatch):
    monkeypatch.setattr(loso, "fold_of", lambda *a: pytest.fail("trained again"))
    assert same(leave_one_subject_out(motion, TINY, tiny_run[1]), tiny_run[0])


def test_the_folder_of_another_run_is_refused_with_the_difference(motion, tiny_run):
    _, folder = tiny_run
    with pytest.raises(InputError, match="epochs is 2 there, 5 here"):
        leave_one_subject_out(motion, dataclasses.replace(TINY, epochs=5), folder)
    with pytest.raises(InputError, match="subjects is 3 there, 4 here"):
        leave_one_subject_out(made_up_motion(4), TINY, folder)
    with pytest.raises(InputError, match="motion_hash"):
        leave_one_subject_out(made_up_motion(seed=1), TINY, folder)


def test_subject_names_that_are_no_file_names(motion, tiny_run, tmp_path):
    names = {"s0": "../up", "s1": "微" * 300, "s2": "."}
    renamed = made_up_motion()
    renamed.windows = {(names[s], v): w for (s, v), w in renamed.windows.items()}
    renamed.annotations["subject"] = renamed.annotations["subject"].map(names)
    renamed.videos["subject"] = renamed.videos["subject"].map(names)
    result = leave_one_subject_out(renamed, TINY, tmp_path / "run")
    assert result.folds["subject"].tolist() == list(names.values())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]
    assert len(list((tmp_path / "run" / "folds").iterdir())) == 3


def test_a_dataset_is_extracted_first(motion, tiny_run, tmp_path, monkeypatch):
    from metst_core.datasets import Dataset

    asked = {}
    monkeypatch.setattr(loso, "extract_dataset", lambda *a, **k: asked.update(k, args=a) or motion)
    dataset = Dataset("mine", motion.annotations, motion.videos, 30.0)
    assert same(leave_one_subject_out(dataset, TINY, tmp_path), tiny_run[0])
    assert asked["args"] == (dataset, "metst") and asked["cache_dir"] == tmp_path / "motion"


# --- protocols ------------------------------------------------------------------------------------


def corrupted(motion, subject):
    """The set with that subject's labels turned into something else: longer, elsewhere, all surprise."""
    annotations = motion.annotations.copy()
    here = annotations["subject"] == subject
    annotations.loc[here, "onset"] = 2
    annotations.loc[here, "apex"] = 20
    annotations.loc[here, "offset"] = 50
    annotations.loc[here, "emotion"] = "surprise"
    return dataclasses.replace(motion, annotations=annotations)


def test_strict_predictions_of_a_subject_are_there_and_the_same_without_its_labels(
    motion, tiny_run, tmp_path
):
    unlabelled = motion.annotations[motion.annotations["subject"] != "s1"].reset_index(drop=True)
    result = leave_one_subject_out(dataclasses.replace(motion, annotations=unlabelled), TINY, tmp_path)
    without, honest = (
        r.predictions[r.predictions["subject"] == "s1"].reset_index(drop=True) for r in (result, tiny_run[0])
    )
    assert len(without)
    pd.testing.assert_frame_equal(without, honest, check_exact=True)


def test_strict_predictions_of_a_subject_do_not_depend_on_its_labels_and_official_ones_do(motion, tmp_path):
    for protocol in ("strict", "official"):
        config = dataclasses.replace(TINY, protocol=protocol)
        true, false = train_fold(motion, "s1", config), train_fold(corrupted(motion, "s1"), "s1", config)
        for key in true.traces:
            for one, other in zip(true.traces[key], false.traces[key], strict=True):
                assert np.array_equal(one, other)
        assert (true.k_p == false.k_p) == (protocol == "strict")
    # The whole run, so that nothing leaks through decoding either.
    result = leave_one_subject_out(corrupted(motion, "s1"), TINY, tmp_path / "false")
    honest = leave_one_subject_out(motion, TINY, tmp_path / "true")
    held_out = [
        r.predictions[r.predictions["subject"] == "s1"].reset_index(drop=True) for r in (result, honest)
    ]
    pd.testing.assert_frame_equal(*held_out, check_exact=True)
    others = [r.traces[("s0", "v0")][0] for r in (result, honest)]
    assert not np.array_equal(*others)  # where s1 is a training subject, its labels do count


def test_official_drops_videos_without_an_me_and_strict_keeps_them(tmp_path):
    motion = made_up_motion(3, 1, n_empty=1)
    runs = run_protocols(motion, TINY, tmp_path)
    assert runs["strict"].traces.keys() == motion.windows.keys()
    assert {v for _, v in runs["official"].traces} == {"v0"}
    assert set(runs["official"].k_p.values()) == {half_length(motion.annotations)}
    shared = ("s0", "v0")  # trained on other windows: other traces
    assert not np.array_equal(runs["strict"].traces[shared][0], runs["official"].traces[shared][0])
    with pytest.raises(InputError, match="knows nothing of the videos it dropped"):
        runs["official"].under("strict")


def test_where_every_video_has_an_me_both_protocols_share_their_networks(motion, tmp_path):
    runs = run_protocols(motion, TINY, tmp_path)
    assert not (tmp_path / "official").exists()
    alone = leave_one_subject_out(motion, dataclasses.replace(TINY, protocol="official"), tmp_path / "alone")
    assert same(runs["official"], alone)


def test_a_subject_without_an_me_is_left_out_by_official_and_kept_by_strict(motion, tmp_path):
    annotations = motion.annotations[motion.annotations["subject"] != "s1"].reset_index(drop=True)
    less = dataclasses.replace(motion, annotations=annotations)
    runs = run_protocols(less, TINY, tmp_path)
    assert runs["strict"].folds["status"].tolist() == ["done"] * 3
    assert runs["official"].folds["status"].tolist() == ["done", "left out", "done"]
    assert "no video with a micro-expression" in runs["official"].folds["reason"][1]
    assert runs["official"].subjects == ["s0", "s2"]
    moved = runs["strict"].under("official")
    assert moved.subjects == ["s0", "s2"] and moved.traces.keys() == runs["official"].traces.keys()


def test_decoding_can_change_without_training(tiny_run):
    result, _ = tiny_run
    extensible = result.redecoded(strategy="extensible", synergy=1, p=0.3)
    assert (extensible.config.strategy, extensible.config.synergy, extensible.config.p) == (
        "extensible",
        1,
        0.3,
    )
    assert extensible.traces is result.traces
    assert not extensible.predictions.equals(result.predictions)
    back = extensible.redecoded(strategy="fixed", synergy=2, p=0.55)
    assert same(back, result)
    with pytest.raises(InputError, match="synergy 0 trains with other class weights"):
        result.redecoded(synergy=0)


# --- folds that die -------------------------------------------------------------------------------


def test_a_diverging_fold_is_reported_and_the_others_finish(motion, tmp_path, monkeypatch):
    real = optimise.fit

    def diverges(model, windows, config, seed, *others):
        factor = np.nan if seed == fold_seed(3, "s1") else 1
        return real(model, dataclasses.replace(windows, pool=windows.pool * factor), config, seed, *others)

    monkeypatch.setattr(optimise, "fit", diverges)
    with pytest.warns(UserWarning, match="fold s1: the loss is not finite in epoch 1"):
        result = leave_one_subject_out(motion, TINY, tmp_path)
    assert result.folds["status"].tolist() == ["done", "failed", "done"]
    assert "not finite in epoch 1" in result.folds["reason"][1]
    assert "s1" not in set(result.predictions["subject"]) and "s1" in result.subjects
    assert result.evaluation.fn >= (motion.annotations["subject"] == "s1").sum()
    monkeypatch.setattr(optimise, "fit", real)
    assert (leave_one_subject_out(motion, TINY, tmp_path).folds["status"] == "done").all()  # tried again


def test_a_fold_whose_training_subjects_have_no_me_fails_by_name(motion, tmp_path):
    annotations = motion.annotations[motion.annotations["subject"] == "s1"].reset_index(drop=True)
    alone = dataclasses.replace(motion, annotations=annotations)
    with pytest.raises(FoldError, match="no training subject has a micro-expression"):
        train_fold(alone, "s1", TINY)
    with pytest.warns(UserWarning, match="fold s1"):
        result = leave_one_subject_out(alone, TINY, tmp_path)
    assert result.folds["status"].tolist() == ["done", "failed", "done"]


def test_a_class_that_no_training_frame_has_is_reported(motion):
    annotations = motion.annotations.assign(emotion="surprise")
    fold = train_fold(dataclasses.replace(motion, annotations=annotations), "s0", TINY)
    assert fold.summary["absent_classes"] == "negative positive others"
    assert np.isfinite(fold.history.to_numpy()).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            lambda m: dataclasses.replace(m, windows={k: w for k, w in m.windows.items() if k[0] == "s0"}),
            "1 subject",
        ),
        (
            lambda m: dataclasses.replace(m, windows={k: w * np.nan for k, w in m.windows.items()}),
            "s0/v0 is not finite",
        ),
    ],
)
def test_data_that_cannot_be_used_is_named(motion, tmp_path, change, named):
    with pytest.raises(InputError, match=named):
        leave_one_subject_out(change(motion), TINY, tmp_path)


def test_cuda_without_a_device_and_zero_jobs_are_named(motion, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="sees no CUDA device"):
        leave_one_subject_out(motion, dataclasses.replace(TINY, device="cuda"), tmp_path)
    with pytest.raises(InputError, match="n_jobs=0"):
        leave_one_subject_out(motion, TINY, tmp_path, n_jobs=0)


def test_the_run_records_what_it_was(tiny_run):
    record = json.loads((tiny_run[1] / "run.json").read_text())
    assert record["config"] == TINY.to_dict() and record["record"]["versions"]["torch"]


# --- how a run shows itself -----------------------------------------------------------------------


def test_a_run_says_itself_in_one_line_and_its_names_cannot_break_the_page(tiny_run):
    result, _ = tiny_run
    assert "\n" not in repr(result)
    assert repr(result).startswith("LosoResult(metst, strict: folds 3 done; spotting F1 ")
    folds = result.folds.assign(subject=["<b>", "s1", "s2"])
    page = dataclasses.replace(result, folds=folds)._repr_html_()
    assert "<b>" not in page and "&lt;b&gt;" in page and "spotting F1" in page


def test_a_fold_says_itself_in_one_line(motion):
    fold = train_fold(motion, "s2", TINY)
    assert repr(fold) == f"Fold(s2, METST: k_p {fold.k_p}, 2 videos, {len(fold.history)} epochs)"
    assert "&lt;i&gt;" in dataclasses.replace(fold, subject="<i>")._repr_html_()


def test_windows_of_a_set_carry_the_targets_of_their_frames(motion):
    windows = windows_of(motion)
    assert windows.motion.shape == (len(windows), 10, motion.window)
    first, *_ = motion.windows
    mine = of_video(motion.annotations, *first)
    score, classes = window_targets(mine, motion.n_frames(*first), motion.window)
    n = len(motion.windows[first])
    assert np.array_equal(windows.scores[:n], score) and np.array_equal(windows.classes[:n], classes)


def test_fitting_twice_gives_the_same_network_and_leaves_the_random_numbers_alone(motion):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    once, again = (fit_windows(windows_of(motion), TINY, seed=5) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    for one, other in zip(once.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    there, drawn = (w.scores.any(axis=1) for w in (windows_of(motion), once.drawn))
    assert drawn.sum() == there.sum()  # no window with an ME is left out
    assert (~drawn).sum() == min(TINY.ratio * there.sum(), (~there).sum())
