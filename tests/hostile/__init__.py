"""What strangers, neighbours and broken machines do to a check, and what comes of it; `python -m tests.hostile` prints it as a table."""
