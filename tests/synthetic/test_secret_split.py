"""The test part comes from a secret alone.  The secrets here are made up, and those of no release."""

import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metst_core.errors import InputError, MissingError
from metst_core.synthetic.secret_split import (
    SECRET_VARIABLE,
    SPLIT_RELEASES,
    SplitRelease,
    hidden_seed,
    make_films,
    new_secret,
    read_hash,
    secret_from_environment,
    secret_hash,
    split_manifest,
    split_tables,
    write_split,
)

ROOT = Path(__file__).parents[2]
MADE_UP = "00112233445566778899aabbccddeeff" * 2
ANOTHER = "ffeeddccbbaa99887766554433221100" * 2


@pytest.mark.parametrize("release", SPLIT_RELEASES.values(), ids=SPLIT_RELEASES)
def test_every_person_is_in_one_part(release):
    parts = release.parts()
    assert list(parts) == ["train", "validation", "test"] and all(parts.values())
    assert sorted(p for part in parts.values() for p in part) == list(range(release.n_persons))
    assert len(parts["train"]) >= len(parts["test"])


def test_parts_are_drawn_by_chance_from_the_seed():
    one, two = (SplitRelease("x", "calm", "dense", seed, 20, 1, 5.0) for seed in (1, 2))
    assert one.parts() == one.parts() != two.parts()
    with pytest.raises(InputError, match="2 persons"):
        SplitRelease("x", "calm", "dense", 1, 2, 1, 5.0).parts()


def test_without_the_secret_there_is_no_test_part_and_with_it_always_the_same():
    public = split_tables("SynthME2-smoke")
    assert list(public) == ["train", "validation"]
    whole, again = split_tables("SynthME2-smoke", MADE_UP), split_tables("SynthME2-smoke", MADE_UP)
    other = split_tables("SynthME2-smoke", ANOTHER)
    assert list(whole) == ["train", "validation", "test"]
    for part in public:
        assert all(public[part][name].equals(whole[part][name]) for name in public[part])
    assert all(whole["test"][name].equals(again["test"][name]) for name in whole["test"])
    for name in ("persons.csv", "truth/distractors.csv"):
        assert not whole["test"][name].equals(other["test"][name])
    assert (
        whole["test"]["persons.csv"]["subject"].tolist() == other["test"]["persons.csv"]["subject"].tolist()
    )


def test_the_seed_is_neither_the_published_hash_nor_the_same_for_two_releases():
    published = secret_hash(MADE_UP)
    assert published == hashlib.sha256(MADE_UP.encode()).hexdigest()
    seed = hidden_seed(MADE_UP, "SynthME2-smoke")
    assert seed not in (int(published, 16), int(MADE_UP, 16), hidden_seed(MADE_UP, "SynthME2-full"))
    assert seed.bit_length() > 128  # too many to try out; a seed of 32 bits would be found in minutes


@pytest.mark.parametrize("secret", ["", "secret", MADE_UP[:-1], MADE_UP.upper(), 7])
def test_a_secret_that_is_none_is_refused_without_being_repeated(secret):
    with pytest.raises(InputError, match="64 hexadecimal digits") as error:
        secret_hash(secret)
    assert not secret or str(secret) not in str(error.value).replace("the secret is", "")


def test_the_environment_is_checked_against_the_published_hash(monkeypatch):
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    assert secret_from_environment(secret_hash(MADE_UP)) is None
    monkeypatch.setenv(SECRET_VARIABLE, MADE_UP)
    assert secret_from_environment(secret_hash(MADE_UP)) == MADE_UP
    with pytest.raises(InputError, match="another secret") as error:
        secret_from_environment(secret_hash(ANOTHER))
    assert MADE_UP not in str(error.value)


def test_the_commands_draw_a_secret_once_and_write_the_test_part_for_it_alone(tmp_path):
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "metst_core.synthetic.secret_split"]
    environment = {k: v for k, v in os.environ.items() if k != SECRET_VARIABLE}
    stored = tmp_path / "hash.json"

    def call(*arguments, **more):
        return subprocess.run(
            [*command, *map(str, arguments)],
            cwd=ROOT,
            env={**environment, **more},
            capture_output=True,
            text=True,
        )

    drawn = call("draw", stored)
    secret = drawn.stdout.strip()
    assert (
        json.loads(stored.read_text())["sha256"] == secret_hash(secret) and secret not in stored.read_text()
    )
    assert call("draw", stored).returncode == 2 and read_hash(stored) == secret_hash(secret)
    without = call("write", "SynthME2-smoke", tmp_path / "a", "--hash", stored)
    assert without.returncode == 0 and "without the test part" in without.stdout
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["train", "validation"]
    given = call("write", "SynthME2-smoke", tmp_path / "b", "--hash", stored, **{SECRET_VARIABLE: secret})
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["test", "train", "validation"]
    assert given.returncode == 0 and secret not in given.stdout + given.stderr
    written = [p for p in (tmp_path / "b").rglob("*") if p.is_file()]
    assert written and not any(secret in p.read_text() for p in written)


def test_secrets_are_fresh_and_a_missing_hash_is_named(tmp_path):
    assert new_secret() != new_secret() and len(new_secret()) == 64
    with pytest.raises(MissingError, match="draw"):
        read_hash(tmp_path / "none.json")
    with pytest.raises(InputError, match="SynthME2-smoke"):
        write_split("SynthME2-giant", tmp_path)


MANIFESTS = ROOT / "data" / "manifests"


@pytest.mark.parametrize("name", SPLIT_RELEASES)
def test_releases_have_the_public_tables_of_their_manifests_and_nothing_to_try_labels_on(name):
    published = read_hash(MANIFESTS / "SynthME2-secret.json")
    stored = json.loads((MANIFESTS / f"{name}.json").read_text())
    made = json.loads(json.dumps(split_manifest(name, published)))
    keyed = stored.pop("hmac_sha256_with_the_secret")
    assert made.pop("hmac_sha256_with_the_secret") == {}
    assert stored == made, "a release changed: raise FILM_VERSION, write manifests (with the secret)"
    assert not any(path.startswith("test/") for path in stored["sha256"])
    assert set(stored["parts"]["test"]) == {"persons", "videos"}
    assert {path.split("/", 1)[1] for path in keyed} == {
        path.split("/", 1)[1] for path in stored["sha256"] if path.startswith("train/")
    }


def test_a_manifest_keys_the_hashes_of_the_test_part():
    tables = split_tables("SynthME2-smoke", MADE_UP)["test"]
    text = tables["annotations.csv"].to_csv(index=False, lineterminator="\n").encode()
    one, other = (split_manifest("SynthME2-smoke", secret_hash(s), s) for s in (MADE_UP, ANOTHER))
    keyed = one["hmac_sha256_with_the_secret"]["test/annotations.csv"]
    assert keyed == hmac.new(MADE_UP.encode(), text, hashlib.sha256).hexdigest()
    assert keyed != hashlib.sha256(text).hexdigest()
    assert one["sha256"] == other["sha256"] and MADE_UP not in json.dumps(one)


def test_films_are_made_by_part_and_what_is_handed_out_holds_no_label(tmp_path, monkeypatch):
    tiny = SplitRelease("tiny", "calm", "dense", 7, 3, 1, 1.0)
    monkeypatch.setitem(SPLIT_RELEASES, "tiny", tiny)
    made = make_films("tiny", tmp_path, MADE_UP, progress=False)
    assert list(made) == ["train", "validation", "test"]
    for part, persons in tiny.parts().items():
        assert made[part].videos["subject"].tolist() == [f"s{p + 1:03d}" for p in persons]
    note = json.loads((tmp_path / "test" / "generation.json").read_text())
    assert note["seed"] == hidden_seed(MADE_UP, "tiny")
    handed = sorted(
        p.relative_to(tmp_path / "handout") for p in (tmp_path / "handout").rglob("*") if p.is_file()
    )
    film = Path(made["test"].videos["path"][0])
    assert handed == sorted([film.relative_to(tmp_path / "test"), Path("videos.csv")])
    assert (tmp_path / "handout" / handed[0]).read_bytes() == film.read_bytes()
    everything = b"".join((tmp_path / "handout" / p).read_bytes() for p in handed)
    assert str(note["seed"]).encode() not in everything and MADE_UP.encode() not in everything
    shutil.rmtree(tmp_path / "test")
    assert list(make_films("tiny", tmp_path, progress=False)) == ["train", "validation"]
    assert not (tmp_path / "test").exists()
    assert list(make_films("tiny", tmp_path / "one", MADE_UP, progress=False, only=["test"])) == ["test"]
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == ["handout", "test"]
