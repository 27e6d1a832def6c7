"""Run files with a seal: a flipped bit, a cut or another version is seen; files of before are read."""

import json

import numpy as np
import pytest

from metst_core.errors import InputError, MissingError
from metst_core.files import (
    UNREADABLE,
    check_seal,
    read_sealed,
    sealed,
    sealed_path,
    write_json,
    write_sealed,
)

pytestmark = pytest.mark.quick


@pytest.fixture
def archive(tmp_path):
    with sealed_path(tmp_path / "a.npz") as temporary:
        np.savez(temporary, x=np.arange(6.0), y=np.zeros(2, bool))
    return tmp_path / "a.npz"


def test_a_sealed_archive_is_read_by_numpy_as_any_other(archive):
    assert check_seal(archive)
    with np.load(archive, allow_pickle=False) as stored:
        assert stored["x"].tolist() == [0, 1, 2, 3, 4, 5] and stored["y"].shape == (2,)


def test_every_flipped_bit_and_every_cut_is_seen(archive):
    whole = archive.read_bytes()
    rng = np.random.default_rng(0)
    for place in [0, len(whole) - 1, len(whole) - 80, *rng.integers(0, len(whole), 200).tolist()]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        archive.write_bytes(damaged)
        try:  # with a damaged mark it is a file without a seal, which the reader must then refuse
            has_seal = check_seal(archive)
        except UNREADABLE:
            continue
        assert not has_seal and place >= len(whole) - 80
    for length in range(0, len(whole) - 80, 97):  # cut in its last 77 bytes, it lacks the seal alone
        archive.write_bytes(whole[:length])
        with pytest.raises(UNREADABLE):
            check_seal(archive)


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sealed, "_MOST_INFLATED", 1 << 20)
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(3 << 20, np.uint8))
    assert (tmp_path / "bomb.npz").stat().st_size < 1e4
    with pytest.raises(InputError, match=r"would take 3 MB"):
        check_seal(tmp_path / "bomb.npz")


def test_json_with_a_seal(tmp_path):
    path = write_sealed({"b": float("nan"), "a": [1, {"c": np.float64(0.1)}]}, tmp_path / "r.json")
    assert read_sealed(path, "-") == {"b": None, "a": [1, {"c": 0.1}]}
    assert list(json.loads(path.read_text())) == ["b", "a", "checksum"]
    path.write_text(path.read_text().replace("0.1", "0.2"))
    with pytest.raises(InputError, match=r"r\.json: is damaged or was changed by hand .* run `x` again"):
        read_sealed(path, "run `x` again")
    write_json({"a": 1}, path)  # as before there were seals
    assert read_sealed(path, "-") == {"a": 1}
    path.unlink()
    with pytest.raises(MissingError, match="run `x` again"):
        read_sealed(path, "run `x` again")
