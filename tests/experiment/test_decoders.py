"""The decoder is chosen by persons who are not tested with it."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from support.made_up_motion import TINY, made_up_motion

from metst_core.decoding import smooth, spot_intervals
from metst_core.errors import InputError
from metst_core.experiment import decoders_in_words, keep, nested_decoder, read_decoders, run_decoders
from metst_core.metrics import Intervals
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


def test_three_decoders_of_a_method_in_one_table(motion, outer, tmp_path, monkeypatch):
    folder = tmp_path / "claims"
    table = run_decoders(motion, {"metst": outer}, folder, intervals=Intervals(n=30), decoders=FEW)
    assert table["decoder"].tolist() == ["papers", "smoothing 3, extensible", "chosen in nested folds"]
    by_name = table.set_index("decoder")
    expected = outer.redecoded(strategy="extensible", smoothing=3).evaluation
    assert by_name.loc["papers", "strs"] == outer.evaluation.strs and np.isnan(
        by_name.loc["papers", "strs_difference"]
    )
    assert by_name.loc["smoothing 3, extensible", "spotting_f1"] == expected.spotting_f1
    nested = nested_decoder(motion, outer, folder / "decoder" / "metst", FEW)  # read back
    assert by_name.loc["chosen in nested folds", "spotting_f1"] == nested.evaluation.spotting_f1
    choices = by_name.loc["chosen in nested folds", "choices"]
    assert choices.count(";") == 2 and all(f"group {i}: " in choices for i in (1, 2, 3))
    said = decoders_in_words(table)
    assert len(said) == 2 and all("against the papers' decoder" in s for s in said)
    monkeypatch.setattr("metst_core.experiment.kept_claims.kept_folder", lambda: None)
    assert decoders_in_words(read_decoders(tmp_path)) == said and read_decoders().empty
    assert {p.name for p in keep(folder, tmp_path / "kept").iterdir()} == {
        "decoder.csv",
        "decoder_record.json",
    }


def test_a_narrow_average_sees_a_short_peak_that_a_wide_one_hides():
    """Four frames at .9 beside a long stretch at .45: over 2 k_p = 26 frames the short peak is .138, over 3 it is .9."""
    score = np.zeros(200)
    score[50:54], score[120:160] = 0.9, 0.45
    assert smooth(score, 13)[40:65].max() == pytest.approx(4 * 0.9 / 26)
    assert smooth(score, 13, 3)[40:65].max() == pytest.approx(0.9)
    found = [spot_intervals(score, 13, smoothing=width)[:, 1] for width in (0, 3)]
    assert not (np.abs(found[0] - 52) < 13).any() and (np.abs(found[1] - 52) < 13).any()
