"""One part exchanged at a time: what is trained, and what each cell is compared with."""

import dataclasses

import pytest
from support.made_up_motion import WINDOW, made_up_motion

from metst_core.errors import InputError
from metst_core.experiment import CELLS, Cell, run_ablation, window_cells, without_effect
from metst_core.metrics import Intervals
from metst_core.rivals import count_parameters
from metst_core.training import TrainConfig, leave_one_subject_out

TINY = TrainConfig(
    model="metst", width=8, depth=1, d_state=4, epochs=1, batch_size=32, learning_rate=1e-2, ratio=1, seed=3
)
FEW = Intervals(n=30)


@pytest.fixture(scope="module")
def motion():
    return made_up_motion()


@pytest.fixture(scope="module")
def base(motion, tmp_path_factory):
    """The finished run that every cell is compared with."""
    return leave_one_subject_out(motion, TINY, tmp_path_factory.mktemp("base"))


def test_ablation_trains_what_training_tells_apart_and_pairs_every_cell_with_the_base(motion, base, tmp_path):
    cells = [c for c in CELLS if c.factor in ("synergy", "intervals")] + list(window_cells([WINDOW]))
    ablation = run_ablation(motion, base, tmp_path, cells, intervals=FEW)
    assert len(list(tmp_path.iterdir())) == 1  # synergy 0; all the rest is the base's training
    assert (ablation.table["parameters"] == count_parameters(TINY.build())).all()
    table = ablation.table.set_index(["factor", "level"])
    assert table["is_base"].to_dict() == {
        ("synergy", "0"): False,
        ("synergy", "1"): False,
        ("synergy", "2"): True,
        ("intervals", "fixed"): True,
        ("intervals", "extensible"): False,
        ("window length", str(WINDOW)): True,
    }
    for key, row in table.iterrows():
        result = ablation.results[key]
        assert row["strs"] == pytest.approx(result.evaluation.strs)
        assert row["strs_difference"] == pytest.approx(row["strs"] - table.loc[("synergy", "2"), "strs"])
        assert not (row["is_base"] and row["makes_a_difference"])
    assert "window length" in without_effect(ablation.table)
    with pytest.raises(InputError, match="lacks window length 30"):
        run_ablation(motion, base, tmp_path, window_cells([30]))


def test_ablation_reads_the_base_from_its_finished_run(motion, base, tmp_path):
    cells = [Cell("synergy", level, {"synergy": int(level)}) for level in "12"]
    run_ablation(motion, base, tmp_path / "grid", cells, intervals=FEW)
    assert not (tmp_path / "grid").exists()  # nothing was left to train


def test_every_cell_of_the_grid_is_a_configuration():
    published = TrainConfig()
    for cell in CELLS:
        config = dataclasses.replace(published, **cell.changes)
        assert all(getattr(config, name) == value for name, value in cell.changes.items())
    assert {c.factor for c in CELLS if dataclasses.replace(published, **c.changes) == published} == {
        c.factor for c in CELLS
    }
