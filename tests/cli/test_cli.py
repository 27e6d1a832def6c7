"""The command line: exit codes, messages, and what it leaves on disk."""

import argparse

import numpy as np
import pytest

import metst_core
from metst_core.cli import main
from metst_core.cli.main import _parser
from metst_core.cli.options import default_text
from metst_core.datasets import write_tables
from metst_core.tables import empty_annotations
from metst_core.video import write_images

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    "command",
    [[], ["check"], ["synth"], ["analyse"], ["reproduce"], ["released"], ["train"], ["score"], ["name"]],
)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    assert "usage: metst" in capsys.readouterr().out


def test_a_users_mistake_is_one_line_and_exit_code_1(tmp_path, capsys):
    assert main(["check", "--dataset", "casme3", "--root", str(tmp_path / "nowhere")]) == 1
    assert main(["reproduce", "--profile", "huge"]) == 1
    assert main(["reproduce", "--dataset", "casme3"]) == 1
    assert main(["synth", str(tmp_path / "s"), "--tier", "impossible"]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 4
    for line, named in zip(lines, ("nowhere", "huge", "--data-root", "impossible"), strict=True):
        assert line.startswith("metst: ")
        assert named in line


def test_an_unknown_command_is_exit_code_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["nonsense"])
    assert stop.value.code == 2
    assert "nonsense" in capsys.readouterr().err


def test_a_word_that_is_nearly_one_gets_a_hint(capsys):
    for call, hint in (
        (["analyze", "x.mp4"], "did you mean analyse?"),
        (["analyse", "x", "--subjct-from", "name"], "--subject-from?"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(call)
        assert stop.value.code == 2
        assert hint in capsys.readouterr().err
    with pytest.raises(AttributeError, match="did you mean analyse"):
        metst_core.analyze  # noqa: B018


def test_every_help_shows_every_default():
    parser = _parser()
    [commands] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for name, command in commands.choices.items():
        shown = " ".join(command.format_help().split())
        for action in command._actions:
            said = default_text(action)
            if said is not None:
                assert f"({said})" in shown or f"default: {said}" in shown, (
                    name,
                    action.option_strings,
                    said,
                )


def test_check_of_a_folder_counts_and_draws(tmp_path, capsys):
    frames = np.zeros((4, 20, 24, 3), np.uint8)
    for subject in ("a", "b"):
        write_images(tmp_path / subject / "v1", frames)
    table = empty_annotations()
    table.loc[0] = ["a", "v1", 0, 1, 3, "surprise"]
    table.to_csv(tmp_path / "annotations.csv", index=False)
    picture = tmp_path / "check.png"
    assert main(["check", "--dataset", "folder", "--root", str(tmp_path), "--picture", str(picture)]) == 0
    assert picture.stat().st_size > 1000
    assert "surprise" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["check", "--dataset", "folder", "--root", "."], ["compare", "a", "b"]])
def test_a_picture_without_a_suffix_that_is_known_says_so_before_the_work(command, tmp_path, capsys):
    for name in ("picture", "picture.xyz"):
        assert main([*command, "--picture", str(tmp_path / name)]) == 1
        assert (
            f"{name}: no picture can be written under this name; end it with one of"
            in capsys.readouterr().err
        )
    assert list(tmp_path.iterdir()) == []


def test_a_picture_does_not_take_the_place_of_the_set(tmp_path, capsys):
    write_images(tmp_path / "a" / "v1", np.zeros((3, 20, 24, 3), np.uint8))
    image = tmp_path / "a" / "v1" / "000001.png"
    before = image.read_bytes()
    assert main(["check", "--dataset", "folder", "--root", str(tmp_path), "--picture", str(image)]) == 1
    assert "input of this call" in capsys.readouterr().err and image.read_bytes() == before


def test_check_of_an_incomplete_folder_is_exit_code_1(tmp_path, capsys):
    frames = np.zeros((4, 20, 24, 3), np.uint8)
    write_images(tmp_path / "a" / "v1", frames)
    from metst_core.datasets import load_dataset

    data = load_dataset("folder", tmp_path)
    write_tables(tmp_path, empty_annotations(), data.videos)
    for image in (tmp_path / "a" / "v1").iterdir():
        image.write_bytes(b"not an image")
    assert main(["check", "--dataset", "folder", "--root", str(tmp_path)]) == 1
    assert "v1" in capsys.readouterr().out


def test_check_takes_the_options_of_the_set(tmp_path, capsys):
    write_images(tmp_path / "a" / "v1", np.zeros((8, 20, 24, 3), np.uint8))
    folder = ["check", "--dataset", "folder", "--root", str(tmp_path)]
    assert main([*folder, "--option", "fps=15", "--option", "image_fps=60"]) == 0
    assert "frames per second 15" in " ".join(capsys.readouterr().out.split())
    assert main([*folder, "--option", "fps"]) == 1
    assert main([*folder, "--option", "rate=15"]) == 1
    errors = capsys.readouterr().err
    assert "NAME=VALUE" in errors and "rate" in errors


def test_a_root_without_a_data_set_is_not_a_check_of_the_machine(tmp_path, capsys):
    assert main(["check", "--root", str(tmp_path)]) == 1
    assert "--dataset" in capsys.readouterr().err


def test_reproduce_trains_the_bundled_weights_where_asked(tmp_path, monkeypatch):
    from metst_core import experiment

    asked = []
    monkeypatch.setattr(experiment, "reproduce", lambda run, notebooks: tmp_path)
    monkeypatch.setattr(experiment, "write_edition", lambda *given: asked.append(given) or (tmp_path, None))
    assert main(["reproduce", "--profile", "smoke"]) == 0 and asked == []
    assert main(["reproduce", "--profile", "smoke", "--weights", str(tmp_path / "w")]) == 0
    assert asked[0][:3] == (experiment.Edition(), str(tmp_path / "w"), tmp_path / "weights")
