"""A Dask cluster of this machine's processes that loses one of them on the way."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

import distributed


class KillOnce(distributed.WorkerPlugin):
    """The worker whose `tasks`-th task begins dies at once, as one does that runs out of memory.

    It leaves the file `died`, which keeps the others from following.
    """

    def __init__(self, died: Path, tasks: int) -> None:
        self.died, self.tasks, self.begun = died, tasks, 0

    def transition(self, key, start, finish, **more) -> None:
        if finish != "executing" or not str(key).startswith("batch_of"):
            return
        self.begun += 1
        if self.begun == self.tasks and not self.died.exists():
            self.died.write_text(str(key))
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def cluster_with_a_victim(died: Path, tasks: int, workers: int = 2, threads: int = 1):
    """Worker processes, started anew when they die; one of them dies when its `tasks`-th task begins."""
    with (
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=threads, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.register_plugin(KillOnce(died, tasks))
        yield client
