"""A real browser for tests: headless Chromium through Playwright, Jupyter servers, and what a page shows.

`needs_browser` skips a module's tests with the reason where Chromium or Playwright is missing; `make
test-browser` installs what they need.  Screenshots are kept in pytest's temporary folder, or in the folder that
METST_SCREENSHOTS names.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

CHROMIUM = (
    os.environ.get("METST_CHROMIUM")
    or shutil.which("chromium")
    or shutil.which("chromium-browser")
    or shutil.which("google-chrome")
)
ROOT = Path(__file__).parents[2]
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
)  # fmt: skip
LOAD = float(os.environ.get("METST_BROWSER_PATIENCE", "4"))
"""Factor on every waiting time, for a slow or busy machine."""


@contextlib.contextmanager
def running_chromium(*flags):
    """A headless Chromium until the block ends, with further command-line flags."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser, url, width=1180, height=1250):
    """A page of `browser` showing `url`, and the list of its errors: (page, errors)."""
    page, errors = browser.new_page(viewport={"width": width, "height": height}), []
    page.set_default_timeout(20_000 * LOAD)
    page.on("pageerror", lambda error: errors.append(str(error.stack or error)))
    page.on(
        "console",
        lambda m: errors.append(f"{m.text} ({m.location.get('url')})") if m.type == "error" else None,
    )
    page.goto(url)
    yield page, errors
    page.close()


def why_not():
    """Why no browser test can run here; empty where they can."""
    if CHROMIUM is None:
        return "no chromium on this machine (Debian: apt-get install chromium)"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed (pip install 'metst[browser]')"
    return ""


needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "can run"),
]


@pytest.fixture(scope="module")
def chromium():
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    named = os.environ.get("METST_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pixels(locator):
    """What a part of the page shows now, as an array."""
    import cv2

    return cv2.imdecode(np.frombuffer(locator.screenshot(), np.uint8), cv2.IMREAD_COLOR).astype(int)


def changed(before, after):
    """Share of pixels that differ visibly; 1 where the size itself changed."""
    if before.shape != after.shape:
        return 1.0
    return float((np.abs(before - after).max(axis=2) > 16).mean())


def _answers(url):
    """Whether a server is there; that it refuses this page is an answer too."""
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextlib.contextmanager
def server(module, arguments, folder, ready):
    """A Jupyter server on localhost until the block ends; `ready` is the path that answers when it is up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = folder / "home"
    home.mkdir(exist_ok=True)
    log = (folder / f"{module}.log").open("w+")
    environment = os.environ | {
        "HOME": str(home), "JUPYTER_CONFIG_DIR": str(home), "JUPYTER_DATA_DIR": str(home / "data"), "IPYTHONDIR": str(home),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", module, f"--port={port}", *arguments]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60 * LOAD
        while True:
            if _answers(f"http://127.0.0.1:{port}{ready}"):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                pytest.fail(f"{module} does not answer:\n{log.read()[-3000:]}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()
