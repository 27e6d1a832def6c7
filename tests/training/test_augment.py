"""Windows changed as they are seen, and training without labels: shapes, meaning, seeds, and an equal budget."""

import dataclasses

import numpy as np
import pytest
import torch
from support.made_up_motion import TINY, made_up_motion

from metst_core.errors import InputError
from metst_core.training import TrainConfig, fit_windows, windows_of
from metst_core.training.augment import FASTEST, SLOWEST, augmented
from metst_core.training.pretrain import pretrain
from metst_core.training.teacher import KEPT, MeanTeacher

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def windows():
    return windows_of(made_up_motion(features="metst_plus"))


def ramp(n=6, k=40):
    """Windows whose motion is the number of the frame, with an ME on frames 15 to 24."""
    x = torch.arange(k, dtype=torch.float32).expand(n, 4, k).clone()
    target = torch.zeros(n, k)
    target[:, 15:25] = 1
    return x, target, target.long() * 2 + (1 - target.long()) * 4


@pytest.mark.parametrize("kind", ["warp", "phases"])
def test_time_runs_at_the_drawn_speed_and_targets_move_with_the_motion(kind):
    x, target, classes = ramp()
    moved, score, named = augmented(x, target, classes, kind, np.random.default_rng(0))
    assert moved.shape == x.shape and (moved[:, :, 0] == 0).all()
    steps = moved.diff(dim=2)
    assert (steps >= -1e-5).all() and steps.max() <= FASTEST + 1e-4
    assert ((score > 0) == (named == 2)).all() and ((score == 0) == (named == 4)).all()
    lengths = score.sum(dim=1)
    assert (
        lengths.min() >= 10 / FASTEST - 1
        and lengths.max() <= 10 / SLOWEST + 1
        and len(set(lengths.tolist())) > 1
    )
    if kind == "phases":  # before the middle of the ME time runs at another speed than after it
        slopes = [(float(m[0, 18] - m[0, 16]), float(m[0, 23] - m[0, 21])) for m in moved]
        assert all(abs(a - b) > 1e-3 for a, b in slopes)


def test_masks_leave_out_whole_rois_and_nothing_else():
    x = torch.ones(50, 36, 8)
    moved, score, _ = augmented(
        x, torch.zeros(50, 8), torch.zeros(50, 8).long(), "masks", np.random.default_rng(1)
    )
    by_roi = moved.reshape(50, 18, 16)
    assert ((by_roi == 0).all(dim=2) | (by_roi == 1).all(dim=2)).all() and not score.any()
    assert 0.1 < float((by_roi == 0).float().mean()) < 0.2


@pytest.mark.parametrize(
    "changes",
    [
        {"augment": "warp"},
        {"augment": "phases"},
        {"augment": "masks"},
        {"pretrain": "masked"},
        {"pretrain": "contrast"},
        {"pretrain": "teacher"},
    ],
)
def test_a_changed_training_is_seeded_and_not_the_plain_one(windows, changes):
    plain = dataclasses.replace(TINY.with_model("metst"), features="metst_plus", epochs=2)
    config = dataclasses.replace(plain, **changes)
    once, again, without = (fit_windows(windows, c, 3).model.state_dict() for c in (config, config, plain))
    assert all(torch.equal(once[k], again[k]) for k in once)
    assert not all(torch.equal(once[k], without[k]) for k in once)


def test_a_teacher_is_the_running_mean_of_its_students_and_is_not_trained(windows):
    config = dataclasses.replace(TINY.with_model("metst"), features="metst_plus")
    torch.manual_seed(0)
    student = config.build()
    mine = MeanTeacher(student, windows.motion, 0)
    before = [p.clone() for p in mine.network.parameters()]
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1.0)
    mine.follow(student)
    for old, new in zip(before, mine.network.parameters(), strict=True):
        torch.testing.assert_close(new, old + (1 - KEPT))
    student.train()
    mine.loss(student, 8).backward()
    assert all(p.grad is None for p in mine.network.parameters())
    assert any(p.grad is not None and p.grad.any() for p in student.parameters())


def test_pretraining_learns_without_labels_and_takes_its_epochs_from_the_training(windows):
    config = dataclasses.replace(TINY.with_model("metst"), features="metst_plus", epochs=4)
    for kind in ("masked", "contrast"):
        torch.manual_seed(0)
        losses = pretrain(
            config.build(), windows.draw(2, np.random.default_rng(0)).motion, kind, 8, 1e-2, 8, 0
        )
        assert losses[-1] < losses[0]
        history = fit_windows(windows, dataclasses.replace(config, pretrain=kind), 3).history
        assert len(history) == 2
    with pytest.raises(InputError, match="pretrain is for the CPU"):
        TrainConfig(pretrain="masked", device="cuda")
    with pytest.raises(InputError, match="augment is 'flip'"):
        TrainConfig(augment="flip")
