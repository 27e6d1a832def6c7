"""The import rule of the house, read off the syntax trees of a package folder: `broken(folder)` lists what breaks it.

The model is the test of import nesting in mne-python: every unit (a flat module or a room) has a rank, and any import,
nested, relative or by name for importlib, goes to a lower rank.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LINE = (
    "version", "errors", "checks", "files", "workers", "compiled", "tables", "video", "datasets",
    "rois", "landmarks", "flow_cpu", "flow", "motion", "aligned", "windows", "extraction", "ssm", "models", "rivals", "variants", "streaming", "checkpoints",
    "decoding", "metrics", "training",
    "templates", "plots", "synthetic", "inference", "footage", "relations", "experiment", "pipeline", "widgets", "cli",
    "__init__",
)  # fmt: skip
"""Every unit in its order: the ground, the core, the rooms around it, the front door."""

CORE = LINE[: LINE.index("training") + 1]
STRANGERS = ("relations", "experiment", "pipeline")
"""Rooms that never import each other, whatever their order."""

NOT_IN_THE_CORE = ("matplotlib", "pandas.plotting", "ipywidgets", "anywidget", "jinja2")
BY_NAME = ("import_module", "__import__", "find_spec")


class Import(NamedTuple):
    """One import of a module of the package (or of anything else: `target` is its dotted name)."""

    line: int
    target: str
    name: str | None  # what is taken from it, None for the module itself
    for_types: bool  # under `if TYPE_CHECKING:`


def broken(folder: Path, package: str = "metst_core") -> list[str]:
    """Every breach of the rule in the package that lies in `folder`, as `file:line: what is wrong`."""
    files = sorted(p for p in folder.rglob("*.py"))
    modules = {_dotted(p, folder, package) for p in files}
    found: list[str] = []
    within: dict[str, dict[str, set[str]]] = {}
    for file in files:
        module = _dotted(file, folder, package)
        unit = _unit(module, package)
        if unit not in LINE:
            found.append(f"{file.relative_to(folder)}: {unit} has no place in the line")
            continue
        for one in _imports(file, module, package):
            where = f"{file.relative_to(folder)}:{one.line}"
            found += [f"{where}: {text}" for text in _wrong(one, module, modules, package)]
            target = _resolved(one, modules)
            if (
                target != module
                and target in modules
                and _unit(target, package) == unit
                and not one.for_types
            ):
                within.setdefault(unit, {}).setdefault(module, set()).add(target)
    for unit, graph in within.items():
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            found.append(f"{unit}: a circle of imports: {' -> '.join(error.args[1])}")
    return found


def _wrong(one: Import, module: str, modules: set[str], package: str) -> Iterator[str]:
    unit = _unit(module, package)
    if unit in CORE and any(one.target == n or one.target.startswith(f"{n}.") for n in NOT_IN_THE_CORE):
        yield f"the core imports {one.target}"
    target = _resolved(one, modules)
    if target != package and not target.startswith(f"{package}."):
        return
    other = _unit(target, package)
    if other == unit:
        return
    if other not in LINE:
        yield f"imports {target}, which has no place in the line"
    elif LINE.index(other) >= LINE.index(unit):
        yield f"{unit} imports {other}, which ranks above it"
    elif unit in STRANGERS and other in STRANGERS:
        yield f"{unit} and {other} never import each other"
    elif target.count(".") > 1:
        yield f"imports {target}: an outsider uses the door, {package}.{other}"


def _imports(file: Path, module: str, package: str) -> Iterator[Import]:
    """Every import of a file: statements at any depth, and modules of the package named in strings but docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    typed = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for statement in block.body
        for node in ast.walk(statement)
    }
    prose = {
        id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)
    }
    parents = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree):
        for_types = id(node) in typed
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, None, for_types)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                yield Import(node.lineno, base, alias.name, for_types)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in BY_NAME and node.args:
            text = node.args[0]
            if isinstance(text, ast.Constant) and str(text.value).startswith("."):
                yield Import(node.lineno, f"{package}{text.value}", None, for_types)
            elif (
                isinstance(text, ast.JoinedStr)
                and ast.unparse(text).startswith((f"f'{package}", f'f"{package}'))
                and module != package
            ):  # the front door may make its names
                yield Import(node.lineno, package, None, for_types)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            parts = node.value.split(".")
            if parts[0] == package and len(parts) > 1 and all(p.isidentifier() for p in parts):
                yield Import(node.lineno, node.value, None, for_types)


def _resolved(one: Import, modules: set[str]) -> str:
    """The module an import reaches: `from package import x` reaches x where that is a module."""
    return inner if one.name and (inner := f"{one.target}.{one.name}") in modules else one.target


def _dotted(file: Path, folder: Path, package: str) -> str:
    parts = file.relative_to(folder).with_suffix("").parts
    return ".".join([package, *(parts[:-1] if parts[-1] == "__init__" else parts)])


def _unit(module: str, package: str) -> str:
    """The flat module or room that a module belongs to; the front door is `__init__`."""
    return module.split(".")[1] if module != package else "__init__"
