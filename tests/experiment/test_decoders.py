"""The decoder is chosen by persons who are not tested with it."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from support.made_up_motion import TINY, made_up_motion

from metst_core.decoding import smooth, spot_intervals
from metst_core.errors import InputError
from metst_core.experiment import nested_decoder
from metst_core.training import leave_one_subject_out

FEW = (
    {"strategy": "fixed", "smoothing": 0, "p": 0.55},
    {"strategy": "extensible", "smoothing": 3, "p": 0.45},
)
CONFIG = dataclasses.replace(TINY, epochs=1, groups=3)


@pytest.fixture(scope="module")
def motion():
    return made_up_motion(n_subjects=4, n_videos=1)


@pytest.fixture(scope="module")
def outer(motion, tmp_path_factory):
    return leave_one_subject_out(motion, CONFIG, tmp_path_factory.mktemp("outer"))


def test_what_is_chosen_does_not_depend_on_the_labels_of_the_persons_tested(motion, outer, tmp_path):
    nested = nested_decoder(motion, outer, tmp_path / "a", FEW)
    assert nested.choices["fold"].tolist() == outer.folds["fold"].unique().tolist()
    assert len(list((tmp_path / "a").iterdir())) == 3 and nested.subjects == outer.subjects
    first = set(outer.folds.loc[outer.folds["fold"] == "group 1", "subject"])
    wrong = motion.annotations.copy()
    wrong.loc[wrong["subject"].isin(first), "emotion"] = "others"
    other = dataclasses.replace(motion, annotations=wrong)
    again = nested_decoder(other, outer, tmp_path / "b", FEW)
    chosen, chosen_again = (n.choices.set_index("fold").loc["group 1"] for n in (nested, again))
    assert chosen.equals(chosen_again)


def test_each_person_is_decoded_as_her_fold_chose(motion, outer, tmp_path):
    nested = nested_decoder(motion, outer, tmp_path, FEW[1:])
    expected = outer.redecoded(**FEW[1]).predictions
    keys = ["subject", "video", "onset"]
    pd.testing.assert_frame_equal(
        nested.predictions.sort_values(keys, ignore_index=True), expected.sort_values(keys, ignore_index=True)
    )
    with pytest.raises(InputError, match="decoders is empty"):
        nested_decoder(motion, outer, tmp_path, ())


def test_a_narrow_average_sees_a_short_peak_that_a_wide_one_hides():
    """Four frames at .9 beside a long stretch at .45: over 2 k_p = 26 frames the short peak is .138, over 3 it is .9."""
    score = np.zeros(200)
    score[50:54], score[120:160] = 0.9, 0.45
    assert smooth(score, 13)[40:65].max() == pytest.approx(4 * 0.9 / 26)
    assert smooth(score, 13, 3)[40:65].max() == pytest.approx(0.9)
    found = [spot_intervals(score, 13, smoothing=width)[:, 1] for width in (0, 3)]
    assert not (np.abs(found[0] - 52) < 13).any() and (np.abs(found[1] - 52) < 13).any()
