"""The section of the model card on the weights "aligned": every sentence is made from the numbers stored beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metst_core.files import write_between
from metst_core.inference import TrainedModel

CARD_MARKS = ("<!-- talking: written by metst_core.experiment.talking -->", "<!-- end of talking -->")

GOAL, MOST_FALSE = 0.5, 1.0
"""What was aimed at in interviews: this share of the plain movements of the judged upper face touched, at so many false finds
per judged minute."""

ENOUGH = 30
"""Movements from which on a share is more than a hint."""

PLAIN = 0.012
"""Movements of this strength or more are plain (inter-ocular distances)."""

_TRIAL = "`--weights aligned` is a trial for faces that talk: look at what it finds, do not count it."

_NAMES = {"upper": "upper face (brows, lids)", "lower": "lower face (nose, mouth, chin)"}


def write_card(model: TrainedModel, path: Path) -> Path:
    """Put the section between its marks in the model card."""
    return write_between(CARD_MARKS, "\n".join(section(model)), path)


def section(model: TrainedModel) -> list[str]:
    """The section, in words."""
    card = model.card
    told, recipe = card["report"], card["recipe"]
    talking, calm, rival = told["planted"], told["calm"], told.get("calm_bundled")
    gains = ", ".join(f"{row['gain']:.2f} ({row['correlation']:.2f})" for row in card["gain"])
    gates = ", ".join(
        f"{part} {value:.2f}" if value > 0 else f"{part}: never"
        for part, value in (model.judged or {}).items()
    )
    return [
        f"Trained on {card['minutes']:.1f} minutes of {sum(each['n_subjects'] for each in recipe['train'])} synthetic persons, mostly "
        "interviews, with micro-expressions planted in feature space in endless draws, and macro-expressions as what is not to be found. Against movements planted in pixels the "
        f"planted features have a gain (and correlation) of {gains} for steps of 1, 4 and 8 frames. "
        f"{recipe['choose']['n_subjects']} other persons chose the threshold and the gates (unrest in pixels of the aligned crop, "
        f"over which a part is not judged: {gates}); {recipe['report']['n_subjects']} more decided nothing and are reported here, "
        "with fixed thresholds. In brackets: 95% intervals over persons.",
        "",
        "| films | judged, upper | judged, lower | false finds per judged minute | touched of the same truth half a film later |",
        "|---|---|---|---|---|",
        _film_row("interviews, as they are (with rendered micro-expressions)", told["rendered"]),
        _film_row(f"the same, movements planted in pixels, {recipe.get('turns', 1)} times", talking),
        _film_row("calm", calm),
        *([_film_row("calm, with the weights `bundled`", rival)] if rival else []),
        "",
        "Touched (the apex of a find lies in the movement); in the judged columns those whose own part was judged at their apex:",
        "",
        "| leading part | strength, IOD | interviews, planted: judged | all | rendered: judged | all | calm: judged | calm, `bundled`: all |",
        "|---|---|---|---|---|---|---|---|",
        *_strength_rows([talking, told["rendered"], calm, rival]),
        "",
        _goal(told["interview"]),
        "",
        _missed(model, told["interview"]),
        "",
        _default(calm, rival),
    ]


def _film_row(name: str, numbers: Mapping[str, Any]) -> str:
    false = numbers["false_per_judged_minute"]
    return (
        f"| {name}: {numbers['persons']} persons, {numbers['minutes']:.1f} min | {_per_cent(numbers['judged_upper'])} | "
        f"{_per_cent(numbers['judged_lower'])} | {_with_interval(false, '.1f')} ({false['count']:.0f} in {false['of']:.1f} min) | "
        f"{_count(numbers['shifted'])} |"
    )


def _strength_rows(every: Sequence[Mapping[str, Any] | None]) -> list[str]:
    planted, rendered, calm, rival = every
    assert planted is not None and rendered is not None and calm is not None
    rows = []
    for i, row in enumerate(planted["rows"]):
        strength = f"{row['from']:g} to {row['to']:g}" if row["to"] < 1 else f"{row['from']:g} and more"
        cells = [
            _count(row["judged"]), _count(row["all"]), _count(rendered["rows"][i]["judged"]), _count(rendered["rows"][i]["all"]),
            _count(calm["rows"][i]["judged"]), _count(rival["rows"][i]["all"]) if rival else "not measured",
        ]  # fmt: skip
        rows.append(f"| {_NAMES[row['part']]} | {strength} | " + " | ".join(cells) + " |")
    return rows


def _plain(numbers: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    [row] = [
        row for row in numbers["rows"] if row["part"] == part and row["from"] == PLAIN and row["to"] == 1.0
    ]
    return row


def _goal(numbers: Mapping[str, Any]) -> str:
    """Whether what was aimed at was reached."""
    share, false = _plain(numbers, "upper")["judged"], numbers["false_per_judged_minute"]
    if not share["of"] or not false["of"]:
        return "No plain movement of the upper face lay where it is judged, so whether what was aimed at is reached is unknown."
    short = ["too few are touched"] * (share["value"] < GOAL) + ["too many finds are false"] * (
        false["value"] > MOST_FALSE
    )
    how = f"missed, since {' and '.join(short)}" if short else "reached"
    sure = "" if share["of"] >= ENOUGH else f" With {share['of']:.0f} movements that is hardly a measurement."
    return (
        f"Aimed at in interviews (planted and rendered together): {GOAL:.2f} of the upper face's movements of {PLAIN:g} IOD and more "
        "touched where it is judged, at "
        f"{MOST_FALSE:.1f} false finds per judged minute. Measured: {_with_interval(share, '.2f')} at {_with_interval(false, '.1f')}: "
        f"{how}.{sure}"
    )


def _missed(model: TrainedModel, numbers: Mapping[str, Any]) -> str:
    """What is missed, and why."""
    limits = model.judged or {}
    said = []
    for part in ("upper", "lower"):
        rows = _plain(numbers, part)
        every, judged = rows["all"], rows["judged"]
        unseen = every["of"] - judged["of"] - (every["count"] - judged["count"])
        text = (
            f"Of {every['of']:.0f} plain movements of the {part} face {every['of'] - every['count']:.0f} are missed: {unseen:.0f} "
            f"lie where it is not judged, "
        )
        if limits.get(part, 0) <= 0:
            text += "as it never is: on the persons who chose no gate left enough of them to be found"
        else:
            text += f"{judged['of'] - judged['count']:.0f} where it is, with a score below the threshold that keeps false finds rare"
        said.append(text + ".")
    weak = [row for row in numbers["rows"] if row["to"] == PLAIN]
    count, n = (sum(row["all"][what] for row in weak) for what in ("count", "of"))
    reason = (
        ": a step of 8 frames then moves about a pixel of the aligned crop, as the face does anyway"
        if count < GOAL * n
        else ""
    )
    said.append(
        f"Below {PLAIN:g} IOD {count:.0f} of {n:.0f} are touched{reason}. Films of real persons who talk were not among these tests."
    )
    return " ".join(said)


def _default(calm: Mapping[str, Any], rival: Mapping[str, Any] | None) -> str:
    """Which weights are the default, and why."""
    if rival is None:
        return f"The default of `analyse` stays `bundled`: the two were not compared on the same calm films. {_TRIAL}"

    def total(numbers: Mapping[str, Any]) -> tuple[float, float]:
        rows = [_plain(numbers, part)["all"] for part in ("upper", "lower")]
        n = sum(row["of"] for row in rows)
        return (sum(row["count"] for row in rows) / n if n else math.nan), _rate(numbers)

    (mine, false), (theirs, their_false) = total(calm), total(rival)
    better = mine >= theirs and false <= their_false
    why = (
        "no worse on these few minutes; the default stays `bundled` until that holds on more of them"
        if better
        else "the default of `analyse` stays `bundled`"
    )
    return (
        f"On calm films the weights `aligned` touch {mine:.2f} of the plain movements at {false:.1f} false finds per judged minute, "
        f"`bundled` {theirs:.2f} at {their_false:.1f}: {why}. {_TRIAL}"
    )


def _rate(numbers: Mapping[str, Any]) -> float:
    false = numbers["false_per_judged_minute"]
    return float(false["value"]) if false["of"] else math.nan


def _per_cent(ratio: Mapping[str, float]) -> str:
    return f"{ratio['value']:.0%} [{ratio['low']:.0%}, {ratio['high']:.0%}]"


def _with_interval(ratio: Mapping[str, float], form: str) -> str:
    if not ratio["of"]:
        return "unknown"
    return f"{ratio['value']:{form}} [{ratio['low']:{form}}, {ratio['high']:{form}}]"


def _count(ratio: Mapping[str, float]) -> str:
    """How many of how many, and the share with its interval."""
    if not ratio["of"]:
        return "-"
    return f"{ratio['count']:.0f} of {ratio['of']:.0f}, {_with_interval(ratio, '.2f')}"
