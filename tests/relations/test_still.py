"""The reference that every ROI shares: on a face that stands still nothing may be related."""

import dataclasses

import cv2
import numpy as np
import pandas as pd
import pytest

from metst_core.errors import InputError
from metst_core.relations import Traces, lagged_correlation, still_film, still_motion


@pytest.fixture(scope="module")
def still():
    """Two films of four seconds of a still, textured picture with the points of a face (no landmarker is needed)."""
    rng = np.random.default_rng(3)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (160, 160)).astype(np.uint8), (0, 0), 2)
    return Traces.of(still_motion(texture, _Points(), n_frames=120, n_films=2, window=30, noise=2.0))


class _Points:
    """68 points spread over a picture as a face's are: brows, nose, eyes and mouth at their places."""

    identity = "points"

    def __call__(self, image):
        height, width = image.shape[:2]
        points = np.full((68, 2), 0.5)
        points[:17] = np.stack([np.linspace(0.2, 0.8, 17), np.full(17, 0.8)], axis=1)
        points[17:22] = np.stack([np.linspace(0.28, 0.44, 5), np.full(5, 0.3)], axis=1)
        points[22:27] = np.stack([np.linspace(0.56, 0.72, 5), np.full(5, 0.3)], axis=1)
        points[27:31] = np.stack([np.full(4, 0.5), np.linspace(0.38, 0.52, 4)], axis=1)
        points[31:36] = np.stack([np.linspace(0.44, 0.56, 5), np.full(5, 0.55)], axis=1)
        for first, x in ((36, 0.36), (42, 0.64)):
            angle = np.linspace(np.pi, -np.pi, 7)[:6]
            points[first : first + 6] = np.stack(
                [x + 0.05 * np.cos(angle), 0.4 + 0.02 * np.sin(angle)], axis=1
            )
        points[39], points[42] = (0.43, 0.4), (0.57, 0.4)
        angle = np.linspace(np.pi, -np.pi, 21)[:20]
        points[48:68] = np.stack([0.5 + 0.1 * np.cos(angle), 0.68 + 0.04 * np.sin(angle)], axis=1)
        return points * (width, height)


APART = ("left_brow", "mouth", "left_eyelid", "right_eyelid", "left_wing")
"""ROIs of boxes that do not overlap on this picture, but for the wing's and the mouth's."""


def test_what_every_roi_shares_with_the_reference_is_gone_from_a_still_face(still):
    shared, marked = [], []
    for traces in (still, still.without_reference()):
        found = [lagged_correlation(traces.select(APART), "all", c, 0, 99) for c in ("x", "y")]
        r = np.stack([relations.at(0)[np.triu_indices(len(APART), 1)] for relations in found])
        shared.append(np.delete(r, 6, axis=1).mean())  # without mouth and wing
        tables = pd.concat([relations.table() for relations in found])
        tables = tables[~tables["roi_b"].isin(["left_wing"]) | (tables["roi_a"] != "mouth")]
        marked.append(int((tables["p_max"] <= 0.05).sum()))
    assert shared[0] > 0.15 and abs(shared[1]) < shared[0] / 3
    assert marked[0] >= 6 and marked[1] <= 1  # of 18 pairs


def test_the_rest_does_not_correlate_with_the_reference(still):
    rest = still.without_reference()
    for key, value in rest.values.items():
        for part in value[:2].reshape(-1, value.shape[-1]):
            for reference in rest.reference[key]:
                assert abs(np.cov(part, reference)[0, 1]) < 1e-6
        assert np.allclose(value[2], np.hypot(value[0], value[1]))


def test_traces_of_a_set_without_its_reference_say_so(still):
    with pytest.raises(InputError, match="reference box's motion is not in this motion set"):
        dataclasses.replace(still, reference={}).without_reference()
    assert still.select(["mouth"]).grouped({"one": ["mouth"]}).without_reference().names == ("one",)


def test_a_still_film_is_its_picture_and_seeded_noise():
    picture = np.full((40, 50), 100.0)
    frames = [np.stack(list(still_film(picture, 30, 2.0, seed))) for seed in (0, 0, 1)]
    assert np.array_equal(frames[0], frames[1]) and not np.array_equal(frames[0], frames[2])
    assert abs(frames[0].mean() - 100) < 0.1 and abs(frames[0].std() - 2) < 0.1
    with pytest.raises(InputError, match="one grey picture"):
        still_film(np.zeros((4, 4, 3)), 3).__next__()
