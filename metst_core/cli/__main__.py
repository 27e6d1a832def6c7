"""`python -m metst_core.cli`."""

import sys

from metst_core.cli.main import main

sys.exit(main())
