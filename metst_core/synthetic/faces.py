"""The faces that films are made of, heads and portraits alike: channels and a pose in, a picture out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from metst_core.errors import InputError
from metst_core.synthetic.action_units import UNIT_INDEX, UNIT_NAMES, grid_points
from metst_core.synthetic.backdrop import Backdrop
from metst_core.synthetic.cast import look_of
from metst_core.synthetic.channels import CHANNELS
from metst_core.synthetic.expressions import BLINK_STRENGTH
from metst_core.synthetic.films import FilmPlan
from metst_core.synthetic.heads import FRAME_SIZE, Head
from metst_core.synthetic.plan import HEAD_NAMES
from metst_core.synthetic.portraits import face_mesh, head_weight, identity
from metst_core.synthetic.render import Renderer

_TO_THE_FACE = {"yaw": 1.16, "pitch": 1.16, "roll": 1.4}
"""From the top of a head's neck, about which it turns, to the middle of the face, inter-ocular distances."""
_PARALLAX = 0.3
"""The same of a portrait, of which a turn moves the near parts against the far ones."""

_DARKEST = 0.3
"""How far a portrait's tone may change: beyond, a photograph looks painted."""

_CLOSED_MOUTH = {"AU25": 0.5, "AU26": 0.5}
"""Of a portrait, behind whose lips there is nothing: what it shows of these, for speech would stretch the lips."""

_BLINKS = [UNIT_INDEX["AU45L"], UNIT_INDEX["AU45R"]]


class Face(Protocol):
    """Somebody who can be filmed.

    `iod` is the distance of the outer eye corners and `mesh (478, 2)` the landmarks of the face at rest, frame
    pixels; `presence (320, 320)` is 1 where the person is, 0 in the background, soft between.
    """

    iod: float
    mesh: np.ndarray
    presence: np.ndarray

    def shown(self, channels: np.ndarray) -> np.ndarray:
        """What of `channels (..., C)`, as `channels.CHANNELS`, this face shows; the same shape."""

    def ways(self, head: np.ndarray) -> np.ndarray:
        """How far the poses `head (T, 6)` move the middle of the face: (T, 2), frame pixels."""

    def frame(self, channels: np.ndarray, head: np.ndarray, backdrop: Backdrop, second: float) -> np.ndarray:
        """The picture: RGB uint8 (320, 320, 3), of `channels (C,)` as `shown` and the pose `head (6,)`."""


class HeadFace:
    """A three-dimensional head.  Its lids meet at a strength of their own: a full blink shuts them."""

    def __init__(self, index: int) -> None:
        self._head = Head(index)
        self._wall = self._head.background
        self.iod = self._head.iod
        neutral = self._head.render()
        mesh = face_mesh(neutral)
        if mesh is None:
            raise InputError(f"head {index}: the landmarker finds no face in it")
        self.mesh = mesh[:, :2]
        covered = (neutral != self._wall).any(axis=2).astype(np.float32)
        self.presence = cv2.GaussianBlur(cv2.dilate(covered, np.ones((5, 5), np.uint8)), (0, 0), 4)

    def shown(self, channels: np.ndarray) -> np.ndarray:
        """Blinks scaled to this face's lids, and no further than shut."""
        shown = channels.copy()
        closure = self._head.closure
        shown[..., _BLINKS] = np.minimum(shown[..., _BLINKS] * (closure / BLINK_STRENGTH[0]), closure)
        return shown

    def ways(self, head: np.ndarray) -> np.ndarray:
        """By shift and turn."""
        pose = dict(zip(HEAD_NAMES, np.asarray(head, float).T, strict=True))
        turned = {name: np.deg2rad(pose[name]) * about for name, about in _TO_THE_FACE.items()}
        x = pose["shift_x"] + turned["yaw"] + turned["roll"]
        return self.iod * np.column_stack([x, pose["shift_y"] + turned["pitch"]])

    def frame(self, channels: np.ndarray, head: np.ndarray, backdrop: Backdrop, second: float) -> np.ndarray:
        """Before the wall as it is then."""
        self._head.background = backdrop.at(second, self._wall)
        return self._head.render(channels, pose=head)


class PortraitFace:
    """A photograph, warped as in version 1; it knows the action units alone, and blinks as it did there."""

    def __init__(self, seed: int, index: int, portrait: str) -> None:
        person = identity(seed, index, (portrait,), _DARKEST)
        self._renderer = Renderer(person)
        self.iod = person.iod
        self.mesh = person.mesh[:, :2]
        self.presence = head_weight(*grid_points(FRAME_SIZE, FRAME_SIZE, 1), person.mesh)

    def shown(self, channels: np.ndarray) -> np.ndarray:
        """The action units and the gaze; half of the opening of the mouth."""
        shown = channels.copy()
        shown[..., len(UNIT_NAMES) :] = 0
        for name, share in _CLOSED_MOUTH.items():
            shown[..., UNIT_INDEX[name]] *= share
        return shown

    def ways(self, head: np.ndarray) -> np.ndarray:
        """By shift; a turn is parallax alone."""
        pose = dict(zip(HEAD_NAMES, np.asarray(head, float).T, strict=True))
        x = pose["shift_x"] + _PARALLAX * np.deg2rad(pose["yaw"])
        return self.iod * np.column_stack([x, pose["shift_y"] + _PARALLAX * np.deg2rad(pose["pitch"])])

    def frame(self, channels: np.ndarray, head: np.ndarray, backdrop: Backdrop, second: float) -> np.ndarray:
        """What lies around the head moves with the backdrop."""
        picture = np.ascontiguousarray(self._renderer.frame(channels[: len(UNIT_NAMES)], head)[..., ::-1])
        if backdrop.moves:
            behind = backdrop.at(second, picture)
            picture = cv2.blendLinear(picture, behind, self.presence, 1 - self.presence)
        return picture


def face_of(seed: int, index: int, portraits: Sequence[str] = ()) -> Face:
    """The face of person `index` (`cast.look_of`).  Built in about a second."""
    look = look_of(index, portraits)
    if look.head >= 0:
        return HeadFace(look.head)
    return PortraitFace(seed, index, look.portrait)


def rest_of(plan: FilmPlan) -> np.ndarray:
    """The channels of the person's resting face: (C,)."""
    held = np.zeros(len(CHANNELS), np.float32)
    for name, strength in plan.person.rest.items():
        held[UNIT_INDEX[name]] = strength
    return held


def channels_of(intensity: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """`intensity (T, U)` of a plan and its `mouth (T, M)` as `channels.CHANNELS`: (T, C)."""
    made = np.concatenate([intensity, mouth], axis=1).astype(np.float32)
    if made.shape[1] != len(CHANNELS):
        raise InputError(f"{made.shape[1]} columns for {len(CHANNELS)} channels")
    return made
