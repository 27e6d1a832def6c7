"""One pass over the pictures of a film, and what is lost on the way."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metst_core.checks import MOST_FRAMES, MOST_PIXELS
from metst_core.errors import InputError
from metst_core.video.containers import REENCODE, opened, picture_stream, pyav, start_of

if TYPE_CHECKING:
    import av

# Codecs whose every packet is one picture (VP8 hides some and MPEG-4 skips some, without a loss).
_PICTURE_PER_PACKET = (
    "h264",
    "hevc",
    "mjpeg",
    "ffv1",
    "png",
    "prores",
    "dvvideo",
    "rawvideo",
    "libdav1d",
    "vp9",
)
# Two threads decode: more gain little on films of faces, and every worker of a pool has its own.
_DECODING_THREADS = 2
# Seconds that a last picture may stay beyond what its packet says, before a Matroska counts as broken off.
_LAST_PICTURE = 0.5


class Reading:
    """One pass over the pictures of a film; what was learnt on the way stays when it has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: list[float] = []
        """Time of each picture given so far; NaN where the file tells none."""
        self.rates: list[float] = []
        """Frames per second that the container declares."""
        self.tick = 0.0
        """Seconds that the time stamps are rounded to."""
        self.pixel = Fraction(1)
        """Width of a pixel divided by its height."""

    def pictures(self, threads: int = _DECODING_THREADS, **options: str) -> Iterator[av.VideoFrame]:
        """Decode the film, with these options for the codec.  Raises `InputError` in the end if frames are lost."""
        av = pyav()
        with opened(self.path) as container:
            stream = picture_stream(self.path, container)
            stream.codec_context.options = options
            stream.thread_type, stream.thread_count = "AUTO", threads
            self.rates = [float(r) for r in (stream.average_rate, stream.guessed_rate) if r]
            self.tick = float(stream.time_base)
            self.pixel = Fraction(stream.sample_aspect_ratio or 1)
            self._check_size(stream.width, stream.height)
            start = start_of(container)
            loss = _Loss(stream)
            shape: tuple[int, int] | None = None
            for packet in loss.packets(container):
                try:
                    frames = stream.decode(packet)
                except av.FFmpegError:
                    loss.errors += bool(self.seconds)
                    continue
                for frame in frames:
                    if shape is None:
                        shape = (frame.width, frame.height)
                        self._check_size(*shape)
                    elif shape != (frame.width, frame.height):
                        raise InputError(
                            f"{self.path}: the frame size changes on the way; "
                            + REENCODE.format(name=self.path.name)
                        )
                    loss.saw(frame)
                    if len(self.seconds) >= MOST_FRAMES:
                        raise InputError(
                            f"{self.path}: has more than {MOST_FRAMES:,} frames; cut it into parts"
                        )
                    self.seconds.append(math.nan if frame.pts is None else frame.pts * self.tick - start)
                    yield frame
            try:
                loss.check(self.path, start)
            except InputError:
                if threads > 1:  # several threads drop a damaged frame's neighbours too: count again
                    for _ in Reading(self.path).pictures(threads=1):
                        pass
                raise

    def _check_size(self, width: int, height: int) -> None:
        if width * height > MOST_PIXELS:
            raise InputError(
                f"{self.path}: its frames are {width} x {height}, more than the {MOST_PIXELS:,} pixels that are read; "
                "make it smaller"
            )


class _Loss:
    """Counts the pictures that a stream announces and those that come out."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._announced: list[int | None] = []  # time stamps of packets that are to be shown
        self._shown: list[int | None] = []
        self._end = 0.0  # of the last picture, in the file's own seconds
        self._n_read = 0
        self._fields = False
        self.errors = 0

    def packets(self, container: av.container.InputContainer) -> Iterator[av.Packet | None]:
        """The stream's packets, and None for what the decoder still holds."""
        source = container.demux(self._stream)
        while True:
            try:
                packet = next(source, None)
            except pyav().FFmpegError:  # an MP4 whose index leads beyond the end of the file
                break
            if packet is None:
                break
            if not packet.size:  # nothing new is shown; a decoder would take it for the end
                continue
            self._n_read += 1
            if not packet.is_discard and (self._announced or packet.is_keyframe):
                self._announced.append(packet.pts)
            yield packet
        yield None

    def saw(self, frame: av.VideoFrame) -> None:
        self._shown.append(frame.pts)
        if frame.pts is not None:
            self._end = float((frame.pts + (frame.duration or 0)) * self._stream.time_base)
        self._fields = self._fields or frame.interlaced_frame

    def check(self, path: Path, start: float) -> None:
        """Raise `InputError` if something is lost.

        What comes before the first picture that can be decoded is not shown by a player either: a film may be
        cut out of a longer one.
        """
        remedy = REENCODE.format(name=path.name)
        if not self._shown:
            raise InputError(f"{path}: no frame can be decoded; {remedy}")
        first = self._shown[0]
        announced = [p for p in self._announced if p is None or first is None or p >= first]
        lost = self.errors
        if self._stream.codec_context.name in _PICTURE_PER_PACKET and not self._fields:
            lost = max(0, len(announced) - len(self._shown))
        if self._stream.container.format.name.startswith(("mov", "avi")):  # an index has every frame
            listed = sum(entry.size > 0 for entry in self._stream.index_entries)
            lost += max(0, listed - self._n_read)
        if lost:
            shown = set(self._shown)
            gone = [p for p in announced if p is not None and p not in shown]
            since = (
                f", the first at {float(min(gone) * self._stream.time_base) - start:.1f} seconds"
                if gone
                else ""
            )
            raise InputError(
                f"{path}: {lost} of {lost + len(self._shown)} frames cannot be decoded{since}: the file is damaged "
                f"or cut short; copy it again from its source, or to go on with what is left {remedy}"
            )
        announced_end = _seconds_of(
            self._stream.metadata.get("DURATION", "")
        )  # in Matroska, of this stream alone
        if self._end and announced_end > self._end + _LAST_PICTURE:
            raise InputError(
                f"{path}: decoding stops after {self._end - start:.1f} of {announced_end - start:.1f} seconds: the "
                f"file is damaged; copy it again from its source, or to go on with what is left {remedy}"
            )


def _seconds_of(tag: str) -> float:
    """Seconds of a Matroska tag as `00:01:02.500000000`; 0 for anything else."""
    found = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", tag)
    return (
        sum(float(part) * 60**power for part, power in zip(found.groups(), (2, 1, 0), strict=True))
        if found
        else 0.0
    )
