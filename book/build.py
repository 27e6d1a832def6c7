"""Build the book: pages, executed notebooks, cards, reference, report and things to touch, as one static site.

    python book/build.py runs/default --out build/book          # then open build/book/html/index.html

Without a run's folder the notebooks come without their outputs.  Nothing is fetched, and no page of the book fetches
anything.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote

import nbformat

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

from reference import api_pages, cli_page, flags_table, outputs_page

from metst_core import plots
from metst_core.experiment import answer, write_touch_pages
from metst_core.experiment.executed import WIDGET, foreign_addresses

_LINK = re.compile(r"\]\(([^)\s]+)\)")


def assemble(
    source: Path,
    run: Path | None = None,
    notebooks: Path | None = None,
    reference: bool = True,
    steps: int = 400,
) -> Path:
    """Put everything that Sphinx reads into `source`, which is made anew; its path.

    `steps`: of training for the bump that can be dragged.  Without `reference` its pages are left empty.
    """
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(HERE / "pages", source)
    shutil.copytree(HERE / "_static", source / "_static")
    shutil.copy(HERE / "conf.py", source / "conf.py")
    (source / "extra").mkdir()
    _pictures(source)
    _cards(source)
    _notebooks(source, run, notebooks or ROOT / "notebooks")
    if reference:
        _write(source / "cli.md", cli_page())
        _write(source / "outputs.md", outputs_page())
        for name, page in api_pages().items():
            _write(source / "api" / name, page)
    else:
        for name in ("cli.md", "outputs.md", "api/index.md"):
            _write(source / name, "# Left out of this build\n")
    _extra(source, run, steps)
    for page in source.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        text = text.replace("<!-- flags -->", flags_table()).replace("<!-- answer -->", _answer(run))
        _write(page, text.replace("<!-- touch -->", _touch(source)))
    return source


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _pictures(source: Path) -> None:
    """The diagrams for light and for dark pages, and the figures of the repository."""
    folder = source / "figures"  # where the cards look for them
    folder.mkdir(exist_ok=True)
    for name, draw in plots.DIAGRAMS.items():
        for word, ink in (("light", plots.LIGHT), ("dark", plots.DARK)):
            draw(ink).savefig(source / "_static" / f"{name}_{word}.png", facecolor=ink.paper)
    for picture in (ROOT / "figures").glob("*.png"):
        shutil.copy(picture, folder / picture.name)


def _cards(source: Path) -> None:
    """The cards of data and model, and the map of the house; links to what is not in the book become plain text."""
    for card in sorted((ROOT / "data").glob("*.md")):
        shutil.copy(card, source / "cards" / card.name)
    results = ROOT / "benchmarks" / "results" / "landmarks.md"
    measured = results.read_text(encoding="utf-8")
    titled = measured if measured.startswith("# ") else f"# The landmarks, measured\n\n{measured}"
    _write(source / "cards" / "landmarks.md", titled)
    _write(source / "house.md", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    _append_tree(
        source / "cards" / "index.md",
        sorted(p.stem for p in (source / "cards").glob("*.md") if p.stem != "index"),
    )
    for page in [*(source / "cards").glob("*.md"), source / "house.md"]:
        text = page.read_text(encoding="utf-8").replace("../benchmarks/results/landmarks.md", "landmarks.md")

        def kept(match: re.Match[str], page: Path = page) -> str:
            target = match[1].split("#")[0]
            there = "://" in target or not target or (page.parent / target).exists()
            return match[0] if there else "]"

        text = re.sub(r"\[([^\]]*)\](?!\()", r"[\1]", _LINK.sub(kept, text))
        _write(page, text)


def _notebooks(source: Path, run: Path | None, notebooks: Path) -> None:
    """The notebooks, executed where the run has them; what only a kernel can show is left out."""
    folder = source / "notebooks"
    folder.mkdir(exist_ok=True)
    names = []
    for path in sorted(notebooks.glob("[0-9]*.ipynb")):
        executed = None if run is None else run / "notebooks" / path.name
        node = nbformat.read(executed if executed and executed.is_file() else path, as_version=4)
        node.metadata.pop("widgets", None)
        node.metadata.setdefault("language_info", {"name": "python", "pygments_lexer": "ipython3"})
        node.cells = [cell for cell in node.cells if not _is_for_machines(cell)]
        for cell in node.cells:
            if "outputs" in cell:
                cell.outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
        nbformat.write(node, folder / path.name)
        names.append(path.stem)
    _append_tree(folder / "index.md", names)


def _append_tree(page: Path, names: list[str]) -> None:
    """List pages under a page, in this order."""
    tree = "\n".join(["```{toctree}", ":maxdepth: 1", "", *names, "```"])
    _write(page, f"{page.read_text(encoding='utf-8')}\n{tree}\n")


def _is_for_machines(cell: nbformat.NotebookNode) -> bool:
    """The first cell for hosted kernels, and the parameters."""
    tags = cell.metadata.get("tags", [])
    hosted = cell.cell_type == "markdown" and "%pip install" in cell.source
    return hosted or "injected-parameters" in tags or "parameters" in tags


def _extra(source: Path, run: Path | None, steps: int) -> None:
    """Pages that stand alone: the report, the explorer, and what can be touched without a kernel."""
    extra = source / "extra"
    write_touch_pages(extra, run, steps)
    if run is None:
        return
    for name in ("report.html", "explorer.html"):
        if (run / name).is_file():
            text = (run / name).read_text(encoding="utf-8")
            _write(extra / name, re.sub(r'href="notebooks/(\w+)\.html"', r'href="notebooks/\1.html"', text))


def _answer(run: Path | None) -> str:
    if run is None or not (run / "results.json").is_file():
        return "*(This build has no run: `make reproduce`, then `make book`.)*"
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    report = (
        "" if not (run / "report.html").is_file() else '\n\n<p><a href="report.html">The whole report</a></p>'
    )
    return "\n".join(f"{i}. {sentence}" for i, sentence in enumerate(answer(results), 1)) + report


def _touch(source: Path) -> str:
    """A frame and a link for every page of `extra` that can be touched."""
    titles = {
        "knobs.html": ("The knobs on one video", 480),
        "leak.html": ("A leak, switched on and off", 440),
        "bump.html": ("Drag a bump", 520),
        "explorer.html": ("The ROI explorer", 900),
    }
    parts = []
    for name, (title, height) in titles.items():
        if (source / "extra" / name).is_file():
            frame = f'<iframe class="touch" src="{name}" title="{title}" height="{height}" loading="lazy"></iframe>'
            parts.append(f'## {title}\n\n{frame}\n\n<p><a href="{name}">On a page of its own</a></p>\n')
    return "\n".join(parts)


def build(source: Path, out: Path) -> Path:
    """Run Sphinx; the folder of the site.  Its warnings are errors."""
    from sphinx.cmd.build import main

    if main(["-q", "-W", "--keep-going", "-b", "html", str(source), str(out)]):
        raise SystemExit("the book was not built; what is wrong stands above")
    return out


def dead_links(site: Path) -> list[str]:
    """Links, anchors and pictures of a built site that lead nowhere, and whatever it would load from another host."""
    found, anchors = [], {}
    pages = sorted(site.rglob("*.html"))
    for page in pages:
        anchors[page] = set(re.findall(r'\b(?:id|name)="([^"]+)"', page.read_text(encoding="utf-8")))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        found += [f"{page.relative_to(site)}: loads {address}" for address in foreign_addresses(text)]
        text = re.sub(r"<script\b.*?</script>|<pre\b.*?</pre>", "", text, flags=re.S)
        for link in re.findall(r'\b(?:href|src)="([^"]+)"', text):
            if re.match(r"[a-z]+:", link) or link.startswith("//"):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / unquote(path.split("?")[0])).resolve() if path else page.resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                found.append(f"{page.relative_to(site)}: {link}")
            elif anchor and target in anchors and unquote(anchor) not in anchors[target]:
                found.append(f"{page.relative_to(site)}: {link} (no such place)")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "run", nargs="?", type=Path, help="folder of a finished run (none: notebooks without outputs)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/book"), help="where the site goes (build/book)"
    )
    options = parser.parse_args()
    given = (
        options.run
        if options.run is None or options.run.is_dir()
        else sys.exit(f"{options.run}: no such folder")
    )
    built = build(assemble(options.out / "source", given), options.out / "html")
    wrong = dead_links(built.resolve())
    print("\n".join([*wrong, f"{built / 'index.html'}: open it in a browser"]))
    sys.exit(bool(wrong))
