"""Pages from templates: one jinja2 environment, in which every value is escaped and a name that is missing is an error.

A template of `assets/` writes a value as `{{ value }}`; markup in it (a file name, an id, an error's text) comes
out as text.  Data for a script go into the page as JSON, and scripts and styles are files of their own, which
the page's security policy names by their hash:

    {% set style, script = source("page.css"), source("page.js") %}
    <meta http-equiv="Content-Security-Policy" content="{{ policy(styles=[style], scripts=[script]) }}">
    <style>{{ style }}</style>
    <script type="application/json" id="data">{{ data | tojson }}</script>
    <script>{{ script }}</script>
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from metst_core.files import ASSETS

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def render(name: str, **values: Any) -> str:
    """The text of the template `assets/<name>` with `values`, all of them escaped.

    For `tojson` a value consists of dict, list, str, int, float, bool and None; NaN raises a `ValueError`.
    """
    return _environment().get_template(name).render(values)


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(source=_source, policy=_policy)
    environment.policies["json.dumps_function"] = json.dumps
    # The order of keys is the page's (jinja2 would sort them); NaN is no JSON.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    return environment


def _source(name: str) -> Markup:
    """The text of a style or script of `assets/` as it stands, which is code and not escaped."""
    from markupsafe import Markup

    return Markup((ASSETS / name).read_text(encoding="utf-8"))


def _policy(styles: Iterable[str] = (), scripts: Iterable[str] = ()) -> str:
    """A content security policy: these inline styles and scripts, pictures inside the page, and nothing else.

    No address is fetched, no form is sent, no other script runs, neither do `style=` and `on...=` attributes.
    The texts must be exactly those between the tags.
    """
    rules = {
        "default-src": "'none'",
        "style-src": _hashes(styles),
        "script-src": _hashes(scripts),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{rule} {what}" for rule, what in rules.items())


def _hashes(texts: Iterable[str]) -> str:
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests) or "'none'"
