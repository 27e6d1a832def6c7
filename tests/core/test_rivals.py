"""The networks that ME-TST is compared with."""

import dataclasses

import pytest
import torch
from support.made_up_motion import made_up_motion

from metst_core import checkpoints
from metst_core.errors import InputError
from metst_core.models import METSTPlus
from metst_core.rivals import PATCH, SEQUENCE_NETWORKS, MovingReferenceNetwork, PartsNetwork, PatchNetwork
from metst_core.streaming import Stream
from metst_core.training import METHODS, TrainConfig, leave_one_subject_out, train_fold

TINY = TrainConfig(
    model="metst", width=8, depth=1, d_state=4, epochs=1, batch_size=32, learning_rate=1e-2, ratio=1, seed=3
)


@pytest.fixture(scope="module")
def motion():
    return made_up_motion()


def test_a_patch_sees_its_frames_and_nothing_else():
    torch.manual_seed(0)
    network = PatchNetwork(in_channels=4, width=4, hidden=8).eval()
    x = torch.randn(1, 4, 60)
    changed = x.clone()
    changed[0, :, 30] += 1
    with torch.no_grad():
        (score, logits), (score_changed, logits_changed) = network(x), network(changed)
    for a, b in ((score[..., None], score_changed[..., None]), (logits, logits_changed)):
        moved = (a != b).any(dim=2)[0].nonzero().ravel().tolist()
        assert moved[0] >= 30 - PATCH // 2 + 1 and moved[-1] <= 30 + PATCH // 2


def test_a_patch_counts_motion_from_its_first_frame():
    torch.manual_seed(0)
    network = PatchNetwork(in_channels=4, width=4, hidden=8).eval()
    x = torch.randn(1, 4, 60)
    with torch.no_grad():
        assert torch.allclose(network(x)[0], network(x + 5.0)[0], atol=1e-5)


def test_the_moving_reference_is_metst_plus_on_motion_since_the_patch_began():
    network, plus = (
        kind(in_channels=4, width=4, blocks_per_stage=1, d_state=2)
        for kind in (MovingReferenceNetwork, METSTPlus)
    )
    plus.load_state_dict(network.state_dict())
    x = torch.randn(1, 4, 60)
    began = [max(0, t - PATCH // 2) for t in range(60)]
    with torch.no_grad():
        answers = [a(b) for a, b in ((network.eval(), x), (plus.eval(), x - x[:, :, began]))]
        assert not torch.allclose(plus(x)[0], answers[1][0])
    assert all(torch.equal(a, b) for a, b in zip(*answers, strict=True))


def test_a_network_that_changes_its_motion_is_not_streamed():
    for network in (
        PatchNetwork(in_channels=4, width=4, hidden=8),
        MovingReferenceNetwork(width=4, d_state=2),
    ):
        with pytest.raises(InputError, match="frame by frame"):
            Stream(network.eval())


def test_the_window_classifier_and_the_patch_are_one_network_asked_two_things(motion):
    frames, windows = (fit_windows_of(motion, name) for name in ("patch", "sliding_window"))
    assert frames.asked == "frames" and windows.asked == "windows"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = [config.build() for config in (frames, windows)]
    assert [type(n) for n in networks] == [PatchNetwork] * 2 and networks[0].config == networks[1].config
    folds = [train_fold(motion, "s0", config) for config in (frames, windows)]
    assert folds[0].k_p == folds[1].k_p and not folds[0].history.equals(folds[1].history)


def fit_windows_of(motion, name):
    return TINY.with_model(name, features=motion.features, width=4, blocks_per_stage=1)


def test_weights_from_before_the_patch_had_its_name_load(tmp_path):
    network = PatchNetwork(in_channels=4, width=4, hidden=8)
    checkpoints.save(network, tmp_path / "new.safetensors")
    data = (tmp_path / "new.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    head = data[8 : 8 + size].replace(b"PatchNetwork", b"SlidingWindowNetwork")
    (tmp_path / "old.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + data[8 + size :])
    assert type(checkpoints.load(tmp_path / "old.safetensors")) is PatchNetwork


@pytest.mark.parametrize("name", [*SEQUENCE_NETWORKS, "metst_plus_moving", "sliding_window"])
def test_a_rival_trains_is_stored_and_comes_back(name, motion, tmp_path):
    few = {key: windows for key, windows in motion.windows.items() if key in (("s0", "v0"), ("s1", "v0"))}
    truth = motion.annotations.query("video == 'v0' and subject != 's2'")
    small = dataclasses.replace(motion, windows=few, annotations=truth)
    config = TINY.with_model(name, features="metst", width=4, blocks_per_stage=1)
    result = leave_one_subject_out(small, config, tmp_path)
    assert (result.folds["status"] == "done").all()
    model = checkpoints.load(tmp_path / "folds" / "s0" / "weights.safetensors")
    network = METHODS[name].network
    assert type(model) is {**SEQUENCE_NETWORKS, "moving_reference": MovingReferenceNetwork}[network]


def test_each_part_is_heard_from_its_own_channels():
    torch.manual_seed(0)
    network = PartsNetwork(in_channels=10, upper=4, hidden=6, depth=2).eval()
    x = torch.randn(2, 10, 40)
    changed = x.clone()
    changed[:, 4:] += 1  # the lower face alone
    with torch.no_grad():
        (scores, logits), (scores_changed, logits_changed) = network.parts(x), network.parts(changed)
        score, _ = network(x)
    assert torch.equal(scores[:, 0], scores_changed[:, 0])
    assert not torch.equal(scores[:, 1], scores_changed[:, 1]) and not torch.equal(logits, logits_changed)
    assert torch.equal(score, torch.sigmoid(scores).amax(dim=1))


def test_an_answer_of_parts_hangs_on_the_frames_within_reach():
    torch.manual_seed(0)
    network = PartsNetwork(in_channels=10, upper=4, hidden=6, depth=3).eval()
    x = torch.randn(1, 10, 80)
    changed = x.clone()
    changed[..., 40] += 1
    with torch.no_grad():
        apart = (network.parts(x)[0] != network.parts(changed)[0]).any(dim=1)[0].nonzero().ravel().tolist()
    assert (apart[0], apart[-1]) == (40 - network.reach, 40 + network.reach)


def test_a_network_of_parts_is_kept(tmp_path):
    network = PartsNetwork(in_channels=10, upper=4, hidden=6, depth=2).eval()
    again = checkpoints.load(checkpoints.save(network, tmp_path / "parts.safetensors"))
    x = torch.randn(1, 10, 30)
    assert torch.equal(network(x)[0], again(x)[0])
    with pytest.raises(InputError, match="upper is 10"):
        PartsNetwork(in_channels=10, upper=10)
