"""A network and the constants that belong to its numbers, in memory and as files."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metst_core import checkpoints
from metst_core.aligned import PARTS
from metst_core.checks import half_window, number_between, one_of, whole_number
from metst_core.decoding import STRATEGIES, SYNERGIES
from metst_core.errors import InputError, MissingError, reason
from metst_core.files import ASSETS, read_sealed, sha256_of, value_hash, write_sealed
from metst_core.inference.calibration import Calibration
from metst_core.inference.phases import PHASES
from metst_core.models import Network
from metst_core.rivals import PartsNetwork
from metst_core.rois import FEATURES, roi_names
from metst_core.streaming import frames_waited

_NOTICE = (
    "This tool does not detect lies, intentions or illnesses. {} "
    "It is for learning and for looking closer, not for decisions about people. Nothing leaves this machine."
)
NOTICE = _NOTICE.format("Its bundled weights were trained on synthetic faces.")
"""What every output says that was made with the bundled weights (`TrainedModel.notice` for any)."""

BUNDLED = ASSETS / "bundled.safetensors"
"""The weights that come with the package; `metst_core.experiment.recipe` trains them."""

BUNDLED_NAME = "bundled (synthetic faces)"

EDITIONS = {
    "bundled": BUNDLED,
    "bundled-1": ASSETS / "bundled-1.safetensors",
    "aligned": ASSETS / "aligned.safetensors",
}
"""The weights that come with the package, by name; "bundled-1" is the first edition as it was, with one window phase;
"aligned" another instrument, for faces that talk (`inference.talking`), trained by `metst_core.experiment.talking`."""

MOTION = "motion"
"""`TrainedModel.strategy` that measures onset and offset in the motion around the apex (`inference.finding`)."""

SCORE = "score"
"""`TrainedModel.strategy` that takes onset and offset from where the score rises and falls (`inference.finding`)."""

_DEFAULT_HALF_LENGTH = 6  # frames: 0.4 s at 30 frames per second, for weights that come without their own


@dataclass(frozen=True)
class TrainedModel:
    """A network and what belongs to its numbers: which motion it reads, at which rate, and how to decode it.

    threshold: of the smoothed score; None takes the papers' `mean + p (max - mean)` of each video, which
        finds something in every video.
    calibration: None where there is none; the confidence is then NaN.
    strategy: "fixed", the papers' apex and `k_p` frames to either side; "extensible" (`decoding`); or measured, in the "motion" or
        the "score".
    phases: how many window phases the score is the mean of (`inference.phases`) in `analyse`; threshold and calibration
        hold for this number.  `limits` and `adapt` measure one.
    judged: for a `PartsNetwork`, part of the face -> the unrest (pixels of the aligned crop) above which it is not judged.
        None: what was measured with the bundled weights holds (`inference.judged`).
    """

    network: Network
    features: str = "metst_plus"
    window: int = 50
    fps: float = 30.0
    k_p: int = _DEFAULT_HALF_LENGTH
    p: float = 0.55
    threshold: float | None = None
    synergy: int = 2
    strategy: str = "fixed"
    calibration: Calibration | None = None
    phases: int = PHASES
    judged: Mapping[str, float] | None = None
    name: str = "a network"
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_aligned(self) -> bool:
        """Whether it reads motion that is aligned frame by frame (`metst_core.aligned`), not windows of ROI motion."""
        return isinstance(self.network, PartsNetwork)

    @property
    def delay_seconds(self) -> float:
        """How far the smoothed score lags behind a live video: what the network waits for, and the smoothing."""
        return (frames_waited(self.network, self.window) + self.k_p) / self.fps

    @property
    def notice(self) -> str:
        """What every output says that was made with these weights."""
        data = self.card.get("trained_on")
        if self.name == BUNDLED_NAME:
            return NOTICE
        if not data and self.name.startswith(BUNDLED_NAME):
            data = "synthetic faces, then on other videos"
        said = f"were trained on {data}" if data else "do not say what they were trained on"
        return _NOTICE.format(f"The weights in use ({self.name}) {said}.")

    @property
    def confidence_holds_on(self) -> str:
        """On whom the confidence was calibrated, to stand wherever it is shown; nothing where that is not known."""
        return "" if self.calibration is None else self.calibration.persons

    @functools.cached_property
    def identity(self) -> str:
        """SHA-256 of the weights and of the constants that decide the numbers; names and cards do not count."""
        digest = hashlib.sha256()
        for name, values in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + values.detach().cpu().contiguous().numpy().tobytes())
        constants = {name: getattr(self, name) for name in _CONSTANTS if name not in ("name", "card")}
        if self.judged is None:
            del constants["judged"]  # the identity of other weights stays what it was
        fit = None if self.calibration is None else (self.calibration.slope, self.calibration.intercept)
        digest.update(value_hash([constants, type(self.network).__name__, fit]).encode())
        return digest.hexdigest()


_CONSTANTS = (
    "features",
    "window",
    "fps",
    "k_p",
    "p",
    "threshold",
    "synergy",
    "strategy",
    "phases",
    "judged",
    "name",
    "card",
)


def save_model(trained: TrainedModel, path: str | Path) -> Path:
    """Write `<path>.safetensors` and, beside it, a `.json` file with the constants that belong to it."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: a model is saved as .safetensors; end the name so")
    constants: dict[str, Any] = {name: getattr(trained, name) for name in _CONSTANTS}
    if trained.judged is None:
        del constants["judged"]
    if trained.calibration is not None:
        constants["calibration"] = dataclasses.asdict(trained.calibration)
    checkpoints.save(trained.network, path)
    write_sealed({**constants, _WEIGHTS_HASH: sha256_of(path)}, path.with_suffix(".json"))
    return path


def weight_files(model: str | Path) -> list[Path]:
    """The files that `load_model` reads for a name or path: the weights and the constants beside them."""
    path = EDITIONS.get(str(model)) or Path(model)
    return [path, path.with_suffix(".json")]


def load_model(model: str | Path | Network | TrainedModel = "bundled") -> TrainedModel:
    """The model to analyse with: "bundled" (or another of `EDITIONS`), a path, a network, or one that is loaded already.

    "aligned" is an instrument of its own, for faces that talk: see `inference.talking`.

    A path ends in `.safetensors` (what `save_model` or `checkpoints.save` wrote) or is one of the authors'
    checkpoints.  The constants come from the `.json` file beside it; without one, those of CAS(ME)^3 hold (30
    frames per second, windows of 50, the papers' threshold) and there is no calibrated confidence.

    Raises a `MissingError` or `InputError` that names the file.
    """
    if isinstance(model, TrainedModel):
        return model
    if isinstance(model, Network):
        return TrainedModel(model, features=_features_of(model))
    path = EDITIONS.get(str(model)) or Path(model)
    if path in EDITIONS.values() and not path.is_file():
        recipe = "talking" if path == EDITIONS["aligned"] else "recipe"
        raise MissingError(
            f"{path}: the bundled weights are missing; train them with `python -m metst_core.experiment.{recipe}`"
        )
    if not path.suffix and not path.exists():
        raise MissingError(f"no weights are called {str(model)!r}; use {', '.join(EDITIONS)}, or name a file")
    network = (checkpoints.load if path.suffix == ".safetensors" else checkpoints.load_released)(path)
    constants = path.with_suffix(".json")
    if not constants.is_file():
        return TrainedModel(network, features=_features_of(network), name=path.name)
    return _with_constants(network, constants, path)


def _with_constants(network: Network, path: Path, weights: Path) -> TrainedModel:
    stored = read_sealed(path, "write it with save_model, or take both files from where they came")
    known = stored.pop(_WEIGHTS_HASH, None)
    if known is not None and known != sha256_of(weights):
        raise InputError(
            f"{weights}: these are not the weights that {path.name} was written with (their SHA-256 differs), or they are "
            "damaged; take both files from where they came"
        )
    try:
        calibration = stored.pop("calibration", None)
        trained = TrainedModel(
            network,
            calibration=None if calibration is None else _calibration(**calibration),
            **{name: _checked(name, value) for name, value in stored.items()},
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: not the constants of a model ({reason(error)}); write it with save_model"
        ) from error
    if trained.features != _features_of(network):
        raise InputError(
            f"{path}: features is {trained.features!r}, but the network reads {network.in_channels} channels"
        )
    return trained


_WEIGHTS_HASH = "weights_sha256"


def _checked(name: str, value: Any) -> Any:
    """A constant, if it is of its kind; `InputError` names it else."""
    if name == "window":
        return 2 * half_window(number_between(name, value, 2, 10_000))
    if name in ("fps", "p"):
        return number_between(name, value, *((1, 10_000) if name == "fps" else (0, 1)))
    if name == "k_p":
        return whole_number(name, number_between(name, value, 0, 10_000), 0)
    if name == "threshold":
        return None if value is None else number_between(name, value, 0, 1)
    if name in ("synergy", "strategy"):
        return one_of(name, value, SYNERGIES if name == "synergy" else (*STRATEGIES, MOTION, SCORE))
    if name == "judged":
        return {part: number_between(f"judged {part}", value[part], 0, 1e6) for part in PARTS}
    if name == "phases":
        return whole_number(name, number_between(name, value, 1, 10_000), 1)
    wanted = Mapping if name == "card" else str
    if not isinstance(value, wanted):
        raise InputError(
            f"{name} is a {type(value).__name__}; it must be {'an object' if name == 'card' else 'a text'}"
        )
    return value


def _calibration(slope: Any, intercept: Any, evidence: Any = None) -> Calibration:
    if not isinstance(evidence or {}, Mapping):
        raise InputError("evidence must be an object")
    return Calibration(
        number_between("slope", slope, -1e6, 1e6),
        number_between("intercept", intercept, -1e6, 1e6),
        evidence or {},
    )


def _features_of(network: Network) -> str:
    if isinstance(network, PartsNetwork):
        return "metst_plus"  # the ROIs whose motion is told beside what it reads
    for features in FEATURES:
        if network.in_channels == 2 * len(roi_names(features)):
            return features
    raise InputError(
        f"the network reads {network.in_channels} channels; ROI motion has "
        + ", ".join(f"{2 * len(roi_names(features))} ({features})" for features in FEATURES)
    )
