"""The reference pages of the book, made from docstrings, parsers and tables of the code."""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import metst_core
from metst_core.cli.main import _parser
from metst_core.experiment import SCHEMA
from metst_core.experiment import run as run_module
from metst_core.inference import FLAGS, meaning

PACKAGE = Path(metst_core.__file__).parent


# --- docstrings as Markdown -----------------------------------------------------------------------
def markdown(text: str | None) -> str:
    """A docstring as Markdown: examples and indented blocks fenced, lists of arguments as lists, the rest as it is."""
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(text or ""))
    return "\n\n".join(_block(block) for block in blocks if block.strip())


def _block(block: str) -> str:
    lines = block.split("\n")
    if lines[0].lstrip().startswith(">>>"):
        return "```python\n" + inspect.cleandoc(block) + "\n```"
    if all(line.startswith("    ") for line in lines):
        return "```text\n" + inspect.cleandoc(block) + "\n```"
    if sum(bool(_ARGUMENT.match(line)) for line in lines) and _ARGUMENT.match(lines[0]) and len(lines) > 1:
        items: list[str] = []
        for line in lines:
            if _ARGUMENT.match(line) or not items:
                items.append(line.strip())
            else:
                items[-1] += " " + line.strip()
        return "\n".join(f"* {escaped(item)}" for item in items)
    return escaped(block)


_ARGUMENT = re.compile(r"^[`\w][\w`, *.()]*: ")


def escaped(text: str) -> str:
    """Text that Markdown would read otherwise, outside of code, as it stands."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([*<\[\]$|])", r"\\\1", p) for p in parts)


def signature(name: str, value: Any) -> str:
    """How a thing is called, as a block of code; nothing for what is not called."""
    if not callable(value):
        return ""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    line = f"{name}{found}"
    if len(line) > 96:
        arguments = ",\n".join(f"    {argument}" for argument in found.parameters.values())
        returned = "" if found.return_annotation is found.empty else f" -> {found.return_annotation}"
        line = f"{name}(\n{arguments},\n){returned}"
    line = re.sub(r"<factory>|<object object at [^>]*>", "...", line)
    line = re.sub(r"<(?:class '|function )(?:[\w.]*\.)?(\w+)[^>]*>", r"\1", line)
    line = re.sub(r"(: |-> )'([^']*)'", r"\1\2", line)  # annotations that are not evaluated are quoted
    return f"```python\n{line}\n```\n\n"


def modules() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """Every module or room of the package, in the order of the house, with what it offers."""
    drawn = metst_core.__doc__ and _line()
    for unit in drawn or ():
        module = importlib.import_module(f"metst_core.{unit}")
        names = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
        ]
        yield unit, [(name, getattr(module, name)) for name in names]


def _line() -> list[str]:
    """The order of the house: the map in CONTRIBUTING.md."""
    drawn = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```")[1]
    found = [u.rstrip("/") for row in drawn.splitlines() for u in re.split(r"\s{2,}|---", row)[0].split()]
    return [u for u in found if u not in ("__init__", "cli", "version")]


def api_pages() -> dict[str, str]:
    """File name -> page: one per module, and `index.md` that lists them."""
    pages, listed = {}, []
    for unit, offered in modules():
        module = importlib.import_module(f"metst_core.{unit}")
        parts = [f"# metst_core.{unit}\n\n{markdown(module.__doc__)}\n"]
        for name, value in offered:
            if inspect.ismodule(value):
                continue
            doc = inspect.getdoc(value) if callable(value) else None
            if not callable(value):
                parts.append(f"## {name}\n\n`{type(value).__name__}`\n")
                continue
            parts.append(f"## {name}\n\n{signature(name, value)}{markdown(doc)}\n")
            parts += _members(value) if inspect.isclass(value) else []
        pages[f"{unit}.md"] = "\n".join(parts)
        first = (module.__doc__ or "").strip().split("\n")[0]
        listed.append(f"| [{unit}]({unit}.md) | {escaped(first)} |")
    tree = "\n".join(["```{toctree}", ":hidden:", "", *[name.removesuffix(".md") for name in pages], "```"])
    table = "\n".join(["| module | |", "|---|---|", *listed])
    intro = (
        "Made from the docstrings. The order is the one in which data flow (see [the house](../house.md))."
    )
    return {**pages, "index.md": f"# The package\n\n{intro}\n\n{table}\n\n{tree}\n"}


def _members(kind: type) -> list[str]:
    parts = []
    for name, member in vars(kind).items():
        value = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        value = value.fget if isinstance(value, property) else value
        if name.startswith("_") or not inspect.isfunction(value) or not value.__doc__:
            continue
        shown = "" if isinstance(member, property) else signature(name, value)
        parts.append(f"### {kind.__name__}.{name}\n\n{shown}{markdown(value.__doc__)}\n")
    return parts


# --- the command line, files, flags ---------------------------------------------------------------
def cli_page() -> str:
    """Every command with its help, from the parsers."""
    os.environ["COLUMNS"] = "96"
    parser = _parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    parts = ["# The command line\n\nMade from the parsers: what `metst COMMAND --help` prints.\n"]
    for name, command in commands.choices.items():
        parts.append(f"## metst {name}\n\n```text\n{command.format_help().strip()}\n```\n")
    return "\n".join(parts)


def outputs_page() -> str:
    """What a run and an analysis leave on disk, from the code that writes it."""
    from metst_core import pipeline

    layout = inspect.cleandoc(run_module.__doc__ or "")
    rows = [f"| `{path}` | {escaped(what)} |" for path, what in SCHEMA.items()]
    parts = [
        "# Files that come out\n",
        "## A run's folder\n\n```text\n" + layout + "\n```\n",
        "## results.json\n\nBy path; `*` stands for a name.\n\n| | |\n|---|---|\n" + "\n".join(rows) + "\n",
        "## An analysis\n\nWhat an `AnalysisResult` writes.\n",
    ]
    for name, value in vars(pipeline.AnalysisResult).items():
        if name.startswith("to_") and inspect.isfunction(value):
            parts.append(f"### {name}\n\n{signature(name, value)}{markdown(value.__doc__)}\n")
    for name in pipeline.__all__:
        if name.startswith("write_"):
            value = getattr(pipeline, name)
            parts.append(f"### {name}\n\n{signature(name, value)}{markdown(value.__doc__)}\n")
    return "\n".join(parts)


def flags_table() -> str:
    """What an analysis warns of, in words."""
    rows = [f"| `{flag}` | {escaped(meaning(flag))} |" for flag in FLAGS]
    return "\n".join(["| flag | what it says |", "|---|---|", *rows])
