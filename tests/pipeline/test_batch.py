"""Many videos: their names and subjects, results that are kept, and several at once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.own_videos import analysed, landmarker, mouth_model

from metst_core import pipeline
from metst_core.datasets import FoundVideo, named_videos
from metst_core.errors import InputError
from metst_core.inference import Face, FaceChoice
from metst_core.pipeline import Kept, Task
from metst_core.pipeline.keeping import result_key
from metst_core.video import write_images


@pytest.fixture
def folder(tmp_path):
    """Recordings of two people in folders, a loose one, images, a text, something hidden, the same name twice."""
    for name in (
        "anna/v1.mp4",
        "anna/v2.mp4",
        "ben/v1.mp4",
        "ben/late/v3.mov",
        "loose.avi",
        ".hidden/x.mp4",
        "notes.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    write_images(tmp_path / "ben" / "pictures", np.zeros((3, 8, 8, 3), np.uint8))
    return tmp_path


def names(tasks):
    return [(task.subject, task.video) for task in tasks]


class TestLooking:
    def test_a_folder_is_looked_through_at_any_depth(self, folder):
        found = [video.path.relative_to(folder).as_posix() for video in named_videos([str(folder)])]
        assert found == [
            "anna/v1.mp4",
            "anna/v2.mp4",
            "ben/late/v3.mov",
            "ben/pictures",
            "ben/v1.mp4",
            "loose.avi",
        ]

    def test_a_pattern_is_expanded_and_a_video_named_twice_counts_once(self, folder, monkeypatch):
        monkeypatch.chdir(folder)
        found = [str(video.path) for video in named_videos(["*/v1.mp4", "anna", "gone*.mp4"])]
        assert found == [
            str(Path("anna/v1.mp4")),
            str(Path("ben/v1.mp4")),
            str(Path("anna/v2.mp4")),
            "gone*.mp4",
        ]

    def test_what_is_left_out_and_links_that_lead_up(self, folder):
        (folder / "anna" / "up").symlink_to(folder)
        assert len(named_videos([str(folder)])) == 6
        assert len(named_videos([str(folder)], [folder / "ben"])) == 3
        assert len(named_videos([str(folder)], [folder])) == 6  # outputs may go where the videos are


class TestNames:
    def test_subjects_are_those_of_a_data_set(self, folder):
        found = named_videos([str(folder)])
        assert names(pipeline.tasks_for(found)) == [
            ("anna", "v1"), ("anna", "v2"), ("ben", "v3"), ("ben", "pictures"), ("ben", "v1"), ("loose", "loose"),
        ]  # fmt: skip
        assert {task.subject for task in pipeline.tasks_for(found, "none")} == {"-"}
        assert [t.subject for t in pipeline.tasks_for(found, "folder")][2:4] == ["late", "ben"]
        with pytest.raises(InputError, match="subject-from"):
            pipeline.tasks_for(found, "face")

    def test_files_of_a_shells_pattern_have_their_folders_as_subjects_and_loose_ones_themselves(self, folder):
        both = [FoundVideo(folder / name, None) for name in ("anna/v1.mp4", "ben/v1.mp4")]
        assert names(pipeline.tasks_for(both)) == [("anna", "v1"), ("ben", "v1")]
        assert names(pipeline.tasks_for(both[:1])) == [("v1", "v1")]

    def test_a_name_may_tell_the_subject(self):
        videos = [FoundVideo(Path(f"{n}.mp4"), None) for n in ("anna_01", "anna-02", "ben 1", "_x")]
        assert [t.subject for t in pipeline.tasks_for(videos, "name")] == ["anna", "anna", "ben", "_x"]

    def test_no_two_have_the_same_name(self, folder):
        found = named_videos([str(folder)])
        assert len(set(names(pipeline.tasks_for(found, "none")))) == len(found)
        files = pipeline.file_names(pipeline.tasks_for(found))
        assert files == ["anna_v1", "v2", "v3", "pictures", "ben_v1", "loose"]
        assert pipeline.file_names([Task(Path("a"), "s", "index"), Task(Path("b"), "s", "INDEX")]) == [
            "s_index", "s_INDEX_2"
        ]  # fmt: skip


class TestKept:
    def test_a_result_comes_back_as_it_was(self, result, tmp_path):
        kept = Kept(tmp_path)
        key = result_key(result.path, result.model, 30.0, result.face)
        kept.save(result, key)
        back = Kept(tmp_path).load(result.path, key, result.model, landmarker, result.face)
        pd.testing.assert_frame_equal(back.frames, result.frames)
        pd.testing.assert_frame_equal(back.table, result.table)
        pd.testing.assert_frame_equal(back.quality, result.quality, check_dtype=False)
        assert back.summary() == result.summary()
        assert pipeline.summary_table([back]).equals(pipeline.summary_table([result]))

    def test_other_weights_options_or_bytes_have_another_key(self, result, clip, tmp_path):
        other = tmp_path / "clip.avi"
        other.write_bytes(clip.read_bytes() + b"\0")
        model = mouth_model()
        known = result_key(clip, model, 30.0, FaceChoice())
        keys = {
            known,
            result_key(clip, replace(model, threshold=0.3), 30.0, FaceChoice()),
            result_key(clip, model, 30.0, FaceChoice(1)),
            result_key(clip, model, 30.0, FaceChoice(), "another landmarker"),
            result_key(other, model, 30.0, FaceChoice()),
        }
        assert result_key(clip, replace(model, name="another name"), 30.0, FaceChoice()) == known
        model.network.score_head.weight.data += 1
        keys.add(result_key(clip, replace(model), 30.0, FaceChoice()))
        assert len(keys) == 6

    def test_a_damaged_or_stopped_result_is_none(self, result, tmp_path):
        kept = Kept(tmp_path)
        kept.save(result, "key")
        data = (tmp_path / "key.npz").read_bytes()
        (tmp_path / "key.npz").write_bytes(data[: len(data) // 2])
        assert kept.load(result.path, "key", result.model, landmarker, result.face) is None
        kept.save(replace(result, trouble=pipeline.STOPPED, complete=False), "stopped")
        assert not (tmp_path / "stopped.npz").exists()


@pytest.mark.slow
def test_several_at_once_find_what_one_by_one_finds(clip, tmp_path):
    tasks = [Task(clip, "a", name, outputs={"eaf": tmp_path / f"{name}.eaf"}) for name in "xy"]
    tasks.append(Task(tmp_path / "gone.mp4", "a", "gone"))
    work = pipeline.Work(_analysed_there, mouth_model(), writers={"eaf": pipeline.write_eaf})
    done = list(pipeline.in_parallel(tasks, work, 2, quiet=True))
    assert [d.found.video for d in done] == ["x", "y", "gone"]
    here = analysed(clip)
    for one in done[:2]:
        assert np.array_equal(one.found.score, here.score)
        assert one.written == (tmp_path / f"{one.task.video}.eaf",) and one.written[0].is_file()
    assert "no such file" in done[2].found.trouble


def _analysed_there(path, model, **options):
    from metst_core.pipeline import analyse

    options["progress"] = False
    return analyse(path, model, landmarker, **options)


class TestFaces:
    def test_each_face_of_the_first_seconds_gets_a_task_of_its_own(self, clip):
        def finder(image):
            faces = [((100, 40), 20), ((30, 40), 30)]
            return [
                Face((x - s, y - s, x + s, y + s), ((x - s / 2, y), (x + s / 2, y)), (x, y + 5))
                for (x, y), s in faces
            ]

        tasks = pipeline.per_face([Task(clip, "s", "v")], finder)
        assert names(tasks) == [("s_face1", "v_face1"), ("s_face2", "v_face2")]
        assert tasks[0].face.box == (0, 10, 60, 70)
        assert pipeline.per_face([Task(clip, "s", "v")], lambda image: []) == [Task(clip, "s", "v")]
