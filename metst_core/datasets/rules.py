"""What is done with label rows that are not plain, and the report of what was done."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pandas as pd

from metst_core.checks import number_between, one_of

REPORT_COLUMNS = ("file", "row", "problem", "action")
"""A report table: where something was wrong (row as a spreadsheet counts, 0: the file) and what was done."""


class Report:
    """Lines about files and rows that were repaired or left out."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int, str, str]] = []

    def add(self, file: str, row: int, problem: str, action: str) -> None:
        """Add a line; `row` as a spreadsheet counts it, 0 for the whole file."""
        self.lines.append((file, row, problem, action))

    def table(self) -> pd.DataFrame:
        """The lines as a DataFrame `file, row, problem, action`, in order of file and row."""
        lines = sorted(self.lines, key=lambda line: line[:2])
        return pd.DataFrame(lines, columns=list(REPORT_COLUMNS)).astype({"row": "int64"})


@dataclass(frozen=True)
class Rules:
    """What is done with rows that are not plain; the defaults are the published rules, where there is one.

    `onset_zero` (published: drop), `offset_zero` (published: the apex becomes the offset; a missing offset
    counts as 0), `missing_apex` (nothing published depends on it but the offset rule), `past_end` (an
    interval that ends after its video), `duplicates`, `unknown_emotion`, `too_long` (published: kept), an
    interval of more than `longest` seconds, which no micro-expression can be.
    """

    onset_zero: str = "drop"
    offset_zero: str = "apex"
    missing_apex: str = "middle"
    past_end: str = "cut"
    duplicates: str = "drop"
    unknown_emotion: str = "drop"
    too_long: str = "keep"
    longest: float = 5.0

    def __post_init__(self) -> None:
        for name, allowed in RULE_CHOICES.items():
            one_of(name, getattr(self, name), allowed)
        number_between("longest", self.longest, 0, 1e6)


RULE_CHOICES = {
    "onset_zero": ("drop", "first"),
    "offset_zero": ("apex", "drop"),
    "missing_apex": ("middle", "onset", "drop"),
    "past_end": ("cut", "keep", "drop"),
    "duplicates": ("drop", "keep"),
    "unknown_emotion": ("drop", "others"),
    "too_long": ("keep", "drop"),
}

RULES = {
    "official": Rules(),
    "complete": Rules(offset_zero="drop", missing_apex="drop", past_end="drop", too_long="drop"),
}
"""Named rules: `official` as published, `complete` uses only rows that need no repair and can be what they say."""


def choose_rules(rules: str, overrides: dict[str, Any]) -> Rules:
    """The named rules with some of them changed by name."""
    return dataclasses.replace(RULES[one_of("rules", rules, RULES)], **overrides)
