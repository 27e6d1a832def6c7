"""The instrument for faces that talk: upper and lower face each with a score of its own, and a gate of its own.

    frames aligned to the face, flow over short steps (`metst_core.aligned`) -> two TCNs (`PartsNetwork`), frame by frame
    unrest of a part over its limit -> this part is not judged there, and its score does not count

A part's unrest is the median length of its longest step (8 frames), averaged over a window around each frame.  The score
of a frame is the highest of the parts that are judged, 0 where none is.  There are no windows that a score could hang on,
so no phases and no spread.  Weights, threshold and limits: `metst_core.experiment.talking`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from metst_core.aligned import LAGS, PARTS, SIDE, AlignedFrame
from metst_core.inference.judged import Judgement, bundled_judgement, unrest_of
from metst_core.inference.phases import Averaged, Stretch, joined
from metst_core.inference.quality import Seen, moves_much
from metst_core.inference.trained import TrainedModel
from metst_core.models import evaluating
from metst_core.rivals import PartsNetwork

CHUNK = 240
"""Frames that the network is run over at once, beside those around that the answer hangs on."""


class Heard(NamedTuple):
    """What is known of a stretch of n frames.

    scores `(n, 2)` of upper and lower face, 0..1; probabilities `(n, 5)`; unrest `(n, 2)`, pixels of the aligned crop, of each
    frame by itself; steps `(n, 2R)`: motion of the ROIs since the frame before.
    """

    scores: np.ndarray
    probabilities: np.ndarray
    unrest: np.ndarray
    steps: np.ndarray


def predict_parts(network: PartsNetwork, channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of upper and lower face `(T, 2)` and class probabilities `(T, 5)` of a film's channels `(T, C)`, T >= 1."""
    n = len(channels)
    if n == 1:  # nothing moves in a single frame
        channels = np.repeat(channels, 2, axis=0)
    x = torch.from_numpy(np.ascontiguousarray(channels.T[None], np.float32))
    with evaluating(network):
        logits, classes = network.parts(x.to(network.score_head.weight))
    scores = torch.sigmoid(logits)[0].T.double().cpu().numpy()
    return scores[:n], classes[0].softmax(-1).double().cpu().numpy()[:n]


class AlignedShot:
    """What is known of the frames between two cuts, as they come.  The counterpart of `phases.Shot`.

    first: the shot's first frame; n_frames: how many it has, None while it is still read.
    """

    def __init__(self, first: int, network: PartsNetwork) -> None:
        self.first = first
        self.n_frames: int | None = None
        self._network = network
        self._channels: list[np.ndarray] = []  # of the frames from `_begin` on
        self._begin = 0
        self._n = 0
        self._said: list[tuple[np.ndarray, np.ndarray]] = []
        self._n_said = 0
        self._unrest: list[np.ndarray] = []
        self._rois: list[np.ndarray] = []  # first and last lag
        self._whole: list[np.ndarray] = []
        self._centre: list[np.ndarray] = []
        self._flags: list[tuple[bool, bool]] = []

    @property
    def too_small(self) -> bool:
        """Whether there is a face in no frame, and one that is too small in some."""
        has_face, small = (
            (any(each) for each in zip(*self._flags, strict=True)) if self._flags else (False, False)
        )
        return small and not has_face

    def add(self, frame: AlignedFrame) -> None:
        """Take in the next frame; the network runs once enough of them are there."""
        self._channels.append(frame.channels)
        self._n += 1
        self._unrest.append(frame.unrest)
        self._rois.append(frame.rois[[0, -1]])
        self._whole.append(frame.whole)
        self._centre.append(_middle_of(frame.place))
        self._flags.append((frame.has_face, frame.too_small))
        if self._n - self._n_said == CHUNK + self._network.reach:
            self._run(CHUNK)

    def n_said(self, ended: bool) -> int:
        """Of how many frames all has been said; `ended`: nothing more will come."""
        if (ended or self.n_frames == self._n) and self._n_said < self._n:
            self._run(self._n - self._n_said)
        return self._n_said

    def heard(self, n: int) -> Heard:
        """What is known of the first `n` frames."""
        scores, probabilities = (part[:n] for part in joined(self._said))
        return Heard(scores, probabilities, np.array(self._unrest[:n]), np.array(self._rois[:n])[:, 0])

    def measured(self, n: int) -> Stretch:
        """What was measured in the first `n` frames: motion of the ROIs since `LAGS[-1]` frames before."""
        motion = np.array(self._rois[:n])[:, 1]
        before = np.maximum(0, np.arange(n) - LAGS[-1])
        centre = np.array(self._centre[:n])
        shift = np.nan_to_num(centre - centre[before])
        has_face = np.array([face for face, _ in self._flags[:n]])
        return Stretch(
            has_face, moves_much(motion.T), motion, np.array(self._whole[:n]), shift, self.first + before
        )

    def _run(self, n: int) -> None:
        """Say what the next `n` frames are, from them and those around."""
        reach = self._network.reach
        context = self._n_said - self._begin
        channels = np.stack(self._channels[: context + n + reach])
        scores, probabilities = predict_parts(self._network, channels)
        self._said.append((scores[context : context + n], probabilities[context : context + n]))
        self._n_said += n
        keep_from = max(0, self._n_said - reach)
        del self._channels[: keep_from - self._begin]
        self._begin = keep_from


def _middle_of(place: np.ndarray) -> np.ndarray:
    """Where the middle of the crop lies in the film, `(2,)`; NaN without a face."""
    if not np.isfinite(place).all():
        return np.full(2, np.nan)
    middle: np.ndarray = np.linalg.solve(place[:, :2], np.array([SIDE / 2] * 2) - place[:, 2])
    return middle


def judged_parts(unrest: np.ndarray, trained: TrainedModel, seen: Seen) -> pd.DataFrame:
    """Which frames are judged, upper and lower face apart, from the `Heard.unrest` of a film `(n, 2)`."""
    limits = trained.judged or bundled_judgement().unrest
    return Judgement(limits, bundled_judgement().face, apart=True)(unrest_of(unrest, trained.window), seen)


def said_where_judged(heard: Heard, judged: np.ndarray) -> Averaged:
    """One score per frame, the highest of the judged parts (`judged (n, 2)` bool), 0 where none is; one voice."""
    score = np.where(judged, heard.scores, 0.0).max(axis=1)
    return Averaged(score, heard.probabilities, score[:, None])


def judged_path(steps: np.ndarray, judged: np.ndarray, is_upper: np.ndarray) -> np.ndarray:
    """Displacement of every ROI `(n, 2R)` since the first frame, from its steps `(n, 2R)`, while its part is judged.

    is_upper: `(R,)` bool.  What a part does that is not judged is no evidence of where a movement begins and ends.
    """
    counts = np.where(is_upper[None], judged[:, [PARTS.index("upper")]], judged[:, [PARTS.index("lower")]])
    path: np.ndarray = np.cumsum(steps * np.repeat(counts, 2, axis=1), axis=0)
    return path
