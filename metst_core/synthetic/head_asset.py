"""The baked shapes and face units of the heads, `assets/heads.npz`, as arrays (`bake` writes them)."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any, NamedTuple

import numpy as np

from metst_core.errors import MissingError
from metst_core.files import ASSETS
from metst_core.synthetic.canvas import Canvas
from metst_core.synthetic.rasteriser import SKIN

ASSET = ASSETS / "heads.npz"
ASSET_SHA256 = "cb5e2f398b2b0955950980286b5afbb355a51cf724c60d42b9a5a37199b95cd3"
"""Of the file that comes with the package."""
HEAD_QUANTUM, UNIT_QUANTUM = 1 / 8192, 1 / 65536
"""Steps of the asset's integers, decimetres (as `bake` wrote them)."""


class Baked(NamedTuple):
    """The asset's arrays as floats: `base (V, 3)`, `heads (N, V, 3)` offsets, `units` by MakeHuman's names, cards."""

    triangles: np.ndarray
    material: np.ndarray
    base: np.ndarray
    heads: np.ndarray
    units: dict[str, np.ndarray]
    canvas: Canvas
    cards: tuple[dict[str, Any], ...]


@functools.lru_cache(maxsize=1)
def baked() -> Baked:
    """The asset, read once; `MissingError` where it is not there."""
    if not ASSET.is_file():
        raise MissingError(
            f"{ASSET}: no such file; install metst anew, or bake it (metst_core.synthetic.bake)"
        )
    with np.load(ASSET, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    base = arrays["base"].astype(np.float32) * np.float32(HEAD_QUANTUM)
    triangles, material = arrays["triangles"].astype(np.int32), arrays["material"].astype(np.int32)
    units = dict(zip(arrays["unit_names"].tolist(), arrays["units"] * np.float32(UNIT_QUANTUM), strict=True))
    canvas = Canvas.of(base, triangles[material == SKIN], arrays["lips"])
    return Baked(
        triangles, material, base, arrays["heads"], units, canvas, tuple(json.loads(str(arrays["cards"])))
    )


def asset_digest() -> str:
    """SHA-256 of the asset's file."""
    return hashlib.sha256(ASSET.read_bytes()).hexdigest()


def number_of_heads() -> int:
    return len(baked().cards)
