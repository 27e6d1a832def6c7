"""The command `metst analyse`: what it writes, and how it ends."""

import argparse
import errno
import json
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data
from support.own_videos import landmarker, mouth_model

from metst_core import pipeline
from metst_core.cli import analyse as analyse_cli
from metst_core.errors import InputError
from metst_core.inference import LandmarkFaceFinder
from metst_core.video import probe, write_images, write_video

ROOT = Path(__file__).parents[2]


def run_command(*arguments):
    parser = argparse.ArgumentParser()
    analyse_cli.add_parser(parser.add_subparsers(required=True))
    options = parser.parse_args(["analyse", *map(str, arguments), "--quiet"])
    return options.command(options)


class TestCommand:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        """The network and the landmarker of these tests in the place of the real ones."""
        monkeypatch.setattr(pipeline, "load_model", lambda model="bundled": mouth_model())
        monkeypatch.setattr(pipeline, "analyse", partial(pipeline.analyse, landmarker=landmarker))

    def test_one_bad_video_does_not_stop_the_others(self, clip, tmp_path, capsys):
        empty = tmp_path / "empty.mp4"
        empty.touch()
        code = run_command(
            empty, clip, tmp_path / "gone.mp4", "--csv", tmp_path / "a.csv", "--json", tmp_path / "a.json",
            "--html", tmp_path / "pages", "--megc", tmp_path / "m.csv",
        )  # fmt: skip
        assert code == analyse_cli.PROBLEM
        out, err = capsys.readouterr()
        assert "empty.mp4" in err
        assert "gone.mp4" in err
        assert "1 of 3 videos analysed, 1 intervals found" in out
        assert pd.read_csv(tmp_path / "a.csv")["apex"].tolist() == [48]
        assert len(json.loads((tmp_path / "a.json").read_text())["videos"]) == 1
        assert (tmp_path / "pages" / "clip.html").is_file()
        assert "does not detect lies" in err and "The weights in use (mouth) do not say" in err

    def test_all_well_is_zero(self, clip, tmp_path, capsys):
        code = run_command(clip, "--annotated-video", tmp_path / "film.avi", "--html", tmp_path / "p.html")
        assert code == analyse_cli.DONE
        assert (tmp_path / "film.avi").is_file()
        assert "1.433 to    1.767 s" in capsys.readouterr().out

    def test_a_place_that_cannot_be_written_is_told_before_the_work(self, clip, tmp_path, monkeypatch):
        monkeypatch.setattr(pipeline, "analyse", lambda *a, **k: pytest.fail("worked before looking"))
        for target, text in (
            (tmp_path, "folder"),
            (clip / "x.csv", "cannot be written"),
            ("a" * 300, "cannot be written"),
        ):
            with pytest.raises(InputError, match=text):
                run_command(clip, "--csv", target)
        with pytest.raises(InputError, match="two outputs"):
            run_command(clip, "--csv", tmp_path / "x", "--json", tmp_path / "x")
        with pytest.raises(InputError, match="input of this call"):
            run_command(clip, "--annotated-video", clip)
        with pytest.raises(InputError, match=r"film\.gif.*end it with one of \.avi"):
            run_command(clip, "--annotated-video", tmp_path / "film.gif")
        assert probe(clip).n_frames == 90

    def test_weights_and_images_in_use_are_no_outputs(self, clip, tmp_path):
        weights = tmp_path / "own.safetensors"
        weights.write_bytes(b"weights")
        weights.with_suffix(".json").write_text("{}")
        write_images(tmp_path / "faces", [np.zeros((16, 16, 3), np.uint8)] * 3)
        for target in (weights, weights.with_suffix(".json"), tmp_path / "faces" / "000001.png"):
            before = target.read_bytes()
            with pytest.raises(InputError, match=f"{target.name}: this is an input of this call"):
                run_command(clip, tmp_path / "faces", "--csv", target, "--weights", weights)
            assert target.read_bytes() == before

    def test_results_do_not_take_the_place_of_their_video(self, clip):
        result = pipeline.analyse(clip, mouth_model(), progress=False)
        before = clip.read_bytes()
        for write in (result.to_csv, result.to_json, result.to_html, result.to_video, result.to_megc):
            with pytest.raises(InputError, match="input of this call"):
                write(clip)
        assert clip.read_bytes() == before

    def test_a_submission_does_not_join_two_videos_of_one_name(self, clip, tmp_path):
        for folder in "AB":
            (tmp_path / folder / "s1").mkdir(parents=True)
            (tmp_path / folder / "s1" / "clip.avi").write_bytes(clip.read_bytes())
        both = [tmp_path / folder / "s1" / "clip.avi" for folder in "AB"]
        assert run_command(*both, clip, "--megc", tmp_path / "m.csv") == analyse_cli.DONE
        rows = pd.read_csv(tmp_path / "m.csv")
        assert len(rows[["subject", "video"]].drop_duplicates()) == 3

    @pytest.mark.parametrize(
        "error", [MemoryError(), RuntimeError("graph broke"), UnicodeDecodeError("utf-8", b"x", 0, 1, "bad")]
    )
    def test_whatever_a_reader_raises_does_not_stop_the_others(
        self, clip, tmp_path, monkeypatch, capsys, error
    ):
        real = pipeline.analyse

        def sometimes(video, *given, **options):
            if "odd" in str(video):
                raise error
            return real(video, *given, **options)

        monkeypatch.setattr(pipeline, "analyse", sometimes)
        assert run_command(tmp_path / "odd.mp4", clip, "--csv", tmp_path / "a.csv") == analyse_cli.PROBLEM
        assert f"odd.mp4: {type(error).__name__}" in capsys.readouterr().err
        assert len(pd.read_csv(tmp_path / "a.csv")) == 1

    def test_two_outputs_may_go_to_the_same_device(self, tmp_path, capsys):
        os.mkfifo(tmp_path / "pipe")
        code = run_command(tmp_path / "gone.mp4", "--csv", tmp_path / "pipe", "--megc", tmp_path / "pipe")
        assert code == analyse_cli.PROBLEM and "gone.mp4: no such file" in capsys.readouterr().err

    def test_a_table_for_a_spreadsheet(self, clip, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "=1+1.avi").write_bytes(clip.read_bytes())
        assert run_command("=1+1.avi", "--csv", "a.csv", "--safe-csv") == analyse_cli.DONE
        assert set(pd.read_csv("a.csv")["video"]) == {"'=1+1"}

    def test_a_full_disk_loses_nothing_else(self, clip, tmp_path, capsys, monkeypatch):
        """The system's answer is made up (ENOSPC while the table is written); the rest is real."""

        def full(results, path, formulas=True):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(pipeline, "write_csv", full)
        code = run_command(clip, "--csv", tmp_path / "a.csv", "--json", tmp_path / "a.json")
        assert code == analyse_cli.PROBLEM
        out, err = capsys.readouterr()
        assert "No space left" in err
        assert "frames 43 to 53" in out
        assert (tmp_path / "a.json").is_file()
        assert not (tmp_path / "a.csv").exists()

    def test_ctrl_c_writes_what_is_done(self, clip, tmp_path, capsys, monkeypatch):
        calls = []

        def impatient(image):
            calls.append(image)
            if len(calls) > 4:  # two calls per window: frame 50 is reached
                raise KeyboardInterrupt
            return landmarker(image)

        monkeypatch.setattr(
            pipeline,
            "analyse",
            partial(pipeline.analyse, landmarker=impatient, face_finder=LandmarkFaceFinder(landmarker)),
        )
        code = run_command(clip, clip, "--json", tmp_path / "a.json")
        assert code == analyse_cli.STOPPED
        [only] = json.loads((tmp_path / "a.json").read_text())["videos"]
        assert not only["complete"]
        assert only["score"][-1] is None
        assert "what was done is kept" in capsys.readouterr().err

    def test_ctrl_c_while_a_film_is_written_keeps_the_tables(self, clip, tmp_path, capsys, monkeypatch):
        def stopped(*arguments, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr(pipeline.AnalysisResult, "to_video", stopped)
        films = tmp_path / "films"
        code = run_command(clip, "gone.mp4", "--csv", tmp_path / "a.csv", "--annotated-video", films)
        assert code == analyse_cli.STOPPED
        assert pd.read_csv(tmp_path / "a.csv")["apex"].tolist() == [48]
        assert "what was done is kept; not begun or not kept: gone.mp4" in capsys.readouterr().err
        assert not list(films.glob("*"))

    def test_the_same_video_named_twice_is_analysed_once(self, clip, capsys):
        assert run_command(clip, clip) == analyse_cli.DONE
        assert capsys.readouterr().out.count("apex 48") == 1

    def test_nothing_is_written_over_unless_it_is_asked_for(self, clip, tmp_path):
        target = tmp_path / "a.csv"
        target.write_text("mine")
        with pytest.raises(InputError, match=r"a\.csv: is already there; .*--overwrite"):
            run_command(clip, "--csv", target)
        assert target.read_text() == "mine"
        assert run_command(clip, "--csv", target, "--overwrite") == analyse_cli.DONE
        assert pd.read_csv(target)["apex"].tolist() == [48]

    def test_a_folder_gives_everything_and_goes_on_where_it_was_left(
        self, clip, tmp_path, capsys, monkeypatch
    ):
        films, out, model = tmp_path / "films", tmp_path / "results", mouth_model()
        monkeypatch.setattr(pipeline, "load_model", lambda weights: model)  # the same weights in every call
        (films / "anna").mkdir(parents=True)
        (films / "anna" / "one.avi").write_bytes(clip.read_bytes())
        (films / "broken.mp4").write_text("no film")
        call = (films, "--out", out)
        assert run_command(*call) == analyse_cli.PROBLEM
        summary = pd.read_csv(out / "summary.csv").set_index("video")
        assert summary["verdict"].to_dict() == {"one": "usable", "broken": "unusable"}
        assert "no video stream" in summary.loc["broken", "why"]
        assert summary["subject"].to_dict() == {"one": "anna", "broken": "broken"}
        assert pd.read_csv(out / "intervals.csv")["subject"].tolist() == ["anna"]
        for file in ("frames/one.csv", "pages/one.html", "elan/one.eaf"):
            assert (out / file).is_file()
        index = (out / "index.html").read_text()
        assert "./pages/one.html" in index and "no video stream" in index

        with pytest.raises(InputError, match="--resume to go on"):
            run_command(*call)
        worked = []
        whole = pipeline.analyse
        monkeypatch.setattr(
            pipeline, "analyse", lambda path, *a, **k: worked.append(path) or whole(path, *a, **k)
        )
        (films / "two.avi").write_bytes(clip.read_bytes() + b"\0")
        page = (out / "pages" / "one.html").stat().st_mtime_ns
        capsys.readouterr()
        assert run_command(*call, "--resume") == analyse_cli.PROBLEM
        assert [path.name for path in worked] == ["broken.mp4", "two.avi"]
        assert "(kept from before)" in capsys.readouterr().out
        assert (out / "pages" / "one.html").stat().st_mtime_ns == page
        again = pd.read_csv(out / "intervals.csv")
        assert again[["video", "onset", "apex", "offset"]].to_numpy().tolist() == [
            ["one", 43, 48, 53], ["two", 43, 48, 53]
        ]  # fmt: skip

        (out / "intervals.csv").write_text("corrected by hand")
        with pytest.raises(InputError, match=r"intervals\.csv.*changed since"):
            run_command(*call, "--resume")
        assert (out / "intervals.csv").read_text() == "corrected by hand"

    def test_its_own_films_are_not_taken_for_videos(self, clip, tmp_path):
        (tmp_path / "one.avi").write_bytes(clip.read_bytes())
        films = tmp_path / "annotated"
        for _ in range(2):
            assert run_command(tmp_path, "--annotated-video", films, "--overwrite") == analyse_cli.DONE
        assert [path.name for path in films.iterdir()] == ["one.mp4"]

    def test_frames_of_several_videos_are_one_table_or_a_folder_of_them(self, clip, tmp_path):
        (tmp_path / "v").mkdir()
        for name in "ab":
            (tmp_path / "v" / f"{name}.avi").write_bytes(clip.read_bytes())
        assert run_command(tmp_path / "v", "--frames", tmp_path / "f.csv") == analyse_cli.DONE
        table = pd.read_csv(tmp_path / "f.csv")
        assert table.groupby("video")["frame"].max().to_dict() == {"a": 89, "b": 89}
        assert run_command(tmp_path / "v" / "*.avi", "--frames", tmp_path / "f") == analyse_cli.DONE
        assert sorted(p.name for p in (tmp_path / "f").iterdir()) == ["a.csv", "b.csv"]

    def test_help_says_what_it_is_not(self, capsys):
        with pytest.raises(SystemExit):
            run_command("--help")
        assert "does not detect lies" in capsys.readouterr().out


@pytest.mark.slow
def test_a_real_ctrl_c_keeps_what_is_done(tmp_path):
    """The command as a process of its own, with its own weights and landmarks; SIGINT after the first progress."""
    portrait = cv2.resize(skimage.data.astronaut()[0:260, 100:360], (320, 320))
    write_video(tmp_path / "clip.mp4", [portrait] * 600, 30)
    # A shell that starts its jobs in the background hands down that SIGINT is ignored.
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from metst_core.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["analyse", "clip.mp4", "other.mp4", "--csv", "a.csv", "--json", "a.json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        said = b""
        while not re.search(rb"\b[1-9]\d*/600 ", said):
            chunk = os.read(process.stderr.fileno(), 4096)
            assert chunk, said.decode()
            said += chunk
        process.send_signal(signal.SIGINT)
        out, rest = (part.decode() for part in process.communicate())
    assert process.returncode == analyse_cli.STOPPED, rest
    assert "NOT COMPLETE" in out
    assert "not begun or not kept: other.mp4" in rest
    assert "Traceback" not in rest
    [only] = json.loads((tmp_path / "a.json").read_text())["videos"]
    assert 0 < only["n_analysed"] < 600
    assert [value is None for value in only["score"]] == [n >= only["n_analysed"] for n in range(600)]
    assert (tmp_path / "a.csv").is_file()
