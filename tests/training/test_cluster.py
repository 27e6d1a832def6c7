"""Extraction and LOSO on a real Dask cluster of processes, one of which is killed on the way."""

import signal

import numpy as np
import pandas as pd
import pytest
from support.faces import Fake, write_frames

from metst_core.datasets import load_dataset
from metst_core.errors import InputError, MetstError
from metst_core.extraction import extract_dataset
from metst_core.files import read_json
from metst_core.training import TrainConfig, leave_one_subject_out

pytest.importorskip("distributed")
from support.cluster import cluster_with_a_victim

WINDOW = 4
CONFIG = TrainConfig(
    model="metst", width=4, depth=1, d_state=2, epochs=1, batch_size=8, learning_rate=1e-2, ratio=1, seed=3
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL"),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three subjects with two moving pictures each, every one with a micro-expression."""
    root = tmp_path_factory.mktemp("videos")
    rows = ["subject,video,onset,apex,offset,emotion"]
    for s in range(3):
        for v in range(2):
            write_frames(root / f"s{s}" / f"v{v}", 13 + v, 2 * s + v)
            rows.append(f"s{s},v{v},4,6,9,{('positive', 'negative')[v]}")
    (root / "annotations.csv").write_text("\n".join(rows) + "\n")
    return load_dataset("folder", root, window=WINDOW)


def done_at_last(work):
    """What `work` gives; where Dask forgot a future of the worker that died (a race of its own), by the call repeated.

    The error says that what is finished is kept; so the same call goes on from there.
    """
    try:
        return work()
    except MetstError as error:
        assert "worker process was killed" in str(error)
        return work()


def test_extraction_on_a_cluster_that_loses_a_worker_is_that_of_one_process(dataset, tmp_path):
    here = extract_dataset(dataset, landmarker_factory=Fake)
    with cluster_with_a_victim(tmp_path / "died", tasks=2):
        there = done_at_last(
            lambda: extract_dataset(
                dataset, landmarker_factory=Fake, cache_dir=tmp_path / "cache", n_jobs=-1, backend="dask"
            )
        )
    assert (tmp_path / "died").exists()
    assert list(there.windows) == list(here.windows) and len(here.windows) == 6
    assert all(np.array_equal(there.windows[key], here.windows[key]) for key in here.windows)
    pd.testing.assert_frame_equal(there.videos, here.videos, check_exact=True)
    assert there.skipped.empty


def test_loso_on_a_cluster_that_loses_a_worker_has_the_hash_and_the_numbers_of_loky(dataset, tmp_path):
    motion = extract_dataset(dataset, landmarker_factory=Fake)
    here = leave_one_subject_out(motion, CONFIG, tmp_path / "here", n_jobs=2)
    with cluster_with_a_victim(tmp_path / "died", tasks=2):
        there = done_at_last(
            lambda: leave_one_subject_out(motion, CONFIG, tmp_path / "there", n_jobs=-1, backend="dask")
        )
    assert (tmp_path / "died").exists()
    hashes = {
        read_json(tmp_path / name / "folds" / subject / "fold.json")["run"]
        for name in ("here", "there")
        for subject in motion.subjects
    }
    assert len(hashes) == 1
    assert there.traces.keys() == here.traces.keys()
    for key, (score, probabilities) in here.traces.items():
        assert np.array_equal(score, there.traces[key][0])
        assert np.array_equal(probabilities, there.traces[key][1])
    pd.testing.assert_frame_equal(there.predictions, here.predictions, check_exact=True)
    pd.testing.assert_frame_equal(there.history, here.history, check_exact=True)


def test_a_cluster_that_loses_its_last_worker_is_named(dataset, tmp_path):
    """What was sent to the workers is gone then, and Dask gives up."""
    with (
        cluster_with_a_victim(tmp_path / "died", tasks=2, workers=1, threads=2),
        pytest.raises(MetstError, match=r"worker process was killed.*give a cache_dir"),
    ):
        extract_dataset(dataset, landmarker_factory=Fake, n_jobs=-1, backend="dask")


def test_extraction_without_a_cluster_names_what_is_missing(dataset):
    with pytest.raises(InputError, match="backend 'dask' cannot be used.*Client"):
        extract_dataset(dataset, landmarker_factory=Fake, backend="dask")
