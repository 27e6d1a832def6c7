"""Pages from templates: whatever a value is, it stays text."""

import base64
import hashlib
import html
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from metst_core import templates

pytestmark = pytest.mark.quick

NASTY = ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "' \" & <!--", "{{ 1 }}"]

TEMPLATE = """\
{% set script = source("code.js") %}
<meta content="{{ policy(scripts=[script]) }}">
<p title="{{ text }}">{{ text }}</p>
<script type="application/json">{{ text | tojson }}</script>
<script>{{ script }}</script>
"""


@pytest.fixture(scope="module", autouse=True)
def own_assets(tmp_path_factory):
    """A template and a script of the test's own in the place of the package's."""
    folder = tmp_path_factory.mktemp("assets")
    (folder / "page.html").write_text(TEMPLATE)
    (folder / "code.js").write_text('if (1 < 2 && "a") { go(); }')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "ASSETS", folder)
        templates._environment.cache_clear()
        yield
    templates._environment.cache_clear()


@given(st.text() | st.sampled_from(NASTY))
def test_a_value_comes_out_as_the_text_that_it_is(text):
    page = templates.render("page.html", text=text)
    title, shown, data = re.search(
        r'title="([^"]*)">([^<]*)</p>\n<script type="application/json">([^<]*)</script>', page
    ).groups()
    assert html.unescape(title) == html.unescape(shown) == html.unescape(html.escape(text))
    assert json.loads(data) == text
    assert page.count("<script") == page.count("</script>") == 2


def test_the_policy_names_the_script_by_the_hash_of_its_text():
    page = templates.render("page.html", text="x")
    script = re.search(r"<script>(.*?)</script>", page, re.S).group(1)
    assert script == 'if (1 < 2 && "a") { go(); }'
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = html.unescape(re.search('content="([^"]*)"', page).group(1))
    assert f"script-src 'sha256-{digest}';" in policy
    assert "style-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(UndefinedError, match="text"):
        templates.render("page.html")


def test_keys_keep_their_order_and_nan_is_refused():
    page = templates.render("page.html", text={"b": 1, "a": 2})
    assert '{"b": 1, "a": 2}' in page
    with pytest.raises(ValueError, match="not JSON compliant"):
        templates.render("page.html", text=float("nan"))
