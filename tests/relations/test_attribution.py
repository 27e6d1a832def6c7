"""Maps of handmade networks, of which is known what they use."""

from functools import partial

import numpy as np
import pytest
import torch
from support.made_up_motion import made_up_motion

from metst_core.errors import InputError
from metst_core.models import METST, METSTPlus
from metst_core.relations import (
    map_similarity,
    me_windows,
    pair_interaction,
    randomised,
    roi_ablation,
    roi_attribution,
    roi_shares,
    stem_mixing,
)


class Handmade(METST):
    """A network whose outputs are known functions of two ROIs: score = m3 * m1 + m0 (no other ROI)."""

    def forward(self, x):
        m = x[:, 1::2]
        score = m[:, 3] * m[:, 1] + m[:, 0]
        return score, torch.stack([m[:, 4] * (c + 1) for c in range(5)], dim=2)


def handmade():
    return Handmade(in_channels=10, width=4, depth=3, d_state=2).eval()


def test_attribution_lies_on_the_rois_that_the_output_is_made_of():
    motion = np.random.default_rng(0).normal(size=(3, 10, 12)).astype(np.float32)
    mask = np.zeros((3, 12), bool)
    mask[:, 4:8] = True
    for method in (roi_attribution, partial(roi_ablation, bin_frames=1)):
        values = method(handmade(), motion, mask)
        assert values.shape == (3, 5, 12)
        assert np.abs(values[:, [2, 4]]).max() < 1e-6
        assert np.abs(values[:, :, ~mask[0]]).max() < 1e-6
        assert np.allclose(values[:, 0], motion[:, 1] * mask, atol=1e-5)
        emotion = method(handmade(), motion, mask, "emotion", np.array([0, 1, 2]))
        assert np.abs(emotion[:, :4]).max() < 1e-6
        assert np.allclose(emotion[:, 4], np.array([1, 2, 3])[:, None] * motion[:, 9] * mask, atol=1e-5)


def test_ablation_spreads_a_bin_and_integrated_gradients_add_up():
    motion = np.random.default_rng(1).normal(size=(2, 36, 20)).astype(np.float32)
    torch.manual_seed(0)
    model = METSTPlus(width=4, d_state=2, blocks_per_stage=1).eval()
    model.score_head.weight.data *= 20  # fresh heads hardly answer
    values = roi_attribution(model, motion, n_steps=200)  # ReLUs are corners on the way
    with torch.no_grad():
        ends = [model(torch.from_numpy(m))[0].sum(1).numpy() for m in (motion, 0 * motion)]
    assert np.allclose(
        values.sum(axis=(1, 2)), ends[0] - ends[1], atol=0.03 * np.abs(ends[0] - ends[1]).max()
    )
    blunt = roi_ablation(model, motion, bin_frames=5)
    assert np.allclose(blunt.reshape(2, 18, 4, 5), blunt.reshape(2, 18, 4, 5)[..., :1])
    silenced = motion.copy()
    silenced[:, 4:6, 5:10] = 0
    with torch.no_grad():
        drop = ends[0] - model(torch.from_numpy(silenced))[0].sum(1).numpy()
    assert np.allclose(blunt[:, 2, 5:10].sum(axis=1), drop, atol=1e-5)


def test_interaction_is_where_the_output_multiplies_and_nowhere_else():
    motion = np.random.default_rng(2).normal(size=(2, 10, 12)).astype(np.float32)
    found = pair_interaction(handmade(), motion)
    assert found["score"][1, 3] > 0.2
    alone = found["score"].copy()
    alone[[1, 3], [3, 1]] = 0
    assert alone.max() < 1e-5
    assert found["emotion"].max() < 1e-5


def test_interaction_is_reported_at_every_layer_of_both_networks():
    motion = np.random.default_rng(2).normal(size=(1, 36, 10)).astype(np.float32)
    for model, channels in (
        (METSTPlus(width=4, d_state=2, blocks_per_stage=1), 36),
        (METST(width=4, d_state=2, depth=3), 10),
    ):
        found = pair_interaction(model, motion[:, :channels])
        stages = [f"{p} stage {i}" for p in ("spotting", "recognition") for i in (1, 2, 3)]
        assert list(found) == ["stem", *stages, "score", "emotion"]
        for matrix in found.values():
            assert np.allclose(matrix, matrix.T)
            assert np.isfinite(matrix).all()
    shared = pair_interaction(METST(width=4, d_state=2, depth=3, pathways="shared"), motion[:, :10])
    assert "recognition stage 1" not in shared


def test_stem_mixing_is_the_cosine_of_the_weights():
    model = METST(width=8, d_state=2, depth=1)
    with torch.no_grad():
        weight = model.stem[0].weight
        weight[:, 2:4] = weight[:, 0:2]
        weight[:, 4:6] = -weight[:, 0:2]
    mixing = stem_mixing(model)
    assert np.allclose(np.diag(mixing), 1)
    assert mixing[0, 1] == pytest.approx(1)
    assert mixing[0, 2] == pytest.approx(-1)
    assert np.abs(stem_mixing(METST(width=128, d_state=2, depth=1))[np.triu_indices(5, 1)]).max() < 0.25


def test_randomised_forgets_the_weights_and_leaves_the_original_alone():
    torch.manual_seed(1)
    model = METST(width=8, d_state=2, depth=1)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    fresh = randomised(model, 3)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert not torch.allclose(fresh.stem[0].weight, model.stem[0].weight)
    assert torch.equal(fresh.stem[0].weight, randomised(model, 3).stem[0].weight)


def test_a_trained_network_looks_at_the_only_roi_that_tells_and_random_weights_do_not():
    """Planted: every ROI moves alike, but only the mouth (ROI 2) moves when the score is 1."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    motion = 0.6 * rng.normal(size=(48, 10, 20)).astype(np.float32)
    mask = np.zeros((48, 20), bool)
    for row, start in enumerate(rng.integers(2, 12, 48)):
        mask[row, start : start + 6] = True
    motion[:, 4:6] += 1.5 * mask[:, None]
    model = METST(width=8, d_state=4, depth=2)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    x, y = torch.from_numpy(motion), torch.from_numpy(mask.astype(np.float32))
    for _ in range(60):
        loss = ((model(x)[0] - y) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    trained = roi_shares(roi_attribution(model, motion[:8], mask[:8])).mean(axis=0)
    assert trained.argmax() == 2
    assert trained[2] > 0.5
    signed = roi_attribution(model, motion[:8], mask[:8])
    untrained = roi_attribution(randomised(model, 0), motion[:8], mask[:8])
    assert abs(map_similarity(signed, untrained)) < 0.5
    assert map_similarity(signed, signed) == pytest.approx(1)


def test_windows_of_mes_hold_their_apex_and_mask_their_inside():
    motion = made_up_motion(features="metst", n_frames=60)
    found = me_windows(motion, "s1")
    assert set(found.table["subject"]) == {"s1"}
    for row, mask, window in zip(found.table.itertuples(), found.mask, found.motion, strict=True):
        first = row.window * motion.window // 2
        frames = first + np.flatnonzero(mask)
        assert first <= row.apex < first + motion.window
        assert frames[0] > row.onset or first > row.onset
        assert frames[-1] < row.offset
        assert np.array_equal(window, motion.windows[row.subject, row.video][row.window])
    with pytest.raises(InputError, match="'nobody'"):
        me_windows(motion, "nobody")


def test_arguments_that_cannot_be_used_are_named():
    motion = np.zeros((2, 10, 12), np.float32)
    for change, match in (
        ({"motion": np.zeros((2, 8, 12))}, "reads"),
        ({"mask": np.ones((2, 5))}, "mask"),
        ({"output": "happiness"}, "output"),
        ({"output": "emotion"}, "classes"),
    ):
        for method in (roi_attribution, roi_ablation):
            with pytest.raises(InputError, match=match):
                method(handmade(), **{"motion": motion, **change})
