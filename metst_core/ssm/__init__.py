"""The selective state-space model: one definition of the scan, many ways to run it, and the Mamba block."""

from metst_core.ssm.block import Mamba, compile_around_scans
from metst_core.ssm.scan import available_backends, selective_scan, unavailable_backends

__all__ = ["Mamba", "available_backends", "compile_around_scans", "selective_scan", "unavailable_backends"]
