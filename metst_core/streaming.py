"""A network frame by frame, as motion arrives, in constant memory; the result equals the batch result.

The Mamba blocks look only back.  The stem's two convolutions look one frame ahead each, and a slow frame of
ME-TST+ is ready with the second of the two frames that it covers.  So the answer for frame t is known once
frame t + `delay` is in: 2 frames for `METST`, 3 for `METSTPlus` (whose odd frames need only 2).

On a CPU the work per frame is small: `torch.set_num_threads(1)` is faster than several threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from metst_core.checks import whole_number
from metst_core.errors import InputError
from metst_core.models import Network, PlainPathway, SlowFastPathway

STEM_DELAY = 2
SLOW_FAST_DELAY = 3

Answer = tuple[Tensor, Tensor]


class Stream:
    """One pass of a model over `batch_size` sequences that grow by a frame at a time.

        stream = Stream(model)
        for frame in motion:                          # (B, C) each
            for score, logits in stream.push(frame):  # (B,), (B, n_classes) of the next frame in order
                ...
        rest = stream.finish()                        # the last `delay` frames

    The model must be in evaluation mode (`model.eval()`).
    """

    def __init__(self, model: Network, batch_size: int = 1) -> None:
        if not is_streamable(model):
            raise InputError(
                f"{type(model).__name__} changes the motion before it reads it and cannot be run frame by frame; "
                "stream METST or METSTPlus"
            )
        self.model = model
        self.batch_size = batch_size = whole_number("batch_size", batch_size, 1)
        self.delay = SLOW_FAST_DELAY if isinstance(model.spotting, SlowFastPathway) else STEM_DELAY
        self.frames = 0  # pushed so far
        self._finished = False
        self._stem = [_Convolution(model.stem[i : i + 3], batch_size) for i in (0, 3)]
        used = dict.fromkeys([model.spotting, model.recognition_pathway])  # one or two, in this order
        self._pathways = [_pathway(pathway, batch_size) for pathway in used]

    @torch.no_grad()
    def push(self, frame: Tensor) -> list[Answer]:
        """The motion of the next frame (B, C) -> the answers now known, in frame order: none, one or two."""
        expected = (self.batch_size, self.model.in_channels)
        if frame.shape != expected:
            raise InputError(
                f"a frame's motion must be (batch, channels) = {expected}, not {tuple(frame.shape)}"
            )
        if frame.dtype != self.model.score_head.weight.dtype:
            raise InputError(f"the motion is {frame.dtype}, the model {self.model.score_head.weight.dtype}")
        self._check()
        self.frames += 1
        first, second = self._stem
        return self._answer([y for x in first.push(frame) for y in second.push(x)], last=False)

    @torch.no_grad()
    def finish(self) -> list[Answer]:
        """The answers still outstanding once the sequence has ended."""
        self._check()
        if self.frames < 2:
            raise InputError(f"a sequence needs at least 2 frames, this one had {self.frames}")
        self._finished = True
        first, second = self._stem
        return self._answer([y for x in first.finish() for y in second.push(x)] + second.finish(), last=True)

    def _check(self) -> None:
        if self.model.training:
            raise InputError("the model is in training mode: call model.eval() before streaming")
        if self._finished:
            raise InputError("this stream has ended: start a new Stream")

    def _answer(self, frames: list[Tensor], last: bool) -> list[Answer]:
        features = []
        for push, finish in self._pathways:
            known = [y for x in frames for y in push(x)]
            features.append(known + finish() if last else known)
        return [
            self.model.heads(spotting, other)
            for spotting, other in zip(features[0], features[-1], strict=True)
        ]


class FullWindow:
    """In the place of a `Stream` for a network that cannot be run frame by frame: all answers come when the window is full.

    Networks that read backwards too, or count motion from a nearer frame, are such (`metst_core.variants`).
    """

    def __init__(self, model: Network, batch_size: int = 1) -> None:
        self.model = model
        self.batch_size = whole_number("batch_size", batch_size, 1)
        self._motion: list[Tensor] = []

    def push(self, frame: Tensor) -> list[Answer]:
        """The motion of the next frame (B, C); nothing is known yet."""
        self._motion.append(frame)
        return []

    @torch.no_grad()
    def finish(self) -> list[Answer]:
        """The answers for all frames, in order."""
        score, logits = self.model(torch.stack(self._motion, dim=2))
        return list(zip(score.unbind(1), logits.unbind(1), strict=True))


def is_streamable(model: Network) -> bool:
    """Whether a network can be run frame by frame: none that changes the motion first, or reads backwards."""
    return type(model).forward is Network.forward


def window_stream(model: Network) -> Stream | FullWindow:
    """What answers for the frames of a window as early as the network allows."""
    return Stream(model) if is_streamable(model) else FullWindow(model)


def frames_waited(model: Network, window: int) -> int:
    """How many later frames the answer for a frame waits for at most, of overlapping windows past the first."""
    return Stream(model).delay if is_streamable(model) else window - window // 2 - 1


class _Convolution:
    """Convolution of width 3 with zero padding, normalisation and ReLU, (B, W) in, a list of (B, W') out."""

    def __init__(self, layers: Any, batch_size: int) -> None:
        conv, self._norm, self._relu = layers
        self._weight, self._bias, self._stride = conv.weight, conv.bias, conv.stride[0]
        self._silence = conv.weight.new_zeros(batch_size, conv.in_channels)
        self._seen = [self._silence]

    def push(self, x: Tensor) -> list[Tensor]:
        self._seen.append(x)
        if len(self._seen) < 3:
            return []
        y = F.conv1d(torch.stack(self._seen, dim=2), self._weight, self._bias)
        del self._seen[: self._stride]
        return [self._relu(self._norm(y)).squeeze(2)]

    def finish(self) -> list[Tensor]:
        return self.push(self._silence)


class _Blocks:
    """A stack of Mamba blocks, (B, W) in, (B, W) out, without delay."""

    def __init__(self, stack: Any, batch_size: int) -> None:
        self._blocks = list(stack.children())
        self._states = [block.mamba.allocate_inference_cache(batch_size) for block in self._blocks]

    def __call__(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self._blocks):
            y, *state = block.mamba.step(block.norm_in(x)[:, None], *self._states[i])
            self._states[i] = tuple(state)
            x = x + block.norm_out(y[:, 0])
        return x


_Pathway = tuple[Callable[[Tensor], list[Tensor]], Callable[[], list[Tensor]]]


def _pathway(pathway: PlainPathway | SlowFastPathway, batch_size: int) -> _Pathway:
    """What to do with a frame, and at the end."""
    if isinstance(pathway, SlowFastPathway):
        slow_fast = _SlowFast(pathway, batch_size)
        return slow_fast.push, slow_fast.finish
    run = _Blocks(pathway.blocks, batch_size)
    return (lambda x: [run(x)]), list


class _SlowFast:
    """Fast frames wait for the slow frame that covers them."""

    def __init__(self, pathway: SlowFastPathway, batch_size: int) -> None:
        self._stem = _Convolution(pathway.slow_stem, batch_size)
        self._slow = [_Blocks(stage, batch_size) for stage in pathway.slow]
        self._fast = [_Blocks(stage, batch_size) for stage in pathway.fast]
        self._lateral = [_Convolution(layers, batch_size) for layers in pathway.lateral]
        self._waiting: list[Tensor] = []

    def push(self, x: Tensor) -> list[Tensor]:
        told = []
        stem = self._stem.push(x)
        for stage, run in enumerate(self._fast):
            x = run(x)
            if stage < len(self._lateral):
                told.append(self._lateral[stage].push(x))
        self._waiting.append(x)
        return self._join(stem, told)

    def finish(self) -> list[Tensor]:
        return self._join(self._stem.finish(), [lateral.finish() for lateral in self._lateral])

    def _join(self, slow: list[Tensor], told: list[list[Tensor]]) -> list[Tensor]:
        """Slow frames joined with the fast ones that waited for them.

        All convolutions of stride 2 answer together, so `slow` and each of `told` hold one frame or none.
        """
        if not slow:
            return []
        (x,) = slow
        for stage, run in enumerate(self._slow):
            x = run(x)
            if stage < len(told):
                x = x + told[stage][0]
        waiting, self._waiting = self._waiting, []
        return [torch.cat([x, fast], dim=1) for fast in waiting]
