"""How large an image says it is, read off the first bytes of its file: before memory is taken for it."""

from __future__ import annotations

import struct
from typing import NamedTuple


class Header(NamedTuple):
    """The kind of an image file, and its width and height; 0 x 0 where the header does not tell."""

    kind: str
    width: int
    height: int


def image_header(data: bytes) -> Header | None:
    """The header of a JPEG, PNG, BMP, TIFF or WebP file; None for anything else."""
    for kind, (starts, size) in _KINDS.items():
        if data.startswith(starts):
            try:
                width, height = size(data)
            except (struct.error, IndexError):  # cut short
                width, height = 0, 0
            return Header(kind, abs(width), abs(height))
    return None


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    place = 2
    while True:
        while data[place] != 0xFF:  # as decoders do: on to the next marker
            place += 1
        while data[place] == 0xFF:
            place += 1
        marker = data[place]
        place += 1
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, place + 3)
            return width, height
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # stands alone
            continue
        if marker in (0xD9, 0xDA):  # the picture, without having said how large
            return 0, 0
        place += struct.unpack_from(">H", data, place)[0]


def _bmp(data: bytes) -> tuple[int, int]:
    (length,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if length == 12 else "<ii", data, 18)
    return width, height


def _tiff(data: bytes) -> tuple[int, int]:
    order = "<" if data[:1] == b"I" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    (place,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, place)
    place += 8 if big else 2
    found = {256: 0, 257: 0}
    for entry in range(min(count, 4096)):
        at = place + entry * (20 if big else 12)
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag in found:
            form = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind, "I")
            (found[tag],) = struct.unpack_from(order + form, data, at + (12 if big else 8))
    return found[256], found[257]


def _webp(data: bytes) -> tuple[int, int]:
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


_KINDS = {
    "PNG": ((b"\x89PNG\r\n\x1a\n",), _png),
    "JPEG": ((b"\xff\xd8\xff",), _jpeg),
    "BMP": ((b"BM",), _bmp),
    "TIFF": ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    "WebP": ((b"RIFF",), _webp),
}
