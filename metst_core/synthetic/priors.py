"""How micro-expressions are distributed: coding sheets as numbers, and the named priors made from them.

The numbers of a `Sheet` were counted from the published coding sheets of CAS(ME)^3 and SAMM-LV (aggregates; no
row of a sheet is here).  Each holds five quantiles; the ends of a distribution are not in that count and are
*assumed*, as is all that is marked so.  AU38 (17 of the CAS(ME)^3 labels under "others", 5 under "happy") is
left out: the faces have no such unit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metst_core.checks import number_between, one_of
from metst_core.synthetic.action_units import ACTION_UNITS
from metst_core.synthetic.draws import Quantiles, Stream, five_numbers
from metst_core.tables import EMOTIONS

Labels = Mapping[tuple[int, ...], float]
"""AU label, as a tuple of FACS numbers -> how often it was given."""


@dataclass(frozen=True)
class Sheet:
    """What one coding sheet says.

    `seconds`: length, onset to offset; `before_apex`: share of the length before the apex; `n_units`: shares
    of the labels with 1, 2 and 3 or more AUs; `one_sided`: share of the labels on one side of the face;
    `emotions`: counts; `causes`: emotion -> name -> (count, its most frequent labels).
    """

    name: str
    seconds: Quantiles
    before_apex: Quantiles
    n_units: tuple[float, float, float]
    one_sided: float
    emotions: Mapping[str, float]
    causes: Mapping[str, Mapping[str, tuple[float, Labels]]]

    def labels(self) -> Iterator[tuple[str, str, tuple[int, ...], float]]:
        """Emotion, cause, AUs and share of every label listed; the shares add up to 1."""
        total = sum(self.emotions.values())
        for emotion, causes in self.causes.items():
            of_causes = sum(count for count, _ in causes.values())
            for cause, (count, labels) in causes.items():
                listed = sum(labels.values())
                for aus, times in labels.items():
                    share = self.emotions[emotion] / total * count / of_causes * times / listed
                    yield emotion, cause, aus, share


def two_sided(aus: tuple[int, ...]) -> bool:
    """Whether every one of the AUs has a left and a right (a label of others cannot be one-sided)."""
    return all(ACTION_UNITS[au].bilateral for au in aus)


_DISGUST: Labels = {(4,): 152, (4, 9): 14, (24,): 12, (14,): 8, (9,): 8, (7,): 7}
_FEAR: Labels = {(4,): 33, (14,): 11, (1, 2): 5, (1,): 4, (20,): 3, (24,): 3}
_SAD: Labels = {(14,): 19, (4,): 13, (1,): 7, (17,): 3}

CASME3 = Sheet(
    "CAS(ME)^3",
    # quantiles counted (859 MEs, 30 fps); ends assumed: 4 frames, and the 2.4 s above which 5% lie in the sheet
    seconds=five_numbers(0.13, (0.27, 0.47, 0.70, 1.10, 2.33), 2.4),
    before_apex=five_numbers(0.0, (0.0, 0.18, 0.29, 0.42, 0.60), 0.9),
    n_units=(0.78, 0.19, 0.03),
    one_sided=0.10,
    emotions={"negative": 457, "positive": 55, "surprise": 187, "others": 160},
    causes={
        "negative": {
            "anger": (64, {(14,): 36, (1,): 7, (4,): 4, (7,): 3}),
            "disgust": (250, _DISGUST),
            "fear": (86, _FEAR),
            "sadness": (57, _SAD),
        },
        "positive": {"happiness": (55, {(14,): 19, (24,): 9, (4,): 5, (12,): 4})},
        "surprise": {"surprise": (187, {(1, 2): 74, (5,): 35, (4,): 15, (1,): 13, (2,): 5})},
        "others": {"others": (160, {(14,): 48, (24,): 10, (4,): 9, (1, 2): 8, (17,): 7})},
    },
)
"""CAS(ME)^3, part A (Li et al., IEEE TPAMI 2022); labels on one side count with their AU."""

SAMM_LV = Sheet(
    "SAMM-LV",
    seconds=five_numbers(0.20, (0.21, 0.28, 0.38, 0.45, 0.49), 0.50),
    before_apex=five_numbers(0.15, (0.25, 0.36, 0.44, 0.56, 0.75), 0.90),
    n_units=(0.68, 0.25, 0.07),
    one_sided=0.26,
    emotions={"negative": 92, "positive": 26, "surprise": 15, "others": 26},
    causes={
        # SAMM's leading labels without counts: each equally often, assumed.  The 35 negative MEs beyond anger
        # have no list there and take that of CAS(ME)^3, assumed.
        "negative": {
            "anger": (57, {(7,): 1, (4,): 1}),
            "disgust": (20, _DISGUST),
            "fear": (8, _FEAR),
            "sadness": (7, _SAD),
        },
        "positive": {"happiness": (26, {(12,): 1})},
        "surprise": {"surprise": (15, {(5,): 1, (1, 2): 1})},
        "others": {"others": (26, {(2,): 1, (24,): 1})},
    },
)
"""SAMM-LV (Yap et al., FG 2020; SAMM: Davison et al., 2018)."""


LABEL_UNITS = tuple(sorted({au for s in (CASME3, SAMM_LV) for *_, aus, _ in s.labels() for au in aus}))
"""The AUs that micro-expressions are made of."""


ME_STRENGTH = Quantiles((0, 0.25, 0.5, 0.75, 0.95, 1), (0.004, 0.008, 0.012, 0.018, 0.028, 0.035))
"""Apex of the leading unit, IOD.  The range and the skew are assumed: nobody has measured it on licensed data.
Short real expressions that resemble CASME II moved by .021 at the median (quartiles .017, .035; blinks included)."""

MACRO_STRENGTH = Quantiles((0, 0.25, 0.5, 0.75, 0.95, 1), (0.03, 0.045, 0.06, 0.08, 0.11, 0.13))
"""Assumed: a clearly visible expression."""

MACRO_SECONDS = Quantiles((0, 0.25, 0.5, 0.75, 0.95, 1), (0.5, 0.9, 1.4, 2.2, 3.6, 4.0))
"""Assumed, within the half second to four seconds of Ekman (Telling Lies, 1985)."""


@dataclass(frozen=True)
class Prior:
    """A named way to draw micro-expressions.

    * `sheets`: each ME follows one of these, drawn equally often
    * `longest`: no ME is longer, seconds
    * `me_per_minute`: mean number per minute, over all persons and films
    * `strength`: apex of the leading unit, IOD
    * `macro_strength`: the same of macro-expressions
    * `macro_longest`: no macro-expression is longer, seconds
    * `macro_per_me`: macro-expressions per ME, 2 or more; two of them use the AUs of the ME, what is above
      two has nothing to do with MEs and comes in films without any as well
    * `rate_spread`: how far persons differ in their number of MEs: 1 as in the sheets, 0 not at all
    * `emotions`: weights that replace those of the sheet, if any
    * `source`: where these numbers come from
    """

    name: str
    sheets: tuple[Sheet, ...]
    longest: float
    me_per_minute: float
    macro_per_me: float
    rate_spread: float
    emotions: Mapping[str, float] | None
    source: str
    strength: Quantiles = ME_STRENGTH
    macro_strength: Quantiles = MACRO_STRENGTH
    macro_longest: float = MACRO_SECONDS.values[-1]

    @property
    def shortest(self) -> float:
        """No ME is shorter, seconds."""
        return min(sheet.seconds.values[0] for sheet in self.sheets)

    def seconds(self, sheet: Sheet, rank: float) -> float:
        """A length by its rank (0..1) among the lengths up to `longest`."""
        return sheet.seconds.at(rank * sheet.seconds.share_below(self.longest))

    def emotion_weights(self, sheet: Sheet) -> tuple[float, ...]:
        """Weights of the four emotions, in the order of `EMOTIONS`."""
        weights = self.emotions or sheet.emotions
        return tuple(weights[emotion] for emotion in EMOTIONS)

    def label_shares(self) -> dict[tuple[int, ...], dict[str, float]]:
        """Listed AU label -> emotion -> share of all MEs (shares of all add up to 1)."""
        shares: dict[tuple[int, ...], dict[str, float]] = {}
        for sheet in self.sheets:
            weights = dict(zip(EMOTIONS, self.emotion_weights(sheet), strict=True))
            of_sheet = sum(sheet.emotions.values())
            for emotion, _, aus, share in sheet.labels():
                factor = weights[emotion] / sum(weights.values()) / (sheet.emotions[emotion] / of_sheet)
                row = shares.setdefault(aus, dict.fromkeys(EMOTIONS, 0.0))
                row[emotion] += share * factor / len(self.sheets)
        return shares

    def named_right_at_best(self) -> float:
        """Share of MEs named right by somebody who sees the AU label and always says what it mostly means.

        Over the labels listed: for SAMM-LV, whose list is short, it says too much.
        """
        return sum(max(row.values()) for row in self.label_shares().values())


_CASME3_COUNTS = (
    "1,109 MEs and 3,490 macro-expressions; 8 million frames at 30 per second, of which 4 million in unlabelled "
    "films: about 2,200 labelled minutes (abstract of Li et al., IEEE TPAMI 2022)"
)

PRIORS: dict[str, Prior] = {
    prior.name: prior
    for prior in (
        Prior(
            "casme3", (CASME3,), 2.4, me_per_minute=0.5, macro_per_me=3.1,
            rate_spread=1.0, emotions=None, source=_CASME3_COUNTS,
        ),
        Prior(
            "sammlv", (SAMM_LV,), 0.5, me_per_minute=1.8, macro_per_me=2.2,
            rate_spread=1.0, emotions=None,
            source="159 MEs, 343 macro-expressions in 147 films of 35.5 s (Yap et al., arXiv 1911.01519)",
        ),
        Prior(
            "dense", (CASME3, SAMM_LV), 1.0, me_per_minute=12.0, macro_per_me=2.0,
            rate_spread=0.3, emotions={"negative": 2, "positive": 1, "surprise": 1, "others": 1},
            source="lengths of both sheets, cut at 1 s; the rest assumed, for learning",
            strength=Quantiles((0, 0.25, 0.5, 0.75, 0.95, 1), (0.004, 0.020, 0.026, 0.030, 0.034, 0.035)),
            macro_strength=Quantiles((0, 0.25, 0.5, 0.75, 0.95, 1), (0.08, 0.09, 0.10, 0.11, 0.125, 0.13)),
            macro_longest=0.8,
        ),
    )
}  # fmt: skip
"""The priors, by name."""


def prior_named(name: str) -> Prior:
    """The prior of this name; an `InputError` that lists the names for any other."""
    return PRIORS[one_of("prior", name, PRIORS)]


_LEAST_AND_MOST = {"me_per_minute": (0.0, 60.0), "macro_per_me": (2.0, 20.0), "rate_spread": (0.0, 1.0)}
"""The numbers of a prior that can be changed by name."""


def prior_of(prior: str | Prior, knobs: dict[str, Any]) -> tuple[Prior, dict[str, Any]]:
    """A prior with those of its numbers that are among `knobs` changed, and the other knobs."""
    drawn = prior if isinstance(prior, Prior) else prior_named(prior)
    own: dict[str, Any] = {
        name: number_between(name, value, *_LEAST_AND_MOST[name])
        for name, value in knobs.items()
        if name in _LEAST_AND_MOST
    }
    rest = {name: value for name, value in knobs.items() if name not in own}
    return dataclasses.replace(drawn, **own) if own else drawn, rest


@dataclass(frozen=True)
class _Completion:
    """How often a listed label gets one and two AUs more, and a two-sided one is drawn on one side.

    The lists hold the most frequent labels only, mostly of one AU; these chances bring the shares of the whole
    sheet about.
    """

    one_more: float
    two_more: float
    one_sided: float


def completion(sheet: Sheet) -> _Completion:
    """The chances for the labels of this sheet."""
    listed = list(sheet.labels())
    single = sum(share for *_, aus, share in listed if len(aus) == 1)
    sided = sum(share for *_, aus, share in listed if two_sided(aus))
    two, more = sheet.n_units[1:]
    return _Completion(
        one_more=max(0.0, two - (1 - single)) / single,
        two_more=more / single,
        one_sided=sheet.one_sided / sided,
    )


def draw_label(
    draw: Stream, sheet: Sheet, emotion: str, liking: Mapping[int, float]
) -> tuple[str, tuple[int, ...], bool]:
    """Cause, AUs (the leading one first) and whether one-sided, of an ME of this emotion.

    `liking` is how much more often than others a person uses an AU (1 where it says nothing).
    """
    causes = sheet.causes[emotion]
    cause = draw.weighted(tuple(causes), [count for count, _ in causes.values()])
    labels = causes[cause][1]

    def liked(aus: tuple[int, ...]) -> float:
        return sum(liking.get(au, 1.0) for au in aus) / len(aus)

    aus: tuple[int, ...] = draw.weighted(tuple(labels), [n * liked(a) for a, n in labels.items()])
    chances = completion(sheet)
    mark, side = draw.uniform(), draw.uniform()
    one_sided = two_sided(aus) and side < chances.one_sided
    if len(aus) == 1 and mark < chances.one_more + chances.two_more:
        for _ in range(1 if mark < chances.one_more else 2):
            aus = _with_companion(draw, sheet, aus, one_sided, liking)
    return cause, aus, one_sided


def _with_companion(
    draw: Stream, sheet: Sheet, aus: tuple[int, ...], one_sided: bool, liking: Mapping[int, float]
) -> tuple[int, ...]:
    """`aus` and one more AU of the sheet that can go with them (no opposite, one-sided if they are)."""
    weights: dict[int, float] = {}
    for *_, label, share in sheet.labels():
        for au in label:
            fits = au not in aus and not any({au, a} in _OPPOSITES for a in aus)
            if fits and (two_sided((au,)) or not one_sided):
                weights[au] = weights.get(au, 0.0) + share * liking.get(au, 1.0)
    return (*aus, draw.weighted(tuple(weights), list(weights.values()))) if weights else aus


_OPPOSITES = ({5, 7}, {12, 17}, {20, 24})
"""Pairs that would pull the same skin against each other; never added to one another."""
