"""metst: learn, run and trust micro-expression analysis with ME-TST and ME-TST+.

    import metst_core as metst

One's own video
    analyse                 the micro-expressions of a video: `metst.analyse("clip.mp4")`
    plant                   micro-expressions of known size and time planted into one's own films
    limits                  how small a micro-expression could be found in a film
    adapt                   a network taught by one's own recordings without micro-expressions

Data
    load_dataset            a set of the field (or synthetic, or one's own folder) as one `Dataset`
    generate                synthetic videos with exact truth

Networks, training, scores
    METST, METSTPlus        the two networks
    leave_one_subject_out   train one network per held-out subject; `LosoResult`
    evaluate                spotting, recognition and STRS of a table of predictions

This machine
    show_versions           versions and what the machine has; paste it into a question
    MetstError              every error that a user can cause

The rooms, in the order in which data flows: `video`, `datasets`, `rois`, `landmarks`, `motion`, `windows`, `extraction`,
`ssm`, `models`, `rivals`, `streaming`, `checkpoints`, `decoding`, `metrics`, `training`, and around them `plots`,
`synthetic`, `inference`, `footage`, `relations`, `experiment`, `pipeline`, `widgets`.  Nothing of this is imported
before it is asked for.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

from metst_core.errors import MetstError
from metst_core.version import __version__

if TYPE_CHECKING:
    from metst_core.cli import show_versions
    from metst_core.datasets import load_dataset
    from metst_core.footage import adapt, limits, plant
    from metst_core.metrics import evaluate
    from metst_core.models import METST, METSTPlus
    from metst_core.pipeline import analyse
    from metst_core.synthetic import generate
    from metst_core.training import leave_one_subject_out

__all__ = [
    "METST",
    "METSTPlus",
    "MetstError",
    "__version__",
    "adapt",
    "analyse",
    "evaluate",
    "generate",
    "leave_one_subject_out",
    "limits",
    "load_dataset",
    "plant",
    "show_versions",
]

_BEHIND = {
    "METST": "metst_core.models",
    "METSTPlus": "metst_core.models",
    "adapt": "metst_core.footage",
    "analyse": "metst_core.pipeline",
    "evaluate": "metst_core.metrics",
    "generate": "metst_core.synthetic",
    "leave_one_subject_out": "metst_core.training",
    "limits": "metst_core.footage",
    "load_dataset": "metst_core.datasets",
    "plant": "metst_core.footage",
    "show_versions": "metst_core.cli",
}
_ROOMS = (
    "checkpoints", "datasets", "decoding", "experiment", "extraction", "footage", "inference", "landmarks", "metrics",
    "models", "motion", "pipeline", "plots", "relations", "rivals", "rois", "ssm", "streaming", "synthetic", "tables", "training",
    "video", "widgets", "windows",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    """A name of the front door, or a room, imported now that it is asked for."""
    if name in _BEHIND:
        value = getattr(importlib.import_module(_BEHIND[name]), name)
    elif name in _ROOMS:
        value = importlib.import_module(f"metst_core.{name}")
    else:
        close = difflib.get_close_matches(name, __dir__(), 1, 0.6)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise AttributeError(
            f"module 'metst_core' has no attribute {name!r}{hint}; it has {', '.join(__dir__())}"
        )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})
