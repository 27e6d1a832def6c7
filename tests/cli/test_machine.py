"""`metst check` without a data set: what is there, what is missing, and what to do about it."""

from metst_core.cli import check_machine


def test_check_machine_says_what_is_there():
    table = check_machine().set_index("item")
    assert list(table.columns) == ["found", "ok", "remedy"]
    for item in ("Python", "torch", "opencv-contrib-python", "libGL", "CUDA", "MediaPipe face model"):
        assert item in table.index
    assert any(item.startswith("scan") for item in table.index)
    assert (table.loc[~table["ok"], "remedy"] != "").all()


def test_check_machine_names_the_package_when_opencv_lacks_libgl(monkeypatch):
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)  # makes `import cv2` fail
    table = check_machine().set_index("item")
    assert not table.loc["libGL", "ok"]
    assert "libgl1" in table.loc["libGL", "remedy"]
    assert not table.loc["OpenCV", "ok"]
