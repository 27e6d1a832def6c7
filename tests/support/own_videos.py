"""Small videos with a known movement, a landmarker that needs no face, and a network that needs no training."""

import cv2
import numpy as np
import torch

from metst_core.inference import TrainedModel
from metst_core.models import METST
from metst_core.pipeline import analyse
from metst_core.rois import roi_names
from metst_core.video import write_video

SIZE = 160
# The 68 points of a frontal face in a SIZE x SIZE picture: rounded from MediaPipe's on a portrait.
POINTS = np.zeros((68, 2))
POINTS[0:17] = np.stack([np.linspace(35, 125, 17), 90 + 40 * np.sin(np.linspace(0, np.pi, 17))], axis=1)
POINTS[17:22] = [(48, 60), (53, 57), (58, 56), (63, 57), (68, 59)]
POINTS[22:27] = [(92, 59), (97, 57), (102, 56), (107, 57), (112, 60)]
POINTS[27:31] = [(80, 70), (80, 77), (80, 84), (80, 91)]
POINTS[31:36] = [(72, 96), (76, 98), (80, 99), (84, 98), (88, 96)]
POINTS[36:42] = [(51, 70), (56, 67), (61, 67), (66, 71), (61, 73), (56, 73)]
POINTS[42:48] = [(94, 71), (99, 67), (104, 67), (109, 70), (104, 73), (99, 73)]
POINTS[48:60] = [(66, 112), (71, 109), (76, 108), (80, 109), (84, 108), (89, 109), (94, 112), (89, 116), (84, 118),
                 (80, 119), (76, 118), (71, 116)]  # fmt: skip
POINTS[60:68] = [(69, 112), (76, 111), (80, 112), (84, 111), (91, 112), (84, 114), (80, 114), (76, 114)]


def landmarker(image):
    """The points above, on a whole frame as on its crop."""
    if image.shape[0] == 320:  # the crop: rows cy - 3.5 g .., columns cx - 4.5 g .. with g = 14
        return (POINTS - (80 - 63, 71 - 49)) * (320 / 126)
    return POINTS * (image.shape[1] / SIZE)


landmarker.identity = "made-up"


def picture(seed=0):
    """A grey texture that optical flow can follow, (SIZE, SIZE)."""
    noise = np.random.default_rng(seed).normal(size=(SIZE, SIZE)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def mouth_at(seconds, apexes, still):
    """The picture with the mouth pulled down by up to 2 pixels, for 0.4 s around each apex, (SIZE, SIZE, 3)."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    weight = np.exp(-(((x - 80) / 26) ** 2 + ((y - 112) / 14) ** 2)).astype(np.float32)
    pull = sum(
        max(0.0, np.cos(np.pi * (seconds - apex) / 0.4)) if abs(seconds - apex) < 0.2 else 0.0
        for apex in apexes
    )
    return cv2.cvtColor(
        cv2.remap(still, x, y - 2 * float(pull) * weight, cv2.INTER_LINEAR), cv2.COLOR_GRAY2RGB
    )


def write_clip(path, seconds=3.0, fps=30.0, apexes=(1.6,), times=None):
    """A video whose mouth moves at `apexes`; returns its path."""
    still = picture()
    times = np.arange(round(seconds * fps)) / fps if times is None else times
    write_video(path, (mouth_at(t, apexes, still) for t in times), fps)
    return path


class MouthNetwork(METST):
    """Says how much the mouth is pulled down, so that what comes out is known; every frame is a surprise."""

    def forward(self, x):
        pull = x[:, 2 * roi_names("metst").index("mouth") + 1]
        logits = torch.zeros(*pull.shape, 5)
        logits[..., 2] = 5.0
        return torch.clamp(pull / 4.0, 0, 1), logits


def mouth_model(**constants):
    """The network above; its score is the mouth's motion, 4 pixels of the crop or more being 1."""
    constants = {"features": "metst", "k_p": 5, "threshold": 0.2, "name": "mouth", "phases": 1, **constants}
    return TrainedModel(MouthNetwork(width=2, depth=1, d_state=2), **constants)


def analysed(path, model=None, landmarker=landmarker, **options):
    """`analyse` with the network and landmarker above, or with others."""
    return analyse(path, model or mouth_model(), landmarker, progress=False, **options)
