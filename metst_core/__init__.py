"""metst: learn, run and trust micro-expression analysis (ME-TST, ME-TST+)."""

from metst_core.errors import MetstError

__version__ = "0.1.0"
__all__ = ["MetstError", "__version__"]
