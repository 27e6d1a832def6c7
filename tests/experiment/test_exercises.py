"""Exercises: the solved notebooks hold, the unsolved ones fail kindly, and a judge says what is wrong with an answer."""

from pathlib import Path

import nbformat
import numpy as np
import pytest

from metst_core.errors import InputError
from metst_core.experiment import exercises
from metst_core.experiment.exercises import JUDGES, check, student, write_student

pytestmark = pytest.mark.quick
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAMES = {
    "np": np,
    "check": check,
    **{
        name: getattr(exercises, name)
        for name in ("LENGTHS_OF_MES", "findable", "a_run_to_break", "counts_per_person", "pooled_f1")
    },
}


def cells():
    """(notebook, cell source) of every exercise."""
    for path in sorted(NOTEBOOKS.glob("0*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if exercises.TAG in cell.metadata.get("tags", []):
                yield path.stem, cell.source


@pytest.fixture(scope="module")
def names():
    found, truth = exercises.a_run_to_break()
    return {**NAMES, "predictions_made_up": found, "truth_made_up": truth}


def test_there_are_eight_and_each_has_a_judge():
    asked = [exercises._name(source.split("\n")[-1]) for _, source in cells()]
    assert sorted(asked) == sorted(JUDGES) and 6 <= len(asked) <= 8


@pytest.mark.parametrize(("stem", "source"), list(cells()), ids=lambda value: value[:24])
def test_solved_it_holds_and_unsolved_it_fails_kindly(stem, source, names, capsys):
    exec(source, dict(names))
    assert ": right." in capsys.readouterr().out
    node = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source, metadata={"tags": [exercises.TAG]})]
    )
    unsolved, solutions = student(node)
    exec(unsolved.cells[0].source, dict(names))  # raises nothing
    said = capsys.readouterr().out
    assert "not yet" in said or "not answered yet" in said
    assert "Hint:" in said and "assert" not in unsolved.cells[0].source
    assert solutions.startswith("## ") and node.cells[0].source == source


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("share mean", lambda flow, q: flow.reshape(-1, 2).mean(axis=0), "mean of all pixels"),
        ("share mean", lambda flow, q: np.zeros(3), "shape (3,)"),
        ("share mean", lambda flow, q: 1 / 0, "stops with ZeroDivisionError"),
        ("lost frames", lambda n, window: n % window, "windows overlap by half"),
        ("half life", lambda a, delta: np.log(2) / -a, "frames are asked"),
        ("half life", lambda a, delta: 1 / (-a * delta), "1/e"),
        ("merged steps", lambda first, second: (first[0] * second[0], first[0] * second[1] + first[1]), "other order"),
        ("best half length", 1, "more is possible"),
        ("find the leak", "BCDE", "E does not leak"),
        ("find the leak", "B", "2 more of them leak"),
        ("find the leak", "XY", "none of A, B"),
        ("break STRS", [True] * 11, "one True or False"),
        ("break STRS", np.array([True] * 11), "the STRS was"),
        ("break STRS", np.array([True] * 8 + [False] * 3), "false alarms"),
        ("honest p", lambda counts, person: exercises.pooled_f1(counts).idxmax(), "that is a leak"),
        ("honest p", lambda counts, person: 0.3, "has the best F1"),
        ("honest p", lambda counts, person: 7, "none of the thresholds"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_told_what_is_wrong_with_it(name, answer, said, capsys):
    answer = np.array(answer) if name == "break STRS" and isinstance(answer, list) else answer
    if said == "one True or False":
        answer = answer[:5]
    assert check(name, answer) is False
    assert said in capsys.readouterr().out


def test_the_students_notebooks_are_written_with_their_solutions(tmp_path):
    written = write_student(NOTEBOOKS, tmp_path)
    assert [path.stem[:2] for path in written] == ["01", "02", "03", "04"]
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert "assert check(" not in text and "check(" in text
        assert "```python" in (tmp_path / "solutions" / f"{path.stem}.md").read_text(encoding="utf-8")


def test_a_cell_without_its_parts_is_named():
    with pytest.raises(InputError, match="an exercise's cell begins with"):
        exercises._parts("x = 1")
    with pytest.raises(InputError, match="none of share mean"):
        check("no such thing", 1)
