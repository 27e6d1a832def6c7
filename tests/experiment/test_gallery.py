"""The errors of a run: found by kind, and looked at."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from support.made_up_motion import WINDOW, made_up_motion

from metst_core import plots
from metst_core.experiment import errors_by_kind, motion_spotter, one_of_each, view_of
from metst_core.tables import ANNOTATION_COLUMNS, PREDICTION_COLUMNS

pytestmark = pytest.mark.quick

TRUTH = pd.DataFrame(
    [("s", "v", 10, 15, 20, "positive"), ("s", "v", 40, 45, 50, "others"), ("s", "w", 5, 9, 12, "surprise")],
    columns=ANNOTATION_COLUMNS,
)
FOUND = pd.DataFrame(
    [
        ("s", "v", 10, 15, 20, "positive", 0.9),  # right
        ("s", "v", 70, 75, 80, "others", 0.4),  # nothing there
        ("s", "v", 90, 95, 100, "others", 0.6),  # nothing there, and surer of it
        ("s", "w", 5, 9, 12, "others", 0.5),  # there, but a surprise
    ],
    columns=PREDICTION_COLUMNS,
)


def test_errors_go_by_kind_and_the_surest_is_shown():
    errors = errors_by_kind(FOUND, TRUTH)
    assert {kind: rows["onset"].tolist() for kind, rows in errors.items()} == {
        "false positive": [70, 90], "miss": [40], "wrong emotion": [5],
    }  # fmt: skip
    assert {kind: row["onset"] for kind, row in one_of_each(errors).items()} == {
        "false positive": 90, "miss": 40, "wrong emotion": 5,
    }  # fmt: skip
    assert one_of_each(errors_by_kind(TRUTH.assign(score=1.0), TRUTH)) == {}
    nothing_true = errors_by_kind(FOUND, TRUTH[:0])
    assert {kind: len(rows) for kind, rows in nothing_true.items()} == {
        "false positive": 4, "miss": 0, "wrong emotion": 0,
    }  # fmt: skip


def test_an_error_is_shown_with_its_frames_its_window_and_its_video():
    motion = made_up_motion()
    scores = motion_spotter(motion).traces
    said = SimpleNamespace(
        traces={key: (score, None) for key, score in scores.items()}, annotations=motion.annotations
    )
    numbered = (np.full((4, 4, 3), number, np.uint8) for number in range(60))  # frames that show their number
    dataset = SimpleNamespace(frames=lambda subject, video: numbered)
    error = pd.Series(
        {"subject": "s0", "video": "v0", "onset": -3, "apex": 47, "offset": 52, "emotion": "others"}
    )
    view = view_of("miss", error, dataset, motion, said)
    assert [(name, number, frame.max()) for name, number, frame in view.faces] == [
        ("onset", 0, 0), ("apex", 47, 47),
    ]  # fmt: skip
    assert view.title == "miss: true others"
    # The window that starts 30 frames before the apex at most: of 0, 8, 16, ... the one at 16.
    assert (WINDOW, view.start) == (16, 16)
    assert np.array_equal(view.motion, motion.windows["s0", "v0"][2])
    figure = plots.error_gallery([view, view], motion.fps)
    assert len(figure.axes) == 8
    assert [ax.get_title() for ax in figure.axes[:2]] == ["onset, frame 0", "apex, frame 47"]
    assert len(plots.error_gallery([], motion.fps).axes) == 4
