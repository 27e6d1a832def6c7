"""Does it help to know the person: who learns from what, and who judges whom."""

import numpy as np
import pytest
from support.made_up_motion import made_up_motion

from metst_core.errors import InputError
from metst_core.experiment import familiarity, seen_unseen
from metst_core.metrics import Intervals
from metst_core.training import TrainConfig

TINY = TrainConfig(model="metst", width=4, depth=1, d_state=2, epochs=1, batch_size=64)


def test_every_film_is_judged_by_a_network_that_knows_its_person_and_by_one_that_does_not(monkeypatch):
    """Networks are stood in for by what they learned from; a network answers only with whom it knows."""
    learned = []

    def train(part, config):
        learned.append((config.seed, sorted(part.windows), sorted(set(part.annotations["subject"]))))
        return tuple(part.windows)

    judged = []

    def predict(network, windows, n_frames):
        key = next(k for k, value in motion.windows.items() if value is windows)
        judged.append((key, key[0] in {s for s, _ in network}, key in network))
        return np.zeros(n_frames), np.full((n_frames, 5), 0.2)

    monkeypatch.setattr(seen_unseen, "train_on_all", train)
    monkeypatch.setattr(seen_unseen, "predict_video", predict)
    motion = made_up_motion(n_subjects=6, n_videos=2)
    found = familiarity(motion, TINY, n_groups=3, seeds=(3, 4))
    assert [seed for seed, *_ in learned] == [3] * 9 + [4] * 9
    assert {len(films) for _, films, _ in learned} == {8}  # as many films each time
    assert all({s for s, _ in films} == set(annotated) for _, films, annotated in learned)
    assert not any(itself for *_, itself in judged)
    for key in motion.windows:
        assert sorted(known for k, known, _ in judged if k == key) == [False, False, True, True]
    assert len(found.annotations) == 2 * len(motion.annotations)
    assert found.subjects == motion.subjects


def test_the_difference_is_paired_over_persons():
    motion = made_up_motion(n_subjects=4, n_videos=2)
    found = familiarity(motion, TINY, n_groups=2)
    table = found.difference(Intervals(n=20)).set_index("metric")
    row = table.loc["spotting_f1"]
    assert row["difference"] == pytest.approx(row["b"] - row["a"])
    assert row["low"] <= row["high"]


def test_too_few_persons_or_films_are_refused():
    for size in ({"n_subjects": 3, "n_videos": 2}, {"n_subjects": 4, "n_videos": 1}):
        with pytest.raises(InputError, match="add films"):
            familiarity(made_up_motion(**size), TINY)
