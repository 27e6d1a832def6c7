"""The authors' cache, weights and label sheets become STRS without a video; every number is worked out here."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.signal import find_peaks
from support.released import released_state
from test_sheets import CASME3_HEADER, facs_row, long_row, row, sammlv_sheets, workbook

from metst_core.cli import main
from metst_core.errors import InputError, MetstError, MissingError
from metst_core.experiment import checkpoint_files, read_order, score_released

K = 50
STEEPNESS = {"spNO.1": 4.0, "spNO.2": 5.0, "spNO.11": 6.0}
"""Every subject's checkpoint gives another score for the same motion."""
CHANNELS = {"metst": 10, "metst_plus": 36, "boosting": 36}
EMOTION_CHANNELS = (1, 2, 3, 4)


def transparent_state(release, steepness):
    """A released state dict whose network can be read off: score = sigmoid(steepness * relu(x0) - 2), logits of
    the four emotions = relu(x1..x4), of neutral = 0.01.

    The stem passes the channels on (centre tap 1, batch norm the identity), and a block adds
    LayerNorm_b(...) = 0 because its weight and bias are 0.  In the slow-fast layouts the heads read the fast
    path alone, the last 16 of 48 features.
    """
    width, channels = 16, CHANNELS[release]
    state = released_state(release, width=width, states=4, depth=1, channels=channels)
    for name, value in state.items():
        if ".norm1." in name:
            value.zero_()
    for conv, norm in (("Stem.0", "Stem.1"), ("Stem.3", "Stem.4")):
        weight = state[f"{conv}.weight"].zero_()
        for i in range(min(weight.shape[:2])):
            weight[i, i, 1] = 1.0
        state[f"{conv}.bias"].zero_()
        state[f"{norm}.weight"].fill_(1.0)
        state[f"{norm}.bias"].zero_()
        state[f"{norm}.running_mean"].zero_()
        state[f"{norm}.running_var"].fill_(1.0 - 1e-5)
    inner = ".0" if release == "boosting" else ""
    spot, recog = state[f"fc_spot{inner}.weight"].zero_(), state[f"fc_recog{inner}.weight"].zero_()
    first = spot.shape[1] - width
    spot[0, first] = steepness
    state[f"fc_spot{inner}.bias"].fill_(-2.0)
    for emotion, channel in enumerate(EMOTION_CHANNELS):
        recog[emotion, first + channel] = 1.0
    state[f"fc_recog{inner}.bias"].copy_(torch.tensor([0.0, 0.0, 0.0, 0.0, 0.01]))
    return {f"module.{name}": value for name, value in state.items()}


def save_weights(folder, release, steepness=STEEPNESS, name="model_{}.pth"):
    folder.mkdir()
    for subject, value in steepness.items():
        torch.save(transparent_state(release, value), folder / name.format(subject))
    return folder


def motion_of(pulses, n_windows, channels, k=K):
    """Motion (T, C) of a video and its windows: each pulse `(centre, height, emotion)` is a triangle of 13 frames
    in channel 0, and its emotion's channel is 1 there."""
    whole = np.zeros(((n_windows + 1) * k // 2, channels), np.float32)
    time = np.arange(len(whole))
    for centre, height, emotion in pulses:
        whole[:, 0] += height * np.maximum(0, 1 - np.abs(time - centre) / 7)
        whole[np.abs(time - centre) <= 6, EMOTION_CHANNELS[emotion]] = 1
    windows = [whole[i * k // 2 : i * k // 2 + k].T for i in range(n_windows)]
    return whole, windows


# One pulse per line: (centre, height, emotion by number); the comment says what becomes of it.
VIDEOS = {
    ("spNO.1", "a"): (5, [(40, 1.0, 1)]),  # true, named rightly
    ("spNO.1", "b"): (3, [(30, 1.0, 2), (70, 0.9, 2)]),  # the second one is false
    ("spNO.2", "a"): (4, [(60, 1.0, 0)]),  # true, named wrongly
    ("spNO.11", "a"): (4, [(100, 1.0, 3)]),  # true, named rightly; the annotation at 30 is missed
    ("spNO.11", "c"): (3, [(50, 1.0, 3)]),  # no annotation here
}
TRUTH = {
    ("spNO.1", "a"): [(34, 40, 46, 1)],
    ("spNO.1", "b"): [(24, 30, 36, 2)],
    ("spNO.2", "a"): [(54, 60, 68, 1)],
    ("spNO.11", "a"): [(24, 30, 36, 0), (93, 100, 107, 3)],
}
NAMES = {0: "Anger", 1: "happy", 2: "surprise", 3: "others"}


@pytest.fixture
def casme3(tmp_path):
    """Label sheet, weights and cache of ME-TST+; the cache holds the videos with an ME in natural order."""
    rows = [
        row(onset + 1, apex + 1, offset + 1, NAMES[emotion], subject, video)
        for (subject, video), intervals in reversed(TRUTH.items())  # the sheet's order does not matter
        for onset, apex, offset, emotion in intervals
    ]
    (tmp_path / "sheets").mkdir()
    workbook(tmp_path / "sheets" / "labels.xlsx", [CASME3_HEADER, *rows])
    save_weights(tmp_path / "weights", "metst_plus")
    write_cache(tmp_path / "cache.pkl", TRUTH)
    return tmp_path


def write_cache(path, keys, channels=36, protocol=2):
    windows = [motion_of(VIDEOS[key][1], VIDEOS[key][0], channels)[1] for key in keys]
    path.write_bytes(pickle.dumps(windows, protocol=protocol))


def score(root, **options):
    return score_released("casme3", root / "sheets", root / "cache.pkl", root / "weights", **options)


def by_hand(keys, k_p, steepness=STEEPNESS):
    """(tp, fp, fn, STRS) of the videos by method.md's formulas, with nothing of the package: k_p per subject."""
    tp = fp = fn = 0
    named = []  # (truth, prediction) of the true positives
    for key in keys:
        n_windows, pulses = VIDEOS[key]
        x, _ = motion_of(pulses, n_windows, 36)
        k = k_p[key[0]]
        s = 1 / (1 + np.exp(-(steepness[key[0]] * np.maximum(x[:, 0].astype(float), 0) - 2)))
        smooth = np.convolve(s, np.ones(2 * k) / (2 * k), mode="same")
        threshold = smooth.mean() + 0.55 * (smooth.max() - smooth.mean())
        matched = set()
        for peak in find_peaks(smooth, height=threshold, distance=k)[0]:
            start, end = peak - k, peak + k
            ious = []
            for onset, _, offset, _ in TRUTH.get(key, []):
                overlap = max(0, min(end, offset) - max(start, onset) + 1)
                ious.append(overlap / ((end - start + 1) + (offset - onset + 1) - overlap))
            best = int(np.argmax(ious)) if ious else None
            if best is None or ious[best] < 0.5 or best in matched:
                fp += 1
                continue
            tp += 1
            matched.add(best)
            votes = x[max(0, start + 1) : max(1, end - 1), list(EMOTION_CHANNELS)].argmax(axis=1)
            named.append((TRUTH[key][best][3], int(np.bincount(votes).argmax())))
        fn += len(TRUTH.get(key, [])) - len(matched)
    classes = sorted({c for pair in named for c in pair})
    right = [sum(t == p == c for t, p in named) for c in classes]
    precision = [r / max(1, sum(p == c for _, p in named)) for r, c in zip(right, classes, strict=True)]
    recall = [r / max(1, sum(t == c for t, _ in named)) for r, c in zip(right, classes, strict=True)]
    mean_precision, mean_recall = np.mean(precision), np.mean(recall)
    recognition = 2 * mean_precision * mean_recall / (mean_precision + mean_recall)
    return tp, fp, fn, 2 * tp / (2 * tp + fp + fn) * recognition


def half_length_by_hand(without=None):
    lengths = [
        offset - onset
        for (subject, _), intervals in TRUTH.items()
        for onset, _, offset, _ in intervals
        if subject != without
    ]
    return int((np.mean(lengths) + 1) / 2)


OFFICIAL_K = dict.fromkeys(STEEPNESS, half_length_by_hand())
STRICT_K = {subject: half_length_by_hand(subject) for subject in STEEPNESS}


def scored(result, protocol, emotions=4):
    table = result.scores
    found = table[(table["protocol"] == protocol) & (table["emotions"] == emotions)].iloc[0]
    return (*(int(found[n]) for n in ("tp", "fp", "fn")), float(found["strs"]))


def test_cache_weights_and_sheet_give_the_strs_worked_out_by_hand(casme3):
    result = score(casme3)
    assert result.method == "metst_plus"
    assert list(result.traces) == list(TRUTH)  # natural order: spNO.11 comes last
    for protocol, k_p in (("official", OFFICIAL_K), ("strict", STRICT_K)):
        expected = by_hand(TRUTH, k_p)
        assert expected[:3] == (4, 1, 1)  # as the comments at VIDEOS say
        assert scored(result, protocol) == pytest.approx(expected)
    # Names of the four: positive, surprise and others rightly, one positive as negative.  Precision 1, 1, 1, 0
    # and recall 1/2, 1, 1, 0: means 3/4 and 5/8; F1 of spotting 8/10.
    assert scored(result, "official")[3] == pytest.approx(0.8 * 2 * 0.75 * 0.625 / (0.75 + 0.625))


def test_each_subject_is_scored_by_its_own_checkpoint(casme3):
    result = score(casme3)
    for subject, steepness in STEEPNESS.items():
        key = next(key for key in TRUTH if key[0] == subject)
        x, _ = motion_of(VIDEOS[key][1], VIDEOS[key][0], 36)
        expected = 1 / (1 + np.exp(-(steepness * x[:, 0].astype(float) - 2)))
        np.testing.assert_allclose(result.traces[key][0], expected, atol=1e-6)
    assert result.dataset.videos["n_frames"].tolist() == [(VIDEOS[key][0] + 1) * 25 for key in TRUTH]


@pytest.mark.parametrize(("release", "method"), [("metst", "metst"), ("boosting", "boosting_vrme")])
def test_the_other_releases_are_recognised(casme3, release, method):
    for file in (casme3 / "weights").iterdir():
        file.unlink()
    (casme3 / "weights").rmdir()
    save_weights(casme3 / "weights", release, name="{}.pkl")
    write_cache(casme3 / "cache.pkl", TRUTH, CHANNELS[release], protocol=4)
    result = score(casme3)
    assert result.method == method
    if method == "metst":  # the same scores, and the same ("fixed") intervals
        assert scored(result, "official") == pytest.approx(by_hand(TRUTH, OFFICIAL_K))


def test_an_order_names_the_entries_and_may_hold_videos_without_an_me(casme3):
    keys = [("spNO.11", "c"), *reversed(TRUTH)]
    write_cache(casme3 / "cache.pkl", keys)
    with pytest.raises(InputError, match=r"cache\.pkl holds 5 videos.*4.*subject,video"):
        score(casme3)
    order = casme3 / "order.csv"
    lines = [f"{subject.upper()},{video}" for subject, video in keys]  # spelled otherwise than in the sheet
    order.write_text("\n".join(["subject,video", *lines]) + "\n")
    result = score(casme3, order=order)
    assert list(result.traces) == [(subject.upper(), video) for subject, video in keys]
    assert scored(result, "official") == pytest.approx(by_hand(TRUTH, OFFICIAL_K))
    strict = by_hand([*TRUTH, ("spNO.11", "c")], STRICT_K)
    assert strict[:3] == (4, 2, 1)  # the video without an ME is kept, and its false positive counts
    assert scored(result, "strict") == pytest.approx(strict)
    order.write_text("\n".join(["subject,video", *lines[:4]]) + "\n")
    with pytest.raises(InputError, match=r"order\.csv lists 4"):
        score(casme3, order=order)
    order.write_text("\n".join(["subject,video", *lines, lines[1]]) + "\n")
    with pytest.raises(InputError, match="row 7"):
        read_order(order)
    order.write_text("subject,name\n")
    with pytest.raises(InputError, match=r"order\.csv.*video"):
        read_order(order)


def test_a_wrong_order_is_noticed_where_a_label_lies_behind_its_video(casme3):
    keys = [("spNO.11", "a"), ("spNO.1", "b"), ("spNO.2", "a"), ("spNO.1", "a")]
    short = {key: (1, []) for key in keys}
    windows = [motion_of(pulses, n, 36)[1] for n, pulses in short.values()]
    (casme3 / "cache.pkl").write_bytes(pickle.dumps(windows, protocol=2))
    report = score(casme3).dataset.report
    assert report["action"].str.contains("order of the videos").sum() == 1  # 50 frames, a label from 93 on
    assert "spNO.11 a has 50 frames" in report["problem"].str.cat()


def test_what_does_not_fit_together_is_named(casme3):
    whole = pickle.loads((casme3 / "cache.pkl").read_bytes())
    (casme3 / "cache.pkl").write_bytes(pickle.dumps([[w[:10] for w in video] for video in whole]))
    with pytest.raises(InputError, match=r"36 channels.*cache\.pkl holds 10"):
        score(casme3)
    (casme3 / "cache.pkl").write_bytes(pickle.dumps([[w[:, :30] for w in video] for video in whole]))
    with pytest.raises(InputError, match="entry 1, spNO.1 a, has windows of 30 frames, casme3 has 50"):
        score(casme3)
    assert len(score(casme3, window=30).traces) == 4
    with pytest.raises(InputError, match="synergy"):
        score(casme3, synergy=3)
    with pytest.raises(MissingError, match=r"cache\.pkl"):
        (casme3 / "cache.pkl").unlink()
        score(casme3)
    with pytest.raises(InputError, match="folder"):
        score_released("folder", casme3, casme3 / "cache.pkl", casme3 / "weights")


def test_checkpoints_are_found_by_subject(tmp_path):
    for name in ("fold7_014.pkl", "s_006.PTH.TAR", "07.pt", "notes.txt", ".hidden_7.pt"):
        (tmp_path / name).touch()
    found = checkpoint_files(tmp_path, ["006", "007", "014"])
    assert {s: f.name for s, f in found.items()} == {
        "006": "s_006.PTH.TAR", "007": "07.pt", "014": "fold7_014.pkl",
    }  # fmt: skip
    with pytest.raises(MissingError, match=r"030.*for example 030\.pth"):
        checkpoint_files(tmp_path, ["006", "030"])
    (tmp_path / "best_006.pt").touch()
    with pytest.raises(InputError, match=r"best_006\.pt, s_006"):
        checkpoint_files(tmp_path, ["006"])
    (tmp_path / "spNO.1.pth").touch()
    (tmp_path / "model_spNO.11.pth").touch()
    found = checkpoint_files(tmp_path, ["spNO.1", "spNO.11"])
    assert [f.name for f in found.values()] == ["spNO.1.pth", "model_spNO.11.pth"]
    with pytest.raises(MissingError, match="nowhere"):
        checkpoint_files(tmp_path / "nowhere", ["006"])


def test_checkpoints_of_two_methods_are_refused(casme3):
    torch.save(transparent_state("boosting", 4.0), casme3 / "weights" / "model_spNO.2.pth")
    with pytest.raises(InputError, match=r"boosting_vrme.*model_spNO\.2"):
        score(casme3)


def test_sammlv_counts_in_steps_and_is_also_scored_without_others(tmp_path):
    """Two subjects; frame f of the cache is recorded frame 7 f, which the sheets call 7 f + 1."""
    truth = {"006": (20, 26, 1, "Happiness"), "007": (40, 46, 3, "Other")}
    sammlv_sheets(
        tmp_path,
        [
            long_row(f"{s}_1_1", 7 * on + 1, 7 * (on + 3) + 1, 7 * off + 7)
            for s, (on, off, *_) in truth.items()
        ],
        [facs_row(f"{s}_1_1", name) for s, (*_, name) in truth.items()],
    )
    windows = [motion_of([(on + 3, 1.0, emotion)], 4, 36, k=30)[1] for on, _, emotion, _ in truth.values()]
    (tmp_path / "cache.pkl").write_bytes(pickle.dumps(windows, protocol=2))
    save_weights(tmp_path / "weights", "metst_plus", {"006": 4.0, "007": 4.0})
    result = score_released("sammlv", tmp_path, tmp_path / "cache.pkl", tmp_path / "weights")
    annotations = result.dataset.annotations
    assert annotations[["onset", "apex", "offset"]].to_numpy().tolist() == [[20, 23, 26], [40, 43, 46]]
    # Both are spotted (k_p = int((6 + 1) / 2) = 3, peaks at 23 and 43) and named rightly.
    assert scored(result, "official") == scored(result, "strict") == (2, 0, 0, 1.0)
    assert scored(result, "official", emotions=3) == (2, 0, 0, 1.0)
    confused = pd.DataFrame(result.scores)
    assert confused["emotions"].tolist() == [4, 3, 4, 3]


def test_the_command_prints_the_scores_and_writes_them(casme3, capsys):
    arguments = ["released", "--dataset", "casme3", "--root", str(casme3 / "sheets")]
    arguments += ["--cache", str(casme3 / "cache.pkl"), "--weights", str(casme3 / "weights")]
    assert main([*arguments, "--out", str(casme3 / "out")]) == 0
    told = capsys.readouterr().out
    expected = by_hand(TRUTH, OFFICIAL_K)[3]
    assert f"{expected:.4f}" in told
    assert "metst_plus, 4 videos, 5 micro-expressions" in told
    scores = pd.read_csv(casme3 / "out" / "scores.csv").set_index("protocol")
    assert scores.loc["official", "strs"] == pytest.approx(expected)
    assert len(pd.read_csv(casme3 / "out" / "predictions_official.csv")) == 5
    assert main([*arguments, "--option", "rules=lenient"]) == 1
    assert "lenient" in capsys.readouterr().err


def test_a_hostile_cache_is_refused(casme3):
    (casme3 / "cache.pkl").write_bytes(b"cos\nsystem\n(S'echo hacked'\ntR.")
    with pytest.raises(MetstError, match=r"os\.system|system"):
        score(casme3)
