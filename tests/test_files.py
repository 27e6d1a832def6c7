"""Files are whole or absent; hashes follow contents; a run record can be traced."""

import json
import os

import numpy as np
import pytest

from metst_core.files import atomic_path, content_hash, run_record, value_hash, write_json


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_content_hash_sees_bytes_and_names(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"x")
    first = content_hash(folder)
    (folder / "1.png").write_bytes(b"y")
    changed = content_hash(folder)
    (folder / "1.png").rename(folder / "2.png")
    assert len({first, changed, content_hash(folder)}) == 3
    (folder / "2.png").write_bytes(b"x")
    (folder / "2.png").rename(folder / "1.png")
    assert content_hash(folder) == first


def test_json_has_no_nan_and_takes_numpy(tmp_path):
    path = write_json({"a": np.float64("nan"), "b": np.arange(2), "c": {3: (1, None)}}, tmp_path / "x.json")
    assert json.loads(path.read_text()) == {"a": None, "b": [0, 1], "c": {"3": [1, None]}}


def test_value_hash_ignores_key_order():
    assert value_hash({"a": 1, "b": [2]}) == value_hash({"b": [2], "a": 1}) != value_hash({"a": 1, "b": [3]})


def test_record_holds_versions_and_extras():
    record = run_record(seed=3)
    assert record["seed"] == 3
    assert record["versions"]["numpy"] == np.__version__
