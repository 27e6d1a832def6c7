"""Workers end with their parent, and work on one thread gives the threads back."""

import itertools
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numba
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metst_core.workers import lanes, one_opencv_thread, one_thread, prefetched

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


class Source:
    """Counts from 0, notes how far it was asked, whether it was closed, and breaks where it is told to."""

    def __init__(self, n, error=None):
        self.asked, self.closed = 0, False
        self.n, self.error = n, error

    def __iter__(self):
        try:
            for number in range(self.n):
                self.asked = number + 1
                yield number
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


class TestPrefetched:
    @given(st.integers(0, 30), st.integers(1, 5), st.integers(0, 30))
    @settings(max_examples=30, deadline=None)
    def test_it_gives_all_in_order_and_is_only_so_far_ahead(self, n, ahead, left_after):
        source, seen = Source(n), []
        with prefetched(source, ahead) as items:
            for item in itertools.islice(items, left_after):
                seen.append(item)
                assert source.asked <= item + 1 + ahead
        assert seen == list(range(min(n, left_after)))
        assert source.closed and "prefetched" not in {thread.name for thread in threading.enumerate()}

    @pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
    def test_an_error_comes_after_what_was_before_it(self, error):
        seen = []
        with pytest.raises(type(error)), prefetched(Source(3, error), 5) as items:
            for item in items:
                seen.append(item)
        assert seen == [0, 1, 2]

    def test_an_error_of_the_caller_ends_the_thread(self):
        source = Source(1000)
        with pytest.raises(ValueError), prefetched(source, 2) as items:
            next(items)
            raise ValueError
        assert source.closed and source.asked < 10

    def test_ctrl_c_at_any_moment_ends_the_thread(self):
        """With a semaphore, about one of some hundred interrupts left the main thread waiting for good."""
        code = """
import itertools, random, signal, threading
from metst_core.workers import prefetched
signal.signal(signal.SIGALRM, signal.default_int_handler)
rng = random.Random(0)
for _ in range(1000):
    try:
        with prefetched(itertools.count(), 2) as items:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-4, 1e-3))
            for _ in items:
                pass
    except KeyboardInterrupt:
        continue
    raise SystemExit("not interrupted")
assert threading.active_count() == 1, threading.enumerate()
"""
        subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


class TestLanes:
    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_a_lane_keeps_its_order(self, n):
        done = [[] for _ in range(n)]
        with lanes(n) as submit:
            jobs = [submit(i, lambda i=i: done[i % n].append(i) or i) for i in range(60)]
            assert [job.result() for job in jobs] == list(range(60))
        assert done == [list(range(lane, 60, n)) for lane in range(n)]

    def test_lanes_work_at_the_same_time(self):
        meeting = threading.Barrier(2, timeout=30)
        with lanes(2) as submit:
            for job in [submit(0, meeting.wait), submit(1, meeting.wait)]:
                job.result()

    def test_what_has_not_begun_is_dropped(self):
        begun, go_on, done = threading.Event(), threading.Event(), []

        def first():
            begun.set()
            go_on.wait(30)

        with pytest.raises(KeyboardInterrupt), lanes(2) as submit:
            submit(0, first)
            submit(0, done.append, 1)
            begun.wait(30)
            threading.Timer(0.05, go_on.set).start()
            raise KeyboardInterrupt
        assert done == []
