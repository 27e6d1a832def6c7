"""The explorer without a browser: what it hands over, its state, its static figures and its page."""

import base64
import hashlib
import html
import json
import re

import cv2
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from support.made_up_explorer import (
    FOLLOWER,
    LAG,
    LEADER,
    made_up_explorer,
    planted_motion,
    portrait_frames,
    still_film,
)

from metst_core.errors import InputError
from metst_core.models import METSTPlus
from metst_core.plots import edges_of
from metst_core.relations import Traces
from metst_core.rois import CROP_SIZE, roi_names
from metst_core.widgets import Seen, explore, film, motion_layers
from metst_core.widgets.explorer import CHUNK

pytestmark = pytest.mark.quick

NAMES = roi_names()


@pytest.fixture(scope="module")
def explorer():
    torch.manual_seed(0)
    return made_up_explorer(120, model=METSTPlus(width=4, d_state=2, blocks_per_stage=1))


def points_68(scale):
    """A face with the brows, eyes, nose and mouth roughly where iBUG's are, in a frame of 100 * scale pixels."""
    points = np.zeros((68, 2))
    points[:17] = np.c_[np.linspace(15, 85, 17), np.linspace(40, 90, 17)]
    points[17:22] = np.c_[np.linspace(22, 42, 5), np.full(5, 32)]
    points[22:27] = np.c_[np.linspace(58, 78, 5), np.full(5, 32)]
    points[27:31] = np.c_[np.full(4, 50), np.linspace(42, 56, 4)]
    points[31:36] = np.c_[np.linspace(44, 56, 5), np.full(5, 60)]
    points[36:42] = np.c_[[26, 30, 36, 40, 36, 30], [42, 40, 40, 42, 44, 44]]
    points[42:48] = np.c_[[60, 64, 70, 74, 70, 64], [42, 40, 40, 42, 44, 44]]
    points[48:60] = np.c_[
        [36, 41, 46, 50, 54, 59, 64, 59, 54, 50, 46, 41], [75, 73, 72, 72, 72, 73, 75, 78, 80, 80, 80, 78]
    ]
    points[60:] = np.c_[[38, 46, 50, 54, 62, 54, 50, 46], [75, 74, 74, 74, 75, 77, 77, 77]]
    return points * scale


def test_film_shows_one_crop_and_boxes_that_follow_the_head():
    """The head moves right by 6 pixels at frame 10: the boxes of the second window lie as much further right."""
    frames = [np.full((200, 200, 3), 90, np.uint8) for _ in range(20)]
    whole = points_68(2.0)
    calls = {"n": 0}

    def landmarker(image):
        if image.shape == (CROP_SIZE, CROP_SIZE):
            return points_68(3.2)
        calls["n"] += 1
        return whole + np.array([6.0 * (calls["n"] > 1), 0])

    found = film(frames, landmarker, window=20)
    assert len(found.pictures) == 20
    assert found.picture(3).shape == (CROP_SIZE, CROP_SIZE, 3)
    assert found.boxes.shape == (2, 18, 4)
    moved = found.boxes[1] - found.boxes[0]
    half_eyes = int((whole[42, 0] - whole[39, 0]) / 2)
    zoom = CROP_SIZE / (2 * int(4.5 * half_eyes))
    assert np.allclose(moved[:, 2:], 6 * zoom, atol=1)
    assert np.allclose(moved[:, :2], 0, atol=1)
    with pytest.raises(InputError, match="no face"):
        film(frames, lambda image: None, window=20)


def test_what_the_browser_gets_is_what_was_measured(explorer):
    motion = planted_motion([("s0", "v0"), ("s1", "v0")], 120)
    layers = motion_layers(Traces.of(motion), max_lag=4, n_permutations=19)
    sent = np.frombuffer(explorer.arrays["layer_0"], np.float32).reshape(layers[0].values.shape)
    assert np.allclose(sent, layers[0].values, atol=1e-6)
    scene = explorer.scene
    assert scene["names"] == NAMES
    assert scene["layers"][0]["lags"] == list(range(-4, 5))
    assert len(explorer.arrays["motion"]) == 4 * 2 * 18 * scene["n_frames"]
    assert len(explorer.arrays["boxes"]) == explorer.film.boxes.nbytes
    json.dumps(scene)  # plain values only


def test_the_planted_pair_stands_out_at_its_lag(explorer):
    explorer.layer, explorer.component, explorer.condition, explorer.lag = "motion", "x", "all", LAG
    matrix = explorer.matrix()
    leader, follower = NAMES.index(LEADER), NAMES.index(FOLLOWER)
    assert matrix[leader, follower] > 0.9
    assert abs(matrix[follower, leader]) < 0.5
    edges = edges_of(matrix, 0.9)
    assert [edge[:2] for edge in edges] == [(leader, follower)]


def test_layers_go_from_the_motion_through_the_network(explorer):
    names = [layer.name for layer in explorer.layers]
    assert names[:3] == ["motion", "motion, others held fixed", "stem weights"]
    assert names[3] == "network: stem"
    assert names[-2:] == ["network: score", "network: emotion"]
    for layer in explorer.layers:
        assert layer.conditions[0] == "inside"
        assert np.isfinite(layer.values).all()
        assert 0 <= layer.threshold <= layer.top


def test_default_threshold_lets_through_few_edges_and_none_within_chance():
    layer = made_up_explorer(300, n_permutations=19).layers[0]
    values = layer.values[0, -1, 4]
    shown = edges_of(values, layer.threshold)
    beyond = edges_of(values, layer.critical[0, -1])
    assert len(shown) == min(24, len(beyond))


def test_static_figures_follow_layer_and_selection(explorer):
    for layer, selected in ((0, []), (0, [LEADER, FOLLOWER]), (-1, [LEADER])):
        explorer.layer, explorer.selected = explorer.layers[layer].name, selected
        figure = explorer.relation_figure()
        assert isinstance(figure, Figure)
        labels = [text.get_text() for text in figure.axes[1].get_yticklabels()]
        assert labels == [name.replace("_", " ") for name in NAMES]
    assert explorer.time_figure().axes[-1].get_xlabel() == "time (s)"
    explorer.layer = "nothing"
    with pytest.raises(InputError, match="layer 'nothing' is none of motion"):
        explorer.matrix()
    explorer.layer = "motion"


def test_pictures_are_sent_when_asked_and_are_no_part_of_the_state(explorer, monkeypatch):
    sent = []
    monkeypatch.setattr(explorer, "send", lambda content, buffers: sent.append((content, buffers)))
    explorer._answer(explorer, {"kind": "something else"}, [])
    assert not sent
    explorer._answer(explorer, {"kind": "pictures"}, [])
    assert [content["first"] for content, _ in sent] == list(range(0, 120, CHUNK))
    assert [p for _, buffers in sent for p in buffers] == explorer.film.pictures
    state = sum(len(v) for v in explorer.arrays.values())
    assert state < 0.5 * sum(len(p) for p in explorer.film.pictures)


def test_page_holds_everything_and_reaches_for_nothing(explorer, tmp_path):
    explorer.frame = 7
    text = explorer.save_page(tmp_path / "explorer.html").read_text()
    policy = html.unescape(re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', text).group(1))
    assert "unsafe" not in policy and "default-src 'none'" in policy and "form-action 'none'" in policy
    for kind, tag in (("script", '<script type="module">(.*?)</script>'), ("style", "<style>(.*?)</style>")):
        digest = hashlib.sha256(re.search(tag, text, re.S).group(1).encode()).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert not re.search(r"(src|href|import)\s*=?\s*[\"'(]?https?:", text), "the page must work offline"
    state, arrays = (
        json.loads(re.search(f'<script type="application/json" id="{name}">(.*?)</script>', text).group(1))
        for name in ("state", "arrays")
    )
    assert state["frame"] == 7
    pictures = base64.b64decode(arrays["pictures"])
    ends = state["scene"]["picture_ends"]
    last = cv2.imdecode(np.frombuffer(pictures[ends[-2] : ends[-1]], np.uint8), cv2.IMREAD_COLOR)
    assert last.shape == (CROP_SIZE, CROP_SIZE, 3)


def test_what_does_not_fit_the_video_is_named():
    motion = planted_motion([("s0", "v0"), ("s1", "v0")], 60)
    layers = motion_layers(Traces.of(motion), max_lag=1, n_permutations=0)
    reel = still_film(60)
    for change, match in (
        ({"seen": Seen(score=np.zeros(59))}, "score has shape"),
        ({"seen": Seen(attribution={"score": np.zeros((18, 3))})}, "attribution"),
        ({"film": still_film(40)}, "film"),
        ({"selected": ["nostril"]}, "nostril"),
    ):
        arguments = {
            "film": reel,
            "layers": layers,
            "motion": motion,
            "key": ("s0", "v0"),
            **change,
        }
        with pytest.raises(InputError, match=match):
            explore(**arguments)


def test_five_rois_have_an_explorer_too():
    motion = planted_motion([("s0", "v0"), ("s1", "v0")], 60).select("metst")
    layers = motion_layers(Traces.of(motion), max_lag=1, n_permutations=0)
    reel = still_film(60)
    reel = type(reel)(reel.pictures, reel.boxes[:, :5])
    made = explore(reel, layers, motion, ("s0", "v0"))
    assert made.scene["names"] == roi_names("metst")
    assert made.matrix().shape == (5, 5)
    assert isinstance(made.relation_figure(), Figure)


def test_made_up_frames_differ():
    frames = list(portrait_frames(3))
    assert not np.array_equal(frames[0], frames[2])
