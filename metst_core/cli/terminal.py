"""What goes to the terminal: whatever it can show, wherever it leads, and nothing that steers it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from metst_core.files import printable


class _Steady:
    """A text stream on which the work does not depend.

    When its reader has gone (`| head -1`) or its disk is full, the rest is dropped; what its encoding lacks is
    written as a code.  The other attributes are the stream's.
    """

    def __init__(self, stream: TextIO, plain: bool) -> None:
        self._stream, self._plain = stream, plain
        self.trouble: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        shown = printable(text) if self._plain else text
        try:
            self._stream.write(shown)
        except UnicodeEncodeError:
            encoding = self._stream.encoding or "ascii"
            with self._kept_going():
                self._stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self._stop(error)
        return len(text)

    def flush(self) -> None:
        with self._kept_going():
            self._stream.flush()

    @contextlib.contextmanager
    def _kept_going(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._stop(error)

    def _stop(self, error: OSError) -> None:
        if self.trouble is None:
            self.trouble = error
            with contextlib.suppress(OSError, ValueError):  # else Python tries once more when it ends
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)


@contextlib.contextmanager
def steady_streams() -> Iterator[_Steady]:
    """Inside, standard output and error are such streams; the former without control characters.  Yields the former."""
    out, err = _Steady(sys.stdout, plain=True), _Steady(sys.stderr, plain=False)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield out
        finally:
            out.flush()
            err.flush()


def complain(message: object) -> None:
    """One line (or what the message has) on standard error, after the program's name."""
    print(f"metst: {printable(message)}", file=sys.stderr, flush=True)
