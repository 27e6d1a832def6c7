"""Every module of every room can be imported, from wherever the package is installed, and the front door is lazy."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import metst_core

pytestmark = pytest.mark.quick
MODULES = sorted(m.name for m in pkgutil.walk_packages(metst_core.__path__, "metst_core."))
ROOMS = (
    "checkpoints", "cli", "datasets", "experiment", "files", "footage", "inference", "landmarks", "metrics", "pipeline", "plots",
    "relations", "ssm",
    "synthetic", "training", "video", "widgets",
)  # fmt: skip


def test_the_rooms_are_all_there():
    assert {f"metst_core.{room}" for room in ROOMS} <= set(MODULES)


@pytest.mark.parametrize("name", [m for m in MODULES if not m.endswith(("scan_triton", "__main__"))])
def test_a_module_can_be_imported(name):
    importlib.import_module(name)


def test_what_a_door_hands_on_is_there():
    for room in ROOMS:
        door = importlib.import_module(f"metst_core.{room}")
        assert [name for name in door.__all__ if not hasattr(door, name)] == [], room


def test_the_front_door_opens_on_what_a_newcomer_looks_for():
    for name in metst_core.__all__:
        assert getattr(metst_core, name) is not None
    assert {"analyse", "load_dataset", "generate", "METSTPlus", "show_versions"} <= set(dir(metst_core))
    assert "analyse" in metst_core.__doc__
    with pytest.raises(AttributeError, match="no attribute 'analyze'"):
        metst_core.analyze  # noqa: B018


@pytest.mark.parametrize("call", ["import metst_core", "from metst_core.cli import main"])
def test_nothing_heavy_is_imported_before_it_is_asked_for(call):
    script = f"import sys; {call}; print([m for m in ('numpy', 'torch', 'pandas', 'cv2', 'numba') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
