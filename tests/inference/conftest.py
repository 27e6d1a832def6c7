"""One short clip for all tests of the room."""

import pytest
from support.own_videos import analysed, write_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """Three seconds at 30 frames per second; the mouth moves around 1.6 s."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.avi")


@pytest.fixture(scope="session")
def result(clip):
    """What is found in it."""
    return analysed(clip)
