"""Hashes follow contents; a run record can be traced; a folder belongs to one run."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from metst_core.errors import InputError
from metst_core.files import claim_folder, content_hash, plain, run_record, value_hash, write_json

pytestmark = pytest.mark.quick


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


# --- one folder, one run --------------------------------------------------------------------------


def test_a_claimed_folder_is_given_to_the_same_settings_again_and_its_note_stays(tmp_path):
    settings = {"config": {"epochs": 2, "rates": (0.1, 0.2)}, "seed": 1}
    claim_folder(tmp_path, settings, extra={"record": "first"})
    claim_folder(tmp_path, settings, extra={"record": "second"})  # tuples come back as lists: the same
    assert json.loads((tmp_path / "run.json").read_text())["record"] == "first"


def test_a_folder_of_other_settings_is_refused_with_every_difference(tmp_path):
    claim_folder(tmp_path, {"config": {"epochs": 2, "width": 8}, "seed": 1})
    with pytest.raises(
        InputError, match=r"config\.epochs is 2 there, 5 here; seed is 1 there, 3 here; delete"
    ):
        claim_folder(tmp_path, {"config": {"epochs": 5, "width": 8}, "seed": 3})
    with pytest.raises(InputError, match=r"tier is None there, 'hard' here"):
        claim_folder(tmp_path, {"config": {"epochs": 2, "width": 8}, "seed": 1, "tier": "hard"})


def test_a_folder_that_nobody_occupies_is_taken_over(tmp_path):
    claim_folder(tmp_path, {"seed": 1}, note="generation.json")
    claim_folder(tmp_path, {"seed": 2}, note="generation.json", occupied=lambda: False)
    with pytest.raises(InputError, match="holds another set: seed is 2 there"):
        claim_folder(tmp_path, {"seed": 3}, note="generation.json", what="another set")


@pytest.mark.parametrize("text", ["half a fi", "[1, 2]"])
def test_a_note_that_cannot_be_read_is_named_with_the_remedy(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json: .*delete the folder"):
        claim_folder(tmp_path, {"seed": 1})


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}"])
def test_json_that_would_break_the_reader_is_named_too(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json: is no JSON"):
        claim_folder(tmp_path, {"seed": 1})


# --- large values go to the file in pieces ----------------------------------------------------------


def test_what_is_written_in_pieces_is_what_json_says_in_one(tmp_path):
    value = {
        "none": None, "yes": True, "odd": "\udcff é \n", 3: (1, 2.5), "set": {2, 1}, "path": Path("a/b"), "empty": [], "no": {},
        "numbers": np.array([[0.1, np.nan], [np.inf, -0.0]]), "whole": np.arange(3, dtype=np.int16), "one": np.float32(0.1),
        "flat": np.array(2.0), "nothing": np.zeros((0, 2)), "marks": np.array([True, False]), "deep": [{"x": np.ones(2)}],
        "long": np.arange(5000) / 3, "rows": np.arange(9000).reshape(-1, 3),
    }  # fmt: skip
    text = write_json(value, tmp_path / "x.json").read_bytes().decode("ascii")
    assert text == json.dumps(plain(value), indent=2, allow_nan=False) + "\n"
    assert json.loads(text) == plain(value)


def test_what_json_cannot_say_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(TypeError, match="object"):
        write_json({"a": np.arange(3), "b": object()}, tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("larger", ["more", "longer"])
def test_more_and_longer_arrays_take_no_more_memory_to_write(tmp_path, larger):
    def peak(n: int) -> int:
        arrays, length = (n, 4_000) if larger == "more" else (1, 4_000 * n)
        value = {str(i): np.random.default_rng(i).random(length) for i in range(arrays)}
        tracemalloc.start()
        try:
            write_json(value, tmp_path / "x.json")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(8) < 1.5 * peak(1)
