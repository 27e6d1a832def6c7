"""Workers end with their parent, and work on one thread gives the threads back."""

import subprocess
import sys
import time
from pathlib import Path

import cv2
import numba
import pytest
import torch

from metst_core.workers import one_opencv_thread, one_thread

ORPHAN = """
import os, subprocess, sys, time
child = "import time; from metst_core.workers import end_with_parent; end_with_parent(0.05); print('up', flush=True); time.sleep(60)"
process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, text=True)
assert process.stdout.readline() == "up\\n"
print(process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc")
def test_a_worker_ends_when_the_process_that_started_it_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True)
    worker = Path("/proc") / parent.stdout.readline().strip()
    assert worker.is_dir()
    parent.kill()
    parent.wait()
    for _ in range(1000):
        if not worker.is_dir() or "zombie" in (worker / "status").read_text():
            break
        time.sleep(0.01)
    else:
        pytest.fail("the worker outlived its parent")


def threads():
    return torch.get_num_threads(), numba.get_num_threads(), cv2.getNumThreads()


@pytest.mark.parametrize(("context", "inside"), [(one_thread, (1, 1, 2)), (one_opencv_thread, (2, 2, 1))])
def test_one_thread_holds_inside_only_and_also_after_an_error(context, inside):
    before = threads()
    most = min(2, numba.config.NUMBA_NUM_THREADS)
    try:
        torch.set_num_threads(2)
        numba.set_num_threads(most)
        cv2.setNumThreads(2)
        with pytest.raises(RuntimeError), context():
            assert threads() == tuple(min(n, most) if i == 1 else n for i, n in enumerate(inside))
            raise RuntimeError
        assert threads() == (2, most, 2)
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])
        cv2.setNumThreads(before[2])


def test_the_thread_of_opencv_needs_no_torch():
    code = (
        "import sys; from metst_core.workers import one_opencv_thread\n"
        "with one_opencv_thread(): assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
