"""Variants of networks: each word changes what it says, and nothing else."""

import pytest
import torch

from metst_core import checkpoints
from metst_core.errors import InputError
from metst_core.models import METSTPlus
from metst_core.rivals import PATCH, count_parameters
from metst_core.rois import ROIS
from metst_core.training import TrainConfig
from metst_core.variants import BASES, EXTRAS, VARIANTS, VariantNetwork, variant_network, words_of

pytestmark = pytest.mark.quick
SIZES = {"in_channels": 36, "width": 8, "depth": 2, "blocks_per_stage": 2, "d_state": 4}
STEM = 2
"""Frames that the stem sees ahead."""


def network(base, variant, **changes):
    torch.manual_seed(0)
    made = variant_network(base, variant, {**SIZES, **changes}).double().eval()
    for parameter in made.parameters():  # from zero biases and tiny weights nothing would be seen
        torch.nn.init.normal_(parameter, 0, 0.3)
    return made


def reach(net, at=40, n_frames=80):
    """First and last frame, counted from `at`, whose motion moves the answer there."""
    x = torch.randn(1, net.in_channels, n_frames, dtype=torch.float64, requires_grad=True)
    score, logits = net(x)
    (score[0, at] + logits[0, at].sum()).backward()
    moved = torch.nonzero(x.grad[0].abs().sum(dim=0) > 1e-14)[:, 0]
    return int(moved.min()) - at, int(moved.max()) - at


@pytest.mark.parametrize("base", ["lstm", "tcn", "transformer"])
def test_a_causal_rival_sees_what_the_stem_sees_and_a_centred_one_everything(base):
    assert reach(network(base, "causal"))[1] <= STEM
    assert reach(network(base, "centred"))[1] > 20


def test_me_tst_is_causal_and_centred_looks_both_ways_with_as_many_parameters():
    for base in ("metst", "metst_plus"):
        causal, centred = network(base, "causal"), network(base, "centred")
        assert reach(causal)[1] <= STEM + 1 and min(map(abs, reach(centred))) > 10
        assert count_parameters(causal) == count_parameters(centred)


def test_the_patch_looks_where_it_says():
    assert reach(network("patch", "centred")) == (-PATCH // 2, PATCH // 2 - 1)
    assert reach(network("patch", "causal")) == (-PATCH + 1, 0)


@pytest.mark.parametrize("base", BASES)
def test_a_local_reference_forgets_a_constant_that_came_before(base):
    x = torch.randn(1, 36, 80, dtype=torch.float64)
    for word in ("local", "window"):
        net = network(base, word)
        (a, _), (b, _) = net(x), net(x + 1.0)
        assert torch.allclose(a, b, atol=1e-9) == (word == "local")


def test_looking_ahead_is_the_same_network_asked_five_frames_later():
    base, ahead = network("metst_plus", ""), network("metst_plus", "look5")
    ahead.load_state_dict(base.state_dict())
    x = torch.randn(2, 36, 31, dtype=torch.float64)
    later = torch.cat([x, x[:, :, -1:].expand(-1, -1, 5)], dim=2)
    for mine, theirs in zip(ahead(x), base(later), strict=True):
        assert mine.shape[1] == 31 and torch.equal(mine, theirs[:, 5:])


def test_whole_and_fine_rois_are_seen_apart():
    x = torch.randn(1, 36, 20, dtype=torch.float64, requires_grad=True)
    for word in ("whole", "fine"):
        (grad,) = torch.autograd.grad(network("metst_plus", word)(x)[0].sum(), x)
        seen = grad[0].abs().sum(dim=1).reshape(18, 2).sum(dim=1) > 0
        assert seen.tolist() == [roi.granularity == word for roi in ROIS]
    with pytest.raises(InputError, match="36 channels, not 10"):
        network("metst", "fine", in_channels=10)


def test_a_stem_apart_mixes_no_rois_before_its_last_layer():
    stem = network("metst_plus", "apart").stem
    x = torch.randn(1, 36, 20, dtype=torch.float64, requires_grad=True)
    answers = stem[:-1](x)[0]
    filters = len(answers) // 18
    for i, answer in enumerate(answers):
        (grad,) = torch.autograd.grad(answer.sum(), x, retain_graph=True)
        assert set((grad[0].abs().sum(dim=1) > 0).nonzero()[:, 0].tolist()) <= {
            2 * (i // filters), 2 * (i // filters) + 1
        }  # fmt: skip


@pytest.mark.parametrize(
    ("base", "variant"),
    [
        ("lstm", "causal"),
        ("tcn", "causal+local"),
        ("transformer", "causal"),
        ("metst_plus", "slow"),
        ("metst_plus", "fast"),
    ],
)
def test_what_a_part_takes_away_is_given_back_elsewhere(base, variant):
    sizes = SIZES
    goal = count_parameters(METSTPlus(**{k: v for k, v in sizes.items() if k != "depth"}))
    assert abs(count_parameters(variant_network(base, variant, sizes)) / goal - 1) < 0.15


@pytest.mark.parametrize(
    "variant",
    [
        "causal+local",
        "centred+look5",
        "fast",
        "slow+fine",
        "apart+whole",
        "spectral",
        "tempo+local",
        "memory+local",
        "attend",
    ],
)
def test_a_variant_is_saved_and_loaded(variant, tmp_path):
    made = network("metst_plus", variant)
    back = checkpoints.load(checkpoints.save(made, tmp_path / "v.safetensors"))
    x = torch.randn(2, 36, 30, dtype=torch.float64)
    assert isinstance(back, VariantNetwork) and torch.equal(back(x)[0], made(x)[0])


@pytest.mark.parametrize("word", EXTRAS)
def test_what_is_added_after_the_stem_changes_no_shape_and_begins_as_nothing(word):
    torch.manual_seed(0)
    x = torch.randn(2, 8, 27, dtype=torch.float64)
    added = EXTRAS[word](8).double().eval()
    assert added(x).shape == x.shape and added(x[:, :, :2]).shape == (2, 8, 2)
    assert torch.allclose(added(x), x) == (word != "shift")  # a shift has nothing to learn
    for parameter in added.parameters():
        torch.nn.init.normal_(parameter)
    assert not torch.allclose(added(x), x)


def test_a_shift_is_a_frame_early_and_a_frame_late():
    x = torch.arange(10.0).expand(1, 16, 10)
    moved = EXTRAS["shift"](16)(x)[0]
    assert moved[0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] and moved[2].tolist() == [
        0,
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
    ]
    assert moved[4].tolist() == list(range(10))


@pytest.mark.parametrize("variant", ["sideways", "causal+centred", "local+local", "slow+fast"])
def test_words_that_make_no_sense_are_named(variant):
    with pytest.raises(InputError, match="variant"):
        words_of(variant)
    with pytest.raises(InputError, match="variant"):
        TrainConfig(variant=variant)


def test_a_configuration_builds_its_variant_and_refuses_a_base_without_any():
    small = {"width": 8, "blocks_per_stage": 1, "depth": 1, "d_state": 2}
    assert TrainConfig(model="lstm", variant="causal", **small).build().config["variant"] == "causal"
    assert set(VARIANTS) >= {"causal", "centred", "local", "look5"}
    with pytest.raises(InputError, match="has no variants"):
        TrainConfig(model="metst_plus_moving", variant="causal")
    with pytest.raises(InputError, match="base must be metst_plus"):
        TrainConfig(model="lstm", variant="slow", **small).build()
