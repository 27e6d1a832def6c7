"""SynthME releases: fixed synthetic sets, defined by name, version and seed.

`generate_release("SynthME-mini", folder)` writes two data sets, `train/` and `test/`, with different
persons: tune on the first, look at the second's labels only to score.  The annotations have the same bytes
on every machine; the manifests under `data/manifests/` in the repository hold their hashes.  Pixels may
differ a little between builds of OpenCV and MediaPipe.

`python -m metst_core.synthetic.fixed_sets data/manifests` writes the manifests anew, after a change of version.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from metst_core.checks import one_of
from metst_core.datasets import Dataset
from metst_core.files import run_record, write_json
from metst_core.synthetic.difficulty import difficulty_of
from metst_core.synthetic.generation import generate
from metst_core.synthetic.manners import plan_tables
from metst_core.synthetic.plan import VERSION


@dataclass(frozen=True)
class Release:
    """The definition of a release: `n_videos` per person, each of `seconds`."""

    name: str
    tier: str
    seed: int
    n_train: int
    n_test: int
    n_videos: int
    seconds: float
    fps: float = 30.0

    @property
    def parts(self) -> dict[str, range]:
        """Part -> its persons' numbers; no person is in both."""
        return {"train": range(self.n_train), "test": range(self.n_train, self.n_train + self.n_test)}


RELEASES: dict[str, Release] = {
    release.name: release
    for release in (
        Release("SynthME-mini", "default", 2024, n_train=3, n_test=1, n_videos=2, seconds=8.0),
        Release("SynthME-default", "default", 2025, n_train=12, n_test=4, n_videos=3, seconds=20.0),
        Release("SynthME-hard", "hard", 2026, n_train=12, n_test=4, n_videos=3, seconds=20.0),
    )
}
"""The releases, by name."""


def release_named(name: str) -> Release:
    """The definition of a release; an `InputError` that lists the names for any other."""
    return RELEASES[one_of("release", name, RELEASES)]


def _sha256(path: Path) -> str:
    """Of a file's bytes, as `sha256sum` prints it (`content_hash` hashes this once more)."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _release_tables(release: Release) -> dict[str, dict[str, pd.DataFrame]]:
    knobs = difficulty_of(release.tier)
    return {
        part: plan_tables(release.seed, subjects, release.n_videos, release.seconds, release.fps, knobs)
        for part, subjects in release.parts.items()
    }


def release_manifest(name: str) -> dict[str, Any]:
    """Definition, knobs, counts and the SHA-256 of every table of a release, from its plans alone."""
    release = release_named(name)
    files, counts = {}, {}
    for part, tables in _release_tables(release).items():
        annotations = tables["annotations.csv"]
        counts[part] = {
            "subjects": len(release.parts[part]),
            "videos": len(tables["videos.csv"]),
            "frames": int(tables["videos.csv"]["n_frames"].sum()),
            "micro_expressions": len(annotations),
            **{emotion: int(n) for emotion, n in sorted(annotations["emotion"].value_counts().items())},
        }
        for path, table in tables.items():
            text = table.to_csv(index=False, lineterminator="\n")
            files[f"{part}/{path}"] = hashlib.sha256(text.encode()).hexdigest()
    return {
        "name": name,
        "version": VERSION,
        "definition": dataclasses.asdict(release),
        "difficulty": dataclasses.asdict(difficulty_of(release.tier)),
        "counts": counts,
        "sha256": files,
    }


def generate_release(
    name: str, out_dir: str | Path, n_jobs: int = 1, progress: bool = True
) -> dict[str, Dataset]:
    """Write a release into `out_dir/train` and `out_dir/test`; return the two data sets by these names.

    Goes on where a stopped call was.  `out_dir/release.json` records the manifest, and the hash of every
    video with the versions that made it.
    """
    release = release_named(name)
    out_dir = Path(out_dir)
    parts = {
        part: generate(
            out_dir / part, len(subjects), release.n_videos, release.seconds, release.fps, release.seed,
            tier=release.tier, version=1, first_subject=subjects.start, n_jobs=n_jobs, progress=progress,
        )
        for part, subjects in release.parts.items()
    }  # fmt: skip
    pixels = {
        Path(path).relative_to(out_dir).as_posix(): _sha256(Path(path))
        for dataset in parts.values()
        for path in dataset.videos["path"]
    }
    write_json(
        {**release_manifest(name), "pixels": pixels, "made_by": run_record()}, out_dir / "release.json"
    )
    return parts


def check_release(name: str, out_dir: str | Path) -> list[str]:
    """What is missing or different in a folder that should hold a release, one line each; empty if right.

    Compares the tables byte by byte (by hash) and looks for every video and truth file; pixels are not
    compared.
    """
    out_dir = Path(out_dir)
    manifest = release_manifest(name)
    again = f"run generate_release({name!r}, ...) again"
    problems = []
    for path, wanted in manifest["sha256"].items():
        if not (out_dir / path).is_file():
            problems.append(f"{path}: missing; {again}")
        elif _sha256(out_dir / path) != wanted:
            problems.append(f"{path}: not the table of {name} {VERSION}; delete the folder and {again}")
    for part, tables in _release_tables(release_named(name)).items():
        for row in tables["videos.csv"].itertuples():
            for path in (f"{part}/{row.path}", f"{part}/truth/{row.subject}_{row.video}.npz"):
                if not (out_dir / path).is_file():
                    problems.append(f"{path}: missing; {again}")
    return problems


def main() -> None:
    """Write the manifest of every release into a folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name in RELEASES:
        print(write_json(release_manifest(name), folder / f"{name}.json"))


if __name__ == "__main__":
    main()
