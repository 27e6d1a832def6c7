"""Shared by all tests: the same draws every time, whatever ran before, and no deadline on a busy machine."""

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "metst", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("metst")


@pytest.fixture(autouse=True)
def same_draws_in_every_test():
    """A network that a test builds without naming a seed has the same weights alone, in any order, on any worker."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(int(os.environ.get("METST_TEST_SEED", "0")))
