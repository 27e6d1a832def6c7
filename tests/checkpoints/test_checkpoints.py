"""Checkpoints: our own, the released layouts against an independent forward pass, and hostile files."""

import contextlib
import io
import json
import os
import pickle
import re
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from support.released import RELEASES, released_state
from torch.nn import functional as F

from metst_core.checkpoints import load, load_released, load_released_cache, released, save
from metst_core.errors import InputError, MetstError, MissingError
from metst_core.models import METST, METSTPlus

pytestmark = pytest.mark.quick


def published_forward(state, release, x):
    """The released forward pass in float64, one formula at a time.

    x (B, C, T) -> score (B, T), logits (B, T, n).
    """
    p = {k: v.double() for k, v in state.items()}
    pathways, is_slow_fast, inner = RELEASES[release]

    def conv_norm_relu(x, conv, norm, stride=1):
        x = F.conv1d(x, p[f"{conv}.weight"], p[f"{conv}.bias"], stride=stride, padding=1)
        mean, var = (p[f"{norm}.running_{part}"][:, None] for part in ("mean", "var"))
        return F.relu(
            (x - mean) / torch.sqrt(var + 1e-5) * p[f"{norm}.weight"][:, None] + p[f"{norm}.bias"][:, None]
        )

    def layer_norm(x, name):
        x = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-5)
        return x * p[f"{name}.weight"] + p[f"{name}.bias"]

    def mamba(x, name):
        inner, states = p[f"{name}.A_log"].shape
        rank = p[f"{name}.dt_proj.weight"].shape[1]
        u, z = (x @ p[f"{name}.in_proj.weight"].T).split(inner, dim=-1)
        padded = torch.cat([u.new_zeros(u.shape[0], 3, inner), u], dim=1)
        taps = p[f"{name}.conv1d.weight"][:, 0]
        u = F.silu(
            sum(padded[:, k : k + u.shape[1]] * taps[:, k] for k in range(4)) + p[f"{name}.conv1d.bias"]
        )
        dt, B, C = (u @ p[f"{name}.x_proj.weight"].T).split([rank, states, states], dim=-1)
        dt = F.softplus(dt @ p[f"{name}.dt_proj.weight"].T + p[f"{name}.dt_proj.bias"])
        A, h, out = -torch.exp(p[f"{name}.A_log"]), 0.0, []
        for t in range(x.shape[1]):
            h = torch.exp(dt[:, t, :, None] * A) * h + (dt * u)[:, t, :, None] * B[:, t, None]
            out.append((h * C[:, t, None]).sum(-1))
        y = torch.stack(out, dim=1) + u * p[f"{name}.D"]
        return (y * F.silu(z)) @ p[f"{name}.out_proj.weight"].T

    def blocks(x, name):
        i = 0
        while f"{name}.{i}.norm1.weight" in p:
            inside = mamba(layer_norm(x, f"{name}.{i}.attn.norm"), f"{name}.{i}.attn.mamba")
            x, i = x + layer_norm(inside, f"{name}.{i}.norm1"), i + 1
        return x

    def pathway(x, prefix):
        if not is_slow_fast:
            return blocks(x.transpose(1, 2), prefix)
        slow = conv_norm_relu(x, f"{prefix}Stem_slow.0", f"{prefix}Stem_slow.1", stride=2)
        fast = x
        for stage in (1, 2, 3):
            slow = blocks(slow.transpose(1, 2), f"{prefix}block{stage}").transpose(1, 2)
            fast = blocks(fast.transpose(1, 2), f"{prefix}block{stage}_fast").transpose(1, 2)
            if stage < 3:
                conv = f"{prefix}fuse_{stage}.conv"
                slow = slow + conv_norm_relu(fast, f"{conv}.0", f"{conv}.1", stride=2)
        slow = F.interpolate(slow, scale_factor=2, mode="nearest")[:, :, : x.shape[2]]
        return torch.cat([slow, fast], dim=1).transpose(1, 2)

    x = conv_norm_relu(conv_norm_relu(x.double(), "Stem.0", "Stem.1"), "Stem.3", "Stem.4")
    spotting = pathway(x, pathways[0])
    # As released, ME-TST runs both heads on the spotting pathway.
    recognition = pathway(x, pathways[1]) if is_slow_fast else spotting
    score = spotting @ p[f"fc_spot{inner}.weight"].T + p[f"fc_spot{inner}.bias"]
    logits = recognition @ p[f"fc_recog{inner}.weight"].T + p[f"fc_recog{inner}.bias"]
    return torch.sigmoid(score)[..., 0], logits


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    "sizes",
    [
        {"width": 16, "states": 4, "depth": 2},
        {"width": 24, "states": 9, "depth": 1, "channels": 10, "classes": 3, "norm2": False},
    ],
)
def test_released_checkpoint_computes_the_published_forward_pass(release, sizes):
    state = released_state(release, **sizes)
    model = load_released({f"module.{key}": value for key, value in state.items()})
    assert not model.training
    for frames in (2, 7, 10):
        x = torch.randn(2, sizes.get("channels", 6), frames, generator=torch.Generator().manual_seed(frames))
        expected = published_forward(state, release, x)
        with torch.no_grad():
            found = model(x)
            exact = model.double()(x.double())
            model.float()
        for a, b, c in zip(found, exact, expected, strict=True):
            torch.testing.assert_close(b, c, rtol=1e-9, atol=1e-10)
            torch.testing.assert_close(a.double(), c, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("release", "width", "depth", "channels", "millions"),
    [("first", 64, 12, 10, None), ("metst", 128, 12, 10, 3.75), ("metst_plus", 128, 4, 36, 16.7)],
)
def test_checkpoints_of_the_published_sizes(release, width, depth, channels, millions):
    """W = 128 (the first release 64), 64 states, 12 blocks or 3 stages of 4; counts as third parties state."""
    state = released_state(release, width, 64, depth, channels)
    model = load_released({f"module.{key}": value for key, value in state.items()})
    x = torch.randn(1, channels, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = model.double()(x.double())
    for a, b in zip(found, published_forward(state, release, x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)
    if millions is not None:
        count = sum(v.numel() for k, v in state.items() if not re.search("running|batches|norm2", k))
        assert count == sum(p.numel() for p in model.parameters())
        assert abs(count / 1e6 - millions) <= 0.05


def test_sizes_and_variant_are_read_from_the_shapes():
    found = {release: load_released(released_state(release, width=32, depth=3)) for release in RELEASES}
    common = {"n_classes": 5, "in_channels": 6, "width": 32, "d_state": 4}
    plain = common | {"depth": 3, "pathways": "separate", "both_heads_on_spotting": True}
    plus = common | {"blocks_per_stage": 3}
    assert found["first"].config == found["metst"].config == plain
    assert found["metst_plus"].config == plus | {"pathways": "separate"}
    assert found["boosting"].config == plus | {"pathways": "shared"}
    assert {type(found["first"]), type(found["metst"])} == {METST}
    assert {type(found["metst_plus"]), type(found["boosting"])} == {METSTPlus}


def test_recognition_weights_of_the_released_metst_are_kept_and_usable(tmp_path):
    state = released_state("metst")
    model = load_released(state)
    key = "recog_pathway.block.1.attn.mamba.in_proj.weight"
    assert torch.equal(model.recognition.blocks[1].mamba.in_proj.weight, state[key])
    x = torch.randn(1, 6, 8)
    released = model(x)
    model.both_heads_on_spotting = False
    again = load(save(model, tmp_path / "model.safetensors"))
    for used in (model, again):
        assert torch.equal(used(x)[0], released[0])
        assert not torch.equal(used(x)[1], released[1])


@pytest.mark.parametrize("prefix", ["", "module."])
def test_released_file_is_read(tmp_path, prefix):
    state = released_state("metst_plus")
    torch.save({prefix + key: value for key, value in state.items()}, tmp_path / "released.pkl")
    x = torch.randn(1, 6, 5)
    found, expected = load_released(tmp_path / "released.pkl")(x), load_released(state)(x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted_to_float32(dtype):
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in released_state("metst").items()}
    model = load_released(state)
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert torch.equal(model.score_head.weight, state["fc_spot.weight"].float())


def test_wrapped_and_ordered_state_dicts_are_read(tmp_path):
    """What trainers write around a state dict, under the name that they all use."""
    state = released_state("boosting")
    ordered = OrderedDict(sorted(state.items(), reverse=True))
    torch.save({"epoch": 3, "state_dict": ordered}, tmp_path / "wrapped.pth")
    x, expected = torch.randn(1, 6, 5), load_released(state).state_dict()
    for source in (ordered, {"state_dict": state}, tmp_path / "wrapped.pth", str(tmp_path / "wrapped.pth")):
        model = load_released(source)
        assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
        assert model(x)[0].shape == (1, 5)


def test_the_counters_of_batch_norm_may_be_missing():
    """They count training batches and compute nothing: PyTorch too takes a state dict without them."""
    state = {k: v for k, v in released_state("metst_plus").items() if "num_batches_tracked" not in k}
    found, expected = (
        load_released(state).state_dict(),
        load_released(released_state("metst_plus")).state_dict(),
    )
    for key, value in expected.items():
        if "num_batches_tracked" not in key:
            assert torch.equal(found[key], value), key


STATES = {release: released_state(release) for release in RELEASES}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), release=st.sampled_from(list(RELEASES)), prefix=st.sampled_from(["", "module."]))
def test_each_missing_extra_or_misshapen_key_is_named(data, release, prefix):
    state = dict(STATES[release])
    key = data.draw(st.sampled_from([k for k in state if "norm2" not in k]))
    damages = ["missing", "extra", "longer", "transposed"]
    damage = data.draw(st.sampled_from(damages["num_batches_tracked" in key :]))  # a counter may be missing
    if damage == "missing":
        del state[key]
    elif damage == "extra":
        key += "_of_someone_else"
        state[key] = torch.zeros(2)
    elif damage == "longer":
        state[key] = torch.cat([state[key].flatten(), torch.zeros(3)])
    else:
        state[key] = state[key][..., None]
    with pytest.raises(InputError, match=re.escape(prefix + key)):
        load_released({prefix + k: v for k, v in state.items()})


def test_whole_blocks_that_are_missing_are_named():
    state = {k: v for k, v in STATES["first"].items() if not k.startswith("blocks_recog.1.")}
    with pytest.raises(InputError, match=re.escape("missing blocks_recog.1.attn.mamba.A_log")):
        load_released(state)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "its first keys are none"),
        ({"encoder.weight": torch.zeros(1)}, "encoder.weight"),
        ({"Stem.0.weight": [1.0]}, "not a named tensor"),
        ({"epoch": 3, "model": {}}, "pass the state dict itself"),
        ({"Stem.0.weight": torch.zeros(2, dtype=torch.int8)}, "real numbers"),
        ({"state_dict": {"encoder.weight": torch.zeros(1)}}, "encoder.weight"),
        (METST(width=16, depth=1, d_state=2), "a path or a state dict, not a METST"),
    ],
)
def test_what_is_no_released_state_dict_is_refused(state, message):
    with pytest.raises(InputError, match=message):
        load_released(state)


def test_loading_does_not_touch_the_random_numbers(tmp_path):
    path = save(METST(width=16, depth=1, d_state=2), tmp_path / "model.safetensors")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load(path)
    load_released(STATES["metst"])
    assert torch.equal(torch.rand(3), expected)


# --- our own files ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "model",
    [
        METST(width=16, depth=2, d_state=3, n_classes=2, both_heads_on_spotting=True),
        METSTPlus(width=16, blocks_per_stage=1, d_state=3, pathways="shared").double(),
    ],
)
def test_a_saved_model_comes_back(tmp_path, model):
    again = load(save(model, tmp_path / "new" / "model.safetensors"))
    assert type(again) is type(model)
    assert again.config == model.config
    assert not again.training
    for (name, old), (other, new) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other
        assert old.dtype == new.dtype
        assert torch.equal(old, new)


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = save(METST(width=16, depth=1, d_state=2), tmp_path / "model.safetensors")
    before = path.read_bytes()

    def interrupted(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)  # how a whole file gets its name
    with pytest.raises(KeyboardInterrupt):
        save(METST(width=16, depth=1, d_state=2), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_only_our_networks_are_saved(tmp_path):
    with pytest.raises(InputError, match="only METST, METSTPlus, .* can be saved, not Linear"):
        save(torch.nn.Linear(1, 1), tmp_path / "model.safetensors")


def test_files_that_save_did_not_write_are_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(MissingError, match="model.safetensors"):
        load(path)
    path.write_bytes(b"not a model")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="load_released"):
        load(path)
    for text in ('{"class": "Evil", "config": {}}', '{"class": "METST", "config": {"wdth": 3}}', "[", "3"):
        save_file({"a": torch.zeros(1)}, path, metadata={"metst_model": text})
        with pytest.raises(InputError, match="cannot build"):
            load(path)
    config = '{"class": "METST", "config": {"width": 16, "depth": 1, "d_state": 2}}'
    save_file({"a": torch.zeros(1)}, path, metadata={"metst_model": config})
    with pytest.raises(InputError, match="extra a"):
        load(path)


# --- hostile files ----------------------------------------------------------------------------------------
class Command:
    """What a hostile pickle holds: loading it with `pickle.load` would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_released_checkpoints_execute_nothing(tmp_path):
    trap = tmp_path / "executed"
    for content in (Command(trap), {"Stem.0.weight": Command(trap)}):
        torch.save(content, tmp_path / "evil.pkl")
        with pytest.raises(InputError, match="not a PyTorch state dict of plain tensors"):
            load_released(tmp_path / "evil.pkl")
    (tmp_path / "noise.pkl").write_bytes(os.urandom(200))
    with pytest.raises(InputError):
        load_released(tmp_path / "noise.pkl")
    torch.save([1.0], tmp_path / "list.pkl")
    with pytest.raises(InputError, match="holds a list"):
        load_released(tmp_path / "list.pkl")
    with pytest.raises(MissingError):
        load_released(tmp_path / "absent.pkl")
    assert not trap.exists()


def cache(rng, counts=(3, 1, 4), channels=10, k=8, dtype=np.float64):
    return [[rng.normal(size=(channels, k)).astype(dtype) for _ in range(n)] for n in counts]


def written(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2"])
def test_feature_cache_is_read_exactly(tmp_path, protocol, dtype):
    videos = cache(np.random.default_rng(0), dtype=dtype)
    found = load_released_cache(written(tmp_path / "cache.pkl", videos, protocol))
    assert [a.shape for a in found] == [(3, 10, 8), (1, 10, 8), (4, 10, 8)]
    for expected, array in zip(videos, found, strict=True):
        np.testing.assert_array_equal(array, np.stack(expected))
        assert array.dtype == np.dtype(dtype).newbyteorder("=")


def test_feature_cache_in_other_containers(tmp_path):
    """Tuples, whole-video arrays, Fortran order, arrays of objects, plain numbers and NumPy scalars."""
    a, b, c, d, e = cache(np.random.default_rng(0), counts=(2,) * 5)
    as_objects = np.empty(2, dtype=object)
    as_objects[:] = d
    videos = (tuple(a), np.stack(b), [np.asfortranarray(w) for w in c], as_objects, [w.tolist() for w in e])
    for expected, found in zip(
        (a, b, c, d, e), load_released_cache(written(tmp_path / "c", videos)), strict=True
    ):
        np.testing.assert_array_equal(found, np.stack(expected))
    scalars = [[[[np.float32(1.5), np.int64(2)]]]]
    np.testing.assert_array_equal(load_released_cache(written(tmp_path / "c", scalars))[0], [[[1.5, 2.0]]])


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_feature_cache_of_either_numpy_generation(tmp_path, module):
    videos = cache(np.random.default_rng(0))
    data = re.sub(rb"numpy\.(_core|core)\.multiarray", module, pickle.dumps(videos, protocol=2))
    assert module in data
    (tmp_path / "cache.pkl").write_bytes(data)
    np.testing.assert_array_equal(load_released_cache(tmp_path / "cache.pkl")[0], np.stack(videos[0]))


def test_feature_cache_from_python_2(tmp_path):
    """Python 2 wrote the bytes of an array as a `str`, opcode U (short) or T (long)."""
    array = np.array([[200.0, -1.5]])
    buffer = io.BytesIO()
    pickler = pickle._Pickler(buffer, protocol=2)

    def as_python_2_string(self, value):
        self.write(b"T" + len(value).to_bytes(4, "little") + value)

    pickler.dispatch = {**pickler.dispatch, bytes: as_python_2_string}
    pickler.dump([[array]])
    assert b"_codecs" not in buffer.getvalue()
    (tmp_path / "cache.pkl").write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(load_released_cache(tmp_path / "cache.pkl")[0], array[None])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_feature_cache_executes_nothing(tmp_path, protocol):
    trap = tmp_path / "executed"
    window = np.zeros((2, 3))
    objects = np.empty(1, dtype=object)
    objects[0] = Command(trap)
    for content in (Command(trap), [[window, Command(trap)]], [[objects]], {"a": Command(trap)}):
        with pytest.raises(MetstError, match=r"mkdir, which is not allowed"):
            load_released_cache(written(tmp_path / "evil.pkl", content, protocol))
    assert not trap.exists()


@pytest.mark.parametrize(
    "name",
    ["builtins eval", "os system", "numpy load", "numpy.core.multiarray fromfile", "numpy ndarray.tofile"],
)
def test_feature_cache_looks_up_no_other_name(tmp_path, name):
    """The opcodes of `name("0")` by hand: GLOBAL, argument, TUPLE1, REDUCE, STOP."""
    module, attribute = name.encode().split()
    (tmp_path / "evil.pkl").write_bytes(
        b"\x80\x02c" + module + b"\n" + attribute + b"\nX\x01\x00\x00\x000\x85R."
    )
    with pytest.raises(InputError, match="which is not allowed"):
        load_released_cache(tmp_path / "evil.pkl")


def test_a_hostile_cache_cannot_change_how_the_next_is_read(tmp_path):
    """BUILD may set attributes on what GLOBAL returned, here on the stand-in for numpy.ndarray itself."""
    evil = b"\x80\x02cnumpy\nndarray\nN}X\x0c\x00\x00\x00__setstate__K\x01s\x86b."
    (tmp_path / "evil.pkl").write_bytes(evil)
    with pytest.raises(InputError):
        load_released_cache(tmp_path / "evil.pkl")
    assert not isinstance(np.ndarray.__setstate__, int)
    videos = cache(np.random.default_rng(0))
    assert len(load_released_cache(written(tmp_path / "cache.pkl", videos))) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "at least one"),
        (3.0, "list over videos"),
        ({"a": 1}, "holds a dict"),
        ([["text"]], "holds a str"),
        ([[None]], "holds a NoneType"),
        ([[np.array(["text"])]], "array of type 'U4'"),
        ([[np.zeros((2, 3))], [np.zeros((2, 3)), np.zeros((2, 4))]], "video 1: its windows differ"),
        ([[np.zeros((2, 3))], []], r"video 1: expected a list of \(channels, frames\)"),
        ([np.zeros((2, 3))], "video 0: expected"),
        ([[np.zeros((1, 2), dtype=complex)]], "array of type 'c16'"),
    ],
)
def test_other_contents_are_refused_by_name(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        load_released_cache(written(tmp_path / "cache.pkl", content))


# --- small files that would cost much ---------------------------------------------------------------------
@contextlib.contextmanager
def little_memory(megabytes=200):
    """Inside, no more than so much memory may be taken at once (of Python and NumPy, as tracemalloc counts it)."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes << 20
    finally:
        tracemalloc.stop()


def laughing(levels):
    """A list of lists of lists ... each of which is the same ten times over."""
    value = [1.0]
    for _ in range(levels):
        value = [value] * 10
    return pickle.dumps([value], 4)


COSTLY_CACHES = {
    "a note of number 2^31": b"\x80\x02]r\xff\xff\xff\x7f.",
    "bytes of 2^40": b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"x.",
    "a bytearray of 2^33": b"\x80\x05\x96" + (1 << 33).to_bytes(8, "little") + b"x.",
    "a frame of 2^40": b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b"].",
    "the same over and over": laughing(12),
    "one array many times": pickle.dumps([[np.zeros((100, 100))] * 20_000], 4),
    "a deep list": b"\x80\x04" + b"]" * 5000 + b"a" * 4999 + b".",
    "many dimensions": b"\x80\x04cnumpy.core.numeric\n_frombuffer\n(C\x04\0\0\0\0cnumpy\ndtype\nX\x02\0\0\0f4\x85R("
    + b"K\x01" * 500 + b"tX\x01\0\0\0CtR.",
}  # fmt: skip


@pytest.mark.parametrize("name", COSTLY_CACHES)
def test_a_small_cache_costs_little(tmp_path, name):
    path = tmp_path / "cache.pkl"
    path.write_bytes(COSTLY_CACHES[name])
    with little_memory(), pytest.raises(InputError, match=r"cache\.pkl"):
        load_released_cache(path)


def test_tensors_made_from_strides_and_archives_that_inflate_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    wide = dict(STATES["metst"])
    key = next(key for key in wide if key.endswith("Stem.0.weight") or key == "Stem.0.weight")
    torch.save({**wide, key: torch.zeros(1).expand(1_000_000, 1_000_000, 3)}, path)
    with pytest.raises(
        InputError, match=r"model\.pth: Stem\.0\.weight has shape .* more numbers than are stored"
    ):
        load_released(path)
    monkeypatch.setattr(released, "_SMALL_FILE", 1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", bytes(8 << 20))
    with pytest.raises(InputError, match=r"model\.pth: would take 8 MB"):
        load_released(path)


@pytest.mark.parametrize(
    "config",
    [
        {"width": 1_000_000, "depth": 1, "d_state": 2},
        {"width": 16, "depth": 10**9, "d_state": 2},
        {"width": 16, "depth": 1, "d_state": 10**8},
        {"width": 16.5, "depth": 1, "d_state": 2},
        {"width": -3, "depth": 1, "d_state": 2},
        {"width": "16", "depth": 1, "d_state": 2},
        {"width": None, "depth": 1, "d_state": 2},
        {"width": 1e300, "depth": 1, "d_state": 2},
        {"width": [16], "depth": 1, "d_state": 2},
        {"width": 16, "depth": 1, "d_state": 2, "pathways": 3},
    ],
)
def test_sizes_that_a_file_cannot_mean_are_refused_at_once(tmp_path, config):
    path = tmp_path / "model.safetensors"
    text = json.dumps({"class": "METST", "config": config})
    save_file({"a": torch.zeros(1)}, path, metadata={"metst_model": text})
    with pytest.raises(InputError, match=r"model\.safetensors describes a model this version cannot build"):
        load(path)


def test_no_error_passes_on_the_advice_to_switch_a_check_off(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"a": Command(tmp_path / "executed")}, path)
    messages = []
    for load_it in (load_released, load, load_released_cache):
        with pytest.raises(InputError) as caught:
            load_it(path)
        messages.append(str(caught.value))
    assert "asks for" in messages[0] and "mkdir" in messages[0]
    path.write_bytes(b"\x80\x02}q\x00." * 3)
    with pytest.raises(InputError) as caught:
        load_released(path)
    for text in (*messages, str(caught.value)):
        assert len(text) < 500
        assert not any(word in text for word in ("weights_only", "allow_pickle", "safe_globals", "trust"))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_damaged_cache_is_an_error_or_still_arrays(tmp_path_factory, data):
    original = pickle.dumps(cache(np.random.default_rng(0), counts=(1,), channels=2, k=2), protocol=4)
    position = data.draw(st.integers(0, len(original) - 1))
    damaged = bytearray(original)
    damaged[position] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(bytes(damaged[: data.draw(st.integers(1, len(original)))]))
    try:
        videos = load_released_cache(path)
    except MetstError as error:
        assert str(path) in str(error)
    else:
        assert all(isinstance(video, np.ndarray) and video.ndim == 3 for video in videos)


def test_a_missing_cache_is_named(tmp_path):
    with pytest.raises(MissingError, match=r"absent\.pkl"):
        load_released_cache(tmp_path / "absent.pkl")
