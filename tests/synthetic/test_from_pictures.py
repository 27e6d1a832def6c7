"""What only pictures tell: measured on films whose motion is known."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from metst_core.errors import MissingError
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.synthetic import PRIORS, generate, likeness, picture_measures, picture_table, read_tables

QUIET = {
    "me_per_minute": 0, "blink_per_minute": 0, "gaze_per_minute": 0, "swallow_per_minute": 0, "head_degrees": 0,
    "head_shift": 0, "head_zoom": 0, "sway": 0, "light_change": 0, "dropped": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def landmarker():
    return MediaPipeLandmarker()


@pytest.fixture(scope="module")
def measured(tmp_path_factory, landmarker):
    """Grey levels of noise -> the measures of a person who does nothing before that camera."""
    root = tmp_path_factory.mktemp("still")
    measures = {}
    for noise in (0.0, 6.0):
        generate(root / str(noise), 1, 1, 1.0, noise=noise, progress=False, **QUIET)
        measures[noise] = picture_measures(root / str(noise), landmarker, films=1, seconds=0.5)
    return measures


def test_a_still_face_moves_with_the_noise_alone(measured):
    clean, noisy = (table.iloc[0] for table in measured.values())
    assert clean["found"] == noisy["found"] == 1
    assert clean["still"] < 0.02 < noisy["still"] and clean["jitter"] < noisy["jitter"]
    assert np.isnan(clean["talking"])


def test_talking_faces_move_more_than_resting_ones(tmp_path, landmarker):
    generate(tmp_path, 1, 1, 2.0, seed=2, tier="interview", speech_share=0.9, progress=False)
    row = picture_measures(tmp_path, landmarker, seconds=2).iloc[0]
    assert row["talking"] > 0.5


def test_the_table_of_pictures_gives_median_and_range(measured):
    two = pd.concat([measured[0.0].assign(still=0.1), measured[6.0].assign(still=0.3)])
    table = picture_table({"calm": two}).set_index("quantity")
    assert (table["source"] != "").all()
    told = table["calm"].tolist()
    assert told[0] == "0.2 (0.1 to 0.3)" and told[1] == "–"


def test_the_tables_of_a_set_are_read_as_they_were_planned(tmp_path):
    generate(tmp_path, 1, 1, 4.0, me_per_minute=40, progress=False)
    tables = read_tables(tmp_path)
    found = likeness(tables, dataclasses.replace(PRIORS["dense"])).set_index("quantity")
    assert found.loc["MEs per minute", "median"] == pytest.approx(
        15 * len(tables["truth/micro_expressions.csv"])
    )
    assert found.loc["spotting F1 of one annotator against the other", "median"] >= 0
    (tmp_path / "truth" / "distractors.csv").unlink()
    with pytest.raises(MissingError, match=r"distractors\.csv"):
        read_tables(tmp_path)
    with pytest.raises(MissingError, match=r"distractors\.csv"):
        picture_measures(tmp_path, None)
