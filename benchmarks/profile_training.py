"""Where a training step on a CPU goes, by kind of work, at the default run's size and at the published one.

    python benchmarks/profile_training.py [--rounds 5] [--full-rounds 2] [--json FILE]

A step is what `training.fit` does with a batch: forward, loss, backward, Adam; one thread, noise for motion.  torch's
profiler tells the own time of every operation; it is booked on the first kind that the operation, or one around it,
belongs to.  What Python does between operations is the profiled step less all of them.  `at most` is how many times as
fast a step would be if that kind of work took no time at all, all other kinds being as they are.

The table is written to `training_profile.md` beside the JSON.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from common import Line, parser, write
from torch.profiler import ProfilerActivity, profile

from metst_core.experiment import PROFILES
from metst_core.rois import roi_names
from metst_core.training import TrainConfig, joint_loss
from metst_core.workers import one_thread

KINDS = {
    "scan, backward": ("SelectiveScanCPUBackward",),
    "scan, forward": ("SelectiveScanCPU",),
    "causal convolution": ("CausalConv", "CausalConvBackward"),
    "Adam": ("Optimizer.step", "Optimizer.zero_grad"),
    "convolutions and batch norms": ("aten::convolution", "aten::conv1d", "aten::batch_norm", "NativeBatchNorm",
                                     "Convolution", "aten::native_batch_norm"),
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::linear"),
    "layer norms": ("aten::layer_norm", "aten::native_layer_norm", "NativeLayerNorm"),
    "softplus, silu, gate": ("aten::softplus", "aten::silu", "SoftplusBackward", "SiluBackward", "aten::silu_backward",
                             "aten::softplus_backward"),
    "other operations": ("aten::",),
}  # fmt: skip
"""Kind of work -> how the names of its operations begin; those further up come first."""
PYTHON = "Python, autograd and the profiler itself"


def step_of(config: TrainConfig, window: int = 50) -> Callable[[], None]:
    """One training step on noise."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    model = config.build().train()
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    shape = (config.batch_size, 2 * len(roi_names(config.features)), window)
    x = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    target = torch.from_numpy(rng.random((shape[0], window), dtype=np.float32))
    classes, weights = torch.from_numpy(rng.integers(0, 5, target.shape)), torch.ones(5)

    def step() -> None:
        score, logits = model(x)
        loss = joint_loss(score, logits, target, classes, weights, config)[0]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def kind_of(event: Any) -> str:
    """The kind of the outermost operation around `event` that has one of its own; else its own."""
    found = "other operations"
    while event is not None:
        name = event.name.removeprefix("autograd::engine::evaluate_function: ")
        kind = next((k for k, starts in KINDS.items() if name.startswith(starts)), None)
        if kind not in (None, "other operations"):
            found = kind
        event = event.cpu_parent
    return found


def profiled(config: TrainConfig, rounds: int) -> dict[str, Any]:
    """Milliseconds of a step, without the profiler and, with it, by kind of work: medians over rounds."""
    step = step_of(config)
    step()
    plain = []
    for _ in range(rounds):
        start = time.thread_time()
        step()
        plain.append(1000 * (time.thread_time() - start))
    every: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(
        rounds
    ):  # one profile a step: on a busy machine the median leaves out what others interrupted
        kinds = dict.fromkeys((*KINDS, PYTHON), 0.0)
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            start = time.perf_counter()
            step()
            wall = 1000 * (time.perf_counter() - start)
        for event in profiler.events() or ():
            kinds[kind_of(event)] += event.self_cpu_time_total / 1000
        kinds[PYTHON] = max(0.0, wall - sum(kinds.values()))
        for kind, ms in kinds.items():
            every[kind].append(ms)
    medians = {kind: statistics.median(each) for kind, each in every.items()}
    return {
        "step_ms": statistics.median(plain),
        "profiled_ms": sum(medians.values()),
        "kinds_ms": medians,
    }


def table(found: dict[str, dict[str, Any]]) -> str:
    """The shares of all configurations as one Markdown table."""
    heads = [f"{name} | at most" for name in found]
    rows = ["| kind of work | " + " | ".join(heads) + " |", "|---" * (1 + 2 * len(found)) + "|"]
    for kind in (*KINDS, PYTHON):
        cells = []
        for each in found.values():
            share = each["kinds_ms"].get(kind, 0.0) / each["profiled_ms"]
            cells.append(f"{share:.1%} | {1 / (1 - share):.2f}")
        rows.append(f"| {kind} | " + " | ".join(cells) + " |")
    steps = " | ".join(f"{each['step_ms']:.0f} ms | " for each in found.values())
    rows.append(f"| a step, CPU time without the profiler | {steps}|")
    return "\n".join(rows)


def main() -> None:
    made = parser(__doc__, "training_profile", rounds=5)
    made.add_argument("--full-rounds", type=int, default=2, help="steps of the published size (2)")
    options = made.parse_args()
    default = {**PROFILES["default"].train}
    with one_thread():
        found = {
            f"{model}, default run": profiled(TrainConfig(model=model, **default), options.rounds)
            for model in ("metst", "metst_plus")
        }
        published = TrainConfig(
            model="metst_plus", batch_size=8
        )  # a quarter of the batch: the profile needs memory too
        found["metst_plus, published size, batch of 8"] = profiled(published, options.full_rounds)
    text = table(found)
    print(text)
    options.json.with_suffix(".md").write_text(
        "# Where a training step on a CPU goes\n\nWritten by `benchmarks/profile_training.py`; what the columns mean "
        f"stands there.\n\n{text}\n",
        encoding="utf-8",
    )
    lines = []
    for name, each in found.items():
        kinds = each["kinds_ms"]
        kept = sum(kinds.get(kind, 0.0) for kind in ("scan, backward", "scan, forward", "matrix products"))
        floor = each["step_ms"] * kept / each["profiled_ms"]
        lines.append(
            Line(f"training step, {name}", "ms", "its scan and matrix products", each["step_ms"], floor=floor)
        )
    write(options, lines, profiles=found)


if __name__ == "__main__":
    main()
