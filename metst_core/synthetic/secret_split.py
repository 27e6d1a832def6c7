"""Train, validation and test by person, with test films that no published seed gives away.

Train and validation are planned from the release's seed.  The test part is planned from a *secret*: a random
text of 64 hexadecimal digits that is in no repository.  The repository keeps the secret's SHA-256 alone, so that
whoever has the secret can show it to be the one.  The seed of the test part is another hash of the secret (HMAC
over the release's name), which nobody can work out from the committed one.

`python -m metst_core.synthetic.secret_split draw FILE` draws a secret, prints it once and writes its hash;
`... write RELEASE FOLDER --hash FILE` writes the tables of a release, `... films RELEASE FOLDER --hash FILE` its films
with their truth, and `... manifests FOLDER --hash FILE` what may be published of every release.
The test part is left out unless the environment variable METST_TEST_SECRET holds the secret of that hash; of its films,
`films` makes a second folder, `handout`, that holds no label, no truth and no seed.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from metst_core.checks import as_path, one_of
from metst_core.datasets import Dataset
from metst_core.errors import InputError, MissingError
from metst_core.files import atomic_path, read_json, write_json
from metst_core.synthetic.conditions import conditions_of
from metst_core.synthetic.draws import Stream
from metst_core.synthetic.films import FILM_VERSION, film_tables
from metst_core.synthetic.generation import make_set
from metst_core.synthetic.manners import Films
from metst_core.synthetic.priors import prior_named
from metst_core.synthetic.set_tables import subject_id
from metst_core.tables import read_videos, write_table

SECRET_VARIABLE = "METST_TEST_SECRET"
"""The environment variable that the secret is read from: never an argument, which the shell would keep."""

PARTS = ("train", "validation", "test")

_SPLIT_KEY = 0x53504C49  # "SPLI"


@dataclass(frozen=True)
class SplitRelease:
    """The definition of a release: `n_persons` shared out by `shares` (train, validation, test)."""

    name: str
    tier: str
    prior: str
    seed: int
    n_persons: int
    n_videos: int
    seconds: float
    fps: float = 30.0
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2)

    def parts(self) -> dict[str, list[int]]:
        """Part -> its persons' numbers, in order; every person is in exactly one, each part has at least one."""
        draw = Stream(self.seed, _SPLIT_KEY)
        left = list(range(self.n_persons))
        shuffled = [left.pop(draw.integer(0, len(left) - 1)) for _ in range(self.n_persons)]
        n_test, n_validation = (max(1, round(share * self.n_persons)) for share in self.shares[:0:-1])
        ends = self.n_persons - n_test - n_validation, self.n_persons - n_test
        if ends[0] < 1:
            raise InputError(f"{self.name}: {self.n_persons} persons cannot be shared out to three parts")
        cut = (shuffled[: ends[0]], shuffled[ends[0] : ends[1]], shuffled[ends[1] :])
        return {part: sorted(persons) for part, persons in zip(PARTS, cut, strict=True)}


SPLIT_RELEASES: dict[str, SplitRelease] = {
    release.name: release
    for release in (
        SplitRelease("SynthME2-smoke", "calm", "dense", 3001, 3, 2, 8.0),
        SplitRelease("SynthME2-default", "calm", "dense", 3002, 16, 2, 15.0),
        SplitRelease("SynthME2-full", "interview", "casme3", 3003, 60, 2, 60.0),
    )
}
"""The releases of version 2, by name."""


def split_release(name: str) -> SplitRelease:
    """The definition of a release; an `InputError` that lists the names for any other."""
    return SPLIT_RELEASES[one_of("release", name, SPLIT_RELEASES)]


def new_secret() -> str:
    """A fresh secret: 64 hexadecimal digits from the system's source of randomness."""
    return secrets.token_hex(32)


def secret_hash(secret: str) -> str:
    """What may be published of a secret: its SHA-256."""
    return hashlib.sha256(_checked(secret).encode()).hexdigest()


def hidden_seed(secret: str, name: str) -> int:
    """The seed of a release's test part: a whole number of 256 bits."""
    digest = hmac.new(_checked(secret).encode(), f"{FILM_VERSION} {name}".encode(), hashlib.sha256)
    return int.from_bytes(digest.digest(), "big")


def _checked(secret: str) -> str:
    digits = set("0123456789abcdef")
    if not isinstance(secret, str) or len(secret) != 64 or not set(secret) <= digits:
        raise InputError("the secret is not 64 hexadecimal digits in lower case; copy the whole of it")
    return secret


def secret_from_environment(published: str) -> str | None:
    """The secret in `METST_TEST_SECRET`, None if there is none; an `InputError` if it is not the published one."""
    secret = os.environ.get(SECRET_VARIABLE)
    if not secret:
        return None
    if not hmac.compare_digest(secret_hash(secret), published):
        raise InputError(
            f"{SECRET_VARIABLE} holds another secret: its SHA-256 is not the published {published}"
        )
    return secret


def split_tables(name: str, secret: str | None = None) -> dict[str, dict[str, pd.DataFrame]]:
    """The tables of a release by part (`films.film_tables`); `test` is there only with the secret."""
    release = split_release(name)
    seeds = {"train": release.seed, "validation": release.seed}
    if secret is not None:
        seeds["test"] = hidden_seed(secret, name)
    parts = release.parts()
    return {
        part: film_tables(
            seed, parts[part], release.n_videos, release.seconds, release.fps, release.prior, release.tier
        )
        for part, seed in seeds.items()
    }


def write_split(name: str, out_dir: str | Path, secret: str | None = None) -> list[Path]:
    """Write the tables of a release into `out_dir/<part>/`; return the files."""
    folder = as_path("out_dir", out_dir)
    written = []
    for part, tables in split_tables(name, secret).items():
        for path, table in tables.items():
            target = folder / part / path
            target.parent.mkdir(parents=True, exist_ok=True)
            written.append(write_table(table, target))
    return written


def make_films(
    name: str,
    out_dir: str | Path,
    secret: str | None = None,
    n_jobs: int = 1,
    progress: bool = True,
    only: Sequence[str] = PARTS,
) -> dict[str, Dataset]:
    """Make a release's films with their truth in `out_dir/<part>/`, of `only` these parts; return the parts loaded.

    With the secret the test part is made too, and `out_dir/handout/` from it: its films and `videos.csv`, nothing else.
    Goes on where a stopped call was.
    """
    release, folder = split_release(name), as_path("out_dir", out_dir)
    made = {}
    for part, persons in release.parts().items():
        if part not in only or (part == "test" and secret is None):
            continue
        seed = hidden_seed(secret, name) if part == "test" and secret is not None else release.seed
        manner = Films(
            seed, release.seconds, release.fps, prior_named(release.prior), conditions_of(release.tier), ()
        )
        made[part] = make_set(folder / part, manner, persons, release.n_videos, n_jobs, progress)
    if "test" in made:
        hand_out(folder / "test", folder / "handout")
    return made


def hand_out(test: Path, out_dir: Path) -> list[Path]:
    """Copy what may be handed out of a test part: its films and their table; return the files."""
    videos = read_videos(test / "videos.csv")
    copied = []
    for path in ("videos.csv", *videos["path"]):
        source = Path(path) if Path(path).is_absolute() else test / path
        target = out_dir / source.relative_to(test)
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
        copied.append(target)
    return copied


def split_manifest(name: str, published: str, secret: str | None = None) -> dict[str, Any]:
    """What may be published of a release: definition, persons and counts by part, and its tables' hashes.

    Of the test part there are the persons' numbers and the number of films, and, with the secret, the tables' hashes
    keyed with it (HMAC-SHA256): who has the secret can show that the labels were these all along, and nobody else can
    try labels out against them.
    """
    release = split_release(name)
    parts: dict[str, Any] = {
        part: {"persons": [subject_id(p) for p in persons], "videos": len(persons) * release.n_videos}
        for part, persons in release.parts().items()
    }
    sums: dict[str, str] = {}
    keyed: dict[str, str] = {}
    for part, tables in split_tables(name, secret).items():
        for path, table in tables.items():
            text = table.to_csv(index=False, lineterminator="\n").encode()
            if part == "test" and secret is not None:
                keyed[f"{part}/{path}"] = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
            else:
                sums[f"{part}/{path}"] = hashlib.sha256(text).hexdigest()
        if part != "test":
            parts[part] |= {
                "frames": int(tables["videos.csv"]["n_frames"].sum()),
                "micro_expressions": len(tables["annotations.csv"]),
            }
    return {
        "name": name, "version": FILM_VERSION, "definition": asdict(release), "parts": parts,
        "sha256_of_the_secret": published, "sha256": sums, "hmac_sha256_with_the_secret": keyed,
    }  # fmt: skip


def read_hash(path: str | Path) -> str:
    """The published SHA-256 of the secret, from the file that `draw` wrote."""
    path = as_path("path", path)
    if not path.is_file():
        raise MissingError(f"{path}: no such file; `draw` writes it, once, when the releases are made")
    return str(read_json(path)["sha256"])


def main() -> None:
    """Draw a secret; write the tables, the films or the manifests of releases."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    draw = commands.add_parser("draw", help="draw a secret, print it once, write its hash")
    draw.add_argument("file", type=Path, help="where the hash goes; must not exist")
    write = commands.add_parser("write", help="write the tables of a release")
    films = commands.add_parser(
        "films", help="make the films of a release, and what of its test is handed out"
    )
    films.add_argument("--jobs", type=int, default=1, help="processes (1)")
    films.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts alone (all)")
    manifests = commands.add_parser("manifests", help="write what may be published of every release")
    for command in (write, films):
        command.add_argument("release", choices=SPLIT_RELEASES)
    for command in (write, films, manifests):
        command.add_argument("folder", type=Path)
        command.add_argument("--hash", type=Path, required=True, help="the file that `draw` wrote")
    given = parser.parse_args()
    if given.command == "draw":
        if given.file.exists():
            parser.error(
                f"{given.file} is there: a secret has been drawn; a second one would make another test"
            )
        secret = new_secret()
        write_json({"version": FILM_VERSION, "sha256": secret_hash(secret)}, given.file)
        print(secret)
        return
    published = read_hash(given.hash)
    secret_found = secret_from_environment(published)
    if given.command == "manifests":
        for name in SPLIT_RELEASES:
            write_json(split_manifest(name, published, secret_found), given.folder / f"{name}.json")
            print(given.folder / f"{name}.json")
    elif given.command == "films":
        made = make_films(given.release, given.folder, secret_found, given.jobs, only=given.only)
        for part, dataset in made.items():
            print(f"{given.folder / part}: {dataset}")
    else:
        for path in write_split(given.release, given.folder, secret_found):
            print(path)
    if secret_found is None:
        print(f"{SECRET_VARIABLE} is not set: without the test part")


if __name__ == "__main__":
    main()
