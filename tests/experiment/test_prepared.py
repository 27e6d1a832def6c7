"""A prepared run says what its run said, is checked by hash, and is what a notebook opened by hand starts from."""

import dataclasses

import numpy as np
import pytest
from support.made_up_motion import made_up_motion
from support.recorded_run import record_results

from metst_core.cli import main
from metst_core.errors import InputError, MissingError
from metst_core.experiment import PROFILES, Run, by_hand, collect_results, prepare, prepared, unpack
from metst_core.experiment.prepared import MANIFEST


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A tiny finished run of two methods."""
    patch = pytest.MonkeyPatch()
    train = {"epochs": 1, "width": 8, "d_state": 2, "blocks_per_stage": 1, "depth": 1, "batch_size": 32}
    small = dataclasses.replace(PROFILES["smoke"], models=("metst_plus", "metst"), train=train, n_seeds=1)
    patch.setitem(PROFILES, "smoke", small)
    run = Run("smoke", "synthetic", None, 1, tmp_path_factory.mktemp("run") / "smoke", {}, 1)
    motion = made_up_motion(features="metst_plus")
    motion.save(run.out / "motion.npz")
    for name in small.models:
        run.train(name)
    record_results(run.out)
    collect_results(run.out)
    yield run
    patch.undo()


def test_what_is_unpacked_is_the_run(finished, tmp_path, monkeypatch):
    folder = prepare(finished.out, tmp_path / "prepared")
    sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file()]
    assert sum(sizes) < prepared.LIMIT
    assert {p.suffix for p in folder.rglob("*") if p.is_file()} == {".json", ".csv", ".safetensors"}
    unpack(folder, tmp_path / "again")
    again = Run("smoke", "synthetic", None, 1, tmp_path / "again", {}, 1)
    assert again.prepared and not again.has_faces and again.truth("s0", "v0") is None
    monkeypatch.setattr(
        "metst_core.training.loso._train_and_store", lambda *_: pytest.fail("something was trained")
    )
    for name in ("metst_plus", "metst"):
        before, after = (run.train(name)["strict"] for run in (finished, again))
        assert before.k_p == after.k_p and before.config == after.config
        for key, (score, probabilities) in before.traces.items():
            assert np.allclose(score, after.traces[key][0], atol=1e-3)
            assert np.allclose(probabilities, after.traces[key][1], atol=1e-3)
    subject = again.motion().annotations["subject"].iloc[0]
    fold = again.one_fold("metst_plus", subject)
    mine = next(iter(fold.traces))
    assert np.allclose(fold.traces[mine][0], before_scores(finished, mine), atol=1e-3)
    with pytest.raises(MissingError, match="prepared without the network of subject s2"):
        again.fold_model("metst_plus", "s2")
    unpack(folder, tmp_path / "again")  # done before: nothing is done


def before_scores(run, key):
    return run.train("metst_plus")["strict"].traces[key][0]


def test_a_file_that_was_changed_is_refused(finished, tmp_path):
    folder = prepare(finished.out, tmp_path / "prepared")
    with (folder / "metst" / "history.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(InputError, match=r"history\.csv: is not as it was prepared"):
        unpack(folder, tmp_path / "again")
    with pytest.raises(MissingError, match="metst prepare"):
        unpack(tmp_path / "nothing", tmp_path / "again")


def test_networks_are_left_out_where_there_is_no_room(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prepared, "LIMIT", 20_000)
    assert main(["prepare", str(finished.out), "--out", str(tmp_path / "prepared")]) == 0
    assert "no room for the networks of metst_plus, metst" in capsys.readouterr().out
    (tmp_path / "mine").mkdir()
    assert main(["prepare", str(finished.out), "--out", str(tmp_path / "mine")]) == 1


def test_by_hand_starts_from_what_is_there(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(prepared, "find_prepared", lambda: None)
    alone = by_hand(tmp_path / "alone")
    assert (alone.profile_name, alone.prepared, alone.out) == ("smoke", False, tmp_path / "smoke")
    folder = prepare(finished.out, tmp_path / "prepared")
    assert (folder / MANIFEST).is_file()
    monkeypatch.setattr(prepared, "find_prepared", lambda: folder)
    run = by_hand(tmp_path / "hand")
    assert run.prepared and run.seed == 1 and run.motion().windows.keys() == finished.motion().windows.keys()
