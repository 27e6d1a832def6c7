"""Films as only real recorders write them: rotated by metadata, with uneven time stamps, or sound alone."""

import struct

import numpy as np

VARIABLE_MS = [0, 40, 80, 240, 260, 280, 300, 460, 500, 520, 540, 700]
"""Twelve uneven time stamps (ms): two jumps, the second of them at the end."""


def rotate_metadata(path, turned, matrix):
    """Copy an MP4 with another display matrix in its track header (ISO 14496-12, box tkhd)."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40  # version 0: flags, times, ids, duration, layer, volume before it
    a, b, c, d = (x * 0x10000 for x in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    turned.write_bytes(data)


def wav(path):
    """A tenth of a second of silence, whatever the name of the file says."""
    data = np.zeros(800, "<i2").tobytes()
    form = struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    chunks = b"WAVEfmt " + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
