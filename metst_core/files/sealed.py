"""Run files with a seal: what they hold is what was written, or they are not used.

A sealed JSON file has its SHA-256 as the last entry, `checksum`; a sealed npz file (a zip archive) has it in the
archive's comment, so that every other reader can read both.  Files of before have none and are read as they are.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metst_core.errors import InputError, MissingError
from metst_core.files.records import plain, read_json, value_hash, write_json
from metst_core.files.writing import atomic_path

CHECKSUM = "checksum"
UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, MemoryError, OverflowError,
    struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What reading a damaged npz or JSON file can raise."""

_MARK = b"metst sha256 "
_SEAL = re.compile(rb"metst sha256 ([0-9a-f]{64})")
_MOST_INFLATED = 256 << 20  # bytes that the arrays of an archive may have in any case
_INFLATION = 4  # and times its own size beyond that


def write_sealed(value: dict[str, Any], path: str | Path) -> Path:
    """As `write_json`, with a seal."""
    value = {name: part for name, part in plain(value).items() if name != CHECKSUM}
    return write_json({**value, CHECKSUM: value_hash(value)}, path)


def read_sealed(path: str | Path, remedy: str) -> dict[str, Any]:
    """What `write_sealed` (or, of before, `write_json`) wrote, without the seal.

    `InputError` with the remedy (which command makes the file anew) for what is damaged or was changed, and
    `MissingError` where there is none.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"{path}: no such file; {remedy}")
    value = read_json(path, remedy)
    seal = value.pop(CHECKSUM, None)
    if seal is not None and seal != value_hash(value):
        raise InputError(f"{path}: is damaged or was changed by hand (its checksum differs); {remedy}")
    return value


@contextmanager
def understood(path: str | Path, remedy: str) -> Iterator[None]:
    """An `InputError` that names the file where its contents are not what this version expects."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise InputError(
            f"{path}: is not as this version writes it ({type(error).__name__}: {error}); {remedy}"
        ) from error


def seal(path: Path) -> None:
    """Seal an npz file that was just written."""
    with path.open("r+b") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest().encode()
        stream.seek(-2, 2)  # the length of the comment, which numpy leaves empty
        if stream.read(2) != b"\0\0":
            raise InputError(f"{path}: no archive that can be sealed")
        stream.seek(-2, 2)
        comment = _MARK + digest
        stream.write(len(comment).to_bytes(2, "little") + comment)


@contextmanager
def sealed_path(path: str | Path) -> Iterator[Path]:
    """As `atomic_path`, for an npz file that is sealed when the block ends well."""
    with atomic_path(path) as temporary:
        yield temporary
        seal(temporary)


def is_whole(path: str | Path) -> bool:
    """Whether a sealed npz file is there, as it was written."""
    try:
        return check_seal(path)
    except UNREADABLE:
        return False


def check_seal(path: str | Path) -> bool:
    """Whether an npz file has a seal; an `InputError` if it does not fit, or if the file would fill the memory."""
    path = Path(path)
    length = len(_MARK) + 64
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - length))
        found = _SEAL.fullmatch(stream.read())
        if found:
            digest, left = hashlib.sha256(), size - length - 2
            stream.seek(0)
            while left > 0:
                part = stream.read(min(left, 1 << 20))
                if not part:
                    break
                digest.update(part)
                left -= len(part)
            digest.update(b"\0\0")
            announced = int.from_bytes(stream.read(2), "little")
            if digest.hexdigest().encode() != found[1] or announced != length:
                raise InputError(f"{path}: is damaged (its checksum differs)")
    with zipfile.ZipFile(path) as archive:
        inflated = sum(member.file_size for member in archive.infolist())
    if inflated > max(_MOST_INFLATED, _INFLATION * size):
        raise InputError(
            f"{path}: would take {inflated / 1e6:.0f} MB of memory, the file has {size / 1e6:.1f}"
        )
    return found is not None


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as `sha256sum` prints it."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
