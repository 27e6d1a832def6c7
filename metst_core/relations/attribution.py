"""What a network makes of the ROIs.

Attribution asks how much of an output each ROI accounts for, frame by frame, against the baseline of a face
that does not move (integrated gradients, Sundararajan et al. 2017; ablation), and `pair_interaction` how much
two ROIs do together that they do not do one by one (joint occlusion).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from metst_core.errors import InputError
from metst_core.extraction import MotionSet
from metst_core.models import Network, evaluating
from metst_core.tables import CLASSES
from metst_core.windows import frame_targets, window_starts


@dataclass(frozen=True)
class MeWindows:
    """Windows of motion that each show one ME whole or in part.

    motion `(n, 2R, k)`; mask `(n, k)` bool, the frames after onset and before offset; classes `(n,)` int, the
    emotion; table: the annotation of each, with `window` (its number in the video).
    """

    motion: np.ndarray
    mask: np.ndarray
    classes: np.ndarray
    table: pd.DataFrame

    def take(self, rows: Sequence[int] | np.ndarray) -> MeWindows:
        """Some of the windows."""
        rows = np.asarray(rows)
        return MeWindows(
            self.motion[rows],
            self.mask[rows],
            self.classes[rows],
            self.table.iloc[rows].reset_index(drop=True),
        )


def me_windows(motion: MotionSet, subject: str | None = None) -> MeWindows:
    """For every ME (of one subject) the window that holds its apex closest to the middle."""
    picked, masks, rows = [], [], []
    for me in motion.annotations.to_dict("records"):
        key = (me["subject"], me["video"])
        if key not in motion.windows or subject not in (None, me["subject"]):
            continue
        n_frames = motion.n_frames(*key)
        starts = window_starts(n_frames, motion.window)[: len(motion.windows[key])]
        number = int(np.abs(starts + motion.window / 2 - me["apex"]).argmin())
        alone = pd.DataFrame([me])
        mask = np.zeros(starts[number] + motion.window, bool)
        mask[:n_frames] = frame_targets(alone, n_frames)[0][: len(mask)] > 0
        mask = mask[starts[number] :]
        if mask.any():
            picked.append(motion.windows[key][number])
            masks.append(mask)
            rows.append({**me, "window": number})
    if not rows:
        who = "these videos" if subject is None else f"the videos of subject {subject!r}"
        raise InputError(f"no micro-expression with a frame between onset and offset in {who}")
    table = pd.DataFrame(rows)
    classes = np.array([CLASSES.index(e) for e in table["emotion"]])
    return MeWindows(np.stack(picked).astype(np.float32), np.stack(masks), classes, table)


OUTPUTS = ("score", "emotion")


def roi_attribution(
    model: Network,
    motion: np.ndarray,
    mask: np.ndarray | None = None,
    output: str = "score",
    classes: np.ndarray | None = None,
    n_steps: int = 24,
) -> np.ndarray:
    """What each ROI at each frame contributes to an output: motion `(n, 2R, k)` -> `(n, R, k)`, signed.

    Integrated gradients, in `n_steps` steps on the line from a face that does not move (motion 0): the
    contributions of a window add up to output(motion) - output(0) as far as the steps are fine enough (on networks of
    the default run up to a quarter is missing with 24 steps, under 1% with 128).  The output is the sum over the frames of
    `mask` `(n, k)` (default: all) of the score (`output="score"`, spotting) or of the logit of class `classes`
    `(n,)` (`"emotion"`, recognition).  x and y are added.
    """
    from captum.attr import IntegratedGradients

    x = _as_tensor(model, motion)
    function, others = _output_function(model, x, mask, output, classes)
    with evaluating(model), torch.enable_grad():
        values = IntegratedGradients(function).attribute(
            x, baselines=torch.zeros_like(x), additional_forward_args=others, n_steps=n_steps,
            internal_batch_size=max(64, len(x)),
        )  # fmt: skip
    return _per_roi(values)


def roi_ablation(
    model: Network,
    motion: np.ndarray,
    mask: np.ndarray | None = None,
    output: str = "score",
    classes: np.ndarray | None = None,
    bin_frames: int = 5,
) -> np.ndarray:
    """What an output loses without a ROI: arguments and result as those of `roi_attribution`.

    The change when the motion of one ROI in one bin of `bin_frames` frames is set to 0, spread evenly over
    the bin.
    """
    from captum.attr import FeatureAblation

    x = _as_tensor(model, motion)
    function, others = _output_function(model, x, mask, output, classes)
    n_rois, n_frames = x.shape[1] // 2, x.shape[2]
    bins = torch.arange(n_frames) // bin_frames
    regions = torch.arange(n_rois).repeat_interleave(2)
    groups = regions[:, None] * (int(bins.max()) + 1) + bins
    sizes = torch.bincount(bins)[bins] * 2  # x and y share what their bin of frames changed
    with evaluating(model):
        values = FeatureAblation(function).attribute(
            x, baselines=0, additional_forward_args=others, feature_mask=groups[None].to(x.device),
            perturbations_per_eval=max(1, 128 // len(x)),
        )  # fmt: skip
    return _per_roi(values.detach().cpu() / sizes)


def _per_roi(values: Tensor) -> np.ndarray:
    """Channels `(n, 2R, k)` -> ROIs `(n, R, k)`: x and y added."""
    whole = values.detach().cpu().numpy()
    return whole.reshape(len(whole), -1, 2, whole.shape[2]).sum(axis=2)


def _as_tensor(model: Network, motion: np.ndarray) -> Tensor:
    motion = np.asarray(motion)
    if motion.ndim != 3 or motion.shape[1] != model.in_channels:
        raise InputError(
            f"motion has shape {motion.shape}; this model reads (n, {model.in_channels}, frames)"
        )
    weight = model.score_head.weight
    return torch.as_tensor(motion, dtype=weight.dtype, device=weight.device)


def _output_function(
    model: Network, x: Tensor, mask: np.ndarray | None, output: str, classes: np.ndarray | None
) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """A function of (motion, weights, ...) that gives one number per window, and its other arguments."""
    shape = (x.shape[0], x.shape[2])
    weights = torch.as_tensor(np.ones(shape) if mask is None else np.asarray(mask)).to(x)
    if tuple(weights.shape) != shape:
        raise InputError(f"mask has shape {tuple(weights.shape)}; with this motion it must be {shape}")
    if output == "score":
        return lambda m, w: (model(m)[0] * w).sum(dim=1), (weights,)
    if output != "emotion":
        raise InputError(f"output {output!r} is none of {', '.join(OUTPUTS)}")
    if classes is None or np.shape(classes) != (len(x),):
        raise InputError(f"output 'emotion' needs classes of shape ({len(x)},), one class index per window")
    chosen = torch.as_tensor(np.asarray(classes)).to(x.device)

    def logit(m: Tensor, w: Tensor, c: Tensor) -> Tensor:
        picked = model(m)[1].gather(2, c[:, None, None].expand(-1, m.shape[2], 1)).squeeze(2)
        return (picked * w).sum(dim=1)

    return logit, (weights, chosen)


def roi_shares(attribution: np.ndarray) -> np.ndarray:
    """Share of each ROI in the absolute attribution of a window: `(n, R, k)` -> `(n, R)`, rows sum to 1."""
    size = np.abs(attribution).sum(axis=2)
    return size / np.maximum(size.sum(axis=1, keepdims=True), 1e-30)


def layers(model: Network) -> dict[str, nn.Module]:
    """Where `pair_interaction` looks inside a network: the stem, and the stages of both pathways, by name."""
    found: dict[str, nn.Module] = {"stem": model.stem}
    for name in ("spotting", "recognition"):
        pathway = getattr(model, name)
        stages = getattr(pathway, "fast", None) or _thirds(getattr(pathway, "blocks", None))
        found |= {f"{name} stage {i + 1}": stage for i, stage in enumerate(stages)}
    return found


def _thirds(blocks: Any) -> list[nn.Module]:
    """The last blocks of each third of a stack."""
    if not blocks:
        return []
    return [blocks[i] for i in sorted({max(0, round(len(blocks) * part / 3) - 1) for part in (1, 2, 3)})]


def pair_interaction(model: Network, motion: np.ndarray) -> dict[str, np.ndarray]:
    r"""What every two ROIs do together that they do not do one by one: layer or output -> `(R, R)`, from 0 on.

    For activations f and motion x without the ROIs in brackets,

        I(i, j) = | f(x) - f(x \ i) - f(x \ j) + f(x \ ij) | / | f(x) - f(0) |,

    with Euclidean norms over units and frames, averaged over the windows of `motion` `(n, 2R, k)`.  A
    linear layer has none.  Besides `layers(model)` the outputs `score` and `emotion` (logits) are measured.
    """
    x = _as_tensor(model, motion)
    n_rois = x.shape[1] // 2
    pairs = list(combinations(range(n_rois), 2))
    keep = torch.ones(2 + n_rois + len(pairs), n_rois, dtype=x.dtype, device=x.device)
    keep[1] = 0
    for i in range(n_rois):
        keep[2 + i, i] = 0
    for row, pair in enumerate(pairs):
        keep[2 + n_rois + row, list(pair)] = 0
    keep = keep.repeat_interleave(2, dim=1)[:, :, None]
    first, second = np.array(pairs).T
    total: dict[str, np.ndarray] = {}
    for window in x:
        for name, values in _activations(model, window * keep).items():
            whole, nothing, single, joint = values[0], values[1], values[2 : 2 + n_rois], values[2 + n_rois :]
            size = (whole - single[first] - single[second] + joint).norm(dim=1) / (
                whole - nothing
            ).norm().clamp_min(1e-12)
            total[name] = total.get(name, 0) + size.double().cpu().numpy() / len(x)
    return {name: _symmetric(values, pairs, n_rois) for name, values in total.items()}


def _activations(model: Network, batch: Tensor) -> dict[str, Tensor]:
    """Flattened activations (batch, units x frames) at every layer and output."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            found[name] = output.flatten(1)

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in layers(model).items()]
    try:
        with evaluating(model):
            score, logits = model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return {**found, "score": score, "emotion": logits.flatten(1)}


def _symmetric(values: np.ndarray, pairs: Sequence[tuple[int, int]], n: int) -> np.ndarray:
    matrix = np.zeros((n, n))
    for value, (i, j) in zip(values, pairs, strict=True):
        matrix[i, j] = matrix[j, i] = value
    return matrix


def stem_mixing(model: Network) -> np.ndarray:
    """How the stem's first convolution joins ROIs: `(R, R)` in -1..1, before anything non-linear.

    Cosine between the weights that two ROIs' channels have over all filters and taps, mean of x and y.
    Above 0 the filters add the two ROIs' motion, below 0 they compare it; fresh weights give about 0.
    """
    weight = next(model.stem.parameters()).detach().double().cpu().numpy()  # (filters, 2R, taps)
    per_channel = weight.transpose(1, 0, 2).reshape(weight.shape[1], -1)
    unit = per_channel / np.maximum(np.linalg.norm(per_channel, axis=1, keepdims=True), 1e-12)
    return (unit[0::2] @ unit[0::2].T + unit[1::2] @ unit[1::2].T) / 2


def randomised(model: Network, seed: int = 0) -> Network:
    """A copy of the network with fresh weights: what its maps would show had it learned nothing."""
    weight = model.score_head.weight
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(model)(**model.config)
    return fresh.to(weight.device, weight.dtype).eval()


def map_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two maps, all windows, ROIs and frames together, signs included.

    Signs matter: where there is no motion no method finds anything, so two maps' *sizes* agree whatever the
    weights.
    """
    return float(spearmanr(np.ravel(first), np.ravel(second)).statistic)
