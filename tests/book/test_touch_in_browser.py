"""The pages to touch compute in the browser what the package computes: same intervals, same matches."""

import numpy as np
import pytest
from support.browser import needs_browser, opened, running_chromium

from metst_core.decoding import smooth, spot_intervals, spot_threshold
from metst_core.experiment import write_touch_pages
from metst_core.experiment.touch import _page
from metst_core.files import write_json
from metst_core.metrics import match_intervals

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser():
    with running_chromium() as chromium:
        yield chromium


def test_the_browser_decodes_as_the_package_does(browser, tmp_path):
    rng = np.random.default_rng(0)
    score = np.clip(np.convolve(rng.random(400), np.ones(5) / 5, mode="same"), 0, 1)
    truth = [[t, t + 9] for t in range(20, 380, 45)]
    data = {"fps": 30.0, "name": "made up", "k_p": 5, "score": score.tolist(), "truth": truth}
    (tmp_path / "knobs.html").write_text(_page("knobs", "knobs", data), encoding="utf-8")
    with opened(browser, (tmp_path / "knobs.html").as_uri()) as (page, errors):
        for p, k in ((0.2, 3), (0.55, 5), (0.8, 9)):
            out = page.evaluate("([k, p]) => decode.fixed(page.data.score, k, p)", [k, p])
            hits = page.evaluate("(found) => decode.match(found, page.data.truth)", out["found"])
            right = spot_intervals(score, k, p)[:, [0, 2]]
            assert np.allclose(out["smoothed"], smooth(score, k)) and np.isclose(
                out["height"], spot_threshold(smooth(score, k), p)
            )
            assert out["found"] == right.tolist()
            assert hits == (match_intervals(right, np.array(truth)) >= 0).tolist()
        before = page.inner_text("#words")
        page.locator("input[type=range]").first.fill("0.95")
        assert page.inner_text("#words") != before and not errors


def test_a_bump_can_be_dragged_and_a_leak_switched(browser, tmp_path):
    row = {"honest": 0.25, "with a leak": 0.5, "difference": 0.25, "low": 0.125, "high": 0.375}
    leak = [{"metric": m, **row} for m in ("spotting_f1", "recognition_f1", "strs")]
    write_json({"leak": leak}, tmp_path / "run" / "results.json")
    pages = {path.stem: path for path in write_touch_pages(tmp_path / "out", tmp_path / "run", steps=2)}
    with opened(browser, pages["bump"].as_uri()) as (page, errors):
        place = page.locator("input[type=range]").nth(1)
        first = place.input_value()
        box = page.locator("canvas").bounding_box()
        page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.65 * box["width"], box["y"] + 50)
        page.mouse.up()
        assert place.input_value() != first and "at best an IoU of" in page.inner_text("#words")
        assert not errors
    with opened(browser, pages["leak"].as_uri()) as (page, errors):
        assert "has never seen her" in page.inner_text("#words")
        page.get_by_role("button").click()
        assert "trained on her" in page.inner_text("#words") and not errors
