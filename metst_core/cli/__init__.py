"""The command line `metst`."""

from metst_core.cli.machine import check_machine
from metst_core.cli.main import main

__all__ = ["check_machine", "main"]
