"""What this machine has and lacks: `metst check`, and `show_versions` to paste into a question.

Imports stand inside the functions, so that `metst --help` does not wait for them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from metst_core.version import __version__

if TYPE_CHECKING:
    import pandas as pd

_PACKAGES = (
    "numpy", "scipy", "pandas", "torch", "numba", "mediapipe", "opencv-contrib-python", "scikit-image",
    "matplotlib", "joblib", "tqdm", "openpyxl", "safetensors",
)  # fmt: skip
_FAST_BACKENDS = {"CPU": ("numba",), "CUDA": ("mamba_ssm", "triton")}  # as `selective_scan` prefers them
_Row = tuple[str, str, bool, str]


def check_machine() -> pd.DataFrame:
    """What this machine has: a table `item, found, ok, remedy`; rows that are not `ok` say what to do.

    Python, the packages and their versions, libGL (which OpenCV's wheel needs), libEGL and libGLESv2
    (MediaPipe's), the face model, the bundled network, CUDA, and the scan backends.  Nothing optional is ever not `ok`.
    """
    import platform

    import pandas as pd

    rows = [("Python", platform.python_version(), True, "")]
    rows += [_package_row(package) for package in _PACKAGES]
    rows += [_libgl_row(), _import_row("OpenCV", "cv2", "see the row libGL")]
    rows += [_library_row("EGL", "libegl1"), _library_row("GLESv2", "libgles2"), _face_model_row()]
    rows += [_bundled_row(), _cuda_row(), *_backend_rows()]
    return pd.DataFrame(rows, columns=["item", "found", "ok", "remedy"])


def show_versions() -> None:
    """Print the versions of metst, Python and the packages, and what this machine has, ready to paste."""
    import platform

    print(f"metst {__version__}, {platform.system()} {platform.machine()}")
    print(check_machine().drop(columns=["ok", "remedy"]).to_string(index=False, header=False))


def _package_row(package: str) -> _Row:
    from importlib import metadata

    try:
        return package, metadata.version(package), True, ""
    except metadata.PackageNotFoundError:
        return (
            package,
            "not installed",
            False,
            f"pip install {package}",
        )


def _libgl_row() -> _Row:
    import ctypes.util
    import platform

    if platform.system() != "Linux":
        return "libGL", "not needed here", True, ""
    library = ctypes.util.find_library("GL")
    if library or _import_row("OpenCV", "cv2", "")[2]:
        return "libGL", library or "not found, and not needed by this OpenCV", True, ""
    return "libGL", "not found", False, "apt-get install libgl1 (or your system's package with libGL.so.1)"


def _library_row(name: str, package: str) -> _Row:
    """A library that MediaPipe links to on Linux."""
    import ctypes.util
    import platform

    found = ctypes.util.find_library(name) if platform.system() == "Linux" else "not needed here"
    return f"lib{name}", found or "not found", bool(found), "" if found else f"apt-get install {package}"


def _import_row(item: str, module: str, remedy: str) -> _Row:
    try:
        return item, str(importlib.import_module(module).__version__), True, ""
    except ImportError as error:
        return item, f"cannot be imported: {error}", False, remedy


def _face_model_row() -> _Row:
    from metst_core.errors import MetstError

    try:
        landmarks = importlib.import_module("metst_core.landmarks")
        return "MediaPipe face model", str(landmarks.find_model()), True, ""
    except (ImportError, MetstError) as error:
        return "MediaPipe face model", str(error), False, "metst fetch"


def _bundled_row() -> _Row:
    from metst_core.files import ASSETS

    networks = sorted(p.name for p in ASSETS.glob("*.safetensors")) if ASSETS.is_dir() else []
    remedy = "" if networks else "train one and give its path: analyse(video, model=...)"
    return "bundled network", ", ".join(networks) or "none", bool(networks), remedy


def _cuda_row() -> _Row:
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        return "CUDA", f"torch cannot be imported: {error}", False, "install torch again"
    if not torch.cuda.is_available():
        return "CUDA", "none (optional)", True, ""
    return "CUDA", f"{torch.version.cuda}, {torch.cuda.get_device_name(0)}", True, ""


def _backend_rows() -> list[_Row]:
    try:
        ssm = importlib.import_module("metst_core.ssm")
    except (ImportError, OSError) as error:
        return [("scan backends", f"cannot be imported: {error}", False, "see the rows torch and numba")]
    usable = ssm.available_backends()
    rows = [(f"scan backend {name}", str(said), True, "") for name, said in usable.items()]
    devices = ["CPU", *(["CUDA"] if importlib.import_module("torch").cuda.is_available() else [])]
    for device in devices:
        used = next((name for name in _FAST_BACKENDS[device] if name in usable), "reference")
        remedy = "" if used != "reference" else "slow but right; install numba (CPU) or metst[cuda] (CUDA)"
        rows.append((f"scan used on the {device}", used, used != "reference", remedy))
    return rows
