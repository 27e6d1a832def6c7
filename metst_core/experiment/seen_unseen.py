"""Does it help to know the person?  The same film, judged by a network that has seen its person and by one that has not.

The persons are dealt into two halves and the films of each into those to learn from and those to judge.  A network
learns from the one half's films, another from the other's; both judge everybody's remaining films.  So each film is
judged twice, by networks trained on as many persons and films: once on its own person's other films, once on
strangers' alone.  Then films change places, and everything again with other training seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from metst_core.decoding import half_length
from metst_core.errors import InputError
from metst_core.experiment.weights import train_on_all
from metst_core.extraction import MotionSet
from metst_core.metrics import INTERVALS, Intervals, paired_difference
from metst_core.models import predict_video
from metst_core.training import TrainConfig, decode_traces

Key = tuple[str, str]


@dataclass(frozen=True)
class Familiarity:
    """What was said of every film by networks that had (`seen`) and had not (`unseen`) seen its person.

    Prediction tables and the truth; a film that was judged several times counts as several (`video#round`).
    """

    seen: pd.DataFrame
    unseen: pd.DataFrame
    annotations: pd.DataFrame
    subjects: list[str]

    def difference(self, intervals: Intervals = INTERVALS) -> pd.DataFrame:
        """Seen minus unseen, paired over persons (`metrics.paired_difference`; a is unseen, b is seen)."""
        return paired_difference(self.unseen, self.seen, self.annotations, self.subjects, intervals)


def familiarity(motion: MotionSet, config: TrainConfig, seeds: Sequence[int] = (0,)) -> Familiarity:
    """The experiment on a motion set of at least four persons with two films each: four trainings a seed.

    Raises an `InputError` for fewer.
    """
    films = {s: [key for key in motion.windows if key[0] == s] for s in motion.subjects}
    if len(films) < 4 or min(map(len, films.values())) < 2:
        raise InputError("knowing a person is told from at least 4 persons with 2 films each; add films")
    motion = motion.select(config.features)
    said: dict[str, list[pd.DataFrame]] = {"seen": [], "unseen": []}
    truth = []
    for number, (seed, learned, judged) in enumerate(_rounds(films, seeds)):
        networks = [
            _trained(motion, learned[half], dataclasses.replace(config, seed=seed)) for half in (0, 1)
        ]
        for half in (0, 1):
            truth.append(_named(_of(motion.annotations, judged[half]), number))
            for name, (network, k_p) in (("seen", networks[half]), ("unseen", networks[1 - half])):
                traces = {
                    key: predict_video(network, motion.windows[key], motion.n_frames(*key))
                    for key in judged[half]
                }
                found = decode_traces(traces, dict.fromkeys(films, k_p), config)
                said[name].append(_named(found, number))
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in said.items()}
    return Familiarity(**tables, annotations=pd.concat(truth, ignore_index=True), subjects=list(films))


def _rounds(
    films: dict[str, list[Key]], seeds: Sequence[int]
) -> Iterator[tuple[int, tuple[list[Key], list[Key]], tuple[list[Key], list[Key]]]]:
    """Seed, films to learn from and films to judge of either half of the persons: two rounds a seed."""
    halves = [list(films)[half::2] for half in (0, 1)]
    for seed in seeds:
        for turn in (0, 1):
            learned, judged = (
                tuple([key for s in half for key in films[s][which::2]] for half in halves)
                for which in (turn, 1 - turn)
            )
            yield seed, (learned[0], learned[1]), (judged[0], judged[1])


def _trained(motion: MotionSet, keys: Sequence[Key], config: TrainConfig) -> tuple:
    """A network that learned from these films, and the half length of their micro-expressions."""
    annotations = _of(motion.annotations, keys)
    part = dataclasses.replace(
        motion,
        windows={key: motion.windows[key] for key in keys},
        annotations=annotations,
        videos=_of(motion.videos, keys),
    )
    return train_on_all(part, config), half_length(annotations)


def _of(table: pd.DataFrame, keys: Sequence[Key]) -> pd.DataFrame:
    """The rows of these films."""
    wanted = set(keys)
    rows = [key in wanted for key in zip(table["subject"], table["video"], strict=True)]
    return table[rows].reset_index(drop=True)


def _named(table: pd.DataFrame, number: int) -> pd.DataFrame:
    return table.assign(video=table["video"] + f"#{number}")
