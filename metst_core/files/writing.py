"""Outputs: a file is whole or not there, and what is not a file of ours stays what it is."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from metst_core.errors import InputError, LostOutput
from metst_core.files.locks import hold, is_left_behind, release

_PREFIX = ".metst-"  # of everything temporary
_SWEPT_AGAIN = 60.0  # seconds after which a folder is looked through for leftovers once more
_READER_SECONDS = 5.0  # that a named pipe waits for somebody who reads it
_OWN_STREAM = re.compile(r"/dev/(?:(stdin|stdout|stderr)|fd/(\d+))|/proc/self/fd/(\d+)")
_swept: dict[Path, float] = {}


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well, what was written there is at `path`, else nothing is.

    A regular file is replaced in one step, once its new contents are on the disk.  It keeps its mode and owner;
    a new one gets the mode that the umask leaves.  A link is followed.  What is no regular file (a device, a
    pipe, an open stream such as `/dev/stdout`) receives the bytes and stays what it is.  The temporary name
    keeps the suffix, so that writers that look at it (images, videos, npz) work; that of a process that was
    killed is removed by the next one that writes into the folder.

    Raises an `InputError` for a folder, a block device or a socket.
    """
    path = Path(path)
    target = _regular_target(path)
    if target is None:
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / f"output{_short(path.suffix)}"
            yield temporary
            _pour(temporary, path)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent, wait=_SWEPT_AGAIN)
    before = target.stat() if target.exists() else None
    mode = 0o666 if before is None else 0o600
    temporary, held = _new(target, lambda place: os.close(os.open(place, os.O_CREAT | os.O_EXCL, mode)))
    try:
        yield temporary
        if before is not None:
            _make_like(temporary, before)
        _to_disk(temporary)
        temporary.replace(target)
        with contextlib.suppress(OSError):  # not every system can say this of a folder
            _to_disk(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
        release(held)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder; it becomes `path`, which must not be there, when the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, wait=_SWEPT_AGAIN)
    temporary, held = _new(path, lambda place: place.mkdir())
    try:
        yield temporary
        try:
            temporary.rename(path)
        except OSError as error:
            raise InputError(f"{path}: is already there; remove it or choose another name") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        release(held)


def visible(folder: str | Path, pattern: str = "*") -> list[Path]:
    """What lies in a folder and fits the pattern, in order, without hidden files (half files of a killed call)."""
    return sorted(path for path in Path(folder).glob(pattern) if path.name[0] != ".")


def sweep(folder: str | Path, wait: float = 0.0, deep: bool = False) -> int:
    """Remove what processes that were killed left behind in a folder (`deep`: and below); how many things.

    What a living process, here or on another machine, still works on stays.  A folder that was looked through
    less than `wait` seconds ago is not looked through again.
    """
    folder = Path(folder)
    now = time.monotonic()
    if wait and now - _swept.get(folder, -1e9) < wait:
        return 0
    _swept[folder] = now
    found = 0
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            is_folder = entry.is_dir(follow_symlinks=False)
            if not entry.name.startswith(_PREFIX):
                found += sweep(entry.path, deep=True) if deep and is_folder else 0
            elif is_left_behind(Path(entry.path)):
                found += 1
                with contextlib.suppress(OSError):
                    shutil.rmtree(entry.path) if is_folder else Path(entry.path).unlink()
    return found


def check_output(path: str | Path, inputs: Iterable[str | Path] = ()) -> Path:
    """`path`, if a file can be written there; makes its folder.

    Raises an `InputError` for a folder, for a place that cannot be written to, and for a file that is one of the
    call's `inputs`, by whatever name.
    """
    path = Path(path)
    try:
        target = _regular_target(path)
        check_no_input(path, inputs)
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=target.parent):
                pass
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        said = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot be written ({said}); name another place") from error
    return path


def check_no_input(path: str | Path, inputs: Iterable[str | Path]) -> None:
    """`InputError` if the file at `path` is one of the `inputs`, by whatever name: writing would destroy it."""
    path = Path(path)
    if not path.exists():
        return
    here = path.stat()
    for given in map(Path, inputs):
        if given.exists() and os.path.samestat(given.stat(), here):
            raise InputError(f"{path}: this is an input of this call ({given}); name another file to write")


def _regular_target(path: Path) -> Path | None:
    """Where the file itself lies or will lie, links followed; None for what the bytes are poured into."""
    if _OWN_STREAM.fullmatch(str(path)):
        return None
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return Path(os.path.realpath(path)) if path.is_symlink() else path
    if stat.S_ISREG(mode):
        return Path(os.path.realpath(path)) if path.is_symlink() else path
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: this is a folder; name a file to write")
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        return None
    kind = "a disk" if stat.S_ISBLK(mode) else "a socket"
    raise InputError(f"{path}: this is {kind}; name a file to write")


def _pour(source: Path, path: Path) -> None:
    """Write the bytes of `source` into a device, a pipe or an open stream."""
    own = _OWN_STREAM.fullmatch(str(path))
    if own:
        sys.stdout.flush()
        names = {"stdin": 0, "stdout": 1, "stderr": 2}
        descriptor = os.dup(names[own[1]] if own[1] else int(own[2] or own[3]))
    else:
        opened = _opened(path)
        if opened is None:
            warnings.warn(
                LostOutput(f"{path}: nobody reads this pipe, so nothing was written; start its reader first"),
                stacklevel=5,
            )
            return
        descriptor = opened
    with source.open("rb") as bytes_in, os.fdopen(descriptor, "wb") as bytes_out:
        shutil.copyfileobj(bytes_in, bytes_out)


def _opened(path: Path) -> int | None:
    """A device or pipe, open for writing; a pipe waits a while for its reader (None: nobody came)."""
    end = time.monotonic() + _READER_SECONDS
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
        except OSError as error:
            if not stat.S_ISFIFO(path.stat().st_mode) or time.monotonic() > end:
                if error.errno == errno.ENXIO:  # a pipe without a reader
                    return None
                raise
            time.sleep(0.05)
            continue
        if os.name == "posix":
            os.set_blocking(descriptor, True)
        return descriptor


def _short(suffix: str) -> str:
    return suffix if len(suffix.encode("utf-8", "surrogateescape")) <= 20 else ""


def _new(target: Path, make: Callable[[Path], object]) -> tuple[Path, int]:
    """A new temporary thing beside `target`, and the descriptor that holds it while this process works on it.

    Its name is plain ASCII, whatever the target's is: not every library can open every name.
    """
    stem = re.sub(r"[^A-Za-z0-9_]", "", target.stem)[:20]
    suffix = _short(target.suffix)
    while True:
        path = target.parent / f"{_PREFIX}{stem}-{secrets.token_hex(6)}{suffix if suffix.isascii() else ''}"
        make(path)
        held = hold(path)
        if held is not None:
            return path, held


def _make_like(path: Path, before: os.stat_result) -> None:
    """Give a file the owner and the mode of the one whose place it takes."""
    now = path.stat()
    if hasattr(os, "chown") and (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        with contextlib.suppress(OSError):
            os.chown(path, before.st_uid, before.st_gid)
    path.chmod(stat.S_IMODE(before.st_mode))


def _to_disk(path: Path) -> None:
    """Wait until a file or folder is on the disk, where the system can say so."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
