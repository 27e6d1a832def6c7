"""Pictures that move, without a kernel and without a script."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np


def flicker(
    frames: Sequence[np.ndarray], seconds: float = 0.5, alt: str = "", width: int | None = None
) -> str:
    """An `<img>` tag that shows `frames` (H, W) or (H, W, 3) uint8 one after another, without end.

    It is a GIF inside the page, so it moves wherever HTML is shown: in a notebook, in its executed page, in the book.
    """
    from PIL import Image

    pictures = [Image.fromarray(np.ascontiguousarray(frame)).convert("P") for frame in frames]
    page = io.BytesIO()
    pictures[0].save(
        page, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 * seconds), loop=0
    )
    code = base64.b64encode(page.getvalue()).decode()
    size = "" if width is None else f' width="{int(width)}"'
    return f'<img alt="{html.escape(alt, quote=True)}"{size} style="max-width:100%" src="data:image/gif;base64,{code}">'
