"""The networks that ME-TST is compared with."""

import dataclasses

import pytest
import torch
from support.made_up_motion import made_up_motion

from metst_core import checkpoints
from metst_core.rivals import PATCH, SEQUENCE_NETWORKS, SlidingWindowNetwork
from metst_core.training import TrainConfig, leave_one_subject_out

TINY = TrainConfig(
    model="metst", width=8, depth=1, d_state=4, epochs=1, batch_size=32, learning_rate=1e-2, ratio=1, seed=3
)


@pytest.fixture(scope="module")
def motion():
    return made_up_motion()


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
