"""Pages to touch: whole without a kernel, and nothing of them comes from another host."""

import json
import re

import pytest

from metst_core.experiment import write_touch_pages
from metst_core.experiment.executed import foreign_addresses
from metst_core.files import write_json


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    run, out = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("touch")
    row = {"honest": 0.25, "with a leak": 0.5, "difference": 0.25, "low": 0.125, "high": 0.375}
    leak = [{"metric": m, **row} for m in ("spotting_f1", "recognition_f1", "strs")]
    write_json({"leak": leak}, run / "results.json")
    return {path.name: path for path in write_touch_pages(out, run, steps=2)}


def test_each_is_one_file_that_loads_nothing(pages):
    assert pages.keys() == {"bump.html", "leak.html"}  # the run has no networks, so there are no knobs
    for path in pages.values():
        text = path.read_text(encoding="utf-8")
        assert foreign_addresses(text) == [] and "Content-Security-Policy" in text
        json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
