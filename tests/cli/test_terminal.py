"""What a terminal, a pipe, a disk and odd arguments do to a command: a sentence and an exit code, never a traceback."""

import errno
import io
import os
import subprocess
import sys
import warnings
from concurrent.futures.process import BrokenProcessPool

import pytest

from metst_core.cli import main
from metst_core.cli.terminal import steady_streams
from metst_core.errors import InputError, LostOutput

pytestmark = pytest.mark.quick

MAIN = sys.modules["metst_core.cli.main"]


def command(run):
    """A command `do` whose work is `run`."""

    class Command:
        @staticmethod
        def add_parser(commands):
            commands.add_parser("do").set_defaults(command=lambda options: run())

    return Command


def ended(monkeypatch, run):
    monkeypatch.setattr(MAIN, "COMMANDS", (command(run),))
    return main(["do"])


def failing(error):
    def run():
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/a.csv"), 1, "runs/a.csv: No space left on device; make room"),
        (OSError(errno.EROFS, "Read-only file system"), 1, "the system: Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 1, "x: Permission denied"),
        (MemoryError(), 1, "not enough memory; use fewer --jobs"),
        (BrokenProcessPool(), 1, "a worker process was killed"),
        (KeyboardInterrupt(), 130, "stopped"),
        (InputError("bad\x1b[31m row"), 1, "bad\\x1b[31m row"),
    ],
)  # fmt: skip
def test_what_a_system_can_say_is_a_sentence_and_a_code(monkeypatch, capsys, error, code, said):
    assert ended(monkeypatch, failing(error)) == code
    err = capsys.readouterr().err
    assert err.startswith("metst: ") and said in err and len(err.splitlines()) == 1


def test_an_output_that_goes_nowhere_is_an_error_of_the_command(monkeypatch, capsys):
    assert ended(monkeypatch, lambda: warnings.warn(LostOutput("pipe: nobody reads it"), stacklevel=1)) == 1
    assert "pipe: nobody reads it" in capsys.readouterr().err


class Stream(io.StringIO):
    """A stream that fails after so many characters, or whose encoding lacks most of them."""

    encoding = "ascii"

    def __init__(self, error=None, after=0):
        super().__init__()
        self.error, self.left = error, after

    def write(self, text):
        text.encode(self.encoding)
        self.left -= len(text)
        if self.error is not None and self.left < 0:
            raise self.error
        return super().write(text)


def test_a_terminal_of_ascii_gets_codes(monkeypatch):
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    assert ended(monkeypatch, lambda: print("0.5 – 微 \udcff \x1b[2J\nnext")) == 0
    assert stream.getvalue() == "0.5 \\u2013 \\u5fae \\xff \\x1b[2J\nnext\n"


def test_a_reader_that_has_gone_does_not_stop_the_work(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Stream(BrokenPipeError(errno.EPIPE, "Broken pipe"), after=10))
    done = []
    assert ended(monkeypatch, lambda: [print("line of text") for _ in range(9)] and done.append(1)) == 0
    assert done == [1]


def test_a_full_disk_behind_the_output_is_told_in_the_end(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Stream(OSError(errno.ENOSPC, "No space left on device")))
    assert ended(monkeypatch, lambda: print("text")) == 1
    assert "could not all be written (No space left on device)" in capsys.readouterr().err


def test_the_streams_are_as_before_afterwards():
    before = sys.stdout, sys.stderr
    with pytest.raises(InputError), steady_streams():
        assert sys.stdout is not before[0] and sys.stderr.encoding == before[1].encoding
        raise InputError
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.skipif(os.name != "posix", reason="pipes and /dev/full")
def test_in_a_shell_a_closed_pipe_loses_nothing_and_says_nothing(tmp_path):
    script = f"{sys.executable} -m metst_core.cli --help | head -1"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.startswith("usage: metst")
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m metst_core.cli synth {tmp_path / 'x'} --tier nonsense > /dev/full"],
        capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("metst: ") and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("name=x", "no option is called 'name'"),
        ("root=/", "no option is called 'root'"),
        ("videos=1", "no option is called 'videos'"),
        ("=3", "no option is called ''"),
        ("cache=x", "no option is called 'cache'"),
        ("fps", "expected NAME=VALUE"),
    ],
)
def test_options_that_collide_with_arguments_are_named(tmp_path, capsys, option, said):
    released = ["released", "--dataset", "casme3", "--root", ".", "--cache", "c", "--weights", "w"]
    for given in (["check", "--dataset", "folder", "--root", str(tmp_path)], ["reproduce"], released):
        assert main([*given, "--option", option]) == 1
        assert said in capsys.readouterr().err


def test_an_option_twice_and_a_file_named_like_a_number():
    from metst_core.cli.options import dataset_options

    assert dataset_options(["labels=2024", "fps=25", "rules=complete"]) == {
        "labels": "2024", "fps": 25, "rules": "complete",
    }  # fmt: skip
    with pytest.raises(InputError, match="fps is given twice"):
        dataset_options(["fps=25", "fps=30"])


def test_messages_about_arguments_hold_no_control_characters(capsys):
    with pytest.raises(SystemExit):
        main(["synth", "x", "--nonsense\x1b[2J"])
    err = capsys.readouterr().err
    assert "\\x1b[2J" in err and "\x1b" not in err
