"""What people call first shows how: its docstring has a short example, and the example runs."""

import doctest

import pytest

from metst_core.datasets import load_dataset
from metst_core.decoding import half_length, spot_intervals
from metst_core.footage import plant
from metst_core.metrics import evaluate, interval_iou
from metst_core.models import METSTPlus
from metst_core.pipeline import analyse
from metst_core.ssm import selective_scan
from metst_core.synthetic import generate
from metst_core.training import leave_one_subject_out

CALLED_FIRST = (
    analyse,
    load_dataset,
    generate,
    plant,
    METSTPlus,
    selective_scan,
    leave_one_subject_out,
    evaluate,
    spot_intervals,
    interval_iou,
    half_length,
)


@pytest.mark.parametrize("thing", CALLED_FIRST, ids=lambda thing: thing.__name__)
def test_its_example_runs(thing):
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for example in doctest.DocTestFinder(recurse=False).find(thing, thing.__name__):
        runner.run(example, out=said.append)
    assert runner.tries, f"{thing.__name__} has no example"
    assert not runner.failures, "".join(said)
