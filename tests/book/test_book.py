"""The book is built offline, and no link, anchor or picture of it leads nowhere."""

import importlib.util
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from support.house import LINE

from metst_core.cli.main import COMMANDS
from metst_core.experiment import SCHEMA
from metst_core.experiment.executed import WIDGET

ROOT = Path(__file__).parents[2]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def book():
    pytest.importorskip("sphinx", reason="needs the extra book")
    spec = importlib.util.spec_from_file_location("book_build", ROOT / "book" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(book, tmp_path_factory):
    """A book of small notebooks under the names of the real ones, without the reference."""
    folder = tmp_path_factory.mktemp("book")
    for path in (ROOT / "notebooks").glob("0*.ipynb"):
        outputs = [
            new_output("display_data", data={"image/png": PIXEL}),
            new_output("display_data", data={WIDGET: {"model_id": "x"}, "text/plain": "Slider()"}),
        ]
        cells = [
            new_markdown_cell("*hosted*\n```\n%pip install metst\n```"),
            new_markdown_cell(f"# {path.stem}\n\nso $\\frac{{a}}{{b}}$ and\n\n$$ \\hat s_t \\le 1 $$"),
            new_code_cell("profile = 'smoke'", metadata={"tags": ["parameters"]}),
            new_code_cell("draw()", outputs=outputs),
        ]
        (folder / "notebooks").mkdir(exist_ok=True)
        nbformat.write(new_notebook(cells=cells), folder / "notebooks" / path.name)
    source = book.assemble(folder / "source", None, folder / "notebooks", reference=False, steps=2)
    return book.build(source, folder / "html").resolve()


def test_nothing_leads_nowhere_and_nothing_comes_from_elsewhere(book, site):
    assert book.dead_links(site) == []
    (site / "planted.html").write_text(
        '<a href="gone.html">x</a><a href="faq.html#nowhere">y</a><img src="no.png"><script src="https://a.b/c.js"></script>'
    )
    found = book.dead_links(site)
    (site / "planted.html").unlink()
    assert len(found) == 4 and all("planted.html" in line for line in found)


def test_formulas_are_drawn_and_what_needs_a_kernel_is_left_out(site):
    page = (site / "notebooks" / "02_state_transition_regression.html").read_text(encoding="utf-8")
    assert page.count("<math") == 2 and "<mfrac>" in page
    assert "%pip" not in page and "profile =" not in page and "Slider()" not in page
    assert ">draw<" in page and ".png" in page


def test_the_site_has_its_pages(site):
    for name in ("index", "faq", "recording", "glossary", "touch", "cards/casme3", "house", "bump", "search"):
        assert (site / f"{name}.html").is_file(), name
    assert "too_dark" in (site / "recording.html").read_text(encoding="utf-8")  # the flags come from the code
    assert "How do I get CAS(ME)³?" in (site / "faq.html").read_text(encoding="utf-8")


def test_the_reference_knows_every_command_module_and_result(book):
    reference = sys.modules["reference"]
    cli = reference.cli_page()
    assert all(f"## metst {module.__name__.split('.')[-1]}" in cli for module in COMMANDS)
    outputs = reference.outputs_page()
    assert all(f"| `{path}` |" in outputs for path in SCHEMA)
    units = [unit for unit, _ in reference.modules()]
    built = [u for u in LINE if u not in ("version", "cli", "__init__")]
    assert units == [u for u in built if u in units] and {"models", "decoding", "experiment"} <= set(units)


@pytest.mark.parametrize(
    ("doc", "said"),
    [
        ("First.\n\n>>> 1 + 1\n2", "```python\n>>> 1 + 1\n2\n```"),
        ("First.\n\nMore.\n\n    a = 1", "```text\na = 1\n```"),
        ("First.\n\nx: one\n    more.\ny: two.", "* x: one more.\n* y: two."),
        ("Costs $1 or `a*b` * 2.", "Costs \\$1 or `a*b` \\* 2."),
    ],
)
def test_a_docstring_becomes_markdown(book, doc, said):
    assert said in sys.modules["reference"].markdown(doc)
