"""Exercises: what judges the reader's answer, and the student's notebooks made from the solved ones.

A solved notebook has cells with the tag `exercise`: first the stub as a comment, then the solution, then
`assert check(name, answer)`.  `student` turns such a cell into the stub and `check(name, answer)`, and hands the solution
back for a file of its own.  `check` says what is wrong with *this* answer; it raises for nothing that a reader writes.

    python -m metst_core.experiment.exercises notebooks build/exercises
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from metst_core.errors import InputError
from metst_core.files import atomic_path, visible, write_text
from metst_core.metrics import evaluate, match_tables
from metst_core.motion import main_direction_mean
from metst_core.tables import PREDICTION_COLUMNS
from metst_core.windows import window_starts

if TYPE_CHECKING:
    from nbformat import NotebookNode

Judge = Callable[[Any], str]
"""What is wrong with an answer, in a sentence; "" for a right one."""


def check(name: str, answer: Any) -> bool:
    """Judge the answer to an exercise, say what is wrong with it, and return whether it is right."""
    if name not in JUDGES:
        raise InputError(f"exercise {name!r} is none of {', '.join(JUDGES)}")
    hint, judge = JUDGES[name]
    if answer is None or answer is ...:
        print(f"{name}: not answered yet. {hint}")
        return False
    try:
        wrong = judge(answer)
    except Exception as problem:  # whatever a reader's code does, it is told and not thrown
        wrong = f"your answer stops with {type(problem).__name__}: {problem}"
    print(f"{name}: {'right.' if not wrong else f'not yet: {wrong} {hint}'}")
    return not wrong


# --- 01 -------------------------------------------------------------------------------------------
def _share_mean(mean: Callable[[np.ndarray, float], Any]) -> str:
    rng = np.random.default_rng(1)
    for q in (0.3, 0.7, 1.0):
        flow = rng.normal(size=(11, 7, 2)).astype(np.float32)
        given, right = np.asarray(mean(flow.copy(), q), dtype=float), main_direction_mean(flow, q)
        if given.shape != (2,):
            return f"it gives an array of shape {given.shape}; a motion has an x and a y, shape (2,)."
        if not np.isfinite(given).all():
            return "it gives something that is no number."
        if not np.allclose(given, right, atol=1e-5):
            vectors = flow.reshape(-1, 2).astype(float)
            order = np.argsort((vectors**2).sum(axis=1))
            least = vectors[order[: int(np.ceil(len(order) * q))]].mean(axis=0)
            if np.allclose(given, least, atol=1e-3):
                return "it takes the pixels that move least."
            if np.allclose(given, vectors.mean(axis=0), atol=1e-5):
                return f"it is the mean of all pixels, also for q = {q}."
            return f"for q = {q} it gives {given.round(3)}, and {right.round(3)} is right."
    return ""


def _lost_frames(lost: Callable[[int, int], Any]) -> str:
    for n_frames, window in ((107, 50), (130, 50), (124, 50), (91, 30), (60, 60)):
        starts = window_starts(n_frames, window, tail="drop")
        right, given = n_frames - int(starts[-1] + window), lost(n_frames, window)
        if given is None or int(given) != right:
            if given == n_frames % window and right != given:
                return f"with {n_frames} frames it says {given}: windows overlap by half, so a new one starts every {window // 2} frames."
            return f"with {n_frames} frames and windows of {window} it says {given}, and {right} are lost."
    return ""


# --- 02 -------------------------------------------------------------------------------------------
def _half_life(frames: Callable[[float, float], Any]) -> str:
    for a, delta in ((-1.0, 0.1), (-4.0, 0.05), (-0.5, 1.0)):
        right, given = np.log(2) / (-a * delta), float(frames(a, delta))
        if not np.isclose(given, right, rtol=1e-3):
            if np.isclose(given, right * delta, rtol=1e-3):
                return "that is a time, and frames are asked: one frame is a time of Δ."
            if np.isclose(given, 1 / (-a * delta), rtol=1e-3):
                return "that is when the state has fallen to 1/e, not to a half."
            return f"for A = {a:g} and Δ = {delta:g} it gives {given:.3g}, and {right:.3g} is right."
    return ""


def _merged(merge: Callable[[tuple[float, float], tuple[float, float]], Any]) -> str:
    rng = np.random.default_rng(2)
    for _ in range(5):
        first, second = ((float(a), float(b)) for a, b in rng.uniform(0.1, 0.9, (2, 2)))
        a, b = merge(first, second)
        h = float(rng.normal())
        right = second[0] * (first[0] * h + first[1]) + second[1]
        if not np.isclose(a * h + b, right):
            other = first[0] * (second[0] * h + second[1]) + first[1]
            if np.isclose(a * h + b, other):
                return "these are the two steps in the other order; the first step comes first."
            return f"from h = {h:.2f} the two steps lead to {right:.3f}, yours to {a * h + b:.3f}."
    return ""


LENGTHS_OF_MES = (4, 5, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16)
"""Frames of some micro-expressions, both ends included: what the exercise "best half length" is about."""


def findable(k_p: int, lengths: Sequence[int] = LENGTHS_OF_MES) -> float:
    """Share of micro-expressions that a fixed interval of `2 k_p + 1` frames can find, placed perfectly."""
    n = 2 * k_p + 1
    return float(np.mean([min(n, m) / max(n, m) >= 0.5 for m in lengths]))


def _best_half(k_p: Any) -> str:
    if int(k_p) != k_p or k_p < 0:
        return f"{k_p!r} is no number of frames."
    shares = {k: findable(k) for k in range(0, 20)}
    best = max(shares.values())
    if findable(int(k_p)) < best:
        return f"with {k_p} a share of {findable(int(k_p)):.0%} can be found, and more is possible."
    return ""


# --- 03, 04 ---------------------------------------------------------------------------------------
PROTOCOLS_TO_JUDGE = {
    "A": "Each video's motion is divided by the largest motion of the same video, before training and before testing.",
    "B": "Windows of all persons are shuffled and split 80 : 20 into training and test.",
    "C": "One person is held out at a time; the number of epochs is the one with the best score on the held-out person.",
    "D": "One person is held out at a time; the half length comes from the annotations of all persons.",
    "E": "One person is held out at a time; the threshold p is chosen on the other persons, by holding them out in turn.",
}
_LEAKS = {
    "B": "windows overlap by half: half of a test window's frames, and the person, stand in the training.",
    "C": "the number of epochs is chosen by the person it is tested on.",
    "D": "the half length knows how long the held-out person's micro-expressions last.",
}
_CLEAN = {
    "A": "that uses the test video's motion, but no annotation, and could be done for any new video.",
    "E": "everything that is chosen is chosen without the held-out person.",
}


def _leaks(letters: Any) -> str:
    given = {str(letter).strip().upper() for letter in letters}
    if strange := given - PROTOCOLS_TO_JUDGE.keys():
        return f"{sorted(strange)[0]!r} is none of {', '.join(PROTOCOLS_TO_JUDGE)}."
    for letter in sorted(given & _CLEAN.keys()):
        return f"{letter} does not leak: {_CLEAN[letter]}"
    missing = _LEAKS.keys() - given
    return f"{len(missing)} more of them leak." if missing else ""


def a_run_to_break() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions and truth of a made-up run: ten micro-expressions, eight found, three of them named wrong."""
    emotions = [
        "positive",
        "negative",
        "surprise",
        "positive",
        "negative",
        "surprise",
        "positive",
        "negative",
        "others",
        "others",
    ]
    truth = pd.DataFrame(
        [("s1", "v1", 40 * i, 40 * i + 5, 40 * i + 10, emotion) for i, emotion in enumerate(emotions, 1)],
        columns=list(PREDICTION_COLUMNS[:-1]),
    )
    named = ["positive", "negative", "surprise", "others", "negative", "others", "positive", "surprise"]
    found = truth.iloc[:8].assign(emotion=named, score=0.9)
    false = found.iloc[:3].assign(
        onset=lambda t: t["onset"] + 20, apex=lambda t: t["apex"] + 20, offset=lambda t: t["offset"] + 20
    )
    predictions = pd.concat([found, false], ignore_index=True)[list(PREDICTION_COLUMNS)]
    return predictions, truth.reset_index(drop=True)


def _break_strs(keep: Any) -> str:
    predictions, truth = a_run_to_break()
    mask = np.asarray(keep)
    if mask.shape != (len(predictions),) or mask.dtype != bool:
        return f"give one True or False per prediction, {len(predictions)} in all."
    before, after = evaluate(predictions, truth), evaluate(predictions[mask], truth)
    matched = match_tables(predictions, truth)
    false_alarms = matched < 0
    if not (mask[false_alarms]).all():
        return (
            "you removed false alarms, which is honest work. Keep those, and make the STRS rise all the same."
        )
    if after.strs <= before.strs:
        return f"the STRS was {before.strs:.3f} and is {after.strs:.3f}."
    return ""


def counts_per_person() -> pd.DataFrame:
    """TP, FP and FN of six made-up persons for five thresholds: index (person, p), columns tp, fp, fn."""
    rng = np.random.default_rng(5)
    rows = []
    for person in range(6):
        best = 0.45 + 0.05 * person
        for p in (0.3, 0.45, 0.55, 0.65, 0.8):
            tp = int(np.clip(8 - 14 * abs(p - best) + rng.normal(0, 1), 0, 8))
            rows.append(
                (f"s{person + 1}", p, tp, int(np.clip(14 * (0.9 - p) + rng.normal(0, 1), 0, 20)), 8 - tp)
            )
    return pd.DataFrame(rows, columns=["person", "p", "tp", "fp", "fn"]).set_index(["person", "p"])


def pooled_f1(counts: pd.DataFrame) -> pd.Series:
    """Spotting F1 by threshold over the persons of `counts`, their counts added up."""
    total = counts.groupby("p").sum()
    return 2 * total["tp"] / (2 * total["tp"] + total["fp"] + total["fn"])


def _honest_p(choose: Callable[[pd.DataFrame, str], Any]) -> str:
    counts = counts_per_person()
    for person in counts.index.unique("person"):
        given = choose(counts.copy(), person)
        if given not in counts.index.unique("p"):
            return f"for {person} it gives {given!r}, which is none of the thresholds tried."
        for p in counts.index.unique("p"):  # would another truth of this person change the choice?
            other = counts.copy()
            other.loc[person] = [0, 20, 8]
            other.loc[(person, p)] = [8, 0, 0]
            if choose(other, person) != given:
                return f"the choice for {person} changes when only {person}'s own counts do: that is a leak."
        right = pooled_f1(counts.drop(index=person, level="person")).idxmax()
        if given != right:
            return f"for {person} it gives {given}, and on the others {right} has the best F1."
    return ""


JUDGES: Mapping[str, tuple[str, Judge]] = {
    "share mean": (
        "Hint: sort the pixels by the length of their vectors and leave out the first ⌊n (1 − q)⌋.",
        _share_mean,
    ),
    "lost frames": ("Hint: a window starts every k/2 frames; how far does the last one reach?", _lost_frames),
    "half life": ("Hint: after n frames the state is multiplied by exp(n Δ A).", _half_life),
    "merged steps": ("Hint: put h1 = a1 h0 + b1 into h2 = a2 h1 + b2.", _merged),
    "best half length": (
        "Hint: try them all with `findable`; the mean length need not be the best.",
        _best_half,
    ),
    "find the leak": ("Hint: ask of each what it could not know of a person who walks in tomorrow.", _leaks),
    "break STRS": (
        "Hint: recognition is scored on what was found. What if you do not find what you cannot name?",
        _break_strs,
    ),
    "honest p": ("Hint: for a person, add up the counts of the others.", _honest_p),
}
"""Name -> hint and judge of every exercise."""


# --- the student's notebooks ----------------------------------------------------------------------
TAG = "exercise"
_STUB = "# stub:"


def student(notebook: NotebookNode) -> tuple[NotebookNode, str]:
    """The unsolved form of a solved notebook, and its solutions as Markdown; the notebook given stays as it is."""
    unsolved, solutions = copy.deepcopy(notebook), []
    for cell in unsolved.cells:
        if TAG in cell.metadata.get("tags", []):
            stub, solution, judged = _parts(cell.source)
            cell.source = f"{stub}\n\n{judged.removeprefix('assert ')}"
            solutions.append(f"## {_name(judged)}\n\n```python\n{solution}\n```\n")
    return unsolved, "\n".join(solutions)


def _parts(source: str) -> tuple[str, str, str]:
    """Stub, solution and the line that judges of an exercise's cell."""
    lines = source.strip().split("\n")
    if lines[0].strip() != _STUB or not lines[-1].startswith("assert check("):
        raise InputError(
            f"an exercise's cell begins with {_STUB!r} and ends with `assert check(...)`: {lines[0]!r}"
        )
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    stub = "\n".join(line.removeprefix("# ").removeprefix("#") for line in lines[1:end])
    return stub, "\n".join(lines[end:-1]).strip(), lines[-1]


def _name(judged: str) -> str:
    return judged.split('"')[1]


def write_student(notebooks: str | Path, out_dir: str | Path) -> list[Path]:
    """Write the unsolved notebooks into `out_dir` and their solutions into `out_dir/solutions`; the notebooks' paths."""
    import nbformat

    out, written = Path(out_dir), []
    for path in visible(notebooks, "[0-9]*.ipynb"):
        unsolved, solutions = student(nbformat.read(path, as_version=4))
        if not solutions:
            continue
        (out / "solutions").mkdir(parents=True, exist_ok=True)
        with atomic_path(out / path.name) as temporary:
            nbformat.write(unsolved, temporary)
        write_text(f"# Solutions of {path.stem}\n\n{solutions}", out / "solutions" / f"{path.stem}.md")
        written.append(out / path.name)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=write_student.__doc__)
    parser.add_argument("notebooks", nargs="?", default="notebooks")
    parser.add_argument("out_dir", nargs="?", default="build/exercises")
    options = parser.parse_args()
    for path in write_student(options.notebooks, options.out_dir):
        print(path)
