"""Clips for a blind test: some hold a movement of a known size, some hold none, and nothing tells which."""

import numpy as np
import pandas as pd
import pytest

from metst_core.errors import InputError
from metst_core.footage import blind_clips, came_back, films_of, track
from metst_core.footage.blind import _face_box
from metst_core.tables import check_annotations
from metst_core.video import read_frames
from metst_core.widgets import BlindTest


@pytest.fixture(scope="module")
def film(still):
    return films_of(still)[0]


@pytest.fixture(scope="module")
def face(film):
    return track(film, progress=False)


@pytest.fixture(scope="module")
def clips(film, face):
    return blind_clips(film, face, 6, seed=1)


def test_most_clips_move_and_some_do_not(clips, film, face):
    strengths = [clip.strength for clip in clips]
    assert strengths.count(0.0) == 2
    assert sorted(strengths)[2:] == pytest.approx(np.geomspace(0.004, 0.035, 4))
    assert {clip.frames.shape for clip in clips} == {clips[0].frames.shape}
    assert len(clips[0].frames) == 60
    whole = np.stack(list(read_frames(film.path)))
    rows, columns = _face_box(face)
    parts = [whole[t : t + 60, rows, columns] for t in range(len(whole) - 59)]
    for clip in clips:
        is_original = any(np.array_equal(part, clip.frames) for part in parts)
        assert is_original == (clip.strength == 0)


def test_the_widget_sends_a_clip_and_keeps_the_answers(clips):
    test = BlindTest(clips)
    sent = []
    test.send = lambda content, buffers=None: sent.append((content, buffers))
    for number in (2, -1, 99, "2"):
        test._heard(test, {"kind": "clip", "number": number}, [])
    assert [content["number"] for content, _ in sent] == [2]
    assert len(sent[0][1]) == 60 and sent[0][1][0][:2] == b"\xff\xd8"
    assert "strength" not in str(test.get_state())
    assert test.summary() == "no clip was answered yet"
    test.answers = [clip.strength > 0.01 for clip in clips]
    assert "2 of 4 movements seen; 0 of 2 clips without one" in test.summary()
    assert test.results()["strength"].tolist() == [clip.strength for clip in clips]
    with pytest.raises(InputError, match="empty"):
        BlindTest([])


def test_what_comes_back_of_annotations_of_a_film(film):
    rows = [(film.subject, film.video, 10, 15, 20, "others")]
    truth = check_annotations(
        pd.DataFrame(rows, columns=["subject", "video", "onset", "apex", "offset", "emotion"])
    )
    back = came_back(film.path, truth)
    assert back[["found", "touched"]].to_numpy().tolist() == [[False, False]]
