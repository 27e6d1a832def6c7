"""Pages to touch without a kernel: the knobs on one video, a leak switched on and off, a bump to drag.

Each is one file that computes in the browser and loads nothing.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from metst_core.errors import InputError
from metst_core.experiment.results import made_anew_by
from metst_core.experiment.toy import FPS, LENGTH, SIGHT, covered, draw_bumps, patch_network, patches, train
from metst_core.files import read_sealed, write_text
from metst_core.tables import of_video
from metst_core.templates import render


def write_touch_pages(out_dir: str | Path, run_dir: str | Path | None = None, steps: int = 400) -> list[Path]:
    """Write what can be touched into `out_dir`; the pages' paths.

    `bump.html` trains its two small networks here (`steps` each, seconds).  `knobs.html` shows the held-out video with
    the most micro-expressions of a run, `leak.html` the leak that its notebook 03 measured: both only where `run_dir`
    has them.
    """
    out = Path(out_dir)
    pages = {"bump.html": _page("Drag a bump", "bump", _bump(steps))}
    knobs = None if run_dir is None else _knobs(Path(run_dir))
    leak = None if run_dir is None else _leak(Path(run_dir))
    if knobs is not None:
        pages["knobs.html"] = _page("The knobs on one video", "knobs", knobs)
    if leak is not None:
        pages["leak.html"] = _page("A leak, switched on and off", "leak", leak)
    for name, text in pages.items():
        write_text(text, out / name)
    return [out / name for name in pages]


def _page(title: str, kind: str, data: dict[str, Any]) -> str:
    return render("touch.html", title=title, kind=kind, data=data)


def _bump(steps: int) -> dict[str, Any]:
    """A window classifier and a frame score of the toy world, with the noise that the bump is laid on."""
    import torch

    rng = np.random.default_rng(100)
    seen = draw_bumps(400, (0.1, 0.5), rng)
    k_p = 5
    networks = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(100)
        for name, target in (("windows", covered(seen.spans, k_p)), ("frames", seen.target)):
            networks[name] = _weights(train(patch_network(), patches(seen.signal), target, 100, steps))
    drift = np.cumsum(rng.normal(0, 0.05, LENGTH))
    noise = drift + rng.normal(0, 0.1, LENGTH)
    return {
        "fps": FPS,
        "sight": SIGHT,
        "k_p": k_p,
        "noise": np.round(noise, 4).tolist(),
        "networks": networks,
    }


def _weights(network: nn.Module) -> list[dict[str, Any]]:
    layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
    return [
        {
            "w": np.round(m.weight.detach().numpy(), 4).tolist(),
            "b": np.round(m.bias.detach().numpy(), 4).tolist(),
        }
        for m in layers
    ]


def _knobs(run_dir: Path) -> dict[str, Any] | None:
    from metst_core.experiment.run import Run

    if not (run_dir / "loso" / "metst_plus" / "strict" / "run.json").is_file():
        return None
    run = Run.reopened(run_dir) if (run_dir / "results" / "04_evaluation.json").is_file() else None
    if run is None:
        return None
    try:
        result = run.trained("metst_plus")["strict"]
    except InputError as error:  # a run of another version is no reason to have no book
        warnings.warn(f"no knobs to touch: {error}", stacklevel=3)
        return None
    subject, video = result.annotations.groupby(["subject", "video"]).size().idxmax()
    score, _ = result.traces[subject, video]
    truth = of_video(result.annotations, subject, video)
    return {
        "fps": run.motion().fps,
        "name": f"subject {subject}, video {video}, held out",
        "k_p": result.k_p[subject],
        "score": np.round(score, 4).tolist(),
        "truth": truth[["onset", "offset"]].to_numpy().tolist(),
    }


def _leak(run_dir: Path) -> dict[str, Any] | None:
    results = run_dir / "results.json"
    rows = read_sealed(results, made_anew_by(results)).get("leak") if results.is_file() else None
    if not rows:
        return None
    names = {"spotting_f1": "spotting F1", "recognition_f1": "recognition F1", "strs": "STRS"}
    return {
        "rows": [
            {
                "name": names[r["metric"]],
                "honest": r["honest"],
                "leak": r["with a leak"],
                "low": r["low"],
                "high": r["high"],
            }
            for r in rows
        ]
    }
