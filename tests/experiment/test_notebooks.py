"""Notebooks through papermill: what a widget shows is on the page, and a cell that fails is named."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import torch
from support.recorded_run import record_results

from metst_core import experiment, landmarks
from metst_core.cli import main
from metst_core.errors import InputError, MetstError
from metst_core.experiment import PROFILES, Run, execute, reproduce
from metst_core.files import only_one


def notebook(path, *cells):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(book, path)
    return path


def test_what_a_widget_shows_is_output_of_its_cell(tmp_path):
    """Else it would be in the widget's state alone, and nbclient's stand-in for `Output` would be at work, whose
    messages can lose a cell's reply (nbclient, issue 312)."""
    source = notebook(
        tmp_path / "widget.ipynb",
        "word = 'none'",
        "import ipywidgets\n_ = ipywidgets.interact(lambda n: print(word, n * n), n=(0, 8))",
    )
    execute(source, tmp_path / "out" / "widget.ipynb", {"word": "square"})
    cell = nbformat.read(tmp_path / "out" / "widget.ipynb", 4).cells[-1]
    shown = [output.text for output in cell.outputs if output.output_type == "stream"]
    assert shown == ["square 16\n"]  # the slider starts in the middle, at 4
    assert "square 16" in (tmp_path / "out" / "widget.html").read_text(encoding="utf-8")


def test_a_cell_that_fails_is_named_and_what_ran_is_kept(tmp_path):
    source = notebook(tmp_path / "broken.ipynb", "x = 1", "print('so far')", "1 / 0")
    with pytest.raises(MetstError, match=r"broken\.ipynb: cell .*ZeroDivisionError"):
        execute(source, tmp_path / "out.ipynb", {})
    assert "so far" in (tmp_path / "out.ipynb").read_text(encoding="utf-8")


def test_a_kernel_that_is_killed_is_one_sentence(tmp_path):
    source = notebook(
        tmp_path / "hungry.ipynb", "x = 1", "print('so far')", "import os; os.kill(os.getpid(), 9)"
    )
    with pytest.raises(MetstError, match=r"^hungry\.ipynb: its process was killed.*fewer --jobs") as caught:
        execute(source, tmp_path / "out.ipynb", {})
    assert len(str(caught.value).splitlines()) == 1
    assert "so far" in (tmp_path / "out.ipynb").read_text(encoding="utf-8")


def test_a_cell_that_says_nothing_for_too_long_is_one_sentence(tmp_path):
    source = notebook(tmp_path / "slow.ipynb", "x = 1", "import time; time.sleep(60)")
    with pytest.raises(MetstError, match=r"^slow\.ipynb: a cell said nothing for 1 seconds"):
        execute(source, tmp_path / "out.ipynb", {}, cell_timeout=1)


ORPHAN = """
import sys
from pathlib import Path
from metst_core.experiment import execute
execute(Path(sys.argv[1]) / "long.ipynb", Path(sys.argv[1]) / "out.ipynb", {})
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc")
def test_a_kernel_ends_with_the_call_that_started_it(tmp_path):
    notebook(
        tmp_path / "long.ipynb",
        "x = 1",
        f"import os, pathlib, time; pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))",
        "time.sleep(100)",
    )
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN, str(tmp_path)], stderr=subprocess.DEVNULL)
    for _ in range(30_000):
        if (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text():
            break
        time.sleep(0.01)
    kernel = Path("/proc") / (tmp_path / "pid").read_text()
    assert kernel.is_dir()
    parent.kill()
    parent.wait()
    for _ in range(1000):
        if not kernel.is_dir() or "zombie" in (kernel / "status").read_text():
            return
        time.sleep(0.01)
    os.kill(int(kernel.name), signal.SIGKILL)
    pytest.fail("the kernel outlived its parent")


def test_a_second_call_in_the_folder_of_a_run_is_refused(tmp_path, monkeypatch):
    notebook(tmp_path / "01_roi_extraction.ipynb", "pass")
    run = Run("smoke", "synthetic", None, 1, tmp_path / "run")
    with only_one(run.out), pytest.raises(InputError, match="run: another call works in this folder"):
        reproduce(run, tmp_path)
    for command in ("seeds", "ablate"):
        record_results(run.out)
        with only_one(run.out):
            assert main([command, "--run", str(run.out)]) == 1


def test_a_data_set_and_its_options_reach_every_notebook(tmp_path, monkeypatch):
    """As `metst check` takes them: `--option labels=sheet.xlsx` must not end where the training begins."""
    asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiment, "reproduce", lambda run, notebooks: asked.append(run) or run.out)
    command = ["reproduce", "--profile", "smoke", "--dataset", "folder", "--data-root", "mine"]
    assert main([*command, "--option", "fps=25", "--option", "rules=complete", "--jobs", "3"]) == 0
    (given,) = (run.parameters for run in asked)
    assert given["data_options"] == {"fps": 25, "rules": "complete"}
    assert (given["n_jobs"], given["data_root"]) == (3, str(tmp_path / "mine"))
    assert given["out_dir"] == str(tmp_path / "runs" / "folder-smoke")


def test_the_landmarker_can_be_chosen_for_the_generated_set_too(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(experiment, "reproduce", lambda run, notebooks: asked.append(run) or run.out)
    monkeypatch.setitem(landmarks.LANDMARKERS, "dlib", lambda: None)  # as with the extra installed
    assert main(["reproduce", "--profile", "smoke", "--option", "landmarker=dlib"]) == 0
    assert asked[0].landmarker is landmarks.LANDMARKERS["dlib"] and asked[0].set_options == {}
    assert Run("smoke", "synthetic", None, 1, tmp_path / "run").landmarker is landmarks.MediaPipeLandmarker
    with pytest.raises(InputError, match="landmarker"):
        reproduce(Run("smoke", "synthetic", None, 1, tmp_path / "run", {"landmarker": "eyes"}))


def test_the_parameters_of_a_run_reach_its_notebooks(tmp_path, monkeypatch):
    small = dataclasses.replace(PROFILES["smoke"], notebooks=("01_roi_extraction",))
    monkeypatch.setitem(PROFILES, "smoke", small)
    notebook(
        tmp_path / "01_roi_extraction.ipynb",
        "profile, dataset, data_root, seed, out_dir, data_options, n_jobs = 7 * [None]",
        "from pathlib import Path\nfrom metst_core.files import write_json",
        "_ = write_json({'seed': seed, 'options': data_options}, Path(out_dir) / 'results' / '06.json')",
    )
    run = Run("smoke", "folder", tmp_path, 7, tmp_path / "run", {"fps": 25})
    record_results(run.out)  # as if by the other notebooks
    assert reproduce(run, tmp_path) == run.out
    results = json.loads((run.out / "results.json").read_text())
    assert (results["seed"], results["options"]) == (7, {"fps": 25})
    assert "seed 7" in (run.out / "report.html").read_text()
    assert (run.out / "notebooks" / "01_roi_extraction.html").is_file()


def test_a_run_that_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(InputError, match="option 'fps'.*takes none"):
        reproduce(Run("smoke", "synthetic", None, 100, tmp_path / "run", {"fps": 25}))
    with pytest.raises(InputError, match="'folder' needs --data-root"):
        reproduce(Run("smoke", "folder", None, 100, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what the profile needs")
def test_a_profile_for_a_gpu_is_refused_at_once_without_one(tmp_path):
    with pytest.raises(InputError, match="profile 'full'.*no CUDA device"):
        reproduce(Run("full", "synthetic", None, 100, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_run_reads_its_data_set_with_the_options(tmp_path):
    (tmp_path / "mine").mkdir()
    run = Run("smoke", "folder", tmp_path / "mine", 1, tmp_path / "run", {"colour": "green"})
    with pytest.raises(InputError, match="colour"):
        run.dataset()
