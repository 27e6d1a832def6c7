"""What a run found, in three sentences made from its numbers: what was claimed, what was seen, what could not be told."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metst_core.experiment.comparisons import verdict
from metst_core.experiment.results import read_results
from metst_core.files import write_between
from metst_core.metrics import interval_text
from metst_core.plots import method_label

CLAIMS = (("sliding_window", "metst"), ("metst", "metst_plus"), ("sliding_window", "metst_plus"))
"""Of each pair the papers claim that the second is better, on the faces of CAS(ME)^3 and SAMM-LV."""

FURTHER = (("patch", "metst_plus"), ("motion_threshold", "metst_plus"))
"""What a reader asks next: against a score per frame without a state, and against what was never trained."""

MARKS = ("<!-- the answer of the default run, by `make figures` -->", "<!-- end of the answer -->")


class Answer(NamedTuple):
    """Three sentences."""

    claimed: str
    seen: str
    untold: str


def answer(results: Mapping[str, Any]) -> Answer:
    """The three sentences of a `results.json`, strict protocol.

    What is called better or worse has a paired interval of the STRS without 0 (against the motion threshold, which
    knows no emotions, of the spotting F1); everything else could not be told.
    """
    claims = _pairs(results, CLAIMS)
    told = [text for said, text in claims if said]
    untold = [text for said, text in claims if not said]
    told += [text for said, text in _pairs(results, FURTHER) if said]
    untold += [text for said, text in _pairs(results, FURTHER) if not said]
    data = results["data"]
    on = "synthetic faces" if data["dataset"] == "synthetic" else data["dataset"]
    plus = results["methods"].get("metst_plus", {}).get("strict", {}).get("intervals", {}).get("strs")
    reached = f"ME-TST+ reached an STRS of {interval_text(**plus)}" if plus else "ME-TST+ was not scored"
    seen = f"On {data['subjects']} persons ({on}) {reached}" + (f"; {_joined(told)}." if told else ".")
    elsewhere = "real faces" if on == "synthetic faces" else "other recordings"
    limit = f"what of this holds for {elsewhere}"
    pairs = f"Whether {_joined(untold, 'or')}, and " if untold else ""
    return Answer(
        "On real faces the papers claim that a score for every frame, from a network with a state, beats classifying "
        "sliding windows, and that ME-TST+ beats ME-TST.",
        seen,
        f"{pairs}{limit}, could not be told." if pairs else f"{limit.capitalize()} could not be told.",
    )


def _pairs(results: Mapping[str, Any], pairs: Sequence[tuple[str, str]]) -> list[tuple[bool, str]]:
    """Whether a pair was told apart, and the words for it; pairs that were not compared are left out."""
    found = []
    for a, b in pairs:
        metric = "spotting_f1" if a == "motion_threshold" else "strs"
        for row in results["comparisons"]:
            if (row["protocol"], row["a"], row["b"], row["metric"]) == ("strict", a, b, metric):
                first, second = method_label(b), _the(a)
                said = row.get("verdict") or verdict(row["low"], row["high"])
                words = f"{first} is {said} than {second}"
                if said == "not told apart":
                    words = f"{first} and {second} differ"
                gap = f"{'spotting F1' if metric == 'spotting_f1' else 'STRS'} {row['difference']:+.3f}"
                found.append(
                    (said != "not told apart", f"{words} ({gap} [{row['low']:+.3f}, {row['high']:+.3f}])")
                )
    return found


def _the(name: str) -> str:
    known = {"sliding_window": "the sliding window", "patch": "the patch without a state"}
    return known.get(name, f"the {method_label(name)}" if name == "motion_threshold" else method_label(name))


def _joined(parts: Sequence[str], word: str = "and") -> str:
    """The parts as one list in words.

    >>> _joined(["a", "b", "c"])
    'a, b and c'
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def write_answer(run_dir: str | Path, page: str | Path) -> Path:
    """Put the three sentences of a run between the marks of a page (the README); its path."""
    lines = "\n".join(f"{i}. {sentence}" for i, sentence in enumerate(answer(read_results(run_dir)), 1))
    return write_between(MARKS, lines, page, "put them where the answer goes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=write_answer.__doc__)
    parser.add_argument("run_dir", help="a finished run, such as runs/default")
    parser.add_argument("page", nargs="?", default="README.md")
    options = parser.parse_args()
    print(f"{write_answer(options.run_dir, options.page)}: the answer of {options.run_dir}")
