"""Names that come from outside: ids as names of files, and any text as a terminal may show it."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Any
from urllib.parse import quote

from metst_core.errors import InputError

_LONGEST = 200  # bytes of a safe name; file systems allow 255
LONGEST_ID = 1000
"""Characters that an id may have."""


def printable(text: Any) -> str:
    """`text` with every character that could steer a terminal, or that none can show, written as its code.

    Control characters but the line feed, marks that turn the direction of writing, and what stands for bytes
    that are no UTF-8 (as Python reads them in file names).
    """
    return "".join(c if c == "\n" or _is_harmless(c) else _code(c) for c in str(text))


def one_line(text: Any) -> str:
    """As `printable`, with line feeds as codes too: a name cannot look like another line of a message."""
    return printable(text).replace("\n", "\\n")


def plain_name(text: str) -> str:
    """The name of a file as an id: composed (NFC), and what an id may not hold written as a code."""
    return one_line(unicodedata.normalize("NFC", text))


def _is_harmless(character: str) -> bool:
    # Cc: control, Cs: half of a pair, Zl, Zp: separators; of Cf only what turns the direction.
    if character.isascii():
        return character.isprintable()
    return (
        unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        and character not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


def _code(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte of a file name
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def check_id(name: str, value: Any, where: str = "") -> str:
    """`value` as the id of a subject or video, in Unicode's composed form (NFC).

    An id is a text that is not blank, has no control character and no byte that is not UTF-8, and is not longer
    than `LONGEST_ID`; `InputError` names it, after `where`, if it is something else.
    """
    here = f"{where}: " if where else ""
    text = unicodedata.normalize("NFC", str(value))
    if not text.strip():
        raise InputError(f"{here}{name} is empty; give every video a subject and a name")
    if len(text) > LONGEST_ID:
        raise InputError(f"{here}{name} has {len(text)} characters; give it a shorter name")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        raise InputError(
            f"{here}{name} is '{one_line(text)}', with a control character or bytes that are not UTF-8; rename it"
        )
    return text


def safe_name(text: str) -> str:
    """A file name for any id, one for each: letters and digits of ASCII stay, all else is escaped.

    Long ones are cut and end with a hash.  `InputError` for an empty id, which would name the folder itself.
    """
    if not text:
        raise InputError("an empty id cannot be the name of a file; give every subject a name")
    name = quote(text.encode("utf-8", "surrogateescape"), safe=" ").replace(".", "%2E")
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:20]
    return f"{name[: _LONGEST - 24]}%%{digest}"
