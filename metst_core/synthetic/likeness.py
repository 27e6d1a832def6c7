"""Are the plans like life?  Every quantity that has a real value, with its source, beside that of a set of plans.

What only pictures can tell (motion left in the regions, landmark jitter) is measured in `from_pictures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from metst_core.checks import as_path
from metst_core.errors import MissingError
from metst_core.synthetic.annotators import agreement
from metst_core.synthetic.priors import Prior

COLUMNS = ("quantity", "unit", "real", "source", "median", "low", "high")

_COUNTED = "counted from the published coding sheets"
_TPAMI = "Li et al., IEEE TPAMI 2022, abstract"
_FG20 = "Yap et al., arXiv 1911.01519"
_BLINKS = "Bentivoglio et al., Movement Disorders, 1997"
_CLIPS = "measured on short public clips, not citable"
_UNKNOWN = "no source known; assumed"


def read_tables(root: str | Path) -> dict[str, pd.DataFrame]:
    """The tables of a generated set, as `films.film_tables` makes them: path in the set -> table."""
    root = as_path("root", root)
    names = [
        f"truth/{name}.csv" for name in ("micro_expressions", "distractors", "annotator_1", "annotator_2")
    ]
    tables = {}
    for name in ("videos.csv", *names):
        if (root / name).is_file():
            tables[name] = pd.read_csv(
                root / name, dtype={"subject": str, "video": str}, keep_default_na=False
            )
        elif "annotator" not in name:
            raise MissingError(
                f"{root / name}: no such file; generate the set with `metst synth` (or `generate`)"
            )
    return tables


def likeness(tables: Mapping[str, pd.DataFrame], prior: Prior) -> pd.DataFrame:
    """A set's tables (`films.film_tables`) beside what is known of real ones: columns `COLUMNS`.

    `median`, `low`, `high` are the set's own: median, 5% and 95% quantile, or a single number in `median` where
    there is one for the whole set.  Real lengths, labels and the like are those of the prior's sheets.  The tables may
    be those of version 1 (`manners.plan_tables`), which have no annotators and labels of their own making.
    """
    micro, videos = tables["truth/micro_expressions.csv"], tables["videos.csv"]
    distractors = tables["truth/distractors.csv"]
    fps = float(videos["fps"].iloc[0])
    minutes = (videos["n_frames"] / videos["fps"] / 60).groupby(videos["subject"]).sum()
    length = micro["offset"] - micro["onset"]
    aus = micro["action_units"].map(_aus)
    per_person = micro.groupby("subject").size().reindex(minutes.index, fill_value=0)
    blinks = distractors[distractors["kind"] == "blink"].groupby("subject").size()
    macro = (distractors["kind"] == "macro").sum()
    strength = micro["strength"].astype(float)
    annotators = [
        tables[name] for name in ("truth/annotator_1.csv", "truth/annotator_2.csv") if name in tables
    ]
    spotting = recognition = named = float("nan")
    if annotators:
        between = agreement(*annotators)
        spotting, recognition = between.spotting_f1, between.recognition_f1
        named = prior.named_right_at_best()

    def sheets(of: str) -> str:
        return "; ".join(f"{sheet.name}: {_SHEET_TEXT[of](sheet)}" for sheet in prior.sheets)

    rows = [
        ("ME length", "s", sheets("seconds"), _COUNTED, *_quantiles(length / fps)),
        (
            "share of the length before the apex", "1", sheets("before_apex"), _COUNTED,
            *_quantiles((micro["apex"] - micro["onset"]) / length),
        ),
        *(
            (f"MEs with {text} AU{plural}", "1", sheets(text), _COUNTED, *_single(aus.map(len).map(test).mean()))
            for text, plural, test in _HOW_MANY
        ),
        ("one-sided MEs", "1", sheets("one-sided"), _COUNTED, *_single(micro["action_units"].map(_one_sided).mean())),
        (
            "MEs per minute", "1/min", "CAS(ME)^3: about 0.5; SAMM-LV: about 1.8", f"{_TPAMI}; {_FG20}",
            *_single(len(micro) / minutes.sum()),
        ),
        (
            "MEs of a person, over the mean", "1", "CAS(ME)^3: 0.11 to 6.3; SAMM-LV: 0.18 to 3.6", _COUNTED,
            *_quantiles(per_person / per_person.mean()),
        ),
        (
            "macro-expressions per ME", "1", "CAS(ME)^3: 3.1; SAMM-LV: 2.2", f"{_TPAMI}; {_FG20}",
            *_single(macro / max(1, len(micro))),
        ),
        (
            "apex of an ME", "IOD", "0.021 (quartiles 0.017 to 0.035) in short expressions", _CLIPS,
            *_quantiles(strength),
        ),
        (
            "spread of persons' mean apex (standard deviation over mean)", "1", "", _UNKNOWN,
            *_single(_spread(strength.groupby(micro["subject"]).mean())),
        ),
        (
            "blinks per minute", "1/min", "17 at rest, 26 in conversation (means)", _BLINKS,
            *_quantiles(blinks.reindex(minutes.index, fill_value=0) / minutes),
        ),
        ("spotting F1 of one annotator against the other", "1", "", _UNKNOWN, *_single(spotting)),
        ("recognition F1 of one annotator against the other", "1", "", _UNKNOWN, *_single(recognition)),
        (
            "MEs named right from their AU label, at best", "1",
            "the same: the labels are those of the sheets", _COUNTED, *_single(named),
        ),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


_HOW_MANY = (
    ("1", "", lambda n: n == 1),
    ("2", "s", lambda n: n == 2),
    ("3 or more", "s", lambda n: n > 2),
)

_SHEET_TEXT = {
    "seconds": lambda sheet: _middle(sheet.seconds.values),
    "before_apex": lambda sheet: _middle(sheet.before_apex.values),
    "1": lambda sheet: f"{sheet.n_units[0]:.2f}",
    "2": lambda sheet: f"{sheet.n_units[1]:.2f}",
    "3 or more": lambda sheet: f"{sheet.n_units[2]:.2f}",
    "one-sided": lambda sheet: f"{sheet.one_sided:.2f}",
}


def _middle(values: tuple[float, ...]) -> str:
    """Of the ends and five quantiles: the median, and the 5 and 95% quantiles."""
    return f"{values[3]:.2f} ({values[1]:.2f} to {values[5]:.2f})"


def _quantiles(values: pd.Series) -> tuple[float, float, float]:
    if not len(values):
        return _single(np.nan)
    median, low, high = (float(v) for v in np.quantile(values, [0.5, 0.05, 0.95]))
    return median, low, high


def _single(value: float) -> tuple[float, float, float]:
    return float(value), np.nan, np.nan


def _spread(values: pd.Series) -> float:
    return float(values.std() / values.mean())


def _aus(units: str) -> set[str]:
    """The AUs of a table's cell such as "AU12L=0.010000 AU12R=0.008000"."""
    return {part.split("=")[0].rstrip("LR") for part in units.split()}


def _one_sided(units: str) -> bool:
    return {part.split("=")[0][-1] for part in units.split()} in ({"L"}, {"R"})
