"""Onset and offset from the motion itself; one movement is one find; a path through windows and cuts."""

import numpy as np
import pandas as pd
import pytest
from support.own_videos import analysed, landmarker, mouth_model, write_clip

from metst_core.inference import MOTION, measured_ends, motion_path, path_of, scored_ends, without_rivals
from metst_core.motion import stream_motion
from metst_core.rois import roi_names
from metst_core.video import read_frames

MOUTH = 2 * roi_names("metst").index("mouth") + 1


def path_with(onset, offset, n=80, drift=0.0):
    """The mouth goes down and up again between two frames, everything drifts, `(n, 10)`."""
    t = np.arange(n)
    pull = np.where((t > onset) & (t < offset), np.sin(np.pi * (t - onset) / (offset - onset)), 0.0)
    path = np.outer(drift * t, np.ones(10))
    path[:, MOUTH] += pull
    return path


@pytest.mark.parametrize(("onset", "offset"), [(36, 44), (34, 46), (37, 49), (30, 50)])
@pytest.mark.parametrize("drift", [0.0, 0.05])
def test_lengths_follow_the_movement(onset, offset, drift):
    """The movement's own ends, within the frames in which it is under a fifth of its largest."""
    apex = (onset + offset) // 2
    [[first, last]] = measured_ends(path_with(onset, offset, drift=drift), np.array([apex]), 5, "metst")
    slack = 1 + (offset - onset) * np.arcsin(0.2) / np.pi
    assert onset <= first <= onset + slack
    assert offset - slack <= last <= offset


@pytest.mark.parametrize(("onset", "offset"), [(36, 44), (30, 50)])
def test_a_score_that_is_right_about_every_frame_gives_the_ends(onset, offset):
    """The target that networks learn: 1 between onset and offset, 0 on them and outside."""
    t = np.arange(80)
    score = np.where((t > onset) & (t < offset), 0.8, 0.1)
    apexes = np.array([onset + 1, (onset + offset) // 2, offset - 1])
    assert scored_ends(score, apexes, 4).tolist() == [[onset, offset]] * 3
    flat = scored_ends(np.full(30, 0.5), np.array([0, 15, 29]), 4)
    assert (flat == [0, 29]).all()  # it never falls: all of the film


def test_ends_stay_in_the_film_and_around_the_apex():
    ends = measured_ends(np.zeros((30, 10)), np.array([0, 15, 29]), 4, "metst")
    assert (ends[:, 0] <= [0, 15, 29]).all() and (ends[:, 1] >= [0, 15, 29]).all()
    assert ends.min() >= 0 and ends.max() <= 29
    assert measured_ends(np.zeros((30, 10)), np.zeros(0, int), 4, "metst").shape == (0, 2)


def test_of_finds_that_overlap_the_strongest_stays():
    found = pd.DataFrame({"onset": [0, 8, 20, 31], "offset": [9, 20, 30, 40], "score": [0.5, 0.9, 0.8, 0.3]})
    assert without_rivals(found)["score"].tolist() == [0.9, 0.3]
    assert without_rivals(found.iloc[:0]).empty


def test_the_path_is_that_of_the_windows_and_goes_on_after_a_cut(clip):
    windows = list(stream_motion(read_frames(clip), landmarker, "metst", 20))
    whole = motion_path(np.stack([w.motion for w in windows]), 90)
    motion = np.concatenate([w.motion[:, 10 if w.start else 0 : len(w.has_face)].T for w in windows])
    references = np.concatenate([np.full(len(w.has_face) - (10 if w.start else 0), w.start) for w in windows])
    assert np.allclose(path_of(motion, references), whole, atol=1e-5)
    twice = path_of(np.vstack([motion, motion]), np.concatenate([references, references + 90]))
    assert np.allclose(twice[90:], whole + whole[-1], atol=1e-5)


def test_a_long_movement_is_longer_than_a_short_one(tmp_path):
    """Through `analyse`: the mouth moves for .4 s, in a film that is shown at half the speed for .8 s."""
    model = mouth_model(strategy=MOTION, k_p=8, phases=2)
    lengths = []
    for fps in (30, 15):
        times = np.arange(90) / 30
        path = write_clip(
            tmp_path / f"{fps}.avi", fps=30, apexes=(1.6,), times=times if fps == 30 else 0.8 + times / 2
        )
        [row] = analysed(path, model).table.itertuples()
        lengths.append(row.offset - row.onset)
    assert 9 <= lengths[0] <= 13 and 1.6 < lengths[1] / lengths[0] < 2.4
