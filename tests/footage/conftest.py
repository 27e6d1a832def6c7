"""Small real-looking films that all tests of the room share: a synthetic person without micro-expressions."""

import pytest

from metst_core.synthetic import generate


@pytest.fixture(scope="session")
def still(tmp_path_factory):
    """Three seconds of a person who does nothing but sway a little, as a data set."""
    folder = tmp_path_factory.mktemp("footage") / "still"
    return generate(folder, 1, 1, 3, seed=5, tier="easy", version=1, me_free=1, progress=False)


@pytest.fixture(scope="session", autouse=True)
def _own_store(tmp_path_factory):
    """Limits are remembered in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METST_LIMITS", str(tmp_path_factory.mktemp("limits")))
        yield
