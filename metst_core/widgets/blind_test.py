"""A blind test: clips of a face, in some of which something was planted; by mouse or keyboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pandas as pd
import traitlets

from metst_core.errors import InputError, MetstError
from metst_core.files import ASSETS
from metst_core.footage import BlindClip

try:
    import anywidget
except ImportError as error:
    raise MetstError("the widgets need the package anywidget: pip install 'metst[notebooks]'") from error

_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 97]  # coding must not hide what is to be seen


class BlindTest(anywidget.AnyWidget):
    """Plays clips one after the other and asks of each whether the face moved: J yes, F no, R once more.

    `answers`, a list of bool, grows with every answer; `results` says what they are worth.  Which clips hold a movement is
    not in the page.
    """

    _esm = ASSETS / "blind_test.js"

    answers = traitlets.List(traitlets.Bool()).tag(sync=True)
    n_clips = traitlets.Int().tag(sync=True)
    fps = traitlets.Float().tag(sync=True)

    def __init__(self, clips: Sequence[BlindClip]) -> None:
        if not clips:
            raise InputError("clips is empty; make some with footage.blind_clips")
        self.clips = list(clips)
        super().__init__(n_clips=len(clips), fps=clips[0].fps)
        self.on_msg(self._heard)

    def _heard(self, _widget: Any, message: Mapping[str, Any], _buffers: Any) -> None:
        """Send a clip's pictures when the page asks: they are no part of the state, so saved notebooks stay small."""
        number = message.get("number")
        if message.get("kind") != "clip" or not isinstance(number, int) or not 0 <= number < len(self.clips):
            return
        pictures = [
            cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), _QUALITY)[1].tobytes()
            for frame in self.clips[number].frames
        ]
        self.send({"kind": "clip", "number": number}, pictures)

    def results(self) -> pd.DataFrame:
        """A row for each clip that was answered: columns `strength` (IOD; 0: nothing was planted) and `seen`."""
        answered = self.clips[: len(self.answers)]
        return pd.DataFrame(
            {"strength": [c.strength for c in answered], "seen": np.array(self.answers, bool)}
        )

    def summary(self) -> str:
        """How many of the movements were seen, and how often one was seen where there was none."""
        table = self.results()
        if table.empty:
            return "no clip was answered yet"
        moved = table["strength"] > 0
        return (
            f"{int(table['seen'][moved].sum())} of {int(moved.sum())} movements seen; "
            f"{int(table['seen'][~moved].sum())} of {int((~moved).sum())} clips without one said to move"
        )
