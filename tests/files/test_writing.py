"""Outputs: whole or not there; what is no regular file stays what it is; modes, owners, links and leftovers."""

import contextlib
import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from metst_core.errors import InputError, LostOutput
from metst_core.files import atomic_folder, atomic_path, check_output, only_one, sweep, write_text, writing

pytestmark = [pytest.mark.quick, pytest.mark.skipif(os.name != "posix", reason="modes, pipes and devices")]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@contextlib.contextmanager
def umask(value):
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(("mask", "expected"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path, mask, expected):
    with umask(mask):
        write_text("x", tmp_path / "new")
    assert mode(tmp_path / "new") == expected


@pytest.mark.parametrize("kept", [0o600, 0o640, 0o444, 0o755])
def test_a_file_keeps_its_mode(tmp_path, kept):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(kept)
    with atomic_path(path) as temporary:
        assert mode(temporary) == 0o600  # nobody else looks in on the way
        temporary.write_text("new")
    assert (path.read_text(), mode(path)) == ("new", kept)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
def test_a_file_keeps_its_owner(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    os.chown(path, 1234, 1235)
    write_text("new", path)
    assert (path.stat().st_uid, path.stat().st_gid, path.read_text()) == (1234, 1235, "new")


def test_links_are_followed(tmp_path):
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "target.csv"
    target.write_text("old")
    (tmp_path / "link").symlink_to("there/target.csv")
    (tmp_path / "link_of_the_link").symlink_to("link")
    (tmp_path / "into_the_void").symlink_to("there/made.csv")
    write_text("new", tmp_path / "link_of_the_link")
    write_text("made", tmp_path / "into_the_void")
    assert (tmp_path / "link_of_the_link").is_symlink() and (tmp_path / "into_the_void").is_symlink()
    assert (target.read_text(), (tmp_path / "there" / "made.csv").read_text()) == ("new", "made")


def test_a_pipe_receives_the_bytes_and_stays_a_pipe(tmp_path):
    path, got = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reader.start()
    write_text("x" * 200_000, path)
    reader.join(10)
    assert got == [b"x" * 200_000] and stat.S_ISFIFO(path.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_pipe_that_nobody_reads_is_said_and_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_READER_SECONDS", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.warns(LostOutput, match="pipe: nobody reads this pipe"):
        write_text("x", tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(not hasattr(os, "mknod") or os.geteuid() != 0, reason="only root makes devices")
@pytest.mark.parametrize(("minor", "full"), [(3, False), (7, True)])
def test_a_device_stays_a_device(tmp_path, minor, full):
    """A null device and one that is always full, of the test's own."""
    path = tmp_path / "device"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        path.write_bytes(b"")
    except OSError:
        pytest.skip("no devices can be made here")
    if full:
        with pytest.raises(OSError) as caught:
            write_text("x", path)
        assert caught.value.errno == errno.ENOSPC
    else:
        write_text("x", path)
    assert stat.S_ISCHR(path.stat().st_mode) and os.listdir(tmp_path) == ["device"]
    assert check_output(path) == path


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout here")
def test_standard_output_is_written_behind_what_was_printed(tmp_path):
    script = "from metst_core.files import write_text; print('first'); write_text('second\\n', '/dev/stdout'); print('third')"
    with (tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", script], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "first\nsecond\nthird\n"


def test_what_cannot_be_a_file_is_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    for name, said in (("", "this is a folder"), ("socket", "this is a socket")):
        with pytest.raises(InputError, match=said):
            write_text("x", tmp_path / name)
        with pytest.raises(InputError, match=said):
            check_output(tmp_path / name)


def test_an_input_is_no_output_by_any_name(tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes(b"film")
    (tmp_path / "link.mp4").symlink_to("film.mp4")
    os.link(film, tmp_path / "second_name.mp4")
    for name in ("film.mp4", "link.mp4", "second_name.mp4"):
        with pytest.raises(InputError, match=f"{name}: this is an input of this call"):
            check_output(tmp_path / name, [film])
    assert check_output(tmp_path / "other.mp4", [film]) == tmp_path / "other.mp4"
    assert sorted(os.listdir(tmp_path)) == ["film.mp4", "link.mp4", "second_name.mp4"]


@pytest.mark.parametrize("name", [b"\xff\xfe.txt", "é".encode() * 120 + b".txt", b"a" * 251 + b".txt"])
def test_any_name_that_the_system_takes_can_be_written(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    write_text("x", path)
    assert path.read_text() == "x" and os.listdir(os.fsencode(tmp_path)) == [name]


KILLED = """
import os, signal, sys
from metst_core.files import atomic_folder, atomic_path, only_one
with only_one(sys.argv[1]), atomic_path(sys.argv[1] + "/film.mp4") as a, atomic_folder(sys.argv[1] + "/faces") as b:
    a.write_text("half")
    (b / "0.png").write_text("half")
    print(flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_goes_and_what_a_living_one_holds_stays(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    assert len(os.listdir(tmp_path)) == 3  # two temporaries and the lock
    assert sweep(tmp_path) == 0
    with pytest.raises(InputError, match=f"another call works in this folder .process {process.pid} on"):
        only_one(tmp_path).__enter__()
    process.send_signal(signal.SIGKILL)
    process.wait()
    with only_one(tmp_path):  # a dead one's lock binds nobody
        pass
    writing._swept.clear()
    write_text("whole", tmp_path / "other.txt")
    assert os.listdir(tmp_path) == ["other.txt"]


def test_a_deep_sweep_looks_below_and_leaves_the_files_of_others(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / ".metst-x-012345.json").write_text("half")
    (tmp_path / "a" / ".hidden").write_text("somebody's")
    assert (sweep(tmp_path), sweep(tmp_path, deep=True)) == (0, 1)
    assert sorted(p.name for p in tmp_path.rglob("*")) == [".hidden", "a", "b"]


def test_one_call_at_a_time_also_in_one_process(tmp_path):
    with only_one(tmp_path):
        with pytest.raises(InputError, match=f"process {os.getpid()}"), only_one(tmp_path):
            pass
        assert os.listdir(tmp_path) == [".lock"]
    with only_one(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def test_a_folder_is_whole_or_not_there(tmp_path):
    with atomic_folder(tmp_path / "faces") as folder:
        (folder / "0.png").write_text("x")
        assert not (tmp_path / "faces").exists()
    with (
        pytest.raises(InputError, match="faces: is already there"),
        atomic_folder(tmp_path / "faces") as folder,
    ):
        (folder / "1.png").write_text("x")
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "more") as folder:
        raise RuntimeError
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["0.png", "faces"]
