"""Executed notebooks: what a reader should not meet in one, and its page, which asks nothing of the internet."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metst_core.files import atomic_path, write_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

WIDGET = "application/vnd.jupyter.widget-view+json"
LOG_LINES = 40
"""More lines than this of plain text in one cell are a log that nobody reads: a screen holds as many."""

_BAR = re.compile(r"\d+%\|.*\[.*\]|\d+it \[")
_ADDRESS = re.compile(
    r"<(?:script|img|iframe|video|audio|source|link)\b[^>]*?\b(?:src|href)\s*=\s*[\"']?((?:https?:)?//[^\"'>\s]+)",
    re.I,
)


def tidied(notebook: NotebookNode) -> NotebookNode:
    """The same notebook without the traces of progress bars, which on paper are noise; changed in place."""
    for cell in notebook.cells:
        kept = []
        for output in cell.get("outputs", ()):
            if output.output_type == "stream":
                lines = [line.rsplit("\r", 1)[-1] for line in output.text.replace("\x1b[A", "").split("\n")]
                output.text = "\n".join(line for line in lines if not _BAR.search(line))
                if not output.text.strip():
                    continue
            kept.append(output)
        if "outputs" in cell:
            cell.outputs = kept
    return notebook


def faults(notebook: NotebookNode) -> list[str]:
    """What a reader should not meet in an executed notebook, each with its cell; empty where all is well.

    A figure's name in the place of its picture, a picture twice, more than `LOG_LINES` lines of plain text in one
    cell, something to touch without a picture or words beside it (on paper it is nothing).
    """
    found: list[str] = []
    seen: dict[str, int] = {}
    for number, cell in enumerate(notebook.cells):
        outputs = cell.get("outputs", ())
        bundles = [output.data for output in outputs if "data" in output]
        for data in bundles:
            png = data.get("image/png")
            if png is not None:
                print_of = hashlib.sha256("".join(png).encode()).hexdigest()
                if print_of in seen:
                    found.append(f"cell {number}: the picture of cell {seen[print_of]} again")
                seen.setdefault(print_of, number)
            elif str(data.get("text/plain", "")).startswith("<Figure size"):
                found.append(f"cell {number}: {data['text/plain']} instead of a picture")
        lines = sum(output.text.count("\n") for output in outputs if output.output_type == "stream")
        if lines > LOG_LINES:
            found.append(f"cell {number}: {lines} lines of text")
        if any(WIDGET in data for data in bundles):
            beside = any("image/png" in data or "text/html" in data for data in bundles)
            if not beside and not any(output.output_type == "stream" for output in outputs):
                found.append(f"cell {number}: something to touch, and nothing for those who only read")
    return found


def foreign_addresses(page: str) -> list[str]:
    """Addresses of other hosts that an HTML page loads something from: scripts, styles, pictures, frames."""
    return _ADDRESS.findall(page)


def page_of(notebook: NotebookNode, title: str) -> str:
    """The HTML of an executed notebook in one file: formulas as MathML, nothing loaded from another host.

    What only a running kernel can show (sliders, buttons) is left out; its picture stands beside it.
    """
    import nbformat
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return mathml(body)

        def block_math(self, body: str) -> str:
            return mathml(body, block=True)

    class Exporter(HTMLExporter):
        def markdown2html(self, source: str) -> str:
            return MarkdownWithMath(renderer=Renderer(escape=False, anchor_link_text="")).render(source)

    on_paper = nbformat.from_dict(notebook)
    on_paper.metadata.pop("widgets", None)
    on_paper.metadata["title"] = title
    for cell in on_paper.cells:
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
    exporter = Exporter(
        extra_loaders=[DictLoader({_TEMPLATE: _PAGE})], template_file=_TEMPLATE, embed_images=True
    )
    html, _ = exporter.from_notebook_node(on_paper)
    return html


_TEMPLATE = "offline.html.j2"
_PAGE = """{%- extends "index.html.j2" -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block footer_js -%}{%- endblock -%}
"""


def mathml(formula: str, block: bool = False) -> str:
    """A LaTeX formula as MathML, which browsers draw by themselves."""
    from latex2mathml.converter import convert

    return convert(formula.strip(), display="block" if block else "inline")


def write_html(executed: Path, title: str | None = None) -> Path:
    """Write the page of an executed notebook beside it; its path."""
    import nbformat

    html = page_of(nbformat.read(executed, as_version=4), title or executed.stem)
    return write_text(html, executed.with_suffix(".html"))


def tidy_file(executed: Path) -> Any:
    """`tidied` of a notebook's file, in place; the notebook."""
    import nbformat

    notebook = tidied(nbformat.read(executed, as_version=4))
    with atomic_path(executed) as temporary:
        nbformat.write(notebook, temporary)
    return notebook
