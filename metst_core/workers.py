"""Worker processes that end with the process that started them."""

from __future__ import annotations

import os
import threading
import time


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
