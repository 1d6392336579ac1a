"""`python -m sse_check` is the command line."""

import sys

from sse_check.cli import main

sys.exit(main())
