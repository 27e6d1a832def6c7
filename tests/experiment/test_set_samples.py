"""A picture of a set with faces at the labelled frames: which frames these are is said, and an off-by-one shows."""

from dataclasses import replace

import numpy as np
import pytest
from support.own_videos import landmarker, mouth_at, picture

from metst_core.datasets import load_dataset
from metst_core.experiment import set_samples
from metst_core.plots import set_page
from metst_core.video import write_images, write_video


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two persons whose mouths move around 0.8 s, one as a film and one as images; annotated where it begins."""
    root = tmp_path_factory.mktemp("set")
    # Nothing moves up to frame 18 and after frame 30: the pull is 0 until 0.2 s before the apex.
    frames = [mouth_at(t / 30, (0.8,), picture()) for t in range(40)]
    (root / "ben").mkdir()
    write_video(root / "anna" / "film.mkv", frames, 30)
    write_images(root / "ben" / "images", np.stack(frames))
    rows = [
        "subject,video,onset,apex,offset,emotion",
        "anna,film,18,24,30,surprise",
        "ben,images,18,24,30,negative",
    ]
    (root / "annotations.csv").write_text("\n".join(rows) + "\n")
    return load_dataset("folder", root)


def test_frames_are_named_as_the_set_and_the_recording_count(dataset):
    samples, problems = set_samples(dataset, landmarker)
    assert problems == []
    assert [sample.title for sample in samples] == ["ben, images: negative", "anna, film: surprise"]
    images, film = ([label for label, _ in sample.frames] for sample in samples)
    assert images[1] == "onset: frame 18\nimage 000018.png"
    assert film[1:3] == [
        "onset: frame 18\n19 of the recording, from 1",
        "apex: frame 24\n25 of the recording, from 1",
    ]
    assert samples[0].frames[0][1].shape == (320, 320, 3)  # the face, cut out


def test_an_off_by_one_shows(dataset):
    """The picture moves away from the onset's from the next frame on; with labels that are late it does before."""
    for shift in (0, 1, 2):
        late = replace(dataset, annotations=dataset.annotations.assign(onset=18 + shift))
        [sample, _] = set_samples(late, landmarker)[0]
        before = sample.course[: 18 + shift - sample.first]
        assert (before.max() > 0) == (shift > 0)
        assert sample.course[19 + shift - sample.first] > 0


def test_what_cannot_be_drawn_is_said_and_the_rest_is_drawn(dataset):
    gone = dataset.annotations.copy()
    gone.loc[0, ["onset", "apex", "offset"]] = 50, 52, 55
    samples, problems = set_samples(replace(dataset, annotations=gone), None)
    assert len(samples) == 1 and len(problems) == 1 and "anna, film" in problems[0]
    figure = set_page(dataset.annotations, dataset.videos, samples, "a $x$ set")
    figure.canvas.draw()
    assert samples[0].frames[0][1].shape == (160, 160, 3)
    set_page(dataset.annotations, dataset.videos).canvas.draw()
