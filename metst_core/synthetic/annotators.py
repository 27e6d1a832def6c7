"""Two people who label the same film do not agree: simulated annotators, and their agreement as a ceiling.

An annotator moves onset, apex and offset of each micro-expression (ME) by 1 to 3 frames of a film at 30 frames
per second, and at a stated rate names another emotion that shares an action unit with the true one.  Both
numbers are assumed; nobody is made to overlook an ME or to see one that is not there, so the ceiling is an
upper one.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from metst_core.metrics import Evaluation, evaluate
from metst_core.synthetic.draws import Stream
from metst_core.synthetic.events import Event
from metst_core.synthetic.priors import Prior
from metst_core.tables import EMOTIONS

JITTER = (1, 3)
"""By how many frames at 30 per second a bound moves, at least and at most."""
CONFUSION = 0.15
"""Share of the MEs that an annotator names otherwise than the truth."""
N_ANNOTATORS = 2


def annotate(
    draw: Stream, micro: Sequence[Event], prior: Prior, n_frames: int, fps: float
) -> list[tuple[int, int, int, str]]:
    """Onset, apex, offset and emotion of each ME as one annotator writes them down."""
    rows = []
    for event in micro:
        onset, apex, offset = (
            bound + draw.choice((-1, 1)) * max(1, round(draw.integer(*JITTER) * fps / 30))
            for bound in (event.onset, event.apex, event.offset)
        )
        middle = (event.onset + event.offset) // 2
        onset, offset = max(0, min(onset, middle)), min(n_frames - 1, max(offset, middle + 1))
        apex = min(max(apex, onset), offset)
        emotion = event.emotion
        if draw.uniform() < CONFUSION:
            emotion = draw.weighted(EMOTIONS, confusable(event, prior))
        rows.append((onset, apex, offset, emotion))
    return rows


def confusable(event: Event, prior: Prior) -> list[float]:
    """Weights of the emotions that an ME may be taken for: by the labels that share an AU with it, 0 for its own.

    Where no other emotion of the prior shares one, by how frequent the emotions are.
    """
    aus = {int(name.removeprefix("AU").rstrip("LR")) for name in event.units}
    shared, frequent = dict.fromkeys(EMOTIONS, 0.0), dict.fromkeys(EMOTIONS, 0.0)
    for label, row in prior.label_shares().items():
        for emotion, share in row.items():
            frequent[emotion] += share
            if aus & set(label):
                shared[emotion] += share
    weights = shared if any(shared[e] for e in EMOTIONS if e != event.emotion) else frequent
    return [0.0 if emotion == event.emotion else weights[emotion] for emotion in EMOTIONS]


def agreement(first: pd.DataFrame, second: pd.DataFrame) -> Evaluation:
    """What the second annotation table scores against the first: no method can be asked for more."""
    return evaluate(second, first)
