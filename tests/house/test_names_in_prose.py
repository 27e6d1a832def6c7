"""What pages and notebooks name is there: modules and what they hold, files of the project, linked pages."""

import importlib
import re
from pathlib import Path

import pytest
from support.house import LINE

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "data").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))

_DOTTED = re.compile(r"\bmetst(?:_core)?((?:\.[A-Za-z_]\w*)+)")  # pages import the package as metst
_IMPORTED = re.compile(r"from (metst_core[\w.]*) import (?:\(([^)]*)\)|([\w ,]+))")
_LINK = re.compile(r"\]\(([^)#\s]+)")
_FILE = re.compile(r"`((?:metst_core|tests)/[\w/.]+)`")


def names_in(text):
    """Dotted names of the package, also those that a line of code imports from a module."""
    found = {f"metst_core{inner}" for inner in _DOTTED.findall(text)}
    for module, *names in _IMPORTED.findall(text):
        found |= {f"{module}.{name.split()[0]}" for name in ",".join(names).split(",") if name.strip()}
    return found


def is_there(name):
    """Whether a dotted name leads to a module or to something that one holds."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        try:
            value = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not module.startswith(str(error.name)):
                raise  # a module that is there lacks a package
            continue
        for part in parts[length:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda page: page.stem)
def test_what_it_names_is_in_the_package(page):
    assert not [name for name in sorted(names_in(page.read_text(encoding="utf-8"))) if not is_there(name)]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.stem)
def test_files_and_linked_pages_exist(page):
    text = page.read_text(encoding="utf-8")
    linked = [page.parent / link for link in _LINK.findall(text) if "://" not in link]
    assert not [
        str(path) for path in [*linked, *(ROOT / f for f in _FILE.findall(text))] if not path.exists()
    ]


def test_the_map_of_the_house_is_the_line():
    drawn = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```")[1]
    units = [
        unit.rstrip("/") for row in drawn.splitlines() for unit in re.split(r"\s{2,}|---", row)[0].split()
    ]
    package = ROOT / "metst_core"
    built = [unit for unit in LINE if (package / unit).is_dir() or (package / f"{unit}.py").is_file()]
    assert units == built


def test_a_name_that_has_moved_is_seen():
    text = "`metst_core.metrics.evaluate`, `metst_core.gone.evaluate`\nfrom metst_core.decoding import spot, decode\n"
    assert {name for name in names_in(text) if not is_there(name)} == {
        "metst_core.gone.evaluate",
        "metst_core.decoding.spot",
    }
