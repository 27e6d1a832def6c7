"""The films that `write_video` writes for people play in a real browser."""

import numpy as np
import pytest
from support.browser import needs_browser, opened, running_chromium

from metst_core.video import write_video

pytestmark = needs_browser

PLAY = """async (name) => {
    const film = document.createElement("video");
    film.muted = true;
    film.src = name;
    document.body.append(film);
    return await new Promise((resolve, reject) => {
        film.onerror = () => reject(film.error.message);
        film.onloadedmetadata = () => film.play();
        film.onended = () => resolve({
            width: film.videoWidth, height: film.videoHeight, seconds: film.duration,
            frames: film.getVideoPlaybackQuality().totalVideoFrames,
        });
    });
}"""


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_written_film_plays(tmp_path, suffix):
    shades = np.linspace(0, 255, 45).astype(np.uint8)
    write_video(tmp_path / f"film{suffix}", (np.full((96, 128, 3), s, np.uint8) for s in shades), 30)
    (tmp_path / "page.html").write_text("<!doctype html><body></body>")
    url = (tmp_path / "page.html").as_uri()
    with running_chromium() as browser, opened(browser, url) as (page, errors):
        found = page.evaluate(PLAY, f"film{suffix}")
        assert not errors
    assert (found["width"], found["height"]) == (128, 96)
    assert found["seconds"] == pytest.approx(1.5, abs=0.05)
    assert found["frames"] > 30  # a busy machine may drop some
