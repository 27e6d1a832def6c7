"""The main job: the notebooks in order through papermill, then one page that shows what came out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from metst_core.errors import InputError, MetstError, MissingError
from metst_core.experiment.page import refresh
from metst_core.experiment.run import MAIN_JOB, PROFILES
from metst_core.files import atomic_path
from metst_core.landmarks import landmarker_named
from metst_core.training import check_device


def reproduce(
    profile: str = "default",
    dataset: str = "synthetic",
    data_root: str | Path | None = None,
    seed: int = 100,
    out_dir: str | Path | None = None,
    notebooks_dir: str | Path | None = None,
    data_options: Mapping[str, Any] | None = None,
    n_jobs: int | None = None,
) -> Path:
    """Execute the profile's notebooks in order and write the report; returns the run's folder.

    `data_options` (but for `landmarker`, see `run.Run`) go to `load_dataset`; `n_jobs` as there.  The folder (default: `runs/` and `run_name`)
    receives `notebooks/*.ipynb` and `*.html`, `figures/*.png`, `results.json` and `report.html`.  Work that an
    earlier, interrupted call finished (videos, features, folds) is not done again.
    Raises a `MetstError` that names the notebook and the cell when one fails.
    """
    if profile not in PROFILES:
        raise InputError(f"profile {profile!r} is none of {', '.join(PROFILES)}")
    if dataset != "synthetic" and data_root is None:
        raise InputError(
            f"dataset {dataset!r} needs --data-root, the folder that holds it (see data/{dataset}.md)"
        )
    landmarker_named((data_options or {}).get("landmarker", "mediapipe"))()  # what it lacks is said now
    of_the_set = [name for name in data_options or {} if name != "landmarker"]
    if of_the_set and data_root is None:
        raise InputError(
            f"option {of_the_set[0]!r}: the set that is generated takes none; leave it out, or name a data set"
        )
    try:  # now, not after an hour of reading videos
        check_device(PROFILES[profile].device)
    except InputError as error:
        raise InputError(f"profile {profile!r}: {error}, which the profiles smoke and default do") from None
    source = _notebooks_folder(notebooks_dir)
    out = Path(out_dir if out_dir is not None else Path("runs") / run_name(profile, dataset)).absolute()
    parameters = {
        "profile": profile,
        "dataset": dataset,
        "data_root": None if data_root is None else str(Path(data_root).absolute()),
        "seed": seed,
        "out_dir": str(out),
        "data_options": dict(data_options or {}),
        "n_jobs": n_jobs,
    }
    names = PROFILES[profile].notebooks
    with tqdm(names, unit="notebook", desc=f"reproduce {profile}") as bar:
        for name in bar:
            bar.set_postfix_str(name)
            _execute(
                source / f"{name}.ipynb",
                out / "notebooks" / f"{name}.ipynb",
                parameters,
                PROFILES[profile].cell_timeout,
            )
    refresh(out)
    return out


def run_name(profile: str, dataset: str) -> str:
    """What a run is called unless it is given a name: its profile, with the data set before it unless synthetic."""
    return profile if dataset == "synthetic" else f"{dataset}-{profile}"


def _notebooks_folder(folder: str | Path | None) -> Path:
    candidates = [Path(folder)] if folder else [Path("notebooks"), Path(__file__).parents[2] / "notebooks"]
    for candidate in candidates:
        if (candidate / f"{MAIN_JOB[0]}.ipynb").is_file():
            return candidate
    raise MissingError(
        f"{candidates[0]}: no notebooks here ({MAIN_JOB[0]}.ipynb is missing); run this in a clone of the repository, "
        "or name their folder with --notebooks"
    )


def _execute(source: Path, target: Path, parameters: dict[str, Any], cell_timeout: int = 6 * 3600) -> None:
    """One notebook through papermill in a clean kernel, and its HTML beside it."""
    import papermill
    from nbconvert import HTMLExporter
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
    html, _ = HTMLExporter(embed_images=True).from_filename(str(target))
    with atomic_path(target.with_suffix(".html")) as temporary:
        temporary.write_text(html, encoding="utf-8")


_ENGINE = "metst"


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
                nb_man, kernel_name=kernel_name, timeout=execution_timeout, startup_timeout=start_timeout
            ).execute()

    return Engine
