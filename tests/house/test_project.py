"""The repository itself: pins that cannot drift apart, a wheel that holds the package, notebooks fit for review."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def _canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_bounded_and_its_pin_fits():
    pins = {_canonical(name): version for name, version in PINS.items()}
    for text in [
        *PROJECT["dependencies"],
        *(d for name in EXTRAS if name != "cuda" for d in EXTRAS[name]),
    ]:
        requirement = Requirement(text)
        assert str(requirement.specifier), f"{text} has no bound"
        version = pins.get(_canonical(requirement.name))
        assert version, f"{requirement.name} is not pinned in constraints.txt"
        assert requirement.specifier.contains(version), f"{text} excludes the pinned {version}"


def test_make_and_conda_install_the_same_extras_on_the_same_pins():
    make = (ROOT / "Makefile").read_text()
    extras = re.search(r"^EXTRAS\s*:=\s*(\S+)", make, re.M).group(1)
    assert "-c constraints.txt" in make
    pip = next(d["pip"] for d in CONDA["dependencies"] if isinstance(d, dict))
    assert pip == ["-c constraints.txt", f"-e .[{extras}]"]
    conda = [d for d in CONDA["dependencies"] if isinstance(d, str)]
    python = next(d for d in conda if d.startswith("python="))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(
        python.removeprefix("python=")
    )


def test_what_builds_an_image_fetches_the_face_model():
    """It is fetched at set-up, never at run time: by `make setup`, which the container runs, and by Binder's postBuild."""
    make, image = (ROOT / "Makefile").read_text(), (ROOT / ".devcontainer" / "Dockerfile").read_text()
    assert re.search(r"^\t\$\(PY\) -m metst_core.cli fetch$", make, re.M) and "RUN make setup" in image
    assert not (ROOT / "Dockerfile").exists(), "Binder would build it instead of environment.yml"
    post = ROOT / "postBuild"
    assert post.stat().st_mode & 0o111 and "metst fetch" in post.read_text().splitlines()


def test_ci_runs_the_two_commands():
    script = (ROOT / ".ci" / "run").read_text()
    assert script.index("make test") < script.index("make reproduce PROFILE=smoke")


def test_wheel_builds_and_holds_the_package(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(ROOT)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    (wheel,) = tmp_path.glob("metst-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    package = ROOT / "metst_core"
    held = [p for p in package.rglob("*") if p.suffix in (".py", ".typed") or p.parent.name == "assets"]
    assert {str(p.relative_to(ROOT)) for p in held} <= set(names)  # every room, every asset
    assert any(n.endswith("entry_points.txt") for n in names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_a_function_without_outputs_paired_with_text(path):
    cells = json.loads(path.read_text())["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    assert all(line in "".join(cells[0]["source"]) for line in ("%pip install", "metst fetch")), (
        "no hosted start"
    )
    assert not any(c["outputs"] or c["execution_count"] for c in code), "outputs are committed"
    tagged = [c for c in code if "parameters" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1
    for name in ("profile", "dataset", "data_root", "seed", "out_dir", "data_options", "n_jobs"):
        assert re.search(rf"^{name} = ", "".join(tagged[0]["source"]), re.M), f"parameter {name} is missing"
    text = path.with_suffix(".py")
    assert text.is_file(), "no text form; run `make notebooks`"
    import jupytext

    assert [c.source for c in jupytext.read(text).cells] == ["".join(c["source"]) for c in cells], (
        "run `make notebooks`"
    )
