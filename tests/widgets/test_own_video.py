"""The explorer of one's own video: what was found is shown as a prediction, and nobody else's face."""

import json
import re

import numpy as np
import pytest
from support.own_videos import analysed, mouth_model, write_clip

from metst_core.errors import InputError
from metst_core.widgets import explorer_of, explorer_page


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return analysed(write_clip(tmp_path_factory.mktemp("own") / "clip.avi", fps=25.0))


def test_it_shows_the_motion_the_score_and_what_was_found(found):
    explorer = explorer_of(found)
    n_frames = explorer.scene["n_frames"]
    assert n_frames == len(explorer.film.pictures) == 90 - 1  # 75 frames at 25 per second, brought to 30
    [spotted] = explorer.scene["predictions"]
    assert explorer.scene["annotations"] == []
    assert spotted["apex"] / 30 == pytest.approx(found.table["apex_seconds"].iloc[0], abs=0.04)
    assert explorer.frame == spotted["apex"]
    motion = np.frombuffer(explorer.arrays["motion"], np.float32).reshape(2, 5, n_frames)
    assert abs(int(np.abs(motion[1, explorer.scene["names"].index("mouth")]).argmax()) - spotted["apex"]) <= 6


def test_the_page_needs_nothing_else_and_a_video_without_a_face_has_none(found, tmp_path):
    page = explorer_page(found, tmp_path / "explorer.html").read_text()
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?!data:|#)[^"'\s>]+""", page)
    state = json.loads(re.search(r'id="state">(.*?)</script>', page, re.S).group(1))
    assert state["scene"]["fps"] == 30
    lost = analysed(found.path, mouth_model(), landmarker=lambda image: None)
    with pytest.raises(InputError, match=r"clip\.avi: no face"):
        explorer_of(lost)
