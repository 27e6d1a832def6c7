"""Locks that a process holds on a file or folder, and that go with it however it ends."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from metst_core.errors import InputError
from metst_core.files.names import printable

try:
    import fcntl
except ImportError:  # Windows: nothing is held there, and nothing counts as left behind
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = ".lock"


_NOTHING = -1  # in place of a descriptor where nothing can be held


def hold(path: Path) -> int | None:
    """A descriptor that holds a file or folder while this process lives; None if it vanished meanwhile."""
    if fcntl is None:
        return _NOTHING
    descriptor = os.open(path, os.O_RDONLY)
    if _take(descriptor) and path.exists():
        return descriptor
    os.close(descriptor)
    return None


def release(descriptor: int) -> None:
    """Let go of what `hold` gave."""
    if descriptor != _NOTHING:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def is_left_behind(path: Path) -> bool:
    """Whether a file or folder that its maker holds while it works (`hold`) has no maker any more."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextlib.contextmanager
def only_one(folder: str | Path) -> Iterator[None]:
    """Inside, this is the only process (and the only such block) that works in the folder.

    An `InputError` says who works there where somebody does.  The lock is a hidden file that is gone in the
    end; that of a process that was killed binds nobody.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_NAME
    descriptor = _taken(path)
    if descriptor is None:
        who = ""
        with contextlib.suppress(OSError):
            who = printable(path.read_text(encoding="utf-8", errors="replace")[:200].strip())
        raise InputError(
            f"{folder}: another call works in this folder ({who or 'it has not said which'}); wait until it has ended, "
            "or name another folder"
        )
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        if fcntl is None:  # Windows removes no open file
            os.close(descriptor)
        path.unlink(missing_ok=True)
        if fcntl is not None:
            os.close(descriptor)


def _taken(path: Path) -> int | None:
    """The lock file, open and held; None where another holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _take(descriptor):
            os.close(descriptor)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # its holder ended, and took it away, in between: once more
