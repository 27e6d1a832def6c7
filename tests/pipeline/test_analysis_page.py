"""The page of one video: it shows the result, asks for nothing, and runs nobody's script but its own."""

import base64
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from support.own_videos import analysed, mouth_at, mouth_model, picture

from metst_core.pipeline import clips_of

CHROMIUM = os.environ.get("METST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


class Seen(HTMLParser):
    """What a browser makes of a page: its tags in order with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    @property
    def outline(self):
        return [(tag, sorted(attributes)) for tag, attributes in self.tags]


@pytest.fixture(scope="module")
def page(result, tmp_path_factory):
    return result.to_html(tmp_path_factory.mktemp("page") / "page.html").read_text()


class TestPage:
    def test_it_asks_for_nothing_from_anywhere(self, page):
        assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?!data:|#)[^"'\s>]+""", page)
        assert not re.findall(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", page)
        outside = set(re.findall(r"https?://[^\"' )]+", page))
        assert outside <= {"http://www.w3.org/2000/svg"}  # a name, not an address

    def test_it_says_what_it_is_not(self, page, result):
        assert result.model.notice in html.unescape(page)

    def test_its_data_are_those_of_the_result(self, page, result):
        data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))
        assert data["score"] == np.round(result.score, 3).tolist()
        [clip] = data["clips"]
        assert clip["numbers"][clip["apex"]] == 48
        assert len(clip["frames"]) == len(clip["numbers"]) == 11 + 2 * 8
        assert set(clip["boxes"]) == {"left_brow", "right_brow", "mouth", "left_wing", "right_wing"}

    def test_it_shows_what_was_looked_at_and_how_it_came_about(self, page, result):
        seen = Seen(page)
        kinds = [a.get("class") for tag, a in seen.tags if tag == "rect"]
        assert kinds.count("followed") == kinds.count("crop") == 1
        assert [a.get("alt") for tag, a in seen.tags if tag == "img"][:2] == [
            "frame 48 of the film",
            "the crop with its ROIs",
        ]
        for text in ("metst 0.", result.model.identity[:16], "half length 5", "the largest face", "1.433 s"):
            assert text in seen.text

    def test_it_shows_the_face_and_near_misses_also_where_nothing_is_found(self, clip, result, tmp_path):
        model = mouth_model(threshold=float(result.table["score"].iloc[0]) + 0.05)
        nothing = analysed(clip, model)
        assert nothing.table.empty and len(nothing.near) == 1
        seen = Seen(nothing.to_html(tmp_path / "page.html").read_text())
        assert (
            "1 peak(s) that reach 60% of the threshold" in seen.text
            and "They do not count as found" in seen.text
        )
        assert sum(a.get("class") == "crop" for _, a in seen.tags) == 1
        lost = Seen(analysed(clip, landmarker=lambda image: None).to_html(tmp_path / "lost.html").read_text())
        assert "No face was found on it" in lost.text and "face lost in 100%" in lost.text

    def test_its_policy_lets_its_own_script_and_style_run_and_no_other(self, page):
        """The hashes, computed here from the text between the tags as a browser does (CSP level 2)."""
        seen = Seen(page)
        [policy] = [a["content"] for tag, a in seen.tags if a.get("http-equiv") == "Content-Security-Policy"]
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
        for tag in ("script", "style"):
            [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
        blocked = [a for _, a in seen.tags if "style" in a or any(name.startswith("on") for name in a)]
        assert not blocked, "the policy keeps these from working"

    @pytest.mark.parametrize(
        "name", ["<script>alert(1)<∕script>&.avi", "x' onmouseover='alert(1).avi", "{{ 7 }}.avi"]
    )
    def test_names_cannot_become_markup(self, clip, page, tmp_path, name):
        path = tmp_path / name
        shutil.copy(clip, path)
        nasty = Seen(analysed(path).to_html(tmp_path / "page.html").read_text())
        assert nasty.outline == Seen(page).outline
        assert name in nasty.text

    def test_the_name_of_a_broken_image_cannot_become_markup(self, tmp_path):
        """The trouble of a folder of images that breaks off names the image."""
        frames = [mouth_at(t / 30, (), picture()) for t in range(60)]
        for number, frame in enumerate(frames):
            cv2.imwrite(str(tmp_path / f"{number:04d}.png"), frame)
        broken = tmp_path / "0055<img src=x onerror=alert(1)>.png"
        (tmp_path / "0055.png").rename(broken)
        broken.write_bytes(broken.read_bytes()[:300])
        result = analysed(tmp_path)
        assert "onerror" in result.trouble
        for text in (result.to_html(tmp_path / "out" / "page.html").read_text(), result._repr_html_()):
            seen = Seen(text)
            assert "onerror=alert(1)" in seen.text
            assert not any("onerror" in attributes for _, attributes in seen.tags)

    @pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
    def test_a_browser_runs_its_script_and_no_other(self, page, tmp_path):
        foreign = "<script>document.body.dataset.foreign = 'ran'</script><p onclick='' style='color: red'>"
        (tmp_path / "page.html").write_text(page.replace("</body>", foreign + "</body>"))
        arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
        ]
        done = subprocess.run(
            [CHROMIUM, *arguments, (tmp_path / "page.html").as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
        )
        shown = Seen(done.stdout)
        legend = done.stdout.split('class="legend">')[1].split("</div>")[0]
        assert legend.count("<span") == 5  # the ROIs, put there by the page's script
        [body] = [attributes for tag, attributes in shown.tags if tag == "body"]
        assert "data-foreign" not in body

    def test_a_clip_is_measured_from_its_first_frame(self, result):
        [clip] = clips_of(result)
        down = clip.motion[2 * list(clip.boxes).index("mouth") + 1]
        assert down[0] == 0
        assert abs(int(down.argmax()) - clip.apex) <= 1
        assert clip.flow.shape[1] == 4
