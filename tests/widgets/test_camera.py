"""The camera cell of notebook 06 in a real browser: Chromium with a made-up camera, and with none.

The camera is a file: a synthetic person, of whom `--use-file-for-fake-video-capture` plays the frames over and over.
Skipped with its reason where Chromium or Playwright is missing.
"""

import re

import cv2
import nbformat
import numpy as np
import pytest
from support.browser import LOAD, ROOT, needs_browser, opened, pixels, running_chromium, server, shots

from metst_core.inference import load_model
from metst_core.synthetic import generate
from metst_core.video import read_frames

pytestmark = needs_browser
__all__ = ["shots"]  # a fixture

OURS = ("camera", "anywidget", "TypeError", "ReferenceError")  # in errors that are not Voila's own
SCORE = np.array([0xB2, 0x72, 0x00])  # the colour of the score, blue first


def chromium_with(*flags):
    """A Chromium that asks nobody before it uses a camera."""
    return running_chromium("--use-fake-ui-for-media-stream", *flags)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Four seconds of a synthetic person as bare JPEG after JPEG, which is what Chromium plays."""
    folder = tmp_path_factory.mktemp("camera")
    person = generate(folder / "set", 1, 1, 4.0, seed=2, tier="easy", version=1, progress=False)
    path = folder / "person.mjpeg"
    with path.open("wb") as stream:
        for frame in read_frames(person.videos["path"].iloc[0]):
            stream.write(cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes())
    return path


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The camera cell of notebook 06, and the one line that it needs, in Voila."""
    folder = tmp_path_factory.mktemp("voila")
    notebook = nbformat.read(ROOT / "notebooks" / "06_your_own_video.ipynb", as_version=4)
    [live] = [cell for cell in notebook.cells if "display(camera_widget(model))" in cell.source]
    before = (
        "from IPython.display import display\n"
        "from metst_core.pipeline import camera_widget, load_model\n"
        "model = load_model()"
    )
    notebook.cells = [nbformat.v4.new_code_cell(before), live]
    notebook.metadata.pop("jupytext", None)
    nbformat.write(notebook, folder / "live.ipynb")
    arguments = ["live.ipynb", "--no-browser", "--Voila.ip=127.0.0.1", "--show_tracebacks=True"]
    with server("voila", arguments, folder, "/voila/static/is-it-up") as found:
        yield found


def start_the_camera(page, address):
    page.goto(address, timeout=150_000 * LOAD)
    button = page.get_by_role("button", name="start the camera")
    button.wait_for(timeout=60_000 * LOAD)
    button.click()


def test_the_score_of_the_camera_is_drawn_with_its_delay(address, film, shots):
    flags = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}")
    with chromium_with(*flags) as browser, opened(browser, "about:blank") as (page, errors):
        start_the_camera(page, address)
        canvas, told = page.locator("canvas").last, page.locator("figcaption.told")
        page.wait_for_function(
            "() => document.querySelector('figcaption.told').textContent", timeout=60_000 * LOAD
        )
        page.screenshot(path=shots / "camera.png")
        delay = float(re.search(r"comes ([\d.]+) s after the frame", told.inner_text()).group(1))
        model = load_model()
        assert delay >= model.delay_seconds - 0.1, (
            "a score cannot come before the frames that it looks ahead to"
        )
        for _ in range(round(100 * LOAD)):  # the curve begins with a single score and grows
            drawn = (np.abs(pixels(canvas) - SCORE).max(axis=2) < 60).sum()
            if drawn > 20:
                break
            page.wait_for_timeout(200)
        assert drawn > 20, "no score was drawn"
        assert page.evaluate("document.querySelector('video').videoWidth") > 0
        page.get_by_role("button", name="stop").click()
        page.get_by_role("button", name="start the camera").wait_for()
        assert page.evaluate("document.querySelector('video').srcObject") is None, "the camera is still on"
        assert not [error for error in errors if any(word in error for word in OURS)]


def test_without_a_camera_it_says_so(address, shots):
    with (
        chromium_with("--use-fake-device-for-media-stream=device-count=0") as browser,
        opened(browser, "about:blank") as (page, errors),
    ):
        start_the_camera(page, address)
        status = page.locator("span.status")
        page.wait_for_function(
            "() => document.querySelector('span.status').textContent", timeout=20_000 * LOAD
        )
        page.screenshot(path=shots / "no_camera.png")
        assert status.inner_text() == "No camera: none was found. Give a file instead."
        assert page.get_by_role("button", name="start the camera").is_enabled()
        assert not [error for error in errors if any(word in error for word in OURS)]
