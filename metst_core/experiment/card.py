"""The numbers of the model card: measured on held-out persons, written between two marks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from metst_core.extraction import MotionSet
from metst_core.files import write_between, write_text
from metst_core.inference import TrainedModel
from metst_core.metrics import evaluate, interval_text, score_intervals

CARD_MARKS = ("<!-- numbers: written by metst_core.experiment.recipe -->", "<!-- end of numbers -->")
"""Between these two lines of a model card stand the numbers that `write_card` writes."""

_SCORES = ("spotting_f1", "spotting_precision", "spotting_recall", "recognition_f1", "strs")
"""The table's columns."""

_HEAD = "| rule | spotting F1 | precision | recall | recognition F1 | STRS | TP / FP / FN |"


def measures(predictions: pd.DataFrame, motion: MotionSet) -> dict[str, Any]:
    """Scores, and under `intervals` their 95% intervals over persons; `predictions` go by groups."""
    persons = {f"{subject}_{video}": subject for subject, video in motion.windows}
    annotations = motion.annotations.assign(
        video=motion.annotations["subject"] + "_" + motion.annotations["video"]
    )
    predictions = predictions.assign(subject=predictions["video"].map(persons))
    result = evaluate(predictions, annotations)
    spread = score_intervals(predictions, annotations, motion.subjects).set_index("metric")
    intervals = {name: [float(spread.at[name, "low"]), float(spread.at[name, "high"])] for name in _SCORES}
    counted = {name: getattr(result, name) for name in (*_SCORES, "tp", "fp", "fn")}
    return {**counted, "intervals": intervals}


def write_card(card: Mapping[str, Any], evidence: Mapping[str, Any], path: str | Path) -> Path:
    """Put the numbers of freshly trained weights between the `CARD_MARKS` of the model card, a Markdown file."""
    return write_between(CARD_MARKS, "\n".join(_lines(card, evidence)), path)


def write_own_card(model: TrainedModel, path: str | Path) -> Path:
    """Write the card of weights that somebody trained, as Markdown: on what, how good on persons not seen, how made."""
    return write_text("\n".join(_own_lines(model)) + "\n", path)


def _own_lines(model: TrainedModel) -> list[str]:
    card, fit = model.card, model.calibration
    confidence = "none: too few intervals of persons not seen to tell what a score is worth"
    if fit is not None:
        known = fit.evidence
        confidence = (
            f"fitted on {known['n_intervals']} intervals of persons not seen, {known['n_true']} of them true"
        )
        error, brier = known["expected_calibration_error"], known["brier"]
        if brier is not None:
            confidence += f"; expected calibration error {error:.3f}, Brier score {brier:.3f}, for groups that the fit had not seen"
    train, record = card["recipe"]["train"], card["record"]
    return [
        f"# {model.name}",
        "",
        model.notice,
        "",
        f"Trained on {card['trained_on']}: {card['subjects']} persons, {card['videos']} videos, {card['minutes']:.1f} minutes, "
        f"{card['micro_expressions']} micro-expressions.",
        "",
        f"Measured in {card['recipe']['n_groups']} groups of persons: for each, a network trained in the same way, and the threshold "
        "and the half length, come from the other groups; these weights are one more network, trained on all persons. "
        "In brackets: 95% intervals over persons.",
        "",
        _HEAD,
        "|---|---|---|---|---|---|---|",
        *(_row(rule, measured) for rule, measured in card["held_out"].items()),
        "",
        f"* Threshold {model.threshold:.2f} of the smoothed score; half length {model.k_p} frames; {model.fps:g} frames per "
        f"second; windows of {model.window}; {model.features}; synergy {model.synergy}, strategy {model.strategy}.",
        f"* Confidence: {confidence}.",
        f"* Training: {', '.join(f'{name} {value}' for name, value in train.items())}.",
        f"* Made with {', '.join(f'{name} {version}' for name, version in record['versions'].items())}; Python "
        f"{record['python']}, {record['platform']}, commit {record['commit'] or 'unknown'}.",
        f"* Hash of the weights and constants: {model.identity}",
        "",
        "Use: `metst analyse VIDEO --weights` and the `.safetensors` file beside this one.",
    ]


def _lines(card: Mapping[str, Any], evidence: Mapping[str, Any]) -> list[str]:
    recipe = card["recipe"]
    return [
        f"Trained on {card['subjects']} synthetic persons, {card['videos']} videos, {card['minutes']:.1f} minutes, "
        f"{card['micro_expressions']} micro-expressions (tier {recipe['tier']}, seed {recipe['seed']}). Measured in "
        f"{recipe['n_groups']} groups of persons: for each, a network trained in the same way, the threshold and the half "
        "length come from the other groups (the stored network is one more, trained on all of them). In brackets: 95% "
        "intervals over persons.",
        "",
        _HEAD,
        "|---|---|---|---|---|---|---|",
        *(_row(rule, measured) for rule, measured in card["held_out"].items()),
        "",
        f"Confidence: fitted on {evidence['n_intervals']} candidate intervals, {evidence['n_true']} of them true; expected "
        f"calibration error for groups that the fit had not seen {evidence['expected_calibration_error']:.3f}, Brier "
        f"score {evidence['brier']:.3f}.",
    ]


def _row(rule: str, m: Mapping[str, Any]) -> str:
    scores = [interval_text(m[s], *m["intervals"][s]) for s in _SCORES]
    return " | ".join([f"| {rule}", *scores, f"{m['tp']} / {m['fp']} / {m['fn']} |"])
