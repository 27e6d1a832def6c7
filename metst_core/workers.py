"""Processes that end with their parent and compute on one thread, and threads that share a stream of work.

Of such threads one runs ahead of another (`prefetched`), or each has a lane of its own (`lanes`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import joblib

from metst_core.errors import InputError, MetstError

_Item = TypeVar("_Item")


def end_with_parent(poll_seconds: float = 0.5) -> None:
    """Watch from a thread for the death of the parent process, and then end this one at once.

    A parent that is killed cannot tell its workers; they would finish their task beside the repeated run,
    or wait for good for the rest of a message.  Without effect where a process keeps its parent's number
    (Windows).
    """
    threading.Thread(target=_watch, args=(os.getppid(), poll_seconds), daemon=True).start()


def _watch(parent: int, poll_seconds: float) -> None:
    while os.getppid() == parent:
        time.sleep(poll_seconds)
    os._exit(1)


def cores(most: int = 4) -> int:
    """Processes to work with where nobody says: one per physical core, `most` at most.

    Two on a machine of two threads.  `most`, because each holds some 700 MB of libraries and windows.
    """
    return min(most, joblib.cpu_count(), max(2, joblib.cpu_count(only_physical_cores=True)))


_M_TRIM_THRESHOLD, _M_ARENA_MAX = -1, -8  # of glibc's malloc.h


def share_memory() -> None:
    """From now on threads share two pools of memory, and what is freed goes back to the system, where the C library is glibc.

    From 128 KB on; else from as much on as was ever freed at once.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
        ctypes.CDLL(None).mallopt(_M_TRIM_THRESHOLD, 128 * 1024)


def give_back_memory() -> None:
    """Return to the system what was freed and is still held, where the C library is glibc."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def on_backend(backend: str, n_jobs: int, shared: Sequence[Any] = ()) -> Iterator[None]:
    """A `joblib.Parallel` that is made in here works with joblib's `backend` and `n_jobs`.

    "loky": processes of this machine, which end with this one.  "dask": the workers of the existing
    `distributed.Client`; `shared`, arguments that many tasks have in common, travel to every worker once, not
    with every task, and outlive all workers but the last.  "ray": where installed.  `InputError` for a backend
    that is not there.
    """
    if backend == "ray":
        _register_ray()
    options: dict[str, Any] = {"loky": {"initializer": end_with_parent}, "dask": {"scatter": list(shared)}}
    try:
        with joblib.parallel_config(backend=backend, n_jobs=n_jobs, **options.get(backend, {})):
            yield
    except (ValueError, KeyError) as error:
        raise InputError(f"backend {backend!r} cannot be used ({error})") from error


@contextlib.contextmanager
def naming_killed_workers(n_jobs: int, kept: str) -> Iterator[None]:
    """A `MetstError` where a backend gives up on workers that were killed; `kept` says what is not lost.

    loky gives up on the first; Dask, on a task that killed one worker after the other (`KilledWorker`, whose
    package may not be installed) or when the last one that held the data is gone (`CancelledError`).
    """
    try:
        yield
    except Exception as error:
        lost = isinstance(error, (BrokenProcessPool, CancelledError))
        if not lost and type(error).__name__ != "KilledWorker":
            raise
        raise MetstError(
            f"a worker process was killed, mostly for lack of memory; use fewer than n_jobs={n_jobs} ({kept})"
        ) from error


def _register_ray() -> None:
    try:
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise InputError("backend 'ray' needs the package ray; install it, or use 'loky'") from error
    register_ray()


@contextlib.contextmanager
def one_opencv_thread() -> Iterator[None]:
    """OpenCV on one thread; what was before is restored.  Needs no torch.

    Processes share the cores, one thread is as fast on images this small, and pixels must not depend on the
    number of threads.
    """
    import cv2  # here, so that workers that only train need not hold OpenCV

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch and the scan kernels on one thread; what was before is restored.

    Small networks gain nothing from more, threads that wait for each other cost time, and results must not depend
    on their number.
    """
    import numba  # here, so that workers that only read videos need not hold torch in memory
    import torch

    threads, kernel_threads = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        numba.set_num_threads(kernel_threads)


@contextlib.contextmanager
def prefetched(source: Iterable[_Item], ahead: int) -> Iterator[Iterator[_Item]]:
    """The items of `source`, in order, taken from it by a thread that is at most `ahead` items ahead.

        with prefetched(read_frames(path), 4) as frames:
            for frame in frames: ...

    What the source raises, Ctrl-C included, is raised where its next item would have come.  At the end of the block the
    thread has ended (after the item that it is at) and the source is closed, whoever left the block and how.
    """
    items: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
    # Not a semaphore: Ctrl-C within one leaves it locked, or a waiter that nobody wakes; a SimpleQueue is one step.
    room: queue.SimpleQueue[None] = queue.SimpleQueue()
    for _ in range(ahead):
        room.put(None)
    stopped = False

    def work() -> None:
        last: BaseException | None = None
        iterator = iter(source)
        try:
            while True:
                room.get()
                if stopped:
                    break
                items.put((True, next(iterator)))
        except StopIteration:
            pass
        except BaseException as error:
            last = error
        finally:
            if hasattr(iterator, "close"):
                iterator.close()
            items.put((False, last))

    def received() -> Iterator[_Item]:
        while True:
            is_item, value = items.get()
            if not is_item:
                if value is not None:
                    raise value
                return
            yield value
            room.put(None)

    thread = threading.Thread(target=work, name="prefetched", daemon=True)
    try:
        thread.start()
        yield received()
    finally:
        stopped = True
        room.put(None)
        if thread.ident is not None:
            thread.join()


def and_trouble(source: Iterable[_Item]) -> Iterator[_Item | Exception]:
    """The items of `source`, and at the end the error that ended them.

    What comes before it still counts, however far behind those are who work on them.
    """
    try:
        yield from source
    except Exception as error:
        yield error


@contextlib.contextmanager
def lanes(n: int) -> Iterator[Callable[..., Future]]:
    """`submit(lane, function, *arguments)`: jobs of one of `n` lanes run one after the other, lanes at the same time.

    With a single lane a job is run at once, in the caller's thread, and what it raises is raised there; otherwise by
    the result of its future.  Jobs that have not begun when the block ends are dropped.
    """
    if n == 1:
        yield _at_once
        return
    threads = [ThreadPoolExecutor(1, thread_name_prefix="lane") for _ in range(n)]
    try:
        yield lambda lane, function, *arguments: threads[lane % n].submit(function, *arguments)
    finally:
        for thread in threads:
            thread.shutdown(wait=False, cancel_futures=True)
        for thread in threads:
            thread.shutdown()


def _at_once(_lane: int, function: Callable[..., Any], *arguments: Any) -> Future:
    done: Future = Future()
    done.set_result(function(*arguments))
    return done
