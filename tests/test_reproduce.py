"""Notebooks through papermill: what a widget shows is on the page, and a cell that fails is named."""

import nbformat
import pytest

from metst_core.errors import MetstError
from metst_core.reproduce import _execute


def notebook(path, *cells):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(book, path)
    return path


def test_what_a_widget_shows_is_output_of_its_cell(tmp_path):
    """Else it would be in the widget's state alone, and nbclient's stand-in for `Output` would be at work, whose
    messages can lose a cell's reply (nbclient, issue 312)."""
    source = notebook(
        tmp_path / "widget.ipynb",
        "word = 'none'",
        "import ipywidgets\n_ = ipywidgets.interact(lambda n: print(word, n * n), n=(0, 8))",
    )
    _execute(source, tmp_path / "out" / "widget.ipynb", {"word": "square"})
    cell = nbformat.read(tmp_path / "out" / "widget.ipynb", 4).cells[-1]
    shown = [output.text for output in cell.outputs if output.output_type == "stream"]
    assert shown == ["square 16\n"]  # the slider starts in the middle, at 4
    assert "square 16" in (tmp_path / "out" / "widget.html").read_text(encoding="utf-8")


def test_a_cell_that_fails_is_named_and_what_ran_is_kept(tmp_path):
    source = notebook(tmp_path / "broken.ipynb", "x = 1", "print('so far')", "1 / 0")
    with pytest.raises(MetstError, match=r"broken\.ipynb: cell .*ZeroDivisionError"):
        _execute(source, tmp_path / "out.ipynb", {})
    assert "so far" in (tmp_path / "out.ipynb").read_text(encoding="utf-8")
