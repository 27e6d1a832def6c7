"""Frames from video files and image folders, and back: RGB, one at a time, in order.

A frame is `uint8 (H, W, 3)`, RGB.  Nothing here holds more than a few frames, whatever the length of the
video.

**The reader and the writer are PyAV** (`av`: FFmpeg's libraries), for every film of the project; OpenCV reads and
writes single images.  Why, from `benchmarks/bench_films.py` and a comparison over 45 films:

* *Pixels* are those of OpenCV's reader to the bit (swscale with the same flags) for motion JPEG, which the synthetic
  sets are, MPEG-4, H.264, H.265, VP8, VP9, FFV1, PNG and raw films of 8 bits, rotated ones too.  They differ where
  OpenCV ignored what the file says: films that name the BT.709 matrix (mean 1 grey level, at most 10), 10 bits (at
  most 5), interlaced chroma.  AV1, which OpenCV's wheel cannot decode, is read.
* *Clock*: each frame has its presentation time; seconds count from where a player begins, so a picture that begins
  after its sound begins later.  Edit lists, pauses and B-frames come out as they are played.
* *Loss*: MP4 and MOV list every frame, and most codecs give a frame for each packet, so what cannot be decoded is
  counted and is an error; a container that is longer than its picture (a longer sound track) is none.
* *Writing*: OpenCV's wheel has no H.264 encoder; its MPEG-4 does not play in a browser and its VP8 takes ten times
  as long.  Here `.mp4` is H.264 (yuv420p, its index first), or VP9 where FFmpeg was built without x264.
* *Odd files*: only formats that hold films are opened (`_FORMATS`): no playlist, address or picture under another
  name.  The file is opened by Python, so any name will do.
* *Licence*: PyAV is BSD, its wheels carry FFmpeg with x264 and x265, which are under the GPL (2 or later).  This
  package does not pass the wheels on; who does (an image, an installer) has to keep to the GPL.  Wheels exist for
  Python 3.11 and later (one stable-ABI wheel for each system).  OpenCV's FFmpeg and PyAV's live side by side; on a
  Mac the loader warns that both have the classes of libavdevice, which nothing here uses.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import re
import struct
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

import numpy as np

from metst_core.checks import as_path
from metst_core.errors import InputError, MissingError
from metst_core.files import atomic_path

if TYPE_CHECKING:
    import av

_Frame = TypeVar("_Frame")

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

# FFmpeg's names of the formats that are opened: films, and nothing that leads on to other files or addresses.
_FORMATS = "mov,avi,matroska,mpegts,mpeg,asf,flv,ogg,gif,mxf,nut,ivf,dv"
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
# Pixels less than this far from square are taken as square: resampling would cost more than it mends.
_SQUARE = 0.01
# Share of the steps between frames that must agree with the rate that a container declares.
_STEADY = 0.9
_ODDEST_PIXEL = 10  # times as wide as high, or the reverse: beyond that the file is not believed


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
LOSSLESS_SUFFIXES = (".avi", ".mkv", ".mov")
# Sound that a browser plays from each container, so that it is worth copying.
_SOUNDS = {".mp4": ("aac", "mp3", "opus", "flac"), ".webm": ("opus", "vorbis")}
_SOUNDS[".mkv"] = (*_SOUNDS[".mp4"], "vorbis")
_TICKS = 90_000  # time stamps a second of a film that is written with times of its own

# A damaged JPEG or PNG still decodes, to a picture that is grey from the damage on; so look for its end mark.
_END_MARKS = {b"\xff\xd8": (b"\xff\xda", b"\xff\xd9"), b"\x89P": (b"IDAT", b"IEND")}

_REENCODE = "re-encode it, for example: ffmpeg -i {name} -an -c:v libx264 -crf 12 fixed.mp4"


class VideoInfo(NamedTuple):
    """Frames per second (NaN for a folder of images), frames that `read_frames` yields, and size."""

    fps: float
    n_frames: int
    size: tuple[int, int]
    """(width, height) in pixels, as a player shows them: turned, and with square pixels."""


def read_frames(path: str | Path, numbers: Sequence[int] | np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yield the frames of a video file or of a folder of images (natural order) as RGB `uint8 (H, W, 3)`.

    numbers: only the frames with these non-decreasing numbers (`select_frames`); the others are not converted.

    Rotation and mirroring are applied as the file says, and pixels that are not square are made so (the longer
    side grows); grey images get three equal channels, 16-bit images are reduced to 8 bits and an alpha channel
    is dropped.  Frames are decoded one at a time.

    Raises `MissingError` if there is no such file, and `InputError` (naming the file or image) if it cannot
    be decoded, is cut short, lost frames, or changes its size on the way.
    """
    path = _existing(path)
    if path.is_dir():
        images = read_images(list_images(path))
        return images if numbers is None else select_frames(images, numbers)
    return _rgb_frames(path, numbers)


def probe(path: str | Path) -> VideoInfo:
    """Return `VideoInfo(fps, n_frames, (width, height))`; it unpacks as three values.

    `n_frames` is exactly how many frames `read_frames` yields.  The count in a container's header can be
    wrong (it is estimated in MKV and WebM, and trimming leaves the old one in MP4), so the video is decoded
    once, without converting colours, and counted; the answer is kept while the file does not change.  `fps`
    is the container's rate if nine in ten steps of the time stamps agree with it (the others are pauses or
    lost pictures), else (variable frame rate) the mean rate of the time stamps.
    """
    path = _existing(path)
    if path.is_dir():
        images = list_images(path)
        height, width = read_image(images[0]).shape[:2]
        return VideoInfo(math.nan, len(images), (width, height))
    scan = _scan_file(path)
    return VideoInfo(scan.fps, len(scan.seconds), scan.size)


def timestamps(path: str | Path) -> np.ndarray:
    """Time of every frame of a video file in seconds, `(n_frames,)`, strictly increasing, on a player's clock.

    0 is where playing begins; the first frame comes later where the sound begins before the picture.
    """
    return _scan_file(_existing(path)).seconds.copy()


def resample_map(seconds: Sequence[float] | np.ndarray, fps: float) -> np.ndarray:
    """Frame numbers that turn frames at times `seconds` `(T,)` into a constant rate of `fps`.

    Output frame `i` stands for the time `seconds[0] + i / fps` and shows the source frame nearest to it (the
    earlier one of two equally near): `map[i]` is that frame's number, so `map` also leads numbers back to the
    source.  The last one is not later than the last source frame.  It is non-decreasing; frames are repeated
    where the source is slower and left out where it is faster.
    """
    times = np.asarray(seconds, dtype=float)
    if times.ndim != 1 or len(times) == 0:
        raise InputError(f"seconds: expected a 1-D array with at least one time, got shape {times.shape}")
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise InputError("seconds: the times must be finite and strictly increasing")
    if not (math.isfinite(fps) and fps > 0):
        raise InputError(f"fps: expected a rate above 0 frames per second, got {fps}")
    rounding = 1e-6 / fps
    n_out = math.floor((times[-1] - times[0] + rounding) * fps) + 1
    wanted = times[0] + np.arange(n_out) / fps
    middles = (times[1:] + times[:-1]) / 2
    return np.searchsorted(middles, wanted - rounding, side="left").astype(np.int64)


def resampled_numbers(
    seconds: Sequence[float] | np.ndarray, fps: float, frames: Sequence[int] | np.ndarray
) -> np.ndarray:
    """The frames of `resample_map(seconds, fps)` nearest in time to the source frames with these numbers.

    Keeps their order.  A number beyond the last source frame stays as far beyond the last resampled frame.
    """
    times, numbers = np.asarray(seconds, dtype=float), np.asarray(frames, dtype=np.int64)
    last, n_out = len(times) - 1, len(resample_map(times, fps))
    nearest = np.rint((times[np.clip(numbers, 0, last)] - times[0]) * fps).astype(np.int64)
    return np.minimum(nearest, n_out - 1) + np.maximum(numbers - last, 0)


def nearest_in_map(frame_map: Sequence[int] | np.ndarray, frames: Sequence[int] | np.ndarray) -> np.ndarray:
    """For each source frame number, the first output frame of a `resample_map` that shows it or one near it.

    `resampled_numbers` goes by time instead: for marks on the time line it is the better one.
    """
    shown, numbers = np.asarray(frame_map), np.asarray(frames)
    right = np.clip(np.searchsorted(shown, numbers), 0, len(shown) - 1)
    left = np.searchsorted(shown, shown[np.maximum(right - 1, 0)])
    return np.where(np.abs(shown[left] - numbers) <= np.abs(shown[right] - numbers), left, right)


def select_frames(frames: Iterable[_Frame], numbers: Sequence[int] | np.ndarray) -> Iterator[_Frame]:
    """Yield the frames with these non-decreasing `numbers`, holding one at a time (numbers may repeat)."""
    source = enumerate(frames)
    position, frame = -1, None
    for number in numbers:
        while position < number:
            try:
                position, frame = next(source)
            except StopIteration:
                raise InputError(
                    f"frame {number} was asked for, but the video has only {position + 1} frames"
                ) from None
        if position != number or frame is None:
            raise InputError(f"frame numbers must not decrease: {number} was asked for after {position}")
        yield frame


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts `img2` before `img10`: runs of digits count as numbers."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(p), p) if p.isdigit() else (1, 0, p) for p in parts if p] + [(2, 0, name)]


def list_images(folder: str | Path) -> list[Path]:
    """The images of a folder in natural order; hidden files and other files are left out."""
    folder = _existing(folder)
    images = [
        p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.name[0] != "." and p.is_file()
    ]
    if not images:
        raise InputError(f"{folder}: no images in this folder (looked for {', '.join(IMAGE_SUFFIXES)})")
    return sorted(images, key=lambda p: natural_key(p.name))


def read_image(path: str | Path) -> np.ndarray:
    """One image file as RGB `uint8 (H, W, 3)`, under the same rules as `read_frames`."""
    path = _existing(path)
    data = path.read_bytes()  # not cv2.imread: it cannot open every file name on every system
    if not data:
        raise InputError(f"{path}: the image file is empty (0 bytes); copy it again from its source")
    cv2 = _opencv()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    body, end = _END_MARKS.get(data[:2], (b"", b""))
    if image is None or (end and data.rfind(end) < data.rfind(body)):
        raise InputError(f"{path}: the image is broken or cut short; copy it again from its source")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_images(paths: Iterable[Path]) -> Iterator[np.ndarray]:
    """Yield image files as frames, all of the first one's size; a path repeated in a row is read once."""
    last: Path | None = None
    frame = np.empty((0, 0, 3), np.uint8)
    for path in paths:
        if path != last:
            size = frame.shape
            frame = read_image(path)
            if last is not None and frame.shape != size:
                raise InputError(
                    f"{path}: the image is {frame.shape[1]} x {frame.shape[0]}, those before it are "
                    f"{size[1]} x {size[0]}; a video has one size, so remove or resize it"
                )
            last = path
        yield frame


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float,
    seconds: Sequence[float] | np.ndarray | None = None,
    sound: str | Path | None = None,
) -> int:
    """Write RGB `uint8 (H, W, 3)` frames (or grey `(H, W)`) as a video file, atomically; return how many.

    `.avi`, `.mkv` (FFV1) and `.mov` (PNG) are lossless; `.mp4` (H.264, which plays in a browser) and `.webm`
    (VP8) are not, and need an even width and height.  Frames are taken one at a time.  `seconds` are the times
    of the frames where they do not follow from `fps` (not in AVI, which has no time stamps).  `sound` is a film
    on the same clock whose sound is copied as far as the frames reach, if the container and a browser know its
    coding; otherwise the film is silent.
    """
    path = Path(path)
    encoders = _ENCODERS.get(path.suffix.lower())
    if encoders is None:
        raise InputError(f"{path}: cannot write {path.suffix!r}; use one of {', '.join(_ENCODERS)}")
    if not (math.isfinite(fps) and fps > 0):
        raise InputError(f"fps: expected a rate above 0 frames per second, got {fps}")
    if seconds is not None and path.suffix.lower() == ".avi":
        raise InputError(f"{path}: an AVI has no time stamps; use .mkv or .mp4 for a variable rate")
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
        except _av().FFmpegError as error:
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
        av = _av()
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
            frame if frame.ndim == 3 else _opencv().cvtColor(frame, _opencv().COLOR_GRAY2RGB)
        )
        make = _av().VideoFrame.from_ndarray
        if self._pixels == "yuv420p":  # OpenCV converts in a third of swscale's time
            cv2 = _opencv()
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
        container = self._open.enter_context(_opened(source))
        stream = container.streams.best("audio")
        if stream is None or stream.codec_context.name.removesuffix("float") not in codecs:
            return iter(())
        copied = self._container.add_stream_from_template(stream)
        start = _start_of(container)
        return _sound_packets(container, stream, copied, start)


def _sound_packets(container: Any, stream: Any, copied: Any, start: float) -> Iterator[tuple[float, Any]]:
    shift = round(start / stream.time_base)
    with contextlib.suppress(_av().FFmpegError):  # the sound of a damaged film ends where it breaks off
        for packet in container.demux(stream):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copied
            yield float(packet.dts * stream.time_base), packet


def _checked(path: Path, frames: Iterable[np.ndarray], even: bool) -> Iterator[np.ndarray]:
    """The frames, each of them right and of the first one's size."""
    size = None
    for number, frame in enumerate(frames):
        _check_frame(frame, number, size)
        size = frame.shape[:2]
        if even and (size[0] % 2 or size[1] % 2):
            raise InputError(f"{path}: {size[1]} x {size[0]} frames: this kind of file needs even sizes")
        yield frame


def write_images(folder: str | Path, frames: Iterable[np.ndarray]) -> int:
    """Write frames as `000000.png`, `000001.png` ... into a new folder, or none at all; return how many."""
    cv2, folder = _opencv(), Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    count, size = 0, None
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as name:
        temporary = Path(name) / "images"
        temporary.mkdir()
        for count, frame in enumerate(frames, start=1):
            _check_frame(frame, count - 1, size)
            size = frame.shape[:2]
            code = cv2.COLOR_GRAY2BGR if frame.ndim == 2 else cv2.COLOR_RGB2BGR
            data = cv2.imencode(".png", cv2.cvtColor(frame, code))[1]
            (temporary / f"{count - 1:06d}.png").write_bytes(data.tobytes())
        if not count:
            raise InputError(f"{folder}: there are no frames to write")
        try:
            temporary.rename(folder)
        except OSError as error:
            raise InputError(f"{folder}: is already there; remove it or choose another name") from error
    return count


def _check_frame(frame: np.ndarray, number: int, size: tuple[int, ...] | None) -> None:
    if frame.dtype != np.uint8 or not (frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 3)):
        raise InputError(
            f"frame {number}: expected uint8 (H, W, 3) RGB or (H, W) grey, got {frame.dtype} {frame.shape}"
        )
    if size is not None and frame.shape[:2] != size:
        raise InputError(f"frame {number} is {frame.shape[:2]}, the first was {size}; a video has one size")


def _existing(path: str | Path) -> Path:
    path = as_path("path", path)
    if not path.exists():
        raise MissingError(f"{path}: no such file or folder; check the path")
    return path


@functools.cache
def _opencv() -> Any:
    """OpenCV, imported late so that `check_machine` can say why it cannot be imported."""
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise MissingError(f"OpenCV cannot be imported ({error}); run `metst check`") from error


@functools.cache
def _av() -> Any:
    """PyAV, imported when a film is read or written and not before."""
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise MissingError(f"PyAV cannot be imported ({error}); install it: pip install av") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    """A film's container; it and its file are closed in the end."""
    try:
        stream = path.open("rb")
    except PermissionError as error:
        raise InputError(f"{path}: the file may not be read; change its permissions") from error
    except OSError as error:
        raise InputError(f"{path}: the file cannot be opened ({error.strerror}); check the path") from error
    with stream:
        stream.seek(0, 2)
        if stream.tell() == 0:
            raise InputError(f"{path}: the file is empty (0 bytes); copy it again from its source")
        missing = _missing_bytes(stream)
        if missing:
            raise InputError(
                f"{path}: the file is cut short, {missing} bytes are missing; copy it again from its source"
            )
        stream.seek(0)
        try:
            container = _av().open(
                stream, buffer_size=1 << 18, container_options={"format_whitelist": _FORMATS}
            )
        except (_av().FFmpegError, UnicodeError) as error:
            raise InputError(_unreadable(path)) from error
        with container:
            yield container


def _unreadable(path: Path) -> str:
    return (
        f"{path}: no video stream can be opened (broken or cut short, audio only, or not a video); play it, or "
        f"{_REENCODE.format(name=path.name)}"
    )


def _picture_stream(path: Path, container: av.container.InputContainer) -> Any:
    """The stream that a player shows: no cover picture."""
    cover = _av().stream.Disposition.attached_pic
    best = container.streams.best("video")
    for stream in ([best] if best else []) + list(container.streams.video):
        if not stream.disposition & cover:
            return stream
    raise InputError(_unreadable(path))


def _start_of(container: av.container.InputContainer) -> float:
    """The second of the file's own time stamps at which a player begins."""
    start = (container.start_time or 0) / _av().time_base
    return max(0.0, start)  # sound may begin before 0, with what only fills the decoder


class _Reading:
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
        av = _av()
        with _opened(self.path) as container:
            stream = _picture_stream(self.path, container)
            stream.codec_context.options = options
            stream.thread_type, stream.thread_count = "AUTO", threads
            self.rates = [float(r) for r in (stream.average_rate, stream.guessed_rate) if r]
            self.tick = float(stream.time_base)
            self.pixel = Fraction(stream.sample_aspect_ratio or 1)
            start = _start_of(container)
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
                    elif shape != (frame.width, frame.height):
                        raise InputError(
                            f"{self.path}: the frame size changes on the way; "
                            + _REENCODE.format(name=self.path.name)
                        )
                    loss.saw(frame)
                    self.seconds.append(math.nan if frame.pts is None else frame.pts * self.tick - start)
                    yield frame
            try:
                loss.check(self.path, start)
            except InputError:
                if threads > 1:  # several threads drop a damaged frame's neighbours too: count again
                    for _ in _Reading(self.path).pictures(threads=1):
                        pass
                raise


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
            except _av().FFmpegError:  # an MP4 whose index leads beyond the end of the file
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
        remedy = _REENCODE.format(name=path.name)
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


def _rgb_frames(path: Path, numbers: Sequence[int] | np.ndarray | None) -> Iterator[np.ndarray]:
    reading = _Reading(path)
    pictures = reading.pictures() if numbers is None else select_frames(reading.pictures(), numbers)
    reformatter = _av().video.reformatter.VideoReformatter()
    matrix: Any = None
    last: av.VideoFrame | None = None
    image = np.empty((0, 0, 3), np.uint8)
    for frame in pictures:
        if frame is last:  # asked for once more
            yield image
            continue
        if matrix is None:
            matrix = _display_matrix(frame)
        width, height = _square_size(frame, reading.pixel)
        picture = reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation="BICUBIC", threads=1
        )
        plane = picture.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)
        image = _turned(rows[:, : width * 3].reshape(height, width, 3), matrix)
        # The decoder may still need a picture that it gave as RGB.
        image = image.copy() if picture is frame else np.ascontiguousarray(image)
        last = frame
        yield image


def _square_size(frame: av.VideoFrame, pixel: Fraction) -> tuple[int, int]:
    """Width and height of a frame with square pixels: the side that is too short grows, as in a browser."""
    ratio = float(pixel)
    if abs(ratio - 1) < _SQUARE or not 1 / _ODDEST_PIXEL <= ratio <= _ODDEST_PIXEL:
        return frame.width, frame.height
    return round(frame.width * max(1.0, ratio)), round(frame.height * max(1.0, 1 / ratio))


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """`a, b, c, d` of the matrix that leads from stored to shown: x' = a x + c y, y' = b x + d y (y downwards)."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None or len(bytes(data)) != 36:
        return 1, 0, 0, 1
    numbers = struct.unpack("=9i", bytes(data))
    return numbers[0], numbers[1], numbers[3], numbers[4]


def _turned(image: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """The image turned and mirrored by quarters, as the matrix is nearest to."""
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.swapaxes(0, 1), c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


class _Scan(NamedTuple):
    seconds: np.ndarray
    fps: float
    size: tuple[int, int]


def _scan_file(path: Path) -> _Scan:
    if path.is_dir():
        raise InputError(f"{path}: a folder of images has no time stamps; give its frame rate")
    stat = path.stat()
    return _scan(path.resolve(), stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=4096)
def _scan(path: Path, _modified: int, _bytes: int) -> _Scan:
    """Decode a file once, keeping no picture; the last two arguments tell a changed file from a known one."""
    reading = _Reading(path)
    size = (0, 0)
    # What only smooths the picture is left out; what can fail is not.
    for frame in reading.pictures(skip_loop_filter="all"):
        if size == (0, 0):
            width, height = _square_size(frame, reading.pixel)
            height, width = _turned(np.empty((height, width)), _display_matrix(frame)).shape
            size = (width, height)
    seconds = np.array(reading.seconds)
    if abs(seconds[0]) < reading.tick:  # the container tells its start in microseconds
        seconds -= seconds[0]
    steps = np.diff(seconds)
    plausible = [rate for rate in reading.rates if math.isfinite(rate) and 0 < rate <= 10_000]
    if len(steps) and (steps > 0).all():
        for rate in plausible:
            agree = np.abs(steps - 1 / rate) <= max(0.01 / rate, 1.5 * reading.tick)
            if agree.mean() >= _STEADY:
                return _Scan(seconds, rate, size)
        return _Scan(seconds, float(len(steps) / (seconds[-1] - seconds[0])), size)
    if not plausible:
        raise InputError(f"{path}: the file tells no frame rate; " + _REENCODE.format(name=path.name))
    first = seconds[0] if math.isfinite(seconds[0]) else 0.0
    return _Scan(first + np.arange(len(seconds)) / plausible[0], plausible[0], size)


def _missing_bytes(stream: BinaryIO) -> int:
    """How many bytes an AVI or Matroska announces beyond the end of its file (0: whole, or it does not tell).

    FFmpeg reads these two up to where they are cut and says nothing; it notices the same in other containers.
    """
    total = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(8)
    end = 0
    if head[:4] == b"RIFF":
        end = 8 + int.from_bytes(head[4:8], "little")
    elif head[:4] == b"\x1aE\xdf\xa3":
        end = _matroska_end(stream)
    return max(0, end - total)


def _matroska_end(stream: BinaryIO) -> int:
    def number(keep_marker: bool) -> tuple[int, int]:
        first = stream.read(1)
        if not first or first == b"\0":
            return 0, 0
        length = 9 - first[0].bit_length()
        raw = first + stream.read(length - 1)
        value = int.from_bytes(raw, "big")
        return (value if keep_marker else value & ((1 << 7 * length) - 1)), length

    stream.seek(4)
    header, _ = number(False)
    if header > 4096:  # it has some 40 bytes
        return 0
    stream.seek(header, 1)
    element, _ = number(True)
    size, length = number(False)
    unknown = size == (1 << 7 * length) - 1
    return 0 if element != 0x18538067 or unknown or not length else stream.tell() + size
