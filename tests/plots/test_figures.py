"""Figures show what they are given: times, intervals, colours, names."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from metst_core import plots, tables
from metst_core.errors import InputError
from metst_core.rois import roi_names
from metst_core.tables import CLASSES

pytestmark = pytest.mark.quick

COLUMNS = ["onset", "apex", "offset", "emotion"]


def intervals(*rows, **more):
    return pd.DataFrame(list(rows), columns=COLUMNS).assign(**more)


def boxes_of(figure):
    """(x, y, width, colour) of every rectangle that a figure's first axes hold by data coordinates."""
    axes = figure.axes[0]
    found = [
        p
        for p in axes.patches
        if isinstance(p, Rectangle) and p.get_transform().contains_branch(axes.transData)
    ]
    return [(p.get_x(), p.get_y(), p.get_width(), p.get_facecolor()[:3]) for p in found]


@given(
    fps=st.sampled_from([25.0, 30.0, 200.0]),
    n=st.integers(2, 50),
    onset=st.integers(0, 60),
    length=st.integers(0, 30),
)
def test_a_span_lasts_as_long_as_its_frames_that_lie_in_the_video(fps, n, onset, length):
    first, last = min(onset, n - 1), min(onset + length, n - 1)
    start, width = plots.ScoreLine(np.zeros(n), fps).span(onset, onset + length)
    assert start == pytest.approx(first / fps)
    assert width == pytest.approx((last - first + 1) / fps)
    assert plots.ScoreLine(np.zeros(n), fps).span(-5, 0) == pytest.approx((0, 1 / fps))


def test_a_span_follows_the_times_of_its_frames():
    """Frames that a camera dropped: 0.1 s apart but for a gap of one second."""
    line = plots.ScoreLine(np.zeros(6), 10.0, times=np.array([0.0, 0.1, 0.2, 1.2, 1.3, 1.4]))
    assert line.span(2, 3) == pytest.approx((0.2, 1.1))
    assert line.duration == pytest.approx(1.5)


def test_the_score_time_line_draws_true_intervals_below_and_found_ones_above():
    truth = intervals((10, 12, 19, "surprise"))
    found = intervals((30, 35, 39, "negative"), confidence=[0.42])
    line = plots.ScoreLine(np.linspace(0, 1, 50), 10.0)
    figure = plots.score_timeline(line, truth, found, persons="synthetic persons")
    assert "on synthetic persons" in figure.axes[0].get_xlabel()  # whom the 42% holds for
    bands = [box for box in boxes_of(figure) if box[1] != 0]
    below, above = sorted(bands, key=lambda box: box[1])
    assert below[1] < 0
    assert (below[0], below[2]) == pytest.approx((1.0, 1.0))
    assert below[3] == to_rgb(plots.EMOTION_COLOURS["surprise"])
    assert above[1] > 1
    assert (above[0], above[2]) == pytest.approx((3.0, 1.0))
    assert above[3] == to_rgb(plots.EMOTION_COLOURS["negative"])
    axes = figure.axes[0]
    assert {"42%", "true", "found"} <= {text.get_text() for text in axes.texts}
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["score", "negative", "surprise"]
    assert axes.get_xlim() == pytest.approx((0, 5.0))


def test_quality_flags_lie_in_lanes_above_all_else():
    flags = pd.DataFrame({
        "flag": ["no_face", "dark", "no_face"], "first": [0, 10, 30], "last": [9, 19, 34],
    })  # fmt: skip
    line = plots.ScoreLine(np.zeros(50), 10.0, threshold=0.5)
    figure = plots.score_timeline(line, predictions=intervals(), quality=flags)
    lanes = {}
    for x, y, width, _ in boxes_of(figure):
        lanes.setdefault(round(y, 6), []).append((round(x, 6), round(width, 6)))
    assert [sorted(lane) for _, lane in sorted(lanes.items())] == [[(0.0, 1.0), (3.0, 0.5)], [(1.0, 1.0)]]
    assert min(lanes) > 1.05
    assert {"no face", "dark"} <= {text.get_text() for text in figure.axes[0].texts}


def test_every_class_and_every_roi_has_a_colour_of_its_own():
    assert tuple(plots.EMOTION_COLOURS) == CLASSES
    assert set(plots.ROI_COLOURS) == set(roi_names("metst_plus_ref"))
    for colours in (plots.EMOTION_COLOURS, plots.ROI_COLOURS):
        assert len({to_rgb(colour) for colour in colours.values()}) == len(colours)


def test_motion_traces_draw_both_components_over_the_truth():
    motion = {name: np.stack([np.full(20, i), np.full(20, -i)]) for i, name in enumerate(roi_names("metst"))}
    figure = plots.motion_traces(
        motion, 10.0, {"AU1": np.ones(20)}, intervals((105, 108, 110, "others")), 100
    )
    x, y, truth = figure.axes
    assert [line.get_ydata()[0] for line in x.lines[:5]] == [0, 1, 2, 3, 4]
    assert [line.get_ydata()[0] for line in y.lines[:5]] == [0, -1, -2, -3, -4]
    assert x.lines[0].get_xdata()[0] == pytest.approx(10.0)
    assert truth.lines[0].get_ydata()[0] == 1000


def test_edges_take_the_stronger_direction_and_come_weakest_first():
    matrix = np.array([[1.0, 0.2, -0.9], [0.5, 1.0, 0.1], [0.3, 0.05, 1.0]])
    assert plots.edges_of(matrix, 0.3) == [(0, 1, 0.5), (0, 2, -0.9)]


def test_a_relation_page_shows_the_matrix_in_the_order_of_the_boxes():
    names = ["mouth", "left_brow"]
    face = plots.Face(
        np.zeros((320, 320, 3), np.uint8), dict(zip(names, [(0, 9, 0, 9), (20, 29, 0, 9)], strict=True))
    )
    figure = plots.relation_page(face, np.array([[1, -0.5], [0.2, 1]]), plots.Scale(0.3), ["mouth"])
    assert isinstance(figure, Figure)
    assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == ["mouth", "left brow"]
    assert figure.axes[2].get_ylim() == pytest.approx((-1, 1))


def test_a_time_page_has_a_row_for_what_is_known():
    motion = np.zeros((2, 30))
    course = plots.Course(motion, ["mouth", "left_brow"], 10.0, intervals((5, 7, 9, "positive")))
    assert len(plots.time_page(course).axes) == 1
    seen = plots.Course(motion, course.names, 10.0, course.annotations, np.zeros(30), motion)
    rows = plots.time_page(seen, ["mouth"], frame=12).axes
    assert [ax.get_ylabel() for ax in rows[:2]] == ["motion (px of the crop)", "score (0 to 1)"]
    assert rows[-1].get_xlabel() == "time (s)"
    assert rows[0].lines[-1].get_xdata()[0] == pytest.approx(1.25)


# --- names and files ------------------------------------------------------------------------------
NASTY = "a$b$c_{d $\\frac{1"


@pytest.mark.parametrize("name", [NASTY, "bytes \udcff", "bell \x07 \x1b[31m"])
def test_a_figure_shows_any_name(name, tmp_path):
    table = pd.DataFrame(
        [("s1", name, 3, 5, 9, "surprise")],
        columns=["subject", "video", "onset", "apex", "offset", "emotion"],
    )
    videos = pd.DataFrame(
        [("s1", name, 30.0, 90, "x")], columns=["subject", "video", "fps", "n_frames", "path"]
    )
    figure = plots.dataset_overview(table, videos, title=name)
    path = plots.save_figure(figure, tmp_path / "figure.svg")
    assert path.stat().st_size > 1000
    scored = pd.DataFrame(
        [("strict", name, m, 0.5, 0.4, 0.6) for m in ("strs",)],
        columns=["protocol", "method", "metric", "value", "low", "high"],
    )
    assert (
        plots.save_figure(plots.comparison(scored, ("strs",), name), tmp_path / "b.png").stat().st_size > 1000
    )


def test_a_picture_needs_a_known_suffix(tmp_path):
    for name in ("picture", "picture.xyz"):
        with pytest.raises(InputError, match=r"end it with one of .*\.png"):
            plots.save_figure(plots.dataset_overview(*two_tables()), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def two_tables():
    return tables.empty_annotations(), pd.DataFrame(
        [("s", "v", 30.0, 9, "")], columns=["subject", "video", "fps", "n_frames", "path"]
    )
