"""Ideas of related papers, each as one change of ME-TST+ with an equal budget, in the form of `claims`.

What a paper says is known here from its abstract alone; an experiment takes one idea of it, not the paper's method.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from metst_core.experiment.ablation import Cell
from metst_core.experiment.claims import Claim

BASE = "ME-TST+"


class Paper(NamedTuple):
    """A related paper: what was read, its idea in our words, what it touches here, and what is tried of it.

    `changes` is of the configuration of ME-TST+; where it is empty, `why_not` says why nothing was tried.
    """

    name: str
    title: str
    read: str
    idea: str
    touches: str
    changes: Mapping[str, Any] | None = None
    why_not: str = ""


_ABSTRACT = "abstract"
PAPERS = (
    Paper("prior-guided intervals", "Boosting micro-expression analysis via prior-guided video-level regression (arXiv 2508.18834)",
        "method", "Take the ends of an interval from the score itself, not from a fixed length. One pathway serves both tasks.",
        "decoding; shared pathways", {"strategy": "extensible"}),
    Paper("state transition", "Synergistic spotting and recognition via temporal state transition (arXiv 2409.09707)", "method",
        "Regress a score for every frame by a state-space model.", "the networks: it is ME-TST", {"model": "metst"}),
    Paper("phases", "Improving micro-expression recognition with phase-aware temporal augmentation (2025)", _ABSTRACT,
        "Onset to apex and apex to offset are two phases; treat them separately when making more training samples.",
        "training windows: time before and after the middle of an ME runs at speeds of its own", {"augment": "phases"}),
    Paper("time warp", "the same, without its phases", _ABSTRACT, "Let time run faster or slower.",
        "training windows: one speed for all frames", {"augment": "warp"}),
    Paper("frequency branch", "FAIM: frequency-aware interactive Mamba for time-series classification (2025)", _ABSTRACT,
        "Filter in the frequency domain with learned masks beside the Mamba branches.", "beside the stem", {"variant": "spectral"}),
    Paper("temporal shift", "Three-stream temporal-shift attention network with self-knowledge distillation (2024)", _ABSTRACT,
        "Shift channels along time instead of convolving in three dimensions. Deeper layers teach shallower ones (not tried here).",
        "after the stem", {"variant": "shift"}),
    Paper("bidirectional scan", "no single paper: what a scan from both ends adds", "-", "Read the frames from both ends.",
        "every second block reads backwards", {"variant": "centred"}),
    Paper("tempo", "Slow-fast visual tempo learning (TCM, 2022)", _ABSTRACT,
        "Correlate features over several distances in time to read tempo, then weigh the channels by it.", "after the stem", {"variant": "tempo"}),
    Paper("contrast of ROIs", "Graph-aware contrasting for multivariate time-series classification (2023)", _ABSTRACT,
        "Sensors are nodes; two views with nodes left out should stay alike.", "pre-training without labels", {"pretrain": "contrast"}),
    Paper("near and far", "Short and long range relation based spatio-temporal transformer (2021)", _ABSTRACT,
        "Attend to near frames and to all frames.", "after the stem", {"variant": "attend"}),
    Paper("masked modelling", "EEG-SCMM: soft contrastive masked modelling (2024)", _ABSTRACT,
        "Blank parts of a series and rebuild them; contrast softly (not tried here).", "pre-training without labels", {"pretrain": "masked"}),
    Paper("time scales", "GaitASMS: adaptive structured spatial representation and multi-scale temporal aggregation (2023)", _ABSTRACT,
        "Aggregate over several lengths of time; leave parts out at random.", "after the stem", {"variant": "scales"}),
    Paper("ROIs left out", "the same: its random masks", _ABSTRACT, "Leave parts out at random.", "training windows", {"augment": "masks"}),
    Paper("mean teacher", "PMT: progressive mean teacher (2024)", _ABSTRACT,
        "A running mean of the students teaches them on unlabelled films.",
        "the training persons' windows as if they had no labels, beside those with: a run has no other films", {"pretrain": "teacher"}),
    Paper("memory", "MEMTS: parameterised memory for domain adaptation of time-series models (2026)", _ABSTRACT,
        "A small learned memory holds what is new in a new domain.",
        "after the stem (the memory alone: a run has one camera; `metst adapt` is the present answer to a new one)", {"variant": "memory"}),
    Paper("fuzzy labels", "Spatio-temporal fuzzy-oriented multi-modal meta-learning for fine-grained emotion recognition (2024)", _ABSTRACT,
        "Uncertain labels as memberships; tasks sampled so that few labels suffice.", "soft labels from simulated annotators", None,
        "needs the annotators' tables in training, and several modalities; a set has one. What two annotators of a set "
        "disagree on says how soft its labels are (`synthetic.agreement`)."),
)  # fmt: skip
"""A row per paper or idea, in the order of the notebook."""

IDEAS = tuple(
    Claim(p.name, f"{p.idea.split('. ')[0].rstrip('.')}: better than ME-TST+ without it.", p.title, p.name, BASE, (
        Cell(p.name, BASE, {"model": "metst_plus"}, seeds=3),
        Cell(p.name, p.name, {"model": "metst_plus", **p.changes}, seeds=3),
    ))
    for p in PAPERS if p.changes is not None
)  # fmt: skip
"""What is tried, for `run_claims`: ME-TST+ with and without each idea, three seeds, equal epochs."""


def idea_table() -> pd.DataFrame:
    """The papers as a table `paper, read, idea, touches, tried`."""
    rows = [
        (
            p.title,
            p.read,
            p.idea,
            p.touches,
            _tried(p.changes) if p.changes is not None else f"nothing: {p.why_not}",
        )
        for p in PAPERS
    ]
    return pd.DataFrame(rows, columns=["paper", "read", "idea", "touches", "tried"])


def _tried(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in changes.items())
