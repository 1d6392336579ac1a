"""The door of the GitHub Action: the environment in, the same program as the command line behind it."""

import os
import sys

from sse_check.cli import action, main

if __name__ == "__main__":
    # `docker run … sse-check probe URL` brings arguments; the runner brings none.
    sys.exit(main(sys.argv[1:]) if len(sys.argv) > 1 else action(os.environ))
