"""Damaged files for every loader: each is read, or refused with an error of the package, and nothing else happens."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from support.made_up_motion import made_up_motion
from support.recorded_run import record_results
from support.released import RELEASES, released_state
from support.sheets import CASME3_HEADER, row, workbook

from metst_core import checkpoints, extraction, tables
from metst_core.datasets import Report, Rules, read_casme3_sheet
from metst_core.errors import MetstError
from metst_core.experiment import collect_results, compare_runs, refresh
from metst_core.extraction import MotionSet
from metst_core.files import claim_folder, sealed_path
from metst_core.inference import TrainedModel, load_model, save_model
from metst_core.models import METST
from metst_core.synthetic import read_truth
from metst_core.training.store import read_traces, write_traces
from metst_core.video import probe, read_frames, read_image, write_video

LONGEST_MESSAGE = 2000


class Loader(NamedTuple):
    """A file as it should be (`make`, into a folder), and what reads it."""

    make: Callable[[Path], Path]
    load: Callable[[Path], object]


def _film(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        base = np.random.default_rng(0).integers(0, 255, (32, 48, 3), dtype=np.uint8)
        write_video(folder / f"film{suffix}", [np.roll(base, n, axis=1) for n in range(6)], 25)
        return folder / f"film{suffix}"

    return make


def _watch(path: Path) -> None:
    probe(path)
    for _ in read_frames(path):
        pass


def _picture(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        image = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
        (folder / f"image{suffix}").write_bytes(cv2.imencode(suffix, image)[1].tobytes())
        return folder / f"image{suffix}"

    return make


def _sheet(folder: Path) -> Path:
    workbook(folder / "labels.xlsx", [CASME3_HEADER, *(row(n, n + 3, n + 6) for n in range(1, 9))])
    return folder / "labels.xlsx"


def _text(name: str, header: str, line: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text("\n".join([header, *[line] * 8]) + "\n")
        return folder / name

    return make


def _cached(folder: Path) -> Path:
    with sealed_path(folder / "entry.npz") as temporary:
        np.savez(
            temporary, windows=np.zeros((2, 36, 16), np.float32), has_face=np.ones(24, bool),
            head=np.zeros((2, 2, 16), np.float32), shift=np.zeros((2, 2, 16), np.int32),
        )  # fmt: skip
    return folder / "entry.npz"


def _traces(folder: Path) -> Path:
    write_traces({("s", "v"): (np.zeros(9, np.float32), np.zeros((9, 5), np.float32))}, folder / "traces.npz")
    return folder / "traces.npz"


def _truth(folder: Path) -> Path:
    (folder / "truth").mkdir(exist_ok=True)
    with sealed_path(folder / "truth" / "s_v.npz") as temporary:
        np.savez_compressed(temporary, intensity=np.zeros((9, 3)), units=np.array(["1", "2", "4"]))
    return folder / "truth" / "s_v.npz"


def _results(folder: Path) -> Path:
    record_results(folder)
    return collect_results(folder)


def _part(folder: Path) -> Path:
    record_results(folder)
    return folder / "results" / "04_evaluation.json"


def _note(folder: Path) -> Path:
    claim_folder(folder, {"seed": 1, "config": {"width": 8}})
    return folder / "run.json"


def _network() -> METST:
    return METST(width=4, depth=1, d_state=2)


def _own(folder: Path) -> Path:
    return save_model(TrainedModel(_network(), features="metst"), folder / "own.safetensors")


def _constants(folder: Path) -> Path:
    return _own(folder).with_suffix(".json")


def _released(folder: Path) -> Path:
    torch.save(released_state(next(iter(RELEASES)), width=4, depth=1, states=2), folder / "released.pth")
    return folder / "released.pth"


def _cache(folder: Path) -> Path:
    import pickle

    videos = [[np.zeros((2, 6), np.float32)] * n for n in (2, 3)]
    (folder / "cache.pkl").write_bytes(pickle.dumps(videos, 4))
    return folder / "cache.pkl"


LOADERS = {
    **{f"film {suffix}": Loader(_film(suffix), _watch) for suffix in (".mp4", ".avi", ".mkv", ".mov", ".webm")},
    **{f"image {s}": Loader(_picture(s), read_image) for s in (".png", ".jpg", ".bmp", ".tif", ".webp")},
    "label workbook": Loader(_sheet, lambda p: read_casme3_sheet(p.parent, Rules(), Report())),
    "label text": Loader(
        _text("labels.csv", ",".join(CASME3_HEADER), "1,a,3,5,8,4,I,happy"),
        lambda p: read_casme3_sheet(p.parent, Rules(), Report()),
    ),
    "annotations": Loader(
        _text("annotations.csv", ",".join(tables.ANNOTATION_COLUMNS), "s,v,1,2,3,others"), tables.read_annotations
    ),
    "videos": Loader(_text("videos.csv", ",".join(tables.VIDEO_COLUMNS), "s,v,30.0,90,s/v.avi"), tables.read_videos),
    "motion set": Loader(lambda f: made_up_motion(2, 1).save(f / "motion.npz"), MotionSet.load),
    "cached motion": Loader(_cached, lambda p: extraction._read_cached(p, 16)),
    "traces": Loader(_traces, read_traces),
    "truth": Loader(_truth, lambda p: read_truth(p.parents[1], "s", "v")),
    "results": Loader(_results, lambda p: compare_runs(p.parent, p.parent)),
    "part of the results": Loader(_part, lambda p: refresh(p.parents[1])),
    "note of a folder": Loader(_note, lambda p: claim_folder(p.parent, {"seed": 1, "config": {"width": 8}})),
    "own network": Loader(_own, load_model),
    "constants": Loader(_constants, lambda p: load_model(p.with_suffix(".safetensors"))),
    "released network": Loader(_released, checkpoints.load_released),
    "released cache": Loader(_cache, checkpoints.load_released_cache),
}  # fmt: skip

_EXTREME = (
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\0",
    b"\x80\0\0\0",
    b"9" * 8,
    b"NaN",
    b"-1",
)


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """The bytes of a file after something happened to it."""
    data = bytearray(whole)
    n = len(data)
    place = int(rng.integers(max(1, n)))
    kind = int(rng.integers(7))
    if kind == 0:  # bits
        for at in rng.integers(0, n, int(rng.integers(1, 9))):
            data[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:  # cut
        del data[place:]
    elif kind == 2:  # a part lost
        del data[place : place + int(rng.integers(1, 64))]
    elif kind == 3:  # numbers at their limits
        extreme = _EXTREME[int(rng.integers(len(_EXTREME)))]
        data[place : place + len(extreme)] = extreme
    elif kind == 4:  # a part twice
        data[place:place] = data[place : place + int(rng.integers(1, 256))]
    elif kind == 5:  # a block never written
        length = int(rng.integers(1, 512))
        data[place : place + length] = bytes(min(length, n - place))
    else:  # noise
        length = int(rng.integers(1, 32))
        data[place : place + length] = rng.bytes(length)
    return bytes(data)


def json_of_the_wrong_kind(whole: bytes, rng: np.random.Generator) -> bytes:
    """A JSON file in which one value, anywhere, is of another kind; without its checksum, as if of another version."""
    value = json.loads(whole)
    value.pop("checksum", None)
    inside = value
    while True:
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        if not keys:
            break
        key = keys[int(rng.integers(len(keys)))]
        if isinstance(inside[key], dict | list) and inside[key] and rng.random() < 0.7:
            inside = inside[key]
            continue
        if rng.random() < 0.2:
            del inside[key]
        else:
            inside[key] = (None, "text", 1e308, -3, [], {}, True, [[1]], {"a": 1}, 0.5)[int(rng.integers(10))]
        break
    return json.dumps(value).encode()


class Case(NamedTuple):
    """What became of a damaged file."""

    number: int
    outcome: str
    """"read", "refused", or what went wrong."""
    seconds: float


def cases(loader: Loader, folder: Path, n: int, seed: int) -> Iterator[Case]:
    """`n` damaged files, one after the other, through a loader."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    path = loader.make(folder)
    whole = path.read_bytes()
    for number in range(n):
        is_json = path.suffix == ".json" and rng.random() < 0.5
        path.write_bytes((json_of_the_wrong_kind if is_json else damaged)(whole, rng))
        began = time.perf_counter()
        try:
            loader.load(path)
            outcome = "read"
        except MetstError as error:
            outcome = (
                "refused"
                if len(str(error)) <= LONGEST_MESSAGE
                else f"a message of {len(str(error))} characters"
            )
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        yield Case(number, outcome, time.perf_counter() - began)
    path.write_bytes(whole)
