"""What people really feed to a program: at least thirty nasty inputs, all made here.

Each either gives a result that says what is wrong with it, or an error of the package that names the file and says
what to do.  No other exception, no hang, and a batch goes on.
"""

import argparse
import contextlib
import errno
import os
import pickle
import shutil
import socket
import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from support.films import VARIABLE_MS, rotate_metadata, wav
from support.own_videos import SIZE, analysed, landmarker, mouth_at, mouth_model, picture, write_clip

from metst_core import pipeline
from metst_core.cli import analyse as analyse_cli
from metst_core.errors import InputError, MetstError, MissingError
from metst_core.files import one_line
from metst_core.inference import MediaPipeFaceFinder, analysis
from metst_core.landmarks import MediaPipeLandmarker
from metst_core.plots import save_figure
from metst_core.video import write_video

N_FRAMES = 12  # of a video whose content does not matter


def some_frames(n=N_FRAMES, height=SIZE, width=SIZE, seed=0):
    base = np.random.default_rng(seed).integers(60, 200, (height, width, 3), dtype=np.uint8)
    return [np.roll(base, number, axis=1) for number in range(n)]


def video(path, frames=None, fps=30.0):
    write_video(path, some_frames() if frames is None else frames, fps)
    return path


def images(folder, frames, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{number:04d}{suffix}"), frame)
    return folder


def cut(path, share, suffix):
    whole = video(path.with_name(f"whole{suffix}"))
    data = whole.read_bytes()
    whole.unlink()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def written(path, data):
    path.write_bytes(data)
    return path


def touched(path):
    path.touch()
    return path


def made(path):
    path.mkdir()
    return path


# --- inputs that must be refused: name -> how to make it, and a word the message must hold ---------------------
REFUSED = {
    "zero_bytes.mp4": (touched, "empty"),
    "gone.mp4": (lambda p: p, "no such file"),
    "cut.avi": (lambda p: cut(p, 0.6, ".avi"), "cut short"),
    "cut.mkv": (lambda p: cut(p, 0.6, ".mkv"), "cut short"),
    "cut.mp4": (lambda p: cut(p, 0.6, ".mp4"), "cut"),
    "header_only.mov": (lambda p: cut(p, 0.02, ".mov"), "header_only"),
    "sound.wav": (lambda p: wav(p) or p, "audio only"),
    "sound_in.avi": (lambda p: wav(p) or p, "audio only"),
    "text.mp4": (lambda p: written(p, b"404 not found\n"), "not a video"),
    "noise.webm": (lambda p: written(p, np.random.default_rng(0).bytes(4000)), "not a video"),
    "zipped.mp4": (lambda p: written(p, b"PK\x03\x04" + bytes(400)), "not a video"),
    "one_frame.avi": (lambda p: video(p, some_frames(1)), "2 frames"),
    "time_lapse.avi": (lambda p: video(p, fps=1.0), "25 frames per second"),
    "no_images": (made, "no images"),
    "only_text": (lambda p: written(made(p) / "readme.txt", b"hello").parent, "no images"),
    "one_image": (lambda p: images(p, some_frames(1)), "2 frames"),
    "empty_image": (lambda p: written(images(p, some_frames(3)) / "0000.png", b"").parent, "0000.png"),
    "https:": (lambda p: Path("https://example.org/film.mp4"), "no such file"),
    "too_long": (lambda p: p.parent / ("x" * 300 + ".mp4"), "xxx"),
    "a_nul": (lambda p: Path("with\0nul.mp4"), "nul"),
    "device": (lambda p: Path("/dev/null"), "empty"),
    "loop.mp4": (lambda p: p.symlink_to(p) or p, "loop.mp4"),
    "into_the_void.mp4": (lambda p: p.symlink_to(p.parent / "nowhere.mp4") or p, "no such file"),
    "under_a_file": (lambda p: touched(p) / "film.mp4", "film.mp4"),
    "socket.mp4": (lambda p: socket.socket(socket.AF_UNIX).bind(str(p)) or p, "socket.mp4"),
}


def make(name, folder):
    return REFUSED[name][0](folder / name.rstrip(":"))


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name_with_a_word_that_helps(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = make(name, tmp_path)
    with pytest.raises(MetstError) as caught:
        analysed(path)
    message = str(caught.value)
    assert REFUSED[name][1] in message
    assert path.name[:40].replace("\0", "") in message.replace("\0", "").replace("\\x00", "")
    assert len(message) < 2000


# --- inputs that are odd and still give a result --------------------------------------------------------------
def turned_by_metadata(path):
    write_video(path.with_name("upright.mp4"), [f[: SIZE - 32] for f in some_frames()], 30)
    rotate_metadata(path.with_name("upright.mp4"), path, (0, 1, -1, 0))
    return path


def variable_rate(path):
    write_video(path, some_frames(), 25, seconds=np.array(VARIABLE_MS) / 1000)
    return path


def renamed(path, suffix):
    return video(path.with_name(f"x{suffix}")).rename(path)


GREY = [f[..., 0] for f in some_frames()]
ODD = {
    "two_frames.avi": lambda p: video(p, some_frames(2)),
    "wide.avi": lambda p: video(p, some_frames(3, 10, 10_000)),
    "high.avi": lambda p: video(p, some_frames(3, 10_000, 10)),
    "dots": lambda p: images(p, [np.full((1, 1, 3), 90, np.uint8)] * 3),
    "odd_size": lambda p: images(p, [f[:151, :133] for f in some_frames()]),
    "grey": lambda p: images(p, GREY),
    "sixteen_bit": lambda p: images(p, [g.astype(np.uint16) * 257 for g in GREY]),
    "alpha": lambda p: images(p, [np.dstack([f, f[..., :1]]) for f in some_frames()]),
    "jpegs": lambda p: images(p, some_frames(), ".jpg"),
    "turned.mp4": turned_by_metadata,
    "variable.mkv": variable_rate,
    "matroska.avi": lambda p: renamed(p, ".mkv"),
    "no_suffix": lambda p: renamed(p, ".avi"),
    "film.txt": lambda p: renamed(p, ".mp4"),
    "Гримаса 微表情 😐.avi": video,
    " -leading dash; $(rm) 'quotes' \"double\" %s {0}.avi": video,
    "new\nline.avi": video,
    "n" * 240 + ".avi": video,
    os.fsdecode(b"bytes \xff\xfe.avi"): video,
    "a$b$c_{d} \x1b[31m\x07.avi": video,
    "=cmd|' -c calc'!A1.avi": video,
    "fast.avi": lambda p: video(p, fps=240.0),
    "slow.avi": lambda p: video(p, fps=5.0),
    "still.avi": lambda p: video(p, some_frames(1) * N_FRAMES),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_but_usable(name, tmp_path):
    path = ODD[name](tmp_path / name)
    result = analysed(path)
    n_frames = len(result.score)
    assert np.isfinite(result.score).all()
    assert result.complete
    assert result.n_analysed == result.n_frames == n_frames >= 2
    inside = result.table[["onset", "apex", "offset"]].to_numpy()
    assert ((inside >= 0) & (inside < n_frames)).all()
    assert one_line(path.name)[:30] in result.summary()
    assert not set(result.summary()) & {"\x1b", "\x07"}
    # What goes out can be written whatever the name is, too.
    page = result.to_html(tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert pipeline.NOTICE[:30] in page
    for write, suffix in ((result.to_csv, ".csv"), (result.to_json, ".json"), (result.to_megc, ".megc")):
        assert write(tmp_path / "out" / f"all{suffix}").read_bytes().decode("utf-8")
    save_figure(result.plot(), tmp_path / "out" / "plot.png")


def test_there_are_enough_of_them():
    assert len(REFUSED) + len(ODD) >= 30


def test_the_slow_and_the_variable_say_so(tmp_path):
    assert "low_frame_rate" in set(analysed(ODD["slow.avi"](tmp_path / "slow.avi")).quality["flag"])
    quality = analysed(variable_rate(tmp_path / "variable.mkv")).quality
    gaps = quality[quality["flag"] == "frames_missing"]
    assert [(row.first, row.last) for row in gaps.itertuples()] == [(2, 3), (6, 7), (10, 11)]


# --- broken on the way, or by the system -----------------------------------------------------------------------
def test_an_image_that_breaks_in_the_middle_leaves_what_was_before(tmp_path):
    still = picture()
    folder = images(tmp_path / "faces", [mouth_at(t / 30, (), still) for t in range(60)])
    (folder / "0055.png").write_bytes((folder / "0055.png").read_bytes()[:300])
    result = analysed(folder)
    assert not result.complete
    assert "0055.png" in result.trouble
    assert result.n_analysed == 50


@pytest.fixture
def public_folder():
    """A folder that every user may enter (pytest's own are for one user)."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.contextmanager
def as_somebody():
    """Root may read and write everything, so where the tests run as root, this is done as somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def locked():
    """Takes a path's permissions away until the test is over."""
    taken = []

    def lock(path, mode=0):
        taken.append((path, path.stat().st_mode))
        path.chmod(mode)

    yield lock
    for path, mode in reversed(taken):
        path.chmod(mode)


LOCKED = {
    "a file": lambda d: (f := video(d / "film.avi"), f, f),
    "a folder of images": lambda d: (f := images(d / "film", some_frames(3)), f, f),
    "one of the images": lambda d: (f := images(d / "film", some_frames(3)), f / "0000.png", f / "0000.png"),
    "the folder around": lambda d: (f := video(made(d / "in") / "film.avi"), f.parent, f),
}


@pytest.mark.parametrize("what", LOCKED)
def test_no_permission_to_read(what, public_folder, locked):
    path, lock, named = LOCKED[what](public_folder)
    locked(lock)
    with as_somebody(), pytest.raises(InputError, match="may not be read.*permissions") as caught:
        analysed(path)
    assert str(named) in str(caught.value)


def test_an_image_that_may_not_be_read_leaves_what_was_before(public_folder, locked):
    folder = images(public_folder / "faces", some_frames(60))
    locked(folder / "0055.png")
    with as_somebody():
        result = analysed(folder)
    assert "0055.png" in result.trouble
    assert (result.complete, result.n_analysed) == (False, 50)  # the first window; the next is not full


def test_no_permission_to_write(public_folder, locked):
    locked(public_folder, 0o555)
    with as_somebody(), pytest.raises(InputError, match=r"a\.csv: cannot be written \(Permission denied\)"):
        pipeline.check_output(public_folder / "a.csv")


def test_a_video_that_vanishes_while_it_is_read(tmp_path, monkeypatch):
    path = video(tmp_path / "fleeting.avi")
    real = analysis.timestamps

    def then_gone(p):
        seconds = real(p)
        path.unlink()
        return seconds

    monkeypatch.setattr(analysis, "timestamps", then_gone)
    with pytest.raises(MissingError, match="fleeting"):
        analysed(path)


@pytest.mark.parametrize(
    "answer",
    [np.full((68, 2), np.nan), np.zeros((5, 2)), np.full((68, 2), 7.0), np.full((68, 2), -1e6)],
    ids=str,
)
def test_a_landmarker_that_talks_nonsense(tmp_path, answer):
    path = video(tmp_path / "clip.avi")
    if answer.shape == (68, 2) and np.isfinite(answer).all():
        assert not analysed(path, landmarker=lambda image: answer).has_face
    else:
        with pytest.raises(MetstError, match="clip.avi"):
            analysed(path, landmarker=lambda image: answer)


def test_weights_that_are_none(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    (tmp_path / "bomb.pth").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "text.safetensors").write_text("no weights")
    (tmp_path / "empty.pkl").touch()
    for name in ("bomb.pth", "text.safetensors", "empty.pkl"):
        with pytest.raises(InputError, match=name):
            pipeline.load_model(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full, the disk that is always full"
)
def test_a_disk_that_is_really_full(tmp_path, monkeypatch):
    """The temporary file of every output lies on /dev/full: writing to it fails as on a full disk."""
    from metst_core.files import writing

    clip = write_clip(tmp_path / "clip.avi", seconds=1.0)
    result = analysed(clip)

    def on_the_full_disk(target, make):
        (tmp_path / "full").unlink(missing_ok=True)
        (tmp_path / "full").symlink_to("/dev/full")
        return tmp_path / "full", os.open("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(writing, "_new", on_the_full_disk)
    for write in (result.to_csv, result.to_json, result.to_html, result.to_megc):
        target = tmp_path / "never"
        with pytest.raises(OSError) as caught:
            write(target)
        assert caught.value.errno == errno.ENOSPC
        assert not target.exists()
        assert "No space left" in pipeline.trouble_with(target, write)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
@pytest.mark.parametrize("room", [3000, 20_000])
def test_no_room_for_the_annotated_video(tmp_path, suffix, room):
    """OpenCV says nothing when a write fails; here, because no file may grow beyond `room` bytes."""
    resource = pytest.importorskip("resource")
    result = analysed(video(tmp_path / "noise.avi", some_frames(30)))
    whole = result.to_video(tmp_path / f"whole{suffix}")
    assert whole.stat().st_size > room
    target = tmp_path / f"film{suffix}"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        said = pipeline.trouble_with(target, result.to_video)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "is the disk full?" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noise.avi", f"whole{suffix}"]


# --- faces, with the real landmarker ----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def face():
    """A head of 320 x 320 pixels (NASA, public domain, shipped with scikit-image)."""
    return cv2.resize(skimage.data.astronaut()[0:260, 100:360], (320, 320))


@pytest.fixture(scope="module")
def mediapipe():
    return MediaPipeLandmarker()


def seen(path, frames, mediapipe):
    """Analysed with MediaPipe's landmarker and face detector, and with the tests' network."""
    return analysed(video(path, frames), landmarker=mediapipe, face_finder=MediaPipeFaceFinder())


def turned(face, squeeze=0.25):
    """The half of the face beyond the nose squeezed, as in a head turned to the side."""
    y, x = np.mgrid[: face.shape[0], : face.shape[1]].astype(np.float32)
    x = np.where(x < 157, x, 157 + (x - 157) / squeeze).astype(np.float32)
    return cv2.remap(face, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def cat(face):
    """A cat's head; a drawn face, on the other hand, is a face to MediaPipe's detector."""
    return cv2.resize(skimage.data.chelsea()[:, 75:375], face.shape[:2])


FACES = {
    "black": (np.zeros_like, {"face_lost", "too_dark"}),
    "back_of_the_head": (lambda f: np.ascontiguousarray(f[::-1]), {"face_lost"}),
    "cat": (cat, {"face_lost"}),
    "two": (lambda f: np.hstack([f, f[:, ::-1]]), {"several_faces"}),
    "turned": (turned, {"face_turned"}),
    "small": (
        lambda f: cv2.resize(f, (120, 120), interpolation=cv2.INTER_AREA),
        {"face_too_small", "not_judged"},
    ),
    "dark": (lambda f: (0.12 * f).astype(np.uint8), {"too_dark", "not_judged"}),
    "fine": (np.copy, set()),
}


@pytest.mark.parametrize("name", FACES)
def test_every_face_gets_its_flag_and_no_other(name, face, mediapipe, tmp_path):
    change, flags = FACES[name]
    result = seen(tmp_path / f"{name}.avi", [change(face)] * N_FRAMES, mediapipe)
    assert set(result.quality["flag"]) == flags
    assert result.has_face == ("face_lost" not in flags)
    assert (result.quality["first"] == 0).all()
    assert (result.quality["last"] == N_FRAMES - 1).all()


def test_a_face_that_leaves_is_lost_from_there_on(face, mediapipe, tmp_path):
    frames = [face] * 25 + [np.zeros_like(face)] * 25
    result = seen(tmp_path / "leaves.avi", frames, mediapipe)
    [lost] = result.quality[result.quality["flag"] == "face_lost"].itertuples()
    assert abs(lost.first - 25) <= 5  # a look every 10 frames
    assert lost.last == 49
    assert (result.score[lost.first :] == 0).all()
    assert result.table.empty or result.table["apex"].max() < lost.first


def test_a_face_that_comes_late(face, mediapipe, tmp_path):
    frames = [np.zeros_like(face)] * 13 + [face] * 17
    result = seen(tmp_path / "late.avi", frames, mediapipe)
    lost = result.quality[result.quality["flag"] == "face_lost"]
    assert (lost["first"].min(), lost["last"].max()) in {(0, 12), (0, 14)}
    assert (result.score[:13] == 0).all()


def test_a_shaking_head_moves_too_much(face, mediapipe, tmp_path):
    frames = [np.roll(face, round(14 * np.sin(number / 3)), axis=1) for number in range(30)]
    result = seen(tmp_path / "shakes.avi", frames, mediapipe)
    assert "too_much_motion" in set(result.quality["flag"])


# --- all of them at once -----------------------------------------------------------------------------------------
def test_a_batch_of_everything_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "load_model", lambda model="bundled": mouth_model())
    monkeypatch.setattr(pipeline, "analyse", partial(pipeline.analyse, landmarker=landmarker))
    monkeypatch.chdir(tmp_path)
    good = write_clip(tmp_path / "good.avi", seconds=2.4, apexes=(1.2,))
    bad = [make(name, tmp_path) for name in REFUSED if name != "a_nul"]  # no shell can pass a NUL
    parser = argparse.ArgumentParser()
    analyse_cli.add_parser(parser.add_subparsers())
    options = parser.parse_args(
        ["analyse", "--quiet", "--csv", "all.csv", *map(str, bad[:12]), str(good), *map(str, bad[12:])]
    )
    assert options.command(options) == analyse_cli.PROBLEM
    out, err = capsys.readouterr()
    assert f"1 of {len(bad) + 1} videos analysed, 1 intervals found" in out
    assert err.count("metst: ") == len(bad)
    assert "Traceback" not in out + err
    assert "good.avi" in Path("all.csv").read_text()
    assert shutil.disk_usage(tmp_path).free > 0
