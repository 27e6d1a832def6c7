"""JSON files, whose folder is made with what, and the record of how a result came about."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from metst_core.errors import InputError
from metst_core.files.writing import atomic_path

_RECORDED_PACKAGES = (
    "metst",
    "numpy",
    "scipy",
    "pandas",
    "torch",
    "numba",
    "mediapipe",
    "opencv-contrib-python",
    "av",
)


def write_json(value: Any, path: str | Path) -> Path:
    """Write `value` as indented JSON, atomically; NaN becomes null, NumPy numbers become numbers.

    It goes to the file piece by piece, and of its arrays only the rows that are being written are turned into Python's
    numbers: an hour of film has a million, and their text as a whole takes a hundred times what the arrays take.
    """
    pieces = _Encoder(indent=2, allow_nan=False).iterencode(_plain(value, arrays=False))
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii", newline="") as file:
        file.writelines(pieces)
        file.write("\n")
    return Path(path)


class _Encoder(json.JSONEncoder):
    """Writes what `_plain` left: arrays, a piece at a time, when their turn has come."""

    def default(self, value: Any) -> Any:
        return _Pieces(value) if _is_array(value) else super().default(value)


class _Pieces(list[Any]):
    """An array `(n, ...)` as the list that it stands for, `_PIECE` rows of it at a time; for the indenting encoder, which iterates."""

    def __init__(self, array: Any) -> None:
        super().__init__()
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Any]:
        for first in range(0, len(self._array), _PIECE):
            yield from plain(self._array[first : first + _PIECE])


_PIECE = 1024


def write_text(text: str, path: str | Path) -> Path:
    """Write a text as UTF-8, atomically; what UTF-8 cannot say (odd bytes of file names) becomes its code."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
    return Path(path)


def write_between(
    marks: tuple[str, str], text: str, path: str | Path, remedy: str = "restore the card"
) -> Path:
    """Put `text` on lines of its own between two marks of a page; `InputError` with the remedy where these are missing."""
    page = Path(path).read_text(encoding="utf-8")
    begin, end = marks
    if begin not in page or end not in page:
        raise InputError(f"{path}: the marks {begin!r} and {end!r} are missing; {remedy}")
    before, after = page.split(begin)[0], page.split(end)[1]
    return write_text(f"{before}{begin}\n{text}\n{end}{after}", path)


def read_json(path: str | Path, remedy: str = "remove it") -> dict[str, Any]:
    """The JSON object in a file; `InputError` with the remedy where it holds none."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON that can be read ({error}); {remedy}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds no JSON object; {remedy}")
    return value


def claim_folder(
    folder: str | Path,
    settings: dict[str, Any],
    note: str = "run.json",
    what: str = "another run",
    extra: dict[str, Any] | None = None,
    occupied: Callable[[], bool] = lambda: True,
) -> None:
    """Note in `folder/note` what the folder is made with; refuse a folder that was made with something else.

    `settings` is compared one by one, and one level deep where its values are dicts; keys of the note that are
    not in it do not matter.  `extra` is written beside them and never compared.  A folder of other settings
    may be taken over while it is not `occupied`.  The `InputError` says what is there and what was asked for.
    """
    path = Path(folder) / note
    if path.is_file():
        remedy = "delete the folder or name another one"
        wanted, known = _flat(plain(settings)), _flat(read_json(path, remedy))
        differences = [
            f"{'.'.join(key)} is {known.get(key)!r} there, {value!r} here"
            for key, value in wanted.items()
            if known.get(key) != value
        ]
        if not differences:
            return
        if occupied():
            raise InputError(f"{folder} holds {what}: {'; '.join(differences)}; {remedy}")
    write_json({**settings, **(extra or {})}, path)


def _flat(settings: dict[str, Any]) -> dict[tuple[str, ...], Any]:
    """`{("a",): 1, ("b", "c"): 2}` of `{"a": 1, "b": {"c": 2}}`."""
    flat: dict[tuple[str, ...], Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= {(name, str(inner)): part for inner, part in value.items()}
        else:
            flat[(name,)] = value
    return flat


def content_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, or of a folder's file names and bytes (sorted; hidden files left out)."""
    path = Path(path)
    digest = hashlib.sha256()
    files = (
        [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and p.name[0] != ".")
    )
    for file in files:
        if file is not path:
            digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def value_hash(value: Any) -> str:
    """SHA-256 of a JSON-like value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()


def run_record(**extra: Any) -> dict[str, Any]:
    """What a result needs to be traced: versions, machine, git commit, and `extra` (seed, config, ...)."""
    versions = {}
    for package in _RECORDED_PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "versions": versions,
        "commit": _git_commit(),
        **extra,
    }


def _git_commit() -> str | None:
    folder = Path(__file__).resolve().parent
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip() or None


def plain(value: Any) -> Any:
    """`value` in terms of dict, list, str, int, float, bool and None."""
    return _plain(value)


def _plain(value: Any, arrays: bool = True) -> Any:
    """`plain`; without `arrays` it leaves these as they are."""
    if isinstance(value, dict):
        return {str(k): _plain(v, arrays) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(v, arrays) for v in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if hasattr(value, "tolist"):
        return _plain(value.tolist()) if arrays or not _is_array(value) else value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, Path):
        return str(value)
    return value


def _is_array(value: Any) -> bool:
    """Whether `value` holds several numbers in NumPy's way, with a dimension or more."""
    return hasattr(value, "tolist") and getattr(value, "ndim", 0) > 0
