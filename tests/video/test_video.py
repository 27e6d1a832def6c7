"""Frames come out as they went in: order, colour, size and number; and what is broken is said by name."""

import math
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.films import VARIABLE_MS, rotate_metadata, wav

from metst_core.errors import InputError, MetstError, MissingError
from metst_core.synthetic import write_mjpeg
from metst_core.video import (
    LOSSLESS_SUFFIXES,
    WRITABLE_SUFFIXES,
    list_images,
    natural_key,
    nearest_in_map,
    pictures,
    probe,
    read_frames,
    read_image,
    resample_map,
    resampled_numbers,
    select_frames,
    timestamps,
    write_images,
    write_video,
)
from metst_core.video.headers import image_header


@pytest.fixture(scope="module")
def frames():
    """12 smooth RGB frames of 48 x 64: colourful, asymmetric, each one different."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 6, 8, 3), dtype=np.uint8)
    return np.stack([cv2.resize(c, (64, 48)) for c in coarse])


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_video_gives_back_what_was_written(tmp_path, frames, suffix):
    path = tmp_path / "Gesicht é 脸" / f"vidéo 01{suffix}"
    assert write_video(path, iter(frames), 25) == 12
    read = np.stack(list(read_frames(path)))
    assert read.dtype == np.uint8
    assert read.shape == frames.shape
    if suffix in LOSSLESS_SUFFIXES:
        np.testing.assert_array_equal(read, frames)
    else:  # lossy codecs: near enough that swapped colours or a mirrored picture would show
        assert np.abs(read.astype(int) - frames).mean() < 12
    fps, n_frames, size = probe(path)
    assert (fps, n_frames, size) == (pytest.approx(25), 12, (64, 48))
    np.testing.assert_allclose(timestamps(path), np.arange(12) / 25, atol=6e-4)  # MKV rounds to ms


def test_grey_frames_are_written_as_three_equal_channels(tmp_path, frames):
    write_video(tmp_path / "g.avi", frames[..., 0], 30)
    np.testing.assert_array_equal(
        np.stack(list(read_frames(tmp_path / "g.avi"))), np.repeat(frames[..., :1], 3, -1)
    )


def test_images_of_every_depth_become_rgb_bytes(tmp_path):
    rng = np.random.default_rng(1)
    bgr = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    alpha = np.dstack([bgr, np.full((9, 7), 128, np.uint8)])
    deep = rng.integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    expected = {
        "rgb.png": (bgr, bgr),
        "grey.png": (bgr[..., 0], np.repeat(bgr[..., :1], 3, -1)),
        "alpha.png": (alpha, bgr),
        "deep.png": (deep, deep / 257),
        "deep.tif": (deep, deep / 257),
        "grey16.png": (deep[..., 0], np.repeat(deep[..., :1], 3, -1) / 257),
    }
    for name, (stored, seen) in expected.items():
        cv2.imwrite(str(tmp_path / name), stored)
        image = read_image(tmp_path / name)
        assert image.dtype == np.uint8, name
        assert np.abs(image[..., ::-1] - np.asarray(seen, float)).max() <= 1, name  # 1: rounding of 16 bits


def test_image_folder_is_read_in_natural_order_and_other_files_are_left_out(tmp_path, frames):
    for number in (10, 9, 100, 1, 2):
        cv2.imwrite(str(tmp_path / f"img{number}.PNG"), frames[number % 12][..., ::-1])
    (tmp_path / "._img3.png").write_bytes(b"resource fork")
    (tmp_path / "notes.txt").write_text("not an image")
    assert [p.stem for p in list_images(tmp_path)] == ["img1", "img2", "img9", "img10", "img100"]
    np.testing.assert_array_equal(np.stack(list(read_frames(tmp_path))), frames[[1, 2, 9, 10, 4]])
    fps, n_frames, size = probe(tmp_path)
    assert math.isnan(fps)
    assert (n_frames, size) == (5, (64, 48))


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "img_"]), st.integers(0, 10**6)), min_size=2, max_size=9)
)
def test_natural_order_sorts_numbers_as_numbers(parts):
    names = [f"{word}{number}x" for word, number in parts]
    assert sorted(names, key=natural_key) == [f"{w}{n}x" for w, n in sorted(parts)]


def test_write_images_is_lossless_for_any_size_and_whole_or_not_there(tmp_path, frames):
    odd = frames[:, :47, :63]
    assert write_images(tmp_path / "a", odd) == 12
    np.testing.assert_array_equal(np.stack(list(read_frames(tmp_path / "a"))), odd)

    def stops():
        yield odd[0]
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        write_images(tmp_path / "b", stops())
    with pytest.raises(RuntimeError):
        write_video(tmp_path / "b.avi", (f[:46, :62] for f in stops()), 30)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda f: write_video("x.gif", f, 30), "x.gif"),
        (lambda f: write_video("x.avi", f, 0), "fps"),
        (lambda f: write_video("x.avi", [], 30), "no frames"),
        (lambda f: write_video("x.mp4", f[:, :47], 30), "even"),
        (lambda f: write_video("x.avi", f, 30, seconds=range(12)), "AVI has no time stamps"),
        (lambda f: write_video("x.mkv", f, 30, seconds=[0.0] * 12), "increase"),
        (lambda f: write_video("x.mkv", f, 30, seconds=[0.0, 0.1]), "2 times"),
        (lambda f: write_video("x.avi", f / 255, 30), "frame 0"),
        (lambda f: write_video("x.avi", [f[0], f[1, :20]], 30), "frame 1"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path, monkeypatch, frames, make, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=says):
        make(frames)
    assert not list(tmp_path.iterdir())


# --- rotation and variable frame rate, which only real recorders write ------------------------------------
@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), 3), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_rotation_metadata_is_honoured(tmp_path, frames, matrix, turns):
    write_video(tmp_path / "upright.mp4", frames, 30)
    rotate_metadata(tmp_path / "upright.mp4", tmp_path / "turned.mp4", matrix)
    upright = next(read_frames(tmp_path / "upright.mp4"))
    turned = next(read_frames(tmp_path / "turned.mp4"))
    np.testing.assert_array_equal(turned, np.rot90(upright, turns))
    assert probe(tmp_path / "turned.mp4").size == turned.shape[1::-1]


@pytest.fixture
def variable(tmp_path, frames):
    write_video(tmp_path / "variable.mkv", frames, 25, seconds=np.array(VARIABLE_MS) / 1000)
    return tmp_path / "variable.mkv"


def test_variable_frame_rate_is_read_from_the_time_stamps(variable):
    np.testing.assert_allclose(timestamps(variable), np.array(VARIABLE_MS) / 1000, atol=1e-6)
    info = probe(variable)
    assert info.n_frames == 12
    assert info.fps == pytest.approx(11 / 0.7)  # the mean rate, not the 25 the header says


def test_resampling_shows_the_nearest_frame(variable, frames):
    frame_map = resample_map(timestamps(variable), 25)
    wanted = np.arange(0, 701, 40)
    nearest = [int(np.argmin(np.abs(np.array(VARIABLE_MS) - w))) for w in wanted]
    assert frame_map.tolist() == nearest
    shown = np.stack(list(select_frames(read_frames(variable), frame_map)))
    np.testing.assert_array_equal(shown, frames[nearest])
    showing = nearest_in_map(frame_map, np.arange(12))
    for number in set(nearest):  # a frame that is shown leads to where it is shown first
        assert showing[number] == nearest.index(number)
    for number in set(range(12)) - set(nearest):
        assert abs(frame_map[showing[number]] - number) == np.abs(frame_map - number).min()


@given(
    st.lists(st.floats(0.001, 0.2), min_size=0, max_size=40),
    st.floats(1, 240),
    st.floats(0, 100),
)
def test_resample_map_properties(steps, fps, start):
    seconds = start + np.concatenate([[0.0], np.cumsum(steps)])
    frame_map = resample_map(seconds, fps)
    assert frame_map[0] == 0
    assert (np.diff(frame_map) >= 0).all()
    assert frame_map.min() >= 0 and frame_map.max() < len(seconds)
    wanted = seconds[0] + np.arange(len(frame_map)) / fps
    distance = np.abs(seconds[None, :] - wanted[:, None])
    shown = distance[np.arange(len(wanted)), frame_map]
    np.testing.assert_allclose(shown, distance.min(axis=1), atol=1e-5)
    assert -1e-5 <= seconds[-1] - wanted[-1] <= 1 / fps + 1e-5  # no frame is shown after the last one


@given(st.integers(1, 60), st.integers(1, 240))
def test_resampling_to_the_same_rate_changes_nothing(n_frames, fps):
    assert resample_map(np.arange(n_frames) / fps, fps).tolist() == list(range(n_frames))


@given(st.lists(st.floats(0.005, 0.1), min_size=1, max_size=60), st.floats(5, 120))
def test_frame_numbers_go_there_and_back_in_order_and_near_in_time(steps, fps):
    seconds = np.concatenate([[0.0], np.cumsum(steps)])
    numbers = np.arange(len(seconds) + 3)  # the last three lie beyond the end
    there = resampled_numbers(seconds, fps, numbers)
    frame_map = resample_map(seconds, fps)
    assert (np.diff(there) >= 0).all()  # so onset <= apex <= offset survives
    assert there[0] == 0
    assert (there[-3:] - (len(frame_map) - 1)).tolist() == [1, 2, 3]
    back = frame_map[there[:-3]]
    # at most half a frame to the nearest moment (one at the end), and the shown frame is as near to that
    assert np.abs(seconds[back] - seconds).max() <= 2 / fps + 1e-4


@pytest.mark.parametrize(
    ("seconds", "fps"),
    [([], 30), ([0, 0], 30), ([0, math.nan], 30), ([[0]], 30), ([0, 1], 0), ([0, 1], math.nan)],
)
def test_resample_map_refuses_what_is_no_time_line(seconds, fps):
    with pytest.raises(InputError, match=r"seconds|fps"):
        resample_map(seconds, fps)


@pytest.mark.parametrize("numbers", [[0, 0, 3, 3, 3, 11], [5], []])
def test_only_some_frames_are_those_of_all(tmp_path, frames, numbers):
    write_video(tmp_path / "film.mp4", frames, 30.0)
    write_images(tmp_path / "images", frames)
    for path in (tmp_path / "film.mp4", tmp_path / "images"):
        everything, some = list(read_frames(path)), list(read_frames(path, numbers))
        assert len(some) == len(numbers)
        assert all(np.array_equal(a, everything[b]) for a, b in zip(some, numbers, strict=True))
        with pytest.raises(InputError, match="only 12 frames"):
            list(read_frames(path, [3, 12]))


def test_select_frames_says_what_it_cannot_give(frames):
    with pytest.raises(InputError, match="only 12"):
        list(select_frames(frames, [3, 12]))
    with pytest.raises(InputError, match="decrease"):
        list(select_frames(frames, [3, 2]))


@pytest.mark.parametrize("said", [6, 12, 20])
def test_frames_are_counted_and_not_believed(tmp_path, frames, said):
    """The length in an AVI's stream header (strh, dwLength) is changed; 12 frames are there all the same."""
    path = tmp_path / "lies.avi"
    write_video(path, frames, 25)
    data = bytearray(path.read_bytes())
    start = data.index(b"strh") + 40
    assert struct.unpack_from("<I", data, start) == (12,)
    struct.pack_into("<I", data, start, said)
    path.write_bytes(data)
    with av.open(path) as container:
        assert container.streams.video[0].frames == said
    assert probe(path).n_frames == len(list(read_frames(path))) == 12


def test_a_clip_trimmed_without_encoding_is_what_it_plays(tmp_path, frames):
    """Phones trim by an edit list (ISO 14496-12, box elst): the header still counts the frames cut away."""
    path = tmp_path / "trimmed.mp4"
    write_video(path, np.concatenate([frames] * 10), 30)
    data = bytearray(path.read_bytes())
    start = data.index(b"elst") + 12
    assert struct.unpack_from(">I", data, start) == (4000,)  # milliseconds
    struct.pack_into(">I", data, start, 1000)
    path.write_bytes(data)
    with av.open(path) as container:
        assert container.streams.video[0].frames == 120
    assert probe(path).n_frames == len(list(read_frames(path))) == 30


# --- containers: what a player shows, and when --------------------------------------------------------------
def _remuxed(source, path, picture_at=0.0, sound_seconds=0.0, from_second=0.0, **options):
    """Copy a film's packets into another container: later, beside a sound of this length, or from a second on."""
    with av.open(source) as old, av.open(path, "w", container_options=options) as new:
        stream = old.streams.video[0]
        copied = new.add_stream_from_template(stream)
        if sound_seconds:
            sound = new.add_stream("aac", rate=8000)
            for start in range(0, round(sound_seconds * 8000), 1024):
                part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                part.sample_rate, part.pts, part.time_base = 8000, start, Fraction(1, 8000)
                new.mux(sound.encode(part))
            new.mux(sound.encode(None))
        for packet in old.demux(stream):
            if packet.dts is not None and packet.pts * stream.time_base >= from_second:
                packet.pts += round(picture_at / stream.time_base)
                packet.dts += round(picture_at / stream.time_base)
                packet.stream = copied
                new.mux(packet)
    return path


def _jpeg_film(path, frames):
    coded = [cv2.imencode(".jpg", f[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes() for f in frames]
    write_mjpeg(path, coded, 30, (64, 48))
    return path


@pytest.fixture
def still_film(tmp_path, frames):
    """120 frames, 4 s; every one a key frame (JPEG), so that packets may be cut away from its beginning."""
    return _jpeg_film(tmp_path / "still.avi", [*frames] * 10)


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_a_container_longer_than_its_picture_loses_nothing(tmp_path, still_film, suffix):
    path = _remuxed(still_film, tmp_path / f"longer{suffix}", sound_seconds=9)
    with av.open(path) as container:
        assert container.duration / av.time_base > 8.9
    info = probe(path)
    assert (info.n_frames, info.fps) == (120, pytest.approx(30))
    assert len(list(read_frames(path))) == 120


def test_a_picture_that_begins_after_its_sound_is_where_a_player_shows_it(tmp_path, still_film):
    path = _remuxed(still_film, tmp_path / "late.mkv", picture_at=3, sound_seconds=8)
    np.testing.assert_allclose(timestamps(path), 3 + np.arange(120) / 30, atol=2e-3)
    assert probe(path).fps == pytest.approx(30)
    assert probe(path).n_frames == 120


def test_a_part_of_a_film_begins_at_nought(tmp_path, still_film):
    """Splitting without encoding leaves the time stamps of the whole film; a player begins with the first one."""
    path = _remuxed(still_film, tmp_path / "part.mkv", from_second=2.0)
    with av.open(path) as container:
        assert container.start_time / av.time_base == pytest.approx(2.0)
    np.testing.assert_allclose(timestamps(path), np.arange(60) / 30, atol=2e-3)
    assert probe(path).n_frames == len(list(read_frames(path))) == 60


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_pause_is_in_the_clock_and_not_in_the_rate(tmp_path, frames, suffix):
    """30 frames a second that stop for a second: neither 22.5 (the mean) nor an even clock."""
    seconds = np.concatenate([np.arange(60), np.arange(90, 120)]) / 30
    path = tmp_path / f"pause{suffix}"
    write_video(path, np.concatenate([frames] * 8)[:90], 30, seconds=seconds)
    np.testing.assert_allclose(timestamps(path), seconds, atol=1e-3)
    assert probe(path).fps == pytest.approx(30)


def test_pixels_that_are_not_square_are_made_so(tmp_path, frames):
    """4:3 pixels in 64 x 48 show as 85 x 48, and turned by a quarter as 48 x 85."""
    with av.open(tmp_path / "wide.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    assert probe(tmp_path / "wide.mp4").size == (85, 48)
    wide = next(read_frames(tmp_path / "wide.mp4"))
    assert wide.shape == (48, 85, 3)
    assert np.abs(wide.astype(int) - cv2.resize(frames[0], (85, 48))).mean() < 12
    rotate_metadata(tmp_path / "wide.mp4", tmp_path / "turned.mp4", (0, 1, -1, 0))
    assert probe(tmp_path / "turned.mp4").size == (48, 85)
    np.testing.assert_array_equal(next(read_frames(tmp_path / "turned.mp4")), np.rot90(wide, 3))


def test_a_mirrored_film_is_shown_mirrored(tmp_path, frames):
    write_video(tmp_path / "plain.mp4", frames, 30)
    rotate_metadata(tmp_path / "plain.mp4", tmp_path / "mirrored.mp4", (-1, 0, 0, 1))
    plain, mirrored = (next(read_frames(tmp_path / f"{n}.mp4")) for n in ("plain", "mirrored"))
    np.testing.assert_array_equal(mirrored, plain[:, ::-1])


def test_odd_sizes_are_kept_without_loss(tmp_path, frames):
    odd = frames[:, :47, :63]
    write_video(tmp_path / "odd.mkv", odd, 30)
    assert probe(tmp_path / "odd.mkv").size == (63, 47)
    np.testing.assert_array_equal(np.stack(list(read_frames(tmp_path / "odd.mkv"))), odd)


def test_motion_jpeg_reads_to_the_bit_as_opencv_reads_it(tmp_path, frames):
    """The synthetic sets are motion JPEG: their features hang on these bits."""
    path = _jpeg_film(tmp_path / "v.avi", frames)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    for ours in read_frames(path):
        np.testing.assert_array_equal(ours, capture.read()[1][..., ::-1])


@pytest.mark.parametrize("name", ["picture.mp4", "list.mp4", "cover.mp4"])
def test_what_only_looks_like_a_film_is_refused(tmp_path, frames, name):
    """A picture under a film's name, a playlist that leads elsewhere, and sound with a cover picture."""
    path, jpeg = tmp_path / name, cv2.imencode(".jpg", frames[0])[1].tobytes()
    write_video(tmp_path / "real.mkv", frames, 30)
    if name == "picture.mp4":
        path.write_bytes(jpeg)
    elif name == "list.mp4":
        path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nreal.mkv\n#EXT-X-ENDLIST\n")
    else:
        with av.open(path, "w") as container:
            cover = container.add_stream("mjpeg", rate=1)
            cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
            sound = container.add_stream("aac", rate=8000)
            part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            part.sample_rate, part.pts = 8000, 0
            container.mux(cover.encode(av.VideoFrame.from_ndarray(frames[0], "rgb24")))
            container.mux(sound.encode(part))
            container.mux([*sound.encode(None), *cover.encode(None)])
    for read in (probe, lambda p: list(read_frames(p))):
        with pytest.raises(InputError, match=rf"{name}: no video stream"):
            read(path)


# --- writing ------------------------------------------------------------------------------------------------
def test_an_mp4_is_h264_that_a_browser_plays_while_it_comes_in(tmp_path, frames):
    write_video(tmp_path / "film.mp4", frames, 30)
    with av.open(tmp_path / "film.mp4") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    data = (tmp_path / "film.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_without_x264_an_mp4_is_vp9(tmp_path, frames, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    write_video(tmp_path / "film.mp4", frames, 30)
    with av.open(tmp_path / "film.mp4") as container:
        assert container.streams.video[0].codec.canonical_name == "vp9"
    assert probe(tmp_path / "film.mp4").n_frames == 12


def test_sound_is_copied_as_far_as_the_picture_reaches(tmp_path, still_film, frames):
    path = _remuxed(still_film, tmp_path / "late.mkv", picture_at=1, sound_seconds=8)
    seconds = timestamps(path)[:60]
    write_video(tmp_path / "copy.mp4", np.concatenate([frames] * 5), 30, seconds, sound=path)
    with av.open(tmp_path / "copy.mp4") as container:
        stream = container.streams.audio[0]
        packets = [p for p in container.demux(stream) if p.size]
        assert stream.codec_context.name == "aac"
        assert float(packets[0].pts * stream.time_base) == pytest.approx(0, abs=0.2)
        assert float(packets[-1].pts * stream.time_base) == pytest.approx(seconds[-1], abs=0.2)
    np.testing.assert_allclose(timestamps(tmp_path / "copy.mp4"), seconds, atol=2e-3)
    write_video(tmp_path / "silent.avi", frames, 30, sound=path)  # an AVI would need another coding
    with av.open(tmp_path / "silent.avi") as container:
        assert not container.streams.audio


FULL_DISK = """
import resource, signal, sys
import numpy as np
from metst_core.video import write_video
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
noise = np.random.default_rng(0).integers(0, 256, (40, 96, 96, 3), dtype=np.uint8)
try:
    write_video(sys.argv[1], noise, 30)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of a file as a full disk would")
@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_a_disk_that_is_full_is_told_and_leaves_nothing(tmp_path, suffix):
    path = tmp_path / f"film{suffix}"
    run = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True)
    assert run.stdout.startswith(f"InputError {path}: the film cannot be written"), run.stdout + run.stderr
    assert not list(tmp_path.iterdir())


def test_images_are_turned_as_their_metadata_says(tmp_path, frames):
    """Exif orientation 6: the picture is to be turned a quarter clockwise to stand upright."""
    plain = cv2.imencode(".jpg", frames[0][..., ::-1])[1].tobytes()
    tag = struct.pack("<HHII", 0x0112, 3, 1, 6)
    exif = b"Exif\0\0" + b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + tag + bytes(4)
    (tmp_path / "plain.jpg").write_bytes(plain)
    (tmp_path / "turned.jpg").write_bytes(
        plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]
    )
    np.testing.assert_array_equal(
        read_image(tmp_path / "turned.jpg"), np.rot90(read_image(tmp_path / "plain.jpg"), 3)
    )


# --- broken files ------------------------------------------------------------------------------------------
def _everything(path):
    probe(path)
    return list(read_frames(path))


@pytest.mark.parametrize("name", ["gone.mp4", "empty.mp4", "noise.avi", "text.webm", "sound.avi", "nothing"])
def test_what_is_no_video_is_named(tmp_path, name):
    path = tmp_path / name
    if name == "empty.mp4":
        path.touch()
    elif name == "noise.avi":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    elif name == "text.webm":
        path.write_text("404 not found")
    elif name == "sound.avi":
        wav(path)
    elif name == "nothing":
        path.mkdir()
    for read in (probe, lambda p: list(read_frames(p))):
        with pytest.raises(MissingError if name == "gone.mp4" else InputError, match=name):
            read(path)


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_video_cut_short_is_an_error_and_never_a_shorter_video(tmp_path, frames, suffix, share):
    write_video(tmp_path / f"whole{suffix}", frames, 30)
    data = (tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match="cut"):
        probe(tmp_path / f"cut{suffix}")
    with pytest.raises(InputError, match="cut"):
        list(read_frames(tmp_path / f"cut{suffix}"))


def _zeroed(path, numbers):
    """Fill these packets of a film's picture with zeros, where they lie in the file; the index stays."""
    with av.open(path) as container:
        packets = [bytes(p) for p in container.demux(container.streams.video[0]) if p.size]
    data = bytearray(path.read_bytes())
    for number in numbers:
        start, size = data.index(packets[number]), len(packets[number])
        data[start : start + size] = bytes(size)
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".avi"])
@pytest.mark.parametrize("numbers", [range(9, 12), [5]])
def test_lost_frames_are_counted_and_told(tmp_path, frames, suffix, numbers):
    """JPEG codes each frame for itself: as many are lost as are damaged."""
    path = _remuxed(_jpeg_film(tmp_path / "whole.avi", frames), tmp_path / f"hole{suffix}")
    _zeroed(path, numbers)
    says = (
        rf"hole\{suffix}: {len(numbers)} of 12 frames cannot be decoded, the first at {numbers[0] / 30:.1f} s"
    )
    with pytest.raises(InputError, match=says):
        probe(path)
    with pytest.raises(InputError, match=says):
        list(read_frames(path))


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_a_hole_in_the_container_is_an_error(tmp_path, frames, suffix):
    """Damage takes the places of packets with it: FFmpeg goes on where it finds the next one, or stops."""
    path = tmp_path / f"hole{suffix}"
    write_video(path, np.concatenate([frames] * 8), 30)
    data = bytearray(path.read_bytes())
    start, end = len(data) // 2, len(data) - 2000
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    for read in (probe, lambda p: list(read_frames(p))):
        with pytest.raises(InputError, match=rf"hole\{suffix}: (\d+ of 96 frames|decoding stops after)"):
            read(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_an_h264_film_without_its_end_is_an_error(tmp_path, frames, share):
    path = tmp_path / "hole.mp4"
    write_video(path, np.concatenate([frames] * 8), 30)
    _zeroed(path, range(int(96 * share), 96))
    for read in (probe, lambda p: list(read_frames(p))):
        with pytest.raises(InputError, match=r"hole\.mp4: \d+ of 96 frames cannot be decoded"):
            read(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.97])
def test_an_image_that_cannot_be_read_is_named(tmp_path, frames, suffix, share):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}{suffix}"), frames[number])
    middle = tmp_path / f"1{suffix}"
    middle.write_bytes(middle.read_bytes()[: int(middle.stat().st_size * share)])
    seen = []
    with pytest.raises(InputError, match=f"1{suffix}"):
        seen.extend(read_frames(tmp_path))
    assert probe(tmp_path).n_frames == 3


def test_an_image_of_another_size_is_named(tmp_path, frames):
    cv2.imwrite(str(tmp_path / "0.png"), frames[0])
    cv2.imwrite(str(tmp_path / "1.png"), frames[1, :20])
    with pytest.raises(InputError, match=r"1\.png.*64 x 20"):
        list(read_frames(tmp_path))


@given(
    data=st.binary(min_size=1, max_size=300),
    head=st.sampled_from([b"", b"RIFF", b"\x1aE\xdf\xa3", b"\0\0\0\x10ftyp"]),
)
def test_any_bytes_are_read_or_refused_as_a_metst_error(tmp_path_factory, data, head):
    path = tmp_path_factory.mktemp("bytes") / "v.mp4"
    path.write_bytes(head + data)
    with pytest.raises(MetstError, match=r"v\.mp4"):
        _everything(path)


# --- other containers, and what is too much -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("suffix", "form", "codec"),
    [
        (".m4v", "mp4", "mpeg4"), (".3gp", "3gp", "mpeg4"), (".wmv", "asf", "wmv2"), (".mpg", "mpeg", "mpeg1video"),
        (".MTS", "mpegts", "mpeg2video"), (".flv", "flv", "flv1"), (".ogv", "ogg", "libtheora"), (".mxf", "mxf", "mpeg2video"),
    ],
)  # fmt: skip
def test_films_of_other_kinds_are_read_whole(tmp_path, frames, suffix, form, codec):
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg writes no {codec}")
    path = tmp_path / f"film{suffix}"
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    assert probe(path) == (25.0, len(frames), (64, 48))
    assert len(list(read_frames(path))) == len(frames)


def sized(kind, width, height):
    """The first bytes of an image that says it is so large, and nothing else of it."""
    u4, u2 = struct.Struct("<I").pack, struct.Struct("<H").pack
    if kind == "png":
        return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + bytes(50)
    if kind == "jpg":
        return b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width) + bytes(50)
    if kind == "bmp":
        return b"BM" + bytes(12) + u4(40) + u4(width) + u4(height) + bytes(50)
    if kind == "tif":
        entries = b"".join(
            u2(tag) + u2(4) + u4(1) + u4(value) for tag, value in ((256, width), (257, height))
        )
        return b"II*\0" + u4(8) + u2(2) + entries + bytes(50)
    return (
        b"RIFF"
        + u4(80)
        + b"WEBPVP8X"
        + u4(10)
        + bytes(4)
        + u4(width - 1)[:3]
        + u4(height - 1)[:3]
        + bytes(50)
    )


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tif", "webp"])
def test_an_enormous_picture_is_refused_by_its_header(tmp_path, kind):
    path = tmp_path / f"huge.{kind}"
    path.write_bytes(sized(kind, 65_500, 65_400))
    with pytest.raises(InputError, match=rf"huge\.{kind}: the image is 65500 x 65400, more than"):
        read_image(path)
    path.write_bytes(sized(kind, 30, 20))
    with pytest.raises(InputError, match=rf"huge\.{kind}: the image is broken"):
        read_image(path)


def test_headers_tell_the_size_of_every_kind_of_image(frames):
    for suffix in (".png", ".jpg", ".bmp", ".tif", ".webp"):
        data = cv2.imencode(suffix, frames[0])[1].tobytes()
        assert image_header(data)[1:] == (64, 48), suffix
    assert image_header(b"GIF89a") is None


def test_a_film_of_enormous_frames_and_a_clock_that_jumps_are_refused(tmp_path, frames, monkeypatch):
    write_video(tmp_path / "film.mkv", frames, 25, seconds=[*np.arange(11) / 25, 1e6])
    with pytest.raises(InputError, match="does the clock of the film jump"):
        resample_map(timestamps(tmp_path / "film.mkv"), 30)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 64 * 48 - 1)
    with pytest.raises(InputError, match=r"film\.mkv: its frames are 64 x 48, more than"):
        list(read_frames(tmp_path / "film.mkv"))


# --- what it costs ------------------------------------------------------------------------------------------
def test_counting_is_done_once_per_state_of_the_file(tmp_path, frames, monkeypatch):
    path = tmp_path / "a.avi"
    write_video(path, frames, 30)
    assert probe(path).n_frames == 12
    opened = []
    monkeypatch.setattr("metst_core.video.pictures.opened", lambda p: opened.append(p))
    assert probe(path).n_frames == 12
    assert not opened
    monkeypatch.undo()
    write_video(path, frames[:5], 30)
    assert probe(path).n_frames == 5


MEMORY_OF_READING = """
import re, sys
from pathlib import Path
from metst_core.video import probe, read_frames
def peak():  # not getrusage, which also counts what the parent held when it started this process
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
read = sys.argv[2] == "hold" and list or iter
next(read_frames(sys.argv[1]))
before = peak()
n = sum(1 for _ in read(read_frames(sys.argv[1])))
assert probe(sys.argv[1]).n_frames == n
print(n, (peak() - before) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the peak memory from /proc")
def test_memory_does_not_grow_with_the_length(tmp_path):
    """250 frames of 480 x 640 are 230 MB as an array; reading all costs hardly more than reading one, while
    holding them costs what it must: the measure would see it."""
    still = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8), (640, 480))
    path = tmp_path / "long.mp4"
    write_video(path, (np.roll(still, i) for i in range(250)), 30)
    grown = {}
    for way in ("stream", "hold"):
        command = [sys.executable, "-c", MEMORY_OF_READING, str(path), way]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        n_frames, megabytes = run.stdout.split()
        assert int(n_frames) == 250
        grown[way] = float(megabytes)
    assert grown["stream"] < 40
    assert grown["hold"] > 200


@pytest.mark.parametrize("four", [b"XXXX", b"\0\1\2\3"])
def test_pictures_in_an_unknown_coding_are_one_sentence(tmp_path, frames, four, capfd):
    write_video(tmp_path / "known.avi", frames, 30)
    odd = tmp_path / "odd.avi"
    odd.write_bytes((tmp_path / "known.avi").read_bytes().replace(b"FFV1", four))
    with pytest.raises(InputError, match=r"odd\.avi: its pictures are .*no decoder; re-encode it") as caught:
        probe(odd)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
