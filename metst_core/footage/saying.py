"""Limits in words and as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metst_core.metrics import interval_text

if TYPE_CHECKING:
    from metst_core.footage.findable import Limits
    from metst_core.footage.recall import Curve, Point

GOOD = 0.8
"""The share of which people are told: 8 times out of 10."""

_FEW = 5  # of fewer movements no share is told


def paragraph(limits: Limits) -> str:
    """What could be found, in a paragraph for people; *found* here means that the apex of a find lies in the movement."""
    parts = [_still(limits), _moving(limits), _judged(limits), _as_it_is(limits), _rival(limits)]
    return " ".join(part for part in parts if part)


def iod_text(value: float) -> str:
    """A strength as people read it: ".012"."""
    return f"{value:.3f}".removeprefix("0")


def _size(limits: Limits, strength: float) -> str:
    return f"{strength * limits.iod:.1f} px ({iod_text(strength)} inter-ocular distances)"


def _lasting(limits: Limits) -> str:
    low, high = np.quantile(limits.counted["duration"], [0.25, 0.75])
    return f"lasting {low:.1f} to {high:.1f} s" if f"{low:.1f}" != f"{high:.1f}" else f"lasting {low:.1f} s"


def _still(limits: Limits) -> str:
    share = limits.still_share
    when = (
        f"while the face is still ({share:.0%} of the time)"
        if share < 0.995
        else "(the face is still all the time)"
    )
    curve, rows = limits.still, limits.still_events
    if curve is None:
        return (
            f"In this recording only {len(rows)} of {len(limits.counted)} movements could be planted {when}: too few to say "
            "how small one can be found."
        )
    lasting = _lasting(limits)
    at = curve.strength_at(GOOD)
    if np.isfinite(at.value):
        return (
            f"In this recording a movement of {_size(limits, at.value)} {lasting} would be found 8 times out of 10 {when}"
            f"{_range(limits, at)}."
        )
    weakest, strongest = float(rows["strength"].min()), float(rows["strength"].max())
    if curve(weakest) >= GOOD:
        return (
            f"In this recording even the weakest movement that was planted, of {_size(limits, weakest)} {lasting}, would be "
            f"found 8 times out of 10 {when}."
        )
    half = curve.strength_at(0.5)
    if np.isfinite(half.value):
        return (
            f"In this recording a movement of {_size(limits, half.value)} {lasting} would be found 5 times out of 10 {when}"
            f"{_range(limits, half)}; 8 out of 10 is not reached up to {_size(limits, strongest)}."
        )
    return (
        f"In this recording no movement up to {_size(limits, strongest)} {lasting} would be found every second time, not "
        f"even {when}: {int(rows['touched'].sum())} of {len(rows)} came back."
    )


def _range(limits: Limits, at: Point) -> str:
    """The interval of a strength, where either end is known."""
    low, high = at.low, at.high
    if np.isnan(low) and np.isnan(high):
        return ""
    texts = (iod_text(low) if np.isfinite(low) else "less", iod_text(high) if np.isfinite(high) else "more")
    return f" ({limits.intervals.level:.0%} interval {' to '.join(texts)})"


def _moving(limits: Limits) -> str:
    share = 1 - limits.still_share
    rows = limits.moving_events
    if share < 0.005:
        return ""
    at = limits.still.strength_at(GOOD).value if limits.still is not None else np.nan
    large = rows[rows["strength"] >= at] if np.isfinite(at) else rows
    what = "that large or larger" if np.isfinite(at) else "of any size"
    when = f"while face or head move more ({share:.0%} of the time: speech, expressions, turns)"
    if len(large) < _FEW:
        return f"Too few were planted {when} to say what would be found then."
    came = int(large["touched"].sum())
    if not came:
        return f"Of those {what} {when} it would be found never (0 of {len(large)} planted)."
    return f"Of those {what} {when}, {came} of {len(large)} came back."


def _judged(limits: Limits) -> str:
    return f"The film is judged {limits.judged_share:.0%} of the time: in the rest hardly anything could be found."


def _as_it_is(limits: Limits) -> str:
    return (
        f"As it is the film has {limits.finds} find{'s' * (limits.finds != 1)} in {limits.minutes:.1f} minutes "
        f"({limits.false_per_minute:.1f} a minute), which nobody has confirmed"
        + (f"; movements planted just there ({limits.chance:.0%}) are not counted." if limits.chance else ".")
    )


def _rival(limits: Limits) -> str:
    network, rival = (int(limits.counted[name].sum()) for name in ("touched", "rival_touched"))
    found, rival_found = (int(limits.counted[name].sum()) for name in ("found", "rival_found"))
    n = len(limits.counted)
    return (
        f"Of all {n} planted movements the network found {network}, plain motion with as many finds in the film as it is "
        f"{rival}. (Found: the apex of a find lies in the movement. With interval and movement overlapping by half, IoU of 0.5 "
        f"or more: {found} and {rival_found}.)"
    )


def as_dict(limits: Limits) -> dict[str, Any]:
    """All of it as plain values (NaN becomes null when written as JSON)."""
    return {
        "film": str(limits.film.path),
        "subject": limits.film.subject,
        "video": limits.film.video,
        "model": limits.model.name,
        "manner": limits.manner.note(),
        "minutes": limits.minutes,
        "iod_pixels": limits.iod,
        "n": len(limits.counted),
        "found": int(limits.counted["found"].sum()),
        "touched": int(limits.counted["touched"].sum()),
        "strength": {
            name: {str(round(100 * share)): limits.point(share, name)._asdict() for share in (0.5, GOOD)}
            for name in limits.curves
        },
        "finds": limits.finds,
        "false_per_minute": limits.false_per_minute,
        "rival_finds": limits.rival_finds,
        "chance": limits.chance,
        "still_share": limits.still_share,
        "judged_share": limits.judged_share,
        "not_planted": limits.not_planted,
        "by_strength": limits.grouped(["strength"]).to_dict("records"),
        "by_duration": limits.grouped(["duration"]).to_dict("records"),
        "by_motion": limits.grouped(["motion"]).to_dict("records"),
        "events": limits.events.to_dict("records"),
        "words": paragraph(limits),
    }


def limits_text(limits: Limits) -> str:
    """The paragraph, and under it the points and the tables."""
    out = [paragraph(limits), ""]
    for name in ("found", "touched", "rival_found", "rival_touched"):
        half, good = (limits.point(share, name) for share in (0.5, GOOD))
        out.append(
            f"{name.replace('_', ' '):<14} 50% at {_point(half)}, 80% at {_point(good)} inter-ocular distances"
        )
    for by in ("strength", "duration", "motion"):
        out += ["", limits.grouped([by]).round(3).to_string(index=False)]
    if limits.not_planted:
        out += ["", *(f"not planted: {n} ({reason})" for reason, n in limits.not_planted.items())]
    return "\n".join(out)


def _point(point: Point) -> str:
    return "(not measurable)" if np.isnan(point.value) else interval_text(*point)


def curve_points(
    curve: Curve | None, strengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """A curve and the ends of its interval at `strengths`, for a figure."""
    return None if curve is None else (curve(strengths), *curve.band(strengths))
