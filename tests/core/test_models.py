"""The networks against the numbers the papers and releases state, and inference in its three ways."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from metst_core import models
from metst_core.errors import InputError
from metst_core.models import METST, METSTPlus, predict_video
from metst_core.ssm import Mamba
from metst_core.streaming import Stream

SMALL = [
    (METST, {"width": 16, "depth": 2, "d_state": 4}),
    (METSTPlus, {"width": 16, "blocks_per_stage": 2, "d_state": 4}),
]


def small(model, sizes, seed=0, **more):
    """A small model in evaluation mode, its normalisation used and its heads large enough to tell frames
    apart."""
    torch.manual_seed(seed)
    net = model(**sizes, **more)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.2, 1)
    for head in (net.score_head, net.class_head):
        nn.init.normal_(head.weight, std=0.5)
    return net.eval()


def count(module):
    return sum(p.numel() for p in module.parameters())


# --- published numbers ------------------------------------------------------------------------------------
@pytest.mark.parametrize(("model", "millions", "digits"), [(METST, 3.75, 2), (METSTPlus, 16.7, 1)])
def test_parameter_counts_are_the_published_ones(model, millions, digits):
    assert round(count(model()) / 1e6, digits) == millions


@pytest.mark.parametrize("model", [METST, METSTPlus])
def test_default_mamba_blocks_have_the_published_sizes(model):
    """State 64, convolution over 4, expansion 2, rank of delta one sixteenth of the width."""
    mambas = [m for m in model().modules() if isinstance(m, Mamba)]
    assert {(m.d_state, m.d_conv, m.expand, m.dt_rank * 16 == m.d_model) for m in mambas} == {
        (64, 4, 2, True)
    }
    widths = [m.d_model for m in mambas]
    assert widths.count(128) == 24
    assert widths.count(256) == (24 if model is METSTPlus else 0)


def test_stochastic_depth_rates_are_the_published_ones():
    """0, then the first 11 of 12 (first 3 of 4) evenly spaced rates in 0..0.2."""
    rates = [block.drop_path.rate for block in METST(width=16, d_state=2).spotting.blocks]
    np.testing.assert_allclose(rates, [0, *(0.2 * i / 11 for i in range(11))], atol=1e-7)
    plus = METSTPlus(width=16, d_state=2)
    for stage in [*plus.spotting.slow, *plus.recognition.fast]:
        np.testing.assert_allclose([b.drop_path.rate for b in stage], [0, 0, 0.2 / 3, 0.4 / 3], atol=1e-7)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop, x = models.DropPath(0.2), torch.ones(20000, 2, 3)
    y = drop(x)
    kept = y[:, 0, 0] > 0
    assert torch.equal(y, torch.where(kept, 1 / 0.8, 0.0)[:, None, None].expand_as(y))
    assert abs(kept.float().mean() - 0.8) < 4 * (0.2 * 0.8 / 20000) ** 0.5  # four standard errors
    assert torch.equal(drop.eval()(x), x)


def test_initialisation_is_the_published_one():
    """Linear: normal of std 0.02, bias 0.  Out projection: uniform within 1 / sqrt(fan in), halved."""
    torch.manual_seed(0)
    net = METST(width=64, depth=2)
    for name, module in net.named_modules():
        if name.endswith("out_proj"):
            bound = 0.5 * module.in_features**-0.5
            assert 0.98 * bound < module.weight.abs().max() <= bound
        elif isinstance(module, nn.Linear):
            assert abs(module.weight.std() - 0.02) < 4 * 0.02 / (2 * module.weight.numel()) ** 0.5 + 1e-4, (
                name
            )
            if name.endswith("dt_proj"):
                assert module.bias.max() < -2  # softplus(bias) <= 0.1
            elif module.bias is not None:
                assert not module.bias.any()
        elif isinstance(module, nn.LayerNorm):
            assert torch.equal(module.weight, torch.ones_like(module.weight))
            assert not module.bias.any()


def test_equal_seeds_give_equal_networks():
    first, second = (small(*SMALL[1], seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(value, second[key]) for key, value in first.items())


# --- the forward pass -------------------------------------------------------------------------------------
@settings(max_examples=15, deadline=None)
@given(
    which=st.sampled_from(SMALL),
    pathways=st.sampled_from(models.PATHWAYS),
    batch=st.integers(1, 3),
    length=st.integers(2, 40),
    classes=st.integers(1, 6),
)
def test_any_length_gives_a_score_and_logits_per_frame(which, pathways, batch, length, classes):
    net = small(*which, pathways=pathways, n_classes=classes)
    score, logits = net(torch.randn(batch, net.in_channels, length))
    assert score.shape == (batch, length)
    assert logits.shape == (batch, length, classes)
    assert ((score >= 0) & (score <= 1)).all()


@pytest.mark.parametrize(("model", "sizes"), SMALL)
def test_double_precision_agrees_with_single(model, sizes):
    net = small(model, sizes)
    x = torch.randn(2, net.in_channels, 11)
    single, double = net(x), copy.deepcopy(net).double()(x.double())
    for a, b in zip(single, double, strict=True):
        assert b.dtype == torch.float64
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("model", "sizes"), SMALL)
def test_samples_of_a_batch_do_not_see_each_other(model, sizes):
    net = small(model, sizes)
    x = torch.randn(3, net.in_channels, 9)
    together = net(x)
    for i in range(3):
        for a, b in zip(net(x[i : i + 1]), together, strict=True):
            torch.testing.assert_close(a[0], b[i])


@pytest.mark.parametrize(("model", "sizes"), SMALL)
def test_each_pathway_feeds_its_own_head(model, sizes):
    net = small(model, sizes)
    score, logits = net(torch.randn(1, net.in_channels, 8))
    by_score = torch.autograd.grad(
        score.sum(), list(net.recognition.parameters()), allow_unused=True, retain_graph=True
    )
    by_logits = torch.autograd.grad(logits.sum(), list(net.spotting.parameters()), allow_unused=True)
    assert all(g is None for g in (*by_score, *by_logits))


@pytest.mark.parametrize(("model", "sizes"), SMALL)
def test_every_weight_learns(model, sizes):
    net = small(model, sizes).train()
    score, logits = net(torch.randn(4, net.in_channels, 8))
    (score.square().sum() + logits.square().sum()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize(("model", "sizes"), SMALL)
def test_shared_pathways_save_one_pathway(model, sizes):
    separate, shared = model(**sizes), model(**sizes, pathways="shared")
    assert shared.recognition is None
    assert count(separate) - count(shared) == count(separate.recognition)


def test_both_heads_on_spotting_is_the_named_choice_of_the_release():
    """The released ME-TST keeps recognition blocks that its forward pass never enters."""
    net = small(METST, SMALL[0][1], both_heads_on_spotting=True)
    x = torch.randn(1, 10, 8)
    before = net(x)
    with torch.no_grad():
        for parameter in net.recognition.parameters():
            parameter.add_(1)
    assert all(torch.equal(a, b) for a, b in zip(before, net(x), strict=True))
    shared = small(METST, SMALL[0][1], pathways="shared")
    shared.load_state_dict({k: v for k, v in net.state_dict().items() if not k.startswith("recognition.")})
    assert all(torch.equal(a, b) for a, b in zip(before, shared(x), strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pathways": "both"}, "pathways is 'both'; use one of 'separate', 'shared'"),
        ({"width": 0}, "width is 0"),
        ({"d_state": 2.5}, "d_state is 2.5"),
        ({"n_classes": True}, "n_classes is True"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    for model in (METST, METSTPlus):
        with pytest.raises(InputError, match=message):
            model(**arguments)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(1, 10, 1), "at least 2 frames"),
        (torch.zeros(1, 9, 5), "10 channels"),
        (torch.zeros(10, 5), "10 channels"),
        (torch.zeros(1, 10, 5).double(), "float64"),
    ],
)
def test_motion_that_does_not_fit_is_refused(x, message):
    with pytest.raises(InputError, match=message):
        small(*SMALL[0])(x)


# --- a whole video ----------------------------------------------------------------------------------------
def windows_of(net, n=5, k=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, net.in_channels, k)).astype(np.float32)


@pytest.mark.parametrize(("model", "sizes"), SMALL)
def test_predict_video_takes_the_second_half_of_each_later_window(model, sizes):
    net, k = small(model, sizes), 8
    windows = windows_of(net)
    score, probabilities = predict_video(net, windows)
    assert score.shape == (6 * k // 2,)
    assert probabilities.shape == (6 * k // 2, 5)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-12)
    with torch.no_grad():
        each, logits = net(torch.from_numpy(windows))
    np.testing.assert_allclose(score[:k], each[0], atol=1e-6)
    np.testing.assert_allclose(score[3 * k // 2 : 2 * k], each[2, k // 2 :], atol=1e-6)
    np.testing.assert_allclose(probabilities[-k // 2 :], logits[-1, k // 2 :].softmax(-1), atol=1e-6)
    cut = predict_video(net, windows, n_frames=21)
    np.testing.assert_array_equal(cut[0], score[:21])
    np.testing.assert_array_equal(cut[1], probabilities[:21])


def test_predict_video_does_not_depend_on_the_batch_size():
    net = small(*SMALL[0])
    whole, single = (predict_video(net, windows_of(net), batch_size=size) for size in (64, 1))
    for a, b in zip(whole, single, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_predict_video_hands_the_model_back_as_it_came():
    net = small(*SMALL[0]).train()
    net.stem[1].eval()  # a frozen normalisation stays frozen
    modes = [m.training for m in net.modules()]
    state = copy.deepcopy(net.state_dict())
    first, second = (predict_video(net, windows_of(net))[0] for _ in range(2))
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    np.testing.assert_array_equal(first, second)  # nothing random: evaluation mode inside
    with pytest.raises(InputError):
        predict_video(net, np.zeros((2, 3, 8)))
    assert [m.training for m in net.modules()] == modes


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (np.zeros((10, 8)), "n_windows, channels, frames"),
        (np.zeros((0, 10, 8)), "at least one"),
        (np.full((1, 10, 8), np.nan), "finite"),
        (np.array([[["x"] * 8] * 10]), "finite"),
        (np.zeros((1, 9, 8)), "10 channels"),
    ],
)
def test_windows_that_do_not_fit_are_refused(windows, message):
    with pytest.raises(InputError, match=message):
        predict_video(small(*SMALL[0]), windows)


# --- streaming --------------------------------------------------------------------------------------------
@settings(max_examples=20, deadline=None)
@given(
    which=st.sampled_from(SMALL),
    pathways=st.sampled_from(models.PATHWAYS),
    length=st.integers(2, 17),
    batch=st.integers(1, 2),
)
def test_streaming_equals_the_batch_with_the_stated_delay(which, pathways, length, batch):
    net = small(*which, pathways=pathways).double()
    x = torch.randn(batch, net.in_channels, length, dtype=torch.float64)
    score, logits = net(x)
    stream, answers = Stream(net, batch), []
    assert stream.delay == {METST: 2, METSTPlus: 3}[type(net)]
    for t in range(length):
        answers += stream.push(x[:, :, t])
        assert len(answers) >= t + 1 - stream.delay  # frame t - delay is known
        assert len(answers) <= max(0, t - 1)  # two frames ahead are seen at the least
    answers += stream.finish()
    torch.testing.assert_close(torch.stack([s for s, _ in answers], 1), score, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(torch.stack([c for _, c in answers], 1), logits, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("model", "sizes"), SMALL)
def test_no_answer_depends_on_frames_beyond_the_delay(model, sizes):
    """The delay is not too long either: some answer does change with the frame `delay` ahead."""
    net = small(model, sizes).double()
    delay, x = Stream(net).delay, torch.randn(1, net.in_channels, 20, dtype=torch.float64)
    reach = []
    for t in range(8, 12):
        changed = x.clone()
        changed[:, :, t] += 1
        differs = (net(x)[0] != net(changed)[0])[0]
        reach.append(t - int(differs.nonzero()[0]))
    assert max(reach) == delay


def test_streaming_refuses_what_it_cannot_answer():
    net = small(*SMALL[0])
    with pytest.raises(InputError, match="at least 2 frames"):
        Stream(net).finish()
    stream = Stream(net)
    with pytest.raises(InputError, match=r"\(1, 10\)"):
        stream.push(torch.zeros(10))
    with pytest.raises(InputError, match="float64"):
        stream.push(torch.zeros(1, 10).double())
    for _ in range(2):
        stream.push(torch.zeros(1, 10))
    stream.finish()
    with pytest.raises(InputError, match="ended"):
        stream.push(torch.zeros(1, 10))
    with pytest.raises(InputError, match="training mode"):
        Stream(net.train()).push(torch.zeros(1, 10))
    with pytest.raises(InputError, match="batch_size"):
        Stream(net, 0)
