"""Judged or not: the limits come from counts, and a frame beyond one of them is not judged."""

import json

import numpy as np
import pandas as pd
import pytest

from metst_core.footage import evidence
from metst_core.inference import (
    JUDGED_LEAST,
    Judgement,
    bundled_judgement,
    motion_of_parts,
    unrest_of,
)
from metst_core.inference.judged import JUDGED_ASSET, OF_THE_FACE
from metst_core.inference.quality import Seen, sharpness_of
from metst_core.rois import roi_names

LIMITS = Judgement(
    {"upper": 1.0, "lower": 2.0}, {"turn": 0.2, "brightness": 40.0, "sharpness": 0.1, "eye_distance": 30.0}
)


def seen(n=1, **changes):
    values = {"eye_distance": 60.0, "turn": 0.0, "brightness": 120.0, "sharpness": 0.4, **changes}
    return Seen(np.zeros((n, 4)), n_faces=np.ones(n), **{k: np.full(n, v) for k, v in values.items()})


def test_unrest_decides_for_each_part():
    unrest = np.array([[0.5, 0.9], [0.5, 1.5], [2.5, 0.1], [np.nan, np.nan]])
    judged = LIMITS(unrest, seen(4))
    assert judged["upper"].tolist() == [True, False, False, False]
    assert judged["lower"].tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    "change", [{"turn": 0.3}, {"brightness": 20.0}, {"sharpness": 0.01}, {"eye_distance": 10.0}, {"eye_distance": np.nan}]
)  # fmt: skip
def test_a_face_that_cannot_be_seen_well_is_not_judged(change):
    calm = np.zeros((1, 2))
    assert LIMITS(calm, seen()).all(axis=None)
    assert not LIMITS(calm, seen(**change)).any(axis=None)


def test_unrest_is_the_median_part_averaged_over_a_window():
    """All brows and lids move by 3, the mouth and the nose by 1, for ten of forty frames: half of a window of 20."""
    names = roi_names("metst_plus")
    motion = np.zeros((2 * len(names), 40))
    for r, name in enumerate(names):
        motion[2 * r, 15:25] = 3 if "brow" in name or "eyelid" in name else 1
    parts = motion_of_parts(motion, "metst_plus")
    assert parts[20].tolist() == [3, 1] and parts[0].tolist() == [0, 0]
    unrest = unrest_of(parts, 20)
    assert unrest.shape == (40, 2)
    assert unrest[19:21].max(axis=0) == pytest.approx([1.5, 0.5])
    assert unrest[0] == pytest.approx([0, 0])


def test_the_limit_of_unrest_is_where_the_share_falls_to_a_fifth():
    """The chance falls from 1 to 0 around 2 pixels; at 2 * (.8/.2)^(1/8) it is .2, by hand."""
    unrest = np.geomspace(0.3, 6, 400)
    chance = 1 / (1 + (unrest / 2) ** 8)
    found = evidence.unrest_limit(unrest, np.random.default_rng(0).random(400) < chance)
    assert found == pytest.approx(2 * 4 ** (1 / 8), rel=0.15)
    assert evidence.unrest_limit(unrest, np.ones(400, bool)) == pytest.approx(
        6
    )  # not beyond what was measured
    assert evidence.unrest_limit(unrest, np.zeros(400, bool)) == 0


def test_the_limit_of_a_level_lies_between_the_last_good_and_the_first_bad_one():
    rows = [
        {"level": level, "n": 10, "touched": touched}
        for level, touched in ((100, 8), (40, 5), (10, 1), (2, 0))
    ]
    assert evidence.face_limit(rows, "least") == pytest.approx(20)
    assert evidence.face_limit(rows[:2], "least") == 40  # never bad: as far as was measured
    assert evidence.face_limit(rows[2:], "least") == 10  # bad from the first on
    turned = [{"level": level, "n": 10, "touched": 5} for level in (0.0, 0.1, 0.3)]
    assert evidence.face_limit(turned, "most") == 0.3


def test_movements_that_a_find_touches_anyway_do_not_count():
    rows = pd.DataFrame({
        "case": "calm", "subject": "person0", "part": np.tile(["upper", "lower"], 40), "motion": np.linspace(0.2, 4, 80),
        "touched": True, "before": [False] * 60 + [True] * 20, "strength": 0.018,
        **{name: np.linspace(0.1, 1, 80) for name in OF_THE_FACE},
    })  # fmt: skip
    found = evidence.limits_from(rows)
    assert found["unrest"]["upper"] < 3.2  # the last fourth was found anyway
    assert sum(row["n"] for row in found["by_unrest"]["upper"]) == 30


def test_what_comes_with_the_package_is_a_measurement():
    stored = json.loads(JUDGED_ASSET.read_text(encoding="utf-8"))
    assert stored["record"]["commit"]
    assert (
        stored["n"]
        == sum(row["n"] for rows in stored["by_unrest"].values() for row in rows) + stored["left_out"]
    )
    assert set(stored["face"]) == set(OF_THE_FACE)
    assert stored["least"] == JUDGED_LEAST
    made = bundled_judgement()
    assert all(limit >= 0 for limit in (*made.unrest.values(), *made.face.values()))


def test_a_blurred_face_is_less_sharp():
    import cv2

    picture = np.random.default_rng(0).integers(0, 256, (200, 200)).astype(np.uint8)
    assert sharpness_of(cv2.GaussianBlur(picture, (0, 0), 4)) < 0.5 * sharpness_of(
        cv2.GaussianBlur(picture, (0, 0), 1)
    )
