"""Executed notebooks hold what a reader should meet, and their pages ask nothing of the internet."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from metst_core.experiment import executed

pytestmark = pytest.mark.quick
ROOT = Path(__file__).parents[2]
EXECUTED = sorted(ROOT.glob("runs/*/notebooks/*.ipynb"))  # .ci/run looks again once the main job has run
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def shown(**data):
    return new_output("display_data", data={name.replace("_", "/", 1): value for name, value in data.items()})


def notebook(*outputs):
    return new_notebook(cells=[new_code_cell("x", outputs=list(cell)) for cell in outputs])


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_what_was_executed_here_has_no_fault(path):
    assert executed.faults(nbformat.read(path, as_version=4)) == []
    page = path.with_suffix(".html").read_text(encoding="utf-8")
    assert executed.foreign_addresses(page) == []
    assert "\\frac" not in page and "<math" in page


def test_every_fault_is_seen():
    picture, name = shown(image_png=PIXEL), shown(text_plain="<Figure size 640x480 with 1 Axes>")
    log = new_output("stream", name="stdout", text="line\n" * (executed.LOG_LINES + 1))
    slider = new_output("display_data", data={executed.WIDGET: {}, "text/plain": "FloatSlider()"})
    assert executed.faults(notebook([picture], [slider, new_output("stream", text="press it\n")])) == []
    for cells, word in (
        ([[name]], "instead of a picture"),
        ([[picture], [picture]], "the picture of cell 0 again"),
        ([[log]], "lines of text"),
        ([[slider]], "something to touch"),
    ):
        (fault,) = executed.faults(notebook(*cells))
        assert word in fault


def test_progress_bars_leave_no_trace_and_messages_stay():
    bar = "\rreading:   0%|          | 0/6 [00:00<?, ?video/s]"
    done = "\rreading: 100%|##########| 6/6 [00:22<00:00,  3.8video/s]"
    outputs = [new_output("stream", name="stderr", text=t) for t in (bar, done, "\n", "a warning\n")]
    (cell,) = executed.tidied(notebook(outputs)).cells
    assert [output.text for output in cell.outputs] == ["a warning\n"]


def test_the_page_draws_formulas_and_loads_nothing():
    node = notebook([shown(image_png=PIXEL)], [new_output("display_data", data={executed.WIDGET: {}})])
    node.cells.append(
        new_markdown_cell("so $a_1 * b_1$ and $$ \\frac{a}{b} \\le \\hat{s}_t $$ but `$x$` is code")
    )
    page = executed.page_of(node, "a title")
    assert page.count("<math") == 2 and "<mfrac>" in page and "$x$" in page
    assert "<title>a title</title>" in page and "data:image/png" in page
    assert executed.foreign_addresses(page) == []
    assert executed.foreign_addresses('<script src="https://a.b/c.js"></script><a href="https://fine">') == [
        "https://a.b/c.js"
    ]
