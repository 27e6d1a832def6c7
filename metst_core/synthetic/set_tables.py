"""The tables of a set, from its plans: ids, and one row per event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from metst_core.synthetic.events import Event
from metst_core.tables import ANNOTATION_COLUMNS

EVENT_COLUMNS = (*ANNOTATION_COLUMNS, "kind", "label", "strength", "action_units")


def subject_id(index: int) -> str:
    return f"s{index + 1:03d}"


def video_id(index: int) -> str:
    return f"v{index + 1:02d}"


def numbers_text(numbers: Mapping[str, float] | Mapping[int, float]) -> str:
    """`name=value` for each, six digits: the same text on every machine."""
    return " ".join(f"{name}={value:.6f}" for name, value in numbers.items())


def events_table(events: Sequence[tuple[str, str, Event]]) -> pd.DataFrame:
    """One row per `(subject, video, event)`, columns `EVENT_COLUMNS`."""
    rows = [
        (
            s,
            v,
            e.onset,
            e.apex,
            e.offset,
            e.emotion,
            e.kind,
            e.label,
            f"{e.strength:.6f}",
            numbers_text(e.units),
        )
        for s, v, e in events
    ]
    return pd.DataFrame(rows, columns=list(EVENT_COLUMNS))


def in_order(events: Sequence[Event]) -> list[Event]:
    """Events in order of time."""
    return sorted(events, key=lambda e: (e.onset, e.offset, e.kind))
