"""Train, validation and test by person, with test films that no published seed gives away.

Train and validation are planned from the release's seed.  The test part is planned from a *secret*: a random
text of 64 hexadecimal digits that is in no repository.  The repository keeps the secret's SHA-256 alone, so that
whoever has the secret can show it to be the one.  The seed of the test part is another hash of the secret (HMAC
over the release's name), which nobody can work out from the committed one.

`python -m metst_core.synthetic.secret_split draw FILE` draws a secret, prints it once and writes its hash;
`python -m metst_core.synthetic.secret_split write RELEASE FOLDER --hash FILE` writes the tables of a release.
The test part is left out unless the environment variable METST_TEST_SECRET holds the secret of that hash.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from metst_core.checks import as_path, one_of
from metst_core.errors import InputError, MissingError
from metst_core.files import read_json, write_json
from metst_core.synthetic.draws import Stream
from metst_core.synthetic.films import FILM_VERSION, film_tables
from metst_core.tables import write_table

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
"""The releases of version 2, by name.  Not made yet: there are plans, no films."""


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


def read_hash(path: str | Path) -> str:
    """The published SHA-256 of the secret, from the file that `draw` wrote."""
    path = as_path("path", path)
    if not path.is_file():
        raise MissingError(f"{path}: no such file; `draw` writes it, once, when the releases are made")
    return str(read_json(path)["sha256"])


def main() -> None:
    """Draw a secret, or write the tables of a release."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    draw = commands.add_parser("draw", help="draw a secret, print it once, write its hash")
    draw.add_argument("file", type=Path, help="where the hash goes; must not exist")
    write = commands.add_parser("write", help="write the tables of a release")
    write.add_argument("release", choices=SPLIT_RELEASES)
    write.add_argument("folder", type=Path)
    write.add_argument("--hash", type=Path, required=True, help="the file that `draw` wrote")
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
    secret_found = secret_from_environment(read_hash(given.hash))
    for path in write_split(given.release, given.folder, secret_found):
        print(path)
    if secret_found is None:
        print(f"{SECRET_VARIABLE} is not set: without the test part")


if __name__ == "__main__":
    main()
