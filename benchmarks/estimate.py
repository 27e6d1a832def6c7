"""What the licensed sets would take on 2, 16 and 64 cores: measured rates times counts, into the sets' cards.

    python benchmarks/estimate.py            # rewrites the tables in data/casme3.md and data/sammlv.md
    python benchmarks/estimate.py --check    # ends with an error where a card holds other numbers

Nobody here has the videos, so this is arithmetic, not a measurement.  Rates are those that bench_extraction.py,
bench_training.py and bench_scan.py left in benchmarks/results; counts are those of `SETS`, each with its source.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import RESULTS

from metst_core.training import TrainConfig

CARDS = Path(__file__).resolve().parents[1] / "data"
CORES = (2, 16, 64)
BEGIN, END = "<!-- estimate.py: begin -->", "<!-- estimate.py: end -->"
STEP_BATCH = 32  # windows in the steps that bench_training and bench_scan time
STEP_WINDOW = 50  # and frames in each


@dataclass(frozen=True)
class LicensedSet:
    """Counts of a set, in frames as the loader yields them, and where each is from.

    me_frames: frames between onset and offset of a micro-expression of middle length.
    """

    card: str
    videos: int
    frames_per_video: float
    subjects: int
    expressions: int
    me_frames: float
    window: int
    batch: int
    ratio: float
    sources: tuple[str, ...]

    @property
    def frames(self) -> float:
        """All frames of the set."""
        return self.videos * self.frames_per_video

    @property
    def training_windows(self) -> float:
        """Windows that a fold draws: those that touch a micro-expression, and `ratio` times as many, if there are.

        Windows start every half window, so `(m + k - 1) / (k / 2)` of them touch an interval of m frames.
        """
        half = self.window / 2
        touching = self.expressions * (self.me_frames + self.window - 1) / half
        every = self.frames / half - self.videos
        return min(touching * (1 + self.ratio), every) * (self.subjects - 1) / self.subjects


SETS = (
    LicensedSet(
        card="casme3.md", videos=463, frames_per_video=4_000_000 / 1508, subjects=94, expressions=859,
        me_frames=0.70 * 30 - 1, window=50, batch=256, ratio=4.0,
        sources=(
            "videos, subjects, micro-expressions: the public label sheet, read by the rules below",
            "frames per video: **assumed** to be those of the unlabelled part B, recorded alike: over 4,000,000 in 1,508 "
            "videos (abstract of the data set's paper, doi 10.1109/TPAMI.2022.3174895)",
            "length of a micro-expression: the median of the sheet, 0.70 s; batch and ratio: as published",
        ),
    ),
    LicensedSet(
        card="sammlv.md", videos=79, frames_per_video=35.5 * 200 / 7, subjects=29, expressions=159,
        me_frames=0.38 * 200 / 7 - 1, window=30, batch=32, ratio=0.5,
        sources=(
            "videos, subjects, micro-expressions: the public label sheets, read by the rules below; videos without a "
            "micro-expression come on top (147 in all)",
            "frames per video: 35.5 s on average over all 147 (arXiv 1911.01519), of which every 7th frame of 200 per second",
            "length of a micro-expression: the median of the sheets, 0.38 s; batch and ratio: as published",
        ),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Rates:
    """What was measured, on one core unless it says otherwise.

    ms_per_frame: extraction of a frame held in memory.  extraction_gain, training_gain: how much faster two
    processes are than one.  ms_per_step: a training step by network, on one thread.
    """

    ms_per_frame: float
    extraction_gain: float
    training_gain: float
    ms_per_step: dict[str, float]
    measured_on: str

    @classmethod
    def read(cls, folder: Path = RESULTS) -> Rates:
        """The rates in `folder`; an exit that names the benchmark to run where one is missing."""
        extraction, training, scan = (
            _Results(folder, name, script)
            for name, script in (
                ("extraction", "bench_extraction.py"),
                ("training", "bench_training.py"),
                ("scan_cpu", "bench_scan.py"),
            )
        )
        # the second name of a figure is that of files from before all benchmarks shared one form
        threads = scan.get("scan_machine.torch_threads", "machine.torch_threads")
        return cls(
            ms_per_frame=extraction.get(
                "opencv.metst_plus.ms_per_frame.ours", "over_flow.metst_plus.ms_per_frame"
            ),
            extraction_gain=extraction.get("processes.two_processes"),
            training_gain=training.get("loso_scaling.speedup"),
            ms_per_step={
                "width 128, as published": threads * scan.get("training_step.ms.numba"),
                "width 32, that of the default run": training.get("step_ms.metst_plus"),
            },
            measured_on=scan.get("machine.cpu"),
        )


class _Results:
    """A file of results."""

    def __init__(self, folder: Path, name: str, script: str) -> None:
        self.path, self.script = folder / f"{name}.json", script
        self.value = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}

    def get(self, *names: str) -> Any:
        """The first of the figures that is there, each named by its keys with dots between them."""
        for name in names:
            value = self.value
            for key in name.split("."):
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                return value
        sys.exit(f"{self.path} holds no {names[0]}: run benchmarks/{self.script} first")


def extraction_hours(data: LicensedSet, rates: Rates, cores: int) -> float:
    """Hours for all videos, spread over processes that lose as much as two do here."""
    return data.frames * rates.ms_per_frame / 3.6e6 / (cores * min(1.0, rates.extraction_gain / 2))


def loso_hours(data: LicensedSet, rates: Rates, network: str, cores: int, epochs: int) -> float:
    """Hours for one fold per subject: a fold keeps to one core, so the last round may leave cores idle."""
    frames = epochs * data.training_windows * data.window
    fold = frames * rates.ms_per_step[network] / (STEP_BATCH * STEP_WINDOW) / 3.6e6
    return math.ceil(data.subjects / cores) * fold / min(1.0, rates.training_gain / 2)


def text(data: LicensedSet, rates: Rates) -> str:
    """The section between the marks of a card."""
    epochs = TrainConfig().epochs
    rows = [
        ("extraction of the ROI motion", [extraction_hours(data, rates, cores) for cores in CORES]),
        *(
            (
                f"LOSO, ME-TST+ of {network}, {epochs} epochs",
                [loso_hours(data, rates, network, cores, epochs) for cores in CORES],
            )
            for network in rates.ms_per_step
        ),
    ]
    lines = [
        f"| work | {' | '.join(f'{cores} cores' for cores in CORES)} |",
        "|---|" + "---:|" * len(CORES),
        *(f"| {work} | {' | '.join(map(duration, hours))} |" for work, hours in rows),
        "",
        f"Computed by `benchmarks/estimate.py` from rates measured on {rates.measured_on}: "
        f"{rates.ms_per_frame:.1f} ms of one core a frame for extraction (reading the images comes on top); "
        + ", ".join(f"{ms:.0f} ms ({network})" for network, ms in rates.ms_per_step.items())
        + f" of one core for a training step of {STEP_BATCH} windows of {STEP_WINDOW} frames, taken to grow with the "
        "frames in it; that of the published width was timed on several threads and counts times their number. "
        f"Two processes were {rates.extraction_gain:.2f} times (extraction) and {rates.training_gain:.2f} times "
        "(training) as fast as one; more are **assumed** to lose as much each. A fold keeps to one core, so "
        f"{data.subjects} folds gain nothing from more than {data.subjects} cores.",
        "",
        f"Counts: {data.videos} videos of {data.frames_per_video:.0f} frames ({data.frames:,.0f} in all), "
        f"{data.training_windows:,.0f} windows drawn for a fold. Sources:",
        "",
        *(f"* {source};" for source in data.sources[:-1]),
        f"* {data.sources[-1]}.",
    ]
    return "\n".join(lines)


def duration(hours: float) -> str:
    """Two figures in the unit that suits: the largest of which there are two."""
    units = {"days": 24.0, "h": 1.0, "min": 1 / 60, "s": 1 / 3600}
    unit, size = next((item for item in units.items() if hours >= 2 * item[1]), ("s", 1 / 3600))
    value = hours / size
    return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"


def with_section(card: str, section: str) -> str:
    """The card's text with what lies between the marks replaced."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    found, count = pattern.subn(lambda _: f"{BEGIN}\n{section}\n{END}", card)
    if count != 1:
        sys.exit(f"the card holds {count} times {BEGIN} ... {END}; it takes exactly one")
    return found


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--check", action="store_true", help="write nothing; an error where a card would change"
    )
    check = made.parse_args().check
    rates, stale = Rates.read(), []
    for data in SETS:
        path = CARDS / data.card
        before = path.read_text(encoding="utf-8")
        after = with_section(before, text(data, rates))
        if check and after != before:
            stale.append(data.card)
        elif after != before:
            path.write_text(after, encoding="utf-8")
        print(data.card, "\n" + text(data, rates) + "\n")
    if stale:
        sys.exit(f"{', '.join(stale)}: run benchmarks/estimate.py again")


if __name__ == "__main__":
    main()
