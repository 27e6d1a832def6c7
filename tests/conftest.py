"""Shared by all tests: property tests draw the same examples every time and have no deadline on a busy machine."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "metst", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("metst")
