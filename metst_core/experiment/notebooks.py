"""The main job: the notebooks in order through papermill, then one page that shows what came out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tqdm import tqdm

from metst_core.errors import InputError, MetstError, MissingError
from metst_core.experiment.executed import tidy_file, write_html
from metst_core.experiment.page import refresh
from metst_core.experiment.profiles import MAIN_JOB
from metst_core.experiment.run import Run
from metst_core.files import only_one, sweep
from metst_core.training import check_device


def reproduce(run: Run, notebooks_dir: str | Path | None = None) -> Path:
    """Execute the notebooks of the run's profile in order and write its page; returns the run's folder.

    The folder receives `notebooks/*.ipynb` and `*.html`, `figures/*.png`, `results.json` and `report.html`.  Work
    that an earlier, interrupted call finished (videos, features, folds) is not done again.
    Raises an `InputError` for a run that cannot be made, before anything is done, and a `MetstError` that names the
    notebook and the cell when one fails.
    """
    _check(run)
    source, out = _notebooks_folder(notebooks_dir), run.out.absolute()
    with (
        only_one(out),
        tqdm(run.profile.notebooks, unit="notebook", desc=f"reproduce {run.profile_name}") as bar,
    ):
        sweep(out, deep=True)
        for name in bar:
            bar.set_postfix_str(name)
            target = out / "notebooks" / f"{name}.ipynb"
            execute(source / f"{name}.ipynb", target, run.parameters, run.profile.cell_timeout)
        refresh(out)
    return out


def _check(run: Run) -> None:
    """Refuse what would fail, now and not after an hour of reading videos."""
    if run.dataset_name != "synthetic" and run.data_root is None:
        raise InputError(
            f"dataset {run.dataset_name!r} needs --data-root, the folder that holds it (see data/{run.dataset_name}.md)"
        )
    run.landmarker()  # what it lacks is said now
    if run.set_options and run.data_root is None:
        raise InputError(
            f"option {next(iter(run.set_options))!r}: the set that is generated takes none; leave it out, or name a data set"
        )
    try:
        check_device(run.profile.device)
    except InputError as error:
        raise InputError(
            f"profile {run.profile_name!r}: {error}, which the profiles smoke and default do"
        ) from None


def _notebooks_folder(folder: str | Path | None) -> Path:
    candidates = [Path(folder)] if folder else [Path("notebooks"), Path(__file__).parents[2] / "notebooks"]
    for candidate in candidates:
        if (candidate / f"{MAIN_JOB[0]}.ipynb").is_file():
            return candidate
    raise MissingError(
        f"{candidates[0]}: no notebooks here ({MAIN_JOB[0]}.ipynb is missing); run this in a clone of the repository, "
        "or name their folder with --notebooks"
    )


def execute(source: Path, target: Path, parameters: dict[str, Any], cell_timeout: int = 6 * 3600) -> None:
    """One notebook through papermill in a clean kernel, with other `parameters`, and its page beside it.

    The page is one file that asks nothing of the internet; progress bars leave no trace in either.

    A cell that says nothing for `cell_timeout` seconds is given up.  `MetstError` names the notebook and the cell
    that fails; what ran until then is kept.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.engines import papermill_engines

    if not source.is_file():
        raise MissingError(f"{source}: no such notebook")
    target.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # the kernel's debugger warns otherwise
    papermill_engines.register(_ENGINE, _engine())
    try:
        papermill.execute_notebook(
            str(source), str(target), parameters=parameters, kernel_name="python3", engine_name=_ENGINE,
            cwd=str(source.parent.absolute()), execution_timeout=cell_timeout, progress_bar={"desc": source.stem, "leave": False},
        )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        raise MetstError(
            f"{source.name}: cell {error.exec_count} failed with {error.ename}: {error.evalue}\n"
            f"What ran until then is in {target}"
        ) from error
    except DeadKernelError as error:
        raise MetstError(
            f"{source.name}: its process was killed, mostly for lack of memory; use fewer --jobs and run it again (what "
            f"is done is kept). What ran until then is in {target}"
        ) from error
    except CellTimeoutError as error:
        raise MetstError(
            f"{source.name}: a cell said nothing for {cell_timeout} seconds and was given up; run it again (what is done "
            f"is kept). What ran until then is in {target}"
        ) from error
    except RuntimeError as error:  # jupyter_client's, of a kernel that does not begin
        raise MetstError(
            f"{source.name}: no kernel could be started ({error}); is ipykernel installed?"
        ) from error
    tidy_file(target)
    write_html(target)


_ENGINE = "metst"
_END_WITH_PARENT = "import metst_core.workers; metst_core.workers.end_with_parent()"


def _engine() -> type:
    """papermill's own engine, less the stand-in for ipywidgets' `Output` that runs in it.

    The stand-in writes to the channel on which the reply to the cell is awaited, and now and then that reply is
    then never seen (nbclient, issue 312): the run waits for ever on a kernel that is done.  Without it, what an
    `interact` prints or draws is output of its cell, as it should be on paper.
    """
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine

    class Client(PapermillNotebookClient):
        def on_comm_open_jupyter_widget(self, msg: dict[str, Any]) -> None:
            return None

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(
            cls,
            nb_man: Any,
            kernel_name: str,
            start_timeout: int = 60,
            execution_timeout: int | None = None,
            **_: Any,
        ) -> Any:
            return Client(
                nb_man, kernel_name=kernel_name, timeout=execution_timeout, startup_timeout=start_timeout,
                extra_arguments=[f"--IPKernelApp.exec_lines={_END_WITH_PARENT}"],
            ).execute()  # fmt: skip

    return Engine
