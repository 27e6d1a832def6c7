"""Grouped folds: who is held out with whom, that nothing leaks, and that a run of groups is stored and read like any other."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold
from support.made_up_motion import TINY, made_up_motion

from metst_core.errors import InputError
from metst_core.models import predict_video
from metst_core.training import TrainConfig, fold_model, held_out_groups, leave_one_subject_out

PAIRS = dataclasses.replace(TINY, epochs=1, groups=2)


@pytest.fixture(scope="module")
def motion():
    return made_up_motion(n_subjects=5)


@pytest.fixture(scope="module")
def grouped(motion, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grouped")
    return folder, leave_one_subject_out(motion, PAIRS, folder)


def test_groups_are_those_of_scikit_learn_with_persons_as_groups_and_mes_as_samples():
    subjects = [f"s{i:02d}" for i in range(11)]
    counts = np.random.default_rng(0).permutation(np.arange(1, 12))  # all different: no ties to break
    owners = np.repeat(subjects, counts)
    ours = held_out_groups(subjects, pd.DataFrame({"subject": owners}), 4)
    theirs = [set(owners[test]) for _, test in GroupKFold(4).split(owners, groups=owners)]
    assert sorted(map(sorted, ours.values())) == sorted(map(sorted, theirs))
    assert sorted(s for group in ours.values() for s in group) == subjects
    assert held_out_groups(subjects, pd.DataFrame({"subject": owners}), 0) == {s: (s,) for s in subjects}


def test_persons_without_mes_are_dealt_out_too():
    groups = held_out_groups(list("abcdef"), pd.DataFrame({"subject": list("aab")}), 3)
    assert groups == {"group 1": ("a", "d"), "group 2": ("b", "e"), "group 3": ("c", "f")}


def test_every_person_is_held_out_once_and_her_network_has_not_seen_her_group(motion, grouped):
    folder, result = grouped
    assert result.folds["subject"].tolist() == motion.subjects and (result.folds["status"] == "done").all()
    assert result.config.folding == "2 groups of persons" and result.folds["fold"].nunique() == 2
    assert set(result.traces) == set(motion.windows) and set(result.k_p) == set(motion.subjects)
    assert len(list((folder / "folds").iterdir())) == 2
    for subject in motion.subjects:
        network = fold_model(folder, subject)
        for key in (k for k in motion.windows if k[0] == subject):
            again, _ = predict_video(network, motion.windows[key], motion.n_frames(*key))
            assert np.array_equal(again, result.traces[key][0])


def test_labels_of_a_group_do_not_reach_the_network_that_holds_it_out(motion, grouped, tmp_path):
    _, result = grouped
    mine = set(result.folds.loc[result.folds["fold"] == "group 1", "subject"])
    table = motion.annotations.copy()
    here = table["subject"].isin(mine)
    table.loc[here, "emotion"] = "others"
    table.loc[here, ["apex", "offset"]] += 1
    changed = leave_one_subject_out(dataclasses.replace(motion, annotations=table), PAIRS, tmp_path)
    same_groups = changed.folds["fold"].tolist() == result.folds["fold"].tolist()
    assert same_groups
    for key, (score, _) in result.traces.items():
        assert np.array_equal(score, changed.traces[key][0]) == (key[0] in mine)


def test_a_run_of_groups_is_read_back_and_no_other_folding_goes_on_in_its_folder(motion, grouped):
    folder, result = grouped
    again = leave_one_subject_out(motion, PAIRS, folder)
    pd.testing.assert_frame_equal(again.folds, result.folds)
    assert again.evaluation.to_dict() == result.evaluation.to_dict()
    assert json.loads((folder / "run.json").read_text())["config"]["groups"] == 2
    with pytest.raises(InputError, match="groups"):
        leave_one_subject_out(motion, dataclasses.replace(PAIRS, groups=0), folder)


@pytest.mark.parametrize(
    ("groups", "named"), [(1, "groups is 1"), (-1, "groups is -1"), (9, "only 5 subjects")]
)
def test_a_number_of_groups_that_cannot_be_is_named(motion, groups, named, tmp_path):
    with pytest.raises(InputError, match=named):
        leave_one_subject_out(motion, TrainConfig(**{**TINY.to_dict(), "groups": groups}), tmp_path)
