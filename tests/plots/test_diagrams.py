"""Diagrams in two inks, and pictures that move."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from metst_core import plots

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("name", plots.DIAGRAMS)
def test_a_diagram_is_drawn_in_both_inks_with_letters_that_can_be_read(name):
    for ink in (plots.LIGHT, plots.DARK):
        figure = plots.DIAGRAMS[name](ink)
        words = [text for ax in figure.axes for text in ax.texts if text.get_text()]
        assert words and {text.get_color() for text in words} <= {ink.line, ink.quiet}
        assert contrast(ink.line, ink.paper) > 7 and contrast(ink.quiet, ink.paper) > 4.5
        for fill in (ink.data, ink.step, ink.state, ink.answer):
            assert contrast(ink.line, fill) > 7


def contrast(a, b):
    """The contrast ratio of WCAG 2."""
    bright = []
    for colour in (a, b):
        channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        bright.append(linear @ [0.2126, 0.7152, 0.0722])
    return (max(bright) + 0.05) / (min(bright) + 0.05)


def test_a_flicker_is_its_frames_in_one_tag():
    frames = [np.full((6, 8), value, np.uint8) for value in (0, 128, 255)]
    tag = plots.flicker(frames, 0.25, 'a "face"')
    assert 'alt="a &quot;face&quot;"' in tag and tag.startswith("<img")
    moving = Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", tag)[1])))
    assert (moving.n_frames, moving.size, moving.info["duration"], moving.info["loop"]) == (3, (8, 6), 250, 0)
