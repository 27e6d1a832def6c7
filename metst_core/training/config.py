"""Every choice of a training run in one object."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from metst_core.checks import number_between, one_of, whole_number
from metst_core.decoding import STRATEGIES, SYNERGIES
from metst_core.errors import InputError
from metst_core.models import (
    BLOCKS_PER_STAGE,
    D_STATE,
    DEPTH,
    METST,
    PATHWAYS,
    WIDTH,
    METSTPlus,
    Network,
)
from metst_core.rivals import SEQUENCE_NETWORKS, MovingReferenceNetwork, count_parameters, of_like_size
from metst_core.rois import roi_names
from metst_core.training.augment import AUGMENTATIONS
from metst_core.training.pretrain import PRETRAINING
from metst_core.variants import BASES, variant_network, words_of

PROTOCOLS = ("strict", "official")
SCORE_LOSSES = ("squared error", "cross-entropy")
ASKED = ("frames", "windows")
"""What a network is asked: of each frame, is it inside a micro-expression; of each window, is it one."""


class Method(NamedTuple):
    """What comes with a model's name unless the configuration says otherwise."""

    network: str
    features: str
    pathways: str
    strategy: str
    asked: str = "frames"


METHODS = {
    "metst": Method("metst", "metst", "separate", "fixed"),
    "metst_plus": Method("metst_plus", "metst_plus", "separate", "fixed"),
    "boosting_vrme": Method("metst_plus", "metst_plus", "shared", "extensible"),
    "metst_18": Method("metst", "metst_plus", "separate", "fixed"),
    "metst_plus_5": Method("metst_plus", "metst", "separate", "fixed"),
    "metst_plus_moving": Method("moving_reference", "metst_plus", "separate", "fixed"),
    **{name: Method(name, "metst_plus", "separate", "fixed") for name in SEQUENCE_NETWORKS},
    "sliding_window": Method("patch", "metst_plus", "separate", "fixed", "windows"),
}
"""The models by name.

`metst_18` and `metst_plus_5` exchange the ROIs of the two, `metst_plus_moving` exchanges the frame from which motion
counts.  The others are made of the networks of `metst_core.rivals`, each as large as ME-TST+ of the same
configuration; `patch` and `sliding_window` are one network that is asked two things.
"""


@dataclass(frozen=True)
class TrainConfig:
    """Every choice of a training run; the defaults are those published for ME-TST+ on CAS(ME)^3.

    For SAMM-LV `batch_size=32, ratio=0.5` were published; the first release of ME-TST trained both sets with
    `epochs=30, learning_rate=1e-4, width=64`.

    model: a name of `METHODS`; `features`, `pathways`, `strategy` and `asked` left empty take that method's own.
    width, depth, blocks_per_stage, d_state: sizes of the network (`depth` for ME-TST, `blocks_per_stage`
        for ME-TST+).
    epochs, learning_rate, batch_size: Adam under a OneCycle schedule over all steps with that peak; the last
        epoch is used, there is no model selection.
    ratio: windows without a micro-expression drawn per window with one.
    scale_low, scale_high, scale_step: the random factors that a window is multiplied with.
    score_weight, class_weight: weights of the score's loss and of the classes' cross-entropy in the loss.
    score_loss: of the score, "squared error" (the papers') or "cross-entropy".
    neutral_weight: factor on the neutral class's balanced weight (with `synergy=0` neutral weighs nothing).
    seed: of the weights, the drawn windows, their order and scale; each fold's own numbers follow from it and
        the subject's name.
    synergy, strategy, p, smoothing (frames; 0 for 2 k_p): decoding (`metst_core.decoding`).
    protocol: "strict" or "official".
    groups: 0 holds out one subject at a time; another number makes so many groups of persons, each held out together
        (grouped folds: fewer networks, trained on fewer persons).
    asked: "frames" (the score of every frame) or "windows" (of the window of `2 k_p + 1` frames around each frame:
        does it overlap a micro-expression with an IoU of at least 0.5?).
    variant: parts of the network exchanged, in the words of `metst_core.variants`, such as "causal+local".
    augment, pretrain: windows changed each time they are seen ("warp", "phases", "masks"); half of the epochs spent on
        windows without their labels, first ("masked", "contrast") or beside those with ("teacher"), on the CPU only.
    device, amp, compile: torch device; bfloat16 autocast and `torch.compile`, on CUDA only.

    What the papers leave open is settled so: windows without a micro-expression are drawn once per fold, not
    per epoch; the class weights count the frames of the drawn windows (a frame in two windows counts twice);
    one scale factor holds for all frames and ROIs of a window and is drawn each time the window is seen; a last
    batch that is not full is used; the rest of Adam and OneCycle (30% of the steps up, start at a 25th of the
    peak, Adam's first beta moving between 0.95 and 0.85) is torch's default.
    """

    model: str = "metst_plus"
    features: str = ""
    pathways: str = ""
    width: int = WIDTH
    depth: int = DEPTH
    blocks_per_stage: int = BLOCKS_PER_STAGE
    d_state: int = D_STATE
    epochs: int = 50
    learning_rate: float = 3e-4
    batch_size: int = 256
    ratio: float = 4.0
    scale_low: float = 0.90
    scale_high: float = 1.10
    scale_step: float = 0.01
    score_weight: float = 0.9
    class_weight: float = 0.1
    score_loss: str = "squared error"
    neutral_weight: float = 6.0
    seed: int = 100
    synergy: int = 2
    strategy: str = ""
    p: float = 0.55
    smoothing: int = 0
    protocol: str = "strict"
    groups: int = 0
    asked: str = ""
    variant: str = ""
    augment: str = ""
    pretrain: str = ""
    device: str = "cpu"
    amp: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        method = METHODS[one_of("model", self.model, METHODS)]
        for name in _OWN:
            object.__setattr__(self, name, getattr(self, name) or getattr(method, name))
        roi_names(self.features)
        for name, allowed in _CHOICES.items():
            one_of(name, getattr(self, name), allowed)
        for name, (low, high) in _RANGES.items():
            number: float = number_between(name, getattr(self, name), low, high)
            if _FIELD_TYPES[name] == "int":
                number = whole_number(name, getattr(self, name), int(low))
            object.__setattr__(self, name, number)
        if self.scale_low > self.scale_high:
            raise InputError(
                f"scale_low {self.scale_low} is above scale_high {self.scale_high}; exchange them"
            )
        if words_of(self.variant) and method.network not in BASES:
            raise InputError(f"model {self.model!r} has no variants; use one of {', '.join(BASES)}")
        if self.pretrain and self.device != "cpu":
            raise InputError(f"pretrain is for the CPU, device is {self.device!r}; leave it off")
        if self.groups == 1:
            raise InputError(
                "groups is 1, which leaves nobody to train on; use 0 (one subject at a time) or 2 or more"
            )
        if (self.amp or self.compile) and not self.device.startswith("cuda"):
            raise InputError(
                f"amp and compile are for CUDA devices, device is {self.device!r}; leave them off"
            )

    def with_model(self, model: str, **changes: Any) -> TrainConfig:
        """The same choices for another model, with that method's own features, pathways, strategy and question."""
        own = dict.fromkeys(_OWN, "")
        return dataclasses.replace(self, **{"model": model, **own, **changes})

    @property
    def folding(self) -> str:
        """How persons are held out, in words."""
        return f"{self.groups} groups of persons" if self.groups else "leave one subject out"

    def to_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return dataclasses.asdict(self)

    def build(self) -> Network:
        """A fresh network of this configuration (its weights from torch's global random numbers)."""
        channels = 2 * len(roi_names(self.features))
        common: dict[str, Any] = {"in_channels": channels, "width": self.width, "pathways": self.pathways}
        network = METHODS[self.model].network
        if self.variant:
            common |= {
                "depth": self.depth,
                "blocks_per_stage": self.blocks_per_stage,
                "d_state": self.d_state,
            }
            return variant_network(network, self.variant, common)
        if network == "metst":
            return METST(depth=self.depth, d_state=self.d_state, **common)
        sizes: dict[str, Any] = {"blocks_per_stage": self.blocks_per_stage, "d_state": self.d_state}
        if network == "moving_reference":
            return MovingReferenceNetwork(**sizes, **common)
        plus = METSTPlus(**sizes, **common)
        if network == "metst_plus":
            return plus
        return of_like_size(
            SEQUENCE_NETWORKS[network], count_parameters(plus), channels, self.width, self.pathways
        )


_OWN = ("features", "pathways", "strategy", "asked")
_FIELD_TYPES = {f.name: str(f.type) for f in dataclasses.fields(TrainConfig)}
_CHOICES: dict[str, Sequence[Any]] = {
    "pathways": PATHWAYS,
    "strategy": STRATEGIES,
    "synergy": SYNERGIES,
    "protocol": PROTOCOLS,
    "asked": ASKED,
    "augment": AUGMENTATIONS,
    "pretrain": PRETRAINING,
    "score_loss": SCORE_LOSSES,
}
_RANGES = {
    "width": (1, 4096),
    "depth": (1, 1000),
    "blocks_per_stage": (1, 1000),
    "d_state": (1, 4096),
    "epochs": (1, 1e6),
    "learning_rate": (1e-12, 1e6),
    "batch_size": (1, 1e9),
    "ratio": (0, 1e9),
    "scale_low": (0, 1e3),
    "scale_high": (0, 1e3),
    "scale_step": (1e-6, 1e3),
    "score_weight": (0, 1e9),
    "class_weight": (0, 1e9),
    "neutral_weight": (0, 1e9),
    "groups": (0, 1e6),
    "seed": (0, 2**63),
    "p": (0, 1),
    "smoothing": (0, 1e6),
}
