"""The selective state-space model: one definition of the scan, many ways to run it, and the Mamba block."""

from metst_core.ssm.scan import Mamba, available_backends, selective_scan, unavailable_backends

__all__ = ["Mamba", "available_backends", "selective_scan", "unavailable_backends"]
