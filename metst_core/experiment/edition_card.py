"""The numbers of the second edition in the model card: tables, and what was reached of its goals, made from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metst_core.experiment.instrument import PERCENTILES, falls
from metst_core.files import write_between
from metst_core.metrics import interval_text

EDITION_MARKS = (
    "<!-- edition: written by metst_core.experiment.recipe -->",
    "<!-- end of edition -->",
)
"""Between these two lines of the model card stand the numbers of the second edition."""

_GOAL_STRENGTHS = (0.008, 0.035)


def write_edition_card(card: Mapping[str, Any], path: str | Path) -> Path:
    """Put the numbers between the `EDITION_MARKS` of a Markdown file."""
    return write_between(EDITION_MARKS, "\n".join(lines_of(card)), path)


def lines_of(card: Mapping[str, Any]) -> list[str]:
    """All of it, in Markdown."""
    recipe, told = card["recipe"], card["report"]
    return [
        *_made(card, recipe),
        "",
        *_main_table(told),
        "",
        *_goals(told, card["chosen"], recipe["phases"]),
        "",
        *_strata(told["calm"]),
        "",
        _missed(told["calm"]),
        "",
        *_sizes(told["calm"].get("by_size", [])),
        *_ends(told["calm"]),
        "",
        *_steady(card["chosen"]["steadiness"], recipe["phases"]),
        "",
        *_compared(card["compared"], recipe),
    ]


def _made(card: Mapping[str, Any], recipe: Mapping[str, Any]) -> list[str]:
    seconds = {
        part: sum(s["n_subjects"] * s["seconds"] for s in recipe[part]) for part in ("choose", "report")
    }
    chosen = card["chosen"]
    return [
        f"Trained on {card['subjects']} persons of SynthME 2 ({card['videos']} films, {card['minutes']:.1f} minutes, "
        f"{card['micro_expressions']} micro-expressions of their own; each film again {recipe['planting']['turns']} times with movements "
        f"planted). {_persons(recipe['choose'])} others ({seconds['choose'] / 60:.1f} minutes) chose the network of the candidates below "
        f"({chosen['network']}), half length, ends, threshold ({chosen['threshold']:.3f}, for at most 1 false find per minute of their calm films) and calibration; "
        f"{_persons(recipe['report'])} more ({seconds['report'] / 60:.1f} minutes) decided nothing and gave the numbers below. "
        "In brackets: 95% intervals over persons (Student's t with a jackknife)."
    ]


def _persons(sets: Sequence[Mapping[str, Any]]) -> int:
    return len({s["first_subject"] + i for s in sets for i in range(s["n_subjects"])})


_NAMES = {
    "interview, judged": "interview, where it is judged",
    "interview, judged, at the rate": "the same, at a threshold for 2 false finds per judged minute of those who chose",
}


def _main_table(told: Mapping[str, Any]) -> list[str]:
    rows = [
        "| films | MEs | touched | found (IoU .5) | false finds per minute | judged |",
        "|---|---|---|---|---|---|",
    ]
    for kind, numbers in told.items():
        rows.append(
            f"| {_NAMES.get(kind, kind)} | {numbers['n']} | {_share(numbers['touched'])} | {_share(numbers['found'])} | "
            f"{_rate(numbers['false_per_minute'])} | {numbers['judged']:.0%} |"
        )
    return [
        *rows,
        "",
        "*Touched*: the apex of a find lies in it. Where only judged time counts, MEs and minutes are those judged.",
    ]


def _share(part: Mapping[str, float]) -> str:
    return interval_text(part["share"], part["low"], part["high"])


def _rate(part: Mapping[str, float]) -> str:
    return f"{part['rate']:.1f} [{part['low']:.1f}, {part['high']:.1f}]"


LEAST = 10
"""Of fewer MEs no share is held against a goal."""


def goals_of(
    told: Mapping[str, Any], chosen: Mapping[str, Any], phases: int
) -> list[tuple[str, float, float, str]]:
    """Every goal: its name, the goal, what was measured, and "reached", "not reached" or that there are too few MEs to say."""
    rows: list[tuple[str, float, float, str]] = []

    def add(name: str, goal: float, value: float, is_most: bool = False, n: int = LEAST) -> None:
        good = value <= goal if is_most else value >= goal
        verdict = f"too few to say ({n})" if n < LEAST else "reached" if good else "not reached"
        rows.append((name, goal, value, verdict))

    if "calm sammlv" in told:
        low, high = _GOAL_STRENGTHS
        strata = told["calm sammlv"]["by_strength"]
        inside = [s for s in strata if s["above"] >= low and s["to"] is not None and s["to"] <= high]
        n = sum(s["n"] for s in inside)
        share = sum(s["found"]["hits"] for s in inside) / max(n, 1)
        add("calm, sammlv, .008 to .035 IOD: found", 0.8, share, n=n)
        rate = told["calm sammlv"]["false_per_minute"]["rate"]
        add("calm, sammlv: false finds per minute, at most", 1.0, rate, is_most=True)
    if "calm casme3" in told:
        numbers = told["calm casme3"]
        add("calm, casme3: touched", 0.8, numbers["touched"]["share"], n=numbers["n"])
        add("calm, casme3: found", 0.6, numbers["found"]["share"], n=numbers["n"])
        rate = numbers["false_per_minute"]["rate"]
        add("calm, casme3: false finds per minute, at most", 1.0, rate, is_most=True)
    n_falls = len(falls(told["calm"]["by_strength"]))
    add("strata in which recall falls with strength beyond its interval, at most", 0, n_falls, is_most=True)
    if "interview, judged, at the rate" in told:
        numbers = told["interview, judged, at the rate"]
        add("interview, judged: touched", 0.4, numbers["touched"]["share"], n=numbers["n"])
        rate = numbers["false_per_minute"]["rate"]
        add("interview: false finds per judged minute, at most", 2.0, rate, is_most=True)
        add("interview: share of the time judged", 1 / 3, numbers["judged"])
    [steady] = [row for row in chosen["steadiness"] if row["phases"] == phases]
    n = int(steady["n"])
    add(f"stays found with {phases} phases", 0.9, steady["stays"], n=n)
    add(
        f"standard deviation of the score with {phases} phases, at most",
        0.08,
        steady["sd"],
        is_most=True,
        n=n,
    )
    return rows


def _goals(told: Mapping[str, Any], chosen: Mapping[str, Any], phases: int) -> list[str]:
    rows = goals_of(told, chosen, phases)
    return [
        f"Goals that were set beforehand, {sum(row[-1] == 'reached' for row in rows)} of {len(rows)} reached:",
        "",
        "| goal | set | measured | |",
        "|---|---|---|---|",
        *(f"| {name} | {goal:.2f} | {value:.2f} | {verdict} |" for name, goal, value, verdict in rows),
    ]


def _strata(numbers: Mapping[str, Any]) -> list[str]:
    rows = ["| calm films, MEs by | from | to | n | touched | found |", "|---|---|---|---|---|---|"]
    for name, key in (
        ("strength, IOD", "by_strength"),
        ("length, frames", "by_length"),
        ("ROI motion around it, pixels of the crop", "by_unrest"),
    ):
        rows += [
            f"| {name} | {s['above']:g} | {'' if s['to'] is None else format(s['to'], 'g')} | {s['n']} | {_share(s['touched'])} | "
            f"{_share(s['found'])} |"
            for s in numbers[key]
        ]
    return rows


WEAK, RESTLESS = 0.012, 1.5
"""Weaker movements (IOD) and more ROI motion (pixels of the crop) are named as reasons where something is missed."""


def _missed(numbers: Mapping[str, Any]) -> str:
    """How many are missed, and how many of them are weak or lie where the face moves."""

    def missed(strata: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        return sum(s["n"] - s["touched"]["hits"] for s in strata), sum(s["n"] for s in strata)

    weak, n_weak = missed([s for s in numbers["by_strength"] if (s["to"] or 1.0) <= WEAK])
    moving, n_moving = missed([s for s in numbers["by_unrest"] if s["above"] >= RESTLESS])
    every, n = missed(numbers["by_strength"])
    return (
        f"Of {n} micro-expressions of calm films {every} are not touched: {weak} of the {n_weak} that are weaker than {WEAK:g} IOD, and {moving} of the "
        f"{n_moving} around which the ROIs move by more than {RESTLESS:g} pixels (one can be both)."
    )


def _sizes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    return [
        "The films of the first set, as they are and scaled down:",
        "",
        "| pixels from eye to eye | MEs | touched | found |",
        "|---|---|---|---|",
        *(
            f"| {row['eye_distance']:.0f} | {row['n']} | {_share(row['touched'])} | {_share(row['found'])} |"
            for row in rows
        ),
        "",
    ]


def _ends(numbers: Mapping[str, Any]) -> list[str]:
    ends = "; ".join(
        f"{name} " + " ".join(f"{v:+.0f}" for v in numbers[f"{name}_error"]) for name in ("onset", "offset")
    )
    brier = f"{numbers['brier']:.3f}" if numbers["brier"] is not None else "unknown"
    return [
        f"Errors of the ends of what was touched, in frames at 30 per second, percentiles {', '.join(map(str, PERCENTILES))} "
        f"(calm films, n = {numbers['n_lengths']}): {ends}.",
        "",
        f"Confidence, of candidates in judged frames of calm films: expected calibration error "
        f"{numbers['expected_calibration_error']:.3f}, Brier score {brier}.",
    ]


def _steady(rows: Sequence[Mapping[str, Any]], phases: int) -> list[str]:
    return [
        "How much the score hangs on where windows begin (persons that chose, calm films; the standard deviation of the highest score "
        "in a micro-expression over five starts, and how often it stays above the threshold):",
        "",
        "| phases | standard deviation | stays found |",
        "|---|---|---|",
        *(
            f"| {row['phases']}{' (used)' if row['phases'] == phases else ''} | {row['sd']:.3f} | {row['stays']:.2f} |"
            for row in rows
        ),
    ]


_COMPARED = {
    "calm touched": "calm: touched", "calm found": "calm: found", "interview touched": "interview: touched"
}  # fmt: skip


def _compared(compared: Mapping[str, Mapping[str, float]], recipe: Mapping[str, Any]) -> list[str]:
    names = [name for name in _COMPARED if all(name in row for row in compared.values())]
    return [
        f"What was tried, each alone, with {recipe['trial_passes']:,} windows seen (the edition saw {recipe['passes']:,}), on the persons "
        "that chose: calm films, the mean over thresholds for .5, 1 and 2 false finds per minute"
        + ("; interviews at 2 per judged minute:" if "interview touched" in names else ":"),
        "",
        f"| network and training | {' | '.join(_COMPARED[name] for name in names)} |",
        "|" + "---|" * (len(names) + 1),
        *(f"| {name} | " + " | ".join(f"{row[key]:.2f}" for key in names) + " |" for name, row in compared.items()),
    ]  # fmt: skip
