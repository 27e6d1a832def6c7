"""Extraction of a whole data set: the same as one video at a time, cached, resumable, hard to bring down."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from support.faces import Fake, write_frames

from metst_core import extraction, rois
from metst_core.datasets import VideoReader, load_dataset
from metst_core.errors import InputError, MetstError, MissingError
from metst_core.extraction import MotionSet, extract_dataset
from metst_core.motion import extract_motion

WINDOW = 4
RETRIED = 2 + 4
"""Landmarker calls of a run that finds every good video cached: those that fail are tried again, "single" on
its one frame, "broken" on two windows' first frames; a reference frame takes two calls."""


class Deadly(Fake):
    """Kills its process, as a system does that runs out of memory."""

    def __call__(self, image):
        os.kill(os.getpid(), signal.SIGKILL)


class Orphaning(Fake):
    """Kills the process that started its own, and would then go on for two minutes."""

    def __call__(self, image):
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(120)


class CountingReader(VideoReader):
    yielded = 0

    def frames(self, path):
        for frame in super().frames(path):
            CountingReader.yielded += 1
            yield frame


_SCRIPT = """
import os, signal, sys
sys.path[:0] = [sys.argv[1], os.path.dirname(sys.argv[1])]  # this folder, and the one of `support`
import numpy as np
from test_extraction import WINDOW, Fake, Orphaning
from metst_core import extraction
from metst_core.datasets import load_dataset
dataset = load_dataset("folder", sys.argv[2], window=WINDOW)
"""
ORPHANED = (
    _SCRIPT
    + """
extraction.extract_dataset(dataset, landmarker_factory=Orphaning, cache_dir=sys.argv[3], n_jobs=2)
"""
)
KILLED = (
    _SCRIPT
    + """
compute, savez = extraction._compute, np.savez

def compute_or_die(dataset, key, landmarker):
    if key == ("12", "a"):
        if sys.argv[4] == "computing":
            os.kill(os.getpid(), signal.SIGKILL)
        np.savez = half_a_file
    return compute(dataset, key, landmarker)

def half_a_file(path, **arrays):
    savez(path, **arrays)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

extraction._compute = compute_or_die
extraction.extract_dataset(dataset, landmarker_factory=Fake, cache_dir=sys.argv[3])
"""
)

needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")


def run_script(script, *arguments, timeout=None):
    command = [sys.executable, "-c", script, str(Path(__file__).parent), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=timeout)


@pytest.fixture
def root(tmp_path):
    """Two subjects' good videos, one whose face comes late, and three that cannot be used."""
    root = tmp_path / "videos"
    write_frames(root / "007" / "a", 9, 1)
    write_frames(root / "007" / "late", 8, 2, blank=range(3))
    write_frames(root / "12" / "a", 5, 3)
    write_frames(root / "12" / "black", 6, 4, blank=range(6))
    write_frames(root / "12" / "broken", 6, 5)
    write_frames(root / "12" / "single", 1, 6)
    (root / "annotations.csv").write_text(
        "subject,video,onset,apex,offset,emotion\n007,a,1,2,4,positive\n12,black,1,2,4,others\n"
    )
    return root


@pytest.fixture
def dataset(root):
    dataset = load_dataset("folder", root, window=WINDOW)
    (root / "12" / "broken" / "003.png").write_bytes(b"not a picture")
    return dataset


GOOD = [("007", "a"), ("007", "late"), ("12", "a")]


def same(a, b):
    return list(a.windows) == list(b.windows) and all(
        np.array_equal(a.windows[k], b.windows[k]) for k in a.windows
    )


class TestExtraction:
    def test_is_extract_motion_of_every_video(self, dataset):
        found = extract_dataset(dataset, landmarker_factory=Fake)
        assert list(found.windows) == GOOD
        for key in GOOD:
            expected = extract_motion(dataset.frames(*key), Fake(), window=WINDOW)
            assert np.array_equal(found.windows[key], expected)
            assert found.windows[key].dtype == np.float32
        assert found.videos["n_frames"].tolist() == [9, 8, 5]
        assert found.n_frames("12", "a") == 5
        assert found.subjects == ["007", "12"]
        assert (found.window, found.fps, found.features) == (WINDOW, dataset.frame_rate, "metst_plus")

    def test_metst_is_a_part_of_metst_plus(self, dataset):
        everything = extract_dataset(dataset, landmarker_factory=Fake)
        five = extract_dataset(dataset, "metst", landmarker_factory=Fake)
        assert same(five, everything.select("metst"))
        for key in GOOD:
            direct = extract_motion(dataset.frames(*key), Fake(), "metst", window=WINDOW)
            assert np.array_equal(five.windows[key], direct)
        with pytest.raises(InputError, match="extract it"):
            five.select("metst_plus")

    def test_the_reference_box_comes_beside_the_windows(self, dataset, tmp_path):
        """`metst_plus_ref` is the 36 channels and then the head motion; the cache and a file keep both."""
        everything = extract_dataset(dataset, landmarker_factory=Fake, cache_dir=tmp_path)
        for found in (
            extract_dataset(dataset, "metst_plus_ref", landmarker_factory=Fake, cache_dir=tmp_path),
            MotionSet.load(everything.save(tmp_path / "motion.npz")).select("metst_plus_ref"),
        ):
            for key in GOOD:
                direct = extract_motion(dataset.frames(*key), Fake(), "metst_plus_ref", window=WINDOW)
                assert direct.shape[1] == 38
                assert np.array_equal(found.windows[key], direct)
                assert np.array_equal(found.head[key], direct[:, 36:])
                assert found.shift[key].shape == found.head[key].shape
            assert same(found.select("metst_plus"), everything)
            assert same(found.select("metst"), everything.select("metst"))
        without = dataclasses.replace(everything, head={}, shift={})
        with pytest.raises(InputError, match="extract it"):
            without.select("metst_plus_ref")
        older = MotionSet.load(without.save(tmp_path / "older.npz"))
        assert (older.head, older.shift) == ({}, {}) and same(older, everything)

    def test_unusable_videos_are_named_and_the_rest_goes_on(self, dataset):
        found = extract_dataset(dataset, landmarker_factory=Fake)
        reasons = {(row.subject, row.video): row.reason for row in found.skipped.itertuples()}
        assert set(reasons) == {("12", "black"), ("12", "broken"), ("12", "single")}
        assert "no face" in reasons["12", "black"]
        assert "003.png" in reasons["12", "broken"]
        assert "2 frames" in reasons["12", "single"]
        assert found.annotations["video"].tolist() == ["a"]

    def test_a_late_face_is_counted(self, dataset):
        """Three of eight frames of "late" come before the first face: they have no motion."""
        found = extract_dataset(dataset, landmarker_factory=Fake)
        assert found.videos["without_motion"].tolist() == [0, 3 / 8, 0]
        assert not found.windows["007", "late"][0][:, :4].any()
        assert found.windows["007", "late"][1].any()

    def test_nothing_usable_is_an_error(self, dataset):
        with pytest.raises(InputError, match="none of the 6 videos"):
            extract_dataset(dataset, landmarker_factory=lambda: lambda image: None)

    def test_processes_do_not_matter(self, dataset, tmp_path):
        one = extract_dataset(dataset, landmarker_factory=Fake)
        two = extract_dataset(dataset, landmarker_factory=Fake, n_jobs=2)
        assert same(one, two)
        pd.testing.assert_frame_equal(one.skipped, two.skipped)
        pd.testing.assert_frame_equal(one.videos, two.videos)

    def test_opencv_keeps_its_threads(self, dataset):
        before = cv2.getNumThreads()
        extract_dataset(dataset, landmarker_factory=Fake)
        assert cv2.getNumThreads() == before

    @pytest.mark.parametrize("arguments", [{"features": "all"}, {"n_jobs": 0}])
    def test_bad_arguments(self, dataset, arguments):
        with pytest.raises(InputError, match=next(iter(arguments))):
            extract_dataset(dataset, landmarker_factory=Fake, **arguments)


class TestCache:
    def run(self, dataset, cache, factory=Fake):
        """The motion set and how often a landmarker was asked."""
        Fake.calls = 0
        return extract_dataset(dataset, landmarker_factory=factory, cache_dir=cache), Fake.calls

    def test_a_second_run_looks_at_no_frame(self, dataset, tmp_path):
        first, calls = self.run(dataset, tmp_path / "cache")
        assert calls > 0
        again, calls = self.run(dataset, tmp_path / "cache")
        assert calls == RETRIED
        assert same(first, again)
        pd.testing.assert_frame_equal(first.skipped, again.skipped)
        pd.testing.assert_frame_equal(first.videos, again.videos)

    def test_what_motion_depends_on_is_in_the_key(self, dataset, root, tmp_path):
        cache = tmp_path / "cache"
        self.run(dataset, cache)
        n = len(list(cache.iterdir()))
        self.run(dataset, cache, lambda: Fake("another landmarker"))
        assert len(list(cache.iterdir())) == 2 * n
        self.run(load_dataset("folder", root, window=6), cache)
        assert len(list(cache.iterdir())) == 3 * n
        cv2.imwrite(str(root / "12" / "a" / "002.png"), np.full((70, 80), 9, np.uint8))
        self.run(dataset, cache)
        assert len(list(cache.iterdir())) == 3 * n + 1

    @pytest.mark.parametrize("harm", ["empty", "half", "flipped", "pickle", "other"])
    def test_a_damaged_file_is_never_used(self, dataset, tmp_path, harm):
        cache = tmp_path / "cache"
        first, _ = self.run(dataset, cache)
        for file in cache.iterdir():
            whole = file.read_bytes()
            if harm == "flipped":
                middle = len(whole) // 2
                file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
            elif harm == "pickle":
                np.savez(file, windows=np.array([{}], dtype=object), has_face=np.ones(9, bool))
            elif harm == "other":
                np.savez(file, windows=np.zeros((2, 10, WINDOW)), has_face=np.ones(6, bool))
            else:
                file.write_bytes(whole[: len(whole) // 2 * (harm == "half")])
        again, calls = self.run(dataset, cache)
        assert calls > RETRIED
        assert same(first, again)
        _, calls = self.run(dataset, cache)
        assert calls == RETRIED

    def test_no_flipped_bit_drops_a_video_or_is_accepted(self, dataset, tmp_path):
        cache = tmp_path / "cache"
        self.run(dataset, cache)
        entry = next(cache.iterdir())
        whole = entry.read_bytes()
        motion = extraction._read_cached(entry, WINDOW)
        rng = np.random.default_rng(0)
        for place in [*rng.integers(0, len(whole), 150).tolist(), *range(len(whole) - 60, len(whole), 7)]:
            entry.write_bytes(
                whole[:place] + bytes([whole[place] ^ (1 << int(rng.integers(8)))]) + whole[place + 1 :]
            )
            read = extraction._read_cached(entry, WINDOW)
            assert read is None or (read.windows == motion.windows).all()
        np.savez(entry, **{**vars(motion), "windows": motion.windows[:0]})  # without a seal, as before
        assert extraction._read_cached(entry, WINDOW) is None
        np.savez(entry, **vars(motion))
        assert extraction._read_cached(entry, WINDOW) is not None

    def test_an_interrupted_run_goes_on(self, dataset, tmp_path, monkeypatch):
        compute = extraction._compute

        def interrupted(data, key, landmarker):
            if key == ("12", "a"):
                raise KeyboardInterrupt
            return compute(data, key, landmarker)

        cache = tmp_path / "cache"
        monkeypatch.setattr(extraction, "_compute", interrupted)
        with pytest.raises(KeyboardInterrupt):
            self.run(dataset, cache)
        kept = {file: file.stat().st_mtime_ns for file in cache.iterdir()}
        assert len(kept) == 2
        monkeypatch.undo()
        found, _ = self.run(dataset, cache)
        assert list(found.windows) == GOOD
        assert all(file.stat().st_mtime_ns == time for file, time in kept.items())

    @needs_kill
    @pytest.mark.parametrize("moment", ["computing", "writing"])
    def test_a_killed_run_leaves_whole_entries_only_and_goes_on(self, root, tmp_path, moment):
        """The process is killed at video 12/a, while it computes or in the middle of its cache file."""
        cache = tmp_path / "cache"
        assert run_script(KILLED, root, cache, moment).returncode == -signal.SIGKILL
        files = {file: file.stat().st_mtime_ns for file in cache.iterdir()}
        entries = [file for file in files if file.name[0] != "."]
        assert len(entries) == 2  # the two videos of 007 were done
        assert len(files) == 2 + (moment == "writing")  # half a file, under a name that nothing reads
        for entry in entries:
            with np.load(entry) as stored:
                assert stored["windows"].shape[1:] == (36, WINDOW)
        dataset = load_dataset("folder", root, window=WINDOW)
        found, _ = self.run(dataset, cache)
        assert all(entry.stat().st_mtime_ns == files[entry] for entry in entries)
        assert not [file for file in cache.iterdir() if file.name[0] == "."]  # swept
        assert same(found, extract_dataset(dataset, landmarker_factory=Fake))

    @needs_kill
    def test_workers_end_with_a_killed_parent_and_the_next_run_goes_on(self, root, tmp_path):
        """The workers hold the pipe that `run_script` reads to its end: it comes back when they are gone."""
        cache = tmp_path / "cache"
        assert run_script(ORPHANED, root, cache, timeout=60).returncode == -signal.SIGKILL
        dataset = load_dataset("folder", root, window=WINDOW)
        found, _ = self.run(dataset, cache)
        assert same(found, extract_dataset(dataset, landmarker_factory=Fake))

    @needs_kill
    def test_a_worker_that_is_killed_is_said(self, root, tmp_path):
        with pytest.raises(MetstError, match=r"worker process was killed.*n_jobs=2"):
            extract_dataset(load_dataset("folder", root, window=WINDOW), landmarker_factory=Deadly, n_jobs=2)

    def test_every_frame_is_decoded_once(self, dataset):
        counted = replace(dataset, reader=CountingReader())
        CountingReader.yielded = 0
        found = extract_dataset(counted, landmarker_factory=Fake)
        n_frames = found.videos["n_frames"].sum()
        unusable = 6 + 3 + 1  # all of "black", "broken" up to the damage, "single"
        assert CountingReader.yielded == n_frames + unusable

    def test_a_full_disk_costs_only_the_cache(self, dataset, tmp_path, monkeypatch):
        def full(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(extraction, "sealed_path", full)
        with pytest.warns(UserWarning, match="No space left"):
            found, _ = self.run(dataset, tmp_path / "cache")
        assert list(found.windows) == GOOD

    def test_a_landmarker_must_say_what_it_is(self, dataset, tmp_path):
        with pytest.raises(InputError, match="identity"):
            extract_dataset(
                dataset, landmarker_factory=lambda: lambda image: None, cache_dir=tmp_path / "cache"
            )

    def test_a_cache_needs_a_folder(self, dataset, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="file"):
            self.run(dataset, tmp_path / "file")


class TestMotionSet:
    def test_survives_a_file(self, dataset, tmp_path):
        found = extract_dataset(dataset, "metst", landmarker_factory=Fake)
        back = MotionSet.load(found.save(tmp_path / "motion.npz"))
        assert same(found, back)
        for table in ("annotations", "videos", "skipped"):
            pd.testing.assert_frame_equal(getattr(found, table), getattr(back, table))
        assert (back.features, back.window, back.fps) == ("metst", WINDOW, dataset.frame_rate)
        assert back.subjects == ["007", "12"]

    def test_survives_without_annotations_or_skipped_videos(self, tmp_path):
        write_frames(tmp_path / "1" / "a", 5, 0)
        dataset = load_dataset("folder", tmp_path, window=WINDOW)
        found = extract_dataset(dataset, landmarker_factory=Fake)
        back = MotionSet.load(found.save(tmp_path / "motion.npz"))
        assert back.annotations.empty and back.skipped.empty
        assert list(back.skipped.columns) == ["subject", "video", "reason"]
        assert back.windows["1", "a"].shape[1:] == (2 * len(rois.ROIS), WINDOW)

    def test_not_a_motion_set(self, tmp_path):
        with pytest.raises(MissingError, match="nowhere"):
            MotionSet.load(tmp_path / "nowhere.npz")
        (tmp_path / "text.npz").write_text("text")
        np.savez(tmp_path / "other.npz", a=np.zeros(3))
        np.savez(tmp_path / "pickle.npz", record=np.array([{}], dtype=object))
        for name in ("text.npz", "other.npz", "pickle.npz"):
            with pytest.raises(InputError, match=name):
                MotionSet.load(tmp_path / name)

    def test_unknown_video(self, dataset):
        found = extract_dataset(dataset, landmarker_factory=Fake)
        with pytest.raises(InputError, match="black"):
            found.n_frames("12", "black")
