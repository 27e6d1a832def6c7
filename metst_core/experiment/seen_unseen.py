"""Does it help to know the person?  The same film, judged by a network that has seen its person and by one that has not.

The persons are dealt into groups.  One network learns from everybody but a group (`unseen`).  Another learns from as
many films, among them half of the group's own, in the place of as many films of others (`seen`).  Both judge the
group's remaining films; then the halves change places, and everything again with other training seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from metst_core.checks import whole_number
from metst_core.decoding import half_length
from metst_core.errors import InputError
from metst_core.experiment.weights import train_on_all
from metst_core.extraction import MotionSet
from metst_core.metrics import INTERVALS, Intervals, paired_difference
from metst_core.models import Network, predict_video
from metst_core.training import TrainConfig, decode_traces

Key = tuple[str, str]


@dataclass(frozen=True)
class Familiarity:
    """What was said of every film by networks that had (`seen`) and had not (`unseen`) seen its person.

    Prediction tables and the truth; a film that was judged with several seeds counts as several (`video#seed`).
    """

    seen: pd.DataFrame
    unseen: pd.DataFrame
    annotations: pd.DataFrame
    subjects: list[str]

    def difference(self, intervals: Intervals = INTERVALS) -> pd.DataFrame:
        """Seen minus unseen, paired over persons (`metrics.paired_difference`; a is unseen, b is seen)."""
        return paired_difference(self.unseen, self.seen, self.annotations, self.subjects, intervals)


def familiarity(
    motion: MotionSet, config: TrainConfig, n_groups: int = 4, seeds: Sequence[int] = (0,)
) -> Familiarity:
    """The experiment on a motion set: three trainings per group and seed.

    Raises an `InputError` where a person has one film alone, or where the others of a group have too few films to
    give some away.
    """
    motion = motion.select(config.features)
    films = {s: [key for key in motion.windows if key[0] == s] for s in motion.subjects}
    n_groups = whole_number("n_groups", n_groups, 2)
    if len(films) < 2 * n_groups or min(map(len, films.values())) < 2:
        raise InputError(
            f"{n_groups} groups need {2 * n_groups} persons or more, with 2 films each; add films"
        )
    said: dict[str, list[pd.DataFrame]] = {"seen": [], "unseen": []}
    truth = []
    for seed in seeds:
        for number in range(n_groups):
            group = list(films)[number::n_groups]
            others = [key for s in films if s not in group for key in films[s]]
            stranger = _Judge.trained(motion, others, config, seed)
            for turn in (0, 1):
                known = [key for s in group for key in films[s][turn::2]]
                judged = [key for s in group for key in films[s][1 - turn :: 2]]
                friend = _Judge.trained(motion, [*known, *_thinned(others, len(known))], config, seed)
                truth.append(_named(_of(motion.annotations, judged), seed))
                said["seen"].append(_named(friend.judge(motion, judged, config), seed))
                said["unseen"].append(_named(stranger.judge(motion, judged, config), seed))
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in said.items()}
    return Familiarity(**tables, annotations=pd.concat(truth, ignore_index=True), subjects=list(films))


def _thinned(keys: Sequence[Key], n_dropped: int) -> list[Key]:
    """The films without `n_dropped` of them, spread evenly."""
    dropped = {i * len(keys) // n_dropped for i in range(n_dropped)}
    return [key for i, key in enumerate(keys) if i not in dropped]


@dataclass(frozen=True)
class _Judge:
    """A network and the half length of the micro-expressions that it learned from."""

    network: Network
    k_p: int

    @classmethod
    def trained(cls, motion: MotionSet, keys: Sequence[Key], config: TrainConfig, seed: int) -> _Judge:
        annotations = _of(motion.annotations, keys)
        part = dataclasses.replace(
            motion,
            windows={key: motion.windows[key] for key in keys},
            annotations=annotations,
            videos=_of(motion.videos, keys),
        )
        return cls(train_on_all(part, dataclasses.replace(config, seed=seed)), half_length(annotations))

    def judge(self, motion: MotionSet, keys: Sequence[Key], config: TrainConfig) -> pd.DataFrame:
        traces = {
            key: predict_video(self.network, motion.windows[key], motion.n_frames(*key)) for key in keys
        }
        return decode_traces(traces, {subject: self.k_p for subject, _ in keys}, config)


def _of(table: pd.DataFrame, keys: Sequence[Key]) -> pd.DataFrame:
    """The rows of these films."""
    wanted = set(keys)
    rows = [key in wanted for key in zip(table["subject"], table["video"], strict=True)]
    return table[rows].reset_index(drop=True)


def _named(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    return table.assign(video=table["video"] + f"#{seed}")
