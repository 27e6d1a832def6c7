"""Frames as a film, one after the other, with times of their own and sound where wanted."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metst_core.checks import whole_number
from metst_core.errors import InputError
from metst_core.files import atomic_path
from metst_core.video.containers import opened, pyav, start_of
from metst_core.video.images import check_frame, opencv


class _Encoder(NamedTuple):
    name: str
    pixels: str
    options: dict[str, str]
    threads: int = 2


_FFV1 = (_Encoder("ffv1", "bgr0", {"level": "3", "slicecrc": "1"}),)
_VP8 = _Encoder("libvpx", "yuv420p", {"deadline": "realtime", "cpu-used": "16", "crf": "8", "b": "8M"}, 1)
_VP9 = _Encoder("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8", "crf": "24", "b": "0"}, 1)
_H264 = _Encoder("libx264", "yuv420p", {"preset": "ultrafast", "crf": "20"})

# Encoders that `write_video` tries per container; FFV1 and PNG give every pixel back unchanged.
_ENCODERS = {
    ".avi": _FFV1,
    ".mkv": _FFV1,
    ".mov": (_Encoder("png", "rgb24", {"compression_level": "1"}),),
    ".mp4": (_H264, _VP9),
    ".webm": (_VP8, _VP9),
}
WRITABLE_SUFFIXES = tuple(_ENCODERS)
LOSSLESS_SUFFIXES = (".avi", ".mkv", ".mov")
# Sound that a browser plays from each container, so that it is worth copying.
_SOUNDS = {".mp4": ("aac", "mp3", "opus", "flac"), ".webm": ("opus", "vorbis")}
_SOUNDS[".mkv"] = (*_SOUNDS[".mp4"], "vorbis")
_TICKS = 90_000  # time stamps a second of a film that is written with times of its own


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float,
    seconds: Sequence[float] | np.ndarray | None = None,
    sound: str | Path | None = None,
    crf: int | None = None,
) -> int:
    """Write RGB `uint8 (H, W, 3)` frames (or grey `(H, W)`) as a video file, atomically; return how many.

    `.avi`, `.mkv` (FFV1) and `.mov` (PNG) are lossless; `.mp4` (H.264, which plays in a browser) and `.webm`
    (VP8) are not, and need an even width and height.  Frames are taken one at a time.  `seconds` are the times
    of the frames where they do not follow from `fps` (not in AVI, which has no time stamps).  `sound` is a film
    on the same clock whose sound is copied as far as the frames reach, if the container and a browser know its
    coding; otherwise the film is silent.  `crf` is the quality of an `.mp4` or `.webm`, 0 (best) to 51 (63 for VP8
    and VP9).
    """
    path = Path(path)
    encoders = _ENCODERS.get(path.suffix.lower())
    if encoders is None:
        raise InputError(f"{path}: cannot write {path.suffix!r}; use one of {', '.join(_ENCODERS)}")
    if not (math.isfinite(fps) and fps > 0):
        raise InputError(f"fps: expected a rate above 0 frames per second, got {fps}")
    if seconds is not None and path.suffix.lower() == ".avi":
        raise InputError(f"{path}: an AVI has no time stamps; use .mkv or .mp4 for a variable rate")
    if crf is not None:
        if encoders[0].pixels != "yuv420p":
            raise InputError(f"crf: {path.suffix} is lossless and has no quality; use .mp4 or .webm")
        encoders = tuple(
            e._replace(options={**e.options, "crf": str(whole_number("crf", crf, 0))}) for e in encoders
        )
    checked = _checked(path, frames, encoders[0].pixels == "yuv420p")
    first = next(checked, None)
    if first is None:
        raise InputError(f"{path}: there are no frames to write")
    with atomic_path(path) as temporary:
        try:
            with _Film(temporary, encoders, first.shape[:2], fps, seconds, sound) as film:
                film.add(first)
                for frame in checked:
                    film.add(frame)
        except UnicodeEncodeError as error:
            raise InputError(
                f"{path}: FFmpeg cannot write into a folder whose name is not UTF-8; rename it"
            ) from error
        except pyav().FFmpegError as error:
            raise InputError(
                f"{path}: the film cannot be written ({error.strerror}); is the disk full?"
            ) from error
    return film.n_frames


class _Film:
    """A film that is being written: a context that takes one frame after the other."""

    def __init__(
        self,
        path: Path,
        encoders: Sequence[_Encoder],
        shape: tuple[int, ...],
        fps: float,
        seconds: Sequence[float] | np.ndarray | None,
        sound: str | Path | None,
    ) -> None:
        av = pyav()
        here = [encoder for encoder in encoders if encoder.name in av.codecs_available]
        if not here:
            raise InputError(f"{path}: this FFmpeg has none of the encoders {[e.name for e in encoders]}")
        self.n_frames = 0
        self._pixels = here[0].pixels
        self._seconds = None if seconds is None else np.asarray(seconds, float)
        if self._seconds is not None and not (np.diff(self._seconds) > 0).all():
            raise InputError("seconds: the times of the frames must increase")
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._open = contextlib.ExitStack()
        # The index goes to the front of an MP4: a browser then plays it while it comes in.
        options = {"movflags": "+faststart"} if path.suffix.lower() == ".mp4" else {}
        self._container = self._open.enter_context(av.open(str(path), "w", container_options=options))
        rate = Fraction(fps).limit_denominator(10**6)
        self._stream: Any = self._container.add_stream(here[0].name, rate=rate, options=here[0].options)
        self._stream.height, self._stream.width = shape
        self._stream.pix_fmt = self._pixels
        self._step = 1 / rate if self._seconds is None else Fraction(1, _TICKS)
        self._stream.codec_context.time_base = self._step
        self._stream.codec_context.thread_count = here[0].threads
        if self._pixels == "yuv420p":
            # BT.601, as OpenCV converts, written into the file: a player need not guess.
            self._stream.codec_context.colorspace = 6
            self._stream.codec_context.color_range = 1
        self._sound: Iterator[tuple[float, Any]] = iter(())
        if sound is not None:
            self._sound = self._sound_of(Path(sound), _SOUNDS.get(path.suffix.lower(), ()))
        self._waiting = next(self._sound, None)

    def __enter__(self) -> _Film:
        return self

    def add(self, frame: np.ndarray) -> None:
        """Encode one frame, after the sound that comes before it."""
        frame = np.ascontiguousarray(
            frame if frame.ndim == 3 else opencv().cvtColor(frame, opencv().COLOR_GRAY2RGB)
        )
        make = pyav().VideoFrame.from_ndarray
        if self._pixels == "yuv420p":  # OpenCV converts in a third of swscale's time
            cv2 = opencv()
            picture = make(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420), format=self._pixels)
        else:
            picture = self._reformatter.reformat(make(frame, format="rgb24"), format=self._pixels, threads=1)
        if self._seconds is None:
            picture.pts = self.n_frames
        elif self.n_frames < len(self._seconds):
            picture.pts = round(self._seconds[self.n_frames] * _TICKS)
        else:
            raise InputError(f"seconds: {len(self._seconds)} times for more frames than that")
        picture.time_base = self._step
        while self._waiting is not None and self._waiting[0] <= picture.pts * self._step:
            self._container.mux(self._waiting[1])
            self._waiting = next(self._sound, None)
        self._container.mux(self._stream.encode(picture))
        self.n_frames += 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._open:
            if kind is None:
                self._container.mux(self._stream.encode(None))
                self._container.close()  # writes the index; an error of the disk is raised here at the latest

    def _sound_of(self, source: Path, codecs: Sequence[str]) -> Iterator[tuple[float, Any]]:
        """Second and packet of the source's sound, for the container that is being written."""
        container = self._open.enter_context(opened(source))
        stream = container.streams.best("audio")
        if (
            stream is None
            or stream.codec_context is None
            or stream.codec_context.name.removesuffix("float") not in codecs
        ):
            return iter(())
        copied = self._container.add_stream_from_template(stream)
        start = start_of(container)
        return _sound_packets(container, stream, copied, start)


def _sound_packets(container: Any, stream: Any, copied: Any, start: float) -> Iterator[tuple[float, Any]]:
    shift = round(start / stream.time_base)
    with contextlib.suppress(pyav().FFmpegError):  # the sound of a damaged film ends where it breaks off
        for packet in container.demux(stream):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copied
            yield float(packet.dts * stream.time_base), packet


def _checked(path: Path, frames: Iterable[np.ndarray], even: bool) -> Iterator[np.ndarray]:
    """The frames, each of them right and of the first one's size."""
    size = None
    for number, frame in enumerate(frames):
        check_frame(frame, number, size)
        size = frame.shape[:2]
        if even and (size[0] % 2 or size[1] % 2):
            raise InputError(f"{path}: {size[1]} x {size[0]} frames: this kind of file needs even sizes")
        yield frame
