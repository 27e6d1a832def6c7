"""The released networks' state dicts, written out from their key layout, without any module of the package."""

import torch


def linear(out, into, name):
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def conv_and_norm(out, into, name, first, second):
    norm = {f"{name}.{second}.{part}": (out,) for part in ("weight", "bias", "running_mean", "running_var")}
    conv = {f"{name}.{first}.weight": (out, into, 3), f"{name}.{first}.bias": (out,)}
    return conv | norm | {f"{name}.{second}.num_batches_tracked": ()}


def block(width, states, name, norm2):
    inner, rank, mamba = 2 * width, -(-width // 16), f"{name}.attn.mamba"
    norms = ["norm1", "attn.norm"] + ["norm2"] * norm2
    return {
        f"{mamba}.A_log": (inner, states),
        f"{mamba}.D": (inner,),
        f"{mamba}.in_proj.weight": (2 * inner, width),
        f"{mamba}.conv1d.weight": (inner, 1, 4),
        f"{mamba}.conv1d.bias": (inner,),
        f"{mamba}.x_proj.weight": (rank + 2 * states, inner),
        f"{mamba}.dt_proj.weight": (inner, rank),
        f"{mamba}.dt_proj.bias": (inner,),
        f"{mamba}.out_proj.weight": (width, inner),
    } | {f"{name}.{norm}.{part}": (width,) for norm in norms for part in ("weight", "bias")}


def slow_fast(width, states, depth, prefix, norm2):
    shapes = conv_and_norm(2 * width, width, f"{prefix}Stem_slow", 0, 1)
    for stage in (1, 2, 3):
        for i in range(depth):
            shapes |= block(2 * width, states, f"{prefix}block{stage}.{i}", norm2)
            shapes |= block(width, states, f"{prefix}block{stage}_fast.{i}", norm2)
    for stage in (1, 2):
        shapes |= conv_and_norm(2 * width, width, f"{prefix}fuse_{stage}.conv", 0, 1)
    return shapes


RELEASES = {  # pathways (spotting, recognition), whether slow-fast, what the heads' names end with
    "first": (("blocks_spot", "blocks_recog"), False, ".0"),
    "metst": (("spot_pathway.block", "recog_pathway.block"), False, ""),
    "metst_plus": (("spot_pathway.", "recog_pathway."), True, ""),
    "boosting": (("", ""), True, ".0"),
}


def released_state(release, width=16, states=4, depth=2, channels=6, classes=5, norm2=True, seed=0):
    """A random state dict with the key layout of a release."""
    pathways, is_slow_fast, inner = RELEASES[release]
    shapes = conv_and_norm(width, channels, "Stem", 0, 1) | conv_and_norm(width, width, "Stem", 3, 4)
    for pathway in pathways:
        if is_slow_fast:
            shapes |= slow_fast(width, states, depth, pathway, norm2)
        else:
            for i in range(depth):
                shapes |= block(width, states, f"{pathway}.{i}", norm2)
    features = 3 * width if is_slow_fast else width
    shapes |= linear(1, features, f"fc_spot{inner}") | linear(classes, features, f"fc_recog{inner}")
    draw = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=draw)
        if name.endswith("num_batches_tracked"):
            value = torch.tensor(7)
        elif name.endswith("running_var"):
            value = value.abs() + 0.5
        elif len(shape) >= 2 and "A_log" not in name:
            value /= (value[0].numel()) ** 0.5
        state[name] = value
    return state
