"""Motion-JPEG in an AVI container: the JPEG bytes of every frame go into the file unchanged.

OpenCV's own writers re-encode at a quality of their choosing.  Here the JPEG quality is exactly the one
asked for, and the same frames give the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from metst_core.errors import InputError
from metst_core.files import atomic_path

_LIMIT = 2**31 - 2**20  # what a plain AVI can address


def write_mjpeg(path: str | Path, images: Iterable[bytes], fps: float, size: tuple[int, int]) -> int:
    """Write JPEG-coded `images`, all of `size` (width, height), as an AVI file, atomically; return how many.

    Raises an `InputError` for no images, and beyond 2 GB.
    """
    rate = Fraction(fps).limit_denominator(1001)
    index = []
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(_header(0, 0, rate, size))
        start = stream.tell() - 4  # offsets in the index count from the word "movi"
        for image in images:
            index.append((stream.tell() - start, len(image)))
            stream.write(b"00dc" + struct.pack("<I", len(image)) + image + b"\0" * (len(image) % 2))
            if stream.tell() > _LIMIT:
                raise InputError(f"{path}: more than 2 GB; write shorter videos or lower the JPEG quality")
        if not index:
            raise InputError(f"{path}: there are no frames to write")
        movi_bytes = stream.tell() - start
        entries = b"".join(b"00dc" + struct.pack("<III", 0x10, *entry) for entry in index)
        stream.write(b"idx1" + struct.pack("<I", len(entries)) + entries)
        total = stream.tell()
        stream.seek(0)
        stream.write(_header(len(index), movi_bytes, rate, size, total))
    return len(index)


def _header(n_frames: int, movi_bytes: int, rate: Fraction, size: tuple[int, int], total: int = 8) -> bytes:
    """Everything up to and including the word "movi"; its length does not depend on the arguments."""
    width, height = size
    microseconds = round(1e6 / rate)
    main = struct.pack("<14I", microseconds, 0, 0, 0x10, n_frames, 0, 1, 0, width, height, 0, 0, 0, 0)
    stream = b"vidsMJPG" + struct.pack(
        "<IHHIIIIIIII4H",
        0, 0, 0, 0, rate.denominator, rate.numerator, 0, n_frames, 0, 0xFFFFFFFF, 0, 0, 0, width, height,
    )  # fmt: skip
    picture = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0)
    streams = _list(b"strl", _chunk(b"strh", stream) + _chunk(b"strf", picture))
    headers = _list(b"hdrl", _chunk(b"avih", main) + streams)
    return (
        b"RIFF"
        + struct.pack("<I", total - 8)
        + b"AVI "
        + headers
        + b"LIST"
        + struct.pack("<I", movi_bytes)
        + b"movi"
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data


def _list(name: bytes, data: bytes) -> bytes:
    return _chunk(b"LIST", name + data)
