"""Which line lives where: every import goes to a lower rank, outsiders use doors, and the checker itself bites."""

from pathlib import Path

import pytest
from support.house import LINE, broken

import metst_core

pytestmark = pytest.mark.quick

PACKAGE = Path(metst_core.__file__).parent


def test_the_house_keeps_its_rule():
    assert broken(PACKAGE) == []


def test_every_module_and_room_has_a_rank():
    units = {p.stem for p in PACKAGE.glob("*.py")} | {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert units <= set(LINE)


def _planted(folder, file, text):
    """A small house that keeps the rule, and one file of it with `text`."""
    for room in ("ssm", "training", "relations", "experiment", "pipeline", "plots"):
        (folder / room).mkdir()
        (folder / room / "__init__.py").write_text("")
    (folder / "ssm" / "scan.py").write_text("")
    (folder / "ssm" / "block.py").write_text("from metst_core.ssm.scan import run\n")
    for module in ("__init__", "errors", "models", "metrics"):
        (folder / f"{module}.py").write_text("")
    assert broken(folder) == []
    (folder / file).write_text(text)
    return broken(folder)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("models.py", "def f():\n    from metst_core.training import fit\n", "models imports training"),
        ("models.py", "from metst_core import training\n", "models imports training"),
        ("models.py", "from metst_core import METSTPlus\n", "models imports __init__"),
        ("models.py", "import metst_core\n", "models imports __init__"),
        (
            "models.py",
            "class A:\n    def f(self):\n        import metst_core.training\n",
            "models imports training",
        ),
        ("models.py", "from . import training\n", "models imports training"),
        ("ssm/scan.py", "def f():\n    from ..models import METST\n", "ssm imports models"),
        (
            "models.py",
            "import importlib\nx = importlib.import_module('metst_core.training')\n",
            "models imports training",
        ),
        ("models.py", "NAME = 'metst_core.training'\n", "models imports training"),
        (
            "models.py",
            "import importlib\nx = importlib.import_module('.training', 'metst_core')\n",
            "models imports training",
        ),
        (
            "models.py",
            "from importlib import import_module as i\ni = __import__(f'metst_core.{1}')\n",
            "models imports __init__",
        ),
        (
            "models.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from metst_core.training import Fold\n",
            "models imports training",
        ),
        ("models.py", "from metst_core.ssm.scan import run\n", "an outsider uses the door, metst_core.ssm"),
        ("pipeline/__init__.py", "from metst_core.relations import Traces\n", "never import each other"),
        ("experiment/__init__.py", "def f():\n    import metst_core.relations\n", "never import each other"),
        ("models.py", "def f():\n    import matplotlib.pyplot\n", "the core imports matplotlib.pyplot"),
        ("metrics.py", "from jinja2 import Template\n", "the core imports jinja2"),
        ("ssm/scan.py", "def f():\n    from metst_core.ssm import block\n", "a circle of imports"),
        ("ssm/scan.py", "from .block import Mamba\n", "a circle of imports"),
        ("shed.py", "", "shed has no place in the line"),
    ],
)
def test_the_rule_bites(tmp_path, file, text, said):
    found = _planted(tmp_path, file, text)
    assert found and said in " ".join(found)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "training/__init__.py",
            '"""Like `metst_core.pipeline`, which ranks above."""\nfrom metst_core.models import METST\n',
        ),
        ("pipeline/__init__.py", "from metst_core import models\nfrom ..training import fit\nimport numpy\n"),
        ("plots/__init__.py", "import matplotlib\n"),
        (
            "ssm/scan.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from metst_core.ssm.block import Mamba\n",
        ),
        (
            "__init__.py",
            "import importlib\nWHERE = 'metst_core.training'\nx = importlib.import_module(f'metst_core.{1}')\n",
        ),
    ],
)
def test_the_rule_lets_pass_what_keeps_it(tmp_path, file, text):
    assert _planted(tmp_path, file, text) == []
