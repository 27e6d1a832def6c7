"""The command line `metst`: one file per command."""

from metst_core.cli.machine import check_machine, show_versions
from metst_core.cli.main import main

__all__ = ["check_machine", "main", "show_versions"]
