"""The instrument that comes with the package, measured: what several phases pay, and how good its finds and lengths are.

Two sets of synthetic persons (SynthME 2, tier calm), none of whom the network has seen, and no person in both.  The
first *chooses*: how steady the score is with 1 to 4 window phases, and the calibration for the number that is used (the
threshold stays the network's own).  The second decides nothing: it *reports* what is found and touched, the errors of onset and offset, and how well the
confidence holds.

`python -m metst_core.experiment.instrument --out metst_core/assets --card data/model_card.md`
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from metst_core import tables
from metst_core.datasets import Dataset
from metst_core.decoding import smooth
from metst_core.files import atomic_path, run_record
from metst_core.inference import (
    MOTION,
    PHASES,
    Calibration,
    Shot,
    TrainedModel,
    averaged,
    intervals_of,
    load_model,
    path_of,
    phases_of,
    save_model,
    smoothed_voices,
)
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.metrics import match_intervals
from metst_core.models import predict_windows
from metst_core.motion import MotionWindow, stream_motion
from metst_core.synthetic import generate
from metst_core.video import read_frames

CHOOSE = {"first_subject": 42, "n_subjects": 6}
REPORT = {"first_subject": 1, "n_subjects": 6}
"""Which persons choose, and which report."""

FILMS = {"n_videos": 1, "seconds": 10, "seed": 19, "tier": "calm", "prior": "dense", "me_per_minute": 20}
MOST_PHASES = 5
PERCENTILES = (5, 25, 50, 75, 95)
CARD_MARKS = (
    "<!-- instrument: written by metst_core.experiment.instrument -->",
    "<!-- end of instrument -->",
)

_LOWEST = 0.05  # peaks of the smoothed score below this are not even used for calibration
_ENDS = ["onset", "apex", "offset"]
_BINS = np.linspace(0, 1, 6)


@dataclass(frozen=True, eq=False)
class Measured:
    """A film in windows of some phases, with what the network says of each, and the truth `(n, 3)`."""

    windows: list[MotionWindow]
    score: np.ndarray
    probabilities: np.ndarray
    n_frames: int
    truth: np.ndarray
    strengths: np.ndarray

    def shot(self, phases: Sequence[int], window: int) -> Shot:
        """The film as one shot, from the windows of these phases alone."""
        shot = Shot(0, tuple(phases), window)
        for i, each in enumerate(self.windows):
            if each.start % (window // 2) in phases:
                shot.add(each, self.score[i], self.probabilities[i])
        return shot


@dataclass(frozen=True, eq=False)
class Candidates:
    """Every peak worth a look in a film: its table, the smoothed score of every voice at the apex, and hits."""

    table: pd.DataFrame
    voices: np.ndarray
    found: np.ndarray
    inside: np.ndarray


def measure(dataset: Dataset, model: TrainedModel, phases: Sequence[int], work: Path) -> list[Measured]:
    """Every film of a set; its motion is kept in `work`."""
    work.mkdir(parents=True, exist_ok=True)
    keys = list(zip(dataset.videos["subject"], dataset.videos["video"], strict=True))
    made = pd.read_csv(Path(dataset.path(*keys[0])).parents[1] / "truth" / "micro_expressions.csv")
    films = []
    for subject, video in keys:
        kept = work / f"{subject}_{video}_{'-'.join(map(str, phases))}.npz"
        if not kept.is_file():
            _extract(dataset.path(subject, video), model, phases, kept)
        with np.load(kept, allow_pickle=False) as stored:
            starts, motion, head, n = stored["start"], stored["motion"], stored["head"], int(stored["n"])
        k = model.window
        windows = [
            MotionWindow(int(s), m, np.ones(min(k, n - int(s)), bool), h, np.zeros((2, k), np.int32))
            for s, m, h in zip(starts, motion, head, strict=True)
        ]
        truth = tables.of_video(dataset.annotations, subject, video)[_ENDS].to_numpy()
        mine = made[(made["subject"] == subject) & (made["video"] == video)].sort_values("onset")
        films.append(
            Measured(windows, *predict_windows(model.network, motion), n, truth, mine["strength"].to_numpy())
        )
    return films


def _extract(path: Path, model: TrainedModel, phases: Sequence[int], kept: Path) -> None:
    frames = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in read_frames(path))
    windows = list(stream_motion(frames, MediaPipeLandmarker(), model.features, model.window, phases=phases))
    with atomic_path(kept) as temporary:
        np.savez(
            temporary,
            start=[w.start for w in windows],
            motion=np.stack([w.motion for w in windows]),
            head=np.stack([w.head for w in windows]),
            n=max(w.start + len(w.has_face) for w in windows),
        )


def candidates(film: Measured, model: TrainedModel, phases: Sequence[int]) -> Candidates:
    """The candidates of a film with these phases, ends measured in the motion of the first."""
    shot = film.shot(phases, model.window)
    said, seen = shot.averaged(film.n_frames), shot.measured(film.n_frames)
    low = replace(model, threshold=_LOWEST, strategy=MOTION)
    table = intervals_of(low, said.score, said.probabilities, path_of(seen.motion, seen.start))
    voices = smoothed_voices(said.each, said.score, model.k_p)[table["apex"].to_numpy(int)]
    matched = match_intervals(table[["onset", "offset"]].to_numpy(), film.truth[:, [0, 2]])
    apex = table["apex"].to_numpy()[:, None]
    inside = (apex >= film.truth[None, :, 0]) & (apex <= film.truth[None, :, 2])
    return Candidates(table, voices, matched >= 0, inside)


def steadiness(films: Sequence[Measured], model: TrainedModel) -> list[dict[str, float]]:
    """For 1 to 4 of `MOST_PHASES` phases: how far the score of an ME differs with the frame that windows begin at.

    sd: standard deviation over the starts of the highest smoothed score in an ME, the mean over MEs that any finds;
    stays: share of the starts that touch such an ME.
    """
    steps = phases_of(MOST_PHASES, model.window)
    rows = []
    for n in range(1, MOST_PHASES):
        peaks, touched = [], []
        for turn in range(MOST_PHASES):
            chosen = sorted({steps[(turn + i * MOST_PHASES // n) % MOST_PHASES] for i in range(n)})
            for_turn: list[float] = []
            hit: list[bool] = []
            for film in films:
                smoothed = smooth(_score(film, chosen, model.window), model.k_p)
                for onset, _, offset in film.truth:
                    for_turn.append(float(smoothed[onset : offset + 1].max()))
                    hit.append(for_turn[-1] >= (model.threshold or 0.0))
            peaks.append(for_turn)
            touched.append(hit)
        any_ = np.any(touched, axis=0)
        rows.append({
            "phases": n, "voices": 2 * n if n > 1 else 1,
            "sd": float(np.std(peaks, axis=0)[any_].mean()), "stays": float(np.mean(touched, axis=0)[any_].mean()),
            "n": int(any_.sum()),
        })  # fmt: skip
    return rows


def _score(film: Measured, phases: Sequence[int], window: int) -> np.ndarray:
    """The mean over the voices of these phases; the first phase of all speaks for the frames before them."""
    voices = film.shot(phases, window).voices()
    begin = min(voice[0] for voice in voices)
    if begin:
        first = film.shot([0], window).averaged(film.n_frames)
        voices.append((0, first.score[:begin], first.probabilities[:begin]))
    return averaged(voices, film.n_frames, len(voices)).score


def calibrated(films: Sequence[Measured], model: TrainedModel, phases: Sequence[int]) -> TrainedModel:
    """`model` with these phases, ends measured in the motion, and a calibration fitted on these films."""
    every = [candidates(film, model, phases) for film in films]
    scores = np.concatenate([each.table["score"] for each in every])
    found = np.concatenate([each.found for each in every])
    evidence = {"n_intervals": len(found), "n_true": int(found.sum()), "persons": "synthetic"}
    calibration = Calibration.fit(scores, found, evidence)
    return replace(model, strategy=MOTION, phases=len(phases), calibration=calibration)


def report(films: Sequence[Measured], model: TrainedModel, phases: Sequence[int]) -> dict[str, Any]:
    """What the instrument does on films that decided nothing."""
    every = [candidates(film, model, phases) for film in films]
    minutes = sum(film.n_frames for film in films) / model.fps / 60
    is_find = [each.table["score"].to_numpy() >= (model.threshold or 0.0) for each in every]
    touched = np.concatenate(
        [each.inside[mine].any(axis=0) for each, mine in zip(every, is_find, strict=True)]
    )
    found = sum(int((each.found & mine).sum()) for each, mine in zip(every, is_find, strict=True))
    false = sum(
        int((mine & ~each.inside.any(axis=1) & ~each.found).sum())
        for each, mine in zip(every, is_find, strict=True)
    )
    errors = np.array([
        each.table[["onset", "offset"]].to_numpy()[i] - film.truth[each.inside[i].argmax()][[0, 2]]
        for each, mine, film in zip(every, is_find, films, strict=True)
        for i in np.flatnonzero(mine & each.inside.any(axis=1))
    ]).reshape(-1, 2)  # fmt: skip
    assert model.calibration is not None
    said = np.concatenate([model.calibration.of_voices(each.voices) for each in every])
    hits = np.concatenate([each.found for each in every])
    strengths = np.concatenate([film.strengths for film in films])
    edges = (0.0, 0.012, 0.018, 1.0)
    by_strength = [
        {"from": a, "to": b, "n": int(here.sum()), "touched": int(touched[here].sum())}
        for a, b in itertools.pairwise(edges)
        for here in [(strengths >= a) & (strengths < b)]
    ]
    return {
        "persons": len(films), "minutes": minutes, "n": len(touched), "found": found, "touched": int(touched.sum()),
        "false_per_minute": false / minutes, "by_strength": by_strength,
        **{
            f"{name}_error": [float(v) for v in np.percentile(errors[:, i], PERCENTILES)] if len(errors) else []
            for i, name in enumerate(("onset", "offset"))
        },
        "n_lengths": len(errors),
        "bins": bins_of(said, hits), "expected_calibration_error": _gap(said, hits),
        "brier": float(((said - hits) ** 2).mean()),
    }  # fmt: skip


def bins_of(said: np.ndarray, hits: np.ndarray) -> list[dict[str, float]]:
    """By bins of confidence: what was said on average, the share of hits, and how many there are."""
    bins = np.clip(np.digitize(said, _BINS) - 1, 0, len(_BINS) - 2)
    return [
        {
            "from": float(_BINS[b]),
            "to": float(_BINS[b + 1]),
            "said": float(said[bins == b].mean()),
            "seen": float(hits[bins == b].mean()),
            "n": int((bins == b).sum()),
        }
        for b in np.unique(bins).tolist()
    ]


def _gap(said: np.ndarray, hits: np.ndarray) -> float:
    """Mean distance of confidence and share of hits over bins of confidence, weighted by how many are in each."""
    return sum(abs(row["said"] - row["seen"]) * row["n"] for row in bins_of(said, hits)) / len(said)


def lines_of(card: Mapping[str, Any]) -> list[str]:
    """The numbers of the model card, in words."""
    told, after = card["report"], card["threshold"]
    strengths = ", ".join(
        f"{b['touched']} of {b['n']} from {b['from']:g} IOD on" for b in told["by_strength"]
    )
    ends = "; ".join(
        f"{name} " + " ".join(f"{v:+.0f}" for v in told[f"{name}_error"]) for name in ("onset", "offset")
    )
    return [
        f"The confidence was fitted on {card['chosen_on']} synthetic persons that the network had not seen (SynthME 2, calm, prior "
        f"dense; threshold {after:.2f}). On {told['persons']} others, {told['minutes']:.1f} minutes with {told['n']} micro-expressions, "
        f"with {card['phases']} phases: {told['touched']} touched (the apex of a find lies in them), {told['found']} found (IoU 0.5), "
        f"{told['false_per_minute']:.1f} false finds per minute. Touched by strength: {strengths}.",
        "",
        f"Errors of the ends of what was touched, in frames at 30 per second, percentiles {', '.join(map(str, PERCENTILES))} "
        f"(n = {told['n_lengths']}): {ends}.",
        "",
        f"Confidence on these persons: expected calibration error {told['expected_calibration_error']:.3f}, Brier score "
        f"{told['brier']:.3f}.",
        "",
        "How much the score hangs on where windows begin (persons that chose; the standard deviation of the highest score in a "
        "micro-expression over five starts, and how often it stays above the threshold):",
        "",
        "| phases | standard deviation | stays found |",
        "|---|---|---|",
        *(f"| {row['phases']} | {row['sd']:.3f} | {row['stays']:.2f} |" for row in card["steadiness"]),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Choose, report, and write the constants beside the bundled weights and the numbers into the card."""
    parser = argparse.ArgumentParser(prog="python -m metst_core.experiment.instrument", description=__doc__)
    parser.add_argument("--out", required=True, help="folder to write (metst_core/assets in a clone)")
    parser.add_argument("--work", default="runs/instrument", help="folder for what lies between the steps")
    parser.add_argument("--card", help="model card whose numbers to bring up to date")
    given = parser.parse_args(arguments)
    work, model = Path(given.work), load_model()
    sets = {
        name: generate(work / name, fps=30, progress=False, **who, **FILMS)  # type: ignore[arg-type]
        for name, who in (("choose", CHOOSE), ("report", REPORT))
    }
    steps = phases_of(MOST_PHASES, model.window)
    first = measure(sets["choose"], model, steps, work / "motion")
    used = tuple(steps[i] for i in (0, 2, 4))  # PHASES of them
    better = calibrated(first, model, used)
    second = measure(sets["report"], model, phases_of(PHASES, model.window), work / "motion")
    told = report(second, better, phases_of(PHASES, model.window))
    card = {
        "chosen_on": CHOOSE["n_subjects"], "phases": PHASES, "threshold": better.threshold,
        "steadiness": steadiness(first, better), "report": told, "record": run_record(),
    }  # fmt: skip
    assert better.calibration is not None
    held = ("bins", "expected_calibration_error", "brier")
    evidence = {**better.calibration.evidence, "n_groups": 1, **{name: told[name] for name in held}}
    better = replace(better, calibration=replace(better.calibration, evidence=evidence))
    save_model(
        replace(better, card={**model.card, "instrument": card}), Path(given.out) / "bundled.safetensors"
    )
    if given.card is not None:
        _write(Path(given.card), lines_of(card))
    print("\n".join(lines_of(card)))


def _write(path: Path, lines: Sequence[str]) -> None:
    text = path.read_text(encoding="utf-8")
    begin, end = CARD_MARKS
    before, after = text.split(begin)[0], text.split(end)[1]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([f"{before}{begin}", *lines, f"{end}{after}"]), encoding="utf-8")


if __name__ == "__main__":
    main()
