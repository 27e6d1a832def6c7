"""Training on a CUDA device: skipped without one."""

import dataclasses

import numpy as np
import pytest
import torch
from support.made_up_motion import made_up_motion

from metst_core.training import TrainConfig, train_fold

TINY = TrainConfig(
    model="metst", width=8, depth=1, d_state=4, epochs=2, batch_size=16, learning_rate=1e-2, ratio=1, seed=3
)

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def test_a_fold_on_cuda_says_what_it_says_on_the_cpu():
    """The same drawn windows, order and first weights, so the losses are the same but for rounding."""
    motion = made_up_motion()
    here, there = (
        train_fold(motion, "s1", dataclasses.replace(TINY, device=device)) for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(there.history["loss"], here.history["loss"], rtol=1e-2)
    for key, (score, probabilities) in here.traces.items():
        np.testing.assert_allclose(there.traces[key][0], score, atol=0.05)
        np.testing.assert_allclose(there.traces[key][1], probabilities, atol=0.05)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_fold_in_bfloat16_learns(compiled):
    config = dataclasses.replace(TINY, device="cuda", amp=True, compile=compiled, epochs=5)
    losses = train_fold(made_up_motion(), "s1", config).history["loss"]
    assert np.isfinite(losses).all() and losses.iloc[-1] < losses.iloc[0]
